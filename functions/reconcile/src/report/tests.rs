use base::database::ClusterMember;

use super::*;
use crate::binding::Kind;
use crate::binding::tests::binding;
use crate::claim::Witness;
use crate::evidence::DnsAnswer;
use crate::path::Server;
use crate::target::tests::described;

const WRITES: Option<Role> = Some(Role::Writer);
const READS: Option<Role> = Some(Role::Reader);

fn report(change: impl FnOnce(&mut BindingReport)) -> BindingReport {
    let mut report = BindingReport { binding: "writer".into(), ..BindingReport::default() };
    change(&mut report);
    let (error, elapsed) = (report.error.take(), report.elapsed);
    report.end(error, elapsed)
}

fn new_target() -> Vec<Target> {
    described("10.0.0.2:5432").target().into_iter().collect()
}

fn old_target() -> Vec<DescribedTarget> {
    vec![described("10.0.0.1:5432")]
}

fn metrics(report: &BindingReport) -> Value {
    report.metrics("link", 1_795_260_241_431).expect("a line")
}

fn failure() -> Option<Failure> {
    Some(Failure { kind: "AccessDenied", message: "denied".into() })
}

#[test]
fn the_state_says_how_the_run_ended_whatever_was_done_before() {
    for (expected, report) in [
        (State::InSync, report(|_| {})),
        (State::InSync, report(|report| report.dry_run = true)),
        (State::Updated, report(|report| report.registered = new_target())),
        (State::Updated, report(|report| report.deregistered = old_target())),
        (
            State::WouldUpdate,
            report(|report| (report.registered, report.mode) = (new_target(), Mode::Observe)),
        ),
        (
            State::Waiting,
            report(|report| (report.registered, report.is_waiting) = (new_target(), true)),
        ),
        (State::Failed, report(|report| (report.is_waiting, report.error) = (true, failure()))),
    ] {
        assert_eq!(report.state, expected, "{report:?}");
    }
}

#[test]
fn the_result_begins_with_what_a_person_looks_for() {
    let failed = report(|report| report.error = failure());
    let json = serde_json::to_string(&failed).expect("JSON");
    let start = concat!(
        r#"{"binding":"writer","state":"failed","#,
        r#""error":{"type":"AccessDenied","message":"denied"},"#
    );
    assert!(json.starts_with(start), "{json}");
}

/// The line of a binding names the events that are its own, and not those of another one of the
/// same function.
#[test]
fn the_events_of_a_binding_are_its_own() {
    let event = |id: &str, arn: &str| crate::event::RdsEvent {
        id: Some(format!("RDS-EVENT-{id}")),
        is_failover: false,
        time: None,
        source_arn: Some(format!("arn:aws:rds:{arn}")),
        source_id: None,
        message: String::new(),
    };
    let events = vec![
        event("0071", "eu-west-1:123456789012:cluster:orders"),
        event("0001", "eu-west-1:123456789012:cluster:orders"),
        event("0072", "eu-west-1:123456789012:cluster:ledger"),
        event("0073", "us-east-1:123456789012:cluster:orders"),
        event("0006", "eu-west-1:123456789012:db:orders-b"),
    ];
    let report = BindingReport::new(
        &binding(Kind::Cluster),
        &Trigger { events, ..Trigger::default() },
        Mode::Act,
    );
    assert_eq!(report.rds_events, ["RDS-EVENT-0071", "RDS-EVENT-0001", "RDS-EVENT-0006"]);
}

#[test]
fn only_a_group_that_is_right_counts_as_in_sync() {
    let changed = |report: &mut BindingReport| report.registered = new_target();
    for (in_sync, switches, report) in [
        (1, 0, report(|_| {})),
        (1, 1, report(changed)),
        (0, 0, report(|report| (report.dry_run, report.registered) = (true, new_target()))),
        (0, 0, report(|report| report.is_waiting = true)),
        (0, 0, report(|report| report.error = failure())),
        // What was done counts, whatever became of the run after it.
        (0, 1, report(|report| (report.registered, report.is_waiting) = (new_target(), true))),
        (0, 1, report(|report| (report.deregistered, report.error) = (old_target(), failure()))),
    ] {
        let metrics = metrics(&report);
        assert_eq!(
            (&metrics["InSync"], &metrics["Switches"]),
            (&json!(in_sync), &json!(switches)),
            "{report:?}"
        );
    }
}

