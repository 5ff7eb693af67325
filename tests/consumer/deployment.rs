//! Both templates deployed to the local AWS, as far as it knows what is in them.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use lab::aws::{ACCOUNT, Aws, REGION};
use lab::cli::Shell;
use lab::cloudformation::{Outputs, Template};
use lab::progress::Quiet;
use lab::workspace::Run;

use crate::stack::{load, owned};
use crate::{API, CONSUMER, DNS_ENTRIES, ROLE};

/// The local EC2 gives endpoints no DNS names; what uses them is asserted on the template.
const MADE_OF_DNS_ENTRIES: [&str; 5] =
    ["Record", "Ipv6Record", "EndpointDnsName", "HostName", "ConnectTestCommand"];

const NETWORK: [(&str, &str); 2] =
    [("VpcId", "vpc-00000001"), ("SubnetIds", "subnet-00000001,subnet-00000002")];

/// Deploys a template without the parts `left_out`, and returns the outputs.
async fn deploy(
    run: &Run,
    aws: &Aws,
    source: &str,
    left_out: &[&str],
    parameters: &[(&str, &str)],
) -> Result<Outputs> {
    let name = Path::new(source)
        .file_stem()
        .and_then(|name| name.to_str())
        .context("a template has a name")?;
    let directory = run.scratch(name)?;
    let mut template = load(source);
    let mut gone = BTreeSet::new();
    for section in ["Resources", "Outputs"] {
        let entries = template[section]
            .as_object_mut()
            .with_context(|| format!("{source} has no {section}"))?;
        entries.retain(|name, body| {
            let stays = !body.to_string().contains(DNS_ENTRIES);
            stays || !gone.insert(name.clone())
        });
    }
    ensure!(
        gone == owned(left_out.iter().copied()),
        "{source}: {gone:?} are made of {DNS_ENTRIES}"
    );
    let path = directory.join("template.yaml");
    std::fs::write(&path, template.to_string())
        .with_context(|| format!("write {}", path.display()))?;
    let template = Template::fit(run, &path, &directory).await?;
    ensure!(
        template.left_out.is_empty(),
        "{source}: the local AWS knows less of it: {:?}",
        template.left_out
    );
    template
        .deploy(run, &aws.environment(), name, parameters.iter().chain(&NETWORK).copied(), &Quiet)
        .await
}

pub(crate) async fn consumer(run: &Run, aws: &Aws) -> Result<()> {
    let service = format!("com.amazonaws.vpce.{REGION}.vpce-svc-0123456789abcdef0");
    let host = "orders.cluster-abc123.us-east-1.rds.amazonaws.com";
    let parameters = [
        ("ServiceName", service.as_str()),
        ("DatabasePort", "5432"),
        ("ClientCidrs", "10.0.0.0/16"),
        ("DatabaseHostName", host),
    ];
    let outputs = deploy(run, aws, CONSUMER, &MADE_OF_DNS_ENTRIES, &parameters).await?;
    let endpoint = outputs.get("EndpointId")?;
    ensure!(endpoint.starts_with("vpce-"), "the endpoint is {endpoint}");
    ensure!(!outputs.get("ZoneId")?.is_empty());
    ensure!(outputs.get("StateCommand")?.contains(endpoint));
    ensure!(outputs.get("PostgresTestCommand")?.contains(host));
    Ok(())
}

/// Both forms of the role, before there is anything else.
pub(crate) async fn role(run: &Run, aws: &Aws) -> Result<()> {
    let principal = format!("arn:aws:iam::{ACCOUNT}:role/network");
    for given in [&[][..], &[("UsedBy", "people"), ("SetupPrincipals", principal.as_str())]] {
        let parameters = [&[("ProviderAccountId", "444455556666")], given].concat();
        let outputs = deploy(run, aws, ROLE, &[], &parameters).await?;
        ensure!(outputs.get("RoleArn")?.starts_with(&format!("arn:aws:iam::{ACCOUNT}:role/")));
    }
    Ok(())
}

pub(crate) async fn api_endpoints(run: &Run, aws: &Aws) -> Result<()> {
    let secret = format!("arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:flush-hosts-AbCdEf");
    let parameters =
        [("FunctionSecurityGroupIds", "sg-0123456789abcdef0"), ("FlushHostsSecretArn", &secret)];
    let outputs = deploy(run, aws, API, &[], &parameters).await?;
    for output in ["LoadBalancingEndpointId", "RdsEndpointId", "SecretsManagerEndpointId"] {
        ensure!(outputs.get(output)?.starts_with("vpce-"), "{output} is {}", outputs.get(output)?);
    }
    Ok(())
}

/// The end of the consumer's guide: endpoint, group and zone first, then the role.
pub(crate) async fn removal(run: &Run, aws: &Aws) -> Result<()> {
    let shell = Shell::new(run, aws, aws.endpoint())?;
    for stack in ["consumer", "consumer-role", "api-endpoints"] {
        shell.line(&format!("aws cloudformation delete-stack --stack-name {stack}")).await?;
        shell
            .line(&format!("aws cloudformation wait stack-delete-complete --stack-name {stack}"))
            .await?;
    }
    let left = shell
        .line("aws ec2 describe-vpc-endpoints --query 'VpcEndpoints[].VpcEndpointId' --output text")
        .await?;
    ensure!(left.is_empty(), "{left} is left");
    Ok(())
}
