//! The trigger: why the function runs. Any JSON becomes one; what is not understood reconciles like a manual run.

use std::fmt;
use std::time::Duration;

use aws_lambda_events::event::eventbridge::EventBridgeEvent;
use aws_lambda_events::event::sns::SnsRecord;
use chrono::{DateTime, NaiveDateTime, Utc};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::event::RdsEvent;
use crate::watch::WATCH_LIMIT;

/// Why the function runs, and with which options.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trigger {
    /// What started the run.
    pub cause: Cause,
    /// What RDS said, oldest first as delivered; empty when the message could not be read as an RDS event.
    pub events: Vec<RdsEvent>,
    /// Say what would be done and do nothing.
    pub dry_run: bool,
    /// Reconcile this binding alone.
    pub binding: Option<String>,
    /// Watch this long instead of what the trigger calls for. Seconds, 0 to [`WATCH_LIMIT`].
    pub watch: Option<Duration>,
}

/// What started the run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Cause {
    /// A message from RDS, through SNS or EventBridge.
    Failover,
    /// The schedule.
    Schedule,
    /// Anything else: a person, the console's test button, a payload that nobody knows.
    #[default]
    Manual,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Cause::Failover => "failover",
            Cause::Schedule => "schedule",
            Cause::Manual => "manual",
        })
    }
}

impl Trigger {
    /// Reads a payload.
    ///
    /// | payload                                                    | cause      |
    /// |------------------------------------------------------------|------------|
    /// | `Records` of SNS: RDS's JSON, EventBridge's, or plain text | `failover` |
    /// | EventBridge, source `aws.rds` or any other unknown one     | `failover` |
    /// | EventBridge, detail type `Scheduled Event`                 | `schedule` |
    /// | any other object, array, text, number or null              | `manual`   |
    ///
    /// A manual payload may hold `dryRun` (true or false), `binding` (a name) and `watchSeconds`; the spelling's case, `-` and `_` do
    /// not matter, because a dry run that was misspelled would be a real one. Other keys, such as the console's `key1`,
    /// are ignored.
    ///
    /// # Errors
    /// Only a known manual key with a value of the wrong type.
    pub fn parse(payload: &Value) -> Result<Trigger, PayloadError> {
        if let Some(records) = payload.get("Records").and_then(Value::as_array) {
            let events = records.iter().filter_map(event_in_record).collect();
            return Ok(Trigger { cause: Cause::Failover, events, ..Trigger::default() });
        }
        if let Some(event) = event_bridge(payload) {
            let is_scheduled = event.detail_type == "Scheduled Event";
            let cause = if is_scheduled { Cause::Schedule } else { Cause::Failover };
            return Ok(Trigger { cause, events: event_in_detail(&event).into_iter().collect(), ..Trigger::default() });
        }
        match payload {
            Value::Object(keys) => manual(keys),
            _ => Ok(Trigger::default()),
        }
    }
}

/// A manual payload that holds a known key with a value of the wrong type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PayloadError {
    key: String,
    value: String,
    expected: &'static str,
}

impl fmt::Display for PayloadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let PayloadError { key, value, expected } = self;
        write!(f, "the payload's {key:?} is {value}: give {expected}; nothing was done")
    }
}

impl std::error::Error for PayloadError {}

fn manual(keys: &Map<String, Value>) -> Result<Trigger, PayloadError> {
    let mut trigger = Trigger::default();
    for (key, value) in keys {
        let error = |expected| PayloadError { key: key.clone(), value: value.to_string(), expected };
        match key.to_ascii_lowercase().replace(['-', '_'], "").as_str() {
            "dryrun" => trigger.dry_run = value.as_bool().ok_or_else(|| error("true or false, without quotes"))?,
            "watchseconds" => {
                let seconds = value.as_u64().map(Duration::from_secs).filter(|watch| *watch <= WATCH_LIMIT);
                trigger.watch = Some(seconds.ok_or_else(|| error("whole seconds from 0 to 180"))?);
            }
            "binding" => {
                let name = value.as_str().filter(|name| !name.is_empty());
                trigger.binding = Some(name.ok_or_else(|| error("the name of a binding"))?.to_owned());
            }
            _ => {}
        }
    }
    Ok(trigger)
}

