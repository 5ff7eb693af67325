//! Groups with several members: custom endpoints, an address that may not be registered, a writer
//! that stands in for readers.

use super::*;

const KINDS: [Kind; 3] = [Kind::Readers, Kind::Proxy, Kind::Custom];

#[test]
fn an_address_that_may_not_be_registered_keeps_no_other_out_and_is_told_once_they_are_in() {
    let given = Given { dns: &["10.0.0.2", "52.1.2.3"], ..Given::default() };
    for kind in KINDS {
        assert_eq!(check(kind, &given, &[]), "register 10.0.0.2:5432", "{kind}");
        let ill = "10.0.0.9:5432 unhealthy";
        assert_eq!(
            check(kind, &given, &[ill]),
            "register 10.0.0.2:5432",
            "{kind}: nobody leaves in that run"
        );
        let refused = check(kind, &given, &["10.0.0.2:5432 healthy", ill]);
        assert!(refused.starts_with("refuse: 52.1.2.3"), "{kind}: {refused}");
    }
    for kind in [Kind::Cluster, Kind::Instance, Kind::Hostname] {
        let refused = check(kind, &given, &["10.0.0.9:5432"]);
        assert!(refused.starts_with("refuse: 52.1.2.3"), "{kind}: {refused}");
    }
}

#[test]
fn a_reader_of_the_rds_api_that_may_not_be_registered_keeps_no_other_out() {
    let binding = binding(Kind::Readers);
    let mut members = topology("c").0;
    members[0].1 = addresses(&["52.1.2.3"]);
    let mut evidence = Evidence::new(&binding, &[], History::default(), at(0));
    evidence
        .record_dns(DnsAnswer { addresses: addresses(&["10.0.0.2"]), ttl: Duration::ZERO }, at(0));
    evidence.record_topology(Some(Topology(members)), at(0));
    let decide =
        |evidence: &Evidence| verdict(&binding, &AllowedNetworks::default(), evidence, at(0));
    evidence.group.update(vec![], at(0));
    let Verdict::Switch(plan, _) = decide(&evidence) else { panic!("the other joins") };
    assert_eq!(plan.to_string(), "register 10.0.0.2:5432");
    evidence.group.update(vec![described("10.0.0.2:5432")], at(0));
    assert!(matches!(decide(&evidence), Verdict::Refuse(_)));
}

/// Its lookup failed, and nobody knows it from before. One that has left the cluster leaves.
#[test]
fn a_reader_without_an_address_keeps_its_target() {
    let binding = binding(Kind::Readers);
    let Topology(members) = topology("c");
    let decided = |topology_age: &[(ClusterMember, Addresses)]| {
        let topology_age: Vec<_> = topology_age.iter().map(|(member, _)| member.clone()).collect();
        let mut evidence = Evidence::new(&binding, &[], History::default(), at(0));
        evidence.group.update(
            vec![described("10.0.0.1:5432 healthy"), described("10.0.0.2:5432 healthy")],
            at(0),
        );
        for second in 0..=30 {
            evidence.record_dns(
                DnsAnswer { addresses: addresses(&["10.0.0.2"]), ttl: Duration::ZERO },
                at(second),
            );
            evidence.record_members(&topology_age, at(second));
            evidence.record_topology(Some(Topology(members[1..].to_vec())), at(second));
        }
        verdict(&binding, &AllowedNetworks::default(), &evidence, at(30))
    };
    assert!(matches!(decided(&members), Verdict::Wait(_)), "{:?}", decided(&members));
    let Verdict::Switch(plan, _) = decided(&members[1..]) else {
        panic!("{:?}", decided(&members[1..]))
    };
    assert_eq!(plan.to_string(), "deregister 10.0.0.1:5432");
}

/// What is judged of a custom endpoint whose answers name 10.0.0.2, one after each pause, since
/// they named both.
fn custom(answers: i64, pause: i64, group: &[&str]) -> String {
    let binding = binding(Kind::Custom);
    let answer =
        |texts: &[&str]| DnsAnswer { addresses: addresses(texts), ttl: Duration::from_secs(1) };
    let mut history = History::default();
    for number in 0..=answers {
        let now = at(number * pause);
        let mut evidence = Evidence::new(&binding, &[], history, now);
        evidence.record_dns(
            if number == 0 { answer(&["10.0.0.1", "10.0.0.2"]) } else { answer(&["10.0.0.2"]) },
            now,
        );
        history = evidence.history();
    }
    let now = at(answers * pause);
    let mut evidence = Evidence::new(&binding, &[], history, now);
    evidence.group.update(group.iter().map(|text| described(text)).collect(), now);
    evidence.record_dns(answer(&["10.0.0.2"]), now);
    match verdict(&binding, &AllowedNetworks::default(), &evidence, now) {
        Verdict::Switch(plan, _) => plan.to_string(),
        decided => <&str>::from(decided).to_owned(),
    }
}

