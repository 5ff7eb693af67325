//! What every other crate stands on: the words that both functions share.
//!
//! In the order in which an invocation meets them: [`config`] collects the mistakes of a
//! configuration and [`login`] reads how to log in from it, [`payload`] reads what a person asks
//! for, [`database`] knows an instance of RDS and its identifier, and [`report`] has the form of a
//! failure and of a line of metrics.
//!
//! **Architecture invariant:** pure, and nothing of this project is below it. No I/O, no clock, no
//! AWS SDK.

pub mod config;
pub mod database;
pub mod login;
pub mod payload;
pub mod report;

/// The version of this project: all of its crates have the same.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
