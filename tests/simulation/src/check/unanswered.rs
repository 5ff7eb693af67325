//! What must hold where DNS is wrong for good: the RDS API is asked nevertheless, and heard.
//!
//! Whoever is right: two that disagree are no reason to change anything, nor to call the group
//! right. For hours a group with what DNS said was called right, as nobody asked anybody else.

use std::net::IpAddr;

use reconcile::binding;
use reconcile::claim::Role;

use crate::check::Invariant;
use crate::dice::{Moment, SECOND};
use crate::distributions as d;
use crate::kinds::Kind;
use crate::ports::Ports;
use crate::scenario::{Name, Scenario};

/// A process that finds its group in sync asks the RDS API again after this.
const ASKED_EVERY: Moment = 180 * SECOND;

/// A watch ends when all have agreed for so long.
const WATCH_ENDS: Moment = 30 * SECOND;

/// For so long the RDS API may disagree unnoticed: what was asked before counts for
/// [`ASKED_EVERY`], the run that asks again comes an interval of the schedule later, and a long run
/// tells when its watch ends. In 2,000 changes no claim was further behind than [`ASKED_EVERY`].
const NOTICED_WITHIN: Moment = ASKED_EVERY + d::SCHEDULE + WATCH_ENDS;

/// What DNS said counts for so long.
const COUNTS: Moment = 5 * SECOND;

/// Answers that a process heard further apart say nothing about the time between.
const GAP: Moment = 330 * SECOND;

impl Ports {
    /// Notes that nobody could tell who the writer is: no answer, or a member not located.
    pub(crate) fn record_no_topology(&self) {
        let now = self.world().now();
        self.audit().unanswered_at = Some(now);
    }

    /// Notes whom both DNS and the RDS API name to the process.
    pub(super) fn hear_both(&self) {
        let now = self.world().now();
        let named = self.named_by_api(now);
        let mut audit = self.audit();
        let named = named.filter(|named| {
            audit.dns_named.is_some_and(|(told, at)| told == *named && now <= at + COUNTS)
        });
        let known = audit
            .told
            .take()
            .filter(|(address, told)| named == Some(*address) && now <= told.end + GAP);
        audit.told = named.map(|named| (named, known.map_or(now, |(_, told)| told.start)..now));
    }

    /// Checks a claim that the group is right. An answer that did not come is none, and is asked
    /// for again as late as any: each process remembers for itself, and a new one asks in its first
    /// run.
    pub(super) fn examine_agreement(&self, number: usize) {
        let (world, now) = (self.world(), self.world().now());
        let mut answered_since = self.audit().unanswered_at.unwrap_or(0);
        let is_against_a_database = self.scenario().kind == Kind::BlueTakesWrites;
        if is_against_a_database {
            // Then the process must have heard the others itself, and for a while.
            answered_since =
                answered_since.max(self.audit().told.as_ref().map_or(now, |(_, told)| told.start));
        }
        let named_now = self.named_by_api(now);
        let denies = |named| self.has_reported(number, named, Role::Reader);
        if is_against_a_database && named_now.is_some_and(denies) {
            return;
        }
        let is_clusters = self.scenario().config.bindings[number].kind == binding::Kind::Cluster;
        if !is_clusters || now < answered_since + NOTICED_WITHIN {
            return;
        }
        let is_contradicted = |at: Moment| {
            let (named, state) = (self.named_by_api(at), world.state());
            let is_named = |named| {
                state.kept[number].group.members_at(at).iter().any(|member| member.address == named)
            };
            // For as long, both must have named the same and the group had the same member.
            let is_doubted = |named: IpAddr| {
                let dns =
                    self.scenario().answer(Name::Endpoint(number), self.resolver(), at).addresses;
                let group = &state.kept[number].group;
                Some(named) != named_now
                    || dns != named.into()
                    || group.members_at(at) != group.members_at(now)
            };
            named.is_some_and(|named| {
                !(is_named(named) || is_against_a_database && is_doubted(named))
            })
        };
        let mut moments = (0..=NOTICED_WITHIN / SECOND).map(|ago| now - ago * SECOND);
        if moments.all(is_contradicted) {
            let (invocation, limit) = (self.audit().invocation, NOTICED_WITHIN / SECOND);
            let named =
                self.named_by_api(now).map(|address| address.to_string()).unwrap_or_default();
            let text = format_args!(
                "invocation {invocation} says that the group is right, and for {limit} s the RDS \
                 API has named no member of it, but {named} now"
            );
            world.violate(Invariant::RdsApiCounts, text);
        }
    }

    /// The writer's address that the RDS API would tell this process, if that were clear.
    fn named_by_api(&self, at: Moment) -> Option<IpAddr> {
        let Scenario { database, faults, .. } = self.scenario();
        let named = database.hosts[database.writer_by_members(self.resolver(), at)].0;
        faults.is_flag_clear(at).then_some(named)
    }

    /// DNS gave no address. Where a member is, a process must know to tell who the writer is.
    pub(crate) fn record_no_answer(&self, name: Name) {
        let Scenario { database, faults, .. } = self.scenario();
        let is_needed = |member| {
            faults.nowhere(member).is_none()
                || database.writer_by_topology(self.world().now()) == member
        };
        if let Name::Member(member) = name
            && is_needed(member)
        {
            self.record_no_topology();
        }
    }
}
