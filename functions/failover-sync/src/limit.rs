//! A limit on the calls that are under way at a time.
//!
//! ELBv2 and RDS throttle the whole account (Elastic Load Balancing: ten describes a second, forty
//! at once). A call keeps its permit while the SDK waits to try it again, so that throttled answers
//! slow the other bindings down as well. The SDK's adaptive retries do not fit: throttled in its
//! first half second, that mode lets a call pass every two seconds, and asks more for a second try
//! than its bucket can then hold.

use base::database::ClusterMember;
use reconcile::binding::TargetGroupArn;
use reconcile::target::{DescribedTarget, Target};
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::error::AwsError;
use crate::ports::{Clusters, TargetGroups};

/// So many calls to one service are under way at most. Each has a connection of its own, which the
/// warm-up opens.
pub(crate) const MAX_IN_FLIGHT: usize = 8;

/// A port whose callers wait for each other.
pub(crate) struct ConcurrencyLimited<P> {
    port: P,
    permits: Semaphore,
}

impl<P> ConcurrencyLimited<P> {
    pub(crate) fn new(port: P) -> ConcurrencyLimited<P> {
        ConcurrencyLimited { port, permits: Semaphore::new(MAX_IN_FLIGHT) }
    }

    /// The semaphore is never closed, so there always is a permit.
    async fn permit(&self) -> Option<SemaphorePermit<'_>> {
        self.permits.acquire().await.ok()
    }
}

impl<G: TargetGroups> TargetGroups for ConcurrencyLimited<G> {
    async fn describe(&self, group: &TargetGroupArn) -> Result<Vec<DescribedTarget>, AwsError> {
        let _permit = self.permit().await;
        self.port.describe(group).await
    }

    async fn register(&self, group: &TargetGroupArn, targets: &[Target]) -> Result<(), AwsError> {
        let _permit = self.permit().await;
        self.port.register(group, targets).await
    }

    async fn deregister(
        &self,
        group: &TargetGroupArn,
        targets: &[DescribedTarget],
    ) -> Result<(), AwsError> {
        let _permit = self.permit().await;
        self.port.deregister(group, targets).await
    }
}

impl<T: Clusters> Clusters for ConcurrencyLimited<T> {
    async fn members(&self, cluster: &str) -> Result<Vec<ClusterMember>, AwsError> {
        let _permit = self.permit().await;
        self.port.members(cluster).await
    }
}
