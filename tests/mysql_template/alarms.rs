//! What its alarms look at.

use super::*;

#[test]
fn alarms_see_blocks_a_full_cache_failures_and_silence() {
    let topic = "arn:aws:sns:eu-west-1:111122223333:ops";
    let stack = with(&[("OperationsTopicArn", topic), ("DatabaseIdentifier", "other")]);
    let custom = |metric: &str| format!("{METRIC_NAMESPACE} {metric} Maximum");
    let database = json!([{"Name": "Database", "Value": "other"}]);
    let function = json!([{"Name": "FunctionName", "Value": "{FlushHosts}"}]);
    let above = "GreaterThanThreshold";
    let expected = [
        ("HostsBlockedAlarm", custom("HostsBlocked"), &database, above, 0, 1, "ignore"),
        ("HostCacheFillAlarm", custom("HostCacheFill"), &database, above, 50, 1, "ignore"),
        ("FlushFailedAlarm", custom("FlushFailed"), &database, above, 0, 1, "ignore"),
        ("FlushHostsErrorsAlarm", "AWS/Lambda Errors Sum".to_owned(), &function, above, 0, 1, "ignore"),
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
    assert_eq!(
        owned(expected.each_ref().map(|alarm| alarm.0)),
        owned(PARTS.into_iter().filter(|p| p.ends_with("Alarm")))
    );
    for (name, metric, dimensions, comparison, threshold, periods, missing) in &expected {
        let alarm = stack.existing(name);
        let measured = ["Namespace", "MetricName", "Statistic"].map(|key| text(&alarm[key])).join(" ");
        assert_eq!(measured, *metric);
        assert_eq!(&alarm["Dimensions"], *dimensions, "{name}");
        let judged =
            ["ComparisonOperator", "Threshold", "EvaluationPeriods", "TreatMissingData"].map(|key| &alarm[key]);
        assert_eq!(judged, [&json!(comparison), &json!(threshold), &json!(periods), &json!(missing)], "{name}");
        assert_eq!([&alarm["AlarmActions"], &alarm["OKActions"]], [&json!([topic]), &json!([topic])], "{name}");
        assert_eq!(with(&[]).existing(name)["AlarmActions"], json!(["{OperationsTopic}"]), "{name}");
        assert!(text(&alarm["AlarmDescription"]).len() > 80, "{name} does not say what to do");
    }
    let by_endpoint = with(&[]).existing("HostsBlockedAlarm");
    assert_eq!(by_endpoint["Dimensions"], json!([{"Name": "Database", "Value": "app"}]));
}

#[test]
fn alarms_look_at_one_run_and_are_periods_that_cloudwatch_takes() {
    for (limit, interval) in limits_and_intervals() {
        let stack = with(&[("MaxConnectErrors", limit), ("HealthCheckIntervalSeconds", interval)]);
        for name in PARTS.into_iter().filter(|part| part.ends_with("Alarm")) {
            let alarm = stack.existing(name);
            let period = text(&alarm["Period"]).parse::<u64>().unwrap();
            let minutes = safe_minutes(limit, interval).max(SCHEDULE_MINUTES);
            assert_eq!(period, minutes * 60, "{name} {limit} {interval}");
            // At most a day in all for periods under an hour, else a week (PutMetricAlarm).
            let all = period * alarm["EvaluationPeriods"].as_u64().unwrap();
            let longest = if period < 3600 { 86_400 } else { 604_800 };
            assert!(period <= 86_400 && all <= longest, "{name} {limit} {interval}: {all} s");
        }
    }
}
