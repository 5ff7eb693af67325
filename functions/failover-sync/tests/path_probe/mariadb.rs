//! MariaDB behind the load balancer. It keeps a count of broken handshakes for each zone's address.

use std::time::Duration;

use lab::host_cache::{block, connect};
use lab::mariadb::{NAME, Options, Server, Tls};
use lab::nlb::{ADDRESSES, Fault, Nlb};
use lab::poll::{Look, until};
use lab::workspace::Run;
use reconcile::path::PathState::{Other, Reader, Refused, Unreachable, Writer};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use crate::{Function, PASSWORD, USER, balancer, not_yet};

/// What a server counts follows within milliseconds of what it counts, on a machine that is idle.
pub(crate) const COUNT_DEADLINE: Duration = Duration::from_secs(60);

/// The fewest that a server admits.
const CONNECTIONS: usize = 10;

/// A server, the function, and the load balancer between them.
pub(crate) struct Stage {
    pub(crate) server: Server,
    pub(crate) nlb: Nlb,
    pub(crate) function: Function,
    pub(crate) run: Run,
}

impl Stage {
    pub(crate) async fn start() -> Stage {
        Stage::with(&Options::default()).await
    }

    pub(crate) async fn with(options: &Options) -> Stage {
        let run = Run::new().unwrap();
        let server = server(&run, "mariadb", options).await;
        let nlb = balancer(server.addr()).await;
        let (writer, port) = ((server.addr(), NAME), nlb.addr().port());
        let function = Function::new("mariadb", writer, server.authority(), port).await;
        Stage { server, nlb, function, run }
    }

    /// Lets a zone lead to another server, which the function trusts too.
    pub(crate) async fn another(&mut self, zone: usize, options: &Options) -> Server {
        let another = server(&self.run, &format!("another-{zone}"), options).await;
        self.nlb.set_fault(zone, Some(Fault::Stuck(another.addr())));
        self.function.authority.extend(std::fs::read(another.authority()).unwrap());
        another
    }
}

/// A server that lets the account in.
pub(crate) async fn server(run: &Run, name: &str, options: &Options) -> Server {
    let server = Server::mariadb(run, name, options).await.unwrap();
    let require = if options.tls == Tls::Off { "NONE" } else { "SSL" };
    let account = format!("CREATE USER {USER}@'%' IDENTIFIED BY '{PASSWORD}' REQUIRE {require}");
    server.sql(&account).await.unwrap();
    server
}

/// How many connections were not made or not ended properly.
async fn aborted(server: &Server) -> String {
    server.sql("SHOW GLOBAL STATUS LIKE 'Aborted_c%'").await.unwrap()
}

#[tokio::test]
async fn each_round_opens_one_session_through_each_zone_and_ends_it_properly() {
    let stage = Stage::start().await;
    let server = &stage.server;
    server.sql("SET GLOBAL log_output = 'TABLE'; SET GLOBAL general_log = ON").await.unwrap();
    let before = aborted(server).await;
    let events = "SELECT REGEXP_SUBSTR(user_host, '127[0-9.]+'), command_type, COUNT(*) \
                  FROM mysql.general_log WHERE user_host LIKE '%[127.0.0.2_]' \
                  AND command_type IN ('Connect', 'Quit') GROUP BY 1, 2 ORDER BY 1, 2";
    for round in 1..=2 {
        stage.function.ask().await.says([Writer; 3], Some(true));
        let expected: Vec<_> = { ADDRESSES.iter() }
            .flat_map(|zone| ["Connect", "Quit"].map(|event| format!("{zone}\t{event}\t{round}")))
            .collect();
        until("the end of the sessions", COUNT_DEADLINE, async || {
            let seen = server.sql(events).await?;
            Ok(if seen.lines().eq(&expected) { Look::Ready(()) } else { not_yet(seen) })
        })
        .await
        .unwrap();
    }
    assert_eq!(aborted(server).await, before);
}

