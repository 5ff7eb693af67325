//! The DNS adapter against a real server on loopback.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use std::net::SocketAddr;
use std::time::Instant;

use failover_sync::dns::{LIMIT, Resolver};
use failover_sync::error::{DnsError, DnsFailure};
use failover_sync::ports::Dns;
use lab::dns::{Answer, DnsServer, RecordType};
use reconcile::binding::Family;

const ENDPOINT: &str = "orders.cluster-c1.eu-west-1.rds.amazonaws.com";

async fn server() -> DnsServer {
    DnsServer::start().await.unwrap()
}

async fn lookup(server: &DnsServer, family: Family) -> Result<String, DnsError> {
    let answer = Resolver::new(&[server.addr()]).unwrap().lookup(ENDPOINT, family).await?;
    Ok(format!("{} for {:?}", answer.addresses, answer.ttl))
}

#[tokio::test]
async fn a_chain_of_cnames_is_followed_and_its_smallest_ttl_counts() {
    let server = server().await;
    server.set(ENDPOINT, Answer::Alias { target: "orders-a.example".into(), ttl: 60 });
    server.set("orders-a.example", Answer::Alias { target: "host.example".into(), ttl: 5 });
    server
        .set("host.example", Answer::Addresses { addresses: vec![[10, 0, 0, 1].into()], ttl: 30 });
    assert_eq!(lookup(&server, Family::Ipv4).await.unwrap(), "10.0.0.1 for 5s");
}

#[tokio::test]
async fn a_flip_between_two_look_ups_is_seen_at_once() {
    let server = server().await;
    let resolver = Resolver::new(&[server.addr()]).unwrap();
    for last in 1..=3u8 {
        server.set(ENDPOINT, Answer::v4([10, 0, 0, last]));
        let answer = resolver.lookup(ENDPOINT, Family::Ipv4).await.unwrap();
        assert_eq!(answer.addresses.to_string(), format!("10.0.0.{last}"));
    }
    assert_eq!(server.queries(ENDPOINT), 3, "every look-up is a question");
}

#[tokio::test]
async fn a_name_that_appears_is_seen_at_once() {
    let server = server().await;
    let resolver = Resolver::new(&[server.addr()]).unwrap();
    assert!(resolver.lookup(ENDPOINT, Family::Ipv4).await.is_err());
    server.set(ENDPOINT, Answer::v4([10, 0, 0, 1]));
    assert!(resolver.lookup(ENDPOINT, Family::Ipv4).await.is_ok());
}

#[tokio::test]
async fn the_family_decides_which_records_are_asked_for() {
    let server = server().await;
    server.set(
        ENDPOINT,
        Answer::addresses([
            "10.0.0.2".parse().unwrap(),
            "10.0.0.1".parse().unwrap(),
            "fd00::1".parse().unwrap(),
        ]),
    );
    assert_eq!(lookup(&server, Family::Ipv4).await.unwrap(), "10.0.0.1, 10.0.0.2 for 5s");
    assert_eq!(server.queries_of(ENDPOINT, RecordType::AAAA), 0);
    assert_eq!(lookup(&server, Family::Ipv6).await.unwrap(), "fd00::1 for 5s");
    assert_eq!(server.queries_of(ENDPOINT, RecordType::A), 1);
}

#[tokio::test]
async fn what_is_no_address_is_an_error_that_names_endpoint_server_and_answer() {
    let server = server().await;
    for (answer, family, expected, text) in [
        (Answer::NxDomain, Family::Ipv4, DnsFailure::NoSuchName, "NXDOMAIN"),
        (Answer::ServFail, Family::Ipv4, DnsFailure::Code("SERVFAIL".into()), "SERVFAIL"),
        (Answer::Refused, Family::Ipv4, DnsFailure::Code("REFUSED".into()), "REFUSED"),
        (Answer::Empty, Family::Ipv4, DnsFailure::NoAddress, "without an address"),
        (Answer::v4([10, 0, 0, 1]), Family::Ipv6, DnsFailure::NoAddress, "ipv6"),
        (Answer::alias("nowhere.example"), Family::Ipv4, DnsFailure::NoSuchName, "NXDOMAIN"),
    ] {
        server.set(ENDPOINT, answer.clone());
        let error = lookup(&server, family).await.unwrap_err();
        assert_eq!(error.answer, expected, "{answer:?}");
        let message = error.to_string();
        for word in [ENDPOINT, &server.addr().to_string(), text] {
            assert!(message.contains(word), "{word} in {message}");
        }
    }
}

#[tokio::test]
async fn a_loop_of_cnames_is_an_answer_without_an_address() {
    let server = server().await;
    server.set(ENDPOINT, Answer::alias("a.example"));
    server.set("a.example", Answer::alias(ENDPOINT));
    let error = lookup(&server, Family::Ipv4).await.unwrap_err();
    assert!(error.to_string().contains("CNAME chain"), "{error}");
}

