//! What RDS tells the function, over the topic and over the event bus.

use std::collections::BTreeSet;

use reconcile::binding::Binding;
use reconcile::config::Config;
use reconcile::event;
use reconcile::trigger::Trigger;
use serde_json::{Value, json};

use super::stack::{ENDPOINTS, Stack, TEMPLATE, owned, root, strings, text};

#[test]
fn only_rds_of_this_account_may_publish() {
    let policy = Stack::with(&[]).existing("TopicPolicy");
    assert_eq!(policy["Topics"], json!(["{Topic}"]));
    let mut statements = policy["PolicyDocument"]["Statement"].as_array().unwrap().clone();
    statements
        .iter_mut()
        .for_each(|statement| _ = statement.as_object_mut().unwrap().remove("Sid"));
    let only = json!({
        "Effect": "Allow",
        "Principal": {"Service": "events.rds.amazonaws.com"},
        "Action": "sns:Publish",
        "Resource": "{Topic}",
        "Condition": {
            "StringEquals": {"aws:SourceAccount": "111122223333"},
            "ArnLike": {"aws:SourceArn": "arn:aws:rds:eu-west-1:111122223333:*"},
        },
    });
    assert_eq!(statements, [only]);
}

#[test]
fn rds_tells_of_everything_that_can_move_the_writer() {
    for (kind, endpoint) in ENDPOINTS {
        let stack = Stack::with(&[("DatabaseKind", kind), ("DatabaseEndpoint", endpoint)]);
        let subscription = stack.resource("EventSubscription");
        let source = match kind {
            "cluster" | "readers" => "db-cluster",
            "instance" => "db-instance",
            _ => {
                assert_eq!(subscription, None, "{kind} is no source of RDS events");
                continue;
            }
        };
        let subscription = subscription.unwrap();
        assert_eq!(subscription["SnsTopicArn"], "{Topic}");
        assert_eq!(subscription["SourceType"], source, "{kind}");
        assert_eq!(subscription["SourceIds"], json!(["app"]), "{kind}");
        assert_eq!(
            subscription.get("EventCategories"),
            None,
            "RDS refuses a category that the Region lacks"
        );
    }
    let named = Stack::with(&[("DatabaseIdentifier", "other")]).existing("EventSubscription");
    assert_eq!(named["SourceIds"], json!(["other"]));
    let before = strings(&TEMPLATE["Resources"]["EventSubscription"]["DependsOn"]);
    assert_eq!(before, ["TopicPolicy", "TopicPermission"], "RDS tests it at once");
}

/// Whether EventBridge lets an event through a pattern of the template's forms: `$or`, lists of
/// exact values, `anything-but`, `exists`. A missing field matches `exists: false` alone; a list
/// matches by any item (EventBridge user guide, "Comparison operators").
fn matches(pattern: &Value, event: &Value) -> bool {
    let fields = pattern.as_object().unwrap_or_else(|| panic!("{pattern} is no pattern"));
    fields.iter().all(|(key, expected)| match expected {
        Value::Array(branches) if key == "$or" => {
            assert!(branches.len() >= 2, "EventBridge takes no $or of one");
            branches.iter().any(|branch| matches(branch, event))
        }
        Value::Array(values) => {
            let held = event
                .get(key)
                .map(|value| value.as_array().cloned().unwrap_or_else(|| vec![value.clone()]));
            values.iter().any(|expected| {
                match (expected.get("anything-but"), expected.get("exists")) {
                    (Some(others), _) => held.as_ref().is_some_and(|held| {
                        held.iter().any(|one| !others.as_array().unwrap().contains(one))
                    }),
                    (_, Some(exists)) => *exists == held.is_some(),
                    _ => {
                        assert!(expected.is_string(), "{expected} is not known here");
                        held.as_ref().is_some_and(|held| held.contains(expected))
                    }
                }
            })
        }
        nested => event.get(key).is_some_and(|value| matches(nested, value)),
    })
}

