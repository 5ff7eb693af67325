//! The function with a DNS that panics: a test shows that the error is told and that the next event
//! is served.

use failover_sync::elbv2::Elbv2;
use failover_sync::error::DnsError;
use failover_sync::handler;
use failover_sync::ports::{Dns, SystemClock};
use failover_sync::rds::Rds;
use failover_sync::sync::Synchronizer;
use lambda_runtime::Error;
use platform::aws;
use reconcile::binding::Family;
use reconcile::config::Config;
use reconcile::evidence::DnsAnswer;

struct Panicking;

impl Dns for Panicking {
    async fn lookup(&self, name: &str, _: Family) -> Result<DnsAnswer, DnsError> {
        panic!("looked up {name}")
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let variable: aws::Variable = |name| std::env::var(name).ok();
    let config = Config::parse(variable)?;
    let aws = aws::sdk_config(variable);
    let groups = Elbv2(aws_sdk_elasticloadbalancingv2::Client::new(&aws));
    let topology = Rds::new(&aws);
    handler::serve(Synchronizer::new(config, Panicking, groups, topology, SystemClock)).await
}
