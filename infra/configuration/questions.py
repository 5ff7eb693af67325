"""What is asked: only what neither AWS nor a template can know, or what AWS does not tell this caller."""

import re
import sys
import textwrap
from dataclasses import dataclass

from configuration.database import ENGINES, PORTS, guessed_kind
from configuration.network import choose_group
from configuration.probe import suggested_group
from configuration.settings import DEFAULT, NotPossible, WrongUse

SENTENCES = {
    "DatabaseKind": "What is this endpoint? infra/vendors.md says how to tell.",
    "DatabaseEngine": "Which engine is it? It decides how often the load balancer connects.",
    "DatabasePort": "On which port does the database listen?",
    "VpcId": "In which VPC shall the load balancer be? The database must be reachable from there.",
    "SubnetIds": "In which subnets, one in each zone that the database can move to?",
    "DatabaseSecurityGroupId": "Which security group does the database have? Empty: give its ranges instead.",
    "DatabaseCidrs": "In which ranges is the database, as 10.0.1.0/24,10.0.2.0/24?",
    "ListenerPort": "On which port shall consumers connect? Another database of the link has the database's port.",
    "FunctionSubnetIds": "In which private subnets shall the function be, so that it reaches the database?",
    "FunctionSecurityGroupIds": "Which security group shall the function have? It needs a way to the APIs and the database.",
    "AllowedPrincipals": "Who may connect? Accounts, or ARNs of roles and users, separated by commas.",
    "AcceptanceRequired": "Will you accept each consumer by hand before it can connect?",
    "OperationsEmail": "Which e-mail address gets alarms and connection requests? Empty: none.",
}
FLAGS = {"AllowedPrincipals": "--principals", "AcceptanceRequired": "--acceptance", "OperationsEmail": "--email"}
YES, NO = ("y", "yes", "true"), ("n", "no", "false")


class Stopped(Exception):
    """The person left."""


@dataclass
class Question:
    name: str
    default: str | None = None
    choices: list | None = None
    is_required: bool = False
    # Where the default comes from.
    source: str = DEFAULT


class Asker:
    """A person at a terminal."""

    def __init__(self, out):
        self.out = out

    def ask(self, settings, question):
        name, default = question.name, question.default
        print(f"\n{SENTENCES[name]}", file=self.out)
        for choice in question.choices or []:
            print(f"    {choice}", file=self.out)
        while True:
            answer = self.line(f"  {name}" + (f" [{default}]" if default else "") + ": ") or default or ""
            value = normal(settings, name, answer)
            complaint = "must be given." if question.is_required and not value else settings.complaint(name, value)
            if complaint is None:
                settings.say(name, value)
                return
            print(textwrap.fill(f"! {complaint}", 98, initial_indent="  ", subsequent_indent="    "), file=self.out)

    def agrees(self, text, default):
        while True:
            answer = self.line(f"{text} [{'Y/n' if default else 'y/N'}] ").lower()
            if answer in ("", *YES, *NO):
                return default if not answer else answer in YES
            print("  ! y or n", file=self.out)

    def line(self, prompt):
        print(prompt, end="", flush=True, file=self.out)
        try:
            return input().strip()
        except (EOFError, KeyboardInterrupt) as error:
            print(file=self.out)
            raise Stopped from error


class Nobody:
    """In place of a person: defaults, and what has none is not possible."""

    def ask(self, settings, question):
        if question.default is None and question.is_required:
            flag = FLAGS.get(question.name, f"--set {question.name}=")
            error = WrongUse if question.name in FLAGS else NotPossible
            why = "; ".join(settings.unseen.values())
            raise error(f"{question.name} is not known{f' ({why})' if why and error is NotPossible else ''}: give {flag}")
        if question.default:
            settings.say(question.name, question.default, question.source)

    def agrees(self, text, default):
        return default


def ask_for_database(asker, settings, database):
    """What RDS did not tell of the database."""
    kind = guessed_kind(database.name) if database.unseen else None
    ask(asker, settings, Question("DatabaseKind", kind, is_required=True, source="what the name looks like"))
    ask(asker, settings, Question("DatabaseEngine", None, [", ".join([*ENGINES, "other"])], is_required=True))
    port = PORTS.get(settings.value("DatabaseEngine"))
    ask(asker, settings, Question("DatabasePort", port, is_required=True, source="the engine's own"))


def ask_for_vpc(asker, settings, network):
    vpcs = [] if settings.has("VpcId") else settings.look(
        lambda: network.aws.all("ec2", "DescribeVpcs", "Vpcs")) or []
    choices = [described(one, "VpcId") for one in vpcs]
    default = vpcs[0]["VpcId"] if len(vpcs) == 1 else None
    ask(asker, settings, Question("VpcId", default, choices, is_required=True, source="the only one"))


def ask_for_network(asker, settings, network):
    """What of the network is not known, or not certain."""
    there = sorted(network.subnets(network.vpc) or [], key=lambda one: one["AvailabilityZone"])
    choices = [described(one, "SubnetId", "AvailabilityZone") for one in there]
    ask(asker, settings, Question("SubnetIds", None, choices, is_required=True))
    if not settings.has("DatabaseSecurityGroupId") and not settings.value("DatabaseCidrs"):
        groups = choose_group(network)
        choices = [f"{group}  {why}" for group, why in groups]
        first, why = groups[0] if groups else (None, "")
        ask(asker, settings, Question("DatabaseSecurityGroupId", first, choices, source=f"{why}, the first of several"))
    if not settings.value("DatabaseSecurityGroupId") and not network.is_let_in:
        ask(asker, settings, Question("DatabaseCidrs", is_required=True))


def ask_for_function(asker, settings, network):
    """Where the function stands that asks the database."""
    ask(asker, settings, Question("FunctionSubnetIds", is_required=True))
    if not settings.has("FunctionSecurityGroupIds"):
        ask(asker, settings, Question("FunctionSecurityGroupIds", suggested_group(network), is_required=True,
                                      source="the VPC's default group"))


def ask_for_people(asker, settings):
    """The three that nobody but the owner can know."""
    ask(asker, settings, Question("AllowedPrincipals", is_required=True))
    ask(asker, settings, Question("AcceptanceRequired", "true", is_required=True))
    # An address subscribes to the stack's own topic alone.
    if not settings.value("OperationsTopicArn"):
        ask(asker, settings, Question("OperationsEmail"))


def ask(asker, settings, question):
    settings.take_saved([question.name])
    if not settings.has(question.name):
        asker.ask(settings, question)


def normal(settings, name, answer):
    """An answer as the template has it: an account is its ARN, y is true."""
    if settings.template.parameters.get(name, {}).get("AllowedValues") == ["true", "false"]:
        return "true" if answer.lower() in YES else "false" if answer.lower() in NO else answer
    parts = [part.strip() for part in answer.split(",")]
    if name == "AllowedPrincipals":
        parts = [f"arn:{settings.partition}:iam::{part}:root" if re.fullmatch("[0-9]{12}", part) else part
                 for part in parts]
    return ",".join(parts)


def described(resource, *keys):
    name = next((one["Value"] for one in resource.get("Tags", []) if one["Key"] == "Name"), "")
    return "  ".join(filter(None, [*(resource[key] for key in keys), resource.get("CidrBlock"), name]))


def at_terminal():
    return sys.stdin.isatty()
