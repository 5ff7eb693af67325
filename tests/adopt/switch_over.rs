//! From AWS's sample to the function, by the guide's commands, while a client writes: two failovers
//! that the sample follows and the function observes, and a third that the function follows.

use anyhow::{Result, ensure};
use lab::aws::Aws;
use lab::postgres::Pair;
use lab::progress::Steps;
use lab::workspace::Run;

use crate::guide::commands;
use crate::link::{REGISTER, zip};
use crate::sample;
use crate::scene::Scene;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sample_is_compared_with_stopped_and_removed_under_load_and_no_write_is_lost()
-> Result<()> {
    let run = Run::new()?;
    run.ended(switch_over(&run).await)
}

async fn switch_over(run: &Run) -> Result<()> {
    let zip = zip(run).await?;
    Steps::begin("a link by hand, which a sample keeps on a database");
    let ((aws, gateway), databases) = tokio::try_join!(Aws::start_guarded(run), Pair::start(run))?;
    let mut scene = Scene::set(run, &aws, &gateway, &zip, databases).await?;
    let topic = scene.deploy_sample().await?;
    let found = scene.preflight("## Look first").await?;
    ensure!(found.contains(&format!("{} has it in NLB_TG_ARN", sample::NAME)), "{found}");

    Steps::begin("deployed observing, the function finds nothing to do");
    let result = scene.deploy_function().await?;
    ensure!(result["state"] == "in-sync", "{result}");

    Steps::begin("a client writes; observed: the sample follows the second event of a failover");
    scene.write();
    scene.is_written_to().await?;
    scene.fail_over_and_compare().await?;
    Steps::begin("observed: both events are too early for the sample, which stays where it was");
    scene.fail_back_and_compare().await?;
    scene.tells_of_both().await?;
    let [own, samples] = scene.writes();
    ensure!((own, samples) == (0, 4), "{own} writes by the function, {samples} by the sample");

    Steps::begin("the sample is stopped, and the function acts: nothing moves");
    let before = scene.history.changes().len();
    scene.stop_sample().await?;
    let looks = scene.sample_looks();
    let act = commands("## Let it act")?;
    let result = scene.link.run(&act[..2], &[]).await?;
    ensure!(scene.link.may_be_written().await?, "the role lacks {REGISTER}");
    ensure!(result["state"] == "in-sync", "{result}");
    scene.is_written_to().await?;
    ensure!(scene.history.changes().len() == before, "{:?}", scene.history.changes());

    Steps::begin("the function follows a failover, and the sample does nothing");
    let writer = scene.promote().await?;
    scene.name(writer).await?;
    scene.arrive(writer).await?;
    ensure!(scene.sample_looks() == looks, "the sample was not stopped");
    let [own, samples] = scene.writes();
    ensure!(own >= 2 && samples == 4, "{own} writes by the function, {samples} by the sample");

    Steps::begin("the sample is removed: the link stays, and the client writes on");
    sample::remove(&scene.link.shell, &topic).await?;
    let delete = format!("aws rds delete-event-subscription --subscription-name {}", sample::NAME);
    scene.events.line(&delete).await?;
    scene.link.is_whole().await?;
    scene.is_written_to().await?;
    scene.lost_nothing().await?;

    Steps::begin("it observes again: a write is neither planned for nor allowed");
    let back = [("Mode=act", "Mode=observe")];
    scene.link.line(&act[0], &back).await?;
    let (former, wanted) = (scene.address(writer), scene.address(1 - writer));
    scene.name(1 - writer).await?;
    let result = scene.look().await?;
    scene.link.observes(&result, former, wanted).await?;
    scene.is_denied_a_write().await?;
    scene.link.holds(former).await
}
