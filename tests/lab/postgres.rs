//! Two PostgreSQL servers: a primary, and a standby that has each write before the client knows.
//!
//! They are the cluster's members. In a failover the primary is killed, the standby promoted, and
//! the old primary comes back as the standby.

mod server;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use tokio::time::{sleep, timeout};
use tokio_postgres::{Client, NoTls};

use crate::poll::{self, Look};
use crate::process::free_port;
use crate::tls::Files;
use crate::workspace::Run;
use server::{Installation, Server};

/// The addresses of the two servers. All of 127.0.0.0/8 is loopback on Linux.
pub const ADDRESSES: [IpAddr; 2] =
    [IpAddr::V4(Ipv4Addr::new(127, 0, 0, 11)), IpAddr::V4(Ipv4Addr::new(127, 0, 0, 12))];

/// Every server accepts this user without a password, from loopback addresses only.
pub const USER: &str = "postgres";

/// Long enough for a busy machine; each of these steps takes well under a second otherwise.
const STEP_DEADLINE: Duration = Duration::from_secs(60);

/// `pg_promote` looks every 100 ms; a function that asks the database may act before that.
const PROMOTION_LOOK: Duration = Duration::from_millis(2);

/// A user that the servers let in with its password only, and over TLS.
#[derive(Clone, Debug)]
pub struct Account {
    /// Its name.
    pub user: String,
    /// Its password.
    pub password: String,
}

/// The two servers. They stop when this is dropped.
pub struct Pair {
    installation: Installation,
    port: u16,
    servers: [Option<Server>; 2],
    primary: usize,
    /// Each server that is built gets a directory of its own: a crashed one leaves files behind.
    built: usize,
    run_directory: PathBuf,
}

impl Pair {
    /// Starts a primary and its synchronous standby on these addresses, both on one free port.
    pub async fn start(run: &Run) -> Result<Self> {
        Self::start_with(run, None, None).await
    }

    /// The same, and both offer TLS with this certificate to clients that ask for it.
    pub async fn start_with_tls(run: &Run, files: &Files) -> Result<Self> {
        Self::start_with(run, Some(files), None).await
    }

    /// The same, but for the standby, which [`Pair::rebuild_standby`] adds.
    pub async fn start_alone_with_tls(run: &Run, files: &Files) -> Result<Self> {
        Self::start_primary(run, Some(files), None).await
    }

    /// The same, and both know this account, which may do nothing but log in.
    pub async fn start_with_account(run: &Run, files: &Files, account: &Account) -> Result<Self> {
        Self::start_with(run, Some(files), Some(account)).await
    }

    async fn start_with(
        run: &Run,
        files: Option<&Files>,
        account: Option<&Account>,
    ) -> Result<Self> {
        let mut pair = Self::start_primary(run, files, account).await?;
        pair.rebuild_standby(run).await?;
        Ok(pair)
    }

    async fn start_primary(
        run: &Run,
        files: Option<&Files>,
        account: Option<&Account>,
    ) -> Result<Self> {
        let installation = Installation::prepare(run)?;
        let mut pair = Self {
            installation,
            port: free_port(&ADDRESSES)?,
            servers: [None, None],
            primary: 0,
            built: 0,
            run_directory: run.scratch("postgres")?,
        };
        let data = pair.new_data_directory()?;
        pair.installation.initialize(run, &data).await?;
        if let Some(files) = files {
            pair.installation.offer_tls(&data, files)?;
        }
        if let Some(account) = account {
            pair.installation.demand_password(&data, &account.user)?;
        }
        pair.servers[0] = Some(pair.installation.start(run, 0, pair.address(0), data).await?);
        if let Some(Account { user, password }) = account {
            let role =
                format!("CREATE ROLE {user} LOGIN CONNECTION LIMIT 20 PASSWORD '{password}'");
            let created = connect(pair.address(0)).await?.batch_execute(&role).await;
            created.with_context(|| format!("create the account {user}"))?;
        }
        Ok(pair)
    }

    /// Where a server listens, by its number.
    pub fn address(&self, server: usize) -> SocketAddr {
        SocketAddr::new(ADDRESSES[server], self.port)
    }

    /// The port of both.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The number of the server that takes writes, or took them before it was killed.
    pub fn primary(&self) -> usize {
        self.primary
    }

    /// The number of the other one.
    pub fn standby(&self) -> usize {
        1 - self.primary
    }

    /// Kills the primary without a chance to tidy up.
    pub async fn crash_primary(&mut self) -> Result<()> {
        let server = self.servers[self.primary].take().context("the primary was killed before")?;
        server.crash().await
    }

    /// Makes the standby the primary.
    pub async fn promote_standby(&mut self) -> Result<()> {
        let client = connect(self.address(self.standby())).await?;
        client.query_one("SELECT pg_promote(false)", &[]).await.context("promote the standby")?;
        let promoted = async {
            let asked = "SELECT pg_is_in_recovery()";
            while client
                .query_one(asked, &[])
                .await
                .context("ask the standby whether it is promoted")?
                .get(0)
            {
                sleep(PROMOTION_LOOK).await;
            }
            anyhow::Ok(())
        };
        timeout(STEP_DEADLINE, promoted)
            .await
            .context("the standby was not promoted in time")??;
        self.primary = self.standby();
        Ok(())
    }

