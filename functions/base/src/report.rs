//! The parts that the reports of both functions have: why something failed, and a line of metrics.

use std::time::Duration;

use serde::{Serialize, Serializer};
use serde_json::{Value, json};

/// Why a binding or an instance failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Failure {
    /// A stable name, such as `EndpointNotResolved`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// The whole chain of causes.
    pub message: String,
}

/// The CloudWatch namespace of the metrics.
pub const NAMESPACE: &str = "FailoverSync";

/// A metric: its name, its unit as CloudWatch calls it, and its value, if that is known.
pub type Metric = (&'static str, &'static str, Option<Value>);

/// A line of metrics with one dimension, its name and value (CloudWatch guide, "Specification:
/// Embedded metric format": at most 100 metrics, `timestamp` in milliseconds since 1970). What is
/// unknown is left out: a zero would look like a good one. All unknown, it is no line.
pub fn metrics_line(
    (name, value): (&str, &str),
    metrics: &[Metric],
    timestamp: i64,
) -> Option<Value> {
    // JSON has no NaN: as a null it would make CloudWatch drop the whole line.
    let number = |value: &'_ Option<Value>| value.clone().filter(Value::is_number);
    let known =
        || metrics.iter().filter_map(|(name, unit, value)| Some((name, unit, number(value)?)));
    let named: Vec<Value> =
        known().map(|(name, unit, _)| json!({"Name": name, "Unit": unit})).collect();
    if named.is_empty() {
        return None;
    }
    let mut line = json!({
        "_aws": {
            "Timestamp": timestamp,
            "CloudWatchMetrics": [
                {"Namespace": NAMESPACE, "Dimensions": [[name]], "Metrics": named},
            ],
        },
    });
    line[name] = value.into();
    for (name, _, value) in known() {
        line[*name] = value;
    }
    Some(line)
}

/// Milliseconds with three decimals, as the result and the metrics give them.
pub fn milliseconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1_000_000.0).round() / 1000.0
}

/// A duration as [`milliseconds`], if there is one.
///
/// # Errors
/// Those of the serializer.
pub fn serialize_milliseconds<'a, S: Serializer>(
    duration: impl Into<Option<&'a Duration>>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    duration.into().copied().map(milliseconds).serialize(serializer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_declares_what_it_holds_and_nothing_else() {
        let metrics = [
            ("Fill", "Percent", Some(json!(42.5))),
            ("Unknown", "Count", None),
            ("Bad", "Count", Some(json!(0))),
            ("OfNothing", "Percent", Some(json!(f64::NAN))),
        ];
        let expected = json!({
            "_aws": {
                "Timestamp": 1_795_260_241_431_i64,
                "CloudWatchMetrics": [{
                    "Namespace": "FailoverSync",
                    "Dimensions": [["Database"]],
                    "Metrics": [
                        {"Name": "Fill", "Unit": "Percent"},
                        {"Name": "Bad", "Unit": "Count"},
                    ],
                }],
            },
            "Database": "orders",
            "Fill": 42.5,
            "Bad": 0,
        });
        assert_eq!(
            metrics_line(("Database", "orders"), &metrics, 1_795_260_241_431),
            Some(expected)
        );
    }

    #[test]
    fn nothing_known_is_no_line() {
        assert_eq!(metrics_line(("Database", "orders"), &[("Unknown", "Count", None)], 0), None);
    }
}
