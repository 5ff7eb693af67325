//! What the function knows of readers, proxies, other names, IPv6, blue/green, several bindings.

use std::sync::Arc;

use base::database::ClusterMember;
use failover_sync::error::{AwsError, DnsError};
use failover_sync::ports::{Clusters, Dns, TargetGroups};
use reconcile::binding::{self, Family, TargetGroupArn};
use reconcile::config::Config;
use reconcile::evidence::DnsAnswer;
use reconcile::network::AllowedNetworks;
use reconcile::target::{DescribedTarget, Target, TargetState};
use serde_json::Value;
use simulation::baselines::{Script, deregister, describe};
use simulation::campaign::Outcome;
use simulation::check::Invariant;
use simulation::kinds::Kind;
use simulation::lambda::{Ending, Invocation, Process};
use simulation::measure::Measures;
use simulation::ports::Ports;
use simulation::scenario::PORT;
use simulation::strategy::Loop;
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::wrappers::{Altered, Cached, Retold};
use crate::writer::Hasty;
use crate::{as_sent, count, outcome_in, whole_in};

/// So many changes show each breakage.
const CHANGES: usize = 200;

fn outcome_of(kind: Kind, process: fn(Ports) -> Arc<dyn Process>) -> Outcome {
    outcome_in(kind, CHANGES, process, as_sent)
}

fn measures(outcome: &Outcome) -> &Measures {
    &outcome.strategies[0].1
}

fn assert_breaks(
    kind: Kind,
    invariant: Invariant,
    at_least: usize,
    process: fn(Ports) -> Arc<dyn Process>,
) {
    crate::assert_breaks(kind, CHANGES, (invariant, at_least), false, process);
}

/// The loop as if every binding were of this kind.
fn as_kind(ports: &Ports, kind: binding::Kind) -> Arc<dyn Process> {
    let mut config = ports.scenario().config.clone();
    config.bindings.iter_mut().for_each(|binding| binding.kind = kind);
    configured(ports, config)
}

fn configured(ports: &Ports, config: Config) -> Arc<dyn Process> {
    Loop::configured(config, ports.clone(), ports.clone(), ports.clone(), ports.clone())
}

fn with_topology(
    ports: Ports,
    retell: fn(Vec<ClusterMember>) -> Vec<ClusterMember>,
) -> Arc<dyn Process> {
    let topology = Retold(ports.clone(), retell);
    Loop::new(&ports, ports.clone(), ports.clone(), topology, ports.clone())
}

#[test]
fn taking_one_answer_for_all_readers_is_caught() {
    let process: fn(Ports) -> _ = |ports| as_kind(&ports, binding::Kind::Hostname);
    assert_breaks(Kind::Readers, Invariant::AbsenceIsNoProof, 10, process);
}

#[test]
fn counting_the_writer_among_the_readers_is_caught() {
    assert_breaks(Kind::Readers, Invariant::WriterIsNoReader, 10, |ports| {
        with_topology(ports, |mut members| {
            let writers: Vec<ClusterMember> =
                members.iter().filter(|member| member.is_writer).cloned().collect();
            members.extend(
                writers.into_iter().map(|writer| ClusterMember { is_writer: false, ..writer }),
            );
            members
        })
    });
}

#[test]
fn counting_readers_that_come_and_go_is_caught() {
    let broken = outcome_of(Kind::Readers, |ports| {
        with_topology(ports, |mut members| {
            members.iter_mut().for_each(|member| member.status = "available".to_owned());
            members
        })
    });
    let whole = whole_in(Kind::Readers, CHANGES, false);
    let [broken, whole] = [&broken, &whole].map(|outcome| measures(outcome).wrong_s);
    assert!(broken > 1.2 * whole, "a wrong target for {broken:.0} s, {whole:.0} s with the rule");
}

#[test]
fn reducing_a_proxy_to_one_answer_is_caught() {
    let process: fn(Ports) -> _ = |ports| as_kind(&ports, binding::Kind::Hostname);
    assert_breaks(Kind::Proxy, Invariant::AbsenceIsNoProof, 10, process);
}

#[test]
fn reducing_a_custom_endpoint_to_one_answer_is_caught() {
    let process: fn(Ports) -> _ = |ports| as_kind(&ports, binding::Kind::Hostname);
    assert_breaks(Kind::Custom, Invariant::AbsenceIsNoProof, 10, process);
}

