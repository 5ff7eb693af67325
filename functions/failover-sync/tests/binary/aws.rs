//! ELBv2 and RDS on loopback, over the Query protocol: one target group and one cluster, with the
//! states that an emulator leaves out, and faults on demand.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};

use axum::Router;
use axum::extract::{Form, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::serve::ListenerExt;
use tokio::net::TcpListener;

const REQUEST_ID: &str = "c534f810-0000-4000-8000-0123456789ab";

/// The stand-in. It ends with the test.
#[derive(Clone)]
pub(crate) struct Aws {
    address: SocketAddr,
    group: Arc<Mutex<Group>>,
}

/// What it holds.
#[derive(Default)]
pub(crate) struct Group {
    /// State by `(Id, port)`.
    pub(crate) targets: BTreeMap<(String, String), &'static str>,
    /// Which of `orders-a` and `orders-b` is the cluster's writer; without one the cluster does not
    /// exist.
    pub(crate) writer: Option<&'static str>,
    /// The IAM actions in the order of the calls.
    pub(crate) calls: Vec<String>,
    /// Connections so far.
    pub(crate) connections: usize,
    /// Actions that get this status and body instead of their answer.
    pub(crate) faults: BTreeMap<&'static str, (u16, String)>,
}

impl Aws {
    /// Starts it with these targets, each as `address:port state`.
    pub(crate) async fn start(targets: &[&'static str]) -> Aws {
        let group = Arc::new(Mutex::new(Group::default()));
        let router = Router::new().route("/", post(answer)).with_state(Arc::clone(&group));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let counted = Arc::clone(&group);
        let listener =
            listener.tap_io(move |_| counted.lock().expect("not poisoned").connections += 1);
        tokio::spawn(async move { axum::serve(listener, router).await });
        let aws = Aws { address, group };
        for target in targets {
            let (target, state) = target.split_once(' ').expect("address:port state");
            let (id, port) = target.rsplit_once(':').expect("address:port");
            aws.state().targets.insert((id.to_owned(), port.to_owned()), state);
        }
        aws
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, Group> {
        self.group.lock().expect("not poisoned")
    }

    /// The targets, each as `address:port state`, in order.
    pub(crate) fn targets(&self) -> Vec<String> {
        self.state()
            .targets
            .iter()
            .map(|((id, port), state)| format!("{id}:{port} {state}"))
            .collect()
    }

    /// Lets an action answer with what it answers now up to this text, as if that were all.
    pub(crate) fn cut(&self, action: &'static str, last: &str) {
        let mut state = self.state();
        let (status, mut body) = state.answer(action, &BTreeMap::new());
        body.truncate(body.find(last).expect("the text is in the answer") + last.len());
        state.faults.insert(action, (status, body));
    }

    /// Lets an action answer with an error of AWS.
    pub(crate) fn refuse(&self, action: &'static str, status: u16, code: &str) {
        let body = include_str!("../xml/error.xml")
            .replace("CODE", code)
            .replace("MESSAGE", "the message of AWS");
        self.state().faults.insert(action, (status, body));
    }
}

async fn answer(
    State(group): State<Arc<Mutex<Group>>>,
    Form(form): Form<BTreeMap<String, String>>,
) -> Response {
    let mut group = group.lock().expect("not poisoned");
    let action = form.get("Action").cloned().unwrap_or_default();
    let service = if action.starts_with("DescribeDB") { "rds" } else { "elasticloadbalancing" };
    group.calls.push(format!("{service}:{action}"));
    let (status, body) = match group.faults.get(action.as_str()) {
        Some(fault) => fault.clone(),
        None => group.answer(&action, &form),
    };
    let status = StatusCode::from_u16(status).expect("a status");
    (status, [("x-amzn-requestid", REQUEST_ID), ("content-type", "text/xml")], body).into_response()
}

impl Group {
    fn answer(&mut self, action: &str, form: &BTreeMap<String, String>) -> (u16, String) {
        match action {
            "DescribeTargetHealth" => (200, self.describe()),
            "RegisterTargets" => {
                targets_of(form).into_iter().for_each(|target| self.register(target));
                (200, envelope(action, ""))
            }
            "DeregisterTargets" => {
                // As the real one does: a target that is not there is passed over without a word.
                for target in targets_of(form) {
                    self.targets.entry(target).and_modify(|state| *state = "draining");
                }
                (200, envelope(action, ""))
            }
            "DescribeDBClusters" if self.writer.is_some() => {
                let cluster = include_str!("../xml/describe-db-clusters.xml");
                // The document's writer is `orders-b`, and its only other member is `orders-a`.
                (
                    200,
                    if self.writer == Some("orders-b") {
                        cluster.to_owned()
                    } else {
                        swapped(cluster)
                    },
                )
            }
            "DescribeDBInstances" => {
                (200, include_str!("../xml/describe-db-instances.xml").to_owned())
            }
            _ => (404, include_str!("../xml/error.xml").replace("CODE", "DBClusterNotFoundFault")),
        }
    }

    fn register(&mut self, target: (String, String)) {
        let state = self.targets.entry(target).or_insert("initial");
        if state.starts_with("draining") || state.ends_with("Target.NotRegistered") {
            *state = "initial";
        }
    }

    fn describe(&self) -> String {
        let members: String = self
            .targets
            .iter()
            .map(|((id, port), state)| {
                let health = match state.split_once('/') {
                    Some((state, reason)) => {
                        format!("<State>{state}</State><Reason>{reason}</Reason>")
                    }
                    None => format!("<State>{state}</State>"),
                };
                format!(
                    "<member><Target><Id>{id}</Id><Port>{port}</Port></Target>\
                     <TargetHealth>{health}</TargetHealth></member>"
                )
            })
            .collect();
        envelope(
            "DescribeTargetHealth",
            &format!("<TargetHealthDescriptions>{members}</TargetHealthDescriptions>"),
        )
    }
}

fn envelope(action: &str, result: &str) -> String {
    format!(
        "<{action}Response xmlns=\"http://elasticloadbalancing.amazonaws.com/doc/2015-12-01/\">\
         <{action}Result>{result}</{action}Result>\
         <ResponseMetadata><RequestId>{REQUEST_ID}</RequestId></ResponseMetadata>\
         </{action}Response>"
    )
}

fn swapped(cluster: &str) -> String {
    cluster
        .replace("orders-a", "orders-x")
        .replace("orders-b", "orders-a")
        .replace("orders-x", "orders-b")
}

/// `Targets.member.N.Id` and `.Port`; a missing port is the group's, as with the real one.
fn targets_of(form: &BTreeMap<String, String>) -> Vec<(String, String)> {
    let target = |number: usize| {
        let id = form.get(&format!("Targets.member.{number}.Id"))?;
        let port =
            form.get(&format!("Targets.member.{number}.Port")).map_or("5432", String::as_str);
        Some((id.clone(), port.to_owned()))
    };
    (1..).map_while(target).collect()
}
