//! What `infra/api-endpoints.yaml` promises to functions in subnets without a NAT gateway.

use std::collections::BTreeSet;

use failover_sync::elbv2;
use platform::login::GET_SECRET;
use platform::rds;
use serde_json::json;

use crate::stack::{Stack, owned, strings, text};
use crate::{
    API_TEMPLATE, Case, GROUP, SECRET, SUBNETS, VPC, created, ingress, lets_nothing_out, of,
};

fn api(given: &[(&str, &str)]) -> Stack {
    let subnets = SUBNETS.join(",");
    of(
        &API_TEMPLATE,
        &[("VpcId", VPC), ("SubnetIds", &subnets), ("FunctionSecurityGroupIds", GROUP)],
        given,
    )
}

#[test]
fn each_api_has_an_endpoint_unless_the_vpc_has_it() {
    let cases: [Case<'_>; 5] = [
        (&[], &["LoadBalancing", "Rds"]),
        (
            &[("RdsEndpoint", "false"), ("ProbeSecretArn", SECRET)],
            &["LoadBalancing", "SecretsManager"],
        ),
        (&[("LoadBalancingEndpoint", "false")], &["Rds"]),
        (
            &[("RdsEndpoint", "false"), ("FlushHostsSecretArn", SECRET)],
            &["LoadBalancing", "SecretsManager"],
        ),
        (
            &[
                ("LoadBalancingEndpoint", "false"),
                ("RdsEndpoint", "false"),
                ("FlushHostsSecretArn", SECRET),
            ],
            &["SecretsManager"],
        ),
    ];
    for (parameters, expected) in cases {
        let stack = api(parameters);
        let expected = owned(expected.iter().copied().chain(["EndpointSecurityGroup"]));
        assert_eq!(created(&stack, &API_TEMPLATE), expected, "{parameters:?}");
        assert_eq!(stack.refusals(), [""; 0], "{parameters:?}");
    }
    let refusals = api(&[("LoadBalancingEndpoint", "false"), ("RdsEndpoint", "false")]).refusals();
    assert!(
        matches!(&*refusals, [one] if one.contains("No endpoint would be created. Set")),
        "{refusals:?}"
    );
}

#[test]
fn the_endpoints_take_over_the_names_of_the_apis_for_the_functions_alone() {
    let stack = api(&[
        ("FlushHostsSecretArn", SECRET),
        ("FunctionSecurityGroupIds", "sg-01234567,sg-12345678"),
    ]);
    for (name, service) in [
        ("LoadBalancing", "elasticloadbalancing"),
        ("Rds", "rds"),
        ("SecretsManager", "secretsmanager"),
    ] {
        let endpoint = stack.existing(name);
        assert_eq!(endpoint["ServiceName"], format!("com.amazonaws.eu-west-1.{service}"));
        assert_eq!([&endpoint["VpcEndpointType"], &endpoint["VpcId"]], ["Interface", VPC]);
        assert_eq!(
            [&endpoint["PrivateDnsEnabled"], &endpoint["SubnetIds"]],
            [&json!(true), &json!(SUBNETS)]
        );
        assert_eq!(endpoint["SecurityGroupIds"], json!(["{EndpointSecurityGroup.GroupId}"]));
    }
    assert_eq!(ingress(&stack), owned(["sg-01234567 443-443", "sg-12345678 443-443"]));
    assert_eq!(ingress(&api(&[])), owned(["sg-0123456789abcdef0 443-443"]));
    assert!(lets_nothing_out(&stack));
}

#[test]
fn the_endpoints_let_through_what_the_functions_call_and_no_more() {
    let stack = api(&[("FlushHostsSecretArn", SECRET)]);
    let arn =
        |service: &str, rest: &str| format!("arn:aws:{service}:eu-west-1:111122223333:{rest}");
    let groups = arn("elasticloadbalancing", "targetgroup/*");
    let databases = vec![arn("rds", "cluster:*"), arn("rds", "db:*")];
    let no_resource_types = "elasticloadbalancing:DescribeTargetHealth";
    let resources = |action: &str| match action.split_once(':').unwrap().0 {
        "elasticloadbalancing" if action == no_resource_types => vec!["*".to_owned()],
        "elasticloadbalancing" => vec![groups.clone()],
        "rds" => databases.clone(),
        _ => vec![SECRET.to_owned()],
    };
    for (name, actions) in [
        ("LoadBalancing", &elbv2::IAM_ACTIONS[..]),
        ("Rds", &rds::IAM_ACTIONS),
        ("SecretsManager", &[GET_SECRET]),
    ] {
        let endpoint = stack.existing(name);
        let statements = endpoint["PolicyDocument"]["Statement"].as_array().unwrap();
        let allowed = statements.iter().flat_map(|statement| {
            assert_eq!([&statement["Effect"], &statement["Principal"]], ["Allow", "*"], "{name}");
            let condition = json!({"StringEquals": {"aws:PrincipalAccount": "111122223333"}});
            assert_eq!(statement["Condition"], condition, "{name} is for this account");
            strings(&statement["Action"])
                .into_iter()
                .map(|action| (action, strings(&statement["Resource"])))
        });
        let expected = actions.iter().map(|action| ((*action).to_owned(), resources(action)));
        assert_eq!(allowed.collect::<BTreeSet<_>>(), expected.collect::<BTreeSet<_>>(), "{name}");
    }
}

#[test]
fn each_secret_that_is_given_is_let_through_and_no_other() {
    let other = "arn:aws:secretsmanager:eu-west-1:111122223333:secret:probe-AbCdEf";
    let cases: [Case<'_>; 3] = [
        (&[("FlushHostsSecretArn", SECRET)], &[SECRET]),
        (&[("ProbeSecretArn", other)], &[other]),
        (&[("FlushHostsSecretArn", SECRET), ("ProbeSecretArn", other)], &[SECRET, other]),
    ];
    for (parameters, expected) in cases {
        let endpoint = api(parameters).existing("SecretsManager");
        assert_eq!(
            endpoint["PolicyDocument"]["Statement"][0]["Resource"],
            json!(expected),
            "{parameters:?}"
        );
    }
}

#[test]
fn who_would_be_cut_off_is_warned() {
    let description = text(&API_TEMPLATE["Parameters"]["VpcId"]["Description"]);
    assert!(description.contains("do not use this template"), "{description}");
}
