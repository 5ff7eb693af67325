//! Whatever stands in the variables, and whatever a server calls itself: never a panic, a clear
//! refusal at most, and never the statement that does nothing on MariaDB.
//!
//! `make fuzz` tries many more cases, from another seed.

use base::login::LoginMethod;
use flush_hosts::config::{Config, VARIABLES};
use flush_hosts::version::Statement;
use proptest::prelude::*;

const SECRET: &str = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:flusher-AbCdEf";

/// What is right for some variable, almost right, and anything at all.
fn any_value() -> impl Strategy<Value = Option<String>> {
    let likely = [
        "orders",
        "orders-1",
        "cluster",
        "instance",
        "mysql",
        "mariadb",
        "flusher",
        SECRET,
        "/opt/ca.pem",
        "eu-west-1",
    ];
    let almost = [
        "",
        " ",
        "Orders_1",
        "orders.c1.eu-west-1.rds.amazonaws.com",
        "postgres",
        "arn:aws:s3:::x",
        "a b",
    ];
    prop_oneof![
        1 => Just(None),
        4 => prop::sample::select(likely.to_vec()).prop_map(|text| Some(text.to_owned())),
        2 => prop::sample::select(almost.to_vec()).prop_map(|text| Some(text.to_owned())),
        1 => any::<String>().prop_map(Some),
    ]
}

/// A configuration that is sound but for the variables that are replaced.
fn variables() -> impl Strategy<Value = [Option<String>; 7]> {
    let sound = ["orders", "cluster", "mysql", "", SECRET, "", "eu-west-1"]
        .map(|text| Some(text.to_owned()));
    prop::collection::vec((0..VARIABLES.len(), any_value()), 0..3).prop_map(move |changes| {
        let mut variables = sound.clone();
        changes.into_iter().for_each(|(index, value)| variables[index] = value);
        variables
    })
}

/// Some text, with this word somewhere in it, in whatever case.
fn with_word(word: &'static str) -> impl Strategy<Value = String> {
    (any::<String>(), prop::collection::vec(any::<bool>(), word.len()), any::<String>()).prop_map(
        move |(before, upper, after)| {
            let letters = word.chars().zip(upper);
            let word: String =
                letters.map(|(c, upper)| if upper { c.to_ascii_uppercase() } else { c }).collect();
            format!("{before}{word}{after}")
        },
    )
}

proptest! {
    #[test]
    fn every_mistake_names_its_variable_and_what_is_taken_can_be_used(variables in variables()) {
        let value = |name: &str| {
            let place = VARIABLES.iter().position(|variable| *variable == name);
            place.and_then(|at| variables[at].clone())
        };
        match Config::parse(value) {
            Ok(config) => {
                let mut letters = config.database.identifier.chars();
                prop_assert!(letters.all(|c| c.is_ascii_alphanumeric() || c == '-'));
                let (LoginMethod::Iam(text) | LoginMethod::Secret(text)) = &config.login;
                prop_assert!(!text.is_empty() && !config.region.is_empty());
            }
            Err(mistakes) => {
                for line in mistakes.to_string().lines().skip(1) {
                    let place = line.strip_prefix("- ").and_then(|line| line.split_once(':'));
                    let place = place.map(|(place, _)| place.to_owned()).unwrap_or_default();
                    let is_named = VARIABLES.iter().any(|variable| place.contains(variable));
                    prop_assert!(is_named, "{line:?}");
                }
            }
        }
    }

    #[test]
    fn mariadb_is_never_told_to_truncate(version in with_word("mariadb")) {
        prop_assert_eq!(Statement::for_server(&version), Statement::FlushHosts);
        prop_assert_eq!(Statement::FlushHosts.fallback(&version), None);
    }

    #[test]
    fn every_version_gets_a_statement(version in any::<String>()) {
        let statement = Statement::for_server(&version);
        prop_assert_ne!(Some(statement), statement.fallback(&version));
    }

    #[test]
    fn a_number_decides_for_mysql(
        (major, minor, rest) in (0..12_u32, 0..40_u32, "[.0-9a-z-]{0,8}"),
    ) {
        let version = format!("{major}.{minor}.{rest}");
        let truncates = Statement::for_server(&version) == Statement::TruncateHostCache;
        prop_assert_eq!(truncates, (major, minor) >= (8, 3), "{}", version);
    }
}
