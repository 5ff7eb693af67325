//! The report: what a run saw and did, rendered as the result, the log line and the metrics.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::net::IpAddr;
use std::time::Duration;

use base::VERSION;
use base::report::{Failure, metrics_line, milliseconds, serialize_milliseconds};
use chrono::{DateTime, Utc};
use serde::Serialize;
use serde::ser::Serializer;
use serde_json::{Value, json};

use crate::binding::Binding;
use crate::claim::Role;
use crate::evidence::Evidence;
use crate::path::{Followed, PathState, PathVerdict, Round};
use crate::plan::{Mode, Plan};
use crate::reason::Reason;
use crate::target::{Addresses, DescribedTarget, Target, strings};
use crate::topology::Topology;
use crate::trigger::{Cause, Trigger};
use crate::verdict::Verdict;

/// What became of every binding in one run.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// The version of the function.
    pub version: &'static str,
    /// What started the run.
    pub trigger: Cause,
    /// Whether the function changes anything.
    pub mode: Mode,
    /// Whether the payload asked only what would be done.
    pub dry_run: bool,
    /// One entry a binding, in the order of the configuration.
    pub bindings: Vec<BindingReport>,
}

impl Report {
    /// A report of the run's bindings.
    pub fn new(trigger: &Trigger, mode: Mode, bindings: Vec<BindingReport>) -> Report {
        let Trigger { cause, dry_run, .. } = *trigger;
        Report { version: VERSION, trigger: cause, mode, dry_run, bindings }
    }

    /// The bindings that failed, and why.
    pub fn failures(&self) -> impl Iterator<Item = (&BindingReport, &Failure)> {
        self.bindings.iter().filter_map(|binding| Some((binding, binding.error.as_ref()?)))
    }
}

/// What became of a binding.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, strum::Display, Serialize)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum State {
    /// The group was right already.
    #[default]
    InSync,
    /// The group was wrong and is right now.
    Updated,
    /// The group is wrong, and the run was only to say so.
    WouldUpdate,
    /// The witnesses disagree, and nothing was changed on the claim of one.
    Waiting,
    /// The run could not finish: the error says why, the other fields what was done.
    Failed,
}

/// What was seen and done for one binding, in the order in which a person reads it.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BindingReport {
    /// The binding's name.
    pub binding: String,
    /// What became of it, once the run has [ended](BindingReport::end).
    pub state: State,
    /// Why the run could not finish.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<Failure>,
    /// The rule and claims behind the last change, or if there was none, the last verdict.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "text")]
    pub reason: Option<Reason>,
    /// Why the RDS API names no writer although it answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<&'static str>,
    /// Whether the function's time ended the watch; the last look found the group right.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub cut_short: bool,
    /// The endpoint's name or address.
    pub endpoint: String,
    /// The addresses of the last answer; empty if there was none.
    pub resolved: Vec<IpAddr>,
    /// Each target that was, or if the run only observes would be, registered.
    #[serde(serialize_with = "texts")]
    pub registered: Vec<Target>,
    /// Each target that was, or if the run only observes would be, deregistered.
    #[serde(serialize_with = "texts")]
    pub deregistered: Vec<DescribedTarget>,
    /// Each target that stayed registered.
    #[serde(serialize_with = "texts")]
    pub kept: Vec<Target>,
    /// Each registered target that the load balancer sends nothing (`Target.NotInUse`).
    #[serde(skip_serializing_if = "Vec::is_empty", serialize_with = "texts")]
    pub not_in_use: Vec<Target>,
    /// When the run would first have changed the group, if it only observes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub would_switch_at: Option<DateTime<Utc>>,
    /// Who named the writer, and where.
    pub witnesses: Witnesses,
    /// Which role each database gave when it was asked last, or nothing if it gave no answer.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", serialize_with = "roles")]
    pub databases: BTreeMap<IpAddr, Option<Role>>,
    /// Where a new session through each address of the load balancer ended, if it was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<BTreeMap<IpAddr, PathState>>,
    /// What is to be known about the path.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path_note: Option<String>,
    /// How long after the registration the load balancer led to the writer.
    #[serde(
        rename = "registerToPathMs",
        skip_serializing_if = "Option::is_none",
        serialize_with = "serialize_milliseconds"
    )]
    pub register_to_path: Option<Duration>,
    /// How long after the RDS event it did.
    #[serde(
        rename = "eventToPathMs",
        skip_serializing_if = "Option::is_none",
        serialize_with = "serialize_milliseconds"
    )]
    pub event_to_path: Option<Duration>,
    /// How often DNS and the target group were looked at.
    pub observations: u32,
    /// From the binding's first look to its last.
    #[serde(rename = "elapsedMs", serialize_with = "serialize_milliseconds")]
    pub elapsed: Duration,

    /// Whether the function changes anything.
    #[serde(skip)]
    pub mode: Mode,
    /// Whether the payload asked only what would be done.
    #[serde(skip)]
    pub dry_run: bool,
    /// The ids of the RDS events that started the run, as far as they have one.
    #[serde(skip)]
    pub rds_events: Vec<String>,
    /// Whether the run ended without a verdict that it could act on.
    #[serde(skip)]
    pub is_waiting: bool,
    /// Whether the RDS API gave no answer when it was asked last; absent if it was not asked.
    #[serde(skip)]
    pub is_topology_silent: Option<bool>,
    /// Whether the witnesses named different writers, whichever rule won; absent if only DNS was
    /// asked, or the binding follows no one writer.
    #[serde(skip)]
    pub witnesses_disagree: Option<bool>,
    /// How many observations got no usable answer from DNS.
    #[serde(skip)]
    pub dns_failures: u32,
    /// How many targets the last verdict would change, or without one, DNS; absent if unknown.
    #[serde(skip)]
    pub targets_wrong: Option<usize>,
    /// How long the first look at DNS and the target group took.
    #[serde(skip)]
    pub observe_latency: Option<Duration>,
    /// From the time of the RDS event until the group was seen right after a switch.
    #[serde(skip)]
    pub switch_latency: Option<Duration>,
    /// Whether every address of the load balancer led to the writer; absent if nothing follows.
    #[serde(skip)]
    pub is_path_up: Option<bool>,
}

