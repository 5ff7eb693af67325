//! What the function knows about the databases' word.

use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use failover_sync::error::AwsError;
use failover_sync::ports::{BoxFuture, Databases, Sessions, Topology};
use reconcile::binding::Binding;
use reconcile::claim::Voice;
use reconcile::evidence::ClusterMember;
use reconcile::report::Failure;
use reconcile::target::Target;
use simulation::campaign::Outcome;
use simulation::check::Invariant;
use simulation::kinds::Kind;
use simulation::lambda::Process;
use simulation::ports::Ports;
use simulation::strategy::Loop;
use tokio::time::{Instant, timeout};

use crate::{as_sent, asking, count, outcome_in, whole_in};

/// What becomes of the variant, and of the function as it is, in the same worlds.
fn with_and_without(kind: Kind, changes: usize, broken: fn(Ports) -> Arc<dyn Process>) -> [Arc<Outcome>; 2] {
    [Arc::new(outcome_in(kind, changes, broken, as_sent)), whole_in(kind, changes, true)]
}

/// Asserts that the variant breaks the invariant so often, and the function as it is never does.
fn assert_breaks(
    kind: Kind,
    changes: usize,
    invariant: Invariant,
    at_least: usize,
    process: fn(Ports) -> Arc<dyn Process>,
) {
    let [broken, whole] = with_and_without(kind, changes, process).map(|outcome| count(&outcome, invariant));
    assert!(broken >= at_least && whole == 0, "invariant {invariant}: {broken} times, {whole} with the rule");
}

fn silence() -> Failure {
    Failure { kind: "ConnectionFailed", message: "no session".to_owned() }
}

/// Whoever has not answered by then is silent. The loop waits a little longer, and would not see it.
const A_MOMENT: Duration = Duration::from_millis(350);

/// Changes what the databases say, and what their silence means.
struct Reworded(Ports, fn(Option<Voice>) -> Option<Voice>);

struct RewordedSessions<'a>(Box<dyn Sessions + 'a>, fn(Option<Voice>) -> Option<Voice>);

impl Databases for Reworded {
    fn sessions<'a>(&'a self, binding: &'a Binding) -> Box<dyn Sessions + 'a> {
        Box::new(RewordedSessions(self.0.sessions(binding), self.1))
    }
}

impl Sessions for RewordedSessions<'_> {
    fn ask<'a>(&'a self, address: IpAddr, name: &'a str) -> BoxFuture<'a, Result<Voice, Failure>> {
        Box::pin(async move {
            let said = timeout(A_MOMENT, self.0.ask(address, name)).await;
            (self.1)(said.ok().and_then(Result::ok)).ok_or_else(silence)
        })
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        self.0.close()
    }
}

/// Who is silent is read only, and who is not takes writes.
fn is_up(said: Option<Voice>) -> Option<Voice> {
    Some(said.map_or(Voice::ReadOnly, |_| Voice::TakesWrites))
}

#[test]
fn taking_silence_for_read_only_and_the_rest_for_writers_is_caught() {
    assert_breaks(Kind::Writer, 300, Invariant::EventuallyStable, 8, |ports| {
        asking(&ports, Reworded(ports.clone(), is_up))
    });
}

/// Who is read only is as one that is silent.
fn forgets(said: Option<Voice>) -> Option<Voice> {
    said.filter(|voice| *voice != Voice::ReadOnly)
}

#[test]
fn forgetting_who_is_read_only_is_caught() {
    let process: fn(Ports) -> _ = |ports| asking(&ports, Reworded(ports.clone(), forgets));
    assert_breaks(Kind::Hostname, 6_000, Invariant::ReadOnlyIsHeard, 5, process);
}

/// Of several databases that take writes, the one that says so first is the writer.
struct First(Ports);

struct FirstSessions<'a>(Box<dyn Sessions + 'a>, Mutex<Option<(IpAddr, Instant)>>);

impl Databases for First {
    fn sessions<'a>(&'a self, binding: &'a Binding) -> Box<dyn Sessions + 'a> {
        Box::new(FirstSessions(self.0.sessions(binding), Mutex::default()))
    }
}

/// Those who are asked in one look answer within this time of each other, or are late.
const A_LOOK: Duration = Duration::from_millis(250);

impl Sessions for FirstSessions<'_> {
    fn ask<'a>(&'a self, address: IpAddr, name: &'a str) -> BoxFuture<'a, Result<Voice, Failure>> {
        Box::pin(async move {
            let said = self.0.ask(address, name).await?;
            let (now, mut first) = (Instant::now(), self.1.lock().expect("not poisoned"));
            let is_second = first.is_some_and(|(other, at)| other != address && now - at <= A_LOOK);
            if said == Voice::TakesWrites && !is_second {
                *first = Some((address, now));
            }
            Ok(if is_second { Voice::ReadOnly } else { said })
        })
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        self.0.close()
    }
}

#[test]
fn believing_one_of_two_writers_is_caught() {
    let [broken, whole] = with_and_without(Kind::Writer, 1_000, |ports| asking(&ports, First(ports.clone())));
    let [broken, whole] = [&broken, &whole].map(|outcome| outcome.strategies[0].1.wrong_ways);
    // Three times as many in 3,000 worlds, 45 and 15; the few of 1,000 vary.
    assert!(broken > 2 * whole, "{broken} wrong-way switches, {whole} with the rule");
}

/// Asks through the load balancer: whatever address is meant, a registered target answers.
struct Balanced(Ports);

struct BalancedSessions<'a>(&'a Ports, &'a Binding, Box<dyn Sessions + 'a>);

impl Databases for Balanced {
    fn sessions<'a>(&'a self, binding: &'a Binding) -> Box<dyn Sessions + 'a> {
        Box::new(BalancedSessions(&self.0, binding, self.0.sessions(binding)))
    }
}

impl Sessions for BalancedSessions<'_> {
    fn ask<'a>(&'a self, _address: IpAddr, name: &'a str) -> BoxFuture<'a, Result<Voice, Failure>> {
        Box::pin(async move {
            let BalancedSessions(ports, binding, sessions) = self;
            let is_it = |known: &Binding| known.target_group == binding.target_group;
            let number = ports.scenario().config.bindings.iter().position(is_it).expect("a binding of this world");
            let target: Target = *ports.world().members(number).first().ok_or_else(silence)?;
            sessions.ask(target.address, name).await
        })
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        self.2.close()
    }
}

#[test]
fn asking_through_the_load_balancer_is_caught() {
    assert_breaks(Kind::Writer, 300, Invariant::EventuallyStable, 8, |ports| asking(&ports, Balanced(ports.clone())));
}

/// An RDS API that is asked and not heard.
struct Unheard(Ports);

impl Topology for Unheard {
    async fn members(&self, cluster: &str) -> Result<Vec<ClusterMember>, AwsError> {
        self.0.members(cluster).await?;
        Err(AwsError::incomplete("rds:DescribeDBClusters", cluster, "not heard"))
    }
}

#[test]
fn hearing_nobody_but_a_database_that_takes_writes_is_caught() {
    assert_breaks(Kind::BlueTakesWrites, 300, Invariant::RdsApiIsHeard, 10, |ports| {
        Loop::asking(&ports, ports.clone(), ports.clone(), Unheard(ports.clone()), ports.clone(), ports.clone())
    });
}
