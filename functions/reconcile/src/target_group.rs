//! What a run knows about the target group: its last description, and what changed since another.
//!
//! What it does not know it takes for the worst, that it happened a moment ago:
//!
//! | first seen as        | a new process cannot know                                       |
//! |----------------------|-----------------------------------------------------------------|
//! | `draining`           | when it was deregistered, within the delay                      |
//! | `initial`            | when it was registered: checks every 300 s make it ten minutes  |
//! | `healthy` and others | when it was registered                                          |
//! | several targets      | which of them came last                                         |
//!
//! A process that described the same target so at most 90 s before knows since when it has been
//! `draining` or `initial`, and takes it for no doubt after 120 s. So with slow checks or a long
//! delay a failback waits longer in a process that has not watched.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::binding::Binding;
use crate::claim::{Doubt, DoubtCause, Unbroken, age};
use crate::pending_writes::PendingWrites;
use crate::target::{Addresses, DescribedTarget, Target, TargetState, strings};

/// A change is no doubt any more after this: longer than stale and flapping answers last together.
const DOUBT_COUNTS: Duration = Duration::from_secs(120);

/// What an earlier run saw tells nothing after this: a target may have left and come back.
const SEEN_AGAIN_WITHIN: Duration = Duration::from_secs(90);

/// What a process remembers of a group's targets from one run to the next.
#[derive(Clone, Debug, Default)]
pub struct TargetHistory {
    /// When this process deregistered a target.
    deregistered_at: BTreeMap<Target, DateTime<Utc>>,
    seen: BTreeMap<Target, Unbroken<TargetPhase>>,
}

/// What of a target's state shows how long ago it was registered or deregistered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TargetPhase {
    Initial,
    Draining,
    Healthy,
    Other,
}

/// A target group as one run saw it.
#[derive(Clone, Debug, Default)]
pub struct TargetGroupView {
    port: u16,
    described: Option<(Vec<DescribedTarget>, DateTime<Utc>)>,
    history: TargetHistory,
    /// What was written and does not show yet.
    pub pending_writes: PendingWrites,
    /// When a target came since the look before, or if `initial`, was first seen so.
    registered_at: BTreeMap<Target, DateTime<Utc>>,
    /// When a target was last seen as registered in this run.
    last_registered: BTreeMap<Target, DateTime<Utc>>,
    first_described_at: Option<DateTime<Utc>>,
    had_several: bool,
    /// Since when no description has shown a registered target, in this run.
    empty_since: Option<DateTime<Utc>>,
}

#[cfg(test)]
impl TargetHistory {
    #[must_use]
    pub(crate) fn with_deregistration(
        mut self,
        target: Target,
        at: DateTime<Utc>,
    ) -> TargetHistory {
        self.deregistered_at.insert(target, at);
        self
    }
}

impl TargetGroupView {
    /// A group that was not described yet.
    pub fn new(port: u16, history: TargetHistory) -> TargetGroupView {
        TargetGroupView { port, history, ..TargetGroupView::default() }
    }

    /// The last description; nothing before the first one, and after a write.
    pub fn targets(&self) -> &[DescribedTarget] {
        self.described.as_ref().map_or(&[], |(targets, _)| targets)
    }

    pub(crate) fn described_at(&self) -> Option<DateTime<Utc>> {
        self.described.as_ref().map(|(_, at)| *at)
    }

    /// The group was described.
    pub fn update(&mut self, targets: Vec<DescribedTarget>, now: DateTime<Utc>) {
        let is_first = self.first_described_at.is_none();
        let before = std::mem::take(&mut self.history.seen);
        let gap = if is_first { SEEN_AGAIN_WITHIN } else { Duration::MAX };
        let registered_before = std::mem::take(&mut self.registered_at);
        for described in &targets {
            let Some(target) = described.target() else { continue };
            let phase = TargetPhase::of(described);
            let seen = Unbroken::after(before.get(&target).cloned(), phase, gap, now);
            let since = seen.since;
            self.history.seen.insert(target, seen);
            if described.is_registered() {
                let is_new = phase == TargetPhase::Initial
                    || !(is_first || self.last_registered.contains_key(&target));
                let is_new = is_new && age(since, now) <= DOUBT_COUNTS;
                if let Some(time) =
                    registered_before.get(&target).copied().or(is_new.then_some(since))
                {
                    self.registered_at.insert(target, time);
                }
                self.last_registered.insert(target, now);
            }
        }
        let members: BTreeSet<IpAddr> =
            self.last_registered.keys().map(|target| target.address).collect();
        if is_first {
            (self.first_described_at, self.had_several) = (Some(now), members.len() > 1);
        }
        let is_empty = !targets.iter().any(DescribedTarget::is_registered);
        self.empty_since = if is_empty { self.empty_since.or(Some(now)) } else { None };
        self.pending_writes.confirm(&targets);
        self.described = Some((targets, now));
    }

    /// What was described is out of date: something was, or may have been, written.
    pub fn invalidate(&mut self) {
        self.described = None;
    }

    /// The target is being deregistered; whether the call succeeds may never be known.
    pub fn record_deregistration(&mut self, target: Target, now: DateTime<Utc>) {
        self.history.deregistered_at.insert(target, now);
    }

    /// What later runs of this process should know.
    pub fn history(&self) -> &TargetHistory {
        &self.history
    }

    /// Where this process deregistered targets.
    pub fn deregistered(&self) -> impl Iterator<Item = IpAddr> {
        self.history.deregistered_at.keys().map(|target| target.address)
    }

