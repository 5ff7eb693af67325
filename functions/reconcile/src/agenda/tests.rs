use super::*;
use crate::binding::Engine;
use crate::binding::tests::binding;
use crate::claim::{Voice, Witness};
use crate::evidence::{Answer, ClusterMember, Topology};
use crate::plan::Plan;
use crate::target::tests::described;

const B: [u8; 4] = [10, 0, 0, 2];

fn at(second: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_700_000_000 + second, 0).expect("a time")
}

fn set(address: [u8; 4]) -> Addresses {
    std::net::IpAddr::from(address).into()
}

/// The group as it was described at the time 100 s, when DNS named 10.0.0.1.
fn evidence(group: &[&str]) -> Evidence {
    let mut evidence = Evidence::new(&binding(Kind::Cluster), &[], Default::default(), at(100));
    evidence.hear_dns(Answer { addresses: set([10, 0, 0, 1]), ttl: Duration::from_secs(5) }, at(100));
    evidence.group.see(group.iter().map(|text| described(text)).collect(), at(100));
    evidence
}

fn settled(address: [u8; 4], checked: Option<i64>) -> Settled {
    Settled { addresses: Some(set(address)), checked: checked.map(at), ..Settled::default() }
}

#[test]
fn the_group_is_described_every_fifteen_seconds_and_right_before_a_write() {
    let agenda = Agenda::new(&binding(Kind::Cluster), false, Settled::default());
    let evidence = evidence(&["10.0.0.1:5432"]);
    for (now, describes, may_write) in
        [(100, false, true), (101, false, false), (114, false, false), (115, true, false)]
    {
        let asked = (agenda.describes(&evidence, at(now)), agenda.may_write(&evidence, at(now)));
        assert_eq!(asked, (describes, may_write), "at {now} s");
    }
    let mut written = evidence;
    written.group.forget();
    assert!(agenda.describes(&written, at(101)) && !agenda.may_write(&written, at(101)));
}

#[test]
fn topology_is_asked_beside_dns_in_a_watch_after_a_move_and_every_three_minutes() {
    const A: [u8; 4] = [10, 0, 0, 1];
    for (title, kind, is_watching, settled, answer, asks) in [
        ("a new process", Kind::Cluster, false, Settled::default(), A, true),
        ("checked two minutes ago", Kind::Cluster, false, settled(A, Some(-20)), A, false),
        ("checked three minutes ago", Kind::Cluster, false, settled(A, Some(-80)), A, true),
        ("never checked", Kind::Cluster, false, settled(A, None), A, true),
        ("in a watch", Kind::Cluster, true, settled(A, Some(90)), A, true),
        ("the name leads elsewhere", Kind::Cluster, false, settled(A, Some(90)), B, true),
        ("a reader endpoint always does", Kind::Readers, false, settled(A, Some(90)), B, false),
        ("no topology of an instance", Kind::Instance, true, Settled::default(), B, false),
        ("no topology of a proxy", Kind::Proxy, true, Settled::default(), B, false),
    ] {
        let mut agenda = Agenda::new(&binding(kind), is_watching, settled);
        let evidence = evidence(&["10.0.0.1:5432"]);
        let is_asked_without_dns = agenda.asks_topology(&evidence, at(100));
        assert_eq!(is_asked_without_dns, asks && title != "the name leads elsewhere", "{title}, before DNS answers");
        agenda.hear_dns(&evidence, &set(answer));
        assert_eq!(agenda.asks_topology(&evidence, at(100)), asks, "{title}");
    }
    let without_id = Agenda::new(&Binding { id: None, ..binding(Kind::Cluster) }, true, Settled::default());
    assert!(!without_id.asks_topology(&evidence(&[]), at(100)));
}

#[test]
fn topology_is_asked_beside_dns_after_a_look_that_did_not_find_the_group_right() {
    let mut agenda = Agenda::new(&binding(Kind::Cluster), false, settled([10, 0, 0, 1], Some(90)));
    for (verdict, asks) in [(waits(), true), (in_sync(), false)] {
        agenda.hear_verdict(&verdict, at(100));
        assert_eq!(agenda.asks_topology(&evidence(&["10.0.0.1:5432"]), at(100)), asks, "{verdict:?}");
    }
}

