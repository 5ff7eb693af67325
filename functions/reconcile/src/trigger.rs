//! The trigger: why the function runs. What is not understood reconciles like a manual run.

use std::time::Duration;

use base::payload::{Options, PayloadError};
use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use strum::Display;

use crate::binding::Binding;
use crate::claim::age;
use crate::envelope::{self, Found};
use crate::event::RdsEvent;

/// An event that is older than this says nothing about now.
pub const EVENT_LIFETIME: Duration = Duration::from_secs(600);

/// Why the function runs, and with which options.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trigger {
    /// What started the run.
    pub cause: Cause,
    /// What RDS said, oldest first as delivered; empty if nothing could be read as an RDS event.
    pub events: Vec<RdsEvent>,
    /// The shape of what looks like an event and is not understood.
    pub unread: Option<String>,
    /// Say what would be done and do nothing.
    pub dry_run: bool,
    /// Reconcile this binding alone.
    pub binding: Option<String>,
    /// Watch this long instead, at most [`WATCH_LIMIT`](base::payload::WATCH_LIMIT).
    pub watch: Option<Duration>,
}

/// What started the run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Display, Serialize)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum Cause {
    /// A message from RDS, whatever carried it.
    Failover,
    /// The schedule.
    Schedule,
    /// Anything else: a person, the console's test button, a payload that nobody knows.
    #[default]
    Manual,
}

impl Trigger {
    /// Reads a payload.
    ///
    /// | payload                                                                     | cause      |
    /// |-----------------------------------------------------------------------------|------------|
    /// | RDS's JSON or EventBridge's `detail`, in any envelope or in none            | `failover` |
    /// | `Records`, or EventBridge's form, with anything else in it                  | `failover` |
    /// | EventBridge's form, detail type `Scheduled Event`                           | `schedule` |
    /// | any other object, array, text, number or null                               | `manual`   |
    ///
    /// # Errors
    /// Only those of the options.
    pub fn parse(payload: &Value) -> Result<Trigger, PayloadError> {
        let Options { dry_run, binding, watch } = Options::parse(payload)?;
        let is_scheduled = payload.get("detail-type").is_some_and(|name| name == "Scheduled Event");
        let Found { events, unread } =
            if is_scheduled { Found::default() } else { envelope::find(payload) };
        let is_record = payload.get("Records").is_some_and(Value::is_array);
        let cause = match is_scheduled {
            true => Cause::Schedule,
            false if is_record || !events.is_empty() || unread.is_some() => Cause::Failover,
            false => Cause::Manual,
        };
        Ok(Trigger { cause, events, unread, dry_run, binding, watch })
    }

    /// The binding's events that are young enough to count: one without a time was just delivered.
    pub fn events_for(&self, binding: &Binding, now: DateTime<Utc>) -> Vec<RdsEvent> {
        let is_current =
            |event: &RdsEvent| event.time.is_none_or(|time| age(time, now) <= EVENT_LIFETIME);
        let concerning = self.events.iter().filter(|event| event.concerns(binding));
        concerning.filter(|event| is_current(event)).cloned().collect()
    }

