//! The metrics that the alarms of the template look at, as the real binary writes them in the
//! states that they are for.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]
#![allow(dead_code, reason = "each test program uses a part of the binary's world")]

mod binary;

use binary::aws::Aws;
use binary::{ENDPOINT, Settings, start};
use lab::dns::{Answer, DnsServer};
use serde_json::{Value, json};

const INSTANCE_A: &str = "orders-a.c1.eu-west-1.rds.amazonaws.com";
const INSTANCE_B: &str = "orders-b.c1.eu-west-1.rds.amazonaws.com";

/// What a run of the binary measures: the group holds `orders-a`, 10.0.0.1, while DNS and the RDS
/// API name these.
async fn measured(dns_names: Option<&str>, rds_names: &'static str, payload: &Value) -> Value {
    let dns = DnsServer::start().await.unwrap();
    dns.set(INSTANCE_A, Answer::v4([10, 0, 0, 1]));
    dns.set(INSTANCE_B, Answer::v4([10, 0, 0, 2]));
    dns.set(ENDPOINT, dns_names.map_or(Answer::NxDomain, Answer::alias));
    let aws = Aws::start(&["10.0.0.1:5432 healthy"]).await;
    aws.state().writer = Some(rds_names);
    let function = start(Settings::new(dns.addr()).with_aws(&aws).with("WATCH_SECONDS", "3")).await;
    function.invoke(payload).await;
    let lines = function.stop().await;
    let lines: Vec<Value> = lines.iter().map(|line| line.parse().unwrap()).collect();
    let [metrics] =
        &*lines.into_iter().filter(|line| line.get("_aws").is_some()).collect::<Vec<_>>()
    else {
        panic!("not one line of metrics");
    };
    metrics.clone()
}

/// A failover to `orders-b` that was completed three seconds ago.
fn failover() -> Value {
    let mut event: Value =
        include_str!("../../../tests/events/sns-cluster-failover.json").parse().unwrap();
    let message = &mut event["Records"][0]["Sns"]["Message"];
    let mut told: Value = message.as_str().unwrap().parse().unwrap();
    let time = chrono::Utc::now() - chrono::TimeDelta::seconds(3);
    told["Event Time"] = time.format("%Y-%m-%d %H:%M:%S%.3f").to_string().into();
    *message = told.to_string().into();
    event
}

#[tokio::test]
async fn each_state_has_the_numbers_that_its_alarm_looks_at() {
    let dry = json!({"dryRun": true});
    let (zero, one, absent) = (json!(0), json!(1), Value::Null);
    for (name, dns, rds, payload, in_sync, wrong, disagreement, failures) in [
        ("all is well", Some(INSTANCE_A), "orders-a", &dry, 1, &zero, &zero, 0),
        ("the group is behind", Some(INSTANCE_B), "orders-b", &dry, 0, &json!(2), &zero, 0),
        ("the witnesses disagree", Some(INSTANCE_B), "orders-a", &dry, 0, &json!(2), &one, 0),
        ("no answer of DNS", None, "orders-a", &dry, 0, &absent, &absent, 1),
    ] {
        let metrics = measured(dns, rds, payload).await;
        let names = ["InSync", "TargetsWrong", "WitnessDisagreement", "DnsFailures"];
        let expected = [&json!(in_sync), wrong, disagreement, &json!(failures)];
        assert_eq!(names.map(|name| &metrics[name]), expected, "{name}: {metrics}");
        assert_eq!(
            (&metrics["Binding"], &metrics["Switches"]),
            (&json!("failover-sync/writer"), &json!(0)),
            "{name}"
        );
        assert!(metrics["ObserveLatency"].as_f64().unwrap() > 0.0, "{name}: {metrics}");
    }
}

#[tokio::test]
async fn a_switch_is_counted_and_timed_from_the_event() {
    let metrics = measured(Some(INSTANCE_B), "orders-b", &json!({})).await;
    assert_eq!((&metrics["Switches"], &metrics["InSync"]), (&json!(1), &json!(1)), "{metrics}");
    assert_eq!(metrics.get("SwitchLatency"), None, "nobody knows since when: {metrics}");

    let metrics = measured(Some(INSTANCE_B), "orders-b", &failover()).await;
    let latency = metrics["SwitchLatency"].as_f64().unwrap();
    assert!((3_000.0..33_000.0).contains(&latency), "{metrics}");
}