    /// Builds the other server anew, as synchronous standby: what the primary confirms from then
    /// on, both have.
    pub async fn rebuild_standby(&mut self, run: &Run) -> Result<()> {
        let (standby, primary) = (self.standby(), self.address(self.primary));
        self.servers[standby] = None;
        let data = self.new_data_directory()?;
        self.installation.copy(run, primary, &data).await?;
        self.servers[standby] =
            Some(self.installation.start(run, standby, self.address(standby), data).await?);

        // Only now: a primary without its standby confirms nothing, and a copy with this setting
        // would wait for itself once promoted.
        let client = connect(primary).await?;
        for statement in
            ["ALTER SYSTEM SET synchronous_standby_names = '*'", "SELECT pg_reload_conf()"]
        {
            client
                .simple_query(statement)
                .await
                .with_context(|| format!("{statement} on the primary"))?;
        }
        poll::until("synchronous replication", STEP_DEADLINE, async || {
            let states = client.query("SELECT sync_state FROM pg_stat_replication", &[]).await;
            let states = states.context("ask the primary for its standbys")?;
            let states: Vec<String> = states.iter().map(|row| row.get(0)).collect();
            Ok(if states == ["sync"] {
                Look::Ready(())
            } else {
                Look::NotYet(anyhow!("the primary's standbys are {states:?}"))
            })
        })
        .await
    }

    fn new_data_directory(&mut self) -> Result<PathBuf> {
        self.built += 1;
        let data = self.run_directory.join(format!("data-{}", self.built));
        self.installation.make_directory(&data)?;
        Ok(data)
    }
}

/// A connection to a database server.
pub async fn connect(server: SocketAddr) -> Result<Client> {
    let parameters = format!(
        "host={} port={} user={USER} dbname=postgres connect_timeout=1",
        server.ip(),
        server.port()
    );
    let connected = tokio_postgres::connect(&parameters, NoTls).await;
    let (client, connection) =
        connected.with_context(|| format!("connect to PostgreSQL at {server}"))?;
    // An error of the connection is also the error of whatever the client asks next.
    tokio::spawn(connection);
    Ok(client)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::tail;
    use crate::tls::{Authority, Flaw};

    #[tokio::test]
    async fn an_account_comes_in_over_tls_only_on_a_rebuilt_standby_too() {
        let run = Run::new().expect("directories");
        let authority = Authority::new().expect("an authority");
        let files =
            authority.issue(&["db.example"], Flaw::None, &run.scratch("tls").expect("a directory"));
        let account = Account { user: "asker".to_owned(), password: "known".to_owned() };
        let pair = Pair::start_with_account(&run, &files.expect("files"), &account).await;
        let mut pair = pair.expect("two servers");
        pair.rebuild_standby(&run).await.expect("a standby");
        for server in [0, 1] {
            let at = pair.address(server);
            let parameters = format!(
                "host={} port={} user=asker password=known dbname=postgres",
                at.ip(),
                at.port()
            );
            let Err(refused) = tokio_postgres::connect(&parameters, NoTls).await else {
                panic!("it came in")
            };
            let text = refused.as_db_error().expect("an answer of the server").message().to_owned();
            assert!(
                text.contains("pg_hba.conf rejects connection") && text.contains("no encryption"),
                "{text}"
            );
            let client = connect(at).await.expect("a connection");
            let asked = "SELECT rolcanlogin AND NOT rolsuper FROM pg_roles WHERE rolname = 'asker'";
            assert!(client.query_one(asked, &[]).await.expect("the role").get::<_, bool>(0));
        }
    }

    #[tokio::test]
    async fn what_was_confirmed_survives_a_crash_and_the_way_back() {
        let run = Run::new().expect("directories");
        let mut pair = Pair::start(&run).await.expect("two servers");
        let primary = connect(pair.address(0)).await.expect("a connection");
        primary
            .batch_execute("CREATE TABLE t (n int); INSERT INTO t VALUES (1)")
            .await
            .expect("a write");
        for (new_primary, number) in [(1, 2), (0, 3)] {
            pair.crash_primary().await.expect("a crash");
            assert!(
                connect(pair.address(1 - new_primary)).await.is_err(),
                "a crashed server accepts connections"
            );
            pair.promote_standby().await.expect("a promotion");
            pair.rebuild_standby(&run).await.expect("a standby");
            assert_eq!(
                pair.primary(),
                new_primary,
                "{}",
                tail(&run.logs().join("postgres-1.log"), 9)
            );
            let client = connect(pair.address(new_primary)).await.expect("a connection");
            client.execute("INSERT INTO t VALUES ($1)", &[&number]).await.expect("a write");
            let count: i64 =
                client.query_one("SELECT count(*) FROM t", &[]).await.expect("a count").get(0);
            assert_eq!(count, i64::from(number));
        }
    }
}
