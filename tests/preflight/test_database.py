"""What is said of a database that its target group does not fit."""

import json

from world import PORT, WRITER, World

READER = "10.0.2.9"
LISTS = {"DBClusters": "describe_db_clusters", "DBInstances": "describe_db_instances"}


class Database(World):
    def rds_says(self, key, **changed):
        """The cluster or instances, with something else about them."""
        action = {"DBClusters": "DescribeDBClusters", "DBInstances": "DescribeDBInstances"}[key]
        self.answers[f"rds:{action}"] = self.described("rds", LISTS[key], key, **changed)

    def test_what_the_name_leads_to_is_told(self):
        self.assert_found("endpoint", "ok", "cluster orders, aurora-postgresql, available")
        self.aliases = lambda name: [self.endpoint, "db-1.internal", "10.0.1.5"]
        self.assert_found("endpoint", "ok", self.endpoint, endpoint="db.example.com")

    def test_a_name_that_rds_does_not_know_is_followed_by_dns_alone(self):
        self.assert_found("endpoint", "note", "kind hostname", endpoint="db.example.com")
        self.assert_found("endpoint", "note", "kind address", endpoint="10.0.1.5")
        for name in ("port", "zones", "public", "VPC", "standby"):
            with self.subTest(name):
                self.assert_found(name, "note", "not known", endpoint="db.example.com")

    def test_a_name_that_is_nearly_one_of_rds_is_told_with_that_one(self):
        mistyped = self.endpoint.replace("orders", "ordres")
        self.assert_found(
            "endpoint",
            "warn",
            f"Nearly called so: {self.endpoint}",
            f"DATABASE={self.endpoint}",
            endpoint=mistyped,
        )

    def test_an_instance_of_a_cluster_is_told_with_the_endpoint_of_the_cluster(self):
        self.rds.create_db_instance(
            DBInstanceIdentifier="orders-1",
            DBClusterIdentifier="orders",
            Engine="aurora-postgresql",
            DBInstanceClass="db.r6g.large",
        )
        self.addCleanup(
            self.rds.delete_db_instance, DBInstanceIdentifier="orders-1", SkipFinalSnapshot=True
        )
        [one] = self.rds.describe_db_instances()["DBInstances"]
        self.assert_found(
            "endpoint",
            "warn",
            "one instance of the cluster orders",
            f"DATABASE={self.endpoint}",
            endpoint=one["Endpoint"]["Address"],
        )

    def test_a_database_of_another_region_is_told(self):
        there = self.session.client("rds", "eu-west-2")
        made = there.create_db_cluster(
            DBClusterIdentifier="far",
            Engine="aurora-postgresql",
            MasterUsername="me",
            MasterUserPassword="not-a-secret",
        )["DBCluster"]
        self.assert_found("endpoint", "warn", "in eu-west-2", endpoint=made["Endpoint"])
        self.targets((WRITER, PORT, "initial"))
        self.assert_found("way", "note", "not known", endpoint=made["Endpoint"])
        self.answers["rds:DescribeDBClusters"] = {
            "DBClusters": [made | {"PubliclyAccessible": True}]
        }
        self.assert_found("public", "warn", "--region eu-west-2", endpoint=made["Endpoint"])

    def test_the_green_side_of_a_deployment_is_told(self):
        green = "orders-green-a1b2c3"
        self.rds_says("DBClusters", DBClusterIdentifier=green)
        self.assert_found("endpoint", "warn", green, "Give the blue one's")

    def test_another_port_is_told(self):
        self.assert_found("port", "ok", str(PORT))
        self.rds_says("DBClusters", Port=3306)
        self.assert_found("port", "warn", "group's is 5432", "give the function the port 3306")

    def test_each_zone_without_a_subnet_of_the_load_balancer_is_told(self):
        self.assert_found("zones", "ok", "eu-west-1a, eu-west-1b")
        self.answers["rds:DescribeDBSubnetGroups"] = self.subnet_group("a", "b", "c", "d")
        command = (
            f"aws elbv2 set-subnets --load-balancer-arn {self.balancer} --subnets "
            f"{self.subnets[0]} {self.subnets[1]} subnet-c subnet-d"
        )
        for zone in "cd":
            self.assert_found("zones", "warn", f"move to eu-west-1{zone}", command)

    def test_addresses_that_a_load_balancer_has_stay_when_a_subnet_is_added(self):
        self.answers["rds:DescribeDBSubnetGroups"] = self.subnet_group("a", "b", "c")
        zones = [
            {
                "ZoneName": f"eu-west-1{zone}",
                "SubnetId": f"subnet-{zone}",
                "LoadBalancerAddresses": [address],
            }
            for zone, address in {
                "a": {"AllocationId": "eipalloc-a", "IpAddress": "192.0.2.1"},
                "b": {"PrivateIPv4Address": "10.0.2.4"},
            }.items()
        ]
        self.answers["elasticloadbalancing:DescribeLoadBalancers"] = self.described(
            "elbv2", "describe_load_balancers", "LoadBalancers", AvailabilityZones=zones
        )
        self.assert_found(
            "zones",
            "warn",
            "--subnet-mappings SubnetId=subnet-a,AllocationId=eipalloc-a "
            "SubnetId=subnet-b,PrivateIPv4Address=10.0.2.4 SubnetId=subnet-c",
        )

    def subnet_group(self, *zones, vpc=None):
        subnets = [
            {
                "SubnetIdentifier": f"subnet-{zone}",
                "SubnetAvailabilityZone": {"Name": f"eu-west-1{zone}"},
            }
            for zone in zones
        ]
        return {"DBSubnetGroups": [{"VpcId": vpc or self.vpc, "Subnets": subnets}]}

    def test_a_database_in_another_vpc_is_told(self):
        self.assert_found("VPC", "ok", self.vpc)
        self.answers["rds:DescribeDBSubnetGroups"] = self.subnet_group("a", "b", vpc="vpc-other")
        self.assert_found("VPC", "warn", "in vpc-other", f"Values=vpc-other,{self.vpc}")
        self.answers["rds:DescribeDBSubnetGroups"] = self.subnet_group("c", vpc="vpc-other")
        self.assert_found("zones", "warn", "SUBNET_IN_eu-west-1c")

    def test_a_public_database_is_told_with_each_instance(self):
        self.assert_found("public", "ok")
        self.rds_says(
            "DBClusters",
            PubliclyAccessible=True,
            DBClusterMembers=[
                {"DBInstanceIdentifier": name, "IsClusterWriter": name == "two"}
                for name in ("one", "two")
            ],
        )
        self.assert_found(
            "public",
            "warn",
            "aws rds modify-db-instance --db-instance-identifier two --no-publicly-accessible\n"
            "aws rds modify-db-instance --db-instance-identifier one --no-publicly-accessible",
        )

    def test_an_ipv6_group_needs_a_database_with_both_families(self):
        self.assert_found("family", "ok", "ipv4")
        self.answers["elasticloadbalancing:DescribeTargetGroups"] = self.described(
            "elbv2", "describe_target_groups", "TargetGroups", IpAddressType="ipv6"
        )
        self.assert_found(
            "family",
            "warn",
            "network type IPV4",
            "aws rds modify-db-cluster --db-cluster-identifier orders --network-type DUAL",
        )
        self.rds_says("DBClusters", NetworkType="DUAL")
        self.assert_found("family", "ok", "both families")

    def test_a_database_in_one_zone_has_nowhere_to_go(self):
        self.assert_found("standby", "note", "one zone only")
        self.rds_says("DBClusters", MultiAZ=True)
        self.assert_found("standby", "ok")


