//! DNS, read with no cache.

use std::fs;
use std::net::SocketAddr;
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError as HickoryError, NetError};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use hickory_resolver::system_conf::parse_resolv_conf;
use parking_lot::Mutex;
use reconcile::binding::Family;
use reconcile::evidence::DnsAnswer;
use reconcile::target::Addresses;
use tokio::time::{Instant, timeout};

use crate::error::{DnsError, DnsFailure};
use crate::ports::Dns;

/// A lookup is over after this, whatever the servers; the VPC resolver takes milliseconds.
pub const LIMIT: Duration = Duration::from_secs(3);

/// So much of it is left for the error that names the servers.
const MARGIN: Duration = Duration::from_millis(100);

/// The first of a list are asked, as a C library does.
const SERVERS_AT_MOST: usize = 3;

const RETRIES: u32 = 1;

const PREFERRED_FOR: Duration = Duration::from_secs(60);

/// The port [`Dns`] over the network: a list of servers, asked in order.
pub struct Resolver {
    servers: Vec<Server>,
    order: ServerOrder,
}

/// The order in which servers are asked: as given, but for a minute the last with addresses first.
#[derive(Debug, Default)]
pub struct ServerOrder(Mutex<Option<(usize, Instant)>>);

impl ServerOrder {
    /// So many servers in the order in which they are asked now.
    pub fn of(&self, servers: usize) -> impl Iterator<Item = usize> + use<> {
        let preferred = *self.0.lock();
        let first = preferred
            .filter(|(_, found)| found.elapsed() < PREFERRED_FOR)
            .map_or(0, |(server, _)| server);
        std::iter::once(first).chain((0..servers).filter(move |server| *server != first))
    }

    /// Notes an answer. A server that knows no address is not asked first: another one may.
    pub fn note(&self, server: usize, has_addresses: bool) {
        let mut preferred = self.0.lock();
        match &*preferred {
            Some((known, found))
                if *known == server && has_addresses && found.elapsed() < PREFERRED_FOR => {}
            _ => *preferred = (server != 0 && has_addresses).then(|| (server, Instant::now())),
        }
    }
}

struct Server {
    name: String,
    resolver: TokioResolver,
}

impl Resolver {
    /// Asks the given servers over UDP and, for long answers, TCP; with none given, the system's.
    ///
    /// # Errors
    /// When the system's configuration cannot be read, or names no server.
    pub fn new(servers: &[SocketAddr]) -> Result<Resolver, NetError> {
        if servers.is_empty() {
            Resolver::of_system(&fs::read_to_string("/etc/resolv.conf")?)
        } else {
            Resolver::of(servers.iter().map(name_server).collect())
        }
    }

    /// Asks the servers that a `resolv.conf` names. Its search list is not read: a domain that is
    /// none must not keep the function from starting.
    ///
    /// # Errors
    /// When it names no server.
    pub fn of_system(resolv_conf: &str) -> Result<Resolver, NetError> {
        let servers: String = resolv_conf
            .lines()
            .filter(|line| line.starts_with("nameserver"))
            .flat_map(|line| [line, "\n"])
            .collect();
        Resolver::of(parse_resolv_conf(servers)?.0.name_servers().to_vec())
    }

    fn of(mut servers: Vec<NameServerConfig>) -> Result<Resolver, NetError> {
        servers.truncate(SERVERS_AT_MOST);
        let share = share_of(servers.len());
        let server = |config: NameServerConfig| {
            let name = name_of(&config);
            let config = ResolverConfig::from_name_servers(vec![config]);
            let mut builder =
                TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
            let options = builder.options_mut();
            // A warm function would go on serving the old writer from a cache.
            options.cache_size = 0;
            options.timeout = share / (1 + RETRIES);
            options.attempts = RETRIES as usize;
            options.use_hosts_file = ResolveHosts::Never;
            Ok(Server { name, resolver: builder.build()? })
        };
        Ok(Resolver {
            servers: servers.into_iter().map(server).collect::<Result<_, NetError>>()?,
            order: ServerOrder::default(),
        })
    }
}

