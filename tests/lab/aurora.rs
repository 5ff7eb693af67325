//! An Aurora cluster of two members as the RDS API tells of it. No database is behind it.

use anyhow::{Context, Result, ensure};
use aws_sdk_rds::Client;
use aws_sdk_rds::types::DbCluster;

/// A cluster in the emulated RDS API.
pub struct Cluster {
    client: Client,
    /// Its identifier.
    pub id: String,
    /// The name that always means the writer.
    pub endpoint: String,
    /// Its two members; the first was made first, and is the writer at the start.
    pub members: [Member; 2],
}

/// One instance of the cluster.
#[derive(Clone, Debug)]
pub struct Member {
    /// Its identifier.
    pub id: String,
    /// The name that always means this instance.
    pub endpoint: String,
}

impl Cluster {
    /// Makes an Aurora PostgreSQL cluster of two; the emulator chooses the endpoints' names.
    pub async fn create(client: Client, id: &str) -> Result<Self> {
        let cluster =
            client.create_db_cluster().db_cluster_identifier(id).engine("aurora-postgresql");
        let cluster = cluster.master_username("postgres").master_user_password("only-in-the-lab");
        let cluster = cluster.send().await.context("create the cluster in the RDS API")?;
        let endpoint = cluster
            .db_cluster()
            .and_then(DbCluster::endpoint)
            .context("the cluster has no endpoint")?;
        let endpoint = endpoint.to_owned();
        let members = [create_member(&client, id, 1).await?, create_member(&client, id, 2).await?];
        let cluster = Self { client, id: id.to_owned(), endpoint, members };
        let writer = cluster.writer().await?;
        ensure!(
            writer == cluster.members[0].id,
            "{writer} is the writer of the new cluster, not its first member"
        );
        Ok(cluster)
    }

    /// The identifier of the member that the API calls the writer.
    pub async fn writer(&self) -> Result<String> {
        let answer =
            self.client.describe_db_clusters().db_cluster_identifier(&self.id).send().await;
        let answer = answer.with_context(|| format!("describe the cluster {}", self.id))?;
        let members = answer.db_clusters().iter().flat_map(DbCluster::db_cluster_members);
        let writers: Vec<_> =
            members.filter(|member| member.is_cluster_writer() == Some(true)).collect();
        ensure!(
            writers.len() == 1,
            "the cluster {} has {} writers: {writers:?}",
            self.id,
            writers.len()
        );
        let writer = writers[0].db_instance_identifier().context("the writer has no identifier")?;
        Ok(writer.to_owned())
    }

    /// Makes `member` the writer, in the API only.
    pub async fn fail_over(&self, member: &Member) -> Result<()> {
        let call = self.client.failover_db_cluster().db_cluster_identifier(&self.id);
        let call = call.target_db_instance_identifier(&member.id).send().await;
        call.with_context(|| format!("fail {} over to {}", self.id, member.id))?;
        let writer = self.writer().await?;
        ensure!(
            writer == member.id,
            "the RDS API still calls {writer} the writer after the failover to {}",
            member.id
        );
        Ok(())
    }
}

async fn create_member(client: &Client, cluster: &str, number: usize) -> Result<Member> {
    let id = format!("{cluster}-{number}");
    let call =
        client.create_db_instance().db_instance_identifier(&id).db_cluster_identifier(cluster);
    let call = call.engine("aurora-postgresql").db_instance_class("db.r6g.large").send().await;
    let answer = call.with_context(|| format!("create the instance {id} in the RDS API"))?;
    let endpoint = answer.db_instance().and_then(|instance| instance.endpoint()?.address());
    let endpoint =
        endpoint.with_context(|| format!("the instance {id} has no endpoint"))?.to_owned();
    Ok(Member { id, endpoint })
}
