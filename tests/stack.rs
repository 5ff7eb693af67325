//! What a template and its nested ones create under given parameters, with intrinsics resolved as
//! far as used here. Tests assert that, not how it is spelt or in which layer.

// Each test program uses a part of it.
#![allow(dead_code)]
// In a test a failed unwrap is the failure that it reports.
#![allow(clippy::unwrap_used)]

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::sync::{Arc, LazyLock, Mutex};

// CloudFormation's patterns are Java's, which look ahead.
use fancy_regex::Regex as Pattern;
pub(crate) use lab::workspace::root;
use regex::Regex;
use serde_json::{Map, Value};

/// The ARN of the target group in a resolved template.
pub(crate) const TARGET_GROUP: &str =
    "arn:aws:elasticloadbalancing:eu-west-1:111122223333:targetgroup/link/0123456789abcdef";

/// What Lambda does with the role of a function in a VPC, and the code may not.
pub(crate) const NETWORK_INTERFACE_ACTIONS: [&str; 6] = [
    "ec2:AssignPrivateIpAddresses",
    "ec2:CreateNetworkInterface",
    "ec2:DeleteNetworkInterface",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeSubnets",
    "ec2:UnassignPrivateIpAddresses",
];

/// The ARN of the link's load balancer in a resolved template.
pub(crate) const LOAD_BALANCER: &str =
    "arn:aws:elasticloadbalancing:eu-west-1:111122223333:loadbalancer/net/shared/fedcba9876543210";

/// Its DNS name.
pub(crate) const LOAD_BALANCER_NAME: &str = "shared-fedcba9876543210.elb.eu-west-1.amazonaws.com";

/// The ID of its security group.
pub(crate) const LOAD_BALANCER_GROUP: &str = "sg-0fedcba9876543210";

/// The ARN of the link's own operations topic.
pub(crate) const OPERATIONS_TOPIC: &str = "arn:aws:sns:eu-west-1:111122223333:link-OperationsTopic";

/// The ARN of the readers' target group in a resolved template.
pub(crate) const READER_TARGET_GROUP: &str =
    "arn:aws:elasticloadbalancing:eu-west-1:111122223333:targetgroup/link-readers/0123456789abcdef";

/// How a value begins that a change set with nested stacks does not know yet: an output or
/// attribute of what does not exist.
const PLACEHOLDER: &str = "{{IntrinsicFunction:";

thread_local! {
    /// The arguments of the intrinsic functions that were evaluated, by their places in [`FILES`].
    static EVALUATED: RefCell<BTreeSet<usize>> = const { RefCell::new(BTreeSet::new()) };
}

/// What a link for one database needs, and a database that can be reached.
pub(crate) const BASE: [(&str, &str); 8] = [
    ("DatabaseEndpoint", "app.cluster-abc123.eu-west-1.rds.amazonaws.com"),
    ("DatabasePort", "5432"),
    ("DatabaseEngine", "postgres"),
    ("DatabaseKind", "cluster"),
    ("VpcId", "vpc-0123456789abcdef0"),
    ("SubnetIds", "subnet-0123456789abcdef0,subnet-0123456789abcdef1"),
    ("AllowedPrincipals", "arn:aws:iam::444455556666:root"),
    ("DatabaseCidrs", "10.0.1.0/24"),
];

/// One endpoint of every kind.
pub(crate) const ENDPOINTS: [(&str, &str); 7] = [
    ("cluster", "app.cluster-abc123.eu-west-1.rds.amazonaws.com"),
    ("readers", "app.cluster-ro-abc123.eu-west-1.rds.amazonaws.com"),
    ("instance", "app.abc123.eu-west-1.rds.amazonaws.com"),
    ("proxy", "app.proxy-abc123.eu-west-1.rds.amazonaws.com"),
    ("custom", "analytics.cluster-custom-abc123.eu-west-1.rds.amazonaws.com"),
    ("hostname", "db.internal.example"),
    ("address", "10.0.1.9"),
];

/// The layers of `template.yaml`, outermost first.
pub(crate) const LAYERS: [&str; 5] = [
    "template.yaml",
    "infra/link.yaml",
    "infra/database.yaml",
    "infra/function.yaml",
    "infra/ranges.yaml",
];

