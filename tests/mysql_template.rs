//! What `template.yaml` and `infra/` promise for MySQL and MariaDB, whose host cache counts health checks as errors.

// In a test a failed unwrap is the failure that it reports.
#![allow(clippy::unwrap_used)]

mod stack;

use std::collections::BTreeSet;
use std::process::Command;
use std::sync::LazyLock;
use std::time::Duration;

use failover_sync::aws;
use failover_sync::rds::{DESCRIBE_CLUSTERS, DESCRIBE_INSTANCES};
use flush_hosts::config::{Config, Database, Kind, Login};
use flush_hosts::flush::INSTANCE_LIMIT;
use flush_hosts::login::GET_SECRET;
use reconcile::report::METRIC_NAMESPACE;
use serde_json::{Value, json};
use stack::{ENDPOINTS, Stack, TEMPLATE, accepts, load, owned, root, section, strings, takes, text};

/// How many checks the schedule expects from one address of the load balancer in one interval. AWS tells no number.
const CHECKS_AN_INTERVAL: u64 = 6;
/// How many runs fit into the time in which that many checks reach the limit.
const RUNS_BEFORE_BLOCKED: u64 = 3;
/// 5000 checks every 300 s, six at a time, are reached after 69 hours.
const NEVER_OVER_MINUTES: u64 = 69 * 60;
/// The longest period of an alarm.
const ALARM_PERIOD_MINUTES: u64 = 24 * 60;
/// The shortest rate of a schedule.
const SCHEDULE_MINUTES: u64 = 1;

const SECRET: &str = "arn:aws:secretsmanager:eu-west-1:111122223333:secret:flush-hosts-AbCdEf";
const LAYER: &str = "arn:aws:lambda:eu-west-1:111122223333:layer:ca:3";
const USER: [(&str, &str); 2] =
    [("FlushHostsUser", "flush_hosts"), ("DatabaseResourceIds", "cluster-ABCDEFGHIJKL01234")];
const NETWORK: [(&str, &str); 2] =
    [("FlushHostsSubnetIds", "subnet-0123456789abcdef0"), ("FlushHostsSecurityGroupIds", "sg-0123456789abcdef0")];
const MYSQL: (&str, &str) = ("DatabaseEngine", "mysql");

/// Everything that is created for flushing and not without it.
const PARTS: [&str; 10] = [
    "FlushFailedAlarm",
    "FlushHosts",
    "FlushHostsErrorsAlarm",
    "FlushHostsLogGroup",
    "FlushHostsPermission",
    "FlushHostsRole",
    "FlushHostsSchedule",
    "FlushHostsSilentAlarm",
    "HostCacheFillAlarm",
    "HostsBlockedAlarm",
];

static PARAMETER_GROUP: LazyLock<Value> = LazyLock::new(|| load("infra/mysql-parameters.yaml"));

/// MySQL with a user that logs in by IAM, and these parameters in place of those.
fn with(given: &[(&'static str, &'static str)]) -> Stack {
    let base = [&[MYSQL][..], &USER, &NETWORK].concat();
    let base = base.into_iter().filter(|(name, _)| !given.iter().any(|(other, _)| other == name));
    Stack::with(&given.iter().copied().chain(base).collect::<Vec<_>>())
}

fn without_user() -> [(&'static str, &'static str); 2] {
    USER.map(|(name, _)| (name, ""))
}

fn with_secret() -> Stack {
    with(&[&without_user()[..], &[("FlushHostsSecretArn", SECRET)]].concat())
}

/// The health check interval in seconds.
fn seconds(interval: &str) -> u64 {
    let engine = || text(&TEMPLATE["Mappings"]["Engine"]["mysql"]["HealthCheckInterval"]);
    if interval == "auto" { engine() } else { interval.to_owned() }.parse().unwrap()
}

