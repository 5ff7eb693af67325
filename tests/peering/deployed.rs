//! The templates on the local AWS.

use super::*;

/// In one account and Region, because moto's CloudFormation looks for the peer nowhere else. So the role is created but
/// not assumed, and the test accepts the connection itself.
#[tokio::test]
async fn both_sides_deploy_in_order_and_route_to_each_other() -> Result<()> {
    let run = Run::new()?;
    let aws = Aws::start(&run).await?;
    let seen = program(&run, &aws, aws.rds_endpoint(), &["10.50.0.0/21", "172.20.0.0/20"]).await?;
    let connection = text(&seen["connection"]);
    assert!(connection.starts_with("pcx-"), "{seen}");
    assert!(text(&seen["role"]).contains(":role/accepter-AccepterRole"), "{seen}");
    assert_eq!(seen["state"], "active");
    for side in ["requester", "accepter"] {
        assert_eq!(seen[side]["options"]["AllowDnsResolutionFromRemoteVpc"], true, "{seen}");
    }
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
