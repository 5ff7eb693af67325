//! The configuration: environment variables in, bindings out. Reports every mistake at once.

mod path;

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use base::config::{ConfigErrors, ErrorCollector, given};
use base::database::{HostPort, identifier};
use base::login::LoginMethod;
use base::payload::WATCH_LIMIT;
use serde_json::{Map, Value};

use crate::binding::{Binding, Endpoint, Engine, Family, Kind, TargetGroupArn};
use crate::evidence::EVENT;
use crate::network::AllowedNetworks;
use crate::plan::Mode;
use crate::target::strings;

/// The variables that [`Config::parse`] reads, besides the standard `AWS_*` ones.
pub const VARIABLES: [&str; 10] = [
    "BINDINGS",
    "MODE",
    "ALLOWED_CIDRS",
    "DNS_SERVERS",
    "WATCH_SECONDS",
    "DEREGISTRATION_DELAY_SECONDS",
    "PROBE_USER",
    "PROBE_SECRET_ARN",
    "PROBE_PATH",
    "CA_BUNDLE",
];

/// The deregistration delay of the template, which is AWS's recommendation.
const DEREGISTRATION_DELAY: Duration = Duration::from_secs(120);

/// The longest that ELBv2 takes (`deregistration_delay.timeout_seconds`).
const LONGEST_DELAY: Duration = Duration::from_secs(3_600);

// An event outlives no departure that a description could have shown.
const _: () = assert!(EVENT.as_secs() < DEREGISTRATION_DELAY.as_secs());

const FIELDS: [&str; 8] =
    ["name", "endpoint", "port", "targetGroupArn", "kind", "id", "ipAddressType", "engine"];

/// What the function is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// What is kept where; at least one, with unique names.
    pub bindings: Vec<Binding>,
    /// Whether the function changes anything.
    pub mode: Mode,
    /// The networks whose addresses may be registered.
    pub allowed: AllowedNetworks,
    /// The DNS servers to ask; empty for the system's.
    pub dns_servers: Vec<SocketAddr>,
    /// How long a failover event is watched, [`WATCH_LIMIT`] at most.
    pub watch: Duration,
    /// For how long the target groups describe a deregistered target as draining, at most an hour.
    pub deregistration_delay: Duration,
    /// How to log in to the databases for their role; without it they are not asked.
    pub login: Option<LoginMethod>,
    /// The load balancer's name and its listener's port, to ask the one binding that has an engine
    /// what consumers see; without it they are not asked for.
    pub path: Option<HostPort>,
    /// A PEM file of authorities to trust for the databases, instead of the shipped one.
    pub ca_bundle: Option<PathBuf>,
}

impl Config {
    /// Reads the variables named in [`VARIABLES`]; one of nothing but space counts as absent.
    ///
    /// # Errors
    /// All mistakes, each with its variable, binding and field.
    pub fn parse(variable: impl Fn(&str) -> Option<String>) -> Result<Config, ConfigErrors> {
        let value = |name| {
            debug_assert!(VARIABLES.contains(&name), "{name}");
            given(variable(name))
        };
        let (user, secret) = (value("PROBE_USER"), value("PROBE_SECRET_ARN"));
        let has_login = user.is_some() || secret.is_some();
        let mut mistakes = ErrorCollector::default();
        let bindings = parse_list(value("BINDINGS").as_deref(), &mut mistakes);
        check_login(&bindings, has_login, &mut mistakes);
        let config = Config {
            bindings: parse_bindings(&bindings, &mut mistakes),
            mode: mistakes
                .collect("MODE", parse_mode(value("MODE").as_deref()))
                .unwrap_or_default(),
            allowed: parse_allowed(value("ALLOWED_CIDRS").as_deref(), &mut mistakes),
            dns_servers: parse_dns_servers(
                value("DNS_SERVERS").as_deref().unwrap_or_default(),
                &mut mistakes,
            ),
            watch: parse_seconds(
                ("WATCH_SECONDS", value("WATCH_SECONDS")),
                WATCH_LIMIT,
                WATCH_LIMIT,
                &mut mistakes,
            ),
            deregistration_delay: parse_seconds(
                ("DEREGISTRATION_DELAY_SECONDS", value("DEREGISTRATION_DELAY_SECONDS")),
                DEREGISTRATION_DELAY,
                LONGEST_DELAY,
                &mut mistakes,
            ),
            login: LoginMethod::parse(
                ["PROBE_USER", "PROBE_SECRET_ARN"],
                user,
                secret,
                &mut mistakes,
            ),
            path: path::parse(value("PROBE_PATH").as_deref(), &bindings, has_login, &mut mistakes),
            ca_bundle: value("CA_BUNDLE").map(PathBuf::from),
        };
        if mistakes.is_empty() { Ok(config) } else { Err(mistakes.into()) }
    }