#[test]
fn the_binding_of_a_metric_is_one_in_the_whole_account() {
    assert_eq!(metrics(&report(|_| {}))["Binding"], "link/writer");
}

#[test]
fn a_metric_that_nobody_knows_is_left_out() {
    let known = |report: &mut BindingReport| {
        report.targets_wrong = Some(2);
        report.observe_latency = Some(Duration::from_micros(2500));
        report.switch_latency = Some(Duration::from_secs(3));
        report.witnesses.topology = Some(Vec::new());
    };
    for (report, expected) in [
        (report(|_| {}), [None; 4]),
        (report(known), [Some(2.0), Some(2.5), Some(3000.0), Some(0.0)]),
    ] {
        let metrics = metrics(&report);
        let names = ["TargetsWrong", "ObserveLatency", "SwitchLatency", "WitnessDisagreement"];
        assert_eq!(names.map(|name| metrics[name].as_f64()), expected, "{metrics}");
        let directive = &metrics["_aws"]["CloudWatchMetrics"][0]["Metrics"];
        let named: Vec<_> =
            directive.as_array().expect("metrics").iter().map(|metric| &metric["Name"]).collect();
        for (name, value) in names.iter().zip(expected) {
            assert_eq!(named.contains(&&json!(name)), value.is_some(), "{metrics}");
        }
    }
}

fn ip(host: u8) -> IpAddr {
    [10, 0, 0, host].into()
}

/// A report of a run in which each database said this when it was asked, at one second after the
/// other.
fn asked(roles: &[(u8, Option<Role>)]) -> BindingReport {
    let at =
        |second: usize| DateTime::from_timestamp(1_795_260_000 + second as i64, 0).expect("a time");
    let binding = binding(Kind::Instance);
    let mut evidence = Evidence::new(&binding, &[], Default::default(), at(0));
    for (second, (host, role)) in roles.iter().enumerate() {
        evidence.record_probe(ip(*host), *role, at(second));
    }
    report(|report| {
        report.record(&binding, &evidence, &Verdict::Wait(Reason::NoDnsAnswer), at(roles.len()))
    })
}

#[test]
fn the_result_tells_what_each_database_that_was_asked_said_last() {
    for (title, roles, expected) in [
        ("none was asked", &[][..], None),
        (
            "all answers",
            &[(1, READS), (2, WRITES), (3, None)],
            Some(json!({
                "10.0.0.1": "reader", "10.0.0.2": "writer", "10.0.0.3": "no answer",
            })),
        ),
        ("the last answer", &[(1, WRITES), (1, READS)], Some(json!({"10.0.0.1": "reader"}))),
        ("silent since", &[(1, WRITES), (1, None)], Some(json!({"10.0.0.1": "no answer"}))),
    ] {
        let result = serde_json::to_value(asked(roles)).expect("JSON");
        assert_eq!(result.get("databases"), expected.as_ref(), "{title}");
    }
}

#[test]
fn the_databases_are_silent_if_none_of_those_that_were_asked_said_anything() {
    for (title, roles, expected) in [
        ("none was asked", &[][..], None),
        ("one spoke", &[(1, None), (2, READS)], Some(0.0)),
        ("all spoke", &[(1, READS), (2, WRITES)], Some(0.0)),
        ("none spoke", &[(1, None), (2, None)], Some(1.0)),
        ("none spoke in the end", &[(1, WRITES), (1, None), (2, None)], Some(1.0)),
    ] {
        assert_eq!(metrics(&asked(roles))["ProbeSilent"].as_f64(), expected, "{title}");
    }
}

#[test]
fn the_rds_api_is_silent_if_it_gave_no_answer_the_last_time() {
    let now = DateTime::from_timestamp(1_795_260_000, 0).expect("a time");
    let topology = || Some(Topology::default());
    for (answers, expected) in [
        (vec![], None),
        (vec![topology()], Some(0.0)),
        (vec![None], Some(1.0)),
        (vec![topology(), None], Some(1.0)),
        (vec![None, topology()], Some(0.0)),
    ] {
        let binding = binding(Kind::Cluster);
        let mut evidence = Evidence::new(&binding, &[], Default::default(), now);
        answers.iter().for_each(|answer| evidence.record_topology(answer.clone(), now));
        let report = report(|report| {
            report.record(&binding, &evidence, &Verdict::Wait(Reason::NoDnsAnswer), now)
        });
        assert_eq!(metrics(&report)["TopologySilent"].as_f64(), expected, "{answers:?}");
    }
}