/// In how many minutes the load balancer can be blocked at the earliest, and a third of it.
fn safe_minutes(limit: &str, interval: &str) -> u64 {
    let blocked_after = limit.parse::<u64>().unwrap() * seconds(interval) / CHECKS_AN_INTERVAL;
    (blocked_after / RUNS_BEFORE_BLOCKED / 60).min(NEVER_OVER_MINUTES).min(ALARM_PERIOD_MINUTES)
}

/// Every accepted limit with every accepted interval.
fn limits_and_intervals() -> Vec<(&'static str, &'static str)> {
    let values = |parameter: &str| section("Parameters")[parameter]["AllowedValues"].as_array().unwrap();
    let of = |value: &'static Value| value.as_str().unwrap();
    let intervals = values("HealthCheckIntervalSeconds");
    values("MaxConnectErrors").iter().flat_map(|limit| intervals.iter().map(move |i| (of(limit), of(i)))).collect()
}

// --- When there is such a function ---

#[test]
fn only_mysql_and_mariadb_with_a_login_are_flushed() {
    let engines = strings(&section("Parameters")["DatabaseEngine"]["AllowedValues"]);
    for engine in engines.iter().map(String::as_str) {
        for (kind, endpoint) in ENDPOINTS {
            for (credentials, is_given) in
                [(USER, true), ([("FlushHostsSecretArn", SECRET), NETWORK[0]], true), ([NETWORK[0], NETWORK[1]], false)]
            {
                let database = [("DatabaseEngine", engine), ("DatabaseKind", kind), ("DatabaseEndpoint", endpoint)];
                let stack = Stack::with(&[&database[..], &credentials].concat());
                let has_host_cache = ["mysql", "mariadb"].contains(&engine);
                let expected = has_host_cache && is_given && ["cluster", "readers", "instance"].contains(&kind);
                for part in PARTS {
                    assert_eq!(stack.resource(part).is_some(), expected, "{engine} {kind} {credentials:?}: {part}");
                }
                let output = &TEMPLATE["Outputs"]["FlushHostsFunctionName"];
                assert_eq!(stack.condition(output["Condition"].as_str().unwrap()), expected);
            }
        }
    }
    let conditional = section("Resources").iter().filter(|(_, resource)| resource["Condition"] == "FlushesHosts");
    assert_eq!(conditional.map(|(name, _)| name.clone()).collect::<BTreeSet<_>>(), owned(PARTS));
    assert!(PARTS.iter().all(|part| Stack::with(&[MYSQL]).resource(part).is_none()), "it is not the default");
}

#[test]
fn rules_refuse_half_of_it_and_what_has_no_host_cache() {
    let cases: [(&[(&str, &str)], &str); 11] = [
        (&[("DatabaseEngine", "postgres")], "Set DatabaseEngine=mysql or mariadb, or leave"),
        (
            &[("DatabaseEngine", "oracle"), ("DatabaseKind", "instance")],
            "Set DatabaseEngine=mysql or mariadb, or leave",
        ),
        (&[("DatabaseKind", "proxy")], "Set DatabaseKind to cluster, readers or instance, or leave"),
        (&[("DatabaseKind", "hostname")], "Set DatabaseKind to cluster, readers or instance, or leave"),
        (&[("DatabaseKind", "address")], "Set DatabaseKind to cluster, readers or instance, or leave"),
        (&[("FlushHostsSubnetIds", "")], "FlushHostsSubnetIds is empty. Give subnets"),
        (&[("FlushHostsSecurityGroupIds", "")], "FlushHostsSecurityGroupIds is empty. Give a security group"),
        (&[("FlushHostsSecretArn", SECRET)], "Give one of them"),
        (&[("DatabaseResourceIds", "")], "Give the database's DatabaseResourceIds"),
        (&without_user(), "or leave FlushHostsSubnetIds and FlushHostsSecurityGroupIds empty"),
        (&[("HealthCheckIntervalSeconds", "10")], "Raise max_connect_errors"),
    ];
    for (parameters, remedy) in cases {
        let refusals = with(parameters).refusals();
        assert!(matches!(&*refusals, [one] if one.contains(remedy)), "{parameters:?}: {refusals:?}");
    }
    let ids_without_user = Stack::with(&[MYSQL, USER[1]]).refusals();
    assert!(matches!(&*ids_without_user, [one] if one.contains("Give both, or neither")), "{ids_without_user:?}");
}

