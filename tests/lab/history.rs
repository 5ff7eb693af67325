//! What the target group held, and since when: a record of what comes and goes between looks.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Result, anyhow};
use aws_sdk_elasticloadbalancingv2::Client;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use crate::aws::members;
use crate::poll::{self, Look};

/// How often a target group is looked at where its times are measured: they are no more precise.
pub const PRECISE: Duration = Duration::from_millis(25);

/// How often where the machine is shared with other tests.
pub const GENTLE: Duration = Duration::from_millis(150);

/// What the group held from a moment on.
pub type Change = (Instant, BTreeSet<SocketAddr>);

/// A recording of every change. It ends when dropped.
pub struct History {
    changes: Arc<Mutex<Vec<Change>>>,
    recorder: JoinHandle<()>,
}

impl History {
    /// Starts to record, with a look each `sample`.
    pub fn record(client: Client, target_group: &str, sample: Duration) -> Self {
        let changes = Arc::default();
        let (group, known) = (target_group.to_owned(), Arc::clone(&changes));
        let recorder = tokio::spawn(record(client, group, sample, known));
        Self { changes, recorder }
    }

    /// Every change so far; the first is what the group held at the start.
    pub fn changes(&self) -> Vec<Change> {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until the group has held this target alone at some moment after `since`; returns it.
    pub async fn switched(
        &self,
        wanted: SocketAddr,
        since: Instant,
        deadline: Duration,
    ) -> Result<Instant> {
        let what = format!("the switch of the target group to {wanted}");
        let exactly = BTreeSet::from([wanted]);
        poll::until(&what, deadline, async || {
            let changes = self.changes();
            let switched = changes.iter().find(|(at, targets)| *at >= since && *targets == exactly);
            let held = changes.last().map(|(_, targets)| targets.clone()).unwrap_or_default();
            Ok(switched.map_or_else(
                || Look::NotYet(anyhow!("it holds {held:?}")),
                |(at, _)| Look::Ready(*at),
            ))
        })
        .await
    }
}

impl Drop for History {
    fn drop(&mut self) {
        self.recorder.abort();
    }
}

/// While the group cannot be described, what was seen last stands.
async fn record(
    client: Client,
    target_group: String,
    sample: Duration,
    changes: Arc<Mutex<Vec<Change>>>,
) {
    loop {
        if let Ok(targets) = members(&client, &target_group).await {
            let mut changes = changes.lock().unwrap_or_else(PoisonError::into_inner);
            if changes.last().is_none_or(|(_, last)| *last != targets) {
                changes.push((Instant::now(), targets));
            }
        }
        sleep(sample).await;
    }
}
