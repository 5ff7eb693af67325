//! A link made by hand, with a release beside the shell in which the guide's commands are run.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use lab::aws::{ACCOUNT, Aws, REGION, members};
use lab::cli::Shell;
use lab::cloudformation::Template;
use lab::deploy::{self, FRONT_DOOR, VPC};
use lab::process::Program;
use lab::progress::Quiet;
use lab::role::{Role, allowing};
use lab::stage::RARE_MINUTES;
use lab::workspace::{Run, root, venv_program};
use serde_json::{Value, json};

/// The function's stack, as the guide has it.
pub(crate) const STACK: &str = "orders-failover";

pub(crate) const REGISTER: &str = "elasticloadbalancing:RegisterTargets";

const TEMPLATE: &str = "--template-file function-standalone.yaml";
const ENDPOINT: &str = "orders.cluster-abc123.eu-west-1.rds.amazonaws.com";
const CIDRS: &str = "AllowedCidrs=10.50.0.0/21";
const BUCKET: &str = "example-artifacts";

/// A load balancer, its listener and its target group, and what is done with them.
pub(crate) struct Link<'a> {
    run: &'a Run,
    pub(crate) aws: &'a Aws,
    pub(crate) shell: Shell<'a>,
    /// Where the shell is.
    folder: PathBuf,
    load_balancer: String,
    /// The ARN of the target group.
    pub(crate) group: String,
    /// Words of the guide, and what is said here instead.
    words: Vec<(String, String)>,
}

impl<'a> Link<'a> {
    /// Makes it with a target of somebody else's, by calls to the API, and unpacks a release.
    pub(crate) async fn make(
        run: &'a Run,
        aws: &'a Aws,
        zip: &Path,
        target: SocketAddr,
    ) -> Result<Self> {
        let shell = Shell::new(run, aws, aws.endpoint())?;
        let folder = PathBuf::from(shell.line("pwd").await?);
        let (load_balancer, group) = by_hand(&shell, target.port()).await?;
        let topic = "aws sns create-topic --name operations --query TopicArn --output text";
        let topic = shell.line(topic).await?;
        shell.line(&format!("aws s3 mb s3://{BUCKET}")).await?;
        std::fs::copy(zip, folder.join("failover-sync-arm64.zip"))?;
        std::os::unix::fs::symlink(root().join("infra"), folder.join("infra"))?;
        shell.line("python infra/standalone.py > function-standalone.yaml").await?;
        let words = [
            ("GROUP_ARN", group.as_str()),
            // The local load balancers have ARNs of another shape. It is for alarms alone.
            ("BALANCER_ARN", &aws_arn()),
            ("TOPIC_ARN", &topic),
            ("BUCKET", BUCKET),
            ("Architecture=arm64", "Architecture=x86_64"),
        ];
        let words = words.map(|(from, to)| (from.to_owned(), to.to_owned())).into();
        let link = Self { run, aws, shell, folder, load_balancer, group, words };
        link.change("register-targets", target).await?;
        Ok(link)
    }

    /// The database that the guide's commands mean from now on, with parameters besides.
    pub(crate) fn follow(&mut self, database: &str, parameters: &[(&str, String)]) {
        let mut cidrs =
            format!("AllowedCidrs=127.0.0.0/8 'ScheduleExpression=rate({RARE_MINUTES} minutes)'");
        for (name, value) in parameters {
            cidrs += &format!(" {name}={value}");
        }
        self.words.push((ENDPOINT.to_owned(), database.to_owned()));
        self.words.push((CIDRS.to_owned(), cidrs));
    }

    /// From now on deploys what the local CloudFormation takes of the template; returns what is
    /// left out.
    pub(crate) async fn fit_template(&mut self) -> Result<Vec<String>> {
        let source = self.folder.join("function-standalone.yaml");
        let fit = Template::fit(self.run, &source, &self.folder).await?;
        // Written out, it is larger than what needs no bucket.
        let local = format!("--template-file local.yaml --s3-bucket {BUCKET}");
        self.words.push((TEMPLATE.to_owned(), local));
        Ok(fit.left_out.into_iter().map(|part| part.id).collect())
    }

