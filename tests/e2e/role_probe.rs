//! The role probe: the group follows the promotion, not DNS. A failed login costs only its answer.

use super::*;

/// How much of the log tells of the last runs.
const LOG_LINES: usize = 200;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_group_follows_the_promotion_where_the_databases_are_asked() -> Result<()> {
    deployed(Options { probes_roles: true, ..Options::default() }, async |lab, run| {
        lab.first_run().await?;
        over_and_back(lab, run).await
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_password_costs_no_more_than_the_role_probe() -> Result<()> {
    deployed(Options { probes_roles: true, ..Options::default() }, async |lab, _| {
        lab.first_run().await?;
        with_a_wrong_password(lab).await
    })
    .await
}

async fn over_and_back(lab: &mut Lab<'_>, run: &Run) -> Result<()> {
    Steps::begin(
        "asked: the group follows the promotion while DNS and the RDS API name the dead writer",
    );
    let over = Promotion::of(lab, 1).await?;
    over.is_followed(lab).await?;
    lab.databases.rebuild_standby(run).await?;
    lab.move_writer(1).await?;

    Steps::begin("asked: and back, while the watch of the failover before is on");
    let back = Promotion::of(lab, 0).await?;
    back.is_followed(lab).await?;
    lab.databases.rebuild_standby(run).await?;
    lab.move_writer(0).await?;

    Steps::begin("asked: DNS names the old writer once more, which is back and read only");
    lab.point_dns_at(1);
    lab.wait_for_looks(10, LOOKS_DEADLINE).await?;
    lab.point_dns_at(0);
    // Those that have the wrong answer have been judged when a later one has begun.
    lab.wait_for_looks(2, LOOKS_DEADLINE).await?;
    arrive(lab, 0, FOLLOW_DEADLINE).await?;
    is_never_left(&back.history, lab.databases.address(0))?;
    let log = lab.function_log(LOG_LINES).await?;
    ensure!(!log.contains("LoginRefused"), "the right password was refused: {log}");
    Ok(())
}

async fn with_a_wrong_password(lab: &mut Lab<'_>) -> Result<()> {
    Steps::begin(
        "asked with a wrong password: the group follows DNS and the RDS API, as without a login",
    );
    lab.login.as_ref().context("the function has no login")?.spoil(&lab.aws).await?;
    let unheard = Promotion::of(lab, 1).await?;
    lab.wait_for_looks(10, LOOKS_DEADLINE).await?;
    let changes = unheard.history.changes();
    ensure!(changes.len() == 1, "the group has moved without a witness: {changes:?}");
    let told = Failover::to(lab, 1).await?;
    told.ends(lab, EVENT_DEADLINE).await?;
    lab.wait_for_quiet(WATCH_DEADLINE).await?;
    let result = succeed(lab, json!({})).await?;
    expect(&result, "in-sync", "")?;

    let log = lab.function_log(LOG_LINES).await?;
    let named = log.lines().any(|line| line.contains("WARN") && line.contains("LoginRefused"));
    ensure!(named, "no warning names the login that was refused: {log}");
    ensure!(!log.contains("ERROR"), "a run has failed: {log}");
    Ok(())
}

/// A standby that was promoted, while DNS and the RDS API name the writer that was killed.
struct Promotion {
    to: usize,
    history: History,
    promoted: Instant,
}

impl Promotion {
    /// Kills the primary and publishes that a failover begins; then promotes the standby.
    async fn of(lab: &mut Lab<'_>, to: usize) -> Result<Self> {
        let history = lab.record(history::GENTLE);
        lab.databases.crash_primary().await?;
        lab.publish(ClusterEvent::Started, to).await?;
        lab.wait_for_looks(2, LOOKS_DEADLINE).await?;
        lab.databases.promote_standby().await?;
        Ok(Self { to, history, promoted: Instant::now() })
    }

    /// The group holds exactly the new writer within the deadline, and was never empty on the way.
    async fn is_followed(&self, lab: &Lab<'_>) -> Result<()> {
        arrive(lab, self.to, EVENT_DEADLINE).await?;
        eprintln!(
            "     {:.3} s from promotion to a client's answer",
            self.promoted.elapsed().as_secs_f64()
        );
        let changes = self.history.changes();
        ensure!(
            changes.iter().all(|(_, held)| !held.is_empty()),
            "the group was empty for a while: {changes:?}"
        );
        Ok(())
    }
}
