"""Who called for the group is found in CloudTrail, at its pace and no further back than asked."""

import json
import os
import time
from datetime import datetime, timezone
from unittest import mock

from preflight_checks import trail
from world import World


class Trail(World):
    """What CloudTrail answers is written from its model: the local AWS has no such thing."""

    def setUp(self):
        super().setUp()
        self.events = {name: [] for name in trail.EVENTS}
        self.asked, self.slept, self.told = [], [], []
        self.answers["cloudtrail:LookupEvents"] = self.answer
        # What is told is UTC, wherever it is told.
        zone = mock.patch.dict(os.environ, {"TZ": "America/New_York"})
        zone.start()
        time.tzset()
        self.addCleanup(time.tzset)
        self.addCleanup(zone.stop)

    def answer(self, request):
        """Pages of two events."""
        self.asked.append(request)
        [attribute] = request["LookupAttributes"]
        events, start = self.events[attribute["AttributeValue"]], int(request.get("NextToken", 0))
        answer = {"Events": events[start : start + 2]}
        return answer | ({"NextToken": str(start + 2)} if events[start + 2 :] else {})

    def called(self, name, hour, identity, agent="boto3", arn=None):
        record = {
            "userIdentity": identity,
            "userAgent": agent,
            "requestParameters": {"targetGroupArn": arn or self.arn},
        }
        at = datetime(2026, 11, 20, hour, tzinfo=timezone.utc)
        event = {"EventName": name, "EventTime": at, "CloudTrailEvent": json.dumps(record)}
        self.events[name].insert(0, event)

    def look(self, limit=2000):
        return trail.check(limit, lambda *said: self.told.append(said), self.slept.append)

    def test_calls_for_the_group_are_counted_by_role_and_program(self):
        role = {
            "arn": "arn:aws:sts::1:assumed-role/nlb/one",
            "sessionContext": {"sessionIssuer": {"arn": "arn:aws:iam::1:role/nlb"}},
        }
        self.called("RegisterTargets", 7, role | {"arn": "arn:aws:sts::1:assumed-role/nlb/two"})
        self.called("RegisterTargets", 9, role)
        self.called("DeregisterTargets", 8, role)
        self.called("RegisterTargets", 5, {"arn": "arn:aws:iam::1:user/me"}, "aws-cli")
        self.called("RegisterTargets", 4, {"invokedBy": "ecs.amazonaws.com"}, "ecs")
        self.called("RegisterTargets", 3, role, arn=self.arn.replace("/orders/", "/others/"))
        found = self.found("CloudTrail", look=self.look())
        self.assertEqual(
            [check.found for check in found],
            [
                "3 calls by arn:aws:iam::1:role/nlb (boto3), the last at 2026-11-20 09:00 UTC "
                "as one",
                "1 call by arn:aws:iam::1:user/me (aws-cli), the last at 2026-11-20 05:00 UTC",
                "1 call by ecs.amazonaws.com (ecs), the last at 2026-11-20 04:00 UTC",
            ],
        )
        remedies = [check.remedy[0] for check in found]
        self.assertEqual(remedies[0], "aws iam get-role --role-name nlb")
        self.assertIn("aws cloudtrail lookup-events", remedies[1])

    def test_each_call_has_one_attribute_and_waits_for_its_turn(self):
        for hour in range(5):
            self.called("DeregisterTargets", hour, {"arn": "me"})
        self.found("CloudTrail", look=self.look())
        names = [request["LookupAttributes"] for request in self.asked]
        first, second = [
            [{"AttributeKey": "EventName", "AttributeValue": name}] for name in trail.EVENTS
        ]
        self.assertEqual(names, [first, second, second, second])
        self.assertEqual(self.slept, [0.5] * 3)
        self.assertEqual(
            self.told,
            [
                ("CloudTrail: 0 events RegisterTargets", True),
                ("CloudTrail: 2 events DeregisterTargets, back to 2026-11-20", False),
                ("CloudTrail: 4 events DeregisterTargets, back to 2026-11-20", False),
                ("CloudTrail: 5 events DeregisterTargets, back to 2026-11-20", True),
            ],
        )

    def test_looking_ends_at_the_limit_and_says_how_far_it_came(self):
        for hour in range(5):
            self.called("RegisterTargets", hour, {}, arn="arn:other")
        [check] = self.found("CloudTrail", look=self.look(limit=3))
        self.assertEqual(len(self.asked), 3)
        self.assertIn("since 2026-11-20, where looking stopped", check.found)

    def test_silence_is_no_proof(self):
        [check] = self.found("CloudTrail", look=self.look())
        self.assertEqual(check.verdict, "note")
        self.assertIn("in the 90 days that CloudTrail keeps", check.found)
        self.assertIn("proves little", check.found)
