"""Tells whether failover-sync can keep a target group that exists, and what to mend before.

Looks at the group, its load balancer, the database that ENDPOINT leads to, and who else registers
targets. Changes nothing. Credentials are those of the AWS CLI (AWS_PROFILE and so on), and the
Region is the group's.
"""

import argparse
import json
import os
import re
import shutil
import sys
import textwrap

import boto3
from botocore.exceptions import BotoCoreError, ClientError

import rds_endpoint
from preflight_checks import database, group, path, trail, writers
from preflight_checks.facts import ARN, NOTE, OK, REFUSE, UNSEEN, WARN, Facts, addresses, examine
from read_only import ReadOnly, Unseen

# All that is called.
ACTIONS = frozenset().union(
    *(part.ACTIONS for part in (rds_endpoint, group, database, path, writers, trail))
)

EPILOG = """\
verdicts: ok; note = nothing to do, but good to know; warn = mend it, or know why not; refuse = the
function cannot keep this group as it is; unseen = AWS did not let you look, which is no ok

exit codes: 0 = ok and notes; 1 = warnings, or something was not seen; 2 = refused, or wrong usage;
3 = the group could not be looked at
"""
EXIT = {OK: 0, NOTE: 0, WARN: 1, UNSEEN: 1, REFUSE: 2}
NOT_LOOKED = 3
EVENTS = 2000
GROUPS = re.compile(r"sg-[0-9a-f]{8,17}(,sg-[0-9a-f]{8,17})*")
HOST = re.compile(r"(?=.{1,253}\.?$)[A-Za-z0-9_]([A-Za-z0-9_.:-]*[A-Za-z0-9])?\.?")


class NotLooked(Exception):
    """Why there is nothing to check."""


def checks(
    session,
    target_group_arn,
    endpoint,
    events=EVENTS,
    progress=lambda text, is_last: None,
    aliases=rds_endpoint.aliases,
    addresses=addresses,
    path_probe=None,
):
    """The results of all checks; `events` 0 leaves out CloudTrail, which takes longest.

    With the security groups of a function, `path_probe`, also whether it can ask through the load
    balancer. Raises `NotLooked` if the group itself cannot be looked at.
    """
    facts = Facts(ReadOnly(session, ACTIONS), target_group_arn, endpoint, aliases, addresses)
    try:
        # Without it there is nothing to look at.
        _ = facts.group
    except Unseen as error:
        found = error.reason
        if error.code == "TargetGroupNotFound":
            found = (
                f"there is no target group {facts.name} in {facts.aws.region} of the account whose "
                "credentials these are. See to the ARN, and to AWS_PROFILE"
            )
        raise NotLooked(found) from error
    return list(examine(every(events, progress, path_probe), facts))


def every(events, progress, path_probe=None):
    """All checks by name, in the order in which they are shown."""
    asked = {} if path_probe is None else {"path probe": path.check(path_probe)}
    last = {"CloudTrail": trail.check(events, progress)} if events else {}
    return group.CHECKS | database.CHECKS | asked | writers.CHECKS | last


def main(words=None, **seams):
    options = arguments(words)
    # boto3 by itself reads AWS_DEFAULT_REGION and no AWS_REGION, which the AWS CLI prefers.
    session = boto3.Session(region_name=os.environ.get("AWS_REGION"))
    try:
        found = checks(
            session,
            options.group,
            options.endpoint,
            options.events,
            progress=tell,
            path_probe=options.path_probe,
            **seams,
        )
    except (NotLooked, BotoCoreError, ClientError) as error:
        print(f"error: {str(error).rstrip('.')}.", file=sys.stderr)
        return NOT_LOOKED
    worst = max((check.verdict for check in found), key=lambda verdict: EXIT[verdict])
    print(as_json(options, found) if options.json else as_text(options, found))
    return EXIT[worst]


def arguments(words):
    parser = argparse.ArgumentParser(
        prog="preflight.py",
        description=__doc__,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("group", metavar="TARGET-GROUP-ARN", type=target_group)
    parser.add_argument(
        "endpoint",
        metavar="ENDPOINT",
        type=host,
        help="name of the database that clients use today: an endpoint of RDS, or a CNAME of one",
    )
    parser.add_argument(
        "--path-probe",
        metavar="SECURITY-GROUPS",
        type=groups,
        help="also whether a function with these security groups, with commas, can ask the writer "
        "through the load balancer",
    )
    parser.add_argument("--json", action="store_true", help="print the results as JSON")
    parser.add_argument(
        "--events",
        type=int,
        default=EVENTS,
        metavar="NUMBER",
        help=f"how many of CloudTrail's events are read of each operation, 100 a second "
        f"(default: {EVENTS}; 0 = none)",
    )
    parser.add_argument(
        "--policy", action=Policy, nargs=0, help="print the IAM policy that this needs, and end"
    )
    return parser.parse_args(words)


class Policy(argparse.Action):
    def __call__(self, parser, namespace, values, option_string=None):
        statement = {"Effect": "Allow", "Action": sorted(ACTIONS), "Resource": "*"}
        print(json.dumps({"Version": "2012-10-17", "Statement": [statement]}, indent=2))
        parser.exit()


def target_group(text):
    if ARN.fullmatch(text):
        return text
    raise argparse.ArgumentTypeError(
        f"{text!r} is no ARN of a target group; it looks like "
        "arn:aws:elasticloadbalancing:eu-west-1:111122223333:targetgroup/NAME/0123456789abcdef"
    )


def groups(text):
    if GROUPS.fullmatch(text):
        return text.split(",")
    raise argparse.ArgumentTypeError(
        f"{text!r} are no IDs of security groups: give one such as sg-0123456789abcdef0, or "
        "several with commas"
    )


def host(text):
    if HOST.fullmatch(text) and not rds_endpoint.pasted(text):
        return text
    raise argparse.ArgumentTypeError(
        f"{text!r} is no name of a host: give it without protocol, port and database"
    )


def tell(text, is_last):
    """On a terminal in one line; elsewhere only what it came to."""
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="\n" if is_last else "", file=sys.stderr, flush=True)
    elif is_last:
        print(text, file=sys.stderr)


def as_json(options, found):
    answer = {
        "targetGroup": options.group,
        "endpoint": options.endpoint,
        "verdicts": {verdict: count(found, verdict) for verdict in EXIT},
        "checks": [vars(check) for check in found],
    }
    return json.dumps(answer, indent=2)


def as_text(options, found):
    names = max(len(check.name) for check in found)
    width = max(shutil.get_terminal_size((100, 24)).columns, 60)
    lines = [f"{options.group}", f"for {options.endpoint}", ""]
    for check in found:
        head = f"{check.verdict:<6}  {check.name:<{names}}  "
        lines += textwrap.wrap(
            head + check.found,
            width,
            subsequent_indent=" " * len(head),
            break_long_words=False,
            break_on_hyphens=False,
        )
        # Not wrapped, so that a command can be copied.
        lines += [f"{'':8}{remedy}" for remedy in check.remedy]
    counts = [f"{count(found, verdict)} {verdict}" for verdict in EXIT]
    return "\n".join([*lines, "", ", ".join(counts)])


def count(found, verdict):
    return sum(check.verdict == verdict for check in found)


if __name__ == "__main__":
    sys.exit(main())
