//! The way from a function to the local AWS: calls are written down, held up or cut off.

use std::collections::BTreeMap;
use std::future::pending;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::uri::{PathAndQuery, Uri};
use axum::http::{HeaderMap, Request, StatusCode};
use axum::response::{IntoResponse, Response};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};

use crate::poll::{self, Look};

/// A gateway in front of the local AWS. It ends when dropped.
pub struct Gateway {
    address: SocketAddr,
    way: Arc<Way>,
    server: JoinHandle<()>,
}

/// A call of the Query protocol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// The IAM name of its action, such as `rds:DescribeDBClusters`.
    pub action: String,
    /// The access key that signed it.
    pub key: String,
    /// Its parameters.
    pub parameters: BTreeMap<String, String>,
}

struct Way {
    /// The addresses of RDS and of every other service, as `http://host:port`.
    rds: String,
    others: String,
    client: Client<HttpConnector, Body>,
    traffic: Mutex<Traffic>,
}

#[derive(Default)]
struct Traffic {
    calls: Vec<Call>,
    barrier: Barrier,
}

/// What a call meets.
#[derive(Default)]
enum Barrier {
    #[default]
    Open,
    /// Open until there is a call of this action, which waits.
    Before(String),
    /// Open until a call of this action has passed.
    After(String),
    /// Shut, with the first call that waits before it.
    Shut(Option<String>),
}

impl Gateway {
    /// Starts one that leads to these addresses: that of RDS, and that of every other service.
    pub async fn start(rds: &str, others: &str) -> Result<Self> {
        let listener =
            TcpListener::bind("127.0.0.1:0").await.context("bind a port for the gateway")?;
        let address = listener.local_addr().context("the gateway's own address")?;
        let client = Client::builder(TokioExecutor::new()).build_http();
        let way = Arc::new(Way {
            rds: rds.to_owned(),
            others: others.to_owned(),
            client,
            traffic: Mutex::default(),
        });
        let server = tokio::spawn(serve(listener, Arc::clone(&way)));
        Ok(Self { address, way, server })
    }

    /// The endpoint of AWS for a function.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Every call so far, in order.
    pub fn calls(&self) -> Vec<Call> {
        self.way.traffic().calls.clone()
    }

    /// Holds up the next call of this action, and every call after it.
    pub fn hold_before(&self, action: &str) {
        self.way.traffic().barrier = Barrier::Before(action.to_owned());
    }

    /// Lets the next call of this action pass, and holds up every call after it.
    pub fn hold_after(&self, action: &str) {
        self.way.traffic().barrier = Barrier::After(action.to_owned());
    }

    /// Waits until a call is held up, and returns its action.
    pub async fn held(&self, deadline: Duration) -> Result<String> {
        poll::until("a call that is held up", deadline, async || {
            let traffic = self.way.traffic();
            let Barrier::Shut(Some(held)) = &traffic.barrier else {
                let last: Vec<_> =
                    traffic.calls.iter().rev().take(3).map(|call| &call.action).collect();
                return Ok(Look::NotYet(anyhow!("the last calls were {last:?}")));
            };
            Ok(Look::Ready(held.clone()))
        })
        .await
    }

    /// Lets later calls pass again. One that is held up never does: its caller has given up.
    pub fn open(&self) {
        self.way.traffic().barrier = Barrier::Open;
    }

    /// Drops every connection, and refuses new ones.
    pub async fn cut(&mut self) {
        self.server.abort();
        // Listener and connections are the task's, and gone when it has ended.
        let _ = (&mut self.server).await;
    }

    /// Accepts connections again.
    pub async fn restore(&mut self) -> Result<()> {
        let listener =
            TcpListener::bind(self.address).await.context("bind the gateway's port again")?;
        self.server = tokio::spawn(serve(listener, Arc::clone(&self.way)));
        Ok(())
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Way {
    fn traffic(&self) -> MutexGuard<'_, Traffic> {
        self.traffic.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes a call down, and tells whether it may pass.
    fn note(&self, call: Call) -> bool {
        let mut traffic = self.traffic();
        let action = call.action.clone();
        traffic.calls.push(call);
        match &mut traffic.barrier {
            Barrier::Shut(held) => {
                held.get_or_insert(action);
                false
            }
            Barrier::Before(first) if *first == action => {
                traffic.barrier = Barrier::Shut(Some(action));
                false
            }
            Barrier::After(last) if *last == action => {
                traffic.barrier = Barrier::Shut(None);
                true
            }
            Barrier::Open | Barrier::Before(_) | Barrier::After(_) => true,
        }
    }

    /// Sends a request on with its `Host` header, which the signature covers.
    async fn forward(&self, is_rds: bool, request: Request<Body>) -> Result<Response> {
        let (mut parts, body) = request.into_parts();
        let upstream = if is_rds { &self.rds } else { &self.others };
        let path = parts.uri.path_and_query().map_or("/", PathAndQuery::as_str);
        parts.uri = format!("{upstream}{path}").parse::<Uri>().context("the request's address")?;
        let answer = self
            .client
            .request(Request::from_parts(parts, body))
            .await
            .context("ask the local AWS")?;
        Ok(answer.map(Body::new).into_response())
    }
}

async fn serve(listener: TcpListener, way: Arc<Way>) {
    let service = TowerToHyperService::new(Router::new().fallback(pass).with_state(way));
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let service = service.clone();
        connections.spawn(async move {
            // What goes wrong with a connection is for whoever made it to tell.
            let _ = Builder::new(TokioExecutor::new())
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

async fn pass(State(way): State<Arc<Way>>, headers: HeaderMap, uri: Uri, body: Bytes) -> Response {
    let call = call(&headers, &body);
    let is_rds = call.as_ref().is_some_and(|call| call.action.starts_with("rds:"));
    if !call.is_none_or(|call| way.note(call)) {
        return pending().await;
    }
    let mut request = Request::post(uri);
    request.headers_mut().into_iter().for_each(|all| *all = headers.clone());
    let answer = match request.body(Body::from(body)) {
        Ok(request) => way.forward(is_rds, request).await,
        Err(error) => Err(error.into()),
    };
    answer.unwrap_or_else(|error| (StatusCode::BAD_GATEWAY, format!("{error:#}")).into_response())
}

/// What a signed request asks for: of the Query protocol, or one with the operation in a header.
fn call(headers: &HeaderMap, body: &[u8]) -> Option<Call> {
    let authorization = headers.get("authorization")?.to_str().ok()?;
    let (_, credential) = authorization.split_once("Credential=")?;
    let mut scope = credential.split('/');
    let (key, service) = (scope.next()?, scope.nth(2)?);
    let mut parameters: BTreeMap<String, String> =
        form_urlencoded::parse(body).into_owned().collect();
    let named =
        || headers.get("x-amz-target")?.to_str().ok()?.rsplit('.').next().map(str::to_owned);
    let action = format!("{service}:{}", parameters.remove("Action").or_else(named)?);
    Some(Call { action, key: key.to_owned(), parameters })
}
