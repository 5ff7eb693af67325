//! The decisions of failover-sync: which addresses the witnesses support, and what must be
//! registered and deregistered.
//!
//! The modules in the order in which an event flows through them:
//!
//! 1. [`config`] says what is kept where: a [`binding`] each, within [`network`]s that are allowed.
//! 2. [`trigger`] says why a run begins, by what `envelope` found of [`event`]s, and [`watch`] for
//!    how long it looks.
//! 3. [`poll_policy`] says whom it asks next.
//! 4. [`evidence`] is what was answered: the [`topology`] of a cluster, the [`target_group`] with
//!    its [`target`]s and the [`pending_writes`], and the [`history`] of runs before.
//! 5. [`claim`]s are what each witness says now, and what makes that prove nothing.
//! 6. [`verdict`] is what follows, and [`reason`] by which rule.
//! 7. [`plan`] is what to register and deregister.
//! 8. [`path`] is what consumers see of it, through the load balancer.
//! 9. [`report`] is what is told afterwards.
//!
//! **What it has not:** I/O and a clock. There is no tokio, no AWS SDK and no DNS library among the
//! dependencies, so that cargo holds it to that. The function, the property tests and the
//! simulation all run this code.

pub mod binding;
pub mod claim;
pub mod config;
mod envelope;
pub mod event;
pub mod evidence;
pub mod history;
pub mod network;
pub mod partition;
pub mod path;
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
