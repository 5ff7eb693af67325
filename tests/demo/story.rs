//! What happened in a demonstration, as data: the source of the lines, report and picture.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Result, ensure};
use lab::history::Change;
use lab::writer::Attempt;
use serde::Serialize;
use tokio::time::Instant;

use crate::terminal::Terminal;

/// The function asks through the load balancer every two seconds.
const PATH_PRECISION: Duration = Duration::from_secs(2);

/// A demonstration that has come to its end.
pub(crate) struct Story {
    /// When the client began to write.
    pub(crate) began: Instant,
    pub(crate) ended: Instant,
    /// The two databases.
    pub(crate) databases: [SocketAddr; 2],
    pub(crate) failovers: Vec<Failover>,
    pub(crate) attempts: Vec<Attempt>,
    /// What the target group held from each of these moments on.
    pub(crate) targets: Vec<Change>,
    /// Where new connections through each zone of the load balancer went from then on.
    pub(crate) zones: Vec<Vec<Change>>,
    /// The numbers that were confirmed and are nowhere.
    pub(crate) lost: Vec<i64>,
}

/// One failover, from the kill to the first write afterwards.
#[derive(Clone, Debug)]
pub(crate) struct Failover {
    /// The number of the database that was killed.
    pub(crate) from: usize,
    /// The number of the one that was promoted.
    pub(crate) to: usize,
    pub(crate) killed: Instant,
    pub(crate) promoted: Instant,
    /// DNS and the RDS API name the new writer.
    pub(crate) flipped: Instant,
    /// None if the event was lost.
    pub(crate) published: Option<Instant>,
    /// The target group holds the new writer.
    pub(crate) registered: Instant,
    /// The target group holds the new writer and nothing else.
    pub(crate) switched: Instant,
    /// The function has reached the new writer through every zone of the load balancer. None if it
    /// does not ask there.
    pub(crate) path: Option<Instant>,
    pub(crate) last_write_before: Instant,
    pub(crate) first_write_after: Instant,
    /// From when until when DNS named the old writer again, if it did.
    pub(crate) relapse: Option<(Instant, Instant)>,
}

/// The report's file format.
#[derive(Clone, Serialize)]
pub(crate) struct Report {
    failovers: usize,
    converged: usize,
    acknowledged_writes: usize,
    lost_acknowledged_writes: usize,
    promotion_to_switch_ms: Vec<u128>,
    /// Null where the function did not wait for DNS.
    flip_to_switch_ms: Vec<Option<u128>>,
    /// Null where the function does not ask through the load balancer.
    promotion_to_path_ms: Vec<Option<u128>>,
    write_gap_ms: Vec<u128>,
    final_targets: Vec<String>,
}

impl Story {
    /// The numbers. Only a failover that converged is in the story; `tried` counts all.
    pub(crate) fn report(&self, tried: usize) -> Report {
        let final_targets = self
            .targets
            .last()
            .map(|(_, targets)| targets.iter().map(ToString::to_string).collect());
        Report {
            failovers: tried,
            converged: self.failovers.len(),
            acknowledged_writes: self.acknowledged(),
            lost_acknowledged_writes: self.lost.len(),
            promotion_to_switch_ms: self
                .each(|failover| failover.promotion_to_switch().as_millis()),
            flip_to_switch_ms: self
                .each(|failover| failover.flip_to_switch().map(|time| time.as_millis())),
            promotion_to_path_ms: self
                .each(|failover| failover.promotion_to_path().map(|time| time.as_millis())),
            write_gap_ms: self.each(|failover| failover.write_gap().as_millis()),
            final_targets: final_targets.unwrap_or_default(),
        }
    }

