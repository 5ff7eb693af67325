"""Whether the function can ask the writer through the load balancer: the path probe."""

from preflight_checks.database import authorize, covers, let, ranges_of, rules_of
from preflight_checks.facts import NO_LOAD_BALANCER, NOTE, OK, REFUSE, WARN
from preflight_checks.group import CLIENT, attribute, new_listener

ACTIONS = {"ec2:DescribeSecurityGroupRules", "ec2:DescribeSubnets"}
# Of a listener that forwards what a client sends as it is.
PLAIN = ("TCP", "TCP_UDP")


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
        elif chosen(facts) is None:
            yield no_plain_listener(facts)
        else:
            yield from listener(facts)
            if function_groups:
                yield from rules(facts, function_groups)

    return look


def asked_through(listeners):
    """The first that can be: of several it is as good as the others."""
    return next((one for one in listeners if one.get("Protocol") in PLAIN), None)


def covering(rules, is_egress, groups, port):
    """The rules of these groups in one direction that let a port through."""
    return [
        rule
        for rule in rules
        if rule["IsEgress"] == is_egress and rule["GroupId"] in groups and covers(rule, port)
    ]


def is_let_out(rules, function_groups, own, ranges, port):
    """Whether the function gets to the load balancer, by its groups or the ranges of its subnets.

    A rule that leads to the database alone, which the role probe needs, is none.
    """
    return let(covering(rules, True, function_groups, port), own, ranges)


def client_addresses(facts):
    """AWS's guide, on troubles: to a client that also connects to the targets they might fail."""
    if facts.attributes[CLIENT] == "true":
        yield (
            REFUSE,
            "client addresses are preserved: the function is a client of the load balancer and of "
            "the database at once, and its connections through the load balancer may then fail",
            attribute(facts, CLIENT, "false"),
        )


def chosen(facts):
    return asked_through(listener for listener, _ in facts.listeners)


def no_plain_listener(facts):
    listeners = [one for one, _ in facts.listeners]
    there = ", ".join(f"{one.get('Protocol')} {one['Port']}" for one in listeners)
    is_taken = facts.group.get("Port") in [one["Port"] for one in listeners]
    balancer = facts.load_balancer["LoadBalancerArn"]
    return (
        REFUSE,
        f"no listener of protocol TCP forwards to the group, only {there}: the function begins TLS "
        "inside the database's protocol, as clients of PostgreSQL and MySQL do",
        *new_listener(facts, balancer, "PORT" if is_taken else None),
    )


def listener(facts):
    name, port = facts.load_balancer["DNSName"], chosen(facts)["Port"]
    yield OK, f"LoadBalancerDnsName={name} and ListenerPort={port}"


def rules(facts, function_groups):
    """In at the load balancer's group, which the stack adds, and out of the function's."""
    balancer, port = facts.load_balancer, chosen(facts)["Port"]
    own = balancer.get("SecurityGroups", [])
    found = rules_of(facts, [*own, *function_groups])
    first = function_groups[0]
    if not own:
        yield NOTE, "the load balancer has no security group, and so lets everybody in"
    elif let(covering(found, False, own, port), function_groups, []):
        yield (
            OK,
            f"the load balancer lets the function in on {port}. Unless the stack made that rule, "
            "leave LoadBalancerSecurityGroupId empty: EC2 refuses a rule that exists",
        )
    else:
        yield (
            NOTE,
            f"no rule of the load balancer names the function's group on port {port}. The stack "
            f"adds it with LoadBalancerSecurityGroupId={own[0]}; by hand, and without that",
            authorize(facts, "ingress", own[0], port, first),
        )
    ranges = ranges_of(facts, balancer)
    if is_let_out(found, function_groups, own, ranges, port):
        yield OK, f"the function is let out on {port}"
    else:
        yield (
            WARN,
            f"no rule lets the function out to the load balancer on port {port}, and the stack "
            "adds none",
            authorize(facts, "egress", first, port, own[0] if own else ranges),
        )
