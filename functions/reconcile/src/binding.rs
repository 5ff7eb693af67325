//! A binding: one endpoint name kept in one target group on one port.

use std::fmt;
use std::net::IpAddr;

use strum::{Display, EnumString, VariantArray};

use crate::partition;

/// One endpoint name kept in one target group on one port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binding {
    /// Unique in the configuration; names the binding in logs, metrics and results.
    pub name: String,
    /// Where the addresses come from.
    pub endpoint: Endpoint,
    /// The port the targets are registered on, 1–65535.
    pub port: u16,
    /// The group that is kept.
    pub target_group: TargetGroupArn,
    /// How many addresses the endpoint may have, and which sources know about them.
    pub kind: Kind,
    /// DB cluster or instance identifier, where the RDS API is asked.
    pub id: Option<String>,
    /// The address family of the target group.
    pub family: Family,
    /// What its databases speak, if they are to be asked whether they take writes.
    pub engine: Option<Engine>,
}

/// What a database speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, EnumString)]
#[strum(serialize_all = "lowercase")]
pub enum Engine {
    /// PostgreSQL, Aurora PostgreSQL.
    Postgres,
    /// MySQL, Aurora MySQL, MariaDB.
    #[strum(serialize = "mysql", serialize = "mariadb")]
    MySql,
}

impl Binding {
    /// The cluster that the RDS API is asked about: for other kinds it names no address.
    pub fn cluster(&self) -> Option<&str> {
        match self.kind {
            Kind::Cluster | Kind::Readers => self.id.as_deref(),
            _ => None,
        }
    }

    /// What does not work because the database's identifier is not known.
    pub fn is_unidentified(&self) -> Option<&'static str> {
        match self.kind {
            _ if self.id.is_some() => None,
            Kind::Cluster | Kind::Readers => {
                Some("no event of RDS concerns it, and the RDS API is not asked about it")
            }
            Kind::Instance => Some("no event of RDS concerns it"),
            Kind::Proxy | Kind::Custom | Kind::Hostname | Kind::Address => None,
        }
    }
}

/// What a binding follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Display, EnumString, VariantArray)]
#[strum(serialize_all = "kebab-case")]
pub enum Kind {
    /// The writer endpoint of an Aurora or Multi-AZ DB cluster: exactly one address.
    Cluster,
    /// The readers of a cluster: every address named, none taken away while it is healthy.
    Readers,
    /// A DB instance: exactly one address.
    Instance,
    /// An RDS Proxy endpoint: every address named, none taken away while it is healthy.
    Proxy,
    /// Any other host name: exactly the addresses that DNS gives.
    Hostname,
    /// A literal IP address, kept registered.
    Address,
    /// A custom endpoint of an Aurora cluster: a healthy address leaves only after long absence.
    Custom,
}

impl Kind {
    /// Every kind; its text is the name that the configuration uses.
    pub const ALL: &[Kind] = Kind::VARIANTS;

    /// Whether more than one address would split the writes.
    pub fn is_single_writer(self) -> bool {
        matches!(self, Kind::Cluster | Kind::Instance)
    }

    /// Whether roles can tell: each of its addresses is one database's, and one is the writer's.
    pub fn can_probe_role(self) -> bool {
        self.is_single_writer() || self == Kind::Hostname
    }

    /// The kind that an endpoint's form implies (AWS JDBC driver, `RdsUtils.java`). Global
    /// endpoints are plain host names: the RDS API has no single instance behind them.
    pub(crate) fn infer(endpoint: &Endpoint) -> Kind {
        let name = match endpoint {
            Endpoint::Address(_) => return Kind::Address,
            Endpoint::Name(name) => name,
        };
        let labels: Vec<&str> = name.split('.').collect();
        let has = |prefix: &str| labels.iter().skip(1).any(|label| label.starts_with(prefix));
        if !partition::is_of_rds(name) || has("global-") || has("shardgrp-") {
            Kind::Hostname
        } else if has("cluster-custom-") {
            Kind::Custom
        } else if has("cluster-ro-") {
            Kind::Readers
        } else if has("cluster-") {
            Kind::Cluster
        } else if has("proxy-") {
            Kind::Proxy
        } else {
            Kind::Instance
        }
    }

