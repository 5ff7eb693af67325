//! Things that accept a TCP connection and are no server that the function could ask.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use lab::tls::Files;
use lab::workspace::Run;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::{Prober, assert_failed};

const ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// An error packet of the MySQL protocol, as it comes instead of the greeting.
fn mysql_error(code: u16, text: &str) -> Vec<u8> {
    let body = [&[0xff], &code.to_le_bytes()[..], text.as_bytes()].concat();
    let length = u32::try_from(body.len()).unwrap().to_le_bytes();
    [&length[..3], &[0], &body].concat()
}

/// The port of something that says this at once, or after it was spoken to, and closes.
async fn foreign_server(says: Vec<u8>, waits: bool) -> u16 {
    let listener = TcpListener::bind((ADDRESS, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            if waits {
                let mut asked = [0; 1024];
                let _spoken_to = stream.read(&mut asked).await;
            }
            // Whether the client stays to hear it is its own affair.
            drop(stream.write_all(&says).await);
        }
    });
    port
}

#[tokio::test]
async fn what_is_no_database_is_a_named_silence() {
    let run = Run::new().unwrap();
    let files = Files::issue(&["db.example"], &run.scratch("tls").unwrap()).unwrap();
    let garbage = b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec();
    for (engine, says, waits, kind) in [
        ("postgres", garbage.clone(), true, "TlsRefused"),
        ("postgres", Vec::new(), true, "ConnectionFailed"),
        ("postgres", b"S\x16\x03".to_vec(), true, "ConnectionFailed"),
        ("mysql", garbage, false, "ProtocolMismatch"),
        ("mysql", Vec::new(), false, "ConnectionFailed"),
        ("mysql", mysql_error(1129, "Host is blocked"), false, "FunctionBlocked"),
        ("mysql", mysql_error(1130, "Host is not allowed"), false, "HostNotAllowed"),
        ("mysql", mysql_error(1040, "Too many connections"), false, "ServerFull"),
    ] {
        let port = foreign_server(says, waits).await;
        let prober = Prober::new(engine, port, &files.authority).await;
        let said = prober.probe(ADDRESS, "db.example").await;
        assert!(said.is_err(), "{engine}: {said:?}");
        assert_failed(said, kind, &[]);
    }
}

#[tokio::test]
async fn nobody_at_the_address_is_a_named_silence() {
    let run = Run::new().unwrap();
    let files = Files::issue(&["db.example"], &run.scratch("tls").unwrap()).unwrap();
    let free = TcpListener::bind((ADDRESS, 0)).await.unwrap().local_addr().unwrap().port();
    for engine in ["postgres", "mysql"] {
        let prober = Prober::new(engine, free, &files.authority).await;
        assert_failed(
            prober.probe(ADDRESS, "db.example").await,
            "ConnectionFailed",
            &["security group"],
        );
    }
}

#[tokio::test]
async fn a_server_that_accepts_and_says_nothing_is_waited_for_by_the_loop_alone() {
    let run = Run::new().unwrap();
    let files = Files::issue(&["db.example"], &run.scratch("tls").unwrap()).unwrap();
    let listener = TcpListener::bind((ADDRESS, 0)).await.unwrap();
    for engine in ["postgres", "mysql"] {
        let prober =
            Prober::new(engine, listener.local_addr().unwrap().port(), &files.authority).await;
        let said =
            tokio::time::timeout(Duration::from_millis(200), prober.probe(ADDRESS, "db.example"))
                .await;
        assert!(said.is_err(), "{engine}: {said:?}");
    }
}
