//! A function that asks the database: what it has more than others, and only with a login.

use std::collections::BTreeSet;

use base::login::LoginMethod;
use reconcile::binding::{Engine, Kind};
use reconcile::config::Config;
use serde_json::{Value, json};

use super::function::FOR_PROBING;
use super::stack::{ENDPOINTS, Stack, accepts, layer, owned, root, section, strings, text};
use super::{FUNCTION_IN_VPC, PROBING, READERS, SECURITY_GROUP, every_stack, joined};

const SECRET: &str = "arn:aws:secretsmanager:eu-west-1:111122223333:secret:probe-AbCdEf";
const LAYER: (&str, &str) =
    ("CaBundleLayerArn", "arn:aws:lambda:eu-west-1:111122223333:layer:ca:3");
const BY_SECRET: [(&str, &str); 3] =
    [FUNCTION_IN_VPC[0], FUNCTION_IN_VPC[1], ("ProbeSecretArn", SECRET)];

/// The kinds whose databases can be asked.
const ASKED: [&str; 3] = ["cluster", "instance", "hostname"];

/// Everything that is created for asking and not without it, with a security group of the database.
const PARTS: [&str; 2] = ["ProbeSilentAlarm", "FunctionIngress"];

/// What says how a function asks.
const TRACES: [&str; 10] = [
    "PROBE_",
    "CA_BUNDLE",
    "/opt/ca.pem",
    r#"\"engine\""#,
    "rds-db:connect",
    "secretsmanager:",
    "ProbeSilent",
    "FunctionIngress",
    "PathUp",
    "PathProbeIngress",
];

/// These parameters, and others in place of some of them.
pub(crate) fn changed<'a>(
    base: &[(&'a str, &'a str)],
    changes: &[(&'a str, &'a str)],
) -> Vec<(&'a str, &'a str)> {
    let kept = base.iter().filter(|(name, _)| !changes.iter().any(|(other, _)| other == name));
    kept.chain(changes).copied().collect()
}

fn probing<'a>(changes: &[(&'a str, &'a str)]) -> Stack {
    Stack::with(&changed(&PROBING, changes))
}

pub(crate) fn config(stack: &Stack) -> Config {
    let function = stack.existing("Function");
    let config = Config::parse(|name| function["Environment"]["Variables"].get(name).map(text));
    config.unwrap_or_else(|error| panic!("{error}"))
}

// --- Without a login ---

#[test]
fn without_a_login_nothing_of_it_is_there() {
    let layer = Stack::with(&[&FUNCTION_IN_VPC[..], &[LAYER, READERS, SECURITY_GROUP]].concat());
    for stack in every_stack().map(|(.., stack)| stack).chain([layer]) {
        let all: Vec<_> =
            stack.resources().iter().map(|name| (name.clone(), stack.existing(name))).collect();
        for (name, resource) in all {
            let resource = resource.to_string();
            let found: Vec<_> =
                TRACES.into_iter().filter(|trace| resource.contains(trace)).collect();
            assert!(found.is_empty() && !PARTS.contains(&&*name), "{name}: {found:?}");
        }
        assert_eq!(stack.existing("Function").get("Layers"), None);
    }
}

#[test]
fn a_login_changes_the_function_its_role_and_the_dashboard_alone() {
    for login in [&PROBING[..], &BY_SECRET] {
        let others = [FUNCTION_IN_VPC[0], FUNCTION_IN_VPC[1], SECURITY_GROUP, READERS];
        for stack_of in [Stack::with, joined] {
            let (with, without) = (stack_of(&changed(&others, login)), stack_of(&others));
            let added: BTreeSet<_> =
                with.resources().difference(&without.resources()).cloned().collect();
            assert_eq!(added, owned(PARTS));
            assert!(with.resources().is_superset(&without.resources()));
            // Stacks differ by what is passed to them, which is seen in what they hold.
            let own = without.resources().into_iter().filter(|name| without.nested(name).is_none());
            let differing: BTreeSet<_> =
                own.filter(|name| with.existing(name) != without.existing(name)).collect();
            assert_eq!(differing, owned(["Dashboard", "Function", "FunctionRole"]));
        }
    }
}

