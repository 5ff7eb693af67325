//! The poll policy: which source a look asks, and when.
//!
//! | source       | beside DNS                           | after the verdict, at most every 2 s  |
//! |--------------|--------------------------------------|---------------------------------------|
//! | target group | if its description is 15 s old       | before a write, if it is 1 s old      |
//! | RDS API      | in a watch, in a drift; when the     | before a target leaves; in a wait for |
//! |              | writer's name leads elsewhere; every | more than DNS; in a disagreement; for |
//! |              | three minutes, to make sure          | an unhealthy target: a hint, no proof |
//! | databases    | in a watch, in a drift: all known    | the same, and those that became known |
//! |              |                                      | since; the registered ones, to check  |
//!
//! In a drift the last look did not find the group right. DNS is asked in every look, and nobody
//! more often than once a second; the RDS API so often while DNS moves, while an event names an
//! instance that is not registered, and before a switch. To ask it beside DNS saves a round trip.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::binding::{Binding, Kind};
use crate::claim::age;
use crate::evidence::{CURRENT, Evidence, VETO_WHILE_UNASKED};
use crate::history::remember_last;
use crate::reason::Reason;
use crate::target::{Addresses, DescribedTarget};
use crate::verdict::Verdict;

/// Between two looks of one run.
pub const PAUSE: Duration = Duration::from_secs(1);

/// If nothing is to be written this will do: ELBv2 gives the account ten describes a second.
const DESCRIBE_EVERY: Duration = Duration::from_secs(15);

/// The RDS API is throttled at an unpublished rate, for the whole account.
const ASK_TOPOLOGY_EVERY: Duration = Duration::from_secs(2);

/// In sync is a claim of DNS alone. A DNS that is wrong for good is seen by nobody else.
const CHECK_EVERY: Duration = Duration::from_secs(180);

/// The pause after so many checks in a row without an answer: without a way to the RDS API not
/// every run must wait for it. It falls short of minutes by what the last wait took.
const CHECK_AGAIN: [Duration; 3] =
    [Duration::ZERO, Duration::from_secs(55), Duration::from_secs(115)];

/// A disagreement lets the RDS API be asked more rarely once it has lasted for this long.
const BACK_OFF_AFTER: Duration = Duration::from_secs(30);

/// Up to this, a second longer each half minute, until DNS moves or an event comes.
const ASK_TOPOLOGY_AT_LEAST: Duration = Duration::from_secs(15);

// What the RDS API said vetoes until it is asked again, which takes a look.
const _: () = assert!(ASK_TOPOLOGY_AT_LEAST.as_secs() + 4 < VETO_WHILE_UNASKED.as_secs());

/// What a process knows of the last time it saw a group in sync.
#[derive(Clone, Debug, Default)]
pub struct LastInSync {
    /// What DNS said then.
    pub addresses: Option<Addresses>,
    /// The addresses that this process saw so, the oldest first. They are asked in each watch.
    pub known: Vec<IpAddr>,
    /// When others than DNS were last asked and did not contradict.
    pub checked: Option<DateTime<Utc>>,
    /// How many checks in a row got no answer.
    pub unanswered_checks: usize,
    /// Since when witnesses have disagreed, if they did when the process last looked.
    pub disagreed: Option<DateTime<Utc>>,
}

/// What one run asks for one binding.
#[derive(Clone, Debug)]
pub struct PollPolicy {
    kind: Kind,
    has_topology: bool,
    probes_roles: bool,
    is_watching: bool,
    last_in_sync: LastInSync,
    /// Also when it was given up: while it hangs, it must not keep the others waiting all the time.
    topology_at: Option<DateTime<Utc>>,
    /// Whether topology has, in this run.
    has_answered: bool,
    probed_at: Option<DateTime<Utc>>,
    /// Whether the last answer of DNS is another than the one before.
    has_changed: bool,
    differs_from_last_in_sync: bool,
    is_drifting: bool,
}

