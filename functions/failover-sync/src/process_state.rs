//! What a process remembers of a target group. Only a help: a new process does without it.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use base::database::ClusterMember;
use chrono::{DateTime, Utc};
use parking_lot::Mutex;
use reconcile::binding::TargetGroupArn;
use reconcile::claim::age;
use reconcile::evidence::DnsAnswer;
use reconcile::history::History;
use reconcile::path::PathHistory;
use reconcile::poll_policy::LastInSync;
use reconcile::target::Addresses;
use reconcile::target_group::TargetGroupView;

use crate::error::DnsError;

/// A member is believed to be where it was found so long ago, if DNS does not answer now.
const FOUND: Duration = Duration::from_secs(300);

#[derive(Default)]
pub(crate) struct ProcessState(Mutex<BTreeMap<TargetGroupArn, GroupState>>);

/// What a run begins with. It works on copies, and writes each back as soon as it may be needed:
/// the history after every look, also for a run that is cut short; the agreement at its end.
#[derive(Clone, Default)]
pub(crate) struct GroupState {
    pub(crate) history: History,
    pub(crate) last_in_sync: LastInSync,
    pub(crate) members: MemberAddresses,
    pub(crate) path: PathHistory,
}

impl ProcessState {
    pub(crate) fn get(&self, group: &TargetGroupArn) -> GroupState {
        self.0.lock().get(group).cloned().unwrap_or_default()
    }

    pub(crate) fn update(&self, group: &TargetGroupArn, change: impl FnOnce(&mut GroupState)) {
        change(self.0.lock().entry(group.clone()).or_default());
    }
}

/// Where the members of a cluster were found last, by the name of the endpoint.
#[derive(Clone, Default)]
pub(crate) struct MemberAddresses(BTreeMap<String, FoundAddresses>);

#[derive(Clone)]
struct FoundAddresses {
    addresses: Addresses,
    at: DateTime<Utc>,
    /// The member's status then: with another one it may have got another host.
    status: String,
}

impl MemberAddresses {
    /// DNS's answer for the endpoint; without one its last, if not old or still in the group.
    pub(crate) fn resolve(
        &mut self,
        member: &ClusterMember,
        answer: Result<DnsAnswer, DnsError>,
        group: &TargetGroupView,
        now: DateTime<Utc>,
    ) -> Option<Addresses> {
        let endpoint = member.endpoint.as_ref()?;
        match answer {
            Ok(DnsAnswer { addresses, .. }) => {
                let found = FoundAddresses {
                    addresses: addresses.clone(),
                    at: now,
                    status: member.status.clone(),
                };
                self.0.insert(endpoint.clone(), found);
                Some(addresses)
            }
            Err(error) => {
                let is_in_group = |address: IpAddr| {
                    group.registered().chain(group.draining()).any(|it| it == address)
                };
                let is_believed = |found: &FoundAddresses| {
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

    pub(crate) fn retain(&mut self, is_member: impl Fn(&str) -> bool) {
        self.0.retain(|endpoint, _| is_member(endpoint));
    }

    pub(crate) fn tls_name(&self, address: IpAddr) -> Option<&str> {
        let found = self.0.iter().filter(|(_, found)| found.addresses.contains(address));
        found.max_by_key(|(_, found)| found.at).map(|(endpoint, _)| endpoint.as_str())
    }
}
