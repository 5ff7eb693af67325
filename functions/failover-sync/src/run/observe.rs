//! How a run observes: it records what is said in the evidence, and decides by enough of it.

use std::net::IpAddr;
use std::pin::pin;
use std::time::Duration;

use base::database::ClusterMember;
use base::report::Failure;
use chrono::{DateTime, Utc};
use reconcile::claim::Role;
use reconcile::evidence::{CURRENT, DnsAnswer};
use reconcile::poll_policy::PAUSE;
use reconcile::reason::Reason;
use reconcile::target::Addresses;
use reconcile::target_group::misfits;
use reconcile::topology::Topology;
use reconcile::verdict::{Verdict, verdict};
use tokio::time::{Instant, sleep_until};
use tracing::warn;

use super::Run;
use super::ask::MEMBER_LIMIT;
use crate::databases::{Login, PROBE_LIMIT};
use crate::dns;
use crate::error::{DnsError, SyncError};
use crate::ports::Ports;
use crate::questions::{Answer, ResolvedMembers, Source};

/// An urgent look waits so long for each whom it asked; later answers are recorded later. A look
/// that takes longer asks DNS and the databases again.
const ROUND: Duration = PAUSE;

const TURN: Duration = ROUND.saturating_add(PAUSE);

// DNS is asked again after a round and a pause: a slow answer must not break its row.
const _: () = assert!(TURN.saturating_add(dns::LIMIT).as_millis() <= CURRENT.as_millis());

// What the RDS API named is current when its members are found and the databases there were asked.
const _: () = assert!(
    PAUSE.saturating_add(MEMBER_LIMIT).saturating_add(PROBE_LIMIT).as_millis()
        < CURRENT.as_millis()
);

// What one database said is current until it and another one were asked again.
const _: () = assert!(
    TURN.saturating_add(PROBE_LIMIT).saturating_add(PROBE_LIMIT).as_millis() < CURRENT.as_millis()
);

const UNREAD: &str = "the target group could not be read";

