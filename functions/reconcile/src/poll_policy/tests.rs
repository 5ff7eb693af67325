use super::*;
use crate::binding::Engine;
use crate::binding::tests::binding;
use crate::claim::{Role, Witness};
use crate::evidence::DnsAnswer;
use crate::plan::Plan;
use crate::target::Target;
use crate::target::tests::described;
use crate::topology::Topology;
use base::database::ClusterMember;

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
    evidence.record_dns(
        DnsAnswer { addresses: set([10, 0, 0, 1]), ttl: Duration::from_secs(5) },
        at(100),
    );
    evidence.group.update(group.iter().map(|text| described(text)).collect(), at(100));
    evidence
}

fn last_in_sync(address: [u8; 4], checked: Option<i64>) -> LastInSync {
    LastInSync { addresses: Some(set(address)), checked: checked.map(at), ..LastInSync::default() }
}

#[test]
fn the_group_is_described_every_fifteen_seconds_and_right_before_a_write() {
    let poll_policy = PollPolicy::new(&binding(Kind::Cluster), false, LastInSync::default());
    let evidence = evidence(&["10.0.0.1:5432"]);
    for (now, describes, may_write) in
        [(100, false, true), (101, false, false), (114, false, false), (115, true, false)]
    {
        let asked = (
            poll_policy.should_describe(&evidence, at(now)),
            poll_policy.may_write(&evidence, at(now)),
        );
        assert_eq!(asked, (describes, may_write), "at {now} s");
    }
    let mut written = evidence;
    written.group.invalidate();
    assert!(
        poll_policy.should_describe(&written, at(101)) && !poll_policy.may_write(&written, at(101))
    );
}

#[test]
fn topology_is_asked_beside_dns_in_a_watch_after_a_move_and_every_three_minutes() {
    const A: [u8; 4] = [10, 0, 0, 1];
    for (title, kind, is_watching, last_in_sync, answer, asks) in [
        ("a new process", Kind::Cluster, false, LastInSync::default(), A, true),
        ("checked two minutes ago", Kind::Cluster, false, last_in_sync(A, Some(-20)), A, false),
        ("checked three minutes ago", Kind::Cluster, false, last_in_sync(A, Some(-80)), A, true),
        ("never checked", Kind::Cluster, false, last_in_sync(A, None), A, true),
        ("in a watch", Kind::Cluster, true, last_in_sync(A, Some(90)), A, true),
        ("the name leads elsewhere", Kind::Cluster, false, last_in_sync(A, Some(90)), B, true),
        (
            "a reader endpoint always does",
            Kind::Readers,
            false,
            last_in_sync(A, Some(90)),
            B,
            false,
        ),
        ("no topology of an instance", Kind::Instance, true, LastInSync::default(), B, false),
        ("no topology of a proxy", Kind::Proxy, true, LastInSync::default(), B, false),
    ] {
        let mut poll_policy = PollPolicy::new(&binding(kind), is_watching, last_in_sync);
        let evidence = evidence(&["10.0.0.1:5432"]);
        let is_asked_without_dns = poll_policy.should_ask_topology(&evidence, at(100));
        assert_eq!(
            is_asked_without_dns,
            asks && title != "the name leads elsewhere",
            "{title}, before DNS answers"
        );
        poll_policy.record_dns(&evidence, &set(answer));
        assert_eq!(poll_policy.should_ask_topology(&evidence, at(100)), asks, "{title}");
    }
    let without_id = PollPolicy::new(
        &Binding { id: None, ..binding(Kind::Cluster) },
        true,
        LastInSync::default(),
    );
    assert!(!without_id.should_ask_topology(&evidence(&[]), at(100)));
}

#[test]
fn topology_is_asked_beside_dns_after_a_look_that_did_not_find_the_group_right() {
    let mut poll_policy =
        PollPolicy::new(&binding(Kind::Cluster), false, last_in_sync([10, 0, 0, 1], Some(90)));
    for (verdict, asks) in [(waits(), true), (in_sync(), false)] {
        poll_policy.record_verdict(&verdict, at(100));
        assert_eq!(
            poll_policy.should_ask_topology(&evidence(&["10.0.0.1:5432"]), at(100)),
            asks,
            "{verdict:?}"
        );
    }
}

