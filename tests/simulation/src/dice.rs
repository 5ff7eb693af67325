//! Chance without state: it depends on seed, topic and moment, never on who asked before.
//!
//! So every strategy lives in the same world, and one seed replays it.

use fastrand::Rng;

use crate::kinds::Kind;

/// Milliseconds since the world began.
pub type Moment = u64;

/// One second.
pub const SECOND: Moment = 1_000;

/// The dice of one world.
#[derive(Clone, Copy, Debug)]
pub struct Dice(u64);

/// What is being diced for. Each topic has its own numbers.
#[derive(Clone, Copy, Debug)]
pub enum Topic {
    /// How the world is made.
    Making,
    /// Which answer a resolver got while DNS flapped: change, resolver, refill.
    Flap,
    /// How late a resolver hears of a change: change, resolver.
    ResolverLag,
    /// Whether a service refuses in this second: service, second.
    Refusal,
    /// How long a call takes and what becomes of it: invocation, call.
    Call,
    /// Whether and when a process dies: invocation.
    Death,
    /// How a name of one's own or a proxy is made, and what becomes of it: its number.
    Pool,
    /// Which part of its addresses a name gives: name, resolver, refill.
    Part,
    /// Which bindings are in trouble, and how slow the calls of one are: invocation, call.
    Trouble,
    /// What the databases say around a move, and whether they can be asked: move; or host, second.
    Role,
    /// What is wrong with the sources in some worlds; whether a name server fails: second; how long
    /// it takes: invocation, call.
    Fault,
    /// What the load balancer is like: 0; how late a zone follows: 1, or 2 and the zone, moment,
    /// what is followed; which zones DNS lacks: 100 and the zone, resolver, refill.
    Path,
}

impl Dice {
    /// The dice of the world of this kind with this seed.
    pub fn new(kind: Kind, seed: u64) -> Dice {
        Dice(scramble(seed.wrapping_add((kind as u64) << 48)))
    }

    /// The numbers for this topic at these keys.
    pub fn of(self, topic: Topic, keys: [u64; 3]) -> Rng {
        let hash =
            keys.iter().fold(scramble(self.0 ^ topic as u64), |hash, key| scramble(hash ^ key));
        Rng::with_seed(hash)
    }
}

/// Whether something with this probability happens.
pub fn chance(rng: &mut Rng, probability: f64) -> bool {
    rng.f64() < probability
}

/// A uniform time between two numbers of seconds.
pub fn between(rng: &mut Rng, from: f64, to: f64) -> Moment {
    ((from + rng.f64() * (to - from)) * 1e3) as Moment
}

/// The finaliser of SplitMix64, which spreads neighbouring seeds far apart.
fn scramble(value: u64) -> u64 {
    let mut z = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
