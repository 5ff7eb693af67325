//! The RDS API: a database's cluster and instances, as it describes them.

use aws_sdk_rds::Client;
use aws_sdk_rds::config::Builder;
use aws_sdk_rds::operation::describe_db_clusters::DescribeDbClustersOutput;
use aws_sdk_rds::operation::describe_db_instances::DescribeDbInstancesOutput;
use aws_sdk_rds::types::Filter;

use crate::error::AwsError;
use crate::response::CompleteResponse;

/// The IAM actions called here. DescribeDBInstances is filtered by cluster: it needs `db:*`.
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
    let clusters = clusters.customize().config_override(checked()).send();
    let instances = instances.customize().config_override(checked()).send();
    let (clusters, instances) = tokio::join!(clusters, instances);
    let clusters = clusters.map_err(|error| AwsError::new(DESCRIBE_CLUSTERS, cluster, error))?;
    let instances = instances.map_err(|error| AwsError::new(DESCRIBE_INSTANCES, cluster, error))?;
    Ok((clusters, instances))
}

/// One instance.
///
/// # Errors
/// When the call fails.
pub async fn describe_instance(
    client: &Client,
    instance: &str,
) -> Result<DescribeDbInstancesOutput, AwsError> {
    let request = client.describe_db_instances().db_instance_identifier(instance);
    let response = request.customize().config_override(checked()).send().await;
    response.map_err(|error| AwsError::new(DESCRIBE_INSTANCES, instance, error))
}

fn checked() -> Builder {
    Builder::default().interceptor(CompleteResponse).retry_classifier(CompleteResponse)
}
