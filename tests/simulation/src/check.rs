//! The invariants, checked at every write and at the end of every invocation and world.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

use reconcile::target::{DescribedTarget, Target, TargetState};

use crate::dice::{Moment, SECOND};
use crate::scenario::{Host, PORT, Service};
use crate::world::{Ports, Switch, WrongWay};

/// What must hold in every world.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Invariant {
    /// 1: no write takes the last member away.
    AMemberStays,
    /// 2: no address is registered that no witness named.
    NamedByAWitness,
    /// 3: a draining target is never deregistered again.
    DrainingIsLeftAlone,
    /// 4: what is deregistered is an `Id` and a port that the group had.
    DeregistersWhatWasDescribed,
    /// 5: a second run right after a first makes no write call.
    Idempotent,
    /// 6: once the sources agree and targets have drained, two scheduled runs are enough for the right group.
    EventuallyStable,
    /// 7: a run that could not do its work returns an error.
    FailsLoudly,
}

impl fmt::Display for Invariant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Invariant::AMemberStays => "1 (no write takes the last member away)",
            Invariant::NamedByAWitness => "2 (no address is registered that no witness named)",
            Invariant::DrainingIsLeftAlone => "3 (a draining target is not deregistered again)",
            Invariant::DeregistersWhatWasDescribed => "4 (deregisters the Id and port that were described)",
            Invariant::Idempotent => "5 (a second run makes no write call)",
            Invariant::EventuallyStable => "6 (eventually stable)",
            Invariant::FailsLoudly => "7 (a run that could not do its work returns an error)",
        })
    }
}

/// An invariant that did not hold.
#[derive(Clone, Debug)]
pub struct Violation {
    /// The seed of the world.
    pub seed: u64,
    /// When.
    pub at: Moment,
    /// Which one.
    pub invariant: Invariant,
    /// What was seen.
    pub text: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Violation { seed, at, invariant, text } = self;
        write!(f, "world {seed} at {:.3} s: invariant {invariant}: {text}", *at as f64 / 1e3)
    }
}

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
    /// Whether DNS was asked for the endpoint.
    pub dns_asked: bool,
    /// Whether it ever answered.
    pub dns_answered: bool,
    /// The member that the RDS API called the writer, and when it did so last.
    pub writer_told: Option<(usize, Moment)>,
    /// The address that DNS named, and when it did so last.
    pub dns_told: Option<(Host, Moment)>,
    /// Whether the last call to the target group failed.
    pub group_failed: bool,
    /// The last description.
    pub shown: Option<Vec<DescribedTarget>>,
    /// The last wrong registration, so that the deregistration that completes it is not counted again.
    pub wronged: Option<Moment>,
    /// What each witness said last, for the trace.
    pub last_answers: BTreeMap<(u8, String), String>,
}

/// The two writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Write {
    /// RegisterTargets.
    Register,
    /// DeregisterTargets.
    Deregister,
}

/// A witness is asked every two seconds at most: it counts as honest if it was when it could be asked last.
const ASKED_EVERY: Moment = 2_500;

/// An event that is older than this is no witness.
const EVENT_LIFETIME: Moment = 600 * SECOND;

impl Ports {
    /// Checks a write that was carried out. `before` are the members without it.
    pub(crate) fn examine(&self, write: Write, targets: &[Target], before: &[Target]) {
        let world = self.world();
        let now = world.now();
        let writer = self.scenario().writer_address(now);
        let after: Vec<Target> = world.state().group.members().collect();
        if !before.is_empty() && after.is_empty() {
            world.violate(Invariant::AMemberStays, format_args!("{} left the group empty", list(targets)));
        }
        match write {
            Write::Register => {
                let unnamed = |target: &&Target| target.port != PORT || !world.state().is_named(target.address);
                if let Some(unnamed) = targets.iter().find(unnamed) {
                    world.violate(Invariant::NamedByAWitness, format_args!("{unnamed} was registered"));
                }
            }
            Write::Deregister => {
                if let Some(unknown) = targets.iter().find(|target| !world.state().group.knows(**target)) {
                    let text = format_args!("{unknown} was deregistered and never was a member");
                    world.violate(Invariant::DeregistersWhatWasDescribed, text);
                }
            }
        }
        if self.is_wrong_way(write, targets, before, writer) {
            let way = self.wrong_way(now);
            world.note(format_args!("WRONG WAY to {}: the writer is {writer}; {way}", list(targets)));
            world.state().wrong_ways.push(way);
        }
        let is_exact = |members: &[Target]| matches!(members, [only] if only.address == writer && only.port == PORT);
        if is_exact(&after) && !is_exact(before) {
            world.state().switches.push(Switch { at: now, resolver: self.resolver() });
        }
    }

