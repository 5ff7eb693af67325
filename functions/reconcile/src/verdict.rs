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
        /// What the RDS API says.
        topology: Addresses,
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
            Reason::Disagreement { dns, topology } => {
                write!(f, "DNS names {dns} as the writer and the RDS API names {topology}")
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

/// DNS alone is believed after this when an unnamed failover event is young.
const STEADY_AFTER_EVENT: Duration = Duration::from_secs(3);

/// DNS with topology is believed about a step back after this. A step back needs more proof than a step forward.
const STEP_BACK_WITH_TOPOLOGY: Duration = Duration::from_secs(30);

/// DNS without topology is believed about a step back after this: longer than stale and flapping answers last together.
const STEP_BACK_ALONE: Duration = Duration::from_secs(90);

/// Judges one binding.
///
/// For the kinds with one writer, `cluster` and `instance`; R is what is registered, B what is proposed, *fresh* an
/// address that is not draining in the group, *steady* the time in which every answer of DNS was B. The first row that
/// applies decides.
///
/// | # | evidence                                                                           | verdict               |
/// |---|------------------------------------------------------------------------------------|-----------------------|
/// | 1 | B may not be registered, or is more than one address                               | refuse                |
/// | 2 | DNS has not answered                                                               | wait                  |
/// | 3 | R holds no address but B's: it is empty, or only the port is wrong                 | switch                |
/// | 4 | a named event and topology name B, whatever DNS says; B is fresh, or was left before the event | switch    |
/// | 5 | DNS and topology name B, R is another member's address, B is fresh                 | switch                |
/// | 6 | DNS and a named event name B, B is fresh                                           | switch                |
/// | 7 | topology is readable and names another address than DNS                            | wait                  |
/// | 8 | B is draining: it was left a moment ago                                            | steady for 30 s with topology, 90 s without |
/// | 9 | anything else: DNS names B                                                         | steady for 2 × TTL, 10 to 20 s; 3 s after a young unnamed event |
///
/// The group is in sync when R is exactly B on the binding's port and no readable witness says otherwise. DNS and
/// topology are not independent when only an address behind an unchanged name moved: row 5 therefore asks that R is the
/// address of *another* member. A writer switch never waits for health: while it waited, clients would write to a
/// database that no longer takes it.
///
/// | kind       | wanted                                                                  | when                         |
/// |------------|-------------------------------------------------------------------------|------------------------------|
/// | `readers`  | every reader of a readable topology that can serve, else as `proxy`     | at once                      |
/// | `proxy`    | the addresses of DNS, and members absent from it that are not ill       | at once                      |
/// | `hostname` | the addresses of DNS                                                    | steady, as in row 9          |
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
        let disagreement = writer.filter(|writer| *writer != named);
        let disagree =
            |writer: &Addresses| Verdict::Wait(Reason::Disagreement { dns: named.clone(), topology: writer.clone() });
        if plan.is_empty() {
            return disagreement.map_or(Verdict::InSync, disagree);
        }
        if self.surplus(named).next().is_none() {
            return Verdict::Switch(plan);
        }
        let is_fresh = self.is_fresh(named);
        let is_other_members = |topology: &Topology| self.surplus(named).all(|address| topology.has(address));
        let agrees = writer == Some(named);
        if is_fresh && agrees && topology.is_some_and(is_other_members) {
            return Verdict::Switch(plan);
        }
        if is_fresh && event.is_some_and(|(by_event, _)| by_event == named) {
            return Verdict::Switch(plan);
        }
        if let Some(writer) = disagreement {
            return disagree(writer);
        }
        let needed = match (is_fresh, agrees) {
            (true, _) => self.steady_time(dns),
            (false, true) => STEP_BACK_WITH_TOPOLOGY,
            (false, false) => STEP_BACK_ALONE,
        };
        self.once_steady(dns, needed, plan)
    }

    /// Row 4: two witnesses that do not need DNS.
    fn event_with_topology(
        &self,
        event: Option<(&Addresses, DateTime<Utc>)>,
        writer: Option<&Addresses>,
    ) -> Option<Verdict> {
        let (named, time) = event.filter(|(named, _)| Some(*named) == writer)?;
        if let Some(refusal) = self.refusal(named) {
            return Some(Verdict::Refuse(refusal));
        }
        let plan = self.plan(named);
        let was_left_before = |address| self.evidence.left().get(&address).is_some_and(|left| *left < time);
        if plan.is_empty() {
            Some(Verdict::InSync)
        } else if self.is_fresh(named) || named.iter().all(was_left_before) {
            Some(Verdict::Switch(plan))
        } else {
            None
        }
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
            self.once_steady(dns, self.steady_time(dns), plan)
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
        !draining.filter_map(DescribedTarget::target).any(|target| named.contains(target.address))
    }

    fn steady_time(&self, dns: &Steady) -> Duration {
        if self.evidence.has_young_event(self.now) {
            STEADY_AFTER_EVENT
        } else {
            (dns.answer.ttl * 2).clamp(STEADY_AT_LEAST, STEADY_AT_MOST)
        }
    }

    fn once_steady(&self, dns: &Steady, needed: Duration, plan: Plan) -> Verdict {
        let lasted = dns.lasted();
        if lasted >= needed {
            Verdict::Switch(plan)
        } else {
            Verdict::Wait(Reason::Unsteady { dns: dns.answer.addresses.clone(), lasted, needed })
        }
    }
}

#[cfg(test)]
mod tests;
