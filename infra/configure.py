"""Fills the parameters of a deployment from the name of a database's endpoint, and asks for the rest.

It follows the name to the database, takes from AWS what AWS knows, asks who may connect, whether you accept each
consumer by hand, and an e-mail address, and shows every parameter with where it comes from. Then it writes an environment
of samconfig.toml, which `sam deploy --config-env` reads. It changes nothing on AWS, and writes nothing before you agree.
Credentials and Region are those of the AWS CLI: AWS_PROFILE, AWS_REGION and so on.
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
from configuration import database as databases
from configuration import link, network, probe, questions, report, samconfig
from configuration.settings import YOU, NotPossible, Settings, WrongUse
from configuration.target import Target
from read_only import ReadOnly

ROOT = Path(__file__).resolve().parent.parent
ACTIONS = rds_endpoint.ACTIONS | network.ACTIONS | link.ACTIONS
WRITTEN, NOT_POSSIBLE, WRONG_USE = 0, 1, 2

EPILOG = f"""\
It needs boto3, PyYAML and tomlkit, which aws-sam-cli brings along, and looks with these actions; what it may not look at
it says, and asks for:
{chr(10).join(f"  {action}" for action in sorted(ACTIONS))}

examples:
  python infra/configure.py app.cluster-abc123.eu-west-1.rds.amazonaws.com
  python infra/configure.py billing.abc123.eu-west-1.rds.amazonaws.com --link failover-sync
  python infra/configure.py NAME --yes --principals 444455556666 --acceptance yes --email ops@example.com

