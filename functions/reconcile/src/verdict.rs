//! The verdict: what follows from the evidence. The only place that decides where a target group should point.

use std::net::IpAddr;
use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::because::Because;
use crate::binding::{Binding, Kind};
use crate::claim::{Cause, Claim, Doubt, Voice, Witness, age};
use crate::evidence::{Evidence, Steady, Topology};
use crate::network::{AllowedNetworks, Refusal};
use crate::plan::Plan;
use crate::target::{Addresses, DescribedTarget, TargetState};

/// What should become of a target group, and which rule says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The members are what the evidence says.
    InSync(Because),
    /// Apply the plan that makes the witnessed addresses the members.
    Switch(Plan, Because),
    /// Change nothing and look again.
    Wait(Because),
    /// Change nothing, and say why.
    Refuse(Refusal),
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

    /// Which rule says so; a refusal gives its own reason.
    pub fn because(&self) -> Option<&Because> {
        match self {
            Verdict::InSync(because) | Verdict::Switch(_, because) | Verdict::Wait(because) => Some(because),
            Verdict::Refuse(_) => None,
        }
    }
}

/// DNS alone is believed after this at least. Its TTL at RDS is 5 s, and what it says flaps for 20 to 30 s.
const STEADY_AT_LEAST: Duration = Duration::from_secs(10);

/// DNS alone is believed after this at most, whatever its TTL.
const STEADY_AT_MOST: Duration = Duration::from_secs(20);

/// DNS with topology is believed against a doubt after this. A step back needs more proof than a step forward.
const AGAINST_DOUBT_WITH_TOPOLOGY: Duration = Duration::from_secs(30);

/// DNS without topology is believed against a doubt after this: longer than stale and flapping answers last together.
const AGAINST_DOUBT_ALONE: Duration = Duration::from_secs(90);

/// Of two runs that began together and hear opposite answers, one is later by this: a description shows what the other has
/// taken away only some seconds after it, and ELBv2 has no conditional write.
const APART: Duration = Duration::from_secs(5);

/// A word proves nothing until another member has been seen beside it for so long: runs overlap and may hear the opposite,
/// and a description may still show what another run has just taken away.
const WORD_SETTLES: Duration = Duration::from_secs(5);

/// An empty group waits this long for the RDS API to agree with DNS: longer than the API lags.
const FILLS_AFTER: Duration = Duration::from_secs(30);

/// DNS and the RDS API lag 20 to 60 s after a right switch. Longer than this they are not late.
const STANDS: Duration = Duration::from_secs(90);

/// A custom endpoint gives a part of its members in each answer: one that was absent for so long and from so many is none.
const GONE_AFTER: (Duration, u64) = (Duration::from_secs(600), 20);

/// Nor from so many for each member: of five, twenty answers of one address each lack a given one once in eighty times.
const ANSWERS_A_MEMBER: u64 = 10;

/// Judges one binding.
///
/// For the kinds with one writer, `cluster` and `instance`, four rules follow one another, each with its table at its
/// function: **word**, what the databases say of themselves; **quorum**, two independent claims that no doubt is newer
/// than; **contradiction**, a claim for something else; **patience**, one claim that is steady for as long as the doubt
/// asks. Before the last two, an empty group is [filled](Judge::fill). A writer switch never waits for health: while it waited, clients would write to a database
/// that no longer takes it.
///
/// | kind       | wanted                                                                  | when                         |
/// |------------|-------------------------------------------------------------------------|------------------------------|
/// | `readers`  | every reader of a readable topology that can serve, else as `proxy`     | at once; others leave when it was steady for 10 s |
/// | `proxy`    | the addresses of DNS, and members absent from it that are not ill       | at once                      |
/// | `custom`   | as `proxy`, but not what was absent from every answer for ten minutes, and from twenty | at once       |
/// | `hostname` | the addresses of DNS, unless one says that it is read only              | steady, as without a doubt, and of two opposite runs one [later](APART); at once if they take writes |
/// | `address`  | the address                                                             | at once                      |
///
/// For these five a healthy member leaves only when a wanted one is healthy. A proxy's, custom or reader endpoint gives a
/// part of its addresses in each answer, so absence alone is no reason to leave.
///
/// While every reader is ill and the reader endpoint names the writer, the writer joins the `readers`; it leaves once one of
/// them has been healthy for 10 s. Of several addresses that `readers`, `proxy` or `custom` name, one that
/// may not be registered keeps no other out: those are registered, nobody leaves, and then the refusal is told.
pub fn verdict(binding: &Binding, allowed: &AllowedNetworks, evidence: &Evidence, now: DateTime<Utc>) -> Verdict {
    let judge = Judge { binding, allowed, evidence, now };
    match binding.kind {
        Kind::Cluster | Kind::Instance => judge.one_writer(),
        Kind::Readers => judge.readers(),
        Kind::Proxy => judge.proxy(),
        Kind::Custom => judge.custom(),
        Kind::Hostname => judge.hostname(),
        Kind::Address => judge.address(),
    }
}

