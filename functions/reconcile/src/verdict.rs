//! The verdict: what follows from the evidence. The only place that decides where a target group should point.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::binding::{Binding, Kind};
use crate::evidence::{Evidence, Steady, Topology};
use crate::network::{AllowedNetworks, Refusal};
use crate::plan::Plan;
use crate::target::{Addresses, DescribedTarget, TargetState};
use crate::watch::age;

/// What should become of a target group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The members are what the evidence says.
    InSync,
    /// Apply the plan that makes the witnessed addresses the members.
    Switch(Plan),
    /// Change nothing and look again.
    Wait(Reason),
    /// Change nothing, and say why.
    Refuse(Refusal),
}

/// What a verdict waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// DNS has not answered, or not for a while.
    NoAnswer,
    /// Two witnesses name different addresses.
    Disagreement {
        /// What DNS says.
        dns: Addresses,
        /// Who says otherwise.
        witness: &'static str,
        /// What it says.
        other: Addresses,
    },
    /// DNS has not given the same answer for long enough.
    Unsteady {
        /// What DNS says.
        dns: Addresses,
        /// For how long it has.
        lasted: Duration,
        /// How long it must.
        needed: Duration,
    },
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::NoAnswer => f.write_str("DNS does not answer"),
            Reason::Disagreement { dns, witness, other } => {
                write!(f, "DNS names {dns} as the writer and {witness} names {other}")
            }
            Reason::Unsteady { dns, lasted, needed } => {
                let (lasted, needed) = (lasted.as_secs(), needed.as_secs());
                write!(f, "DNS has named {dns} for {lasted} s, {needed} s are needed without a second witness")
            }
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

/// A named event contradicts DNS and topology for this long: longer than both lag.
const EVENT_VETO: Duration = Duration::from_secs(90);

const RDS_API: &str = "the RDS API";
const EVENT: &str = "a failover event";

/// Judges one binding.
///
/// For the kinds with one writer, `cluster` and `instance`; R is what is registered, B what is proposed. B is *fresh* if
/// it was not left a moment ago (it is not draining), and *uncontested* if no surplus member was registered a moment ago,
/// or not after the event, which would be somebody's proof of something else. The first row that applies decides.
///
/// | #  | evidence                                                                          | verdict                |
/// |----|-----------------------------------------------------------------------------------|------------------------|
/// | 1  | B may not be registered, or is more than one address                              | refuse                 |
/// | 2  | a named event and topology name B, whatever DNS says, if that is a member's address; uncontested; B is fresh, or was left before the event | switch |
/// | 3  | DNS does not answer                                                               | wait                   |
/// | 4  | R is B on the binding's port, and no readable topology says otherwise             | in sync                |
/// | 5  | R holds no address but B's: it is empty, or only the port is wrong                | switch                 |
/// | 6  | a named event younger than 90 s names another address than DNS                    | wait                   |
/// | 7  | topology names another address than DNS, or did when it was last readable, 10 s ago or less | wait         |
/// | 8  | DNS and topology name B, R is another member's address; uncontested, fresh, and not several at the first look | switch |
/// | 9  | DNS and a named event name B; uncontested, fresh                                  | switch                 |
/// | 10 | a doubt: B is not fresh, or contested, or there was other news: topology named another address in this run, or the group held several at its first look | steady for 30 s with topology, 90 s without |
/// | 11 | anything else: DNS names B                                                        | steady for 2 × TTL, 10 to 20 s |
///
/// *Steady* is the time in which every answer of DNS was B, counted from the moment when that began to say something:
/// not before B was last a member, was left, or came into doubt.
///
/// DNS and topology are not independent when only an address behind an unchanged name moved: row 8 therefore asks that R
/// is the address of *another* member. A writer switch never waits for health: while it waited, clients would write to a
/// database that no longer takes it.
///
/// What the simulation taught (`tests/simulation`):
///
/// * An unnamed failover event must not shorten the steady time: DNS flaps right then, and each resolver's cache holds
///   an answer for its TTL.
/// * A silence of topology must not end its veto at once, because it fails in bursts.
/// * DNS and an event must not outvote topology: both may tell of the failover before.
/// * DNS must not veto an event with topology: the switch would come 29 s after them at the median instead of 1.6 s, and
///   there were more wrong-way switches, not fewer, because DNS is the last to know. So when an event and topology both
///   tell of the failover before the last, a DNS that knows better is outvoted.
/// * Runs overlap, so what another run just registered has to count. Two runs that see both addresses and have opposite
///   evidence must not both take a member away. ELBv2 has no conditional write, so that only time keeps them apart: the
///   one that wants the older member back needs more of it.
///
/// | kind       | wanted                                                                  | when                         |
/// |------------|-------------------------------------------------------------------------|------------------------------|
/// | `readers`  | every reader of a readable topology that can serve, else as `proxy`     | at once                      |
/// | `proxy`    | the addresses of DNS, and members absent from it that are not ill       | at once                      |
/// | `hostname` | the addresses of DNS                                                    | steady, as in row 11         |
/// | `address`  | the address                                                             | at once                      |
///
/// For these four a healthy member leaves only when a wanted one is healthy. A proxy's or reader endpoint gives a part of
/// its addresses in each answer, so absence alone is no reason to leave.
pub fn verdict(
    binding: &Binding,
    allowed: &AllowedNetworks,
    evidence: &Evidence,
    group: &[DescribedTarget],
    now: DateTime<Utc>,
) -> Verdict {
    if binding.kind.is_single_writer() {
        Judge { binding, allowed, evidence, group, now }.single_writer()
    } else {
        Judge { binding, allowed, evidence, group, now }.several()
    }
}

