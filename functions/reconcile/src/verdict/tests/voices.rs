//! What the databases say of themselves: the rule word, and the veto.

use super::*;

const WRITES: Option<Voice> = Some(Voice::TakesWrites);
const READS: Option<Voice> = Some(Voice::ReadOnly);
const SILENT: Option<Voice> = None;

const A: &str = "10.0.0.1";
const B: &str = "10.0.0.2";
const C: &str = "10.0.0.3";

const WORD: &str = "switch, word: the database at 10.0.0.2 takes writes, and no other does";

const NAMES_A: (&str, &str, i64) = ("0071", "Completed failover to DB instance: a", 5);

#[test]
fn the_one_database_that_takes_writes_is_a_quorum_of_its_own_whatever_others_say() {
    let only_b = Said { voices: &[(A, SILENT, 0), (B, WRITES, 0)], ..Said::default() };
    let all_name_a = Said { dns: &[A], steady: 600, writer: Some("a"), events: &[NAMES_A], ..only_b };
    for (title, said, group, expected) in [
        ("nobody else speaks", only_b, &["10.0.0.1:5432"][..], WORD),
        ("all others name another", all_name_a, &["10.0.0.1:5432"], WORD),
        (
            "that is read only",
            Said { voices: &[(A, READS, 0), (B, WRITES, 0)], ..all_name_a },
            &["10.0.0.1:5432"],
            WORD,
        ),
        (
            "it was left a moment ago",
            Said { left: &[(B, 1)], ..all_name_a },
            &["10.0.0.1:5432", "10.0.0.2:5432 draining"],
            WORD,
        ),
        ("the group is empty", all_name_a, &[], WORD),
        (
            "it is registered alone, a moment ago",
            all_name_a,
            &["10.0.0.2:5432 initial"],
            "in sync, word: the database at 10.0.0.2 takes writes, and no other does",
        ),
    ] {
        for kind in [Kind::Cluster, Kind::Instance] {
            assert_eq!(explain(kind, &said, group), expected, "{title}, {kind}");
        }
    }
    assert_eq!(check(Kind::Cluster, &all_name_a, &["10.0.0.1:5432"]), SWITCH, "it takes the place of the other");
}

#[test]
fn what_a_database_said_before_another_member_appeared_proves_nothing() {
    let both: &[&str] = &["10.0.0.1:5432 initial", "10.0.0.2:5432"];
    for (title, spoke, saw, is_proof) in [
        ("it was seen first now", 1, &[(2, &["10.0.0.2:5432"][..])][..], false),
        ("it was seen after the word", 3, &[(9, &["10.0.0.2:5432"]), (2, both)], false),
        ("it was seen as soon as the word was heard", 2, &[(9, &["10.0.0.2:5432"]), (2, both)], false),
        ("it was seen five seconds before the word", 1, &[(9, &["10.0.0.2:5432"]), (6, both)], false),
        ("it was seen earlier", 1, &[(9, &["10.0.0.2:5432"]), (7, both)], true),
        ("it is new at the first look", 0, &[], false),
    ] {
        let voices = [(A, SILENT, 0), (B, WRITES, spoke)];
        let said = Said { dns: &[A], writer: Some("a"), voices: &voices, saw, ..Said::default() };
        for kind in [Kind::Cluster, Kind::Instance] {
            let judged = check(kind, &said, both);
            assert_eq!(judged == "deregister 10.0.0.1:5432", is_proof, "{title}, {kind}: {judged}");
        }
    }
}

#[test]
fn what_a_database_said_before_a_mixed_group_was_seen_for_a_while_proves_nothing() {
    let both: &[&str] = &["10.0.0.1:5432", "10.0.0.2:5432"];
    for (saw, is_proof) in [(0, false), (6, false), (7, true)] {
        let voices = [(A, SILENT, 0), (B, WRITES, 1)];
        let said = Said { dns: &[A], writer: Some("a"), voices: &voices, saw: &[(saw, both)], ..Said::default() };
        let judged = check(Kind::Cluster, &said, both);
        assert_eq!(judged == "deregister 10.0.0.1:5432", is_proof, "{saw} s ago: {judged}");
    }
}

#[test]
fn a_database_that_takes_writes_where_none_may_be_is_refused() {
    let said = Said { voices: &[(A, SILENT, 0), ("52.1.2.3", WRITES, 0)], ..Said::default() };
    let refused = check(Kind::Cluster, &said, &["10.0.0.1:5432"]);
    assert!(refused.starts_with("refuse: 52.1.2.3"), "{refused}");
}

