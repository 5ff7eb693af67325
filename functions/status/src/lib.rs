//! What the deployed function sees right now, asked from a laptop with credentials.
//!
//! It reads the function's configuration from Lambda and makes a dry run with the function's own loop. Nothing is
//! invoked and nothing is changed. What it can see depends on where it runs: a private name may resolve to nothing here.

pub mod table;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use aws_config::SdkConfig;
use aws_sdk_elasticloadbalancingv2::Client as Elbv2Client;
use aws_sdk_lambda::Client as LambdaClient;
use failover_sync::dns::Resolver;
use failover_sync::elbv2::Elbv2;
use failover_sync::error::{AwsError, RunError};
use failover_sync::ports::SystemClock;
use failover_sync::rds::Rds;
use failover_sync::sync::Synchronizer;
use reconcile::config::Config;
use reconcile::report::Report;
use reconcile::trigger::Trigger;
use tokio::time::Instant;

/// A dry run is one look at DNS, the target group and perhaps the RDS API.
const LIMIT: Duration = Duration::from_secs(60);

/// One look with the configuration of a deployed function, given by its name or ARN.
///
/// # Errors
/// When the configuration cannot be read. A binding that cannot be looked at is in the report.
pub async fn look(aws: &SdkConfig, function: &str) -> Result<Report> {
    let variables = variables(&LambdaClient::new(aws), function).await?;
    let config = Config::parse(|name| variables.get(name).cloned()).context("the function's environment")?;
    let resolver = Resolver::new(&config.dns_servers).context("the function's DNS servers")?;
    let (groups, topology) = (Elbv2(Elbv2Client::new(aws)), Rds::new(aws));
    let synchronizer = Arc::new(Synchronizer::new(config, resolver, groups, topology, SystemClock));
    let trigger = Trigger { dry_run: true, ..Trigger::default() };
    match synchronizer.run(&trigger, Instant::now() + LIMIT).await {
        Ok(report) | Err(RunError::Bindings(report)) => Ok(report),
        Err(refused) => Err(refused.into()),
    }
}

async fn variables(lambda: &LambdaClient, function: &str) -> Result<HashMap<String, String>> {
    let answer = lambda.get_function_configuration().function_name(function).send().await;
    let answer = answer.map_err(|error| AwsError::new("lambda:GetFunctionConfiguration", function, error))?;
    let variables = answer.environment.and_then(|environment| environment.variables);
    variables.with_context(|| format!("{function} has no environment: is it the function failover-sync?"))
}
