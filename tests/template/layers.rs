//! What holds the layers together: where several say something, they say the same, and every layer
//! can be read on its own.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::stack::{
    BASE, FILES, LAYERS, OPERATIONS_TOPIC, Stack, layer, names_used, nested_stacks,
    never_evaluated, owned, strings, text,
};
use super::{
    FUNCTION_IN_VPC, GROUP, GROUP_OF_READERS, LINK, NAME, PROBING, PROBING_PATH, READERS,
    SECURITY_GROUP, TEN_RANGES, adopting, every_stack, joined,
};

/// What a person deploys: all but the parts that others nest.
const DEPLOYED: [&str; 6] = [
    "template.yaml",
    "infra/link.yaml",
    "infra/database.yaml",
    "infra/function.yaml",
    "infra/ranges.yaml",
    "infra/flush-hosts.yaml",
];

/// What the function has of its own words for: where it is alone there is no link, and less
/// follows from it.
const IN_ITS_OWN_WORDS: [&str; 8] = [
    "DatabaseEngine",
    "DatabasePort",
    "DatabaseSecurityGroupId",
    "DeregistrationDelaySeconds",
    "ListenerPort",
    "LoadBalancerArn",
    "LoadBalancerDnsName",
    REQUIRED_WITHOUT_LINK,
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
    said: impl Fn(&str, &str, &Value) -> Value,
) -> usize {
    let mut seen: BTreeMap<&str, (&str, Value)> = BTreeMap::new();
    let mut again = 0;
    for (path, template) in &*FILES {
        for (name, body) in object(template, part) {
            let Some(key) = key(name, body) else { continue };
            let body = said(path, name, body);
            let (first, known) = seen.entry(key).or_insert_with(|| (path, body.clone()));
            again += usize::from(first != path);
            assert_eq!(body, *known, "{name} in {path} and in {first}");
        }
    }
    again
}

/// The whole of it.
fn all_of(_: &str, _: &str, body: &Value) -> Value {
    body.clone()
}

#[test]
fn a_parameter_is_the_same_wherever_it_stands() {
    let key = |name, definition: &Value| {
        let default = definition.get("Default").and_then(Value::as_str);
        Some(match (name, default) {
            (REQUIRED_WITHOUT_LINK, None) => "a topic that is required",
            ("Mode", Some("observe")) => "the mode for what exists",
            ("LoadBalancerSecurityGroupId", Some("")) => "a group that may be missing",
            _ => name,
        })
    };
    let without_words = |_: &str, name: &str, definition: &Value| {
        let mut definition = definition.clone();
        if IN_ITS_OWN_WORDS.contains(&name) {
            definition.as_object_mut().unwrap().remove("Description");
        }
        definition
    };
    let again = assert_same_everywhere("Parameters", key, without_words);
    assert!(again > 60, "{again}");
}

#[test]
fn only_the_function_has_words_of_its_own_for_a_parameter_and_only_where_it_needs_them() {
    let others = FILES.iter().filter(|(path, _)| **path != "infra/function.yaml");
    let words = |template: &Value, name: &str| template["Parameters"][name]["Description"].clone();
    for name in IN_ITS_OWN_WORDS {
        let is_same = |definition: &Value| {
            name != REQUIRED_WITHOUT_LINK || definition.get("Default").is_none()
        };
        let has_it =
            others.clone().filter(|(_, file)| file["Parameters"].get(name).is_some_and(is_same));
        let elsewhere: BTreeSet<_> =
            has_it.map(|(_, file)| words(file, name).to_string()).collect();
        assert_eq!(elsewhere.len(), 1, "{name}: {elsewhere:?}");
        let own = words(layer("infra/function.yaml"), name).to_string();
        assert!(!elsewhere.contains(&own), "{name} needs no words of its own");
    }
}

#[test]
fn a_rule_is_the_same_wherever_it_stands() {
    assert_same_everywhere("Rules", |name, _| Some(name), all_of);
}

