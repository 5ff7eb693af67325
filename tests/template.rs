//! What `template.yaml` promises, read from the template itself. What it adds for MySQL and MariaDB is in
//! `mysql_template.rs`.

// In a test a failed unwrap is the failure that it reports.
#![allow(clippy::unwrap_used)]

mod stack;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use failover_sync::{aws, elbv2, rds};
use reconcile::binding::{Binding, Kind};
use reconcile::config::{Config, VARIABLES};
use reconcile::event;
use reconcile::trigger::Trigger;
use reconcile::watch::{DRIFT_LIMIT, EVENT_LIFETIME, WATCH_LIMIT};
use regex::Regex;
use serde_json::{Value, json};
use stack::{
    BASE, ENDPOINTS, Stack, TARGET_GROUP, TEMPLATE, accepts, attributes, names_used, owned, root, section, strings,
    text,
};

/// What the role allows beside the calls of the adapters.
const LOG_ACTIONS: [&str; 2] = ["logs:CreateLogStream", "logs:PutLogEvents"];
const QUEUE_ACTIONS: [&str; 1] = ["sqs:SendMessage"];
const NETWORK_INTERFACE_ACTIONS: [&str; 6] = [
    "ec2:AssignPrivateIpAddresses",
    "ec2:CreateNetworkInterface",
    "ec2:DeleteNetworkInterface",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeSubnets",
    "ec2:UnassignPrivateIpAddresses",
];

const SECURITY_GROUP: (&str, &str) = ("DatabaseSecurityGroupId", "sg-0123456789abcdef0");
const FUNCTION_IN_VPC: [(&str, &str); 2] =
    [("FunctionSubnetIds", "subnet-0123456789abcdef0"), ("FunctionSecurityGroupIds", "sg-0123456789abcdef0")];

/// The resources that are not only for MySQL and MariaDB.
fn without_flushing() -> impl Iterator<Item = (&'static String, &'static Value)> {
    section("Resources").iter().filter(|(_, resource)| resource["Condition"] != "FlushesHosts")
}

// --- Parameters and rules ---

#[test]
fn what_has_no_safe_default_has_none() {
    let required = section("Parameters").iter().filter(|(_, definition)| definition.get("Default").is_none());
    let required: BTreeSet<_> = required.map(|(name, _)| name.clone()).collect();
    let expected = ["AllowedPrincipals", "DatabaseEndpoint", "DatabaseEngine", "DatabasePort", "SubnetIds", "VpcId"];
    assert_eq!(required, owned(expected));
}

#[test]
fn defaults_are_the_stated_ones() {
    let expected = json!({
        "AcceptanceRequired": "true",
        "AllowedCidrs": "10.0.0.0/8,172.16.0.0/12,192.168.0.0/16,100.64.0.0/10",
        "DatabaseKind": "cluster",
        "DeregistrationDelaySeconds": 120,
        "EnforceConsumerCidrs": "false",
        "HealthCheckIntervalSeconds": "auto",
        "ScheduleExpression": "rate(1 minute)",
    });
    for (name, default) in expected.as_object().unwrap() {
        assert_eq!(&section("Parameters")[name]["Default"], default, "{name}");
    }
}

#[test]
fn parameters_take_what_is_right_and_nothing_else() {
    let root = "arn:aws:iam::444455556666:root";
    let two = format!("{root},arn:aws-us-gov:iam::444455556666:role/vendor");
    let six = ["10.0.0.0/8"; 6].join(",");
    let cases: [(&str, &[&str], &[&str]); 16] = [
        (
            "AllowedPrincipals",
            &[root, &two, "arn:aws-cn:iam::444455556666:user/jane.doe@example"],
            &[
                "",
                "*",
                "arn:aws:iam::444455556666:*",
                "arn:aws:iam::*:root",
                "444455556666",
                "arn:aws:iam:444455556666:root",
                "arn:aws:iam::44445555666:root",
                "arn:aws:iam::444455556666:role/team/vendor",
                "arn:aws:iam::444455556666:role/*",
                "arn:aws:iam::444455556666:group/all",
                "arn:aws:iam::444455556666:root,*",
                "arn:aws:iam::444455556666:root, arn:aws:iam::444455556666:root",
                "arn:aws:iam::444455556666:root,",
                "arn:aws-iso:iam::444455556666:root",
            ],
        ),
        (
            "DatabaseEndpoint",
            &["a.b", "10.0.1.9"],
            &["", "db", "https://a.b", "a.b:5432", "a.b.", "A.b", "a..b", "a b.c"],
        ),
        ("DatabasePort", &["1", "65535"], &["0", "65536", "text", ""]),
        ("DatabaseIdentifier", &["", "app", "app-2"], &["App", "2app", "app-", "app--2", "app.x"]),
        (
            "SubnetIds",
            &["subnet-01234567,subnet-89abcdef", "subnet-0123456789abcdef0,subnet-0123456789abcdef1,subnet-01234567"],
            &[
                "",
                "subnet-01234567",
                "subnet-01234567,",
                "subnet-01234567, subnet-89abcdef",
                "vpc-01234567,vpc-01234567",
            ],
        ),
        ("ConsumerCidrs", &["", "10.0.0.0/8", &six], &["10.0.0.0", "0.0.0.0/0", "10.0.0.0/33", "10.0.0.0/8,", "::/64"]),
        ("DatabaseCidrs", &["", "10.0.1.7/32", &six], &["10.0.0.0", "0.0.0.0/0", "10.0.0.0/8, 10.0.0.0/8"]),
        ("AllowedCidrs", &["10.0.0.0/16"], &["", "0.0.0.0/0", "10.0.0.0/8,0.0.0.0/0"]),
        ("DatabaseSecurityGroupId", &["", "sg-01234567"], &["sg-", "sg-01234567,sg-01234567", "default"]),
        (
            "DnsServers",
            &["", "10.0.0.2", "127.0.0.1:5353,10.0.0.2"],
            &["dns.example", "10.0.0.2:", "10.0.0.2 10.0.0.3"],
        ),
        ("HealthCheckIntervalSeconds", &["auto", "10", "300"], &["", "9", "301", "1000"]),
        ("DeregistrationDelaySeconds", &["0", "3600"], &["-1", "3601"]),
        (
            "ScheduleExpression",
            &["rate(1 minute)", "rate(5 minutes)"],
            &["rate(6 minutes)", "rate(1 hour)", "rate(0 minutes)", "cron(* * * * ? *)", ""],
        ),
        ("SupportedRegions", &["", "eu-west-1", "us-gov-west-1,eu-west-1"], &["*", "europe", "eu-west-1,"]),
        ("FunctionName", &["", "failover-sync_2"], &["a b", &*"a".repeat(65)]),
        (
            "TopicKmsKeyArn",
            &["", "arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab"],
            &["alias/aws/sns", "arn:aws:kms:eu-west-1:111122223333:alias/key"],
        ),
    ];
    for (parameter, right, wrong) in cases {
        right.iter().for_each(|value| assert!(accepts(parameter, value), "{parameter} refuses {value:?}"));
        wrong.iter().for_each(|value| assert!(!accepts(parameter, value), "{parameter} accepts {value:?}"));
    }
    let seven = ["10.0.0.0/8"; 7].join(",");
    for parameter in ["ConsumerCidrs", "DatabaseCidrs"] {
        assert!(!accepts(parameter, &seven), "{parameter} accepts a range for which there is no rule");
    }
}

