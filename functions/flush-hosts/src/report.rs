//! The report: what a run saw and did. One record with three renderings: the result, the log line,
//! the metrics.

use std::collections::BTreeSet;
use std::time::Duration;

use platform::connect_error::HostPort;
use reconcile::VERSION;
use reconcile::metrics;
use reconcile::report::{Failure, milliseconds};
use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};
use serde_json::{Value, json};

use crate::cache::Summary;
use crate::ports::DbInstance;
use crate::version::Statement;

/// What became of every instance in one run.
#[derive(Clone, Debug)]
pub struct Report {
    /// The identifier of the DB cluster or instance.
    pub database: String,
    /// Whether the run only looked.
    pub dry_run: bool,
    /// How long the run took.
    pub elapsed: Duration,
    /// One entry an instance, in the order of the RDS API.
    pub instances: Vec<InstanceReport>,
}

impl Report {
    /// The instances that failed, and why.
    pub fn failures(&self) -> impl Iterator<Item = (&InstanceReport, &Failure)> {
        self.instances.iter().filter_map(|instance| Some((instance, instance.error.as_ref()?)))
    }

    /// The metrics, as [`metrics::line`] writes them. `HostCacheFill` and `HostsBlocked` are known
    /// if a cache could be read, `FlushFailed` if the run was to flush: one that only looked says
    /// nothing of the next that flushes.
    pub fn metrics(&self, timestamp: i64) -> Option<Value> {
        let summaries = || self.instances.iter().filter_map(|instance| instance.cache.as_ref());
        let fill = summaries().map(|cache| cache.fill_percent).reduce(f64::max);
        let blocked: BTreeSet<&String> = summaries().flat_map(|cache| &cache.blocked).collect();
        let values = [
            ("HostsBlocked", "Count", fill.map(|_| json!(blocked.len()))),
            ("FlushFailed", "Count", (!self.dry_run).then(|| json!(self.failures().count()))),
            ("HostCacheFill", "Percent", fill.map(Value::from)),
        ];
        metrics::line(("Database", &self.database), &values, timestamp)
    }
}

impl Serialize for Report {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("version", VERSION)?;
        map.serialize_entry("database", &self.database)?;
        map.serialize_entry("dryRun", &self.dry_run)?;
        map.serialize_entry("elapsedMs", &milliseconds(self.elapsed))?;
        map.serialize_entry("instances", &self.instances)?;
        map.end()
    }
}

/// What became of an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// Its host cache was emptied.
    Flushed,
    /// Its host cache was read, and a dry run left it as it was.
    WouldFlush,
    /// It takes no connections now, as its status says.
    Skipped,
    /// The error says why, and the other fields what was seen.
    Failed,
}

impl State {
    /// The name in results and logs.
    pub fn name(self) -> &'static str {
        match self {
            State::Flushed => "flushed",
            State::WouldFlush => "would-flush",
            State::Skipped => "skipped",
            State::Failed => "failed",
        }
    }
}

/// What was seen and done on one instance.
#[derive(Clone, Debug, Default)]
pub struct InstanceReport {
    /// The DB instance identifier.
    pub instance: String,
    /// The status in the RDS API.
    pub status: String,
    /// Where a session was asked for; absent if the instance was skipped.
    pub endpoint: Option<HostPort>,
    /// Whether the run only looked.
    pub dry_run: bool,
    /// The answer to `SELECT VERSION()`.
    pub version: Option<String>,
    /// The statement that was, or in a dry run would be, executed.
    pub statement: Option<Statement>,
    /// Whether the server confirmed the statement.
    pub has_flushed: bool,
    /// The server's `max_connect_errors`.
    pub max_connect_errors: Option<u64>,
    /// The host cache before the flush, if it could be read.
    pub cache: Option<Summary>,
    /// Why the host cache could not be read, and what would make it readable.
    pub cache_problem: Option<String>,
    /// Why the instance could not be flushed.
    pub error: Option<Failure>,
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

    /// What became of the instance.
    pub fn state(&self) -> State {
        if self.error.is_some() {
            State::Failed
        } else if self.endpoint.is_none() {
            State::Skipped
        } else if self.dry_run {
            State::WouldFlush
        } else {
            State::Flushed
        }
    }

    /// The addresses that are blocked, or were since the last flush; empty if the cache could not
    /// be read.
    pub fn blocked(&self) -> &[String] {
        self.cache.as_ref().map_or(&[], |cache| &cache.blocked)
    }
}

/// In the order in which a person reads it: what, how it ended, why, and then the details.
impl Serialize for InstanceReport {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let cache = self.cache.as_ref();
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("instance", &self.instance)?;
        map.serialize_entry("status", &self.status)?;
        map.serialize_entry("state", &self.state())?;
        map.serialize_entry("error", &self.error)?;
        map.serialize_entry("version", &self.version)?;
        map.serialize_entry("statement", &self.statement.map(Statement::sql))?;
        map.serialize_entry("cacheReadable", &cache.is_some())?;
        map.serialize_entry("cacheProblem", &self.cache_problem)?;
        map.serialize_entry("maxConnectErrors", &self.max_connect_errors)?;
        map.serialize_entry("fillPercent", &cache.map(|cache| cache.fill_percent))?;
        map.serialize_entry("errorsPerHour", &cache.map(|cache| cache.errors_per_hour))?;
        map.serialize_entry("blocked", self.blocked())?;
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(change: impl FnOnce(&mut InstanceReport)) -> InstanceReport {
        let endpoint = Some(HostPort { host: "orders-a.rds".into(), port: 3306 });
        let mut report =
            InstanceReport { instance: "orders-a".into(), endpoint, ..Default::default() };
        change(&mut report);
        report
    }

    fn cache(fill_percent: f64, blocked: &[&str]) -> Option<Summary> {
        let blocked = blocked.iter().map(|address| (*address).to_owned()).collect();
        Some(Summary { fill_percent, errors_per_hour: 12.0, blocked })
    }

    fn failure() -> Option<Failure> {
        Some(Failure { kind: "Timeout", message: "no session".into() })
    }

    fn run(instances: Vec<InstanceReport>) -> Report {
        Report {
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
            assert_eq!(report.state(), expected, "{report:?}");
            assert_eq!(serde_json::to_value(expected).expect("JSON"), expected.name());
        }
    }

    #[test]
    fn the_result_has_every_field_and_null_for_what_is_unknown() {
        let seen = report(|report| {
            report.status = "available".into();
            report.version = Some("8.4.7".into());
            report.statement = Some(Statement::TruncateHostCache);
            report.max_connect_errors = Some(100);
            report.cache = cache(42.0, &["10.0.0.1"]);
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
        let fuller = report(|report| report.cache = cache(80.0, &["10.0.0.1", "10.0.0.2"]));
        let emptier = report(|report| report.cache = cache(3.0, &["10.0.0.1"]));
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
        let seen = dry(report(|report| report.cache = cache(3.0, &[])));
        let metrics = seen.metrics(0).expect("a line");
        assert_eq!((metrics.get("FlushFailed"), &metrics["HostsBlocked"]), (None, &json!(0)));
        assert_eq!(dry(report(|report| report.error = failure())).metrics(0), None);
    }
}