/// Every provider's template that is here, as it stands in its file, by its path.
pub(crate) static FILES: LazyLock<BTreeMap<&'static str, Value>> = LazyLock::new(|| {
    LAYERS.into_iter().chain(["infra/flush-hosts.yaml"]).map(|path| (path, load(path))).collect()
});

/// The same parameters, with an endpoint of the kind if only the kind is given.
pub(crate) fn fitting<'a>(given: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let value =
        |wanted: &str| given.iter().find(|(name, _)| *name == wanted).map(|(_, value)| *value);
    let kind = value("DatabaseKind").filter(|_| value("DatabaseEndpoint").is_none());
    let endpoint = ENDPOINTS.into_iter().find(|(known, _)| Some(*known) == kind);
    given
        .iter()
        .copied()
        .chain(endpoint.map(|(_, endpoint)| ("DatabaseEndpoint", endpoint)))
        .collect()
}

/// A layer, or `infra/flush-hosts.yaml`.
pub(crate) fn layer(path: &str) -> &'static Value {
    FILES.get(path).unwrap_or_else(|| panic!("{path} is no layer"))
}

/// `template.yaml` with what its layers have; of what stands in several, the outermost.
pub(crate) static TEMPLATE: LazyLock<Value> = LazyLock::new(|| {
    let mut all = layer(LAYERS[0]).clone();
    for part in ["Parameters", "Mappings", "Conditions", "Resources"] {
        let mut merged = Map::new();
        for (name, body) in LAYERS.iter().filter_map(|path| layer(path)[part].as_object()).flatten()
        {
            merged.entry(name).or_insert_with(|| body.clone());
        }
        all[part] = merged.into();
    }
    all
});

/// A template of this repository, with every intrinsic function in its long form.
pub(crate) fn load(path: &str) -> Value {
    parsed(&std::fs::read_to_string(root().join(path)).unwrap())
}

