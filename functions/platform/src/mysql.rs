//! Connections to MySQL, Aurora MySQL and MariaDB, over TLS that proves who the server is.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;

use mysql_async::TlsError as DriverTlsError;
use mysql_async::prelude::{FromRow, Queryable};
use mysql_async::{
    Conn, DriverError, Error, IoError, Opts, OptsBuilder, Row, SslOpts, from_row_opt,
};
use tracing::debug;

use crate::connect_error::{ConnectError, TlsError};
use crate::login::Credentials;
use crate::server_error;
use base::database::HostPort;

/// What all connections share, and clones too: TLS is configured for the first one.
#[derive(Clone)]
pub struct ConnectOptions(Opts);

impl ConnectOptions {
    /// For servers that these authorities vouch for, as PEM, and no others.
    pub fn new(authorities: Vec<u8>) -> ConnectOptions {
        let tls = SslOpts::default().with_root_certs(vec![authorities.into()]);
        let tls = tls.with_disable_built_in_roots(true);
        let options = OptsBuilder::default().prefer_socket(false).ssl_opts(tls);
        let options = options.max_allowed_packet(Some(MAX_PACKET)).wait_timeout(Some(WAIT_TIMEOUT));
        ConnectOptions(options.into())
    }
}

/// A connection that is logged in.
pub struct Connection(Option<Conn>);

impl Connection {
    /// Connects to the address, or else by name; the certificate must be for the endpoint's name,
    /// and a token is signed for the endpoint whatever is dialled.
    ///
    /// # Errors
    /// Whatever kept the function out. It waits for a silent server without a limit.
    pub async fn open(
        options: &ConnectOptions,
        endpoint: &HostPort,
        address: Option<SocketAddr>,
        credentials: &Credentials,
    ) -> Result<Connection, ConnectError> {
        let options = OptsBuilder::from_opts(options.0.clone())
            .ip_or_hostname(&endpoint.host)
            .resolved_ips(address.map(|address| vec![address.ip()]))
            .tcp_port(address.map_or(endpoint.port, |address| address.port()))
            .user(Some(&credentials.username))
            .pass(Some(&credentials.password))
            .enable_cleartext_plugin(credentials.is_token);
        Conn::new(options).await.map(|conn| Connection(Some(conn))).map_err(connect_error)
    }

    /// The rows of the answer to a statement, which is sent as text.
    ///
    /// # Errors
    /// When the server refused it, the connection broke, or a row has other columns than `T`.
    pub async fn query<T: FromRow>(&mut self, statement: &str) -> Result<Vec<T>, ConnectError> {
        let rows: Vec<Row> = self.conn()?.query(statement).await.map_err(connect_error)?;
        // At a row of another type the driver would panic.
        let rows: Result<_, _> = rows.into_iter().map(from_row_opt).collect();
        rows.map_err(|error| ConnectError::Protocol(error.to_string()))
    }

    /// Executes a statement, which is sent as text: not every server can prepare a FLUSH.
    ///
    /// # Errors
    /// When the server refused it, or the connection broke.
    pub async fn execute(&mut self, statement: &str) -> Result<(), ConnectError> {
        self.conn()?.query_drop(statement).await.map_err(connect_error)
    }

    /// Says goodbye and ends TLS.
    pub async fn close(mut self) {
        let Some(conn) = self.0.take() else { return };
        if let Err(error) = conn.disconnect().await {
            debug!(%error, "the session did not end properly");
        }
    }

    fn conn(&mut self) -> Result<&mut Conn, ConnectError> {
        self.0.as_mut().ok_or_else(|| connect_error(DriverError::ConnectionClosed.into()))
    }
}

impl Drop for Connection {
    /// Where tasks can be spawned, the driver would hold the session until an answer comes.
    fn drop(&mut self) {
        if let Some(conn) = self.0.take() {
            std::thread::spawn(move || drop(conn));
        }
    }
}

/// Without these values the driver asks the server for them.
const MAX_PACKET: usize = 1 << 20;
const WAIT_TIMEOUT: usize = 28_800;

fn connect_error(error: Error) -> ConnectError {
    match error {
        Error::Server(answer) => {
            let known = server_error::mysql_hint(answer.code);
            let (code, message) = (answer.code.to_string(), answer.message);
            ConnectError::Refused { code, message, known }
        }
        // A handshake that rustls gave up comes as an I/O error, and so does what is no packet.
        Error::Io(IoError::Io(error)) => match (error.kind(), ConnectError::from(error)) {
            (ErrorKind::InvalidData | ErrorKind::Other, ConnectError::Connection(error)) => {
                ConnectError::Protocol(error.to_string())
            }
            (_, error) => error,
        },
        Error::Io(IoError::Tls(DriverTlsError::Tls(refused))) => ConnectError::Tls(refused.into()),
        Error::Io(IoError::Tls(other)) => ConnectError::Tls(TlsError::Other(other.to_string())),
        Error::Driver(error @ DriverError::NoClientSslFlagFromServer) => {
            ConnectError::Tls(TlsError::NotOffered(error.to_string()))
        }
        Error::Driver(error @ DriverError::ConnectionClosed) => {
            let error = io::Error::new(ErrorKind::ConnectionAborted, error.to_string());
            ConnectError::Connection(error)
        }
        // Its text has that of its sources.
        other => ConnectError::Protocol(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use mysql_async::ServerError;
    use rustls::{CertificateError, Error as RustlsError};

    use super::*;

    #[test]
    fn the_drivers_errors_are_told_apart() {
        let expired = || RustlsError::InvalidCertificate(CertificateError::Expired);
        let answered = |code| ServerError { code, message: "no".into(), state: "HY000".into() };
        let plugin = DriverError::UnknownAuthPlugin { name: "sha256_password".into() };
        for (error, kind) in [
            (io::Error::new(ErrorKind::InvalidData, expired()).into(), "TlsRefused"),
            (io::Error::new(ErrorKind::InvalidData, "no packet").into(), "ProtocolMismatch"),
            (io::Error::other("packets out of sync").into(), "ProtocolMismatch"),
            (io::Error::from(ErrorKind::ConnectionRefused).into(), "ConnectionFailed"),
            (expired().into(), "TlsRefused"),
            (DriverError::NoClientSslFlagFromServer.into(), "TlsRefused"),
            (DriverError::ConnectionClosed.into(), "ConnectionFailed"),
            (plugin.into(), "ProtocolMismatch"),
            (answered(1129).into(), "FunctionBlocked"),
            (answered(1064).into(), "ServerRefused"),
        ] {
            let error: Error = error;
            let shown = error.to_string();
            assert_eq!(connect_error(error).kind(), kind, "{shown}");
        }
    }
}
