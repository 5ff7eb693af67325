//! The role of flush-hosts, for each login. Without a database a run ends at the door.

use super::*;

use aws_sdk_secretsmanager::Client as Secrets;
use lab::aurora::Cluster;
use lab::aws::functions;
use lab::cli::Shell;
use lab::cloudformation::Outputs;
use lab::deploy;
use lab::events;
use lab::gateway::Gateway;
use platform::login::GET_SECRET;

const USER: &str = "flush_hosts";
const RESOURCE_ID: &str = "cluster-ABCDEFGHIJKL01234";
const INSTANCE: &str = "billing";

/// A stack whose flush-hosts logs in one way, and the instance that it is for.
struct Flushing<'a> {
    aws: &'a Aws,
    gateway: &'a Gateway,
    function: String,
    /// The URL of its failure queue.
    queue: String,
    log_group: String,
    /// What a run that nothing was denied says at the door.
    at_the_door: &'static str,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_roles_of_flush_hosts_allow_what_it_does_and_nothing_else() -> Result<()> {
    let run = Run::new()?;
    let outcome = async {
        let built = deploy::build(&run, deploy::FLUSH_HOSTS, &Steps).await?;
        let (aws, gateway) = Aws::start_guarded(&run).await?;
        let cluster = Cluster::create(aws.rds(), "orders").await?;
        let endpoint = create_instance(&aws).await?;
        let secrets = Secrets::new(&aws.sdk_config().await);
        let (secret, other) =
            (create_secret(&secrets, USER).await?, create_secret(&secrets, "other").await?);

        Steps::begin("a cluster, and a login by IAM");
        let login = [("FlushHostsUser", USER), ("DatabaseResourceIds", RESOURCE_ID)];
        let parameters = parameters(&cluster.endpoint, "cluster", login);
        let outputs = built.deploy(&run, &aws.environment(), "orders", parameters, &Steps).await?;
        // The emulator's cluster is PostgreSQL, which is told after describing, before a login.
        let stack = Flushing::new(&aws, &gateway, "orders", &outputs, "aurora-postgresql")?;
        let user = |name: &str| arn("rds-db", format!("dbuser:{RESOURCE_ID}/{name}"));
        let (this, that) = (arn("rds", "cluster:orders"), Some(arn("rds", "cluster:other")));
        let own = [
            ("SeeThisCluster", Proof::Simulation(DESCRIBE_CLUSTERS, this, that.clone())),
            ("SeeInstances", Proof::Simulation(DESCRIBE_INSTANCES, arn("rds", "db:*"), that)),
            ("LogInAsThisUser", Proof::Simulation(LOG_IN, user(USER), Some(user("other")))),
        ];
        stack.is_guarded(&run, own).await?;

        Steps::begin("an instance, and a login by secret");
        let login = [("FlushHostsSecretArn", secret.as_str()), ("DatabaseIdentifier", INSTANCE)];
        let parameters = self::parameters(&endpoint, "instance", login);
        let outputs = built.deploy(&run, &aws.environment(), INSTANCE, parameters, &Steps).await?;
        let stack =
            Flushing::new(&aws, &gateway, INSTANCE, &outputs, "the connection could not be made")?;
        let (this, that) = (arn("rds", format!("db:{INSTANCE}")), Some(arn("rds", "db:other")));
        let own = [
            ("SeeInstances", Proof::Simulation(DESCRIBE_INSTANCES, this, that)),
            ("ReadThisSecret", Proof::Run(GET_SECRET)),
        ];
        stack.is_guarded(&run, own).await?;
        stack.is_refused_another_secret(&other).await?;
        one_is_deleted_and_the_other_stays(&run, &aws, outputs.get("FlushHostsFunctionName")?).await
    }
    .await;
    run.ended(outcome)
}

/// The end of the guide of MySQL.
async fn one_is_deleted_and_the_other_stays(run: &Run, aws: &Aws, other: &str) -> Result<()> {
    Steps::begin("sam delete: the function goes with its stack");
    let shell = Shell::new(run, aws, aws.endpoint())?;
    shell.sam_delete("orders").await?;
    let (functions, stacks) = (functions(&aws.lambda()).await?, shell.stacks().await?);
    ensure!(functions == BTreeSet::from([other.to_owned()]), "the functions are {functions:?}");
    let left = [INSTANCE, "aws-sam-cli-managed-default"].map(str::to_owned);
    ensure!(stacks == BTreeSet::from(left), "the stacks are {stacks:?}");
    Ok(())
}

