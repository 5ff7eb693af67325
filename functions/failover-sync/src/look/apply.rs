//! The writes of a run: what a plan registers and deregisters.

use reconcile::plan::Plan;
use reconcile::report::strings;
use reconcile::target::{DescribedTarget, Target};
use reconcile::verdict::Verdict;
use tracing::info;

use crate::error::SyncError;
use crate::ports::{Clock, Dns, TargetGroups, Topology};

use super::Look;

/// What errors say about what may have been done before them.
const BEFORE_DEREGISTRATION: &str = "the writer is registered, and nothing was deregistered";
const IN_DEREGISTRATION: &str = "the writer is registered, and the old target may not have been deregistered";
const IN_REGISTRATION: &str = "the writer may not have been registered, and nothing was deregistered";

impl<D: Dns, G: TargetGroups, T: Topology, C: Clock> Look<'_, D, G, T, C> {
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
    pub(super) async fn apply(&mut self, plan: Plan) -> Result<(), SyncError> {
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
}

/// Adds what is not noted yet: a write that does not show at once is sent again.
fn note(noted: &mut Vec<String>, names: Vec<String>) {
    for name in names {
        if !noted.contains(&name) {
            noted.push(name);
        }
    }
}
