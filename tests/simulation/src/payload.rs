//! What the function is invoked with: what SNS, EventBridge and the scheduler really send.

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use crate::dice::Moment;

const ACCOUNT: &str = "123456789012";
const DOCUMENTATION: &str =
    "http://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/USER_Events.Messages.html";

/// An event as RDS knows it, before it takes one of its two forms.
pub struct Event {
    /// The number of the event, such as `0072`.
    pub number: &'static str,
    /// The text.
    pub message: String,
    /// What it is about.
    pub source: Source,
    /// The identifier of the source.
    pub id: String,
    /// When it happened.
    pub time: Moment,
}

/// What an event may be about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// A cluster.
    Cluster,
    /// An instance.
    Instance,
    /// A blue/green deployment, which has an identifier of its own.
    Deployment,
}

impl Source {
    /// As RDS's own JSON names it.
    fn by_sns(self) -> &'static str {
        match self {
            Source::Cluster => "db-cluster",
            Source::Instance => "db-instance",
            Source::Deployment => "blue-green-deployment",
        }
    }

    /// As EventBridge names it: the detail type, and the type of the source.
    fn by_eventbridge(self) -> (&'static str, &'static str) {
        match self {
            Source::Cluster => ("RDS DB Cluster Event", "CLUSTER"),
            Source::Instance => ("RDS DB Instance Event", "DB_INSTANCE"),
            Source::Deployment => ("RDS Blue Green Deployment Event", "BLUE_GREEN_DEPLOYMENT"),
        }
    }

    /// As ARNs name it.
    fn resource(self) -> &'static str {
        match self {
            Source::Cluster => "cluster",
            Source::Instance => "db",
            Source::Deployment => "deployment",
        }
    }
}

/// The time of day at a moment of the world.
pub fn time_of_day(moment: Moment) -> DateTime<Utc> {
    const EPOCH: i64 = 20_000 * 24 * 3_600_000;
    DateTime::from_timestamp_millis(EPOCH + moment as i64).unwrap_or_default()
}

impl Event {
    fn arn(&self) -> String {
        format!("arn:aws:rds:eu-west-1:{ACCOUNT}:{}:{}", self.source.resource(), self.id)
    }

    fn event_id(&self) -> String {
        format!("RDS-EVENT-{}", self.number)
    }

    /// As a record of SNS with RDS's own JSON. The ARN was absent before 2021.
    pub fn by_sns(&self, has_arn: bool) -> Value {
        let mut message = json!({
            "Event Source": self.source.by_sns(),
            "Event Time": time_of_day(self.time).format("%Y-%m-%d %H:%M:%S%.3f").to_string(),
            "Identifier Link": "https://console.aws.amazon.com/rds/home?region=eu-west-1",
            "Source ID": self.id,
            "Event ID": format!("{DOCUMENTATION}#{}", self.event_id()),
            "Event Message": self.message,
            "Tags": {},
        });
        if has_arn {
            message["Source ARN"] = self.arn().into();
        }
        sns_record(&message.to_string())
    }

    /// As an event of EventBridge.
    pub fn by_eventbridge(&self) -> Value {
        let (detail_type, source_type) = self.source.by_eventbridge();
        json!({
            "version": "0", "id": "82bf3a7b-43d7-95e6-db0a-0b97af305ac2",
            "detail-type": detail_type,
            "source": "aws.rds", "account": ACCOUNT, "region": "eu-west-1",
            "time": time_of_day(self.time).format("%Y-%m-%dT%H:%M:%SZ").to_string(),
            "resources": [self.arn()],
            "detail": {
                "EventCategories": ["failover"], "SourceType": source_type, "SourceArn": self.arn(),
                "Date": time_of_day(self.time).format("%Y-%m-%dT%H:%M:%S%.3fZ").to_string(),
                "Message": self.message, "SourceIdentifier": self.id, "EventID": self.event_id(),
                "Tags": {},
            },
        })
    }
}

/// A record of SNS whose message is no RDS event: what RDS sends when a subscription is made.
pub fn subscription_test() -> Value {
    sns_record(
        "This is a message to notify that RDS will attempt to send you event notifications of type \
         db-cluster to the topic arn:aws:sns:eu-west-1:123456789012:failover-sync.",
    )
}

/// An EventBridge event without an id, as RDS sends some.
pub fn without_id(instance: &str) -> Value {
    let event = Event {
        number: "",
        message: "Performance Insights has been disabled".to_owned(),
        source: Source::Instance,
        id: instance.to_owned(),
        time: 0,
    };
    let mut payload = event.by_eventbridge();
    if let Some(detail) = payload["detail"].as_object_mut() {
        detail.remove("EventID");
    }
    payload
}

/// What the scheduler sends.
pub fn scheduled() -> Value {
    json!({
        "version": "0", "id": "a1b2c3d4-1111-4222-8333-123456789abc",
        "detail-type": "Scheduled Event", "source": "aws.scheduler", "account": ACCOUNT,
        "time": "2026-11-21T10:00:00Z", "region": "eu-west-1",
        "resources": ["arn:aws:scheduler:eu-west-1:123456789012:schedule/default/failover-sync"],
        "detail": "{}",
    })
}

fn sns_record(message: &str) -> Value {
    let topic = "arn:aws:sns:eu-west-1:123456789012:failover-sync";
    json!({"Records": [{
        "EventSource": "aws:sns", "EventVersion": "1.0",
        "EventSubscriptionArn": format!("{topic}:7d2a3c5e-1b1f-4c63-9a55-2f4f2e7a9c11"),
        "Sns": {
            "Type": "Notification", "MessageId": "8c4b1f5a-64a1-5d3e-9f0e-4a7d6a1b2c3d",
            "TopicArn": topic, "Subject": "RDS Notification Message",
            "Message": message, "Timestamp": "2024-05-06T23:08:25.101Z",
            "SignatureVersion": "1", "Signature": "EXAMPLE",
            "SigningCertUrl": "https://sns.eu-west-1.amazonaws.com/EXAMPLE.pem",
            "UnsubscribeUrl": "https://sns.eu-west-1.amazonaws.com/?Action=Unsubscribe",
            "MessageAttributes": {},
        },
    }]})
}