#[test]
fn every_parameter_is_explained_and_stands_in_one_group() {
    let interface = &TEMPLATE["Metadata"]["AWS::CloudFormation::Interface"];
    let groups = interface["ParameterGroups"].as_array().unwrap();
    let mut grouped: Vec<_> = groups.iter().flat_map(|group| strings(&group["Parameters"])).collect();
    grouped.sort();
    let parameters: Vec<_> = section("Parameters").keys().cloned().collect();
    assert_eq!(grouped, parameters.iter().cloned().collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>());
    assert!(groups.iter().all(|group| !text(&group["Label"]["default"]).is_empty()));
    for (name, definition) in section("Parameters") {
        assert!(definition["Description"].as_str().is_some_and(|words| words.len() > 20), "{name} is not described");
        assert!(interface["ParameterLabels"][name]["default"].is_string(), "{name} has no label");
        let explained = definition.get("AllowedPattern").is_none() || definition["ConstraintDescription"].is_string();
        assert!(explained, "a mistake in {name} would be answered with a regular expression");
    }
}

#[test]
fn rules_refuse_what_cannot_work_and_name_the_remedy() {
    let oracle = [("DatabaseKind", "readers"), ("DatabaseEngine", "oracle")];
    let cases: [(&[(&str, &str)], &str); 8] = [
        (&[("EnforceConsumerCidrs", "true")], "set EnforceConsumerCidrs=false"),
        (&[("DatabaseCidrs", "")], "Give DatabaseSecurityGroupId, or DatabaseCidrs"),
        (&FUNCTION_IN_VPC[..1], "Give both, or neither"),
        (&FUNCTION_IN_VPC[1..], "Give both, or neither"),
        (&[("DatabaseKind", "proxy"), ("DatabaseIdentifier", "app")], "or leave DatabaseIdentifier empty"),
        (&[("DatabaseKind", "address"), ("DatabaseIdentifier", "app")], "or leave DatabaseIdentifier empty"),
        (&[("DatabaseEngine", "sqlserver")], "Set DatabaseKind=instance"),
        (&oracle, "Set DatabaseKind=instance"),
    ];
    for (parameters, remedy) in cases {
        let refusals = Stack::with(parameters).refusals();
        assert!(matches!(&*refusals, [one] if one.contains(remedy)), "{parameters:?}: {refusals:?}");
    }
}

#[test]
fn rules_let_pass_what_works() {
    for (kind, endpoint) in ENDPOINTS {
        assert_eq!(
            Stack::with(&[("DatabaseKind", kind), ("DatabaseEndpoint", endpoint)]).refusals(),
            [""; 0],
            "{kind}"
        );
    }
    let enforced = [("EnforceConsumerCidrs", "true"), ("ConsumerCidrs", "10.9.0.0/16")];
    let identified = [("DatabaseKind", "instance"), ("DatabaseIdentifier", "app"), ("DatabaseEngine", "oracle")];
    let by_group = [("DatabaseCidrs", ""), SECURITY_GROUP];
    for parameters in [&enforced[..], &identified, &by_group, &FUNCTION_IN_VPC] {
        assert_eq!(Stack::with(parameters).refusals(), [""; 0], "{parameters:?}");
    }
}

#[test]
fn nothing_is_declared_without_use() {
    let mut used = BTreeSet::new();
    ["Resources", "Outputs", "Conditions", "Rules"].iter().for_each(|part| names_used(&TEMPLATE[part], &mut used));
    for part in ["Parameters", "Conditions", "Mappings"] {
        let unused: Vec<_> = section(part).keys().filter(|name| !used.contains(*name)).collect();
        assert!(unused.is_empty(), "{part} without use: {unused:?}");
    }
}

// --- The path ---

#[test]
fn the_load_balancer_is_internal_reaches_every_zone_and_has_a_security_group() {
    let load_balancer = Stack::with(&[]).existing("LoadBalancer");
    assert_eq!(load_balancer["Type"], "network");
    assert_eq!(load_balancer["Scheme"], "internal");
    assert_eq!(load_balancer["SecurityGroups"], json!(["{LoadBalancerSecurityGroup}"]));
    assert_eq!(load_balancer["Subnets"], json!(["subnet-0123456789abcdef0", "subnet-0123456789abcdef1"]));
    assert_eq!(attributes(&load_balancer["LoadBalancerAttributes"])["load_balancing.cross_zone.enabled"], "true");
}

#[test]
fn consumer_ranges_are_enforced_on_privatelink_only_when_asked() {
    let enforcement = |parameters: &[(&str, &str)]| {
        text(&Stack::with(parameters).existing("LoadBalancer")["EnforceSecurityGroupInboundRulesOnPrivateLinkTraffic"])
    };
    assert_eq!(enforcement(&[]), "off");
    assert_eq!(enforcement(&[("ConsumerCidrs", "10.9.0.0/16")]), "off");
    assert_eq!(enforcement(&[("ConsumerCidrs", "10.9.0.0/16"), ("EnforceConsumerCidrs", "true")]), "on");
}

