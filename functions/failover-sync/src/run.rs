//! One run for one binding: observe, decide, plan, apply, and observe again.

use std::time::Duration;

use chrono::{DateTime, Utc};
use reconcile::binding::Binding;
use reconcile::claim::age;
use reconcile::event::RdsEvent;
use reconcile::evidence::Evidence;
use reconcile::pending_writes::PendingWrites;
use reconcile::plan::Plan;
use reconcile::poll_policy::PollPolicy;
use reconcile::reason::Reason;
use reconcile::report::{BindingReport, strings};
use reconcile::target::{DescribedTarget, Target};
use reconcile::trigger::Trigger;
use reconcile::verdict::Verdict;
use reconcile::watch::{EVENT_LIFETIME, Watch};
use tokio::time::{Instant, sleep};
use tracing::{info, warn};

use crate::context::Context;
use crate::error::{SyncError, chain};
use crate::observer::Observer;
use crate::ports::{Clock, Clusters, Dns, TargetGroups};
use crate::process_state::GroupState;
use crate::retry::Errors;

/// What errors say about what may have been done before them.
const BEFORE_DEREGISTRATION: &str = "the writer is registered, and nothing was deregistered";
const IN_DEREGISTRATION: &str =
    "the writer is registered, and the old target may not have been deregistered";
const IN_REGISTRATION: &str =
    "the writer may not have been registered, and nothing was deregistered";

/// A group that was right when it was last looked at is taken for right for so long.
const IN_SYNC_FOR: Duration = Duration::from_secs(5);

/// A run, what it has seen, and what it has to say.
pub(crate) struct Run<'a, D, G, T, C> {
    observer: Observer<'a, D, G, T, C>,
    watch: Watch,
    /// The events that concern the binding, if nothing else asks for a watch, until the RDS API
    /// says whose they are.
    events: Vec<RdsEvent>,
    /// When the last event that concerns the binding happened, if that says anything about now.
    event_at: Option<DateTime<Utc>>,
    pending_writes: PendingWrites,
    /// The last verdict's name and the rule that made it.
    rule: Option<(&'static str, Option<&'static str>)>,
    /// Switches in a row that did not make the group what it should be.
    unconfirmed_switches: u32,
    /// When the group was last found right, if nothing else was seen since.
    in_sync_at: Option<Instant>,
    report: BindingReport,
    phase: String,
}

/// What follows from one look.
enum Next {
    End,
    Verify,
    ObserveAgain,
}

impl<'a, D: Dns, G: TargetGroups, T: Clusters, C: Clock> Run<'a, D, G, T, C> {
    pub(crate) fn new(
        context: &'a Context<D, G, T, C>,
        binding: &'a Binding,
        trigger: &Trigger,
        report: BindingReport,
    ) -> Self {
        let now = context.now();
        let concerning = || trigger.events.iter().filter(|event| event.concerns(binding));
        let times = concerning().filter_map(|event| event.time);
        let event_at = times.filter(|time| age(*time, now) <= EVENT_LIFETIME).max();
        let events = concerning().filter(|_| trigger.watch.is_none()).cloned().collect();
        let watch = Watch::new(concerning(), trigger.watch, context.config.watch, now);
        let GroupState { history, last_in_sync, members } =
            context.state.get(&binding.target_group);
        let poll_policy = PollPolicy::new(binding, watch.has_event(), last_in_sync);
        let evidence = Evidence::new(binding, &trigger.events, history, now);
        let mut observer = Observer::new(context, binding, poll_policy, evidence, members);
        observer.waits_for_all = trigger.dry_run;
        let (pending_writes, phase) = (PendingWrites::default(), "starting".to_owned());
        Run {
            observer,
            watch,
            events,
            event_at,
            pending_writes,
            rule: None,
            unconfirmed_switches: 0,
            in_sync_at: None,
            report,
            phase,
        }
    }

