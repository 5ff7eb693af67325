"""The table and the parameters of every kind of database, as files in `golden`.

UPDATE_GOLDEN=1 writes them anew: read the difference.
"""

import os
import shlex
import unittest
from pathlib import Path

import tomlkit
from samcli.cli.types import CfnParameterOverridesType

from account import ROOT, WHO, Case, world
from configuration.template import Template

GOLDEN = Path(__file__).parent / "golden"
TOPIC = "OperationsTopicArn=arn:aws:sns:eu-west-1:123456789012:operations"
# File: the endpoint, as tests/configure/world.py calls it, and the arguments.
SCENARIOS = {
    "aurora-cluster": ("orders", "--email ops@example.com"),
    "multi-az-cluster": ("triple", "--set ProbeUser=failover_sync"),
    "cluster-with-the-same-prefix": ("orders-archive", ""),
    "readers": ("orders readers", ""),
    "custom-endpoint": ("custom", ""),
    "instance-with-two-groups": ("billing", "--set ProbeUser=failover_sync"),
    "green-instance": ("billing-green-a1b2c3", ""),
    "instance-of-a-cluster": ("orders instance", ""),
    "crowded-public-instance": ("shop", ""),
    "proxy": ("proxy", ""),
    "proxy-endpoint": ("proxy endpoint", ""),
    "cname": ("db.example.com", ""),
    "full-zone": ("narrow", ""),
    "peer-vpc": ("orders", "--set VpcId=@apps"),
    "vpc-without-a-way": ("orders", "--set VpcId=@island"),
    "dual-stack": ("dual", ""),
    "ipv6": ("dual", "--set IpAddressType=ipv6"),
    "strict": ("orders", "--strict"),
    "other-region": ("far", "--set VpcId=@far-vpc"),
    "starburst": ("shop", "--preset starburst"),
    "link": ("orders-archive", "--link failover-sync"),
    "link-with-a-taken-port": ("billing", "--link failover-sync"),
    "target-group": ("orders", f"--target-group @target-group --set {TOPIC}"),
    "target-group-with-path-probe": (
        "orders",
        f"--target-group @target-group --set {TOPIC} --set ProbeUser=failover_sync --path-probe",
    ),
    "path-probe": ("orders", "--set ProbeUser=failover_sync --path-probe"),
    "link-with-path-probe": (
        "billing",
        "--link failover-sync --set ProbeUser=failover_sync --path-probe",
    ),
    "address": ("10.0.10.99", "--set DatabaseEngine=postgres"),
    "hostname": (
        "db.internal.example",
        "--set DatabaseEngine=mysql --set VpcId=@main --set DatabaseCidrs=10.0.20.0/24",
    ),
}
# Whose principals are not asked for, and what else there is.
TEMPLATES = {"--link": "infra/database.yaml", "--target-group": "infra/function.yaml"}


class Golden(Case):
    maxDiff = None

    def test_scenarios(self):
        for name, (endpoint, line) in SCENARIOS.items():
            with self.subTest(name):
                self.start_over()
                arguments = shlex.split(line)
                who = () if {*TEMPLATES, "--preset"} & set(arguments) else WHO
                self.assertEqual(self.configure(endpoint, "--yes", *who, *arguments), 0, self.err)
                before = tomlkit.parse(self.before).unwrap()
                after = tomlkit.parse(self.config.read_text(encoding="utf-8"))
                [environment] = [key for key in after if before.get(key) != after[key].unwrap()]
                template = next(filter(None, map(TEMPLATES.get, arguments)), "template.yaml")
                self.assert_accepted(template, environment, after)
                written = tomlkit.dumps({environment: after[environment]})
                self.assert_golden(name, f"{self.out}\n{without_comments(written)}")

    def assert_accepted(self, path, environment, document):
        """By the template's patterns and rules, and as sam reads them."""
        template, answers = Template(ROOT / path), self.answers(environment)
        saved = document[environment]["deploy"]["parameters"]["parameter_overrides"]
        self.assertEqual(CfnParameterOverridesType().convert(saved.unwrap(), None, None), answers)
        complaints = [template.complaint(*pair) for pair in answers.items()]
        self.assertEqual(complaints, [None] * len(answers))
        self.assertEqual(template.refusals(answers, "a-stack"), [])
        self.assertEqual(set(template.required()) - set(answers), set())

    def assert_golden(self, name, text):
        text = world().plain(text).replace(str(self.folder.resolve()), "/work")
        path = GOLDEN / f"{name}.txt"
        if "UPDATE_GOLDEN" in os.environ:
            path.write_text(text, encoding="utf-8")
        self.assertEqual(text, path.read_text(encoding="utf-8"))

    def test_no_file_is_left_over(self):
        there = {path.stem for path in GOLDEN.glob("*.txt")}
        self.assertEqual(there, {*SCENARIOS, "denied", "dialogue"})


def without_comments(text):
    """What is said of the next environment is not of this one."""
    lines = text.splitlines(keepends=True)
    return "".join(line for line in lines if not line.startswith("#")).rstrip() + "\n"


if __name__ == "__main__":
    unittest.main()