#[test]
fn the_load_balancer_lets_in_the_consumers_and_reaches_the_database_on_its_port() {
    let rules = |parameters: &[(&str, &str)]| {
        let group = Stack::with(parameters).existing("LoadBalancerSecurityGroup");
        ["SecurityGroupIngress", "SecurityGroupEgress"].map(|direction| {
            let rules = group[direction].as_array().unwrap().iter().map(|rule| {
                assert_eq!(
                    (&rule["IpProtocol"], &rule["FromPort"], &rule["ToPort"]),
                    (&json!("tcp"), &json!("5432"), &json!("5432"))
                );
                rule.get("CidrIp").or(rule.get("DestinationSecurityGroupId")).map(text).unwrap()
            });
            rules.collect::<Vec<_>>()
        })
    };
    let six = ["10.1.0.0/16", "10.2.0.0/16", "10.3.0.0/16", "10.4.0.0/16", "10.5.0.0/16", "10.6.0.0/16"];
    let none: [&str; 0] = [];
    assert_eq!(rules(&[]), [none.as_slice(), &["10.0.1.0/24"]]);
    assert_eq!(rules(&[("DatabaseCidrs", ""), SECURITY_GROUP]), [none.as_slice(), &[SECURITY_GROUP.1]]);
    assert_eq!(rules(&[SECURITY_GROUP]), [none.as_slice(), &[SECURITY_GROUP.1, "10.0.1.0/24"]]);
    assert_eq!(rules(&[("ConsumerCidrs", &six.join(",")), ("DatabaseCidrs", &six.join(","))]), [six, six]);
    assert_eq!(rules(&[("ConsumerCidrs", &six[..2].join(","))])[0], six[..2]);
}

#[test]
fn the_database_group_lets_the_load_balancer_in() {
    assert_eq!(Stack::with(&[]).resource("DatabaseIngress"), None);
    let ingress = Stack::with(&[SECURITY_GROUP]).existing("DatabaseIngress");
    assert_eq!(ingress["GroupId"], SECURITY_GROUP.1);
    assert_eq!(ingress["SourceSecurityGroupId"], "{LoadBalancerSecurityGroup}");
    assert_eq!([&ingress["IpProtocol"], &ingress["FromPort"], &ingress["ToPort"]], ["tcp", "5432", "5432"]);
}

#[test]
fn the_target_group_is_the_functions_to_fill() {
    let group = Stack::with(&[]).existing("TargetGroup");
    assert_eq!(group.get("Targets"), None, "CloudFormation would own the list as well");
    assert_eq!([&group["TargetType"], &group["Protocol"], &group["HealthCheckProtocol"]], ["ip", "TCP", "TCP"]);
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
    assert_eq!(interval(&[("DatabaseEngine", "mysql"), ("HealthCheckIntervalSeconds", "30")]), "30");
}

#[test]
fn the_listener_forwards_to_the_group_on_the_databases_port() {
    let listener = Stack::with(&[("DatabasePort", "3306")]).existing("Listener");
    assert_eq!([&listener["Protocol"], &listener["Port"]], ["TCP", "3306"]);
    assert_eq!(listener["DefaultActions"], json!([{"Type": "forward", "TargetGroupArn": TARGET_GROUP}]));
}

#[test]
fn consumers_are_the_allowed_principals_and_are_accepted_by_hand() {
    let stack =
        Stack::with(&[("AllowedPrincipals", "arn:aws:iam::444455556666:root,arn:aws:iam::777788889999:role/x")]);
    let permissions = stack.existing("EndpointServicePermissions");
    assert_eq!(permissions["ServiceId"], "{EndpointService}");
    let expected = ["arn:aws:iam::444455556666:root", "arn:aws:iam::777788889999:role/x"];
    assert_eq!(permissions["AllowedPrincipals"], json!(expected));
    let service = stack.existing("EndpointService");
    assert_eq!(service["AcceptanceRequired"], "true");
    assert_eq!(service["NetworkLoadBalancerArns"], json!(["{LoadBalancer}"]));
    assert_eq!(service["Tags"], json!([{"Key": "Name", "Value": "link"}]));
    assert_eq!([service.get("SupportedRegions"), service.get("PrivateDnsName")], [None, None]);

    let parameters = [("SupportedRegions", "eu-central-1,us-east-1"), ("PrivateDnsName", "db.example.com")];
    let service = Stack::with(&parameters).existing("EndpointService");
    assert_eq!(service["SupportedRegions"], json!(["eu-central-1", "us-east-1"]));
    assert_eq!(service["PrivateDnsName"], "db.example.com");
}

/// A retained endpoint service whose load balancer has lost its listener is a dead link, and its load balancer cannot
/// be deleted, so the path stays as a whole.
#[test]
fn deleting_the_stack_leaves_the_whole_path_and_nothing_else() {
    let retained = section("Resources").iter().filter(|(_, resource)| resource.get("DeletionPolicy").is_some());
    let retained: BTreeMap<_, _> =
        retained.map(|(name, resource)| (name.as_str(), &resource["DeletionPolicy"])).collect();
    let path = [
        "DatabaseIngress",
        "EndpointService",
        "EndpointServicePermissions",
        "Listener",
        "LoadBalancer",
        "LoadBalancerSecurityGroup",
        "TargetGroup",
    ];
    assert_eq!(retained.keys().copied().collect::<Vec<_>>(), path);
    assert!(retained.values().all(|policy| *policy == "RetainExceptOnCreate"), "{retained:?}");
    assert_eq!(TEMPLATE["Resources"]["EndpointService"]["UpdateReplacePolicy"], "Retain");
}

// --- Events and schedule ---

#[test]
fn only_rds_of_this_account_may_publish() {
    let policy = Stack::with(&[]).existing("TopicPolicy");
    assert_eq!(policy["Topics"], json!(["{Topic}"]));
    let mut statements = policy["PolicyDocument"]["Statement"].as_array().unwrap().clone();
    statements.iter_mut().for_each(|statement| _ = statement.as_object_mut().unwrap().remove("Sid"));
    let only = json!({
        "Effect": "Allow",
        "Principal": {"Service": "events.rds.amazonaws.com"},
        "Action": "sns:Publish",
        "Resource": "{Topic}",
        "Condition": {
            "StringEquals": {"aws:SourceAccount": "111122223333"},
            "ArnLike": {"aws:SourceArn": "arn:aws:rds:eu-west-1:111122223333:*"},
        },
    });
    assert_eq!(statements, [only]);
}

