//! The verdict: what follows from the evidence. The only place that decides where a target group
//! should point.

use std::net::IpAddr;
use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::binding::{Binding, Kind};
use crate::claim::{Claim, Doubt, DoubtCause, Role, Witness, age};
use crate::evidence::{Evidence, StableAnswer};
use crate::network::{AddressRefusal, AllowedNetworks};
use crate::plan::Plan;
use crate::reason::Reason;
use crate::target::{Addresses, DescribedTarget, TargetState};
use crate::topology::Topology;

/// What should become of a target group, and which rule says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The registered targets are what the evidence says.
    InSync(Reason),
    /// Apply the plan that registers the witnessed addresses and no others.
    Switch(Plan, Reason),
    /// Change nothing and look again.
    Wait(Reason),
    /// Change nothing, and say why.
    Refuse(AddressRefusal),
}

impl Verdict {
    /// The verdict in one word, for the log.
    pub fn name(&self) -> &'static str {
        match self {
            Verdict::InSync(_) => "in sync",
            Verdict::Switch(..) => "switch",
            Verdict::Wait(_) => "wait",
            Verdict::Refuse(_) => "refuse",
        }
    }

    /// The plan, if something is to be changed.
    pub fn plan(&self) -> Option<&Plan> {
        if let Verdict::Switch(plan, _) = self { Some(plan) } else { None }
    }

    /// Which rule says so; a refusal gives its own reason.
    pub fn reason(&self) -> Option<&Reason> {
        match self {
            Verdict::InSync(reason) | Verdict::Switch(_, reason) | Verdict::Wait(reason) => {
                Some(reason)
            }
            Verdict::Refuse(_) => None,
        }
    }
}

/// DNS alone is believed after this at least. Its TTL at RDS is 5 s, and what it says flaps for 20
/// to 30 s.
const STABLE_AT_LEAST: Duration = Duration::from_secs(10);

/// DNS alone is believed after this at most, whatever its TTL.
const STABLE_AT_MOST: Duration = Duration::from_secs(20);

/// DNS with topology is believed against a doubt after this. A step back needs more proof than a
/// step forward.
const AGAINST_DOUBT_WITH_TOPOLOGY: Duration = Duration::from_secs(30);

/// DNS without topology is believed against a doubt after this: longer than stale and flapping
/// answers last together.
const AGAINST_DOUBT_ALONE: Duration = Duration::from_secs(90);

/// Of two runs that began together and get opposite answers, one is later by this: a description
/// shows what the other has taken away only some seconds after it, and ELBv2 has no conditional
/// write.
const TIE_BREAK: Duration = Duration::from_secs(5);

/// A role proves nothing until another target has been seen beside it for so long: runs overlap and
/// may get the opposite, and a description may still show what another run has just taken away.
const ROLE_SETTLES: Duration = Duration::from_secs(5);

/// An empty group waits this long for the RDS API to agree with DNS: longer than the API lags.
const FILLS_AFTER: Duration = Duration::from_secs(30);

/// DNS and the RDS API lag 20 to 60 s after a right switch. Longer than this they are not late.
const LAG_AT_MOST: Duration = Duration::from_secs(90);

/// A custom endpoint gives a part of its members in each answer: one that was absent for so long
/// and from so many is none.
const GONE_AFTER: (Duration, u64) = (Duration::from_secs(600), 20);

/// Nor from so many for each member: of five, twenty answers of one address each lack a given one
/// once in eighty times.
const ANSWERS_A_MEMBER: u64 = 10;

