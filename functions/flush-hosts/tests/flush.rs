//! The loop over fake servers that behave as real ones were measured to.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base::database::HostPort;
use flush_hosts::cache::HostCacheRow;
use flush_hosts::config::{Database, DatabaseKind};
use flush_hosts::error::ServerError;
use flush_hosts::flush::{Flusher, RunError};
use flush_hosts::ports::{DbInstance, Instances, ServerSession, Servers, Settings};
use flush_hosts::report::{InstanceReport, Report, State};
use flush_hosts::version::Statement::{self, FlushHosts, TruncateHostCache};
use platform::connect_error::ConnectError;
use platform::error::{AwsError, chain};
use tokio::time::Instant;

/// A server: what it answers, and what was done to it.
#[derive(Clone)]
struct Server {
    version: &'static str,
    has_performance_schema: bool,
    /// The statements that it knows, and whether they empty the cache.
    knows: Vec<(Statement, bool)>,
    /// The code that a look at the host cache is answered with.
    look_fails: Option<u16>,
    flush_fails: Option<u16>,
    is_silent: bool,
    rows: Arc<Mutex<Vec<HostCacheRow>>>,
    executed: Arc<Mutex<Vec<Statement>>>,
}

fn server(version: &'static str, knows: Statement) -> Server {
    let row =
        HostCacheRow { address: "10.0.0.1".into(), connect_errors: 80, ..HostCacheRow::default() };
    let blocked = HostCacheRow {
        address: "10.0.0.2".into(),
        connect_errors: 100,
        refused: 3,
        ..HostCacheRow::default()
    };
    Server {
        version,
        has_performance_schema: true,
        knows: vec![(knows, true)],
        look_fails: None,
        flush_fails: None,
        is_silent: false,
        rows: Arc::new(Mutex::new(vec![row, blocked])),
        executed: Arc::default(),
    }
}

impl Server {
    fn executed(&self) -> Vec<Statement> {
        self.executed.lock().unwrap().clone()
    }

    fn is_empty(&self) -> bool {
        self.rows.lock().unwrap().is_empty()
    }
}

fn answered(code: u16) -> ServerError {
    ConnectError::Refused { code: code.to_string(), message: "no".to_owned(), known: None }.into()
}

impl ServerSession for Server {
    async fn settings(&mut self) -> Result<Settings, ServerError> {
        if self.is_silent {
            std::future::pending::<()>().await;
        }
        let has_performance_schema = self.has_performance_schema;
        Ok(Settings {
            version: self.version.to_owned(),
            max_connect_errors: 100,
            has_performance_schema,
        })
    }

    async fn host_cache(&mut self) -> Result<Vec<HostCacheRow>, ServerError> {
        match self.look_fails {
            Some(code) => Err(answered(code)),
            None if !self.has_performance_schema && self.version.contains("MariaDB") => {
                Ok(Vec::new())
            }
            None => Ok(self.rows.lock().unwrap().clone()),
        }
    }

    async fn flush(&mut self, statement: Statement) -> Result<(), ServerError> {
        self.executed.lock().unwrap().push(statement);
        if let Some(code) = self.flush_fails {
            return Err(answered(code));
        }
        let (_, works) = self
            .knows
            .iter()
            .find(|(known, _)| *known == statement)
            .ok_or_else(|| answered(1064))?;
        if *works {
            self.rows.lock().unwrap().clear();
        }
        Ok(())
    }

    async fn close(self) {}
}

struct Network(HashMap<String, Server>);

impl Servers for Network {
    type Session = Server;

    async fn connect(&self, endpoint: &HostPort) -> Result<Server, ServerError> {
        self.0
            .get(&endpoint.host)
            .cloned()
            .ok_or(ServerError::NoGreeting(ConnectError::Timeout { seconds: 10 }))
    }
}

struct Listed(Vec<DbInstance>);

