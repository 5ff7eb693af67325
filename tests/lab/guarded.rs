//! The deployed stack with IAM enforced and a gateway before AWS, and without a database.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use crate::aurora::Cluster;
use crate::aws::{Aws, members};
use crate::cloudformation::Template;
use crate::deploy::{self, Parameters, Stack};
use crate::dns::{Answer, DnsServer};
use crate::events::{self, Invocation};
use crate::gateway::Gateway;
use crate::history::{self, History};
use crate::process::crash_those_with;
use crate::progress::Progress;
use crate::stage::RARE_MINUTES;
use crate::workspace::Run;

const CLUSTER: &str = "orders";
const PORT: u16 = 5432;

/// Where the members of the cluster would listen.
const ADDRESSES: [[u8; 4]; 2] = [[127, 0, 0, 11], [127, 0, 0, 12]];

/// The stack, and the world around it.
pub struct Guarded {
    /// DNS, as the function sees it.
    pub dns: DnsServer,
    /// The local AWS.
    pub aws: Aws,
    /// What the function's calls to AWS go through.
    pub gateway: Gateway,
    /// The cluster, as the RDS API tells of it.
    pub cluster: Cluster,
    /// What was deployed.
    pub stack: Stack,
    built: Template,
    parameters: Parameters,
}

impl Guarded {
    /// Builds, starts and deploys. The target group is empty afterwards.
    pub async fn start(run: &Run, progress: &dyn Progress) -> Result<Self> {
        let built = deploy::build(run, deploy::FRONT_DOOR, progress).await?;
        let (aws, gateway) = Aws::start_guarded(run).await?;
        let cluster = Cluster::create(aws.rds(), CLUSTER).await?;
        let dns = DnsServer::start().await?;
        let parameters = Parameters {
            endpoint: cluster.endpoint.clone(),
            port: PORT,
            dns: dns.addr().to_string(),
            schedule_minutes: RARE_MINUTES,
            deregistration_delay: Duration::from_secs(2),
            secret: None,
        };
        let stack = deploy::deploy(run, &aws, &built, parameters.values(), progress).await?;
        let guarded = Self { dns, aws, gateway, cluster, stack, built, parameters };
        guarded.let_dns_answer(0);
        Ok(guarded)
    }

    /// Updates the stack to another `Mode`.
    pub async fn set_mode(&self, run: &Run, mode: &str, progress: &dyn Progress) -> Result<()> {
        let mode = [("Mode", mode.to_owned())];
        let parameters = self.parameters.values().into_iter().chain(mode);
        let environment = self.aws.environment();
        self.built.deploy(run, &environment, deploy::STACK, parameters, progress).await.map(drop)
    }

    /// Where a member would listen.
    pub fn address(&self, member: usize) -> SocketAddr {
        SocketAddr::from((ADDRESSES[member], PORT))
    }

    /// DNS knows the members, and that this one is the writer.
    pub fn let_dns_answer(&self, writer: usize) {
        for (member, address) in self.cluster.members.iter().zip(ADDRESSES) {
            self.dns.set(&member.endpoint, Answer::v4(address));
        }
        self.dns.set(&self.cluster.endpoint, Answer::alias(&self.cluster.members[writer].endpoint));
    }

    /// Makes a member the writer, in DNS and in the RDS API.
    pub async fn move_writer(&self, member: usize) -> Result<()> {
        self.let_dns_answer(member);
        self.cluster.fail_over(&self.cluster.members[member]).await
    }

    /// Invokes the function and returns what it came to. That it failed is no error here.
    pub async fn invoke(&self, payload: &Value) -> Result<Invocation> {
        events::invoke(&self.aws, &self.stack.function, payload).await
    }

    /// Invokes the function, which must succeed with this state; returns the result of its binding.
    pub async fn succeed(&self, payload: Value, state: &str) -> Result<Value> {
        let Invocation { payload: result, error } = self.invoke(&payload).await?;
        ensure!(error.is_none(), "invoked with {payload}, the function failed: {result}");
        let binding = result["bindings"][0].clone();
        ensure!(binding["state"] == state, "invoked with {payload}, it is not {state}: {result}");
        Ok(binding)
    }

    /// Invokes the function, which must fail, and returns its `errorType` and `errorMessage`.
    pub async fn fail(&self) -> Result<(String, String)> {
        self.invoke(&json!({"watchSeconds": 0})).await?.failure()
    }

    /// Kills the function's process, as `kill -9` does.
    pub fn kill_function(&self) -> Result<()> {
        // No process of another lab has this gateway for its endpoint.
        let (endpoint, function) = (self.gateway.url(), self.stack.function.as_str());
        let killed = crash_those_with([
            ("AWS_ENDPOINT_URL", &endpoint),
            ("AWS_LAMBDA_FUNCTION_NAME", function),
        ])?;
        ensure!(killed > 0, "no process runs {function}");
        Ok(())
    }

    /// Whether the target group holds these members, and nothing else.
    pub async fn holds(&self, members_of_it: &[usize]) -> Result<()> {
        let targets = members(&self.aws.elbv2(), &self.stack.target_group).await?;
        let wanted: BTreeSet<_> =
            members_of_it.iter().map(|member| self.address(*member)).collect();
        ensure!(targets == wanted, "the group holds {targets:?}, not {wanted:?}");
        Ok(())
    }

    /// Starts to record what the target group holds.
    pub fn record(&self) -> History {
        History::record(self.aws.elbv2(), &self.stack.target_group, history::GENTLE)
    }
}
