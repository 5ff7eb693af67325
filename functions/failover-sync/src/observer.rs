//! What a run has observed of one binding, and how it observes again: DNS, the target group,
//! topology and the databases.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use platform::connect_error::ConnectError;
use reconcile::binding::Binding;
use reconcile::claim::Role;
use reconcile::evidence::{CURRENT, ClusterMember, DnsAnswer, Evidence, Topology};
use reconcile::poll_policy::{PAUSE, PollPolicy};
use reconcile::reason::Reason;
use reconcile::report::Failure;
use reconcile::target::Addresses;
use reconcile::verdict::{Verdict, verdict};
use tokio::time::{Instant, sleep_until, timeout};
use tracing::warn;

use crate::context::Context;
use crate::dns;
use crate::error::{AwsError, DnsError, SyncError, chain};
use crate::ports::{Clock, Clusters, Dns, ProbeSessions, TargetGroups};
use crate::process_state::MemberAddresses;
use crate::questions::{Answer, Questions, ResolvedMembers, Source};

/// A look that is urgent waits so long for each whom it asked; who has not answered by then is
/// recorded later. A look that takes longer asks DNS and the databases again.
const ROUND: Duration = PAUSE;

/// The RDS API gives no answer if it takes longer than this.
const TOPOLOGY_LIMIT: Duration = Duration::from_secs(3);

/// The same, if it is asked only to make sure and gave no answer the last time.
const REPEATED_CHECK_LIMIT: Duration = Duration::from_secs(1);

/// Nothing waits longer than this for the address of a member of the cluster.
const MEMBER_LIMIT: Duration = Duration::from_secs(2);

/// Nothing waits longer than this for a database.
const PROBE_LIMIT: Duration = Duration::from_secs(1);

/// Nor than this, every other time, for one that did not answer: a dead host must not keep the new
/// writer waiting, and a slow one must have its chance.
const REPEATED_PROBE_LIMIT: Duration = Duration::from_millis(400);

/// What the databases are logged in with is fetched in this time, or not.
const LOGIN_LIMIT: Duration = Duration::from_secs(5);

/// If not, it is fetched again after this.
const LOGIN_RETRY_AFTER: Duration = Duration::from_secs(10);

/// A database that did not answer is asked again after this, and then after twice as long each
/// time,
const PROBE_BACK_OFF: Duration = Duration::from_millis(250);

/// up to this: always one that is registered, and any other one at the beginning of a run, when it
/// may be promoted,
const PROBE_BACK_OFF_AT_MOST: Duration = Duration::from_secs(1);

/// for which a run counts for so long,
const BEGINNING: Duration = Duration::from_secs(60);

/// or later up to this.
const LATER_PROBE_BACK_OFF_AT_MOST: Duration = Duration::from_secs(15);

// DNS is asked again after a round and a pause at most; the row of its answers must not be broken
// by one that is slow.
const _: () =
    assert!(ROUND.as_millis() + PAUSE.as_millis() + dns::LIMIT.as_millis() <= CURRENT.as_millis());
// What the RDS API named is current when its members are found and the databases there were asked.
const _: () = assert!(
    MEMBER_LIMIT.as_millis() + PROBE_LIMIT.as_millis() + PAUSE.as_millis() < CURRENT.as_millis()
);
// What one database said is current until it and another one were asked again.
const _: () = assert!(
    ROUND.as_millis() + PAUSE.as_millis() + 2 * PROBE_LIMIT.as_millis() < CURRENT.as_millis()
);

/// What errors say about what may have been done before them.
const UNREAD: &str = "the target group could not be read";

/// What was seen of a binding.
pub(crate) struct Observer<'a, D, G, T, C> {
    pub(crate) context: &'a Context<D, G, T, C>,
    pub(crate) binding: &'a Binding,
    pub(crate) poll_policy: PollPolicy,
    pub(crate) evidence: Evidence,
    /// How often DNS and the target group were looked at.
    pub(crate) observations: u32,
    /// How many of them got no usable answer from DNS.
    pub(crate) dns_failures: u32,
    /// How long the first took.
    pub(crate) first_took: Option<Duration>,
    /// Whether a look waits for all whom it asked, however urgent it is: there may be no other one.
    pub(crate) waits_for_all: bool,
    /// Why DNS gave no answer, the last time it gave none.
    last_dns_error: Option<DnsError>,
    /// Why the target group could not be read, until the look ends with it.
    describe_error: Option<AwsError>,
    /// Where the members' endpoints were found last.
    members: MemberAddresses,
    /// The sessions with the databases, if they are asked.
    sessions: Option<Arc<dyn ProbeSessions + 'a>>,
    /// The databases that did not answer the last time.
    failed_probes: BTreeMap<IpAddr, FailedProbes>,
    /// An answer of the RDS API for whose members DNS had no addresses yet, and when it came.
    members_without_address: Option<(Vec<ClusterMember>, DateTime<Utc>)>,
    login: LoginState,
    /// When each database was asked last.
    asked_at: BTreeMap<IpAddr, Instant>,
    /// What is being asked, also from one look to the next.
    questions: Questions<'a>,
    /// Whether DNS is to be asked in this round.
    is_dns_due: bool,
    /// The databases that were asked in this round.
    asked: BTreeSet<IpAddr>,
    /// When the look began.
    began: Instant,
    /// When the run did.
    start: Instant,
}