#[test]
fn the_topic_is_encrypted_with_a_given_key() {
    let key = "arn:aws:kms:eu-west-1:111122223333:key/1234abcd";
    assert_eq!(Stack::with(&[]).existing("Topic"), json!({}));
    assert_eq!(Stack::with(&[("TopicKmsKeyArn", key)]).existing("Topic"), json!({"KmsMasterKeyId": key}));
    let description = text(&TEMPLATE["Parameters"]["TopicKmsKeyArn"]["Description"]);
    for grant in ["events.rds.amazonaws.com", "kms:GenerateDataKey*", "kms:Decrypt"] {
        assert!(description.contains(grant), "{grant} is not documented");
    }
}

#[test]
fn rds_tells_of_everything_that_can_move_the_writer() {
    let cluster =
        ["configuration change", "failover", "failure", "global-failover", "maintenance", "notification"].as_slice();
    let instance = &[
        "availability",
        "configuration change",
        "failover",
        "failure",
        "maintenance",
        "notification",
        "recovery",
        "restoration",
    ];
    for (kind, endpoint) in ENDPOINTS {
        let stack = Stack::with(&[("DatabaseKind", kind), ("DatabaseEndpoint", endpoint)]);
        let subscription = stack.resource("EventSubscription");
        let (source, categories) = match kind {
            "cluster" | "readers" => ("db-cluster", cluster),
            "instance" => ("db-instance", instance.as_slice()),
            _ => {
                assert_eq!(subscription, None, "{kind} is no source of RDS events");
                continue;
            }
        };
        let subscription = subscription.unwrap();
        assert_eq!(subscription["SnsTopicArn"], "{Topic}");
        assert_eq!(subscription["SourceType"], source, "{kind}");
        assert_eq!(subscription["SourceIds"], json!(["app"]), "{kind}");
        let subscribed: BTreeSet<_> = strings(&subscription["EventCategories"]).into_iter().collect();
        assert_eq!(subscribed, owned(categories.iter().copied()), "{kind}");
    }
    let named = Stack::with(&[("DatabaseIdentifier", "other")]).existing("EventSubscription");
    assert_eq!(named["SourceIds"], json!(["other"]));
    assert_eq!(TEMPLATE["Resources"]["EventSubscription"]["DependsOn"], "TopicPolicy", "RDS tests it at once");
}

/// Whether EventBridge would let an event through a pattern, for the forms that the template uses: lists of exact
/// values and `$or`. An event that lacks a field of the pattern does not match.
fn matches(pattern: &Value, event: &Value) -> bool {
    let fields = pattern.as_object().unwrap_or_else(|| panic!("{pattern} is no pattern"));
    fields.iter().all(|(key, expected)| match expected {
        Value::Array(branches) if key == "$or" => {
            assert!(branches.len() >= 2, "EventBridge takes no $or of one");
            branches.iter().any(|branch| matches(branch, event))
        }
        Value::Array(values) => {
            assert!(values.iter().all(Value::is_string), "{values:?} is not known here");
            event.get(key).is_some_and(|value| values.contains(value))
        }
        nested => event.get(key).is_some_and(|value| matches(nested, value)),
    })
}

/// The pattern for a database, and the binding that the function gets with it.
fn event_pattern(kind: &str, endpoint: &str, id: &str) -> (Value, Binding) {
    let parameters = [("DatabaseKind", kind), ("DatabaseEndpoint", endpoint), ("DatabaseIdentifier", id)];
    let stack = Stack::with(&parameters);
    let variables = &stack.existing("Function")["Environment"]["Variables"];
    let config = Config::parse(|name| variables.get(name).map(text)).unwrap();
    let pattern = stack.existing("EventRule")["EventPattern"].clone();
    (pattern, config.bindings.into_iter().next().unwrap())
}

/// The kinds whose writer RDS tells of, with the resource in their ARN.
fn rds_endpoints() -> impl Iterator<Item = (&'static str, &'static str, &'static str)> {
    let resource = |kind| if kind == "instance" { "db" } else { "cluster" };
    ENDPOINTS.into_iter().take(3).map(move |(kind, endpoint)| (kind, endpoint, resource(kind)))
}

const DEPLOYMENT: &str = "deployment:bgd-hdqs3ik6vrwgutsn";

fn rds_event(id: &str, source: &str) -> Value {
    json!({
        "detail-type": "RDS Event",
        "source": "aws.rds",
        "detail": {
            "EventID": id,
            "SourceArn": format!("arn:aws:rds:eu-west-1:111122223333:{source}"),
            "Message": "Completed failover to DB instance: app-b",
        },
    })
}

#[test]
fn the_rule_knows_the_ids_that_the_function_knows() {
    let known: BTreeSet<_> = event::ids().collect();
    for (kind, endpoint, resource) in rds_endpoints() {
        let (pattern, _) = event_pattern(kind, endpoint, "");
        assert_eq!(strings(&pattern["source"]), ["aws.rds"]);
        let branches = pattern["detail"]["$or"].as_array().unwrap();
        let listed: Vec<_> = branches.iter().map(|branch| strings(&branch["EventID"])).collect();
        for ids in &listed {
            assert!(ids.is_sorted_by(|a, b| a < b), "{kind}: {ids:?} would be easier to read in order");
        }
        assert_eq!(listed.concat().into_iter().collect::<BTreeSet<_>>(), known, "{kind}");
        let own = format!("{resource}:app");
        assert!(known.iter().all(|id| matches(&pattern, &rds_event(id, &own))), "{kind}");
        for number in 0..600 {
            let id = format!("RDS-EVENT-{number:04}");
            assert_eq!(matches(&pattern, &rds_event(&id, &own)), known.contains(&id), "{kind}: {id}");
        }
    }
}

