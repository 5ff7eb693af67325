//! What an operator is shown: when alarms ring, which mean a link that is down, the dashboard.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use base::report::NAMESPACE;
use lab::workspace::root;
use reconcile::plan::Mode;
use reconcile::report::{BindingReport, Witnesses};
use serde_json::Value;

use super::mode::METRICS_WHILE_OBSERVING;
use super::stack::{Stack, owned, section, text};
use super::{NAME, PROBING, PROBING_PATH, READERS, joined};

/// Every metric that the function can emit.
fn emitted() -> BTreeSet<String> {
    let report = BindingReport {
        targets_wrong: Some(0),
        observe_latency: Some(Duration::ZERO),
        switch_latency: Some(Duration::ZERO),
        witnesses: Witnesses { topology: Some(Vec::new()), ..Witnesses::default() },
        mode: Mode::Observe,
        is_topology_silent: Some(false),
        is_path_up: Some(true),
        register_to_path: Some(Duration::ZERO),
        databases: BTreeMap::from([(IpAddr::from([10, 0, 0, 1]), None)]),
        ..BindingReport::default()
    };
    let line = report.metrics("link", 0).expect("a line");
    let named = line["_aws"]["CloudWatchMetrics"][0]["Metrics"].as_array().unwrap().clone();
    named.iter().map(|metric| text(&metric["Name"])).collect()
}

#[test]
fn the_guide_has_a_row_for_every_metric() {
    let guide = std::fs::read_to_string(root().join("functions/README.md")).unwrap();
    for metric in emitted() {
        assert!(guide.contains(&format!("| `{metric}` |")), "{metric}");
    }
}

#[test]
fn alarms_look_at_metrics_that_the_function_emits() {
    let of_ours = |resource: &&Value| resource["Properties"]["Namespace"] == NAMESPACE;
    let named: BTreeSet<_> = section("Resources")
        .values()
        .filter(of_ours)
        .map(|alarm| text(&alarm["Properties"]["MetricName"]))
        .collect();
    let expected = [
        "Differs",
        "InSync",
        "Observing",
        "PathUp",
        "ProbeSilent",
        "TopologySilent",
        "WitnessDisagreement",
    ];
    assert_eq!(named, owned(expected));
    assert!(named.is_subset(&emitted()), "{:?}", emitted());
}

#[test]
fn alarms_about_runs_judge_three_minutes_or_one_run_whatever_the_schedule() {
    for minutes in 1..=5 {
        let schedule = if minutes == 1 {
            "rate(1 minute)".to_owned()
        } else {
            format!("rate({minutes} minutes)")
        };
        let stack = Stack::with(&[READERS, ("ScheduleExpression", schedule.as_str())]);
        for name in ["NotInSyncAlarm", "ReadersNotInSyncAlarm", "WitnessDisagreementAlarm"] {
            let alarm = stack.existing(name);
            let number = |key: &str| text(&alarm[key]).parse::<u64>().unwrap();
            let (period, periods) = (number("Period"), number("EvaluationPeriods"));
            assert!(period >= minutes * 60, "{name}: a period without a run, {schedule}");
            assert!(
                (180..=300).contains(&(period * periods)),
                "{name}: {periods} of {period} s, {schedule}"
            );
        }
    }
}

#[test]
fn several_targets_are_wrong_only_where_there_is_one_writer() {
    for (kind, endpoint) in super::ENDPOINTS {
        let stack = Stack::with(&[("DatabaseKind", kind), ("DatabaseEndpoint", endpoint)]);
        let has_one = ["cluster", "instance", "address"].contains(&kind);
        assert_eq!(stack.resource("SeveralTargetsAlarm").is_some(), has_one, "{kind}");
    }
    let alarm = Stack::with(&[]).existing("SeveralTargetsAlarm");
    assert_eq!([text(&alarm["Period"]), text(&alarm["EvaluationPeriods"])], ["60", "5"]);
}

