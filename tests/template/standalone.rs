//! `function-standalone.yaml`, which a release makes out of `infra/function.yaml`.

use std::collections::BTreeSet;
use std::process::Command;
use std::sync::LazyLock;

use serde_json::{Map, Value, json};

use super::stack::{FILES, NESTED_STACK, layer, owned, parsed, root, takes};

/// What CloudFormation takes in a request, and so a command, StackSets and Terraform.
const LARGEST: usize = 51_200;

/// As it stands in a release.
static TEXT: LazyLock<String> = LazyLock::new(|| {
    let output = Command::new(root().join(".venv/bin/python"))
        .arg(root().join("infra/standalone.py"))
        .output()
        .expect(".venv/bin/python exists and runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
});

static STANDALONE: LazyLock<Value> = LazyLock::new(|| parsed(&TEXT));

/// What only a stack above gives: the names in metrics, while the ARNs are placeholders.
const NESTED_ONLY: [&str; 3] =
    ["LoadBalancerFullName", "ReaderTargetGroupFullName", "TargetGroupFullName"];

/// As a pattern takes it.
const PLACEHOLDER: &str = r"|\{\{[^{}]+\}\}";

const PARAMETERS: [&str; 3] = ["CodeS3Bucket", "CodeS3Key", "CodeS3ObjectVersion"];

fn part(template: &Value, name: &str) -> Map<String, Value> {
    template[name].as_object().unwrap().clone()
}

/// The same without the white space that means nothing, in texts of several lines.
fn on_one_line(node: &Value) -> Value {
    match node {
        Value::String(text) if text.contains("[\"") => {
            text.split_whitespace().collect::<String>().into()
        }
        Value::String(text) => text.split_whitespace().collect::<Vec<_>>().join(" ").into(),
        Value::Array(items) => items.iter().map(on_one_line).collect(),
        Value::Object(map) => {
            let map = map.iter().map(|(key, value)| (key.clone(), on_one_line(value)));
            Value::Object(map.collect())
        }
        scalar => scalar.clone(),
    }
}

/// The same with what is there if the names are not given, and without placeholders.
fn without_stack_above(node: &Value) -> Value {
    match node {
        Value::String(text) => text.replace(PLACEHOLDER, "").into(),
        Value::Array(items) => items.iter().map(without_stack_above).collect(),
        Value::Object(map) => {
            let condition = map.get("Fn::If").and_then(|branches| branches[0].as_str());
            let asks = |name: &str| condition == Some(&format!("{name}Given"));
            if NESTED_ONLY.into_iter().any(asks) {
                return without_stack_above(&map["Fn::If"][2]);
            }
            let map = map.iter().map(|(key, value)| (key.clone(), without_stack_above(value)));
            Value::Object(map.collect())
        }
        scalar => scalar.clone(),
    }
}

#[test]
fn both_forms_are_the_same_but_for_where_the_code_is_and_what_a_stack_above_gives() {
    let mut nested = without_stack_above(&on_one_line(layer("infra/function.yaml")));
    for name in NESTED_ONLY {
        let remove = |nested: &mut Value, part: &str, name: &str| {
            nested[part].as_object_mut().unwrap().remove(name)
        };
        assert!(remove(&mut nested, "Parameters", name).is_some(), "{name}");
        assert!(remove(&mut nested, "Conditions", &format!("{name}Given")).is_some(), "{name}");
    }
    let mut alone = on_one_line(&STANDALONE);
    // What people are asked for is not asked here, and a tool is told the same.
    let metadata = |template: &mut Value| template.as_object_mut().unwrap().remove("Metadata");
    let (all, told) = (metadata(&mut nested), metadata(&mut alone));
    assert_eq!(told, all.map(|all| json!({"cfn-lint": all["cfn-lint"]})));

    let function = |template: &mut Value| template["Resources"]["Function"].take();
    let (mut built, mut named) = (function(&mut nested), function(&mut alone));
    assert!(built.as_object_mut().unwrap().remove("Metadata").is_some());
    assert_eq!(built["Properties"]["Code"].take(), "../functions/failover-sync");
    let code = json!({
        "S3Bucket": {"Ref": "CodeS3Bucket"},
        "S3Key": {"Ref": "CodeS3Key"},
        "S3ObjectVersion": {"Fn::If": [
            "CodeS3ObjectVersionGiven",
            {"Ref": "CodeS3ObjectVersion"},
            {"Ref": "AWS::NoValue"},
        ]},
    });
    assert_eq!(named["Properties"]["Code"].take(), code);
    assert_eq!(named, built);

    let parameters = alone["Parameters"].as_object_mut().unwrap();
    let added = PARAMETERS.map(|name| parameters.remove(name).unwrap());
    assert!(added.iter().all(|one| one["Description"].is_string()));
    // Which zip it is, nobody but its bringer knows.
    let processor = parameters["Architecture"].take();
    assert_eq!([processor.get("Default"), processor["AllowedValues"].get(2)], [None, None]);
    nested["Parameters"]["Architecture"].take();
    let given = alone["Conditions"].as_object_mut().unwrap().remove("CodeS3ObjectVersionGiven");
    assert_eq!(given, Some(json!({"Fn::Not": [{"Fn::Equals": [{"Ref": PARAMETERS[2]}, ""]}]})));
    assert_eq!(alone, nested);
}

#[test]
fn whatever_takes_a_template_takes_it() {
    assert!(TEXT.len() <= LARGEST, "{} bytes", TEXT.len());
    let own = FILES["infra/function.yaml"].as_object().unwrap().keys();
    let parts: BTreeSet<_> = STANDALONE.as_object().unwrap().keys().collect();
    assert_eq!(parts, own.collect(), "no Transform, and nothing else of its own");
    for (name, resource) in part(&STANDALONE, "Resources") {
        let kind = resource["Type"].as_str().unwrap();
        assert!(kind != NESTED_STACK && !kind.starts_with("AWS::Serverless"), "{name}");
        for named in ["RoleName", "ManagedPolicyName"] {
            assert_eq!(resource["Properties"].get(named), None, "{name}: CAPABILITY_IAM is enough");
        }
    }
    for local in ["../functions", "TemplateURL", "BuildMethod", "file://"] {
        assert!(!TEXT.contains(local), "{local}");
    }
    assert!(!TEXT.contains(PLACEHOLDER), "no stack stands above it");
}

#[test]
fn the_code_is_an_object_of_a_bucket() {
    let parameters = part(&STANDALONE, "Parameters");
    let required: BTreeSet<_> = parameters
        .iter()
        .filter(|(_, definition)| definition.get("Default").is_none())
        .map(|(name, _)| name.clone())
        .collect();
    let nested = layer("infra/function.yaml")["Parameters"].as_object().unwrap().iter();
    let mut expected: BTreeSet<_> = nested
        .filter(|(_, definition)| definition.get("Default").is_none())
        .map(|(name, _)| name.clone())
        .collect();
    expected.extend(owned(["Architecture", PARAMETERS[0], PARAMETERS[1]]));
    assert_eq!(required, expected);
    for (name, right, wrong) in [
        (PARAMETERS[0], &["my-bucket", "a.b.c"][..], &["", "My-Bucket", "s3://bucket", "b"][..]),
        (PARAMETERS[1], &["failover-sync/0123.zip"], &[""]),
        (PARAMETERS[2], &["", "3sL4kqtJlcpXroDTDmJ.rmSpXd3dIbrHY"], &[]),
        ("Architecture", &["arm64", "x86_64"], &["", "x64"]),
    ] {
        right.iter().for_each(|value| assert!(takes(&parameters[name], value), "{name}: {value}"));
        wrong.iter().for_each(|value| assert!(!takes(&parameters[name], value), "{name}: {value}"));
    }
}
