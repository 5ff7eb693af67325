//! The real thing's build and deployment: `sam build` with cargo-lambda, then `sam deploy` to the local AWS.

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::aws::{Aws, REGION};
use crate::process::Program;
use crate::progress::Progress;
use crate::workspace::{Run, root, venv_bin, venv_program};

/// The stack, and with it the function.
pub const STACK: &str = "failover-sync-lab";

/// MiniStack makes this network in every account.
const VPC: &str = "vpc-00000001";
const SUBNETS: &str = "subnet-00000001,subnet-00000002";

/// Whatever the lab exposes, nobody connects to it through PrivateLink.
const PRINCIPAL: &str = "arn:aws:iam::111122223333:root";

/// The functions of the template, each in the folder of its name.
const FUNCTIONS: [&str; 2] = ["failover-sync", "flush-hosts"];

/// A template that is built and fit for the local CloudFormation.
pub struct Built {
    template: PathBuf,
    /// What the local CloudFormation refuses, so that it is not deployed.
    pub left_out: Vec<LeftOut>,
}

/// A resource of the template that is not deployed.
#[derive(Clone, Debug, Deserialize)]
pub struct LeftOut {
    /// Its name in the template.
    pub id: String,
    /// Its type.
    #[serde(rename = "type")]
    pub type_name: String,
}

/// What the lab decides about the stack.
#[derive(Clone, Debug)]
pub struct Parameters {
    /// The cluster's endpoint.
    pub endpoint: String,
    /// The port of both databases.
    pub port: u16,
    /// The DNS server, as `address:port`.
    pub dns: String,
    /// Minutes between scheduled runs, 1 to 5.
    pub schedule_minutes: u8,
    /// How long a deregistered target keeps its connections. The template takes whole seconds.
    pub deregistration_delay: Duration,
}

/// A stack that is deployed.
#[derive(Clone, Debug)]
pub struct Stack {
    /// The function's name.
    pub function: String,
    /// The target group's ARN.
    pub target_group: String,
    /// The ARN of the topic that RDS publishes to.
    pub topic: String,
}

/// Builds the functions and the template with `sam build`.
///
/// # Errors
/// When a tool is missing or the build fails; the error quotes the end of its log.
pub async fn build(run: &Run, progress: &dyn Progress) -> Result<Built> {
    // `sam build` says nothing until cargo has finished, which the first time takes minutes. So its commands are run
    // before it, for the progress; for `sam build` there is then nothing left to compile.
    for function in FUNCTIONS {
        tool("cargo-build", "cargo")
            .args(["lambda", "build", "--release", "--bin", function])
            .env("CARGO_TARGET_DIR", root().join("target"))
            .env("CARGO_TERM_PROGRESS_WHEN", "always")
            .env("CARGO_TERM_PROGRESS_WIDTH", "80")
            .directory(root().join("functions").join(function))
            .run(run, progress)
            .await?;
    }

    let directory = run.scratch("build")?;
    tool("sam-build", venv_program("sam")?)
        .args(["build", "--no-cached", "--region", REGION, "--template-file"])
        .arg(root().join("template.yaml"))
        .arg("--build-dir")
        .arg(&directory)
        .directory(root())
        .run(run, progress)
        .await?;

    let template = directory.join("local.yaml");
    let left_out = tool("strip-template", venv_program("python")?)
        .arg(root().join("tests/lab/strip_template.py"))
        .arg(directory.join("template.yaml"))
        .arg(&template)
        .output(run)
        .await?;
    let left_out = serde_json::from_str(&left_out).context("what strip_template.py printed")?;
    Ok(Built { template, left_out })
}

