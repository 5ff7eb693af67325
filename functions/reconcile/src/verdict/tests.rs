use std::collections::BTreeMap;

use super::*;
use crate::binding::tests::binding;
use crate::event::RdsEvent;
use crate::evidence::DnsAnswer;
use crate::history::History;
use crate::target::Target;
use crate::target::tests::described;
use crate::target_group::TargetHistory;
use crate::topology::Topology;
use base::database::ClusterMember;

mod filling;
mod properties;
mod roles;
mod several;

/// The cluster of these tests: `a` is 10.0.0.1, `b` is 10.0.0.2, `c` is 10.0.0.3.
const MEMBERS: [(&str, [u8; 4]); 3] =
    [("a", [10, 0, 0, 1]), ("b", [10, 0, 0, 2]), ("c", [10, 0, 0, 3])];

const SWITCH: &str = "register 10.0.0.2:5432, then deregister 10.0.0.1:5432";

/// What the witnesses say at the time 1000 s. The times are seconds.
#[derive(Clone, Copy, Debug, Default)]
struct Given<'a> {
    dns: &'a [&'a str],
    /// For how long DNS has said so.
    steady: i64,
    /// The id of the writer in the RDS API; no id, no answer.
    writer: Option<&'a str>,
    /// The RDS API's last answer is this old; after five seconds it was asked again, and silent.
    topology_age: i64,
    /// `(RDS-EVENT number, text, age)`
    events: &'a [(&'a str, &'a str, i64)],
    /// `(address, how long ago it was deregistered by this process)`
    left: &'a [(&'a str, i64)],
    /// `(how long ago, the group as it was described then)`, before the description that is judged.
    saw: &'a [(i64, &'a [&'a str])],
    roles: &'a [Probed<'a>],
}

/// `(address, what its database said of itself when it was asked, how long ago)`; nothing is a
/// silence.
type Probed<'a> = (&'a str, Option<Role>, i64);

fn at(second: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_700_000_000 + second, 0).expect("a time")
}

fn addresses(texts: &[&str]) -> Addresses {
    Addresses::new(texts.iter().map(|text| text.parse().expect("an address"))).expect("not empty")
}

fn topology(writer: &str) -> Topology {
    let member = |(id, address): (&str, [u8; 4])| {
        let status = if id == "c" { "creating" } else { "available" };
        let member = ClusterMember {
            id: id.into(),
            is_writer: id == writer,
            endpoint: None,
            status: status.into(),
        };
        (member, std::net::IpAddr::from(address).into())
    };
    Topology(MEMBERS.map(member).into())
}

fn evidence(binding: &Binding, given: &Given) -> Evidence {
    let events: Vec<RdsEvent> = given
        .events
        .iter()
        .map(|(number, message, age)| RdsEvent {
            is_failover: false,
            id: Some(format!("RDS-EVENT-{number}")),
            time: Some(at(1000 - age)),
            source_arn: None,
            source_id: Some("orders".into()),
            message: (*message).to_owned(),
        })
        .collect();
    let left = |targets: TargetHistory, (address, ago): &(&str, i64)| {
        targets.with_deregistration(
            Target { address: address.parse().expect("an address"), port: 5432 },
            at(1000 - ago),
        )
    };
    let targets = given.left.iter().fold(TargetHistory::default(), left);
    let mut evidence =
        Evidence::new(binding, &events, History { targets, ..History::default() }, at(1000));
    if !given.dns.is_empty() {
        let answer = DnsAnswer { addresses: addresses(given.dns), ttl: Duration::from_secs(5) };
        (0..=given.steady)
            .for_each(|ago| evidence.record_dns(answer.clone(), at(1000 - given.steady + ago)));
    }
    if let Some(writer) = given.writer {
        evidence.record_topology(Some(topology(writer)), at(1000 - given.topology_age));
        if given.topology_age > 5 {
            evidence.record_topology(None, at(1000));
        }
    }
    let mut roles = given.roles.to_vec();
    roles.sort_by_key(|(_, _, ago)| -ago);
    for (address, role, ago) in roles {
        evidence.record_probe(address.parse().expect("an address"), role, at(1000 - ago));
    }
    evidence
}

