"""Lists the endpoint connections of a stack's endpoint service, and accepts those that are named.

Without ENDPOINT nothing is accepted. 'all' accepts every connection that is pending at that moment.
Credentials and Region are those of the AWS CLI: AWS_PROFILE, AWS_REGION and so on.
"""

import argparse
import os
import sys
from pathlib import Path

import boto3
from botocore.exceptions import BotoCoreError, ClientError

CLI = """\
the same with the AWS CLI:
  aws cloudformation describe-stacks --stack-name STACK \\
      --query "Stacks[0].Outputs[?OutputKey=='EndpointServiceId'].OutputValue" --output text
  aws ec2 describe-vpc-endpoint-connections --filters Name=service-id,Values=vpce-svc-...
  aws ec2 accept-vpc-endpoint-connections --service-id vpce-svc-... --vpc-endpoint-ids vpce-...

exit codes: 0 = done, or listed
            1 = an endpoint was not accepted, or AWS could not be asked
            2 = wrong usage
"""

COLUMNS = ("ENDPOINT", "OWNER", "STATE", "CREATED", "DNS")


class Refused(Exception):
    """Why nothing, or not everything, could be done."""


def main():
    parser = argparse.ArgumentParser(
        prog="accept.py",
        description=__doc__,
        epilog=CLI,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("stack", metavar="STACK", help="name of the stack")
    parser.add_argument("endpoints", metavar="ENDPOINT", nargs="*", help="IDs (vpce-...), or all")
    arguments = parser.parse_args()
    if "all" in arguments.endpoints and len(arguments.endpoints) > 1:
        parser.error("give endpoints or all, not both")
    reported(run, arguments.stack, arguments.endpoints)


def reported(run, *arguments):
    """Runs with a session of the caller's Region; ends the program with one line if that fails."""
    try:
        # Version 2 of the AWS CLI prefers AWS_REGION, which boto3 does not read.
        run(boto3.Session(region_name=os.environ.get("AWS_REGION")), *arguments)
    except Refused as error:
        sys.exit(f"error: {error}")
    # Some of botocore's messages end in a full stop.
    except (BotoCoreError, ClientError) as error:
        sys.exit(
            f"error: AWS could not be asked: {str(error).rstrip('.')}. See to credentials "
            "(AWS_PROFILE) and Region (AWS_REGION)."
        )


def run(session, stack, wanted):
    service = outputs_of(session, stack)["EndpointServiceId"]
    ec2 = session.client("ec2")
    by_hand = acceptance_required(ec2, service)
    connections = connections_of(ec2, service)

    does = "waits for you to accept each connection" if by_hand else "accepts connections by itself"
    print(f"{stack} in {session.region_name}: endpoint service {service}, which {does}")
    print(table(connections) if connections else "No endpoint is connected, and none has asked.")

    pending = [endpoint for endpoint, connection in connections.items() if is_pending(connection)]
    if wanted:
        accept(ec2, service, pending if wanted == ["all"] else chosen(wanted, connections, by_hand))
    elif pending:
        print("\nNothing was accepted. If you know the owner, accept with:")
        for endpoint in pending:
            print(f"  {again(stack, endpoint)}")


def again(stack, endpoint=None):
    """This program once more, as it is called where it stands: a release has no Makefile."""
    if (Path(__file__).resolve().parent.parent / "Makefile").exists():
        return f"make accept STACK={stack}" + (f" ENDPOINT={endpoint}" if endpoint else "")
    return " ".join(filter(None, ["python", os.path.relpath(__file__), stack, endpoint]))


def outputs_of(session, stack):
    """The outputs of a stack that has an endpoint service."""
    try:
        [description] = session.client("cloudformation").describe_stacks(StackName=stack)["Stacks"]
    except ClientError as error:
        if "does not exist" not in str(error):
            raise
        raise Refused(
            f"there is no stack {stack} in {session.region_name}. Name another stack, or another "
            "Region in AWS_REGION."
        ) from error
    outputs = {one["OutputKey"]: one["OutputValue"] for one in description.get("Outputs", [])}
    if "EndpointServiceId" not in outputs:
        raise Refused(
            f"the stack {stack} ({description['StackStatus']}) has no output EndpointServiceId. "
            "Wait until it is complete, or name a stack of failover-sync."
        )
    return outputs


def acceptance_required(ec2, service):
    return configuration_of(ec2, service)["AcceptanceRequired"]


def configuration_of(ec2, service):
    answer = ec2.describe_vpc_endpoint_service_configurations(ServiceIds=[service])
    [configuration] = answer["ServiceConfigurations"]
    return configuration


def connections_of(ec2, service):
    """The connections by endpoint, oldest first."""
    pages = ec2.get_paginator("describe_vpc_endpoint_connections").paginate(
        Filters=[{"Name": "service-id", "Values": [service]}]
    )
    connections = [connection for page in pages for connection in page["VpcEndpointConnections"]]
    connections.sort(key=lambda connection: connection["CreationTimestamp"])
    return {connection["VpcEndpointId"]: connection for connection in connections}


def is_pending(connection):
    # The API's reference has states with a small first letter, its model has them with a capital.
    return connection["VpcEndpointState"].lower() == "pendingacceptance"


def table(connections):
    rows = [COLUMNS]
    for endpoint, connection in connections.items():
        # One of its names is enough to recognise it.
        names = [entry["DnsName"] for entry in connection.get("DnsEntries", [])] or ["-"]
        owner, state = connection["VpcEndpointOwner"], connection["VpcEndpointState"]
        created = connection["CreationTimestamp"].strftime("%Y-%m-%d %H:%M %Z")
        rows.append((endpoint, owner, state, created, names[0]))
    widths = [max(map(len, column)) for column in zip(*rows)]
    padded = (map(str.ljust, row, widths) for row in rows)
    return "\n".join("  ".join(cells).rstrip() for cells in padded)


def chosen(wanted, connections, by_hand):
    """The named endpoints, if every one of them can be accepted."""
    for endpoint in wanted:
        if endpoint not in connections:
            raise Refused(
                f"no endpoint {endpoint} has asked for this service. Nothing was accepted."
            )
        if not is_pending(connections[endpoint]):
            state = connections[endpoint]["VpcEndpointState"]
            reason = "" if by_hand else ", and this service accepts connections by itself"
            raise Refused(
                f"{endpoint} is {state} and not pendingAcceptance{reason}. Nothing was accepted."
            )
    return wanted


def accept(ec2, service, endpoints):
    if not endpoints:
        print("\nNo connection is pending, so there is nothing to accept.")
        return
    answer = ec2.accept_vpc_endpoint_connections(ServiceId=service, VpcEndpointIds=endpoints)
    refused = answer.get("Unsuccessful", [])
    failed = {item["ResourceId"]: item["Error"]["Message"] for item in refused}
    print()
    for endpoint in endpoints:
        if endpoint not in failed:
            print(f"Accepted {endpoint}. It can be used when its state is available.")
    if failed:
        raise Refused(
            "; ".join(f"{name} was not accepted: {message}" for name, message in failed.items())
        )


if __name__ == "__main__":
    main()
