"""Whether the function can keep a target group that exists, and what to mend of it before.

An attribute is changed in place. Type, protocol, port, VPC and address family need another group.
"""

from preflight_checks.facts import NO_LOAD_BALANCER, NOTE, OK, REFUSE, WARN, health

ACTIONS = {
    "elasticloadbalancing:DescribeListeners",
    "elasticloadbalancing:DescribeLoadBalancerAttributes",
    "elasticloadbalancing:DescribeLoadBalancers",
    "elasticloadbalancing:DescribeTargetGroupAttributes",
    "elasticloadbalancing:DescribeTargetGroups",
    "elasticloadbalancing:DescribeTargetHealth",
}
CROSS_ZONE = "load_balancing.cross_zone.enabled"
CUT = "deregistration_delay.connection_termination.enabled"
DELAY = "deregistration_delay.timeout_seconds"
CLIENT = "preserve_client_ip.enabled"
PROXY_PROTOCOL = "proxy_protocol_v2.enabled"
UNHEALTHY = "target_health_state.unhealthy.connection_termination.enabled"
# Seconds for which DNS may name the old writer again.
LEAST_DELAY = 120


def kind(facts):
    group = facts.group
    found = f"target type {group['TargetType']}, protocol {group.get('Protocol', 'none')}"
    if (group["TargetType"], group.get("Protocol")) == ("ip", "TCP"):
        yield OK, found
        return
    family = group.get("IpAddressType", "ipv4")
    yield (
        REFUSE,
        f"{found}: the function registers addresses in groups of type ip and protocol TCP. That "
        "cannot be changed: make another group, and let the listener forward to it",
        facts.command(
            *("elbv2", "create-target-group", "--name", f"{facts.name[:29].rstrip('-')}-ip"),
            *("--target-type", "ip", "--protocol", "TCP", "--port", group.get("Port", "PORT")),
            *("--vpc-id", group.get("VpcId", "VPC"), "--ip-address-type", family),
        ),
        *(forward(facts, listener, "NEW_GROUP_ARN") for listener, _ in facts.listeners),
    )


def in_use(facts):
    if not facts.group.get("LoadBalancerArns"):
        yield WARN, "no load balancer forwards to the group", *new_listener(facts, "NLB_ARN")
        return
    if not facts.listeners:
        [arn] = facts.group["LoadBalancerArns"][:1]
        yield WARN, "no listener forwards to the group by default", *new_listener(facts, arn)
    for listener, weights in facts.listeners:
        port = f"listener {listener.get('Protocol')} {listener.get('Port')}"
        others = [arn for arn, weight in weights.items() if weight and arn != facts.arn]
        alone = forward(facts, listener, facts.arn)
        if not weights[facts.arn]:
            yield WARN, f"{port} gives the group the weight 0, and so no new connection", alone
        elif others:
            yield WARN, f"{port} forwards to other groups as well: {', '.join(others)}", alone
        else:
            yield OK, f"{port} forwards to it"
    unused = [one for one in facts.targets if health(one).get("Reason") == "Target.NotInUse"]
    if unused and facts.listeners:
        yield (
            WARN,
            f"{named(unused)} gets no traffic (Target.NotInUse): the load balancer has no subnet "
            "in its zone",
            look(facts),
        )


def load_balancer(facts):
    balancer = facts.load_balancer
    if balancer is None:
        yield NO_LOAD_BALANCER
    elif balancer.get("Type") == "network":
        yield OK, f"network, {balancer.get('Scheme')}, {balancer.get('LoadBalancerName')}"
    else:
        yield (
            REFUSE,
            f"{balancer.get('LoadBalancerName')} is of type {balancer.get('Type')}: only a "
            "network load balancer forwards TCP as it is, and has endpoint services",
            facts.command(
                *("elbv2", "create-load-balancer", "--type", "network", "--scheme", "internal"),
                *("--name", f"{facts.name[:28].rstrip('-')}-nlb", "--subnets"),
                *(zone["SubnetId"] for zone in balancer.get("AvailabilityZones", [])),
            ),
        )


