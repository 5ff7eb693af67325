//! The configuration: environment variables in, a database and a login out, or every mistake.

use std::path::PathBuf;

use base::config::{ConfigErrors, ErrorCollector, given};
use base::database;
use base::login::LoginMethod;

/// The environment variables that [`Config::parse`] reads. `AWS_REGION` is set by Lambda.
pub const VARIABLES: [&str; 7] = [
    "DATABASE_IDENTIFIER",
    "DATABASE_KIND",
    "DATABASE_ENGINE",
    "DATABASE_USER",
    "SECRET_ARN",
    "CA_BUNDLE",
    "AWS_REGION",
];

/// What the function is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Whose host caches are flushed.
    pub database: Database,
    /// How the function logs in.
    pub login: LoginMethod,
    /// A PEM file to trust instead of the shipped one.
    pub ca_bundle: Option<PathBuf>,
    /// The Region of the database, such as `eu-west-1`.
    pub region: String,
}

/// A database in RDS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Database {
    /// The identifier of the DB cluster or instance.
    pub identifier: String,
    /// Which of the two it is.
    pub kind: DatabaseKind,
}

/// What the identifier names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DatabaseKind {
    /// A DB cluster: each of its instances has a host cache of its own.
    Cluster,
    /// One DB instance.
    Instance,
}

impl Config {
    /// Reads the variables named in [`VARIABLES`]; an empty one counts as absent.
    ///
    /// # Errors
    /// All mistakes, each with its variable.
    pub fn parse(variable: impl Fn(&str) -> Option<String>) -> Result<Config, ConfigErrors> {
        let value = |name| {
            debug_assert!(VARIABLES.contains(&name), "{name}");
            given(variable(name))
        };
        let (user, secret) = (value("DATABASE_USER"), value("SECRET_ARN"));
        let mut mistakes = ErrorCollector::default();
        let identifier = value("DATABASE_IDENTIFIER");
        let identifier = mistakes.collect("DATABASE_IDENTIFIER", check_identifier(identifier));
        let kind = mistakes.collect("DATABASE_KIND", parse_kind(value("DATABASE_KIND").as_deref()));
        let engine =
            mistakes.collect("DATABASE_ENGINE", check_engine(value("DATABASE_ENGINE").as_deref()));
        if user.is_none() && secret.is_none() {
            mistakes.add(
                "DATABASE_USER or SECRET_ARN",
                "is missing: give the user for IAM, or the secret for a password",
            );
        }
        let login =
            LoginMethod::parse(["DATABASE_USER", "SECRET_ARN"], user, secret, &mut mistakes);
        let region = mistakes.collect(
            "AWS_REGION",
            value("AWS_REGION").ok_or("is missing: give the database's Region"),
        );
        match (identifier, kind, engine, login, region) {
            (Some(identifier), Some(kind), Some(()), Some(login), Some(region)) => Ok(Config {
                database: Database { identifier, kind },
                login,
                ca_bundle: value("CA_BUNDLE").map(PathBuf::from),
                region,
            }),
            _ => Err(mistakes.into()),
        }
    }
}

pub(crate) fn has_host_cache(engine: &str) -> bool {
    matches!(engine, "mysql" | "mariadb" | "aurora" | "aurora-mysql")
}

fn check_identifier(identifier: Option<String>) -> Result<String, String> {
    database::identifier(
        &identifier.ok_or("is missing: give the identifier of the DB cluster or instance")?,
    )
}

fn parse_kind(kind: Option<&str>) -> Result<DatabaseKind, String> {
    match kind {
        Some("cluster") => Ok(DatabaseKind::Cluster),
        Some("instance") => Ok(DatabaseKind::Instance),
        Some(other) => Err(format!("{other:?} is not a kind: there are cluster and instance")),
        None => Err("is missing: give cluster or instance".to_owned()),
    }
}

