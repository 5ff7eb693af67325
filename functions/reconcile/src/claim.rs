//! What one witness says about where the writer is, and what makes that prove nothing.
//! Ages are compared in [`evidence`](crate::evidence): [`verdict`](crate::verdict) only combines.

use std::net::IpAddr;
use std::time::Duration;

use chrono::{DateTime, Utc};
use strum::Display;

use crate::target::Addresses;

/// A source that says where the writer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Display)]
pub enum Witness {
    /// The endpoint's name.
    #[strum(to_string = "DNS")]
    Dns,
    /// The cluster in the RDS API.
    #[strum(to_string = "the RDS API")]
    Topology,
    /// A failover event that names an instance.
    #[strum(to_string = "a failover event")]
    Event,
}

/// What a database answers when it is asked whether it takes writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Display)]
#[strum(serialize_all = "kebab-case")]
pub enum Role {
    /// It takes writes.
    Writer,
    /// It is a reader, a standby, or a writer that was demoted.
    Reader,
    /// A writer whose new sessions an operator's or a switchover's setting makes read only.
    Unknown,
}

/// What one witness says now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim<'a> {
    /// Who says it.
    pub witness: Witness,
    /// The writer's addresses.
    pub addresses: &'a Addresses,
    /// The moment as of which it surely holds: unknown of DNS and the RDS API, which lag.
    pub as_of: Option<DateTime<Utc>>,
    /// Whether it counts for a switch to its addresses.
    pub supports: bool,
    /// Whether it counts against a switch to others.
    pub vetoes: bool,
}

/// Why what was said so far about an address proves nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Doubt {
    /// What was said before this moment proves nothing.
    pub since: DateTime<Utc>,
    /// What happened then.
    pub cause: DoubtCause,
}

/// What gives rise to a doubt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DoubtCause {
    /// The proposed address was deregistered: somebody had proof against it.
    Deregistered(IpAddr),
    /// A target that would leave was registered: somebody had proof of it.
    Registered(IpAddr),
    /// The group held several targets when first described: nobody knows which came last.
    SeveralTargets,
    /// The RDS API named another writer, before it gave no more answer or changed its mind.
    Contradicted,
    /// Neither the proposed database nor a registered one answers, but another did in this run.
    Silent,
}

impl Doubt {
    pub(crate) fn is_older_than(&self, moment: Option<DateTime<Utc>>) -> bool {
        moment.is_some_and(|moment| self.since < moment)
    }
}

impl DoubtCause {
    /// In words, with how long ago it arose.
    pub fn describe(self, ago: Duration) -> String {
        let ago = ago.as_secs();
        match self {
            DoubtCause::Deregistered(address) => format!("{address} was deregistered {ago} s ago"),
            DoubtCause::Registered(address) => format!("{address} was registered {ago} s ago"),
            DoubtCause::SeveralTargets => format!("the group held several targets {ago} s ago"),
            DoubtCause::Contradicted => format!("the RDS API named another writer {ago} s ago"),
            DoubtCause::Silent => {
                format!("neither it nor what is registered answers, but a login worked {ago} s ago")
            }
        }
    }
}

/// What was seen again and again, with nothing else between.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unbroken<T> {
    pub(crate) value: T,
    /// When it was seen first.
    pub(crate) since: DateTime<Utc>,
    /// When it was seen last.
    pub(crate) last: DateTime<Utc>,
}

impl<T: PartialEq> Unbroken<T> {
    /// It is seen now. A longer gap says nothing about the time between, and is a break.
    pub(crate) fn after(
        before: Option<Unbroken<T>>,
        value: T,
        gap: Duration,
        now: DateTime<Utc>,
    ) -> Unbroken<T> {
        let before = before.filter(|before| before.value == value && before.is_within(gap, now));
        Unbroken { value, since: before.map_or(now, |before| before.since), last: now }
    }

    pub(crate) fn is_within(&self, gap: Duration, now: DateTime<Utc>) -> bool {
        age(self.last, now) <= gap
    }

    /// From the first time to the last, but not before `time`.
    pub(crate) fn lasted(&self, time: Option<DateTime<Utc>>) -> Duration {
        age(time.map_or(self.since, |time| time.max(self.since)), self.last)
    }
}

/// How long ago it was; nothing for a time to come.
pub fn age(time: DateTime<Utc>, now: DateTime<Utc>) -> Duration {
    (now - time).to_std().unwrap_or_default()
}
