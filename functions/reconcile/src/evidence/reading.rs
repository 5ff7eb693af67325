//! What the evidence means now: each answer with its age.

use std::net::IpAddr;
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::{
    CURRENT, EVENT, Evidence, PROMOTION, Probe, TopologySnapshot, VETO_WHILE_FAILING,
    VETO_WHILE_UNASKED, WAS_WRITER,
};
use crate::claim::{Claim, Doubt, DoubtCause, Role, Unbroken, Witness, age};
use crate::history::AGREEMENT_GAP;
use crate::target::Addresses;
use crate::topology::Topology;

impl Evidence {
    /// Whether this process registered this writer's address, which matters only among readers.
    pub(crate) fn stands_in(&self, address: IpAddr) -> bool {
        self.history.stand_ins.contains(&address)
    }

    /// What both have named without a break, and for how long since the given time.
    pub(crate) fn agreement(
        &self,
        since: Option<DateTime<Utc>>,
        now: DateTime<Utc>,
    ) -> Option<(&Addresses, Duration)> {
        let agreement =
            self.history.agreement.as_ref().filter(|it| it.is_within(AGREEMENT_GAP, now))?;
        let named = &agreement.value;
        let is_broken = self.dns(now).is_some_and(|dns| dns.value != *named)
            || self.topology(now).is_some_and(|topology| topology.writer() != Some(named));
        (!is_broken).then(|| (named, agreement.lasted(since)))
    }

    /// How long, and in how many answers since the first, DNS has lacked it: for `custom` only.
    pub(crate) fn absent_for(
        &self,
        address: IpAddr,
        now: DateTime<Utc>,
    ) -> Option<(Duration, u64)> {
        self.history.answers.as_ref()?.absent_for(address, now)
    }