#[test]
fn a_check_without_an_answer_is_repeated_in_the_next_run_and_then_after_one_two_and_three_minutes()
{
    let mut last_in_sync = last_in_sync(B, None);
    let mut now = 100;
    for seconds in [0, 0, 55, 115, 180, 180] {
        now += seconds;
        let mut poll_policy = PollPolicy::new(&binding(Kind::Cluster), false, last_in_sync);
        assert!(
            poll_policy.should_ask_topology(&evidence(&["10.0.0.2:5432"]), at(now)),
            "after {seconds} s"
        );
        poll_policy.record_topology(true, at(now));
        // Several looks of one run are one check.
        poll_policy.record_in_sync(Some(&set(B)));
        last_in_sync = poll_policy.record_in_sync(Some(&set(B)));
        let poll_policy = PollPolicy::new(&binding(Kind::Cluster), false, last_in_sync.clone());
        assert!(poll_policy.is_check_repeated());
        let next = [0, 0, 55, 115].get(last_in_sync.unanswered_checks).copied().unwrap_or(180);
        let is_asked =
            |pause| poll_policy.should_ask_topology(&evidence(&["10.0.0.2:5432"]), at(now + pause));
        assert!(
            last_in_sync.unanswered_checks == 1 || !is_asked(next - 1),
            "{next} s after {seconds} s"
        );
    }
    let mut poll_policy = PollPolicy::new(&binding(Kind::Cluster), false, last_in_sync);
    poll_policy.record_topology(false, at(now));
    assert_eq!(poll_policy.record_in_sync(Some(&set(B))).unanswered_checks, 0);
}

#[test]
fn a_standing_disagreement_makes_the_pauses_of_the_rds_api_longer_until_something_happens() {
    let contradiction = || {
        Verdict::Wait(Reason::Contradiction {
            dns: set(B),
            witness: Witness::Topology,
            other: set([10, 0, 0, 1]),
        })
    };
    let pause = |poll_policy: &mut PollPolicy, now: i64| {
        poll_policy.record_topology(false, at(now));
        (0..60)
            .find(|pause| {
                poll_policy.should_ask_topology(&evidence(&["10.0.0.1:5432"]), at(now + pause))
            })
            .expect("a pause")
    };
    let mut poll_policy =
        PollPolicy::new(&binding(Kind::Cluster), false, last_in_sync(B, Some(100)));
    for (now, expected) in [(100, 2), (130, 3), (160, 4), (400, 12), (4_000, 15)] {
        poll_policy.record_verdict(&contradiction(), at(now));
        assert_eq!(pause(&mut poll_policy, now), expected, "at {now} s");
    }
    let remembered =
        LastInSync { disagreed: poll_policy.disagreed(), ..last_in_sync(B, Some(100)) };
    let mut next = PollPolicy::new(&binding(Kind::Cluster), false, remembered.clone());
    next.record_verdict(&contradiction(), at(4_060));
    assert_eq!(pause(&mut next, 4_060), 15, "the next run of the process");
    let mut event = PollPolicy::new(&binding(Kind::Cluster), true, remembered);
    event.record_verdict(&contradiction(), at(4_060));
    assert_eq!(pause(&mut event, 4_060), 2, "an event came");
    next.record_dns(&evidence(&["10.0.0.1:5432"]), &set([10, 0, 0, 9]));
    assert_eq!(pause(&mut next, 4_060), 1, "DNS moved");
    next.record_dns(&evidence(&["10.0.0.1:5432"]), &set([10, 0, 0, 1]));
    next.record_verdict(&contradiction(), at(4_062));
    assert_eq!(pause(&mut next, 4_062), 2, "and the disagreement is another one");
    let group = evidence(&["10.0.0.1:5432"]);
    poll_policy.record_verdict(&contradiction(), at(4_000));
    assert!(
        poll_policy.should_ask_topology_after(&in_sync(), &group, at(4_001)),
        "nothing ends it but the RDS API"
    );
    for waits in [Reason::NoDnsAnswer, readers_patience()] {
        poll_policy.record_verdict(&contradiction(), at(4_061));
        poll_policy.record_verdict(&Verdict::Wait(waits), at(4_061));
        assert_eq!((poll_policy.disagreed(), pause(&mut poll_policy, 4_061)), (None, 2));
    }
}

