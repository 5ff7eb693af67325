"""Judges the commands and outputs that guides name: the programs parse them, and nothing is sent.

Reads {"guides": {NAME: TEXT}, "templates": [PATH]} as JSON;
prints {NAME: {"commands": [...], "complaints": [...]}}.

A command stands in a block ```sh or between backticks, or an output of a template prints it. `aws`
is parsed by the AWS CLI with the API's models behind it: options, parameters, enumerations, and
whether --query finds something in an answer of the model's shape. `aws cloudformation deploy` is
held to the template as well, `sam` to the options that its commands declare, `make` to the
Makefile; files, tests and packages have to exist, and the comparison of ranges runs. EXAMPLES fill
what a guide leaves to its reader.
"""

import contextlib
import io
import json
import logging
import os
import re
import shlex
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

import click
import jmespath
import yaml
from awscli import clidriver
from awscli.customizations.cloudformation.deploy import DeployCommand
from awscli.customizations.waiters import WaiterCaller
from botocore.validate import ParamValidator
from samcli.cli.main import cli as sam_program
from template_json import Loader

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "infra"))
from standalone import standalone  # noqa: E402

ARN = "arn:aws:elasticloadbalancing:eu-west-1:111122223333"
# In this order; what is left must stand for itself.
EXAMPLES = [
    (r"\b(i|eni|vpc|subnet|sg|rtb|pcx|vpce|vpce-svc|sgr)-…", r"\1-0123456789abcdef0"),
    (r"(?<=-arn )…|(?<=-arns )…|\barn:…", f"{ARN}:loadbalancer/net/link/0123456789abcdef"),
    (r"\b(CONSUMER|REQUESTER|PROVIDER|(IMPLY_|CLIENT_)?ACCOUNT)\b", "444455556666"),
    (r"\b(IMPLY|CLIENT)_VPC\b", "vpc-0123456789abcdef0"),
    (r"\b(IMPLY|CLIENT)_TABLES\b", "rtb-0123456789abcdef0,rtb-0123456789abcdef1"),
    (r"\b(UNMANAGED|DEFAULT|CLIENT)_GROUP\b", "sg-0123456789abcdef0"),
    (r"\bGROUP_ARN\b", f"{ARN}:targetgroup/orders/0123456789abcdef"),
    (r"\bBALANCER_ARN\b", f"{ARN}:loadbalancer/net/orders/0123456789abcdef"),
    (r"\bTOPIC_ARN\b", "arn:aws:sns:eu-west-1:111122223333:orders-operations"),
    (r"\bBUCKET\b", "example-artifacts"),
    (r"\bPEERING\b", "pcx-0123456789abcdef0"),
    (r"\bSUBNET\d?\b", "subnet-0123456789abcdef0"),
    (r"=VPC\b", "=vpc-0123456789abcdef0"),
    (r"=SG\b", "=sg-0123456789abcdef0"),
    (r"\bSERVICE\b", "com.amazonaws.vpce.eu-west-1.vpce-svc-0123456789abcdef0"),
    (r"\bDATABASE_RANGE\b", "10.50.0.0/21"),
    (r"(?<=CIDRS=\")…", "10.50.0.0/21 172.20.0.0/20"),
    (r"\bACCEPTER_STACK\b", "imply-accepter"),
    (r"PRESET=name\b", "PRESET=starburst"),
    (r"(?<=STACK=)…|(?<=deploy-)…", "link"),
    (r"(-link-Link|failover-sync-Link)-…", r"\1-1ABCDEFGHIJKL"),
]
# What CloudFormation puts into an output, by the end of its name; anything else is a word.
VALUES = {
    "AWS::Region": "eu-west-1",
    "Region": "eu-west-1",
    "PeeringConnection": "pcx-0123456789abcdef0",
    "PeeringConnectionId": "pcx-0123456789abcdef0",
    "Port": "9088",
    "Path": "/druid/v2/datasources",
}
# Files that an earlier command makes, or that a guide lets its reader write.
FILES = {
    "function-standalone.yaml": standalone(),
    "failover-sync-arm64.zip": "",
    "imply-routes.json": '{"RouteTables": []}',
    "client-routes.json": '{"RouteTables": []}',
    "packaged.yaml": "{}",
    "parameters.json": "[]",
    "link-import.yaml": "{}",
    "link-parameters.json": "[]",
    "link-resources.json": '[{"ResourceType": "T", "LogicalResourceId": "L", '
    '"ResourceIdentifier": {"Id": "1"}}]',
}
# Programs of the reader's own, whose options are not judged.
TRUSTED = set(
    "curl dig export gh host mysql nc nslookup openssl pip psql rustup seq terraform".split()
)
SHELL = {"do", "then", "else", "until", "while", "if", "!"}
NOT_JUDGED = {"for", "done", "fi", "echo", "sleep", "cd", "date", "test", "["}
PROGRAMS = re.compile(r"(\w+=\S* )*(\S+/)?(aws|sam|make|cargo|python3?) \S")
# The largest template that CloudFormation takes without a bucket, in bytes.
TEMPLATE_LIMIT = 51200


