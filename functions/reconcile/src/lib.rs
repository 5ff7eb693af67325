//! The decisions of failover-sync: what the configuration and the payload mean, which addresses the witnesses
//! support, and what must be registered and deregistered.
//!
//! **Architecture invariant:** this crate does no I/O. It knows no clock, no tokio, no AWS SDK and no DNS library, and
//! cargo enforces that: they are not among its dependencies. The Lambda function, the property tests and the
//! simulation all run this code.
//!
//! Read it in the order of the loop: [`config`] and [`trigger`] say what is asked, [`evidence`] what was seen,
//! [`verdict`] what follows from it, [`plan`] what to do, [`report`] what is told afterwards.

pub mod binding;
pub mod config;
pub mod event;
pub mod evidence;
pub mod metrics;
pub mod network;
pub mod plan;
pub mod report;
pub mod target;
pub mod trigger;
pub mod verdict;
pub mod watch;
