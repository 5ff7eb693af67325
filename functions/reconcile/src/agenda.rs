//! The agenda: which source a look asks, and when.
//!
//! | source                        | asked                                                                     | at most every     |
//! |-------------------------------|---------------------------------------------------------------------------|-------------------|
//! | DNS                           | in every look                                                             | 1 s               |
//! | the target group              | if its description is 15 s old; before a write, if it is 1 s old          | 1 s               |
//! | topology, beside DNS          | in a watch; after a look that did not find the group right; three minutes after it was last found to agree; as soon as the writer's name leads elsewhere than when this process last saw the group in sync | 2 s |
//! | topology, after the verdict   | before a target is taken away; while the verdict waits for more than DNS; while witnesses disagree; when a member is ill, which is a hint and no proof | 2 s; before a switch, or when a disagreement seems to be over, 1 s |
//! | the databases, beside DNS     | in a watch, and after a look that did not find the group right: all that are known      | 1 s |
//! | the databases, after it       | the same, those that became known, and all in a look that did not find the group right; the registered ones when topology is checked | once a look |
//!
//! Topology is asked every second while DNS moves, or while an event names an instance that is not registered. Asking it
//! beside DNS saves a round trip: else the drift shows only once the target group is described. A disagreement that has
//! lasted for half a minute makes its pauses longer, up to 15 s, until DNS moves or an event comes. A check that got no
//! answer is repeated in the next run, then after 1, 2 and 3 minutes.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::because::Because;
use crate::binding::{Binding, Kind};
use crate::claim::age;
use crate::evidence::{CURRENT, Evidence, STANDING};
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

/// After so many checks in a row that got no answer, from the first on. A function without a way to the RDS API must not
/// wait for it in every run; of runs that come every minute each asks that is meant to, although the last wait took time.
const CHECK_AGAIN: [Duration; 3] = [Duration::ZERO, Duration::from_secs(55), Duration::from_secs(115)];

/// A disagreement lets the RDS API be asked more rarely once it has lasted for this long.
const STANDS_AFTER: Duration = Duration::from_secs(30);

/// And never more rarely than this. Each half minute of it makes the pause a second longer.
const ASK_TOPOLOGY_AT_LEAST: Duration = Duration::from_secs(15);

/// So many addresses a process remembers of a binding; they are asked in each watch.
const KNOWN_AT_MOST: usize = 8;

// What the RDS API said contradicts until it is asked again, which takes a look.
const _: () = assert!(ASK_TOPOLOGY_AT_LEAST.as_secs() + 4 < STANDING.as_secs());

/// What a process knows of the last time it saw a group in sync.
#[derive(Clone, Debug, Default)]
pub struct Settled {
    /// What DNS said then.
    pub addresses: Option<Addresses>,
    /// The addresses that it saw so in this process, the oldest first: the standby of an instance is where its writer was.
    pub known: Vec<IpAddr>,
    /// When others than DNS were last asked and did not contradict.
    pub checked: Option<DateTime<Utc>>,
    /// How many checks in a row got no answer.
    pub checks_in_vain: usize,
    /// Since when witnesses have disagreed, if they did when the process last looked.
    pub disagreed: Option<DateTime<Utc>>,
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
    /// Whether it has answered in this run.
    has_answered: bool,
    /// When a database was asked last.
    asked: Option<DateTime<Utc>>,
    /// Whether the last answer of DNS is another than the one before.
    has_moved: bool,
    /// Whether it is another than when this process last saw the group in sync.
    has_left: bool,
    /// Whether the last look did not find the group right.
    is_drifting: bool,
}

impl Agenda {
    /// The agenda of a run that begins.
    pub fn new(binding: &Binding, is_watching: bool, mut settled: Settled) -> Agenda {
        let has_topology = binding.cluster().is_some();
        let has_voice = binding.engine.is_some();
        settled.disagreed = settled.disagreed.filter(|_| !is_watching);
        Agenda {
            kind: binding.kind,
            has_topology,
            has_voice,
            is_watching,
            settled,
            heard: None,
            has_answered: false,
            asked: None,
            has_moved: false,
            has_left: false,
            is_drifting: false,
        }
    }

    /// Whether a look describes the target group.
    pub fn describes(&self, evidence: &Evidence, now: DateTime<Utc>) -> bool {
        evidence.group.described_at().is_none_or(|at| age(at, now) >= DESCRIBE_EVERY)
    }

    /// Whether the description is young enough to judge by it. A new one may take its time.
    pub fn may_judge(&self, evidence: &Evidence, now: DateTime<Utc>) -> bool {
        evidence.group.described_at().is_some_and(|at| age(at, now) < DESCRIBE_EVERY + CURRENT)
    }

    /// Whether the description is young enough to write by it.
    pub fn may_write(&self, evidence: &Evidence, now: DateTime<Utc>) -> bool {
        evidence.group.described_at().is_some_and(|at| age(at, now) < PAUSE)
    }

    /// Whether a look may end before everybody whom it asked has answered.
    pub fn is_urgent(&self) -> bool {
        self.is_watching || self.is_drifting
    }

    /// Whether topology is only asked to make sure, and gave no answer the last time: no reason to wait for it long.
    pub fn is_check_repeated(&self) -> bool {
        self.settled.checks_in_vain > 0 && !self.is_urgent()
    }

