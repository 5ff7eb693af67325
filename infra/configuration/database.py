"""What the endpoint's name tells: kind, identifier, engine, port, and what will matter later."""

import re

ENGINES = ["postgres", "mysql", "mariadb", "sqlserver", "oracle"]
PORTS = {
    "postgres": "5432",
    "mysql": "3306",
    "mariadb": "3306",
    "sqlserver": "1433",
    "oracle": "1521",
}
# Which answer of RDS a kind is read from, and what it is there.
ANSWERS = {
    "cluster": ("DescribeDBClusters", "Endpoint"),
    "readers": ("DescribeDBClusters", "ReaderEndpoint"),
    "custom": ("DescribeDBClusters", "CustomEndpoints"),
    "instance": ("DescribeDBInstances", "Endpoint"),
    "proxy": ("DescribeDBProxies", "Endpoint"),
}
# Below it the draining state is over before DNS is steady.
LEAST_DELAY = 120
IDENTIFIED = ("cluster", "readers", "instance")
PARTS = [
    ("cluster-ro-", "readers"),
    ("cluster-custom-", "custom"),
    ("cluster-", "cluster"),
    ("proxy-", "proxy"),
]


def fill(settings, database):
    """Puts in what RDS says of the database."""
    settings.unseen |= {error.action: error.reason for error in database.unseen}
    call, what = ANSWERS.get(database.kind, ("DescribeDBClusters", "Endpoint"))
    if database.kind == "address":
        settings.put("DatabaseKind", "address", "the address that you gave")
    elif not database.is_of_rds:
        if not database.unseen:
            settings.put("DatabaseKind", "hostname", "RDS has none of that name")
    else:
        settings.put("DatabaseKind", database.kind, f"{call}: {what}")
        if database.kind in IDENTIFIED:
            settings.put("DatabaseIdentifier", database.identifier, call)
        if database.engine:
            settings.put("DatabaseEngine", engine(database.engine), f"{call}: {database.engine}")
        settings.put("DatabasePort", database.port, f"{call}: Port")


def warn(settings, database):
    for warning in warnings(settings, database):
        settings.warn(warning)


def engine(name):
    """The template's name of an engine of RDS."""
    return next((one for one in ENGINES if one.removesuffix("ql") in name), "other")


def guessed_kind(name):
    """What the name looks like, where RDS may not be asked."""
    if ".rds." not in name:
        return "hostname"
    _, _, rest = name.partition(".")
    return next((kind for part, kind in PARTS if rest.startswith(part)), "instance")


def warnings(settings, database):
    if database.is_public and not settings.value("FunctionSubnetIds"):
        yield (
            "The database is publicly accessible: outside its VPC its name has public addresses, "
            "which are refused. Switch that off, or give FunctionSubnetIds."
        )
    if database.is_member:
        yield (
            f"{database.identifier} is one instance of the cluster {database.cluster}: after a "
            f"failover it no longer takes writes. The writer is {database.writer_endpoint}."
        )
    if database.is_green:
        yield (
            f"{database.identifier} is the green side of a blue/green deployment: this name ends "
            "with the switchover. Give the blue name, which stays."
        )
    if database.kind == "readers":
        yield f"This is the reader endpoint. Writes need {database.writer_endpoint}."
    if database.kind == "hostname" and database.is_of_rds:
        yield (
            f"{database.name} leads to {database.endpoint} today, but is followed as a name of "
            "your own."
        )
    elif database.is_alias:
        yield (
            f"{database.name} leads to {database.endpoint}. If it is a name of a private zone, "
            "give FunctionSubnetIds, or RDS's name in its place."
        )
    if database.kind == "instance" and database.is_multi_az is False and not database.is_member:
        yield f"{database.identifier} is not Multi-AZ: there is no standby to fail over to."
    delay = int(settings.value("DeregistrationDelaySeconds") or LEAST_DELAY)
    # Of a group that exists the preflight tells.
    if delay < LEAST_DELAY and not settings.value("TargetGroupArn"):
        yield (
            f"DeregistrationDelaySeconds={delay} is below {LEAST_DELAY}: DNS answers that flap can "
            "mislead the function."
        )
    if settings.value("DatabaseEngine") in ("mysql", "mariadb"):
        yield (
            "MySQL and MariaDB block a load balancer after too many health checks: read "
            "infra/mysql.md."
        )


def stack_name(database):
    """A name for the stack of a database on a link."""
    label = database.identifier or database.name.partition(".")[0]
    return re.sub(r"[^a-z0-9-]", "-", label).strip("-")[:64]
