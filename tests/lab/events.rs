//! What makes the function run: the messages that RDS publishes to SNS, and invocations by hand.
//!
//! The messages are shaped like real ones: the identifier is a URL's fragment, the time has no
//! zone, and some lack tags.

use anyhow::{Context, Result, ensure};
use aws_sdk_lambda::primitives::Blob;
use aws_sdk_lambda::types::LogType;
use chrono::Utc;
use serde_json::{Value, json};

use crate::aws::{ACCOUNT, Aws, REGION};

/// What RDS tells about a failover of a cluster, or about what may be one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClusterEvent {
    /// RDS-EVENT-0073, sent when the failover to a member in another zone begins.
    Started,
    /// RDS-EVENT-0071, sent when it is complete.
    Completed,
    /// RDS-EVENT-0385, which says that something moved and not what: it names no instance.
    TopologyUpdated,
}

/// What an invocation by hand came to.
#[derive(Clone, Debug)]
pub struct Invocation {
    /// What the function returned; for a failure, the error's description.
    pub payload: Value,
    /// How it failed, if it did.
    pub error: Option<String>,
}

/// Publishes to `topic` what RDS would about a failover of `cluster` to `member`, as of now.
pub async fn publish_failover(
    aws: &Aws,
    topic: &str,
    event: ClusterEvent,
    cluster: &str,
    member: &str,
) -> Result<()> {
    let message = message(event, cluster, member).to_string();
    let call =
        aws.sns().publish().topic_arn(topic).subject("RDS Notification Message").message(message);
    call.send().await.with_context(|| format!("publish {} to {topic}", event.id()))?;
    Ok(())
}

/// Invokes the function and waits for its answer. That it fails is no error here.
pub async fn invoke(aws: &Aws, function: &str, payload: &Value) -> Result<Invocation> {
    let call = aws.lambda().invoke().function_name(function).log_type(LogType::Tail);
    let answer = call.payload(Blob::new(payload.to_string())).send().await;
    let answer = answer.with_context(|| format!("invoke {function}"))?;
    let payload = answer.payload().map(Blob::as_ref).unwrap_or_default();
    let payload = serde_json::from_slice(payload).with_context(|| {
        format!(
            "{function} returned something else than JSON: {}",
            String::from_utf8_lossy(payload)
        )
    })?;
    Ok(Invocation { payload, error: answer.function_error().map(str::to_owned) })
}

impl Invocation {
    /// The `errorType` and the `errorMessage` of a failure.
    pub fn failure(&self) -> Result<(String, String)> {
        let payload = &self.payload;
        ensure!(self.error.is_some(), "the function did not fail: {payload}");
        let text = |key: &str| {
            payload[key].as_str().map(str::to_owned).with_context(|| format!("no {key}: {payload}"))
        };
        Ok((text("errorType")?, text("errorMessage")?))
    }
}

impl ClusterEvent {
    /// As RDS numbers it.
    pub fn id(self) -> &'static str {
        match self {
            Self::Started => "RDS-EVENT-0073",
            Self::Completed => "RDS-EVENT-0071",
            Self::TopologyUpdated => "RDS-EVENT-0385",
        }
    }

    fn text(self, member: &str) -> String {
        match self {
            Self::Started => format!("Started cross AZ failover to DB instance: {member}"),
            Self::Completed => format!("Completed failover to DB instance: {member}"),
            Self::TopologyUpdated => "Cluster topology is updated.".to_owned(),
        }
    }
}

fn message(event: ClusterEvent, cluster: &str, member: &str) -> Value {
    let documentation =
        "http://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/USER_Events.Messages.html";
    let console = format!("https://console.aws.amazon.com/rds/home?region={REGION}");
    json!({
        "Event Source": "db-cluster",
        "Event Time": Utc::now().format("%Y-%m-%d %H:%M:%S%.3f").to_string(),
        "Identifier Link": format!("{console}#dbclusters:id={cluster}"),
        "Source ID": cluster,
        "Source ARN": format!("arn:aws:rds:{REGION}:{ACCOUNT}:cluster:{cluster}"),
        "Event ID": format!("{documentation}#{}", event.id()),
        "Event Message": event.text(member),
        "Tags": {},
    })
}