fn decided(kind: Kind, given: &Given, group: &[&str]) -> Verdict {
    let binding = binding(kind);
    let described =
        |group: &[&str]| group.iter().map(|text| described(text)).collect::<Vec<DescribedTarget>>();
    let mut evidence = evidence(&binding, given);
    given
        .saw
        .iter()
        .for_each(|(ago, group)| evidence.group.update(described(group), at(1000 - ago)));
    evidence.group.update(described(group), at(1000));
    verdict(&binding, &AllowedNetworks::default(), &evidence, at(1000))
}

fn check(kind: Kind, given: &Given, group: &[&str]) -> String {
    match decided(kind, given, group) {
        Verdict::InSync(_) => "in-sync".into(),
        Verdict::Switch(plan, _) => plan.to_string(),
        Verdict::Wait(reason) => format!("wait: {reason}"),
        Verdict::Refuse(refusal) => format!("refuse: {refusal}"),
    }
}

/// The verdict in one word, and why.
fn explain(kind: Kind, given: &Given, group: &[&str]) -> String {
    let decided = decided(kind, given, group);
    format!(
        "{}, {}",
        <&str>::from(&decided),
        decided.reason().map(Reason::to_string).unwrap_or_default()
    )
}

#[test]
fn a_verdict_says_which_rule_made_it_and_by_whose_claims() {
    const DRAINING: [&str; 2] = ["10.0.0.1:5432", "10.0.0.2:5432 draining"];
    let b = Given { dns: &["10.0.0.2"], ..Given::default() };
    for (given, group, expected) in [
        (b, &["10.0.0.2:5432"][..], "in-sync, claim: DNS names 10.0.0.2"),
        (
            Given { writer: Some("b"), ..b },
            &["10.0.0.2:5432"],
            "in-sync, quorum: DNS and the RDS API name 10.0.0.2",
        ),
        (
            b,
            &[],
            "wait, empty: DNS names 10.0.0.2 for an empty group, and the RDS API has 30 of 30 s \
             left to agree",
        ),
        (
            Given { writer: Some("b"), ..b },
            &["10.0.0.1:5432"],
            "switch, quorum: DNS and the RDS API name 10.0.0.2",
        ),
        (
            Given { dns: &[], writer: Some("b"), events: &[NAMES_B], ..b },
            &["10.0.0.1:5432"],
            "switch, quorum: the RDS API and a failover event name 10.0.0.2",
        ),
        (
            Given { writer: Some("a"), ..b },
            &["10.0.0.1:5432"],
            "wait, contradiction: DNS names 10.0.0.2 and the RDS API names 10.0.0.1",
        ),
        (
            Given { steady: 7, ..b },
            &["10.0.0.1:5432"],
            "wait, patience: DNS alone names 10.0.0.2 for 7 of 10 s",
        ),
        (
            Given { steady: 600, left: &[("10.0.0.2", 40)], ..b },
            &DRAINING,
            "wait, patience: DNS alone names 10.0.0.2 for 40 of 90 s, because 10.0.0.2 was \
             deregistered 40 s ago",
        ),
        (
            Given { steady: 600, writer: Some("b"), saw: &[(5, &["10.0.0.2:5432"])], ..b },
            &["10.0.0.1:5432", "10.0.0.2:5432"],
            "wait, patience: DNS and the RDS API name 10.0.0.2 for 0 of 30 s, because 10.0.0.1 was \
             registered 0 s ago",
        ),
        (
            Given { steady: 600, writer: Some("a"), topology_age: 11, ..b },
            &["10.0.0.1:5432"],
            "wait, patience: DNS alone names 10.0.0.2 for 11 of 90 s, because the RDS API named \
             another writer 11 s ago",
        ),
        (
            Given { steady: 600, saw: &[(20, &["10.0.0.1:5432", "10.0.0.2:5432"])], ..b },
            &["10.0.0.1:5432", "10.0.0.2:5432"],
            "wait, patience: DNS alone names 10.0.0.2 for 20 of 90 s, because the group held \
             several targets 20 s ago",
        ),
        (Given { dns: &[], ..b }, &["10.0.0.1:5432"], "wait, no-answer: DNS does not answer"),
    ] {
        assert_eq!(explain(Kind::Cluster, &given, group), expected);
    }
}

