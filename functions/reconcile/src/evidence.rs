//! Evidence: what the witnesses said about where the writer is, with the time of each answer.
//!
//! Each witness counts by itself, and no answer proves nothing: a dropped packet looks like a dead
//! host.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use base::database::ClusterMember;
use chrono::{DateTime, Utc};

use crate::binding::{Binding, Kind};
use crate::claim::{Claim, Doubt, DoubtCause, Role, Witness, age};
use crate::event::{EventKind, RdsEvent};
use crate::history::{Agreement, AnswerHistory, History};
use crate::target::{Addresses, Target};
use crate::target_group::TargetGroupView;
use crate::topology::Topology;

/// What DNS, the RDS API or a database said counts as long as it is not older than this. DNS and
/// databases are asked every second, the RDS API every two, and a call to AWS between an answer and
/// its use may take much longer. With two seconds for databases a lost session decided between two
/// that take writes, and the simulation saw twice as many wrong-way switches.
pub const CURRENT: Duration = Duration::from_secs(5);

/// The RDS API fails in bursts: what it said last still vetoes others for this long, although it
/// supports nothing.
const VETO_WHILE_FAILING: Duration = Duration::from_secs(10);

/// A member that was the writer this long ago may be it again, or still, while the RDS API does not
/// say who is.
const WAS_WRITER: Duration = Duration::from_secs(120);

/// What it said vetoes for this long while it was not asked again. In a long disagreement it is
/// asked rarely.
pub const VETO_WHILE_UNASKED: Duration = Duration::from_secs(20);

/// A named event is a witness for this long: longer than DNS and topology lag, and shorter than a
/// target drains, so that it would still show if the event's instance had been deregistered after
/// it.
pub const EVENT: Duration = Duration::from_secs(90);

/// What was said about one binding in one run.
#[derive(Clone, Debug, Default)]
pub struct Evidence {
    /// What was seen of the target group.
    pub group: TargetGroupView,
    dns: Option<StableAnswer>,
    topology: Option<TopologySnapshot>,
    /// Whether the RDS API gave no answer when it was asked last.
    is_topology_silent: Option<bool>,
    /// The readers that the RDS API named last, and for how long it has named no others.
    readers: Option<StableReaders>,
    /// The members in its last answer, whether or not they have addresses.
    members: Option<Vec<ClusterMember>>,
    /// When the RDS API last flagged a member as the only writer.
    writers: BTreeMap<String, DateTime<Utc>>,
    /// The addresses of writers that this process registered among the readers, because no reader
    /// was healthy.
    stand_ins: BTreeSet<IpAddr>,
    /// Since when DNS and the RDS API have named this without a break, this run and those before
    /// it.
    agreement: Option<Agreement>,
    /// What DNS has answered, where absence from its answers counts.
    answers: Option<AnswerHistory>,
    event_writers: Vec<(String, DateTime<Utc>)>,
    /// When each database was asked, and which role it gave last, and when.
    probes: BTreeMap<IpAddr, Probe>,
}

/// One answer with addresses. An empty answer is no evidence and has no value of this type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DnsAnswer {
    /// The address set.
    pub addresses: Addresses,
    /// How long DNS lets others keep it: the smallest TTL of the chain. Zero for a literal address.
    pub ttl: Duration,
}

/// An answer of DNS, and how long it has been the only one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StableAnswer {
    /// The last answer.
    pub answer: DnsAnswer,
    since: DateTime<Utc>,
    last: DateTime<Utc>,
}

impl StableAnswer {
    /// From the first to the last answer of an unbroken row of equal ones, counted from the given
    /// time at the earliest.
    pub fn stable_for(&self, time: Option<DateTime<Utc>>) -> Duration {
        age(time.map_or(self.since, |time| time.max(self.since)), self.last)
    }
}

/// An unbroken row of answers of the RDS API that name the same readers.
#[derive(Clone, Debug)]
struct StableReaders {
    readers: Addresses,
    since: DateTime<Utc>,
    last: DateTime<Utc>,
}

#[derive(Clone, Debug)]
struct TopologySnapshot {
    topology: Topology,
    at: DateTime<Utc>,
    is_silent: bool,
}

