"""Fills the parameters of a deployment from a database's endpoint, and asks for the rest.

It follows the name to the database, takes from AWS what AWS knows, asks who may connect, whether
you accept each consumer by hand, and an e-mail address, and shows every parameter with where it
comes from. Then it writes an environment of samconfig.toml, which `sam deploy --config-env` reads.
It changes nothing on AWS, and writes nothing before you agree. Credentials and Region are those of
the AWS CLI: AWS_PROFILE, AWS_REGION and so on.
"""

import argparse
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import boto3
from botocore.exceptions import BotoCoreError, ClientError

import rds_endpoint
from configuration import group, questions, report
from configuration.fill import ACTIONS as ACTIONS_OF_FILL
from configuration.fill import fill
from configuration.network import Network
from configuration.settings import NotPossible, Settings, WrongUse
from configuration.target import Target, path
from configuration.template import Template
from read_only import ReadOnly

ROOT = Path(__file__).resolve().parent.parent
ACTIONS = rds_endpoint.ACTIONS | ACTIONS_OF_FILL
ACTIONS_OF_GROUP = group.ACTIONS - ACTIONS
WRITTEN, NOT_POSSIBLE, WRONG_USE = 0, 1, 2
WHAT = {
    "cluster": "the cluster",
    "readers": "the reader endpoint of",
    "custom": "a custom endpoint of",
    "instance": "the instance",
    "proxy": "an endpoint of the proxy",
}


def listed(actions):
    return "\n".join(f"  {action}" for action in sorted(actions))


EPILOG = f"""\
It needs boto3, PyYAML and tomlkit, which aws-sam-cli brings along. It looks with these actions, and
says and asks for what it may not look at:
{listed(ACTIONS)}
and with --target-group:
{listed(ACTIONS_OF_GROUP)}

examples:
  python infra/configure.py app.cluster-abc123.eu-west-1.rds.amazonaws.com
  python infra/configure.py billing.abc123.eu-west-1.rds.amazonaws.com --link failover-sync
  python infra/configure.py NAME --target-group arn:aws:elasticloadbalancing:...
  python infra/configure.py NAME --yes --principals 444455556666 --email ops@example.com

exit codes: 0 = written, 1 = not possible, 2 = wrong use
"""


def main(arguments=None):
    options = parsed(arguments)
    # What a program reads is alone on standard output.
    out = sys.stderr if options.json else sys.stdout
    try:
        return run(options, out)
    except (questions.Stopped, KeyboardInterrupt):
        print("Nothing was written.", file=out)
        return NOT_POSSIBLE
    except WrongUse as error:
        print(f"error: {error}", file=sys.stderr)
        return WRONG_USE
    except NotPossible as error:
        print(f"error: {error}", file=sys.stderr)
    except OSError as error:
        print(f"error: {error}. Nothing was written.", file=sys.stderr)
    except (BotoCoreError, ClientError) as error:
        # Some of botocore's messages end in a full stop.
        print(
            f"error: AWS could not be asked: {str(error).rstrip('.')}. See to credentials "
            "(AWS_PROFILE) and Region (AWS_REGION).",
            file=sys.stderr,
        )
    return NOT_POSSIBLE