/// What the databases are logged in with.
enum LoginState {
    Unknown,
    Ready,
    Missing(Failure, Instant),
}

/// How a database has not answered.
#[derive(Default)]
struct FailedProbes {
    /// So many times in a row.
    in_a_row: u32,
    /// Why, the last time: the log says it once.
    kind: Option<&'static str>,
}

impl<'a, D: Dns, G: TargetGroups, T: Clusters, C: Clock> Observer<'a, D, G, T, C> {
    pub(crate) fn new(
        context: &'a Context<D, G, T, C>,
        binding: &'a Binding,
        poll_policy: PollPolicy,
        evidence: Evidence,
        members: MemberAddresses,
    ) -> Self {
        let role_probe = binding.engine.and(context.role_probe.as_ref());
        Observer {
            context,
            binding,
            poll_policy,
            evidence,
            observations: 0,
            dns_failures: 0,
            first_took: None,
            waits_for_all: false,
            last_dns_error: None,
            describe_error: None,
            members,
            sessions: role_probe.map(|probe| probe.sessions(binding).into()),
            failed_probes: BTreeMap::new(),
            members_without_address: None,
            login: LoginState::Unknown,
            asked_at: BTreeMap::new(),
            questions: Questions::default(),
            is_dns_due: false,
            asked: BTreeSet::new(),
            began: Instant::now(),
            start: Instant::now(),
        }
    }

