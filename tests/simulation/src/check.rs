//! The invariants, checked at every write and at the end of every invocation and world.

mod invariant;
pub mod path;
mod roles;
mod several;
mod unanswered;
mod wrong_way;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::ops::Range;

use base::database::ClusterMember;
use reconcile::binding;
use reconcile::claim::Role;
use reconcile::target::{Addresses, DescribedTarget, Target, TargetState};

use crate::check::path::PathAudit;
use crate::database::Host;
use crate::dice::Moment;
use crate::ports::Ports;
use crate::scenario::{Name, PORT};
use crate::world::Switch;

pub use invariant::{Invariant, Violation};

/// What a process does in one invocation.
#[derive(Default)]
pub struct Audit {
    /// The number of the invocation.
    pub invocation: u64,
    /// Calls so far.
    pub calls: u32,
    /// The call at which the process is to die.
    pub dies_at: Option<u32>,
    /// Whether it died.
    pub is_dead: bool,
    /// The address that the invocation's event names, and when that event happened.
    pub names: Option<(Host, Moment)>,
    /// The member that the RDS API called the writer, and when it did so last.
    pub api_writer: Option<(usize, Moment)>,
    /// The members that the RDS API called readers that can serve, when it said so last.
    pub api_readers: Vec<usize>,
    /// When the RDS API told of the members last.
    pub api_answered_at: Option<Moment>,
    /// Where DNS located each member last.
    pub located: BTreeMap<usize, IpAddr>,
    /// The address that DNS named as the writer, and when it did so last.
    pub dns_named: Option<(IpAddr, Moment)>,
    /// When the process, in any invocation, last asked in vain for the cluster's members.
    pub unanswered_at: Option<Moment>,
    /// The writer that DNS and the RDS API both named, from when to when, over all invocations.
    pub told: Option<(IpAddr, Range<Moment>)>,
    /// When DNS last named each address of a custom endpoint, in this invocation or an earlier one.
    pub named: BTreeMap<IpAddr, Moment>,
    /// When DNS first answered the process for it.
    pub answered_since: Option<Moment>,
    /// What each witness said last, for the trace.
    pub last_answers: BTreeMap<String, String>,
    /// What it asked through the load balancer.
    pub(crate) path: PathAudit,
    /// What it does for each binding.
    pub bindings: Vec<BindingAudit>,
}

/// What a process does for one binding in one invocation.
#[derive(Clone, Default)]
pub struct BindingAudit {
    /// Whether DNS was asked for the endpoint.
    pub dns_asked: bool,
    /// What each database said last, and when. A silence says nothing.
    pub roles: BTreeMap<IpAddr, (Role, Moment)>,
    /// Whether a database took the place of DNS, because it said that it takes writes.
    pub writer_reported: bool,
    /// The last answer, and since when all answers were that one.
    pub answer: Option<(Addresses, Moment)>,
    /// Whether the last call to the target group failed.
    pub group_failed: bool,
    /// The last description.
    pub shown: Option<Vec<DescribedTarget>>,
    /// The last wrong registration; the deregistration that completes it is not counted again.
    pub wronged: Option<Moment>,
}

impl Audit {
    /// Of the next invocation of the same process.
    pub(crate) fn next(self, invocation: u64, dies_at: Option<u32>) -> Audit {
        let Audit { unanswered_at, located, told, named, answered_since, path, bindings, .. } =
            self;
        let path = path.next();
        Audit {
            invocation,
            dies_at,
            unanswered_at,
            located,
            told,
            named,
            answered_since,
            path,
            ..Audit::new(bindings.len())
        }
    }

    /// Of a process that has done nothing for so many bindings.
    pub fn new(bindings: usize) -> Audit {
        Audit { bindings: vec![BindingAudit::default(); bindings], ..Audit::default() }
    }

    /// Whether a database that is so said last that it takes writes.
    fn has_writer_role(&self, is_so: impl Fn(IpAddr) -> bool) -> bool {
        let roles = self.bindings.iter().flat_map(|binding| &binding.roles);
        roles.filter(|(_, (role, _))| *role == Role::Writer).any(|(address, _)| is_so(*address))
    }
}