/// The same of a template's text.
pub(crate) fn parsed(text: &str) -> Value {
    let root = root();
    let mut python = Command::new(root.join(".venv/bin/python"))
        .arg(root.join("tests/template_json.py"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect(".venv/bin/python exists and runs");
    // It reads to the end before it writes.
    python.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = python.wait_with_output().unwrap();
    assert!(output.status.success(), "no template: {:.80}", text);
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The type of a stack in a stack.
pub(crate) const NESTED_STACK: &str = "AWS::CloudFormation::Stack";

/// The stacks that a template nests: name, resource and template of each.
pub(crate) fn nested_stacks(
    template: &'static Value,
) -> Vec<(&'static String, &'static Value, &'static Value)> {
    let resources = template["Resources"].as_object().unwrap().iter();
    let nested = resources.filter(|(_, resource)| resource["Type"] == NESTED_STACK);
    let nested = nested.map(|(name, resource)| {
        let file =
            resource["Properties"]["TemplateURL"].as_str().unwrap().trim_start_matches("infra/");
        (name, resource, layer(&format!("infra/{file}")))
    });
    nested.collect()
}

/// A variable in a `Fn::Sub`.
static VARIABLE: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\$\{([\w:.]+)\}").unwrap());

pub(crate) fn section(name: &str) -> &'static Map<String, Value> {
    TEMPLATE[name].as_object().unwrap()
}

/// A template under parameters, with the stacks that it nests.
pub(crate) struct Stack {
    template: &'static Value,
    parameters: BTreeMap<&'static str, String>,
    nested: BTreeMap<&'static str, Stack>,
    is_planned: bool,
}

impl Stack {
    /// A stack of `template.yaml` with [`BASE`] and these parameters; a layer's own go to it.
    pub(crate) fn with(given: &[(&str, &str)]) -> Stack {
        let given = fitting(given);
        let base = BASE.iter().filter(|(name, _)| !given.iter().any(|(other, _)| other == name));
        Stack::of(layer(LAYERS[0]), &given.iter().chain(base).copied().collect::<Vec<_>>())
    }

    /// The same stack as a change set with nested stacks sees it before any part exists.
    pub(crate) fn planned(&self) -> Stack {
        let given: Vec<_> =
            self.all().into_iter().flat_map(|stack| stack.parameters.iter()).collect();
        let own = self.parameters.iter();
        let given: BTreeMap<_, _> =
            given.into_iter().chain(own).map(|(name, value)| (*name, value.as_str())).collect();
        Stack::nesting(self.template, &given.into_iter().collect::<Vec<_>>(), true)
    }

    /// A stack of a template with these parameters, which it must accept.
    pub(crate) fn of(template: &'static Value, given: &[(&str, &str)]) -> Stack {
        let stack = Stack::nesting(template, given, false);
        let unknown = given.iter().find(|(name, _)| !stack.has_parameter(name));
        assert_eq!(unknown, None, "a parameter that does not exist");
        stack
    }

    fn nesting(template: &'static Value, given: &[(&str, &str)], is_planned: bool) -> Stack {
        let mut parameters = BTreeMap::new();
        for (name, definition) in template["Parameters"].as_object().unwrap() {
            let given =
                given.iter().find(|(key, _)| key == name).map(|(_, value)| (*value).to_owned());
            let value =
                given.or_else(|| definition.get("Default").map(text)).expect("given or defaulted");
            assert!(takes(definition, &value), "{name} does not accept {value:?}");
            parameters.insert(name.as_str(), value);
        }
        let mut stack = Stack { template, parameters, nested: BTreeMap::new(), is_planned };
        let mut waiting = nested_stacks(template);
        waiting.retain(|(_, resource, _)| stack.exists(resource));
        while !waiting.is_empty() {
            // One whose parameters need no outputs of those that wait with it.
            let needs = |resource: &Value, name: &String| {
                let mut used = BTreeSet::new();
                names_used(resource, &mut used);
                used.contains(name)
            };
            let ready = waiting
                .iter()
                .position(|(_, one, _)| !waiting.iter().any(|(name, ..)| needs(one, name)));
            let (name, resource, inner) =
                waiting.remove(ready.expect("no two stacks need each other"));
            let passed = stack.resolve(&resource["Properties"]["Parameters"]).unwrap();
            // What holds a placeholder among other things is one.
            let is_one = |value: &str| {
                value.starts_with(PLACEHOLDER) && value.find("}}") == Some(value.len() - 2)
            };
            let holds_one = |value: &str| value.contains(PLACEHOLDER) && !is_one(value);
            let whole =
                |value: String| if holds_one(&value) { placeholder("Fn::Sub") } else { value };
            let passed = passed.as_object().unwrap().iter();
            let passed: Vec<_> =
                passed.map(|(name, value)| (name.clone(), whole(text(value)))).collect();
            let own = given.iter().filter(|(name, _)| !stack.parameters.contains_key(name));
            let own = own.filter(|(name, _)| !passed.iter().any(|(other, _)| other == name));
            let passed = passed
                .iter()
                .map(|(name, value)| (name.as_str(), value.as_str()))
                .chain(own.copied());
            stack
                .nested
                .insert(name, Stack::nesting(inner, &passed.collect::<Vec<_>>(), is_planned));
        }
        stack
    }

    fn has_parameter(&self, name: &str) -> bool {
        self.parameters.contains_key(name)
            || self.nested.values().any(|nested| nested.has_parameter(name))
    }

    /// A stack that is nested, if its condition holds.
    pub(crate) fn nested(&self, name: &str) -> Option<&Stack> {
        self.nested
            .get(name)
            .or_else(|| self.nested.values().find_map(|nested| nested.nested(name)))
    }

    fn all(&self) -> Vec<&Stack> {
        std::iter::once(self).chain(self.nested.values().flat_map(Stack::all)).collect()
    }

    /// The value of a parameter.
    pub(crate) fn parameter(&self, name: &str) -> &str {
        &self.parameters[name]
    }

    /// The properties of a resource, of this stack or of one that it nests; none if its condition
    /// does not hold.
    pub(crate) fn resource(&self, name: &str) -> Option<Value> {
        let known = FILES.values().any(|file| file["Resources"].get(name).is_some());
        assert!(known || self.section("Resources").contains_key(name), "no resource {name}");
        let (stack, resource) =
            self.all().into_iter().find_map(|s| Some((s, s.section("Resources").get(name)?)))?;
        let properties = resource.get("Properties").unwrap_or(&Value::Null);
        stack.exists(resource).then(|| stack.resolve(properties).unwrap())
    }

    fn exists(&self, part: &Value) -> bool {
        part.get("Condition").is_none_or(|condition| self.condition(condition.as_str().unwrap()))
    }

    /// The properties of a resource that must exist.
    pub(crate) fn existing(&self, name: &str) -> Value {
        self.resource(name).unwrap_or_else(|| panic!("{name} is not created"))
    }

    pub(crate) fn output(&self, name: &str) -> String {
        text(&self.resolve(&self.template["Outputs"][name]["Value"]).unwrap())
    }

    /// The outputs whose conditions hold.
    pub(crate) fn outputs(&self) -> BTreeMap<String, String> {
        let outputs = self.section("Outputs").iter();
        let existing = outputs.filter(|(_, output)| self.exists(output));
        existing.map(|(name, _)| (name.clone(), self.output(name))).collect()
    }

    /// The resources whose conditions hold, of this stack and of those that it nests.
    pub(crate) fn resources(&self) -> BTreeSet<String> {
        let of = |stack: &Stack| {
            let resources =
                stack.section("Resources").iter().filter(|(_, resource)| stack.exists(resource));
            resources.map(|(name, _)| name.clone()).collect::<Vec<_>>()
        };
        self.all().into_iter().flat_map(of).collect()
    }

    /// What the rules say against these parameters.
    pub(crate) fn refusals(&self) -> Vec<String> {
        let rules = self.template.get("Rules").and_then(Value::as_object).into_iter().flatten();
        let applying = rules
            .map(|(_, rule)| rule)
            .filter(|rule| rule.get("RuleCondition").is_none_or(|c| self.holds(c)));
        let assertions = applying.flat_map(|rule| rule["Assertions"].as_array().unwrap());
        let failing = assertions.filter(|assertion| !self.holds(&assertion["Assert"]));
        failing.map(|assertion| text(&assertion["AssertDescription"])).collect()
    }

    /// Evaluates every part whose condition holds, of this stack and of those that it nests.
    pub(crate) fn evaluate(&self) {
        for stack in self.all() {
            stack.section("Conditions").keys().for_each(|name| _ = stack.condition(name));
            let resources =
                stack.section("Resources").values().filter(|resource| stack.exists(resource));
            resources.for_each(|resource| _ = stack.resolve(&resource["Properties"]));
            _ = (stack.outputs(), stack.refusals());
        }
    }

    pub(crate) fn condition(&self, name: &str) -> bool {
        self.holds(&self.template["Conditions"][name])
    }

    fn holds(&self, node: &Value) -> bool {
        self.resolve(node).unwrap().as_bool().unwrap_or_else(|| panic!("{node} is no condition"))
    }

    /// The value of a node; none for `AWS::NoValue`.
    fn resolve(&self, node: &Value) -> Option<Value> {
        match node {
            Value::Array(items) => {
                Some(items.iter().filter_map(|item| self.resolve(item)).collect())
            }
            Value::Object(map) => match map.iter().next() {
                Some((function, argument))
                    if function == "Ref" || function == "Condition" && argument.is_string() =>
                {
                    self.call(function, argument)
                }
                Some((function, argument)) if function.starts_with("Fn::") => {
                    self.call(function, argument)
                }
                _ => {
                    let entries = map
                        .iter()
                        .filter_map(|(key, value)| Some((key.clone(), self.resolve(value)?)));
                    Some(Value::Object(entries.collect()))
                }
            },
            scalar => Some(scalar.clone()),
        }
    }

    fn call(&self, function: &str, argument: &Value) -> Option<Value> {
        EVALUATED
            .with_borrow_mut(|evaluated| evaluated.insert(std::ptr::from_ref(argument) as usize));
        let item = |index: usize| self.resolve(&argument[index]).unwrap();
        // Of all, as CloudFormation does.
        let all = || -> Vec<_> {
            argument.as_array().into_iter().flatten().map(|node| self.holds(node)).collect()
        };
        Some(match function {
            "Ref" => return self.reference(argument.as_str().unwrap()).map(Value::from),
            "Condition" => self.condition(argument.as_str().unwrap()).into(),
            "Fn::GetAtt" if self.is_planned => placeholder(&strings(argument).join(".")).into(),
            "Fn::GetAtt" => match (
                self.nested.get(argument[0].as_str()?),
                text(&argument[1]).strip_prefix("Outputs."),
            ) {
                (Some(nested), Some(output)) => nested.output(output).into(),
                _ if strings(argument) == ["TargetGroup", "TargetGroupFullName"] => {
                    end(TARGET_GROUP, 0)
                }
                _ if strings(argument) == ["ReaderTargetGroup", "TargetGroupFullName"] => {
                    end(READER_TARGET_GROUP, 0)
                }
                _ if strings(argument) == ["LoadBalancer", "LoadBalancerFullName"] => {
                    end(LOAD_BALANCER, 1)
                }
                _ if strings(argument) == ["LoadBalancer", "DNSName"] => LOAD_BALANCER_NAME.into(),
                _ => format!("{{{}.{}}}", text(&argument[0]), text(&argument[1])).into(),
            },
            "Fn::If" => {
                return self
                    .resolve(&argument[if self.condition(argument[0].as_str()?) { 1 } else { 2 }]);
            }
            "Fn::Equals" => (text(&item(0)) == text(&item(1))).into(),
            "Fn::Not" => (!self.holds(&argument[0])).into(),
            "Fn::And" => all().into_iter().all(|holds| holds).into(),
            "Fn::Or" => all().into_iter().any(|holds| holds).into(),
            "Fn::Contains" => item(0).as_array().unwrap().contains(&item(1)).into(),
            "Fn::Join" => item(1)
                .as_array()
                .unwrap()
                .iter()
                .map(text)
                .collect::<Vec<_>>()
                .join(&text(&item(0)))
                .into(),
            "Fn::Split" => {
                let list = text(&item(1));
                assert!(
                    !list.contains(PLACEHOLDER),
                    "Fn::Split: what {list} will be has other parts"
                );
                list.split(argument[0].as_str()?).collect::<Value>()
            }
            "Fn::Select" => {
                let (index, list) = (text(&item(0)).parse::<usize>().unwrap(), item(1));
                list.get(index)
                    .unwrap_or_else(|| panic!("Fn::Select: {list} has no value at {index}"))
                    .clone()
            }
            "Fn::FindInMap" => {
                self.template["Mappings"][text(&item(0))][text(&item(1))][text(&item(2))].clone()
            }
            "Fn::Sub" => {
                let (form, own) = if argument.is_array() {
                    (&argument[0], &argument[1])
                } else {
                    (argument, &Value::Null)
                };
                let replace = |name: &regex::Captures<'_>| match own.get(&name[1]) {
                    Some(node) => text(&self.resolve(node).unwrap()),
                    None => self.reference(&name[1]).unwrap(),
                };
                VARIABLE.replace_all(form.as_str()?, replace).into()
            }
            other => panic!("{other} is not known here"),
        })
    }

    fn reference(&self, name: &str) -> Option<String> {
        let resource = name.split('.').next().unwrap();
        Some(match name {
            "AWS::NoValue" => return None,
            "AWS::AccountId" => "111122223333".into(),
            "AWS::Region" => "eu-west-1".into(),
            "AWS::Partition" => "aws".into(),
            "AWS::StackName" => "link".into(),
            parameter if self.parameters.contains_key(parameter) => {
                self.parameters[parameter].clone()
            }
            _ if self.is_planned && self.section("Resources").contains_key(resource) => {
                placeholder(name)
            }
            "TargetGroup" => TARGET_GROUP.into(),
            "ReaderTargetGroup" => READER_TARGET_GROUP.into(),
            "LoadBalancer" => LOAD_BALANCER.into(),
            "LoadBalancerSecurityGroup" => LOAD_BALANCER_GROUP.into(),
            "OperationsTopic" => OPERATIONS_TOPIC.into(),
            _ if self.section("Resources").contains_key(resource) => format!("{{{name}}}"),
            _ => panic!("nothing is named {name}"),
        })
    }

    fn section(&self, name: &str) -> &'static Map<String, Value> {
        self.template[name].as_object().unwrap()
    }
}

