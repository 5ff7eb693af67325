//! A function that asks the database through the load balancer: what it has more than one that
//! asks it directly alone, and only if it is told to.

use std::collections::BTreeSet;

use base::database::HostPort;
use serde_json::{Value, json};

use super::role_probe::{changed, config};
use super::stack::{
    ENDPOINTS, LOAD_BALANCER_GROUP, LOAD_BALANCER_NAME, Stack, layer, owned, section, text,
};
use super::{NAME, PROBING, PROBING_PATH, READERS, SECURITY_GROUP, adopting, joined};

/// Everything that is created for the path and not without it.
const PARTS: [&str; 2] = ["PathDownAlarm", "PathProbeIngress"];

/// The same function on a new link, on one that exists, and for a group that exists.
fn probing(changes: &[(&str, &str)]) -> [Stack; 3] {
    let on_link = changed(&PROBING_PATH, changes);
    let alone = changed(&[&PROBING[..], &[NAME]].concat(), changes);
    [Stack::with(&on_link), joined(&changed(&on_link, &[NAME])), adopting(&alone)]
}

/// The same with the login alone.
fn not_probing(changes: &[(&str, &str)]) -> [Stack; 3] {
    let given = changed(&PROBING, changes);
    [Stack::with(&given), joined(&given), adopting(&given)]
}

fn variable(stack: &Stack) -> Option<String> {
    stack.existing("Function")["Environment"]["Variables"].get("PROBE_PATH").map(text)
}

// --- Off, unless it is asked for ---

#[test]
fn a_login_alone_asks_nothing_through_the_load_balancer() {
    let on_link = joined(&[&PROBING[..], &[NAME, ("ListenerPort", "15432")]].concat());
    for stack in not_probing(&[]).into_iter().chain([on_link]) {
        assert_eq!(variable(&stack), None);
        for part in PARTS {
            assert_eq!(stack.resource(part), None, "{part}");
        }
    }
    for path in ["template.yaml", "infra/database.yaml"] {
        let default = &layer(path)["Parameters"]["PathProbe"]["Default"];
        assert_eq!(default, "false", "{path}: it was not seen on AWS yet");
    }
}

#[test]
fn it_adds_a_rule_an_alarm_a_widget_and_a_variable_and_changes_nothing_else() {
    for mode in ["act", "observe"] {
        let changes = [READERS, SECURITY_GROUP, ("Mode", mode)];
        let [with, without] = [&PROBING_PATH[..], &PROBING].map(|base| changed(base, &changes));
        let stacks = [Stack::with(&with), Stack::with(&without)];
        let on_link = [joined(&changed(&with, &[NAME])), joined(&without)];
        for [with, without] in [stacks, on_link] {
            let (all, fewer) = (with.resources(), without.resources());
            assert_eq!(all.difference(&fewer).cloned().collect::<BTreeSet<_>>(), owned(PARTS));
            assert!(all.is_superset(&fewer));
            let own = fewer.into_iter().filter(|name| without.nested(name).is_none());
            let differing: BTreeSet<_> =
                own.filter(|name| with.existing(name) != without.existing(name)).collect();
            assert_eq!(differing, owned(["Dashboard", "Function"]), "nothing of the role");
            let mut function = with.existing("Function");
            let variables = function["Environment"]["Variables"].as_object_mut().unwrap();
            assert!(variables.remove("PROBE_PATH").is_some());
            assert_eq!(function, without.existing("Function"));
        }
    }
}

// --- What the function is told ---

#[test]
fn the_function_is_told_the_name_of_the_load_balancer_and_the_port_of_its_listener() {
    let cases = [("", "5433", 5433), ("15432", "5432", 15432)];
    for (listener, database, port) in cases {
        for stack in probing(&[("ListenerPort", listener), ("DatabasePort", database)]) {
            let expected = format!("{LOAD_BALANCER_NAME}:{port}");
            assert_eq!(variable(&stack), Some(expected));
            let host = LOAD_BALANCER_NAME.to_owned();
            assert_eq!(config(&stack).path, Some(HostPort { host, port }));
        }
    }
}

#[test]
fn readers_beside_the_writer_are_not_asked_through_theirs() {
    for stack in &probing(&[])[..2] {
        let with_readers = Stack::with(&changed(&PROBING_PATH, &[READERS]));
        assert_eq!(config(&with_readers).path, config(stack).path);
    }
}

/// A change set with nested stacks does not know the name of a load balancer that it makes.
#[test]
fn a_load_balancer_that_is_not_made_yet_is_a_placeholder_in_all_that_names_it() {
    let [new, on_link, alone] = probing(&[]).map(|stack| stack.planned());
    let name = "{{IntrinsicFunction:link/Link.Outputs.LoadBalancerDnsName}}";
    assert_eq!(variable(&new), Some(format!("{name}:5432")));
    let group = "{{IntrinsicFunction:link/Link.Outputs.LoadBalancerSecurityGroupId}}";
    assert_eq!(new.existing("PathProbeIngress")["GroupId"], group);
    for stack in [on_link, alone] {
        assert_eq!(variable(&stack), Some(format!("{LOAD_BALANCER_NAME}:5432")), "it is typed");
    }
}

// --- The way to the listener ---

#[test]
fn the_load_balancers_group_lets_in_the_first_group_of_the_function_on_the_listeners_port() {
    let groups = ("FunctionSecurityGroupIds", "sg-11111111,sg-22222222");
    for (listener, port) in [("", "5432"), ("15432", "15432")] {
        for stack in probing(&[groups, ("ListenerPort", listener)]) {
            let expected = json!({
                "GroupId": LOAD_BALANCER_GROUP,
                "IpProtocol": "tcp",
                "FromPort": port,
                "ToPort": port,
                "SourceSecurityGroupId": "sg-11111111",
                "Description": "Function of link",
            });
            assert_eq!(stack.existing("PathProbeIngress"), expected);
        }
    }
}

