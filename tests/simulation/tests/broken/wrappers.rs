//! What is put around the ports of several variants.

use std::collections::BTreeMap;
use std::sync::Mutex;

use base::database::ClusterMember;
use failover_sync::error::{AwsError, DnsError};
use failover_sync::ports::{Clusters, Dns, TargetGroups};
use reconcile::binding::{Family, TargetGroupArn};
use reconcile::evidence::DnsAnswer;
use reconcile::target::{DescribedTarget, Target};
use simulation::ports::Ports;

/// Changes what descriptions show.
pub(crate) struct Altered(
    pub(crate) Ports,
    pub(crate) fn(DescribedTarget) -> Option<DescribedTarget>,
);

impl TargetGroups for Altered {
    async fn describe(&self, group: &TargetGroupArn) -> Result<Vec<DescribedTarget>, AwsError> {
        let listed = TargetGroups::describe(&self.0, group).await?;
        Ok(listed.into_iter().filter_map(self.1).collect())
    }

    async fn register(&self, group: &TargetGroupArn, targets: &[Target]) -> Result<(), AwsError> {
        self.0.register(group, targets).await
    }

    async fn deregister(
        &self,
        group: &TargetGroupArn,
        targets: &[DescribedTarget],
    ) -> Result<(), AwsError> {
        TargetGroups::deregister(&self.0, group, targets).await
    }
}

/// Keeps every answer for as long as the process lives, of the names that are so.
pub(crate) struct Cached(Ports, fn(&str) -> bool, Mutex<BTreeMap<String, DnsAnswer>>);

impl Cached {
    pub(crate) fn new(ports: Ports, is_kept: fn(&str) -> bool) -> Cached {
        Cached(ports, is_kept, Mutex::default())
    }
}

impl Dns for Cached {
    async fn lookup(&self, name: &str, family: Family) -> Result<DnsAnswer, DnsError> {
        let kept = self.2.lock().expect("not poisoned").get(name).cloned();
        if let Some(answer) = kept {
            return Ok(answer);
        }
        let answer = self.0.lookup(name, family).await?;
        if self.1(name) {
            self.2.lock().expect("not poisoned").insert(name.to_owned(), answer.clone());
        }
        Ok(answer)
    }
}

/// Changes what the RDS API says.
pub(crate) struct Retold(pub(crate) Ports, pub(crate) fn(Vec<ClusterMember>) -> Vec<ClusterMember>);

impl Clusters for Retold {
    async fn members(&self, cluster: &str) -> Result<Vec<ClusterMember>, AwsError> {
        self.0.members(cluster).await.map(self.1)
    }
}