impl<P: Ports> Run<'_, P> {
    /// Decides once all have answered, or in an urgent look had a round for it; a role counts at
    /// once. Fails if the group could not be read, or nobody ever said where the writer is.
    pub(super) async fn observe(&mut self) -> Result<Verdict, SyncError> {
        self.report.observations += 1;
        self.look_began = Instant::now();
        self.describe_error = None;
        let mut round_ends = self.look_began + ROUND;
        self.begin_round();
        let decided = loop {
            self.ask();
            let waits_until = self.questions.last_asked().map_or(self.look_began, |at| at + ROUND);
            let now = Instant::now();
            let is_over =
                self.poll_policy.is_urgent() && !self.watch.is_single_look() && now >= waits_until;
            if let Some(decided) = self.decide_on_answers(is_over)? {
                break decided;
            }
            if now >= round_ends {
                round_ends = now + ROUND;
                self.begin_round();
                continue;
            }
            let next = if now < waits_until { waits_until.min(round_ends) } else { round_ends };
            tokio::select! {
                biased;
                answer = self.questions.next() => self.record(answer),
                () = sleep_until(next) => {}
            }
        };
        self.poll_policy.record_verdict(&decided, self.now());
        match &self.last_dns_error {
            // No answer is no evidence; only if none ever came the run cannot do its work.
            Some(error)
                if matches!(decided, Verdict::Wait(_))
                    && self.evidence.last_dns_answer().is_none() =>
            {
                Err(SyncError::Dns(error.clone()))
            }
            _ => Ok(decided),
        }
    }

    /// Asks whom a first look asks, and records nothing. What in the group does not go with the
    /// binding is told.
    pub(crate) async fn ask_and_forget(mut self) {
        self.begin_round();
        self.ask();
        while !self.questions.is_empty() {
            if let Answer::Group(Ok(targets)) = self.questions.next().await {
                for misfit in misfits(self.binding, &targets) {
                    let group = self.binding.target_group.as_str();
                    warn!(binding = self.binding.name, group, misfit, "about the target group");
                }
            }
        }
    }

    /// Asks DNS and topology meanwhile, not the group: an answer from before a write is void.
    pub(super) async fn poll_during<F: Future>(&mut self, call: F) -> F::Output {
        self.questions.give_up(Source::Group);
        let mut call = pin!(call);
        let mut round_ends = Instant::now() + ROUND;
        loop {
            tokio::select! {
                biased;
                done = &mut call => return done,
                answer = self.questions.next() => self.record(answer),
                () = sleep_until(round_ends) => {
                    round_ends = Instant::now() + ROUND;
                    self.is_dns_due = !self.questions.are_asked_of(Source::Dns);
                    self.ask_witnesses();
                }
            }
        }
    }

    /// At the latest after the pause, and as soon as somebody answers who was not waited for, and
    /// says something about the writer.
    pub(super) async fn wait(&mut self, pause: Duration) {
        let until = Instant::now() + pause;
        let mut is_over = false;
        while !is_over {
            tokio::select! {
                biased;
                answer = self.questions.next() => {
                    is_over = !matches!(answer, Answer::Path(..));
                    self.record(answer);
                }
                () = sleep_until(until) => is_over = true,
            }
        }
    }

    /// `progress` is what was done before, for the error.
    pub(super) async fn describe(&mut self, progress: &'static str) -> Result<Verdict, SyncError> {
        let (context, binding) = (self.context, self.binding);
        let group = self.poll_during(context.describe(&binding.target_group)).await;
        let group = group.map_err(|source| SyncError::Aws { progress, source: source.into() })?;
        let now = self.now();
        self.evidence.group.update(group, now);
        Ok(self.decide(now))
    }

    pub(super) async fn refresh_targets(&mut self, decided: Verdict) -> Result<Verdict, SyncError> {
        if self.poll_policy.may_write(&self.evidence, self.now()) {
            Ok(decided)
        } else {
            self.describe(UNREAD).await
        }
    }

    fn decide(&self, now: DateTime<Utc>) -> Verdict {
        verdict(self.binding, &self.context.config.allowed, &self.evidence, now)
    }

    fn decide_on_answers(&mut self, is_over: bool) -> Result<Option<Verdict>, SyncError> {
        let is_complete = is_over || self.questions.is_empty();
        if is_complete && let Some(group) = self.describe_error.take() {
            let group = Box::new(group);
            return Err(match self.last_dns_error.take() {
                Some(dns) if self.evidence.last_dns_answer().is_none() => {
                    SyncError::NothingRead { dns, group }
                }
                _ => SyncError::Aws { progress: UNREAD, source: group },
            });
        }
        let now = self.now();
        if !self.poll_policy.may_judge(&self.evidence, now)
            || !(is_complete || self.databases.is_some())
        {
            return Ok(None);
        }
        let decided = self.decide(now);
        let is_by_role = matches!(decided, Verdict::Switch(_, Reason::Role { .. }));
        if !is_complete && !is_by_role {
            return Ok(None);
        }
        self.probe_roles(self.poll_policy.databases_to_probe_after(&decided, &self.evidence, now));
        // A database may contradict another one only if it ever answered.
        let has_answered =
            |address: &IpAddr| self.evidence.roles().any(|(known, _)| known == *address);
        let is_awaited = |address: &IpAddr| !(is_by_role && has_answered(address));
        if (!is_over && self.questions.are_asked_of(Source::Login))
            || self.questions.databases().iter().any(is_awaited)
        {
            return Ok(None);
        }
        // A switch that is only observed is asked about once; then at the watch's own pace.
        let is_known = decided.plan().is_some() && self.report.would_switch_at.is_some();
        if !is_known && self.poll_policy.should_ask_topology_after(&decided, &self.evidence, now) {
            self.ask_topology();
            if !is_over || decided.plan().is_some() {
                return Ok(None);
            }
        }
        Ok(Some(decided))
    }

    /// An answer is as old as the moment at which it is recorded.
    pub(super) fn record(&mut self, answer: Answer) {
        let now = self.now();
        if self.report.observations == 1 && matches!(answer, Answer::Dns(_) | Answer::Group(_)) {
            self.report.observe_latency = Some(self.look_began.elapsed());
        }
        match answer {
            Answer::Dns(answer) => self.record_dns(answer, now),
            Answer::Group(Ok(group)) => self.evidence.group.update(group, now),
            Answer::Group(Err(error)) => self.describe_error = Some(error),
            Answer::Topology(answer) => self.record_topology(answer, now),
            Answer::Login(answer) => {
                if let Some(databases) = &mut self.databases {
                    databases.login = match answer {
                        Ok(()) => Login::Ready,
                        Err(failure) => Login::Missing(failure, Instant::now()),
                    };
                }
            }
            Answer::Database(address, role) => self.record_probe(address, role, now),
            Answer::Path(named, round) => self.record_path(named, &round),
        }
    }

    fn record_dns(&mut self, answer: Result<DnsAnswer, DnsError>, now: DateTime<Utc>) {
        match answer {
            Ok(answer) => {
                self.poll_policy.record_dns(&self.evidence, &answer.addresses);
                self.evidence.record_dns(answer, now);
                self.last_dns_error = None;
            }
            Err(error) => {
                self.report.dns_failures += 1;
                self.last_dns_error = Some(error);
            }
        }
    }

    /// What goes wrong is no answer of topology; only the writer must be found, if there is one.
    fn record_topology(&mut self, answer: Result<ResolvedMembers, String>, now: DateTime<Utc>) {
        let problem = match answer {
            Ok(ResolvedMembers { members, at }) => {
                let all: Vec<_> = members.iter().map(|(member, _)| member.clone()).collect();
                self.evidence.record_members(&all, at);
                let topology = Topology(self.member_addresses(members, now));
                if topology.writer().is_some() || self.evidence.without_writer().is_some() {
                    self.members_without_address = None;
                    self.poll_policy.record_topology(false, now);
                    return self.evidence.record_topology(Some(topology), at);
                }
                self.members_without_address = Some((all, at));
                "the writer has no address".to_owned()
            }
            Err(problem) => problem,
        };
        warn!(
            binding = self.binding.name,
            reason = problem,
            "the RDS API gave no answer and is left out"
        );
        self.poll_policy.record_topology(true, now);
        self.evidence.record_topology(None, now);
    }

    fn member_addresses(
        &mut self,
        members: Vec<(ClusterMember, Option<Result<DnsAnswer, DnsError>>)>,
        now: DateTime<Utc>,
    ) -> Vec<(ClusterMember, Addresses)> {
        let endpoints = || members.iter().filter_map(|(member, _)| member.endpoint.as_deref());
        self.members.retain(|endpoint| endpoints().any(|it| it == endpoint));
        let group = &self.evidence.group;
        let resolved = members.into_iter().filter_map(|(member, answer)| {
            let addresses = self.members.resolve(&member, answer?, group, now)?;
            Some((member, addresses))
        });
        let resolved = resolved.collect();
        self.remember(|state, run| state.members = run.members.clone());
        resolved
    }

    pub(super) fn record_probe(
        &mut self,
        address: IpAddr,
        role: Result<Role, Failure>,
        now: DateTime<Utc>,
    ) {
        let Some(databases) = &mut self.databases else { return };
        match &role {
            Ok(_) => databases.record_answer(address),
            Err(failure) => {
                if databases.record_failure(address, failure) {
                    warn!(
                        binding = self.binding.name,
                        %address,
                        error_type = failure.kind,
                        error = failure.message,
                        "the database gave no answer and is left out"
                    );
                }
            }
        }
        self.poll_policy.record_probe(now);
        self.evidence.record_probe(address, role.ok(), now);
    }
}
