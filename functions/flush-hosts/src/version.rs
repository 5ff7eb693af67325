//! Which statement empties the host cache of which server.

/// A statement that empties the host cache. Neither is written to the binary log.
///
/// | server                                | what works                                          |
/// |---------------------------------------|-----------------------------------------------------|
/// | MariaDB                               | [`FlushHosts`](Statement::FlushHosts)               |
/// | MySQL before 8.3, Aurora MySQL 2 to 3 | the same                                            |
/// | MySQL from 8.3, Aurora MySQL 8.4      | [`TruncateHostCache`](Statement::TruncateHostCache) |
///
/// MariaDB accepts the TRUNCATE too, answers OK and, with `performance_schema` off, unblocks
/// nothing (measured on 10.5, 10.11 and 11.8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Statement {
    /// Needs RELOAD.
    FlushHosts,
    /// Needs DROP on the table; RELOAD does not help.
    TruncateHostCache,
}

impl Statement {
    /// The statement for a server whose `SELECT VERSION()` this is. Without a number, the older
    /// one: a server that dropped it says so, while one that lacks the newer may stay silent.
    pub fn for_server(version: &str) -> Statement {
        let is_without_flush =
            major_and_minor(version).is_some_and(|version| version >= FLUSH_HOSTS_REMOVED);
        if is_without_flush && !is_mariadb(version) {
            Statement::TruncateHostCache
        } else {
            Statement::FlushHosts
        }
    }

    /// What to try when the server does not know this statement.
    pub fn fallback(self, version: &str) -> Option<Statement> {
        match self {
            _ if is_mariadb(version) => None,
            Statement::FlushHosts => Some(Statement::TruncateHostCache),
            Statement::TruncateHostCache => Some(Statement::FlushHosts),
        }
    }

    /// The statement's text.
    pub fn sql(self) -> &'static str {
        match self {
            Statement::FlushHosts => "FLUSH NO_WRITE_TO_BINLOG HOSTS",
            Statement::TruncateHostCache => "TRUNCATE TABLE performance_schema.host_cache",
        }
    }
}

/// MySQL 8.3.0 removed FLUSH HOSTS, which 8.0.23 had deprecated.
const FLUSH_HOSTS_REMOVED: (u32, u32) = (8, 3);

fn is_mariadb(version: &str) -> bool {
    version.to_ascii_lowercase().contains("mariadb")
}

fn major_and_minor(version: &str) -> Option<(u32, u32)> {
    let mut numbers = version.split(['.', '-']).map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

#[cfg(test)]
mod tests {
    use super::Statement::{FlushHosts, TruncateHostCache};
    use super::*;

    #[test]
    fn the_statement_is_the_one_that_works_there_and_mariadb_is_never_truncated() {
        for (version, first, fallback) in [
            ("5.7.44-log", FlushHosts, Some(TruncateHostCache)),
            ("5.7.mysql_aurora.2.12.4", FlushHosts, Some(TruncateHostCache)),
            ("8.0.36", FlushHosts, Some(TruncateHostCache)),
            ("8.0.mysql_aurora.3.08.0", FlushHosts, Some(TruncateHostCache)),
            ("8.2.0", FlushHosts, Some(TruncateHostCache)),
            ("8.3.0", TruncateHostCache, Some(FlushHosts)),
            ("8.4.7", TruncateHostCache, Some(FlushHosts)),
            ("9.7.4", TruncateHostCache, Some(FlushHosts)),
            ("10.1.0", TruncateHostCache, Some(FlushHosts)),
            ("5.5.5-10.6.14-MariaDB", FlushHosts, None),
            ("10.11.14-MariaDB-log", FlushHosts, None),
            ("11.8.6-MariaDB-0+deb13u1", FlushHosts, None),
            ("12.0.1-mariadb", FlushHosts, None),
            ("8", FlushHosts, Some(TruncateHostCache)),
            ("unknown", FlushHosts, Some(TruncateHostCache)),
            ("", FlushHosts, Some(TruncateHostCache)),
        ] {
            let statement = Statement::for_server(version);
            assert_eq!((statement, statement.fallback(version)), (first, fallback), "{version:?}");
        }
    }

    #[test]
    fn neither_statement_is_written_to_the_binary_log() {
        assert_eq!(FlushHosts.sql(), "FLUSH NO_WRITE_TO_BINLOG HOSTS");
        assert_eq!(TruncateHostCache.sql(), "TRUNCATE TABLE performance_schema.host_cache");
    }
}
