//! What `infra/database.yaml` makes of `template.yaml`. The local CloudFormation deploys nested stacks, but does not apply
//! SAM's transform to their templates, so the two are put together here: what one passes on, the other is given.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use serde_json::{Value, json};

use super::stack::{ENDPOINTS, Stack, TEMPLATE, load, strings, text};
use super::{ASKING, FUNCTION_IN_VPC, LOAD_BALANCER, LOAD_BALANCER_GROUP, READERS, joined};

static DATABASE: LazyLock<Value> = LazyLock::new(|| load("infra/database.yaml"));

const TOPIC: (&str, &str) = ("OperationsTopicArn", "arn:aws:sns:eu-west-1:111122223333:ops");
const SECRET: &str = "arn:aws:secretsmanager:eu-west-1:111122223333:secret:witness-AbCdEf";
const LAYER: &str = "arn:aws:lambda:eu-west-1:111122223333:layer:ca:3";
const BASE: [(&str, &str); 10] = [
    ("LoadBalancerArn", LOAD_BALANCER),
    ("LoadBalancerSecurityGroupId", LOAD_BALANCER_GROUP),
    ("VpcId", "vpc-0123456789abcdef0"),
    TOPIC,
    ("DatabaseEndpoint", "app.cluster-abc123.eu-west-1.rds.amazonaws.com"),
    ("DatabasePort", "5432"),
    ("DatabaseEngine", "postgres"),
    ("DatabaseKind", "cluster"),
    ("ListenerPort", "15432"),
    ("DatabaseCidrs", "10.0.1.0/24"),
];

/// Both templates under these parameters: the one that is deployed, and the one that it nests.
fn stacks(given: &[(&str, &str)]) -> [Stack; 2] {
    let base = BASE.iter().filter(|(name, _)| !given.iter().any(|(other, _)| other == name));
    let outer = Stack::of(&DATABASE, &given.iter().chain(base).copied().collect::<Vec<_>>());
    let passed = outer.existing("Database")["Parameters"].clone();
    let passed: Vec<_> = passed.as_object().unwrap().iter().map(|(name, value)| (name.clone(), text(value))).collect();
    let inner = Stack::of(&TEMPLATE, &passed.iter().map(|(name, value)| (&**name, &**value)).collect::<Vec<_>>());
    [outer, inner]
}

#[test]
fn it_is_the_one_template_that_joins() {
    let resources = DATABASE["Resources"].as_object().unwrap();
    assert_eq!(resources.keys().collect::<Vec<_>>(), ["Database"]);
    assert_eq!(resources["Database"]["Type"], "AWS::Serverless::Application");
    assert_eq!(resources["Database"]["Properties"]["Location"], "../template.yaml");
    let secret = [FUNCTION_IN_VPC[0], FUNCTION_IN_VPC[1], ("WitnessSecretArn", SECRET), ("CaBundleLayerArn", LAYER)];
    let asking = [&ASKING[..], &secret].map(|login| (ENDPOINTS[0], login));
    for ((kind, endpoint), login) in ENDPOINTS.map(|endpoint| (endpoint, &[][..])).into_iter().chain(asking) {
        let own = [("DatabaseKind", kind), ("DatabaseEndpoint", endpoint), ("ListenerPort", "15432"), TOPIC];
        let parameters = [&own[..], login].concat();
        let [outer, inner] = stacks(&parameters);
        assert_eq!([outer.refusals(), inner.refusals()], [[""; 0]; 2], "{kind}");
        let direct = joined(&[&parameters[..], &[("FunctionName", "link")]].concat());
        assert_eq!(inner.resources(), direct.resources(), "{kind}");
        for name in inner.resources() {
            assert_eq!(inner.existing(&name), direct.existing(&name), "{kind}: {name}");
        }
    }
}

#[test]
fn every_parameter_is_passed_on_and_takes_what_the_template_takes() {
    let outer = DATABASE["Parameters"].as_object().unwrap();
    let passed = DATABASE["Resources"]["Database"]["Properties"]["Parameters"].as_object().unwrap();
    let own: BTreeSet<_> = outer.keys().map(String::as_str).collect();
    let extra: Vec<_> = passed.keys().filter(|name| !own.contains(name.as_str())).collect();
    assert_eq!(extra, ["FunctionName"]);
    for (name, definition) in outer {
        assert_eq!(passed[name], json!({"Ref": name}));
        // What is required here may be empty there, so that only the patterns of the others are the same.
        let pattern = definition.get("Default").and(definition.get("AllowedPattern"));
        let inner = &TEMPLATE["Parameters"][name]["AllowedPattern"];
        assert!(pattern.is_none_or(|own| inner == own), "{name}");
        for bound in ["AllowedValues", "MinValue", "MaxValue", "MaxLength"] {
            if let Some(own) = definition.get(bound) {
                let inner = TEMPLATE["Parameters"][name].get(bound);
                assert!(name == "ListenerPort" || inner == Some(own), "{name}: {bound}");
            }
        }
    }
}

