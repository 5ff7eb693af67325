//! Several databases on one link, deployed: each stack fills its own target groups alone, in its
//! address family, which the emulator does not keep (`tests/template/path.rs`). Deleted as
//! `infra/remove.md` says, each takes its own away.
#![expect(clippy::print_stderr, reason = "a test of a minute says where it is")]

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use lab::aurora::Cluster;
use lab::aws::{Aws, functions, members};
use lab::cli::Shell;
use lab::cloudformation::Outputs;
use lab::deploy::{self, DATABASE, FRONT_DOOR, Parameters, STACK, VPC};
use lab::dns::{Answer, DnsServer};
use lab::events::invoke;
use lab::progress::Progress;
use lab::stage::RARE_MINUTES;
use lab::workspace::Run;
use serde_json::{Value, json};

/// The stacks of the databases that join.
const JOINING: &str = "failover-sync-lab-billing";
const JOINING_BY_IPV6: &str = "failover-sync-lab-ledger";

/// The members of the cluster, writer first.
const CLUSTER: [Ipv4Addr; 2] = [Ipv4Addr::new(127, 0, 0, 11), Ipv4Addr::new(127, 0, 0, 12)];
const CLUSTER_PORT: u16 = 5432;
const READER_LISTENER_PORT: u16 = 5433;

/// A server that RDS knows nothing of.
const SERVER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 21);
const SERVER_PORT: u16 = 3306;
const SERVER_LISTENER_PORT: u16 = 13306;

/// Another one, which is reached by IPv6 alone.
const IPV6_SERVER: Ipv6Addr = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x21);
const IPV6_SERVER_LISTENER_PORT: u16 = 13307;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn databases_on_one_link_have_ports_target_groups_and_functions_of_their_own() -> Result<()> {
    let run = Run::new()?;
    run.ended(share_a_link(&run).await)
}

