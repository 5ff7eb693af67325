//! What holds the layers together: where several say something, they say the same, and every layer
//! can be read on its own.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::stack::{
    BASE, FILES, LAYERS, OPERATIONS_TOPIC, Stack, layer, names_used, nested_stacks,
    never_evaluated, strings, text,
};
use super::{
    FUNCTION_IN_VPC, LINK, PROBING, READERS, SECURITY_GROUP, TEN_RANGES, every_stack, joined,
};

/// What a person deploys: all but the parts that others nest.
const DEPLOYED: [&str; 5] = [
    "template.yaml",
    "infra/link.yaml",
    "infra/database.yaml",
    "infra/ranges.yaml",
    "infra/flush-hosts.yaml",
];

/// The link makes a topic when it is given none; whoever has alarms needs one.
const REQUIRED_WITHOUT_LINK: &str = "OperationsTopicArn";

fn object<'a>(template: &'a Value, part: &str) -> Vec<(&'a String, &'a Value)> {
    template[part].as_object().into_iter().flatten().collect()
}

/// Asserts that one key says the same in every template; counts what stands again.
fn assert_same_everywhere(
    part: &str,
    key: impl Fn(&'static str, &Value) -> Option<&'static str>,
) -> usize {
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
        Some(if name == REQUIRED_WITHOUT_LINK && is_required {
            "a topic that is required"
        } else {
            name
        })
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
    let told = ["ProbesRole", "ReadersGiven"];
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
            let all_given =
                used.iter().all(|parameter| front["Parameters"].get(parameter).is_some());
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
                assert!(
                    value.is_some() || definition.get("Default").is_some(),
                    "{path}: {name} lacks {parameter}"
                );
                // The link gets the front door's OperationsTopicArn, the database the link's
                // output.
                let own = template["Parameters"].get(parameter).is_some();
                if own
                    && !(parameter == REQUIRED_WITHOUT_LINK && name == "Database")
                    && parameter != "DashboardName"
                {
                    assert_eq!(
                        value,
                        Some(&json!({"Ref": parameter})),
                        "{path}: {name}: {parameter}"
                    );
                }
            }
            for (parameter, _) in passed.as_object().into_iter().flatten() {
                assert!(
                    inner["Parameters"].get(parameter).is_some(),
                    "{path}: {name} has no {parameter}"
                );
            }
        }
    }
}

/// A change set with nested stacks knows no outputs, and may refuse a condition on one. Whether
/// there is one must be asked: a person gives none.
#[test]
fn nothing_is_decided_by_what_another_stack_returns_but_whether_it_does() {
    let asked = json!({"Fn::Not": [{"Fn::Equals": [{"Ref": "LoadBalancerFullName"}, ""]}]});
    assert_eq!(layer("infra/database.yaml")["Conditions"]["LoadBalancerFullNameGiven"], asked);
    for path in LAYERS {
        for (name, resource, inner) in nested_stacks(layer(path)) {
            let mut decide = BTreeSet::new();
            ["Conditions", "Rules"].iter().for_each(|part| names_used(&inner[part], &mut decide));
            let passed = resource["Properties"]["Parameters"].as_object().unwrap().iter();
            let late = passed.filter(|(_, value)| value.to_string().contains("Fn::GetAtt"));
            let late =
                late.map(|(parameter, _)| parameter).filter(|name| *name != "LoadBalancerFullName");
            let late: Vec<_> = late.filter(|name| decide.contains(*name)).collect();
            assert!(late.is_empty(), "{path}: {name} decides by {late:?}");
        }
    }
}

/// Stacks in which every branch of every layer is once taken.
fn variants() -> Vec<Stack> {
    let lists = [
        ("ConsumerPrefixListId", "pl-01234567"),
        ("DatabasePrefixListId", "pl-01234567"),
        ("DatabaseCidrs", ""),
        READERS,
    ];
    let link = [
        ("SupportedRegions", "us-east-1"),
        ("ConnectionNotifications", "false"),
        ("PrivateDnsName", "db.example.com"),
        ("EnforceConsumerCidrs", "true"),
        ("ConsumerCidrs", "fd00::/32,10.9.0.0/16"),
        ("OperationsEmail", "ops@example.com"),
        ("KmsKeyArn", "arn:aws:kms:eu-west-1:111122223333:key/1234abcd"),
        ("OperationsTopicArn", OPERATIONS_TOPIC),
    ];
    let probing = [
        FUNCTION_IN_VPC[0],
        FUNCTION_IN_VPC[1],
        ("ProbeUser", "failover_sync"),
        ("DatabaseResourceIds", "db-AAAAAAAAAA,db-BBBBBBBBBB,db-CCCCCCCCCC,db-DDDDDDDDDD"),
        ("CaBundleLayerArn", "arn:aws:lambda:eu-west-1:111122223333:layer:ca:1"),
        ("DatabaseIdentifier", "app"),
        ("FunctionName", "orders"),
        SECURITY_GROUP,
        READERS,
    ];
    let secret =
        [("ProbeSecretArn", "arn:aws:secretsmanager:eu-west-1:111122223333:secret:w-AbCdEf")];
    let ten: Vec<_> = (1..=10).map(|n| format!("fd00:{n}::/32")).collect();
    let [four, six] = [TEN_RANGES.join(","), ten.join(",")];
    let ranges = |list| {
        [("ConsumerCidrs", list), ("DatabaseCidrs", list), ("ListenerPort", "15432"), READERS]
    };
    let ranges = [&*four, &six, "fd00::/32,10.1.0.0/16", "10.1.0.0/16,fd00::/32"].map(ranges);
    let by_ipv6 = [
        ("IpAddressType", "ipv6"),
        ("AllowedCidrs", "2600:1f18::/56"),
        FUNCTION_IN_VPC[0],
        READERS,
    ];
    let two =
        [("ScheduleExpression", "rate(2 minutes)"), ("HealthCheckIntervalSeconds", "30"), READERS];
    let five = [("ScheduleExpression", "rate(5 minutes)"), READERS];
    let given =
        [&lists[..], &link[..7], &link[7..], &PROBING, &probing, &secret, &by_ipv6, &two, &five];
    let given = given.into_iter().chain(ranges.iter().map(|ranges| &ranges[..]));
    let alone = |path: &str, more: &[(&str, &str)]| {
        let has = |name: &str| layer(path)["Parameters"].get(name).is_some();
        let given: Vec<_> =
            BASE.iter().chain(&LINK).chain(more).copied().filter(|(name, _)| has(name)).collect();
        let given: BTreeMap<_, _> = given.into_iter().collect();
        Stack::of(layer(path), &given.into_iter().collect::<Vec<_>>())
    };
    let stacks = given.flat_map(|given| [Stack::with(given), alone("infra/database.yaml", given)]);
    let links = [&[][..], &[("LinkName", "orders")]].map(|given| alone("infra/link.yaml", given));
    every_stack().map(|(.., stack)| stack).chain(stacks).chain(links).collect()
}

