//! The databases of a run as servers: whether it can log in, and which it leaves alone for a while.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use base::report::Failure;
use tokio::time::Instant;

use crate::ports::ProbeSessions;

pub(crate) const PROBE_LIMIT: Duration = Duration::from_secs(1);

/// Every other time for a silent one: a slow one has its chance, a dead one delays no new writer.
const REPEATED_PROBE_LIMIT: Duration = Duration::from_millis(400);

const LOGIN_RETRY_AFTER: Duration = Duration::from_secs(10);

/// A database that did not answer is asked again after this, then after twice as long each time,
const BACK_OFF: Duration = Duration::from_millis(250);

/// up to this if it is registered, or while a run begins, when any may be promoted;
const BACK_OFF_AT_MOST: Duration = Duration::from_secs(1);

const BEGINNING: Duration = Duration::from_secs(60);

/// else up to this.
const LATER_BACK_OFF_AT_MOST: Duration = Duration::from_secs(15);

pub(crate) struct Databases<'a> {
    pub(crate) sessions: Arc<dyn ProbeSessions + 'a>,
    pub(crate) login: Login,
    failed: BTreeMap<IpAddr, FailedProbes>,
    asked_at: BTreeMap<IpAddr, Instant>,
    asked_this_round: BTreeSet<IpAddr>,
    start: Instant,
}

pub(crate) enum Login {
    Unknown,
    Ready,
    Missing(Failure, Instant),
}

#[derive(Default)]
struct FailedProbes {
    in_a_row: u32,
    /// The log says it once.
    kind: Option<&'static str>,
}

impl<'a> Databases<'a> {
    pub(crate) fn new(sessions: Arc<dyn ProbeSessions + 'a>) -> Databases<'a> {
        Databases {
            sessions,
            login: Login::Unknown,
            failed: BTreeMap::new(),
            asked_at: BTreeMap::new(),
            asked_this_round: BTreeSet::new(),
            start: Instant::now(),
        }
    }

    pub(crate) fn begin_round(&mut self, being_asked: BTreeSet<IpAddr>) {
        self.asked_this_round = being_asked;
    }

    pub(crate) fn was_asked_this_round(&self, address: IpAddr) -> bool {
        self.asked_this_round.contains(&address)
    }

    /// Its turn in this round has come, whether or not it is asked.
    pub(crate) fn record_turn(&mut self, address: IpAddr) {
        self.asked_this_round.insert(address);
    }

    pub(crate) fn missing_login(&self) -> Option<&Failure> {
        match &self.login {
            Login::Missing(failure, at) if at.elapsed() < LOGIN_RETRY_AFTER => Some(failure),
            _ => None,
        }
    }

    pub(crate) fn begin_probe(&mut self, address: IpAddr) -> Duration {
        self.asked_at.insert(address, Instant::now());
        match self.failed.get(&address) {
            Some(failed) if failed.in_a_row % 2 == 1 => REPEATED_PROBE_LIMIT,
            _ => PROBE_LIMIT,
        }
    }

    pub(crate) fn is_backing_off(&self, address: IpAddr, is_registered: bool) -> bool {
        let Some(failed) = self.failed.get(&address) else { return false };
        let is_late = self.start.elapsed() >= BEGINNING && !is_registered;
        let most = if is_late { LATER_BACK_OFF_AT_MOST } else { BACK_OFF_AT_MOST };
        let back_off = (BACK_OFF * (1 << failed.in_a_row.min(6))).min(most);
        self.asked_at.get(&address).is_some_and(|at| at.elapsed() < back_off)
    }

    pub(crate) fn record_answer(&mut self, address: IpAddr) {
        self.failed.remove(&address);
    }

    /// Whether that is news for the log.
    pub(crate) fn record_failure(&mut self, address: IpAddr, failure: &Failure) -> bool {
        let failed = self.failed.entry(address).or_default();
        failed.in_a_row += 1;
        failed.kind.replace(failure.kind) != Some(failure.kind)
    }
}
