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
//! registered, to which the next session might lead. Nothing here decides about targets.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use base::report::Failure;
use chrono::{DateTime, Utc};
use strum::Display;

use crate::binding::Engine;
use crate::claim::{Role, age};
use crate::target::Target;

/// From one round to the next, after a switch.
pub const ROUND_EVERY: Duration = Duration::from_secs(2);

/// One good round is not the end: a load balancer was right, silent, and right again (NLB after a
/// change of its listener: aws/containers-roadmap#470).
const GOOD_ROUNDS: u32 = 3;

/// So many addresses a process remembers of a load balancer, which has one in each zone.
const ADDRESSES_AT_MOST: usize = 8;

/// How often a path that is good is asked, as the sources of a group in sync are.
const CHECK_EVERY: Duration = Duration::from_secs(180);

/// A path that was not looked at for longer may have become good at any time between: no time is
/// told then. With a run a minute one is left out now and then, with rarer ones all that no watch
/// saw.
const GAP: Duration = Duration::from_secs(90);

/// A write may not show for a while, and is repeated. What is registered once more after longer
/// than that was deregistered by another run.
const REPEATED: Duration = Duration::from_secs(15);

/// So long nobody is asked after a certificate was refused, where that does harm: 24 broken
/// handshakes a day are few beside the 100 in a row that block an address.
const UNTRUSTED_FOR: Duration = Duration::from_secs(3_600);

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

const UNTRUSTED: &str = "not asked for an hour: through the load balancer the server's certificate \
    was refused, and each broken handshake counts against its consumers (error 1129): give the \
    endpoint of the database that the certificate is for, or its authority in CA_BUNDLE";

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
    /// When it was bad last.
    bad_at: Option<DateTime<Utc>>,
    asked_at: Option<DateTime<Utc>>,
    untrusted_at: Option<DateTime<Utc>>,
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

/// What a round says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PathVerdict {
    /// Whether consumers reach the writer; absent if nothing follows, or not yet.
    pub is_up: Option<bool>,
    /// How long it took until they did after a registration, if it is over now.
    pub followed: Option<Followed>,
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
    /// Whether the server counts broken handshakes against the load balancer's address, which all
    /// consumers of a zone share.
    counts_handshakes: bool,
    has_registered: bool,
    began: Option<DateTime<Utc>>,
    last: Option<bool>,
    good_rounds: u32,
    first_good: Option<DateTime<Utc>>,
}

impl PathPolicy {
    /// For a run that begins.
    pub fn new(history: PathHistory, engine: Option<Engine>) -> PathPolicy {
        PathPolicy {
            history,
            counts_handshakes: engine == Some(Engine::MySql),
            has_registered: false,
            began: None,
            last: None,
            good_rounds: 0,
            first_good: None,
        }
    }

    /// This run registered the targets. What it registers once more was registered before.
    pub fn record_registration(&mut self, registration: Registration) {
        let is_known = |last: &Registration| {
            last.targets == registration.targets && age(last.at, registration.at) <= REPEATED
        };
        if !(self.has_registered && self.history.registration.as_ref().is_some_and(is_known)) {
            self.history.registration = Some(registration);
            (self.good_rounds, self.first_good) = (0, None);
        }
        self.has_registered = true;
    }

    /// Whether this run goes on, until its time is up, because of the path alone. Others may
    /// register another writer meanwhile.
    pub fn is_awaited(&self, now: DateTime<Utc>) -> bool {
        self.has_registered && self.history.registration.is_some() && !self.is_paused(now)
    }

    /// Whether a round begins now, beside everything else: after a switch by this run.
    pub fn should_ask(&self, now: DateTime<Utc>) -> bool {
        let is_due = self.began.is_none_or(|began| age(began, now) >= ROUND_EVERY);
        is_due && self.is_awaited(now)
    }

    /// How long to wait for the next round once all else is done; absent if none is to come.
    pub fn next_at_end(&self, now: DateTime<Utc>) -> Option<Duration> {
        let is_pending = self.history.registration.is_some();
        let is_check = self.history.asked_at.is_none_or(|at| age(at, now) >= CHECK_EVERY);
        let is_due = match self.began {
            None => is_check || self.history.is_down || is_pending,
            Some(_) => is_pending && self.last == Some(true),
        };
        let pause = self.began.map(|began| ROUND_EVERY.saturating_sub(age(began, now)));
        (is_due && !self.is_paused(now)).then(|| pause.unwrap_or_default())
    }

    /// A round begins.
    pub fn begin_round(&mut self, now: DateTime<Utc>) {
        (self.began, self.history.asked_at) = (Some(now), Some(now));
    }

    /// A round is over.
    pub fn record(&mut self, round: &Round) -> PathVerdict {
        let is_untrusted = |session| matches!(session, &Err((Obstacle::Tls, _)));
        if round.through.values().flatten().any(is_untrusted) {
            self.history.untrusted_at = Some(round.answered);
        }
        let is_other = |registration: &mut Registration| match &round.writer {
            Ok((writer, _)) => registration.targets.iter().all(|it| it.address != *writer),
            Err(_) => false,
        };
        // Somebody else registered another writer since.
        self.history.registration.take_if(is_other);
        self.last = round.is_up();
        let Some(is_up) = self.last else { return PathVerdict::default() };
        self.history.is_down = !is_up;
        if !is_up {
            self.history.bad_at = Some(round.answered);
        }
        let Some(registration) = &self.history.registration else {
            return PathVerdict { is_up: Some(is_up), followed: None };
        };
        if !is_up || round.began < registration.at {
            (self.good_rounds, self.first_good) = (0, None);
            return PathVerdict { is_up: Some(false).filter(|_| !is_up), followed: None };
        }
        let first_good = *self.first_good.get_or_insert(round.answered);
        self.good_rounds += 1;
        if self.good_rounds < GOOD_ROUNDS {
            return PathVerdict::default();
        }
        let Registration { at, event_at, .. } = registration;
        let last_bad = self.history.bad_at.map_or(*at, |bad| bad.max(*at));
        let followed = (age(last_bad, first_good) <= GAP).then(|| Followed {
            registration: age(*at, first_good),
            event: event_at.map(|event| age(event, first_good)),
        });
        self.history.registration = None;
        PathVerdict { is_up: Some(true), followed }
    }

    /// In words, why nobody is asked, or that the registration was not seen to be followed.
    pub fn note(&self, now: DateTime<Utc>) -> Option<String> {
        if self.is_paused(now) {
            return Some(UNTRUSTED.to_owned());
        }
        let registration = self.history.registration.as_ref()?;
        let bad_at = self.history.bad_at.filter(|_| self.last == Some(false))?;
        let seconds = age(registration.at, bad_at).as_secs();
        Some(format!("the load balancer takes at least {seconds} s to follow the registration"))
    }

    fn is_paused(&self, now: DateTime<Utc>) -> bool {
        let is_recent = |at: DateTime<Utc>| age(at, now) < UNTRUSTED_FOR;
        self.counts_handshakes && self.history.untrusted_at.is_some_and(is_recent)
    }
}

#[cfg(test)]
mod tests;
