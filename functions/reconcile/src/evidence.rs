//! Evidence: what the witnesses said about where the writer is, with the time of each answer.
//!
//! Each witness has a say of its own, and silence is never a statement: what could not be read is left out.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::binding::Binding;
use crate::claim::{Cause, Claim, Doubt, Voice, Witness, age};
use crate::event::{RdsEvent, Tidings};
use crate::group::{Departures, Group};
use crate::target::Addresses;

/// What DNS, the RDS API or a database said counts as long as it is not older than this. DNS and databases are asked every
/// second, the RDS API every two, and a call to AWS between an answer and its use may take much longer. With two seconds for
/// databases a lost session decided between two that take writes, and the simulation saw twice as many wrong-way switches.
const CURRENT: Duration = Duration::from_secs(5);

/// The RDS API fails in bursts: what it said last still contradicts others for this long, although it proves nothing.
const RECENT: Duration = Duration::from_secs(10);

/// A named event is a witness for this long: longer than DNS and topology lag, and shorter than a target drains, so that
/// it would still show if the event's instance had been left after it.
const EVENT: Duration = Duration::from_secs(90);

/// What was said about one binding in one run.
#[derive(Clone, Debug, Default)]
pub struct Evidence {
    /// What was seen of the target group.
    pub group: Group,
    dns: Option<Steady>,
    topology: Option<Told>,
    /// Whether the RDS API gave no answer when it was asked last.
    is_topology_silent: Option<bool>,
    /// The readers that the RDS API named last, and since when it has named no others.
    readers: Option<(Addresses, DateTime<Utc>)>,
    named: Vec<(String, DateTime<Utc>)>,
    /// When each database was asked, and what it said about itself last, and when.
    voices: BTreeMap<IpAddr, Heard>,
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

/// What was heard of a database.
#[derive(Clone, Copy, Debug)]
struct Heard {
    asked: DateTime<Utc>,
    said: Option<(Voice, DateTime<Utc>)>,
}

impl Evidence {
    /// What is known before anything was asked: the events that concern the binding, and when targets were left.
    pub fn new(binding: &Binding, events: &[RdsEvent], left: Departures, now: DateTime<Utc>) -> Evidence {
        let mut evidence = Evidence { group: Group::new(left), ..Evidence::default() };
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
        self.is_topology_silent = Some(topology.is_none());
        let readers = topology.as_ref().and_then(Topology::readers);
        if let Some(readers) = readers.filter(|new| self.readers.as_ref().is_none_or(|(last, _)| last != new)) {
            self.readers = Some((readers, now));
        }
        match (topology, &mut self.topology) {
            (Some(topology), told) => *told = Some(Told { topology, at: now, is_silent: false }),
            (None, Some(told)) => told.is_silent = true,
            (None, None) => {}
        }
    }

    /// The database at this address was asked, and said this, or nothing.
    pub fn hear_database(&mut self, address: IpAddr, voice: Option<Voice>, now: DateTime<Utc>) {
        let said = self.voices.get(&address).and_then(|heard| heard.said);
        self.voices.insert(address, Heard { asked: now, said: voice.map(|voice| (voice, now)).or(said) });
    }

    /// What the database at this address said about itself a moment ago. A silence since then takes nothing from it: a
    /// firewall looks the same as a dead host, and a login may be slow.
    pub fn voice(&self, address: IpAddr, now: DateTime<Utc>) -> Option<Voice> {
        let (voice, at) = self.voices.get(&address)?.said?;
        (age(at, now) <= CURRENT).then_some(voice)
    }

    /// When the database at this address last said anything about itself.
    pub fn spoke(&self, address: IpAddr) -> Option<DateTime<Utc>> {
        self.voices.get(&address)?.said.map(|(_, at)| at)
    }

    /// What each database that was asked said last, or that it has said nothing yet or any more.
    pub fn voices(&self) -> impl Iterator<Item = (IpAddr, Option<Voice>)> {
        let said = |heard: &Heard| heard.said.filter(|(_, at)| *at == heard.asked).map(|(voice, _)| voice);
        self.voices.iter().map(move |(address, heard)| (*address, said(heard)))
    }

