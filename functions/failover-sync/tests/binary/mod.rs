//! The function's real binary behind a Runtime API and an AWS on loopback.

pub(crate) mod aws;

use std::path::Path;

use lab::lambda::Function;
use serde_json::{Value, json};

use aws::Aws;

/// The ARN of the target group that the bindings of these tests keep.
pub(crate) const ARN: &str =
    "arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/db/0123456789abcdef";

/// The ARN of another target group, which the stand-in answers for as well.
pub(crate) const OTHER_ARN: &str =
    "arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/other/0123456789abcdef";

/// The endpoint of the bindings of these tests.
pub(crate) const ENDPOINT: &str = "orders.cluster-c1.eu-west-1.rds.amazonaws.com";

/// Where the function finds its world; everything else in its environment is what Lambda sets.
pub(crate) struct Settings {
    pub(crate) bindings: Value,
    pub(crate) variables: Vec<(&'static str, String)>,
}

impl Settings {
    /// One binding `writer`, resolved by this DNS server.
    pub(crate) fn new(dns: std::net::SocketAddr) -> Settings {
        let bindings = json!([{
            "name": "writer", "endpoint": ENDPOINT, "port": 5432, "targetGroupArn": ARN,
            "id": "orders",
        }]);
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

/// Starts the binary that was built with these tests, or the one that `BOOTSTRAP` names.
pub(crate) async fn start(settings: Settings) -> Function {
    let built = env!("CARGO_BIN_EXE_failover-sync").to_owned();
    let binary = std::env::var("BOOTSTRAP").unwrap_or(built);
    start_binary(Path::new(&binary), settings).await
}

/// Starts the given binary.
pub(crate) async fn start_binary(binary: &Path, settings: Settings) -> Function {
    let bindings = ("BINDINGS", settings.bindings.to_string());
    Function::start(binary, "failover-sync", settings.variables.into_iter().chain([bindings])).await
}
