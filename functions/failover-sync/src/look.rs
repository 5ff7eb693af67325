//! One run's look at one binding.

use std::collections::BTreeMap;
use std::time::Duration;

use reconcile::binding::{Binding, Endpoint, Kind};
use reconcile::evidence::{Answer, ClusterMember, Evidence, Topology as Witness};
use reconcile::plan::Plan;
use reconcile::report::{BindingReport, strings};
use reconcile::target::{Addresses, DescribedTarget, Target};
use reconcile::trigger::Trigger;
use reconcile::verdict::{Reason, Verdict, verdict};
use reconcile::watch::Watch;
use tokio::time::{Instant, sleep, timeout};
use tracing::{info, warn};

use crate::error::{DnsError, SyncError, chain};
use crate::ports::{Clock, Dns, TargetGroups, Topology};
use crate::sync::{PAUSE, Synchronizer};

/// While nothing is to be written, a description this old will do: ELBv2 gives the whole account ten describes a second.
const DESCRIBE_EVERY: Duration = Duration::from_secs(15);

/// The RDS API is throttled at an unpublished rate, for the whole account.
const ASK_TOPOLOGY_EVERY: Duration = Duration::from_secs(2);

/// Nothing waits longer than this for topology, which is silent then.
const TOPOLOGY_LIMIT: Duration = Duration::from_secs(4);

/// What errors say about what may have been done before them.
const UNREAD: &str = "the target group could not be read";
const BEFORE_DEREGISTRATION: &str = "the writer is registered, and nothing was deregistered";
const IN_DEREGISTRATION: &str = "the writer is registered, and the old target may not have been deregistered";
const IN_REGISTRATION: &str = "the writer may not have been registered, and nothing was deregistered";

/// What a run knows about a binding so far, and what it has to say.
pub(crate) struct Look<'a, D, G, T, C> {
    world: &'a Synchronizer<D, G, T, C>,
    binding: &'a Binding,
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