    /// What a command of the guide prints, with these words in place of its own.
    pub(crate) async fn line(&self, command: &str, own: &[(&str, &str)]) -> Result<String> {
        let known = self.words.iter().map(|(from, to)| (from.as_str(), to.as_str()));
        let words = known.chain(own.iter().copied());
        let filled = words.fold(command.to_owned(), |line, (from, to)| line.replace(from, to));
        self.shell.line(&filled).await
    }

    /// Runs commands. The last invokes the function, whose result of the one binding is returned.
    pub(crate) async fn run(&self, commands: &[String], own: &[(&str, &str)]) -> Result<Value> {
        let mut printed = String::new();
        for command in commands {
            printed = self.line(command, own).await?;
        }
        let result: Value = serde_json::from_str(&printed).with_context(|| printed.clone())?;
        Ok(result["bindings"][0].clone())
    }

    /// It said what it would register, has no permission to, and did not.
    pub(crate) async fn observes(
        &self,
        result: &Value,
        found: SocketAddr,
        wanted: SocketAddr,
    ) -> Result<()> {
        ensure!(!self.may_be_written().await?, "the role has {REGISTER}");
        ensure!(result["state"] == "would-update", "{result}");
        ensure!(result["registered"] == json!([wanted.to_string()]), "{result}");
        self.holds(found).await
    }

    /// Whether the function's role says so, and IAM with it.
    pub(crate) async fn may_be_written(&self) -> Result<bool> {
        let role = Role::of_function(self.run, self.aws, STACK).await?;
        let statements = allowing(&role.policies()?)?;
        let is_there = statements.iter().any(|one| one.actions.iter().any(|it| it == REGISTER));
        let decision = role.may(REGISTER, &self.group)?;
        ensure!(is_there == (decision == "allowed"), "IAM says {decision}: {statements:?}");
        Ok(is_there)
    }

    /// Registers or deregisters a target by hand.
    pub(crate) async fn change(&self, command: &str, target: SocketAddr) -> Result<()> {
        let targets = format!("Id={},Port={}", target.ip(), target.port());
        let group = &self.group;
        let line = format!("aws elbv2 {command} --target-group-arn {group} --targets {targets}");
        self.shell.line(&line).await.map(drop)
    }

    /// Whether the group holds this target alone.
    pub(crate) async fn holds(&self, wanted: SocketAddr) -> Result<()> {
        let held = members(&self.aws.elbv2(), &self.group).await?;
        ensure!(held == BTreeSet::from([wanted]), "the group holds {held:?} and not {wanted}");
        Ok(())
    }

    /// Whether the load balancer's listener leads to the group.
    pub(crate) async fn is_whole(&self) -> Result<()> {
        let listeners = format!(
            "aws elbv2 describe-listeners --load-balancer-arn {} --query \
             Listeners[].DefaultActions[].TargetGroupArn --output text",
            self.load_balancer
        );
        ensure!(self.shell.line(&listeners).await? == self.group, "no listener leads to the group");
        Ok(())
    }
}

/// The function's zip, out of what is built.
pub(crate) async fn zip(run: &Run) -> Result<PathBuf> {
    deploy::build(run, FRONT_DOOR, &Quiet).await?;
    let built = deploy::build_directory(run, FRONT_DOOR)?;
    let binary = built.join("Database/FailoverSync/Function/bootstrap");
    let path = run.scratch("code")?.join("failover-sync.zip");
    let python = Program::new("zip", venv_program("python")?);
    python.args(["-m", "zipfile", "-c"]).args([&path, &binary]).run(run, &Quiet).await?;
    Ok(path)
}

/// The ARNs of the load balancer and the group.
async fn by_hand(shell: &Shell<'_>, port: u16) -> Result<(String, String)> {
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
             {port} --vpc-id {VPC} --query TargetGroups[0].TargetGroupArn --output text"
        ))
        .await?;
    shell
        .line(&format!(
            "aws elbv2 create-listener --load-balancer-arn {load_balancer} --protocol TCP --port \
             5432 --default-actions Type=forward,TargetGroupArn={target_group}"
        ))
        .await?;
    Ok((load_balancer, target_group))
}

fn aws_arn() -> String {
    let resource = "loadbalancer/net/orders/0123456789abcdef";
    format!("arn:aws:elasticloadbalancing:{REGION}:{ACCOUNT}:{resource}")
}
