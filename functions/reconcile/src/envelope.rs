//! What RDS said, in whatever carries it: SNS, EventBridge, a queue behind either, raw delivery, a
//! rule that passes a part on, or one inside another. What RDS wrote is looked for, no envelope.

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDateTime, Utc};
use serde_json::{Map, Value};

use crate::event::RdsEvent;

/// Values inside one another: a rule's event in a topic's message in a queue takes eight.
const DEPTH: usize = 12;

/// What RDS sends when somebody subscribes, which is no event.
const SUBSCRIPTION_TEST: &str =
    "This is a message to notify that RDS will attempt to send you event notifications";

#[derive(Debug, Default)]
pub(crate) struct Found {
    pub events: Vec<RdsEvent>,
    /// The shape of what looks like an event and is not understood; of several the first.
    pub unread: Option<String>,
}

pub(crate) fn find(payload: &Value) -> Found {
    let records = payload.get("Records").and_then(Value::as_array).or(payload.as_array());
    let records = records
        .filter(|records| !records.is_empty())
        .map_or(std::slice::from_ref(payload), Vec::as_slice);
    let mut found = Found::default();
    for record in records {
        let events = events_in(record, &Around::default(), DEPTH);
        if events.is_empty() && found.unread.is_none() && is_like_an_event(payload, record) {
            found.unread = Some(shape(record, 4).chars().take(400).collect());
        }
        found.events.extend(events);
    }
    found
}

#[derive(Clone, Default)]
struct Around {
    time: Option<DateTime<Utc>>,
    arn: Option<String>,
}

fn events_in(value: &Value, around: &Around, depth: usize) -> Vec<RdsEvent> {
    let Some(depth) = depth.checked_sub(1) else { return Vec::new() };
    match value {
        Value::String(text) if text.trim_start().starts_with(['{', '[']) => {
            serde_json::from_str(text)
                .map_or_else(|_| Vec::new(), |inner: Value| events_in(&inner, around, depth))
        }
        Value::Array(items) => {
            items.iter().flat_map(|item| events_in(item, around, depth)).collect()
        }
        Value::Object(fields) => match in_message(fields).or_else(|| in_detail(fields, around)) {
            Some(event) => vec![event],
            None => {
                let text = |key: &str| fields.get(key).and_then(Value::as_str);
                let first = fields
                    .get("resources")
                    .and_then(|resources| resources.get(0))
                    .and_then(Value::as_str);
                let around = Around {
                    time: text("time").and_then(parse_time).or(around.time),
                    arn: first.map(str::to_owned).or_else(|| around.arn.clone()),
                };
                fields.values().flat_map(|inner| events_in(inner, &around, depth)).collect()
            }
        },
        _ => Vec::new(),
    }
}

/// RDS's own JSON: its keys carry spaces, of the URL `Event ID` the fragment alone is stable,
/// `Source ARN` may be absent, the time has no zone and is UTC. It says no category.
fn in_message(fields: &Map<String, Value>) -> Option<RdsEvent> {
    let text = |key: &str| fields.get(key).and_then(Value::as_str);
    let (url, message) = (text("Event ID"), text("Event Message"));
    (url.is_some() || message.is_some()).then(|| RdsEvent {
        id: url
            .and_then(|url| url.rsplit(['#', '/']).next())
            .filter(|id| is_id(id))
            .map(str::to_owned),
        is_failover: false,
        time: text("Event Time").and_then(parse_time),
        source_arn: text("Source ARN").map(str::to_owned),
        source_id: text("Source ID").map(bare_identifier),
        message: message.unwrap_or_default().to_owned(),
    })
}

/// EventBridge's `detail`. Each of its fields may be absent, `EventID` in real events too.
fn in_detail(fields: &Map<String, Value>, around: &Around) -> Option<RdsEvent> {
    let text = |key: &str| fields.get(key).and_then(Value::as_str);
    let categories = fields.get("EventCategories").and_then(Value::as_array);
    let (id, arn, name) = (text("EventID"), text("SourceArn"), text("SourceIdentifier"));
    let is_told = text("Message").is_some() || categories.is_some();
    (id.is_some() || is_told && (arn.is_some() || name.is_some())).then(|| RdsEvent {
        id: id.filter(|id| is_id(id)).map(str::to_owned),
        is_failover: categories
            .is_some_and(|all| all.iter().any(|category| category == "failover")),
        time: text("Date").and_then(parse_time).or(around.time),
        source_arn: arn.map(str::to_owned).or_else(|| around.arn.clone()),
        source_id: name.map(bare_identifier),
        message: text("Message").unwrap_or_default().to_owned(),
    })
}

/// An ID is logged, so that it must be short.
fn is_id(text: &str) -> bool {
    text.starts_with("RDS-EVENT-") && text.len() <= 20
}

fn bare_identifier(identifier: &str) -> String {
    identifier.strip_prefix("rds:").unwrap_or(identifier).to_owned()
}

fn parse_time(text: &str) -> Option<DateTime<Utc>> {
    let with_zone = DateTime::parse_from_rfc3339(text).map(|time| time.to_utc());
    with_zone
        .or_else(|_| {
            NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S%.f").map(|time| time.and_utc())
        })
        .ok()
}

/// Whether to tell that it was not understood: it has an envelope of AWS, or speaks of RDS.
fn is_like_an_event(payload: &Value, record: &Value) -> bool {
    let has = |key: &str| record.get(key).is_some();
    let is_enveloped =
        payload.get("Records").is_some_and(Value::is_array) || has("detail") || has("detail-type");
    let text = record.to_string();
    let speaks_of_rds = ["RDS-EVENT-", "aws.rds", ":rds:"].iter().any(|word| text.contains(word));
    (is_enveloped || speaks_of_rds) && !text.contains(SUBSCRIPTION_TEST)
}

/// What a value is made of, without its texts: `{"Records": [{"body": text of 9 bytes}]}`.
fn shape(value: &Value, depth: usize) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(_) => "true or false".to_owned(),
        Value::Number(_) => "number".to_owned(),
        Value::String(text) => format!("text of {} bytes", text.len()),
        Value::Array(items) => match items.first() {
            None => "[]".to_owned(),
            Some(_) if depth == 0 => "[…]".to_owned(),
            Some(first) if items.len() == 1 => format!("[{}]", shape(first, depth - 1)),
            Some(first) => format!("[{}, … {} in all]", shape(first, depth - 1), items.len()),
        },
        Value::Object(_) if depth == 0 => "{…}".to_owned(),
        Value::Object(fields) => {
            let key = |key: &str| key.chars().take(30).collect::<String>();
            let field = |(name, value): (&String, &Value)| {
                format!("{:?}: {}", key(name), shape(value, depth - 1))
            };
            let in_order: BTreeMap<_, _> = fields.iter().collect();
            let shown: Vec<String> = in_order.into_iter().take(12).map(field).collect();
            let more = if fields.len() > shown.len() { ", …" } else { "" };
            format!("{{{}{more}}}", shown.join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_shape_says_what_is_there_and_none_of_the_texts() {
        for (value, expected) in [
            (
                json!({"Records": [{"body": "hunter2"}, 1]}),
                r#"{"Records": [{"body": text of 7 bytes}, … 2 in all]}"#,
            ),
            (json!([null, true]), "[null, … 2 in all]"),
            (
                json!({"a": {"b": {"c": {"d": {"e": 1}}}}, "f": []}),
                r#"{"a": {"b": {"c": {"d": {…}}}}, "f": []}"#,
            ),
        ] {
            assert_eq!(shape(&value, 4), expected);
        }
    }
}