#[test]
fn the_result_names_the_members_that_the_load_balancer_sends_nothing() {
    let now = DateTime::from_timestamp(1_795_260_000, 0).expect("a time");
    for (target, expected) in [
        ("10.0.0.1:5432 unused/Target.NotInUse", Some(json!(["10.0.0.1:5432"]))),
        ("10.0.0.1:5432 unused/Target.NotRegistered", None),
        ("10.0.0.1:5432 unhealthy/Target.FailedHealthChecks", None),
    ] {
        let binding = binding(Kind::Cluster);
        let mut evidence = Evidence::new(&binding, &[], Default::default(), now);
        evidence.group.update(vec![described(target)], now);
        let report = report(|report| {
            report.record(&binding, &evidence, &Verdict::Wait(Reason::NoDnsAnswer), now)
        });
        assert_eq!(
            serde_json::to_value(report).expect("JSON").get("notInUse"),
            expected.as_ref(),
            "{target}"
        );
    }
}

#[test]
fn witnesses_disagree_where_a_database_contradicts_another_or_those_who_name_it() {
    let addresses = || Addresses::new([ip(1), ip(2)]).expect("not empty");
    for (reason, roles, expected) in [
        (Reason::ReadOnly { address: ip(1) }, &[(1, READS)][..], Some(1.0)),
        (Reason::SeveralWriters { addresses: addresses() }, &[(1, WRITES), (2, WRITES)], Some(1.0)),
        (Reason::Role { address: ip(1) }, &[(1, WRITES)], Some(0.0)),
        (Reason::claim(Witness::Dns, &addresses()), &[(1, READS)], Some(0.0)),
        (Reason::claim(Witness::Dns, &addresses()), &[(1, None)], None),
        (Reason::claim(Witness::Dns, &addresses()), &[], None),
    ] {
        let report = BindingReport { reason: Some(reason), ..asked(roles) };
        assert_eq!(metrics(&report)["WitnessDisagreement"].as_f64(), expected, "{report:?}");
    }
}

#[test]
fn witnesses_disagree_by_what_they_said_whatever_rule_won() {
    let now = DateTime::from_timestamp(1_795_260_000, 0).expect("a time");
    let member = |id: &str, is_writer| ClusterMember {
        id: id.to_owned(),
        is_writer,
        endpoint: None,
        status: "available".to_owned(),
    };
    let topology = |writer: &str| {
        Topology(
            [("a", ip(1)), ("b", ip(2))]
                .map(|(id, address)| (member(id, id == writer), address.into()))
                .into(),
        )
    };
    for (title, dns, writer, roles, expected) in [
        ("nobody but DNS", 1, None, &[][..], None),
        ("a database is silent", 1, None, &[(1, None)], None),
        ("the RDS API agrees", 1, Some("a"), &[], Some(0.0)),
        ("the RDS API does not", 1, Some("b"), &[], Some(1.0)),
        ("a database agrees", 1, None, &[(1, WRITES)], Some(0.0)),
        ("another takes writes", 1, Some("a"), &[(1, None), (2, WRITES)], Some(1.0)),
        ("two take writes", 1, Some("a"), &[(1, WRITES), (2, WRITES)], Some(1.0)),
        ("the one that is named is read only", 1, Some("a"), &[(1, READS)], Some(1.0)),
        ("the one that is not named is", 1, Some("a"), &[(2, READS)], Some(0.0)),
    ] {
        for (kind, expected) in [(Kind::Cluster, expected), (Kind::Instance, expected)] {
            let binding = binding(kind);
            let mut evidence = Evidence::new(&binding, &[], Default::default(), now);
            evidence.record_dns(DnsAnswer { addresses: ip(dns).into(), ttl: Duration::ZERO }, now);
            writer.iter().for_each(|writer| evidence.record_topology(Some(topology(writer)), now));
            roles.iter().for_each(|(host, role)| evidence.record_probe(ip(*host), *role, now));
            let by_role = Verdict::InSync(Reason::Role { address: ip(2) });
            let report = report(|report| report.record(&binding, &evidence, &by_role, now));
            assert_eq!(
                metrics(&report)["WitnessDisagreement"].as_f64(),
                expected,
                "{kind}: {title}"
            );
        }
    }
}

