//! What consumers see: the function asks real databases through a load balancer with an address a
//! zone, each of which may lead elsewhere or nowhere.
//!
//! PostgreSQL and MariaDB, their TLS and logins, and DNS are real. The target group is a list, the
//! load balancer is the lab's.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

mod health_checks;
mod mariadb;
mod nowhere;
mod postgres;
mod switch;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_config::{BehaviorVersion, Region};
use aws_sdk_rds::config::Credentials;
use base::database::ClusterMember;
use base::login::LoginMethod;
use failover_sync::dns::Resolver;
use failover_sync::error::{AwsError, RunError};
use failover_sync::ports::{Clusters, SystemClock, TargetGroups};
use failover_sync::role_probe::SqlRoleProbe;
use failover_sync::sync::Synchronizer;
use lab::dns::{Answer, DnsServer, RDS_TTL};
use lab::nlb::{ADDRESSES, Nlb, TTL};
use lab::poll::Look;
use lab::process::free_port;
use lab::rds::{RdsApi, SECRET_ARN};
use platform::login::CredentialProvider;
use platform::trust::ca_bundle;
use reconcile::binding::TargetGroupArn;
use reconcile::config::Config;
use reconcile::path::PathState;
use reconcile::report::{BindingReport, State};
use reconcile::target::{DescribedTarget, Target, TargetState};
use reconcile::trigger::Trigger;
use serde_json::json;

/// The account, which may do nothing but log in.
const USER: &str = "probe";
const PASSWORD: &str = "the-password-of-this-test";

/// The load balancer's name.
const LINK: &str = "link.example";

/// A look, and a round beside it that waits for five seconds at most; the rest is for a busy
/// machine.
const DEADLINE: Duration = Duration::from_secs(60);

/// The function in a new process, whose first run asks through the load balancer.
struct Function {
    dns: DnsServer,
    secrets: RdsApi,
    /// The server that is registered, and the name in its certificate.
    writer: (SocketAddr, &'static str),
    engine: &'static str,
    authority: Vec<u8>,
    port: u16,
}

type Loop<G> = Synchronizer<(Resolver, G, NoClusters, SystemClock)>;

/// A target group that holds the writer.
struct Group(SocketAddr);

/// An RDS API that nobody asks: the endpoint is a name of one's own.
struct NoClusters;

impl Function {
    /// With a load balancer that listens on this port of all [`ADDRESSES`].
    async fn new(
        engine: &'static str,
        writer: (SocketAddr, &'static str),
        authority: &Path,
        port: u16,
    ) -> Function {
        let dns = DnsServer::start().await.unwrap();
        dns.set(writer.1, Answer::Addresses { addresses: vec![writer.0.ip()], ttl: RDS_TTL });
        dns.set(LINK, Answer::Addresses { addresses: ADDRESSES.to_vec(), ttl: TTL });
        let secrets = RdsApi::start(Vec::new()).await.unwrap();
        secrets.set_secret(USER, PASSWORD);
        let authority = ca_bundle(Some(authority)).unwrap();
        Function { dns, secrets, writer, engine, authority, port }
    }

    /// A new process that keeps this group.
    async fn start<G: TargetGroups>(&self, arn: &str, group: G) -> Arc<Loop<G>> {
        let role = Credentials::new("AKID", "secret", None, None, "test");
        let aws = aws_config::defaults(BehaviorVersion::v2026_01_12())
            .endpoint_url(self.secrets.url())
            .region(Region::new("eu-west-1"))
            .credentials_provider(role)
            .load()
            .await;
        let login = LoginMethod::Secret(SECRET_ARN.to_owned());
        let provider = CredentialProvider::new(login, "eu-west-1".to_owned(), &aws);
        let probe = SqlRoleProbe::new(provider, self.authority.clone());
        let (config, resolver) = (self.config(arn), Resolver::new(&[self.dns.addr()]).unwrap());
        let synchronizer = Synchronizer::new(config, resolver, group, NoClusters, SystemClock);
        Arc::new(synchronizer.with_role_probe(Arc::new(probe)))
    }

    fn config(&self, arn: &str) -> Config {
        let (writer, endpoint) = self.writer;
        let bindings = json!([{
            "name": "writer", "endpoint": endpoint, "kind": "hostname", "port": writer.port(),
            "engine": self.engine, "targetGroupArn": arn,
        }]);
        Config::parse(|name| match name {
            "BINDINGS" => Some(bindings.to_string()),
            "ALLOWED_CIDRS" => Some("127.0.0.0/8".to_owned()),
            "PROBE_SECRET_ARN" => Some(SECRET_ARN.to_owned()),
            "PROBE_PATH" => Some(format!("{LINK}:{}", self.port)),
            _ => None,
        })
        .unwrap()
    }

    /// The first run of a new process.
    async fn ask(&self) -> Asked {
        let account = "arn:aws:elasticloadbalancing:eu-west-1:123456789012";
        let arn = format!("{account}:targetgroup/db/0123456789abcdef");
        let function = self.start(&arn, Group(self.writer.0)).await;
        let began = Instant::now();
        let report = run(&function, DEADLINE).await;
        assert_eq!(report.state, State::InSync, "the path decides about no target: {report:?}");
        Asked { report, took: began.elapsed() }
    }
}

/// One run by hand.
async fn run<G: TargetGroups>(function: &Arc<Loop<G>>, deadline: Duration) -> BindingReport {
    let deadline = tokio::time::Instant::now() + deadline;
    match function.run(&Trigger::default(), deadline).await {
        Ok(report) | Err(RunError::Bindings(report)) => report.bindings.into_iter().next().unwrap(),
        Err(error) => panic!("{error}"),
    }
}

/// What a run said.
struct Asked {
    report: BindingReport,
    took: Duration,
}

impl Asked {
    /// Where each zone led, in the order of their addresses, and the verdict.
    #[track_caller]
    fn says<const ZONES: usize>(&self, states: [PathState; ZONES], is_up: Option<bool>) {
        let Asked { report, .. } = self;
        let path = report.path.as_ref().expect("it asked through the load balancer");
        assert_eq!(path.values().copied().collect::<Vec<_>>(), states, "{report:?}");
        assert_eq!(report.is_path_up, is_up, "{report:?}");
    }

