//! Logs and metrics on standard output, where Lambda collects them. `lambda_runtime`'s own
//! subscriber is not used: its lines carry no time, so Lambda files them under INFO whatever their
//! level; `RUST_LOG` beats the level that the console sets; and at WARN its lines lose the request
//! id.

use std::io::{self, Write};

use serde_json::Value;
use tracing::subscriber::SetGlobalDefaultError;
use tracing::{Subscriber, warn};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::time::ChronoUtc;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::{Layer, Registry};

/// Logs on standard output, as Lambda's variables say. `crates` are the function's own.
///
/// # Errors
/// When the process logs already.
pub fn start(
    crates: &[&'static str],
    variable: impl Fn(&str) -> Option<String>,
) -> Result<(), SetGlobalDefaultError> {
    let (format, level) = (variable("AWS_LAMBDA_LOG_FORMAT"), variable("AWS_LAMBDA_LOG_LEVEL"));
    let subscriber = subscriber(crates, format.as_deref(), level.as_deref(), io::stdout);
    tracing::subscriber::set_global_default(subscriber)?;
    Ok(())
}

/// Lines as JSON or text. The level holds for the given crates and this one; others log from WARN
/// up, because below that the SDK logs whole requests.
pub fn subscriber<W>(
    crates: &[&'static str],
    format: Option<&str>,
    level: Option<&str>,
    writer: W,
) -> impl Subscriber + Send + Sync
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let level = parse_level(level.unwrap_or_default());
    let targets = Targets::new()
        .with_targets(crates.iter().map(|name| (*name, level)))
        .with_target(env!("CARGO_CRATE_NAME"), level)
        // It repeats the handler's errors, which have a line. A panic is on standard error.
        .with_target("lambda_runtime::layers::panic", LevelFilter::OFF)
        .with_default(level.min(LevelFilter::WARN));
    Registry::default().with(lines(format != Some("JSON"), writer).with_filter(targets))
}

/// Writes a line of metrics, if there is one.
pub fn write_metrics(line: Option<Value>, metrics: &mut impl Write) {
    if let Some(line) = line
        && let Err(error) = writeln!(metrics, "{line}")
    {
        warn!(%error, "the metrics could not be written");
    }
}

fn lines<S, W>(is_text: bool, writer: W) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let layer =
        tracing_subscriber::fmt::layer().with_timer(ChronoUtc::rfc_3339()).with_writer(writer);
    if is_text {
        layer.with_ansi(false).boxed()
    } else {
        layer.json().flatten_event(true).with_current_span(true).with_span_list(false).boxed()
    }
}

/// Lambda's level names; FATAL has no counterpart and means ERROR, an unknown one INFO.
fn parse_level(name: &str) -> LevelFilter {
    match name.to_ascii_uppercase().as_str() {
        "TRACE" => LevelFilter::TRACE,
        "DEBUG" => LevelFilter::DEBUG,
        "WARN" => LevelFilter::WARN,
        "ERROR" | "FATAL" => LevelFilter::ERROR,
        _ => LevelFilter::INFO,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use serde_json::Value;
    use tracing::{error, error_span, info};

    use super::*;

    #[derive(Clone, Default)]
    struct Captured(Arc<Mutex<Vec<u8>>>);

    impl Write for Captured {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("not poisoned").write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn lines_of(format: Option<&str>, level: Option<&str>, log: impl FnOnce()) -> Vec<String> {
        let captured = Captured::default();
        let writer = captured.clone();
        let subscriber = subscriber(&[], format, level, move || writer.clone());
        tracing::subscriber::with_default(subscriber, || {
            error_span!("invocation", requestId = "r-1").in_scope(log)
        });
        let bytes = captured.0.lock().expect("not poisoned").clone();
        String::from_utf8(bytes).expect("UTF-8").lines().map(str::to_owned).collect()
    }

    fn levels(level: Option<&str>) -> Vec<String> {
        let log = || {
            error!("e");
            warn!("w");
            info!("i");
            tracing::debug!("d");
        };
        let parsed = lines_of(Some("JSON"), level, log);
        parsed
            .iter()
            .map(|line| line[..].parse::<Value>().expect("JSON")["message"].to_string())
            .collect()
    }

    #[test]
    fn the_level_is_the_one_that_lambda_sets() {
        for (level, count) in [
            (None, 3),
            (Some("INFO"), 3),
            (Some("LOUD"), 3),
            (Some("WARN"), 2),
            (Some("ERROR"), 1),
            (Some("FATAL"), 1),
            (Some("debug"), 4),
        ] {
            assert_eq!(levels(level).len(), count, "{level:?}");
        }
    }

    #[test]
    fn a_line_has_a_time_with_its_zone_a_level_and_the_request_id_at_every_level() {
        for level in ["INFO", "WARN", "ERROR"] {
            let lines =
                lines_of(Some("JSON"), Some(level), || error!(binding = "writer", "failed"));
            let line: Value = lines[0].parse().expect("JSON");
            let time = line["timestamp"].as_str().expect("a time");
            assert!(chrono::DateTime::parse_from_rfc3339(time).is_ok(), "{time}");
            assert_eq!(
                (&line["level"], &line["span"]["requestId"]),
                (&"ERROR".into(), &"r-1".into()),
                "{line}"
            );
            assert_eq!(
                (&line["binding"], &line["message"]),
                (&"writer".into(), &"failed".into()),
                "{line}"
            );
        }
    }

    #[test]
    fn without_the_json_format_a_line_is_text() {
        let lines = lines_of(Some("Text"), None, || info!("hello"));
        assert!(
            lines[0].contains("hello") && lines[0].contains("r-1") && !lines[0].starts_with('{'),
            "{lines:?}"
        );
    }

    #[test]
    fn what_the_program_depends_on_is_heard_from_warn_up() {
        let log = || {
            tracing::debug!(target: "aws_smithy_runtime", "the whole request");
            warn!(target: "hyper", "w");
        };
        assert_eq!(lines_of(Some("JSON"), Some("DEBUG"), log).len(), 1);
        let log = || warn!(target: "hyper", "w");
        assert_eq!(lines_of(Some("JSON"), Some("ERROR"), log).len(), 0);
    }
}
