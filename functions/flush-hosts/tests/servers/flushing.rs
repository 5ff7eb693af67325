//! The block that the health checks bring about is lifted, on a server in every condition.

use lab::host_cache::{BALANCER, BYSTANDER, block, is_blocked};
use lab::lambda::SECRET_ACCESS_KEY;
use lab::mariadb::Options;
use serde_json::{Value, json};

use crate::stage::{INSTANCE, PASSWORD, Stage, USER, assert_words, metrics};

const FLUSH: &str = "FLUSH NO_WRITE_TO_BINLOG HOSTS";

/// MariaDB's name for it since 10.5.2; MySQL has had another one since 8.2.
const END_OF_BINLOG: &str = "SHOW BINLOG STATUS";

fn observed() -> Options {
    Options { performance_schema: true, ..Options::default() }
}

#[tokio::test]
async fn a_block_is_lifted_and_nothing_is_written_to_the_binary_log() {
    for options in [Options::default(), observed()] {
        let stage = Stage::start(options.clone()).await;
        let function = stage.function().await;
        for address in [BALANCER, BYSTANDER] {
            block(address, stage.server.addr()).await.unwrap();
        }
        let end = stage.end_of_binlog(END_OF_BINLOG).await;
        let result = function.invoke(&json!({})).await.result();
        let instance = &result["instances"][0];
        assert_eq!(
            (&instance["instance"], &instance["state"]),
            (&json!(INSTANCE), &json!("flushed")),
            "{result}"
        );
        assert_eq!((&instance["statement"], &instance["error"]), (&json!(FLUSH), &Value::Null));
        assert_words(instance["version"].as_str().unwrap(), &["MariaDB"]);
        for address in [BALANCER, BYSTANDER] {
            assert!(
                !is_blocked(address, stage.server.addr()).await.unwrap(),
                "{address} {options:?}"
            );
        }
        assert_eq!(stage.end_of_binlog(END_OF_BINLOG).await, end, "{options:?}");
    }
}

/// Without this, the test of the binary log above would prove nothing.
#[tokio::test]
async fn a_plain_flush_would_be_written_to_the_binary_log() {
    let stage = Stage::start(Options::default()).await;
    let end = stage.end_of_binlog(END_OF_BINLOG).await;
    stage.server.sql("FLUSH HOSTS").await.unwrap();
    assert_ne!(stage.end_of_binlog(END_OF_BINLOG).await, end);
}

#[tokio::test]
async fn what_the_server_holds_against_an_address_is_read_before_it_is_flushed() {
    let stage = Stage::start(observed()).await;
    block(BALANCER, stage.server.addr()).await.unwrap();
    let function = stage.function().await;
    let result = function.invoke(&json!({})).await.result();
    let instance = &result["instances"][0];
    assert_eq!(instance["cacheReadable"], json!(true), "{result}");
    assert_eq!(
        (&instance["maxConnectErrors"], &instance["blocked"]),
        (&json!(5), &json!(["127.0.0.2"]))
    );
    assert!(instance["fillPercent"].as_f64().unwrap() >= 100.0, "{result}");
    assert!(instance["errorsPerHour"].as_f64().unwrap() > 0.0, "{result}");

    let result = function.invoke(&json!({})).await.result();
    let instance = &result["instances"][0];
    assert_eq!(
        (&instance["blocked"], instance["fillPercent"].as_f64()),
        (&json!([]), Some(0.0)),
        "{result}"
    );

    let lines = function.stop().await;
    let secrets = [PASSWORD, SECRET_ACCESS_KEY];
    assert!(
        lines.iter().all(|line| secrets.iter().all(|secret| !line.contains(secret))),
        "{lines:?}"
    );
    let metrics = metrics(&lines);
    assert_eq!(metrics.len(), 2, "{lines:?}");
    for (line, blocked) in [(&metrics[0], 1), (&metrics[1], 0)] {
        assert_eq!(
            (&line["HostsBlocked"], &line["FlushFailed"]),
            (&json!(blocked), &json!(0)),
            "{line}"
        );
        assert_eq!(line["HostCacheFill"].as_f64().unwrap() >= 100.0, blocked > 0, "{line}");
        assert_eq!(line["Database"], json!(INSTANCE));
        let directive = &line["_aws"]["CloudWatchMetrics"][0];
        assert_eq!(directive["Dimensions"], json!([["Database"]]), "{line}");
        for metric in directive["Metrics"].as_array().unwrap() {
            assert!(line[metric["Name"].as_str().unwrap()].is_number(), "{metric} in {line}");
        }
    }
}

