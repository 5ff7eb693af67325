//! The function: build, environment, logs, network.

use std::collections::BTreeSet;
use std::time::Duration;

use base::payload::WATCH_LIMIT;
use lab::variables::{VARIABLES_LIMIT, lambda_size};
use platform::aws;
use reconcile::binding::Kind;
use reconcile::config::{Config, VARIABLES};
use reconcile::watch::DRIFT_LIMIT;
use serde_json::json;

use super::stack::{ENDPOINTS, Stack, TARGET_GROUP, TEMPLATE, owned, root, strings, text};
use super::{FUNCTION_IN_VPC, joined};

/// The variables that only a function which asks the database has.
pub(crate) const FOR_PROBING: [&str; 4] =
    ["PROBE_USER", "PROBE_SECRET_ARN", "PROBE_PATH", "CA_BUNDLE"];

#[test]
fn the_function_is_built_from_this_workspace() {
    let metadata = &TEMPLATE["Resources"]["Function"]["Metadata"];
    assert_eq!(
        *metadata,
        json!({"BuildMethod": "rust-cargolambda", "BuildProperties": {"Binary": "failover-sync"}})
    );
    let function = Stack::with(&[]).existing("Function");
    assert!(root().join("infra").join(text(&function["Code"])).join("Cargo.toml").exists());
    assert_eq!([&function["Runtime"], &function["Handler"]], ["provided.al2023", "bootstrap"]);
    assert_eq!(function["Architectures"], json!(["x86_64"]));
    let names = |parameters: &[(&str, &str)]| {
        let stack = joined(parameters);
        [
            text(&stack.existing("Function")["FunctionName"]),
            text(&stack.existing("FunctionLogGroup")["LogGroupName"]),
        ]
    };
    assert_eq!(names(&[]), ["link", "/aws/lambda/link"]);
    assert_eq!(names(&[("FunctionName", "mine")]), ["mine", "/aws/lambda/mine"]);
}

#[test]
fn the_function_logs_json_to_a_group_that_forgets() {
    let stack = Stack::with(&[("LogRetentionDays", "7")]);
    let expected = json!({
        "LogFormat": "JSON",
        "ApplicationLogLevel": "INFO",
        "SystemLogLevel": "WARN",
        "LogGroup": "{FunctionLogGroup}",
    });
    assert_eq!(stack.existing("Function")["LoggingConfig"], expected);
    assert_eq!(stack.existing("FunctionLogGroup")["RetentionInDays"], "7");
}

#[test]
fn the_function_outlives_its_budgets_and_its_events_outlive_the_retries() {
    let function = Stack::with(&[]).existing("Function");
    let timeout = Duration::from_secs(function["Timeout"].as_u64().unwrap());
    let calls = 2 * aws::OPERATION_TIMEOUT;
    for budget in [WATCH_LIMIT, DRIFT_LIMIT] {
        assert!(
            timeout > budget + calls,
            "{timeout:?} is not more than {budget:?} and the calls around it"
        );
    }
    // Lambda pauses one minute before the first retry and two before the second.
    let asynchronous = Stack::with(&[]).existing("FunctionEventInvokeConfig");
    assert_eq!(
        [&asynchronous["FunctionName"], &asynchronous["Qualifier"]],
        ["{Function}", "$LATEST"]
    );
    let age = Duration::from_secs(asynchronous["MaximumEventAgeInSeconds"].as_u64().unwrap());
    assert!(
        age >= 3 * timeout + Duration::from_secs(60 + 120),
        "{age:?} does not leave room for three attempts"
    );
}

#[test]
fn the_environment_is_what_the_configuration_reads() {
    for (kind, endpoint) in ENDPOINTS {
        let parameters = [
            ("DatabaseKind", kind),
            ("DatabaseEndpoint", endpoint),
            ("AllowedCidrs", "10.0.0.0/16"),
            ("DnsServers", "10.0.0.2,127.0.0.1:5353"),
        ];
        let function = Stack::with(&parameters).existing("Function");
        assert_eq!(
            joined(&parameters).existing("Function"),
            function,
            "the function does not see who built the link"
        );
        let variables = function["Environment"]["Variables"].as_object().unwrap();
        let expected = VARIABLES.into_iter().filter(|name| !FOR_PROBING.contains(name));
        assert_eq!(variables.keys().cloned().collect::<BTreeSet<_>>(), owned(expected));
        let config = Config::parse(|name| variables.get(name).map(text))
            .unwrap_or_else(|error| panic!("{kind}: {error}"));
        let [binding] = config.bindings.as_slice() else { panic!("{:?}", config.bindings) };
        let id = ["cluster", "readers", "instance"].contains(&kind).then_some("app");
        assert_eq!(binding.name, "writer");
        assert_eq!(binding.kind.to_string(), kind);
        assert_eq!(binding.id.as_deref(), id, "{kind}");
        assert_eq!((binding.endpoint.to_string(), binding.port), (endpoint.to_owned(), 5432));
        assert_eq!(binding.target_group.to_string(), TARGET_GROUP);
        assert_eq!(config.allowed.to_string(), "10.0.0.0/16");
        assert_eq!(config.dns_servers.len(), 2);
    }
    let named = Stack::with(&[("DatabaseIdentifier", "other")]).existing("Function");
    assert!(text(&named["Environment"]["Variables"]["BINDINGS"]).contains(r#""id":"other""#));
}

/// With every option, and parameters that are as long as they may be where they are often long.
#[test]
fn the_variables_are_what_lambda_takes() {
    let label = "a".repeat(63);
    let endpoint = format!("{label}.cluster-abcdefghijkl.eusc-de-east-1.rds.amazonaws.eu");
    let ranges = (0..10).map(|n| format!("100.64.{n}00.0/24")).collect::<Vec<_>>().join(",");
    let given = [
        &super::PROBING[..],
        &[
            super::READERS,
            ("DatabaseEndpoint", &*endpoint),
            ("AllowedCidrs", &*ranges),
            ("DnsServers", "10.100.200.2,10.100.200.3"),
        ][..],
        &[
            ("IpAddressType", "ipv6"),
            ("CaBundleLayerArn", "arn:aws:lambda:eu-west-1:111122223333:layer:ca:1"),
            ("PathProbe", "true"),
        ][..],
    ];
    let function = Stack::with(&given.concat()).existing("Function");
    let variables = function["Environment"]["Variables"].as_object().unwrap();
    let variables: Vec<_> =
        variables.iter().map(|(name, value)| (name.as_str(), text(value))).collect();
    let size = lambda_size(&variables);
    assert!(size < VARIABLES_LIMIT, "{size}");
}

#[test]
fn unset_options_are_left_to_the_function() {
    let function = Stack::with(&[]).existing("Function");
    let config =
        Config::parse(|name| function["Environment"]["Variables"].get(name).map(text)).unwrap();
    assert!(config.dns_servers.is_empty());
    assert_eq!(function.get("VpcConfig"), None);
    let kinds = strings(&TEMPLATE["Parameters"]["DatabaseKind"]["AllowedValues"]);
    assert_eq!(
        kinds.into_iter().collect::<BTreeSet<_>>(),
        Kind::ALL.iter().map(Kind::to_string).collect()
    );
}

#[test]
fn the_function_joins_given_subnets() {
    let function = Stack::with(&FUNCTION_IN_VPC).existing("Function");
    let expected =
        json!({"SubnetIds": [FUNCTION_IN_VPC[0].1], "SecurityGroupIds": [FUNCTION_IN_VPC[1].1]});
    assert_eq!(function["VpcConfig"], expected);
}