def parsed(arguments):
    parser = argparse.ArgumentParser(
        prog="configure.py",
        description=__doc__,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    say = parser.add_argument
    say("name", metavar="NAME", help="the endpoint that clients use today: a name, or an address")
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--link", metavar="STACK", help="put the database on this stack's link")
    where.add_argument("--target-group", metavar="ARN", help="keep this group, which exists")
    say("--principals", metavar="WHO", help="who may connect: accounts or ARNs, with commas")
    say("--acceptance", choices=["yes", "no"], help="whether you accept each consumer by hand")
    say("--email", metavar="ADDRESS", help="who gets alarms and requests; '' for nobody")
    say(
        "--set",
        metavar="NAME=VALUE",
        action="append",
        default=[],
        type=pair,
        help="a parameter of the template, in place of what AWS says or of a question",
    )
    say(
        "--path-probe",
        action="store_true",
        help="the function also asks the writer through the load balancer, with the login of "
        "ProbeUser or ProbeSecretArn",
    )
    say("--preset", metavar="NAME", help="a vendor's answers, such as starburst")
    say("--strict", action="store_true", help="AllowedCidrs are the database's subnets alone")
    say(
        "--environment",
        metavar="NAME",
        help="what to write in samconfig.toml (default: the preset, or on a link the database)",
    )
    say("--stack", metavar="NAME", help="name of the stack (default: by the environment)")
    say(
        "--config-file",
        metavar="FILE",
        default=ROOT / "samconfig.toml",
        type=Path,
        help="default: samconfig.toml beside template.yaml",
    )
    say("--parameters", metavar="FILE", help="write JSON for `aws cloudformation` instead")
    say("--tfvars", metavar="FILE", help="write variables of infra/terraform instead")
    say("--yes", action="store_true", help="ask nothing; other answers are not overwritten")
    say("--replace", action="store_true", help="overwrite the answers that are there")
    say("--json", action="store_true", help="print all parameters as JSON")
    say("--deploy", action="store_true", help="run the next commands as well")
    return parser.parse_args(arguments)


def pair(text):
    name, is_pair, value = text.partition("=")
    if not is_pair:
        raise argparse.ArgumentTypeError(f"{text!r} is no NAME=VALUE")
    return name, value


def run(options, out):
    if options.tfvars and not options.target_group:
        raise WrongUse("--tfvars is for --target-group: infra/terraform deploys the function alone")
    if options.tfvars and options.parameters:
        raise WrongUse("give --tfvars or --parameters, not both")
    if not options.yes and not sys.stdin.isatty():
        raise WrongUse(
            "this is no terminal: give --yes --principals WHO, and --acceptance and --email if you "
            "like"
        )
    template = Template(ROOT / path(options))
    check_name(options.name, template)
    asker = questions.Nobody() if options.yes else questions.Asker(out)
    # boto3 by itself reads AWS_DEFAULT_REGION alone; version 2 of the AWS CLI prefers AWS_REGION.
    session = boto3.Session(region_name=os.environ.get("AWS_REGION"))
    database = rds_endpoint.find(ReadOnly(session, ACTIONS), options.name)
    tell(database, session.region_name, out)
    if is_mistaken(database, options) and not asker.agrees("Go on all the same?", default=False):
        raise NotPossible(
            f"{database.name} is a name that RDS gives, and no database here has it. If another "
            "account has it: --set DatabaseKind=hostname"
        )

    target = Target(ROOT, template, options, database)
    partition = session.get_partition_for_region(database.region)
    settings = Settings(target.template, target.stack, partition)
    settings.saved = target.answers_for(database)
    say_flags(settings, options)
    if options.target_group:
        group.check(session, settings, database, options)
    aws = ReadOnly(session, ACTIONS | ACTIONS_OF_GROUP, database.region)
    fill(settings, Network(aws, settings, database), asker, options)
    settings.require_all()
    print(f"\n{report.table(settings)}\n", file=out)
    write(target, settings, database, asker, options, out)

    commands = target.commands()
    if options.json:
        print(report.as_json(settings, target, database, commands))
    print("Next:" if not options.deploy else "Deploying:", file=out)
    for line in [shlex.join(command) for command in commands] or [target.advice]:
        print(f"  {line}", file=out)
    if options.deploy:
        deploy(commands)
    return WRITTEN


def check_name(text, template):
    """What is no name is told before anybody is asked."""
    if reason := rds_endpoint.pasted(text):
        port = text.strip().rpartition(":")[2]
        more = f", and --set DatabasePort={port}" if port.isdigit() else ""
        raise WrongUse(f"{text!r} {reason}{more}")
    if complaint := template.complaint("DatabaseEndpoint", rds_endpoint.plain(text)):
        raise WrongUse(f"{text!r} is no endpoint: it {complaint}")


def tell(database, region, out):
    """What the name leads to."""
    if database.kind == "address":
        print(f"{database.name}: an address, which is kept registered as it is", file=out)
    elif database.is_of_rds:
        what = f"{WHAT.get(database.kind, 'a name of')} {database.identifier}"
        print(f"{database.name}: {what} in {database.region}", file=out)
    else:
        looked = "may not be asked" if database.unseen else "has none of that name"
        print(f"{database.name}: RDS {looked} in {database.region}", file=out)
        for close in database.close:
            print(f"  Did you mean {close}?", file=out)
    if region not in (None, database.region):
        print(f"  Its Region counts, and not {region} of AWS_REGION.", file=out)


def is_mistaken(database, options):
    """A name as RDS gives it, of a database that it does not have."""
    if database.region is None:
        raise NotPossible("no Region is known: set AWS_REGION")
    is_unknown = not database.is_of_rds and not database.unseen
    is_said = "DatabaseKind" in dict(options.set)
    return is_unknown and not is_said and rds_endpoint.region_of(database.name) is not None


def say_flags(settings, options):
    flags = {
        "AllowedPrincipals": options.principals,
        "AcceptanceRequired": options.acceptance,
        "OperationsEmail": options.email,
        **dict(options.set),
    }
    # The function alone has the name of a load balancer in its place, which the group tells.
    if options.path_probe and "PathProbe" in settings.template.parameters:
        flags["PathProbe"] = "true"
    for name, value in flags.items():
        if value is not None:
            settings.say(name, questions.normal(settings, name, value))


def write(target, settings, database, asker, options, out):
    """Writes after a last question, and other answers over only if that is what it says."""
    differing = target.differing(settings)
    if differing and not options.replace:
        print(f"{target.place} has other answers:", file=out)
        for name, (old, new) in differing.items():
            print(f"  {name}: {old} -> {new}", file=out)
        if options.yes:
            raise NotPossible(
                f"{target.place} has other answers. Nothing was written: --replace overwrites, "
                "--environment NAME writes others."
            )
    question = f"Replace them in {target.place}?" if differing else f"Write them to {target.place}?"
    if not asker.agrees(question, default=not differing or options.replace):
        raise questions.Stopped
    target.write(settings, database)
    print(f"Written to {target.place}.", file=out)


def deploy(commands):
    for command in commands:
        if shutil.which(command[0]) is None:
            raise NotPossible(f"{command[0]} is not on the PATH")
        if subprocess.run(command, cwd=ROOT, check=False).returncode:
            raise NotPossible(f"{shlex.join(command)} failed")


if __name__ == "__main__":
    sys.exit(main())
