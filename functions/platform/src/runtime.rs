//! The functions' side of Lambda's Runtime API.

use std::task::{self, Poll};
use std::time::{Duration, SystemTime};

use http::Request;
use lambda_runtime::{Context, Error, LambdaInvocation, Service};
use lambda_runtime_api_client::PooledClient;
use lambda_runtime_api_client::body::Body;
use serde_json::json;
use tokio::time::Instant;
use tracing::instrument::Instrumented;
use tracing::{Instrument, error, error_span};

use crate::error::chain;

/// Kept back from the invocation's time for the log, the metrics and the answer.
pub const REPORTING_MARGIN: Duration = Duration::from_secs(1);

/// Tells Lambda and the log that the function cannot start, so that the invoker reads why.
///
/// # Errors
/// Returns the given error, for `main` to end with.
pub async fn report_init_error(
    cause: &(dyn std::error::Error + Send + Sync + 'static),
) -> Result<(), Error> {
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
    Instant::now() + remaining.saturating_sub(REPORTING_MARGIN)
}

/// The `errorType` of an invocation in which several things failed: the kind that they all are of.
pub fn error_type(mut kinds: impl Iterator<Item = &'static str>) -> &'static str {
    let first = kinds.next().unwrap_or_default();
    if kinds.all(|kind| kind == first) { first } else { "SeveralFailures" }
}

/// Puts the request id on every line of an invocation. Its span is an ERROR, so that no filter
/// takes the id away, as happens to the span of the runtime's own tracing layer.
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