    pub(crate) fn has_registered(&self, named: &Addresses) -> bool {
        self.registered().any(|member| named.contains(member))
    }

    /// An `Id` that is no address is passed over: in a group of IP targets there is none.
    pub(crate) fn unwanted(&self, named: &Addresses) -> impl Iterator<Item = IpAddr> {
        self.registered().filter(|address| !named.contains(*address))
    }

    /// What makes it doubtful that the writer is at these addresses, the weakest doubt first.
    /// Without `with_memory` what other runs saw counts from the first look, as in a new process.
    pub(crate) fn doubts(
        &self,
        named: &Addresses,
        with_memory: bool,
        now: DateTime<Utc>,
    ) -> impl Iterator<Item = Doubt> {
        let first_described_at = if with_memory { None } else { self.first_described_at };
        let seen_since =
            move |since: DateTime<Utc>| first_described_at.map_or(since, |first| since.max(first));
        let deregistered = move |address| {
            let deregistered = self
                .deregistered_since(address, seen_since)
                .filter(|deregistered| age(*deregistered, now) <= DOUBT_COUNTS)?;
            Some((deregistered, DoubtCause::Deregistered(address)))
        };
        let registered_at = move |target: Target| {
            let since = self.registered_at.get(&target)?;
            Some((seen_since(*since), DoubtCause::Registered(target.address)))
        };
        let leaving = self.registered_targets().filter(|target| !named.contains(target.address));
        let several = if self.had_several { self.first_described_at } else { None };
        { several.into_iter() }
            .map(|since| (since, DoubtCause::SeveralTargets))
            .chain(named.iter().filter_map(deregistered))
            .chain(leaving.filter_map(registered_at))
            .map(|(since, cause)| Doubt { since, cause })
    }

    /// By anybody, on the binding's port: another port put right is no proof against this one.
    fn deregistered_since(
        &self,
        address: IpAddr,
        seen_since: impl Fn(DateTime<Utc>) -> DateTime<Utc>,
    ) -> Option<DateTime<Utc>> {
        let target = Target { address, port: self.port };
        let by_this_process = self.history.deregistered_at.get(&target).copied();
        let by_another = match self.last_registered.get(&target) {
            Some(at) if self.registered_targets().all(|member| member != target) => Some(*at),
            _ => None,
        };
        let draining = match self.history.seen.get(&target) {
            Some(seen) if seen.value == TargetPhase::Draining => {
                Some(by_this_process.unwrap_or_else(|| seen_since(seen.since)))
            }
            _ => None,
        };
        [by_this_process, by_another, draining].into_iter().flatten().max()
    }

    /// When the target at this address was registered, if in this run or a moment before it.
    pub(crate) fn registered_at(&self, address: IpAddr) -> Option<DateTime<Utc>> {
        self.registered_at.get(&Target { address, port: self.port }).copied()
    }

    /// For how long the target at this address has been healthy, as far as this process knows.
    pub(crate) fn healthy_for(&self, address: IpAddr, now: DateTime<Utc>) -> Option<Duration> {
        let seen = self.history.seen.get(&Target { address, port: self.port })?;
        (seen.value == TargetPhase::Healthy).then(|| age(seen.since, now))
    }

    pub(crate) fn empty_for(&self, now: DateTime<Utc>) -> Option<Duration> {
        self.empty_since.map(|since| age(since, now))
    }

    /// The addresses that are draining.
    pub fn draining(&self) -> impl Iterator<Item = IpAddr> {
        { self.history.seen.iter() }
            .filter(|(_, seen)| {
                self.first_described_at.is_some() && seen.value == TargetPhase::Draining
            })
            .map(|(target, _)| target.address)
    }

    /// The addresses that are registered.
    pub fn registered(&self) -> impl Iterator<Item = IpAddr> {
        self.registered_targets().map(|target| target.address)
    }

    fn registered_targets(&self) -> impl Iterator<Item = Target> {
        self.targets()
            .iter()
            .filter(|target| target.is_registered())
            .filter_map(DescribedTarget::target)
    }
}

/// What in a description does not go with the binding, in words: what a person should know who gave
/// the function a target group that exists.
pub fn misfits(binding: &Binding, targets: &[DescribedTarget]) -> Vec<String> {
    let (port, mut found) = (binding.port, Vec::new());
    let registered = || targets.iter().filter(|target| target.is_registered());
    if let Some(other) = registered().find(|target| target.target().is_none()) {
        let id = &other.id;
        found.push(format!("it holds {id}, which is no address: give a target group of type ip"));
    }
    let others = strings(registered().filter(|target| target.port != port));
    if !others.is_empty() {
        found.push(format!(
            "it holds {} and the function registers port {port}: see to DatabasePort",
            others.join(", ")
        ));
    }
    if binding.kind.is_single_writer() && registered().count() > 1 {
        found.push(
            "it holds several targets, and the endpoint has one writer: stop whatever else \
             registers targets in it before the function acts"
                .to_owned(),
        );
    }
    found
}

impl TargetPhase {
    fn of(target: &DescribedTarget) -> TargetPhase {
        match target.state {
            TargetState::Initial => TargetPhase::Initial,
            TargetState::Draining => TargetPhase::Draining,
            TargetState::Healthy => TargetPhase::Healthy,
            _ => TargetPhase::Other,
        }
    }
}

#[cfg(test)]
mod tests;
