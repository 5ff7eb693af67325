use std::collections::HashMap;

use super::*;

const ARN: &str =
    "arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/db/0123456789abcdef";

fn parse(variables: &[(&str, &str)]) -> Result<Config, ConfigErrors> {
    let variables: HashMap<&str, &str> = variables.iter().copied().collect();
    Config::parse(|name| variables.get(name).map(|value| (*value).to_owned()))
}

fn binding(change: &str, value: Value) -> String {
    let mut binding = serde_json::json!({
        "name": "writer", "endpoint": "orders.cluster-c1.eu-west-1.rds.amazonaws.com", "port": 5432,
        "targetGroupArn": ARN,
    });
    binding[change] = value;
    serde_json::json!([binding]).to_string()
}

#[test]
fn what_the_template_writes_is_read() {
    let bindings = binding("id", "orders".into());
    let config = parse(&[("BINDINGS", &bindings), ("ALLOWED_CIDRS", ""), ("DNS_SERVERS", " ")])
        .expect("valid");
    assert_eq!(config.bindings.len(), 1);
    let binding = &config.bindings[0];
    assert_eq!(binding.kind, Kind::Cluster, "inferred from the endpoint");
    assert_eq!((binding.port, binding.family), (5432, Family::Ipv4));
    assert_eq!(binding.id.as_deref(), Some("orders"));
    assert_eq!(config.allowed, AllowedNetworks::default());
    assert!(config.dns_servers.is_empty());
}

#[test]
fn a_function_acts_unless_it_is_to_observe_and_any_other_mode_is_refused() {
    let bindings = binding("id", "orders".into());
    let mode = |mode| parse(&[("BINDINGS", &*bindings), ("MODE", mode)]).map(|it| it.mode);
    for (given, expected) in [
        ("", Mode::Act),
        ("act", Mode::Act),
        ("observe", Mode::Observe),
        (" observe ", Mode::Observe),
    ] {
        assert_eq!(mode(given), Ok(expected), "{given:?}");
    }
    for given in ["Observe", "dry-run", "true", "act,observe"] {
        let message = mode(given).expect_err(given).to_string();
        assert!(message.contains("MODE: ") && message.contains("give act or observe"), "{message}");
    }
}

#[test]
fn servers_and_networks_are_lists() {
    let bindings = binding("kind", "hostname".into());
    let variables = [
        ("BINDINGS", &*bindings),
        ("ALLOWED_CIDRS", "10.0.0.0/16"),
        ("DNS_SERVERS", "10.0.0.2, [::1]:5353"),
    ];
    let config = parse(&variables).expect("valid");
    assert_eq!(
        config.dns_servers,
        ["10.0.0.2:53".parse().expect("v4"), "[::1]:5353".parse().expect("v6")]
    );
    assert_eq!(config.allowed.to_string(), "10.0.0.0/16");
}

