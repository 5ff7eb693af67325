//! The judge of failover-sync's rules: the real loop in simulated worlds.
//!
//! A world is made from a seed: a cluster or a Multi-AZ instance whose writer moves five times, DNS that lags and flaps
//! behind resolvers with caches, an RDS API that lags and fails, events that come late, twice, garbled or never, a
//! target group that drains and throttles and shows writes late, and a Lambda whose processes overlap and die. The loop
//! runs in it unchanged over the ports of `failover_sync::ports`, in tokio's paused time, so that an hour takes
//! milliseconds.
//!
//! ```text
//! distributions  how long things take, each with its source
//! scenario       what happens in a world whatever the function does, a pure function of seed and moment
//! world          the ports, and what the function did          group  the target group's state machine
//! lambda         invocations, retries, kills, the schedule      check  the invariants
//! trace          what the loop logs, in a replay
//! strategy       ours                                           baselines  what other projects do
//! campaign       many worlds on all cores                       measure, report  the numbers
//! ```

pub mod baselines;
pub mod campaign;
pub mod check;
pub mod deliveries;
pub mod dice;
pub mod distributions;
pub mod group;
pub mod lambda;
pub mod measure;
pub mod payload;
pub mod report;
pub mod scenario;
pub mod strategy;
mod trace;
pub mod world;