#[test]
fn a_login_changes_of_the_function_its_login_and_the_writers_engine_alone() {
    for login in [changed(&PROBING, &[LAYER, READERS]), changed(&BY_SECRET, &[LAYER, READERS])] {
        let mut function = Stack::with(&login).existing("Function");
        let own = function.as_object_mut().unwrap();
        assert_eq!(own.remove("Layers"), Some(json!([LAYER.1])));
        let variables = own["Environment"]["Variables"].as_object_mut().unwrap();
        let removed = FOR_PROBING.iter().filter(|name| variables.remove(**name).is_some());
        assert_eq!(removed.count(), 2, "a login, and the authorities");
        let bindings = text(&variables["BINDINGS"]);
        assert_eq!(bindings.matches(r#","engine":"postgres""#).count(), 1, "{bindings}");
        variables["BINDINGS"] = bindings.replace(r#","engine":"postgres""#, "").into();
        let plain = [FUNCTION_IN_VPC[0], FUNCTION_IN_VPC[1], LAYER, READERS];
        assert_eq!(function, Stack::with(&plain).existing("Function"));
    }
}

// --- With one ---

#[test]
fn the_function_reads_the_engine_of_the_writer_the_login_and_the_authorities() {
    let iam = LoginMethod::Iam("failover_sync".into());
    let secret = LoginMethod::Secret(SECRET.into());
    for (kind, endpoint) in ENDPOINTS.into_iter().filter(|(kind, _)| ASKED.contains(kind)) {
        for (name, engine) in
            [("postgres", Engine::Postgres), ("mysql", Engine::MySql), ("mariadb", Engine::MySql)]
        {
            let database =
                [("DatabaseKind", kind), ("DatabaseEndpoint", endpoint), ("DatabaseEngine", name)];
            for (login, parameters) in [(&iam, &PROBING[..]), (&secret, &BY_SECRET)] {
                for (layer, bundle) in [("", None), (LAYER.1, Some("/opt/ca.pem".into()))] {
                    let parameters =
                        changed(parameters, &[&database[..], &[(LAYER.0, layer)]].concat());
                    for stack in [Stack::with(&parameters), joined(&parameters)] {
                        let config = config(&stack);
                        assert_eq!(
                            (&config.login, &config.ca_bundle),
                            (&Some(login.clone()), &bundle),
                            "{kind} {name}"
                        );
                        let [writer] = &*config.bindings else { panic!("{:?}", config.bindings) };
                        assert_eq!(writer.engine, Some(engine), "{kind} {name}");
                        let layers = (!layer.is_empty()).then(|| json!([layer]));
                        assert_eq!(stack.existing("Function").get("Layers").cloned(), layers);
                    }
                }
            }
        }
    }
}

#[test]
fn the_readers_beside_a_writer_that_is_asked_are_not() {
    let config = config(&probing(&[READERS]));
    let engines: Vec<_> =
        config.bindings.iter().map(|binding| (binding.kind, binding.engine)).collect();
    assert_eq!(engines, [(Kind::Cluster, Some(Engine::Postgres)), (Kind::Readers, None)]);
}

#[test]
fn the_kinds_that_can_be_asked_are_those_that_have_a_voice() {
    let with_probe = Kind::ALL.iter().filter(|kind| kind.can_probe_role());
    assert_eq!(with_probe.map(Kind::to_string).collect::<BTreeSet<_>>(), owned(ASKED));
    for (kind, endpoint) in ENDPOINTS {
        let refusals =
            probing(&[("DatabaseKind", kind), ("DatabaseEndpoint", endpoint)]).refusals();
        assert_eq!(refusals.is_empty(), ASKED.contains(&kind), "{kind}: {refusals:?}");
    }
}

/// The statements of a role that name an action of this service.
fn statements(stack: &Stack, role: &str, service: &str) -> Vec<Value> {
    let role = stack.existing(role);
    let policies = role["Policies"].as_array().unwrap();
    let all = policies
        .iter()
        .flat_map(|policy| policy["PolicyDocument"]["Statement"].as_array().unwrap());
    all.filter(|one| strings(&one["Action"]).iter().any(|action| action.starts_with(service)))
        .cloned()
        .collect()
}

#[test]
fn the_role_logs_in_as_the_one_user_where_the_resource_ids_are() {
    let ids = "cluster-ABCDEFGHIJ,db-AAAAAAAAAA,db-BBBBBBBBBB,db-CCCCCCCCCC";
    for count in 1..=4 {
        let given: Vec<_> = ids.split(',').take(count).collect();
        let joined = given.join(",");
        let stack = probing(&[("DatabaseResourceIds", &joined)]);
        let users = given
            .iter()
            .map(|id| format!("arn:aws:rds-db:eu-west-1:111122223333:dbuser:{id}/failover_sync"));
        let expected = json!({
            "Sid": "LogInAsThisUser",
            "Effect": "Allow",
            "Action": "rds-db:connect",
            "Resource": users.collect::<Vec<_>>(),
        });
        assert_eq!(statements(&stack, "FunctionRole", "rds-db:"), [expected]);
        assert_eq!(statements(&stack, "FunctionRole", "secretsmanager:"), [Value::Null; 0]);
    }
}

#[test]
fn the_role_reads_the_one_secret() {
    let expected = json!({
        "Sid": "ReadThisSecret",
        "Effect": "Allow",
        "Action": "secretsmanager:GetSecretValue",
        "Resource": SECRET,
    });
    let stack = Stack::with(&BY_SECRET);
    assert_eq!(statements(&stack, "FunctionRole", "secretsmanager:"), [expected]);
    assert_eq!(statements(&stack, "FunctionRole", "rds-db:"), [Value::Null; 0]);
}

#[test]
fn a_login_adds_one_statement_to_the_role_and_takes_none() {
    for login in [&PROBING[..], &BY_SECRET] {
        let all = |stack: &Stack| statements(stack, "FunctionRole", "");
        let (with, without) = (all(&Stack::with(login)), all(&Stack::with(&FUNCTION_IN_VPC)));
        let added: Vec<_> = with.iter().filter(|statement| !without.contains(statement)).collect();
        assert_eq!((added.len(), with.len()), (1, without.len() + 1), "{added:?}");
    }
}

#[test]
fn the_databases_group_lets_in_the_first_group_of_a_function_that_asks() {
    let groups = ("FunctionSecurityGroupIds", "sg-11111111,sg-22222222");
    for login in [&PROBING[..], &BY_SECRET] {
        for stack_of in [Stack::with, joined] {
            let stack =
                stack_of(&changed(login, &[groups, SECURITY_GROUP, ("DatabasePort", "3306")]));
            let expected = json!({
                "GroupId": SECURITY_GROUP.1,
                "IpProtocol": "tcp",
                "FromPort": "3306",
                "ToPort": "3306",
                "SourceSecurityGroupId": "sg-11111111",
                "Description": "Function of link",
            });
            assert_eq!(stack.existing("FunctionIngress"), expected);
            let without_group = stack_of(&changed(login, &[groups]));
            assert_eq!(
                without_group.resource("FunctionIngress"),
                None,
                "which group it would be, nobody knows"
            );
        }
    }
    let says = text(&section("Parameters")["FunctionSecurityGroupIds"]["Description"]);
    for words in ["names the first", "EC2 refuses a rule that exists", "the path probe"] {
        assert!(says.contains(words), "{says}");
    }
}

// --- What is refused ---

#[test]
fn rules_refuse_half_of_it_and_databases_that_cannot_be_asked() {
    let outside = [("FunctionSubnetIds", ""), ("FunctionSecurityGroupIds", "")];
    let engine = "Set DatabaseEngine=postgres, mysql or mariadb, or leave ProbeUser and \
                  ProbeSecretArn empty";
    let kind = "Set DatabaseKind to cluster, instance or hostname, or leave ProbeUser and \
                ProbeSecretArn empty";
    let network = "Give FunctionSubnetIds and FunctionSecurityGroupIds, or leave ProbeUser and \
                   ProbeSecretArn empty";
    let instance = |engine| [("DatabaseKind", "instance"), ("DatabaseEngine", engine)];
    let cases: [(&[(&str, &str)], &str); 8] = [
        (&instance("sqlserver"), engine),
        (&instance("oracle"), engine),
        (&instance("other"), engine),
        (&[("DatabaseEngine", "other")], engine),
        (&[("DatabaseKind", "readers")], kind),
        (&[("DatabaseKind", "proxy")], kind),
        (&[("DatabaseKind", "address")], kind),
        (&outside, network),
    ];
    for (parameters, remedy) in cases {
        for login in [&PROBING[..], &BY_SECRET] {
            for stack_of in [Stack::with, joined] {
                let refusals = stack_of(&changed(login, parameters)).refusals();
                assert!(
                    matches!(&*refusals, [one] if one.contains(remedy)),
                    "{parameters:?}: {refusals:?}"
                );
            }
        }
    }
    for half in FUNCTION_IN_VPC {
        let refusals = probing(&[(half.0, "")]).refusals();
        assert!(
            !refusals.is_empty()
                && refusals.iter().any(|one| one.contains("Give both, or neither")),
            "{half:?}"
        );
    }
    let cases: [(Vec<(&str, &str)>, &str); 4] = [
        (changed(&PROBING, &[BY_SECRET[2]]), "ProbeSecretArn by password. Give one of them"),
        (
            changed(&PROBING, &[("DatabaseResourceIds", "")]),
            "Give the database's DatabaseResourceIds",
        ),
        (changed(&PROBING, &[("ProbeUser", "")]), "where ProbeUser may log in"),
        (changed(&BY_SECRET, &[PROBING[3]]), "Give both, or neither"),
    ];
    for (parameters, remedy) in cases {
        let refusals = Stack::with(&parameters).refusals();
        assert!(
            matches!(&*refusals, [one] if one.contains(remedy)),
            "{parameters:?}: {refusals:?}"
        );
    }
}

#[test]
fn rules_let_pass_what_can_be_asked() {
    for (kind, endpoint) in ENDPOINTS.into_iter().filter(|(kind, _)| ASKED.contains(kind)) {
        for engine in ["postgres", "mysql", "mariadb"] {
            // MariaDB has no clusters, which another rule says.
            if (kind, engine) != ("cluster", "mariadb") {
                let database = [
                    ("DatabaseKind", kind),
                    ("DatabaseEndpoint", endpoint),
                    ("DatabaseEngine", engine),
                ];
                for login in [&PROBING[..], &BY_SECRET] {
                    let parameters = changed(login, &database);
                    assert_eq!(Stack::with(&parameters).refusals(), [""; 0], "{parameters:?}");
                    assert_eq!(joined(&parameters).refusals(), [""; 0], "{parameters:?}");
                }
            }
        }
    }
}

#[test]
fn parameters_take_what_is_right_and_nothing_else() {
    let (longest, longer) = ("a".repeat(63), "a".repeat(64));
    let cases: [(&str, &[&str], &[&str]); 2] = [
        (
            "ProbeUser",
            &["", "failover_sync", &longest],
            &["failover sync", "failover@sync", "*", "'a'@'%'", &longer],
        ),
        (
            "ProbeSecretArn",
            &[
                "",
                SECRET,
                "arn:aws:secretsmanager:eu-west-1:111122223333:secret:rds!cluster-1234abcd-Ab12Cd",
            ],
            &[
                "witness",
                "arn:aws:secretsmanager:eu-west-1:111122223333:secret:*",
                "arn:aws:ssm:eu-west-1:1:a",
            ],
        ),
    ];
    for (parameter, right, wrong) in cases {
        right
            .iter()
            .for_each(|value| assert!(accepts(parameter, value), "{parameter} refuses {value:?}"));
        wrong
            .iter()
            .for_each(|value| assert!(!accepts(parameter, value), "{parameter} accepts {value:?}"));
    }
    let flushing =
        &layer("infra/flush-hosts.yaml")["Parameters"]["FlushHostsSecretArn"]["AllowedPattern"];
    assert_eq!(section("Parameters")["ProbeSecretArn"]["AllowedPattern"], *flushing);
}

#[test]
fn both_logins_say_that_they_are_optional_where_the_function_must_be_and_which_ways_out_it_needs() {
    let says = |name: &str| text(&section("Parameters")[name]["Description"]);
    for (name, words) in [
        (
            "ProbeUser",
            &["nothing changes", "VPC (FunctionSubnetIds, FunctionSecurityGroupIds)"][..],
        ),
        ("ProbeSecretArn", &["instead of ProbeUser", "VPC", "kms:Decrypt"]),
        (
            "FunctionSubnetIds",
            &["elasticloadbalancing", "RDS", "NAT", "Secrets Manager", "logs need none"],
        ),
    ] {
        let missing: Vec<_> = words.iter().filter(|word| !says(name).contains(**word)).collect();
        assert!(missing.is_empty(), "{name}: {missing:?}");
    }
    assert!(says("DatabaseResourceIds").contains("the database user may log in by IAM"));
    assert!(says("CaBundleLayerArn").contains("the function trusts"));
    let groups =
        layer("template.yaml")["Metadata"]["AWS::CloudFormation::Interface"]["ParameterGroups"]
            .clone();
    let groups = groups.as_array().unwrap().iter().map(|group| strings(&group["Parameters"]));
    let group = groups.into_iter().find(|all| all.contains(&"ProbeUser".to_owned()));
    assert!(
        group.unwrap().contains(&"FunctionSubnetIds".to_owned()),
        "beside the function's network"
    );
}

// --- The account ---

fn sql() -> String {
    std::fs::read_to_string(root().join("infra/probe-user.sql")).unwrap()
}

#[test]
fn the_accounts_may_log_in_and_nothing_more() {
    let mysql = "CREATE USER 'failover_sync'@'%'";
    let (iam, password) = ("AWSAuthenticationPlugin AS 'RDS'", "'REPLACE-THIS-PASSWORD'");
    let accounts = [
        (
            "A",
            vec![
                "CREATE ROLE failover_sync LOGIN CONNECTION LIMIT 45;".into(),
                "GRANT rds_iam TO failover_sync;".into(),
            ],
        ),
        (
            "B",
            vec![format!(
                "CREATE ROLE failover_sync LOGIN CONNECTION LIMIT 45 PASSWORD {password};"
            )],
        ),
        ("C", vec![format!("{mysql} IDENTIFIED WITH {iam} REQUIRE SSL;")]),
        ("D", vec![format!("{mysql} IDENTIFIED BY {password} REQUIRE SSL;")]),
    ];
    let sql = sql();
    for (block, statements) in accounts {
        let lines =
            sql.lines().skip_while(|line| !line.starts_with(&format!("-- {block}: "))).skip(1);
        let lines =
            lines.take_while(|line| !line.is_empty()).map(|line| line.trim_start_matches("-- "));
        assert_eq!(lines.collect::<Vec<_>>(), statements, "{block}");
    }
}

#[test]
fn the_sql_does_nothing_until_a_block_is_chosen() {
    assert!(sql().lines().all(|line| line.is_empty() || line.starts_with("--")));
}