#[test]
fn not_looking_at_the_health_of_a_proxy_is_caught() {
    assert_breaks(Kind::Proxy, Invariant::EventuallyStable, 10, |ports| {
        let groups = Altered(ports.clone(), |mut target| {
            if target.is_unhealthy() {
                target.state = TargetState::Healthy;
            }
            Some(target)
        });
        Loop::new(&ports, ports.clone(), groups, ports.clone(), ports.clone())
    });
}

#[test]
fn keeping_what_a_name_of_ones_own_lacks_is_caught() {
    let process: fn(Ports) -> _ = |ports| as_kind(&ports, binding::Kind::Proxy);
    assert_breaks(Kind::Hostname, Invariant::EventuallyStable, 10, process);
}

/// Registers what is new in one answer, and deregisters what it lacks.
async fn follow_one_answer(ports: Ports) -> Result<(), String> {
    let binding = &ports.scenario().config.bindings[0];
    let answer = ports
        .lookup(&binding.endpoint.to_string(), binding.family)
        .await
        .map_err(|error| error.to_string())?;
    let wanted: Vec<Target> =
        answer.addresses.iter().map(|address| Target { address, port: PORT }).collect();
    let registered = TargetGroups::register(&ports, &binding.target_group, &wanted).await;
    registered.map_err(|error| error.to_string())?;
    let is_old = |target: &DescribedTarget| {
        target.is_registered() && target.target().is_none_or(|it| !wanted.contains(&it))
    };
    let old: Vec<DescribedTarget> =
        describe(&ports, binding).await?.into_iter().filter(is_old).collect();
    deregister(&ports, binding, &old).await
}

#[test]
fn following_a_name_of_ones_own_at_once_is_caught() {
    let process: fn(Ports) -> Arc<dyn Process> =
        |ports| Arc::new(Script { ports, run: follow_one_answer });
    assert_breaks(Kind::Hostname, Invariant::NoFlapOnOneAnswer, 100, process);
    assert_breaks(Kind::Hostname, Invariant::LastHealthyStays, 10, process);
}

/// Asks for the addresses of one family, whatever it is asked for.
struct OnlyIpv4(Ports);

impl Dns for OnlyIpv4 {
    async fn lookup(&self, name: &str, _family: Family) -> Result<DnsAnswer, DnsError> {
        self.0.lookup(name, Family::Ipv4).await
    }
}

#[test]
fn asking_for_ipv4_addresses_is_caught() {
    assert_breaks(Kind::WriterIpv6, Invariant::EventuallyStable, 10, |ports| {
        let mut config = ports.scenario().config.clone();
        config.allowed = AllowedNetworks::default();
        Loop::configured(
            config,
            OnlyIpv4(ports.clone()),
            ports.clone(),
            ports.clone(),
            ports.clone(),
        )
    });
}

#[test]
fn taking_only_the_private_networks_of_ipv4_is_caught() {
    assert_breaks(Kind::ReadersIpv6, Invariant::EventuallyStable, 10, |ports| {
        let allowed =
            AllowedNetworks::parse("10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16").expect("networks");
        configured(&ports, Config { allowed, ..ports.scenario().config.clone() })
    });
}

#[test]
fn remembering_where_members_were_is_caught() {
    let broken = outcome_of(Kind::BlueGreen, |ports| {
        let is_members = |name: &str| !name.contains(".cluster-") && name.starts_with("orders-");
        let dns = Cached::new(ports.clone(), is_members);
        Loop::new(&ports, dns, ports.clone(), ports.clone(), ports.clone())
    });
    let whole = whole_in(Kind::BlueGreen, CHANGES, false);
    let [broken, whole] = [&broken, &whole].map(|outcome| measures(outcome).convergence(99.0));
    assert!(broken > 2.0 * whole, "p99 is {broken:.0} s, {whole:.0} s with the rule");
}

#[test]
fn going_back_to_blue_at_once_is_caught() {
    let broken = outcome_of(Kind::BlueGreen, |ports| Arc::new(Hasty(ports)));
    let whole = whole_in(Kind::BlueGreen, CHANGES, false);
    let [broken, whole] = [&broken, &whole].map(|outcome| measures(outcome).wrong_ways);
    assert!(2 * broken > 3 * whole, "{broken} wrong-way switches, {whole} with the rule");
}

