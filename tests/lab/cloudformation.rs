//! CloudFormation on the local AWS, by way of `sam deploy`.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::aws::REGION;
use crate::process::Program;
use crate::progress::Progress;
use crate::workspace::{Run, root, venv_bin, venv_program};

/// A template that is fit for the local CloudFormation.
pub struct Template {
    path: PathBuf,
    /// What the local CloudFormation refuses, so that it is not deployed.
    pub left_out: Vec<LeftOut>,
}

/// A resource of a template that is not deployed.
#[derive(Clone, Debug, Deserialize)]
pub struct LeftOut {
    /// Its name in the template.
    pub id: String,
    /// Its type.
    #[serde(rename = "type")]
    pub type_name: String,
}

impl Template {
    /// Puts a template without what the local CloudFormation refuses into `directory`.
    pub async fn fit(run: &Run, source: &Path, directory: &Path) -> Result<Self> {
        let path = directory.join("local.yaml");
        let left_out = tool("strip-template", venv_program("python")?)
            .arg(root().join("tests/lab/strip_template.py"))
            .arg(source)
            .arg(&path)
            .output(run)
            .await?;
        let left_out = serde_json::from_str(&left_out).context("what strip_template.py printed")?;
        Ok(Self { path, left_out })
    }

    /// Creates or updates a stack, and returns its outputs. `environment` points at the local AWS.
    pub async fn deploy(
        &self,
        run: &Run,
        environment: &[(String, String)],
        stack: &str,
        parameters: impl IntoIterator<Item = (impl AsRef<str>, impl AsRef<str>)>,
        progress: &dyn Progress,
    ) -> Result<Outputs> {
        // In a directory without samconfig.toml: what is configured there is for a real account.
        let directory = self.path.parent().context("the template is in no directory")?;
        let overrides: Vec<String> = parameters
            .into_iter()
            .map(|(name, value)| format!("{}=\"{}\"", name.as_ref(), value.as_ref()))
            .collect();
        let mut program = tool(&format!("sam-deploy-{stack}"), "env")
            // What is built is deployed by sam alone: nothing else is on the path, and no compiler.
            .arg(format!("PATH={}", venv_bin().display()))
            .arg(venv_program("sam")?)
            .args([
                "deploy",
                "--resolve-s3",
                "--capabilities",
                "CAPABILITY_IAM",
                "--no-confirm-changeset",
            ])
            .args([
                "--no-fail-on-empty-changeset",
                "--no-progressbar",
                "--region",
                REGION,
                "--stack-name",
                stack,
            ])
            // A folder of its own for what it uploads, as `sam deploy --guided` gives each stack.
            .args(["--s3-prefix", stack])
            .arg("--template-file")
            .arg(&self.path);
        if !overrides.is_empty() {
            program = program.arg("--parameter-overrides").args(overrides);
        }
        program.envs(environment.iter().cloned()).directory(directory).run(run, progress).await?;

        Outputs::of(run, environment, stack).await
    }
}

/// The outputs of a stack.
#[derive(Clone, Debug)]
pub struct Outputs(BTreeMap<String, String>);

impl Outputs {
    /// Those of a stack that is deployed.
    pub async fn of(run: &Run, environment: &[(String, String)], stack: &str) -> Result<Self> {
        let printed = tool(&format!("outputs-{stack}"), venv_program("python")?)
            .arg(root().join("tests/lab/outputs.py"))
            .arg(stack)
            .envs(environment.iter().cloned())
            .output(run)
            .await?;
        serde_json::from_str(&printed).map(Self).context("what outputs.py printed")
    }

    /// An output.
    pub fn get(&self, name: &str) -> Result<&str> {
        self.0
            .get(name)
            .map(String::as_str)
            .with_context(|| format!("the stack has no output {name}"))
    }
}

/// A program that finds the Python tools: `sam build` looks for cargo-lambda on the path. It
/// computes, and nobody measures how long it takes: what other tests measure goes first.
pub fn tool(name: &str, program: impl Into<OsString>) -> Program {
    let mut path = venv_bin().into_os_string();
    path.push(":");
    path.push(std::env::var_os("PATH").unwrap_or_default());
    let program = Program::new(name, "nice").args(["-n", "5"]).arg(program);
    let program = program.env("PATH", path).env("SAM_CLI_TELEMETRY", "0");
    // Seconds. By default sam looks every five whether a deployment is through.
    program.env("SAM_CLI_POLL_DELAY", "1")
}
