//! Asks databases whether they take writes: the port [`Databases`](ports::Databases) over the real protocols.
//!
//! A session goes to an address, and its certificate must be for the name that the RDS API or the binding gives the
//! database. So no login is sent to a server that took over the address of another.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use mysql_async::Opts;
use platform::login::{Credentials, Doorman};
use platform::session::{Endpoint, SessionError};
use platform::trust;
use reconcile::binding::{Binding, Engine};
use reconcile::claim::Voice;
use reconcile::login::Login;
use reconcile::report::Failure;
use tokio::sync::OnceCell;
use tokio::time::timeout;
use tokio_postgres_rustls::MakeRustlsConnect;
use tracing::debug;

use crate::ports::{self, BoxFuture};

mod mysql;
mod postgres;

/// Saying goodbye to a database, and the end of TLS.
const CLOSE_LIMIT: Duration = Duration::from_millis(200);

/// What every session needs.
pub struct Databases {
    doorman: Doorman,
    /// The certificate authorities, as PEM.
    authorities: Vec<u8>,
    /// These two are made at the first use: there are many authorities, and most runs ask no database.
    postgres: OnceLock<MakeRustlsConnect>,
    mysql: OnceLock<Opts>,
}

impl Databases {
    /// With what to log in, and whose certificates to believe, as PEM.
    pub fn new(doorman: Doorman, authorities: Vec<u8>) -> Databases {
        Databases { doorman, authorities, postgres: OnceLock::new(), mysql: OnceLock::new() }
    }

    fn postgres(&self) -> &MakeRustlsConnect {
        self.postgres.get_or_init(|| MakeRustlsConnect::new(trust::client_config(&self.authorities)))
    }

    fn mysql(&self) -> &Opts {
        self.mysql.get_or_init(|| mysql::options(self.authorities.clone()))
    }
}

impl ports::Databases for Databases {
    fn sessions<'a>(&'a self, binding: &'a Binding) -> Box<dyn ports::Sessions + 'a> {
        Box::new(Sessions { databases: self, binding, secret: OnceCell::new(), open: Mutex::default() })
    }
}

/// The sessions of one run.
struct Sessions<'a> {
    databases: &'a Databases,
    binding: &'a Binding,
    /// What the secret holds, or why it could not be read: asked for once in a run, however many databases there are.
    secret: OnceCell<Result<Credentials, Failure>>,
    open: Mutex<BTreeMap<IpAddr, Session>>,
}

enum Session {
    Postgres(postgres::Session),
    MySql(mysql::Session),
}

impl ports::Sessions for Sessions<'_> {
    fn ask<'a>(&'a self, address: IpAddr, name: &'a str) -> BoxFuture<'a, Result<Voice, Failure>> {
        Box::pin(async move {
            // While it is asked the session is nobody's: if the question is given up, so is the session.
            let kept = self.sessions().remove(&address);
            if let Some(mut session) = kept
                && let Ok(voice) = session.ask().await
            {
                self.sessions().insert(address, session);
                return Ok(voice);
            }
            // The server ends its sessions when it restarts, which is what a failover is.
            let endpoint = Endpoint { host: name.to_owned(), port: self.binding.port };
            let credentials = self.credentials(&endpoint).await?;
            let mut session = self.connect(address, &endpoint, &credentials).await.map_err(|error| error.failure())?;
            let voice = session.ask().await.map_err(|error| error.failure())?;
            self.sessions().insert(address, session);
            Ok(voice)
        })
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        let open = std::mem::take(&mut *self.sessions());
        Box::pin(async {
            futures_util::future::join_all(open.into_values().map(Session::close)).await;
        })
    }
}

impl Sessions<'_> {
    fn sessions(&self) -> MutexGuard<'_, BTreeMap<IpAddr, Session>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn credentials(&self, endpoint: &Endpoint) -> Result<Credentials, Failure> {
        let doorman = &self.databases.doorman;
        let credentials =
            || async { doorman.credentials(endpoint).await.map_err(|error| SessionError::Login(error).failure()) };
        match doorman.login() {
            // A token is signed here, for this host.
            Login::Iam(_) => credentials().await,
            Login::Secret(_) => self.secret.get_or_init(credentials).await.clone(),
        }
    }

    async fn connect(
        &self,
        address: IpAddr,
        endpoint: &Endpoint,
        credentials: &Credentials,
    ) -> Result<Session, SessionError> {
        match self.binding.engine {
            Some(Engine::MySql) => {
                let options = self.databases.mysql();
                mysql::Session::open(address, endpoint, credentials, options).await.map(Session::MySql)
            }
            // A binding without an engine has no sessions.
            Some(Engine::Postgres) | None => {
                let tls = self.databases.postgres();
                postgres::Session::open(address, endpoint, credentials, tls).await.map(Session::Postgres)
            }
        }
    }
}

impl Session {
    async fn ask(&mut self) -> Result<Voice, SessionError> {
        match self {
            Session::Postgres(session) => session.ask().await,
            Session::MySql(session) => session.ask().await,
        }
    }

    async fn close(self) {
        let goodbye = async {
            match self {
                Session::Postgres(session) => session.close().await,
                Session::MySql(session) => session.close().await,
            }
        };
        if timeout(CLOSE_LIMIT, goodbye).await.is_err() {
            debug!("the session did not end in time");
        }
    }
}
