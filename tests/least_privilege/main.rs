//! The roles of the template: what they allow is needed, and what is needed they allow.
//!
//! The functions run deployed, with IAM enforced for Elastic Load Balancing and Secrets Manager.
//! The local AWS judges no other statement in a run: RDS is moto's, which refuses whatever is
//! allowed for a named resource only, and logs, the failure queue, network interfaces and logins
//! ask no IAM there. Of those SimulatePrincipalPolicy is asked, for the calls of the function and
//! of Lambda.

mod flush_hosts;
mod role_probe;
#[path = "../stack.rs"]
mod stack;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use anyhow::{Context, Result, ensure};
use aws_sdk_elasticloadbalancingv2::types::{ProtocolEnum, TargetTypeEnum};
use aws_sdk_lambda::types::Environment;
use lab::aws::{ACCOUNT, Aws, REGION};
use lab::deploy::VPC;
use lab::gateway::Call;
use lab::guarded::Guarded;
use lab::progress::Steps;
use lab::role::{Role, Statement, allowing};
use lab::workspace::Run;
use platform::rds::{DESCRIBE_CLUSTERS, DESCRIBE_INSTANCES};
use serde_json::{Value, json};

const DESCRIBE: &str = "elasticloadbalancing:DescribeTargetHealth";
const REGISTER: &str = "elasticloadbalancing:RegisterTargets";
const DEREGISTER: &str = "elasticloadbalancing:DeregisterTargets";

/// What Lambda calls with a function's role, and no function of this project.
const LAMBDAS_OWN: [&str; 3] = ["logs", "sqs", "ec2"];

/// What the database asks about a token, which is signed without a call.
const LOG_IN: &str = "rds-db:connect";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_deployed_role_allows_what_the_function_does_and_nothing_else() -> Result<()> {
    let run = Run::new()?;
    let outcome = async {
        let lab = Guarded::start(&run, &Steps).await?;
        let role = Role::of_function(&run, &lab.aws, &lab.stack.function).await?;
        everything_works(&lab).await?;
        no_allowed_action_is_never_called(&lab, &role)?;
        another_target_group_is_denied(&lab).await?;
        no_statement_can_be_missed(&lab, &role).await?;
        while_observing_a_write_is_neither_allowed_nor_tried(&run, &lab, &role).await
    }
    .await;
    run.ended(outcome)
}

/// Leaves the group on member 1.
async fn everything_works(lab: &Guarded) -> Result<()> {
    Steps::begin("with the role of the template everything works");
    lab.succeed(json!({}), "updated").await?;
    lab.succeed(json!({}), "in-sync").await?;
    lab.move_writer(1).await?;
    let dry = lab.succeed(json!({"dryRun": true}), "would-update").await?;
    let writer = json!([lab.address(1).ip().to_string()]);
    ensure!(dry["witnesses"]["topology"] == writer, "the RDS API was not asked: {dry}");
    lab.succeed(json!({}), "updated").await?;
    lab.holds(&[1]).await?;
    let calls = lab.gateway.calls();
    let foreign: Vec<&Call> = calls.iter().filter(|call| !call.key.starts_with("ASIA")).collect();
    ensure!(foreign.is_empty(), "not made with the temporary credentials of a role: {foreign:?}");
    Ok(())
}

fn no_allowed_action_is_never_called(lab: &Guarded, role: &Role) -> Result<()> {
    Steps::begin("no allowed action is never called");
    let called = lab.gateway.calls().into_iter().map(|call| call.action).collect();
    calls_are_what_is_allowed(called, role)
}

async fn another_target_group_is_denied(lab: &Guarded) -> Result<()> {
    Steps::begin("another target group is denied, and the error says what is missing");
    let create = lab.aws.elbv2().create_target_group().name("other").vpc_id(VPC);
    let create = create
        .protocol(ProtocolEnum::Tcp)
        .port(5432)
        .target_type(TargetTypeEnum::Ip)
        .send()
        .await?;
    let other = create
        .target_groups()
        .first()
        .and_then(|group| group.target_group_arn())
        .context("no other group")?;

    let variables = variables(&lab.aws, &lab.stack.function).await?;
    let mut bindings: Value = serde_json::from_str(&variables["BINDINGS"])?;
    let mut stranger = bindings[0].clone();
    (stranger["name"], stranger["targetGroupArn"]) = ("stranger".into(), other.into());
    bindings.as_array_mut().context("BINDINGS is no list")?.push(stranger);

    let mut with_stranger = variables.clone();
    with_stranger.insert("BINDINGS".to_owned(), bindings.to_string());
    set_variables(&lab.aws, &lab.stack.function, with_stranger).await?;
    let (kind, message) = lab.fail().await?;
    ensure!(kind == "AccessDenied", "{kind}: {message}");
    let remedy = format!("{REGISTER} on {other} failed with AccessDenied");
    for words in [
        "1 of 2 bindings failed: stranger: ",
        &remedy,
        &format!("allow {REGISTER} on this resource"),
    ] {
        ensure!(message.contains(words), "{words:?} is not in {message}");
    }
    set_variables(&lab.aws, &lab.stack.function, variables).await?;
    lab.succeed(json!({}), "in-sync").await?;
    Ok(())
}

