//! `simulate`: lets failover-sync and its rivals live through many failovers, or replays one world.

use std::fs;
use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use anyhow::{Context, bail};
use clap::Parser;
use simulation::campaign::{self, Outcome, strategies};
use simulation::lambda::live;
use simulation::scenario::Scenario;

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
    /// With --world: the strategy to follow.
    #[arg(long, requires = "world", default_value = "failover-sync")]
    strategy: String,
}

fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    match arguments.world {
        Some(seed) => replay(seed, &arguments.strategy),
        None => simulate(arguments.failovers, arguments.seed),
    }
}

fn simulate(failovers: usize, seed: u64) -> anyhow::Result<ExitCode> {
    let start = Instant::now();
    let twentieths = AtomicUsize::new(0);
    let is_terminal = io::stderr().is_terminal();
    let outcome = campaign::run(&strategies(), failovers, seed, |done| {
        let twentieth = done * 20 / failovers.max(1);
        if is_terminal && twentieths.fetch_max(twentieth, Ordering::Relaxed) < twentieth {
            let _ = write!(io::stderr(), "\r{:>3} % of {failovers} failovers", twentieth * 5);
        }
    });
    let mut out = io::stdout().lock();
    if is_terminal {
        writeln!(io::stderr(), "\r{:40}\r", "")?;
    }
    writeln!(out, "{failovers} failovers, seed {seed}, {:.0} s\n\n{outcome}", start.elapsed().as_secs_f64())?;
    explain(&outcome, &mut out)?;
    let path = target().join("simulation/report.json");
    fs::create_dir_all(path.parent().unwrap_or(&path))?;
    fs::write(&path, format!("{:#}\n", outcome.json(failovers, seed))).context("writing the report")?;
    writeln!(out, "report: {}", path.display())?;
    Ok(if outcome.missed().is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What was promised and not kept, with the commands that show it.
fn explain(outcome: &Outcome, out: &mut impl Write) -> io::Result<()> {
    let ours = &outcome.strategies[0].1;
    writeln!(
        out,
        "invariant violations: {}; from the second honest witness to the switch: p50 {:.1} s; \
         wrong-way switches although the honest witnesses were not outvoted: {}, with any honest witness: {}",
        outcome.violations.len(),
        ours.promptness(50.0),
        ours.wrong_ways_despite_witnesses,
        ours.wrong_ways_with_honest_witness
    )?;
    for missed in outcome.missed() {
        writeln!(out, "MISSED: {missed}")?;
    }
    for violation in outcome.violations.iter().take(10) {
        writeln!(out, "{violation}\n  replay: cargo run -p simulation -- --world {}", violation.seed)?;
    }
    for (seed, name) in outcome.misled.iter().take(10) {
        let command = format!("cargo run -p simulation -- --world {seed} --strategy {name}");
        writeln!(out, "{name} was misled in world {seed}\n  replay: {command}")?;
    }
    Ok(())
}

fn replay(seed: u64, name: &str) -> anyhow::Result<ExitCode> {
    let strategies = strategies();
    let Some(strategy) = strategies.iter().find(|strategy| strategy.name() == name) else {
        let names: Vec<&str> = strategies.iter().map(|strategy| strategy.name()).collect();
        bail!("there is no strategy {name:?}: there are {}", names.join(", "));
    };
    let life = live(&Scenario::new(seed), strategy, true);
    let mut out = io::stdout().lock();
    for (at, line) in &life.trace {
        writeln!(out, "{:>9.3} {line}", *at as f64 / 1e3)?;
    }
    let is_clean = life.violations.is_empty() && life.measures.wrong_ways_despite_witnesses == 0;
    writeln!(out, "\n{} violations, {} wrong-way switches", life.violations.len(), life.measures.wrong_ways)?;
    Ok(if is_clean { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The workspace's target directory: the binary lies two levels below it.
fn target() -> PathBuf {
    let manifest = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| manifest.join("../../target"), PathBuf::from)
}