#[test]
fn a_mistake_names_its_binding_and_field_and_the_remedy() {
    let place = |field: &str| format!("BINDINGS[0] \"writer\".{field}: ");
    for (field, value, place, word) in [
        ("port", 0.into(), place("port"), "1 to 65535"),
        ("port", 70000.into(), place("port"), "70000 is not a port"),
        ("port", "5432".into(), place("port"), "without quotes"),
        ("port", (-1).into(), place("port"), "not a port"),
        ("port", Value::Null, place("port"), "not a port"),
        ("targetGroupArn", "db".into(), place("targetGroupArn"), "not the ARN"),
        ("targetGroupArn", Value::Null, place("targetGroupArn"), "is missing"),
        (
            "targetGroupArn",
            "arn:aws:elasticloadbalancing:eu-west-1:123456789012:loadbalancer/net/db/0a".into(),
            place("targetGroupArn"),
            "load balancer",
        ),
        ("endpoint", "".into(), place("endpoint"), "is empty"),
        ("endpoint", 7.into(), place("endpoint"), "not a string"),
        ("endpoint", "10.0.0.7:5432".into(), place("endpoint"), "carries a port"),
        ("kind", "writer".into(), place("kind"), "there are cluster, readers"),
        ("kind", "address".into(), place("endpoint"), "is a name"),
        ("ipAddressType", "dual".into(), place("ipAddressType"), "ipv4 and ipv6"),
        ("id", 7.into(), place("id"), "not a string"),
        ("id", "".into(), place("id"), "leave it out"),
        (
            "id",
            "arn:aws:rds:eu-west-1:123456789012:cluster:orders".into(),
            place("id"),
            "neither an endpoint nor an ARN",
        ),
        ("id", "orders.c1.eu-west-1.rds.amazonaws.com".into(), place("id"), "is not an identifier"),
        ("endpoint", "10.0.0.256".into(), place("endpoint"), "ends in a number"),
        ("targetgroup", ARN.into(), place("targetgroup"), "is not a field"),
        ("port\n", ARN.into(), place("port\\n"), "is not a field"),
        ("name", "".into(), "BINDINGS[0].name: ".into(), "is empty"),
        ("name", Value::Null, "BINDINGS[0].name: ".into(), "is missing"),
        ("name", "the writer".into(), "BINDINGS[0] \"the writer\".name: ".into(), "not a name"),
    ] {
        let message =
            parse(&[("BINDINGS", &binding(field, value.clone()))]).expect_err(field).to_string();
        assert!(message.starts_with("1 mistake in the configuration:\n- "), "{message}");
        assert!(message.contains(&place) && message.contains(word), "{field} = {value}: {message}");
    }
}

#[test]
fn a_literal_address_needs_its_kind_and_family() {
    let with = |kind: &str, family: &str| {
        let bindings = serde_json::json!([{
            "name": "ec2", "endpoint": "10.0.0.7", "port": 5432, "targetGroupArn": ARN,
            "kind": kind, "ipAddressType": family,
        }]);
        parse(&[("BINDINGS", &bindings.to_string())]).map_err(|error| error.to_string())
    };
    assert!(with("address", "ipv4").is_ok());
    assert!(with("address", "ipv6").expect_err("family").contains("not an ipv6 address"));
    assert!(with("cluster", "ipv4").expect_err("kind").contains("host name"));
}

#[test]
fn the_deregistration_delay_is_up_to_an_hour_and_one_that_an_event_outlives_is_told() {
    let bindings = binding("kind", "hostname".into());
    let with =
        |delay: &str| parse(&[("BINDINGS", &bindings), ("DEREGISTRATION_DELAY_SECONDS", delay)]);
    for (delay, seconds, is_told) in [
        ("", 120, false),
        ("0", 0, true),
        ("89", 89, true),
        ("90", 90, false),
        ("120", 120, false),
        ("3600", 3600, false),
    ] {
        let config = with(delay).expect(delay);
        assert_eq!(config.deregistration_delay, Duration::from_secs(seconds));
        let note = config.note_on_delay();
        assert_eq!(note.is_some(), is_told, "{delay}: {note:?}");
        assert!(
            note.is_none_or(
                |note| note.contains(&format!("{seconds} s")) && note.contains("Seconds")
            ),
            "{delay}"
        );
    }
    for wrong in ["3601", "-1", "two minutes"] {
        let message = with(wrong).expect_err(wrong).to_string();
        assert!(
            message.contains("DEREGISTRATION_DELAY_SECONDS") && message.contains("from 0 to 3600"),
            "{message}"
        );
    }
}

