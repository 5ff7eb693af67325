//! `make accept`: what it lists, and that it accepts what was named and nothing else. CloudFormation and EC2 are a
//! stand-in on loopback, because the local AWS has no endpoint connections.

// In a test a failed unwrap is the failure that it reports.
#![allow(clippy::unwrap_used)]

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

const STACK: &str = "link";
const SERVICE: &str = "vpce-svc-0123456789abcdef0";

/// Three endpoints in the order of their age; the states are spelt as the API spells them.
const OLD: &str = "vpce-0000000000000000a";
const FIRST: &str = "vpce-0000000000000000b";
const SECOND: &str = "vpce-0000000000000000c";

/// The account as the stand-in has it.
#[derive(Clone)]
struct Account {
    /// The stack's output `EndpointServiceId`, if it has one.
    service: Option<&'static str>,
    acceptance_required: bool,
    /// Endpoint, state and time of creation.
    connections: Vec<(&'static str, &'static str, &'static str)>,
    /// The endpoint whose acceptance fails.
    broken: Option<&'static str>,
    /// The endpoints of every acceptance that was asked for.
    accepted: Vec<Vec<String>>,
}

struct Api {
    url: String,
    account: Arc<Mutex<Account>>,
    task: AbortHandle,
}

/// What the program did.
#[derive(Debug)]
struct Outcome {
    code: Option<i32>,
    output: String,
    errors: String,
    accepted: Vec<Vec<String>>,
}

fn account() -> Account {
    Account {
        service: Some(SERVICE),
        acceptance_required: true,
        connections: vec![
            (SECOND, "pendingAcceptance", "2026-11-20T17:05:00.000Z"),
            (OLD, "available", "2026-01-02T03:04:05.000Z"),
            (FIRST, "pendingAcceptance", "2026-11-20T16:30:00.000Z"),
        ],
        broken: None,
        accepted: Vec::new(),
    }
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
    let form: BTreeMap<String, String> = form_urlencoded::parse(body.as_bytes()).into_owned().collect();
    let mut account = account.lock().unwrap();
    let action = form["Action"].as_str();
    match action {
        "DescribeStacks" if form["StackName"] == STACK => (StatusCode::OK, account.describe_stack()),
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
            let item = format!("<item><acceptanceRequired>{required}</acceptanceRequired></item>");
            (StatusCode::OK, ec2(action, &format!("<serviceConfigurationSet>{item}</serviceConfigurationSet>")))
        }
        "DescribeVpcEndpointConnections" => {
            assert_eq!((form["Filter.1.Name"].as_str(), form["Filter.1.Value.1"].as_str()), ("service-id", SERVICE));
            (StatusCode::OK, ec2(action, &account.page(form.get("NextToken"))))
        }
        "AcceptVpcEndpointConnections" => {
            assert_eq!(form["ServiceId"], SERVICE);
            let ids = (1..).map_while(|number| form.get(&format!("VpcEndpointId.{number}")).cloned()).collect();
            account.accepted.push(ids);
            (StatusCode::OK, ec2(action, &account.unsuccessful()))
        }
        _ => panic!("{action} is not expected"),
    }
}

impl Account {
    fn describe_stack(&self) -> String {
        let output = self.service.map_or_else(String::new, |service| {
            format!("<member><OutputKey>EndpointServiceId</OutputKey><OutputValue>{service}</OutputValue></member>")
        });
        format!(
            "<DescribeStacksResponse><DescribeStacksResult><Stacks><member><StackName>{STACK}</StackName>\
             <CreationTime>2026-01-01T00:00:00.000Z</CreationTime><StackStatus>CREATE_IN_PROGRESS</StackStatus>\
             <Outputs>{output}</Outputs></member></Stacks></DescribeStacksResult></DescribeStacksResponse>"
        )
    }

