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
    telemetry::start(&["flush_hosts"], variable)?;
    info!(version = VERSION, "starting");
    match wire().await {
        Ok(flusher) => handler::serve(flusher).await,
        Err(error) => report_init_error(&*error).await,
    }
}

async fn wire() -> Result<Flusher<Rds, MySql>, Error> {
    let config = Config::parse(variable)?;
    let options = ConnectOptions::new(trust::ca_bundle(config.ca_bundle.as_deref())?);
    let aws = aws::sdk_config(variable);
    let provider = CredentialProvider::new(config.login, config.region, &aws);
    Ok(Flusher::new(config.database, Rds(RdsClient::new(&aws)), MySql { provider, options }))
}

fn variable(name: &str) -> Option<String> {
    env::var(name).ok()
}
