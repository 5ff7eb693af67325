"""The parameters of a deployment so far, each with where it comes from."""

from dataclasses import dataclass

from read_only import Unseen

YOU, DEFAULT = "you", "default"


class NotPossible(Exception):
    """Why nothing can be written, and what helps."""


class WrongUse(Exception):
    """What is wrong with how the program was called."""


@dataclass(frozen=True)
class Setting:
    value: str
    source: str


class Settings:
    """What comes first stays: what a person said is before what AWS says."""

    def __init__(self, template, stack, partition="aws"):
        self.template = template
        self.stack = stack
        self.partition = partition
        self.rows = {}
        # What a file has from before, and what it is called.
        self.saved = ({}, "")
        self.warnings = []
        self.hints = []
        # What AWS did not let us see, by the action of IAM.
        self.unseen = {}

    def has(self, name):
        """Whether it is known, or not a matter of this template."""
        return name in self.rows or name not in self.template.parameters

    def value(self, name):
        """What is known, or else the template's default, or None."""
        return self.rows[name].value if name in self.rows else self.template.defaults().get(name)

    def values(self):
        return {name: row.value for name, row in self.rows.items()}

    def put(self, name, value, source):
        """Takes what AWS or a file tells, if the template does."""
        if self.has(name) or value in (None, ""):
            return
        if complaint := self.template.complaint(name, str(value)):
            self.warn(f"{name}={value} ({source}) is not taken: it {complaint}")
        else:
            self.rows[name] = Setting(str(value), source)

    def take_saved(self, names=None):
        """Takes what was answered before."""
        answers, source = self.saved
        for name in answers if names is None else names:
            self.put(name, answers.get(name), source)

    def say(self, name, value, source=YOU):
        """Takes what a person says, also that it is empty."""
        if complaint := self.template.complaint(name, value):
            raise WrongUse(f"{name}={value}: {complaint}")
        self.rows[name] = Setting(value, source)

    def complaint(self, name, value):
        """Why a value is not taken beside the others, or None."""
        if complaint := self.template.complaint(name, value):
            return complaint
        before, after = self.values(), self.values() | {name: value}
        refused = set(self.template.refusals(before, self.stack))
        new = [one for one in self.template.refusals(after, self.stack) if one not in refused]
        return " ".join(new) or None

    def require_all(self):
        """Raises if CloudFormation would not take it."""
        missing = [name for name in self.template.required() if name not in self.rows]
        if missing:
            raise NotPossible(f"{', '.join(missing)} is not known. {' '.join(self.warnings)}")
        if refusals := self.template.refusals(self.values(), self.stack):
            raise NotPossible(" ".join(refusals))

    def warn(self, warning):
        if warning not in self.warnings:
            self.warnings.append(warning)

    def look(self, ask):
        """What AWS answers; None, with a note, if it does not."""
        try:
            return ask()
        except Unseen as error:
            self.unseen[error.action] = " ".join(error.reason.split())
            return None

    def ordered(self):
        """The rows in the order in which the template asks for them."""
        groups = self.template.body["Metadata"]["AWS::CloudFormation::Interface"]["ParameterGroups"]
        order = [name for group in groups for name in group["Parameters"]]
        return {name: self.rows[name] for name in order if name in self.rows}
