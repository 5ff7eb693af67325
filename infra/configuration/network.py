"""Where the load balancer stands and what it may reach: subnets, security group, ranges, quotas."""

import ipaddress

ACTIONS = {
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeRouteTables",
    "ec2:DescribeSecurityGroups",
    "ec2:DescribeSubnets",
    "ec2:DescribeVpcEndpoints",
    "ec2:DescribeVpcPeeringConnections",
    "ec2:DescribeVpcs",
    "elasticloadbalancing:DescribeAccountLimits",
    "elasticloadbalancing:DescribeLoadBalancers",
}
# Amazon VPC quotas: rules of a group in each direction. An account may have more.
RULES = 60
MOST_RANGES = 10


class Network:
    """The VPCs of load balancer and database, each asked for once."""

    def __init__(self, aws, settings, database):
        self.aws, self.settings, self.database = aws, settings, database
        self.answers = {}
        # By the rule of another stack.
        self.is_let_in = False

    def of_vpc(self, vpc, operation, key):
        """All of a kind in a VPC; None if that may not be seen."""
        if (vpc, operation) not in self.answers:
            filters = [{"Name": "vpc-id", "Values": [vpc]}]
            self.answers[vpc, operation] = self.settings.look(
                lambda: self.aws.all("ec2", operation, key, Filters=filters))
        return self.answers[vpc, operation]

    def subnets(self, vpc):
        return self.of_vpc(vpc, "DescribeSubnets", "Subnets") if vpc else None

    def tables(self, vpc):
        return self.of_vpc(vpc, "DescribeRouteTables", "RouteTables") if vpc else None

    def ranges(self, vpc):
        """The ranges of a VPC, IPv6 only if the database has it."""
        vpcs = self.of_vpc(vpc, "DescribeVpcs", "Vpcs") if vpc else None
        found = []
        for one in vpcs or []:
            found += [part["CidrBlock"] for part in one.get("CidrBlockAssociationSet", [])
                      if part["CidrBlockState"]["State"] == "associated"]
            if self.database.network == "DUAL":
                found += [part["Ipv6CidrBlock"] for part in one.get("Ipv6CidrBlockAssociationSet", [])
                          if part["Ipv6CidrBlockState"]["State"] == "associated"]
        return found

    @property
    def vpc(self):
        return self.settings.value("VpcId")

    @property
    def is_elsewhere(self):
        return self.database.vpc is not None and self.vpc != self.database.vpc


def fill_vpc(network):
    """The VPC of the database, which is the load balancer's if nobody says another one."""
    database, settings = network.database, network.settings
    if database.kind == "address":
        interfaces = settings.look(lambda: network.aws.all(
            "ec2", "DescribeNetworkInterfaces", "NetworkInterfaces",
            Filters=[{"Name": "addresses.private-ip-address", "Values": [database.name]}])) or []
        if len(interfaces) == 1:
            [interface] = interfaces
            database.vpc = interface["VpcId"]
            database.security_groups = [group["GroupId"] for group in interface.get("Groups", [])]
    source = "the address's network interface" if database.kind == "address" else "the database's"
    settings.put("VpcId", database.vpc, source)


def fill(network, kept=()):
    """What follows from the VPC; `kept` are subnets that a load balancer has already."""
    fill_subnets(network, kept)
    fill_family(network)
    fill_targets(network)
    fill_way_to_database(network)
    warn_of_quotas(network)


# --- Subnets ---


