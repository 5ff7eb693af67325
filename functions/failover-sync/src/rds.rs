//! The cluster's writer in the RDS API.

use aws_sdk_rds::Client;

use crate::error::AwsError;
use crate::ports::Topology;

/// The IAM actions that this adapter calls.
pub const IAM_ACTIONS: [&str; 2] = [DESCRIBE_CLUSTERS, DESCRIBE_INSTANCES];

const DESCRIBE_CLUSTERS: &str = "rds:DescribeDBClusters";
const DESCRIBE_INSTANCES: &str = "rds:DescribeDBInstances";

/// The port [`Topology`] over the real API.
pub struct Rds(pub Client);

impl Topology for Rds {
    async fn writer_endpoint(&self, cluster: &str) -> Result<String, AwsError> {
        let request = self.0.describe_db_clusters().db_cluster_identifier(cluster);
        let response = request.send().await.map_err(|error| AwsError::new(DESCRIBE_CLUSTERS, cluster, error))?;
        let mut members = response.db_clusters().iter().flat_map(|cluster| cluster.db_cluster_members());
        let writer = members.find(|member| member.is_cluster_writer() == Some(true));
        let writer = writer
            .and_then(|member| member.db_instance_identifier())
            .ok_or_else(|| AwsError::incomplete(DESCRIBE_CLUSTERS, cluster, "no member is the writer"))?;

        let request = self.0.describe_db_instances().db_instance_identifier(writer);
        let response = request.send().await.map_err(|error| AwsError::new(DESCRIBE_INSTANCES, writer, error))?;
        let mut endpoints = response.db_instances().iter().filter_map(|instance| instance.endpoint());
        endpoints
            .find_map(|endpoint| endpoint.address())
            .map(str::to_owned)
            .ok_or_else(|| AwsError::incomplete(DESCRIBE_INSTANCES, writer, "the instance has no endpoint"))
    }
}