#[tokio::test]
async fn a_silent_server_is_given_up_in_seconds() {
    let server = server().await;
    server.set(ENDPOINT, Answer::Silent);
    let start = Instant::now();
    let error = lookup(&server, Family::Ipv4).await.unwrap_err();
    assert_eq!(error.answer, DnsFailure::Timeout);
    assert!(start.elapsed() < LIMIT, "{:?}", start.elapsed());
}

#[tokio::test]
async fn of_two_living_servers_the_second_is_asked_only_if_the_first_gives_no_answer() {
    for (first, expected, is_second_asked) in [
        (Answer::v4([10, 0, 0, 1]), Ok("10.0.0.1".to_owned()), false),
        (Answer::NxDomain, Err(DnsFailure::NoSuchName), false),
        (Answer::Empty, Err(DnsFailure::NoAddress), false),
        (Answer::ServFail, Ok("10.0.0.2".to_owned()), true),
        (Answer::Refused, Ok("10.0.0.2".to_owned()), true),
        (Answer::Silent, Ok("10.0.0.2".to_owned()), true),
    ] {
        let (one, other) = (server().await, server().await);
        one.set(ENDPOINT, first.clone());
        other.set(ENDPOINT, Answer::v4([10, 0, 0, 2]));
        let resolver = Resolver::new(&[one.addr(), other.addr()]).unwrap();
        let start = Instant::now();
        let answer = resolver.lookup(ENDPOINT, Family::Ipv4).await;
        assert!(start.elapsed() < LIMIT, "{first:?}: {:?}", start.elapsed());
        assert_eq!(
            answer.map(|it| it.addresses.to_string()).map_err(|it| it.answer),
            expected,
            "{first:?}"
        );
        assert_eq!(other.queries(ENDPOINT) > 0, is_second_asked, "{first:?}");
    }
}

#[tokio::test]
async fn a_second_server_that_denies_the_name_takes_nothing_from_the_first() {
    let (one, other) = (server().await, server().await);
    one.set(ENDPOINT, Answer::v4([10, 0, 0, 1]));
    other.set(ENDPOINT, Answer::NxDomain);
    let resolver = Resolver::new(&[one.addr(), other.addr()]).unwrap();
    for _ in 0..20 {
        assert!(resolver.lookup(ENDPOINT, Family::Ipv4).await.is_ok());
    }
    assert_eq!(other.queries(ENDPOINT), 0);
}

#[tokio::test]
async fn the_server_that_answered_last_is_asked_first() {
    let (one, other) = (server().await, server().await);
    one.set(ENDPOINT, Answer::ServFail);
    other.set(ENDPOINT, Answer::v4([10, 0, 0, 2]));
    let resolver = Resolver::new(&[one.addr(), other.addr()]).unwrap();
    resolver.lookup(ENDPOINT, Family::Ipv4).await.unwrap();
    let asked = one.queries(ENDPOINT);
    resolver.lookup(ENDPOINT, Family::Ipv4).await.unwrap();
    assert_eq!(one.queries(ENDPOINT), asked);
    other.set(ENDPOINT, Answer::ServFail);
    one.set(ENDPOINT, Answer::v4([10, 0, 0, 1]));
    assert_eq!(
        resolver.lookup(ENDPOINT, Family::Ipv4).await.unwrap().addresses.to_string(),
        "10.0.0.1"
    );
}

#[tokio::test]
async fn servers_that_are_all_silent_have_three_seconds_together_and_are_all_named() {
    let servers = [server().await, server().await, server().await];
    servers.iter().for_each(|server| server.set(ENDPOINT, Answer::Silent));
    let resolver = Resolver::new(&servers.each_ref().map(DnsServer::addr)).unwrap();
    let start = Instant::now();
    let error = resolver.lookup(ENDPOINT, Family::Ipv4).await.unwrap_err();
    assert!(start.elapsed() < LIMIT, "{:?}", start.elapsed());
    for server in &servers {
        assert!(error.to_string().contains(&server.addr().to_string()), "{error}");
        assert!(server.queries(ENDPOINT) > 0);
    }
}

#[test]
fn of_the_systems_configuration_only_the_servers_are_read() {
    for (text, is_usable) in [
        ("nameserver 127.0.0.1\n", true),
        (
            "search not..a..domain -\noptions ndots:5 edns0\n# comment\nnameserver \
             127.0.0.1\nnameserver ::1\n",
            true,
        ),
        ("domain .\nnameserver\t127.0.0.1\nnameserver 127.0.0.2\n", true),
        ("search example.com\n", false),
        ("", false),
    ] {
        assert_eq!(Resolver::of_system(text).is_ok(), is_usable, "{text:?}");
    }
}

#[tokio::test]
async fn a_second_server_answers_for_one_that_is_gone() {
    let server = server().await;
    server.set(ENDPOINT, Answer::v4([10, 0, 0, 1]));
    let gone: SocketAddr = {
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.local_addr().unwrap()
    };
    let resolver = Resolver::new(&[gone, server.addr()]).unwrap();
    assert!(resolver.lookup(ENDPOINT, Family::Ipv4).await.is_ok());
}
