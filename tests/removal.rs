//! `infra/remove.md`, "The link": its commands in order, by the AWS CLI, on the local AWS. That has
//! no endpoint connections and no link's stack, whose commands are left out.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use lab::aws::Aws;
use lab::cli::Shell;
use lab::workspace::{Run, root};

/// What the local EC2 and CloudFormation cannot do here.
const LEFT_OUT: [&str; 4] = [
    "describe-vpc-endpoint-connections",
    "reject-vpc-endpoint-connections",
    "delete-stack",
    "wait stack-delete-complete",
];

/// The commands of a section of a guide, each on one line.
fn commands(section: &str) -> Result<Vec<String>> {
    let guide = std::fs::read_to_string(root().join("infra/remove.md"))?;
    let (_, rest) = guide.split_once(&format!("\n## {section}\n")).context("no such section")?;
    let section = rest.split("\n## ").next().unwrap_or_default().replace("\\\n", " ");
    let blocks = section.split("```sh\n").skip(1).filter_map(|block| block.split("```").next());
    Ok(blocks
        .flat_map(str::lines)
        .map(|line| line.trim().to_owned())
        .filter(|line| !line.is_empty())
        .collect())
}

#[tokio::test]
async fn the_link_is_removed_by_the_commands_of_the_guide_in_their_order() -> Result<()> {
    let run = Run::new()?;
    let aws = Aws::start(&run).await?;
    let shell = Shell::new(&run, &aws, aws.rds_endpoint())?;
    let vpc = shell.line("aws ec2 describe-vpcs --query Vpcs[0].VpcId --output text").await?;
    let subnets =
        shell.line("aws ec2 describe-subnets --query Subnets[:2].SubnetId --output text").await?;
    let group = |name: &str| {
        format!(
            "aws ec2 create-security-group --group-name {name} --description {name} --vpc-id {vpc} \
             --query GroupId --output text"
        )
    };
    let link = shell.line(&group("link")).await?;
    let database = shell.line(&group("database")).await?;
    let balancer = shell
        .line(&format!(
            "aws elbv2 create-load-balancer --name link --type network --scheme internal \
             --subnets {subnets} --security-groups {link} \
             --query LoadBalancers[0].LoadBalancerArn --output text"
        ))
        .await?;
    let service = shell
        .line(&format!(
            "aws ec2 create-vpc-endpoint-service-configuration --network-load-balancer-arns \
             {balancer} --query ServiceConfiguration.ServiceId --output text"
        ))
        .await?;
    shell
        .line(&format!(
            "aws ec2 authorize-security-group-ingress --group-id {database} --protocol tcp --port \
             5432 --source-group {link}"
        ))
        .await?;

    let mut printed = BTreeMap::new();
    for command in commands("The link")? {
        if LEFT_OUT.iter().any(|part| command.contains(part)) {
            continue;
        }
        let filled = [
            ("vpce-svc-…", &service),
            ("arn:…", &balancer),
            ("sg-DATABASE", &database),
            ("sg-…", &link),
        ];
        let filled = filled
            .iter()
            .fold(command.clone(), |command, (left, value)| command.replace(left, value));
        let name = command.split_whitespace().nth(2).context("a command of two words")?.to_owned();
        printed.insert(name, shell.line(&filled).await?);
    }
    let of = |name: &str| {
        printed.get(name).map(String::as_str).with_context(|| format!("the guide has no {name}"))
    };
    ensure!(of("delete-vpc-endpoint-service-configurations")? == "[]", "{printed:?}");
    ensure!(of("describe-network-interfaces")?.is_empty(), "{printed:?}");
    ensure!(
        of("describe-security-groups")?.contains(&database),
        "the rule by hand is not found: {printed:?}"
    );
    for name in
        ["delete-load-balancer", "wait", "revoke-security-group-ingress", "delete-security-group"]
    {
        of(name)?;
    }

    let groups = "aws ec2 describe-security-groups --query SecurityGroups[].GroupId --output text";
    ensure!(!shell.line(groups).await?.contains(&link), "the group is left");
    let balancers =
        "aws elbv2 describe-load-balancers --query LoadBalancers[].LoadBalancerArn --output text";
    ensure!(shell.line(balancers).await?.is_empty(), "the load balancer is left");
    let services = "aws ec2 describe-vpc-endpoint-service-configurations --query \
                    ServiceConfigurations[].ServiceId --output text";
    ensure!(!shell.line(services).await?.contains(&service), "the service is left");
    Ok(())
}

/// What AWS refuses in another order, which the local AWS does not.
#[test]
fn each_step_of_the_guide_comes_after_what_it_needs() -> Result<()> {
    let link = commands("The link")?.join("\n");
    let order = [
        "describe-vpc-endpoint-connections",
        "reject-vpc-endpoint-connections",
        "delete-vpc-endpoint-service-configurations",
        "delete-load-balancer",
        "wait load-balancers-deleted",
        "describe-network-interfaces",
        "revoke-security-group-ingress",
        "delete-security-group",
        "delete-stack --stack-name failover-sync-Link-…",
    ];
    let places: Vec<_> = order.iter().map(|part| link.find(part)).collect();
    ensure!(
        places.iter().all(Option::is_some) && places.is_sorted(),
        "{order:?} are at {places:?}"
    );
    let database = commands("The database's side")?.join("\n");
    let (read, deleted) = (database.find("describe-stacks"), database.find("sam delete"));
    ensure!(
        read.is_some() && read < deleted,
        "the outputs are read before the stack is deleted: {database}"
    );
    // As `tests/database.rs` performs it. Without a name it would take failover-sync.
    let is_performed = |line: &str| {
        line.strip_prefix("sam delete --stack-name ").is_some_and(|name| !name.contains(' '))
    };
    ensure!(
        database.lines().filter(|line| line.starts_with("sam")).all(is_performed),
        "{database}"
    );
    Ok(())
}
