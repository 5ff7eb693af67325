//! The host cache: what a server holds against the addresses that connect to it.

use std::time::Duration;

/// An address in `performance_schema.host_cache`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostCacheRow {
    /// The client's address: `IP`.
    pub address: String,
    /// Interrupted handshakes since the last login, up to the limit: `SUM_CONNECT_ERRORS`.
    pub connect_errors: u64,
    /// Connections that were refused with 1129: `COUNT_HOST_BLOCKED_ERRORS`.
    pub refused: u64,
    /// Interrupted handshakes since the row was made, whatever login: `COUNT_HANDSHAKE_ERRORS`.
    pub handshake_errors: u64,
    /// How long the row has existed: since `FIRST_SEEN`, in seconds.
    pub age: Duration,
}

impl HostCacheRow {
    fn is_at(&self, limit: u64) -> bool {
        self.connect_errors >= limit
    }

    fn errors_per_hour(&self) -> f64 {
        // FIRST_SEEN has whole seconds.
        self.handshake_errors as f64 / self.age.as_secs_f64().max(1.0) * 3600.0
    }
}

/// What the rows say together.
#[derive(Clone, Debug, PartialEq)]
pub struct Summary {
    /// The highest count in percent of the limit; 100 is blocked.
    pub fill_percent: f64,
    /// Handshake errors per hour of that address: the health checks' rate, if it is not blocked.
    pub errors_per_hour: f64,
    /// The addresses that are blocked, or were at some time since the last flush.
    pub blocked: Vec<String>,
}

impl Summary {
    /// Sums up the rows of a server whose `max_connect_errors` is the limit.
    pub fn new(rows: &[HostCacheRow], limit: u64) -> Summary {
        let highest = rows.iter().max_by_key(|row| (row.connect_errors, row.handshake_errors));
        let blocked = rows.iter().filter(|row| row.is_at(limit) || row.refused > 0);
        Summary {
            fill_percent: highest
                .map_or(0.0, |row| hundredths(row.connect_errors as f64 / limit as f64 * 100.0)),
            errors_per_hour: highest.map_or(0.0, |row| hundredths(row.errors_per_hour())),
            blocked: blocked.map(|row| row.address.clone()).collect(),
        }
    }
}

pub(crate) fn at_limit(rows: &[HostCacheRow], limit: u64) -> Vec<String> {
    rows.iter().filter(|row| row.is_at(limit)).map(|row| row.address.clone()).collect()
}

fn hundredths(number: f64) -> f64 {
    (number * 100.0).round() / 100.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(
        address: &str,
        connect_errors: u64,
        refused: u64,
        handshake_errors: u64,
        seconds: u64,
    ) -> HostCacheRow {
        let age = Duration::from_secs(seconds);
        HostCacheRow { address: address.into(), connect_errors, refused, handshake_errors, age }
    }

    #[test]
    fn the_rows_are_summed_up() {
        for (name, rows, limit, fill_percent, errors_per_hour, blocked) in [
            ("an empty cache", vec![], 100, 0.0, 0.0, vec![]),
            ("nothing counted", vec![row("10.0.0.1", 0, 0, 0, 60)], 100, 0.0, 0.0, vec![]),
            ("a third", vec![row("10.0.0.1", 1, 0, 1, 3600)], 3, 33.33, 1.0, vec![]),
            (
                "one below the limit",
                vec![row("10.0.0.1", 4999, 0, 4999, 250_000)],
                5000,
                99.98,
                71.99,
                vec![],
            ),
            (
                "at the limit",
                vec![row("10.0.0.1", 5, 0, 5, 1800)],
                5,
                100.0,
                10.0,
                vec!["10.0.0.1"],
            ),
            (
                "the limit was raised since",
                vec![row("10.0.0.1", 5, 7, 5, 3600)],
                50,
                10.0,
                5.0,
                vec!["10.0.0.1"],
            ),
            ("seen this very second", vec![row("10.0.0.1", 1, 0, 1, 0)], 100, 1.0, 3600.0, vec![]),
            (
                "the highest of several",
                vec![
                    row("10.0.0.1", 2, 0, 90, 3600),
                    row("10.0.0.2", 9, 0, 9, 3600),
                    row("10.0.0.3", 4, 1, 4, 3600),
                ],
                10,
                90.0,
                9.0,
                vec!["10.0.0.3"],
            ),
            ("the highest limit", vec![row("10.0.0.1", 5, 0, 5, 3600)], u64::MAX, 0.0, 5.0, vec![]),
        ] {
            let blocked = blocked.into_iter().map(str::to_owned).collect();
            assert_eq!(
                Summary::new(&rows, limit),
                Summary { fill_percent, errors_per_hour, blocked },
                "{name}"
            );
        }
    }

    #[test]
    fn only_a_full_count_turns_an_address_away() {
        let rows = [
            row("10.0.0.1", 4, 3, 4, 60),
            row("10.0.0.2", 5, 0, 5, 60),
            row("10.0.0.3", 6, 0, 6, 60),
        ];
        assert_eq!(at_limit(&rows, 5), ["10.0.0.2", "10.0.0.3"]);
    }
}
