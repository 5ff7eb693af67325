//! What guides let their reader type and templates print, as `tests/guides.py` judges it.

use std::io::Write as _;
use std::process::Stdio;

use serde_json::{Value, json};

use super::*;

#[test]
fn every_command_of_the_guides_and_of_the_templates_is_one_that_its_program_takes() {
    let mut templates = vec!["template.yaml".to_owned()];
    let files = std::fs::read_dir(root().join("infra"))
        .unwrap()
        .map(|file| name_of(&file.unwrap().path()).unwrap());
    templates.extend(files.filter(|name| name.ends_with(".yaml")));
    let judged = judge(&json!({"guides": *GUIDES, "templates": templates}));
    let complaints: Vec<_> = judged
        .iter()
        .flat_map(|(guide, said)| {
            said["complaints"].as_array().unwrap().iter().map(move |one| format!("{guide}: {one}"))
        })
        .collect();
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
    let commands: Vec<&str> = judged
        .values()
        .flat_map(|said| said["commands"].as_array().unwrap())
        .map(|command| command.as_str().unwrap())
        .collect();
    for (program, least) in [("aws ", 40), ("sam ", 8), ("make ", 60), ("cargo ", 3), ("python", 3)]
    {
        let found = commands.iter().filter(|command| command.starts_with(program)).count();
        assert!(found >= least, "{found} commands begin with {program:?}");
    }
}

#[test]
fn what_a_program_would_refuse_is_refused() {
    let cases = [
        ("aws ec2 describe-vpcs --vpcs vpc-…", "Unknown options: --vpcs"),
        (
            "aws ec2 accept-vpc-endpoint-connections --service-id vpce-svc-…",
            "required: --vpc-endpoint-ids",
        ),
        ("aws ec2 describe-vpc", "Invalid choice: 'describe-vpc'"),
        ("aws ec2 describe-vpcs --query \"Vpcs[\"", "Invalid jmespath expression"),
        (
            "aws ec2 describe-vpcs --query \"Vpcs[].Id\"",
            "--query finds nothing in the answer of DescribeVpcs",
        ),
        (
            "aws elbv2 wait load-balancer-deleted --load-balancer-arns arn:…",
            "Invalid choice: 'load-balancer-deleted'",
        ),
        (
            "aws ec2 describe-subnets --filters vpc-id=vpc-…",
            "Unknown parameter in Filters[0]: \"vpc-id\"",
        ),
        ("aws ec2 describe-subnets --subnet-ids …", "no example"),
        (
            "aws cloudformation create-change-set --stack-name a --change-set-name b \
             --change-set-type UPDAT",
            "'UPDAT' is none of CREATE, UPDATE, IMPORT",
        ),
        (
            "aws cloudformation create-change-set --stack-name a --change-set-name b --parameters \
             file://none.json",
            "Unable to load paramfile file://none.json",
        ),
        (
            "for group in a b; do aws elbv2 describe-target-health --group $group; done",
            "required: --target-group-arn",
        ),
        ("make status && aws ec2 describe-vpcs --vpcs vpc-…", "Unknown options: --vpcs"),
        (
            "aws ec2 describe-vpcs --vpc-ids $(aws ec2 describe-vpc --output text)",
            "Invalid choice: 'describe-vpc'",
        ),
        (
            "aws cloudformation deploy --stack-name s1 --template-file infra/mysql-parameters.yaml \
             \\\n  --parameter-overrides Family=mysql8.0 Interval=5",
            "infra/mysql-parameters.yaml has no parameter Interval",
        ),
        (
            "aws cloudformation deploy --stack-name s2 --template-file infra/mysql-parameters.yaml \
             --parameter-overrides Family=mysql8.0 DisableHostCache=yes",
            "DisableHostCache of infra/mysql-parameters.yaml does not take 'yes'",
        ),
        (
            "aws cloudformation deploy --stack-name s3 --template-file infra/mysql-parameters.yaml",
            "nothing gives the stack s3 Family, which infra/mysql-parameters.yaml requires",
        ),
        (
            "aws cloudformation deploy --stack-name s4 --template-file infra/peering-accepter.yaml \
             --parameter-overrides VpcId=vpc-… RequesterCidrs=10.0.0.0/16",
            "--capabilities CAPABILITY_IAM is missing",
        ),
        (
            "aws cloudformation deploy --stack-name s5 --template-file infra/none.yaml",
            "there is no file infra/none.yaml",
        ),
        (
            "aws cloudformation deploy --stack-name s6 --template-file infra/function.yaml",
            "larger than CloudFormation takes",
        ),
        ("sam deploy --guide", "No such option: --guide"),
        ("sam deploys", "there is no sam deploys"),
        ("sam remote call", "there is no sam call"),
        ("sam deploy --template-file infra/none.yaml", "there is no file infra/none.yaml"),
        ("make deploys", "there is no make deploys"),
        ("make accept STACKS=link", "the Makefile has no variable STACKS"),
        ("make accept PRESET=none", "samconfig.toml has no PRESET none"),
        (
            "make check-peering VPC=10.50.0.0/33 PEER=172.20.0.0/20",
            "'10.50.0.0/33' is no address range",
        ),
        (
            "python3 infra/check_peering.py --vpc 10.50.0.0/21 --per 172.20.0.0/20",
            "unrecognized arguments",
        ),
        ("python infra/none.py link", "there is no file infra/none.py"),
        ("cargo test --workspace --test none", "there is no test none"),
        ("cargo run -p none", "there is no package none"),
        ("awk 1", "does not know this program"),
    ];
    let guides: BTreeMap<_, _> =
        cases.iter().map(|(command, _)| (command, format!("1. ```sh\n{command}\n```\n"))).collect();
    let judged = judge(&json!({"guides": guides, "templates": []}));
    for (command, complaint) in cases {
        let said = judged[command]["complaints"].to_string().replace("\\\"", "\"");
        assert!(said.contains(complaint), "{command}: {said}");
    }
}