def fill_subnets(network, kept=()):
    settings, database = network.settings, network.database
    subnets = network.subnets(network.vpc)
    if settings.has("SubnetIds") or not subnets:
        return
    zones = sorted(database.subnets or {subnet["AvailabilityZone"] for subnet in subnets})
    own = {subnet for ids in (database.subnets or {}).values() for subnet in ids}
    chosen = {}
    for zone in zones:
        there = [subnet for subnet in subnets if subnet["AvailabilityZone"] == zone]
        best = best_subnet(there, network.tables(network.vpc), kept, own)
        if best:
            chosen[zone] = best["SubnetId"]
        else:
            settings.warn(f"Zone {zone} has no subnet with free addresses in {network.vpc}: a database that fails "
                          f"over to it is not reached{full(there)}.")
    for subnet in sorted(subnets, key=lambda one: one["AvailabilityZone"]):
        # A load balancer wants two zones, also if the database is in one.
        if len(chosen) == 1 and subnet["AvailabilityZone"] not in [*zones, *chosen]:
            if best_subnet([subnet], network.tables(network.vpc), kept, own):
                chosen[subnet["AvailabilityZone"]] = subnet["SubnetId"]
    if len(chosen) > 1:
        ids = ",".join(chosen[zone] for zone in sorted(chosen))
        settings.put("SubnetIds", ids, "DescribeSubnets: one per zone")
    else:
        settings.warn(f"{network.vpc} has no two zones with free addresses: a load balancer wants subnets in two.")


def best_subnet(there, tables, kept, own):
    """The private one with most free addresses, if possible beside the database."""
    usable = [one for one in there if one["SubnetId"] in kept or one["AvailableIpAddressCount"] and not one.get("Ipv6Native")]
    return min(usable, default=None, key=lambda one: (
        one["SubnetId"] not in kept, is_public(one, tables), one["SubnetId"] not in own,
        -one["AvailableIpAddressCount"], one["SubnetId"]))


def full(there):
    return f" ({', '.join(sorted(one['SubnetId'] for one in there))} is full)" if there else ""


def routes_of(subnet, tables):
    """The routes of a subnet's own table, or else of the VPC's main one."""
    of_its_own = [table for table in tables or []
                  if any(one.get("SubnetId") == subnet["SubnetId"] for one in table["Associations"])]
    main = [table for table in tables or [] if any(one.get("Main") for one in table["Associations"])]
    return [route for table in (of_its_own or main)[:1] for route in table["Routes"]]


def is_public(subnet, tables):
    return any(route.get("GatewayId", "").startswith("igw-") for route in routes_of(subnet, tables))


# --- Families and ranges ---


def fill_family(network):
    settings, database = network.settings, network.database
    if settings.has("IpAddressType") or database.network is None:
        return
    chosen = (settings.value("SubnetIds") or "").split(",")
    without = sorted(one["SubnetId"] for one in network.subnets(network.vpc) or []
                     if one["SubnetId"] in chosen and not one.get("Ipv6CidrBlockAssociationSet"))
    if database.network != "DUAL":
        settings.put("IpAddressType", "ipv4", f"the database's network type, {database.network}")
    elif without:
        settings.put("IpAddressType", "ipv4", f"network type DUAL, but {without[0]} has no IPv6")
    else:
        settings.put("IpAddressType", "dualstack", "the database's network type, DUAL")


def fill_targets(network):
    """Where targets may be: all of the database's VPC, since a subnet may be added to its group later."""
    settings, database = network.settings, network.database
    settings.put("AllowedCidrs", ",".join(network.ranges(database.vpc)), "DescribeVpcs: the database's VPC")
    if not settings.has("AllowedCidrs"):
        settings.warn("AllowedCidrs stays all private address space: give it the ranges of the database's VPC.")


def fill_strict_targets(network):
    """Only the subnets that the database has now."""
    ranges = subnet_ranges(network, with_ipv6=network.database.network == "DUAL")
    network.settings.put("AllowedCidrs", ",".join(ranges), "DescribeSubnets: the subnet group")
    if ranges:
        network.settings.warn("With --strict the addresses of a subnet that is added to the DB subnet group later are "
                              "refused at a failover. Then add its range to AllowedCidrs.")


def subnet_ranges(network, with_ipv6=False, only_ipv6=False):
    """The ranges of the database's subnets."""
    database = network.database
    own = {subnet for ids in (database.subnets or {}).values() for subnet in ids}
    found = []
    for subnet in network.subnets(database.vpc) or []:
        if subnet["SubnetId"] in own:
            found += [] if only_ipv6 else [subnet["CidrBlock"]]
            if with_ipv6 or only_ipv6:
                found += [part["Ipv6CidrBlock"] for part in subnet.get("Ipv6CidrBlockAssociationSet", [])
                          if part["Ipv6CidrBlockState"]["State"] == "associated"]
    return sorted(found, key=lambda one: (":" in one, ipaddress.ip_network(one)))


