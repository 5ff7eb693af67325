//! A client that writes all the time, and remembers what it was told.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};
use tokio_postgres::Client;

use crate::postgres::connect;

/// A write that takes longer has failed, as far as the client can tell.
const WRITE_TIMEOUT: Duration = Duration::from_secs(1);

/// A refused connection fails in microseconds; so many failures would drown everything else.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(20);

/// Between two writes: enough of them to see a gap, and the machine is left to other tests.
pub const GENTLE: Duration = Duration::from_millis(10);

/// One attempt to write one number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// The number. Each is tried once: after an error nobody knows whether it was written.
    pub number: i64,
    /// When the attempt began.
    pub at: Instant,
    /// How long it took until the answer or the error.
    pub took: Duration,
    /// Why it failed; none if the database confirmed the write.
    pub error: Option<String>,
}

/// A client that is writing. It stops when dropped.
pub struct Writer {
    attempts: Arc<Mutex<Vec<Attempt>>>,
    task: JoinHandle<()>,
}

/// Makes the table that the client writes to.
pub async fn create_table(primary: SocketAddr) -> Result<()> {
    let client = connect(primary).await?;
    let created = client.batch_execute("CREATE TABLE written (number bigint PRIMARY KEY)").await;
    created.with_context(|| format!("create the client's table at {primary}"))
}

/// The numbers that were confirmed and are not in the database: each is a broken promise.
pub async fn lost(attempts: &[Attempt], primary: SocketAddr) -> Result<Vec<i64>> {
    let client = connect(primary).await?;
    let rows = client.query("SELECT number FROM written", &[]).await;
    let rows = rows.with_context(|| format!("read what was written at {primary}"))?;
    let found: HashSet<i64> = rows.iter().map(|row| row.get(0)).collect();
    let confirmed = attempts.iter().filter(|attempt| attempt.error.is_none());
    Ok(confirmed.map(|attempt| attempt.number).filter(|number| !found.contains(number)).collect())
}

impl Writer {
    /// Starts writing through `to`, with this pause after each write.
    pub fn start(to: SocketAddr, pause: Duration) -> Self {
        let attempts = Arc::default();
        let task = tokio::spawn(write(to, pause, Arc::clone(&attempts)));
        Self { attempts, task }
    }

    /// Everything it has tried so far.
    pub fn attempts(&self) -> Vec<Attempt> {
        self.attempts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Why the last attempt failed, if it did.
    pub fn last_error(&self) -> Option<String> {
        let attempts = self.attempts.lock().unwrap_or_else(PoisonError::into_inner);
        attempts.last().and_then(|attempt| attempt.error.clone())
    }

    /// When the first write that began after `since` was confirmed, if one was.
    pub fn first_success_after(&self, since: Instant) -> Option<Instant> {
        let attempts = self.attempts.lock().unwrap_or_else(PoisonError::into_inner);
        let later = attempts.iter().skip(attempts.partition_point(|attempt| attempt.at < since));
        later
            .filter(|attempt| attempt.error.is_none())
            .map(|attempt| attempt.at + attempt.took)
            .next()
    }

    /// When the last write that was confirmed before `until` was confirmed, if one was.
    pub fn last_success_before(&self, until: Instant) -> Option<Instant> {
        let attempts = self.attempts.lock().unwrap_or_else(PoisonError::into_inner);
        let confirmed = attempts.iter().rev().filter(|attempt| attempt.error.is_none());
        confirmed.map(|attempt| attempt.at + attempt.took).find(|at| *at <= until)
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn write(to: SocketAddr, pause: Duration, attempts: Arc<Mutex<Vec<Attempt>>>) {
    let mut connection = None;
    for number in 1.. {
        let at = Instant::now();
        let outcome = timeout(WRITE_TIMEOUT, write_one(&mut connection, to, number)).await;
        let error = match outcome {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(format!("{error:#}")),
            Err(_) => Some(format!("no answer within {WRITE_TIMEOUT:?}")),
        };
        let failed = error.is_some();
        attempts.lock().unwrap_or_else(PoisonError::into_inner).push(Attempt {
            number,
            at,
            took: at.elapsed(),
            error,
        });
        if failed {
            connection = None;
            sleep(PAUSE_AFTER_FAILURE).await;
        } else if !pause.is_zero() {
            sleep(pause).await;
        }
    }
}

async fn write_one(connection: &mut Option<Client>, to: SocketAddr, number: i64) -> Result<()> {
    let client = match connection {
        Some(client) => client,
        None => connection.insert(connect(to).await?),
    };
    client.execute("INSERT INTO written VALUES ($1)", &[&number]).await.context("write")?;
    Ok(())
}
