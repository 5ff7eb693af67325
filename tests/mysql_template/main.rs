//! What `infra/flush-hosts.yaml` and its neighbours promise for MySQL and MariaDB, whose host cache
//! counts health checks as errors.

// In a test a failed unwrap is the failure that it reports.
#![allow(clippy::unwrap_used)]

mod alarms;
mod existence;
mod function;
mod infra;
mod role;
mod schedule;
#[path = "../stack.rs"]
mod stack;

use std::collections::BTreeSet;
use std::sync::LazyLock;
use std::time::Duration;

use base::login::LoginMethod;
use base::report::NAMESPACE;
use flush_hosts::config::{Config, Database, DatabaseKind};
use flush_hosts::flush::INSTANCE_LIMIT;
use platform::aws;
use platform::login::GET_SECRET;
use platform::rds::{DESCRIBE_CLUSTERS, DESCRIBE_INSTANCES};
use serde_json::{Value, json};
use stack::{
    BASE, ENDPOINTS, NETWORK_INTERFACE_ACTIONS, OPERATIONS_TOPIC, Stack, layer, load, owned, root,
    strings, takes, text,
};

/// How many checks the schedule expects from an address in an interval. AWS tells no number.
const CHECKS_AN_INTERVAL: u64 = 6;
/// How many runs fit into the time in which that many checks reach the limit.
const RUNS_BEFORE_BLOCKED: u64 = 3;
/// 5000 checks every 300 s, six at a time, are reached after 69 hours.
const NEVER_OVER_MINUTES: u64 = 69 * 60;
/// The longest period of an alarm.
const ALARM_PERIOD_MINUTES: u64 = 24 * 60;
/// The shortest rate of a schedule.
const SCHEDULE_MINUTES: u64 = 1;

const SECRET: &str = "arn:aws:secretsmanager:eu-west-1:111122223333:secret:flush-hosts-AbCdEf";
const LAYER: &str = "arn:aws:lambda:eu-west-1:111122223333:layer:ca:3";
const USER: [(&str, &str); 2] =
    [("FlushHostsUser", "flush_hosts"), ("DatabaseResourceIds", "cluster-ABCDEFGHIJKL01234")];
const NETWORK: [(&str, &str); 2] = [
    ("FlushHostsSubnetIds", "subnet-0123456789abcdef0"),
    ("FlushHostsSecurityGroupIds", "sg-0123456789abcdef0"),
];
const MYSQL: (&str, &str) = ("DatabaseEngine", "mysql");

/// Everything that is created for flushing.
const PARTS: [&str; 15] = [
    "Dashboard",
    "FailureQueue",
    "FailureQueueAlarm",
    "FailureQueuePolicy",
    "FlushFailedAlarm",
    "FlushHosts",
    "FlushHostsErrorsAlarm",
    "FlushHostsEventInvokeConfig",
    "FlushHostsLogGroup",
    "FlushHostsPermission",
    "FlushHostsRole",
    "FlushHostsSchedule",
    "FlushHostsSilentAlarm",
    "HostCacheFillAlarm",
    "HostsBlockedAlarm",
];

/// `infra/flush-hosts.yaml`.
static TEMPLATE: LazyLock<&Value> = LazyLock::new(|| layer("infra/flush-hosts.yaml"));

static PARAMETER_GROUP: LazyLock<Value> = LazyLock::new(|| load("infra/mysql-parameters.yaml"));

/// MySQL with a user that logs in by IAM, and these parameters in place of those.
fn with(given: &[(&str, &str)]) -> Stack {
    let base =
        [&[MYSQL, BASE[0], BASE[3], ("OperationsTopicArn", OPERATIONS_TOPIC)][..], &USER, &NETWORK]
            .concat();
    let base = base.into_iter().filter(|(name, _)| !given.iter().any(|(other, _)| other == name));
    Stack::of(&TEMPLATE, &given.iter().copied().chain(base).collect::<Vec<_>>())
}

/// Whether CloudFormation would take a value for a parameter.
fn accepts(parameter: &str, value: &str) -> bool {
    takes(&TEMPLATE["Parameters"][parameter], value)
}

fn without_user() -> [(&'static str, &'static str); 2] {
    USER.map(|(name, _)| (name, ""))
}

fn with_secret() -> Stack {
    with(&[&without_user()[..], &[("FlushHostsSecretArn", SECRET)]].concat())
}

/// The health check interval in seconds.
fn seconds(interval: &str) -> u64 {
    let engine = || {
        text(&layer("infra/database.yaml")["Mappings"]["Engine"]["mysql"]["HealthCheckInterval"])
    };
    if interval == "auto" { engine() } else { interval.to_owned() }.parse().unwrap()
}

/// In how many minutes the load balancer can be blocked at the earliest, and a third of it.
fn safe_minutes(limit: &str, interval: &str) -> u64 {
    let blocked_after = limit.parse::<u64>().unwrap() * seconds(interval) / CHECKS_AN_INTERVAL;
    (blocked_after / RUNS_BEFORE_BLOCKED / 60).min(NEVER_OVER_MINUTES).min(ALARM_PERIOD_MINUTES)
}

/// Every accepted limit with every accepted interval.
fn limits_and_intervals() -> Vec<(&'static str, &'static str)> {
    let values =
        |parameter: &str| TEMPLATE["Parameters"][parameter]["AllowedValues"].as_array().unwrap();
    let of = |value: &'static Value| value.as_str().unwrap();
    let intervals = values("HealthCheckIntervalSeconds");
    values("MaxConnectErrors")
        .iter()
        .flat_map(|limit| intervals.iter().map(move |i| (of(limit), of(i))))
        .collect()
}
