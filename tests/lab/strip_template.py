"""Takes out of a built template what the local CloudFormation refuses, and prints what that was.

usage: strip_template.py BUILT STRIPPED

Exactly the resources of the refused types go, and with them the outputs and DependsOn entries that name them. Anything
else that names one of them would change meaning without it, so that is an error and not something to paper over. One
parameter loses its pattern, which the local ARNs do not fit, and an alarm on an expression looks at the first metric of
it, since expressions are refused. Prints one JSON array of {"id", "type"}.
"""

import json
import re
import sys

from samcli.yamlhelper import yaml_dump, yaml_parse

REFUSED = {
    "AWS::CloudWatch::CompositeAlarm",
    "AWS::EC2::SecurityGroupEgress",
    "AWS::EC2::SecurityGroupIngress",
    "AWS::EC2::VPCEndpointConnectionNotification",
    "AWS::EC2::VPCEndpointService",
    "AWS::EC2::VPCEndpointServicePermissions",
    "AWS::EC2::VPCPeeringConnection",
    "AWS::RDS::EventSubscription",
    "AWS::SNS::TopicInlinePolicy",
    "AWS::SQS::QueueInlinePolicy",
}

# Load balancers of every type have the ARN of an application load balancer here, with an id that is not hexadecimal.
UNLIKE_AWS = "LoadBalancerArn"


def main(built, stripped):
    with open(built, encoding="utf-8") as file:
        template = yaml_parse(file.read())
    resources = template["Resources"]
    left_out = {name: body["Type"] for name, body in resources.items() if body["Type"] in REFUSED}

    for name in left_out:
        del resources[name]
    for name, body in resources.items():
        depends_on = body.pop("DependsOn", [])
        depends_on = [depends_on] if isinstance(depends_on, str) else depends_on
        if kept := [other for other in depends_on if other not in left_out]:
            body["DependsOn"] = kept
        if named := references(body) & left_out.keys():
            sys.exit(f"{name} needs {', '.join(sorted(named))}, which the local CloudFormation refuses")
    outputs = template.get("Outputs", {})
    for name in [name for name, body in outputs.items() if references(body) & left_out.keys()]:
        del outputs[name]
    for body in resources.values():
        if body["Type"] == "AWS::CloudWatch::Alarm" and "Metrics" in body["Properties"]:
            without_expression(body["Properties"])
    template.get("Parameters", {}).get(UNLIKE_AWS, {}).pop("AllowedPattern", None)

    with open(stripped, "w", encoding="utf-8") as file:
        file.write(yaml_dump(template))
    print(json.dumps([{"id": name, "type": type_} for name, type_ in left_out.items()]))


def without_expression(alarm):
    first = next(metric["MetricStat"] for metric in alarm.pop("Metrics") if "MetricStat" in metric)
    alarm.update(first["Metric"], Period=first["Period"], Statistic=first["Stat"])


def references(node):
    """The names that a part of a template refers to, parameters and pseudo parameters included."""
    if isinstance(node, list):
        return set().union(*map(references, node))
    if not isinstance(node, dict):
        return set()
    found = set().union(*map(references, node.values()))
    if isinstance(name := node.get("Ref"), str):
        found.add(name)
    if attribute := node.get("Fn::GetAtt"):
        found.add(attribute[0] if isinstance(attribute, list) else attribute.split(".")[0])
    if text := node.get("Fn::Sub"):
        text = text[0] if isinstance(text, list) else text
        found.update(name.split(".")[0] for name in re.findall(r"\$\{([^!}][^}]*)\}", text))
    return found


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