class Wrong(Exception):
    """A command that cannot work, and why."""


def main():
    asked = json.load(sys.stdin)
    # SAM's logger writes whatever AWS's program says.
    logging.disable()
    judge = Judge()
    found = {name: (list(commands(text)), text) for name, text in asked["guides"].items()}
    found |= {path: (list(printed(path)), "") for path in asked["templates"]}
    with tempfile.TemporaryDirectory() as scratch:
        for name, content in FILES.items():
            Path(scratch, name).write_text(content, encoding="utf-8")
        os.chdir(scratch)
        answer = {name: judge.guide(name, *parts) for name, parts in found.items()}
        os.chdir(ROOT)
    for guide, complaint in judge.incomplete_stacks():
        answer[guide]["complaints"].append(complaint)
    json.dump(answer, sys.stdout, indent=1)


# --- What is a command ---


def commands(text):
    """Every command of a guide, as its words, and whether it stands in a sentence."""
    fence = re.compile(r"^\s*(?:(?:\d+\.|[-*])\s+)?```(\w*)\s*$")
    prose, block, language = [], [], None
    for line in text.splitlines():
        mark = fence.match(line)
        if mark is None:
            (prose if language is None else block).append(line)
        elif language is None:
            language, block = mark[1], []
        else:
            if language == "sh":
                yield from ((words, False) for words in simple_commands("\n".join(block)))
            language = None
    for paragraph in re.split(r"\n\s*\n|^\s*\||\|\s*$", "\n".join(prose), flags=re.MULTILINE):
        for span in re.findall(r"`([^`]+)`", paragraph):
            line = re.sub(r"\s+", " ", span)
            if PROGRAMS.match(line):
                yield from ((words, True) for words in simple_commands(line))


def printed(path):
    """Every command that a template prints."""
    for name, output in template(path).get("Outputs", {}).items():
        if name.endswith("Command"):
            for text in texts(output["Value"]):
                yield from ((words, False) for words in simple_commands(text))


def texts(value):
    """The texts that an output can be."""
    if isinstance(value, str):
        return [value]
    [(function, argument)] = value.items()
    if function == "Fn::If":
        return texts(argument[1]) + texts(argument[2])
    if function == "Fn::Sub":
        text = argument if isinstance(argument, str) else argument[0]
        return [re.sub(r"\$\{([\w.:]+)\}", lambda name: VALUES.get(name[1], "example"), text)]
    if function == "Fn::Join":
        return [argument[0].join(texts(part)[0] for part in argument[1])]
    return ["example"]