    /// The figures, in words.
    pub(crate) fn tell(&self, terminal: &Terminal) {
        let (confirmed, lost) = (self.acknowledged(), self.lost.len());
        terminal.line(&format!("  {confirmed} writes were confirmed, {lost} of them are lost"));
        for (number, failover) in self.failovers.iter().enumerate() {
            let dns = match failover.flip_to_switch() {
                Some(time) => format!("{:.3} s after DNS", time.as_secs_f64()),
                None => format!(
                    "{:.3} s before DNS",
                    (failover.flipped - failover.switched).as_secs_f64()
                ),
            };
            terminal.line(&format!(
                "  failover {}: switched {:.3} s after the promotion and {dns}, {:.3} s without \
                 writes",
                number + 1,
                failover.promotion_to_switch().as_secs_f64(),
                failover.write_gap().as_secs_f64(),
            ));
            if let Some(path) = failover.promotion_to_path() {
                let client = failover.first_write_after - failover.promoted;
                terminal.line(&format!(
                    "    through the load balancer: the function reached the writer {:.3} s after \
                     the promotion, the client's first write {:.3} s",
                    path.as_secs_f64(),
                    client.as_secs_f64(),
                ));
            }
        }
    }

    /// An error if a confirmed write was lost, a failover that was tried did not converge, or the
    /// function saw something else through the load balancer than the client.
    pub(crate) fn judge(&self, tried: usize) -> Result<()> {
        let lost = &self.lost;
        ensure!(
            lost.is_empty(),
            "{} confirmed writes are lost, the first is number {}",
            lost.len(),
            lost[0]
        );
        ensure!(
            self.failovers.len() == tried,
            "only {} of {tried} failovers converged",
            self.failovers.len()
        );
        self.failovers.iter().try_for_each(Failover::judge_path)
    }

    fn each<T>(&self, of: impl Fn(&Failover) -> T) -> Vec<T> {
        self.failovers.iter().map(of).collect()
    }

    pub(crate) fn acknowledged(&self) -> usize {
        self.attempts.iter().filter(|attempt| attempt.error.is_none()).count()
    }

    /// Since the client began to write.
    pub(crate) fn since(&self, moment: Instant) -> Duration {
        moment.saturating_duration_since(self.began)
    }
}

impl Failover {
    pub(crate) fn promotion_to_switch(&self) -> Duration {
        self.switched.saturating_duration_since(self.promoted)
    }

    /// None if the switch came first.
    pub(crate) fn flip_to_switch(&self) -> Option<Duration> {
        self.switched.checked_duration_since(self.flipped)
    }

    /// None if the function does not ask through the load balancer.
    pub(crate) fn promotion_to_path(&self) -> Option<Duration> {
        self.path.map(|path| path.saturating_duration_since(self.promoted))
    }

    /// The client writes through the zone that follows last, so both wait for the same.
    fn judge_path(&self) -> Result<()> {
        let Some(path) = self.path else {
            return Ok(());
        };
        let client = self.first_write_after;
        let apart = path.max(client) - path.min(client);
        ensure!(
            apart <= PATH_PRECISION,
            "the function says that the path followed {:.3} s after the promotion, but the \
             client's first write came after {:.3} s",
            (path - self.promoted).as_secs_f64(),
            (client - self.promoted).as_secs_f64()
        );
        Ok(())
    }

    pub(crate) fn write_gap(&self) -> Duration {
        self.first_write_after.saturating_duration_since(self.last_write_before)
    }

    /// What happened, in order.
    pub(crate) fn steps(&self, databases: &[SocketAddr; 2]) -> Vec<(Instant, String)> {
        let (from, to) = (databases[self.from].ip(), databases[self.to].ip());
        let mut steps = vec![
            (self.killed, format!("primary {from} killed")),
            (self.promoted, format!("standby {to} promoted")),
            (self.flipped, format!("DNS and the RDS API name {to}")),
            (self.switched, format!("target group is exactly {to}")),
            (self.first_write_after, "first write confirmed again".to_owned()),
        ];
        steps.extend(
            self.published.map(|published| (published, "event published to SNS".to_owned())),
        );
        steps
            .extend(self.path.map(|path| {
                (path, format!("the function reaches {to} through the load balancer"))
            }));
        if let Some((began, ended)) = self.relapse {
            steps.push((began, format!("DNS names {from} again, which is read only")));
            steps.push((ended, format!("DNS names {to} for good")));
        }
        steps.sort_by_key(|(at, _)| *at);
        steps
    }
}