# --- The way to the database ---


def fill_way_to_database(network):
    """The database's security group, or the ranges of its subnets where no rule can name the group."""
    settings, database = network.settings, network.database
    if settings.value("DatabaseSecurityGroupId") or settings.value("DatabaseCidrs") or not database.vpc:
        return
    if network.is_elsewhere and not is_peered(network):
        is_ipv6 = settings.value("IpAddressType") == "ipv6"
        ranges = subnet_ranges(network, only_ipv6=is_ipv6)
        if not 0 < len(ranges) <= MOST_RANGES:
            ranges = [one for one in network.ranges(database.vpc) if (":" in one) == is_ipv6]
        settings.put("DatabaseCidrs", ",".join(ranges[:MOST_RANGES]), "DescribeSubnets: the subnet group")
        settings.warn(f"No active peering connection of {network.vpc} and {database.vpc} was seen. If there is another "
                      "way, let the load balancer's subnets in on the database's security group by hand.")
        return
    candidates = choose_group(network)
    if len(candidates) == 1:
        settings.put("DatabaseSecurityGroupId", candidates[0][0], candidates[0][1])


def choose_group(network):
    """The groups of the database that come into question, each with why."""
    groups = network.database.security_groups
    described = network.settings.look(lambda: network.aws.all(
        "ec2", "DescribeSecurityGroups", "SecurityGroups", GroupIds=groups)) if groups else []
    if len(groups) > 1 and described:
        port = int(network.settings.value("DatabasePort") or 0)
        open_ones = [one for one in groups if any(lets_in(group, port) for group in described if group["GroupId"] == one)]
        chosen = [(one, f"DescribeSecurityGroups: has port {port}") for one in open_ones]
    else:
        chosen = [(one, "the database's") for one in groups]
    for group in described or []:
        used = sum(map(rules_of, group.get("IpPermissions", [])))
        if group["GroupId"] in [one for one, _ in chosen] and used >= RULES:
            network.settings.warn(f"{group['GroupId']} has {used} inbound rules of {RULES} (AWS's default quota): there "
                                  "is no room for the load balancer's. Free one, or raise the quota.")
    return chosen or [(one, "the database's") for one in groups]


def lets_in(group, port):
    return any(
        permission["IpProtocol"] == "-1" or permission.get("FromPort", 0) <= port <= permission.get("ToPort", 65535)
        for permission in group.get("IpPermissions", []))


def rules_of(permission):
    return sum(len(permission.get(key, [])) for key in ("IpRanges", "Ipv6Ranges", "PrefixListIds", "UserIdGroupPairs"))


def is_peered(network):
    """Whether a rule in one VPC may name a group of the other."""
    sides = {network.vpc, network.database.vpc}
    found = network.settings.look(lambda: network.aws.all(
        "ec2", "DescribeVpcPeeringConnections", "VpcPeeringConnections",
        Filters=[{"Name": "status-code", "Values": ["active"]}])) or []
    return any(
        {one["RequesterVpcInfo"]["VpcId"], one["AccepterVpcInfo"]["VpcId"]} == sides
        and one["RequesterVpcInfo"].get("Region") == one["AccepterVpcInfo"].get("Region")
        for one in found)


def warn_of_quotas(network):
    settings = network.settings
    limits = settings.look(lambda: network.aws.all("elbv2", "DescribeAccountLimits", "Limits")) or []
    most = {one["Name"]: int(one["Max"]) for one in limits}.get("network-load-balancers")
    there = settings.look(lambda: network.aws.all("elbv2", "DescribeLoadBalancers", "LoadBalancers"))
    used = sum(one.get("Type") == "network" for one in there or [])
    if most is not None and used >= most:
        settings.warn(f"The account has {used} Network Load Balancers of {most}: raise the quota before you deploy.")
