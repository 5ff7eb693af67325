"""Whether a target group fits the database that its endpoint leads to: name, port, zones, ways."""

import ipaddress
import json

from preflight_checks.facts import NO_LOAD_BALANCER, NOTE, OK, WARN, health, not_looked_at
from preflight_checks.group import look, named

ACTIONS = {"ec2:DescribeSecurityGroupRules", "ec2:DescribeSubnets"}
UNKNOWN = "RDS does not know the database, so this is not known either"


def endpoint(facts):
    database = facts.database
    # Whoever may not see all lists of RDS may be told of another kind than it is.
    yield from map(not_looked_at, database.unseen)
    if database.is_of_rds:
        yield what_it_is(facts, database)
    elif database.kind == "address":
        yield NOTE, "a fixed address (kind address): there is nothing to follow"
    elif not database.unseen:
        yield not_of_rds(facts, database)


def what_it_is(facts, database):
    found = f"{database.kind} {database.identifier}, {database.engine}, {database.status}"
    found += f", {database.endpoint}" if database.is_alias else ""
    if database.is_member:
        return (
            WARN,
            f"{found}: one instance of the cluster {database.cluster}, which a failover leads "
            "away from. Give the cluster's endpoint",
            *([facts.again(database.writer_endpoint)] if database.writer_endpoint else []),
        )
    if database.region != facts.aws.region:
        return (
            WARN,
            f"{found}: in {database.region}, and the group is in {facts.aws.region}. The function "
            "asks RDS in its own Region: give the kind hostname",
        )
    if database.is_green:
        return (
            WARN,
            f"{found}: the name of a green side ends with its switchover. Give the blue one's",
        )
    return OK, found


def not_of_rds(facts, database):
    found = (
        f"RDS in {database.region} has none of that name (kind hostname): the function follows "
        "DNS alone"
    )
    if database.close:
        remedy = map(facts.again, database.close)
        return WARN, f"{found}. Nearly called so: {', '.join(database.close)}", *remedy
    return NOTE, found


def port(facts):
    group, wanted = facts.group.get("Port"), facts.of_database("port")
    if wanted is None:
        yield NOTE, f"the group's is {group}; {UNKNOWN}"
    elif wanted == group:
        yield OK, f"{group}"
    else:
        yield (
            WARN,
            f"the group's is {group}, and the database listens on {wanted}. The function registers "
            "targets with the port that it is given, and the group's own cannot be changed",
            f"give the function the port {wanted}",
        )


def zones(facts):
    subnets = facts.of_database("subnets")
    if subnets is None:
        yield NOTE, UNKNOWN
        return
    if facts.load_balancer is None:
        yield NO_LOAD_BALANCER
        return
    served = {zone["ZoneName"] for zone in facts.load_balancer.get("AvailabilityZones", [])}
    missing = sorted(set(subnets) - served)
    for zone in missing:
        yield (
            WARN,
            f"the database may move to {zone}, where the load balancer has no subnet: a target "
            "there gets no traffic",
            add_subnets(facts, {zone: subnets[zone] for zone in missing}),
        )
    if not missing:
        yield OK, f"the load balancer is in all zones of the database: {', '.join(sorted(subnets))}"


def add_subnets(facts, missing):
    """The command replaces the list, so it names those that are there; AWS takes none away."""
    balancer = facts.load_balancer
    is_same = balancer.get("VpcId") == facts.database.vpc
    new = [subnets[0] if is_same else f"SUBNET_IN_{zone}" for zone, subnets in missing.items()]
    words = ["elbv2", "set-subnets", "--load-balancer-arn", balancer["LoadBalancerArn"]]
    zones = balancer.get("AvailabilityZones", [])
    if not any(zone.get("LoadBalancerAddresses") for zone in zones):
        return facts.command(*words, "--subnets", *(zone["SubnetId"] for zone in zones), *new)
    # An address that was chosen is named again, or lost.
    mappings = [mapping(zone) for zone in zones] + [f"SubnetId={subnet}" for subnet in new]
    return facts.command(*words, "--subnet-mappings", *mappings)


def mapping(zone):
    parts = {"SubnetId": zone["SubnetId"]}
    for address in zone.get("LoadBalancerAddresses", [])[:1]:
        names = ("AllocationId", "PrivateIPv4Address", "IPv6Address")
        parts |= {name: address[name] for name in names if address.get(name)}
    return ",".join(f"{name}={value}" for name, value in parts.items())


