//! Alarms, the topic for people, and outputs.

use std::collections::{BTreeMap, BTreeSet};

use regex::Regex;
use serde_json::json;

use super::mode::ONLY_WHILE_OBSERVING;
use super::stack::{
    BASE, LOAD_BALANCER, LOAD_BALANCER_GROUP, LOAD_BALANCER_NAME, OPERATIONS_TOPIC,
    READER_TARGET_GROUP, Stack, TARGET_GROUP, TEMPLATE, accepts, layer, owned, root, section, text,
};
use super::{NAME, PROBING_PATH, READERS, joined};

const TOPIC: &str = "arn:aws:sns:eu-west-1:111122223333:ops";
const KEY: &str = "arn:aws:kms:eu-west-1:111122223333:key/1234abcd";

#[test]
fn alarms_see_a_wrong_group_errors_losses_silence_and_disagreement() {
    let stack = Stack::with(&[&PROBING_PATH[..], &[READERS]].concat());
    let function = json!([{"Name": "FunctionName", "Value": "{Function}"}]);
    let binding =
        |name: &str| json!([{"Name": "Binding", "Value": format!("{{Function}}/{name}")}]);
    let queue =
        |name: &str| json!([{"Name": "QueueName", "Value": format!("{{{name}.QueueName}}")}]);
    let (failures, undelivered) = (queue("FailureQueue"), queue("EventQueue"));
    let visible = "AWS/SQS ApproximateNumberOfMessagesVisible Maximum";
    let targets = json!([
        {"Name": "LoadBalancer", "Value": "net/shared/fedcba9876543210"},
        {"Name": "TargetGroup", "Value": "targetgroup/link/0123456789abcdef"},
    ]);
    let readers = json!([
        {"Name": "LoadBalancer", "Value": "net/shared/fedcba9876543210"},
        {"Name": "TargetGroup", "Value": "targetgroup/link-readers/0123456789abcdef"},
    ]);
    let (writer, reader) = (binding("writer"), binding("readers"));
    let at_least = "GreaterThanOrEqualToThreshold";
    let below = "LessThanThreshold";
    let above = "GreaterThanThreshold";
    let expected = [
        ("FunctionErrorsAlarm", "AWS/Lambda Errors Sum", &function, at_least, 3, "notBreaching"),
        ("FailureQueueAlarm", visible, &failures, at_least, 1, "notBreaching"),
        ("EventQueueAlarm", visible, &undelivered, at_least, 1, "notBreaching"),
        ("LastInSyncAlarm", "FailoverSync InSync Maximum", &writer, below, 1, "breaching"),
        ("NotInSyncAlarm", "FailoverSync InSync Maximum", &writer, below, 1, "ignore"),
        ("ReadersNotInSyncAlarm", "FailoverSync InSync Maximum", &reader, below, 1, "ignore"),
        (
            "SeveralTargetsAlarm",
            "AWS/NetworkELB HealthyHostCount Minimum",
            &targets,
            above,
            1,
            "notBreaching",
        ),
        (
            "WitnessDisagreementAlarm",
            "FailoverSync WitnessDisagreement Minimum",
            &writer,
            at_least,
            1,
            "notBreaching",
        ),
        (
            "TopologySilentAlarm",
            "FailoverSync TopologySilent Minimum",
            &writer,
            at_least,
            1,
            "notBreaching",
        ),
        (
            "ProbeSilentAlarm",
            "FailoverSync ProbeSilent Minimum",
            &writer,
            at_least,
            1,
            "notBreaching",
        ),
        ("PathDownAlarm", "FailoverSync PathUp Maximum", &writer, below, 1, "ignore"),
        (
            "NoHealthyReaderAlarm",
            "AWS/NetworkELB HealthyHostCount Maximum",
            &readers,
            below,
            1,
            "breaching",
        ),
        (
            "NoHealthyTargetAlarm",
            "AWS/NetworkELB HealthyHostCount Maximum",
            &targets,
            below,
            1,
            "breaching",
        ),
        ("ScheduleSilentAlarm", "AWS/Lambda Invocations Sum", &function, below, 1, "breaching"),
    ];
    let alarms = section("Resources")
        .iter()
        .filter(|(_, resource)| resource["Type"] == "AWS::CloudWatch::Alarm");
    let acting = expected.map(|alarm| alarm.0);
    assert_eq!(
        alarms.map(|(name, _)| name.clone()).collect::<BTreeSet<_>>(),
        owned(acting.into_iter().chain(ONLY_WHILE_OBSERVING))
    );
    for (name, metric, dimensions, comparison, threshold, missing) in expected {
        let alarm = stack.existing(name);
        let measured =
            ["Namespace", "MetricName", "Statistic"].map(|key| text(&alarm[key])).join(" ");
        assert_eq!(measured, metric);
        assert_eq!(&alarm["Dimensions"], dimensions, "{name}");
        assert_eq!(
            (&alarm["ComparisonOperator"], &alarm["Threshold"]),
            (&json!(comparison), &json!(threshold)),
            "{name}"
        );
        assert_eq!(alarm["TreatMissingData"], missing, "{name}");
        assert!(text(&alarm["AlarmDescription"]).len() > 80, "{name} does not say what to do");
    }
}