impl<'a, D: Dns, G: TargetGroups, T: Topology, C: Clock> Look<'a, D, G, T, C> {
    pub(crate) fn new(
        world: &'a Synchronizer<D, G, T, C>,
        binding: &'a Binding,
        trigger: &Trigger,
        report: BindingReport,
    ) -> Self {
        let now = world.clock.now();
        Look {
            world,
            binding,
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
        self.observe().await?;
        let mut judged = self.judge();
        if self.needs_topology(&judged) {
            self.ask_topology().await;
            judged = self.judge();
        }
        if matches!(judged, Verdict::Switch(_)) && !self.report.dry_run && !self.is_described_now() {
            self.describe(UNREAD).await?;
            judged = self.judge();
        }
        self.report.waiting_for = None;
        self.report.is_disputed = matches!(judged, Verdict::Wait(Reason::Disagreement { .. }));
        match judged {
            Verdict::InSync => {
                self.unsettled = 0;
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

    fn judge(&self) -> Verdict {
        let group = self.group.as_ref().map_or(&[][..], |(_, group)| group);
        verdict(self.binding, &self.world.config.allowed, &self.evidence, group, self.now())
    }

    /// DNS, and the target group if its description is old, at the same time.
    async fn observe(&mut self) -> Result<(), SyncError> {
        self.doing = "reading DNS and the target group".to_owned();
        self.report.observations += 1;
        let is_due = self.group.as_ref().is_none_or(|(at, _)| at.elapsed() >= DESCRIBE_EVERY);
        let describe = async {
            if is_due { self.world.groups.describe(&self.binding.target_group).await.map(Some) } else { Ok(None) }
        };
        let (dns, group) = tokio::join!(self.resolve(), describe);
        self.unanswered = match dns {
            Ok(answer) => {
                let resolved: Vec<_> = answer.addresses.iter().collect();
                self.has_moved = self.report.resolved != resolved;
                self.report.resolved = resolved;
                self.evidence.hear_dns(answer, self.now());
                None
            }
            Err(error) => {
                self.report.dns_failures += 1;
                Some(error)
            }
        };
        match group {
            Ok(group) => {
                group.into_iter().for_each(|group| self.see(group));
                Ok(())
            }
            Err(group) => Err(match self.unanswered.take_if(|_| !self.evidence.has_answer()) {
                Some(dns) => SyncError::Blind { dns, group },
                None => SyncError::Aws { progress: UNREAD, source: group },
            }),
        }
    }

    async fn resolve(&self) -> Result<Answer, DnsError> {
        match &self.binding.endpoint {
            Endpoint::Name(name) => self.world.dns.lookup(name, self.binding.family).await,
            Endpoint::Address(address) => Ok(Answer { addresses: (*address).into(), ttl: Duration::ZERO }),
        }
    }

    async fn describe(&mut self, progress: &'static str) -> Result<(), SyncError> {
        self.doing = "describing the target group".to_owned();
        let group = self.world.groups.describe(&self.binding.target_group).await;
        self.see(group.map_err(|source| SyncError::Aws { progress, source })?);
        Ok(())
    }

    fn see(&mut self, group: Vec<DescribedTarget>) {
        let members = group.iter().filter(|described| described.is_member()).map(DescribedTarget::to_string);
        self.report.kept = members.filter(|member| !self.report.registered.contains(member)).collect();
        self.evidence.see_group(&group, self.now());
        self.group = Some((Instant::now(), group));
    }

    fn is_described_now(&self) -> bool {
        self.group.as_ref().is_some_and(|(at, _)| at.elapsed() < PAUSE)
    }

    /// On drift, in a watch, and when a member is unhealthy, which is a hint and no proof.
    fn needs_topology(&self, judged: &Verdict) -> bool {
        let is_known = matches!(self.binding.kind, Kind::Cluster | Kind::Readers) && self.binding.id.is_some();
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
            // Nothing is written unless topology had a chance to object to it.
            Verdict::Switch(_) => Duration::ZERO,
            _ if self.has_moved || self.is_announced() => PAUSE,
            _ => ASK_TOPOLOGY_EVERY,
        };
        is_known && is_wanted && self.topology_asked.is_none_or(|asked| asked.elapsed() >= pause)
    }

    /// Whether an event names an instance that is not registered yet.
    fn is_announced(&self) -> bool {
        let Some((named, _)) = self.evidence.named(self.now()) else { return false };
        let mut members = self.group.iter().flat_map(|(_, group)| group).filter(|target| target.is_member());
        !members.any(|member| member.target().is_some_and(|target| named.contains(target.address)))
    }

    /// Topology: cluster → members → their endpoints → addresses. What goes wrong makes it silent.
    async fn ask_topology(&mut self) {
        self.doing = "asking the RDS API for the writer".to_owned();
        self.topology_asked = Some(Instant::now());
        let asked = async {
            let cluster = self.binding.id.as_deref().unwrap_or_default();
            let members = self.world.topology.members(cluster).await.map_err(|error| chain(&error))?;
            self.locate(members).await
        };
        let told = timeout(TOPOLOGY_LIMIT, asked).await.unwrap_or_else(|_| Err("no answer in time".to_owned()));
        let topology = match told {
            Ok(topology) => Some(topology),
            Err(reason) => {
                warn!(binding = self.binding.name, reason, "the RDS API gave no answer and is left out");
                None
            }
        };
        self.report.topology = topology.as_ref().and_then(Witness::writer).map(|writer| writer.iter().collect());
        self.evidence.hear_topology(topology, self.now());
        self.report.event = self.evidence.named(self.now()).map(|(named, _)| named.iter().collect());
    }

    /// The members' addresses, looked up at the same time; only the writer's must be there.
    async fn locate(&mut self, members: Vec<ClusterMember>) -> Result<Witness, String> {
        let lookups = members.into_iter().map(|member| async {
            let endpoint = member.endpoint.clone()?;
            let answer = self.world.dns.lookup(&endpoint, self.binding.family).await;
            let addresses = answer.ok().map(|answer| answer.addresses);
            Some((member, addresses.or_else(|| self.located.get(&endpoint).cloned())?))
        });
        let located = futures_util::future::join_all(lookups).await;
        let topology = Witness(located.into_iter().flatten().collect());
        for (member, addresses) in &topology.0 {
            self.located.extend(member.endpoint.clone().map(|endpoint| (endpoint, addresses.clone())));
        }
        if topology.writer().is_some() { Ok(topology) } else { Err("the writer has no address".to_owned()) }
    }

    /// Registers, describes again, and deregisters only if every wanted target is a member now.
    ///
    /// The description right before the deregistration is for runs that see different answers of a flapping DNS:
    ///
    /// 1. the group holds both addresses; one run wants 10.0.0.2 alone, the other 10.0.0.1;
    /// 2. the first deregisters 10.0.0.1, which is draining from then on;
    /// 3. the second describes, sees that 10.0.0.1 is no member any more, and deregisters nothing.
    ///
    /// Between describing and deregistering a gap remains in which both may have described. Then the group is empty
    /// until the next look, which registers again.
    async fn apply(&mut self, plan: Plan) -> Result<(), SyncError> {
        let applied = self.write(plan).await;
        // Also a write that failed may have been carried out.
        self.group = None;
        applied
    }

    async fn write(&mut self, plan: Plan) -> Result<(), SyncError> {
        if !plan.register.is_empty() {
            self.register(&plan.register).await?;
        }
        if !plan.deregister.is_empty() {
            self.describe(BEFORE_DEREGISTRATION).await?;
            if let Verdict::Switch(now) = self.judge()
                && now.register.is_empty()
                && !now.deregister.is_empty()
            {
                self.deregister(&now.deregister).await?;
            }
        }
        Ok(())
    }

    async fn register(&mut self, targets: &[Target]) -> Result<(), SyncError> {
        let names = strings(targets);
        self.doing = format!("registering {}", names.join(", "));
        let registered = self.world.groups.register(&self.binding.target_group, targets).await;
        registered.map_err(|source| SyncError::Aws { progress: IN_REGISTRATION, source })?;
        info!(binding = self.binding.name, targets = names.join(","), "registered targets");
        note(&mut self.report.registered, names);
        Ok(())
    }

    async fn deregister(&mut self, targets: &[DescribedTarget]) -> Result<(), SyncError> {
        let names = strings(targets);
        self.doing = format!("deregistering {}", names.join(", "));
        for target in targets.iter().filter_map(DescribedTarget::target) {
            self.evidence.leave(target.address, self.now());
        }
        self.world.remember(&self.binding.target_group, self.evidence.left());
        let deregistered = self.world.groups.deregister(&self.binding.target_group, targets).await;
        deregistered.map_err(|source| SyncError::Aws { progress: IN_DEREGISTRATION, source })?;
        info!(binding = self.binding.name, targets = names.join(","), "deregistered targets");
        note(&mut self.report.deregistered, names);
        Ok(())
    }

    fn now(&self) -> chrono::DateTime<chrono::Utc> {
        self.world.clock.now()
    }
}

/// Adds what is not noted yet: a write that does not show at once is sent again.
fn note(noted: &mut Vec<String>, names: Vec<String>) {
    for name in names {
        if !noted.contains(&name) {
            noted.push(name);
        }
    }
}
