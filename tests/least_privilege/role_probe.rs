//! What each login adds to the role of the function; the other test has the role without.

use super::*;

use lab::aurora::Cluster;
use lab::deploy::{self, Parameters};
use lab::events;

/// What Secrets Manager asks about a password.
const GET_SECRET: &str = "secretsmanager:GetSecretValue";

const USER: &str = "failover_sync";
const RESOURCE_ID: &str = "cluster-ABCDEFGHIJKL01234";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_function_that_asks_may_log_in_with_its_login_and_with_no_other() -> Result<()> {
    let run = Run::new()?;
    let outcome = async {
        let built = deploy::build(&run, deploy::FRONT_DOOR, &Steps).await?;
        let (aws, _gateway) = Aws::start_guarded(&run).await?;
        let cluster = Cluster::create(aws.rds(), "orders").await?;
        let user = |name: &str| arn("rds-db", format!("dbuser:{RESOURCE_ID}/{name}"));
        let secret = |name: &str| arn("secretsmanager", format!("secret:{name}-AbCdEf"));
        let this = secret("this");
        let by_iam = [("ProbeUser", USER), ("DatabaseResourceIds", RESOURCE_ID)];
        let by_secret = [("ProbeSecretArn", this.as_str()), ("DatabaseResourceIds", "")];
        let logins = [
            ("iam", by_iam, "LogInAsThisUser", LOG_IN, [user(USER), user("other")]),
            ("secret", by_secret, "ReadThisSecret", GET_SECRET, [this.clone(), secret("other")]),
        ];
        for (stack, login, sid, action, [own, other]) in logins {
            Steps::begin(&format!("a login by {stack}"));
            let parameters = parameters(&cluster.endpoint, login);
            let outputs = built.deploy(&run, &aws.environment(), stack, parameters, &Steps).await?;
            let function = outputs.get("FunctionName")?;
            let role = Role::of_function(&run, &aws, function).await?;
            is_needed(&role, sid, action, &own, &other)?;
            // It gets past its configuration, to a name that nothing resolves here.
            let (kind, message) = events::invoke(&aws, function, &json!({})).await?.failure()?;
            ensure!(kind == "EndpointNotResolved", "{kind}: {message}");
        }
        Ok(())
    }
    .await;
    run.ended(outcome)
}

/// What the database or Secrets Manager asks IAM: only this statement allows it, and only here.
fn is_needed(role: &Role, sid: &str, action: &str, own: &str, other: &str) -> Result<()> {
    let policies = role.policies()?;
    let statement = allowing(&policies)?.into_iter().find(|statement| statement.sid == sid);
    let statement = statement.with_context(|| format!("the role has no statement {sid}"))?;
    ensure!(statement.actions == [action], "{statement:?}");
    for (resource, expected) in [(own, "allowed"), (other, "implicitDeny")] {
        let decision = role.may(action, resource)?;
        ensure!(decision == expected, "{action} on {resource}: {decision}");
    }
    role.remove(&policies, &statement)?;
    let decision = role.may(action, own)?;
    ensure!(decision == "implicitDeny", "without {sid}, {action} on {own}: {decision}");
    role.restore(&policies, &statement)
}

/// A database that is followed as usual, and a login to ask it with.
fn parameters(endpoint: &str, login: [(&'static str, &str); 2]) -> Vec<(&'static str, String)> {
    let usual = Parameters {
        endpoint: endpoint.to_owned(),
        port: 5432,
        dns: "127.0.0.1:53".to_owned(),
        schedule_minutes: 5,
        deregistration_delay: std::time::Duration::from_secs(2),
        secret: None,
    };
    let network =
        [("FunctionSubnetIds", "subnet-00000001"), ("FunctionSecurityGroupIds", "sg-00000001")];
    let own = network.into_iter().chain(login).map(|(name, value)| (name, value.to_owned()));
    usual.values().into_iter().chain(own).collect()
}
