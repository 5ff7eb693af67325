"""Tells, before anything is created, whether AWS would refuse a peering connection for overlapping address ranges.

CloudFormation cannot compare address ranges, and AWS tells only afterwards, with a connection in the state "failed".
"""

import argparse
import ipaddress
import itertools
import sys

# VPC user guide, "VPC CIDR blocks".
LARGEST, SMALLEST = 16, 28

REMEDY = """\
AWS refuses a peering connection if any two ranges of the VPCs overlap, even if only others are to be used.
The remedy is an endpoint service, for which overlap does not matter: infra/peering-overlap.yaml with AllowedPrincipals.
If only one of the two is a range of these VPCs, and the other is routed elsewhere over there: the same template with
SecondaryCidr, a range that overlaps none of these."""


class Unusable(Exception):
    """A range that cannot be compared."""


def main():
    parser = argparse.ArgumentParser(
        description="Whether the address ranges of VPCs that are to be peered overlap.",
        epilog="Exit status: 0 = none overlap, 1 = some overlap, 2 = nothing was compared.",
    )
    parser.add_argument("ranges", nargs="*", metavar="RANGE", help="every range of every VPC, such as 10.50.0.0/21")
    texts = parser.parse_args().ranges
    try:
        ranges = parse(texts)
    except Unusable as error:
        print(f"error: {error}", file=sys.stderr)
        return 2

    for warning in filter(None, map(unusual, ranges)):
        print(f"warning: {warning}", file=sys.stderr)
    overlaps = [(a, b) for a, b in itertools.combinations(ranges, 2) if a.overlaps(b)]
    if not overlaps:
        print(f"No two of them overlap: {', '.join(map(str, ranges))}")
        return 0
    for one, other in overlaps:
        print(describe(one, other), file=sys.stderr)
    print(REMEDY, file=sys.stderr)
    return 1


def parse(texts):
    if len(texts) < 2:
        raise Unusable('two or more ranges are needed, such as CIDRS="10.50.0.0/21 172.20.0.0/20"')
    ranges = [parse_one(text) for text in texts]
    if len({one.version for one in ranges}) > 1:
        raise Unusable("IPv4 and IPv6 ranges cannot be compared; check the IPv4 ranges and the IPv6 ranges on their own")
    return ranges


def parse_one(text):
    length = text.rpartition("/")[2]
    try:
        # Without a length, and with a netmask in its place, the module would take it.
        interface = ipaddress.ip_interface(text) if length.isdecimal() and "/" in text else None
    except ValueError:
        interface = None
    if interface is None:
        raise Unusable(f"{text!r} is no address range; write it like 10.50.0.0/21, and separate ranges by spaces")
    if interface.ip != interface.network.network_address:
        raise Unusable(f"{text} is an address in a range; the range is {interface.network}")
    return interface.network


def unusual(one):
    if one.version == 4 and one.prefixlen < LARGEST:
        return f"{one} is larger than a range of a VPC can be (/{LARGEST}); give the VPC's own ranges"
    if one.version == 4 and one.prefixlen > SMALLEST:
        return f"{one} is smaller than a range of a VPC can be (/{SMALLEST}); give the VPC's own ranges"
    return None


def describe(one, other):
    if one == other:
        return f"{one} and {other} are the same range."
    inner, outer = (one, other) if one.subnet_of(other) else (other, one)
    return f"{inner} lies in {outer}."


if __name__ == "__main__":
    sys.exit(main())
