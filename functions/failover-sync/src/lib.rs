//! The Lambda function failover-sync: it keeps a target group pointed at the database writer.
//!
//! [`sync`] runs the bindings side by side; `run` is the loop for one of them: observe, decide,
//! plan, apply, observe again. `observer` is what it has seen and how it observes again,
//! `questions` are those that are under way, `retry` says which errors a watch looks through, and
//! `process_state` what a process remembers between runs. They see the world through the traits of
//! [`ports`]; [`dns`], [`elbv2`], [`rds`] and [`role_probe`] implement them for the real one and
//! decide nothing, and `limit` keeps the bindings from crowding AWS. [`handler`] turns an
//! invocation into a run and a report into its answer. What follows from what was seen is decided
//! in the crate `reconcile`.

mod context;
mod databases;
pub mod dns;
pub mod elbv2;
pub mod error;
pub mod handler;
mod limit;
pub mod ports;
mod process_state;
mod questions;
pub mod rds;
mod retry;
pub mod role_probe;
mod run;
pub mod sync;
pub mod telemetry;