/// The writer's addresses as each witness gave them last.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Witnesses {
    /// DNS; empty if it gave no answer.
    pub dns: Vec<IpAddr>,
    /// The RDS API; absent if it was not asked or gave no answer.
    pub topology: Option<Vec<IpAddr>>,
    /// The instance that a failover event names; absent without such an event or topology.
    pub event: Option<Vec<IpAddr>>,
}

impl BindingReport {
    /// A report with nothing seen yet.
    pub fn new(binding: &Binding, trigger: &Trigger, mode: Mode) -> BindingReport {
        let own = { trigger.events.iter() }
            .filter(|event| event.is_from_database_of(binding) || event.concerns(binding));
        BindingReport {
            binding: binding.name.clone(),
            endpoint: binding.endpoint.to_string(),
            mode,
            dry_run: trigger.dry_run,
            rds_events: own.filter_map(|event| event.id.clone()).take(20).collect(),
            ..BindingReport::default()
        }
    }

    /// The run is over, and failed with this if anything.
    #[must_use]
    pub fn end(self, error: Option<Failure>, elapsed: Duration) -> BindingReport {
        let state = if error.is_some() {
            State::Failed
        } else if self.is_waiting {
            State::Waiting
        } else if !self.is_changed() {
            State::InSync
        } else if self.only_says() {
            State::WouldUpdate
        } else {
            State::Updated
        };
        BindingReport { state, error, elapsed, ..self }
    }

    /// Whether the run only says what it would do.
    fn only_says(&self) -> bool {
        self.dry_run || self.mode == Mode::Observe
    }

    /// Notes what was seen and decided last.
    pub fn record(
        &mut self,
        binding: &Binding,
        evidence: &Evidence,
        verdict: &Verdict,
        now: DateTime<Utc>,
    ) {
        let list = |addresses: &Addresses| addresses.iter().collect();
        self.resolved = evidence.last_dns_answer().map(list).unwrap_or_default();
        self.witnesses = Witnesses {
            dns: self.resolved.clone(),
            topology: evidence.topology(now).and_then(Topology::writer).map(list),
            event: evidence.event_writer(now).map(|(named, _)| list(named)),
        };
        self.is_topology_silent = evidence.is_topology_silent();
        self.note = evidence.without_writer();
        if binding.kind.is_single_writer() {
            self.witnesses_disagree = evidence.disagrees(now);
        }
        self.databases = evidence.roles().collect();
        self.is_waiting = matches!(verdict, Verdict::Wait(_));
        self.record_targets(evidence.group.targets(), verdict, now);

        let wrong = |plan: &Plan| plan.register.len() + plan.deregister.len();
        let by_dns = || {
            Some(wrong(&Plan::new(
                evidence.last_dns_answer()?,
                binding.port,
                evidence.group.targets(),
            )))
        };
        self.targets_wrong = match verdict {
            Verdict::InSync(_) => Some(0),
            Verdict::Switch(plan, _) => Some(wrong(plan)),
            // Nobody knows who is right; then what DNS would change.
            Verdict::Wait(reason) if !reason.lacks_dns_answer() => by_dns(),
            Verdict::Wait(_) | Verdict::Refuse(_) => None,
        };
        if !(self.is_changed() && matches!(verdict, Verdict::InSync(_))) {
            self.reason = verdict.reason().cloned();
        }
    }

    fn record_targets(
        &mut self,
        described: &[DescribedTarget],
        verdict: &Verdict,
        now: DateTime<Utc>,
    ) {
        let not_in_use = described.iter().filter(|target| target.is_not_in_use());
        self.not_in_use = not_in_use.filter_map(DescribedTarget::target).collect();
        if self.only_says() {
            let Plan { register, deregister, keep } = verdict.plan().cloned().unwrap_or_default();
            (self.registered, self.deregistered, self.kept) = (register, deregister, keep);
            if verdict.plan().is_some() {
                self.would_switch_at.get_or_insert(now);
                return;
            }
        }
        let members = described.iter().filter(|target| target.is_registered());
        let is_old = |target: &Target| !self.registered.contains(target);
        self.kept = members.filter_map(DescribedTarget::target).filter(is_old).collect();
    }

