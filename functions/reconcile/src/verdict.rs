//! The verdict: what follows from the evidence. Nothing else decides where a group should point.

mod one_writer;
mod other_kinds;

use std::net::IpAddr;
use std::time::Duration;

use chrono::{DateTime, Utc};
use strum::IntoStaticStr;

use crate::binding::{Binding, Kind};
use crate::claim::{Doubt, Role, Unbroken, Witness, age};
use crate::evidence::Evidence;
use crate::network::{AddressRefusal, AllowedNetworks};
use crate::plan::Plan;
use crate::reason::Reason;
use crate::target::{Addresses, DescribedTarget};

/// What should become of a target group, and which rule says so.
#[derive(Clone, Debug, PartialEq, Eq, IntoStaticStr)]
#[strum(serialize_all = "kebab-case")]
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

/// DNS alone is believed after this at least: its TTL at RDS is 5 s, and it flaps for 20 to 30 s.
const STABLE_AT_LEAST: Duration = Duration::from_secs(10);

/// DNS alone is believed after this at most, whatever its TTL.
const STABLE_AT_MOST: Duration = Duration::from_secs(20);

/// Decides about one binding.
///
/// For the kinds with one writer, `cluster` and `instance`, four rules follow one another, each
/// with its table at its function: **role**, **quorum**, **contradiction**, **patience**. Before
/// the last two an empty group is filled. A writer switch never waits for health: meanwhile clients
/// would write to a database that no longer takes it.
///
/// | kind       | wanted, at once unless said                                                     |
/// |------------|---------------------------------------------------------------------------------|
/// | `readers`  | every reader of the RDS API that can serve; who leaves, after 10 s. Without its |
/// |            | answer as `proxy`, but none leaves without a named one that is not unhealthy    |
/// | `proxy`    | the addresses of DNS, and targets absent from it that are not unhealthy         |
/// | `custom`   | as `proxy`, but not what all answers lacked for ten minutes, 20 at least        |
/// | `hostname` | the addresses of DNS, unless one is read only: once steady, one of two opposite |
/// |            | runs 5 s later; at once if they take writes                                     |
/// | `address`  | the address                                                                     |
///
/// Of these a healthy target leaves only when a wanted one is healthy. A proxy's, custom or reader
/// endpoint gives a part of its addresses in each answer: absence alone is no reason to leave.
/// While every reader is unhealthy and the reader endpoint names the writer, the writer joins the
/// `readers`, until one of them has been healthy for 10 s.
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
    /// A database that is a reader is not the writer, whoever names it.
    fn read_only(&self, named: &Addresses) -> Option<Reason> {
        let address = named
            .iter()
            .find(|address| self.evidence.role(*address, self.now) == Some(Role::Reader))?;
        Some(Reason::ReadOnly { address })
    }

    fn once_stable(
        &self,
        dns: &Unbroken<Addresses>,
        needed: Duration,
        doubt: Option<Doubt>,
        supporter: Option<Witness>,
        plan: Plan,
    ) -> Verdict {
        let lasted = dns.lasted(doubt.map(|doubt| doubt.since));
        let doubt = doubt.map(|doubt| (doubt.cause, age(doubt.since, self.now)));
        let addresses = dns.value.clone();
        let witness = Witness::Dns;
        let reason = Reason::Patience { witness, addresses, supporter, lasted, needed, doubt };
        if lasted >= needed { Verdict::Switch(plan, reason) } else { Verdict::Wait(reason) }
    }

    fn stable_time(&self) -> Duration {
        (self.evidence.ttl * 2).clamp(STABLE_AT_LEAST, STABLE_AT_MOST)
    }

    fn without_dns(&self) -> Verdict {
        Verdict::Wait(Reason::no_current_dns_answer(self.evidence.dns_age(self.now)))
    }

    /// Registers the wanted addresses and no others, unless one named may not be: then of several
    /// that serve side by side the others join, nobody leaves, and the refusal is reported after.
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

    fn on_port(&self, is_so: impl Fn(&DescribedTarget) -> bool) -> impl Iterator<Item = IpAddr> {
        let targets = self.evidence.group.targets().iter();
        let targets =
            targets.filter(move |target| is_so(target)).filter_map(DescribedTarget::target);
        targets.filter(|target| target.port == self.binding.port).map(|target| target.address)
    }
}

#[cfg(test)]
mod tests;
