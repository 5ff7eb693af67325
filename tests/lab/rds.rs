//! The RDS API and Secrets Manager on loopback, with endpoints of one's choice: a MySQL driver asks
//! the system's resolver, which knows none of an emulator's.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result};
use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::AbortHandle;

const REQUEST_ID: &str = "c534f810-0000-4000-8000-0123456789ab";
const NAMESPACE: &str = "http://rds.amazonaws.com/doc/2014-10-31/";

/// The one cluster of the stand-in, which all instances are members of.
pub const CLUSTER: &str = "orders";

/// The one secret of the stand-in.
pub const SECRET_ARN: &str = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:flusher-AbCdEf";

/// A database instance as the API describes it.
#[derive(Clone, Debug)]
pub struct Instance {
    /// `DBInstanceIdentifier`.
    pub id: String,
    /// `DBInstanceStatus`.
    pub status: String,
    /// `Engine`.
    pub engine: String,
    /// Host name and port, if it has an endpoint yet.
    pub endpoint: Option<(String, u16)>,
}

/// The stand-in. It ends when dropped.
pub struct RdsApi {
    address: SocketAddr,
    state: Arc<Mutex<Account>>,
    task: AbortHandle,
}

/// What the stand-in holds.
#[derive(Default)]
pub struct Account {
    /// The instances; the first is the cluster's writer.
    pub instances: Vec<Instance>,
    /// The secret's text.
    pub secret: Option<String>,
    /// The actions in the order of the calls.
    pub calls: Vec<String>,
    /// Actions that get this status and error code instead of their answer.
    pub faults: BTreeMap<&'static str, (u16, &'static str)>,
}

impl Instance {
    /// An instance that is available.
    pub fn available(id: &str, engine: &str, host: &str, port: u16) -> Self {
        let endpoint = Some((host.to_owned(), port));
        Self {
            id: id.to_owned(),
            status: "available".to_owned(),
            engine: engine.to_owned(),
            endpoint,
        }
    }
}

impl RdsApi {
    /// Starts it with these instances.
    pub async fn start(instances: Vec<Instance>) -> Result<Self> {
        let state = Arc::new(Mutex::new(Account { instances, ..Account::default() }));
        let router = Router::new().route("/", post(answer)).with_state(Arc::clone(&state));
        let listener =
            TcpListener::bind("127.0.0.1:0").await.context("bind a port for the RDS API")?;
        let address = listener.local_addr().context("the RDS API's own address")?;
        let task = tokio::spawn(async move { axum::serve(listener, router).await }).abort_handle();
        Ok(Self { address, state, task })
    }

    /// What flush-hosts needs to flush a MariaDB instance of this API.
    pub fn variables(&self, instance: &str, authority: &Path) -> Vec<(&'static str, String)> {
        let (url, authority) = (self.url(), authority.display().to_string());
        vec![
            ("AWS_ENDPOINT_URL_RDS", url.clone()),
            ("AWS_ENDPOINT_URL_SECRETS_MANAGER", url),
            ("DATABASE_IDENTIFIER", instance.to_owned()),
            ("DATABASE_KIND", "instance".to_owned()),
            ("DATABASE_ENGINE", "mariadb".to_owned()),
            ("SECRET_ARN", SECRET_ARN.to_owned()),
            ("CA_BUNDLE", authority),
        ]
    }

    /// Where it is.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What it holds.
    pub fn account(&self) -> MutexGuard<'_, Account> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a user's name and password into the secret.
    pub fn set_secret(&self, user: &str, password: &str) {
        self.account().secret = Some(json!({"username": user, "password": password}).to_string());
    }
}

impl Drop for RdsApi {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn answer(
    State(state): State<Arc<Mutex<Account>>>,
    headers: HeaderMap,
    body: String,
) -> Response {
    let mut account = state.lock().unwrap_or_else(PoisonError::into_inner);
    let target = headers.get("x-amz-target").and_then(|target| target.to_str().ok());
    if let Some(action) = target.and_then(|target| target.strip_prefix("secretsmanager.")) {
        account.calls.push(format!("secretsmanager:{action}"));
        return reply("application/x-amz-json-1.1", account.secret_value(&body));
    }
    let form = parameters(&body);
    let action = form.get("Action").cloned().unwrap_or_default();
    account.calls.push(format!("rds:{action}"));
    reply("text/xml", account.describe(&action, &form))
}

fn reply(content_type: &str, (status, body): (u16, String)) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    (status, [("x-amzn-requestid", REQUEST_ID), ("content-type", content_type)], body)
        .into_response()
}