    /// What follows from a delay that an event outlives, for the one who chose it.
    pub fn note_on_delay(&self) -> Option<String> {
        let (delay, event) = (self.deregistration_delay.as_secs(), EVENT.as_secs());
        (delay < event).then(|| {
            format!(
                "the deregistration delay is {delay} s, and an event of a failover counts for \
                 {event} s: that its database was left after it no longer shows, so of two \
                 failovers within that time the first may be followed once more; 120 s are enough \
                 (template parameter DeregistrationDelaySeconds)"
            )
        })
    }
}

fn parse_mode(mode: Option<&str>) -> Result<Mode, String> {
    let Some(name) = mode else { return Ok(Mode::Act) };
    name.parse().map_err(|_| format!("{name:?} is no mode: give act or observe"))
}

fn parse_allowed(list: Option<&str>, mistakes: &mut ErrorCollector) -> AllowedNetworks {
    let Some(list) = list else { return AllowedNetworks::default() };
    AllowedNetworks::parse(list).unwrap_or_else(|problems| {
        problems.into_iter().for_each(|problem| mistakes.add("ALLOWED_CIDRS", problem));
        AllowedNetworks::default()
    })
}

/// A lookup asks one after the other until one answers, and its time is short.
const DNS_SERVERS_AT_MOST: usize = 3;

fn parse_dns_servers(list: &str, mistakes: &mut ErrorCollector) -> Vec<SocketAddr> {
    let server = |item: &str| {
        let address =
            item.parse().or_else(|_| item.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, 53)));
        address.map_err(|_| format!("{item:?} is not an address such as 10.0.0.2 or 10.0.0.2:53"))
    };
    let items: Vec<_> = list.split(',').map(str::trim).filter(|item| !item.is_empty()).collect();
    if items.len() > DNS_SERVERS_AT_MOST {
        mistakes.add(
            "DNS_SERVERS",
            format!("names {} servers: give {DNS_SERVERS_AT_MOST} at most", items.len()),
        );
    }
    items.into_iter().filter_map(|item| mistakes.collect("DNS_SERVERS", server(item))).collect()
}

fn parse_seconds(
    (name, text): (&str, Option<String>),
    default: Duration,
    most: Duration,
    mistakes: &mut ErrorCollector,
) -> Duration {
    let Some(text) = text else { return default };
    match text.parse().map(Duration::from_secs) {
        Ok(duration) if duration <= most => return duration,
        _ => mistakes
            .add(name, format!("{text:?} is not a number of seconds from 0 to {}", most.as_secs())),
    }
    default
}

fn parse_list(json: Option<&str>, mistakes: &mut ErrorCollector) -> Vec<Value> {
    let example =
        r#"[{"name": "writer", "endpoint": "…", "port": 5432, "targetGroupArn": "arn:…"}]"#;
    let Some(json) = json else {
        mistakes.add("BINDINGS", format!("is missing: give a JSON array such as {example}"));
        return Vec::new();
    };
    let problem = match serde_json::from_str(json) {
        Ok(Value::Array(items)) if items.is_empty() => {
            format!("is empty: give at least one binding, such as {example}")
        }
        Ok(Value::Array(items)) => return items,
        Ok(_) => format!("is not an array: give one such as {example}"),
        Err(error) => format!("is not JSON ({error}): give an array such as {example}"),
    };
    mistakes.add("BINDINGS", problem);
    Vec::new()
}

