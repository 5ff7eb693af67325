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
use simulation::campaign::{self, Outcome, run_world, world_seed};
use simulation::check::Invariant;
use simulation::deliveries::Delivery;
use simulation::kinds::Kind;
use simulation::lambda::Process;
use simulation::ports::Ports;
use simulation::scenario::CHANGES;
use simulation::strategy::{Loop, Strategy};
use simulation::world::World;

/// The seed of the campaign that each variant lives through.
const SEED: u64 = 2_000;

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
    campaign::run(kind, &[Arc::new(Broken { process, receive })], changes, SEED, |_| ())
}

/// The function as it is, over so many changes of a kind: what its variants are compared with.
fn whole_in(kind: Kind, changes: usize, probes_roles: bool) -> Arc<Outcome> {
    type Once = Arc<OnceLock<Arc<Outcome>>>;
    static KNOWN: Mutex<BTreeMap<(Kind, usize, bool), Once>> = Mutex::new(BTreeMap::new());
    let known = Arc::clone(
        KNOWN.lock().expect("not poisoned").entry((kind, changes, probes_roles)).or_default(),
    );
    let process = whole(probes_roles);
    Arc::clone(known.get_or_init(|| Arc::new(outcome_in(kind, changes, process, as_sent))))
}

fn whole(probes_roles: bool) -> fn(Ports) -> Arc<dyn Process> {
    if probes_roles { |ports| probing(&ports, ports.clone()) } else { sound }
}

/// Asserts that within so many changes of a kind the variant breaks the invariant so often, and
/// the function as it is never does in the same worlds. Of these there are as many as it takes.
fn assert_breaks(
    kind: Kind,
    changes: usize,
    (invariant, at_least): (Invariant, usize),
    probes_roles: bool,
    process: fn(Ports) -> Arc<dyn Process>,
) {
    let [variant, whole] = [process, whole(probes_roles)]
        .map(|process| -> Arc<dyn Strategy> { Arc::new(Broken { process, receive: as_sent }) });
    let broken_in =
        |strategy, seed| count(&run_world(kind, &[Arc::clone(strategy)], seed), invariant);
    let (mut broken, mut by_whole) = (0, 0);
    for number in 0..changes.div_ceil(CHANGES) {
        let seed = world_seed(SEED, number);
        broken += broken_in(&variant, seed);
        by_whole += broken_in(&whole, seed);
        if broken >= at_least {
            break;
        }
    }
    assert!(
        broken >= at_least && by_whole == 0,
        "invariant {invariant}: {broken} times, {by_whole} with the rule"
    );
}

fn count(outcome: &Outcome, invariant: Invariant) -> usize {
    outcome.violations.iter().filter(|violation| violation.invariant == invariant).count()
}