impl Account {
    fn describe(&self, action: &str, form: &BTreeMap<String, String>) -> (u16, String) {
        if let Some((status, code)) = self.faults.get(action) {
            return (*status, error(code));
        }
        match action {
            "DescribeDBInstances" => {
                let wanted = |instance: &&Instance| wanted(instance, form);
                let found: Vec<_> = self.instances.iter().filter(wanted).collect();
                if found.is_empty() && form.contains_key("DBInstanceIdentifier") {
                    return (404, error("DBInstanceNotFound"));
                }
                let instances: String =
                    found.iter().map(|instance| describe_instance(instance)).collect();
                (200, envelope(action, &format!("<DBInstances>{instances}</DBInstances>")))
            }
            "DescribeDBClusters"
                if form.get("DBClusterIdentifier").is_none_or(|id| id == CLUSTER) =>
            {
                (200, envelope(action, &self.describe_cluster()))
            }
            "DescribeDBClusters" => (404, error("DBClusterNotFoundFault")),
            _ => (400, error("InvalidAction")),
        }
    }

    fn describe_cluster(&self) -> String {
        let member = |(number, instance): (usize, &Instance)| {
            format!(
                "<DBClusterMember><DBInstanceIdentifier>{}</DBInstanceIdentifier>\
                 <IsClusterWriter>{}</IsClusterWriter></DBClusterMember>",
                instance.id,
                number == 0
            )
        };
        let members: String = self.instances.iter().enumerate().map(member).collect();
        let engine =
            self.instances.first().map_or("aurora-mysql", |instance| instance.engine.as_str());
        format!(
            "<DBClusters><DBCluster><DBClusterIdentifier>{CLUSTER}</DBClusterIdentifier>\
             <Status>available</Status><Engine>{engine}</Engine>\
             <DBClusterMembers>{members}</DBClusterMembers></DBCluster></DBClusters>"
        )
    }

    fn secret_value(&self, body: &str) -> (u16, String) {
        let asked: Value = serde_json::from_str(body).unwrap_or_default();
        let fault = |status: u16, code: &str| {
            (status, json!({"__type": code, "message": "the message of AWS"}))
        };
        let (status, body) = match (self.faults.get("GetSecretValue"), &self.secret) {
            (Some((status, code)), _) => fault(*status, code),
            (None, Some(secret)) if asked["SecretId"] == SECRET_ARN => {
                (200, json!({"ARN": SECRET_ARN, "Name": "flusher", "SecretString": secret}))
            }
            _ => fault(400, "ResourceNotFoundException"),
        };
        (status, body.to_string())
    }
}

/// Whether the request's identifier and filters, if it has them, let this instance through.
fn wanted(instance: &Instance, form: &BTreeMap<String, String>) -> bool {
    let named = form.get("DBInstanceIdentifier").is_none_or(|id| *id == instance.id);
    let filters = (1..).map_while(|number| {
        let name = form.get(&format!("Filters.Filter.{number}.Name"))?;
        let value =
            |value: usize| form.get(&format!("Filters.Filter.{number}.Values.Value.{value}"));
        let values: Vec<&String> = (1..).map_while(value).collect();
        let own = if name == "db-cluster-id" { CLUSTER } else { instance.id.as_str() };
        Some(values.iter().any(|value| *value == own))
    });
    named && filters.into_iter().all(|passed| passed)
}

fn describe_instance(instance: &Instance) -> String {
    let Instance { id, status, engine, endpoint } = instance;
    let endpoint = endpoint.as_ref().map_or_else(String::new, |(host, port)| {
        format!("<Endpoint><Address>{host}</Address><Port>{port}</Port></Endpoint>")
    });
    format!(
        "<DBInstance><DBInstanceIdentifier>{id}</DBInstanceIdentifier>\
         <DBInstanceStatus>{status}</DBInstanceStatus><Engine>{engine}</Engine>\
         <DBClusterIdentifier>{CLUSTER}</DBClusterIdentifier>{endpoint}</DBInstance>"
    )
}

fn envelope(action: &str, result: &str) -> String {
    format!(
        "<{action}Response xmlns=\"{NAMESPACE}\"><{action}Result>{result}</{action}Result>\
         <ResponseMetadata><RequestId>{REQUEST_ID}</RequestId></ResponseMetadata>\
         </{action}Response>"
    )
}

fn error(code: &str) -> String {
    format!(
        "<ErrorResponse \
         xmlns=\"{NAMESPACE}\"><Error><Type>Sender</Type><Code>{code}</Code><Message>the message \
         of AWS</Message></Error><RequestId>{REQUEST_ID}</RequestId></ErrorResponse>"
    )
}

/// The parameters of a Query request.
fn parameters(body: &str) -> BTreeMap<String, String> {
    form_urlencoded::parse(body.as_bytes()).into_owned().collect()
}
