//! What the databases say of themselves: the rule role, and the veto.

use super::*;

pub(super) const WRITES: Option<Role> = Some(Role::Writer);
pub(super) const READS: Option<Role> = Some(Role::Reader);
pub(super) const SILENT: Option<Role> = None;

pub(super) const A: &str = "10.0.0.1";
pub(super) const B: &str = "10.0.0.2";
pub(super) const C: &str = "10.0.0.3";

const BY_ROLE: &str = "switch, role: the database at 10.0.0.2 takes writes, and no other does";

const NAMES_A: (&str, &str, i64) = ("0071", "Completed failover to DB instance: a", 5);

#[test]
fn the_one_database_that_takes_writes_is_a_quorum_of_its_own_whatever_others_say() {
    let only_b = Given { roles: &[(A, SILENT, 0), (B, WRITES, 0)], ..Given::default() };
    let all_name_a =
        Given { dns: &[A], steady: 600, writer: Some("a"), events: &[NAMES_A], ..only_b };
    for (title, given, group, expected) in [
        ("nobody else answers", only_b, &["10.0.0.1:5432"][..], BY_ROLE),
        ("all others name another", all_name_a, &["10.0.0.1:5432"], BY_ROLE),
        (
            "that is read only",
            Given { roles: &[(A, READS, 0), (B, WRITES, 0)], ..all_name_a },
            &["10.0.0.1:5432"],
            BY_ROLE,
        ),
        (
            "it was left a moment ago",
            Given { left: &[(B, 1)], ..all_name_a },
            &["10.0.0.1:5432", "10.0.0.2:5432 draining"],
            BY_ROLE,
        ),
        ("the group is empty", all_name_a, &[], BY_ROLE),
        (
            "it is registered alone, a moment ago",
            all_name_a,
            &["10.0.0.2:5432 initial"],
            "in-sync, role: the database at 10.0.0.2 takes writes, and no other does",
        ),
    ] {
        for kind in [Kind::Cluster, Kind::Instance] {
            assert_eq!(explain(kind, &given, group), expected, "{title}, {kind}");
        }
    }
    assert_eq!(
        check(Kind::Cluster, &all_name_a, &["10.0.0.1:5432"]),
        SWITCH,
        "it takes the place of the other"
    );
}

#[test]
fn what_a_database_said_before_another_member_appeared_proves_nothing() {
    let both: &[&str] = &["10.0.0.1:5432 initial", "10.0.0.2:5432"];
    for (title, responded_ago, saw, is_proof) in [
        ("it was seen first now", 1, &[(2, &["10.0.0.2:5432"][..])][..], false),
        ("it was seen after the response", 3, &[(9, &["10.0.0.2:5432"]), (2, both)], false),
        (
            "it was seen as soon as the response came",
            2,
            &[(9, &["10.0.0.2:5432"]), (2, both)],
            false,
        ),
        (
            "it was seen five seconds before the response",
            1,
            &[(9, &["10.0.0.2:5432"]), (6, both)],
            false,
        ),
        ("it was seen earlier", 1, &[(9, &["10.0.0.2:5432"]), (7, both)], true),
        ("it is new at the first look", 0, &[], false),
    ] {
        let roles = [(A, SILENT, 0), (B, WRITES, responded_ago)];
        let given = Given { dns: &[A], writer: Some("a"), roles: &roles, saw, ..Given::default() };
        for kind in [Kind::Cluster, Kind::Instance] {
            let decided = check(kind, &given, both);
            assert_eq!(
                decided == "deregister 10.0.0.1:5432",
                is_proof,
                "{title}, {kind}: {decided}"
            );
        }
    }
}

#[test]
fn what_a_database_said_before_a_mixed_group_was_seen_for_a_while_proves_nothing() {
    let both: &[&str] = &["10.0.0.1:5432", "10.0.0.2:5432"];
    for (saw, is_proof) in [(0, false), (6, false), (7, true)] {
        let roles = [(A, SILENT, 0), (B, WRITES, 1)];
        let given = Given {
            dns: &[A],
            writer: Some("a"),
            roles: &roles,
            saw: &[(saw, both)],
            ..Given::default()
        };
        let decided = check(Kind::Cluster, &given, both);
        assert_eq!(decided == "deregister 10.0.0.1:5432", is_proof, "{saw} s ago: {decided}");
    }
}

