//! One run for one binding: observe, decide, apply, and observe again to verify.

mod ask;
mod observe;
mod path;

use std::mem::{Discriminant, discriminant};
use std::time::Duration;

use base::database::ClusterMember;
use chrono::{DateTime, Utc};
use reconcile::binding::Binding;
use reconcile::claim::age;
use reconcile::event::RdsEvent;
use reconcile::evidence::Evidence;
use reconcile::path::PathPolicy;
use reconcile::plan::{Mode, Plan};
use reconcile::poll_policy::PollPolicy;
use reconcile::reason::Reason;
use reconcile::report::BindingReport;
use reconcile::target::{DescribedTarget, Target, strings};
use reconcile::trigger::Trigger;
use reconcile::verdict::Verdict;
use reconcile::watch::Watch;
use tokio::time::{Instant, sleep};
use tracing::{info, warn};

use crate::context::Context;
use crate::databases::Databases;
use crate::error::{AwsError, DnsError, Phase, Remedy, SyncError, chain};
use crate::ports::Ports;
use crate::process_state::{GroupState, MemberAddresses};
use crate::questions::Questions;
use crate::retry::Errors;

/// What errors say about what may have been done before them.
const BEFORE_DEREGISTRATION: &str = "the writer is registered, and nothing was deregistered";
const IN_DEREGISTRATION: &str =
    "the writer is registered, and the old target may not have been deregistered";
const IN_REGISTRATION: &str =
    "the writer may not have been registered, and nothing was deregistered";

/// What the last look found stays true for so long.
const DONE_FOR: Duration = Duration::from_secs(5);

pub(crate) struct Run<'a, P: Ports> {
    context: &'a Context<P>,
    binding: &'a Binding,
    start: Instant,
    /// Whether this run changes anything.
    mode: Mode,
    watch: Watch,
    /// If nothing else asks for a watch, until the RDS API says whose they are.
    events: Vec<RdsEvent>,
    /// When the last event that concerns the binding happened, if that says anything about now.
    event_at: Option<DateTime<Utc>>,
    evidence: Evidence,
    poll_policy: PollPolicy,
    questions: Questions<'a>,
    is_dns_due: bool,
    last_dns_error: Option<DnsError>,
    describe_error: Option<AwsError>,
    members: MemberAddresses,
    /// An answer of the RDS API for whose members DNS had no addresses yet, and when it came.
    members_without_address: Option<(Vec<ClusterMember>, DateTime<Utc>)>,
    databases: Option<Databases<'a>>,
    /// What consumers see, if that is asked.
    path: Option<PathPolicy>,
    /// Whether the run would be over if the load balancer had followed.
    is_done_but_for_path: bool,
    look_began: Instant,
    /// What the log was told last: the sort of verdict, its rule, and what was only observed.
    last_told: Option<(Discriminant<Verdict>, Option<&'static str>, Option<Plan>)>,
    unconfirmed_switches: u32,
    /// When the group was last found right, or as wrong as an observing run leaves it, if nothing
    /// else was seen since.
    done_at: Option<Instant>,
    /// Why the last look failed, if the run goes on after it.
    last_error: Option<SyncError>,
    report: BindingReport,
    phase: Phase,
}

enum Next {
    End,
    Verify,
    ObserveAgain,
}

impl<'a, P: Ports> Run<'a, P> {
    pub(crate) fn new(context: &'a Context<P>, binding: &'a Binding, trigger: &Trigger) -> Self {
        let now = context.now();
        let events = trigger.events_for(binding, now);
        let event_at = events.iter().filter_map(|event| event.time).max();
        let watch = Watch::new(&events, trigger.watch, context.config.watch, now);
        let GroupState { history, last_in_sync, members, path } =
            context.state.get(&binding.target_group);
        let role_probe = binding.engine.and(context.role_probe.as_ref());
        let poll_policy = PollPolicy::new(binding, watch.has_event(), last_in_sync);
        let asks_path = role_probe.is_some() && context.config.path.is_some();
        Run {
            context,
            binding,
            start: Instant::now(),
            mode: context.mode(trigger),
            evidence: Evidence::new(binding, &events, history, now),
            path: asks_path.then(|| PathPolicy::new(path, binding.engine)),
            poll_policy,
            // A dry run watches nothing, whatever asks for it.
            watch: if trigger.dry_run { watch.once() } else { watch },
            events: if trigger.watch.is_none() { events } else { Vec::new() },
            event_at,
            is_done_but_for_path: false,
            questions: Questions::default(),
            is_dns_due: false,
            last_dns_error: None,
            describe_error: None,
            members,
            members_without_address: None,
            databases: role_probe.map(|probe| Databases::new(probe.sessions(binding).into())),
            look_began: Instant::now(),
            last_told: None,
            unconfirmed_switches: 0,
            done_at: None,
            last_error: None,
            report: BindingReport::new(binding, trigger, context.config.mode),
            phase: Phase::Starting,
        }
    }

