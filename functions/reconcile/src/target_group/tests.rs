use super::*;
use crate::binding::Kind;
use crate::binding::tests::binding;
use crate::target::tests::described;

fn at(second: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_700_000_000 + second, 0).expect("a time")
}

const A: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1));
const B: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 2));

/// What was described when, one run a description.
fn runs(descriptions: &[(i64, &[&str])]) -> TargetGroupView {
    let mut history = TargetHistory::default();
    let mut last = TargetGroupView::default();
    for (second, targets) in descriptions {
        let mut group = TargetGroupView::new(5432, history);
        group.update(targets.iter().map(|text| described(text)).collect(), at(*second));
        history = group.history().clone();
        last = group;
    }
    last
}

/// The doubts against these addresses, with their ages.
fn doubts(group: &TargetGroupView, named: IpAddr, now: i64) -> Vec<(DoubtCause, u64)> {
    group
        .doubts(&named.into(), true, at(now))
        .map(|doubt| (doubt.cause, age(doubt.since, at(now)).as_secs()))
        .collect()
}

#[test]
fn what_a_new_process_sees_draining_or_initial_happened_a_moment_ago() {
    let group = runs(&[(0, &["10.0.0.1:5432", "10.0.0.2:5432 draining"])]);
    assert_eq!(doubts(&group, B, 0), [(DoubtCause::Deregistered(B), 0)]);
    let group = runs(&[(0, &["10.0.0.1:5432 initial"])]);
    assert_eq!(doubts(&group, B, 0), [(DoubtCause::Registered(A), 0)]);
    assert_eq!(
        doubts(&runs(&[(0, &["10.0.0.1:5432"])]), B, 0),
        [],
        "it may have been there for ever"
    );
}

#[test]
fn a_process_that_described_the_same_target_so_a_while_ago_knows_since_when_it_is_so() {
    for (state, named, cause) in
        [("draining", A, DoubtCause::Deregistered(A)), ("initial", B, DoubtCause::Registered(A))]
    {
        let target = format!("10.0.0.1:5432 {state}");
        let group: &[&str] = &[&target];
        let since =
            |descriptions: &[(i64, &[&str])], now: i64| doubts(&runs(descriptions), named, now);
        assert_eq!(since(&[(0, group), (60, group)], 60), [(cause, 60)], "{state}");
        assert_eq!(since(&[(0, group), (90, group)], 90), [(cause, 90)], "{state}");
        assert_eq!(
            since(&[(0, group), (91, group)], 91),
            [(cause, 0)],
            "{state}: it may have come and gone"
        );
        assert_eq!(since(&[(0, group), (60, group), (120, group)], 120), [(cause, 120)], "{state}");
        assert_eq!(
            since(&[(0, group), (60, group), (121, group)], 121),
            [],
            "{state}: slow checks, or a long delay"
        );
        let without_memory = runs(&[(0, group), (60, group)]);
        let named_here = Addresses::from(named);
        let mut doubts = without_memory.doubts(&named_here, false, at(70)).map(|doubt| doubt.since);
        assert_eq!(
            doubts.next(),
            Some(at(60)),
            "{state}: where databases can be asked, from the first look"
        );
        let other: &[&str] = &["10.0.0.1:5432 healthy"];
        assert_eq!(
            since(&[(0, group), (30, other), (60, group)], 60),
            [(cause, 0)],
            "{state}: it changed between"
        );
    }
}

#[test]
fn another_port_of_an_address_is_another_target() {
    let mended: &[&str] = &["10.0.0.1:5432", "10.0.0.1:3307 draining"];
    assert_eq!(
        doubts(&runs(&[(0, mended)]), A, 0),
        [],
        "a port that was put right is no proof against the address"
    );
    assert_eq!(
        doubts(&runs(&[(0, &["10.0.0.1:5432 draining", "10.0.0.1:3307"])]), A, 0),
        [(DoubtCause::Deregistered(A), 0)]
    );
    let other_port = Target { address: A, port: 3307 };
    let mut group =
        TargetGroupView::new(5432, TargetHistory::default().with_deregistration(other_port, at(0)));
    group.update(vec![described("10.0.0.2:5432")], at(1));
    assert_eq!(doubts(&group, A, 1), []);
    group.record_deregistration(Target { address: A, port: 5432 }, at(1));
    assert_eq!(doubts(&group, A, 2), [(DoubtCause::Deregistered(A), 1)]);
}

#[test]
fn a_target_is_healthy_and_a_group_empty_since_it_was_first_described_so() {
    let mut group = TargetGroupView::new(5432, TargetHistory::default());
    for (second, targets, healthy, empty) in [
        (0, &[][..], None, Some(0)),
        (5, &["10.0.0.1:5432 draining"], None, Some(5)),
        (10, &["10.0.0.1:5432 initial"], None, None),
        (15, &["10.0.0.1:5432 healthy"], Some(0), None),
        (30, &["10.0.0.1:5432 healthy"], Some(15), None),
        (35, &["10.0.0.1:5432 unhealthy"], None, None),
        (40, &[], None, Some(0)),
    ] {
        group.update(targets.iter().map(|text| described(text)).collect(), at(second));
        let seconds = |duration: Option<Duration>| duration.map(|duration| duration.as_secs());
        let seen =
            (seconds(group.healthy_for(A, at(second))), seconds(group.empty_for(at(second))));
        assert_eq!(seen, (healthy, empty), "{second} s");
    }
}

#[test]
fn a_target_that_is_described_in_two_spellings_keeps_its_age() {
    let both = &["[fd00::1]:5432", "[fd00:0:0:0:0:0:0:1]:5432"][..];
    let group = runs(&[(0, both), (30, both)]);
    let address = IpAddr::from([0xfd00, 0, 0, 0, 0, 0, 0, 1]);
    assert_eq!(group.healthy_for(address, at(30)), Some(Duration::from_secs(30)));
}

#[test]
fn what_does_not_go_with_the_binding_is_told_with_its_remedy() {
    for (kind, group, words) in [
        (Kind::Cluster, &["10.0.0.1:5432"][..], &[][..]),
        (Kind::Cluster, &["10.0.0.1:5432", "10.0.0.2:5432 draining"], &[]),
        (Kind::Cluster, &["i-0abc:5432"], &["type ip"]),
        (
            Kind::Cluster,
            &["10.0.0.1:3306"],
            &["10.0.0.1:3306 and the function registers port 5432"],
        ),
        (Kind::Cluster, &["10.0.0.1:5432", "10.0.0.2:5432"], &["several targets"]),
        (Kind::Readers, &["10.0.0.1:5432", "10.0.0.2:5432"], &[]),
        (Kind::Cluster, &["10.0.0.1:5432", "10.0.0.1:3306"], &["DatabasePort", "several targets"]),
    ] {
        let targets: Vec<_> = group.iter().map(|text| described(text)).collect();
        let found = misfits(&binding(kind), &targets);
        assert_eq!(found.len(), words.len(), "{group:?}: {found:?}");
        assert!(found.iter().zip(words).all(|(it, word)| it.contains(word)), "{found:?}");
    }
}
