//! What a process asks and writes through, and its state: shared by the runs of all bindings.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base::database::ClusterMember;
use chrono::{DateTime, Utc};
use reconcile::binding::{Binding, Endpoint, Family};
use reconcile::config::Config;
use reconcile::evidence::DnsAnswer;
use reconcile::plan::Mode;
use reconcile::poll_policy::PAUSE;
use reconcile::trigger::Trigger;
use tokio::time::{Instant, timeout};

use crate::dns;
use crate::error::{AwsError, DnsError, DnsFailure};
use crate::limit::ConcurrencyLimited;
use crate::ports::{Clock, Clusters, Dns, Ports, RoleProbe};
use crate::process_state::ProcessState;

/// Bindings of one cluster, such as its writer's and its readers', share what the RDS API says for
/// so long.
const SHARED_FOR: Duration = PAUSE;

/// The members of a cluster as the RDS API told them last, and when.
type Members = (Vec<ClusterMember>, DateTime<Utc>);

/// Locked while the RDS API is asked, so that another binding waits for the same answer.
pub(crate) type Shared = Arc<tokio::sync::Mutex<Option<(Members, Instant)>>>;

/// The configuration and the ports of a process.
pub(crate) struct Context<P: Ports> {
    pub(crate) config: Config,
    pub(crate) dns: P::Dns,
    pub(crate) groups: ConcurrencyLimited<P::TargetGroups>,
    pub(crate) topology: ConcurrencyLimited<P::Clusters>,
    pub(crate) role_probe: Option<Arc<dyn RoleProbe>>,
    pub(crate) clock: P::Clock,
    pub(crate) state: ProcessState,
    /// What the RDS API said last of each cluster.
    pub(crate) clusters: Mutex<BTreeMap<String, Shared>>,
}

impl<P: Ports> Context<P> {
    /// The addresses behind the binding's endpoint.
    pub(crate) async fn resolve(&self, binding: &Binding) -> Result<DnsAnswer, DnsError> {
        match &binding.endpoint {
            Endpoint::Name(name) => self.lookup(name, binding.family, dns::LIMIT).await,
            Endpoint::Address(address) => {
                Ok(DnsAnswer { addresses: (*address).into(), ttl: Duration::ZERO })
            }
        }
    }

    /// The addresses behind a name, if they are found in time.
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

    /// The members of a cluster, and when the RDS API told them: not before the run that asks
    /// began.
    pub(crate) async fn members(&self, cluster: &str, began: Instant) -> Result<Members, AwsError> {
        let shared = {
            let mut clusters = self.clusters.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(clusters.entry(cluster.to_owned()).or_default())
        };
        let mut last = shared.lock().await;
        match &*last {
            Some((members, at)) if *at >= began && at.elapsed() < SHARED_FOR => Ok(members.clone()),
            _ => {
                let members = (self.topology.members(cluster).await?, self.now());
                *last = Some((members.clone(), Instant::now()));
                Ok(members)
            }
        }
    }

    /// Whether this run changes anything: neither a dry run nor an observing function does.
    pub(crate) fn mode(&self, trigger: &Trigger) -> Mode {
        if trigger.dry_run { Mode::Observe } else { self.config.mode }
    }

    pub(crate) fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }
}
