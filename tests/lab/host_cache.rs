//! What a health check does to a MySQL or MariaDB server, and what the server says about it.
//!
//! A client that leaves before it has logged in counts as a connection error of its address. At
//! `max_connect_errors` the address gets error 1129 instead of a greeting. 127.0.0.1 and `::1` are
//! exempt, the rest of 127.0.0.0/8 is not.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use tokio::io::AsyncReadExt;
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

use crate::poll::{self, Look};

/// The address of the load balancer in the lab, as the server sees it.
pub const BALANCER: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));

/// An address that nothing else comes from.
pub const BYSTANDER: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 3));

/// `ER_HOST_IS_BLOCKED`.
const BLOCKED: u16 = 1129;

/// A first packet is a greeting or an error; both are short.
const LONGEST_PACKET: usize = 4096;

/// A server on the same machine sends its first packet within milliseconds.
const PACKET_DEADLINE: Duration = Duration::from_secs(10);

/// How long an address may take to get itself blocked.
const BLOCK_DEADLINE: Duration = Duration::from_secs(20);

/// A TCP connection from a given address.
pub async fn connect(from: IpAddr, to: SocketAddr) -> Result<TcpStream> {
    let socket = TcpSocket::new_v4().context("a socket")?;
    socket.bind(SocketAddr::new(from, 0)).with_context(|| format!("bind an address of {from}"))?;
    let connected = timeout(PACKET_DEADLINE, socket.connect(to)).await;
    let stream = connected.with_context(|| format!("{to} does not answer"))?;
    stream.with_context(|| format!("connect from {from} to {to}"))
}

/// Connects, reads the first packet, and resets, as an NLB's health check does. Returns the code
/// and text of the error that came instead of the greeting, if one did.
pub async fn abort_handshake(from: IpAddr, to: SocketAddr) -> Result<Option<(u16, String)>> {
    let mut stream = connect(from, to).await?;
    reset_after_first_packet(&mut stream).await.with_context(|| format!("the first packet of {to}"))
}

/// Reads the first packet of a connection and lets it end with a reset.
pub async fn reset_after_first_packet(stream: &mut TcpStream) -> Result<Option<(u16, String)>> {
    let packet = timeout(PACKET_DEADLINE, first_packet(stream)).await;
    let packet =
        packet.with_context(|| format!("it did not come within {PACKET_DEADLINE:?}"))??;
    stream.set_zero_linger().context("prepare a reset")?;
    Ok(match packet.as_slice() {
        [0xff, low, high, text @ ..] => {
            Some((u16::from_le_bytes([*low, *high]), String::from_utf8_lossy(text).into_owned()))
        }
        _ => None,
    })
}

/// Whether the server refuses this address. Asking is one more connection error if it does not.
pub async fn is_blocked(from: IpAddr, to: SocketAddr) -> Result<bool> {
    match abort_handshake(from, to).await? {
        None => Ok(false),
        Some((BLOCKED, _)) => Ok(true),
        Some((code, text)) => bail!("{to} refuses {from} with error {code}: {text}"),
    }
}

/// Lets an address get blocked, and returns how many aborted handshakes that took. A server whose
/// resolver does not answer counts nothing.
pub async fn block(from: IpAddr, to: SocketAddr) -> Result<usize> {
    let mut aborted = 0;
    let what = format!("the block of {from} by {to}");
    poll::until(&what, BLOCK_DEADLINE, async || {
        for _ in 0..8 {
            if is_blocked(from, to).await? {
                return Ok(Look::Ready(()));
            }
            aborted += 1;
        }
        let reason = format!(
            "it still greets {from} after {aborted} aborted handshakes; \
             does this machine's DNS answer?"
        );
        Ok(Look::NotYet(anyhow::anyhow!(reason)))
    })
    .await?;
    Ok(aborted)
}

/// The body of the first packet, behind its length and its number.
async fn first_packet(stream: &mut TcpStream) -> Result<Vec<u8>> {
    let mut header = [0; 4];
    stream.read_exact(&mut header).await.context("its header")?;
    let length = usize::try_from(u32::from_le_bytes([header[0], header[1], header[2], 0]))
        .context("its length")?;
    ensure!(length <= LONGEST_PACKET, "it claims {length} bytes; this is no MySQL server");
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.context("its body")?;
    Ok(body)
}
