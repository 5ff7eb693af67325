//! What a run has seen of one binding, and how it looks again: DNS, the target group, topology and the databases.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use platform::session::SessionError;
use reconcile::agenda::{Agenda, PAUSE};
use reconcile::because::Because;
use reconcile::binding::Binding;
use reconcile::claim::Voice;
use reconcile::evidence::{Answer, CURRENT, ClusterMember, Evidence, Topology as Witness};
use reconcile::report::Failure;
use reconcile::target::Addresses;
use reconcile::verdict::{Verdict, verdict};
use tokio::time::{Instant, sleep_until, timeout};
use tracing::warn;

use crate::dns;
use crate::error::{AwsError, DnsError, SyncError, chain};
use crate::memory::MemberAddresses;
use crate::ports::{Clock, Dns, Sessions, TargetGroups, Topology};
use crate::questions::{Heard, Members, Questions, Source};
use crate::sources::Sources;

/// A look that is urgent waits so long for each whom it asked; who has not answered by then is heard later. A look that
/// takes longer asks DNS and the databases again.
const ROUND: Duration = PAUSE;

/// The RDS API is silent if it takes longer than this.
const TOPOLOGY_LIMIT: Duration = Duration::from_secs(3);

/// The same, if it is asked only to make sure and was silent the last time.
const REPEATED_CHECK_LIMIT: Duration = Duration::from_secs(1);

/// Nothing waits longer than this for the address of a member of the cluster.
const MEMBER_LIMIT: Duration = Duration::from_secs(2);

/// Nothing waits longer than this for a database.
const DATABASE_LIMIT: Duration = Duration::from_secs(1);

/// Nor than this, every other time, for one that is silent: a dead host must not keep the new writer waiting, and a slow one
/// must have its chance.
const SILENT_LIMIT: Duration = Duration::from_millis(400);

/// What the databases are logged in with is fetched in this time, or not.
const LOGIN_LIMIT: Duration = Duration::from_secs(5);

/// If not, it is fetched again after this.
const LOGIN_AGAIN: Duration = Duration::from_secs(10);

/// A database that was silent is asked again after this, and then after twice as long each time,
const REST: Duration = Duration::from_millis(250);

/// up to this: always one that is registered, and any other one at the beginning of a run, when it may be promoted,
const REST_AT_MOST: Duration = Duration::from_secs(1);

/// for which a run counts for so long,
const BEGINNING: Duration = Duration::from_secs(60);

/// or later up to this.
const LATER_REST_AT_MOST: Duration = Duration::from_secs(15);

// DNS is asked again after a round and a pause at most; the row of its answers must not be broken by one that is slow.
const _: () = assert!(ROUND.as_millis() + PAUSE.as_millis() + dns::LIMIT.as_millis() <= CURRENT.as_millis());
// What the RDS API named is current when its members are found and the databases there were asked.
const _: () = assert!(MEMBER_LIMIT.as_millis() + DATABASE_LIMIT.as_millis() + PAUSE.as_millis() < CURRENT.as_millis());
// What one database said is current until it and another one were asked again.
const _: () = assert!(ROUND.as_millis() + PAUSE.as_millis() + 2 * DATABASE_LIMIT.as_millis() < CURRENT.as_millis());

/// What errors say about what may have been done before them.
const UNREAD: &str = "the target group could not be read";

/// What was seen of a binding.
pub(crate) struct Look<'a, D, G, T, C> {
    pub(crate) sources: &'a Sources<D, G, T, C>,
    pub(crate) binding: &'a Binding,
    pub(crate) agenda: Agenda,
    pub(crate) evidence: Evidence,
    /// How often DNS and the target group were looked at.
    pub(crate) observations: u32,
    /// How many of them got no usable answer from DNS.
    pub(crate) dns_failures: u32,
    /// How long the first took.
    pub(crate) first_took: Option<Duration>,
    /// Whether a look waits for all whom it asked, however urgent it is: there may be no other one.
    pub(crate) hears_all: bool,
    /// What DNS said instead of an answer, the last time it gave none.
    unanswered: Option<DnsError>,
    /// Why the target group could not be read, until the look ends with it.
    undescribed: Option<AwsError>,
    /// Where the members' endpoints were found last.
    members: MemberAddresses,
    /// The sessions with the databases, if they are asked.
    sessions: Option<Arc<dyn Sessions + 'a>>,
    /// The databases that said nothing the last time.
    silences: BTreeMap<IpAddr, Silence>,
    /// An answer of the RDS API for which DNS had no addresses yet, and when it came.
    unlocated: Option<(Vec<ClusterMember>, DateTime<Utc>)>,
    login: Login,
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
enum Login {
    Unknown,
    Ready,
    Missing(Failure, Instant),
}