fn placeholder(what: &str) -> String {
    format!("{PLACEHOLDER}link/{what}}}}}")
}

/// The resource of an ARN from one of its parts on, as metrics name it.
fn end(arn: &str, part: usize) -> Value {
    let resource = arn.rsplit(':').next().unwrap();
    resource.splitn(part + 1, '/').last().into()
}

/// The intrinsic functions of the layers that nothing has evaluated in this thread.
pub(crate) fn never_evaluated() -> Vec<String> {
    let evaluated = EVALUATED.take();
    let parts = ["Resources", "Outputs", "Conditions", "Rules"];
    let layers = LAYERS.into_iter().flat_map(|path| parts.map(|part| (path, &layer(path)[part])));
    let functions = layers
        .flat_map(|(path, part)| functions(part).into_iter().map(move |function| (path, function)));
    let never = functions
        .filter(|(_, argument)| !evaluated.contains(&(std::ptr::from_ref(*argument) as usize)));
    never.map(|(path, argument)| format!("{path}: {argument}")).collect()
}

/// The arguments of the intrinsic functions in a part of a template.
fn functions(node: &Value) -> Vec<&Value> {
    match node {
        Value::Array(items) => items.iter().flat_map(functions).collect(),
        Value::Object(map) => {
            let own = map.iter().filter(|(name, _)| name.starts_with("Fn::") || *name == "Ref");
            own.map(|(_, argument)| argument).chain(map.values().flat_map(functions)).collect()
        }
        _ => Vec::new(),
    }
}

