//! One run for one binding: observe, judge, plan, apply, and observe again.

use std::time::Duration;

use chrono::{DateTime, Utc};
use reconcile::agenda::Agenda;
use reconcile::because::Because;
use reconcile::binding::Binding;
use reconcile::claim::age;
use reconcile::event::RdsEvent;
use reconcile::evidence::Evidence;
use reconcile::plan::Plan;
use reconcile::report::{BindingReport, strings};
use reconcile::target::{DescribedTarget, Target};
use reconcile::trigger::Trigger;
use reconcile::unshown::Unshown;
use reconcile::verdict::Verdict;
use reconcile::watch::{EVENT_LIFETIME, Watch};
use tokio::time::{Instant, sleep};
use tracing::{info, warn};

use crate::error::{SyncError, chain};
use crate::look::Look;
use crate::memory::Remembered;
use crate::ports::{Clock, Dns, TargetGroups, Topology};
use crate::retry::Errors;
use crate::sources::Sources;

/// What errors say about what may have been done before them.
const BEFORE_DEREGISTRATION: &str = "the writer is registered, and nothing was deregistered";
const IN_DEREGISTRATION: &str = "the writer is registered, and the old target may not have been deregistered";
const IN_REGISTRATION: &str = "the writer may not have been registered, and nothing was deregistered";

/// A group that was right when it was last looked at is taken for right for so long.
const RIGHT_FOR: Duration = Duration::from_secs(5);

/// A run, what it has seen, and what it has to say.
pub(crate) struct Run<'a, D, G, T, C> {
    look: Look<'a, D, G, T, C>,
    watch: Watch,
    /// The events that concern the binding, if nothing else asks for a watch, until the RDS API tells whose they are.
    events: Vec<RdsEvent>,
    /// When the last event that concerns the binding happened, if that says anything about now.
    announced: Option<DateTime<Utc>>,
    unshown: Unshown,
    /// The last verdict's name and the rule that made it.
    rule: Option<(&'static str, Option<&'static str>)>,
    /// Switches in a row that did not make the group what it should be.
    unsettled: u32,
    /// When the group was last found right, if nothing else was seen since.
    right_at: Option<Instant>,
    report: BindingReport,
    doing: String,
}

/// What follows from one look.
enum Next {
    End,
    Verify,
    LookAgain,
}

impl<'a, D: Dns, G: TargetGroups, T: Topology, C: Clock> Run<'a, D, G, T, C> {
    pub(crate) fn new(
        sources: &'a Sources<D, G, T, C>,
        binding: &'a Binding,
        trigger: &Trigger,
        report: BindingReport,
    ) -> Self {
        let now = sources.now();
        let concerning = || trigger.events.iter().filter(|event| event.concerns(binding));
        let times = concerning().filter_map(|event| event.time);
        let announced = times.filter(|time| age(*time, now) <= EVENT_LIFETIME).max();
        let events = concerning().filter(|_| trigger.watch.is_none()).cloned().collect();
        let watch = Watch::new(concerning(), trigger.watch, sources.config.watch, now);
        let Remembered { history, settled, members } = sources.memory.of(&binding.target_group);
        let agenda = Agenda::new(binding, watch.is_on(), settled);
        let evidence = Evidence::new(binding, &trigger.events, history, now);
        let mut look = Look::new(sources, binding, agenda, evidence, members);
        look.hears_all = trigger.dry_run;
        let (unshown, doing) = (Unshown::default(), "starting".to_owned());
        Run { look, watch, events, announced, unshown, rule: None, unsettled: 0, right_at: None, report, doing }
    }

