//! The loop: observe, judge, plan, apply, and observe again.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures_util::future::join_all;
use reconcile::binding::{Binding, Endpoint, TargetGroupArn};
use reconcile::config::Config;
use reconcile::evidence::Answer;
use reconcile::report::{BindingReport, Report};
use reconcile::trigger::Trigger;
use tokio::time::{Instant, timeout, timeout_at};
use tracing::Instrument;

use crate::error::{DnsError, RunError, SyncError};
use crate::limit::{AT_A_TIME, Limited};
use crate::look::Look;
use crate::ports::{Clock, Dns, TargetGroups, Topology};

/// Between two observations of one run.
pub(crate) const PAUSE: Duration = Duration::from_secs(1);

/// An answer of AWS in the Region takes some ten milliseconds. Where none comes, the start must not wait for it.
const WARM_UP_LIMIT: Duration = Duration::from_millis(500);

/// Keeps every configured binding.
pub struct Synchronizer<D, G, T, C> {
    pub(crate) config: Config,
    pub(crate) dns: D,
    pub(crate) groups: Limited<G>,
    pub(crate) topology: Limited<T>,
    pub(crate) clock: C,
    left: Mutex<BTreeMap<TargetGroupArn, Departures>>,
    settled: Mutex<BTreeMap<TargetGroupArn, Vec<IpAddr>>>,
}

/// When this process deregistered which address. Only a help: a new process knows nothing of it and asks for more proof.
pub(crate) type Departures = BTreeMap<IpAddr, DateTime<Utc>>;

impl<D: Dns, G: TargetGroups, T: Topology, C: Clock> Synchronizer<D, G, T, C> {
    /// Keeps the bindings of the configuration through the given ports.
    pub fn new(config: Config, dns: D, groups: G, topology: T, clock: C) -> Synchronizer<D, G, T, C> {
        let (groups, topology) = (Limited::new(groups), Limited::new(topology));
        Synchronizer { config, dns, groups, topology, clock, left: Mutex::default(), settled: Mutex::default() }
    }

    /// Makes the calls that the first invocation begins with, so that it finds open connections: a TLS handshake is
    /// mostly computing, and Lambda gives a whole processor to the start only. It opens no connection to RDS, which a
    /// run without drift never asks: it would be closed again long before it is needed.
    ///
    /// What fails here fails again in the first invocation, which tells it.
    pub async fn warm_up(self: Arc<Self>) {
        let looks = self.config.bindings.iter().take(AT_A_TIME).map(|binding| async {
            let _ = tokio::join!(self.resolve(binding), self.groups.describe(&binding.target_group));
        });
        let _ = timeout(WARM_UP_LIMIT, join_all(looks)).await;
    }

    /// Reconciles the bindings that the trigger asks for, side by side, each for itself, until the deadline.
    ///
    /// # Errors
    /// When the trigger names an unknown binding, or when a binding failed; the others are done first.
    pub async fn run(self: &Arc<Self>, trigger: &Trigger, deadline: Instant) -> Result<Report, RunError> {
        let trigger = Arc::new(trigger.clone());
        let tasks = self.asked_for(&trigger)?.into_iter().map(|binding| {
            let report = BindingReport::new(&binding, &trigger);
            let task = Arc::clone(self).reconcile(binding, Arc::clone(&trigger), report.clone(), deadline);
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

    async fn reconcile(
        self: Arc<Self>,
        binding: Binding,
        trigger: Arc<Trigger>,
        report: BindingReport,
        deadline: Instant,
    ) -> BindingReport {
        let start = Instant::now();
        let mut look = Look::new(&self, &binding, &trigger, report);
        let outcome = timeout_at(deadline, look.converge()).await;
        let error = match outcome {
            Ok(result) => result.err(),
            Err(_) => Some(SyncError::DeadlineNear { doing: look.doing() }),
        };
        let mut report = look.into_report();
        report.error = error.as_ref().map(SyncError::failure);
        report.elapsed = start.elapsed();
        report
    }

    pub(crate) async fn resolve(&self, binding: &Binding) -> Result<Answer, DnsError> {
        match &binding.endpoint {
            Endpoint::Name(name) => self.dns.lookup(name, binding.family).await,
            Endpoint::Address(address) => Ok(Answer { addresses: (*address).into(), ttl: Duration::ZERO }),
        }
    }

    /// What DNS answered when this process last saw the group in sync.
    pub(crate) fn settled(&self, group: &TargetGroupArn) -> Option<Vec<IpAddr>> {
        let settled = self.settled.lock().unwrap_or_else(PoisonError::into_inner);
        settled.get(group).cloned()
    }

    pub(crate) fn settle(&self, group: &TargetGroupArn, resolved: &[IpAddr]) {
        let mut settled = self.settled.lock().unwrap_or_else(PoisonError::into_inner);
        settled.insert(group.clone(), resolved.to_vec());
    }

    pub(crate) fn departures(&self, group: &TargetGroupArn) -> Departures {
        let left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        left.get(group).cloned().unwrap_or_default()
    }

    pub(crate) fn remember(&self, group: &TargetGroupArn, departures: &Departures) {
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        left.entry(group.clone()).or_default().extend(departures);
    }
}
