//! Quorum, contradiction and patience: what the claims of the witnesses make of a group.

use super::*;

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
        assert_eq!(steady.lasted(None), Duration::from_secs(lasted), "{silence} s");
    }
}
