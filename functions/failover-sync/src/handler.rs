//! The function's side of Lambda: an invocation in, a result or an error out.

use std::io;
use std::sync::{Arc, Once};
use std::time::Duration;

use lambda_runtime::tower::layer::layer_fn;
use lambda_runtime::{Context, Diagnostic, Error, LambdaEvent, Runtime, service_fn};
use platform::runtime::{REPORTING_MARGIN, RequestSpan, deadline};
use reconcile::report::Report;
use reconcile::trigger::{Cause, Trigger};
use serde_json::Value;
use tokio::time::Instant;
use tracing::{error, warn};

use crate::error::{RunError, chain};
use crate::ports::Ports;
use crate::sync::Synchronizer;
use crate::telemetry;

/// Serves invocations until Lambda ends the process.
///
/// # Errors
/// When the Runtime API cannot be reached any more.
pub async fn serve<P: Ports>(synchronizer: Synchronizer<P>) -> Result<(), Error> {
    let synchronizer = Arc::new(synchronizer);
    // In a task, before Lambda is asked for the first event: whatever goes wrong, it starts.
    let _ = tokio::spawn(Arc::clone(&synchronizer).warm_up()).await;
    let first = Once::new();
    let service = service_fn(|event: LambdaEvent<Value>| {
        first.call_once(|| warn_of_a_short_limit(&event.context, synchronizer.watch()));
        let synchronizer = Arc::clone(&synchronizer);
        async move { invoke(&synchronizer, event).await }
    });
    Runtime::new(service).layer(layer_fn(RequestSpan)).run().await
}

/// Lambda tells the time limit with each event and not before, so the first one has to say it.
fn warn_of_a_short_limit(context: &Context, watch: Duration) {
    let left = deadline(context) - Instant::now();
    if left < watch {
        let (limit_seconds, watch_seconds) = ((left + REPORTING_MARGIN).as_secs(), watch.as_secs());
        warn!(
            limit_seconds,
            watch_seconds,
            "the function's time limit is below the watch, which will be cut short: raise Timeout, \
             or lower WATCH_SECONDS (template parameter WatchSeconds)"
        );
    }
}

fn warn_of(trigger: &Trigger) {
    if let Some(shape) = &trigger.unread {
        warn!(
            shape,
            "what looks like an event is not understood, so this is an ordinary run: send what RDS \
             or EventBridge wrote"
        );
    }
    if trigger.dry_run && trigger.cause == Cause::Failover {
        warn!("the event asks for a dry run: nothing is changed and nothing is watched");
    }
}

async fn invoke<P: Ports>(
    synchronizer: &Arc<Synchronizer<P>>,
    event: LambdaEvent<Value>,
) -> Result<Report, Diagnostic> {
    let outcome = match Trigger::parse(&event.payload) {
        Ok(trigger) => {
            warn_of(&trigger);
            synchronizer.run(&trigger, deadline(&event.context)).await
        }
        Err(bad_payload) => Err(bad_payload.into()),
    };
    match &outcome {
        Ok(report) | Err(RunError::Bindings(report)) => {
            let function = &event.context.env_config.function_name;
            telemetry::publish(
                report,
                function,
                chrono::Utc::now().timestamp_millis(),
                &mut io::stdout().lock(),
            );
        }
        Err(refused) => error!(error = chain(refused), "the payload was refused"),
    }
    outcome.map_err(Diagnostic::from)
}