#[test]
fn a_kind_that_contradicts_the_form_of_the_name_is_refused_with_both_remedies() {
    let endpoint = |form: &str| format!("orders.{form}c1.eu-west-1.rds.amazonaws.com");
    let forms = [
        ("cluster-", vec![Kind::Cluster, Kind::Hostname]),
        ("cluster-ro-", vec![Kind::Readers]),
        ("cluster-custom-", vec![Kind::Custom, Kind::Readers]),
        ("proxy-", vec![Kind::Proxy]),
        ("", vec![Kind::Instance, Kind::Hostname]),
        ("global-", Kind::ALL.iter().copied().filter(|kind| *kind != Kind::Address).collect()),
    ];
    for (form, fitting) in forms {
        let endpoint = endpoint(form);
        for kind in Kind::ALL {
            let name = kind.to_string();
            let json = binding("kind", name.clone().into())
                .replace("orders.cluster-c1.eu-west-1.rds.amazonaws.com", &endpoint);
            let parsed = parse(&[("BINDINGS", &json)]);
            assert_eq!(parsed.is_ok(), fitting.contains(kind), "{endpoint} as {name}: {parsed:?}");
        }
    }
    let json = binding("kind", "cluster".into()).replace("orders.cluster-", "orders.cluster-ro-");
    let message = parse(&[("BINDINGS", &json)]).expect_err("a reader endpoint").to_string();
    for words in [
        "orders.cluster-ro-c1",
        "of the kind readers",
        "set \"kind\" to readers",
        "give the endpoint of the kind cluster",
    ] {
        assert!(message.contains(words), "{message}");
    }
}

#[test]
fn bindings_that_are_no_list_of_objects_are_one_clear_mistake() {
    for (json, word) in [
        ("", "is missing"),
        ("  ", "is missing"),
        ("[", "is not JSON"),
        ("{}", "is not an array"),
        ("null", "is not an array"),
        ("[]", "is empty"),
        ("[7]", "BINDINGS[0]: 7 is not an object"),
    ] {
        let message = parse(&[("BINDINGS", json)]).expect_err(json).to_string();
        assert!(message.contains(word), "{json:?}: {message}");
    }
    assert!(parse(&[]).expect_err("missing").to_string().contains("BINDINGS: is missing"));
}

#[test]
fn all_mistakes_are_reported_at_once() {
    let bindings = serde_json::json!([
        {"name": "writer", "endpoint": "", "port": 0, "targetGroupArn": "x", "colour": "red"},
        {"name": "writer", "endpoint": "db.example", "port": 5432, "targetGroupArn": "x"},
    ]);
    let variables = [
        ("BINDINGS", &*bindings.to_string()),
        ("ALLOWED_CIDRS", "ten"),
        ("DNS_SERVERS", "dns.example,10.0.0.2"),
        ("WATCH_SECONDS", "181"),
    ];
    let message = parse(&variables).expect_err("ten mistakes").to_string();
    assert!(message.starts_with("10 mistakes"), "{message}");
    for place in [
        "BINDINGS[0] \"writer\".endpoint",
        "BINDINGS[0] \"writer\".port",
        "BINDINGS[0] \"writer\".targetGroupArn",
        "BINDINGS[0] \"writer\".colour",
        "BINDINGS[1] \"writer\".name: is used by another",
        "BINDINGS[1] \"writer\".targetGroupArn: is kept by another",
        "WATCH_SECONDS: \"181\"",
        "ALLOWED_CIDRS: \"ten\"",
        "DNS_SERVERS: \"dns.example\"",
    ] {
        assert!(message.contains(place), "{place} in {message}");
    }
}

#[test]
fn all_mistakes_are_reported_at_once_where_fields_depend_on_each_other() {
    let bindings = serde_json::json!([
        {
            "name": "no name", "endpoint": "10.0.0.7", "kind": "readers", "port": 0,
            "targetGroupArn": "x", "engine": "mysql",
        },
        {
            "name": "b", "endpoint": "db.example", "kind": "address", "port": 1,
            "targetGroupArn": ARN, "id": "a b",
        },
    ]);
    let message =
        parse(&[("BINDINGS", &bindings.to_string())]).expect_err("eight mistakes").to_string();
    for words in [
        "[0] \"no name\".name: ",
        "[0] \"no name\".port: ",
        "[0] \"no name\".targetGroupArn: ",
        "[0] \"no name\".endpoint: 10.0.0.7 is an address, which the kind readers cannot follow",
        "[0] \"no name\".engine: is given, but databases of the kind readers are not asked",
        "BINDINGS[0].engine: is given, but there is no login",
        "[1] \"b\".endpoint: \"db.example\" is a name, but the kind is address",
        "[1] \"b\".id: \"a b\" is not an identifier",
    ] {
        assert!(message.contains(words), "{words} in {message}");
    }
    assert!(message.starts_with("8 mistakes"), "{message}");
}

