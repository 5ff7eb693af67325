//! The Lambda function failover-sync: it keeps a target group pointed at the database writer.
//!
//! [`handler`] takes an invocation, [`sync`] runs every binding, `run` observes, decides, applies
//! and verifies until the watch is over, [`telemetry`] reports; the world is behind [`ports`].
//!
//! **What it has not:** a rule: the crate `reconcile` decides. Nothing is kept between processes.

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
