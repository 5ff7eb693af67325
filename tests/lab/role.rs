//! A role of the local AWS: what it allows, and what becomes of it without one of its statements.

use std::collections::BTreeMap;
use std::sync::Mutex;

use anyhow::{Context, Result, anyhow};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::aws::Aws;
use crate::cloudformation::tool;
use crate::process::Conversation;
use crate::workspace::{Run, root, venv_program};

/// A role.
pub struct Role {
    iam: Mutex<Conversation>,
    name: String,
}

/// One statement of one of its inline policies.
#[derive(Clone, Debug)]
pub struct Statement {
    /// Its `Sid`.
    pub sid: String,
    /// The name of its policy.
    policy: String,
    /// Its `Action`s.
    pub actions: Vec<String>,
}

/// Inline policies by name.
pub type Policies = BTreeMap<String, Value>;

impl Role {
    /// The role of a function.
    pub async fn of_function(run: &Run, aws: &Aws, function: &str) -> Result<Self> {
        let configuration =
            aws.lambda().get_function_configuration().function_name(function).send().await;
        let configuration =
            configuration.with_context(|| format!("the configuration of {function}"))?;
        let name = configuration
            .role()
            .and_then(|arn| arn.rsplit('/').next())
            .context("the function has no role")?;
        let iam = tool("role", venv_program("python")?)
            .arg(root().join("tests/lab/role.py"))
            .envs(aws.environment())
            .converse(run)?;
        Ok(Self { iam: Mutex::new(iam), name: name.to_owned() })
    }

    /// Its inline policies.
    pub fn policies(&self) -> Result<Policies> {
        self.ask(&["policies", &self.name])
    }

    /// Takes a statement out of its policies.
    pub fn remove(&self, policies: &Policies, statement: &Statement) -> Result<()> {
        let mut document = policies[&statement.policy].clone();
        let statements =
            document["Statement"].as_array_mut().context("a policy without statements")?;
        statements.retain(|other| other["Sid"] != statement.sid.as_str());
        self.put(&statement.policy, &document)
    }

    /// Puts a statement back.
    pub fn restore(&self, policies: &Policies, statement: &Statement) -> Result<()> {
        self.put(&statement.policy, &policies[&statement.policy])
    }

    /// What IAM decides about a call with this role that no emulator decides about.
    pub fn may(&self, action: &str, resource: &str) -> Result<String> {
        self.ask(&["may", &self.name, action, resource])
    }

    fn put(&self, policy: &str, document: &Value) -> Result<()> {
        self.ask(&["put", &self.name, policy, &document.to_string()])
    }

    fn ask<T: DeserializeOwned>(&self, words: &[&str]) -> Result<T> {
        let mut iam = self.iam.lock().map_err(|error| anyhow!("{error}"))?;
        let answer = iam.ask(&serde_json::to_string(words)?)?;
        serde_json::from_str(&answer).context("what role.py answered")
    }
}

/// The statements of these policies that allow something.
pub fn allowing(policies: &Policies) -> Result<Vec<Statement>> {
    let mut found = Vec::new();
    for (policy, document) in policies {
        for statement in document["Statement"].as_array().into_iter().flatten() {
            if statement["Effect"] == "Allow" {
                let sid = statement["Sid"]
                    .as_str()
                    .with_context(|| format!("a statement without Sid in {policy}"))?;
                let actions = actions(&statement["Action"]);
                found.push(Statement { sid: sid.to_owned(), policy: policy.clone(), actions });
            }
        }
    }
    Ok(found)
}

fn actions(value: &Value) -> Vec<String> {
    let one = value.as_str().into_iter();
    one.chain(value.as_array().into_iter().flatten().filter_map(Value::as_str))
        .map(str::to_owned)
        .collect()
}
