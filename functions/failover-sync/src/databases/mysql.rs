//! One session with MySQL, Aurora MySQL or MariaDB.

use std::io::{self, ErrorKind};
use std::net::IpAddr;

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, DriverError, Error, IoError, Opts, OptsBuilder, SslOpts, TlsError as DriverTlsError};
use platform::error::chain;
use platform::login::Credentials;
use platform::refusal;
use platform::session::{Endpoint, SessionError, TlsError};
use reconcile::claim::Voice;
use tracing::debug;

/// A list and not `SELECT @@…`: a variable that the server does not know is an error there, and no row here. It needs no
/// privilege.
///
/// Source: "Determining which DB instance you are connected to" in the Aurora user guide; ProxySQL and MaxScale for Aurora,
/// where a reader has `innodb_read_only` on and `read_only` off; "read_only" and "transaction_read_only" (MariaDB before 11.1:
/// "tx_read_only") in the manuals of MySQL and MariaDB.
const QUESTION: &str = "SHOW GLOBAL VARIABLES WHERE Variable_name IN \
    ('aurora_version', 'innodb_read_only', 'read_only', 'transaction_read_only', 'tx_read_only')";

/// The driver would ask the server for these.
const MAX_PACKET: usize = 1 << 20;
const WAIT_TIMEOUT: usize = 28_800;

/// What the sessions with all databases have in common: one TLS configuration among it.
pub(super) fn options(authorities: Vec<u8>) -> Opts {
    let tls = SslOpts::default().with_root_certs(vec![authorities.into()]).with_disable_built_in_roots(true);
    let options = OptsBuilder::default().prefer_socket(false).ssl_opts(tls);
    options.max_allowed_packet(Some(MAX_PACKET)).wait_timeout(Some(WAIT_TIMEOUT)).into()
}

pub(super) struct Session(Option<Conn>);

impl Session {
    pub(super) async fn open(
        address: IpAddr,
        endpoint: &Endpoint,
        credentials: &Credentials,
        options: &Opts,
    ) -> Result<Session, SessionError> {
        let options = OptsBuilder::from_opts(options.clone())
            .ip_or_hostname(&endpoint.host)
            .resolved_ips(Some(vec![address]))
            .tcp_port(endpoint.port)
            .user(Some(&credentials.username))
            .pass(Some(&credentials.password))
            .enable_cleartext_plugin(credentials.is_token);
        Conn::new(options).await.map(|session| Session(Some(session))).map_err(session_error)
    }

    pub(super) async fn ask(&mut self) -> Result<Voice, SessionError> {
        let Some(session) = &mut self.0 else { return Err(session_error(DriverError::ConnectionClosed.into())) };
        let variables: Vec<(String, String)> = session.query(QUESTION).await.map_err(session_error)?;
        voice(&variables)
    }

    pub(super) async fn close(mut self) {
        let Some(session) = self.0.take() else { return };
        if let Err(error) = session.disconnect().await {
            debug!(%error, "the session did not end properly");
        }
    }
}

impl Drop for Session {
    /// Where tasks can be spawned the driver would wait for the answer to a question that was given up, and hold the session
    /// until it came. Elsewhere it closes the connection.
    fn drop(&mut self) {
        if let Some(session) = self.0.take() {
            std::thread::spawn(move || drop(session));
        }
    }
}

/// On Aurora only `innodb_read_only` tells a reader; elsewhere a replica has `read_only`, which is an enumeration in newer
/// MariaDB. A writer that is read only for every new session, on Aurora by `read_only` and anywhere by a default for
/// transactions, is unknown: an operator or a switchover has made it so.
fn voice(variables: &[(String, String)]) -> Result<Voice, SessionError> {
    let value =
        |name: &str| variables.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value);
    let is_on = |value: &String| !matches!(value.to_ascii_uppercase().as_str(), "OFF" | "0");
    let unknown = || SessionError::Protocol("it shows no variable read_only".to_owned());
    let is_aurora = value("aurora_version").is_some();
    let innodb = value("innodb_read_only").is_some_and(is_on);
    let read_only = value("read_only")
        .map(is_on)
        .ok_or_else(unknown)
        .or_else(|error| if is_aurora { Ok(false) } else { Err(error) })?;
    let by_default = ["transaction_read_only", "tx_read_only"].into_iter().any(|name| value(name).is_some_and(is_on));
    Ok(match (innodb, read_only, is_aurora) {
        (true, _, _) | (false, true, false) => Voice::ReadOnly,
        (false, true, true) => Voice::Unknown,
        (false, false, _) if by_default => Voice::Unknown,
        (false, false, _) => Voice::TakesWrites,
    })
}

fn session_error(error: Error) -> SessionError {
    match error {
        Error::Server(answer) => {
            let (code, message) = (answer.code, answer.message);
            SessionError::Refused { known: refusal::of_mysql(code), code: code.to_string(), message }
        }
        // What is no packet comes as an I/O error, like a handshake that rustls gave up.
        Error::Io(IoError::Io(error)) => match SessionError::from(error) {
            SessionError::Connection(error) if matches!(error.kind(), ErrorKind::InvalidData | ErrorKind::Other) => {
                SessionError::Protocol(error.to_string())
            }
            other => other,
        },
        Error::Io(IoError::Tls(DriverTlsError::Tls(refused))) => SessionError::Tls(TlsError::Refused(refused)),
        Error::Io(IoError::Tls(other)) => SessionError::Tls(TlsError::Other(other.to_string())),
        Error::Driver(error @ DriverError::NoClientSslFlagFromServer) => {
            SessionError::Tls(TlsError::NotOffered(error.to_string()))
        }
        Error::Driver(error @ DriverError::ConnectionClosed) => {
            SessionError::Connection(io::Error::new(ErrorKind::ConnectionAborted, error.to_string()))
        }
        other => SessionError::Protocol(chain(&other)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_server_tells_in_its_own_variables_whether_it_takes_writes() {
        for (variables, expected) in [
            (vec![("innodb_read_only", "OFF"), ("read_only", "OFF")], Some(Voice::TakesWrites)),
            (vec![("innodb_read_only", "OFF"), ("read_only", "ON")], Some(Voice::ReadOnly)),
            (vec![("innodb_read_only", "ON"), ("read_only", "OFF")], Some(Voice::ReadOnly)),
            (vec![("read_only", "NO_LOCK_NO_ADMIN")], Some(Voice::ReadOnly)),
            (vec![("aurora_version", "3.08"), ("innodb_read_only", "OFF"), ("read_only", "ON")], Some(Voice::Unknown)),
            (
                vec![("aurora_version", "3.08"), ("innodb_read_only", "OFF"), ("read_only", "OFF")],
                Some(Voice::TakesWrites),
            ),
            (vec![("read_only", "OFF"), ("transaction_read_only", "ON")], Some(Voice::Unknown)),
            (vec![("read_only", "OFF"), ("tx_read_only", "ON")], Some(Voice::Unknown)),
            (vec![("read_only", "OFF"), ("tx_read_only", "OFF")], Some(Voice::TakesWrites)),
            (vec![("read_only", "ON"), ("tx_read_only", "ON")], Some(Voice::ReadOnly)),
            (vec![("aurora_version", "3.08"), ("innodb_read_only", "ON"), ("read_only", "OFF")], Some(Voice::ReadOnly)),
            (vec![], None),
        ] {
            let owned: Vec<_> = variables.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
            assert_eq!(voice(&owned).ok(), expected, "{variables:?}");
        }
    }
}
