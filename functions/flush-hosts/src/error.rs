//! What can go wrong, in words for the person who reads it at night.

use base::report::Failure;
use platform::connect_error::ConnectError;
use platform::error::chain;
use platform::server_error::{Hint, HintKind};
use thiserror::Error;

/// Why one instance could not be flushed.
#[derive(Debug, Error)]
pub enum ServerError {
    /// RDS says that it is another kind of database.
    #[error(
        "its engine is {0:?}, which has no host cache: correct DATABASE_IDENTIFIER, or remove this \
         function, which only MySQL and MariaDB need"
    )]
    OtherEngine(String),
    /// There is no session, or there is none any more.
    #[error(transparent)]
    Session(ConnectError),
    /// The server said nothing in the time for a session.
    #[error(
        "{0}; a server that is not MySQL or MariaDB is silent like this too, because it waits for \
         the client to speak first"
    )]
    NoGreeting(ConnectError),
    /// Not done within the time for an instance.
    #[error(
        "it was not done when the time for an instance ended{}: look at the server's load and SHOW \
         PROCESSLIST",
        if *.has_flushed { "; its host cache was flushed, but that was not verified" } else { "" }
    )]
    Unfinished {
        /// Whether the server had confirmed the flush.
        has_flushed: bool,
    },
    /// The flush was confirmed and did not help.
    #[error(
        "the server confirmed the flush and still blocks {}: set host_cache_size=0 in its \
         parameter group, which ends the blocking for good",
        .0.join(", ")
    )]
    StillBlocked(Vec<String>),
}

impl ServerError {
    /// The failure as the report carries it: a stable name and the whole chain.
    pub fn failure(&self) -> Failure {
        let kind = match self {
            ServerError::OtherEngine(_) => "OtherEngine",
            ServerError::Session(session) | ServerError::NoGreeting(session) => session.kind(),
            ServerError::Unfinished { .. } => "Timeout",
            ServerError::StillBlocked(_) => "StillBlocked",
        };
        Failure { kind, message: chain(self) }
    }

    pub(crate) fn has_code(&self, wanted: &str) -> bool {
        matches!(self, ServerError::Session(ConnectError::Refused { code, .. }) if code == wanted)
    }
}

impl From<ConnectError> for ServerError {
    /// What `platform` does not know as a refusal of a session may be one of a statement.
    fn from(error: ConnectError) -> ServerError {
        ServerError::Session(match error {
            ConnectError::Refused { code, message, known: None } => {
                ConnectError::Refused { known: hint_of_statement(&code), code, message }
            }
            other => other,
        })
    }
}

/// The server does not know the statement: ER_PARSE_ERROR.
pub(crate) const SYNTAX_ERROR: &str = "1064";

/// The account lacks a privilege on a table: ER_TABLEACCESS_DENIED_ERROR.
pub(crate) const TABLE_ACCESS_DENIED: &str = "1142";

fn hint_of_statement(code: &str) -> Option<Hint> {
    let (kind, remedy) = match code {
        TABLE_ACCESS_DENIED => (
            HintKind::PrivilegeMissing,
            "GRANT SELECT ON performance_schema.host_cache to the function's user, and from MySQL \
             8.3 on, where TRUNCATE empties it, DROP as well",
        ),
        "1227" => (HintKind::PrivilegeMissing, "GRANT RELOAD ON *.* to the function's user"),
        "1290" => (
            HintKind::ServerRefused,
            "an option of the server, such as read_only, forbids the statement on this instance; \
             set host_cache_size=0 in its parameter group, so that it needs no flush",
        ),
        SYNTAX_ERROR => (
            HintKind::ServerRefused,
            "the server knows no statement that empties the host cache; please report \
             its version",
        ),
        _ => return None,
    };
    Some(Hint { kind, remedy })
}

#[cfg(test)]
mod tests {
    use platform::server_error;

    use super::*;

    #[test]
    fn each_code_has_a_name_and_what_is_missing() {
        for (code, kind, remedy) in [
            (1045, "LoginRefused", "rds-db:connect"),
            (1698, "LoginRefused", "AWSAuthenticationPlugin"),
            (1142, "PrivilegeMissing", "GRANT SELECT ON performance_schema.host_cache"),
            (
                1142,
                "PrivilegeMissing",
                "from MySQL 8.3 on, where TRUNCATE empties it, DROP as well",
            ),
            (1227, "PrivilegeMissing", "GRANT RELOAD"),
            (1129, "FunctionBlocked", "it blocks this function's own address"),
            (1130, "HostNotAllowed", "the function's subnets"),
            (1290, "ServerRefused", "read_only"),
            (1040, "ServerFull", "max_connections"),
            (1064, "ServerRefused", "its version"),
            (3118, "ServerRefused", "error 3118, \"no\""),
        ] {
            let (known, message) = (server_error::mysql_hint(code), "no".into());
            let refused = ConnectError::Refused { code: code.to_string(), message, known };
            let failure = ServerError::from(refused).failure();
            assert_eq!(failure.kind, kind, "{code}");
            assert!(
                failure.message.contains(remedy) && failure.message.contains(&code.to_string()),
                "{failure:?}"
            );
        }
    }
}
