//! `infra/adopt.md`: its commands in its order, run by the AWS CLI and sam against the local AWS.
//! `function-standalone.yaml` observes a target group that exists, acts on it, and observes again.
//! What it leaves is what it found.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use lab::aws::{ACCOUNT, Aws, REGION, members};
use lab::cli::Shell;
use lab::cloudformation::Template;
use lab::deploy::{self, FRONT_DOOR, VPC};
use lab::process::Program;
use lab::progress::{Quiet, Steps};
use lab::role::{Role, allowing};
use lab::stage::RARE_MINUTES;
use lab::workspace::{Run, root, venv_program};
use serde_json::{Value, json};

/// As the guide has it.
const STACK: &str = "orders-failover";
const TEMPLATE: &str = "--template-file function-standalone.yaml";

const REGISTER: &str = "elasticloadbalancing:RegisterTargets";

/// The database, which RDS knows nothing of.
const DATABASE: &str = "127.0.0.31:5432";
/// What somebody else has registered before.
const FORMER: &str = "127.0.0.32:5432";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_existing_target_group_is_observed_then_followed_then_observed_and_left() -> Result<()> {
    let run = Run::new()?;
    run.ended(adopt(&run).await)
}

async fn adopt(run: &Run) -> Result<()> {
    let zip = zip(run).await?;
    let aws = Aws::start(run).await?;
    let shell = Shell::new(run, &aws, aws.endpoint())?;
    let folder = PathBuf::from(shell.line("pwd").await?);
    std::fs::copy(zip, folder.join("failover-sync-arm64.zip"))?;
    Steps::begin("a load balancer and a target group by hand, with a target of somebody else's");
    let (load_balancer, target_group) = by_hand(&shell).await?;
    let group = Group { run, aws: &aws, shell: &shell, arn: target_group };
    let (database, former) = (DATABASE.parse()?, FORMER.parse()?);
    let topic = "aws sns create-topic --name operations --query TopicArn --output text";
    let topic = shell.line(topic).await?;
    shell.line("aws s3 mb s3://example-artifacts").await?;
    let (python, make) = (venv_program("python")?, root().join("infra/standalone.py"));
    let made = format!("{} {} > function-standalone.yaml", python.display(), make.display());
    shell.line(&made).await?;

    Steps::begin("the template of a release as it stands, without a bucket for it: it observes");
    let own = [
        ("GROUP_ARN", group.arn.as_str()),
        // The local load balancers have ARNs of another shape. It is for alarms alone.
        ("BALANCER_ARN", &aws_arn()),
        ("TOPIC_ARN", &topic),
        ("BUCKET", "example-artifacts"),
        ("Architecture=arm64", "Architecture=x86_64"),
        // The local CloudFormation has no subscription to the events of RDS.
        ("DatabaseKind=cluster", "DatabaseKind=address"),
        ("orders.cluster-abc123.eu-west-1.rds.amazonaws.com", "127.0.0.31"),
        (
            "AllowedCidrs=10.50.0.0/21",
            &format!("AllowedCidrs=127.0.0.0/8 'ScheduleExpression=rate({RARE_MINUTES} minutes)'"),
        ),
    ];
    let observe = commands("Deploy it observing")?;
    let result = group.run(&observe, &own).await?;
    group.observes(&result, &[former], &[database]).await?;

    Steps::begin("the same stack acts, by one parameter");
    let stripped = Template::fit(run, &folder.join("function-standalone.yaml"), &folder).await?;
    let left_out: Vec<_> = stripped.left_out.iter().map(|part| part.id.as_str()).collect();
    ensure!(left_out.contains(&"LinkDownAlarm"), "it can be deployed here: {left_out:?}");
    // Written out, it is larger than what needs no bucket.
    let local = [(TEMPLATE, "--template-file local.yaml --s3-bucket example-artifacts")];
    let act = commands("Let it act")?;
    let result = group.run(&act[..2], &local).await?;
    ensure!(group.may_be_written().await?, "the role lacks {REGISTER}");
    ensure!(result["state"] == "updated", "{result}");
    group.holds(&[database]).await?;

    Steps::begin("it observes again, and leaves alone what others do");
    group.change("deregister-targets", DATABASE).await?;
    group.change("register-targets", FORMER).await?;
    let back = [local[0], ("Mode=act", "Mode=observe")];
    let look = observe.last().context("no look")?.clone();
    let result = group.run(&[act[0].clone(), look], &back).await?;
    group.observes(&result, &[former], &[database]).await?;

    Steps::begin("the stack is deleted: the group, its target and its listener stay");
    let [delete] = &act[2..] else { panic!("what else is there to run: {act:?}") };
    shell.line(delete).await?;
    let gone = format!("aws cloudformation wait stack-delete-complete --stack-name {STACK}");
    shell.line(&gone).await?;
    ensure!(!shell.stacks().await?.contains(STACK), "the stack is there");
    group.holds(&[former]).await?;
    let listeners = format!(
        "aws elbv2 describe-listeners --load-balancer-arn {load_balancer} --query \
         Listeners[].DefaultActions[].TargetGroupArn --output text"
    );
    ensure!(shell.line(&listeners).await? == group.arn, "no listener leads to it");
    Ok(())
}

