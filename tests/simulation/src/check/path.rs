//! What must hold where the function asks through the load balancer.
//!
//! The registered writer is the member of the group that takes writes. An address whose zone still
//! has the old target beside it may answer either way: it is no reason to call the path down, and
//! none to call it up wrongly.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use reconcile::claim::Role;
use reconcile::path::Server;
use reconcile::report::BindingReport;
use reconcile::target::Target;

use crate::check::Invariant;
use crate::data_plane::{DataPlane, Members};
use crate::dice::{Moment, SECOND};
use crate::distributions as d;
use crate::measure::PathMeasures;
use crate::ports::Ports;
use crate::scenario::PORT;

/// From one round of a run to its next, at least.
const ROUND_EVERY: Moment = 2 * SECOND;

/// A run begins so many rounds in a minute at most: one every two seconds, and one at either end.
/// Each opens one session through each address, and one directly with each registered target before
/// it and with one of them after it. All that a process opens in a minute is 31 times the addresses
/// and the registered targets and one, however many members a cluster has: 186 with three addresses
/// and two targets, and 1,302 if seven runs that registered overlap.
const ROUNDS_A_MINUTE: usize = 31;

/// A round may begin so much later: the run does other things meanwhile.
const BESIDE: Moment = 2 * SECOND;

/// A later run, a minute after the last one, may come late.
const LATER_RUN: Moment = d::SCHEDULE + 30 * SECOND;

/// What a run says of the path at its end.
#[derive(Clone, Debug)]
pub struct PathClaim {
    /// The metric `PathUp`.
    pub is_up: Option<bool>,
    /// The metric `PathLatency`.
    pub latency: Option<Moment>,
}

impl PathClaim {
    /// What the report says, if the path was asked.
    pub fn of(report: &BindingReport) -> Option<PathClaim> {
        report.path.as_ref()?;
        let latency = report.register_to_path.map(|latency| latency.as_millis() as Moment);
        Some(PathClaim { is_up: report.is_path_up, latency })
    }
}

/// What a process asked.
#[derive(Default)]
pub struct PathAudit {
    /// When each round of this invocation began, and which addresses DNS named.
    rounds: Vec<(Moment, Vec<IpAddr>)>,
    /// Every session of this invocation.
    sessions: Vec<SessionAudit>,
    /// The addresses that DNS named in an earlier invocation's rounds.
    seen: BTreeSet<IpAddr>,
    /// What was registered, and when the process knew, in any invocation.
    registered: Vec<(Moment, Vec<Target>)>,
}

#[derive(Clone)]
struct SessionAudit {
    server: SocketAddr,
    asked: Moment,
    /// And whether one that takes writes answered; absent while it is open.
    answered: Option<(Moment, bool)>,
}

/// A round that came to its end.
struct Round {
    began: Moment,
    ended: Moment,
    sessions: Vec<SessionAudit>,
}

impl PathAudit {
    /// That of the process's next invocation.
    pub(super) fn next(mut self) -> PathAudit {
        let named: Vec<IpAddr> = self.named().collect();
        self.seen.extend(named);
        let (seen, registered) = (self.seen, self.registered);
        PathAudit { seen, registered, ..PathAudit::default() }
    }

    /// The process learns that it has registered.
    pub(crate) fn record_registration(&mut self, now: Moment, targets: &[Target]) {
        self.registered.push((now, targets.to_vec()));
    }

    /// The addresses that DNS named in the rounds of this invocation that came to their end.
    fn named(&self) -> impl Iterator<Item = IpAddr> {
        let complete = self.complete().len();
        self.rounds.iter().take(complete).flat_map(|(_, named)| named).copied()
    }

    /// The rounds that came to their end: the next one begins then.
    fn complete(&self) -> Vec<Round> {
        let round = |(number, (began, _)): (usize, &(Moment, Vec<IpAddr>))| {
            let end = self.rounds.get(number + 1).map_or(Moment::MAX, |(began, _)| *began);
            let is_its = |session: &&SessionAudit| (*began..end).contains(&session.asked);
            let sessions: Vec<SessionAudit> =
                self.sessions.iter().filter(is_its).cloned().collect();
            let answered = sessions.iter().map(|session| session.answered.map(|(at, _)| at));
            let ended = answered.collect::<Option<Vec<Moment>>>()?.into_iter().max()?;
            Some(Round { began: *began, ended, sessions })
        };
        self.rounds.iter().enumerate().filter_map(round).collect()
    }
}