impl Instances for Listed {
    async fn list(&self, database: &Database) -> Result<Vec<DbInstance>, AwsError> {
        if self.0.is_empty() {
            return Err(AwsError::incomplete(
                "rds:DescribeDBClusters",
                &database.identifier,
                "the cluster has no instance",
            ));
        }
        Ok(self.0.clone())
    }
}

fn instance(id: &str, status: &str) -> DbInstance {
    let endpoint = Some(HostPort { host: id.to_owned(), port: 3306 });
    DbInstance {
        id: id.to_owned(),
        status: status.to_owned(),
        engine: Some("aurora-mysql".to_owned()),
        endpoint,
    }
}

async fn run_on(
    instances: Vec<DbInstance>,
    servers: &[(&str, &Server)],
    dry_run: bool,
) -> Result<Report, RunError> {
    let servers =
        servers.iter().map(|(id, server)| ((*id).to_owned(), (*server).clone())).collect();
    let database = Database { identifier: "orders".into(), kind: DatabaseKind::Cluster };
    let deadline = Instant::now() + Duration::from_secs(60);
    Flusher::new(database, Listed(instances), Network(servers)).run(dry_run, deadline).await
}

/// A run on one server.
async fn run(server: &Server, dry_run: bool) -> InstanceReport {
    match run_on(vec![instance("a", "available")], &[("a", server)], dry_run).await {
        Ok(mut report) | Err(RunError::Failed(mut report)) => report.instances.remove(0),
        Err(error) => panic!("{error}"),
    }
}

#[tokio::test]
async fn a_full_cache_is_reported_and_emptied() {
    let server = server("8.4.7", TruncateHostCache);
    let report = run(&server, false).await;
    assert_eq!(
        (report.state, report.statement, report.version),
        (State::Flushed, Some(TruncateHostCache), Some("8.4.7".into()))
    );
    assert_eq!((report.fill_percent, report.blocked), (Some(100.0), vec!["10.0.0.2".to_owned()]));
    assert!(server.is_empty());
}

#[tokio::test]
async fn a_dry_run_flushes_nothing() {
    let server = server("10.11.14-MariaDB-log", FlushHosts);
    let report = run(&server, true).await;
    assert_eq!((report.state, report.statement), (State::WouldFlush, Some(FlushHosts)));
    assert_eq!((server.executed(), server.is_empty()), (vec![], false));
    assert_eq!(report.blocked, ["10.0.0.2"]);
}

#[tokio::test]
async fn an_unknown_statement_falls_over_to_the_other_one_only_on_mysql() {
    for (version, knows, executed, state) in [
        (
            "8.0.mysql_aurora.9",
            TruncateHostCache,
            vec![FlushHosts, TruncateHostCache],
            State::Flushed,
        ),
        ("8.3.0", FlushHosts, vec![TruncateHostCache, FlushHosts], State::Flushed),
        ("10.11.14-MariaDB", TruncateHostCache, vec![FlushHosts], State::Failed),
    ] {
        let server = server(version, knows);
        let report = run(&server, false).await;
        assert_eq!((report.state, server.executed()), (state, executed.clone()), "{version}");
        assert_eq!(report.statement, executed.last().copied(), "{version}");
    }
}

#[tokio::test]
async fn only_an_unknown_statement_falls_over() {
    for (code, missing) in [(1227, "GRANT RELOAD"), (1290, "read_only")] {
        let server = Server { flush_fails: Some(code), ..server("8.0.36", FlushHosts) };
        let report = run(&server, false).await;
        let message = report.error.unwrap().message;
        assert!(message.contains(missing) && message.contains(&code.to_string()), "{message}");
        assert_eq!(server.executed(), [FlushHosts]);
    }
}

#[tokio::test]
async fn a_confirmed_flush_that_did_not_help_is_a_failure() {
    let server = Server { knows: vec![(FlushHosts, false)], ..server("5.7.44-log", FlushHosts) };
    let failure = run(&server, false).await.error.unwrap();
    assert!(failure.kind == "StillBlocked" && failure.message.contains("10.0.0.2"), "{failure:?}");
}