async fn no_statement_can_be_missed(lab: &Guarded, role: &Role) -> Result<()> {
    // The group is on member 1 and would have to change.
    lab.move_writer(0).await?;
    each_statement_is_needed(role, &proofs(lab), async |action| {
        let (kind, message) = lab.fail().await?;
        ensure!(kind == "AccessDenied" && message.contains(&remedy(action)), "{kind}: {message}");
        ensure!(message.contains(&lab.stack.target_group), "the resource is not in {message}");
        lab.holds(&[1]).await
    })
    .await?;
    lab.succeed(json!({}), "updated").await?;
    lab.holds(&[0]).await
}

/// Leaves the group on member 0, where it was.
async fn while_observing_a_write_is_neither_allowed_nor_tried(
    run: &Run,
    lab: &Guarded,
    role: &Role,
) -> Result<()> {
    Steps::begin("while it observes, nothing is written, tried or allowed");
    lab.set_mode(run, "observe", &Steps).await?;
    let statements = allowing(&role.policies()?)?;
    let written: BTreeSet<_> = statements.iter().map(|one| one.sid.clone()).collect();
    let mut expected: BTreeSet<_> = proofs(lab).into_keys().map(str::to_owned).collect();
    ensure!(expected.remove("ChangeTargetsOfTheseGroups"), "nothing to take away");
    ensure!(written == expected, "the role's statements are {written:?}");
    let before = lab.gateway.calls().len();
    lab.move_writer(1).await?;
    lab.succeed(json!({}), "would-update").await?;
    let calls = lab.gateway.calls().split_off(before);
    let called: BTreeSet<_> = calls.iter().map(|call| call.action.as_str()).collect();
    ensure!(called.contains(DESCRIBE), "{called:?}");
    for write in [REGISTER, DEREGISTER] {
        ensure!(!called.contains(write), "{called:?}");
        let decision = role.may(write, &lab.stack.target_group)?;
        ensure!(decision == "implicitDeny", "{write}: {decision}");
    }
    lab.holds(&[0]).await?;

    Steps::begin("and a function that acts all the same is denied");
    let mut variables = variables(&lab.aws, &lab.stack.function).await?;
    ensure!(variables.insert("MODE".to_owned(), "act".to_owned()).as_deref() == Some("observe"));
    set_variables(&lab.aws, &lab.stack.function, variables).await?;
    let (kind, message) = lab.fail().await?;
    ensure!(kind == "AccessDenied" && message.contains(&remedy(REGISTER)), "{kind}: {message}");
    lab.holds(&[0]).await
}

fn proofs(lab: &Guarded) -> BTreeMap<&'static str, Proof> {
    let calls = lab.gateway.calls();
    let asked = |action: &str, parameter: &str| {
        let call = calls.iter().rfind(|call| call.action == action);
        call.and_then(|call| call.parameters.get(parameter)).map_or("*", String::as_str)
    };
    let log_group = format!("/aws/lambda/{}", lab.stack.function);
    let own = [
        ("SeeTargets", Proof::Run(DESCRIBE)),
        ("ChangeTargetsOfTheseGroups", Proof::Run(REGISTER)),
        (
            "SeeThisCluster",
            Proof::Simulation(
                DESCRIBE_CLUSTERS,
                arn("rds", format!("cluster:{}", asked(DESCRIBE_CLUSTERS, "DBClusterIdentifier"))),
                Some(arn("rds", "cluster:other")),
            ),
        ),
        // Without an identifier it is a call for all instances, whatever it is filtered by.
        (
            "SeeInstances",
            Proof::Simulation(
                DESCRIBE_INSTANCES,
                arn("rds", format!("db:{}", asked(DESCRIBE_INSTANCES, "DBInstanceIdentifier"))),
                Some(arn("rds", "cluster:other")),
            ),
        ),
    ];
    own.into_iter().chain(logs_and_failures(&log_group, &lab.stack.failure_queue)).collect()
}

