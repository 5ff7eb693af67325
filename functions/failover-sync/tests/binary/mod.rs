//! The function's real binary behind a Runtime API and an AWS on loopback.

pub(crate) mod aws;
pub(crate) mod runtime_api;

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::AsyncReadExt;
use tokio::process::{Child, Command};

use aws::Aws;
use runtime_api::{Outcome, RuntimeApi};

/// The ARN of the target group that the bindings of these tests keep.
pub(crate) const ARN: &str = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/db/0123456789abcdef";

/// The ARN of another target group, which the stand-in answers for as well.
pub(crate) const OTHER_ARN: &str =
    "arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/other/0123456789abcdef";

/// The endpoint of the bindings of these tests.
pub(crate) const ENDPOINT: &str = "orders.cluster-c1.eu-west-1.rds.amazonaws.com";

/// How long an invocation of these tests may take, as Lambda tells the function.
const TIME_LIMIT: Duration = Duration::from_secs(30);

/// A process that runs the function.
pub(crate) struct Function {
    process: Child,
    api: RuntimeApi,
}

/// Where the function finds its world; everything else in its environment is what Lambda sets.
pub(crate) struct Settings {
    pub(crate) bindings: Value,
    pub(crate) variables: Vec<(&'static str, String)>,
}

impl Settings {
    /// One binding `writer`, resolved by this DNS server.
    pub(crate) fn new(dns: std::net::SocketAddr) -> Settings {
        let bindings =
            json!([{"name": "writer", "endpoint": ENDPOINT, "port": 5432, "targetGroupArn": ARN, "id": "orders"}]);
        Settings { bindings, variables: vec![("DNS_SERVERS", dns.to_string())] }
    }

    /// With the services of this stand-in.
    pub(crate) fn with_aws(mut self, aws: &Aws) -> Settings {
        self.variables.push(("AWS_ENDPOINT_URL", aws.url()));
        self
    }

    /// With one more variable.
    pub(crate) fn with(mut self, name: &'static str, value: impl Into<String>) -> Settings {
        self.variables.push((name, value.into()));
        self
    }
}

impl Function {
    /// Starts the binary that was built with these tests, or the one that `BOOTSTRAP` names.
    pub(crate) async fn start(settings: Settings) -> Function {
        let built = env!("CARGO_BIN_EXE_failover-sync").to_owned();
        let binary = std::env::var("BOOTSTRAP").unwrap_or(built);
        Function::start_binary(Path::new(&binary), settings).await
    }

    /// Starts the given binary.
    pub(crate) async fn start_binary(binary: &Path, settings: Settings) -> Function {
        let api = RuntimeApi::start().await;
        let mut command = Command::new(binary);
        command
            .env_clear()
            .env("AWS_LAMBDA_RUNTIME_API", api.address())
            .env("AWS_LAMBDA_FUNCTION_NAME", "failover-sync")
            .env("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST")
            .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256")
            .env("AWS_LAMBDA_LOG_FORMAT", "JSON")
            .env("AWS_REGION", "eu-west-1")
            .env("AWS_ACCESS_KEY_ID", "test")
            .env("AWS_SECRET_ACCESS_KEY", "the-secret-of-this-test")
            .env("BINDINGS", settings.bindings.to_string())
            .envs(settings.variables)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        let process = command.spawn().unwrap_or_else(|error| panic!("{}: {error}", binary.display()));
        Function { process, api }
    }

    /// Sends an event and waits for what the function answers.
    pub(crate) async fn invoke(&self, event: &Value) -> Outcome {
        self.invoke_within(event, TIME_LIMIT).await
    }

    /// Sends an event that must be answered within the given time.
    pub(crate) async fn invoke_within(&self, event: &Value, limit: Duration) -> Outcome {
        self.api.invoke(event, limit).await
    }

    /// Waits until the process ends by itself, and returns the error that it told the Runtime API.
    pub(crate) async fn init_error(mut self) -> (Outcome, Vec<String>) {
        let status = self.process.wait().await.expect("the process can be waited for");
        assert!(!status.success(), "a function that cannot start ends with an error");
        let outcome = self.api.init_error().await;
        (outcome, self.output().await)
    }

    /// Ends the process and returns the lines of its standard output.
    pub(crate) async fn stop(mut self) -> Vec<String> {
        self.process.start_kill().expect("the process can be ended");
        self.output().await
    }

    async fn output(&mut self) -> Vec<String> {
        let mut text = String::new();
        let output = self.process.stdout.as_mut().expect("a piped output");
        output.read_to_string(&mut text).await.expect("UTF-8");
        text.lines().map(str::to_owned).collect()
    }
}