#[test]
fn from_names_that_are_not_known_the_rule_brings_what_moves_addresses_and_no_failover() {
    let blue_green = ["RDS-EVENT-0248", "RDS-EVENT-0251", "RDS-EVENT-0260"];
    for (kind, endpoint, resource) in rds_endpoints() {
        let (pattern, binding) = event_pattern(kind, endpoint, "");
        let own = format!("{resource}:app");
        for id in event::ids() {
            let concerns = |source: &str| {
                let trigger = Trigger::parse(&rds_event(&id, source)).unwrap();
                trigger.events.iter().any(|event| event.concerns(&binding))
            };
            let is_let_through = |source: &str| matches(&pattern, &rds_event(&id, source));
            assert!(is_let_through(&own), "{kind}: {id} of its own");
            // The cluster itself tells where its global writer endpoint points.
            let is_by_id = match kind {
                "instance" => blue_green.contains(&id.as_str()),
                _ => concerns("db:app-b") && id != "RDS-EVENT-0397",
            };
            assert!(concerns(DEPLOYMENT) || !is_by_id, "{kind}: {id} of a deployment");
            assert!(is_by_id || !blue_green.contains(&id.as_str()), "{kind}: {id} is told by the deployment alone");
            for other in ["db:app-b", DEPLOYMENT, "cluster:other"] {
                assert_eq!(is_let_through(other), is_by_id, "{kind}: {id} of {other}");
            }
        }
    }
}

#[test]
fn the_rule_follows_the_database_that_the_function_follows() {
    for (kind, endpoint, resource) in rds_endpoints() {
        let (pattern, binding) = event_pattern(kind, endpoint, "other");
        assert_eq!(binding.id.as_deref(), Some("other"));
        assert!(matches(&pattern, &rds_event("RDS-EVENT-0071", &format!("{resource}:other"))), "{kind}");
        assert!(!matches(&pattern, &rds_event("RDS-EVENT-0071", &format!("{resource}:app"))), "{kind}");
    }
}

#[test]
fn the_rule_lets_the_sample_events_about_the_writer_through_and_no_others() {
    let (pattern, binding) = event_pattern("cluster", ENDPOINTS[0].1, "orders");
    let samples = std::fs::read_dir(root().join("tests/events")).unwrap().map(|entry| entry.unwrap().path());
    let mut let_through = BTreeSet::new();
    for path in samples {
        // The samples' account and Region, in the stack's place.
        let sample = std::fs::read_to_string(&path).unwrap();
        let sample = sample.replace("123456789012", "111122223333").replace("us-east-1", "eu-west-1");
        let sample: Value = serde_json::from_str(&sample).unwrap();
        let is_of_rds = sample["source"] == "aws.rds";
        let events = Trigger::parse(&sample).unwrap().events;
        let is_about_the_writer = is_of_rds && events.iter().any(|event| event.concerns(&binding));
        assert_eq!(matches(&pattern, &sample), is_about_the_writer, "{}", path.display());
        if is_about_the_writer {
            let_through.insert(path.file_name().unwrap().to_string_lossy().into_owned());
        }
    }
    assert_eq!(let_through, owned(["eventbridge-blue-green.json", "eventbridge-cluster-failover.json"]));
    let unrelated = [
        rds_event("RDS-EVENT-0001", "cluster:orders"),
        rds_event("RDS-EVENT-0071", "cluster:ledger"),
        rds_event("RDS-EVENT-0049", "db:ledger"),
    ];
    assert!(unrelated.iter().all(|event| !matches(&pattern, event)));
    let mut disguised = rds_event("RDS-EVENT-0071", "cluster:orders");
    assert!(matches(&pattern, &disguised));
    disguised["source"] = "com.example".into();
    assert!(!matches(&pattern, &disguised), "anybody in the account may put events of other sources");
}

/// What leads to the function, each way with the resources that only it has.
const WAYS: [(&str, &[&str]); 3] = [
    ("topic", &["EventSubscription", "Topic", "TopicPermission", "TopicPolicy", "TopicSubscription"]),
    ("rule", &["EventPermission", "EventQueue", "EventQueuePolicy", "EventRule"]),
    ("schedule", &["Schedule", "SchedulePermission"]),
];

#[test]
fn the_topic_the_rule_and_the_schedule_invoke_the_function() {
    let stack = Stack::with(&[("ScheduleExpression", "rate(2 minutes)")]);
    let subscription = stack.existing("TopicSubscription");
    assert_eq!([&subscription["Protocol"], &subscription["TopicArn"]], ["lambda", "{Topic}"]);
    assert_eq!(subscription["Endpoint"], "{Function.Arn}");
    let schedule = stack.existing("Schedule");
    assert_eq!([&schedule["ScheduleExpression"], &schedule["State"]], ["rate(2 minutes)", "ENABLED"]);
    let rule = stack.existing("EventRule");
    assert_eq!(rule["State"], "ENABLED");
    assert_eq!(rule.get("EventBusName"), None, "RDS sends to the default bus");
    for rule in [&schedule, &rule] {
        assert_eq!(rule["Targets"].as_array().unwrap().len(), 1);
        assert_eq!(rule["Targets"][0]["Arn"], "{Function.Arn}");
    }
    let callers = [
        ("EventPermission", "events.amazonaws.com", "{EventRule.Arn}"),
        ("SchedulePermission", "events.amazonaws.com", "{Schedule.Arn}"),
        ("TopicPermission", "sns.amazonaws.com", "{Topic}"),
    ];
    let permissions = without_flushing().filter(|(_, resource)| resource["Type"] == "AWS::Lambda::Permission");
    assert_eq!(
        permissions.map(|(name, _)| name.clone()).collect::<BTreeSet<_>>(),
        owned(callers.map(|(name, ..)| name))
    );
    for (name, principal, source) in callers {
        let expected = json!({
            "Action": "lambda:InvokeFunction",
            "FunctionName": "{Function}",
            "Principal": principal,
            "SourceArn": source,
        });
        assert_eq!(stack.existing(name), expected);
    }
}