#[test]
fn nobody_switches_away_from_a_registered_writer_whose_role_has_yet_to_settle() {
    let both: &[&str] = &["10.0.0.1:5432", "10.0.0.2:5432"];
    for (events, who) in
        [(&[][..], "DNS and the RDS API name"), (&[NAMES_A], "a failover event names")]
    {
        let roles = [(A, SILENT, 0), (B, WRITES, 1)];
        let saw = &[(30, &["10.0.0.2:5432"][..]), (0, both)];
        let given = Given {
            dns: &[A],
            steady: 60,
            writer: Some("a"),
            events,
            roles: &roles,
            saw,
            ..Given::default()
        };
        let disputed = format!(
            "wait, contradiction: the database at 10.0.0.2 takes writes, but {who} 10.0.0.1, which \
             does not say that it does"
        );
        assert_eq!(explain(Kind::Cluster, &given, both), disputed);
        let without_roles = Given { roles: &[], ..given };
        assert_eq!(check(Kind::Cluster, &without_roles, both), "deregister 10.0.0.2:5432");
    }
}

#[test]
fn a_database_that_takes_writes_where_none_may_be_is_refused() {
    let given = Given { roles: &[(A, SILENT, 0), ("52.1.2.3", WRITES, 0)], ..Given::default() };
    let refused = check(Kind::Cluster, &given, &["10.0.0.1:5432"]);
    assert!(refused.starts_with("refuse: 52.1.2.3"), "{refused}");
}

#[test]
fn a_registered_writer_stays_but_is_not_called_right_while_a_newer_event_names_one_without_answer()
{
    let disputed = "wait, contradiction: the database at 10.0.0.2 takes writes, but a failover \
                    event names 10.0.0.1, which does not say that it does";
    let right = "in-sync, role: the database at 10.0.0.2 takes writes, and no other does";
    let only_b: &[Probed] = &[(A, SILENT, 0), (B, WRITES, 0)];
    let given = Given {
        dns: &[A],
        writer: Some("a"),
        events: &[NAMES_A],
        roles: only_b,
        ..Given::default()
    };
    let names_b = Given { events: &[NAMES_B], ..given };
    let unknown = Given { roles: &[(A, Some(Role::Unknown), 0), (B, WRITES, 0)], ..given };
    let read_only = Given { roles: &[(A, READS, 0), (B, WRITES, 0)], ..given };
    for (title, given, group, expected) in [
        ("it was registered before", given, "10.0.0.2:5432", disputed),
        ("it cannot tell", unknown, "10.0.0.2:5432", disputed),
        ("it was registered after it", given, "10.0.0.2:5432 initial", right),
        ("the other says that it is read only", read_only, "10.0.0.2:5432", right),
        ("the event names it", names_b, "10.0.0.2:5432", right),
    ] {
        assert_eq!(explain(Kind::Cluster, &given, &[group]), expected, "{title}");
    }
    let both = ["10.0.0.1:5432", "10.0.0.2:5432"];
    let given = Given { saw: &[(9, &both)], ..given };
    assert_eq!(
        check(Kind::Cluster, &given, &both),
        "deregister 10.0.0.1:5432",
        "a switch to it stays what it is"
    );
}