async fn share_a_link(run: &Run) -> Result<()> {
    let built = deploy::build(run, FRONT_DOOR, &Steps).await?;
    let layer = deploy::build(run, DATABASE, &Steps).await?;
    let aws = Aws::start(run).await?;
    let cluster = Cluster::create(aws.rds(), "orders").await?;
    let dns = DnsServer::start().await?;
    for (member, address) in cluster.members.iter().zip(CLUSTER) {
        dns.set(&member.endpoint, Answer::v4(address.octets()));
    }
    let [writer, reader] = &cluster.members;
    dns.set(&cluster.endpoint, Answer::alias(&writer.endpoint));
    // Not built from the writer's as the template does it: this is the name that RDS gives.
    dns.set(&reader_endpoint(&aws, &cluster).await?, Answer::alias(&reader.endpoint));

    Steps.say("a link for a cluster, with its readers");
    let parameters = Parameters {
        endpoint: cluster.endpoint.clone(),
        port: CLUSTER_PORT,
        dns: dns.addr().to_string(),
        schedule_minutes: RARE_MINUTES,
        deregistration_delay: Duration::from_secs(2),
        secret: None,
    };
    let readers = ("ReaderListenerPort", READER_LISTENER_PORT.to_string());
    let families = ("IpAddressType", "dualstack".to_owned());
    let parameters = parameters.values().into_iter().chain([readers, families]);
    let link = built.deploy(run, &aws.environment(), STACK, parameters, &Steps).await?;

    Steps.say("a server on EC2 that joins it");
    let parameters = on(&link, SERVER.into(), SERVER_LISTENER_PORT, &format!("{SERVER}/32"))?;
    let joining = layer.deploy(run, &aws.environment(), JOINING, parameters, &Steps).await?;

    Steps.say("a server that is reached by IPv6");
    let mut parameters =
        on(&link, IPV6_SERVER.into(), IPV6_SERVER_LISTENER_PORT, &format!("{IPV6_SERVER}/128"))?;
    parameters.push(("IpAddressType", "ipv6".to_owned()));
    let by_ipv6 =
        layer.deploy(run, &aws.environment(), JOINING_BY_IPV6, parameters, &Steps).await?;

    let group = |outputs: &Outputs, name: &str| outputs.get(name).map(str::to_owned);
    let groups = [
        group(&link, "TargetGroupArn")?,
        group(&link, "ReaderTargetGroupArn")?,
        group(&joining, "TargetGroupArn")?,
        group(&by_ipv6, "TargetGroupArn")?,
    ];
    let [writers, readers, servers, ipv6_servers] = &groups;
    let expected = [
        (CLUSTER_PORT, writers),
        (READER_LISTENER_PORT, readers),
        (SERVER_LISTENER_PORT, servers),
        (IPV6_SERVER_LISTENER_PORT, ipv6_servers),
    ];
    let expected = expected.map(|(port, group)| (i32::from(port), group.clone()));
    let found = listeners(&aws, link.get("LoadBalancerArn")?).await?;
    ensure!(found == BTreeMap::from(expected), "the ports of the load balancer lead to {found:?}");

    let [writer, reader] = CLUSTER.map(|address| target(address, CLUSTER_PORT));
    let server = target(SERVER, SERVER_PORT);
    let ipv6_server = target(IPV6_SERVER, SERVER_PORT);
    expect(&aws, &groups, [None, None, None, None]).await?;

    Steps.say("the joining stack's function fills its own group");
    let result = succeed(&aws, joining.get("FunctionName")?).await?;
    ensure!(names(&result) == ["writer"], "{result}");
    expect(&aws, &groups, [None, None, Some(server), None]).await?;

    Steps.say("so does the one that follows an IPv6 address");
    let result = succeed(&aws, by_ipv6.get("FunctionName")?).await?;
    ensure!(names(&result) == ["writer"], "{result}");
    expect(&aws, &groups, [None, None, Some(server), Some(ipv6_server)]).await?;

    Steps.say("the link's function fills the writer's and the readers'");
    let result = succeed(&aws, link.get("FunctionName")?).await?;
    ensure!(names(&result) == ["writer", "readers"], "{result}");
    expect(&aws, &groups, [Some(writer), Some(reader), Some(server), Some(ipv6_server)]).await?;

    remove(run, &aws, found, &[(JOINING, &joining), (JOINING_BY_IPV6, &by_ipv6), (STACK, &link)])
        .await
}

/// `infra/remove.md`, "The database's side": the link's own database last. The link stays.
async fn remove(
    run: &Run,
    aws: &Aws,
    mut left: BTreeMap<i32, String>,
    stacks: &[(&str, &Outputs)],
) -> Result<()> {
    let shell = Shell::new(run, aws, aws.endpoint())?;
    let load_balancer = stacks.last().context("no stacks")?.1.get("LoadBalancerArn")?;
    let mut left_functions = functions(&aws.lambda()).await?;
    ensure!(left_functions.len() == stacks.len(), "{left_functions:?}");
    for (stack, outputs) in stacks {
        Steps.say(&format!("{stack} is deleted"));
        shell.sam_delete(stack).await?;
        let own = ["TargetGroupArn", "ReaderTargetGroupArn"].map(|name| outputs.get(name).ok());
        left.retain(|_, group| !own.contains(&Some(group.as_str())));
        left_functions.remove(outputs.get("FunctionName")?);
        let found = listeners(aws, load_balancer).await?;
        ensure!(
            found == left,
            "the ports of the load balancer lead to {found:?} and not to {left:?}"
        );
        let answer = aws.elbv2().describe_target_groups().send().await?;
        let groups = answer.target_groups().iter().filter_map(|group| group.target_group_arn());
        let (groups, wanted) =
            (groups.collect::<BTreeSet<_>>(), left.values().map(String::as_str).collect());
        ensure!(groups == wanted, "the target groups are {groups:?} and not {wanted:?}");
        let functions = functions(&aws.lambda()).await?;
        ensure!(
            functions == left_functions,
            "the functions are {functions:?} and not {left_functions:?}"
        );
    }
    ensure!(
        left.is_empty() && left_functions.is_empty(),
        "{left:?} and {left_functions:?} belong to no stack"
    );
    let stacks = shell.stacks().await?;
    let mut own = stacks.iter().filter(|stack| *stack != "aws-sam-cli-managed-default");
    let (kept, more) = (own.next().context("the link's stack is gone")?, own.next());
    ensure!(
        kept.starts_with(&format!("{STACK}-Link-")) && more.is_none(),
        "the stacks are {stacks:?}"
    );
    let answer =
        aws.elbv2().describe_load_balancers().load_balancer_arns(load_balancer).send().await?;
    ensure!(answer.load_balancers().len() == 1, "the load balancer is gone");
    Ok(())
}