#[tokio::test]
async fn a_replica_and_another_writer_in_a_zone_are_told_from_the_registered_one() {
    let mut stage = Stage::start().await;
    let replica = stage.another(1, &Options::default()).await;
    replica.sql("SET GLOBAL read_only = ON").await.unwrap();
    let _writer = stage.another(2, &Options::default()).await;
    let asked = stage.function.ask().await;
    asked.says([Writer, Reader, Other], Some(false));
    asked.notes(&["127.0.0.22: leads to ", "127.0.0.23: leads to "]);
    for zone in [1, 2] {
        stage.nlb.set_fault(zone, None);
    }
    stage.function.ask().await.says([Writer; 3], Some(true));
}

/// A full server, a login that is refused, and a server that cannot prove who it is say nothing of
/// the path: another login may get through.
#[tokio::test]
async fn what_only_this_login_meets_is_refused_and_not_judged() {
    let mut stage = Stage::start().await;
    let foreign = format!("CREATE USER {USER}@'{}' IDENTIFIED BY 'another'", ADDRESSES[1]);
    stage.server.sql(&foreign).await.unwrap();
    let full = stage.another(2, &Options::default()).await;
    let _held = fill(&full).await;
    let asked = stage.function.ask().await;
    asked.says([Writer, Refused, Refused], None);
    asked.notes(&["127.0.0.22: ", "1045", "127.0.0.23: ", "1040"]);

    let flawed = Options { tls: Tls::OtherName, ..Options::default() };
    let _other_name = stage.another(0, &flawed).await;
    let without_tls = Options { tls: Tls::Off, ..Options::default() };
    let _without_tls = stage.another(1, &without_tls).await;
    stage.nlb.set_fault(2, None);
    let asked = stage.function.ask().await;
    asked.says([Refused, Refused, Writer], None);
    asked.notes(&["127.0.0.21: ", "for another name", "127.0.0.22: ", "offers no TLS"]);
}

/// Lets clients who do not log in take all connections of a server.
async fn fill(server: &Server) -> Vec<TcpStream> {
    let settings =
        format!("SET GLOBAL max_connections = {CONNECTIONS}; SET GLOBAL connect_timeout = 300");
    server.sql(&settings).await.unwrap();
    let mut held = Vec::new();
    // One more is kept for an administrator.
    for _ in 0..=CONNECTIONS {
        let mut client = connect(ADDRESSES[0], server.addr()).await.unwrap();
        client.read_u8().await.expect("a greeting");
        held.push(client);
    }
    held
}

/// True: consumers of that zone are locked out, whatever they log in with.
#[tokio::test]
async fn a_zone_whose_address_the_server_blocks_is_refused_and_bad() {
    let stage = Stage::start().await;
    block(ADDRESSES[1], stage.server.addr()).await.unwrap();
    let asked = stage.function.ask().await;
    asked.says([Writer, Refused, Writer], Some(false));
    asked.notes(&["127.0.0.22: ", "1129", "flush-hosts"]);
    stage.server.sql("FLUSH HOSTS").await.unwrap();
    stage.function.ask().await.says([Writer; 3], Some(true));
}

#[tokio::test]
async fn a_server_that_hangs_after_the_login_is_unreachable_and_its_session_ends_properly() {
    let mut stage = Stage::start().await;
    let slow = stage.another(0, &Options::default()).await;
    slow.sql("SET GLOBAL init_connect = 'DO SLEEP(20)'").await.unwrap();
    let before = aborted(&slow).await;
    let asked = stage.function.ask().await;
    asked.says([Unreachable, Writer, Writer], Some(false));
    let took = asked.took.as_secs_f64();
    assert!((4.9..20.0).contains(&took), "{took}");
    let sessions = "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE USER = 'probe'";
    until("the end of the session", COUNT_DEADLINE, async || {
        let count = slow.sql(sessions).await?;
        Ok(if count == "0" { Look::Ready(()) } else { not_yet(format!("{count} sessions")) })
    })
    .await
    .unwrap();
    assert_eq!(aborted(&slow).await, before);
}
