//! The binary that Lambda runs: it wires the adapters to the loop.

use std::env;
use std::sync::Arc;

use aws_sdk_elasticloadbalancingv2::Client as Elbv2Client;
use failover_sync::databases::Databases;
use failover_sync::dns::Resolver;
use failover_sync::elbv2::Elbv2;
use failover_sync::handler;
use failover_sync::ports::SystemClock;
use failover_sync::rds::Rds;
use failover_sync::sync::Synchronizer;
use lambda_runtime::Error;
use platform::login::Doorman;
use platform::runtime::refuse_to_start;
use platform::{aws, telemetry, trust};
use reconcile::config::Config;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let variable = |name: &str| env::var(name).ok();
    telemetry::start(variable)?;
    let config = match Config::parse(variable) {
        Ok(config) => config,
        Err(mistakes) => return refuse_to_start(&mistakes).await,
    };
    let resolver = match Resolver::new(&config.dns_servers) {
        Ok(resolver) => resolver,
        Err(error) => return refuse_to_start(&error).await,
    };
    let authorities = match config.login.as_ref().map(|_| trust::authorities(config.ca_bundle.as_deref())).transpose() {
        Ok(authorities) => authorities,
        Err(error) => return refuse_to_start(&error).await,
    };
    let aws = aws::sdk_config().await;
    let (groups, topology) = (Elbv2(Elbv2Client::new(&aws)), Rds::new(&aws));
    let doorman =
        config.login.clone().map(|login| Doorman::new(login, variable("AWS_REGION").unwrap_or_default(), &aws));
    let mut synchronizer = Synchronizer::new(config, resolver, groups, topology, SystemClock);
    if let (Some(doorman), Some(authorities)) = (doorman, authorities) {
        synchronizer = synchronizer.asking(Arc::new(Databases::new(doorman, authorities)));
    }
    handler::serve(synchronizer).await
}