/// The pattern for a database, and the binding that the function gets with it.
fn event_pattern(kind: &str, endpoint: &str, id: &str) -> (Value, Binding) {
    let parameters =
        [("DatabaseKind", kind), ("DatabaseEndpoint", endpoint), ("DatabaseIdentifier", id)];
    let stack = Stack::with(&parameters);
    let variables = &stack.existing("Function")["Environment"]["Variables"];
    let config = Config::parse(|name| variables.get(name).map(text)).unwrap();
    let pattern = stack.existing("EventRule")["EventPattern"].clone();
    (pattern, config.bindings.into_iter().next().unwrap())
}

/// The kinds whose writer RDS tells of, with the resource in their ARN.
pub(crate) fn rds_endpoints() -> impl Iterator<Item = (&'static str, &'static str, &'static str)> {
    let resource = |kind| if kind == "instance" { "db" } else { "cluster" };
    ENDPOINTS.into_iter().take(3).map(move |(kind, endpoint)| (kind, endpoint, resource(kind)))
}

const DEPLOYMENT: &str = "deployment:bgd-hdqs3ik6vrwgutsn";

fn rds_event(id: &str, source: &str) -> Value {
    json!({
        "detail-type": "RDS Event",
        "source": "aws.rds",
        "detail": {
            "EventID": id,
            "SourceArn": format!("arn:aws:rds:eu-west-1:111122223333:{source}"),
            "Message": "Completed failover to DB instance: app-b",
        },
    })
}

#[test]
fn the_rule_knows_the_ids_that_the_function_knows() {
    let known: BTreeSet<_> = event::ids().collect();
    for (kind, endpoint, resource) in rds_endpoints() {
        let (pattern, _) = event_pattern(kind, endpoint, "");
        assert_eq!(strings(&pattern["source"]), ["aws.rds"]);
        let branches = pattern["detail"]["$or"].as_array().unwrap();
        let by_id = branches.iter().filter(|branch| branch.get("EventCategories").is_none());
        let listed: Vec<_> = by_id.map(|branch| strings(&branch["EventID"])).collect();
        for ids in &listed {
            assert!(
                ids.is_sorted_by(|a, b| a < b),
                "{kind}: {ids:?} would be easier to read in order"
            );
        }
        assert_eq!(listed.concat().into_iter().collect::<BTreeSet<_>>(), known, "{kind}");
        let own = format!("{resource}:app");
        assert!(known.iter().all(|id| matches(&pattern, &rds_event(id, &own))), "{kind}");
        for number in 0..600 {
            let id = format!("RDS-EVENT-{number:04}");
            assert_eq!(
                matches(&pattern, &rds_event(&id, &own)),
                known.contains(&id),
                "{kind}: {id}"
            );
        }
    }
}

#[test]
fn of_the_category_failover_the_rule_lets_through_what_the_function_takes_for_one() {
    for (kind, endpoint, resource) in rds_endpoints() {
        let (pattern, binding) = event_pattern(kind, endpoint, "");
        for (source, is_own) in
            [(format!("{resource}:app"), true), (format!("{resource}:other"), false)]
        {
            for id in [None, Some("0034"), Some("0069"), Some("0013"), Some("0999")] {
                for categories in [
                    json!(["failover"]),
                    json!(["failure", "failover"]),
                    json!(["failure"]),
                    json!([]),
                ] {
                    let mut event = rds_event("", &source);
                    let detail = event["detail"].as_object_mut().unwrap();
                    detail.insert("EventCategories".into(), categories.clone());
                    detail.remove("EventID");
                    if let Some(id) = id {
                        detail.insert("EventID".into(), format!("RDS-EVENT-{id}").into());
                    }
                    let concerns = Trigger::parse(&event)
                        .unwrap()
                        .events
                        .iter()
                        .any(|event| event.concerns(&binding));
                    assert_eq!(matches(&pattern, &event), concerns, "{kind}: {event}");
                    assert!(is_own || !concerns, "{kind}: {event}");
                }
            }
        }
    }
}

