//! How a database's life is made, change by change, and when the witnesses tell of each.

use std::net::IpAddr;
use std::sync::Arc;

use fastrand::Rng;

use crate::database::{Change, Database, Host, ID, Member, What, address};
use crate::dice::{Moment, SECOND, between, chance};
use crate::distributions::kinds::{self as dk, Turn};
use crate::distributions::path as dp;
use crate::distributions::{self as d, Course};
use crate::kinds::{Engine, Kind};
use crate::resolvers::{Resolvers, Spread};
use crate::scenario::{CHANGES, Outage, Service};

/// The zone of every name that RDS gives.
pub(crate) const ZONE: &str = "c0ffee.eu-west-1.rds.amazonaws.com";

/// A database while its life is being made.
pub(crate) struct Maker {
    kind: Kind,
    engine: Engine,
    hosts: Vec<(IpAddr, usize)>,
    members: Vec<Member>,
    /// The hosts that serve.
    roster: Vec<Host>,
    writer: Host,
    /// The member that was the writer before.
    before: Option<usize>,
}

/// What the next change does to the writer and to the members.
struct Step {
    what: What,
    course: Course,
    to: Host,
    replaced: Vec<Host>,
    restarts: Vec<Host>,
    lost: Vec<Host>,
}

impl Maker {
    /// With the members that are there from the beginning.
    pub(crate) fn new(kind: Kind, engine: Engine, rng: &mut Rng) -> Maker {
        let (hosts, members, roster) = (Vec::new(), Vec::new(), Vec::new());
        let mut maker = Maker { kind, engine, hosts, members, roster, writer: 0, before: None };
        let count = match engine {
            Engine::Aurora if kind.has_readers() => rng.usize(1..=4),
            Engine::Aurora if kind.has_path() => dp::members(rng),
            Engine::Aurora => rng.usize(2..=4),
            Engine::MultiAzCluster => 3,
            Engine::Instance => 2,
        };
        maker.roster = (0..count).map(|_| maker.add_member(true)).collect();
        maker.writer = rng.usize(..count);
        maker
    }

    /// The whole life, and when services were out around its changes.
    pub(crate) fn live(
        mut self,
        resolvers: Arc<Resolvers>,
        rng: &mut Rng,
    ) -> (Database, Vec<Outage>) {
        let (first_writer, mut changes, mut outages) = (self.writer, Vec::new(), Vec::new());
        let mut started = between(rng, 150.0, 210.0);
        for number in 0..CHANGES as u64 {
            let change = self.change(number, started, rng);
            for service in [Service::Dns, Service::Rds, Service::Describe, Service::Write] {
                if chance(rng, d::OUTAGE) {
                    let from = started + between(rng, 0.0, 60.0);
                    outages.push(Outage { service, from, until: from + d::outage(rng) });
                }
            }
            // RDS does one failover at a time.
            started = (started + d::gap(rng)).max(change.completed + SECOND);
            changes.push(change);
        }
        let stuck_from = (self.kind == Kind::StuckDns).then(|| changes[rng.usize(..CHANGES)].moved);
        let writer = if self.engine.is_cluster() {
            format!("{ID}.cluster-{ZONE}")
        } else {
            format!("{ID}.{ZONE}")
        };
        let database = Database {
            engine: self.engine,
            hosts: self.hosts,
            members: self.members,
            endpoint: writer,
            reader_endpoint: format!("{ID}.cluster-ro-{ZONE}"),
            first_writer,
            changes,
            stuck_from,
            is_secondary: false,
            resolvers,
        };
        (database, outages)
    }

    fn change(&mut self, number: u64, started: Moment, rng: &mut Rng) -> Change {
        let Step { what, course, to, replaced, restarts, lost } = self.step(started, rng);
        let (moved, completed) = (started + course.moved, started + course.completed);
        let dns = d::propagation(rng, self.engine.is_cluster());
        let change = Change {
            what,
            started,
            moved,
            completed,
            from: self.writer,
            to,
            dns: Spread { number, first: moved + dns.first, steady: moved + dns.steady },
            topology: moved + d::topology_lag(rng),
            available: completed + d::status_lag(rng),
            roster: self.roster.clone(),
            replaced,
            restarts,
            lost,
        };
        if change.moves_the_writer() {
            self.before = Some(self.member_of(self.writer));
            self.writer = to;
        }
        change
    }

    fn step(&mut self, started: Moment, rng: &mut Rng) -> Step {
        if self.kind.has_readers() {
            let (readers, is_fixed) =
                (self.roster.len() - 1, self.engine == Engine::MultiAzCluster);
            return match dk::turn(rng) {
                Turn::Replaced => {
                    self.replacement(self.roster[rng.usize(..self.roster.len())], rng)
                }
                Turn::Joins if !is_fixed && readers + 1 < dk::MEMBERS_AT_MOST => {
                    self.joining(started, rng)
                }
                Turn::Leaves if !is_fixed && readers > 0 => self.leaving(rng),
                Turn::Reboots if readers > 0 => self.reboot(rng),
                _ if readers > 0 => self.failover(rng),
                _ => self.joining(started, rng),
            };
        }
        if self.kind.has_deployments() && chance(rng, dk::SWITCHED_OVER) {
            self.switchover(started, rng)
        } else if chance(rng, d::REPLACED) || self.roster.len() == 1 {
            self.replacement(self.writer, rng)
        } else {
            self.failover(rng)
        }
    }

