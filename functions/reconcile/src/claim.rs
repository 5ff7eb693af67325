//! What one witness says about where the writer is, and what makes that prove nothing.
//!
//! Ages are compared where claims and doubts are made, in [`evidence`](crate::evidence). The rules of
//! [`verdict`](crate::verdict) only combine them.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::target::Addresses;

/// A source that says where the writer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Witness {
    /// The endpoint's name.
    Dns,
    /// The cluster in the RDS API.
    Topology,
    /// A failover event that names an instance.
    Event,
}

impl fmt::Display for Witness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Witness::Dns => "DNS",
            Witness::Topology => "the RDS API",
            Witness::Event => "a failover event",
        })
    }
}

/// What a database says about itself when it is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Voice {
    /// It takes writes.
    TakesWrites,
    /// It is a reader, a standby, or a writer that was demoted.
    ReadOnly,
    /// It could take writes, but every new session is made read only by a setting of the server: an operator's, or that of
    /// a switchover under way. Nobody can tell from it which.
    Unknown,
}

impl Voice {
    /// The name in results and logs.
    pub fn name(self) -> &'static str {
        match self {
            Voice::TakesWrites => "takes writes",
            Voice::ReadOnly => "read only",
            Voice::Unknown => "unknown",
        }
    }
}

/// What one witness says now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim<'a> {
    /// Who says it.
    pub witness: Witness,
    /// The writer's addresses.
    pub addresses: &'a Addresses,
    /// The moment of which it surely speaks. DNS and the RDS API lag, and nobody knows of which moment they speak.
    pub speaks_of: Option<DateTime<Utc>>,
    /// Whether it counts for a switch to its addresses.
    pub proves: bool,
    /// Whether it counts against a switch to others.
    pub contradicts: bool,
}

/// Why what was said so far about an address proves nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Doubt {
    /// What was said before this moment proves nothing.
    pub since: DateTime<Utc>,
    /// What happened then.
    pub cause: Cause,
}

/// What gives rise to a doubt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The proposed address was left: somebody had proof against it.
    Left(IpAddr),
    /// A member that would leave was registered: somebody had proof of it.
    Appeared(IpAddr),
    /// The group held several members at the first look. Nobody knows which of them came last.
    Mixed,
    /// The RDS API named another writer, before it fell silent or changed its mind.
    Contradicted,
}

impl Doubt {
    /// Whether it takes nothing from a claim that speaks of this moment.
    pub fn is_older_than(&self, moment: Option<DateTime<Utc>>) -> bool {
        moment.is_some_and(|moment| self.since < moment)
    }
}

/// A doubt in words, with its age.
pub struct Told(pub Cause, pub Duration);

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ago = self.1.as_secs();
        match self.0 {
            Cause::Left(address) => write!(f, "{address} was left {ago} s ago"),
            Cause::Appeared(address) => write!(f, "{address} was registered {ago} s ago"),
            Cause::Mixed => write!(f, "the group held several members {ago} s ago"),
            Cause::Contradicted => write!(f, "the RDS API named another writer {ago} s ago"),
        }
    }
}

/// How long ago it was; nothing for a time to come.
pub fn age(time: DateTime<Utc>, now: DateTime<Utc>) -> Duration {
    (now - time).to_std().unwrap_or_default()
}