    /// In a watch an error is not the end, if the next look may succeed.
    pub(crate) async fn converge(&mut self) -> Result<(), SyncError> {
        let mut has_verified = false;
        let mut errors = Errors::default();
        loop {
            let began = Instant::now();
            let (next, back_off) = match self.step().await {
                Ok(next) => {
                    self.last_error = None;
                    errors.end();
                    (next, Duration::ZERO)
                }
                Err(error) => (Next::ObserveAgain, self.survive(error, &mut errors)?),
            };
            match next {
                Next::End => {
                    self.finish_path().await;
                    return Ok(());
                }
                // Verifying right after a write needs no pause; a write that does not show does.
                Next::Verify if !has_verified => has_verified = true,
                Next::Verify | Next::ObserveAgain => {
                    has_verified = false;
                    self.phase = Phase::Waiting;
                    let pause = self.poll_policy.pause(&self.evidence, began.elapsed(), self.now());
                    self.poll_during(sleep(back_off)).await;
                    // A switch by role leaves questions open: if it is not made, their answers
                    // must not hurry the next look.
                    if self.would_switch() {
                        self.poll_during(sleep(pause)).await;
                    } else {
                        self.wait(pause).await;
                    }
                }
            }
        }
    }

    pub(crate) fn stop(&mut self) -> Option<SyncError> {
        self.tell_path();
        let is_done = self.done_at.is_some_and(|at| at.elapsed() <= DONE_FOR);
        self.report.cut_short = is_done || self.phase == Phase::AskingPath;
        if self.report.cut_short {
            return None;
        }
        // What kept failing says more than that the time is up.
        let time_is_up = || SyncError::DeadlineNear { phase: self.phase.clone() };
        Some(self.last_error.take().unwrap_or_else(time_is_up))
    }

    pub(crate) async fn close(&mut self) {
        if let Some(databases) = &self.databases {
            databases.sessions.close().await;
        }
    }

    pub(crate) fn into_report(self) -> BindingReport {
        self.report
    }

    /// How much longer than usual to wait after an error; the error, if it ends the run.
    fn survive(&mut self, error: SyncError, errors: &mut Errors) -> Result<Duration, SyncError> {
        self.done_at = None;
        self.watch.record_drift();
        let may_go_on = self.watch.has_event()
            || self.is_done_but_for_path
            || error.remedy() == Remedy::Permission;
        if !may_go_on || self.watch.is_expired(self.now()) {
            return Err(error);
        }
        let Some(back_off) = errors.next(&error) else { return Err(error) };
        let binding = &self.binding.name;
        warn!(binding, error = chain(&error), "a look failed, the run goes on");
        self.last_error = Some(error);
        Ok(back_off)
    }

    async fn step(&mut self) -> Result<Next, SyncError> {
        self.phase = Phase::Observing;
        let decided = match self.observe().await {
            Ok(decided) if decided.plan().is_some() && self.mode == Mode::Act => {
                self.done_at = None;
                self.refresh_targets(decided).await
            }
            observed => observed,
        };
        let decided = decided.inspect_err(|_| self.report.clear_verdict())?;
        self.record_verdict(&decided);
        self.remember(|state, run| state.history = run.evidence.history());
        let is_done = match decided {
            Verdict::InSync(_) => true,
            Verdict::Switch(..) => self.mode == Mode::Observe,
            Verdict::Wait(_) | Verdict::Refuse(_) => false,
        };
        self.done_at = is_done.then(Instant::now);
        self.is_done_but_for_path &= is_done;
        let now = self.now();
        match decided {
            Verdict::InSync(_) => return Ok(self.record_in_sync(now)),
            Verdict::Refuse(refusal) => return Err(SyncError::Refused(refusal)),
            Verdict::Switch(plan, _) => {
                let permitted = self.mode.permit(plan);
                if !permitted.is_empty() {
                    return self.switch(permitted, now).await;
                }
            }
            Verdict::Wait(_) => {}
        }
        let disagreed = self.poll_policy.disagreed();
        self.remember(|state, _| state.last_in_sync.disagreed = disagreed);
        self.watch.record_drift();
        // Without an event, nothing that is only observed will become right by looking longer.
        let is_over = self.watch.is_expired(now) || is_done && !self.watch.has_event();
        Ok(if is_over { Next::End } else { Next::ObserveAgain })
    }

    /// Whether the last verdict was a switch that is only observed.
    fn would_switch(&self) -> bool {
        self.last_told.as_ref().is_some_and(|(.., observed)| observed.is_some())
    }

    fn record_in_sync(&mut self, now: DateTime<Utc>) -> Next {
        self.unconfirmed_switches = 0;
        if self.report.is_changed() && self.report.switch_latency.is_none() {
            self.report.switch_latency = self.event_at.map(|event| age(event, now));
        }
        let last_in_sync = self.poll_policy.record_in_sync(self.evidence.last_dns_answer());
        self.remember(|state, _| state.last_in_sync = last_in_sync);
        self.drop_foreign_events(now);
        let is_over = self.watch.record_agreement(now);
        let is_awaited = self.path.as_ref().is_some_and(|path| path.is_awaited(now));
        self.is_done_but_for_path = is_over && is_awaited && !self.watch.is_expired(now);
        if is_over && !self.is_done_but_for_path { Next::End } else { Next::ObserveAgain }
    }