    /// Why the RDS API names no writer although it answered, in words.
    pub fn without_writer(&self) -> Option<&'static str> {
        match self.members.as_ref()?.iter().filter(|member| member.is_writer).count() {
            0 => Some("the RDS API flags no member as the writer"),
            1 => None,
            _ => Some("the RDS API flags several members as the writer"),
        }
    }

    /// The writer's addresses in an answer of the RDS API, if its last one flags exactly one.
    fn flagged_in<'a>(&self, snapshot: &'a TopologySnapshot) -> Option<&'a Addresses> {
        if self.without_writer().is_some() { None } else { snapshot.topology.writer() }
    }

    /// The addresses of the cluster's readers. While not one writer is flagged, a member that was
    /// it a moment ago and is not registered is left out: it may still be it.
    pub fn readers(&self, now: DateTime<Utc>) -> Option<Addresses> {
        let topology = self.topology(now)?;
        let readers = topology.readers()?;
        if self.without_writer().is_none() {
            return Some(readers);
        }
        let was_writer =
            |id: &str| self.history.writers.get(id).is_some_and(|at| age(*at, now) <= WAS_WRITER);
        let joins = |address: &IpAddr| !self.group.registered().any(|member| member == *address);
        let is_left_out = |address: &IpAddr| {
            joins(address)
                && topology.0.iter().any(|(it, at)| at.contains(*address) && was_writer(&it.id))
        };
        Addresses::new(readers.iter().filter(|address| !is_left_out(address)))
    }

    /// The role it gave a moment ago. Silence since takes nothing from it: a login may be slow.
    pub fn role(&self, address: IpAddr, now: DateTime<Utc>) -> Option<Role> {
        let (role, at) = self.probes.get(&address)?.last_response?;
        (age(at, now) <= CURRENT).then_some(role)
    }

    fn was_asked(&self, address: IpAddr, now: DateTime<Utc>) -> bool {
        self.probes.get(&address).is_some_and(|probe| age(probe.asked_at, now) <= CURRENT)
    }

    pub(crate) fn last_response_at(&self, address: IpAddr) -> Option<DateTime<Utc>> {
        self.probes.get(&address)?.last_response.map(|(_, at)| at)
    }

    /// The last role of each database that was asked, or that it gave no answer.
    pub fn roles(&self) -> impl Iterator<Item = (IpAddr, Option<Role>)> {
        let last = |probe: &Probe| {
            probe.last_response.filter(|(_, at)| *at == probe.asked_at).map(|(role, _)| role)
        };
        self.probes.iter().map(move |(address, probe)| (*address, last(probe)))
    }

    /// The databases that take writes, if every registered target was asked: a registered writer
    /// must have its chance. One of unknown role may be the writer, and counts as not asked.
    pub fn writers(&self, now: DateTime<Utc>) -> Option<Addresses> {
        let had_chance =
            |member| self.was_asked(member, now) && self.role(member, now) != Some(Role::Unknown);
        let takes_writes = |address: &IpAddr| self.role(*address, now) == Some(Role::Writer);
        let writers = self.probes.keys().copied().filter(takes_writes);
        if !self.group.registered().all(had_chance) {
            return None;
        }
        Addresses::new(writers)
    }

    /// Every address that was named or registered: an instance's standby is where its writer was.
    pub(crate) fn candidates(&self) -> impl Iterator<Item = IpAddr> {
        let members = self
            .topology
            .iter()
            .flat_map(|snapshot| &snapshot.topology.0)
            .flat_map(|(_, addresses)| addresses.iter());
        let registered =
            self.group.registered().chain(self.group.draining()).chain(self.group.deregistered());
        self.last_dns_answer()
            .into_iter()
            .flat_map(Addresses::iter)
            .chain(members)
            .chain(registered)
    }

    /// Who says now where the one writer is, DNS first.
    pub fn claims(&self, now: DateTime<Utc>) -> Vec<Claim<'_>> {
        let dns = self.dns(now).map(|dns| Claim {
            witness: Witness::Dns,
            addresses: &dns.value,
            as_of: None,
            supports: true,
            vetoes: false,
        });
        let event = self.event_writer(now).map(|(addresses, time)| Claim {
            witness: Witness::Event,
            addresses,
            as_of: Some(time),
            supports: true,
            vetoes: true,
        });
        let counts = |snapshot: &&TopologySnapshot| {
            age(snapshot.at, now)
                <= if snapshot.is_silent { VETO_WHILE_FAILING } else { VETO_WHILE_UNASKED }
        };
        let snapshot = self.topology.as_ref().filter(counts);
        let writer = snapshot.and_then(|snapshot| self.flagged_in(snapshot));
        let topology = writer.map(|addresses| Claim {
            witness: Witness::Topology,
            addresses,
            as_of: None,
            supports: self.topology(now).is_some(),
            vetoes: true,
        });
        [dns, event, topology].into_iter().flatten().collect()
    }

    /// Whether witnesses name different writers, or a reader; nothing if only DNS answered.
    pub(crate) fn disagrees(&self, now: DateTime<Utc>) -> Option<bool> {
        let claims = self.claims(now);
        let known: Vec<_> = self
            .probes
            .keys()
            .filter_map(|address| Some((*address, self.role(*address, now)?)))
            .collect();
        let has_other_witness =
            !known.is_empty() || claims.iter().any(|claim| claim.witness != Witness::Dns);
        let own = known.iter().filter(|(_, role)| *role == Role::Writer);
        let own: Vec<Addresses> = own.map(|(address, _)| (*address).into()).collect();
        let named: Vec<&Addresses> =
            claims.iter().map(|claim| claim.addresses).chain(&own).collect();
        let is_read_only = |address| self.role(address, now) == Some(Role::Reader);
        let differ = named.iter().any(|addresses| {
            Some(addresses) != named.first() || addresses.iter().any(is_read_only)
        });
        has_other_witness.then_some(differ)
    }

    pub(crate) fn last_topology(&self) -> Option<&Topology> {
        self.topology.as_ref().map(|snapshot| &snapshot.topology)
    }

    pub(crate) fn doubts(
        &self,
        named: &Addresses,
        now: DateTime<Utc>,
    ) -> impl Iterator<Item = Doubt> {
        let contradicted = self.topology.as_ref().and_then(|snapshot| {
            self.flagged_in(snapshot).filter(|writer| *writer != named)?;
            Some(Doubt { since: snapshot.at, cause: DoubtCause::Contradicted })
        });
        let silent =
            self.silent_since(named, now).map(|since| Doubt { since, cause: DoubtCause::Silent });
        // Databases that can be asked soon know more than memory: with it the simulation saw a
        // quarter more wrong-way switches, on an event and the RDS API before databases answered.
        let with_memory = self.probes.is_empty();
        self.group.doubts(named, with_memory, now).chain(contradicted).chain(silent)
    }

    /// When another database answered first, if neither the named one nor a registered one does: it
    /// may still be being promoted. The simulation saw a fifth fewer wrong-way switches with it.
    /// Not where waiting gains nothing: without DNS no patience ends, an empty group serves nobody,
    /// and one that is registered was chosen already.
    fn silent_since(&self, named: &Addresses, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.dns(now)?;
        self.group.registered().next()?;
        let is_silent = |address| self.was_asked(address, now) && self.role(address, now).is_none();
        let are_silent = self.group.registered().chain(named.iter()).all(is_silent);
        if !are_silent || self.group.has_registered(named) {
            return None;
        }
        let others = self.probes.iter().filter(|(address, _)| !named.contains(**address));
        let first = others.filter_map(|(_, probe)| probe.first_response_at).min();
        first.filter(|at| age(*at, now) < PROMOTION)
    }

    /// The last answer of DNS, while it is current.
    pub fn dns(&self, now: DateTime<Utc>) -> Option<&Unbroken<Addresses>> {
        self.dns.as_ref().filter(|dns| dns.is_within(CURRENT, now))
    }

    pub(crate) fn dns_age(&self, now: DateTime<Utc>) -> Option<Duration> {
        self.dns.as_ref().map(|dns| age(dns.last, now))
    }

    /// The addresses of the last answer of DNS, however old.
    pub fn last_dns_answer(&self) -> Option<&Addresses> {
        self.dns.as_ref().map(|dns| &dns.value)
    }

    /// The topology, while it is readable.
    pub fn topology(&self, now: DateTime<Utc>) -> Option<&Topology> {
        let snapshot = self.topology.as_ref()?;
        (!snapshot.is_silent && age(snapshot.at, now) <= CURRENT).then_some(&snapshot.topology)
    }

    /// Whether the RDS API gave no answer when it was asked last; nothing if it was not asked.
    pub fn is_topology_silent(&self) -> Option<bool> {
        self.is_topology_silent
    }

    /// From the first to the last of an unbroken row of answers that name the same readers.
    pub(crate) fn readers_stable_for(&self) -> Duration {
        self.readers.as_ref().map(|readers| readers.lasted(None)).unwrap_or_default()
    }

    /// The newest event's instance and time. A text only selects among the last topology's members.
    pub(crate) fn event_writer(&self, now: DateTime<Utc>) -> Option<(&Addresses, DateTime<Utc>)> {
        let (id, time) = self.event_writers.iter().max_by_key(|(_, time)| *time)?;
        let addresses = self.topology.as_ref()?.topology.member(id)?;
        (age(*time, now) < EVENT).then_some((addresses, *time))
    }
}
