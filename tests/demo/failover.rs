//! One failover of the database pair, as RDS, DNS and its events may bring it about.

use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use lab::dns::Answer;
use lab::events::ClusterEvent;
use lab::history::History;
use lab::poll::{self, Look};
use lab::stage::Lab;
use lab::writer::Writer;
use tokio::time::{Instant, sleep};

use crate::story::Failover;
use crate::terminal::{Terminal, Tone};

/// The function is given this long after the flip. Without an event the schedule finds it: a minute until the run, and a
/// step back to an address that was left a moment ago waits for up to a minute and a half.
const SWITCH_DEADLINE: Duration = Duration::from_secs(240);

/// The client reconnects at once, so its first write follows the switch closely.
const WRITE_DEADLINE: Duration = Duration::from_secs(30);

/// How the function hears of a failover.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    /// The event comes after DNS and the RDS API have moved.
    Told,
    /// The event comes when the failover begins, this long before they move.
    Foretold(Duration),
    /// The event is lost.
    Untold,
    /// DNS goes back and forth for this long, and the event names nobody.
    Flapping(Duration),
}

impl Manner {
    /// In a few words.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Told => "event after the flip",
            Self::Foretold(_) => "event before the flip",
            Self::Untold => "event lost",
            Self::Flapping(_) => "DNS flaps",
        }
    }
}

/// Kills the primary, promotes the standby, and waits until the target group and the client have followed.
///
/// # Errors
/// When a piece fails, or the target group or the client does not follow in time.
pub(crate) async fn fail_over(
    lab: &mut Lab<'_>,
    to: usize,
    manner: Manner,
    writer: &Writer,
    history: &History,
    terminal: &Terminal,
) -> Result<Failover> {
    let from = lab.databases.primary();
    let addresses = [lab.databases.address(0), lab.databases.address(1)];
    let killed = Instant::now();
    let tell = |at: Instant, tone, text: &str| terminal.event(at - killed, tone, text);
    lab.databases.crash_primary().await?;
    tell(killed, Tone::Bad, &format!("primary {} killed; nothing else knows", addresses[from].ip()));
    let mut published = None;
    if let Manner::Foretold(before) = manner {
        published = Some(publish(lab, ClusterEvent::Started, to, killed, terminal).await?);
        sleep(before).await;
    }

    lab.databases.promote_standby().await?;
    let promoted = Instant::now();
    tell(promoted, Tone::Plain, &format!("standby {} promoted", addresses[to].ip()));

    let flipped = Instant::now();
    lab.move_writer(to).await?;
    tell(flipped, Tone::Plain, &format!("DNS and the RDS API name {} as the writer", addresses[to].ip()));
    match manner {
        Manner::Told => published = Some(publish(lab, ClusterEvent::Completed, to, killed, terminal).await?),
        Manner::Flapping(duration) => {
            let [old, new] = [from, to].map(|member| Answer::alias(&lab.cluster.members[member].endpoint));
            lab.dns.set(&lab.cluster.endpoint, Answer::Cycle(vec![old.clone(), new.clone(), new, old]));
            published = Some(publish(lab, ClusterEvent::TopologyUpdated, to, killed, terminal).await?);
            sleep(duration).await;
            lab.point_dns_at(to);
            tell(Instant::now(), Tone::Plain, "DNS has stopped going back and forth");
        }
        Manner::Foretold(_) | Manner::Untold => {}
    }

    let switched = history.switched(addresses[to], flipped, SWITCH_DEADLINE).await?;
    tell(switched, Tone::Good, &format!("the function has made the target group exactly {}", addresses[to].ip()));

    let first_write_after = poll::until("the first write after the failover", WRITE_DEADLINE, async || {
        let success = writer.first_success_after(promoted);
        Ok(success.map_or_else(
            || Look::NotYet(anyhow!("the last attempt: {}", writer.last_error().unwrap_or_default())),
            Look::Ready,
        ))
    })
    .await?;
    let last_write_before = writer.last_success_before(promoted).context("no write was confirmed before")?;
    let failover =
        Failover { from, to, killed, promoted, flipped, published, switched, last_write_before, first_write_after };
    let gap = format!("writes flow again, after a gap of {:.3} s", failover.write_gap().as_secs_f64());
    tell(first_write_after, Tone::Good, &gap);
    Ok(failover)
}

async fn publish(
    lab: &Lab<'_>,
    event: ClusterEvent,
    to: usize,
    killed: Instant,
    terminal: &Terminal,
) -> Result<Instant> {
    lab.publish(event, to).await?;
    let published = Instant::now();
    let text = format!("{} published to the SNS topic, as RDS would", event.id());
    terminal.event(published - killed, Tone::Plain, &text);
    Ok(published)
}
