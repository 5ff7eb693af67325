//! A report's log lines and metrics. Where they go is decided in `platform::telemetry`.

use std::io::Write;
use std::net::IpAddr;

use platform::telemetry::write_metrics;
use reconcile::reason::Reason;
use reconcile::report::{BindingReport, Report, State, path_text, role_text};
use reconcile::target::strings;
use reconcile::trigger::Cause;
use tracing::Level;

/// One line for each binding, and its metrics. `now` is in milliseconds since 1970.
pub fn publish(report: &Report, function: &str, now: i64, metrics: &mut impl Write) {
    for binding in &report.bindings {
        log(report.trigger, binding);
        write_metrics(binding.metrics(function, now), metrics);
    }
}

fn log(trigger: Cause, report: &BindingReport) {
    let joined = |addresses: &Vec<IpAddr>| strings(addresses).join(",");
    let roles = { report.databases.iter() }
        .map(|(address, role)| format!("{address} {}", role_text(*role)))
        .collect::<Vec<_>>();
    macro_rules! line {
        ($level:expr) => {
            tracing::event!(
                $level,
                %trigger,
                binding = report.binding,
                state = %report.state,
                endpoint = report.endpoint,
                mode = %report.mode,
                dry_run = report.dry_run,
                rds_events = report.rds_events.join(","),
                resolved = joined(&report.resolved),
                topology = report.witnesses.topology.as_ref().map(joined),
                event = report.witnesses.event.as_ref().map(joined),
                databases = (!roles.is_empty()).then(|| roles.join(", ")),
                path = report.path.as_ref().map(path_text),
                path_note = report.path_note,
                register_to_path_ms = report.register_to_path.map(|it| it.as_millis() as u64),
                event_to_path_ms = report.event_to_path.map(|it| it.as_millis() as u64),
                registered = strings(&report.registered).join(","),
                deregistered = strings(&report.deregistered).join(","),
                kept = strings(&report.kept).join(","),
                observations = report.observations,
                elapsed_ms = report.elapsed.as_millis() as u64,
                reason = report.reason.as_ref().map(Reason::to_string),
                note = report.note,
                would_switch_at = report.would_switch_at.map(|at| at.to_rfc3339()),
                cut_short = report.cut_short,
                error_type = report.error.as_ref().map(|error| error.kind),
                error = report.error.as_ref().map(|error| error.message.as_str()),
                "reconciled"
            )
        };
    }
    if !report.not_in_use.is_empty() {
        let (binding, targets) = (&report.binding, strings(&report.not_in_use).join(","));
        tracing::warn!(
            binding,
            targets,
            "the load balancer sends nothing to these targets: give it a subnet in their \
             Availability Zones, and the target group a listener"
        );
    }
    match report.state {
        State::Failed => line!(Level::ERROR),
        State::Waiting => line!(Level::WARN),
        _ => line!(Level::INFO),
    }
}
