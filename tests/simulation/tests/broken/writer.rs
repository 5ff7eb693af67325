//! What the function knows about one writer.

use std::sync::Arc;

use base::database::ClusterMember;
use failover_sync::error::AwsError;
use failover_sync::ports::{Clusters, Dns, TargetGroups};
use reconcile::binding::{Family, TargetGroupArn};
use reconcile::event::EventKind;
use reconcile::target::{DescribedTarget, Target, TargetState};
use reconcile::trigger::Trigger;
use serde_json::{Value, json};
use simulation::baselines::{Script, deregister, describe, resolve_once};
use simulation::campaign::Outcome;
use simulation::check::Invariant;
use simulation::deliveries::{Delivery, Path};
use simulation::kinds::Kind;
use simulation::lambda::{Invocation, Process};
use simulation::ports::Ports;
use simulation::report::PROMPT;
use simulation::strategy::Loop;
use simulation::world::World;
use tokio::time::Instant;

use crate::wrappers::{Altered, Cached};
use crate::{as_sent, assert_breaks, outcome_in, sound, whole_in};

/// So many changes show each breakage.
const CHANGES: usize = 400;

fn outcome_of(
    process: fn(Ports) -> Arc<dyn Process>,
    receive: fn(&Delivery, &World) -> Arc<Value>,
) -> Outcome {
    outcome_in(Kind::Writer, CHANGES, process, receive)
}

/// Deregisters the old members before it registers the new one.
struct DeregisterFirst(Ports);

impl TargetGroups for DeregisterFirst {
    async fn describe(&self, group: &TargetGroupArn) -> Result<Vec<DescribedTarget>, AwsError> {
        TargetGroups::describe(&self.0, group).await
    }

    async fn register(&self, group: &TargetGroupArn, targets: &[Target]) -> Result<(), AwsError> {
        let listed = TargetGroups::describe(&self.0, group).await?;
        let is_wanted = |target: &DescribedTarget| {
            target.target().is_some_and(|target| targets.contains(&target))
        };
        let old: Vec<DescribedTarget> = listed
            .into_iter()
            .filter(|target| target.is_registered() && !is_wanted(target))
            .collect();
        if !old.is_empty() {
            TargetGroups::deregister(&self.0, group, &old).await?;
        }
        self.0.register(group, targets).await
    }

    async fn deregister(
        &self,
        group: &TargetGroupArn,
        targets: &[DescribedTarget],
    ) -> Result<(), AwsError> {
        TargetGroups::deregister(&self.0, group, targets).await
    }
}

#[test]
fn deregistering_first_is_caught() {
    assert_breaks(Kind::Writer, 1_000, (Invariant::AMemberStays, 101), false, |ports| {
        Loop::new(
            &ports,
            ports.clone(),
            DeregisterFirst(ports.clone()),
            ports.clone(),
            ports.clone(),
        )
    });
}

#[test]
fn counting_draining_targets_as_members_is_caught() {
    assert_breaks(Kind::Writer, 1_000, (Invariant::AMemberStays, 11), false, |ports| {
        let groups = Altered(ports.clone(), |mut target| {
            if target.state == TargetState::Draining {
                target.state = TargetState::Healthy;
            }
            Some(target)
        });
        Loop::new(&ports, ports.clone(), groups, ports.clone(), ports.clone())
    });
}

#[test]
fn trusting_the_first_answer_is_caught() {
    let outcome = outcome_of(|ports| Arc::new(Script { ports, run: resolve_once }), as_sent);
    assert!(outcome.strategies[0].1.wrong_ways_despite_witnesses > 10);
}

#[test]
fn caching_dns_is_caught() {
    let outcome = outcome_of(
        |ports| {
            let dns = Cached::new(ports.clone(), |_| true);
            Loop::new(&ports, dns, ports.clone(), ports.clone(), ports.clone())
        },
        as_sent,
    );
    assert!(outcome.strategies[0].1.wrong_ways_despite_witnesses > 10);
}

/// Takes no answer for an empty set, and applies it.
async fn apply_an_empty_set(ports: Ports) -> Result<(), String> {
    let binding = &ports.scenario().config.bindings[0];
    if ports.lookup(&ports.scenario().database.endpoint, Family::Ipv4).await.is_ok() {
        return resolve_once(ports.clone()).await;
    }
    let listed = describe(&ports, binding).await?;
    let members: Vec<DescribedTarget> =
        listed.into_iter().filter(DescribedTarget::is_registered).collect();
    deregister(&ports, binding, &members).await
}

