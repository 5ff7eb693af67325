//! The report: what a run saw and did. One record with three renderings: the result, the log line,
//! the metrics.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};
use serde_json::{Value, json};

use crate::VERSION;
use crate::binding::Binding;
use crate::claim::Role;
use crate::evidence::{Evidence, Topology};
use crate::metrics;
use crate::plan::Plan;
use crate::reason::Reason;
use crate::target::{Addresses, DescribedTarget, Target};
use crate::trigger::Trigger;
use crate::verdict::Verdict;

/// What became of every binding in one run.
#[derive(Clone, Debug)]
pub struct Report {
    /// What started the run: `failover`, `schedule` or `manual`.
    pub trigger: String,
    /// Whether the run only said what it would do.
    pub dry_run: bool,
    /// One entry a binding, in the order of the configuration.
    pub bindings: Vec<BindingReport>,
}

impl Report {
    /// A report of the run's bindings.
    pub fn new(trigger: &Trigger, bindings: Vec<BindingReport>) -> Report {
        Report { trigger: trigger.cause.to_string(), dry_run: trigger.dry_run, bindings }
    }

    /// The bindings that failed.
    pub fn failures(&self) -> impl Iterator<Item = &BindingReport> {
        self.bindings.iter().filter(|binding| binding.state() == State::Failed)
    }
}

impl Serialize for Report {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("version", VERSION)?;
        map.serialize_entry("trigger", &self.trigger)?;
        map.serialize_entry("dryRun", &self.dry_run)?;
        map.serialize_entry("bindings", &self.bindings)?;
        map.end()
    }
}

/// What became of a binding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// The group was right already.
    InSync,
    /// The group was wrong and is right now.
    Updated,
    /// The group is wrong and a dry run left it so.
    WouldUpdate,
    /// The witnesses disagree, and nothing was changed on the claim of one.
    Waiting,
    /// The run could not finish its work; the error says why, and the other fields say what was
    /// done.
    Failed,
}

impl State {
    /// The name in results and logs.
    pub fn name(self) -> &'static str {
        match self {
            State::InSync => "in-sync",
            State::Updated => "updated",
            State::WouldUpdate => "would-update",
            State::Waiting => "waiting",
            State::Failed => "failed",
        }
    }
}

/// What was seen and done for one binding.
#[derive(Clone, Debug, Default)]
pub struct BindingReport {
    /// The binding's name.
    pub binding: String,
    /// The endpoint's name or address.
    pub endpoint: String,
    /// The addresses of the last answer; empty if there was none.
    pub resolved: Vec<IpAddr>,
    /// The addresses of the writer as the RDS API knows it; absent if it was not asked or gave no
    /// answer.
    pub topology: Option<Vec<IpAddr>>,
    /// Whether the RDS API gave no answer when it was asked last; absent if it was not asked.
    pub is_topology_silent: Option<bool>,
    /// Why the RDS API names no writer although it answered; absent if it names one, or was not
    /// asked.
    pub without_writer: Option<&'static str>,
    /// Whether the witnesses named different writers, by whichever rule the verdict was made;
    /// absent if nobody but DNS was asked, or the binding follows no one writer.
    pub witnesses_disagree: Option<bool>,
    /// The addresses of the instance that a failover event names; absent without such an event or
    /// topology.
    pub event: Option<Vec<IpAddr>>,
    /// What each database gave as its role when it was asked last, such as `writer`, or that it
    /// gave no answer.
    pub databases: Vec<(IpAddr, &'static str)>,
    /// `address:port` of each target that was, or in a dry run would be, registered.
    pub registered: Vec<String>,
    /// `address:port` of each target that was, or in a dry run would be, deregistered.
    pub deregistered: Vec<String>,
    /// Each target that stayed registered.
    pub kept: Vec<Target>,
    /// Each registered target that the load balancer sends nothing, because no listener uses the
    /// group or because it has no subnet in the target's Availability Zone (`Target.NotInUse`).
    pub not_in_use: Vec<Target>,
    /// How often DNS and the target group were looked at.
    pub observations: u32,
    /// How many observations got no usable answer from DNS.
    pub dns_failures: u32,
    /// How many targets had to come or go for the group to be what it should be, when it was last
    /// looked at: what the verdict would change, or where there was none, what DNS would. Absent if
    /// nobody knew.
    pub targets_wrong: Option<usize>,
    /// How long the first look at DNS and the target group took.
    pub observe_latency: Option<Duration>,
    /// From the time of the RDS event that started the run until the group was seen right after a
    /// switch.
    pub switch_latency: Option<Duration>,
    /// From the binding's first look to its last.
    pub elapsed: Duration,
    /// Whether the run was a dry run.
    pub dry_run: bool,
    /// The ids of the RDS events that started the run, as far as they have one.
    pub rds_events: Vec<String>,
    /// Which rule made the last verdict, or if the group was changed, the last change, and by whose
    /// claims; absent if nothing was decided.
    pub reason: Option<Reason>,
    /// Whether the run ended without a verdict that it could act on.
    pub is_waiting: bool,
    /// Whether the function's time ended the watch; the last look found the group right.
    pub is_cut_short: bool,
    /// Why the run could not finish.
    pub error: Option<Failure>,
}

/// What the report says of a database that was asked and did not answer.
const NO_ANSWER: &str = "no answer";

/// Why a binding failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Failure {
    /// A stable name, such as `EndpointNotResolved`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// The whole chain of causes.
    pub message: String,
}

