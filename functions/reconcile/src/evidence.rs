//! Evidence: what the witnesses said about where the writer is, with the time of each answer. Each
//! counts by itself, and no answer proves nothing: a dropped packet looks like a dead host.

mod reading;

use std::collections::BTreeMap;
use std::mem::take;
use std::net::IpAddr;
use std::time::Duration;

use base::database::ClusterMember;
use chrono::{DateTime, Utc};

use crate::binding::{Binding, Kind};
use crate::claim::{Role, Unbroken, age};
use crate::event::{EventKind, RdsEvent};
use crate::history::{AGREEMENT_GAP, History};
use crate::target::{Addresses, Target};
use crate::target_group::TargetGroupView;
use crate::topology::Topology;
use crate::watch::DRIFT_LIMIT;

/// How long an answer counts. DNS and databases are asked every second, the RDS API every two, and
/// calls to AWS may take much longer. With two seconds a lost session decided between two databases
/// that take writes: twice the wrong-way switches in simulation.
pub const CURRENT: Duration = Duration::from_secs(5);

/// The RDS API fails in bursts: its last answer still vetoes for this long, but supports nothing.
const VETO_WHILE_FAILING: Duration = Duration::from_secs(10);

/// A member that was the writer this long ago may be it while the RDS API does not say who is.
const WAS_WRITER: Duration = Duration::from_secs(120);

/// Its last answer vetoes for this long while it is not asked: rarely, in a long disagreement.
pub(crate) const VETO_WHILE_UNASKED: Duration = Duration::from_secs(20);

/// A named event is a witness for this long: longer than DNS and topology lag, and shorter than a
/// target drains, so that it still shows if its instance was deregistered since.
pub const EVENT: Duration = Duration::from_secs(90);

/// A silent database that others name has so long to answer, from the first login of a run. Users
/// saw promoted ones take writes within 30 s of the start of a failover.
const PROMOTION: Duration = Duration::from_secs(60);

// A run without an event sees the end of it: every run begins to count anew.
const _: () = assert!(PROMOTION.as_secs() < DRIFT_LIMIT.as_secs());

/// What was said about one binding in one run.
#[derive(Clone, Debug, Default)]
pub struct Evidence {
    /// What was seen of the target group.
    pub group: TargetGroupView,
    dns: Option<Unbroken<Addresses>>,
    /// Of the last answer of DNS.
    pub(crate) ttl: Duration,
    topology: Option<TopologySnapshot>,
    is_topology_silent: Option<bool>,
    readers: Option<Unbroken<Addresses>>,
    members: Option<Vec<ClusterMember>>,
    /// Without its `targets`, which `group` keeps.
    history: History,
    event_writers: Vec<(String, DateTime<Utc>)>,
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

#[derive(Clone, Debug)]
struct TopologySnapshot {
    topology: Topology,
    at: DateTime<Utc>,
    is_silent: bool,
}

#[derive(Clone, Copy, Debug)]
struct Probe {
    asked_at: DateTime<Utc>,
    first_response_at: Option<DateTime<Utc>>,
    last_response: Option<(Role, DateTime<Utc>)>,
}

impl Evidence {
    /// What is known before anything is asked: the events of the binding, and the history.
    pub fn new(
        binding: &Binding,
        events: &[RdsEvent],
        mut history: History,
        now: DateTime<Utc>,
    ) -> Evidence {
        let answers = history.answers.take().unwrap_or_default();
        history.answers = (binding.kind == Kind::Custom).then_some(answers);
        let group = TargetGroupView::new(binding.port, take(&mut history.targets));
        let mut evidence = Evidence { group, history, ..Evidence::default() };
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
        History { targets: self.group.history().clone(), ..self.history.clone() }
    }

    /// DNS answered.
    pub fn record_dns(&mut self, answer: DnsAnswer, now: DateTime<Utc>) {
        if let Some(answers) = &mut self.history.answers {
            answers.record(&answer.addresses, now);
        }
        self.ttl = answer.ttl;
        self.dns = Some(Unbroken::after(self.dns.take(), answer.addresses, CURRENT, now));
        self.record_agreement(now);
    }

    /// The RDS API listed the cluster's members, whether or not they have addresses.
    pub fn record_members(&mut self, members: &[ClusterMember], now: DateTime<Utc>) {
        let mut flagged = members.iter().filter(|member| member.is_writer);
        if let (Some(writer), None) = (flagged.next(), flagged.next()) {
            self.history.writers.insert(writer.id.clone(), now);
        }
        self.history.writers.retain(|_, at| age(*at, now) <= WAS_WRITER);
        self.members = Some(members.to_vec());
    }

    /// The RDS API answered, or gave no answer.
    pub fn record_topology(&mut self, topology: Option<Topology>, now: DateTime<Utc>) {
        self.is_topology_silent = Some(topology.is_none());
        if let Some(readers) = topology.as_ref().and_then(Topology::readers) {
            // A reader without an address is no cause to leave: such an answer begins a row.
            let mut serving = { self.members.iter().flatten() }
                .filter(|member| !member.is_writer && member.can_serve());
            let is_complete = serving.all(|member| {
                topology.as_ref().is_some_and(|topology| topology.member(&member.id).is_some())
            });
            let before = self.readers.take().filter(|_| is_complete);
            self.readers = Some(Unbroken::after(before, readers, CURRENT, now));
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

    /// No answer is no break; another answer is one.
    fn record_agreement(&mut self, now: DateTime<Utc>) {
        let dns = self.dns(now).map(|dns| dns.value.clone());
        let writer = self.topology(now).map(|topology| topology.writer().cloned());
        let (Some(dns), Some(writer)) = (dns, writer) else { return };
        let before = self.history.agreement.take();
        self.history.agreement = (writer.as_ref() == Some(&dns))
            .then(|| Unbroken::after(before, dns, AGREEMENT_GAP, now));
    }

    /// These targets are being registered by this process.
    pub fn record_registration(&mut self, targets: &[Target], now: DateTime<Utc>) {
        let writer = self.topology(now).and_then(Topology::writer);
        let joined = targets.iter().map(|target| target.address);
        let stand_ins: Vec<_> =
            joined.filter(|it| writer.is_some_and(|writer| writer.contains(*it))).collect();
        self.history.stand_ins.extend(stand_ins);
    }

    /// This process deregisters the target; whether the call succeeds may never be known.
    pub fn record_deregistration(&mut self, target: Target, now: DateTime<Utc>) {
        self.history.stand_ins.remove(&target.address);
        self.group.record_deregistration(target, now);
    }

    /// The database at this address was asked, and gave this role, or no answer.
    pub fn record_probe(&mut self, address: IpAddr, role: Option<Role>, now: DateTime<Utc>) {
        let probe = self.probes.entry(address).or_insert(Probe {
            asked_at: now,
            first_response_at: None,
            last_response: None,
        });
        probe.asked_at = now;
        if let Some(role) = role {
            probe.first_response_at.get_or_insert(now);
            probe.last_response = Some((role, now));
        }
    }
}

#[cfg(test)]
mod tests;