fn readers_patience() -> Reason {
    Reason::Patience {
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
        let mut poll_policy = PollPolicy::new(&binding(Kind::Cluster), true, LastInSync::default());
        poll_policy.record_topology(false, at(100));
        let evidence = evidence(&["10.0.0.1:5432"]);
        poll_policy.record_dns(&evidence, &set(answer));
        assert_eq!(
            poll_policy.should_ask_topology(&evidence, at(now)),
            asks,
            "{answer:?} at {now} s"
        );
    }
}

#[test]
fn topology_is_asked_after_a_verdict_that_it_may_change() {
    let reason = || Reason::claim(Witness::Dns, &set(B));
    let switch = |group: &[&str]| {
        let group: Vec<_> = group.iter().map(|text| described(text)).collect();
        Verdict::Switch(Plan::new(&set(B), 5432, &group), reason())
    };
    let healthy = ["10.0.0.1:5432"];
    for (title, kind, is_watching, verdict, group, asks) in [
        ("it takes a target away", Kind::Cluster, false, switch(&healthy), healthy, true),
        ("it only registers", Kind::Cluster, false, switch(&[]), healthy, false),
        ("readers are more than DNS names", Kind::Readers, false, switch(&[]), healthy, true),
        ("it waits for a witness", Kind::Cluster, false, Verdict::Wait(reason()), healthy, true),
        (
            "it waits for DNS",
            Kind::Cluster,
            false,
            Verdict::Wait(Reason::NoDnsAnswer),
            healthy,
            false,
        ),
        (
            "a watch waits for DNS",
            Kind::Cluster,
            true,
            Verdict::Wait(Reason::NoDnsAnswer),
            healthy,
            true,
        ),
        ("in-sync", Kind::Cluster, false, Verdict::InSync(reason()), healthy, false),
        (
            "in-sync and unhealthy",
            Kind::Cluster,
            false,
            Verdict::InSync(reason()),
            ["10.0.0.1:5432 unhealthy"],
            true,
        ),
        ("in-sync in a watch", Kind::Cluster, true, Verdict::InSync(reason()), healthy, true),
    ] {
        let poll_policy = PollPolicy::new(&binding(kind), is_watching, last_in_sync(B, Some(90)));
        assert_eq!(
            poll_policy.should_ask_topology_after(&verdict, &evidence(&group), at(100)),
            asks,
            "{title}"
        );
    }
}

#[test]
fn before_a_switch_topology_is_asked_again_if_its_answer_is_a_second_old() {
    let group = [described("10.0.0.1:5432")];
    let switch =
        Verdict::Switch(Plan::new(&set(B), 5432, &group), Reason::claim(Witness::Dns, &set(B)));
    for (heard, now, asks) in [(100, 100, false), (100, 101, true), (103, 103, false)] {
        let mut poll_policy =
            PollPolicy::new(&binding(Kind::Cluster), false, LastInSync::default());
        poll_policy.record_topology(false, at(heard));
        let asked =
            poll_policy.should_ask_topology_after(&switch, &evidence(&["10.0.0.1:5432"]), at(now));
        assert_eq!(asked, asks, "heard at {heard} s, at {now} s");
    }
}

#[test]
fn a_run_that_never_asked_topology_leaves_the_check_to_the_next() {
    let mut poll_policy = PollPolicy::new(&binding(Kind::Cluster), false, last_in_sync(B, Some(7)));
    assert_eq!(poll_policy.record_in_sync(Some(&set(B))).checked, Some(at(7)));
    poll_policy.record_topology(false, at(100));
    assert_eq!(poll_policy.record_in_sync(Some(&set(B))).checked, Some(at(100)));
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
        let mut poll_policy = PollPolicy::new(&binding, true, LastInSync::default());
        let mut evidence =
            Evidence::new(&binding, std::slice::from_ref(&event), Default::default(), at(100));
        let member = ClusterMember {
            id: "b".into(),
            is_writer: true,
            endpoint: None,
            status: "available".into(),
        };
        evidence.record_topology(Some(Topology(vec![(member, set(B))])), at(100));
        evidence.record_dns(DnsAnswer { addresses: set(B), ttl: Duration::from_secs(5) }, at(100));
        evidence.group.update(vec![described(group)], at(100));
        poll_policy.record_topology(false, at(100));
        assert_eq!(poll_policy.should_ask_topology(&evidence, at(101)), asks, "{group}");
    }
}