const NAMES_B: (&str, &str, i64) = ("0071", "Completed failover to DB instance: b", 5);

#[test]
fn what_may_not_be_registered_is_refused() {
    for &kind in Kind::ALL {
        let refused = check(
            kind,
            &Given { dns: &["10.0.0.1", "52.1.2.3"], ..Given::default() },
            &["10.0.0.1:5432"],
        );
        assert!(refused.starts_with("refuse: 52.1.2.3"), "{kind}: {refused}");
    }
    for kind in [Kind::Cluster, Kind::Instance] {
        let refused = check(
            kind,
            &Given { dns: &["10.0.0.1", "10.0.0.2"], ..Given::default() },
            &["10.0.0.1:5432"],
        );
        assert!(refused.starts_with("refuse: 2 addresses (10.0.0.1, 10.0.0.2)"), "{refused}");
    }
}

#[test]
fn without_an_answer_of_dns_nothing_is_done() {
    for &kind in Kind::ALL {
        assert_eq!(check(kind, &Given::default(), &[]), "wait: no-answer: DNS does not answer");
    }
}

#[test]
fn quorum_of_a_named_event_and_topology_whatever_dns_says() {
    let given =
        Given { dns: &["10.0.0.1"], writer: Some("b"), events: &[NAMES_B], ..Given::default() };
    assert_eq!(check(Kind::Cluster, &given, &["10.0.0.1:5432"]), SWITCH);
    assert_eq!(check(Kind::Cluster, &given, &["10.0.0.2:5432"]), "in-sync");
    assert_eq!(check(Kind::Cluster, &Given { dns: &[], ..given }, &["10.0.0.1:5432"]), SWITCH);
}

#[test]
fn quorum_goes_back_to_a_draining_target_only_if_it_was_left_before_the_event() {
    let group = ["10.0.0.1:5432", "10.0.0.2:5432 draining"];
    let given = |left| Given {
        dns: &["10.0.0.1"],
        writer: Some("b"),
        events: &[NAMES_B],
        left,
        ..Given::default()
    };
    assert_eq!(check(Kind::Cluster, &given(&[("10.0.0.2", 60)]), &group), SWITCH);
    for left in [&[][..], &[("10.0.0.2", 2)], &[("10.0.0.3", 60)]] {
        let waited = check(Kind::Cluster, &given(left), &group);
        assert!(
            waited.starts_with("wait: contradiction: DNS names 10.0.0.1"),
            "{left:?}: {waited}"
        );
    }
}

#[test]
fn an_event_that_is_old_foreign_or_names_no_member_is_no_witness() {
    for event in [
        ("0071", "Completed failover to DB instance: b", 90),
        ("0071", "Completed failover to DB instance: z", 5),
        ("0071", "Completed failover", 5),
    ] {
        let given =
            Given { dns: &["10.0.0.1"], writer: Some("b"), events: &[event], ..Given::default() };
        let waited = check(Kind::Cluster, &given, &["10.0.0.1:5432"]);
        assert!(
            waited.starts_with("wait: contradiction: DNS names 10.0.0.1"),
            "{event:?}: {waited}"
        );
    }
}

#[test]
fn of_several_named_events_the_newest_counts() {
    let events = [NAMES_B, ("0073", "Started cross AZ failover to DB instance: a", 40)];
    let given =
        Given { dns: &["10.0.0.1"], writer: Some("b"), events: &events, ..Given::default() };
    assert_eq!(check(Kind::Cluster, &given, &["10.0.0.1:5432"]), SWITCH);
}

#[test]
fn quorum_of_dns_and_topology_when_another_member_is_registered() {
    let given = Given { dns: &["10.0.0.2"], writer: Some("b"), ..Given::default() };
    assert_eq!(check(Kind::Cluster, &given, &["10.0.0.1:5432 healthy"]), SWITCH);
    let registered = ["10.0.0.1:5432", "10.0.0.2:5432 initial"];
    let decided =
        check(Kind::Cluster, &Given { saw: &[(1, &["10.0.0.1:5432"])], ..given }, &registered);
    assert_eq!(decided, "deregister 10.0.0.1:5432", "a switch does not wait for health");
    let waited = check(Kind::Cluster, &given, &["10.0.9.9:5432"]);
    assert!(
        waited.starts_with("wait: patience: DNS and the RDS API name 10.0.0.2 for 0 of 10 s"),
        "only an address moved: {waited}"
    );
}

