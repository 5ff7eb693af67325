//! The real binary behind the real Runtime API: what it answers, logs and measures.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

mod binary;

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::path::Path;
use std::time::{Duration, Instant};

use binary::aws::Aws;
use binary::{ENDPOINT, Settings, start, start_binary};
use failover_sync::elbv2;
use lab::dns::{Answer, DnsServer};
use lab::lambda::{SECRET_ACCESS_KEY, marked, told};
use platform::rds;
use serde_json::{Value, json};

/// The payload of a file in `tests/events`.
fn event(file: &str) -> Value {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../tests/events/{file}.json"));
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

const INSTANCE_A: &str = "orders-a.c1.eu-west-1.rds.amazonaws.com";
const INSTANCE_B: &str = "orders-b.c1.eu-west-1.rds.amazonaws.com";

/// The writer moved from `orders-a`, 10.0.0.1, to `orders-b`, 10.0.0.2; the group does not know.
async fn failed_over() -> (DnsServer, Aws) {
    failed_over_with(&["10.0.0.1:5432 unhealthy"]).await
}

async fn failed_over_with(targets: &[&'static str]) -> (DnsServer, Aws) {
    let dns = DnsServer::start().await.unwrap();
    dns.set(INSTANCE_A, Answer::v4([10, 0, 0, 1]));
    dns.set(INSTANCE_B, Answer::v4([10, 0, 0, 2]));
    dns.set(ENDPOINT, Answer::alias(INSTANCE_B));
    let aws = Aws::start(targets).await;
    aws.state().writer = Some("orders-b");
    (dns, aws)
}

fn writes(aws: &Aws) -> usize {
    let state = aws.state();
    state.calls.iter().filter(|call| !call.contains("Describe")).count()
}

#[tokio::test]
async fn every_event_file_reconciles() {
    let mut files = Vec::new();
    for entry in
        std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/events")).unwrap()
    {
        files.push(entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned());
    }
    assert!(files.len() > 10, "{files:?}");
    let (dns, aws) = failed_over().await;
    let function = start(Settings::new(dns.addr()).with_aws(&aws)).await;
    for file in files.iter().filter(|file| !file.starts_with("manual-dry-run")) {
        aws.state().targets = [(("10.0.0.1".to_owned(), "5432".to_owned()), "healthy")].into();
        let result = function.invoke(&event(file)).await.result();
        assert_eq!(result["bindings"][0]["state"], "updated", "{file}: {result}");
        assert_eq!(result["bindings"][0]["registered"][0], "10.0.0.2:5432", "{file}");
    }
    for payload in [json!(null), json!({}), json!([]), json!("hello"), json!(7)] {
        let result = function.invoke(&payload).await.result();
        assert_eq!(result["bindings"][0]["state"], "in-sync", "{payload}: {result}");
        assert_eq!(result["trigger"], "manual");
    }
}

#[tokio::test]
async fn a_failover_moves_the_group_and_a_second_run_changes_nothing() {
    let (dns, aws) = failed_over().await;
    let function = start(Settings::new(dns.addr()).with_aws(&aws)).await;
    let result = function.invoke(&event("sns-cluster-failover")).await.result();
    let binding = &result["bindings"][0];
    assert_eq!(result["trigger"], "failover");
    assert_eq!(binding["state"], "updated");
    assert_eq!(binding["resolved"], json!(["10.0.0.2"]));
    assert_eq!(binding["registered"], json!(["10.0.0.2:5432"]));
    assert_eq!(binding["deregistered"], json!(["10.0.0.1:5432"]));
    assert_eq!(
        binding["witnesses"],
        json!({"dns": ["10.0.0.2"], "topology": ["10.0.0.2"], "event": null})
    );
    assert!(binding["elapsedMs"].as_f64().unwrap() > 0.0);
    assert_eq!(aws.targets(), ["10.0.0.1:5432 draining", "10.0.0.2:5432 initial"]);

    let before = writes(&aws);
    let result = function.invoke(&event("schedule-rule")).await.result();
    assert_eq!(
        (&result["trigger"], &result["bindings"][0]["state"]),
        (&json!("schedule"), &json!("in-sync"))
    );
    assert_eq!(writes(&aws), before);
}

#[tokio::test]
async fn the_adapters_call_exactly_the_actions_that_they_name() {
    let (dns, aws) = failed_over().await;
    let function = start(Settings::new(dns.addr()).with_aws(&aws)).await;
    function.invoke(&json!({})).await.result();
    let called: BTreeSet<String> = aws.state().calls.iter().cloned().collect();
    let named = elbv2::IAM_ACTIONS
        .iter()
        .chain(&rds::IAM_ACTIONS)
        .map(|action| (*action).to_owned())
        .collect();
    assert_eq!(called, named);
}

#[tokio::test]
async fn a_dry_run_changes_nothing() {
    let (dns, aws) = failed_over().await;
    let function = start(Settings::new(dns.addr()).with_aws(&aws)).await;
    let result = function.invoke(&event("manual-dry-run")).await.result();
    assert_eq!(
        (&result["dryRun"], &result["bindings"][0]["state"]),
        (&json!(true), &json!("would-update"))
    );
    assert_eq!(result["bindings"][0]["registered"], json!(["10.0.0.2:5432"]));
    assert_eq!((writes(&aws), aws.targets()), (0, vec!["10.0.0.1:5432 unhealthy".to_owned()]));
}

#[tokio::test]
async fn a_payload_with_a_wrong_type_is_refused_and_the_next_is_served() {
    let (dns, aws) = failed_over().await;
    let function = start(Settings::new(dns.addr()).with_aws(&aws)).await;
    let (kind, message) = function.invoke(&json!({"dryRun": "yes"})).await.error();
    assert_eq!(kind, "BadPayload");
    assert!(message.contains("dryRun") && message.contains("true or false"), "{message}");
    let (kind, message) = function.invoke(&json!({"binding": "reader"})).await.error();
    assert_eq!(kind, "UnknownBinding");
    assert!(message.contains("writer"), "{message}");
    let calls: BTreeSet<String> = aws.state().calls.iter().cloned().collect();
    let reads =
        [elbv2::IAM_ACTIONS[0], rds::IAM_ACTIONS[0], rds::IAM_ACTIONS[1]].map(str::to_owned).into();
    assert_eq!((calls, aws.state().calls.len()), (reads, 3), "the warm-up's");
    assert_eq!(function.invoke(&json!({})).await.result()["bindings"][0]["state"], "updated");
}

#[tokio::test]
async fn the_log_begins_with_the_version_and_every_result_names_it() {
    let (dns, aws) = failed_over().await;
    let function = start(Settings::new(dns.addr()).with_aws(&aws)).await;
    let result = function.invoke(&json!({})).await.result();
    assert_eq!(result["version"], env!("CARGO_PKG_VERSION"), "{result}");
    let lines = function.stop().await;
    let first: Value = lines[0].parse().unwrap();
    assert_eq!(
        (&first["level"], &first["version"]),
        (&json!("INFO"), &json!(env!("CARGO_PKG_VERSION"))),
        "{first}"
    );
}

#[tokio::test]
async fn a_panic_is_told_as_an_error_and_the_next_event_is_served() {
    let aws = Aws::start(&["10.0.0.1:5432 healthy"]).await;
    let binary =
        Path::new(env!("CARGO_BIN_EXE_failover-sync")).with_file_name("examples").join("panicking");
    assert!(binary.exists(), "{} is missing: cargo build --examples", binary.display());
    let settings = Settings::new("127.0.0.1:53".parse().unwrap()).with_aws(&aws);
    let function = start_binary(&binary, settings).await;
    for _ in 0..2 {
        let (kind, message) = function.invoke(&json!({})).await.error();
        assert_eq!(kind, "Panicked");
        assert!(message.contains(&format!("looked up {ENDPOINT}")), "{message}");
    }
}

#[tokio::test]
async fn the_first_invocation_finds_its_connections_open() {
    let (dns, aws) = failed_over_with(&["10.0.0.2:5432 healthy"]).await;
    let function = start(Settings::new(dns.addr()).with_aws(&aws)).await;
    // A payload that is refused: when it is answered, the start is over and nothing else has been
    // done.
    function.invoke(&json!({"dryRun": "yes"})).await.error();
    let seen = |aws: &Aws| {
        let state = aws.state();
        (state.connections, state.calls.len())
    };
    assert_eq!(seen(&aws), (3, 3), "the warm-up: the group, the cluster and its instances");
    assert_eq!(function.invoke(&json!({})).await.result()["bindings"][0]["state"], "in-sync");
    assert_eq!(seen(&aws), (3, 6));
}

#[tokio::test]
async fn a_function_starts_although_aws_refuses_or_does_not_answer_its_warm_up() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    for address in [closed, silent.local_addr().unwrap()] {
        let (dns, _) = failed_over().await;
        let began = Instant::now();
        let function =
            start(Settings::new(dns.addr()).with("AWS_ENDPOINT_URL", format!("http://{address}")))
                .await;
        assert_eq!(function.invoke(&json!({"dryRun": "yes"})).await.error().0, "BadPayload");
        assert!(
            began.elapsed() < Duration::from_secs(4),
            "a call that is waited for takes five: {:?}",
            began.elapsed()
        );
    }
}

#[tokio::test]
async fn the_release_profile_unwinds() {
    let manifest =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../Cargo.toml"))
            .unwrap();
    let (_, profile) = manifest.split_once("[profile.release]").unwrap();
    let profile = profile.split("\n[").next().unwrap();
    assert!(profile.contains("\npanic = \"unwind\"\n"), "{profile}");
}

#[tokio::test]
async fn what_dns_cannot_tell_is_an_error_and_no_write() {
    for (answer, words) in [
        (Answer::NxDomain, &["NXDOMAIN", ENDPOINT][..]),
        (Answer::ServFail, &["SERVFAIL", ENDPOINT]),
        (Answer::Empty, &["without an address", ENDPOINT]),
        (Answer::Silent, &["did not answer in time", ENDPOINT]),
        (Answer::alias(ENDPOINT), &["CNAME", ENDPOINT]),
        (Answer::v4([52, 1, 2, 3]), &["52.1.2.3 is a public address", "FunctionSubnetIds"]),
        (Answer::v4([127, 0, 0, 1]), &["127.0.0.1 is a loopback address"]),
        (Answer::v4([169, 254, 169, 254]), &["169.254.169.254 is a link-local address"]),
        (Answer::v4([224, 0, 0, 1]), &["224.0.0.1 is a multicast address"]),
        (Answer::v4([0, 0, 0, 0]), &["0.0.0.0 is an unspecified"]),
        (
            Answer::v4([10, 1, 0, 1]),
            &["10.1.0.1 is outside ALLOWED_CIDRS", "AllowedCidrs", "10.0.0.0/16"],
        ),
        (
            Answer::addresses([[10, 0, 0, 2].into(), [10, 0, 0, 3].into()]),
            &["2 addresses (10.0.0.2, 10.0.0.3)"],
        ),
    ] {
        let (dns, aws) = failed_over().await;
        dns.set(ENDPOINT, answer.clone());
        let settings =
            Settings::new(dns.addr()).with_aws(&aws).with("ALLOWED_CIDRS", "10.0.0.0/16");
        let function = start(settings).await;
        let (_, message) = function.invoke(&event("schedule-rule")).await.error();
        assert!(words.iter().all(|word| message.contains(word)), "{answer:?}: {message}");
        assert!(message.starts_with("1 of 1 bindings failed: writer: "), "{message}");
        assert_eq!(writes(&aws), 0, "{answer:?}");
    }
}

#[tokio::test]
async fn what_aws_refuses_is_an_error_with_its_code_and_no_deregistration() {
    for (action, status, code, kind) in [
        ("DescribeTargetHealth", 400, "TargetGroupNotFound", "TargetGroupNotFound"),
        ("DescribeTargetHealth", 403, "AccessDenied", "AccessDenied"),
        ("DescribeTargetHealth", 400, "Throttling", "Throttled"),
        ("DescribeTargetHealth", 500, "InternalFailure", "AwsRefused"),
        ("RegisterTargets", 400, "TargetGroupNotFound", "TargetGroupNotFound"),
        ("RegisterTargets", 403, "AccessDenied", "AccessDenied"),
        ("RegisterTargets", 400, "Throttling", "Throttled"),
        ("RegisterTargets", 503, "ServiceUnavailable", "AwsRefused"),
        ("RegisterTargets", 400, "InvalidTarget", "AwsRefused"),
        ("DeregisterTargets", 403, "AccessDenied", "AccessDenied"),
    ] {
        let (dns, aws) = failed_over().await;
        aws.refuse(action, status, code);
        let function = start(Settings::new(dns.addr()).with_aws(&aws)).await;
        // One look: a denied write would be tried again for a minute.
        let (seen, message) = function.invoke(&json!({"watchSeconds": 0})).await.error();
        assert_eq!(seen, kind, "{action} {code}");
        for word in [
            action,
            code,
            "request id c534f810-0000-4000-8000-0123456789ab",
            "the message of AWS",
            binary::ARN,
        ] {
            assert!(message.contains(word), "{word} in {message}");
        }
        assert!(
            aws.targets().contains(&"10.0.0.1:5432 unhealthy".to_owned()),
            "{action} {code}: {:?}",
            aws.targets()
        );
    }
}

#[tokio::test]
async fn an_aws_that_cannot_be_reached_or_understood_is_an_error_and_no_write() {
    let (dns, aws) = failed_over().await;
    aws.state().faults.insert("DescribeTargetHealth", (200, "<html>502 Bad Gateway</html>".into()));
    let function = start(Settings::new(dns.addr()).with_aws(&aws)).await;
    let (kind, message) = function.invoke(&json!({})).await.error();
    assert_eq!(kind, "AwsAnswerUnreadable");
    for word in [
        "elasticloadbalancing:DescribeTargetHealth",
        "request id c534f810-0000-4000-8000-0123456789ab",
    ] {
        assert!(message.contains(word), "{word} in {message}");
    }
    assert_eq!(writes(&aws), 0);

    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let settings = Settings::new(dns.addr()).with("AWS_ENDPOINT_URL", format!("http://{closed}"));
    let function = start(settings).await;
    let (kind, message) = function.invoke(&json!({})).await.error();
    assert_eq!(kind, "AwsUnreachable");
    assert!(message.contains("refused"), "{message}");
}

/// In the header the request id is there, and HTTP says that this is all: only the document tells.
#[tokio::test]
async fn an_answer_that_ends_in_the_middle_is_an_error_and_nothing_more_is_written() {
    let (old, new) = ("10.0.0.1:5432 unhealthy", "10.0.0.2:5432 initial");
    for (action, last, left) in [
        ("DescribeTargetHealth", "<TargetHealthDescr", &[old][..]),
        ("DescribeTargetHealth", "</TargetHealthDescriptions>", &[old]),
        ("RegisterTargets", "<RegisterTargetsResult>", &[old]),
        ("DeregisterTargets", "</RequestId>", &[old, new]),
    ] {
        let (dns, aws) = failed_over().await;
        aws.cut(action, last);
        let function = start(Settings::new(dns.addr()).with_aws(&aws)).await;
        let (kind, message) = function.invoke(&json!({})).await.error();
        assert_eq!(kind, "AwsAnswerUnreadable", "{action}: {message}");
        for word in [action, "the answer", "request id c534f810-0000-4000-8000-0123456789ab"] {
            assert!(message.contains(word), "{word} in {message}");
        }
        assert_eq!(aws.targets(), left, "{action} up to {last}");
        assert!(action != "DescribeTargetHealth" || writes(&aws) == 0, "written on half an answer");
    }
}

#[tokio::test]
async fn targets_of_every_state_and_port_are_treated_as_their_membership_says() {
    let (dns, aws) = failed_over_with(&[
        "10.0.0.1:3307 unused/Target.NotInUse",
        "10.0.0.1:5432 unhealthy.draining/Target.FailedHealthChecks",
        "10.0.0.1:5433 resting/Target.FirstSeenInTheFuture",
        "10.0.0.1:5434 healthy",
        "10.0.0.2:5432 unused/Target.NotRegistered",
        "10.0.0.3:5432 draining/Target.DeregistrationInProgress",
        "10.0.0.4:5432 unused/Target.NotRegistered",
    ])
    .await;
    let function = start(Settings::new(dns.addr()).with_aws(&aws)).await;
    let result = function.invoke(&json!({})).await.result();
    let expected = ["10.0.0.1:3307", "10.0.0.1:5432", "10.0.0.1:5433", "10.0.0.1:5434"];
    assert_eq!(result["bindings"][0]["deregistered"], json!(expected));
    let left = |target: &String| target.contains(" draining") || target.contains("NotRegistered");
    let members: Vec<String> = aws.targets().into_iter().filter(|target| !left(target)).collect();
    assert_eq!(members, ["10.0.0.2:5432 initial"]);
}

#[tokio::test]
async fn a_function_stops_before_its_deadline_and_serves_the_next_event() {
    let (dns, aws) = failed_over().await;
    let function = start(Settings::new(dns.addr()).with_aws(&aws)).await;
    function.invoke(&json!({"dryRun": true})).await.result();
    dns.set(ENDPOINT, Answer::Silent);
    let (limit, began) = (Duration::from_secs(2), Instant::now());
    let (kind, message) = function.invoke_within(&json!({}), limit).await.error();
    assert!(began.elapsed() < limit, "{:?}", began.elapsed());
    assert_eq!(kind, "DeadlineNear");
    assert!(message.contains("while reading DNS and the target group"), "{message}");
    dns.set(ENDPOINT, Answer::alias(INSTANCE_B));
    function.invoke(&json!({})).await.result();
}

#[tokio::test]
async fn a_time_limit_below_the_watch_is_told_once_and_fails_no_event() {
    let (dns, aws) = failed_over_with(&["10.0.0.2:5432 healthy"]).await;
    let function = start(Settings::new(dns.addr()).with_aws(&aws)).await;
    let mut event = event("sns-cluster-failover");
    let message = event["Records"][0]["Sns"]["Message"].as_str().unwrap();
    let now = chrono::Utc::now().format("%Y-%m-%d %H:%M:%S").to_string();
    event["Records"][0]["Sns"]["Message"] = message.replace("2024-05-06 23:08:24.252", &now).into();
    for _ in 0..2 {
        let result = function.invoke_within(&event, Duration::from_secs(4)).await.result();
        let binding = &result["bindings"][0];
        assert_eq!(
            (&binding["state"], &binding["cutShort"]),
            (&json!("in-sync"), &json!(true)),
            "{result}"
        );
    }
    let lines = function.stop().await;
    let warned = lines.iter().filter(|line| line.contains("below the watch")).collect::<Vec<_>>();
    assert_eq!(warned.len(), 1, "{lines:?}");
    assert!(
        warned[0].contains("\"watch_seconds\":180") && warned[0].contains("raise Timeout"),
        "{warned:?}"
    );
}

/// The lines of warnings. The watch of these tests is shorter than their time limit, which would be
/// one.
fn warnings(lines: &[String]) -> Vec<String> {
    lines.iter().filter(|line| line.contains("\"level\":\"WARN\"")).cloned().collect()
}

#[tokio::test]
async fn an_event_that_is_not_followed_is_one_warning_that_says_why() {
    let (dns, aws) = failed_over_with(&["10.0.0.2:5432 healthy"]).await;
    let namesake =
        event("sns-cluster-failover").to_string().replace("rds:eu-west-1", "rds:us-east-1");
    for (payload, words) in [
        (event("eventbridge-transformed-to-text"), ["not understood", "text of 75 bytes"]),
        (event("manual-dry-run-sns"), ["asks for a dry run", "nothing is watched"]),
        (
            namesake.parse().unwrap(),
            ["same name in another Region", "arn:aws:rds:us-east-1:123456789012:cluster:orders"],
        ),
    ] {
        let function =
            start(Settings::new(dns.addr()).with_aws(&aws).with("WATCH_SECONDS", "9")).await;
        function.invoke(&payload).await.result();
        let warned = warnings(&function.stop().await);
        assert_eq!(warned.len(), 1, "{payload}: {warned:?}");
        assert!(words.iter().all(|word| warned[0].contains(word)), "{words:?} in {warned:?}");
    }
}

#[tokio::test]
async fn what_a_configuration_lacks_is_a_warning_at_the_start() {
    let (dns, aws) = failed_over_with(&["10.0.0.2:5432 healthy"]).await;
    let mut settings = Settings::new(dns.addr())
        .with_aws(&aws)
        .with("DEREGISTRATION_DELAY_SECONDS", "30")
        .with("WATCH_SECONDS", "9");
    let binding = &mut settings.bindings[0];
    (binding["endpoint"], binding["kind"]) = ("db.example".into(), "cluster".into());
    binding.as_object_mut().unwrap().remove("id");
    dns.set("db.example", Answer::v4([10, 0, 0, 2]));
    let function = start(settings).await;
    for _ in 0..2 {
        function.invoke(&json!({})).await.result();
    }
    let warned = warnings(&function.stop().await);
    let [id, delay] = &*warned else { panic!("{warned:?}") };
    assert!(id.contains("\"writer\"") && id.contains("no event of RDS concerns it"), "{id}");
    assert!(delay.contains("the deregistration delay is 30 s"), "{delay}");
}

#[tokio::test]
async fn a_secret_that_is_not_fetched_is_told_as_that_and_not_as_a_silent_database() {
    const SECRET: &str = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:probe-AbCdEf";
    let (dns, aws) = failed_over().await;
    let mut settings = Settings::new(dns.addr())
        .with_aws(&aws)
        .with("PROBE_SECRET_ARN", SECRET)
        .with("WATCH_SECONDS", "9");
    settings.bindings[0]["engine"] = "postgres".into();
    let function = start(settings).await;
    let result = function.invoke(&json!({"dryRun": true})).await.result();
    assert_eq!(result["bindings"][0]["state"], "would-update", "{result}");
    let warned = warnings(&function.stop().await);
    assert!(!warned.is_empty(), "a database is left out");
    for line in &warned {
        let told = line.contains("secretsmanager:GetSecretValue") && line.contains(SECRET);
        assert!(told && !line.contains("security group"), "{line}");
    }
}

#[tokio::test]
async fn one_failed_binding_is_named_after_the_others_are_done() {
    let (dns, aws) = failed_over().await;
    let mut settings = Settings::new(dns.addr()).with_aws(&aws);
    let mut lost = settings.bindings[0].clone();
    lost["name"] = "lost".into();
    lost["endpoint"] = "nowhere.example".into();
    lost["targetGroupArn"] = binary::OTHER_ARN.into();
    settings.bindings = json!([lost, settings.bindings[0]]);
    let function = start(settings).await;
    let (kind, message) = function.invoke(&json!({})).await.error();
    assert_eq!(kind, "EndpointNotResolved");
    assert!(message.starts_with("1 of 2 bindings failed: lost: "), "{message}");
    assert_eq!(aws.targets(), ["10.0.0.1:5432 draining", "10.0.0.2:5432 initial"]);
}

#[tokio::test]
async fn a_configuration_with_mistakes_stops_the_start_with_all_of_them() {
    let mut settings = Settings::new("127.0.0.1:53".parse().unwrap()).with("ALLOWED_CIDRS", "ten");
    settings.bindings = json!([{
        "name": "writer", "endpoint": "", "port": 70000, "targetGroupArn": "db", "kind": "x",
    }]);
    let (outcome, lines) = start(settings).await.init_error().await;
    let (kind, message) = outcome.error();
    assert_eq!(kind, "InvalidConfiguration");
    for word in [
        "5 mistakes",
        "\"writer\".endpoint",
        "\"writer\".port",
        "\"writer\".targetGroupArn",
        ".kind",
        "ten",
    ] {
        assert!(message.contains(word), "{word} in {message}");
    }
    let line: Value = lines.last().unwrap().parse().unwrap();
    assert_eq!((&line["level"], &line["error"]), (&json!("ERROR"), &json!(message)));
}

#[tokio::test]
async fn no_log_and_no_answer_tells_the_environment_even_at_the_level_trace() {
    let (dns, aws) = failed_over().await;
    let start = async |settings: Settings| {
        let settings = settings.with("AWS_LAMBDA_LOG_LEVEL", "TRACE").with("RUST_LOG", "trace");
        start(marked().fold(settings, |settings, (name, value)| settings.with(name, value))).await
    };
    let function = start(Settings::new(dns.addr()).with_aws(&aws)).await;
    let mut answers = function.invoke(&event("sns-cluster-failover")).await.result().to_string();
    aws.refuse("DescribeTargetHealth", 403, "AccessDenied");
    for payload in [json!({}), json!({"dryRun": "yes"})] {
        answers += &function.invoke(&payload).await.error().1;
    }
    let log = function.stop_and_tell().await;
    assert!(log.contains("reconciled") && log.contains("AccessDenied"), "{log}");
    assert_eq!(told(&(log + &answers)), [""; 0]);

    let (outcome, lines) =
        start(Settings::new(dns.addr()).with("ALLOWED_CIDRS", "ten")).await.init_error().await;
    assert_eq!(told(&(outcome.error().1 + &lines.join("\n"))), [""; 0]);
}

#[tokio::test]
async fn a_run_leaves_one_line_a_binding_and_its_metrics() {
    let (dns, aws) = failed_over().await;
    let function = start(Settings::new(dns.addr()).with_aws(&aws)).await;
    function.invoke(&event("sns-cluster-failover")).await.result();
    aws.refuse("DescribeTargetHealth", 403, "AccessDenied");
    function.invoke(&json!({})).await.error();
    let lines = function.stop().await;
    assert!(lines.iter().all(|line| !line.contains(SECRET_ACCESS_KEY)), "{lines:?}");
    let lines: Vec<Value> = lines.iter().map(|line| line.parse().unwrap()).collect();
    let (metrics, logs): (Vec<_>, Vec<_>) =
        lines.into_iter().partition(|line| line.get("_aws").is_some());

    for line in &logs[1..] {
        assert_eq!(line["span"]["requestId"], "8476a536-e9f4-11e8-9739-2dfe598c3fcd", "{line}");
        assert!(
            chrono::DateTime::parse_from_rfc3339(line["timestamp"].as_str().unwrap()).is_ok(),
            "{line}"
        );
    }
    let canonical: Vec<&Value> =
        logs.iter().filter(|line| line["message"] == "reconciled").collect();
    assert_eq!(canonical.len(), 2);
    assert_eq!(
        (&canonical[0]["level"], &canonical[0]["state"]),
        (&json!("INFO"), &json!("updated"))
    );
    assert_eq!(canonical[0]["registered"], "10.0.0.2:5432");
    assert_eq!(
        (&canonical[1]["level"], &canonical[1]["error_type"]),
        (&json!("ERROR"), &json!("AccessDenied"))
    );

    assert_eq!(metrics.len(), 2);
    for (line, in_sync, switches) in [(&metrics[0], 1, 1), (&metrics[1], 0, 0)] {
        assert_eq!(
            (&line["InSync"], &line["Switches"]),
            (&json!(in_sync), &json!(switches)),
            "{line}"
        );
        let directive = &line["_aws"]["CloudWatchMetrics"][0];
        assert_eq!(directive["Namespace"], "FailoverSync");
        assert!(line["_aws"]["Timestamp"].as_i64().unwrap() > 1_600_000_000_000);
        for metric in directive["Metrics"].as_array().unwrap() {
            assert!(line[metric["Name"].as_str().unwrap()].is_number(), "{metric} in {line}");
        }
        for dimension in directive["Dimensions"][0].as_array().unwrap() {
            assert!(line[dimension.as_str().unwrap()].is_string(), "{dimension} in {line}");
        }
    }
}
