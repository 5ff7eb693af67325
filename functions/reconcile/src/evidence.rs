//! Evidence: what the witnesses said about where the writer is, with the time of each answer.
//!
//! Each witness has a say of its own, and silence is never a statement: what could not be read is left out.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::binding::Binding;
use crate::event::{RdsEvent, Tidings};
use crate::target::{Addresses, DescribedTarget, Target, TargetState};
use crate::watch::age;

/// The template's deregistration delay: how long a target that was left is described as draining.
const DRAIN: Duration = Duration::from_secs(120);

/// What DNS or the RDS API said counts as long as it is not older than this. DNS is asked every second, the RDS API
/// every two, and a call to AWS between an answer and its use may take much longer.
const CURRENT: Duration = Duration::from_secs(5);

/// The RDS API fails in bursts: what it said last still contradicts others for this long, although it proves nothing.
const RECENT: Duration = Duration::from_secs(10);

/// What was said about one binding in one run.
#[derive(Clone, Debug, Default)]
pub struct Evidence {
    dns: Option<Steady>,
    topology: Option<Told>,
    named: Vec<(String, DateTime<Utc>)>,
    left: BTreeMap<IpAddr, DateTime<Utc>>,
    members: Option<Memory>,
}

/// What this run saw of the group's members.
#[derive(Clone, Debug, Default)]
struct Memory {
    /// When a member was seen that had not been there at the look before, or that was registered a moment ago.
    appeared: BTreeMap<IpAddr, DateTime<Utc>>,
    /// When an address was last seen as a member.
    seen: BTreeMap<IpAddr, DateTime<Utc>>,
    /// When the first look was, if it showed several members.
    mixed: Option<DateTime<Utc>>,
}

/// One answer with addresses. An empty answer is no evidence and has no value of this type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The address set.
    pub addresses: Addresses,
    /// How long DNS lets others keep it: the smallest TTL of the chain. Zero for a literal address.
    pub ttl: Duration,
}

/// An answer of DNS, and how long it has been the only one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Steady {
    /// The last answer.
    pub answer: Answer,
    since: DateTime<Utc>,
    last: DateTime<Utc>,
}

impl Steady {
    /// From the first to the last answer of an unbroken row of equal ones, counted from the given time at the earliest.
    pub fn lasted_since(&self, time: Option<DateTime<Utc>>) -> Duration {
        age(time.map_or(self.since, |time| time.max(self.since)), self.last)
    }
}

/// An instance of a cluster as the RDS API describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterMember {
    /// The DB instance identifier.
    pub id: String,
    /// Whether it is the writer.
    pub is_writer: bool,
    /// The name of its endpoint; absent while it is being created.
    pub endpoint: Option<String>,
    /// Such as `available` or `creating`.
    pub status: String,
}

impl ClusterMember {
    /// Whether it may take connections: everything but an instance that is not there yet, or is not there any more.
    pub fn can_serve(&self) -> bool {
        const OUT: [&str; 8] = [
            "creating",
            "deleting",
            "stopped",
            "stopping",
            "starting",
            "failed",
            "inaccessible-encryption-credentials",
            "inaccessible-encryption-credentials-recoverable",
        ];
        !OUT.contains(&self.status.as_str()) && !self.status.starts_with("incompatible-")
    }
}

/// A cluster's members with the addresses behind their endpoints; a member without a resolvable one is left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Topology(pub Vec<(ClusterMember, Addresses)>);

impl Topology {
    /// The writer's addresses.
    pub fn writer(&self) -> Option<&Addresses> {
        self.0.iter().find(|(member, _)| member.is_writer).map(|(_, addresses)| addresses)
    }

    /// The addresses of every reader that can serve.
    pub fn readers(&self) -> Option<Addresses> {
        let readers = self.0.iter().filter(|(member, _)| !member.is_writer && member.can_serve());
        Addresses::new(readers.flat_map(|(_, addresses)| addresses.iter()))
    }

    /// Whether the address belongs to a member.
    pub fn has(&self, address: IpAddr) -> bool {
        self.0.iter().any(|(_, addresses)| addresses.contains(address))
    }

    fn member(&self, id: &str) -> Option<&Addresses> {
        self.0.iter().find(|(member, _)| member.id.eq_ignore_ascii_case(id)).map(|(_, addresses)| addresses)
    }
}

#[derive(Clone, Debug)]
struct Told {
    topology: Topology,
    at: DateTime<Utc>,
    is_silent: bool,
}

impl Evidence {
    /// What is known before anything was asked: the events that concern the binding, and when targets were left.
    pub fn new(
        binding: &Binding,
        events: &[RdsEvent],
        left: BTreeMap<IpAddr, DateTime<Utc>>,
        now: DateTime<Utc>,
    ) -> Evidence {
        let mut evidence = Evidence { left, ..Evidence::default() };
        for event in events.iter().filter(|event| event.concerns(binding)) {
            // Without a time it cannot be told from one that comes late: no witness.
            let Some(time) = event.time.map(|time| time.min(now)) else { continue };
            if let Tidings::Names(id) = event.tidings() {
                evidence.named.push((id, time));
            }
        }
        evidence
    }

