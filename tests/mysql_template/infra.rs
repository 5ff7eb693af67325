//! The parameter group and the account.

use super::*;

/// What a database has: parameters of instances or a cluster, and which group is made.
const KINDS: [(&str, &str, &str); 2] = [
    ("instances", "ParameterGroup", "db-instance"),
    ("multi-az-cluster", "ClusterParameterGroup", "db-cluster"),
];

#[test]
fn the_parameter_group_raises_the_limit_and_can_turn_the_cache_off() {
    for (applies_to, group, _) in KINDS {
        let stack = |given: &[(&str, &str)]| {
            Stack::of(
                &PARAMETER_GROUP,
                &[&[("Family", "mysql8.0"), ("AppliesTo", applies_to)], given].concat(),
            )
        };
        let made: Vec<_> =
            KINDS.iter().filter(|(_, name, _)| stack(&[]).resource(name).is_some()).collect();
        assert!(made.len() == 1 && made[0].1 == group, "{applies_to} makes {made:?}");
        let group = |given: &[(&str, &str)]| stack(given).existing(group);
        assert_eq!(group(&[])["Family"], "mysql8.0");
        assert_eq!(group(&[])["Parameters"], json!({"max_connect_errors": "5000"}));
        assert_eq!(
            group(&[("MaxConnectErrors", "10000")])["Parameters"]["max_connect_errors"],
            "10000"
        );
        let disabled = json!({"max_connect_errors": "5000", "host_cache_size": "0"});
        assert_eq!(group(&[("DisableHostCache", "true")])["Parameters"], disabled);
    }
    assert_eq!(PARAMETER_GROUP["Parameters"]["AppliesTo"]["Default"], "instances");
}

#[test]
fn a_cluster_parameter_group_is_for_multi_az_clusters_of_mysql_alone() {
    for (family, refused) in
        [("mysql8.0", false), ("mysql8.4", false), ("aurora-mysql8.0", true), ("mariadb11.8", true)]
    {
        let stack =
            Stack::of(&PARAMETER_GROUP, &[("Family", family), ("AppliesTo", "multi-az-cluster")]);
        assert_eq!(stack.refusals().len(), usize::from(refused), "{family}");
        let stack = Stack::of(&PARAMETER_GROUP, &[("Family", family)]);
        assert_eq!(stack.refusals(), Vec::<String>::new(), "{family}");
    }
}

#[test]
fn the_parameter_group_takes_families_that_have_a_host_cache_and_limits_that_exist() {
    let cases: [(&str, &[&str], &[&str]); 2] = [
        (
            "Family",
            &[
                "aurora-mysql5.7",
                "aurora-mysql8.0",
                "aurora-mysql8.4",
                "mysql8.0",
                "mysql8.4",
                "mariadb10.6",
                "mariadb11.8",
            ],
            &[
                "",
                "postgres16",
                "aurora-postgresql16",
                "mysql",
                "default.mysql8.0",
                "aurora-mysql8.0 ",
            ],
        ),
        ("MaxConnectErrors", &["1", "5000", "4294967295"], &["0", "4294967296", "many"]),
    ];
    for (parameter, right, wrong) in cases {
        let definition = &PARAMETER_GROUP["Parameters"][parameter];
        right
            .iter()
            .for_each(|value| assert!(takes(definition, value), "{parameter} refuses {value:?}"));
        wrong
            .iter()
            .for_each(|value| assert!(!takes(definition, value), "{parameter} accepts {value:?}"));
    }
}

/// A group that is no default holds other settings, and is not taken from its database.
#[test]
fn the_commands_replace_a_default_group_alone_and_tell_when_to_reboot() {
    for (applies_to, group, kind) in KINDS {
        let stack =
            Stack::of(&PARAMETER_GROUP, &[("Family", "mysql8.4"), ("AppliesTo", applies_to)]);
        let associate = stack.output("AssociateCommand");
        let (look, change) = associate.split_once(" | ").unwrap();
        assert!(look.starts_with(&format!("aws rds describe-{kind}s ")), "{look}");
        assert!(look.contains("starts_with(") && look.contains(", 'default.')"), "{look}");
        assert!(change.starts_with(&format!("xargs -r aws rds modify-{kind} ")), "{change}");
        assert!(change.contains(&format!("-parameter-group-name {{{group}}}")), "{change}");
        for (output, command) in [("RebootCommand", "reboot-"), ("LookCommand", "describe-")] {
            assert!(
                stack.output(output).starts_with(&format!("aws rds {command}{kind}")),
                "{output}"
            );
        }
        let parameters = stack.output("ParametersCommand");
        assert!(
            parameters.contains("-parameters ") && parameters.contains(&format!("{{{group}}}")),
            "{parameters}"
        );
    }
    let reboot = text(&PARAMETER_GROUP["Outputs"]["RebootCommand"]["Description"]);
    assert!(
        reboot.contains("once after AssociateCommand") && reboot.contains("not after a change"),
        "{reboot}"
    );
}

/// The statements of a block of `mysql-user.sql`, as they are once the comment marks are gone.
fn account(block: &str) -> Vec<String> {
    let sql = std::fs::read_to_string(root().join("infra/mysql-user.sql")).unwrap();
    let lines = sql.lines().skip_while(|line| !line.starts_with(&format!("-- {block}: "))).skip(1);
    lines
        .take_while(|line| !line.is_empty())
        .map(|line| line.trim_start_matches("-- ").to_owned())
        .collect()
}

#[test]
fn the_accounts_have_the_privileges_of_their_statement_and_no_more() {
    let truncate =
        ["GRANT SELECT, DROP ON performance_schema.host_cache TO 'flush_hosts'@'%';"].as_slice();
    let flush = [
        "GRANT RELOAD ON *.* TO 'flush_hosts'@'%';",
        "GRANT SELECT ON performance_schema.host_cache TO 'flush_hosts'@'%';",
    ];
    let iam = "IDENTIFIED WITH AWSAuthenticationPlugin AS 'RDS'";
    let password = "IDENTIFIED BY 'REPLACE-THIS-PASSWORD'";
    let accounts = [
        ("A", iam, truncate),
        ("B", password, truncate),
        ("C", iam, &flush),
        ("D", password, &flush),
    ];
    for (block, login, grants) in accounts {
        let statements = account(block);
        let (create, granted) =
            statements.split_first().unwrap_or_else(|| panic!("no block {block}"));
        assert_eq!(
            *create,
            format!("CREATE USER 'flush_hosts'@'%' {login} REQUIRE SSL;"),
            "{block}"
        );
        assert_eq!(granted, grants, "{block}");
    }
}

#[test]
fn the_sql_does_nothing_until_a_block_is_chosen() {
    let sql = std::fs::read_to_string(root().join("infra/mysql-user.sql")).unwrap();
    assert!(sql.lines().all(|line| line.is_empty() || line.starts_with("--")));
}