#[test]
fn from_names_that_are_not_known_the_rule_brings_what_moves_addresses_and_no_failover() {
    let blue_green = ["RDS-EVENT-0248", "RDS-EVENT-0251", "RDS-EVENT-0260"];
    for (kind, endpoint, resource) in rds_endpoints() {
        let (pattern, binding) = event_pattern(kind, endpoint, "");
        let own = format!("{resource}:app");
        for id in event::ids() {
            let concerns = |source: &str| {
                let trigger = Trigger::parse(&rds_event(&id, source)).unwrap();
                trigger.events.iter().any(|event| event.concerns(&binding))
            };
            let is_let_through = |source: &str| matches(&pattern, &rds_event(&id, source));
            assert!(is_let_through(&own), "{kind}: {id} of its own");
            // The cluster itself tells of its global database, and that it was started.
            let of_the_cluster = ["0151", "0181", "0182", "0184", "0185", "0238", "0397"];
            let is_by_id = match kind {
                "instance" => blue_green.contains(&id.as_str()),
                _ => concerns("db:app-b") && !of_the_cluster.contains(&&id["RDS-EVENT-".len()..]),
            };
            assert!(concerns(DEPLOYMENT) || !is_by_id, "{kind}: {id} of a deployment");
            assert!(
                is_by_id || !blue_green.contains(&id.as_str()),
                "{kind}: {id} is told by the deployment alone"
            );
            for other in ["db:app-b", DEPLOYMENT, "cluster:other"] {
                assert_eq!(is_let_through(other), is_by_id, "{kind}: {id} of {other}");
            }
        }
    }
}

#[test]
fn the_rule_follows_the_database_that_the_function_follows() {
    for (kind, endpoint, resource) in rds_endpoints() {
        let (pattern, binding) = event_pattern(kind, endpoint, "other");
        assert_eq!(binding.id.as_deref(), Some("other"));
        assert!(
            matches(&pattern, &rds_event("RDS-EVENT-0071", &format!("{resource}:other"))),
            "{kind}"
        );
        assert!(
            !matches(&pattern, &rds_event("RDS-EVENT-0071", &format!("{resource}:app"))),
            "{kind}"
        );
    }
}

#[test]
fn the_rule_lets_the_sample_events_about_the_writer_through_and_no_others() {
    let (pattern, binding) = event_pattern("cluster", ENDPOINTS[0].1, "orders");
    let samples =
        std::fs::read_dir(root().join("tests/events")).unwrap().map(|entry| entry.unwrap().path());
    let mut let_through = BTreeSet::new();
    for path in samples {
        // The samples' account, in the stack's place.
        let sample = std::fs::read_to_string(&path).unwrap();
        let sample = sample.replace("123456789012", "111122223333");
        let sample: Value = serde_json::from_str(&sample).unwrap();
        let is_of_rds = sample["source"] == "aws.rds";
        let events = Trigger::parse(&sample).unwrap().events;
        let is_about_the_writer = is_of_rds && events.iter().any(|event| event.concerns(&binding));
        assert_eq!(matches(&pattern, &sample), is_about_the_writer, "{}", path.display());
        if is_about_the_writer {
            let_through.insert(path.file_name().unwrap().to_string_lossy().into_owned());
        }
    }
    let blue_green = "eventbridge-blue-green.json";
    let failovers = ["eventbridge-cluster-failover.json", "eventbridge-failover-without-id.json"];
    assert_eq!(let_through, owned(failovers.into_iter().chain([blue_green])));
    let unrelated = [
        rds_event("RDS-EVENT-0001", "cluster:orders"),
        rds_event("RDS-EVENT-0071", "cluster:ledger"),
        rds_event("RDS-EVENT-0049", "db:ledger"),
    ];
    assert!(unrelated.iter().all(|event| !matches(&pattern, event)));
    let mut disguised = rds_event("RDS-EVENT-0071", "cluster:orders");
    assert!(matches(&pattern, &disguised));
    disguised["source"] = "com.example".into();
    assert!(
        !matches(&pattern, &disguised),
        "anybody in the account may put events of other sources"
    );
}
