//! MariaDB, and MySQL where it is provided.

use std::net::IpAddr;

use base::login::LoginMethod;
use failover_sync::ports::RoleProbe as _;
use lab::mariadb::{NAME, Options, PAM_SERVICE, Server, Tls};
use lab::tls::Files;
use lab::workspace::Run;
use reconcile::claim::Role;

use crate::{PASSWORD, Prober, USER, assert_failed};

struct Stage {
    server: Server,
    run: Run,
    prober: Prober,
}

impl Stage {
    async fn start(options: Options) -> Stage {
        let run = Run::new().unwrap();
        let server = Server::mariadb(&run, "mariadb", &options).await.unwrap();
        Stage::with(run, server).await
    }

    async fn with(run: Run, server: Server) -> Stage {
        server
            .sql(&format!("CREATE USER {USER}@'%' IDENTIFIED BY '{PASSWORD}' REQUIRE SSL"))
            .await
            .unwrap();
        let prober = Prober::new("mariadb", server.addr().port(), server.authority()).await;
        Stage { server, run, prober }
    }

    fn address(&self) -> IpAddr {
        self.server.addr().ip()
    }

    async fn follows_read_only(self) {
        let sessions = self.prober.probe.sessions(&self.prober.binding);
        for (setting, expected) in
            [("OFF", Role::Writer), ("ON", Role::Reader), ("OFF", Role::Writer)]
        {
            self.server.sql(&format!("SET GLOBAL read_only = {setting}")).await.unwrap();
            assert_eq!(
                sessions.probe(self.address(), NAME).await,
                Ok(expected),
                "read_only = {setting}"
            );
        }
        let count = "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE USER = 'probe'";
        assert_eq!(self.server.sql(count).await.unwrap(), "1", "one session for three questions");
        let ids = self
            .server
            .sql("SELECT ID FROM information_schema.PROCESSLIST WHERE USER = 'probe'")
            .await
            .unwrap();
        self.server.sql(&format!("KILL {ids}")).await.unwrap();
        assert_eq!(
            sessions.probe(self.address(), NAME).await,
            Ok(Role::Writer),
            "a broken session is made anew"
        );
        sessions.close().await;
        assert_eq!(self.server.sql(count).await.unwrap(), "0");
    }
}

#[tokio::test]
async fn mariadb_is_read_only_when_it_says_so() {
    Stage::start(Options::default()).await.follows_read_only().await;
}

#[tokio::test]
async fn a_writer_whose_transactions_are_read_only_by_a_default_of_the_server_is_unknown() {
    let stage = Stage::start(Options::default()).await;
    for (read_only, by_default, expected) in [
        ("OFF", "ON", Role::Unknown),
        ("ON", "ON", Role::Reader),
        ("ON", "OFF", Role::Reader),
        ("OFF", "OFF", Role::Writer),
    ] {
        let settings =
            format!("SET GLOBAL read_only = {read_only}; SET GLOBAL tx_read_only = {by_default}");
        stage.server.sql(&settings).await.unwrap();
        assert_eq!(stage.prober.probe(stage.address(), NAME).await, Ok(expected), "{settings}");
    }
}

#[tokio::test]
async fn the_source_takes_writes_and_the_replica_is_read_only_until_it_is_promoted() {
    let run = Run::new().unwrap();
    let replica = Server::mariadb(&run, "replica", &Options::default()).await.unwrap();
    let source = Server::mariadb(&run, "source", &Options::default()).await.unwrap();
    // The replica gets the account, like everything else, from the source.
    let source = Stage::with(run, source).await;
    replicate(&source.server, &replica).await;
    let asks_replica = Prober::new("mariadb", replica.addr().port(), replica.authority()).await;
    let of_source = source.prober.probe.sessions(&source.prober.binding);
    let of_replica = asks_replica.probe.sessions(&asks_replica.binding);
    // Both listen there, each on the port of its binding.
    let address = source.address();
    assert_eq!(of_source.probe(address, NAME).await, Ok(Role::Writer));
    assert_eq!(of_replica.probe(address, NAME).await, Ok(Role::Reader));
    drop(source.server);
    assert_failed(
        of_source.probe(address, NAME).await,
        "ConnectionFailed",
        &["could not be made, or broke"],
    );
    assert_eq!(of_replica.probe(address, NAME).await, Ok(Role::Reader), "its source is dead");
    replica.sql("STOP REPLICA; RESET REPLICA ALL; SET GLOBAL read_only = OFF").await.unwrap();
    assert_eq!(of_replica.probe(address, NAME).await, Ok(Role::Writer), "the same session says so");
}

