//! The loop: observe, judge, plan, apply, and observe again.

use std::sync::Arc;
use std::time::Duration;

use reconcile::binding::{Binding, Endpoint};
use reconcile::config::Config;
use reconcile::evidence::{Answer, Evidence, Topology as Witness};
use reconcile::plan::Plan;
use reconcile::report::{BindingReport, Report, strings};
use reconcile::target::{DescribedTarget, Target};
use reconcile::trigger::Trigger;
use reconcile::verdict::{Verdict, verdict};
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tracing::{Instrument, info, warn};

use crate::error::{DnsError, RunError, SyncError, chain};
use crate::ports::{Dns, TargetGroups, Topology};

/// How long a run goes on looking at witnesses that disagree before it leaves the rest to the next run.
pub const DRIFT_LIMIT: Duration = Duration::from_secs(45);

/// Between two observations of one run.
const PAUSE: Duration = Duration::from_secs(1);

/// A switch does not wait longer than this for topology, which is silent then.
const TOPOLOGY_LIMIT: Duration = Duration::from_secs(4);

/// Keeps every configured binding.
pub struct Synchronizer<D, G, T> {
    config: Config,
    dns: D,
    groups: G,
    topology: T,
}

/// One binding's run: what it works on, and what it has to say.
struct Run {
    binding: Binding,
    report: BindingReport,
    doing: String,
}

impl<D: Dns, G: TargetGroups, T: Topology> Synchronizer<D, G, T> {
    /// Keeps the bindings of the configuration through the given ports.
    pub fn new(config: Config, dns: D, groups: G, topology: T) -> Synchronizer<D, G, T> {
        Synchronizer { config, dns, groups, topology }
    }

    /// Reconciles the bindings that the trigger asks for, side by side, each for itself, until the deadline.
    ///
    /// # Errors
    /// When the trigger names an unknown binding, or when a binding failed; the others are done first.
    pub async fn run(self: &Arc<Self>, trigger: &Trigger, deadline: Instant) -> Result<Report, RunError> {
        let bindings = self.asked_for(trigger)?;
        let tasks = bindings.into_iter().map(|binding| {
            let report = BindingReport::new(&binding, trigger.dry_run);
            let run = Run { binding, report: report.clone(), doing: "starting".to_owned() };
            let task = Arc::clone(self).reconcile(run, deadline).in_current_span();
            // A task of its own, so that a panic in one binding does not stop another.
            (report, tokio::spawn(task))
        });
        let mut reports = Vec::new();
        for (blank, task) in tasks.collect::<Vec<_>>() {
            reports.push(task.await.unwrap_or_else(|panic| BindingReport {
                error: Some(SyncError::Panicked(panic.to_string()).failure()),
                ..blank
            }));
        }
        let report = Report::new(trigger, reports);
        if report.failures().next().is_some() { Err(RunError::Bindings(report)) } else { Ok(report) }
    }

    fn asked_for(&self, trigger: &Trigger) -> Result<Vec<Binding>, RunError> {
        let Some(wanted) = &trigger.binding else { return Ok(self.config.bindings.clone()) };
        match self.config.bindings.iter().find(|binding| binding.name == *wanted) {
            Some(binding) => Ok(vec![binding.clone()]),
            None => {
                let known = self.config.bindings.iter().map(|binding| binding.name.clone()).collect();
                Err(RunError::UnknownBinding { wanted: wanted.clone(), known })
            }
        }
    }

    async fn reconcile(self: Arc<Self>, mut run: Run, deadline: Instant) -> BindingReport {
        let start = Instant::now();
        let outcome = timeout_at(deadline, self.converge(&mut run)).await;
        let error = match outcome {
            Ok(result) => result.err(),
            Err(_) => Some(SyncError::DeadlineNear { doing: run.doing }),
        };
        run.report.error = error.as_ref().map(SyncError::failure);
        run.report.elapsed = start.elapsed();
        run.report
    }

    /// Observes and applies until the group is right, the witnesses' disagreement lasts too long, or something fails.
    async fn converge(&self, run: &mut Run) -> Result<(), SyncError> {
        let give_up = Instant::now() + DRIFT_LIMIT;
        loop {
            let (dns, group) = self.observe(run).await?;
            let mut evidence = Evidence { dns, topology: Witness::NotAsked };
            let mut judged = self.judge(run, &evidence, &group);
            if judged == Verdict::AskTopology {
                evidence.topology = self.ask_topology(run).await;
                judged = self.judge(run, &evidence, &group);
            }
            match judged {
                Verdict::InSync => return Ok(()),
                Verdict::Refuse(refusal) => return Err(SyncError::Refused(refusal)),
                Verdict::Switch(plan) if run.report.dry_run => {
                    run.report.registered = strings(&plan.register);
                    run.report.deregistered = strings(&plan.deregister);
                    return Ok(());
                }
                Verdict::Switch(plan) => self.apply(run, plan, &evidence).await?,
                Verdict::Wait(disagreement) if run.report.dry_run || Instant::now() >= give_up => {
                    run.report.waiting_for = Some(disagreement.to_string());
                    return Ok(());
                }
                Verdict::Wait(_) | Verdict::AskTopology => {}
            }
            // The verification right after a write needs no pause; looking at the same thing again and again does.
            if run.report.observations > 1 || !run.report.is_changed() {
                run.doing = "waiting to look again".to_owned();
                sleep(PAUSE).await;
            }
        }
    }

