//! Event subscriptions of RDS on loopback: moto has them, but cannot switch one off, and sends no
//! event.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result};
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use lab::aws::Aws;
use lab::events::{ClusterEvent, publish_failover};
use tokio::net::TcpListener;
use tokio::task::AbortHandle;

const NAMESPACE: &str = "http://rds.amazonaws.com/doc/2014-10-31/";
const REQUEST_ID: &str = "c534f810-0000-4000-8000-0123456789ab";

/// The subscriptions of an account to the events of one cluster. They end when dropped.
pub(crate) struct Subscriptions {
    url: String,
    held: Held,
    task: AbortHandle,
}

type Held = Arc<Mutex<BTreeMap<String, Subscription>>>;

struct Subscription {
    topic: String,
    is_enabled: bool,
}

impl Subscriptions {
    /// Starts without any.
    pub(crate) async fn start() -> Result<Self> {
        let held = Held::default();
        let router = Router::new().route("/", post(answer)).with_state(Arc::clone(&held));
        let listener =
            TcpListener::bind("127.0.0.1:0").await.context("bind a port for the subscriptions")?;
        let url = format!("http://{}", listener.local_addr()?);
        let task = tokio::spawn(async move { axum::serve(listener, router).await }).abort_handle();
        Ok(Self { url, held, task })
    }

    /// Where `aws rds` finds them.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Subscribes a topic.
    pub(crate) fn add(&self, name: &str, topic: &str) {
        let subscription = Subscription { topic: topic.to_owned(), is_enabled: true };
        lock(&self.held).insert(name.to_owned(), subscription);
    }

    /// Publishes what RDS would to the topic of each subscription that is enabled; returns their
    /// names.
    pub(crate) async fn publish(
        &self,
        aws: &Aws,
        event: ClusterEvent,
        cluster: &str,
        member: &str,
    ) -> Result<BTreeSet<String>> {
        let mut enabled = BTreeMap::new();
        for (name, one) in lock(&self.held).iter().filter(|(_, one)| one.is_enabled) {
            enabled.insert(name.clone(), one.topic.clone());
        }
        for topic in enabled.values() {
            publish_failover(aws, topic, event, cluster, member).await?;
        }
        Ok(enabled.into_keys().collect())
    }
}

impl Drop for Subscriptions {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn answer(State(held): State<Held>, body: String) -> (StatusCode, String) {
    let form: BTreeMap<String, String> =
        form_urlencoded::parse(body.as_bytes()).into_owned().collect();
    let value = |name: &str| form.get(name).map_or("", String::as_str);
    let (action, name) = (value("Action"), value("SubscriptionName"));
    let mut held = lock(&held);
    let answered = match action {
        "DescribeEventSubscriptions" => {
            let all = held.iter().map(|(name, one)| one.described(name)).collect::<String>();
            Some(format!("<EventSubscriptionsList>{all}</EventSubscriptionsList>"))
        }
        "ModifyEventSubscription" => held.get_mut(name).map(|one| {
            one.is_enabled = value("Enabled") == "true";
            one.described(name)
        }),
        "DeleteEventSubscription" => held.remove(name).map(|one| one.described(name)),
        _ => None,
    };
    let metadata = format!("<RequestId>{REQUEST_ID}</RequestId>");
    match answered {
        Some(answered) => (
            StatusCode::OK,
            format!(
                "<{action}Response xmlns=\"{NAMESPACE}\"><{action}Result>{answered}\
                 </{action}Result><ResponseMetadata>{metadata}</ResponseMetadata>\
                 </{action}Response>"
            ),
        ),
        None => (
            StatusCode::NOT_FOUND,
            format!(
                "<ErrorResponse xmlns=\"{NAMESPACE}\"><Error><Type>Sender</Type>\
                 <Code>SubscriptionNotFound</Code><Message>{action} {name}</Message></Error>\
                 {metadata}</ErrorResponse>"
            ),
        ),
    }
}

impl Subscription {
    fn described(&self, name: &str) -> String {
        let Self { topic, is_enabled } = self;
        format!(
            "<EventSubscription><CustSubscriptionId>{name}</CustSubscriptionId>\
             <SnsTopicArn>{topic}</SnsTopicArn><Status>active</Status>\
             <SourceType>db-cluster</SourceType><Enabled>{is_enabled}</Enabled>\
             </EventSubscription>"
        )
    }
}

fn lock(held: &Held) -> MutexGuard<'_, BTreeMap<String, Subscription>> {
    held.lock().unwrap_or_else(PoisonError::into_inner)
}
