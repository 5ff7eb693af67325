//! The decisions of failover-sync: what must be registered and deregistered, by which evidence.
//!
//! In the order of an event: [`config`], [`trigger`], [`watch`], [`poll_policy`], [`evidence`],
//! [`claim`], [`verdict`], [`plan`], [`report`].
//!
//! **What it has not:** I/O and a clock: cargo holds it to that, without tokio, AWS SDK or DNS
//! library. The function, the property tests and the simulation all run this code.

pub mod binding;
pub mod claim;
pub mod config;
mod envelope;
pub mod event;
pub mod evidence;
pub mod history;
pub mod network;
pub mod partition;
pub mod pending_writes;
pub mod plan;
pub mod poll_policy;
pub mod reason;
pub mod report;
pub mod target;
pub mod target_group;
pub mod topology;
pub mod trigger;
pub mod verdict;
pub mod watch;