#[test]
fn a_registered_writer_is_not_right_once_dns_and_the_rds_api_named_a_silent_one_for_90_s() {
    let binding = binding(Kind::Cluster);
    let decide = |silent: Option<Role>, runs: &[(i64, &str)]| {
        let mut history = History::default();
        let mut decided = None;
        // One look a run, as the schedule makes them.
        for (second, writer) in runs {
            let mut evidence = Evidence::new(&binding, &[], history, at(*second));
            evidence.record_dns(
                DnsAnswer { addresses: addresses(&[A]), ttl: Duration::from_secs(5) },
                at(*second),
            );
            evidence.record_topology(Some(topology(writer)), at(*second));
            evidence.record_probe(A.parse().expect("an address"), silent, at(*second));
            evidence.record_probe(B.parse().expect("an address"), WRITES, at(*second));
            evidence.group.update(vec![described("10.0.0.2:5432")], at(*second));
            decided = Some(verdict(&binding, &AllowedNetworks::default(), &evidence, at(*second)));
            history = evidence.history();
        }
        decided
            .and_then(|decided| {
                decided.reason().map(|reason| format!("{}, {reason}", <&str>::from(&decided)))
            })
            .expect("a run")
    };
    let disputed = "wait, contradiction: the database at 10.0.0.2 takes writes, but DNS and the \
                    RDS API name 10.0.0.1, which does not say that it does";
    let right = "in-sync, role: the database at 10.0.0.2 takes writes, and no other does";
    for (title, silent, runs, expected) in [
        ("one look", SILENT, &[(0, "a")][..], right),
        ("89 s", SILENT, &[(0, "a"), (60, "a"), (89, "a")], right),
        ("90 s", SILENT, &[(0, "a"), (60, "a"), (90, "a")], disputed),
        ("the slowest schedule", SILENT, &[(0, "a"), (300, "a")], disputed),
        ("a gap in which nobody looked", SILENT, &[(0, "a"), (400, "a")], right),
        ("a break", SILENT, &[(0, "a"), (60, "b"), (120, "a"), (180, "a")], right),
        ("it says that it is read only", READS, &[(0, "a"), (60, "a"), (120, "a")], right),
    ] {
        assert_eq!(decide(silent, runs), expected, "{title}");
    }
}

#[test]
fn what_dns_and_the_rds_api_named_before_a_switch_is_no_reason_to_doubt_it_for_90_s() {
    let binding = binding(Kind::Cluster);
    let mut evidence = Evidence::new(&binding, &[], History::default(), at(0));
    let mut decide = |second: i64, dns: Option<&str>, described: &[&str]| {
        if let Some(dns) = dns {
            evidence.record_dns(
                DnsAnswer { addresses: addresses(&[dns]), ttl: Duration::from_secs(5) },
                at(second),
            );
            evidence.record_topology(Some(topology("a")), at(second));
        }
        for (address, role) in [(A, SILENT), (B, WRITES)] {
            evidence.record_probe(address.parse().expect("an address"), role, at(second));
        }
        evidence
            .group
            .update(described.iter().map(|target| self::described(target)).collect(), at(second));
        <&str>::from(verdict(&binding, &AllowedNetworks::default(), &evidence, at(second)))
    };
    let [old, new] = [&["10.0.0.1:5432"][..], &["10.0.0.2:5432"]];
    for second in (0..=300).step_by(5) {
        assert_eq!(decide(second, Some(A), old), "switch");
    }
    for second in (305..=390).step_by(5) {
        assert_eq!(decide(second, Some(A), new), "in-sync", "{second}");
    }
    assert_eq!(decide(395, Some(A), new), "wait", "90 s after the registration");
    assert_eq!(decide(402, None, new), "wait", "a silence is no break");
    assert_eq!(decide(405, Some(B), new), "in-sync", "DNS names the registered one");
}

#[test]
fn a_registered_database_that_cannot_tell_is_as_one_that_was_not_asked() {
    let given = Given { dns: &[A], writer: Some("a"), ..Given::default() };
    for (roles, is_by_role) in [
        (&[(A, SILENT, 0), (B, WRITES, 0)][..], true),
        (&[(A, READS, 0), (B, WRITES, 0)], true),
        (&[(A, Some(Role::Unknown), 0), (B, WRITES, 0)], false),
        (&[(A, Some(Role::Unknown), 6), (A, SILENT, 0), (B, WRITES, 0)], true),
        (&[(A, SILENT, 0), (B, WRITES, 0), (C, Some(Role::Unknown), 0)], true),
        (&[(A, SILENT, 0), (B, Some(Role::Unknown), 0)], false),
    ] {
        for kind in [Kind::Cluster, Kind::Instance] {
            let decided = explain(kind, &Given { roles, ..given }, &["10.0.0.1:5432"]);
            assert_eq!(decided == BY_ROLE, is_by_role, "{kind} {roles:?}: {decided}");
        }
    }
    let unknown = Given {
        dns: &[B],
        writer: Some("b"),
        roles: &[(B, Some(Role::Unknown), 0)],
        ..Given::default()
    };
    assert_eq!(
        check(Kind::Cluster, &unknown, &["10.0.0.1:5432"]),
        SWITCH,
        "it is not ruled out either"
    );
}

