use std::collections::BTreeMap;

use super::*;
use crate::binding::tests::binding;
use crate::event::RdsEvent;
use crate::evidence::DnsAnswer;
use crate::history::History;
use crate::target::Target;
use crate::target::tests::described;
use crate::target_group::TargetHistory;
use crate::topology::Topology;
use base::database::ClusterMember;

mod claims;
mod filling;
mod other_kinds;
mod properties;
mod roles;
mod several;
mod silence;

/// The cluster of these tests: `a` is 10.0.0.1, `b` is 10.0.0.2, `c` is 10.0.0.3.
const MEMBERS: [(&str, [u8; 4]); 3] =
    [("a", [10, 0, 0, 1]), ("b", [10, 0, 0, 2]), ("c", [10, 0, 0, 3])];

const SWITCH: &str = "register 10.0.0.2:5432, then deregister 10.0.0.1:5432";

/// What the witnesses say at the time 1000 s. The times are seconds.
#[derive(Clone, Copy, Debug, Default)]
struct Given<'a> {
    dns: &'a [&'a str],
    /// For how long DNS has said so.
    steady: i64,
    /// The id of the writer in the RDS API; no id, no answer.
    writer: Option<&'a str>,
    /// The RDS API's last answer is this old; after five seconds it was asked again, and silent.
    topology_age: i64,
    /// `(RDS-EVENT number, text, age)`
    events: &'a [(&'a str, &'a str, i64)],
    /// `(address, how long ago it was deregistered by this process)`
    left: &'a [(&'a str, i64)],
    /// `(how long ago, the group as it was described then)`, before the description that is judged.
    saw: &'a [(i64, &'a [&'a str])],
    roles: &'a [Probed<'a>],
}

/// `(address, what its database said of itself when it was asked, how long ago)`; nothing is a
/// silence.
type Probed<'a> = (&'a str, Option<Role>, i64);

fn at(second: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_700_000_000 + second, 0).expect("a time")
}

fn addresses(texts: &[&str]) -> Addresses {
    Addresses::new(texts.iter().map(|text| text.parse().expect("an address"))).expect("not empty")
}

fn topology(writer: &str) -> Topology {
    let member = |(id, address): (&str, [u8; 4])| {
        let status = if id == "c" { "creating" } else { "available" };
        let member = ClusterMember {
            id: id.into(),
            is_writer: id == writer,
            endpoint: None,
            status: status.into(),
        };
        (member, std::net::IpAddr::from(address).into())
    };
    Topology(MEMBERS.map(member).into())
}

fn evidence(binding: &Binding, given: &Given) -> Evidence {
    let events: Vec<RdsEvent> = given
        .events
        .iter()
        .map(|(number, message, age)| RdsEvent {
            is_failover: false,
            id: Some(format!("RDS-EVENT-{number}")),
            time: Some(at(1000 - age)),
            source_arn: None,
            source_id: Some("orders".into()),
            message: (*message).to_owned(),
        })
        .collect();
    let left = |targets: TargetHistory, (address, ago): &(&str, i64)| {
        targets.with_deregistration(
            Target { address: address.parse().expect("an address"), port: 5432 },
            at(1000 - ago),
        )
    };
    let targets = given.left.iter().fold(TargetHistory::default(), left);
    let mut evidence =
        Evidence::new(binding, &events, History { targets, ..History::default() }, at(1000));
    if !given.dns.is_empty() {
        let answer = DnsAnswer { addresses: addresses(given.dns), ttl: Duration::from_secs(5) };
        (0..=given.steady)
            .for_each(|ago| evidence.record_dns(answer.clone(), at(1000 - given.steady + ago)));
    }
    if let Some(writer) = given.writer {
        evidence.record_topology(Some(topology(writer)), at(1000 - given.topology_age));
        if given.topology_age > 5 {
            evidence.record_topology(None, at(1000));
        }
    }
    let mut roles = given.roles.to_vec();
    roles.sort_by_key(|(_, _, ago)| -ago);
    for (address, role, ago) in roles {
        evidence.record_probe(address.parse().expect("an address"), role, at(1000 - ago));
    }
    evidence
}

fn decided(kind: Kind, given: &Given, group: &[&str]) -> Verdict {
    let binding = binding(kind);
    let described =
        |group: &[&str]| group.iter().map(|text| described(text)).collect::<Vec<DescribedTarget>>();
    let mut evidence = evidence(&binding, given);
    given
        .saw
        .iter()
        .for_each(|(ago, group)| evidence.group.update(described(group), at(1000 - ago)));
    evidence.group.update(described(group), at(1000));
    verdict(&binding, &AllowedNetworks::default(), &evidence, at(1000))
}