#[test]
fn a_check_without_an_answer_is_repeated_in_the_next_run_and_then_after_one_two_and_three_minutes() {
    let mut settled = settled(B, None);
    let mut now = 100;
    for seconds in [0, 0, 55, 115, 180, 180] {
        now += seconds;
        let mut agenda = Agenda::new(&binding(Kind::Cluster), false, settled);
        assert!(agenda.asks_topology(&evidence(&["10.0.0.2:5432"]), at(now)), "after {seconds} s");
        agenda.hear_topology(true, at(now));
        // Several looks of one run are one check.
        agenda.settle(Some(&set(B)));
        settled = agenda.settle(Some(&set(B)));
        let agenda = Agenda::new(&binding(Kind::Cluster), false, settled.clone());
        assert!(agenda.is_check_repeated());
        let next = [0, 0, 55, 115].get(settled.checks_in_vain).copied().unwrap_or(180);
        let is_asked = |pause| agenda.asks_topology(&evidence(&["10.0.0.2:5432"]), at(now + pause));
        assert!(settled.checks_in_vain == 1 || !is_asked(next - 1), "{next} s after {seconds} s");
    }
    let mut agenda = Agenda::new(&binding(Kind::Cluster), false, settled);
    agenda.hear_topology(false, at(now));
    assert_eq!(agenda.settle(Some(&set(B))).checks_in_vain, 0);
}

#[test]
fn a_standing_disagreement_makes_the_pauses_of_the_rds_api_longer_until_something_happens() {
    let contradiction =
        || Verdict::Wait(Because::Contradiction { dns: set(B), witness: Witness::Topology, other: set([10, 0, 0, 1]) });
    let pause = |agenda: &mut Agenda, now: i64| {
        agenda.hear_topology(false, at(now));
        (0..60).find(|pause| agenda.asks_topology(&evidence(&["10.0.0.1:5432"]), at(now + pause))).expect("a pause")
    };
    let mut agenda = Agenda::new(&binding(Kind::Cluster), false, settled(B, Some(100)));
    for (now, expected) in [(100, 2), (130, 3), (160, 4), (400, 12), (4_000, 15)] {
        agenda.hear_verdict(&contradiction(), at(now));
        assert_eq!(pause(&mut agenda, now), expected, "at {now} s");
    }
    let remembered = Settled { disagreed: agenda.disagreed(), ..settled(B, Some(100)) };
    let mut next = Agenda::new(&binding(Kind::Cluster), false, remembered.clone());
    next.hear_verdict(&contradiction(), at(4_060));
    assert_eq!(pause(&mut next, 4_060), 15, "the next run of the process");
    let mut event = Agenda::new(&binding(Kind::Cluster), true, remembered);
    event.hear_verdict(&contradiction(), at(4_060));
    assert_eq!(pause(&mut event, 4_060), 2, "an event came");
    next.hear_dns(&evidence(&["10.0.0.1:5432"]), &set([10, 0, 0, 9]));
    assert_eq!(pause(&mut next, 4_060), 1, "DNS moved");
    next.hear_dns(&evidence(&["10.0.0.1:5432"]), &set([10, 0, 0, 1]));
    next.hear_verdict(&contradiction(), at(4_062));
    assert_eq!(pause(&mut next, 4_062), 2, "and the disagreement is another one");
    let group = evidence(&["10.0.0.1:5432"]);
    agenda.hear_verdict(&contradiction(), at(4_000));
    assert!(agenda.asks_topology_after(&in_sync(), &group, at(4_001)), "nothing ends it but the RDS API");
    for waits in [Because::Silence, readers_patience()] {
        agenda.hear_verdict(&contradiction(), at(4_061));
        agenda.hear_verdict(&Verdict::Wait(waits), at(4_061));
        assert_eq!((agenda.disagreed(), pause(&mut agenda, 4_061)), (None, 2));
    }
}

fn readers_patience() -> Because {
    Because::Patience {
        witness: Witness::Topology,
        addresses: set(B),
        supporter: None,
        lasted: Duration::ZERO,
        needed: Duration::from_secs(10),
        doubt: None,
    }
}

