"""What the role probe needs: where its user may log in, and subnets with a way to the APIs."""

from configuration import path
from configuration.database import ANSWERS
from configuration.network import best_subnet, is_public, routes_of

ACTIONS = {
    "ec2:DescribeRouteTables",
    "ec2:DescribeSecurityGroups",
    "ec2:DescribeSubnets",
    "ec2:DescribeVpcEndpoints",
}
ENGINES = ("postgres", "mysql", "mariadb")
KINDS = ("cluster", "instance", "hostname")
# What the function calls, from wherever it is.
APIS = ("elasticloadbalancing", "rds")
# Where else a route can lead that leads everywhere: a NAT gateway, a transit gateway, a firewall.
WAYS = ("NatGatewayId", "TransitGatewayId", "NetworkInterfaceId")
# As the templates have it.
MOST_RESOURCE_IDS = 4


def is_asked_for(settings):
    return bool(settings.value("ProbeUser") or settings.value("ProbeSecretArn"))


def fill(network):
    settings = network.settings
    if not is_asked_for(settings):
        hint(settings, network.database)
        return
    if settings.value("ProbeUser"):
        fill_login(settings, network.database)
    fill_subnets(network)
    if not path.is_asked_for(settings):
        settings.hints.append(
            "Path probe: --path-probe asks through the load balancer as well (infra/README.md)."
        )


def hint(settings, database):
    """That it is there, for who does not use it and could."""
    could = database.is_of_rds and database.kind in KINDS
    if could and settings.value("DatabaseEngine") in ENGINES:
        login = {True: "is on", False: "is off", None: "is not known"}[database.iam_login]
        settings.hints.append(
            f"Role probe: IAM login {login}; --set ProbeUser=NAME adds it (functions/README.md)."
        )


def fill_login(settings, database):
    call, _ = ANSWERS.get(database.kind, ("", ""))
    ids = ",".join(database.resource_ids[:MOST_RESOURCE_IDS])
    settings.put("DatabaseResourceIds", ids, f"{call}: resource IDs")
    if database.iam_login is False:
        what = "cluster" if database.kind == "cluster" else "instance"
        settings.warn(
            f"IAM login is off, and ProbeUser needs it:\naws rds modify-db-{what} "
            f"--db-{what}-identifier {database.identifier} --enable-iam-database-authentication "
            "--apply-immediately"
        )


def fill_subnets(network):
    """Private subnets with a way to the APIs, one per zone."""
    settings = network.settings
    subnets, tables = network.subnets(network.vpc), network.tables(network.vpc)
    if settings.has("FunctionSubnetIds") or not subnets or tables is None:
        return
    missing = apis_without_endpoint(network)
    # A function has no public address, so that an internet gateway leads it nowhere.
    usable = [
        subnet
        for subnet in subnets
        if not is_public(subnet, tables) and (not missing or leads_out(subnet, tables))
    ]
    by_zone = {}
    for subnet in usable:
        by_zone.setdefault(subnet["AvailabilityZone"], []).append(subnet)
    best = [best_subnet(network, there) for _, there in sorted(by_zone.items())]
    ids = ",".join(subnet["SubnetId"] for subnet in best if subnet)
    source = "DescribeRouteTables: private, NAT" if missing else "DescribeVpcEndpoints: private"
    settings.put("FunctionSubnetIds", ids, source)
    if not ids:
        settings.warn(
            f"No private subnet of {network.vpc} has a way to {', '.join(missing)}: give one a NAT "
            "gateway, or deploy infra/api-endpoints.yaml."
        )


def apis_without_endpoint(network):
    apis = [*APIS, *(["secretsmanager"] if network.settings.value("ProbeSecretArn") else [])]
    endpoints = network.of_vpc(network.vpc, "DescribeVpcEndpoints", "VpcEndpoints") or []
    served = {
        one["ServiceName"].split(".")[-1] for one in endpoints if one.get("PrivateDnsEnabled")
    }
    return [api for api in apis if api not in served]


def leads_out(subnet, tables):
    """Whether everything that is not near is routed somewhere."""
    return any(
        route.get("DestinationCidrBlock") == "0.0.0.0/0" and any(route.get(way) for way in WAYS)
        for route in routes_of(subnet, tables)
    )


def suggested_group(network):
    """The VPC's own group, if it lets everything out."""
    for group in network.of_vpc(network.vpc, "DescribeSecurityGroups", "SecurityGroups") or []:
        rules = group.get("IpPermissionsEgress", [])
        is_open = any(rule["IpProtocol"] == "-1" and rule.get("IpRanges") for rule in rules)
        if group["GroupName"] == "default" and is_open:
            return group["GroupId"]
    return None
