"""The function for a target group that exists: what the group tells, and whether it can be kept."""

import preflight
from configuration.settings import DEFAULT, NotPossible
from preflight_checks.facts import ARN, REFUSE, WARN
from preflight_checks.group import DELAY

ACTIONS = preflight.ACTIONS


def check(session, settings, database, options):
    """Runs the preflight. What it refuses cannot be configured; what it warns of is shown."""
    arn = options.target_group
    named = ARN.fullmatch(arn)
    if named and named["region"] != database.region:
        raise NotPossible(
            f"the target group is in {named['region']}, and {database.name} in {database.region}"
        )
    settings.say("TargetGroupArn", arn)
    more = {} if options.yes else {"progress": preflight.tell}
    answers = settings.saved[0] | settings.values()
    if options.path_probe or answers.get("LoadBalancerDnsName"):
        # The function's groups are not known yet, and with them its rules.
        more["path_probe"] = []
    try:
        found = preflight.checks(session, arn, database.name, **more)
    except preflight.NotLooked as error:
        raise NotPossible(str(error)) from error
    refused = [check for check in found if check.verdict == REFUSE]
    if refused:
        lines = [f"{check.name}: {check.found}" for check in refused]
        raise NotPossible("\n  ".join(["the preflight refuses the target group", *lines]))
    for one in found:
        if one.verdict == WARN:
            settings.warn(f"{one.name}: {one.found}")
    if settings.warnings:
        settings.hints.append(
            f"How to mend what it warns of:\npython infra/preflight.py {arn} {database.name}"
        )


def fill_from_group(network, arn):
    settings = network.settings
    key = "TargetGroups"
    [group] = network.all("elbv2", "DescribeTargetGroups", key, TargetGroupArns=[arn]) or [{}]
    network.vpc_of_group = group.get("VpcId")
    source = "DescribeTargetGroups"
    settings.put("TargetIpAddressType", group.get("IpAddressType", "ipv4"), source)
    # One is all that a group can have.
    settings.put("LoadBalancerArn", "".join(group.get("LoadBalancerArns", [])[:1]), source)
    key = "Attributes"
    attributes = network.all("elbv2", "DescribeTargetGroupAttributes", key, TargetGroupArn=arn)
    delay = {one["Key"]: one["Value"] for one in attributes or []}.get(DELAY)
    settings.put("DeregistrationDelaySeconds", delay, "DescribeTargetGroupAttributes")
    if settings.value("ReaderTargetGroupArn"):
        endpoint = network.database.reader_endpoint
        settings.put("ReaderEndpoint", endpoint, "DescribeDBClusters: ReaderEndpoint")
    settings.put("Mode", settings.value("Mode"), f"{DEFAULT}: it only watches at first")
