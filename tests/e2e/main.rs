//! The deployed function: every way of starting it moves the target group and the data path.
//!
//! An event starts a watch of a minute, which must not help the next scenario. So each test has a
//! deployment of its own, beside the others. The databases need not fail over: the function sees
//! DNS, the RDS API and an event. They do where it asks them.
#![expect(clippy::print_stderr, reason = "a test of minutes says where it is")]

mod path_probe;
mod role_probe;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use lab::dns::Answer;
use lab::events::{ClusterEvent, Invocation};
use lab::history::{self, History};
use lab::postgres::connect;
use lab::progress::Steps;
use lab::stage::{EVENT_DEADLINE, Lab, Options, RARE_MINUTES};
use lab::workspace::Run;
use reconcile::report::State;
use reconcile::target::strings;
use serde_json::{Value, json};
use tokio::time::Instant;

/// The binding that the template configures.
const BINDING: &str = "writer";

/// The emulator's schedules fire every ten seconds; a run may leave the switch to the next.
const SCHEDULE_DEADLINE: Duration = Duration::from_secs(200);

/// Without an event, a step back to an address just left must be steady for 30 s.
const STEP_BACK_DEADLINE: Duration = Duration::from_secs(75);

/// A watch takes three minutes at most.
const WATCH_DEADLINE: Duration = Duration::from_secs(190);

/// A watch looks at DNS every second; this is for ten to twenty looks.
const LOOKS_DEADLINE: Duration = Duration::from_secs(45);

