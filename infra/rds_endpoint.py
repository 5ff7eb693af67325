"""What of RDS a name leads to: a cluster, its readers, a custom endpoint, an instance or a proxy.

`find` is what others call. ACTIONS is what it asks, for the list of a `ReadOnly`.
"""

import difflib
import ipaddress
import re
import socket
from dataclasses import dataclass, field
from functools import cache

import botocore.session

from read_only import Unseen

ACTIONS = {
    "ec2:DescribeSubnets",
    "rds:DescribeDBClusterEndpoints",
    "rds:DescribeDBClusters",
    "rds:DescribeDBInstances",
    "rds:DescribeDBProxies",
    "rds:DescribeDBProxyEndpoints",
    "rds:DescribeDBSubnetGroups",
}
# A proxy does not say its port: it listens where its engine does.
PROXY_PORTS = {"MYSQL": 3306, "POSTGRESQL": 5432, "SQLSERVER": 1433}
PROXY_ENGINES = {"MYSQL": "mysql", "POSTGRESQL": "postgres", "SQLSERVER": "sqlserver"}
# The RDS API lists them as well, but gives them other names and other events.
FOREIGN = ("docdb", "neptune")


@dataclass
class Database:
    """A name, and what RDS knows of the database behind it; None is what is not known."""

    name: str
    # As the function has them: cluster, readers, custom, instance, proxy; or, if RDS has none of
    # that name, hostname and address.
    kind: str
    region: str
    # The endpoint that RDS gave, if the name is another one that leads to it.
    endpoint: str | None = None
    # Of the cluster, the instance or the proxy.
    identifier: str | None = None
    arn: str | None = None
    status: str | None = None
    engine: str | None = None
    port: int | None = None
    vpc: str | None = None
    # Subnets by the name of their zone: where the database may move to.
    subnets: dict | None = None
    security_groups: list = field(default_factory=list)
    # IPV4 or DUAL.
    network: str | None = None
    is_public: bool | None = None
    is_multi_az: bool | None = None
    # Of a cluster, or of the one that an instance is a part of.
    cluster: str | None = None
    writer_endpoint: str | None = None
    reader_endpoint: str | None = None
    # Instances, the writer first.
    members: list = field(default_factory=list)
    # What a database user logs in to by IAM, and whether that is on.
    resource_ids: list = field(default_factory=list)
    iam_login: bool | None = None
    tags: dict = field(default_factory=dict)
    # Endpoints of RDS that are nearly called so, if none is.
    close: list = field(default_factory=list)
    # What RDS did not answer, so that None may be more than "there is none".
    unseen: list = field(default_factory=list)

    @property
    def is_of_rds(self):
        return self.endpoint is not None

    @property
    def is_alias(self):
        return self.is_of_rds and self.endpoint != self.name

    @property
    def is_member(self):
        """One instance of a cluster, whose failover leads away from it."""
        return self.kind == "instance" and self.cluster is not None

    @property
    def is_green(self):
        """The new side of a blue/green deployment, whose name ends with the switchover."""
        return bool(re.search(r"-green-[a-z0-9]{6}$", self.identifier or ""))


def aliases(name):
    """The names that a name stands for, one after another, as far as the resolver tells them."""
    try:
        canonical, passed, _ = socket.gethostbyname_ex(name)
    except OSError:
        return []
    return [plain(one) for one in [*passed, canonical]]


def find(aws, name, resolve=aliases):
    """The database that a name leads to, as the RDS API of the name's own Region has it."""
    name = plain(name)
    if is_address(name):
        return Database(name, "address", aws.region)
    region, lists, unseen = aws.region, {}, []
    for one in steps(name, resolve):
        region = region_of(one) or region
        there = aws.in_region(region)
        if filling := look_up(there, one, lists, unseen):
            database = Database(name, "hostname", region, endpoint=one, unseen=unseen)
            filling(there, database)
            # A global endpoint leads to another cluster one day, and no event of RDS is of docdb.
            if is_global(name) or (database.engine or "").startswith(FOREIGN):
                database.kind = "hostname"
            return database
        # What follows such a name is where the endpoint leads now, and not which one it is.
        if region_of(one):
            break
    known = [endpoint for listed in lists.values() for endpoint in listed]
    close = difflib.get_close_matches(name, known, n=3, cutoff=0.8)
    return Database(name, "hostname", region_of(name) or aws.region, close=close, unseen=unseen)


def steps(name, resolve):
    yield name
    yield from (one for one in resolve(name) if one != name)


def is_global(name):
    return any(label.startswith("global-") for label in name.split("."))


