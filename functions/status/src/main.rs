//! `make status`: prints what the deployed function sees right now.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command line program talks to its user")]

use std::process::ExitCode;

use clap::Parser;
use failover_sync::{aws, error::chain};
use reconcile::report::{Report, State};
use status::{look, table};

/// Shows for each binding: endpoint, addresses, members of the target group, and what follows from them.
///
/// Exit codes: 0 every group is right, 1 one is not, 2 nobody knows.
#[derive(Parser)]
struct Arguments {
    /// The function's name or ARN; the stack's name, unless the stack was given another
    #[arg(long)]
    function: String,
    /// The result as JSON, as the function returns it for {"dryRun": true}
    #[arg(long)]
    json: bool,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match look(&aws::sdk_config().await, &arguments.function).await {
        Ok(report) => {
            println!("{}", if arguments.json { json(&report) } else { table::render(&report) });
            let is_right = report.bindings.iter().all(|binding| binding.state() == State::InSync);
            if is_right { ExitCode::SUCCESS } else { ExitCode::from(1) }
        }
        Err(error) => {
            eprintln!("{}", chain(&*error));
            ExitCode::from(2)
        }
    }
}

fn json(report: &Report) -> String {
    serde_json::to_string_pretty(report).unwrap_or_else(|error| format!("the report is no JSON: {error}"))
}