#[test]
fn a_registered_writer_stays_but_is_not_called_right_while_a_newer_event_names_a_silent_one() {
    let disputed = "wait, contradiction: the database at 10.0.0.2 takes writes, but a failover event names 10.0.0.1, which \
                    does not say that it does";
    let right = "in sync, word: the database at 10.0.0.2 takes writes, and no other does";
    let only_b: &[Voiced] = &[(A, SILENT, 0), (B, WRITES, 0)];
    let said = Said { dns: &[A], writer: Some("a"), events: &[NAMES_A], voices: only_b, ..Said::default() };
    let names_b = Said { events: &[NAMES_B], ..said };
    let unknown = Said { voices: &[(A, Some(Voice::Unknown), 0), (B, WRITES, 0)], ..said };
    let read_only = Said { voices: &[(A, READS, 0), (B, WRITES, 0)], ..said };
    for (title, said, group, expected) in [
        ("it was registered before", said, "10.0.0.2:5432", disputed),
        ("it cannot tell", unknown, "10.0.0.2:5432", disputed),
        ("it was registered after it", said, "10.0.0.2:5432 initial", right),
        ("the other says that it is read only", read_only, "10.0.0.2:5432", right),
        ("the event names it", names_b, "10.0.0.2:5432", right),
    ] {
        assert_eq!(explain(Kind::Cluster, &said, &[group]), expected, "{title}");
    }
    let both = ["10.0.0.1:5432", "10.0.0.2:5432"];
    let said = Said { saw: &[(9, &both)], ..said };
    assert_eq!(check(Kind::Cluster, &said, &both), "deregister 10.0.0.1:5432", "a switch to it stays what it is");
}

#[test]
fn a_registered_writer_is_not_called_right_once_dns_and_the_rds_api_have_named_a_silent_one_for_90_s() {
    let binding = binding(Kind::Cluster);
    let judge = |silent: Option<Voice>, runs: &[(i64, &str)]| {
        let mut history = History::default();
        let mut judged = None;
        // One look a run, as the schedule makes them.
        for (second, writer) in runs {
            let mut evidence = Evidence::new(&binding, &[], history, at(*second));
            evidence.hear_dns(Answer { addresses: addresses(&[A]), ttl: Duration::from_secs(5) }, at(*second));
            evidence.hear_topology(Some(topology(writer)), at(*second));
            evidence.hear_database(A.parse().expect("an address"), silent, at(*second));
            evidence.hear_database(B.parse().expect("an address"), WRITES, at(*second));
            evidence.group.see(vec![described("10.0.0.2:5432")], at(*second));
            judged = Some(verdict(&binding, &AllowedNetworks::default(), &evidence, at(*second)));
            history = evidence.history();
        }
        judged
            .and_then(|judged| judged.because().map(|because| format!("{}, {because}", judged.name())))
            .expect("a run")
    };
    let disputed = "wait, contradiction: the database at 10.0.0.2 takes writes, but DNS and the RDS API name 10.0.0.1, \
                    which does not say that it does";
    let right = "in sync, word: the database at 10.0.0.2 takes writes, and no other does";
    for (title, silent, runs, expected) in [
        ("one look", SILENT, &[(0, "a")][..], right),
        ("89 s", SILENT, &[(0, "a"), (60, "a"), (89, "a")], right),
        ("90 s", SILENT, &[(0, "a"), (60, "a"), (90, "a")], disputed),
        ("the slowest schedule", SILENT, &[(0, "a"), (300, "a")], disputed),
        ("a gap in which nobody looked", SILENT, &[(0, "a"), (400, "a")], right),
        ("a break", SILENT, &[(0, "a"), (60, "b"), (120, "a"), (180, "a")], right),
        ("it says that it is read only", READS, &[(0, "a"), (60, "a"), (120, "a")], right),
    ] {
        assert_eq!(judge(silent, runs), expected, "{title}");
    }
}

#[test]
fn what_dns_and_the_rds_api_named_before_a_switch_is_no_reason_to_doubt_it_for_90_s() {
    let binding = binding(Kind::Cluster);
    let mut evidence = Evidence::new(&binding, &[], History::default(), at(0));
    let mut judge = |second: i64, dns: Option<&str>, described: &[&str]| {
        if let Some(dns) = dns {
            evidence.hear_dns(Answer { addresses: addresses(&[dns]), ttl: Duration::from_secs(5) }, at(second));
            evidence.hear_topology(Some(topology("a")), at(second));
        }
        for (address, voice) in [(A, SILENT), (B, WRITES)] {
            evidence.hear_database(address.parse().expect("an address"), voice, at(second));
        }
        evidence.group.see(described.iter().map(|target| self::described(target)).collect(), at(second));
        verdict(&binding, &AllowedNetworks::default(), &evidence, at(second)).name()
    };
    let [old, new] = [&["10.0.0.1:5432"][..], &["10.0.0.2:5432"]];
    for second in (0..=300).step_by(5) {
        assert_eq!(judge(second, Some(A), old), "switch");
    }
    for second in (305..=390).step_by(5) {
        assert_eq!(judge(second, Some(A), new), "in sync", "{second}");
    }
    assert_eq!(judge(395, Some(A), new), "wait", "90 s after the registration");
    assert_eq!(judge(402, None, new), "wait", "a silence is no break");
    assert_eq!(judge(405, Some(B), new), "in sync", "DNS names the registered one");
}