#[test]
fn quorum_of_dns_and_a_named_event_unless_topology_objects() {
    let given = |writer, topology_age| Given {
        dns: &["10.0.0.2"],
        writer,
        topology_age,
        events: &[NAMES_B],
        ..Given::default()
    };
    assert_eq!(
        check(Kind::Cluster, &given(Some("b"), 6), &["10.0.0.1:5432"]),
        SWITCH,
        "it is silent"
    );
    for topology_age in [0, 6, 10] {
        let waited = check(Kind::Cluster, &given(Some("a"), topology_age), &["10.0.0.1:5432"]);
        assert!(
            waited.starts_with(
                "wait: contradiction: DNS names 10.0.0.2 and the RDS API names 10.0.0.1"
            ),
            "{waited}"
        );
    }
    assert_eq!(
        check(Kind::Cluster, &given(Some("a"), 11), &["10.0.0.1:5432"]),
        SWITCH,
        "it has been silent for long"
    );
}

#[test]
fn contradiction_of_topology_outlives_its_silence() {
    let given = |topology_age, steady| Given {
        dns: &["10.0.0.2"],
        steady,
        writer: Some("a"),
        topology_age,
        ..Given::default()
    };
    let veto = "wait: contradiction: DNS names 10.0.0.2 and the RDS API names 10.0.0.1";
    assert_eq!(check(Kind::Cluster, &given(0, 600), &["10.0.0.1:5432"]), veto);
    assert_eq!(
        check(Kind::Cluster, &given(10, 600), &["10.0.0.1:5432"]),
        veto,
        "silence does not end the veto"
    );
    let waited = check(Kind::Cluster, &given(11, 600), &["10.0.0.1:5432"]);
    assert!(
        waited.starts_with("wait: patience: DNS alone names 10.0.0.2 for 11 of 90 s"),
        "nor what is left of it: {waited}"
    );
    assert_eq!(check(Kind::Cluster, &given(90, 600), &["10.0.0.1:5432"]), SWITCH);
    assert_eq!(
        check(Kind::Cluster, &given(0, 20), &["10.0.0.2:5432"]),
        veto,
        "in-sync is not what it contradicts"
    );
}

#[test]
fn patience_asks_for_more_against_a_doubt() {
    let group = ["10.0.0.1:5432", "10.0.0.2:5432 draining"];
    for (writer, steady, switches) in [
        (Some("b"), 29, false),
        (Some("b"), 30, true),
        (None, 30, false),
        (None, 89, false),
        (None, 90, true),
    ] {
        let given =
            Given { dns: &["10.0.0.2"], steady, writer, saw: &[(90, &group)], ..Given::default() };
        assert_eq!(check(Kind::Cluster, &given, &group) == SWITCH, switches, "{writer:?} {steady}");
    }
    let hurried =
        Given { dns: &["10.0.0.2"], steady: 30, events: &[("0049", "", 5)], ..Given::default() };
    assert!(
        check(Kind::Instance, &hurried, &group).starts_with("wait"),
        "no event hurries a step back"
    );
}

#[test]
fn patience_believes_dns_alone_once_it_is_steady() {
    for (kind, events, steady, switches) in [
        (Kind::Cluster, &[][..], 9, false),
        (Kind::Cluster, &[], 10, true),
        (Kind::Instance, &[], 9, false),
        (Kind::Instance, &[], 10, true),
        (Kind::Instance, &[("0049", "Multi-AZ instance failover completed.", 5)], 9, false),
        (Kind::Instance, &[("0049", "Multi-AZ instance failover completed.", 5)], 10, true),
    ] {
        let given = Given { dns: &["10.0.0.2"], steady, events, ..Given::default() };
        assert_eq!(
            check(kind, &given, &["10.0.0.1:5432"]) == SWITCH,
            switches,
            "{kind} {events:?} {steady}"
        );
    }
}

