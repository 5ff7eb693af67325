"""Another database on a link that is there: what the link's stack tells, and a port that is free on it."""

from botocore.exceptions import ClientError

from configuration.network import fill_family, fill_targets, fill_way_to_database
from configuration.settings import NotPossible

ACTIONS = {
    "cloudformation:DescribeStacks",
    "elasticloadbalancing:DescribeAccountLimits",
    "elasticloadbalancing:DescribeListeners",
    "elasticloadbalancing:DescribeLoadBalancers",
}
# What a stack of template.yaml or infra/link.yaml calls an output, here a parameter of the same name.
OUTPUTS = ("LoadBalancerArn", "LoadBalancerSecurityGroupId", "OperationsTopicArn")


def fill_from_stack(aws, settings, stack):
    try:
        found = settings.look(lambda: aws.all("cloudformation", "DescribeStacks", "Stacks", StackName=stack))
    except ClientError as error:
        raise NotPossible(str(error)) from error
    if not found:
        why = "; ".join(settings.unseen.values())
        raise NotPossible(f"the stack {stack} of the link was not found in {aws.region}: {why}")
    outputs = {one["OutputKey"]: one["OutputValue"] for one in found[0].get("Outputs", [])}
    parameters = {one["ParameterKey"]: one.get("ParameterValue") for one in found[0].get("Parameters", [])}
    for name in OUTPUTS:
        if name not in outputs:
            raise NotPossible(f"the stack {stack} has no output {name}: name a stack of template.yaml or "
                              "infra/link.yaml that is complete")
        settings.put(name, outputs[name], f"output of {stack}")
    for name in ("VpcId", "IpAddressType"):
        settings.put(name, parameters.get(name), f"parameter of {stack}")


def fill(network, ask_for_port):
    """What follows from link and database."""
    settings = network.settings
    fill_family(network)
    fill_targets(network)
    warn_of_zones(network)
    taken = ports(network)
    port = settings.value("DatabasePort")
    if taken is not None and port and int(port) in taken and not settings.has("ListenerPort"):
        ask_for_port(next(free for free in range(int(port) + 1, 65536) if free not in taken))
    if is_let_in(network):
        network.is_let_in = True
        settings.say("DatabaseSecurityGroupId", "", "another stack has the rule")
    else:
        fill_way_to_database(network)


def ports(network):
    """The listeners' ports; None if they may not be seen."""
    arn = network.settings.value("LoadBalancerArn")
    listeners = network.settings.look(lambda: network.aws.all(
        "elbv2", "DescribeListeners", "Listeners", LoadBalancerArn=arn))
    limits = network.settings.look(lambda: network.aws.all("elbv2", "DescribeAccountLimits", "Limits")) or []
    most = {one["Name"]: int(one["Max"]) for one in limits}.get("listeners-per-network-load-balancer")
    if listeners is not None and most is not None and len(listeners) >= most:
        network.settings.warn(f"The load balancer has {len(listeners)} listeners of {most}: give this database another "
                              "link.")
    return None if listeners is None else {one["Port"] for one in listeners}


def warn_of_zones(network):
    """A database may move to a zone in which the load balancer has no subnet."""
    arn = network.settings.value("LoadBalancerArn")
    found = network.settings.look(lambda: network.aws.all(
        "elbv2", "DescribeLoadBalancers", "LoadBalancers", LoadBalancerArns=[arn]))
    if not found:
        return
    there = {zone["ZoneName"] for zone in found[0]["AvailabilityZones"]}
    for zone in sorted(set(network.database.subnets or {}) - there):
        network.settings.warn(f"The load balancer has no subnet in {zone}: a database that fails over to it is not "
                              "reached. Add one to SubnetIds of the link's stack first.")


def is_let_in(network):
    """Whether the load balancer is let in already, by the rule of another database of the link."""
    settings, groups = network.settings, network.database.security_groups
    if settings.has("DatabaseSecurityGroupId") or not groups:
        return False
    described = settings.look(lambda: network.aws.all(
        "ec2", "DescribeSecurityGroups", "SecurityGroups", GroupIds=groups)) or []
    port, own = settings.value("DatabasePort"), settings.value("LoadBalancerSecurityGroupId")
    for group in described:
        for one in group.get("IpPermissions", []):
            if str(one.get("FromPort")) == port and own in [pair["GroupId"] for pair in one["UserIdGroupPairs"]]:
                settings.warn(f"{group['GroupId']} lets the load balancer in on {port} by another stack's rule, so that "
                              "DatabaseSecurityGroupId stays empty. Before that stack goes, read infra/databases.md.")
                return True
    return False
