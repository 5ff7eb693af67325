//! `lab soak`: failovers at random, for as long as one likes, under a client that writes.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result};
use lab::history;
use lab::nlb::Lag;
use lab::stage::{Lab, Options};
use lab::workspace::Run;
use lab::writer::{Writer, create_table, lost};
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::demo::keep;
use crate::failover::{Manner, fail_over};
use crate::story::Story;
use crate::terminal::{Terminal, Tone};

/// How much of the function's log is shown when something went wrong.
const LOG_LINES: usize = 40;

/// Fails the databases over until the time is up, and leaves a report in `target/demo`.
pub(crate) async fn soak(run: &Run, minutes: u64, seed: u64, terminal: &Terminal) -> Result<()> {
    terminal.title(&format!("Setting up; seed {seed}"));
    let mut lab =
        Lab::start(run, Options { lag: Lag::SHORTENED, ..Options::default() }, terminal).await?;
    lab.first_run().await?;
    create_table(lab.databases.address(lab.databases.primary())).await?;

    let outcome = perform(&mut lab, run, Duration::from_secs(60 * minutes), seed, terminal).await;
    if outcome.is_err() {
        terminal.title("The end of the function's log");
        let log = lab.function_log(LOG_LINES).await;
        terminal.line(&log.unwrap_or_else(|error| format!("cannot be read: {error:#}")));
    }
    outcome
}

async fn perform(
    lab: &mut Lab<'_>,
    run: &Run,
    time: Duration,
    seed: u64,
    terminal: &Terminal,
) -> Result<()> {
    let mut dice = fastrand::Rng::with_seed(seed);
    let history = lab.record(history::PRECISE);
    let began = Instant::now();
    let writer = Writer::start(lab.nlb.addr(), Duration::ZERO);
    let (mut failovers, mut manners, mut tried, mut trouble) =
        (Vec::new(), BTreeMap::new(), 0, None);
    while began.elapsed() < time && trouble.is_none() {
        let calm = Duration::from_millis(dice.u64(500..20_000));
        sleep(calm).await;
        tried += 1;
        let manner = manner(&mut dice);
        let (to, minute) = (1 - lab.databases.primary(), began.elapsed().as_secs_f64() / 60.0);
        terminal.title(&format!("Failover {tried}, minute {minute:.1}: {}", manner.name()));
        let outcome = async {
            let failover = fail_over(lab, to, manner, &writer, &history, terminal).await?;
            lab.databases.rebuild_standby(run).await?;
            anyhow::Ok(failover)
        };
        match outcome.await {
            Ok(failover) => {
                let gaps: &mut Vec<Duration> = manners.entry(manner.name()).or_default();
                gaps.extend(failover.flip_to_switch());
                failovers.push(failover);
            }
            Err(error) => trouble = Some(error),
        }
    }

    let attempts = writer.attempts();
    drop(writer);
    let lost = match lost(&attempts, lab.databases.address(lab.databases.primary())).await {
        Ok(lost) => lost,
        Err(error) => return Err(trouble.unwrap_or(error)),
    };
    let databases = [lab.databases.address(0), lab.databases.address(1)];
    let targets = history.changes();
    let empty = targets.iter().skip(1).filter(|(_, held)| held.is_empty()).count();
    let (ended, zones) = (Instant::now(), lab.nlb.changes());
    let story = Story { began, ended, databases, failovers, attempts, targets, zones, lost };
    conclude(&story, &manners, tried, empty, seed, terminal)?;
    match trouble {
        Some(error) => Err(error),
        None => story.judge(tried),
    }
}

fn manner(dice: &mut fastrand::Rng) -> Manner {
    let seconds = |dice: &mut fastrand::Rng| Duration::from_secs(dice.u64(1..15));
    match dice.u8(0..5) {
        0 | 1 => Manner::EventAfterFlip,
        2 => Manner::EventBeforeFlip(seconds(dice)),
        3 => Manner::Flapping(seconds(dice)),
        _ => Manner::EventLost,
    }
}

fn conclude(
    story: &Story,
    manners: &BTreeMap<&str, Vec<Duration>>,
    tried: usize,
    empty: usize,
    seed: u64,
    terminal: &Terminal,
) -> Result<()> {
    terminal.title("Result");
    let (confirmed, lost) = (story.acknowledged(), story.lost.len());
    let minutes = story.since(story.ended).as_secs_f64() / 60.0;
    terminal.event(
        story.since(story.ended),
        Tone::Plain,
        &format!("{minutes:.1} minutes, seed {seed}"),
    );
    terminal.line(&format!("  {} of {tried} failovers converged", story.failovers.len()));
    terminal.line(&format!("  {confirmed} writes were confirmed, {lost} of them are lost"));
    terminal.line(&format!("  the target group was seen empty {empty} times after the first run"));
    terminal.line("\n  from the DNS flip to the switch   failovers   median   longest");
    for (name, times) in manners {
        let mut times = times.clone();
        times.sort_unstable();
        let [median, longest] =
            [times.len() / 2, times.len() - 1].map(|index| times[index].as_secs_f64());
        terminal
            .line(&format!("  {name:<32} {:>10} {median:>6.1} s {longest:>7.1} s", times.len()));
    }
    let mut report = serde_json::to_value(story.report(tried)).context("write the report")?;
    report["seed"] = json!(seed);
    report["minutes"] = json!((minutes * 10.0).round() / 10.0);
    report["seen_empty"] = json!(empty);
    terminal.line(&format!("\n  {}", keep("soak-report.json", &format!("{report}\n"))?.display()));
    Ok(())
}