fn parse_bindings(items: &[Value], mistakes: &mut ErrorCollector) -> Vec<Binding> {
    let (mut names, mut groups) = (BTreeSet::new(), BTreeSet::new());
    let mut bindings = Vec::new();
    for (index, item) in items.iter().enumerate() {
        let name = item.get("name").and_then(Value::as_str).filter(|name| !name.is_empty());
        let place = match name {
            Some(name) => format!("BINDINGS[{index}] {name:?}"),
            None => format!("BINDINGS[{index}]"),
        };
        if name.is_some_and(|name| !names.insert(name)) {
            mistakes.add(format!("{place}.name"), "is used by another binding: give each its own");
        }
        // Two bindings would each take the other's target for an unwanted one.
        if item.get("targetGroupArn").and_then(Value::as_str).is_some_and(|arn| !groups.insert(arn))
        {
            mistakes.add(
                format!("{place}.targetGroupArn"),
                "is kept by another binding: give each its own group",
            );
        }
        match item {
            Value::Object(fields) => bindings.extend(parse_binding(&place, fields, mistakes)),
            other => mistakes.add(place, format!("{other} is not an object")),
        }
    }
    bindings
}

fn parse_binding(
    place: &str,
    fields: &Map<String, Value>,
    mistakes: &mut ErrorCollector,
) -> Option<Binding> {
    for field in fields.keys().filter(|field| !FIELDS.contains(&field.as_str())) {
        let place = format!("{place}.{}", field.escape_debug());
        mistakes.add(place, format!("is not a field: there are {}", FIELDS.join(", ")));
    }
    let mut read = Fields { place, fields, mistakes };
    let name = read.required("name", check_name);
    let endpoint = read.required("endpoint", |name| Endpoint::parse(&name));
    let target_group = read.required("targetGroupArn", |arn| TargetGroupArn::parse(&arn));
    let port = read.check("port", parse_port(fields.get("port")));
    let kinds = strings(Kind::ALL).join(", ");
    let kind = read.optional("kind", |name| one_of(name, "a kind", &kinds));
    let id = read.optional("id", check_id);
    let family =
        read.optional("ipAddressType", |name| one_of(name, "an address type", "ipv4 and ipv6"));
    let engine = read.optional("engine", |name| {
        one_of(name, "an engine that can be asked", "postgres, mysql and mariadb")
    });

    // What depends on several fields is checked where these are right, whatever else is wrong.
    let kind = kind.and_then(|kind| kind.or_else(|| endpoint.as_ref().map(Kind::infer)));
    let family = family.map(Option::unwrap_or_default);
    if let (Some(endpoint), Some(kind), Some(family)) = (&endpoint, kind, family) {
        read.check("endpoint", check_agreement(endpoint, kind, family));
    }
    if let (Some(engine), Some(kind)) = (engine, kind) {
        read.check("engine", check_engine(engine, kind));
    }
    let (endpoint, kind, family, engine) = (endpoint?, kind?, family?, engine?);
    let id = id?.or_else(|| identifier_in(&endpoint, kind));
    Some(Binding {
        name: name?,
        endpoint,
        port: port?,
        target_group: target_group?,
        kind,
        id,
        family,
        engine,
    })
}

/// Reads the fields of a binding, and notes the mistakes in them.
struct Fields<'a> {
    /// Which binding it is.
    place: &'a str,
    fields: &'a Map<String, Value>,
    mistakes: &'a mut ErrorCollector,
}

impl Fields<'_> {
    fn optional<T>(
        &mut self,
        field: &str,
        parse: impl FnOnce(Option<String>) -> Result<T, String>,
    ) -> Option<T> {
        let text = match self.fields.get(field) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(other) => Err(format!("{other} is not a string")),
        };
        self.check(field, text.and_then(parse))
    }

    fn required<T>(
        &mut self,
        field: &str,
        parse: impl FnOnce(String) -> Result<T, String>,
    ) -> Option<T> {
        self.optional(field, |text| parse(text.ok_or("is missing")?))
    }

    fn check<T>(&mut self, field: &str, result: Result<T, String>) -> Option<T> {
        self.mistakes.collect(format!("{}.{field}", self.place), result)
    }
}