#[test]
fn rules_let_pass_what_works() {
    for (kind, engine) in [("cluster", "mysql"), ("readers", "mysql"), ("instance", "mysql"), ("instance", "mariadb")] {
        assert_eq!(with(&[("DatabaseKind", kind), ("DatabaseEngine", engine)]).refusals(), [""; 0], "{engine} {kind}");
    }
    assert_eq!(with_secret().refusals(), [""; 0]);
    assert_eq!(Stack::with(&[MYSQL, ("HealthCheckIntervalSeconds", "10")]).refusals(), [""; 0], "without flushing");
}

#[test]
fn parameters_take_what_is_right_and_nothing_else() {
    let cases: [(&str, &[&str], &[&str]); 6] = [
        (
            "FlushHostsUser",
            &["", "flush_hosts"],
            &["flush hosts", "flush@hosts", "*", "a23456789012345678901234567890123"],
        ),
        (
            "DatabaseResourceIds",
            &["", "db-ABCDEFGHIJKL01234", "cluster-ABCDEFGHIJKL01234,db-ABCDEFGHIJKL01234"],
            &["*", "app", "db-*", "cluster-abcdefghijkl01234", "db-ABCDEFGHIJKL01234,", "prx-ABCDEFGHIJKL01234"],
        ),
        (
            "FlushHostsSecretArn",
            &["", SECRET, "arn:aws:secretsmanager:eu-west-1:111122223333:secret:rds!cluster-1234abcd-Ab12Cd"],
            &["flush-hosts", "arn:aws:secretsmanager:eu-west-1:111122223333:secret:*", "arn:aws:ssm:eu-west-1:1:a"],
        ),
        ("FlushHostsSubnetIds", &["", "subnet-01234567,subnet-89abcdef"], &["vpc-01234567", "subnet-01234567,"]),
        ("CaBundleLayerArn", &["", LAYER], &["ca", &LAYER[..LAYER.len() - 2], "arn:aws:s3:::bucket"]),
        ("FlushHostsSecurityGroupIds", &["", "sg-01234567,sg-89abcdef"], &["default", "sg-01234567, sg-89abcdef"]),
    ];
    for (parameter, right, wrong) in cases {
        right.iter().for_each(|value| assert!(accepts(parameter, value), "{parameter} refuses {value:?}"));
        wrong.iter().for_each(|value| assert!(!accepts(parameter, value), "{parameter} accepts {value:?}"));
    }
    let many = |count: usize| vec!["db-ABCDEFGHIJKL01234"; count].join(",");
    assert!(accepts("DatabaseResourceIds", &many(4)));
    assert!(!accepts("DatabaseResourceIds", &many(5)), "the role has no place for it");
    assert_eq!(section("Parameters")["MaxConnectErrors"]["Default"], "100", "an untouched database has 100");
    let description = text(&section("Parameters")["DatabaseResourceIds"]["Description"]);
    assert!(description.contains("blue/green"), "the IDs change");
    assert!(text(&section("Parameters")["FlushHostsSecretArn"]["Description"]).contains("kms:Decrypt"));
}

// --- The function ---