#[test]
fn the_loss_of_any_two_ways_to_the_function_leaves_the_third() {
    let resources = section("Resources");
    for (way, own) in WAYS {
        let mut needed = BTreeSet::new();
        for name in own {
            names_used(&resources[*name], &mut needed);
            needed.extend(resources[*name].get("DependsOn").map(strings).into_iter().flatten());
        }
        needed.retain(|name| resources.contains_key(name));
        // The failure queue receives only what the topic or the schedule could not deliver.
        let shared: &[&str] = if way == "rule" { &["Function"] } else { &["FailureQueue", "Function"] };
        let allowed = owned(own.iter().chain(shared).copied());
        assert!(needed.is_subset(&allowed), "the {way} needs more than {allowed:?}: {needed:?}");
    }
    let mut by_the_function = BTreeSet::new();
    ["Function", "FunctionRole"].iter().for_each(|name| names_used(&resources[*name], &mut by_the_function));
    for (way, own) in WAYS {
        assert!(own.iter().all(|name| !by_the_function.contains(*name)), "the function needs the {way}");
    }
}

#[test]
fn only_what_rds_tells_of_has_a_rule() {
    let parts: BTreeSet<_> = section("Resources").keys().filter(|name| name.starts_with("Event")).collect();
    let expected =
        ["EventPermission", "EventQueue", "EventQueueAlarm", "EventQueuePolicy", "EventRule", "EventSubscription"];
    assert_eq!(parts.iter().map(|name| (*name).clone()).collect::<BTreeSet<_>>(), owned(expected));
    for (kind, endpoint) in ENDPOINTS {
        let stack = Stack::with(&[("DatabaseKind", kind), ("DatabaseEndpoint", endpoint)]);
        let is_rds = rds_endpoints().any(|(rds, ..)| rds == kind);
        for part in expected {
            assert_eq!(stack.resource(part).is_some(), is_rds, "{kind}: {part}");
        }
        assert_eq!(stack.condition(TEMPLATE["Outputs"]["EventQueueUrl"]["Condition"].as_str().unwrap()), is_rds);
    }
}

