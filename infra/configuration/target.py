"""What is deployed, where its parameters are written, and the commands that come next."""

import os
from pathlib import Path

from configuration import database as databases
from configuration import report
from configuration.samconfig import Environment, written
from configuration.settings import WrongUse
from configuration.template import Template

PROJECT = "failover-sync"
FRONT_DOOR = "template.yaml"


def path(options):
    """The template of what is asked for."""
    if options.target_group:
        return "infra/function.yaml"
    return "infra/database.yaml" if options.link else FRONT_DOOR


class Target:
    """A template, the name of its stack, and the file for its parameters."""

    def __init__(self, root, options, database):
        self.root, self.region = root, database.region
        self.path = path(options)
        self.template = Template(root / self.path)
        self.config, self.parameters = options.config_file, options.parameters
        self.file = Path(self.parameters or self.config)
        default = (options.stack or databases.stack_name(database)) if self.is_layer else "default"
        name = options.environment or options.preset or default
        self.environment = Environment(self.config, name)
        self.preset = Environment(self.config, options.preset) if options.preset else None
        if self.preset and not self.preset.exists:
            raise WrongUse(f"{self.config} has no preset {options.preset}")
        default = PROJECT if name == "default" else f"{PROJECT}-{name}"
        default = name if self.is_layer else default
        self.stack = options.stack or self.environment.option("stack_name") or default

    @property
    def is_layer(self):
        return self.path != FRONT_DOOR

    @property
    def place(self):
        """The file, and what in it, as a person calls it."""
        shown = os.path.relpath(self.file)
        return shown if self.parameters else f"[{self.environment.name}] of {shown}"

    def answers_for(self, database):
        """What was answered before and is not for another database, and what it is called."""
        there = self.environment.answers()
        preset = self.preset.answers() if self.preset else {}
        answers = preset | there
        if answers.get("DatabaseEndpoint", database.name) != database.name:
            return {}, ""
        is_fresh = "DatabaseEndpoint" not in there
        return answers, f"preset {self.preset.name}" if preset and is_fresh else self.config.name

    def differing(self, settings):
        """What the file has otherwise: name, and the values there and here."""
        if self.parameters:
            return {"all": ("the file", "these")} if self.file.exists() else {}
        there, here = self.environment.answers(), settings.values()
        return {
            name: (value, here.get(name, ""))
            for name, value in there.items()
            if here.get(name, "") != value
        }

    def write(self, settings, database):
        rows = settings.ordered()
        if self.parameters:
            written(self.file, report.parameters_json(rows))
        else:
            self.environment.put(rows, self.stack, self.region, database.name)
            self.environment.write()

    def commands(self):
        """What deploys it: a checkout compiles first, a release has all that it needs."""
        template, first = self.path, []
        if (self.root / "Makefile").exists():
            template = (
                f".aws-sam/{Path(self.path).stem if self.is_layer else 'build'}/template.yaml"
            )
            first = [["make", "build"]]
            if self.is_layer:
                built = str(Path(template).parent)
                first = [["sam", "build", "--template-file", self.path, "--build-dir", built]]
        if self.parameters:
            return [*first, *self.aws_commands(template)]
        deploy = ["sam", "deploy", "--config-env", self.environment.name]
        if self.is_layer:
            deploy += ["--template-file", template]
        # sam looks for its file beside the template.
        if self.is_layer or not self.is_beside:
            deploy += ["--config-file", str(self.config.resolve())]
        return [*first, deploy]

    @property
    def is_beside(self):
        return self.config.resolve() == (self.root / "samconfig.toml").resolve()

    def aws_commands(self, template):
        package = [
            "sam",
            "package",
            "--template-file",
            template,
            "--resolve-s3",
            "--output-template-file",
            "packaged.yaml",
        ]
        deploy = [
            "aws",
            "cloudformation",
            "deploy",
            "--template-file",
            "packaged.yaml",
            "--stack-name",
            self.stack,
            "--capabilities",
            "CAPABILITY_IAM",
            "--parameter-overrides",
            f"file://{self.file.resolve()}",
        ]
        return [[*one, "--region", self.region] for one in (package, deploy)]