#[test]
fn the_function_is_built_from_this_workspace_and_is_in_the_databases_network() {
    let metadata = &TEMPLATE["Resources"]["FlushHosts"]["Metadata"];
    assert_eq!(*metadata, json!({"BuildMethod": "rust-cargolambda", "BuildProperties": {"Binary": "flush-hosts"}}));
    let function = with(&[("Architecture", "arm64")]).existing("FlushHosts");
    assert!(root().join(text(&function["CodeUri"])).join("Cargo.toml").exists());
    assert_eq!([&function["Runtime"], &function["Handler"]], ["provided.al2023", "bootstrap"]);
    assert_eq!(function["Architectures"], json!(["arm64"]));
    let network = json!({"SubnetIds": [NETWORK[0].1], "SecurityGroupIds": [NETWORK[1].1]});
    assert_eq!(function["VpcConfig"], network);
    assert_eq!(function["LoggingConfig"]["LogGroup"], "{FlushHostsLogGroup}");
    let group = with(&[("LogRetentionDays", "7")]).existing("FlushHostsLogGroup");
    assert_eq!(group, json!({"LogGroupName": "/aws/lambda/link-flush-hosts", "RetentionInDays": "7"}));
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
    let instance = [("DatabaseEngine", "mariadb"), ("DatabaseKind", "instance"), ("DatabaseIdentifier", "other")];
    let variables = &with(&instance).existing("FlushHosts")["Environment"]["Variables"];
    assert_eq!([&variables["DATABASE_IDENTIFIER"], &variables["DATABASE_ENGINE"]], ["other", "mariadb"]);
}

#[test]
fn the_function_reads_what_the_template_gives_it() {
    let config = |stack: &Stack| {
        let function = stack.existing("FlushHosts");
        let variables = function["Environment"]["Variables"].as_object().unwrap().clone();
        // Lambda sets this one.
        Config::parse(
            |name| if name == "AWS_REGION" { Some("eu-west-1".into()) } else { variables.get(name).map(text) },
        )
    };
    let database = |kind| Database { identifier: "app".into(), kind };
    let iam = Config {
        database: database(Kind::Cluster),
        login: Login::Iam("flush_hosts".into()),
        ca_bundle: None,
        region: "eu-west-1".into(),
    };
    let secret = Config { login: Login::Secret(SECRET.into()), ..iam.clone() };
    let layer = Config { ca_bundle: Some("/opt/ca.pem".into()), ..iam.clone() };
    let instance = Config { database: database(Kind::Instance), ..iam.clone() };
    let readers = [("DatabaseKind", "readers"), ("DatabaseEndpoint", ENDPOINTS[1].1)];
    let alone = [("DatabaseKind", "instance"), ("DatabaseEndpoint", ENDPOINTS[2].1), ("DatabaseEngine", "mariadb")];
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
    let timeout = Duration::from_secs(with(&[]).existing("FlushHosts")["Timeout"].as_u64().unwrap());
    assert!(timeout > aws::OPERATION_TIMEOUT + INSTANCE_LIMIT, "{timeout:?}");
}

#[test]
fn what_is_lost_lands_in_the_failure_queue() {
    let stack = with(&[]);
    let function = stack.existing("FlushHosts");
    let asynchronous = &function["EventInvokeConfig"];
    assert_eq!(
        asynchronous["DestinationConfig"]["OnFailure"],
        json!({"Type": "SQS", "Destination": "{FailureQueue.Arn}"})
    );
    // Lambda pauses one minute before the first retry and two before the second.
    let attempts = 1 + asynchronous["MaximumRetryAttempts"].as_u64().unwrap();
    let needed = attempts * function["Timeout"].as_u64().unwrap() + 60 + 120;
    assert!(asynchronous["MaximumEventAgeInSeconds"].as_u64().unwrap() >= needed, "no room for {attempts} attempts");
    assert_eq!(stack.existing("FlushHostsSchedule")["Targets"][0]["DeadLetterConfig"]["Arn"], "{FailureQueue.Arn}");

    let writers = |stack: &Stack| {
        let policy = stack.existing("FailureQueuePolicy");
        let statements = policy["PolicyDocument"]["Statement"].as_array().unwrap().iter();
        statements.map(|s| text(&s["Condition"]["ArnEquals"]["aws:SourceArn"])).collect::<BTreeSet<_>>()
    };
    assert_eq!(writers(&stack), owned(["{FlushHostsSchedule.Arn}", "{Schedule.Arn}", "{Topic}"]));
    assert_eq!(writers(&Stack::with(&[MYSQL])), owned(["{Schedule.Arn}", "{Topic}"]));
}

