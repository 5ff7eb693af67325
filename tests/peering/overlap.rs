//! The load balancer for ranges that overlap.

use super::*;

#[test]
fn extra_subnets_are_one_for_each_zone_and_share_a_route_table_of_their_own() {
    for zones in [&ZONES[..2], &ZONES[..]] {
        let list = zones.join(",");
        let stack = overlap(&[&PEERED[..], &[("Subnets", &list)]].concat());
        let subnets = created(&OVERLAP, &stack, "AWS::EC2::Subnet");
        let places = subnets
            .values()
            .map(|s| format!("{}:{}", text(&s["AvailabilityZone"]), text(&s["CidrBlock"])));
        assert_eq!(places.collect::<Vec<_>>(), zones);
        let expected: BTreeSet<_> = subnets.keys().map(|name| format!("{{{name}}}")).collect();
        let associations = created(&OVERLAP, &stack, "AWS::EC2::SubnetRouteTableAssociation");
        assert_eq!(
            associations.values().map(|one| text(&one["SubnetId"])).collect::<BTreeSet<_>>(),
            expected
        );
        assert!(associations.values().all(|one| one["RouteTableId"] == "{RouteTable}"));
        let balanced = strings(&stack.existing("LoadBalancer")["Subnets"]);
        assert_eq!(balanced.into_iter().collect::<BTreeSet<_>>(), expected);
    }
}

#[test]
fn only_the_extra_subnets_have_a_route_to_the_peer() {
    for ranges in [&RANGES[..1], &RANGES[..]] {
        let list = ranges.join(",");
        let stack = overlap(&[("PeeringConnectionId", CONNECTION), ("PeerCidrs", &list)]);
        let expected =
            ranges.iter().map(|range| ["{RouteTable}", range, CONNECTION].map(str::to_owned));
        assert_eq!(routes(&OVERLAP, &stack), expected.collect());
    }
    assert!(routes(&OVERLAP, &overlap(&SERVICE)).is_empty(), "PrivateLink needs no route");
}

#[test]
fn a_secondary_range_is_added_before_its_subnets() {
    let stack = overlap(&[&PEERED[..], &[("SecondaryCidr", "100.64.0.0/24")]].concat());
    let range = json!({"VpcId": "vpc-00000001", "CidrBlock": "100.64.0.0/24"});
    assert_eq!(stack.existing("SecondaryRange"), range);
    for subnet in created(&OVERLAP, &stack, "AWS::EC2::Subnet").values() {
        assert_eq!(
            attributes(&subnet["Tags"])["SecondaryRange"],
            "{SecondaryRange}",
            "nothing else makes it wait"
        );
    }
    assert_eq!(overlap(&PEERED).resource("SecondaryRange"), None);
}

#[test]
fn what_the_peer_routes_is_told_in_the_form_that_the_other_side_takes() {
    let added = ("SecondaryCidr", "100.64.0.0/24");
    let cases = [
        (&[PEERED[0], PEERED[1], added][..], Some("100.64.0.0/24")),
        (&PEERED, None),
        (&[SERVICE[0], added], None),
        (&SERVICE, None),
    ];
    for (parameters, expected) in cases {
        let outputs = overlap(parameters).outputs();
        let told = outputs.get("PeerRoutes").map(String::as_str);
        assert_eq!(told, expected, "{parameters:?}");
        for (template, parameter) in [(&REQUESTER, "PeerCidrs"), (&ACCEPTER, "RequesterCidrs")] {
            let definition = &template["Parameters"][parameter];
            assert!(
                told.is_none_or(|ranges| takes(definition, ranges)),
                "{parameter} refuses {told:?}"
            );
        }
    }
}

#[test]
fn the_load_balancer_is_internal_and_forwards_each_port_to_its_own_target_group() {
    let stack = overlap(&SERVICE);
    let balancer = stack.existing("LoadBalancer");
    assert_eq!([&balancer["Type"], &balancer["Scheme"]], ["network", "internal"]);
    assert_eq!(
        attributes(&balancer["LoadBalancerAttributes"])["load_balancing.cross_zone.enabled"],
        "true"
    );
    assert_eq!(balancer["SecurityGroups"], json!([LOAD_BALANCER_GROUP]));
    for port in QUERY_PORTS {
        let listener = stack.existing(&format!("Listener{port}"));
        let action =
            json!([{"Type": "forward", "TargetGroupArn": format!("{{TargetGroup{port}}}")}]);
        let expected = json!({
            "LoadBalancerArn": LOAD_BALANCER, "Protocol": "TCP", "Port": port,
            "DefaultActions": action,
        });
        assert_eq!(listener, expected);
        let group = stack.existing(&format!("TargetGroup{port}"));
        assert_eq!([&group["Protocol"], &group["TargetType"]], ["TCP", "instance"]);
        assert_eq!(group["Port"], port);
        let attributes = attributes(&group["TargetGroupAttributes"]);
        assert_eq!(attributes["load_balancing.cross_zone.enabled"], "true");
        assert_eq!(
            attributes["preserve_client_ip.enabled"], "false",
            "a node could not answer the client"
        );
    }
    assert_eq!(
        created(&OVERLAP, &stack, "AWS::ElasticLoadBalancingV2::Listener").len(),
        QUERY_PORTS.len()
    );
}

