//! The binary that Lambda runs: it wires the adapters to the loop.

use std::env;

use aws_sdk_rds::Client as RdsClient;
use flush_hosts::config::Config;
use flush_hosts::flush::Flusher;
use flush_hosts::handler;
use flush_hosts::instances::Rds;
use flush_hosts::server::MySql;
use lambda_runtime::Error;
use platform::login::Doorman;
use platform::mysql::ConnectOptions;
use platform::runtime::refuse_to_start;
use platform::{aws, telemetry, trust};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let variable = |name: &str| env::var(name).ok();
    telemetry::start(variable)?;
    let config = match Config::parse(variable) {
        Ok(config) => config,
        Err(mistakes) => return refuse_to_start(&mistakes).await,
    };
    let authorities = match trust::authorities(config.ca_bundle.as_deref()) {
        Ok(authorities) => authorities,
        Err(error) => return refuse_to_start(&error).await,
    };
    let aws = aws::sdk_config().await;
    let doorman = Doorman::new(config.login, config.region, &aws);
    let servers = MySql { doorman, options: ConnectOptions::new(authorities) };
    handler::serve(Flusher::new(config.database, Rds(RdsClient::new(&aws)), servers)).await
}