    /// What is to be known about the path has these words.
    #[track_caller]
    fn notes(&self, words: &[&str]) {
        let note = self.report.path_note.as_deref().unwrap_or_default();
        for word in words {
            assert!(note.contains(word), "{word:?} is not in {note:?}");
        }
        assert!(!note.contains(PASSWORD), "{note}");
    }
}

/// A load balancer whose zones lead to a server.
async fn balancer(target: SocketAddr) -> Nlb {
    Nlb::fixed_in_zones(target, free_port(&ADDRESSES).unwrap()).await.unwrap()
}

fn not_yet<T>(seen: String) -> Look<T> {
    Look::NotYet(io::Error::other(seen).into())
}

/// A port of an address where nobody listens.
fn nobody(address: IpAddr) -> SocketAddr {
    SocketAddr::new(address, free_port(&[address]).unwrap())
}

impl TargetGroups for Group {
    async fn describe(&self, _: &TargetGroupArn) -> Result<Vec<DescribedTarget>, AwsError> {
        let (id, port) = (self.0.ip().to_string(), self.0.port());
        Ok(vec![DescribedTarget::new(id, port, TargetState::Healthy, None)])
    }

    async fn register(&self, _: &TargetGroupArn, targets: &[Target]) -> Result<(), AwsError> {
        panic!("{targets:?} are not to be registered")
    }

    async fn deregister(
        &self,
        _: &TargetGroupArn,
        targets: &[DescribedTarget],
    ) -> Result<(), AwsError> {
        panic!("{targets:?} are not to be deregistered")
    }
}

impl Clusters for NoClusters {
    async fn members(&self, cluster: &str) -> Result<Vec<ClusterMember>, AwsError> {
        panic!("there is no cluster {cluster}")
    }
}
