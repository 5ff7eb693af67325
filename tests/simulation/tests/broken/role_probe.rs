//! What the function knows about the role probe.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base::database::ClusterMember;
use base::report::Failure;
use failover_sync::error::AwsError;
use failover_sync::ports::{BoxFuture, Clusters, ProbeSessions, RoleProbe};
use reconcile::binding::Binding;
use reconcile::claim::Role;
use reconcile::path::Session;
use reconcile::target::Target;
use simulation::campaign::Outcome;
use simulation::check::Invariant;
use simulation::kinds::Kind;
use simulation::lambda::Process;
use simulation::ports::Ports;
use simulation::strategy::Loop;
use tokio::time::{Instant, timeout};

use crate::{as_sent, assert_breaks, outcome_in, probing, whole_in};

/// What becomes of the variant, and of the function as it is, in the same worlds.
fn with_and_without(
    kind: Kind,
    changes: usize,
    broken: fn(Ports) -> Arc<dyn Process>,
) -> [Arc<Outcome>; 2] {
    [Arc::new(outcome_in(kind, changes, broken, as_sent)), whole_in(kind, changes, true)]
}

fn no_session() -> Failure {
    Failure { kind: "ConnectionFailed", message: "no session".to_owned() }
}

/// Who has not answered by then is silent; the loop waits longer, and would not see it.
const A_MOMENT: Duration = Duration::from_millis(350);

/// Changes what the databases say, and what their silence means.
struct AlteredRoles(Ports, fn(Option<Role>) -> Option<Role>);

struct AlteredSessions<'a>(Box<dyn ProbeSessions + 'a>, fn(Option<Role>) -> Option<Role>);

impl RoleProbe for AlteredRoles {
    fn sessions<'a>(&'a self, binding: &'a Binding) -> Box<dyn ProbeSessions + 'a> {
        Box::new(AlteredSessions(self.0.sessions(binding), self.1))
    }
}

impl ProbeSessions for AlteredSessions<'_> {
    fn probe<'a>(&'a self, address: IpAddr, name: &'a str) -> BoxFuture<'a, Result<Role, Failure>> {
        Box::pin(async move {
            let said = timeout(A_MOMENT, self.0.probe(address, name)).await;
            (self.1)(said.ok().and_then(Result::ok)).ok_or_else(no_session)
        })
    }

    fn ask_anew<'a>(&'a self, server: SocketAddr, name: &'a str) -> BoxFuture<'a, Session> {
        self.0.ask_anew(server, name)
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        self.0.close()
    }
}

/// Who is silent is read only, and who is not takes writes.
fn is_up(said: Option<Role>) -> Option<Role> {
    Some(said.map_or(Role::Reader, |_| Role::Writer))
}

#[test]
fn taking_silence_for_read_only_and_the_rest_for_writers_is_caught() {
    assert_breaks(Kind::Writer, 300, (Invariant::EventuallyStable, 8), true, |ports| {
        probing(&ports, AlteredRoles(ports.clone(), is_up))
    });
}

/// Who is read only is as one that is silent.
fn forgets(said: Option<Role>) -> Option<Role> {
    said.filter(|role| *role != Role::Reader)
}

#[test]
fn forgetting_who_is_read_only_is_caught() {
    let process: fn(Ports) -> _ = |ports| probing(&ports, AlteredRoles(ports.clone(), forgets));
    assert_breaks(Kind::Hostname, 6_000, (Invariant::ReaderIsNotRegistered, 5), true, process);
}

/// Of several databases that take writes, the one that says so first is the writer.
struct First(Ports);

struct FirstSessions<'a>(Box<dyn ProbeSessions + 'a>, Mutex<Option<(IpAddr, Instant)>>);

impl RoleProbe for First {
    fn sessions<'a>(&'a self, binding: &'a Binding) -> Box<dyn ProbeSessions + 'a> {
        Box::new(FirstSessions(self.0.sessions(binding), Mutex::default()))
    }
}

/// Those who are asked in one look answer within this time of each other, or are late.
const A_LOOK: Duration = Duration::from_millis(250);

impl ProbeSessions for FirstSessions<'_> {
    fn probe<'a>(&'a self, address: IpAddr, name: &'a str) -> BoxFuture<'a, Result<Role, Failure>> {
        Box::pin(async move {
            let said = self.0.probe(address, name).await?;
            let (now, mut first) = (Instant::now(), self.1.lock().expect("not poisoned"));
            let is_second = first.is_some_and(|(other, at)| other != address && now - at <= A_LOOK);
            if said == Role::Writer && !is_second {
                *first = Some((address, now));
            }
            Ok(if is_second { Role::Reader } else { said })
        })
    }

    fn ask_anew<'a>(&'a self, server: SocketAddr, name: &'a str) -> BoxFuture<'a, Session> {
        self.0.ask_anew(server, name)
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        self.0.close()
    }
}

#[test]
fn believing_one_of_two_writers_is_caught() {
    let [broken, whole] =
        with_and_without(Kind::Writer, 1_000, |ports| probing(&ports, First(ports.clone())));
    let [broken, whole] = [&broken, &whole].map(|outcome| outcome.strategies[0].1.wrong_ways);
    // Three times as many in 3,000 worlds, 45 and 15; the few of 1,000 vary.
    assert!(broken > 2 * whole, "{broken} wrong-way switches, {whole} with the rule");
}

/// Asks through the load balancer: whatever address is meant, a registered target answers.
struct Balanced(Ports);

struct BalancedSessions<'a>(&'a Ports, &'a Binding, Box<dyn ProbeSessions + 'a>);

impl RoleProbe for Balanced {
    fn sessions<'a>(&'a self, binding: &'a Binding) -> Box<dyn ProbeSessions + 'a> {
        Box::new(BalancedSessions(&self.0, binding, self.0.sessions(binding)))
    }
}

impl ProbeSessions for BalancedSessions<'_> {
    fn probe<'a>(
        &'a self,
        _address: IpAddr,
        name: &'a str,
    ) -> BoxFuture<'a, Result<Role, Failure>> {
        Box::pin(async move {
            let BalancedSessions(ports, binding, sessions) = self;
            let is_it = |known: &Binding| known.target_group == binding.target_group;
            let number = ports
                .scenario()
                .config
                .bindings
                .iter()
                .position(is_it)
                .expect("a binding of this world");
            let target: Target = *ports.world().members(number).first().ok_or_else(no_session)?;
            sessions.probe(target.address, name).await
        })
    }

    fn ask_anew<'a>(&'a self, server: SocketAddr, name: &'a str) -> BoxFuture<'a, Session> {
        self.2.ask_anew(server, name)
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        self.2.close()
    }
}

#[test]
fn asking_through_the_load_balancer_is_caught() {
    assert_breaks(Kind::Writer, 300, (Invariant::EventuallyStable, 8), true, |ports| {
        probing(&ports, Balanced(ports.clone()))
    });
}

/// An RDS API that is asked and not heard.
struct Unheard(Ports);

impl Clusters for Unheard {
    async fn members(&self, cluster: &str) -> Result<Vec<ClusterMember>, AwsError> {
        self.0.members(cluster).await?;
        Err(AwsError::incomplete("rds:DescribeDBClusters", cluster, "not heard"))
    }
}

#[test]
fn hearing_nobody_but_a_database_that_takes_writes_is_caught() {
    assert_breaks(Kind::BlueTakesWrites, 300, (Invariant::RdsApiCounts, 10), true, |ports| {
        Loop::probing(
            &ports,
            ports.clone(),
            ports.clone(),
            Unheard(ports.clone()),
            ports.clone(),
            ports.clone(),
        )
    });
}
