"""What is said of asking the writer through the load balancer."""

import json

from preflight_checks import group, path
from world import ATTRIBUTES, PORT, World

FUNCTION = "sg-0123456789abcdef0"


class PathProbe(World):
    def setUp(self):
        super().setUp()
        self.rules()

    def rules(self, *rules):
        """Rules of groups: which, whether out, the port, and the other side."""

        def described(owner, is_egress, port, peer):
            ports = {"IpProtocol": "tcp", "FromPort": port, "ToPort": port}
            of_group = {"ReferencedGroupInfo": {"GroupId": peer}}
            other = {"CidrIpv4": peer} if "/" in peer else of_group
            return {"GroupId": owner, "IsEgress": is_egress} | ports | other

        found = [described(*rule) for rule in rules]
        self.answers["ec2:DescribeSecurityGroupRules"] = {"SecurityGroupRules": found}

    def told(self, verdict, *parts, groups=(FUNCTION,)):
        return self.assert_found("path probe", verdict, *parts, look=path.check(groups))

    def verdicts(self, groups=(FUNCTION,)):
        return [check.verdict for check in self.found("path probe", look=path.check(groups))]

    def test_it_is_only_looked_at_for_who_asks(self):
        words = [self.arn, self.endpoint, "--json", "--events", "0"]
        for more, is_told in [([], False), (["--path-probe", FUNCTION], True)]:
            _, output, _ = self.run_program(*words, *more)
            names = [check["name"] for check in json.loads(output)["checks"]]
            self.assertEqual("path probe" in names, is_told)
        code, _, errors = self.run_program(*words, "--path-probe", "default")
        self.assertEqual(code, 2)
        self.assertIn("are no IDs of security groups", errors)

    def test_client_addresses_that_are_preserved_are_refused_with_the_command_that_ends_it(self):
        self.attributes(self.arn, {group.CLIENT: "true"})
        self.addCleanup(self.attributes, self.arn, ATTRIBUTES)
        self.told(
            "refuse",
            f"aws elbv2 modify-target-group-attributes --target-group-arn {self.arn} --attributes "
            f"Key={group.CLIENT},Value=false",
        )
        words = [self.arn, self.endpoint, "--events", "0"]
        self.assertEqual(self.run_program(*words, "--path-probe", FUNCTION)[0], 2)
        self.assertEqual(self.run_program(*words)[0], 1, "the function can keep it all the same")
        self.assert_found("client address", "warn", "the path probe does not work")

    def test_the_parameters_are_told(self):
        name = self.described("elbv2", "describe_load_balancers", "LoadBalancers")
        name = name["LoadBalancers"][0]["DNSName"]
        self.told("ok", f"LoadBalancerDnsName={name} and ListenerPort={PORT}", groups=())
        self.assertEqual(self.verdicts(groups=()), ["ok"], "no groups, no rules")

    def test_a_group_that_no_listener_forwards_to_cannot_be_asked_through(self):
        self.answers["elasticloadbalancing:DescribeListeners"] = {"Listeners": []}
        self.told("refuse", "no listener", "aws elbv2 create-listener", self.balancer)
        arn = self.target_group("without")
        self.assertEqual(
            self.assert_found("path probe", "note", arn=arn, look=path.check([])).found,
            "the group has no load balancer",
        )

    def test_a_listener_that_ends_tls_itself_is_passed_over_for_one_of_tcp(self):
        found = self.elbv2.describe_listeners(LoadBalancerArn=self.balancer)["Listeners"]
        for protocol, is_right in [("TLS", False), ("TCP_UDP", True), ("UDP", False)]:
            first = {"Protocol": protocol, "Port": 15432}
            self.answers["elasticloadbalancing:DescribeListeners"] = {
                "Listeners": [found[0] | first, *found]
            }
            self.told("ok", f"ListenerPort={15432 if is_right else PORT}", groups=())
            self.rules((FUNCTION, True, 15432 if is_right else PORT, "0.0.0.0/0"))
            self.told("ok", "the function is let out")
        for port, free in [(443, PORT), (PORT, "PORT")]:
            changed = [found[0] | {"Protocol": "TLS", "Port": port}]
            self.answers["elasticloadbalancing:DescribeListeners"] = {"Listeners": changed}
            self.assertEqual(self.verdicts(), ["refuse"], "no rules of a port that is no use")
            self.told("refuse", f"only TLS {port}", f"--protocol TCP --port {free} ", self.arn)

    def test_each_rule_that_is_missing_is_told_as_a_command(self):
        inward = self.told("note", f"LoadBalancerSecurityGroupId={self.balancer_group}")
        outward = self.told("warn", "the stack adds none")
        for check, direction, owner, other in [
            (inward, "ingress", self.balancer_group, FUNCTION),
            (outward, "egress", FUNCTION, self.balancer_group),
        ]:
            [remedy] = check.remedy
            self.assertIn(f"authorize-security-group-{direction} --group-id {owner}", remedy)
            permission = {"IpProtocol": "tcp", "FromPort": PORT, "ToPort": PORT}
            pairs = {"UserIdGroupPairs": [{"GroupId": other}]}
            self.assertEqual(json.loads(remedy.split("'")[1]), [permission | pairs])

    def test_rules_by_group_and_out_by_range_let_it_through(self):
        inward = (self.balancer_group, False, PORT, FUNCTION)
        for name, outward, is_open in [
            ("to everywhere", (FUNCTION, True, -1, "0.0.0.0/0"), True),
            ("to the load balancer", (FUNCTION, True, PORT, self.balancer_group), True),
            ("on another port", (FUNCTION, True, 443, self.balancer_group), False),
            ("to the database alone", (FUNCTION, True, PORT, self.database_group), False),
            ("to one of its subnets", (FUNCTION, True, PORT, "10.0.1.0/24"), False),
            ("out of another group", (self.database_group, True, PORT, "0.0.0.0/0"), False),
        ]:
            with self.subTest(name):
                self.rules(inward, outward)
                self.assertEqual(self.verdicts(), ["ok", "ok", "ok" if is_open else "warn"])
                self.told("ok", "leave LoadBalancerSecurityGroupId empty")
        for direction, peer in [(False, "sg-other"), (True, FUNCTION)]:
            self.rules((self.balancer_group, direction, PORT, peer))
            self.told("note", "no rule of the load balancer names the function's group")

    def test_any_group_of_the_function_may_have_the_rule(self):
        other = "sg-11111111"
        self.rules((self.balancer_group, False, PORT, other), (other, True, PORT, "0.0.0.0/0"))
        self.assertEqual(self.verdicts(groups=(FUNCTION, other)), ["ok"] * 3)

    def test_a_load_balancer_without_a_group_needs_no_rule_but_the_functions(self):
        self.answers["elasticloadbalancing:DescribeLoadBalancers"] = self.described(
            "elbv2", "describe_load_balancers", "LoadBalancers", SecurityGroups=[]
        )
        self.told("note", "has no security group")
        [remedy] = self.told("warn", "no rule lets the function out").remedy
        ranges = [{"CidrIp": "10.0.1.0/24"}, {"CidrIp": "10.0.2.0/24"}]
        self.assertEqual(json.loads(remedy.split("'")[1])[0]["IpRanges"], ranges)
