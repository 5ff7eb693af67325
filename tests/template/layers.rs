//! What holds the layers together: each of them says the same as the others wherever they say something of the same name,
//! and every layer can be read on its own.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::stack::{FILES, LAYERS, Stack, layer, names_used, nested_stacks, strings, text};
use super::{ASKING, FUNCTION_IN_VPC, READERS};

/// What a person deploys: all but the parts that others nest.
const DEPLOYED: [&str; 5] =
    ["template.yaml", "infra/link.yaml", "infra/database.yaml", "infra/ranges.yaml", "infra/flush-hosts.yaml"];

/// The link makes a topic when it is given none; whoever has alarms needs one.
const REQUIRED_WITHOUT_LINK: &str = "OperationsTopicArn";

fn object<'a>(template: &'a Value, part: &str) -> Vec<(&'a String, &'a Value)> {
    template[part].as_object().into_iter().flatten().collect()
}

/// Asserts that what has the same key in this part is the same in every template; without a key it is left out. How much
/// stands again.
fn assert_same_everywhere(part: &str, key: impl Fn(&'static str, &Value) -> Option<&'static str>) -> usize {
    let mut seen: BTreeMap<&str, (&str, &Value)> = BTreeMap::new();
    let mut again = 0;
    for (path, template) in &*FILES {
        for (name, body) in object(template, part) {
            let Some(key) = key(name, body) else { continue };
            let (first, known) = *seen.entry(key).or_insert((path, body));
            again += usize::from(first != *path);
            assert_eq!(body, known, "{name} in {path} and in {first}");
        }
    }
    again
}

#[test]
fn a_parameter_is_the_same_wherever_it_stands() {
    let again = assert_same_everywhere("Parameters", |name, definition| {
        let is_required = definition.get("Default").is_none();
        Some(if name == REQUIRED_WITHOUT_LINK && is_required { "a topic that is required" } else { name })
    });
    assert!(again > 40, "{again}");
}

#[test]
fn a_rule_is_the_same_wherever_it_stands() {
    assert_same_everywhere("Rules", |name, _| Some(name));
}

#[test]
fn a_condition_of_a_name_means_the_same_wherever_it_stands() {
    // Told by the layer above, which knows.
    let told = ["AsksDatabase", "ReadersGiven"];
    assert_same_everywhere("Conditions", |name, _| (!told.contains(&name)).then_some(name));
}

/// It is not documented whether CloudFormation looks at the rules of a nested stack, and when.
#[test]
fn what_a_layer_refuses_the_front_door_refuses_first() {
    let front = layer(LAYERS[0]);
    for nested in &LAYERS[1..] {
        for (name, rule) in object(layer(nested), "Rules") {
            let mut used = BTreeSet::new();
            names_used(rule, &mut used);
            let all_given = used.iter().all(|parameter| front["Parameters"].get(parameter).is_some());
            assert_eq!(front["Rules"].get(name).is_some(), all_given, "{name} of {nested}");
        }
    }
}

#[test]
fn a_parameter_of_the_front_door_reaches_every_layer_that_has_it() {
    for path in LAYERS {
        let template = layer(path);
        for (name, resource, inner) in nested_stacks(template) {
            let passed = &resource["Properties"]["Parameters"];
            for (parameter, definition) in object(inner, "Parameters") {
                let value = passed.get(parameter);
                assert!(value.is_some() || definition.get("Default").is_some(), "{path}: {name} lacks {parameter}");
                // The front door's OperationsTopicArn goes to the link, whose output the database gets.
                let own = template["Parameters"].get(parameter).is_some();
                if own && !(parameter == REQUIRED_WITHOUT_LINK && name == "Database") && parameter != "DashboardName" {
                    assert_eq!(value, Some(&json!({"Ref": parameter})), "{path}: {name}: {parameter}");
                }
            }
            for (parameter, _) in passed.as_object().into_iter().flatten() {
                assert!(inner["Parameters"].get(parameter).is_some(), "{path}: {name} has no {parameter}");
            }
        }
    }
}

/// A change set that includes nested stacks knows no outputs yet, and may refuse a condition on one.
#[test]
fn nothing_is_decided_by_what_another_stack_returns() {
    for path in LAYERS {
        for (name, resource, inner) in nested_stacks(layer(path)) {
            let mut decide = BTreeSet::new();
            ["Conditions", "Rules"].iter().for_each(|part| names_used(&inner[part], &mut decide));
            let passed = resource["Properties"]["Parameters"].as_object().unwrap().iter();
            let late = passed.filter(|(_, value)| value.to_string().contains("Fn::GetAtt"));
            let late: Vec<_> = late.map(|(parameter, _)| parameter).filter(|name| decide.contains(*name)).collect();
            assert!(late.is_empty(), "{path}: {name} decides by {late:?}");
        }
    }
}

#[test]
fn every_parameter_is_explained_and_stands_in_one_group() {
    for path in DEPLOYED {
        let template = layer(path);
        let interface = &template["Metadata"]["AWS::CloudFormation::Interface"];
        let groups = interface["ParameterGroups"].as_array().unwrap();
        let mut grouped: Vec<_> = groups.iter().flat_map(|group| strings(&group["Parameters"])).collect();
        grouped.sort();
        let parameters: BTreeSet<_> =
            object(template, "Parameters").into_iter().map(|(name, _)| name.clone()).collect();
        assert_eq!(grouped, parameters.iter().cloned().collect::<Vec<_>>(), "{path}");
        assert!(groups.iter().all(|group| !text(&group["Label"]["default"]).is_empty()));
        let labels = interface["ParameterLabels"].as_object().unwrap();
        assert_eq!(labels.keys().cloned().collect::<BTreeSet<_>>(), parameters, "{path}");
    }
    for (path, template) in &*FILES {
        for (name, definition) in object(template, "Parameters") {
            let described = definition["Description"].as_str().is_some_and(|words| words.len() > 16);
            assert!(described, "{path}: {name} is not described");
            let explained =
                definition.get("AllowedPattern").is_none() || definition["ConstraintDescription"].is_string();
            assert!(explained, "{path}: a mistake in {name} would be answered with a regular expression");
        }
        assert!(object(template, "Outputs").iter().all(|(_, output)| output["Description"].is_string()), "{path}");
    }
}

#[test]
fn nothing_is_declared_without_use() {
    for (path, template) in &*FILES {
        let mut used = BTreeSet::new();
        ["Resources", "Outputs", "Conditions", "Rules"].iter().for_each(|part| names_used(&template[part], &mut used));
        // Its pattern is its use.
        used.insert("DatabaseKindAndEndpoint".to_owned());
        for part in ["Parameters", "Conditions", "Mappings"] {
            let unused: Vec<_> = object(template, part).into_iter().filter(|(name, _)| !used.contains(*name)).collect();
            assert!(unused.is_empty(), "{path}: {part} without use: {unused:?}");
        }
    }
}

/// A transform would ask for CAPABILITY_AUTO_EXPAND, hide from a change set what is made, and forbid the import of what a
/// deleted stack left.
#[test]
fn no_layer_is_transformed() {
    for (path, template) in &*FILES {
        assert_eq!(template.get("Transform"), None, "{path}");
        let types = object(template, "Resources").into_iter().map(|(_, resource)| text(&resource["Type"]));
        assert!(types.into_iter().all(|name| !name.starts_with("AWS::Serverless::")), "{path}");
    }
}

#[test]
fn the_outputs_of_the_front_door_are_those_of_its_layers() {
    for given in [
        &[][..],
        &[READERS],
        &ASKING,
        &FUNCTION_IN_VPC,
        &[("DatabaseKind", "address"), ("DatabaseEndpoint", "10.0.1.9")],
    ] {
        let stack = Stack::with(given);
        let mut inner = stack.nested("Link").unwrap().outputs();
        inner.extend(stack.nested("Database").unwrap().outputs());
        assert_eq!(stack.outputs(), inner, "{given:?}");
    }
}

#[test]
fn a_name_that_is_too_long_for_a_function_is_refused_before_anything_exists() {
    let passed = |name: &str| layer(LAYERS[0])["Resources"][name]["Properties"]["Parameters"].clone();
    assert_eq!(passed("Link")["LinkName"], json!({"Ref": "AWS::StackName"}));
    assert_eq!(passed("Database")["FunctionName"], json!({"Ref": "AWS::StackName"}));
    let mut needed = BTreeSet::new();
    names_used(&layer(LAYERS[0])["Resources"]["Link"], &mut needed);
    assert!(!needed.contains("Database"), "the link is made first");
}