#[test]
fn a_registered_database_that_cannot_tell_is_as_one_that_was_not_asked() {
    let said = Said { dns: &[A], writer: Some("a"), ..Said::default() };
    for (voices, is_word) in [
        (&[(A, SILENT, 0), (B, WRITES, 0)][..], true),
        (&[(A, READS, 0), (B, WRITES, 0)], true),
        (&[(A, Some(Voice::Unknown), 0), (B, WRITES, 0)], false),
        (&[(A, Some(Voice::Unknown), 6), (A, SILENT, 0), (B, WRITES, 0)], true),
        (&[(A, SILENT, 0), (B, WRITES, 0), (C, Some(Voice::Unknown), 0)], true),
        (&[(A, SILENT, 0), (B, Some(Voice::Unknown), 0)], false),
    ] {
        for kind in [Kind::Cluster, Kind::Instance] {
            let judged = explain(kind, &Said { voices, ..said }, &["10.0.0.1:5432"]);
            assert_eq!(judged == WORD, is_word, "{kind} {voices:?}: {judged}");
        }
    }
    let unknown = Said { dns: &[B], writer: Some("b"), voices: &[(B, Some(Voice::Unknown), 0)], ..Said::default() };
    assert_eq!(check(Kind::Cluster, &unknown, &["10.0.0.1:5432"]), SWITCH, "it is not ruled out either");
}

#[test]
fn two_databases_that_take_writes_are_no_reason_to_change_anything_nor_to_call_it_right() {
    let all_name_b = Said { dns: &[B], steady: 600, writer: Some("b"), events: &[NAMES_B], ..Said::default() };
    let said = Said { voices: &[(A, WRITES, 0), (B, WRITES, 0)], ..all_name_b };
    for kind in [Kind::Cluster, Kind::Instance] {
        for group in [&["10.0.0.1:5432"][..], &["10.0.0.2:5432"], &["10.0.0.1:5432", "10.0.0.2:5432"], &[]] {
            let expected = "wait, contradiction: the databases at 10.0.0.1, 10.0.0.2 take writes at once";
            assert_eq!(explain(kind, &said, group), expected, "{kind} {group:?}");
        }
    }
}

#[test]
fn a_database_that_is_read_only_is_never_switched_to_nor_called_right() {
    let dns = Said { dns: &[B], voices: &[(B, READS, 0)], ..Said::default() };
    let a: &[&str] = &["10.0.0.1:5432"];
    for (title, said, group) in [
        ("DNS and the RDS API name it", Said { writer: Some("b"), ..dns }, a),
        ("all three name it", Said { writer: Some("b"), events: &[NAMES_B], ..dns }, a),
        ("DNS is steady", Said { steady: 600, ..dns }, a),
        ("DNS would fill an empty group", dns, &[]),
        ("it is registered already", Said { writer: Some("b"), ..dns }, &["10.0.0.2:5432"]),
    ] {
        let expected = "wait, contradiction: the database at 10.0.0.2 says that it is read only";
        for kind in [Kind::Cluster, Kind::Instance, Kind::Hostname] {
            assert_eq!(explain(kind, &said, group), expected, "{title}, {kind}");
        }
    }
    let without_dns = Said { dns: &[], writer: Some("b"), events: &[NAMES_B], ..dns };
    assert_eq!(explain(Kind::Cluster, &without_dns, a), "wait, silence: DNS does not answer");
    let another = Said { writer: Some("b"), voices: &[(A, READS, 0), (C, READS, 0)], ..dns };
    assert_eq!(check(Kind::Cluster, &another, a), SWITCH, "others may be read only");
}

#[test]
fn a_database_that_was_asked_and_said_nothing_is_as_one_that_was_not_asked() {
    let b = Said { dns: &[B], ..Said::default() };
    for said in [
        Said::default(),
        b,
        Said { steady: 9, ..b },
        Said { steady: 10, ..b },
        Said { writer: Some("a"), ..b },
        Said { writer: Some("b"), ..b },
        Said { writer: Some("b"), events: &[NAMES_B], ..b },
    ] {
        for (_, kind) in Kind::NAMES {
            for group in [&["10.0.0.1:5432"][..], &["10.0.0.2:5432"], &[]] {
                let silent = Said { voices: &[(A, SILENT, 0), (B, SILENT, 0), (C, SILENT, 0)], ..said };
                assert_eq!(judged(kind, &silent, group), judged(kind, &said, group), "{kind} {said:?} {group:?}");
            }
        }
    }
}

