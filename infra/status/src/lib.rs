//! What the deployed function sees right now, asked from a laptop with credentials.
//!
//! It reads the function's configuration from Lambda and makes a dry run with the function's own
//! loop. Nothing is invoked and nothing is changed. What it can see depends on where it runs: a
//! private name may resolve to nothing here.

pub mod table;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use aws_config::SdkConfig;
use aws_sdk_elasticloadbalancingv2::Client as Elbv2Client;
use aws_sdk_lambda::Client as LambdaClient;
use aws_sdk_lambda::types::EnvironmentResponse;
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

/// It takes a login and a way to the load balancer, which only the function has.
const PATH_NOTE: &str = "what consumers see is asked by the function alone: \"path\" in the last \
    line \"reconciled\" of its log that has one, and the metric PathUp";

/// One look with the configuration of a deployed function, given by its name or ARN.
///
/// # Errors
/// When the configuration cannot be read. A binding that cannot be looked at is in the report.
pub async fn look(aws: &SdkConfig, function: &str) -> Result<Report> {
    let variables = variables(&LambdaClient::new(aws), function).await?;
    let config =
        Config::parse(|name| variables.get(name).cloned()).context("the function's environment")?;
    let asks_path: Vec<String> = { config.bindings.iter() }
        .filter(|binding| config.path.is_some() && binding.engine.is_some())
        .map(|binding| binding.name.clone())
        .collect();
    let resolver = Resolver::new(&config.dns_servers).context("the function's DNS servers")?;
    let (groups, topology) = (Elbv2(Elbv2Client::new(aws)), Rds::new(aws));
    let synchronizer = Arc::new(Synchronizer::new(config, resolver, groups, topology, SystemClock));
    let trigger = Trigger { dry_run: true, ..Trigger::default() };
    let mut report = match synchronizer.run(&trigger, Instant::now() + LIMIT).await {
        Ok(report) | Err(RunError::Bindings(report)) => report,
        Err(refused) => return Err(refused.into()),
    };
    for binding in report.bindings.iter_mut().filter(|it| asks_path.contains(&it.binding)) {
        binding.path_note = Some(PATH_NOTE.to_owned());
    }
    Ok(report)
}

async fn variables(lambda: &LambdaClient, function: &str) -> Result<HashMap<String, String>> {
    let answer = lambda.get_function_configuration().function_name(function).send().await;
    let answer = answer
        .map_err(|error| AwsError::new("lambda:GetFunctionConfiguration", function, error))?;
    variables_of(function, answer.environment)
}

/// Where Lambda cannot decrypt them it answers with an error in their place.
fn variables_of(
    function: &str,
    environment: Option<EnvironmentResponse>,
) -> Result<HashMap<String, String>> {
    let error = environment.as_ref().and_then(|environment| environment.error());
    if let Some(error) = error {
        let (code, message) =
            (error.error_code().unwrap_or_default(), error.message().unwrap_or_default());
        bail!(
            "Lambda does not tell the environment of {function}: {code}, {message}: allow yourself \
             kms:Decrypt on its key"
        );
    }
    let variables = environment.and_then(|environment| environment.variables);
    variables.with_context(|| {
        format!("{function} has no environment: is it the function failover-sync?")
    })
}

#[cfg(test)]
mod tests {
    use aws_sdk_lambda::types::EnvironmentError;

    use super::*;

    #[test]
    fn an_environment_that_lambda_cannot_decrypt_is_said() {
        let error = EnvironmentError::builder()
            .error_code("AccessDeniedException")
            .message("no kms:Decrypt")
            .build();
        let answer = EnvironmentResponse::builder().error(error).build();
        let message = variables_of("orders", Some(answer)).expect_err("an error").to_string();
        for word in
            ["orders", "AccessDeniedException", "no kms:Decrypt", "allow yourself kms:Decrypt"]
        {
            assert!(message.contains(word), "{word} in {message}");
        }
        assert!(
            variables_of("orders", None)
                .expect_err("none")
                .to_string()
                .contains("is it the function")
        );
        let answer = EnvironmentResponse::builder().variables("BINDINGS", "[]").build();
        assert_eq!(variables_of("orders", Some(answer)).expect("given")["BINDINGS"], "[]");
    }
}