/// A binding whose databases are asked.
fn probed(kind: Kind) -> Binding {
    Binding { engine: Some(Engine::Postgres), ..binding(kind) }
}

fn hosts(addresses: &BTreeSet<IpAddr>) -> Vec<String> {
    addresses.iter().map(|address| address.to_string().replace("10.0.0.", "")).collect()
}

fn in_sync() -> Verdict {
    Verdict::InSync(Reason::claim(Witness::Dns, &set([10, 0, 0, 1])))
}

fn waits() -> Verdict {
    Verdict::Wait(Reason::NoDnsAnswer)
}

/// DNS names 1, which is registered, 2 drains, and this process knows 3 from an earlier run.
const ALL: [&str; 3] = ["1", "2", "3"];

fn knows_three(checked: Option<i64>) -> LastInSync {
    LastInSync { known: vec![[10, 0, 0, 3].into()], ..last_in_sync([10, 0, 0, 1], checked) }
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
        (
            "it waited and was found right",
            Some(Engine::Postgres),
            false,
            &[waits(), in_sync()],
            &[],
        ),
        ("a watch without an engine", None, true, &[], &[]),
        ("it waited without an engine", None, false, &[waits()], &[]),
    ] {
        // A check that is due asks after the verdict.
        let binding = Binding { engine, ..binding(Kind::Instance) };
        let mut poll_policy = PollPolicy::new(&binding, is_watching, knows_three(None));
        before.iter().for_each(|verdict| poll_policy.record_verdict(verdict, at(100)));
        assert_eq!(hosts(&poll_policy.databases_to_probe(&evidence)), expected, "{title}");
    }
}

#[test]
fn the_databases_are_asked_before_a_verdict_that_they_may_change() {
    let evidence = evidence(&["10.0.0.1:5432", "10.0.0.2:5432 draining"]);
    let switch =
        || Verdict::Switch(Plan::new(&set(B), 5432, &[]), Reason::claim(Witness::Dns, &set(B)));
    let lately = Some(90);
    for (title, engine, is_watching, verdict, checked, expected) in [
        ("it waits", Some(Engine::Postgres), false, waits(), lately, &ALL[..]),
        ("it switches", Some(Engine::Postgres), false, switch(), lately, &ALL),
        ("a watch", Some(Engine::Postgres), true, in_sync(), lately, &ALL),
        ("in-sync", Some(Engine::Postgres), false, in_sync(), lately, &[]),
        (
            "in-sync, checked two minutes ago",
            Some(Engine::Postgres),
            false,
            in_sync(),
            Some(-20),
            &[],
        ),
        (
            "in-sync, checked three minutes ago",
            Some(Engine::MySql),
            false,
            in_sync(),
            Some(-80),
            &["1"],
        ),
        ("in-sync and never checked", Some(Engine::Postgres), false, in_sync(), None, &["1"]),
        ("it waits without an engine", None, false, waits(), lately, &[]),
        ("a watch without an engine", None, true, in_sync(), lately, &[]),
        ("never checked without an engine", None, false, in_sync(), None, &[]),
    ] {
        for kind in [Kind::Cluster, Kind::Instance, Kind::Hostname] {
            let poll_policy = PollPolicy::new(
                &Binding { engine, ..binding(kind) },
                is_watching,
                knows_three(checked),
            );
            let asked = poll_policy.databases_to_probe_after(&verdict, &evidence, at(100));
            assert_eq!(hosts(&asked), expected, "{title}, {kind}");
        }
    }
}

