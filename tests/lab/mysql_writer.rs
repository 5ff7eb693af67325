//! A client that connects to MariaDB for every write, as programs without a pool do.
//!
//! It is the distribution's own, so that its errors are those that a person would read.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tokio::process::Command;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use crate::mariadb::{Server, client_program};
use crate::writer::Attempt;

/// The user that writes.
const USER: &str = "application";

/// So many writes a second are enough to see a gap, and leave the machine to the others.
const PAUSE: Duration = Duration::from_millis(50);

/// A client that is writing. It stops when dropped.
pub struct MysqlWriter {
    attempts: Arc<Mutex<Vec<Attempt>>>,
    task: JoinHandle<()>,
}

/// Makes the client's account and the table that it writes to.
pub async fn create_table(server: &Server) -> Result<()> {
    let account =
        format!("CREATE DATABASE shop; CREATE USER {USER}@'%'; GRANT ALL ON shop.* TO {USER}@'%'");
    server
        .sql(&format!("{account}; CREATE TABLE shop.written (number bigint PRIMARY KEY)"))
        .await?;
    Ok(())
}

/// The numbers that were confirmed and are not in the database.
pub async fn lost(attempts: &[Attempt], server: &Server) -> Result<Vec<i64>> {
    let rows = server.sql("SELECT number FROM shop.written").await?;
    let found: Result<HashSet<i64>, _> = rows.lines().map(str::parse).collect();
    let found = found.context("read what was written")?;
    let confirmed = attempts.iter().filter(|attempt| attempt.error.is_none());
    Ok(confirmed.map(|attempt| attempt.number).filter(|number| !found.contains(number)).collect())
}

impl MysqlWriter {
    /// Starts writing through `to`, from this number on.
    pub fn start(to: SocketAddr, first: i64) -> Result<Self> {
        let attempts = Arc::default();
        let task = tokio::spawn(write(client_program()?, to, first, Arc::clone(&attempts)));
        Ok(Self { attempts, task })
    }

    /// Everything it has tried so far.
    pub fn attempts(&self) -> Vec<Attempt> {
        self.attempts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for MysqlWriter {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn write(program: PathBuf, to: SocketAddr, first: i64, attempts: Arc<Mutex<Vec<Attempt>>>) {
    for number in first.. {
        let at = Instant::now();
        let error = write_one(&program, to, number).await.err().map(|error| format!("{error:#}"));
        attempts.lock().unwrap_or_else(PoisonError::into_inner).push(Attempt {
            number,
            at,
            took: at.elapsed(),
            error,
        });
        sleep(PAUSE).await;
    }
}

async fn write_one(program: &PathBuf, to: SocketAddr, number: i64) -> Result<()> {
    let mut command = Command::new(program);
    // A load balancer has no certificate: TLS through it verifies the authority alone.
    command.args(["--no-defaults", "--protocol=tcp", "--connect-timeout=1", "--skip-ssl"]);
    command.args([
        format!("--host={}", to.ip()),
        format!("--port={}", to.port()),
        format!("--user={USER}"),
    ]);
    command.arg("-e").arg(format!("INSERT INTO shop.written VALUES ({number})"));
    let output = command
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .context("start the client")?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(())
}
