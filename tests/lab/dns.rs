//! A DNS server in this process, whose answers a test changes while it runs.
//!
//! ```no_run
//! # async fn example() -> anyhow::Result<()> {
//! use lab::dns::{Answer, DnsServer};
//!
//! let dns = DnsServer::start().await?;
//! dns.set("writer.example", Answer::alias("instance-1.example"));
//! dns.set("instance-1.example", Answer::v4([10, 0, 0, 1]));
//! // … point a resolver at `dns.addr()` …
//! assert_eq!(dns.queries("writer.example"), 1);
//! # Ok(())
//! # }
//! ```
//!
//! A name nobody has set is NXDOMAIN. As with a recursive resolver, one answer carries the whole
//! chain of CNAMEs and the addresses at its end.

mod zone;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use hickory_server::Server;
pub use hickory_server::proto::rr::RecordType;
use tokio::net::{TcpListener, UdpSocket};

use zone::Zone;

/// The TTL of RDS endpoints, in seconds.
pub const RDS_TTL: u32 = 5;

/// Ports that are free for UDP may be taken for TCP, so the pair is tried this often.
const BIND_ATTEMPTS: usize = 16;

/// An idle TCP connection is closed after this.
const TCP_IDLE: Duration = Duration::from_secs(30);

/// A running server, on UDP and TCP of the same loopback port. It stops when dropped.
pub struct DnsServer {
    addr: SocketAddr,
    zone: Arc<Zone>,
    _server: Server<zone::Handler>,
}

/// What a name answers. All of it applies to every record type that is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// These addresses, IPv4 to A and IPv6 to AAAA; with none of the family, NOERROR and empty.
    Addresses {
        /// The addresses of both families.
        addresses: Vec<IpAddr>,
        /// Seconds.
        ttl: u32,
    },
    /// A CNAME to another name of the zone, then that name's answer. A loop has no address.
    Alias {
        /// The name the CNAME points at.
        target: String,
        /// Seconds.
        ttl: u32,
    },
    /// The name does not exist.
    NxDomain,
    /// The server failed.
    ServFail,
    /// The server refuses to answer.
    Refused,
    /// The name exists and has no records.
    Empty,
    /// No answer ever comes: the client runs into its timeout.
    Silent,
    /// One answer after another; the last one stays. A and AAAA each go through all of them.
    Sequence(Vec<Answer>),
    /// Like [`Answer::Sequence`], from the start again after the last one: an endpoint that flaps.
    Cycle(Vec<Answer>),
}

impl Answer {
    /// One IPv4 address with the TTL of RDS endpoints.
    pub fn v4(address: [u8; 4]) -> Self {
        Self::addresses([IpAddr::from(address)])
    }

    /// These addresses with the TTL of RDS endpoints.
    pub fn addresses(addresses: impl IntoIterator<Item = IpAddr>) -> Self {
        Self::Addresses { addresses: addresses.into_iter().collect(), ttl: RDS_TTL }
    }

    /// A CNAME with the TTL of RDS endpoints.
    pub fn alias(target: impl Into<String>) -> Self {
        Self::Alias { target: target.into(), ttl: RDS_TTL }
    }
}

impl DnsServer {
    /// Starts a server with an empty zone on a free port of 127.0.0.1.
    pub async fn start() -> Result<Self> {
        let (udp, tcp) = bind_pair().await?;
        let addr = udp.local_addr().context("the DNS server's own address")?;
        let zone = Arc::new(Zone::default());
        let mut server = Server::new(zone::Handler::new(Arc::clone(&zone)));
        server.register_socket(udp);
        server.register_listener(tcp, TCP_IDLE, 32);
        Ok(Self { addr, zone, _server: server })
    }

    /// Where it listens, on UDP and on TCP.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Sets what `name` answers from now on, a sequence from its start. Case and a trailing dot do
    /// not matter.
    pub fn set(&self, name: &str, answer: Answer) {
        self.zone.set(name, answer);
    }

    /// Makes `name` unknown again.
    pub fn remove(&self, name: &str) {
        self.zone.remove(name);
    }

    /// How many questions of any type named `name`; being led to it by an alias is none.
    pub fn queries(&self, name: &str) -> usize {
        self.zone.queries(name, None)
    }

    /// How many questions named `name` and asked for `record_type`.
    pub fn queries_of(&self, name: &str, record_type: RecordType) -> usize {
        self.zone.queries(name, Some(record_type))
    }
}

async fn bind_pair() -> Result<(UdpSocket, TcpListener)> {
    for _ in 0..BIND_ATTEMPTS {
        let udp = UdpSocket::bind(("127.0.0.1", 0))
            .await
            .context("bind a UDP port for the DNS server")?;
        let addr = udp.local_addr().context("the DNS server's own address")?;
        if let Ok(tcp) = TcpListener::bind(addr).await {
            return Ok((udp, tcp));
        }
    }
    anyhow::bail!(
        "no port of 127.0.0.1 was free for both UDP and TCP in {BIND_ATTEMPTS} attempts; free some \
         and retry"
    )
}

#[cfg(test)]
mod tests;
