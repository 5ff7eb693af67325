//! What consumers see: whether a new session through each address of the load balancer reaches the
//! registered writer.
//!
//! | through the address                          | state         | the round |
//! |----------------------------------------------|---------------|-----------|
//! | the registered writer, and it takes writes   | `writer`      | good      |
//! | a server that takes no writes                | `reader`      | bad       |
//! | another server that takes writes             | `other`       | bad       |
//! | a server that blocks the load balancer, or   | `refused`     | bad       |
//! | has another error                            |               |           |
//! | a refused login or certificate, a full server| `refused`     | no verdict|
//! | nobody, or nobody in time                    | `unreachable` | bad       |
//! | not asked, or not clear                      | `unknown`     | no verdict|
//!
//! A round is good if all its addresses are, and bad if one is and the registered writer, asked
//! directly before and after it, is the same server and takes writes. So a database that is down by
//! itself, or full, or refuses the login, is never taken for a broken path. Nothing here decides
//! about targets.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use base::report::Failure;
use chrono::{DateTime, Utc};
use strum::Display;

use crate::claim::{Role, age};
use crate::target::Target;

/// From one round to the next, after a switch.
pub const ROUND_EVERY: Duration = Duration::from_secs(2);

/// One good round is not the end: a load balancer was right, silent, and right again (NLB after a
/// change of its listener: aws/containers-roadmap#470).
const GOOD_ROUNDS: u32 = 3;

/// So many addresses a process remembers of a load balancer, which has one in each zone.
const ADDRESSES_AT_MOST: usize = 8;

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
    /// It refused this login, or is full: other logins may get through.
    Login,
    /// Its certificate was refused.
    Tls,
}

/// What came of a new session.
pub type Session = Result<Server, (Obstacle, Failure)>;

/// Where a new session through one address of the load balancer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Display)]
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
    /// The one registered target that takes writes, asked directly before; or why there is none.
    pub writer: Result<Server, String>,
    /// What came of each address; absent if it was not asked, although there is a writer because
    /// that would do harm ([`PathHistory::was_untrusted`]).
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
            Some(true)
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
        if self.through.is_empty() {
            return self.unresolved.clone();
        }
        let writer = match &self.writer {
            Ok(writer) => writer,
            Err(problem) => return Some(format!("not judged: {problem}")),
        };
        if self.is_up() == Some(false)
            && self.states().values().all(|state| *state == PathState::Unreachable)
        {
            return Some(SILENCE.to_owned());
        }
        if self.through.values().all(Option::is_none) {
            return Some(UNTRUSTED.to_owned());
        }
        let told = self.through.iter().filter_map(|(address, session)| {
            let text = match session.as_ref()? {
                Ok(server) if server == writer => return None,
                Ok(Server { role: Role::Writer, identity }) => {
                    format!("leads to {identity}, which takes writes too")
                }
                Ok(Server { role, identity }) => format!("leads to {identity}, a {role}"),
                Err((Obstacle::Blocked, _)) => BLOCKED.to_owned(),
                Err((_, failure)) => failure.message.clone(),
            };
            Some(format!("{address}: {text}"))
        });
        let told: Vec<String> = told.collect();
        (!told.is_empty()).then(|| told.join("; "))
    }

    fn state(&self, session: Option<&Session>) -> PathState {
        let (Ok(writer), Some(session)) = (&self.writer, session) else {
            return PathState::Unknown;
        };
        match session {
            Ok(Server { role: Role::Reader, .. }) => PathState::Reader,
            Ok(server) if server.identity != writer.identity => PathState::Other,
            Ok(Server { role: Role::Writer, .. }) => PathState::Writer,
            Ok(Server { role: Role::Unknown, .. }) => PathState::Unknown,
            Err((Obstacle::Unreachable, _)) => PathState::Unreachable,
            Err(_) => PathState::Refused,
        }
    }

    fn is_bad(&self, session: Option<&Session>) -> bool {
        let says_nothing = matches!(session, Some(Err((Obstacle::Login | Obstacle::Tls, _))));
        !says_nothing && !matches!(self.state(session), PathState::Writer | PathState::Unknown)
    }
}

const SILENCE: &str = "no address of the load balancer answers, while the database itself does: \
    either the path is broken for consumers too (no target in use, or a security group that keeps \
    the load balancer from the database), or only this function is kept out: the load balancer's \
    security group must admit the function's on the listener's port, and the function's must let \
    it out there";

const UNTRUSTED: &str = "not asked: through the load balancer the server's certificate was refused, \
    and each broken handshake counts against its consumers (error 1129): give the endpoint of the \
    database that the certificate is for, or its authority in CA_BUNDLE; the next process asks again";

const BLOCKED: &str = "the server blocks the load balancer's address in this zone (error 1129), \
    and with it every consumer there: empty its host cache (infra/mysql.md, flush-hosts)";