/// Deploys the stack, or updates it to other parameters.
///
/// # Errors
/// When the deployment fails, or the stack lacks an output that the lab needs.
pub async fn deploy(
    run: &Run,
    aws: &Aws,
    built: &Built,
    parameters: &Parameters,
    progress: &dyn Progress,
) -> Result<Stack> {
    // In a directory without samconfig.toml: what is configured there is for a real account.
    let directory = built.template.parent().context("the built template is in no directory")?;
    tool("sam-deploy", venv_program("sam")?)
        .args(["deploy", "--resolve-s3", "--capabilities", "CAPABILITY_IAM", "--no-confirm-changeset"])
        .args(["--no-fail-on-empty-changeset", "--no-progressbar", "--region", REGION, "--stack-name", STACK])
        .arg("--template-file")
        .arg(&built.template)
        .arg("--parameter-overrides")
        .args(parameters.overrides())
        .envs(aws.environment())
        .directory(directory)
        .run(run, progress)
        .await?;

    let outputs = tool("sam-outputs", venv_program("sam")?)
        .args(["list", "stack-outputs", "--output", "json", "--region", REGION, "--stack-name", STACK])
        .envs(aws.environment())
        .directory(directory)
        .output(run)
        .await?;
    Stack::from_outputs(&outputs)
}

impl Parameters {
    fn overrides(&self) -> Vec<String> {
        let values = [
            ("DatabaseEndpoint", self.endpoint.clone()),
            ("DatabasePort", self.port.to_string()),
            ("DatabaseEngine", "postgres".to_owned()),
            ("DatabaseKind", "cluster".to_owned()),
            ("DatabaseCidrs", "127.0.0.0/8".to_owned()),
            ("AllowedCidrs", "127.0.0.0/8".to_owned()),
            ("AllowedPrincipals", PRINCIPAL.to_owned()),
            ("VpcId", VPC.to_owned()),
            ("SubnetIds", SUBNETS.to_owned()),
            ("DnsServers", self.dns.clone()),
            ("ScheduleExpression", rate(self.schedule_minutes)),
            ("DeregistrationDelaySeconds", self.deregistration_delay.as_secs().to_string()),
        ];
        values.map(|(name, value)| format!("{name}=\"{value}\"")).into()
    }
}

impl Stack {
    fn from_outputs(json: &str) -> Result<Self> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Output {
            output_key: String,
            output_value: String,
        }
        let outputs: Vec<Output> = serde_json::from_str(json).context("the outputs of the stack, as sam lists them")?;
        let mut outputs: HashMap<_, _> =
            outputs.into_iter().map(|output| (output.output_key, output.output_value)).collect();
        let mut take = |name: &str| outputs.remove(name).with_context(|| format!("the stack has no output {name}"));
        Ok(Self { function: take("FunctionName")?, target_group: take("TargetGroupArn")?, topic: take("TopicArn")? })
    }
}

/// The end of the function's log, as CloudWatch Logs has it, without the metrics.
///
/// # Errors
/// When it cannot be read.
pub async fn function_log(run: &Run, aws: &Aws, function: &str, lines: usize) -> Result<String> {
    let log = tool("function-log", venv_program("sam")?)
        .args(["logs", "--output", "json", "--region", REGION, "--cw-log-group", &format!("/aws/lambda/{function}")])
        .envs(aws.environment())
        .directory(run.logs())
        .output(run)
        .await?;
    let events = serde_json::Deserializer::from_str(&log).into_iter::<serde_json::Value>();
    let events: Vec<_> = events.collect::<Result<_, _>>().context("the function's log, as sam prints it")?;
    let messages = events.iter().filter_map(|event| event["message"].as_str()).map(str::trim_end);
    // Metrics are lines of the log too, and tell a reader nothing that the others do not.
    let readable: Vec<_> = messages.filter(|message| !message.contains("\"_aws\"")).collect();
    Ok(readable[readable.len().saturating_sub(lines)..].join("\n"))
}

fn rate(minutes: u8) -> String {
    format!("rate({minutes} minute{})", if minutes == 1 { "" } else { "s" })
}

/// A program that finds the Python environment's tools: `sam build` looks for cargo-lambda on the path.
fn tool(name: &str, program: impl Into<std::ffi::OsString>) -> Program {
    let mut path = venv_bin().into_os_string();
    path.push(":");
    path.push(std::env::var_os("PATH").unwrap_or_default());
    Program::new(name, program).env("PATH", path).env("SAM_CLI_TELEMETRY", "0")
}