impl Round {
    /// The sessions through the load balancer, each with its zone.
    fn through<'a>(
        &'a self,
        plane: &'a DataPlane,
    ) -> impl Iterator<Item = (usize, &'a SessionAudit)> {
        self.sessions.iter().filter_map(|session| Some((plane.zone(session.server)?, session)))
    }

    /// The moments at which it is looked at: its own, and each session's.
    fn moments(&self) -> Vec<Moment> {
        let sessions = self.sessions.iter();
        let own = sessions.flat_map(|it| [Some(it.asked), it.answered.map(|(at, _)| at)]);
        own.flatten().chain([self.began, self.ended]).collect()
    }

    /// Whether every session found one that takes writes.
    fn is_all_writer(&self) -> bool {
        self.sessions.iter().all(|session| session.answered.is_some_and(|(_, is_it)| is_it))
    }
}

impl Ports {
    /// A round begins, and DNS names these addresses.
    pub(crate) fn record_round(&self, named: Vec<IpAddr>) {
        let now = self.world().now();
        self.audit().path.rounds.push((now, named));
    }

    /// A session is opened. Says its number.
    pub(crate) fn record_session(&self, server: SocketAddr) -> usize {
        let now = self.world().now();
        let (number, count) = {
            let sessions = &mut self.audit().path.sessions;
            sessions.push(SessionAudit { server, asked: now, answered: None });
            let is_recent =
                |it: &&SessionAudit| it.server == server && it.asked + 60 * SECOND > now;
            (sessions.len() - 1, sessions.iter().filter(is_recent).count())
        };
        let plane = self.scenario().data_plane.as_ref();
        let is_through = plane.is_some_and(|plane| plane.zone(server).is_some());
        let limit = if is_through { ROUNDS_A_MINUTE } else { 2 * ROUNDS_A_MINUTE };
        if count > limit {
            let text = format_args!("{count} sessions with {server} within a minute");
            self.world().violate(Invariant::PathSessionsBounded, text);
        }
        number
    }

    /// A session is over.
    pub(crate) fn record_answer(&self, number: usize, said: Option<&Server>) {
        let now = self.world().now();
        let is_writer = said.is_some_and(|server| server.role == Role::Writer);
        let asked = {
            let session = &mut self.audit().path.sessions[number];
            session.answered = Some((now, is_writer));
            session.asked
        };
        self.world().state().path.sessions.push((asked, now));
    }

    /// Checks what a run says of the path.
    pub(crate) fn examine_path(&self, claim: &PathClaim) {
        let Some(plane) = &self.scenario().data_plane else { return };
        let (rounds, reached) = {
            let audit = self.audit();
            let reached: BTreeSet<IpAddr> =
                audit.path.seen.iter().copied().chain(audit.path.named()).collect();
            (audit.path.complete(), reached)
        };
        let Some(last) = rounds.last() else { return };
        let is_right = self.is_right(plane, last);
        match claim.is_up {
            Some(true) => self.examine_up(plane, last, &reached),
            Some(false) if is_right => {
                let text = "every address led to the one registered target alone, and PathUp is 0";
                self.world().violate(Invariant::PathIsNotDown, text);
            }
            _ => {}
        }
        let mut latency = None;
        if let Some(claimed) = claim.latency {
            latency = self.examine_latency(plane, &rounds, claimed);
        }
        let mut state = self.world().state();
        let seen: &mut PathMeasures = &mut state.path;
        seen.verdicts += usize::from(claim.is_up.is_some());
        seen.wrong_verdicts += usize::from(claim.is_up.is_some_and(|is_up| is_up != is_right));
        seen.latencies.extend(latency);
    }

    fn examine_up(&self, plane: &DataPlane, round: &Round, reached: &BTreeSet<IpAddr>) {
        for (zone, address) in plane.addresses().enumerate() {
            let mut moments = round.moments().into_iter();
            let may_be_good = moments
                .any(|at| self.leads(plane, zone, at).iter().any(|it| self.is_writer(*it, at)));
            if reached.contains(&address) && !may_be_good {
                let text = format_args!("{address} leads elsewhere, and PathUp is 1");
                self.world().violate(Invariant::PathIsUp, text);
            }
        }
    }