    /// The events of a namesake of a binding's database, each with the first such binding.
    pub fn namesakes<'a>(
        &'a self,
        bindings: &'a [Binding],
    ) -> impl Iterator<Item = (&'a RdsEvent, &'a Binding)> {
        let of = |event: &'a RdsEvent| {
            Some((event, bindings.iter().find(|binding| event.is_from_namesake(binding))?))
        };
        self.events.iter().filter_map(of)
    }
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, Utc};
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
            ("sqs-sns", Cause::Failover, &[Some("RDS-EVENT-0071")]),
            ("sqs-sns-raw", Cause::Failover, &[Some("RDS-EVENT-0071")]),
            ("sqs-sns-eventbridge", Cause::Failover, &[Some("RDS-EVENT-0072")]),
            ("pipe-sqs", Cause::Failover, &[Some("RDS-EVENT-0071")]),
            ("sns-few-fields", Cause::Failover, &[Some("RDS-EVENT-0071")]),
            ("raw-message", Cause::Failover, &[Some("RDS-EVENT-0071")]),
            ("eventbridge-input-path", Cause::Failover, &[Some("RDS-EVENT-0072")]),
            ("eventbridge-few-fields", Cause::Failover, &[Some("RDS-EVENT-0072")]),
            ("eventbridge-failover-without-id", Cause::Failover, &[None]),
            ("failure-destination", Cause::Failover, &[Some("RDS-EVENT-0071")]),
            ("manual-dry-run-sns", Cause::Failover, &[Some("RDS-EVENT-0071")]),
            ("eventbridge-transformed-to-text", Cause::Failover, &[]),
            ("schedule-rule", Cause::Schedule, &[]),
            ("schedule-scheduler", Cause::Schedule, &[]),
            ("manual-dry-run", Cause::Manual, &[]),
            ("console-hello-world", Cause::Manual, &[]),
        ] {
            let trigger = parse(event(file));
            assert_eq!(trigger.cause, cause, "{file}");
            let seen: Vec<Option<&str>> =
                trigger.events.iter().map(|event| event.id.as_deref()).collect();
            assert_eq!(seen, ids, "{file}");
            assert_eq!(
                trigger.unread.is_some(),
                file == "eventbridge-transformed-to-text",
                "{file}: {trigger:?}"
            );
            assert_eq!(trigger.dry_run, file.contains("dry-run"), "{file}");
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
        ] {
            assert_eq!(parse(payload.clone()), Trigger::default(), "{payload}");
        }
    }

    #[test]
    fn records_that_cannot_be_read_still_reconcile() {
        for payload in [
            json!({"Records": []}),
            json!({"Records": [null, 7, {}]}),
            json!({"Records": [{"eventSource": "aws:s3"}]}),
        ] {
            let trigger = parse(payload.clone());
            assert_eq!((trigger.cause, trigger.events.len()), (Cause::Failover, 0), "{payload}");
        }
    }

    #[test]
    fn an_rds_message_is_read_whole() {
        let trigger = parse(event("sns-cluster-failover"));
        let expected = RdsEvent {
            id: Some("RDS-EVENT-0071".into()),
            is_failover: false,
            time: time("2024-05-06T23:08:24.252Z"),
            source_arn: Some("arn:aws:rds:eu-west-1:123456789012:cluster:orders".into()),
            source_id: Some("orders".into()),
            message: "Completed failover to DB instance: orders-b".into(),
        };
        assert_eq!(trigger.events, [expected]);
    }

    #[test]
    fn an_event_is_read_alike_whatever_carries_it() {
        let told = |file: &str| parse(event(file)).events;
        let mut expected = told("sns-cluster-failover");
        for file in [
            "sqs-sns",
            "sqs-sns-raw",
            "pipe-sqs",
            "raw-message",
            "sns-few-fields",
            "failure-destination",
        ] {
            assert_eq!(told(file), expected, "{file}");
        }
        expected[0].is_failover = true;
        assert_eq!(told("sns-eventbridge"), expected, "which tells the category too");
        let expected = told("eventbridge-cluster-failover");
        for file in ["sqs-sns-eventbridge", "eventbridge-input-path"] {
            assert_eq!(told(file), expected, "{file}");
        }
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
        for payload in
            [json!({"dryRun": true}), json!({"dry_run": true}), json!({"DryRun": true, "key1": 1})]
        {
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
            (json!({"Records": [], "dryRun": "true"}), ["dryRun", "without quotes"]),
            (json!({"dryRun": true, "dry_run": false}), ["dryRun", "contradicts \"dry_run\""]),
            (
                json!({"watchSeconds": 0, "detail": {}, "watch-seconds": 9}),
                ["watch-seconds", "contradicts"],
            ),
            (json!({"binding": "writer", "BINDING": "readers"}), ["BINDING", "contradicts"]),
        ] {
            let message = Trigger::parse(&payload).expect_err("wrong type").to_string();
            assert!(words.iter().all(|word| message.contains(word)), "{payload}: {message}");
        }
    }

    #[test]
    fn the_same_twice_is_no_contradiction() {
        assert!(parse(json!({"dryRun": true, "dry_run": true})).dry_run);
    }

    #[test]
    fn a_dry_run_counts_at_the_top_of_an_event_and_nowhere_else() {
        let mut at_the_top = event("eventbridge-cluster-failover");
        at_the_top["dryRun"] = true.into();
        assert!(parse(at_the_top).dry_run);
        let mut deeper = event("eventbridge-cluster-failover");
        deeper["detail"]["dryRun"] = true.into();
        deeper["detail"]["Tags"] = json!({"dryRun": true});
        let mut in_text = event("sns-cluster-failover");
        in_text["Records"][0]["Sns"]["Message"] =
            r#"{"Event Message": "x", "dryRun": true}"#.into();
        in_text["Records"][0]["dryRun"] = true.into();
        for payload in [deeper, in_text] {
            let trigger = parse(payload);
            assert!(!trigger.dry_run && trigger.events.len() == 1, "{trigger:?}");
        }
    }

    #[test]
    fn what_looks_like_an_event_and_is_not_understood_is_told_by_its_shape() {
        for (payload, shape) in [
            (json!({"Records": []}), r#"{"Records": []}"#),
            (
                json!({"Records": [{"eventSource": "aws:s3"}]}),
                r#"{"eventSource": text of 6 bytes}"#,
            ),
            (json!({"Records": [{"body": "RDS-EVENT-0071"}]}), r#"{"body": text of 14 bytes}"#),
            (
                json!({"source": "aws.rds", "detail": 7}),
                r#"{"detail": number, "source": text of 7 bytes}"#,
            ),
            (json!("RDS-EVENT-0071 of orders"), "text of 24 bytes"),
        ] {
            assert_eq!(parse(payload.clone()).unread.as_deref(), Some(shape), "{payload}");
        }
        let mixed = json!({"Records": [event("sqs-sns")["Records"][0], {"body": "x"}]});
        assert!(
            matches!(parse(mixed), Trigger { unread: Some(_), events, .. } if events.len() == 1)
        );
        assert_eq!(
            parse(event("sns-subscription-test")).unread,
            None,
            "RDS sends it to every new topic"
        );
    }

    #[test]
    fn of_megabytes_an_error_and_a_shape_say_the_beginning() {
        let long = "x".repeat(3_000_000);
        for payload in
            [json!({"dryRun": long}), json!({"binding": long}), json!({"watchSeconds": [long]})]
        {
            let message = Trigger::parse(&payload).expect_err("wrong type").to_string();
            assert!(message.len() < 400 && message.contains("bytes in all"), "{message}");
        }
        let key = format!("dry{}run", "_".repeat(3_000_000));
        assert!(Trigger::parse(&json!({&key: 1})).expect_err("wrong type").to_string().len() < 400);
        let message =
            Trigger::parse(&json!({key: true, "dryRun": false})).expect_err("two").to_string();
        assert!(message.len() < 700 && message.contains("contradicts"), "{message}");
        let strange = json!({"Records": [{long.clone(): {"RDS-EVENT-": [long]}}]});
        assert!(parse(strange).unread.is_some_and(|shape| shape.len() < 800));
        let mut named = event("eventbridge-cluster-failover");
        named["detail"]["EventID"] = format!("RDS-EVENT-{long}").into();
        assert_eq!(parse(named).events[0].id, None);
    }

    #[test]
    fn a_function_without_bindings_takes_a_dry_run_and_refuses_the_others() {
        let alone = |payload: Value| {
            Options::parse(&payload).and_then(Options::dry_run_alone).map_err(|e| e.to_string())
        };
        assert_eq!(alone(json!({"dryRun": true, "key1": 1})), Ok(true));
        assert_eq!(alone(json!({"Records": []})), Ok(false));
        for key in ["binding", "watchSeconds"] {
            let value = if key == "binding" { json!("writer") } else { json!(0) };
            let message = alone(json!({key: value, "dryRun": true})).expect_err(key);
            assert!(
                message.contains(key) && message.contains("leave it out; nothing was done"),
                "{message}"
            );
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
