//! The agenda: which source a look asks, and when.
//!
//! | source                        | asked                                                                     | at most every     |
//! |-------------------------------|---------------------------------------------------------------------------|-------------------|
//! | DNS                           | in every look                                                             | 1 s               |
//! | the target group              | if its description is 15 s old; before a write, if it is 1 s old          | 1 s               |
//! | topology, beside DNS          | in a watch; when the writer's name leads elsewhere than when this process last saw the group in sync; three minutes after it was last found to agree | 2 s |
//! | topology, after the verdict   | before a target is taken away; while the verdict waits for more than DNS; when a member is ill, which is a hint and no proof | 2 s; before a switch 1 s |
//! | the databases, beside DNS     | in a watch, and after a look that did not find the group right: all that are known      | 1 s |
//! | the databases, after it       | the same, those that became known, and all in a look that did not find the group right; the registered ones when topology is checked | once a look |
//!
//! Topology is asked every second while DNS moves, or while an event names an instance that is not registered. Asking it
//! beside DNS saves a round trip: else the drift shows only once the target group is described.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::because::Because;
use crate::binding::{Binding, Kind};
use crate::claim::age;
use crate::evidence::Evidence;
use crate::target::{Addresses, DescribedTarget};
use crate::verdict::Verdict;

/// Between two looks of one run.
pub const PAUSE: Duration = Duration::from_secs(1);

/// While nothing is to be written, a description this old will do: ELBv2 gives the whole account ten describes a second.
const DESCRIBE_EVERY: Duration = Duration::from_secs(15);

/// The RDS API is throttled at an unpublished rate, for the whole account.
const ASK_TOPOLOGY_EVERY: Duration = Duration::from_secs(2);

/// In sync is a claim of DNS alone. A DNS that is wrong for good is seen by nobody else.
const CHECK_EVERY: Duration = Duration::from_secs(180);

/// What a process knows of the last time it saw a group in sync.
#[derive(Clone, Debug, Default)]
pub struct Settled {
    /// What DNS said then.
    pub addresses: Option<Addresses>,
    /// Every address that it saw so in this process: the standby of an instance is where its writer was.
    pub known: BTreeSet<IpAddr>,
    /// When others than DNS were last asked and did not contradict.
    pub checked: Option<DateTime<Utc>>,
}

/// What one run asks for one binding.
#[derive(Clone, Debug)]
pub struct Agenda {
    kind: Kind,
    has_topology: bool,
    /// Whether its databases are asked.
    has_voice: bool,
    is_watching: bool,
    settled: Settled,
    /// When topology last answered or was given up: while it hangs, it must not keep the others waiting all the time.
    heard: Option<DateTime<Utc>>,
    /// When a database was asked last.
    asked: Option<DateTime<Utc>>,
    has_moved: bool,
    /// Whether the last look did not find the group right.
    is_drifting: bool,
}

impl Agenda {
    /// The agenda of a run that begins.
    pub fn new(binding: &Binding, is_watching: bool, settled: Settled) -> Agenda {
        let has_topology = binding.cluster().is_some();
        let has_voice = binding.engine.is_some();
        Agenda {
            kind: binding.kind,
            has_topology,
            has_voice,
            is_watching,
            settled,
            heard: None,
            asked: None,
            has_moved: false,
            is_drifting: false,
        }
    }

    /// Whether a look describes the target group.
    pub fn describes(&self, evidence: &Evidence, now: DateTime<Utc>) -> bool {
        evidence.group.described_at().is_none_or(|at| age(at, now) >= DESCRIBE_EVERY)
    }

    /// Whether the description is young enough to write by it.
    pub fn may_write(&self, evidence: &Evidence, now: DateTime<Utc>) -> bool {
        evidence.group.described_at().is_some_and(|at| age(at, now) < PAUSE)
    }

    /// Whether topology is asked beside DNS, which gave this answer, or none. The evidence is that of the look before.
    pub fn asks_topology(&self, evidence: &Evidence, answer: Option<&Addresses>, now: DateTime<Utc>) -> bool {
        let settled = self.settled.addresses.as_ref();
        let has_left = answer.is_some_and(|answer| settled.is_some_and(|settled| settled != answer));
        let is_check = self.is_check(now);
        // A reader endpoint answers with another of them each time.
        let is_wanted = self.is_watching || is_check || (has_left && self.kind == Kind::Cluster);
        let has_moved = answer.is_some_and(|answer| evidence.answer() != Some(answer));
        self.has_topology && is_wanted && self.is_due(self.topology_pause(has_moved, evidence, now), now)
    }

