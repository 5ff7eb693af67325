"""What a template takes, as CloudFormation would say it."""

import tempfile
import unittest
from pathlib import Path

from account import ROOT
from configuration.template import Template

FRONT_DOOR = Template(ROOT / "template.yaml")
RIGHT = {
    "DatabaseEndpoint": "app.cluster-abc123.eu-west-1.rds.amazonaws.com",
    "DatabasePort": "5432",
    "DatabaseEngine": "postgres",
    "DatabaseKind": "cluster",
    "VpcId": "vpc-0123456789abcdef0",
    "SubnetIds": "subnet-0123456789abcdef0,subnet-0123456789abcdef1",
    "AllowedPrincipals": "arn:aws:iam::444455556666:root",
    "DatabaseCidrs": "10.0.1.0/24",
}


class Patterns(unittest.TestCase):
    def test_what_is_right_is_taken(self):
        complaints = [FRONT_DOOR.complaint(*one) for one in RIGHT.items()]
        self.assertEqual(complaints, [None] * len(RIGHT))
        self.assertEqual(FRONT_DOOR.refusals(RIGHT, "failover-sync"), [])

    def test_what_is_wrong_is_told_in_the_templates_words(self):
        for name, value, complaint in (
            ("DatabasePort", "0", "from 1 to 65535"),
            ("DatabasePort", "5432.0", "from 1 to 65535"),
            ("DatabaseEngine", "Postgres", "must be one of postgres,"),
            ("VpcId", "vpc-", "must be a VPC ID"),
            ("AllowedPrincipals", "*", "no path, no wildcard"),
            ("AllowedPrincipals", RIGHT["AllowedPrincipals"] + "\n", "no path, no wildcard"),
            ("DatabaseCidrs", "0.0.0.0/0", "/0 is refused"),
            ("OperationsEmail", "a@example.com,b@example.com", "must be one e-mail address"),
            ("OperationsEmail", f"{'a' * 250}@example.com", "at most 254 characters"),
            ("NoSuchThing", "1", "is no parameter of template.yaml"),
        ):
            with self.subTest(name, value=value):
                self.assertIn(complaint, FRONT_DOOR.complaint(name, value))

    def test_rules_and_nested_templates_see_what_stands_side_by_side(self):
        readers = {"ReaderListenerPort": "5433"}
        for change, refusal in (
            ({"DatabaseCidrs": ""}, "The load balancer may reach nothing"),
            ({"EnforceConsumerCidrs": "true"}, "would drop every connection"),
            ({"DatabaseKind": "instance"}, "must be a kind that its endpoint can have"),
            ({"DatabaseEngine": "oracle"}, "has no clusters"),
            ({"ProbeUser": "probe"}, "Give FunctionSubnetIds and"),
            (readers | {"ListenerPort": "5433"}, "the port of the writer"),
            (readers | {"DatabasePort": "5433"}, "the port of the writer"),
            ({"FunctionSubnetIds": "subnet-01234567"}, "Give both, or neither"),
            ({"IpAddressType": "ipv6"}, "No IPv6 address of a VPC is in AllowedCidrs"),
        ):
            with self.subTest(change):
                self.assertIn(refusal, " ".join(FRONT_DOOR.refusals(RIGHT | change, "stack")))
        self.assertEqual(FRONT_DOOR.refusals(RIGHT | readers, "stack"), [])
        self.assertIn("The stack's name", FRONT_DOOR.refusals(RIGHT, "a" * 65)[0])

    def test_a_rule_that_is_not_known_is_no_ok(self):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "template.yaml")
            path.write_text(
                "Parameters: {}\nResources: {}\nRules:\n  One:\n    Assertions:\n"
                "      - Assert: !EachMemberIn [[a], [b]]\n        AssertDescription: no\n",
                encoding="utf-8",
            )
            with self.assertRaisesRegex(ValueError, "EachMemberIn"):
                Template(path).refusals({})


if __name__ == "__main__":
    unittest.main()
