//! What its role allows.

use super::*;

/// The statements of the role with this effect: each action with its resources, and the condition.
fn statements(stack: &Stack, effect: &str) -> Vec<(String, Vec<String>, Option<Value>)> {
    let role = stack.existing("FlushHostsRole");
    assert_eq!(role.get("ManagedPolicyArns"), None, "the policies are written out");
    let policies = role["Policies"].as_array().unwrap();
    let statements = policies
        .iter()
        .flat_map(|policy| policy["PolicyDocument"]["Statement"].as_array().unwrap());
    let matching = statements.filter(|statement| statement["Effect"] == effect);
    let each = |s: &Value| {
        strings(&s["Action"])
            .into_iter()
            .map(|a| (a, strings(&s["Resource"]), s.get("Condition").cloned()))
            .collect::<Vec<_>>()
    };
    matching.flat_map(each).collect()
}

#[test]
fn the_role_sees_the_instances_logs_in_and_no_more() {
    let arn =
        |service: &str, rest: &str| format!("arn:aws:{service}:eu-west-1:111122223333:{rest}");
    let user = arn("rds-db", "dbuser:cluster-ABCDEFGHIJKL01234/flush_hosts");
    let cluster = (DESCRIBE_CLUSTERS, arn("rds", "cluster:app"));
    let login = ("rds-db:connect", user);
    let secret = (GET_SECRET, SECRET.to_owned());
    let instances = |name: &str| (DESCRIBE_INSTANCES, arn("rds", &format!("db:{name}")));
    let cases = [
        (with(&[]), vec![cluster.clone(), instances("*"), login.clone()]),
        (
            with(&[("DatabaseKind", "readers")]),
            vec![cluster.clone(), instances("*"), login.clone()],
        ),
        (
            with(&[("DatabaseKind", "instance"), ("DatabaseIdentifier", "other")]),
            vec![instances("other"), login],
        ),
        (with_secret(), vec![cluster, instances("*"), secret]),
    ];
    for (stack, own) in cases {
        let logs = arn("logs", "log-group:{FlushHostsLogGroup}:*");
        let mut expected: BTreeSet<_> =
            own.into_iter().map(|(action, resource)| (action.to_owned(), resource)).collect();
        expected.insert(("logs:CreateLogStream".into(), logs.clone()));
        expected.insert(("logs:PutLogEvents".into(), logs));
        expected.insert(("sqs:SendMessage".into(), "{FailureQueue.Arn}".into()));
        expected.extend(
            owned(NETWORK_INTERFACE_ACTIONS).into_iter().map(|action| (action, "*".into())),
        );
        let allowed = statements(&stack, "Allow").into_iter();
        let allowed: BTreeSet<_> =
            allowed.flat_map(|(a, all, _)| all.into_iter().map(move |r| (a.clone(), r))).collect();
        assert_eq!(allowed, expected);
    }
}

#[test]
fn the_user_logs_in_where_the_resource_ids_are() {
    let ids = "cluster-ABCDEFGHIJ,db-AAAAAAAAAA,db-BBBBBBBBBB,db-CCCCCCCCCC";
    for count in 1..=4 {
        let given: Vec<_> = ids.split(',').take(count).collect();
        let joined = given.join(",");
        let allowed = statements(&with(&[("DatabaseResourceIds", &joined)]), "Allow");
        let (_, resources, _) =
            allowed.into_iter().find(|(action, ..)| action == "rds-db:connect").unwrap();
        let expected = given
            .iter()
            .map(|id| format!("arn:aws:rds-db:eu-west-1:111122223333:dbuser:{id}/flush_hosts"));
        assert_eq!(resources, expected.collect::<Vec<_>>());
    }
}

#[test]
fn network_interfaces_are_lambdas_to_handle_and_not_the_codes() {
    let denied = statements(&with(&[]), "Deny");
    assert_eq!(
        denied.iter().map(|(action, ..)| action.clone()).collect::<BTreeSet<_>>(),
        owned(NETWORK_INTERFACE_ACTIONS)
    );
    let any_function = "arn:aws:lambda:eu-west-1:111122223333:function:*";
    let from_code = json!({"ArnLike": {"lambda:SourceFunctionArn": any_function}});
    assert!(
        denied
            .iter()
            .all(|(_, all, condition)| *all == ["*"] && condition.as_ref() == Some(&from_code))
    );
}
