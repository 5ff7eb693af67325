//! The decisions of failover-sync: what the configuration and the payload mean, which addresses the
//! witnesses support, and what must be registered and deregistered.
//!
//! **Architecture invariant:** this crate does no I/O. It knows no clock, no tokio, no AWS SDK and
//! no DNS library, and cargo enforces that: they are not among its dependencies. The Lambda
//! function, the property tests and the simulation all run this code.
//!
//! Read it in the order of the loop: [`config`] and [`trigger`] say what is asked, [`poll_policy`]
//! which source is asked next, [`evidence`] and [`target_group`] what was seen, [`history`] what a
//! process remembers of it, [`claim`] what each witness says, [`verdict`] what follows from it and
//! [`reason`] by which rule, [`plan`] what to do, [`pending_writes`] what of it need not be sent
//! again, [`report`] what is reported afterwards.

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
