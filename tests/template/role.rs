//! What the function's role allows.

use std::collections::BTreeSet;

use failover_sync::elbv2;
use platform::rds;

use super::stack::{
    ENDPOINTS, NETWORK_INTERFACE_ACTIONS, READER_TARGET_GROUP, Stack, TARGET_GROUP, owned, strings,
};
use super::{FUNCTION_IN_VPC, READERS, joined};

/// What the role allows beside the calls of the adapters.
const LOG_ACTIONS: [&str; 2] = ["logs:CreateLogStream", "logs:PutLogEvents"];
const QUEUE_ACTIONS: [&str; 1] = ["sqs:SendMessage"];

/// The statements of the function's role with this effect: actions and resources.
fn statements(stack: &Stack, effect: &str) -> Vec<(BTreeSet<String>, Vec<String>)> {
    let role = stack.existing("FunctionRole");
    assert_eq!(role.get("ManagedPolicyArns"), None, "the policies are written out");
    let policies = role["Policies"].as_array().unwrap();
    let statements = policies
        .iter()
        .flat_map(|policy| policy["PolicyDocument"]["Statement"].as_array().unwrap());
    let matching = statements.filter(|statement| statement["Effect"] == effect);
    matching
        .map(|s| (strings(&s["Action"]).into_iter().collect(), strings(&s["Resource"])))
        .collect()
}

fn resources_of(stack: &Stack, action: &str) -> Vec<String> {
    let statements = statements(stack, "Allow").into_iter();
    statements
        .filter(|(actions, _)| actions.contains(action))
        .flat_map(|(_, resources)| resources)
        .collect()
}

#[test]
fn the_role_allows_what_the_adapters_call_and_no_more() {
    for (kind, endpoint) in ENDPOINTS {
        let has_topology = ["cluster", "readers"].contains(&kind);
        for in_vpc in [false, true] {
            let mut parameters = vec![("DatabaseKind", kind), ("DatabaseEndpoint", endpoint)];
            let mut expected: BTreeSet<_> = [&elbv2::IAM_ACTIONS[..], &LOG_ACTIONS, &QUEUE_ACTIONS]
                .concat()
                .into_iter()
                .collect();
            if has_topology {
                expected.extend(rds::IAM_ACTIONS);
            }
            if in_vpc {
                parameters.extend(FUNCTION_IN_VPC);
                expected.extend(NETWORK_INTERFACE_ACTIONS);
            }
            for stack in [Stack::with(&parameters), joined(&parameters)] {
                let allowed =
                    statements(&stack, "Allow").into_iter().flat_map(|(actions, _)| actions);
                assert_eq!(
                    allowed.collect::<BTreeSet<_>>(),
                    owned(expected.iter().copied()),
                    "{parameters:?}"
                );
            }
        }
    }
}

#[test]
fn the_role_names_its_resources() {
    let stack = Stack::with(&FUNCTION_IN_VPC);
    let arn =
        |service: &str, rest: &str| format!("arn:aws:{service}:eu-west-1:111122223333:{rest}");
    let expected = [
        ("elasticloadbalancing:RegisterTargets", TARGET_GROUP.to_owned()),
        ("elasticloadbalancing:DeregisterTargets", TARGET_GROUP.to_owned()),
        ("rds:DescribeDBClusters", arn("rds", "cluster:app")),
        ("rds:DescribeDBInstances", arn("rds", "db:*")),
        ("logs:PutLogEvents", arn("logs", "log-group:{FunctionLogGroup}:*")),
        ("sqs:SendMessage", "{FailureQueue.Arn}".to_owned()),
    ];
    for (action, resource) in expected {
        assert_eq!(resources_of(&stack, action), [resource], "{action}");
    }
    let everywhere =
        statements(&stack, "Allow").into_iter().filter(|(_, resources)| *resources == ["*"]);
    let everywhere: BTreeSet<_> = everywhere.flat_map(|(actions, _)| actions).collect();
    let mut without_resources = owned(NETWORK_INTERFACE_ACTIONS);
    without_resources.insert("elasticloadbalancing:DescribeTargetHealth".into());
    assert_eq!(everywhere, without_resources, "actions that take no resource");

    let named = Stack::with(&[("DatabaseIdentifier", "other")]);
    assert_eq!(resources_of(&named, "rds:DescribeDBClusters"), [arn("rds", "cluster:other")]);
}

#[test]
fn the_role_changes_the_readers_group_only_if_there_is_one() {
    for stack in [Stack::with(&[READERS]), joined(&[READERS])] {
        for action in
            ["elasticloadbalancing:RegisterTargets", "elasticloadbalancing:DeregisterTargets"]
        {
            assert_eq!(
                resources_of(&stack, action),
                [TARGET_GROUP, READER_TARGET_GROUP],
                "{action}"
            );
        }
    }
}

#[test]
fn network_interfaces_are_lambdas_to_handle_and_not_the_codes() {
    let denied = statements(&Stack::with(&FUNCTION_IN_VPC), "Deny");
    assert_eq!(denied, [(owned(NETWORK_INTERFACE_ACTIONS), vec!["*".to_owned()])]);
    assert_eq!(statements(&Stack::with(&[]), "Deny"), []);
}
