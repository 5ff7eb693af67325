//! The path from the consumer to the database, when the link is built here.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;

use super::stack::{
    LOAD_BALANCER, LOAD_BALANCER_GROUP, Stack, TARGET_GROUP, TEMPLATE, attributes, layer, section,
    strings, text,
};
use super::{SECURITY_GROUP, joined};

#[test]
fn the_load_balancer_is_internal_reaches_every_zone_and_has_a_security_group() {
    let load_balancer = Stack::with(&[]).existing("LoadBalancer");
    assert_eq!(load_balancer["Type"], "network");
    assert_eq!(load_balancer["Scheme"], "internal");
    assert_eq!(load_balancer["SecurityGroups"], json!([LOAD_BALANCER_GROUP]));
    assert_eq!(
        load_balancer["Subnets"],
        json!(["subnet-0123456789abcdef0", "subnet-0123456789abcdef1"])
    );
    assert_eq!(
        attributes(&load_balancer["LoadBalancerAttributes"])["load_balancing.cross_zone.enabled"],
        "true"
    );
}

#[test]
fn consumer_ranges_are_enforced_on_privatelink_only_when_asked() {
    let property = "EnforceSecurityGroupInboundRulesOnPrivateLinkTraffic";
    let enforcement = |parameters: &[(&str, &str)]| {
        text(&Stack::with(parameters).existing("LoadBalancer")[property])
    };
    assert_eq!(enforcement(&[]), "off");
    assert_eq!(enforcement(&[("ConsumerCidrs", "10.9.0.0/16")]), "off");
    assert_eq!(
        enforcement(&[("ConsumerCidrs", "10.9.0.0/16"), ("EnforceConsumerCidrs", "true")]),
        "on"
    );
}

#[test]
fn the_load_balancers_group_lets_nobody_in_or_out_until_a_database_adds_its_rules() {
    let group = Stack::with(&[SECURITY_GROUP]).existing("LoadBalancerSecurityGroup");
    assert_eq!(group.get("SecurityGroupIngress"), None);
    let [nowhere] = group["SecurityGroupEgress"].as_array().unwrap().as_slice() else {
        panic!("{group}")
    };
    assert_eq!([&nowhere["IpProtocol"], &nowhere["CidrIp"]], ["tcp", "127.0.0.1/32"]);
}

#[test]
fn the_database_group_lets_the_load_balancer_in() {
    assert_eq!(Stack::with(&[]).resource("DatabaseIngress"), None);
    let ingress = Stack::with(&[SECURITY_GROUP]).existing("DatabaseIngress");
    assert_eq!(ingress["GroupId"], SECURITY_GROUP.1);
    assert_eq!(ingress["SourceSecurityGroupId"], LOAD_BALANCER_GROUP);
    assert_eq!(
        [&ingress["IpProtocol"], &ingress["FromPort"], &ingress["ToPort"]],
        ["tcp", "5432", "5432"]
    );
}

#[test]
fn the_target_group_is_the_functions_to_fill() {
    let group = Stack::with(&[]).existing("TargetGroup");
    assert_eq!(group.get("Targets"), None, "CloudFormation would own the list as well");
    assert_eq!(
        [&group["TargetType"], &group["Protocol"], &group["HealthCheckProtocol"]],
        ["ip", "TCP", "TCP"]
    );
    let attributes = attributes(&group["TargetGroupAttributes"]);
    assert_eq!(attributes["load_balancing.cross_zone.enabled"], "true");
    assert_eq!(attributes["deregistration_delay.connection_termination.enabled"], "true");
    assert_eq!(attributes["deregistration_delay.timeout_seconds"], "120");
}

#[test]
fn mysql_is_checked_rarely_unless_told_otherwise() {
    let interval = |parameters: &[(&str, &str)]| {
        text(&Stack::with(parameters).existing("TargetGroup")["HealthCheckIntervalSeconds"])
    };
    let engines = strings(&TEMPLATE["Parameters"]["DatabaseEngine"]["AllowedValues"]);
    for engine in &engines {
        let expected = if ["mysql", "mariadb"].contains(&engine.as_str()) { "300" } else { "10" };
        assert_eq!(interval(&[("DatabaseEngine", engine)]), expected, "{engine}");
    }
    assert_eq!(
        engines.iter().collect::<BTreeSet<_>>(),
        section("Mappings")["Engine"].as_object().unwrap().keys().collect()
    );
    assert_eq!(
        interval(&[("DatabaseEngine", "mysql"), ("HealthCheckIntervalSeconds", "30")]),
        "30"
    );
}

#[test]
fn the_listener_forwards_to_the_group_on_the_databases_port_or_a_given_one() {
    for (parameters, port) in [(&[][..], "5432"), (&[("ListenerPort", "15432")], "15432")] {
        let stack = Stack::with(parameters);
        let listener = stack.existing("Listener");
        assert_eq!([&listener["Protocol"], &listener["Port"]], ["TCP", port]);
        assert_eq!(listener["LoadBalancerArn"], LOAD_BALANCER);
        assert_eq!(
            listener["DefaultActions"],
            json!([{"Type": "forward", "TargetGroupArn": TARGET_GROUP}])
        );
        assert_eq!(stack.output("ListenerPort"), port);
        let group = stack.existing("TargetGroup");
        assert_eq!([&group["Port"], &group["HealthCheckPort"]], ["5432", "traffic-port"]);
    }
}