/// A registration that the load balancer was not yet seen to follow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registration {
    /// What was registered.
    pub targets: Vec<Target>,
    /// When it was acknowledged.
    pub at: DateTime<Utc>,
    /// When the RDS event happened that it followed.
    pub event_at: Option<DateTime<Utc>>,
}

/// What a process knows of the path to one target group.
#[derive(Clone, Debug, Default)]
pub struct PathHistory {
    /// The load balancer's addresses that DNS named, the last ones last. One that left DNS is asked
    /// all the same: an endpoint of PrivateLink stays with its zone.
    pub addresses: Vec<IpAddr>,
    /// The last registration, until the path was good after it.
    pub registration: Option<Registration>,
    /// Whether the last round with a verdict was bad.
    pub is_down: bool,
    /// Whether a certificate was refused through the load balancer. To MySQL each such session is a
    /// broken handshake, which counts against the consumers of that zone.
    pub was_untrusted: bool,
}

impl PathHistory {
    /// DNS named these addresses of the load balancer.
    pub fn record_addresses(&mut self, named: impl Iterator<Item = IpAddr>) {
        for address in named {
            self.addresses.retain(|known| *known != address);
            self.addresses.push(address);
        }
        self.addresses.drain(..self.addresses.len().saturating_sub(ADDRESSES_AT_MOST));
    }
}

/// How long it took until consumers reached the writer, to the first of three good rounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Followed {
    /// From the registration.
    pub registration: Duration,
    /// From the RDS event, if one was.
    pub event: Option<Duration>,
}

/// When one run asks through the load balancer.
#[derive(Clone, Debug)]
pub struct PathPolicy {
    /// What the process knows.
    pub history: PathHistory,
    is_check: bool,
    has_registered: bool,
    began: Option<DateTime<Utc>>,
    last: Option<bool>,
    good_rounds: u32,
    first_good: Option<DateTime<Utc>>,
}

impl PathPolicy {
    /// For a run that begins; `is_check` if it makes sure of what is in sync.
    pub fn new(history: PathHistory, is_check: bool) -> PathPolicy {
        PathPolicy {
            history,
            is_check,
            has_registered: false,
            began: None,
            last: None,
            good_rounds: 0,
            first_good: None,
        }
    }

    /// This run registered the targets. Registered once more they are still the same registration.
    pub fn record_registration(&mut self, registration: Registration) {
        self.has_registered = true;
        let last = self.history.registration.as_ref();
        if last.is_none_or(|last| last.targets != registration.targets) {
            self.history.registration = Some(registration);
            (self.good_rounds, self.first_good) = (0, None);
        }
    }

    /// Whether this run goes on, until its time is up, because of the path alone.
    pub fn is_awaited(&self) -> bool {
        self.has_registered && self.history.registration.is_some()
    }

    /// Whether a round begins now, beside everything else.
    pub fn should_ask(&self, now: DateTime<Utc>) -> bool {
        self.is_awaited() && self.began.is_none_or(|began| age(began, now) >= ROUND_EVERY)
    }

    /// How long to wait for the next round once all else is done; absent if none is to come.
    pub fn next_at_end(&self, now: DateTime<Utc>) -> Option<Duration> {
        let is_followed_up = self.last == Some(true) && self.history.registration.is_some();
        match self.began {
            None if self.is_check || self.history.is_down => Some(Duration::ZERO),
            None => self.history.registration.as_ref().map(|_| Duration::ZERO),
            Some(began) => is_followed_up.then(|| ROUND_EVERY.saturating_sub(age(began, now))),
        }
    }

    /// A round begins.
    pub fn begin_round(&mut self, now: DateTime<Utc>) {
        self.began = Some(now);
    }

    /// A round is over. Says how long the load balancer took, if it followed a registration.
    pub fn record(&mut self, round: &Round) -> Option<Followed> {
        self.history.was_untrusted |= { round.through.values().flatten() }
            .any(|session| matches!(session, Err((Obstacle::Tls, _))));
        self.last = round.is_up();
        let is_up = self.last?;
        self.history.is_down = !is_up;
        let registration = self.history.registration.as_ref()?;
        if !is_up || round.began < registration.at {
            (self.good_rounds, self.first_good) = (0, None);
            return None;
        }
        let first_good = *self.first_good.get_or_insert(round.answered);
        self.good_rounds += 1;
        if self.good_rounds < GOOD_ROUNDS {
            return None;
        }
        let Registration { at, event_at, .. } = self.history.registration.take()?;
        Some(Followed {
            registration: age(at, first_good),
            event: event_at.map(|event| age(event, first_good)),
        })
    }

    /// In words, that the registration was not seen to be followed.
    pub fn note(&self, now: DateTime<Utc>) -> Option<String> {
        let registration = self.history.registration.as_ref()?;
        let seconds = age(registration.at, now).as_secs();
        Some(format!("the load balancer takes at least {seconds} s to follow the registration"))
    }
}

#[cfg(test)]
mod tests;
