"""Performs sections of infra/peering.md at AWS_ENDPOINT_URL, and prints what is there around each.

usage: peering.py CLIENT_CIDR SECTION...
       peering.py VPC

With a VPC it prints the routes of that. Else it first makes what the guide finds: an Imply Cloud
VPC that is peered with Imply's own and routes to it, with its subnets, groups and auto scaling
groups, and a client's VPC. Of a section it runs each block of commands, and each output of the
stacks that is named as `...Command`, in the order of the text, by bash and the AWS CLI; what a host
of the client would run, with curl, is left out. It accepts the connection, as CloudFormation does
on AWS.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import boto3
from samcli.yamlhelper import yaml_parse

ROOT = Path(__file__).parents[2]
IMPLY_CIDR, MANAGER_CIDR = "10.50.0.0/21", "172.19.0.0/20"
STACKS = ["imply-accepter", "imply-peering", "imply-link", "imply-coordinator", "imply-overlord"]
# moto makes a stack of a change set, but forgets its outputs.
SHELL = f"""
curl() {{ :; }}
aws() {{
  if [ "$1 $2" = "cloudformation deploy" ]; then
    "{sys.executable}" "{__file__}" --deploy "${{@:3}}"
  else
    command aws "$@"
  fi
}}
"""
MASTERS = ["imply-c1-Master-1", "imply-c1-Master-2", "imply-c1-Master-3"]


def main(client_cidr, sections):
    ec2 = boto3.client("ec2")
    made = network(ec2, client_cidr)
    seen = [{"section": None, **snapshot(ec2, made)}]
    text = (ROOT / "infra/peering.md").read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory() as scratch:
        # What the guide's commands read.
        for file in ("Makefile", "Cargo.toml", "infra"):
            Path(scratch, file).symlink_to(ROOT / file)
        for section in sections:
            said = []
            for step in steps(text, section):
                said += performed(step, made, scratch)
            seen.append({"section": section, "said": said, **snapshot(ec2, made)})
    return seen


def network(ec2, client_cidr):
    imply, manager, client = (
        ec2.create_vpc(CidrBlock=cidr)["Vpc"]["VpcId"]
        for cidr in (IMPLY_CIDR, MANAGER_CIDR, client_cidr)
    )
    give_name(ec2, imply, "imply-111122223333-network-vpc")
    table, *client_tables = (
        ec2.create_route_table(VpcId=vpc)["RouteTable"]["RouteTableId"]
        for vpc in (imply, client, client)
    )
    subnets = [imply_subnet(ec2, imply, table, at, zone) for at, zone in enumerate("aabbcc")]
    own = ec2.create_vpc_peering_connection(VpcId=imply, PeerVpcId=manager)["VpcPeeringConnection"]
    own = own["VpcPeeringConnectionId"]
    ec2.accept_vpc_peering_connection(VpcPeeringConnectionId=own)
    ec2.create_route(
        RouteTableId=table, DestinationCidrBlock=MANAGER_CIDR, VpcPeeringConnectionId=own
    )
    default, unmanaged, client_group = (
        ec2.create_security_group(GroupName=words, Description=words, VpcId=vpc)["GroupId"]
        for vpc, words in (
            (imply, "Imply Cloud Default"),
            (imply, "Imply Cloud ELB Unmanaged"),
            (client, "launch-wizard-2"),
        )
    )
    image = ec2.describe_images()["Images"][0]["ImageId"]
    scaling_groups(image, subnets[::2])
    client_subnet = ec2.create_subnet(VpcId=client, CidrBlock=client_cidr)["Subnet"]["SubnetId"]
    started = ec2.run_instances(
        ImageId=image,
        MinCount=1,
        MaxCount=1,
        SubnetId=client_subnet,
        SecurityGroupIds=[client_group],
    )
    account = boto3.client("sts").get_caller_identity()["Account"]
    return {
        "IMPLY_VPC": imply,
        "CLIENT_VPC": client,
        "IMPLY_TABLES": table,
        "CLIENT_TABLES": ",".join(client_tables),
        "DEFAULT_GROUP": default,
        "UNMANAGED_GROUP": unmanaged,
        "CLIENT_GROUP": client_group,
        "CLIENT_INSTANCE": started["Instances"][0]["InstanceId"],
        "CLIENT_ACCOUNT": account,
        "IMPLY_ACCOUNT": account,
        "ACCEPTER_STACK": "imply-accepter",
        "OWN_CONNECTION": own,
    }


def imply_subnet(ec2, vpc, table, number, zone):
    subnet = ec2.create_subnet(
        VpcId=vpc,
        CidrBlock=f"10.50.{number}.0/24",
        AvailabilityZone=f"{ec2.meta.region_name}{zone}",
    )["Subnet"]["SubnetId"]
    give_name(ec2, subnet, f"imply-{number}")
    ec2.associate_route_table(RouteTableId=table, SubnetId=subnet)
    return subnet


def give_name(ec2, resource, name):
    ec2.create_tags(Resources=[resource], Tags=[{"Key": "Name", "Value": name}])


def scaling_groups(image, subnets):
    scaling = boto3.client("autoscaling")
    scaling.create_launch_configuration(
        LaunchConfigurationName="nodes", ImageId=image, InstanceType="m5.large"
    )
    for name, count in [("imply-c1-Query-1", 2), *((master, 1) for master in MASTERS)]:
        scaling.create_auto_scaling_group(
            AutoScalingGroupName=name,
            LaunchConfigurationName="nodes",
            MinSize=count,
            MaxSize=count,
            VPCZoneIdentifier=",".join(subnets),
            Tags=[{"Key": "Name", "Value": name, "PropagateAtLaunch": True}],
        )


def steps(text, section):
    """The blocks and the outputs of a section, as (what it is, its text)."""
    parts = re.split(r"^## ", text, flags=re.MULTILINE)
    [part] = [part for part in parts if part.startswith(section + "\n")]
    step = re.compile(r"```sh\n(.*?)^\s*```|`(\w+Command)`", re.DOTALL | re.MULTILINE)
    for block, output in step.findall(part):
        yield ("block", block) if block else ("output", output)


def performed(step, made, scratch):
    kind, text = step
    if kind == "block":
        return [run(text, made, scratch)]
    outputs = {stack: outputs_of(stack) for stack in STACKS}
    commands = {stack: told[text] for stack, told in outputs.items() if text in told}
    return [
        run(command, made | groups_of(stack), scratch, stack) for stack, command in commands.items()
    ]


def groups_of(stack):
    groups = ["imply-c1-Query-1"] if stack == "imply-link" else MASTERS
    return {"AUTO_SCALING_GROUPS": " ".join(groups)}


def run(commands, made, scratch, stack=None):
    for name, value in made.items():
        commands = re.sub(rf"\b{name}\b", value, commands)
    # The rules that were found, as the reader would paste them.
    if "revoke-security-group-ingress" in commands:
        of_group = [{"Name": "group-id", "Values": [made["UNMANAGED_GROUP"]]}]
        answer = boto3.client("ec2").describe_security_group_rules(Filters=of_group)
        rules = [rule for rule in answer["SecurityGroupRules"] if not rule["IsEgress"]]
        ids = " ".join(rule["SecurityGroupRuleId"] for rule in rules)
        commands = commands.replace("sgr-… sgr-… sgr-…", ids) if ids else ""
    # There is no endpoint service here, whose ID would stand in it.
    if "…" in commands or not commands:
        return {"commands": commands, "status": None}
    programs = os.environ.get("VENV_BIN", Path(sys.executable).parent)
    environment = os.environ | {"PATH": f"{programs}:{os.environ['PATH']}"}
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", SHELL + commands],
        cwd=scratch,
        env=environment,
        text=True,
        capture_output=True,
        check=False,
    )
    if done.returncode and "check-peering" not in commands:
        raise SystemExit(f"{commands}\n{done.stdout}{done.stderr}")
    if "--stack-name imply-peering" in commands and "delete-stack" not in commands:
        made["PEERING"] = outputs_of("imply-peering")["PeeringConnectionId"]
        boto3.client("ec2").accept_vpc_peering_connection(VpcPeeringConnectionId=made["PEERING"])
    said = {"printed": done.stdout, "complaint": done.stderr}
    return {"stack": stack, "commands": commands, "status": done.returncode, **said}


def deploy(arguments):
    """`aws cloudformation deploy`, which keeps the parameters of a stack that exists."""
    parser = argparse.ArgumentParser()
    for option in ("--region", "--stack-name", "--template-file", "--capabilities"):
        parser.add_argument(option)
    parser.add_argument("--parameter-overrides", nargs="+")
    options = parser.parse_args(arguments)
    cloudformation = boto3.client("cloudformation")
    given = dict(pair.split("=", 1) for pair in options.parameter_overrides)
    try:
        [stack] = cloudformation.describe_stacks(StackName=options.stack_name)["Stacks"]
        kept = {one["ParameterKey"]: one["ParameterValue"] for one in stack["Parameters"]}
        change, done = cloudformation.update_stack, "stack_update_complete"
    except cloudformation.exceptions.ClientError:
        kept, change, done = {}, cloudformation.create_stack, "stack_create_complete"
    template = yaml_parse(Path(options.template_file).read_text(encoding="utf-8"))
    change(
        StackName=options.stack_name,
        TemplateBody=json.dumps(chosen(template, kept | given)),
        Parameters=[
            {"ParameterKey": name, "ParameterValue": value}
            for name, value in (kept | given).items()
        ],
        Capabilities=[options.capabilities] if options.capabilities else [],
    )
    cloudformation.get_waiter(done).wait(StackName=options.stack_name)


def chosen(template, given):
    """A template with its conditions decided, since moto keeps an empty entry where Fn::If gives
    none; and without listeners, since its stacks make load balancers for HTTP alone.
    """
    defaults = {name: body.get("Default") for name, body in template["Parameters"].items()}
    values = {name: given.get(name, default) for name, default in defaults.items()}
    values |= {"AWS::Partition": "aws"}

    def value(node):
        if isinstance(node, list):
            return [value(part) for part in node]
        if not isinstance(node, dict):
            return node
        [(function, argument)] = node.items()
        if function == "Ref":
            return values[argument]
        if function == "Condition":
            return value(template["Conditions"][argument])
        if function == "Fn::Sub":
            return re.sub(r"\$\{(\w+)\}", lambda found: values[found[1]], argument)
        arguments = value(argument)
        return {
            "Fn::Equals": lambda: arguments[0] == arguments[1],
            "Fn::Not": lambda: not arguments[0],
            "Fn::And": lambda: all(arguments),
            "Fn::Or": lambda: any(arguments),
            "Fn::Split": lambda: arguments[1].split(arguments[0]),
            "Fn::Select": lambda: arguments[1][int(arguments[0])],
            "Fn::Join": lambda: arguments[0].join(arguments[1]),
        }[function]()

    def decide(node):
        if isinstance(node, list):
            return [one for one in map(decide, node) if one != {"Ref": "AWS::NoValue"}]
        if not isinstance(node, dict):
            return node
        if list(node) == ["Fn::If"]:
            condition, then, other = node["Fn::If"]
            return decide(then if value(template["Conditions"][condition]) else other)
        decided = {name: decide(one) for name, one in node.items()}
        return {name: one for name, one in decided.items() if one != {"Ref": "AWS::NoValue"}}

    kept = [part for part in ("Parameters", "Mappings") if part in template]
    made = {part: decide(template[part]) for part in kept}
    for part in ("Resources", "Outputs"):
        there = {
            name: one
            for name, one in template[part].items()
            if one.get("Type") != "AWS::ElasticLoadBalancingV2::Listener"
            and ("Condition" not in one or value(template["Conditions"][one["Condition"]]))
        }
        made[part] = {
            name: {key: decide(one) for key, one in body.items() if key != "Condition"}
            for name, body in there.items()
        }
    return made


def outputs_of(stack):
    try:
        [described] = boto3.client("cloudformation").describe_stacks(StackName=stack)["Stacks"]
    except boto3.client("cloudformation").exceptions.ClientError:
        return {}
    return {output["OutputKey"]: output["OutputValue"] for output in described.get("Outputs", [])}


def snapshot(ec2, made):
    balancing, scaling = boto3.client("elbv2"), boto3.client("autoscaling")
    ids = [made["DEFAULT_GROUP"], made["UNMANAGED_GROUP"]]
    groups = ec2.describe_security_groups(GroupIds=ids)["SecurityGroups"]
    peerings = ec2.describe_vpc_peering_connections()["VpcPeeringConnections"]
    stacks = boto3.client("cloudformation").describe_stacks()["Stacks"]
    balancers = balancing.describe_load_balancers()["LoadBalancers"]
    return {
        "names": dict(made),
        "tables": {side: routes(ec2, made[f"{side}_VPC"]) for side in ("IMPLY", "CLIENT")},
        "peerings": {one["VpcPeeringConnectionId"]: one for one in peerings},
        "balancers": [sorted(one["SecurityGroups"]) for one in balancers],
        "attached": {
            group["AutoScalingGroupName"]: ports(balancing, group["TargetGroupARNs"])
            for group in scaling.describe_auto_scaling_groups()["AutoScalingGroups"]
        },
        "rules": {
            group["Description"]: [
                [rule["FromPort"], rule["ToPort"], sources(rule)] for rule in group["IpPermissions"]
            ]
            for group in groups
        },
        "stacks": sorted(stack["StackName"] for stack in stacks),
    }


def sources(rule):
    return [pair["GroupId"] for pair in rule["UserIdGroupPairs"]]


def ports(balancing, target_groups):
    described = [balancing.describe_target_groups(TargetGroupArns=[one]) for one in target_groups]
    return sorted(one["TargetGroups"][0]["Port"] for one in described)


def routes(ec2, vpc):
    """What each route table of a VPC sends through which connection, for how many subnets."""
    tables = ec2.describe_route_tables(Filters=[{"Name": "vpc-id", "Values": [vpc]}])["RouteTables"]
    return {
        table["RouteTableId"]: {
            "routes": {
                route["DestinationCidrBlock"]: route["VpcPeeringConnectionId"]
                for route in table["Routes"]
                if route.get("VpcPeeringConnectionId")
            },
            "subnets": sum("SubnetId" in association for association in table["Associations"]),
        }
        for table in tables
    }


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["--deploy", *arguments]:
            deploy(arguments)
        case [vpc]:
            print(json.dumps(routes(boto3.client("ec2"), vpc)))
        case [client_cidr, *sections]:
            print(json.dumps(main(client_cidr, sections), default=str))
        case _:
            sys.exit(__doc__)