/// How a database has been silent.
#[derive(Default)]
struct Silence {
    /// So many times in a row.
    row: u32,
    /// Why, the last time: the log says it once.
    kind: Option<&'static str>,
}

impl<'a, D: Dns, G: TargetGroups, T: Topology, C: Clock> Look<'a, D, G, T, C> {
    pub(crate) fn new(
        sources: &'a Sources<D, G, T, C>,
        binding: &'a Binding,
        agenda: Agenda,
        evidence: Evidence,
        members: MemberAddresses,
    ) -> Self {
        let databases = binding.engine.and(sources.databases.as_ref());
        Look {
            sources,
            binding,
            agenda,
            evidence,
            observations: 0,
            dns_failures: 0,
            first_took: None,
            hears_all: false,
            unanswered: None,
            undescribed: None,
            members,
            sessions: databases.map(|databases| databases.sessions(binding).into()),
            silences: BTreeMap::new(),
            unlocated: None,
            login: Login::Unknown,
            asked_at: BTreeMap::new(),
            questions: Questions::default(),
            is_dns_due: false,
            asked: BTreeSet::new(),
            began: Instant::now(),
            start: Instant::now(),
        }
    }

    /// Asks whom the agenda names, and judges what is heard: once all have answered, or in a look that is urgent had a round
    /// for it. A database's word counts as soon as it is heard.
    ///
    /// # Errors
    /// When the target group could not be read, or nobody has ever said where the writer is.
    pub(crate) async fn look(&mut self) -> Result<Verdict, SyncError> {
        self.observations += 1;
        self.began = Instant::now();
        self.undescribed = None;
        let mut round_ends = self.began + ROUND;
        self.begin_round();
        let judged = loop {
            self.ask();
            let waits_until = self.questions.last_asked().map_or(self.began, |asked| asked + ROUND);
            let is_over = !self.hears_all && self.agenda.is_urgent() && Instant::now() >= waits_until;
            if let Some(judged) = self.judge_heard(is_over)? {
                break judged;
            }
            if Instant::now() >= round_ends {
                round_ends = Instant::now() + ROUND;
                self.begin_round();
                continue;
            }
            let next = if Instant::now() < waits_until { waits_until.min(round_ends) } else { round_ends };
            tokio::select! {
                biased;
                heard = self.questions.next() => self.hear(heard),
                () = sleep_until(next) => {}
            }
        };
        self.agenda.hear_verdict(&judged, self.sources.now());
        match &self.unanswered {
            // No answer is no evidence; only if none ever came the run cannot do its work.
            Some(error) if matches!(judged, Verdict::Wait(_)) && self.evidence.answer().is_none() => {
                Err(SyncError::Dns(error.clone()))
            }
            _ => Ok(judged),
        }
    }

    /// Until the next look, if this one took so long.
    pub(crate) fn pause(&self, took: Duration, is_unshown: bool) -> Duration {
        self.agenda.pause(&self.evidence, took, is_unshown, self.sources.now())
    }

    /// Goes on asking DNS and topology while a call is under way, and hears who answers. The target group is not to be
    /// described meanwhile: what was asked before a write says nothing after it.
    pub(crate) async fn meanwhile<F: Future>(&mut self, call: F) -> F::Output {
        self.questions.give_up(Source::Group);
        let mut call = pin!(call);
        let mut round_ends = Instant::now() + ROUND;
        loop {
            tokio::select! {
                biased;
                done = &mut call => return done,
                heard = self.questions.next() => self.hear(heard),
                () = sleep_until(round_ends) => {
                    round_ends = Instant::now() + ROUND;
                    self.is_dns_due = !self.questions.are_asked_of(Source::Dns);
                    self.ask_witnesses();
                }
            }
        }
    }

