//! The binary that Lambda runs: it wires the adapters to the loop.

use std::env;
use std::sync::Arc;

use aws_sdk_elasticloadbalancingv2::Client as Elbv2Client;
use base::VERSION;
use base::config::given;
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
    telemetry::start(&["failover_sync", "reconcile"], variable)?;
    info!(version = VERSION, mode = given(variable("MODE")).unwrap_or("act".into()), "starting");
    match wire().await {
        Ok(synchronizer) => handler::serve(synchronizer).await,
        Err(error) => report_init_error(&*error).await,
    }
}

async fn wire() -> Result<Synchronizer<(Resolver, Elbv2, Rds, SystemClock)>, Error> {
    let config = Config::parse(variable)?;
    let (login, ca_bundle) = (config.login.clone(), config.ca_bundle.clone());
    let resolver = Resolver::new(&config.dns_servers)?;
    let aws = aws::sdk_config(variable);
    let (groups, topology) = (Elbv2(Elbv2Client::new(&aws)), Rds::new(&aws));
    let synchronizer = Synchronizer::new(config, resolver, groups, topology, SystemClock);
    let Some(login) = login else { return Ok(synchronizer) };
    let region = variable("AWS_REGION").unwrap_or_default();
    let provider = CredentialProvider::new(login, region, &aws);
    let role_probe = SqlRoleProbe::new(provider, trust::ca_bundle(ca_bundle.as_deref())?);
    Ok(synchronizer.with_role_probe(Arc::new(role_probe)))
}

fn variable(name: &str) -> Option<String> {
    env::var(name).ok()
}
