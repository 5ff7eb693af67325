//! The templates on the local AWS.

use super::*;

/// The guide's commands in its order, in one account and Region: moto's CloudFormation finds the
/// peer nowhere else. The role is created but not assumed, and the program accepts.
#[tokio::test]
async fn the_guide_peers_what_does_not_overlap_and_lets_the_clients_group_in() -> Result<()> {
    let sections = ["What is where", "Which case is it?", "Nothing overlaps", "Remove it"];
    let seen = guide("172.20.0.0/20", &sections).await?;
    let [before, found, free, peered, removed] = &seen[..] else { panic!("{seen:?}") };
    let names = &before["names"];
    let told = said(found, "describe-vpcs");
    for name in ["IMPLY_VPC", "OWN_CONNECTION", "DEFAULT_GROUP", "UNMANAGED_GROUP"] {
        assert!(told.contains(names[name].as_str().unwrap()), "{name}: {told}");
    }
    assert!(told.contains("imply-c1-Query-1"), "{told}");
    assert!(said(free, "check_peering.py").starts_with("Free: 10.50.0.0/21 and 172.20.0.0/20"));

    let connection = &peered["names"]["PEERING"];
    let imply = names["IMPLY_TABLES"].as_str().unwrap();
    let own = json!({"172.19.0.0/20": names["OWN_CONNECTION"], "172.20.0.0/20": connection});
    assert_eq!(peered["tables"]["IMPLY"][imply]["routes"], own);
    for table in names["CLIENT_TABLES"].as_str().unwrap().split(',') {
        assert_eq!(
            peered["tables"]["CLIENT"][table]["routes"],
            json!({"10.50.0.0/21": connection})
        );
    }
    let ports = QUERY_PORTS.map(|port| json!([port, port, [names["CLIENT_GROUP"]]]));
    assert_eq!(
        peered["rules"],
        json!({"Imply Cloud Default": [], "Imply Cloud ELB Unmanaged": ports})
    );
    for side in ["RequesterVpcInfo", "AccepterVpcInfo"] {
        let options = &peered["peerings"][text(connection)][side]["PeeringOptions"];
        assert_eq!(options["AllowDnsResolutionFromRemoteVpc"], true, "{side}");
    }
    // moto's CloudFormation leaves connection and routes of a stack that it deletes.
    assert_eq!([&removed["stacks"], &removed["rules"]], [&json!([]), &before["rules"]]);
    Ok(())
}

#[tokio::test]
async fn the_guide_reaches_a_range_that_imply_routes_already_and_leaves_what_imply_made_as_it_is()
-> Result<()> {
    let sections = ["Imply routes that range already", "Coordinator and overlord", "Remove it"];
    let seen = guide("172.19.0.0/20", &sections).await?;
    let [before, peered, consoles, removed] = &seen[..] else { panic!("{seen:?}") };
    let names = &before["names"];
    let check = peered["said"]
        .as_array()
        .unwrap()
        .iter()
        .find(|one| text(&one["commands"]).contains("check-peering"));
    let complaint = text(&check.unwrap()["complaint"]);
    assert!(
        complaint.contains("AWS permits the connection, but this VPC")
            && complaint.contains("Error 3"),
        "{complaint}"
    );

    // What Imply made is there before, and never changes.
    for later in [peered, consoles, removed] {
        for (table, body) in before["tables"]["IMPLY"].as_object().unwrap() {
            assert_eq!(&later["tables"]["IMPLY"][table], body);
        }
        assert_eq!(later["rules"], before["rules"]);
        assert_eq!(later["peerings"][text(&names["OWN_CONNECTION"])]["Status"]["Code"], "active");
    }
    let connection = &peered["names"]["PEERING"];
    let added = |seen: &Value| -> Vec<Value> {
        let tables = seen["tables"]["IMPLY"].as_object().unwrap().iter();
        tables
            .filter(|(name, _)| before["tables"]["IMPLY"].get(name).is_none())
            .map(|(_, body)| body.clone())
            .collect()
    };
    // moto does not show which subnets a stack has associated; MiniStack does, below.
    let own_table = json!({"routes": {"172.19.0.0/20": connection}, "subnets": 0});
    assert_eq!(added(peered), std::slice::from_ref(&own_table));
    assert_eq!(added(consoles), [own_table.clone(), own_table.clone(), own_table]);
    for table in names["CLIENT_TABLES"].as_str().unwrap().split(',') {
        assert_eq!(
            peered["tables"]["CLIENT"][table]["routes"],
            json!({"10.50.6.0/24": connection})
        );
    }

    let attached = |masters: Value, query: Value| {
        json!({
            "imply-c1-Master-1": masters,
            "imply-c1-Master-2": masters,
            "imply-c1-Master-3": masters,
            "imply-c1-Query-1": query,
        })
    };
    assert_eq!(peered["attached"], attached(json!([]), json!(QUERY_PORTS)));
    assert_eq!(consoles["attached"], attached(json!([8281, 8290]), json!(QUERY_PORTS)));
    assert_eq!(
        said(peered, "describe-target-health").matches("\"healthy\"").count(),
        2 * QUERY_PORTS.len()
    );
    let balancers = consoles["balancers"].as_array().unwrap();
    assert_eq!(balancers.len(), 3);
    for groups in balancers.iter().map(strings) {
        assert!(
            ["DEFAULT_GROUP", "UNMANAGED_GROUP"]
                .iter()
                .all(|name| groups.contains(&text(&names[*name]))),
            "{groups:?}"
        );
    }
    let none = attached(json!([]), json!([]));
    assert_eq!(
        [&removed["stacks"], &removed["balancers"], &removed["attached"]],
        [&json!([]), &json!([]), &none]
    );
    Ok(())
}