#[test]
fn every_alarm_tells_people_and_never_the_function() {
    let probing = [&PROBING_PATH[..], &[NAME, READERS, ("OperationsTopicArn", TOPIC)]].concat();
    for (parameters, topic, count) in [
        (&[READERS][..], OPERATIONS_TOPIC, 13),
        (&[READERS, ("OperationsTopicArn", TOPIC)], TOPIC, 13),
        (&probing, TOPIC, 15),
    ] {
        for stack in [Stack::with(parameters), joined(parameters)] {
            let is_alarm =
                |resource: &serde_json::Value| text(&resource["Type"]).ends_with("Alarm");
            let alarms = section("Resources").iter().filter(|(_, resource)| is_alarm(resource));
            let existing: Vec<_> =
                alarms.filter_map(|(name, _)| Some((name, stack.resource(name)?))).collect();
            assert_eq!(existing.len(), count);
            for (name, alarm) in existing {
                assert_eq!(
                    [&alarm["AlarmActions"], &alarm["OKActions"]],
                    [&json!([topic]), &json!([topic])],
                    "{name}"
                );
            }
        }
        let link = Stack::with(parameters);
        assert_eq!(link.output("OperationsTopicArn"), topic);
        assert_eq!(link.resource("OperationsTopic").is_some(), topic != TOPIC);
        assert_eq!(link.resource("OperationsTopicPolicy").is_some(), topic != TOPIC);
    }
}

#[test]
fn only_alarms_and_endpoint_services_of_this_account_may_publish_to_people() {
    let statements = |stack: &Stack| {
        let policy = stack.existing("OperationsTopicPolicy");
        assert_eq!(policy["Topics"], json!([OPERATIONS_TOPIC]));
        let statements = policy["PolicyDocument"]["Statement"].as_array().unwrap().iter().cloned();
        let without_sid = statements.map(|mut statement| {
            statement.as_object_mut().unwrap().remove("Sid");
            statement
        });
        without_sid.collect::<Vec<_>>()
    };
    let allow = |service: &str, source: &str| {
        json!({
            "Effect": "Allow",
            "Principal": {"Service": service},
            "Action": "sns:Publish",
            "Resource": OPERATIONS_TOPIC,
            "Condition": {
                "StringEquals": {"aws:SourceAccount": "111122223333"},
                "ArnLike": {"aws:SourceArn": source},
            },
        })
    };
    let alarms =
        allow("cloudwatch.amazonaws.com", "arn:aws:cloudwatch:eu-west-1:111122223333:alarm:*");
    let services =
        allow("vpce.amazonaws.com", "arn:aws:ec2:eu-west-1:111122223333:vpc-endpoint-service/*");
    assert_eq!(statements(&Stack::with(&[])), [alarms, services]);
    let description = text(&TEMPLATE["Parameters"]["OperationsTopicArn"]["Description"]);
    for grant in [
        "cloudwatch.amazonaws.com",
        "vpce.amazonaws.com",
        "sns:Publish",
        "aws:SourceAccount",
        "aws:SourceArn",
    ] {
        assert!(description.contains(grant), "{grant} is not documented");
    }
}

#[test]
fn people_hear_of_every_connection_to_an_endpoint_service_that_is_built() {
    for (parameters, topic) in
        [(&[][..], OPERATIONS_TOPIC), (&[("OperationsTopicArn", TOPIC)], TOPIC)]
    {
        let expected = json!({
            "ServiceId": "{EndpointService}",
            "ConnectionEvents": ["Connect", "Accept", "Reject", "Delete"],
            "ConnectionNotificationArn": topic,
        });
        assert_eq!(Stack::with(parameters).existing("ConnectionNotification"), expected);
        assert_eq!(joined(parameters).resource("ConnectionNotification"), None);
    }
    let arn =
        &TEMPLATE["Resources"]["ConnectionNotification"]["Properties"]["ConnectionNotificationArn"];
    assert!(
        arn.to_string().contains("OperationsTopicPolicy"),
        "a request may come before the topic takes it"
    );
}

#[test]
fn an_address_is_subscribed_if_it_is_given() {
    assert_eq!(Stack::with(&[]).resource("OperationsSubscription"), None);
    let expected =
        json!({"TopicArn": OPERATIONS_TOPIC, "Protocol": "email", "Endpoint": "ops@example.com"});
    assert_eq!(
        Stack::with(&[("OperationsEmail", "ops@example.com")]).existing("OperationsSubscription"),
        expected
    );
}