/// Makes one server the read-only replica of the other, and waits until it has all that the source
/// has.
async fn replicate(source: &Server, replica: &Server) {
    let (host, port) = (source.addr().ip(), source.addr().port());
    let account = format!(
        "CREATE USER copier@'%' IDENTIFIED BY '{PASSWORD}'; \
         GRANT REPLICATION SLAVE ON *.* TO copier"
    );
    source.sql(&account).await.unwrap();
    let follow = format!(
        "SET GLOBAL server_id = 2; SET GLOBAL read_only = ON; \
         CHANGE MASTER TO MASTER_HOST = '{host}', MASTER_PORT = {port}, MASTER_USER = 'copier', \
         MASTER_PASSWORD = '{PASSWORD}', MASTER_USE_GTID = slave_pos; START REPLICA"
    );
    replica.sql(&follow).await.unwrap();
    let written = source.sql("SELECT @@gtid_binlog_pos").await.unwrap();
    let caught_up =
        replica.sql(&format!("SELECT MASTER_GTID_WAIT('{written}', 30)")).await.unwrap();
    assert_eq!(caught_up, "0", "{}", replica.sql("SHOW REPLICA STATUS").await.unwrap());
}

#[tokio::test]
async fn mysql_is_read_only_when_it_says_so() {
    let run = Run::new().unwrap();
    let Some(server) = Server::mysql(&run, &Options::default()).await.unwrap() else { return };
    Stage::with(run, server).await.follows_read_only().await;
}

/// RDS asks for an IAM token as MariaDB's PAM plugin asks for a password: in clear text, inside
/// TLS.
#[tokio::test]
async fn an_iam_token_logs_in_through_the_clear_text_plugin() {
    let stage = Stage::start(Options { clear_text_login: true, ..Options::default() }).await;
    stage
        .server
        .sql(&format!("CREATE USER iam@'%' IDENTIFIED VIA pam USING '{PAM_SERVICE}'"))
        .await
        .unwrap();
    let login = LoginMethod::Iam("iam".to_owned());
    let prober =
        Prober::with(login, "mysql", stage.server.addr().port(), stage.server.authority()).await;
    assert_eq!(prober.probe(stage.address(), NAME).await, Ok(Role::Writer));
    assert!(prober.secrets.account().calls.is_empty());
}

#[tokio::test]
async fn what_keeps_the_function_out_is_named_with_its_remedy() {
    let stage = Stage::start(Options::default()).await;
    let (prober, address) = (&stage.prober, stage.address());

    assert_failed(
        prober.probe(address, "other.example").await,
        "TlsRefused",
        &["for another name"],
    );
    let foreign_server =
        Files::issue(&[NAME], &stage.run.scratch("foreign_server").unwrap()).unwrap();
    let distrustful =
        Prober::new("mariadb", stage.server.addr().port(), &foreign_server.authority).await;
    assert_failed(
        distrustful.probe(address, NAME).await,
        "TlsRefused",
        &["signed by nobody whom the function trusts"],
    );

    prober.secrets.set_secret(USER, "a-wrong-password");
    assert_failed(
        prober.probe(address, NAME).await,
        "LoginRefused",
        &["1045", "correct the user name or password"],
    );
    prober.secrets.set_secret(USER, PASSWORD);

    stage.server.sql("ALTER USER probe@'%' WITH MAX_CONNECTIONS_PER_HOUR 1").await.unwrap();
    prober.probe(address, NAME).await.ok();
    assert_failed(
        prober.probe(address, NAME).await,
        "ServerFull",
        &["1226", "raise max_connections"],
    );
}

#[tokio::test]
async fn a_server_without_tls_or_with_a_poor_certificate_gets_no_password() {
    for (tls, words) in [
        (Tls::Off, "offers no TLS"),
        (Tls::OtherName, "for another name"),
        (Tls::Expired, "has expired"),
    ] {
        let stage = Stage::start(Options { tls, ..Options::default() }).await;
        assert_failed(stage.prober.probe(stage.address(), NAME).await, "TlsRefused", &[words]);
    }
}
