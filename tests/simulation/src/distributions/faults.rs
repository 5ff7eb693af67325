//! How long the sources of some worlds are wrong, beyond the outages of all worlds.
//!
//! Public reports show that each happens; for how long, and how often, is *assumed*, wide, before
//! the first run.

use std::ops::Range;

use fastrand::Rng;

use crate::dice::{Moment, between, chance};

/// When DNS hangs around a change at zero, in two of three: from before it or some time after.
pub fn hang(rng: &mut Rng) -> Option<Range<i64>> {
    chance(rng, 0.67).then(|| {
        let from = between(rng, 0.0, 50.0) as i64 - 20_000;
        from..from + between(rng, 20.0, 240.0) as i64
    })
}

/// How long a name server takes to answer: the first one, and another one, which is nearer.
pub fn server_latency(rng: &mut Rng, is_first: bool) -> Moment {
    if is_first { between(rng, 0.005, 0.04) } else { between(rng, 0.001, 0.02) }
}

/// How often the first of two name servers hangs around a change, and for how long.
pub fn server_hang(rng: &mut Rng) -> Option<Range<i64>> {
    chance(rng, 0.3).then(|| {
        let from = between(rng, 0.0, 60.0) as i64;
        from..from + between(rng, 5.0, 45.0) as i64
    })
}

/// How often the first of two name servers fails in one second (SERVFAIL).
pub const SERVER_FAILS: f64 = 0.02;

/// How often the second name server knows no RDS names; else its answers are old.
pub const KNOWS_NOTHING: f64 = 0.5;

/// How old the answers of such a server are.
pub fn staleness(rng: &mut Rng) -> Moment {
    between(rng, 30.0, 300.0)
}

/// How long a description of a throttled group takes, with the SDK's retries.
pub fn description(rng: &mut Rng) -> Moment {
    between(rng, 5.0, 7.0)
}

/// How often a name that leads nowhere is not answered at all; else there is no such name.
pub const UNANSWERED: f64 = 0.6;

/// How often a cluster with readers is the secondary of a global database, which has no writer.
pub const SECONDARY: f64 = 0.3;

/// How often the RDS API flags two members around a failover, and how often none.
pub const FLAGGED: f64 = 0.4;

/// From the move, or the RDS API's first word of it if later, until the flags are clear.
pub fn flags_clear(rng: &mut Rng) -> Moment {
    between(rng, 1.0, 60.0)
}

/// How long blue goes on saying that it takes writes, or green lets nobody in: nothing is for good.
pub fn stubbornness(rng: &mut Rng) -> Option<Moment> {
    chance(rng, 0.7).then(|| between(rng, 30.0, 600.0))
}

/// How often blue goes on saying that it takes writes.
pub const BLUE_TAKES_WRITES: f64 = 0.7;

/// How often green lets the function's login not in.
pub const GREEN_REFUSES: f64 = 0.5;
