//! What every other crate stands on: the words that both functions share.
//!
//! **Architecture invariant:** pure; nothing of this project is below it; no I/O, clock or AWS SDK.

pub mod config;
pub mod database;
pub mod login;
pub mod payload;
pub mod report;

/// The version of this project: all of its crates have the same.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
