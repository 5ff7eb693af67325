"""What AWS knows of a target group, of its load balancer, and of the database that it leads to.

Each fact is asked for once, by the first check that needs it, and is an `Unseen` for all of them if
AWS does not answer. `examine` makes `Check`s of functions that look at the facts.
"""

import os
import re
import shlex
import socket
from dataclasses import dataclass
from pathlib import Path

import rds_endpoint
from read_only import Unseen

# What is not looked at is never ok.
OK, NOTE, WARN, REFUSE, UNSEEN = "ok", "note", "warn", "refuse", "unseen"

ARN = re.compile(
    r"(?P<prefix>arn:aws[a-z-]*:elasticloadbalancing:(?P<region>[a-z0-9-]+):\d{12}):"
    r"targetgroup/(?P<name>[A-Za-z0-9-]{1,32})/[0-9a-z]+"
)
# What AWS takes where an attribute is not told.
DEFAULTS = {
    "deregistration_delay.connection_termination.enabled": "false",
    "deregistration_delay.timeout_seconds": "300",
    "load_balancing.cross_zone.enabled": "use_load_balancer_configuration",
    "preserve_client_ip.enabled": "false",
    "proxy_protocol_v2.enabled": "false",
    "target_health_state.unhealthy.connection_termination.enabled": "true",
}
# Who tells what an endpoint's own description does not.
SUBNETS = ("ec2:DescribeSubnets", "rds:DescribeDBSubnetGroups")
NEEDED = {"is_public": ("rds:DescribeDBInstances",), "subnets": SUBNETS, "vpc": SUBNETS}
PROGRAM = Path(__file__).resolve().parent.parent / "preflight.py"
NO_LOAD_BALANCER = (NOTE, "the group has no load balancer")


@dataclass(frozen=True)
class Check:
    """One check: what was found, and commands, or where there is none a sentence, that mend it."""

    name: str
    verdict: str
    found: str
    remedy: tuple = ()


def examine(checks, facts):
    """The results of `checks`, functions by name that yield verdict, finding and remedies."""
    for name, look in checks.items():
        try:
            for verdict, found, *remedy in look(facts):
                yield Check(name, verdict, found, tuple(remedy))
        except Unseen as error:
            verdict, found, *remedy = not_looked_at(error)
            yield Check(name, verdict, found, tuple(remedy))


def not_looked_at(error):
    remedy = "run it again"
    if error.is_denied:
        remedy = f"have {error.action} allowed (--policy prints what is needed), or ask who may"
    return UNSEEN, error.reason, remedy


def addresses(name):
    """What the system's resolver answers, which in another VPC may be something else."""
    try:
        return sorted(
            {entry[4][0] for entry in socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)}
        )
    except OSError:
        return []


def fact(ask):
    """A property that is asked for once, whether it is answered or not."""

    def value(facts):
        if ask not in facts.answers:
            try:
                facts.answers[ask] = ask(facts)
            except Unseen as error:
                facts.answers[ask] = error
        if isinstance(facts.answers[ask], Unseen):
            raise facts.answers[ask]
        return facts.answers[ask]

    return property(value, doc=ask.__doc__)


class Facts:
    """Of the group `arn`, and of what `endpoint` leads to."""

    def __init__(self, aws, arn, endpoint, aliases=None, addresses=addresses):
        named = ARN.fullmatch(arn)
        self.aws = aws.in_region(named["region"])
        self.arn, self.name, self.arn_prefix = arn, named["name"], named["prefix"]
        self.endpoint = rds_endpoint.plain(endpoint)
        self.aliases = aliases or rds_endpoint.aliases
        self.resolve = addresses
        self.answers = {}

    def command(self, *words, region=None):
        """A command of the AWS CLI, to be copied, for the Region in which that is."""
        region = region or self.aws.region
        options = [] if region == self.aws.session.region_name else ["--region", region]
        return shlex.join(["aws", *map(str, words), *options])

    def again(self, endpoint):
        """This program with another endpoint, as it is called where it stands."""
        if (PROGRAM.parent.parent / "Makefile").exists():
            return f"make preflight TARGET_GROUP={self.arn} DATABASE={endpoint}"
        return shlex.join(["python", os.path.relpath(PROGRAM), self.arn, endpoint])

    @fact
    def group(self):
        [group] = self.aws.all(
            "elbv2", "DescribeTargetGroups", "TargetGroups", TargetGroupArns=[self.arn]
        )
        return group

    @fact
    def attributes(self):
        found = self.aws.all(
            "elbv2", "DescribeTargetGroupAttributes", "Attributes", TargetGroupArn=self.arn
        )
        return DEFAULTS | {one["Key"]: one["Value"] for one in found}

    @fact
    def targets(self):
        """What is registered; one that drains is no more."""
        described = self.aws.all(
            "elbv2", "DescribeTargetHealth", "TargetHealthDescriptions", TargetGroupArn=self.arn
        )
        return [one for one in described if health(one).get("State") != "draining"]

    @fact
    def load_balancer(self):
        arns = self.group.get("LoadBalancerArns")
        if not arns:
            return None
        [one] = self.aws.all(
            "elbv2", "DescribeLoadBalancers", "LoadBalancers", LoadBalancerArns=arns[:1]
        )
        return one

    @fact
    def load_balancer_attributes(self):
        found = self.aws.all(
            "elbv2",
            "DescribeLoadBalancerAttributes",
            "Attributes",
            LoadBalancerArn=self.group["LoadBalancerArns"][0],
        )
        return {one["Key"]: one["Value"] for one in found}

    @fact
    def listeners(self):
        """Those that forward to the group, with the weight of each group that they forward to."""
        arns = self.group.get("LoadBalancerArns", [])[:1]
        found = [
            (listener, forwarded(listener))
            for arn in arns
            for listener in self.aws.all(
                "elbv2", "DescribeListeners", "Listeners", LoadBalancerArn=arn
            )
        ]
        return [(listener, weights) for listener, weights in found if self.arn in weights]

    @fact
    def tags(self):
        described = self.aws.all(
            "elbv2", "DescribeTags", "TagDescriptions", ResourceArns=[self.arn]
        )
        return {tag["Key"]: tag.get("Value", "") for one in described for tag in one["Tags"]}

    @fact
    def database(self):
        return rds_endpoint.find(self.aws, self.endpoint, self.aliases)

    def of_database(self, field):
        """What RDS says of the database, or None if it does not know it."""
        value, unseen = getattr(self.database, field), self.database.unseen
        if value is None and unseen:
            asked = NEEDED.get(field, ())
            raise together([one for one in unseen if one.action in asked] or unseen)
        return value


def together(unseen):
    reasons = dict.fromkeys(one.reason for one in unseen)
    actions = dict.fromkeys(one.action for one in unseen)
    code = next((one.code for one in unseen if one.is_denied), None)
    return Unseen(" and ".join(actions), "; ".join(reasons), code)


def health(description):
    return description.get("TargetHealth", {})


def forwarded(listener):
    """The groups that a listener forwards to by default, with their weights."""
    weights = {}
    for action in listener.get("DefaultActions", []):
        groups = action.get("ForwardConfig", {}).get("TargetGroups", [])
        if not groups and "TargetGroupArn" in action:
            groups = [action]
        weights |= {one["TargetGroupArn"]: one.get("Weight", 1) for one in groups}
    return weights