impl BindingReport {
    /// A report with nothing seen yet.
    pub fn new(binding: &Binding, trigger: &Trigger) -> BindingReport {
        let own = trigger
            .events
            .iter()
            .filter(|event| event.is_from_database_of(binding) || event.concerns(binding));
        BindingReport {
            binding: binding.name.clone(),
            endpoint: binding.endpoint.to_string(),
            dry_run: trigger.dry_run,
            rds_events: own.filter_map(|event| event.id.clone()).take(20).collect(),
            ..BindingReport::default()
        }
    }

    /// What became of the binding.
    pub fn state(&self) -> State {
        if self.error.is_some() {
            State::Failed
        } else if self.is_waiting {
            State::Waiting
        } else if !self.is_changed() {
            State::InSync
        } else if self.dry_run {
            State::WouldUpdate
        } else {
            State::Updated
        }
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
        self.topology = evidence.topology(now).and_then(Topology::writer).map(list);
        self.is_topology_silent = evidence.is_topology_silent();
        self.without_writer = evidence.without_writer();
        self.witnesses_disagree =
            evidence.disagrees(now).filter(|_| binding.kind.is_single_writer());
        self.event = evidence.event_writer(now).map(|(named, _)| list(named));
        self.databases = evidence
            .roles()
            .map(|(address, role)| (address, role.map_or(NO_ANSWER, Role::name)))
            .collect();
        let members = evidence.group.targets().iter().filter(|target| target.is_registered());
        let is_old =
            |it: &Target| self.registered.is_empty() || !self.registered.contains(&it.to_string());
        self.kept = members.filter_map(DescribedTarget::target).filter(is_old).collect();
        let not_in_use = evidence.group.targets().iter().filter(|target| target.is_not_in_use());
        self.not_in_use = not_in_use.filter_map(DescribedTarget::target).collect();
        let wrong = |plan: &Plan| plan.register.len() + plan.deregister.len();
        let by_dns = || {
            Some(wrong(&Plan::new(
                evidence.last_dns_answer()?,
                binding.port,
                evidence.group.targets(),
            )))
        };
        self.is_waiting = matches!(verdict, Verdict::Wait(_));
        let (targets_wrong, reason) = match verdict {
            Verdict::InSync(reason) => (Some(0), Some(reason)),
            Verdict::Switch(plan, reason) => (Some(wrong(plan)), Some(reason)),
            Verdict::Wait(reason) if reason.lacks_dns_answer() => (None, Some(reason)),
            // Nobody knows who is right; then what DNS would change.
            Verdict::Wait(reason) => (by_dns(), Some(reason)),
            Verdict::Refuse(_) => (None, None),
        };
        self.targets_wrong = targets_wrong;
        if !(self.is_changed() && matches!(verdict, Verdict::InSync(_))) {
            self.reason = reason.cloned();
        }
    }

    /// What an earlier look saw says nothing about one that failed.
    pub fn clear_verdict(&mut self) {
        (self.targets_wrong, self.reason, self.is_waiting) = (None, None, false);
        self.witnesses_disagree = None;
    }

    /// Notes what a dry run would do.
    pub fn record_dry_run(&mut self, plan: &Plan) {
        self.registered = strings(&plan.register);
        self.deregistered = strings(&plan.deregister);
        self.kept = plan.keep.clone();
    }

