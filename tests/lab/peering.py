"""Deploys both sides of a peering to the AWS at AWS_ENDPOINT_URL, in the order of two accounts, and prints what is there.

usage: peering.py REQUESTER_CIDR ACCEPTER_CIDR
       peering.py VPC

With ranges: makes a VPC for each side, with two route tables and a security group; deploys infra/peering-accepter.yaml
for the role and infra/peering.yaml, accepts the connection, which the role's owner would, updates
infra/peering-accepter.yaml for the routes, and performs the DNS commands of the outputs. Prints
{"requester", "accepter", "connection", "state", "role"}, where a side is {"routes", "ingress", "options"}.
With a VPC: prints its routes.

The query nodes are on the requester's side, because moto loses the security group rules that an update adds.
"""

import json
import sys
from pathlib import Path

import boto3
from samcli.yamlhelper import yaml_parse

INFRA = Path(__file__).parents[2] / "infra"


def main(requester_cidr, accepter_cidr):
    ec2 = boto3.client("ec2")
    requester, accepter = network(ec2, requester_cidr), network(ec2, accepter_cidr)
    accepter_parameters = {
        "VpcId": accepter["vpc"],
        "RouteTableIds": ",".join(accepter["tables"]),
        "RequesterCidrs": requester_cidr,
        "RequesterPrincipalArn": "arn:aws:iam::111122223333:root",
        "RequesterVpcId": requester["vpc"],
    }
    role = deploy("accepter", "peering-accepter.yaml", accepter_parameters)["RoleArn"]
    outputs = deploy(
        "requester",
        "peering.yaml",
        {
            "VpcId": requester["vpc"],
            "RouteTableIds": ",".join(requester["tables"]),
            "QuerySecurityGroupId": requester["group"],
            "PeerVpcId": accepter["vpc"],
            "PeerCidrs": accepter_cidr,
        },
    )
    connection = outputs["PeeringConnectionId"]
    ec2.accept_vpc_peering_connection(VpcPeeringConnectionId=connection)
    deploy("accepter", "peering-accepter.yaml", {**accepter_parameters, "PeeringConnectionId": connection}, update=True)
    for command in ("RequesterDnsCommand", "AccepterDnsCommand"):
        set_options(outputs[command])
    [seen] = ec2.describe_vpc_peering_connections(VpcPeeringConnectionIds=[connection])["VpcPeeringConnections"]
    return {
        "requester": {**side(ec2, requester), "options": seen["RequesterVpcInfo"]["PeeringOptions"]},
        "accepter": {**side(ec2, accepter), "options": seen["AccepterVpcInfo"]["PeeringOptions"]},
        "connection": connection,
        "state": seen["Status"]["Code"],
        "role": role,
    }


def set_options(command):
    """`aws ec2 modify-vpc-peering-connection-options` as an output spells it; a word that it does not know is an error."""
    words = command.split()
    assert words[:3] == ["aws", "ec2", "modify-vpc-peering-connection-options"], command
    given = dict(zip(words[3::2], words[4::2]))
    ec2 = boto3.client("ec2", region_name=given.pop("--region"))
    connection = given.pop("--vpc-peering-connection-id")
    [(side_of, option)] = given.items()
    parameter = "".join(word.capitalize() for word in side_of.split("-"))
    name, value = option.split("=")
    options = {parameter: {name: {"true": True, "false": False}[value]}}
    ec2.modify_vpc_peering_connection_options(VpcPeeringConnectionId=connection, **options)


def network(ec2, cidr):
    vpc = ec2.create_vpc(CidrBlock=cidr)["Vpc"]["VpcId"]
    tables = [ec2.create_route_table(VpcId=vpc)["RouteTable"]["RouteTableId"] for _ in range(2)]
    group = ec2.create_security_group(GroupName="query", Description="Query nodes", VpcId=vpc)["GroupId"]
    return {"vpc": vpc, "tables": tables, "group": group}


def deploy(stack, template, parameters, update=False):
    cloudformation = boto3.client("cloudformation")
    change = cloudformation.update_stack if update else cloudformation.create_stack
    # With functions in their long form: moto does not know !Condition.
    body = json.dumps(yaml_parse((INFRA / template).read_text(encoding="utf-8")))
    change(
        StackName=stack,
        TemplateBody=body,
        Parameters=[{"ParameterKey": name, "ParameterValue": value} for name, value in parameters.items()],
        Capabilities=["CAPABILITY_IAM"],
    )
    cloudformation.get_waiter("stack_update_complete" if update else "stack_create_complete").wait(StackName=stack)
    outputs = cloudformation.describe_stacks(StackName=stack)["Stacks"][0]["Outputs"]
    return {output["OutputKey"]: output["OutputValue"] for output in outputs}


def side(ec2, made):
    group = ec2.describe_security_groups(GroupIds=[made["group"]])["SecurityGroups"][0]
    ingress = [
        [rule["IpProtocol"], rule["FromPort"], rule["ToPort"], source["CidrIp"]]
        for rule in group["IpPermissions"]
        for source in rule["IpRanges"]
    ]
    tables = routes(ec2, made["vpc"])
    return {"routes": [tables[table]["routes"] for table in made["tables"]], "ingress": sorted(ingress)}


def routes(ec2, vpc):
    """What each route table of a VPC sends where, apart from what stays in it, and the subnets that it is for."""
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
        case [vpc]:
            print(json.dumps(routes(boto3.client("ec2"), vpc)))
        case [requester_cidr, accepter_cidr]:
            print(json.dumps(main(requester_cidr, accepter_cidr)))
        case _:
            sys.exit(__doc__)
