"""What is deployed, where its parameters are written, and the commands that come next."""

import os
from pathlib import Path

from configuration import database as databases
from configuration import report
from configuration.samconfig import Environment, written
from configuration.settings import WrongUse
from configuration.template import Template

PROJECT = "failover-sync"


class Target:
    """A template, the name of its stack, and the file for its parameters."""

    def __init__(self, root, options, database):
        self.root = root
        self.path = "infra/database.yaml" if options.link else "template.yaml"
        self.template = Template(root / self.path)
        self.config, self.parameters = options.config_file, options.parameters
        self.file = Path(self.parameters or self.config)
        name = (
            options.environment
            or options.preset
            or (options.stack or databases.stack_name(database) if options.link else "default")
        )
        self.environment = Environment(self.config, name)
        self.preset = (
            Environment(self.config, options.preset) if options.preset else self.environment
        )
        if not self.preset.exists and options.preset:
            raise WrongUse(f"{self.config} has no preset {options.preset}")
        default = name if options.link else PROJECT + ("" if name == "default" else f"-{name}")
        self.stack = options.stack or self.environment.option("stack_name") or default
        self.region = database.region

    @property
    def place(self):
        """The file, and what in it, as a person calls it."""
        shown = os.path.relpath(self.file)
        return shown if self.parameters else f"[{self.environment.name}] of {shown}"

    @property
    def source(self):
        return (
            f"preset {self.preset.name}"
            if "DatabaseEndpoint" not in self.preset.answers()
            else self.config.name
        )

    def answers_for(self, database):
        """What was answered before, if it was not for another database."""
        answers = self.preset.answers() | self.environment.answers()
        return answers if answers.get("DatabaseEndpoint", database.name) == database.name else {}

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
        is_checkout = (self.root / "Makefile").exists()
        is_layer = self.path != "template.yaml"
        template = self.path
        if is_checkout:
            template = f".aws-sam/{Path(self.path).stem if is_layer else 'build'}/template.yaml"
        if self.parameters:
            commands = self.aws_commands(template)
        else:
            commands = [["sam", "deploy", "--config-env", self.environment.name]]
            # sam looks for its file beside the template.
            commands[0] += ["--template-file", template] if is_layer else []
            commands[0] += (
                ["--config-file", str(self.config.resolve())]
                if is_layer or not self.is_beside
                else []
            )
        return [["make", "build"], *commands] if is_checkout else commands

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
