//! One MySQL or MariaDB server, over TLS that proves who it is.

use std::time::Duration;

use base::database::HostPort;
use platform::connect_error::ConnectError;
use platform::login::CredentialProvider;
use platform::mysql::{ConnectOptions, Connection};
use tokio::time::timeout;
use tracing::debug;

use crate::cache::HostCacheRow;
use crate::error::ServerError;
use crate::ports::{ServerSession, Servers, Settings};
use crate::version::Statement;

/// Name resolution, TCP, TLS and the login together.
pub(crate) const CONNECT_LIMIT: Duration = Duration::from_secs(10);

const CLOSE_LIMIT: Duration = Duration::from_secs(1);

/// The port [`Servers`] over the real protocol.
pub struct MySql {
    /// Gives the user and the password.
    pub provider: CredentialProvider,
    /// Says who may vouch for a server.
    pub options: ConnectOptions,
}

/// The port [`ServerSession`] over the real protocol.
pub struct MySqlSession(Connection);

impl Servers for MySql {
    type Session = MySqlSession;

    async fn connect(&self, endpoint: &HostPort) -> Result<MySqlSession, ServerError> {
        let credentials = self.provider.credentials(endpoint).await.map_err(ConnectError::Login)?;
        let open = Connection::open(&self.options, endpoint, None, &credentials);
        match timeout(CONNECT_LIMIT, open).await {
            Ok(connection) => Ok(MySqlSession(connection?)),
            Err(_) => {
                let seconds = CONNECT_LIMIT.as_secs();
                Err(ServerError::NoGreeting(ConnectError::Timeout { seconds }))
            }
        }
    }
}

// CAST, because servers differ in the types of these columns.
const SETTINGS: &str = "SELECT VERSION(), CAST(@@global.max_connect_errors AS UNSIGNED), \
                        CAST(@@global.performance_schema AS UNSIGNED)";

// The server's clock on both sides, in seconds since 1970: no other clock comes into it, and no
// change of a time zone's. SIGNED: a negative difference of unsigned numbers is an error.
const HOST_CACHE: &str = "SELECT CAST(IP AS CHAR), CAST(SUM_CONNECT_ERRORS AS UNSIGNED), \
    CAST(COUNT_HOST_BLOCKED_ERRORS AS UNSIGNED), CAST(COUNT_HANDSHAKE_ERRORS AS UNSIGNED), \
    CAST(GREATEST(CAST(UNIX_TIMESTAMP() AS SIGNED) - \
    CAST(UNIX_TIMESTAMP(FIRST_SEEN) AS SIGNED), 0) AS UNSIGNED) FROM performance_schema.host_cache";

impl ServerSession for MySqlSession {
    async fn settings(&mut self) -> Result<Settings, ServerError> {
        let rows: Vec<(String, u64, u64)> = self.0.query(SETTINGS).await?;
        let row = rows.into_iter().next();
        let row = row.ok_or_else(|| ConnectError::Protocol("it shows no settings".to_owned()))?;
        let (version, max_connect_errors, performance_schema) = row;
        let has_performance_schema = performance_schema != 0;
        Ok(Settings { version, max_connect_errors, has_performance_schema })
    }

    async fn host_cache(&mut self) -> Result<Vec<HostCacheRow>, ServerError> {
        let rows: Vec<(Option<String>, u64, u64, u64, u64)> = self.0.query(HOST_CACHE).await?;
        let rows = rows.into_iter();
        let parsed = rows.map(|(address, connect_errors, refused, handshake_errors, seconds)| {
            HostCacheRow {
                // No server is known that leaves it out; one that does is flushed all the same.
                address: address.unwrap_or_default(),
                connect_errors,
                refused,
                handshake_errors,
                age: Duration::from_secs(seconds),
            }
        });
        Ok(parsed.collect())
    }

    async fn flush(&mut self, statement: Statement) -> Result<(), ServerError> {
        Ok(self.0.execute(statement.sql()).await?)
    }

    async fn close(self) {
        // Everything was done in it: a goodbye that is not taken must not cost what was verified.
        if timeout(CLOSE_LIMIT, self.0.close()).await.is_err() {
            debug!("the session did not end in time");
        }
    }
}
