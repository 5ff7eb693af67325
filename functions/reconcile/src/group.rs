//! What a run knows about the target group: its last description, and what changed between descriptions.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::claim::{Cause, Doubt, age};
use crate::target::{Addresses, DescribedTarget, Target, TargetState};

/// The template's deregistration delay: how long a target that was left is described as draining.
const DRAIN: Duration = Duration::from_secs(120);

/// When which address was left. Only a help: a new process knows nothing of it and asks for more proof.
pub type Departures = BTreeMap<IpAddr, DateTime<Utc>>;

/// A target group as one run saw it.
#[derive(Clone, Debug, Default)]
pub struct Group {
    described: Option<(Vec<DescribedTarget>, DateTime<Utc>)>,
    /// When an address was deregistered by this process, in this run or an earlier one.
    left: Departures,
    /// When an address was first seen as draining.
    draining: BTreeMap<IpAddr, DateTime<Utc>>,
    /// When a member was seen that had not been there at the look before, or that was registered a moment ago.
    appeared: BTreeMap<IpAddr, DateTime<Utc>>,
    /// When an address was last seen as a member.
    seen: BTreeMap<IpAddr, DateTime<Utc>>,
    first_look: Option<DateTime<Utc>>,
    /// Whether the first look showed several members.
    is_mixed: bool,
}

impl Group {
    /// A group that was not described yet.
    pub fn new(left: Departures) -> Group {
        Group { left, ..Group::default() }
    }

    /// The last description; nothing before the first one, and after a write.
    pub fn targets(&self) -> &[DescribedTarget] {
        self.described.as_ref().map_or(&[], |(targets, _)| targets)
    }

    /// When it was like that.
    pub fn described_at(&self) -> Option<DateTime<Utc>> {
        self.described.as_ref().map(|(_, at)| *at)
    }

    /// The group was described.
    pub fn see(&mut self, targets: Vec<DescribedTarget>, now: DateTime<Utc>) {
        let is_first = self.first_look.is_none();
        let [appeared_before, draining_before] = [&mut self.appeared, &mut self.draining].map(std::mem::take);
        for target in &targets {
            let Some(Target { address, .. }) = target.target() else { continue };
            if target.state == TargetState::Draining {
                self.draining.insert(address, draining_before.get(&address).copied().unwrap_or(now));
            }
            if target.is_member() {
                let is_new = target.state == TargetState::Initial || !(is_first || self.seen.contains_key(&address));
                if let Some(time) = appeared_before.get(&address).copied().or(is_new.then_some(now)) {
                    self.appeared.insert(address, time);
                }
            }
        }
        let members = targets.iter().filter(|target| target.is_member()).filter_map(DescribedTarget::target);
        self.seen.extend(members.map(|member| (member.address, now)));
        if is_first {
            (self.first_look, self.is_mixed) = (Some(now), self.seen.len() > 1);
        }
        self.described = Some((targets, now));
    }

    /// What was described is out of date: something was, or may have been, written.
    pub fn forget(&mut self) {
        self.described = None;
    }

    /// The target is being deregistered; whether the call succeeds may never be known.
    pub fn leave(&mut self, address: IpAddr, now: DateTime<Utc>) {
        self.left.insert(address, now);
    }

    /// When targets were left, as far as this process knows.
    pub fn left(&self) -> &Departures {
        &self.left
    }

    /// Whether any of these addresses is a member's.
    pub fn has_member(&self, named: &Addresses) -> bool {
        self.members().any(|member| named.contains(member))
    }

    /// The addresses of members that are not named. An `Id` that is no address has none and is passed over: in a group
    /// of IP targets there is none.
    pub fn surplus(&self, named: &Addresses) -> impl Iterator<Item = IpAddr> {
        self.members().filter(|address| !named.contains(*address))
    }

    /// What in the group speaks against believing that the writer is at these addresses, the least telling first.
    pub(crate) fn doubts(&self, named: &Addresses, now: DateTime<Utc>) -> impl Iterator<Item = Doubt> {
        let left = named.iter().filter_map(move |address| Some((self.left_since(address, now)?, Cause::Left(address))));
        let appeared = |address| Some((self.appeared.get(&address).copied()?, Cause::Appeared(address)));
        let appeared = self.surplus(named).filter_map(appeared);
        let mixed = self.first_look.filter(|_| self.is_mixed).map(|since| (since, Cause::Mixed));
        mixed.into_iter().chain(left).chain(appeared).map(|(since, cause)| Doubt { since, cause })
    }

    /// When an address was left by anybody, as long as a target that was left then may drain.
    fn left_since(&self, address: IpAddr, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let by_this_process = self.left.get(&address).copied();
        let is_member = self.members().any(|member| member == address);
        let by_another = self.seen.get(&address).copied().filter(|_| !is_member);
        let is_recent = |left: &DateTime<Utc>| age(*left, now) <= DRAIN;
        let draining = self.draining.get(&address).map(|first_seen| by_this_process.unwrap_or(*first_seen));
        by_this_process.max(by_another).filter(is_recent).max(draining)
    }

    /// The addresses that are draining.
    pub fn draining(&self) -> impl Iterator<Item = IpAddr> {
        self.draining.keys().copied()
    }

    /// The members' addresses.
    pub fn members(&self) -> impl Iterator<Item = IpAddr> {
        let members = self.targets().iter().filter(|target| target.is_member());
        members.filter_map(DescribedTarget::target).map(|target| target.address)
    }
}
