//! The RDS adapter over answers of the SDK.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use aws_sdk_rds::Client;
use aws_sdk_rds::config::http::HttpResponse;
use aws_sdk_rds::config::retry::RetryConfig;
use aws_sdk_rds::operation::describe_db_clusters::DescribeDbClustersOutput;
use aws_sdk_rds::operation::describe_db_instances::{
    DescribeDBInstancesError, DescribeDbInstancesOutput,
};
use aws_sdk_rds::types::error::DbInstanceNotFoundFault;
use aws_sdk_rds::types::{
    DbCluster, DbClusterMember, DbInstance as Described, Endpoint as DescribedEndpoint,
};
use aws_smithy_mocks::{Rule, RuleMode, mock, mock_client};
use base::database::HostPort;
use flush_hosts::config::{Database, DatabaseKind};
use flush_hosts::instances::Rds;
use flush_hosts::ports::{DbInstance, Instances};
use platform::error::chain;

fn clusters(members: &[&str]) -> Rule {
    let member = |id: &&str| DbClusterMember::builder().db_instance_identifier(*id).build();
    let cluster = DbCluster::builder()
        .set_db_cluster_members(Some(members.iter().map(member).collect()))
        .build();
    let answer = DescribeDbClustersOutput::builder().db_clusters(cluster).build();
    mock!(Client::describe_db_clusters)
        .match_requests(|request| request.db_cluster_identifier() == Some("orders"))
        .then_output(move || answer.clone())
}

fn described(id: &str, port: Option<i32>) -> Described {
    let endpoint = port
        .map(|port| DescribedEndpoint::builder().address(format!("{id}.rds")).port(port).build());
    let instance = Described::builder()
        .db_instance_identifier(id)
        .db_instance_status("available")
        .engine("mysql");
    instance.set_endpoint(endpoint).build()
}

fn instances(of_cluster: bool, described: Vec<Described>) -> Rule {
    let answer = DescribeDbInstancesOutput::builder().set_db_instances(Some(described)).build();
    mock!(Client::describe_db_instances)
        .match_requests(move |request| match of_cluster {
            true => {
                request.filters()[0].values() == ["orders"]
                    && request.db_instance_identifier().is_none()
            }
            false => {
                request.db_instance_identifier() == Some("orders") && request.filters().is_empty()
            }
        })
        .then_output(move || answer.clone())
}

fn instance(id: &str, endpoint: Option<u16>) -> DbInstance {
    let endpoint = endpoint.map(|port| HostPort { host: format!("{id}.rds"), port });
    DbInstance { id: id.into(), status: "available".into(), engine: Some("mysql".into()), endpoint }
}

async fn list(kind: DatabaseKind, rules: &[&Rule]) -> Result<Vec<DbInstance>, String> {
    let client = mock_client!(aws_sdk_rds, RuleMode::MatchAny, rules, |conf| conf
        .retry_config(RetryConfig::disabled()));
    Rds(client)
        .list(&Database { identifier: "orders".into(), kind })
        .await
        .map_err(|error| chain(&error))
}

#[tokio::test]
async fn a_cluster_has_the_instances_that_it_names_described_or_not() {
    let described =
        vec![described("c", None), described("a", Some(3307)), described("other", Some(3306))];
    let found =
        list(DatabaseKind::Cluster, &[&clusters(&["a", "b", "c"]), &instances(true, described)])
            .await
            .unwrap();
    assert_eq!((&found[0], &found[2]), (&instance("a", Some(3307)), &instance("c", None)));
    assert_eq!(
        (&found[1].id[..], &found[1].status[..], &found[1].endpoint),
        ("b", "not described", &None)
    );
    assert_eq!(found.len(), 3);
}

#[tokio::test]
async fn a_cluster_without_instances_is_an_error() {
    let message =
        list(DatabaseKind::Cluster, &[&clusters(&[]), &instances(true, vec![])]).await.unwrap_err();
    assert_eq!(message, "rds:DescribeDBClusters on orders failed: the cluster has no instance");
}

#[tokio::test]
async fn an_instance_is_found_by_its_identifier() {
    let found =
        list(DatabaseKind::Instance, &[&instances(false, vec![described("orders", Some(3306))])])
            .await
            .unwrap();
    assert_eq!(found, [instance("orders", Some(3306))]);
}

#[tokio::test]
async fn an_instance_that_is_not_there_is_an_error_that_names_it() {
    let missing = mock!(Client::describe_db_instances).then_error(|| {
        DescribeDBInstancesError::DbInstanceNotFoundFault(
            DbInstanceNotFoundFault::builder().build(),
        )
    });
    let message = list(DatabaseKind::Instance, &[&missing]).await.unwrap_err();
    assert!(message.starts_with("rds:DescribeDBInstances on orders failed"), "{message}");
}

/// An answer of RDS as a short or a longer part of it.
fn part(document: &'static str, end: usize) -> HttpResponse {
    HttpResponse::new(200.try_into().unwrap(), document[..end].into())
}

#[tokio::test]
async fn an_answer_that_ends_early_lists_no_instance_wherever_it_ends() {
    const CLUSTERS: &str = include_str!("../../failover-sync/tests/xml/describe-db-clusters.xml");
    const INSTANCES: &str = include_str!("../../failover-sync/tests/xml/describe-db-instances.xml");
    let (clusters_end, instances_end) = (CLUSTERS.trim_end().len(), INSTANCES.trim_end().len());
    let list = async |kind, clusters, instances| {
        let clusters = mock!(Client::describe_db_clusters)
            .then_http_response(move || part(CLUSTERS, clusters));
        let instances = mock!(Client::describe_db_instances)
            .then_http_response(move || part(INSTANCES, instances));
        list(kind, &[&clusters, &instances]).await
    };
    for kind in [DatabaseKind::Cluster, DatabaseKind::Instance] {
        assert_eq!(
            list(kind, clusters_end, instances_end).await.map(|found| found[0].id.clone()),
            Ok("orders-a".into())
        );
        for end in (0..instances_end).step_by(7) {
            let message = list(kind, clusters_end, end).await.unwrap_err();
            assert!(
                message.starts_with("rds:DescribeDBInstances on orders failed"),
                "cut at {end}: {message}"
            );
        }
    }
    for end in (0..clusters_end).step_by(7) {
        let message = list(DatabaseKind::Cluster, end, instances_end).await.unwrap_err();
        assert!(
            message.starts_with("rds:DescribeDBClusters on orders failed"),
            "cut at {end}: {message}"
        );
    }
}
