//! PostgreSQL behind the load balancer.

use std::net::SocketAddr;
use std::time::Duration;

use lab::nlb::{Fault, Nlb};
use lab::poll::{Look, until};
use lab::postgres::{Pair, connect};
use lab::tls::Files;
use lab::workspace::Run;
use reconcile::path::PathState::{Other, Reader, Refused, Unknown, Unreachable, Writer};

use crate::{Function, PASSWORD, USER, balancer, nobody, not_yet};

pub(crate) const NAME: &str = "orders.example";

/// Lines of the log follow within milliseconds of what they tell, on a machine that is idle.
const LOG_DEADLINE: Duration = Duration::from_secs(60);

/// A primary, the function, and the load balancer between them.
pub(crate) struct Stage {
    pub(crate) pair: Pair,
    pub(crate) files: Files,
    run: Run,
    nlb: Nlb,
    function: Function,
}

impl Stage {
    pub(crate) async fn start() -> Stage {
        let run = Run::new().unwrap();
        let files = Files::issue(&[NAME], &run.scratch("tls").unwrap()).unwrap();
        let pair = Pair::start_alone_with_tls(&run, &files).await.unwrap();
        let writer = pair.address(0);
        sql(writer, &[&format!("CREATE ROLE {USER} LOGIN PASSWORD '{PASSWORD}'")]).await;
        admit(writer, "").await;
        let nlb = balancer(writer).await;
        let function =
            Function::new("postgres", (writer, NAME), &files.authority, nlb.addr().port()).await;
        Stage { pair, files, run, nlb, function }
    }

    /// Another primary, which has the same certificate and knows the same account.
    async fn another(&self) -> Another {
        let run = Run::new().unwrap();
        let pair = Pair::start_alone_with_tls(&run, &self.files).await.unwrap();
        let account = format!("CREATE ROLE {USER} LOGIN PASSWORD '{PASSWORD}'");
        sql(pair.address(0), &[&account]).await;
        Another { pair, run }
    }
}

/// Another primary; it stops before its files go.
struct Another {
    pair: Pair,
    run: Run,
}

/// The lines of a primary's log that have these words.
fn log(run: &Run, words: &str) -> Vec<String> {
    let log = std::fs::read(run.logs().join("postgres-1.log")).unwrap();
    let log = String::from_utf8_lossy(&log).into_owned();
    log.lines().filter(|line| line.contains(words)).map(str::to_owned).collect()
}

/// Waits for so many lines with these words.
async fn logged(run: &Run, words: &str, count: usize) -> Vec<String> {
    until(&format!("{count} lines with {words:?}"), LOG_DEADLINE, async || {
        let lines = log(run, words);
        Ok(if lines.len() >= count { Look::Ready(lines) } else { not_yet(format!("{lines:?}")) })
    })
    .await
    .unwrap()
}

async fn sql(server: SocketAddr, statements: &[&str]) {
    let client = connect(server).await.unwrap();
    for statement in statements {
        client.simple_query(statement).await.unwrap();
    }
}

/// Lets the account in with its password and over TLS only, but for what this line says.
async fn admit(server: SocketAddr, line: &str) {
    let access = format!(
        "{line}\nhostssl all {USER} 127.0.0.0/8 scram-sha-256\nhost all postgres 127.0.0.0/8 \
         trust\nhost replication all 127.0.0.0/8 trust"
    );
    let client = connect(server).await.unwrap();
    let file: String = client.query_one("SHOW hba_file", &[]).await.unwrap().get(0);
    let lines = access.trim().replace('\n', "'), ('");
    let copy = format!("COPY (SELECT * FROM (VALUES ('{lines}')) AS lines) TO '{file}'");
    client.simple_query(&copy).await.unwrap();
    reload(server).await;
}

/// Lets the server read its files, and waits until a new session is under what they say.
async fn reload(server: SocketAddr) {
    let client = connect(server).await.unwrap();
    let loaded = "SELECT pg_conf_load_time()::text";
    let before: String = client.query_one(loaded, &[]).await.unwrap().get(0);
    client.simple_query("SELECT pg_reload_conf()").await.unwrap();
    until("the new configuration", LOG_DEADLINE, async || {
        let now: String = connect(server).await?.query_one(loaded, &[]).await?.get(0);
        Ok(if now == before { not_yet(format!("it is of {now}")) } else { Look::Ready(()) })
    })
    .await
    .unwrap();
}

async fn set(server: SocketAddr, setting: &str) {
    sql(server, &[&format!("ALTER SYSTEM SET {setting}")]).await;
    reload(server).await;
}