#[test]
fn what_a_link_needs_is_required() {
    let required = DATABASE["Parameters"].as_object().unwrap().iter();
    let required: BTreeSet<_> =
        required.filter(|(_, definition)| definition.get("Default").is_none()).map(|(name, _)| &**name).collect();
    let base = BASE.iter().map(|(name, _)| *name).filter(|name| *name != "DatabaseCidrs").collect();
    assert_eq!(required, base, "all but the ranges, which a security group may replace");
}

#[test]
fn every_parameter_is_explained_and_stands_in_one_group() {
    let interface = &DATABASE["Metadata"]["AWS::CloudFormation::Interface"];
    let groups = interface["ParameterGroups"].as_array().unwrap();
    let mut grouped: Vec<_> = groups.iter().flat_map(|group| strings(&group["Parameters"])).collect();
    grouped.sort();
    let parameters = DATABASE["Parameters"].as_object().unwrap();
    assert_eq!(grouped, parameters.keys().cloned().collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>());
    for (name, definition) in parameters {
        assert!(definition["Description"].as_str().is_some_and(|words| words.len() > 20), "{name} is not described");
        assert!(interface["ParameterLabels"][name]["default"].is_string(), "{name} has no label");
        let explained = definition.get("AllowedPattern").is_none() || definition["ConstraintDescription"].is_string();
        assert!(explained, "a mistake in {name} would be answered with a regular expression");
    }
}

#[test]
fn what_the_template_refuses_is_refused_before_it_is_nested() {
    let secret = ("WitnessSecretArn", SECRET);
    let asking = |changed: &[(&'static str, &'static str)]| {
        let kept = ASKING.into_iter().filter(|(name, _)| !changed.iter().any(|(other, _)| other == name));
        kept.chain(changed.iter().copied()).collect::<Vec<_>>()
    };
    let cases: [&[(&str, &str)]; 12] = [
        &asking(&[secret]),
        &asking(&[("DatabaseResourceIds", "")]),
        &asking(&[("FunctionSubnetIds", ""), ("FunctionSecurityGroupIds", "")]),
        &asking(&[("DatabaseKind", "instance"), ("DatabaseEngine", "sqlserver")]),
        &asking(&[("DatabaseKind", "readers")]),
        &[secret],
        &FUNCTION_IN_VPC[..1],
        &FUNCTION_IN_VPC[1..],
        &[("DatabaseKind", "address"), ("DatabaseEndpoint", "10.0.1.9"), ("DatabaseIdentifier", "app")],
        &[("DatabaseEngine", "oracle")],
        &[READERS, ("DatabaseKind", "instance")],
        &[READERS, ("ListenerPort", READERS.1)],
    ];
    for parameters in cases {
        let [outer, inner] = stacks(parameters).map(|stack| stack.refusals());
        assert_eq!(outer, inner, "{parameters:?}");
        assert_eq!(outer.len(), 1, "{parameters:?}: {outer:?}");
    }
    let [outer, inner] = stacks(&ASKING[3..]).map(|stack| stack.refusals());
    for refusals in [outer, inner] {
        assert!(matches!(&*refusals, [one] if one.contains("Give both, or neither")), "{refusals:?}");
    }
    assert_eq!(stacks(&ASKING).map(|stack| stack.refusals()), [[""; 0]; 2]);
    let accepted = [READERS, FUNCTION_IN_VPC[0], FUNCTION_IN_VPC[1], ("DatabaseCidrs", "")];
    assert_eq!(stacks(&accepted).map(|stack| stack.refusals()), [[""; 0]; 2]);
}

#[test]
fn the_outputs_are_the_nested_ones_where_they_exist() {
    for given in [&[][..], &[READERS], &[("DatabaseKind", "address"), ("DatabaseEndpoint", "10.0.1.9")]] {
        let [outer, inner] = stacks(given).map(|stack| stack.outputs());
        for (name, value) in &outer {
            assert_eq!(*value, format!("{{Database.Outputs.{name}}}"));
            assert!(inner.contains_key(name), "{given:?}: the nested stack has no output {name}");
        }
        // What was given, and what only concerns the host cache.
        let given_or_rare = ["LoadBalancerArn", "LoadBalancerSecurityGroupId", "OperationsTopicArn"];
        let passed: BTreeSet<_> = inner.keys().filter(|name| !given_or_rare.contains(&name.as_str())).collect();
        assert_eq!(outer.keys().collect::<BTreeSet<_>>(), passed, "{given:?}");
    }
}