impl PollPolicy {
    /// The poll policy of a run that begins.
    pub fn new(binding: &Binding, is_watching: bool, mut last_in_sync: LastInSync) -> PollPolicy {
        if is_watching {
            last_in_sync.disagreed = None;
        }
        PollPolicy {
            kind: binding.kind,
            has_topology: binding.cluster().is_some(),
            probes_roles: binding.engine.is_some(),
            is_watching,
            last_in_sync,
            topology_at: None,
            has_answered: false,
            probed_at: None,
            has_changed: false,
            differs_from_last_in_sync: false,
            is_drifting: false,
        }
    }

    /// Whether a look describes the target group.
    pub fn should_describe(&self, evidence: &Evidence, now: DateTime<Utc>) -> bool {
        evidence.group.described_at().is_none_or(|at| age(at, now) >= DESCRIBE_EVERY)
    }

    /// Whether the description is young enough to decide by it. A new one may take its time.
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

    /// Whether topology is only asked to make sure, and is not worth a long wait.
    pub fn is_check_repeated(&self) -> bool {
        self.last_in_sync.unanswered_checks > 0 && !self.is_urgent()
    }

    /// Whether topology is asked beside DNS.
    pub fn should_ask_topology(&self, evidence: &Evidence, now: DateTime<Utc>) -> bool {
        // A reader endpoint answers with another of them each time.
        let differs_from_last_in_sync =
            self.differs_from_last_in_sync && self.kind == Kind::Cluster;
        let is_wanted = self.is_urgent() || self.is_check(now) || differs_from_last_in_sync;
        self.has_topology && is_wanted && self.is_due(self.topology_pause(evidence, now), now)
    }

    /// Whether topology is asked before this verdict counts.
    pub fn should_ask_topology_after(
        &self,
        verdict: &Verdict,
        evidence: &Evidence,
        now: DateTime<Utc>,
    ) -> bool {
        let is_wanted = match verdict {
            Verdict::Refuse(_) => false,
            Verdict::Wait(reason) if reason.lacks_dns_answer() => self.is_watching,
            Verdict::Wait(_) => true,
            // Nobody knows better than the databases.
            Verdict::Switch(_, Reason::Role { .. }) => false,
            Verdict::Switch(plan, _) => !plan.deregister.is_empty() || self.kind == Kind::Readers,
            Verdict::InSync(_) => {
                let is_unhealthy =
                    || evidence.group.targets().iter().any(DescribedTarget::is_unhealthy);
                self.is_watching
                    || self.last_in_sync.disagreed.is_some()
                    || evidence.disagrees(now) == Some(true)
                    || is_unhealthy()
            }
        };
        let pause = match verdict {
            // Topology must have had a chance to object: now, not during a slow description.
            Verdict::Switch(..) => PAUSE,
            Verdict::InSync(_) if self.last_in_sync.disagreed.is_some() => PAUSE,
            _ => self.topology_pause(evidence, now),
        };
        self.has_topology && is_wanted && self.is_due(pause, now)
    }

    /// The databases that are asked beside DNS, by the evidence of the look before.
    pub fn databases_to_probe(&self, evidence: &Evidence) -> BTreeSet<IpAddr> {
        if self.probes_roles && self.is_urgent() {
            self.candidates(evidence)
        } else {
            BTreeSet::new()
        }
    }

    /// The databases that are asked before this verdict counts, if not asked in this look.
    pub fn databases_to_probe_after(
        &self,
        verdict: &Verdict,
        evidence: &Evidence,
        now: DateTime<Utc>,
    ) -> BTreeSet<IpAddr> {
        let is_right = matches!(verdict, Verdict::InSync(_));
        if self.probes_roles && (self.is_watching || !is_right) {
            self.candidates(evidence)
        } else if self.probes_roles && self.is_check(now) {
            evidence.group.registered().collect()
        } else {
            BTreeSet::new()
        }
    }

    /// What a look ended with.
    pub fn record_verdict(&mut self, verdict: &Verdict, now: DateTime<Utc>) {
        self.is_drifting = !matches!(verdict, Verdict::InSync(_));
        let is_disagreement = matches!(verdict, Verdict::Wait(reason) if reason.is_contradiction());
        self.last_in_sync.disagreed =
            is_disagreement.then(|| self.last_in_sync.disagreed.unwrap_or(now));
    }

