//! `infra/consumer-role.yaml`: the role that the provider allows, made before the service.

use super::*;

const PROVIDER: &str = "444455556666";

static TEMPLATE: LazyLock<Value> = LazyLock::new(|| load(ROLE));

fn stack(given: &[(&str, &str)]) -> Stack {
    let subnets = SUBNETS.join(",");
    of(
        &TEMPLATE,
        &[("ProviderAccountId", PROVIDER), ("VpcId", VPC), ("SubnetIds", &subnets)],
        given,
    )
}

fn for_people() -> [(&'static str, &'static str); 2] {
    static NAMED: LazyLock<String> = LazyLock::new(|| PRINCIPALS.join(","));
    [("UsedBy", "people"), ("SetupPrincipals", &NAMED)]
}

/// The statements of one of the role's policies.
fn statements(stack: &Stack, policy: &str) -> Option<Value> {
    let role = stack.existing("Role");
    let policies = role["Policies"].as_array().unwrap().clone();
    let found = policies.into_iter().find(|body| body["PolicyName"] == policy);
    found.map(|body| body["PolicyDocument"]["Statement"].clone())
}

#[test]
fn it_needs_no_service_so_that_it_can_come_first() {
    let parameters = TEMPLATE["Parameters"].as_object().unwrap();
    assert!(!parameters.keys().any(|name| name.contains("Service")), "{parameters:?}");
    assert_eq!(stack(&[]).refusals(), Vec::<String>::new());
    assert_eq!(stack(&[]).output("RoleArn"), "{Role.Arn}");
}

#[test]
fn it_is_for_named_people_or_for_cloudformation_alone() {
    let trust =
        |stack: &Stack| stack.existing("Role")["AssumeRolePolicyDocument"]["Statement"].clone();
    let by = |principal: Value| {
        json!([{
            "Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole",
        }])
    };
    assert_eq!(trust(&stack(&[])), by(json!({"Service": "cloudformation.amazonaws.com"})));
    assert_eq!(trust(&stack(&for_people())), by(json!({"AWS": PRINCIPALS})));
    assert_eq!(stack(&for_people()).refusals(), Vec::<String>::new());
    for (given, said) in [
        (&for_people()[..1], "without SetupPrincipals"),
        (&for_people()[1..], "CloudFormation alone"),
    ] {
        let refusals = stack(given).refusals();
        assert!(refusals.len() == 1 && refusals[0].contains(said), "{given:?}: {refusals:?}");
    }
    assert_eq!(
        stack(&[]).existing("Role").get("ManagedPolicyArns"),
        None,
        "the policies are written out"
    );
}

#[test]
fn it_creates_endpoints_to_the_provider_in_this_network_and_no_more() {
    let arn = |rest: &str| format!("arn:aws:ec2:eu-west-1:111122223333:{rest}");
    let look = [
        "ec2:DescribeAvailabilityZones",
        "ec2:DescribeSecurityGroups",
        "ec2:DescribeSubnets",
        "ec2:DescribeVpcEndpointServices",
        "ec2:DescribeVpcEndpoints",
        "ec2:DescribeVpcs",
    ];
    let is = |key: &str, value: Value| json!({"StringEquals": {key: value}});
    let allow = |action: Value, resource: Value, condition: Option<Value>| {
        let mut statement = json!({"Effect": "Allow", "Action": action, "Resource": resource});
        condition.into_iter().for_each(|condition| statement["Condition"] = condition);
        statement
    };
    let create = || json!("ec2:CreateVpcEndpoint");
    let endpoints = || json!(arn("vpc-endpoint/*"));
    let network = json!([arn(&format!("vpc/{VPC}")), arn("security-group/*")]);
    let this_vpc = json!(format!("VPCId={VPC},VPCRegion=eu-west-1"));
    let mut expected = vec![
        allow(json!(look), json!("*"), None),
        allow(create(), endpoints(), Some(is("ec2:VpceServiceOwner", json!(PROVIDER)))),
        allow(create(), network, None),
        allow(create(), json!(arn("subnet/*")), Some(is("ec2:SubnetID", json!(SUBNETS)))),
        allow(
            json!("ec2:CreateTags"),
            endpoints(),
            Some(is("ec2:CreateAction", json!("CreateVpcEndpoint"))),
        ),
        allow(
            json!("route53:AssociateVPCWithHostedZone"),
            json!("arn:aws:route53:::hostedzone/*"),
            // A set of VPCs, whose form Route 53's guide gives.
            Some(json!({
                "ForAllValues:StringEquals": {"route53:VPCs": this_vpc},
                "Null": {"route53:VPCs": "false"},
            })),
        ),
    ];
    let of_region = |other: &'static str| {
        let given = [&for_people()[..], &[("OtherRegion", other)]].concat();
        let stack = stack(&given);
        assert_eq!(statements(&stack, "stack"), None, "people make the endpoint and nothing else");
        statements(&stack, "endpoint").unwrap()
    };
    assert_eq!(of_region("false"), json!(expected));
    expected.push(allow(json!("vpce:AllowMultiRegion"), endpoints(), None));
    assert_eq!(of_region("true"), json!(expected));
}

/// What CloudFormation needs besides for `infra/consumer.yaml`: this VPC's groups, and zones.
#[test]
fn cloudformation_changes_groups_of_this_vpc_alone() {
    let all = statements(&stack(&[]), "stack").unwrap();
    let all = all.as_array().unwrap();
    for action in
        ["AuthorizeSecurityGroupIngress", "DeleteSecurityGroup", "RevokeSecurityGroupEgress"]
    {
        let action = json!(format!("ec2:{action}"));
        let holders: Vec<_> = all
            .iter()
            .filter(|it| {
                it["Action"] == action
                    || it["Action"].as_array().is_some_and(|list| list.contains(&action))
            })
            .collect();
        let [holder] = holders[..] else { panic!("{action} is in {holders:?}") };
        let vpc = format!("arn:aws:ec2:eu-west-1:111122223333:vpc/{VPC}");
        assert_eq!(holder["Condition"], json!({"ArnEquals": {"ec2:Vpc": vpc}}), "{action}");
    }
    assert!(all.iter().all(|it| it["Effect"] == "Allow" && it["Action"] != "*"), "{all:?}");
}

/// Every kind of resource in the consumer's stack is one that the role can make.
#[test]
fn the_consumers_stack_has_nothing_that_the_role_cannot_make() {
    let kinds: BTreeSet<_> = CONSUMER_TEMPLATE["Resources"]
        .as_object()
        .unwrap()
        .values()
        .map(|resource| text(&resource["Type"]))
        .collect();
    let makes = [
        "AWS::EC2::SecurityGroup",
        "AWS::EC2::VPCEndpoint",
        "AWS::Route53::HostedZone",
        "AWS::Route53::RecordSet",
    ];
    assert_eq!(kinds, owned(makes));
}