fn event_in_record(record: &Value) -> Option<RdsEvent> {
    let record = SnsRecord::deserialize(record).ok()?;
    let message: Value = serde_json::from_str(&record.sns.message).ok()?;
    match event_bridge(&message) {
        Some(event) => event_in_detail(&event),
        None => event_in_message(&message),
    }
}

fn event_bridge(payload: &Value) -> Option<EventBridgeEvent> {
    EventBridgeEvent::deserialize(payload).ok()
}

/// RDS's own JSON in an SNS message (the keys carry spaces, `Event ID` is a URL whose fragment alone is
/// stable, `Source ARN` may be absent, the time has no zone and is UTC).
fn event_in_message(message: &Value) -> Option<RdsEvent> {
    let text = |key: &str| message.get(key).and_then(Value::as_str);
    let id = text("Event ID").and_then(|url| url.rsplit(['#', '/']).next());
    let time = text("Event Time").and_then(parse_time);
    Some(RdsEvent {
        id: id.filter(|id| id.starts_with("RDS-EVENT-")).map(str::to_owned),
        time,
        source_arn: text("Source ARN").map(str::to_owned),
        source_id: text("Source ID").map(bare_identifier),
        message: text("Event Message")?.to_owned(),
    })
}

/// EventBridge's form (`EventID`, `SourceArn` and `Date` may each be absent).
fn event_in_detail(event: &EventBridgeEvent) -> Option<RdsEvent> {
    let text = |key: &str| event.detail.get(key).and_then(Value::as_str);
    let first_resource = || event.resources.as_ref().and_then(|resources| resources.first().cloned());
    Some(RdsEvent {
        id: text("EventID").map(str::to_owned),
        time: text("Date").and_then(parse_time).or(event.time),
        source_arn: text("SourceArn").map(str::to_owned).or_else(first_resource),
        source_id: text("SourceIdentifier").map(bare_identifier),
        message: text("Message")?.to_owned(),
    })
}

fn bare_identifier(identifier: &str) -> String {
    identifier.strip_prefix("rds:").unwrap_or(identifier).to_owned()
}

