//! The AWS CLI, as a guide's reader types it, against the local AWS.

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::aws::Aws;
use crate::process::Program;
use crate::workspace::{Run, venv_program};

/// A shell whose `aws` asks one endpoint for everything.
pub struct Shell<'a> {
    run: &'a Run,
    environment: Vec<(String, String)>,
    /// A directory with that `aws`: in us-east-1 the AWS CLI takes the address of RDS from no variable.
    path: PathBuf,
}

impl<'a> Shell<'a> {
    /// One for [`Aws::endpoint`] or [`Aws::rds_endpoint`].
    ///
    /// # Errors
    /// When the AWS CLI is not installed, or its stand-in cannot be written.
    pub fn new(run: &'a Run, aws: &Aws, endpoint: &str) -> Result<Self> {
        let path = run.scratch(&format!("bin-{}", endpoint.rsplit(':').next().unwrap_or_default()))?;
        let script = path.join("aws");
        let program = venv_program("aws")?;
        std::fs::write(&script, format!("#!/bin/sh\nexec {} --endpoint-url {endpoint} \"$@\"\n", program.display()))
            .with_context(|| format!("write {}", script.display()))?;
        std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755))?;
        Ok(Self { run, environment: aws.environment(), path })
    }

    /// What a line prints, without the white space around it.
    ///
    /// # Errors
    /// When it fails; the error quotes what it said.
    pub async fn line(&self, line: &str) -> Result<String> {
        let path = format!("{}:{}", self.path.display(), std::env::var("PATH")?);
        let program = Program::new("shell", "bash").args(["-c", line]).envs(self.environment.iter().cloned());
        let printed = program.env("PATH", path).output(self.run).await.with_context(|| line.to_owned())?;
        Ok(printed.trim().to_owned())
    }
}