class Ways(World):
    """Security groups, which a healthy target says more about than rules."""

    def setUp(self):
        super().setUp()
        self.targets((WRITER, PORT, "initial"))
        self.answers["ec2:DescribeSecurityGroupRules"] = self.rules([])

    def rules(self, rules):
        return {
            "SecurityGroupRules": [
                {
                    "GroupId": group,
                    "IsEgress": is_egress,
                    "IpProtocol": "tcp",
                    "FromPort": first,
                    "ToPort": last,
                }
                | peer
                for group, is_egress, first, last, peer in rules
            ]
        }

    def test_a_load_balancer_without_a_group_can_be_given_none(self):
        self.without_groups()
        self.assert_found("security", "note", "none can be added later")

    def without_groups(self):
        self.answers["elasticloadbalancing:DescribeLoadBalancers"] = self.described(
            "elbv2", "describe_load_balancers", "LoadBalancers", SecurityGroups=[]
        )

    def test_rules_that_hold_for_privatelink_are_told(self):
        self.assert_found(
            "security",
            "note",
            "drop consumers",
            f"Name=group-id,Values={self.balancer_group}",
            f"--security-groups {self.balancer_group} "
            "--enforce-security-group-inbound-rules-on-private-link-traffic off",
        )
        self.answers["elasticloadbalancing:DescribeLoadBalancers"] = self.described(
            "elbv2",
            "describe_load_balancers",
            "LoadBalancers",
            EnforceSecurityGroupInboundRulesOnPrivateLinkTraffic="off",
        )
        self.assert_found("security", "ok", "without its inbound rules")

    def test_a_healthy_target_proves_the_way(self):
        self.targets((WRITER, PORT, "healthy"), (READER, PORT, "unhealthy"))
        self.assert_found("way", "ok", f"{WRITER}:{PORT} is healthy")
        self.assertNotIn("ec2:DescribeSecurityGroupRules", self.aws.calls)

    def test_each_rule_that_is_missing_is_told_as_a_command(self):
        check = self.assert_found("way", "note", "no rule lets port 5432 through")
        outward, inward = [json.loads(one.split("'")[1]) for one in check.remedy]
        permission = {"IpProtocol": "tcp", "FromPort": PORT, "ToPort": PORT}
        pairs = {"UserIdGroupPairs": [{"GroupId": self.database_group}]}
        self.assertEqual(outward, [permission | pairs])
        self.assertIn(f"egress --group-id {self.balancer_group}", check.remedy[0])
        pairs = {"UserIdGroupPairs": [{"GroupId": self.balancer_group}]}
        self.assertEqual(inward, [permission | pairs])
        self.assertIn(f"ingress --group-id {self.database_group}", check.remedy[1])

    def test_rules_by_group_and_by_range_let_it_through(self):
        outward = (self.balancer_group, True, -1, -1, {"CidrIpv4": "0.0.0.0/0"})
        of_group = {"ReferencedGroupInfo": {"GroupId": self.balancer_group}}
        other = {"ReferencedGroupInfo": {"GroupId": "sg-x"}}
        for name, peers, first, last, is_open in [
            ("the load balancer's group", [other, of_group], 5000, 6000, True),
            ("another port", [of_group], 5433, 5433, False),
            ("another group", [other], -1, -1, False),
            ("the range of both subnets", ["10.0.0.0/16"], 5432, 5432, True),
            ("a range for each subnet", ["10.0.1.0/24", "10.0.2.0/24"], 5432, 5432, True),
            ("the range of one subnet", ["10.0.1.0/24"], 5432, 5432, False),
            ("half of each subnet", ["10.0.1.0/25", "10.0.2.0/25"], 5432, 5432, False),
        ]:
            with self.subTest(name):
                peers = [{"CidrIpv4": peer} if isinstance(peer, str) else peer for peer in peers]
                inward = [(self.database_group, False, first, last, peer) for peer in peers]
                self.answers["ec2:DescribeSecurityGroupRules"] = self.rules([outward, *inward])
                self.assert_found("way", "ok" if is_open else "note")

    def test_a_load_balancer_without_a_group_is_let_in_by_the_ranges_of_its_subnets(self):
        self.without_groups()
        [remedy] = self.assert_found("way", "note").remedy
        [permission] = json.loads(remedy.split("'")[1])
        ranges = [{"CidrIp": "10.0.1.0/24"}, {"CidrIp": "10.0.2.0/24"}]
        self.assertEqual(permission["IpRanges"], ranges)


