//! What databases say of themselves, and what keeps them from it: real servers, and things that are
//! none.
//!
//! PostgreSQL and MariaDB run here; Secrets Manager is a stand-in. Aurora's variables are in a
//! table of the code.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

mod foreign_servers;
mod held;
mod mariadb;
mod postgres;

use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use aws_config::{BehaviorVersion, Region};
use aws_sdk_rds::config::Credentials;
use base::login::LoginMethod;
use base::report::Failure;
use failover_sync::ports::RoleProbe as _;
use failover_sync::role_probe::SqlRoleProbe;
use lab::rds::{RdsApi, SECRET_ARN};
use platform::login::CredentialProvider;
use platform::trust::ca_bundle;
use reconcile::binding::{Binding, Engine};
use reconcile::claim::Role;
use reconcile::config::Config;
use serde_json::json;
use tokio::time::timeout;

/// The account, which may do nothing but log in.
const USER: &str = "probe";
const PASSWORD: &str = "the-password-of-this-test";

/// What a server answered or why it did not.
type Outcome = Result<Role, Failure>;

/// The function's side: a secret, and whom it trusts.
struct Prober {
    probe: SqlRoleProbe,
    binding: Binding,
    secrets: RdsApi,
}

impl Prober {
    async fn new(engine: &str, port: u16, authority: &Path) -> Prober {
        Prober::with(LoginMethod::Secret(SECRET_ARN.to_owned()), engine, port, authority).await
    }

    async fn with(login: LoginMethod, engine: &str, port: u16, authority: &Path) -> Prober {
        let secrets = RdsApi::start(Vec::new()).await.unwrap();
        secrets.set_secret(USER, PASSWORD);
        let role = Credentials::new("AKID", "secret", None, None, "test");
        let aws = aws_config::defaults(BehaviorVersion::v2026_01_12()).endpoint_url(secrets.url());
        let aws = aws.region(Region::new("eu-west-1")).credentials_provider(role).load().await;
        let probe = SqlRoleProbe::new(
            CredentialProvider::new(login, "eu-west-1".to_owned(), &aws),
            ca_bundle(Some(authority)).unwrap(),
        );
        Prober { probe, binding: binding(engine, port), secrets }
    }

    /// Asks once, in a run of its own.
    async fn probe(&self, address: IpAddr, name: &str) -> Outcome {
        let sessions = self.probe.sessions(&self.binding);
        let said = timeout(Duration::from_secs(30), sessions.probe(address, name))
            .await
            .expect("an answer");
        sessions.close().await;
        said
    }
}

fn binding(engine: &str, port: u16) -> Binding {
    let account = "arn:aws:elasticloadbalancing:eu-west-1:123456789012";
    let bindings = json!([{
        "name": "writer", "endpoint": "db.example", "kind": "hostname", "port": port,
        "engine": engine, "targetGroupArn": format!("{account}:targetgroup/db/0123456789abcdef"),
    }])
    .to_string();
    let config = Config::parse(|name| match name {
        "BINDINGS" => Some(bindings.clone()),
        "PROBE_USER" => Some(USER.to_owned()),
        _ => None,
    });
    let binding = config.unwrap().bindings.remove(0);
    assert_eq!(
        binding.engine,
        Some(if engine == "postgres" { Engine::Postgres } else { Engine::MySql })
    );
    binding
}

/// It is this kind of failure, and its message has these words.
fn assert_failed(said: Outcome, kind: &str, words: &[&str]) {
    let failure = said.expect_err(kind);
    assert_eq!(failure.kind, kind, "{}", failure.message);
    for word in words {
        assert!(failure.message.contains(word), "{word:?} is not in: {}", failure.message);
    }
    assert!(!failure.message.contains(PASSWORD), "{}", failure.message);
}
