//! As much of CloudFormation and EC2 as the programs ask: the local AWS has no connections.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use lab::workspace::{root, venv_program};
use tokio::net::TcpListener;
use tokio::process::Command;
use tokio::task::AbortHandle;

pub(crate) const STACK: &str = "link";
pub(crate) const SERVICE: &str = "vpce-svc-0123456789abcdef0";

/// Three endpoints in the order of their age; the states are spelt as the API spells them.
pub(crate) const OLD: &str = "vpce-0000000000000000a";
pub(crate) const FIRST: &str = "vpce-0000000000000000b";
pub(crate) const SECOND: &str = "vpce-0000000000000000c";

/// The account as the stand-in has it.
#[derive(Clone)]
pub(crate) struct Account {
    /// The stack's outputs.
    pub(crate) outputs: Vec<(&'static str, &'static str)>,
    pub(crate) acceptance_required: bool,
    /// IDs of the service's Availability Zones.
    pub(crate) zones: &'static [&'static str],
    pub(crate) principals: &'static [&'static str],
    /// Endpoint, state and time of creation.
    pub(crate) connections: Vec<(&'static str, &'static str, &'static str)>,
    /// The endpoint whose acceptance fails.
    pub(crate) broken: Option<&'static str>,
    /// The endpoints of every acceptance that was asked for.
    pub(crate) accepted: Vec<Vec<String>>,
}

/// What a program did.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) code: Option<i32>,
    pub(crate) output: String,
    pub(crate) errors: String,
    pub(crate) accepted: Vec<Vec<String>>,
}

pub(crate) fn account() -> Account {
    Account {
        outputs: vec![
            ("EndpointServiceId", SERVICE),
            ("EndpointServiceName", "com.amazonaws.vpce.eu-west-1.vpce-svc-0123456789abcdef0"),
            ("ListenerPort", "5432"),
        ],
        acceptance_required: true,
        zones: &["euw1-az2", "euw1-az1"],
        principals: &["arn:aws:iam::444455556666:root"],
        connections: vec![
            (SECOND, "pendingAcceptance", "2026-11-20T17:05:00.000Z"),
            (OLD, "available", "2026-01-02T03:04:05.000Z"),
            (FIRST, "pendingAcceptance", "2026-11-20T16:30:00.000Z"),
        ],
        broken: None,
        accepted: Vec::new(),
    }
}

/// Runs a program of `infra/` against an account.
pub(crate) async fn outcome(program: &str, account: Account, arguments: &[&str]) -> Outcome {
    let api = Api::start(account).await;
    let (code, output, errors) = run(program, arguments, environment(&api.url)).await;
    let accepted = api.account.lock().unwrap().accepted.clone();
    Outcome { code, output, errors, accepted }
}

/// The environment in which nothing but the stand-in can be reached.
pub(crate) fn environment(url: &str) -> Vec<(&'static str, String)> {
    let variables = [
        ("AWS_ENDPOINT_URL", url),
        ("AWS_ACCESS_KEY_ID", "test"),
        ("AWS_SECRET_ACCESS_KEY", "test"),
        ("AWS_REGION", "eu-west-1"),
        ("AWS_MAX_ATTEMPTS", "1"),
        ("AWS_EC2_METADATA_DISABLED", "true"),
        ("AWS_CONFIG_FILE", "/dev/null"),
        ("AWS_SHARED_CREDENTIALS_FILE", "/dev/null"),
        ("NO_PROXY", "127.0.0.1"),
        ("no_proxy", "127.0.0.1"),
    ];
    variables.map(|(name, value)| (name, value.to_owned())).into()
}

