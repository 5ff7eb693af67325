//! The real build and deployment: `sam build` with cargo-lambda, `sam deploy` to the local AWS.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::aws::{Aws, REGION};
use crate::cloudformation::{Outputs, Template, tool};
use crate::progress::Progress;
use crate::workspace::{Run, copy_tree, root, venv_program};

/// The stack, and with it the function.
pub const STACK: &str = "failover-sync-lab";

/// MiniStack makes this network in every account.
pub const VPC: &str = "vpc-00000001";
const SUBNETS: &str = "subnet-00000001,subnet-00000002";
const SECURITY_GROUP: &str = "sg-00000001";

/// Whatever the lab exposes, nobody connects to it through PrivateLink.
const PRINCIPAL: &str = "arn:aws:iam::111122223333:root";

/// A template that can be deployed on its own, and the function that it builds.
#[derive(Clone, Copy, Debug)]
pub struct Source {
    template: &'static str,
    function: &'static str,
    /// Where `make build` puts it, in the directory of what sam builds.
    built: &'static str,
}

/// A link with a database on it.
pub const FRONT_DOOR: Source =
    Source { template: "template.yaml", function: "failover-sync", built: "build" };

/// A database for a link that exists.
pub const DATABASE: Source =
    Source { template: "infra/database.yaml", function: "failover-sync", built: "database" };

/// The function that flushes the host cache.
pub const FLUSH_HOSTS: Source =
    Source { template: "infra/flush-hosts.yaml", function: "flush-hosts", built: "flush-hosts" };

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
    /// The ARN of the secret with the login for the databases; without one none is asked.
    pub secret: Option<String>,
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
    /// The URL of the queue with the events that could not be handled.
    pub failure_queue: String,
    /// The load balancer's DNS name.
    pub load_balancer: String,
}

/// Builds a template, what it nests, and its function with `sam build`; or takes what `make build`
/// made, if `BUILT_TEMPLATES` says where.
pub async fn build(run: &Run, source: Source, progress: &dyn Progress) -> Result<Template> {
    let directory = build_directory(run, source)?;
    match std::env::var_os("BUILT_TEMPLATES").map(|built| root().join(built).join(source.built)) {
        Some(built) => copy_built(&built, &directory)?,
        None => compile(run, source, &directory, progress).await?,
    }
    Template::fit(run, &directory.join("template.yaml"), &directory).await
}

/// What is built names files of the checkout, whose top is two directories above it.
fn copy_built(built: &Path, directory: &Path) -> Result<()> {
    copy_tree(&built.join("."), directory)?;
    let top = directory.join("../..");
    ["LICENSE", "README.md", "infra"]
        .into_iter()
        .try_for_each(|named| copy_tree(&root().join(named), &top))
}

async fn compile(
    run: &Run,
    source: Source,
    directory: &Path,
    progress: &dyn Progress,
) -> Result<()> {
    // `sam build` is silent until cargo has finished, the first time after minutes. Its command
    // runs first, for the progress, and leaves nothing to compile.
    let Source { template, function, .. } = source;
    tool("cargo-build", "cargo")
        .args(["lambda", "build", "--release", "--bin", function])
        .env("CARGO_TARGET_DIR", root().join("target"))
        .env("CARGO_TERM_PROGRESS_WHEN", "always")
        .env("CARGO_TERM_PROGRESS_WIDTH", "80")
        .directory(root().join("functions").join(function))
        .run(run, progress)
        .await?;

    tool("sam-build", venv_program("sam")?)
        .args(["build", "--no-cached", "--region", REGION, "--template-file"])
        .arg(root().join(template))
        .arg("--build-dir")
        .arg(directory)
        .directory(root())
        .run(run, progress)
        .await
}

/// Where a template is built.
pub fn build_directory(run: &Run, source: Source) -> Result<PathBuf> {
    run.scratch(&format!("built/{}", source.template.replace(['/', '.'], "-")))
}

/// Deploys the stack, or updates it to other values of the template's parameters.
pub async fn deploy(
    run: &Run,
    aws: &Aws,
    built: &Template,
    values: Vec<(&'static str, String)>,
    progress: &dyn Progress,
) -> Result<Stack> {
    let outputs = built.deploy(run, &aws.environment(), STACK, values, progress).await?;
    Stack::from_outputs(&outputs)
}

impl Parameters {
    /// The same as the template's parameters.
    pub fn values(&self) -> Vec<(&'static str, String)> {
        let mut values = vec![
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
        if let Some(secret) = &self.secret {
            values.push(("ProbeSecretArn", secret.clone()));
            // The template insists on a network; the emulator gives none, and none is needed.
            values.push(("FunctionSubnetIds", SUBNETS.to_owned()));
            values.push(("FunctionSecurityGroupIds", SECURITY_GROUP.to_owned()));
        }
        values
    }
}

impl Stack {
    fn from_outputs(outputs: &Outputs) -> Result<Self> {
        let get = |name: &str| outputs.get(name).map(str::to_owned);
        Ok(Self {
            function: get("FunctionName")?,
            target_group: get("TargetGroupArn")?,
            topic: get("TopicArn")?,
            failure_queue: get("FailureQueueUrl")?,
            load_balancer: get("LoadBalancerDnsName")?,
        })
    }
}

/// The end of the function's log, as CloudWatch Logs has it, without the metrics.
pub async fn function_log(run: &Run, aws: &Aws, function: &str, lines: usize) -> Result<String> {
    let log = tool("function-log", venv_program("sam")?)
        .args([
            "logs",
            "--output",
            "json",
            "--region",
            REGION,
            "--cw-log-group",
            &format!("/aws/lambda/{function}"),
        ])
        .envs(aws.environment())
        .directory(run.logs())
        .output(run)
        .await?;
    let events = serde_json::Deserializer::from_str(&log).into_iter::<serde_json::Value>();
    let events: Vec<_> =
        events.collect::<Result<_, _>>().context("the function's log, as sam prints it")?;
    let messages = events.iter().filter_map(|event| event["message"].as_str()).map(str::trim_end);
    // Metrics are lines of the log too, and tell a reader nothing that the others do not.
    let readable: Vec<_> = messages.filter(|message| !message.contains("\"_aws\"")).collect();
    Ok(readable[readable.len().saturating_sub(lines)..].join("\n"))
}

fn rate(minutes: u8) -> String {
    format!("rate({minutes} minute{})", if minutes == 1 { "" } else { "s" })
}
