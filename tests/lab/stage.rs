//! All pieces put together: the deployed stack, with databases, DNS and a load balancer around it.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Result, anyhow, ensure};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::aurora::Cluster;
use crate::aws::{Aws, members};
use crate::cloudformation::{LeftOut, Template};
use crate::deploy::{self, Parameters, Stack};
use crate::dns::{Answer, DnsServer};
use crate::events::{self, ClusterEvent, Invocation};
use crate::history::History;
use crate::login::Login;
use crate::nlb::{self, Lag, Nlb};
use crate::poll::{self, Look};
use crate::postgres::Pair;
use crate::process::free_port;
use crate::progress::Progress;
use crate::workspace::Run;

/// The identifier of the cluster in the RDS API.
const CLUSTER: &str = "orders";

/// Minutes between scheduled runs: the most there are, so that none does a test's work.
pub const RARE_MINUTES: u8 = 5;

/// The longest switch where two witnesses agree: a look or two, and the rest for a busy machine.
pub const EVENT_DEADLINE: Duration = Duration::from_secs(15);

/// The function has answered by then; only the emulator has to catch up, and the load balancer when
/// it has heard.
const FIRST_RUN_DEADLINE: Duration = Duration::from_secs(10);

/// A run looks at DNS every second, and no call between two looks takes that long here.
const QUIET: Duration = Duration::from_secs(4);

/// A run has a few lines.
const PATH_LOG_LINES: usize = 1000;

/// The lab, ready to use. Member number `n` of the cluster is database server number `n`.
pub struct Lab<'run> {
    run: &'run Run,
    built: Template,
    parameters: Parameters,
    options: Options,
    /// DNS, as the function sees it.
    pub dns: DnsServer,
    /// The local AWS.
    pub aws: Aws,
    /// The cluster, as the RDS API tells of it.
    pub cluster: Cluster,
    /// The database servers.
    pub databases: Pair,
    /// What was deployed.
    pub stack: Stack,
    /// How the function logs in to the databases, if it asks them.
    pub login: Option<Login>,
    /// The load balancer.
    pub nlb: Nlb,
}

/// How a lab differs from another.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Minutes between scheduled runs of the function, 1 to 5.
    pub schedule_minutes: u8,
    /// How long a connection survives its target's deregistration; whole seconds. AWS: two minutes.
    pub deregistration_delay: Duration,
    /// Whether the function asks the databases themselves whether they take writes.
    pub probes_roles: bool,
    /// Whether it asks through the load balancer as well.
    pub probes_path: bool,
    /// How late the load balancer follows the target group.
    pub lag: Lag,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            schedule_minutes: 1,
            deregistration_delay: Duration::from_secs(2),
            probes_roles: false,
            probes_path: false,
            lag: Lag::NONE,
        }
    }
}

impl<'run> Lab<'run> {
    /// Builds and starts everything. The target group is empty until the function first runs.
    pub async fn start(run: &'run Run, options: Options, progress: &dyn Progress) -> Result<Self> {
        progress.say("building the function: cargo lambda build, then sam build");
        let built = deploy::build(run, deploy::FRONT_DOOR, progress).await?;
        Self::deploy(run, built, options, progress).await
    }

    /// Starts everything around a link with a database that is built.
    pub async fn deploy(
        run: &'run Run,
        built: Template,
        options: Options,
        progress: &dyn Progress,
    ) -> Result<Self> {
        progress.say("starting the local AWS: MiniStack, and moto for the RDS API");
        let aws = Aws::start(run).await?;
        let cluster = Cluster::create(aws.rds(), CLUSTER).await?;

        progress.say("starting PostgreSQL: a primary and a synchronous standby");
        let login = if options.probes_roles {
            Some(Login::create(run, &aws, &cluster).await?)
        } else {
            None
        };
        let databases = match &login {
            Some(login) => login.start_databases(run).await?,
            None => Pair::start(run).await?,
        };
        let dns = DnsServer::start().await?;
        for (server, member) in cluster.members.iter().enumerate() {
            dns.set(&member.endpoint, Answer::addresses([databases.address(server).ip()]));
        }
        dns.set(&cluster.endpoint, Answer::alias(&cluster.members[databases.primary()].endpoint));

        progress.say("deploying template.yaml and its layers with sam deploy");
        let parameters = Parameters {
            endpoint: cluster.endpoint.clone(),
            port: databases.port(),
            dns: dns.addr().to_string(),
            schedule_minutes: options.schedule_minutes,
            deregistration_delay: options.deregistration_delay,
            secret: login.as_ref().map(|login| login.secret.clone()),
        };
        let port = free_port(&nlb::ADDRESSES)?;
        let values = values(&parameters, options, port);
        let stack = deploy(run, &aws, &built, values, login.as_ref(), progress).await?;
        let addresses = nlb::ADDRESSES.into();
        dns.set(&stack.load_balancer, Answer::Addresses { addresses, ttl: nlb::TTL });
        let nlb = Nlb::in_zones(
            aws.elbv2(),
            &stack.target_group,
            options.deregistration_delay,
            port,
            options.lag,
        )
        .await?;
        Ok(Self {
            run,
            built,
            parameters,
            options,
            dns,
            aws,
            cluster,
            databases,
            stack,
            login,
            nlb,
        })
    }

    /// What of the template the local CloudFormation refuses.
    pub fn left_out(&self) -> &[LeftOut] {
        &self.built.left_out
    }

    /// Updates the stack to another schedule.
    pub async fn set_schedule(&mut self, minutes: u8, progress: &dyn Progress) -> Result<()> {
        self.parameters.schedule_minutes = minutes;
        let values = values(&self.parameters, self.options, self.nlb.addr().port());
        let login = self.login.as_ref();
        self.stack = deploy(self.run, &self.aws, &self.built, values, login, progress).await?;
        Ok(())
    }

