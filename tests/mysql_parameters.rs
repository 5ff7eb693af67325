//! `infra/mysql-parameters.yaml` deployed, as it is and with the permanent remedy, and its commands
//! against databases with a default group or their own.

use anyhow::{Result, ensure};
use lab::aws::Aws;
use lab::cli::Shell;
use lab::cloudformation::{Outputs, Template};
use lab::progress::Quiet;
use lab::workspace::{Run, root};

/// The template on the local AWS.
struct Stack {
    run: Run,
    aws: Aws,
    template: Template,
}

impl Stack {
    async fn start() -> Result<Self> {
        let run = Run::new()?;
        let aws = Aws::start(&run).await?;
        let directory = run.scratch("mysql-parameters")?;
        let template =
            Template::fit(&run, &root().join("infra/mysql-parameters.yaml"), &directory).await?;
        ensure!(
            template.left_out.is_empty(),
            "the local AWS knows less of it: {:?}",
            template.left_out
        );
        Ok(Self { run, aws, template })
    }

    async fn deploy(&self, parameters: &[(&str, &str)]) -> Result<Outputs> {
        let name = if parameters.iter().any(|(_, value)| *value == "multi-az-cluster") {
            "cluster"
        } else {
            "instances"
        };
        self.template
            .deploy(&self.run, &self.aws.environment(), name, parameters.iter().copied(), &Quiet)
            .await
    }

    /// What a command of the guide or of an output prints.
    async fn shell(&self, command: &str) -> Result<String> {
        Shell::new(&self.run, &self.aws, self.aws.rds_endpoint())?.line(command).await
    }

    /// The group that an instance has.
    async fn group_of(&self, instance: &str) -> Result<String> {
        let query = "DBInstances[0].DBParameterGroups[0].DBParameterGroupName";
        self.shell(&format!(
            "aws rds describe-db-instances --db-instance-identifier {instance} --query {query} \
             --output text"
        ))
        .await
    }
}

#[tokio::test]
async fn each_parameter_group_is_created_changed_and_deleted() -> Result<()> {
    let stack = Stack::start().await?;
    for kind in [("AppliesTo", "instances"), ("AppliesTo", "multi-az-cluster")] {
        let mut groups = Vec::new();
        for remedy in ["false", "true"] {
            let outputs =
                stack.deploy(&[("Family", "mysql8.0"), kind, ("DisableHostCache", remedy)]).await?;
            let group = outputs.get("ParameterGroupName")?.to_owned();
            ensure!(
                outputs.get("AssociateCommand")?.contains(&group),
                "the command does not name {group}"
            );
            groups.push(group);
        }
        ensure!(
            groups[0] == groups[1],
            "a change of the parameters made another group: {groups:?}"
        );
    }
    let shell = Shell::new(&stack.run, &stack.aws, stack.aws.endpoint())?;
    for name in ["instances", "cluster"] {
        shell.line(&format!("aws cloudformation delete-stack --stack-name {name}")).await?;
        shell
            .line(&format!("aws cloudformation wait stack-delete-complete --stack-name {name}"))
            .await?;
    }
    Ok(())
}

/// The group holds the database's other settings: replaced, they are gone after a reboot.
#[tokio::test]
async fn a_default_group_is_replaced_and_another_is_left_as_it_is() -> Result<()> {
    let stack = Stack::start().await?;
    let outputs = stack.deploy(&[("Family", "mysql8.0"), ("AppliesTo", "instances")]).await?;
    let group = outputs.get("ParameterGroupName")?;
    // The local CloudFormation made it elsewhere.
    for name in [group, "own"] {
        stack
            .shell(&format!(
                "aws rds create-db-parameter-group --db-parameter-group-name {name} \
                 --db-parameter-group-family mysql8.0 --description test"
            ))
            .await?;
    }
    for (instance, option) in [("orders-1", ""), ("orders-2", "--db-parameter-group-name own")] {
        stack
            .shell(&format!(
                "aws rds create-db-instance --db-instance-identifier {instance} --engine mysql \
                 --db-instance-class db.t3.micro --allocated-storage 20 --master-username u \
                 --master-user-password password1 {option}"
            ))
            .await?;
    }
    for (instance, changed, expected) in
        [("orders-1", true, group), ("orders-1", false, group), ("orders-2", false, "own")]
    {
        let before = stack.group_of(instance).await?;
        ensure!(
            before == if changed { "default.mysql5.6" } else { expected },
            "{instance} began with {before}"
        );
        let printed =
            stack.shell(&outputs.get("AssociateCommand")?.replace("INSTANCE", instance)).await?;
        ensure!(printed.is_empty() != changed, "{instance} printed {printed:?}");
        ensure!(
            stack.group_of(instance).await? == expected,
            "{instance} has {}",
            stack.group_of(instance).await?
        );
    }
    stack.shell(&outputs.get("RebootCommand")?.replace("INSTANCE", "orders-1")).await?;
    ensure!(
        stack
            .shell(&outputs.get("LookCommand")?.replace("INSTANCE", "orders-1"))
            .await?
            .contains(group)
    );

    // What the guide says of a group that exists.
    stack
        .shell(
            "aws rds modify-db-parameter-group --db-parameter-group-name own --parameters \
             ParameterName=max_connect_errors,ParameterValue=5000,ApplyMethod=immediate",
        )
        .await?;
    let value = "aws rds describe-db-parameters --db-parameter-group-name own --query \
                 \"Parameters[?ParameterName=='max_connect_errors'].ParameterValue\" --output text";
    ensure!(stack.shell(value).await? == "5000");
    Ok(())
}

#[tokio::test]
async fn a_multi_az_cluster_has_a_cluster_group_replaced_or_left() -> Result<()> {
    let stack = Stack::start().await?;
    let outputs =
        stack.deploy(&[("Family", "mysql8.0"), ("AppliesTo", "multi-az-cluster")]).await?;
    let group = outputs.get("ParameterGroupName")?;
    for name in [group, "own"] {
        stack
            .shell(&format!(
                "aws rds create-db-cluster-parameter-group --db-cluster-parameter-group-name \
                 {name} --db-parameter-group-family mysql8.0 --description test"
            ))
            .await?;
    }
    for (cluster, option, changed) in
        [("orders", "", true), ("billing", "--db-cluster-parameter-group-name own", false)]
    {
        stack
            .shell(&format!(
                "aws rds create-db-cluster --db-cluster-identifier {cluster} --engine mysql \
                 --allocated-storage 100 --storage-type io1 --iops 1000 \
                 --db-cluster-instance-class db.m5d.large --master-username u \
                 --master-user-password password1 {option}"
            ))
            .await?;
        let printed =
            stack.shell(&outputs.get("AssociateCommand")?.replace("CLUSTER", cluster)).await?;
        ensure!(printed.is_empty() != changed, "{cluster} printed {printed:?}");
        if changed {
            ensure!(printed.contains(group), "{printed}");
        }
        let look = stack.shell(&outputs.get("LookCommand")?.replace("CLUSTER", cluster)).await?;
        ensure!(look.contains("own") != changed, "{look}");
    }
    Ok(())
}