/// What each service has: its ports, its health check, and what a test asks.
const SERVICES: [(&str, &[u16], u16, &str, &str); 3] = [
    ("query", &QUERY_PORTS, 9095, "/health", ":9088/druid/v2/datasources"),
    (
        "coordinator",
        &[8281],
        8281,
        "/druid/coordinator/v1/isLeader",
        ":8281/druid/coordinator/v1/isLeader",
    ),
    ("overlord", &[8290], 8290, "/druid/indexer/v1/isLeader", ":8290/druid/indexer/v1/isLeader"),
];

#[test]
fn the_nodes_are_attached_to_every_target_group_and_detached_from_the_same() {
    for (service, ..) in SERVICES {
        let stack = overlap(&[&SERVICE[..], &[("DruidService", service)]].concat());
        let groups = created(&OVERLAP, &stack, "AWS::ElasticLoadBalancingV2::TargetGroup");
        let groups: Vec<_> = groups.keys().map(|name| format!("{{{name}}}")).collect();
        for (output, verb) in [("AttachCommand", "attach"), ("DetachCommand", "detach")] {
            let expected = format!(
                "for group in AUTO_SCALING_GROUPS; do aws autoscaling \
                 {verb}-load-balancer-target-groups --region eu-west-1 --auto-scaling-group-name \
                 $group --target-group-arns {}; done",
                groups.join(" ")
            );
            assert_eq!(stack.output(output), expected, "{service}");
        }
        assert!(
            stack
                .output("HealthCommand")
                .starts_with(&format!("for group in {}; do", groups.join(" ")))
        );
    }
}

#[test]
fn each_service_has_its_ports_and_a_health_check_that_finds_who_can_serve() {
    for (service, ports, port, path, test) in SERVICES {
        let stack = overlap(&[&SERVICE[..], &PEERED, &[("DruidService", service)]].concat());
        let groups = created(&OVERLAP, &stack, "AWS::ElasticLoadBalancingV2::TargetGroup");
        for group in groups.values() {
            assert_eq!(
                [&group["HealthCheckProtocol"], &group["HealthCheckPath"]],
                ["HTTPS", path],
                "{service}"
            );
            assert_eq!(group["HealthCheckPort"], port, "{service}");
            assert_eq!(
                attributes(&group["TargetGroupAttributes"])["preserve_client_ip.enabled"],
                "false",
                "{service}"
            );
        }
        let listeners = created(&OVERLAP, &stack, "AWS::ElasticLoadBalancingV2::Listener");
        let pairs: BTreeSet<_> = listeners
            .values()
            .map(|listener| {
                let target = text(&listener["DefaultActions"][0]["TargetGroupArn"]);
                let group = &groups[target.trim_matches(['{', '}'])];
                (text(&listener["Port"]), text(&group["Port"]))
            })
            .collect();
        let expected = ports.iter().map(|port| (port.to_string(), port.to_string()));
        assert_eq!(pairs, expected.collect(), "{service}");
        let own = stack.existing("LoadBalancerSecurityGroup");
        let passing = |other: &str| {
            ports.iter().map(|port| ("tcp".to_owned(), *port, other.to_owned())).collect()
        };
        assert_eq!(
            passes(own["SecurityGroupEgress"].as_array().unwrap()),
            passing(GROUP),
            "{service}"
        );
        assert_eq!(
            passes(own["SecurityGroupIngress"].as_array().unwrap()),
            passing(RANGES[0]),
            "{service}"
        );
        let nodes = created(&OVERLAP, &stack, "AWS::EC2::SecurityGroupIngress");
        assert_eq!(passes(nodes.values()), passing(LOAD_BALANCER_GROUP), "{service}");
        assert!(nodes.values().all(|rule| rule["GroupId"] == GROUP), "{service}");
        for output in ["PeerTestCommand", "ConsumerTestCommand"] {
            let asked = stack.output(output);
            assert!(
                asked.starts_with("curl -k -u admin https://") && asked.ends_with(test),
                "{asked}"
            );
        }
    }
    assert_eq!(OVERLAP["Parameters"]["DruidService"]["Default"], "query");
}

