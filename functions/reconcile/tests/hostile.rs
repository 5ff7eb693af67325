//! Whatever stands in the variables, and whatever arrives as an event: never a panic, a clear
//! refusal at most.
//!
//! `make fuzz` tries many more cases, from another seed.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use base::database::ClusterMember;
use base::payload::WATCH_LIMIT;
use chrono::{DateTime, Utc};
use proptest::prelude::*;
use reconcile::binding::{Binding, Endpoint, Kind};
use reconcile::claim::Role;
use reconcile::config::{Config, VARIABLES};
use reconcile::evidence::{DnsAnswer, Evidence};
use reconcile::history::History;
use reconcile::network::AllowedNetworks;
use reconcile::target::{Addresses, DescribedTarget, TargetState};
use reconcile::topology::Topology;
use reconcile::trigger::{Cause, Trigger};
use reconcile::verdict::{Verdict, verdict};
use reconcile::watch::Watch;
use serde_json::{Value, json};

const ARN: &str =
    "arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/db/0123456789abcdef";
const ENDPOINT: &str = "orders.cluster-c1.eu-west-1.rds.amazonaws.com";
const FIELDS: [&str; 8] =
    ["name", "endpoint", "port", "targetGroupArn", "kind", "id", "ipAddressType", "engine"];

/// What the event files say happened, all of it before this.
const NOW: &str = "2026-11-21T12:00:00Z";

// --- Variables ---

fn any_json() -> impl Strategy<Value = Value> {
    let keys = proptest::sample::select(vec![
        "name", "port", "kind", "Message", "source", "time", "detail", "Sns", "k",
    ]);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 5, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::btree_map(keys.clone(), inner, 0..4).prop_map(|object| object
                .into_iter()
                .map(|(key, value)| (key.to_owned(), value))
                .collect()),
        ]
    })
}

/// Values that are right, almost right, and anything at all.
fn any_field() -> impl Strategy<Value = Value> {
    let likely = [
        "writer",
        ENDPOINT,
        ARN,
        "10.0.0.7",
        "fd00::1",
        "cluster",
        "address",
        "ipv6",
        "mysql",
        "",
        "a.b",
        "-",
        "1.2.3.4:5",
    ];
    prop_oneof![
        4 => proptest::sample::select(likely.to_vec()).prop_map(Value::from),
        2 => prop_oneof![0..2u32, 0..70_000u32].prop_map(Value::from),
        1 => any_json(),
    ]
}

/// A binding that is sound but for one field, which may be as well.
fn almost_sound() -> impl Strategy<Value = Value> {
    (proptest::sample::select(FIELDS.to_vec()), any_field()).prop_map(|(field, value)| {
        let mut binding =
            json!({"name": "writer", "endpoint": ENDPOINT, "port": 5432, "targetGroupArn": ARN});
        binding[field] = value;
        binding
    })
}

fn any_bindings() -> impl Strategy<Value = String> {
    let object = proptest::collection::btree_map(
        proptest::sample::select(FIELDS.to_vec()),
        any_field(),
        0..8,
    );
    let object = object
        .prop_map(|fields| fields.into_iter().map(|(k, v)| (k.to_owned(), v)).collect::<Value>());
    prop_oneof![
        any::<String>(),
        proptest::collection::vec(any::<u8>(), 0..64)
            .prop_map(|bytes| String::from_utf8_lossy(&bytes).into_owned()),
        any_json().prop_map(|json| json.to_string()),
        proptest::collection::vec(prop_oneof![object, almost_sound(), any_json()], 0..3)
            .prop_map(|items| Value::from(items).to_string()),
    ]
}

fn any_list() -> impl Strategy<Value = String> {
    let item = prop_oneof![
        any::<String>(),
        "[0-9]{1,3}(\\.[0-9]{1,3}){3}(/[0-9]{1,3}|:[0-9]{1,6})?",
        "[0-9a-f:]{0,12}(/[0-9]{1,3})?",
        "\\[[0-9a-f:]{0,8}\\](:[0-9]{1,6})?",
    ];
    proptest::collection::vec(item, 0..5).prop_map(|items| items.join(","))
}

fn any_seconds() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        any::<i64>().prop_map(|n| n.to_string()),
        (0..400u32).prop_map(|n| format!(" {n} "))
    ]
}

