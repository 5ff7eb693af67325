"""Runs infra/configure.py in this process against one account that all tests look at."""

import contextlib
import io
import os
import shutil
import socket
import tempfile
from functools import cache
from pathlib import Path
from unittest import TestCase, mock

import boto3

import aws_on_loopback
import configure
from aws_on_loopback import server
from configuration.samconfig import Environment
from world import World

ROOT = Path(__file__).resolve().parents[2]
WHO = ("--principals", "444455556666")


class Session(aws_on_loopback.Session):
    def get_partition_for_region(self, region):
        return self.session.get_partition_for_region(region)


@cache
def session():
    return Session()


@cache
def world():
    with mock.patch.dict(os.environ, server().environment()):
        return World(session())


def environment(**more):
    """What a person with credentials has."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    return kept | server().environment() | {"COLUMNS": "100"} | more


class Case(TestCase):
    """A folder with the project's samconfig.toml; output, error and exit code of a run."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.config = self.folder / "samconfig.toml"
        self.start_over()

    def start_over(self):
        shutil.copy(ROOT / "samconfig.toml", self.config)
        self.before = self.config.read_text(encoding="utf-8")
        self.aws = server()
        self.aws.answers.clear()
        self.aws.answers.update(world().answers)
        self.aws.calls.clear()

    def configure(self, name, *arguments, **variables):
        """`name` and @NAME in arguments stand for what is called so in the account."""
        names = world().names
        given = [names[one[1:]] if one[:1] == "@" else one for one in arguments]
        given = [
            f"{key}={names[value]}" if at else one
            for one in given
            for key, at, value in [one.partition("=@")]
        ]
        out, err = io.StringIO(), io.StringIO()
        with contextlib.ExitStack() as stack:
            stack.enter_context(mock.patch.dict(os.environ, environment(**variables), clear=True))
            # Clients are made once, and no name is looked up on the Internet.
            made = boto3.Session if variables else lambda region_name: session()
            stack.enter_context(mock.patch("boto3.Session", made))
            stack.enter_context(mock.patch("socket.gethostbyname_ex", resolve))
            stack.enter_context(mock.patch("socket.getaddrinfo", addresses))
            stack.enter_context(contextlib.redirect_stdout(out))
            stack.enter_context(contextlib.redirect_stderr(err))
            stack.callback(os.chdir, os.getcwd())
            os.chdir(self.folder)
            try:
                line = [names.get(name, name), "--config-file", str(self.config), *given]
                self.code = configure.main(line)
            except SystemExit as end:
                self.code = end.code
        self.out, self.err = out.getvalue(), err.getvalue()
        return self.code

    def answers(self, name="default"):
        return Environment(self.config, name).answers()

    def assert_untouched(self):
        self.assertEqual(self.config.read_text(encoding="utf-8"), self.before)


def addresses(name, *more, real=socket.getaddrinfo, **options):
    """Only of this machine."""
    if name != "127.0.0.1":
        raise OSError("no such name")
    return real(name, *more, **options)


def resolve(name):
    """A name of the owner's leads to the cluster's, and that to its writer's."""
    if name == "db.example.com":
        return world().names["orders instance"], [name, world().names["orders"]], ["10.0.20.7"]
    raise OSError("no such name")
