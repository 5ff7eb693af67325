//! The rules for the kinds with one writer, `cluster` and `instance`.

use std::net::IpAddr;
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::{Decider, Verdict};
use crate::claim::{Claim, Doubt, DoubtCause, Role, Unbroken, Witness};
use crate::plan::Plan;
use crate::reason::Reason;
use crate::target::{Addresses, DescribedTarget};
use crate::topology::Topology;

/// DNS with topology is believed against a doubt after this: a step back needs more proof.
const AGAINST_DOUBT_WITH_TOPOLOGY: Duration = Duration::from_secs(30);

const AGAINST_DOUBT_ALONE: Duration = Duration::from_secs(90);

/// A role proves nothing until another target has been seen beside it for so long: runs overlap and
/// may get the opposite, and a description may still show what another run has just taken away.
const ROLE_SETTLES: Duration = Duration::from_secs(5);

/// An empty group waits this long for the RDS API to agree with DNS: longer than the API lags.
const FILLS_AFTER: Duration = Duration::from_secs(30);

/// DNS and the RDS API lag 20 to 60 s after a right switch. Longer than this they are not late.
const LAG_AT_MOST: Duration = Duration::from_secs(90);

impl Decider<'_> {
    pub(super) fn one_writer(&self) -> Verdict {
        self.role().unwrap_or_else(|| self.unless_it_takes_writes(self.by_others()))
    }

    fn by_others(&self) -> Verdict {
        let claims = self.evidence.claims(self.now);
        if let Some((named, witnesses)) = self.quorum(&claims) {
            return self.plan_or_in_sync(
                named,
                named,
                Reason::Quorum { witnesses, addresses: named.clone() },
            );
        }
        let Some(dns) = self.evidence.dns(self.now) else { return self.without_dns() };
        let named = &dns.value;
        let made = self.plan_or_in_sync(named, named, Reason::claim(Witness::Dns, named));
        let takes_nothing = self.unwanted(named).next().is_none();
        if let Some(reason) = self.read_only(named) {
            return Verdict::Wait(reason);
        }
        let is_right = matches!(made, Verdict::InSync(_));
        match (made, self.contradiction(&claims, named, is_right)) {
            (Verdict::Switch(plan, reason), _) if takes_nothing => self.fill(named, plan, reason),
            (Verdict::InSync(_) | Verdict::Switch(..), Some(reason)) => Verdict::Wait(reason),
            (Verdict::Switch(plan, _), None) => self.patience(&claims, dns, plan),
            (made, _) => made,
        }
    }

    /// **Role.** The databases know first which of them takes writes; the others learn it later.
    ///
    /// | take writes | registered targets       | then                                           |
    /// |-------------|--------------------------|------------------------------------------------|
    /// | one         | all were asked           | it alone, if it said so 5 s after another came |
    /// | one         | it alone                 | in sync, if not [disputed](Decider::disputed)  |
    /// | several     | all were asked           | wait: one does not know yet that it is fenced  |
    /// | none        | any                      | no answer proves nothing: the rules below      |
    /// | any         | one not asked or unknown | it may be the writer: the rules below          |
    fn role(&self) -> Option<Verdict> {
        let writers = self.evidence.writers(self.now)?;
        let mut addresses = writers.iter();
        match (addresses.next(), addresses.next()) {
            (Some(address), None) => {
                let responded_at = self.evidence.last_response_at(address);
                let mut doubts = self.evidence.doubts(&writers, self.now);
                let is_outdated = |doubt: Doubt| {
                    matches!(doubt.cause, DoubtCause::Registered(_) | DoubtCause::SeveralTargets)
                        && !doubt.is_older_than(responded_at.map(|at| at - ROLE_SETTLES))
                };
                if doubts.any(is_outdated) {
                    return None;
                }
                Some(match self.plan_or_in_sync(&writers, &writers, Reason::Role { address }) {
                    Verdict::InSync(reason) => {
                        self.disputed(address).map_or(Verdict::InSync(reason), Verdict::Wait)
                    }
                    decided => decided,
                })
            }
            _ => Some(Verdict::Wait(Reason::SeveralWriters { addresses: writers.clone() })),
        }
    }

    /// While a role settles others may decide, but not against a registered one that takes writes.
    fn unless_it_takes_writes(&self, decided: Verdict) -> Verdict {
        let Verdict::Switch(plan, reason) = decided else { return decided };
        let writers = self.evidence.writers(self.now);
        let leaving = plan.deregister.iter().filter_map(DescribedTarget::target);
        let leaving =
            leaving.filter(|target| target.port == self.binding.port).map(|target| target.address);
        let writer = { leaving }
            .find(|address| writers.as_ref().is_some_and(|writers| writers.contains(*address)));
        let wanted =
            Addresses::new(plan.register.iter().chain(&plan.keep).map(|target| target.address));
        let by_event = match &reason {
            Reason::Quorum { witnesses, .. } => witnesses.contains(&Witness::Event),
            _ => false,
        };
        match (writer, wanted) {
            (Some(writer), Some(other)) => {
                Verdict::Wait(Reason::Disputed { writer, other, by_event })
            }
            _ => Verdict::Switch(plan, reason),
        }
    }

    /// A registered database that takes writes is never switched away from: the same evidence
    /// stands for 20 to 60 s after every right switch. But a blue database goes on taking writes
    /// after a switchover, and the green one may refuse the login. So it is not called right while
    /// another that does not say otherwise is named by
    ///
    /// | who             | if                                                                   |
    /// |-----------------|----------------------------------------------------------------------|
    /// | an event        | it is newer than the registration                                    |
    /// | DNS and RDS API | both have without a break for [90 s](LAG_AT_MOST) since registration |
    fn disputed(&self, writer: IpAddr) -> Option<Reason> {
        let can_not_tell =
            |address| self.evidence.role(address, self.now).is_none_or(|it| it == Role::Unknown);
        let is_other = |named: &Addresses| {
            named.iter().all(|address| address != writer && can_not_tell(address))
        };
        let registered = self.evidence.group.registered_at(writer);
        let event = self
            .evidence
            .event_writer(self.now)
            .filter(|(_, time)| registered.is_none_or(|since| *time > since));
        let by_event = event.map(|(named, _)| named).filter(|named| is_other(named));
        let agreed = self.evidence.agreement(registered, self.now);
        let agreed = agreed
            .filter(|(named, lasted)| *lasted >= LAG_AT_MOST && is_other(named))
            .map(|(named, _)| named);
        let other = by_event.or(agreed)?;
        Some(Reason::Disputed { writer, other: other.clone(), by_event: by_event.is_some() })
    }

    /// **Quorum.** Two claims for the same addresses are enough at once if they are independent,
    /// nobody contradicts them, and no doubt is newer than they are.
    ///
    /// | claims           | independent                            | newer than                   |
    /// |------------------|----------------------------------------|------------------------------|
    /// | DNS and event    | always                                 | doubts from before the event |
    /// | DNS and topology | if another member's address leaves     | no doubt: both lag           |
    /// | topology, event  | unless the address behind a name moves | doubts from before the event |
    ///
    /// When only an address behind an unchanged name moves, all who name a member by name are one
    /// witness and a stale lookup: it shows in an address of no member, named by DNS or leaving.
    ///
    /// What the simulation taught (`tests/simulation`):
    ///
    /// * DNS and an event must not outvote topology: both may tell of the failover before.
    /// * DNS must not veto an event with topology: the switch would come after 29 s at the median
    ///   instead of 1.6 s, with more wrong-way switches, as DNS is the last to know. So it is
    ///   outvoted even where both tell of the failover before the last.
    /// * Runs overlap, so what another run just registered counts. ELBv2 has no conditional write:
    ///   only time keeps two runs with opposite evidence from both taking a target away, and the
    ///   one that wants the older target back needs more of it.
    fn quorum<'c>(&self, claims: &[Claim<'c>]) -> Option<(&'c Addresses, [Witness; 2])> {
        let of = |witness| claims.iter().find(|claim| claim.supports && claim.witness == witness);
        let (dns, topology, event) = (of(Witness::Dns), of(Witness::Topology), of(Witness::Event));
        let known = self.evidence.topology(self.now);
        let is_members = |address| known.is_some_and(|topology| topology.has(address));

        if let (Some(dns), Some(event)) = (dns, event)
            && self.agree(dns, event, event.as_of, claims)
        {
            return Some((dns.addresses, [Witness::Dns, Witness::Event]));
        }
        if let (Some(dns), Some(topology)) = (dns, topology)
            && self.unwanted(dns.addresses).all(is_members)
            && self.agree(dns, topology, None, claims)
        {
            return Some((dns.addresses, [Witness::Dns, Witness::Topology]));
        }
        if let (Some(topology), Some(event)) = (topology, event)
            && dns.is_none_or(|dns| dns.addresses.iter().all(is_members))
            && self.agree(topology, event, event.as_of, claims)
        {
            return Some((topology.addresses, [Witness::Topology, Witness::Event]));
        }
        None
    }

    /// Whether both name the same, nobody else another, and every doubt is older than `as_of`.
    fn agree(
        &self,
        one: &Claim,
        other: &Claim,
        as_of: Option<DateTime<Utc>>,
        claims: &[Claim],
    ) -> bool {
        let named = one.addresses;
        named == other.addresses
            && self.read_only(named).is_none()
            && !claims.iter().any(|claim| claim.vetoes && claim.addresses != named)
            && self.evidence.doubts(named, self.now).all(|doubt| doubt.is_older_than(as_of))
    }

    /// **Contradiction.** Nothing is changed or called right while a claim differs from DNS.
    ///
    /// | claim    | contradicts for                                                              |
    /// |----------|------------------------------------------------------------------------------|
    /// | event    | 90 s from its time: longer than DNS and topology lag. Not a group that is    |
    /// |          | what DNS says: the watch looks on, and the event may be of the one before    |
    /// | topology | 10 s from its last answer, also if it gives none by then: it fails in bursts |
    fn contradiction(&self, claims: &[Claim], named: &Addresses, is_right: bool) -> Option<Reason> {
        let vetoes =
            |claim: &&Claim| claim.vetoes && !(is_right && claim.witness == Witness::Event);
        let other = claims.iter().filter(vetoes).find(|claim| claim.addresses != named)?;
        let (dns, witness) = (named.clone(), other.witness);
        Some(Reason::Contradiction { dns, witness, other: other.addresses.clone() })
    }

    /// **Filling.** An empty group serves nobody, and DNS alone may name a reader or an old writer.
    ///
    /// | kind       | the group                       | filled with                             |
    /// |------------|---------------------------------|-----------------------------------------|
    /// | `instance` | any                             | what DNS names                          |
    /// | `cluster`  | has the address on a wrong port | what DNS names                          |
    /// | `cluster`  | is empty, the RDS API agrees    | what both name                          |
    /// | `cluster`  | has been empty for 30 s         | what DNS names; in place of a reader of |
    /// |            |                                 | the last topology its writer            |
    fn fill(&self, named: &Addresses, plan: Plan, reason: Reason) -> Verdict {
        let writer = self.evidence.last_topology().and_then(Topology::writer);
        let lasted = match self.binding.cluster() {
            Some(_) if writer != Some(named) => self.evidence.group.empty_for(self.now),
            _ => None,
        };
        let Some(lasted) = lasted else { return Verdict::Switch(plan, reason) };
        let empty = |witness, addresses: &Addresses| Reason::Empty {
            witness,
            addresses: addresses.clone(),
            lasted,
            needed: FILLS_AFTER,
        };
        if lasted < FILLS_AFTER {
            return Verdict::Wait(empty(Witness::Dns, named));
        }
        let is_member =
            |address| self.evidence.last_topology().is_some_and(|topology| topology.has(address));
        match writer {
            Some(writer) if named.iter().any(is_member) => {
                self.plan_or_in_sync(writer, writer, empty(Witness::Topology, writer))
            }
            _ => Verdict::Switch(plan, empty(Witness::Dns, named)),
        }
    }

    /// **Patience.** DNS is believed once all answers since the newest doubt agree for long enough.
    ///
    /// | doubt | topology agrees | needed              | why                                     |
    /// |-------|-----------------|---------------------|-----------------------------------------|
    /// | no    | either          | 2 × TTL, 10 to 20 s | each resolver keeps it for its TTL      |
    /// | yes   | yes             | 30 s                | DNS flaps for 20 to 30 s                |
    /// | yes   | no              | 90 s                | longer than stale and flapping together |
    ///
    /// The doubt of a [silent](DoubtCause::Silent) database ends by itself a minute after the first
    /// login, before 90 s have passed.
    ///
    /// An unnamed failover event must not shorten it: DNS flaps right then.
    fn patience(&self, claims: &[Claim], dns: &Unbroken<Addresses>, plan: Plan) -> Verdict {
        let named = &dns.value;
        let agrees = |claim: &&Claim| {
            claim.witness == Witness::Topology && claim.supports && claim.addresses == named
        };
        let supporter = claims.iter().find(agrees).map(|claim| claim.witness);
        let doubt = self.evidence.doubts(named, self.now).max_by_key(|doubt| doubt.since);
        let needed = match (doubt, supporter) {
            (None, _) => self.stable_time(),
            (Some(_), Some(_)) => AGAINST_DOUBT_WITH_TOPOLOGY,
            (Some(_), None) => AGAINST_DOUBT_ALONE,
        };
        self.once_stable(dns, needed, doubt, supporter, plan)
    }
}