#[test]
fn what_a_database_said_counts_for_five_seconds_whether_it_is_silent_since_or_not() {
    let rule = |said: &Said| judged(Kind::Cluster, said, &["10.0.0.1:5432"]).because().map(Because::rule);
    for (voice, ago, is_silent_since, expected) in [
        (WRITES, 5, false, "word"),
        (WRITES, 5, true, "word"),
        (WRITES, 6, false, "quorum"),
        (WRITES, 6, true, "quorum"),
        (READS, 5, false, "contradiction"),
        (READS, 5, true, "contradiction"),
        (READS, 6, false, "quorum"),
        (READS, 6, true, "quorum"),
    ] {
        let mut voices = vec![(A, SILENT, 0), (B, voice, ago)];
        voices.extend(is_silent_since.then_some((B, SILENT, 0)));
        let said = Said { dns: &[B], writer: Some("b"), voices: &voices, ..Said::default() };
        assert_eq!(rule(&said), Some(expected), "{voice:?} {ago} s ago, silent since: {is_silent_since}");
    }
    let changed = Said { dns: &[B], writer: Some("b"), voices: &[(B, WRITES, 2), (B, READS, 0)], ..Said::default() };
    assert_eq!(rule(&changed), Some("contradiction"), "the last word counts");
}

#[test]
fn a_writer_counts_only_if_every_member_was_asked_a_moment_ago() {
    let group = ["10.0.0.1:5432", "10.0.0.3:5432"];
    for (title, voices, counts) in [
        ("both were", &[(B, WRITES, 0), (A, SILENT, 0), (C, READS, 5)][..], true),
        ("one was not", &[(B, WRITES, 0), (A, SILENT, 0)], false),
        ("one was not for a while", &[(B, WRITES, 0), (A, SILENT, 0), (C, READS, 6)], false),
        ("none was", &[(B, WRITES, 0)], false),
    ] {
        let said = Said { dns: &[A], writer: Some("a"), voices, saw: &[(9, &group)], ..Said::default() };
        let judged = explain(Kind::Cluster, &said, &group);
        assert_eq!(judged == WORD, counts, "{title}: {judged}");
    }
    let said = Said { dns: &[A], voices: &[(B, WRITES, 0)], ..Said::default() };
    let judged = explain(Kind::Cluster, &said, &["10.0.0.3:5432 draining"]);
    assert_eq!(judged, WORD, "what drains is no member");
}

#[test]
fn a_host_name_is_followed_at_once_to_databases_that_take_writes() {
    let patience = "wait: patience: DNS alone names 10.0.0.2 for 0 of 10 s";
    for (title, dns, voices, group, expected) in [
        ("it takes writes", &[B][..], &[(B, WRITES, 5)][..], "10.0.0.1:5432 unhealthy", SWITCH),
        ("a healthy target waits for it", &[B], &[(B, WRITES, 0)], "10.0.0.1:5432", "register 10.0.0.2:5432"),
        ("its word is old", &[B], &[(B, WRITES, 6)], "10.0.0.1:5432 unhealthy", patience),
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
        ("the one that leaves is read only", &[B], &[(A, READS, 0)], "10.0.0.1:5432 unhealthy", patience),
        (
            "the one that leaves takes writes too",
            &[B],
            &[(A, WRITES, 0), (B, WRITES, 0)],
            "10.0.0.1:5432 unhealthy",
            patience,
        ),
    ] {
        assert_eq!(check(Kind::Hostname, &Said { dns, voices, ..Said::default() }, &[group]), expected, "{title}");
    }
    let both = ["10.0.0.1:5432 healthy", "10.0.0.2:5432 healthy"];
    let said = Said { dns: &[B], voices: &[(B, WRITES, 0)], ..Said::default() };
    assert_eq!(check(Kind::Hostname, &said, &both), "deregister 10.0.0.1:5432");
}

#[test]
fn the_other_kinds_know_no_word_of_a_database() {
    let all_speak = [(A, WRITES, 0), (B, READS, 0), (C, WRITES, 0)];
    for kind in [Kind::Readers, Kind::Proxy, Kind::Custom, Kind::Address] {
        assert!(!kind.has_voice());
        for group in [&["10.0.0.1:5432"][..], &["10.0.0.1:5432 unhealthy"], &["10.0.0.2:5432"], &[]] {
            let unasked = Said { dns: &[B], writer: Some("a"), ..Said::default() };
            let spoken = Said { voices: &all_speak, ..unasked };
            assert_eq!(judged(kind, &spoken, group), judged(kind, &unasked, group), "{kind} {group:?}");
        }
    }
}
