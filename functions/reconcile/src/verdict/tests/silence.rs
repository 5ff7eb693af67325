//! A doubt of those who name a database that does not answer, where another does.

use super::roles::{A, B, C, READS, SILENT, WRITES};
use super::*;

#[test]
fn who_is_silent_as_the_registered_one_is_needs_more_than_two_witnesses_once_a_login_worked() {
    let a: &[&str] = &["10.0.0.1:5432"];
    let quorum = Given { dns: &[B], writer: Some("b"), events: &[NAMES_B], ..Given::default() };
    let agreed = Given { dns: &[B], steady: 29, writer: Some("b"), ..Given::default() };
    let alone = Given { writer: None, ..agreed };
    let young: &[Probed] = &[(A, SILENT, 0), (C, READS, 4), (B, SILENT, 0)];
    let silent: &[Probed] = &[(A, SILENT, 0), (C, READS, 20), (C, READS, 0), (B, SILENT, 0)];
    for (given, roles, named, needed, ago) in [
        (quorum, young, "DNS and the RDS API name", "0 of 30", 4),
        (agreed, silent, "DNS and the RDS API name", "20 of 30", 20),
        (alone, silent, "DNS alone names", "20 of 90", 20),
        (
            alone,
            &[(A, SILENT, 5), (C, READS, 20), (B, SILENT, 5)],
            "DNS alone names",
            "20 of 90",
            20,
        ),
        (
            alone,
            &[(A, WRITES, 25), (A, SILENT, 0), (C, READS, 20), (B, SILENT, 0)],
            "DNS alone names",
            "25 of 90",
            25,
        ),
    ] {
        let expected = format!(
            "wait, patience: {named} 10.0.0.2 for {needed} s, because neither it nor what is \
             registered answers, but a login worked {ago} s ago"
        );
        let given = Given { roles, ..given };
        assert_eq!(explain(Kind::Cluster, &given, a), expected);
    }
    for (title, given, roles) in [
        ("it takes writes", quorum, &[(A, SILENT, 0), (C, READS, 0), (B, WRITES, 0)][..]),
        ("it cannot tell", quorum, &[(A, SILENT, 0), (C, READS, 0), (B, Some(Role::Unknown), 0)]),
        ("it was not asked", quorum, &[(A, SILENT, 0), (C, READS, 0)]),
        ("it was asked too long ago", quorum, &[(A, SILENT, 6), (C, READS, 6), (B, SILENT, 6)]),
        ("no login worked", quorum, &[(A, SILENT, 0), (B, SILENT, 0)]),
        ("none but its own", quorum, &[(A, SILENT, 0), (B, READS, 20), (B, SILENT, 0)]),
        ("the registered one is read only", quorum, &[(A, READS, 0), (B, SILENT, 0)]),
        ("the registered one was not asked", quorum, &[(C, READS, 0), (B, SILENT, 0)]),
        ("a minute has passed", quorum, &[(A, SILENT, 0), (C, READS, 60), (B, SILENT, 0)]),
        ("a minute has passed", alone, &[(A, SILENT, 0), (C, READS, 60), (B, SILENT, 0)]),
        ("DNS is silent too", Given { dns: &[], ..quorum }, young),
    ] {
        let given = Given { roles, ..given };
        assert_eq!(check(Kind::Cluster, &given, a), SWITCH, "{title}");
    }
    let given = Given { roles: young, ..quorum };
    let stale_dns = Given { dns: &[A], ..given };
    assert_eq!(check(Kind::Cluster, &stale_dns, &[]), "register 10.0.0.2:5432", "an empty group");
    let both: &[&str] = &["10.0.0.1:5432", "10.0.0.2:5432"];
    let given = Given { saw: &[(200, both)], ..given };
    assert_eq!(check(Kind::Cluster, &given, both), "deregister 10.0.0.1:5432", "it is registered");
    let given = Given { roles: young, ..alone };
    assert_eq!(check(Kind::Hostname, &given, &["10.0.0.1:5432 unhealthy"]), SWITCH, "a host name");
}