    /// The claimed time and the true one, in seconds.
    fn examine_latency(
        &self,
        plane: &DataPlane,
        rounds: &[Round],
        claimed: Moment,
    ) -> Option<(f32, f32)> {
        let violate = |text: String| self.world().violate(Invariant::PathLatencyIsTrue, text);
        let registered = self.audit().path.registered.clone();
        let is_first = |at: Moment| rounds.iter().find(|round| round.ended == at + claimed);
        let mut numbered = registered.iter().enumerate();
        let first = numbered.find_map(|(number, (at, _))| Some((number, *at, is_first(*at)?)));
        let Some((number, known, first)) = first else {
            violate(format!("no round ended {claimed} ms after a registration"));
            return None;
        };
        let mut history = self.world().state().kept[0].group.history.clone();
        history.retain(|(at, _)| *at <= first.ended);
        let joined = joined(&history)?;
        let members = &history.last()?.1;
        if known < joined {
            // That the target was out meanwhile, by another run, the one that waits need not see.
            let is_newer = |(at, _): &(Moment, _)| (joined..=first.began).contains(at);
            let is_kept = registered[number].1.iter().any(|target| members.contains(target))
                && !registered.iter().any(is_newer);
            if !is_kept {
                violate(format!("{claimed} ms from a registration that another one has followed"));
            }
            return None;
        }
        let is_followed = |at: Moment| {
            first.through(plane).all(|(zone, _)| self.leads(plane, zone, at) == *members)
        };
        // The registration is followed since the last moment at which it was not.
        let moments = plane.moments(&history, joined);
        let until_then = moments.iter().rev().skip_while(|at| **at > first.ended);
        let followed = until_then.take_while(|at| is_followed(**at)).last();
        let seconds = |time: Moment| time as f32 / 1e3;
        let Some(followed) = followed else {
            // A zone still has the old target beside the new one, and good rounds were luck.
            let followed = moments.iter().find(|at| **at > first.ended && is_followed(**at))?;
            return Some((seconds(claimed), seconds(followed - joined)));
        };
        let rounds_between = rounds.iter().filter(|round| round.began >= *followed);
        let is_disturbed = rounds_between
            .take_while(|round| round.began < first.began)
            .any(|round| !round.is_all_writer());
        let longest = rounds.iter().map(|round| round.ended - round.began).max().unwrap_or(0);
        let is_own = rounds.iter().any(|round| round.began <= *followed);
        let interval = if is_own { ROUND_EVERY + longest + BESIDE } else { LATER_RUN };
        if !is_disturbed && first.ended > followed + interval + longest {
            let (late, whose) =
                (first.ended - followed, if is_own { "its own" } else { "a later" });
            violate(format!("{claimed} ms is {late} ms too much, by {whose} run"));
        }
        Some((seconds(claimed), seconds(followed - joined)))
    }

    /// Whether, during a round, each address it asked led to the one member and nowhere else.
    fn is_right(&self, plane: &DataPlane, round: &Round) -> bool {
        let is_right_at = |at: Moment| {
            let members = self.world().state().kept[0].group.members_at(at).to_vec();
            members.len() == 1
                && members[0].port == PORT
                && round.through(plane).all(|(zone, _)| self.leads(plane, zone, at) == members)
        };
        round.through(plane).next().is_some() && round.moments().into_iter().all(is_right_at)
    }

    /// The targets to which a session in a zone goes then; none if it goes nowhere.
    fn leads(&self, plane: &DataPlane, zone: usize, at: Moment) -> Vec<Target> {
        if !plane.is_function_admitted || plane.trouble(zone, at).is_some() {
            return Vec::new();
        }
        plane.targets(zone, &self.world().state().kept[0].group.history, at)
    }

    /// Whether the target is a member then, and takes writes.
    fn is_writer(&self, target: Target, at: Moment) -> bool {
        let scenario = self.scenario();
        let is_member = self.world().state().kept[0].group.members_at(at).contains(&target);
        let role = scenario.host(target.address).and_then(|host| {
            let role = scenario.database.role_of(scenario.dice(), host, at);
            scenario.faults.role_anew(host, role, at)
        });
        is_member && target.port == PORT && role == Some(Role::Writer)
    }
}

/// Since when all members of a group are members.
fn joined(history: &Members) -> Option<Moment> {
    let (_, members) = history.last()?;
    let since = |target: &Target| {
        let having = history.iter().rev().take_while(|(_, then)| then.contains(target));
        having.last().map(|(at, _)| *at)
    };
    members.iter().filter_map(since).max()
}