#[test]
fn topology_is_asked_every_two_seconds_and_every_second_while_dns_moves() {
    for (answer, now, asks) in
        [([10, 0, 0, 1], 101, false), ([10, 0, 0, 1], 102, true), (B, 101, true), (B, 100, false)]
    {
        let mut agenda = Agenda::new(&binding(Kind::Cluster), true, Settled::default());
        agenda.hear_topology(false, at(100));
        let evidence = evidence(&["10.0.0.1:5432"]);
        agenda.hear_dns(&evidence, &set(answer));
        assert_eq!(agenda.asks_topology(&evidence, at(now)), asks, "{answer:?} at {now} s");
    }
}

#[test]
fn topology_is_asked_after_a_verdict_that_it_may_change() {
    let because = || Because::claim(Witness::Dns, &set(B));
    let switch = |group: &[&str]| {
        let group: Vec<_> = group.iter().map(|text| described(text)).collect();
        Verdict::Switch(Plan::new(&set(B), 5432, &group), because())
    };
    let healthy = ["10.0.0.1:5432"];
    for (title, kind, is_watching, verdict, group, asks) in [
        ("it takes a target away", Kind::Cluster, false, switch(&healthy), healthy, true),
        ("it only registers", Kind::Cluster, false, switch(&[]), healthy, false),
        ("readers are more than DNS names", Kind::Readers, false, switch(&[]), healthy, true),
        ("it waits for a witness", Kind::Cluster, false, Verdict::Wait(because()), healthy, true),
        ("it waits for DNS", Kind::Cluster, false, Verdict::Wait(Because::Silence), healthy, false),
        ("a watch waits for DNS", Kind::Cluster, true, Verdict::Wait(Because::Silence), healthy, true),
        ("in sync", Kind::Cluster, false, Verdict::InSync(because()), healthy, false),
        ("in sync and ill", Kind::Cluster, false, Verdict::InSync(because()), ["10.0.0.1:5432 unhealthy"], true),
        ("in sync in a watch", Kind::Cluster, true, Verdict::InSync(because()), healthy, true),
    ] {
        let agenda = Agenda::new(&binding(kind), is_watching, settled(B, Some(90)));
        assert_eq!(agenda.asks_topology_after(&verdict, &evidence(&group), at(100)), asks, "{title}");
    }
}

#[test]
fn before_a_switch_topology_is_asked_again_if_its_answer_is_a_second_old() {
    let group = [described("10.0.0.1:5432")];
    let switch = Verdict::Switch(Plan::new(&set(B), 5432, &group), Because::claim(Witness::Dns, &set(B)));
    for (heard, now, asks) in [(100, 100, false), (100, 101, true), (103, 103, false)] {
        let mut agenda = Agenda::new(&binding(Kind::Cluster), false, Settled::default());
        agenda.hear_topology(false, at(heard));
        let asked = agenda.asks_topology_after(&switch, &evidence(&["10.0.0.1:5432"]), at(now));
        assert_eq!(asked, asks, "heard at {heard} s, at {now} s");
    }
}

#[test]
fn a_run_that_never_asked_topology_leaves_the_check_to_the_next() {
    let mut agenda = Agenda::new(&binding(Kind::Cluster), false, settled(B, Some(7)));
    assert_eq!(agenda.settle(Some(&set(B))).checked, Some(at(7)));
    agenda.hear_topology(false, at(100));
    assert_eq!(agenda.settle(Some(&set(B))).checked, Some(at(100)));
}

#[test]
fn an_event_that_names_an_address_that_is_not_registered_hurries_topology() {
    let event = crate::event::RdsEvent {
        is_failover: false,
        id: Some("RDS-EVENT-0071".into()),
        time: Some(at(95)),
        source_arn: None,
        source_id: Some("orders".into()),
        message: "Completed failover to DB instance: b".into(),
    };
    let binding = binding(Kind::Cluster);
    for (group, asks) in [("10.0.0.1:5432", true), ("10.0.0.2:5432", false)] {
        let mut agenda = Agenda::new(&binding, true, Settled::default());
        let mut evidence = Evidence::new(&binding, std::slice::from_ref(&event), Default::default(), at(100));
        let member = ClusterMember { id: "b".into(), is_writer: true, endpoint: None, status: "available".into() };
        evidence.hear_topology(Some(Topology(vec![(member, set(B))])), at(100));
        evidence.hear_dns(Answer { addresses: set(B), ttl: Duration::from_secs(5) }, at(100));
        evidence.group.see(vec![described(group)], at(100));
        agenda.hear_topology(false, at(100));
        assert_eq!(agenda.asks_topology(&evidence, at(101)), asks, "{group}");
    }
}

