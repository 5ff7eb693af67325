//! Logging in, and what the account may do.

use std::os::unix::fs::PermissionsExt;

use lab::host_cache::{BALANCER, block};
use lab::lambda::{marked, told};
use lab::mariadb::{Options, PAM_SERVICE};
use lab::rds::SECRET_ARN;
use serde_json::json;

use crate::stage::{INSTANCE, PASSWORD, Stage, USER, assert_words, metrics};

#[tokio::test]
async fn a_missing_privilege_is_named_with_the_grant_that_gives_it() {
    let stage = Stage::start(Options::default()).await;
    stage.server.sql(&format!("REVOKE RELOAD ON *.* FROM {USER}@'%'")).await.unwrap();
    block(BALANCER, stage.server.addr()).await.unwrap();
    let function = stage.function().await;
    let (_, message) = function.invoke(&json!({})).await.error();
    assert_words(&message, &[INSTANCE, "1227", "RELOAD", "GRANT"]);
    assert!(stage.balancer_is_blocked().await);
    let lines = function.stop().await;
    assert_eq!(metrics(&lines)[0]["FlushFailed"], json!(1), "{lines:?}");
}

#[tokio::test]
async fn a_wrong_password_is_said_without_telling_it() {
    let stage = Stage::start(Options::default()).await;
    stage.rds.set_secret(USER, "a-wrong-password");
    let function = stage.function().await;
    let (_, message) = function.invoke(&json!({})).await.error();
    assert_words(&message, &[INSTANCE, "1045", USER]);
    let lines = function.stop().await;
    assert!(!message.contains("a-wrong-password"), "{message}");
    assert!(lines.iter().all(|line| !line.contains("a-wrong-password")), "{lines:?}");
}

#[tokio::test]
async fn a_secret_that_was_rotated_is_read_again() {
    let stage = Stage::start(Options::default()).await;
    let function = stage.function().await;
    function.invoke(&json!({})).await.result();
    stage.server.sql(&format!("SET PASSWORD FOR {USER}@'%' = PASSWORD('rotated')")).await.unwrap();
    stage.rds.set_secret(USER, "rotated");
    assert_eq!(function.invoke(&json!({})).await.result()["instances"][0]["state"], "flushed");
}

#[tokio::test]
async fn a_secret_that_is_missing_refused_or_without_a_password_is_an_error_that_names_it() {
    let stage = Stage::start(Options::default()).await;
    let function = stage.function().await;
    stage.rds.account().secret = None;
    let (_, message) = function.invoke(&json!({})).await.error();
    assert_words(&message, &[SECRET_ARN, "ResourceNotFoundException"]);
    stage.rds.account().secret =
        Some(format!("{{\"username\": \"{USER}\", \"passwort\": \"{PASSWORD}\"}}"));
    let (_, message) = function.invoke(&json!({})).await.error();
    assert_words(&message, &[SECRET_ARN, "password"]);
    assert!(!message.contains(PASSWORD), "{message}");
    stage.rds.account().faults.insert("GetSecretValue", (400, "AccessDeniedException"));
    let (_, message) = function.invoke(&json!({})).await.error();
    assert_words(&message, &[SECRET_ARN, "AccessDenied"]);
}

/// RDS asks for an IAM token as MariaDB's PAM plugin asks for a password: in clear text, inside
/// TLS.
#[tokio::test]
async fn an_iam_token_logs_in_through_the_clear_text_plugin() {
    let stage = Stage::start(Options { clear_text_login: true, ..Options::default() }).await;
    let create = format!("CREATE USER iam@'%' IDENTIFIED VIA pam USING '{PAM_SERVICE}'");
    stage.server.sql(&format!("{create}; GRANT RELOAD ON *.* TO iam@'%'")).await.unwrap();
    block(BALANCER, stage.server.addr()).await.unwrap();
    // The session token is part of the IAM token, and makes most of its length in Lambda.
    let session = "s".repeat(1400);
    let changes = [("SECRET_ARN", ""), ("DATABASE_USER", "iam"), ("AWS_SESSION_TOKEN", &session)];
    let function = stage.function_with(&changes).await;
    let result = function.invoke(&json!({})).await.result();
    assert_eq!(result["instances"][0]["state"], "flushed", "{result}");
    assert!(!stage.balancer_is_blocked().await);
    let lines = function.stop().await;
    assert!(
        lines.iter().all(|line| !line.contains("X-Amz-") && !line.contains(&session)),
        "{lines:?}"
    );
    assert!(!stage.rds.account().calls.iter().any(|call| call.starts_with("secretsmanager:")));
}

#[tokio::test]
async fn no_log_and_no_answer_tells_the_environment_or_the_password_even_at_the_level_trace() {
    let stage = Stage::start(Options::default()).await;
    let marked: Vec<(&str, String)> = marked().collect();
    let marked = marked.iter().map(|(name, value)| (*name, value.as_str()));
    let variables: Vec<_> =
        marked.chain([("AWS_LAMBDA_LOG_LEVEL", "TRACE"), ("RUST_LOG", "trace")]).collect();
    let function = stage.function_with(&variables).await;
    let mut answers = function.invoke(&json!({})).await.result().to_string();
    stage.rds.set_secret(USER, "a-wrong-password");
    answers += &function.invoke(&json!({})).await.error().1;
    stage.rds.account().faults.insert("DescribeDBInstances", (403, "AccessDenied"));
    answers += &function.invoke(&json!({})).await.error().1;
    let said = function.stop_and_tell().await + &answers;
    assert_words(&said, &[INSTANCE, "1045", "AccessDenied"]);
    assert_eq!(told(&said), [""; 0]);
    assert!(!said.contains(PASSWORD) && !said.contains("a-wrong-password"), "{said}");
}

#[tokio::test]
async fn a_ca_bundle_that_is_missing_or_empty_stops_the_start() {
    let stage = Stage::start(Options::default()).await;
    let directory = stage.run.scratch("bundles").unwrap();
    std::fs::set_permissions(&directory, PermissionsExt::from_mode(0o700)).unwrap();
    let empty = directory.join("empty.pem");
    std::fs::write(&empty, "no certificate is in here\n").unwrap();
    for bundle in [directory.join("missing.pem"), empty] {
        let path = bundle.to_str().unwrap();
        let (outcome, _) = stage.function_with(&[("CA_BUNDLE", path)]).await.init_error().await;
        assert_words(&outcome.error().1, &["CA_BUNDLE", path]);
    }
}
