//! An invocation: the runs of all bindings, side by side.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use reconcile::binding::Binding;
use reconcile::config::Config;
use reconcile::report::{BindingReport, Report};
use reconcile::trigger::{Trigger, bounded};
use tokio::time::{Instant, timeout, timeout_at};
use tracing::{Instrument, warn};

use crate::context::Context;
use crate::error::{RunError, SyncError};
use crate::limit::MAX_IN_FLIGHT;
use crate::ports::{Clock, Clusters, Dns, RoleProbe, TargetGroups};
use crate::run::Run;

/// An answer of AWS in the Region takes some ten milliseconds. Where none comes, the start must not
/// wait for it.
const WARM_UP_LIMIT: Duration = Duration::from_millis(500);

/// Keeps every configured binding.
pub struct Synchronizer<D, G, T, C> {
    context: Context<D, G, T, C>,
}

impl<D: Dns, G: TargetGroups, T: Clusters, C: Clock> Synchronizer<D, G, T, C> {
    /// Keeps the bindings of the configuration through the given ports.
    pub fn new(
        config: Config,
        dns: D,
        groups: G,
        topology: T,
        clock: C,
    ) -> Synchronizer<D, G, T, C> {
        for (binding, what) in
            config.bindings.iter().filter_map(|one| Some((&one.name, one.is_unidentified()?)))
        {
            warn!(
                binding,
                "the identifier of its database is not known, so {what}: give \"id\" \
                 (DatabaseIdentifier)"
            );
        }
        if let Some(note) = config.note_on_delay() {
            warn!("{note}");
        }
        Synchronizer { context: Context::new(config, dns, groups, topology, clock) }
    }

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

    /// Makes the calls that the first invocation begins with, so that it finds open connections: a
    /// TLS handshake is mostly computing, and Lambda gives a whole processor to the start only.
    ///
    /// What fails here fails again in the first invocation, which reports it.
    pub async fn warm_up(self: Arc<Self>) {
        let Context { config, groups, topology, .. } = &self.context;
        let looks = config.bindings.iter().take(MAX_IN_FLIGHT).map(|binding| async {
            let topology = async {
                if let Some(cluster) = binding.cluster() {
                    let _ = topology.members(cluster).await;
                }
            };
            let _ = tokio::join!(
                self.context.resolve(binding),
                groups.describe(&binding.target_group),
                topology
            );
        });
        let _ = timeout(WARM_UP_LIMIT, join_all(looks)).await;
    }

    /// Reconciles the bindings that the trigger asks for, side by side, each for itself, until the
    /// deadline.
    ///
    /// # Errors
    /// When the trigger names an unknown binding, or when a binding failed; the others are done
    /// first.
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
        let tasks = self.selected(&trigger)?.into_iter().map(|binding| {
            let report = BindingReport::new(&binding, &trigger);
            let task =
                Arc::clone(self).reconcile(binding, Arc::clone(&trigger), report.clone(), deadline);
            // A task of its own, so that a panic in one binding does not stop another.
            (report, tokio::spawn(task.in_current_span()))
        });
        let mut reports = Vec::new();
        for (blank, task) in tasks.collect::<Vec<_>>() {
            reports.push(task.await.unwrap_or_else(|panic| BindingReport {
                error: Some(SyncError::Panicked(panic.to_string()).failure()),
                ..blank
            }));
        }
        let report = Report::new(&trigger, reports);
        if report.failures().next().is_some() {
            Err(RunError::Bindings(report))
        } else {
            Ok(report)
        }
    }

    fn selected(&self, trigger: &Trigger) -> Result<Vec<Binding>, RunError> {
        let Some(wanted) = &trigger.binding else {
            return Ok(self.context.config.bindings.clone());
        };
        match self.context.config.bindings.iter().find(|binding| binding.name == *wanted) {
            Some(binding) => Ok(vec![binding.clone()]),
            None => {
                let known = self
                    .context
                    .config
                    .bindings
                    .iter()
                    .map(|binding| binding.name.clone())
                    .collect();
                Err(RunError::UnknownBinding { wanted: wanted.clone(), known })
            }
        }
    }

    async fn reconcile(
        self: Arc<Self>,
        binding: Binding,
        trigger: Arc<Trigger>,
        report: BindingReport,
        deadline: Instant,
    ) -> BindingReport {
        let start = Instant::now();
        let mut run = Run::new(&self.context, &binding, &trigger, report);
        let error = match timeout_at(deadline, run.converge()).await {
            Ok(outcome) => outcome.err(),
            Err(_) => run.stop(),
        };
        run.close().await;
        let mut report = run.into_report();
        report.error = error.as_ref().map(SyncError::failure);
        report.elapsed = start.elapsed();
        report
    }
}