#[tokio::test]
async fn each_round_opens_one_session_through_each_zone_and_ends_it_properly() {
    let stage = Stage::start().await;
    let writer = stage.pair.address(0);
    let settings =
        ["log_connections = on", "log_disconnections = on", "log_line_prefix = 'from %h: '"];
    for setting in settings {
        set(writer, setting).await;
    }
    for round in 1..=2 {
        stage.function.ask().await.says([Writer; 3], Some(true));
        for zone in stage.nlb.addrs() {
            let from = format!("from {}: ", zone.ip());
            let ended = format!("{from}LOG:  disconnection: ");
            let ended = logged(&stage.run, &ended, round).await;
            assert_eq!(ended.len(), round, "{ended:?}");
            let opened = format!("{from}LOG:  connection authorized: user={USER}");
            let opened = log(&stage.run, &opened);
            assert_eq!(opened.len(), round, "{opened:?}");
            assert!(opened.iter().all(|line| line.contains("SSL enabled")), "{opened:?}");
        }
    }
    for line in log(&stage.run, "from 127.0.0.2") {
        let is_proper =
            ["unexpected EOF", "could not", "FATAL"].iter().all(|it| !line.contains(it));
        assert!(is_proper, "{line}");
    }
}

#[tokio::test]
async fn a_standby_and_another_writer_in_a_zone_are_told_from_the_registered_one() {
    let mut stage = Stage::start().await;
    stage.pair.rebuild_standby(&stage.run).await.unwrap();
    let another = stage.another().await;
    stage.nlb.set_fault(1, Some(Fault::Stuck(stage.pair.address(1))));
    stage.nlb.set_fault(2, Some(Fault::Stuck(another.pair.address(0))));
    let asked = stage.function.ask().await;
    asked.says([Writer, Reader, Other], Some(false));
    asked.notes(&["127.0.0.22: leads to 127.0.0.12", "127.0.0.23: leads to 127.0.0.11"]);
    for zone in [1, 2] {
        stage.nlb.set_fault(zone, None);
    }
    stage.function.ask().await.says([Writer; 3], Some(true));
}

/// A full server, a login that is refused, and a server that cannot prove who it is say nothing of
/// the path: another login may get through.
#[tokio::test]
async fn what_only_this_login_meets_is_refused_and_not_judged() {
    let stage = Stage::start().await;
    let writer = stage.pair.address(0);
    admit(writer, &format!("host all {USER} 127.0.0.22/32 reject")).await;
    let full = stage.another().await;
    sql(full.pair.address(0), &[&format!("ALTER ROLE {USER} CONNECTION LIMIT 0")]).await;
    stage.nlb.set_fault(2, Some(Fault::Stuck(full.pair.address(0))));
    let asked = stage.function.ask().await;
    asked.says([Writer, Refused, Refused], None);
    asked.notes(&["28000", "53300"]);

    admit(writer, "").await;
    let run = Run::new().unwrap();
    let files = Files::issue(&[NAME], &run.scratch("tls").unwrap()).unwrap();
    let distrusted = Pair::start_alone_with_tls(&run, &files).await.unwrap();
    stage.nlb.set_fault(2, Some(Fault::Stuck(distrusted.address(0))));
    let asked = stage.function.ask().await;
    asked.says([Writer, Writer, Refused], None);
    asked.notes(&["signed by nobody whom the function trusts"]);

    stage.nlb.set_fault(2, Some(Fault::Silent));
    stage.function.ask().await.says([Writer, Writer, Unreachable], Some(false));
}

/// The database itself refuses, so that nothing follows for the path.
#[tokio::test]
async fn a_login_that_is_refused_directly_too_leaves_the_path_unknown() {
    let stage = Stage::start().await;
    stage.function.secrets.set_secret(USER, "a-wrong-password");
    let asked = stage.function.ask().await;
    asked.says([Unknown; 3], None);
    asked.notes(&["not judged", "28P01"]);
    sql(stage.pair.address(0), &[&format!("ALTER ROLE {USER} CONNECTION LIMIT 0")]).await;
    stage.function.secrets.set_secret(USER, PASSWORD);
    let asked = stage.function.ask().await;
    asked.says([Unknown; 3], None);
    asked.notes(&["not judged", "53300"]);
}

#[tokio::test]
async fn a_server_that_hangs_after_the_login_is_unreachable_and_its_session_ends_properly() {
    let stage = Stage::start().await;
    let slow = stage.another().await;
    for setting in ["log_disconnections = on", "post_auth_delay = 20"] {
        sql(slow.pair.address(0), &[&format!("ALTER SYSTEM SET {setting}")]).await;
    }
    sql(slow.pair.address(0), &["SELECT pg_reload_conf()"]).await;
    stage.nlb.set_fault(0, Some(Fault::Stuck(slow.pair.address(0))));
    stage.nlb.set_fault(1, Some(Fault::Stuck(nobody(slow.pair.address(0).ip()))));
    let asked = stage.function.ask().await;
    asked.says([Unreachable, Unreachable, Writer], Some(false));
    let took = asked.took.as_secs_f64();
    assert!((4.9..20.0).contains(&took), "{took}");
    let ended = logged(&slow.run, "disconnection: session time: 0:00:2", 1).await;
    assert!(ended.iter().any(|line| line.contains(&format!("user={USER}"))), "{ended:?}");
    assert_eq!(log(&slow.run, "unexpected EOF"), Vec::<String>::new());
}
