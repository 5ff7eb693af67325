//! A database on a link that exists: what is added to the link, and what of it is left alone.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::stack::{READER_TARGET_GROUP, Stack, TARGET_GROUP, owned, section, text};
use super::{
    ASKING, FUNCTION_IN_VPC, LOAD_BALANCER, LOAD_BALANCER_GROUP, READERS, SECURITY_GROUP, SIX_RANGES, every_stack,
    joined,
};

/// What only a link that is built has.
const LINK: [&str; 5] = [
    "ConnectionNotification",
    "EndpointService",
    "EndpointServicePermissions",
    "LoadBalancer",
    "LoadBalancerSecurityGroup",
];

/// Group, port and other side of every rule of this type, all of which are for TCP and one port.
fn rules(stack: &Stack, type_name: &str) -> Vec<(String, String, String)> {
    let of_type = section("Resources").iter().filter(|(_, resource)| resource["Type"] == type_name);
    let rules = of_type.filter_map(|(name, _)| stack.resource(name)).map(|rule| {
        assert!(rule["IpProtocol"] == "tcp" && rule["FromPort"] == rule["ToPort"], "{rule}");
        let sides = ["CidrIp", "SourceSecurityGroupId", "DestinationSecurityGroupId"];
        let other: Vec<_> = sides.iter().filter_map(|side| rule.get(side).and_then(Value::as_str)).collect();
        let [other] = other.as_slice() else { panic!("{rule} has not one other side") };
        (text(&rule["GroupId"]), text(&rule["FromPort"]), (*other).to_owned())
    });
    let mut rules: Vec<_> = rules.collect();
    rules.sort();
    rules
}

/// Rules of a group for one port, as [`rules`] tells of them.
fn to<'a>(group: &str, port: &str, others: impl IntoIterator<Item = &'a str>) -> Vec<(String, String, String)> {
    others.into_iter().map(|other| (group.to_owned(), port.to_owned(), other.to_owned())).collect()
}

const INGRESS: &str = "AWS::EC2::SecurityGroupIngress";
const EGRESS: &str = "AWS::EC2::SecurityGroupEgress";

#[test]
fn the_link_is_as_it_was() {
    let asking = [&ASKING[..], &[SECURITY_GROUP]].concat();
    let consumers = [("ConsumerCidrs", "10.9.0.0/16")];
    let variants = [&[][..], &[READERS], &[SECURITY_GROUP], &FUNCTION_IN_VPC, &consumers, &asking];
    for parameters in variants {
        let [built, joining] = [Stack::with(parameters), joined(parameters)].map(|stack| stack.resources());
        let of_the_link = owned(LINK);
        assert!(built.is_superset(&of_the_link), "{parameters:?}: {built:?}");
        assert!(joining.is_disjoint(&of_the_link), "{parameters:?}: {joining:?}");
        let added: BTreeSet<_> = joining.difference(&built).collect();
        assert!(added.iter().all(|name| name.starts_with("Joined")), "{parameters:?}: {added:?}");
        let missing: BTreeSet<_> = built.difference(&joining).cloned().collect();
        assert_eq!(missing, of_the_link, "{parameters:?}: everything that follows the database is there as well");
    }
    for stack in [joined(&[]), joined(&[READERS, SECURITY_GROUP, ("ConsumerCidrs", "10.9.0.0/16")])] {
        let resolved: String = stack.resources().iter().map(|name| stack.existing(name).to_string()).collect();
        let named: Vec<_> = LINK.iter().filter(|name| resolved.contains(&format!("{{{name}"))).collect();
        assert!(named.is_empty(), "names what does not exist: {named:?}");
    }
}

