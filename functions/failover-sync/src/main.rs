//! The binary that Lambda runs: it wires the adapters to the loop.

use std::env;
use std::sync::Arc;

use aws_sdk_elasticloadbalancingv2::Client as Elbv2Client;
use base::VERSION;
use failover_sync::dns::Resolver;
use failover_sync::elbv2::Elbv2;
use failover_sync::handler;
use failover_sync::ports::SystemClock;
use failover_sync::rds::Rds;
use failover_sync::role_probe::SqlRoleProbe;
use failover_sync::sync::Synchronizer;
use lambda_runtime::Error;
use platform::login::CredentialProvider;
use platform::runtime::report_init_error;
use platform::{aws, telemetry, trust};
use reconcile::config::Config;
use tracing::info;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let variable = |name: &str| env::var(name).ok();
    telemetry::start(&["failover_sync", "reconcile"], variable)?;
    info!(version = VERSION, mode = variable("MODE").unwrap_or("act".to_owned()), "starting");
    let config = match Config::parse(variable) {
        Ok(config) => config,
        Err(mistakes) => return report_init_error(&mistakes).await,
    };
    let resolver = match Resolver::new(&config.dns_servers) {
        Ok(resolver) => resolver,
        Err(error) => return report_init_error(&error).await,
    };
    let ca_bundle = match config
        .login
        .as_ref()
        .map(|_| trust::ca_bundle(config.ca_bundle.as_deref()))
        .transpose()
    {
        Ok(ca_bundle) => ca_bundle,
        Err(error) => return report_init_error(&error).await,
    };
    let aws = aws::sdk_config().await;
    let (groups, topology) = (Elbv2(Elbv2Client::new(&aws)), Rds::new(&aws));
    let provider = config.login.clone().map(|login| {
        CredentialProvider::new(login, variable("AWS_REGION").unwrap_or_default(), &aws)
    });
    let mut synchronizer = Synchronizer::new(config, resolver, groups, topology, SystemClock);
    if let (Some(provider), Some(ca_bundle)) = (provider, ca_bundle) {
        synchronizer =
            synchronizer.with_role_probe(Arc::new(SqlRoleProbe::new(provider, ca_bundle)));
    }
    handler::serve(synchronizer).await
}
