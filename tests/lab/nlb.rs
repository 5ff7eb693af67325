//! The data plane of an NLB, which no emulator has: a forwarder that follows the target group.
//!
//! New connections go to the registered targets in turn; health is not checked, since the emulated
//! one is always good. Connections to a deregistered target are cut after the delay.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use aws_sdk_elasticloadbalancingv2::Client;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::aws::members;
use crate::host_cache;

/// How often the target group is looked at. The real one takes tens of seconds to spread a change.
const FOLLOW_INTERVAL: Duration = Duration::from_millis(200);

/// A target that does not accept a connection for this long is not there.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// A load balancer that forwards. It stops when dropped, and cuts every connection.
pub struct Nlb {
    addr: SocketAddr,
    targets: watch::Receiver<Targets>,
    trouble: Arc<Mutex<Vec<String>>>,
    _tasks: JoinSet<()>,
}

type Targets = BTreeSet<SocketAddr>;

impl Nlb {
    /// Starts forwarding from a free port of 127.0.0.1 to the targets of a group, whose connections
    /// survive their deregistration for `deregistration_delay`.
    pub async fn start(
        client: Client,
        target_group: &str,
        deregistration_delay: Duration,
    ) -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0))
            .await
            .context("bind a port for the load balancer")?;
        let addr = listener.local_addr().context("the load balancer's own address")?;
        let (publish, targets) = watch::channel(Targets::new());
        let trouble = Arc::default();
        let mut tasks = JoinSet::new();
        tasks.spawn(follow(client, target_group.to_owned(), publish, Arc::clone(&trouble)));
        tasks.spawn(accept(listener, targets.clone(), deregistration_delay, None));
        Ok(Self { addr, targets, trouble, _tasks: tasks })
    }

    /// Starts forwarding from a free port of 127.0.0.1 to one fixed target, always from `source`:
    /// as a target sees PrivateLink, or a group without client IP preservation.
    pub async fn fixed(target: SocketAddr, source: IpAddr) -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0))
            .await
            .context("bind a port for the load balancer")?;
        let addr = listener.local_addr().context("the load balancer's own address")?;
        let (publish, targets) = watch::channel(Targets::from([target]));
        let mut tasks = JoinSet::new();
        // A closed channel would mean that the target group cannot be followed any more.
        tasks.spawn(async move { publish.closed().await });
        tasks.spawn(accept(listener, targets.clone(), Duration::ZERO, Some(source)));
        Ok(Self { addr, targets, trouble: Arc::default(), _tasks: tasks })
    }

    /// Where clients connect.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Waits until new connections go to these targets and no others.
    pub async fn wait_for_targets(
        &self,
        wanted: &BTreeSet<SocketAddr>,
        deadline: Duration,
    ) -> Result<()> {
        let mut targets = self.targets.clone();
        let followed = timeout(deadline, targets.wait_for(|targets| targets == wanted)).await;
        let (held, trouble) = (self.targets.borrow().clone(), self.trouble());
        let late = || {
            anyhow!(
                "the load balancer did not follow to {wanted:?} within {deadline:?}; it forwards \
                 to {held:?} {trouble:?}"
            )
        };
        followed.map_err(|_| late())?.map(drop).context("the load balancer has stopped")
    }

    /// What kept it from following the group, each problem once. It keeps the targets it saw last.
    pub fn trouble(&self) -> Vec<String> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

async fn follow(
    client: Client,
    target_group: String,
    publish: watch::Sender<Targets>,
    trouble: Arc<Mutex<Vec<String>>>,
) {
    loop {
        match members(&client, &target_group).await {
            Ok(members) => {
                publish.send_if_modified(|targets| {
                    let changed = *targets != members;
                    *targets = members;
                    changed
                });
            }
            Err(error) => {
                let mut trouble = trouble.lock().unwrap_or_else(PoisonError::into_inner);
                let problem = format!("{error:#}");
                if !trouble.contains(&problem) {
                    trouble.push(problem);
                }
            }
        }
        sleep(FOLLOW_INTERVAL).await;
    }
}

async fn accept(
    listener: TcpListener,
    targets: watch::Receiver<Targets>,
    delay: Duration,
    source: Option<IpAddr>,
) {
    let turn = AtomicUsize::new(0);
    let mut connections = JoinSet::new();
    loop {
        // A client that has gone again, or too few file descriptors: both may pass.
        let Ok((client, _)) = listener.accept().await else {
            sleep(FOLLOW_INTERVAL).await;
            continue;
        };
        let registered = targets.borrow().len();
        let turn = turn.fetch_add(1, Ordering::Relaxed);
        let target =
            targets.borrow().iter().nth(turn.checked_rem(registered).unwrap_or_default()).copied();
        // As with a real one, without a target the connection is closed.
        if let Some(target) = target {
            connections.spawn(forward(client, target, targets.clone(), delay, source));
        }
        while connections.try_join_next().is_some() {}
    }
}

/// Carries one connection. How it ends, the two ends of it see for themselves.
async fn forward(
    mut client: TcpStream,
    target: SocketAddr,
    targets: watch::Receiver<Targets>,
    delay: Duration,
    source: Option<IpAddr>,
) {
    let connect = async {
        match source {
            Some(source) => host_cache::connect(source, target).await,
            None => TcpStream::connect(target).await.context("connect to the target"),
        }
    };
    let Ok(Ok(mut server)) = timeout(CONNECT_TIMEOUT, connect).await else {
        return;
    };
    // Small messages in both directions would wait for each other's acknowledgement otherwise.
    if client.set_nodelay(true).and(server.set_nodelay(true)).is_err() {
        return;
    }
    tokio::select! {
        _ = copy_bidirectional(&mut client, &mut server) => {}
        () = deregistered(target, targets, delay) => {}
    }
}

/// Returns when the target has been out of the group for as long as the delay.
async fn deregistered(target: SocketAddr, mut targets: watch::Receiver<Targets>, delay: Duration) {
    while targets.wait_for(|targets| !targets.contains(&target)).await.is_ok() {
        if timeout(delay, targets.wait_for(|targets| targets.contains(&target))).await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DELAY: Duration = Duration::from_millis(150);

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
}
