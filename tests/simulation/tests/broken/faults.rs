//! What the function knows about sources that are wrong for longer than an outage lasts.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use base::database::ClusterMember;
use base::report::Failure;
use failover_sync::error::{AwsError, DnsError, DnsFailure};
use failover_sync::ports::{BoxFuture, Clusters, Dns, ProbeSessions, RoleProbe, TargetGroups};
use reconcile::binding::{Binding, Family, TargetGroupArn};
use reconcile::claim::Role;
use reconcile::evidence::DnsAnswer;
use reconcile::path::Session;
use reconcile::target::{DescribedTarget, Target};
use simulation::kinds::Kind;
use simulation::lambda::Process;
use simulation::measure::Measures;
use simulation::ports::Ports;
use simulation::strategy::Loop;
use tokio::sync::Mutex;

use crate::wrappers::Retold;
use crate::{as_sent, outcome_in, whole_in};

/// So many changes show each breakage.
const CHANGES: usize = 300;

/// A measure of a variant, and of the function as it is, with the same login, in the same worlds.
fn measured<T>(
    kind: Kind,
    probes_roles: bool,
    broken: fn(Ports) -> Arc<dyn Process>,
    measure: fn(&Measures) -> T,
) -> [T; 2] {
    let (broken, whole) =
        (outcome_in(kind, CHANGES, broken, as_sent), whole_in(kind, CHANGES, probes_roles));
    [&broken, &whole].map(|outcome| measure(&outcome.strategies[0].1))
}

/// Asserts that wrong targets are registered so many times as long as with the rule.
fn assert_prolongs(kind: Kind, times: f64, process: fn(Ports) -> Arc<dyn Process>) {
    let [broken, whole] =
        measured(kind, false, process, |measures| measures.mean(measures.wrong_s));
    assert!(
        broken >= times * whole,
        "a wrong target for {broken:.1} s, {whole:.1} s with the rule"
    );
}

fn no_answer(cluster: &str) -> AwsError {
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
    let broken: fn(Ports) -> Arc<dyn Process> = |ports| {
        Loop::new(
            &ports,
            ports.clone(),
            ports.clone(),
            Retold(ports.clone(), first_flagged),
            ports.clone(),
        )
    };
    let [broken, whole] =
        measured(Kind::UnclearWriter, false, broken, |measures| measures.wrong_ways);
    assert!(2 * broken > 3 * whole, "{broken} wrong-way switches, {whole} with the rule");
}

/// An RDS API that is silent unless it flags one writer.
struct OneWriter(Ports);

impl Clusters for OneWriter {
    async fn members(&self, cluster: &str) -> Result<Vec<ClusterMember>, AwsError> {
        let members = self.0.members(cluster).await?;
        let flagged = members.iter().filter(|member| member.is_writer).count();
        if flagged == 1 { Ok(members) } else { Err(no_answer(cluster)) }
    }
}

#[test]
fn needing_a_writer_to_know_the_readers_is_caught() {
    let broken: fn(Ports) -> Arc<dyn Process> = |ports| {
        Loop::new(&ports, ports.clone(), ports.clone(), OneWriter(ports.clone()), ports.clone())
    };
    // 44 s and 39 s in these worlds: most of the time is that of DNS, which both need.
    assert_prolongs(Kind::UnclearReaders, 1.1, broken);
}

/// Asks all name servers at once, and believes the first no.
struct AtOnce(Ports);

impl Dns for AtOnce {
    async fn lookup(&self, name: &str, family: Family) -> Result<DnsAnswer, DnsError> {
        if self.0.hears_no_first() {
            let servers = "10.0.0.3:53".to_owned();
            return Err(DnsError {
                name: name.to_owned(),
                family,
                servers,
                answer: DnsFailure::NoSuchName,
            });
        }
        self.0.lookup(name, family).await
    }
}

#[test]
fn asking_all_name_servers_at_once_is_caught() {
    let broken: fn(Ports) -> Arc<dyn Process> = |ports| {
        Loop::new(&ports, AtOnce(ports.clone()), ports.clone(), ports.clone(), ports.clone())
    };
    assert_prolongs(Kind::TwoDnsServers, 1.3, broken);
}