/// A user, an ARN of a secret, or anything at all.
fn any_login() -> impl Strategy<Value = String> {
    let likely = [
        "failover-sync",
        "arn:aws:secretsmanager:eu-west-1:123456789012:secret:db-AbCdEf",
        "a b",
        " ",
    ];
    prop_oneof![proptest::sample::select(likely.to_vec()).prop_map(str::to_owned), any::<String>()]
}

/// A load balancer's name and port, or anything at all.
fn any_path() -> impl Strategy<Value = String> {
    let likely = ["nlb.elb.eu-west-1.amazonaws.com:5432", "nlb", "10.0.0.7:5432", ":0", " "];
    prop_oneof![proptest::sample::select(likely.to_vec()).prop_map(str::to_owned), any::<String>()]
}

fn any_mode() -> impl Strategy<Value = String> {
    let known = proptest::sample::select(vec!["act", "observe", "Act", "", "dry-run"]);
    prop_oneof![known.prop_map(str::to_owned), any::<String>()]
}

/// The value of each of [`VARIABLES`], if it is given.
type Values = [Option<String>; VARIABLES.len()];

/// `Some` variable or none.
fn variables() -> impl Strategy<Value = Values> {
    let some = proptest::option::weighted::<BoxedStrategy<String>>;
    let (bindings, list) = (some(0.9, any_bindings().boxed()), || some(0.7, any_list().boxed()));
    let login = || some(0.3, any_login().boxed());
    let seconds = || some(0.7, any_seconds().boxed());
    (
        bindings,
        some(0.3, any_mode().boxed()),
        list(),
        list(),
        seconds(),
        seconds(),
        login(),
        login(),
        some(0.3, any_path().boxed()),
        some(0.2, any::<String>().boxed()),
    )
        .prop_map(|(a, b, c, d, e, f, g, h, i, j)| [a, b, c, d, e, f, g, h, i, j])
}

/// With these bindings and nothing else.
fn only(bindings: &Value) -> Values {
    let mut values = Values::default();
    values[0] = Some(bindings.to_string());
    values
}

fn parse(values: &Values) -> Result<Config, String> {
    let variables: BTreeMap<_, _> = VARIABLES.iter().copied().zip(values).collect();
    Config::parse(|name| variables[name].clone()).map_err(|mistakes| mistakes.to_string())
}

/// The variables that a mistake names, by number: what is before its colon.
fn named_in(mistake: &str) -> Vec<usize> {
    let place = mistake.split_once(": ").map_or(mistake, |(place, _)| place);
    (0..VARIABLES.len()).filter(|number| place.contains(VARIABLES[*number])).collect()
}

proptest! {
    #[test]
    fn every_mistake_in_the_variables_names_its_variable(values in variables()) {
        match parse(&values) {
            Ok(config) => prop_assert!(!config.bindings.is_empty() && config.watch <= WATCH_LIMIT),
            Err(message) => {
                let (head, mistakes) = message.split_once(":\n- ").expect("a list");
                prop_assert!(head.ends_with("in the configuration"), "{}", message);
                for mistake in mistakes.split("\n- ") {
                    let named = named_in(mistake);
                    prop_assert!(!named.is_empty(), "{:?} names no variable: {}", mistake, message);
                    let is_empty = values[0].as_ref().is_none_or(|value| value.trim().is_empty());
                    let is_missing = named == [0] && is_empty;
                    let is_given = named.iter().any(|variable| values[*variable].is_some());
                    prop_assert!(is_given || is_missing, "{} was not given", mistake);
                }
            }
        }
    }

    #[test]
    fn no_binding_is_taken_that_cannot_be_kept(
        items in proptest::collection::vec(almost_sound(), 1..3),
    ) {
        if let Ok(config) = parse(&only(&Value::from(items))) {
            let (mut names, mut groups) = (BTreeSet::new(), BTreeSet::new());
            for binding in &config.bindings {
                prop_assert!(!binding.name.is_empty() && names.insert(&binding.name));
                prop_assert!(groups.insert(binding.target_group.as_str()));
                prop_assert!(binding.port > 0);
                let is_address = binding.kind == Kind::Address;
                match &binding.endpoint {
                    Endpoint::Address(address) => {
                        prop_assert!(is_address && binding.family.has(address));
                    }
                    Endpoint::Name(name) => prop_assert!(!is_address && !name.is_empty()),
                }
            }
        }
    }

    #[test]
    fn one_variable_that_is_wrong_is_the_only_one_that_is_named(
        which in 1..VARIABLES.len(), wrong in any::<String>(),
    ) {
        let mut values = only(&json!([{
            "name": "writer", "endpoint": ENDPOINT, "port": 5432, "targetGroupArn": ARN,
        }]));
        values[which] = Some(wrong);
        if let Err(message) = parse(&values) {
            let mistakes = message.split("\n- ").skip(1);
            prop_assert!(mistakes.clone().count() > 0, "{}", message);
            for mistake in mistakes {
                prop_assert!(named_in(mistake).contains(&which), "{}", message);
            }
        }
    }
}

