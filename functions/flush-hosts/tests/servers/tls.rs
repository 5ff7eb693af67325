//! No login without a proof of who the server is.

use lab::mariadb::{Options, Tls};
use lab::rds::Instance;
use lab::tls::Authority;
use serde_json::json;

use crate::stage::{INSTANCE, Stage, assert_words};

#[tokio::test]
async fn a_server_that_another_authority_vouches_for_is_refused() {
    let stage = Stage::start(Options::default()).await;
    let other = stage.run.scratch("other").unwrap().join("authority.pem");
    std::fs::write(&other, Authority::new().unwrap().pem()).unwrap();
    for bundle in [other.to_str().unwrap(), ""] {
        let function = stage.function_with(&[("CA_BUNDLE", bundle)]).await;
        let (_, message) = function.invoke(&json!({})).await.error();
        assert_words(&message, &[INSTANCE, "certificate", "CA_BUNDLE"]);
    }
}

#[tokio::test]
async fn a_server_with_a_certificate_for_another_name_is_refused() {
    let stage = Stage::start(Options { tls: Tls::OtherName, ..Options::default() }).await;
    let (_, message) = stage.function().await.invoke(&json!({})).await.error();
    assert_words(&message, &[INSTANCE, "certificate", "localhost", "name"]);
}

#[tokio::test]
async fn a_server_that_is_known_by_its_address_only_is_refused() {
    let stage = Stage::start(Options::default()).await;
    let port = stage.server.addr().port();
    stage.rds.account().instances =
        vec![Instance::available(INSTANCE, "mariadb", "127.0.0.1", port)];
    let (_, message) = stage.function().await.invoke(&json!({})).await.error();
    assert_words(&message, &[INSTANCE, "certificate"]);
}

#[tokio::test]
async fn a_certificate_that_has_expired_is_refused() {
    let stage = Stage::start(Options { tls: Tls::Expired, ..Options::default() }).await;
    let (_, message) = stage.function().await.invoke(&json!({})).await.error();
    assert_words(&message, &[INSTANCE, "certificate", "expired"]);
}

#[tokio::test]
async fn a_server_without_tls_gets_no_password() {
    let stage = Stage::start(Options { tls: Tls::Off, ..Options::default() }).await;
    let (_, message) = stage.function().await.invoke(&json!({})).await.error();
    assert_words(&message, &[INSTANCE, "TLS"]);
    // An attempt to log in would be counted, whatever its outcome.
    let attempts = "SELECT COUNT(*) FROM information_schema.processlist WHERE user = 'flusher'";
    assert_eq!(stage.server.sql(attempts).await.unwrap(), "0");
}