def simple_commands(text):
    """What a shell would start."""
    for pattern, example in EXAMPLES:
        text = re.sub(pattern, example, text)
    text = text.replace("\\\n", " ")
    for inner in re.findall(r"\$\(([^()]*)\)", text):
        yield from simple_commands(inner)
    for line in lines(re.sub(r"\$\([^()]*\)", "1", text)):
        lexer = shlex.shlex(line, posix=True, punctuation_chars=";&|<>")
        lexer.whitespace_split = True
        words = []
        for word in [*lexer, ";"]:
            if not re.fullmatch(r"[;&|]+", word):
                words.append(word)
                continue
            while words and (words[0] in SHELL or re.match(r"[A-Za-z_]+=", words[0])):
                words.pop(0)
            # It starts the rest of its words, with one that it reads.
            if words and words[0] == "xargs":
                words = [*(word for word in words[1:] if word != "-r"), "example"]
            if words and words[0] not in NOT_JUDGED:
                yield words[: words.index(">")] if ">" in words else words
            words = []


def lines(text):
    """The lines of a block; an open quotation mark goes on to the next."""
    whole = ""
    for line in text.splitlines():
        whole += line
        try:
            shlex.split(whole, comments=True)
        except ValueError:
            whole += "\n"
            continue
        yield whole
        whole = ""
    if whole:
        yield from [whole + "'", whole + '"'][:1]


# --- Whether it can work ---


class Judge:
    def __init__(self):
        self.driver = clidriver.create_clidriver()
        os.environ.update(AWS_DEFAULT_REGION="eu-west-1", AWS_CONFIG_FILE=os.devnull)
        # In place of the call.
        clidriver.CLIOperationCaller.invoke = judged_call
        WaiterCaller.invoke = judged_call
        DeployCommand._run_main = lambda _, options, __: self.deploy(options) or 0
        makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
        self.targets = set(re.findall(r"^([a-z][a-z0-9-]*):(?!=)", makefile, re.MULTILINE))
        self.variables = set(re.findall(r"\$\((?:[a-z]+ )?([A-Z][A-Z_]+)\)", makefile))
        self.variables.add("AWS_ENDPOINT_URL")
        samconfig = (ROOT / "samconfig.toml").read_text(encoding="utf-8")
        self.environments = set(tomllib.loads(samconfig))
        # What all commands give a stack, and which guide begins: a stack that exists may have one
        # parameter changed.
        self.stacks = {}

    def guide(self, name, found, text):
        self.name, complaints = name, []
        self.environments |= set(re.findall(r"answer\s+`([a-z]+)`", text))
        for words, is_mention in found:
            try:
                self.command(words, is_mention)
            except Wrong as wrong:
                complaints.append(f"{shlex.join(words)}: {wrong}")
        complaints += unknown_outputs(text)
        return {"commands": [shlex.join(words) for words, _ in found], "complaints": complaints}

    def command(self, words, is_mention):
        program, arguments = Path(words[0]).name, words[1:]
        if any("…" in word for word in words) and program not in TRUSTED:
            raise Wrong("tests/guides.py has no example for what is left to the reader")
        if program == "aws":
            self.aws(arguments, is_mention)
        elif program == "sam":
            self.sam(arguments)
        elif program == "make":
            self.make(arguments)
        elif program in ("python", "python3"):
            exists(arguments)
            if arguments[:1] == ["infra/check_peering.py"] and len(arguments) > 1:
                compared([sys.executable, str(ROOT / arguments[0]), *arguments[1:]])
        elif program == "cargo":
            cargo(arguments)
        elif program not in TRUSTED:
            raise Wrong("tests/guides.py does not know this program")

    def aws(self, arguments, is_mention):
        is_name = is_mention and len(arguments) == 2
        said = io.StringIO()
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
            try:
                status = self.driver.main(arguments)
            except SystemExit as end:
                status = end.code
        # The usage comes first, and after a name that is unknown all that there are.
        complaint = re.sub(r"\s+", " ", re.split(r" help\n|\n\n\n", said.getvalue())[-1]).strip()
        if status != 0 and not (is_name and "required" in complaint):
            raise Wrong(complaint)

    def deploy(self, options):
        path = options.template_file
        exists([path])
        if len(content(path).encode()) > TEMPLATE_LIMIT:
            raise Wrong(
                f"{path} is larger than CloudFormation takes without a bucket: sam deploys it"
            )
        parameters = template(path).get("Parameters", {})
        given = dict(pair.partition("=")[::2] for pair in options.parameter_overrides or [])
        for name, value in given.items():
            if name not in parameters:
                raise Wrong(f"{path} has no parameter {name}")
            if not takes(parameters[name], value):
                raise Wrong(f"{name} of {path} does not take {value!r}")
        types = {resource["Type"] for resource in template(path)["Resources"].values()}
        if any(name.startswith("AWS::IAM::") for name in types) and not options.capabilities:
            raise Wrong(f"{path} makes a role: --capabilities CAPABILITY_IAM is missing")
        stack = self.stacks.setdefault((options.stack_name, path), (self.name, set()))
        stack[1].update(given)

    def incomplete_stacks(self):
        """By guide: a stack that no command gives a parameter that has no default."""
        for (stack, path), (guide, given) in self.stacks.items():
            parameters = template(path)["Parameters"]
            required = {name for name, body in parameters.items() if "Default" not in body}
            for name in sorted(required - given):
                yield guide, f"nothing gives the stack {stack} {name}, which {path} requires"

    def sam(self, arguments):
        # Without an object the group answers with commands that declare nothing.
        context, command = click.Context(sam_program, info_name="sam", obj=True), sam_program
        while isinstance(command, click.MultiCommand):
            name = arguments[0] if arguments else ""
            command, arguments = command.get_command(context, name), arguments[1:]
            if command is None:
                raise Wrong(f"there is no sam {name}")
        try:
            given, rest, _ = command.make_parser(context).parse_args(list(arguments))
        except click.ClickException as error:
            raise Wrong(error.format_message()) from None
        required = [option for option in command.params if option.required]
        missing = [option.opts[0] for option in required if option.name not in given]
        if rest or missing:
            raise Wrong(f"left over is {rest}, missing {missing}")
        if given.get("template_file"):
            exists([re.sub(r"^(dist|\.aws-sam/build)/", "", given["template_file"])])
        self.environments.add(given.get("config_env"))

    def make(self, arguments):
        for argument in arguments:
            name, is_variable, value = argument.partition("=")
            if is_variable and name not in self.variables:
                raise Wrong(f"the Makefile has no variable {name}")
            if not is_variable and name not in self.targets:
                raise Wrong(f"there is no make {name}")
            if name == "PRESET" and value not in self.environments:
                raise Wrong(
                    f"samconfig.toml has no PRESET {value}, and no deployment of the guides saves "
                    "it"
                )
            if name == "check-peering" and len(arguments) > 1:
                compared(["make", "--no-print-directory", "-C", str(ROOT), *arguments])
            # A layer saves its answers in an environment of its stack's name.
            if name == "STACK" and any(target.startswith("deploy") for target in arguments):
                self.environments.add(value)