#[test]
fn a_member_of_a_custom_endpoint_leaves_after_ten_minutes_and_twenty_answers_or_when_it_is_ill() {
    let both = ["10.0.0.1:5432 healthy", "10.0.0.2:5432 healthy"];
    assert_eq!(
        custom(1, 60, &["10.0.0.1:5432 healthy"]),
        "register 10.0.0.2:5432",
        "what DNS names joins at once"
    );
    for (title, answers, pause, expected) in [
        ("nine minutes, and many answers", 100, 5, "in-sync"),
        ("ten minutes, and few answers", 10, 60, "in-sync"),
        // The last look is an answer too.
        ("ten minutes, and nineteen answers", 18, 35, "in-sync"),
        ("ten minutes, and twenty answers", 19, 35, "deregister 10.0.0.1:5432"),
        ("twenty answers, one a minute", 20, 60, "deregister 10.0.0.1:5432"),
    ] {
        assert_eq!(custom(answers, pause, &both), expected, "{title}");
    }
    let five = [1, 2, 3, 4, 5].map(|host| format!("10.0.0.{host}:5432 healthy"));
    let five = five.each_ref().map(String::as_str);
    assert_eq!(
        custom(47, 60, &five),
        "in-sync",
        "of five members, 49 answers of one each may lack any of them"
    );
    assert!(custom(49, 60, &five).starts_with("deregister 10.0.0.1:5432"), "ten answers for each");
    let ill = ["10.0.0.1:5432 unhealthy", "10.0.0.2:5432 initial"];
    assert_eq!(custom(1, 1, &ill), "deregister 10.0.0.1:5432", "as with a proxy");
    let alone = ["10.0.0.1:5432 healthy", "10.0.0.2:5432 initial"];
    assert_eq!(custom(30, 60, &alone), "in-sync", "a healthy one leaves only for a healthy one");
}

#[test]
fn a_new_process_counts_the_absence_from_its_own_first_answer() {
    let binding = binding(Kind::Custom);
    let both = || vec![described("10.0.0.1:5432 healthy"), described("10.0.0.2:5432 healthy")];
    let mut history = History::default();
    for number in 0..=20 {
        let now = at(number * 60);
        let mut evidence = Evidence::new(&binding, &[], history, now);
        evidence.record_dns(
            DnsAnswer { addresses: addresses(&["10.0.0.2"]), ttl: Duration::ZERO },
            now,
        );
        evidence.group.update(both(), now);
        let decided = verdict(&binding, &AllowedNetworks::default(), &evidence, now);
        assert_eq!(matches!(decided, Verdict::Switch(..)), number >= 19, "answer {number}");
        history = evidence.history();
    }
}

/// The readers' group of a cluster whose writer is `a` and whose one reader that can serve is `b`.
///
/// The writer was registered by this process at that time.
fn of_readers(dns: &str, joined: i64, looks: &[(i64, &[&str])]) -> String {
    let binding = binding(Kind::Readers);
    let mut evidence = Evidence::new(&binding, &[], History::default(), at(0));
    let last = looks[looks.len() - 1].0;
    for second in 0..=last {
        evidence.record_dns(
            DnsAnswer { addresses: addresses(&[dns]), ttl: Duration::ZERO },
            at(second),
        );
        evidence.record_topology(Some(topology("a")), at(second));
        if second == joined {
            evidence.record_registration(
                &[Target { address: [10, 0, 0, 1].into(), port: 5432 }],
                at(second),
            );
        }
        let look = looks.iter().find(|(at, _)| *at == second);
        look.iter().for_each(|(_, group)| {
            evidence.group.update(group.iter().map(|text| described(text)).collect(), at(second));
        });
    }
    match verdict(&binding, &AllowedNetworks::default(), &evidence, at(last)) {
        Verdict::Switch(plan, _) => plan.to_string(),
        decided => format!(
            "{}, {}",
            <&str>::from(&decided),
            decided.reason().map(Reason::to_string).unwrap_or_default()
        ),
    }
}

#[test]
fn the_writer_stands_in_while_dns_names_it_and_no_reader_is_healthy() {
    let restarts = "10.0.0.2:5432 unhealthy";
    assert_eq!(of_readers("10.0.0.1", -1, &[(0, &[restarts])]), "register 10.0.0.1:5432");
    assert!(
        of_readers("10.0.0.2", -1, &[(0, &[restarts])]).starts_with("in-sync"),
        "DNS does not name the writer"
    );
    assert!(
        of_readers("10.0.0.1", -1, &[(0, &["10.0.0.2:5432"])]).starts_with("in-sync"),
        "the reader is healthy"
    );
    let both_ill = ["10.0.0.1:5432", restarts];
    assert!(
        of_readers("10.0.0.2", -1, &[(20, &both_ill)]).starts_with("in-sync"),
        "it leaves for a healthy one only"
    );
}

#[test]
fn the_writer_that_stood_in_leaves_once_a_reader_has_been_healthy_for_ten_seconds() {
    let back: &[&str] = &["10.0.0.1:5432", "10.0.0.2:5432"];
    let ill: &[&str] = &["10.0.0.1:5432", "10.0.0.2:5432 unhealthy"];
    let waits = "wait, patience: the RDS API alone names 10.0.0.2 for 9 of 10 s";
    for dns in ["10.0.0.1", "10.0.0.2"] {
        assert_eq!(of_readers(dns, 0, &[(0, ill), (20, back), (29, back)]), waits);
        assert_eq!(
            of_readers(dns, 0, &[(0, ill), (20, back), (30, back)]),
            "deregister 10.0.0.1:5432"
        );
        let flaps = of_readers(dns, 0, &[(0, ill), (20, back), (25, ill), (30, back)]);
        assert!(flaps.starts_with("wait, patience"), "{flaps}");
    }
    let promoted = of_readers("10.0.0.2", -1, &[(0, ill), (20, back)]);
    assert_eq!(
        promoted, "deregister 10.0.0.1:5432",
        "a reader that became the writer leaves as ever"
    );
}
