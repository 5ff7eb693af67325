//! What both sides of a peering create.

use super::*;

#[test]
fn routes_lead_both_ways_in_every_route_table() {
    for tables in (0..=TABLES.len()).map(|count| &TABLES[..count]) {
        for ranges in [&RANGES[..1], &RANGES[..]] {
            let lists = (tables.join(","), ranges.join(","));
            let stack = requester(&[("RouteTableIds", &lists.0), ("PeerCidrs", &lists.1)]);
            let expected = |connection: &str| -> BTreeSet<_> {
                let pairs =
                    tables.iter().flat_map(|table| ranges.iter().map(move |range| (table, range)));
                pairs
                    .map(|(table, range)| [*table, *range, connection].map(str::to_owned))
                    .collect()
            };
            assert_eq!(routes(&REQUESTER, &stack), expected("{PeeringConnection}"));
            let back = [("RouteTableIds", &*lists.0), ("RequesterCidrs", &*lists.1)];
            let connected = accepter(&[&back[..], &[("PeeringConnectionId", CONNECTION)]].concat());
            assert_eq!(routes(&ACCEPTER, &connected), expected(CONNECTION));
        }
    }
}

#[test]
fn the_side_of_the_query_nodes_admits_the_other_on_the_query_ports() {
    let both = RANGES.join(",");
    let ingress = |template: &Value, stack: &Stack| {
        created(template, stack, "AWS::EC2::SecurityGroupIngress")
    };
    for ranges in [RANGES[0], &*both] {
        let host = [("QuerySecurityGroupId", GROUP)];
        let (here, there) = (
            [("PeerCidrs", ranges)],
            [("RequesterCidrs", ranges), ("PeeringConnectionId", CONNECTION)],
        );
        let sides: [(&Value, Stack); 2] = [
            (&REQUESTER, requester(&[&host[..], &here].concat())),
            (&ACCEPTER, accepter(&[&host[..], &there].concat())),
        ];
        for (template, stack) in &sides {
            let rules = ingress(template, stack);
            assert_eq!(passes(rules.values()), query_ports(ranges.split(',')));
            assert!(rules.values().all(|rule| rule["GroupId"] == GROUP));
            assert!(created(template, stack, "AWS::EC2::SecurityGroupEgress").is_empty());
        }
        assert!(
            ingress(&REQUESTER, &requester(&here)).is_empty(),
            "the query nodes are over there"
        );
        assert!(ingress(&ACCEPTER, &accepter(&there)).is_empty(), "the query nodes are over there");
    }
}

#[test]
fn the_connection_is_what_was_asked_for() {
    let within = json!({
        "VpcId": "vpc-00000001", "PeerVpcId": "vpc-00000002",
        "Tags": [{"Key": "Name", "Value": "link"}],
    });
    assert_eq!(requester(&[]).existing("PeeringConnection"), within);
    let mut across = within.clone();
    for (name, value) in
        [("PeerOwnerId", "444455556666"), ("PeerRegion", "us-east-1"), ("PeerRoleArn", ROLE)]
    {
        across[name] = value.into();
    }
    let given =
        [("PeerOwnerId", "444455556666"), ("PeerRegion", "us-east-1"), ("PeerRoleArn", ROLE)];
    assert_eq!(requester(&given).existing("PeeringConnection"), across);
}

