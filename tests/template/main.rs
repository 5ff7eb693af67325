//! What `template.yaml` and its layers promise: a link with one database, and one that joins a
//! link. `layers.rs` has what holds them together, `mysql_template` has flush-hosts.

// In a test a failed unwrap is the failure that it reports.
#![allow(clippy::unwrap_used)]

mod descriptions;
mod events;
mod function;
mod joining;
mod kinds;
mod layers;
mod mode;
mod operations;
mod parameters;
mod partitions;
mod path;
mod path_probe;
mod readers;
mod role;
mod role_probe;
mod seeing;
#[path = "../stack.rs"]
mod stack;
mod standalone;
mod ways;

use stack::{
    BASE, ENDPOINTS, LOAD_BALANCER, LOAD_BALANCER_GROUP, LOAD_BALANCER_NAME, OPERATIONS_TOPIC,
    READER_TARGET_GROUP, Stack, TARGET_GROUP, fitting, layer,
};

const SECURITY_GROUP: (&str, &str) = ("DatabaseSecurityGroupId", "sg-0123456789abcdef0");
const FUNCTION_IN_VPC: [(&str, &str); 2] = [
    ("FunctionSubnetIds", "subnet-0123456789abcdef0"),
    ("FunctionSecurityGroupIds", "sg-0123456789abcdef0"),
];
/// A function that logs in to the database by IAM and asks it.
const PROBING: [(&str, &str); 4] = [
    FUNCTION_IN_VPC[0],
    FUNCTION_IN_VPC[1],
    ("ProbeUser", "failover_sync"),
    ("DatabaseResourceIds", "cluster-ABCDEFGHIJKL01234"),
];
/// One that asks it through the load balancer as well.
const PROBING_PATH: [(&str, &str); 5] =
    [PROBING[0], PROBING[1], PROBING[2], PROBING[3], ("PathProbe", "true")];
const READERS: (&str, &str) = ("ReaderListenerPort", "5433");
const TEN_RANGES: [&str; 10] = [
    "10.1.0.0/16",
    "10.2.0.0/16",
    "10.3.0.0/16",
    "10.4.0.0/16",
    "10.5.0.0/16",
    "10.6.0.0/16",
    "10.7.0.0/16",
    "10.8.0.0/16",
    "10.9.0.0/16",
    "10.10.0.0/16",
];

/// A link that exists.
const LINK: [(&str, &str); 3] = [
    ("LoadBalancerArn", LOAD_BALANCER),
    ("LoadBalancerSecurityGroupId", LOAD_BALANCER_GROUP),
    ("OperationsTopicArn", OPERATIONS_TOPIC),
];

/// The name of its load balancer, for [`PROBING_PATH`].
const NAME: (&str, &str) = ("LoadBalancerDnsName", LOAD_BALANCER_NAME);

/// A target group that exists.
const GROUP: [(&str, &str); 1] = [("TargetGroupArn", TARGET_GROUP)];

/// One for the readers of its cluster as well.
const GROUP_OF_READERS: [(&str, &str); 2] =
    [("ReaderTargetGroupArn", READER_TARGET_GROUP), ("ReaderEndpoint", ENDPOINTS[1].1)];

/// A stack of `infra/database.yaml` on that link, with these parameters.
fn joined(given: &[(&str, &str)]) -> Stack {
    alone("infra/database.yaml", given)
}

/// A stack of `infra/function.yaml` for that target group, with these parameters.
fn adopting(given: &[(&str, &str)]) -> Stack {
    alone("infra/function.yaml", given)
}

/// A layer that is deployed on its own, with what it needs.
fn alone(path: &str, given: &[(&str, &str)]) -> Stack {
    let given = fitting(given);
    let template = layer(path);
    let base = BASE.iter().chain(&LINK).chain(&GROUP);
    let base = base.filter(|(name, _)| template["Parameters"].get(name).is_some());
    let base = base.filter(|(name, _)| !given.iter().any(|(other, _)| other == name));
    Stack::of(template, &given.iter().chain(base).copied().collect::<Vec<_>>())
}

/// One database of every kind on a link that is built, and on one that is joined.
fn every_stack() -> impl Iterator<Item = (&'static str, &'static str, Stack)> {
    ENDPOINTS.into_iter().flat_map(|(kind, endpoint)| {
        let parameters = [("DatabaseKind", kind), ("DatabaseEndpoint", endpoint)];
        [Stack::with(&parameters), joined(&parameters)].map(|stack| (kind, endpoint, stack))
    })
}
