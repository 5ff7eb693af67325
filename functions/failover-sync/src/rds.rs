//! A cluster in the RDS API.

use aws_config::SdkConfig;
use aws_config::retry::RetryConfig;
use aws_sdk_rds::Client;
use aws_sdk_rds::config::Builder;
use aws_sdk_rds::operation::describe_db_clusters::DescribeDbClustersOutput;
use aws_sdk_rds::operation::describe_db_instances::DescribeDbInstancesOutput;
use aws_sdk_rds::types::Filter;
use reconcile::evidence::ClusterMember;

use crate::answer::WholeAnswer;
use crate::error::AwsError;
use crate::ports::Topology;

/// The IAM actions that this adapter calls. DescribeDBInstances is filtered by cluster, so it needs `db:*`.
pub const IAM_ACTIONS: [&str; 2] = [DESCRIBE_CLUSTERS, DESCRIBE_INSTANCES];

/// The IAM action that names a cluster's members.
pub const DESCRIBE_CLUSTERS: &str = "rds:DescribeDBClusters";
/// The IAM action that gives the status and the endpoint of each instance.
pub const DESCRIBE_INSTANCES: &str = "rds:DescribeDBInstances";

/// A cluster, which names its members, and its instances, asked for at the same time.
///
/// # Errors
/// When either call fails.
pub async fn describe_cluster(
    client: &Client,
    cluster: &str,
) -> Result<(DescribeDbClustersOutput, DescribeDbInstancesOutput), AwsError> {
    let of_cluster = Filter::builder().name("db-cluster-id").values(cluster).build();
    let clusters = client.describe_db_clusters().db_cluster_identifier(cluster);
    // A cluster has at most 16 instances (RDS quota: 15 replicas), which is one page.
    let instances = client.describe_db_instances().filters(of_cluster);
    let clusters = clusters.customize().config_override(whole()).send();
    let instances = instances.customize().config_override(whole()).send();
    let (clusters, instances) = tokio::join!(clusters, instances);
    let clusters = clusters.map_err(|error| AwsError::new(DESCRIBE_CLUSTERS, cluster, error))?;
    let instances = instances.map_err(|error| AwsError::new(DESCRIBE_INSTANCES, cluster, error))?;
    Ok((clusters, instances))
}

/// One instance.
///
/// # Errors
/// When the call fails.
pub async fn describe_instance(client: &Client, instance: &str) -> Result<DescribeDbInstancesOutput, AwsError> {
    let request = client.describe_db_instances().db_instance_identifier(instance);
    let response = request.customize().config_override(whole()).send().await;
    response.map_err(|error| AwsError::new(DESCRIBE_INSTANCES, instance, error))
}

/// The port [`Topology`] over the real API.
pub struct Rds(pub Client);

impl Rds {
    /// A client that tries each call once. The loop waits only seconds for topology and asks again at a later look; with
    /// tries in between it would never hear why a connection does not come about.
    pub fn new(aws: &SdkConfig) -> Rds {
        Rds(Client::from_conf(Builder::from(aws).retry_config(RetryConfig::disabled()).build()))
    }
}

impl Topology for Rds {
    async fn members(&self, cluster: &str) -> Result<Vec<ClusterMember>, AwsError> {
        let (clusters, instances) = describe_cluster(&self.0, cluster).await?;
        let members = clusters.db_clusters().iter().flat_map(|cluster| cluster.db_cluster_members());
        let writer = members
            .filter(|member| member.is_cluster_writer() == Some(true))
            .find_map(|member| member.db_instance_identifier())
            .ok_or_else(|| AwsError::incomplete(DESCRIBE_CLUSTERS, cluster, "no member is the writer"))?;
        let member = |instance: &aws_sdk_rds::types::DbInstance| {
            let id = instance.db_instance_identifier()?;
            Some(ClusterMember {
                id: id.to_owned(),
                is_writer: id == writer,
                endpoint: instance.endpoint().and_then(|endpoint| endpoint.address()).map(str::to_owned),
                status: instance.db_instance_status().unwrap_or_default().to_owned(),
            })
        };
        Ok(instances.db_instances().iter().filter_map(member).collect())
    }
}

fn whole() -> Builder {
    Builder::default().interceptor(WholeAnswer).retry_classifier(WholeAnswer)
}