#[test]
fn witnesses_can_only_disagree_where_others_than_dns_are_asked() {
    for (kind, endpoint) in super::ENDPOINTS {
        let database = [("DatabaseKind", kind), ("DatabaseEndpoint", endpoint)];
        let alarm = |more: &[(&str, &str)]| {
            Stack::with(&[&database, more].concat()).resource("WitnessDisagreementAlarm")
        };
        assert_eq!(
            alarm(&[]).is_some(),
            kind == "cluster",
            "{kind}: the RDS API names the writer of a cluster alone"
        );
        if ["cluster", "instance", "hostname"].contains(&kind) {
            let says = text(&alarm(&PROBING).expect(kind)["AlarmDescription"]);
            for words in ["databases", "{FunctionLogGroup}", "blue", "login"] {
                assert!(says.contains(words), "{words} in {says}");
            }
        }
    }
}

#[test]
fn a_witness_is_silent_after_ten_minutes_in_which_it_was_asked_whatever_the_schedule() {
    let database = [
        "{FunctionLogGroup}",
        "security group",
        "DatabaseResourceIds",
        "infra/probe-user.sql",
        "secret",
    ];
    let topology = [
        "{FunctionLogGroup}",
        "service control policy",
        "rds:DescribeDBInstances",
        "subnets",
        "Identifier",
    ];
    for (name, words) in [("ProbeSilentAlarm", database), ("TopologySilentAlarm", topology)] {
        for schedule in ["rate(1 minute)", "rate(5 minutes)"] {
            let stack = Stack::with(&[&PROBING[..], &[("ScheduleExpression", schedule)]].concat());
            let alarm = stack.existing(name);
            assert_eq!(
                [text(&alarm["Period"]), text(&alarm["EvaluationPeriods"])],
                ["300", "2"],
                "{schedule}"
            );
            assert_eq!(alarm.get("DatapointsToAlarm"), None, "all of them");
            let says = text(&alarm["AlarmDescription"]);
            words.iter().for_each(|word| assert!(says.contains(word), "{word} in {says}"));
        }
    }
    for (kind, endpoint) in super::ENDPOINTS {
        let stack = Stack::with(&[("DatabaseKind", kind), ("DatabaseEndpoint", endpoint)]);
        assert_eq!(
            stack.resource("TopologySilentAlarm").is_some(),
            ["cluster", "readers"].contains(&kind),
            "{kind}"
        );
    }
}

#[test]
fn the_alarm_on_targets_says_when_it_is_late() {
    let says = text(&Stack::with(&[]).existing("NoHealthyTargetAlarm")["AlarmDescription"]);
    assert!(
        says.contains("8 to 13 minutes after"),
        "two checks of 300 s, and three minutes: {says}"
    );
}

#[test]
fn one_alarm_says_that_the_link_is_down() {
    let alarm = Stack::with(&[]).existing("LinkDownAlarm");
    let alarms = ["NoHealthyTargetAlarm", "NotInSyncAlarm", "LastInSyncAlarm"];
    let rule = alarms.map(|alarm| format!("ALARM(\"{{{alarm}}}\")")).join(" OR ");
    assert_eq!(alarm["AlarmRule"], rule);
    assert!(text(&alarm["AlarmDescription"]).contains("parts"), "it does not say where to look");
}

/// A widget's metrics as `namespace name`, the dots that repeat the row above filled in.
pub(crate) fn metrics_of(widget: &Value) -> Vec<String> {
    let mut last: Vec<String> = vec![];
    let rows = widget["properties"]["metrics"].as_array().into_iter().flatten();
    rows.map(|row| {
        let cells: Vec<_> =
            row.as_array().unwrap().iter().filter(|cell| cell.is_string()).map(text).collect();
        let filled = cells.iter().enumerate();
        last = filled
            .map(|(at, cell)| if cell == "." { last[at].clone() } else { cell.clone() })
            .collect::<Vec<_>>();
        last.join(" ")
    })
    .collect()
}