#[test]
fn a_condition_of_a_name_means_the_same_wherever_it_stands() {
    // The path asks for a port, the function for an endpoint.
    let key = |name, _: &Value| (name != "ReadersGiven").then_some(name);
    assert_same_everywhere("Conditions", key, all_of);
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
                // output. A function without a name has that of the stack above. It asks through
                // any load balancer whose DNS name it has.
                let exceptions = [
                    (REQUIRED_WITHOUT_LINK, "Database"),
                    ("FunctionName", "FailoverSync"),
                    ("LoadBalancerDnsName", "FailoverSync"),
                ];
                let own = template["Parameters"].get(parameter).is_some();
                if own && !exceptions.contains(&(parameter.as_str(), name.as_str())) {
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

/// A change set with nested stacks knows neither outputs nor resources, and may refuse a condition
/// on one. Whether there is one must be asked: a person may give none.
#[test]
fn nothing_is_decided_by_what_does_not_exist_yet_but_whether_it_does() {
    let mut asked = BTreeSet::new();
    let mut decided = |path: &str, name: &str, template: &Value, late: &BTreeSet<String>| {
        for part in ["Conditions", "Rules"] {
            let mut used = BTreeSet::new();
            names_used(&template[part], &mut used);
            asked.extend(used.intersection(late).cloned());
            let mut used = BTreeSet::new();
            names_used(&without_questions(&template[part]), &mut used);
            let by: Vec<_> = used.intersection(late).collect();
            assert!(by.is_empty(), "{path}: {part} of {name} decide by {by:?}");
        }
    };
    let mut waiting = vec![(LAYERS[0], layer(LAYERS[0]), BTreeSet::new())];
    while let Some((path, template, late)) = waiting.pop() {
        for (name, resource, inner) in nested_stacks(template) {
            let is_late = |value: &Value| {
                let mut used = BTreeSet::new();
                names_used(value, &mut used);
                used.iter()
                    .any(|name| late.contains(name) || template["Resources"].get(name).is_some())
            };
            let passed = resource["Properties"]["Parameters"].as_object().unwrap().iter();
            let inner_late =
                passed.filter(|(_, value)| is_late(value)).map(|(name, _)| name.clone());
            let inner_late: BTreeSet<_> = inner_late.collect();
            decided(path, name, inner, &inner_late);
            waiting.push((name, inner, inner_late));
        }
    }
    let expected = [
        "LoadBalancerDnsName",
        "LoadBalancerFullName",
        "LoadBalancerSecurityGroupId",
        "ReaderTargetGroupArn",
        "ReaderTargetGroupFullName",
        "TargetGroupFullName",
    ];
    assert_eq!(asked, owned(expected), "infra/README.md says so");
}

/// The same without the questions whether a parameter is empty.
fn without_questions(node: &Value) -> Value {
    match node {
        Value::Array(items) => items.iter().map(without_questions).collect(),
        Value::Object(map) => {
            let is_one = map.get("Fn::Equals").is_some_and(|sides| {
                sides[0].get("Ref").is_some() && sides[1] == "" && sides[2].is_null()
            });
            let inner = || map.iter().map(|(key, value)| (key.clone(), without_questions(value)));
            if is_one { true.into() } else { Value::Object(inner().collect()) }
        }
        scalar => scalar.clone(),
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
    let path = [&PROBING_PATH[..], &[NAME, ("ListenerPort", "15432")]].concat();
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
    let two = [&PROBING_PATH[..], &[NAME], &two].concat();
    let five = [("ScheduleExpression", "rate(5 minutes)"), READERS];
    let given = [&lists[..], &link[..7], &link[7..], &PROBING, &probing, &secret, &path];
    let given = given.into_iter().chain([&by_ipv6[..], &two, &five]);
    let given = given.chain(ranges.iter().map(|ranges| &ranges[..]));
    let alone = |path: &str, more: &[(&str, &str)]| {
        let has = |name: &str| layer(path)["Parameters"].get(name).is_some();
        let base = BASE.iter().chain(&LINK).chain(&GROUP);
        let given: BTreeMap<_, _> =
            base.chain(more).copied().filter(|(name, _)| has(name)).collect();
        Stack::of(layer(path), &given.into_iter().collect::<Vec<_>>())
    };
    let stacks = given.flat_map(|given| {
        let observing = [given, &GROUP_OF_READERS].concat();
        [
            Stack::with(given),
            alone("infra/database.yaml", given),
            alone("infra/function.yaml", &observing),
        ]
    });
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
fn the_names_of_the_groups_are_given_by_the_path_or_cut_out_of_what_is_typed() {
    let names = |stack: &Stack| {
        ["NoHealthyTargetAlarm", "NoHealthyReaderAlarm"]
            .map(|alarm| text(&stack.existing(alarm)["Dimensions"][1]["Value"]))
    };
    let expected =
        ["targetgroup/link/0123456789abcdef", "targetgroup/link-readers/0123456789abcdef"];
    for stack in [Stack::with(&[READERS]), joined(&[READERS]), adopting(&GROUP_OF_READERS)] {
        assert_eq!(names(&stack), expected);
    }
    assert_eq!(
        names(&joined(&[READERS]).planned()),
        ["TargetGroup", "ReaderTargetGroup"]
            .map(|group| format!("{{{{IntrinsicFunction:link/{group}.TargetGroupFullName}}}}"))
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