/// What the role probe of a database gave.
#[derive(Clone, Copy, Debug)]
struct Probe {
    asked_at: DateTime<Utc>,
    last_response: Option<(Role, DateTime<Utc>)>,
}

impl Evidence {
    /// What is known before anything was asked: the events that concern the binding, and what the
    /// process remembers.
    pub fn new(
        binding: &Binding,
        events: &[RdsEvent],
        history: History,
        now: DateTime<Utc>,
    ) -> Evidence {
        let History { targets, writers, stand_ins, agreement, answers } = history;
        let answers = (binding.kind == Kind::Custom).then(|| answers.unwrap_or_default());
        let group = TargetGroupView::new(binding.port, targets);
        let mut evidence =
            Evidence { group, writers, stand_ins, agreement, answers, ..Evidence::default() };
        for event in events {
            // Without a time it cannot be told from one that comes late: no witness.
            let Some(time) = event.time.map(|time| time.min(now)) else { continue };
            if let EventKind::NewWriter(id) = event.kind() {
                evidence.event_writers.push((id, time));
            }
        }
        evidence
    }

    /// What later runs of this process should know.
    pub fn history(&self) -> History {
        History {
            targets: self.group.history().clone(),
            writers: self.writers.clone(),
            stand_ins: self.stand_ins.clone(),
            agreement: self.agreement.clone(),
            answers: self.answers.clone(),
        }
    }

    /// DNS answered.
    pub fn record_dns(&mut self, answer: DnsAnswer, now: DateTime<Utc>) {
        if let Some(answers) = &mut self.answers {
            answers.record(&answer.addresses, now);
        }
        let since = match &self.dns {
            // A row of equal answers with a long gap in it says nothing about the time between.
            Some(stable)
                if stable.answer.addresses == answer.addresses
                    && age(stable.last, now) <= CURRENT =>
            {
                stable.since
            }
            _ => now,
        };
        self.dns = Some(StableAnswer { answer, since, last: now });
        self.record_agreement(now);
    }

    /// The RDS API listed the cluster's members, whether or not they have addresses.
    pub fn record_members(&mut self, members: &[ClusterMember], now: DateTime<Utc>) {
        let mut flagged = members.iter().filter(|member| member.is_writer);
        if let (Some(writer), None) = (flagged.next(), flagged.next()) {
            self.writers.insert(writer.id.clone(), now);
        }
        self.writers.retain(|_, at| age(*at, now) <= WAS_WRITER);
        self.members = Some(members.to_vec());
    }

    /// The RDS API answered, or gave no answer.
    pub fn record_topology(&mut self, topology: Option<Topology>, now: DateTime<Utc>) {
        self.is_topology_silent = Some(topology.is_none());
        if let Some(readers) = topology.as_ref().and_then(Topology::readers) {
            // A reader without an address is no reason for its target to leave: such an answer
            // begins a row.
            let mut serving = { self.members.iter().flatten() }
                .filter(|member| !member.is_writer && member.can_serve());
            let is_complete = serving.all(|member| {
                topology.as_ref().is_some_and(|topology| topology.member(&member.id).is_some())
            });
            let goes_on = |row: &StableReaders| {
                is_complete && row.readers == readers && age(row.last, now) <= CURRENT
            };
            let row = self.readers.take().filter(goes_on);
            self.readers =
                Some(StableReaders { readers, since: row.map_or(now, |row| row.since), last: now });
        }
        match (topology, &mut self.topology) {
            (Some(topology), snapshot) => {
                *snapshot = Some(TopologySnapshot { topology, at: now, is_silent: false })
            }
            (None, Some(snapshot)) => snapshot.is_silent = true,
            (None, None) => {}
        }
        self.record_agreement(now);
    }

    /// Notes whether DNS and the RDS API name the same. No answer is no break, another answer is
    /// one.
    fn record_agreement(&mut self, now: DateTime<Utc>) {
        let dns = self.dns(now).map(|stable| stable.answer.addresses.clone());
        let writer = self.topology(now).map(|topology| topology.writer().cloned());
        let (Some(dns), Some(writer)) = (dns, writer) else { return };
        self.agreement = match self.agreement.take() {
            _ if writer.as_ref() != Some(&dns) => None,
            Some(agreement) if agreement.addresses == dns && agreement.continues(now) => {
                Some(Agreement { last: now, ..agreement })
            }
            _ => Some(Agreement { addresses: dns, since: now, last: now }),
        };
    }