#[test]
fn events_that_the_rule_cannot_deliver_land_in_an_encrypted_queue_of_its_own() {
    let stack = Stack::with(&[]);
    let target = &stack.existing("EventRule")["Targets"][0];
    assert_eq!(target["DeadLetterConfig"], json!({"Arn": "{EventQueue.Arn}"}));
    assert_eq!(target["RetryPolicy"], json!({"MaximumEventAgeInSeconds": EVENT_LIFETIME.as_secs()}));
    let queue = json!({"SqsManagedSseEnabled": true, "MessageRetentionPeriod": 1209600});
    assert_eq!(stack.existing("EventQueue"), queue);
    let policy = stack.existing("EventQueuePolicy");
    assert_eq!(policy["Queues"], json!(["{EventQueue}"]));
    let only = json!({
        "Sid": "UndeliveredEvents",
        "Effect": "Allow",
        "Principal": {"Service": "events.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": "{EventQueue.Arn}",
        "Condition": {"ArnEquals": {"aws:SourceArn": "{EventRule.Arn}"}},
    });
    assert_eq!(policy["PolicyDocument"]["Statement"], json!([only]));
}

#[test]
fn whatever_else_is_lost_lands_in_one_encrypted_queue() {
    let stack = Stack::with(&[]);
    let queue = "{FailureQueue.Arn}";
    assert_eq!(stack.existing("FailureQueue")["SqsManagedSseEnabled"], true);
    let asynchronous = &stack.existing("Function")["EventInvokeConfig"];
    assert_eq!(asynchronous["MaximumRetryAttempts"], 2);
    assert_eq!(asynchronous["DestinationConfig"]["OnFailure"], json!({"Type": "SQS", "Destination": queue}));
    assert_eq!(stack.existing("TopicSubscription")["RedrivePolicy"]["deadLetterTargetArn"], queue);
    assert_eq!(stack.existing("Schedule")["Targets"][0]["DeadLetterConfig"]["Arn"], queue);

    let policy = stack.existing("FailureQueuePolicy");
    assert_eq!(policy["Queues"], json!(["{FailureQueue}"]));
    let writers = policy["PolicyDocument"]["Statement"].as_array().unwrap().iter().map(|statement| {
        assert_eq!([&statement["Effect"], &statement["Action"]], ["Allow", "sqs:SendMessage"]);
        assert_eq!(statement["Resource"], queue);
        (text(&statement["Principal"]["Service"]), text(&statement["Condition"]["ArnEquals"]["aws:SourceArn"]))
    });
    let expected = [("events.amazonaws.com", "{Schedule.Arn}"), ("sns.amazonaws.com", "{Topic}")];
    assert_eq!(writers.collect::<BTreeSet<_>>(), expected.map(|(a, b)| (a.into(), b.into())).into());
}

// --- The function ---

#[test]
fn the_function_is_built_from_this_workspace() {
    let metadata = &TEMPLATE["Resources"]["Function"]["Metadata"];
    assert_eq!(*metadata, json!({"BuildMethod": "rust-cargolambda", "BuildProperties": {"Binary": "failover-sync"}}));
    let function = Stack::with(&[]).existing("Function");
    assert!(root().join(text(&function["CodeUri"])).join("Cargo.toml").exists());
    assert_eq!([&function["Runtime"], &function["Handler"]], ["provided.al2023", "bootstrap"]);
    assert_eq!(function["Architectures"], json!(["x86_64"]));
    let names = |parameters: &[(&str, &str)]| {
        let stack = Stack::with(parameters);
        [text(&stack.existing("Function")["FunctionName"]), text(&stack.existing("FunctionLogGroup")["LogGroupName"])]
    };
    assert_eq!(names(&[]), ["link", "/aws/lambda/link"]);
    assert_eq!(names(&[("FunctionName", "mine")]), ["mine", "/aws/lambda/mine"]);
}

#[test]
fn the_function_logs_json_to_a_group_that_forgets() {
    let stack = Stack::with(&[("LogRetentionDays", "7")]);
    let expected = json!({
        "LogFormat": "JSON",
        "ApplicationLogLevel": "INFO",
        "SystemLogLevel": "WARN",
        "LogGroup": "{FunctionLogGroup}",
    });
    assert_eq!(stack.existing("Function")["LoggingConfig"], expected);
    assert_eq!(stack.existing("FunctionLogGroup")["RetentionInDays"], "7");
}

#[test]
fn the_function_outlives_its_budgets_and_its_events_outlive_the_retries() {
    let function = Stack::with(&[]).existing("Function");
    let timeout = Duration::from_secs(function["Timeout"].as_u64().unwrap());
    let calls = 2 * aws::OPERATION_TIMEOUT;
    for budget in [WATCH_LIMIT, DRIFT_LIMIT] {
        assert!(timeout > budget + calls, "{timeout:?} is not more than {budget:?} and the calls around it");
    }
    // Lambda pauses one minute before the first retry and two before the second.
    let age = Duration::from_secs(function["EventInvokeConfig"]["MaximumEventAgeInSeconds"].as_u64().unwrap());
    assert!(age >= 3 * timeout + Duration::from_secs(60 + 120), "{age:?} does not leave room for three attempts");
}

#[test]
fn the_environment_is_what_the_configuration_reads() {
    for (kind, endpoint) in ENDPOINTS {
        let parameters = [
            ("DatabaseKind", kind),
            ("DatabaseEndpoint", endpoint),
            ("AllowedCidrs", "10.0.0.0/16"),
            ("DnsServers", "10.0.0.2,127.0.0.1:5353"),
        ];
        let function = Stack::with(&parameters).existing("Function");
        let variables = function["Environment"]["Variables"].as_object().unwrap();
        assert_eq!(variables.keys().cloned().collect::<BTreeSet<_>>(), owned(VARIABLES));
        let config =
            Config::parse(|name| variables.get(name).map(text)).unwrap_or_else(|error| panic!("{kind}: {error}"));
        let [binding] = config.bindings.as_slice() else { panic!("{:?}", config.bindings) };
        let id = ["cluster", "readers", "instance"].contains(&kind).then_some("app");
        assert_eq!(binding.name, "writer");
        assert_eq!(Kind::NAMES.iter().find(|(name, _)| *name == kind).unwrap().1, binding.kind);
        assert_eq!(binding.id.as_deref(), id, "{kind}");
        assert_eq!((binding.endpoint.to_string(), binding.port), (endpoint.to_owned(), 5432));
        assert_eq!(binding.target_group.to_string(), TARGET_GROUP);
        assert_eq!(config.allowed.to_string(), "10.0.0.0/16");
        assert_eq!(config.dns_servers.len(), 2);
    }
    let named = Stack::with(&[("DatabaseIdentifier", "other")]).existing("Function");
    assert!(text(&named["Environment"]["Variables"]["BINDINGS"]).contains(r#""id":"other""#));
}

#[test]
fn unset_options_are_left_to_the_function() {
    let function = Stack::with(&[]).existing("Function");
    let config = Config::parse(|name| function["Environment"]["Variables"].get(name).map(text)).unwrap();
    assert!(config.dns_servers.is_empty());
    assert_eq!(function.get("VpcConfig"), None);
    let kinds = strings(&TEMPLATE["Parameters"]["DatabaseKind"]["AllowedValues"]);
    assert_eq!(kinds.into_iter().collect::<BTreeSet<_>>(), owned(Kind::NAMES.map(|(name, _)| name)));
}

#[test]
fn the_function_joins_given_subnets() {
    let function = Stack::with(&FUNCTION_IN_VPC).existing("Function");
    let expected = json!({"SubnetIds": [FUNCTION_IN_VPC[0].1], "SecurityGroupIds": [FUNCTION_IN_VPC[1].1]});
    assert_eq!(function["VpcConfig"], expected);
}

// --- Permissions ---

/// The statements of the function's role with this effect: actions and resource.
fn statements(stack: &Stack, effect: &str) -> Vec<(BTreeSet<String>, String)> {
    let role = stack.existing("FunctionRole");
    assert_eq!(role.get("ManagedPolicyArns"), None, "the policies are written out");
    let policies = role["Policies"].as_array().unwrap();
    let statements = policies.iter().flat_map(|policy| policy["PolicyDocument"]["Statement"].as_array().unwrap());
    let matching = statements.filter(|statement| statement["Effect"] == effect);
    matching.map(|s| (strings(&s["Action"]).into_iter().collect(), text(&s["Resource"]))).collect()
}

fn resources_of(stack: &Stack, action: &str) -> Vec<String> {
    let statements = statements(stack, "Allow").into_iter();
    statements.filter(|(actions, _)| actions.contains(action)).map(|(_, resource)| resource).collect()
}

#[test]
fn the_role_allows_what_the_adapters_call_and_no_more() {
    for (kind, endpoint) in ENDPOINTS {
        let has_topology = ["cluster", "readers"].contains(&kind);
        for in_vpc in [false, true] {
            let mut parameters = vec![("DatabaseKind", kind), ("DatabaseEndpoint", endpoint)];
            let mut expected: BTreeSet<_> =
                [&elbv2::IAM_ACTIONS[..], &LOG_ACTIONS, &QUEUE_ACTIONS].concat().into_iter().collect();
            if has_topology {
                expected.extend(rds::IAM_ACTIONS);
            }
            if in_vpc {
                parameters.extend(FUNCTION_IN_VPC);
                expected.extend(NETWORK_INTERFACE_ACTIONS);
            }
            let allowed = statements(&Stack::with(&parameters), "Allow").into_iter().flat_map(|(actions, _)| actions);
            assert_eq!(allowed.collect::<BTreeSet<_>>(), owned(expected), "{parameters:?}");
        }
    }
}

#[test]
fn the_role_names_its_resources() {
    let stack = Stack::with(&FUNCTION_IN_VPC);
    let arn = |service: &str, rest: &str| format!("arn:aws:{service}:eu-west-1:111122223333:{rest}");
    let expected = [
        ("elasticloadbalancing:RegisterTargets", TARGET_GROUP.to_owned()),
        ("elasticloadbalancing:DeregisterTargets", TARGET_GROUP.to_owned()),
        ("rds:DescribeDBClusters", arn("rds", "cluster:app")),
        ("rds:DescribeDBInstances", arn("rds", "db:*")),
        ("logs:PutLogEvents", arn("logs", "log-group:{FunctionLogGroup}:*")),
        ("sqs:SendMessage", "{FailureQueue.Arn}".to_owned()),
    ];
    for (action, resource) in expected {
        assert_eq!(resources_of(&stack, action), [resource], "{action}");
    }
    let everywhere = statements(&stack, "Allow").into_iter().filter(|(_, resource)| resource == "*");
    let everywhere: BTreeSet<_> = everywhere.flat_map(|(actions, _)| actions).collect();
    let mut without_resources = owned(NETWORK_INTERFACE_ACTIONS);
    without_resources.insert("elasticloadbalancing:DescribeTargetHealth".into());
    assert_eq!(everywhere, without_resources, "actions that take no resource");

    let named = Stack::with(&[("DatabaseIdentifier", "other")]);
    assert_eq!(resources_of(&named, "rds:DescribeDBClusters"), [arn("rds", "cluster:other")]);
}

#[test]
fn network_interfaces_are_lambdas_to_handle_and_not_the_codes() {
    let denied = statements(&Stack::with(&FUNCTION_IN_VPC), "Deny");
    assert_eq!(denied, [(owned(NETWORK_INTERFACE_ACTIONS), "*".to_owned())]);
    assert_eq!(statements(&Stack::with(&[]), "Deny"), []);
}

// --- Operation ---

#[test]
fn alarms_see_errors_losses_silence_and_a_group_without_a_target() {
    let stack = Stack::with(&[("AlarmTopicArn", "arn:aws:sns:eu-west-1:111122223333:ops")]);
    let function = json!([{"Name": "FunctionName", "Value": "{Function}"}]);
    let queue = |name: &str| json!([{"Name": "QueueName", "Value": format!("{{{name}.QueueName}}")}]);
    let (failures, undelivered) = (queue("FailureQueue"), queue("EventQueue"));
    let visible = "AWS/SQS ApproximateNumberOfMessagesVisible Maximum";
    let targets = json!([
        {"Name": "LoadBalancer", "Value": "{LoadBalancer.LoadBalancerFullName}"},
        {"Name": "TargetGroup", "Value": "{TargetGroup.TargetGroupFullName}"},
    ]);
    let at_least = "GreaterThanOrEqualToThreshold";
    let below = "LessThanThreshold";
    let expected = [
        ("FunctionErrorsAlarm", "AWS/Lambda Errors Sum", &function, at_least, 3, "notBreaching"),
        ("FailureQueueAlarm", visible, &failures, at_least, 1, "notBreaching"),
        ("EventQueueAlarm", visible, &undelivered, at_least, 1, "notBreaching"),
        ("NoHealthyTargetAlarm", "AWS/NetworkELB HealthyHostCount Maximum", &targets, below, 1, "breaching"),
        ("ScheduleSilentAlarm", "AWS/Lambda Invocations Sum", &function, below, 1, "breaching"),
    ];
    let alarms = without_flushing().filter(|(_, resource)| resource["Type"] == "AWS::CloudWatch::Alarm");
    assert_eq!(alarms.map(|(name, _)| name.clone()).collect::<BTreeSet<_>>(), owned(expected.map(|alarm| alarm.0)));
    for (name, metric, dimensions, comparison, threshold, missing) in expected {
        let alarm = stack.existing(name);
        let measured = ["Namespace", "MetricName", "Statistic"].map(|key| text(&alarm[key])).join(" ");
        assert_eq!(measured, metric);
        assert_eq!(&alarm["Dimensions"], dimensions, "{name}");
        assert_eq!(
            (&alarm["ComparisonOperator"], &alarm["Threshold"]),
            (&json!(comparison), &json!(threshold)),
            "{name}"
        );
        assert_eq!(alarm["TreatMissingData"], missing, "{name}");
        assert_eq!(alarm["AlarmActions"], json!(["arn:aws:sns:eu-west-1:111122223333:ops"]), "{name}");
        assert_eq!(Stack::with(&[]).existing(name).get("AlarmActions"), None, "{name}");
        assert!(text(&alarm["AlarmDescription"]).len() > 80, "{name} does not say what to do");
    }
}

#[test]
fn the_slowest_schedule_is_not_taken_for_silence() {
    let alarm = Stack::with(&[("ScheduleExpression", "rate(5 minutes)")]).existing("ScheduleSilentAlarm");
    let window = alarm["Period"].as_u64().unwrap() * alarm["EvaluationPeriods"].as_u64().unwrap();
    assert_eq!(window, 2 * 300);
    assert!(!accepts("ScheduleExpression", "rate(6 minutes)"));
}

#[test]
fn outputs_are_what_consumers_and_operators_need() {
    let stack = Stack::with(&[]);
    let expected = [
        ("EndpointServiceId", "{EndpointService}"),
        ("EndpointServiceName", "com.amazonaws.vpce.eu-west-1.{EndpointService}"),
        ("EventQueueUrl", "{EventQueue}"),
        ("FailureQueueUrl", "{FailureQueue}"),
        ("FlushHostsFunctionName", "{FlushHosts}"),
        ("FunctionName", "{Function}"),
        ("LoadBalancerDnsName", "{LoadBalancer.DNSName}"),
        ("LoadBalancerSecurityGroupId", "{LoadBalancerSecurityGroup}"),
        ("SubnetIds", BASE[4].1),
        ("TargetGroupArn", TARGET_GROUP),
        ("TopicArn", "{Topic}"),
    ];
    assert_eq!(section("Outputs").keys().cloned().collect::<BTreeSet<_>>(), owned(expected.map(|(name, _)| name)));
    for (name, value) in expected {
        assert_eq!(stack.output(name), value);
        assert!(TEMPLATE["Outputs"][name]["Description"].is_string(), "{name}");
    }
}

/// SAM's cache looks only at the function's own folder: it would ship an old binary after a change in `reconcile`.
#[test]
fn sam_does_not_cache_builds() {
    let samconfig = std::fs::read_to_string(root().join("samconfig.toml")).unwrap();
    let settings: Vec<_> = samconfig.lines().filter(|line| !line.trim_start().starts_with('#')).collect();
    assert!(!settings.iter().any(|line| line.contains("cached")), "{settings:?}");
    assert!(settings.contains(&r#"capabilities = "CAPABILITY_IAM""#));
    let account = Regex::new(r"\d{12}|vpc-|subnet-").unwrap();
    assert!(!account.is_match(&settings.join("\n")), "an account's values do not belong here");
}
