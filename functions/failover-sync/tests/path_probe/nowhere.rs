//! Addresses of a load balancer behind which nobody answers.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use lab::dns::Answer;
use lab::nlb::{ADDRESSES, Fault, Nlb, TTL};
use lab::process::free_port;
use lab::workspace::Run;
use reconcile::path::PathState::{Unknown, Unreachable, Writer};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::timeout;

use crate::{Function, LINK, mariadb, postgres};

/// Nobody listens here.
const NOBODY: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 24));

/// Whoever connects here gets no answer at all.
const DROPS: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 25));

/// A port whose queue is full: the kernel drops what asks for a connection.
struct Full {
    _listener: TcpListener,
    _waiting: Vec<TcpStream>,
}

impl Full {
    async fn at(addr: SocketAddr) -> Full {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(addr).unwrap();
        let listener = socket.listen(1).unwrap();
        let mut waiting = Vec::new();
        while let Ok(stream) = timeout(Duration::from_millis(200), TcpStream::connect(addr)).await {
            waiting.push(stream.unwrap());
        }
        Full { _listener: listener, _waiting: waiting }
    }
}

/// The zones lead to the writer, but two further addresses nowhere.
async fn leads_nowhere(
    engine: &'static str,
    writer: (SocketAddr, &'static str),
    authority: &Path,
    failure: &str,
) {
    let all = [&ADDRESSES[..], &[NOBODY, DROPS]].concat();
    let port = free_port(&all).unwrap();
    let _nlb = Nlb::fixed_in_zones(writer.0, port).await.unwrap();
    let _full = Full::at(SocketAddr::new(DROPS, port)).await;
    let function = Function::new(engine, writer, authority, port).await;
    function.dns.set(LINK, Answer::Addresses { addresses: all, ttl: TTL });
    let asked = function.ask().await;
    asked.says([Writer, Writer, Writer, Unreachable, Unreachable], Some(false));
    asked.notes(&["127.0.0.24: ", "127.0.0.25: ", failure]);
    assert!(asked.took.as_secs_f64() >= 2.9, "{:?}", asked.took);
}

#[tokio::test]
async fn an_address_without_an_answer_is_unreachable_after_three_seconds() {
    let stage = postgres::Stage::start().await;
    let writer = (stage.pair.address(0), postgres::NAME);
    leads_nowhere("postgres", writer, &stage.files.authority, "(ConnectionFailed)").await;
}

#[tokio::test]
async fn with_mariadb_a_run_waits_until_the_session_with_an_address_without_an_answer_is_over() {
    let run = Run::new().unwrap();
    let server = mariadb::server(&run, "mariadb", &lab::mariadb::Options::default()).await;
    let writer = (server.addr(), lab::mariadb::NAME);
    leads_nowhere("mariadb", writer, server.authority(), "(Timeout)").await;
}

#[tokio::test]
async fn silence_of_all_zones_while_the_database_answers_names_both_causes() {
    let stage = mariadb::Stage::start().await;
    for zone in 0..ADDRESSES.len() {
        stage.nlb.set_fault(zone, Some(Fault::Silent));
    }
    let asked = stage.function.ask().await;
    asked.says([Unreachable; 3], Some(false));
    asked.notes(&["no address of the load balancer answers", "only this function is kept out"]);
}

#[tokio::test]
async fn a_database_that_is_down_leaves_the_path_unknown() {
    let mariadb::Stage { server, function, nlb: _nlb, run: _run } = mariadb::Stage::start().await;
    drop(server);
    let asked = function.ask().await;
    asked.says([Unknown; 3], None);
    asked.notes(&["not judged", "asked directly"]);
}