    /// Whether something was, or in a dry run would be, registered or deregistered.
    pub fn is_changed(&self) -> bool {
        !self.registered.is_empty() || !self.deregistered.is_empty()
    }

    /// Which rule made the verdict and by whose claims, and why the RDS API has no part in it
    /// although it answered.
    pub fn why(&self) -> Option<String> {
        let note = self.without_writer.map(|note| format!("; {note}")).unwrap_or_default();
        self.reason.as_ref().map(|reason| format!("{reason}{note}"))
    }

    /// Whether any database that was asked answered.
    fn has_role(&self) -> bool {
        self.databases.iter().any(|(_, role)| *role != NO_ANSWER)
    }

    /// The metrics, as [`metrics::line`] writes them.
    ///
    /// The one dimension is `Binding`, as `function/binding`: functions have different names in an
    /// account, and their bindings need not. Whether the witnesses disagree is known only if
    /// another than DNS answered, and is what they said, whichever rule won.
    pub fn metrics(&self, function: &str, timestamp: i64) -> Option<Value> {
        let is_in_sync = matches!(self.state(), State::InSync | State::Updated);
        let is_disputed = self.witnesses_disagree == Some(true)
            || self.reason.as_ref().is_some_and(Reason::is_contradiction);
        let has_other_witness = is_disputed
            || self.witnesses_disagree.is_some()
            || self.topology.is_some()
            || self.event.is_some()
            || self.has_role();
        let count = |value: bool| json!(u8::from(value));
        let time =
            |duration: Option<Duration>| duration.map(|duration| json!(milliseconds(duration)));
        let values = [
            ("InSync", "Count", Some(count(is_in_sync))),
            ("TargetsWrong", "Count", self.targets_wrong.map(Value::from)),
            // Also of a run that failed or waits after it.
            ("Switches", "Count", Some(count(self.is_changed() && !self.dry_run))),
            ("DnsFailures", "Count", Some(json!(self.dns_failures))),
            ("ProbeSilent", "Count", (!self.databases.is_empty()).then(|| count(!self.has_role()))),
            ("TopologySilent", "Count", self.is_topology_silent.map(count)),
            ("WitnessDisagreement", "Count", has_other_witness.then(|| count(is_disputed))),
            ("ObserveLatency", "Milliseconds", time(self.observe_latency)),
            ("SwitchLatency", "Milliseconds", time(self.switch_latency)),
            ("Elapsed", "Milliseconds", time(Some(self.elapsed))),
        ];
        metrics::line(("Binding", &format!("{function}/{}", self.binding)), &values, timestamp)
    }
}

/// In the order in which a person reads it: what, how it ended, why, and then the details.
impl Serialize for BindingReport {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("binding", &self.binding)?;
        map.serialize_entry("state", &self.state())?;
        if let Some(error) = &self.error {
            map.serialize_entry("error", error)?;
        }
        if let Some(reason) = self.why() {
            map.serialize_entry("reason", &reason)?;
        }
        if self.is_cut_short {
            map.serialize_entry("cutShort", &true)?;
        }
        map.serialize_entry("endpoint", &self.endpoint)?;
        map.serialize_entry("resolved", &self.resolved)?;
        map.serialize_entry("registered", &self.registered)?;
        map.serialize_entry("deregistered", &self.deregistered)?;
        map.serialize_entry("kept", &strings(&self.kept))?;
        if !self.not_in_use.is_empty() {
            map.serialize_entry("notInUse", &strings(&self.not_in_use))?;
        }
        map.serialize_entry(
            "witnesses",
            &json!({"dns": self.resolved, "topology": self.topology, "event": self.event}),
        )?;
        if !self.databases.is_empty() {
            let roles: BTreeMap<_, _> = self.databases.iter().copied().collect();
            map.serialize_entry("databases", &roles)?;
        }
        map.serialize_entry("observations", &self.observations)?;
        map.serialize_entry("elapsedMs", &milliseconds(self.elapsed))?;
        map.end()
    }
}

/// Milliseconds with three decimals, as the result and the metrics give them.
pub fn milliseconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1_000_000.0).round() / 1000.0
}

/// The text of each item.
pub fn strings<T: ToString>(items: &[T]) -> Vec<String> {
    items.iter().map(T::to_string).collect()
}

#[cfg(test)]
mod tests;