    fn judge(&self, run: &Run, evidence: &Evidence, group: &[DescribedTarget]) -> Verdict {
        verdict(&run.binding, &self.config.allowed, evidence, group)
    }

    /// DNS and the target group, at the same time.
    async fn observe(&self, run: &mut Run) -> Result<(Answer, Vec<DescribedTarget>), SyncError> {
        run.doing = "reading DNS and the target group".to_owned();
        run.report.observations += 1;
        let (dns, group) = tokio::join!(self.resolve(&run.binding), self.groups.describe(&run.binding.target_group));
        match &dns {
            Ok(answer) => run.report.resolved = answer.addresses.iter().collect(),
            Err(_) => run.report.dns_failures += 1,
        }
        if let Ok(group) = &group {
            let members = group.iter().filter(|described| described.is_member()).map(DescribedTarget::to_string);
            run.report.kept = members.filter(|member| !run.report.registered.contains(member)).collect();
        }
        match (dns, group) {
            (Ok(answer), Ok(group)) => Ok((answer, group)),
            (Err(dns), Ok(_)) => Err(SyncError::Dns(dns)),
            (Ok(_), Err(source)) => Err(SyncError::Aws { progress: "the target group could not be read", source }),
            (Err(dns), Err(group)) => Err(SyncError::Blind { dns, group }),
        }
    }

    async fn resolve(&self, binding: &Binding) -> Result<Answer, DnsError> {
        match &binding.endpoint {
            Endpoint::Name(name) => self.dns.lookup(name, binding.family).await,
            Endpoint::Address(address) => Ok(Answer { addresses: (*address).into(), ttl: Duration::ZERO }),
        }
    }

    /// Topology: cluster → writer → its endpoint → address. What goes wrong makes it silent.
    async fn ask_topology(&self, run: &mut Run) -> Witness {
        run.doing = "asking the RDS API for the writer".to_owned();
        let binding = &run.binding;
        let asked = async {
            let cluster = binding.id.as_deref().unwrap_or_default();
            let writer = self.topology.writer_endpoint(cluster).await.map_err(|error| chain(&error))?;
            self.dns.lookup(&writer, binding.family).await.map_err(|error| chain(&error))
        };
        match timeout(TOPOLOGY_LIMIT, asked).await.unwrap_or_else(|_| Err("no answer in time".to_owned())) {
            Ok(answer) => {
                run.report.topology = Some(answer.addresses.iter().collect());
                Witness::Names(answer.addresses)
            }
            Err(reason) => {
                warn!(binding = binding.name, reason, "the RDS API gave no answer and is left out");
                Witness::Silent
            }
        }
    }

    /// Registers, describes again, and deregisters only if every wanted target is a member now.
    async fn apply(&self, run: &mut Run, plan: Plan, evidence: &Evidence) -> Result<(), SyncError> {
        let mut surplus = plan.deregister;
        if !plan.register.is_empty() {
            self.register(run, &plan.register).await?;
            run.doing = "describing the target group after the registration".to_owned();
            let described = self.groups.describe(&run.binding.target_group).await;
            let group = described.map_err(|source| SyncError::Aws { progress: REGISTERED_ONLY, source })?;
            surplus = match self.judge(run, evidence, &group) {
                Verdict::Switch(plan) if plan.register.is_empty() => plan.deregister,
                _ => Vec::new(),
            };
        }
        if surplus.is_empty() { Ok(()) } else { self.deregister(run, &surplus).await }
    }

    async fn register(&self, run: &mut Run, targets: &[Target]) -> Result<(), SyncError> {
        let names = strings(targets);
        run.doing = format!("registering {}", names.join(", "));
        let registered = self.groups.register(&run.binding.target_group, targets).await;
        registered.map_err(|source| SyncError::Aws { progress: "nothing was deregistered", source })?;
        info!(binding = run.binding.name, targets = names.join(","), "registered targets");
        run.report
            .registered
            .extend(names.into_iter().filter(|name| !run.report.registered.contains(name)).collect::<Vec<_>>());
        Ok(())
    }

    async fn deregister(&self, run: &mut Run, targets: &[DescribedTarget]) -> Result<(), SyncError> {
        let names = strings(targets);
        run.doing = format!("deregistering {}", names.join(", "));
        let deregistered = self.groups.deregister(&run.binding.target_group, targets).await;
        deregistered.map_err(|source| SyncError::Aws { progress: REGISTERED_ONLY, source })?;
        info!(binding = run.binding.name, targets = names.join(","), "deregistered targets");
        run.report.deregistered.extend(names);
        Ok(())
    }
}

const REGISTERED_ONLY: &str = "the writer is registered and the old target was not deregistered";
