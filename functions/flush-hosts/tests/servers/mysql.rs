//! MySQL, which few distributions have beside MariaDB: only where somebody has installed it.

use std::io::Write;

use lab::host_cache::{BALANCER, block};
use lab::mariadb::{CHROOT_VARIABLE, Options, Server};
use lab::workspace::Run;
use serde_json::{Value, json};

use crate::stage::{INSTANCE, PASSWORD, Stage, USER, assert_words};

const TRUNCATE: &str = "TRUNCATE TABLE performance_schema.host_cache";
const END_OF_BINLOG: &str = "SHOW BINARY LOG STATUS";

/// All that the function needs.
const GRANTS: &str = "SELECT, DROP";

/// The server with an account that has these privileges on the table, if there is a server.
async fn stage(performance_schema: bool, grants: &str) -> Option<Stage> {
    let run = Run::new().unwrap();
    let options = Options { performance_schema, ..Options::default() };
    let Some(server) = Server::mysql(&run, &options).await.unwrap() else {
        let command =
            format!("as root, run make mysql, then {CHROOT_VARIABLE}=$PWD/target/mysql make test");
        #[expect(
            clippy::explicit_write,
            reason = "what eprintln! prints is not shown when a test passes"
        )]
        writeln!(std::io::stderr(), "SKIPPED, no MySQL server is here: {command}").unwrap();
        return None;
    };
    let create = format!("CREATE USER {USER}@'%' IDENTIFIED BY '{PASSWORD}'");
    let grant = format!("GRANT {grants} ON performance_schema.host_cache TO {USER}@'%'");
    server.sql(&format!("{create}; {grant}")).await.unwrap();
    Some(Stage::with(run, server, "mysql").await)
}

#[tokio::test]
async fn a_block_is_lifted_and_nothing_is_written_to_the_binary_log() {
    for performance_schema in [true, false] {
        let Some(stage) = stage(performance_schema, GRANTS).await else { return };
        stage.server.sql("SET GLOBAL super_read_only = 1").await.unwrap();
        block(BALANCER, stage.server.addr()).await.unwrap();
        let end = stage.end_of_binlog(END_OF_BINLOG).await;
        let function = stage.function_with(&[("DATABASE_ENGINE", "mysql")]).await;
        let result = function.invoke(&json!({"dryRun": true})).await.result();
        assert_eq!(result["instances"][0]["blocked"], json!(["127.0.0.2"]), "{result}");
        assert!(stage.balancer_is_blocked().await);
        let result = function.invoke(&json!({})).await.result();
        let instance = &result["instances"][0];
        assert_eq!(
            (&instance["state"], &instance["error"]),
            (&json!("flushed"), &Value::Null),
            "{result}"
        );
        assert_eq!(
            (&instance["statement"], &instance["cacheReadable"]),
            (&json!(TRUNCATE), &json!(true))
        );
        assert!(!stage.balancer_is_blocked().await);
        assert_eq!(stage.end_of_binlog(END_OF_BINLOG).await, end);
    }
}

#[tokio::test]
async fn a_missing_privilege_is_named_with_the_grant_that_gives_it() {
    let Some(stage) = stage(true, "SELECT").await else { return };
    let function = stage.function_with(&[("DATABASE_ENGINE", "mysql")]).await;
    let (_, message) = function.invoke(&json!({})).await.error();
    assert_words(&message, &[INSTANCE, "1142", "GRANT", "DROP", "host_cache"]);
}
