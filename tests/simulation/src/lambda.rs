//! Lambda: warm processes, invocations that overlap, retries, the time limit, and the schedule.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use reconcile::binding;
use reconcile::target::Target;
use serde_json::Value;
use tokio::time::{Instant, sleep, sleep_until};

use crate::check::path::PathClaim;
use crate::check::{Invariant, Violation};
use crate::database::Host;
use crate::deliveries::{Delivery, Path};
use crate::dice::{Moment, SECOND, Topic, chance};
use crate::distributions as d;
use crate::measure::Measures;
use crate::payload::scheduled;
use crate::ports::Ports;
use crate::scenario::{PORT, Scenario};
use crate::strategy::{Events, Strategy};
use crate::subject::list;
use crate::trace;
use crate::world::World;

/// A process: one warm copy of a function.
pub trait Process: Send + Sync {
    /// Serves one invocation.
    fn invoke(self: Arc<Self>, payload: Arc<Value>, deadline: Instant) -> Invocation;
}

/// An invocation under way.
pub type Invocation = Pin<Box<dyn Future<Output = Ending> + Send>>;

/// How an invocation ended.
#[derive(Clone, Debug)]
pub struct Ending {
    /// Of each binding that did not fail: its number, and whether its group is right.
    pub claims: Vec<(usize, Done)>,
    /// Its error, for which Lambda tries it again.
    pub error: Option<String>,
    /// What it says of the path, if it asked.
    pub path: Option<PathClaim>,
}

impl Ending {
    /// Of an invocation that says nothing of the path.
    pub fn new(claims: Vec<(usize, Done)>, error: Option<String>) -> Ending {
        Ending { claims, error, path: None }
    }
}

/// What an invocation says of a binding without an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Done {
    /// The group is right.
    InSync,
    /// The group is not right, or was not judged, and the function says so.
    NotInSync,
}

/// What became of a strategy in a world.
pub struct Life {
    /// The numbers.
    pub measures: Measures,
    /// The invariants that did not hold.
    pub violations: Vec<Violation>,
    /// What happened, if that was asked for.
    pub trace: Vec<(Moment, String)>,
}

/// The function keeps this back from its time limit for its own error.
const MARGIN: Moment = SECOND;

/// A scheduled run takes 45 s at most; two and a little more must be enough in the end.
const TWO_RUNS: Moment = 2 * d::SCHEDULE + 50 * SECOND;

/// A world in which invocations do not come to their end ends so long after it should have.
const PATIENCE: Moment = 3_600 * SECOND;

/// Lets a strategy live in a world.
pub fn live(scenario: &Arc<Scenario>, strategy: &Arc<dyn Strategy>, is_traced: bool) -> Life {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.expect("a runtime without I/O").block_on(async {
        let world = World::new(Arc::clone(scenario), &**strategy, is_traced);
        trace::follow(is_traced.then_some(&world));
        let end = scenario.end();
        let lambda = Arc::new(Lambda {
            world: Arc::clone(&world),
            strategy: Arc::clone(strategy),
            scheduled: Arc::new(scheduled()),
            state: Mutex::default(),
        });
        lambda.serve(end).await;
        let trace = if is_traced { world.trace() } else { Vec::new() };
        let mut state = world.state();
        let measures = Measures::of(scenario, &state, end);
        Life { measures, violations: std::mem::take(&mut state.violations), trace }
    })
}

struct Lambda {
    world: Arc<World>,
    strategy: Arc<dyn Strategy>,
    scheduled: Arc<Value>,
    state: Mutex<Fleet>,
}

#[derive(Default)]
struct Fleet {
    idle: Vec<(Ports, Arc<dyn Process>)>,
    processes: usize,
    invocations: u64,
    /// Events whose invocation, retries included, has not come to its end.
    pending: usize,
}

