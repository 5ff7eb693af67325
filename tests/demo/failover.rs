//! One failover of the database pair, as RDS, DNS and its events may bring it about.

use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use lab::dns::Answer;
use lab::events::ClusterEvent;
use lab::history::History;
use lab::poll::{self, Look};
use lab::stage::Lab;
use lab::writer::Writer;
use tokio::time::{Instant, sleep, sleep_until};

use crate::story::Failover;
use crate::terminal::{Terminal, Tone};

/// The function has this long after the flip. Without an event: a minute until the scheduled run,
/// and up to a minute and a half until a step back to an address that was left a moment ago.
const SWITCH_DEADLINE: Duration = Duration::from_secs(240);

/// Between the event and the promotion in a failover that lags; longer on AWS.
const UNTIL_PROMOTION: Duration = Duration::from_secs(3);

/// The client reconnects at once, so its first write follows the load balancer closely, which is up
/// to ten seconds late.
const WRITE_DEADLINE: Duration = Duration::from_secs(30);

/// A watch looks every second.
const LOOKS_DEADLINE: Duration = Duration::from_secs(10);

/// How the function hears of a failover.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    /// The event comes after DNS and the RDS API have moved.
    EventAfterFlip,
    /// The event comes when the failover begins, this long before they move.
    EventBeforeFlip(Duration),
    /// The event is lost.
    EventLost,
    /// DNS goes back and forth for this long, and the event names nobody.
    Flapping(Duration),
    /// As on AWS: the event comes first, and DNS and the RDS API name the dead writer for this long
    /// after the promotion. Only the databases can tell the function.
    Lagging(Duration),
}

impl Manner {
    /// In a few words.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::EventAfterFlip => "event after the flip",
            Self::EventBeforeFlip(_) => "event before the flip",
            Self::EventLost => "event lost",
            Self::Flapping(_) => "DNS flaps",
            Self::Lagging(_) => "DNS lags",
        }
    }
}

/// Kills the primary, promotes the standby, and waits for the target group and the client.
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
    tell(
        killed,
        Tone::Bad,
        &format!("primary {} killed; nothing else knows", addresses[from].ip()),
    );
    let mut published = None;
    let foretold = match manner {
        Manner::EventBeforeFlip(before) => Some(before),
        Manner::Lagging(_) => Some(UNTIL_PROMOTION),
        Manner::EventAfterFlip | Manner::EventLost | Manner::Flapping(_) => None,
    };
    if let Some(before) = foretold {
        published = Some(publish(lab, ClusterEvent::Started, to, killed, terminal).await?);
        sleep(before).await;
    }

    // Every write that is confirmed from now on is the new writer's.
    let promoting = Instant::now();
    lab.databases.promote_standby().await?;
    let promoted = Instant::now();
    tell(promoted, Tone::Plain, &format!("standby {} promoted", addresses[to].ip()));

    let follow = async |since, deadline| {
        let switched = history.switched(addresses[to], since, deadline).await?;
        tell(
            switched,
            Tone::Good,
            &format!("the function has made the target group exactly {}", addresses[to].ip()),
        );
        let (before, after) = write_gap(writer, promoting).await?;
        let [late, gap] =
            [promoted, before].map(|since| after.saturating_duration_since(since).as_secs_f64());
        let text = format!(
            "writes flow again, {late:.3} s after the promotion, after a gap of {gap:.3} s"
        );
        tell(after, Tone::Good, &text);
        anyhow::Ok((switched, before, after))
    };
    let mut followed = None;
    if let Manner::Lagging(lag) = manner {
        followed = Some(
            follow(promoting, lag)
                .await
                .context("the function has not followed the promotion before DNS")?,
        );
        sleep_until(promoted + lag).await;
    }

    let flipped = Instant::now();
    lab.move_writer(to).await?;
    tell(
        flipped,
        Tone::Plain,
        &format!("DNS and the RDS API name {} as the writer", addresses[to].ip()),
    );
    match manner {
        Manner::EventAfterFlip => {
            published = Some(publish(lab, ClusterEvent::Completed, to, killed, terminal).await?)
        }
        Manner::Flapping(duration) => {
            let [old, new] =
                [from, to].map(|member| Answer::alias(&lab.cluster.members[member].endpoint));
            lab.dns.set(
                &lab.cluster.endpoint,
                Answer::Cycle(vec![old.clone(), new.clone(), new, old]),
            );
            published =
                Some(publish(lab, ClusterEvent::TopologyUpdated, to, killed, terminal).await?);
            sleep(duration).await;
            lab.point_dns_at(to);
            tell(Instant::now(), Tone::Plain, "DNS has stopped going back and forth");
        }
        Manner::EventBeforeFlip(_) | Manner::EventLost | Manner::Lagging(_) => {}
    }

    let (switched, last_write_before, first_write_after) = match followed {
        Some(followed) => followed,
        None => follow(flipped, SWITCH_DEADLINE).await?,
    };
    let changes = history.changes();
    let registered =
        changes.iter().find(|(at, held)| *at >= promoting && held.contains(&addresses[to]));
    let (registered, _) = registered.context("the target group never held the new writer")?;
    Ok(Failover {
        from,
        to,
        killed,
        promoted,
        flipped,
        published,
        registered: *registered,
        switched,
        path: None,
        last_write_before,
        first_write_after,
        relapse: None,
    })
}

/// The last write before this moment and the first one after it.
async fn write_gap(writer: &Writer, moment: Instant) -> Result<(Instant, Instant)> {
    let after = poll::until("the first write after the failover", WRITE_DEADLINE, async || {
        let success = writer.first_success_after(moment);
        Ok(success.map_or_else(
            || {
                Look::NotYet(anyhow!(
                    "the last attempt: {}",
                    writer.last_error().unwrap_or_default()
                ))
            },
            Look::Ready,
        ))
    })
    .await?;
    Ok((writer.last_success_before(moment).context("no write was confirmed before")?, after))
}

/// Lets DNS name the old writer for a while. It is back, but read only: nobody may register it.
pub(crate) async fn relapse(
    lab: &Lab<'_>,
    failover: &mut Failover,
    lasts: Duration,
    history: &History,
    terminal: &Terminal,
) -> Result<()> {
    let tell = |at: Instant, tone, text: &str| terminal.event(at - failover.killed, tone, text);
    let address = |member| lab.databases.address(member);
    let (began, before, looks) = (Instant::now(), history.changes().len(), lab.looks());
    lab.point_dns_at(failover.from);
    tell(
        began,
        Tone::Bad,
        &format!("DNS names {} again, which is read only now", address(failover.from).ip()),
    );
    sleep(lasts).await;
    let (ended, looks) = (Instant::now(), lab.looks() - looks);
    lab.point_dns_at(failover.to);
    ensure!(looks > 0, "the function has not looked while DNS named the old writer again");
    tell(
        ended,
        Tone::Plain,
        &format!(
            "DNS names {} for good; the function has looked {looks} times",
            address(failover.to).ip()
        ),
    );
    // Looks that have the wrong answer may be on.
    lab.wait_for_looks(2, LOOKS_DEADLINE).await?;
    let changes = history.changes();
    ensure!(
        changes.len() == before,
        "the target group has followed the relapse of DNS: {:?}",
        &changes[before..]
    );
    tell(
        Instant::now(),
        Tone::Good,
        &format!("the target group is still exactly {}", address(failover.to).ip()),
    );
    failover.relapse = Some((began, ended));
    Ok(())
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