// --- Permissions ---

/// The statements of the role with this effect: each action with its resources, and the condition.
fn statements(stack: &Stack, effect: &str) -> Vec<(String, Vec<String>, Option<Value>)> {
    let role = stack.existing("FlushHostsRole");
    assert_eq!(role.get("ManagedPolicyArns"), None, "the policies are written out");
    let policies = role["Policies"].as_array().unwrap();
    let statements = policies.iter().flat_map(|policy| policy["PolicyDocument"]["Statement"].as_array().unwrap());
    let matching = statements.filter(|statement| statement["Effect"] == effect);
    let each = |s: &Value| {
        strings(&s["Action"])
            .into_iter()
            .map(|a| (a, strings(&s["Resource"]), s.get("Condition").cloned()))
            .collect::<Vec<_>>()
    };
    matching.flat_map(each).collect()
}

fn interfaces() -> BTreeSet<String> {
    owned([
        "ec2:AssignPrivateIpAddresses",
        "ec2:CreateNetworkInterface",
        "ec2:DeleteNetworkInterface",
        "ec2:DescribeNetworkInterfaces",
        "ec2:DescribeSubnets",
        "ec2:UnassignPrivateIpAddresses",
    ])
}

#[test]
fn the_role_sees_the_instances_logs_in_and_no_more() {
    let arn = |service: &str, rest: &str| format!("arn:aws:{service}:eu-west-1:111122223333:{rest}");
    let user = arn("rds-db", "dbuser:cluster-ABCDEFGHIJKL01234/flush_hosts");
    let cluster = (DESCRIBE_CLUSTERS, arn("rds", "cluster:app"));
    let login = ("rds-db:connect", user);
    let secret = (GET_SECRET, SECRET.to_owned());
    let instances = |name: &str| (DESCRIBE_INSTANCES, arn("rds", &format!("db:{name}")));
    let cases = [
        (with(&[]), vec![cluster.clone(), instances("*"), login.clone()]),
        (with(&[("DatabaseKind", "readers")]), vec![cluster.clone(), instances("*"), login.clone()]),
        (with(&[("DatabaseKind", "instance"), ("DatabaseIdentifier", "other")]), vec![instances("other"), login]),
        (with_secret(), vec![cluster, instances("*"), secret]),
    ];
    for (stack, own) in cases {
        let logs = arn("logs", "log-group:{FlushHostsLogGroup}:*");
        let mut expected: BTreeSet<_> =
            own.into_iter().map(|(action, resource)| (action.to_owned(), resource)).collect();
        expected.insert(("logs:CreateLogStream".into(), logs.clone()));
        expected.insert(("logs:PutLogEvents".into(), logs));
        expected.insert(("sqs:SendMessage".into(), "{FailureQueue.Arn}".into()));
        expected.extend(interfaces().into_iter().map(|action| (action, "*".into())));
        let allowed = statements(&stack, "Allow").into_iter();
        let allowed: BTreeSet<_> =
            allowed.flat_map(|(a, all, _)| all.into_iter().map(move |r| (a.clone(), r))).collect();
        assert_eq!(allowed, expected);
    }
}

#[test]
fn the_user_logs_in_where_the_resource_ids_are() {
    let ids = "cluster-ABCDEFGHIJ,db-AAAAAAAAAA,db-BBBBBBBBBB,db-CCCCCCCCCC";
    for count in 1..=4 {
        let given: Vec<_> = ids.split(',').take(count).collect();
        let joined = given.join(",");
        let parameters = [&[MYSQL, USER[0], ("DatabaseResourceIds", joined.as_str())][..], &NETWORK].concat();
        let allowed = statements(&Stack::with(&parameters), "Allow");
        let (_, resources, _) = allowed.into_iter().find(|(action, ..)| action == "rds-db:connect").unwrap();
        let expected = given.iter().map(|id| format!("arn:aws:rds-db:eu-west-1:111122223333:dbuser:{id}/flush_hosts"));
        assert_eq!(resources, expected.collect::<Vec<_>>());
    }
}