    /// DNS answered.
    pub fn hear_dns(&mut self, answer: Answer, now: DateTime<Utc>) {
        let since = match &self.dns {
            // A row of equal answers with a long silence in it says nothing about the time between.
            Some(steady) if steady.answer.addresses == answer.addresses && age(steady.last, now) <= CURRENT => {
                steady.since
            }
            _ => now,
        };
        self.dns = Some(Steady { answer, since, last: now });
    }

    /// The RDS API answered, or was silent.
    pub fn hear_topology(&mut self, topology: Option<Topology>, now: DateTime<Utc>) {
        match (topology, &mut self.topology) {
            (Some(topology), told) => *told = Some(Told { topology, at: now, is_silent: false }),
            (None, Some(told)) => told.is_silent = true,
            (None, None) => {}
        }
    }

    /// The group was described.
    pub fn see_group(&mut self, group: &[DescribedTarget], now: DateTime<Utc>) {
        let is_first = self.members.is_none();
        let memory = self.members.get_or_insert_default();
        let before = std::mem::take(&mut memory.appeared);
        for target in group.iter().filter(|target| target.is_member()) {
            let Some(Target { address, .. }) = target.target() else { continue };
            let is_new = target.state == TargetState::Initial || !(is_first || memory.seen.contains_key(&address));
            if let Some(time) = before.get(&address).copied().or(is_new.then_some(now)) {
                memory.appeared.insert(address, time);
            }
            memory.seen.insert(address, now);
        }
        if is_first && memory.seen.len() > 1 {
            memory.mixed = Some(now);
        }
    }

    /// When it was first seen that the address had just been registered, by this run or another.
    pub fn appeared(&self, address: IpAddr) -> Option<DateTime<Utc>> {
        self.members.as_ref()?.appeared.get(&address).copied()
    }

    /// When the first look was, if it showed several members: nobody knows then which of them came last.
    pub fn mixed(&self) -> Option<DateTime<Utc>> {
        self.members.as_ref()?.mixed
    }

    /// When the address was last seen as a member.
    pub fn last_member(&self, address: IpAddr) -> Option<DateTime<Utc>> {
        self.members.as_ref()?.seen.get(&address).copied()
    }

    /// The target is being deregistered; whether the call succeeds may never be known.
    pub fn leave(&mut self, address: IpAddr, now: DateTime<Utc>) {
        self.left.insert(address, now);
    }

    /// When this process left the address, if it is still draining then. A description may not show it yet.
    pub fn left_lately(&self, address: IpAddr, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.left.get(&address).copied().filter(|left| age(*left, now) <= DRAIN)
    }

    /// When targets were left, as far as this process knows.
    pub fn left(&self) -> &BTreeMap<IpAddr, DateTime<Utc>> {
        &self.left
    }

    /// The last answer of DNS, while it is current.
    pub fn dns(&self, now: DateTime<Utc>) -> Option<&Steady> {
        self.dns.as_ref().filter(|steady| age(steady.last, now) <= CURRENT)
    }

    /// Whether DNS has ever answered.
    pub fn has_answer(&self) -> bool {
        self.dns.is_some()
    }

    /// The topology, while it is readable.
    pub fn topology(&self, now: DateTime<Utc>) -> Option<&Topology> {
        let told = self.topology.as_ref()?;
        (!told.is_silent && age(told.at, now) <= CURRENT).then_some(&told.topology)
    }

    /// Another writer that the RDS API named a moment ago, although it may be silent by now.
    pub fn other_writer(&self, named: &Addresses, now: DateTime<Utc>) -> Option<&Addresses> {
        let told = self.topology.as_ref().filter(|told| age(told.at, now) <= RECENT)?;
        told.topology.writer().filter(|writer| *writer != named)
    }

    /// When the RDS API last named another writer, however long it has been silent since.
    pub fn contradicted(&self, named: &Addresses) -> Option<DateTime<Utc>> {
        let told = self.topology.as_ref()?;
        (told.topology.writer() != Some(named)).then_some(told.at)
    }

    /// The addresses of the instance that the newest event names, and the event's time. A text only selects among the
    /// cluster's members, which are taken from the last topology that could be read.
    ///
    /// An event is a witness as long as a target drains: had its instance been left after it, that would still show.
    pub fn named(&self, now: DateTime<Utc>) -> Option<(&Addresses, DateTime<Utc>)> {
        let (id, time) = self.named.iter().max_by_key(|(_, time)| *time)?;
        let addresses = self.topology.as_ref()?.topology.member(id)?;
        (age(*time, now) <= DRAIN).then_some((addresses, *time))
    }
}
