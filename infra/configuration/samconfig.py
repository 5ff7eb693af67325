"""Environments of a samconfig.toml: read, and written with all else left as it stands."""

import os
import re
import shlex
import tempfile
from pathlib import Path

import tomlkit
from tomlkit.exceptions import TOMLKitError
from tomlkit.items import Table

from configuration.settings import NotPossible

NEW_ENVIRONMENT = {"capabilities": "CAPABILITY_IAM", "confirm_changeset": True, "resolve_s3": True}


class Environment:
    """What `sam deploy --config-env NAME` reads."""

    def __init__(self, path, name):
        self.path, self.name = Path(path), name
        text = self.path.read_text(encoding="utf-8") if self.path.exists() else "version = 0.1\n"
        try:
            self.document = tomlkit.parse(text)
        except TOMLKitError as error:
            raise NotPossible(f"{self.path} is no TOML: {error}") from error

    @property
    def exists(self):
        return self.name in self.document

    def option(self, name):
        """An option of `sam deploy`, or of all of sam's commands."""
        for command in ("deploy", "global"):
            if (value := self.parameters(command).get(name)) is not None:
                return value
        return None

    def parameters(self, command):
        return self.document.get(self.name, {}).get(command, {}).get("parameters", {})

    def answers(self):
        """The template's parameters that it has."""
        saved = self.option("parameter_overrides") or []
        if isinstance(saved, dict):
            return {name: str(value) for name, value in saved.items()}
        found = {}
        for line in [saved] if isinstance(saved, str) else saved:
            for word in shlex.split(str(line)):
                pair = re.fullmatch(
                    r"ParameterKey=(\w+),ParameterValue=(.*)", word
                ) or re.fullmatch(r"(\w+)=(.*)", word)
                if pair:
                    found[pair[1]] = pair[2]
        return found

    def put(self, rows, stack, region, database):
        """Takes the answers, each with where it comes from."""
        if is_new := not self.exists:
            self.document.add(tomlkit.nl())
            self.document.add(tomlkit.comment(f"{database}, by infra/configure.py"))
            self.document[self.name] = tomlkit.table(is_super_table=True)
        # What stands above the next environment is told of that one.
        above_next = detached(self.last_table())
        common, deploy = self.section("global"), self.section("deploy")
        settle(deploy if "stack_name" in deploy else common, "stack_name", stack)
        settle(deploy if "region" in deploy else common, "region", region)
        for option, value in (NEW_ENVIRONMENT if is_new else {}).items():
            deploy[option] = value
        overrides = tomlkit.array()
        for name, row in rows.items():
            overrides.add_line(f"{name}={quoted(row.value)}", comment=row.source)
        overrides.add_line(indent="")
        settle(deploy, "parameter_overrides", overrides)
        for item in above_next:
            self.last_table().add(item)

    def section(self, command):
        section = self.document[self.name].setdefault(command, tomlkit.table(is_super_table=True))
        return section.setdefault("parameters", tomlkit.table())

    def last_table(self):
        """The table that ends the environment."""
        table = self.document[self.name]
        while inner := [value for value in table.values() if isinstance(value, Table)]:
            table = inner[-1]
        return table

    def write(self):
        written(self.path, tomlkit.dumps(self.document))


def settle(table, name, value):
    """Puts an option in its place, or after the others and before what is said below them."""
    below = [] if name in table else detached(table)
    table[name] = value
    for item in below:
        table.add(item)


def detached(table):
    """The comments and empty lines that end a table, taken out of it."""
    body, found = table.value.body, []
    while body and body[-1][0] is None:
        found.insert(0, body.pop()[1])
    return found


def quoted(value):
    """As sam takes it: what has a space, or is empty, in quotation marks."""
    return value if re.fullmatch(r"[^\s\"']+", value) else '"' + value.replace('"', '\\"') + '"'


def written(path, text):
    """All of it or nothing: a file beside it takes its place."""
    path = Path(path)
    mode = path.stat().st_mode & 0o777 if path.exists() else 0o644
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(name, mode)
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise
