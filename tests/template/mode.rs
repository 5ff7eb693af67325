//! `Mode`: what a function that only observes has, and what it must not have.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::seeing::metrics_of;
use super::stack::{
    ENDPOINTS, READER_TARGET_GROUP, Stack, TARGET_GROUP, layer, owned, strings, text,
};
use super::{GROUP_OF_READERS, PROBING, READERS, adopting, joined};

/// What is shown of a function only while it observes.
pub(crate) const METRICS_WHILE_OBSERVING: [&str; 3] = ["Differs", "Observing", "WouldSwitch"];

pub(crate) const ONLY_WHILE_OBSERVING: [&str; 3] =
    ["DiffersAlarm", "ObservingAlarm", "ReadersDifferAlarm"];

/// They would ring about what others do.
const ONLY_WHILE_ACTING: [&str; 3] = ["LinkDownAlarm", "NotInSyncAlarm", "ReadersNotInSyncAlarm"];

const OBSERVE: (&str, &str) = ("Mode", "observe");
const ACT: (&str, &str) = ("Mode", "act");

/// Each pair of stacks that differ in their mode alone: of the front door, of a database that
/// joins, and of a function for groups that exist, all with readers.
fn pairs() -> impl Iterator<Item = [Stack; 2]> {
    let readers = [READERS];
    let everything = [&PROBING[..], &readers].concat();
    let given: Vec<_> = readers.into_iter().map(|one| vec![one]).chain([everything]).collect();
    let layers = given.into_iter().flat_map(|given| {
        let with = |mode| [&given[..], &[mode]].concat();
        [
            [OBSERVE, ACT].map(|mode| Stack::with(&with(mode))),
            [OBSERVE, ACT].map(|mode| joined(&with(mode))),
        ]
    });
    layers.chain([[OBSERVE, ACT].map(|mode| adopting(&[&GROUP_OF_READERS[..], &[mode]].concat()))])
}

/// The statements of the function's role.
fn statements(stack: &Stack) -> Vec<Value> {
    let role = stack.existing("FunctionRole");
    let policies = role["Policies"].as_array().unwrap().clone();
    let of = |policy: &Value| policy["PolicyDocument"]["Statement"].as_array().unwrap().clone();
    policies.iter().flat_map(of).collect()
}

#[test]
fn what_is_made_here_is_acted_on_and_what_exists_is_observed_unless_told_otherwise() {
    for (path, expected) in [
        ("template.yaml", "act"),
        ("infra/database.yaml", "act"),
        ("infra/function.yaml", "observe"),
    ] {
        assert_eq!(layer(path)["Parameters"]["Mode"]["Default"], expected, "{path}");
    }
    let mode =
        |stack: &Stack| text(&stack.existing("Function")["Environment"]["Variables"]["MODE"]);
    assert_eq!(
        [Stack::with(&[]), joined(&[]), adopting(&[])].map(|s| mode(&s)),
        ["act", "act", "observe"]
    );
    for [observing, acting] in pairs() {
        assert_eq!([mode(&observing), mode(&acting)], ["observe", "act"]);
    }
}

#[test]
fn an_observing_function_lacks_the_one_statement_that_changes_the_groups() {
    for [observing, acting] in pairs() {
        let (observing, acting) = (statements(&observing), statements(&acting));
        let taken: Vec<_> = acting.iter().filter(|one| !observing.contains(one)).cloned().collect();
        let writes = json!({
            "Sid": "ChangeTargetsOfTheseGroups",
            "Effect": "Allow",
            "Action": [
                "elasticloadbalancing:RegisterTargets",
                "elasticloadbalancing:DeregisterTargets",
            ],
            "Resource": [TARGET_GROUP, READER_TARGET_GROUP],
        });
        assert_eq!((taken, observing.len()), (vec![writes], acting.len() - 1));
    }
}

