//! Every template takes the partitions that AWS's own endpoint list knows, and no others.

use std::collections::BTreeSet;

use reconcile::partition::PARTITIONS;
use regex::Regex;
use serde_json::Value;

use super::stack::{layer, load, root, takes, text};

/// `partitions.json` of botocore, which is in the environment of the tests.
fn known() -> Vec<Value> {
    let libraries = std::fs::read_dir(root().join(".venv/lib")).unwrap();
    let path = libraries
        .map(|entry| entry.unwrap().path().join("site-packages/botocore/data/partitions.json"));
    let path = path.into_iter().find(|path| path.exists()).unwrap();
    let list: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    list["partitions"].as_array().unwrap().clone()
}

/// Every template with its parameters.
fn templates() -> impl Iterator<Item = (String, Value)> {
    let infra = std::fs::read_dir(root().join("infra")).unwrap();
    let infra =
        infra.map(|entry| format!("infra/{}", entry.unwrap().file_name().to_str().unwrap()));
    let paths = infra.filter(|path| path.ends_with(".yaml")).chain(["template.yaml".to_owned()]);
    paths.map(|path| (path.clone(), load(&path)["Parameters"].clone()))
}

#[test]
fn the_partitions_are_those_of_the_endpoint_list() {
    let own: BTreeSet<_> =
        PARTITIONS.into_iter().map(|(id, suffix)| (id.to_owned(), suffix.to_owned())).collect();
    let listed =
        known().iter().map(|one| (text(&one["id"]), text(&one["outputs"]["dnsSuffix"]))).collect();
    assert_eq!(own, listed);
}

#[test]
fn an_arn_and_a_region_may_be_of_every_partition() {
    let others = PARTITIONS
        .iter()
        .filter_map(|(id, _)| id.strip_prefix("aws"))
        .filter(|end| !end.is_empty());
    let partition = format!("arn:aws({})?:", others.collect::<Vec<_>>().join("|"));
    let region = r"[a-z]{2,4}(-[a-z]+)+-[0-9]+";
    let (mut arns, mut regions) = (0, 0);
    for (path, parameters) in templates() {
        for (name, parameter) in parameters.as_object().unwrap() {
            let Some(pattern) = parameter["AllowedPattern"].as_str() else { continue };
            assert_eq!(
                pattern.matches("arn:").count(),
                pattern.matches(&partition).count(),
                "{path}: {name}"
            );
            assert_eq!(
                pattern.matches("(-[a-z]+)").count(),
                pattern.matches(region).count(),
                "{path}: {name}"
            );
            (arns, regions) =
                (arns + pattern.matches("arn:").count(), regions + pattern.matches(region).count());
        }
    }
    assert!(arns > 20 && regions > 5, "{arns}, {regions}");
    let region = Regex::new(&format!("^{region}$")).unwrap();
    for partition in known() {
        let regions = partition["regions"].as_object().unwrap().keys();
        let unknown: Vec<_> =
            regions.filter(|one| !one.ends_with("-global") && !region.is_match(one)).collect();
        assert!(unknown.is_empty(), "{unknown:?}");
    }
}

#[test]
fn consumers_name_databases_and_services_of_every_partition() {
    let parameters = load("infra/consumer.yaml")["Parameters"].clone();
    let takes = |name: &str, value: &str| takes(&parameters[name], value);
    for (_, suffix) in PARTITIONS {
        for name in [
            "orders.cluster-c1.xy-north-1.rds",
            "orders.cluster-c1.rds.xy-north-1",
            "orders-1.c1.rds.xy-north-1",
        ] {
            assert!(takes("DatabaseHostName", &format!("{name}.{suffix}")), "{name}.{suffix}");
        }
        for name in [
            "xy-north-1.rds",
            "rds.xy-north-1",
            "c1.xy-north-1.rds",
            "c1.rds.xy-north-1",
            "c1.vpce.xy-north-1",
        ] {
            assert!(!takes("DatabaseHostName", &format!("{name}.{suffix}")), "{name}.{suffix}");
        }
        let link = &layer("infra/link.yaml")["Parameters"]["DatabaseKindAndEndpoint"];
        for name in ["orders.cluster-ro-c1.xy-north-1.rds", "orders.cluster-ro-c1.rds.xy-north-1"] {
            let takes = |kind: &str| super::stack::takes(link, &format!("{kind} {name}.{suffix}"));
            assert_eq!(
                ["readers", "cluster", "hostname"].map(takes),
                [true, false, false],
                "{name}.{suffix}"
            );
        }
        let reversed = suffix.rsplit('.').collect::<Vec<_>>().join(".");
        let service = format!("{reversed}.vpce.eusc-de-east-1.vpce-svc-0123456789abcdef0");
        assert!(takes("ServiceName", &service), "{service}");
    }
}
