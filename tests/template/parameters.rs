//! What the parameters take, and which combinations are refused.

use std::collections::BTreeSet;

use serde_json::json;

use super::stack::{
    ENDPOINTS, LOAD_BALANCER, LOAD_BALANCER_NAME, Stack, TARGET_GROUP, accepts, layer, owned,
    section, takes,
};
use super::{
    FUNCTION_IN_VPC, GROUP_OF_READERS, READERS, SECURITY_GROUP, adopting, every_stack, joined,
};

/// Lambda takes 16 subnets and five groups (API, `VpcConfig`); CloudFormation says it late.
#[test]
fn a_function_has_no_more_subnets_and_groups_than_lambda_takes() {
    let many = |prefix: &str, count: usize| vec![format!("{prefix}-01234567"); count].join(",");
    for (parameters, prefix, most) in [
        (["FunctionSubnetIds", "FlushHostsSubnetIds"], "subnet", 16),
        (["FunctionSecurityGroupIds", "FlushHostsSecurityGroupIds"], "sg", 5),
    ] {
        for path in [
            "template.yaml",
            "infra/database.yaml",
            "infra/function.yaml",
            "infra/flush-hosts.yaml",
        ] {
            let definition =
                parameters.iter().find_map(|name| layer(path)["Parameters"].get(name)).unwrap();
            assert!(takes(definition, &many(prefix, most)), "{path} refuses {most} of {prefix}");
            assert!(
                !takes(definition, &many(prefix, most + 1)),
                "{path} takes more than {most} of {prefix}"
            );
        }
    }
}

#[test]
fn what_has_no_safe_default_has_none() {
    let database = ["DatabaseEndpoint", "DatabaseEngine", "DatabaseKind", "DatabasePort"];
    for (path, more) in [
        ("template.yaml", &["AllowedPrincipals", "SubnetIds", "VpcId"][..]),
        (
            "infra/database.yaml",
            &["LoadBalancerArn", "LoadBalancerSecurityGroupId", "OperationsTopicArn", "VpcId"],
        ),
        ("infra/function.yaml", &["LoadBalancerArn", "OperationsTopicArn", "TargetGroupArn"]),
    ] {
        let parameters = layer(path)["Parameters"].as_object().unwrap();
        let required =
            parameters.iter().filter(|(_, definition)| definition.get("Default").is_none());
        let required: BTreeSet<_> = required.map(|(name, _)| name.clone()).collect();
        assert_eq!(required, owned(database.iter().chain(more).copied()), "{path}");
    }
}

#[test]
fn defaults_are_the_stated_ones() {
    let expected = json!({
        "AcceptanceRequired": "true",
        "AllowedCidrs": "10.0.0.0/8,172.16.0.0/12,192.168.0.0/16,100.64.0.0/10,fc00::/7",
        "DeregistrationDelaySeconds": 120,
        "EnforceConsumerCidrs": "false",
        "HealthCheckIntervalSeconds": "auto",
        "IpAddressType": "ipv4",
        "Mode": "act",
        "PathProbe": "false",
        "ScheduleExpression": "rate(1 minute)",
        "TargetIpAddressType": "ipv4",
    });
    for (name, default) in expected.as_object().unwrap() {
        assert_eq!(&section("Parameters")[name]["Default"], default, "{name}");
    }
}