    /// The databases that take writes, if every member of the group was asked: a writer that is registered must have had
    /// its chance to say so.
    pub fn writers(&self, now: DateTime<Utc>) -> Option<Addresses> {
        let was_asked = |member| self.voices.get(&member).is_some_and(|heard| age(heard.asked, now) <= CURRENT);
        let takes_writes = |address: &IpAddr| self.voice(*address, now) == Some(Voice::TakesWrites);
        let writers = self.voices.keys().copied().filter(takes_writes);
        Addresses::new(writers).filter(|_| self.group.members().all(was_asked))
    }

    /// Where a database may be that can say whether it takes writes: every address that a witness named, or that is or was
    /// registered. The standby of an instance is where its writer was.
    pub fn candidates(&self) -> impl Iterator<Item = IpAddr> {
        let members =
            self.topology.iter().flat_map(|told| &told.topology.0).flat_map(|(_, addresses)| addresses.iter());
        let registered = self.group.members().chain(self.group.draining()).chain(self.group.left().keys().copied());
        self.answer().into_iter().flat_map(Addresses::iter).chain(members).chain(registered)
    }

    /// Who says now where the one writer is, DNS first.
    pub fn claims(&self, now: DateTime<Utc>) -> Vec<Claim<'_>> {
        let dns = self.dns(now).map(|steady| Claim {
            witness: Witness::Dns,
            addresses: &steady.answer.addresses,
            speaks_of: None,
            proves: true,
            contradicts: false,
        });
        let event = self.named(now).map(|(addresses, time)| Claim {
            witness: Witness::Event,
            addresses,
            speaks_of: Some(time),
            proves: true,
            contradicts: true,
        });
        let told = self.topology.as_ref().filter(|told| age(told.at, now) <= RECENT);
        let writer = told.and_then(|told| told.topology.writer());
        let topology = writer.map(|addresses| Claim {
            witness: Witness::Topology,
            addresses,
            speaks_of: None,
            proves: self.topology(now).is_some(),
            contradicts: true,
        });
        [dns, event, topology].into_iter().flatten().collect()
    }

    /// Why what was said so far proves nothing for these addresses, in no order.
    pub fn doubts(&self, named: &Addresses, now: DateTime<Utc>) -> impl Iterator<Item = Doubt> {
        let contradicted = self.topology.as_ref().filter(|told| told.topology.writer() != Some(named));
        let contradicted = contradicted.map(|told| Doubt { since: told.at, cause: Cause::Contradicted });
        self.group.doubts(named, now).chain(contradicted)
    }

    /// The last answer of DNS, while it is current.
    pub fn dns(&self, now: DateTime<Utc>) -> Option<&Steady> {
        self.dns.as_ref().filter(|steady| age(steady.last, now) <= CURRENT)
    }

    /// The addresses of the last answer of DNS, however old.
    pub fn answer(&self) -> Option<&Addresses> {
        self.dns.as_ref().map(|steady| &steady.answer.addresses)
    }

    /// The topology, while it is readable.
    pub fn topology(&self, now: DateTime<Utc>) -> Option<&Topology> {
        let told = self.topology.as_ref()?;
        (!told.is_silent && age(told.at, now) <= CURRENT).then_some(&told.topology)
    }

    /// Whether the RDS API gave no answer when it was asked last; nothing if it was not asked.
    pub fn is_topology_silent(&self) -> Option<bool> {
        self.is_topology_silent
    }

    /// For how long the RDS API has named the readers that it named last, and no others.
    pub fn readers_lasted(&self, now: DateTime<Utc>) -> Duration {
        self.readers.as_ref().map(|(_, since)| age(*since, now)).unwrap_or_default()
    }

    /// The addresses of the instance that the newest event names, and the event's time. A text only selects among the
    /// cluster's members, which are taken from the last topology that could be read.
    pub fn named(&self, now: DateTime<Utc>) -> Option<(&Addresses, DateTime<Utc>)> {
        let (id, time) = self.named.iter().max_by_key(|(_, time)| *time)?;
        let addresses = self.topology.as_ref()?.topology.member(id)?;
        (age(*time, now) < EVENT).then_some((addresses, *time))
    }
}

#[cfg(test)]
mod tests;
