//! Several instances, in every status, some of them out of reach.

use lab::host_cache::{BALANCER, block};
use lab::mariadb::{NAME, Options, Server};
use lab::rds::{CLUSTER, Instance};
use lab::workspace::Run;
use serde_json::{Value, json};

use crate::fake::{Fake, Manner};
use crate::stage::{PASSWORD, Stage, USER, assert_words, metrics};

const AS_CLUSTER: [(&str, &str); 2] =
    [("DATABASE_KIND", "cluster"), ("DATABASE_IDENTIFIER", CLUSTER)];

async fn second_server(run: &Run) -> Server {
    let server = Server::mariadb(run, "second", &Options::default()).await.unwrap();
    let create = format!(
        "CREATE USER {USER}@'%' IDENTIFIED BY '{PASSWORD}'; GRANT RELOAD ON *.* TO {USER}@'%'"
    );
    server.sql(&create).await.unwrap();
    server
}

/// What the report says about an instance.
fn reported<'a>(result: &'a Value, id: &str) -> &'a Value {
    let instances = result["instances"].as_array().unwrap();
    instances
        .iter()
        .find(|instance| instance["instance"] == id)
        .unwrap_or_else(|| panic!("no {id} in {result}"))
}

#[tokio::test]
async fn every_instance_of_a_cluster_is_flushed() {
    let stage = Stage::start(Options::default()).await;
    let second = second_server(&stage.run).await;
    stage.rds.account().instances.push(Instance::available(
        "orders-2",
        "mariadb",
        NAME,
        second.addr().port(),
    ));
    for server in [&stage.server, &second] {
        block(BALANCER, server.addr()).await.unwrap();
    }
    // Each server has an authority of its own here; RDS's bundle has many as well.
    let both = stage.run.scratch("bundle").unwrap().join("both.pem");
    let read = |server: &Server| std::fs::read_to_string(server.authority()).unwrap();
    std::fs::write(&both, read(&stage.server) + &read(&second)).unwrap();
    let [kind, identifier] = AS_CLUSTER;
    let function =
        stage.function_with(&[kind, identifier, ("CA_BUNDLE", both.to_str().unwrap())]).await;
    let result = function.invoke(&json!({})).await.result();
    assert_eq!(result["database"], CLUSTER);
    for id in ["orders-1", "orders-2"] {
        assert_eq!(reported(&result, id)["state"], "flushed", "{result}");
    }
    assert!(!lab::host_cache::is_blocked(BALANCER, second.addr()).await.unwrap());
    assert!(!stage.balancer_is_blocked().await);
}

#[tokio::test]
async fn an_instance_out_of_reach_is_named_after_the_others_are_done() {
    let stage = Stage::start(Options::default()).await;
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let silent = Fake::start(Manner::Silent).await;
    let unreachable = [
        Instance::available("orders-closed", "mariadb", NAME, closed),
        silent.instance("orders-silent"),
        Instance::available("orders-unknown", "mariadb", "nowhere.invalid", 3306),
    ];
    stage.rds.account().instances.splice(0..0, unreachable);
    block(BALANCER, stage.server.addr()).await.unwrap();
    let function = stage.function_with(&AS_CLUSTER).await;
    let (_, message) = function.invoke(&json!({})).await.error();
    assert_words(
        &message,
        &["orders-closed: ", "refused", "orders-silent: ", "orders-unknown: ", "failed to lookup"],
    );
    assert!(!stage.balancer_is_blocked().await);
    let lines = function.stop().await;
    assert_eq!(metrics(&lines)[0]["FlushFailed"], json!(3), "{lines:?}");
}

#[tokio::test]
async fn an_instance_that_cannot_answer_yet_or_any_more_is_skipped_with_its_status() {
    let stage = Stage::start(Options::default()).await;
    let statuses = ["creating", "stopped", "stopping", "deleting"];
    for status in statuses {
        // One in creation has no endpoint; the others keep theirs, and nobody listens there.
        let endpoint = (status != "creating").then(|| (NAME.to_owned(), 1));
        let id = format!("orders-{status}");
        let instance =
            Instance { id, status: status.to_owned(), engine: "mariadb".to_owned(), endpoint };
        stage.rds.account().instances.push(instance);
    }
    let function = stage.function_with(&AS_CLUSTER).await;
    let result = function.invoke(&json!({})).await.result();
    assert_eq!(reported(&result, "orders-1")["state"], "flushed", "{result}");
    for status in statuses {
        let instance = reported(&result, &format!("orders-{status}"));
        assert_eq!(
            (&instance["state"], &instance["status"]),
            (&json!("skipped"), &json!(status)),
            "{result}"
        );
        assert_eq!(instance["error"], Value::Null);
    }
}

/// An instance that is being backed up or modified answers like any other.
#[tokio::test]
async fn an_instance_at_work_is_flushed() {
    let stage = Stage::start(Options::default()).await;
    for status in ["backing-up", "modifying", "storage-optimization"] {
        stage.rds.account().instances[0].status = status.to_owned();
        let result = stage.function().await.invoke(&json!({})).await.result();
        assert_eq!(result["instances"][0]["state"], "flushed", "{status}: {result}");
    }
}

#[tokio::test]
async fn a_database_that_is_not_there_or_not_shown_is_an_error_that_names_it() {
    let stage = Stage::start(Options::default()).await;
    let changes = [("DATABASE_IDENTIFIER", "renamed")];
    let (_, message) = stage.function_with(&changes).await.invoke(&json!({})).await.error();
    assert_words(&message, &["renamed", "DBInstanceNotFound"]);
    let changes = [("DATABASE_IDENTIFIER", "renamed"), ("DATABASE_KIND", "cluster")];
    let (_, message) = stage.function_with(&changes).await.invoke(&json!({})).await.error();
    assert_words(&message, &["renamed"]);
    stage.rds.account().faults.insert("DescribeDBInstances", (403, "AccessDenied"));
    let (_, message) = stage.function().await.invoke(&json!({})).await.error();
    assert_words(&message, &["AccessDenied", "DescribeDBInstances"]);
}
