//! The consumer's side: what `infra/consumer.yaml`, `infra/consumer-role.yaml` and
//! `infra/api-endpoints.yaml` promise, and a client that connects that way.

// In a test a failed unwrap is the failure that it reports.
#![allow(clippy::unwrap_used)]

#[path = "consumer/api_endpoints.rs"]
mod api_endpoints;
#[path = "consumer/deployment.rs"]
mod deployment;
#[path = "consumer/link.rs"]
mod link;
#[path = "consumer/role.rs"]
mod role;
mod stack;

use std::collections::BTreeSet;
use std::sync::LazyLock;

use anyhow::Result;
use lab::aws::Aws;
use lab::workspace::Run;
use serde_json::{Value, json};
use stack::{Stack, load, owned, root, takes, text};

const CONSUMER: &str = "infra/consumer.yaml";
const ROLE: &str = "infra/consumer-role.yaml";
const API: &str = "infra/api-endpoints.yaml";

const SERVICE: &str = "com.amazonaws.vpce.eu-west-1.vpce-svc-0123456789abcdef0";
const HOST: &str = "orders.cluster-abc123.eu-west-1.rds.amazonaws.com";
const VPC: &str = "vpc-0123456789abcdef0";
const SUBNETS: [&str; 2] = ["subnet-0123456789abcdef0", "subnet-0123456789abcdef1"];
const GROUP: &str = "sg-0123456789abcdef0";
const PRINCIPALS: [&str; 2] =
    ["arn:aws:iam::111122223333:role/network", "arn:aws:iam::111122223333:user/ops"];
const SECRET: &str = "arn:aws:secretsmanager:eu-west-1:111122223333:secret:flush-hosts-AbCdEf";

/// Parameters, and what there is under them.
type Case<'a> = (&'a [(&'a str, &'a str)], &'a [&'a str]);

/// The attribute of an endpoint that holds its DNS names.
const DNS_ENTRIES: &str = "DnsEntries";
const ENDPOINT_NAME: &str =
    "vpce-01abc23456de78f9g-12abccd3.vpce-svc-0123456789abcdef0.eu-west-1.vpce.amazonaws.com";

/// `infra/consumer.yaml`, with the DNS names that AWS documents: the Regional one first.
static CONSUMER_TEMPLATE: LazyLock<Value> = LazyLock::new(|| {
    let zonal = ENDPOINT_NAME.replacen("-12abccd3", "-12abccd3-eu-west-1a", 1);
    let entries =
        json!([format!("Z1HUB23UULQXV:{ENDPOINT_NAME}"), format!("Z1ZONALNAMES:{zonal}")]);
    let mut template = load(CONSUMER);
    assert!(
        replace(&mut template, &json!({"Fn::GetAtt": ["Endpoint", DNS_ENTRIES]}), &entries) > 0
    );
    template
});

static API_TEMPLATE: LazyLock<Value> = LazyLock::new(|| load(API));

/// Replaces a part of a template wherever it stands, and returns how often it did.
fn replace(node: &mut Value, part: &Value, by: &Value) -> usize {
    if node == part {
        *node = by.clone();
        return 1;
    }
    match node {
        Value::Array(items) => items.iter_mut().map(|item| replace(item, part, by)).sum(),
        Value::Object(map) => map.values_mut().map(|value| replace(value, part, by)).sum(),
        _ => 0,
    }
}

/// A template with its parameters that have no default, and these in place of those.
fn of(template: &'static Value, base: &[(&str, &str)], given: &[(&str, &str)]) -> Stack {
    let base = base.iter().filter(|(name, _)| !given.iter().any(|(other, _)| other == name));
    Stack::of(template, &given.iter().chain(base).copied().collect::<Vec<_>>())
}

fn consumer(given: &[(&str, &str)]) -> Stack {
    let subnets = SUBNETS.join(",");
    let base = [
        ("ServiceName", SERVICE),
        ("DatabasePort", "5432"),
        ("VpcId", VPC),
        ("SubnetIds", &subnets),
        ("ClientCidrs", "10.0.0.0/16"),
    ];
    of(&CONSUMER_TEMPLATE, &base, given)
}