    /// Events of instances that are none of the cluster's are no reason to look longer.
    fn drop_foreign_events(&mut self, now: DateTime<Utc>) {
        let Some(topology) = self.evidence.topology(now) else { return };
        let is_foreign = |event: &RdsEvent| event.is_from_non_member(self.binding, topology);
        if !self.events.is_empty() && self.events.iter().all(is_foreign) {
            self.watch.drop_event();
        }
        self.events.clear();
    }

    fn record_verdict(&mut self, decided: &Verdict) {
        let now = self.now();
        self.report.record(self.binding, &self.evidence, decided, now);
        let observed = match self.mode {
            Mode::Act => None,
            Mode::Observe => decided.plan().cloned(),
        };
        let told = (discriminant(decided), decided.reason().map(Reason::rule), observed);
        // That all was well from the start is said by the run's own line.
        let is_news = match &self.last_told {
            None => !matches!(decided, Verdict::InSync(_)),
            Some(last) => *last != told,
        };
        if let (true, Some(reason)) = (is_news, decided.reason()) {
            let (binding, verdict) = (&self.binding.name, <&str>::from(decided));
            match &told.2 {
                Some(plan) => {
                    info!(binding, verdict, %reason, %plan, "would switch, and only observes");
                }
                None => info!(binding, verdict, %reason, "decided"),
            }
        }
        self.last_told = Some(told);
    }

    /// Of two runs that found both addresses and, by a flapping DNS, each want another one alone,
    /// the first makes one drain; the second describes right before it deregisters, sees that, and
    /// deregisters nothing. If both described before, the group is empty until the next look, which
    /// registers again.
    async fn switch(&mut self, plan: Plan, now: DateTime<Utc>) -> Result<Next, SyncError> {
        if self.unconfirmed_switches >= 2 && self.watch.is_expired(now) {
            return Err(SyncError::Unconfirmed(plan));
        }
        self.watch.record_drift();
        let applied = self.apply(plan).await;
        // Also a write that failed may have been carried out.
        self.evidence.group.invalidate();
        applied?;
        self.unconfirmed_switches += 1;
        Ok(Next::Verify)
    }

    /// Nobody is deregistered by the plan as it was made: the group is described and judged anew,
    /// and that verdict may only take targets away.
    async fn apply(&mut self, plan: Plan) -> Result<(), SyncError> {
        let to_send = self.evidence.group.pending_writes.to_send(&plan, self.now());
        if !to_send.register.is_empty() {
            self.register(&to_send.register).await?;
        } else if !plan.register.is_empty() {
            return Ok(());
        }
        if to_send.deregister.is_empty() {
            return Ok(());
        }
        self.phase = Phase::Describing;
        let decided = self.describe(BEFORE_DEREGISTRATION).await?;
        self.record_verdict(&decided);
        match decided.plan() {
            Some(plan) if plan.register.is_empty() => {
                let to_send = self.evidence.group.pending_writes.to_send(plan, self.now());
                self.deregister(&to_send.deregister).await
            }
            _ => Ok(()),
        }
    }

    async fn register(&mut self, targets: &[Target]) -> Result<(), SyncError> {
        self.phase = Phase::Registering(targets.to_vec());
        self.evidence.record_registration(targets, self.now());
        let (context, binding) = (self.context, self.binding);
        let call = context.register(&binding.target_group, targets);
        self.poll_during(call).await.map_err(|source| SyncError::Aws {
            progress: IN_REGISTRATION,
            source: source.into(),
        })?;
        let now = self.now();
        self.evidence.group.pending_writes.registered(targets, now);
        let names = strings(targets).join(",");
        info!(binding = binding.name, targets = names, "registered targets");
        self.report.record_registration(targets);
        self.record_path_registration(targets);
        Ok(())
    }

    async fn deregister(&mut self, targets: &[DescribedTarget]) -> Result<(), SyncError> {
        if targets.is_empty() {
            return Ok(());
        }
        self.phase = Phase::Deregistering(targets.to_vec());
        let now = self.now();
        for target in targets.iter().filter_map(DescribedTarget::target) {
            self.evidence.record_deregistration(target, now);
        }
        self.remember(|state, run| state.history = run.evidence.history());
        let (context, binding) = (self.context, self.binding);
        let call = context.deregister(&binding.target_group, targets);
        self.poll_during(call).await.map_err(|source| SyncError::Aws {
            progress: IN_DEREGISTRATION,
            source: source.into(),
        })?;
        let now = self.now();
        self.evidence.group.pending_writes.deregistered(targets, now);
        let names = strings(targets).join(",");
        info!(binding = binding.name, targets = names, "deregistered targets");
        self.report.record_deregistration(targets);
        Ok(())
    }

    /// Also after a run that is cut short.
    fn remember(&self, change: impl FnOnce(&mut GroupState, &Self)) {
        self.context.state.update(&self.binding.target_group, |state| change(state, self));
    }

    fn now(&self) -> DateTime<Utc> {
        self.context.now()
    }
}
