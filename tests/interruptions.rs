//! What the simulation says of killed runs, an AWS that is gone and a DNS that is gone, with real
//! processes and sockets: one stack, one after the other.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use lab::dns::Answer;
use lab::events::{self, Invocation};
use lab::gateway::Gateway;
use lab::guarded::Guarded;
use lab::progress::Steps;
use lab::workspace::Run;
use serde_json::json;

const REGISTER: &str = "elasticloadbalancing:RegisterTargets";
const DESCRIBE: &str = "elasticloadbalancing:DescribeTargetHealth";

/// A run comes to its calls within a second; the rest is for a busy machine.
const HELD_DEADLINE: Duration = Duration::from_secs(20);

/// How long the DNS server is gone: a run looks for as long, in vain.
const WITHOUT_DNS: Duration = Duration::from_secs(15);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_run_after_an_interrupted_one_converges_and_the_group_is_never_empty() -> Result<()> {
    let run = Run::new()?;
    let outcome = async {
        let mut lab = Guarded::start(&run, &Steps).await?;
        lab.succeed(json!({}), "updated").await?;
        lab.holds(&[0]).await?;
        let history = lab.record();
        killed_between_register_and_deregister(&lab).await?;
        aws_gone_in_mid_run(&mut lab).await?;
        dns_gone(&lab).await?;
        let changes = history.changes();
        ensure!(
            changes.len() >= 4,
            "it began on one member and was switched three times: {changes:?}"
        );
        ensure!(
            changes.iter().all(|(_, held)| !held.is_empty()),
            "the group was empty for a while: {changes:?}"
        );
        Ok(())
    }
    .await;
    run.ended(outcome)
}

async fn killed_between_register_and_deregister(lab: &Guarded) -> Result<()> {
    Steps::begin("kill -9 after the registration");
    lab.move_writer(1).await?;
    lab.gateway.hold_after(REGISTER);
    let kill = async {
        held(&lab.gateway, DESCRIBE).await?;
        lab.kill_function()
    };
    let payload = json!({});
    let ((), Invocation { payload, error }) = tokio::try_join!(kill, lab.invoke(&payload))?;
    ensure!(error.is_some(), "a run that was killed has succeeded: {payload}");
    lab.gateway.open();
    lab.holds(&[0, 1]).await.context("what the killed run left")?;

    // 30 s: nobody knows which of two members came last, and another run may want the other.
    let next = lab.succeed(json!({}), "updated").await?;
    ensure!(next["registered"] == json!([]), "it had been registered: {next}");
    ensure!(
        next["deregistered"] == json!([lab.address(0).to_string()]),
        "the old writer stays: {next}"
    );
    lab.holds(&[1]).await
}

async fn aws_gone_in_mid_run(lab: &mut Guarded) -> Result<()> {
    Steps::begin("no connection to AWS from the registration on");
    new_process(lab)?;
    lab.move_writer(0).await?;
    lab.gateway.hold_before(REGISTER);
    let Guarded { aws, gateway, stack, .. } = lab;
    let payload = json!({});
    let cut = async {
        held(gateway, REGISTER).await?;
        gateway.cut().await;
        Ok(())
    };
    let ((), Invocation { payload, error }) =
        tokio::try_join!(cut, events::invoke(aws, &stack.function, &payload))?;
    ensure!(error.is_some(), "a run without AWS has succeeded: {payload}");
    let message = payload.to_string();
    for words in [
        "AwsUnreachable",
        "the writer may not have been registered, and nothing was deregistered",
        REGISTER,
    ] {
        ensure!(message.contains(words), "{words:?} is not in {message}");
    }
    lab.holds(&[1]).await.context("what the run left")?;

    lab.gateway.open();
    lab.gateway.restore().await?;
    lab.succeed(json!({}), "updated").await?;
    lab.holds(&[0]).await
}

async fn dns_gone(lab: &Guarded) -> Result<()> {
    Steps::begin("no answer of DNS");
    new_process(lab)?;
    lab.move_writer(1).await?;
    let names =
        lab.cluster.members.iter().map(|member| &member.endpoint).chain([&lab.cluster.endpoint]);
    names.for_each(|name| lab.dns.set(name, Answer::Silent));
    let writes = || lab.gateway.calls().into_iter().filter(|call| call.action == REGISTER).count();
    let (before, began) = (writes(), Instant::now());

    let watch = json!({"watchSeconds": WITHOUT_DNS.as_secs()});
    let Invocation { payload, error } = lab.invoke(&watch).await?;
    ensure!(error.is_some(), "a run without DNS has succeeded: {payload}");
    let message = payload.to_string();
    for words in [
        "EndpointNotResolved",
        &lab.cluster.endpoint,
        "did not answer in time",
        "nothing was changed",
    ] {
        ensure!(message.contains(words), "{words:?} is not in {message}");
    }
    ensure!(began.elapsed() >= WITHOUT_DNS, "it gave up after {:?}", began.elapsed());
    ensure!(writes() == before, "something was registered without an answer of DNS");
    lab.holds(&[0]).await?;

    lab.let_dns_answer(1);
    lab.succeed(json!({}), "updated").await?;
    lab.holds(&[1]).await
}

/// Waits until this call of the run is held up.
async fn held(gateway: &Gateway, action: &str) -> Result<()> {
    let held = gateway.held(HELD_DEADLINE).await?;
    ensure!(held == action, "it called {held} and not {action}");
    Ok(())
}

/// A process remembers the address it left, and asks for 30 s of proof to go back.
fn new_process(lab: &Guarded) -> Result<()> {
    lab.kill_function()
}