/// What a server without RDS gives to join a link.
fn on(
    link: &Outputs,
    address: IpAddr,
    listener_port: u16,
    range: &str,
) -> Result<Vec<(&'static str, String)>> {
    Ok(vec![
        ("LoadBalancerArn", link.get("LoadBalancerArn")?.to_owned()),
        ("LoadBalancerSecurityGroupId", link.get("LoadBalancerSecurityGroupId")?.to_owned()),
        ("OperationsTopicArn", link.get("OperationsTopicArn")?.to_owned()),
        ("VpcId", VPC.to_owned()),
        ("ListenerPort", listener_port.to_string()),
        ("DatabaseKind", "address".to_owned()),
        ("DatabaseEndpoint", address.to_string()),
        ("DatabasePort", SERVER_PORT.to_string()),
        ("DatabaseEngine", "mysql".to_owned()),
        ("DatabaseCidrs", range.to_owned()),
        ("AllowedCidrs", range.to_owned()),
        ("ScheduleExpression", format!("rate({RARE_MINUTES} minutes)")),
    ])
}

/// What the RDS API calls the reader endpoint.
async fn reader_endpoint(aws: &Aws, cluster: &Cluster) -> Result<String> {
    let answer = aws.rds().describe_db_clusters().db_cluster_identifier(&cluster.id).send().await?;
    let endpoint = answer.db_clusters().first().and_then(|cluster| cluster.reader_endpoint());
    Ok(endpoint.context("the cluster has no reader endpoint")?.to_owned())
}

/// The ports of a load balancer, each with the target group that it leads to.
async fn listeners(aws: &Aws, load_balancer: &str) -> Result<BTreeMap<i32, String>> {
    let answer = aws.elbv2().describe_listeners().load_balancer_arn(load_balancer).send().await?;
    let listeners = answer.listeners().iter().map(|listener| {
        let group = listener.default_actions().first().and_then(|action| action.target_group_arn());
        let group = group.context("a listener that leads to no target group")?;
        Ok((listener.port().context("a listener without a port")?, group.to_owned()))
    });
    listeners.collect()
}

/// Each group holds exactly this target, or none.
async fn expect(aws: &Aws, groups: &[String; 4], wanted: [Option<SocketAddr>; 4]) -> Result<()> {
    for (group, wanted) in groups.iter().zip(wanted) {
        let held = members(&aws.elbv2(), group).await?;
        ensure!(held == BTreeSet::from_iter(wanted), "{group} holds {held:?} and not {wanted:?}");
    }
    Ok(())
}

/// Invokes a function, which must succeed.
async fn succeed(aws: &Aws, function: &str) -> Result<Value> {
    let invocation = invoke(aws, function, &json!({})).await?;
    ensure!(invocation.error.is_none(), "{function} failed: {}", invocation.payload);
    Ok(invocation.payload)
}

/// The bindings that a run reports.
fn names(result: &Value) -> Vec<&str> {
    result["bindings"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|binding| binding["binding"].as_str())
        .collect()
}

fn target(address: impl Into<IpAddr>, port: u16) -> SocketAddr {
    SocketAddr::new(address.into(), port)
}

/// Long steps are named, and not followed.
struct Steps;

impl Progress for Steps {
    fn say(&self, text: &str) {
        eprintln!("---- {text}");
    }

    fn waiting(&self, _step: &str, _elapsed: Duration, _detail: &str) {}
}