/// A change set with nested stacks has placeholders for what does not exist, and fails at a
/// `Select` beyond them or a pattern that they do not match.
#[test]
fn every_intrinsic_condition_and_pattern_of_every_layer_takes_typed_values_and_placeholders() {
    let variants = variants();
    variants.iter().for_each(Stack::evaluate);
    assert_eq!(never_evaluated(), [""; 0], "typed");
    variants.iter().for_each(|stack| stack.planned().evaluate());
    assert_eq!(never_evaluated(), [""; 0], "placeholders");
}

#[test]
fn the_name_of_the_load_balancer_is_given_by_the_link_or_cut_out_of_what_is_typed() {
    let name =
        |stack: &Stack| text(&stack.existing("NoHealthyTargetAlarm")["Dimensions"][0]["Value"]);
    assert_eq!([name(&Stack::with(&[])), name(&joined(&[]))], ["net/shared/fedcba9876543210"; 2]);
    assert_eq!(
        name(&Stack::with(&[]).planned()),
        "{{IntrinsicFunction:link/Link.Outputs.LoadBalancerFullName}}"
    );
}

#[test]
fn every_parameter_is_explained_and_stands_in_one_group() {
    for path in DEPLOYED {
        let template = layer(path);
        let interface = &template["Metadata"]["AWS::CloudFormation::Interface"];
        let groups = interface["ParameterGroups"].as_array().unwrap();
        let mut grouped: Vec<_> =
            groups.iter().flat_map(|group| strings(&group["Parameters"])).collect();
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
            let described =
                definition["Description"].as_str().is_some_and(|words| words.len() > 16);
            assert!(described, "{path}: {name} is not described");
            let explained = definition.get("AllowedPattern").is_none()
                || definition["ConstraintDescription"].is_string();
            assert!(
                explained,
                "{path}: a mistake in {name} would be answered with a regular expression"
            );
        }
        assert!(
            object(template, "Outputs").iter().all(|(_, output)| output["Description"].is_string()),
            "{path}"
        );
    }
}

#[test]
fn nothing_is_declared_without_use() {
    for (path, template) in &*FILES {
        let mut used = BTreeSet::new();
        ["Resources", "Outputs", "Conditions", "Rules"]
            .iter()
            .for_each(|part| names_used(&template[part], &mut used));
        // Its pattern is its use.
        used.insert("DatabaseKindAndEndpoint".to_owned());
        for part in ["Parameters", "Conditions", "Mappings"] {
            let unused: Vec<_> = object(template, part)
                .into_iter()
                .filter(|(name, _)| !used.contains(*name))
                .collect();
            assert!(unused.is_empty(), "{path}: {part} without use: {unused:?}");
        }
    }
}

/// A transform asks for CAPABILITY_AUTO_EXPAND, hides from a change set what is made, and forbids
/// importing what a deleted stack left.
#[test]
fn no_layer_is_transformed() {
    for (path, template) in &*FILES {
        assert_eq!(template.get("Transform"), None, "{path}");
        let types =
            object(template, "Resources").into_iter().map(|(_, resource)| text(&resource["Type"]));
        assert!(types.into_iter().all(|name| !name.starts_with("AWS::Serverless::")), "{path}");
    }
}

#[test]
fn the_outputs_of_the_front_door_are_those_of_its_layers() {
    for given in [
        &[][..],
        &[READERS],
        &PROBING,
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
    let passed =
        |name: &str| layer(LAYERS[0])["Resources"][name]["Properties"]["Parameters"].clone();
    assert_eq!(passed("Link")["LinkName"], json!({"Ref": "AWS::StackName"}));
    assert_eq!(passed("Database")["FunctionName"], json!({"Ref": "AWS::StackName"}));
    let mut needed = BTreeSet::new();
    names_used(&layer(LAYERS[0])["Resources"]["Link"], &mut needed);
    assert!(!needed.contains("Database"), "the link is made first");
}
