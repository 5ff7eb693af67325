//! The watch: how long a run goes on looking.

use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::claim::age;
use crate::event::RdsEvent;

/// How long a run without an event follows a drift before it leaves the rest to the next run.
pub const DRIFT_LIMIT: Duration = Duration::from_secs(100);

/// Targets and witnesses must have agreed this long first: DNS flaps for 20 to 30 s.
const AGREED: Duration = Duration::from_secs(30);

/// Right after an event all may be stale and agree on the old address; DNS lags up to a minute.
const SINCE_EVENT: Duration = Duration::from_secs(60);

/// How long one run looks at one binding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watch {
    start: DateTime<Utc>,
    limit: Duration,
    /// Agreement ends it only some time after this; without an event it does so at once.
    event: Option<DateTime<Utc>>,
    agreed_since: Option<DateTime<Utc>>,
    is_single_look: bool,
}

impl Watch {
    /// A watch of `limit` if events concern the binding; else one that lasts while there is a
    /// drift, [`DRIFT_LIMIT`] at most. A payload may ask for a length of its own.
    pub fn new(
        events: &[RdsEvent],
        asked_for: Option<Duration>,
        limit: Duration,
        now: DateTime<Utc>,
    ) -> Watch {
        // An event without a readable time counts from now: it was just delivered.
        let event = events.iter().map(|event| event.time.unwrap_or(now).min(now)).max();
        let limit = match (asked_for, event) {
            (Some(asked_for), _) => asked_for,
            (None, Some(_)) => limit,
            (None, None) => DRIFT_LIMIT,
        };
        let event = event.or(asked_for.map(|_| now));
        Watch { start: now, limit, event, agreed_since: None, is_single_look: false }
    }

    /// The same, but over after one look, whatever that sees.
    #[must_use]
    pub fn once(self) -> Watch {
        Watch { limit: Duration::ZERO, is_single_look: true, ..self }
    }

    /// Whether there is one look and no other, which had better wait for everybody.
    pub fn is_single_look(&self) -> bool {
        self.is_single_look
    }

    /// Whether the run keeps looking although everything agrees.
    pub fn has_event(&self) -> bool {
        self.event.is_some()
    }

    /// Whether the time is up, whatever was seen.
    pub fn is_expired(&self, now: DateTime<Utc>) -> bool {
        age(self.start, now) >= self.limit
    }

    /// Whether the run may end, now that targets and witnesses were seen to agree.
    pub fn record_agreement(&mut self, now: DateTime<Utc>) -> bool {
        let since = *self.agreed_since.get_or_insert(now);
        match self.event {
            None => true,
            Some(event) => {
                (age(since, now) >= AGREED && age(event, now) >= SINCE_EVENT)
                    || self.is_expired(now)
            }
        }
    }

    /// Its events do not concern the binding after all: what is left is a run without an event.
    pub fn drop_event(&mut self) {
        self.event = None;
    }

    /// Notes that targets and witnesses were seen to differ.
    pub fn record_drift(&mut self) {
        self.agreed_since = None;
    }
}
