//! The Lambda function failover-sync: it keeps a target group pointed at the database writer.
//!
//! [`sync`] runs the bindings side by side; `look` is the loop for one of them: observe, judge, plan, apply, observe
//! again. It sees the world through the traits of [`ports`]; [`dns`], [`elbv2`] and [`rds`] implement them for the real
//! one and decide nothing, and `limit` keeps the bindings from crowding AWS. [`handler`] turns an invocation into a run
//! and a report into its answer. What follows from what was seen is decided in the crate
//! `reconcile`.

pub mod answer;
pub mod aws;
pub mod dns;
pub mod elbv2;
pub mod error;
pub mod handler;
mod limit;
mod look;
pub mod ports;
pub mod rds;
pub mod sync;
pub mod telemetry;