#[test]
fn two_databases_that_take_writes_are_no_reason_to_change_anything_nor_to_call_it_right() {
    let all_name_b =
        Given { dns: &[B], steady: 600, writer: Some("b"), events: &[NAMES_B], ..Given::default() };
    let given = Given { roles: &[(A, WRITES, 0), (B, WRITES, 0)], ..all_name_b };
    for kind in [Kind::Cluster, Kind::Instance] {
        for group in
            [&["10.0.0.1:5432"][..], &["10.0.0.2:5432"], &["10.0.0.1:5432", "10.0.0.2:5432"], &[]]
        {
            let expected =
                "wait, contradiction: the databases at 10.0.0.1, 10.0.0.2 take writes at once";
            assert_eq!(explain(kind, &given, group), expected, "{kind} {group:?}");
        }
    }
}

#[test]
fn a_database_that_is_read_only_is_never_switched_to_nor_called_right() {
    let dns = Given { dns: &[B], roles: &[(B, READS, 0)], ..Given::default() };
    let a: &[&str] = &["10.0.0.1:5432"];
    for (title, given, group) in [
        ("DNS and the RDS API name it", Given { writer: Some("b"), ..dns }, a),
        ("all three name it", Given { writer: Some("b"), events: &[NAMES_B], ..dns }, a),
        ("DNS is steady", Given { steady: 600, ..dns }, a),
        ("DNS would fill an empty group", dns, &[]),
        ("it is registered already", Given { writer: Some("b"), ..dns }, &["10.0.0.2:5432"]),
    ] {
        let expected = "wait, contradiction: the database at 10.0.0.2 says that it is read only";
        for kind in [Kind::Cluster, Kind::Instance, Kind::Hostname] {
            assert_eq!(explain(kind, &given, group), expected, "{title}, {kind}");
        }
    }
    let without_dns = Given { dns: &[], writer: Some("b"), events: &[NAMES_B], ..dns };
    assert_eq!(explain(Kind::Cluster, &without_dns, a), "wait, no-answer: DNS does not answer");
    let another = Given { writer: Some("b"), roles: &[(A, READS, 0), (C, READS, 0)], ..dns };
    assert_eq!(check(Kind::Cluster, &another, a), SWITCH, "others may be read only");
}

#[test]
fn a_database_that_was_asked_and_said_nothing_is_as_one_that_was_not_asked() {
    let b = Given { dns: &[B], ..Given::default() };
    for given in [
        Given::default(),
        b,
        Given { steady: 9, ..b },
        Given { steady: 10, ..b },
        Given { writer: Some("a"), ..b },
        Given { writer: Some("b"), ..b },
        Given { writer: Some("b"), events: &[NAMES_B], ..b },
    ] {
        for &kind in Kind::ALL {
            for group in [&["10.0.0.1:5432"][..], &["10.0.0.2:5432"], &[]] {
                let silent =
                    Given { roles: &[(A, SILENT, 0), (B, SILENT, 0), (C, SILENT, 0)], ..given };
                assert_eq!(
                    decided(kind, &silent, group),
                    decided(kind, &given, group),
                    "{kind} {given:?} {group:?}"
                );
            }
        }
    }
}

#[test]
fn what_a_database_said_counts_for_five_seconds_whether_it_is_silent_since_or_not() {
    let rule = |given: &Given| {
        decided(Kind::Cluster, given, &["10.0.0.1:5432"]).reason().map(Reason::rule)
    };
    for (role, ago, is_silent_since, expected) in [
        (WRITES, 5, false, "role"),
        (WRITES, 5, true, "role"),
        (WRITES, 6, false, "quorum"),
        (WRITES, 6, true, "quorum"),
        (READS, 5, false, "contradiction"),
        (READS, 5, true, "contradiction"),
        (READS, 6, false, "quorum"),
        (READS, 6, true, "quorum"),
    ] {
        let mut roles = vec![(A, SILENT, 0), (B, role, ago)];
        roles.extend(is_silent_since.then_some((B, SILENT, 0)));
        let given = Given { dns: &[B], writer: Some("b"), roles: &roles, ..Given::default() };
        assert_eq!(
            rule(&given),
            Some(expected),
            "{role:?} {ago} s ago, silent since: {is_silent_since}"
        );
    }
    let changed = Given {
        dns: &[B],
        writer: Some("b"),
        roles: &[(B, WRITES, 2), (B, READS, 0)],
        ..Given::default()
    };
    assert_eq!(rule(&changed), Some("contradiction"), "the last response counts");
}

