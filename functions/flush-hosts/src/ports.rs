//! What the loop needs from AWS and from servers; tests implement these traits with fakes.

use std::future::Future;

use base::database::HostPort;
use platform::error::AwsError;

use crate::cache::HostCacheRow;
use crate::config::Database;
use crate::error::ServerError;
use crate::version::Statement;

/// Knows which instances a database has.
pub trait Instances: Send + Sync + 'static {
    /// Every instance of the database, whatever its status.
    ///
    /// # Errors
    /// When RDS refused or could not be reached, after the SDK's retries.
    fn list(
        &self,
        database: &Database,
    ) -> impl Future<Output = Result<Vec<DbInstance>, AwsError>> + Send;
}

/// Opens sessions.
pub trait Servers: Send + Sync + 'static {
    /// A session with one server.
    type Session: ServerSession;

    /// Logs in.
    ///
    /// # Errors
    /// Whatever kept the function from a session.
    fn connect(
        &self,
        endpoint: &HostPort,
    ) -> impl Future<Output = Result<Self::Session, ServerError>> + Send;
}

/// A session with a server.
pub trait ServerSession: Send {
    /// What the server is and how it is set.
    ///
    /// # Errors
    /// When the server refused or the connection broke.
    fn settings(&mut self) -> impl Future<Output = Result<Settings, ServerError>> + Send;

    /// The host cache as the performance schema shows it.
    ///
    /// # Errors
    /// As [`ServerSession::settings`].
    fn host_cache(&mut self)
    -> impl Future<Output = Result<Vec<HostCacheRow>, ServerError>> + Send;

    /// Empties the host cache.
    ///
    /// # Errors
    /// As [`ServerSession::settings`].
    fn flush(
        &mut self,
        statement: Statement,
    ) -> impl Future<Output = Result<(), ServerError>> + Send;

    /// Says good-bye.
    fn close(self) -> impl Future<Output = ()> + Send;
}

/// An instance as the RDS API describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DbInstance {
    /// The DB instance identifier.
    pub id: String,
    /// Such as `available` or `creating`.
    pub status: String,
    /// Such as `aurora-mysql`; absent if the API did not say.
    pub engine: Option<String>,
    /// Absent while the instance has none.
    pub endpoint: Option<HostPort>,
}

/// What a server is and how it is set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The answer to `SELECT VERSION()`.
    pub version: String,
    /// `max_connect_errors`, at least 1.
    pub max_connect_errors: u64,
    /// Whether the performance schema is on. Without it MariaDB shows an empty host cache.
    pub has_performance_schema: bool,
}
