//! Databases of RDS: their identifiers, and where their instances listen.

use std::fmt;

/// Reads the identifier of a DB cluster or instance by RDS's rule: letters, digits and single
/// hyphens, 63 at most, first a letter, last no hyphen, in any case (RDS API, `CreateDBInstance`,
/// `CreateDBCluster`).
///
/// # Errors
/// Says what is wrong with it in words that follow the name of what it was given for.
pub fn identifier(text: &str) -> Result<String, String> {
    let is_plain = text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    let is_identifier = is_plain
        && (1..=63).contains(&text.len())
        && text.starts_with(|first: char| first.is_ascii_alphabetic())
        && !text.ends_with('-')
        && !text.contains("--");
    is_identifier.then(|| text.to_ascii_lowercase()).ok_or_else(|| {
        format!(
            "{text:?} is not an identifier such as orders-1: give neither an endpoint nor an ARN"
        )
    })
}

/// An instance of a cluster as the RDS API describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterMember {
    /// The DB instance identifier.
    pub id: String,
    /// Whether it is the writer.
    pub is_writer: bool,
    /// The name of its endpoint; absent while it is being created.
    pub endpoint: Option<String>,
    /// Such as `available` or `creating`.
    pub status: String,
}

impl ClusterMember {
    /// Whether it may take connections.
    pub fn can_serve(&self) -> bool {
        can_serve(&self.status)
    }
}

/// Whether an instance with this status may take connections: all but what is not there now.
pub fn can_serve(status: &str) -> bool {
    const OUT: [&str; 8] = [
        "creating",
        "deleting",
        "stopped",
        "stopping",
        "starting",
        "failed",
        "inaccessible-encryption-credentials",
        "inaccessible-encryption-credentials-recoverable",
    ];
    !OUT.contains(&status) && !status.starts_with("incompatible-")
}

/// Where a server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostPort {
    /// The name, which is also the one in the server's certificate.
    pub host: String,
    /// The TCP port.
    pub port: u16,
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identifier_is_what_rds_takes() {
        let longest = "a".repeat(63);
        for text in ["orders", "Orders-1", "o", &longest] {
            assert_eq!(identifier(text), Ok(text.to_ascii_lowercase()));
        }
        for text in [
            "",
            " orders",
            "1orders",
            "-orders",
            "orders-",
            "or--ders",
            "orders.c1.eu-west-1.rds.amazonaws.com",
            "arn:aws:rds:eu-west-1:123456789012:cluster:orders",
            "o_rders",
            &"a".repeat(64),
        ] {
            assert!(identifier(text).expect_err(text).contains("neither an endpoint nor an ARN"));
        }
    }
}
