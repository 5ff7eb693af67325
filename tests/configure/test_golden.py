"""The table and the parameters of every kind of database, as files in `golden`.

UPDATE_GOLDEN=1 writes them anew: read the difference.
"""

import os
import unittest
from pathlib import Path

import tomlkit
from samcli.cli.types import CfnParameterOverridesType

from account import ROOT, WHO, Case, world
from configuration.template import Template

GOLDEN = Path(__file__).parent / "golden"
# File: the endpoint, as tests/configure/world.py calls it, and the arguments.
SCENARIOS = {
    "aurora-cluster": ("orders", "--email", "ops@example.com"),
    "multi-az-cluster": ("triple", "--set", "ProbeUser=failover_sync"),
    "cluster-with-the-same-prefix": ("orders-archive",),
    "readers": ("orders readers",),
    "custom-endpoint": ("custom",),
    "instance-with-two-groups": ("billing", "--set", "ProbeUser=failover_sync"),
    "green-instance": ("billing-green-a1b2c3",),
    "instance-of-a-cluster": ("orders instance",),
    "crowded-public-instance": ("shop",),
    "proxy": ("proxy",),
    "proxy-endpoint": ("proxy endpoint",),
    "cname": ("db.example.com",),
    "full-zone": ("narrow",),
    "peer-vpc": ("orders", "--set", "VpcId=@apps"),
    "vpc-without-a-way": ("orders", "--set", "VpcId=@island"),
    "dual-stack": ("dual",),
    "ipv6": ("dual", "--set", "IpAddressType=ipv6"),
    "strict": ("orders", "--strict"),
    "other-region": ("far", "--set", "VpcId=@far vpc"),
    "starburst": ("shop", "--preset", "starburst"),
    "link": ("orders-archive", "--link", "failover-sync"),
    "link-with-a-taken-port": ("billing", "--link", "failover-sync"),
    "address": ("10.0.10.99", "--set", "DatabaseEngine=postgres"),
    "hostname": (
        "db.internal.example",
        "--set",
        "DatabaseEngine=mysql",
        "--set",
        "VpcId=@main",
        "--set",
        "DatabaseCidrs=10.0.20.0/24",
    ),
}


class Golden(Case):
    maxDiff = None

    def test_scenarios(self):
        for name, (endpoint, *arguments) in SCENARIOS.items():
            with self.subTest(name):
                self.start_over()
                who = () if {"--link", "--preset"} & set(arguments) else WHO
                self.assertEqual(self.configure(endpoint, "--yes", *who, *arguments), 0, self.err)
                self.assert_accepted(name, arguments)
                text = world().plain(self.out).replace(str(self.folder.resolve()), "/work")
                self.assert_golden(name, f"{text}\n{world().plain(self.written())}")

    def written(self):
        """The environment that was not there before."""
        before, after = (
            tomlkit.parse(self.before),
            tomlkit.parse(self.config.read_text(encoding="utf-8")),
        )
        changed = "".join(
            tomlkit.dumps({name: after[name]}) for name in after if before.get(name) != after[name]
        )
        return (
            "".join(
                line for line in changed.splitlines(keepends=True) if not line.startswith("#")
            ).strip()
            + "\n"
        )

    def assert_accepted(self, name, arguments):
        """By the template's patterns and rules, and as sam reads them."""
        template = Template(
            ROOT / ("infra/database.yaml" if "--link" in arguments else "template.yaml")
        )
        environment = {
            "starburst": "starburst",
            "link": "orders-archive",
            "link-with-a-taken-port": "billing",
        }.get(name, "default")
        answers = self.answers(environment)
        overrides = tomlkit.parse(self.config.read_text(encoding="utf-8"))[environment]["deploy"][
            "parameters"
        ]["parameter_overrides"]
        self.assertEqual(
            CfnParameterOverridesType().convert(list(map(str, overrides)), None, None), answers
        )
        self.assertEqual(
            [template.complaint(*pair) for pair in answers.items()], [None] * len(answers)
        )
        self.assertEqual(template.refusals(answers, "a-stack"), [])
        self.assertEqual(set(template.required()) - set(answers), set())

    def assert_golden(self, name, text):
        path = GOLDEN / f"{name}.txt"
        if "UPDATE_GOLDEN" in os.environ:
            path.write_text(text, encoding="utf-8")
        self.assertEqual(text, path.read_text(encoding="utf-8"))

    def test_no_file_is_left_over(self):
        self.assertEqual(
            {path.stem for path in GOLDEN.glob("*.txt")}, {*SCENARIOS, "denied", "dialogue"}
        )


if __name__ == "__main__":
    unittest.main()
