//! A name and a kind that contradict each other: refused by the link, made first, and the function.

use reconcile::config::Config;
use serde_json::json;

use super::stack::{ENDPOINTS, LAYERS, Stack, TARGET_GROUP, layer, section, strings, takes};

/// What RDS and others call an endpoint, as far as the form matters.
const NAMES: [&str; 20] = [
    "app.cluster-abc123.eu-west-1.rds.amazonaws.com",
    "app.cluster-ro-abc123.eu-west-1.rds.amazonaws.com",
    "app.cluster-custom-abc123.eu-west-1.rds.amazonaws.com",
    "app.abc123.eu-west-1.rds.amazonaws.com",
    "cluster-ro-app.abc123.eu-west-1.rds.amazonaws.com",
    "app.proxy-abc123.eu-west-1.rds.amazonaws.com",
    "more.endpoint.proxy-abc123.eu-west-1.rds.amazonaws.com",
    "app.global-abc123.global.rds.amazonaws.com",
    "app.shardgrp-abc123.eu-west-1.rds.amazonaws.com",
    "app.cluster-abc123.cn-north-1.rds.amazonaws.com.cn",
    "app.cluster-ro-abc123.cn-north-1.rds.amazonaws.com.cn",
    "app.abc123.cn-north-1.rds.amazonaws.com.cn",
    "app.cluster-abc123.eu-west-1.docdb.amazonaws.com",
    "app.cluster-ro-abc123.rds.internal.example",
    "db.internal.example",
    "rds.amazonaws.com.internal.example",
    "10.0.1.9",
    "fd00:ec2::9",
    "::1",
    "10-0-1-9.internal.example",
];

fn is_taken_by_the_link(kind: &str, endpoint: &str) -> bool {
    takes(
        &layer("infra/link.yaml")["Parameters"]["DatabaseKindAndEndpoint"],
        &format!("{kind} {endpoint}"),
    )
}

fn is_taken_by_the_function(kind: &str, endpoint: &str) -> bool {
    let family = if endpoint.contains(':') { "ipv6" } else { "ipv4" };
    let binding = json!({
        "name": "writer", "endpoint": endpoint, "port": 5432, "targetGroupArn": TARGET_GROUP,
        "kind": kind, "ipAddressType": family,
    });
    Config::parse(|name| (name == "BINDINGS").then(|| json!([binding]).to_string())).is_ok()
}

#[test]
fn the_link_takes_the_kinds_and_names_together_that_the_function_takes() {
    for kind in strings(&section("Parameters")["DatabaseKind"]["AllowedValues"]) {
        for name in NAMES {
            let expected = is_taken_by_the_function(&kind, name);
            assert_eq!(is_taken_by_the_link(&kind, name), expected, "{kind} {name}");
        }
    }
    for (kind, endpoint) in ENDPOINTS {
        assert!(is_taken_by_the_link(kind, endpoint), "{kind} {endpoint}");
    }
}

#[test]
fn a_reader_endpoint_is_no_cluster_and_a_custom_one_no_host_name() {
    let [cluster, readers, custom] = [NAMES[0], NAMES[1], NAMES[2]];
    for (kind, endpoint) in
        [("cluster", readers), ("cluster", custom), ("hostname", custom), ("readers", cluster)]
    {
        assert!(!is_taken_by_the_link(kind, endpoint), "{kind} {endpoint}");
    }
    assert!(
        is_taken_by_the_link("readers", custom),
        "whichever the endpoint names, all readers are registered"
    );
    assert!(is_taken_by_the_link("hostname", cluster), "one address is a name's to tell");
    let link = &layer("infra/link.yaml")["Parameters"]["DatabaseKindAndEndpoint"];
    assert!(takes(link, ""), "a link alone has no database yet");
}

#[test]
fn the_front_door_has_the_link_compare_them_before_anything_is_made() {
    let passed = &layer(LAYERS[0])["Resources"]["Link"]["Properties"]["Parameters"];
    let passed = &passed["DatabaseKindAndEndpoint"];
    assert_eq!(*passed, json!({"Fn::Sub": "${DatabaseKind} ${DatabaseEndpoint}"}));
    let link = Stack::with(&[])
        .nested("Link")
        .map(|link| link.parameter("DatabaseKindAndEndpoint").to_owned());
    assert_eq!(link, Some(format!("cluster {}", ENDPOINTS[0].1)));
}