    /// Whether an endpoint may be of this kind although its form implies that one.
    ///
    /// | form                  | may be            | because                                     |
    /// |-----------------------|-------------------|---------------------------------------------|
    /// | `cluster`, `instance` | `hostname`        | its one address DNS alone can tell          |
    /// | `custom`              | `readers`         | all readers of the cluster, not those named |
    /// | `hostname`            | all but `address` | a CNAME says nothing of what is behind it   |
    ///
    /// A reader, custom or proxy endpoint names a part of its addresses in each answer, which
    /// `hostname` would swap for ever.
    pub fn fits(self, form: Kind) -> bool {
        self == form
            || match form {
                Kind::Cluster | Kind::Instance => self == Kind::Hostname,
                Kind::Custom => self == Kind::Readers,
                Kind::Hostname => self != Kind::Address,
                Kind::Readers | Kind::Proxy | Kind::Address => false,
            }
    }
}

/// Where a binding's addresses come from: a name to resolve, or a literal address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// A host name in lower case, without the trailing dot.
    Name(String),
    /// A literal address; nothing is resolved.
    Address(IpAddr),
}

impl Endpoint {
    /// The host name, if it is one.
    pub fn name(&self) -> Option<&str> {
        match self {
            Endpoint::Name(name) => Some(name),
            Endpoint::Address(_) => None,
        }
    }

    /// Reads a host name or a literal address.
    ///
    /// # Errors
    /// Says what is wrong with it in words that follow "`endpoint`: ".
    pub fn parse(text: &str) -> Result<Endpoint, String> {
        let text = text.trim();
        if text.is_empty() {
            return Err("is empty: give the host name of the database endpoint".into());
        }
        if let Ok(address) = text.parse() {
            return Ok(Endpoint::Address(address));
        }
        if text.contains("://") || text.contains('/') {
            return Err(format!("{text:?} is a URL: give the host name alone"));
        }
        if let Some((host, port)) = text.rsplit_once(':') {
            return Err(format!(
                "{text:?} carries a port: give {host:?} here and {port} in \"port\""
            ));
        }
        let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
        let label_is_valid = |label: &str| {
            (1..=63).contains(&label.len())
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        };
        if name.len() > 253 || !name.split('.').all(label_is_valid) {
            return Err(format!("{text:?} is not a host name"));
        }
        // In a URL a name that ends in a number is an address, and this is none.
        let last = name.rsplit('.').next().unwrap_or_default();
        let is_number = |digits: &str| digits.bytes().all(|b| b.is_ascii_digit());
        let is_hex = |digits: &str| digits.bytes().all(|b| b.is_ascii_hexdigit());
        if is_number(last) || last.strip_prefix("0x").is_some_and(is_hex) {
            return Err(format!(
                "{text:?} ends in a number like an address, and is none: give the address or the \
                 host name"
            ));
        }
        Ok(Endpoint::Name(name))
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Endpoint::Name(name) => f.write_str(name),
            Endpoint::Address(address) => address.fmt(f),
        }
    }
}

/// An address family. Immutable for a target group, so it belongs to the binding.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Display, EnumString)]
#[strum(serialize_all = "lowercase")]
pub enum Family {
    /// A records.
    #[default]
    Ipv4,
    /// AAAA records; the group's load balancer must be dual-stack.
    Ipv6,
}

impl Family {
    /// Whether the address is of this family.
    pub fn has(self, address: &IpAddr) -> bool {
        address.is_ipv4() == (self == Family::Ipv4)
    }
}

/// The ARN of a target group, checked for its form.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TargetGroupArn(String);

impl TargetGroupArn {
    /// Reads `arn:PARTITION:elasticloadbalancing:REGION:ACCOUNT:targetgroup/NAME/ID`.
    ///
    /// # Errors
    /// Says what is wrong with it in words that follow "`targetGroupArn`: ".
    pub fn parse(text: &str) -> Result<TargetGroupArn, String> {
        let parts: Vec<&str> = text.splitn(6, ':').collect();
        let ["arn", partition, "elasticloadbalancing", region, account, resource] = parts[..]
        else {
            return Err(format!("{text:?} is not the ARN of a target group"));
        };
        if resource.starts_with("loadbalancer/") || resource.starts_with("listener/") {
            return Err(format!(
                "{text:?} is the ARN of a load balancer or listener: give the target group's, \
                 arn:…:targetgroup/NAME/ID"
            ));
        }
        let account_is_valid = account.len() == 12 && account.bytes().all(|b| b.is_ascii_digit());
        let path: Vec<&str> = resource.split('/').collect();
        let is_valid = partition.starts_with("aws")
            && !region.is_empty()
            && account_is_valid
            && matches!(path[..], ["targetgroup", name, id] if !name.is_empty() && !id.is_empty());
        if is_valid {
            Ok(TargetGroupArn(text.to_owned()))
        } else {
            Err(format!("{text:?} is not the ARN of a target group"))
        }
    }