#[test]
fn network_interfaces_are_lambdas_to_handle_and_not_the_codes() {
    let denied = statements(&with(&[]), "Deny");
    assert_eq!(denied.iter().map(|(action, ..)| action.clone()).collect::<BTreeSet<_>>(), interfaces());
    let any_function = "arn:aws:lambda:eu-west-1:111122223333:function:*";
    let from_code = json!({"ArnLike": {"lambda:SourceFunctionArn": any_function}});
    assert!(denied.iter().all(|(_, all, condition)| *all == ["*"] && condition.as_ref() == Some(&from_code)));
}

// --- Schedule ---

#[test]
fn the_schedule_is_a_third_of_the_time_to_the_block() {
    for (limit, interval) in limits_and_intervals() {
        let stack = with(&[("MaxConnectErrors", limit), ("HealthCheckIntervalSeconds", interval)]);
        let minutes = safe_minutes(limit, interval);
        let is_possible = minutes >= SCHEDULE_MINUTES;
        assert_eq!(stack.refusals().is_empty(), is_possible, "{limit} and {interval}: {minutes} minutes");
        if is_possible {
            let plural = if minutes == 1 { "" } else { "s" };
            let schedule = text(&stack.existing("FlushHostsSchedule")["ScheduleExpression"]);
            assert_eq!(schedule, format!("rate({minutes} minute{plural})"), "{limit} and {interval}");
        }
    }
    let documented =
        |limit: &str, interval: &str| limit.parse::<u64>().unwrap() * seconds(interval) / CHECKS_AN_INTERVAL;
    assert_eq!(documented("5000", "300") / 60, NEVER_OVER_MINUTES + 26, "69.4 hours");
    assert_eq!(safe_minutes("100", "auto"), 27, "an untouched database");
    let table = TEMPLATE["Mappings"]["FlushHosts"].as_object().unwrap();
    let table: usize = table.values().map(|row| row.as_object().unwrap().len()).sum();
    assert_eq!(table, limits_and_intervals().len(), "a rate that no parameter selects");
}

#[test]
fn the_schedule_invokes_the_function() {
    let stack = with(&[]);
    let schedule = stack.existing("FlushHostsSchedule");
    assert_eq!(schedule["State"], "ENABLED");
    assert_eq!(schedule["Targets"].as_array().unwrap().len(), 1);
    assert_eq!(schedule["Targets"][0]["Arn"], "{FlushHosts.Arn}");
    let expected = json!({
        "Action": "lambda:InvokeFunction",
        "FunctionName": "{FlushHosts}",
        "Principal": "events.amazonaws.com",
        "SourceArn": "{FlushHostsSchedule.Arn}",
    });
    assert_eq!(stack.existing("FlushHostsPermission"), expected);
    assert_eq!(stack.output("FlushHostsFunctionName"), "{FlushHosts}");
}

// --- Alarms ---