def judged_call(caller, service, operation, parameters, options):
    """In place of a call or a waiter: its model judges the call, an answer of its shape --query."""
    model = caller._session.get_service_model(service).operation_model(operation)
    if model.input_shape:
        report = ParamValidator().validate(parameters, model.input_shape)
        if report.has_errors():
            raise Wrong(report.generate_report().replace("\n", "; "))
        check_enumerations(model.input_shape, parameters)
    if options.query is not None:
        # A filter would look for values.
        query = re.sub(r"\[\?([^\[\]]|\[[^\]]*\])*\]", "[]", options.query.expression)
        if has_nothing(jmespath.search(query, sample(model.output_shape))):
            raise Wrong(f"--query finds nothing in the answer of {operation}")
    return 0


def check_enumerations(shape, value):
    """The program sends what the API would refuse."""
    if shape.type_name == "structure":
        for name, member in value.items():
            check_enumerations(shape.members[name], member)
    elif shape.type_name == "list":
        for member in value:
            check_enumerations(shape.member, member)
    elif getattr(shape, "enum", None) and value not in shape.enum:
        raise Wrong(f"{value!r} is none of {', '.join(shape.enum)}")


def sample(shape, above=()):
    """An answer of a shape, in which everything is there."""
    if shape is None or shape.name in above:
        return {}
    above = (*above, shape.name)
    if shape.type_name == "structure":
        return {name: sample(member, above) for name, member in shape.members.items()}
    if shape.type_name == "list":
        return [sample(shape.member, above)] * 3
    if shape.type_name == "map":
        return {"key": sample(shape.value, above)}
    simple = {"boolean": True, "integer": 1, "long": 1, "float": 1.0, "double": 1.0}
    return simple.get(shape.type_name, "text")


