"""What of a network leads to which subnets, ranges and warnings; one thing is changed at a time."""

import unittest

from account import ROOT, WHO, Case, world
from configuration.questions import normal
from configuration.settings import Settings
from configuration.template import Template

PROBE = ("--set", "ProbeUser=failover_sync")


class Filled(Case):
    def filled(self, name, *arguments):
        self.assertEqual(self.configure(name, "--yes", *WHO, *arguments), 0, self.err)
        return self.answers()

    def described(self, client, operation, **parameters):
        """What moto says, without what boto3 adds to it."""
        answer = getattr(client, operation)(**parameters)
        del answer["ResponseMetadata"]
        return answer

    def ids(self, *names):
        return ",".join(world().names[name] for name in names)

    def subnet_group(self, *subnets):
        """The subnets of the DB subnet group, in place of its three."""
        groups = self.described(world().rds, "describe_db_subnet_groups", DBSubnetGroupName="main")
        groups["DBSubnetGroups"][0]["Subnets"] = [
            {"SubnetIdentifier": subnet, "SubnetAvailabilityZone": {"Name": zone}}
            for subnet, zone in subnets
        ]
        self.aws.answers["rds:DescribeDBSubnetGroups"] = groups


class Networks(Filled):
    def test_a_database_in_one_zone_gets_a_load_balancer_in_two(self):
        self.subnet_group((world().names["database-b"], "eu-west-1b"))
        # Of the others it has most free addresses.
        self.assertEqual(self.filled("orders")["SubnetIds"], self.ids("database-b", "private-c"))

    def test_a_zone_of_the_subnet_group_has_its_private_subnet_before_a_public_one(self):
        self.subnet_group(
            (world().names["public-a"], "eu-west-1a"), (world().names["database-b"], "eu-west-1b")
        )
        self.assertEqual(self.filled("orders")["SubnetIds"], self.ids("database-a", "database-b"))

    def test_without_route_tables_those_of_the_database_are_as_good(self):
        self.aws.answers["ec2:DescribeRouteTables"] = {"RouteTables": []}
        own = self.ids("database-a", "database-b", "database-c")
        self.assertEqual(self.filled("orders")["SubnetIds"], own)

    def test_ranges_that_are_going_are_no_ranges_of_the_vpc(self):
        vpcs = self.described(world().ec2, "describe_vpcs", VpcIds=[world().names["main"]])
        for cidr, state in (("10.64.0.0/16", "associated"), ("10.65.0.0/16", "disassociating")):
            vpcs["Vpcs"][0]["CidrBlockAssociationSet"].append(
                {"CidrBlock": cidr, "CidrBlockState": {"State": state}}
            )
        self.aws.answers["ec2:DescribeVpcs"] = vpcs
        self.assertEqual(self.filled("orders")["AllowedCidrs"], "10.0.0.0/16,10.64.0.0/16")

    def test_a_dual_stack_database_without_ipv6_at_the_load_balancer_is_reached_by_ipv4(self):
        answers = self.filled("dual", "--set", f"SubnetIds={self.ids('dual-a', 'dual-b')}")
        self.assertEqual(answers["IpAddressType"], "dualstack")
        subnets = self.described(world().ec2, "describe_subnets")
        for subnet in subnets["Subnets"]:
            subnet["Ipv6CidrBlockAssociationSet"] = []
        self.start_over()
        self.aws.answers["ec2:DescribeSubnets"] = subnets
        answers = self.filled("dual", "--set", f"SubnetIds={self.ids('dual-a', 'dual-b')}")
        self.assertEqual(answers["IpAddressType"], "ipv4")
        self.assertIn("has no IPv6", self.out)

    def test_by_ipv6_from_a_vpc_without_a_way_the_ranges_are_of_ipv6(self):
        more = ("--set", "VpcId=@island", "--set", "IpAddressType=ipv6")
        ranges = self.filled("dual", *more)["DatabaseCidrs"].split(",")
        self.assertEqual([one.rpartition("::")[2] for one in ranges], ["/64"] * 3)

    def test_more_ranges_than_a_list_takes_are_those_of_the_vpc(self):
        subnets = self.described(world().ec2, "describe_subnets")
        [one] = [one for one in subnets["Subnets"] if one["SubnetId"] == world().names["public-a"]]
        many = [
            {**one, "SubnetId": f"subnet-{number:08x}", "CidrBlock": f"10.0.{40 + number}.0/24"}
            for number in range(11)
        ]
        self.subnet_group(*((subnet["SubnetId"], "eu-west-1a") for subnet in many))
        self.aws.answers["ec2:DescribeSubnets"] = {"Subnets": [*subnets["Subnets"], *many]}
        answers = self.filled(
            "orders",
            *("--set", "VpcId=@island"),
            *("--set", f"SubnetIds={self.ids('island-a', 'island-b')}"),
        )
        self.assertEqual(answers["DatabaseCidrs"], "10.0.0.0/16")


