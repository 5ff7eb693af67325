//! One session with PostgreSQL or Aurora PostgreSQL.

use std::error::Error as _;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use base::database::HostPort;
use platform::connect_error::{ConnectError, TlsError};
use platform::error::chain;
use platform::login::Credentials;
use platform::server_error;
use reconcile::claim::Role;
use reconcile::path::Server;
use tokio::task::JoinHandle;
use tokio_postgres::config::SslMode;
use tokio_postgres::{Client, Config, Error, SimpleQueryMessage};
use tokio_postgres_rustls::MakeRustlsConnect;
use tracing::debug;

/// In recovery is every standby, and every reader of Aurora and of a Multi-AZ DB cluster. Another
/// server may be read only for new sessions by a default of its configuration, as a switchover can
/// fence it: unknown. A default of the role or the database keeps only this login from writing, so
/// that `transaction_read_only` alone would not do. Which source RDS gives the default of a blue
/// database is to be watched on AWS.
///
/// Source: PostgreSQL manual, "Recovery Information Functions", "default_transaction_read_only" and
/// "pg_settings", whose `source` has `user`, `database` and `database user` for such defaults
/// (`GucSource_Names` in `guc_tables.c`; `global` is `ALTER ROLE ALL`); AWS JDBC wrapper,
/// `IsReaderQuery`.
///
/// Its address and its start tell who it is: a load balancer rewrites a packet's destination to the
/// target's address (NLB user guide), and a restart may lie between two answers. Neither needs a
/// grant ("Session Information Functions").
const QUERY: &str = "SELECT pg_is_in_recovery(), \
    (SELECT setting = 'on' AND source NOT IN ('user', 'database', 'database user') \
     FROM pg_catalog.pg_settings WHERE name = 'default_transaction_read_only'), \
    concat(inet_server_addr(), ', started ', pg_postmaster_start_time())";

/// The one database that every server has (RDS too); nothing in it is read.
const DATABASE: &str = "postgres";

/// A server that acknowledges nothing for so long is gone.
const UNACKNOWLEDGED: Duration = Duration::from_secs(5);

pub(super) struct Session {
    client: Client,
    connection: Connection,
}

/// The driver's task, which would hold the session until a question that was given up is answered.
struct Connection(JoinHandle<()>);

impl Drop for Connection {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Session {
    pub(super) async fn open(
        address: SocketAddr,
        endpoint: &HostPort,
        credentials: &Credentials,
        tls: &MakeRustlsConnect,
        tcp_limit: Duration,
    ) -> Result<Session, ConnectError> {
        let mut config = Config::new();
        config
            .host(&endpoint.host)
            .hostaddr(address.ip())
            .port(address.port())
            .user(&credentials.username)
            .password(&credentials.password)
            .dbname(DATABASE)
            .application_name("failover-sync")
            .connect_timeout(tcp_limit)
            .tcp_user_timeout(UNACKNOWLEDGED)
            .ssl_mode(SslMode::Require);
        let (client, connection) = config.connect(tls.clone()).await.map_err(connect_error)?;
        let connection = Connection(tokio::spawn(async move {
            if let Err(error) = connection.await {
                debug!(error = chain(&error), "the session ended");
            }
        }));
        Ok(Session { client, connection })
    }

    pub(super) async fn ask(&mut self) -> Result<Server, ConnectError> {
        let answer = self.client.simple_query(QUERY).await.map_err(connect_error)?;
        let row = answer.iter().find_map(|message| match message {
            SimpleQueryMessage::Row(row) => Some([0, 1, 2].map(|column| row.get(column))),
            _ => None,
        });
        let role = match row {
            Some([Some("t"), ..]) => Role::Reader,
            Some([Some("f"), Some("t"), _]) => Role::Unknown,
            Some([Some("f"), Some("f"), _]) => Role::Writer,
            other => {
                let problem = format!("its role cannot be read from {other:?}");
                return Err(ConnectError::Protocol(problem));
            }
        };
        let identity = row.and_then(|[.., identity]| identity).unwrap_or_default().to_owned();
        Ok(Server { role, identity })
    }

    pub(super) async fn close(self) {
        let Session { client, mut connection } = self;
        drop(client);
        if let Err(error) = (&mut connection.0).await {
            debug!(%error, "the session did not end properly");
        }
    }
}

fn connect_error(error: Error) -> ConnectError {
    if let Some(answer) = error.as_db_error() {
        let (code, message) = (answer.code().code().to_owned(), answer.message().to_owned());
        return ConnectError::Refused { known: server_error::postgres_hint(&code), code, message };
    }
    let text = chain(&error);
    let is_tls = error.to_string() == "error performing TLS handshake";
    if error.source().is_none() && error.is_closed() {
        return ConnectError::Connection(io::Error::new(io::ErrorKind::ConnectionAborted, text));
    }
    match error.into_source().map(|source| source.downcast::<io::Error>()) {
        Some(Ok(error)) => ConnectError::from(*error),
        // The driver's only text without a type; it is what it says of a server without TLS.
        Some(Err(other)) if other.to_string() == "server does not support TLS" => {
            ConnectError::Tls(TlsError::NotOffered(other.to_string()))
        }
        Some(Err(other)) if is_tls => ConnectError::Tls(other.into()),
        _ => ConnectError::Protocol(text),
    }
}
