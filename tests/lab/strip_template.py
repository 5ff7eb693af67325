"""Takes out of a built template what the local CloudFormation refuses, and prints what that was.

usage: strip_template.py BUILT STRIPPED

Exactly the resources of the refused types go, and with them the outputs and DependsOn entries that
name them. Anything else that names one of them would change meaning without it, so that is an error
and not something to paper over. A nested template is stripped beside its own file; if nothing of it
is left, the stack that nests it goes too. One parameter loses its pattern, which the local ARNs do
not fit, and an alarm on an expression looks at the first metric of it, since expressions are
refused. Writes JSON, which sam and the local CloudFormation read in a fraction of the time. Prints
one JSON array of {"id", "type"}.
"""

import json
import re
import sys
from pathlib import Path

import yaml
from samcli.yamlhelper import yaml_parse

# The same in C.
yaml.SafeLoader = yaml.CSafeLoader

REFUSED = {
    "AWS::CloudWatch::CompositeAlarm",
    "AWS::EC2::PrefixList",
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

NESTED = "AWS::CloudFormation::Stack"

# The local ARN of any load balancer is that of an application load balancer, with an id that is not
# hexadecimal.
UNLIKE_AWS = "LoadBalancerArn"


def strip(built, stripped):
    """Strips a template and those that it nests.

    Returns the parts that went, whether nothing is left, and the outputs that went.
    """
    template = yaml_parse(built.read_text(encoding="utf-8"))
    resources, outputs = template["Resources"], template.get("Outputs", {})
    # As references() spells it: a resource, or an output of a nested stack that stays.
    gone, left_out = set(), []
    for name, body in resources.items():
        if body["Type"] in REFUSED:
            left_out.append({"id": name, "type": body["Type"]})
            gone.add(name)
        elif body["Type"] == NESTED:
            inner = built.parent / body["Properties"]["TemplateURL"]
            local = inner.with_name(f"local-{inner.name}")
            of_inner, is_empty, lost_outputs = strip(inner, local)
            left_out += of_inner
            gone.update(f"{name}.Outputs.{output}" for output in lost_outputs)
            if is_empty:
                left_out.append({"id": name, "type": NESTED})
                gone.add(name)
            body["Properties"]["TemplateURL"] = str(local)
    for name in gone & resources.keys():
        del resources[name]

    def missing(body):
        return {name for name in references(body) if name in gone or name.split(".")[0] in gone}

    for name, body in resources.items():
        depends_on = body.pop("DependsOn", [])
        depends_on = [depends_on] if isinstance(depends_on, str) else depends_on
        if kept := [other for other in depends_on if other not in gone]:
            body["DependsOn"] = kept
        if named := missing(body):
            refused = ", ".join(sorted(named))
            sys.exit(f"{name} needs {refused}, which the local CloudFormation refuses")
    lost = [name for name, body in outputs.items() if missing(body)]
    for name in lost:
        del outputs[name]
    for body in resources.values():
        if body["Type"] == "AWS::CloudWatch::Alarm" and "Metrics" in body["Properties"]:
            without_expression(body["Properties"])
    template.get("Parameters", {}).get(UNLIKE_AWS, {}).pop("AllowedPattern", None)
    stripped.write_text(json.dumps(template, indent=2), encoding="utf-8")
    return left_out, not resources, lost


def without_expression(alarm):
    first = next(metric["MetricStat"] for metric in alarm.pop("Metrics") if "MetricStat" in metric)
    alarm.update(first["Metric"], Period=first["Period"], Statistic=first["Stat"])


def references(node):
    """What a part of a template refers to, parameters too, as NAME or NAME.ATTRIBUTE."""
    if isinstance(node, list):
        return set().union(*map(references, node))
    if not isinstance(node, dict):
        return set()
    found = set().union(*map(references, node.values()))
    if isinstance(name := node.get("Ref"), str):
        found.add(name)
    if attribute := node.get("Fn::GetAtt"):
        found.add(".".join(attribute) if isinstance(attribute, list) else attribute)
    if text := node.get("Fn::Sub"):
        text = text[0] if isinstance(text, list) else text
        found.update(re.findall(r"\$\{([^!}][^}]*)\}", text))
    return found


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    parts = strip(Path(sys.argv[1]), Path(sys.argv[2]))[0]
    # A template may be nested twice.
    print(json.dumps([part for at, part in enumerate(parts) if part not in parts[:at]]))