class RoleProbe(Filled):
    def endpoints(self, *services):
        found = [
            {"ServiceName": f"com.amazonaws.eu-west-1.{service}", "PrivateDnsEnabled": True}
            for service in services
        ]
        self.aws.answers["ec2:DescribeVpcEndpoints"] = {"VpcEndpoints": found}

    def test_where_the_vpc_has_the_apis_endpoints_no_nat_is_needed(self):
        own = self.ids("database-a", "database-b", "database-c")
        nat = self.ids("private-a", "private-b", "private-c")
        secret = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:probe"
        for services, login, expected in (
            ((), PROBE, nat),
            (("elasticloadbalancing",), PROBE, nat),
            (("elasticloadbalancing", "rds"), PROBE, own),
            (("elasticloadbalancing", "rds"), ("--set", f"ProbeSecretArn={secret}"), nat),
            (
                ("elasticloadbalancing", "rds", "secretsmanager"),
                ("--set", f"ProbeSecretArn={secret}"),
                own,
            ),
        ):
            with self.subTest(services, login=login):
                self.start_over()
                self.endpoints(*services)
                self.assertEqual(self.filled("orders", *login)["FunctionSubnetIds"], expected)

    def test_without_any_way_it_says_what_gives_one(self):
        self.aws.answers["ec2:DescribeRouteTables"] = {"RouteTables": []}
        self.assertEqual(self.configure("orders", "--yes", *WHO, *PROBE), 1)
        self.assertIn("FunctionSubnetIds is not known", self.err)


class Quotas(Filled):
    def limits(self, name, most):
        limits = {"Limits": [{"Name": name, "Max": most}]}
        self.aws.answers["elasticloadbalancing:DescribeAccountLimits"] = limits

    def test_one_that_is_used_up_is_told(self):
        for most, is_told in (("1", True), ("2", False)):
            with self.subTest(most):
                self.start_over()
                self.limits("network-load-balancers", most)
                self.filled("orders")
                self.assertEqual("has 1 Network Load Balancers of 1" in self.out, is_told)
                self.start_over()
                self.limits("listeners-per-network-load-balancer", most)
                self.configure("orders-archive", "--yes", "--link", "failover-sync")
                self.assertEqual("has 1 listeners of 1" in self.out, is_told)


class Answers(unittest.TestCase):
    def test_an_account_is_an_arn_of_the_partition(self):
        for partition in ("aws", "aws-cn", "aws-us-gov"):
            settings = Settings(Template(ROOT / "template.yaml"), "stack", partition)
            told = normal(settings, "AllowedPrincipals", "444455556666, 111122223333")
            expected = [f"arn:{partition}:iam::{one}:root" for one in (444455556666, 111122223333)]
            self.assertEqual(told, ",".join(expected))
            self.assertIsNone(settings.complaint("AllowedPrincipals", told))

    def test_yes_and_no_are_true_and_false_where_a_parameter_is(self):
        settings = Settings(Template(ROOT / "template.yaml"), "stack")
        for name, answer, expected in (
            ("AcceptanceRequired", "y", "true"),
            ("AcceptanceRequired", "No", "false"),
            ("AcceptanceRequired", "true", "true"),
            ("OperationsEmail", "yes", "yes"),
        ):
            self.assertEqual(normal(settings, name, answer), expected)


if __name__ == "__main__":
    unittest.main()
