//! The function's side of Lambda: an invocation in, a report or an error out.

use std::io;
use std::sync::Arc;

use base::payload::Options;
use lambda_runtime::tower::layer::layer_fn;
use lambda_runtime::{Diagnostic, Error, LambdaEvent, Runtime, service_fn};
use platform::error::chain;
use platform::runtime::{RequestSpan, deadline, error_type};
use serde_json::Value;
use tracing::error;

use crate::flush::{Flusher, RunError};
use crate::ports::{Instances, Servers};
use crate::report::Report;
use crate::telemetry;

/// Serves invocations until Lambda ends the process.
///
/// # Errors
/// When the Runtime API cannot be reached any more.
pub async fn serve<I: Instances, S: Servers>(flusher: Flusher<I, S>) -> Result<(), Error> {
    let flusher = Arc::new(flusher);
    let service = service_fn(|event: LambdaEvent<Value>| {
        let flusher = Arc::clone(&flusher);
        async move { invoke(&flusher, event).await }
    });
    Runtime::new(service).layer(layer_fn(RequestSpan)).run().await
}

async fn invoke<I: Instances, S: Servers>(
    flusher: &Flusher<I, S>,
    event: LambdaEvent<Value>,
) -> Result<Report, Diagnostic> {
    let outcome = match Options::parse(&event.payload).and_then(Options::dry_run_alone) {
        Ok(dry_run) => flusher.run(dry_run, deadline(&event.context)).await,
        Err(bad_payload) => Err(bad_payload.into()),
    };
    match &outcome {
        Ok(report) | Err(RunError::Failed(report)) => {
            telemetry::publish(
                report,
                chrono::Utc::now().timestamp_millis(),
                &mut io::stdout().lock(),
            );
        }
        Err(failed) => error!(error = chain(failed), "nothing was flushed"),
    }
    outcome.map_err(Diagnostic::from)
}

impl From<RunError> for Diagnostic {
    fn from(error: RunError) -> Diagnostic {
        let kind = match &error {
            RunError::BadPayload(_) => "BadPayload",
            RunError::Instances(source) => source.kind(),
            RunError::Failed(report) => error_type(report.failures().map(|(_, it)| it.kind)),
        };
        Diagnostic { error_type: kind.to_owned(), error_message: chain(&error) }
    }
}
