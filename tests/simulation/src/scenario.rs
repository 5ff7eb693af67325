//! What happens in a world whatever the function does: who the writer is, and what each witness says about it when.
//!
//! Everything here is a function of the seed and the moment, so that all strategies meet the same world.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use fastrand::Rng;
use reconcile::config::Config;
use serde_json::json;

use crate::deliveries::{Delivery, deliver};
use crate::dice::{Dice, Moment, SECOND, Topic, between, chance};
use crate::distributions as d;

/// How many times the writer moves in each world.
pub const MOVES: usize = 5;

/// The port of the database.
pub const PORT: u16 = 5432;

/// An address, by its number in [`Scenario::hosts`].
pub type Host = usize;

/// What a world follows, and everything that will happen in it.
pub struct Scenario {
    /// The seed it was made from.
    pub seed: u64,
    /// Whether it is a cluster; else it is a Multi-AZ instance.
    pub is_cluster: bool,
    /// Every address there will be, and the cluster member that it belongs to.
    pub hosts: Vec<(IpAddr, usize)>,
    /// The identifiers of the cluster's members.
    pub members: Vec<String>,
    /// The name that the function is to follow, and those of the members.
    pub endpoint: String,
    /// The name of each member.
    pub member_endpoints: Vec<String>,
    /// The writer before the first move.
    pub first_writer: Host,
    /// The moves, in order.
    pub moves: Vec<Move>,
    /// Every message that reaches the function, in order.
    pub deliveries: Vec<Delivery>,
    /// When the first scheduled run is.
    pub first_tick: Moment,
    /// From here on the sources agree, nothing fails and no message comes.
    pub settled: Moment,
    /// The function's configuration.
    pub config: Config,
    /// The port that a leftover registration of the first writer is on, in worlds that begin with a mistake.
    pub leftover_port: Option<u16>,
    topology_is_readable: bool,
    outages: Vec<(Service, Moment, Moment)>,
    resolver_phases: Vec<Moment>,
    dice: Dice,
}

/// One move of the writer.
#[derive(Clone, Debug)]
pub struct Move {
    /// Whether the member's host is replaced: the address behind an unchanged name changes.
    pub is_replacement: bool,
    /// When it begins.
    pub started: Moment,
    /// When the new address takes writes.
    pub moved: Moment,
    /// When RDS says that it is done.
    pub completed: Moment,
    /// Where the writer was.
    pub from: Host,
    /// Where the writer is now.
    pub to: Host,
    /// The first answer of DNS that may name the new address.
    pub dns_first: Moment,
    /// From here on the authority always names it.
    pub dns_steady: Moment,
    /// From here on the RDS API names the new writer.
    pub topology: Moment,
    /// From `started` to here the RDS API calls the instance something else than `available`.
    pub available: Moment,
}

/// A service that may fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// The resolvers.
    Dns,
    /// The RDS API.
    Rds,
    /// DescribeTargetHealth.
    Describe,
    /// RegisterTargets and DeregisterTargets, which share a token bucket.
    Write,
}

impl Scenario {
    /// The world of this seed.
    pub fn new(seed: u64) -> Arc<Scenario> {
        let dice = Dice::new(seed);
        let rng = &mut dice.of(Topic::Making, [0; 3]);
        let is_cluster = chance(rng, 0.7);
        let member_count = if is_cluster { rng.usize(2..=4) } else { 2 };
        let members: Vec<String> =
            (0..member_count).map(|member| format!("orders-{}", ["a", "b", "c", "d"][member])).collect();
        let zone = "c0ffee.eu-west-1.rds.amazonaws.com";
        let endpoint = if is_cluster { format!("orders.cluster-{zone}") } else { format!("orders.{zone}") };
        let mut scenario = Scenario {
            seed,
            is_cluster,
            hosts: (0..member_count).map(|member| (address(member), member)).collect(),
            member_endpoints: members.iter().map(|member| format!("{member}.{zone}")).collect(),
            members,
            config: configure(&endpoint, is_cluster),
            endpoint,
            first_writer: rng.usize(..member_count),
            moves: Vec::new(),
            deliveries: Vec::new(),
            first_tick: between(rng, 0.0, 60.0),
            settled: 0,
            leftover_port: chance(rng, 0.1).then_some(PORT + 1),
            topology_is_readable: is_cluster && !chance(rng, d::TOPOLOGY_UNREADABLE),
            outages: Vec::new(),
            resolver_phases: (0..3).map(|_| between(rng, 0.0, d::TTL as f64 / 1e3)).collect(),
            dice,
        };
        scenario.make_moves(rng);
        scenario.deliveries = deliver(&scenario, rng);
        let heard = scenario.deliveries.iter().map(|delivery| delivery.at);
        let agreed = scenario.moves.iter().map(|a| (a.dns_steady + d::TTL + d::LONGEST_RESOLVER_LAG).max(a.topology));
        let over = scenario.outages.iter().map(|(_, _, until)| *until);
        scenario.settled = heard.chain(agreed).chain(over).max().unwrap_or(0);
        Arc::new(scenario)
    }