    /// Looks and applies until the watch is over. In a watch an error is not the end, if the next
    /// look may succeed. A dry run watches nothing, whatever asks for it.
    pub(crate) async fn converge(&mut self) -> Result<(), SyncError> {
        let mut has_verified = false;
        let mut errors = Errors::default();
        loop {
            let began = Instant::now();
            let mut back_off = Duration::ZERO;
            let next = match self.step().await {
                Err(error) => {
                    self.in_sync_at = None;
                    self.watch.record_drift();
                    let goes_on = !self.report.dry_run
                        && self.watch.has_event()
                        && !self.watch.is_expired(self.now());
                    match errors.next(&error).filter(|_| goes_on) {
                        Some(pause) => back_off = pause,
                        None => return Err(error),
                    }
                    warn!(
                        binding = self.observer.binding.name,
                        error = chain(&error),
                        "a look failed, the watch goes on"
                    );
                    Next::ObserveAgain
                }
                Ok(next) => {
                    errors.end();
                    next
                }
            };
            match next {
                Next::End => return Ok(()),
                // The verification right after a write needs no pause; a write that does not show
                // does.
                Next::Verify if !has_verified => has_verified = true,
                Next::Verify | Next::ObserveAgain => {
                    has_verified = false;
                    self.phase = "waiting to look again".to_owned();
                    let pause =
                        self.observer.pause(began.elapsed(), !self.pending_writes.is_empty());
                    self.observer.poll_during(sleep(back_off)).await;
                    self.observer.wait(pause).await;
                }
            }
        }
    }

    /// What the run failed with because its time is up: nothing, if the group was found right a
    /// moment ago.
    pub(crate) fn stop(&mut self) -> Option<SyncError> {
        self.report.is_cut_short = self.in_sync_at.is_some_and(|at| at.elapsed() <= IN_SYNC_FOR);
        (!self.report.is_cut_short).then(|| SyncError::DeadlineNear { phase: self.phase.clone() })
    }

    /// Ends what is open.
    pub(crate) async fn close(&mut self) {
        self.observer.close().await;
    }

    pub(crate) fn into_report(self) -> BindingReport {
        let Observer { observations, dns_failures, first_took: observe_latency, .. } =
            self.observer;
        BindingReport { observations, dns_failures, observe_latency, ..self.report }
    }

    async fn step(&mut self) -> Result<Next, SyncError> {
        self.phase = "reading DNS and the target group".to_owned();
        let mut decided =
            self.observer.observe().await.inspect_err(|_| self.report.clear_verdict())?;
        self.in_sync_at = self.in_sync_at.filter(|_| matches!(decided, Verdict::InSync(_)));
        if matches!(decided, Verdict::Switch(..)) && !self.report.dry_run {
            decided = self
                .observer
                .refresh_targets(decided)
                .await
                .inspect_err(|_| self.report.clear_verdict())?;
        }
        self.record_verdict(&decided);
        self.save_history();
        let now = self.now();
        self.in_sync_at = matches!(decided, Verdict::InSync(_)).then(Instant::now);
        match decided {
            Verdict::InSync(_) => {
                self.unconfirmed_switches = 0;
                if self.report.is_changed() {
                    let since_event = self.event_at.map(|event| age(event, now));
                    self.report.switch_latency = self.report.switch_latency.or(since_event);
                }
                let last_in_sync = self
                    .observer
                    .poll_policy
                    .record_in_sync(self.observer.evidence.last_dns_answer());
                self.observer
                    .context
                    .state
                    .record_in_sync(&self.observer.binding.target_group, last_in_sync);
                self.drop_foreign_events(now);
                let is_over = self.report.dry_run || self.watch.record_agreement(now);
                return Ok(if is_over { Next::End } else { Next::ObserveAgain });
            }
            Verdict::Refuse(refusal) => return Err(SyncError::Refused(refusal)),
            Verdict::Switch(plan, _) if self.report.dry_run => {
                self.report.record_dry_run(&plan);
                return Ok(Next::End);
            }
            Verdict::Switch(plan, _)
                if self.unconfirmed_switches >= 2 && self.watch.is_expired(now) =>
            {
                return Err(SyncError::Unconfirmed(plan));
            }
            Verdict::Switch(plan, _) => {
                self.watch.record_drift();
                self.unconfirmed_switches += 1;
                self.apply(plan).await?;
                return Ok(Next::Verify);
            }
            Verdict::Wait(_) => {}
        }
        self.watch.record_drift();
        let Observer { context, binding, poll_policy, .. } = &self.observer;
        context.state.record_disagreement(&binding.target_group, poll_policy.disagreed());
        let is_over = self.report.dry_run || self.watch.is_expired(now);
        Ok(if is_over { Next::End } else { Next::ObserveAgain })
    }

    /// If the events that the run looks longer for turn out to be of instances that are none of the
    /// cluster's, it need not.
    fn drop_foreign_events(&mut self, now: DateTime<Utc>) {
        let Some(topology) =
            self.observer.evidence.topology(now).filter(|_| !self.events.is_empty())
        else {
            return;
        };
        if self
            .events
            .drain(..)
            .all(|event| event.is_from_non_member(self.observer.binding, topology))
        {
            self.watch.drop_event();
        }
    }