    /// These targets are being registered by this process.
    pub fn record_registration(&mut self, targets: &[Target], now: DateTime<Utc>) {
        let writer = self.topology(now).and_then(Topology::writer);
        let joined = targets.iter().map(|target| target.address);
        let stand_ins: Vec<_> =
            joined.filter(|it| writer.is_some_and(|writer| writer.contains(*it))).collect();
        self.stand_ins.extend(stand_ins);
    }

    /// The target is being deregistered by this process; whether the call succeeds may never be
    /// known.
    pub fn record_deregistration(&mut self, target: Target, now: DateTime<Utc>) {
        self.stand_ins.remove(&target.address);
        self.group.record_deregistration(target, now);
    }

    /// Whether this process registered this address when it was the writer's. Only what it did
    /// among readers matters.
    pub(crate) fn stands_in(&self, address: IpAddr) -> bool {
        self.stand_ins.contains(&address)
    }

    /// What DNS and the RDS API have both named without a break, and for how long since the given
    /// time. A silence is no break; that one of them names something else is.
    pub fn agreement(
        &self,
        since: Option<DateTime<Utc>>,
        now: DateTime<Utc>,
    ) -> Option<(&Addresses, Duration)> {
        let Agreement { addresses, since: first, last } =
            self.agreement.as_ref().filter(|it| it.continues(now))?;
        let is_broken = self.dns(now).is_some_and(|dns| dns.answer.addresses != *addresses)
            || self.topology(now).is_some_and(|topology| topology.writer() != Some(addresses));
        (!is_broken)
            .then(|| (addresses, age(since.map_or(*first, |since| since.max(*first)), *last)))
    }