fn created(stack: &Stack, template: &Value) -> BTreeSet<String> {
    let resources = template["Resources"].as_object().unwrap().keys();
    resources.filter(|name| stack.resource(name).is_some()).cloned().collect()
}

/// The ingress of a security group, as `source first-last`; it must be TCP all over.
fn ingress(stack: &Stack) -> BTreeSet<String> {
    let group = stack.existing("EndpointSecurityGroup");
    let rules = group["SecurityGroupIngress"].as_array().unwrap().iter();
    rules
        .map(|rule| {
            assert_eq!(rule["IpProtocol"], "tcp");
            let source = ["CidrIp", "SourceSecurityGroupId", "SourcePrefixListId"]
                .iter()
                .find_map(|side| rule.get(side));
            let source = source.unwrap();
            format!("{} {}-{}", text(source), text(&rule["FromPort"]), text(&rule["ToPort"]))
        })
        .collect()
}

/// Whether a security group lets nothing out but to itself.
fn lets_nothing_out(stack: &Stack) -> bool {
    let egress = &stack.existing("EndpointSecurityGroup")["SecurityGroupEgress"];
    let to: Vec<_> = egress.as_array().unwrap().iter().map(|rule| text(&rule["CidrIp"])).collect();
    to == ["127.0.0.1/32"]
}

// --- The endpoint ---

#[test]
fn the_endpoint_leads_to_the_service() {
    let endpoint = consumer(&[]).existing("Endpoint");
    let expected = json!({
        "VpcEndpointType": "Interface",
        "ServiceName": SERVICE,
        "VpcId": VPC,
        "SubnetIds": SUBNETS,
        "SecurityGroupIds": ["{EndpointSecurityGroup.GroupId}"],
        "Tags": [{"Key": "Name", "Value": "link"}],
    });
    assert_eq!(endpoint, expected);
    let abroad = consumer(&[("ServiceRegion", "us-east-1")]).existing("Endpoint");
    assert_eq!(abroad["ServiceRegion"], "us-east-1");
}

#[test]
fn the_endpoint_and_its_name_have_the_families_that_are_asked_for() {
    for (family, records) in
        [("ipv4", &["A"][..]), ("dualstack", &["A", "AAAA"]), ("ipv6", &["AAAA"])]
    {
        let stack = consumer(&[("IpAddressType", family), ("DatabaseHostName", HOST)]);
        let made = ["Record", "Ipv6Record"].into_iter().filter_map(|name| stack.resource(name));
        assert_eq!(
            made.map(|record| text(&record["Type"])).collect::<Vec<_>>(),
            records,
            "{family}"
        );
        let endpoint = stack.existing("Endpoint");
        let given = (family != "ipv4").then(|| json!(family));
        assert_eq!(endpoint.get("IpAddressType").cloned(), given);
        assert_eq!(endpoint["DnsOptions"].get("DnsRecordIpType").cloned(), given);
    }
    let both = consumer(&[("IpAddressType", "dualstack"), ("DatabaseHostName", HOST)]);
    let [mut four, mut six] = ["Record", "Ipv6Record"].map(|name| both.existing(name));
    for record in [&mut four, &mut six] {
        record.as_object_mut().unwrap().remove("Type");
    }
    assert_eq!(six, four);
}

#[test]
fn only_clients_reach_the_endpoint_and_on_the_databases_ports() {
    let cases: [Case<'_>; 5] = [
        (&[], &["10.0.0.0/16 5432-5432"]),
        (&[("ClientCidrs", ""), ("ClientPrefixListId", "pl-01234567")], &["pl-01234567 5432-5432"]),
        (&[("LastDatabasePort", "5434")], &["10.0.0.0/16 5432-5434"]),
        (
            &[("ClientCidrs", ""), ("ClientSecurityGroupId", GROUP)],
            &["sg-0123456789abcdef0 5432-5432"],
        ),
        (
            &[
                ("ClientCidrs", "10.1.0.0/16,10.2.0.0/16,10.3.0.0/16"),
                ("ClientSecurityGroupId", GROUP),
            ],
            &[
                "10.1.0.0/16 5432-5432",
                "10.2.0.0/16 5432-5432",
                "10.3.0.0/16 5432-5432",
                "sg-0123456789abcdef0 5432-5432",
            ],
        ),
    ];
    for (parameters, expected) in cases {
        let stack = consumer(parameters);
        assert_eq!(ingress(&stack), owned(expected.iter().copied()), "{parameters:?}");
        assert!(lets_nothing_out(&stack), "{parameters:?}");
        assert_eq!(stack.existing("EndpointSecurityGroup")["VpcId"], VPC);
    }
}