// --- Events ---

/// The payloads of `tests/events` that AWS sends, by name.
fn events() -> Vec<(String, Value)> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/events");
    let files = std::fs::read_dir(directory)
        .expect("tests/events")
        .map(|entry| entry.expect("an entry").path());
    let read = |path: std::path::PathBuf| {
        let name = path.file_stem().and_then(|name| name.to_str()).expect("a name").to_owned();
        let text = std::fs::read_to_string(&path).expect("readable");
        (name, serde_json::from_str(&text).expect("JSON"))
    };
    let mut events: Vec<(String, Value)> =
        files.map(read).filter(|(name, _)| !name.starts_with("manual")).collect();
    events.sort_by(|(one, _), (other, _)| one.cmp(other));
    events
}

fn event(name: &str) -> Value {
    events().into_iter().find(|(known, _)| known == name).expect("a payload of that name").1
}

/// One change somewhere in a payload.
#[derive(Clone, Debug)]
enum Mutation {
    Replace(Value),
    Text(String),
    Cut(usize),
    Remove,
    Twice,
}

fn mutation() -> impl Strategy<Value = Mutation> {
    prop_oneof![
        any_json().prop_map(Mutation::Replace),
        any::<String>().prop_map(Mutation::Text),
        any::<usize>().prop_map(Mutation::Cut),
        Just(Mutation::Remove),
        Just(Mutation::Twice),
    ]
}

/// Changes the node that `place` chooses, inside the JSON of an SNS message too.
fn mutate(node: &mut Value, mut place: usize, mutation: &Mutation) {
    if let Value::String(text) = node
        && let Ok(mut inner @ Value::Object(_)) = serde_json::from_str(text)
    {
        mutate(&mut inner, place, mutation);
        *text = inner.to_string();
        return;
    }
    let count = match node {
        Value::Object(object) => object.len(),
        Value::Array(items) => items.len(),
        _ => 0,
    };
    // One choice more than there are children: this node itself.
    let choice = place % (count + 1);
    place /= count + 1;
    match node {
        Value::Object(object) if choice < count => {
            let key = object.keys().nth(choice).expect("a key").clone();
            match mutation {
                Mutation::Remove if place.is_multiple_of(2) => drop(object.remove(&key)),
                _ => mutate(object.get_mut(&key).expect("a value"), place, mutation),
            }
        }
        Value::Array(items) if choice < count => match mutation {
            Mutation::Remove if place.is_multiple_of(2) => drop(items.remove(choice)),
            Mutation::Twice => items.push(items[choice].clone()),
            _ => mutate(&mut items[choice], place, mutation),
        },
        node => match mutation {
            Mutation::Replace(value) => *node = value.clone(),
            Mutation::Text(text) => *node = text.clone().into(),
            Mutation::Cut(at) => {
                let text: Vec<char> = node.as_str().unwrap_or_default().chars().collect();
                *node = text[..at % (text.len() + 1)].iter().collect::<String>().into();
            }
            Mutation::Remove => *node = Value::Null,
            Mutation::Twice => *node = json!([node.clone(), node.clone()]),
        },
    }
}

