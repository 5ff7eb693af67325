//! How often it runs.

use super::*;

#[test]
fn the_schedule_is_a_third_of_the_time_to_the_block() {
    for (limit, interval) in limits_and_intervals() {
        let stack = with(&[("MaxConnectErrors", limit), ("HealthCheckIntervalSeconds", interval)]);
        let minutes = safe_minutes(limit, interval);
        let is_possible = minutes >= SCHEDULE_MINUTES;
        assert_eq!(
            stack.refusals().is_empty(),
            is_possible,
            "{limit} and {interval}: {minutes} minutes"
        );
        if is_possible {
            let plural = if minutes == 1 { "" } else { "s" };
            let schedule = text(&stack.existing("FlushHostsSchedule")["ScheduleExpression"]);
            assert_eq!(
                schedule,
                format!("rate({minutes} minute{plural})"),
                "{limit} and {interval}"
            );
        }
    }
    let documented = |limit: &str, interval: &str| {
        limit.parse::<u64>().unwrap() * seconds(interval) / CHECKS_AN_INTERVAL
    };
    assert_eq!(documented("5000", "300") / 60, NEVER_OVER_MINUTES + 26, "69.4 hours");
    assert_eq!(safe_minutes("100", "auto"), 27, "an untouched database");
    let table = TEMPLATE["Mappings"]["FlushHosts"].as_object().unwrap();
    let table: usize = table.values().map(|row| row.as_object().unwrap().len()).sum();
    assert_eq!(table, limits_and_intervals().len(), "a rate that no parameter selects");
}

#[test]
fn the_schedule_invokes_the_function() {
    let stack = with(&[]);
    let schedule = stack.existing("FlushHostsSchedule");
    assert_eq!(schedule["State"], "ENABLED");
    assert_eq!(schedule["Targets"].as_array().unwrap().len(), 1);
    assert_eq!(schedule["Targets"][0]["Arn"], "{FlushHosts.Arn}");
    let expected = json!({
        "Action": "lambda:InvokeFunction",
        "FunctionName": "{FlushHosts}",
        "Principal": "events.amazonaws.com",
        "SourceArn": "{FlushHostsSchedule.Arn}",
    });
    assert_eq!(stack.existing("FlushHostsPermission"), expected);
    assert_eq!(stack.output("FlushHostsFunctionName"), "{FlushHosts}");
}