class Members(World):
    def test_the_plan_says_what_a_run_would_do(self):
        self.assert_found("members", "ok", f"{WRITER}:5432 healthy", "would change nothing")
        cases = [
            ([], "none is registered", f"would register {WRITER}:5432"),
            (
                [(WRITER, 5432, "healthy"), (READER, 5432, "healthy")],
                "more than one writer",
                f"would deregister {READER}:5432",
            ),
            (
                [(WRITER, 3306, "unhealthy")],
                "on another port than 5432",
                f"would register {WRITER}:5432 and deregister {WRITER}:3306",
            ),
        ]
        for targets, *parts in cases:
            with self.subTest(parts[0]):
                self.targets(*targets)
                self.assert_found("members", "warn", *parts, "aws elbv2 describe-target-health")

    def test_one_that_drains_is_no_member(self):
        self.targets((WRITER, 5432, "healthy"), (READER, 5432, "draining"))
        self.assert_found("members", "ok", "would change nothing")

    def test_readers_may_be_several_and_a_healthy_one_is_not_taken_away(self):
        self.targets((WRITER, 5432, "healthy"), (READER, 5432, "healthy"))
        [cluster] = self.rds.describe_db_clusters()["DBClusters"]
        self.assert_found("members", "ok", "no healthy target", endpoint=cluster["ReaderEndpoint"])

    def test_without_an_answer_of_dns_there_is_no_plan(self):
        self.addresses = lambda name: ["2001:db8::1"]
        self.assert_found("members", "ok", "no address here")