def region_of(name):
    """The Region in a name that RDS gave: REGION.rds.SUFFIX; in China and GovCloud the reverse."""
    for suffix in suffixes():
        if name.endswith("." + suffix):
            *rest, one, other = ["", "", *name.removesuffix("." + suffix).split(".")]
            for region, service in ((one, other), (other, one)):
                if service in ("rds", "rds-fips") and any(rest) and "-" in region:
                    return region
    return None


@cache
def suffixes():
    """What names of AWS end in, in every partition that the SDK knows."""
    partitions = botocore.session.get_session().get_data("partitions")["partitions"]
    return sorted({partition["outputs"]["dnsSuffix"] for partition in partitions})


def pasted(text):
    """What stands around a name that was pasted, and what to give instead; or None."""
    host, colon, port = text.strip().rpartition(":")
    if "/" in text:
        return "is a URL: give the host name alone"
    if colon and port.isdigit() and ":" not in host:
        return f"carries a port: give {host}"
    return None


def plain(name):
    return name.strip().rstrip(".").lower()


def is_address(name):
    try:
        return bool(ipaddress.ip_address(name))
    except ValueError:
        return False


# --- Whose the name is ---


def look_up(aws, name, lists, unseen):
    """What fills in the database with this endpoint, or None; `lists` keeps what was asked."""
    for endpoints in LISTS:
        key = (aws.region, endpoints)
        if key not in lists:
            try:
                lists[key] = {
                    plain(endpoint): filling for endpoint, filling in endpoints(aws) if endpoint
                }
            except Unseen as error:
                lists[key] = {}
                if error.action not in {one.action for one in unseen}:
                    unseen.append(error)
        if name in lists[key]:
            return lists[key][name]
    return None


def of_clusters(aws):
    for cluster in aws.all("rds", "DescribeDBClusters", "DBClusters"):
        yield cluster.get("Endpoint"), cluster_filling(cluster, "cluster")
        yield cluster.get("ReaderEndpoint"), cluster_filling(cluster, "readers")
        for endpoint in cluster.get("CustomEndpoints", []):
            yield endpoint, cluster_filling(cluster, "custom")


def of_instances(aws):
    for instance in aws.all("rds", "DescribeDBInstances", "DBInstances"):
        # Of SQL Server's availability groups the listener is the second.
        for endpoint in ("Endpoint", "ListenerEndpoint"):
            yield instance.get(endpoint, {}).get("Address"), instance_filling(instance)


def of_custom_endpoints(aws):
    """For who may not see clusters, or if a cluster does not list them itself."""
    for endpoint in aws.all("rds", "DescribeDBClusterEndpoints", "DBClusterEndpoints"):
        if endpoint.get("EndpointType") == "CUSTOM":
            yield endpoint.get("Endpoint"), custom_filling(endpoint["DBClusterIdentifier"])


def of_proxies(aws):
    for proxy in aws.all("rds", "DescribeDBProxies", "DBProxies"):
        yield proxy.get("Endpoint"), proxy_filling(proxy, proxy)


def of_proxy_endpoints(aws):
    proxies = {
        proxy["DBProxyName"]: proxy for proxy in aws.all("rds", "DescribeDBProxies", "DBProxies")
    }
    for endpoint in aws.all("rds", "DescribeDBProxyEndpoints", "DBProxyEndpoints"):
        yield (
            endpoint.get("Endpoint"),
            proxy_filling(proxies.get(endpoint["DBProxyName"], {}), endpoint),
        )


LISTS = (of_clusters, of_instances, of_custom_endpoints, of_proxies, of_proxy_endpoints)


# --- What is known of it ---


def cluster_filling(cluster, kind):
    def fill(aws, database):
        database.kind = kind
        database.identifier = database.cluster = cluster["DBClusterIdentifier"]
        database.arn = cluster.get("DBClusterArn")
        database.status = cluster.get("Status")
        database.engine = cluster.get("Engine")
        database.port = cluster.get("Port")
        database.network = cluster.get("NetworkType")
        database.is_multi_az = cluster.get("MultiAZ")
        database.writer_endpoint = cluster.get("Endpoint")
        database.reader_endpoint = cluster.get("ReaderEndpoint")
        database.security_groups = groups_of(cluster)
        database.iam_login = cluster.get("IAMDatabaseAuthenticationEnabled")
        database.tags = tags_of(cluster)
        database.resource_ids = list(filter(None, [cluster.get("DbClusterResourceId")]))
        members = sorted(
            cluster.get("DBClusterMembers", []),
            key=lambda member: not member.get("IsClusterWriter"),
        )
        database.members = [member["DBInstanceIdentifier"] for member in members]
        fill_from_members(aws, database, cluster)
        fill_subnet_group(aws, database, cluster.get("DBSubnetGroup"))

    return fill