#[test]
fn the_zone_is_there_when_it_is_asked_for() {
    let plain = ["Endpoint", "EndpointSecurityGroup"].as_slice();
    let cases: [Case<'_>; 2] = [(&[], &[]), (&[("DatabaseHostName", HOST)], &["Record", "Zone"])];
    for (parameters, more) in cases {
        let expected = owned(plain.iter().chain(more).copied());
        assert_eq!(created(&consumer(parameters), &CONSUMER_TEMPLATE), expected, "{parameters:?}");
    }
}

// --- The name ---

#[test]
fn the_zone_is_the_databases_name_and_leads_to_the_regional_name_of_the_endpoint() {
    let stack = consumer(&[("DatabaseHostName", HOST)]);
    let zone = stack.existing("Zone");
    assert_eq!(zone["Name"], HOST, "a zone above it would hide other names");
    assert_eq!(
        zone["VPCs"],
        json!([{"VPCId": VPC, "VPCRegion": "eu-west-1"}]),
        "private, and for the clients alone"
    );
    let record = json!({
        "HostedZoneId": "{Zone}",
        "Name": HOST,
        "Type": "A",
        "AliasTarget": {
            "HostedZoneId": "Z1HUB23UULQXV",
            "DNSName": ENDPOINT_NAME,
            "EvaluateTargetHealth": false,
        },
    });
    assert_eq!(stack.existing("Record"), record);
}

#[test]
fn the_guide_makes_the_zone_of_a_second_database_as_the_stack_makes_the_first() {
    let guide = std::fs::read_to_string(root().join("infra/databases.md")).unwrap();
    let between = |start: &str, end: &str| {
        let [_, rest] = guide.split(start).collect::<Vec<_>>()[..] else {
            panic!("{start} is not there once")
        };
        rest.split(end).next().unwrap()
    };
    let batch = between("--change-batch '", "'");
    let batch =
        batch.replace("ENDPOINT_ZONE", "Z1HUB23UULQXV").replace("ENDPOINT_NAME", ENDPOINT_NAME);
    let batch: Value = serde_json::from_str(&batch).unwrap();
    let host = between("create-hosted-zone --name ", " ");
    let stack = consumer(&[("DatabaseHostName", host)]);
    let mut record = stack.existing("Record");
    record.as_object_mut().unwrap().remove("HostedZoneId");
    assert_eq!(batch, json!({"Changes": [{"Action": "CREATE", "ResourceRecordSet": record}]}));
    let comment = text(&stack.existing("Zone")["HostedZoneConfig"]["Comment"]);
    let warning = between("--hosted-zone-config \"PrivateZone=true,Comment=", "\"");
    assert!(comment.ends_with(warning), "{warning}");
}

#[test]
fn who_reads_of_the_zone_reads_of_the_functions_vpc() {
    let parameter = text(&CONSUMER_TEMPLATE["Parameters"]["DatabaseHostName"]["Description"]);
    let output = text(&CONSUMER_TEMPLATE["Outputs"]["ZoneId"]["Description"]);
    let comment = text(
        &consumer(&[("DatabaseHostName", HOST)]).existing("Zone")["HostedZoneConfig"]["Comment"],
    );
    for said in [parameter, output, comment] {
        assert!(said.to_lowercase().contains("never") && said.contains("failover-sync"), "{said}");
    }
}

#[test]
fn rules_refuse_what_cannot_work_or_misleads_the_function() {
    let cases: [(&[(&str, &str)], &str); 2] = [
        (&[("ClientCidrs", "")], "Give ClientSecurityGroupId, or ClientCidrs"),
        (
            &[("DatabaseHostName", HOST), ("FunctionVpcId", VPC)],
            "Put the endpoint into another VPC, or leave",
        ),
    ];
    for (parameters, remedy) in cases {
        let refusals = consumer(parameters).refusals();
        assert!(
            matches!(&*refusals, [one] if one.contains(remedy)),
            "{parameters:?}: {refusals:?}"
        );
    }
    let other = ("FunctionVpcId", "vpc-0123456789abcdef1");
    for parameters in [
        &[][..],
        &[("DatabaseHostName", HOST)],
        &[("DatabaseHostName", HOST), other],
        &[("FunctionVpcId", VPC)],
    ] {
        assert_eq!(consumer(parameters).refusals(), [""; 0], "{parameters:?}");
    }
}

#[test]
fn parameters_take_what_is_right_and_nothing_else() {
    let cases: [(&str, &str, &[&str], &[&str]); 10] = [
        (
            CONSUMER,
            "ServiceName",
            &[SERVICE, "cn.com.amazonaws.vpce.cn-north-1.vpce-svc-0123456789abcdef0"],
            &[
                "",
                "vpce-svc-0123456789abcdef0",
                "com.amazonaws.eu-west-1.rds",
                "com.amazonaws.vpce.eu-west-1.vpce-svc-*",
            ],
        ),
        (CONSUMER, "ServiceRegion", &["", "eu-west-1", "us-gov-west-1"], &["eu", "eu-west-1a"]),
        (CONSUMER, "LastDatabasePort", &["", "5434"], &["0", "5432-5434", "123456"]),
        (
            CONSUMER,
            "ClientCidrs",
            &["", "10.0.0.0/16", "10.1.0.0/16,10.2.0.0/16,10.3.0.0/16"],
            &["0.0.0.0/0", "10.0.0.1"],
        ),
        (
            CONSUMER,
            "DatabaseHostName",
            &[
                "",
                HOST,
                "orders.cluster-ro-abc123.eu-west-1.rds.amazonaws.com",
                "analysts.cluster-custom-abc123.eu-west-1.rds.amazonaws.com",
                "orders-1.abc123.us-gov-west-1.rds.amazonaws.com",
                "orders.proxy-abc123.eu-west-1.rds.amazonaws.com",
                "readers.endpoint.proxy-abc123.eu-west-1.rds.amazonaws.com",
                "orders.global-abc123.global.rds.amazonaws.com",
                "orders-1.abc123.rds.cn-north-1.amazonaws.com.cn",
                "orders.cluster-abc123.rds.cn-north-1.amazonaws.com.cn",
                "db.internal.example",
                "rds.example.com",
                "db.on-aws.example.com",
                "s.ws.aws",
                "xn--bcher-kva.db.news.example.com.cn",
            ],
            &[
                "example.com",
                "*.example.com",
                "db.example.com.",
                "DB.example.com",
                "-db.example.com",
                "db-.example.com",
                "rds.amazonaws.com",
                "eu-west-1.rds.amazonaws.com",
                "abc123.eu-west-1.rds.amazonaws.com",
                "cluster-abc123.eu-west-1.rds.amazonaws.com",
                "amazonaws.com.cn",
                "rds.amazonaws.com.cn",
                "rds.cn-north-1.amazonaws.com.cn",
                "abc123.rds.cn-north-1.amazonaws.com.cn",
                "eu-west-1.amazonaws.com",
                "vpce-svc-0123456789abcdef0.eu-west-1.vpce.amazonaws.com",
            ],
        ),
        (
            ROLE,
            "ProviderAccountId",
            &["444455556666"],
            &["", "4444-5555-6666", "arn:aws:iam::444455556666:root"],
        ),
        (
            ROLE,
            "SetupPrincipals",
            &[
                "",
                "arn:aws:iam::111122223333:role/aws-reserved/sso.amazonaws.com/\
                 AWSReservedSSO_Network_0123456789abcdef",
            ],
            &[
                "*",
                "arn:aws:iam::111122223333:root",
                "111122223333",
                "arn:aws:iam::111122223333:role/*",
                "ec2.amazonaws.com",
            ],
        ),
        (
            API,
            "FunctionSecurityGroupIds",
            &[GROUP, "sg-01234567,sg-12345678,sg-23456789"],
            &["", "default", "sg-01234567, sg-12345678"],
        ),
        (
            API,
            "FlushHostsSecretArn",
            &["", SECRET],
            &["flush-hosts", "arn:aws:secretsmanager:eu-west-1:111122223333:secret:*"],
        ),
        (API, "RdsEndpoint", &["true", "false"], &["", "yes"]),
    ];
    for (template, parameter, right, wrong) in cases {
        let template = load(template);
        let definition = &template["Parameters"][parameter];
        right
            .iter()
            .for_each(|value| assert!(takes(definition, value), "{parameter} refuses {value:?}"));
        wrong
            .iter()
            .for_each(|value| assert!(!takes(definition, value), "{parameter} accepts {value:?}"));
    }
}

// --- What it tells ---

#[test]
fn the_outputs_are_what_the_next_step_needs() {
    let named = consumer(&[("DatabaseHostName", HOST)]);
    assert_eq!(named.output("EndpointId"), "{Endpoint}");
    assert_eq!(named.output("EndpointDnsName"), ENDPOINT_NAME);
    assert_eq!(named.output("HostName"), HOST);
    assert_eq!(consumer(&[]).output("HostName"), ENDPOINT_NAME);
    let commands = [
        ("StateCommand", &["describe-vpc-endpoints", "{Endpoint}", "State"][..]),
        ("ZonesCommand", &["describe-vpc-endpoint-services", SERVICE, "AvailabilityZoneIds"]),
        (
            "SubnetZonesCommand",
            &[
                "describe-subnets",
                "subnet-0123456789abcdef0 subnet-0123456789abcdef1",
                "AvailabilityZoneId",
            ],
        ),
        ("ConnectTestCommand", &["nc ", HOST, "5432"]),
        (
            "PostgresTestCommand",
            &["psql ", HOST, "port=5432", "sslmode=verify-full", "sslrootcert="],
        ),
        (
            "MysqlTestCommand",
            &["mysql ", HOST, "--port=5432", "--ssl-mode=VERIFY_IDENTITY", "--ssl-ca="],
        ),
    ];
    for (output, parts) in commands {
        let command = named.output(output);
        parts
            .iter()
            .for_each(|part| assert!(command.contains(part), "{output} lacks {part}: {command}"));
    }
    assert!(
        consumer(&[("ServiceRegion", "us-east-1")])
            .output("ZonesCommand")
            .contains("--service-regions us-east-1 ")
    );
    for verifying in ["PostgresTestCommand", "MysqlTestCommand"] {
        assert_eq!(
            CONSUMER_TEMPLATE["Outputs"][verifying]["Condition"], "Named",
            "no certificate is for the other name"
        );
    }
    let state = text(&CONSUMER_TEMPLATE["Outputs"]["StateCommand"]["Description"]);
    assert!(state.contains("pendingAcceptance"), "{state}");
    let subnets = text(&CONSUMER_TEMPLATE["Parameters"]["SubnetIds"]["Description"]);
    assert!(
        ["zone IDs", "describe-availability-zones", "describe-vpc-endpoint-services"]
            .iter()
            .all(|way| subnets.contains(way))
    );
}

// --- Live ---

/// Here the templates become stacks, and a client connects. One local AWS serves both.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_stacks_are_created_and_a_client_verifies_the_database_by_its_own_name() -> Result<()> {
    let run = Run::new()?;
    let outcome = async {
        let aws = Aws::start(&run).await?;
        deployment::role(&run, &aws).await?;
        deployment::consumer(&run, &aws).await?;
        deployment::api_endpoints(&run, &aws).await?;
        deployment::removal(&run, &aws).await?;
        link::by_the_databases_own_name(&run, &aws).await
    }
    .await;
    run.ended(outcome)
}