#[test]
fn databases_that_were_asked_are_the_check_only_where_there_is_no_rds_api() {
    for (kind, before, after) in
        [(Kind::Instance, 50, 50), (Kind::Hostname, 50, 50), (Kind::Cluster, 7, 60)]
    {
        let mut poll_policy = PollPolicy::new(&probed(kind), false, last_in_sync(B, Some(7)));
        poll_policy.record_probe(at(50));
        assert_eq!(poll_policy.record_in_sync(Some(&set(B))).checked, Some(at(before)), "{kind}");
        if kind == Kind::Cluster {
            poll_policy.record_topology(false, at(60));
        }
        assert_eq!(poll_policy.record_in_sync(Some(&set(B))).checked, Some(at(after)), "{kind}");
    }
}

#[test]
fn a_process_knows_the_last_eight_addresses_that_it_saw_in_sync() {
    let mut poll_policy = PollPolicy::new(&probed(Kind::Instance), false, knows_three(None));
    poll_policy.record_in_sync(Some(&set(B)));
    poll_policy.record_in_sync(None);
    let known = |last_in_sync: LastInSync| hosts(&last_in_sync.known.into_iter().collect());
    assert_eq!(known(poll_policy.record_in_sync(Some(&set([10, 0, 0, 1])))), ["1", "2", "3"]);
    for host in 10..17 {
        poll_policy.record_in_sync(Some(&set([10, 0, 0, host])));
        poll_policy.record_in_sync(Some(&set(B)));
    }
    assert_eq!(
        known(poll_policy.record_in_sync(None)),
        ["2", "10", "11", "12", "13", "14", "15", "16"],
        "what is seen again stays"
    );
}

#[test]
fn nobody_else_is_asked_before_a_switch_by_role() {
    let group = [described("10.0.0.1:5432")];
    let switch = |reason| Verdict::Switch(Plan::new(&set(B), 5432, &group), reason);
    for (reason, asks) in [
        (Reason::Role { address: B.into() }, false),
        (Reason::claim(Witness::Dns, &set(B)), true),
        (Reason::Quorum { witnesses: [Witness::Dns, Witness::Event], addresses: set(B) }, true),
    ] {
        let poll_policy = PollPolicy::new(&probed(Kind::Cluster), true, LastInSync::default());
        let asked = poll_policy.should_ask_topology_after(
            &switch(reason.clone()),
            &evidence(&["10.0.0.1:5432"]),
            at(100),
        );
        assert_eq!(asked, asks, "{reason}");
    }
}

#[test]
fn the_pause_is_what_a_look_left_of_the_second_and_half_while_no_database_takes_writes() {
    const WRITES: Option<Role> = Some(Role::Writer);
    const READS: Option<Role> = Some(Role::Reader);
    for (title, engine, is_watching, is_pending, role, took, pause) in [
        ("without an engine", None, true, false, None, 800, 1_000),
        ("a write does not show", None, false, true, None, 800, 500),
        ("a writer speaks", Some(Engine::Postgres), true, false, WRITES, 300, 700),
        ("none does", Some(Engine::Postgres), true, false, None, 300, 250),
        ("none does at once", Some(Engine::Postgres), true, false, None, 100, 400),
        ("a reader does", Some(Engine::Postgres), true, false, READS, 100, 400),
        ("none does in no watch", Some(Engine::Postgres), false, false, None, 100, 900),
        (
            "a writer speaks and a write does not show",
            Some(Engine::Postgres),
            true,
            true,
            WRITES,
            100,
            400,
        ),
        ("a long look", Some(Engine::Postgres), true, false, WRITES, 1_500, 250),
    ] {
        let mut evidence = evidence(&["10.0.0.1:5432"]);
        evidence.record_probe([10, 0, 0, 1].into(), role, at(100));
        let poll_policy = PollPolicy::new(
            &Binding { engine, ..binding(Kind::Cluster) },
            is_watching,
            LastInSync::default(),
        );
        if is_pending {
            let target = Target { address: [10, 0, 0, 2].into(), port: 5432 };
            evidence.group.pending_writes.registered(&[target], at(100));
        }
        let asked = poll_policy.pause(&evidence, Duration::from_millis(took), at(100));
        assert_eq!(asked, Duration::from_millis(pause), "{title}");
    }
}
