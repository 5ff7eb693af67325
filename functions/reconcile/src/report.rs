//! The report: what a run saw and did. One record with three renderings: the result, the log line, the metrics.

use std::net::IpAddr;
use std::time::Duration;

use serde::Serialize;
use serde_json::{Value, json};

use crate::binding::Binding;
use crate::trigger::Trigger;

/// What became of every binding in one run.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
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
    /// The witnesses disagree, and nothing was changed on the word of one.
    Waiting,
    /// The run could not finish its work; the error says why, and the other fields say what was done.
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
    /// The addresses of the writer as the RDS API knows it; absent if it was not asked or gave no answer.
    pub topology: Option<Vec<IpAddr>>,
    /// `address:port` of each target that was, or in a dry run would be, registered.
    pub registered: Vec<String>,
    /// `address:port` of each target that was, or in a dry run would be, deregistered.
    pub deregistered: Vec<String>,
    /// `address:port` of each target that stayed a member.
    pub kept: Vec<String>,
    /// How often DNS and the target group were looked at.
    pub observations: u32,
    /// How many observations got no usable answer from DNS.
    pub dns_failures: u32,
    /// From the binding's first look to its last.
    pub elapsed: Duration,
    /// Whether the run was a dry run.
    pub dry_run: bool,
    /// What the run still waited for when it ended.
    pub waiting_for: Option<String>,
    /// Why the run could not finish.
    pub error: Option<Failure>,
}

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
    pub fn new(binding: &Binding, dry_run: bool) -> BindingReport {
        let (name, endpoint) = (binding.name.clone(), binding.endpoint.to_string());
        BindingReport { binding: name, endpoint, dry_run, ..BindingReport::default() }
    }

    /// What became of the binding.
    pub fn state(&self) -> State {
        if self.error.is_some() {
            State::Failed
        } else if self.waiting_for.is_some() {
            State::Waiting
        } else if !self.is_changed() {
            State::InSync
        } else if self.dry_run {
            State::WouldUpdate
        } else {
            State::Updated
        }
    }

    /// Whether something was, or in a dry run would be, registered or deregistered.
    pub fn is_changed(&self) -> bool {
        !self.registered.is_empty() || !self.deregistered.is_empty()
    }

    /// The metrics as one line of CloudWatch's embedded metric format.
    ///
    /// Source of the form: "Specification: Embedded metric format" of the CloudWatch guide: a root object with `_aws`,
    /// at most 100 metrics, the dimension a string member of the root. `timestamp` is in milliseconds since 1970.
    pub fn metrics(&self, timestamp: i64) -> Value {
        let is_in_sync = matches!(self.state(), State::InSync | State::Updated);
        let switches = u32::from(self.state() == State::Updated);
        json!({
            "_aws": {
                "Timestamp": timestamp,
                "CloudWatchMetrics": [{
                    "Namespace": METRIC_NAMESPACE,
                    "Dimensions": [["Binding"]],
                    "Metrics": [
                        {"Name": "InSync", "Unit": "Count"},
                        {"Name": "Switches", "Unit": "Count"},
                        {"Name": "DnsFailures", "Unit": "Count"},
                        {"Name": "Elapsed", "Unit": "Milliseconds"},
                    ],
                }],
            },
            "Binding": self.binding,
            "InSync": u32::from(is_in_sync),
            "Switches": switches,
            "DnsFailures": self.dns_failures,
            "Elapsed": milliseconds(self.elapsed),
        })
    }
}

/// The CloudWatch namespace of the metrics.
pub const METRIC_NAMESPACE: &str = "FailoverSync";

impl Serialize for BindingReport {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut report = json!({
            "binding": self.binding,
            "state": self.state(),
            "endpoint": self.endpoint,
            "resolved": self.resolved,
            "registered": self.registered,
            "deregistered": self.deregistered,
            "kept": self.kept,
            "witnesses": {"dns": self.resolved, "topology": self.topology},
            "observations": self.observations,
            "elapsedMs": milliseconds(self.elapsed),
        });
        if let Some(reason) = &self.waiting_for {
            report["waitingFor"] = json!(reason);
        }
        if let Some(error) = &self.error {
            report["error"] = json!(error);
        }
        report.serialize(serializer)
    }
}

/// Milliseconds with three decimals, as the result and the metrics give them.
fn milliseconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1_000_000.0).round() / 1000.0
}

/// The text of each item.
pub fn strings<T: ToString>(items: &[T]) -> Vec<String> {
    items.iter().map(T::to_string).collect()
}
