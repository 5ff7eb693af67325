//! Asks databases whether they take writes: the port [`RoleProbe`](ports::RoleProbe) over SQL. A
//! session goes to an address with a certificate for the database's name, so that no login is sent
//! to a server that took over the address of another.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use base::database::HostPort;
use base::login::LoginMethod;
use base::report::Failure;
use futures_util::FutureExt;
use futures_util::future::{Shared, join, join_all};
use parking_lot::Mutex;
use platform::connect_error::ConnectError;
use platform::login::{CredentialProvider, Credentials};
use platform::mysql::{ConnectOptions, Connection};
use platform::server_error::HintKind;
use platform::trust;
use reconcile::binding::{Binding, Engine};
use reconcile::claim::Role;
use reconcile::path::{self, Obstacle, Server};
use tokio::task::{JoinError, JoinHandle};
use tokio::time::timeout;
use tokio_postgres_rustls::MakeRustlsConnect;
use tracing::debug;

use crate::ports::{self, BoxFuture};

mod mysql;
mod postgres;

const CLOSE_LIMIT: Duration = Duration::from_millis(200);

/// A new session that is asked once has so long for all it does,
const ASK_LIMIT: Duration = Duration::from_secs(5);

/// and for TCP, which the driver of MySQL cannot tell from the rest.
const TCP_LIMIT: Duration = Duration::from_secs(3);

/// A question need not wait so long for a session to open. MySQL gives up a handshake after as
/// long, and counts it against the client's address.
const OPEN_LIMIT: Duration = Duration::from_secs(10);

/// What every session needs.
pub struct SqlRoleProbe {
    provider: Arc<CredentialProvider>,
    ca_bundle: Vec<u8>,
    /// Made at the first use: there are many authorities, and most runs ask no database.
    postgres: OnceLock<MakeRustlsConnect>,
    mysql: OnceLock<ConnectOptions>,
}

impl SqlRoleProbe {
    /// With what to log in, and whose certificates to believe, as PEM.
    pub fn new(provider: CredentialProvider, ca_bundle: Vec<u8>) -> SqlRoleProbe {
        let (postgres, mysql) = (OnceLock::new(), OnceLock::new());
        SqlRoleProbe { provider: Arc::new(provider), ca_bundle, postgres, mysql }
    }

    fn postgres(&self) -> &MakeRustlsConnect {
        self.postgres.get_or_init(|| MakeRustlsConnect::new(trust::client_config(&self.ca_bundle)))
    }

    fn mysql(&self) -> &ConnectOptions {
        self.mysql.get_or_init(|| ConnectOptions::new(self.ca_bundle.clone()))
    }
}

impl ports::RoleProbe for SqlRoleProbe {
    fn sessions<'a>(&'a self, binding: &'a Binding) -> Box<dyn ports::ProbeSessions + 'a> {
        Box::new(RunSessions {
            probe: self,
            binding,
            secret: Mutex::default(),
            kept: Mutex::default(),
            late: Mutex::default(),
        })
    }
}

struct RunSessions<'a> {
    probe: &'a SqlRoleProbe,
    binding: &'a Binding,
    secret: Mutex<Secret>,
    kept: Mutex<BTreeMap<IpAddr, Kept>>,
    /// What took too long to be waited for. A handshake that MySQL sees broken counts against the
    /// address that it came from, which may be the load balancer's.
    late: Mutex<Vec<JoinHandle<Result<Server, ConnectError>>>>,
}

/// Fetched once in a run, and once more if a server refuses it: it may have been rotated since.
#[derive(Default)]
struct Secret {
    fetch: Option<Shared<BoxFuture<'static, Result<Credentials, Failure>>>>,
    was_refused: bool,
}

enum Kept {
    Open(OpenSession),
    Opening(Opening),
}

/// It goes on while nobody waits for it.
type Opening = JoinHandle<Result<OpenSession, ConnectError>>;

enum OpenSession {
    Postgres(postgres::Session),
    MySql(Connection),
}

/// Given up, the question leaves the session to the next one.
struct PendingSession<'s> {
    kept: &'s Mutex<BTreeMap<IpAddr, Kept>>,
    address: IpAddr,
    opening: Option<Opening>,
}

