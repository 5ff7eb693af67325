//! The kinds with no writer, with several addresses, or with a name that may lead anywhere.

use super::*;

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
