//! Asks MySQL, Aurora MySQL or MariaDB whether it takes writes, and who it is.

use platform::connect_error::ConnectError;
use platform::mysql::Connection;
use reconcile::claim::Role;
use reconcile::path::Server;

pub(super) async fn ask(connection: &mut Connection) -> Result<Server, ConnectError> {
    let variables: Vec<(String, String)> = connection.query(QUERY).await?;
    Ok(Server { role: role(&variables)?, identity: identity(&variables) })
}

/// A list and not `SELECT @@…`, which fails for an unknown variable. It needs no privilege.
///
/// Source: Aurora user guide, "Determining which DB instance you are connected to"; ProxySQL and
/// MaxScale for Aurora, where a reader has `innodb_read_only` on and `read_only` off; "read_only",
/// "transaction_read_only" (MariaDB before 11.1: "tx_read_only") in MySQL's and MariaDB's manuals.
const QUERY: &str = "SHOW GLOBAL VARIABLES WHERE Variable_name IN \
    ('aurora_version', 'innodb_read_only', 'read_only', 'transaction_read_only', 'tx_read_only', \
     'aurora_server_id', 'hostname', 'pid_file', 'server_id', 'server_uuid')";

/// Not the `server_uuid` alone, which a Multi-AZ standby copies with the volume; the host's name
/// tells them apart (aws-samples/measure-db-failover-times).
const IDENTITY: [&str; 5] =
    ["aurora_server_id", "hostname", "pid_file", "server_id", "server_uuid"];

/// On Aurora only `innodb_read_only` tells a reader; elsewhere a replica has `read_only`, an
/// enumeration in newer MariaDB. Unknown is a writer whose new sessions an operator or a switchover
/// made read only: on Aurora by `read_only`, anywhere by a default for transactions.
fn role(variables: &[(String, String)]) -> Result<Role, ConnectError> {
    let value = |name: &str| {
        variables.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    };
    let is_on = |value: &String| !matches!(value.to_ascii_uppercase().as_str(), "OFF" | "0");
    let unknown = || ConnectError::Protocol("it shows no variable read_only".to_owned());
    let is_aurora = value("aurora_version").is_some();
    let innodb = value("innodb_read_only").is_some_and(is_on);
    let read_only = value("read_only")
        .map(is_on)
        .ok_or_else(unknown)
        .or_else(|error| if is_aurora { Ok(false) } else { Err(error) })?;
    let by_default = ["transaction_read_only", "tx_read_only"]
        .into_iter()
        .any(|name| value(name).is_some_and(is_on));
    Ok(match (innodb, read_only, is_aurora) {
        (true, _, _) | (false, true, false) => Role::Reader,
        (false, true, true) => Role::Unknown,
        (false, false, _) if by_default => Role::Unknown,
        (false, false, _) => Role::Writer,
    })
}

fn identity(variables: &[(String, String)]) -> String {
    let mut told: Vec<String> = { variables.iter() }
        .filter(|(name, _)| IDENTITY.iter().any(|known| name.eq_ignore_ascii_case(known)))
        .map(|(name, value)| format!("{} {value}", name.to_ascii_lowercase()))
        .collect();
    told.sort();
    told.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_server_tells_in_its_own_variables_whether_it_takes_writes() {
        for (variables, expected) in [
            (vec![("innodb_read_only", "OFF"), ("read_only", "OFF")], Some(Role::Writer)),
            (vec![("innodb_read_only", "OFF"), ("read_only", "ON")], Some(Role::Reader)),
            (vec![("innodb_read_only", "ON"), ("read_only", "OFF")], Some(Role::Reader)),
            (vec![("read_only", "NO_LOCK_NO_ADMIN")], Some(Role::Reader)),
            (
                vec![("aurora_version", "3.08"), ("innodb_read_only", "OFF"), ("read_only", "ON")],
                Some(Role::Unknown),
            ),
            (
                vec![("aurora_version", "3.08"), ("innodb_read_only", "OFF"), ("read_only", "OFF")],
                Some(Role::Writer),
            ),
            (vec![("read_only", "OFF"), ("transaction_read_only", "ON")], Some(Role::Unknown)),
            (vec![("read_only", "OFF"), ("tx_read_only", "ON")], Some(Role::Unknown)),
            (vec![("read_only", "OFF"), ("tx_read_only", "OFF")], Some(Role::Writer)),
            (vec![("read_only", "ON"), ("tx_read_only", "ON")], Some(Role::Reader)),
            (
                vec![("aurora_version", "3.08"), ("innodb_read_only", "ON"), ("read_only", "OFF")],
                Some(Role::Reader),
            ),
            (vec![], None),
        ] {
            let owned: Vec<_> = variables
                .iter()
                .map(|(name, value)| (name.to_string(), value.to_string()))
                .collect();
            assert_eq!(role(&owned).ok(), expected, "{variables:?}");
        }
    }
}