#[test]
fn the_dashboard_shows_the_group_the_targets_the_flows_the_function_and_the_last_switches() {
    let everything = [&PROBING_PATH[..], &[READERS]].concat();
    let on_a_link = [&everything[..], &[NAME]].concat();
    let load_balancer = "net/shared/fedcba9876543210";
    let observing = [&everything[..], &[("Mode", "observe")]].concat();
    let acting = || owned(METRICS_WHILE_OBSERVING);
    for (stack, left_out) in [
        (Stack::with(&everything), acting()),
        (joined(&on_a_link), acting()),
        (Stack::with(&observing), BTreeSet::new()),
    ] {
        let body = text(&stack.existing("Dashboard")["DashboardBody"]);
        let body: Value = body.parse().unwrap_or_else(|error| panic!("no JSON: {error}\n{body}"));
        let widgets = body["widgets"].as_array().unwrap();
        let shown: BTreeSet<_> = widgets.iter().flat_map(metrics_of).collect();
        for own in emitted().difference(&left_out).filter(|name| *name != "Elapsed") {
            assert!(
                shown.contains(&format!("FailoverSync {own} Binding {{Function}}/writer")),
                "{own}: {shown:?}"
            );
        }
        let group = "targetgroup/link/0123456789abcdef";
        for expected in [
            "FailoverSync InSync Binding {Function}/readers".to_owned(),
            format!(
                "AWS/NetworkELB HealthyHostCount TargetGroup {group} LoadBalancer {load_balancer}"
            ),
            format!("AWS/NetworkELB ActiveFlowCount LoadBalancer {load_balancer}"),
            format!("AWS/NetworkELB TCP_Target_Reset_Count LoadBalancer {load_balancer}"),
            "AWS/Lambda Errors FunctionName {Function}".to_owned(),
            "AWS/Lambda Duration FunctionName {Function}".to_owned(),
            "AWS/SQS ApproximateNumberOfMessagesVisible QueueName {FailureQueue.QueueName}"
                .to_owned(),
        ] {
            assert!(shown.contains(&expected), "{expected}: {shown:?}");
        }
        let table = widgets.iter().find(|widget| widget["type"] == "log").unwrap();
        let query = text(&table["properties"]["query"]);
        for word in
            ["{FunctionLogGroup}", "'reconciled'", "'updated'", "registered", "deregistered"]
        {
            assert!(query.contains(word), "{word} in {query}");
        }
    }
}

#[test]
fn the_dashboard_shows_every_alarm_that_there_is_but_the_one_that_sums_up() {
    let server = [("DatabaseKind", "address"), ("DatabaseEndpoint", "10.0.1.9")];
    let observing = [READERS, ("Mode", "observe")];
    for parameters in [&[][..], &[READERS], &PROBING, &PROBING_PATH, &server, &observing] {
        let stack = Stack::with(parameters);
        let body: Value = text(&stack.existing("Dashboard")["DashboardBody"]).parse().unwrap();
        let widgets = body["widgets"].as_array().unwrap();
        let shown = widgets.iter().find(|widget| widget["type"] == "alarm").unwrap();
        let shown: BTreeSet<_> =
            shown["properties"]["alarms"].as_array().unwrap().iter().map(text).collect();
        let alarms =
            section("Resources").iter().filter(|(_, one)| one["Type"] == "AWS::CloudWatch::Alarm");
        let there = alarms.filter(|(name, _)| stack.resource(name).is_some());
        assert_eq!(
            shown,
            there.map(|(name, _)| format!("{{{name}.Arn}}")).collect(),
            "{parameters:?}"
        );
        let metrics: BTreeSet<_> = widgets.iter().flat_map(metrics_of).collect();
        let shows =
            |name| metrics.contains(&format!("FailoverSync {name} Binding {{Function}}/writer"));
        let probes =
            [parameters == PROBING || parameters == PROBING_PATH, parameters == PROBING_PATH];
        assert_eq!(["ProbeSilent", "PathUp"].map(shows), probes, "{parameters:?}");
    }
}