#[test]
fn a_command_is_found_wherever_it_stands_and_an_output_is_of_a_template_that_is_named() {
    let cases = [
        ("Run `aws ec2\ndescribe-vpcs --vpcs vpc-…` first.", Some("Unknown options: --vpcs")),
        ("| cell `make deploys` |", Some("there is no make deploys")),
        ("Lets `aws ec2 modify-vpc-attribute` do it.", None),
        ("Lets `aws ec2 modify-vpc` do it.", Some("Invalid choice")),
        ("```json\naws ec2 describe-vpc\n```", None),
        (
            "`infra/consumer.yaml`: the outputs `EndpointId` and\n`TargetGroupArn`",
            Some("TargetGroupArn is an output of none"),
        ),
        ("`template.yaml` has the output `TargetGroupArn`", None),
        (
            "[a](consumer.yaml): run `AttachCommand`",
            Some("AttachCommand is an output of none of infra/consumer.yaml"),
        ),
        (
            "`make deploy-link STACK=link`: `--query \"Outputs[?OutputKey=='Name']\"`",
            Some("Name is an output of none of"),
        ),
    ];
    let guides: BTreeMap<_, _> = cases.iter().map(|(text, _)| (text, text)).collect();
    let judged = judge(&json!({"guides": guides, "templates": []}));
    for (text, complaint) in cases {
        let said = judged[text]["complaints"].to_string();
        assert!(
            complaint.map_or(said == "[]", |complaint| said.contains(complaint)),
            "{text}: {said}"
        );
    }
}

/// What `tests/guides.py` says about each guide and template.
fn judge(asked: &Value) -> serde_json::Map<String, Value> {
    let mut helper = Command::new(venv_program("python").unwrap());
    helper.arg(root().join("tests/guides.py")).env("PYTHONDONTWRITEBYTECODE", "1");
    let mut helper =
        helper.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    helper.stdin.take().unwrap().write_all(asked.to_string().as_bytes()).unwrap();
    let output = helper.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice::<Value>(&output.stdout).unwrap().as_object().unwrap().clone()
}
