//! How long things take and how often they go wrong.
//!
//! Each number has its source. *AWS* is a statement of AWS's guides or SDKs, *measured* a public
//! log or report, and *assumed* a number that nobody publishes, chosen wide and before any strategy
//! was run. No number here is tuned to a strategy. Those of readers, proxies, names of one's own
//! and blue/green deployments are in [`kinds`].

pub mod database;
pub mod faults;
pub mod kinds;

use fastrand::Rng;

use crate::dice::{Moment, SECOND, between, chance};

/// How long a resolver keeps an answer. AWS: "Aurora endpoints use a 5-second TTL"; "five seconds,
/// which is the default for RDS DNS zones".
pub const TTL: Moment = 5 * SECOND;

/// The deregistration delay of the template. Baselines whose original sets another delay bring
/// their own.
pub const DEREGISTRATION_DELAY: Moment = 120 * SECOND;

/// The function's time limit in the template.
pub const FUNCTION_TIMEOUT: Moment = 240 * SECOND;

/// Between two runs of the template's schedule.
pub const SCHEDULE: Moment = 60 * SECOND;

/// From one failover's begin to the next one's. Assumed: three in ten come while the last one is
/// still being digested.
///
/// | share | seconds | why                                                       |
/// |-------|---------|-----------------------------------------------------------|
/// | 15 %  | 20–90   | double failover, and failover during a running invocation |
/// | 15 %  | 60–180  | often a failback within the deregistration delay          |
/// | 70 %  | 180–900 | everything has settled before, or nearly so               |
pub fn gap(rng: &mut Rng) -> Moment {
    match rng.f64() {
        x if x < 0.15 => between(rng, 20.0, 90.0),
        x if x < 0.30 => between(rng, 60.0, 180.0),
        _ => between(rng, 180.0, 900.0),
    }
}

/// The shape of a failover: from "started" to the new writer taking writes, and to "completed".
pub struct Course {
    /// From the started event to the moment the new writer takes writes.
    pub moved: Moment,
    /// From the started event to the completed event.
    pub completed: Moment,
}

/// A failover of a cluster. Measured: "started" to "completed" 38.4 s (Aurora) and 23.7 s, the new
/// writer restarted after 11.0 s (DocumentDB, the same control plane). AWS: "often less than 30
/// seconds".
pub fn cluster_course(rng: &mut Rng) -> Course {
    let completed = between(rng, 11.0, 38.0);
    Course { moved: (completed as f64 * (0.3 + 0.5 * rng.f64())) as Moment, completed }
}

/// A failover of a Multi-AZ instance. Measured: restarted 13, 15 and 27 s after "started",
/// completed 21 to 42 s after it. AWS: "typically 60–120 seconds".
pub fn instance_course(rng: &mut Rng) -> Course {
    let moved = between(rng, 12.0, 30.0);
    Course { moved, completed: moved + between(rng, 8.0, 60.0) }
}

/// From the new writer taking writes to the first and to every answer of DNS naming it.
pub struct Propagation {
    /// The first answer that may name the new writer.
    pub first: Moment,
    /// From here on every answer names it, but for caches.
    pub steady: Moment,
}

/// How DNS follows: it lags, and may flap then.
///
/// | lag       | numbers                      | source                                         |
/// |-----------|------------------------------|------------------------------------------------|
/// | clusters  | 80 %: 15–40 s; 17 %: 40–60 s | JDBC wrapper: "20–40 s, up to a minute"        |
/// | instances | 80 %: 0–15 s; 17 %: 15–60 s  | measured: 8 s (FIS); thrice before "completed" |
/// | the rest  | 3 %: 60–240 s                | AWS, event 0015: "may take a few minutes"      |
///
/// Half of them flap for 20–30 s, with either answer as likely. aws-mysql-jdbc issue 377: "20–30
/// seconds … back and forth"; the share is assumed. Of clusters the JDBC wrapper also says "usually
/// between 15–20 seconds".
pub fn propagation(rng: &mut Rng, is_cluster: bool) -> Propagation {
    let first = match (rng.f64(), is_cluster) {
        (x, true) if x < 0.80 => between(rng, 15.0, 40.0),
        (x, true) if x < 0.97 => between(rng, 40.0, 60.0),
        (x, false) if x < 0.80 => between(rng, 0.0, 15.0),
        (x, false) if x < 0.97 => between(rng, 15.0, 60.0),
        _ => between(rng, 60.0, 240.0),
    };
    let flapping = if chance(rng, 0.5) { between(rng, 20.0, 30.0) } else { 0 };
    Propagation { first, steady: first + flapping }
}

/// How much later than the authority a resolver answers. JDBC wrapper: "the other DNS servers … may
/// not be updated in time"; the numbers are assumed.
pub fn resolver_lag(rng: &mut Rng) -> Moment {
    if chance(rng, 0.2) { between(rng, 0.0, LONGEST_RESOLVER_LAG as f64 / 1e3) } else { 0 }
}

