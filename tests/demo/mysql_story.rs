//! What happened in the demonstration, as data: the source of the table and the report.

use std::time::Duration;

use lab::health::Check;
use lab::writer::Attempt;
use serde::Serialize;
use serde_json::Value;
use tokio::time::Instant;

/// The error code that the whole story is about: the server refuses the address.
pub(crate) const BLOCKED: u16 = 1129;

/// The moments that part the story's chapters.
#[derive(Clone, Copy)]
pub(crate) struct Moments {
    pub(crate) began: Instant,
    /// The client has nothing to write any more.
    pub(crate) idle: Instant,
    /// A health check was answered with the error for the first time.
    pub(crate) blocked: Instant,
    /// The function was invoked.
    pub(crate) invoked: Instant,
    /// The function had answered.
    pub(crate) flushed: Instant,
    pub(crate) ended: Instant,
}

/// A demonstration that has come to its end.
pub(crate) struct Story {
    pub(crate) moments: Moments,
    pub(crate) attempts: Vec<Attempt>,
    pub(crate) checks: Vec<Check>,
    /// The numbers that were confirmed and are nowhere.
    pub(crate) lost: Vec<i64>,
    /// What the function answered.
    pub(crate) result: Value,
    pub(crate) interval: Duration,
    pub(crate) limit: u32,
}

/// The file format of the report.
#[derive(Serialize)]
pub(crate) struct Report<'a> {
    max_connect_errors: u32,
    health_check_interval_ms: u128,
    health_checks: usize,
    health_checks_unhealthy: usize,
    health_checks_answered_with_1129: usize,
    idle_to_blocked_ms: u128,
    refused_writes: usize,
    invocation_ms: u128,
    invocation_to_first_write_ms: Option<u128>,
    acknowledged_writes: usize,
    lost_acknowledged_writes: usize,
    function: &'a Value,
}

/// A span of the story, and what was seen in it.
#[derive(Clone, Copy)]
pub(crate) struct Chapter {
    pub(crate) title: &'static str,
    pub(crate) lasted: Duration,
    pub(crate) confirmed: usize,
    pub(crate) refused: usize,
    /// Writes that failed for another reason.
    pub(crate) failed: usize,
    pub(crate) healthy: usize,
    pub(crate) unhealthy: usize,
}

impl Story {
    /// The story from end to end. A write belongs to the chapter in which it ended.
    pub(crate) fn chapters(&self) -> [Chapter; 4] {
        let Moments { began, idle, blocked, flushed, ended, .. } = self.moments;
        [
            self.chapter("the client writes", began, idle),
            self.chapter("the client is idle", idle, blocked),
            self.chapter("blocked", blocked, flushed),
            self.chapter("after the function", flushed, ended),
        ]
    }

    /// When the first write that ended after the invocation was confirmed.
    pub(crate) fn first_write_after(&self) -> Option<Instant> {
        let confirmed = self.attempts.iter().filter(|attempt| attempt.error.is_none());
        confirmed.map(|attempt| attempt.at + attempt.took).find(|end| *end >= self.moments.invoked)
    }

    pub(crate) fn report(&self) -> Report<'_> {
        let Moments { idle, blocked, invoked, flushed, .. } = self.moments;
        Report {
            max_connect_errors: self.limit,
            health_check_interval_ms: self.interval.as_millis(),
            health_checks: self.checks.len(),
            health_checks_unhealthy: self.checks.iter().filter(|check| !check.healthy).count(),
            health_checks_answered_with_1129: self
                .checks
                .iter()
                .filter(|check| answered_with_1129(check))
                .count(),
            idle_to_blocked_ms: (blocked - idle).as_millis(),
            refused_writes: self.attempts.iter().filter(|attempt| was_refused(attempt)).count(),
            invocation_ms: (flushed - invoked).as_millis(),
            invocation_to_first_write_ms: self
                .first_write_after()
                .map(|at| (at - invoked).as_millis()),
            acknowledged_writes: self
                .attempts
                .iter()
                .filter(|attempt| attempt.error.is_none())
                .count(),
            lost_acknowledged_writes: self.lost.len(),
            function: &self.result,
        }
    }

    fn chapter(&self, title: &'static str, from: Instant, to: Instant) -> Chapter {
        let ended_here = |attempt: &&Attempt| (from..to).contains(&(attempt.at + attempt.took));
        let attempts = || self.attempts.iter().filter(ended_here);
        let checks = || self.checks.iter().filter(|check| (from..to).contains(&check.at));
        let (confirmed, refused) = (
            attempts().filter(|attempt| attempt.error.is_none()).count(),
            attempts().filter(|attempt| was_refused(attempt)).count(),
        );
        let healthy = checks().filter(|check| check.healthy).count();
        Chapter {
            title,
            lasted: to - from,
            confirmed,
            refused,
            failed: attempts().count() - confirmed - refused,
            healthy,
            unhealthy: checks().count() - healthy,
        }
    }
}

/// Whether the server refused the address in the middle of a health check.
pub(crate) fn answered_with_1129(check: &Check) -> bool {
    check.refusal.as_ref().is_some_and(|(code, _)| *code == BLOCKED)
}

/// Whether the write failed with the error that the story is about, as the client prints it.
pub(crate) fn was_refused(attempt: &Attempt) -> bool {
    attempt.error.as_ref().is_some_and(|error| error.contains(&format!("ERROR {BLOCKED} ")))
}
