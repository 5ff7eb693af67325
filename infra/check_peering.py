"""Tells, before anything is created, whether two VPCs can be peered and routed to each other.

AWS refuses a connection between VPCs of which any two ranges overlap, and tells only afterwards,
with a connection in the state "failed". It permits one to a VPC whose range is routed elsewhere
already, and says nothing. CloudFormation cannot compare address ranges.
"""

import argparse
import ipaddress
import itertools
import json
import re
import sys
from pathlib import Path

# VPC user guide, "VPC CIDR blocks".
LARGEST, SMALLEST = 16, 28

FREE, REFUSED, NOT_COMPARED, TAKEN = 0, 1, 2, 3

OVERLAP = """\
AWS refuses a peering connection if any two ranges of the VPCs overlap, even if only others are to
be used. The remedy is an endpoint service, for which overlap does not matter:
infra/peering-overlap.yaml with AllowedPrincipals. Or another range for one of the VPCs. Imply
changes that of its VPC on request, with downtime of the cluster."""
ROUTED = """\
AWS permits the connection, but this VPC routes that range elsewhere. Leave the subnets and route
tables that it has as they are: a second route cannot have the same range, and one for a part of it
takes that network's traffic. The remedy is new subnets with a route table:
infra/peering-overlap.yaml with PeeringConnectionId and PeerCidrs."""
PEER_ROUTED = """\
AWS permits the connection, but the peer routes this VPC's range elsewhere, and must not get a route
for a part of it. The remedy is a range that is free on both sides: infra/peering-overlap.yaml with
SecondaryCidr as well."""
ALL_PAIRS = """\
All pairs were compared, as if each of these VPCs was to be peered with each. Two that overlap can
both be peered with a third: say who is to be peered with whom, and what is routed already (--vpc,
--peer, --routed)."""


class Unusable(Exception):
    """A range or a file that cannot be compared."""


def main():
    options = arguments()
    try:
        if options.ranges:
            return compare_all_pairs(parse(options.ranges))
        if not options.vpc or not options.peer:
            raise Unusable(
                "the ranges of both VPCs are needed, such as "
                'VPC="10.50.0.0/21" PEER="172.20.0.0/20"'
            )
        vpc, peer = parse(options.vpc), parse(options.peer)
        routed = routes(options.routed, options.routes)
        peer_routed = routes(options.peer_routed, options.peer_routes)
        return compare(vpc, peer, routed, peer_routed)
    except Unusable as error:
        print(f"error: {error}", file=sys.stderr)
        return NOT_COMPARED


def arguments():
    parser = argparse.ArgumentParser(
        description="Whether two VPCs can be peered, and whether what they route already is in the "
        "way.",
        epilog="Exit status: 0 = free; 1 = AWS refuses, because the VPCs overlap; 2 = nothing was "
        "compared; 3 = AWS permits it, but a range is routed elsewhere already, so that new "
        "subnets with a route table are needed.",
    )
    for option, meaning in {
        "--vpc": "every range of this VPC, such as 10.50.0.0/21",
        "--peer": "every range of the VPC that it shall be peered with",
        "--routed": "what this VPC routes elsewhere: its peers, for example",
        "--peer-routed": "the same of the other VPC",
    }.items():
        parser.add_argument(option, nargs="+", metavar="RANGE", help=meaning)
    tables = "in place of --%s: what 'aws ec2 describe-route-tables' answers for that VPC"
    parser.add_argument("--routes", metavar="FILE", help=tables % "routed")
    parser.add_argument("--peer-routes", metavar="FILE", help=tables % "peer-routed")
    alone = "alone: ranges of which no two may overlap"
    parser.add_argument("ranges", nargs="*", metavar="RANGE", help=alone)
    options = parser.parse_args()
    if options.ranges and any(value for name, value in vars(options).items() if name != "ranges"):
        parser.error("ranges without an option stand alone: say whose each is")
    return options