    /// Until the next look: half as long while a write does not show, or no database says that it
    /// takes writes. Databases may use all their time, which must not make looks rare.
    pub fn pause(&self, evidence: &Evidence, took: Duration, now: DateTime<Utc>) -> Duration {
        let is_pending = !evidence.group.pending_writes.is_empty();
        let is_out = self.probes_roles && self.is_watching && evidence.writers(now).is_none();
        let pause = if is_pending || is_out { PAUSE / 2 } else { PAUSE };
        if self.probes_roles { pause.saturating_sub(took).max(PAUSE / 4) } else { pause }
    }

    /// DNS answers; the evidence is that of the answer before.
    pub fn record_dns(&mut self, evidence: &Evidence, answer: &Addresses) {
        let last = evidence.last_dns_answer();
        self.has_changed = last != Some(answer);
        self.differs_from_last_in_sync =
            self.last_in_sync.addresses.as_ref().is_some_and(|last_in_sync| last_in_sync != answer);
        if last.is_some() && self.has_changed {
            self.last_in_sync.disagreed = None;
        }
    }

    /// A database was asked, and answered or was given up now.
    pub fn record_probe(&mut self, now: DateTime<Utc>) {
        self.probed_at = Some(now);
    }

    /// Topology was asked, and answered or was given up now.
    pub fn record_topology(&mut self, is_silent: bool, now: DateTime<Utc>) {
        self.topology_at = Some(now);
        self.has_answered |= !is_silent;
    }

    /// The group is in sync with this answer of DNS, and nothing asked in this run contradicts it.
    pub fn record_in_sync(&mut self, answer: Option<&Addresses>) -> LastInSync {
        let named = answer.into_iter().flat_map(Addresses::iter);
        remember_last(&mut self.last_in_sync.known, named);
        let mut last_in_sync = self.last_in_sync.clone();
        last_in_sync.addresses = answer.cloned();
        // The registered database, which may not answer, must not put off the RDS API's check.
        let probed_at = if self.has_topology { None } else { self.probed_at };
        last_in_sync.checked = self.topology_at.or(probed_at).or(last_in_sync.checked);
        if self.topology_at.is_some() {
            last_in_sync.unanswered_checks =
                if self.has_answered { 0 } else { last_in_sync.unanswered_checks + 1 };
        }
        last_in_sync
    }

    /// Since when witnesses have disagreed, if they do.
    pub fn disagreed(&self) -> Option<DateTime<Utc>> {
        self.last_in_sync.disagreed
    }

    fn topology_pause(&self, evidence: &Evidence, now: DateTime<Utc>) -> Duration {
        let is_announced = evidence
            .event_writer(now)
            .is_some_and(|(named, _)| !evidence.group.has_registered(named));
        if self.has_changed || is_announced {
            return PAUSE;
        }
        let lasted = self.last_in_sync.disagreed.map(|since| age(since, now)).unwrap_or_default();
        (ASK_TOPOLOGY_EVERY + lasted.saturating_sub(BACK_OFF_AFTER) / 30).min(ASK_TOPOLOGY_AT_LEAST)
    }

    fn candidates(&self, evidence: &Evidence) -> BTreeSet<IpAddr> {
        self.last_in_sync.known.iter().copied().chain(evidence.candidates()).collect()
    }

    fn is_check(&self, now: DateTime<Utc>) -> bool {
        let unanswered = self.last_in_sync.unanswered_checks.checked_sub(1);
        let pause =
            unanswered.and_then(|before| CHECK_AGAIN.get(before).copied()).unwrap_or(CHECK_EVERY);
        self.last_in_sync.checked.is_none_or(|at| age(at, now) >= pause)
    }

    fn is_due(&self, pause: Duration, now: DateTime<Utc>) -> bool {
        self.topology_at.is_none_or(|topology_at| age(topology_at, now) >= pause)
    }
}

#[cfg(test)]
mod tests;
