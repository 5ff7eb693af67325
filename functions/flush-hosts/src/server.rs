//! One MySQL or MariaDB server, over TLS that proves who it is.

use std::time::Duration;

use platform::login::Doorman;
use platform::session::{Endpoint, SessionError, TlsError};
use sqlx::mysql::{MySqlConnectOptions, MySqlConnection, MySqlDatabaseError, MySqlRow, MySqlSslMode};
use sqlx::{ConnectOptions, Connection, Executor, Row as _};
use tokio::time::timeout;
use tracing::debug;

use crate::cache::Row;
use crate::error::ServerError;
use crate::ports::{Servers, Session, Settings};
use crate::version::Statement;

/// Name resolution, TCP, TLS and the login together.
pub const CONNECT_LIMIT: Duration = Duration::from_secs(10);

/// Saying goodbye, and the end of TLS.
const CLOSE_LIMIT: Duration = Duration::from_secs(1);

/// The port [`Servers`] over the real protocol.
pub struct MySql {
    /// Gives the user and the password.
    pub doorman: Doorman,
    /// The certificate authorities, as PEM.
    pub authorities: Vec<u8>,
}

/// A session; every statement is sent as text, because not every server can prepare a FLUSH.
pub struct MySqlSession(MySqlConnection);

impl Servers for MySql {
    type Session = MySqlSession;

    async fn connect(&self, endpoint: &Endpoint) -> Result<MySqlSession, ServerError> {
        let credentials = self.doorman.credentials(endpoint).await.map_err(SessionError::Login)?;
        let options = MySqlConnectOptions::new()
            .host(&endpoint.host)
            .port(endpoint.port)
            .username(&credentials.username)
            .password(&credentials.password)
            .ssl_mode(MySqlSslMode::VerifyIdentity)
            .ssl_ca_from_pem(self.authorities.clone())
            .enable_cleartext_plugin(credentials.is_token);
        match timeout(CONNECT_LIMIT, options.connect()).await {
            Ok(Ok(connection)) => Ok(MySqlSession(connection)),
            Ok(Err(error)) => Err(server_error(error)),
            Err(_) => Err(ServerError::Silent(SessionError::Timeout { seconds: CONNECT_LIMIT.as_secs() })),
        }
    }
}

// CAST, because servers differ in the signs and widths of these columns, and the driver insists on a type.
const SETTINGS: &str = "SELECT VERSION(), CAST(@@global.max_connect_errors AS UNSIGNED), \
                        CAST(@@global.performance_schema AS UNSIGNED)";

// The server's own clock on both sides of the age, so that no time zone and no other clock comes into it.
const HOST_CACHE: &str = "SELECT CAST(IP AS CHAR), CAST(SUM_CONNECT_ERRORS AS UNSIGNED), \
                          CAST(COUNT_HOST_BLOCKED_ERRORS AS UNSIGNED), CAST(COUNT_HANDSHAKE_ERRORS AS UNSIGNED), \
                          CAST(GREATEST(TIMESTAMPDIFF(SECOND, FIRST_SEEN, NOW()), 0) AS UNSIGNED) \
                          FROM performance_schema.host_cache";

impl Session for MySqlSession {
    async fn settings(&mut self) -> Result<Settings, ServerError> {
        let row = self.0.fetch_one(SETTINGS).await.map_err(server_error)?;
        let settings = |row: &MySqlRow| {
            Ok(Settings {
                version: row.try_get(0)?,
                max_connect_errors: row.try_get(1)?,
                has_performance_schema: row.try_get::<u64, _>(2)? != 0,
            })
        };
        settings(&row).map_err(server_error)
    }

    async fn host_cache(&mut self) -> Result<Vec<Row>, ServerError> {
        let rows = self.0.fetch_all(HOST_CACHE).await.map_err(server_error)?;
        let parsed = |row: &MySqlRow| {
            Ok(Row {
                address: row.try_get(0)?,
                connect_errors: row.try_get(1)?,
                refused: row.try_get(2)?,
                handshake_errors: row.try_get(3)?,
                age: Duration::from_secs(row.try_get(4)?),
            })
        };
        rows.iter().map(parsed).collect::<Result<_, _>>().map_err(server_error)
    }

    async fn flush(&mut self, statement: Statement) -> Result<(), ServerError> {
        self.0.execute(statement.sql()).await.map(drop).map_err(server_error)
    }

    async fn close(self) {
        // Everything was done in it: a goodbye that is not taken must not cost what was verified.
        match timeout(CLOSE_LIMIT, self.0.close()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => debug!(%error, "the session did not end properly"),
            Err(_) => debug!("the session did not end in time"),
        }
    }
}

fn server_error(error: sqlx::Error) -> ServerError {
    match error {
        sqlx::Error::Database(answer) => match answer.try_downcast::<MySqlDatabaseError>() {
            Ok(answer) => ServerError::Answered { code: answer.number(), message: answer.message().to_owned() },
            Err(other) => ServerError::Protocol(other.to_string()),
        },
        // The driver's only text without a type; it is what it says of a server without TLS.
        sqlx::Error::Tls(error) if error.to_string() == "server does not support TLS" => {
            SessionError::Tls(TlsError::NotOffered(error.to_string())).into()
        }
        sqlx::Error::Tls(error) => SessionError::Tls(error.into()).into(),
        sqlx::Error::Io(error) => SessionError::from(error).into(),
        other => ServerError::Protocol(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use rustls::{CertificateError, Error as RustlsError};

    use super::*;

    #[test]
    fn the_drivers_errors_are_told_apart() {
        let expired = || RustlsError::InvalidCertificate(CertificateError::Expired);
        for (error, kind) in [
            (sqlx::Error::Io(io::Error::new(io::ErrorKind::InvalidData, expired())), "TlsRefused"),
            (sqlx::Error::Io(io::ErrorKind::ConnectionRefused.into()), "ConnectionFailed"),
            (sqlx::Error::Tls(Box::new(expired())), "TlsRefused"),
            (sqlx::Error::Tls("server does not support TLS".into()), "TlsRefused"),
            (sqlx::Error::Protocol("unexpected packet".into()), "ProtocolMismatch"),
        ] {
            let shown = error.to_string();
            assert_eq!(server_error(error).failure().kind, kind, "{shown}");
        }
    }
}