#[test]
fn a_note_says_why_the_rds_api_has_no_say_although_it_answers() {
    let now = DateTime::from_timestamp(1_795_260_000, 0).expect("a time");
    let binding = binding(Kind::Cluster);
    let mut evidence = Evidence::new(&binding, &[], Default::default(), now);
    evidence.record_members(&[], now);
    evidence.record_topology(Some(Topology(Vec::new())), now);
    let report = report(|report| {
        report.record(&binding, &evidence, &Verdict::Wait(Reason::NoDnsAnswer), now)
    });
    let result = serde_json::to_value(&report).expect("JSON");
    assert_eq!(result["reason"], "no-answer: DNS does not answer");
    assert_eq!(result["note"], "the RDS API flags no member as the writer");
    assert_eq!(metrics(&report)["TopologySilent"], 0);
}

#[test]
fn a_reason_begins_with_its_rule_and_names_the_databases() {
    let addresses = || Addresses::new([ip(1), ip(2)]).expect("not empty");
    for (reason, is_contradiction, text) in [
        (
            Reason::Role { address: ip(1) },
            false,
            "role: the database at 10.0.0.1 takes writes, and no other does",
        ),
        (
            Reason::ReadOnly { address: ip(1) },
            true,
            "contradiction: the database at 10.0.0.1 says that it is read only",
        ),
        (
            Reason::SeveralWriters { addresses: addresses() },
            true,
            "contradiction: the databases at 10.0.0.1, 10.0.0.2 take writes at once",
        ),
    ] {
        assert_eq!(
            (reason.is_contradiction(), reason.to_string()),
            (is_contradiction, text.to_owned())
        );
    }
}

#[test]
fn what_consumers_see_is_told_where_it_was_asked_and_counted_where_something_follows() {
    let server = |identity: &str| Server { role: Role::Writer, identity: identity.into() };
    let round = |identity: &str, is_confirmed| Round {
        began: DateTime::UNIX_EPOCH,
        answered: DateTime::UNIX_EPOCH,
        registered: 1,
        writer: Ok((ip(2), server("new"))),
        through: [(ip(9), Some(Ok(server(identity))))].into(),
        is_confirmed,
        unresolved: None,
    };
    let verdict = |round: &Round, followed| PathVerdict { is_up: round.is_up(), followed };
    let seconds = Duration::from_secs;
    let followed = Followed { registration: seconds(75), event: Some(seconds(99)) };
    for (rounds, state, note, up) in [
        (vec![round("new", false)], "writer", Value::Null, json!(1)),
        (
            vec![round("old", true)],
            "other",
            json!("10.0.0.9: leads to old, which takes writes too"),
            json!(0),
        ),
        // The database went away itself.
        (
            vec![round("new", false), round("old", false)],
            "other",
            json!("10.0.0.9: leads to old, which takes writes too"),
            Value::Null,
        ),
    ] {
        let report = report(|report| {
            rounds.iter().for_each(|round| report.record_path(round, verdict(round, None)));
        });
        let result = serde_json::to_value(&report).expect("JSON");
        assert_eq!((&result["path"], &result["pathNote"]), (&json!({"10.0.0.9": state}), &note));
        assert_eq!((&metrics(&report)["PathUp"], result.get("registerToPathMs")), (&up, None));
    }
    let report = report(|report| {
        let round = round("new", false);
        report.record_path(&round, verdict(&round, Some(followed)));
    });
    let result = serde_json::to_value(&report).expect("JSON");
    assert_eq!(
        (&result["registerToPathMs"], &result["eventToPathMs"]),
        (&75e3.into(), &99e3.into())
    );
    assert_eq!(metrics(&report)["PathLatency"], 75e3);
    let unasked = super::tests::report(|_| {});
    let result = serde_json::to_value(&unasked).expect("JSON");
    assert!(result.get("path").is_none() && metrics(&unasked).get("PathUp").is_none());
}
