//! The judge of failover-sync's rules: the real loop in simulated worlds.
//!
//! A seed makes a world: a cluster or a Multi-AZ instance whose writer moves five times, DNS that
//! lags and flaps behind caches, an RDS API that lags and fails, events late, twice, garbled or
//! never, a target group that drains, throttles and shows writes late, and a Lambda whose processes
//! overlap and die. The loop runs in it unchanged over `failover_sync::ports`, in tokio's paused
//! time: an hour takes milliseconds. Other kinds have readers, proxies, names of one's own, IPv6,
//! several at a time, and blue/green deployments.
//!
//! ```text
//! distributions        how long things take, each with its source
//! kinds                which worlds there are
//! scenario             what happens whatever the function does, a pure function of seed and moment
//! database, making     a cluster or instance: what is true, what its witnesses say, how it is made
//! roles                what the databases answer to a role probe, in which sessions
//! data_plane           to which targets the load balancer leads in each zone, and when
//! sessions             what comes of a session of its own, directly or through the load balancer
//! pool                 a proxy, or a name of one's own
//! resolvers            what lies between DNS and a process
//! faults               what is wrong with the sources for long, in some kinds of worlds
//! subject              what a binding follows, and who should be in its group
//! world, ports         what the function did, and how it sees the world
//! group                the target group's state machine
//! payload, deliveries  what the function is invoked with
//! lambda               invocations, retries, kills, the schedule
//! check                the invariants
//! trace                what the loop logs, in a replay
//! strategy, baselines  ours, and what other projects do
//! campaign             many worlds on all cores
//! measure, report      the numbers
//! ```

pub mod baselines;
pub mod campaign;
pub mod check;
pub mod data_plane;
pub mod database;
pub mod deliveries;
pub mod dice;
pub mod distributions;
pub mod faults;
pub mod group;
pub mod kinds;
pub mod lambda;
mod making;
pub mod measure;
pub mod payload;
pub mod pool;
pub mod ports;
pub mod report;
pub mod resolvers;
mod roles;
pub mod scenario;
mod sessions;
pub mod strategy;
pub mod subject;
mod trace;
pub mod world;
