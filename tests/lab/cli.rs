//! The AWS CLI and sam, as a guide's reader types them, against the local AWS.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};

use crate::aws::Aws;
use crate::cloudformation::tool;
use crate::workspace::{Run, venv_bin, venv_program};

/// A shell whose `aws` asks one endpoint for everything.
pub struct Shell<'a> {
    run: &'a Run,
    environment: Vec<(String, String)>,
    /// A directory with that `aws`: in us-east-1 no variable gives the AWS CLI another RDS.
    path: PathBuf,
}

impl<'a> Shell<'a> {
    /// One for [`Aws::endpoint`] or [`Aws::rds_endpoint`].
    pub fn new(run: &'a Run, aws: &Aws, endpoint: &str) -> Result<Self> {
        let path =
            run.scratch(&format!("bin-{}", endpoint.rsplit(':').next().unwrap_or_default()))?;
        let script = path.join("aws");
        let program = venv_program("aws")?;
        std::fs::write(
            &script,
            format!("#!/bin/sh\nexec {} --endpoint-url {endpoint} \"$@\"\n", program.display()),
        )
        .with_context(|| format!("write {}", script.display()))?;
        std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755))?;
        Ok(Self { run, environment: aws.environment(), path })
    }

    /// What a line prints, without the white space around it.
    pub async fn line(&self, line: &str) -> Result<String> {
        let path =
            format!("{}:{}:{}", self.path.display(), venv_bin().display(), std::env::var("PATH")?);
        let program =
            tool("shell", "bash").args(["-c", line]).envs(self.environment.iter().cloned());
        // In a directory without samconfig.toml: what is configured there is for a real account.
        let program = program.env("PATH", path).directory(&self.path);
        let printed = program.output(self.run).await.with_context(|| line.to_owned())?;
        Ok(printed.trim().to_owned())
    }

    /// Deletes a stack as the guides tell it, with yes to sam's two questions: whether to delete
    /// it, and what it uploaded. Fails unless both are deleted, or if sam asks for more.
    pub async fn sam_delete(&self, stack: &str) -> Result<()> {
        let printed =
            self.line(&format!("printf 'y\\ny\\n' | sam delete --stack-name {stack} 2>&1")).await?;
        // That there is no such stack is no failure to sam.
        ensure!(printed.contains("\nDeleted successfully"), "{printed}");
        let uploaded = format!("- Deleting S3 object with key {stack}/");
        let mut deleted = printed.lines().filter(|line| line.contains(&uploaded));
        ensure!(
            deleted.any(|line| !line.ends_with(".template")),
            "not what was uploaded: {printed}"
        );
        Ok(())
    }

    /// The names of the stacks that there are, nested ones too.
    pub async fn stacks(&self) -> Result<BTreeSet<String>> {
        let names = self
            .line("aws cloudformation describe-stacks --query Stacks[].StackName --output text")
            .await?;
        Ok(names.split_whitespace().map(str::to_owned).collect())
    }
}
