//! The Lambda function failover-sync: it keeps a target group pointed at the database writer.
//!
//! The way of an event, and in it the modules:
//!
//! 1. [`handler`]: Lambda's invocation becomes a `Trigger` (crate `reconcile`).
//! 2. [`sync`]: a run for each binding, side by side, all with one `context`.
//! 3. `run`: observe, decide, apply, and observe again to verify, until the watch is over. All
//!    state of a run is in it; what a process keeps of a target group is in `process_state`.
//! 4. `run::ask`: the questions that are due, each answered in its own time (`questions`), those to
//!    databases as far as the login works (`databases`).
//! 5. `run::observe`: the answers become evidence, and the evidence a verdict.
//! 6. `retry`: which errors a watch goes on after, and when.
//! 7. [`telemetry`]: the report as a log line and as metrics; its JSON is the result.
//!
//! The world is behind the traits of [`ports`]; [`dns`], [`elbv2`], [`rds`] and [`role_probe`]
//! implement them, and `context` keeps the bindings from crowding AWS. Every error is in [`error`],
//! with its remedy.
//!
//! **What it has not:** a rule. What follows from what was seen is decided in the crate
//! `reconcile`. No adapter decides anything, and nothing is kept between processes.

mod context;
mod databases;
pub mod dns;
pub mod elbv2;
pub mod error;
pub mod handler;
pub mod ports;
mod process_state;
mod questions;
pub mod rds;
mod retry;
pub mod role_probe;
mod run;
pub mod sync;
pub mod telemetry;
