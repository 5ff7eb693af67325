//! A world's resolvers: they lag behind the authority, flap while it changes, and cache.

use std::net::IpAddr;

use fastrand::Rng;
use reconcile::target::Addresses;

use crate::dice::{Dice, Moment, Topic, between};
use crate::distributions as d;

/// What a resolver answers.
#[derive(Clone, Debug)]
pub struct CachedAnswer {
    /// The addresses in the answer.
    pub addresses: Addresses,
    /// For how long the resolver will go on giving it. Milliseconds.
    pub expires_in: Moment,
}

/// When DNS follows a change.
#[derive(Clone, Copy, Debug)]
pub struct Spread {
    /// A number that no other change of the world has.
    pub number: u64,
    /// The first answer that may tell of the change.
    pub first: Moment,
    /// From here on every answer of the authority does.
    pub steady: Moment,
}

impl Spread {
    /// From here on every resolver tells of it.
    pub fn everywhere(&self, ttl: Moment) -> Moment {
        self.steady + ttl + d::LONGEST_RESOLVER_LAG
    }
}

/// The resolvers. Each process asks one of them.
#[derive(Debug)]
pub struct Resolvers {
    /// When each refills its cache first, of a name whose answers are kept for [`d::TTL`].
    phases: Vec<Moment>,
    dice: Dice,
}

impl Resolvers {
    pub(crate) fn new(dice: Dice, rng: &mut Rng) -> Resolvers {
        Resolvers { phases: (0..3).map(|_| between(rng, 0.0, d::TTL as f64 / 1e3)).collect(), dice }
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.phases.len()
    }

    /// When it asked the authority last, and will again: others refill its cache at each expiry.
    pub fn refill(&self, resolver: usize, at: Moment, ttl: Moment) -> (Moment, Moment) {
        let phase = self.phases[resolver] * ttl / d::TTL;
        let refill = at.saturating_sub((at + ttl - phase) % ttl);
        (refill, (refill + ttl).max(at + 1))
    }

    /// Whether the answer that the resolver fetched then tells of the change.
    pub fn knows(&self, spread: Spread, resolver: usize, refill: Moment) -> bool {
        if refill < spread.first {
            return false;
        }
        let keys = [spread.number, resolver as u64, 0];
        let refill_there =
            refill.saturating_sub(d::resolver_lag(&mut self.dice.of(Topic::ResolverLag, keys)));
        if refill_there < spread.first || refill_there >= spread.steady {
            return refill_there >= spread.steady;
        }
        self.dice.of(Topic::Flap, [spread.number, resolver as u64, refill]).bool()
    }

    /// So many of a name's addresses as one answer gives: others each time that the resolver asks.
    pub fn part(
        &self,
        name: u64,
        mut addresses: Vec<IpAddr>,
        size: usize,
        resolver: usize,
        refill: Moment,
    ) -> Addresses {
        if size < addresses.len() {
            self.dice.of(Topic::Part, [name, resolver as u64, refill]).shuffle(&mut addresses);
            addresses.truncate(size);
        }
        Addresses::new(addresses).expect("a name of this world has an address")
    }
}
