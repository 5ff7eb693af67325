//! The path probe: what the function says of the load balancer is what a client sees there.

use std::collections::BTreeMap;
use std::net::IpAddr;

use anyhow::anyhow;
use lab::nlb::{ADDRESSES, Fault, Lag};
use lab::poll::{self, Look};
use lab::process::crash_those_with;
use lab::writer::{GENTLE, Writer, create_table};

use super::*;

/// The function asks through the load balancer every two seconds.
const PRECISION: Duration = Duration::from_secs(2);

/// The load balancer is up to ten seconds late, and three rounds take four more.
const PATH_DEADLINE: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_function_and_a_client_reach_the_new_writer_through_the_load_balancer_at_once()
-> Result<()> {
    let options = Options {
        probes_roles: true,
        probes_path: true,
        lag: Lag::SHORTENED,
        ..Options::default()
    };
    deployed(options, async |lab, run| {
        first_registration(lab).await?;
        promotion(lab, run).await?;
        zones_that_lead_astray(lab).await
    })
    .await
}

/// Where the zones led, in the order of their addresses.
fn expect_path(binding: &Value, states: [&str; 3]) -> Result<()> {
    let wanted: BTreeMap<_, _> = ADDRESSES.iter().map(IpAddr::to_string).zip(states).collect();
    ensure!(binding["path"] == json!(wanted), "the path is not {wanted:?}: {binding}");
    Ok(())
}

async fn first_registration(lab: &Lab<'_>) -> Result<()> {
    Steps::begin("by hand: the run that registers waits until the load balancer follows");
    let result = succeed(lab, json!({})).await?;
    expect(&result, "updated", &lab.databases.address(0).to_string())?;
    expect_path(&result, ["writer"; 3])?;
    let took = result["registerToPathMs"].as_f64().context("no registerToPathMs")?;
    ensure!((9_400.0..14_000.0).contains(&took), "{took} ms, and the load balancer takes 9.4 s");
    lab.first_run().await
}

async fn promotion(lab: &mut Lab<'_>, run: &Run) -> Result<()> {
    Steps::begin("by event: the client's first write agrees with the function's figure");
    create_table(lab.databases.address(0)).await?;
    let zones = lab.nlb.addrs();
    let writer = Writer::start(*zones.last().context("no zone")?, GENTLE);
    let history = lab.record(history::GENTLE);
    lab.databases.crash_primary().await?;
    lab.publish(ClusterEvent::Started, 1).await?;
    lab.wait_for_looks(2, LOOKS_DEADLINE).await?;
    lab.databases.promote_standby().await?;
    let (promoted, to) = (Instant::now(), lab.databases.address(1));
    history.switched(to, promoted - PRECISION, EVENT_DEADLINE).await?;
    let written = poll::until("the first write", PATH_DEADLINE, async || {
        let first = writer.first_success_after(promoted);
        Ok(first.map_or_else(|| Look::NotYet(anyhow!("{:?}", writer.last_error())), Look::Ready))
    })
    .await?;
    drop(writer);
    lab.databases.rebuild_standby(run).await?;
    lab.move_writer(1).await?;
    lab.wait_for_quiet(WATCH_DEADLINE).await?;

    let changes = history.changes();
    let registered = changes.iter().find(|(_, held)| held.contains(&to));
    let (registered, _) = registered.context("the new writer was never registered")?;
    let times = lab.path_times().await?;
    let time = times.iter().rfind(|(targets, _)| *targets == to.to_string());
    let (_, time) = time.with_context(|| format!("no run says how long it took: {times:?}"))?;
    let client = written - *registered;
    eprintln!(
        "     {:.3} s from the registration to the path, {:.3} s to a client's first write",
        time.as_secs_f64(),
        client.as_secs_f64()
    );
    let apart = client.max(*time) - client.min(*time);
    ensure!(apart <= PRECISION, "the function says {time:?}, the client {client:?}");
    Ok(())
}

/// Begins with the second server as the writer, and the first as its standby.
async fn zones_that_lead_astray(lab: &Lab<'_>) -> Result<()> {
    Steps::begin("by hand: a new process asks through each zone, and names the one that is astray");
    let standby = lab.databases.address(0);
    lab.nlb.set_fault(1, Some(Fault::Stuck(standby)));
    lab.nlb.set_fault(2, Some(Fault::Silent));
    let (endpoint, function) = (lab.aws.endpoint(), lab.stack.function.as_str());
    let of_function = [("AWS_ENDPOINT_URL", endpoint), ("AWS_LAMBDA_FUNCTION_NAME", function)];
    ensure!(crash_those_with(of_function)? > 0, "no process runs {function}");
    let result = succeed(lab, json!({})).await?;
    expect(&result, "in-sync", "").context("the path decides about no target")?;
    expect_path(&result, ["writer", "reader", "unreachable"])?;
    let note = result["pathNote"].as_str().context("no pathNote")?;
    let named = format!("{}: leads to {}", ADDRESSES[1], standby.ip());
    ensure!(note.contains(&named), "the note does not say {named:?}: {note}");

    Steps::begin("by hand: after a bad round the next run asks again, and after a good one none");
    for zone in [1, 2] {
        lab.nlb.set_fault(zone, None);
    }
    expect_path(&succeed(lab, json!({})).await?, ["writer"; 3])?;
    let result = succeed(lab, json!({})).await?;
    ensure!(result["path"].is_null(), "it asks at every look: {result}");
    Ok(())
}
