"""Asking through the load balancer: what --path-probe fills, and what stands in its way."""

import json
import unittest

from account import ROOT, WHO, Case, world
from configuration.template import Template
from preflight_checks.group import CLIENT

PROBE = ("--set", "ProbeUser=failover_sync")
PATH = (*PROBE, "--path-probe")
FUNCTION = "sg-0123456789abcdef0"
OWN = (
    *(*PATH, "--set", f"FunctionSecurityGroupIds={FUNCTION}"),
    *("--set", "DatabaseSecurityGroupId=@group orders"),
)
NAME = "link-0123456789abcdef.elb.eu-west-1.amazonaws.com"
ADOPTED = (
    *("--yes", "--target-group", "@target-group"),
    *("--set", "OperationsTopicArn=arn:aws:sns:eu-west-1:123456789012:operations"),
)
NEW, LINKED = ("--yes", *WHO), ("--yes", "--link", "failover-sync")
ATTRIBUTES = "elasticloadbalancing:DescribeTargetGroupAttributes"
LISTENERS = "elasticloadbalancing:DescribeListeners"


class PathProbe(Case):
    def test_nobody_has_it_who_does_not_ask(self):
        self.assertEqual(self.configure("orders", *ADOPTED, *PROBE), 0, self.err)
        self.assertNotIn("LoadBalancerDnsName", self.answers("orders"))
        self.assertIn("--path-probe asks through the load balancer", self.out)
        self.start_over()
        self.assertEqual(self.configure("orders", "--yes", *WHO, *PROBE), 0, self.err)
        self.assertNotIn("PathProbe", self.answers())

    def test_without_a_login_it_says_what_to_give(self):
        self.assertEqual(self.configure("orders", "--yes", *WHO, "--path-probe"), 1)
        self.assertIn("Give ProbeUser or ProbeSecretArn, or set PathProbe=false", self.err)
        self.assertEqual(self.configure("orders", *ADOPTED, "--path-probe"), 1)
        self.assertIn("or leave LoadBalancerDnsName empty", self.err)
        self.assert_untouched()

    def test_the_port_is_that_of_the_listener_that_forwards_to_the_group(self):
        [listener] = self.aws.answers[LISTENERS]["Listeners"]
        other = listener | {"DefaultActions": [], "Port": 5432}
        for said in (PATH, (*PROBE, "--set", f"LoadBalancerDnsName={NAME}")):
            self.start_over()
            self.aws.answers[LISTENERS] = {"Listeners": [other, listener | {"Port": 15432}]}
            self.assertEqual(self.configure("orders", *ADOPTED, *said), 0, self.err)
            answers = self.answers("orders")
            self.assertEqual(answers["LoadBalancerDnsName"], NAME)
            self.assertEqual(answers["ListenerPort"], "15432")
            self.assertEqual(answers["LoadBalancerSecurityGroupId"], world().names["group link"])

    def test_client_addresses_that_are_preserved_are_refused_whenever_it_was_said(self):
        delay = self.aws.answers[ATTRIBUTES]["Attributes"]
        preserved = {"Attributes": [*delay, {"Key": CLIENT, "Value": "true"}]}
        self.assertEqual(self.configure("orders", *ADOPTED, *PATH), 0, self.err)
        self.aws.answers[ATTRIBUTES] = preserved
        for more in (PATH, ()):
            self.assertEqual(self.configure("orders", *ADOPTED, *more), 1)
            self.assertIn("path probe: client addresses are preserved", self.err)
        self.start_over()
        self.aws.answers[ATTRIBUTES] = preserved
        self.assertEqual(self.configure("orders", *ADOPTED, *PROBE), 0, self.err)

    def test_a_listener_that_ends_tls_itself_is_passed_over_or_refused(self):
        [listener] = self.aws.answers[LISTENERS]["Listeners"]
        tls = listener | {"Protocol": "TLS", "Port": 15432}
        self.aws.answers[LISTENERS] = {"Listeners": [tls, listener]}
        self.assertEqual(self.configure("orders", *ADOPTED, *PATH), 0, self.err)
        self.assertEqual(self.answers("orders")["ListenerPort"], "5432")
        self.start_over()
        self.aws.answers[LISTENERS] = {"Listeners": [tls]}
        self.assertEqual(self.configure("orders", *ADOPTED, *PATH), 1)
        self.assertIn("path probe: no listener of protocol TCP", self.err)
        self.assert_untouched()

    def test_a_function_that_is_not_let_out_is_told_the_rule_that_no_template_adds(self):
        balancer, database = (world().names[f"group {name}"] for name in ("link", "orders"))
        told, silent = [], []
        for rule in ((True, 5432, database), (True, 443, "0.0.0.0/0"), (False, -1, "0.0.0.0/0")):
            told.append((ADOPTED, rule))
        for rule in ((True, -1, "0.0.0.0/0"), (True, 5432, "10.0.0.0/16"), (True, 5432, balancer)):
            silent.append((ADOPTED, rule))
        told += [(NEW, (True, 5432, database)), (LINKED, (True, 5432, balancer))]
        silent += [(NEW, (True, 5432, "10.0.0.0/16")), (LINKED, (True, 5433, balancer))]
        by_group = {"UserIdGroupPairs": [{"GroupId": balancer}]}
        by_range = {"IpRanges": [{"CidrIp": f"10.0.{number}.0/24"} for number in (20, 21, 22)]}
        for arguments, rule in told + silent:
            with self.subTest(rule=rule, arguments=arguments):
                self.start_over()
                self.rules((FUNCTION, *rule))
                self.assertEqual(self.configure("orders", *arguments, *OWN), 0, self.err)
                port = 5433 if arguments == LINKED else 5432
                permission = {"IpProtocol": "tcp", "FromPort": port, "ToPort": port}
                permission |= by_range if arguments == NEW else by_group
                command = f"--group-id {FUNCTION} --ip-permissions '{json.dumps([permission])}'"
                is_told = f"authorize-security-group-egress {command}" in self.out
                self.assertEqual(is_told, (arguments, rule) in told, self.out)

    def test_a_rule_that_lets_the_function_in_and_was_made_by_hand_is_not_made_twice(self):
        balancer = world().names["group link"]
        for name, rule, more, is_left_out in (
            ("by hand", (balancer, False, 5432, FUNCTION), {}, True),
            ("by the stack", (balancer, False, 5432, FUNCTION), self.of_stack(), False),
            ("on another port", (balancer, False, 5433, FUNCTION), {}, False),
            ("on all ports", (balancer, False, -1, FUNCTION), {}, False),
            ("of another function", (balancer, False, 5432, balancer), {}, False),
            ("out", (balancer, True, 5432, FUNCTION), {}, False),
        ):
            with self.subTest(name):
                self.start_over()
                self.rules((FUNCTION, True, -1, "0.0.0.0/0"), rule, **more)
                self.assertEqual(self.configure("orders", *ADOPTED, *OWN), 0, self.err)
                answers = self.answers("orders")
                group = None if is_left_out else balancer
                self.assertEqual(answers.get("LoadBalancerSecurityGroupId"), group)
                self.assertEqual("stays empty" in self.out, is_left_out)
                self.assertIn("LoadBalancerDnsName", answers)

    def test_where_the_stack_was_told_to_make_it_the_one_by_hand_is_to_go(self):
        balancer = world().names["group link"]
        self.assertEqual(self.configure("orders", *ADOPTED, *OWN), 0, self.err)
        self.assertNotIn("revoke-security-group-ingress", self.out)
        self.rules((FUNCTION, True, -1, "0.0.0.0/0"), (balancer, False, 5432, FUNCTION))
        self.assertEqual(self.configure("orders", *ADOPTED, *OWN), 0, self.err)
        command = f"revoke-security-group-ingress --group-id {balancer} --security-group-rule-ids"
        self.assertIn(f"{command} sgr-00000001", self.out)
        self.assertEqual(self.answers("orders")["LoadBalancerSecurityGroupId"], balancer)

    def of_stack(self):
        """As the template describes its rule."""
        template = Template(ROOT / "infra/function.yaml")
        rule = template.body["Resources"]["PathProbeIngress"]["Properties"]["Description"]
        return {"Description": str(rule["Fn::Sub"]).replace("${AWS::StackName}", "orders")}

    def rules(self, *rules, **more):
        """Rules of groups: whose, whether out, the port, and the other side."""

        def described(number, owner, is_egress, port, peer):
            of_group = {"ReferencedGroupInfo": {"GroupId": peer}}
            return {
                "SecurityGroupRuleId": f"sgr-{number:08}",
                "GroupId": owner,
                "IsEgress": is_egress,
                "IpProtocol": "tcp",
                "FromPort": port,
                "ToPort": port,
                **({"CidrIpv4": peer} if "/" in peer else of_group),
                **more,
            }

        found = [described(number, *rule) for number, rule in enumerate(rules)]
        self.aws.answers["ec2:DescribeSecurityGroupRules"] = {"SecurityGroupRules": found}


if __name__ == "__main__":
    unittest.main()
