"""What is asked: only what nobody else can know, or what AWS does not tell this caller."""

import re
import textwrap
from dataclasses import dataclass

from configuration.access import candidate_groups
from configuration.database import ENGINES, PORTS, guessed_kind
from configuration.probe import suggested_group
from configuration.settings import DEFAULT, NotPossible, WrongUse

SENTENCES = {
    "DatabaseKind": "What is this endpoint? infra/vendors.md says how to tell.",
    "DatabaseEngine": "Which engine is it? It decides how often the load balancer connects.",
    "DatabasePort": "On which port does the database listen?",
    "VpcId": "In which VPC shall the load balancer be? The database must be reachable from there.",
    "SubnetIds": "In which subnets, one in each zone that the database can move to?",
    "DatabaseSecurityGroupId": "Which security group does the database have? Empty: give ranges.",
    "DatabaseCidrs": "In which ranges is the database, as 10.0.1.0/24,10.0.2.0/24?",
    "ListenerPort": "On which port shall consumers connect? The database's is taken.",
    "FunctionSubnetIds": "In which private subnets shall the function be?",
    "FunctionSecurityGroupIds": "Which security group shall the function have?",
    "AllowedPrincipals": "Who may connect? Accounts, or ARNs of roles and users, with commas.",
    "AcceptanceRequired": "Will you accept each consumer by hand before it can connect?",
    "OperationsTopicArn": "To which SNS topic shall the alarms go, as its ARN?",
    "OperationsEmail": "Which e-mail address gets alarms and connection requests? Empty: none.",
}
FLAGS = {
    "AllowedPrincipals": "--principals",
    "AcceptanceRequired": "--acceptance",
    "OperationsEmail": "--email",
}
YES, NO = ("y", "yes", "true"), ("n", "no", "false")


class Stopped(Exception):
    """The person left."""


@dataclass
class Question:
    name: str
    default: str | None = None
    choices: list | tuple = ()
    is_required: bool = True
    # Where the default comes from.
    source: str = DEFAULT


class Asker:
    """A person at a terminal."""

    def __init__(self, out):
        self.out = out

    def ask(self, settings, question):
        name, default = question.name, question.default
        print(f"\n{SENTENCES[name]}", file=self.out)
        for choice in question.choices:
            print(f"    {choice}", file=self.out)
        prompt = f"  {name} [{default}]: " if default else f"  {name}: "
        while True:
            value = normal(settings, name, self.line(prompt) or default or "")
            complaint = settings.complaint(name, value)
            if question.is_required and not value:
                complaint = "must be given."
            if complaint is None:
                settings.say(name, value)
                return
            complaint = textwrap.fill(
                f"! {complaint}", 96, subsequent_indent="  ", break_on_hyphens=False
            )
            print(textwrap.indent(complaint, "  "), file=self.out)

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
            why = "; ".join(settings.unseen.values()) if error is NotPossible else ""
            raise error(f"{question.name} is not known{f' ({why})' if why else ''}: give {flag}")
        if question.default:
            settings.say(question.name, question.default, question.source)

    def agrees(self, text, default):
        return default


def ask_for_database(asker, settings, database):
    """What RDS did not tell of the database."""
    kind = guessed_kind(database.name) if database.unseen else None
    ask(asker, settings, "DatabaseKind", kind, source="what the name looks like")
    ask(asker, settings, "DatabaseEngine", choices=[", ".join([*ENGINES, "other"])])
    port = PORTS.get(settings.value("DatabaseEngine"))
    ask(asker, settings, "DatabasePort", port, source="the engine's own")


def ask_for_vpc(asker, network):
    settings = network.settings
    vpcs = [] if settings.has("VpcId") else network.all("ec2", "DescribeVpcs", "Vpcs") or []
    default = vpcs[0]["VpcId"] if len(vpcs) == 1 else None
    choices = [described(vpc, "VpcId") for vpc in vpcs]
    ask(asker, settings, "VpcId", default, choices, source="the only one")


def ask_for_subnets(asker, network):
    there = network.subnets(network.vpc) or []
    there = sorted(there, key=lambda subnet: subnet["AvailabilityZone"])
    choices = [described(subnet, "SubnetId", "AvailabilityZone") for subnet in there]
    ask(asker, network.settings, "SubnetIds", choices=choices)


def ask_for_access(asker, network):
    """What lets the load balancer in, if several could."""
    settings = network.settings
    if network.is_let_in:
        return
    if not settings.has("DatabaseSecurityGroupId") and not settings.value("DatabaseCidrs"):
        groups = candidate_groups(network)
        first, source = groups[0] if groups else (None, "")
        source += f", the first of {len(groups)}" if len(groups) > 1 else ""
        choices = [f"{group}  {why}" for group, why in groups]
        name = "DatabaseSecurityGroupId"
        ask(asker, settings, name, first, choices, source=source, is_required=False)
    if not settings.value("DatabaseSecurityGroupId"):
        ask(asker, settings, "DatabaseCidrs")


def ask_for_port(asker, settings, port):
    ask(asker, settings, "ListenerPort", port, source="the next that is free")


def ask_for_function(asker, network):
    """Where the function stands that asks the database."""
    settings, name = network.settings, "FunctionSecurityGroupIds"
    ask(asker, settings, "FunctionSubnetIds")
    default = None if settings.has(name) else suggested_group(network)
    ask(asker, settings, name, default, source="the VPC's default group")


def ask_for_people(asker, settings):
    """What nobody but the owner can know."""
    if "OperationsTopicArn" in settings.template.required():
        ask(asker, settings, "OperationsTopicArn")
    ask(asker, settings, "AllowedPrincipals")
    ask(asker, settings, "AcceptanceRequired", "true")
    # An address subscribes to the stack's own topic alone.
    if not settings.value("OperationsTopicArn"):
        ask(asker, settings, "OperationsEmail", is_required=False)


def ask(asker, settings, name, default=None, choices=(), **more):
    """Asks, unless it is known or was answered before."""
    settings.take_saved([name])
    if not settings.has(name):
        asker.ask(settings, Question(name, default, choices, **more))


def normal(settings, name, answer):
    """An answer as the template has it: an account is its ARN, y is true."""
    if settings.template.parameters.get(name, {}).get("AllowedValues") == ["true", "false"]:
        return "true" if answer.lower() in YES else "false" if answer.lower() in NO else answer
    parts = [part.strip() for part in answer.split(",")]
    if name == "AllowedPrincipals":
        parts = [
            f"arn:{settings.partition}:iam::{part}:root"
            if re.fullmatch("[0-9]{12}", part)
            else part
            for part in parts
        ]
    return ",".join(parts)


def described(resource, *keys):
    name = next((one["Value"] for one in resource.get("Tags", []) if one["Key"] == "Name"), "")
    return "  ".join(
        filter(None, [*(resource[key] for key in keys), resource.get("CidrBlock"), name])
    )