/// Asks the RDS API only if an event names an instance, or DNS and the group differ.
struct Forgetful(Ports);

impl Clusters for Forgetful {
    async fn members(&self, cluster: &str) -> Result<Vec<ClusterMember>, AwsError> {
        let (is_named, named) = {
            let audit = self.0.audit();
            (audit.names.is_some(), audit.dns_named)
        };
        let members = self.0.world().members(0);
        let agrees = |(named, _)| members.iter().all(|member| member.address == named);
        if !is_named && named.is_some_and(agrees) {
            return Err(AwsError::incomplete("rds:DescribeDBClusters", cluster, "not asked"));
        }
        self.0.members(cluster).await
    }
}

#[test]
fn calling_a_group_right_without_asking_the_rds_api_is_caught() {
    assert_breaks(Kind::StuckDns, Invariant::RdsApiCounts, 100, |ports| {
        Loop::new(&ports, ports.clone(), ports.clone(), Forgetful(ports.clone()), ports.clone())
    });
}

/// A loop for each binding, one after the other.
struct InTurn {
    loops: Vec<Arc<dyn Process>>,
    ends_at_an_error: bool,
}

impl Process for InTurn {
    fn invoke(self: Arc<Self>, payload: Arc<Value>, deadline: Instant) -> Invocation {
        Box::pin(async move {
            let mut whole = Ending::new(Vec::new(), None);
            for (number, one) in self.loops.iter().enumerate() {
                let Ending { claims, error, .. } =
                    Arc::clone(one).invoke(Arc::clone(&payload), deadline).await;
                whole.claims.extend(claims.into_iter().map(|(_, done)| (number, done)));
                whole.error = whole.error.or(error);
                if whole.error.is_some() && self.ends_at_an_error {
                    break;
                }
            }
            whole
        })
    }
}

fn in_turn(ports: &Ports, ends_at_an_error: bool) -> Arc<dyn Process> {
    let config = &ports.scenario().config;
    let one = |binding: &binding::Binding| {
        configured(ports, Config { bindings: vec![binding.clone()], ..config.clone() })
    };
    Arc::new(InTurn { loops: config.bindings.iter().map(one).collect(), ends_at_an_error })
}

#[test]
fn one_binding_after_the_other_is_caught() {
    assert_disturbs(|ports| in_turn(&ports, false));
}

#[test]
fn ending_a_run_at_the_first_broken_binding_is_caught() {
    assert_disturbs(|ports| in_turn(&ports, true));
}

/// Lets one call at a time through to ELBv2.
struct OneCall(Ports, Mutex<()>);

impl TargetGroups for OneCall {
    async fn describe(&self, group: &TargetGroupArn) -> Result<Vec<DescribedTarget>, AwsError> {
        let _place = self.1.lock().await;
        TargetGroups::describe(&self.0, group).await
    }

    async fn register(&self, group: &TargetGroupArn, targets: &[Target]) -> Result<(), AwsError> {
        let _place = self.1.lock().await;
        TargetGroups::register(&self.0, group, targets).await
    }

    async fn deregister(
        &self,
        group: &TargetGroupArn,
        targets: &[DescribedTarget],
    ) -> Result<(), AwsError> {
        let _place = self.1.lock().await;
        TargetGroups::deregister(&self.0, group, targets).await
    }
}

#[test]
fn one_call_at_a_time_for_all_bindings_is_caught() {
    assert_disturbs(|ports| {
        let groups = OneCall(ports.clone(), Mutex::default());
        Loop::new(&ports, ports.clone(), groups, ports.clone(), ports.clone())
    });
}

/// Bindings without a fault are wrong in the end, and changes do not converge.
fn assert_disturbs(process: fn(Ports) -> Arc<dyn Process>) {
    let outcome = outcome_in(Kind::Several, 100, process, as_sent);
    let (disturbed, converged) =
        (count(&outcome, Invariant::OthersUndisturbed), measures(&outcome).converged_pct());
    assert!(
        disturbed >= 5 && converged < 98.0,
        "{disturbed} disturbed bindings, {converged:.1} % converged"
    );
}
