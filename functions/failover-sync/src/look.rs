//! One run's look at one binding.

mod apply;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use chrono::{DateTime, Utc};
use reconcile::binding::{Binding, Kind};
use reconcile::evidence::{ClusterMember, Evidence, Topology as Witness};
use reconcile::plan::Plan;
use reconcile::report::{BindingReport, strings};
use reconcile::target::{Addresses, DescribedTarget};
use reconcile::trigger::Trigger;
use reconcile::verdict::{Reason, Verdict, verdict};
use reconcile::watch::{EVENT_LIFETIME, Watch, age};
use tokio::time::{Instant, sleep, timeout};
use tracing::warn;

use crate::error::{DnsError, SyncError, chain};
use crate::ports::{Clock, Dns, TargetGroups, Topology};
use crate::sync::{PAUSE, Synchronizer};

/// While nothing is to be written, a description this old will do: ELBv2 gives the whole account ten describes a second.
const DESCRIBE_EVERY: Duration = Duration::from_secs(15);

/// The RDS API is throttled at an unpublished rate, for the whole account.
const ASK_TOPOLOGY_EVERY: Duration = Duration::from_secs(2);

/// Nothing waits longer than this for topology, which is silent then. With the pause and an answer of DNS it must stay
/// under the five seconds after which a row of equal answers is broken: else DNS is never steady while topology hangs.
const TOPOLOGY_LIMIT: Duration = Duration::from_secs(3);

/// What errors say about what may have been done before them.
const UNREAD: &str = "the target group could not be read";

/// What a run knows about a binding so far, and what it has to say.
pub(crate) struct Look<'a, D, G, T, C> {
    world: &'a Synchronizer<D, G, T, C>,
    binding: &'a Binding,
    /// When the last event that concerns the binding happened, if that says anything about now.
    announced: Option<DateTime<Utc>>,
    watch: Watch,
    evidence: Evidence,
    group: Option<(Instant, Vec<DescribedTarget>)>,
    topology_asked: Option<Instant>,
    /// Where the members' endpoints were found last: a lookup that fails must not silence an RDS API that answers.
    located: BTreeMap<String, Addresses>,
    /// What DNS said instead of an answer, the last time it gave none.
    unanswered: Option<DnsError>,
    /// Whether the last answer of DNS differs from the one before.
    has_moved: bool,
    /// Writes in a row that did not make the group what it should be.
    unsettled: u32,
    report: BindingReport,
    doing: String,
}

/// What follows from one observation.
enum Next {
    End,
    Verify,
    LookAgain,
}

/// What topology told, when it was asked, and when it answered.
struct Told {
    at: Instant,
    time: DateTime<Utc>,
    answer: Result<Witness, String>,
}

/// The group, and when it was like that. What is asked at the same time may take longer, and must not make it younger.
struct Seen {
    at: Instant,
    time: DateTime<Utc>,
    group: Vec<DescribedTarget>,
}

impl<'a, D: Dns, G: TargetGroups, T: Topology, C: Clock> Look<'a, D, G, T, C> {
    pub(crate) fn new(
        world: &'a Synchronizer<D, G, T, C>,
        binding: &'a Binding,
        trigger: &Trigger,
        report: BindingReport,
    ) -> Self {
        let now = world.clock.now();
        let concerning = trigger.events.iter().filter(|event| event.concerns(binding));
        let young = concerning.filter_map(|event| event.time).filter(|time| age(*time, now) <= EVENT_LIFETIME);
        Look {
            world,
            binding,
            announced: young.max(),
            watch: Watch::new(binding, trigger, world.config.watch, now),
            evidence: Evidence::new(binding, &trigger.events, world.departures(&binding.target_group), now),
            group: None,
            topology_asked: None,
            located: BTreeMap::new(),
            unanswered: None,
            has_moved: false,
            unsettled: 0,
            report,
            doing: "starting".to_owned(),
        }
    }

    /// What it is doing, for the error of a run whose time is up.
    pub(crate) fn doing(&self) -> String {
        self.doing.clone()
    }

    pub(crate) fn into_report(self) -> BindingReport {
        self.report
    }

