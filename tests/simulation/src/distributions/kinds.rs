//! The distributions of the worlds that hold more than one writer of a cluster or instance.

use fastrand::Rng;

use crate::dice::{Moment, SECOND, between, chance};

use super::Course;

/// A failover of a Multi-AZ DB cluster. AWS: "typically under 35 seconds"; the move half-way is
/// assumed.
pub fn multi_az_cluster_course(rng: &mut Rng) -> Course {
    let completed = between(rng, 10.0, 35.0);
    Course { moved: (completed as f64 * (0.3 + 0.5 * rng.f64())) as Moment, completed }
}

/// How often a change is a blue/green switchover, in the worlds that have any. Assumed.
pub const SWITCHED_OVER: f64 = 0.5;

/// A blue/green switchover. AWS: "typically under a minute". Measured (JDBC wrapper): green is in
/// charge after 3.1 s, the names lead there after 33.1 s, green names are gone after 65.4 s. The
/// widths are assumed.
pub fn switchover_course(rng: &mut Rng) -> Course {
    let moved = between(rng, 2.0, 15.0);
    Course { moved, completed: moved + between(rng, 30.0, 75.0) }
}

/// For how long the RDS API knows no cluster of the name while blue and green swap theirs. Assumed.
pub fn renaming(rng: &mut Rng) -> Moment {
    between(rng, 0.0, 10.0)
}

/// What becomes of the members of an Aurora cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// A reader becomes the writer, and the writer a reader.
    Failover,
    /// The host of any member is replaced.
    Replaced,
    /// A reader is added.
    Joins,
    /// A reader is deleted.
    Leaves,
    /// A reader restarts.
    Reboots,
}

/// What happens next in a cluster with readers. Assumed: autoscaling more often than failovers.
pub fn turn(rng: &mut Rng) -> Turn {
    match rng.f64() {
        x if x < 0.40 => Turn::Failover,
        x if x < 0.50 => Turn::Replaced,
        x if x < 0.70 => Turn::Joins,
        x if x < 0.90 => Turn::Leaves,
        _ => Turn::Reboots,
    }
}

/// A cluster has at most so many members in the simulation. AWS: a writer and 15 replicas.
pub const MEMBERS_AT_MOST: usize = 6;

/// For how long a reader is `creating`. AWS of a new primary: "typically less than 10 minutes"; the
/// width is assumed.
pub fn creation(rng: &mut Rng) -> Moment {
    between(rng, 180.0, 600.0)
}

/// A reader that begins to serve: the RDS API may still call it `creating` for a while. Assumed.
pub fn joining_course(rng: &mut Rng) -> Course {
    let moved = between(rng, 0.0, 10.0);
    Course { moved, completed: moved + between(rng, 0.0, 20.0) }
}

/// A deleted reader stops serving soon, and is `deleting` until it is gone. Assumed.
pub fn leaving_course(rng: &mut Rng) -> Course {
    let moved = between(rng, 0.0, 20.0);
    Course { moved, completed: moved + between(rng, 60.0, 240.0) }
}

/// A reader that restarts. Measured of failovers: an instance restarts within 11 to 30 s.
pub fn reboot_course(rng: &mut Rng) -> Course {
    let moved = between(rng, 8.0, 40.0);
    Course { moved, completed: moved + between(rng, 1.0, 10.0) }
}

/// How often a path is down for good where DNS is stuck. Assumed, often: the RDS API alone knows.
pub const STUCK_PATH_DOWN: f64 = 0.5;

/// How long a resolver keeps a reader endpoint's answer. Measured (dig): 5 s; AWS's sample: 1 s.
pub fn reader_ttl(rng: &mut Rng) -> Moment {
    if chance(rng, 0.5) { SECOND } else { 5 * SECOND }
}

/// How many readers one answer names. AWS: "an instance IP, chosen randomly"; several, as other
/// resolvers and custom endpoints give, in one world of five is assumed.
pub fn reader_answer(rng: &mut Rng) -> usize {
    if chance(rng, 0.8) { 1 } else { rng.usize(2..=3) }
}

/// How many addresses a proxy begins with. AWS: at least two subnets in different zones.
pub fn proxy_size(rng: &mut Rng) -> usize {
    rng.usize(2..=4)
}

/// A proxy has so many addresses at most in the simulation. AWS: never more than 215.
pub const PROXY_AT_MOST: usize = 6;

/// How many of a proxy's addresses one answer gives. Unpublished; assumed: any number.
pub fn proxy_answer(rng: &mut Rng) -> usize {
    rng.usize(1..=4)
}

/// How much later than a proxy's new address serves DNS names it, and how far from an old one's
/// stop DNS drops it, in milliseconds. Assumed.
pub fn proxy_lag(rng: &mut Rng, comes: bool) -> i64 {
    if comes { between(rng, 0.0, 60.0) as i64 } else { between(rng, 0.0, 120.0) as i64 - 60_000 }
}

/// How many members a custom endpoint has in the beginning. Assumed.
pub fn custom_size(rng: &mut Rng) -> usize {
    rng.usize(1..=4)
}

/// How often a member that left a custom endpoint is dead, and not just taken out. Assumed.
pub const LEFT_OUT_DEAD: f64 = 0.5;

/// How long a resolver keeps an answer of a name of one's own. Assumed: what people write, from
/// RDS's own 5 s to the 60 s of Route 53's alias records.
pub fn hostname_ttl(rng: &mut Rng) -> Moment {
    [5, 5, 30, 60][rng.usize(..4)] * SECOND
}

/// How many addresses a name of one's own has. Assumed: half the time one.
pub fn hostname_size(rng: &mut Rng) -> usize {
    if rng.bool() { 1 } else { rng.usize(2..=4) }
}

/// For how long the authority's servers contradict each other after a change. Assumed: mostly not
/// at all; Route 53: "generally propagate within 60 seconds".
pub fn flapping(rng: &mut Rng) -> Moment {
    if chance(rng, 0.3) { between(rng, 0.0, 60.0) } else { 0 }
}

/// How often an address that a name of one's own does not give any more is dead. Assumed.
pub const LEFT_DEAD: f64 = 0.5;

/// How often a name of one's own goes back to the addresses before. Assumed.
pub const GOES_BACK: f64 = 0.3;

/// How long a slow binding's call takes. Assumed: the SDK's retries when throttled.
pub fn slow_call(rng: &mut Rng) -> Moment {
    between(rng, 2.0, 30.0)
}

/// How long a slow DNS takes. The function's resolver gives up after two tries of 1.5 s.
pub fn slow_lookup(rng: &mut Rng) -> Moment {
    between(rng, 0.2, 2.9)
}