impl ports::ProbeSessions for RunSessions<'_> {
    fn prepare(&self) -> BoxFuture<'_, Result<(), Failure>> {
        Box::pin(async {
            match self.probe.provider.login() {
                // A token is signed here, for each host.
                LoginMethod::Iam(_) => Ok(()),
                LoginMethod::Secret(_) => self.secret().await.map(drop),
            }
        })
    }

    fn probe<'a>(&'a self, address: IpAddr, name: &'a str) -> BoxFuture<'a, Result<Role, Failure>> {
        Box::pin(async move {
            // While it is asked the session is nobody's: a question that is given up ends it.
            let kept = self.kept.lock().remove(&address);
            let opening = match kept {
                Some(Kept::Opening(opening)) => opening,
                Some(Kept::Open(mut session)) => match session.ask().await {
                    Ok(server) => return Ok(self.keep(address, session, server.role)),
                    // The server ends its sessions when it restarts, which is what a failover is.
                    Err(_) => self.open(address, name).await?,
                },
                None => self.open(address, name).await?,
            };
            let pending = PendingSession { kept: &self.kept, address, opening: Some(opening) };
            let mut session = pending.session().await.map_err(|error| self.refused(&error))?;
            let server = session.ask().await.map_err(|error| error.failure())?;
            Ok(self.keep(address, session, server.role))
        })
    }

    fn ask_anew<'a>(&'a self, server: SocketAddr, name: &'a str) -> BoxFuture<'a, path::Session> {
        Box::pin(async move {
            let timed_out = || ConnectError::Timeout { seconds: ASK_LIMIT.as_secs() };
            let dialled = timeout(ASK_LIMIT, self.dial(server, name, TCP_LIMIT)).await;
            let open = dialled.unwrap_or_else(|_| Err(timed_out().failure()));
            let open = open.map_err(|failure| (Obstacle::Inconclusive, failure))?;
            let mut asked = spawn_limited(async {
                let mut session = open.await?;
                let answer = session.ask().await;
                session.close().await;
                answer
            });
            let answer = match timeout(ASK_LIMIT, &mut asked).await {
                Ok(Ok(answer)) => answer,
                Ok(Err(lost)) => return Err((Obstacle::Inconclusive, panicked(&lost))),
                Err(_) => {
                    if self.binding.engine == Some(Engine::MySql) {
                        self.late.lock().push(asked);
                    } else {
                        asked.abort();
                    }
                    Err(timed_out())
                }
            };
            answer.map_err(|error| (obstacle(&error), error.failure()))
        })
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        let kept = std::mem::take(&mut *self.kept.lock());
        // A handshake that is under way ends by itself, which no server holds against its client.
        let open = kept
            .into_values()
            .filter_map(|kept| if let Kept::Open(session) = kept { Some(session) } else { None });
        let goodbyes = open.map(OpenSession::close).collect::<Vec<_>>();
        let late = std::mem::take(&mut *self.late.lock());
        Box::pin(async {
            join(join_all(goodbyes), join_all(late)).await;
        })
    }
}

impl RunSessions<'_> {
    fn keep(&self, address: IpAddr, session: OpenSession, role: Role) -> Role {
        self.kept.lock().insert(address, Kept::Open(session));
        role
    }

    async fn secret(&self) -> Result<Credentials, Failure> {
        let fetch = {
            let mut secret = self.secret.lock();
            let is_of_use = |fetch: &&Shared<_>| fetch.peek().is_none_or(Result::is_ok);
            match secret.fetch.as_ref().filter(is_of_use) {
                Some(fetch) => fetch.clone(),
                None => secret.fetch.insert(self.fetch()).clone(),
            }
        };
        fetch.await
    }

    fn fetch(&self) -> Shared<BoxFuture<'static, Result<Credentials, Failure>>> {
        let provider = Arc::clone(&self.probe.provider);
        let endpoint = HostPort { host: String::new(), port: self.binding.port };
        let fetch = tokio::spawn(async move { credentials(&provider, &endpoint).await });
        async move { fetch.await.unwrap_or_else(|lost| Err(panicked(&lost))) }.boxed().shared()
    }

    async fn credentials(&self, endpoint: &HostPort) -> Result<Credentials, Failure> {
        let provider = &self.probe.provider;
        match provider.login() {
            LoginMethod::Iam(_) => credentials(provider, endpoint).await,
            LoginMethod::Secret(_) => self.secret().await,
        }
    }

    fn refused(&self, error: &ConnectError) -> Failure {
        let failure = error.failure();
        let mut secret = self.secret.lock();
        if failure.kind == "LoginRefused" && !std::mem::replace(&mut secret.was_refused, true) {
            secret.fetch = None;
        }
        failure
    }

    async fn open(&self, address: IpAddr, name: &str) -> Result<Opening, Failure> {
        let address = SocketAddr::new(address, self.binding.port);
        Ok(spawn_limited(self.dial(address, name, OPEN_LIMIT).await?))
    }

    /// A session at the address, logged in as at the endpoint of this name.
    async fn dial(
        &self,
        address: SocketAddr,
        name: &str,
        tcp_limit: Duration,
    ) -> Result<BoxFuture<'static, Result<OpenSession, ConnectError>>, Failure> {
        let endpoint = HostPort { host: name.to_owned(), port: self.binding.port };
        let credentials = self.credentials(&endpoint).await?;
        Ok(match self.binding.engine {
            Some(Engine::MySql) => {
                let options = self.probe.mysql().clone();
                let open = async move {
                    Connection::open(&options, &endpoint, Some(address), &credentials).await
                };
                open.map(|session| session.map(OpenSession::MySql)).boxed()
            }
            // A binding without an engine has no sessions.
            Some(Engine::Postgres) | None => {
                let tls = self.probe.postgres().clone();
                let open = async move {
                    postgres::Session::open(address, &endpoint, &credentials, &tls, tcp_limit).await
                };
                open.map(|session| session.map(OpenSession::Postgres)).boxed()
            }
        })
    }
}

