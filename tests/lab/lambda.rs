//! Lambda on loopback: the real binary of a function behind a stand-in for the Runtime API.

mod runtime_api;

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;

use runtime_api::RuntimeApi;

pub use runtime_api::Outcome;

/// How long an invocation may take, as Lambda tells the function, unless the caller says otherwise.
const TIME_LIMIT: Duration = Duration::from_secs(30);

/// The secret access key of every function here. It must never appear in a log.
pub const SECRET_ACCESS_KEY: &str = "the-secret-of-this-test";

/// What begins every value of [`marked`].
const MARK: &str = "never-to-be-logged-";

/// What Lambda sets that no log has to tell ("Defined runtime environment variables", Lambda
/// developer guide), and a stranger's variable.
const UNTOLD: [&str; 13] = [
    "_HANDLER",
    "_X_AMZN_TRACE_ID",
    "AWS_ACCESS_KEY_ID",
    "AWS_LAMBDA_INITIALIZATION_TYPE",
    "AWS_LAMBDA_LOG_GROUP_NAME",
    "AWS_LAMBDA_LOG_STREAM_NAME",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_XRAY_CONTEXT_MISSING",
    "LAMBDA_RUNTIME_DIR",
    "LAMBDA_TASK_ROOT",
    "PATH",
    "THE_PASSWORD_OF_A_STRANGER",
];

/// Variables that no log may tell the value of, with values that can be found in a log.
pub fn marked() -> impl Iterator<Item = (&'static str, String)> {
    UNTOLD.into_iter().map(|name| (name, format!("{MARK}{name}")))
}

/// The variables of [`marked`] whose values are in this text.
pub fn told(text: &str) -> Vec<&str> {
    text.split(MARK)
        .skip(1)
        .map(|rest| {
            rest.split(|c: char| !c.is_ascii_uppercase() && c != '_').next().unwrap_or(rest)
        })
        .collect()
}

/// A process that runs a function. It ends when this is dropped.
pub struct Function {
    process: Child,
    api: RuntimeApi,
    /// Read all the time, as Lambda does: a full pipe would stop the function.
    output: JoinHandle<String>,
    errors: JoinHandle<String>,
}

impl Function {
    /// Starts a binary with what Lambda sets in its environment, and these variables besides.
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
        let mut process =
            command.spawn().unwrap_or_else(|error| panic!("{}: {error}", binary.display()));
        let output = read(process.stdout.take().expect("a piped output"));
        let errors = read(process.stderr.take().expect("a piped standard error"));
        Self { process, api, output, errors }
    }

    /// Sends an event and waits for what the function answers.
    pub async fn invoke(&self, event: &Value) -> Outcome {
        self.invoke_within(event, TIME_LIMIT).await
    }

    /// Sends an event that must be answered within the given time.
    pub async fn invoke_within(&self, event: &Value, limit: Duration) -> Outcome {
        self.api.invoke(event, limit).await
    }

    /// Waits until the process ends by itself, and returns the error that it must have told.
    pub async fn init_error(mut self) -> (Outcome, Vec<String>) {
        let status = self.process.wait().await.expect("the process can be waited for");
        assert!(!status.success(), "a function that cannot start ends with an error");
        let outcome = self.api.init_error().await;
        (outcome, self.output().await)
    }

    /// Ends the process and returns the lines of its standard output.
    pub async fn stop(mut self) -> Vec<String> {
        self.process.start_kill().expect("the process can be ended");
        self.output().await
    }

    /// Ends the process and returns everything that it wrote, to its standard error too.
    pub async fn stop_and_tell(mut self) -> String {
        self.process.start_kill().expect("the process can be ended");
        self.output().await.join("\n") + &(&mut self.errors).await.expect("it reads to the end")
    }

    async fn output(&mut self) -> Vec<String> {
        let text = (&mut self.output).await.expect("it reads to the end");
        text.lines().map(str::to_owned).collect()
    }
}

fn read(mut pipe: impl AsyncRead + Unpin + Send + 'static) -> JoinHandle<String> {
    tokio::spawn(async move {
        let mut text = String::new();
        pipe.read_to_string(&mut text).await.expect("UTF-8");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_is_found_wherever_it_stands() {
        for (name, value) in marked() {
            assert_eq!(told(&format!("{{\"a\":\"{value}\"}}")), [name]);
        }
        assert_eq!(told("nothing"), [""; 0]);
    }
}