#[test]
fn the_space_around_a_variable_does_not_count() {
    let bindings = format!("\n {} ", binding("engine", "postgres".into()));
    let variables = [
        ("BINDINGS", &*bindings),
        ("PROBE_USER", " witness\n"),
        ("CA_BUNDLE", " /opt/ca.pem "),
        ("WATCH_SECONDS", " 9 "),
    ];
    let config = parse(&variables).expect("valid");
    assert_eq!(config.login, Some(LoginMethod::Iam("witness".into())));
    assert_eq!(
        (config.ca_bundle, config.watch),
        (Some("/opt/ca.pem".into()), Duration::from_secs(9))
    );
}

#[test]
fn without_an_identifier_it_is_said_what_does_not_work() {
    let of = |kind: &str, endpoint: &str| {
        let bindings = serde_json::json!([
            {"name": "b", "endpoint": endpoint, "kind": kind, "port": 1, "targetGroupArn": ARN},
        ]);
        parse(&[("BINDINGS", &bindings.to_string())]).expect("valid").bindings[0].is_unidentified()
    };
    for kind in ["cluster", "readers"] {
        assert!(
            of(kind, "db.example")
                .is_some_and(|what| what.contains("event") && what.contains("RDS API")),
            "{kind}"
        );
    }
    assert!(of("instance", "db.example").is_some_and(|what| what.contains("event")));
    assert_eq!(of("hostname", "db.example"), None);
    assert_eq!(of("cluster", "orders.cluster-c1.eu-west-1.rds.amazonaws.com"), None);
}

#[test]
fn databases_are_asked_with_a_login_and_an_engine() {
    const SECRET: &str = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:probe-AbCdEf";
    let with = |engine: Value, changes: &[(&str, &str)]| {
        let bindings = binding("engine", engine);
        let variables: Vec<_> =
            [("BINDINGS", &*bindings)].into_iter().chain(changes.iter().copied()).collect();
        parse(&variables).map_err(|error| error.to_string())
    };
    for (engine, expected) in
        [("postgres", Engine::Postgres), ("mysql", Engine::MySql), ("mariadb", Engine::MySql)]
    {
        let config =
            with(engine.into(), &[("PROBE_USER", "witness"), ("CA_BUNDLE", "/opt/ca.pem")])
                .expect(engine);
        assert_eq!(config.bindings[0].engine, Some(expected));
        assert_eq!(config.login, Some(LoginMethod::Iam("witness".into())));
        assert_eq!(config.ca_bundle, Some("/opt/ca.pem".into()));
    }
    let config = with("postgres".into(), &[("PROBE_SECRET_ARN", SECRET)]).expect("a secret");
    assert_eq!(config.login, Some(LoginMethod::Secret(SECRET.into())));
    for (engine, changes, expected) in [
        (
            "sqlserver".into(),
            vec![("PROBE_USER", "witness")],
            "engine: \"sqlserver\" is not an engine",
        ),
        (Value::Null, vec![("PROBE_USER", "witness")], "no binding has an \"engine\""),
        ("postgres".into(), vec![], "there is no login to ask its databases with"),
        (
            "postgres".into(),
            vec![("PROBE_USER", "a&b")],
            "PROBE_USER: \"a&b\" cannot log in with IAM",
        ),
        (
            "postgres".into(),
            vec![("PROBE_SECRET_ARN", "x")],
            "PROBE_SECRET_ARN: \"x\" is not the ARN",
        ),
        (
            "postgres".into(),
            vec![("PROBE_USER", "w"), ("PROBE_SECRET_ARN", SECRET)],
            "are both set",
        ),
    ] {
        let message = with(engine, &changes).expect_err(expected);
        assert!(message.contains(expected) && message.starts_with("1 mistake in"), "{message}");
    }
    let json =
        binding("engine", "postgres".into()).replace("orders.cluster-", "orders.cluster-ro-");
    let message =
        parse(&[("BINDINGS", &json), ("PROBE_USER", "witness")]).expect_err("readers").to_string();
    assert!(message.contains("the kind readers are not asked"), "{message}");
}

