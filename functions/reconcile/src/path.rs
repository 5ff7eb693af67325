//! What consumers see: whether a new session through each address of the load balancer reaches the
//! registered writer.
//!
//! | through the address                           | state         | the round  |
//! |-----------------------------------------------|---------------|------------|
//! | the registered writer, and it takes writes    | `writer`      | good       |
//! | a server that takes no writes                 | `reader`      | bad        |
//! | another server that takes writes              | `other`       | bad        |
//! | a server that blocks the load balancer, or    | `refused`     | bad        |
//! | has another error                             |               |            |
//! | a refused login or certificate, a server that | `refused`     | no verdict |
//! | is full, starts or stops                      |               |            |
//! | nobody, or nobody in time                     | `unreachable` | bad        |
//! | not asked, or not clear                       | `unknown`     | no verdict |
//!
//! A round is bad if one of its addresses is, and the registered writer, asked directly before and
//! after it, is the same server and takes writes: a database that is down by itself, or full, or
//! refuses the login, is no broken path. It is good if all its addresses are and nothing else is
//! registered, to which the next session might lead. Nothing here decides about targets. When a run
//! asks, and what follows from several rounds, is in `policy`.

mod policy;

use std::collections::BTreeMap;
use std::net::IpAddr;

use base::report::Failure;
use chrono::{DateTime, Utc};
use serde::Serialize;
use strum::Display;

pub use self::policy::{Followed, PathHistory, PathPolicy, PathVerdict, Registration};
use crate::claim::Role;

/// A server that answered, as who it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// Whether it takes writes.
    pub role: Role,
    /// What tells it from every other server, and from itself before a restart where that is known.
    /// Only to be compared.
    pub identity: String,
}

/// What kept a session from a server, as far as it says something about the path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Obstacle {
    /// Nobody accepted, or nobody answered in time.
    Unreachable,
    /// The server blocks the address from which the load balancer speaks (MySQL: error 1129).
    Blocked,
    /// The server answered with another error, or in another protocol.
    Refused,
    /// It refused this login, is full, starts or stops, or this program failed: the path may be
    /// good for others.
    Inconclusive,
    /// Its certificate was refused.
    Tls,
}

/// What came of a new session.
pub type Session = Result<Server, (Obstacle, Failure)>;

/// Where a new session through one address of the load balancer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Display, Serialize)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum PathState {
    /// At the registered writer.
    Writer,
    /// At a server that takes no writes.
    Reader,
    /// At another server that takes writes.
    Other,
    /// At a server that turned it away.
    Refused,
    /// Nowhere.
    Unreachable,
    /// It was not asked, or its answer is not clear.
    Unknown,
}

/// One session through each address of the load balancer, side by side.
#[derive(Clone, Debug)]
pub struct Round {
    /// When it began.
    pub began: DateTime<Utc>,
    /// When all addresses had answered.
    pub answered: DateTime<Utc>,
    /// How many targets were registered.
    pub registered: usize,
    /// The one of them that takes writes, asked directly before; or why there is none.
    pub writer: Result<(IpAddr, Server), String>,
    /// What came of each address; absent if it was not asked.
    pub through: BTreeMap<IpAddr, Option<Session>>,
    /// Whether the writer, asked directly once more, was still the same; asked if it matters.
    pub is_confirmed: bool,
    /// Why the load balancer's name led to no address, if it did not.
    pub unresolved: Option<String>,
}

impl Round {
    /// Where each address led.
    pub fn states(&self) -> BTreeMap<IpAddr, PathState> {
        let state = |session: &Option<Session>| self.state(session.as_ref());
        self.through.iter().map(|(address, session)| (*address, state(session))).collect()
    }

    /// Whether every address led to the writer; absent if nothing follows from the round.
    pub fn is_up(&self) -> Option<bool> {
        let sessions = || self.through.values().map(Option::as_ref);
        if self.writer.is_err() || self.through.is_empty() {
            None
        } else if self.is_good_so_far() {
            (self.registered == 1).then_some(true)
        } else if self.is_confirmed && sessions().any(|session| self.is_bad(session)) {
            Some(false)
        } else {
            None
        }
    }

    /// Whether the writer need not be asked once more.
    pub fn is_good_so_far(&self) -> bool {
        self.states().values().all(|state| *state == PathState::Writer)
    }

    /// In words, what a person should know who reads the states.
    pub fn note(&self) -> Option<String> {
        let unresolved = self.unresolved.iter().cloned();
        let told: Vec<String> = unresolved.chain(self.told()).collect();
        (!told.is_empty()).then(|| told.join("; "))
    }

    fn told(&self) -> Vec<String> {
        let writer = match &self.writer {
            Ok((_, writer)) => writer,
            Err(_) if self.through.is_empty() => return Vec::new(),
            Err(problem) => return vec![format!("not judged: {problem}")],
        };
        let are_silent = self.states().values().all(|state| *state == PathState::Unreachable);
        if self.is_up() == Some(false) && are_silent {
            return vec![SILENCE.to_owned()];
        }
        let told = self.through.iter().filter_map(|(address, session)| {
            let Some(session) = session else { return Some(format!("{address}: {TARGET}")) };
            let text = match session {
                Ok(server) if server == writer => return None,
                Ok(Server { role: Role::Writer, identity }) => {
                    format!("leads to {identity}, which takes writes too")
                }
                Ok(Server { role, identity }) => format!("leads to {identity}, role {role}"),
                Err((Obstacle::Blocked, _)) => BLOCKED.to_owned(),
                Err((Obstacle::Unreachable, failure)) => {
                    format!("{UNREACHABLE} ({})", failure.kind)
                }
                Err((_, failure)) => format!("through the load balancer: {}", failure.message),
            };
            Some(format!("{address}: {text}"))
        });
        let others = (self.registered > 1).then(|| SEVERAL.to_owned());
        told.chain(others).collect()
    }

    fn state(&self, session: Option<&Session>) -> PathState {
        let (Ok((_, writer)), Some(session)) = (&self.writer, session) else {
            return PathState::Unknown;
        };
        match session {
            Ok(Server { role: Role::Reader, .. }) => PathState::Reader,
            Ok(Server { role: Role::Unknown, .. }) => PathState::Unknown,
            Ok(server) if server.identity == writer.identity => PathState::Writer,
            Ok(_) => PathState::Other,
            Err((Obstacle::Unreachable, _)) => PathState::Unreachable,
            Err(_) => PathState::Refused,
        }
    }

    fn is_bad(&self, session: Option<&Session>) -> bool {
        let says_nothing =
            matches!(session, Some(Err((Obstacle::Inconclusive | Obstacle::Tls, _))));
        !says_nothing && !matches!(self.state(session), PathState::Writer | PathState::Unknown)
    }
}

const SILENCE: &str = "no address of the load balancer answers, while the database itself does: \
    either the path is broken for consumers too (no target in use, or a security group that keeps \
    the load balancer from the database), or only this function is kept out: the load balancer's \
    security group must admit the function's on the listener's port, and the function's must let \
    it out there";

const UNREACHABLE: &str = "nobody answers there, while the database itself does: no target is in \
    use in that zone, or a security group on the way is in the way";

const TARGET: &str = "not asked: it is the target itself, so PROBE_PATH does not lead through the \
    load balancer: give the load balancer's DNS name";

const SEVERAL: &str = "several targets are registered, and the next session may lead to another";

const BLOCKED: &str = "the server blocks the load balancer's address in this zone (error 1129), \
    and with it every consumer there: empty its host cache (infra/mysql.md, flush-hosts)";

#[cfg(test)]
mod tests;
