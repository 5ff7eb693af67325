//! The load balancer for ranges that overlap.

use super::*;

#[test]
fn extra_subnets_are_one_for_each_zone_and_share_a_route_table_of_their_own() {
    for zones in [&ZONES[..2], &ZONES[..]] {
        let list = zones.join(",");
        let stack = overlap(&[&PEERED[..], &[("Subnets", &list)]].concat());
        let subnets = created(&OVERLAP, &stack, "AWS::EC2::Subnet");
        let places = subnets.values().map(|s| format!("{}:{}", text(&s["AvailabilityZone"]), text(&s["CidrBlock"])));
        assert_eq!(places.collect::<Vec<_>>(), zones);
        let expected: BTreeSet<_> = subnets.keys().map(|name| format!("{{{name}}}")).collect();
        let associations = created(&OVERLAP, &stack, "AWS::EC2::SubnetRouteTableAssociation");
        assert_eq!(associations.values().map(|one| text(&one["SubnetId"])).collect::<BTreeSet<_>>(), expected);
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
        let expected = ranges.iter().map(|range| ["{RouteTable}", range, CONNECTION].map(str::to_owned));
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
        assert_eq!(attributes(&subnet["Tags"])["SecondaryRange"], "{SecondaryRange}", "nothing else makes it wait");
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
            assert!(told.is_none_or(|ranges| takes(definition, ranges)), "{parameter} refuses {told:?}");
        }
    }
}

#[test]
fn the_load_balancer_is_internal_and_forwards_each_port_to_its_own_target_group() {
    let stack = overlap(&SERVICE);
    let balancer = stack.existing("LoadBalancer");
    assert_eq!([&balancer["Type"], &balancer["Scheme"]], ["network", "internal"]);
    assert_eq!(attributes(&balancer["LoadBalancerAttributes"])["load_balancing.cross_zone.enabled"], "true");
    assert_eq!(balancer["SecurityGroups"], json!([LOAD_BALANCER_GROUP]));
    for port in QUERY_PORTS {
        let listener = stack.existing(&format!("Listener{port}"));
        let action = json!([{"Type": "forward", "TargetGroupArn": format!("{{TargetGroup{port}}}")}]);
        let expected =
            json!({"LoadBalancerArn": LOAD_BALANCER, "Protocol": "TCP", "Port": port, "DefaultActions": action});
        assert_eq!(listener, expected);
        let group = stack.existing(&format!("TargetGroup{port}"));
        assert_eq!([&group["Protocol"], &group["TargetType"]], ["TCP", "instance"]);
        assert_eq!(group["Port"], port);
        let attributes = attributes(&group["TargetGroupAttributes"]);
        assert_eq!(attributes["load_balancing.cross_zone.enabled"], "true");
        assert_eq!(attributes["preserve_client_ip.enabled"], "false", "a node could not answer the client");
    }
    assert_eq!(created(&OVERLAP, &stack, "AWS::ElasticLoadBalancingV2::Listener").len(), QUERY_PORTS.len());
}

#[test]
fn the_query_nodes_are_attached_to_every_target_group_and_detached_from_the_same() {
    let stack = overlap(&SERVICE);
    let groups = created(&OVERLAP, &stack, "AWS::ElasticLoadBalancingV2::TargetGroup");
    let groups: Vec<_> = groups.keys().map(|name| format!("{{{name}}}")).collect();
    for (output, verb) in [("AttachCommand", "attach"), ("DetachCommand", "detach")] {
        let expected = format!(
            "aws autoscaling {verb}-load-balancer-target-groups --region eu-west-1 --auto-scaling-group-name GROUP \
             --target-group-arns {}",
            groups.join(" ")
        );
        assert_eq!(stack.output(output), expected);
    }
}

#[test]
fn the_health_check_is_https_on_the_port_of_what_is_asked() {
    let checks = [
        ("query", 9095, "/health", &[][..]),
        ("coordinator", 8281, "/druid/coordinator/v1/isLeader", &[8281]),
        ("overlord", 8290, "/druid/indexer/v1/isLeader", &[8290]),
    ];
    for (check, port, path, more) in checks {
        let stack = overlap(&[&SERVICE[..], &[("HealthCheck", check)]].concat());
        for group in created(&OVERLAP, &stack, "AWS::ElasticLoadBalancingV2::TargetGroup").values() {
            assert_eq!([&group["HealthCheckProtocol"], &group["HealthCheckPath"]], ["HTTPS", path], "{check}");
            assert_eq!(group["HealthCheckPort"], port, "{check}");
        }
        let own = stack.existing("LoadBalancerSecurityGroup");
        assert_eq!(passes(own["SecurityGroupEgress"].as_array().unwrap()), query_ports([GROUP], more), "{check}");
        let nodes = created(&OVERLAP, &stack, "AWS::EC2::SecurityGroupIngress");
        assert_eq!(passes(nodes.values()), query_ports([LOAD_BALANCER_GROUP], more), "{check}");
        assert!(nodes.values().all(|rule| rule["GroupId"] == GROUP), "{check}");
    }
    assert_eq!(OVERLAP["Parameters"]["HealthCheck"]["Default"], "query");
}

#[test]
fn the_load_balancer_admits_the_peer_by_range_and_consumers_by_principal() {
    let ingress = |stack: &Stack| {
        let group = stack.existing("LoadBalancerSecurityGroup");
        passes(group["SecurityGroupIngress"].as_array().unwrap())
    };
    assert_eq!(ingress(&overlap(&PEERED)), query_ports([RANGES[0]], &[]));
    let both = RANGES.join(",");
    let peered = [("PeeringConnectionId", CONNECTION), ("PeerCidrs", &*both)];
    assert_eq!(ingress(&overlap(&peered)), query_ports(RANGES, &[]));
    let service = overlap(&SERVICE);
    assert!(ingress(&service).is_empty());
    let balancer = service.existing("LoadBalancer");
    assert_eq!(balancer["EnforceSecurityGroupInboundRulesOnPrivateLinkTraffic"], "off", "no rule names consumers");
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
        assert_eq!(stack.output("EndpointServiceName"), "com.amazonaws.vpce.eu-west-1.{EndpointService}");
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
    assert!(description.contains("AWS refuses to peer them: give AllowedPrincipals"), "{description}");
    assert!(text(&REQUESTER["Description"]).contains("Check the ranges first (make check-peering)"));
}