    /// Makes the cluster's endpoint resolve to a member.
    pub fn point_dns_at(&self, member: usize) {
        self.dns.set(&self.cluster.endpoint, Answer::alias(&self.cluster.members[member].endpoint));
    }

    /// Makes a member the writer in DNS and the RDS API; databases and function hear nothing.
    pub async fn move_writer(&self, member: usize) -> Result<()> {
        self.point_dns_at(member);
        self.cluster.fail_over(&self.cluster.members[member]).await
    }

    /// Publishes what RDS does about a failover to a member.
    pub async fn publish(&self, event: ClusterEvent, member: usize) -> Result<()> {
        let member = &self.cluster.members[member].id;
        events::publish_failover(&self.aws, &self.stack.topic, event, &self.cluster.id, member)
            .await
    }

    /// Invokes the function and returns what it came to. That it failed is no error here.
    pub async fn invoke(&self, payload: &Value) -> Result<Invocation> {
        events::invoke(&self.aws, &self.stack.function, payload).await
    }

    /// Lets the function register the primary in the empty target group.
    pub async fn first_run(&self) -> Result<()> {
        let result = self.invoke(&json!({})).await?;
        ensure!(result.error.is_none(), "the first run of the function failed: {}", result.payload);
        let primary = self.databases.primary();
        self.wait_for_target(primary, FIRST_RUN_DEADLINE).await?;
        let wanted = BTreeSet::from([self.databases.address(primary)]);
        let lag = self.options.lag.longest(nlb::ADDRESSES.len());
        self.nlb.wait_for_targets(&wanted, FIRST_RUN_DEADLINE + lag).await
    }

    /// What the target group holds.
    pub async fn targets(&self) -> Result<BTreeSet<SocketAddr>> {
        members(&self.aws.elbv2(), &self.stack.target_group).await
    }

    /// Starts to record what the target group holds, with a look each `sample`.
    pub fn record(&self, sample: Duration) -> History {
        History::record(self.aws.elbv2(), &self.stack.target_group, sample)
    }

    /// Waits until the function has asked for the endpoint this often: a watch does every second.
    pub async fn wait_for_looks(&self, looks: usize, deadline: Duration) -> Result<()> {
        let before = self.looks();
        poll::until(&format!("look number {looks} at DNS"), deadline, async || {
            let seen = self.looks() - before;
            Ok(if seen >= looks {
                Look::Ready(())
            } else {
                Look::NotYet(anyhow!("there were {seen}"))
            })
        })
        .await
    }

    /// Waits until no run is on: none has asked for the cluster's endpoint for a while.
    pub async fn wait_for_quiet(&self, deadline: Duration) -> Result<()> {
        let (mut looks, mut since) = (self.looks(), Instant::now());
        poll::until("the end of the function's runs", deadline, async || {
            let now = self.looks();
            if now != looks {
                (looks, since) = (now, Instant::now());
            }
            let still =
                anyhow!("the last look at DNS was {:.1} s ago", since.elapsed().as_secs_f64());
            Ok(if since.elapsed() >= QUIET { Look::Ready(()) } else { Look::NotYet(still) })
        })
        .await
    }

    /// How often the function has asked for the cluster's endpoint.
    pub fn looks(&self) -> usize {
        self.dns.queries(&self.cluster.endpoint)
    }

    /// Waits until the target group holds one member of the cluster and nothing else.
    pub async fn wait_for_target(&self, member: usize, deadline: Duration) -> Result<()> {
        let wanted = BTreeSet::from([self.databases.address(member)]);
        let what = format!("the switch of the target group to {}", self.databases.address(member));
        poll::until(&what, deadline, async || {
            let targets = self.targets().await?;
            Ok(if targets == wanted {
                Look::Ready(())
            } else {
                Look::NotYet(anyhow!("it holds {targets:?}"))
            })
        })
        .await
    }

    /// What runs of the function said in their log of how long the load balancer took, the oldest
    /// first: what they registered, and the time until new sessions through every zone reached it.
    pub async fn path_times(&self) -> Result<Vec<(String, Duration)>> {
        let log = self.function_log(PATH_LOG_LINES).await?;
        let time = |line: &str| {
            let took = field(line, " register_to_path_ms=", ' ')?.parse().ok()?;
            let registered = field(line, " registered=\"", '"')?;
            Some((registered.to_owned(), Duration::from_millis(took)))
        };
        Ok(log.lines().filter_map(time).collect())
    }

    /// The last lines of the function's log.
    pub async fn function_log(&self, lines: usize) -> Result<String> {
        deploy::function_log(self.run, &self.aws, &self.stack.function, lines).await
    }
}

/// What stands behind this beginning in a line of the log, up to this end.
fn field<'line>(line: &'line str, begins: &str, ends: char) -> Option<&'line str> {
    line.split_once(begins)?.1.split(ends).next()
}

/// What the template's parameters are, with a load balancer that listens on this port.
fn values(
    parameters: &Parameters,
    options: Options,
    listener_port: u16,
) -> Vec<(&'static str, String)> {
    let mut values = parameters.values();
    values.push(("ListenerPort", listener_port.to_string()));
    if options.probes_path {
        values.push(("PathProbe", "true".to_owned()));
    }
    values
}

async fn deploy(
    run: &Run,
    aws: &Aws,
    built: &Template,
    values: Vec<(&'static str, String)>,
    login: Option<&Login>,
    progress: &dyn Progress,
) -> Result<Stack> {
    let stack = deploy::deploy(run, aws, built, values, progress).await?;
    if let Some(login) = login {
        login.trust(aws, &stack.function).await?;
    }
    Ok(stack)
}