#[test]
fn more_dns_servers_than_a_lookup_has_time_for_are_refused() {
    let bindings = binding("port", 5432.into());
    let three = "10.0.0.2,10.0.0.3,10.0.0.4:5353";
    for (servers, is_accepted) in [(three.to_owned(), true), (format!("{three},10.0.0.5"), false)] {
        let config = parse(&[("BINDINGS", &bindings), ("DNS_SERVERS", &servers)]);
        assert_eq!(config.is_ok(), is_accepted, "{servers}");
        assert!(
            config.is_ok() || config.expect_err("four").to_string().contains("names 4 servers")
        );
    }
}

#[test]
fn the_load_balancers_name_and_port_are_taken_with_a_login_for_one_database() {
    let one = binding("engine", "postgres".into());
    let two = {
        let mut both: Vec<Value> = serde_json::from_str(&one).expect("an array");
        let mut second = both[0].clone();
        second["name"] = "second".into();
        second["targetGroupArn"] = ARN.replace("/db/", "/second/").into();
        both.push(second);
        Value::from(both).to_string()
    };
    let with = |bindings: &str, path: &str, user: &str| {
        parse(&[("BINDINGS", bindings), ("PROBE_PATH", path), ("PROBE_USER", user)])
            .map(|config| config.path.map(|path| path.to_string()))
            .map_err(|error| error.to_string())
    };
    const NLB: &str = "link-0a1b.elb.eu-west-1.amazonaws.com";
    for (path, expected) in [
        (format!("{NLB}:5432"), Some(format!("{NLB}:5432"))),
        (format!(" {}.:6432\n", NLB.to_uppercase()), Some(format!("{NLB}:6432"))),
        (" ".to_owned(), None),
    ] {
        assert_eq!(with(&one, &path, "probe"), Ok(expected), "{path:?}");
    }
    for (bindings, path, user, expected) in [
        (&one, NLB, "probe", "has no port"),
        (&one, &format!("{NLB}:"), "probe", "does not end in a port"),
        (&one, &format!("{NLB}:0"), "probe", "does not end in a port"),
        (&one, &format!("{NLB}:65536"), "probe", "does not end in a port"),
        (&one, ":5432", "probe", "\"\" is not a host name"),
        (&one, &format!("https://{NLB}:443"), "probe", "is not a host name"),
        (&one, "10.0.0.7:5432", "probe", "each zone has another"),
        (&one, "[fd00::7]:5432", "probe", "is not a host name"),
        (
            &one,
            "ORDERS.cluster-c1.eu-west-1.rds.amazonaws.com:5432",
            "probe",
            "leads around the load balancer",
        ),
        (&two, &format!("{NLB}:5432"), "probe", "2 bindings have an \"engine\""),
        (
            &binding("port", 5432.into()),
            &format!("{NLB}:5432"),
            "",
            "there is no login to ask with",
        ),
    ] {
        let message = with(bindings, path, user).expect_err(path);
        assert!(message.contains("PROBE_PATH: ") && message.contains(expected), "{message}");
        assert!(message.starts_with("1 mistake in"), "{message}");
    }
}