    /// Waits until the next look is due: at the latest after the pause, and as soon as somebody answers who was not waited for.
    pub(crate) async fn rest(&mut self, pause: Duration) {
        let until = Instant::now() + pause;
        tokio::select! {
            biased;
            heard = self.questions.next() => self.hear(heard),
            () = sleep_until(until) => {}
        }
    }

    /// Ends what is open.
    pub(crate) async fn close(&mut self) {
        if let Some(sessions) = &self.sessions {
            sessions.close().await;
        }
    }

    /// Describes the group, and judges by that.
    ///
    /// # Errors
    /// When the target group could not be read; `progress` is what was done before.
    pub(crate) async fn describe(&mut self, progress: &'static str) -> Result<Verdict, SyncError> {
        let (sources, binding) = (self.sources, self.binding);
        let group = self.meanwhile(sources.groups.describe(&binding.target_group)).await;
        let group = group.map_err(|source| SyncError::Aws { progress, source: source.into() })?;
        let now = self.sources.now();
        self.evidence.group.see(group, now);
        Ok(self.judge(now))
    }

    /// The same look with a description that is young enough to write by.
    ///
    /// # Errors
    /// As [`Look::describe`].
    pub(crate) async fn look_closer(&mut self, judged: Verdict) -> Result<Verdict, SyncError> {
        if self.agenda.may_write(&self.evidence, self.sources.now()) { Ok(judged) } else { self.describe(UNREAD).await }
    }

    fn judge(&self, now: DateTime<Utc>) -> Verdict {
        verdict(self.binding, &self.sources.config.allowed, &self.evidence, now)
    }

    /// Judges what was heard, if that is enough; asks who may know better.
    fn judge_heard(&mut self, is_over: bool) -> Result<Option<Verdict>, SyncError> {
        let is_whole = is_over || self.questions.is_empty();
        if is_whole && let Some(group) = self.undescribed.take() {
            return Err(match self.unanswered.take_if(|_| self.evidence.answer().is_none()) {
                Some(dns) => SyncError::Blind { dns, group: group.into() },
                None => SyncError::Aws { progress: UNREAD, source: group.into() },
            });
        }
        let now = self.sources.now();
        if !self.agenda.may_judge(&self.evidence, now) || !(is_whole || self.sessions.is_some()) {
            return Ok(None);
        }
        let judged = self.judge(now);
        let is_word = matches!(judged, Verdict::Switch(_, Because::Word { .. }));
        if !is_whole && !is_word {
            return Ok(None);
        }
        let mut unasked = self.agenda.asks_databases_after(&judged, &self.evidence, now);
        unasked.retain(|address| !self.asked.contains(address));
        self.ask_databases(unasked);
        // A database may contradict another one only if it was ever heard.
        let is_heard = |address: &IpAddr| self.evidence.voices().any(|(heard, _)| heard == *address);
        let is_login_awaited = !is_over && self.questions.are_asked_of(Source::Login);
        if is_login_awaited || self.questions.databases().iter().any(|address| !(is_word && is_heard(address))) {
            return Ok(None);
        }
        if self.agenda.asks_topology_after(&judged, &self.evidence, now) {
            self.ask_topology();
            if !is_over || matches!(judged, Verdict::Switch(..)) {
                return Ok(None);
            }
        }
        Ok(Some(judged))
    }

    fn begin_round(&mut self) {
        self.is_dns_due = !self.questions.are_asked_of(Source::Dns);
        self.asked = self.questions.databases();
    }

    /// Asks everybody who is due and is not being asked.
    fn ask(&mut self) {
        self.ask_witnesses();
        let is_due = self.undescribed.is_none() && self.agenda.describes(&self.evidence, self.sources.now());
        if is_due && !self.questions.are_asked_of(Source::Group) {
            let (sources, binding) = (self.sources, self.binding);
            let question = async move { Heard::Group(sources.groups.describe(&binding.target_group).await) };
            self.questions.ask(Source::Group, question);
        }
        let mut databases = self.agenda.asks_databases(&self.evidence);
        databases.retain(|address| !self.asked.contains(address));
        self.ask_databases(databases);
    }

