//! A link that AWS's sample and the function know, with two databases and a client that writes.
//!
//! Both functions hear of the same events. The sample asks DNS once at each, and so can be too
//! early: whether it is depends on the order in which a test lets things happen.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use lab::aurora::Cluster;
use lab::aws::Aws;
use lab::cli::Shell;
use lab::dns::{Answer, DnsServer, RecordType};
use lab::events::{self, ClusterEvent};
use lab::gateway::{Call, Gateway};
use lab::history::{self, History};
use lab::nlb::Nlb;
use lab::poll::{self, Look};
use lab::postgres::Pair;
use lab::progress::{Progress, Steps};
use lab::stage::EVENT_DEADLINE;
use lab::workspace::Run;
use lab::writer::{GENTLE, Writer, create_table, lost};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::guide::{commands, in_sentence};
use crate::link::{Link, REGISTER, STACK};
use crate::sample;
use crate::subscriptions::Subscriptions;

/// As the guide has it.
const CLUSTER: &str = "orders";

/// Where the guide tells how to stop the sample.
const OF_THE_SAMPLE: &str = "### aws-samples/amazon-rds-crossaccount-access";

const DESCRIBE: &str = "elasticloadbalancing:DescribeTargetHealth";
const DEREGISTER: &str = "elasticloadbalancing:DeregisterTargets";

/// How long the load balancer keeps connections to a target that was deregistered.
const DELAY: Duration = Duration::from_secs(2);

/// The function's watch after an event: time for a failover here, and the test waits for its end.
const WATCH: Duration = Duration::from_secs(20);

/// A run looks at DNS every second.
const LOOKS_DEADLINE: Duration = Duration::from_secs(20);

/// A run looks at DNS every second, and no call between two looks takes that long here.
const QUIET: Duration = Duration::from_secs(4);

/// The load balancer follows within a fraction of this, and the client after it.
const FOLLOW_DEADLINE: Duration = Duration::from_secs(10);

/// The link with all around it.
pub(crate) struct Scene<'a> {
    run: &'a Run,
    pub(crate) link: Link<'a>,
    /// What both functions' calls to AWS go through.
    gateway: &'a Gateway,
    cluster: Cluster,
    dns: DnsServer,
    subscriptions: Subscriptions,
    /// Its `aws rds` asks for clusters.
    clusters: Shell<'a>,
    /// Its `aws rds` asks for event subscriptions.
    pub(crate) events: Shell<'a>,
    databases: Pair,
    nlb: Nlb,
    client: Option<Writer>,
    pub(crate) history: History,
}

impl<'a> Scene<'a> {
    pub(crate) async fn set(
        run: &'a Run,
        aws: &'a Aws,
        gateway: &'a Gateway,
        zip: &Path,
        databases: Pair,
    ) -> Result<Self> {
        let cluster = Cluster::create(aws.rds(), CLUSTER).await?;
        let dns = DnsServer::start().await?;
        for (server, member) in cluster.members.iter().enumerate() {
            dns.set(&member.endpoint, Answer::addresses([databases.address(server).ip()]));
        }
        dns.set(&cluster.endpoint, Answer::alias(&cluster.members[0].endpoint));
        let primary = databases.address(0);
        let mut link = Link::make(run, aws, zip, primary).await?;
        link.follow(
            &cluster.endpoint,
            &[
                ("DnsServers", dns.addr().to_string()),
                ("WatchSeconds", WATCH.as_secs().to_string()),
            ],
        );
        create_table(primary).await?;
        let nlb = Nlb::start(aws.elbv2(), &link.group, DELAY).await?;
        nlb.wait_for_targets(&BTreeSet::from([primary]), FOLLOW_DEADLINE).await?;
        let subscriptions = Subscriptions::start().await?;
        Ok(Self {
            run,
            gateway,
            clusters: Shell::new(run, aws, aws.rds_endpoint())?,
            events: Shell::new(run, aws, subscriptions.url())?,
            client: None,
            history: History::record(aws.elbv2(), &link.group, history::GENTLE),
            link,
            cluster,
            dns,
            subscriptions,
            databases,
            nlb,
        })
    }

