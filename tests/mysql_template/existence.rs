//! When there is a function that flushes, and what its parameters take.

use super::*;

#[test]
fn everything_is_there_for_every_database_with_a_host_cache() {
    for (kind, endpoint) in ENDPOINTS.into_iter().take(3) {
        for stack in
            [with(&[("DatabaseKind", kind), ("DatabaseEndpoint", endpoint)]), with_secret()]
        {
            assert_eq!(stack.resources(), owned(PARTS), "{kind}");
        }
    }
}

#[test]
fn rules_refuse_half_of_it_and_what_has_no_host_cache() {
    let cases: [(&[(&str, &str)], &str); 10] = [
        (&[("DatabaseEngine", "postgres")], "Set DatabaseEngine=mysql or mariadb"),
        (
            &[("DatabaseEngine", "oracle"), ("DatabaseKind", "instance")],
            "Set DatabaseEngine=mysql or mariadb",
        ),
        (&[("DatabaseKind", "proxy")], "Set DatabaseKind to cluster, readers or instance"),
        (&[("DatabaseKind", "hostname")], "Set DatabaseKind to cluster, readers or instance"),
        (&[("DatabaseKind", "address")], "Set DatabaseKind to cluster, readers or instance"),
        (&[("FlushHostsSecretArn", SECRET)], "Give one of them"),
        (&[("DatabaseResourceIds", "")], "Give the database's DatabaseResourceIds"),
        (
            &[("FlushHostsUser", ""), ("DatabaseResourceIds", "")],
            "Give FlushHostsUser or FlushHostsSecretArn",
        ),
        (&[("FlushHostsSecretArn", SECRET), ("FlushHostsUser", "")], "Give both, or neither"),
        (&[("HealthCheckIntervalSeconds", "10")], "Raise max_connect_errors"),
    ];
    for (parameters, remedy) in cases {
        let refusals = with(parameters).refusals();
        assert!(
            matches!(&*refusals, [one] if one.contains(remedy)),
            "{parameters:?}: {refusals:?}"
        );
    }
}

#[test]
fn rules_let_pass_what_works() {
    for (kind, engine) in
        [("cluster", "mysql"), ("readers", "mysql"), ("instance", "mysql"), ("instance", "mariadb")]
    {
        assert_eq!(
            with(&[("DatabaseKind", kind), ("DatabaseEngine", engine)]).refusals(),
            [""; 0],
            "{engine} {kind}"
        );
    }
    assert_eq!(with_secret().refusals(), [""; 0]);
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
            &[
                "*",
                "app",
                "db-*",
                "cluster-abcdefghijkl01234",
                "db-ABCDEFGHIJKL01234,",
                "prx-ABCDEFGHIJKL01234",
            ],
        ),
        (
            "FlushHostsSecretArn",
            &[
                "",
                SECRET,
                "arn:aws:secretsmanager:eu-west-1:111122223333:secret:rds!cluster-1234abcd-Ab12Cd",
            ],
            &[
                "flush-hosts",
                "arn:aws:secretsmanager:eu-west-1:111122223333:secret:*",
                "arn:aws:ssm:eu-west-1:1:a",
            ],
        ),
        (
            "FlushHostsSubnetIds",
            &["subnet-01234567,subnet-89abcdef"],
            &["", "vpc-01234567", "subnet-01234567,"],
        ),
        (
            "CaBundleLayerArn",
            &["", LAYER],
            &["ca", &LAYER[..LAYER.len() - 2], "arn:aws:s3:::bucket"],
        ),
        (
            "FlushHostsSecurityGroupIds",
            &["sg-01234567,sg-89abcdef"],
            &["", "default", "sg-01234567, sg-89abcdef"],
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
    let many = |count: usize| vec!["db-ABCDEFGHIJKL01234"; count].join(",");
    assert!(accepts("DatabaseResourceIds", &many(4)));
    assert!(!accepts("DatabaseResourceIds", &many(5)), "the role has no place for it");
    assert_eq!(
        TEMPLATE["Parameters"]["MaxConnectErrors"]["Default"], "100",
        "an untouched database has 100"
    );
    let description = text(&TEMPLATE["Parameters"]["DatabaseResourceIds"]["Description"]);
    assert!(description.contains("blue/green"), "the IDs change");
    assert!(
        text(&TEMPLATE["Parameters"]["FlushHostsSecretArn"]["Description"]).contains("kms:Decrypt")
    );
}
