"""Prints, ready to paste, what a vendor or another account needs for its endpoint to a stack.

Who gets it is read from the principals that the service allows, or given with --to. Credentials and
Region are those of the AWS CLI: AWS_PROFILE, AWS_REGION and so on.
"""

import argparse
import textwrap

from accept import Refused, again, configuration_of, outputs_of, reported

EPILOG = """\
exit codes: 0 = printed
            1 = the service is not yet what the vendor asks for, or AWS could not be asked
            2 = wrong usage
"""

# What each asks for, and how it is reached: Starburst's tutorial (2024-02-09), PlanetScale's page.
VENDORS = {
    "starburst": {
        "account": "179619298502",
        "request": "please create a private endpoint connection (AWS PrivateLink) to this endpoint "
        "service.",
        "zones": 1,
        "send": """\
            In Starburst Galaxy: support icon at the bottom right > Chat with technical support >
            Submit a Support Ticket. It asks for your e-mail address, first and last name, then for
            the issue: paste the text above. The answer takes 24 to 48 hours. Accept nothing before
            it says that the endpoint exists. First link? Your account team assigns a technical
            contact.""",
    },
    "planetscale": {
        "request": "please create the interface endpoint for the import to this endpoint service, "
        "and test it.",
        "zones": 3,
        "send": """\
            To your Solutions Engineer at PlanetScale; without one, to PlanetScale's support
            team.""",
    },
    "account": {
        "request": "please create an interface endpoint to this endpoint service.",
        "zones": 1,
        "send": """\
            To whoever owns the account that connects. Steps there: infra/consumer.md.""",
    },
}


def main():
    parser = argparse.ArgumentParser(
        prog="ticket.py",
        description=__doc__,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("stack", metavar="STACK", help="name of the stack, or of the link")
    parser.add_argument(
        "--to", choices=VENDORS, help="who gets the ticket (default: by the allowed principals)"
    )
    parser.add_argument(
        "--name", help="name of the configuration at the vendor (default: the stack's)"
    )
    parser.add_argument(
        "--port",
        type=int,
        action="append",
        help="port, for a link whose databases are other stacks",
    )
    arguments = parser.parse_args()
    reported(run, arguments)


def run(session, arguments):
    outputs = outputs_of(session, arguments.stack)
    service = outputs["EndpointServiceId"]
    listeners = ("ListenerPort", "ReaderListenerPort")
    ports = arguments.port or [outputs[name] for name in listeners if name in outputs]
    if not ports:
        raise Refused(
            f"the stack {arguments.stack} is a link without a database: give --port, the output "
            "ListenerPort of the database's stack."
        )
    ec2 = session.client("ec2")
    configuration = configuration_of(ec2, service)
    permissions = ec2.get_paginator("describe_vpc_endpoint_service_permissions")
    pages = permissions.paginate(ServiceId=service)
    principals = sorted(item["Principal"] for page in pages for item in page["AllowedPrincipals"])

    to = arguments.to or recipient(principals)
    vendor = VENDORS[to]
    zones = sorted(configuration.get("AvailabilityZoneIds") or configuration["AvailabilityZones"])
    if len(zones) < vendor["zones"]:
        raise Refused(
            f"{to} asks for {vendor['zones']} Availability Zones that both accounts have, and the "
            f"load balancer is in {', '.join(zones)} alone. Add a subnet in a further one to "
            "SubnetIds, and deploy."
        )
    by_hand = configuration["AcceptanceRequired"]
    acceptance = "by hand, once you say that the endpoint exists" if by_hand else "not required"
    print(f"Hello, {vendor['request']}\n")
    for label, value in [
        ("Service name", outputs["EndpointServiceName"]),
        ("Service ID", service),
        ("Region", session.region_name),
        ("Port", ", ".join(map(str, ports))),
        ("Configuration name", arguments.name or arguments.stack),
        ("Availability Zones", ", ".join(zones)),
        ("Allowed principals", ", ".join(principals) or "none"),
        ("Acceptance", acceptance),
    ]:
        print(f"{label + ':':20}{value}")
    print("\n" + textwrap.fill("Where to: " + " ".join(vendor["send"].split()), 100))
    if by_hand:
        print(f"Once the endpoint exists:  {again(arguments.stack)}")


def recipient(principals):
    """The vendor whose account is allowed."""
    for name, vendor in VENDORS.items():
        if any(f":{vendor.get('account')}:" in principal for principal in principals):
            return name
    return "account"


if __name__ == "__main__":
    main()