#[test]
fn the_accepters_role_accepts_one_vpc_into_one_vpc_for_one_principal() {
    for (region, expected) in [("", "eu-west-1"), ("us-east-1", "us-east-1")] {
        let role = accepter(&[&ASKED[..], &[("RequesterRegion", region)]].concat())
            .existing("AccepterRole");
        let trust = json!({
            "Version": "2012-10-17",
            "Statement": [
                {"Effect": "Allow", "Principal": {"AWS": PRINCIPAL}, "Action": "sts:AssumeRole"},
            ],
        });
        assert_eq!(role["AssumeRolePolicyDocument"], trust);
        let accept = json!({
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Sid": "IntoThisVpc",
                    "Effect": "Allow",
                    "Action": "ec2:AcceptVpcPeeringConnection",
                    "Resource": "arn:aws:ec2:eu-west-1:111122223333:vpc/vpc-00000001",
                },
                {
                    "Sid": "FromThatVpc",
                    "Effect": "Allow",
                    "Action": "ec2:AcceptVpcPeeringConnection",
                    "Resource": "arn:aws:ec2:eu-west-1:111122223333:vpc-peering-connection/*",
                    "Condition": {"ArnEquals": {
                        "ec2:AccepterVpc": "arn:aws:ec2:eu-west-1:111122223333:vpc/vpc-00000001",
                        "ec2:RequesterVpc":
                            format!("arn:aws:ec2:{expected}:444455556666:vpc/vpc-00000002"),
                    }},
                },
            ],
        });
        assert_eq!(role["Policies"], json!([{"PolicyName": "accept", "PolicyDocument": accept}]));
        assert_eq!(role.get("ManagedPolicyArns"), None);
    }
    let by_hand = accepter(&[("PeeringConnectionId", CONNECTION), ("RouteTableIds", TABLES[0])]);
    assert_eq!(by_hand.resource("AccepterRole"), None);
}

#[test]
fn before_there_is_a_connection_there_is_only_the_role() {
    let lists = [("RouteTableIds", "rtb-00000001,rtb-00000002"), ("QuerySecurityGroupId", GROUP)];
    let stack = accepter(&[&ASKED[..], &lists].concat());
    let resources = ACCEPTER["Resources"].as_object().unwrap().keys();
    assert_eq!(
        resources.filter(|name| stack.resource(name).is_some()).collect::<Vec<_>>(),
        ["AccepterRole"]
    );
}

#[test]
fn the_outputs_are_the_next_steps() {
    let stack = requester(&[]);
    let remote = requester(&[("PeerRegion", "us-east-1")]);
    let options = "aws ec2 modify-vpc-peering-connection-options --region";
    let id = "--vpc-peering-connection-id {PeeringConnection}";
    let dns = "connection-options AllowDnsResolutionFromRemoteVpc=true";
    assert_eq!(stack.output("PeeringConnectionId"), "{PeeringConnection}");
    assert_eq!(
        stack.output("RequesterDnsCommand"),
        format!("{options} eu-west-1 {id} --requester-peering-{dns}")
    );
    assert_eq!(
        stack.output("AccepterDnsCommand"),
        format!("{options} eu-west-1 {id} --accepter-peering-{dns}")
    );
    assert_eq!(
        remote.output("RequesterDnsCommand"),
        format!("{options} eu-west-1 {id} --requester-peering-{dns}")
    );
    assert_eq!(
        remote.output("AccepterDnsCommand"),
        format!("{options} us-east-1 {id} --accepter-peering-{dns}")
    );
    let accept = stack.output("AccepterCommand");
    assert!(
        accept.contains("infra/peering-accepter.yaml")
            && accept.ends_with("PeeringConnectionId={PeeringConnection}")
    );
    let state = stack.output("StateCommand");
    assert!(
        state.starts_with("aws ec2 describe-vpc-peering-connections --region eu-west-1"),
        "{state}"
    );

    let asked = accepter(&ASKED);
    let given: BTreeMap<_, _> = asked.output("RequesterParameters").split(' ').map(pair).collect();
    let names = ["PeerVpcId", "PeerOwnerId", "PeerRegion"].map(|name| given[name].clone());
    assert_eq!(names, ["vpc-00000001", "111122223333", "eu-west-1"]);
    assert_eq!([&given["PeerRoleArn"], &asked.output("RoleArn")], ["{AccepterRole.Arn}"; 2]);
    let known = REQUESTER["Parameters"].as_object().unwrap();
    assert!(given.keys().all(|name| known.contains_key(name)), "{given:?}");

    for template in [&*REQUESTER, &*ACCEPTER] {
        let test = text(&template["Outputs"]["TestCommand"]["Value"]);
        assert_eq!(test, "curl -k -u admin https://QUERY_LOAD_BALANCER:9088/druid/v2/datasources");
    }
}

fn pair(text: &str) -> (String, String) {
    let (name, value) = text.split_once('=').unwrap();
    (name.to_owned(), value.to_owned())
}
