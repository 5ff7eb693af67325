//! What the templates take and what they refuse.

use super::*;

#[test]
fn rules_refuse_what_cannot_work_and_name_the_remedy() {
    let cases: [(Stack, &str); 11] = [
        (
            requester(&[("PeerOwnerId", "444455556666")]),
            "or leave PeerOwnerId empty if it is this account",
        ),
        (requester(&[("PeerRoleArn", ROLE)]), "Give the account of the role in PeerOwnerId"),
        (accepter(&[]), "Before the connection exists, give RequesterPrincipalArn"),
        (
            accepter(&[("RequesterVpcId", "vpc-00000002")]),
            "Before the connection exists, give RequesterPrincipalArn",
        ),
        (accepter(&ASKED[..1]), "Give the VPC that requests the connection in RequesterVpcId"),
        (
            accepter(&[("PeeringConnectionId", CONNECTION)]),
            "Give RouteTableIds for the routes back",
        ),
        (overlap(&[]), "If the VPCs overlap, give AllowedPrincipals"),
        (
            overlap(&[("SecondaryCidr", "100.64.0.0/24")]),
            "If the VPCs overlap, give AllowedPrincipals",
        ),
        (overlap(&PEERED[..1]), "PeeringConnectionId without PeerCidrs"),
        (overlap(&[SERVICE[0], PEERED[0]]), "PeeringConnectionId without PeerCidrs"),
        (overlap(&[SERVICE[0], PEERED[1]]), "PeerCidrs without PeeringConnectionId"),
    ];
    for (stack, remedy) in cases {
        let refusals = stack.refusals();
        assert!(matches!(&*refusals, [one] if one.contains(remedy)), "{remedy}: {refusals:?}");
    }
    let connected = ("PeeringConnectionId", CONNECTION);
    for right in [
        requester(&[]),
        requester(&[("PeerOwnerId", "444455556666"), ("PeerRoleArn", ROLE)]),
        accepter(&ASKED),
        accepter(&[ASKED[0], ASKED[1], connected]),
        accepter(&[connected, ("RouteTableIds", TABLES[0])]),
        accepter(&[connected, ("QuerySecurityGroupId", GROUP)]),
        overlap(&PEERED),
        overlap(&SERVICE),
        overlap(&[PEERED[0], PEERED[1], SERVICE[0]]),
    ] {
        assert_eq!(right.refusals(), [""; 0]);
    }
}

#[test]
fn parameters_take_what_is_right_and_nothing_else() {
    let three = ZONES.join(",");
    let two = &*ZONES[..2].join(",");
    let many_tables = ["rtb-00000001"; 5].join(",");
    let ranges = (
        &["10.0.0.0/16", "10.0.0.0/16,10.1.0.0/24"][..],
        &["0.0.0.0/0", "10.0.0.0", "a", "1.1.1.0/24, 2.2.2.0/24"],
    );
    let principals = (
        &["", PRINCIPAL, "arn:aws:iam::444455556666:role/deploy"][..],
        &[
            "*",
            "444455556666",
            "arn:aws:iam::*:root",
            "arn:aws:iam::444455556666:role/path/deploy",
            "arn:aws:iam::1:root",
        ],
    );
    let cases: [(&Value, &str, &[&str], &[&str]); 16] = [
        (&REQUESTER, "RouteTableIds", &["", TABLES[0]], &["rtb-1", "rtb-00000001,", &many_tables]),
        (&REQUESTER, "PeerVpcId", &["vpc-00000001"], &["", "subnet-00000001"]),
        (&REQUESTER, "PeerCidrs", ranges.0, ranges.1),
        (&REQUESTER, "PeerOwnerId", &["", "444455556666"], &["self", "44445555666"]),
        (&REQUESTER, "PeerRegion", &["", "us-gov-west-1"], &["Ireland"]),
        (&REQUESTER, "PeerRoleArn", &["", ROLE], &["*", PRINCIPAL]),
        (&REQUESTER, "QuerySecurityGroupId", &["", GROUP], &["default"]),
        (&ACCEPTER, "RequesterCidrs", ranges.0, ranges.1),
        (&ACCEPTER, "RequesterPrincipalArn", principals.0, principals.1),
        (&ACCEPTER, "PeeringConnectionId", &["", CONNECTION], &["tgw-00000001"]),
        (
            &OVERLAP,
            "Subnets",
            &[two, &three],
            &["", ZONES[0], "eu-west-1a,eu-west-1b", "a:1.1.1.0/24,b:2.2.2.0/24"],
        ),
        (&OVERLAP, "SecondaryCidr", &["", "100.64.0.0/16"], &["100.64.0.0/10", "100.64.0.0/29"]),
        (&OVERLAP, "AllowedPrincipals", principals.0, principals.1),
        (&OVERLAP, "QuerySecurityGroupId", &[GROUP], &[""]),
        (&OVERLAP, "UnmanagedSecurityGroupId", &["", GROUP], &["default"]),
        (&OVERLAP, "DruidService", &["query", "coordinator", "overlord"], &["", "master"]),
    ];
    for (template, parameter, right, wrong) in cases {
        let definition = &template["Parameters"][parameter];
        right
            .iter()
            .for_each(|value| assert!(takes(definition, value), "{parameter} refuses {value:?}"));
        wrong
            .iter()
            .for_each(|value| assert!(!takes(definition, value), "{parameter} accepts {value:?}"));
    }
}

#[test]
fn every_parameter_is_explained_and_stands_in_one_group() {
    for template in [&*REQUESTER, &*ACCEPTER, &*OVERLAP] {
        let interface = &template["Metadata"]["AWS::CloudFormation::Interface"];
        let groups = interface["ParameterGroups"].as_array().unwrap();
        let mut grouped: Vec<_> =
            groups.iter().flat_map(|group| strings(&group["Parameters"])).collect();
        grouped.sort();
        let parameters = template["Parameters"].as_object().unwrap();
        assert_eq!(
            grouped,
            parameters.keys().cloned().collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>()
        );
        for (name, definition) in parameters {
            assert!(
                definition["Description"].as_str().is_some_and(|words| words.len() > 20),
                "{name} is not described"
            );
            assert!(
                interface["ParameterLabels"][name]["default"].is_string(),
                "{name} has no label"
            );
            let explained = definition.get("AllowedPattern").is_none()
                || definition["ConstraintDescription"].is_string();
            assert!(explained, "a mistake in {name} would be answered with a regular expression");
        }
    }
}
