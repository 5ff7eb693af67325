"""What may not be looked at is said and asked for; what is throttled is asked for again."""

import os
import unittest
from pathlib import Path
from unittest import mock

from account import WHO, Case, configure, world
from aws_on_loopback import Fault

GOLDEN = Path(__file__).parent / "golden/denied.txt"
RUNS = {
    "a cluster with the role probe": ("orders", "--set", "ProbeUser=failover_sync", *WHO),
    "the same with the path probe": (
        *("orders", "--path-probe", "--set", "ProbeUser=failover_sync"),
        *WHO,
    ),
    "a further database of a link": ("orders-archive", "--link", "failover-sync"),
    "a proxy": ("proxy", *WHO),
    "a custom endpoint": ("custom", *WHO),
    "a further endpoint of a proxy": ("proxy endpoint", *WHO),
    "an instance in a peer": ("billing", "--set", "VpcId=@apps", *WHO),
    "an address": ("10.0.10.99", "--set", "DatabaseEngine=postgres", *WHO),
}


class Denied(Case):
    maxDiff = None

    def test_each_call_in_turn(self):
        lines, asked = [], set()
        for title, (endpoint, *arguments) in RUNS.items():
            self.start_over()
            self.assertEqual(self.configure(endpoint, "--yes", *arguments), 0, self.err)
            # What another run has shown is the same here.
            needed = set(self.aws.calls) - asked
            asked |= needed
            for action in sorted(needed):
                with self.subTest(title, action=action):
                    lines += [
                        f"{title}, without {action}",
                        *self.denied(action, endpoint, arguments),
                        "",
                    ]
        text = world().plain("\n".join(lines))
        if "UPDATE_GOLDEN" in os.environ:
            GOLDEN.write_text(text, encoding="utf-8")
        self.assertEqual(text, GOLDEN.read_text(encoding="utf-8"))
        # And nothing is called but what --help lists, nor listed what is never called.
        self.assertEqual(asked, configure.ACTIONS)

    def denied(self, action, endpoint, arguments):
        """What is different then: what is missing, or what the table says instead."""
        self.start_over()
        code = "UnauthorizedOperation" if action.startswith("ec2:") else "AccessDenied"
        self.aws.answers[action] = Fault(code, "User: jane is not authorized to perform it")
        code = self.configure(endpoint, "--yes", *arguments)
        self.assertIn(f"not allowed to look: {action}", " ".join((self.out + self.err).split()))
        self.assertNotIn("Traceback", self.err)
        if code:
            self.assertEqual(code, configure.NOT_POSSIBLE)
            self.assert_untouched()
            return [f"  {self.err.strip()}"]
        return [
            f"  {line}"
            for line in self.out.splitlines()
            if line.startswith("!") or "what the name" in line
        ]

    def test_a_throttled_call_is_made_again(self):
        self.assertEqual(self.configure("orders", "--yes", *WHO), 0)
        table = self.out
        self.start_over()
        self.throttle("rds:DescribeDBClusters", 2)
        self.throttle("ec2:DescribeSubnets", 1)
        # The pauses between attempts are not what is tested.
        with mock.patch("botocore.endpoint.time.sleep") as pauses:
            self.assertEqual(self.configure("orders", "--yes", *WHO, AWS_MAX_ATTEMPTS="8"), 0)
        self.assertEqual(pauses.call_count, 3)
        self.assertEqual(self.out, table)

    def test_what_stays_throttled_is_not_answered(self):
        self.throttle("ec2:DescribeVpcs", 1000)
        self.assertEqual(self.configure("orders", "--yes", *WHO), 0, self.err)
        self.assertIn("ec2:DescribeVpcs was not answered", self.out)
        self.assertNotIn("AllowedCidrs", self.answers())

    def throttle(self, action, times):
        left = iter([Fault("Throttling", "Rate exceeded")] * times)
        self.aws.answers[action] = lambda request: next(left, None)


if __name__ == "__main__":
    unittest.main()
