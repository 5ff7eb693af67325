//! Writes that no description shows yet: ELBv2 does not promise to show them at once.

use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::claim::age;
use crate::plan::Plan;
use crate::target::{DescribedTarget, Target};

/// A write that does not show is repeated after this, and then after twice as long each time.
const FIRST_PAUSE: Duration = Duration::from_secs(10);

/// What was written and does not show.
#[derive(Clone, Debug, Default)]
pub struct PendingWrites(Vec<PendingWrite>);

#[derive(Clone, Debug)]
struct PendingWrite {
    write: Write,
    target: Target,
    at: DateTime<Utc>,
    pause: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Write {
    Register,
    Deregister,
}

impl PendingWrites {
    /// Whether all that was written shows.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What of the plan is to be sent now. What it keeps is registered again if all that was
    /// deregistered and only still shows: else the others would leave it alone while it drains.
    pub fn to_send(&self, plan: &Plan, now: DateTime<Utc>) -> Plan {
        let is_due = |write, target: Target| {
            let sent = self.0.iter().find(|sent| (sent.write, sent.target) == (write, target));
            sent.is_none_or(|sent| age(sent.at, now) >= sent.pause)
        };
        let mut to_send = plan.clone();
        to_send.register.retain(|target| is_due(Write::Register, *target));
        to_send
            .deregister
            .retain(|entry| entry.target().is_none_or(|target| is_due(Write::Deregister, target)));
        let is_leaving = |target: &Target| {
            self.0.iter().any(|sent| (sent.write, sent.target) == (Write::Deregister, *target))
        };
        if plan.register.is_empty() && plan.keep.iter().all(is_leaving) {
            to_send.register.extend(&plan.keep);
        }
        to_send
    }

    /// The targets were registered.
    pub fn registered(&mut self, targets: &[Target], now: DateTime<Utc>) {
        targets.iter().for_each(|target| self.record(Write::Register, *target, now));
    }

    /// The targets were deregistered.
    pub fn deregistered(&mut self, targets: &[DescribedTarget], now: DateTime<Utc>) {
        let targets = targets.iter().filter_map(DescribedTarget::target);
        targets.for_each(|target| self.record(Write::Deregister, target, now));
    }

    /// The group was described: what it shows needs no memory.
    pub fn confirm(&mut self, group: &[DescribedTarget]) {
        let is_member = |target| {
            group.iter().any(|entry| entry.is_registered() && entry.target() == Some(target))
        };
        self.0.retain(|sent| is_member(sent.target) == (sent.write == Write::Deregister));
    }

    fn record(&mut self, write: Write, target: Target, now: DateTime<Utc>) {
        // What was done to it before is undone, whether it showed or not.
        self.0.retain(|sent| sent.target != target || sent.write == write);
        let before = self.0.iter().position(|sent| (sent.write, sent.target) == (write, target));
        let pause = before.map_or(FIRST_PAUSE, |before| self.0.swap_remove(before).pause * 2);
        self.0.push(PendingWrite { write, target, at: now, pause });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::target::Addresses;
    use crate::target::tests::described;

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_700_000_000 + second, 0).expect("a time")
    }

    fn group(targets: &[&str]) -> Vec<DescribedTarget> {
        targets.iter().map(|text| described(text)).collect()
    }

    /// What makes 10.0.0.2 the only registered target.
    fn plan(targets: &[&str]) -> Plan {
        Plan::new(&Addresses::from(std::net::IpAddr::from([10, 0, 0, 2])), 5432, &group(targets))
    }

    #[test]
    fn a_write_that_does_not_show_is_repeated_after_growing_pauses() {
        let plan = plan(&["10.0.0.1:5432"]);
        let mut pending_writes = PendingWrites::default();
        for (sent, pause) in [(0, 10), (10, 20), (30, 40), (70, 80)] {
            pending_writes.registered(&plan.register, at(sent));
            pending_writes.deregistered(&plan.deregister, at(sent));
            pending_writes.confirm(&group(&["10.0.0.1:5432"]));
            let waited = pending_writes.to_send(&plan, at(sent + pause - 1));
            assert!(waited.is_empty(), "{waited}");
            assert_eq!(
                pending_writes.to_send(&plan, at(sent + pause)),
                plan,
                "{pause} s after the write at {sent} s"
            );
        }
    }

    #[test]
    fn what_was_deregistered_and_still_shows_is_registered_again_if_it_is_to_stay() {
        let both = ["10.0.0.1:5432", "10.0.0.2:5432"];
        let wanted =
            Plan::new(&Addresses::from(std::net::IpAddr::from([10, 0, 0, 1])), 5432, &group(&both));
        let mut pending_writes = PendingWrites::default();
        assert_eq!(pending_writes.to_send(&wanted, at(0)), wanted);
        pending_writes.deregistered(&plan(&both).deregister, at(0));
        pending_writes.confirm(&group(&both));
        let to_send = pending_writes.to_send(&wanted, at(1)).to_string();
        assert_eq!(to_send, "register 10.0.0.1:5432, then deregister 10.0.0.2:5432");
        pending_writes.registered(&wanted.keep, at(1));
        pending_writes.confirm(&group(&both));
        assert_eq!(pending_writes.to_send(&wanted, at(1)), wanted, "once");
    }

    #[test]
    fn what_shows_or_was_never_sent_is_not_held_back() {
        for (shown, is_empty) in [
            (&["10.0.0.1:5432", "10.0.0.2:5432 initial"][..], true),
            (&["10.0.0.1:5432", "10.0.0.2:5432 draining"], false),
            (&["10.0.0.1:5432", "10.0.0.2:3307"], false),
            (&["10.0.0.1:5432"], false),
        ] {
            let mut pending_writes = PendingWrites::default();
            pending_writes.registered(&plan(&[]).register, at(0));
            pending_writes.confirm(&group(shown));
            assert_eq!(pending_writes.is_empty(), is_empty, "{shown:?}");
            assert_eq!(
                pending_writes.to_send(&plan(shown), at(1)).deregister,
                plan(shown).deregister,
                "{shown:?}"
            );
        }
        for (shown, is_empty) in [
            ("10.0.0.1:5432 draining", true),
            ("10.0.0.3:5432", true),
            ("10.0.0.1:5432 healthy", false),
        ] {
            let mut pending_writes = PendingWrites::default();
            pending_writes.deregistered(&plan(&["10.0.0.1:5432"]).deregister, at(0));
            pending_writes.confirm(&group(&[shown]));
            assert_eq!(pending_writes.is_empty(), is_empty, "{shown}");
        }
    }
}