#[test]
fn in_imply_cloud_the_load_balancer_joins_its_groups_and_no_rule_is_added_to_them() {
    let unmanaged = "sg-0fedcba9876543211";
    for (service, ..) in SERVICES {
        let stack = overlap(
            &[&PEERED[..], &[("UnmanagedSecurityGroupId", unmanaged), ("DruidService", service)]]
                .concat(),
        );
        let groups = strings(&stack.existing("LoadBalancer")["SecurityGroups"]);
        assert_eq!(groups, [LOAD_BALANCER_GROUP, unmanaged, GROUP]);
        assert!(
            created(&OVERLAP, &stack, "AWS::EC2::SecurityGroupIngress").is_empty(),
            "{service}"
        );
    }
}

#[test]
fn nothing_that_the_vpc_has_is_routed_otherwise() {
    let everything = [&PEERED[..], &SERVICE, &[("SecondaryCidr", "100.64.0.0/24")]].concat();
    let stack = overlap(&everything);
    for kind in ["AWS::EC2::Route", "AWS::EC2::SubnetRouteTableAssociation"] {
        for part in created(&OVERLAP, &stack, kind).values() {
            assert_eq!(
                part["RouteTableId"], "{RouteTable}",
                "another table may have a route that this one is more specific than"
            );
        }
    }
    for template in [&*REQUESTER, &*ACCEPTER] {
        let asked = text(&template["Parameters"]["RouteTableIds"]["Description"]);
        assert!(
            asked.contains("Never a table that already routes one that overlaps it"),
            "{asked}"
        );
    }
}

#[test]
fn the_load_balancer_admits_the_peer_by_range_and_consumers_by_principal() {
    let ingress = |stack: &Stack| {
        let group = stack.existing("LoadBalancerSecurityGroup");
        passes(group["SecurityGroupIngress"].as_array().unwrap())
    };
    assert_eq!(ingress(&overlap(&PEERED)), query_ports([RANGES[0]]));
    let both = RANGES.join(",");
    let peered = [("PeeringConnectionId", CONNECTION), ("PeerCidrs", &*both)];
    assert_eq!(ingress(&overlap(&peered)), query_ports(RANGES));
    let service = overlap(&SERVICE);
    assert!(ingress(&service).is_empty());
    let balancer = service.existing("LoadBalancer");
    assert_eq!(
        balancer["EnforceSecurityGroupInboundRulesOnPrivateLinkTraffic"], "off",
        "no rule names consumers"
    );
}

#[test]
fn there_is_an_endpoint_service_for_those_who_are_allowed_and_only_then() {
    let two = format!("{PRINCIPAL},arn:aws:iam::777788889999:role/consumer");
    for (accepts, acceptance) in [("true", "true"), ("false", "false")] {
        let stack = overlap(&[("AllowedPrincipals", &*two), ("AcceptanceRequired", accepts)]);
        let service = stack.existing("EndpointService");
        assert_eq!(service["NetworkLoadBalancerArns"], json!([LOAD_BALANCER]));
        assert_eq!(service["AcceptanceRequired"], acceptance);
        let permissions = stack.existing("EndpointServicePermissions");
        assert_eq!(strings(&permissions["AllowedPrincipals"]), two.split(',').collect::<Vec<_>>());
        assert_eq!(permissions["ServiceId"], "{EndpointService}");
        assert_eq!(
            stack.output("EndpointServiceName"),
            "com.amazonaws.vpce.eu-west-1.{EndpointService}"
        );
    }
    let peered = overlap(&PEERED);
    for part in ["EndpointService", "EndpointServicePermissions"] {
        assert_eq!(peered.resource(part), None, "{part}");
    }
    assert_eq!(OVERLAP["Parameters"]["AcceptanceRequired"]["Default"], "true");
}

#[test]
fn the_template_says_what_aws_refuses_and_what_is_left() {
    let description = text(&OVERLAP["Description"]);
    assert!(
        description.contains("AWS refuses to peer them: give AllowedPrincipals"),
        "{description}"
    );
    assert!(
        description.contains("already routes the peer's range elsewhere: give PeeringConnectionId"),
        "{description}"
    );
    assert!(
        text(&REQUESTER["Description"]).contains("Check the ranges first (make check-peering)")
    );
}
