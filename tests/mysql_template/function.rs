//! The function that flushes: its environment, time and failures.

use super::*;

#[test]
fn the_function_is_built_from_this_workspace_and_is_in_the_databases_network() {
    let metadata = &TEMPLATE["Resources"]["FlushHosts"]["Metadata"];
    assert_eq!(
        *metadata,
        json!({"BuildMethod": "rust-cargolambda", "BuildProperties": {"Binary": "flush-hosts"}})
    );
    let function = with(&[("Architecture", "arm64")]).existing("FlushHosts");
    assert!(root().join("infra").join(text(&function["Code"])).join("Cargo.toml").exists());
    assert_eq!([&function["Runtime"], &function["Handler"]], ["provided.al2023", "bootstrap"]);
    assert_eq!(function["Architectures"], json!(["arm64"]));
    let network = json!({"SubnetIds": [NETWORK[0].1], "SecurityGroupIds": [NETWORK[1].1]});
    assert_eq!(function["VpcConfig"], network);
    assert_eq!(function["LoggingConfig"]["LogGroup"], "{FlushHostsLogGroup}");
    let group = with(&[("LogRetentionDays", "7")]).existing("FlushHostsLogGroup");
    assert_eq!(group, json!({"LogGroupName": "/aws/lambda/link", "RetentionInDays": "7"}));
}

#[test]
fn the_environment_is_the_database_and_one_login() {
    for (kind, endpoint) in ENDPOINTS.into_iter().take(3) {
        let stack = with(&[("DatabaseKind", kind), ("DatabaseEndpoint", endpoint)]);
        let expected = json!({
            "DATABASE_IDENTIFIER": "app",
            "DATABASE_KIND": if kind == "instance" { "instance" } else { "cluster" },
            "DATABASE_ENGINE": "mysql",
            "DATABASE_USER": "flush_hosts",
        });
        assert_eq!(stack.existing("FlushHosts")["Environment"]["Variables"], expected, "{kind}");
    }
    let with_secret = with_secret().existing("FlushHosts");
    let variables = with_secret["Environment"]["Variables"].as_object().unwrap();
    assert_eq!(variables["SECRET_ARN"], SECRET);
    assert!(!variables.contains_key("DATABASE_USER"));
    let instance = [
        ("DatabaseEngine", "mariadb"),
        ("DatabaseKind", "instance"),
        ("DatabaseIdentifier", "other"),
    ];
    let variables = &with(&instance).existing("FlushHosts")["Environment"]["Variables"];
    assert_eq!(
        [&variables["DATABASE_IDENTIFIER"], &variables["DATABASE_ENGINE"]],
        ["other", "mariadb"]
    );
}

#[test]
fn the_function_reads_what_the_template_gives_it() {
    let config = |stack: &Stack| {
        let function = stack.existing("FlushHosts");
        let variables = function["Environment"]["Variables"].as_object().unwrap().clone();
        // Lambda sets this one.
        Config::parse(|name| {
            if name == "AWS_REGION" {
                Some("eu-west-1".into())
            } else {
                variables.get(name).map(text)
            }
        })
    };
    let database = |kind| Database { identifier: "app".into(), kind };
    let iam = Config {
        database: database(DatabaseKind::Cluster),
        login: LoginMethod::Iam("flush_hosts".into()),
        ca_bundle: None,
        region: "eu-west-1".into(),
    };
    let secret = Config { login: LoginMethod::Secret(SECRET.into()), ..iam.clone() };
    let layer = Config { ca_bundle: Some("/opt/ca.pem".into()), ..iam.clone() };
    let instance = Config { database: database(DatabaseKind::Instance), ..iam.clone() };
    let readers = [("DatabaseKind", "readers"), ("DatabaseEndpoint", ENDPOINTS[1].1)];
    let alone = [
        ("DatabaseKind", "instance"),
        ("DatabaseEndpoint", ENDPOINTS[2].1),
        ("DatabaseEngine", "mariadb"),
    ];
    let with_layer = with(&[("CaBundleLayerArn", LAYER)]);
    assert_eq!(with_layer.existing("FlushHosts")["Layers"], json!([LAYER]));
    for (stack, expected) in [
        (with(&[]), iam.clone()),
        (with(&readers), iam),
        (with(&alone), instance),
        (with_secret(), secret),
        (with_layer, layer),
    ] {
        assert_eq!(config(&stack).unwrap(), expected);
    }
}

#[test]
fn the_function_has_time_for_every_instance() {
    let timeout =
        Duration::from_secs(with(&[]).existing("FlushHosts")["Timeout"].as_u64().unwrap());
    assert!(timeout > aws::OPERATION_TIMEOUT + INSTANCE_LIMIT, "{timeout:?}");
}

#[test]
fn what_is_lost_lands_in_the_failure_queue() {
    let stack = with(&[]);
    let function = stack.existing("FlushHosts");
    let asynchronous = stack.existing("FlushHostsEventInvokeConfig");
    assert_eq!(
        [&asynchronous["FunctionName"], &asynchronous["Qualifier"]],
        ["{FlushHosts}", "$LATEST"]
    );
    assert_eq!(
        asynchronous["DestinationConfig"]["OnFailure"],
        json!({"Destination": "{FailureQueue.Arn}"})
    );
    // Lambda pauses one minute before the first retry and two before the second.
    let attempts = 1 + asynchronous["MaximumRetryAttempts"].as_u64().unwrap();
    let needed = attempts * function["Timeout"].as_u64().unwrap() + 60 + 120;
    assert!(
        asynchronous["MaximumEventAgeInSeconds"].as_u64().unwrap() >= needed,
        "no room for {attempts} attempts"
    );
    assert_eq!(
        stack.existing("FlushHostsSchedule")["Targets"][0]["DeadLetterConfig"]["Arn"],
        "{FailureQueue.Arn}"
    );

    let policy = stack.existing("FailureQueuePolicy");
    let statements = policy["PolicyDocument"]["Statement"].as_array().unwrap().iter();
    let writers = statements.map(|s| text(&s["Condition"]["ArnEquals"]["aws:SourceArn"]));
    assert_eq!(writers.collect::<Vec<_>>(), ["{FlushHostsSchedule.Arn}"]);
    assert_eq!(stack.existing("FailureQueue")["SqsManagedSseEnabled"], true);
    let key = "arn:aws:kms:eu-west-1:111122223333:key/1234abcd";
    let encrypted = with(&[("KmsKeyArn", key)]);
    assert_eq!(encrypted.existing("FailureQueue")["KmsMasterKeyId"], key);
    assert_eq!(encrypted.existing("FlushHostsLogGroup")["KmsKeyId"], key);
    assert!(encrypted.existing("FlushHostsRole").to_string().contains("kms:GenerateDataKey"));
}
