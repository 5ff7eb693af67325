"""Runs infra/configure.py in this process against one account that all tests look at."""

import contextlib
import io
import os
import shutil
import sys
import tempfile
from functools import cache
from pathlib import Path
from unittest import TestCase, mock

import boto3
from aws import Aws
from world import REGION, World

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "infra"))

import configure  # noqa: E402
from configuration.samconfig import Environment  # noqa: E402

SESSION = cache(boto3.Session)
WHO = ("--principals", "444455556666")


@cache
def world():
    return World(Aws())


def environment(**more):
    """What a person with credentials has."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    return kept | {"AWS_ENDPOINT_URL": world().aws.url, "AWS_REGION": REGION, "AWS_ACCESS_KEY_ID": "test",
                   "AWS_SECRET_ACCESS_KEY": "test", "AWS_EC2_METADATA_DISABLED": "true", "COLUMNS": "100", **more}


class Case(TestCase):
    """A folder with the project's samconfig.toml, and the program's standard output, error and exit code."""

    def setUp(self):
        world().aws.reset()
        self.folder = Path(self.enterContext(tempfile.TemporaryDirectory()))
        self.config = Path(shutil.copy(ROOT / "samconfig.toml", self.folder))
        self.before = self.config.read_text(encoding="utf-8")

    def configure(self, name, *arguments, **variables):
        """Names of the account stand for what they are there, also as @name in an argument."""
        names = world().names
        given = [names[one[1:]] if one.startswith("@") else one for one in arguments]
        given = [f"{one.split('@')[0]}{names[one.split('@')[1]]}" if "=@" in one else one for one in given]
        out, err = io.StringIO(), io.StringIO()
        # Neither are the API's models read for each run, nor names looked up on the Internet.
        with (mock.patch("boto3.Session", boto3.Session if variables else SESSION), mock.patch.dict(os.environ, environment(**variables), clear=True), contextlib.redirect_stdout(out),
              contextlib.redirect_stderr(err), mock.patch("socket.gethostbyname_ex", resolve),
              contextlib.chdir(self.folder)):
            try:
                self.code = configure.main([names.get(name, name), "--config-file", str(self.config), *given])
            except SystemExit as end:
                self.code = end.code
        self.out, self.err = out.getvalue(), err.getvalue()
        return self.code

    def answers(self, name="default"):
        return Environment(self.config, name).answers()

    def assert_untouched(self):
        self.assertEqual(self.config.read_text(encoding="utf-8"), self.before)


def resolve(name):
    """DNS: a name of the owner's leads to the cluster's, and that to the writer's."""
    if name == "db.example.com":
        return world().names["orders instance"], [name, world().names["orders"]], ["10.0.20.7"]
    raise OSError("no such name")