/// Decides about one binding.
///
/// For the kinds with one writer, `cluster` and `instance`, four rules follow one another, each
/// with its table at its function: **role**, what the databases say of themselves; **quorum**, two
/// independent claims that no doubt is newer than; **contradiction**, a claim for something else;
/// **patience**, one claim that is steady for as long as the doubt asks. Before the last two, an
/// empty group is [filled](Decider::fill). A writer switch never waits for health: while it waited,
/// clients would write to a database that no longer takes it.
///
/// | kind       | wanted                                      | when                            |
/// |------------|---------------------------------------------|---------------------------------|
/// | `readers`  | every reader of the RDS API that can serve; | at once; who leaves, after 10 s |
/// |            | without its answer as `proxy`, where one    |                                 |
/// |            | leaves only if a named one is registered    |                                 |
/// |            | and not unhealthy                           |                                 |
/// | `proxy`    | the addresses of DNS, and targets absent    | at once                         |
/// |            | from it that are not unhealthy              |                                 |
/// | `custom`   | as `proxy`, but not what was absent from    | at once                         |
/// |            | every answer for ten minutes, and from 20   |                                 |
/// | `hostname` | the addresses of DNS, unless one says that  | steady, of opposite runs one    |
/// |            | it is read only                             | later by [`TIE_BREAK`]; at      |
/// |            |                                             | once if they take writes        |
/// | `address`  | the address                                 | at once                         |
///
/// For these five a healthy target leaves only when a wanted one is healthy. A proxy's, custom or
/// reader endpoint gives a part of its addresses in each answer, so absence alone is no reason to
/// leave.
///
/// While every reader is unhealthy and the reader endpoint names the writer, the writer joins the
/// `readers`; it leaves once one of them has been healthy for 10 s. Of several addresses that
/// `readers`, `proxy` or `custom` name, one that may not be registered keeps no other out: those
/// are registered, nobody leaves, and then the refusal is reported.
pub fn verdict(
    binding: &Binding,
    allowed: &AllowedNetworks,
    evidence: &Evidence,
    now: DateTime<Utc>,
) -> Verdict {
    let decider = Decider { binding, allowed, evidence, now };
    match binding.kind {
        Kind::Cluster | Kind::Instance => decider.one_writer(),
        Kind::Readers => decider.readers(),
        Kind::Proxy => decider.proxy(),
        Kind::Custom => decider.custom(),
        Kind::Hostname => decider.hostname(),
        Kind::Address => decider.address(),
    }
}

struct Decider<'a> {
    binding: &'a Binding,
    allowed: &'a AllowedNetworks,
    evidence: &'a Evidence,
    now: DateTime<Utc>,
}