#[test]
fn the_steady_time_follows_the_ttl_between_its_bounds() {
    let binding = binding(Kind::Instance);
    let group = vec![described("10.0.0.1:5432")];
    for (ttl, needed) in [(0, 10), (5, 10), (8, 16), (10, 20), (300, 20)] {
        for (lasted, switches) in [(needed - 1, false), (needed, true)] {
            let mut evidence = Evidence::new(&binding, &[], History::default(), at(0));
            evidence.group.update(group.clone(), at(0));
            let answer =
                DnsAnswer { addresses: addresses(&["10.0.0.2"]), ttl: Duration::from_secs(ttl) };
            (0..=lasted).for_each(|second| evidence.record_dns(answer.clone(), at(second)));
            let decided = verdict(&binding, &AllowedNetworks::default(), &evidence, at(lasted));
            assert_eq!(matches!(decided, Verdict::Switch(..)), switches, "ttl {ttl}, {lasted} s");
        }
    }
}

#[test]
fn another_answer_begins_a_new_row_and_silence_does_not_lengthen_one() {
    let binding = binding(Kind::Instance);
    let answer = |text| DnsAnswer { addresses: addresses(&[text]), ttl: Duration::from_secs(5) };
    let mut evidence = Evidence::new(&binding, &[], History::default(), at(0));
    let rows = [(0..9, "10.0.0.2"), (9..10, "10.0.0.1"), (10..16, "10.0.0.2")];
    for (seconds, text) in rows {
        seconds.for_each(|second| evidence.record_dns(answer(text), at(second)));
    }
    evidence.group.update(vec![described("10.0.0.1:5432")], at(0));
    let decided = verdict(&binding, &AllowedNetworks::default(), &evidence, at(19));
    let Verdict::Wait(Reason::Patience { lasted, .. }) = decided else { panic!("{decided:?}") };
    assert_eq!(lasted, Duration::from_secs(5));
}

#[test]
fn what_was_registered_a_moment_ago_is_proof_against_two_witnesses() {
    let both = ["10.0.0.1:5432 initial", "10.0.0.2:5432 healthy"];
    fn given<'a>(saw: &'a [(i64, &'a [&'a str])]) -> Given<'a> {
        Given { dns: &["10.0.0.2"], steady: 600, writer: Some("b"), saw, ..Given::default() }
    }
    let waited = check(Kind::Cluster, &given(&[]), &both);
    assert!(
        waited.starts_with("wait: patience: DNS and the RDS API name 10.0.0.2 for 0 of 30 s"),
        "{waited}"
    );
    let waited = check(Kind::Cluster, &given(&[(29, &both)]), &both);
    assert!(
        waited.starts_with("wait: patience: DNS and the RDS API name 10.0.0.2 for 29 of 30 s"),
        "{waited}"
    );
    let held = check(Kind::Cluster, &given(&[(30, &both)]), &both);
    assert_eq!(held, "deregister 10.0.0.1:5432", "DNS held against it");

    let both = ["10.0.0.1:5432 healthy", "10.0.0.2:5432 healthy"];
    let waited = check(Kind::Cluster, &given(&[(5, &["10.0.0.2:5432"])]), &both);
    assert!(waited.starts_with("wait"), "it was not there five seconds ago: {waited}");
}

#[test]
fn several_members_at_the_first_look_are_somebodys_unfinished_work() {
    let both: &[&str] = &["10.0.0.1:5432 healthy", "10.0.0.2:5432 healthy"];
    for (writer, ago, switches) in
        [(Some("b"), 29, false), (Some("b"), 30, true), (None, 89, false), (None, 90, true)]
    {
        let saw = [(ago, both)];
        let given =
            Given { dns: &["10.0.0.2"], steady: 600, writer, saw: &saw, ..Given::default() };
        let decided = check(Kind::Cluster, &given, both);
        assert_eq!(decided == "deregister 10.0.0.1:5432", switches, "{writer:?} {ago}: {decided}");
    }
    let given =
        Given { dns: &["10.0.0.2"], writer: Some("b"), events: &[NAMES_B], ..Given::default() };
    let waited = check(Kind::Cluster, &given, both);
    assert!(
        waited.starts_with("wait: patience"),
        "nobody knows whether they came after the event: {waited}"
    );
}