struct Judge<'a> {
    binding: &'a Binding,
    allowed: &'a AllowedNetworks,
    evidence: &'a Evidence,
    group: &'a [DescribedTarget],
    now: DateTime<Utc>,
}

impl Judge<'_> {
    fn single_writer(&self) -> Verdict {
        let topology = self.evidence.topology(self.now);
        let writer = topology.and_then(Topology::writer);
        let event = self.evidence.named(self.now);
        if let Some(verdict) = self.event_with_topology(event, writer) {
            return verdict;
        }
        let Some(dns) = self.evidence.dns(self.now) else { return Verdict::Wait(Reason::NoAnswer) };
        let named = &dns.answer.addresses;
        if let Some(refusal) = self.refusal(named) {
            return Verdict::Refuse(refusal);
        }
        let plan = self.plan(named);
        let disagree = |witness, other: &Addresses| {
            Verdict::Wait(Reason::Disagreement { dns: named.clone(), witness, other: other.clone() })
        };
        if plan.is_empty() {
            let other = writer.filter(|writer| *writer != named);
            return other.map_or(Verdict::InSync, |writer| disagree(RDS_API, writer));
        }
        if self.surplus(named).next().is_none() {
            return Verdict::Switch(plan);
        }
        let is_young = |time| age(time, self.now) < EVENT_VETO;
        if let Some((other, _)) = event.filter(|(by_event, time)| *by_event != named && is_young(*time)) {
            return disagree(EVENT, other);
        }
        if let Some(writer) = self.evidence.other_writer(named, self.now) {
            return disagree(RDS_API, writer);
        }
        let is_fresh = self.is_fresh(named);
        let is_uncontested = self.contested(named).max(self.evidence.mixed()).is_none();
        let agrees = writer == Some(named);
        let is_other_members = |topology: &Topology| self.surplus(named).all(|address| topology.has(address));
        if is_fresh && is_uncontested && agrees && topology.is_some_and(is_other_members) {
            return Verdict::Switch(plan);
        }
        let agrees_now = |(by_event, time)| by_event == named && self.is_uncontested_at(named, time);
        if is_fresh && event.is_some_and(agrees_now) {
            return Verdict::Switch(plan);
        }
        let other_news = self.evidence.mixed().max(self.evidence.contradicted(named));
        let needed = if is_fresh && is_uncontested && other_news.is_none() {
            steady_time(dns)
        } else if agrees {
            AGAINST_DOUBT_WITH_TOPOLOGY
        } else {
            AGAINST_DOUBT_ALONE
        };
        self.once_steady(dns, needed, other_news, plan)
    }

    /// Row 2: two witnesses that do not need DNS.
    fn event_with_topology(
        &self,
        event: Option<(&Addresses, DateTime<Utc>)>,
        writer: Option<&Addresses>,
    ) -> Option<Verdict> {
        let (named, time) = event.filter(|(named, _)| Some(*named) == writer)?;
        if self.is_moving() {
            return None;
        }
        if let Some(refusal) = self.refusal(named) {
            return Some(Verdict::Refuse(refusal));
        }
        let plan = self.plan(named);
        let was_left_before = |address| self.evidence.left().get(&address).is_some_and(|left| *left < time);
        if plan.is_empty() {
            Some(Verdict::InSync)
        } else if self.is_uncontested_at(named, time) && (self.is_fresh(named) || named.iter().all(was_left_before)) {
            Some(Verdict::Switch(plan))
        } else {
            None
        }
    }

    /// Whether DNS names no member's address. Then the address behind a member's name is moving, and topology and event,
    /// which both name a member by its name, are one witness and a lookup that may be stale.
    fn is_moving(&self) -> bool {
        let (dns, topology) = (self.evidence.dns(self.now), self.evidence.topology(self.now));
        let is_members = |address| topology.is_some_and(|topology| topology.has(address));
        dns.is_some_and(|dns| !dns.answer.addresses.iter().all(is_members))
    }

    fn several(&self) -> Verdict {
        let Some(dns) = self.evidence.dns(self.now) else { return Verdict::Wait(Reason::NoAnswer) };
        let topology = self.evidence.topology(self.now);
        let readers = topology.and_then(Topology::readers).filter(|_| self.binding.kind == Kind::Readers);
        let named = readers.as_ref().unwrap_or(&dns.answer.addresses);
        if let Some(refusal) = self.refusal(named) {
            return Verdict::Refuse(refusal);
        }
        let keeps_absent = match self.binding.kind {
            Kind::Proxy => true,
            Kind::Readers => readers.is_none(),
            _ => false,
        };
        let wanted = if keeps_absent {
            // A target that is still in its first health checks is not ill. If it left with every answer that lacks
            // it, an endpoint that gives one address at a time would never have two targets.
            named.with(self.on_port(|target| target.is_member() && !target.is_ill()))
        } else if self.on_port(|target| target.state == TargetState::Healthy).any(|address| named.contains(address)) {
            named.clone()
        } else {
            named.with(self.on_port(|target| target.state == TargetState::Healthy))
        };
        let plan = self.plan(&wanted);
        if plan.is_empty() {
            Verdict::InSync
        } else if self.binding.kind == Kind::Hostname && self.surplus(named).next().is_some() {
            self.once_steady(dns, steady_time(dns), None, plan)
        } else {
            Verdict::Switch(plan)
        }
    }

    /// The addresses of the targets on the binding's port that are so.
    fn on_port(&self, is_so: impl Fn(&DescribedTarget) -> bool) -> impl Iterator<Item = IpAddr> {
        let targets = self.group.iter().filter(move |target| is_so(target)).filter_map(DescribedTarget::target);
        targets.filter(|target| target.port == self.binding.port).map(|target| target.address)
    }

    fn refusal(&self, named: &Addresses) -> Option<Refusal> {
        let not_allowed = named.iter().find_map(|address| self.allowed.refusal(address));
        let is_split = self.binding.kind.is_single_writer() && named.count() > 1;
        not_allowed.or_else(|| is_split.then(|| Refusal::SeveralWriters(named.iter().collect())))
    }

    fn plan(&self, wanted: &Addresses) -> Plan {
        Plan::new(wanted, self.binding.port, self.group)
    }

    /// The addresses of members that are not named. An `Id` that is no address has none and is passed over: in a group
    /// of IP targets there is none.
    fn surplus(&self, named: &Addresses) -> impl Iterator<Item = IpAddr> {
        let members = self.group.iter().filter(|target| target.is_member());
        members
            .filter_map(DescribedTarget::target)
            .map(|target| target.address)
            .filter(|address| !named.contains(*address))
    }

    fn is_fresh(&self, named: &Addresses) -> bool {
        let draining = self.group.iter().filter(|target| target.state == TargetState::Draining);
        let is_draining = draining.filter_map(DescribedTarget::target).any(|target| named.contains(target.address));
        !is_draining && named.iter().all(|address| self.evidence.left_lately(address, self.now).is_none())
    }

    /// Since when there has been proof of something else: one of the surplus was registered a moment ago.
    fn contested(&self, named: &Addresses) -> Option<DateTime<Utc>> {
        self.surplus(named).filter_map(|address| self.evidence.appeared(address)).max()
    }

    /// Whether all proof of something else is older than the event.
    fn is_uncontested_at(&self, named: &Addresses, event: DateTime<Utc>) -> bool {
        self.contested(named).is_none_or(|since| since < event)
    }

    /// What DNS said while it was still true, or before there was other news, proves nothing now.
    fn once_steady(&self, dns: &Steady, needed: Duration, other_news: Option<DateTime<Utc>>, plan: Plan) -> Verdict {
        let wanted = &dns.answer.addresses;
        let is_missing = |address: &IpAddr| plan.register.iter().any(|target| target.address == *address);
        let gone = wanted.iter().filter(is_missing).filter_map(|address| self.evidence.last_member(address)).max();
        let left = wanted.iter().filter_map(|address| self.evidence.left_lately(address, self.now)).max();
        let lasted = dns.lasted_since(gone.max(left).max(self.contested(wanted)).max(other_news));
        if lasted >= needed {
            Verdict::Switch(plan)
        } else {
            Verdict::Wait(Reason::Unsteady { dns: dns.answer.addresses.clone(), lasted, needed })
        }
    }
}

fn steady_time(dns: &Steady) -> Duration {
    (dns.answer.ttl * 2).clamp(STEADY_AT_LEAST, STEADY_AT_MOST)
}

#[cfg(test)]
mod tests;
