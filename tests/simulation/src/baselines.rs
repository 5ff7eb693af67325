//! What other public projects do, from their description, with every chance of the original.
//!
//! Each keeps its order of writes, its view of draining targets, its triggers and its way with
//! errors. They live in the same worlds as failover-sync, without faults of their own.

use std::net::IpAddr;
use std::sync::Arc;

use failover_sync::error::chain;
use failover_sync::ports::{Clusters, Dns, TargetGroups};
use reconcile::binding::{Binding, Endpoint, Family};
use reconcile::target::{DescribedTarget, Target};
use serde_json::Value;
use tokio::time::Instant;

use crate::dice::{Moment, SECOND};
use crate::lambda::{Done, Ending, Invocation, Process};
use crate::ports::Ports;
use crate::scenario::PORT;
use crate::strategy::{Events, Strategy};

/// `aws-samples/amazon-rds-crossaccount-access`, as copied by `redis/rdi-cloud-automation`: on an
/// SNS message of the categories failover and failure it resolves once, registers and deregisters.
/// It has no schedule, counts draining targets as present, fails loudly, so that Lambda tries
/// again, and has a deregistration delay of 0.
pub struct AwsSample;

impl Strategy for AwsSample {
    fn name(&self) -> &'static str {
        "aws-sample"
    }

    fn process(&self, ports: Ports) -> Arc<dyn Process> {
        Arc::new(Script { ports, run: resolve_once })
    }

    fn schedule(&self) -> Option<Moment> {
        None
    }

    fn events(&self) -> Events {
        Events::SnsFailover
    }

    fn deregistration_delay(&self) -> Moment {
        0
    }
}

/// `MaterializeInc/terraform-aws-rds-privatelink`: every five minutes and on SNS messages it
/// resolves once, deregisters the first described target if it is another one, and registers.
/// Errors are answers, so that Lambda does not try again. The original follows a named instance,
/// this one the writer's endpoint.
pub struct PollFiveMinutes;

impl Strategy for PollFiveMinutes {
    fn name(&self) -> &'static str {
        "poll-5min"
    }

    fn process(&self, ports: Ports) -> Arc<dyn Process> {
        Arc::new(Script { ports, run: replace_first })
    }

    fn schedule(&self) -> Option<Moment> {
        Some(300 * SECOND)
    }

    fn events(&self) -> Events {
        Events::Sns
    }

    fn retries(&self) -> usize {
        0
    }
}

/// `shipmonk-rnd/terraform-aws-adjust-target-group`: every minute it asks the RDS API for the
/// writer, resolves that instance's endpoint, deregisters and registers. It leaves out an instance
/// that is not `available`, `backing-up` or `modifying`, which can leave nothing. Of a Multi-AZ
/// instance it resolves the endpoint.
pub struct TopologyEveryMinute;

impl Strategy for TopologyEveryMinute {
    fn name(&self) -> &'static str {
        "topology-1min"
    }

    fn process(&self, ports: Ports) -> Arc<dyn Process> {
        Arc::new(Script { ports, run: follow_topology })
    }

    fn events(&self) -> Events {
        Events::None
    }
}

/// Every baseline.
pub fn all() -> Vec<Arc<dyn Strategy>> {
    vec![Arc::new(AwsSample), Arc::new(PollFiveMinutes), Arc::new(TopologyEveryMinute)]
}

/// A process without a memory, which runs the same steps at each invocation.
pub struct Script<F> {
    /// Its ports.
    pub ports: Ports,
    /// The steps.
    pub run: F,
}

impl<F, R> Process for Script<F>
where
    F: Fn(Ports) -> R + Send + Sync,
    R: Future<Output = Result<(), String>> + Send + 'static,
{
    fn invoke(self: Arc<Self>, _payload: Arc<Value>, _deadline: Instant) -> Invocation {
        let run = (self.run)(self.ports.clone());
        Box::pin(async move {
            let (claims, error) = match run.await {
                Ok(()) => (vec![(0, Done::NotInSync)], None),
                Err(error) => (Vec::new(), Some(error)),
            };
            Ending::new(claims, error)
        })
    }
}

