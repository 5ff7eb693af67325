//! failover-sync with one rule broken at a time: the simulation must notice each.
//!
//! The breakage is around the ports, in the configuration, or in place of the loop, never in it.

mod faults;
mod kinds;
mod path;
mod role_probe;
mod wrappers;
mod writer;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock};

use failover_sync::ports::RoleProbe;
use serde_json::Value;
use simulation::campaign::{self, Outcome};
use simulation::check::Invariant;
use simulation::deliveries::Delivery;
use simulation::kinds::Kind;
use simulation::lambda::Process;
use simulation::ports::Ports;
use simulation::strategy::{Loop, Strategy};
use simulation::world::World;

/// A broken variant: how a process of it is made, and what it is invoked with.
struct Broken {
    process: fn(Ports) -> Arc<dyn Process>,
    receive: fn(&Delivery, &World) -> Arc<Value>,
}

impl Strategy for Broken {
    fn name(&self) -> &'static str {
        "broken"
    }

    fn process(&self, ports: Ports) -> Arc<dyn Process> {
        (self.process)(ports)
    }

    fn is_checked(&self) -> bool {
        true
    }

    fn receive(&self, delivery: &Delivery, world: &World) -> Arc<Value> {
        (self.receive)(delivery, world)
    }
}

fn sound(ports: Ports) -> Arc<dyn Process> {
    Loop::new(&ports, ports.clone(), ports.clone(), ports.clone(), ports.clone())
}

fn probing(ports: &Ports, databases: impl RoleProbe) -> Arc<dyn Process> {
    Loop::probing(ports, ports.clone(), ports.clone(), ports.clone(), ports.clone(), databases)
}

fn as_sent(delivery: &Delivery, _world: &World) -> Arc<Value> {
    Arc::clone(&delivery.payload)
}

fn outcome_in(
    kind: Kind,
    changes: usize,
    process: fn(Ports) -> Arc<dyn Process>,
    receive: fn(&Delivery, &World) -> Arc<Value>,
) -> Outcome {
    campaign::run(kind, &[Arc::new(Broken { process, receive })], changes, 2_000, |_| ())
}

/// The function as it is, over so many changes of a kind: what its variants are compared with.
fn whole_in(kind: Kind, changes: usize, probes_roles: bool) -> Arc<Outcome> {
    type Once = Arc<OnceLock<Arc<Outcome>>>;
    static KNOWN: Mutex<BTreeMap<(Kind, usize, bool), Once>> = Mutex::new(BTreeMap::new());
    let known = Arc::clone(
        KNOWN.lock().expect("not poisoned").entry((kind, changes, probes_roles)).or_default(),
    );
    let process: fn(Ports) -> _ =
        if probes_roles { |ports| probing(&ports, ports.clone()) } else { sound };
    Arc::clone(known.get_or_init(|| Arc::new(outcome_in(kind, changes, process, as_sent))))
}

fn count(outcome: &Outcome, invariant: Invariant) -> usize {
    outcome.violations.iter().filter(|violation| violation.invariant == invariant).count()
}
