//! What a process asks and writes through, and its state: shared by the runs of all bindings.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use base::database::ClusterMember;
use chrono::{DateTime, Utc};
use parking_lot::Mutex;
use reconcile::binding::{Binding, Endpoint, Family, TargetGroupArn};
use reconcile::config::Config;
use reconcile::evidence::DnsAnswer;
use reconcile::plan::Mode;
use reconcile::poll_policy::PAUSE;
use reconcile::target::{DescribedTarget, Target};
use reconcile::trigger::Trigger;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};

use crate::dns;
use crate::error::{AwsError, DnsError, DnsFailure};
use crate::ports::{Clock, Clusters, Dns, Ports, RoleProbe, TargetGroups};
use crate::process_state::ProcessState;

/// Each call has a connection of its own, which the warm-up opens. ELBv2 and RDS throttle the whole
/// account (Elastic Load Balancing: ten describes a second, forty at once). A call keeps its place
/// while the SDK waits to try again, so that throttling slows the others too. The SDK's adaptive
/// retries do not fit: throttled in its first half second, it lets a call pass every two seconds,
/// and asks more for a second try than its bucket then holds.
pub(crate) const MAX_IN_FLIGHT: usize = 8;

/// Bindings of one cluster, such as its writer's and its readers', share an answer for so long.
const SHARED_FOR: Duration = PAUSE;

type Members = (Vec<ClusterMember>, DateTime<Utc>);

/// Locked while the RDS API is asked, so that another binding waits for the same answer.
pub(crate) type Shared = Arc<tokio::sync::Mutex<Option<(Members, Instant)>>>;

pub(crate) struct Context<P: Ports> {
    pub(crate) config: Config,
    pub(crate) dns: P::Dns,
    pub(crate) groups: P::TargetGroups,
    pub(crate) clusters: P::Clusters,
    pub(crate) elbv2_calls: Semaphore,
    pub(crate) rds_calls: Semaphore,
    pub(crate) role_probe: Option<Arc<dyn RoleProbe>>,
    pub(crate) clock: P::Clock,
    pub(crate) state: ProcessState,
    pub(crate) shared: Mutex<BTreeMap<String, Shared>>,
}

impl<P: Ports> Context<P> {
    pub(crate) async fn resolve(&self, binding: &Binding) -> Result<DnsAnswer, DnsError> {
        match &binding.endpoint {
            Endpoint::Name(name) => self.lookup(name, binding.family, dns::LIMIT).await,
            Endpoint::Address(address) => {
                Ok(DnsAnswer { addresses: (*address).into(), ttl: Duration::ZERO })
            }
        }
    }

    pub(crate) async fn lookup(
        &self,
        name: &str,
        family: Family,
        limit: Duration,
    ) -> Result<DnsAnswer, DnsError> {
        let timed_out = |_| {
            let (name, servers) = (name.to_owned(), "the servers".to_owned());
            Err(DnsError { name, family, servers, answer: DnsFailure::Timeout })
        };
        timeout(limit, self.dns.lookup(name, family)).await.unwrap_or_else(timed_out)
    }

    /// The members, and when the RDS API told them: not before the run that asks began.
    pub(crate) async fn members(&self, cluster: &str, began: Instant) -> Result<Members, AwsError> {
        let shared = Arc::clone(self.shared.lock().entry(cluster.to_owned()).or_default());
        let mut last = shared.lock().await;
        match &*last {
            Some((members, at)) if *at >= began && at.elapsed() < SHARED_FOR => Ok(members.clone()),
            _ => {
                let _permit = self.rds_calls.acquire().await;
                let members = (self.clusters.members(cluster).await?, self.now());
                *last = Some((members.clone(), Instant::now()));
                Ok(members)
            }
        }
    }

    pub(crate) async fn describe(
        &self,
        group: &TargetGroupArn,
    ) -> Result<Vec<DescribedTarget>, AwsError> {
        let _permit = self.elbv2_calls.acquire().await;
        self.groups.describe(group).await
    }

    pub(crate) async fn register(
        &self,
        group: &TargetGroupArn,
        targets: &[Target],
    ) -> Result<(), AwsError> {
        let _permit = self.elbv2_calls.acquire().await;
        self.groups.register(group, targets).await
    }

    pub(crate) async fn deregister(
        &self,
        group: &TargetGroupArn,
        targets: &[DescribedTarget],
    ) -> Result<(), AwsError> {
        let _permit = self.elbv2_calls.acquire().await;
        self.groups.deregister(group, targets).await
    }

    /// Whether a run changes anything.
    pub(crate) fn mode(&self, trigger: &Trigger) -> Mode {
        if trigger.dry_run { Mode::Observe } else { self.config.mode }
    }

    pub(crate) fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }
}