/// Beside its own log and what it failed to do.
#[test]
fn an_observing_function_may_write_nothing_at_all() {
    let own = ["logs:CreateLogStream", "logs:PutLogEvents", "sqs:SendMessage"];
    for (kind, _) in ENDPOINTS {
        let allowed = statements(&adopting(&[("DatabaseKind", kind)]));
        let actions: BTreeSet<_> = allowed.iter().flat_map(|one| strings(&one["Action"])).collect();
        let writing = actions.iter().filter(|action| !action.contains(":Describe"));
        assert_eq!(writing.cloned().collect::<BTreeSet<_>>(), owned(own), "{kind}");
    }
}

#[test]
fn a_mode_changes_the_variable_the_role_alarms_and_the_dashboard_alone() {
    for [observing, acting] in pairs() {
        let (seen, acted) = (observing.resources(), acting.resources());
        assert_eq!(
            seen.difference(&acted).cloned().collect::<BTreeSet<_>>(),
            owned(ONLY_WHILE_OBSERVING)
        );
        assert_eq!(
            acted.difference(&seen).cloned().collect::<BTreeSet<_>>(),
            owned(ONLY_WHILE_ACTING)
        );
        let both = seen.intersection(&acted).filter(|name| acting.nested(name).is_none());
        let differing: BTreeSet<_> = both
            .filter(|name| observing.existing(name) != acting.existing(name))
            .cloned()
            .collect();
        assert_eq!(differing, owned(["Dashboard", "Function", "FunctionRole"]));
        let mut function = observing.existing("Function");
        function["Environment"]["Variables"]["MODE"] = "act".into();
        assert_eq!(function, acting.existing("Function"));
    }
}

#[test]
fn an_observing_function_tells_of_five_minutes_that_differ_and_of_seven_days_that_nobody_decided() {
    let stack = adopting(&GROUP_OF_READERS);
    for (name, metric, binding, seconds) in [
        ("DiffersAlarm", "Differs", "writer", 300),
        ("ReadersDifferAlarm", "Differs", "readers", 300),
        ("ObservingAlarm", "Observing", "writer", 7 * 86_400),
    ] {
        let alarm = stack.existing(name);
        let measured =
            ["Namespace", "MetricName", "Statistic"].map(|key| text(&alarm[key])).join(" ");
        assert_eq!(measured, format!("FailoverSync {metric} Minimum"), "every run of that time");
        let value = format!("{{Function}}/{binding}");
        assert_eq!(alarm["Dimensions"], json!([{"Name": "Binding", "Value": value}]), "{name}");
        let number = |key: &str| text(&alarm[key]).parse::<u64>().unwrap();
        // The longest that CloudWatch takes is seven days, with periods of an hour or more.
        assert_eq!(number("Period") * number("EvaluationPeriods"), seconds, "{name}");
        assert_eq!((number("Threshold"), alarm.get("DatapointsToAlarm")), (1, None), "{name}");
        assert_eq!(alarm["ComparisonOperator"], "GreaterThanOrEqualToThreshold", "{name}");
        assert_eq!(alarm["TreatMissingData"], "notBreaching", "{name}");
    }
    let says = text(&stack.existing("ObservingAlarm")["AlarmDescription"]);
    assert!(says.contains("Mode=act") && says.contains("stop whatever else"), "{says}");
    let without_readers = adopting(&[]);
    assert_eq!(without_readers.resource("ReadersDifferAlarm"), None);
}

#[test]
fn the_dashboard_shows_what_would_have_been_done() {
    for [observing, acting] in pairs() {
        for (stack, is_shown) in [(observing, true), (acting, false)] {
            let body: Value = text(&stack.existing("Dashboard")["DashboardBody"]).parse().unwrap();
            let shown: BTreeSet<_> =
                body["widgets"].as_array().unwrap().iter().flat_map(metrics_of).collect();
            for metric in METRICS_WHILE_OBSERVING {
                let row = format!("FailoverSync {metric} Binding {{Function}}/writer");
                assert_eq!(shown.contains(&row), is_shown, "{metric}: {shown:?}");
            }
        }
    }
}
