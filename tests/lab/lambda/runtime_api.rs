//! The Lambda Runtime API: hands out events, takes answers.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::{Mutex, mpsc};
use tokio::time::timeout;

/// How long a test waits for an answer beyond the time that the function was given.
const GRACE: Duration = Duration::from_secs(20);

/// What the function answered.
#[derive(Debug)]
pub enum Outcome {
    /// The result of an invocation.
    Result(Value),
    /// The error of an invocation, or of the start.
    Error {
        /// `errorType`.
        kind: String,
        /// `errorMessage`.
        message: String,
    },
}

impl Outcome {
    /// The result; an error ends the test.
    pub fn result(self) -> Value {
        match self {
            Outcome::Result(value) => value,
            Outcome::Error { kind, message } => panic!("{kind}: {message}"),
        }
    }

    /// `(errorType, errorMessage)`; a result ends the test.
    pub fn error(self) -> (String, String) {
        match self {
            Outcome::Error { kind, message } => (kind, message),
            Outcome::Result(value) => panic!("it did not fail: {value}"),
        }
    }
}

/// A Runtime API on a free port of loopback.
pub(super) struct RuntimeApi {
    address: SocketAddr,
    events: mpsc::UnboundedSender<(Value, Duration)>,
    answers: Mutex<mpsc::UnboundedReceiver<Outcome>>,
}

struct Shared {
    arn: String,
    events: Mutex<mpsc::UnboundedReceiver<(Value, Duration)>>,
    answers: mpsc::UnboundedSender<Outcome>,
}

impl RuntimeApi {
    pub(super) async fn start(function: &str) -> RuntimeApi {
        let (events, given) = mpsc::unbounded_channel();
        let (answers, taken) = mpsc::unbounded_channel();
        let arn = format!("arn:aws:lambda:eu-west-1:123456789012:function:{function}");
        let shared = Arc::new(Shared { arn, events: Mutex::new(given), answers });
        let router = Router::new()
            .route("/2018-06-01/runtime/invocation/next", get(next))
            .route("/2018-06-01/runtime/invocation/{id}/response", post(response))
            .route("/2018-06-01/runtime/invocation/{id}/error", post(error))
            .route("/2018-06-01/runtime/init/error", post(init_error))
            .with_state(shared);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        tokio::spawn(async move { axum::serve(listener, router).await });
        RuntimeApi { address, events, answers: Mutex::new(taken) }
    }

    pub(super) fn address(&self) -> String {
        self.address.to_string()
    }

    pub(super) async fn invoke(&self, event: &Value, limit: Duration) -> Outcome {
        self.events.send((event.clone(), limit)).expect("the server runs");
        self.answer(limit).await
    }

    pub(super) async fn init_error(&self) -> Outcome {
        self.answer(Duration::ZERO).await
    }

    async fn answer(&self, limit: Duration) -> Outcome {
        let mut answers = self.answers.lock().await;
        let answer = timeout(limit + GRACE, answers.recv()).await;
        answer.expect("the function answers in time").expect("the server runs")
    }
}

async fn next(State(shared): State<Arc<Shared>>) -> Response {
    let Some((event, limit)) = shared.events.lock().await.recv().await else {
        return StatusCode::GONE.into_response();
    };
    let deadline = SystemTime::now() + limit;
    let deadline = deadline.duration_since(SystemTime::UNIX_EPOCH).expect("after 1970").as_millis();
    let headers = [
        ("Lambda-Runtime-Aws-Request-Id", "8476a536-e9f4-11e8-9739-2dfe598c3fcd".to_owned()),
        ("Lambda-Runtime-Deadline-Ms", deadline.to_string()),
        ("Lambda-Runtime-Invoked-Function-Arn", shared.arn.clone()),
    ];
    (headers, event.to_string()).into_response()
}

async fn response(
    State(shared): State<Arc<Shared>>,
    Path(_): Path<String>,
    body: String,
) -> StatusCode {
    answer(&shared, serde_json::from_str(&body).map(Outcome::Result))
}

async fn error(
    State(shared): State<Arc<Shared>>,
    Path(_): Path<String>,
    body: String,
) -> StatusCode {
    answer(&shared, read_error(&body))
}

async fn init_error(State(shared): State<Arc<Shared>>, body: String) -> StatusCode {
    answer(&shared, read_error(&body))
}

fn read_error(body: &str) -> serde_json::Result<Outcome> {
    let body: Value = serde_json::from_str(body)?;
    let text = |key: &str| body[key].as_str().unwrap_or_default().to_owned();
    Ok(Outcome::Error { kind: text("errorType"), message: text("errorMessage") })
}

fn answer(shared: &Shared, outcome: serde_json::Result<Outcome>) -> StatusCode {
    match outcome.map(|outcome| shared.answers.send(outcome)) {
        Ok(Ok(())) => StatusCode::ACCEPTED,
        _ => StatusCode::BAD_REQUEST,
    }
}
