//! Strategies: what the function does, how it is invoked, and ours.

use std::sync::Arc;

use failover_sync::error::{RunError, chain};
use failover_sync::ports::{Clock, Clusters, Dns, Ports as FunctionPorts, RoleProbe, TargetGroups};
use failover_sync::sync::Synchronizer;
use reconcile::binding::Engine;
use reconcile::config::Config;
use reconcile::report::{BindingReport, State};
use reconcile::trigger::Trigger;
use serde_json::Value;
use tokio::time::Instant;

use crate::check::path::PathClaim;
use crate::deliveries::Delivery;
use crate::dice::Moment;
use crate::distributions as d;
use crate::lambda::{Done, Ending, Invocation, Process};
use crate::ports::Ports;
use crate::world::World;

/// A way to keep a target group.
pub trait Strategy: Send + Sync {
    /// Its name in tables.
    fn name(&self) -> &'static str;

    /// A new process of its function.
    fn process(&self, ports: Ports) -> Arc<dyn Process>;

    /// Between two scheduled runs.
    fn schedule(&self) -> Option<Moment> {
        Some(d::SCHEDULE)
    }

    /// What it is subscribed to.
    fn events(&self) -> Events {
        Events::All
    }

    /// The deregistration delay of its target group.
    fn deregistration_delay(&self) -> Moment {
        d::DEREGISTRATION_DELAY
    }

    /// How often Lambda tries a failed invocation again.
    fn retries(&self) -> usize {
        d::RETRIES.len()
    }

    /// Whether the invariants must hold for it.
    fn is_checked(&self) -> bool {
        false
    }

    /// What it is invoked with.
    fn receive(&self, delivery: &Delivery, _world: &World) -> Arc<Value> {
        Arc::clone(&delivery.payload)
    }
}

/// What a strategy is subscribed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Events {
    /// The RDS event subscription, the EventBridge rule, and people.
    All,
    /// The RDS event subscription.
    Sns,
    /// The categories "failover" and "failure" of the RDS event subscription.
    SnsFailover,
    /// Nothing.
    None,
}

/// The loop of failover-sync over any ports.
pub struct Loop<P: FunctionPorts>(Arc<Synchronizer<P>>);

impl<D: Dns, G: TargetGroups, T: Clusters, C: Clock> Loop<(D, G, T, C)> {
    /// A process of the function.
    pub fn new(ports: &Ports, dns: D, groups: G, topology: T, clock: C) -> Arc<Self> {
        Loop::configured(ports.scenario().config.clone(), dns, groups, topology, clock)
    }

    /// A process of the function with a configuration of its own.
    pub fn configured(config: Config, dns: D, groups: G, topology: T, clock: C) -> Arc<Self> {
        Arc::new(Loop(Arc::new(Synchronizer::new(config, dns, groups, topology, clock))))
    }

    /// A process of the function that asks the databases too.
    pub fn probing(
        ports: &Ports,
        dns: D,
        groups: G,
        topology: T,
        clock: C,
        role_probe: impl RoleProbe,
    ) -> Arc<Self> {
        let mut config = ports.scenario().config.clone();
        config.bindings.iter_mut().filter(|binding| binding.kind.can_probe_role()).for_each(
            |binding| {
                binding.engine = Some(Engine::Postgres);
            },
        );
        let synchronizer = Synchronizer::new(config, dns, groups, topology, clock);
        Arc::new(Loop(Arc::new(synchronizer.with_role_probe(Arc::new(role_probe)))))
    }
}

impl<P: FunctionPorts> Process for Loop<P> {
    fn invoke(self: Arc<Self>, payload: Arc<Value>, deadline: Instant) -> Invocation {
        Box::pin(async move {
            let trigger = match Trigger::parse(&payload) {
                Ok(trigger) => trigger,
                Err(error) => return Ending::new(Vec::new(), Some(chain(&error))),
            };
            match self.0.run(&trigger, deadline).await {
                Ok(report) => ending(&report.bindings, None),
                Err(error) => {
                    let reports = if let RunError::Bindings(report) = &error {
                        &report.bindings[..]
                    } else {
                        &[]
                    };
                    ending(reports, Some(chain(&error)))
                }
            }
        })
    }
}

fn ending(reports: &[BindingReport], error: Option<String>) -> Ending {
    let path = reports.iter().find_map(PathClaim::of);
    Ending { path, ..Ending::new(claims(reports), error) }
}

/// What a run says of the bindings that it did not fail for.
fn claims(reports: &[BindingReport]) -> Vec<(usize, Done)> {
    let claim = |(binding, report): (usize, &BindingReport)| match report.state {
        State::Failed => None,
        State::InSync | State::Updated => Some((binding, Done::InSync)),
        State::WouldUpdate | State::Waiting => Some((binding, Done::NotInSync)),
    };
    reports.iter().enumerate().filter_map(claim).collect()
}

/// failover-sync as its template deploys it: two paths for events, and a schedule.
pub struct Ours;

impl Strategy for Ours {
    fn name(&self) -> &'static str {
        "failover-sync"
    }

    fn process(&self, ports: Ports) -> Arc<dyn Process> {
        Loop::new(&ports, ports.clone(), ports.clone(), ports.clone(), ports.clone())
    }

    fn is_checked(&self) -> bool {
        true
    }
}

/// failover-sync with the role probe: a login, and a way to the databases.
pub struct WithRoleProbe;

impl Strategy for WithRoleProbe {
    fn name(&self) -> &'static str {
        "with-role-probe"
    }

    fn process(&self, ports: Ports) -> Arc<dyn Process> {
        Loop::probing(
            &ports,
            ports.clone(),
            ports.clone(),
            ports.clone(),
            ports.clone(),
            ports.clone(),
        )
    }

    fn is_checked(&self) -> bool {
        true
    }
}

/// The same loop with no event ever delivered.
pub struct ScheduleOnly;

impl Strategy for ScheduleOnly {
    fn name(&self) -> &'static str {
        "schedule-only"
    }

    fn process(&self, ports: Ports) -> Arc<dyn Process> {
        Ours.process(ports)
    }

    fn events(&self) -> Events {
        Events::None
    }

    fn is_checked(&self) -> bool {
        true
    }
}
