//! The real HTTP client, with the function's timeouts, against a network that does not carry it to
//! AWS.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use aws_config::retry::RetryConfig;
use aws_config::{Region, SdkConfig};
use aws_sdk_elasticloadbalancingv2::config::{Credentials, SharedCredentialsProvider};
use failover_sync::elbv2::Elbv2;
use failover_sync::error::{AwsError, chain};
use failover_sync::ports::{Clusters, TargetGroups};
use failover_sync::rds::Rds;
use platform::aws;
use reconcile::binding::TargetGroupArn;
use tokio::net::{TcpListener, TcpSocket};

const ARN: &str =
    "arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/db/0123456789abcdef";

/// The function's configuration, with one try of each call.
fn config(endpoint: String) -> SdkConfig {
    let credentials = SharedCredentialsProvider::new(Credentials::for_tests());
    let config = aws::sdk_config(|_| None)
        .into_builder()
        .endpoint_url(endpoint)
        .region(Region::new("eu-west-1"));
    config.credentials_provider(credentials).retry_config(RetryConfig::disabled()).build()
}

async fn describe(endpoint: String) -> AwsError {
    let groups = Elbv2(aws_sdk_elasticloadbalancingv2::Client::new(&config(endpoint)));
    groups.describe(&TargetGroupArn::parse(ARN).unwrap()).await.unwrap_err()
}

async fn members(endpoint: String) -> AwsError {
    let topology = Rds::new(&config(endpoint));
    topology.members("orders").await.unwrap_err()
}

/// An address that drops packets: the queue of its listener holds one connection, and is full.
struct BlackHole {
    address: SocketAddr,
    _listener: TcpListener,
    _queued: TcpStream,
}

impl BlackHole {
    fn new() -> BlackHole {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = socket.listen(0).unwrap();
        let address = listener.local_addr().unwrap();
        let queued = TcpStream::connect(address).unwrap();
        let error = TcpStream::connect_timeout(&address, Duration::from_millis(100)).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::TimedOut, "the queue is full");
        BlackHole { address, _listener: listener, _queued: queued }
    }
}

#[tokio::test]
async fn where_packets_are_dropped_the_error_names_the_cause_and_the_remedy() {
    let hole = BlackHole::new();
    let endpoint = format!("http://{}", hole.address);
    let began = Instant::now();
    for (error, service) in [
        (describe(endpoint.clone()).await, "Elastic Load Balancing"),
        (members(endpoint.clone()).await, "RDS"),
    ] {
        let message = chain(&error);
        let cause = format!("the function's subnets have no way to {service}'s endpoint");
        for words in [
            &cause[..],
            "infra/api-endpoints.yaml",
            "NAT gateway",
            "out of the VPC",
            "connect timeout",
        ] {
            assert!(message.contains(words), "{words} in {message}");
        }
        assert_eq!(error.kind(), "AwsUnreachable");
    }
    assert!(
        began.elapsed() < Duration::from_secs(10),
        "it says so long before the function's deadline"
    );
}

/// As a proxy or a firewall that takes the connection and lets nothing through.
#[tokio::test]
async fn a_handshake_that_nobody_answers_is_no_way_to_aws_either() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let error = describe(format!("https://{}", silent.local_addr().unwrap())).await;
    assert!(
        chain(&error).contains("no way to Elastic Load Balancing's endpoint"),
        "{}",
        chain(&error)
    );
}

#[tokio::test]
async fn a_connection_that_is_refused_or_not_answered_has_another_remedy() {
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    for address in [closed, silent.local_addr().unwrap()] {
        let error = describe(format!("http://{address}")).await;
        assert_eq!(error.kind(), "AwsUnreachable");
        assert!(!chain(&error).contains("no way to"), "{}", chain(&error));
    }
}
