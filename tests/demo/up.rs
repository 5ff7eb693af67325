//! `lab up`: the lab as a playground.

use anyhow::Result;
use lab::aws::Aws;
use lab::stage::{Lab, Options};
use lab::workspace::Run;

use crate::terminal::Terminal;

/// Starts the lab and tells how to use it. Never returns by itself; Ctrl-C ends it.
pub(crate) async fn up(run: &Run, terminal: &Terminal) -> Result<()> {
    terminal.title("Starting the lab");
    let lab = Lab::start(run, Options::default(), terminal).await?;
    lab.first_run().await?;

    terminal.title("The lab is up until Ctrl-C. In another terminal:");
    for (name, value) in exports(&lab.aws, &lab) {
        terminal.line(&format!("  export {name}='{value}'"));
    }
    terminal.title("What is where");
    terminal.line(&format!(
        "  load balancer    psql -h {} -p {} -U postgres",
        lab.nlb.addr().ip(),
        lab.nlb.addr().port()
    ));
    for (server, member) in lab.cluster.members.iter().enumerate() {
        terminal.line(&format!(
            "  {}         {} ({})",
            member.id,
            lab.databases.address(server),
            member.endpoint
        ));
    }
    terminal.line(&format!("  writer endpoint  {}", lab.cluster.endpoint));
    terminal.line(&format!("  logs             {}", run.logs().display()));
    std::future::pending().await
}

fn exports(aws: &Aws, lab: &Lab<'_>) -> Vec<(String, String)> {
    let mut exports = aws.environment();
    let stack = &lab.stack;
    exports.extend([
        ("FUNCTION_NAME".to_owned(), stack.function.clone()),
        ("TARGET_GROUP_ARN".to_owned(), stack.target_group.clone()),
        ("TOPIC_ARN".to_owned(), stack.topic.clone()),
    ]);
    exports
}