def custom_filling(identifier):
    def fill(aws, database):
        database.kind, database.identifier, database.cluster = "custom", identifier, identifier
        for cluster in cluster_of(aws, database):
            cluster_filling(cluster, "custom")(aws, database)

    return fill


def cluster_of(aws, database):
    return seen(
        database,
        lambda: aws.all(
            "rds", "DescribeDBClusters", "DBClusters", DBClusterIdentifier=database.cluster
        ),
        [],
    )


def fill_from_members(aws, database, cluster):
    """What RDS says of the instances of a cluster alone."""
    instances = seen(
        database,
        lambda: aws.all(
            "rds",
            "DescribeDBInstances",
            "DBInstances",
            Filters=[{"Name": "db-cluster-id", "Values": [cluster["DBClusterIdentifier"]]}],
        ),
    )
    if instances is None:
        database.is_public = cluster.get("PubliclyAccessible")
        return
    database.is_public = any(one.get("PubliclyAccessible") for one in [cluster, *instances])
    # Into an instance of Aurora nobody logs in by the ID of its own.
    if not (database.engine or "").startswith("aurora"):
        database.resource_ids += [
            one["DbiResourceId"] for one in instances if one.get("DbiResourceId")
        ]


def instance_filling(instance):
    def fill(aws, database):
        database.kind = "instance"
        database.identifier = instance["DBInstanceIdentifier"]
        database.arn = instance.get("DBInstanceArn")
        database.status = instance.get("DBInstanceStatus")
        database.engine = instance.get("Engine")
        database.port = instance.get("Endpoint", {}).get("Port")
        database.network = instance.get("NetworkType")
        database.is_public = instance.get("PubliclyAccessible")
        database.is_multi_az = instance.get("MultiAZ")
        database.cluster = instance.get("DBClusterIdentifier") or None
        database.security_groups = groups_of(instance)
        database.iam_login = instance.get("IAMDatabaseAuthenticationEnabled")
        database.tags = tags_of(instance)
        database.resource_ids = list(filter(None, [instance.get("DbiResourceId")]))
        fill_subnets(database, instance.get("DBSubnetGroup"))
        for cluster in cluster_of(aws, database) if database.cluster else []:
            database.writer_endpoint = cluster.get("Endpoint")
            database.reader_endpoint = cluster.get("ReaderEndpoint")

    return fill


def proxy_filling(proxy, endpoint):
    """Of a proxy, or of a further endpoint of one, with a network of its own."""

    def fill(aws, database):
        database.kind = "proxy"
        database.identifier = endpoint["DBProxyName"]
        database.arn = endpoint.get("DBProxyEndpointArn") or endpoint.get("DBProxyArn")
        database.status = endpoint.get("Status")
        family = proxy.get("EngineFamily")
        database.engine, database.port = PROXY_ENGINES.get(family), PROXY_PORTS.get(family)
        database.network = (endpoint.get("EndpointNetworkType") or "IPV4").upper()
        database.vpc = endpoint.get("VpcId")
        database.security_groups = endpoint.get("VpcSecurityGroupIds", [])
        # A proxy is never public, and has addresses in all of its subnets.
        database.is_public, database.is_multi_az = False, True
        # Without an ID the answer would be all subnets.
        ids = endpoint.get("VpcSubnetIds")
        if ids and (
            subnets := seen(
                database, lambda: aws.all("ec2", "DescribeSubnets", "Subnets", SubnetIds=ids)
            )
        ):
            database.subnets = by_zone(
                (one["AvailabilityZone"], one["SubnetId"]) for one in subnets
            )

    return fill


def fill_subnet_group(aws, database, name):
    """A cluster has nothing of its subnet group but the name."""
    for group in (
        seen(
            database,
            lambda: aws.all(
                "rds", "DescribeDBSubnetGroups", "DBSubnetGroups", DBSubnetGroupName=name
            ),
            [],
        )
        if name
        else []
    ):
        fill_subnets(database, group)


def fill_subnets(database, group):
    if group:
        database.vpc = group.get("VpcId")
        database.subnets = by_zone(
            (subnet["SubnetAvailabilityZone"]["Name"], subnet["SubnetIdentifier"])
            for subnet in group["Subnets"]
        )


def by_zone(pairs):
    subnets = {}
    for zone, subnet in sorted(pairs):
        subnets.setdefault(zone, []).append(subnet)
    return subnets


def groups_of(description):
    return [one["VpcSecurityGroupId"] for one in description.get("VpcSecurityGroups", [])]


def tags_of(description):
    return {tag["Key"]: tag.get("Value", "") for tag in description.get("TagList", [])}


def seen(database, ask, otherwise=None):
    """What AWS answers, or else the note that it did not."""
    try:
        return ask()
    except Unseen as error:
        database.unseen.append(error)
        return otherwise
