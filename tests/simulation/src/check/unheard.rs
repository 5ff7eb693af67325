//! What must hold where DNS is wrong for good: the RDS API is asked although DNS agrees with the group, and is heard.
//!
//! It does not matter who is right. Two that disagree are no reason to change anything, and none to call the group right:
//! for hours a group that held what DNS said was called right, because nobody asked anybody else.

use std::net::IpAddr;

use reconcile::binding::Kind;

use crate::check::Invariant;
use crate::dice::{Moment, SECOND};
use crate::distributions as d;
use crate::ports::Ports;

/// A process that finds its group in sync asks the RDS API again after this.
const ASKED_EVERY: Moment = 180 * SECOND;

/// A watch ends when all have agreed for so long.
const WATCH_ENDS: Moment = 30 * SECOND;

/// The RDS API may say otherwise for so long before a process must have noticed: what it asked a moment before counts for
/// [`ASKED_EVERY`], the run in which it asks again comes up to an interval of the schedule later, and a run that goes on
/// looking says what it found when its watch ends. In 2,000 changes no claim was further behind than [`ASKED_EVERY`].
const NOTICED_WITHIN: Moment = ASKED_EVERY + d::SCHEDULE + WATCH_ENDS;

impl Ports {
    /// Notes that the RDS API did not answer, or that a member was not located: the process cannot tell who the writer is.
    pub(crate) fn ask_in_vain(&self) {
        let now = self.world().now();
        self.audit().unheard = Some(now);
    }

    /// Checks a claim that the group is right. An answer that was asked for in vain is no answer, and what was asked then
    /// is asked again as late as after any other: each process has a memory of its own, and a new one asks in its first run.
    pub(super) fn examine_agreement(&self, binding: usize) {
        let (world, now) = (self.world(), self.world().now());
        let heard_since = self.audit().unheard.unwrap_or(0);
        let is_clusters = self.scenario().config.bindings[binding].kind == Kind::Cluster;
        if !is_clusters || now < heard_since + NOTICED_WITHIN {
            return;
        }
        let is_contradicted = |at: Moment| {
            let (named, state) = (self.named_by_api(at), world.state());
            !state.kept[binding].group.members_at(at).iter().any(|member| member.address == named)
        };
        let mut moments = (0..=NOTICED_WITHIN / SECOND).map(|ago| now - ago * SECOND);
        if moments.all(is_contradicted) {
            let (invocation, named, limit) = (self.audit().invocation, self.named_by_api(now), NOTICED_WITHIN / SECOND);
            let text = format_args!(
                "invocation {invocation} says that the group is right, and for {limit} s the RDS API has named no member \
                 of it, but {named} now"
            );
            world.violate(Invariant::RdsApiIsHeard, text);
        }
    }

    /// The writer's address as this process would be told it if it asked the RDS API.
    fn named_by_api(&self, at: Moment) -> IpAddr {
        let database = &self.scenario().database;
        database.hosts[database.writer_by_members(self.resolver(), at)].0
    }
}