exit codes: 0 = written, 1 = not possible, 2 = wrong use
"""


def main(arguments=None):
    options = parsed(arguments)
    # A person reads the one, a program the other.
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
        return NOT_POSSIBLE
    except OSError as error:
        print(f"error: {error}. Nothing was written.", file=sys.stderr)
        return NOT_POSSIBLE
    # Some of botocore's messages end in a full stop.
    except (BotoCoreError, ClientError) as error:
        print(f"error: AWS could not be asked: {str(error).rstrip('.')}. See to credentials (AWS_PROFILE) and Region "
              "(AWS_REGION).", file=sys.stderr)
        return NOT_POSSIBLE


def parsed(arguments):
    parser = argparse.ArgumentParser(
        prog="configure.py", description=__doc__, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", metavar="NAME", help="the endpoint that clients use today: a name, or an address")
    parser.add_argument("--link", metavar="STACK", help="put the database on the link of this stack")
    parser.add_argument("--set", metavar="NAME=VALUE", action="append", default=[], type=pair,
                        help="a parameter of the template, in place of what AWS says or of a question")
    parser.add_argument("--principals", metavar="WHO", help="who may connect: accounts or ARNs, with commas")
    parser.add_argument("--acceptance", choices=["yes", "no"], help="whether you accept each consumer by hand")
    parser.add_argument("--email", metavar="ADDRESS", help="who gets alarms and connection requests; '' for nobody")
    parser.add_argument("--preset", metavar="NAME", help="answers of an environment of samconfig.toml: starburst, planetscale")
    parser.add_argument("--strict", action="store_true", help="AllowedCidrs: the database's subnets, not all of its VPC")
    parser.add_argument("--environment", metavar="NAME",
                        help="the environment to write (default: the preset, the database on a link, or default)")
    parser.add_argument("--stack", metavar="NAME", help="name of the stack (default: failover-sync, or with the environment's)")
    parser.add_argument("--config-file", metavar="FILE", default=ROOT / "samconfig.toml", type=Path,
                        help="default: samconfig.toml beside template.yaml")
    parser.add_argument("--parameters", metavar="FILE", help="write JSON for `aws cloudformation` in place of samconfig.toml")
    parser.add_argument("--yes", action="store_true", help="ask nothing; never overwrites other answers")
    parser.add_argument("--replace", action="store_true", help="overwrite the answers that the environment has")
    parser.add_argument("--json", action="store_true", help="print all parameters as JSON")
    parser.add_argument("--deploy", action="store_true", help="run the next command as well")
    return parser.parse_args(arguments)


def pair(text):
    name, is_pair, value = text.partition("=")
    if not is_pair:
        raise argparse.ArgumentTypeError(f"{text!r} is no NAME=VALUE")
    return name, value


def run(options, out):
    asker = questions.Nobody() if options.yes else questions.Asker(out)
    if not options.yes and not questions.at_terminal():
        raise WrongUse("this is no terminal: answer with --yes --principals WHO, and --acceptance and --email if you like")
    # boto3 by itself reads AWS_DEFAULT_REGION and no AWS_REGION, which version 2 of the AWS CLI prefers.
    session = boto3.Session(region_name=os.environ.get("AWS_REGION"))
    database = rds_endpoint.find(ReadOnly(session, ACTIONS), options.name)
    if database.region is None:
        raise NotPossible("no Region is known: set AWS_REGION")
    say_what_was_found(database, session.region_name, options, asker, out)

    target = Target(ROOT, options, database)
    settings = Settings(target.template, target.stack, session.get_partition_for_region(database.region))
    say_flags(settings, options)
    aws = ReadOnly(session, ACTIONS, database.region)
    settings.saved = (target.answers_for(database), target.source)
    fill(aws, settings, database, options, asker)
    if missing := settings.missing():
        raise NotPossible(f"{', '.join(missing)} is not known. {' '.join(settings.warnings)}")
    if refusals := settings.refusals():
        raise NotPossible(" ".join(refusals))

    print(f"\n{report.table(settings)}\n", file=out)
    write(target, settings, database, asker, options, out)
    commands = target.commands()
    if options.json:
        print(report.as_json(settings, endpoint=database.name, region=database.region, stack=target.stack,
                             written=str(target.file), commands=[shlex.join(one) for one in commands]))
    print("Next:" if not options.deploy else "Deploying:", file=out)
    for command in commands:
        print(f"  {shlex.join(command)}", file=out)
    if options.deploy:
        deploy(commands)
    return WRITTEN


def say_flags(settings, options):
    flags = {"AllowedPrincipals": options.principals, "AcceptanceRequired": options.acceptance,
             "OperationsEmail": options.email, **dict(options.set)}
    for name, value in flags.items():
        if value is not None:
            settings.say(name, questions.normal(settings, name, value))


def say_what_was_found(database, region, options, asker, out):
    if database.is_of_rds:
        what = {"readers": "the reader endpoint of", "custom": "a custom endpoint of", "proxy": "an endpoint of the proxy",
                "cluster": "the cluster", "instance": "the instance"}.get(database.kind, "a name of")
        print(f"{database.name}: {what} {database.identifier} in {database.region}", file=out)
    elif database.kind == "address":
        print(f"{database.name}: an address, which is kept registered as it is", file=out)
    else:
        looked = "may not be asked" if database.unseen else "has none of that name"
        print(f"{database.name}: RDS {looked} in {database.region}", file=out)
        for close in database.close:
            print(f"  Did you mean {close}?", file=out)
        if rds_endpoint.region_of(database.name) and not database.unseen and "DatabaseKind" not in dict(options.set):
            # Of another account, or a mistake.
            if not asker.agrees("Go on with it as with a name of your own?", default=False):
                raise NotPossible(f"{database.name} is a name that RDS gives, and no database here has it. If another "
                                  "account has it: --set DatabaseKind=hostname")
    if region not in (None, database.region):
        print(f"  The name is of {database.region}, and AWS_REGION says {region}: {database.region} is configured.", file=out)


def fill(aws, settings, database, options, asker):
    """Flags came first; then what was answered before, then AWS, then questions."""
    if not options.replace:
        settings.take_saved()
    there = network.Network(aws, settings, database)
    settings.put("DatabaseEndpoint", database.name, YOU)
    if options.link:
        link.fill_from_stack(aws, settings, options.link)
    databases.fill(settings, database)
    questions.ask_for_database(asker, settings, database)
    network.fill_vpc(there)
    questions.ask_for_vpc(asker, settings, there)
    if options.strict:
        network.fill_strict_targets(there)
    if options.link:
        link.fill(there, lambda port: questions.ask(asker, settings, questions.Question(
            "ListenerPort", str(port), source="the next that is free")))
    else:
        network.fill(there, kept=settings.saved[0].get("SubnetIds", "").split(","))
    questions.ask_for_network(asker, settings, there)
    probe.fill(there)
    if probe.is_asked_for(settings):
        questions.ask_for_function(asker, settings, there)
    questions.ask_for_people(asker, settings)
    settings.take_saved()
    databases.warn(settings, database)


def write(target, settings, database, asker, options, out):
    """Writes after a last question, and not over other answers unless that is what it says."""
    differing = target.differing(settings)
    if differing and not options.replace:
        print(f"{target.place} has other answers:", file=out)
        for name, (old, new) in differing.items():
            print(f"  {name}: {old} -> {new}", file=out)
        if options.yes:
            raise NotPossible(f"{target.place} has other answers. Nothing was written: --replace overwrites them, "
                              "--environment NAME writes others.")
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
