//! PostgreSQL: a primary and its standby.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use base::report::Failure;
use failover_sync::ports::RoleProbe as _;
use lab::postgres::{Pair, connect};
use lab::tls::Files;
use lab::workspace::Run;
use reconcile::claim::Role;

use crate::{PASSWORD, Prober, USER, assert_failed};

/// The name that the certificates are for. Nothing resolves it: the function goes to the address.
pub(crate) const NAME: &str = "orders.example";

/// What the server demands of each account, instead of letting everybody in.
const ACCESS: &str = "hostssl all probe 127.0.0.0/8 scram-sha-256\n\
                      host all postgres 127.0.0.0/8 trust\n\
                      host replication all 127.0.0.0/8 trust\n";

pub(crate) struct Stage {
    pub(crate) pair: Pair,
    pub(crate) files: Files,
    run: Run,
    prober: Prober,
}

impl Stage {
    pub(crate) async fn start() -> Stage {
        let run = Run::new().unwrap();
        let files = Files::issue(&[NAME], &run.scratch("tls").unwrap()).unwrap();
        let pair = Pair::start_with_tls(&run, &files).await.unwrap();
        sql(pair.address(0), &format!("CREATE ROLE {USER} LOGIN PASSWORD '{PASSWORD}'")).await;
        for server in [0, 1] {
            admit(pair.address(server), ACCESS).await;
        }
        let prober = Prober::new("postgres", pair.port(), &files.authority).await;
        Stage { pair, files, run, prober }
    }

    fn address(&self, server: usize) -> IpAddr {
        self.pair.address(server).ip()
    }

    /// How many sessions the function has with the primary.
    async fn sessions(&self) -> i64 {
        let client = connect(self.pair.address(self.pair.primary())).await.unwrap();
        let count =
            "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'failover-sync'";
        client.query_one(count, &[]).await.unwrap().get(0)
    }
}

async fn sql(server: SocketAddr, statement: &str) {
    connect(server).await.unwrap().simple_query(statement).await.unwrap();
}

/// Replaces the server's `pg_hba.conf`.
async fn admit(server: SocketAddr, lines: &str) {
    let client = connect(server).await.unwrap();
    let file: String = client.query_one("SHOW hba_file", &[]).await.unwrap().get(0);
    let lines = lines.trim_end().replace('\n', "'), ('");
    let copy = format!("COPY (SELECT * FROM (VALUES ('{lines}')) AS lines) TO '{file}'");
    client.simple_query(&copy).await.unwrap();
    client.simple_query("SELECT pg_reload_conf()").await.unwrap();
}

#[tokio::test]
async fn the_primary_takes_writes_and_the_standby_is_read_only_until_it_is_promoted() {
    let mut stage = Stage::start().await;
    let sessions = stage.prober.probe.sessions(&stage.prober.binding);
    for (server, expected) in [(0, Role::Writer), (1, Role::Reader), (0, Role::Writer)] {
        assert_eq!(sessions.probe(stage.address(server), NAME).await, Ok(expected), "{server}");
    }
    stage.pair.crash_primary().await.unwrap();
    assert_failed(
        sessions.probe(stage.address(0), NAME).await,
        "ConnectionFailed",
        &["could not be made, or broke"],
    );
    assert_eq!(sessions.probe(stage.address(1), NAME).await, Ok(Role::Reader));
    stage.pair.promote_standby().await.unwrap();
    assert_eq!(
        sessions.probe(stage.address(1), NAME).await,
        Ok(Role::Writer),
        "the same session says so"
    );
    stage.pair.rebuild_standby(&stage.run).await.unwrap();
    admit(stage.pair.address(0), ACCESS).await;
    assert_eq!(
        sessions.probe(stage.address(0), NAME).await,
        Ok(Role::Reader),
        "the old primary is back"
    );
}

#[tokio::test]
async fn a_run_has_one_session_with_a_database_which_ends_with_it_and_the_secret_is_read_once() {
    let stage = Stage::start().await;
    let sessions = stage.prober.probe.sessions(&stage.prober.binding);
    for _ in 0..3 {
        sessions.probe(stage.address(0), NAME).await.unwrap();
    }
    assert_eq!(stage.sessions().await, 1);
    sql(
        stage.pair.address(0),
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'probe'",
    )
    .await;
    assert_eq!(
        sessions.probe(stage.address(0), NAME).await,
        Ok(Role::Writer),
        "a session that broke is made anew"
    );
    sessions.close().await;
    assert_eq!(stage.sessions().await, 0);
    let calls = stage.prober.secrets.account().calls.len();
    assert_eq!(calls, 1, "one call of GetSecretValue for two sessions");
}

