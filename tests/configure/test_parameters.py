"""Every parameter has a row: from where it is filled, or why it is asked or keeps its default."""

import unittest

from test_golden import GOLDEN, SCENARIOS

from account import ROOT, Case
from configuration.questions import SENTENCES
from configuration.template import Template

# The scenario that fills it, and the beginning of where it comes from.
FILLED = {
    "AllowedCidrs": ("aurora-cluster", "DescribeVpcs"),
    "DatabaseCidrs": ("vpc-without-a-way", "DescribeSubnets"),
    "DatabaseEndpoint": ("aurora-cluster", "you"),
    "DatabaseEngine": ("aurora-cluster", "DescribeDBClusters"),
    "DatabaseIdentifier": ("aurora-cluster", "DescribeDBClusters"),
    "DatabaseKind": ("proxy", "DescribeDBProxies"),
    "DatabasePort": ("instance-with-two-groups", "DescribeDBInstances"),
    "DatabaseResourceIds": ("instance-with-two-groups", "DescribeDBInstances"),
    "DatabaseSecurityGroupId": ("instance-with-two-groups", "DescribeSecurityGroups"),
    "FunctionSubnetIds": ("instance-with-two-groups", "DescribeRouteTables"),
    "IpAddressType": ("dual-stack", "the database's network type"),
    "LoadBalancerArn": ("link", "output of failover-sync"),
    "LoadBalancerDnsName": ("target-group-with-path-probe", "DescribeLoadBalancers"),
    "LoadBalancerSecurityGroupId": ("link", "output of failover-sync"),
    "OperationsTopicArn": ("link", "output of failover-sync"),
    "SubnetIds": ("aurora-cluster", "DescribeSubnets"),
    "TargetGroupArn": ("target-group", "you"),
    "TargetIpAddressType": ("target-group", "DescribeTargetGroups"),
    "VpcId": ("aurora-cluster", "the database's"),
}
# Whom it is asked, and why nobody else knows.
ASKED = {
    "AcceptanceRequired": "a decision",
    "AllowedPrincipals": "who the consumer is",
    "FunctionSecurityGroupIds": "with the role probe, whose rules are the owner's",
    "ListenerPort": "on a link, if the database's port is taken",
    "OperationsEmail": "who looks after it",
}
DEFAULTED = {
    "Architecture": "a release has one for each",
    "CaBundleLayerArn": "the function brings RDS's certificate authorities",
    "ConsumerCidrs": "PrivateLink alone; a preset fills it",
    "ConsumerPrefixListId": "instead of ConsumerCidrs",
    "DatabasePrefixListId": "instead of DatabaseCidrs",
    "DeregistrationDelaySeconds": "AWS's recommendation",
    "DnsServers": "the system's are right for RDS's names",
    "EnforceConsumerCidrs": "off without ranges; a preset fills it",
    "FunctionName": "the stack's name",
    "HealthCheckIntervalSeconds": "auto goes by the engine",
    "KmsKeyArn": "the services' own encryption",
    "Mode": "act on a path of its own; on a group that exists observe, which the table says",
    "LoadBalancerFullName": "the end of LoadBalancerArn",
    "LogRetentionDays": "a month",
    "PathProbe": "off until it was seen on AWS; --path-probe, which the table names, says true",
    "ProbeSecretArn": "nobody needs the role probe; the table names it",
    "ProbeUser": "nobody needs the role probe; the table names it",
    "ReaderEndpoint": "filled with ReaderTargetGroupArn",
    "ReaderListenerPort": "the writer alone",
    "ReaderTargetGroupArn": "the writer alone",
    "ReaderTargetGroupFullName": "the end of ReaderTargetGroupArn",
    "ScheduleExpression": "the shortest",
    "TargetGroupFullName": "the end of TargetGroupArn",
    "WatchSeconds": "the longest",
}
TEMPLATES = ("template.yaml", "infra/database.yaml", "infra/function.yaml")


class Parameters(Case):
    def test_each_has_one_row_and_no_row_is_left_over(self):
        every = {name for path in TEMPLATES for name in Template(ROOT / path).parameters}
        rows = [*FILLED, *ASKED, *DEFAULTED]
        self.assertEqual(sorted(rows), sorted(every))

    def test_what_is_filled_comes_from_where_its_row_says(self):
        for name, (scenario, source) in FILLED.items():
            with self.subTest(name):
                text = (GOLDEN / f"{scenario}.txt").read_text(encoding="utf-8")
                self.assertIn(scenario, SCENARIOS)
                self.assertRegex(text, rf'"{name}=[^\n]+", # {source}')

    def test_what_is_asked_has_a_sentence_and_what_is_defaulted_a_default(self):
        self.assertLessEqual(set(ASKED), set(SENTENCES))
        for path in TEMPLATES:
            defaults = Template(ROOT / path).defaults()
            of_this = set(DEFAULTED) & set(Template(ROOT / path).parameters)
            self.assertLessEqual(of_this, set(defaults), path)


if __name__ == "__main__":
    unittest.main()
