//! The RDS adapter against the XML of the API.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

mod wire;

use aws_sdk_rds::Client;
use aws_sdk_rds::config::retry::RetryConfig;
use aws_smithy_mocks::{Rule, RuleMode, mock, mock_client};
use base::database::ClusterMember;
use failover_sync::error::chain;
use failover_sync::ports::Clusters;
use failover_sync::rds::Rds;
use wire::{error, response};

const CLUSTERS: &str = include_str!("xml/describe-db-clusters.xml");
const INSTANCES: &str = include_str!("xml/describe-db-instances.xml");

fn clusters(body: String) -> Rule {
    mock!(Client::describe_db_clusters)
        .match_requests(|request| request.db_cluster_identifier() == Some("orders"))
        .then_http_response(move || response(200, &body))
}

fn instances(body: String) -> Rule {
    mock!(Client::describe_db_instances)
        .match_requests(|request| {
            let filters: Vec<_> =
                request.filters().iter().map(|filter| (filter.name(), filter.values())).collect();
            filters == [(Some("db-cluster-id"), &["orders".to_owned()][..])]
        })
        .then_http_response(move || response(200, &body))
}

async fn members(clusters: &Rule, instances: &Rule) -> Result<Vec<ClusterMember>, String> {
    let client = mock_client!(aws_sdk_rds, RuleMode::MatchAny, &[clusters, instances], |conf| conf
        .retry_config(RetryConfig::disabled()));
    Rds(client).members("orders").await.map_err(|error| chain(&error))
}

#[tokio::test]
async fn the_writer_is_the_member_that_the_cluster_marks() {
    let members = members(&clusters(CLUSTERS.into()), &instances(INSTANCES.into())).await.unwrap();
    let member = |id: &str, is_writer, endpoint: Option<&str>, status: &str| ClusterMember {
        id: id.to_owned(),
        is_writer,
        endpoint: endpoint.map(str::to_owned),
        status: status.to_owned(),
    };
    assert_eq!(
        members,
        [
            member("orders-a", false, Some("orders-a.c1.eu-west-1.rds.amazonaws.com"), "available"),
            member("orders-b", true, Some("orders-b.c1.eu-west-1.rds.amazonaws.com"), "available"),
            member("orders-c", false, None, "creating"),
        ]
    );
}

#[tokio::test]
async fn a_cluster_that_marks_no_writer_or_several_is_told_as_it_is() {
    for (from, to, writers) in
        [(">true<", ">false<", &[][..]), (">false<", ">true<", &["orders-a", "orders-b"])]
    {
        let clusters = clusters(CLUSTERS.replace(from, to));
        let members = members(&clusters, &instances(INSTANCES.into())).await.unwrap();
        let flagged: Vec<_> =
            members.iter().filter(|member| member.is_writer).map(|member| &*member.id).collect();
        assert_eq!((&*flagged, members.len()), (writers, 3));
    }
}

#[tokio::test]
async fn an_answer_that_ends_early_names_no_member_wherever_it_ends() {
    for (action, whole) in
        [("rds:DescribeDBClusters", CLUSTERS), ("rds:DescribeDBInstances", INSTANCES)]
    {
        for end in (0..whole.trim_end().len()).step_by(7) {
            let cut = |document: &str| {
                if document == whole { document[..end].to_owned() } else { document.to_owned() }
            };
            let message = members(&clusters(cut(CLUSTERS)), &instances(cut(INSTANCES)))
                .await
                .expect_err(&whole[..end]);
            assert!(
                message.starts_with(&format!("{action} on orders failed")),
                "cut at {end}: {message}"
            );
        }
    }
}

#[tokio::test]
async fn an_error_of_rds_names_its_code_and_request() {
    let rule = mock!(Client::describe_db_clusters)
        .then_http_response(|| response(403, &error("AccessDenied", "not authorized")));
    let message = members(&rule, &instances(INSTANCES.into())).await.unwrap_err();
    for word in [
        "rds:DescribeDBClusters",
        "AccessDenied",
        "c534f810-0000-4000-8000-0123456789ab",
        "not authorized",
    ] {
        assert!(message.contains(word), "{word} in {message}");
    }
}