    /// Whether topology is asked before this verdict counts.
    pub fn asks_topology_after(&self, verdict: &Verdict, evidence: &Evidence, now: DateTime<Utc>) -> bool {
        let is_wanted = match verdict {
            Verdict::Refuse(_) => false,
            Verdict::Wait(Because::Silence) => self.is_watching,
            Verdict::Wait(_) => true,
            // Nobody knows better than the databases.
            Verdict::Switch(_, Because::Word { .. }) => false,
            Verdict::Switch(plan, _) => !plan.deregister.is_empty() || self.kind == Kind::Readers,
            Verdict::InSync(_) => self.is_watching || evidence.group.targets().iter().any(DescribedTarget::is_ill),
        };
        let pause = match verdict {
            // Nothing is written unless topology had a chance to object to it: now, and not while a description that
            // takes its time was under way.
            Verdict::Switch(..) => PAUSE,
            _ => self.topology_pause(self.has_moved, evidence, now),
        };
        self.has_topology && is_wanted && self.is_due(pause, now)
    }

    /// The databases that are asked beside DNS, by the evidence of the look before.
    pub fn asks_databases(&self, evidence: &Evidence) -> BTreeSet<IpAddr> {
        if self.has_voice && (self.is_watching || self.is_drifting) {
            self.candidates(evidence)
        } else {
            BTreeSet::new()
        }
    }

    /// The databases that are asked before this verdict counts, besides those that were asked in this look.
    pub fn asks_databases_after(&self, verdict: &Verdict, evidence: &Evidence, now: DateTime<Utc>) -> BTreeSet<IpAddr> {
        let is_right = matches!(verdict, Verdict::InSync(_));
        if self.has_voice && (self.is_watching || !is_right) {
            self.candidates(evidence)
        } else if self.has_voice && self.is_check(now) {
            evidence.group.members().collect()
        } else {
            BTreeSet::new()
        }
    }

    /// What a look ended with.
    pub fn hear_verdict(&mut self, verdict: &Verdict) {
        self.is_drifting = !matches!(verdict, Verdict::InSync(_));
    }

    /// Until the next look, if the last one took so long: half as long while a write does not show yet, and while no
    /// database says that it takes writes. Databases may be silent for all the time that they are given, which must not
    /// make the looks rare.
    pub fn pause(&self, evidence: &Evidence, took: Duration, is_unshown: bool, now: DateTime<Utc>) -> Duration {
        let is_out = self.has_voice && self.is_watching && evidence.writers(now).is_none();
        let pause = if is_unshown || is_out { PAUSE / 2 } else { PAUSE };
        if self.has_voice { pause.saturating_sub(took).max(PAUSE / 4) } else { pause }
    }

    /// DNS answers; the evidence is that of the look before.
    pub fn hear_dns(&mut self, evidence: &Evidence, answer: &Addresses) {
        self.has_moved = evidence.answer() != Some(answer);
    }

    /// A database was asked, and answered or was given up now.
    pub fn hear_databases(&mut self, now: DateTime<Utc>) {
        self.asked = Some(now);
    }

    /// Topology was asked, and answered or was given up now.
    pub fn hear_topology(&mut self, now: DateTime<Utc>) {
        self.heard = Some(now);
    }

    /// The group is in sync with this answer of DNS, and what was asked in this run does not contradict it.
    pub fn settle(&mut self, answer: Option<&Addresses>) -> &Settled {
        self.settled.addresses = answer.cloned();
        self.settled.known.extend(answer.into_iter().flat_map(Addresses::iter));
        // The registered database, which may be silent, is no check in place of the RDS API: that would put it off.
        let asked = self.asked.filter(|_| !self.has_topology);
        self.settled.checked = self.heard.or(asked).or(self.settled.checked);
        &self.settled
    }

    fn topology_pause(&self, has_moved: bool, evidence: &Evidence, now: DateTime<Utc>) -> Duration {
        let is_announced = evidence.named(now).is_some_and(|(named, _)| !evidence.group.has_member(named));
        if has_moved || is_announced { PAUSE } else { ASK_TOPOLOGY_EVERY }
    }

    fn candidates(&self, evidence: &Evidence) -> BTreeSet<IpAddr> {
        let mut candidates = self.settled.known.clone();
        candidates.extend(evidence.candidates());
        candidates
    }

    fn is_check(&self, now: DateTime<Utc>) -> bool {
        self.settled.checked.is_none_or(|at| age(at, now) >= CHECK_EVERY)
    }

    fn is_due(&self, pause: Duration, now: DateTime<Utc>) -> bool {
        self.heard.is_none_or(|heard| age(heard, now) >= pause)
    }
}

#[cfg(test)]
mod tests;