/// Resolve once, register what is new, deregister what is old; what is draining counts as present.
pub async fn resolve_once(ports: Ports) -> Result<(), String> {
    let binding = &ports.scenario().config.bindings[0];
    let address = resolve_endpoint(&ports, binding).await?;
    let listed = describe(&ports, binding).await?;
    if !listed.iter().any(|target| is_at(target, address)) {
        register(&ports, binding, address).await?;
    }
    let old: Vec<DescribedTarget> =
        listed.into_iter().filter(|target| !is_at(target, address)).collect();
    deregister(&ports, binding, &old).await
}

async fn replace_first(ports: Ports) -> Result<(), String> {
    let binding = &ports.scenario().config.bindings[0];
    let address = resolve_endpoint(&ports, binding).await?;
    let listed = describe(&ports, binding).await?;
    match listed.first() {
        Some(first) if is_at(first, address) => return Ok(()),
        Some(first) => deregister(&ports, binding, std::slice::from_ref(first)).await?,
        None => {}
    }
    register(&ports, binding, address).await
}

async fn follow_topology(ports: Ports) -> Result<(), String> {
    let binding = &ports.scenario().config.bindings[0];
    let address = if ports.scenario().database.engine.is_cluster() {
        let members = ports.members("orders").await.map_err(|error| chain(&error))?;
        let writer = members.into_iter().find(|member| member.is_writer && serves(&member.status));
        match writer.and_then(|writer| writer.endpoint) {
            Some(endpoint) => Some(resolve(&ports, &endpoint).await?),
            None => None,
        }
    } else if ports.scenario().database.status(0, ports.world().now()).is_some_and(serves) {
        Some(resolve_endpoint(&ports, binding).await?)
    } else {
        None
    };
    let listed = describe(&ports, binding).await?;
    let is_wanted =
        |target: &DescribedTarget| address.is_some_and(|address| is_at(target, address));
    let old: Vec<DescribedTarget> =
        listed.iter().filter(|target| !is_wanted(target)).cloned().collect();
    deregister(&ports, binding, &old).await?;
    match address {
        Some(address) if !listed.iter().any(is_wanted) => register(&ports, binding, address).await,
        _ => Ok(()),
    }
}

fn serves(status: &str) -> bool {
    matches!(status, "available" | "backing-up" | "modifying")
}

fn is_at(target: &DescribedTarget, address: IpAddr) -> bool {
    target.target() == Some(Target { address, port: PORT })
}

async fn resolve_endpoint(ports: &Ports, binding: &Binding) -> Result<IpAddr, String> {
    match &binding.endpoint {
        Endpoint::Name(name) => resolve(ports, name).await,
        Endpoint::Address(address) => Ok(*address),
    }
}

async fn resolve(ports: &Ports, name: &str) -> Result<IpAddr, String> {
    let answer = ports.lookup(name, Family::Ipv4).await.map_err(|error| chain(&error))?;
    answer.addresses.iter().next().ok_or_else(|| "no address".to_owned())
}

/// DescribeTargetHealth.
pub async fn describe(ports: &Ports, binding: &Binding) -> Result<Vec<DescribedTarget>, String> {
    TargetGroups::describe(ports, &binding.target_group).await.map_err(|error| chain(&error))
}

async fn register(ports: &Ports, binding: &Binding, address: IpAddr) -> Result<(), String> {
    let target = Target { address, port: PORT };
    TargetGroups::register(ports, &binding.target_group, &[target])
        .await
        .map_err(|error| chain(&error))
}

/// DeregisterTargets, unless there is nothing to deregister.
pub async fn deregister(
    ports: &Ports,
    binding: &Binding,
    targets: &[DescribedTarget],
) -> Result<(), String> {
    if targets.is_empty() {
        return Ok(());
    }
    TargetGroups::deregister(ports, &binding.target_group, targets)
        .await
        .map_err(|error| chain(&error))
}