struct Judge<'a> {
    binding: &'a Binding,
    allowed: &'a AllowedNetworks,
    evidence: &'a Evidence,
    now: DateTime<Utc>,
}

impl Judge<'_> {
    fn one_writer(&self) -> Verdict {
        if let Some(verdict) = self.word() {
            return verdict;
        }
        let claims = self.evidence.claims(self.now);
        if let Some((named, witnesses)) = self.quorum(&claims) {
            return self.make(named, named, Because::Quorum { witnesses, addresses: named.clone() });
        }
        let Some(dns) = self.evidence.dns(self.now) else { return self.without_dns() };
        let named = &dns.answer.addresses;
        let made = self.make(named, named, Because::claim(Witness::Dns, named));
        let takes_nothing = self.surplus(named).next().is_none();
        if let Some(because) = self.read_only(named) {
            return Verdict::Wait(because);
        }
        let is_right = matches!(made, Verdict::InSync(_));
        match (made, self.contradiction(&claims, named, is_right)) {
            (Verdict::Switch(plan, because), _) if takes_nothing => self.fill(named, plan, because),
            (Verdict::InSync(_) | Verdict::Switch(..), Some(because)) => Verdict::Wait(because),
            (Verdict::Switch(plan, _), None) => self.patience(&claims, dns, plan),
            (made, _) => made,
        }
    }

    /// **Word.** The databases know first who of them takes writes; others only tell of it later.
    ///
    /// | take writes | members of the group   | then                                                       |
    /// |-------------|------------------------|------------------------------------------------------------|
    /// | one         | all were asked         | it alone is wanted, whatever others say, if it said so 5 s after another member was first seen beside it |
    /// | one         | it alone is registered | in sync, but not while it is [disputed](Judge::disputed)   |
    /// | several     | all were asked         | wait: one of them does not know yet that it is fenced      |
    /// | none        | any                    | silence proves nothing: the rules below                    |
    /// | any         | one was not asked, or cannot tell | it may be the writer: the rules below           |
    ///
    /// What it said before proves nothing: two runs with opposite evidence must not both take a member away. And a database that says that it is read only is not switched to, whoever names it.
    fn word(&self) -> Option<Verdict> {
        let writers = self.evidence.writers(self.now)?;
        let mut addresses = writers.iter();
        match (addresses.next(), addresses.next()) {
            (Some(address), None) => {
                let spoke = self.evidence.spoke(address);
                let mut doubts = self.evidence.doubts(&writers, self.now);
                let is_outdated = |doubt: Doubt| {
                    matches!(doubt.cause, Cause::Appeared(_) | Cause::Mixed)
                        && !doubt.is_older_than(spoke.map(|at| at - WORD_SETTLES))
                };
                if doubts.any(is_outdated) {
                    return None;
                }
                Some(match self.make(&writers, &writers, Because::Word { address }) {
                    Verdict::InSync(because) => self.disputed(address).map_or(Verdict::InSync(because), Verdict::Wait),
                    judged => judged,
                })
            }
            _ => Some(Verdict::Wait(Because::SeveralWriters { addresses: writers.clone() })),
        }
    }

    /// A registered database that takes writes is never switched away from: the same evidence stands for 20 to 60 s after
    /// every right switch. But a blue database goes on taking writes after a switchover, and the green one may refuse the
    /// login. So it is not called right while another that does not say otherwise is named by
    ///
    /// | who             | if                                                  |
    /// |-----------------|-----------------------------------------------------|
    /// | an event        | it is newer than the registration                   |
    /// | DNS and RDS API | both have named it without a break for [90 s](STANDS), and for as long after the registration |
    fn disputed(&self, writer: IpAddr) -> Option<Because> {
        let can_not_tell = |address| self.evidence.voice(address, self.now).is_none_or(|it| it == Voice::Unknown);
        let is_other = |named: &Addresses| named.iter().all(|address| address != writer && can_not_tell(address));
        let registered = self.evidence.group.registered_since(writer);
        let event = self.evidence.named(self.now).filter(|(_, time)| registered.is_none_or(|since| *time > since));
        let by_event = event.map(|(named, _)| named).filter(|named| is_other(named));
        let standing = self.evidence.standing(registered, self.now);
        let stood = standing.filter(|(named, lasted)| *lasted >= STANDS && is_other(named)).map(|(named, _)| named);
        let other = by_event.or(stood)?;
        Some(Because::Disputed { writer, other: other.clone(), by_event: by_event.is_some() })
    }

    /// A database's word against itself: whoever else names it, it is not the writer.
    fn read_only(&self, named: &Addresses) -> Option<Because> {
        let address = named.iter().find(|address| self.evidence.voice(*address, self.now) == Some(Voice::ReadOnly))?;
        Some(Because::ReadOnly { address })
    }

    /// **Quorum.** Two claims for the same addresses are enough at once if they are independent, nobody contradicts them,
    /// and no doubt is newer than they are.
    ///
    /// | claims               | independent                                     | newer than                        |
    /// |----------------------|-------------------------------------------------|-----------------------------------|
    /// | event and topology   | unless the address behind a name moves          | doubts from before the event      |
    /// | event and DNS        | always                                          | doubts from before the event      |
    /// | topology and DNS     | if another member's address is to leave         | no doubt: both lag                |
    ///
    /// What the simulation taught (`tests/simulation`):
    ///
    /// * DNS and an event must not outvote topology: both may tell of the failover before.
    /// * DNS must not veto an event with topology: the switch would come 29 s after them at the median instead of 1.6 s,
    ///   and there were more wrong-way switches, not fewer, because DNS is the last to know. So when an event and topology
    ///   both tell of the failover before the last, a DNS that knows better is outvoted.
    /// * Runs overlap, so what another run just registered has to count. Two runs that see both addresses and have
    ///   opposite evidence must not both take a member away. ELBv2 has no conditional write, so that only time keeps them
    ///   apart: the one that wants the older member back needs more of it.
    fn quorum<'c>(&self, claims: &[Claim<'c>]) -> Option<(&'c Addresses, [Witness; 2])> {
        let proofs = || claims.iter().filter(|claim| claim.proves);
        let pairs = proofs().flat_map(|one| proofs().map(move |other| (one, other)));
        let mut pairs = pairs.filter(|(one, other)| one.witness < other.witness && one.addresses == other.addresses);
        let (one, other) = pairs.find(|(one, other)| {
            let named = one.addresses;
            let moment = one.speaks_of.max(other.speaks_of);
            self.read_only(named).is_none()
                && self.are_independent([one.witness, other.witness], named)
                && !claims.iter().any(|claim| claim.contradicts && claim.addresses != named)
                && self.evidence.doubts(named, self.now).all(|doubt| doubt.is_older_than(moment))
        })?;
        Some((one.addresses, [one.witness, other.witness]))
    }

    /// When only an address behind an unchanged name moves, all who name a member by its name are one witness and a lookup
    /// that may be stale. It shows in an address that is no member's: the one that DNS names, or the one that leaves.
    fn are_independent(&self, witnesses: [Witness; 2], named: &Addresses) -> bool {
        let topology = self.evidence.topology(self.now);
        let is_members = |address| topology.is_some_and(|topology| topology.has(address));
        match witnesses {
            [Witness::Topology, Witness::Event] => {
                self.evidence.dns(self.now).is_none_or(|dns| dns.answer.addresses.iter().all(is_members))
            }
            [Witness::Dns, Witness::Topology] => self.surplus(named).all(is_members),
            _ => true,
        }
    }

    /// **Contradiction.** Nothing is changed, and nothing is called right, while a current claim names something else
    /// than DNS.
    ///
    /// | claim      | contradicts for                                                                           |
    /// |------------|-------------------------------------------------------------------------------------------|
    /// | event      | 90 s from its time: longer than DNS and topology lag. Not a group that is what DNS says: the watch looks on by itself, and an event may be of the failover before |
    /// | topology   | 10 s from its last answer, also when it is silent by then, because it fails in bursts     |
    fn contradiction(&self, claims: &[Claim], named: &Addresses, is_right: bool) -> Option<Because> {
        let contradicts = |claim: &&Claim| claim.contradicts && !(is_right && claim.witness == Witness::Event);
        let other = claims.iter().filter(contradicts).find(|claim| claim.addresses != named)?;
        let [dns, other_addresses] = [named, other.addresses].map(Clone::clone);
        Some(Because::Contradiction { dns, witness: other.witness, other: other_addresses })
    }

    /// **Filling.** An empty group serves nobody, and DNS alone may name a reader, or an old writer.
    ///
    /// | kind       | the group                     | filled with                                                |
    /// |------------|-------------------------------|------------------------------------------------------------|
    /// | `instance` | any                           | what DNS names                                             |
    /// | `cluster`  | has the address on a wrong port | what DNS names                                           |
    /// | `cluster`  | is empty, the RDS API agrees  | what both name                                             |
    /// | `cluster`  | has been empty for 30 s       | what DNS names; if that is a reader as far as the RDS API was ever read, its writer |
    fn fill(&self, named: &Addresses, plan: Plan, because: Because) -> Verdict {
        let empty_for = self.evidence.group.empty_for(self.now).filter(|_| self.binding.cluster().is_some());
        let writer = self.evidence.last_topology().and_then(Topology::writer);
        let Some(lasted) = empty_for.filter(|_| writer != Some(named)) else { return Verdict::Switch(plan, because) };
        let empty = |witness, addresses: &Addresses| Because::Empty {
            witness,
            addresses: addresses.clone(),
            lasted,
            needed: FILLS_AFTER,
        };
        if lasted < FILLS_AFTER {
            return Verdict::Wait(empty(Witness::Dns, named));
        }
        let is_member = |address| self.evidence.last_topology().is_some_and(|topology| topology.has(address));
        match writer.filter(|_| named.iter().any(is_member)) {
            Some(writer) => self.make(writer, writer, empty(Witness::Topology, writer)),
            None => Verdict::Switch(plan, empty(Witness::Dns, named)),
        }
    }

    /// **Patience.** DNS is believed once every answer was the same for long enough, counted from the newest doubt: what it
    /// said before that proves nothing.
    ///
    /// | doubt | topology agrees | needed               | why                                                         |
    /// |-------|-----------------|----------------------|-------------------------------------------------------------|
    /// | no    | either          | 2 × TTL, 10 to 20 s  | each resolver's cache holds an answer for its TTL           |
    /// | yes   | yes             | 30 s                 | DNS flaps for 20 to 30 s                                    |
    /// | yes   | no              | 90 s                 | longer than stale and flapping answers last together        |
    ///
    /// An unnamed failover event must not shorten it: DNS flaps right then.
    fn patience(&self, claims: &[Claim], dns: &Steady, plan: Plan) -> Verdict {
        let named = &dns.answer.addresses;
        let agrees = |claim: &&Claim| claim.witness == Witness::Topology && claim.proves && claim.addresses == named;
        let supporter = claims.iter().find(agrees).map(|claim| claim.witness);
        let doubt = self.evidence.doubts(named, self.now).max_by_key(|doubt| doubt.since);
        let needed = match (doubt, supporter) {
            (None, _) => steady_time(dns),
            (Some(_), Some(_)) => AGAINST_DOUBT_WITH_TOPOLOGY,
            (Some(_), None) => AGAINST_DOUBT_ALONE,
        };
        self.once_steady(dns, needed, doubt, supporter, plan)
    }

    fn once_steady(
        &self,
        dns: &Steady,
        needed: Duration,
        doubt: Option<Doubt>,
        supporter: Option<Witness>,
        plan: Plan,
    ) -> Verdict {
        let lasted = dns.lasted_since(doubt.map(|doubt| doubt.since));
        let doubt = doubt.map(|doubt| (doubt.cause, age(doubt.since, self.now)));
        let addresses = dns.answer.addresses.clone();
        let witness = Witness::Dns;
        let because = Because::Patience { witness, addresses, supporter, lasted, needed, doubt };
        if lasted >= needed { Verdict::Switch(plan, because) } else { Verdict::Wait(because) }
    }

    /// A reader joins at once, and leaves only when the RDS API has named the same readers for a while and one of them is
    /// healthy: two runs that hear it change its mind, or a member's name flap, must not take each other's target away.
    fn readers(&self) -> Verdict {
        let (dns, readers) = (self.evidence.dns(self.now), self.evidence.readers(self.now));
        let (Some(dns), Some(readers)) = (dns, readers) else { return self.proxy() };
        let writer = self.evidence.topology(self.now).and_then(Topology::writer);
        let is_writers = |address: &IpAddr| writer.is_some_and(|writer| writer.contains(*address));
        let because = || Because::claim(Witness::Topology, &readers);
        let mut healthy = self.on_port(|target| target.state == TargetState::Healthy);
        let is_any_healthy = healthy.any(|address| readers.contains(address));
        let stands_in = dns.answer.addresses.iter().filter(|address| !is_any_healthy && is_writers(address));
        let named = readers.with(stands_in);
        let joined = self.make(&named, &named.with(self.on_port(DescribedTarget::is_member)), because());
        if !matches!(joined, Verdict::InSync(_)) || !is_any_healthy {
            return joined;
        }
        let mut lasted = self.evidence.readers_lasted();
        if self.surplus(&readers).any(|address| is_writers(&address) && self.evidence.stands_in(address)) {
            let healthy_for = readers.iter().filter_map(|address| self.evidence.group.healthy_for(address, self.now));
            lasted = lasted.min(healthy_for.max().unwrap_or_default());
        }
        match self.make(&readers, &readers, because()) {
            Verdict::Switch(..) if lasted < STEADY_AT_LEAST => Verdict::Wait(Because::Patience {
                witness: Witness::Topology,
                addresses: readers.clone(),
                supporter: None,
                lasted,
                needed: STEADY_AT_LEAST,
                doubt: None,
            }),
            left => left,
        }
    }

    fn proxy(&self) -> Verdict {
        let Some(dns) = self.evidence.dns(self.now) else { return self.without_dns() };
        let named = &dns.answer.addresses;
        // A target that is still in its first health checks is not ill. If it left with every answer that lacks it, an
        // endpoint that gives one address at a time would never have two targets.
        let wanted = named.with(self.on_port(|target| target.is_member() && !target.is_ill()));
        self.make(named, &wanted, Because::claim(Witness::Dns, named))
    }

    fn custom(&self) -> Verdict {
        let Some(dns) = self.evidence.dns(self.now) else { return self.without_dns() };
        let named = &dns.answer.addresses;
        let well = || self.on_port(|target| target.is_member() && !target.is_ill());
        let members = u64::try_from(well().count()).unwrap_or(u64::MAX);
        let is_gone = |address: &IpAddr| {
            let (after, answers) = GONE_AFTER;
            let answers = answers.max(members.saturating_mul(ANSWERS_A_MEMBER));
            let absent = self.evidence.absent_for(*address, self.now);
            absent.is_some_and(|(lasted, count)| lasted >= after && count >= answers)
        };
        let wanted = named.with(well().filter(|address| !is_gone(address)));
        let healthy = || self.on_port(|target| target.state == TargetState::Healthy);
        let is_any_healthy = healthy().any(|address| wanted.contains(address));
        let wanted = if is_any_healthy { wanted } else { wanted.with(healthy()) };
        self.make(named, &wanted, Because::claim(Witness::Dns, named))
    }

    fn hostname(&self) -> Verdict {
        let Some(dns) = self.evidence.dns(self.now) else { return self.without_dns() };
        let named = &dns.answer.addresses;
        if let Some(because) = self.read_only(named) {
            return Verdict::Wait(because);
        }
        let takes_writes = |address| self.evidence.voice(address, self.now) == Some(Voice::TakesWrites);
        match self.replace(named, Because::claim(Witness::Dns, named)) {
            // Where one that leaves takes writes as well, neither is known to be the writer, and DNS may flap.
            Verdict::Switch(plan, _)
                if self.surplus(named).next().is_some()
                    && (!named.iter().all(takes_writes) || self.surplus(named).any(takes_writes)) =>
            {
                // Several members are nothing strange here.
                let doubts = self.evidence.doubts(named, self.now).filter(|doubt| doubt.cause != Cause::Mixed);
                let is_second = plan.register.is_empty() && named.iter().next() > self.surplus(named).min();
                let needed = steady_time(dns) + if is_second { APART } else { Duration::ZERO };
                self.once_steady(dns, needed, doubts.max_by_key(|doubt| doubt.since), None, plan)
            }
            judged => judged,
        }
    }

    fn without_dns(&self) -> Verdict {
        Verdict::Wait(Because::dns_lacking(self.evidence.dns_age(self.now)))
    }

    fn address(&self) -> Verdict {
        let Some(dns) = self.evidence.dns(self.now) else { return self.without_dns() };
        self.replace(&dns.answer.addresses, Because::claim(Witness::Dns, &dns.answer.addresses))
    }

    /// Makes the named addresses the members; a healthy one leaves only when a named one is healthy.
    fn replace(&self, named: &Addresses, because: Because) -> Verdict {
        let healthy = || self.on_port(|target| target.state == TargetState::Healthy);
        if healthy().any(|address| named.contains(address)) {
            self.make(named, named, because)
        } else {
            self.make(named, &named.with(healthy()), because)
        }
    }

    /// Makes the wanted addresses the members, unless one that a witness named may not be registered. Where an answer names
    /// several that serve side by side, the others of them join all the same, and nobody leaves.
    fn make(&self, named: &Addresses, wanted: &Addresses, because: Because) -> Verdict {
        let mut plan = Plan::new(wanted, self.binding.port, self.evidence.group.targets());
        if let Some(refusal) = self.refusal(named) {
            let is_one_of_many = matches!(self.binding.kind, Kind::Readers | Kind::Proxy | Kind::Custom);
            plan.register.retain(|target| self.allowed.refusal(target.address).is_none());
            if !is_one_of_many || plan.register.is_empty() {
                return Verdict::Refuse(refusal);
            }
            plan.deregister.clear();
        }
        if plan.is_empty() { Verdict::InSync(because) } else { Verdict::Switch(plan, because) }
    }

    fn refusal(&self, named: &Addresses) -> Option<Refusal> {
        let not_allowed = named.iter().find_map(|address| self.allowed.refusal(address));
        let is_split = self.binding.kind.is_single_writer() && named.count() > 1;
        not_allowed.or_else(|| is_split.then(|| Refusal::SeveralWriters(named.iter().collect())))
    }

    fn surplus(&self, named: &Addresses) -> impl Iterator<Item = IpAddr> {
        self.evidence.group.surplus(named)
    }

    /// The addresses of the targets on the binding's port that are so.
    fn on_port(&self, is_so: impl Fn(&DescribedTarget) -> bool) -> impl Iterator<Item = IpAddr> {
        let targets = self.evidence.group.targets().iter();
        let targets = targets.filter(move |target| is_so(target)).filter_map(DescribedTarget::target);
        targets.filter(|target| target.port == self.binding.port).map(|target| target.address)
    }
}

fn steady_time(dns: &Steady) -> Duration {
    (dns.answer.ttl * 2).clamp(STEADY_AT_LEAST, STEADY_AT_MOST)
}

#[cfg(test)]
mod tests;