#[test]
fn parameters_take_what_is_right_and_nothing_else() {
    let root = "arn:aws:iam::444455556666:root";
    let two = format!("{root},arn:aws-us-gov:iam::444455556666:role/vendor");
    let ten = ["10.0.0.0/8"; 10].join(",");
    let both = "10.0.0.0/8,fd00:ec2::/56,2600:1f18:0:1::/64";
    let application = LOAD_BALANCER.replace("/net/", "/app/");
    let port: (&[&str], &[&str]) = (
        &["", "1", "5433", "65535"],
        &["0", "05433", "65536", "70000", "100000", "-1", "5432,5433", "postgres"],
    );
    let listener = TARGET_GROUP.replace(":targetgroup/", ":listener/net/");
    let elsewhere = TARGET_GROUP.replace("arn:aws:", "arn:aws-cn:");
    let nameless = TARGET_GROUP.replace("/link/", "/");
    let groups: (&[&str], &[&str]) =
        (&[TARGET_GROUP, &elsewhere], &["link", &listener, LOAD_BALANCER, &nameless]);
    let cases: [(&str, &[&str], &[&str]); 33] = [
        ("PathProbe", &["true", "false"], &["", "yes", "True"]),
        (
            "LoadBalancerDnsName",
            &["", LOAD_BALANCER_NAME, "Orders-0a1b.elb.cn-north-1.amazonaws.com.cn"],
            &[
                "link",
                "https://a.b",
                "a.b:5432",
                "a.b.",
                "a..b",
                "a.b,c.d",
                "10.0.1.20",
                "a.b.1",
                "a.b.0x1f",
                LOAD_BALANCER,
            ],
        ),
        ("Mode", &["act", "observe"], &["", "Act", "dry-run", "true"]),
        ("TargetGroupArn", groups.0, groups.1),
        ("ReaderTargetGroupArn", groups.0, groups.1),
        ("ReaderEndpoint", &["", ENDPOINTS[1].1], &["10.0.1.9:5432", "https://a.b", "A.b", "a"]),
        ("TargetIpAddressType", &["ipv4", "ipv6"], &["", "dualstack", "IPv6"]),
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
                "arn:aws-mars:iam::444455556666:root",
            ],
        ),
        (
            "DatabaseEndpoint",
            &["a.b", "10.0.1.9", "fd00:ec2::9", "::1"],
            &["", "db", "https://a.b", "a.b:5432", "a.b.", "A.b", "a..b", "a b.c"],
        ),
        ("DatabasePort", &["1", "65535"], &["0", "65536", "text", ""]),
        ("DatabaseIdentifier", &["", "app", "app-2"], &["App", "2app", "app-", "app--2", "app.x"]),
        (
            "SubnetIds",
            &[
                "subnet-01234567,subnet-89abcdef",
                "subnet-0123456789abcdef0,subnet-0123456789abcdef1,subnet-01234567",
            ],
            &[
                "",
                "subnet-01234567",
                "subnet-01234567,",
                "subnet-01234567, subnet-89abcdef",
                "vpc-01234567,vpc-01234567",
            ],
        ),
        (
            "ConsumerCidrs",
            &["", "10.0.0.0/8", &ten, both],
            &[
                "10.0.0.0",
                "0.0.0.0/0",
                "10.0.0.0/33",
                "10.0.0.0/8,",
                "::/0",
                "fd00::/129",
                "fd00::",
            ],
        ),
        (
            "DatabaseCidrs",
            &["", "10.0.1.7/32", "fd00::7/128", &ten],
            &["10.0.0.0", "0.0.0.0/0", "10.0.0.0/8, 10.0.0.0/8"],
        ),
        (
            "ConsumerPrefixListId",
            &["", "pl-0123456789abcdef0"],
            &["pl-", "10.0.0.0/8", "pl-01234567,pl-01234567"],
        ),
        (
            "DatabasePrefixListId",
            &["", "pl-0123456789abcdef0"],
            &["pl-", "10.0.0.0/8", "pl-01234567,pl-01234567"],
        ),
        ("IpAddressType", &["ipv4", "dualstack", "ipv6"], &["", "IPv4", "both"]),
        ("LinkName", &["", "failover-sync-2", &*"a".repeat(64)], &["a b", "a_b", &*"a".repeat(65)]),
        (
            "AllowedCidrs",
            &[
                "10.0.0.0/16",
                "fd00:ec2::/56",
                "2600:1f18:0:1::/64,10.0.0.0/16",
                "1:2:3:4:5:6:7:8/128",
            ],
            &[
                "",
                "0.0.0.0/0",
                "::/0",
                "10.0.0.0/8,0.0.0.0/0",
                "10.0.0.0/8,::/0",
                "fd00::",
                "fd00::/129",
                "fd00/8",
                "10.0.0.0/8, fc00::/7",
            ],
        ),
        (
            "DatabaseSecurityGroupId",
            &["", "sg-01234567"],
            &["sg-", "sg-01234567,sg-01234567", "default"],
        ),
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
        (
            "SupportedRegions",
            &["", "eu-west-1", "us-gov-west-1,eu-west-1", "eusc-de-east-1"],
            &["*", "europe", "eu-west-1,"],
        ),
        ("FunctionName", &["", "failover-sync_2"], &["a b", &*"a".repeat(65)]),
        ("ListenerPort", port.0, port.1),
        ("ReaderListenerPort", port.0, port.1),
        (
            "LoadBalancerArn",
            &[LOAD_BALANCER],
            &[
                "",
                &application,
                "shared",
                "arn:aws:elasticloadbalancing:eu-west-1:111122223333:listener/net/shared/\
                 fedcba9876543210/0123456789abcdef",
                "arn:aws:elasticloadbalancing:eu-west-1:111122223333:loadbalancer/net/shared",
            ],
        ),
        (
            "LoadBalancerSecurityGroupId",
            &["sg-01234567"],
            &["", "sg-", "sg-01234567,sg-01234567", "default"],
        ),
        (
            "OperationsTopicArn",
            &["", "arn:aws:sns:eu-west-1:111122223333:ops"],
            &["ops", "arn:aws:sns:eu-west-1:111122223333:ops.fifo"],
        ),
        (
            "OperationsEmail",
            &["", "ops@example.com", "data+alarms@team.example.com"],
            &["ops", "ops@example", "a@example.com,b@example.com", "ops @example.com"],
        ),
        (
            "KmsKeyArn",
            &["", "arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab"],
            &["alias/aws/sns", "arn:aws:kms:eu-west-1:111122223333:alias/key"],
        ),
    ];
    for (parameter, right, wrong) in cases {
        right
            .iter()
            .for_each(|value| assert!(accepts(parameter, value), "{parameter} refuses {value:?}"));
        wrong
            .iter()
            .for_each(|value| assert!(!accepts(parameter, value), "{parameter} accepts {value:?}"));
    }
    let eleven = ["10.0.0.0/8"; 11].join(",");
    let of_the_list = &layer("infra/ranges.yaml")["Parameters"]["Cidrs"];
    assert!(takes(of_the_list, &ten) && takes(of_the_list, both) && !takes(of_the_list, ""));
    for definition in [
        of_the_list,
        &section("Parameters")["ConsumerCidrs"],
        &section("Parameters")["DatabaseCidrs"],
    ] {
        assert!(!takes(definition, &eleven), "takes a range for which the list has no entry");
    }
}