impl Dns for Resolver {
    /// That there is no such name or address is an answer; any other failure asks the next server.
    async fn lookup(&self, name: &str, family: Family) -> Result<DnsAnswer, DnsError> {
        let error = |servers: &[&str], answer| DnsError {
            name: name.to_owned(),
            family,
            servers: servers.join(", "),
            answer,
        };
        let record_type = match family {
            Family::Ipv4 => RecordType::A,
            Family::Ipv6 => RecordType::AAAA,
        };
        // The root's dot at the end keeps the search list out.
        let absolute = Name::from_ascii(format!("{name}."))
            .map_err(|e| error(&[], DnsFailure::Other(e.to_string())))?;
        let share = share_of(self.servers.len());
        let mut failed = Vec::new();
        let mut last = DnsFailure::Other("there is no server".to_owned());
        for index in self.order.of(self.servers.len()) {
            let server = &self.servers[index];
            let answer = timeout(share, server.lookup(absolute.clone(), record_type)).await;
            match answer.unwrap_or(Err(DnsFailure::Timeout)) {
                Err(answer) if !answer.is_definite() => {
                    failed.push(server.name.as_str());
                    last = answer;
                }
                answer => {
                    self.order.note(index, answer.is_ok());
                    return answer.map_err(|answer| error(&[&server.name], answer));
                }
            }
        }
        Err(error(&failed, last))
    }
}

impl Server {
    async fn lookup(&self, name: Name, record_type: RecordType) -> Result<DnsAnswer, DnsFailure> {
        let lookup = self.resolver.lookup(name, record_type).await.map_err(|e| answer_of(&e))?;
        let addresses = lookup.answers().iter().filter_map(|record| match &record.data {
            RData::A(a) => Some(a.0.into()),
            RData::AAAA(aaaa) => Some(aaaa.0.into()),
            _ => None,
        });
        let addresses = Addresses::new(addresses).ok_or(DnsFailure::NoAddress)?;
        let ttl = lookup.answers().iter().map(|record| record.ttl).min().unwrap_or_default();
        Ok(DnsAnswer { addresses, ttl: Duration::from_secs(ttl.into()) })
    }
}

/// The time that each of so many servers has to answer.
pub fn share_of(servers: usize) -> Duration {
    (LIMIT - MARGIN) / u32::try_from(servers).unwrap_or(u32::MAX).max(1)
}

fn name_of(server: &NameServerConfig) -> String {
    let port = server.connections.first().map_or(53, |connection| connection.port);
    SocketAddr::new(server.ip, port).to_string()
}

fn name_server(address: &SocketAddr) -> NameServerConfig {
    let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut connection| {
        connection.port = address.port();
        connection
    });
    NameServerConfig::new(address.ip(), true, connections.into())
}

fn answer_of(error: &NetError) -> DnsFailure {
    match error {
        NetError::Timeout => DnsFailure::Timeout,
        NetError::Dns(HickoryError::NoRecordsFound(none)) => match none.response_code {
            ResponseCode::NXDomain => DnsFailure::NoSuchName,
            ResponseCode::NoError => DnsFailure::NoAddress,
            code => DnsFailure::Code(code_name(code)),
        },
        NetError::Dns(HickoryError::ResponseCode(code)) => DnsFailure::Code(code_name(*code)),
        other => DnsFailure::Other(other.to_string()),
    }
}

/// The mnemonics that `dig` prints, where they have one that people know.
fn code_name(code: ResponseCode) -> String {
    match code {
        ResponseCode::ServFail => "SERVFAIL".to_owned(),
        ResponseCode::Refused => "REFUSED".to_owned(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_server_that_gave_addresses_last_is_asked_first_for_a_minute() {
        let servers = ServerOrder::default();
        let order = || servers.of(3).collect::<Vec<_>>();
        assert_eq!(order(), [0, 1, 2], "nobody knows");
        servers.note(1, true);
        assert_eq!(order(), [1, 0, 2]);
        tokio::time::advance(Duration::from_secs(59)).await;
        servers.note(1, true);
        assert_eq!(order(), [1, 0, 2], "it answered again");
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(
            order(),
            [0, 1, 2],
            "the first has its chance, however often the other has answered"
        );
        servers.note(2, true);
        servers.note(0, true);
        assert_eq!(order(), [0, 1, 2]);
        for (server, title) in [(1, "it knows no address any more"), (2, "another one knows none")]
        {
            servers.note(1, true);
            servers.note(server, false);
            assert_eq!(order(), [0, 1, 2], "{title}");
        }
    }
}
