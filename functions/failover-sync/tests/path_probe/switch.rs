//! A switch of MariaDB while a client writes through a load balancer that follows late.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use failover_sync::elbv2::Elbv2;
use lab::aws::{Aws, target_group};
use lab::dns::{Answer, RDS_TTL};
use lab::history::{self, History};
use lab::mariadb::{ENDPOINT, Options, Server};
use lab::mysql_writer::{MysqlWriter, create_table};
use lab::nlb::{ADDRESSES, Lag, Nlb};
use lab::process::free_port;
use lab::workspace::Run;
use reconcile::path::PathState;
use reconcile::report::State;
use tokio::time::Instant;

use crate::{Function, mariadb, run};

const SERVERS: [IpAddr; 2] =
    [IpAddr::V4(Ipv4Addr::new(127, 0, 0, 11)), IpAddr::V4(Ipv4Addr::new(127, 0, 0, 12))];

/// The function asks through the load balancer every two seconds.
const PRECISION: Duration = Duration::from_secs(2);

/// The load balancer is up to ten seconds late, and three rounds take four more.
const PATH_DEADLINE: Duration = Duration::from_secs(90);

const EVENT_DEADLINE: Duration = Duration::from_secs(15);

/// A server with the client's table, which takes writes or not.
async fn server(run: &Run, addr: SocketAddr, read_only: &str) -> Server {
    let options = Options { addr: Some(addr), ..Options::default() };
    let server = mariadb::server(run, &format!("mariadb-{}", addr.ip()), &options).await;
    create_table(&server).await.unwrap();
    server.sql(&format!("SET GLOBAL read_only = {read_only}")).await.unwrap();
    server
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clients_first_write_agrees_with_the_functions_figure() {
    let files = Run::new().unwrap();
    let aws = Aws::start(&files).await.unwrap();
    let port = free_port(&SERVERS).unwrap();
    let [old_addr, new_addr] = SERVERS.map(|address| SocketAddr::new(address, port));
    let old = server(&files, old_addr, "OFF").await;
    let new = server(&files, new_addr, "ON").await;
    let group = target_group(&aws.elbv2(), "link", port).await.unwrap();
    let (delay, listener) = (Duration::from_secs(2), free_port(&ADDRESSES).unwrap());
    let nlb = Nlb::in_zones(aws.elbv2(), &group, delay, listener, Lag::SHORTENED).await.unwrap();
    let writer = (old_addr, ENDPOINT);
    let mut function = Function::new("mariadb", writer, old.authority(), listener).await;
    function.authority.extend(std::fs::read(new.authority()).unwrap());
    let process = function.start(&group, Elbv2(aws.elbv2())).await;
    let first = run(&process, PATH_DEADLINE).await;
    assert_eq!(first.state, State::Updated, "{first:?}");
    assert!(first.register_to_path.is_some(), "{first:?}");

    let history = History::record(aws.elbv2(), &group, history::GENTLE);
    let client = MysqlWriter::start(*nlb.addrs().last().unwrap(), 1).unwrap();
    old.sql("SET GLOBAL read_only = ON").await.unwrap();
    let moved = Instant::now();
    new.sql("SET GLOBAL read_only = OFF").await.unwrap();
    function.dns.set(ENDPOINT, Answer::Addresses { addresses: vec![new_addr.ip()], ttl: RDS_TTL });
    let report = run(&process, PATH_DEADLINE).await;
    assert_eq!(report.state, State::Updated, "{report:?}");
    let path = report.path.as_ref().unwrap();
    assert!(path.values().all(|state| *state == PathState::Writer), "{report:?}");
    let time = report.register_to_path.expect("the path followed");

    history.switched(new_addr, moved, EVENT_DEADLINE).await.unwrap();
    let changes = history.changes();
    let (registered, _) = changes.iter().find(|(_, held)| held.contains(&new_addr)).unwrap();
    let attempts = client.attempts();
    let first = attempts.iter().find(|attempt| attempt.at >= moved && attempt.error.is_none());
    let first = first.expect("a write after the switch");
    let written = (first.at + first.took).saturating_duration_since(*registered);
    let apart = written.max(time) - written.min(time);
    assert!(apart <= PRECISION, "the function says {time:?}, the client {written:?}");
}
