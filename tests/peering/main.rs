//! What `infra/peering*.yaml`, `infra/check_peering.py` and `infra/peering.md` promise: VPC peering
//! as Imply's guide to it asks for it.

// In a test a failed unwrap is the failure that it reports.
#![allow(clippy::unwrap_used)]

mod check;
mod deployed;
mod overlap;
mod parameters;
mod sides;
#[path = "../stack.rs"]
mod stack;

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use std::sync::LazyLock;

use anyhow::{Context, Result, ensure};
use lab::aws::Aws;
use lab::cloudformation::Template;
use lab::process::Program;
use lab::progress::Quiet;
use lab::workspace::{self, Run, venv_program};
use serde_json::{Map, Value, json};
use stack::{
    LOAD_BALANCER, LOAD_BALANCER_GROUP, Stack, attributes, load, owned, root, strings, takes, text,
};

/// The ports of the query nodes.
const QUERY_PORTS: [u16; 3] = [8888, 9088, 9095];

const TABLES: [&str; 4] = ["rtb-00000001", "rtb-00000002", "rtb-00000003", "rtb-00000004"];
const RANGES: [&str; 2] = ["172.20.0.0/20", "100.64.0.0/24"];
const GROUP: &str = "sg-0123456789abcdef0";
const CONNECTION: &str = "pcx-0123456789abcdef0";
const ROLE: &str = "arn:aws:iam::444455556666:role/peering-AccepterRole";
const PRINCIPAL: &str = "arn:aws:iam::444455556666:root";
const ZONES: [&str; 3] =
    ["eu-west-1a:100.64.0.0/28", "eu-west-1b:100.64.0.16/28", "eu-west-1c:100.64.0.32/28"];

const PEERED: [(&str, &str); 2] = [("PeeringConnectionId", CONNECTION), ("PeerCidrs", RANGES[0])];
const SERVICE: [(&str, &str); 1] = [("AllowedPrincipals", PRINCIPAL)];
const ASKED: [(&str, &str); 2] =
    [("RequesterPrincipalArn", PRINCIPAL), ("RequesterVpcId", "vpc-00000002")];

static REQUESTER: LazyLock<Value> = LazyLock::new(|| load("infra/peering.yaml"));
static ACCEPTER: LazyLock<Value> = LazyLock::new(|| load("infra/peering-accepter.yaml"));
static OVERLAP: LazyLock<Value> = LazyLock::new(|| load("infra/peering-overlap.yaml"));

/// A stack with these parameters, and for the others what every stack needs.
fn with(
    template: &'static Value,
    given: &[(&'static str, &str)],
    base: &[(&'static str, &'static str)],
) -> Stack {
    let base = base.iter().filter(|(name, _)| !given.iter().any(|(other, _)| other == name));
    Stack::of(template, &given.iter().copied().chain(base.copied()).collect::<Vec<_>>())
}

fn requester(given: &[(&'static str, &str)]) -> Stack {
    with(
        &REQUESTER,
        given,
        &[("VpcId", "vpc-00000001"), ("PeerVpcId", "vpc-00000002"), ("PeerCidrs", RANGES[0])],
    )
}

fn accepter(given: &[(&'static str, &str)]) -> Stack {
    with(&ACCEPTER, given, &[("VpcId", "vpc-00000001"), ("RequesterCidrs", RANGES[0])])
}

fn overlap(given: &[(&'static str, &str)]) -> Stack {
    let zones = ZONES[..2].join(",").leak();
    with(
        &OVERLAP,
        given,
        &[("VpcId", "vpc-00000001"), ("Subnets", zones), ("QuerySecurityGroupId", GROUP)],
    )
}

/// The resources of a type that a stack creates.
fn created(template: &Value, stack: &Stack, type_name: &str) -> Map<String, Value> {
    let resources = template["Resources"]
        .as_object()
        .unwrap()
        .iter()
        .filter(|(_, body)| body["Type"] == type_name);
    resources.filter_map(|(name, _)| Some((name.clone(), stack.resource(name)?))).collect()
}

/// Where the routes of a stack lead: the table, the range and the connection.
fn routes(template: &Value, stack: &Stack) -> BTreeSet<[String; 3]> {
    let routes = created(template, stack, "AWS::EC2::Route");
    let places = routes.values().map(|route| {
        ["RouteTableId", "DestinationCidrBlock", "VpcPeeringConnectionId"]
            .map(|property| text(&route[property]))
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

/// The query ports, from or to each of the others.
fn query_ports<'a>(others: impl IntoIterator<Item = &'a str>) -> BTreeSet<(String, u16, String)> {
    let ports =
        |other: &'a str| QUERY_PORTS.iter().map(move |port| ("tcp".into(), *port, other.into()));
    others.into_iter().flat_map(ports).collect()
}