#[test]
fn the_database_has_a_listener_of_its_own_on_the_load_balancer_that_exists() {
    let stack = joined(&[("ListenerPort", "13306"), ("DatabasePort", "3306"), READERS]);
    for (name, port, group) in [("Listener", "13306", TARGET_GROUP), ("ReaderListener", READERS.1, READER_TARGET_GROUP)]
    {
        let expected = json!({
            "LoadBalancerArn": LOAD_BALANCER,
            "Protocol": "TCP",
            "Port": port,
            "DefaultActions": [{"Type": "forward", "TargetGroupArn": group}],
        });
        assert_eq!(stack.existing(name), expected);
    }
    for (name, group) in [("TargetGroup", TARGET_GROUP), ("ReaderTargetGroup", READER_TARGET_GROUP)] {
        assert_eq!(stack.existing(name)["Port"], "3306", "{group}");
    }
}

#[test]
fn every_kind_of_database_can_join_and_is_followed_like_the_first() {
    let followed = ["EventRule", "EventSubscription", "FunctionRole", "Schedule", "TargetGroup", "TopicSubscription"];
    let stacks: Vec<_> = every_stack().collect();
    for pair in stacks.chunks(2) {
        let [(kind, _, built), (_, _, joining)] = pair else { panic!("a stack of each sort") };
        for part in followed {
            assert_eq!(joining.resource(part), built.resource(part), "{kind}: {part}");
        }
    }
}

#[test]
fn the_group_of_the_load_balancer_gets_rules_for_this_database() {
    let server = "10.0.1.9/32";
    let ports = [("DatabasePort", "3306"), ("ListenerPort", "13306"), ("DatabaseCidrs", server)];
    let stack = joined(&ports);
    assert_eq!(rules(&stack, EGRESS), to(LOAD_BALANCER_GROUP, "3306", [server]));
    assert_eq!(rules(&stack, INGRESS), []);

    let six = SIX_RANGES.join(",");
    let stack = joined(&[("ListenerPort", "15432"), ("ConsumerCidrs", &six), ("DatabaseCidrs", &six)]);
    assert_eq!(rules(&stack, EGRESS), to(LOAD_BALANCER_GROUP, "5432", SIX_RANGES));
    assert_eq!(rules(&stack, INGRESS), to(LOAD_BALANCER_GROUP, "15432", SIX_RANGES));
    let two = joined(&[("ConsumerCidrs", &SIX_RANGES[..2].join(","))]);
    assert_eq!(rules(&two, INGRESS), to(LOAD_BALANCER_GROUP, "5432", SIX_RANGES[..2].iter().copied()));

    let stack = joined(&[SECURITY_GROUP, ("DatabaseCidrs", ""), ("ListenerPort", "15432")]);
    assert_eq!(rules(&stack, EGRESS), to(LOAD_BALANCER_GROUP, "5432", [SECURITY_GROUP.1]));
    assert_eq!(rules(&stack, INGRESS), to(SECURITY_GROUP.1, "5432", [LOAD_BALANCER_GROUP]), "the database lets it in");

    let stack = joined(&[("DatabaseCidrs", "")]);
    assert_eq!([rules(&stack, EGRESS), rules(&stack, INGRESS)], [[], []], "EC2 refuses a rule that exists");
}

#[test]
fn a_link_that_is_built_has_its_rules_in_its_group() {
    let six = SIX_RANGES.join(",");
    let stack = Stack::with(&[("ConsumerCidrs", &six), ("DatabaseCidrs", &six), SECURITY_GROUP]);
    assert_eq!(rules(&stack, EGRESS), []);
    assert_eq!(rules(&stack, INGRESS), to(SECURITY_GROUP.1, "5432", ["{LoadBalancerSecurityGroup}"]));
}

#[test]
fn consumers_are_let_in_on_the_readers_port_as_well() {
    let six = SIX_RANGES.join(",");
    let parameters = [("ConsumerCidrs", &*six), READERS];
    let own = to("{LoadBalancerSecurityGroup}", READERS.1, SIX_RANGES);
    assert_eq!(rules(&Stack::with(&parameters), INGRESS), own);
    let existing = [to(LOAD_BALANCER_GROUP, "5432", SIX_RANGES), to(LOAD_BALANCER_GROUP, READERS.1, SIX_RANGES)];
    assert_eq!(rules(&joined(&parameters), INGRESS), existing.concat());
}
