//! The connections of a zone.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::{FOLLOW_INTERVAL, Fault, Targets};
use crate::host_cache;

/// A target that does not accept a connection for this long is not there.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// Where a zone's clients connect, and what becomes of them.
pub(super) struct Listener {
    pub(super) socket: TcpListener,
    pub(super) targets: watch::Receiver<Targets>,
    pub(super) faults: watch::Receiver<Option<Fault>>,
    pub(super) deregistration_delay: Duration,
    /// Whom a target sees.
    pub(super) source: IpAddr,
}

impl Listener {
    pub(super) async fn accept(self) {
        let Self { socket, targets, faults, deregistration_delay, source } = self;
        let turn = AtomicUsize::new(0);
        let mut connections = JoinSet::new();
        loop {
            // A client that has gone again, or too few file descriptors: both may pass.
            let Ok((client, _)) = socket.accept().await else {
                sleep(FOLLOW_INTERVAL).await;
                continue;
            };
            let fault = *faults.borrow();
            match fault {
                Some(Fault::Silent) => drop(connections.spawn(hold(client, faults.clone()))),
                Some(Fault::Stuck(target)) => {
                    connections.spawn(forward(client, target, source));
                }
                None => {
                    let turn = turn.fetch_add(1, Ordering::Relaxed);
                    // As with a real one, without a target the connection is closed.
                    if let Some(target) = in_turn(&targets.borrow(), turn) {
                        let cut = deregistered(target, targets.clone(), deregistration_delay);
                        connections.spawn(async move {
                            tokio::select! {
                                () = forward(client, target, source) => {}
                                () = cut => {}
                            }
                        });
                    }
                }
            }
            while connections.try_join_next().is_some() {}
        }
    }
}

fn in_turn(targets: &Targets, turn: usize) -> Option<SocketAddr> {
    targets.iter().nth(turn.checked_rem(targets.len()).unwrap_or_default()).copied()
}

/// Carries one connection. How it ends, the two ends of it see for themselves.
async fn forward(mut client: TcpStream, target: SocketAddr, source: IpAddr) {
    let connect = host_cache::connect(source, target);
    let Ok(Ok(mut server)) = timeout(CONNECT_TIMEOUT, connect).await else {
        return;
    };
    // Small messages in both directions would wait for each other's acknowledgement otherwise.
    if client.set_nodelay(true).and(server.set_nodelay(true)).is_ok() {
        let _either_end = copy_bidirectional(&mut client, &mut server).await;
    }
}

/// Answers nothing, until the client gives up or the fault is another one.
async fn hold(mut client: TcpStream, mut faults: watch::Receiver<Option<Fault>>) {
    let mut said = [0; 1024];
    let until_client_leaves = async { while matches!(client.read(&mut said).await, Ok(1..)) {} };
    tokio::select! {
        () = until_client_leaves => {}
        _ = faults.wait_for(|fault| *fault != Some(Fault::Silent)) => {}
    }
}

/// Returns when the zone has known for as long as the delay that the target is deregistered.
async fn deregistered(target: SocketAddr, mut targets: watch::Receiver<Targets>, delay: Duration) {
    while targets.wait_for(|targets| !targets.contains(&target)).await.is_ok() {
        if timeout(delay, targets.wait_for(|targets| targets.contains(&target))).await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use tokio::io::AsyncWriteExt;

    use super::*;
    use crate::nlb::{ADDRESSES, Nlb};
    use crate::process::free_port;

    const DELAY: Duration = Duration::from_millis(150);

    /// A test's own steps; the rest is for a busy machine.
    const DEADLINE: Duration = Duration::from_secs(10);

    #[tokio::test]
    async fn a_connection_outlives_its_target_by_the_delay_unless_the_target_returns() {
        let target = SocketAddr::from(([127, 0, 0, 11], 5432));
        let (publish, targets) = watch::channel(Targets::from([target]));
        let cut = deregistered(target, targets, DELAY);
        tokio::pin!(cut);
        assert!(timeout(2 * DELAY, &mut cut).await.is_err(), "cut while registered");
        publish.send_replace(Targets::new());
        assert!(timeout(DELAY / 3, &mut cut).await.is_err(), "cut before the delay was over");
        publish.send_replace(Targets::from([target]));
        assert!(timeout(2 * DELAY, &mut cut).await.is_err(), "cut although the target returned");
        publish.send_replace(Targets::new());
        assert!(timeout(10 * DELAY, &mut cut).await.is_ok(), "never cut");
    }

    /// A server that says its name and whom it sees, and closes.
    async fn server(name: &'static str) -> SocketAddr {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
        let addr = listener.local_addr().expect("an address");
        tokio::spawn(async move {
            while let Ok((mut client, from)) = listener.accept().await {
                let text = format!("{name} {}", from.ip());
                client.write_all(text.as_bytes()).await.expect("a client that listens");
            }
        });
        addr
    }

    async fn said(through: SocketAddr) -> String {
        let mut text = String::new();
        let mut stream = TcpStream::connect(through).await.expect("the load balancer");
        stream.read_to_string(&mut text).await.expect("an answer");
        text
    }

    #[tokio::test]
    async fn each_zone_has_its_own_address_before_the_target_and_its_own_fault() {
        let (right, wrong) = (server("right").await, server("wrong").await);
        let port = free_port(&ADDRESSES).expect("a port");
        let nlb = Nlb::fixed_in_zones(right, port).await.expect("a load balancer");
        let [first, second, third] = nlb.addrs()[..] else { panic!("not three zones") };
        assert_eq!(said(first).await, "right 127.0.0.21");
        nlb.set_fault(1, Some(Fault::Stuck(wrong)));
        assert_eq!(said(second).await, "wrong 127.0.0.22");
        nlb.set_fault(2, Some(Fault::Silent));
        let mut silent = TcpStream::connect(third).await.expect("the load balancer");
        silent.write_all(b"anybody?").await.expect("a connection");
        let mut answer = [0; 8];
        assert!(timeout(DELAY, silent.read(&mut answer)).await.is_err(), "it answers");
        for zone in [1, 2] {
            nlb.set_fault(zone, None);
        }
        let closed = timeout(DEADLINE, silent.read(&mut answer)).await.expect("an end");
        assert_eq!(closed.expect("a proper end"), 0);
        assert_eq!(said(second).await, "right 127.0.0.22");
        assert_eq!(said(third).await, "right 127.0.0.23");
    }
}
