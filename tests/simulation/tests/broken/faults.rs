//! What the function knows about sources that are wrong for longer than an outage lasts.

use std::sync::Arc;

use failover_sync::error::AwsError;
use failover_sync::ports::Topology;
use reconcile::evidence::ClusterMember;
use simulation::kinds::Kind;
use simulation::lambda::Process;
use simulation::measure::Measures;
use simulation::ports::Ports;
use simulation::strategy::Loop;

use crate::wrappers::Retold;
use crate::{as_sent, outcome_in, sound};

/// So many changes show each breakage.
const CHANGES: usize = 300;

/// What becomes of a variant, and of the function as it is, in the same worlds.
fn measures(kind: Kind, processes: [fn(Ports) -> Arc<dyn Process>; 2]) -> [Measures; 2] {
    processes.map(|process| outcome_in(kind, CHANGES, process, as_sent).strategies.swap_remove(0).1)
}

/// Asserts that in these worlds wrong targets are registered so many times as long as with the rule.
fn assert_prolongs(kind: Kind, times: f64, processes: [fn(Ports) -> Arc<dyn Process>; 2]) {
    let [broken, whole] = measures(kind, processes).map(|measures| measures.mean(measures.wrong_s));
    assert!(broken >= times * whole, "a wrong target for {broken:.1} s, {whole:.1} s with the rule");
}

fn unheard(cluster: &str) -> AwsError {
    AwsError::incomplete("rds:DescribeDBClusters", cluster, "not heard")
}

/// The first that is flagged is the writer.
fn first_flagged(mut members: Vec<ClusterMember>) -> Vec<ClusterMember> {
    let mut flagged = members.iter_mut().filter(|member| member.is_writer);
    flagged.next();
    flagged.for_each(|member| member.is_writer = false);
    members
}

#[test]
fn believing_the_first_of_two_flags_is_caught() {
    let broken: fn(Ports) -> Arc<dyn Process> =
        |ports| Loop::new(&ports, ports.clone(), ports.clone(), Retold(ports.clone(), first_flagged), ports.clone());
    let [broken, whole] = measures(Kind::UnclearWriter, [broken, sound]).map(|measures| measures.wrong_ways);
    assert!(2 * broken > 3 * whole, "{broken} wrong-way switches, {whole} with the rule");
}

/// An RDS API that is silent unless it flags one writer.
struct OneWriter(Ports);

impl Topology for OneWriter {
    async fn members(&self, cluster: &str) -> Result<Vec<ClusterMember>, AwsError> {
        let members = self.0.members(cluster).await?;
        let flagged = members.iter().filter(|member| member.is_writer).count();
        if flagged == 1 { Ok(members) } else { Err(unheard(cluster)) }
    }
}

#[test]
fn needing_a_writer_to_know_the_readers_is_caught() {
    let broken: fn(Ports) -> Arc<dyn Process> =
        |ports| Loop::new(&ports, ports.clone(), ports.clone(), OneWriter(ports.clone()), ports.clone());
    // 44 s and 39 s in these worlds: most of the time is that of DNS, which both need.
    assert_prolongs(Kind::UnclearReaders, 1.1, [broken, sound]);
}