#[test]
fn applying_an_empty_set_is_caught() {
    assert_breaks(Kind::Writer, 1_000, (Invariant::AMemberStays, 11), false, |ports| {
        Arc::new(Script { ports, run: apply_an_empty_set })
    });
}

/// An event without a watch: the run ends as soon as all agree, on the old address too.
fn without_a_watch(delivery: &Delivery, _world: &World) -> Arc<Value> {
    if delivery.path == Path::Console { Arc::clone(&delivery.payload) } else { Arc::new(json!({})) }
}

#[test]
fn ending_the_watch_when_all_agree_on_the_old_address_is_caught() {
    let outcome = outcome_of(sound, without_a_watch);
    let p50 = outcome.strategies[0].1.promptness(50.0);
    assert!(p50 > 2.0 * PROMPT, "from the second witness to the switch: {p50:.1} s");
}

/// An unnamed event, however late, vouches for DNS in place of the second witness.
struct Vouching(Ports);

impl Clusters for Vouching {
    async fn members(&self, cluster: &str) -> Result<Vec<ClusterMember>, AwsError> {
        let mut members = self.0.members(cluster).await?;
        let (database, now) = (&self.0.scenario().database, self.0.world().now());
        let (host, _) = database.writer_by_dns(self.0.resolver(), now);
        for (member, described) in members.iter_mut().enumerate() {
            described.is_writer = member == database.hosts[host].1;
        }
        Ok(members)
    }
}

/// A process for which an unnamed event is a witness.
struct Credulous(Ports);

impl Process for Credulous {
    fn invoke(self: Arc<Self>, payload: Arc<Value>, deadline: Instant) -> Invocation {
        let ports = self.0.clone();
        let events = Trigger::parse(&payload).map(|trigger| trigger.events).unwrap_or_default();
        if events
            .iter()
            .any(|event| matches!(event.kind(), EventKind::Failover | EventKind::AddressChange))
        {
            let topology = Vouching(ports.clone());
            Loop::new(&ports, ports.clone(), ports.clone(), topology, ports.clone())
                .invoke(payload, deadline)
        } else {
            sound(ports).invoke(payload, deadline)
        }
    }
}

#[test]
fn a_late_unnamed_event_as_a_witness_is_caught() {
    assert_misleads_more(|ports| Arc::new(Credulous(ports)));
}

/// Goes back at once to an address just left when DNS names it, and then does as ever.
pub(crate) struct Hasty(pub(crate) Ports);

impl Process for Hasty {
    fn invoke(self: Arc<Self>, payload: Arc<Value>, deadline: Instant) -> Invocation {
        let ports = self.0.clone();
        let whole = Loop::new(&ports, ports.clone(), ports.clone(), ports.clone(), ports.clone());
        Box::pin(async move {
            // What it cannot do now, the whole loop does.
            let _ = go_back(&ports).await;
            whole.invoke(payload, deadline).await
        })
    }
}

async fn go_back(ports: &Ports) -> Result<(), String> {
    let binding = &ports.scenario().config.bindings[0];
    let named = ports
        .lookup(&binding.endpoint.to_string(), binding.family)
        .await
        .map_err(|error| error.to_string())?;
    let listed = describe(ports, binding).await?;
    let is_named = |entry: &&DescribedTarget| {
        entry.target().is_some_and(|it| named.addresses.contains(it.address))
    };
    let Some(left) =
        listed.iter().filter(is_named).find(|entry| entry.state == TargetState::Draining)
    else {
        return Ok(());
    };
    let wanted: Vec<Target> = left.target().into_iter().collect();
    let registered = TargetGroups::register(ports, &binding.target_group, &wanted).await;
    registered.map_err(|error| error.to_string())?;
    let old: Vec<_> =
        listed.iter().filter(|entry| entry.is_registered() && !is_named(entry)).cloned().collect();
    deregister(ports, binding, &old).await
}

#[test]
fn going_back_to_a_draining_address_at_once_is_caught() {
    assert_misleads_more(|ports| Arc::new(Hasty(ports)));
}

/// A rule against rare coincidences shows in the wrong-way switches of the same worlds.
fn assert_misleads_more(process: fn(Ports) -> Arc<dyn Process>) {
    let (broken, whole) = (outcome_of(process, as_sent), whole_in(Kind::Writer, CHANGES, false));
    let [broken, whole] = [&broken, &whole].map(|outcome| outcome.strategies[0].1.wrong_ways);
    assert!(2 * broken > 3 * whole, "{broken} wrong-way switches, {whole} with the rule");
}
