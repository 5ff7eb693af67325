"""What is deployed, where its parameters are written, and the commands that come next."""

import os
from pathlib import Path

from configuration import database as databases
from configuration import report
from configuration.samconfig import Environment, written
from configuration.settings import WrongUse

PROJECT = "failover-sync"
FRONT_DOOR = "template.yaml"
FUNCTION = "infra/function.yaml"


def path(options):
    """The template of what is asked for."""
    if options.target_group:
        return FUNCTION
    return "infra/database.yaml" if options.link else FRONT_DOOR


class Target:
    """A template, the name of its stack, and the file for its parameters."""

    def __init__(self, root, template, options, database):
        self.root, self.template, self.region = root, template, database.region
        self.path = path(options)
        self.config = options.config_file
        self.parameters, self.tfvars = options.parameters, options.tfvars
        self.file = Path(self.parameters or self.tfvars or self.config)
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
        return f"[{self.environment.name}] of {shown}" if self.is_samconfig else shown

    @property
    def is_samconfig(self):
        return not (self.parameters or self.tfvars)

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
        if not self.is_samconfig:
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
        elif self.tfvars:
            written(self.file, report.tfvars(rows))
        else:
            self.environment.put(rows, self.stack, self.region, database.name)
            self.environment.write()

    def commands(self):
        """What deploys it: a checkout compiles first, a release has all that it needs."""
        if self.tfvars:
            return [["terraform", "apply", f"-var-file={self.file}"]]
        template, first = self.path, []
        if (self.root / "Makefile").exists():
            built = f".aws-sam/{Path(self.path).stem if self.is_layer else 'build'}"
            template, first = f"{built}/template.yaml", [["make", "build"]]
            if self.is_layer:
                first = [["sam", "build", "--template-file", self.path, "--build-dir", built]]
        if self.parameters:
            # The function's template is larger than what is taken without a bucket.
            is_small = self.path != FUNCTION
            return [*first, *self.aws_commands(template)] if is_small else []
        deploy = ["sam", "deploy", "--config-env", self.environment.name]
        if self.is_layer:
            deploy += ["--template-file", template]
        # sam looks for its file beside the template.
        if self.is_layer or not self.is_beside:
            deploy += ["--config-file", str(self.config.resolve())]
        return [*first, deploy]

    @property
    def advice(self):
        """What comes next where no command can say it."""
        if self.parameters and self.path == FUNCTION:
            return (
                "create a stack of function-standalone.yaml with them, and with CodeS3Bucket, "
                "CodeS3Key and Architecture"
            )
        return None

    @property
    def is_beside(self):
        return self.config.resolve() == (self.root / "samconfig.toml").resolve()

    def aws_commands(self, template):
        package = f"sam package --template-file {template} --resolve-s3"
        create = f"aws cloudformation create-stack --stack-name {self.stack}"
        return [
            [*package.split(), "--output-template-file", "packaged.yaml", "--region", self.region],
            [
                *create.split(),
                *("--template-body", "file://packaged.yaml", "--capabilities", "CAPABILITY_IAM"),
                *("--parameters", f"file://{self.file.resolve()}", "--region", self.region),
            ],
        ]