/// The load balancer follows within a fraction of this.
const FOLLOW_DEADLINE: Duration = Duration::from_secs(10);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn by_hand_and_by_event_the_group_follows_the_writer() -> Result<()> {
    deployed(Options::default(), async |lab, _| {
        by_hand(lab).await?;
        event_after_the_flip(lab).await
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_event_is_made_good_by_the_schedule() -> Result<()> {
    deployed(Options::default(), async |lab, _| {
        lab.first_run().await?;
        event_lost(lab).await
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_before_the_flip_is_watched_and_a_flapping_dns_is_not_followed() -> Result<()> {
    deployed(Options::default(), async |lab, _| {
        lab.first_run().await?;
        event_before_the_flip(lab).await?;
        flapping(lab).await
    })
    .await
}

/// Scenarios on a deployment of their own, in which no scheduled run does the work of their events.
async fn deployed(
    options: Options,
    scenarios: impl AsyncFnOnce(&mut Lab<'_>, &Run) -> Result<()>,
) -> Result<()> {
    let run = Run::new()?;
    let options = Options { schedule_minutes: RARE_MINUTES, ..options };
    let mut lab = run.ended(Lab::start(&run, options, &Steps).await)?;
    let began = Instant::now();
    let outcome = async {
        scenarios(&mut lab, &run).await?;
        let rare = Duration::from_secs(60) * u32::from(RARE_MINUTES);
        ensure!(began.elapsed() < rare, "this took so long that a scheduled run may have done it");
        Ok(())
    }
    .await;
    if outcome.is_err() {
        tell_log(&lab).await;
    }
    run.ended(outcome)
}

async fn tell_log(lab: &Lab<'_>) {
    let log = lab.function_log(20).await;
    eprintln!(
        "the function's log ends:\n{}",
        log.unwrap_or_else(|error| format!("cannot be read: {error:#}"))
    );
}

async fn by_hand(lab: &Lab<'_>) -> Result<()> {
    Steps::begin("by hand: an empty group is filled");
    let result = succeed(lab, json!({})).await?;
    expect(&result, "updated", &lab.databases.address(0).to_string())?;
    arrive(lab, 0, FOLLOW_DEADLINE).await?;

    Steps::begin("by hand: a second run finds nothing to do");
    let result = succeed(lab, json!({})).await?;
    expect(&result, "in-sync", "")?;

    Steps::begin("status, from a laptop: sees what the function saw");
    let status = status::look(&lab.aws.sdk_config().await, &lab.stack.function).await?;
    let table = status::table::render(&status);
    let [looked] = status.bindings.as_slice() else { anyhow::bail!("not one binding in {table}") };
    ensure!(looked.state == State::InSync, "{table}");
    ensure!(strings(&looked.kept) == [lab.databases.address(0).to_string()], "{table}");

    Steps::begin("by hand, dry: says what it would do, and does nothing");
    lab.move_writer(1).await?;
    let result = succeed(lab, json!({"dryRun": true, "binding": BINDING})).await?;
    expect(&result, "would-update", &lab.databases.address(1).to_string())?;
    arrive(lab, 0, FOLLOW_DEADLINE).await?;

    Steps::begin("by hand: the group follows the writer");
    let result = succeed(lab, json!({"binding": BINDING})).await?;
    expect(&result, "updated", &lab.databases.address(1).to_string())?;
    arrive(lab, 1, FOLLOW_DEADLINE).await?;

    Steps::begin("by hand: an endpoint that does not exist is an error, and changes nothing");
    lab.dns.set(&lab.cluster.endpoint, Answer::NxDomain);
    let invocation = lab.invoke(&json!({})).await?;
    ensure!(
        invocation.error.is_some(),
        "the function succeeded without an answer of DNS: {}",
        invocation.payload
    );
    let message = invocation.payload.to_string();
    ensure!(
        message.contains(&lab.cluster.endpoint),
        "the error does not name the endpoint: {message}"
    );
    lab.point_dns_at(1);
    arrive(lab, 1, FOLLOW_DEADLINE).await?;
    Ok(())
}

async fn event_lost(lab: &mut Lab<'_>) -> Result<()> {
    Steps::begin("event lost: the schedule finds the new writer");
    lab.set_schedule(1, &Steps).await?;
    arrive(lab, 0, FOLLOW_DEADLINE)
        .await
        .context("an update of the stack must leave the targets alone")?;
    let lost = Failover::to(lab, 1).await?;
    lost.ends(lab, SCHEDULE_DEADLINE).await
}

/// Begins with the second member as the writer.
async fn event_after_the_flip(lab: &Lab<'_>) -> Result<()> {
    Steps::begin("event after the flip");
    let over = Failover::to(lab, 0).await?;
    lab.publish(ClusterEvent::Completed, 0).await?;
    over.ends(lab, EVENT_DEADLINE).await?;

    // MiniStack forgets a deregistered target, so none drains here. The failback comes at once,
    // while the first watch is on and its event names the other member. Draining is tested at the
    // wire and in the simulation.
    Steps::begin("failback right after the failover");
    let back = Failover::to(lab, 1).await?;
    lab.publish(ClusterEvent::Completed, 1).await?;
    back.ends(lab, EVENT_DEADLINE).await?;
    lab.wait_for_quiet(WATCH_DEADLINE).await?;
    arrive(lab, 1, FOLLOW_DEADLINE).await.context("after both watches have ended")
}

async fn event_before_the_flip(lab: &Lab<'_>) -> Result<()> {
    Steps::begin(
        "event before the flip: the watch finds the new writer ten looks later, without another \
         event",
    );
    lab.publish(ClusterEvent::Started, 1).await?;
    lab.wait_for_looks(10, LOOKS_DEADLINE).await?;
    arrive(lab, 0, FOLLOW_DEADLINE).await.context("an event alone must not move the group")?;
    let announced = Failover::to(lab, 1).await?;
    announced.ends(lab, EVENT_DEADLINE).await?;
    lab.wait_for_quiet(WATCH_DEADLINE).await?;
    arrive(lab, 1, FOLLOW_DEADLINE).await.context("after the watch has ended")
}

/// Begins with the second member as the writer.
async fn flapping(lab: &Lab<'_>) -> Result<()> {
    // The event names nobody: a name would be a second witness, and DNS not asked. As it is a step
    // back, a process that remembers the address waits for steady DNS.
    Steps::begin("flapping DNS: the group goes to the new writer once, and never back");
    let flapping = Failover::to(lab, 0).await?;
    let [old, new] =
        [1, 0].map(|member: usize| Answer::alias(&lab.cluster.members[member].endpoint));
    lab.dns.set(&lab.cluster.endpoint, Answer::Cycle(vec![old.clone(), new.clone(), new, old]));
    lab.publish(ClusterEvent::TopologyUpdated, 0).await?;
    lab.wait_for_looks(20, LOOKS_DEADLINE).await?;
    lab.point_dns_at(0);
    flapping.ends(lab, STEP_BACK_DEADLINE).await?;
    // Some looks more, so that the last wrong answer has been judged, and what follows it as well.
    lab.wait_for_looks(10, LOOKS_DEADLINE).await?;
    is_never_left(&flapping.history, lab.databases.address(0))?;
    arrive(lab, 0, FOLLOW_DEADLINE).await
}

/// A writer that has moved, and what becomes of the target group.
struct Failover {
    to: usize,
    history: History,
    flipped: Instant,
}

impl Failover {
    /// Moves the writer in DNS and in the RDS API.
    async fn to(lab: &Lab<'_>, to: usize) -> Result<Self> {
        let history = lab.record(history::GENTLE);
        let flipped = Instant::now();
        lab.move_writer(to).await?;
        Ok(Self { to, history, flipped })
    }

    /// The group holds exactly the new writer within the deadline, and was never empty on the way.
    async fn ends(&self, lab: &Lab<'_>, deadline: Duration) -> Result<()> {
        let wanted = lab.databases.address(self.to);
        let switched = self.history.switched(wanted, self.flipped, deadline).await?;
        eprintln!("     {:.3} s from flip to switch", (switched - self.flipped).as_secs_f64());
        let changes = self.history.changes();
        ensure!(
            changes.iter().all(|(_, held)| !held.is_empty()),
            "the group was empty for a while: {changes:?}"
        );
        arrive(lab, self.to, FOLLOW_DEADLINE).await
    }
}

/// Once the group held the new writer alone, it never held anything else.
fn is_never_left(history: &History, writer: SocketAddr) -> Result<()> {
    let exactly = BTreeSet::from([writer]);
    let changes = history.changes();
    let since_switch = changes.iter().skip_while(|(_, held)| *held != exactly);
    ensure!(since_switch.count() == 1, "the group left the new writer again: {changes:?}");
    Ok(())
}

/// Invokes the function, which must succeed, and returns the result of the one binding.
async fn succeed(lab: &Lab<'_>, payload: Value) -> Result<Value> {
    let Invocation { payload: result, error } = lab.invoke(&payload).await?;
    ensure!(error.is_none(), "invoked with {payload}, the function failed: {result}");
    let bindings =
        result["bindings"].as_array().with_context(|| format!("no bindings in {result}"))?;
    let [binding] = bindings.as_slice() else { anyhow::bail!("not one binding in {result}") };
    ensure!(binding["binding"] == BINDING, "not the binding {BINDING}: {binding}");
    Ok(binding.clone())
}

/// The binding's state, and the one target that it registered, or would have.
fn expect(binding: &Value, state: &str, registered: &str) -> Result<()> {
    let wanted = if registered.is_empty() { json!([]) } else { json!([registered]) };
    ensure!(binding["state"] == state, "the state is not {state}: {binding}");
    ensure!(binding["registered"] == wanted, "registered is not {wanted}: {binding}");
    Ok(())
}

/// The group holds exactly this member, and a client of the load balancer reaches it.
async fn arrive(lab: &Lab<'_>, member: usize, deadline: Duration) -> Result<()> {
    lab.wait_for_target(member, deadline).await?;
    lab.nlb
        .wait_for_targets(&BTreeSet::from([lab.databases.address(member)]), FOLLOW_DEADLINE)
        .await?;
    let client = connect(lab.nlb.addr()).await.context("connect through the load balancer")?;
    let row = client
        .query_one("SELECT host(inet_server_addr())", &[])
        .await
        .context("ask the server for its address")?;
    let (server, wanted) =
        (row.get::<_, String>(0), lab.databases.address(member).ip().to_string());
    ensure!(server == wanted, "the load balancer leads to {server} and not to {wanted}");
    Ok(())
}