    /// Looks and applies until the watch is over. In a watch an error is not the end, if the next look may succeed. A dry
    /// run watches nothing, whatever asks for it.
    pub(crate) async fn converge(&mut self) -> Result<(), SyncError> {
        let mut has_verified = false;
        let mut errors = Errors::default();
        loop {
            let began = Instant::now();
            let mut back_off = Duration::ZERO;
            let next = match self.step().await {
                Err(error) => {
                    self.right_at = None;
                    self.watch.differ();
                    let goes_on = !self.report.dry_run && self.watch.is_on() && !self.watch.is_up(self.now());
                    match errors.next(&error).filter(|_| goes_on) {
                        Some(pause) => back_off = pause,
                        None => return Err(error),
                    }
                    warn!(binding = self.look.binding.name, error = chain(&error), "a look failed, the watch goes on");
                    Next::LookAgain
                }
                Ok(next) => {
                    errors.end();
                    next
                }
            };
            match next {
                Next::End => return Ok(()),
                // The verification right after a write needs no pause; a write that does not show does.
                Next::Verify if !has_verified => has_verified = true,
                Next::Verify | Next::LookAgain => {
                    has_verified = false;
                    self.doing = "waiting to look again".to_owned();
                    let pause = self.look.pause(began.elapsed(), !self.unshown.is_empty());
                    self.look.meanwhile(sleep(back_off)).await;
                    self.look.rest(pause).await;
                }
            }
        }
    }

    /// What the run failed with because its time is up: nothing, if the group was found right a moment ago.
    pub(crate) fn stop(&mut self) -> Option<SyncError> {
        self.report.is_cut_short = self.right_at.is_some_and(|at| at.elapsed() <= RIGHT_FOR);
        (!self.report.is_cut_short).then(|| SyncError::DeadlineNear { doing: self.doing.clone() })
    }

    /// Ends what is open.
    pub(crate) async fn close(&mut self) {
        self.look.close().await;
    }

    pub(crate) fn into_report(self) -> BindingReport {
        let Look { observations, dns_failures, first_took: observe_latency, .. } = self.look;
        BindingReport { observations, dns_failures, observe_latency, ..self.report }
    }

    async fn step(&mut self) -> Result<Next, SyncError> {
        self.doing = "reading DNS and the target group".to_owned();
        let mut judged = self.look.look().await.inspect_err(|_| self.report.forget())?;
        self.right_at = self.right_at.filter(|_| matches!(judged, Verdict::InSync(_)));
        if matches!(judged, Verdict::Switch(..)) && !self.report.dry_run {
            judged = self.look.look_closer(judged).await.inspect_err(|_| self.report.forget())?;
        }
        self.note(&judged);
        self.remember();
        let now = self.now();
        self.right_at = matches!(judged, Verdict::InSync(_)).then(Instant::now);
        match judged {
            Verdict::InSync(_) => {
                self.unsettled = 0;
                if self.report.is_changed() {
                    let since_event = self.announced.map(|event| age(event, now));
                    self.report.switch_latency = self.report.switch_latency.or(since_event);
                }
                let settled = self.look.agenda.settle(self.look.evidence.answer());
                self.look.sources.memory.settle(&self.look.binding.target_group, settled);
                self.dismiss_strangers(now);
                let is_over = self.report.dry_run || self.watch.ends_in_agreement(now);
                return Ok(if is_over { Next::End } else { Next::LookAgain });
            }
            Verdict::Refuse(refusal) => return Err(SyncError::Refused(refusal)),
            Verdict::Switch(plan, _) if self.report.dry_run => {
                self.report.plan(&plan);
                return Ok(Next::End);
            }
            Verdict::Switch(plan, _) if self.unsettled >= 2 && self.watch.is_up(now) => {
                return Err(SyncError::Unsettled(plan));
            }
            Verdict::Switch(plan, _) => {
                self.watch.differ();
                self.unsettled += 1;
                self.apply(plan).await?;
                return Ok(Next::Verify);
            }
            Verdict::Wait(_) => {}
        }
        self.watch.differ();
        let Look { sources, binding, agenda, .. } = &self.look;
        sources.memory.disagree(&binding.target_group, agenda.disagreed());
        let is_over = self.report.dry_run || self.watch.is_up(now);
        Ok(if is_over { Next::End } else { Next::LookAgain })
    }

