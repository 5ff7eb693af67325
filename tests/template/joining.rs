//! A database on a link: what is added to the link, and what of it is left alone.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::stack::{
    LOAD_BALANCER, LOAD_BALANCER_GROUP, READER_TARGET_GROUP, Stack, TARGET_GROUP, layer, owned,
    section, text,
};
use super::{FUNCTION_IN_VPC, PROBING, READERS, SECURITY_GROUP, TEN_RANGES, every_stack, joined};

/// Both families, in lists of the stack's own.
const IPV4: [&str; 2] = ["{Ipv4PrefixList.PrefixListId}", "10.9.0.0/16"];
const IPV6: [&str; 2] = ["{Ipv6PrefixList.PrefixListId}", "fd00:9::/32"];
const LIST: &str = "pl-0123456789abcdef0";

/// Group, port and other side of every rule of this type, all of which are for TCP and one port.
fn rules(stack: &Stack, type_name: &str) -> BTreeSet<(String, String, String)> {
    let of_type = section("Resources").iter().filter(|(_, resource)| resource["Type"] == type_name);
    let rules = of_type.filter_map(|(name, _)| stack.resource(name)).map(|rule| {
        assert!(rule["IpProtocol"] == "tcp" && rule["FromPort"] == rule["ToPort"], "{rule}");
        let sides = [
            "SourcePrefixListId",
            "DestinationPrefixListId",
            "SourceSecurityGroupId",
            "DestinationSecurityGroupId",
        ];
        let other: Vec<_> =
            sides.iter().filter_map(|side| rule.get(side).and_then(Value::as_str)).collect();
        let [other] = other.as_slice() else { panic!("{rule} has not one other side") };
        (text(&rule["GroupId"]), text(&rule["FromPort"]), (*other).to_owned())
    });
    rules.collect()
}

/// Rules of a group, as [`rules`] tells of them.
fn to<'a>(
    group: &str,
    others: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> BTreeSet<(String, String, String)> {
    others
        .into_iter()
        .map(|(port, other)| (group.to_owned(), port.to_owned(), other.to_owned()))
        .collect()
}

const INGRESS: &str = "AWS::EC2::SecurityGroupIngress";
const EGRESS: &str = "AWS::EC2::SecurityGroupEgress";

#[test]
fn the_link_is_as_it_was() {
    let link = layer("infra/link.yaml")["Resources"].as_object().unwrap();
    let mut of_the_link =
        owned(link.keys().map(String::as_str).filter(|name| *name != "OperationsSubscription"));
    let probing = [&PROBING[..], &[SECURITY_GROUP]].concat();
    let consumers = [("ConsumerCidrs", "10.9.0.0/16")];
    let variants = [&[][..], &[READERS], &[SECURITY_GROUP], &FUNCTION_IN_VPC, &consumers, &probing];
    of_the_link.extend(owned(["Link", "Database"]));
    for parameters in variants {
        let [built, joining] =
            [Stack::with(parameters), joined(parameters)].map(|stack| stack.resources());
        assert!(built.is_superset(&of_the_link), "{parameters:?}: {built:?}");
        assert!(joining.is_disjoint(&of_the_link), "{parameters:?}: {joining:?}");
        let missing: BTreeSet<_> = built.difference(&joining).cloned().collect();
        assert_eq!(
            missing, of_the_link,
            "{parameters:?}: everything that follows the database is there as well"
        );
        assert!(
            joining.is_subset(&built),
            "{parameters:?}: the first database of a link is one like all"
        );
    }
}

#[test]
fn the_database_has_a_listener_of_its_own_on_the_load_balancer_that_exists() {
    let stack = joined(&[("ListenerPort", "13306"), ("DatabasePort", "3306"), READERS]);
    for (name, port, group) in
        [("Listener", "13306", TARGET_GROUP), ("ReaderListener", READERS.1, READER_TARGET_GROUP)]
    {
        let expected = json!({
            "LoadBalancerArn": LOAD_BALANCER,
            "Protocol": "TCP",
            "Port": port,
            "DefaultActions": [{"Type": "forward", "TargetGroupArn": group}],
        });
        assert_eq!(stack.existing(name), expected);
    }
    for (name, group) in [("TargetGroup", TARGET_GROUP), ("ReaderTargetGroup", READER_TARGET_GROUP)]
    {
        assert_eq!(stack.existing(name)["Port"], "3306", "{group}");
    }
}

#[test]
fn every_kind_of_database_can_join_and_is_followed_like_the_first() {
    let stacks: Vec<_> = every_stack().collect();
    for pair in stacks.chunks(2) {
        let [(kind, _, built), (_, _, joining)] = pair else { panic!("a stack of each sort") };
        // A nested stack is what it holds.
        let parts = joining.resources().into_iter();
        for part in parts.filter(|part| joining.nested(part).is_none()) {
            assert_eq!(joining.resource(&part), built.resource(&part), "{kind}: {part}");
        }
    }
}

