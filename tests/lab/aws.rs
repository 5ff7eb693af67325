//! The local AWS: MiniStack, and moto for the RDS API, which MiniStack would want Docker for.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, Result};
use aws_sdk_elasticloadbalancingv2 as elbv2;
use aws_sdk_elasticloadbalancingv2::types::{ProtocolEnum, TargetTypeEnum};
use aws_sdk_lambda as lambda;
use aws_sdk_rds as rds;
use aws_sdk_secretsmanager as secrets;
use aws_sdk_sns as sns;
use tokio::net::TcpStream;

use crate::deploy::VPC;
use crate::gateway::Gateway;
use crate::process::{Process, Program, free_port};
use crate::workspace::{Run, root, venv_program};

/// The Region that everything is in.
pub const REGION: &str = "us-east-1";

/// The account of MiniStack; moto is told to use the same.
pub const ACCOUNT: &str = "000000000000";

/// The key of the root user where IAM is enforced. The SDKs refuse to sign without one.
const FAKE_KEY: &str = "test";

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// Python imports a lot before either emulator listens, on a cold disk most of all.
const START_DEADLINE: Duration = Duration::from_secs(60);

/// The emulators, and clients for them. The emulators are killed when this is dropped.
pub struct Aws {
    endpoint: String,
    rds_endpoint: String,
    ports: [u16; 2],
    emulators: Vec<Process>,
}

/// Makes the client of one service, whose crates share names and no trait.
macro_rules! client {
    ($service:ident, $endpoint:expr) => {{
        let config = $service::Config::builder()
            .behavior_version($service::config::BehaviorVersion::v2026_01_12())
            .credentials_provider($service::config::Credentials::new(
                FAKE_KEY, FAKE_KEY, None, None, "lab",
            ))
            .region($service::config::Region::from_static(REGION))
            .endpoint_url($endpoint);
        $service::Client::from_conf(config.build())
    }};
}

impl Aws {
    /// Starts both emulators on free ports of 127.0.0.1 and waits until they answer.
    pub async fn start(run: &Run) -> Result<Self> {
        let aws = Self::on_free_ports()?;
        let environment = aws.environment();
        aws.run(run, environment).await
    }

    /// As [`Aws::start`], with IAM enforced: MiniStack refuses what a function's role does not
    /// allow. moto would refuse whatever is allowed for a named resource only, so it is not asked
    /// to. Functions reach both through the gateway.
    pub async fn start_guarded(run: &Run) -> Result<(Self, Gateway)> {
        let aws = Self::on_free_ports()?;
        let gateway = Gateway::start(&aws.rds_endpoint, &aws.endpoint).await?;
        let mut environment = aws.environment();
        environment.retain(|(name, _)| !name.starts_with("AWS_ENDPOINT_URL"));
        environment.push(("AWS_ENDPOINT_URL".to_owned(), gateway.url()));
        environment.push(("AUTH".to_owned(), "true".to_owned()));
        Ok((aws.run(run, environment).await?, gateway))
    }

    fn on_free_ports() -> Result<Self> {
        let (port, rds_port) = (free_port(&[LOOPBACK])?, free_port(&[LOOPBACK])?);
        Ok(Self {
            endpoint: format!("http://127.0.0.1:{port}"),
            rds_endpoint: format!("http://127.0.0.1:{rds_port}"),
            ports: [port, rds_port],
            emulators: Vec::new(),
        })
    }

    /// The functions inherit this environment, which is how their RDS calls get to moto.
    async fn run(mut self, run: &Run, environment: Vec<(String, String)>) -> Result<Self> {
        let [port, rds_port] = self.ports;
        let moto = Program::new("moto", venv_program("moto_server")?)
            .args(["-H", "127.0.0.1", "-p", &rds_port.to_string()])
            .env("MOTO_ACCOUNT_ID", ACCOUNT)
            .start(run)?;
        // Without the last two, MiniStack listens on every interface for services nobody uses here.
        let ministack = Program::new("ministack", venv_program("python")?)
            .arg(root().join("tests/lab/emulator.py"))
            .envs(environment)
            .env("BIND_HOST", "127.0.0.1")
            .env("GATEWAY_PORT", port.to_string())
            .env("TMPDIR", run.scratch("ministack/tmp")?)
            .env("STATE_DIR", run.scratch("ministack/state")?)
            .env("S3_DATA_DIR", run.scratch("ministack/s3")?)
            .env("IOT_MTLS_ENABLED", "0")
            .env("SFTP_ENABLED", "0")
            .start(run)?;

        for (mut emulator, port) in [(ministack, port), (moto, rds_port)] {
            emulator
                .ready(START_DEADLINE, async || {
                    Ok(TcpStream::connect((LOOPBACK, port)).await.map(drop)?)
                })
                .await?;
            self.emulators.push(emulator);
        }
        Ok(self)
    }

