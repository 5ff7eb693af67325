use std::collections::BTreeSet;

use super::*;
use crate::binding::Kind;
use crate::binding::tests::binding;
use crate::target::Target;
use crate::target::tests::described;
use crate::target_group::TargetHistory;

const WRITES: Option<Role> = Some(Role::Writer);
const READS: Option<Role> = Some(Role::Reader);

fn at(second: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_700_000_000 + second, 0).expect("a time")
}

fn ip(host: u8) -> IpAddr {
    [10, 0, 0, host].into()
}

fn hosts(addresses: impl IntoIterator<Item = IpAddr>) -> Vec<String> {
    addresses.into_iter().map(|address| address.to_string().replace("10.0.0.", "")).collect()
}

fn evidence(left: &[u8]) -> Evidence {
    let leave = |targets: TargetHistory, host: &u8| {
        targets.with_deregistration(Target { address: ip(*host), port: 5432 }, at(0))
    };
    let targets = left.iter().fold(TargetHistory::default(), leave);
    Evidence::new(&binding(Kind::Cluster), &[], History { targets, ..History::default() }, at(0))
}

#[test]
fn a_role_counts_for_five_seconds_and_no_missing_answer_ends_it() {
    for (title, heard, now, expected) in [
        ("never asked", &[][..], 0, None),
        ("silent", &[(0, None)], 0, None),
        ("just said", &[(0, WRITES)], 0, WRITES),
        ("said five seconds ago", &[(0, READS)], 5, READS),
        ("said six seconds ago", &[(0, READS)], 6, None),
        ("silent since", &[(0, WRITES), (1, None), (4, None)], 5, WRITES),
        ("silent for too long", &[(0, WRITES), (1, None), (4, None)], 6, None),
        ("changed its mind", &[(0, WRITES), (1, READS)], 1, READS),
        ("and back", &[(0, WRITES), (1, READS), (2, WRITES)], 5, WRITES),
    ] {
        let mut evidence = evidence(&[]);
        heard.iter().for_each(|(second, role)| evidence.record_probe(ip(1), *role, at(*second)));
        assert_eq!(evidence.role(ip(1), at(now)), expected, "{title}");
        assert_eq!(evidence.role(ip(2), at(now)), None, "{title}: another's role");
    }
}

#[test]
fn what_a_database_said_when_it_was_asked_last_is_told_however_old() {
    let mut evidence = evidence(&[]);
    evidence.record_probe(ip(1), WRITES, at(0));
    evidence.record_probe(ip(2), READS, at(0));
    evidence.record_probe(ip(2), None, at(1));
    evidence.record_probe(ip(3), None, at(1));
    let told: Vec<_> = evidence.roles().collect();
    assert_eq!(told, [(ip(1), WRITES), (ip(2), None), (ip(3), None)]);
}

#[test]
fn writers_are_told_once_every_member_was_asked() {
    let all = [(1, None, 0), (2, WRITES, 0), (3, READS, 0)];
    for (title, group, heard, expected) in [
        ("nobody is asked", &["10.0.0.1:5432"][..], &[][..], &[][..]),
        ("nobody takes writes", &["10.0.0.1:5432"], &[(1, None, 0), (3, READS, 0)], &[]),
        ("one does", &["10.0.0.1:5432"], &all, &["2"]),
        ("two do", &["10.0.0.1:5432"], &[(1, WRITES, 0), (2, WRITES, -5)], &["1", "2"]),
        ("one did", &["10.0.0.1:5432"], &[(1, WRITES, 0), (2, WRITES, -6)], &["1"]),
        ("a member was not asked", &["10.0.0.1:5432", "10.0.0.4:5432"], &all, &[]),
        ("a draining target was not", &["10.0.0.1:5432", "10.0.0.4:5432 draining"], &all, &["2"]),
        ("no member", &[], &all, &["2"]),
    ] {
        let mut evidence = evidence(&[]);
        evidence.group.update(group.iter().map(|text| described(text)).collect(), at(10));
        heard
            .iter()
            .for_each(|(host, role, ago)| evidence.record_probe(ip(*host), *role, at(10 + ago)));
        let writers = evidence.writers(at(10));
        assert_eq!(hosts(writers.iter().flat_map(Addresses::iter)), expected, "{title}");
    }
}

#[test]
fn a_database_may_be_wherever_a_witness_saw_one_or_the_group_had_a_target() {
    let mut evidence = evidence(&[1]);
    assert_eq!(hosts(evidence.candidates().collect::<BTreeSet<_>>()), ["1"], "it was left");
    evidence.record_dns(DnsAnswer { addresses: ip(2).into(), ttl: Duration::from_secs(5) }, at(0));
    evidence
        .group
        .update(vec![described("10.0.0.3:5432"), described("10.0.0.4:5432 draining")], at(0));
    let member = |id: &str, is_writer| ClusterMember {
        id: id.into(),
        is_writer,
        endpoint: None,
        status: "available".into(),
    };
    let members = vec![(member("a", true), ip(5).into()), (member("b", false), ip(6).into())];
    evidence.record_topology(Some(Topology(members)), at(0));
    assert_eq!(
        hosts(evidence.candidates().collect::<BTreeSet<_>>()),
        ["1", "2", "3", "4", "5", "6"]
    );
    evidence.record_topology(None, at(1));
    assert_eq!(
        hosts(evidence.candidates().collect::<BTreeSet<_>>()),
        ["1", "2", "3", "4", "5", "6"],
        "the RDS API is silent"
    );
}

#[test]
fn a_long_silence_of_the_rds_api_breaks_the_row_of_its_readers() {
    let told = |reader: u8| {
        let member = ClusterMember {
            id: "r".into(),
            is_writer: false,
            endpoint: None,
            status: "available".into(),
        };
        Some(Topology(vec![(member, ip(reader).into())]))
    };
    for (title, heard, expected) in [
        ("once", &[(0, told(1))][..], 0),
        ("every two seconds", &[(0, told(1)), (2, told(1)), (4, told(1))], 4),
        ("a silence of five seconds", &[(0, told(1)), (2, None), (5, told(1))], 5),
        ("a silence of six", &[(0, told(1)), (6, told(1)), (8, told(1))], 2),
        (
            "it does not count while nobody answers",
            &[(0, told(1)), (2, told(1)), (4, None), (9, None)],
            2,
        ),
        ("others", &[(0, told(1)), (2, told(2))], 0),
    ] {
        let mut evidence = evidence(&[]);
        heard
            .iter()
            .for_each(|(second, topology)| evidence.record_topology(topology.clone(), at(*second)));
        assert_eq!(evidence.readers_stable_for().as_secs(), expected, "{title}");
    }
}

#[test]
fn what_the_rds_api_said_contradicts_until_asked_again_and_for_ten_seconds_of_silence() {
    for (is_silent, now, vetoes) in
        [(false, 20, true), (false, 21, false), (true, 10, true), (true, 11, false)]
    {
        let mut evidence = evidence(&[]);
        let member = ClusterMember {
            id: "a".into(),
            is_writer: true,
            endpoint: None,
            status: "available".into(),
        };
        evidence.record_topology(Some(Topology(vec![(member, ip(1).into())])), at(0));
        if is_silent {
            evidence.record_topology(None, at(2));
        }
        let claims = evidence.claims(at(now));
        assert_eq!(claims.iter().any(|claim| claim.vetoes), vetoes, "{is_silent} at {now} s");
        assert!(claims.iter().all(|claim| !claim.supports), "it supports nothing");
    }
}
