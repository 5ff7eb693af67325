//! The lab's command line. `lab demo` shows the main job, `lab demo-mysql` the other function; `lab
//! soak` goes on for long, and `lab up` keeps the lab running.

mod chart;
mod demo;
mod failover;
mod mysql;
mod mysql_story;
mod soak;
mod story;
mod terminal;
mod up;

use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use clap::{Parser, Subcommand};
use lab::workspace::Run;
use tokio::signal::unix::{SignalKind, signal};

use terminal::Terminal;

#[derive(Parser)]
#[command(
    about = "A local AWS, a database pair and a load balancer, on loopback addresses and without \
             an account"
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Fail a database over and back under a writing client; exits with an error if a confirmed
    /// write is lost
    Demo,
    /// Let health checks get their load balancer blocked by MariaDB, and lift the block
    DemoMysql,
    /// Fail a database over at random for a while; exits with an error if a confirmed write is lost
    Soak {
        /// How long
        #[arg(long, default_value_t = 30)]
        minutes: u64,
        /// Which sequence of failovers
        #[arg(long, default_value_t = 1)]
        seed: u64,
    },
    /// Keep the lab running until Ctrl-C, for invocations from another terminal
    Up,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let terminal = Terminal::new();
    let outcome = match Run::new() {
        Ok(run) => {
            let outcome = tokio::select! {
                outcome = perform(&arguments.command, &run, &terminal) => outcome,
                name = interruption() => name.and_then(|name| arguments.command.interrupted(name)),
            };
            run.ended(outcome)
        }
        Err(error) => Err(error),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            terminal.failure(&error);
            ExitCode::FAILURE
        }
    }
}

impl Command {
    /// Being interrupted is how a playground ends, and how everything else fails.
    fn interrupted(&self, signal: &str) -> Result<()> {
        ensure!(matches!(self, Self::Up), "stopped by {signal}");
        Ok(())
    }
}

async fn perform(command: &Command, run: &Run, terminal: &Terminal) -> Result<()> {
    match command {
        Command::Demo => demo::demo(run, terminal).await,
        Command::DemoMysql => mysql::demo(run, terminal).await,
        Command::Soak { minutes, seed } => soak::soak(run, *minutes, *seed, terminal).await,
        Command::Up => up::up(run, terminal).await,
    }
}

/// Returns the name of the signal that asks us to end, which drops and kills what runs.
async fn interruption() -> Result<&'static str> {
    let listen = |kind| signal(kind).context("listen for signals");
    let mut interrupt = listen(SignalKind::interrupt())?;
    let mut terminate = listen(SignalKind::terminate())?;
    let mut hangup = listen(SignalKind::hangup())?;
    Ok(tokio::select! {
        _ = interrupt.recv() => "Ctrl-C",
        _ = terminate.recv() => "SIGTERM",
        _ = hangup.recv() => "SIGHUP",
    })
}