#[test]
fn consumers_are_the_allowed_principals_and_are_accepted_by_hand() {
    let stack = Stack::with(&[(
        "AllowedPrincipals",
        "arn:aws:iam::444455556666:root,arn:aws:iam::777788889999:role/x",
    )]);
    let permissions = stack.existing("EndpointServicePermissions");
    assert_eq!(permissions["ServiceId"], "{EndpointService}");
    let expected = ["arn:aws:iam::444455556666:root", "arn:aws:iam::777788889999:role/x"];
    assert_eq!(permissions["AllowedPrincipals"], json!(expected));
    let service = stack.existing("EndpointService");
    assert_eq!(service["AcceptanceRequired"], "true");
    assert_eq!(service["NetworkLoadBalancerArns"], json!([LOAD_BALANCER]));
    assert_eq!(service["Tags"], json!([{"Key": "Name", "Value": "link"}]));
    assert_eq!([service.get("SupportedRegions"), service.get("PrivateDnsName")], [None, None]);

    let parameters =
        [("SupportedRegions", "eu-central-1,us-east-1"), ("PrivateDnsName", "db.example.com")];
    let service = Stack::with(&parameters).existing("EndpointService");
    assert_eq!(service["SupportedRegions"], json!(["eu-central-1", "us-east-1"]));
    assert_eq!(service["PrivateDnsName"], "db.example.com");
}

/// A recreated endpoint service has another name, and holds its load balancer. What a database adds
/// goes with its stack, so that it can be put on the link again.
#[test]
fn deleting_the_stack_leaves_the_whole_link_and_nothing_of_the_database() {
    let retained = section("Resources")
        .iter()
        .filter(|(_, resource)| resource.get("DeletionPolicy").is_some());
    let retained: BTreeMap<_, _> =
        retained.map(|(name, resource)| (name.as_str(), &resource["DeletionPolicy"])).collect();
    let link = layer("infra/link.yaml")["Resources"].as_object().unwrap().iter();
    let tells = |type_name: &str| {
        type_name.starts_with("AWS::SNS::") || type_name.ends_with("ConnectionNotification")
    };
    let link = link.filter(|(_, resource)| !tells(resource["Type"].as_str().unwrap()));
    let link: BTreeSet<_> = link.map(|(name, _)| name.as_str()).chain(["Link"]).collect();
    assert_eq!(link.len(), 5, "{link:?}");
    assert_eq!(retained.keys().copied().collect::<BTreeSet<_>>(), link);
    assert!(retained.values().all(|policy| *policy == "RetainExceptOnCreate"), "{retained:?}");
    assert_eq!(TEMPLATE["Resources"]["EndpointService"]["UpdateReplacePolicy"], "Retain");
}

/// An update of a stack from before the layers replaces no target group: naming a fixed property
/// may count as its change, and a renamed rule would be made twice.
#[test]
fn a_database_from_before_the_layers_keeps_its_target_group_and_its_rules() {
    let stack = joined(&[SECURITY_GROUP, ("ReaderListenerPort", "5433")]);
    for group in ["TargetGroup", "ReaderTargetGroup"] {
        assert_eq!(stack.existing(group).get("IpAddressType"), None, "{group}");
    }
    for name in ["Listener", "ReaderListener", "DatabaseIngress", "JoinedDatabaseEgress"] {
        stack.existing(name);
    }
}

// --- Address families ---

#[test]
fn the_link_and_its_databases_have_the_families_that_are_asked_for() {
    let cases = [
        ("ipv4", "ipv4", &["ipv4"][..], "ipv4"),
        ("dualstack", "dualstack", &["ipv4", "ipv6"], "ipv4"),
        ("ipv6", "dualstack", &["ipv4", "ipv6"], "ipv6"),
    ];
    for (family, load_balancer, service, targets) in cases {
        let parameters = [
            ("IpAddressType", family),
            ("ReaderListenerPort", "5433"),
            ("AllowedCidrs", "2600:1f18::/56"),
        ];
        let stack = Stack::with(&parameters);
        assert_eq!(stack.existing("LoadBalancer")["IpAddressType"], load_balancer, "{family}");
        assert_eq!(
            stack.existing("EndpointService")["SupportedIpAddressTypes"],
            json!(service),
            "{family}"
        );
        for stack in [stack, joined(&parameters)] {
            for group in ["TargetGroup", "ReaderTargetGroup"] {
                let group = stack.existing(group);
                assert_eq!(
                    group.get("IpAddressType").map_or("ipv4".to_owned(), text),
                    targets,
                    "{family}"
                );
            }
        }
    }
}

#[test]
fn a_list_has_the_ranges_of_its_family_and_room_for_all_that_can_be_given() {
    let four: Vec<_> = (1..=10).map(|n| format!("10.{n}.0.0/16")).collect();
    let six: Vec<_> = (1..=10).map(|n| format!("fd00:{n}::/32")).collect();
    let mixed = [&four[..4], &six[..3], &four[4..6]].concat();
    let cases: [(&[String], &[String], &[String]); 5] = [
        (&four, &four, &[]),
        (&six, &[], &six),
        (&four[..1], &four[..1], &[]),
        (&six[..2], &[], &six[..2]),
        (&mixed, &four[..6], &six[..3]),
    ];
    for (given, ipv4, ipv6) in cases {
        let stack = Stack::of(layer("infra/ranges.yaml"), &[("Cidrs", &given.join(","))]);
        for (name, family, expected) in
            [("Ipv4PrefixList", "IPv4", ipv4), ("Ipv6PrefixList", "IPv6", ipv6)]
        {
            let Some(list) = stack.resource(name) else {
                assert!(expected.is_empty(), "{given:?}: no {name}");
                continue;
            };
            assert_eq!(list["AddressFamily"], family);
            let entries: Vec<_> =
                list["Entries"].as_array().unwrap().iter().map(|one| text(&one["Cidr"])).collect();
            assert_eq!(entries, expected, "{given:?}");
            assert_eq!(
                list["MaxEntries"], "10",
                "never what is given: EC2 changes no size together with the entries"
            );
        }
    }
}
