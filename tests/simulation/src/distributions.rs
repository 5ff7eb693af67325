//! How long things take and how often they go wrong.
//!
//! Each number has its source: *AWS*, its guides or SDKs; *measured*, a public log or report; or
//! *assumed*, wide and before any strategy was run. None is tuned to a strategy. Readers, proxies,
//! names of one's own and blue/green deployments have theirs in [`kinds`].

pub mod database;
pub mod faults;
pub mod kinds;
pub mod path;

use fastrand::Rng;

use crate::dice::{Moment, SECOND, between, chance};

/// How long a resolver keeps an answer. AWS: "Aurora endpoints use a 5-second TTL"; "five seconds,
/// which is the default for RDS DNS zones".
pub const TTL: Moment = 5 * SECOND;

/// The template's deregistration delay. Baselines with another one bring theirs.
pub const DEREGISTRATION_DELAY: Moment = 120 * SECOND;

/// The function's time limit in the template.
pub const FUNCTION_TIMEOUT: Moment = 240 * SECOND;

/// Between two runs of the template's schedule.
pub const SCHEDULE: Moment = 60 * SECOND;

/// From one failover's begin to the next one's. Assumed: three in ten meet the last one undigested.
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

/// A failover of a cluster. Measured: "started" to "completed" 38.4 s (Aurora); 23.7 s, writing
/// after 11.0 s (DocumentDB, the same control plane). AWS: "often less than 30 seconds".
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
/// "It's also not current." Assumed: half within 5 s, nearly all within 30 s, one in ten up to 90
/// s.
pub fn topology_lag(rng: &mut Rng) -> Moment {
    match rng.f64() {
        x if x < 0.5 => between(rng, 0.0, 5.0),
        x if x < 0.9 => between(rng, 5.0, 30.0),
        _ => between(rng, 30.0, 90.0),
    }
}

/// How long the RDS API calls the instance not `available` after "completed". Measured: 21.7 s (RDS
/// for PostgreSQL).
pub fn status_lag(rng: &mut Rng) -> Moment {
    between(rng, 5.0, 25.0)
}

/// From an event to its delivery. AWS: "might take up to five minutes", no order, best effort.
/// Usually seconds, as `describe-events` shows; the shares are assumed.
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

/// How often a failover is begun and not finished (events 0069 and 0070; 0034). Assumed.
pub const ABANDONED: f64 = 0.06;

/// How often the move replaces the host, so that the address behind a name changes. AWS names "a DB
/// instance class change". Assumed.
pub const REPLACED: f64 = 0.05;

/// How often the RDS API is unreadable in the whole world: no permission or endpoint. Assumed.
pub const TOPOLOGY_UNREADABLE: f64 = 0.08;

/// How often a service is out around a failover, and for how long. Assumed.
pub const OUTAGE: f64 = 0.05;
/// As [`OUTAGE`].
pub fn outage(rng: &mut Rng) -> Moment {
    between(rng, 5.0, 45.0)
}

/// How often a service refuses everything in a second, after the SDK's retries. AWS: target-group
/// writes share 20 burst and 4 a second; the RDS API's rate is unpublished. Assumed.
pub const REFUSED_SECOND: f64 = 0.02;

/// How often a write is carried out although its answer is lost. Assumed.
pub const ANSWER_LOST: f64 = 0.02;

/// How often, and how late, a description shows a write; ELBv2 guarantees nothing. Assumed.
pub const SHOWN_LATE: f64 = 0.25;
/// As [`SHOWN_LATE`].
pub fn shown_after(rng: &mut Rng) -> Moment {
    if chance(rng, SHOWN_LATE) { between(rng, 0.0, 5.0) } else { 0 }
}

/// How long the APIs take. Assumed: tens of milliseconds to describe, some hundreds to write.
pub fn latency(rng: &mut Rng, is_write: bool) -> Moment {
    if is_write { between(rng, 0.05, 0.3) } else { between(rng, 0.02, 0.1) }
}

/// How often an invocation's process is killed, and at which call. Assumed, far above reality.
pub const KILLED: f64 = 0.03;
/// As [`KILLED`].
pub const KILLED_WITHIN_CALLS: u32 = 60;

/// How often Lambda has recycled an idle process, for a cold start. Assumed.
pub const RECYCLED: f64 = 0.1;

/// From an invocation of a new process to its first call. Assumed.
pub fn cold_start(rng: &mut Rng) -> Moment {
    between(rng, 0.1, 0.8)
}

/// How long before the two retries of a failed asynchronous invocation. AWS: "one minute between
/// the first two attempts, and two minutes between the second and third".
pub const RETRIES: [Moment; 2] = [60 * SECOND, 120 * SECOND];