/// A binding whose databases are asked.
fn voiced(kind: Kind) -> Binding {
    Binding { engine: Some(Engine::Postgres), ..binding(kind) }
}

fn hosts(addresses: &BTreeSet<IpAddr>) -> Vec<String> {
    addresses.iter().map(|address| address.to_string().replace("10.0.0.", "")).collect()
}

fn in_sync() -> Verdict {
    Verdict::InSync(Because::claim(Witness::Dns, &set([10, 0, 0, 1])))
}

fn waits() -> Verdict {
    Verdict::Wait(Because::Silence)
}

/// DNS names 1, which is registered, 2 drains, and this process knows 3 from an earlier run.
const ALL: [&str; 3] = ["1", "2", "3"];

fn knows_three(checked: Option<i64>) -> Settled {
    Settled { known: vec![[10, 0, 0, 3].into()], ..settled([10, 0, 0, 1], checked) }
}

#[test]
fn all_known_databases_are_asked_beside_dns_in_a_watch_and_while_the_group_is_not_found_right() {
    let evidence = evidence(&["10.0.0.1:5432", "10.0.0.2:5432 draining"]);
    for (title, engine, is_watching, before, expected) in [
        ("a first look", Some(Engine::Postgres), false, &[][..], &[][..]),
        ("a watch", Some(Engine::MySql), true, &[], &ALL),
        ("a watch in sync", Some(Engine::Postgres), true, &[in_sync()], &ALL),
        ("it waited", Some(Engine::Postgres), false, &[waits()], &ALL),
        ("it was found right", Some(Engine::Postgres), false, &[in_sync()], &[]),
        ("it waited and was found right", Some(Engine::Postgres), false, &[waits(), in_sync()], &[]),
        ("a watch without an engine", None, true, &[], &[]),
        ("it waited without an engine", None, false, &[waits()], &[]),
    ] {
        // A check that is due asks after the verdict.
        let binding = Binding { engine, ..binding(Kind::Instance) };
        let mut agenda = Agenda::new(&binding, is_watching, knows_three(None));
        before.iter().for_each(|verdict| agenda.hear_verdict(verdict, at(100)));
        assert_eq!(hosts(&agenda.asks_databases(&evidence)), expected, "{title}");
    }
}

#[test]
fn the_databases_are_asked_before_a_verdict_that_they_may_change() {
    let evidence = evidence(&["10.0.0.1:5432", "10.0.0.2:5432 draining"]);
    let switch = || Verdict::Switch(Plan::new(&set(B), 5432, &[]), Because::claim(Witness::Dns, &set(B)));
    let lately = Some(90);
    for (title, engine, is_watching, verdict, checked, expected) in [
        ("it waits", Some(Engine::Postgres), false, waits(), lately, &ALL[..]),
        ("it switches", Some(Engine::Postgres), false, switch(), lately, &ALL),
        ("a watch", Some(Engine::Postgres), true, in_sync(), lately, &ALL),
        ("in sync", Some(Engine::Postgres), false, in_sync(), lately, &[]),
        ("in sync, checked two minutes ago", Some(Engine::Postgres), false, in_sync(), Some(-20), &[]),
        ("in sync, checked three minutes ago", Some(Engine::MySql), false, in_sync(), Some(-80), &["1"]),
        ("in sync and never checked", Some(Engine::Postgres), false, in_sync(), None, &["1"]),
        ("it waits without an engine", None, false, waits(), lately, &[]),
        ("a watch without an engine", None, true, in_sync(), lately, &[]),
        ("never checked without an engine", None, false, in_sync(), None, &[]),
    ] {
        for kind in [Kind::Cluster, Kind::Instance, Kind::Hostname] {
            let agenda = Agenda::new(&Binding { engine, ..binding(kind) }, is_watching, knows_three(checked));
            let asked = agenda.asks_databases_after(&verdict, &evidence, at(100));
            assert_eq!(hosts(&asked), expected, "{title}, {kind}");
        }
    }
}

