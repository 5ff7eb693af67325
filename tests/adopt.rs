//! A load balancer that exists is adopted, with the AWS CLI and no sam: `function-standalone.yaml`
//! observes its target group, acts on it, and observes again. What it leaves is what it found.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use lab::aws::{ACCOUNT, Aws, REGION, members};
use lab::cli::Shell;
use lab::cloudformation::Template;
use lab::deploy::{self, FRONT_DOOR, VPC};
use lab::events::invoke;
use lab::progress::{Quiet, Steps};
use lab::role::{Role, allowing};
use lab::stage::RARE_MINUTES;
use lab::workspace::{Run, root, venv_program};
use serde_json::{Value, json};

const STACK: &str = "orders-failover";
const WRITES: &str = "elasticloadbalancing:RegisterTargets";

/// The database, which RDS knows nothing of.
const DATABASE: &str = "127.0.0.31:5432";
/// What somebody else has registered before.
const FORMER: &str = "127.0.0.32:5432";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_existing_target_group_is_observed_then_followed_then_observed_and_left() -> Result<()> {
    let run = Run::new()?;
    run.ended(adopt(&run).await)
}

/// The stack and what it is for.
struct Adopted<'a> {
    run: &'a Run,
    aws: &'a Aws,
    shell: &'a Shell<'a>,
    target_group: String,
    folder: PathBuf,
}

async fn adopt(run: &Run) -> Result<()> {
    let code = zip(run).await?;
    let aws = Aws::start(run).await?;
    let shell = Shell::new(run, &aws, aws.endpoint())?;
    Steps::begin("a load balancer and a target group by hand, with a target of somebody else's");
    let (load_balancer, target_group) = by_hand(&shell).await?;
    let folder = run.scratch("standalone")?;
    let adopted = Adopted { run, aws: &aws, shell: &shell, target_group, folder };
    let (database, former) = (DATABASE.parse()?, FORMER.parse()?);

    Steps::begin("the release's template as it stands, without a bucket for it: it observes");
    let template = adopted.folder.join("function-standalone.yaml");
    shell
        .line(&format!(
            "{} {} > {}",
            venv_program("python")?.display(),
            root().join("infra/standalone.py").display(),
            template.display()
        ))
        .await?;
    shell.line("aws s3 mb s3://code").await?;
    shell.line(&format!("aws s3 cp {} s3://code/failover-sync/1.zip", code.display())).await?;
    let topic = "aws sns create-topic --name operations --query TopicArn --output text";
    let given = [
        ("CodeS3Bucket", "code"),
        ("CodeS3Key", "failover-sync/1.zip"),
        ("Architecture", "x86_64"),
        ("TargetGroupArn", &adopted.target_group),
        // The local load balancers have ARNs of another shape. It is for alarms alone.
        ("LoadBalancerArn", &aws_arn()),
        ("OperationsTopicArn", &shell.line(topic).await?),
        ("DatabaseKind", "address"),
        ("DatabaseEndpoint", "127.0.0.31"),
        ("DatabasePort", "5432"),
        ("DatabaseEngine", "postgres"),
        ("AllowedCidrs", "127.0.0.0/8"),
        ("ScheduleExpression", &format!("'rate({RARE_MINUTES} minutes)'")),
    ];
    let given: Vec<_> = given.iter().map(|(name, value)| format!("{name}={value}")).collect();
    adopted.deploy(&format!("--template-file {}", template.display()), &given.join(" ")).await?;
    adopted.observes(&[former], &[database]).await?;

    Steps::begin("the same stack acts, by one parameter");
    let stripped = Template::fit(run, &template, &adopted.folder).await?;
    let left_out: Vec<_> = stripped.left_out.iter().map(|part| part.id.as_str()).collect();
    ensure!(left_out.contains(&"LinkDownAlarm"), "it can be deployed here: {left_out:?}");
    let stripped =
        format!("--template-file {}/local.yaml --s3-bucket code", adopted.folder.display());
    adopted.deploy(&stripped, "Mode=act").await?;
    ensure!(adopted.writes().await?, "the role lacks {WRITES}");
    ensure!(adopted.result().await?["state"] == "updated", "{}", adopted.result().await?);
    adopted.holds(&[database]).await?;

    Steps::begin("it observes again, and leaves alone what others do");
    adopted.deploy(&stripped, "Mode=observe").await?;
    adopted.register("deregister-targets", DATABASE).await?;
    adopted.register("register-targets", FORMER).await?;
    adopted.observes(&[former], &[database]).await?;

    Steps::begin("the stack is deleted: the group, its target and its listener stay");
    shell.line(&format!("aws cloudformation delete-stack --stack-name {STACK}")).await?;
    let gone = format!("aws cloudformation wait stack-delete-complete --stack-name {STACK}");
    shell.line(&gone).await?;
    ensure!(!shell.stacks().await?.contains(STACK), "the stack is there");
    adopted.holds(&[former]).await?;
    let listeners = format!(
        "aws elbv2 describe-listeners --load-balancer-arn {load_balancer} \
         --query Listeners[].DefaultActions[].TargetGroupArn --output text"
    );
    ensure!(shell.line(&listeners).await? == adopted.target_group, "no listener leads to it");
    Ok(())
}

