"""Another database on a link that exists: what its stack tells, and a port that is free on it."""

from configuration.access import limit
from configuration.settings import NotPossible

ACTIONS = {
    "cloudformation:DescribeStacks",
    "elasticloadbalancing:DescribeListeners",
}
# Outputs of template.yaml and infra/link.yaml, parameters of the same names here.
OUTPUTS = (
    "LoadBalancerArn",
    "LoadBalancerDnsName",
    "LoadBalancerSecurityGroupId",
    "OperationsTopicArn",
)
PORTS = range(1, 65536)


def fill_from_stack(network, stack):
    settings = network.settings
    found = network.all("cloudformation", "DescribeStacks", "Stacks", StackName=stack)
    if not found:
        why = "; ".join(settings.unseen.values())
        raise NotPossible(
            f"the stack {stack} of the link was not found in {network.aws.region}: {why}"
        )
    outputs = {one["OutputKey"]: one["OutputValue"] for one in found[0].get("Outputs", [])}
    for name in OUTPUTS:
        if name not in outputs:
            raise NotPossible(
                f"the stack {stack} has no output {name}: name a stack of template.yaml or "
                "infra/link.yaml that is complete"
            )
        settings.put(name, outputs[name], f"output of {stack}")
    for one in found[0].get("Parameters", []):
        if one["ParameterKey"] in ("VpcId", "IpAddressType"):
            source = f"parameter of {stack}"
            settings.put(one["ParameterKey"], one.get("ParameterValue"), source)


def warn_of_zones(network):
    """A database may move to a zone in which the load balancer has no subnet."""
    arns = [network.settings.value("LoadBalancerArn")]
    key = "LoadBalancers"
    for found in network.all("elbv2", "DescribeLoadBalancers", key, LoadBalancerArns=arns) or []:
        there = {zone["ZoneName"] for zone in found["AvailabilityZones"]}
        for zone in sorted(set(network.database.subnets or {}) - there):
            network.settings.warn(
                f"The load balancer has no subnet in {zone}: a database that fails over to it is "
                "not reached. Add one to SubnetIds of the link's stack first."
            )


def free_port(network):
    """The next free port, if the database's is another one's; None if it can stay."""
    settings = network.settings
    arn = settings.value("LoadBalancerArn")
    listeners = network.all("elbv2", "DescribeListeners", "Listeners", LoadBalancerArn=arn) or []
    most = limit(network, "listeners-per-network-load-balancer")
    if most is not None and len(listeners) >= most:
        settings.warn(
            f"The load balancer has {len(listeners)} listeners of {most}: give this database "
            "another link."
        )
    port, taken = int(settings.value("DatabasePort")), {one["Port"] for one in listeners}
    if port not in taken:
        return None
    return str(next(free for free in [*PORTS[port:], *PORTS] if free not in taken))


def is_let_in(network):
    """Whether another database of the link has the rule already, which EC2 would refuse."""
    settings, ids = network.settings, network.database.security_groups
    if settings.has("DatabaseSecurityGroupId") or not ids:
        return False
    port, own = settings.value("DatabasePort"), settings.value("LoadBalancerSecurityGroupId")
    key = "SecurityGroups"
    for group in network.all("ec2", "DescribeSecurityGroups", key, GroupIds=ids) or []:
        for one in group.get("IpPermissions", []):
            sources = [pair.get("GroupId") for pair in one.get("UserIdGroupPairs", [])]
            if str(one.get("FromPort")) == port and own in sources:
                settings.warn(
                    f"{group['GroupId']} lets the load balancer in on {port} by another stack's "
                    "rule, so that DatabaseSecurityGroupId stays empty. Before that stack goes, "
                    "read infra/databases.md."
                )
                return True
    return False
