//! TLS for the two servers, whose package was compiled without it.
//!
//! Before each server stands a door on the server's own address. It does what PostgreSQL's own TLS does: it answers the
//! client's request for TLS, shows the certificate, and passes on what was said. A client that asks for none is sent
//! away, as `hostssl` does.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs::default_provider;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::{ADDRESSES, Pair};
use crate::process::free_port;
use crate::tls::Files;

/// The request for TLS: its length, and a number where the version of the protocol would be.
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];

/// "Go on": the handshake follows.
const WILLING: u8 = b'S';

/// The doors before both servers. They close when this is dropped, and cut every connection.
pub struct Doors {
    port: u16,
    _doors: JoinSet<()>,
}

impl Doors {
    /// Opens a door before each server, all with one certificate and on one free port, as the servers themselves.
    ///
    /// # Errors
    /// When no port is free, or certificate and key are none.
    pub async fn open(pair: &Pair, files: &Files) -> Result<Self> {
        let acceptor = TlsAcceptor::from(Arc::new(config(files)?));
        let port = free_port(&ADDRESSES)?;
        let mut doors = JoinSet::new();
        for (server, address) in ADDRESSES.into_iter().enumerate() {
            let listener = TcpListener::bind((address, port)).await.context("bind a port for a server's TLS")?;
            doors.spawn(accept(listener, acceptor.clone(), pair.address(server)));
        }
        Ok(Self { port, _doors: doors })
    }

    /// The port of both.
    pub fn port(&self) -> u16 {
        self.port
    }
}

fn config(files: &Files) -> Result<ServerConfig> {
    let certificate = CertificateDer::from_pem_file(&files.certificate).context("read the servers' certificate")?;
    let key = PrivateKeyDer::from_pem_file(&files.key).context("read the servers' key")?;
    let config =
        ServerConfig::builder_with_provider(Arc::new(default_provider())).with_safe_default_protocol_versions();
    let config = config.context("the versions of TLS")?.with_no_client_auth();
    config.with_single_cert(vec![certificate], key).context("certificate and key of the servers")
}

async fn accept(listener: TcpListener, acceptor: TlsAcceptor, server: SocketAddr) {
    let mut connections = JoinSet::new();
    // Accepting fails when the client has gone again, which is the client's business.
    loop {
        if let Ok((client, _)) = listener.accept().await {
            connections.spawn(carry(client, acceptor.clone(), server));
        }
        while connections.try_join_next().is_some() {}
    }
}

/// Carries one connection. How it ends, the two ends of it see for themselves.
async fn carry(mut client: TcpStream, acceptor: TlsAcceptor, server: SocketAddr) -> Result<()> {
    let mut request = [0; SSL_REQUEST.len()];
    client.read_exact(&mut request).await.context("read the first message")?;
    ensure!(request == SSL_REQUEST, "the client does not ask for TLS");
    // Before the promise of TLS: a server that is down is not there for its clients.
    let mut server = TcpStream::connect(server).await.context("connect to the server")?;
    client.write_u8(WILLING).await.context("agree to TLS")?;
    let mut client = acceptor.accept(client).await.context("the handshake")?;
    copy_bidirectional(&mut client, &mut server).await.map(drop).context("carry the connection")
}