    fn ask_witnesses(&mut self) {
        if std::mem::take(&mut self.is_dns_due) {
            let (sources, binding) = (self.sources, self.binding);
            self.questions.ask(Source::Dns, async move { Heard::Dns(sources.resolve(binding).await) });
        }
        if self.agenda.asks_topology(&self.evidence, self.sources.now()) {
            self.ask_topology();
        }
    }

    /// Topology: cluster → members → their endpoints → addresses.
    fn ask_topology(&mut self) {
        if self.questions.are_asked_of(Source::Topology) {
            return;
        }
        let (sources, binding, unlocated, start) = (self.sources, self.binding, self.unlocated.clone(), self.start);
        let limit = if self.agenda.is_check_repeated() { REPEATED_CHECK_LIMIT } else { TOPOLOGY_LIMIT };
        let question = async move {
            let members = timeout(limit, sources.members(binding.cluster().unwrap_or_default(), start)).await;
            let members = members.map_or(Err("no answer in time".to_owned()), |it| it.map_err(|error| chain(&error)));
            let (members, at) = members.or_else(|silence| unlocated.ok_or(silence))?;
            let located = members.into_iter().map(|member| async move {
                let lookup = member.endpoint.as_ref().map(|name| sources.lookup(name, binding.family, MEMBER_LIMIT));
                let answer = futures_util::future::OptionFuture::from(lookup).await;
                (member, answer)
            });
            Ok(Members { members: futures_util::future::join_all(located).await, at })
        };
        self.questions.ask(Source::Topology, async move { Heard::Topology(question.await) });
    }

    /// Asks the databases at these addresses side by side. Only those that may be registered are sent a login.
    fn ask_databases(&mut self, addresses: BTreeSet<IpAddr>) {
        let Some(sessions) = self.sessions.as_ref().filter(|_| !addresses.is_empty()) else { return };
        match &self.login {
            Login::Ready => {}
            Login::Missing(failure, at) if at.elapsed() < LOGIN_AGAIN => {
                let (failure, now) = (failure.clone(), self.sources.now());
                self.asked.extend(&addresses);
                return addresses.iter().for_each(|address| self.hear_database(*address, Err(failure.clone()), now));
            }
            Login::Unknown | Login::Missing(..) => return self.ask_login(),
        }
        for address in addresses {
            self.asked.insert(address);
            if self.sources.config.allowed.refusal(address).is_some() || self.is_resting(address) {
                continue;
            }
            self.asked_at.insert(address, Instant::now());
            let is_in_a_row = self.silences.get(&address).is_some_and(|silence| silence.row % 2 == 1);
            let limit = if is_in_a_row { SILENT_LIMIT } else { DATABASE_LIMIT };
            let silence = |_| SessionError::Timeout { seconds: DATABASE_LIMIT.as_secs() };
            let name = self.members.name_of(address).or(self.binding.endpoint.name()).unwrap_or_default().to_owned();
            let sessions = Arc::clone(sessions);
            self.questions.ask(Source::Database(address), async move {
                let voice = timeout(limit, sessions.ask(address, &name)).await;
                Heard::Database(address, voice.map_err(silence).unwrap_or_else(|error| Err(error.failure())))
            });
        }
    }

    fn ask_login(&mut self) {
        let Some(sessions) = self.sessions.clone().filter(|_| !self.questions.are_asked_of(Source::Login)) else {
            return;
        };
        self.questions.ask(Source::Login, async move {
            let silence = |_| {
                let message = format!("what to log in with was not fetched within {} s", LOGIN_LIMIT.as_secs());
                Err(Failure { kind: "SecretNotFetched", message })
            };
            Heard::Login(timeout(LOGIN_LIMIT, sessions.prepare()).await.unwrap_or_else(silence))
        });
    }

