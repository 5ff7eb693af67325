//! The three ways to the function, and where what is lost ends.

use std::collections::BTreeSet;

use reconcile::trigger::EVENT_LIFETIME;
use serde_json::json;

use super::events::rds_endpoints;
use super::stack::{ENDPOINTS, Stack, TEMPLATE, names_used, owned, section, strings, text};

/// What leads to the function, each way with the resources that only it has.
const WAYS: [(&str, &[&str]); 3] = [
    (
        "topic",
        &["EventSubscription", "Topic", "TopicPermission", "TopicPolicy", "TopicSubscription"],
    ),
    ("rule", &["EventPermission", "EventQueue", "EventQueuePolicy", "EventRule"]),
    ("schedule", &["Schedule", "SchedulePermission"]),
];

#[test]
fn the_topic_the_rule_and_the_schedule_invoke_the_function() {
    let stack = Stack::with(&[("ScheduleExpression", "rate(2 minutes)")]);
    let subscription = stack.existing("TopicSubscription");
    assert_eq!([&subscription["Protocol"], &subscription["TopicArn"]], ["lambda", "{Topic}"]);
    assert_eq!(subscription["Endpoint"], "{Function.Arn}");
    let schedule = stack.existing("Schedule");
    assert_eq!(
        [&schedule["ScheduleExpression"], &schedule["State"]],
        ["rate(2 minutes)", "ENABLED"]
    );
    let rule = stack.existing("EventRule");
    assert_eq!(rule["State"], "ENABLED");
    assert_eq!(rule.get("EventBusName"), None, "RDS sends to the default bus");
    for rule in [&schedule, &rule] {
        assert_eq!(rule["Targets"].as_array().unwrap().len(), 1);
        assert_eq!(rule["Targets"][0]["Arn"], "{Function.Arn}");
    }
    let callers = [
        ("EventPermission", "events.amazonaws.com", "{EventRule.Arn}"),
        ("SchedulePermission", "events.amazonaws.com", "{Schedule.Arn}"),
        ("TopicPermission", "sns.amazonaws.com", "{Topic}"),
    ];
    let permissions = section("Resources")
        .iter()
        .filter(|(_, resource)| resource["Type"] == "AWS::Lambda::Permission");
    assert_eq!(
        permissions.map(|(name, _)| name.clone()).collect::<BTreeSet<_>>(),
        owned(callers.map(|(name, ..)| name))
    );
    for (name, principal, source) in callers {
        let expected = json!({
            "Action": "lambda:InvokeFunction",
            "FunctionName": "{Function}",
            "Principal": principal,
            "SourceArn": source,
        });
        assert_eq!(stack.existing(name), expected);
    }
}

#[test]
fn the_loss_of_any_two_ways_to_the_function_leaves_the_third() {
    let resources = section("Resources");
    for (way, own) in WAYS {
        let mut needed = BTreeSet::new();
        for name in own {
            names_used(&resources[*name], &mut needed);
            needed.extend(resources[*name].get("DependsOn").map(strings).into_iter().flatten());
        }
        needed.retain(|name| resources.contains_key(name));
        // The failure queue receives only what the topic or the schedule could not deliver.
        let shared: &[&str] =
            if way == "rule" { &["Function"] } else { &["FailureQueue", "Function"] };
        let allowed = owned(own.iter().chain(shared).copied());
        assert!(needed.is_subset(&allowed), "the {way} needs more than {allowed:?}: {needed:?}");
    }
    let mut by_the_function = BTreeSet::new();
    ["Function", "FunctionRole"]
        .iter()
        .for_each(|name| names_used(&resources[*name], &mut by_the_function));
    for (way, own) in WAYS {
        assert!(
            own.iter().all(|name| !by_the_function.contains(*name)),
            "the function needs the {way}"
        );
    }
}

#[test]
fn only_what_rds_tells_of_has_a_rule() {
    let parts: BTreeSet<_> =
        section("Resources").keys().filter(|name| name.starts_with("Event")).collect();
    let expected = [
        "EventPermission",
        "EventQueue",
        "EventQueueAlarm",
        "EventQueuePolicy",
        "EventRule",
        "EventSubscription",
    ];
    assert_eq!(parts.iter().map(|name| (*name).clone()).collect::<BTreeSet<_>>(), owned(expected));
    for (kind, endpoint) in ENDPOINTS {
        let stack = Stack::with(&[("DatabaseKind", kind), ("DatabaseEndpoint", endpoint)]);
        let is_rds = rds_endpoints().any(|(rds, ..)| rds == kind);
        for part in expected {
            assert_eq!(stack.resource(part).is_some(), is_rds, "{kind}: {part}");
        }
        assert_eq!(
            stack.condition(TEMPLATE["Outputs"]["EventQueueUrl"]["Condition"].as_str().unwrap()),
            is_rds
        );
    }
}

#[test]
fn events_that_the_rule_cannot_deliver_land_in_an_encrypted_queue_of_its_own() {
    let stack = Stack::with(&[]);
    let target = &stack.existing("EventRule")["Targets"][0];
    assert_eq!(target["DeadLetterConfig"], json!({"Arn": "{EventQueue.Arn}"}));
    assert_eq!(
        target["RetryPolicy"],
        json!({"MaximumEventAgeInSeconds": EVENT_LIFETIME.as_secs()})
    );
    let queue = json!({"SqsManagedSseEnabled": true, "MessageRetentionPeriod": 1209600});
    assert_eq!(stack.existing("EventQueue"), queue);
    let policy = stack.existing("EventQueuePolicy");
    assert_eq!(policy["Queues"], json!(["{EventQueue}"]));
    let only = json!({
        "Sid": "UndeliveredEvents",
        "Effect": "Allow",
        "Principal": {"Service": "events.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": "{EventQueue.Arn}",
        "Condition": {"ArnEquals": {"aws:SourceArn": "{EventRule.Arn}"}},
    });
    assert_eq!(policy["PolicyDocument"]["Statement"], json!([only]));
}

#[test]
fn whatever_else_is_lost_lands_in_one_encrypted_queue() {
    let stack = Stack::with(&[]);
    let queue = "{FailureQueue.Arn}";
    assert_eq!(stack.existing("FailureQueue")["SqsManagedSseEnabled"], true);
    let asynchronous = stack.existing("FunctionEventInvokeConfig");
    assert_eq!(asynchronous["MaximumRetryAttempts"], 2);
    assert_eq!(asynchronous["DestinationConfig"]["OnFailure"], json!({"Destination": queue}));
    assert_eq!(stack.existing("TopicSubscription")["RedrivePolicy"]["deadLetterTargetArn"], queue);
    assert_eq!(stack.existing("Schedule")["Targets"][0]["DeadLetterConfig"]["Arn"], queue);

    let policy = stack.existing("FailureQueuePolicy");
    assert_eq!(policy["Queues"], json!(["{FailureQueue}"]));
    let writers =
        policy["PolicyDocument"]["Statement"].as_array().unwrap().iter().map(|statement| {
            assert_eq!([&statement["Effect"], &statement["Action"]], ["Allow", "sqs:SendMessage"]);
            assert_eq!(statement["Resource"], queue);
            (
                text(&statement["Principal"]["Service"]),
                text(&statement["Condition"]["ArnEquals"]["aws:SourceArn"]),
            )
        });
    let expected = [("events.amazonaws.com", "{Schedule.Arn}"), ("sns.amazonaws.com", "{Topic}")];
    assert_eq!(
        writers.collect::<BTreeSet<_>>(),
        expected.map(|(a, b)| (a.into(), b.into())).into()
    );
}