#[test]
fn the_group_of_the_load_balancer_gets_rules_for_this_database() {
    let [four, six] = [IPV4[0], IPV6[0]];
    let ports = ("ListenerPort", "15432");
    for stack_of in [Stack::with, joined] {
        let stack = stack_of(&[ports, ("DatabasePort", "3306"), ("DatabaseCidrs", "10.0.1.9/32")]);
        assert_eq!(rules(&stack, EGRESS), to(LOAD_BALANCER_GROUP, [("3306", four)]));
        assert_eq!(rules(&stack, INGRESS), BTreeSet::new());

        for (consumers, lists) in [
            (IPV4[1].to_owned(), &[four][..]),
            (IPV6[1].to_owned(), &[six]),
            (format!("{},{}", IPV4[1], IPV6[1]), &[four, six]),
        ] {
            let stack = stack_of(&[ports, ("ConsumerCidrs", &consumers)]);
            let expected = lists.iter().map(|list| ("15432", *list));
            assert_eq!(rules(&stack, INGRESS), to(LOAD_BALANCER_GROUP, expected), "{consumers}");
        }

        let by_group = stack_of(&[SECURITY_GROUP, ("DatabaseCidrs", ""), ports]);
        assert_eq!(rules(&by_group, EGRESS), to(LOAD_BALANCER_GROUP, [("5432", SECURITY_GROUP.1)]));
        let lets_in = to(SECURITY_GROUP.1, [("5432", LOAD_BALANCER_GROUP)]);
        assert_eq!(rules(&by_group, INGRESS), lets_in, "the database lets it in");
        let both = stack_of(&[SECURITY_GROUP]);
        assert_eq!(
            rules(&both, EGRESS),
            to(LOAD_BALANCER_GROUP, [("5432", SECURITY_GROUP.1), ("5432", four)])
        );

        let server = stack_of(&[("IpAddressType", "ipv6"), ("DatabaseCidrs", IPV6[1])]);
        assert_eq!(rules(&server, EGRESS), to(LOAD_BALANCER_GROUP, [("5432", six)]));
    }
    let none = joined(&[("DatabaseCidrs", "")]);
    assert_eq!([rules(&none, EGRESS), rules(&none, INGRESS)], [BTreeSet::new(), BTreeSet::new()]);
}

#[test]
fn a_list_that_exists_takes_the_place_of_ranges() {
    let lists =
        [("ConsumerPrefixListId", LIST), ("DatabasePrefixListId", LIST), ("DatabaseCidrs", "")];
    let stack = joined(&[&lists[..], &[READERS]].concat());
    assert_eq!(rules(&stack, EGRESS), to(LOAD_BALANCER_GROUP, [("5432", LIST)]));
    assert_eq!(
        rules(&stack, INGRESS),
        to(LOAD_BALANCER_GROUP, [("5432", LIST), (READERS.1, LIST)])
    );
    assert!(stack.nested("Consumers").is_none() && stack.nested("DatabaseNetworks").is_none());
}

#[test]
fn the_ranges_stand_in_lists_and_nowhere_else() {
    let ten = TEN_RANGES.join(",");
    let stack = joined(&[("ConsumerCidrs", &ten), ("DatabaseCidrs", IPV6[1]), READERS]);
    for (name, list, expected) in [
        ("Consumers", "Ipv4PrefixList", &TEN_RANGES[..]),
        ("DatabaseNetworks", "Ipv6PrefixList", &IPV6[1..]),
    ] {
        let list = stack.nested(name).unwrap().existing(list);
        let entries: Vec<_> =
            list["Entries"].as_array().unwrap().iter().map(|one| text(&one["Cidr"])).collect();
        assert_eq!(entries, expected, "{name}");
    }
    let with_ranges: Vec<_> = stack
        .resources()
        .into_iter()
        .filter(|name| name.contains("gress") && stack.existing(name).to_string().contains("10.1."))
        .collect();
    assert!(with_ranges.is_empty(), "{with_ranges:?}");
}

#[test]
fn consumers_are_let_in_on_the_readers_port_as_well() {
    let parameters = [("ConsumerCidrs", &*format!("{},{}", IPV4[1], IPV6[1])), READERS];
    let [four, six] = [IPV4[0], IPV6[0]];
    let expected = [("5432", four), ("5432", six), (READERS.1, four), (READERS.1, six)];
    for stack in [Stack::with(&parameters), joined(&parameters)] {
        assert_eq!(rules(&stack, INGRESS), to(LOAD_BALANCER_GROUP, expected));
    }
}
