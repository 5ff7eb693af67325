//! An empty group, and a cluster whose writer the RDS API does not name.

use super::*;

/// What is judged when the group has been empty for so long, DNS has named `dns` all the time, and
/// the RDS API has said this.
fn filled(
    kind: Kind,
    dns: &str,
    topology: Option<Topology>,
    empty_for: i64,
    group: &[&str],
) -> String {
    let binding = binding(kind);
    let mut evidence = Evidence::new(&binding, &[], History::default(), at(0));
    for second in 0..=empty_for {
        evidence.record_dns(
            DnsAnswer { addresses: addresses(&[dns]), ttl: Duration::from_secs(5) },
            at(second),
        );
        evidence.record_topology(topology.clone(), at(second));
        evidence.group.update(group.iter().map(|text| described(text)).collect(), at(second));
    }
    match verdict(&binding, &AllowedNetworks::default(), &evidence, at(empty_for)) {
        Verdict::Switch(plan, reason) => format!("{plan}, {reason}"),
        decided => format!(
            "{}, {}",
            <&str>::from(&decided),
            decided.reason().map(Reason::to_string).unwrap_or_default()
        ),
    }
}

#[test]
fn an_empty_group_waits_for_the_rds_api_for_half_a_minute() {
    let by_dns = "register 10.0.0.2:5432, empty: DNS alone names 10.0.0.2, and the group has been \
                  empty for 30 s";
    let by_api = "register 10.0.0.1:5432, empty: the RDS API alone names 10.0.0.1, and the group \
                  has been empty for 30 s";
    let waits = |left| {
        format!(
            "wait, empty: DNS names 10.0.0.2 for an empty group, and the RDS API has {left} of 30 \
             s left to agree"
        )
    };
    for (title, dns, topology, empty_for, expected) in [
        ("it is silent", "10.0.0.2", None, 0, &*waits(30)),
        ("it is silent for long", "10.0.0.2", None, 29, &*waits(1)),
        ("it has been silent for long enough", "10.0.0.2", None, 30, by_dns),
        ("it says that DNS names a reader", "10.0.0.2", Some(topology("a")), 0, &*waits(30)),
        ("it goes on saying that DNS names a reader", "10.0.0.2", Some(topology("a")), 30, by_api),
        (
            "DNS names no member",
            "10.0.9.9",
            Some(topology("a")),
            30,
            &by_dns.replace("10.0.0.2", "10.0.9.9"),
        ),
        (
            "it agrees",
            "10.0.0.2",
            Some(topology("b")),
            0,
            "register 10.0.0.2:5432, quorum: DNS and the RDS API name 10.0.0.2",
        ),
    ] {
        for group in [&[][..], &["10.0.0.3:5432 draining"]] {
            assert_eq!(
                filled(Kind::Cluster, dns, topology.clone(), empty_for, group),
                expected,
                "{title}"
            );
        }
    }
    let again =
        filled(Kind::Cluster, "10.0.0.2", Some(topology("b")), 0, &["10.0.0.2:5432 draining"]);
    assert_eq!(
        again, "register 10.0.0.2:5432, claim: DNS names 10.0.0.2",
        "it was left, and serves again"
    );
}

#[test]
fn a_wrong_port_is_mended_at_once_and_an_instance_has_no_rds_api_to_wait_for() {
    let mended = "register 10.0.0.2:5432, then deregister 10.0.0.2:3307, claim: DNS names 10.0.0.2";
    assert_eq!(
        filled(Kind::Cluster, "10.0.0.2", Some(topology("a")), 0, &["10.0.0.2:3307"]),
        mended
    );
    let filled = filled(Kind::Instance, "10.0.0.2", None, 0, &[]);
    assert_eq!(filled, "register 10.0.0.2:5432, claim: DNS names 10.0.0.2");
}

/// The members of the tests' cluster, of which these are flagged as the writer.
fn flagged(writers: &[&str]) -> Vec<(ClusterMember, Addresses)> {
    let Topology(mut members) = topology("nobody");
    members
        .iter_mut()
        .for_each(|(member, _)| member.is_writer = writers.contains(&member.id.as_str()));
    members
}

/// A run that heard this a second, each second one entry: which members were flagged. DNS names the
/// address all the time.
fn heard(binding: &Binding, dns: &str, flags: &[&[&str]], group: &[&str], now: i64) -> Evidence {
    let mut evidence = Evidence::new(binding, &[], History::default(), at(0));
    evidence.group.update(group.iter().map(|text| described(text)).collect(), at(0));
    for (second, writers) in
        (0..=now).zip(flags.iter().chain(std::iter::repeat(&flags[flags.len() - 1])))
    {
        let members = flagged(writers);
        evidence.record_dns(
            DnsAnswer { addresses: addresses(&[dns]), ttl: Duration::from_secs(5) },
            at(second),
        );
        evidence.record_members(
            &members.iter().map(|(member, _)| member.clone()).collect::<Vec<_>>(),
            at(second),
        );
        evidence.record_topology(Some(Topology(members)), at(second));
    }
    evidence.group.update(group.iter().map(|text| described(text)).collect(), at(now));
    evidence
}

