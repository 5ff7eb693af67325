//! The verdict: what follows from the evidence. The only place that decides where a target group should point.

use std::fmt;

use crate::binding::{Binding, Kind};
use crate::evidence::{Evidence, Topology};
use crate::network::{AllowedNetworks, Refusal};
use crate::plan::Plan;
use crate::target::{Addresses, DescribedTarget, TargetState};

/// What should become of a target group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The members are what the evidence says.
    InSync,
    /// Not to be decided before topology was asked.
    AskTopology,
    /// Apply the plan that makes the witnessed addresses the members.
    Switch(Plan),
    /// Change nothing and look again: the witnesses disagree.
    Wait(Disagreement),
    /// Change nothing, and say why.
    Refuse(Refusal),
}

/// Two witnesses that name different addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disagreement {
    dns: Addresses,
    topology: Addresses,
}

impl fmt::Display for Disagreement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DNS names {} as the writer and the RDS API names {}", self.dns, self.topology)
    }
}

/// Judges one binding. R is what is registered, B what DNS says; the first row that applies decides.
///
/// | #  | evidence                                                                 | verdict                      |
/// |----|--------------------------------------------------------------------------|------------------------------|
/// | 1  | B holds an address that may not be registered                            | refuse                       |
/// | 2  | B holds more than one address, and the kind has exactly one writer       | refuse                       |
/// | 3  | R is B, each on the binding's port                                       | in sync                      |
/// | 4  | R holds no address but B's: it is empty, or only the port is wrong       | switch to B                  |
/// | 5  | `cluster` with an identifier: topology was not asked                     | ask topology                 |
/// | 6  | `cluster`: topology names another address than B                         | wait                         |
/// | 7  | `cluster`, `instance`: R differs from B                                  | switch to B                  |
/// | 8  | `hostname`, `address`: R differs from B, and a member of B is healthy    | switch to B                  |
/// | 9  | `hostname`, `address`: R differs from B, and none of B is healthy yet    | switch to B and R's healthy  |
/// | 10 | `readers`, `proxy`: R differs from B                                     | switch to B and R's healthy  |
///
/// A writer switch never waits for health: while it waited, clients would write to a database that no longer takes it.
/// A proxy or reader endpoint gives a part of its addresses in each answer, so one that is absent leaves only when its
/// target is not healthy.
pub fn verdict(
    binding: &Binding,
    allowed: &AllowedNetworks,
    evidence: &Evidence,
    group: &[DescribedTarget],
) -> Verdict {
    let named = &evidence.dns.addresses;
    if let Some(refusal) = named.iter().find_map(|address| allowed.refusal(address)) {
        return Verdict::Refuse(refusal);
    }
    if binding.kind.is_single_writer() && named.count() > 1 {
        return Verdict::Refuse(Refusal::SeveralWriters(named.iter().collect()));
    }
    let plan = Plan::new(&wanted(binding, named, group), binding.port, group);
    if plan.is_empty() {
        return Verdict::InSync;
    }
    let is_named = |member: &DescribedTarget| member.target().is_some_and(|target| named.contains(target.address));
    if group.iter().filter(|described| described.is_member()).all(is_named) {
        return Verdict::Switch(plan);
    }
    match &evidence.topology {
        Topology::NotAsked if binding.kind == Kind::Cluster && binding.id.is_some() => Verdict::AskTopology,
        Topology::Names(writer) if writer != named => {
            Verdict::Wait(Disagreement { dns: named.clone(), topology: writer.clone() })
        }
        _ => Verdict::Switch(plan),
    }
}