    /// Where every service but RDS is.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Where RDS is: moto, whose CloudFormation knows VPC peering, unlike MiniStack's.
    pub fn rds_endpoint(&self) -> &str {
        &self.rds_endpoint
    }

    /// The variables that point an AWS tool, and a function, at this AWS.
    pub fn environment(&self) -> Vec<(String, String)> {
        let variables = [
            ("AWS_ENDPOINT_URL", self.endpoint.as_str()),
            ("AWS_ENDPOINT_URL_RDS", self.rds_endpoint.as_str()),
            ("AWS_ACCESS_KEY_ID", FAKE_KEY),
            ("AWS_SECRET_ACCESS_KEY", FAKE_KEY),
            ("AWS_REGION", REGION),
            ("AWS_DEFAULT_REGION", REGION),
            ("AWS_EC2_METADATA_DISABLED", "true"),
        ];
        variables.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
    }

    /// What the clients of every service but RDS are made from.
    pub async fn sdk_config(&self) -> aws_config::SdkConfig {
        aws_config::defaults(aws_config::BehaviorVersion::v2026_01_12())
            .credentials_provider(rds::config::Credentials::new(
                FAKE_KEY, FAKE_KEY, None, None, "lab",
            ))
            .region(REGION)
            .endpoint_url(&self.endpoint)
            .load()
            .await
    }

    /// A client of the load balancers.
    pub fn elbv2(&self) -> elbv2::Client {
        client!(elbv2, &self.endpoint)
    }

    /// A client of the functions.
    pub fn lambda(&self) -> lambda::Client {
        client!(lambda, &self.endpoint)
    }

    /// A client of the databases.
    pub fn rds(&self) -> rds::Client {
        client!(rds, &self.rds_endpoint)
    }

    /// A client of the secrets.
    pub fn secrets(&self) -> secrets::Client {
        client!(secrets, &self.endpoint)
    }

    /// A client of the topics.
    pub fn sns(&self) -> sns::Client {
        client!(sns, &self.endpoint)
    }
}

/// Makes an empty target group of addresses, and returns its ARN.
pub async fn target_group(elbv2: &elbv2::Client, name: &str, port: u16) -> Result<String> {
    let group = elbv2.create_target_group().name(name).protocol(ProtocolEnum::Tcp);
    let group = group.port(port.into()).target_type(TargetTypeEnum::Ip).vpc_id(VPC);
    let answer = group.send().await.with_context(|| format!("create the target group {name}"))?;
    let arn = answer.target_groups().first().and_then(|group| group.target_group_arn());
    arn.map(str::to_owned).with_context(|| format!("the target group {name} has no ARN"))
}

/// The targets that a group holds: all but those that drain.
pub async fn members(elbv2: &elbv2::Client, target_group: &str) -> Result<BTreeSet<SocketAddr>> {
    let answer = elbv2.describe_target_health().target_group_arn(target_group).send().await;
    let answer = answer.with_context(|| format!("describe the targets of {target_group}"))?;
    let members = answer.target_health_descriptions().iter().filter(|description| {
        let state = description.target_health().and_then(|health| health.state());
        state != Some(&elbv2::types::TargetHealthStateEnum::Draining)
    });
    members.filter_map(|member| member.target()).map(address).collect()
}

/// The names of all functions.
pub async fn functions(lambda: &lambda::Client) -> Result<BTreeSet<String>> {
    let answer = lambda.list_functions().send().await.context("list the functions")?;
    Ok(answer
        .functions()
        .iter()
        .filter_map(|function| function.function_name())
        .map(str::to_owned)
        .collect())
}

fn address(target: &elbv2::types::TargetDescription) -> Result<SocketAddr> {
    let id = target.id().unwrap_or_default();
    let ip = id.parse().with_context(|| format!("the target {id:?} is no address"))?;
    let port = target.port().and_then(|port| u16::try_from(port).ok());
    Ok(SocketAddr::new(ip, port.with_context(|| format!("the target {id} has no port"))?))
}