impl Lambda {
    fn fleet(&self) -> MutexGuard<'_, Fleet> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Delivers every message and keeps the schedule to the end; then judges the group.
    async fn serve(self: &Arc<Self>, end: Moment) {
        let scenario = Arc::clone(&self.world.scenario);
        let mut deliveries =
            scenario.deliveries.iter().filter(|delivery| self.receives(delivery)).peekable();
        let mut tick = scenario.first_tick;
        let mut judged_at = None;
        loop {
            let now = self.world.now();
            if judged_at.is_none()
                && now >= end
                && (self.fleet().pending == 0 || now >= end + PATIENCE)
            {
                judged_at = Some(self.world.state().drained().max(now) + TWO_RUNS);
            }
            if judged_at.is_some_and(|judged_at| now >= judged_at || !self.strategy.is_checked()) {
                break;
            }
            let next_tick = if self.strategy.schedule().is_some() { tick } else { Moment::MAX };
            match deliveries.next_if(|delivery| delivery.at <= next_tick) {
                Some(delivery) => {
                    sleep_until(self.world.instant(delivery.at)).await;
                    self.world.note(format_args!(
                        "{:<9} delivers: {}",
                        format!("{:?}", delivery.path),
                        delivery.text
                    ));
                    let payload = self.strategy.receive(delivery, &self.world);
                    self.fleet().pending += 1;
                    tokio::spawn(Arc::clone(self).with_retries(payload, delivery.names, true));
                }
                None => {
                    sleep_until(self.world.instant(tick)).await;
                    if self.strategy.schedule().is_some() {
                        tokio::spawn(Arc::clone(self).with_retries(
                            Arc::clone(&self.scheduled),
                            None,
                            false,
                        ));
                    }
                    tick += self.strategy.schedule().unwrap_or(d::SCHEDULE);
                }
            }
        }
        if self.strategy.is_checked() {
            self.judge().await;
        }
    }

    fn receives(&self, delivery: &Delivery) -> bool {
        match self.strategy.events() {
            Events::All => true,
            Events::Sns => delivery.path == Path::Sns,
            Events::SnsFailover => delivery.path == Path::Sns && delivery.is_failover,
            Events::None => false,
        }
    }

    /// Each group is as it should be if the sources agree, and two more runs write nothing; but for
    /// bindings in trouble.
    async fn judge(self: &Arc<Self>) {
        let scenario = &self.world.scenario;
        let sound: Vec<usize> = scenario.sound().collect();
        sound.iter().for_each(|binding| self.judge_members(*binding));
        let _ = self.once(Arc::clone(&self.scheduled), None).await;
        // What a custom endpoint has lacked for long leaves when its time has come.
        let is_counted =
            |binding: &&usize| scenario.config.bindings[**binding].kind != binding::Kind::Custom;
        let writes = || {
            sound
                .iter()
                .filter(is_counted)
                .map(|binding| self.world.state().kept[*binding].writes)
                .sum::<u32>()
        };
        let before = writes();
        let ending = self.once(Arc::clone(&self.scheduled), None).await;
        // Of databases that disagree for good, one may be silent in one run alone.
        if writes() != before && !scenario.faults.is_disputed() {
            self.world.violate(Invariant::Idempotent, "a run right after another one wrote");
        }
        let claims = ending.map(|ending| ending.claims).unwrap_or_default();
        sound.iter().for_each(|binding| self.judge_claim(*binding, &claims));
    }

    /// Others in trouble do not keep the last run from calling a binding right. Where DNS is stuck,
    /// the group may be wrong, and that run has to say that it waits.
    fn judge_claim(&self, binding: usize, claims: &[(usize, Done)]) {
        let scenario = &self.world.scenario;
        let name = &scenario.config.bindings[binding].name;
        if scenario.is_troubled() && !claims.contains(&(binding, Done::InSync)) {
            let text = format_args!(
                "nothing is wrong with {name} and the last run does not say that it is right"
            );
            self.world.violate(Invariant::OthersUndisturbed, text);
        }
        let is_wrong = scenario.database.is_stuck() && !self.world.is_right(binding);
        if is_wrong && !claims.contains(&(binding, Done::NotInSync)) {
            let text = format_args!(
                "{name} is wrong in the end and the last run does not say that it waits"
            );
            self.world.violate(Invariant::RdsApiCounts, text);
        }
    }