    /// Observes and applies until the watch is over. In a watch an error is not the end: the next look may succeed.
    pub(crate) async fn converge(&mut self) -> Result<(), SyncError> {
        let mut has_verified = false;
        loop {
            let next = match self.step().await {
                Err(error) if !self.watch.is_on() || self.watch.is_up(self.now()) => return Err(error),
                Err(error) => {
                    warn!(binding = self.binding.name, error = chain(&error), "a look failed, the watch goes on");
                    self.watch.differ();
                    Next::LookAgain
                }
                Ok(next) => next,
            };
            match next {
                Next::End => return Ok(()),
                // The verification right after a write needs no pause; a write that does not show does.
                Next::Verify if !has_verified => has_verified = true,
                Next::Verify | Next::LookAgain => {
                    has_verified = false;
                    self.doing = "waiting to look again".to_owned();
                    sleep(PAUSE).await;
                }
            }
        }
    }

    async fn step(&mut self) -> Result<Next, SyncError> {
        // What an earlier look saw says nothing about a look that fails.
        (self.report.members_wrong, self.report.is_disputed, self.report.waiting_for) = (None, false, None);
        let has_topology = self.observe().await?;
        let mut judged = self.judge();
        if self.needs_topology(&judged, has_topology) {
            self.doing = "asking the RDS API for the writer".to_owned();
            let told = self.ask_topology().await;
            self.hear_topology(told);
            judged = self.judge();
        }
        if matches!(judged, Verdict::Switch(_)) && !self.report.dry_run && !self.is_described_now() {
            self.describe(UNREAD).await?;
            judged = self.judge();
        }
        self.report.members_wrong = self.members_wrong(&judged);
        self.report.is_disputed = matches!(judged, Verdict::Wait(Reason::Disagreement { .. }));
        match judged {
            Verdict::InSync => {
                self.unsettled = 0;
                if self.report.is_changed() {
                    let since_event = self.announced.map(|event| age(event, self.now()));
                    self.report.switch_latency = self.report.switch_latency.or(since_event);
                }
                self.world.settle(&self.binding.target_group, &self.report.resolved);
                let is_over = self.report.dry_run || self.watch.ends_in_agreement(self.now());
                return Ok(if is_over { Next::End } else { Next::LookAgain });
            }
            Verdict::Refuse(refusal) => return Err(SyncError::Refused(refusal)),
            Verdict::Switch(plan) if self.report.dry_run => {
                self.report.registered = strings(&plan.register);
                self.report.deregistered = strings(&plan.deregister);
                self.report.kept = strings(&plan.keep);
                return Ok(Next::End);
            }
            Verdict::Switch(plan) if self.unsettled >= 2 && self.watch.is_up(self.now()) => {
                return Err(SyncError::Unsettled(plan));
            }
            Verdict::Switch(plan) => {
                self.watch.differ();
                self.unsettled += 1;
                self.apply(plan).await?;
                return Ok(Next::Verify);
            }
            Verdict::Wait(reason) => {
                // No answer is no evidence; only if none ever came the run cannot do its work.
                if let Some(error) = self.unanswered.take_if(|_| !self.evidence.has_answer()) {
                    return Err(SyncError::Dns(error));
                }
                self.report.waiting_for = Some(reason.to_string());
            }
        }
        self.watch.differ();
        let is_over = self.report.dry_run || self.watch.is_up(self.now());
        Ok(if is_over { Next::End } else { Next::LookAgain })
    }

    /// What the verdict would change. Where it waits, nobody knows who is right; then what DNS would change.
    fn members_wrong(&self, judged: &Verdict) -> Option<usize> {
        match judged {
            Verdict::InSync => Some(0),
            Verdict::Switch(plan) => Some(plan.register.len() + plan.deregister.len()),
            Verdict::Wait(Reason::NoAnswer) | Verdict::Refuse(_) => None,
            Verdict::Wait(_) => {
                let (_, group) = self.group.as_ref()?;
                let resolved = Addresses::new(self.report.resolved.iter().copied())?;
                let plan = Plan::new(&resolved, self.binding.port, group);
                Some(plan.register.len() + plan.deregister.len())
            }
        }
    }