#[tokio::test]
async fn each_load_balancer_deploys_into_subnets_of_its_own_with_the_ports_of_what_it_serves()
-> Result<()> {
    let run = Run::new()?;
    let aws = Aws::start(&run).await?;
    let source = root().join("infra/peering-overlap.yaml");
    let template = Template::fit(&run, &source, &run.scratch("overlap")?).await?;
    let left_out = template.left_out.iter().map(|part| part.type_name.as_str());
    let refused = [
        "AWS::EC2::SecurityGroupIngress",
        "AWS::EC2::VPCEndpointService",
        "AWS::EC2::VPCEndpointServicePermissions",
    ];
    assert_eq!(owned(left_out), owned(refused), "asserted on above, not deployed");
    let elbv2 = aws.elbv2();
    let ranges = RANGES.join(",");
    let query: Vec<i32> = QUERY_PORTS.map(i32::from).into();
    for (number, (service, ports, port, path)) in [
        ("query", query, "9095", "/health"),
        ("coordinator", vec![8281], "8281", "/druid/coordinator/v1/isLeader"),
        ("overlord", vec![8290], "8290", "/druid/indexer/v1/isLeader"),
    ]
    .into_iter()
    .enumerate()
    {
        // MiniStack has no AWS::EC2::VPCCidrBlock, so no SecondaryCidr, and takes a condition that
        // looks into a list as true, so every list is full.
        let subnets = ["a:172.31.200.0", "b:172.31.200.16", "c:172.31.200.32"]
            .map(|one| format!("us-east-1{one}/28"));
        let subnets = subnets.join(",").replace("200", &(200 + number).to_string());
        let parameters = [
            ("VpcId", "vpc-00000001"),
            ("Subnets", &subnets),
            ("QuerySecurityGroupId", GROUP),
            ("DruidService", service),
            PEERED[0],
            ("PeerCidrs", &ranges),
            SERVICE[0],
        ];
        let stack = format!("imply-{service}");
        let outputs = template.deploy(&run, &aws.environment(), &stack, parameters, &Quiet).await?;

        let balancers = elbv2.describe_load_balancers().send().await?;
        let name = outputs.get("LoadBalancerDnsName")?;
        let balancer = balancers.load_balancers().iter().find(|one| one.dns_name() == Some(name));
        let arn = balancer
            .and_then(|one| one.load_balancer_arn())
            .context("no load balancer has that name")?;
        let listeners = elbv2.describe_listeners().load_balancer_arn(arn).send().await?;
        let attach = outputs.get("AttachCommand")?.to_owned();
        let mut forwards = Vec::new();
        for listener in listeners.listeners() {
            let target = listener.default_actions()[0]
                .target_group_arn()
                .context("a listener forwards nowhere")?;
            ensure!(attach.contains(target), "{attach}");
            let groups = elbv2.describe_target_groups().target_group_arns(target).send().await?;
            let group = &groups.target_groups()[0];
            assert_eq!(
                group.health_check_protocol().map(|protocol| protocol.as_str()),
                Some("HTTPS")
            );
            assert_eq!(
                [group.health_check_port(), group.health_check_path()],
                [Some(port), Some(path)]
            );
            assert_eq!(listener.port(), group.port());
            forwards.push(listener.port().unwrap());
        }
        forwards.sort_unstable();
        assert_eq!(forwards, ports, "{service}");
        let tested = format!(
            "curl -k -u admin https://{name}:{}",
            if service == "query" { "9088" } else { port }
        );
        assert!(outputs.get("PeerTestCommand")?.starts_with(&tested), "{service}");
    }

    let tables = program(&run, &aws, aws.endpoint(), &["vpc-00000001"]).await?;
    let with_routes: Vec<_> =
        tables.as_object().unwrap().values().filter(|table| table["routes"] != json!({})).collect();
    let own = json!({"routes": {RANGES[0]: CONNECTION, RANGES[1]: CONNECTION}, "subnets": 3});
    assert_eq!(with_routes, [&own; 3], "{tables}");
    Ok(())
}

/// What was there around each section of the guide, on moto, with this range of the client.
async fn guide(client: &str, sections: &[&str]) -> Result<Vec<Value>> {
    let run = Run::new()?;
    let aws = Aws::start(&run).await?;
    let arguments: Vec<_> = [client].iter().chain(sections).copied().collect();
    let seen = program(&run, &aws, aws.rds_endpoint(), &arguments).await?;
    Ok(seen.as_array().context("peering.py prints a list")?.clone())
}

/// What the first command with this word printed.
fn said(seen: &Value, word: &str) -> String {
    let steps = seen["said"].as_array().unwrap();
    let step = steps.iter().find(|step| text(&step["commands"]).contains(word));
    text(&step.unwrap_or_else(|| panic!("nothing ran {word}"))["printed"])
}

/// What `tests/lab/peering.py` prints about an AWS.
async fn program(run: &Run, aws: &Aws, endpoint: &str, arguments: &[&str]) -> Result<Value> {
    // The guide's zones are of us-west-2, and MiniStack's stacks are where the lab is.
    let region = if arguments.len() > 1 { "us-west-2" } else { "us-east-1" };
    let printed = Program::new("peering", venv_program("python")?)
        .arg(root().join("tests/lab/peering.py"))
        .args(arguments.iter().copied())
        .envs(aws.environment())
        .env("AWS_ENDPOINT_URL", endpoint)
        .env("AWS_DEFAULT_REGION", region)
        .env("AWS_REGION", region)
        .output(run)
        .await?;
    serde_json::from_str(&printed).context("what peering.py printed")
}
