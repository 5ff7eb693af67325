"""Asking through the load balancer: what --path-probe fills, and what stands in its way."""

import unittest

from account import WHO, Case, world
from preflight_checks.group import CLIENT

PROBE = ("--set", "ProbeUser=failover_sync")
PATH = (*PROBE, "--path-probe")
NAME = "link-0123456789abcdef.elb.eu-west-1.amazonaws.com"
ADOPTED = (
    *("--yes", "--target-group", "@target-group"),
    *("--set", "OperationsTopicArn=arn:aws:sns:eu-west-1:123456789012:operations"),
)
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

    def test_a_function_that_is_let_out_nowhere_is_told_with_the_rule_that_no_template_adds(self):
        group = world().names["group shared"]
        permissions = [
            {"IpProtocol": "tcp", "FromPort": 443, "ToPort": 443},
            {"IpProtocol": "tcp", "FromPort": 5432, "ToPort": 5432},
        ]
        described = {"GroupId": group, "GroupName": "shared", "Description": "shared"}
        command = f"authorize-security-group-egress --group-id {group} --protocol tcp --port 5432 "
        balancer = world().names["group link"]
        for arguments, destination in (
            (("--yes", *WHO), "--cidr 10.0.0.0/16"),
            (ADOPTED, f"--source-group {balancer}"),
        ):
            for rules, is_told in ((permissions[:1], True), (permissions, False)):
                self.start_over()
                found = {"SecurityGroups": [described | {"IpPermissionsEgress": rules}]}
                self.aws.answers["ec2:DescribeSecurityGroups"] = found
                own = ("--set", f"FunctionSecurityGroupIds={group}")
                own += ("--set", "DatabaseSecurityGroupId=@group orders")
                self.assertEqual(self.configure("orders", *arguments, *PATH, *own), 0, self.err)
                self.assertEqual(f"{command}{destination}" in self.out, is_told)


if __name__ == "__main__":
    unittest.main()