    fn make_moves(&mut self, rng: &mut Rng) {
        let mut started = between(rng, 150.0, 210.0);
        // The address that each member has now.
        let mut current: Vec<Host> = (0..self.members.len()).collect();
        let (mut writer, mut before) = (self.first_writer, None);
        for _ in 0..MOVES {
            let member = self.hosts[writer].1;
            let is_replacement = chance(rng, d::REPLACED);
            let to = if is_replacement {
                self.hosts.push((address(self.hosts.len()), member));
                current[member] = self.hosts.len() - 1;
                current[member]
            } else {
                let others: Vec<usize> = (0..self.members.len()).filter(|other| *other != member).collect();
                // Two in three failovers of larger clusters go back to where they came from, if they came from there.
                let back = before.filter(|back| others.contains(back) && chance(rng, 0.66));
                current[back.unwrap_or(others[rng.usize(..others.len())])]
            };
            let course = if self.is_cluster { d::cluster_course(rng) } else { d::instance_course(rng) };
            let moved = started + course.moved;
            let dns = d::propagation(rng, self.is_cluster);
            let completed = started + course.completed;
            self.moves.push(Move {
                is_replacement,
                started,
                moved,
                completed,
                from: writer,
                to,
                dns_first: moved + dns.first,
                dns_steady: moved + dns.steady,
                topology: moved + d::topology_lag(rng),
                available: completed + d::status_lag(rng),
            });
            for service in [Service::Dns, Service::Rds, Service::Describe, Service::Write] {
                if chance(rng, d::OUTAGE) {
                    let from = started + between(rng, 0.0, 60.0);
                    self.outages.push((service, from, from + d::outage(rng)));
                }
            }
            before = Some(member);
            writer = to;
            // RDS does one failover at a time.
            started = (started + d::gap(rng)).max(completed + SECOND);
        }
    }

    /// The writer's address at a moment.
    pub fn writer(&self, at: Moment) -> Host {
        self.moves.iter().rev().find(|change| change.moved <= at).map_or(self.first_writer, |change| change.to)
    }

    /// The writer's address at a moment.
    pub fn writer_address(&self, at: Moment) -> IpAddr {
        self.hosts[self.writer(at)].0
    }

    /// What a resolver answers for the endpoint, and for how long it will keep the answer.
    pub fn writer_by_dns(&self, resolver: usize, at: Moment) -> (Host, Moment) {
        let (refill, expires) = self.refill(resolver, at);
        let heard = self.changes_heard(resolver, refill);
        (heard.map_or(self.first_writer, |change| change.to), expires - at)
    }

    /// What a resolver answers for a member's endpoint, and for how long it will keep the answer.
    pub fn member_by_dns(&self, member: usize, resolver: usize, at: Moment) -> (Host, Moment) {
        let (refill, expires) = self.refill(resolver, at);
        // A member's address changes only when its host is replaced, and DNS tells of that as of any other change.
        let replaced = self.moves.iter().enumerate().rev().find(|(number, change)| {
            change.is_replacement && self.hosts[change.to].1 == member && self.hears(*number, resolver, refill)
        });
        (replaced.map_or(member, |(_, change)| change.to), expires - at)
    }

    /// When the resolver asked the authority last, and when it will ask again. Others ask it too, so that it refills its
    /// cache at every expiry.
    fn refill(&self, resolver: usize, at: Moment) -> (Moment, Moment) {
        let phase = self.resolver_phases[resolver];
        let refill = at.saturating_sub((at + d::TTL - phase) % d::TTL);
        (refill, (refill + d::TTL).max(at + 1))
    }