#[tokio::test]
async fn a_cache_that_cannot_be_read_is_flushed_all_the_same() {
    let grantless = Server { look_fails: Some(1142), ..server("8.0.36", FlushHosts) };
    let hidden = Server { has_performance_schema: false, ..server("10.11.14-MariaDB", FlushHosts) };
    for (server, problem) in [(grantless, "GRANT SELECT"), (hidden, "performance_schema is OFF")] {
        let report = run(&server, false).await;
        assert_eq!((report.state, report.fill_percent), (State::Flushed, None));
        assert!(report.cache_problem.unwrap().contains(problem), "{problem}");
        assert!(server.is_empty());
    }
}

#[tokio::test]
async fn mysql_shows_its_cache_without_the_performance_schema_too() {
    let server = Server { has_performance_schema: false, ..server("9.7.4", TruncateHostCache) };
    let report = run(&server, false).await;
    assert_eq!((report.fill_percent, report.cache_problem), (Some(100.0), None));
}

#[tokio::test]
async fn one_unreachable_instance_does_not_stop_the_others_and_is_named() {
    let (first, third) = (server("8.0.36", FlushHosts), server("8.0.36", FlushHosts));
    let found = ["a", "b", "c"].map(|id| instance(id, "available")).to_vec();
    let error = run_on(found, &[("a", &first), ("c", &third)], false).await.unwrap_err();
    assert!(first.is_empty() && third.is_empty());
    let message = error.to_string();
    assert!(
        message.starts_with("1 of 3 instances failed: b: b:3306: no session within 10 s"),
        "{message}"
    );
    let RunError::Failed(report) = error else { panic!("{message}") };
    assert_eq!(
        report.instances.iter().map(|instance| instance.state).collect::<Vec<_>>(),
        [State::Flushed, State::Failed, State::Flushed]
    );
    assert_eq!(report.metrics(0).unwrap()["FlushFailed"], 1);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_falls_silent_costs_half_a_minute_and_fails() {
    let (silent, other) =
        (Server { is_silent: true, ..server("8.0.36", FlushHosts) }, server("8.0.36", FlushHosts));
    let start = Instant::now();
    let found = vec![instance("a", "available"), instance("b", "available")];
    let error = run_on(found, &[("a", &silent), ("b", &other)], false).await.unwrap_err();
    assert_eq!(start.elapsed().as_secs(), 30);
    assert!(error.to_string().contains("a: a:3306: it was not done"), "{error}");
    assert!(other.is_empty());
}

#[tokio::test]
async fn what_cannot_serve_is_skipped_with_its_status() {
    let statuses = [
        "creating",
        "stopped",
        "stopping",
        "starting",
        "deleting",
        "failed",
        "incompatible-network",
        "renaming",
    ];
    let mut found: Vec<_> = statuses.iter().map(|status| instance("unreachable", status)).collect();
    found.push(DbInstance { endpoint: None, ..instance("new", "backing-up") });
    let report = run_on(found, &[], false).await.unwrap();
    for (instance, status) in report.instances.iter().zip(statuses.iter().chain(&["backing-up"])) {
        assert_eq!((instance.state, instance.status.as_str()), (State::Skipped, *status));
    }
}

#[tokio::test]
async fn an_instance_of_another_engine_is_not_even_connected_to() {
    let other =
        DbInstance { engine: Some("aurora-postgresql".into()), ..instance("a", "available") };
    let error =
        run_on(vec![other], &[("a", &server("16.4", FlushHosts))], false).await.unwrap_err();
    assert!(
        error.to_string().contains("a: a:3306: its engine is \"aurora-postgresql\""),
        "{error}"
    );
}

#[tokio::test]
async fn without_the_instances_the_run_fails() {
    let error = run_on(Vec::new(), &[], false).await.unwrap_err();
    assert!(chain(&error).contains("rds:DescribeDBClusters on orders failed"), "{}", chain(&error));
}
