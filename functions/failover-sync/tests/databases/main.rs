//! What databases say of themselves, and what keeps them from it: real servers, and things that are none.
//!
//! PostgreSQL and MariaDB run here; Secrets Manager is a stand-in. Aurora's variables are in a table of the code.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

mod held;
mod mariadb;
mod postgres;
mod strangers;

use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use aws_config::{BehaviorVersion, Region};
use aws_sdk_rds::config::Credentials;
use failover_sync::databases::Databases;
use failover_sync::ports::Databases as _;
use lab::rds::{RdsApi, SECRET_ARN};
use platform::login::Doorman;
use platform::trust::authorities;
use reconcile::binding::{Binding, Engine};
use reconcile::claim::Voice;
use reconcile::config::Config;
use reconcile::login::Login;
use reconcile::report::Failure;
use serde_json::json;
use tokio::time::timeout;

/// The account, which may do nothing but log in.
const USER: &str = "witness";
const PASSWORD: &str = "the-password-of-this-test";

/// What a server answered or why it did not.
type Said = Result<Voice, Failure>;

/// The function's side: a secret, and whom it trusts.
struct Asker {
    databases: Databases,
    binding: Binding,
    secrets: RdsApi,
}

impl Asker {
    async fn new(engine: &str, port: u16, authority: &Path) -> Asker {
        Asker::with(Login::Secret(SECRET_ARN.to_owned()), engine, port, authority).await
    }

    async fn with(login: Login, engine: &str, port: u16, authority: &Path) -> Asker {
        let secrets = RdsApi::start(Vec::new()).await.unwrap();
        secrets.set_secret(USER, PASSWORD);
        let role = Credentials::new("AKID", "secret", None, None, "test");
        let aws = aws_config::defaults(BehaviorVersion::v2026_01_12()).endpoint_url(secrets.url());
        let aws = aws.region(Region::new("eu-west-1")).credentials_provider(role).load().await;
        let databases =
            Databases::new(Doorman::new(login, "eu-west-1".to_owned(), &aws), authorities(Some(authority)).unwrap());
        Asker { databases, binding: binding(engine, port), secrets }
    }

    /// Asks once, in a run of its own.
    async fn ask(&self, address: IpAddr, name: &str) -> Said {
        let sessions = self.databases.sessions(&self.binding);
        let said = timeout(Duration::from_secs(30), sessions.ask(address, name)).await.expect("an answer");
        sessions.close().await;
        said
    }
}

fn binding(engine: &str, port: u16) -> Binding {
    let bindings = json!([{
        "name": "writer", "endpoint": "db.example", "kind": "hostname", "port": port, "engine": engine,
        "targetGroupArn": "arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/db/0123456789abcdef",
    }])
    .to_string();
    let config = Config::parse(|name| match name {
        "BINDINGS" => Some(bindings.clone()),
        "WITNESS_USER" => Some(USER.to_owned()),
        _ => None,
    });
    let binding = config.unwrap().bindings.remove(0);
    assert_eq!(binding.engine, Some(if engine == "postgres" { Engine::Postgres } else { Engine::MySql }));
    binding
}

/// It is this kind of failure, and its message has these words.
fn assert_failed(said: Said, kind: &str, words: &[&str]) {
    let failure = said.expect_err(kind);
    assert_eq!(failure.kind, kind, "{}", failure.message);
    for word in words {
        assert!(failure.message.contains(word), "{word:?} is not in: {}", failure.message);
    }
    assert!(!failure.message.contains(PASSWORD), "{}", failure.message);
}