/// One question at a time, whoever is asked.
#[derive(Clone)]
struct OneQuestion(Ports, Arc<Mutex<()>>);

impl OneQuestion {
    fn process(ports: Ports) -> Arc<dyn Process> {
        let asked = OneQuestion(ports.clone(), Arc::default());
        Loop::new(&ports, asked.clone(), asked.clone(), asked, ports.clone())
    }

    /// As [`OneQuestion::process`], and the databases are asked too.
    fn probing(ports: Ports) -> Arc<dyn Process> {
        let asked = OneQuestion(ports.clone(), Arc::default());
        Loop::probing(&ports, asked.clone(), asked.clone(), asked.clone(), ports.clone(), asked)
    }
}

impl Dns for OneQuestion {
    async fn lookup(&self, name: &str, family: Family) -> Result<DnsAnswer, DnsError> {
        let _turn = self.1.lock().await;
        self.0.lookup(name, family).await
    }
}

impl Clusters for OneQuestion {
    async fn members(&self, cluster: &str) -> Result<Vec<ClusterMember>, AwsError> {
        let _turn = self.1.lock().await;
        self.0.members(cluster).await
    }
}

impl TargetGroups for OneQuestion {
    async fn describe(&self, group: &TargetGroupArn) -> Result<Vec<DescribedTarget>, AwsError> {
        let _turn = self.1.lock().await;
        TargetGroups::describe(&self.0, group).await
    }

    async fn register(&self, group: &TargetGroupArn, targets: &[Target]) -> Result<(), AwsError> {
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

impl RoleProbe for OneQuestion {
    fn sessions<'a>(&'a self, binding: &'a Binding) -> Box<dyn ProbeSessions + 'a> {
        Box::new(OneQuestionSessions(self, self.0.sessions(binding)))
    }
}

struct OneQuestionSessions<'a>(&'a OneQuestion, Box<dyn ProbeSessions + 'a>);

impl ProbeSessions for OneQuestionSessions<'_> {
    fn probe<'a>(&'a self, address: IpAddr, name: &'a str) -> BoxFuture<'a, Result<Role, Failure>> {
        Box::pin(async move {
            let _turn = self.0.1.lock().await;
            self.1.probe(address, name).await
        })
    }

    fn ask_anew<'a>(&'a self, server: SocketAddr, name: &'a str) -> BoxFuture<'a, Session> {
        self.1.ask_anew(server, name)
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        self.1.close()
    }
}

#[test]
fn one_question_at_a_time_is_caught_where_descriptions_take_long() {
    assert_prolongs(Kind::SlowDescriptions, 1.2, OneQuestion::process);
}

#[test]
fn one_question_at_a_time_is_caught_where_dns_hangs() {
    let p50 = |measures: &Measures| measures.convergence(50.0);
    let [broken, whole] = measured(Kind::HangingDns, true, OneQuestion::probing, p50);
    assert!(broken >= 1.5 * whole, "p50 is {broken:.1} s, {whole:.1} s with the rule");
}

/// An RDS API that is silent unless each member's name leads somewhere.
struct AllMembers(Ports);

impl Clusters for AllMembers {
    async fn members(&self, cluster: &str) -> Result<Vec<ClusterMember>, AwsError> {
        let members = self.0.members(cluster).await?;
        for name in members.iter().filter_map(|member| member.endpoint.as_deref()) {
            self.0.lookup(name, Family::Ipv4).await.map_err(|_| no_answer(cluster))?;
        }
        Ok(members)
    }
}

#[test]
fn needing_the_address_of_each_member_is_caught() {
    let broken: fn(Ports) -> Arc<dyn Process> = |ports| {
        Loop::new(&ports, ports.clone(), ports.clone(), AllMembers(ports.clone()), ports.clone())
    };
    assert_prolongs(Kind::UnresolvedMember, 1.2, broken);
}