def compare(vpc, peer, routed, peer_routed):
    if not {one.version for one in vpc} & {one.version for one in peer}:
        raise Unusable("IPv4 and IPv6 ranges cannot be compared")
    warn_of_sizes([*vpc, *peer])
    status = FREE
    for own, others, remedy, answer in (
        (vpc, peer, OVERLAP, REFUSED),
        (peer, routed, ROUTED, TAKEN),
        (vpc, peer_routed, PEER_ROUTED, TAKEN),
    ):
        overlaps = [(a, b) for a in own for b in others or () if a.overlaps(b)]
        for a, b in overlaps:
            print(describe(a, b) + (others[b] if answer == TAKEN else ""), file=sys.stderr)
        if overlaps:
            print(remedy, file=sys.stderr)
            status = answer
        # What the route tables say does not matter then.
        if status == REFUSED:
            break
    if status == FREE:
        print(f"Free: {names(vpc)} and {names(peer)} can be peered and routed to each other.")
        for who, given in (("this VPC", routed), ("the peer", peer_routed)):
            if given is None:
                warn(f"what {who} routes already was not given, and not compared")
    return status


def compare_all_pairs(ranges):
    if len(ranges) < 2:
        raise Unusable("two or more ranges are needed")
    if len({one.version for one in ranges}) > 1:
        raise Unusable(
            "IPv4 and IPv6 ranges cannot be compared; check those of each family on their own"
        )
    warn_of_sizes(ranges)
    overlaps = [(a, b) for a, b in itertools.combinations(ranges, 2) if a.overlaps(b)]
    for a, b in overlaps:
        print(describe(a, b), file=sys.stderr)
    if overlaps:
        print(f"{OVERLAP}\n{ALL_PAIRS}", file=sys.stderr)
        return REFUSED
    print(f"No two of them overlap: {names(ranges)}\n{ALL_PAIRS}")
    return FREE


def routes(texts, path):
    """What a VPC routes elsewhere, with what to say of each range; None if nobody tells."""
    if not texts and not path:
        return None
    found = dict.fromkeys(parse(texts or []), "")
    is_target = re.compile(r"(?!Destination)\w+Id").fullmatch
    try:
        tables = json.loads(Path(path).read_text(encoding="utf-8"))["RouteTables"] if path else []
        for table, route in [(table, route) for table in tables for route in table["Routes"]]:
            target = next((value for name, value in route.items() if is_target(name)), "?")
            destination = route.get("DestinationCidrBlock") or route.get("DestinationIpv6CidrBlock")
            if destination and target != "local":
                found[parse_one(destination)] = f" {table['RouteTableId']} routes it to {target}."
            elif not destination and not target.startswith("vpce-"):
                warn(f"not compared: {route.get('DestinationPrefixListId')} to {target}")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Unusable(
            f"{path} does not hold what 'aws ec2 describe-route-tables' answers: {error!r}"
        ) from error
    # Any other route goes before the default one.
    return {one: note for one, note in found.items() if one.prefixlen > 0}


def parse(texts):
    return [parse_one(text) for text in texts]


def parse_one(text):
    length = text.rpartition("/")[2]
    try:
        # Without a length, and with a netmask in its place, the module would take it.
        interface = ipaddress.ip_interface(text) if length.isdecimal() and "/" in text else None
    except ValueError:
        interface = None
    if interface is None:
        raise Unusable(
            f"{text!r} is no address range; write it like 10.50.0.0/21, and separate ranges by "
            "spaces"
        )
    if interface.ip != interface.network.network_address:
        raise Unusable(f"{text} is an address in a range; the range is {interface.network}")
    return interface.network


def warn_of_sizes(ranges):
    for warning in filter(None, map(unusual, ranges)):
        warn(warning)


def warn(warning):
    print(f"warning: {warning}", file=sys.stderr)


def unusual(one):
    if one.version != 4 or LARGEST <= one.prefixlen <= SMALLEST:
        return None
    larger = one.prefixlen < LARGEST
    size, limit = ("larger", LARGEST) if larger else ("smaller", SMALLEST)
    return f"{one} is {size} than a range of a VPC can be (/{limit}); give the VPC's own ranges"


def describe(one, other):
    if one == other:
        return f"{one} and {other} are the same range."
    inner, outer = (one, other) if one.subnet_of(other) else (other, one)
    return f"{inner} lies in {outer}."


def names(ranges):
    return ", ".join(map(str, ranges))


if __name__ == "__main__":
    sys.exit(main())