/// The target group, and what is done with it.
struct Group<'a> {
    run: &'a Run,
    aws: &'a Aws,
    shell: &'a Shell<'a>,
    arn: String,
}

impl Group<'_> {
    /// Runs commands with these words in place of the guide's. The last invokes the function, whose
    /// result of the one binding is returned.
    async fn run(&self, commands: &[String], own: &[(&str, &str)]) -> Result<Value> {
        let mut printed = String::new();
        for command in commands {
            let filled = own.iter().fold(command.clone(), |it, (from, to)| it.replace(from, to));
            printed = self.shell.line(&filled).await?;
        }
        let result: Value = serde_json::from_str(&printed).with_context(|| printed.clone())?;
        Ok(result["bindings"][0].clone())
    }

    /// It said what it would register, has no permission to, and did not.
    async fn observes(
        &self,
        result: &Value,
        found: &[SocketAddr],
        wanted: &[SocketAddr],
    ) -> Result<()> {
        ensure!(!self.may_be_written().await?, "the role has {REGISTER}");
        ensure!(result["state"] == "would-update", "{result}");
        let registered: Vec<_> = wanted.iter().map(|target| json!(target.to_string())).collect();
        ensure!(result["registered"] == Value::Array(registered), "{result}");
        self.holds(found).await
    }

    /// Whether the function's role says so, and IAM with it.
    async fn may_be_written(&self) -> Result<bool> {
        let role = Role::of_function(self.run, self.aws, STACK).await?;
        let statements = allowing(&role.policies().await?)?;
        let is_there = statements.iter().any(|one| one.actions.iter().any(|it| it == REGISTER));
        let decision = role.may(REGISTER, &self.arn).await?;
        ensure!(is_there == (decision == "allowed"), "IAM says {decision}: {statements:?}");
        Ok(is_there)
    }

    async fn change(&self, command: &str, target: &str) -> Result<()> {
        change(self.shell, command, &self.arn, target).await
    }

    async fn holds(&self, wanted: &[SocketAddr]) -> Result<()> {
        let held = members(&self.aws.elbv2(), &self.arn).await?;
        let wanted: BTreeSet<_> = wanted.iter().copied().collect();
        ensure!(held == wanted, "the group holds {held:?} and not {wanted:?}");
        Ok(())
    }
}

/// The commands of a section of the guide, each on one line.
fn commands(section: &str) -> Result<Vec<String>> {
    let guide = std::fs::read_to_string(root().join("infra/adopt.md"))?;
    let (_, rest) = guide.split_once(&format!("\n## {section}\n")).context("no such section")?;
    let section = rest.split("\n## ").next().unwrap_or_default().replace("\\\n", " ");
    let blocks = section.split("```sh\n").skip(1).filter_map(|block| block.split("```").next());
    let lines = blocks.flat_map(str::lines).map(|line| line.trim().to_owned());
    Ok(lines.filter(|line| !line.is_empty()).collect())
}

/// The function's zip, out of what is built.
async fn zip(run: &Run) -> Result<PathBuf> {
    deploy::build(run, FRONT_DOOR, &Quiet).await?;
    let built = deploy::build_directory(run, FRONT_DOOR)?;
    let binary = built.join("Database/FailoverSync/Function/bootstrap");
    let path = run.scratch("code")?.join("failover-sync.zip");
    let python = Program::new("zip", venv_program("python")?);
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
            "aws elbv2 create-target-group --name orders --target-type ip --protocol TCP --port \
             5432 --vpc-id {VPC} --query TargetGroups[0].TargetGroupArn --output text"
        ))
        .await?;
    shell
        .line(&format!(
            "aws elbv2 create-listener --load-balancer-arn {load_balancer} --protocol TCP --port \
             5432 --default-actions Type=forward,TargetGroupArn={target_group}"
        ))
        .await?;
    change(shell, "register-targets", &target_group, FORMER).await?;
    Ok((load_balancer, target_group))
}

async fn change(shell: &Shell<'_>, command: &str, group: &str, target: &str) -> Result<()> {
    let (address, port) = target.split_once(':').context("a target without a port")?;
    let targets = format!("--target-group-arn {group} --targets Id={address},Port={port}");
    shell.line(&format!("aws elbv2 {command} {targets}")).await.map(drop)
}

fn aws_arn() -> String {
    let resource = "loadbalancer/net/orders/0123456789abcdef";
    format!("arn:aws:elasticloadbalancing:{REGION}:{ACCOUNT}:{resource}")
}