    /// A registration of an address that is not the writer, or the deregistration of the writer. The two halves of one
    /// switch count once.
    fn is_wrong_way(&self, write: Write, targets: &[Target], before: &[Target], writer: IpAddr) -> bool {
        let now = self.world().now();
        let mut audit = self.audit();
        match write {
            Write::Register => {
                let is_wrong = |target: &Target| target.address != writer && !before.contains(target);
                let is_wrong = targets.iter().any(is_wrong);
                if is_wrong {
                    audit.wronged = Some(now);
                }
                is_wrong
            }
            Write::Deregister => {
                let is_writer = |target: &Target| target.address == writer && target.port == PORT;
                let was_counted = audit.wronged.take().is_some_and(|at| now < at + 10 * SECOND);
                !was_counted && targets.iter().any(|target| is_writer(target) && before.contains(target))
            }
        }
    }

    /// Which witnesses could be read, and which of them were honest. An event is readable if the process is told it and
    /// was told the cluster's members too, among whom it selects.
    fn wrong_way(&self, now: Moment) -> WrongWay {
        let (names, writer_told, dns_told) = {
            let audit = self.audit();
            (audit.names, audit.writer_told, audit.dns_told)
        };
        let (scenario, resolver) = (self.scenario(), self.resolver());
        let is_honest_at = |at: Moment| {
            let writer = scenario.writer(at);
            let dns = !scenario.refuses(Service::Dns, at);
            let dns = dns.then(|| scenario.writer_by_dns(resolver, at).0 == writer);
            let topology = scenario.is_cluster && !scenario.refuses(Service::Rds, at);
            let topology =
                topology.then(|| scenario.member_by_dns(scenario.writer_by_topology(at), resolver, at).0 == writer);
            let event = names.filter(|(_, time)| writer_told.is_some() && at < time + EVENT_LIFETIME);
            [dns, topology, event.map(|(host, _)| host == writer)]
        };
        let then = is_honest_at(now.saturating_sub(ASKED_EVERY));
        // What it told a moment ago is what the process goes by, even if it would say something else by now.
        let is_current = |at: Moment| now < at + 2 * ASKED_EVERY;
        let writer = scenario.writer(now);
        let misled = [
            dns_told.is_some_and(|(told, at)| is_current(at) && told != writer),
            writer_told.is_some_and(|(told, at)| is_current(at) && told != scenario.hosts[writer].1),
            false,
        ];
        // One that misled at any of these moments misleads; an honest one must have been readable at both.
        let is_honest = |((then, now), misled): ((Option<bool>, Option<bool>), bool)| match (then, now) {
            (Some(false), _) | (_, Some(false)) => Some(false),
            (Some(true), Some(true)) => Some(!misled),
            _ => misled.then_some(false),
        };
        let readable: Vec<bool> = then.into_iter().zip(is_honest_at(now)).zip(misled).filter_map(is_honest).collect();
        let honest = readable.iter().filter(|is_honest| **is_honest).count();
        WrongWay { at: now, honest, misleading: readable.len() - honest }
    }

    /// Checks a deregistration as it was asked for.
    pub(crate) fn examine_request(&self, targets: &[DescribedTarget]) {
        if let Some(draining) = targets.iter().find(|target| target.state == TargetState::Draining) {
            let text = format_args!("{draining} was deregistered while it was described as draining");
            self.world().violate(Invariant::DrainingIsLeftAlone, text);
        }
    }

    /// Checks an invocation that returned no error. `claims_in_sync` is whether it says that the group is right.
    pub(crate) fn examine_success(&self, claims_in_sync: bool) {
        let audit = self.audit();
        // A run that ends without a claim says itself what it waits for.
        let shown = audit.shown.iter().flatten().filter(|target| target.is_member());
        let is_one = shown.clone().count() == 1 && shown.clone().all(|target| target.port == PORT);
        let problem = if audit.shown.is_none() {
            "the target group was never read"
        } else if claims_in_sync && audit.group_failed {
            "its last call to the target group failed and it says that the group is right"
        } else if audit.dns_asked && !audit.dns_answered {
            "DNS never answered"
        } else if claims_in_sync && !is_one {
            "it says that the group is right, and the group it was shown has not exactly one member on the port"
        } else {
            return;
        };
        let text = format!("invocation {} succeeded although {problem}", audit.invocation);
        drop(audit);
        self.world().violate(Invariant::FailsLoudly, text);
    }
}

fn list(targets: &[Target]) -> String {
    targets.iter().map(Target::to_string).collect::<Vec<_>>().join(", ")
}
