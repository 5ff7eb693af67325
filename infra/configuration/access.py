"""What the load balancer may reach and a target may be: security group, ranges; and quotas."""

import ipaddress

from configuration.network import associated

ACTIONS = {
    "ec2:DescribeSecurityGroups",
    "ec2:DescribeVpcPeeringConnections",
    "elasticloadbalancing:DescribeAccountLimits",
    "elasticloadbalancing:DescribeLoadBalancers",
}
# Amazon VPC quotas: rules of a group in each direction. An account may have more.
RULES = 60
# The templates': a prefix list has room for as many.
MOST_RANGES = 10
SOURCES = ("IpRanges", "Ipv6Ranges", "PrefixListIds", "UserIdGroupPairs")


# --- Where a target may be ---


def fill_targets(network, is_strict):
    """All of the database's VPC, since a subnet may be added to its group later."""
    settings, database = network.settings, network.database
    if is_strict:
        ranges = subnet_ranges(network, "CidrBlock")
        ranges += subnet_ranges(network, "Ipv6CidrBlock") if database.network == "DUAL" else []
        settings.put("AllowedCidrs", ",".join(ranges), "DescribeSubnets: the database's")
        settings.warn(
            "With --strict the addresses of a subnet that is added to the DB subnet group later "
            "are refused at a failover. Then add its range to AllowedCidrs."
        )
    ranges = network.ranges(database.vpc)
    settings.put("AllowedCidrs", ",".join(ranges), "DescribeVpcs: the database's VPC")
    if not settings.has("AllowedCidrs"):
        settings.warn(
            "AllowedCidrs stays all private address space: give it the ranges of the database's "
            "VPC."
        )


def subnet_ranges(network, key):
    """The ranges of the database's subnets, CidrBlock or Ipv6CidrBlock."""
    found = []
    for subnet in network.subnets(network.database.vpc) or []:
        if subnet["SubnetId"] in network.own_subnets:
            found += [subnet[key]] if key in subnet else associated(subnet, key)
    return sorted(found, key=ipaddress.ip_network)


# --- The way to the database ---


def fill_way_to_database(network):
    """The database's security group, or its ranges where no rule can name the group."""
    settings, database = network.settings, network.database
    is_known = settings.value("DatabaseSecurityGroupId") or settings.value("DatabaseCidrs")
    if is_known or not database.vpc or network.is_let_in:
        return
    if network.is_elsewhere and not is_peered(network):
        is_ipv6 = settings.value("IpAddressType") == "ipv6"
        ranges = subnet_ranges(network, "Ipv6CidrBlock" if is_ipv6 else "CidrBlock")
        if not 0 < len(ranges) <= MOST_RANGES:
            ranges = [one for one in network.ranges(database.vpc) if (":" in one) == is_ipv6]
        ranges = ",".join(ranges[:MOST_RANGES])
        settings.put("DatabaseCidrs", ranges, "DescribeSubnets: the database's")
        settings.warn(
            f"No active peering connection of {network.vpc} and {database.vpc} was seen. If there "
            "is another way, let the load balancer's subnets in on the database's security group "
            "by hand."
        )
        return
    candidates = candidate_groups(network)
    if len(candidates) == 1:
        [(group, source)] = candidates
        settings.put("DatabaseSecurityGroupId", group, source)


def candidate_groups(network):
    """The groups of the database that come into question, each with why."""
    groups = network.database.security_groups
    key = "SecurityGroups"
    found = network.all("ec2", "DescribeSecurityGroups", key, GroupIds=groups) if groups else None
    described = {group["GroupId"]: group for group in found or []}
    port = int(network.settings.value("DatabasePort") or 0)
    chosen = [group for group in groups if len(groups) > 1 and lets_in(described.get(group), port)]
    why = f"DescribeSecurityGroups: has port {port}" if chosen else "the database's"
    chosen = chosen or groups
    for group in chosen:
        used = sum(map(rules_of, described.get(group, {}).get("IpPermissions", [])))
        if used >= RULES:
            network.settings.warn(
                f"{group} has {used} inbound rules of {RULES} (AWS's default quota): there is no "
                "room for the load balancer's. Free one, or raise the quota."
            )
    return [(group, why) for group in chosen]


def lets_in(group, port):
    return group is not None and any(
        permission["IpProtocol"] == "-1"
        or permission.get("FromPort", 0) <= port <= permission.get("ToPort", 65535)
        for permission in group.get("IpPermissions", [])
    )


def rules_of(permission):
    return sum(len(permission.get(key, [])) for key in SOURCES)


def is_peered(network):
    """Whether a rule in one VPC may name a group of the other."""
    filters = [{"Name": "status-code", "Values": ["active"]}]
    key = "VpcPeeringConnections"
    for one in network.all("ec2", "DescribeVpcPeeringConnections", key, Filters=filters) or []:
        ends = one["RequesterVpcInfo"], one["AccepterVpcInfo"]
        vpcs = {end["VpcId"] for end in ends}
        # AWS knows no such rules between Regions.
        is_near = len({end.get("Region") for end in ends}) == 1
        if is_near and vpcs == {network.vpc, network.database.vpc}:
            return True
    return False


def warn_of_load_balancers(network):
    """A quota that the account has used up."""
    most = limit(network, "network-load-balancers")
    there = network.all("elbv2", "DescribeLoadBalancers", "LoadBalancers")
    used = sum(one.get("Type") == "network" for one in there or [])
    if most is not None and used >= most:
        network.settings.warn(
            f"The account has {used} Network Load Balancers of {most}: raise the quota first."
        )


def limit(network, name):
    """A quota of the account, as Elastic Load Balancing tells it."""
    limits = network.all("elbv2", "DescribeAccountLimits", "Limits") or []
    return {one["Name"]: int(one["Max"]) for one in limits if "Max" in one}.get(name)
