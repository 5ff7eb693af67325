"""What the path probe needs: the load balancer's name and listener, and rules in and out."""

import shlex

from preflight_checks.database import opening
from preflight_checks.facts import forwarded
from preflight_checks.path import asked_through, covering, is_let_out

ACTIONS = {
    "ec2:DescribeSecurityGroupRules",
    "elasticloadbalancing:DescribeListeners",
    "elasticloadbalancing:DescribeLoadBalancers",
}
GROUP = "LoadBalancerSecurityGroupId"
# How the description of a stack's own rule begins, which its next deployment keeps.
OF_STACK = "Function of "


def is_asked_for(settings):
    """Whether the function asks through the load balancer as well, if it has a login."""
    if "PathProbe" in settings.template.parameters:
        return settings.value("PathProbe") == "true"
    return bool(settings.value("LoadBalancerDnsName"))


def fill_listener(network, arn):
    """Through which load balancer the function asks, and on which port."""
    settings, balancer = network.settings, network.settings.value("LoadBalancerArn")
    if not balancer:
        return
    for found in load_balancers(network, balancer) or []:
        settings.put("LoadBalancerDnsName", found["DNSName"], "DescribeLoadBalancers")
    key, source = "Listeners", "DescribeListeners"
    listeners = network.all("elbv2", source, key, LoadBalancerArn=balancer) or []
    if one := asked_through(one for one in listeners if arn in forwarded(one)):
        settings.put("ListenerPort", one["Port"], source)


def fill_rules(network):
    """The rule in, which the stack adds if there is none, and the rule out, which nobody adds."""
    settings = network.settings
    groups = (settings.value("FunctionSecurityGroupIds") or "").split(",")
    if not is_asked_for(settings) or not all(groups):
        return
    own, ranges = where_it_is(network)
    if not own and not ranges:
        return
    port = int(settings.value("ListenerPort") or settings.value("DatabasePort"))
    key = "SecurityGroupRules"
    filters = [{"Name": "group-id", "Values": [*own, *groups]}]
    found = network.all("ec2", "DescribeSecurityGroupRules", key, Filters=filters)
    if own:
        fill_group(settings, own[0], groups[0], port, found or [])
    if found is not None and not is_let_out(found, groups, own, ranges, port):
        words = opening("egress", groups[0], port, own[0] if own else ranges)
        settings.warn(
            f"No rule lets {groups[0]} out to the load balancer on port {port}. The path probe "
            f"needs one, and no template adds it:\n{shlex.join(['aws', *words])}"
        )


def where_it_is(network):
    """The load balancer's groups, and the ranges of its subnets."""
    settings, balancer = network.settings, network.settings.value("LoadBalancerArn")
    own, ids = [], (settings.value("SubnetIds") or "").split(",")
    for found in load_balancers(network, balancer) or [] if balancer else []:
        own = found.get("SecurityGroups", [])
        ids = [zone["SubnetId"] for zone in found.get("AvailabilityZones", [])]
    there = [one for one in network.subnets(network.vpc) or [] if one["SubnetId"] in ids]
    return own, [one["CidrBlock"] for one in there if "CidrBlock" in one]


def load_balancers(network, arn):
    key = "LoadBalancers"
    return network.all("elbv2", "DescribeLoadBalancers", key, LoadBalancerArns=[arn])


def fill_group(settings, own, function_group, port, rules):
    """The group to which the stack adds its rule, which EC2 refuses if it is there by hand."""
    by_hand = [
        rule["SecurityGroupRuleId"]
        for rule in covering(rules, False, [own], port)
        if rule.get("ReferencedGroupInfo", {}).get("GroupId") == function_group
        and rule.get("FromPort") == rule.get("ToPort") == port
        and not rule.get("Description", "").startswith(OF_STACK)
    ]
    if not by_hand:
        settings.put(GROUP, own, "DescribeLoadBalancers")
        return
    there = f"{own} lets {function_group} in on {port} by the rule {by_hand[0]}, and EC2 refuses"
    if not settings.has(GROUP):
        settings.warn(f"{there} the same of the stack: {GROUP} stays empty.")
    elif settings.value(GROUP) == own:
        settings.warn(
            f"{there} the same of the stack. Take it away first:\naws ec2 "
            f"revoke-security-group-ingress --group-id {own} --security-group-rule-ids {by_hand[0]}"
        )