/// What both stacks have in common, and a login.
fn parameters(
    endpoint: &str,
    kind: &str,
    login: [(&'static str, &str); 2],
) -> Vec<(&'static str, String)> {
    let usual = [
        ("DatabaseEndpoint", endpoint),
        ("DatabaseEngine", "mysql"),
        ("DatabaseKind", kind),
        ("FlushHostsSubnetIds", "subnet-00000001"),
        ("FlushHostsSecurityGroupIds", "sg-00000001"),
        ("OperationsTopicArn", "arn:aws:sns:us-east-1:000000000000:operations"),
    ];
    usual.into_iter().chain(login).map(|(name, value)| (name, value.to_owned())).collect()
}

async fn create_instance(aws: &Aws) -> Result<String> {
    let call =
        aws.rds().create_db_instance().db_instance_identifier(INSTANCE).engine("mysql").port(3306);
    let answer = call
        .db_instance_class("db.r6g.large")
        .allocated_storage(20)
        .send()
        .await
        .context("an instance")?;
    let endpoint = answer.db_instance().and_then(|instance| instance.endpoint()?.address());
    Ok(endpoint.context("the instance has no endpoint")?.to_owned())
}

async fn create_secret(secrets: &Secrets, name: &str) -> Result<String> {
    let content = json!({"username": USER, "password": "only-in-the-lab"}).to_string();
    let answer = secrets
        .create_secret()
        .name(name)
        .secret_string(content)
        .send()
        .await
        .context("a secret")?;
    answer.arn().map(str::to_owned).context("the secret has no ARN")
}

impl<'a> Flushing<'a> {
    fn new(
        aws: &'a Aws,
        gateway: &'a Gateway,
        stack: &str,
        outputs: &Outputs,
        at_the_door: &'static str,
    ) -> Result<Self> {
        Ok(Self {
            aws,
            gateway,
            function: outputs.get("FlushHostsFunctionName")?.to_owned(),
            queue: outputs.get("FailureQueueUrl")?.to_owned(),
            log_group: format!("/aws/lambda/{stack}"),
            at_the_door,
        })
    }

    /// With the template's role it comes to the door, and needs each statement for that or Lambda.
    async fn is_guarded<const N: usize>(
        &self,
        run: &Run,
        own: [(&'static str, Proof); N],
    ) -> Result<()> {
        let before = self.gateway.calls().len();
        let message = self.fail().await?;
        ensure!(message.contains(self.at_the_door), "{:?} is not in {message}", self.at_the_door);
        let calls = self.gateway.calls().split_off(before);
        ensure!(
            calls.iter().all(|call| call.key.starts_with("ASIA")),
            "not with the role's credentials: {calls:?}"
        );
        let role = Role::of_function(run, self.aws, &self.function).await?;
        calls_are_what_is_allowed(calls.into_iter().map(|call| call.action).collect(), &role)?;

        let attach = (
            "AttachToSubnets",
            Proof::Simulation("ec2:CreateNetworkInterface", "*".to_owned(), None),
        );
        let proofs = own
            .into_iter()
            .chain(logs_and_failures(&self.log_group, &self.queue))
            .chain([attach])
            .collect();
        each_statement_is_needed(&role, &proofs, async |action| {
            let message = self.fail().await?;
            ensure!(message.contains(&remedy(action)), "{action} is not missed in {message}");
            Ok(())
        })
        .await
    }

    async fn is_refused_another_secret(&self, other: &str) -> Result<()> {
        Steps::begin("another secret is denied, and the error says what is missing");
        let mut changed = variables(self.aws, &self.function).await?;
        changed.insert("SECRET_ARN".to_owned(), other.to_owned());
        set_variables(self.aws, &self.function, changed).await?;
        let message = self.fail().await?;
        let denied = format!("{GET_SECRET} on {other} failed with AccessDenied");
        ensure!(message.contains(&denied) && message.contains(&remedy(GET_SECRET)), "{message}");
        Ok(())
    }

    /// Invokes the function, which cannot succeed, and returns its message.
    async fn fail(&self) -> Result<String> {
        let (_, message) = events::invoke(self.aws, &self.function, &json!({})).await?.failure()?;
        Ok(message)
    }
}