#[test]
fn a_member_whose_address_moves_is_not_named_twice() {
    let given =
        Given { dns: &["10.0.9.9"], writer: Some("b"), events: &[NAMES_B], ..Given::default() };
    let waited = check(Kind::Cluster, &given, &["10.0.0.1:5432"]);
    assert!(waited.starts_with("wait: contradiction: DNS names 10.0.9.9"), "{waited}");
}

#[test]
fn what_dns_said_before_its_address_was_left_proves_nothing() {
    let group = ["10.0.0.1:5432"];
    let given =
        |steady, left, saw| Given { dns: &["10.0.0.2"], steady, left, saw, ..Given::default() };
    let waited = check(
        Kind::Instance,
        &given(600, &[], &[(6, &["10.0.0.1:5432"]), (5, &["10.0.0.2:5432"])]),
        &group,
    );
    assert!(
        waited.starts_with("wait: patience: DNS alone names 10.0.0.2 for 5 of"),
        "another run left it: {waited}"
    );
    let waited = check(Kind::Instance, &given(600, &[("10.0.0.2", 89)], &[]), &group);
    assert!(
        waited.starts_with("wait: patience: DNS alone names 10.0.0.2 for 89 of 90 s"),
        "this process left it: {waited}"
    );
    assert_eq!(check(Kind::Instance, &given(600, &[("10.0.0.2", 90)], &[]), &group), SWITCH);
}

#[test]
fn contradiction_of_a_young_event_with_dns_and_topology() {
    let given = |age| {
        let events = Vec::leak(vec![("0071", "Completed failover to DB instance: a", age)]);
        Given { dns: &["10.0.0.2"], steady: 600, writer: Some("b"), events, ..Given::default() }
    };
    let veto = "wait: contradiction: DNS names 10.0.0.2 and a failover event names 10.0.0.1";
    assert_eq!(check(Kind::Cluster, &given(89), &["10.0.0.1:5432"]), veto);
    assert_eq!(
        check(Kind::Cluster, &given(89), &["10.0.0.2:5432"]),
        "in-sync",
        "it may be of the failover before"
    );
    assert_eq!(check(Kind::Cluster, &given(90), &["10.0.0.1:5432"]), SWITCH);
}

#[test]
fn a_silence_of_dns_begins_a_new_row() {
    let binding = binding(Kind::Instance);
    let answer = DnsAnswer { addresses: addresses(&["10.0.0.2"]), ttl: Duration::from_secs(5) };
    for (silence, lasted) in [(5, 35), (6, 0)] {
        let mut evidence = Evidence::new(&binding, &[], History::default(), at(0));
        (0..=30)
            .chain([30 + silence])
            .for_each(|second| evidence.record_dns(answer.clone(), at(second)));
        let steady = evidence.dns(at(36)).expect("an answer");
        assert_eq!(steady.stable_for(None), Duration::from_secs(lasted), "{silence} s");
    }
}

#[test]
fn a_proxy_keeps_an_absent_address_until_it_is_ill() {
    let given = Given { dns: &["10.0.0.2"], ..Given::default() };
    for kind in [Kind::Proxy, Kind::Readers] {
        for state in ["initial", "healthy", "unused/Target.NotInUse", "resting"] {
            let absent = format!("10.0.0.1:5432 {state}");
            assert_eq!(check(kind, &given, &[&absent]), "register 10.0.0.2:5432");
            assert_eq!(
                check(kind, &given, &[&absent, "10.0.0.2:5432 healthy"]),
                "in-sync",
                "{state}"
            );
        }
        assert_eq!(
            check(kind, &given, &["10.0.0.1:5432 unhealthy", "10.0.0.2:5432 initial"]),
            "deregister 10.0.0.1:5432"
        );
    }
    let group = ["10.0.0.2:5432 healthy", "10.0.0.1:3307 healthy"];
    assert_eq!(
        check(Kind::Proxy, &given, &group),
        "deregister 10.0.0.1:3307",
        "a foreign port does not stay"
    );
    let unhealthy = ["10.0.0.1:5432 unhealthy", "10.0.0.2:5432 unhealthy"];
    assert_eq!(
        check(Kind::Readers, &given, &unhealthy),
        "in-sync",
        "two runs with opposite answers empty no group"
    );
}