impl Adopted<'_> {
    /// As `infra/adopt.md` has it. What is not given stays what it was.
    async fn deploy(&self, template: &str, parameters: &str) -> Result<()> {
        let deploy = format!(
            "aws cloudformation deploy --stack-name {STACK} {template} \
             --capabilities CAPABILITY_IAM --parameter-overrides {parameters}"
        );
        self.shell.line(&deploy).await.map(drop)
    }

    /// It says what it would register, has no permission to, and does not.
    async fn observes(&self, found: &[SocketAddr], wanted: &[SocketAddr]) -> Result<()> {
        ensure!(!self.writes().await?, "the role has {WRITES}");
        let result = self.result().await?;
        ensure!(result["state"] == "would-update", "{result}");
        let registered: Vec<_> = wanted.iter().map(|target| json!(target.to_string())).collect();
        ensure!(result["registered"] == Value::Array(registered), "{result}");
        self.holds(found).await
    }

    async fn writes(&self) -> Result<bool> {
        let role = Role::of_function(self.run, self.aws, STACK).await?;
        let statements = allowing(&role.policies().await?)?;
        let decision = role.may(WRITES, &self.target_group).await?;
        let is_there = statements.iter().any(|one| one.actions.iter().any(|it| it == WRITES));
        ensure!(is_there == (decision == "allowed"), "IAM says {decision}: {statements:?}");
        Ok(is_there)
    }

    async fn result(&self) -> Result<Value> {
        let invocation = invoke(self.aws, STACK, &json!({})).await?;
        ensure!(invocation.error.is_none(), "it failed: {}", invocation.payload);
        Ok(invocation.payload["bindings"][0].clone())
    }

    async fn register(&self, command: &str, target: &str) -> Result<()> {
        register(self.shell, command, &self.target_group, target).await
    }

    async fn holds(&self, wanted: &[SocketAddr]) -> Result<()> {
        let held = members(&self.aws.elbv2(), &self.target_group).await?;
        let wanted: BTreeSet<_> = wanted.iter().copied().collect();
        ensure!(held == wanted, "the group holds {held:?} and not {wanted:?}");
        Ok(())
    }
}

/// The function's zip, out of what is built.
async fn zip(run: &Run) -> Result<PathBuf> {
    deploy::build(run, FRONT_DOOR, &Quiet).await?;
    let built = deploy::build_directory(run, FRONT_DOOR)?;
    let binary = built.join("Database/FailoverSync/Function/bootstrap");
    let path = run.scratch("code")?.join("failover-sync.zip");
    let python = lab::process::Program::new("zip", venv_program("python")?);
    python.args(["-m", "zipfile", "-c"]).args([&path, &binary]).run(run, &Quiet).await?;
    Ok(path)
}

/// The ARNs of the load balancer and the group.
async fn by_hand(shell: &Shell<'_>) -> Result<(String, String)> {
    let subnets = "aws ec2 describe-subnets --query Subnets[:2].SubnetId --output text";
    let subnets = shell.line(subnets).await?;
    let load_balancer = shell
        .line(&format!(
            "aws elbv2 create-load-balancer --name orders --type network --scheme internal \
             --subnets {subnets} --query LoadBalancers[0].LoadBalancerArn --output text"
        ))
        .await?;
    let target_group = shell
        .line(&format!(
            "aws elbv2 create-target-group --name orders --target-type ip --protocol TCP \
             --port 5432 --vpc-id {VPC} --query TargetGroups[0].TargetGroupArn --output text"
        ))
        .await?;
    shell
        .line(&format!(
            "aws elbv2 create-listener --load-balancer-arn {load_balancer} --protocol TCP \
             --port 5432 --default-actions Type=forward,TargetGroupArn={target_group}"
        ))
        .await?;
    register(shell, "register-targets", &target_group, FORMER).await?;
    Ok((load_balancer, target_group))
}

async fn register(shell: &Shell<'_>, command: &str, group: &str, target: &str) -> Result<()> {
    let (address, port) = target.split_once(':').context("a target without a port")?;
    let targets = format!("--target-group-arn {group} --targets Id={address},Port={port}");
    shell.line(&format!("aws elbv2 {command} {targets}")).await.map(drop)
}

fn aws_arn() -> String {
    let resource = "loadbalancer/net/orders/0123456789abcdef";
    format!("arn:aws:elasticloadbalancing:{REGION}:{ACCOUNT}:{resource}")
}
