"""Whether the function can ask the writer through the load balancer: the path probe."""

from preflight_checks.database import authorize, covers, let, ranges_of
from preflight_checks.facts import NO_LOAD_BALANCER, NOTE, OK, REFUSE, WARN
from preflight_checks.group import CLIENT, attribute, new_listener

ACTIONS = {"ec2:DescribeSecurityGroupRules", "ec2:DescribeSubnets"}


def check(function_groups):
    """For a function with these security groups; without any the rules are not looked at."""

    def look(facts):
        yield from client_addresses(facts)
        if facts.load_balancer is None:
            yield NO_LOAD_BALANCER
        elif not facts.listeners:
            yield (
                REFUSE,
                "no listener forwards to the group, so there is nothing to ask through",
                *new_listener(facts, facts.load_balancer["LoadBalancerArn"]),
            )
        else:
            yield from listener(facts)
            if function_groups:
                yield from rules(facts, function_groups)

    return look


def client_addresses(facts):
    """AWS's guide, on troubles: to a client that also connects to the targets they might fail."""
    if facts.attributes[CLIENT] == "true":
        yield (
            REFUSE,
            "client addresses are preserved: the function is a client of the load balancer and of "
            "the database at once, and its connections through the load balancer may then fail",
            attribute(facts, CLIENT, "false"),
        )


def port_of(facts):
    """The listener's; of several the first is as good as the others."""
    listener, _ = facts.listeners[0]
    return listener["Port"]


def listener(facts):
    yield (
        OK,
        f"LoadBalancerDnsName={facts.load_balancer['DNSName']} and ListenerPort={port_of(facts)}",
    )


def rules(facts, function_groups):
    """In at the load balancer's group, which the stack adds, and out of the function's."""
    balancer, port = facts.load_balancer, port_of(facts)
    own = balancer.get("SecurityGroups", [])
    found = facts.aws.all(
        "ec2",
        "DescribeSecurityGroupRules",
        "SecurityGroupRules",
        Filters=[{"Name": "group-id", "Values": [*own, *function_groups]}],
    )
    found = [rule for rule in found if covers(rule, port)]
    inward = [rule for rule in found if not rule["IsEgress"] and rule["GroupId"] in own]
    outward = [rule for rule in found if rule["IsEgress"] and rule["GroupId"] in function_groups]
    first = function_groups[0]
    if not own:
        yield NOTE, "the load balancer has no security group, and so lets everybody in"
    elif let(inward, function_groups, []):
        yield OK, f"the load balancer lets the function in on {port}"
    else:
        yield (
            NOTE,
            f"no rule of the load balancer names the function's group on port {port}. The stack "
            f"adds it with LoadBalancerSecurityGroupId={own[0]}; by hand, and without that",
            authorize(facts, "ingress", own[0], port, first),
        )
    ranges = ranges_of(facts, balancer)
    if let(outward, own, ranges):
        yield OK, f"the function is let out on {port}"
    else:
        yield (
            WARN,
            f"no rule lets the function out to the load balancer on port {port}, and the stack "
            "adds none",
            authorize(facts, "egress", first, port, own[0] if own else ranges),
        )
