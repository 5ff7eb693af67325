//! What EC2 takes as a security group's or rule's description, which no emulator checks.

use regex::Regex;
use serde_json::Value;

use super::stack::{load, root};

/// The API reference of EC2, `IpRange`: letters, digits, spaces, and these.
const TAKEN: &str = r"^[a-zA-Z0-9 ._\-:/()#,@\[\]+=&;{}!$*]{1,255}$";

#[test]
fn security_groups_are_described_in_characters_that_ec2_takes() {
    let mut templates: Vec<String> = std::fs::read_dir(root().join("infra"))
        .unwrap()
        .map(|entry| format!("infra/{}", entry.unwrap().file_name().to_str().unwrap()))
        .filter(|name| name.ends_with(".yaml"))
        .collect();
    templates.push("template.yaml".into());
    let taken = Regex::new(TAKEN).unwrap();
    let mut seen = 0;
    for name in templates {
        for (id, resource) in load(&name)["Resources"].as_object().unwrap() {
            if resource["Type"]
                .as_str()
                .is_some_and(|kind| kind.starts_with("AWS::EC2::SecurityGroup"))
            {
                for description in descriptions(&resource["Properties"]) {
                    // A variable stands for a name, which has none of the others.
                    let text = description.replace("${", "").replace('}', "");
                    assert!(taken.is_match(&text), "{name}, {id}: {description:?}");
                    seen += 1;
                }
            }
        }
    }
    assert!(seen > 20, "{seen}");
}

/// Every `Description` and `GroupDescription` in a part of a template.
fn descriptions(node: &Value) -> Vec<String> {
    match node {
        Value::Array(items) => items.iter().flat_map(descriptions).collect(),
        Value::Object(map) => map
            .iter()
            .flat_map(|(key, value)| {
                let is_one = key == "Description" || key == "GroupDescription";
                let text = value.as_str().or_else(|| value["Fn::Sub"].as_str());
                match text {
                    Some(text) if is_one => vec![text.to_owned()],
                    _ => descriptions(value),
                }
            })
            .collect(),
        _ => Vec::new(),
    }
}
