//! What `infra/peering*.yaml` and `infra/check_peering.py` promise: VPC peering as Imply's guide for its query nodes asks
//! for it, as the owner's document states it.

// In a test a failed unwrap is the failure that it reports.
#![allow(clippy::unwrap_used)]

mod stack;

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use std::sync::LazyLock;

use anyhow::{Context, Result, ensure};
use lab::aws::Aws;
use lab::cloudformation::Template;
use lab::process::Program;
use lab::progress::Quiet;
use lab::workspace::{Run, venv_program};
use serde_json::{Map, Value, json};
use stack::{Stack, attributes, load, owned, root, strings, takes, text};

/// The ports of the query nodes.
const QUERY_PORTS: [u16; 3] = [8888, 9088, 9095];

const TABLES: [&str; 4] = ["rtb-00000001", "rtb-00000002", "rtb-00000003", "rtb-00000004"];
const RANGES: [&str; 2] = ["172.20.0.0/20", "100.64.0.0/24"];
const GROUP: &str = "sg-0123456789abcdef0";
const CONNECTION: &str = "pcx-0123456789abcdef0";
const ROLE: &str = "arn:aws:iam::444455556666:role/peering-AccepterRole";
const PRINCIPAL: &str = "arn:aws:iam::444455556666:root";
const ZONES: [&str; 3] = ["eu-west-1a:100.64.0.0/28", "eu-west-1b:100.64.0.16/28", "eu-west-1c:100.64.0.32/28"];

const PEERED: [(&str, &str); 2] = [("PeeringConnectionId", CONNECTION), ("PeerCidrs", RANGES[0])];
const SERVICE: [(&str, &str); 1] = [("AllowedPrincipals", PRINCIPAL)];
const ASKED: [(&str, &str); 2] = [("RequesterPrincipalArn", PRINCIPAL), ("RequesterVpcId", "vpc-00000002")];

static REQUESTER: LazyLock<Value> = LazyLock::new(|| load("infra/peering.yaml"));
static ACCEPTER: LazyLock<Value> = LazyLock::new(|| load("infra/peering-accepter.yaml"));
static OVERLAP: LazyLock<Value> = LazyLock::new(|| load("infra/peering-overlap.yaml"));

/// A stack with these parameters, and for the others what every stack needs.
fn with(template: &'static Value, given: &[(&'static str, &str)], base: &[(&'static str, &'static str)]) -> Stack {
    let base = base.iter().filter(|(name, _)| !given.iter().any(|(other, _)| other == name));
    Stack::of(template, &given.iter().copied().chain(base.copied()).collect::<Vec<_>>())
}

