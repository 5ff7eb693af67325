//! Asks the server with the resolver that the function uses.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use hickory_resolver::config::{
    ConnectionConfig, LookupIpStrategy, NameServerConfig, ResolverConfig,
};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::{Resolver, TokioResolver};

use super::{Answer, DnsServer, RecordType};

const ONE: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
const TWO: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2));
const SIX: IpAddr = IpAddr::V6(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 6));

#[tokio::test]
async fn an_alias_carries_the_chain_and_the_addresses_of_the_family() {
    let dns = server().await;
    dns.set("writer.lab", Answer::alias("instance.lab"));
    dns.set("instance.lab", Answer::addresses([ONE, TWO, SIX]));
    for resolver in
        [resolver(&dns, ConnectionConfig::udp()), resolver(&dns, ConnectionConfig::tcp())]
    {
        let lookup = resolver.lookup("Writer.lab.", RecordType::A).await.expect("an answer");
        let types: Vec<_> = lookup.answers().iter().map(|record| record.record_type()).collect();
        assert_eq!(types, [RecordType::CNAME, RecordType::A, RecordType::A]);
        assert!(lookup.answers().iter().all(|record| record.ttl == super::RDS_TTL));
    }
    assert_eq!(addresses(&dns, "writer.lab.").await, [ONE, TWO]);
    assert_eq!((dns.queries("writer.lab"), dns.queries("instance.lab")), (3, 0));
    assert_eq!(
        (
            dns.queries_of("writer.lab.", RecordType::A),
            dns.queries_of("writer.lab", RecordType::AAAA)
        ),
        (3, 0)
    );
}

#[tokio::test]
async fn a_change_shows_in_the_next_answer() {
    let dns = server().await;
    dns.set("writer.lab", Answer::v4([10, 0, 0, 1]));
    assert_eq!(addresses(&dns, "writer.lab.").await, [ONE]);
    dns.set("writer.lab", Answer::v4([10, 0, 0, 2]));
    assert_eq!(addresses(&dns, "writer.lab.").await, [TWO]);
    dns.remove("writer.lab");
    assert_eq!(failure(&dns, "writer.lab.").await, Some(ResponseCode::NXDomain));
}

#[tokio::test]
async fn a_sequence_stays_on_its_last_step_and_a_cycle_starts_again() {
    let dns = server().await;
    let steps = vec![Answer::addresses([ONE]), Answer::addresses([TWO])];
    dns.set("sequence.lab", Answer::Sequence(steps.clone()));
    dns.set("cycle.lab", Answer::Cycle(steps));
    let mut seen = (Vec::new(), Vec::new());
    for _ in 0..4 {
        seen.0.extend(addresses(&dns, "sequence.lab.").await);
        seen.1.extend(addresses(&dns, "cycle.lab.").await);
    }
    assert_eq!(seen, (vec![ONE, TWO, TWO, TWO], vec![ONE, TWO, ONE, TWO]));
}

#[tokio::test]
async fn failures_reach_the_client_as_what_they_are() {
    let dns = server().await;
    dns.set("servfail.lab", Answer::ServFail);
    dns.set("refused.lab", Answer::Refused);
    dns.set("nx.lab", Answer::NxDomain);
    dns.set("empty.lab", Answer::Empty);
    dns.set("dangling.lab", Answer::alias("nowhere.lab"));
    dns.set("loop-a.lab", Answer::alias("loop-b.lab"));
    dns.set("loop-b.lab", Answer::alias("loop-a.lab"));
    assert_eq!(failure(&dns, "servfail.lab.").await, Some(ResponseCode::ServFail));
    assert_eq!(failure(&dns, "refused.lab.").await, Some(ResponseCode::Refused));
    assert_eq!(failure(&dns, "nx.lab.").await, Some(ResponseCode::NXDomain));
    assert_eq!(failure(&dns, "empty.lab.").await, Some(ResponseCode::NoError));
    assert!(no_address(&dns, "dangling.lab.").await);
    assert!(no_address(&dns, "loop-a.lab.").await);
}

#[tokio::test]
async fn silence_is_a_timeout() {
    let dns = server().await;
    dns.set("silent.lab", Answer::Silent);
    let error = resolver(&dns, ConnectionConfig::udp())
        .lookup_ip("silent.lab.")
        .await
        .expect_err("no answer comes");
    assert!(error.to_string().contains("timed out"), "{error}");
    assert!(dns.queries("silent.lab") >= 1);
}

async fn server() -> DnsServer {
    DnsServer::start().await.expect("a free port")
}

fn resolver(dns: &DnsServer, mut connection: ConnectionConfig) -> TokioResolver {
    connection.port = dns.addr().port();
    let server = NameServerConfig::new(dns.addr().ip(), true, vec![connection]);
    let config = ResolverConfig::from_parts(None, Vec::new(), vec![server]);
    let mut builder = Resolver::builder_with_config(config, TokioRuntimeProvider::default());
    let options = builder.options_mut();
    options.cache_size = 0;
    options.ip_strategy = LookupIpStrategy::Ipv4Only;
    options.timeout = Duration::from_millis(300);
    options.attempts = 1;
    builder.build().expect("a resolver")
}

async fn addresses(dns: &DnsServer, name: &str) -> Vec<IpAddr> {
    let lookup = resolver(dns, ConnectionConfig::udp()).lookup_ip(name).await;
    lookup.expect("an answer").iter().collect()
}

/// The code of an answer that holds no address.
async fn failure(dns: &DnsServer, name: &str) -> Option<ResponseCode> {
    let error =
        resolver(dns, ConnectionConfig::udp()).lookup_ip(name).await.expect_err("no address");
    match error {
        hickory_resolver::net::NetError::Dns(hickory_resolver::net::DnsError::NoRecordsFound(
            none,
        )) => Some(none.response_code),
        hickory_resolver::net::NetError::Dns(hickory_resolver::net::DnsError::ResponseCode(
            code,
        )) => Some(code),
        other => panic!("not an answer: {other}"),
    }
}

async fn no_address(dns: &DnsServer, name: &str) -> bool {
    let lookup = resolver(dns, ConnectionConfig::udp()).lookup_ip(name).await;
    lookup.map_or(true, |lookup| lookup.iter().next().is_none())
}