    /// If the events that the run looks longer for turn out to be of instances that are none of the cluster's, it need not.
    fn dismiss_strangers(&mut self, now: DateTime<Utc>) {
        let Some(topology) = self.look.evidence.topology(now).filter(|_| !self.events.is_empty()) else { return };
        if self.events.drain(..).all(|event| event.is_of_a_stranger(self.look.binding, topology)) {
            self.watch.dismiss();
        }
    }

    /// Notes a verdict in the report, and one by another rule than before in the log.
    fn note(&mut self, judged: &Verdict) {
        let now = self.now();
        self.unshown.see(self.look.evidence.group.targets());
        self.report.judge(self.look.binding, &self.look.evidence, judged, now);
        let rule = Some((judged.name(), judged.because().map(Because::rule)));
        // That all was well from the start is said by the run's own line.
        let is_news = self.rule != rule && !(self.rule.is_none() && matches!(judged, Verdict::InSync(_)));
        self.rule = rule;
        if let Some(because) = judged.because().filter(|_| is_news) {
            info!(binding = self.look.binding.name, verdict = judged.name(), %because, "judged");
        }
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
        self.look.evidence.group.forget();
        applied
    }

    async fn write(&mut self, plan: Plan) -> Result<(), SyncError> {
        let due = self.unshown.due(&plan, self.now());
        if !due.register.is_empty() {
            self.register(&due.register).await?;
        } else if !plan.register.is_empty() {
            return Ok(());
        }
        if !due.deregister.is_empty() {
            self.doing = "describing the target group".to_owned();
            let judged = self.look.describe(BEFORE_DEREGISTRATION).await?;
            self.note(&judged);
            if let Verdict::Switch(now, _) = judged
                && now.register.is_empty()
            {
                let due = self.unshown.due(&now, self.now());
                if !due.deregister.is_empty() {
                    self.deregister(&due.deregister).await?;
                }
            }
        }
        Ok(())
    }

    async fn register(&mut self, targets: &[Target]) -> Result<(), SyncError> {
        let names = strings(targets);
        self.doing = format!("registering {}", names.join(", "));
        self.look.evidence.join(targets, self.now());
        let (sources, binding) = (self.look.sources, self.look.binding);
        let registered = self.look.meanwhile(sources.groups.register(&binding.target_group, targets)).await;
        registered.map_err(|source| SyncError::Aws { progress: IN_REGISTRATION, source: source.into() })?;
        self.unshown.registered(targets, self.now());
        info!(binding = binding.name, targets = names.join(","), "registered targets");
        note(&mut self.report.registered, names);
        Ok(())
    }

    async fn deregister(&mut self, targets: &[DescribedTarget]) -> Result<(), SyncError> {
        let names = strings(targets);
        self.doing = format!("deregistering {}", names.join(", "));
        let now = self.now();
        for target in targets.iter().filter_map(DescribedTarget::target) {
            self.look.evidence.leave(target, now);
        }
        self.remember();
        let (sources, binding) = (self.look.sources, self.look.binding);
        let deregistered = self.look.meanwhile(sources.groups.deregister(&binding.target_group, targets)).await;
        deregistered.map_err(|source| SyncError::Aws { progress: IN_DEREGISTRATION, source: source.into() })?;
        self.unshown.deregistered(targets, self.now());
        info!(binding = binding.name, targets = names.join(","), "deregistered targets");
        note(&mut self.report.deregistered, names);
        Ok(())
    }

    /// Keeps what was seen for later runs, also those after one that is cut short.
    fn remember(&self) {
        let Look { sources, binding, evidence, .. } = &self.look;
        sources.memory.keep(&binding.target_group, evidence.history());
    }

    fn now(&self) -> DateTime<Utc> {
        self.look.sources.now()
    }
}

/// Adds what is not noted yet: a write that does not show for long is sent again.
fn note(noted: &mut Vec<String>, names: Vec<String>) {
    for name in names {
        if !noted.contains(&name) {
            noted.push(name);
        }
    }
}
