//! The RDS adapter against the XML of the API.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

mod wire;

use aws_sdk_rds::Client;
use aws_smithy_mocks::{Rule, RuleMode, mock, mock_client};
use failover_sync::error::chain;
use failover_sync::ports::Topology;
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
        .match_requests(|request| request.db_instance_identifier() == Some("orders-b"))
        .then_http_response(move || response(200, &body))
}

async fn writer_endpoint(rules: &[&Rule]) -> Result<String, String> {
    let rds = Rds(mock_client!(aws_sdk_rds, RuleMode::Sequential, rules));
    rds.writer_endpoint("orders").await.map_err(|error| chain(&error))
}

#[tokio::test]
async fn the_writer_is_the_member_that_the_cluster_marks() {
    let endpoint = writer_endpoint(&[&clusters(CLUSTERS.into()), &instances(INSTANCES.into())]).await;
    assert_eq!(endpoint.unwrap(), "orders-b.c1.eu-west-1.rds.amazonaws.com");
}

#[tokio::test]
async fn a_cluster_without_a_writer_is_an_error() {
    let message = writer_endpoint(&[&clusters(CLUSTERS.replace(">true<", ">false<"))]).await.unwrap_err();
    assert!(message.contains("rds:DescribeDBClusters on orders") && message.contains("no member"), "{message}");
}

#[tokio::test]
async fn an_instance_that_is_still_being_created_has_no_endpoint() {
    let (start, end) = (INSTANCES.find("<Endpoint>").unwrap(), INSTANCES.find("</Endpoint>").unwrap());
    let creating = format!("{}{}", &INSTANCES[..start], &INSTANCES[end + "</Endpoint>".len()..]);
    let message = writer_endpoint(&[&clusters(CLUSTERS.into()), &instances(creating)]).await.unwrap_err();
    assert!(message.contains("rds:DescribeDBInstances on orders-b") && message.contains("no endpoint"), "{message}");
}

#[tokio::test]
async fn an_error_of_rds_names_its_code_and_request() {
    let rule = mock!(Client::describe_db_clusters)
        .then_http_response(|| response(403, &error("AccessDenied", "not authorized")));
    let message = writer_endpoint(&[&rule]).await.unwrap_err();
    for word in ["rds:DescribeDBClusters", "AccessDenied", "c534f810-0000-4000-8000-0123456789ab", "not authorized"] {
        assert!(message.contains(word), "{word} in {message}");
    }
}