fn mutated() -> impl Strategy<Value = (String, Value)> {
    let changes = proptest::collection::vec((any::<usize>(), mutation()), 1..4);
    (proptest::sample::select(events()), changes).prop_map(|((name, mut payload), changes)| {
        changes.iter().for_each(|(place, mutation)| mutate(&mut payload, *place, mutation));
        (name, payload)
    })
}

fn at(time: &str) -> DateTime<Utc> {
    time.parse().expect("a time")
}

fn set(address: [u8; 4]) -> Addresses {
    Addresses::from(IpAddr::from(address))
}

fn topology(writer: usize) -> Topology {
    let member = |number: usize| {
        let id = ["orders-a", "orders-b"][number];
        let (is_writer, status) = (number == writer, "available".to_owned());
        let member = ClusterMember {
            id: id.to_owned(),
            is_writer,
            endpoint: Some(format!("{id}.example")),
            status,
        };
        (member, set([10, 0, 0, u8::try_from(number).expect("small") + 1]))
    };
    Topology(vec![member(0), member(1)])
}

/// What a first look decides with these events about a group that holds 10.0.0.1, the address of
/// `orders-a`.
fn decide(
    binding: &Binding,
    trigger: &Trigger,
    dns: Option<Addresses>,
    topology: Option<Topology>,
) -> Verdict {
    decide_with_roles(binding, trigger, dns, topology, &[])
}

/// What the databases at 10.0.0.1, 10.0.0.2 and so on said when they were asked so many seconds
/// ago, in that order.
type Roles = [(u8, Option<Role>, i64)];

fn decide_with_roles(
    binding: &Binding,
    trigger: &Trigger,
    dns: Option<Addresses>,
    topology: Option<Topology>,
    roles: &Roles,
) -> Verdict {
    let now = at(NOW);
    let events = trigger.events_for(binding, now);
    let mut watch = Watch::new(&events, trigger.watch, WATCH_LIMIT, now);
    assert!(watch.is_expired(now + WATCH_LIMIT), "an event cannot make a run endless: {trigger:?}");
    watch.record_agreement(now);
    let group = vec![DescribedTarget::new("10.0.0.1".into(), 5432, TargetState::Healthy, None)];
    let mut evidence = Evidence::new(binding, &events, History::default(), now);
    evidence.group.update(group, now);
    if let Some(addresses) = dns {
        evidence.record_dns(DnsAnswer { addresses, ttl: Duration::from_secs(5) }, now);
    }
    evidence.record_topology(topology, now);
    for (host, role, ago) in roles {
        evidence.record_probe(
            [10, 0, 0, *host].into(),
            *role,
            now - chrono::Duration::seconds(*ago),
        );
    }
    verdict(binding, &AllowedNetworks::default(), &evidence, now)
}

fn any_roles() -> impl Strategy<Value = Vec<(u8, Option<Role>, i64)>> {
    let role = proptest::sample::select(vec![None, Some(Role::Writer), Some(Role::Reader)]);
    proptest::collection::vec((1..4u8, role, 0..8i64), 0..6).prop_map(|mut roles| {
        roles.sort_by_key(|(_, _, ago)| -ago);
        roles
    })
}

/// What the database said last, if that was a moment ago.
fn last_role(roles: &Roles, host: u8) -> Option<Role> {
    let (_, role, ago) =
        roles.iter().rev().find(|(known, role, _)| *known == host && role.is_some())?;
    role.filter(|_| *ago <= 5)
}

fn binding(kind: Kind) -> Binding {
    let bindings = json!([{
        "name": "writer", "endpoint": ENDPOINT, "port": 5432, "targetGroupArn": ARN, "id": "orders",
    }]);
    let config = parse(&only(&bindings)).expect("sound");
    Binding { kind, ..config.bindings[0].clone() }
}

