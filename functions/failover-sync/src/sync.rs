//! An invocation: the runs of all bindings, side by side.

use std::sync::Arc;
use std::time::Duration;

use base::payload::bounded;
use futures_util::future::join_all;
use parking_lot::Mutex;
use reconcile::binding::Binding;
use reconcile::config::Config;
use reconcile::report::{BindingReport, Report};
use reconcile::trigger::Trigger;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout, timeout_at};
use tracing::{Instrument, warn};

use crate::context::{Context, MAX_IN_FLIGHT};
use crate::error::{RunError, SyncError};
use crate::ports::{Clock, Clusters, Dns, Ports, RoleProbe, TargetGroups};
use crate::process_state::ProcessState;
use crate::run::Run;

/// AWS in the Region answers in some ten milliseconds. Without an answer the start must not wait.
const WARM_UP_LIMIT: Duration = Duration::from_millis(500);

/// The sessions of a run whose time is up have so long to end.
const CLOSE_LIMIT: Duration = Duration::from_millis(500);

/// Keeps every configured binding.
pub struct Synchronizer<P: Ports> {
    context: Context<P>,
}

impl<D: Dns, G: TargetGroups, T: Clusters, C: Clock> Synchronizer<(D, G, T, C)> {
    /// Keeps the bindings of the configuration through the given ports.
    pub fn new(config: Config, dns: D, groups: G, clusters: T, clock: C) -> Self {
        for binding in &config.bindings {
            if let Some(what) = binding.is_unidentified() {
                warn!(
                    binding = binding.name,
                    "the identifier of its database is not known, so {what}: give \"id\" \
                     (DatabaseIdentifier)"
                );
            }
        }
        if let Some(note) = config.note_on_delay() {
            warn!("{note}");
        }
        Synchronizer {
            context: Context {
                config,
                dns,
                groups,
                clusters,
                elbv2_calls: Semaphore::new(MAX_IN_FLIGHT),
                rds_calls: Semaphore::new(MAX_IN_FLIGHT),
                role_probe: None,
                clock,
                state: ProcessState::default(),
                shared: Mutex::default(),
            },
        }
    }
}

impl<P: Ports> Synchronizer<P> {
    /// Asks the databases too, of the bindings whose engine is known.
    #[must_use]
    pub fn with_role_probe(mut self, role_probe: Arc<dyn RoleProbe>) -> Self {
        self.context.role_probe = Some(role_probe);
        self
    }

    /// How long a failover event is watched at most.
    pub fn watch(&self) -> Duration {
        self.context.config.watch
    }

    /// Opens the connections for the first invocation: a TLS handshake is mostly computing, and
    /// Lambda gives a whole processor to the start only. What fails here fails there again.
    pub async fn warm_up(self: Arc<Self>) {
        let bindings = self.context.config.bindings.iter().take(MAX_IN_FLIGHT);
        let looks = bindings.map(|binding| async {
            Run::new(&self.context, binding, &Trigger::default()).ask_and_forget().await;
        });
        let _ = timeout(WARM_UP_LIMIT, join_all(looks)).await;
    }

    /// Reconciles the bindings that the trigger asks for, side by side, until the deadline.
    ///
    /// # Errors
    /// When the trigger names an unknown binding, or when one failed; the others are done first.
    pub async fn run(
        self: &Arc<Self>,
        trigger: &Trigger,
        deadline: Instant,
    ) -> Result<Report, RunError> {
        let trigger = Arc::new(trigger.clone());
        for (event, binding) in trigger.namesakes(&self.context.config.bindings) {
            warn!(
                source = bounded(event.source_arn.as_deref().unwrap_or_default()),
                target_group = binding.target_group.as_str(),
                binding = binding.name,
                "an event of a database of the same name in another Region or account is left out"
            );
        }
        let mut tasks = Vec::new();
        for binding in self.selected(&trigger)? {
            let task = Arc::clone(self).reconcile(binding.clone(), Arc::clone(&trigger), deadline);
            // A task of its own, so that a panic in one binding does not stop another.
            tasks.push((binding, tokio::spawn(task.in_current_span())));
        }
        let mut reports = Vec::new();
        for (binding, task) in tasks {
            reports.push(task.await.unwrap_or_else(|panic| {
                let panicked = SyncError::Panicked(panic.to_string());
                let blank = BindingReport::new(&binding, &trigger, self.context.config.mode);
                blank.end(Some(panicked.failure()), Duration::ZERO)
            }));
        }
        let report = Report::new(&trigger, self.context.config.mode, reports);
        if report.failures().next().is_some() {
            Err(RunError::Bindings(report))
        } else {
            Ok(report)
        }
    }

    fn selected(&self, trigger: &Trigger) -> Result<Vec<Binding>, RunError> {
        let bindings = &self.context.config.bindings;
        let Some(wanted) = &trigger.binding else { return Ok(bindings.clone()) };
        match bindings.iter().find(|binding| binding.name == *wanted) {
            Some(binding) => Ok(vec![binding.clone()]),
            None => {
                let known = bindings.iter().map(|binding| binding.name.clone()).collect();
                Err(RunError::UnknownBinding { wanted: wanted.clone(), known })
            }
        }
    }

    async fn reconcile(
        self: Arc<Self>,
        binding: Binding,
        trigger: Arc<Trigger>,
        deadline: Instant,
    ) -> BindingReport {
        let start = Instant::now();
        let mut run = Run::new(&self.context, &binding, &trigger);
        let error = match timeout_at(deadline, run.converge()).await {
            Ok(outcome) => outcome.err(),
            Err(_) => run.stop(),
        };
        let _ = timeout_at(deadline.max(Instant::now() + CLOSE_LIMIT), run.close()).await;
        run.into_report().end(error.as_ref().map(SyncError::failure), start.elapsed())
    }
}
