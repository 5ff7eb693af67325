//! `make status`: prints what the deployed function sees right now.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command line program talks to its user"
)]

use std::process::ExitCode;

use clap::Parser;
use platform::telemetry;
use platform::{aws, error::chain};
use reconcile::report::{Report, State};
use status::{look, table};

/// Shows for each binding: endpoint, addresses, targets of the target group, and what follows from
/// them.
///
/// Exit codes: 0 every group is right, 1 one is not, 2 nobody knows.
#[derive(Parser)]
#[command(version)]
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
    // What is left out of the table, such as an RDS API that refuses, is said beside it.
    let warnings = telemetry::subscriber(&[], None, Some("WARN"), std::io::stderr);
    if let Err(error) = tracing::subscriber::set_global_default(warnings) {
        eprintln!("{error}");
    }
    // Unlike the function's, from all that the SDK knows: a person has profiles.
    let aws = aws_config::defaults(aws::behavior_version())
        .retry_config(aws::retries())
        .timeout_config(aws::timeouts());
    match look(&aws.load().await, &arguments.function).await {
        Ok(report) => {
            println!("{}", if arguments.json { json(&report) } else { table::render(&report) });
            ExitCode::from(exit_code(&report))
        }
        Err(error) => {
            eprintln!("{}", chain(&*error));
            ExitCode::from(2)
        }
    }
}

fn exit_code(report: &Report) -> u8 {
    let states: Vec<State> = report.bindings.iter().map(|binding| binding.state).collect();
    if states
        .iter()
        .any(|state| matches!(state, State::WouldUpdate | State::Waiting | State::Updated))
    {
        1
    } else if states.contains(&State::Failed) {
        2
    } else {
        0
    }
}

fn json(report: &Report) -> String {
    serde_json::to_string_pretty(report)
        .unwrap_or_else(|error| format!("the report is no JSON: {error}"))
}

#[cfg(test)]
mod tests {
    use reconcile::plan::Mode;
    use reconcile::report::BindingReport;
    use reconcile::trigger::Trigger;

    use super::*;

    #[test]
    fn a_group_that_nobody_could_look_at_is_not_called_wrong() {
        let binding = |state| BindingReport { state, ..BindingReport::default() };
        let (right, wrong) = (|| binding(State::InSync), || binding(State::WouldUpdate));
        let (waiting, failed) = (|| binding(State::Waiting), || binding(State::Failed));
        for (bindings, expected) in [
            (vec![right()], 0),
            (vec![right(), wrong()], 1),
            (vec![waiting()], 1),
            (vec![failed(), right()], 2),
            (vec![failed(), wrong()], 1),
        ] {
            let report = Report::new(&Trigger::default(), Mode::Act, bindings);
            assert_eq!(exit_code(&report), expected, "{report:?}");
        }
    }
}
