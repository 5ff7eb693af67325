//! Lambda on loopback: the real binary of a function behind a stand-in for the Runtime API.

mod runtime_api;

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tokio::io::AsyncReadExt;
use tokio::process::{Child, Command};

use runtime_api::RuntimeApi;

pub use runtime_api::Outcome;

/// How long an invocation may take, as Lambda tells the function, unless the caller says otherwise.
const TIME_LIMIT: Duration = Duration::from_secs(30);

/// The secret access key of every function here. It must never appear in a log.
pub const SECRET_ACCESS_KEY: &str = "the-secret-of-this-test";

/// A process that runs a function. It ends when this is dropped.
pub struct Function {
    process: Child,
    api: RuntimeApi,
}

impl Function {
    /// Starts a binary with what Lambda sets in its environment, and these variables besides.
    ///
    /// # Panics
    /// When the binary cannot be started, or no port is free.
    pub async fn start(
        binary: &Path,
        name: &str,
        variables: impl IntoIterator<Item = (impl AsRef<str>, impl AsRef<str>)>,
    ) -> Self {
        let api = RuntimeApi::start(name).await;
        let mut command = Command::new(binary);
        command
            .env_clear()
            .env("AWS_LAMBDA_RUNTIME_API", api.address())
            .env("AWS_LAMBDA_FUNCTION_NAME", name)
            .env("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST")
            .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256")
            .env("AWS_LAMBDA_LOG_FORMAT", "JSON")
            .env("AWS_REGION", "eu-west-1")
            .env("AWS_ACCESS_KEY_ID", "test")
            .env("AWS_SECRET_ACCESS_KEY", SECRET_ACCESS_KEY)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        for (name, value) in variables {
            command.env(name.as_ref(), value.as_ref());
        }
        let process = command.spawn().unwrap_or_else(|error| panic!("{}: {error}", binary.display()));
        Self { process, api }
    }

    /// Sends an event and waits for what the function answers.
    pub async fn invoke(&self, event: &Value) -> Outcome {
        self.invoke_within(event, TIME_LIMIT).await
    }

    /// Sends an event that must be answered within the given time.
    pub async fn invoke_within(&self, event: &Value, limit: Duration) -> Outcome {
        self.api.invoke(event, limit).await
    }

    /// Waits until the process ends by itself, and returns the error that it told the Runtime API.
    ///
    /// # Panics
    /// When it ends without an error.
    pub async fn init_error(mut self) -> (Outcome, Vec<String>) {
        let status = self.process.wait().await.expect("the process can be waited for");
        assert!(!status.success(), "a function that cannot start ends with an error");
        let outcome = self.api.init_error().await;
        (outcome, self.output().await)
    }

    /// Ends the process and returns the lines of its standard output.
    ///
    /// # Panics
    /// When it has ended already.
    pub async fn stop(mut self) -> Vec<String> {
        self.process.start_kill().expect("the process can be ended");
        self.output().await
    }

    async fn output(&mut self) -> Vec<String> {
        let mut text = String::new();
        let output = self.process.stdout.as_mut().expect("a piped output");
        output.read_to_string(&mut text).await.expect("UTF-8");
        text.lines().map(str::to_owned).collect()
    }
}
