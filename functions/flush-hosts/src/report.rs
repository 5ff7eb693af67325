//! The report: what a run saw and did, rendered as the result, the log line and the metrics.

use std::collections::BTreeSet;
use std::time::Duration;

use base::database::HostPort;
use base::report::{Failure, metrics_line, serialize_milliseconds};
use serde::{Serialize, Serializer};
use serde_json::{Value, json};

use crate::cache::Summary;
use crate::ports::DbInstance;
use crate::version::Statement;

/// What became of every instance in one run.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// The version of the function.
    pub version: &'static str,
    /// The identifier of the DB cluster or instance.
    pub database: String,
    /// Whether the run only looked.
    pub dry_run: bool,
    /// How long the run took.
    #[serde(rename = "elapsedMs", serialize_with = "serialize_milliseconds")]
    pub elapsed: Duration,
    /// One entry an instance, in the order of the RDS API.
    pub instances: Vec<InstanceReport>,
}

impl Report {
    /// The instances that failed, and why.
    pub fn failures(&self) -> impl Iterator<Item = (&InstanceReport, &Failure)> {
        self.instances.iter().filter_map(|instance| Some((instance, instance.error.as_ref()?)))
    }

    /// The metrics. `FlushFailed` is unknown of a dry run: it says nothing of one that flushes.
    pub fn metrics(&self, timestamp: i64) -> Option<Value> {
        let instances = || self.instances.iter();
        let fill = instances().filter_map(|instance| instance.fill_percent).reduce(f64::max);
        let blocked: BTreeSet<_> = instances().flat_map(|instance| &instance.blocked).collect();
        let values = [
            ("HostsBlocked", "Count", fill.map(|_| json!(blocked.len()))),
            ("FlushFailed", "Count", (!self.dry_run).then(|| json!(self.failures().count()))),
            ("HostCacheFill", "Percent", fill.map(Value::from)),
        ];
        metrics_line(("Database", &self.database), &values, timestamp)
    }
}

/// What became of an instance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, strum::Display, Serialize)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum State {
    /// Its host cache was emptied.
    Flushed,
    /// Its host cache was read, and a dry run left it as it was.
    WouldFlush,
    /// It takes no connections now, as its status says.
    #[default]
    Skipped,
    /// The error says why, and the other fields what was seen.
    Failed,
}

/// What was seen and done on one instance, in a person's reading order. What is unknown is null.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct InstanceReport {
    /// The DB instance identifier.
    pub instance: String,
    /// The status in the RDS API.
    pub status: String,
    /// What became of it, once the run has [ended](InstanceReport::end).
    pub state: State,
    /// Why the instance could not be flushed.
    pub error: Option<Failure>,
    /// The answer to `SELECT VERSION()`.
    pub version: Option<String>,
    /// The statement that was, or in a dry run would be, executed.
    #[serde(serialize_with = "sql")]
    pub statement: Option<Statement>,
    /// Whether the host cache could be read.
    pub cache_readable: bool,
    /// Why it could not be read, and what would make it readable.
    pub cache_problem: Option<String>,
    /// The server's `max_connect_errors`.
    pub max_connect_errors: Option<u64>,
    /// The highest count in percent of the limit, before the flush.
    pub fill_percent: Option<f64>,
    /// Handshake errors per hour of the address with the highest count.
    pub errors_per_hour: Option<f64>,
    /// The addresses that are blocked, or were since the last flush.
    pub blocked: Vec<String>,

    /// Where a session was asked for; absent if the instance was skipped.
    #[serde(skip)]
    pub endpoint: Option<HostPort>,
    /// Whether the run only looked.
    #[serde(skip)]
    pub dry_run: bool,
    /// Whether the server confirmed the statement.
    #[serde(skip)]
    pub has_flushed: bool,
}

impl InstanceReport {
    /// A report with nothing seen yet.
    pub fn new(instance: &DbInstance, dry_run: bool) -> InstanceReport {
        InstanceReport {
            instance: instance.id.clone(),
            status: instance.status.clone(),
            dry_run,
            ..InstanceReport::default()
        }
    }

    pub(crate) fn record_cache(&mut self, cache: Summary) {
        let Summary { fill_percent, errors_per_hour, blocked } = cache;
        self.cache_readable = true;
        self.fill_percent = Some(fill_percent);
        self.errors_per_hour = Some(errors_per_hour);
        self.blocked = blocked;
    }

    /// The instance is done, and failed with this if anything.
    #[must_use]
    pub fn end(self, error: Option<Failure>) -> InstanceReport {
        let state = if error.is_some() {
            State::Failed
        } else if self.endpoint.is_none() {
            State::Skipped
        } else if self.dry_run {
            State::WouldFlush
        } else {
            State::Flushed
        };
        InstanceReport { state, error, ..self }
    }
}

