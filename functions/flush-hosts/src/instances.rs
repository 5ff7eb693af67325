//! A database's instances in the RDS API.

use aws_sdk_rds::Client;
use aws_sdk_rds::types::DbInstance as Described;
use base::database::HostPort;
use platform::error::AwsError;
use platform::rds::{DESCRIBE_CLUSTERS, DESCRIBE_INSTANCES, describe_cluster, describe_instance};

use crate::config::{Database, DatabaseKind};
use crate::ports::{DbInstance, Instances};

/// The port [`Instances`] over the real API. It calls `platform::rds::IAM_ACTIONS`.
pub struct Rds(pub Client);

impl Instances for Rds {
    async fn list(&self, database: &Database) -> Result<Vec<DbInstance>, AwsError> {
        match database.kind {
            DatabaseKind::Cluster => self.of_cluster(&database.identifier).await,
            DatabaseKind::Instance => self.single(&database.identifier).await,
        }
    }
}

impl Rds {
    async fn of_cluster(&self, cluster: &str) -> Result<Vec<DbInstance>, AwsError> {
        let (clusters, described) = describe_cluster(&self.0, cluster).await?;
        let members =
            clusters.db_clusters().iter().flat_map(|cluster| cluster.db_cluster_members());
        let found = |id: &str| {
            let mut described = described.db_instances().iter();
            let found = described.find(|found| found.db_instance_identifier() == Some(id));
            found.and_then(instance).unwrap_or_else(|| vanished(id))
        };
        let ids = members.filter_map(|member| member.db_instance_identifier());
        let instances: Vec<DbInstance> = ids.map(found).collect();
        if instances.is_empty() {
            let missing = "the cluster has no instance";
            return Err(AwsError::incomplete(DESCRIBE_CLUSTERS, cluster, missing));
        }
        Ok(instances)
    }

    async fn single(&self, id: &str) -> Result<Vec<DbInstance>, AwsError> {
        let described = describe_instance(&self.0, id).await?;
        let found = described.db_instances().iter().find_map(instance);
        let missing = || AwsError::incomplete(DESCRIBE_INSTANCES, id, "there is no such instance");
        Ok(vec![found.ok_or_else(missing)?])
    }
}

fn instance(described: &Described) -> Option<DbInstance> {
    let endpoint = described.endpoint();
    let host = endpoint.and_then(|endpoint| endpoint.address());
    let port =
        endpoint.and_then(|endpoint| endpoint.port()).and_then(|port| u16::try_from(port).ok());
    Some(DbInstance {
        id: described.db_instance_identifier()?.to_owned(),
        status: described.db_instance_status().unwrap_or_default().to_owned(),
        engine: described.engine().map(str::to_owned),
        endpoint: host.zip(port).map(|(host, port)| HostPort { host: host.to_owned(), port }),
    })
}

/// A member that came or went between the two answers.
fn vanished(id: &str) -> DbInstance {
    let status = "not described".to_owned();
    DbInstance { id: id.to_owned(), status, engine: None, endpoint: None }
}