#[test]
fn rules_refuse_what_cannot_work_and_name_the_remedy() {
    let oracle = [("DatabaseKind", "readers"), ("DatabaseEngine", "oracle")];
    let cases: [(&[(&str, &str)], &str); 9] = [
        (&[("EnforceConsumerCidrs", "true")], "set EnforceConsumerCidrs=false"),
        (&[("DatabaseCidrs", "")], "Give DatabaseSecurityGroupId, or DatabaseCidrs"),
        (&FUNCTION_IN_VPC[..1], "Give both, or neither"),
        (&FUNCTION_IN_VPC[1..], "Give both, or neither"),
        (
            &[("DatabaseKind", "proxy"), ("DatabaseIdentifier", "app")],
            "or leave DatabaseIdentifier empty",
        ),
        (
            &[("DatabaseKind", "address"), ("DatabaseIdentifier", "app")],
            "or leave DatabaseIdentifier empty",
        ),
        (&[("DatabaseEngine", "sqlserver")], "Set DatabaseKind=instance"),
        (&oracle, "Set DatabaseKind=instance"),
        (&[("IpAddressType", "ipv6")], "Give the IPv6 ranges"),
    ];
    for (parameters, remedy) in cases {
        let refusals = Stack::with(parameters).refusals();
        assert!(
            matches!(&*refusals, [one] if one.contains(remedy)),
            "{parameters:?}: {refusals:?}"
        );
    }
    // A second database is refused for the same reasons as the first, and a function alone as well.
    let own_family = ("IpAddressType", "TargetIpAddressType");
    for (parameters, remedy) in &cases[2..] {
        let of_the_function: Vec<_> = parameters
            .iter()
            .map(|(name, value)| (if *name == own_family.0 { own_family.1 } else { *name }, *value))
            .collect();
        for refusals in [joined(parameters).refusals(), adopting(&of_the_function).refusals()] {
            assert!(
                matches!(&*refusals, [one] if one.contains(remedy)),
                "{parameters:?}: {refusals:?}"
            );
        }
    }
}