fn check(kind: Kind, given: &Given, group: &[&str]) -> String {
    match decided(kind, given, group) {
        Verdict::InSync(_) => "in-sync".into(),
        Verdict::Switch(plan, _) => plan.to_string(),
        Verdict::Wait(reason) => format!("wait: {reason}"),
        Verdict::Refuse(refusal) => format!("refuse: {refusal}"),
    }
}

/// The verdict in one word, and why.
fn explain(kind: Kind, given: &Given, group: &[&str]) -> String {
    let decided = decided(kind, given, group);
    format!(
        "{}, {}",
        <&str>::from(&decided),
        decided.reason().map(Reason::to_string).unwrap_or_default()
    )
}

#[test]
fn a_verdict_says_which_rule_made_it_and_by_whose_claims() {
    const DRAINING: [&str; 2] = ["10.0.0.1:5432", "10.0.0.2:5432 draining"];
    let b = Given { dns: &["10.0.0.2"], ..Given::default() };
    for (given, group, expected) in [
        (b, &["10.0.0.2:5432"][..], "in-sync, claim: DNS names 10.0.0.2"),
        (
            Given { writer: Some("b"), ..b },
            &["10.0.0.2:5432"],
            "in-sync, quorum: DNS and the RDS API name 10.0.0.2",
        ),
        (
            b,
            &[],
            "wait, empty: DNS names 10.0.0.2 for an empty group, and the RDS API has 30 of 30 s \
             left to agree",
        ),
        (
            Given { writer: Some("b"), ..b },
            &["10.0.0.1:5432"],
            "switch, quorum: DNS and the RDS API name 10.0.0.2",
        ),
        (
            Given { dns: &[], writer: Some("b"), events: &[NAMES_B], ..b },
            &["10.0.0.1:5432"],
            "switch, quorum: the RDS API and a failover event name 10.0.0.2",
        ),
        (
            Given { writer: Some("a"), ..b },
            &["10.0.0.1:5432"],
            "wait, contradiction: DNS names 10.0.0.2 and the RDS API names 10.0.0.1",
        ),
        (
            Given { steady: 7, ..b },
            &["10.0.0.1:5432"],
            "wait, patience: DNS alone names 10.0.0.2 for 7 of 10 s",
        ),
        (
            Given { steady: 600, left: &[("10.0.0.2", 40)], ..b },
            &DRAINING,
            "wait, patience: DNS alone names 10.0.0.2 for 40 of 90 s, because 10.0.0.2 was \
             deregistered 40 s ago",
        ),
        (
            Given { steady: 600, writer: Some("b"), saw: &[(5, &["10.0.0.2:5432"])], ..b },
            &["10.0.0.1:5432", "10.0.0.2:5432"],
            "wait, patience: DNS and the RDS API name 10.0.0.2 for 0 of 30 s, because 10.0.0.1 was \
             registered 0 s ago",
        ),
        (
            Given { steady: 600, writer: Some("a"), topology_age: 11, ..b },
            &["10.0.0.1:5432"],
            "wait, patience: DNS alone names 10.0.0.2 for 11 of 90 s, because the RDS API named \
             another writer 11 s ago",
        ),
        (
            Given { steady: 600, saw: &[(20, &["10.0.0.1:5432", "10.0.0.2:5432"])], ..b },
            &["10.0.0.1:5432", "10.0.0.2:5432"],
            "wait, patience: DNS alone names 10.0.0.2 for 20 of 90 s, because the group held \
             several targets 20 s ago",
        ),
        (Given { dns: &[], ..b }, &["10.0.0.1:5432"], "wait, no-answer: DNS does not answer"),
    ] {
        assert_eq!(explain(Kind::Cluster, &given, group), expected);
    }
}

const NAMES_B: (&str, &str, i64) = ("0071", "Completed failover to DB instance: b", 5);

#[test]
fn what_may_not_be_registered_is_refused() {
    for &kind in Kind::ALL {
        let refused = check(
            kind,
            &Given { dns: &["10.0.0.1", "52.1.2.3"], ..Given::default() },
            &["10.0.0.1:5432"],
        );
        assert!(refused.starts_with("refuse: 52.1.2.3"), "{kind}: {refused}");
    }
    for kind in [Kind::Cluster, Kind::Instance] {
        let refused = check(
            kind,
            &Given { dns: &["10.0.0.1", "10.0.0.2"], ..Given::default() },
            &["10.0.0.1:5432"],
        );
        assert!(refused.starts_with("refuse: 2 addresses (10.0.0.1, 10.0.0.2)"), "{refused}");
    }
}

#[test]
fn without_an_answer_of_dns_nothing_is_done() {
    for &kind in Kind::ALL {
        assert_eq!(check(kind, &Given::default(), &[]), "wait: no-answer: DNS does not answer");
    }
}