impl PendingSession<'_> {
    async fn session(mut self) -> Result<OpenSession, ConnectError> {
        let Some(opening) = &mut self.opening else {
            return Err(ConnectError::Connection(ErrorKind::NotFound.into()));
        };
        let opened = opening.await;
        self.opening = None;
        opened.unwrap_or_else(|error| Err(ConnectError::Connection(io::Error::other(error))))
    }
}

impl Drop for PendingSession<'_> {
    fn drop(&mut self) {
        if let Some(opening) = self.opening.take() {
            self.kept.lock().insert(self.address, Kept::Opening(opening));
        }
    }
}

impl OpenSession {
    async fn ask(&mut self) -> Result<Server, ConnectError> {
        match self {
            OpenSession::Postgres(session) => session.ask().await,
            OpenSession::MySql(connection) => mysql::ask(connection).await,
        }
    }

    async fn close(self) {
        let goodbye = async {
            match self {
                OpenSession::Postgres(session) => session.close().await,
                OpenSession::MySql(connection) => connection.close().await,
            }
        };
        if timeout(CLOSE_LIMIT, goodbye).await.is_err() {
            debug!("the session did not end in time");
        }
    }
}

async fn credentials(
    provider: &CredentialProvider,
    endpoint: &HostPort,
) -> Result<Credentials, Failure> {
    provider.credentials(endpoint).await.map_err(|error| ConnectError::Login(error).failure())
}

fn panicked(lost: &JoinError) -> Failure {
    Failure { kind: "Panicked", message: lost.to_string() }
}

/// In a task of its own, which goes on while nobody waits for it, up to [`OPEN_LIMIT`].
fn spawn_limited<T: Send + 'static>(
    work: impl Future<Output = Result<T, ConnectError>> + Send + 'static,
) -> JoinHandle<Result<T, ConnectError>> {
    let timed_out = |_| Err(ConnectError::Timeout { seconds: OPEN_LIMIT.as_secs() });
    tokio::spawn(async move { timeout(OPEN_LIMIT, work).await.unwrap_or_else(timed_out) })
}

/// What an error says about the path to the server.
fn obstacle(error: &ConnectError) -> Obstacle {
    match error {
        ConnectError::Login(_) => Obstacle::Inconclusive,
        ConnectError::Tls(_) => Obstacle::Tls,
        ConnectError::Connection(_) | ConnectError::Timeout { .. } => Obstacle::Unreachable,
        ConnectError::Protocol(_) | ConnectError::Refused { known: None, .. } => Obstacle::Refused,
        ConnectError::Refused { known: Some(hint), .. } => match hint.kind {
            HintKind::FunctionBlocked => Obstacle::Blocked,
            HintKind::ServerRefused => Obstacle::Refused,
            HintKind::HostNotAllowed
            | HintKind::LoginRefused
            | HintKind::PrivilegeMissing
            | HintKind::ServerFull
            | HintKind::ServerNotReady => Obstacle::Inconclusive,
        },
    }
}