// --- For every function ---

/// How it shows that a statement is needed, and that it allows no more.
enum Proof {
    /// Without it a run is refused this action, and changes nothing.
    Run(&'static str),
    /// IAM decides so on the first resource, and against it on the second and without the
    /// statement.
    Simulation(&'static str, String, Option<String>),
}

/// What Lambda does with the role: it writes to this log group and this queue alone.
fn logs_and_failures(log_group: &str, queue: &str) -> [(&'static str, Proof); 2] {
    let stream = |group: &str| arn("logs", format!("log-group:{group}:log-stream:one"));
    let queue = arn("sqs", queue.rsplit('/').next().unwrap_or_default());
    let (logs, failures) = (Some(stream("/aws/lambda/other")), Some(arn("sqs", "other")));
    [
        ("WriteOwnLogs", Proof::Simulation("logs:PutLogEvents", stream(log_group), logs)),
        ("ReportFailures", Proof::Simulation("sqs:SendMessage", queue, failures)),
    ]
}

/// Every action that the role allows to the code was called by it, and no other.
fn calls_are_what_is_allowed(called: BTreeSet<String>, role: &Role) -> Result<()> {
    let allowed = allowing(&role.policies()?)?.into_iter().flat_map(|statement| statement.actions);
    let allowed: BTreeSet<String> =
        allowed.filter(|action| !is_lambdas_own(action) && action != LOG_IN).collect();
    ensure!(called == allowed, "called: {called:?}\nallowed: {allowed:?}");
    Ok(())
}

/// Takes each statement away for a while; the run of `is_refused` must miss this action.
async fn each_statement_is_needed(
    role: &Role,
    proofs: &BTreeMap<&str, Proof>,
    is_refused: impl AsyncFn(&'static str) -> Result<()>,
) -> Result<()> {
    let policies = role.policies()?;
    let statements = allowing(&policies)?;
    let of = |statement: &Statement| statement.sid.clone();
    let (written, proven): (BTreeSet<_>, BTreeSet<_>) =
        (statements.iter().map(of).collect(), proofs.keys().map(|sid| (*sid).to_owned()).collect());
    ensure!(
        written == proven,
        "the role's statements are {written:?}, and proofs are there for {proven:?}"
    );
    for statement in &statements {
        let proof = &proofs[statement.sid.as_str()];
        Steps::begin(&format!("without {}: {}", statement.sid, statement.actions.join(", ")));
        if let Proof::Simulation(action, own, other) = proof {
            let decision = role.may(action, own)?;
            ensure!(decision == "allowed", "{action} on {own}: {decision}");
            if let Some(other) = other {
                let decision = role.may(action, other)?;
                ensure!(decision == "implicitDeny", "{action} on {other}: {decision}");
            }
        }
        role.remove(&policies, statement)?;
        match proof {
            Proof::Run(action) => is_refused(action).await?,
            Proof::Simulation(action, own, _) => {
                let decision = role.may(action, own)?;
                ensure!(decision == "implicitDeny", "{action} on {own}: {decision}");
            }
        }
        role.restore(&policies, statement)?;
    }
    Ok(())
}

fn remedy(action: &str) -> String {
    format!("allow {action} on this resource in the function's role")
}

fn arn(service: &str, rest: impl std::fmt::Display) -> String {
    format!("arn:aws:{service}:{REGION}:{ACCOUNT}:{rest}")
}

async fn variables(aws: &Aws, function: &str) -> Result<HashMap<String, String>> {
    let configuration =
        aws.lambda().get_function_configuration().function_name(function).send().await?;
    let variables = configuration.environment().and_then(|environment| environment.variables());
    Ok(variables.context("no variables")?.clone())
}

async fn set_variables(
    aws: &Aws,
    function: &str,
    variables: impl IntoIterator<Item = (String, String)>,
) -> Result<()> {
    let environment =
        Environment::builder().set_variables(Some(variables.into_iter().collect())).build();
    let update = aws
        .lambda()
        .update_function_configuration()
        .function_name(function)
        .environment(environment);
    update.send().await.context("change the function's variables")?;
    Ok(())
}

fn is_lambdas_own(action: &str) -> bool {
    action.split_once(':').is_some_and(|(service, _)| LAMBDAS_OWN.contains(&service))
}
