//! What the function knows about asking through the load balancer.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};

use base::report::Failure;
use failover_sync::ports::{BoxFuture, ProbeSessions, RoleProbe};
use reconcile::binding::Binding;
use reconcile::claim::Role;
use reconcile::path::{Server, Session};
use simulation::check::Invariant;
use simulation::kinds::Kind;
use simulation::lambda::Process;
use simulation::ports::Ports;
use simulation::scenario::PORT;

use crate::{assert_breaks, probing};

/// So many changes show each breakage.
const CHANGES: usize = 200;

fn assert_calls_up(at_least: usize, process: fn(Ports) -> Arc<dyn Process>) {
    assert_breaks(Kind::Path, CHANGES, (Invariant::PathIsUp, at_least), true, process);
}

/// Takes every server that takes writes for the registered one.
struct AnyWriter(Ports);

struct AnyWriterSessions<'a>(Box<dyn ProbeSessions + 'a>);

impl RoleProbe for AnyWriter {
    fn sessions<'a>(&'a self, binding: &'a Binding) -> Box<dyn ProbeSessions + 'a> {
        Box::new(AnyWriterSessions(self.0.sessions(binding)))
    }
}

impl ProbeSessions for AnyWriterSessions<'_> {
    fn probe<'a>(&'a self, address: IpAddr, name: &'a str) -> BoxFuture<'a, Result<Role, Failure>> {
        self.0.probe(address, name)
    }

    fn ask_anew<'a>(&'a self, server: SocketAddr, name: &'a str) -> BoxFuture<'a, Session> {
        Box::pin(async move {
            let said = self.0.ask_anew(server, name).await?;
            Ok(Server { identity: "a server".to_owned(), ..said })
        })
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        self.0.close()
    }
}

#[test]
fn taking_the_first_that_takes_writes_for_the_registered_writer_is_caught() {
    assert_calls_up(3, |ports| probing(&ports, AnyWriter(ports.clone())));
}

/// Keeps each session: it stays on its target as long as that answers.
struct Keeping(Ports, Mutex<BTreeMap<SocketAddr, SocketAddr>>);

struct KeptSessions<'a>(&'a Keeping, Box<dyn ProbeSessions + 'a>);

impl RoleProbe for Keeping {
    fn sessions<'a>(&'a self, binding: &'a Binding) -> Box<dyn ProbeSessions + 'a> {
        Box::new(KeptSessions(self, self.0.sessions(binding)))
    }
}

impl ProbeSessions for KeptSessions<'_> {
    fn probe<'a>(&'a self, address: IpAddr, name: &'a str) -> BoxFuture<'a, Result<Role, Failure>> {
        self.1.probe(address, name)
    }

    fn ask_anew<'a>(&'a self, server: SocketAddr, name: &'a str) -> BoxFuture<'a, Session> {
        Box::pin(async move {
            let KeptSessions(Keeping(_, kept), sessions) = self;
            let target = kept.lock().expect("not poisoned").get(&server).copied();
            if let Some(target) = target
                && let Ok(said) = sessions.ask_anew(target, name).await
            {
                return Ok(said);
            }
            let said = sessions.ask_anew(server, name).await;
            // An identity begins with the address.
            let address = |said: &Server| said.identity.split(',').next()?.parse().ok();
            let target = said.as_ref().ok().and_then(address);
            let mut kept = kept.lock().expect("not poisoned");
            match target {
                Some(target) => kept.insert(server, SocketAddr::new(target, PORT)),
                None => kept.remove(&server),
            };
            said
        })
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        self.1.close()
    }
}

#[test]
fn keeping_a_session_is_caught() {
    assert_calls_up(10, |ports| probing(&ports, Keeping(ports.clone(), Mutex::default())));
}