def public(facts):
    value = facts.of_database("is_public")
    if value is None:
        yield NOTE, UNKNOWN
    elif not value:
        yield OK, "not publicly accessible"
    else:
        instances = facts.database.members or [facts.database.identifier]
        yield (
            WARN,
            "publicly accessible: outside its VPC its name has a public address, which the "
            "function refuses. Give the function subnets of that VPC, or",
            *(modify_instance(facts, one, "--no-publicly-accessible") for one in instances),
        )


def vpc(facts):
    own, group = facts.of_database("vpc"), facts.group.get("VpcId")
    if own is None:
        yield NOTE, UNKNOWN
    elif own == group:
        yield OK, f"database and group are in {group}"
    else:
        yield (
            WARN,
            f"the database is in {own}, and the group in {group}: that needs a peering or a "
            "transit gateway, routes both ways, and rules with ranges",
            facts.command(
                *("ec2", "describe-vpc-peering-connections", "--filters"),
                f"Name=requester-vpc-info.vpc-id,Values={own},{group}",
            ),
        )


def family(facts):
    group, own = facts.group.get("IpAddressType", "ipv4"), facts.of_database("network")
    if group == "ipv4":
        yield OK, "ipv4"
    elif own is None:
        yield NOTE, UNKNOWN
    elif own == "DUAL":
        yield OK, "ipv6, and the database has addresses of both families"
    else:
        remedy = [] if facts.database.kind == "proxy" else [change(facts, "--network-type", "DUAL")]
        yield WARN, f"the group is ipv6, and the database has the network type {own}", *remedy


def standby(facts):
    value = facts.of_database("is_multi_az")
    if value is None:
        yield NOTE, UNKNOWN
    elif value:
        yield OK, "in more zones than one"
    else:
        remedy = [change(facts, "--multi-az")] if facts.database.kind == "instance" else []
        yield NOTE, "in one zone only: the database has nowhere to fail over to", *remedy


def change(facts, *options):
    one = facts.database
    if one.kind == "instance":
        return modify_instance(facts, one.identifier, *options)
    words = ("rds", "modify-db-cluster", "--db-cluster-identifier", one.identifier)
    return facts.command(*words, *options, region=one.region)


def modify_instance(facts, identifier, *options):
    return facts.command(
        *("rds", "modify-db-instance", "--db-instance-identifier", identifier, *options),
        region=facts.database.region,
    )


# --- Security groups ---


def security_groups(facts):
    balancer = facts.load_balancer
    if balancer is None:
        yield NO_LOAD_BALANCER
        return
    groups = balancer.get("SecurityGroups", [])
    if not groups:
        yield (
            NOTE,
            "the load balancer has none, and none can be added later: the database lets in the "
            "ranges of its subnets",
        )
    elif balancer.get("EnforceSecurityGroupInboundRulesOnPrivateLinkTraffic", "on") == "on":
        yield (
            NOTE,
            f"{', '.join(groups)}: its inbound rules hold for PrivateLink as well, and drop "
            "consumers with other addresses without a trace. See the rules, or let all pass",
            facts.command(
                *("ec2", "describe-security-group-rules", "--filters"),
                f"Name=group-id,Values={','.join(groups)}",
            ),
            facts.command(
                *("elbv2", "set-security-groups", "--load-balancer-arn"),
                balancer["LoadBalancerArn"],
                *("--security-groups", *groups),
                *("--enforce-security-group-inbound-rules-on-private-link-traffic", "off"),
            ),
        )
    else:
        yield OK, f"{', '.join(groups)}; PrivateLink traffic passes without its inbound rules"


def way(facts):
    """A healthy target proves more than rules."""
    healthy = [one for one in facts.targets if health(one).get("State") == "healthy"]
    if healthy:
        yield OK, f"{named(healthy)} is healthy, so the load balancer reaches it"
        return
    balancer, wanted = facts.load_balancer, facts.of_database("port")
    own = facts.database.security_groups
    is_elsewhere = facts.database.region != facts.aws.region
    if balancer is None or wanted is None or not own or is_elsewhere:
        yield NOTE, "no target is healthy, and whether rules let it through is not known"
        return
    groups = balancer.get("SecurityGroups", [])
    rules = [rule for rule in rules_of(facts, [*groups, *own]) if covers(rule, wanted)]
    outward = [rule for rule in rules if rule["IsEgress"] and rule["GroupId"] in groups]
    inward = [rule for rule in rules if not rule["IsEgress"] and rule["GroupId"] in own]
    ranges = [] if let(inward, groups, []) else ranges_of(facts, balancer)
    remedy = []
    if groups and not outward:
        remedy.append(authorize(facts, "egress", groups[0], wanted, own[0]))
    if not let(inward, groups, ranges):
        source = groups[0] if groups else ranges
        remedy.append(authorize(facts, "ingress", own[0], wanted, source))
    if remedy:
        yield NOTE, f"no target is healthy, and no rule lets port {wanted} through", *remedy
    else:
        yield OK, f"rules let port {wanted} through; no target is healthy, which would prove it"


