//! Many worlds, every strategy in each of them.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use crate::baselines;
use crate::check::Violation;
use crate::kinds::Kind;
use crate::lambda::live;
use crate::measure::Measures;
use crate::scenario::{CHANGES, Scenario};
use crate::strategy::{Ours, ScheduleOnly, Strategy, WithRoleProbe};

/// The seeds of two campaigns are this far apart.
const SEEDS: u64 = 10_000_000;

/// Our strategies and the baselines, ours first.
pub fn strategies() -> Vec<Arc<dyn Strategy>> {
    let mut strategies: Vec<Arc<dyn Strategy>> =
        vec![Arc::new(Ours), Arc::new(WithRoleProbe), Arc::new(ScheduleOnly)];
    strategies.extend(baselines::all());
    strategies
}

/// The strategies in the worlds of a kind. Rivals know one writer, and the role probe is for one.
pub fn strategies_in(kind: Kind) -> Vec<Arc<dyn Strategy>> {
    match kind {
        Kind::Writer => strategies(),
        _ if kind.has_path() => vec![Arc::new(WithRoleProbe)],
        _ if kind.can_probe_role() => vec![Arc::new(Ours), Arc::new(WithRoleProbe)],
        _ => vec![Arc::new(Ours)],
    }
}

/// What became of the strategies.
#[derive(Default)]
pub struct Outcome {
    /// Each strategy with its numbers, in order.
    pub strategies: Vec<(&'static str, Measures)>,
    /// What our strategies did in each of the other kinds of worlds.
    pub kinds: Vec<(Kind, &'static str, Measures)>,
    /// The invariants that did not hold.
    pub violations: Vec<Violation>,
    /// The worlds in which one of ours went the wrong way, and the witnesses were not outvoted.
    pub misled: Vec<(Kind, u64, &'static str)>,
}

impl Outcome {
    /// Adds what became of strategies in the worlds of a kind.
    pub fn add(&mut self, kind: Kind, outcome: Outcome) {
        if kind == Kind::Writer {
            self.strategies.extend(outcome.strategies);
        } else {
            self.kinds.extend(
                outcome.strategies.into_iter().map(|(name, measures)| (kind, name, measures)),
            );
        }
        self.violations.extend(outcome.violations);
        self.misled.extend(outcome.misled);
    }

    /// How many invariants did not hold for a strategy in the worlds of a kind.
    pub fn violations_in(&self, kind: Kind, strategy: &str) -> usize {
        let is_its =
            |violation: &&Violation| violation.kind == kind && violation.strategy == strategy;
        self.violations.iter().filter(is_its).count()
    }
}

/// Besides the first strategy, the others live in this part of the worlds only.
const OTHERS: usize = 20;

/// Each of the kinds that came later gets this part of the failovers besides.
const LATER: usize = 50;

/// How many of so many failovers the worlds of each kind get: half of them those that the rivals
/// know too. In some a change takes longer, as what is broken or waited for is tried again.
pub fn shares(failovers: usize) -> Vec<(Kind, usize)> {
    let parts = |kind| match kind {
        Kind::Several => 1,
        Kind::StuckDns => 10,
        _ => 20,
    };
    let total: usize = Kind::OURS.into_iter().map(parts).sum();
    let others = Kind::OURS.into_iter().map(|kind| (kind, failovers / 2 * parts(kind) / total));
    let later = Kind::LATER.into_iter().map(|kind| (kind, failovers / LATER));
    [(Kind::Writer, failovers / 2)].into_iter().chain(others).chain(later).collect()
}

/// Lets the loop live in the worlds of these kinds, and the others in a part of them.
pub fn run_kinds(shares: &[(Kind, usize)], seed: u64, progress: impl Fn(usize) + Sync) -> Outcome {
    let (mut total, mut done) = (Outcome::default(), 0);
    for (kind, changes) in shares {
        let strategies = strategies_in(*kind);
        let (ours, others) = strategies.split_at(1);
        let lives = [(ours, *changes), (others, changes / part_of_others(*kind))];
        for (strategies, changes) in
            lives.into_iter().filter(|(strategies, _)| !strategies.is_empty())
        {
            total.add(
                *kind,
                run(*kind, strategies, changes, seed, |part| {
                    progress(done + part * strategies.len())
                }),
            );
            done += changes * strategies.len();
        }
    }
    total
}

/// How many lives [`run_kinds`] goes through, counted in changes.
pub fn lives(shares: &[(Kind, usize)]) -> usize {
    let others = |kind, changes| changes / part_of_others(kind) * (strategies_in(kind).len() - 1);
    shares.iter().map(|(kind, changes)| changes + others(*kind, *changes)).sum()
}

/// With the role probe, what a source does wrong is another thing.
fn part_of_others(kind: Kind) -> usize {
    if Kind::LATER.contains(&kind) { 1 } else { OTHERS }
}

/// The world's seed in a campaign.
pub fn world_seed(campaign: u64, number: usize) -> u64 {
    campaign * SEEDS + number as u64
}

/// Lets every strategy live in as many worlds as needed. Only kind and seed decide the outcome.
pub fn run(
    kind: Kind,
    strategies: &[Arc<dyn Strategy>],
    changes: usize,
    seed: u64,
    progress: impl Fn(usize) + Sync,
) -> Outcome {
    let worlds = changes.div_ceil(CHANGES);
    let next = AtomicUsize::new(0);
    let results = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= worlds {
                        break;
                    }
                    let outcome = run_world(kind, strategies, world_seed(seed, number));
                    results.lock().unwrap_or_else(PoisonError::into_inner).push((number, outcome));
                    progress((number + 1) * CHANGES);
                }
            });
        }
    });
    let mut results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
    // The sums must not depend on which thread was first.
    results.sort_by_key(|(number, _)| *number);
    let mut total = Outcome {
        strategies: strategies
            .iter()
            .map(|strategy| (strategy.name(), Measures::default()))
            .collect(),
        ..Outcome::default()
    };
    for (_, outcome) in results {
        for ((_, sum), (_, part)) in total.strategies.iter_mut().zip(outcome.strategies) {
            sum.add(part);
        }
        total.violations.extend(outcome.violations);
        total.misled.extend(outcome.misled);
    }
    total
}

/// One world.
pub fn run_world(kind: Kind, strategies: &[Arc<dyn Strategy>], seed: u64) -> Outcome {
    let scenario = Scenario::new(kind, seed);
    let mut outcome = Outcome::default();
    for strategy in strategies {
        let life = live(&scenario, strategy, false);
        if strategy.is_checked() && life.measures.wrong_ways_despite_witnesses > 0 {
            outcome.misled.push((kind, seed, strategy.name()));
        }
        if strategy.is_checked() {
            outcome.violations.extend(life.violations);
        }
        outcome.strategies.push((strategy.name(), life.measures));
    }
    outcome
}
