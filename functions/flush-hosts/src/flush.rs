//! The loop: every instance that can serve, each for itself: log in, look, flush, and look again.

use std::time::Duration;

use base::VERSION;
use base::database::{HostPort, can_serve};
use base::payload::PayloadError;
use base::report::Failure;
use futures_util::future::join_all;
use platform::error::{AwsError, chain};
use thiserror::Error;
use tokio::time::{Instant, timeout_at};

use crate::cache::{HostCacheRow, Summary, at_limit};
use crate::config::{Database, has_host_cache};
use crate::error::{SYNTAX_ERROR, ServerError, TABLE_ACCESS_DENIED};
use crate::ports::{DbInstance, Instances, ServerSession, Servers, Settings};
use crate::report::{InstanceReport, Report};
use crate::version::Statement;

/// One instance, from the login to the last look.
pub const INSTANCE_LIMIT: Duration = Duration::from_secs(30);

/// Flushes the host caches of one database.
pub struct Flusher<I, S> {
    database: Database,
    instances: I,
    servers: S,
}

impl<I: Instances, S: Servers> Flusher<I, S> {
    /// Flushes the database's host caches through the given ports.
    pub fn new(database: Database, instances: I, servers: S) -> Flusher<I, S> {
        Flusher { database, instances, servers }
    }

    /// Flushes every instance, side by side, until the deadline; a dry run only looks.
    ///
    /// # Errors
    /// When the instances are unknown, or when one failed; the others are done first.
    pub async fn run(&self, dry_run: bool, deadline: Instant) -> Result<Report, RunError> {
        let start = Instant::now();
        let found = self.instances.list(&self.database).await.map_err(RunError::Instances)?;
        let deadline = deadline.min(Instant::now() + INSTANCE_LIMIT);
        let instances =
            join_all(found.iter().map(|instance| self.flush_instance(instance, dry_run, deadline)))
                .await;
        let database = self.database.identifier.clone();
        let report =
            Report { version: VERSION, database, dry_run, elapsed: start.elapsed(), instances };
        if report.failures().next().is_some() { Err(RunError::Failed(report)) } else { Ok(report) }
    }

    async fn flush_instance(
        &self,
        instance: &DbInstance,
        dry_run: bool,
        deadline: Instant,
    ) -> InstanceReport {
        let mut report = InstanceReport::new(instance, dry_run);
        let Some(endpoint) = connectable_endpoint(instance) else { return report.end(None) };
        report.endpoint = Some(endpoint.clone());
        let session = self.run_session(instance, endpoint, &mut report);
        let error = match timeout_at(deadline, session).await {
            Ok(result) => result.err(),
            Err(_) => Some(ServerError::Unfinished { has_flushed: report.has_flushed }),
        };
        report.end(error.as_ref().map(ServerError::failure))
    }

    async fn run_session(
        &self,
        instance: &DbInstance,
        endpoint: &HostPort,
        report: &mut InstanceReport,
    ) -> Result<(), ServerError> {
        if let Some(engine) = instance.engine.as_ref().filter(|engine| !has_host_cache(engine)) {
            return Err(ServerError::OtherEngine(engine.clone()));
        }
        let mut session = self.servers.connect(endpoint).await?;
        let outcome = read_and_flush(&mut session, report).await;
        session.close().await;
        outcome
    }
}

/// Why a run failed. The message of the invocation's error names each failure.
#[derive(Debug, Error)]
pub enum RunError {
    /// The payload asks for something impossible; nothing was done.
    #[error(transparent)]
    BadPayload(#[from] PayloadError),
    /// Nobody knows which instances there are; nothing was done.
    #[error("the instances of the database are unknown, nothing was flushed")]
    Instances(#[source] AwsError),
    /// Some instances failed, after everything that could be done for all of them.
    #[error("{}", failures_of(.0))]
    Failed(Report),
}

fn failures_of(report: &Report) -> String {
    let text = |(failed, failure): (&InstanceReport, &Failure)| match &failed.endpoint {
        Some(endpoint) => format!("{}: {endpoint}: {}", failed.instance, failure.message),
        None => format!("{}: {}", failed.instance, failure.message),
    };
    let failures: Vec<String> = report.failures().map(text).collect();
    let (failed, all) = (failures.len(), report.instances.len());
    format!("{failed} of {all} instances failed: {}", failures.join("; "))
}

fn connectable_endpoint(instance: &DbInstance) -> Option<&HostPort> {
    let DbInstance { status, endpoint, .. } = instance;
    // While an instance is renamed, its old name may already be gone and the new one not there yet.
    if can_serve(status) && status != "renaming" { endpoint.as_ref() } else { None }
}

async fn read_and_flush(
    session: &mut impl ServerSession,
    report: &mut InstanceReport,
) -> Result<(), ServerError> {
    let settings = session.settings().await?;
    let limit = settings.max_connect_errors;
    report.version = Some(settings.version.clone());
    report.max_connect_errors = Some(limit);
    match read_cache(session, &settings).await? {
        CacheReading::Rows(rows) => report.record_cache(Summary::new(&rows, limit)),
        CacheReading::Unavailable(problem) => report.cache_problem = Some(problem),
    }
    report.statement = Some(Statement::for_server(&settings.version));
    if report.dry_run {
        return Ok(());
    }
    flush(session, &settings.version, report).await?;
    if report.cache_readable {
        let blocked = at_limit(&session.host_cache().await?, limit);
        if !blocked.is_empty() {
            return Err(ServerError::StillBlocked(blocked));
        }
    }
    Ok(())
}

enum CacheReading {
    Rows(Vec<HostCacheRow>),
    Unavailable(String),
}

/// Looking is a service, flushing the duty: an account that may only flush still flushes.
async fn read_cache(
    session: &mut impl ServerSession,
    settings: &Settings,
) -> Result<CacheReading, ServerError> {
    let problem = match session.host_cache().await {
        Ok(rows) if rows.is_empty() && !settings.has_performance_schema => OFF.to_owned(),
        Ok(rows) => return Ok(CacheReading::Rows(rows)),
        Err(error) if error.has_code(TABLE_ACCESS_DENIED) => chain(&error),
        Err(error) => return Err(error),
    };
    Ok(CacheReading::Unavailable(problem))
}

const OFF: &str = "performance_schema is OFF, so the host cache shows nothing: turn it on in the \
    parameter group";

async fn flush(
    session: &mut impl ServerSession,
    version: &str,
    report: &mut InstanceReport,
) -> Result<(), ServerError> {
    let statement = Statement::for_server(version);
    let outcome = match (session.flush(statement).await, statement.fallback(version)) {
        (Err(error), Some(other)) if error.has_code(SYNTAX_ERROR) => {
            report.statement = Some(other);
            session.flush(other).await
        }
        (outcome, _) => outcome,
    };
    report.has_flushed = outcome.is_ok();
    outcome
}
