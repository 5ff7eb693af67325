//! What a process remembers of a target group from one run to the next. Only a help: a new process does without it.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use reconcile::agenda::Settled;
use reconcile::binding::TargetGroupArn;
use reconcile::claim::age;
use reconcile::evidence::{Answer, ClusterMember};
use reconcile::group::Group;
use reconcile::history::History;
use reconcile::target::Addresses;

use crate::error::DnsError;

/// A member is believed to be where it was found so long ago, if DNS does not answer now.
const FOUND: Duration = Duration::from_secs(300);

/// What is remembered of every group.
#[derive(Default)]
pub(crate) struct Memory(Mutex<BTreeMap<TargetGroupArn, Remembered>>);

/// What is remembered of one group.
#[derive(Clone, Default)]
pub(crate) struct Remembered {
    /// What its runs saw.
    pub(crate) history: History,
    /// The last time it saw the group in sync.
    pub(crate) settled: Settled,
    /// Where the members of the cluster were found last.
    pub(crate) members: MemberAddresses,
}

impl Memory {
    pub(crate) fn of(&self, group: &TargetGroupArn) -> Remembered {
        self.groups().get(group).cloned().unwrap_or_default()
    }

    pub(crate) fn keep(&self, group: &TargetGroupArn, history: History) {
        self.groups().entry(group.clone()).or_default().history = history;
    }

    pub(crate) fn settle(&self, group: &TargetGroupArn, settled: Settled) {
        self.groups().entry(group.clone()).or_default().settled = settled;
    }

    /// Notes since when witnesses have disagreed, at the end of a run in which they did.
    pub(crate) fn disagree(&self, group: &TargetGroupArn, since: Option<DateTime<Utc>>) {
        self.groups().entry(group.clone()).or_default().settled.disagreed = since;
    }

    pub(crate) fn locate(&self, group: &TargetGroupArn, members: &MemberAddresses) {
        self.groups().entry(group.clone()).or_default().members = members.clone();
    }

    fn groups(&self) -> MutexGuard<'_, BTreeMap<TargetGroupArn, Remembered>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where the members of a cluster were found last, by the name of the endpoint.
#[derive(Clone, Default)]
pub(crate) struct MemberAddresses(BTreeMap<String, Found>);

#[derive(Clone)]
struct Found {
    addresses: Addresses,
    at: DateTime<Utc>,
    /// The member's status then: with another one it may have got another host.
    status: String,
}

impl MemberAddresses {
    /// Where the member is: what DNS says of its endpoint, or if it gave no answer, what it said last, as long as that
    /// is not old, or is an address in the group.
    pub(crate) fn locate(
        &mut self,
        member: &ClusterMember,
        answer: Result<Answer, DnsError>,
        group: &Group,
        now: DateTime<Utc>,
    ) -> Option<Addresses> {
        let endpoint = member.endpoint.as_ref()?;
        match answer {
            Ok(Answer { addresses, .. }) => {
                let found = Found { addresses: addresses.clone(), at: now, status: member.status.clone() };
                self.0.insert(endpoint.clone(), found);
                Some(addresses)
            }
            Err(error) => {
                let is_in_group = |address: IpAddr| group.members().chain(group.draining()).any(|it| it == address);
                let is_believed = |found: &Found| {
                    found.status == member.status
                        && (age(found.at, now) <= FOUND || found.addresses.iter().any(is_in_group))
                };
                if error.answer.is_definite() || !self.0.get(endpoint).is_some_and(is_believed) {
                    self.0.remove(endpoint);
                }
                self.0.get(endpoint).map(|found| found.addresses.clone())
            }
        }
    }

    /// Forgets the members that the cluster has no more.
    pub(crate) fn retain(&mut self, is_member: impl Fn(&str) -> bool) {
        self.0.retain(|endpoint, _| is_member(endpoint));
    }

    /// The name of the member that was found there last.
    pub(crate) fn name_of(&self, address: IpAddr) -> Option<&str> {
        let found = self.0.iter().filter(|(_, found)| found.addresses.contains(address));
        found.max_by_key(|(_, found)| found.at).map(|(endpoint, _)| endpoint.as_str())
    }
}