    /// Asks whom the poll policy names, and decides by what is answered: once all have, or in a
    /// look that is urgent had a round for it. A role counts as soon as it is known.
    ///
    /// # Errors
    /// When the target group could not be read, or nobody has ever said where the writer is.
    pub(crate) async fn observe(&mut self) -> Result<Verdict, SyncError> {
        self.observations += 1;
        self.began = Instant::now();
        self.describe_error = None;
        let mut round_ends = self.began + ROUND;
        self.begin_round();
        let decided = loop {
            self.ask();
            let waits_until = self.questions.last_asked().map_or(self.began, |asked| asked + ROUND);
            let is_over = !self.waits_for_all
                && self.poll_policy.is_urgent()
                && Instant::now() >= waits_until;
            if let Some(decided) = self.decide_on_answers(is_over)? {
                break decided;
            }
            if Instant::now() >= round_ends {
                round_ends = Instant::now() + ROUND;
                self.begin_round();
                continue;
            }
            let next =
                if Instant::now() < waits_until { waits_until.min(round_ends) } else { round_ends };
            tokio::select! {
                biased;
                answer = self.questions.next() => self.record(answer),
                () = sleep_until(next) => {}
            }
        };
        self.poll_policy.record_verdict(&decided, self.context.now());
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

    /// Until the next look, if this one took so long.
    pub(crate) fn pause(&self, took: Duration, is_pending: bool) -> Duration {
        self.poll_policy.pause(&self.evidence, took, is_pending, self.context.now())
    }

    /// Goes on asking DNS and topology while a call is under way, and records who answers. The
    /// target group is not to be described meanwhile: what was asked before a write says nothing
    /// after it.
    pub(crate) async fn poll_during<F: Future>(&mut self, call: F) -> F::Output {
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

    /// Waits until the next look is due: at the latest after the pause, and as soon as somebody
    /// answers who was not waited for.
    pub(crate) async fn wait(&mut self, pause: Duration) {
        let until = Instant::now() + pause;
        tokio::select! {
            biased;
            answer = self.questions.next() => self.record(answer),
            () = sleep_until(until) => {}
        }
    }

    /// Ends what is open.
    pub(crate) async fn close(&mut self) {
        if let Some(sessions) = &self.sessions {
            sessions.close().await;
        }
    }

    /// Describes the group, and decides by that.
    ///
    /// # Errors
    /// When the target group could not be read; `progress` is what was done before.
    pub(crate) async fn describe(&mut self, progress: &'static str) -> Result<Verdict, SyncError> {
        let (context, binding) = (self.context, self.binding);
        let group = self.poll_during(context.groups.describe(&binding.target_group)).await;
        let group = group.map_err(|source| SyncError::Aws { progress, source: source.into() })?;
        let now = self.context.now();
        self.evidence.group.update(group, now);
        Ok(self.decide(now))
    }

    /// The same look with a description that is young enough to write by.
    ///
    /// # Errors
    /// As [`Observer::describe`].
    pub(crate) async fn refresh_targets(&mut self, decided: Verdict) -> Result<Verdict, SyncError> {
        if self.poll_policy.may_write(&self.evidence, self.context.now()) {
            Ok(decided)
        } else {
            self.describe(UNREAD).await
        }
    }

    fn decide(&self, now: DateTime<Utc>) -> Verdict {
        verdict(self.binding, &self.context.config.allowed, &self.evidence, now)
    }

    /// Decides by what was answered, if that is enough; asks who may know better.
    fn decide_on_answers(&mut self, is_over: bool) -> Result<Option<Verdict>, SyncError> {
        let is_complete = is_over || self.questions.is_empty();
        if is_complete && let Some(group) = self.describe_error.take() {
            return Err(
                match self.last_dns_error.take_if(|_| self.evidence.last_dns_answer().is_none()) {
                    Some(dns) => SyncError::NothingRead { dns, group: group.into() },
                    None => SyncError::Aws { progress: UNREAD, source: group.into() },
                },
            );
        }
        let now = self.context.now();
        if !self.poll_policy.may_judge(&self.evidence, now)
            || !(is_complete || self.sessions.is_some())
        {
            return Ok(None);
        }
        let decided = self.decide(now);
        let is_by_role = matches!(decided, Verdict::Switch(_, Reason::Role { .. }));
        if !is_complete && !is_by_role {
            return Ok(None);
        }
        let mut unasked = self.poll_policy.databases_to_probe_after(&decided, &self.evidence, now);
        unasked.retain(|address| !self.asked.contains(address));
        self.probe_roles(unasked);
        // A database may contradict another one only if it ever answered.
        let has_answered =
            |address: &IpAddr| self.evidence.roles().any(|(known, _)| known == *address);
        let is_login_awaited = !is_over && self.questions.are_asked_of(Source::Login);
        if is_login_awaited
            || self
                .questions
                .databases()
                .iter()
                .any(|address| !(is_by_role && has_answered(address)))
        {
            return Ok(None);
        }
        if self.poll_policy.should_ask_topology_after(&decided, &self.evidence, now) {
            self.ask_topology();
            if !is_over || matches!(decided, Verdict::Switch(..)) {
                return Ok(None);
            }
        }
        Ok(Some(decided))
    }

    fn begin_round(&mut self) {
        self.is_dns_due = !self.questions.are_asked_of(Source::Dns);
        self.asked = self.questions.databases();
    }

    /// Asks everybody who is due and is not being asked.
    fn ask(&mut self) {
        self.ask_witnesses();
        let is_due = self.describe_error.is_none()
            && self.poll_policy.should_describe(&self.evidence, self.context.now());
        if is_due && !self.questions.are_asked_of(Source::Group) {
            let (context, binding) = (self.context, self.binding);
            let question =
                async move { Answer::Group(context.groups.describe(&binding.target_group).await) };
            self.questions.ask(Source::Group, question);
        }
        let mut databases = self.poll_policy.databases_to_probe(&self.evidence);
        databases.retain(|address| !self.asked.contains(address));
        self.probe_roles(databases);
    }

    fn ask_witnesses(&mut self) {
        if std::mem::take(&mut self.is_dns_due) {
            let (context, binding) = (self.context, self.binding);
            self.questions
                .ask(Source::Dns, async move { Answer::Dns(context.resolve(binding).await) });
        }
        if self.poll_policy.should_ask_topology(&self.evidence, self.context.now()) {
            self.ask_topology();
        }
    }

    /// Topology: cluster → members → their endpoints → addresses.
    fn ask_topology(&mut self) {
        if self.questions.are_asked_of(Source::Topology) {
            return;
        }
        let (context, binding, members_without_address, start) =
            (self.context, self.binding, self.members_without_address.clone(), self.start);
        let limit = if self.poll_policy.is_check_repeated() {
            REPEATED_CHECK_LIMIT
        } else {
            TOPOLOGY_LIMIT
        };
        let question = async move {
            let members =
                timeout(limit, context.members(binding.cluster().unwrap_or_default(), start)).await;
            let members = members.map_or(Err("no answer in time".to_owned()), |it| {
                it.map_err(|error| chain(&error))
            });
            let (members, at) =
                members.or_else(|problem| members_without_address.ok_or(problem))?;
            let resolved = members.into_iter().map(|member| async move {
                let lookup = member
                    .endpoint
                    .as_ref()
                    .map(|name| context.lookup(name, binding.family, MEMBER_LIMIT));
                let answer = futures_util::future::OptionFuture::from(lookup).await;
                (member, answer)
            });
            Ok(ResolvedMembers { members: futures_util::future::join_all(resolved).await, at })
        };
        self.questions.ask(Source::Topology, async move { Answer::Topology(question.await) });
    }

    /// Asks the databases at these addresses side by side. Only those that may be registered are
    /// sent a login.
    fn probe_roles(&mut self, addresses: BTreeSet<IpAddr>) {
        let Some(sessions) = self.sessions.as_ref().filter(|_| !addresses.is_empty()) else {
            return;
        };
        match &self.login {
            LoginState::Ready => {}
            LoginState::Missing(failure, at) if at.elapsed() < LOGIN_RETRY_AFTER => {
                let (failure, now) = (failure.clone(), self.context.now());
                self.asked.extend(&addresses);
                return addresses
                    .iter()
                    .for_each(|address| self.record_probe(*address, Err(failure.clone()), now));
            }
            LoginState::Unknown | LoginState::Missing(..) => return self.fetch_login(),
        }
        for address in addresses {
            self.asked.insert(address);
            if self.context.config.allowed.refusal(address).is_some()
                || self.is_backing_off(address)
            {
                continue;
            }
            self.asked_at.insert(address, Instant::now());
            let is_in_a_row =
                self.failed_probes.get(&address).is_some_and(|failed| failed.in_a_row % 2 == 1);
            let limit = if is_in_a_row { REPEATED_PROBE_LIMIT } else { PROBE_LIMIT };
            let timed_out = |_| ConnectError::Timeout { seconds: PROBE_LIMIT.as_secs() };
            let name = self
                .members
                .tls_name(address)
                .or(self.binding.endpoint.name())
                .unwrap_or_default()
                .to_owned();
            let sessions = Arc::clone(sessions);
            self.questions.ask(Source::Database(address), async move {
                let role = timeout(limit, sessions.probe(address, &name)).await;
                Answer::Database(
                    address,
                    role.map_err(timed_out).unwrap_or_else(|error| Err(error.failure())),
                )
            });
        }
    }

    fn fetch_login(&mut self) {
        let Some(sessions) =
            self.sessions.clone().filter(|_| !self.questions.are_asked_of(Source::Login))
        else {
            return;
        };
        self.questions.ask(Source::Login, async move {
            let timed_out = |_| {
                let message = format!(
                    "what to log in with was not fetched within {} s",
                    LOGIN_LIMIT.as_secs()
                );
                Err(Failure { kind: "SecretNotFetched", message })
            };
            Answer::Login(timeout(LOGIN_LIMIT, sessions.prepare()).await.unwrap_or_else(timed_out))
        });
    }

    /// Whether a database that did not answer is left alone for a while.
    fn is_backing_off(&self, address: IpAddr) -> bool {
        let Some(failed) = self.failed_probes.get(&address) else { return false };
        let is_late = self.start.elapsed() >= BEGINNING
            && self.evidence.group.registered().all(|member| member != address);
        let most = if is_late { LATER_PROBE_BACK_OFF_AT_MOST } else { PROBE_BACK_OFF_AT_MOST };
        let back_off = (PROBE_BACK_OFF * (1 << failed.in_a_row.min(6))).min(most);
        self.asked_at.get(&address).is_some_and(|at| at.elapsed() < back_off)
    }

    /// Notes an answer; it is as old as the moment at which it is recorded.
    fn record(&mut self, answer: Answer) {
        let now = self.context.now();
        if self.observations == 1 && matches!(answer, Answer::Dns(_) | Answer::Group(_)) {
            self.first_took = Some(self.began.elapsed());
        }
        match answer {
            Answer::Dns(answer) => self.record_dns(answer, now),
            Answer::Group(Ok(group)) => self.evidence.group.update(group, now),
            Answer::Group(Err(error)) => self.describe_error = Some(error),
            Answer::Topology(answer) => self.record_topology(answer, now),
            Answer::Login(Ok(())) => self.login = LoginState::Ready,
            Answer::Login(Err(failure)) => {
                self.login = LoginState::Missing(failure, Instant::now())
            }
            Answer::Database(address, role) => self.record_probe(address, role, now),
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
                self.dns_failures += 1;
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
        self.context.state.record_members(&self.binding.target_group, &self.members);
        resolved
    }

    fn record_probe(&mut self, address: IpAddr, role: Result<Role, Failure>, now: DateTime<Utc>) {
        self.poll_policy.record_probe(now);
        match &role {
            Ok(_) => drop(self.failed_probes.remove(&address)),
            Err(Failure { kind, message }) => {
                let failed = self.failed_probes.entry(address).or_default();
                failed.in_a_row += 1;
                if failed.kind.replace(kind) != Some(kind) {
                    let binding = &self.binding.name;
                    warn!(binding, %address, error_type = kind, error = message, "the database gave no answer and is left out");
                }
            }
        }
        self.evidence.record_probe(address, role.ok(), now);
    }
}