    fn judge(&self) -> Verdict {
        let group = self.group.as_ref().map_or(&[][..], |(_, group)| group);
        verdict(self.binding, &self.world.config.allowed, &self.evidence, group, self.now())
    }

    /// DNS, and the target group if its description is old, at the same time. Topology is asked meanwhile if it will
    /// be needed; whether it was is returned.
    async fn observe(&mut self) -> Result<bool, SyncError> {
        self.doing = "reading DNS and the target group".to_owned();
        self.report.observations += 1;
        let start = Instant::now();
        let is_due = self.group.as_ref().is_none_or(|(at, _)| at.elapsed() >= DESCRIBE_EVERY);
        let describe = async {
            let group =
                if is_due { self.world.groups.describe(&self.binding.target_group).await.map(Some) } else { Ok(None) };
            group.map(|group| group.map(|group| Seen { at: Instant::now(), time: self.now(), group }))
        };
        let witnesses = async {
            let dns = self.world.resolve(self.binding).await.map(|answer| (answer, self.now()));
            let resolved = dns.as_ref().ok().map(|(answer, _)| answer.addresses.iter().collect::<Vec<_>>());
            let told = if self.will_need_topology(resolved) { Some(self.ask_topology().await) } else { None };
            (dns, told)
        };
        let ((dns, told), group) = tokio::join!(witnesses, describe);
        let has_topology = told.is_some();
        if self.report.observe_latency.is_none() {
            let asked = told.as_ref().map_or_else(Instant::now, |told| told.at);
            let seen = group.as_ref().ok().and_then(Option::as_ref).map_or(asked, |seen| seen.at);
            self.report.observe_latency = Some(asked.max(seen) - start);
        }
        self.unanswered = match dns {
            Ok((answer, time)) => {
                let resolved: Vec<_> = answer.addresses.iter().collect();
                self.has_moved = self.report.resolved != resolved;
                self.report.resolved = resolved;
                self.evidence.hear_dns(answer, time);
                None
            }
            Err(error) => {
                self.report.dns_failures += 1;
                Some(error)
            }
        };
        let seen = match group {
            Ok(group) => {
                group.into_iter().for_each(|group| self.see(group));
                Ok(has_topology)
            }
            Err(group) => Err(match self.unanswered.take_if(|_| !self.evidence.has_answer()) {
                Some(dns) => SyncError::Blind { dns, group },
                None => SyncError::Aws { progress: UNREAD, source: group },
            }),
        };
        told.into_iter().for_each(|told| self.hear_topology(told));
        seen
    }

    async fn describe(&mut self, progress: &'static str) -> Result<(), SyncError> {
        self.doing = "describing the target group".to_owned();
        let group = self.world.groups.describe(&self.binding.target_group).await;
        let group = group.map_err(|source| SyncError::Aws { progress, source })?;
        self.see(Seen { at: Instant::now(), time: self.now(), group });
        Ok(())
    }

    fn see(&mut self, Seen { at, time, group }: Seen) {
        let members = group.iter().filter(|described| described.is_member()).map(DescribedTarget::to_string);
        self.report.kept = members.filter(|member| !self.report.registered.contains(member)).collect();
        self.evidence.see_group(&group, time);
        self.group = Some((at, group));
    }

    fn is_described_now(&self) -> bool {
        self.group.as_ref().is_some_and(|(at, _)| at.elapsed() < PAUSE)
    }

    /// On drift, in a watch, and when a member is unhealthy, which is a hint and no proof.
    fn needs_topology(&self, judged: &Verdict, was_asked: bool) -> bool {
        let is_wanted = match judged {
            Verdict::Refuse(_) => false,
            Verdict::Wait(Reason::NoAnswer) => self.watch.is_on(),
            Verdict::Wait(_) => true,
            Verdict::Switch(plan) => !plan.deregister.is_empty() || self.binding.kind == Kind::Readers,
            Verdict::InSync => {
                self.watch.is_on() || self.group.iter().flat_map(|(_, group)| group).any(DescribedTarget::is_ill)
            }
        };
        let pause = match judged {
            // Nothing is written unless topology had a chance to object to it: now, and not while a description that
            // takes its time was under way.
            Verdict::Switch(_) if was_asked => PAUSE,
            Verdict::Switch(_) => Duration::ZERO,
            _ => self.topology_pause(self.has_moved),
        };
        self.has_topology() && is_wanted && self.topology_is_due(pause)
    }

