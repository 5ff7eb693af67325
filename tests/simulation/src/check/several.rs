//! What must hold of several members: readers, proxies, custom endpoints, names of one's own.

use std::net::IpAddr;

use reconcile::binding::Kind;
use reconcile::claim::Role;
use reconcile::target::{DescribedTarget, TargetState};

use crate::check::Invariant;
use crate::dice::{Moment, SECOND};
use crate::ports::Ports;
use crate::scenario::PORT;

/// A name's answer must have been the only one for this long before a member leaves.
const STEADY: Moment = 10 * SECOND;

/// A healthy member of a custom endpoint leaves when all answers have lacked it for so long.
const ABSENT: Moment = 600 * SECOND;

/// For so long counts what the RDS API said: a description lies between question and write.
const API_COUNTS: Moment = 15 * SECOND;

impl Ports {
    /// Checks a deregistration as it was asked for.
    pub(super) fn examine_leaving(&self, binding: usize, targets: &[DescribedTarget]) {
        let kind = self.scenario().config.bindings[binding].kind;
        let named: Vec<IpAddr> = {
            let audit = self.audit();
            audit.bindings[binding]
                .answer
                .iter()
                .flat_map(|(addresses, _)| addresses.iter())
                .collect()
        };
        let absent: Vec<&DescribedTarget> = targets
            .iter()
            .filter(|target| target.port == PORT)
            .filter(|target| target.target().is_some_and(|target| !named.contains(&target.address)))
            .collect();
        self.examine_last_healthy(binding, targets);
        let problem = match kind {
            Kind::Proxy => absent.into_iter().find(|target| !target.is_unhealthy()),
            Kind::Custom => absent
                .into_iter()
                .find(|target| !target.is_unhealthy() && !self.is_long_absent(target)),
            Kind::Readers => absent
                .into_iter()
                .find(|target| !target.is_unhealthy() && !self.is_no_reader_by_api(target)),
            Kind::Hostname
                if !self.is_steady(binding) && !self.all_take_writes(binding, &named) =>
            {
                if let Some(target) = absent.first() {
                    let text = format_args!(
                        "{target} was deregistered when DNS had only begun to lack it"
                    );
                    self.world().violate(Invariant::NoFlapOnOneAnswer, text);
                }
                None
            }
            _ => None,
        };
        if let Some(target) = problem {
            let text = format_args!("{target} was deregistered while it was {:?}", target.state);
            self.world().violate(Invariant::AbsenceIsNoProof, text);
        }
    }

    /// The members that were shown as healthy must not all leave.
    fn examine_last_healthy(&self, binding: usize, targets: &[DescribedTarget]) {
        let is_healthy =
            |target: &&DescribedTarget| target.state == TargetState::Healthy && target.port == PORT;
        let leaves = |target: &DescribedTarget| {
            targets.iter().any(|other| other.id == target.id && other.port == PORT)
        };
        let (healthy, all_leave) = {
            let audit = self.audit();
            let healthy = audit.bindings[binding].shown.iter().flatten().filter(is_healthy);
            (healthy.clone().count(), healthy.clone().all(leaves))
        };
        if healthy > 0 && all_leave {
            let text = format_args!("all {healthy} healthy members were deregistered");
            self.world().violate(Invariant::LastHealthyStays, text);
        }
    }

    /// Whether this process heard no answer with the target for ten minutes (custom endpoint).
    fn is_long_absent(&self, target: &DescribedTarget) -> bool {
        let (now, audit) = (self.world().now(), self.audit());
        let named = target.target().and_then(|target| audit.named.get(&target.address).copied());
        named.max(audit.answered_since).is_some_and(|since| since + ABSENT <= now)
    }

    /// Whether the RDS API just named the readers, and this address is none of theirs.
    fn is_no_reader_by_api(&self, target: &DescribedTarget) -> bool {
        let (now, audit) = (self.world().now(), self.audit());
        let is_current = audit.api_answered_at.is_some_and(|at| now < at + API_COUNTS);
        let is_readers = |reader: &usize| {
            let located = audit.located.get(reader);
            target.target().is_some_and(|target| located == Some(&target.address))
        };
        is_current && !audit.api_readers.is_empty() && !audit.api_readers.iter().any(is_readers)
    }

    /// Whether each of these databases said a moment ago that it takes writes.
    fn all_take_writes(&self, binding: usize, named: &[IpAddr]) -> bool {
        named.iter().all(|address| self.has_reported(binding, *address, Role::Writer))
    }

    fn is_steady(&self, binding: usize) -> bool {
        let (now, audit) = (self.world().now(), self.audit());
        audit.bindings[binding].answer.as_ref().is_some_and(|(_, since)| since + STEADY <= now)
    }
}
