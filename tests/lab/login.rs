//! What the function needs to ask the databases: whom to trust, an account, and its secret.

use std::path::Path;

use anyhow::{Context, Result};
use aws_sdk_lambda::types::Environment;
use serde_json::json;

use crate::aurora::Cluster;
use crate::aws::Aws;
use crate::postgres::{Account, Pair};
use crate::tls::Files;
use crate::workspace::Run;

/// The account's name in `infra/probe-user.sql`.
const USER: &str = "failover_sync";
const PASSWORD: &str = "only-in-the-lab";

/// The function's login to the databases of a cluster.
pub struct Login {
    files: Files,
    account: Account,
    /// The ARN of the secret.
    pub secret: String,
}

impl Login {
    /// Issues the databases' certificate, for all names, and keeps the account in a secret.
    pub async fn create(run: &Run, aws: &Aws, cluster: &Cluster) -> Result<Self> {
        let [first, second] = &cluster.members;
        let names = [&first.endpoint, &second.endpoint, &cluster.endpoint].map(String::as_str);
        let files = Files::issue(&names, &run.scratch("certificates")?)?;
        let account = Account { user: USER.to_owned(), password: PASSWORD.to_owned() };
        let call = aws
            .secrets()
            .create_secret()
            .name("failover-sync")
            .secret_string(text(&account.password));
        let answer = call.send().await.context("create the secret with the function's account")?;
        let secret = answer.arn().context("the secret has no ARN")?.to_owned();
        Ok(Self { files, account, secret })
    }

    /// Starts databases that prove who they are, and let the account in.
    pub async fn start_databases(&self, run: &Run) -> Result<Pair> {
        Pair::start_with_account(run, &self.files, &self.account).await
    }

    /// Where the certificate is that the function must trust.
    pub fn authority(&self) -> &Path {
        &self.files.authority
    }

    /// Makes a function trust the databases' authority.
    pub async fn trust(&self, aws: &Aws, function: &str) -> Result<()> {
        // `CaBundleLayerArn` would put the file into /opt. The emulator keeps layers, but its
        // functions run on this machine, where /opt stays as it is.
        let lambda = aws.lambda();
        let known = lambda.get_function_configuration().function_name(function).send().await;
        let known = known.with_context(|| format!("read the configuration of {function}"))?;
        let variables = known.environment().and_then(|environment| environment.variables());
        let mut variables = variables.cloned().unwrap_or_default();
        variables.insert("CA_BUNDLE".to_owned(), self.authority().display().to_string());
        let environment = Environment::builder().set_variables(Some(variables)).build();
        let call =
            lambda.update_function_configuration().function_name(function).environment(environment);
        call.send().await.with_context(|| format!("give {function} its CA_BUNDLE"))?;
        Ok(())
    }

    /// Puts another password into the secret than the databases know.
    pub async fn spoil(&self, aws: &Aws) -> Result<()> {
        let call = aws
            .secrets()
            .put_secret_value()
            .secret_id(&self.secret)
            .secret_string(text("another-password"));
        call.send().await.context("put another password into the secret")?;
        Ok(())
    }
}

fn text(password: &str) -> String {
    json!({"username": USER, "password": password}).to_string()
}
