//! Questions that are given up: real servers behind a relay that can hold back what they say.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use failover_sync::ports::RoleProbe as _;
use lab::mariadb::{self, Options, Server};
use lab::workspace::Run;
use reconcile::claim::Role;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::{PASSWORD, Prober, USER, postgres};

const ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// How long a question waits here before it is given up.
const GIVEN_UP: Duration = Duration::from_millis(200);

/// Forwards connections to a server.
struct Relay {
    port: u16,
    is_held: watch::Sender<bool>,
    made: Arc<AtomicUsize>,
    ended: Arc<AtomicUsize>,
}

impl Relay {
    async fn start(server: SocketAddr) -> Relay {
        let listener = TcpListener::bind((ADDRESS, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (is_held, held) = watch::channel(false);
        let (made, ended) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
        let relay = Relay { port, is_held, made: Arc::clone(&made), ended: Arc::clone(&ended) };
        tokio::spawn(async move {
            loop {
                let (client, _) = listener.accept().await.unwrap();
                made.fetch_add(1, Ordering::SeqCst);
                let server = TcpStream::connect(server).await.unwrap();
                let ended = Arc::clone(&ended);
                let held = held.clone();
                tokio::spawn(async move {
                    forward(client, server, held).await;
                    ended.fetch_add(1, Ordering::SeqCst);
                });
            }
        });
        relay
    }

    fn hold(&self, is_held: bool) {
        self.is_held.send_replace(is_held);
    }

    /// Waits until the function's side of so many connections is closed.
    async fn until_ended(&self, count: usize) {
        let ended = async {
            while self.ended.load(Ordering::SeqCst) < count {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(Duration::from_secs(10), ended).await.expect("the connection is closed");
    }
}

/// Until the client closes; what the server says is held while it is to be.
async fn forward(client: TcpStream, server: TcpStream, mut held: watch::Receiver<bool>) {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let answers = tokio::spawn(async move {
        let mut said = vec![0; 1 << 16];
        while let Ok(length @ 1..) = from_server.read(&mut said).await {
            held.wait_for(|is_held| !is_held).await.unwrap();
            if to_client.write_all(&said[..length]).await.is_err() {
                return;
            }
        }
    });
    drop(tokio::io::copy(&mut from_client, &mut to_server).await);
    answers.abort();
}

/// A question that is given up must leave no session, and one whose session is only being opened no
/// second one.
async fn is_held(server: SocketAddr, engine: &str, name: &str, authority: &std::path::Path) {
    let relay = Relay::start(server).await;
    let prober = Prober::new(engine, relay.port, authority).await;
    let sessions = prober.probe.sessions(&prober.binding);
    relay.hold(true);
    for question in 0..3 {
        let said = timeout(GIVEN_UP, sessions.probe(ADDRESS, name)).await;
        assert!(said.is_err(), "{engine}, question {question}: {said:?}");
    }
    relay.hold(false);
    assert_eq!(sessions.probe(ADDRESS, name).await, Ok(Role::Writer), "{engine}");
    assert_eq!(relay.made.load(Ordering::SeqCst), 1, "{engine}: it is gone on with");

    relay.hold(true);
    let said = timeout(GIVEN_UP, sessions.probe(ADDRESS, name)).await;
    assert!(said.is_err(), "{engine}: {said:?}");
    relay.until_ended(1).await;
    relay.hold(false);
    assert_eq!(
        sessions.probe(ADDRESS, name).await,
        Ok(Role::Writer),
        "{engine}: it is dialled anew"
    );
    sessions.close().await;
    relay.until_ended(2).await;
}

#[tokio::test]
async fn a_question_to_postgresql_that_is_given_up_leaves_no_session() {
    let stage = postgres::Stage::start().await;
    is_held(stage.pair.address(0), "postgres", postgres::NAME, &stage.files.authority).await;
}

#[tokio::test]
async fn a_question_to_mariadb_that_is_given_up_leaves_no_session() {
    let run = Run::new().unwrap();
    let server = Server::mariadb(&run, "mariadb", &Options::default()).await.unwrap();
    server
        .sql(&format!("CREATE USER {USER}@'%' IDENTIFIED BY '{PASSWORD}' REQUIRE SSL"))
        .await
        .unwrap();
    is_held(server.addr(), "mariadb", mariadb::NAME, server.authority()).await;
}

#[tokio::test]
async fn a_refused_login_lets_the_secret_be_fetched_again_once() {
    let run = Run::new().unwrap();
    let server = Server::mariadb(&run, "mariadb", &Options::default()).await.unwrap();
    server
        .sql(&format!("CREATE USER {USER}@'%' IDENTIFIED BY '{PASSWORD}' REQUIRE SSL"))
        .await
        .unwrap();
    let prober = Prober::new("mariadb", server.addr().port(), server.authority()).await;
    let ask = |sessions| probe_twice(sessions, server.addr().ip());
    prober.secrets.set_secret(USER, "the-password-before-the-rotation");
    let sessions = prober.probe.sessions(&prober.binding);
    sessions.prepare().await.unwrap();
    prober.secrets.set_secret(USER, PASSWORD);
    assert_eq!(ask(&*sessions).await, [false, true]);

    prober.secrets.set_secret(USER, "a-wrong-password");
    let before = prober.secrets.account().calls.len();
    let sessions = prober.probe.sessions(&prober.binding);
    assert_eq!(ask(&*sessions).await, [false, false]);
    assert_eq!(ask(&*sessions).await, [false, false]);
    assert_eq!(
        prober.secrets.account().calls.len() - before,
        2,
        "it is not fetched for every refusal"
    );
}

async fn probe_twice(
    sessions: &dyn failover_sync::ports::ProbeSessions,
    address: IpAddr,
) -> [bool; 2] {
    let mut said = [false; 2];
    for said in &mut said {
        *said = sessions.probe(address, mariadb::NAME).await.is_ok();
    }
    said
}
