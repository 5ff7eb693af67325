//! What a run has seen of one binding, and how it looks again: DNS, the target group and topology.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use chrono::{DateTime, Utc};
use platform::session::SessionError;
use reconcile::agenda::Agenda;
use reconcile::binding::Binding;
use reconcile::claim::Voice;
use reconcile::evidence::{Answer, ClusterMember, Evidence, Topology as Witness};
use reconcile::report::Failure;
use reconcile::target::Addresses;
use reconcile::verdict::{Verdict, verdict};
use tokio::time::{Instant, timeout};
use tracing::warn;

use crate::error::{DnsError, SyncError, chain};
use crate::ports::{Clock, Dns, Sessions, TargetGroups, Topology};
use crate::sources::Sources;

/// Nothing waits longer than this for topology, which is silent then. With the pause and an answer of DNS it must stay
/// under the five seconds after which a row of equal answers is broken: else DNS is never steady while topology hangs.
const TOPOLOGY_LIMIT: Duration = Duration::from_secs(3);

/// Nothing waits longer than this for a database.
const DATABASE_LIMIT: Duration = Duration::from_secs(1);

/// Nor than this, every other time, for one that is silent: a dead host must not keep the new writer waiting, and a slow one
/// must have its chance.
const SILENT_LIMIT: Duration = Duration::from_millis(400);

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
    /// What DNS said instead of an answer, the last time it gave none.
    unanswered: Option<DnsError>,
    /// Where the members' endpoints were found last: a lookup that fails must not silence an RDS API that answers.
    located: BTreeMap<String, Addresses>,
    /// The sessions with the databases, if they are asked.
    sessions: Option<Box<dyn Sessions + 'a>>,
    /// The databases that said nothing the last time.
    silences: BTreeMap<IpAddr, Silence>,
    /// An answer of the RDS API for which DNS had no addresses yet, and when it came.
    unlocated: Option<Members>,
}

/// The members of a cluster, and when the RDS API told them.
type Members = (Vec<ClusterMember>, DateTime<Utc>);

/// What a database said of itself, and when it did or was given up.
type Said = (IpAddr, Result<Voice, Failure>, DateTime<Utc>);

/// How a database has been silent.
#[derive(Default)]
struct Silence {
    /// So many times in a row.
    row: u32,
    /// Why, the last time: the log says it once.
    kind: Option<&'static str>,
}

/// What topology told, and when it did or was given up.
type Told = (Result<(Witness, Members), String>, DateTime<Utc>);

impl<'a, D: Dns, G: TargetGroups, T: Topology, C: Clock> Look<'a, D, G, T, C> {
    pub(crate) fn new(
        sources: &'a Sources<D, G, T, C>,
        binding: &'a Binding,
        agenda: Agenda,
        evidence: Evidence,
    ) -> Self {
        Look {
            sources,
            binding,
            agenda,
            evidence,
            observations: 0,
            dns_failures: 0,
            first_took: None,
            unanswered: None,
            located: BTreeMap::new(),
            sessions: binding.engine.and(sources.databases.as_ref()).map(|databases| databases.sessions(binding)),
            silences: BTreeMap::new(),
            unlocated: None,
        }
    }

    /// Looks at what the agenda names, and judges it.
    ///
    /// # Errors
    /// When the target group could not be read, or nobody has ever said where the writer is.
    pub(crate) async fn look(&mut self) -> Result<Verdict, SyncError> {
        let mut asked = self.observe().await?;
        let mut now = self.sources.now();
        let mut judged = self.judge(now);
        loop {
            let mut unasked = self.agenda.asks_databases_after(&judged, &self.evidence, now);
            unasked.retain(|address| !asked.contains(address));
            if unasked.is_empty() {
                break;
            }
            let voices = self.ask_databases(unasked.clone()).await;
            self.hear_databases(voices);
            now = self.sources.now();
            judged = self.judge(now);
            asked.extend(unasked);
        }
        if self.agenda.asks_topology_after(&judged, &self.evidence, now) {
            let told = self.ask_topology().await;
            self.hear_topology(told);
            judged = self.judge(self.sources.now());
        }
        self.agenda.hear_verdict(&judged);
        match self.unanswered.take() {
            // No answer is no evidence; only if none ever came the run cannot do its work.
            Some(error) if matches!(judged, Verdict::Wait(_)) && self.evidence.answer().is_none() => {
                Err(SyncError::Dns(error))
            }
            _ => Ok(judged),
        }
    }

    /// Until the next look, if this one took so long.
    pub(crate) fn pause(&self, took: Duration, is_unshown: bool) -> Duration {
        self.agenda.pause(&self.evidence, took, is_unshown, self.sources.now())
    }

    /// Ends what is open.
    pub(crate) async fn close(&self) {
        if let Some(sessions) = &self.sessions {
            sessions.close().await;
        }
    }