def has_nothing(found):
    if isinstance(found, list):
        return not found or any(map(has_nothing, found))
    if isinstance(found, dict):
        return any(map(has_nothing, found.values()))
    return found is None


def exists(arguments):
    """The first is a file of the project, if it is a path at all."""
    [path] = [argument for argument in arguments if not argument.startswith("-")][:1] or [""]
    if re.search(r"\.(py|ya?ml)$", path) and path not in FILES and not (ROOT / path).is_file():
        raise Wrong(f"there is no file {path}")


def compared(command):
    """Runs the one program that needs no AWS. What it says of the ranges is the guide's matter."""
    said = subprocess.run(command, capture_output=True, text=True, check=False).stderr
    if re.search(r"^(error|usage): ", said, re.MULTILINE):
        raise Wrong(said.strip())


def cargo(arguments):
    manifests = [*ROOT.glob("functions/*/Cargo.toml"), *ROOT.glob("tests/**/Cargo.toml")]
    read = [tomllib.loads(path.read_text(encoding="utf-8")) for path in manifests]
    packages = {manifest["package"]["name"] for manifest in read}
    tests = {test["name"] for manifest in read for test in manifest.get("test", [])}
    tests |= {path.stem for path in ROOT.glob("functions/*/tests/*.rs")}
    tests |= {path.parent.name for path in ROOT.glob("functions/*/tests/*/main.rs")}
    for option, value in zip(arguments, arguments[1:]):
        if option in ("-p", "--package") and value not in packages:
            raise Wrong(f"there is no package {value}")
        if option == "--test" and value not in tests:
            raise Wrong(f"there is no test {value}")


def template(path):
    if path not in TEMPLATES:
        TEMPLATES[path] = yaml.load(content(path), Loader=Loader)
    return TEMPLATES[path]


def content(path):
    return FILES[path] if path in FILES else (ROOT / path).read_text(encoding="utf-8")


TEMPLATES = {}


def takes(parameter, value):
    """Whether CloudFormation takes this value of a parameter."""
    if "AllowedValues" in parameter:
        return value in map(str, parameter["AllowedValues"])
    return re.search(parameter.get("AllowedPattern", ""), value) is not None


def unknown_outputs(text):
    """What a guide calls an output, of none of the templates that it names."""
    names = re.findall(r"\b([a-z-]+\.yaml)\b", text)
    named = {place + name for name in names for place in ("", "infra/")}
    named |= {f"infra/{layer}.yaml" for layer in re.findall(r"make deploy-([a-z-]+)", text)}
    if re.search(r"make (deploy|accept|invoke)\b(?!-)", text):
        named |= {"template.yaml"}
    paths = [path for path in named if (ROOT / path).is_file()] or ["template.yaml"]
    outputs = {name for path in paths for name in template(path).get("Outputs", {})}
    phrases = re.findall(r"[Oo]utputs?\s+((?:`\w+`(?:,\s+|\s+and\s+|\s+or\s+)?)+)", text)
    claimed = [name for phrase in phrases for name in re.findall(r"`(\w+)`", phrase)]
    claimed += re.findall(r"`(\w+Command)`", text) + re.findall(r"OutputKey=='(\w+)'", text)
    unknown, templates = sorted(set(claimed) - outputs), ", ".join(sorted(paths))
    return [f"{name} is an output of none of {templates}" for name in unknown]


if __name__ == "__main__":
    main()