    fn judge_members(&self, binding: usize) {
        let scenario = &self.world.scenario;
        if self.world.is_right(binding) || scenario.is_disputed() {
            return;
        }
        let (wanted, members) =
            (scenario.subjects[binding].wanted(self.world.now()), self.world.members(binding));
        let has_writer = members.contains(&Target {
            address: scenario.database.writer_address(self.world.now()),
            port: PORT,
        });
        let invariant = match scenario.config.bindings[binding].kind {
            binding::Kind::Readers if has_writer => Invariant::WriterIsNoReader,
            _ if scenario.is_troubled() => Invariant::OthersUndisturbed,
            _ => Invariant::EventuallyStable,
        };
        let members: Vec<String> = members.iter().map(Target::to_string).collect();
        let text =
            format!("{} should be members and [{}] are", list(&wanted.needed), members.join(", "));
        self.world.violate(invariant, text);
    }

    /// An asynchronous invocation: what fails or is killed is tried again.
    async fn with_retries(
        self: Arc<Self>,
        payload: Arc<Value>,
        names: Option<(Host, Moment)>,
        is_event: bool,
    ) {
        let mut waits = d::RETRIES.into_iter().take(self.strategy.retries());
        while self
            .once(Arc::clone(&payload), names)
            .await
            .is_none_or(|ending| ending.error.is_some())
        {
            let Some(wait) = waits.next() else { break };
            sleep(Duration::from_millis(wait)).await;
        }
        self.fleet().pending -= usize::from(is_event);
    }

    /// One attempt in an idle process, or in a new one. A process that was killed tells nothing.
    async fn once(&self, payload: Arc<Value>, names: Option<(Host, Moment)>) -> Option<Ending> {
        let (invocation, process, is_cold) = self.take_process();
        let (ports, process) = process;
        if is_cold {
            let wait =
                d::cold_start(&mut self.world.scenario.dice().of(Topic::Death, [invocation, 2, 0]));
            sleep(Duration::from_millis(wait)).await;
        }
        ports.begin(invocation, names);
        let begin = self.world.now();
        let deadline = self.world.instant(begin + d::FUNCTION_TIMEOUT - MARGIN);
        let ending = tokio::select! {
            biased;
            () = ports.killed() => return None,
            ending = Arc::clone(&process).invoke(payload, deadline) => ending,
            () = sleep_until(self.world.instant(begin + d::FUNCTION_TIMEOUT)) => {
                ports.kill();
                let process = ports.number();
                self.world.note(format_args!(
                    "p{process:<3} i{invocation:<4} killed at the time limit"
                ));
                return None;
            }
        };
        let claims = ending.claims.iter();
        claims.clone().for_each(|(binding, done)| {
            let name = &self.world.scenario.config.bindings[*binding].name;
            self.world.note(format_args!(
                "p{:<3} i{invocation:<4} ends: {name} {done:?}",
                ports.number()
            ));
        });
        if let Some(path) = &ending.path {
            self.world.note(format_args!("p{:<3} i{invocation:<4} says {path:?}", ports.number()));
        }
        if let Some(error) = &ending.error {
            self.world.note(format_args!("p{:<3} i{invocation:<4} fails: {error}", ports.number()));
        }
        if self.strategy.is_checked() {
            claims.for_each(|(binding, done)| ports.examine_claim(*binding, *done == Done::InSync));
            ending.path.iter().for_each(|path| ports.examine_path(path));
        }
        self.fleet().idle.push((ports, process));
        Some(ending)
    }

    fn take_process(&self) -> (u64, (Ports, Arc<dyn Process>), bool) {
        let mut fleet = self.fleet();
        let invocation = fleet.invocations;
        fleet.invocations += 1;
        let mut idle = fleet.idle.pop();
        if chance(&mut self.world.scenario.dice().of(Topic::Death, [invocation, 1, 0]), d::RECYCLED)
        {
            idle = None;
        }
        let is_cold = idle.is_none();
        let process = idle.unwrap_or_else(|| {
            let ports = Ports::new(Arc::clone(&self.world), fleet.processes);
            fleet.processes += 1;
            (ports.clone(), self.strategy.process(ports))
        });
        (invocation, process, is_cold)
    }
}