    /// The Region and the account that it is in.
    pub fn place(&self) -> (&str, &str) {
        let mut parts = self.0.split(':').skip(3);
        (parts.next().unwrap_or_default(), parts.next().unwrap_or_default())
    }

    /// The ARN as AWS writes it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TargetGroupArn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A binding of this kind to the database `orders`.
    pub(crate) fn binding(kind: Kind) -> Binding {
        let arn =
            "arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/db/0123456789abcdef";
        Binding {
            name: "writer".into(),
            endpoint: Endpoint::Name("db.example".into()),
            port: 5432,
            target_group: TargetGroupArn::parse(arn).expect("valid"),
            kind,
            id: Some("orders".into()),
            family: Family::Ipv4,
            engine: None,
        }
    }

    #[test]
    fn the_kind_follows_from_the_form_of_the_endpoint() {
        for (endpoint, kind) in [
            ("orders.cluster-c1.eu-west-1.rds.amazonaws.com", Kind::Cluster),
            ("ORDERS.CLUSTER-c1.eu-west-1.rds.amazonaws.com.", Kind::Cluster),
            ("orders.cluster-ro-c1.eu-west-1.rds.amazonaws.com", Kind::Readers),
            ("any.cluster-custom-c1.eu-west-1.rds.amazonaws.com", Kind::Custom),
            ("g.global-c1.global.rds.amazonaws.com", Kind::Hostname),
            ("orders.c1.cn-north-1.rds.amazonaws.com.cn", Kind::Instance),
            ("orders.cluster-c1.rds.cn-north-1.amazonaws.com.cn", Kind::Cluster),
            ("orders.cluster-ro-c1.rds.us-gov-west-1.amazonaws.com", Kind::Readers),
            ("orders.cluster-c1.eusc-de-east-1.rds.amazonaws.eu", Kind::Cluster),
            ("orders.proxy-c1.us-iso-east-1.rds.c2s.ic.gov", Kind::Proxy),
            ("cluster-like.c1.eu-west-1.rds.amazonaws.com", Kind::Instance),
            ("p.proxy-c1.eu-west-1.rds.amazonaws.com", Kind::Proxy),
            ("e.endpoint.proxy-c1.eu-west-1.rds.amazonaws.com", Kind::Proxy),
            ("db.internal.example", Kind::Hostname),
            ("10.0.0.7", Kind::Address),
            ("fd00::7", Kind::Address),
        ] {
            let endpoint = Endpoint::parse(endpoint).expect(endpoint);
            assert_eq!(Kind::infer(&endpoint), kind, "{endpoint}");
        }
    }

    #[test]
    fn a_kind_prints_the_name_that_the_configuration_uses() {
        let names = ["cluster", "readers", "instance", "proxy", "hostname", "address", "custom"];
        for (kind, name) in Kind::ALL.iter().zip(names) {
            assert_eq!((kind.to_string(), name.parse()), (name.to_owned(), Ok(*kind)));
        }
        assert_eq!(Kind::ALL.len(), names.len());
    }

    #[test]
    fn an_endpoint_that_is_no_host_name_says_what_to_give_instead() {
        for (text, word) in [
            ("", "is empty"),
            ("  ", "is empty"),
            ("postgres://db.example/app", "URL"),
            ("db.example:5432", "carries a port"),
            ("db..example", "not a host name"),
            ("db example", "not a host name"),
            ("10.0.0.256", "ends in a number"),
            ("10.0.0", "ends in a number"),
            ("db.10", "ends in a number"),
            ("db.0x1f", "ends in a number"),
        ] {
            let problem = Endpoint::parse(text).expect_err(text);
            assert!(problem.contains(word), "{text:?}: {problem}");
        }
    }

    #[test]
    fn only_the_arn_of_a_target_group_is_taken() {
        let group = "arn:aws-us-gov:elasticloadbalancing:us-gov-west-1:123456789012:\
                     targetgroup/db/0123456789abcdef";
        assert_eq!(TargetGroupArn::parse(group).expect("valid").as_str(), group);
        for (text, word) in [
            ("", "not the ARN"),
            ("db", "not the ARN"),
            ("arn:aws:s3:::bucket", "not the ARN"),
            ("arn:aws:elasticloadbalancing:eu-west-1:123:targetgroup/db/0a", "not the ARN"),
            ("arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/db", "not the ARN"),
            (
                "arn:aws:elasticloadbalancing:eu-west-1:123456789012:loadbalancer/net/db/0a",
                "load balancer",
            ),
        ] {
            let problem = TargetGroupArn::parse(text).expect_err(text);
            assert!(problem.contains(word), "{text:?}: {problem}");
        }
    }
}