/// Where the default comes from decides: the server fences everybody, an operator one account or
/// one database.
#[tokio::test]
async fn a_writer_whose_sessions_are_read_only_by_a_default_of_the_server_is_unknown() {
    let stage = Stage::start().await;
    let primary = stage.pair.address(0);
    for (scope, expected) in [
        ("ROLE probe", Role::Writer),
        ("DATABASE postgres", Role::Writer),
        ("ROLE probe IN DATABASE postgres", Role::Writer),
        ("ROLE ALL", Role::Unknown),
        ("SYSTEM", Role::Unknown),
    ] {
        sql(primary, &format!("ALTER {scope} SET default_transaction_read_only = on")).await;
        sql(primary, "SELECT pg_reload_conf()").await;
        assert_eq!(eventually(&stage, expected).await, Ok(expected), "{scope}");
        // The account that takes it back may write again itself.
        let back = format!(
            "SET default_transaction_read_only = off; ALTER {scope} RESET \
             default_transaction_read_only"
        );
        let client = connect(primary).await.unwrap();
        for statement in back.split("; ") {
            client.simple_query(statement).await.unwrap();
        }
        client.simple_query("SELECT pg_reload_conf()").await.unwrap();
        assert_eq!(
            eventually(&stage, Role::Writer).await,
            Ok(Role::Writer),
            "without the default of {scope}"
        );
    }
    sql(stage.pair.address(0), "ALTER SYSTEM SET default_transaction_read_only = on").await;
    assert_eq!(
        stage.prober.probe(stage.address(1), NAME).await,
        Ok(Role::Reader),
        "a standby is no writer"
    );
}

/// What the primary says of itself, once it says what is expected or has not for a while: it reads
/// its file anew on a signal.
async fn eventually(stage: &Stage, expected: Role) -> Result<Role, Failure> {
    let mut said = stage.prober.probe(stage.address(0), NAME).await;
    let deadline = Instant::now() + Duration::from_secs(10);
    while said != Ok(expected) && Instant::now() < deadline {
        said = stage.prober.probe(stage.address(0), NAME).await;
    }
    said
}

#[tokio::test]
async fn what_keeps_the_function_out_is_named_with_its_remedy() {
    let stage = Stage::start().await;
    let (primary, address) = (stage.pair.address(0), stage.address(0));
    let prober = &stage.prober;

    assert_failed(
        prober.probe(address, "other.example").await,
        "TlsRefused",
        &["for another name"],
    );
    let foreign_server =
        Files::issue(&[NAME], &stage.run.scratch("foreign_server").unwrap()).unwrap();
    let distrustful = Prober::new("postgres", stage.pair.port(), &foreign_server.authority).await;
    assert_failed(
        distrustful.probe(address, NAME).await,
        "TlsRefused",
        &["signed by nobody whom the function trusts"],
    );

    prober.secrets.set_secret(USER, "a-wrong-password");
    assert_failed(
        prober.probe(address, NAME).await,
        "LoginRefused",
        &["28P01", "correct the user name or password"],
    );
    prober.secrets.set_secret("nobody", PASSWORD);
    assert_failed(prober.probe(address, NAME).await, "LoginRefused", &["28000", "pg_hba.conf"]);
    prober.secrets.account().secret = Some("{}".to_owned());
    assert_failed(
        prober.probe(address, NAME).await,
        "SecretUnreadable",
        &["\"username\" and \"password\""],
    );
    prober.secrets.set_secret(USER, PASSWORD);

    for (change, back, kind, words) in [
        (
            "ALTER ROLE probe CONNECTION LIMIT 0",
            "ALTER ROLE probe CONNECTION LIMIT 5",
            "ServerFull",
            "53300",
        ),
        (
            "REVOKE CONNECT ON DATABASE postgres FROM PUBLIC",
            "GRANT CONNECT ON DATABASE postgres TO PUBLIC",
            "PrivilegeMissing",
            "GRANT CONNECT",
        ),
    ] {
        sql(primary, change).await;
        assert_failed(prober.probe(address, NAME).await, kind, &[words]);
        sql(primary, back).await;
    }

    let mysql = Prober::new("mysql", stage.pair.port(), &stage.files.authority).await;
    let mute =
        tokio::time::timeout(std::time::Duration::from_secs(1), mysql.probe(address, NAME)).await;
    assert!(!matches!(mute, Ok(Ok(_))), "PostgreSQL is no MySQL");
    assert_eq!(prober.probe(address, NAME).await, Ok(Role::Writer), "and then all is well");
}

#[tokio::test]
async fn a_server_without_tls_gets_no_password() {
    let run = Run::new().unwrap();
    let files = Files::issue(&[NAME], &run.scratch("tls").unwrap()).unwrap();
    let pair = Pair::start(&run).await.unwrap();
    let prober = Prober::new("postgres", pair.port(), &files.authority).await;
    assert_failed(
        prober.probe(pair.address(0).ip(), NAME).await,
        "TlsRefused",
        &["offers no TLS", "sends no password"],
    );
}
