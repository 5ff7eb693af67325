//! The function's side of Lambda: an invocation in, a result or an error out.

use std::io;
use std::sync::{Arc, Once};
use std::task::{self, Poll};
use std::time::{Duration, SystemTime};

use http::Request;
use lambda_runtime::tower::layer::layer_fn;
use lambda_runtime::{Context, Diagnostic, Error, LambdaEvent, LambdaInvocation, Runtime, Service, service_fn};
use lambda_runtime_api_client::PooledClient;
use lambda_runtime_api_client::body::Body;
use reconcile::report::Report;
use reconcile::trigger::Trigger;
use serde_json::{Value, json};
use tokio::time::Instant;
use tracing::instrument::Instrumented;
use tracing::{Instrument, error, error_span, warn};

use crate::error::{RunError, chain};
use crate::ports::{Clock, Dns, TargetGroups, Topology};
use crate::sync::Synchronizer;
use crate::telemetry;

/// Kept back from the invocation's time for the log, the metrics and the answer.
const MARGIN: Duration = Duration::from_secs(1);

/// Serves invocations until Lambda ends the process.
///
/// # Errors
/// When the Runtime API cannot be reached any more.
pub async fn serve<D, G, T, C>(synchronizer: Synchronizer<D, G, T, C>) -> Result<(), Error>
where
    D: Dns,
    G: TargetGroups,
    T: Topology,
    C: Clock,
{
    let synchronizer = Arc::new(synchronizer);
    // Before Lambda is asked for the first event. In a task of its own: whatever goes wrong, the function starts.
    let _ = tokio::spawn(Arc::clone(&synchronizer).warm_up()).await;
    let first = Once::new();
    let service = service_fn(|event: LambdaEvent<Value>| {
        first.call_once(|| warn_of_a_short_limit(&event.context, synchronizer.watch()));
        let synchronizer = Arc::clone(&synchronizer);
        async move { invoke(&synchronizer, event).await }
    });
    Runtime::new(service).layer(layer_fn(RequestSpan)).run().await
}

/// Tells Lambda and the log that the function cannot start, so that the invoker reads why.
///
/// # Errors
/// Returns the given error, for `main` to end with.
pub async fn refuse_to_start(cause: &(dyn std::error::Error + Send + Sync + 'static)) -> Result<(), Error> {
    let message = chain(cause);
    error!(error = message, "the function cannot start");
    let body = json!({"errorType": "InvalidConfiguration", "errorMessage": message});
    let request = Request::post("/2018-06-01/runtime/init/error")
        .header("lambda-runtime-function-error-type", "Function.InvalidConfiguration")
        .body(Body::from(body.to_string()))?;
    PooledClient::builder().build().call(request).await?;
    Err(message.into())
}

/// When an invocation's work must be over, so that there is still time to tell of it.
pub fn deadline(context: &Context) -> Instant {
    let remaining = context.deadline().duration_since(SystemTime::now()).unwrap_or_default();
    Instant::now() + remaining.saturating_sub(MARGIN)
}

/// Lambda tells the function's time limit with each event and not before, so that the first one has to say it.
fn warn_of_a_short_limit(context: &Context, watch: Duration) {
    let left = deadline(context) - Instant::now();
    if left < watch {
        let (limit_seconds, watch_seconds) = ((left + MARGIN).as_secs(), watch.as_secs());
        warn!(
            limit_seconds,
            watch_seconds,
            "the function's time limit is below the watch, which will be cut short: raise Timeout, or lower WATCH_SECONDS \
             (template parameter WatchSeconds)"
        );
    }
}

/// Puts the request id on every line of an invocation, those of the runtime too. Its span has the level ERROR, so that
/// no filter takes the id away, as happens to the span of the runtime's own tracing layer.
#[derive(Clone)]
pub struct RequestSpan<S>(pub S);

impl<S: Service<LambdaInvocation>> Service<LambdaInvocation> for RequestSpan<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = Instrumented<S::Future>;

    fn poll_ready(&mut self, context: &mut task::Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, invocation: LambdaInvocation) -> Self::Future {
        let span = error_span!("invocation", requestId = invocation.context.request_id);
        let future = span.in_scope(|| self.0.call(invocation));
        future.instrument(span)
    }
}

async fn invoke<D: Dns, G: TargetGroups, T: Topology, C: Clock>(
    synchronizer: &Arc<Synchronizer<D, G, T, C>>,
    event: LambdaEvent<Value>,
) -> Result<Report, Diagnostic> {
    let outcome = match Trigger::parse(&event.payload) {
        Ok(trigger) => synchronizer.run(&trigger, deadline(&event.context)).await,
        Err(bad_payload) => Err(bad_payload.into()),
    };
    match &outcome {
        Ok(report) | Err(RunError::Bindings(report)) => {
            let function = &event.context.env_config.function_name;
            telemetry::publish(report, function, chrono::Utc::now().timestamp_millis(), &mut io::stdout().lock());
        }
        Err(refused) => error!(error = chain(refused), "the payload was refused"),
    }
    outcome.map_err(Diagnostic::from)
}
