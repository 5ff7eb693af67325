//! `simulate`: lets failover-sync and its rivals live through many failovers, or replays one world.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use anyhow::Context;
use clap::Parser;
use simulation::campaign::{self, Outcome, strategies};
use simulation::check::Violation;
use simulation::kinds::Kind;
use simulation::lambda::live;
use simulation::scenario::Scenario;
use simulation::strategy::{Ours, Strategy};

/// Simulates failovers and compares strategies in the same worlds.
#[derive(Parser)]
struct Arguments {
    /// How many failovers.
    #[arg(long, default_value_t = 100_000)]
    failovers: usize,
    /// The seed of the campaign.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Replay the world with this seed and print what each witness said and each call.
    #[arg(long, value_name = "SEED")]
    world: Option<u64>,
    /// Only worlds of this kind; with --world, its kind (default: writer).
    #[arg(long, value_enum)]
    kind: Option<Kind>,
    /// Only this strategy; with --world, the one to follow (default: failover-sync).
    #[arg(long)]
    strategy: Option<String>,
}

fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    let strategy = arguments.strategy.as_deref().map(named).transpose()?;
    let kind = arguments.kind;
    match (arguments.world, strategy) {
        (Some(seed), strategy) => {
            replay(kind.unwrap_or(Kind::Writer), seed, &strategy.unwrap_or_else(|| Arc::new(Ours)))
        }
        (None, strategy) => simulate(kind, strategy, arguments.failovers, arguments.seed),
    }
}

fn simulate(
    only: Option<Kind>,
    strategy: Option<Arc<dyn Strategy>>,
    failovers: usize,
    seed: u64,
) -> anyhow::Result<ExitCode> {
    let start = Instant::now();
    let twentieths = AtomicUsize::new(0);
    let is_terminal = io::stderr().is_terminal();
    let shares: Vec<(Kind, usize)> = match only {
        Some(kind) => vec![(kind, failovers)],
        None => campaign::shares(failovers),
    };
    let total = if strategy.is_some() { failovers } else { campaign::lives(&shares) };
    let progress = |done: usize| {
        let twentieth = done * 20 / total.max(1);
        if is_terminal && twentieths.fetch_max(twentieth, Ordering::Relaxed) < twentieth {
            let _ = write!(io::stderr(), "\r{:>3} %", twentieth.min(20) * 5);
        }
    };
    let outcome = match strategy {
        None => campaign::run_kinds(&shares, seed, progress),
        Some(strategy) => {
            let mut outcome = Outcome::default();
            for (kind, changes) in &shares {
                outcome.add(
                    *kind,
                    campaign::run(*kind, &[Arc::clone(&strategy)], *changes, seed, progress),
                );
            }
            outcome
        }
    };
    let mut out = io::stdout().lock();
    if is_terminal {
        writeln!(io::stderr(), "\r{:40}\r", "")?;
    }
    let seconds = start.elapsed().as_secs_f64();
    let shares: Vec<String> =
        shares.iter().map(|(kind, changes)| format!("{kind} {changes}")).collect();
    writeln!(out, "changes: {}; seed {seed}, {seconds:.0} s\n\n{outcome}", shares.join(", "))?;
    explain(&outcome, &mut out)?;
    let path = target().join("simulation/report.json");
    fs::create_dir_all(path.parent().unwrap_or(&path))?;
    fs::write(&path, format!("{:#}\n", outcome.json(failovers, seed)))
        .context("writing the report")?;
    writeln!(out, "report: {}", path.display())?;
    Ok(if outcome.missed().is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What was promised and not kept, with the commands that show it.
fn explain(outcome: &Outcome, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "invariant violations: {}", outcome.violations.len())?;
    if let Some(ours) = outcome.of(&Ours) {
        writeln!(
            out,
            "from the second honest witness to the switch: p50 {:.1} s; wrong-way switches \
             although the honest witnesses were not outvoted: {}, with any honest witness: {}",
            ours.promptness(50.0),
            ours.wrong_ways_despite_witnesses,
            ours.wrong_ways_with_honest_witness
        )?;
    }
    for missed in outcome.missed() {
        writeln!(out, "MISSED: {missed}")?;
    }
    let mut counts = BTreeMap::new();
    outcome
        .violations
        .iter()
        .for_each(|violation| *counts.entry(violation.invariant).or_insert(0_usize) += 1);
    for (invariant, count) in counts {
        writeln!(out, "{count} violations of invariant {invariant}")?;
    }
    for violation in outcome.violations.iter().take(10) {
        let Violation { seed, kind, strategy, .. } = violation;
        let command = format!(
            "cargo run -p simulation -- --world {seed} --kind {kind} --strategy {strategy}"
        );
        writeln!(out, "{violation}\n  replay: {command}")?;
    }
    for (kind, seed, name) in outcome.misled.iter().take(10) {
        let command =
            format!("cargo run -p simulation -- --world {seed} --kind {kind} --strategy {name}");
        writeln!(out, "{name} was misled in {kind} world {seed}\n  replay: {command}")?;
    }
    Ok(())
}

fn named(name: &str) -> anyhow::Result<Arc<dyn Strategy>> {
    let strategies = strategies();
    let names: Vec<&str> = strategies.iter().map(|strategy| strategy.name()).collect();
    let known = strategies.iter().find(|strategy| strategy.name() == name).cloned();
    known.with_context(|| format!("there is no strategy {name:?}: there are {}", names.join(", ")))
}

fn replay(kind: Kind, seed: u64, strategy: &Arc<dyn Strategy>) -> anyhow::Result<ExitCode> {
    let life = live(&Scenario::new(kind, seed), strategy, true);
    let mut out = io::stdout().lock();
    for (at, line) in &life.trace {
        writeln!(out, "{:>9.3} {line}", *at as f64 / 1e3)?;
    }
    let is_clean = life.violations.is_empty() && life.measures.wrong_ways_despite_witnesses == 0;
    writeln!(
        out,
        "\n{} violations, {} wrong-way switches",
        life.violations.len(),
        life.measures.wrong_ways
    )?;
    Ok(if is_clean { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The workspace's target directory: the binary lies two levels below it.
fn target() -> PathBuf {
    let manifest = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| manifest.join("../../target"), PathBuf::from)
}
