//! When a run asks through the load balancer, and what follows from several rounds.

use std::net::IpAddr;
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::{Obstacle, Round};
use crate::binding::Engine;
use crate::claim::age;
use crate::history::remember_last;
use crate::target::Target;

/// From one round to the next, after a switch.
const ROUND_EVERY: Duration = Duration::from_secs(2);

/// One good round is not the end: a load balancer was right, silent, and right again (NLB after a
/// change of its listener: aws/containers-roadmap#470).
const GOOD_ROUNDS: u32 = 3;

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
    pub(super) bad_at: Option<DateTime<Utc>>,
    pub(super) asked_at: Option<DateTime<Utc>>,
    pub(super) untrusted_at: Option<DateTime<Utc>>,
}

impl PathHistory {
    /// DNS named these addresses of the load balancer.
    pub fn record_addresses(&mut self, named: impl Iterator<Item = IpAddr>) {
        remember_last(&mut self.addresses, named);
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
#[derive(Clone, Debug, Default)]
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
        let counts_handshakes = engine == Some(Engine::MySql);
        PathPolicy { history, counts_handshakes, ..PathPolicy::default() }
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

const UNTRUSTED: &str = "not asked for an hour: through the load balancer the server's certificate \
    was refused, and each broken handshake counts against its consumers (error 1129): give the \
    endpoint of the database that the certificate is for, or its authority in CA_BUNDLE";
