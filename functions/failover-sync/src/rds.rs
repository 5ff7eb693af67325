//! A cluster in the RDS API.

use aws_config::SdkConfig;
use aws_config::retry::RetryConfig;
use aws_sdk_rds::Client;
use aws_sdk_rds::config::Builder;
use base::database::ClusterMember;
use platform::rds::{DESCRIBE_CLUSTERS, describe_cluster};

use crate::error::AwsError;
use crate::ports::Clusters;

/// The port [`Clusters`] over the real API.
pub struct Rds(pub Client);

impl Rds {
    /// A client that tries each call once: the loop waits only seconds, and asks again at a later
    /// look. With tries in between it would never learn why a connection does not come about.
    pub fn new(aws: &SdkConfig) -> Rds {
        Rds(Client::from_conf(Builder::from(aws).retry_config(RetryConfig::disabled()).build()))
    }
}

impl Clusters for Rds {
    async fn members(&self, cluster: &str) -> Result<Vec<ClusterMember>, AwsError> {
        let (clusters, instances) = describe_cluster(&self.0, cluster).await?;
        let [described] = clusters.db_clusters() else {
            return Err(AwsError::incomplete(DESCRIBE_CLUSTERS, cluster, "it is not one cluster"));
        };
        let flagged = described
            .db_cluster_members()
            .iter()
            .filter(|member| member.is_cluster_writer() == Some(true));
        let flagged: Vec<&str> =
            flagged.filter_map(|member| member.db_instance_identifier()).collect();
        let member = |instance: &aws_sdk_rds::types::DbInstance| {
            let id = instance.db_instance_identifier()?;
            Some(ClusterMember {
                id: id.to_owned(),
                is_writer: flagged.contains(&id),
                endpoint: instance
                    .endpoint()
                    .and_then(|endpoint| endpoint.address())
                    .map(str::to_owned),
                status: instance.db_instance_status().unwrap_or_default().to_owned(),
            })
        };
        Ok(instances.db_instances().iter().filter_map(member).collect())
    }
}
