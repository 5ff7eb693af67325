//! The rules for the kinds without a writer, with several addresses, or that may lead anywhere.

use std::net::IpAddr;
use std::time::Duration;

use super::{Decider, STABLE_AT_LEAST, Verdict};
use crate::binding::Kind;
use crate::claim::{DoubtCause, Role, Witness};
use crate::reason::Reason;
use crate::target::{Addresses, DescribedTarget, TargetState};
use crate::topology::Topology;

/// Of two runs that began together with opposite answers one is later by this: what the other took
/// away shows only seconds later, and ELBv2 has no conditional write.
const TIE_BREAK: Duration = Duration::from_secs(5);

/// A custom endpoint names a part of its members each time: one absent this long and often is none.
const GONE_AFTER: (Duration, u64) = (Duration::from_secs(600), 20);

/// This many a member, too: of five, 20 answers of one each lack a given one once in 80 times.
const ANSWERS_A_MEMBER: u64 = 10;

impl Decider<'_> {
    /// A reader joins at once, and leaves only when the RDS API has named the same readers for a
    /// while and one is healthy: two runs that see a flap must not take each other's target away.
    pub(super) fn readers(&self) -> Verdict {
        let (dns, readers) = (self.evidence.dns(self.now), self.evidence.readers(self.now));
        let (Some(dns), Some(readers)) = (dns, readers) else { return self.proxy() };
        let writer = self.evidence.topology(self.now).and_then(Topology::writer);
        let is_writers = |address: &IpAddr| writer.is_some_and(|writer| writer.contains(*address));
        let reason = || Reason::claim(Witness::Topology, &readers);
        let is_any_healthy = self.healthy().any(|address| readers.contains(address));
        let stands_in = dns.value.iter().filter(|address| !is_any_healthy && is_writers(address));
        let named = readers.with(stands_in);
        let joined = self.plan_or_in_sync(
            &named,
            &named.with(self.on_port(DescribedTarget::is_registered)),
            reason(),
        );
        if !matches!(joined, Verdict::InSync(_)) || !is_any_healthy {
            return joined;
        }
        let mut lasted = self.evidence.readers_stable_for();
        if self
            .unwanted(&readers)
            .any(|address| is_writers(&address) && self.evidence.stands_in(address))
        {
            let healthy_for = readers
                .iter()
                .filter_map(|address| self.evidence.group.healthy_for(address, self.now));
            lasted = lasted.min(healthy_for.max().unwrap_or_default());
        }
        match self.plan_or_in_sync(&readers, &readers, reason()) {
            Verdict::Switch(..) if lasted < STABLE_AT_LEAST => Verdict::Wait(Reason::Patience {
                witness: Witness::Topology,
                addresses: readers.clone(),
                supporter: None,
                lasted,
                needed: STABLE_AT_LEAST,
                doubt: None,
            }),
            left => left,
        }
    }

    pub(super) fn proxy(&self) -> Verdict {
        let Some(dns) = self.evidence.dns(self.now) else { return self.without_dns() };
        let named = &dns.value;
        // It may give one at a time: opposite runs must not take each other's target.
        let nobody_leaves = self.binding.kind == Kind::Readers
            && !self.well().any(|address| named.contains(address));
        let wanted = if nobody_leaves {
            named.with(self.on_port(DescribedTarget::is_registered))
        } else {
            named.with(self.well())
        };
        self.plan_or_in_sync(named, &wanted, Reason::claim(Witness::Dns, named))
    }

    pub(super) fn custom(&self) -> Verdict {
        let Some(dns) = self.evidence.dns(self.now) else { return self.without_dns() };
        let named = &dns.value;
        let members = u64::try_from(self.well().count()).unwrap_or(u64::MAX);
        let is_gone = |address: &IpAddr| {
            let (after, answers) = GONE_AFTER;
            let answers = answers.max(members.saturating_mul(ANSWERS_A_MEMBER));
            let absent = self.evidence.absent_for(*address, self.now);
            absent.is_some_and(|(lasted, count)| lasted >= after && count >= answers)
        };
        let wanted = named.with(self.well().filter(|address| !is_gone(address)));
        let is_any_healthy = self.healthy().any(|address| wanted.contains(address));
        let wanted = if is_any_healthy { wanted } else { wanted.with(self.healthy()) };
        self.plan_or_in_sync(named, &wanted, Reason::claim(Witness::Dns, named))
    }

    pub(super) fn hostname(&self) -> Verdict {
        let Some(dns) = self.evidence.dns(self.now) else { return self.without_dns() };
        let named = &dns.value;
        if let Some(reason) = self.read_only(named) {
            return Verdict::Wait(reason);
        }
        let takes_writes = |address| self.evidence.role(address, self.now) == Some(Role::Writer);
        match self.replace(named, Reason::claim(Witness::Dns, named)) {
            // If one that leaves takes writes too, neither is known as the writer: DNS may flap.
            Verdict::Switch(plan, _)
                if self.unwanted(named).next().is_some()
                    && (!named.iter().all(takes_writes)
                        || self.unwanted(named).any(takes_writes)) =>
            {
                // Several targets are nothing strange here, nor a name's database without a login.
                let doubts = self.evidence.doubts(named, self.now).filter(|doubt| {
                    !matches!(doubt.cause, DoubtCause::SeveralTargets | DoubtCause::Silent)
                });
                let is_second =
                    plan.register.is_empty() && named.iter().next() > self.unwanted(named).min();
                let needed =
                    self.stable_time() + if is_second { TIE_BREAK } else { Duration::ZERO };
                self.once_stable(dns, needed, doubts.max_by_key(|doubt| doubt.since), None, plan)
            }
            decided => decided,
        }
    }

    pub(super) fn address(&self) -> Verdict {
        let Some(dns) = self.evidence.dns(self.now) else { return self.without_dns() };
        self.replace(&dns.value, Reason::claim(Witness::Dns, &dns.value))
    }

    fn replace(&self, named: &Addresses, reason: Reason) -> Verdict {
        if self.healthy().any(|address| named.contains(address)) {
            self.plan_or_in_sync(named, named, reason)
        } else {
            self.plan_or_in_sync(named, &named.with(self.healthy()), reason)
        }
    }

    fn healthy(&self) -> impl Iterator<Item = IpAddr> {
        self.on_port(|target| target.state == TargetState::Healthy)
    }

    /// Also a target in its first health checks: if it left with every answer that lacks it, an
    /// endpoint that gives one address at a time would never have two targets.
    fn well(&self) -> impl Iterator<Item = IpAddr> {
        self.on_port(|target| target.is_registered() && !target.is_unhealthy())
    }
}
