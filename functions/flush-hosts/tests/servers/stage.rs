//! A server, an RDS API that names it, and the function.

use std::path::Path;

use lab::host_cache::{BALANCER, is_blocked};
use lab::lambda::Function;
use lab::mariadb::{NAME, Options, Server};
use lab::rds::{Instance, RdsApi};
use lab::workspace::Run;
use serde_json::Value;

/// The account of `infra/mysql-user.sql`: what it may do is all that the function needs.
pub(crate) const USER: &str = "flusher";
pub(crate) const PASSWORD: &str = "the-password-of-this-test";

/// The identifier of the instance that is the real server.
pub(crate) const INSTANCE: &str = "orders-1";

/// A server of its own for one test, described by an RDS API.
pub(crate) struct Stage {
    pub(crate) server: Server,
    pub(crate) rds: RdsApi,
    pub(crate) run: Run,
}

impl Stage {
    /// Starts a MariaDB server with the minimal account.
    pub(crate) async fn start(options: Options) -> Stage {
        let run = Run::new().unwrap();
        let server = Server::mariadb(&run, "mariadb", &options).await.unwrap();
        let create = format!("CREATE USER {USER}@'%' IDENTIFIED BY '{PASSWORD}'");
        let grants = format!(
            "GRANT RELOAD ON *.* TO {USER}@'%'; \
             GRANT SELECT ON performance_schema.host_cache TO {USER}@'%'"
        );
        server.sql(&format!("{create}; {grants}")).await.unwrap();
        Stage::with(run, server, "mariadb").await
    }

    /// A stage for a server that is there.
    pub(crate) async fn with(run: Run, server: Server, engine: &str) -> Stage {
        let instance = Instance::available(INSTANCE, engine, NAME, server.addr().port());
        let rds = RdsApi::start(vec![instance]).await.unwrap();
        rds.set_secret(USER, PASSWORD);
        Stage { server, rds, run }
    }

    /// Starts the function for the one instance, with a password.
    pub(crate) async fn function(&self) -> Function {
        self.function_with(&[]).await
    }

    /// Starts it with other variables as well; an empty one is absent.
    pub(crate) async fn function_with(&self, changes: &[(&'static str, &str)]) -> Function {
        start(&self.rds, self.server.authority(), changes).await
    }

    /// Whether the server turns the load balancer away.
    pub(crate) async fn balancer_is_blocked(&self) -> bool {
        is_blocked(BALANCER, self.server.addr()).await.unwrap()
    }

    /// Where the server's binary log ends.
    pub(crate) async fn end_of_binlog(&self, statement: &str) -> String {
        let end = self.server.sql(statement).await.unwrap();
        assert!(end.contains("binlog."), "{end}");
        end
    }
}

/// Starts the function for the instance of an RDS API: the binary that was built with these tests,
/// or the one that `BOOTSTRAP` names.
pub(crate) async fn start(
    rds: &RdsApi,
    authority: &Path,
    changes: &[(&'static str, &str)],
) -> Function {
    let mut variables = rds.variables(INSTANCE, authority);
    // Of two values for a name the later one stands.
    variables.extend(changes.iter().map(|(name, value)| (*name, (*value).to_owned())));
    let absent = changes
        .iter()
        .filter(|(_, value)| value.is_empty())
        .map(|(name, _)| *name)
        .collect::<Vec<_>>();
    variables.retain(|(name, _)| !absent.contains(name));
    let built = env!("CARGO_BIN_EXE_flush-hosts").to_owned();
    let binary = std::env::var("BOOTSTRAP").unwrap_or(built);
    Function::start(Path::new(&binary), "flush-hosts", variables).await
}

/// The lines with metrics among the lines of a log.
pub(crate) fn metrics(lines: &[String]) -> Vec<Value> {
    let lines = lines.iter().map(|line| line.parse::<Value>().unwrap());
    lines.filter(|line| line.get("_aws").is_some()).collect()
}

/// Every word is in the text.
pub(crate) fn assert_words(text: &str, words: &[&str]) {
    for word in words {
        assert!(text.contains(word), "{word:?} is not in: {text}");
    }
}