#[test]
fn a_writer_counts_only_if_every_member_was_asked_a_moment_ago() {
    let group = ["10.0.0.1:5432", "10.0.0.3:5432"];
    for (title, roles, counts) in [
        ("both were", &[(B, WRITES, 0), (A, SILENT, 0), (C, READS, 5)][..], true),
        ("one was not", &[(B, WRITES, 0), (A, SILENT, 0)], false),
        ("one was not for a while", &[(B, WRITES, 0), (A, SILENT, 0), (C, READS, 6)], false),
        ("none was", &[(B, WRITES, 0)], false),
    ] {
        let given =
            Given { dns: &[A], writer: Some("a"), roles, saw: &[(9, &group)], ..Given::default() };
        let decided = explain(Kind::Cluster, &given, &group);
        assert_eq!(decided == BY_ROLE, counts, "{title}: {decided}");
    }
    let given = Given { dns: &[A], roles: &[(B, WRITES, 0)], ..Given::default() };
    let decided = explain(Kind::Cluster, &given, &["10.0.0.3:5432 draining"]);
    assert_eq!(decided, BY_ROLE, "what drains is no member");
}

#[test]
fn a_host_name_is_followed_at_once_to_databases_that_take_writes() {
    let patience = "wait: patience: DNS alone names 10.0.0.2 for 0 of 10 s";
    for (title, dns, roles, group, expected) in [
        ("it takes writes", &[B][..], &[(B, WRITES, 5)][..], "10.0.0.1:5432 unhealthy", SWITCH),
        (
            "a healthy target waits for it",
            &[B],
            &[(B, WRITES, 0)],
            "10.0.0.1:5432",
            "register 10.0.0.2:5432",
        ),
        ("its response is old", &[B], &[(B, WRITES, 6)], "10.0.0.1:5432 unhealthy", patience),
        ("it is silent", &[B], &[(B, SILENT, 0)], "10.0.0.1:5432 unhealthy", patience),
        ("only another does", &[B], &[(C, WRITES, 0)], "10.0.0.1:5432 unhealthy", patience),
        (
            "one of two does",
            &[B, C],
            &[(B, WRITES, 0)],
            "10.0.0.1:5432 unhealthy",
            "wait: patience: DNS alone names 10.0.0.2, 10.0.0.3 for 0 of 10 s",
        ),
        (
            "one of two is read only",
            &[B, C],
            &[(B, WRITES, 0), (C, READS, 0)],
            "10.0.0.1:5432 unhealthy",
            "wait: contradiction: the database at 10.0.0.3 says that it is read only",
        ),
        (
            "the one that leaves is read only",
            &[B],
            &[(A, READS, 0)],
            "10.0.0.1:5432 unhealthy",
            patience,
        ),
        (
            "the one that leaves takes writes too",
            &[B],
            &[(A, WRITES, 0), (B, WRITES, 0)],
            "10.0.0.1:5432 unhealthy",
            patience,
        ),
    ] {
        assert_eq!(
            check(Kind::Hostname, &Given { dns, roles, ..Given::default() }, &[group]),
            expected,
            "{title}"
        );
    }
    let both = ["10.0.0.1:5432 healthy", "10.0.0.2:5432 healthy"];
    let given = Given { dns: &[B], roles: &[(B, WRITES, 0)], ..Given::default() };
    assert_eq!(check(Kind::Hostname, &given, &both), "deregister 10.0.0.1:5432");
}

#[test]
fn the_other_kinds_use_no_role_of_a_database() {
    let all_respond = [(A, WRITES, 0), (B, READS, 0), (C, WRITES, 0)];
    for kind in [Kind::Readers, Kind::Proxy, Kind::Custom, Kind::Address] {
        assert!(!kind.can_probe_role());
        for group in [&["10.0.0.1:5432"][..], &["10.0.0.1:5432 unhealthy"], &["10.0.0.2:5432"], &[]]
        {
            let unasked = Given { dns: &[B], writer: Some("a"), ..Given::default() };
            let probed = Given { roles: &all_respond, ..unasked };
            assert_eq!(
                decided(kind, &probed, group),
                decided(kind, &unasked, group),
                "{kind} {group:?}"
            );
        }
    }
}