#[test]
fn alarms_see_blocks_a_full_cache_failures_and_silence() {
    let topic = "arn:aws:sns:eu-west-1:111122223333:ops";
    let stack = with(&[("OperationsTopicArn", topic), ("DatabaseIdentifier", "other")]);
    let custom = |metric: &str| format!("{METRIC_NAMESPACE} {metric} Maximum");
    let database = json!([{"Name": "Database", "Value": "other"}]);
    let function = json!([{"Name": "FunctionName", "Value": "{FlushHosts}"}]);
    let above = "GreaterThanThreshold";
    let expected = [
        ("HostsBlockedAlarm", custom("HostsBlocked"), &database, above, 0, 1, "ignore"),
        ("HostCacheFillAlarm", custom("HostCacheFill"), &database, above, 50, 1, "ignore"),
        ("FlushFailedAlarm", custom("FlushFailed"), &database, above, 0, 1, "ignore"),
        ("FlushHostsErrorsAlarm", "AWS/Lambda Errors Sum".to_owned(), &function, above, 0, 1, "ignore"),
        (
            "FlushHostsSilentAlarm",
            "AWS/Lambda Invocations Sum".to_owned(),
            &function,
            "LessThanThreshold",
            1,
            2,
            "breaching",
        ),
    ];
    assert_eq!(
        owned(expected.each_ref().map(|alarm| alarm.0)),
        owned(PARTS.into_iter().filter(|p| p.ends_with("Alarm")))
    );
    for (name, metric, dimensions, comparison, threshold, periods, missing) in &expected {
        let alarm = stack.existing(name);
        let measured = ["Namespace", "MetricName", "Statistic"].map(|key| text(&alarm[key])).join(" ");
        assert_eq!(measured, *metric);
        assert_eq!(&alarm["Dimensions"], *dimensions, "{name}");
        let judged =
            ["ComparisonOperator", "Threshold", "EvaluationPeriods", "TreatMissingData"].map(|key| &alarm[key]);
        assert_eq!(judged, [&json!(comparison), &json!(threshold), &json!(periods), &json!(missing)], "{name}");
        assert_eq!([&alarm["AlarmActions"], &alarm["OKActions"]], [&json!([topic]), &json!([topic])], "{name}");
        assert_eq!(with(&[]).existing(name)["AlarmActions"], json!(["{OperationsTopic}"]), "{name}");
        assert!(text(&alarm["AlarmDescription"]).len() > 80, "{name} does not say what to do");
    }
    let by_endpoint = with(&[]).existing("HostsBlockedAlarm");
    assert_eq!(by_endpoint["Dimensions"], json!([{"Name": "Database", "Value": "app"}]));
}

#[test]
fn alarms_look_at_one_run_and_are_periods_that_cloudwatch_takes() {
    for (limit, interval) in limits_and_intervals() {
        let stack = with(&[("MaxConnectErrors", limit), ("HealthCheckIntervalSeconds", interval)]);
        for name in PARTS.into_iter().filter(|part| part.ends_with("Alarm")) {
            let alarm = stack.existing(name);
            let period = text(&alarm["Period"]).parse::<u64>().unwrap();
            let minutes = safe_minutes(limit, interval).max(SCHEDULE_MINUTES);
            assert_eq!(period, minutes * 60, "{name} {limit} {interval}");
            // At most a day in all for periods under an hour, else a week (PutMetricAlarm).
            let all = period * alarm["EvaluationPeriods"].as_u64().unwrap();
            let longest = if period < 3600 { 86_400 } else { 604_800 };
            assert!(period <= 86_400 && all <= longest, "{name} {limit} {interval}: {all} s");
        }
    }
}

// --- infra ---

#[test]
fn the_parameter_group_raises_the_limit_and_can_turn_the_cache_off() {
    let group = |given: &[(&str, &str)]| {
        let parameters = [&[("Family", "aurora-mysql8.0")], given].concat();
        Stack::of(&PARAMETER_GROUP, &parameters).existing("ParameterGroup")
    };
    let types: Vec<_> = PARAMETER_GROUP["Resources"].as_object().unwrap().values().map(|r| text(&r["Type"])).collect();
    assert_eq!(types, ["AWS::RDS::DBParameterGroup"], "both are parameters of an instance, in a cluster as well");
    assert_eq!(group(&[])["Family"], "aurora-mysql8.0");
    assert_eq!(group(&[])["Parameters"], json!({"max_connect_errors": "5000"}));
    assert_eq!(group(&[("MaxConnectErrors", "10000")])["Parameters"]["max_connect_errors"], "10000");
    let disabled = json!({"max_connect_errors": "5000", "host_cache_size": "0"});
    assert_eq!(group(&[("DisableHostCache", "true")])["Parameters"], disabled);
}