#[test]
fn readers_are_those_that_topology_says_can_serve() {
    let given = Given { dns: &["10.0.0.2"], writer: Some("a"), ..Given::default() };
    assert_eq!(
        check(Kind::Readers, &given, &[]),
        "register 10.0.0.2:5432",
        "10.0.0.3 is being created"
    );
    let group = ["10.0.0.1:5432 healthy", "10.0.0.2:5432 initial"];
    assert_eq!(
        check(Kind::Readers, &given, &group),
        "in-sync",
        "one leaves only for a healthy one"
    );
    let group = ["10.0.0.1:5432 initial", "10.0.0.2:5432 initial"];
    assert_eq!(check(Kind::Readers, &given, &group), "in-sync", "whatever it is itself");
}

#[test]
fn a_reader_leaves_when_the_rds_api_has_named_the_others_for_a_while() {
    let binding = binding(Kind::Readers);
    let both = || vec![described("10.0.0.1:5432 healthy"), described("10.0.0.2:5432 healthy")];
    let decide = |changed: i64, now: i64| {
        let mut evidence = Evidence::new(&binding, &[], History::default(), at(0));
        for second in 0..=now {
            let writer = if second < changed { "b" } else { "a" };
            evidence.record_dns(
                DnsAnswer { addresses: addresses(&["10.0.0.2"]), ttl: Duration::from_secs(5) },
                at(second),
            );
            evidence.record_topology(Some(topology(writer)), at(second));
        }
        evidence.group.update(both(), at(now));
        verdict(&binding, &AllowedNetworks::default(), &evidence, at(now))
    };
    let Verdict::Switch(plan, _) = decide(0, 10) else { panic!("the writer is no reader") };
    assert_eq!(plan.to_string(), "deregister 10.0.0.1:5432");
    for (changed, now, lasted) in [(0, 9, 9), (8, 16, 8)] {
        let expected = format!("patience: the RDS API alone names 10.0.0.2 for {lasted} of 10 s");
        assert_eq!(decide(changed, now).reason().map(Reason::to_string), Some(expected));
    }
}

#[test]
fn a_host_name_is_followed_once_steady_and_a_healthy_target_leaves_for_a_healthy_one() {
    let given = |steady| Given { dns: &["10.0.0.2"], steady, ..Given::default() };
    let waited = check(Kind::Hostname, &given(9), &["10.0.0.1:5432 unhealthy"]);
    assert!(
        waited.starts_with("wait: patience: DNS alone names 10.0.0.2 for 9 of 10 s"),
        "{waited}"
    );
    let steady = given(10);
    assert_eq!(check(Kind::Hostname, &steady, &["10.0.0.1:5432 unhealthy"]), SWITCH);
    assert_eq!(
        check(Kind::Hostname, &steady, &["10.0.0.1:5432 healthy"]),
        "register 10.0.0.2:5432"
    );
    let group = ["10.0.0.1:5432 healthy", "10.0.0.2:5432 initial"];
    assert_eq!(check(Kind::Hostname, &steady, &group), "in-sync");
    let group = ["10.0.0.1:5432 healthy", "10.0.0.2:5432 healthy"];
    let waited = check(Kind::Hostname, &steady, &group);
    assert!(
        waited.starts_with("wait: patience: DNS alone names 10.0.0.2 for 10 of 15 s"),
        "{waited}"
    );
    assert_eq!(check(Kind::Hostname, &given(15), &group), "deregister 10.0.0.1:5432");
    let other = Given { dns: &["10.0.0.1"], ..steady };
    assert_eq!(
        check(Kind::Hostname, &other, &group),
        "deregister 10.0.0.2:5432",
        "of two opposite runs one is later"
    );
}

#[test]
fn an_address_is_registered_at_once() {
    let given = Given { dns: &["10.0.0.2"], ..Given::default() };
    assert_eq!(check(Kind::Address, &given, &["10.0.0.1:5432 unhealthy"]), SWITCH);
}
