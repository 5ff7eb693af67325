//! The binary that Lambda runs: it wires the adapters to the loop.

use std::env;

use aws_sdk_rds::Client as RdsClient;
use base::VERSION;
use flush_hosts::config::Config;
use flush_hosts::flush::Flusher;
use flush_hosts::handler;
use flush_hosts::instances::Rds;
use flush_hosts::server::MySql;
use lambda_runtime::Error;
use platform::login::CredentialProvider;
use platform::mysql::ConnectOptions;
use platform::runtime::report_init_error;
use platform::{aws, telemetry, trust};
use tracing::info;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let variable = |name: &str| env::var(name).ok();
    telemetry::start(&["flush_hosts"], variable)?;
    info!(version = VERSION, "starting");
    let config = match Config::parse(variable) {
        Ok(config) => config,
        Err(mistakes) => return report_init_error(&mistakes).await,
    };
    let ca_bundle = match trust::ca_bundle(config.ca_bundle.as_deref()) {
        Ok(ca_bundle) => ca_bundle,
        Err(error) => return report_init_error(&error).await,
    };
    let aws = aws::sdk_config().await;
    let provider = CredentialProvider::new(config.login, config.region, &aws);
    let servers = MySql { provider, options: ConnectOptions::new(ca_bundle) };
    handler::serve(Flusher::new(config.database, Rds(RdsClient::new(&aws)), servers)).await
}
