//! DNS, read with no cache.

use std::net::SocketAddr;
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{
    ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ServerOrderingStrategy,
};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError as Answered, NetError};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use hickory_resolver::system_conf::read_system_conf;
use reconcile::binding::Family;
use reconcile::evidence::Answer;
use reconcile::target::Addresses;

use crate::error::{DnsAnswer, DnsError};
use crate::ports::Dns;

/// One try. The VPC resolver answers in milliseconds.
const TIMEOUT: Duration = Duration::from_millis(1500);

/// Tries after the first.
const RETRIES: usize = 1;

/// The port [`Dns`] over the network.
pub struct Resolver {
    resolver: TokioResolver,
    servers: String,
}

impl Resolver {
    /// Asks the given servers over UDP and, for long answers, TCP; with none given, the system's.
    ///
    /// # Errors
    /// When the system's configuration cannot be read, or names no server.
    pub fn new(servers: &[SocketAddr]) -> Result<Resolver, NetError> {
        let config = if servers.is_empty() {
            read_system_conf()?.0
        } else {
            ResolverConfig::from_name_servers(servers.iter().map(name_server).collect())
        };
        let servers: Vec<String> = config.name_servers().iter().map(name_of).collect();
        let mut builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
        let options = builder.options_mut();
        // A warm function would go on serving the old writer from a cache.
        options.cache_size = 0;
        options.timeout = TIMEOUT;
        options.attempts = RETRIES;
        options.use_hosts_file = ResolveHosts::Never;
        options.server_ordering_strategy = ServerOrderingStrategy::UserProvidedOrder;
        Ok(Resolver { resolver: builder.build()?, servers: servers.join(", ") })
    }
}

impl Dns for Resolver {
    async fn lookup(&self, name: &str, family: Family) -> Result<Answer, DnsError> {
        let error = |answer| DnsError { name: name.to_owned(), family, servers: self.servers.clone(), answer };
        let record_type = match family {
            Family::Ipv4 => RecordType::A,
            Family::Ipv6 => RecordType::AAAA,
        };
        // The root's dot at the end keeps the search list out.
        let name = Name::from_ascii(format!("{name}.")).map_err(|e| error(DnsAnswer::Other(e.to_string())))?;
        let lookup = self.resolver.lookup(name, record_type).await.map_err(|e| error(answer_of(&e)))?;
        let addresses = lookup.answers().iter().filter_map(|record| match &record.data {
            RData::A(a) => Some(a.0.into()),
            RData::AAAA(aaaa) => Some(aaaa.0.into()),
            _ => None,
        });
        let addresses = Addresses::new(addresses).ok_or_else(|| error(DnsAnswer::NoAddress))?;
        let ttl = lookup.answers().iter().map(|record| record.ttl).min().unwrap_or_default();
        Ok(Answer { addresses, ttl: Duration::from_secs(ttl.into()) })
    }
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

fn answer_of(error: &NetError) -> DnsAnswer {
    match error {
        NetError::Timeout => DnsAnswer::Timeout,
        NetError::Dns(Answered::NoRecordsFound(none)) => match none.response_code {
            ResponseCode::NXDomain => DnsAnswer::NoSuchName,
            ResponseCode::NoError => DnsAnswer::NoAddress,
            code => DnsAnswer::Code(code_name(code)),
        },
        NetError::Dns(Answered::ResponseCode(code)) => DnsAnswer::Code(code_name(*code)),
        other => DnsAnswer::Other(other.to_string()),
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