#[test]
fn a_group_of_readers_that_exists_has_an_endpoint_and_a_cluster() {
    let [group, endpoint] = GROUP_OF_READERS;
    for half in [group, endpoint] {
        let refusals = adopting(&[half]).refusals();
        assert!(
            matches!(&*refusals, [one] if one.contains("Give both, or neither")),
            "{half:?}: {refusals:?}"
        );
    }
    for (kind, _) in ENDPOINTS {
        let refusals = adopting(&[group, endpoint, ("DatabaseKind", kind)]).refusals();
        let says = |one: &String| one.contains("and DatabaseKind=readers");
        assert!(
            kind == "cluster" && refusals.is_empty() || matches!(&*refusals, [one] if says(one)),
            "{kind}: {refusals:?}"
        );
    }
}

#[test]
fn ranges_are_given_once() {
    let list = "pl-0123456789abcdef0";
    for (ranges, id) in
        [("ConsumerCidrs", "ConsumerPrefixListId"), ("DatabaseCidrs", "DatabasePrefixListId")]
    {
        assert_eq!(joined(&[(ranges, ""), (id, list)]).refusals(), [""; 0]);
        let refusals = joined(&[(ranges, "10.9.0.0/16"), (id, list)]).refusals();
        assert!(
            matches!(&*refusals, [one] if one.contains(ranges) && one.contains("Give one of them")),
            "{refusals:?}"
        );
    }
}

#[test]
fn readers_are_those_of_a_cluster_on_a_port_of_their_own() {
    for (kind, endpoint) in ENDPOINTS.into_iter().filter(|(kind, _)| *kind != "cluster") {
        let refusals =
            Stack::with(&[READERS, ("DatabaseKind", kind), ("DatabaseEndpoint", endpoint)])
                .refusals();
        assert!(
            matches!(&*refusals, [one] if one.contains("Set DatabaseKind=cluster")),
            "{kind}: {refusals:?}"
        );
    }
    let cases: [(&[(&str, &str)], &str); 2] = [
        (
            &[("ReaderListenerPort", "5432")],
            "the port of the writer (DatabasePort, as ListenerPort is empty)",
        ),
        (&[READERS, ("ListenerPort", READERS.1)], "the port of the writer (ListenerPort)"),
    ];
    for (parameters, reason) in cases {
        let refusals = Stack::with(parameters).refusals();
        assert!(
            matches!(&*refusals, [one] if one.contains(reason)),
            "{parameters:?}: {refusals:?}"
        );
    }
}

#[test]
fn an_address_is_subscribed_to_the_stacks_own_topic_only() {
    let address = ("OperationsEmail", "ops@example.com");
    assert_eq!(Stack::with(&[address]).refusals(), [""; 0]);
    let refusals =
        Stack::with(&[address, ("OperationsTopicArn", "arn:aws:sns:eu-west-1:111122223333:ops")])
            .refusals();
    assert!(
        matches!(&*refusals, [one] if one.contains("leave OperationsEmail empty")),
        "{refusals:?}"
    );
}

#[test]
fn rules_let_pass_what_works() {
    for (kind, _, stack) in every_stack() {
        assert_eq!(stack.refusals(), [""; 0], "{kind}");
    }
    assert_eq!(
        joined(&[("DatabaseCidrs", "")]).refusals(),
        [""; 0],
        "the link may reach the database already"
    );
    let enforced = [("EnforceConsumerCidrs", "true"), ("ConsumerCidrs", "10.9.0.0/16")];
    let identified =
        [("DatabaseKind", "instance"), ("DatabaseIdentifier", "app"), ("DatabaseEngine", "oracle")];
    let by_group = [("DatabaseCidrs", ""), SECURITY_GROUP];
    // The readers may have the database's port, if the writer does not.
    let swapped = [("ListenerPort", "15432"), ("ReaderListenerPort", "5432")];
    let by_ipv6 = [("IpAddressType", "ipv6"), ("AllowedCidrs", "2600:1f18::/56")];
    for parameters in
        [&enforced[..], &identified, &by_group, &FUNCTION_IN_VPC, &[READERS], &swapped, &by_ipv6]
    {
        assert_eq!(Stack::with(parameters).refusals(), [""; 0], "{parameters:?}");
    }
}