    /// Whether a database that was silent is left alone for a while.
    fn is_resting(&self, address: IpAddr) -> bool {
        let Some(silence) = self.silences.get(&address) else { return false };
        let is_late =
            self.start.elapsed() >= BEGINNING && self.evidence.group.members().all(|member| member != address);
        let most = if is_late { LATER_REST_AT_MOST } else { REST_AT_MOST };
        let rest = (REST * (1 << silence.row.min(6))).min(most);
        self.asked_at.get(&address).is_some_and(|at| at.elapsed() < rest)
    }

    /// Notes an answer; it is as old as the moment at which it is heard.
    fn hear(&mut self, heard: Heard) {
        let now = self.sources.now();
        if self.observations == 1 && matches!(heard, Heard::Dns(_) | Heard::Group(_)) {
            self.first_took = Some(self.began.elapsed());
        }
        match heard {
            Heard::Dns(answer) => self.hear_dns(answer, now),
            Heard::Group(Ok(group)) => self.evidence.group.see(group, now),
            Heard::Group(Err(error)) => self.undescribed = Some(error),
            Heard::Topology(answer) => self.hear_topology(answer, now),
            Heard::Login(Ok(())) => self.login = Login::Ready,
            Heard::Login(Err(failure)) => self.login = Login::Missing(failure, Instant::now()),
            Heard::Database(address, voice) => self.hear_database(address, voice, now),
        }
    }

    fn hear_dns(&mut self, answer: Result<Answer, DnsError>, now: DateTime<Utc>) {
        match answer {
            Ok(answer) => {
                self.agenda.hear_dns(&self.evidence, &answer.addresses);
                self.evidence.hear_dns(answer, now);
                self.unanswered = None;
            }
            Err(error) => {
                self.dns_failures += 1;
                self.unanswered = Some(error);
            }
        }
    }

    /// What goes wrong makes topology silent; only the writer must be found, if there is one.
    fn hear_topology(&mut self, answer: Result<Members, String>, now: DateTime<Utc>) {
        let silence = match answer {
            Ok(Members { members, at }) => {
                let all: Vec<_> = members.iter().map(|(member, _)| member.clone()).collect();
                self.evidence.hear_members(&all, at);
                let topology = Witness(self.locate(members, now));
                if topology.writer().is_some() || self.evidence.without_writer().is_some() {
                    self.unlocated = None;
                    self.agenda.hear_topology(false, now);
                    return self.evidence.hear_topology(Some(topology), at);
                }
                self.unlocated = Some((all, at));
                "the writer has no address".to_owned()
            }
            Err(reason) => reason,
        };
        warn!(binding = self.binding.name, reason = silence, "the RDS API gave no answer and is left out");
        self.agenda.hear_topology(true, now);
        self.evidence.hear_topology(None, now);
    }

    fn locate(
        &mut self,
        members: Vec<(ClusterMember, Option<Result<Answer, DnsError>>)>,
        now: DateTime<Utc>,
    ) -> Vec<(ClusterMember, Addresses)> {
        let endpoints = || members.iter().filter_map(|(member, _)| member.endpoint.as_deref());
        self.members.retain(|endpoint| endpoints().any(|it| it == endpoint));
        let group = &self.evidence.group;
        let located = members.into_iter().filter_map(|(member, answer)| {
            let addresses = self.members.locate(&member, answer?, group, now)?;
            Some((member, addresses))
        });
        let located = located.collect();
        self.sources.memory.locate(&self.binding.target_group, &self.members);
        located
    }

    fn hear_database(&mut self, address: IpAddr, voice: Result<Voice, Failure>, now: DateTime<Utc>) {
        self.agenda.hear_databases(now);
        match &voice {
            Ok(_) => drop(self.silences.remove(&address)),
            Err(Failure { kind, message }) => {
                let silence = self.silences.entry(address).or_default();
                silence.row += 1;
                if silence.kind.replace(kind) != Some(kind) {
                    let binding = &self.binding.name;
                    warn!(binding, %address, error_type = kind, error = message, "the database gave no answer and is left out");
                }
            }
        }
        self.evidence.hear_database(address, voice.ok(), now);
    }
}