fn requester(given: &[(&'static str, &str)]) -> Stack {
    with(&REQUESTER, given, &[("VpcId", "vpc-00000001"), ("PeerVpcId", "vpc-00000002"), ("PeerCidrs", RANGES[0])])
}

fn accepter(given: &[(&'static str, &str)]) -> Stack {
    with(&ACCEPTER, given, &[("VpcId", "vpc-00000001"), ("RequesterCidrs", RANGES[0])])
}

fn overlap(given: &[(&'static str, &str)]) -> Stack {
    let zones = ZONES[..2].join(",").leak();
    with(&OVERLAP, given, &[("VpcId", "vpc-00000001"), ("Subnets", zones), ("QuerySecurityGroupId", GROUP)])
}

/// The resources of a type that a stack creates.
fn created(template: &Value, stack: &Stack, type_name: &str) -> Map<String, Value> {
    let resources = template["Resources"].as_object().unwrap().iter().filter(|(_, body)| body["Type"] == type_name);
    resources.filter_map(|(name, _)| Some((name.clone(), stack.resource(name)?))).collect()
}

/// Where the routes of a stack lead: the table, the range and the connection.
fn routes(template: &Value, stack: &Stack) -> BTreeSet<[String; 3]> {
    let routes = created(template, stack, "AWS::EC2::Route");
    let places = routes.values().map(|route| {
        ["RouteTableId", "DestinationCidrBlock", "VpcPeeringConnectionId"].map(|property| text(&route[property]))
    });
    places.collect()
}

/// What rules of a security group let through: the protocol, the port and who is on the other side.
fn passes<'a>(rules: impl IntoIterator<Item = &'a Value>) -> BTreeSet<(String, u16, String)> {
    let passes = rules.into_iter().map(|rule| {
        let ports = ["FromPort", "ToPort"].map(|end| text(&rule[end]).parse::<u16>().unwrap());
        assert_eq!(ports[0], ports[1], "{rule}");
        let others = ["CidrIp", "SourceSecurityGroupId", "DestinationSecurityGroupId"];
        let other = others.iter().find_map(|other| rule.get(other)).unwrap();
        (text(&rule["IpProtocol"]), ports[0], text(other))
    });
    passes.collect()
}

/// The query ports, and these, from or to each of the others.
fn query_ports<'a>(others: impl IntoIterator<Item = &'a str>, more: &[u16]) -> BTreeSet<(String, u16, String)> {
    let ports = |other: &'a str| QUERY_PORTS.iter().chain(more).map(move |port| ("tcp".into(), *port, other.into()));
    others.into_iter().flat_map(ports).collect()
}

// --- Peering ---

#[test]
fn routes_lead_both_ways_in_every_route_table() {
    for tables in (0..=TABLES.len()).map(|count| &TABLES[..count]) {
        for ranges in [&RANGES[..1], &RANGES[..]] {
            let lists = (tables.join(","), ranges.join(","));
            let stack = requester(&[("RouteTableIds", &lists.0), ("PeerCidrs", &lists.1)]);
            let expected = |connection: &str| -> BTreeSet<_> {
                let pairs = tables.iter().flat_map(|table| ranges.iter().map(move |range| (table, range)));
                pairs.map(|(table, range)| [*table, *range, connection].map(str::to_owned)).collect()
            };
            assert_eq!(routes(&REQUESTER, &stack), expected("{PeeringConnection}"));
            let back = [("RouteTableIds", &*lists.0), ("RequesterCidrs", &*lists.1)];
            let connected = accepter(&[&back[..], &[("PeeringConnectionId", CONNECTION)]].concat());
            assert_eq!(routes(&ACCEPTER, &connected), expected(CONNECTION));
        }
    }
}

#[test]
fn the_side_of_the_query_nodes_admits_the_other_on_the_query_ports() {
    let both = RANGES.join(",");
    let ingress = |template: &Value, stack: &Stack| created(template, stack, "AWS::EC2::SecurityGroupIngress");
    for ranges in [RANGES[0], &*both] {
        let host = [("QuerySecurityGroupId", GROUP)];
        let (here, there) =
            ([("PeerCidrs", ranges)], [("RequesterCidrs", ranges), ("PeeringConnectionId", CONNECTION)]);
        let sides: [(&Value, Stack); 2] = [
            (&REQUESTER, requester(&[&host[..], &here].concat())),
            (&ACCEPTER, accepter(&[&host[..], &there].concat())),
        ];
        for (template, stack) in &sides {
            let rules = ingress(template, stack);
            assert_eq!(passes(rules.values()), query_ports(ranges.split(','), &[]));
            assert!(rules.values().all(|rule| rule["GroupId"] == GROUP));
            assert!(created(template, stack, "AWS::EC2::SecurityGroupEgress").is_empty());
        }
        assert!(ingress(&REQUESTER, &requester(&here)).is_empty(), "the query nodes are over there");
        assert!(ingress(&ACCEPTER, &accepter(&there)).is_empty(), "the query nodes are over there");
    }
}

#[test]
fn the_connection_is_what_was_asked_for() {
    let within =
        json!({"VpcId": "vpc-00000001", "PeerVpcId": "vpc-00000002", "Tags": [{"Key": "Name", "Value": "link"}]});
    assert_eq!(requester(&[]).existing("PeeringConnection"), within);
    let mut across = within.clone();
    for (name, value) in [("PeerOwnerId", "444455556666"), ("PeerRegion", "us-east-1"), ("PeerRoleArn", ROLE)] {
        across[name] = value.into();
    }
    let given = [("PeerOwnerId", "444455556666"), ("PeerRegion", "us-east-1"), ("PeerRoleArn", ROLE)];
    assert_eq!(requester(&given).existing("PeeringConnection"), across);
}

#[test]
fn the_accepters_role_accepts_one_vpc_into_one_vpc_for_one_principal() {
    for (region, expected) in [("", "eu-west-1"), ("us-east-1", "us-east-1")] {
        let role = accepter(&[&ASKED[..], &[("RequesterRegion", region)]].concat()).existing("AccepterRole");
        let trust = json!({
            "Version": "2012-10-17",
            "Statement": [{"Effect": "Allow", "Principal": {"AWS": PRINCIPAL}, "Action": "sts:AssumeRole"}],
        });
        assert_eq!(role["AssumeRolePolicyDocument"], trust);
        let accept = json!({
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Sid": "IntoThisVpc",
                    "Effect": "Allow",
                    "Action": "ec2:AcceptVpcPeeringConnection",
                    "Resource": "arn:aws:ec2:eu-west-1:111122223333:vpc/vpc-00000001",
                },
                {
                    "Sid": "FromThatVpc",
                    "Effect": "Allow",
                    "Action": "ec2:AcceptVpcPeeringConnection",
                    "Resource": "arn:aws:ec2:eu-west-1:111122223333:vpc-peering-connection/*",
                    "Condition": {"ArnEquals": {
                        "ec2:AccepterVpc": "arn:aws:ec2:eu-west-1:111122223333:vpc/vpc-00000001",
                        "ec2:RequesterVpc": format!("arn:aws:ec2:{expected}:444455556666:vpc/vpc-00000002"),
                    }},
                },
            ],
        });
        assert_eq!(role["Policies"], json!([{"PolicyName": "accept", "PolicyDocument": accept}]));
        assert_eq!(role.get("ManagedPolicyArns"), None);
    }
    let by_hand = accepter(&[("PeeringConnectionId", CONNECTION), ("RouteTableIds", TABLES[0])]);
    assert_eq!(by_hand.resource("AccepterRole"), None);
}

#[test]
fn before_there_is_a_connection_there_is_only_the_role() {
    let lists = [("RouteTableIds", "rtb-00000001,rtb-00000002"), ("QuerySecurityGroupId", GROUP)];
    let stack = accepter(&[&ASKED[..], &lists].concat());
    let resources = ACCEPTER["Resources"].as_object().unwrap().keys();
    assert_eq!(resources.filter(|name| stack.resource(name).is_some()).collect::<Vec<_>>(), ["AccepterRole"]);
}

#[test]
fn the_outputs_are_the_next_steps() {
    let stack = requester(&[]);
    let remote = requester(&[("PeerRegion", "us-east-1")]);
    let options = "aws ec2 modify-vpc-peering-connection-options --region";
    let id = "--vpc-peering-connection-id {PeeringConnection}";
    let dns = "connection-options AllowDnsResolutionFromRemoteVpc=true";
    assert_eq!(stack.output("PeeringConnectionId"), "{PeeringConnection}");
    assert_eq!(stack.output("RequesterDnsCommand"), format!("{options} eu-west-1 {id} --requester-peering-{dns}"));
    assert_eq!(stack.output("AccepterDnsCommand"), format!("{options} eu-west-1 {id} --accepter-peering-{dns}"));
    assert_eq!(remote.output("RequesterDnsCommand"), format!("{options} eu-west-1 {id} --requester-peering-{dns}"));
    assert_eq!(remote.output("AccepterDnsCommand"), format!("{options} us-east-1 {id} --accepter-peering-{dns}"));
    let accept = stack.output("AccepterCommand");
    assert!(
        accept.contains("infra/peering-accepter.yaml") && accept.ends_with("PeeringConnectionId={PeeringConnection}")
    );
    let state = stack.output("StateCommand");
    assert!(state.starts_with("aws ec2 describe-vpc-peering-connections --region eu-west-1"), "{state}");

    let asked = accepter(&ASKED);
    let given: BTreeMap<_, _> = asked.output("RequesterParameters").split(' ').map(pair).collect();
    let names = ["PeerVpcId", "PeerOwnerId", "PeerRegion"].map(|name| given[name].clone());
    assert_eq!(names, ["vpc-00000001", "111122223333", "eu-west-1"]);
    assert_eq!([&given["PeerRoleArn"], &asked.output("RoleArn")], ["{AccepterRole.Arn}"; 2]);
    let known = REQUESTER["Parameters"].as_object().unwrap();
    assert!(given.keys().all(|name| known.contains_key(name)), "{given:?}");

    for template in [&*REQUESTER, &*ACCEPTER] {
        let test = text(&template["Outputs"]["TestCommand"]["Value"]);
        assert!(QUERY_PORTS.iter().all(|port| test.contains(&port.to_string())), "{test}");
    }
}

fn pair(text: &str) -> (String, String) {
    let (name, value) = text.split_once('=').unwrap();
    (name.to_owned(), value.to_owned())
}

// --- Ranges that overlap ---

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
    assert_eq!(stack.output("PeerRoutes"), "100.64.0.0/24");
    for subnet in created(&OVERLAP, &stack, "AWS::EC2::Subnet").values() {
        assert_eq!(attributes(&subnet["Tags"])["SecondaryRange"], "{SecondaryRange}", "nothing else makes it wait");
    }
    assert_eq!(overlap(&PEERED).resource("SecondaryRange"), None);
}

#[test]
fn the_load_balancer_is_internal_and_forwards_each_port_to_its_own_target_group() {
    let stack = overlap(&SERVICE);
    let balancer = stack.existing("LoadBalancer");
    assert_eq!([&balancer["Type"], &balancer["Scheme"]], ["network", "internal"]);
    assert_eq!(attributes(&balancer["LoadBalancerAttributes"])["load_balancing.cross_zone.enabled"], "true");
    assert_eq!(balancer["SecurityGroups"], json!(["{LoadBalancerSecurityGroup}"]));
    for port in QUERY_PORTS {
        let listener = stack.existing(&format!("Listener{port}"));
        let action = json!([{"Type": "forward", "TargetGroupArn": format!("{{TargetGroup{port}}}")}]);
        let expected =
            json!({"LoadBalancerArn": "{LoadBalancer}", "Protocol": "TCP", "Port": port, "DefaultActions": action});
        assert_eq!(listener, expected);
        let group = stack.existing(&format!("TargetGroup{port}"));
        assert_eq!([&group["Protocol"], &group["TargetType"]], ["TCP", "instance"]);
        assert_eq!(group["Port"], port);
        let attributes = attributes(&group["TargetGroupAttributes"]);
        assert_eq!(attributes["load_balancing.cross_zone.enabled"], "true");
        assert_eq!(attributes["preserve_client_ip.enabled"], "false", "a node could not answer the client");
    }
    assert_eq!(created(&OVERLAP, &stack, "AWS::ElasticLoadBalancingV2::Listener").len(), QUERY_PORTS.len());
    let attach = stack.output("AttachCommand");
    assert!(attach.starts_with("aws autoscaling attach-load-balancer-target-groups --region eu-west-1"), "{attach}");
    assert!(attach.ends_with("--target-group-arns {TargetGroup8888} {TargetGroup9088} {TargetGroup9095}"), "{attach}");
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
        assert_eq!(passes(nodes.values()), query_ports(["{LoadBalancerSecurityGroup}"], more), "{check}");
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
        assert_eq!(service["NetworkLoadBalancerArns"], json!(["{LoadBalancer}"]));
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

// --- Parameters ---

#[test]
fn rules_refuse_what_cannot_work_and_name_the_remedy() {
    let cases: [(Stack, &str); 11] = [
        (requester(&[("PeerOwnerId", "444455556666")]), "or leave PeerOwnerId empty if it is this account"),
        (requester(&[("PeerRoleArn", ROLE)]), "Give the account of the role in PeerOwnerId"),
        (accepter(&[]), "Before the connection exists, give RequesterPrincipalArn"),
        (accepter(&[("RequesterVpcId", "vpc-00000002")]), "Before the connection exists, give RequesterPrincipalArn"),
        (accepter(&ASKED[..1]), "Give the VPC that requests the connection in RequesterVpcId"),
        (accepter(&[("PeeringConnectionId", CONNECTION)]), "Give RouteTableIds for the routes back"),
        (overlap(&[]), "If the VPCs overlap, give AllowedPrincipals"),
        (overlap(&[("SecondaryCidr", "100.64.0.0/24")]), "If the VPCs overlap, give AllowedPrincipals"),
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
    let ranges =
        (&["10.0.0.0/16", "10.0.0.0/16,10.1.0.0/24"][..], &["0.0.0.0/0", "10.0.0.0", "a", "1.1.1.0/24, 2.2.2.0/24"]);
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
    let cases: [(&Value, &str, &[&str], &[&str]); 14] = [
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
        (&OVERLAP, "Subnets", &[two, &three], &["", ZONES[0], "eu-west-1a,eu-west-1b", "a:1.1.1.0/24,b:2.2.2.0/24"]),
        (&OVERLAP, "SecondaryCidr", &["", "100.64.0.0/16"], &["100.64.0.0/10", "100.64.0.0/29"]),
        (&OVERLAP, "AllowedPrincipals", principals.0, principals.1),
        (&OVERLAP, "QuerySecurityGroupId", &[GROUP], &[""]),
    ];
    for (template, parameter, right, wrong) in cases {
        let definition = &template["Parameters"][parameter];
        right.iter().for_each(|value| assert!(takes(definition, value), "{parameter} refuses {value:?}"));
        wrong.iter().for_each(|value| assert!(!takes(definition, value), "{parameter} accepts {value:?}"));
    }
}

#[test]
fn every_parameter_is_explained_and_stands_in_one_group() {
    for template in [&*REQUESTER, &*ACCEPTER, &*OVERLAP] {
        let interface = &template["Metadata"]["AWS::CloudFormation::Interface"];
        let groups = interface["ParameterGroups"].as_array().unwrap();
        let mut grouped: Vec<_> = groups.iter().flat_map(|group| strings(&group["Parameters"])).collect();
        grouped.sort();
        let parameters = template["Parameters"].as_object().unwrap();
        assert_eq!(grouped, parameters.keys().cloned().collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>());
        for (name, definition) in parameters {
            assert!(
                definition["Description"].as_str().is_some_and(|words| words.len() > 20),
                "{name} is not described"
            );
            assert!(interface["ParameterLabels"][name]["default"].is_string(), "{name} has no label");
            let explained =
                definition.get("AllowedPattern").is_none() || definition["ConstraintDescription"].is_string();
            assert!(explained, "a mistake in {name} would be answered with a regular expression");
        }
    }
}

// --- The check of the ranges ---

/// Its exit status, what it prints and what it complains about.
fn check_peering(arguments: &[&str]) -> (i32, String, String) {
    let program = root().join("infra/check_peering.py");
    let output = Command::new("python3").arg(program).args(arguments).output().expect("python3 runs");
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

#[test]
fn the_check_refuses_ranges_that_overlap() {
    let accepted: [&[&str]; 4] = [
        &["10.50.0.0/21", "172.20.0.0/20"],
        &["10.0.0.0/24", "10.0.1.0/24"],
        &["10.0.0.0/16", "10.1.0.0/16", "100.64.0.0/24", "192.168.0.0/28"],
        &["2001:db8:0:100::/56", "2001:db8:0:200::/56"],
    ];
    for ranges in accepted {
        let named = format!("No two of them overlap: {}\n", ranges.join(", "));
        assert_eq!(check_peering(ranges), (0, named, String::new()), "{ranges:?}");
    }
    let refused: [(&[&str], &[&str]); 5] = [
        (&["172.19.0.0/20", "172.19.0.0/20"], &["172.19.0.0/20 and 172.19.0.0/20 are the same range."]),
        (&["10.0.0.0/16", "10.0.128.0/20"], &["10.0.128.0/20 lies in 10.0.0.0/16."]),
        (&["10.0.128.0/20", "10.0.0.0/16"], &["10.0.128.0/20 lies in 10.0.0.0/16."]),
        (&["10.0.0.0/16", "172.20.0.0/20", "172.20.8.0/24"], &["172.20.8.0/24 lies in 172.20.0.0/20."]),
        (
            &["10.0.0.0/16", "10.0.0.0/24", "10.0.0.0/28"],
            &[
                "10.0.0.0/24 lies in 10.0.0.0/16.",
                "10.0.0.0/28 lies in 10.0.0.0/16.",
                "10.0.0.0/28 lies in 10.0.0.0/24.",
            ],
        ),
    ];
    for (ranges, overlaps) in refused {
        let (status, printed, complaint) = check_peering(ranges);
        assert_eq!((status, &*printed), (1, ""), "{ranges:?}");
        let named: Vec<_> = complaint.lines().take_while(|line| !line.starts_with("AWS refuses")).collect();
        assert_eq!(named, overlaps, "{ranges:?}");
        assert!(complaint.contains("infra/peering-overlap.yaml with AllowedPrincipals"), "{complaint}");
    }
}

#[test]
fn the_check_says_what_is_wrong_with_a_range() {
    let unusable: [(&[&str], &str); 9] = [
        (&[], "two or more ranges are needed"),
        (&["10.0.0.0/16"], "two or more ranges are needed"),
        (&["10.0.0.0/16", "vpc-00000001"], "'vpc-00000001' is no address range; write it like 10.50.0.0/21"),
        (&["10.0.0.0/16,10.1.0.0/16", "10.2.0.0/16"], "separate ranges by spaces"),
        (&["10.0.0.0", "10.1.0.0/16"], "'10.0.0.0' is no address range"),
        (&["10.0.0.0/33", "10.1.0.0/16"], "'10.0.0.0/33' is no address range"),
        (&["10.0.0.0/255.255.0.0", "10.1.0.0/16"], "'10.0.0.0/255.255.0.0' is no address range"),
        (&["10.0.4.1/16", "10.1.0.0/16"], "10.0.4.1/16 is an address in a range; the range is 10.0.0.0/16"),
        (&["10.0.0.0/16", "2001:db8::/56"], "IPv4 and IPv6 ranges cannot be compared"),
    ];
    for (ranges, mistake) in unusable {
        let (status, printed, complaint) = check_peering(ranges);
        assert_eq!((status, &*printed), (2, ""), "{ranges:?}");
        assert!(complaint.starts_with("error: ") && complaint.contains(mistake), "{ranges:?}: {complaint}");
    }
}

#[test]
fn the_check_warns_of_ranges_that_no_vpc_has() {
    for (range, size) in [("10.0.0.0/15", "larger"), ("10.0.0.0/29", "smaller")] {
        let (status, _, complaint) = check_peering(&[range, "172.20.0.0/20"]);
        assert_eq!(status, 0);
        assert!(
            complaint.starts_with(&format!("warning: {range} is {size} than a range of a VPC can be")),
            "{complaint}"
        );
    }
}

#[test]
fn the_check_explains_itself_and_is_a_target_of_make() {
    let (status, help, _) = check_peering(&["--help"]);
    assert_eq!(status, 0);
    assert!(help.contains("Exit status: 0 = none overlap, 1 = some overlap, 2 = nothing was compared."), "{help}");
    for (ranges, expected) in [("10.50.0.0/21 172.20.0.0/20", true), ("172.19.0.0/20 172.19.0.0/20", false)] {
        let cidrs = format!("CIDRS={ranges}");
        let make =
            Command::new("make").args(["check-peering", &cidrs]).current_dir(root()).output().expect("make runs");
        assert_eq!(make.status.success(), expected, "{}", String::from_utf8_lossy(&make.stderr));
    }
}

// --- Deployed ---

/// In one account and Region, because moto's CloudFormation looks for the peer nowhere else. So the role is created but
/// not assumed, and the connection stays pending-acceptance.
#[tokio::test]
async fn both_sides_deploy_in_order_and_route_to_each_other() -> Result<()> {
    let run = Run::new()?;
    let aws = Aws::start(&run).await?;
    let seen = program(&run, &aws, aws.rds_endpoint(), &["10.50.0.0/21", "172.20.0.0/20"]).await?;
    let connection = text(&seen["connection"]);
    assert!(connection.starts_with("pcx-"), "{seen}");
    assert!(text(&seen["role"]).contains(":role/accepter-AccepterRole"), "{seen}");
    let every_table = |range: &str| json!([{range: connection}, {range: connection}]);
    assert_eq!(seen["requester"]["routes"], every_table("172.20.0.0/20"));
    assert_eq!(seen["accepter"]["routes"], every_table("10.50.0.0/21"));
    let query_ports = QUERY_PORTS.map(|port| json!(["tcp", port, port, "172.20.0.0/20"]));
    assert_eq!([&seen["requester"]["ingress"], &seen["accepter"]["ingress"]], [&json!(query_ports), &json!([])]);
    Ok(())
}

#[tokio::test]
async fn the_load_balancer_deploys_into_subnets_of_its_own() -> Result<()> {
    let run = Run::new()?;
    let aws = Aws::start(&run).await?;
    let source = root().join("infra/peering-overlap.yaml");
    let template = Template::fit(&run, &source, &run.scratch("overlap")?).await?;
    let left_out = template.left_out.iter().map(|part| part.type_name.as_str());
    let refused =
        ["AWS::EC2::SecurityGroupIngress", "AWS::EC2::VPCEndpointService", "AWS::EC2::VPCEndpointServicePermissions"];
    assert_eq!(owned(left_out), owned(refused), "asserted on above, not deployed");
    // No SecondaryCidr, because MiniStack has no AWS::EC2::VPCCidrBlock, and every list is full, because MiniStack takes a
    // condition that looks into a list as true.
    let ranges = RANGES.join(",");
    let parameters = [
        ("VpcId", "vpc-00000001"),
        ("Subnets", "us-east-1a:172.31.200.0/28,us-east-1b:172.31.200.16/28,us-east-1c:172.31.200.32/28"),
        ("QuerySecurityGroupId", GROUP),
        ("HealthCheck", "coordinator"),
        PEERED[0],
        ("PeerCidrs", &ranges),
        SERVICE[0],
    ];
    let outputs = template.deploy(&run, &aws.environment(), "imply", parameters, &Quiet).await?;

    let elbv2 = aws.elbv2();
    let balancers = elbv2.describe_load_balancers().send().await?;
    let [balancer] = balancers.load_balancers() else { panic!("{balancers:?}") };
    assert_eq!(balancer.dns_name(), Some(outputs.get("LoadBalancerDnsName")?));
    let arn = balancer.load_balancer_arn().context("the load balancer has no ARN")?;
    let groups = elbv2.describe_target_groups().send().await?;
    let attach = outputs.get("AttachCommand")?.to_owned();
    for group in groups.target_groups() {
        assert_eq!(group.health_check_protocol().map(|protocol| protocol.as_str()), Some("HTTPS"));
        assert_eq!(
            [group.health_check_port(), group.health_check_path()],
            [Some("8281"), Some("/druid/coordinator/v1/isLeader")]
        );
        ensure!(attach.contains(group.target_group_arn().unwrap()), "{attach}");
    }
    let listeners = elbv2.describe_listeners().load_balancer_arn(arn).send().await?;
    let mut forwards: Vec<_> = listeners
        .listeners()
        .iter()
        .map(|listener| {
            let target = listener.default_actions()[0].target_group_arn();
            let group = groups.target_groups().iter().find(|group| group.target_group_arn() == target).unwrap();
            (listener.port().unwrap(), group.port().unwrap())
        })
        .collect();
    forwards.sort_unstable();
    assert_eq!(forwards, QUERY_PORTS.map(|port| (i32::from(port), i32::from(port))));

    let tables = program(&run, &aws, aws.endpoint(), &["vpc-00000001"]).await?;
    let with_routes: Vec<_> =
        tables.as_object().unwrap().values().filter(|table| table["routes"] != json!({})).collect();
    assert_eq!(
        with_routes,
        [&json!({"routes": {RANGES[0]: CONNECTION, RANGES[1]: CONNECTION}, "subnets": 3})],
        "{tables}"
    );
    Ok(())
}

/// What `tests/lab/peering.py` prints about an AWS.
async fn program(run: &Run, aws: &Aws, endpoint: &str, arguments: &[&str]) -> Result<Value> {
    let printed = Program::new("peering", venv_program("python")?)
        .arg(root().join("tests/lab/peering.py"))
        .args(arguments.iter().copied())
        .envs(aws.environment())
        .env("AWS_ENDPOINT_URL", endpoint)
        .output(run)
        .await?;
    serde_json::from_str(&printed).context("what peering.py printed")
}

#[test]
fn the_templates_are_clean() {
    let root = root();
    let output = Command::new(root.join(".venv/bin/cfn-lint"))
        .args(["infra/peering.yaml", "infra/peering-accepter.yaml", "infra/peering-overlap.yaml"])
        .current_dir(root)
        .output()
        .expect(".venv/bin/cfn-lint exists and runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}