    /// Returns the ARN of its topic.
    pub(crate) async fn deploy_sample(&self) -> Result<String> {
        let (endpoint, dns) = (&self.cluster.endpoint, self.dns.addr().to_string());
        let Link { shell, group, .. } = &self.link;
        let topic = sample::deploy(shell, group, endpoint, &dns).await?;
        self.subscriptions.add(sample::NAME, &topic);
        Ok(topic)
    }

    /// As the guide has it, and with the one subscription that the local CloudFormation lacks.
    pub(crate) async fn deploy_function(&mut self) -> Result<Value> {
        let left_out = self.link.fit_template().await?;
        ensure!(left_out.iter().any(|id| id == "EventSubscription"), "there: {left_out:?}");
        let port = format!("DatabasePort={}", self.databases.port());
        let own = [("DatabasePort=5432", port.as_str())];
        let result = self.link.run(&commands("## Deploy it observing")?, &own).await?;
        let topic = format!(
            "aws cloudformation describe-stacks --stack-name {STACK} --output text --query \
             \"Stacks[0].Outputs[?OutputKey=='TopicArn'].OutputValue\""
        );
        self.subscriptions.add(STACK, &self.link.shell.line(&topic).await?);
        Ok(result)
    }

    /// Lets a client write from now on.
    pub(crate) fn write(&mut self) {
        self.client = Some(Writer::start(self.nlb.addr(), GENTLE));
    }

    /// What the first command of a section prints, which has warnings in the lab; on one line.
    pub(crate) async fn preflight(&self, heading: &str) -> Result<String> {
        let command = commands(heading)?.into_iter().next().context("no command")?;
        let found = self.link.line(&format!("{command} || test $? -eq 1"), &[]).await?;
        Ok(found.split_whitespace().collect::<Vec<_>>().join(" "))
    }

    // --- Failovers ---

    /// The function says what it would do before the sample hears of the event with which it does
    /// the same.
    pub(crate) async fn fail_over_and_compare(&mut self) -> Result<()> {
        let former = self.databases.primary();
        let writer = self.promote().await?;
        self.name(writer).await?;
        self.would_switch(1, former, writer).await?;
        self.publish(ClusterEvent::Completed, writer).await?;
        self.arrive(writer).await
    }

    /// Both events come before DNS has moved. What the function would have done, a person does.
    pub(crate) async fn fail_back_and_compare(&mut self) -> Result<()> {
        let former = self.databases.primary();
        let writer = self.promote().await?;
        self.publish(ClusterEvent::Completed, writer).await?;
        self.name(writer).await?;
        // Those of the failover before may be on.
        self.would_switch(4, former, writer).await?;
        let by_hand = format!("aws lambda invoke --function-name {} answer.json", sample::NAME);
        self.link.shell.line(&by_hand).await?;
        self.arrive(writer).await
    }

    /// Kills the writer and promotes the standby, which is returned, and publishes that a failover
    /// to it begins. DNS and the RDS API name the former writer.
    pub(crate) async fn promote(&mut self) -> Result<usize> {
        let writer = self.databases.standby();
        self.databases.crash_primary().await?;
        self.publish(ClusterEvent::Started, writer).await?;
        self.databases.promote_standby().await?;
        Ok(writer)
    }

    /// Makes RDS and DNS name a member as the writer: with the guide's command, which is all that a
    /// failover is in the emulated RDS API.
    pub(crate) async fn name(&self, writer: usize) -> Result<()> {
        let compare = commands("## Compare over a failover")?;
        self.clusters.line(&compare[0]).await?;
        let (named, member) = (self.cluster.writer().await?, &self.cluster.members[writer]);
        ensure!(named == member.id, "the RDS API names {named}");
        self.dns.set(&self.cluster.endpoint, Answer::alias(&member.endpoint));
        Ok(())
    }