/// The two writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Write {
    /// RegisterTargets.
    Register,
    /// DeregisterTargets.
    Deregister,
}

impl Ports {
    /// Notes an answer of DNS: which addresses it names for which binding.
    pub(crate) fn record_dns(&self, name: Name, addresses: &Addresses) {
        let now = self.world().now();
        let bindings = &self.scenario().config.bindings;
        match name {
            Name::Endpoint(binding) => {
                {
                    let mut audit = self.audit();
                    if bindings[binding].kind.is_single_writer() {
                        audit.dns_named = addresses.iter().next().map(|address| (address, now));
                    }
                    let answer = &mut audit.bindings[binding].answer;
                    if answer.as_ref().is_none_or(|(before, _)| before != addresses) {
                        *answer = Some((addresses.clone(), now));
                    }
                }
                if bindings[binding].kind == binding::Kind::Custom {
                    let mut audit = self.audit();
                    audit.answered_since.get_or_insert(now);
                    audit.named.extend(addresses.iter().map(|address| (address, now)));
                }
                let kept = &mut self.world().state().kept[binding];
                addresses.iter().for_each(|address| kept.name(address));
            }
            Name::Member(member) => {
                let Some(address) = addresses.iter().next() else { return };
                if self.audit().located.insert(member, address) != Some(address) {
                    self.name_members();
                }
            }
        }
    }

    /// A member is where it was located last: a lookup that fails does not make it unknown.
    fn name_members(&self) {
        let located = self.audit().located.clone();
        for (binding, kind) in
            self.scenario().config.bindings.iter().map(|binding| binding.kind).enumerate()
        {
            for (member, address) in &located {
                if self.is_named(kind, *member) {
                    self.world().state().kept[binding].name(*address);
                }
            }
        }
    }

    /// Notes that an event names the instance at this address as the writer.
    pub(crate) fn record_event(&self, address: IpAddr) {
        let bindings = &self.scenario().config.bindings;
        let mut state = self.world().state();
        let kept = state
            .kept
            .iter_mut()
            .zip(bindings)
            .filter(|(_, binding)| binding.kind.is_single_writer());
        kept.for_each(|(kept, _)| kept.name(address));
    }

    /// Notes what the RDS API says.
    pub(crate) fn record_topology(&self, members: &[ClusterMember]) {
        let (now, known) = (self.world().now(), &self.scenario().database.members);
        let number = |member: &ClusterMember| known.iter().position(|known| known.id == member.id);
        {
            let mut audit = self.audit();
            let mut flagged = members.iter().filter(|member| member.is_writer);
            // Two that are flagged name nobody.
            let writer = flagged.next().filter(|_| flagged.next().is_none()).and_then(number);
            audit.api_writer = writer.map(|writer| (writer, now));
            audit.api_answered_at = Some(now);
            let readers = members.iter().filter(|member| !member.is_writer && member.can_serve());
            audit.api_readers = readers.filter_map(number).collect();
        }
        self.name_members();
        self.hear_both();
    }

    /// Whether the RDS API or the invocation's event says that the member belongs into the group.
    fn is_named(&self, kind: binding::Kind, member: usize) -> bool {
        let audit = self.audit();
        if kind == binding::Kind::Readers {
            return audit.api_readers.contains(&member);
        }
        let by_event = audit.names.map(|(host, _)| self.scenario().database.hosts[host].1);
        let by_topology = audit.api_writer.map(|(told, _)| told);
        kind == binding::Kind::Cluster && [by_event, by_topology].contains(&Some(member))
    }