#[tokio::test]
async fn a_server_that_shows_nothing_is_flushed_and_the_report_says_that_it_shows_nothing() {
    let stage = Stage::start(Options::default()).await;
    block(BALANCER, stage.server.addr()).await.unwrap();
    let function = stage.function().await;
    let result = function.invoke(&json!({})).await.result();
    let instance = &result["instances"][0];
    assert_eq!(
        (&instance["state"], &instance["cacheReadable"]),
        (&json!("flushed"), &json!(false)),
        "{result}"
    );
    assert_eq!(instance["maxConnectErrors"], json!(5));
    assert!(!stage.balancer_is_blocked().await);
    let lines = function.stop().await;
    let metrics = &metrics(&lines)[0];
    assert_eq!(
        (&metrics["FlushFailed"], metrics.get("HostsBlocked")),
        (&json!(0), None),
        "{lines:?}"
    );
    assert!(
        lines
            .iter()
            .any(|line| line.contains("WARN") && line.contains("performance_schema is OFF")),
        "{lines:?}"
    );
}

#[tokio::test]
async fn a_dry_run_looks_and_leaves_the_block() {
    for (options, blocked) in [(Options::default(), 0), (observed(), 1)] {
        let stage = Stage::start(options).await;
        block(BALANCER, stage.server.addr()).await.unwrap();
        let result = stage.function().await.invoke(&json!({"dryRun": true})).await.result();
        let instance = &result["instances"][0];
        assert_eq!(
            (&result["dryRun"], &instance["state"]),
            (&json!(true), &json!("would-flush")),
            "{result}"
        );
        assert_eq!(instance["blocked"].as_array().map_or(0, Vec::len), blocked, "{result}");
        assert!(stage.balancer_is_blocked().await);
    }
}

/// They are the other function's: who asks for one binding does not mean to flush everything.
#[tokio::test]
async fn a_payload_with_a_binding_or_a_watch_flushes_nothing() {
    let stage = Stage::start(Options::default()).await;
    block(BALANCER, stage.server.addr()).await.unwrap();
    let function = stage.function().await;
    for (key, payload) in [
        ("binding", json!({"binding": "writer"})),
        ("watchSeconds", json!({"watchSeconds": 0, "key1": 1})),
    ] {
        let (kind, message) = function.invoke(&payload).await.error();
        assert_eq!(kind, "BadPayload", "{message}");
        assert_words(&message, &[key, "nothing was done"]);
    }
    assert!(stage.balancer_is_blocked().await);
    function.invoke(&json!({"key1": 1})).await.result();
    assert!(!stage.balancer_is_blocked().await, "other keys are ignored");
}

#[tokio::test]
async fn a_read_only_server_is_flushed_by_an_account_without_privileges_to_write() {
    for options in [Options::default(), observed()] {
        let stage = Stage::start(options).await;
        stage.server.sql("SET GLOBAL read_only = 1").await.unwrap();
        block(BALANCER, stage.server.addr()).await.unwrap();
        let end = stage.end_of_binlog(END_OF_BINLOG).await;
        let result = stage.function().await.invoke(&json!({})).await.result();
        assert_eq!(result["instances"][0]["state"], "flushed", "{result}");
        assert!(!stage.balancer_is_blocked().await);
        assert_eq!(stage.end_of_binlog(END_OF_BINLOG).await, end);
    }
}

#[tokio::test]
async fn without_the_privilege_to_look_it_still_flushes() {
    let stage = Stage::start(observed()).await;
    let revoke = format!("REVOKE SELECT ON performance_schema.host_cache FROM {USER}@'%'");
    stage.server.sql(&revoke).await.unwrap();
    block(BALANCER, stage.server.addr()).await.unwrap();
    let result = stage.function().await.invoke(&json!({})).await.result();
    let instance = &result["instances"][0];
    assert_eq!(
        (&instance["state"], &instance["cacheReadable"]),
        (&json!("flushed"), &json!(false)),
        "{result}"
    );
    assert!(!stage.balancer_is_blocked().await);
}
