//! Servers that turn us away, and things that are no server.

use std::path::Path;
use std::time::{Duration, Instant};

use lab::lambda::Function;
use lab::tls::Authority;
use lab::workspace::Run;
use serde_json::json;

use crate::fake::{Fake, Manner, error_packet};
use crate::stage::{INSTANCE, assert_words, start};

/// The function, for something that pretends to be the instance.
async fn function_for(fake: &Fake) -> (Function, lab::rds::RdsApi, Run) {
    let run = Run::new().unwrap();
    let authority = run.scratch("tls").unwrap().join("authority.pem");
    std::fs::write(&authority, Authority::new().unwrap().pem()).unwrap();
    let rds = fake.described().await;
    (start(&rds, &authority, &[]).await, rds, run)
}

#[tokio::test]
async fn a_server_that_blocks_our_own_address_is_said_to_do_exactly_that() {
    let text = "Host '10.0.7.9' is blocked because of many connection errors; unblock with \
                'mariadb-admin flush-hosts'";
    let fake = Fake::start(Manner::Says(error_packet(1129, text))).await;
    let (function, _rds, _run) = function_for(&fake).await;
    let (_, message) = function.invoke(&json!({})).await.error();
    assert_words(&message, &[INSTANCE, "1129", "10.0.7.9", "own address"]);
}

#[tokio::test]
async fn a_server_that_lets_no_account_in_from_here_is_quoted() {
    let text = "Host '10.0.7.9' is not allowed to connect to this MariaDB server";
    let fake = Fake::start(Manner::Says(error_packet(1130, text))).await;
    let (function, _rds, _run) = function_for(&fake).await;
    let (_, message) = function.invoke(&json!({})).await.error();
    assert_words(&message, &[INSTANCE, "1130", "10.0.7.9"]);
}

/// PostgreSQL waits for the client to begin, as our driver waits for the server: nothing happens
/// until we give up.
#[tokio::test]
async fn something_that_is_no_mysql_server_is_an_error_before_the_deadline() {
    let postgresql = b"E\0\0\0\x1eSFATAL\0C08P01\0Mbad packet\0\0".to_vec();
    let manners = [
        Manner::Answers(postgresql.clone()),
        Manner::Says(postgresql),
        Manner::Says(b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\r\n".to_vec()),
        Manner::Closes,
        Manner::Silent,
    ];
    let mut attempts = tokio::task::JoinSet::new();
    for manner in manners {
        attempts.spawn(async move {
            let fake = Fake::start(manner.clone()).await;
            let (function, _rds, _run) = function_for(&fake).await;
            let (limit, began) = (Duration::from_secs(15), Instant::now());
            let (_, message) = function.invoke_within(&json!({}), limit).await.error();
            assert!(began.elapsed() < limit, "{manner:?}: {:?}", began.elapsed());
            (manner, message)
        });
    }
    for (manner, message) in attempts.join_all().await {
        assert!(message.contains(INSTANCE) && !message.contains("panick"), "{manner:?}: {message}");
        if matches!(manner, Manner::Silent | Manner::Answers(_)) {
            assert_words(&message, &["not MySQL or MariaDB"]);
        }
    }
}

#[tokio::test]
async fn another_engine_is_refused_at_the_start() {
    let fake = Fake::start(Manner::Silent).await;
    let rds = fake.described().await;
    let function = start(&rds, Path::new("unread.pem"), &[("DATABASE_ENGINE", "postgres")]).await;
    let (kind, message) = function.init_error().await.0.error();
    assert_eq!(kind, "InvalidConfiguration");
    assert_words(&message, &["DATABASE_ENGINE", "postgres", "MySQL"]);
    assert!(rds.account().calls.is_empty());
}

#[tokio::test]
async fn an_instance_that_runs_another_engine_is_refused_before_it_is_spoken_to() {
    let fake = Fake::start(Manner::Silent).await;
    let (function, rds, _run) = function_for(&fake).await;
    rds.account().instances[0].engine = "postgres".to_owned();
    let (limit, began) = (Duration::from_secs(12), Instant::now());
    let (_, message) = function.invoke_within(&json!({}), limit).await.error();
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}: {message}", began.elapsed());
    assert_words(&message, &[INSTANCE, "postgres"]);
}