fn check_engine(engine: Option<&str>) -> Result<(), String> {
    match engine {
        Some("mysql" | "mariadb") => Ok(()),
        Some(other) => Err(format!(
            "{other:?} is not mysql or mariadb: only MySQL and MariaDB have a host cache, other \
             engines do not need this function"
        )),
        None => Err("is missing: give mysql or mariadb".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:flusher-AbCdEf";

    /// A good configuration with some variables changed; an empty one is absent.
    fn parse(changes: &[(&str, &str)]) -> Result<Config, String> {
        let good = [
            ("DATABASE_IDENTIFIER", "orders"),
            ("DATABASE_KIND", "cluster"),
            ("DATABASE_ENGINE", "mysql"),
            ("DATABASE_USER", "flusher"),
            ("AWS_REGION", "eu-west-1"),
        ];
        let lookup = |name: &str| {
            changes.iter().chain(&good).find(|(key, _)| *key == name).map(|(_, value)| *value)
        };
        Config::parse(|name| lookup(name).map(str::to_owned)).map_err(|error| error.to_string())
    }

    #[test]
    fn each_login_and_kind_is_read() {
        let config = Config {
            database: Database { identifier: "orders".into(), kind: DatabaseKind::Cluster },
            login: LoginMethod::Iam("flusher".into()),
            ca_bundle: None,
            region: "eu-west-1".into(),
        };
        assert_eq!(parse(&[]), Ok(config.clone()));
        let changes = [
            ("DATABASE_KIND", "instance"),
            ("DATABASE_USER", " "),
            ("SECRET_ARN", SECRET),
            ("CA_BUNDLE", "/opt/ca"),
        ];
        let expected = Config {
            database: Database { identifier: "orders".into(), kind: DatabaseKind::Instance },
            login: LoginMethod::Secret(SECRET.into()),
            ca_bundle: Some("/opt/ca".into()),
            ..config
        };
        assert_eq!(parse(&changes), Ok(expected));
    }

    #[test]
    fn each_mistake_names_its_variable_and_what_to_give() {
        for (changes, expected) in [
            (vec![("DATABASE_IDENTIFIER", "")], "DATABASE_IDENTIFIER: is missing"),
            (
                vec![("DATABASE_IDENTIFIER", "orders.c1.eu-west-1.rds.amazonaws.com")],
                "neither an endpoint nor an ARN",
            ),
            (vec![("DATABASE_IDENTIFIER", "orders-")], "is not an identifier"),
            (vec![("DATABASE_KIND", "readers")], "DATABASE_KIND: \"readers\" is not a kind"),
            (
                vec![("DATABASE_ENGINE", "postgres")],
                "DATABASE_ENGINE: \"postgres\" is not mysql or mariadb: only MySQL",
            ),
            (vec![("DATABASE_USER", "")], "DATABASE_USER or SECRET_ARN: is missing"),
            (vec![("SECRET_ARN", SECRET)], "DATABASE_USER and SECRET_ARN: are both set"),
            (vec![("DATABASE_USER", "a&b")], "DATABASE_USER: \"a&b\" cannot log in with IAM"),
            (
                vec![("DATABASE_USER", ""), ("SECRET_ARN", "flusher")],
                "SECRET_ARN: \"flusher\" is not the ARN",
            ),
            (vec![("AWS_REGION", "")], "AWS_REGION: is missing"),
        ] {
            let message = parse(&changes).expect_err("a mistake");
            assert!(
                message.contains(expected) && message.starts_with("1 mistake in"),
                "{changes:?}: {message}"
            );
        }
    }

    #[test]
    fn all_mistakes_are_reported_at_once() {
        let message = Config::parse(|_| None).expect_err("mistakes").to_string();
        assert!(
            message.starts_with("5 mistakes in the configuration:\n- DATABASE_IDENTIFIER:"),
            "{message}"
        );
    }

    #[test]
    fn the_engines_with_a_host_cache_are_those_of_mysql_and_mariadb() {
        let engines =
            ["mysql", "mariadb", "aurora-mysql", "aurora-postgresql", "postgres", "sqlserver-ex"];
        assert_eq!(engines.map(has_host_cache), [true, true, true, false, false, false]);
    }
}
