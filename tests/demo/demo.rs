//! `lab demo`: a database fails over and back under a writing client, while DNS lags as on AWS.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use lab::history;
use lab::nlb::Lag;
use lab::stage::{Lab, Options};
use lab::workspace::{Run, root};
use lab::writer::{Writer, create_table, lost};
use tokio::time::{Instant, sleep};

use crate::chart::draw;
use crate::failover::{Manner, fail_over, relapse};
use crate::story::{Failover, Story};
use crate::terminal::{Terminal, Tone};

/// The database servers that become the writer, one after the other: over, and back.
const FAILOVERS: [usize; 2] = [1, 0];

/// How long DNS and the RDS API name the dead writer after the promotion.
const LAG: Duration = Duration::from_secs(20);

/// How long DNS names the old writer once more, when it is back.
const RELAPSE: Duration = Duration::from_secs(5);

/// Undisturbed writing around the failovers: the picture shows what normal is.
const CALM: Duration = Duration::from_secs(3);

/// A watch takes three minutes at most.
const WATCH_DEADLINE: Duration = Duration::from_secs(190);

/// How much of the function's log is shown when something went wrong.
const LOG_LINES: usize = 20;

/// Shows the main job, and leaves a report and a picture in `target/demo`.
pub(crate) async fn demo(run: &Run, terminal: &Terminal) -> Result<()> {
    terminal.title("Setting up");
    let options = Options {
        probes_roles: true,
        probes_path: true,
        lag: Lag::SHORTENED,
        ..Options::default()
    };
    let mut lab = Lab::start(run, options, terminal).await?;
    tell_the_limits(&lab, terminal);

    let outcome = perform(&mut lab, run, terminal).await;
    if outcome.is_err() {
        terminal.title("The end of the function's log");
        let log = lab.function_log(LOG_LINES).await;
        terminal.line(&log.unwrap_or_else(|error| format!("cannot be read: {error:#}")));
    }
    outcome
}

async fn perform(lab: &mut Lab<'_>, run: &Run, terminal: &Terminal) -> Result<()> {
    terminal.title("First run: the target group is empty, the function is invoked by hand");
    let started = Instant::now();
    lab.first_run().await?;
    let primary = lab.databases.address(lab.databases.primary());
    terminal.event(
        started.elapsed(),
        Tone::Good,
        &format!("target group is exactly {}", primary.ip()),
    );
    create_table(primary).await?;

    let history = lab.record(history::PRECISE);
    let began = Instant::now();
    let zones = lab.nlb.addrs();
    let writer =
        Writer::start(*zones.last().context("the load balancer has no zone")?, Duration::ZERO);
    sleep(CALM).await;

    let mut failovers = Vec::new();
    let mut trouble = None;
    for to in FAILOVERS {
        terminal.title(&format!("Failover {} of {}", failovers.len() + 1, FAILOVERS.len()));
        let is_last = failovers.len() + 1 == FAILOVERS.len();
        let outcome = async {
            let mut failover =
                fail_over(lab, to, Manner::Lagging(LAG), &writer, &history, terminal).await?;
            lab.databases.rebuild_standby(run).await?;
            let text = "the old primary is back, as the synchronous standby";
            terminal.event(failover.killed.elapsed(), Tone::Quiet, text);
            if is_last {
                relapse(lab, &mut failover, RELAPSE, &history, terminal).await?;
            }
            anyhow::Ok(failover)
        };
        match outcome.await {
            Ok(failover) => failovers.push(failover),
            Err(error) => {
                trouble = Some(error);
                break;
            }
        }
        sleep(CALM).await;
    }

    let (attempts, ended) = (writer.attempts(), Instant::now());
    drop(writer);
    if trouble.is_none() {
        trouble = read_paths(lab, &mut failovers, terminal).await.err();
    }
    let lost = match lost(&attempts, lab.databases.address(lab.databases.primary())).await {
        Ok(lost) => lost,
        // Without a database there is nothing to count in, and its loss is the better explanation.
        Err(error) => return Err(trouble.unwrap_or(error)),
    };
    let story = Story {
        began,
        ended,
        databases: [lab.databases.address(0), lab.databases.address(1)],
        failovers,
        lost,
        attempts,
        targets: history.changes(),
        zones: lab.nlb.changes(),
    };
    conclude(&story, terminal)?;
    for problem in lab.nlb.trouble() {
        terminal.line(&format!("  the load balancer could not follow the target group: {problem}"));
    }
    match trouble {
        Some(error) => Err(error),
        None => story.judge(FAILOVERS.len()),
    }
}

/// What the runs have to say of the load balancer stands in the log when they have ended.
async fn read_paths(lab: &Lab<'_>, failovers: &mut [Failover], terminal: &Terminal) -> Result<()> {
    terminal.title("Waiting for the end of the function's runs, to read what they say");
    lab.wait_for_quiet(WATCH_DEADLINE).await?;
    let times = lab.path_times().await?;
    for failover in failovers {
        let to = lab.databases.address(failover.to).to_string();
        let time = times.iter().rfind(|(registered, _)| *registered == to);
        let (_, time) = time.with_context(|| {
            format!("no run says when the load balancer led to {to}; they say {times:?}")
        })?;
        failover.path = Some(failover.registered + *time);
    }
    Ok(())
}

fn tell_the_limits(lab: &Lab<'_>, terminal: &Terminal) {
    terminal.title("What is real here, and what is not");
    terminal.line(
        "  real      the function's binary, template.yaml through sam, PostgreSQL, \
         DNS over UDP and TCP",
    );
    terminal.line(
        "  emulated  CloudFormation, Lambda, SNS, EventBridge, ELBv2 (MiniStack); \
         the RDS API (moto)",
    );
    terminal.line(
        "  own       the load balancer's data plane and the event of RDS; \
         for how long DNS, the RDS API and the load balancer lag",
    );
    let left_out: Vec<_> = lab.left_out().iter().map(|resource| resource.id.as_str()).collect();
    terminal.line(&format!(
        "  left out  {} (the local CloudFormation has no such types)",
        left_out.join(", ")
    ));
}

/// Writes the report and the picture, and tells where.
fn conclude(story: &Story, terminal: &Terminal) -> Result<()> {
    terminal.title("Result");
    story.tell(terminal);
    let report = story.report(FAILOVERS.len());
    let report = serde_json::to_string(&report).context("write the report")?;
    terminal.line(&format!("  {report}"));
    for (name, text) in [("report.json", report + "\n"), ("timeline.svg", draw(story))] {
        terminal.line(&format!("  {}", keep(name, &text)?.display()));
    }
    Ok(())
}

/// Puts a file where demonstrations leave what they found.
pub(crate) fn keep(name: &str, text: &str) -> Result<PathBuf> {
    let directory = root().join("target/demo");
    std::fs::create_dir_all(&directory)
        .with_context(|| format!("create {}", directory.display()))?;
    let path = directory.join(name);
    std::fs::write(&path, text).with_context(|| format!("write {}", path.display()))?;
    Ok(path)
}