    /// Checks a write that was carried out. `before` are the members without it.
    pub(crate) fn examine(
        &self,
        binding: usize,
        write: Write,
        targets: &[Target],
        before: &[Target],
    ) {
        let world = self.world();
        let after = world.members(binding);
        if !before.is_empty() && after.is_empty() {
            world.violate(
                Invariant::AMemberStays,
                format_args!("{} left the group empty", list(targets)),
            );
        }
        match write {
            Write::Register => {
                let is_named =
                    |target: &Target| world.state().kept[binding].is_named(target.address);
                if let Some(unnamed) =
                    targets.iter().find(|target| target.port != PORT || !is_named(target))
                {
                    world.violate(
                        Invariant::NamedByAWitness,
                        format_args!("{unnamed} was registered"),
                    );
                }
                self.examine_roles(binding, targets);
            }
            Write::Deregister => {
                let is_known = |target: &Target| world.state().kept[binding].group.knows(*target);
                if let Some(unknown) = targets.iter().find(|target| !is_known(target)) {
                    let text = format_args!("{unknown} was deregistered and never was a member");
                    world.violate(Invariant::DeregistersWhatWasDescribed, text);
                }
            }
        }
        if self.scenario().config.bindings[binding].kind.is_single_writer() {
            self.examine_switch(binding, write, targets, before, &after);
        }
    }

    fn examine_switch(
        &self,
        binding: usize,
        write: Write,
        targets: &[Target],
        before: &[Target],
        after: &[Target],
    ) {
        let world = self.world();
        let now = world.now();
        let writer = self.scenario().database.writer_address(now);
        if self.is_wrong_way(binding, write, targets, before, writer) {
            let way = self.wrong_way(now);
            world.note(format_args!(
                "WRONG WAY to {}: the writer is {writer}; {way}",
                list(targets)
            ));
            world.state().kept[binding].wrong_ways.push(way);
        }
        let is_exact = |members: &[Target]| members == [Target { address: writer, port: PORT }];
        if is_exact(after) && !is_exact(before) {
            world.state().kept[binding]
                .switches
                .push(Switch { at: now, resolver: self.resolver() });
        }
    }

    /// Checks a deregistration as it was asked for.
    pub(crate) fn examine_request(&self, binding: usize, targets: &[DescribedTarget]) {
        if let Some(draining) = targets.iter().find(|target| target.state == TargetState::Draining)
        {
            let text =
                format_args!("{draining} was deregistered while it was described as draining");
            self.world().violate(Invariant::DrainingIsLeftAlone, text);
        }
        if !self.scenario().config.bindings[binding].kind.is_single_writer() {
            self.examine_leaving(binding, targets);
        }
    }

    /// Checks whether an invocation without an error claims that the group is right.
    pub(crate) fn examine_claim(&self, binding: usize, claims_in_sync: bool) {
        if claims_in_sync {
            self.examine_agreement(binding);
        }
        let is_single_writer = self.scenario().config.bindings[binding].kind.is_single_writer();
        let problem = {
            let process = self.audit();
            let audit = &process.bindings[binding];
            // An event and the RDS API together name a writer without DNS.
            let needs_dns =
                !(is_single_writer && process.names.is_some() && process.api_writer.is_some());
            // A run that ends without a claim says itself what it waits for.
            let shown = audit.shown.iter().flatten().filter(|target| target.is_registered());
            let (count, all_on_port) =
                (shown.clone().count(), shown.clone().all(|target| target.port == PORT));
            if audit.shown.is_none() {
                "the target group was never read"
            } else if claims_in_sync && audit.group_failed {
                "its last call to the target group failed and it says that the group is right"
            } else if needs_dns
                && audit.dns_asked
                && audit.answer.is_none()
                && !audit.writer_reported
            {
                "DNS never answered"
            } else if claims_in_sync && is_single_writer && !(count == 1 && all_on_port) {
                "it says that the group is right, and the group it was shown has not exactly one \
                 member on the port"
            } else if claims_in_sync && !(count > 0 && all_on_port) {
                "it says that the group is right, and the group it was shown has no member, or one \
                 on another port"
            } else {
                return;
            }
        };
        let text = format!("invocation {} succeeded although {problem}", self.audit().invocation);
        self.world().violate(Invariant::FailsLoudly, text);
    }
}

fn list(targets: &[Target]) -> String {
    targets.iter().map(Target::to_string).collect::<Vec<_>>().join(", ")
}
