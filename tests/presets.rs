//! What the presets of `samconfig.toml` promise: each vendor gets what it asks for, by the guide's
//! command.

// In a test a failed unwrap is the failure that it reports.
#![allow(clippy::unwrap_used)]

mod stack;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::{Command, Output};
use std::sync::LazyLock;

use anyhow::{Context, Result, ensure};
use lab::aws::{Aws, REGION};
use lab::cloudformation::{Outputs, tool};
use lab::deploy;
use lab::progress::Quiet;
use lab::workspace::{self, Run, venv_program};
use serde_json::{Value, json};
use stack::{Stack, accepts, layer, owned, root, strings, text};

/// What `sam deploy` reads from `samconfig.toml`.
static CONFIG: LazyLock<Value> = LazyLock::new(|| config(root()));

/// The principal of PlanetScale is the owner's own account, which no preset can know.
const PRINCIPAL: (&str, &str) = ("AllowedPrincipals", "arn:aws:iam::444455556666:root");

const STARBURST: [(&str, &str); 7] = [
    ("DatabaseEndpoint", "app.cluster-abc123.eu-west-1.rds.amazonaws.com"),
    ("DatabasePort", "3306"),
    ("DatabaseEngine", "mysql"),
    ("DatabaseKind", "cluster"),
    ("VpcId", "vpc-00000001"),
    ("SubnetIds", "subnet-00000001,subnet-00000002"),
    ("DatabaseCidrs", "10.0.1.0/24"),
];

/// The rest, which PlanetScale's preset leaves to the owner.
const PLANETSCALE: [(&str, &str); 6] = [
    PRINCIPAL,
    ("DatabaseKind", "cluster"),
    ("DatabaseEndpoint", "app.cluster-abc123.eu-west-1.rds.amazonaws.com"),
    ("VpcId", "vpc-00000001"),
    ("SubnetIds", "subnet-00000001,subnet-00000002,subnet-00000003"),
    ("DatabaseCidrs", "10.0.1.0/24"),
];