fn parse_time(text: &str) -> Option<DateTime<Utc>> {
    let with_zone = DateTime::parse_from_rfc3339(text).map(|time| time.to_utc());
    with_zone.or_else(|_| NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S%.f").map(|time| time.and_utc())).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    /// The payload of a file in `tests/events`.
    fn event(file: &str) -> Value {
        let path = format!("{}/../../tests/events/{file}.json", env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(&path).expect(&path);
        serde_json::from_str(&text).expect(&path)
    }

    fn parse(payload: Value) -> Trigger {
        Trigger::parse(&payload).expect("no known key of a wrong type")
    }

    fn time(text: &str) -> Option<DateTime<Utc>> {
        Some(text.parse().expect(text))
    }

    #[test]
    fn every_payload_has_its_cause() {
        for (file, cause, ids) in [
            ("sns-cluster-failover", Cause::Failover, &[Some("RDS-EVENT-0071")][..]),
            ("sns-instance-failover", Cause::Failover, &[Some("RDS-EVENT-0049")]),
            ("sns-old-form", Cause::Failover, &[Some("RDS-EVENT-0013")]),
            ("sns-two-records", Cause::Failover, &[Some("RDS-EVENT-0073"), Some("RDS-EVENT-0071")]),
            ("sns-subscription-test", Cause::Failover, &[]),
            ("sns-eventbridge", Cause::Failover, &[Some("RDS-EVENT-0071")]),
            ("eventbridge-cluster-failover", Cause::Failover, &[Some("RDS-EVENT-0072")]),
            ("eventbridge-without-id", Cause::Failover, &[None]),
            ("eventbridge-blue-green", Cause::Failover, &[Some("RDS-EVENT-0248")]),
            ("schedule-rule", Cause::Schedule, &[]),
            ("schedule-scheduler", Cause::Schedule, &[]),
            ("manual-dry-run", Cause::Manual, &[]),
            ("console-hello-world", Cause::Manual, &[]),
        ] {
            let trigger = parse(event(file));
            assert_eq!(trigger.cause, cause, "{file}");
            let seen: Vec<Option<&str>> = trigger.events.iter().map(|event| event.id.as_deref()).collect();
            assert_eq!(seen, ids, "{file}");
        }
    }

    #[test]
    fn what_nobody_knows_is_a_manual_run() {
        for payload in [
            json!(null),
            json!({}),
            json!([]),
            json!([{"dryRun": "ignored"}]),
            json!("hello"),
            json!(7),
            json!(true),
            json!({"key1": "value1", "key2": "value2", "key3": "value3"}),
            json!({"Records": "none"}),
            json!({"detail-type": "Scheduled Event"}),
        ] {
            assert_eq!(parse(payload.clone()), Trigger::default(), "{payload}");
        }
    }

    #[test]
    fn records_that_cannot_be_read_still_reconcile() {
        for payload in
            [json!({"Records": []}), json!({"Records": [null, 7, {}]}), json!({"Records": [{"eventSource": "aws:s3"}]})]
        {
            let trigger = parse(payload.clone());
            assert_eq!((trigger.cause, trigger.events.len()), (Cause::Failover, 0), "{payload}");
        }
    }

    #[test]
    fn an_rds_message_is_read_whole() {
        let trigger = parse(event("sns-cluster-failover"));
        let expected = RdsEvent {
            id: Some("RDS-EVENT-0071".into()),
            time: time("2024-05-06T23:08:24.252Z"),
            source_arn: Some("arn:aws:rds:us-east-1:123456789012:cluster:orders".into()),
            source_id: Some("orders".into()),
            message: "Completed failover to DB instance: orders-b".into(),
        };
        assert_eq!(trigger.events, [expected]);
    }

    #[test]
    fn an_eventbridge_event_is_read_like_the_sns_message_of_the_same_event() {
        assert_eq!(parse(event("sns-eventbridge")).events, parse(event("sns-cluster-failover")).events);
    }

    #[test]
    fn an_identifier_loses_its_prefix_and_a_missing_arn_is_no_error() {
        let trigger = parse(event("eventbridge-without-id"));
        assert_eq!(trigger.events[0].source_id.as_deref(), Some("orders-a"));
        let trigger = parse(event("sns-old-form"));
        assert_eq!(trigger.events[0].source_arn, None);
    }

    #[test]
    fn manual_keys_are_read_whatever_their_spelling() {
        for payload in [json!({"dryRun": true}), json!({"dry_run": true}), json!({"DryRun": true, "key1": 1})] {
            assert!(parse(payload.clone()).dry_run, "{payload}");
        }
        assert_eq!(parse(json!({"binding": "writer"})).binding.as_deref(), Some("writer"));
        assert_eq!(parse(json!({"watchSeconds": 0})).watch, Some(Duration::ZERO));
    }

    #[test]
    fn a_known_key_of_a_wrong_type_is_an_error_that_names_it() {
        for (payload, words) in [
            (json!({"dryRun": "true"}), ["dryRun", "without quotes"]),
            (json!({"dryRun": 1}), ["dryRun", "true or false"]),
            (json!({"dry-run": null}), ["dry-run", "true or false"]),
            (json!({"watchSeconds": 1.5}), ["watchSeconds", "0 to 180"]),
            (json!({"watchSeconds": 181}), ["watchSeconds", "0 to 180"]),
            (json!({"watchSeconds": -1}), ["watchSeconds", "0 to 180"]),
            (json!({"binding": 7}), ["binding", "the name"]),
            (json!({"binding": ""}), ["binding", "the name"]),
        ] {
            let message = Trigger::parse(&payload).expect_err("wrong type").to_string();
            assert!(words.iter().all(|word| message.contains(word)), "{payload}: {message}");
        }
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let keys = "Records|Sns|Message|detail|detail-type|source|time|resources|key1|[a-z]{0,3}";
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            ".{0,12}".prop_map(Value::from),
        ];
        leaf.prop_recursive(5, 48, 6, move |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                proptest::collection::btree_map(keys, inner, 0..5)
                    .prop_map(|object| Value::Object(object.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn no_payload_without_a_manual_key_is_an_error(payload in any_json()) {
            prop_assert!(Trigger::parse(&payload).is_ok());
        }

        #[test]
        fn no_sns_message_is_an_error(message in ".*") {
            let mut payload = event("sns-cluster-failover");
            payload["Records"][0]["Sns"]["Message"] = message.into();
            prop_assert_eq!(parse(payload).cause, Cause::Failover);
        }
    }
}