    /// These targets were registered. One that does not show for long is registered again.
    pub fn record_registration(&mut self, targets: &[Target]) {
        for target in targets {
            if !self.registered.contains(target) {
                self.registered.push(*target);
            }
        }
    }

    /// These targets were deregistered.
    pub fn record_deregistration(&mut self, targets: &[DescribedTarget]) {
        for target in targets {
            let is_it = |it: &DescribedTarget| (&it.id, it.port) == (&target.id, target.port);
            if !self.deregistered.iter().any(is_it) {
                self.deregistered.push(target.clone());
            }
        }
    }

    /// A round through the load balancer is over, and says this.
    pub fn record_path(&mut self, round: &Round, verdict: PathVerdict) {
        self.path = Some(round.states());
        self.path_note = round.note();
        self.is_path_up = verdict.is_up;
        if let Some(Followed { registration, event }) = verdict.followed {
            (self.register_to_path, self.event_to_path) = (Some(registration), event);
        }
    }

    /// What an earlier look saw says nothing about one that failed.
    pub fn clear_verdict(&mut self) {
        (self.targets_wrong, self.reason, self.is_waiting) = (None, None, false);
        self.witnesses_disagree = None;
    }

    /// Whether something was, or if the run only observes would be, registered or deregistered.
    pub fn is_changed(&self) -> bool {
        !self.registered.is_empty() || !self.deregistered.is_empty()
    }

    /// The metrics, as [`metrics_line`] writes them. The dimension `Binding` is `function/binding`:
    /// functions have different names in an account, their bindings need not.
    pub fn metrics(&self, function: &str, timestamp: i64) -> Option<Value> {
        let is_in_sync = matches!(self.state, State::InSync | State::Updated);
        let has_role = self.databases.values().any(Option::is_some);
        let is_disputed = self.witnesses_disagree == Some(true)
            || self.reason.as_ref().is_some_and(Reason::is_contradiction);
        let has_other_witness = is_disputed
            || has_role
            || self.witnesses_disagree.is_some()
            || self.witnesses.topology.is_some()
            || self.witnesses.event.is_some();
        let observes = self.mode == Mode::Observe;
        let count = |value: bool| json!(u8::from(value));
        let time = |duration: Option<Duration>| duration.map(|it| json!(milliseconds(it)));
        let values = [
            ("InSync", "Count", Some(count(is_in_sync))),
            ("TargetsWrong", "Count", self.targets_wrong.map(Value::from)),
            // Also of a run that failed or waits after it.
            ("Switches", "Count", Some(count(self.is_changed() && !self.only_says()))),
            ("Observing", "Count", Some(count(observes))),
            ("WouldSwitch", "Count", observes.then(|| count(self.would_switch_at.is_some()))),
            ("Differs", "Count", observes.then(|| count(self.state == State::WouldUpdate))),
            ("DnsFailures", "Count", Some(json!(self.dns_failures))),
            ("ProbeSilent", "Count", (!self.databases.is_empty()).then(|| count(!has_role))),
            ("TopologySilent", "Count", self.is_topology_silent.map(count)),
            ("WitnessDisagreement", "Count", has_other_witness.then(|| count(is_disputed))),
            ("ObserveLatency", "Milliseconds", time(self.observe_latency)),
            ("SwitchLatency", "Milliseconds", time(self.switch_latency)),
            ("PathUp", "Count", self.is_path_up.map(count)),
            ("PathLatency", "Milliseconds", time(self.register_to_path)),
            ("Elapsed", "Milliseconds", time(Some(self.elapsed))),
        ];
        metrics_line(("Binding", &format!("{function}/{}", self.binding)), &values, timestamp)
    }
}

/// What a database said when it was asked which role it has.
pub fn role_text(role: Option<Role>) -> String {
    role.map_or("no answer".to_owned(), |role| role.to_string())
}

/// Where each address of the load balancer led, in one line.
pub fn path_text(states: &BTreeMap<IpAddr, PathState>) -> String {
    let states = states.iter().map(|(address, state)| format!("{address} {state}"));
    states.collect::<Vec<_>>().join(", ")
}

fn text<T: Display, S: Serializer>(item: &Option<T>, serializer: S) -> Result<S::Ok, S::Error> {
    item.as_ref().map(T::to_string).serialize(serializer)
}

fn texts<T: Display, S: Serializer>(items: &[T], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(strings(items))
}

fn roles<S: Serializer>(
    databases: &BTreeMap<IpAddr, Option<Role>>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_map(databases.iter().map(|(address, role)| (address, role_text(*role))))
}

#[cfg(test)]
mod tests;
