//! What its alarms look at.

use super::*;

const ERRORS: &str = "FlushHostsErrorsAlarm";
const LOST: &str = "FailureQueueAlarm";

#[test]
fn alarms_see_blocks_a_full_cache_failures_and_silence() {
    let topic = "arn:aws:sns:eu-west-1:111122223333:ops";
    let stack = with(&[("OperationsTopicArn", topic), ("DatabaseIdentifier", "other")]);
    let custom = |metric: &str, statistic: &str| format!("{} {metric} {statistic}", NAMESPACE);
    let database = json!([{"Name": "Database", "Value": "other"}]);
    let function = json!([{"Name": "FunctionName", "Value": "{FlushHosts}"}]);
    let above = "GreaterThanThreshold";
    let expected = [
        ("HostsBlockedAlarm", custom("HostsBlocked", "Maximum"), &database, above, 0, 1, "ignore"),
        (
            "HostCacheFillAlarm",
            custom("HostCacheFill", "Maximum"),
            &database,
            above,
            50,
            1,
            "ignore",
        ),
        ("FlushFailedAlarm", custom("FlushFailed", "Minimum"), &database, above, 0, 1, "ignore"),
        (
            "FlushHostsSilentAlarm",
            "AWS/Lambda Invocations Sum".to_owned(),
            &function,
            "LessThanThreshold",
            1,
            2,
            "breaching",
        ),
    ];
    let named = expected.each_ref().map(|alarm| alarm.0).into_iter().chain([ERRORS, LOST]);
    assert_eq!(owned(named), owned(PARTS.into_iter().filter(|part| part.ends_with("Alarm"))));
    for (name, metric, dimensions, comparison, threshold, periods, missing) in &expected {
        let alarm = stack.existing(name);
        let measured =
            ["Namespace", "MetricName", "Statistic"].map(|key| text(&alarm[key])).join(" ");
        assert_eq!(measured, *metric);
        assert_eq!(&alarm["Dimensions"], *dimensions, "{name}");
        let judged = ["ComparisonOperator", "Threshold", "EvaluationPeriods", "TreatMissingData"]
            .map(|key| &alarm[key]);
        assert_eq!(
            judged,
            [&json!(comparison), &json!(threshold), &json!(periods), &json!(missing)],
            "{name}"
        );
    }
    for name in PARTS.into_iter().filter(|part| part.ends_with("Alarm")) {
        let alarm = stack.existing(name);
        assert_eq!(
            [&alarm["AlarmActions"], &alarm["OKActions"]],
            [&json!([topic]), &json!([topic])],
            "{name}"
        );
        assert_eq!(with(&[]).existing(name)["AlarmActions"], json!([OPERATIONS_TOPIC]), "{name}");
        assert!(text(&alarm["AlarmDescription"]).len() > 80, "{name} does not say what to do");
    }
    let by_endpoint = with(&[]).existing("HostsBlockedAlarm");
    assert_eq!(by_endpoint["Dimensions"], json!([{"Name": "Database", "Value": "app"}]));
}

/// Lambda repeats a failed run minutes later: a failure is no news if that one succeeds.
#[test]
fn only_a_period_in_which_every_run_failed_is_one_of_errors() {
    let alarm = with(&[]).existing(ERRORS);
    let [share, counts @ ..] = alarm["Metrics"].as_array().unwrap().as_slice() else {
        panic!("{alarm}")
    };
    assert_eq!((&share["Expression"], share.get("ReturnData")), (&json!("errors / runs"), None));
    for (count, (id, metric)) in counts.iter().zip([("errors", "Errors"), ("runs", "Invocations")])
    {
        assert_eq!((&count["Id"], &count["ReturnData"]), (&json!(id), &json!(false)));
        let dimensions = json!([{"Name": "FunctionName", "Value": "{FlushHosts}"}]);
        let expected =
            json!({"Namespace": "AWS/Lambda", "MetricName": metric, "Dimensions": dimensions});
        assert_eq!(
            (&count["MetricStat"]["Metric"], &count["MetricStat"]["Stat"]),
            (&expected, &json!("Sum"))
        );
    }
    let judged = ["ComparisonOperator", "Threshold", "EvaluationPeriods", "TreatMissingData"]
        .map(|key| &alarm[key]);
    assert_eq!(
        judged,
        [&json!("GreaterThanOrEqualToThreshold"), &json!(1), &json!(1), &json!("ignore")]
    );
}

/// The seconds of an alarm's periods.
fn periods(alarm: &Value) -> Vec<u64> {
    let counts = alarm["Metrics"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|metric| &metric["MetricStat"]["Period"]);
    let all = counts.chain([&alarm["Period"]]).filter(|period| !period.is_null());
    all.map(|period| text(period).parse().unwrap()).collect()
}

#[test]
fn alarms_look_at_one_run_and_are_periods_that_cloudwatch_takes() {
    for (limit, interval) in limits_and_intervals() {
        let stack = with(&[("MaxConnectErrors", limit), ("HealthCheckIntervalSeconds", interval)]);
        for name in PARTS.into_iter().filter(|part| part.ends_with("Alarm") && *part != LOST) {
            let alarm = stack.existing(name);
            let period = safe_minutes(limit, interval).max(SCHEDULE_MINUTES) * 60;
            let (given, expected) =
                (periods(&alarm), if name == ERRORS { vec![period; 2] } else { vec![period] });
            assert_eq!(given, expected, "{name} {limit} {interval}");
            // At most a day in all for periods under an hour, else a week (PutMetricAlarm).
            let all = period * alarm["EvaluationPeriods"].as_u64().unwrap();
            let longest = if period < 3600 { 86_400 } else { 604_800 };
            assert!(period <= 86_400 && all <= longest, "{name} {limit} {interval}: {all} s");
        }
    }
}

#[test]
fn a_run_that_was_lost_is_seen_at_once() {
    let alarm = with(&[]).existing(LOST);
    let measured = ["Namespace", "MetricName", "Statistic"].map(|key| text(&alarm[key])).join(" ");
    assert_eq!(measured, "AWS/SQS ApproximateNumberOfMessagesVisible Maximum");
    assert_eq!(
        alarm["Dimensions"],
        json!([{"Name": "QueueName", "Value": "{FailureQueue.QueueName}"}])
    );
    assert_eq!([text(&alarm["Threshold"]), text(&alarm["Period"])], ["1", "60"]);
}

#[test]
fn the_dashboard_shows_the_cache_and_every_alarm() {
    let body: Value = text(&with(&[]).existing("Dashboard")["DashboardBody"]).parse().unwrap();
    let widgets = body["widgets"].as_array().unwrap();
    let shown = widgets.iter().find(|widget| widget["type"] == "alarm").unwrap();
    let shown: BTreeSet<_> =
        shown["properties"]["alarms"].as_array().unwrap().iter().map(text).collect();
    let alarms = PARTS.into_iter().filter(|part| part.ends_with("Alarm"));
    assert_eq!(shown, alarms.map(|name| format!("{{{name}.Arn}}")).collect());
    for metric in ["HostCacheFill", "HostsBlocked", "FlushFailed"] {
        assert!(widgets[0]["properties"]["metrics"].to_string().contains(metric), "{metric}");
    }
}