fn decide(binding: &Binding, evidence: &Evidence, now: i64) -> String {
    match verdict(binding, &AllowedNetworks::default(), evidence, at(now)) {
        Verdict::Switch(plan, _) => plan.to_string(),
        decided => format!(
            "{}, {}",
            <&str>::from(&decided),
            decided.reason().map(Reason::to_string).unwrap_or_default()
        ),
    }
}

#[test]
fn a_cluster_without_one_writer_makes_no_claim_and_no_veto_and_is_not_silent() {
    let binding = binding(Kind::Cluster);
    for (flags, note) in [
        (&[&[][..]][..], "the RDS API flags no member as the writer"),
        (&[&["a", "b"]], "the RDS API flags several members as the writer"),
        (&[&["a"], &[]], "the RDS API flags no member as the writer"),
    ] {
        let evidence = heard(&binding, "10.0.0.2", flags, &["10.0.0.1:5432"], 9);
        let waits = "wait, patience: DNS alone names 10.0.0.2 for 9 of 10 s";
        assert_eq!(decide(&binding, &evidence, 9), waits, "{flags:?}");
        assert_eq!(
            (evidence.without_writer(), evidence.is_topology_silent()),
            (Some(note), Some(false)),
            "{flags:?}"
        );
        let evidence = heard(&binding, "10.0.0.2", flags, &["10.0.0.1:5432"], 10);
        assert_eq!(decide(&binding, &evidence, 10), SWITCH, "{flags:?}");
    }
    let evidence = heard(&binding, "10.0.0.2", &[&[], &["a"]], &["10.0.0.1:5432"], 20);
    assert_eq!(evidence.without_writer(), None);
    let veto = "wait, contradiction: DNS names 10.0.0.2 and the RDS API names 10.0.0.1";
    assert_eq!(decide(&binding, &evidence, 20), veto, "it speaks again");
}

#[test]
fn of_a_clusters_members_only_one_that_is_flagged_alone_is_the_writer() {
    for (flags, writer) in
        [(&["b"][..], Some("10.0.0.2")), (&[], None), (&["a", "b"], None), (&["a", "b", "c"], None)]
    {
        let topology_age = Topology(flagged(flags)).writer().map(Addresses::to_string);
        assert_eq!(topology_age.as_deref(), writer, "{flags:?}");
    }
}

#[test]
fn a_flagged_member_without_an_address_makes_the_other_no_writer() {
    let binding = binding(Kind::Cluster);
    let mut evidence = heard(&binding, "10.0.0.2", &[&["a", "b"]], &["10.0.0.1:5432"], 0);
    let located = flagged(&["a", "b"]).into_iter().filter(|(member, _)| member.id != "b").collect();
    evidence.record_topology(Some(Topology(located)), at(0));
    let waits = "wait, patience: DNS alone names 10.0.0.2 for 0 of 10 s";
    assert_eq!(decide(&binding, &evidence, 0), waits, "neither a veto nor a claim");
}

#[test]
fn the_readers_of_a_cluster_without_one_writer_are_those_that_are_not_flagged() {
    let binding = binding(Kind::Readers);
    for (title, flags, group, now, expected) in [
        ("none is flagged", &[&[][..]][..], &[][..], 0, "register 10.0.0.1:5432, 10.0.0.2:5432"),
        ("two are flagged", &[&["a", "c"]], &[], 0, "register 10.0.0.2:5432"),
        ("one was the writer a moment ago", &[&["a"], &[]], &[], 1, "register 10.0.0.2:5432"),
        (
            "it was the writer long ago",
            &[&["a"], &[]],
            &[],
            121,
            "register 10.0.0.1:5432, 10.0.0.2:5432",
        ),
        (
            "it is registered already",
            &[&["a"], &[]],
            &["10.0.0.1:5432", "10.0.0.2:5432"],
            1,
            IN_SYNC_BOTH,
        ),
        (
            "another leaves in time",
            &[&[]],
            &["10.0.0.1:5432", "10.0.0.2:5432", "10.0.0.9:5432"],
            10,
            LEAVES,
        ),
    ] {
        let evidence = heard(&binding, "10.0.0.2", flags, group, now);
        assert_eq!(decide(&binding, &evidence, now), expected, "{title}");
    }
}

const IN_SYNC_BOTH: &str = "in-sync, claim: the RDS API names 10.0.0.1, 10.0.0.2";
const LEAVES: &str = "deregister 10.0.0.9:5432";
