//! A name with addresses: a proxy, a custom endpoint, or where a name of one's own leads.

use std::net::IpAddr;
use std::sync::Arc;

use fastrand::Rng;
use reconcile::binding::Family;
use reconcile::claim::Role;

use crate::database::{ID, address};
use crate::dice::{Dice, Moment, Topic, between, chance};
use crate::distributions as d;
use crate::distributions::database as dd;
use crate::distributions::kinds as dk;
use crate::making::ZONE;
use crate::resolvers::{CachedAnswer, Resolvers, Spread};
use crate::roles::takes_sessions;
use crate::scenario::CHANGES;
use crate::subject::{Subject, Wanted, list};

/// A name, its addresses, and everything that will happen to them.
pub struct Pool {
    name: String,
    /// Unlike that of any other name.
    number: u64,
    /// How many addresses one answer gives.
    size: usize,
    ttl: Moment,
    /// Whether an address that it gives no more may stay as long as it is well.
    lets_stay: bool,
    first: Vec<IpAddr>,
    turns: Vec<Turn>,
    resolvers: Arc<Resolvers>,
}

/// A change of the addresses.
struct Turn {
    /// When it is real.
    moved: Moment,
    dns: Spread,
    after: Vec<IpAddr>,
    /// Those that never answer again.
    lost: Vec<IpAddr>,
}

/// What a turn does, before DNS numbers it.
struct Draft {
    after: Vec<IpAddr>,
    lost: Vec<IpAddr>,
    /// When DNS tells of it first. Milliseconds after it is real; before it, if negative.
    lag: i64,
}

impl Pool {
    /// A proxy: one address at a time comes, or goes for good.
    pub(crate) fn proxy(resolvers: Arc<Resolvers>, rng: &mut Rng) -> Pool {
        let number = 1;
        let mut fresh = (0..).map(|host| address(number, host, Family::Ipv4));
        let mut now: Vec<IpAddr> = fresh.by_ref().take(dk::proxy_size(rng)).collect();
        let (first, size) = (now.clone(), dk::proxy_answer(rng));
        let turns = turns(number, rng, |rng| {
            let comes = now.len() < 2 || (now.len() < dk::PROXY_AT_MOST && rng.bool());
            let lost = if comes { Vec::new() } else { vec![now.remove(rng.usize(..now.len()))] };
            now.extend(fresh.by_ref().take(usize::from(comes)));
            Draft { after: now.clone(), lost, lag: dk::proxy_lag(rng, comes) }
        });
        let name = format!("{ID}.proxy-{ZONE}");
        Pool {
            name,
            number: number.into(),
            size,
            ttl: d::TTL,
            lets_stay: false,
            first,
            turns,
            resolvers,
        }
    }

    /// A custom endpoint: one member at a time comes, or goes, whether or not it is still well.
    pub(crate) fn custom(resolvers: Arc<Resolvers>, rng: &mut Rng) -> Pool {
        let number = 3;
        let mut fresh = (0..).map(|host| address(number, host, Family::Ipv4));
        let mut now: Vec<IpAddr> = fresh.by_ref().take(dk::custom_size(rng)).collect();
        let (first, size) = (now.clone(), dk::reader_answer(rng));
        let turns = turns(number, rng, |rng| {
            let comes = now.len() < 2 || (now.len() < dk::MEMBERS_AT_MOST && rng.bool());
            let left = if comes { Vec::new() } else { vec![now.remove(rng.usize(..now.len()))] };
            now.extend(fresh.by_ref().take(usize::from(comes)));
            let is_dead = chance(rng, dk::LEFT_OUT_DEAD);
            Draft {
                after: now.clone(),
                lost: if is_dead { left } else { Vec::new() },
                lag: dk::proxy_lag(rng, comes),
            }
        });
        let name = format!("any.cluster-custom-{ZONE}");
        Pool {
            name,
            number: number.into(),
            size,
            ttl: d::TTL,
            lets_stay: true,
            first,
            turns,
            resolvers,
        }
    }

    /// A name of one's own, whose whole set changes, and sometimes goes back to the one before.
    pub(crate) fn hostname(resolvers: Arc<Resolvers>, rng: &mut Rng) -> Pool {
        let number = 2;
        let mut fresh = (0..).map(|host| address(number, host, Family::Ipv4));
        let mut now: Vec<IpAddr> = fresh.by_ref().take(dk::hostname_size(rng)).collect();
        let (first, ttl) = (now.clone(), dk::hostname_ttl(rng));
        let mut before: Option<Vec<IpAddr>> = None;
        let turns = turns(number, rng, |rng| {
            let back = before.take().filter(|_| chance(rng, dk::GOES_BACK));
            let after = back.unwrap_or_else(|| {
                let kept = now[..rng.usize(..now.len())].iter().copied();
                kept.chain(fresh.by_ref().take(dk::hostname_size(rng))).collect()
            });
            let left: Vec<IpAddr> =
                now.iter().copied().filter(|address| !after.contains(address)).collect();
            let dead = chance(rng, dk::LEFT_DEAD);
            before = (!dead).then(|| std::mem::replace(&mut now, after.clone()));
            now.clone_from(&after);
            Draft { after, lost: if dead { left } else { Vec::new() }, lag: 0 }
        });
        Pool {
            name: "db.example.com".to_owned(),
            number: number.into(),
            size: usize::MAX,
            ttl,
            lets_stay: false,
            first,
            turns,
            resolvers,
        }
    }