/// Whether CloudFormation would take a value for a parameter of `template.yaml`.
pub(crate) fn accepts(parameter: &str, value: &str) -> bool {
    takes(&section("Parameters")[parameter], value)
}

/// Whether CloudFormation would take a value for a parameter with this definition.
pub(crate) fn takes(definition: &Value, value: &str) -> bool {
    let number = || value.parse::<f64>().ok();
    let bound = |key: &str| definition.get(key).and_then(Value::as_f64);
    let matches = |pattern: &Value| pattern_of(pattern.as_str().unwrap()).is_match(value).unwrap();
    definition.get("AllowedPattern").is_none_or(matches)
        && definition
            .get("AllowedValues")
            .and_then(Value::as_array)
            .is_none_or(|all| all.iter().any(|v| text(v) == value))
        && bound("MinValue").is_none_or(|minimum| number().is_some_and(|number| number >= minimum))
        && bound("MaxValue").is_none_or(|maximum| number().is_some_and(|number| number <= maximum))
        && bound("MaxLength").is_none_or(|maximum| value.len() as f64 <= maximum)
        && (definition["Type"] != "Number" || number().is_some())
}

/// A pattern over the whole of a value. To compile one takes longer than all that it is asked.
fn pattern_of(pattern: &str) -> Arc<Pattern> {
    static COMPILED: LazyLock<Mutex<BTreeMap<String, Arc<Pattern>>>> =
        LazyLock::new(Mutex::default);
    let mut compiled = COMPILED.lock().unwrap();
    let compile = || Arc::new(Pattern::new(&format!("^(?:{pattern})$")).unwrap());
    compiled.entry(pattern.to_owned()).or_insert_with(compile).clone()
}

