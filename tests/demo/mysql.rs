//! `lab demo-mysql`: health checks make a server block its load balancer; flush-hosts ends it.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail, ensure};
use lab::health::HealthChecks;
use lab::host_cache::BALANCER;
use lab::lambda::{Function, Outcome};
use lab::mariadb::{NAME, Options, Server};
use lab::mysql_writer::{MysqlWriter, create_table, lost};
use lab::nlb::Nlb;
use lab::poll::{self, Look};
use lab::rds::{Instance, RdsApi};
use lab::workspace::{Run, root};
use lab::writer::Attempt;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::mysql_story::{Moments, Story, answered_with_1129, was_refused};
use crate::terminal::{Terminal, Tone};

/// Real ones are 10 to 300 s apart and the limit is 100: hours to days instead of seconds.
const INTERVAL: Duration = Duration::from_millis(200);
const LIMIT: u32 = 20;

/// The checks reach the limit after four seconds.
const BLOCK_DEADLINE: Duration = Duration::from_secs(60);

/// The client tries twenty times a second.
const WRITE_DEADLINE: Duration = Duration::from_secs(30);

/// How long each state is watched.
const CALM: Duration = Duration::from_secs(2);

const INSTANCE: &str = "orders-1";
const USER: &str = "flusher";
const PASSWORD: &str = "lab-only";

/// The pieces of the demonstration.
struct Scene {
    server: Server,
    nlb: Nlb,
    function: Function,
    checks: HealthChecks,
    _rds: RdsApi,
}

/// Shows the block and its end, and leaves a report in `target/demo`.
pub(crate) async fn demo(run: &Run, terminal: &Terminal) -> Result<()> {
    terminal.title("Setting up");
    let scene = Scene::set(run, terminal).await?;
    tell_the_limits(terminal);

    let began = Instant::now();
    let tell = |tone, text: &str| terminal.event(began.elapsed(), tone, text);

    terminal
        .title("A client writes through the load balancer, with a new connection for every write");
    let writer = MysqlWriter::start(scene.nlb.addr(), 1)?;
    sleep(CALM).await;
    let mut attempts = writer.attempts();
    drop(writer);
    all(&attempts, "confirmed", |attempt| attempt.error.is_none())?;
    tell(
        Tone::Good,
        &format!(
            "{} writes confirmed; each login sets the server's count back to 0",
            attempts.len()
        ),
    );

    terminal.title("The client has nothing to write; only the health checks connect");
    let idle = Instant::now();
    tell(
        Tone::Plain,
        &format!("a health check every {} ms, each one connection error", INTERVAL.as_millis()),
    );
    let (blocked, text) = scene.wait_for_block().await?;
    let made = scene.checks.checks().iter().filter(|check| check.at >= idle).count();
    terminal.event(
        blocked - began,
        Tone::Bad,
        &format!("health check number {made} is answered: {text}"),
    );

    terminal.title("The client comes back");
    let next = attempts.last().map_or(1, |attempt| attempt.number + 1);
    let writer = MysqlWriter::start(scene.nlb.addr(), next)?;
    sleep(CALM).await;
    let refused = writer.attempts();
    all(&refused, "refused with error 1129", was_refused)?;
    tell(
        Tone::Bad,
        &format!("{} writes refused, the first with: {}", refused.len(), error_of(&refused)),
    );
    tell(
        Tone::Plain,
        "the target stays healthy: it accepts connections, and a health check looks at nothing \
         else",
    );

    terminal.title("The function looks, as a dry run");
    let looked = scene.invoke(&json!({"dryRun": true})).await?;
    ensure!(
        looked["blocked"] == json!([BALANCER]),
        "the dry run does not find the block: {looked}"
    );
    tell(
        Tone::Plain,
        &format!(
            "blocked: {}, fill {} %, state {}",
            looked["blocked"], looked["fillPercent"], looked["state"]
        ),
    );
    let last = scene.checks.checks().last().cloned().context("no health check")?;
    ensure!(answered_with_1129(&last), "the block has gone without a flush");

    terminal.title("The function flushes");
    let invoked = Instant::now();
    let result = scene.invoke(&json!({})).await?;
    let flushed = Instant::now();
    ensure!(result["state"] == "flushed", "the function has not flushed: {result}");
    let took = (flushed - invoked).as_millis();
    terminal.event(
        flushed - began,
        Tone::Good,
        &format!(
            "{} on {} in {took} ms",
            text_of(&result, "statement"),
            text_of(&result, "version")
        ),
    );
    let first = first_write_after(&writer, invoked).await?;
    terminal.event(
        first - began,
        Tone::Good,
        &format!(
            "writes flow again, {} ms after the invocation began",
            (first - invoked).as_millis()
        ),
    );
    sleep(CALM).await;
    attempts.extend(writer.attempts());
    drop(writer);

    let story = Story {
        moments: Moments { began, idle, blocked, invoked, flushed, ended: Instant::now() },
        lost: lost(&attempts, &scene.server).await?,
        attempts,
        checks: scene.checks.checks(),
        result,
        interval: INTERVAL,
        limit: LIMIT,
    };
    conclude(&story, scene.stop().await, terminal)?;
    judge(&story)
}

