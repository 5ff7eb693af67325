"""Who called RegisterTargets and DeregisterTargets for a group, as far as CloudTrail tells."""

import json
import time
from dataclasses import dataclass
from datetime import datetime, timezone

from preflight_checks.facts import NOTE, WARN

ACTIONS = {"cloudtrail:LookupEvents"}
EVENTS = ("RegisterTargets", "DeregisterTargets")
# CloudTrail answers twice a second in an account and Region, with 50 events at most.
PACE = 0.5


def check(limit, progress, sleep=time.sleep):
    """The check of the newest `limit` calls of each kind, which tells `progress` how far it is."""

    def look(facts):
        callers, reached = {}, []
        for number, name in enumerate(EVENTS):
            if number:
                sleep(PACE)
            reached.append(read(facts, name, limit, callers, progress, sleep))
        for caller in sorted(callers.values(), key=lambda one: (one.calls, one.last), reverse=True):
            yield WARN, str(caller), who_is(facts, caller)
        if not callers:
            yield (
                NOTE,
                f"no call for the group {since(reached)}. That proves little: a writer that acts "
                "at a failover alone may have slept, and the newest calls come up to 15 minutes "
                "late",
            )

    return look


@dataclass
class Caller:
    """A role, or else who it is, and the program that it says it is."""

    who: str
    program: str
    calls: int = 0
    last: datetime | None = None
    # Of a Lambda function this is its name.
    session: str = ""

    def count(self, time, session):
        self.calls += 1
        if self.last is None or time > self.last:
            self.last, self.session = time, session

    def __str__(self):
        calls = "1 call" if self.calls == 1 else f"{self.calls} calls"
        last = f"the last at {self.last:%Y-%m-%d %H:%M} UTC"
        session = f" as {self.session}" if self.session else ""
        return f"{calls} by {self.who} ({self.program}), {last}{session}"


def read(facts, name, limit, callers, progress, sleep):
    """Counts who called the operation for the group; returns where it stopped, if it did."""
    attributes = [{"AttributeKey": "EventName", "AttributeValue": name}]
    pages = facts.aws.pages("cloudtrail", "LookupEvents", LookupAttributes=attributes)
    seen, oldest = 0, None
    for page in pages:
        events = page.get("Events", [])
        for event in events:
            # botocore has it in the time zone of the machine.
            oldest = event["EventTime"].astimezone(timezone.utc)
            record = json.loads(event["CloudTrailEvent"])
            if (record.get("requestParameters") or {}).get("targetGroupArn") == facts.arn:
                *key, session = identified(record)
                callers.setdefault(tuple(key), Caller(*key)).count(oldest, session)
        seen += len(events)
        is_last = not page.get("NextToken") or seen >= limit
        back = f", back to {oldest:%Y-%m-%d}" if oldest else ""
        progress(f"CloudTrail: {seen} events {name}{back}", is_last)
        if is_last:
            return oldest if page.get("NextToken") else None
        sleep(PACE)
    return None


def identified(record):
    """Who called, with which program, and in which session of a role."""
    identity = record.get("userIdentity", {})
    arn, issuer = identity.get("arn"), identity.get("sessionContext", {}).get("sessionIssuer", {})
    who = issuer.get("arn") or arn or identity.get("invokedBy") or "somebody"
    session = arn.rpartition("/")[2] if arn and "arn" in issuer else ""
    return who, record.get("userAgent", "unknown program"), session


def who_is(facts, caller):
    if ":role/" in caller.who:
        return facts.command("iam", "get-role", "--role-name", caller.who.rpartition("/")[2])
    by = "AttributeKey=ResourceName,AttributeValue=" + facts.arn
    return facts.command("cloudtrail", "lookup-events", "--lookup-attributes", by)


def since(reached):
    stopped = [oldest for oldest in reached if oldest]
    if stopped:
        return f"since {max(stopped):%Y-%m-%d}, where looking stopped (--events looks further back)"
    return "in the 90 days that CloudTrail keeps, in this Region"