pub(crate) fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

pub(crate) fn strings(value: &Value) -> Vec<String> {
    value.as_array().map_or_else(|| vec![text(value)], |items| items.iter().map(text).collect())
}

pub(crate) fn owned<'a>(items: impl IntoIterator<Item = &'a str>) -> BTreeSet<String> {
    items.into_iter().map(str::to_owned).collect()
}

/// A list of `{Key, Value}`.
pub(crate) fn attributes(list: &Value) -> BTreeMap<String, String> {
    list.as_array()
        .unwrap()
        .iter()
        .map(|entry| (text(&entry["Key"]), text(&entry["Value"])))
        .collect()
}

/// All that names something else: `Ref`, `GetAtt`, `Sub`, `If`, `Condition`, `FindInMap`.
pub(crate) fn names_used(node: &Value, found: &mut BTreeSet<String>) {
    match node {
        Value::Array(items) => items.iter().for_each(|item| names_used(item, found)),
        Value::Object(map) => {
            for (key, value) in map {
                match (key.as_str(), value) {
                    ("Ref" | "Condition", Value::String(name)) => _ = found.insert(name.clone()),
                    ("Fn::If" | "Fn::GetAtt" | "Fn::FindInMap", Value::Array(items)) => {
                        _ = found.insert(text(&items[0]))
                    }
                    ("Fn::Sub", form) => {
                        let form = form.get(0).unwrap_or(form).as_str().unwrap();
                        let names = VARIABLE.captures_iter(form);
                        found.extend(
                            names.map(|name| name[1].split('.').next().unwrap().to_owned()),
                        );
                    }
                    _ => {}
                }
                names_used(value, found);
            }
        }
        _ => {}
    }
}