/// An RDS endpoint's first label is the identifier of the cluster or instance, a CNAME's is not.
fn identifier_in(endpoint: &Endpoint, kind: Kind) -> Option<String> {
    let has_identifier = matches!(kind, Kind::Cluster | Kind::Readers | Kind::Instance);
    match endpoint {
        Endpoint::Name(name) if has_identifier && Kind::infer(endpoint) == kind => {
            name.split('.').next().map(str::to_owned)
        }
        _ => None,
    }
}

fn check_agreement(endpoint: &Endpoint, kind: Kind, family: Family) -> Result<(), String> {
    match (endpoint, kind) {
        (Endpoint::Address(address), Kind::Address) if !family.has(address) => Err(format!(
            "{address} is not an {family} address: set \"ipAddressType\" to the target group's"
        )),
        (Endpoint::Address(_), Kind::Address) => Ok(()),
        (Endpoint::Address(address), kind) => Err(format!(
            "{address} is an address, which the kind {kind} cannot follow: give the endpoint's \
             host name"
        )),
        (Endpoint::Name(name), Kind::Address) => Err(format!(
            "{name:?} is a name, but the kind is address: give the address, or the kind hostname"
        )),
        (Endpoint::Name(name), kind) => match Kind::infer(endpoint) {
            form if kind.fits(form) => Ok(()),
            form => Err(format!(
                "{name:?} is by its form an endpoint of the kind {form}, but the kind is {kind}: \
                 set \"kind\" to {form}, or give the endpoint of the kind {kind}"
            )),
        },
    }
}

fn check_engine(engine: Option<Engine>, kind: Kind) -> Result<(), String> {
    match engine {
        Some(_) if !kind.can_probe_role() => Err(format!(
            "is given, but databases of the kind {kind} are not asked whether they take writes: \
             leave it out"
        )),
        _ => Ok(()),
    }
}

/// A login and an engine belong together, right or wrong: one alone would silently do nothing.
fn check_login(bindings: &[Value], has_login: bool, mistakes: &mut ErrorCollector) {
    match bindings.iter().position(has_engine) {
        None if has_login && !bindings.is_empty() => mistakes.add(
            "PROBE_USER or PROBE_SECRET_ARN",
            "is given, but no binding has an \"engine\": give it to those whose databases are to \
             be asked",
        ),
        Some(index) if !has_login => mistakes.add(
            format!("BINDINGS[{index}].engine"),
            "is given, but there is no login to ask its databases with: give PROBE_USER or \
             PROBE_SECRET_ARN",
        ),
        _ => {}
    }
}

fn has_engine(binding: &Value) -> bool {
    binding.get("engine").is_some_and(|engine| !engine.is_null())
}

/// Names go into metric dimensions and payloads, so they are kept to what needs no quoting there.
fn check_name(name: String) -> Result<String, String> {
    let is_plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
    match name.len() {
        0 => Err("is empty: give the binding a name".into()),
        1..=64 if is_plain => Ok(name),
        _ => Err(format!(
            "{name:?} is not a name: use up to 64 letters, digits, \"-\", \"_\" and \".\""
        )),
    }
}

fn check_id(id: Option<String>) -> Result<Option<String>, String> {
    match id {
        Some(id) if id.is_empty() => {
            Err("is empty: leave it out, or give the DB cluster or instance identifier".into())
        }
        id => id.as_deref().map(identifier).transpose(),
    }
}

fn parse_port(value: Option<&Value>) -> Result<u16, String> {
    let value = value.ok_or("is missing")?;
    let port = value.as_u64().and_then(|port| u16::try_from(port).ok()).filter(|port| *port > 0);
    port.ok_or_else(|| {
        format!("{value} is not a port: give a number from 1 to 65535, without quotes")
    })
}

fn one_of<T: FromStr>(name: Option<String>, what: &str, all: &str) -> Result<Option<T>, String> {
    let parse =
        |name: String| name.parse().map_err(|_| format!("{name:?} is not {what}: there are {all}"));
    name.map(parse).transpose()
}

#[cfg(test)]
mod tests;