    /// Describes the group, and judges by that.
    ///
    /// # Errors
    /// When the target group could not be read; `progress` is what was done before.
    pub(crate) async fn describe(&mut self, progress: &'static str) -> Result<Verdict, SyncError> {
        let group = self.sources.groups.describe(&self.binding.target_group).await;
        let group = group.map_err(|source| SyncError::Aws { progress, source })?;
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

    /// DNS, topology and the target group at the same time, as far as they are due. What takes longer must not make the
    /// others younger. Returns which databases were asked.
    async fn observe(&mut self) -> Result<BTreeSet<IpAddr>, SyncError> {
        self.observations += 1;
        let start = Instant::now();
        let is_due = self.agenda.describes(&self.evidence, self.sources.now());
        let describe = async {
            let group = if is_due {
                self.sources.groups.describe(&self.binding.target_group).await.map(Some)
            } else {
                Ok(None)
            };
            (group.map(|group| group.map(|group| (group, self.sources.now()))), start.elapsed())
        };
        let witnesses = async {
            let dns = self.sources.resolve(self.binding).await.map(|answer| (answer, self.sources.now()));
            let (answer, took) = (dns.as_ref().ok().map(|(answer, _)| &answer.addresses), start.elapsed());
            let is_due = self.agenda.asks_topology(&self.evidence, answer, self.sources.now());
            (dns, took, if is_due { Some(self.ask_topology().await) } else { None })
        };
        let asked = self.agenda.asks_databases(&self.evidence);
        let databases = self.ask_databases(asked.clone());
        let ((dns, dns_took, told), (group, group_took), voices) = tokio::join!(witnesses, describe, databases);
        self.first_took.get_or_insert(dns_took.max(group_took));
        self.hear_dns(dns);
        if let Some(told) = told {
            self.hear_topology(told);
        }
        self.hear_databases(voices);
        match group {
            Ok(group) => {
                group.into_iter().for_each(|(group, at)| self.evidence.group.see(group, at));
                Ok(asked)
            }
            Err(group) => Err(match self.unanswered.take_if(|_| self.evidence.answer().is_none()) {
                Some(dns) => SyncError::Blind { dns, group },
                None => SyncError::Aws { progress: UNREAD, source: group },
            }),
        }
    }

    fn hear_dns(&mut self, answer: Result<(Answer, DateTime<Utc>), DnsError>) {
        match answer {
            Ok((answer, at)) => {
                self.agenda.hear_dns(&self.evidence, &answer.addresses);
                self.evidence.hear_dns(answer, at);
                self.unanswered = None;
            }
            Err(error) => {
                self.dns_failures += 1;
                self.unanswered = Some(error);
            }
        }
    }

    /// Topology: cluster → members → their endpoints → addresses. What goes wrong makes it silent.
    async fn ask_topology(&self) -> Told {
        let answer = async {
            let cluster = self.binding.cluster().unwrap_or_default();
            let members = self.sources.topology.members(cluster).await.map(|members| (members, self.sources.now()));
            let members = members.or_else(|error| self.unlocated.clone().ok_or_else(|| chain(&error)))?;
            Ok((self.locate(&members.0).await, members))
        };
        let answer = timeout(TOPOLOGY_LIMIT, answer).await.unwrap_or_else(|_| Err("no answer in time".to_owned()));
        (answer, self.sources.now())
    }

    fn hear_topology(&mut self, (answer, heard): Told) {
        self.agenda.hear_topology(heard);
        for (member, addresses) in answer.iter().flat_map(|(topology, _)| &topology.0) {
            let Some(endpoint) = &member.endpoint else { continue };
            if self.located.get(endpoint) != Some(addresses) {
                self.located.insert(endpoint.clone(), addresses.clone());
            }
        }
        if let Ok((_, (members, at))) = &answer {
            self.evidence.hear_members(members, *at);
        }
        let silence = match answer {
            Ok((topology, (_, at))) if topology.writer().is_some() || self.evidence.without_writer().is_some() => {
                self.unlocated = None;
                return self.evidence.hear_topology(Some(topology), at);
            }
            Ok((_, members)) => {
                self.unlocated = Some(members);
                "the writer has no address".to_owned()
            }
            Err(reason) => reason,
        };
        warn!(binding = self.binding.name, reason = silence, "the RDS API gave no answer and is left out");
        self.evidence.hear_topology(None, heard);
    }

    /// Asks the databases at these addresses side by side. Only those that may be registered are sent a login.
    async fn ask_databases(&self, addresses: BTreeSet<IpAddr>) -> Vec<Said> {
        let Some(sessions) = &self.sessions else { return Vec::new() };
        let allowed = addresses.into_iter().filter(|address| self.sources.config.allowed.refusal(*address).is_none());
        let asked = allowed.map(|address| async move {
            let is_in_a_row = self.silences.get(&address).is_some_and(|silence| silence.row % 2 == 1);
            let limit = if is_in_a_row { SILENT_LIMIT } else { DATABASE_LIMIT };
            let silence = |_| SessionError::Timeout { seconds: DATABASE_LIMIT.as_secs() };
            let voice = timeout(limit, sessions.ask(address, self.name_of(address))).await;
            (address, voice.map_err(silence).unwrap_or_else(|error| Err(error.failure())), self.sources.now())
        });
        futures_util::future::join_all(asked).await
    }

    fn hear_databases(&mut self, voices: Vec<Said>) {
        for (address, voice, at) in voices {
            self.agenda.hear_databases(at);
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
            self.evidence.hear_database(address, voice.ok(), at);
        }
    }

    /// The name that the certificate of the database at this address must be for: its member's, or the binding's own.
    fn name_of(&self, address: IpAddr) -> &str {
        let member = self.located.iter().find(|(_, addresses)| addresses.contains(address));
        member.map(|(endpoint, _)| endpoint.as_str()).or(self.binding.endpoint.name()).unwrap_or_default()
    }

    /// The members' addresses, looked up at the same time; only the writer's must be there.
    async fn locate(&self, members: &[ClusterMember]) -> Witness {
        let lookups = members.iter().map(|member| async {
            let endpoint = member.endpoint.as_ref()?;
            let answer = self.sources.dns.lookup(endpoint, self.binding.family).await;
            let addresses = answer.ok().map(|answer| answer.addresses);
            Some((member.clone(), addresses.or_else(|| self.located.get(endpoint).cloned())?))
        });
        let located = futures_util::future::join_all(lookups).await;
        Witness(located.into_iter().flatten().collect())
    }
}
