//! The target group as ELBv2 keeps it: members, draining targets, descriptions that lag behind.

use std::collections::VecDeque;
use std::net::IpAddr;

use reconcile::target::{DescribedTarget, Target, TargetState};

use crate::dice::{Moment, SECOND};

/// From a registration to the first health check.
pub(crate) const INITIAL: Moment = 30 * SECOND;

/// A target group.
pub struct Group {
    delay: Moment,
    entries: Vec<Entry>,
    /// What descriptions show from when on; the first one is shown now.
    shown: VecDeque<(Moment, Vec<Entry>)>,
    /// The members from when on, for the measurements.
    pub history: Vec<(Moment, Vec<Target>)>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    target: Target,
    since: Moment,
    drained: Option<Moment>,
}

impl Entry {
    fn is_member(&self) -> bool {
        self.drained.is_none()
    }
}

impl Group {
    /// A group with these members and this deregistration delay.
    pub fn new(members: &[Target], delay: Moment) -> Group {
        let entry = |target: &Target| Entry { target: *target, since: 0, drained: None };
        let entries: Vec<Entry> = members.iter().map(entry).collect();
        Group {
            delay,
            shown: VecDeque::from([(0, entries.clone())]),
            entries,
            history: vec![(0, members.to_vec())],
        }
    }

    /// The members now.
    pub fn members(&self) -> impl Iterator<Item = Target> {
        self.entries.iter().filter(|entry| entry.is_member()).map(|entry| entry.target)
    }

    /// The members at a moment.
    pub fn members_at(&self, at: Moment) -> &[Target] {
        let number = self.history.partition_point(|(from, _)| *from <= at);
        number.checked_sub(1).map_or(&[], |number| &self.history[number].1)
    }

    /// When the last target that drains has drained.
    pub fn drained(&self) -> Moment {
        self.entries.iter().filter_map(|entry| entry.drained).max().unwrap_or(0)
    }

    /// Whether the target is or was in the group.
    pub fn knows(&self, target: Target) -> bool {
        self.history.iter().any(|(_, members)| members.contains(&target))
    }

    /// What a description shows now; health is asked for by address.
    pub fn describe(
        &mut self,
        now: Moment,
        is_down: impl Fn(IpAddr) -> bool,
    ) -> Vec<DescribedTarget> {
        while self.shown.get(1).is_some_and(|(from, _)| *from <= now) {
            self.shown.pop_front();
        }
        let shown = self.shown.front().map_or(&[][..], |(_, entries)| entries);
        let is_listed = |entry: &&Entry| entry.drained.is_none_or(|drained| now < drained);
        let describe = |entry: &Entry| {
            let (state, reason) = match entry.drained {
                Some(_) => (TargetState::Draining, Some("Target.DeregistrationInProgress")),
                None if now < entry.since + INITIAL => {
                    (TargetState::Initial, Some("Elb.InitialHealthChecking"))
                }
                None if is_down(entry.target.address) => {
                    (TargetState::Unhealthy, Some("Target.FailedHealthChecks"))
                }
                None => (TargetState::Healthy, None),
            };
            let Target { address, port } = entry.target;
            DescribedTarget::new(address.to_string(), port, state, reason.map(str::to_owned))
        };
        shown.iter().filter(is_listed).map(describe).collect()
    }

    /// Registers; a member stays as it is, a draining target becomes a member again.
    pub fn register(&mut self, now: Moment, shown_from: Moment, targets: &[Target]) {
        for target in targets {
            self.entries.retain(|entry| entry.is_member() || entry.target != *target);
            if self.entries.iter().all(|entry| entry.target != *target) {
                self.entries.push(Entry { target: *target, since: now, drained: None });
            }
        }
        self.changed(now, shown_from);
    }

    /// Deregisters; a target that is no member is passed over without an error, as ELBv2 does.
    pub fn deregister(&mut self, now: Moment, shown_from: Moment, targets: &[Target]) {
        for entry in self
            .entries
            .iter_mut()
            .filter(|entry| entry.is_member() && targets.contains(&entry.target))
        {
            entry.drained = Some(now + self.delay);
        }
        self.changed(now, shown_from);
    }

    fn changed(&mut self, now: Moment, shown_from: Moment) {
        self.entries.retain(|entry| entry.drained.is_none_or(|drained| now < drained));
        let newest = self.shown.back().map_or(0, |(from, _)| *from);
        self.shown.push_back((shown_from.max(newest), self.entries.clone()));
        let members: Vec<Target> = self.members().collect();
        if self.history.last().is_none_or(|(_, before)| *before != members) {
            self.history.push((now, members));
        }
    }
}
