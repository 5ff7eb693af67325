//! How a load balancer follows its target group, zone by zone, and what is wrong with its path.
//!
//! AWS publishes no figure but "a few minutes". The reports are of users, and old; the shares, and
//! all that names no source, are *assumed*, wide, before the first run.

use std::ops::Range;

use fastrand::Rng;

use crate::dice::{Moment, SECOND, between, chance};

/// How many zones a load balancer has. AWS: at least two are recommended; a Region has three.
pub const ZONES: usize = 3;

/// How long a resolver keeps the addresses of a load balancer's name. AWS: a TTL of 60 s.
pub const TTL: Moment = 60 * SECOND;

/// From a registration until new sessions reach the target in the first zone.
///
/// | share | seconds | aws-load-balancer-controller#1834, #4180; containers-roadmap#2511     |
/// |-------|---------|------------------------------------------------------------------------|
/// | 30 %  | 20–90   | about a minute (2025); an employee: "should be much faster" (2024)     |
/// | 50 %  | 90–180  | the maintainer: "90 to 180 seconds" (2021)                             |
/// | 20 %  | 180–300 | support, quoted with 3 to 5 minutes (2023); 3 to 4 minutes (2024)      |
pub fn registration(rng: &mut Rng) -> Moment {
    match rng.f64() {
        x if x < 0.30 => between(rng, 20.0, 90.0),
        x if x < 0.80 => between(rng, 90.0, 180.0),
        _ => between(rng, 180.0, 300.0),
    }
}

/// From a deregistration until the first zone sends no new session there, whatever the delay is:
/// about 2 min (containers-roadmap#470, 2023; aws-load-balancer-controller#2366 and #3270), 75 s
/// (#470, 2019).
pub fn deregistration(rng: &mut Rng) -> Moment {
    if chance(rng, 0.8) { between(rng, 100.0, 140.0) } else { between(rng, 30.0, 100.0) }
}

/// How much later than the first a zone follows: 3 of 40 listeners were some 30 s behind
/// (openkruise/kruise-game#363, 2026).
pub fn lag_of_zone(rng: &mut Rng) -> Moment {
    if chance(rng, 3.0 / 40.0) { between(rng, 20.0, 40.0) } else { between(rng, 0.0, 10.0) }
}

/// How often a zone that follows a registration is right, silent, and right again; from its first
/// right session to the silence, and for how long. After a change of a listener it was right for 10
/// to 20 s, silent, and right after 30 s more (containers-roadmap#470); that it also happens after
/// a registration is assumed.
pub fn relapse(rng: &mut Rng) -> Option<Range<Moment>> {
    chance(rng, 0.1).then(|| {
        let from = between(rng, 1.0, 20.0);
        from..from + between(rng, 10.0, 30.0)
    })
}

/// How often something is wrong with a zone around a change, from when on after it began, and for
/// how long. One of three addresses was silent for good (aws-load-balancer-controller#1895).
pub fn zone_trouble(rng: &mut Rng) -> Option<Range<Moment>> {
    chance(rng, 0.05).then(|| {
        let from = between(rng, 0.0, 600.0);
        from..from + between(rng, 20.0, 900.0)
    })
}

/// How often that is a database that blocks the load balancer's address in the zone; else silence.
pub const BLOCKED: f64 = 0.3;

/// How often a resolver's answer lacks a zone that is silent. AWS: DNS names the healthy zones.
pub const LEFT_OUT: f64 = 0.7;

/// How often no rule lets the function in, so that all is silent to it alone.
pub const NOT_ADMITTED: f64 = 0.05;

/// How many members a cluster has: one, as many as AWS allows readers, or a few.
pub fn members(rng: &mut Rng) -> usize {
    match rng.f64() {
        x if x < 0.1 => 1,
        x if x < 0.2 => 15,
        _ => rng.usize(2..=4),
    }
}

/// How often the writer restarts by itself, or is full, some time after a change; and for how long.
pub fn lapse(rng: &mut Rng) -> Option<Range<Moment>> {
    chance(rng, 0.6).then(|| {
        let from = between(rng, 5.0, 240.0);
        from..from + between(rng, 2.0, 60.0)
    })
}

/// How often it is full then.
pub const FULL: f64 = 0.5;

/// How often the writer restarts over and over some time after a change, and for how long.
pub fn restarts(rng: &mut Rng) -> Option<Range<Moment>> {
    chance(rng, 0.3).then(|| {
        let from = between(rng, 5.0, 240.0);
        from..from + between(rng, 60.0, 300.0)
    })
}

/// For how long it is up then, and down.
pub fn up_and_down(rng: &mut Rng) -> [Moment; 2] {
    [between(rng, 2.0, 10.0), between(rng, 0.5, 3.0)]
}

/// How often an old writer that is back says for a while that it takes writes; from when on after
/// the move, and for how long. No such report of RDS is known: it is why an identity is asked for.
pub fn relapse_of_writer(rng: &mut Rng) -> Option<Range<Moment>> {
    chance(rng, 0.25).then(|| {
        let from = between(rng, 5.0, 30.0);
        from..from + between(rng, 10.0, 90.0)
    })
}

/// How long a session waits for TCP where nobody answers: the function's limit.
pub const SILENCE: Moment = 3 * SECOND;
