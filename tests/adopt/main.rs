//! `infra/adopt.md`: its commands in its order, run by the AWS CLI and sam against the local AWS.

mod guide;
mod link;
mod sample;
mod scene;
mod subscriptions;
mod switch_over;

use std::net::SocketAddr;

use anyhow::{Context, Result, ensure};
use lab::aws::Aws;
use lab::progress::Steps;
use lab::workspace::Run;

use guide::commands;
use link::{Link, REGISTER, STACK, zip};

/// The database, which RDS knows nothing of.
const DATABASE: &str = "127.0.0.31";

/// What somebody else has registered before.
const FORMER: &str = "127.0.0.32:5432";

/// What it leaves is what it found.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_existing_target_group_is_observed_then_followed_then_observed_and_left() -> Result<()> {
    let run = Run::new()?;
    run.ended(adopt(&run).await)
}

async fn adopt(run: &Run) -> Result<()> {
    let zip = zip(run).await?;
    let aws = Aws::start(run).await?;
    Steps::begin("a load balancer and a target group by hand, with a target of somebody else's");
    let (database, former) = (SocketAddr::new(DATABASE.parse()?, 5432), FORMER.parse()?);
    let mut link = Link::make(run, &aws, &zip, former).await?;
    link.follow(DATABASE, &[]);

    Steps::begin("the template of a release as it stands, without a bucket for it: it observes");
    // The local CloudFormation has no subscription to the events of RDS.
    let own = [("DatabaseKind=cluster", "DatabaseKind=address")];
    let observe = commands("## Deploy it observing")?;
    let result = link.run(&observe, &own).await?;
    link.observes(&result, former, database).await?;

    Steps::begin("the same stack acts, by one parameter");
    let left_out = link.fit_template().await?;
    ensure!(
        left_out.iter().any(|id| id == "LinkDownAlarm"),
        "it can be deployed here: {left_out:?}"
    );
    let act = commands("## Let it act")?;
    let result = link.run(&act[..2], &[]).await?;
    ensure!(link.may_be_written().await?, "the role lacks {REGISTER}");
    ensure!(result["state"] == "updated", "{result}");
    link.holds(database).await?;

    Steps::begin("it observes again, and leaves alone what others do");
    link.change("deregister-targets", database).await?;
    link.change("register-targets", former).await?;
    let look = observe.last().context("no look")?.clone();
    let result = link.run(&[act[0].clone(), look], &[("Mode=act", "Mode=observe")]).await?;
    link.observes(&result, former, database).await?;

    Steps::begin("the stack is deleted: the group, its target and its listener stay");
    let [delete] = &act[2..] else { panic!("what else is there to run: {act:?}") };
    link.line(delete, &[]).await?;
    let gone = format!("aws cloudformation wait stack-delete-complete --stack-name {STACK}");
    link.line(&gone, &[]).await?;
    ensure!(!link.shell.stacks().await?.contains(STACK), "the stack is there");
    link.holds(former).await?;
    link.is_whole().await
}