    /// Publishes what RDS would, and waits until the sample has asked DNS, if it hears of it.
    async fn publish(&self, event: ClusterEvent, writer: usize) -> Result<()> {
        let (cluster, member) = (&self.cluster.id, &self.cluster.members[writer].id);
        let before = self.sample_looks();
        let told = self.subscriptions.publish(self.link.aws, event, cluster, member).await?;
        ensure!(told.contains(STACK), "the function is not told: {told:?}");
        if !told.contains(sample::NAME) {
            return Ok(());
        }
        // It does not describe before it has the answer of DNS.
        poll::until("the sample's look at the group", LOOKS_DEADLINE, async || {
            let has_looked = self.sample_looks() > before;
            Ok(if has_looked { Look::Ready(()) } else { Look::NotYet(anyhow!("no call")) })
        })
        .await
    }

    /// One of so many runs has seen that DNS moved, and a person who asks is told what it would do.
    async fn would_switch(&self, runs: usize, former: usize, writer: usize) -> Result<()> {
        let asked = || self.dns.queries_of(&self.cluster.endpoint, RecordType::A);
        // One of them has judged two looks when it begins its third.
        let wanted = asked() + 2 * runs + 1;
        poll::until("looks at DNS", LOOKS_DEADLINE, async || {
            let missing = wanted.saturating_sub(asked());
            Ok(if missing == 0 { Look::Ready(()) } else { Look::NotYet(anyhow!("{missing} lack")) })
        })
        .await?;
        let result = self.look().await?;
        self.link.observes(&result, self.address(former), self.address(writer)).await
    }

    /// The group is the writer alone, the client writes to it, and the old writer comes back as the
    /// standby. The group was never empty.
    pub(crate) async fn arrive(&mut self, writer: usize) -> Result<()> {
        let wanted = self.address(writer);
        let exactly = BTreeSet::from([wanted]);
        poll::until(&format!("the switch to {wanted}"), EVENT_DEADLINE, async || {
            let held = self.history.changes().pop().map(|(_, held)| held).unwrap_or_default();
            let reason = anyhow!("it holds {held:?}");
            Ok(if held == exactly { Look::Ready(()) } else { Look::NotYet(reason) })
        })
        .await?;
        self.nlb.wait_for_targets(&exactly, FOLLOW_DEADLINE).await?;
        self.is_written_to().await?;
        let changes = self.history.changes();
        ensure!(changes.iter().all(|(_, held)| !held.is_empty()), "it was empty: {changes:?}");
        self.databases.rebuild_standby(self.run).await
    }

    // --- What the guide lets its reader look at and do ---

    /// What the function says when it is asked and may do nothing.
    pub(crate) async fn look(&self) -> Result<Value> {
        let look = commands("## Deploy it observing")?.pop().context("no look")?;
        self.link.run(&[look], &[]).await
    }

    /// In the log a run that an event started says of each failover to what it would have switched.
    pub(crate) async fn tells_of_both(&self) -> Result<()> {
        // The emulator has a run's lines when it has ended.
        self.wait_for_quiet().await?;
        let compare = commands("## Compare over a failover")?;
        // The emulator takes no filter for JSON, and does not tell a function to log that.
        let printed = self.link.line(&compare[1], &[]).await?;
        let lines: Vec<&str> = printed.split(['\t', '\n']).collect();
        let is_by_event = |line: &&str| line.contains("reconciled trigger=failover ");
        let by_event: Vec<_> = lines.iter().copied().filter(is_by_event).map(run_of).collect();
        for (former, writer) in [(0, 1), (1, 0)] {
            let [register, deregister] = [writer, former].map(|member| self.address(member));
            let plan = format!("plan=register {register}, then deregister {deregister}");
            let is_told = lines.iter().any(|line| {
                line.contains(": would switch, and only observes ")
                    && line.ends_with(&plan)
                    && by_event.contains(&run_of(line))
            });
            ensure!(is_told, "no run by an event has the {plan:?}: {printed}");
        }
        Ok(())
    }

    pub(crate) async fn stop_sample(&self) -> Result<()> {
        let names = in_sentence(OF_THE_SAMPLE, "aws rds describe-event-subscriptions")?;
        let names = self.events.line(&names).await?;
        ensure!(names.contains(sample::NAME), "{names}");
        let stop = in_sentence(OF_THE_SAMPLE, "aws rds modify-event-subscription")?;
        self.events.line(&stop.replace("SUBSCRIPTION", sample::NAME)).await?;
        self.preflight("## Stop the others").await?;
        let trail = &commands("## Stop the others")?[1];
        self.link.line(trail, &[]).await.map(drop)
    }

