//! The load balancer's data plane: to which targets a new session in each zone goes, and when.
//!
//! A zone follows the target group late, and each registration and deregistration by itself, in
//! their order. So for a while a zone may have both targets, and a session goes to either; or none.
//! Health is left out: it takes a load balancer longer than most restarts to see one.

use std::net::{IpAddr, SocketAddr};
use std::ops::Range;

use reconcile::binding::Family;
use reconcile::target::{Addresses, Target};

use crate::database::{Database, address};
use crate::dice::{Dice, Moment, Topic, chance};
use crate::distributions::path as d;
use crate::resolvers::{CachedAnswer, Resolvers};

/// The name of the load balancer.
pub const NAME: &str = "link-0a1b.elb.eu-west-1.amazonaws.com";

/// The port of its listener, which is not the database's.
pub const LISTENER_PORT: u16 = 15_432;

/// The network of its addresses.
const NETWORK: u8 = 100;

/// The members of a target group from when on, as [`crate::group::Group`] notes them.
pub type Members = [(Moment, Vec<Target>)];

/// A load balancer.
pub struct DataPlane {
    zones: Vec<Zone>,
    /// Whether its security group lets the function in.
    pub is_function_admitted: bool,
    dice: Dice,
}

/// A zone, with an address of its own.
struct Zone {
    address: IpAddr,
    troubles: Vec<(Range<Moment>, ZoneTrouble)>,
}

/// What is wrong with a zone for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ZoneTrouble {
    /// Nobody answers.
    Silent,
    /// The database blocks its address.
    Blocked,
}

impl DataPlane {
    /// The load balancer of a world.
    pub(crate) fn new(database: &Database, dice: Dice) -> DataPlane {
        let rng = &mut dice.of(Topic::Path, [0; 3]);
        let zone = |number| {
            let mut trouble = |from: Moment| {
                let Range { start, end } = d::zone_trouble(rng)?;
                let is_blocked = chance(rng, d::BLOCKED);
                let what = if is_blocked { ZoneTrouble::Blocked } else { ZoneTrouble::Silent };
                Some((from + start..from + end, what))
            };
            let changes = database.changes.iter();
            let troubles = changes.filter_map(|change| trouble(change.started)).collect();
            Zone { address: address(NETWORK, number, Family::Ipv4), troubles }
        };
        let zones = (0..d::ZONES).map(zone).collect();
        let is_function_admitted = !chance(&mut dice.of(Topic::Path, [0, 1, 0]), d::NOT_ADMITTED);
        DataPlane { zones, is_function_admitted, dice }
    }

    /// Its addresses, one a zone.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        self.zones.iter().map(|zone| zone.address)
    }

    /// The zone to which a session to this server comes in.
    pub fn zone(&self, server: SocketAddr) -> Option<usize> {
        let is_it = |zone: &Zone| SocketAddr::new(zone.address, LISTENER_PORT) == server;
        self.zones.iter().position(is_it)
    }

    /// What a resolver answers for its name.
    pub(crate) fn answer(
        &self,
        resolvers: &Resolvers,
        resolver: usize,
        at: Moment,
    ) -> CachedAnswer {
        let (refill, expires) = resolvers.refill(resolver, at, d::TTL);
        let is_named = |number: &usize| {
            let keys = [100 + *number as u64, resolver as u64, refill];
            self.trouble(*number, refill) != Some(ZoneTrouble::Silent)
                || !chance(&mut self.dice.of(Topic::Path, keys), d::LEFT_OUT)
        };
        let named = (0..self.zones.len()).filter(is_named).map(|zone| self.zones[zone].address);
        // With no zone left all are named.
        let addresses = Addresses::new(named).or_else(|| Addresses::new(self.addresses()));
        let addresses = addresses.expect("a load balancer has zones");
        CachedAnswer { addresses, expires_in: expires - at }
    }

    /// What is wrong with a zone.
    pub fn trouble(&self, zone: usize, at: Moment) -> Option<ZoneTrouble> {
        let is_now = |(range, _): &&(Range<Moment>, _)| range.contains(&at);
        self.zones[zone].troubles.iter().find(is_now).map(|(_, trouble)| *trouble)
    }

    /// The targets to which a new session in a zone goes: to any of them.
    pub fn targets(&self, zone: usize, members: &Members, at: Moment) -> Vec<Target> {
        let is_used = |target: &Target| {
            let until_now = self.turns(zone, *target, members).into_iter();
            until_now.take_while(|(from, _)| *from <= at).last().is_some_and(|(_, used)| used)
        };
        let known = members.iter().take_while(|(from, _)| *from <= at);
        let mut known: Vec<Target> = known.flat_map(|(_, members)| members).copied().collect();
        known.sort_unstable();
        known.dedup();
        known.into_iter().filter(is_used).collect()
    }

    /// Every moment from `since` on at which something changes for any zone.
    pub fn moments(&self, members: &Members, since: Moment) -> Vec<Moment> {
        let mut moments = vec![since];
        for (number, zone) in self.zones.iter().enumerate() {
            moments.extend(zone.troubles.iter().flat_map(|(range, _)| [range.start, range.end]));
            let known = members.iter().flat_map(|(_, members)| members);
            let turns = known.flat_map(|target| self.turns(number, *target, members));
            moments.extend(turns.map(|(from, _)| from));
        }
        moments.retain(|at| *at >= since);
        moments.sort_unstable();
        moments.dedup();
        moments
    }

    /// When nothing is wrong any more with any zone.
    pub(crate) fn over(&self) -> Moment {
        let troubles = self.zones.iter().flat_map(|zone| &zone.troubles);
        troubles.map(|(range, _)| range.end).max().unwrap_or(0)
    }

    /// What is wrong, in words for a trace.
    pub(crate) fn story(&self) -> Vec<(Moment, String)> {
        let mut story = Vec::new();
        if !self.is_function_admitted {
            story.push((0, "world     the load balancer does not let the function in".to_owned()));
        }
        for Zone { address, troubles } in &self.zones {
            for (range, trouble) in troubles {
                story.push((range.start, format!("world     zone {address} is {trouble:?}")));
                story.push((range.end, format!("world     zone {address} is well again")));
            }
        }
        story
    }

    /// From when on a zone uses a target or does not, in order.
    fn turns(&self, zone: usize, target: Target, members: &Members) -> Vec<(Moment, bool)> {
        let is_member = |members: &[Target]| members.contains(&target);
        let mut turns: Vec<(Moment, bool)> = Vec::new();
        let mut was_member = false;
        for (number, (at, members)) in members.iter().enumerate() {
            let is_now = is_member(members);
            if is_now == was_member {
                continue;
            }
            was_member = is_now;
            if number == 0 {
                // What is there when the world begins is followed already.
                turns.push((0, is_now));
                continue;
            }
            let of = |whose: u64| self.dice.of(Topic::Path, [whose, *at, u64::from(is_now)]);
            let (all, own) = (&mut of(1), &mut of(2 + zone as u64));
            let first = if is_now { d::registration(all) } else { d::deregistration(all) };
            let earliest = turns.last().map_or(0, |(from, _)| *from);
            let from = earliest.max(at + first + d::lag_of_zone(own));
            turns.push((from, is_now));
            if let Some(Range { start, end }) = d::relapse(own).filter(|_| is_now) {
                turns.extend([(from + start, false), (from + end, true)]);
            }
        }
        turns
    }
}
