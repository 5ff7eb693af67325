"""Where the load balancer stands: VPC, subnets, families. And what is known of a VPC at all."""

ACTIONS = {
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeRouteTables",
    "ec2:DescribeSubnets",
    "ec2:DescribeVpcs",
}
# States of a range.
GONE = ("disassociating", "disassociated", "failing", "failed")


class Network:
    """The VPCs of load balancer and database, each asked for once."""

    def __init__(self, aws, settings, database):
        self.aws, self.settings, self.database = aws, settings, database
        self.answers = {}
        # By the rule of another stack.
        self.is_let_in = False
        self.vpc_of_group = None

    def all(self, service, operation, key, **parameters):
        """What AWS answers; None, with a note, if that may not be seen."""
        return self.settings.look(lambda: self.aws.all(service, operation, key, **parameters))

    def of_vpc(self, vpc, operation, key):
        if vpc is None:
            return None
        if (vpc, operation) not in self.answers:
            filters = [{"Name": "vpc-id", "Values": [vpc]}]
            self.answers[vpc, operation] = self.all("ec2", operation, key, Filters=filters)
        return self.answers[vpc, operation]

    def subnets(self, vpc):
        return self.of_vpc(vpc, "DescribeSubnets", "Subnets")

    def tables(self, vpc):
        return self.of_vpc(vpc, "DescribeRouteTables", "RouteTables")

    def ranges(self, vpc):
        """The ranges of a VPC, IPv6 only if the database has it."""
        found = []
        for one in self.of_vpc(vpc, "DescribeVpcs", "Vpcs") or []:
            found += associated(one, "CidrBlock")
            found += associated(one, "Ipv6CidrBlock") if self.database.network == "DUAL" else []
        return found

    @property
    def vpc(self):
        """The load balancer's."""
        return self.settings.value("VpcId") or self.vpc_of_group

    @property
    def is_elsewhere(self):
        return self.database.vpc is not None and self.vpc != self.database.vpc

    @property
    def own_subnets(self):
        """Those of the database."""
        return {subnet for ids in (self.database.subnets or {}).values() for subnet in ids}


def associated(resource, key):
    """The ranges of a VPC or subnet, without those that are gone or going."""
    return [
        part[key]
        for part in resource.get(f"{key}AssociationSet", [])
        if part[f"{key}State"]["State"] not in GONE
    ]


def fill_vpc(network):
    """The VPC of the database, which is the load balancer's if nobody names another one."""
    database = network.database
    source = "the database's"
    if database.kind == "address":
        source = "the address's network interface"
        filters = [{"Name": "addresses.private-ip-address", "Values": [database.name]}]
        key = "NetworkInterfaces"
        found = network.all("ec2", "DescribeNetworkInterfaces", key, Filters=filters) or []
        # The same address can be in several VPCs.
        if len(found) == 1:
            database.vpc = found[0]["VpcId"]
            database.security_groups = [group["GroupId"] for group in found[0].get("Groups", [])]
    network.settings.put("VpcId", database.vpc, source)


# --- Subnets ---


def fill_subnets(network, kept=()):
    """One in each zone that the database can move to; a load balancer keeps those that it has."""
    settings, database = network.settings, network.database
    subnets = network.subnets(network.vpc)
    if settings.has("SubnetIds") or not subnets:
        return
    zones = set(database.subnets or {subnet["AvailabilityZone"] for subnet in subnets})
    chosen = {}
    for zone in sorted(zones):
        there = [subnet for subnet in subnets if subnet["AvailabilityZone"] == zone]
        if best := best_subnet(network, there, kept):
            chosen[zone] = best["SubnetId"]
        else:
            settings.warn(
                f"Zone {zone} has no subnet with free addresses in {network.vpc}: a database that "
                f"fails over to it is not reached{full(there)}."
            )
    # A load balancer wants two zones, also if the database is in one.
    others = [subnet for subnet in subnets if subnet["AvailabilityZone"] not in zones]
    if len(chosen) == 1 and (best := best_subnet(network, others, kept)):
        chosen[best["AvailabilityZone"]] = best["SubnetId"]
    if len(chosen) > 1:
        ids = ",".join(chosen[zone] for zone in sorted(chosen))
        settings.put("SubnetIds", ids, "DescribeSubnets: one per zone")
    else:
        settings.warn(
            f"{network.vpc} has no two zones with free addresses, and a load balancer wants two."
        )


def best_subnet(network, there, kept=()):
    """The private one with most free addresses, if possible beside the database."""
    tables, own = network.tables(network.vpc), network.own_subnets

    def rank(subnet):
        name, free = subnet["SubnetId"], subnet["AvailableIpAddressCount"]
        is_other = name not in own
        return name not in kept, is_public(subnet, tables), is_other, -free, subnet["CidrBlock"]

    def is_usable(subnet):
        is_free = subnet["AvailableIpAddressCount"] > 0 and not subnet.get("Ipv6Native")
        return is_free or subnet["SubnetId"] in kept

    return min(filter(is_usable, there), default=None, key=rank)


def full(there):
    ids = ", ".join(sorted(subnet["SubnetId"] for subnet in there))
    return f" ({ids} is full)" if ids else ""


def is_public(subnet, tables):
    routes = routes_of(subnet, tables)
    return any(route.get("GatewayId", "").startswith("igw-") for route in routes)


def routes_of(subnet, tables):
    """The routes of a subnet's own table, or else of the VPC's main one."""
    mains = []
    for table in tables or []:
        if any(one.get("SubnetId") == subnet["SubnetId"] for one in table["Associations"]):
            return table["Routes"]
        mains += [table] if any(one.get("Main") for one in table["Associations"]) else []
    return mains[0]["Routes"] if mains else []


# --- Families ---


def fill_family(network):
    settings, database = network.settings, network.database
    if settings.has("IpAddressType") or database.network is None:
        return
    chosen = (settings.value("SubnetIds") or "").split(",")
    there = network.subnets(network.vpc) or []
    without = sorted(
        subnet["SubnetId"]
        for subnet in there
        if subnet["SubnetId"] in chosen and not associated(subnet, "Ipv6CidrBlock")
    )
    if database.network != "DUAL":
        settings.put("IpAddressType", "ipv4", f"the database's network type, {database.network}")
    elif without:
        settings.put("IpAddressType", "ipv4", f"network type DUAL, but {without[0]} has no IPv6")
    else:
        settings.put("IpAddressType", "dualstack", "the database's network type, DUAL")