/// The longest [`resolver_lag`].
pub const LONGEST_RESOLVER_LAG: Moment = 10 * SECOND;

/// How much later than the truth the RDS API names the writer. The maintainer of AWS's driver:
/// "It's also not current." No number is published; assumed: half within 5 s, nearly all within 30
/// s, one in ten up to 90 s.
pub fn topology_lag(rng: &mut Rng) -> Moment {
    match rng.f64() {
        x if x < 0.5 => between(rng, 0.0, 5.0),
        x if x < 0.9 => between(rng, 5.0, 30.0),
        _ => between(rng, 30.0, 90.0),
    }
}

/// How long after "completed" the RDS API still calls the instance something else than `available`.
/// Measured: 21.7 s (RDS for PostgreSQL, `available` 72.2 s after the call, completed after 50.5
/// s).
pub fn status_lag(rng: &mut Rng) -> Moment {
    between(rng, 5.0, 25.0)
}

/// From an event to its delivery. AWS: "might take up to five minutes to be delivered", no order,
/// best effort. That it usually takes seconds is measured (a `describe-events` order of magnitude);
/// the shares are assumed.
pub fn delivery(rng: &mut Rng) -> Moment {
    match rng.f64() {
        x if x < 0.80 => between(rng, 0.3, 5.0),
        x if x < 0.95 => between(rng, 5.0, 30.0),
        _ => between(rng, 30.0, 300.0),
    }
}

/// How often a path loses, doubles or garbles a message, and how often it is down in the whole
/// world. Assumed; AWS says "best effort" of RDS events and "at least once" of SNS and EventBridge.
pub const LOST: f64 = 0.05;
/// As [`LOST`].
pub const DOUBLED: f64 = 0.05;
/// As [`LOST`].
pub const GARBLED: f64 = 0.03;
/// As [`LOST`].
pub const PATH_DOWN: f64 = 0.08;

/// How often a failover is begun and not finished (event 0069, then 0070 for clusters; 0034 for
/// instances). Assumed.
pub const ABANDONED: f64 = 0.06;

/// How often the move is a replaced host: the address behind an unchanged name changes (class
/// change, host replacement; AWS: "IP address changes include a DB instance name change or a DB
/// instance class change"). Assumed.
pub const REPLACED: f64 = 0.05;

/// How often the RDS API cannot be read in the whole world (a missing permission or interface
/// endpoint). Assumed.
pub const TOPOLOGY_UNREADABLE: f64 = 0.08;

/// How often a service is out around a failover, and for how long. Assumed.
pub const OUTAGE: f64 = 0.05;
/// As [`OUTAGE`].
pub fn outage(rng: &mut Rng) -> Moment {
    between(rng, 5.0, 45.0)
}

/// How often a service refuses everything in one second, after the SDK's own retries. AWS: the
/// target-group APIs share token buckets of the account (20 burst and 4 a second for writes); the
/// RDS API's rate is not published. Assumed.
pub const REFUSED_SECOND: f64 = 0.02;

/// How often a write is carried out although its answer is lost. Assumed.
pub const ANSWER_LOST: f64 = 0.02;

/// How often a description shows a write late, and how late. Assumed; ELBv2 documents no
/// read-after-write guarantee.
pub const SHOWN_LATE: f64 = 0.25;
/// As [`SHOWN_LATE`].
pub fn shown_after(rng: &mut Rng) -> Moment {
    if chance(rng, SHOWN_LATE) { between(rng, 0.0, 5.0) } else { 0 }
}

/// How long the AWS APIs take. Assumed: tens of milliseconds to describe, a few hundred at most to
/// write.
pub fn latency(rng: &mut Rng, is_write: bool) -> Moment {
    if is_write { between(rng, 0.05, 0.3) } else { between(rng, 0.02, 0.1) }
}

/// How often the process of an invocation is killed, and at which of its calls. Assumed, far more
/// than in reality.
pub const KILLED: f64 = 0.03;
/// As [`KILLED`].
pub const KILLED_WITHIN_CALLS: u32 = 60;

/// How often a cold start is needed although a process is idle, because Lambda recycles them.
/// Assumed.
pub const RECYCLED: f64 = 0.1;

/// From an invocation of a new process to its first call. Assumed.
pub fn cold_start(rng: &mut Rng) -> Moment {
    between(rng, 0.1, 0.8)
}

/// How long Lambda waits before the first and the second retry of an asynchronous invocation that
/// failed. AWS: "one minute between the first two attempts, and two minutes between the second and
/// third".
pub const RETRIES: [Moment; 2] = [60 * SECOND, 120 * SECOND];
