//! An NLB's TCP health check: connect, and go away.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use crate::host_cache::{connect, reset_after_first_packet};

/// One check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// When it ended.
    pub at: Instant,
    /// Whether the target accepted the connection, which is all that the load balancer looks at.
    pub healthy: bool,
    /// The error that came instead of the greeting; a load balancer does not look at it.
    pub refusal: Option<(u16, String)>,
}

/// Health checks of one target that go on until this is dropped.
pub struct HealthChecks {
    checks: Arc<Mutex<Vec<Check>>>,
    task: JoinHandle<()>,
}

impl HealthChecks {
    /// Starts checking a target from the load balancer's address.
    pub fn start(from: IpAddr, target: SocketAddr, interval: Duration) -> Self {
        let checks = Arc::default();
        let task = tokio::spawn(check(from, target, interval, Arc::clone(&checks)));
        Self { checks, task }
    }

    /// The checks so far.
    pub fn checks(&self) -> Vec<Check> {
        self.checks.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for HealthChecks {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn check(
    from: IpAddr,
    target: SocketAddr,
    interval: Duration,
    checks: Arc<Mutex<Vec<Check>>>,
) {
    loop {
        let connected = connect(from, target).await;
        let healthy = connected.is_ok();
        let refusal = match connected {
            Ok(mut stream) => reset_after_first_packet(&mut stream).await.unwrap_or_default(),
            Err(_) => None,
        };
        let check = Check { at: Instant::now(), healthy, refusal };
        checks.lock().unwrap_or_else(PoisonError::into_inner).push(check);
        sleep(interval).await;
    }
}