    /// In a watch, and when the writer's name leads elsewhere than when this process last saw the group in sync. It
    /// saves a round trip: without it the drift shows only once the target group is described. Not for readers, whose
    /// endpoint answers with another of them each time.
    fn will_need_topology(&self, resolved: Option<Vec<IpAddr>>) -> bool {
        let settled = self.world.settled(&self.binding.target_group);
        let has_left = resolved.as_ref().is_some_and(|resolved| settled.is_some_and(|settled| settled != *resolved));
        let is_wanted = self.watch.is_on() || (has_left && self.binding.kind == Kind::Cluster);
        let has_moved = resolved.is_some_and(|resolved| resolved != self.report.resolved);
        self.has_topology() && is_wanted && self.topology_is_due(self.topology_pause(has_moved))
    }

    fn has_topology(&self) -> bool {
        matches!(self.binding.kind, Kind::Cluster | Kind::Readers) && self.binding.id.is_some()
    }

    fn topology_pause(&self, has_moved: bool) -> Duration {
        if has_moved || self.is_announced() { PAUSE } else { ASK_TOPOLOGY_EVERY }
    }

    fn topology_is_due(&self, pause: Duration) -> bool {
        self.topology_asked.is_none_or(|asked| asked.elapsed() >= pause)
    }

    /// Whether an event names an instance that is not registered yet.
    fn is_announced(&self) -> bool {
        let Some((named, _)) = self.evidence.named(self.now()) else { return false };
        let mut members = self.group.iter().flat_map(|(_, group)| group).filter(|target| target.is_member());
        !members.any(|member| member.target().is_some_and(|target| named.contains(target.address)))
    }

    /// Topology: cluster → members → their endpoints → addresses. What goes wrong makes it silent.
    async fn ask_topology(&self) -> Told {
        let at = Instant::now();
        let asked = async {
            let cluster = self.binding.id.as_deref().unwrap_or_default();
            let members = self.world.topology.members(cluster).await.map_err(|error| chain(&error))?;
            Ok(self.locate(members).await)
        };
        let answer = timeout(TOPOLOGY_LIMIT, asked).await.unwrap_or_else(|_| Err("no answer in time".to_owned()));
        Told { at, time: self.now(), answer }
    }

    fn hear_topology(&mut self, told: Told) {
        self.topology_asked = Some(told.at);
        for (member, addresses) in told.answer.iter().flat_map(|topology| &topology.0) {
            self.located.extend(member.endpoint.clone().map(|endpoint| (endpoint, addresses.clone())));
        }
        let time = told.time;
        let told = told.answer.and_then(|topology| match topology.writer() {
            Some(_) => Ok(topology),
            None => Err("the writer has no address".to_owned()),
        });
        let topology = told
            .inspect_err(|reason| {
                warn!(binding = self.binding.name, reason, "the RDS API gave no answer and is left out");
            })
            .ok();
        self.report.topology = topology.as_ref().and_then(Witness::writer).map(|writer| writer.iter().collect());
        self.evidence.hear_topology(topology, time);
        self.report.event = self.evidence.named(self.now()).map(|(named, _)| named.iter().collect());
    }

    /// The members' addresses, looked up at the same time; only the writer's must be there.
    async fn locate(&self, members: Vec<ClusterMember>) -> Witness {
        let lookups = members.into_iter().map(|member| async {
            let endpoint = member.endpoint.clone()?;
            let answer = self.world.dns.lookup(&endpoint, self.binding.family).await;
            let addresses = answer.ok().map(|answer| answer.addresses);
            Some((member, addresses.or_else(|| self.located.get(&endpoint).cloned())?))
        });
        let located = futures_util::future::join_all(lookups).await;
        Witness(located.into_iter().flatten().collect())
    }

    fn now(&self) -> DateTime<Utc> {
        self.world.clock.now()
    }
}