#[test]
fn the_parameter_group_takes_families_that_have_a_host_cache_and_limits_that_exist() {
    let cases: [(&str, &[&str], &[&str]); 2] = [
        (
            "Family",
            &[
                "aurora-mysql5.7",
                "aurora-mysql8.0",
                "aurora-mysql8.4",
                "mysql8.0",
                "mysql8.4",
                "mariadb10.6",
                "mariadb11.8",
            ],
            &["", "postgres16", "aurora-postgresql16", "mysql", "default.mysql8.0", "aurora-mysql8.0 "],
        ),
        ("MaxConnectErrors", &["1", "5000", "4294967295"], &["0", "4294967296", "many"]),
    ];
    for (parameter, right, wrong) in cases {
        let definition = &PARAMETER_GROUP["Parameters"][parameter];
        right.iter().for_each(|value| assert!(takes(definition, value), "{parameter} refuses {value:?}"));
        wrong.iter().for_each(|value| assert!(!takes(definition, value), "{parameter} accepts {value:?}"));
    }
}

#[test]
fn the_parameter_group_tells_when_to_reboot() {
    let stack = Stack::of(&PARAMETER_GROUP, &[("Family", "mysql8.4")]);
    let commands = [
        ("AssociateCommand", "aws rds modify-db-instance"),
        ("RebootCommand", "aws rds reboot-db-instance"),
        ("LookCommand", "aws rds describe-db-instances"),
        ("ParametersCommand", "aws rds describe-db-parameters"),
    ];
    for (output, command) in commands {
        assert!(stack.output(output).starts_with(command), "{output}");
    }
    assert!(stack.output("AssociateCommand").contains("--db-parameter-group-name {ParameterGroup}"));
    let reboot = text(&PARAMETER_GROUP["Outputs"]["RebootCommand"]["Description"]);
    assert!(reboot.contains("once after AssociateCommand") && reboot.contains("not after a change"), "{reboot}");
}

/// The statements of a block of `mysql-user.sql`, as they are once the comment marks are gone.
fn account(block: &str) -> Vec<String> {
    let sql = std::fs::read_to_string(root().join("infra/mysql-user.sql")).unwrap();
    let lines = sql.lines().skip_while(|line| !line.starts_with(&format!("-- {block}: "))).skip(1);
    lines.take_while(|line| !line.is_empty()).map(|line| line.trim_start_matches("-- ").to_owned()).collect()
}

#[test]
fn the_accounts_have_the_privileges_of_their_statement_and_no_more() {
    let truncate = ["GRANT SELECT, DROP ON performance_schema.host_cache TO 'flush_hosts'@'%';"].as_slice();
    let flush = [
        "GRANT RELOAD ON *.* TO 'flush_hosts'@'%';",
        "GRANT SELECT ON performance_schema.host_cache TO 'flush_hosts'@'%';",
    ];
    let iam = "IDENTIFIED WITH AWSAuthenticationPlugin AS 'RDS'";
    let password = "IDENTIFIED BY 'REPLACE-THIS-PASSWORD'";
    let accounts = [("A", iam, truncate), ("B", password, truncate), ("C", iam, &flush), ("D", password, &flush)];
    for (block, login, grants) in accounts {
        let statements = account(block);
        let (create, granted) = statements.split_first().unwrap_or_else(|| panic!("no block {block}"));
        assert_eq!(*create, format!("CREATE USER 'flush_hosts'@'%' {login} REQUIRE SSL;"), "{block}");
        assert_eq!(granted, grants, "{block}");
    }
}

#[test]
fn the_sql_does_nothing_until_a_block_is_chosen() {
    let sql = std::fs::read_to_string(root().join("infra/mysql-user.sql")).unwrap();
    assert!(sql.lines().all(|line| line.is_empty() || line.starts_with("--")));
}

#[test]
fn the_templates_are_clean() {
    let root = root();
    let output = Command::new(root.join(".venv/bin/cfn-lint"))
        .args(["template.yaml", "infra/mysql-parameters.yaml"])
        .current_dir(root)
        .output()
        .expect(".venv/bin/cfn-lint exists and runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}