/// The addresses that DNS named, and the healthy members that stay beside them for now.
fn wanted(binding: &Binding, named: &Addresses, group: &[DescribedTarget]) -> Addresses {
    let healthy = || {
        let healthy = group.iter().filter(|described| described.state == TargetState::Healthy);
        healthy.filter_map(DescribedTarget::target).filter(|target| target.port == binding.port)
    };
    let stay_beside = match binding.kind {
        Kind::Cluster | Kind::Instance => false,
        Kind::Readers | Kind::Proxy => true,
        Kind::Hostname | Kind::Address => !healthy().any(|target| named.contains(target.address)),
    };
    let staying = healthy().map(|target| target.address).filter(|_| stay_beside);
    Addresses::new(named.iter().chain(staying)).unwrap_or_else(|| named.clone())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::binding::{Endpoint, Family, TargetGroupArn};
    use crate::evidence::Answer;
    use crate::target::tests::described;

    const ARN: &str = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/db/0123456789abcdef";

    fn check(kind: Kind, dns: &[&str], group: &[&str]) -> String {
        check_with(kind, None, dns, Topology::NotAsked, group)
    }

    fn addresses(texts: &[&str]) -> Addresses {
        Addresses::new(texts.iter().map(|text| text.parse().expect("an address"))).expect("not empty")
    }

    fn check_with(kind: Kind, id: Option<&str>, dns: &[&str], topology: Topology, group: &[&str]) -> String {
        let binding = Binding {
            name: "writer".into(),
            endpoint: Endpoint::Name("db.example".into()),
            port: 5432,
            target_group: TargetGroupArn::parse(ARN).expect("valid"),
            kind,
            id: id.map(str::to_owned),
            family: Family::Ipv4,
        };
        let dns = Answer { addresses: addresses(dns), ttl: Duration::from_secs(5) };
        let evidence = Evidence { dns, topology };
        let group: Vec<DescribedTarget> = group.iter().map(|text| described(text)).collect();
        match verdict(&binding, &AllowedNetworks::default(), &evidence, &group) {
            Verdict::InSync => "in sync".into(),
            Verdict::AskTopology => "ask topology".into(),
            Verdict::Switch(plan) => plan.to_string(),
            Verdict::Wait(disagreement) => format!("wait: {disagreement}"),
            Verdict::Refuse(refusal) => format!("refuse: {refusal}"),
        }
    }

    #[test]
    fn a_writer_endpoint_is_followed_at_once_whatever_the_health() {
        for kind in [Kind::Cluster, Kind::Instance] {
            assert_eq!(check(kind, &["10.0.0.1"], &["10.0.0.1:5432"]), "in sync");
            assert_eq!(
                check(kind, &["10.0.0.2"], &["10.0.0.1:5432 healthy", "10.0.0.2:5432 initial"]),
                "deregister 10.0.0.1:5432"
            );
            assert_eq!(
                check(kind, &["10.0.0.2"], &["10.0.0.1:5432 healthy"]),
                "register 10.0.0.2:5432, then deregister 10.0.0.1:5432"
            );
        }
    }

    #[test]
    fn topology_is_asked_only_when_a_cluster_would_lose_a_member() {
        let asks =
            |kind, id, group: &[&str]| check_with(kind, id, &["10.0.0.2"], Topology::NotAsked, group) == "ask topology";
        assert!(asks(Kind::Cluster, Some("orders"), &["10.0.0.1:5432"]));
        assert!(!asks(Kind::Cluster, Some("orders"), &["10.0.0.2:5432"]), "in sync");
        assert!(!asks(Kind::Cluster, Some("orders"), &[]), "an empty group is filled at once");
        assert!(!asks(Kind::Cluster, Some("orders"), &["10.0.0.2:3307"]), "only the port is wrong");
        assert!(!asks(Kind::Cluster, None, &["10.0.0.1:5432"]), "no identifier to ask for");
        assert!(!asks(Kind::Instance, Some("orders"), &["10.0.0.1:5432"]), "an instance has one endpoint");
    }

    #[test]
    fn a_readable_topology_vetoes_dns_and_a_silent_one_does_not() {
        let judge = |topology| check_with(Kind::Cluster, Some("orders"), &["10.0.0.2"], topology, &["10.0.0.1:5432"]);
        let switched = "register 10.0.0.2:5432, then deregister 10.0.0.1:5432";
        assert_eq!(judge(Topology::Names(addresses(&["10.0.0.2"]))), switched);
        assert_eq!(judge(Topology::Silent), switched);
        assert_eq!(
            judge(Topology::Names(addresses(&["10.0.0.1"]))),
            "wait: DNS names 10.0.0.2 as the writer and the RDS API names 10.0.0.1"
        );
    }

    #[test]
    fn two_addresses_for_one_writer_are_refused() {
        for kind in [Kind::Cluster, Kind::Instance] {
            let refused = check(kind, &["10.0.0.1", "10.0.0.2"], &["10.0.0.1:5432"]);
            assert!(refused.starts_with("refuse: 2 addresses (10.0.0.1, 10.0.0.2)"), "{refused}");
        }
    }

    #[test]
    fn an_address_that_may_not_be_registered_is_refused_for_every_kind() {
        for (_, kind) in Kind::NAMES {
            let refused = check(kind, &["10.0.0.1", "52.1.2.3"], &["10.0.0.1:5432"]);
            assert!(refused.starts_with("refuse: 52.1.2.3"), "{kind}: {refused}");
        }
    }

    #[test]
    fn a_proxy_keeps_an_absent_address_as_long_as_it_is_healthy() {
        for kind in [Kind::Proxy, Kind::Readers] {
            assert_eq!(check(kind, &["10.0.0.2"], &["10.0.0.1:5432 healthy"]), "register 10.0.0.2:5432");
            assert_eq!(check(kind, &["10.0.0.2"], &["10.0.0.1:5432 healthy", "10.0.0.2:5432 healthy"]), "in sync");
            assert_eq!(
                check(kind, &["10.0.0.2"], &["10.0.0.1:5432 unhealthy", "10.0.0.2:5432 initial"]),
                "deregister 10.0.0.1:5432"
            );
        }
    }

    #[test]
    fn a_host_name_gives_its_old_address_up_once_a_new_one_is_healthy() {
        for kind in [Kind::Hostname, Kind::Address] {
            assert_eq!(check(kind, &["10.0.0.2"], &["10.0.0.1:5432 healthy"]), "register 10.0.0.2:5432");
            assert_eq!(check(kind, &["10.0.0.2"], &["10.0.0.1:5432 healthy", "10.0.0.2:5432 initial"]), "in sync");
            assert_eq!(
                check(kind, &["10.0.0.2"], &["10.0.0.1:5432 healthy", "10.0.0.2:5432 healthy"]),
                "deregister 10.0.0.1:5432"
            );
            assert_eq!(
                check(kind, &["10.0.0.2"], &["10.0.0.1:5432 unhealthy"]),
                "register 10.0.0.2:5432, then deregister 10.0.0.1:5432"
            );
        }
    }

    #[test]
    fn a_healthy_target_on_a_foreign_port_does_not_stay() {
        assert_eq!(
            check(Kind::Proxy, &["10.0.0.1"], &["10.0.0.1:5432 healthy", "10.0.0.2:3307 healthy"]),
            "deregister 10.0.0.2:3307"
        );
    }
}