    fn failover(&mut self, rng: &mut Rng) -> Step {
        let others: Vec<usize> = self
            .roster
            .iter()
            .filter(|host| **host != self.writer)
            .map(|host| self.member_of(*host))
            .collect();
        // Two in three failovers of larger clusters go back to where the last came from.
        let back = self.before.filter(|back| others.contains(back) && chance(rng, 0.66));
        let member = back.unwrap_or(others[rng.usize(..others.len())]);
        let to = self
            .roster
            .iter()
            .copied()
            .find(|host| self.member_of(*host) == member)
            .expect("one of them");
        let restarts = vec![self.writer, to];
        Step {
            what: What::Failover,
            course: self.course(rng),
            to,
            replaced: Vec::new(),
            restarts,
            lost: Vec::new(),
        }
    }

    fn replacement(&mut self, old: Host, rng: &mut Rng) -> Step {
        let new = self.replace(old);
        let to = if old == self.writer { new } else { self.writer };
        // To the health checks of a writer nothing happens: what they see must not matter there.
        let lost = if self.kind.has_readers() { vec![old] } else { Vec::new() };
        let course = self.course(rng);
        Step {
            what: What::Replacement,
            course,
            to,
            replaced: vec![new],
            restarts: vec![old, new],
            lost,
        }
    }

    /// Blue goes on answering, under other names and read-only.
    fn switchover(&mut self, started: Moment, rng: &mut Rng) -> Step {
        let course = dk::switchover_course(rng);
        let what = What::Switchover { renamed: started + course.moved + dk::renaming(rng) };
        let (blue, writer) = (self.roster.clone(), self.member_of(self.writer));
        let green: Vec<Host> = blue.into_iter().map(|host| self.replace(host)).collect();
        let to = green
            .iter()
            .copied()
            .find(|host| self.member_of(*host) == writer)
            .expect("one of them");
        Step { what, course, to, replaced: green, restarts: Vec::new(), lost: Vec::new() }
    }

    fn joining(&mut self, started: Moment, rng: &mut Rng) -> Step {
        let host = self.add_member(false);
        self.roster.push(host);
        let course = dk::joining_course(rng);
        let created = (started + course.moved).saturating_sub(dk::creation(rng));
        let what = What::Joins { member: self.member_of(host), created };
        Step {
            what,
            course,
            to: self.writer,
            replaced: Vec::new(),
            restarts: Vec::new(),
            lost: Vec::new(),
        }
    }

    fn leaving(&mut self, rng: &mut Rng) -> Step {
        let host = self.any_reader(rng);
        self.roster.retain(|other| *other != host);
        let what = What::Leaves { member: self.member_of(host) };
        let course = dk::leaving_course(rng);
        Step {
            what,
            course,
            to: self.writer,
            replaced: Vec::new(),
            restarts: Vec::new(),
            lost: vec![host],
        }
    }

    fn reboot(&mut self, rng: &mut Rng) -> Step {
        let restarts = vec![self.any_reader(rng)];
        let course = dk::reboot_course(rng);
        Step {
            what: What::Reboot,
            course,
            to: self.writer,
            replaced: Vec::new(),
            restarts,
            lost: Vec::new(),
        }
    }

    fn any_reader(&self, rng: &mut Rng) -> Host {
        let readers: Vec<Host> =
            self.roster.iter().copied().filter(|host| *host != self.writer).collect();
        readers[rng.usize(..readers.len())]
    }

    fn course(&self, rng: &mut Rng) -> Course {
        match self.engine {
            Engine::Aurora => d::cluster_course(rng),
            Engine::MultiAzCluster => dk::multi_az_cluster_course(rng),
            Engine::Instance => d::instance_course(rng),
        }
    }

    fn add_member(&mut self, is_first: bool) -> Host {
        let member = self.members.len();
        let host = self.add_host(member);
        let id = format!("{ID}-{}", char::from(b'a' + member as u8));
        self.members.push(Member { endpoint: format!("{id}.{ZONE}"), id, host, is_first });
        host
    }

    fn add_host(&mut self, member: usize) -> Host {
        let host = self.hosts.len();
        self.hosts.push((address(0, host, self.kind.family()), member));
        host
    }

    /// Gives the member of a host another one.
    fn replace(&mut self, old: Host) -> Host {
        let new = self.add_host(self.member_of(old));
        self.roster.iter_mut().filter(|host| **host == old).for_each(|host| *host = new);
        new
    }

    fn member_of(&self, host: Host) -> usize {
        self.hosts[host].1
    }
}
