//! The loop: every instance that can serve, each for itself: log in, look, flush, and look again.

use std::time::Duration;

use futures_util::future::join_all;
use platform::connect_error::HostPort;
use platform::error::chain;
use reconcile::evidence::ClusterMember;
use tokio::time::{Instant, timeout_at};

use crate::cache::{HostCacheRow, Summary, at_limit};
use crate::config::{Database, has_host_cache};
use crate::error::{RunError, SYNTAX_ERROR, ServerError, TABLE_ACCESS_DENIED};
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
        let report = Report { database, dry_run, elapsed: start.elapsed(), instances };
        if report.failures().next().is_some() { Err(RunError::Failed(report)) } else { Ok(report) }
    }

    async fn flush_instance(
        &self,
        instance: &DbInstance,
        dry_run: bool,
        deadline: Instant,
    ) -> InstanceReport {
        let mut report = InstanceReport::new(instance, dry_run);
        if let Some(endpoint) = connectable_endpoint(instance) {
            report.endpoint = Some(endpoint.clone());
            let session = self.run_session(instance, endpoint, &mut report);
            let outcome = timeout_at(deadline, session).await;
            let error = match outcome {
                Ok(result) => result.err(),
                Err(_) => Some(ServerError::Unfinished { has_flushed: report.has_flushed }),
            };
            report.error = error.as_ref().map(ServerError::failure);
        }
        report
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

/// Where to connect, if the instance takes connections now.
fn connectable_endpoint(instance: &DbInstance) -> Option<&HostPort> {
    let DbInstance { id, status, endpoint, .. } = instance;
    let member =
        ClusterMember { id: id.clone(), is_writer: false, endpoint: None, status: status.clone() };
    // While an instance is renamed, its old name may already be gone and the new one not there yet.
    endpoint.as_ref().filter(|_| member.can_serve() && status != "renaming")
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
        CacheReading::Rows(rows) => report.cache = Some(Summary::new(&rows, limit)),
        CacheReading::Unavailable(problem) => report.cache_problem = Some(problem),
    }
    report.statement = Some(Statement::for_server(&settings.version));
    if report.dry_run {
        return Ok(());
    }
    flush(session, &settings.version, report).await?;
    if report.cache.is_some() {
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
    match session.host_cache().await {
        Ok(rows) if rows.is_empty() && !settings.has_performance_schema => {
            Ok(CacheReading::Unavailable(
                "performance_schema is OFF, so the host cache shows nothing: turn it on in the \
             parameter group"
                    .to_owned(),
            ))
        }
        Ok(rows) => Ok(CacheReading::Rows(rows)),
        Err(error) if error.has_code(TABLE_ACCESS_DENIED) => {
            Ok(CacheReading::Unavailable(chain(&error)))
        }
        Err(error) => Err(error),
    }
}

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