#[test]
fn topics_queues_and_logs_are_encrypted_with_a_given_key() {
    let stack = Stack::with(&[("KmsKeyArn", KEY)]);
    for topic in ["Topic", "OperationsTopic"] {
        assert_eq!(Stack::with(&[]).existing(topic), json!({}));
        assert_eq!(stack.existing(topic), json!({"KmsMasterKeyId": KEY}));
    }
    for queue in ["FailureQueue", "EventQueue"] {
        let queue = stack.existing(queue);
        assert_eq!(
            [&queue["KmsMasterKeyId"], &queue["SqsManagedSseEnabled"]],
            [&json!(KEY), &json!(false)]
        );
    }
    assert_eq!(stack.existing("FunctionLogGroup")["KmsKeyId"], KEY);
    assert_eq!(Stack::with(&[]).existing("FunctionLogGroup").get("KmsKeyId"), None);
    // Lambda writes to the failure queue as the function.
    let role = |stack: &Stack| stack.existing("FunctionRole").to_string();
    assert!(
        role(&stack).contains("kms:GenerateDataKey") && !role(&Stack::with(&[])).contains("kms:")
    );
    let guide = std::fs::read_to_string(root().join("infra/README.md")).unwrap();
    let services = ["events.rds", "cloudwatch", "vpce", "sns", "events"]
        .map(|name| format!("\"{name}.amazonaws.com\""));
    for words in
        services.iter().map(String::as_str).chain(["logs.", "kms:GenerateDataKey*", "kms:Decrypt"])
    {
        assert!(guide.contains(words), "{words} is not documented");
    }
}

#[test]
fn the_slowest_schedule_is_not_taken_for_silence() {
    let alarm =
        Stack::with(&[("ScheduleExpression", "rate(5 minutes)")]).existing("ScheduleSilentAlarm");
    let window = alarm["Period"].as_u64().unwrap() * alarm["EvaluationPeriods"].as_u64().unwrap();
    assert_eq!(window, 2 * 300);
    assert!(!accepts("ScheduleExpression", "rate(6 minutes)"));
}

#[test]
fn outputs_are_what_consumers_and_operators_need() {
    let expected = [
        ("DashboardName", "{Dashboard}"),
        ("EndpointServiceId", "{EndpointService}"),
        ("EndpointServiceName", "com.amazonaws.vpce.eu-west-1.{EndpointService}"),
        ("EventQueueUrl", "{EventQueue}"),
        ("FailureQueueUrl", "{FailureQueue}"),
        ("FunctionName", "{Function}"),
        ("ListenerPort", "5432"),
        ("LoadBalancerArn", LOAD_BALANCER),
        ("LoadBalancerFullName", "net/shared/fedcba9876543210"),
        ("LoadBalancerDnsName", LOAD_BALANCER_NAME),
        ("LoadBalancerSecurityGroupId", LOAD_BALANCER_GROUP),
        ("OperationsTopicArn", OPERATIONS_TOPIC),
        ("ReaderListenerPort", READERS.1),
        ("ReaderTargetGroupArn", READER_TARGET_GROUP),
        ("SubnetIds", BASE[5].1),
        ("TargetGroupArn", TARGET_GROUP),
        ("TopicArn", "{Topic}"),
    ];
    let expected: BTreeMap<_, _> =
        expected.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    assert_eq!(Stack::with(&[READERS]).outputs(), expected);
    assert_eq!(section("Outputs").len(), expected.len());
    assert!(section("Outputs").values().all(|output| output["Description"].is_string()));

    // Of a database that joins, only what is its own.
    let mut of_the_database = expected;
    for (of_the_link, _) in layer("infra/link.yaml")["Outputs"].as_object().unwrap() {
        of_the_database.remove(of_the_link);
    }
    assert_eq!(joined(&[READERS]).outputs(), of_the_database);

    // A database that RDS does not know, and without readers.
    let server = joined(&[("DatabaseKind", "address"), ("DatabaseEndpoint", "10.0.1.9")]).outputs();
    for missing in ["EventQueueUrl", "ReaderListenerPort", "ReaderTargetGroupArn"] {
        of_the_database.remove(missing);
    }
    assert_eq!(server, of_the_database);
}

/// SAM's cache sees the function's folder alone: after a change elsewhere it ships an old binary.
#[test]
fn sam_does_not_cache_builds() {
    let samconfig = std::fs::read_to_string(root().join("samconfig.toml")).unwrap();
    let settings: Vec<_> =
        samconfig.lines().filter(|line| !line.trim_start().starts_with('#')).collect();
    assert!(!settings.iter().any(|line| line.contains("cached")), "{settings:?}");
    assert!(settings.contains(&r#"capabilities = "CAPABILITY_IAM""#));
    let default = settings
        .split(|line| line.starts_with('[') && !line.starts_with("[default."))
        .next()
        .unwrap();
    let account = Regex::new(r"\d{12}|vpc-|subnet-").unwrap();
    assert!(
        !account.is_match(&default.join("\n")),
        "an account's values do not belong into the defaults"
    );
}