/// Runs a program by its path below the project.
pub(crate) async fn run(
    program: &str,
    arguments: &[&str],
    environment: Vec<(&'static str, String)>,
) -> (Option<i32>, String, String) {
    let output = Command::new(venv_program("python").unwrap())
        .arg("-B")
        .arg(program)
        .args(arguments)
        .current_dir(root())
        .env_clear()
        .envs(environment)
        .output()
        .await
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

struct Api {
    url: String,
    account: Arc<Mutex<Account>>,
    task: AbortHandle,
}

impl Api {
    async fn start(account: Account) -> Self {
        let account = Arc::new(Mutex::new(account));
        let router = Router::new().route("/", post(answer)).with_state(Arc::clone(&account));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let task = tokio::spawn(async move { axum::serve(listener, router).await }).abort_handle();
        Self { url, account, task }
    }
}

impl Drop for Api {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn answer(State(account): State<Arc<Mutex<Account>>>, body: String) -> (StatusCode, String) {
    let form: BTreeMap<String, String> =
        form_urlencoded::parse(body.as_bytes()).into_owned().collect();
    let mut account = account.lock().unwrap();
    let action = form["Action"].as_str();
    match action {
        "DescribeStacks" if form["StackName"] == STACK => {
            (StatusCode::OK, account.describe_stack())
        }
        "DescribeStacks" => (
            StatusCode::BAD_REQUEST,
            format!(
                "<ErrorResponse><Error><Type>Sender</Type><Code>ValidationError</Code>\
                 <Message>Stack with id {} does not exist</Message></Error></ErrorResponse>",
                form["StackName"]
            ),
        ),
        "DescribeVpcEndpointServiceConfigurations" => {
            assert_eq!(form["ServiceId.1"], SERVICE);
            let required = account.acceptance_required;
            let zones = items(account.zones, |zone| (*zone).to_owned());
            let item = format!(
                "<item><acceptanceRequired>{required}</acceptanceRequired>\
                 <availabilityZoneIdSet>{zones}</availabilityZoneIdSet></item>"
            );
            (
                StatusCode::OK,
                ec2(action, &format!("<serviceConfigurationSet>{item}</serviceConfigurationSet>")),
            )
        }
        "DescribeVpcEndpointServicePermissions" => {
            assert_eq!(form["ServiceId"], SERVICE);
            let allowed = items(account.principals, |principal| {
                format!("<principal>{principal}</principal>")
            });
            (
                StatusCode::OK,
                ec2(action, &format!("<allowedPrincipals>{allowed}</allowedPrincipals>")),
            )
        }
        "DescribeVpcEndpointConnections" => {
            assert_eq!(
                (form["Filter.1.Name"].as_str(), form["Filter.1.Value.1"].as_str()),
                ("service-id", SERVICE)
            );
            (StatusCode::OK, ec2(action, &account.page(form.get("NextToken"))))
        }
        "AcceptVpcEndpointConnections" => {
            assert_eq!(form["ServiceId"], SERVICE);
            let ids = (1..)
                .map_while(|number| form.get(&format!("VpcEndpointId.{number}")).cloned())
                .collect();
            account.accepted.push(ids);
            (StatusCode::OK, ec2(action, &account.unsuccessful()))
        }
        _ => panic!("{action} is not expected"),
    }
}

impl Account {
    fn describe_stack(&self) -> String {
        let outputs: String = self
            .outputs
            .iter()
            .map(|(name, value)| {
                format!(
                    "<member><OutputKey>{name}</OutputKey>\
                     <OutputValue>{value}</OutputValue></member>"
                )
            })
            .collect();
        format!(
            "<DescribeStacksResponse><DescribeStacksResult><Stacks><member>\
             <StackName>{STACK}</StackName><CreationTime>2026-01-01T00:00:00.000Z</CreationTime>\
             <StackStatus>CREATE_IN_PROGRESS</StackStatus><Outputs>{outputs}</Outputs>\
             </member></Stacks></DescribeStacksResult></DescribeStacksResponse>"
        )
    }

    /// One connection a page, so that a client which reads only the first is found out.
    fn page(&self, token: Option<&String>) -> String {
        let index = token.map_or(0, |token| token.parse::<usize>().unwrap());
        let Some((endpoint, state, created)) = self.connections.get(index) else {
            return "<vpcEndpointConnectionSet/>".to_owned();
        };
        let next = index + 1;
        let next = if next < self.connections.len() {
            format!("<nextToken>{next}</nextToken>")
        } else {
            String::new()
        };
        format!(
            "<vpcEndpointConnectionSet><item><serviceId>{SERVICE}</serviceId>\
             <vpcEndpointId>{endpoint}</vpcEndpointId>\
             <vpcEndpointOwner>444455556666</vpcEndpointOwner>\
             <vpcEndpointState>{state}</vpcEndpointState>\
             <creationTimestamp>{created}</creationTimestamp><dnsEntrySet><item>\
             <dnsName>{endpoint}-x.{SERVICE}.eu-west-1.vpce.amazonaws.com</dnsName>\
             </item></dnsEntrySet></item></vpcEndpointConnectionSet>{next}"
        )
    }

    fn unsuccessful(&self) -> String {
        let item = self.broken.map_or_else(String::new, |endpoint| {
            format!(
                "<item><resourceId>{endpoint}</resourceId><error><code>InvalidState</code>\
                 <message>the message of AWS</message></error></item>"
            )
        });
        format!("<unsuccessful>{item}</unsuccessful>")
    }
}

fn ec2(action: &str, body: &str) -> String {
    format!(
        "<{action}Response xmlns=\"http://ec2.amazonaws.com/doc/2016-11-15/\">\
         <requestId>r</requestId>{body}</{action}Response>"
    )
}

fn items<T>(values: &[T], item: impl Fn(&T) -> String) -> String {
    values.iter().map(|value| format!("<item>{}</item>", item(value))).collect()
}