impl Scene {
    async fn set(run: &Run, terminal: &Terminal) -> Result<Self> {
        let options =
            Options { performance_schema: true, max_connect_errors: LIMIT, ..Options::default() };
        let server = Server::mariadb(run, "mariadb", &options).await?;
        let grants = format!(
            "GRANT RELOAD ON *.* TO {USER}@'%'; \
             GRANT SELECT ON performance_schema.host_cache TO {USER}@'%'"
        );
        server.sql(&format!("CREATE USER {USER}@'%' IDENTIFIED BY '{PASSWORD}'; {grants}")).await?;
        create_table(&server).await?;
        let version = server.sql("SELECT VERSION()").await?;
        let addr = server.addr();
        let says = [
            format!("MariaDB {version} at {addr}, max_connect_errors = {LIMIT}"),
            format!("load balancer, which the server sees as {BALANCER}"),
        ];
        let nlb = Nlb::fixed(addr, BALANCER).await?;
        says.iter().for_each(|text| lab::progress::Progress::say(terminal, text));

        let rds = RdsApi::start(vec![Instance::available(INSTANCE, "mariadb", NAME, addr.port())])
            .await?;
        rds.set_secret(USER, PASSWORD);
        let variables = rds.variables(INSTANCE, server.authority());
        let function = Function::start(&binary()?, "flush-hosts", variables).await;
        let checks = HealthChecks::start(BALANCER, addr, INTERVAL);
        Ok(Self { server, nlb, function, checks, _rds: rds })
    }

    /// Waits until a health check is answered with error 1129; when, and what it says.
    async fn wait_for_block(&self) -> Result<(Instant, String)> {
        poll::until("the block", BLOCK_DEADLINE, async || {
            let checks = self.checks.checks();
            let refused = checks.iter().find(|check| answered_with_1129(check));
            Ok(match refused.and_then(|check| Some((check.at, check.refusal.as_ref()?))) {
                Some((at, (code, text))) => Look::Ready((at, format!("{code} {text}"))),
                None => Look::NotYet(anyhow!(
                    "the last of {} checks: {:?}",
                    checks.len(),
                    checks.last()
                )),
            })
        })
        .await
    }

    /// What the function reports about the one instance.
    async fn invoke(&self, payload: &Value) -> Result<Value> {
        match self.function.invoke(payload).await {
            Outcome::Result(mut result) => Ok(result["instances"][0].take()),
            Outcome::Error { kind, message } => bail!("the function failed: {kind}: {message}"),
        }
    }

    /// Ends everything, and returns the function's last line of metrics.
    async fn stop(self) -> Option<String> {
        let lines = self.function.stop().await;
        lines.into_iter().rfind(|line| line.contains("\"_aws\""))
    }
}

/// The function, which `make demo-mysql` builds into the directory of this program.
fn binary() -> Result<PathBuf> {
    let own = std::env::current_exe().context("find this program")?;
    let binary = own.with_file_name("flush-hosts");
    ensure!(binary.exists(), "{} is missing; `make demo-mysql` builds it", binary.display());
    Ok(binary)
}