    /// For how long every answer of DNS has lacked this address, and how many answers that were: as
    /// far as this process knows, which counts from its first answer. Only for the kind `custom`.
    pub fn absent_for(&self, address: IpAddr, now: DateTime<Utc>) -> Option<(Duration, u64)> {
        self.answers.as_ref()?.absent_for(address, now)
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

    /// The addresses of the cluster's readers. Where the RDS API flags none or several as the
    /// writer, a member that was the writer a moment ago and is not registered is left out: it may
    /// still be it.
    pub fn readers(&self, now: DateTime<Utc>) -> Option<Addresses> {
        let topology = self.topology(now)?;
        let readers = topology.readers()?;
        if self.without_writer().is_none() {
            return Some(readers);
        }
        let was_writer =
            |id: &str| self.writers.get(id).is_some_and(|at| age(*at, now) <= WAS_WRITER);
        let joins = |address: &IpAddr| !self.group.registered().any(|member| member == *address);
        let is_left_out = |address: &IpAddr| {
            joins(address)
                && topology.0.iter().any(|(it, at)| at.contains(*address) && was_writer(&it.id))
        };
        Addresses::new(readers.iter().filter(|address| !is_left_out(address)))
    }

    /// The database at this address was asked, and gave this role, or no answer.
    pub fn record_probe(&mut self, address: IpAddr, role: Option<Role>, now: DateTime<Utc>) {
        let earlier = self.probes.get(&address).and_then(|probe| probe.last_response);
        self.probes.insert(
            address,
            Probe { asked_at: now, last_response: role.map(|role| (role, now)).or(earlier) },
        );
    }

    /// The role of the database at this address, a moment ago. A missing answer since then takes
    /// nothing from it: a firewall looks the same as a dead host, and a login may be slow.
    pub fn role(&self, address: IpAddr, now: DateTime<Utc>) -> Option<Role> {
        let (role, at) = self.probes.get(&address)?.last_response?;
        (age(at, now) <= CURRENT).then_some(role)
    }

    /// When the database at this address last answered.
    pub fn last_response_at(&self, address: IpAddr) -> Option<DateTime<Utc>> {
        self.probes.get(&address)?.last_response.map(|(_, at)| at)
    }

    /// The role that each database that was asked gave the last time, or that it gave no answer.
    pub fn roles(&self) -> impl Iterator<Item = (IpAddr, Option<Role>)> {
        let last = |probe: &Probe| {
            probe.last_response.filter(|(_, at)| *at == probe.asked_at).map(|(role, _)| role)
        };
        self.probes.iter().map(move |(address, probe)| (*address, last(probe)))
    }

    /// The databases that take writes, if every registered target was asked: a writer that is
    /// registered must have had its chance to say so. One whose role is unknown may be the writer,
    /// and counts as one that was not asked.
    pub fn writers(&self, now: DateTime<Utc>) -> Option<Addresses> {
        let was_asked = |member| {
            let is_unknown = self.role(member, now) == Some(Role::Unknown);
            !is_unknown
                && self.probes.get(&member).is_some_and(|probe| age(probe.asked_at, now) <= CURRENT)
        };
        let takes_writes = |address: &IpAddr| self.role(*address, now) == Some(Role::Writer);
        let writers = self.probes.keys().copied().filter(takes_writes);
        if !self.group.registered().all(was_asked) {
            return None;
        }
        Addresses::new(writers)
    }

    /// Where a database may be that can say whether it takes writes: every address that a witness
    /// named, or that is or was registered. The standby of an instance is where its writer was.
    pub fn candidates(&self) -> impl Iterator<Item = IpAddr> {
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
        let dns = self.dns(now).map(|stable| Claim {
            witness: Witness::Dns,
            addresses: &stable.answer.addresses,
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

    /// Whether those who name a writer now name different ones, or one that says it is read only;
    /// nothing if nobody but DNS answered.
    pub fn disagrees(&self, now: DateTime<Utc>) -> Option<bool> {
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

    /// The topology that was read last, however old.
    pub fn last_topology(&self) -> Option<&Topology> {
        self.topology.as_ref().map(|snapshot| &snapshot.topology)
    }

    /// Why what was said so far proves nothing for these addresses, in no order.
    pub fn doubts(&self, named: &Addresses, now: DateTime<Utc>) -> impl Iterator<Item = Doubt> {
        let contradicted = self.topology.as_ref().and_then(|snapshot| {
            self.flagged_in(snapshot).filter(|writer| *writer != named)?;
            Some(Doubt { since: snapshot.at, cause: DoubtCause::Contradicted })
        });
        // Databases that can be asked soon know more than memory. With it the simulation saw a
        // quarter more wrong-way switches, on the claims of an event and the RDS API while the
        // databases had not answered yet.
        let with_memory = self.probes.is_empty();
        self.group.doubts(named, with_memory, now).chain(contradicted)
    }

    /// The last answer of DNS, while it is current.
    pub fn dns(&self, now: DateTime<Utc>) -> Option<&StableAnswer> {
        self.dns.as_ref().filter(|stable| age(stable.last, now) <= CURRENT)
    }

    /// How long ago DNS last answered, if it ever has.
    pub fn dns_age(&self, now: DateTime<Utc>) -> Option<Duration> {
        self.dns.as_ref().map(|stable| age(stable.last, now))
    }

    /// The addresses of the last answer of DNS, however old.
    pub fn last_dns_answer(&self) -> Option<&Addresses> {
        self.dns.as_ref().map(|stable| &stable.answer.addresses)
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

    /// For how long the RDS API has named the readers that it named last, and no others: from the
    /// first to the last of an unbroken row of equal answers.
    pub fn readers_stable_for(&self) -> Duration {
        self.readers.as_ref().map(|row| age(row.since, row.last)).unwrap_or_default()
    }

    /// The addresses of the instance that the newest event names, and the event's time. A text only
    /// selects among the cluster's members, which are taken from the last topology that could be
    /// read.
    pub fn event_writer(&self, now: DateTime<Utc>) -> Option<(&Addresses, DateTime<Utc>)> {
        let (id, time) = self.event_writers.iter().max_by_key(|(_, time)| *time)?;
        let addresses = self.topology.as_ref()?.topology.member(id)?;
        (age(*time, now) < EVENT).then_some((addresses, *time))
    }
}

#[cfg(test)]
mod tests;