#[test]
fn databases_that_were_asked_are_the_check_only_where_there_is_no_rds_api() {
    for (kind, before, after) in [(Kind::Instance, 50, 50), (Kind::Hostname, 50, 50), (Kind::Cluster, 7, 60)] {
        let mut agenda = Agenda::new(&voiced(kind), false, settled(B, Some(7)));
        agenda.hear_databases(at(50));
        assert_eq!(agenda.settle(Some(&set(B))).checked, Some(at(before)), "{kind}");
        if kind == Kind::Cluster {
            agenda.hear_topology(false, at(60));
        }
        assert_eq!(agenda.settle(Some(&set(B))).checked, Some(at(after)), "{kind}");
    }
}

#[test]
fn a_process_knows_the_last_eight_addresses_that_it_saw_in_sync() {
    let mut agenda = Agenda::new(&voiced(Kind::Instance), false, knows_three(None));
    agenda.settle(Some(&set(B)));
    agenda.settle(None);
    let known = |settled: Settled| hosts(&settled.known.into_iter().collect());
    assert_eq!(known(agenda.settle(Some(&set([10, 0, 0, 1])))), ["1", "2", "3"]);
    for host in 10..17 {
        agenda.settle(Some(&set([10, 0, 0, host])));
        agenda.settle(Some(&set(B)));
    }
    assert_eq!(known(agenda.settle(None)), ["2", "10", "11", "12", "13", "14", "15", "16"], "what is seen again stays");
}

#[test]
fn nobody_else_is_asked_before_a_switch_by_the_word_of_a_database() {
    let group = [described("10.0.0.1:5432")];
    let switch = |because| Verdict::Switch(Plan::new(&set(B), 5432, &group), because);
    for (because, asks) in [
        (Because::Word { address: B.into() }, false),
        (Because::claim(Witness::Dns, &set(B)), true),
        (Because::Quorum { witnesses: [Witness::Dns, Witness::Event], addresses: set(B) }, true),
    ] {
        let agenda = Agenda::new(&voiced(Kind::Cluster), true, Settled::default());
        let asked = agenda.asks_topology_after(&switch(because.clone()), &evidence(&["10.0.0.1:5432"]), at(100));
        assert_eq!(asked, asks, "{because}");
    }
}

#[test]
fn the_pause_is_what_a_look_left_of_the_second_and_half_while_no_database_takes_writes() {
    const WRITES: Option<Voice> = Some(Voice::TakesWrites);
    const READS: Option<Voice> = Some(Voice::ReadOnly);
    for (title, engine, is_watching, is_unshown, voice, took, pause) in [
        ("without an engine", None, true, false, None, 800, 1_000),
        ("a write does not show", None, false, true, None, 800, 500),
        ("a writer speaks", Some(Engine::Postgres), true, false, WRITES, 300, 700),
        ("none does", Some(Engine::Postgres), true, false, None, 300, 250),
        ("none does at once", Some(Engine::Postgres), true, false, None, 100, 400),
        ("a reader does", Some(Engine::Postgres), true, false, READS, 100, 400),
        ("none does in no watch", Some(Engine::Postgres), false, false, None, 100, 900),
        ("a writer speaks and a write does not show", Some(Engine::Postgres), true, true, WRITES, 100, 400),
        ("a long look", Some(Engine::Postgres), true, false, WRITES, 1_500, 250),
    ] {
        let mut evidence = evidence(&["10.0.0.1:5432"]);
        evidence.hear_database([10, 0, 0, 1].into(), voice, at(100));
        let agenda = Agenda::new(&Binding { engine, ..binding(Kind::Cluster) }, is_watching, Settled::default());
        let asked = agenda.pause(&evidence, Duration::from_millis(took), is_unshown, at(100));
        assert_eq!(asked, Duration::from_millis(pause), "{title}");
    }
}