def covers(rule, wanted):
    protocol, first, last = rule["IpProtocol"], rule.get("FromPort", -1), rule.get("ToPort", -1)
    return protocol in ("-1", "tcp", "6") and (first == -1 or first <= wanted <= last)


def let(rules, groups, ranges):
    """Whether a rule names one of the groups, or all of the ranges lie in ranges of rules."""
    if any(rule.get("ReferencedGroupInfo", {}).get("GroupId") in groups for rule in rules):
        return True
    open_to = [
        ipaddress.ip_network(rule[key], strict=False)
        for rule in rules
        for key in ("CidrIpv4", "CidrIpv6")
        if key in rule
    ]
    return bool(ranges) and all(
        any(one.version == other.version and one.subnet_of(other) for other in open_to)
        for one in map(ipaddress.ip_network, ranges)
    )


def rules_of(facts, groups):
    return facts.aws.all(
        "ec2",
        "DescribeSecurityGroupRules",
        "SecurityGroupRules",
        Filters=[{"Name": "group-id", "Values": groups}],
    )


def ranges_of(facts, balancer):
    ids = [zone["SubnetId"] for zone in balancer.get("AvailabilityZones", [])]
    subnets = facts.aws.all("ec2", "DescribeSubnets", "Subnets", SubnetIds=ids) if ids else []
    return [subnet["CidrBlock"] for subnet in subnets if "CidrBlock" in subnet]


def authorize(facts, direction, group, wanted, other):
    return facts.command(*opening(direction, group, wanted, other))


def opening(direction, group, wanted, other):
    """The words of the command that adds a rule for `other`, a group or ranges."""
    permission = {"IpProtocol": "tcp", "FromPort": wanted, "ToPort": wanted}
    if isinstance(other, str):
        permission["UserIdGroupPairs"] = [{"GroupId": other}]
    else:
        permission["IpRanges"] = [{"CidrIp": one} for one in other]
    words = ["ec2", f"authorize-security-group-{direction}", "--group-id", group]
    return [*words, "--ip-permissions", json.dumps([permission])]


# --- Members ---


def members(facts):
    targets, wanted = facts.targets, facts.of_database("port")
    wanted = wanted or facts.group.get("Port")
    is_single = facts.database.kind in ("cluster", "instance")
    there = {(one["Target"]["Id"], one["Target"].get("Port")) for one in targets}
    listed = ", ".join(f"{named([one])} {health(one).get('State', 'unknown')}" for one in targets)
    if not targets:
        yield WARN, f"none is registered. {plan(facts, there, wanted)}", look(facts)
    elif any(number != wanted for _, number in there):
        yield (
            WARN,
            f"{listed}: on another port than {wanted}. {plan(facts, there, wanted)}",
            look(facts),
        )
    elif is_single and len(there) > 1:
        yield WARN, f"{listed}: more than one writer. {plan(facts, there, wanted)}", look(facts)
    else:
        yield OK, f"{listed}. {plan(facts, there, wanted)}".strip()


def plan(facts, there, wanted):
    """What a run would do by what DNS says here and now, of an endpoint with one address."""
    if facts.database.kind not in ("cluster", "instance", "hostname"):
        return f"Of the kind {facts.database.kind} no healthy target is taken away"
    family = 6 if facts.group.get("IpAddressType") == "ipv6" else 4
    answers = [
        one for one in facts.resolve(facts.endpoint) if ipaddress.ip_address(one).version == family
    ]
    if not answers:
        return f"{facts.endpoint} has no address here, so there is no plan"
    desired = {(one, wanted) for one in answers}
    parts = [
        f"{verb} {', '.join(f'{address}:{number}' for address, number in sorted(some, key=str))}"
        for verb, some in (("register", desired - there), ("deregister", there - desired))
        if some
    ]
    return f"By DNS here the function would {' and '.join(parts) or 'change nothing'}"


CHECKS = {
    "endpoint": endpoint,
    "port": port,
    "zones": zones,
    "public": public,
    "VPC": vpc,
    "family": family,
    "standby": standby,
    "security": security_groups,
    "way": way,
    "members": members,
}