fn tell_the_limits(terminal: &Terminal) {
    terminal.title("What is real here, and what is not");
    for line in [
        "real      the function's binary, MariaDB, its TLS and its login, the block, \
         the client and its errors",
        "own       the load balancer's data plane and its health checks (connect, read, reset)",
        "stand-in  the Runtime API, Secrets Manager and the RDS API: \
         the database driver asks the system's resolver,",
        "          which knows none of the endpoint names that an emulator invents, \
         so this RDS API says localhost",
    ] {
        terminal.line(&format!("  {line}"));
    }
    terminal.line(&format!(
        "  hurried   a check every {} ms and a limit of {LIMIT}; \
         in AWS every 10 to 300 s, and 100 unless raised",
        INTERVAL.as_millis()
    ));
}

fn all(attempts: &[Attempt], what: &str, holds: impl Fn(&Attempt) -> bool) -> Result<()> {
    ensure!(!attempts.is_empty(), "the client has written nothing");
    match attempts.iter().find(|attempt| !holds(attempt)) {
        None => Ok(()),
        Some(attempt) => bail!("write {} was not {what}: {:?}", attempt.number, attempt.error),
    }
}

fn error_of(attempts: &[Attempt]) -> &str {
    attempts.iter().find_map(|attempt| attempt.error.as_deref()).unwrap_or_default()
}

fn text_of<'a>(report: &'a Value, key: &str) -> &'a str {
    report[key].as_str().unwrap_or_default()
}

async fn first_write_after(writer: &MysqlWriter, moment: Instant) -> Result<Instant> {
    poll::until("the first write after the flush", WRITE_DEADLINE, async || {
        let attempts = writer.attempts();
        let confirmed = attempts.iter().filter(|attempt| attempt.error.is_none());
        let first = confirmed.map(|attempt| attempt.at + attempt.took).find(|end| *end >= moment);
        Ok(first.map_or_else(
            || {
                Look::NotYet(anyhow!(
                    "the last attempt: {:?}",
                    attempts.last().map(|attempt| &attempt.error)
                ))
            },
            Look::Ready,
        ))
    })
    .await
}

/// Prints the table, and writes the report.
fn conclude(story: &Story, metrics: Option<String>, terminal: &Terminal) -> Result<()> {
    terminal.title("Result");
    terminal.line(
        "                         lasted   confirmed   refused     other   target     target",
    );
    terminal.line(
        "                                     writes    (1129)    errors   healthy    unhealthy",
    );
    for chapter in story.chapters() {
        terminal.line(&format!(
            "  {:<20} {:>6.1} s   {:>9}   {:>7}   {:>7}   {:>7}   {:>9}",
            chapter.title,
            chapter.lasted.as_secs_f64(),
            chapter.confirmed,
            chapter.refused,
            chapter.failed,
            chapter.healthy,
            chapter.unhealthy
        ));
    }
    terminal.line("");
    if let Some(metrics) = metrics {
        terminal.line(&format!("  metrics: {metrics}"));
    }
    let directory = root().join("target/demo");
    std::fs::create_dir_all(&directory)
        .with_context(|| format!("create {}", directory.display()))?;
    let report = serde_json::to_string(&story.report()).context("write the report")?;
    let path = directory.join("mysql-report.json");
    std::fs::write(&path, report.clone() + "\n")
        .with_context(|| format!("write {}", path.display()))?;
    terminal.line(&format!("  {report}"));
    terminal.line(&format!("  {}", path.display()));
    Ok(())
}

fn judge(story: &Story) -> Result<()> {
    let lost = &story.lost;
    ensure!(
        lost.is_empty(),
        "{} confirmed writes are lost, the first is number {}",
        lost.len(),
        lost[0]
    );
    let [writing, idle, blocked, after] = story.chapters();
    let unhealthy: usize =
        [writing, idle, blocked, after].iter().map(|chapter| chapter.unhealthy).sum();
    ensure!(
        unhealthy == 0,
        "the target failed {unhealthy} health checks; the block has nothing to do with that"
    );
    ensure!(after.confirmed > 0, "no write was confirmed after the flush");
    ensure!(after.refused + after.failed <= 1, "writes still fail after the flush");
    Ok(())
}
