//! A report's log lines and metrics. Where they go is decided in `platform::telemetry`.

use std::io::Write;

use base::database::HostPort;
use platform::telemetry::write_metrics;
use tracing::Level;

use crate::report::{InstanceReport, Report};
use crate::version::Statement;

/// One line for each instance, and one of metrics. `now` is in milliseconds since 1970.
pub fn publish(report: &Report, now: i64, metrics: &mut impl Write) {
    for instance in &report.instances {
        log(&report.database, instance);
    }
    write_metrics(report.metrics(now), metrics);
}

fn log(database: &str, report: &InstanceReport) {
    macro_rules! line {
        ($level:expr) => {
            tracing::event!(
                $level,
                database,
                instance = report.instance,
                status = report.status,
                endpoint = report.endpoint.as_ref().map(HostPort::to_string),
                state = %report.state,
                dry_run = report.dry_run,
                version = report.version,
                statement = report.statement.map(Statement::sql),
                max_connect_errors = report.max_connect_errors,
                fill_percent = report.fill_percent,
                errors_per_hour = report.errors_per_hour,
                blocked = report.blocked.join(","),
                cache_problem = report.cache_problem,
                error_type = report.error.as_ref().map(|error| error.kind),
                error = report.error.as_ref().map(|error| error.message.as_str()),
                "host cache"
            )
        };
    }
    if report.error.is_some() {
        line!(Level::ERROR)
    } else if !report.blocked.is_empty() || report.cache_problem.is_some() {
        line!(Level::WARN)
    } else {
        line!(Level::INFO)
    }
}
