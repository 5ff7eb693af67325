//! A session with a database server, whatever protocol it speaks: what keeps a function from one.

use std::error::Error;
use std::io;

use base::report::Failure;
use thiserror::Error;

use crate::error::chain;
use crate::login::LoginError;
use crate::server_error::{Hint, HintKind};

/// Why there is no session with a server, or none any more.
#[derive(Debug, Error)]
pub enum ConnectError {
    /// There is nothing to log in with.
    #[error("the function has nothing to log in with")]
    Login(#[source] LoginError),
    /// There is no TLS with this server that proves who it is.
    #[error("{}", .0.text())]
    Tls(#[source] TlsError),
    /// The network refused or broke the connection, or there is no such name.
    #[error(
        "the connection could not be made, or broke: check the name and port, that the database's \
         security group lets the function in, and that the server is up"
    )]
    Connection(#[source] io::Error),
    /// The server answered with an error of its own.
    #[error("the server answered with error {code}, {message:?}{}", remedy_of(*known))]
    Refused {
        /// Its code.
        code: String,
        /// Its text.
        message: String,
        /// What it means.
        known: Option<Hint>,
    },
    /// What the server sent is not what a server of its kind sends.
    #[error(
        "the server does not speak its protocol as this function does ({0}): check that the port \
         is that of the database, that the engine is the right one, and that the account logs in \
         with IAM or a password (MySQL: AWSAuthenticationPlugin, caching_sha2_password or \
         mysql_native_password)"
    )]
    Protocol(String),
    /// No session within the time for it.
    #[error(
        "no session within {seconds} s: let the database's security group admit the function's on \
         the port, and give the function's subnets a route to it"
    )]
    Timeout {
        /// The time that was given.
        seconds: u64,
    },
}

impl ConnectError {
    /// The failure as a report carries it: a stable name and the whole chain.
    pub fn failure(&self) -> Failure {
        Failure { kind: self.kind(), message: chain(self) }
    }

    /// A stable name.
    pub fn kind(&self) -> &'static str {
        match self {
            ConnectError::Login(source) => source.kind(),
            ConnectError::Tls(_) => "TlsRefused",
            ConnectError::Connection(_) => "ConnectionFailed",
            ConnectError::Refused { known, .. } => {
                known.map_or(HintKind::ServerRefused, |known| known.kind).into()
            }
            ConnectError::Protocol(_) => "ProtocolMismatch",
            ConnectError::Timeout { .. } => "Timeout",
        }
    }
}

impl From<io::Error> for ConnectError {
    /// A handshake that rustls gave up comes as an I/O error around its reason.
    fn from(error: io::Error) -> ConnectError {
        match error.downcast::<rustls::Error>() {
            Ok(refused) => ConnectError::Tls(TlsError::Refused(refused)),
            Err(error) => ConnectError::Connection(error),
        }
    }
}

fn remedy_of(known: Option<Hint>) -> String {
    known.map(|known| format!(": {}", known.remedy)).unwrap_or_default()
}

/// Why there is no TLS with a server.
#[derive(Debug, Error)]
pub enum TlsError {
    /// The server offers none.
    #[error("{0}")]
    NotOffered(String),
    /// The library's word for it.
    #[error(transparent)]
    Refused(#[from] rustls::Error),
    /// Anything else about it.
    #[error("{0}")]
    Other(String),
}

impl From<Box<dyn Error + Send + Sync>> for TlsError {
    fn from(error: Box<dyn Error + Send + Sync>) -> TlsError {
        match error.downcast::<rustls::Error>() {
            Ok(refused) => TlsError::Refused(*refused),
            Err(other) => TlsError::Other(other.to_string()),
        }
    }
}

impl TlsError {
    fn text(&self) -> &'static str {
        use rustls::CertificateError as Certificate;
        match self {
            TlsError::NotOffered(_) => {
                "the server offers no TLS, and the function sends no password without it: enable \
                 TLS on the server"
            }
            TlsError::Refused(rustls::Error::InvalidCertificate(certificate)) => {
                match certificate {
                    Certificate::UnknownIssuer | Certificate::BadSignature => {
                        "the server's certificate is signed by nobody whom the function trusts: \
                         give the PEM file of its authority in CA_BUNDLE; RDS's are shipped"
                    }
                    Certificate::Expired | Certificate::ExpiredContext { .. } => {
                        "the server's certificate, or that of its authority, has expired: give the \
                         instance a current one (RDS: modify the certificate authority), and \
                         CA_BUNDLE a current bundle"
                    }
                    Certificate::NotValidYet | Certificate::NotValidYetContext { .. } => {
                        "the server's certificate is not valid yet: check the clocks"
                    }
                    Certificate::NotValidForName | Certificate::NotValidForNameContext { .. } => {
                        "the server's certificate is for another name than the instance's \
                         endpoint: the name leads to another server, or the certificate is not one \
                         of RDS's"
                    }
                    _ => {
                        "the server's certificate was refused: check the instance's certificate \
                         authority and CA_BUNDLE"
                    }
                }
            }
            TlsError::Refused(_) | TlsError::Other(_) => {
                "TLS with the server failed: check the server's TLS versions (1.2 or 1.3) and \
                 CA_BUNDLE"
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use rustls::CertificateError;

    use super::*;

    #[test]
    fn each_certificate_that_is_refused_says_why() {
        for (certificate, expected) in [
            (CertificateError::UnknownIssuer, "nobody whom the function trusts"),
            (CertificateError::Expired, "has expired"),
            (CertificateError::NotValidForName, "for another name"),
            (CertificateError::NotValidYet, "not valid yet"),
            (CertificateError::Revoked, "was refused"),
        ] {
            let error = ConnectError::Tls(rustls::Error::InvalidCertificate(certificate).into());
            assert!(error.to_string().contains(expected), "{error}");
        }
    }
}
