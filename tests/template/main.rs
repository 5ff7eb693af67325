//! What `template.yaml` promises, read from the template itself. What it adds for MySQL and MariaDB is in
//! `mysql_template`, what `infra/database.yaml` makes of it in `database.rs`.

// In a test a failed unwrap is the failure that it reports.
#![allow(clippy::unwrap_used)]

mod database;
mod descriptions;
mod events;
mod function;
mod joining;
mod operations;
mod parameters;
mod path;
mod readers;
mod role;
mod seeing;
#[path = "../stack.rs"]
mod stack;
mod ways;
mod witness;

use serde_json::Value;
use stack::{ENDPOINTS, Stack, section};

const SECURITY_GROUP: (&str, &str) = ("DatabaseSecurityGroupId", "sg-0123456789abcdef0");
const FUNCTION_IN_VPC: [(&str, &str); 2] =
    [("FunctionSubnetIds", "subnet-0123456789abcdef0"), ("FunctionSecurityGroupIds", "sg-0123456789abcdef0")];
/// A function that logs in to the database by IAM and asks it.
const ASKING: [(&str, &str); 4] = [
    FUNCTION_IN_VPC[0],
    FUNCTION_IN_VPC[1],
    ("WitnessUser", "failover_sync"),
    ("DatabaseResourceIds", "cluster-ABCDEFGHIJKL01234"),
];
const READERS: (&str, &str) = ("ReaderListenerPort", "5433");
const SIX_RANGES: [&str; 6] =
    ["10.1.0.0/16", "10.2.0.0/16", "10.3.0.0/16", "10.4.0.0/16", "10.5.0.0/16", "10.6.0.0/16"];

const LOAD_BALANCER: &str =
    "arn:aws:elasticloadbalancing:eu-west-1:111122223333:loadbalancer/net/shared/fedcba9876543210";
const LOAD_BALANCER_GROUP: &str = "sg-0fedcba9876543210";

/// A link that exists, and nothing of what only a link that is built takes.
const JOINED: [(&str, &str); 4] = [
    ("LoadBalancerArn", LOAD_BALANCER),
    ("LoadBalancerSecurityGroupId", LOAD_BALANCER_GROUP),
    ("SubnetIds", ""),
    ("AllowedPrincipals", ""),
];

/// A stack that joins the link, with these parameters.
fn joined(given: &[(&str, &str)]) -> Stack {
    Stack::with(&[&JOINED, given].concat())
}

/// One database of every kind on a link that is built, and on one that is joined.
fn every_stack() -> impl Iterator<Item = (&'static str, &'static str, Stack)> {
    ENDPOINTS.into_iter().flat_map(|(kind, endpoint)| {
        let parameters = [("DatabaseKind", kind), ("DatabaseEndpoint", endpoint)];
        [Stack::with(&parameters), joined(&parameters)].map(|stack| (kind, endpoint, stack))
    })
}

/// The resources that are not only for MySQL and MariaDB.
fn without_flushing() -> impl Iterator<Item = (&'static String, &'static Value)> {
    section("Resources").iter().filter(|(_, resource)| resource["Condition"] != "FlushesHosts")
}
