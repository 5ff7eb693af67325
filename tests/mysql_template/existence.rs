//! When there is a function that flushes, and what its parameters take.

use super::*;

#[test]
fn only_mysql_and_mariadb_with_a_login_are_flushed() {
    let engines = strings(&section("Parameters")["DatabaseEngine"]["AllowedValues"]);
    for engine in engines.iter().map(String::as_str) {
        for (kind, endpoint) in ENDPOINTS {
            for (credentials, is_given) in
                [(USER, true), ([("FlushHostsSecretArn", SECRET), NETWORK[0]], true), ([NETWORK[0], NETWORK[1]], false)]
            {
                let database = [("DatabaseEngine", engine), ("DatabaseKind", kind), ("DatabaseEndpoint", endpoint)];
                let stack = Stack::with(&[&database[..], &credentials].concat());
                let has_host_cache = ["mysql", "mariadb"].contains(&engine);
                let expected = has_host_cache && is_given && ["cluster", "readers", "instance"].contains(&kind);
                for part in PARTS {
                    assert_eq!(stack.resource(part).is_some(), expected, "{engine} {kind} {credentials:?}: {part}");
                }
                let output = &TEMPLATE["Outputs"]["FlushHostsFunctionName"];
                assert_eq!(stack.condition(output["Condition"].as_str().unwrap()), expected);
            }
        }
    }
    let conditional = section("Resources").iter().filter(|(_, resource)| resource["Condition"] == "FlushesHosts");
    assert_eq!(conditional.map(|(name, _)| name.clone()).collect::<BTreeSet<_>>(), owned(PARTS));
    assert!(PARTS.iter().all(|part| Stack::with(&[MYSQL]).resource(part).is_none()), "it is not the default");
}

#[test]
fn rules_refuse_half_of_it_and_what_has_no_host_cache() {
    let cases: [(&[(&str, &str)], &str); 11] = [
        (&[("DatabaseEngine", "postgres")], "Set DatabaseEngine=mysql or mariadb, or leave"),
        (
            &[("DatabaseEngine", "oracle"), ("DatabaseKind", "instance")],
            "Set DatabaseEngine=mysql or mariadb, or leave",
        ),
        (&[("DatabaseKind", "proxy")], "Set DatabaseKind to cluster, readers or instance, or leave"),
        (&[("DatabaseKind", "hostname")], "Set DatabaseKind to cluster, readers or instance, or leave"),
        (&[("DatabaseKind", "address")], "Set DatabaseKind to cluster, readers or instance, or leave"),
        (&[("FlushHostsSubnetIds", "")], "FlushHostsSubnetIds is empty. Give subnets"),
        (&[("FlushHostsSecurityGroupIds", "")], "FlushHostsSecurityGroupIds is empty. Give a security group"),
        (&[("FlushHostsSecretArn", SECRET)], "Give one of them"),
        (&[("DatabaseResourceIds", "")], "Give the database's DatabaseResourceIds"),
        (&without_user(), "or leave FlushHostsSubnetIds and FlushHostsSecurityGroupIds empty"),
        (&[("HealthCheckIntervalSeconds", "10")], "Raise max_connect_errors"),
    ];
    for (parameters, remedy) in cases {
        let refusals = with(parameters).refusals();
        assert!(matches!(&*refusals, [one] if one.contains(remedy)), "{parameters:?}: {refusals:?}");
    }
    let ids_without_user = Stack::with(&[MYSQL, USER[1]]).refusals();
    assert!(matches!(&*ids_without_user, [one] if one.contains("Give both, or neither")), "{ids_without_user:?}");
}

#[test]
fn rules_let_pass_what_works() {
    for (kind, engine) in [("cluster", "mysql"), ("readers", "mysql"), ("instance", "mysql"), ("instance", "mariadb")] {
        assert_eq!(with(&[("DatabaseKind", kind), ("DatabaseEngine", engine)]).refusals(), [""; 0], "{engine} {kind}");
    }
    assert_eq!(with_secret().refusals(), [""; 0]);
    assert_eq!(Stack::with(&[MYSQL, ("HealthCheckIntervalSeconds", "10")]).refusals(), [""; 0], "without flushing");
}

#[test]
fn parameters_take_what_is_right_and_nothing_else() {
    let cases: [(&str, &[&str], &[&str]); 6] = [
        (
            "FlushHostsUser",
            &["", "flush_hosts"],
            &["flush hosts", "flush@hosts", "*", "a23456789012345678901234567890123"],
        ),
        (
            "DatabaseResourceIds",
            &["", "db-ABCDEFGHIJKL01234", "cluster-ABCDEFGHIJKL01234,db-ABCDEFGHIJKL01234"],
            &["*", "app", "db-*", "cluster-abcdefghijkl01234", "db-ABCDEFGHIJKL01234,", "prx-ABCDEFGHIJKL01234"],
        ),
        (
            "FlushHostsSecretArn",
            &["", SECRET, "arn:aws:secretsmanager:eu-west-1:111122223333:secret:rds!cluster-1234abcd-Ab12Cd"],
            &["flush-hosts", "arn:aws:secretsmanager:eu-west-1:111122223333:secret:*", "arn:aws:ssm:eu-west-1:1:a"],
        ),
        ("FlushHostsSubnetIds", &["", "subnet-01234567,subnet-89abcdef"], &["vpc-01234567", "subnet-01234567,"]),
        ("CaBundleLayerArn", &["", LAYER], &["ca", &LAYER[..LAYER.len() - 2], "arn:aws:s3:::bucket"]),
        ("FlushHostsSecurityGroupIds", &["", "sg-01234567,sg-89abcdef"], &["default", "sg-01234567, sg-89abcdef"]),
    ];
    for (parameter, right, wrong) in cases {
        right.iter().for_each(|value| assert!(accepts(parameter, value), "{parameter} refuses {value:?}"));
        wrong.iter().for_each(|value| assert!(!accepts(parameter, value), "{parameter} accepts {value:?}"));
    }
    let many = |count: usize| vec!["db-ABCDEFGHIJKL01234"; count].join(",");
    assert!(accepts("DatabaseResourceIds", &many(4)));
    assert!(!accepts("DatabaseResourceIds", &many(5)), "the role has no place for it");
    assert_eq!(section("Parameters")["MaxConnectErrors"]["Default"], "100", "an untouched database has 100");
    let description = text(&section("Parameters")["DatabaseResourceIds"]["Description"]);
    assert!(description.contains("blue/green"), "the IDs change");
    assert!(text(&section("Parameters")["FlushHostsSecretArn"]["Description"]).contains("kms:Decrypt"));
}