    // --- What is promised ---

    /// A write that begins now is confirmed.
    pub(crate) async fn is_written_to(&self) -> Result<()> {
        let (client, now) = (self.client()?, Instant::now());
        poll::until("a write", FOLLOW_DEADLINE, async || {
            let last = client.last_error().unwrap_or_default();
            let confirmed = client.first_success_after(now).is_some();
            Ok(if confirmed { Look::Ready(()) } else { Look::NotYet(anyhow!("{last}")) })
        })
        .await
    }

    pub(crate) async fn lost_nothing(&self) -> Result<()> {
        let attempts = self.client()?.attempts();
        let confirmed = attempts.iter().filter(|attempt| attempt.error.is_none()).count();
        Steps.say(&format!("{confirmed} of {} writes were confirmed", attempts.len()));
        let lost = lost(&attempts, self.address(self.databases.primary())).await?;
        ensure!(lost.is_empty(), "confirmed and lost: {lost:?}");
        Ok(())
    }

    /// A function that acts all the same is refused.
    pub(crate) async fn is_denied_a_write(&self) -> Result<()> {
        let function = format!("--function-name {STACK}");
        let known = format!("aws lambda get-function-configuration {function} --query Environment");
        let known = self.link.shell.line(&known).await?;
        let mut known: Value = serde_json::from_str(&known)?;
        known["Variables"]["MODE"] = "act".into();
        let update = format!("aws lambda update-function-configuration {function}");
        self.link.shell.line(&format!("{update} --environment '{known}'")).await?;
        let asked = events::invoke(self.link.aws, STACK, &json!({"watchSeconds": 0})).await?;
        let (kind, message) = asked.failure()?;
        ensure!(kind == "AccessDenied" && message.contains(REGISTER), "{kind}: {message}");
        Ok(())
    }

    // --- What happened ---

    fn client(&self) -> Result<&Writer> {
        self.client.as_ref().context("nobody writes yet")
    }

    pub(crate) fn address(&self, member: usize) -> SocketAddr {
        self.databases.address(member)
    }

    /// How often the function and how often the sample has called to change the group.
    pub(crate) fn writes(&self) -> [usize; 2] {
        let [registered, deregistered] = [REGISTER, DEREGISTER].map(|action| self.calls(action));
        [registered[0] + deregistered[0], registered[1] + deregistered[1]]
    }

    /// How often the sample has looked at the group.
    pub(crate) fn sample_looks(&self) -> usize {
        self.calls(DESCRIBE)[1]
    }

    /// How often the function and how often the sample has called an action.
    fn calls(&self, action: &str) -> [usize; 2] {
        let calls = self.gateway.calls();
        // The sample does not ask RDS.
        let of_rds = calls.iter().filter(|call| call.action.starts_with("rds:"));
        let own: BTreeSet<&str> = of_rds.map(|call| call.key.as_str()).collect();
        let is_own = |call: &&Call| own.contains(call.key.as_str());
        let (own, others): (Vec<_>, Vec<_>) =
            calls.iter().filter(|call| call.action == action).partition(is_own);
        [own.len(), others.len()]
    }

    /// Waits until no run of the function is on.
    async fn wait_for_quiet(&self) -> Result<()> {
        let looks = || self.dns.queries(&self.cluster.endpoint);
        let (mut seen, mut since) = (looks(), Instant::now());
        poll::until("the end of the function's runs", 2 * WATCH, async || {
            if looks() != seen {
                (seen, since) = (looks(), Instant::now());
            }
            let quiet = since.elapsed();
            let reason = anyhow!("the last look at DNS was {quiet:?} ago");
            Ok(if quiet >= QUIET { Look::Ready(()) } else { Look::NotYet(reason) })
        })
        .await
    }
}

/// The id of the run that wrote a line.
fn run_of(line: &str) -> &str {
    line.split("requestId=\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap_or_default()
}