    fn changes_heard(&self, resolver: usize, refill: Moment) -> Option<&Move> {
        let mut latest = self.moves.iter().enumerate().rev();
        latest.find(|(number, _)| self.hears(*number, resolver, refill)).map(|(_, change)| change)
    }

    fn hears(&self, number: usize, resolver: usize, refill: Moment) -> bool {
        let change = &self.moves[number];
        if refill < change.dns_first {
            return false;
        }
        let keys = [number as u64, resolver as u64, 0];
        let refill_there = refill.saturating_sub(d::resolver_lag(&mut self.dice.of(Topic::ResolverLag, keys)));
        if refill_there < change.dns_first || refill_there >= change.dns_steady {
            return refill_there >= change.dns_steady;
        }
        self.dice.of(Topic::Flap, [number as u64, resolver as u64, refill]).bool()
    }

    /// How many resolvers there are.
    pub fn resolvers(&self) -> usize {
        self.resolver_phases.len()
    }

    /// The member that the RDS API calls the writer.
    pub fn writer_by_topology(&self, at: Moment) -> usize {
        let told = self.moves.iter().rev().find(|change| change.topology <= at);
        self.hosts[told.map_or(self.first_writer, |change| change.to)].1
    }

    /// What the RDS API says about an instance: a failover restarts the old and the new writer.
    pub fn status(&self, member: usize, at: Moment) -> &'static str {
        let is_busy = |change: &Move| {
            let is_part = !self.is_cluster || [change.from, change.to].iter().any(|host| self.hosts[*host].1 == member);
            is_part && (change.started..change.available).contains(&at)
        };
        if self.moves.iter().any(is_busy) { "rebooting" } else { "available" }
    }

    /// Whether the health checks of an address fail: its database restarts around the move.
    pub fn is_down(&self, address: IpAddr, at: Moment) -> bool {
        self.moves.iter().any(|change| {
            let restarts = self.hosts[change.from].0 == address || self.hosts[change.to].0 == address;
            restarts && (change.started..change.moved).contains(&at)
        })
    }

    /// Whether the service refuses everything now.
    pub fn refuses(&self, service: Service, at: Moment) -> bool {
        if service == Service::Rds && !self.topology_is_readable {
            return true;
        }
        if at >= self.settled {
            return false;
        }
        let is_out = self.outages.iter().any(|(out, from, until)| *out == service && (*from..*until).contains(&at));
        let keys = [service as u64, at / SECOND, 0];
        is_out || chance(&mut self.dice.of(Topic::Refusal, keys), d::REFUSED_SECOND)
    }

    /// The dice of this world.
    pub fn dice(&self) -> Dice {
        self.dice
    }

    /// The timeline in words, for a trace.
    pub fn story(&self) -> Vec<(Moment, String)> {
        let mut story = Vec::new();
        for change in &self.moves {
            let (from, to) = (self.hosts[change.from].0, self.hosts[change.to].0);
            let what = if change.is_replacement { "host replacement" } else { "failover" };
            story.push((change.started, format!("world     {what} from {from} to {to} begins")));
            story.push((change.moved, format!("world     THE WRITER IS {to} from now on")));
            if change.dns_first < change.dns_steady {
                story.push((change.dns_first, format!("world     DNS begins to flap between {from} and {to}")));
            }
            story.push((change.dns_steady, format!("world     DNS says {to}, but for caches")));
            if self.topology_is_readable && !change.is_replacement {
                story.push((change.topology, format!("world     the RDS API says {to}")));
            }
        }
        for (service, from, until) in &self.outages {
            story.push((*from, format!("world     {service:?} is out")));
            story.push((*until, format!("world     {service:?} is back")));
        }
        story.push((self.settled, "world     all sources agree and nothing fails from now on".to_owned()));
        story
    }
}

fn address(host: usize) -> IpAddr {
    Ipv4Addr::new(10, 0, host as u8, 10).into()
}

fn configure(endpoint: &str, is_cluster: bool) -> Config {
    let bindings = json!([{
        "name": "writer", "endpoint": endpoint, "port": PORT, "id": "orders",
        "kind": if is_cluster { "cluster" } else { "instance" },
        "targetGroupArn":
            "arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/writer/0123456789abcdef",
    }]);
    let bindings = bindings.to_string();
    Config::parse(|name| (name == "BINDINGS").then(|| bindings.clone())).expect("a valid configuration")
}
