//! The Lambda function failover-sync: it keeps a target group pointed at the database writer.
//!
//! [`sync`] runs the bindings side by side; `run` is the loop for one of them: observe, judge, plan, apply, observe
//! again. `look` is what it has seen and how it looks again, `questions` are those that
//! are under way, `retry` says which errors a watch looks through, and `memory` what a process remembers between runs. They see
//! the world through the traits of [`ports`]; [`dns`], [`elbv2`], [`rds`] and [`databases`] implement them for the real one and decide
//! nothing, and `limit` keeps the bindings from crowding AWS. [`handler`] turns an invocation into a run and a report into
//! its answer. What follows from what was seen is decided in the crate
//! `reconcile`.

pub mod databases;
pub mod dns;
pub mod elbv2;
pub mod error;
pub mod handler;
mod limit;
mod look;
mod memory;
pub mod ports;
mod questions;
pub mod rds;
mod retry;
mod run;
mod sources;
pub mod sync;
pub mod telemetry;