    /// Notes a verdict in the report, and one by another rule than before in the log.
    fn record_verdict(&mut self, decided: &Verdict) {
        let now = self.now();
        self.pending_writes.confirm(self.observer.evidence.group.targets());
        self.report.record(self.observer.binding, &self.observer.evidence, decided, now);
        let rule = Some((decided.name(), decided.reason().map(Reason::rule)));
        // That all was well from the start is said by the run's own line.
        let is_news =
            self.rule != rule && !(self.rule.is_none() && matches!(decided, Verdict::InSync(_)));
        self.rule = rule;
        if let Some(reason) = decided.reason().filter(|_| is_news) {
            info!(binding = self.observer.binding.name, verdict = decided.name(), %reason, "decided");
        }
    }

    /// Registers, describes again, and deregisters only if every wanted target is registered now.
    ///
    /// The description right before the deregistration is for runs that see different answers of a
    /// flapping DNS:
    ///
    /// 1. the group holds both addresses; one run wants 10.0.0.2 alone, the other 10.0.0.1;
    /// 2. the first deregisters 10.0.0.1, which is draining from then on;
    /// 3. the second describes, sees that 10.0.0.1 is not registered any more, and deregisters
    ///    nothing.
    ///
    /// Between describing and deregistering a gap remains in which both may have described. Then
    /// the group is empty until the next look, which registers again.
    async fn apply(&mut self, plan: Plan) -> Result<(), SyncError> {
        let applied = self.write(plan).await;
        // Also a write that failed may have been carried out.
        self.observer.evidence.group.invalidate();
        applied
    }

    async fn write(&mut self, plan: Plan) -> Result<(), SyncError> {
        let to_send = self.pending_writes.to_send(&plan, self.now());
        if !to_send.register.is_empty() {
            self.register(&to_send.register).await?;
        } else if !plan.register.is_empty() {
            return Ok(());
        }
        if !to_send.deregister.is_empty() {
            self.phase = "describing the target group".to_owned();
            let decided = self.observer.describe(BEFORE_DEREGISTRATION).await?;
            self.record_verdict(&decided);
            if let Verdict::Switch(now, _) = decided
                && now.register.is_empty()
            {
                let to_send = self.pending_writes.to_send(&now, self.now());
                if !to_send.deregister.is_empty() {
                    self.deregister(&to_send.deregister).await?;
                }
            }
        }
        Ok(())
    }

    async fn register(&mut self, targets: &[Target]) -> Result<(), SyncError> {
        let names = strings(targets);
        self.phase = format!("registering {}", names.join(", "));
        self.observer.evidence.record_registration(targets, self.now());
        let (context, binding) = (self.observer.context, self.observer.binding);
        let registered = self
            .observer
            .poll_during(context.groups.register(&binding.target_group, targets))
            .await;
        registered.map_err(|source| SyncError::Aws {
            progress: IN_REGISTRATION,
            source: source.into(),
        })?;
        self.pending_writes.registered(targets, self.now());
        info!(binding = binding.name, targets = names.join(","), "registered targets");
        append_new(&mut self.report.registered, names);
        Ok(())
    }

    async fn deregister(&mut self, targets: &[DescribedTarget]) -> Result<(), SyncError> {
        let names = strings(targets);
        self.phase = format!("deregistering {}", names.join(", "));
        let now = self.now();
        for target in targets.iter().filter_map(DescribedTarget::target) {
            self.observer.evidence.record_deregistration(target, now);
        }
        self.save_history();
        let (context, binding) = (self.observer.context, self.observer.binding);
        let deregistered = self
            .observer
            .poll_during(context.groups.deregister(&binding.target_group, targets))
            .await;
        deregistered.map_err(|source| SyncError::Aws {
            progress: IN_DEREGISTRATION,
            source: source.into(),
        })?;
        self.pending_writes.deregistered(targets, self.now());
        info!(binding = binding.name, targets = names.join(","), "deregistered targets");
        append_new(&mut self.report.deregistered, names);
        Ok(())
    }

    /// Keeps what was seen for later runs, also those after one that is cut short.
    fn save_history(&self) {
        let Observer { context, binding, evidence, .. } = &self.observer;
        context.state.record_history(&binding.target_group, evidence.history());
    }

    fn now(&self) -> DateTime<Utc> {
        self.observer.context.now()
    }
}

/// Adds what is not noted yet: a write that does not show for long is sent again.
fn append_new(noted: &mut Vec<String>, names: Vec<String>) {
    for name in names {
        if !noted.contains(&name) {
            noted.push(name);
        }
    }
}