#[test]
fn a_load_balancer_without_a_group_gets_no_rule_and_is_asked_all_the_same() {
    let [.., stack] = probing(&[]);
    assert!(stack.resource("PathProbeIngress").is_some());
    let none = ("LoadBalancerSecurityGroupId", "");
    let stack = adopting(&[&PROBING[..], &[NAME, none]].concat());
    assert_eq!(stack.resource("PathProbeIngress"), None);
    assert!(variable(&stack).is_some() && stack.resource("PathDownAlarm").is_some());
}

/// CloudFormation takes the default rule to everywhere from a group to which it adds one that leads
/// out (aws-cloudformation/cfn-language-discussion #157): the function would reach no API.
#[test]
fn no_rule_leads_out_of_a_group_that_no_template_makes() {
    let rules = section("Resources").iter();
    let out = rules.filter(|(_, one)| one["Type"] == "AWS::EC2::SecurityGroupEgress");
    for (name, rule) in out {
        let group = &rule["Properties"]["GroupId"];
        assert_eq!(group, &json!({"Ref": "LoadBalancerSecurityGroupId"}), "{name}");
    }
    let function = layer("infra/function.yaml")["Resources"].as_object().unwrap();
    assert!(function.values().all(|one| one["Type"] != "AWS::EC2::SecurityGroupEgress"));
    let says = text(&section("Parameters")["PathProbe"]["Description"]);
    assert!(says.contains("must let it out"), "{says}");
}

// --- What is refused ---

#[test]
fn rules_refuse_it_without_a_login_without_a_name_and_for_what_cannot_be_asked() {
    let probe = ("PathProbe", "true");
    let login = "Give ProbeUser or ProbeSecretArn, or set PathProbe=false";
    let only = |refusals: Vec<String>, remedy: &str| {
        assert!(matches!(&*refusals, [one] if one.contains(remedy)), "{remedy}: {refusals:?}");
    };
    only(Stack::with(&[probe]).refusals(), login);
    only(joined(&[probe, NAME]).refusals(), login);
    only(adopting(&[NAME]).refusals(), "or leave LoadBalancerDnsName empty");
    only(joined(&PROBING_PATH).refusals(), "Give the output LoadBalancerDnsName");
    for (kind, endpoint) in ENDPOINTS {
        for stack in probing(&[("DatabaseKind", kind), ("DatabaseEndpoint", endpoint)]) {
            if ["cluster", "instance", "hostname"].contains(&kind) {
                assert_eq!(stack.refusals(), [""; 0], "{kind}");
            } else {
                only(stack.refusals(), "Set DatabaseKind to cluster, instance or hostname");
            }
        }
    }
    for stack in probing(&[("DatabaseKind", "instance"), ("DatabaseEngine", "oracle")]) {
        only(stack.refusals(), "Set DatabaseEngine=postgres, mysql or mariadb");
    }
}

// --- What people are told ---

#[test]
fn the_alarm_waits_for_five_minutes_of_bad_rounds_or_ten_and_takes_no_silence_for_one() {
    for minutes in 1..=5_u64 {
        let schedule = match minutes {
            1 => "rate(1 minute)".to_owned(),
            _ => format!("rate({minutes} minutes)"),
        };
        for stack in probing(&[("ScheduleExpression", &schedule)]) {
            let alarm = stack.existing("PathDownAlarm");
            let number = |key: &str| text(&alarm[key]).parse::<u64>().unwrap();
            let (period, periods) = (number("Period"), number("EvaluationPeriods"));
            assert!(period >= minutes * 60, "a bad path is asked in each period, {schedule}");
            assert!(periods > 1, "one bad round is not enough, {schedule}");
            assert!((300..=600).contains(&(period * periods)), "{periods} of {period} s");
            assert_eq!(alarm.get("DatapointsToAlarm"), None, "all of them");
            assert_eq!(alarm["Statistic"], "Maximum", "one good round in a period is enough");
            assert_eq!(alarm["TreatMissingData"], "ignore", "what is not judged says nothing");
        }
    }
    let [new, ..] = probing(&[]);
    let alarm = new.existing("PathDownAlarm");
    let says = text(&alarm["AlarmDescription"]);
    for words in ["{FunctionLogGroup}", "path_note", "After a switch", "targets of"] {
        assert!(says.contains(words), "{words} in {says}");
    }
    let rule = text(&new.existing("LinkDownAlarm")["AlarmRule"]);
    assert!(!rule.contains("PathDownAlarm"), "it was not seen on AWS yet");
}

#[test]
fn the_dashboard_has_the_path_below_the_switches() {
    for stack in probing(&[]) {
        let body: Value = text(&stack.existing("Dashboard")["DashboardBody"]).parse().unwrap();
        let widgets = body["widgets"].as_array().unwrap();
        let at = |words: &str| {
            let one = widgets.iter().find(|one| one["properties"].to_string().contains(words));
            let one = one.unwrap_or_else(|| panic!("{words}"));
            (one["y"].as_u64().unwrap(), one["height"].as_u64().unwrap())
        };
        let (switches, height) = at("The last switches");
        assert_eq!(at("PathUp").0, switches + height);
        assert_eq!(at("PathLatency"), at("PathUp"));
    }
}