def cross_zone(facts):
    value, whose = facts.attributes[CROSS_ZONE], "the group's own setting"
    if value == "use_load_balancer_configuration":
        if not facts.group.get("LoadBalancerArns"):
            yield NO_LOAD_BALANCER
            return
        value = facts.load_balancer_attributes.get(CROSS_ZONE, "false")
        whose = "the load balancer's setting"
    if value == "true":
        yield OK, f"on, {whose}"
    else:
        yield (
            WARN,
            f"off, {whose}: after a failover to another zone the consumers of this one reach "
            "nothing. On, traffic between zones is charged",
            attribute(facts, CROSS_ZONE, "true"),
        )


def connection_termination(facts):
    if facts.attributes[CUT] == "true":
        yield OK, "connections to a deregistered target are cut after the delay"
    else:
        yield (
            WARN,
            "connections stay on an old writer that lives on as a reader, for as long as they "
            "are not idle",
            attribute(facts, CUT, "true"),
        )


def deregistration_delay(facts):
    seconds = int(facts.attributes[DELAY])
    if seconds >= LEAST_DELAY:
        yield OK, f"{seconds} s"
    else:
        yield (
            WARN,
            f"{seconds} s: DNS may name the old writer again for longer than that, and its "
            "connections are cut by a mistake of a moment",
            attribute(facts, DELAY, LEAST_DELAY),
        )


def client_addresses(facts):
    if facts.attributes[CLIENT] == "true":
        yield (
            WARN,
            "the database sees the clients' own addresses, which its security group must let in, "
            "and a client on a target cannot reach itself. Through PrivateLink it changes nothing, "
            "and the path probe does not work with it",
            attribute(facts, CLIENT, "false"),
        )
    else:
        yield OK, "the database sees the load balancer's addresses"


def proxy_protocol(facts):
    if facts.attributes[PROXY_PROTOCOL] == "true":
        yield (
            REFUSE,
            "on: each connection begins with a header that no database of RDS understands",
            attribute(facts, PROXY_PROTOCOL, "false"),
        )
    else:
        yield OK, "off"


def unhealthy_targets(facts):
    if facts.attributes[UNHEALTHY] == "true":
        yield OK, "connections to a target that turns unhealthy are cut"
    else:
        yield (
            NOTE,
            "a target that turns unhealthy keeps its connections and is unhealthy.draining for "
            "a while. To the function it is registered all the same",
            attribute(facts, UNHEALTHY, "true"),
        )


CHECKS = {
    "kind": kind,
    "in use": in_use,
    "load balancer": load_balancer,
    "cross-zone": cross_zone,
    "cut": connection_termination,
    "delay": deregistration_delay,
    "client address": client_addresses,
    "proxy protocol": proxy_protocol,
    "unhealthy": unhealthy_targets,
}


def attribute(facts, key, value):
    return facts.command(
        *("elbv2", "modify-target-group-attributes", "--target-group-arn", facts.arn),
        *("--attributes", f"Key={key},Value={value}"),
    )


def forward(facts, listener, arn):
    return facts.command(
        *("elbv2", "modify-listener", "--listener-arn", listener["ListenerArn"]),
        *("--default-actions", f"Type=forward,TargetGroupArn={arn}"),
    )


def new_listener(facts, balancer, port=None):
    yield facts.command(
        *("elbv2", "create-listener", "--load-balancer-arn", balancer, "--protocol", "TCP"),
        *("--port", port or facts.group.get("Port", "PORT")),
        *("--default-actions", f"Type=forward,TargetGroupArn={facts.arn}"),
    )


def look(facts):
    return facts.command("elbv2", "describe-target-health", "--target-group-arn", facts.arn)


def named(targets):
    return ", ".join(f"{one['Target']['Id']}:{one['Target'].get('Port')}" for one in targets)