    /// Whether topology is asked beside DNS.
    pub fn asks_topology(&self, evidence: &Evidence, now: DateTime<Utc>) -> bool {
        // A reader endpoint answers with another of them each time.
        let has_left = self.has_left && self.kind == Kind::Cluster;
        let is_wanted = self.is_urgent() || self.is_check(now) || has_left;
        self.has_topology && is_wanted && self.is_due(self.topology_pause(evidence, now), now)
    }

    /// Whether topology is asked before this verdict counts.
    pub fn asks_topology_after(&self, verdict: &Verdict, evidence: &Evidence, now: DateTime<Utc>) -> bool {
        let is_wanted = match verdict {
            Verdict::Refuse(_) => false,
            Verdict::Wait(because) if because.is_silence() => self.is_watching,
            Verdict::Wait(_) => true,
            // Nobody knows better than the databases.
            Verdict::Switch(_, Because::Word { .. }) => false,
            Verdict::Switch(plan, _) => !plan.deregister.is_empty() || self.kind == Kind::Readers,
            Verdict::InSync(_) => {
                let is_ill = || evidence.group.targets().iter().any(DescribedTarget::is_ill);
                self.is_watching
                    || self.settled.disagreed.is_some()
                    || evidence.disagrees(now) == Some(true)
                    || is_ill()
            }
        };
        let pause = match verdict {
            // Nothing is written unless topology had a chance to object to it: now, and not while a description that
            // takes its time was under way.
            Verdict::Switch(..) => PAUSE,
            Verdict::InSync(_) if self.settled.disagreed.is_some() => PAUSE,
            _ => self.topology_pause(evidence, now),
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
    pub fn hear_verdict(&mut self, verdict: &Verdict, now: DateTime<Utc>) {
        self.is_drifting = !matches!(verdict, Verdict::InSync(_));
        let is_disagreement = matches!(verdict, Verdict::Wait(because) if because.is_contradiction());
        self.settled.disagreed = is_disagreement.then(|| self.settled.disagreed.unwrap_or(now));
    }

    /// Until the next look, if the last one took so long: half as long while a write does not show yet, and while no
    /// database says that it takes writes. Databases may be silent for all the time that they are given, which must not
    /// make the looks rare.
    pub fn pause(&self, evidence: &Evidence, took: Duration, is_unshown: bool, now: DateTime<Utc>) -> Duration {
        let is_out = self.has_voice && self.is_watching && evidence.writers(now).is_none();
        let pause = if is_unshown || is_out { PAUSE / 2 } else { PAUSE };
        if self.has_voice { pause.saturating_sub(took).max(PAUSE / 4) } else { pause }
    }

    /// DNS answers; the evidence is that of the answer before.
    pub fn hear_dns(&mut self, evidence: &Evidence, answer: &Addresses) {
        let last = evidence.answer();
        self.has_moved = last != Some(answer);
        self.has_left = self.settled.addresses.as_ref().is_some_and(|settled| settled != answer);
        if last.is_some() && self.has_moved {
            self.settled.disagreed = None;
        }
    }

    /// A database was asked, and answered or was given up now.
    pub fn hear_databases(&mut self, now: DateTime<Utc>) {
        self.asked = Some(now);
    }

    /// Topology was asked, and answered or was given up now.
    pub fn hear_topology(&mut self, is_silent: bool, now: DateTime<Utc>) {
        self.heard = Some(now);
        self.has_answered |= !is_silent;
    }

    /// The group is in sync with this answer of DNS, and what was asked in this run does not contradict it.
    pub fn settle(&mut self, answer: Option<&Addresses>) -> Settled {
        let known = &mut self.settled.known;
        for address in answer.into_iter().flat_map(Addresses::iter) {
            known.retain(|known| *known != address);
            known.push(address);
        }
        known.drain(..known.len().saturating_sub(KNOWN_AT_MOST));
        let mut settled = self.settled.clone();
        settled.addresses = answer.cloned();
        // The registered database, which may be silent, is no check in place of the RDS API: that would put it off.
        let asked = self.asked.filter(|_| !self.has_topology);
        settled.checked = self.heard.or(asked).or(settled.checked);
        if self.heard.is_some() {
            settled.checks_in_vain = if self.has_answered { 0 } else { settled.checks_in_vain + 1 };
        }
        settled
    }

    /// Since when witnesses have disagreed, if they do.
    pub fn disagreed(&self) -> Option<DateTime<Utc>> {
        self.settled.disagreed
    }

    fn topology_pause(&self, evidence: &Evidence, now: DateTime<Utc>) -> Duration {
        let is_announced = evidence.named(now).is_some_and(|(named, _)| !evidence.group.has_member(named));
        if self.has_moved || is_announced {
            return PAUSE;
        }
        let stood = self.settled.disagreed.map(|since| age(since, now)).unwrap_or_default();
        (ASK_TOPOLOGY_EVERY + stood.saturating_sub(STANDS_AFTER) / 30).min(ASK_TOPOLOGY_AT_LEAST)
    }

    fn candidates(&self, evidence: &Evidence) -> BTreeSet<IpAddr> {
        self.settled.known.iter().copied().chain(evidence.candidates()).collect()
    }

    fn is_check(&self, now: DateTime<Utc>) -> bool {
        let vain = self.settled.checks_in_vain.checked_sub(1);
        let pause = vain.and_then(|before| CHECK_AGAIN.get(before).copied()).unwrap_or(CHECK_EVERY);
        self.settled.checked.is_none_or(|at| age(at, now) >= pause)
    }

    fn is_due(&self, pause: Duration, now: DateTime<Utc>) -> bool {
        self.heard.is_none_or(|heard| age(heard, now) >= pause)
    }
}

#[cfg(test)]
mod tests;