fn sql<S: Serializer>(statement: &Option<Statement>, serializer: S) -> Result<S::Ok, S::Error> {
    statement.map(Statement::sql).serialize(serializer)
}

#[cfg(test)]
mod tests {
    use base::VERSION;

    use super::*;

    fn report(change: impl FnOnce(&mut InstanceReport)) -> InstanceReport {
        let endpoint = Some(HostPort { host: "orders-a.rds".into(), port: 3306 });
        let mut report =
            InstanceReport { instance: "orders-a".into(), endpoint, ..Default::default() };
        change(&mut report);
        let error = report.error.take();
        report.end(error)
    }

    fn cache(fill_percent: f64, blocked: &[&str]) -> Summary {
        let blocked = blocked.iter().map(|address| (*address).to_owned()).collect();
        Summary { fill_percent, errors_per_hour: 12.0, blocked }
    }

    fn failure() -> Option<Failure> {
        Some(Failure { kind: "Timeout", message: "no session".into() })
    }

    fn run(instances: Vec<InstanceReport>) -> Report {
        Report {
            version: VERSION,
            database: "orders".into(),
            dry_run: false,
            elapsed: Duration::from_millis(40),
            instances,
        }
    }

    #[test]
    fn the_state_says_how_the_instance_ended() {
        for (expected, report) in [
            (State::Flushed, report(|_| {})),
            (State::WouldFlush, report(|report| report.dry_run = true)),
            (State::Skipped, report(|report| report.endpoint = None)),
            (State::Skipped, report(|report| (report.endpoint, report.dry_run) = (None, true))),
            (State::Failed, report(|report| (report.error, report.dry_run) = (failure(), true))),
        ] {
            assert_eq!(report.state, expected, "{report:?}");
            assert_eq!(serde_json::to_value(expected).expect("JSON"), expected.to_string());
        }
    }

    #[test]
    fn the_result_has_every_field_and_null_for_what_is_unknown() {
        let seen = report(|report| {
            report.status = "available".into();
            report.version = Some("8.4.7".into());
            report.statement = Some(Statement::TruncateHostCache);
            report.max_connect_errors = Some(100);
            report.record_cache(cache(42.0, &["10.0.0.1"]));
        });
        let blank = report(|report| (report.status, report.endpoint) = ("stopped".into(), None));
        let expected = json!({
            "version": VERSION,
            "database": "orders",
            "dryRun": false,
            "elapsedMs": 40.0,
            "instances": [
                {
                    "instance": "orders-a", "status": "available", "state": "flushed",
                    "version": "8.4.7", "cacheReadable": true, "cacheProblem": null,
                    "statement": "TRUNCATE TABLE performance_schema.host_cache",
                    "maxConnectErrors": 100, "fillPercent": 42.0, "errorsPerHour": 12.0,
                    "blocked": ["10.0.0.1"], "error": null,
                },
                {
                    "instance": "orders-a", "status": "stopped", "state": "skipped",
                    "version": null, "cacheReadable": false, "cacheProblem": null,
                    "statement": null,
                    "maxConnectErrors": null, "fillPercent": null, "errorsPerHour": null,
                    "blocked": [], "error": null,
                },
            ],
        });
        assert_eq!(serde_json::to_value(run(vec![seen, blank])).expect("JSON"), expected);
    }

    #[test]
    fn the_metrics_take_the_highest_fill_and_count_each_address_once() {
        let fuller = report(|report| report.record_cache(cache(80.0, &["10.0.0.1", "10.0.0.2"])));
        let emptier = report(|report| report.record_cache(cache(3.0, &["10.0.0.1"])));
        let failed = report(|report| report.error = failure());
        let metrics = run(vec![emptier, fuller, failed]).metrics(0).expect("a line");
        let numbers =
            ["HostCacheFill", "HostsBlocked", "FlushFailed"].map(|name| metrics[name].as_f64());
        assert_eq!(numbers, [Some(80.0), Some(2.0), Some(1.0)]);
    }

    #[test]
    fn what_nobody_could_read_is_not_reported_as_zero() {
        let metrics = run(vec![report(|_| {})]).metrics(0).expect("a line");
        let numbers =
            ["HostCacheFill", "HostsBlocked", "FlushFailed"].map(|name| metrics[name].as_f64());
        assert_eq!(numbers, [None, None, Some(0.0)], "{metrics}");
    }

    #[test]
    fn a_run_that_only_looks_does_not_speak_of_flushing() {
        let dry = |instance| Report { dry_run: true, ..run(vec![instance]) };
        let seen = dry(report(|report| report.record_cache(cache(3.0, &[]))));
        let metrics = seen.metrics(0).expect("a line");
        assert_eq!((metrics.get("FlushFailed"), &metrics["HostsBlocked"]), (None, &json!(0)));
        assert_eq!(dry(report(|report| report.error = failure())).metrics(0), None);
    }
}