    /// One connection a page, so that a client which reads only the first is found out.
    fn page(&self, token: Option<&String>) -> String {
        let index = token.map_or(0, |token| token.parse::<usize>().unwrap());
        let Some((endpoint, state, created)) = self.connections.get(index) else {
            return "<vpcEndpointConnectionSet/>".to_owned();
        };
        let next = index + 1;
        let next = if next < self.connections.len() { format!("<nextToken>{next}</nextToken>") } else { String::new() };
        format!(
            "<vpcEndpointConnectionSet><item><serviceId>{SERVICE}</serviceId>\
             <vpcEndpointId>{endpoint}</vpcEndpointId><vpcEndpointOwner>444455556666</vpcEndpointOwner>\
             <vpcEndpointState>{state}</vpcEndpointState><creationTimestamp>{created}</creationTimestamp>\
             <dnsEntrySet><item><dnsName>{endpoint}-x.{SERVICE}.eu-west-1.vpce.amazonaws.com</dnsName></item>\
             </dnsEntrySet></item></vpcEndpointConnectionSet>{next}"
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
        "<{action}Response xmlns=\"http://ec2.amazonaws.com/doc/2016-11-15/\"><requestId>r</requestId>{body}</{action}Response>"
    )
}

/// The environment in which nothing but the stand-in can be reached.
fn environment(url: &str) -> Vec<(&'static str, String)> {
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

async fn run(arguments: &[&str], environment: Vec<(&'static str, String)>) -> (Option<i32>, String, String) {
    let output = Command::new(venv_program("python").unwrap())
        .arg(root().join("infra/accept.py"))
        .args(arguments)
        .env_clear()
        .envs(environment)
        .output()
        .await
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

async fn accept(account: Account, arguments: &[&str]) -> Outcome {
    let api = Api::start(account).await;
    let (code, output, errors) = run(arguments, environment(&api.url)).await;
    let accepted = api.account.lock().unwrap().accepted.clone();
    Outcome { code, output, errors, accepted }
}

#[tokio::test]
async fn without_an_endpoint_it_lists_and_accepts_nothing() {
    let outcome = accept(account(), &[STACK]).await;
    assert_eq!((outcome.code, outcome.errors.as_str()), (Some(0), ""));
    assert!(outcome.accepted.is_empty(), "{outcome:?}");
    let expected = format!(
        "{STACK} in eu-west-1: endpoint service {SERVICE}, which waits for you to accept each connection\n\
         ENDPOINT                OWNER         STATE              CREATED               DNS\n\
         {OLD}  444455556666  available          2026-01-02 03:04 UTC  {OLD}-x.{SERVICE}.eu-west-1.vpce.amazonaws.com\n\
         {FIRST}  444455556666  pendingAcceptance  2026-11-20 16:30 UTC  {FIRST}-x.{SERVICE}.eu-west-1.vpce.amazonaws.com\n\
         {SECOND}  444455556666  pendingAcceptance  2026-11-20 17:05 UTC  {SECOND}-x.{SERVICE}.eu-west-1.vpce.amazonaws.com\n\
         \n\
         Nothing was accepted. If you know the owner, accept with:\n  \
         make accept STACK={STACK} ENDPOINT={FIRST}\n  \
         make accept STACK={STACK} ENDPOINT={SECOND}\n"
    );
    assert_eq!(outcome.output, expected);
}

#[tokio::test]
async fn it_accepts_exactly_what_is_named() {
    let cases: [(&[&str], &[&str]); 3] =
        [(&[SECOND], &[SECOND]), (&[SECOND, FIRST], &[SECOND, FIRST]), (&["all"], &[FIRST, SECOND])];
    for (named, expected) in cases {
        let outcome = accept(account(), &[&[STACK], named].concat()).await;
        assert_eq!((outcome.code, outcome.errors.as_str()), (Some(0), ""), "{named:?}");
        assert_eq!(outcome.accepted, [expected], "{named:?}");
        for endpoint in expected {
            assert!(outcome.output.contains(&format!("Accepted {endpoint}.")), "{outcome:?}");
        }
    }
}

#[tokio::test]
async fn a_service_without_connections_has_nothing_to_accept() {
    let empty = Account { connections: Vec::new(), ..account() };
    for (arguments, said) in
        [(&[STACK][..], "No endpoint is connected, and none has asked."), (&[STACK, "all"], "No connection is pending")]
    {
        let outcome = accept(empty.clone(), arguments).await;
        assert_eq!((outcome.code, outcome.errors.as_str()), (Some(0), ""), "{arguments:?}");
        assert!(outcome.output.contains(said), "{outcome:?}");
        assert!(outcome.accepted.is_empty(), "{outcome:?}");
    }
}

#[tokio::test]
async fn what_cannot_be_accepted_is_an_error_and_nothing_is_accepted() {
    let by_itself = Account { acceptance_required: false, ..account() };
    let no_service = Account { service: None, ..account() };
    let cases: [(Account, &[&str], &[&str]); 5] = [
        (account(), &["other"], &["no stack other in eu-west-1", "AWS_REGION"]),
        (no_service, &[STACK, "all"], &["no output EndpointServiceId", "CREATE_IN_PROGRESS"]),
        (account(), &[STACK, FIRST, "vpce-0000000000000000d"], &["no endpoint vpce-0000000000000000d"]),
        (account(), &[STACK, FIRST, OLD], &[OLD, "is available and not pendingAcceptance. "]),
        (by_itself, &[STACK, OLD], &["is available", "this service accepts connections by itself"]),
    ];
    for (account, arguments, said) in cases {
        let outcome = accept(account, arguments).await;
        assert_eq!(outcome.code, Some(1), "{outcome:?}");
        assert!(outcome.accepted.is_empty(), "{outcome:?}");
        assert!(outcome.errors.starts_with("error: ") && outcome.errors.lines().count() == 1, "{outcome:?}");
        for words in said {
            assert!(outcome.errors.contains(words), "{words:?} in {outcome:?}");
        }
    }
}

#[tokio::test]
async fn an_acceptance_that_aws_refuses_is_an_error_beside_those_that_worked() {
    let outcome = accept(Account { broken: Some(FIRST), ..account() }, &[STACK, "all"]).await;
    assert_eq!(outcome.code, Some(1), "{outcome:?}");
    assert_eq!(outcome.errors, format!("error: {FIRST} was not accepted: the message of AWS\n"));
    assert!(outcome.output.contains(&format!("Accepted {SECOND}.")), "{outcome:?}");
    assert!(!outcome.output.contains(&format!("Accepted {FIRST}.")), "{outcome:?}");
}

#[tokio::test]
async fn without_credentials_region_or_network_it_says_so_in_one_line() {
    // Nobody listens on port 1.
    let complete = environment("http://127.0.0.1:1");
    let without = |gone: &str| complete.iter().filter(|(name, _)| *name != gone).cloned().collect::<Vec<_>>();
    let cases = [
        (without("AWS_ACCESS_KEY_ID"), "credentials"),
        (without("AWS_REGION"), "You must specify a region"),
        (complete.clone(), "Could not connect to the endpoint URL"),
    ];
    for (environment, said) in cases {
        let (code, output, errors) = run(&[STACK], environment).await;
        assert_eq!((code, output.as_str()), (Some(1), ""), "{errors}");
        assert!(errors.starts_with("error: ") && errors.lines().count() == 1 && errors.contains(said), "{errors}");
    }
}

#[tokio::test]
async fn a_wrong_call_is_told_from_a_failed_one() {
    let nowhere = || environment("http://127.0.0.1:1");
    for arguments in [&[][..], &[STACK, "all", FIRST]] {
        let (code, _, errors) = run(arguments, nowhere()).await;
        assert_eq!(code, Some(2), "{errors}");
    }
    let (code, help, _) = run(&["--help"], nowhere()).await;
    assert_eq!(code, Some(0));
    for command in ["describe-vpc-endpoint-connections", "accept-vpc-endpoint-connections"] {
        assert!(help.contains(&format!("aws ec2 {command}")), "{help}");
    }
}
