"""What the role probe needs: where its user may log in, and subnets from which the function reaches the APIs."""

from configuration.database import ANSWERS
from configuration.network import best_subnet, is_public, routes_of

ENGINES = ("postgres", "mysql", "mariadb")
KINDS = ("cluster", "instance", "hostname")
# Who follows a name in the VPC reaches them as well.
APIS = ("elasticloadbalancing", "rds")


def is_asked_for(settings):
    return bool(settings.value("ProbeUser") or settings.value("ProbeSecretArn"))


def fill(network):
    settings, database = network.settings, network.database
    if not is_asked_for(settings):
        if database.kind in KINDS and database.is_of_rds and settings.value("DatabaseEngine") in ENGINES:
            login = {True: "is on", False: "is off", None: "is not known"}[database.iam_login]
            settings.hints.append(f"Role probe: IAM login {login}; --set ProbeUser=NAME adds it (functions/README.md).")
        return
    if settings.value("ProbeUser"):
        call, _ = ANSWERS.get(database.kind, ("you", ""))
        settings.put("DatabaseResourceIds", ",".join(database.resource_ids[:4]), f"{call}: resource IDs")
        if database.iam_login is False:
            what = "cluster" if database.kind == "cluster" else "instance"
            settings.warn(f"IAM login is off, and ProbeUser needs it: aws rds modify-db-{what} --db-{what}-identifier "
                          f"{database.identifier} --enable-iam-database-authentication --apply-immediately")
    fill_subnets(network)


def fill_subnets(network):
    """Private subnets with a way to the APIs, one per zone."""
    settings = network.settings
    subnets, tables = network.subnets(network.vpc), network.tables(network.vpc)
    if settings.has("FunctionSubnetIds") or not subnets or tables is None:
        return
    apis = APIS + (("secretsmanager",) if settings.value("ProbeSecretArn") else ())
    endpoints = network.of_vpc(network.vpc, "DescribeVpcEndpoints", "VpcEndpoints") or []
    served = {api for api in apis for one in endpoints
              if one["ServiceName"].endswith(f".{api}") and one.get("PrivateDnsEnabled")}
    missing = [api for api in apis if api not in served]
    # A public address is not given to a function, so that a public subnet leads it nowhere.
    usable = [one for one in subnets if not is_public(one, tables) and (not missing or has_nat(one, tables))]
    own = {subnet for ids in (network.database.subnets or {}).values() for subnet in ids}
    zones = sorted({one["AvailabilityZone"] for one in usable})
    best = [best_subnet([one for one in usable if one["AvailabilityZone"] == zone], tables, (), own) for zone in zones]
    ids = [one["SubnetId"] for one in best if one]
    source = "DescribeRouteTables: private, NAT" if missing else "DescribeVpcEndpoints: private"
    settings.put("FunctionSubnetIds", ",".join(ids), source)
    if not ids:
        settings.warn(f"No private subnet of {network.vpc} has a way to {', '.join(missing)}: give one a NAT gateway, "
                      "or deploy infra/api-endpoints.yaml.")


def has_nat(subnet, tables):
    """Whether everything else is routed somewhere: to NAT, a transit gateway, or a firewall's interface."""
    return any(
        route.get("DestinationCidrBlock") == "0.0.0.0/0"
        and (route.get("NatGatewayId") or route.get("TransitGatewayId") or route.get("NetworkInterfaceId"))
        for route in routes_of(subnet, tables))


def suggested_group(network):
    """The VPC's own group, if it lets everything out."""
    for group in network.of_vpc(network.vpc, "DescribeSecurityGroups", "SecurityGroups") or []:
        if group["GroupName"] == "default" and any(
                one["IpProtocol"] == "-1" and one.get("IpRanges") for one in group.get("IpPermissionsEgress", [])):
            return group["GroupId"]
    return None
