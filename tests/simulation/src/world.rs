//! A world while a strategy lives in it.

use std::fmt::{self, Display};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use reconcile::target::Target;
use tokio::time::Instant;

use crate::check::{Invariant, Violation};
use crate::dice::Moment;
use crate::group::Group;
use crate::measure::PathMeasures;
use crate::scenario::{PORT, Scenario};
use crate::strategy::Strategy;

/// A world with a strategy in it.
pub struct World {
    /// What happens in it.
    pub scenario: Arc<Scenario>,
    /// The name of the strategy.
    strategy: &'static str,
    start: Instant,
    state: Mutex<State>,
}

/// What the strategy did so far.
pub struct State {
    /// What it did for each binding, in the order of the configuration.
    pub kept: Vec<Kept>,
    /// What was found wrong.
    pub violations: Vec<Violation>,
    /// What was asked and said of the path.
    pub path: PathMeasures,
    pub(crate) trace: Option<Vec<(Moment, String)>>,
}

/// What the strategy did for one binding.
pub struct Kept {
    /// The target group.
    pub group: Group,
    /// Write calls that reached ELBv2.
    pub writes: u32,
    /// The switches to an address that was not the writer.
    pub wrong_ways: Vec<WrongWay>,
    /// Each switch to the writer.
    pub switches: Vec<Switch>,
    /// Every address that a witness named so far.
    named: Vec<IpAddr>,
}

/// A switch to another than the writer, and how many readable witnesses said what.
#[derive(Clone, Debug)]
pub struct WrongWay {
    /// When.
    pub at: Moment,
    /// So many named the writer.
    pub honest: usize,
    /// So many named something else.
    pub misleading: usize,
    /// Whether a database that was not the writer said that it takes writes, long after the move.
    pub is_by_role: bool,
}

impl WrongWay {
    /// Whether at least as many witnesses were honest as misleading. No rule that lets two outvote
    /// a third is right when the two mislead, nor one that believes a database that does not know
    /// itself.
    pub fn is_despite_witnesses(&self) -> bool {
        !self.is_by_role && self.honest > 0 && self.honest >= self.misleading
    }
}

impl fmt::Display for WrongWay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} readable witnesses were honest and {} were not", self.honest, self.misleading)
    }
}

/// A registration that made an address a member, or a deregistration that left it alone.
#[derive(Clone, Debug)]
pub struct Switch {
    /// When.
    pub at: Moment,
    /// The resolver of the process that did it.
    pub resolver: usize,
}

impl World {
    /// A world that begins now, with this strategy in it.
    pub fn new(scenario: Arc<Scenario>, strategy: &dyn Strategy, is_traced: bool) -> Arc<World> {
        let delay = strategy.deregistration_delay();
        let kept = scenario.subjects.iter().map(|subject| {
            let first =
                subject.wanted(0).needed.into_iter().map(|address| Target { address, port: PORT });
            let mut members: Vec<Target> = first.collect();
            members.extend(scenario.leftover_port.map(|port| Target { port, ..members[0] }));
            let (wrong_ways, switches, named) = (Vec::new(), Vec::new(), Vec::new());
            Kept { group: Group::new(&members, delay), writes: 0, wrong_ways, switches, named }
        });
        let trace = is_traced.then(|| scenario.story());
        let (violations, path) = (Vec::new(), PathMeasures::default());
        let state = State { kept: kept.collect(), violations, path, trace };
        Arc::new(World {
            scenario,
            strategy: strategy.name(),
            start: Instant::now(),
            state: Mutex::new(state),
        })
    }

    /// Milliseconds since the world began.
    pub fn now(&self) -> Moment {
        self.start.elapsed().as_millis() as Moment
    }

    /// The instant of a moment.
    pub fn instant(&self, moment: Moment) -> Instant {
        self.start + Duration::from_millis(moment)
    }

    /// What the strategy did so far.
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a line to the trace, if there is one.
    pub fn note(&self, line: impl Display) {
        let now = self.now();
        if let Some(trace) = &mut self.state().trace {
            trace.push((now, line.to_string()));
        }
    }

    /// Notes that an invariant does not hold.
    pub fn violate(&self, invariant: Invariant, text: impl Display) {
        self.note(format_args!("VIOLATION {invariant}: {text}"));
        let Scenario { kind, seed, .. } = *self.scenario;
        let (strategy, at, text) = (self.strategy, self.now(), text.to_string());
        let violation = Violation { kind, seed, strategy, at, invariant, text };
        self.state().violations.push(violation);
    }

    /// The members of a binding's group now.
    pub fn members(&self, binding: usize) -> Vec<Target> {
        self.state().kept[binding].group.members().collect()
    }

    /// Whether the binding's group is what it should be now.
    pub fn is_right(&self, binding: usize) -> bool {
        self.scenario.subjects[binding].wanted(self.now()).is_met_by(&self.members(binding))
    }

    /// The trace in order.
    pub fn trace(&self) -> Vec<(Moment, String)> {
        let mut trace = self.state().trace.clone().unwrap_or_default();
        trace.sort_by_key(|(at, _)| *at);
        trace
    }
}

impl State {
    /// When the last target that drains in any group has drained.
    pub fn drained(&self) -> Moment {
        self.kept.iter().map(|kept| kept.group.drained()).max().unwrap_or(0)
    }
}

impl Kept {
    /// A witness named the address.
    pub(crate) fn name(&mut self, address: IpAddr) {
        if !self.is_named(address) {
            self.named.push(address);
        }
    }

    /// Whether any witness named the address so far.
    pub fn is_named(&self, address: IpAddr) -> bool {
        self.named.contains(&address)
    }
}