proptest! {
    #[test]
    fn no_event_is_an_error_however_it_is_changed((name, payload) in mutated()) {
        let trigger = Trigger::parse(&payload);
        prop_assert!(trigger.is_ok(), "{}: {:?} for {}", name, trigger, payload);
    }

    #[test]
    fn no_message_of_sns_is_an_error_or_anything_but_a_failover(
        message in any_json(), as_text in any::<bool>(),
    ) {
        let mut payload = event("sns-cluster-failover");
        let (text, json) = (message.as_str().unwrap_or_default(), message.to_string());
        payload["Records"][0]["Sns"]["Message"] = if as_text { text } else { &json }.into();
        let trigger = Trigger::parse(&payload);
        prop_assert_eq!(trigger.map(|trigger| trigger.cause), Ok(Cause::Failover));
    }

    #[test]
    fn no_detail_of_event_bridge_is_an_error(detail in any_json()) {
        let mut payload = event("eventbridge-cluster-failover");
        payload["detail"] = detail;
        prop_assert!(Trigger::parse(&payload).is_ok());
    }

    /// An event selects among what others say: it names no address, and outvotes no two witnesses.
    #[test]
    fn no_event_moves_a_group_on_its_own((name, payload) in mutated(), age in 0..700i64) {
        let mut trigger = Trigger::parse(&payload).expect("no error");
        for event in &mut trigger.events {
            event.time = event.time.map(|_| at(NOW) - chrono::Duration::seconds(age));
        }
        for kind in [Kind::Cluster, Kind::Instance, Kind::Readers, Kind::Proxy, Kind::Hostname] {
            let binding = binding(kind);
            let alone = decide(&binding, &trigger, None, None);
            let is_switch = matches!(alone, Verdict::Switch(..));
            prop_assert!(!is_switch, "{}: {:?} by {}", name, alone, payload);
        }
        let cluster = binding(Kind::Cluster);
        let agreed = decide(&cluster, &trigger, Some(set([10, 0, 0, 1])), Some(topology(0)));
        let is_switch = matches!(agreed, Verdict::Switch(..));
        prop_assert!(!is_switch, "{}: {:?} by {}", name, agreed, payload);
        for (dns, writer) in [([10, 0, 0, 1], 1), ([10, 0, 0, 2], 1), ([10, 0, 0, 2], 0)] {
            let (dns, topology) = (Some(set(dns)), Some(topology(writer)));
            if let Verdict::Switch(plan, _) = decide(&cluster, &trigger, dns, topology) {
                let registered: Vec<_> = plan.register.iter().map(ToString::to_string).collect();
                prop_assert_eq!(registered, ["10.0.0.2:5432"], "{} by {}", name, payload);
            }
        }
    }

    /// Whoever names it, and whatever stands in an event.
    #[test]
    fn nothing_leads_to_a_database_that_said_a_moment_ago_that_it_is_read_only(
        (_, payload) in mutated(),
        dns in proptest::option::of(1..4u8),
        writer in proptest::option::of(0..2usize),
        roles in any_roles(),
    ) {
        let trigger = Trigger::parse(&payload).expect("no error");
        for kind in [Kind::Cluster, Kind::Instance, Kind::Hostname] {
            let (dns, topology) = (dns.map(|host| set([10, 0, 0, host])), writer.map(topology));
            let decided = decide_with_roles(&binding(kind), &trigger, dns, topology, &roles);
            let Verdict::Switch(plan, _) = decided else { continue };
            for host in 1..4 {
                let address = IpAddr::from([10, 0, 0, host]);
                let is_wanted = plan.register.iter().any(|target| target.address == address);
                let is_read_only = last_role(&roles, host) == Some(Role::Reader);
                prop_assert!(!(is_wanted && is_read_only), "{}: {} with {:?}", kind, plan, roles);
            }
        }
    }

    /// Nobody who names another address, and no event, is stronger than the one database that takes
    /// writes.
    #[test]
    fn nothing_leads_away_from_the_one_database_that_takes_writes(
        (_, payload) in mutated(),
        dns in proptest::option::of(1..4u8),
        writer in proptest::option::of(0..2usize),
        mut roles in any_roles(),
    ) {
        roles.retain(|(_, role, _)| *role != Some(Role::Writer));
        roles.push((1, Some(Role::Writer), 0));
        let trigger = Trigger::parse(&payload).expect("no error");
        for kind in [Kind::Cluster, Kind::Instance] {
            let (dns, topology) = (dns.map(|host| set([10, 0, 0, host])), writer.map(topology));
            let decided = decide_with_roles(&binding(kind), &trigger, dns, topology, &roles);
            let is_in_sync = matches!(decided, Verdict::InSync(_));
            prop_assert!(is_in_sync, "{}: {:?} with {:?}", kind, decided, roles);
        }
    }
}