    fn now(&self, is_named: impl Fn(&Turn) -> bool) -> Vec<IpAddr> {
        self.turns
            .iter()
            .rev()
            .find(|turn| is_named(turn))
            .map_or(&self.first, |turn| &turn.after)
            .clone()
    }
}

impl Subject for Pool {
    fn endpoint(&self) -> &str {
        &self.name
    }

    fn answer(&self, resolver: usize, at: Moment) -> CachedAnswer {
        let (refill, expires) = self.resolvers.refill(resolver, at, self.ttl);
        let known = self.now(|turn| self.resolvers.knows(turn.dns, resolver, refill));
        let addresses = self.resolvers.part(self.number, known, self.size, resolver, refill);
        CachedAnswer { addresses, expires_in: expires - at }
    }

    fn wanted(&self, at: Moment) -> Wanted {
        let known = self.first.iter().chain(
            self.turns.iter().take_while(|turn| turn.moved <= at).flat_map(|turn| &turn.after),
        );
        let stays = |address: &&IpAddr| self.lets_stay && !self.is_down(**address, at);
        Wanted {
            needed: self.now(|turn| turn.moved <= at),
            tolerated: known.filter(stays).copied().collect(),
        }
    }

    fn changes(&self) -> Vec<Moment> {
        self.turns.iter().map(|turn| turn.moved).collect()
    }

    fn is_down(&self, address: IpAddr, at: Moment) -> bool {
        self.turns.iter().any(|turn| turn.moved <= at && turn.lost.contains(&address))
    }

    /// Each address of the name takes writes; a former one lives on as a standby, or is dead.
    fn role(&self, dice: Dice, address: IpAddr, at: Moment) -> Option<Role> {
        let mut role = self.first.contains(&address).then_some(Role::Writer);
        let mut before = &self.first;
        for turn in self.turns.iter().take_while(|turn| turn.moved <= at) {
            let times = dd::role_change(&mut dice.of(Topic::Role, [turn.dns.number, 0, 0]));
            match (before.contains(&address), turn.after.contains(&address)) {
                (false, true) => {
                    role = (at >= turn.moved + times.new_answers).then_some(Role::Writer)
                }
                (true, false)
                    if times.old_is_fenced.is_some_and(|fenced| at < turn.moved + fenced) => {}
                (true, false) => {
                    let is_back =
                        at >= turn.moved + times.old_returns && !turn.lost.contains(&address);
                    role = is_back.then_some(Role::Reader);
                }
                _ => {}
            }
            before = &turn.after;
        }
        role.filter(|_| takes_sessions(dice, number_of(address), at))
    }

    fn agreed(&self) -> Moment {
        self.turns.iter().map(|turn| turn.dns.everywhere(self.ttl)).max().unwrap_or(0)
    }

    fn story(&self) -> Vec<(Moment, String)> {
        let tell = |turn: &Turn| {
            let addresses = list(&turn.after);
            let moved = format!("world     {} HAS {addresses} from now on", self.name);
            [
                (turn.moved, moved),
                (turn.dns.steady, format!("world     DNS knows {addresses}, but for caches")),
            ]
        };
        self.turns.iter().flat_map(tell).collect()
    }
}

/// A number that no other address of a pool has, nor any host of a database.
fn number_of(address: IpAddr) -> u64 {
    match address {
        IpAddr::V4(address) => address.to_bits().into(),
        IpAddr::V6(address) => address.to_bits() as u64,
    }
}

fn turns(pool: u8, rng: &mut Rng, mut turn: impl FnMut(&mut Rng) -> Draft) -> Vec<Turn> {
    let mut moved = between(rng, 150.0, 210.0);
    let mut number = u64::from(pool) * 1_000;
    let mut next = || {
        let Draft { after, lost, lag } = turn(rng);
        let first = moved.saturating_add_signed(lag);
        let dns = Spread { number, first, steady: first + dk::flapping(rng) };
        let turn = Turn { moved, dns, after, lost };
        number += 1;
        moved += d::gap(rng);
        turn
    };
    (0..CHANGES).map(|_| next()).collect()
}
