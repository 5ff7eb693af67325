//! The deployed function, end to end: every way of starting it moves the target group, and with it the data path.
//!
//! One deployment serves all scenarios, one after the other, because a deployment takes longer than any of them. Each
//! begins where the one before it left the writer. None needs the databases to fail over: what the function sees of a
//! failover is DNS, the RDS API and an event, and `lab demo` does the rest.
#![expect(clippy::print_stderr, reason = "a test of minutes says where it is")]

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use lab::dns::Answer;
use lab::events::{ClusterEvent, Invocation};
use lab::postgres::connect;
use lab::progress::Progress;
use lab::stage::{Lab, Options};
use lab::workspace::Run;
use serde_json::{Value, json};
use tokio::time::Instant;

/// The binding that the template configures.
const BINDING: &str = "writer";

/// The longest that the template allows, so that no scheduled run can do another scenario's work.
const RARE_MINUTES: u8 = 5;

/// A watch that the event starts may look for three minutes before it is sure.
const EVENT_DEADLINE: Duration = Duration::from_secs(190);

/// The emulator looks at its schedules every ten seconds; a run may leave the switch to the next one.
const SCHEDULE_DEADLINE: Duration = Duration::from_secs(200);

/// The load balancer follows within a fraction of this.
const FOLLOW_DEADLINE: Duration = Duration::from_secs(10);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_way_of_starting_the_function_moves_the_target_group() -> Result<()> {
    let run = Run::new()?;
    let logs = format!("the logs are in {}", run.logs().display());
    let mut lab = Lab::start(&run, Options { schedule_minutes: RARE_MINUTES, ..Options::default() }, &Steps)
        .await
        .context(logs.clone())?;
    let outcome = scenarios(&mut lab).await;
    if outcome.is_err() {
        let log = lab.function_log(20).await;
        eprintln!("the function's log ends:\n{}", log.unwrap_or_else(|error| format!("cannot be read: {error:#}")));
    }
    outcome.context(logs)
}

async fn scenarios(lab: &mut Lab<'_>) -> Result<()> {
    let deployed = Instant::now();

    scenario("by hand: an empty group is filled");
    let result = succeed(lab, json!({})).await?;
    expect(&result, "updated", &lab.databases.address(0).to_string())?;
    arrive(lab, 0, FOLLOW_DEADLINE).await?;

    scenario("by hand: a second run finds nothing to do");
    let result = succeed(lab, json!({})).await?;
    expect(&result, "in-sync", "")?;

    scenario("by hand, dry: says what it would do, and does nothing");
    lab.move_writer(1).await?;
    let result = succeed(lab, json!({"dryRun": true, "binding": BINDING})).await?;
    expect(&result, "would-update", &lab.databases.address(1).to_string())?;
    arrive(lab, 0, FOLLOW_DEADLINE).await?;

    scenario("by hand: the group follows the writer");
    let result = succeed(lab, json!({"binding": BINDING})).await?;
    expect(&result, "updated", &lab.databases.address(1).to_string())?;
    arrive(lab, 1, FOLLOW_DEADLINE).await?;

    scenario("by hand: an endpoint that does not exist is an error, and changes nothing");
    lab.dns.set(&lab.cluster.endpoint, Answer::NxDomain);
    let invocation = lab.invoke(&json!({})).await?;
    ensure!(invocation.error.is_some(), "the function succeeded without an answer of DNS: {}", invocation.payload);
    let message = invocation.payload.to_string();
    ensure!(message.contains(&lab.cluster.endpoint), "the error does not name the endpoint: {message}");
    lab.point_dns_at(1);
    arrive(lab, 1, FOLLOW_DEADLINE).await?;

    scenario("SNS: the event of a failover moves the group");
    lab.move_writer(0).await?;
    let told = Instant::now();
    lab.publish(ClusterEvent::Started, 0).await?;
    lab.publish(ClusterEvent::Completed, 0).await?;
    arrive(lab, 0, EVENT_DEADLINE).await?;
    eprintln!("     moved {:.3} s after the event", told.elapsed().as_secs_f64());
    let rare = Duration::from_secs(60) * u32::from(RARE_MINUTES);
    ensure!(deployed.elapsed() < rare, "this took so long that a scheduled run may have done it");

    scenario("schedule: the group follows the writer though no event arrives");
    lab.set_schedule(1, &Steps).await?;
    arrive(lab, 0, FOLLOW_DEADLINE).await.context("an update of the stack must leave the targets alone")?;
    lab.move_writer(1).await?;
    let moved = Instant::now();
    arrive(lab, 1, SCHEDULE_DEADLINE).await?;
    eprintln!("     moved {:.0} s after DNS", moved.elapsed().as_secs_f64());
    Ok(())
}

fn scenario(name: &str) {
    eprintln!("---- {name}");
}

/// Invokes the function, which must succeed, and returns the result of the one binding.
async fn succeed(lab: &Lab<'_>, payload: Value) -> Result<Value> {
    let Invocation { payload: result, error } = lab.invoke(&payload).await?;
    ensure!(error.is_none(), "invoked with {payload}, the function failed: {result}");
    let bindings = result["bindings"].as_array().with_context(|| format!("no bindings in {result}"))?;
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
    lab.nlb.wait_for_targets(&BTreeSet::from([lab.databases.address(member)]), FOLLOW_DEADLINE).await?;
    let client = connect(lab.nlb.addr()).await.context("connect through the load balancer")?;
    let row =
        client.query_one("SELECT host(inet_server_addr())", &[]).await.context("ask the server for its address")?;
    let (server, wanted) = (row.get::<_, String>(0), lab.databases.address(member).ip().to_string());
    ensure!(server == wanted, "the load balancer leads to {server} and not to {wanted}");
    Ok(())
}

/// Long steps are named, and not followed.
struct Steps;

impl Progress for Steps {
    fn say(&self, text: &str) {
        eprintln!("     {text}");
    }

    fn waiting(&self, _step: &str, _elapsed: Duration, _detail: &str) {}
}