impl Decider<'_> {
    fn one_writer(&self) -> Verdict {
        self.role().unwrap_or_else(|| self.unless_it_takes_writes(self.by_others()))
    }

    /// What follows from what others than the databases say.
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
        let named = &dns.answer.addresses;
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
    /// | take writes | registered targets    | then                                          |
    /// |-------------|-----------------------|-----------------------------------------------|
    /// | one         | all were asked        | it alone is wanted, if it said so 5 s after   |
    /// |             |                       | another target was first seen beside it       |
    /// | one         | it alone              | in sync, but not while it is                  |
    /// |             |                       | [disputed](Decider::disputed)                 |
    /// | several     | all were asked        | wait: one does not know yet that it is fenced |
    /// | none        | any                   | no answer proves nothing: the rules below     |
    /// | any         | one was not asked, or | it may be the writer: the rules below         |
    /// |             | cannot tell           |                                               |
    ///
    /// What it said before proves nothing: two runs with opposite evidence must not both take a
    /// target away. And a database that says that it is read only is not switched to, whoever names
    /// it.
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

    /// While a role has yet to settle the others may decide, but not against a registered database
    /// that takes writes.
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
    /// | who             | if                                                               |
    /// |-----------------|------------------------------------------------------------------|
    /// | an event        | it is newer than the registration                                |
    /// | DNS and RDS API | both have named it without a break for [90 s](LAG_AT_MOST) since |
    /// |                 | the registration                                                 |
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

    /// A database that is a reader is not the writer, whoever names it.
    fn read_only(&self, named: &Addresses) -> Option<Reason> {
        let address = named
            .iter()
            .find(|address| self.evidence.role(*address, self.now) == Some(Role::Reader))?;
        Some(Reason::ReadOnly { address })
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
    /// When only an address behind an unchanged name moves, all who name a member by its name are
    /// one witness and a lookup that may be stale. It shows in an address that is no member's: the
    /// one that DNS names, or the one that leaves.
    ///
    /// What the simulation taught (`tests/simulation`):
    ///
    /// * DNS and an event must not outvote topology: both may tell of the failover before.
    /// * DNS must not veto an event with topology: the switch would come 29 s after them at the
    ///   median instead of 1.6 s, and there were more wrong-way switches, not fewer, because DNS is
    ///   the last to know. So when an event and topology both tell of the failover before the last,
    ///   a DNS that knows better is outvoted.
    /// * Runs overlap, so what another run just registered has to count. Two runs that see both
    ///   addresses and have opposite evidence must not both take a target away. ELBv2 has no
    ///   conditional write, so that only time keeps them apart: the one that wants the older target
    ///   back needs more of it.
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

    /// Whether both name the same, nobody names something else, and every doubt is older than the
    /// moment as of which they do.
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

    /// **Contradiction.** Nothing is changed, and nothing is called right, while a current claim
    /// names something else than DNS.
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

    /// **Filling.** An empty group serves nobody, and DNS alone may name a reader, or an old
    /// writer.
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

    /// **Patience.** DNS is believed once every answer was the same for long enough, counted from
    /// the newest doubt: what it said before that proves nothing.
    ///
    /// | doubt | topology agrees | needed              | why                                     |
    /// |-------|-----------------|---------------------|-----------------------------------------|
    /// | no    | either          | 2 × TTL, 10 to 20 s | each resolver keeps it for its TTL      |
    /// | yes   | yes             | 30 s                | DNS flaps for 20 to 30 s                |
    /// | yes   | no              | 90 s                | longer than stale and flapping together |
    ///
    /// An unnamed failover event must not shorten it: DNS flaps right then.
    fn patience(&self, claims: &[Claim], dns: &StableAnswer, plan: Plan) -> Verdict {
        let named = &dns.answer.addresses;
        let agrees = |claim: &&Claim| {
            claim.witness == Witness::Topology && claim.supports && claim.addresses == named
        };
        let supporter = claims.iter().find(agrees).map(|claim| claim.witness);
        let doubt = self.evidence.doubts(named, self.now).max_by_key(|doubt| doubt.since);
        let needed = match (doubt, supporter) {
            (None, _) => stable_time(dns),
            (Some(_), Some(_)) => AGAINST_DOUBT_WITH_TOPOLOGY,
            (Some(_), None) => AGAINST_DOUBT_ALONE,
        };
        self.once_stable(dns, needed, doubt, supporter, plan)
    }

    fn once_stable(
        &self,
        dns: &StableAnswer,
        needed: Duration,
        doubt: Option<Doubt>,
        supporter: Option<Witness>,
        plan: Plan,
    ) -> Verdict {
        let lasted = dns.stable_for(doubt.map(|doubt| doubt.since));
        let doubt = doubt.map(|doubt| (doubt.cause, age(doubt.since, self.now)));
        let addresses = dns.answer.addresses.clone();
        let witness = Witness::Dns;
        let reason = Reason::Patience { witness, addresses, supporter, lasted, needed, doubt };
        if lasted >= needed { Verdict::Switch(plan, reason) } else { Verdict::Wait(reason) }
    }

    /// A reader joins at once, and leaves only when the RDS API has named the same readers for a
    /// while and one of them is healthy: two runs that see it change its mind, or a member's name
    /// flap, must not take each other's target away.
    fn readers(&self) -> Verdict {
        let (dns, readers) = (self.evidence.dns(self.now), self.evidence.readers(self.now));
        let (Some(dns), Some(readers)) = (dns, readers) else { return self.proxy() };
        let writer = self.evidence.topology(self.now).and_then(Topology::writer);
        let is_writers = |address: &IpAddr| writer.is_some_and(|writer| writer.contains(*address));
        let reason = || Reason::claim(Witness::Topology, &readers);
        let is_any_healthy = self.healthy().any(|address| readers.contains(address));
        let stands_in =
            dns.answer.addresses.iter().filter(|address| !is_any_healthy && is_writers(address));
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

    fn proxy(&self) -> Verdict {
        let Some(dns) = self.evidence.dns(self.now) else { return self.without_dns() };
        let named = &dns.answer.addresses;
        // A reader endpoint gives one at a time: two runs with opposite answers must not take away
        // each other's target.
        let nobody_leaves = self.binding.kind == Kind::Readers
            && !self.well().any(|address| named.contains(address));
        let wanted = if nobody_leaves {
            named.with(self.on_port(DescribedTarget::is_registered))
        } else {
            named.with(self.well())
        };
        self.plan_or_in_sync(named, &wanted, Reason::claim(Witness::Dns, named))
    }

    fn custom(&self) -> Verdict {
        let Some(dns) = self.evidence.dns(self.now) else { return self.without_dns() };
        let named = &dns.answer.addresses;
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

    fn hostname(&self) -> Verdict {
        let Some(dns) = self.evidence.dns(self.now) else { return self.without_dns() };
        let named = &dns.answer.addresses;
        if let Some(reason) = self.read_only(named) {
            return Verdict::Wait(reason);
        }
        let takes_writes = |address| self.evidence.role(address, self.now) == Some(Role::Writer);
        match self.replace(named, Reason::claim(Witness::Dns, named)) {
            // Where one that leaves takes writes as well, neither is known to be the writer, and
            // DNS may flap.
            Verdict::Switch(plan, _)
                if self.unwanted(named).next().is_some()
                    && (!named.iter().all(takes_writes)
                        || self.unwanted(named).any(takes_writes)) =>
            {
                // Several targets are nothing strange here.
                let doubts = self
                    .evidence
                    .doubts(named, self.now)
                    .filter(|doubt| doubt.cause != DoubtCause::SeveralTargets);
                let is_second =
                    plan.register.is_empty() && named.iter().next() > self.unwanted(named).min();
                let needed = stable_time(dns) + if is_second { TIE_BREAK } else { Duration::ZERO };
                self.once_stable(dns, needed, doubts.max_by_key(|doubt| doubt.since), None, plan)
            }
            decided => decided,
        }
    }

    fn without_dns(&self) -> Verdict {
        Verdict::Wait(Reason::no_current_dns_answer(self.evidence.dns_age(self.now)))
    }

    fn address(&self) -> Verdict {
        let Some(dns) = self.evidence.dns(self.now) else { return self.without_dns() };
        self.replace(&dns.answer.addresses, Reason::claim(Witness::Dns, &dns.answer.addresses))
    }

    /// Registers the named addresses and no others; a healthy one leaves only when a named one is
    /// healthy.
    fn replace(&self, named: &Addresses, reason: Reason) -> Verdict {
        if self.healthy().any(|address| named.contains(address)) {
            self.plan_or_in_sync(named, named, reason)
        } else {
            self.plan_or_in_sync(named, &named.with(self.healthy()), reason)
        }
    }

    /// Registers the wanted addresses and no others, unless one that a witness named may not be.
    /// Where an answer names several that serve side by side, the others of them join all the same,
    /// and nobody leaves.
    fn plan_or_in_sync(&self, named: &Addresses, wanted: &Addresses, reason: Reason) -> Verdict {
        let mut plan = Plan::new(wanted, self.binding.port, self.evidence.group.targets());
        if let Some(refusal) = self.refusal(named) {
            let is_one_of_many =
                matches!(self.binding.kind, Kind::Readers | Kind::Proxy | Kind::Custom);
            plan.register.retain(|target| self.allowed.refusal(target.address).is_none());
            if !is_one_of_many || plan.register.is_empty() {
                return Verdict::Refuse(refusal);
            }
            plan.deregister.clear();
        }
        if plan.is_empty() { Verdict::InSync(reason) } else { Verdict::Switch(plan, reason) }
    }

    fn refusal(&self, named: &Addresses) -> Option<AddressRefusal> {
        let not_allowed = named.iter().find_map(|address| self.allowed.refusal(address));
        let is_split = self.binding.kind.is_single_writer() && named.count() > 1;
        not_allowed
            .or_else(|| is_split.then(|| AddressRefusal::SeveralWriters(named.iter().collect())))
    }

    fn unwanted(&self, named: &Addresses) -> impl Iterator<Item = IpAddr> {
        self.evidence.group.unwanted(named)
    }

    fn healthy(&self) -> impl Iterator<Item = IpAddr> {
        self.on_port(|target| target.state == TargetState::Healthy)
    }

    /// The registered ones that are not unhealthy. A target that is still in its first health
    /// checks is not: if it left with every answer that lacks it, an endpoint that gives one
    /// address at a time would never have two targets.
    fn well(&self) -> impl Iterator<Item = IpAddr> {
        self.on_port(|target| target.is_registered() && !target.is_unhealthy())
    }

    /// The addresses of the targets on the binding's port that are so.
    fn on_port(&self, is_so: impl Fn(&DescribedTarget) -> bool) -> impl Iterator<Item = IpAddr> {
        let targets = self.evidence.group.targets().iter();
        let targets =
            targets.filter(move |target| is_so(target)).filter_map(DescribedTarget::target);
        targets.filter(|target| target.port == self.binding.port).map(|target| target.address)
    }
}

fn stable_time(dns: &StableAnswer) -> Duration {
    (dns.answer.ttl * 2).clamp(STABLE_AT_LEAST, STABLE_AT_MOST)
}

#[cfg(test)]
mod tests;