fn config(directory: &Path) -> Value {
    let output = Command::new(root().join(".venv/bin/python"))
        .arg(root().join("tests/samconfig_json.py"))
        .arg(directory)
        .output()
        .expect(".venv/bin/python exists and runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The parameters of a preset.
fn preset(name: &str) -> BTreeMap<String, String> {
    let overrides = CONFIG[name]["parameter_overrides"]
        .as_object()
        .unwrap_or_else(|| panic!("no preset {name}"));
    overrides.iter().map(|(parameter, value)| (parameter.clone(), text(value))).collect()
}

/// What a preset and its owner's answers resolve to.
fn resolved(name: &str, answers: &[(&str, &str)]) -> Stack {
    let preset = preset(name);
    let kept = preset
        .iter()
        .filter(|(parameter, _)| !answers.iter().any(|(answered, _)| answered == parameter));
    let kept = kept.map(|(parameter, value)| (parameter.as_str(), value.as_str()));
    Stack::of(layer("template.yaml"), &kept.chain(answers.iter().copied()).collect::<Vec<_>>())
}

/// The same, which no rule may refuse.
fn stack(name: &str, answers: &[(&str, &str)]) -> Stack {
    let stack = resolved(name, answers);
    assert_eq!(stack.refusals(), Vec::<String>::new(), "{name}");
    stack
}

fn make(arguments: &[&str]) -> Output {
    workspace::make().args(arguments).output().expect("make runs")
}

/// The commands that `make` would run, each on one line.
fn commands(arguments: &[&str]) -> Vec<String> {
    let output = make(&[&["--dry-run", "DIST="], arguments].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let printed = String::from_utf8_lossy(&output.stdout).replace("\\\n\t", "");
    printed.lines().map(|line| line.trim_end().to_owned()).collect()
}

// --- The file ---

#[test]
fn every_environment_deploys_after_a_question_with_a_bucket_that_sam_makes() {
    let names: BTreeSet<_> = CONFIG.as_object().unwrap().keys().cloned().collect();
    assert_eq!(names, owned(["default", "planetscale", "starburst"]));
    for (name, options) in CONFIG.as_object().unwrap() {
        assert_eq!(options["capabilities"], "CAPABILITY_IAM", "{name}");
        assert_eq!(options["confirm_changeset"], true, "{name}");
        assert_eq!(options["resolve_s3"], true, "{name}");
    }
    assert_eq!(CONFIG["default"]["parameter_overrides"], json!({}), "the default is no preset");
}

#[test]
fn every_preset_names_its_source_and_its_date() {
    let file = std::fs::read_to_string(root().join("samconfig.toml")).unwrap();
    for name in ["starburst", "planetscale"] {
        let before = file.split(&format!("[{name}.deploy.parameters]")).next().unwrap();
        let comment: Vec<_> =
            before.lines().rev().take_while(|line| line.starts_with('#')).collect();
        let comment = comment.into_iter().rev().collect::<Vec<_>>().join(" ");
        assert!(comment.contains("Source:") && comment.contains("https://"), "{name}: {comment}");
        assert!(comment.contains("Checked 20"), "{name}: {comment}");
    }
}

#[test]
fn make_deploys_a_preset_to_its_own_stack() {
    for name in ["default", "starburst", "planetscale"] {
        let stack = text(&CONFIG[name]["stack_name"]);
        let command = format!("sam deploy --guided --config-env {name} --stack-name {stack}");
        assert_eq!(
            commands(&["deploy", &format!("PRESET={name}")]).last(),
            Some(&command),
            "{name}"
        );
    }
    assert_eq!(commands(&["deploy"]), commands(&["deploy", "PRESET=default"]));
}

#[test]
fn make_accepts_at_the_stack_of_a_preset_and_only_the_endpoint_that_is_named() {
    let cases: [(&[&str], &str); 5] = [
        (&[], "failover-sync"),
        (&["PRESET=starburst"], "failover-sync-starburst"),
        (
            &["PRESET=starburst", "ENDPOINT=vpce-0123456789abcdef0"],
            "failover-sync-starburst vpce-0123456789abcdef0",
        ),
        (&["PRESET=orders", "ENDPOINT=all"], "failover-sync-orders all"),
        (&["STACK=link"], "link"),
    ];
    for (given, expected) in cases {
        let command = format!("python infra/accept.py {expected}");
        assert_eq!(commands(&[&["accept"], given].concat()).last(), Some(&command), "{given:?}");
    }
}

#[test]
fn make_writes_the_ticket_to_the_vendor_of_a_preset() {
    let cases: [(&[&str], &str); 4] = [
        (&[], "failover-sync"),
        (&["PRESET=starburst"], "failover-sync-starburst --to starburst"),
        (
            &["PRESET=planetscale", "NAME=our import"],
            "failover-sync-planetscale --to planetscale --name 'our import'",
        ),
        (&["PRESET=orders", "TO=planetscale"], "failover-sync-orders --to planetscale"),
    ];
    for (given, expected) in cases {
        let command = format!("python infra/ticket.py {expected}");
        assert_eq!(commands(&[&["ticket"], given].concat()).last(), Some(&command), "{given:?}");
    }
}

#[test]
fn make_invokes_at_the_stack_of_a_preset_and_in_the_region_that_it_saved() {
    let cases: [(&[&str], &str); 4] = [
        (&[], "--config-env default --stack-name failover-sync --event '{}'"),
        (
            &["PRESET=starburst", r#"PAYLOAD={"dryRun": true}"#],
            "--config-env starburst --stack-name failover-sync-starburst \
             --event '{\"dryRun\": true}'",
        ),
        (&["PRESET=orders"], "--config-env orders --stack-name failover-sync-orders --event '{}'"),
        (
            &["PRESET=billing", "STACK=billing", "RESOURCE=Database/FailoverSync/Function"],
            "Database/FailoverSync/Function --config-env billing --stack-name billing --event '{}'",
        ),
    ];
    for (given, expected) in cases {
        let command =
            format!("set -o pipefail; sam remote invoke {expected} | python3 -m json.tool");
        assert_eq!(commands(&[&["invoke"], given].concat()).last(), Some(&command), "{given:?}");
    }
}

#[test]
fn make_deploys_a_layer_with_a_build_and_an_environment_of_its_own() {
    for layer in ["database", "flush-hosts", "function", "link", "ranges"] {
        let target = format!("deploy-{layer}");
        let commands = commands(&[&target, "STACK=billing"]);
        let saved = root().join("samconfig.toml");
        let expected = [
            format!("sam build --template-file infra/{layer}.yaml --build-dir .aws-sam/{layer}"),
            format!(
                "sam deploy --guided --template-file .aws-sam/{layer}/template.yaml --config-file \
                 {} --config-env billing --stack-name billing --capabilities CAPABILITY_IAM",
                saved.display()
            ),
        ];
        assert!(commands.ends_with(&expected), "{commands:#?}");
        let nameless = make(&[&target, "--assume-old=.venv/installed"]);
        assert!(!nameless.status.success(), "it would be deployed over the front door");
        assert!(String::from_utf8_lossy(&nameless.stdout).contains("give its stack a name"));
    }
}

#[test]
fn make_deploys_a_release_where_there_is_one_and_compiles_nothing() {
    let saved = root().join("samconfig.toml");
    let saved = saved.display();
    for (given, template, environment) in [
        (
            &["deploy", "PRESET=starburst"][..],
            "template.yaml",
            "starburst --stack-name failover-sync-starburst",
        ),
        (
            &["deploy-database", "STACK=billing"],
            "infra/database.yaml",
            "billing --stack-name billing --capabilities CAPABILITY_IAM",
        ),
    ] {
        let commands = commands(&[given, &["DIST=dist", "--assume-old=.venv/installed"]].concat());
        let expected = format!(
            "sam deploy --guided --template-file dist/{template} --config-file {saved} \
             --config-env {environment}"
        );
        assert_eq!(commands.last(), Some(&expected), "{commands:#?}");
        assert!(!commands.iter().any(|command| command.contains("build")), "{commands:#?}");
    }
}

#[test]
fn make_refuses_a_stack_whose_name_is_too_long_for_a_function() {
    let long = format!("STACK={}", "a".repeat(65));
    for target in ["deploy", "deploy-database"] {
        let output = make(&[target, &long, "--assume-old=.venv/installed", "--assume-old=build"]);
        assert!(!output.status.success(), "{target}");
        assert!(
            String::from_utf8_lossy(&output.stdout).contains("at most 64 characters"),
            "{target}: {output:?}"
        );
    }
}

#[test]
fn make_refuses_a_preset_that_does_not_exist() {
    let output = make(&["preset", "PRESET=starbust"]);
    assert!(!output.status.success());
    assert_eq!(String::from_utf8_lossy(&output.stdout), "samconfig.toml has no PRESET=starbust\n");
}

// --- The stacks ---

#[test]
fn starburst_may_connect_from_its_range_once_its_endpoint_is_accepted() {
    let stack = stack("starburst", &STARBURST);
    let principals = strings(&stack.existing("EndpointServicePermissions")["AllowedPrincipals"]);
    assert_eq!(principals, ["arn:aws:iam::179619298502:root"]);
    assert_eq!(text(&stack.existing("EndpointService")["AcceptanceRequired"]), "true");
    assert_eq!(ingress(&stack), [("3306".to_owned(), "172.16.0.0/16".to_owned())]);
    assert_eq!(enforcement(&stack), "on");
}

#[test]
fn starburst_checks_mysql_and_mariadb_as_its_tutorial_does_and_others_often() {
    for (engine, interval) in
        [("mysql", "300"), ("mariadb", "300"), ("postgres", "10"), ("sqlserver", "10")]
    {
        let answers = STARBURST.map(|(name, value)| match name {
            "DatabaseEngine" => (name, engine),
            "DatabaseEndpoint" => (name, "app.abc123.eu-west-1.rds.amazonaws.com"),
            "DatabaseKind" => (name, "instance"),
            _ => (name, value),
        });
        assert_eq!(health_check_interval(&stack("starburst", &answers)), interval, "{engine}");
    }
}

/// Starburst's tutorial is about an instance, PlanetScale's page about a primary: no default fits.
#[test]
fn no_preset_answers_what_the_database_is() {
    for name in ["starburst", "planetscale"] {
        let answered = preset(name);
        for parameter in ["DatabaseKind", "DatabaseEndpoint", "SubnetIds"] {
            assert!(!answered.contains_key(parameter), "{name} answers {parameter}");
        }
    }
}

#[test]
fn planetscale_reaches_only_the_writer_on_3306_in_three_zones_and_nobody_has_to_accept() {
    let stack = stack("planetscale", &PLANETSCALE);
    assert_eq!(
        strings(&stack.existing("EndpointServicePermissions")["AllowedPrincipals"]),
        [PRINCIPAL.1]
    );
    assert_eq!(text(&stack.existing("EndpointService")["AcceptanceRequired"]), "false");
    assert_eq!(strings(&stack.existing("LoadBalancer")["Subnets"]).len(), 3);
    assert_eq!(text(&stack.existing("Listener")["Port"]), "3306");
    assert_eq!(health_check_interval(&stack), "300");
    let bindings = stack.existing("Function")["Environment"]["Variables"]["BINDINGS"].to_string();
    assert!(
        bindings.contains(r#"\"kind\":\"cluster\""#) && !bindings.contains("readers"),
        "{bindings}"
    );
}

#[test]
fn planetscale_goes_through_a_security_group_that_opens_3306_alone() {
    let open = stack("planetscale", &PLANETSCALE);
    assert_eq!(ingress(&open), []);
    assert_eq!(enforcement(&open), "off", "with no range to enforce, everything would be dropped");

    let given =
        [&PLANETSCALE[..], &[("ConsumerCidrs", "10.9.0.0/16"), ("EnforceConsumerCidrs", "true")]]
            .concat();
    let enforced = stack("planetscale", &given);
    assert_eq!(ingress(&enforced), [("3306".to_owned(), "10.9.0.0/16".to_owned())]);
    assert_eq!(enforcement(&enforced), "on");
}

#[test]
fn planetscale_cannot_be_deployed_without_a_principal_from_its_owner() {
    assert!(!preset("planetscale").contains_key("AllowedPrincipals"));
    let asked = layer("template.yaml")["Parameters"]["AllowedPrincipals"].get("Default").is_none();
    assert!(asked, "CloudFormation refuses a stack without it");
    assert!(
        !accepts("AllowedPrincipals", "arn:aws:iam:444455556666:root"),
        "an ARN without the empty Region"
    );
}

/// Port and range of the load balancer's inbound rules, each for TCP and one port.
fn ingress(stack: &Stack) -> Vec<(String, String)> {
    let rules = [
        "ConsumerIngress",
        "ConsumerIngressIpv6",
        "ReaderConsumerIngress",
        "ReaderConsumerIngressIpv6",
    ];
    let there: Vec<_> = rules.into_iter().filter_map(|name| stack.resource(name)).collect();
    let ranges = |rule: &Value| {
        assert!(rule["IpProtocol"] == "tcp" && rule["FromPort"] == rule["ToPort"], "{rule}");
        assert_eq!(rule["SourcePrefixListId"], "{Ipv4PrefixList.PrefixListId}");
        let list = stack.nested("Consumers").unwrap().existing("Ipv4PrefixList");
        let ranges: Vec<_> =
            list["Entries"].as_array().unwrap().iter().map(|entry| text(&entry["Cidr"])).collect();
        ranges.into_iter().map(|range| (text(&rule["FromPort"]), range)).collect::<Vec<_>>()
    };
    there.iter().flat_map(ranges).collect()
}

fn enforcement(stack: &Stack) -> String {
    text(&stack.existing("LoadBalancer")["EnforceSecurityGroupInboundRulesOnPrivateLinkTraffic"])
}

fn health_check_interval(stack: &Stack) -> String {
    text(&stack.existing("TargetGroup")["HealthCheckIntervalSeconds"])
}

// --- The way there ---

/// The owner's way: guided, with answers where a preset has none. The local CloudFormation refuses
/// the endpoint service; the tests above have it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guided_deployment_takes_the_preset_and_keeps_the_answers() -> Result<()> {
    let run = Run::new()?;
    let aws = Aws::start(&run).await?;
    let built = deploy::build_directory(&run, deploy::FRONT_DOOR)?;
    let left_out: BTreeSet<_> = deploy::build(&run, deploy::FRONT_DOOR, &Quiet)
        .await?
        .left_out
        .into_iter()
        .map(|part| part.type_name)
        .collect();
    for missing in ["AWS::EC2::VPCEndpointService", "AWS::EC2::VPCEndpointServicePermissions"] {
        ensure!(
            left_out.contains(missing),
            "{missing} can be deployed here: deploy it, and assert on it"
        );
    }

    for (name, answers, zones) in
        [("starburst", &STARBURST[..], 2), ("planetscale", &PLANETSCALE[..], 3)]
    {
        std::fs::copy(root().join("samconfig.toml"), built.join("samconfig.toml"))?;
        guided(&run, &aws, &built, name, answers).await.with_context(|| name.to_owned())?;

        let outputs = Outputs::of(&run, &aws.environment(), &stack_name(name)).await?;
        let elbv2 = aws.elbv2();
        let group = elbv2
            .describe_target_groups()
            .target_group_arns(outputs.get("TargetGroupArn")?)
            .send()
            .await?;
        let group = &group.target_groups()[0];
        ensure!(group.port() == Some(3306), "{group:?}");
        ensure!(group.health_check_interval_seconds() == Some(300), "{group:?}");
        let arn = &group.load_balancer_arns()[0];
        let balancer = elbv2.describe_load_balancers().load_balancer_arns(arn).send().await?;
        let balancer = &balancer.load_balancers()[0];
        ensure!(balancer.availability_zones().len() == zones, "{balancer:?}");

        let saved = config(&built);
        let saved = saved[name]["parameter_overrides"].as_object().context("the saved answers")?;
        let expected = preset(name);
        let expected =
            expected.iter().map(|(parameter, value)| (parameter.as_str(), value.as_str()));
        for (parameter, value) in expected.chain(answers.iter().copied()) {
            ensure!(
                saved[parameter] == value,
                "{name}: {parameter} is {} and not {value}",
                saved[parameter]
            );
        }
    }

    std::fs::copy(root().join("samconfig.toml"), built.join("samconfig.toml"))?;
    let nobody = guided(&run, &aws, &built, "planetscale", &PLANETSCALE[1..]).await;
    let error =
        format!("{:#}", nobody.err().context("planetscale was deployed without a principal")?);
    ensure!(error.contains("AllowedPrincipals"), "{error}");
    Ok(())
}

/// `sam deploy --guided` as make calls it, with these answers and the defaults.
async fn guided(
    run: &Run,
    aws: &Aws,
    built: &Path,
    name: &str,
    answers: &[(&str, &str)],
) -> Result<()> {
    let mut lines = vec!["", ""]; // The stack's name and the Region.
    let template = std::fs::read_to_string(built.join("local.yaml"))?;
    lines.extend(parameters(&template).map(|parameter| {
        let answer = answers.iter().find(|(answered, _)| *answered == parameter);
        answer.map_or("", |(_, value)| value)
    }));
    // Confirm the change set, roles, no rollback, save, the file, the environment; deploy.
    lines.extend(["", "", "", "", "", "", "y", ""]);
    std::fs::write(built.join("answers"), lines.join("\n"))?;

    tool(&format!("guided-{name}"), "sh")
        .args(["-c", r#"exec "$@" < answers"#, "sh"])
        .arg(venv_program("sam")?)
        .args(["deploy", "--guided", "--config-env", name, "--stack-name", &stack_name(name)])
        .args(["--template-file", "local.yaml", "--region", REGION])
        .envs(aws.environment())
        .directory(built)
        .run(run, &Quiet)
        .await
}

/// The names of a template's parameters in the file's order, in which `sam` asks for them.
fn parameters(template: &str) -> impl Iterator<Item = &str> {
    let lines = template.lines().skip_while(|line| *line != "  \"Parameters\": {").skip(1);
    let section = lines.take_while(|line| *line != "  },");
    section.filter_map(|line| line.strip_prefix("    \"")?.strip_suffix("\": {"))
}

fn stack_name(name: &str) -> String {
    text(&CONFIG[name]["stack_name"])
}
