"""From an unpacked release to stacks on the local AWS: the endpoint's name, and three answers.

The release's functions are of no use: what is deployed is not invoked.
"""

import os
import shlex
import socket
import subprocess
import sys
import tarfile
import tempfile
import time
import unittest
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parent.parent / "configure"))

import boto3
import package
from terminal import Terminal

from account import ROOT, environment, server, world
from aws_on_loopback import REGION
from configuration.samconfig import Environment

FUNCTION = b"\x7fELF" + bytes(14) + (62).to_bytes(2, "little") + b"GLIBC_2.17"
TOPIC = f"arn:aws:sns:{REGION}:000000000000:operations"
# Seconds, for a busy machine.
PATIENCE = 120


class Deployed(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.folder = Path(folder.name)
        cls.release = unpacked(cls.folder)
        cls.url = emulator(cls)
        # What is looked at is another account than where the stacks go: moto has no stacks.
        server().answers.update(world().answers)
        cls.stacks = boto3.client(
            "cloudformation",
            endpoint_url=cls.url,
            region_name=REGION,
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )

    def test_a_new_link(self):
        answers = ("444455556666\n", "\n", "ops@example.com\n", "y\n")
        self.deploy("template.yaml", "default", answers)
        self.assert_deployed("failover-sync", "default")

    def test_the_function_for_a_target_group_that_exists(self):
        group = ("--target-group", world().names["target-group"])
        self.deploy("infra/function.yaml", "orders", (f"{TOPIC}\n", "y\n"), *group)
        self.assert_deployed("orders", "orders")

    def deploy(self, template, name, answers, *arguments):
        """Configures it in a terminal, and runs what it says is next."""
        program = self.release / "infra/configure.py"
        terminal = Terminal(self.release, program, world().names["orders"], *arguments)
        for answer in answers:
            terminal.answer(answer)
        self.assertEqual(terminal.code(), 0, terminal.seen)
        # The local CloudFormation refuses some types.
        path = self.release / template
        fit = [
            sys.executable,
            ROOT / "tests/lab/strip_template.py",
            path,
            path.with_suffix(".local"),
        ]
        subprocess.run(fit, check=True, stdout=subprocess.DEVNULL)
        path.with_suffix(".local").replace(path)
        [command] = terminal.seen.partition("Next:\n")[2].splitlines()
        self.assertIn(f"--config-env {name}", command)
        variables = environment(AWS_ENDPOINT_URL=self.url, SAM_CLI_TELEMETRY="0")
        variables |= {"AWS_DEFAULT_REGION": REGION, "AWS_MAX_ATTEMPTS": "3"}
        variables["PATH"] = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        done = subprocess.run(
            [*shlex.split(command), "--no-confirm-changeset", "--no-progressbar"],
            cwd=self.release,
            env=variables,
            capture_output=True,
            text=True,
        )
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def assert_deployed(self, stack, name):
        [found] = self.stacks.describe_stacks(StackName=stack)["Stacks"]
        self.assertEqual(found["StackStatus"], "CREATE_COMPLETE")
        there = {one["ParameterKey"]: one["ParameterValue"] for one in found["Parameters"]}
        answers = Environment(self.release / "samconfig.toml", name).answers()
        self.assertGreater(len(answers), 10)
        self.assertEqual({key: there.get(key) for key in answers}, answers)


def unpacked(folder):
    """A release as a person has it after `tar xf`."""
    for function in package.FUNCTIONS:
        package.put(folder / "binaries" / function / "bootstrap", FUNCTION)
    package.main(folder / "dist", {"x86_64": folder / "binaries"}, [])
    [archive] = (folder / "dist").glob("*.tar.gz")
    with tarfile.open(archive) as packed:
        packed.extractall(folder / "unpacked")
    [release] = (folder / "unpacked").iterdir()
    return release


def emulator(case):
    """The local AWS, which ends with the tests."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    state = case.folder / "state"
    state.mkdir()
    url = f"http://127.0.0.1:{port}"
    variables = os.environ | {
        "AWS_ENDPOINT_URL": url,
        "BIND_HOST": "127.0.0.1",
        "GATEWAY_PORT": str(port),
        "IOT_MTLS_ENABLED": "0",
        "SFTP_ENABLED": "0",
        "STATE_DIR": str(state),
        "TMPDIR": str(state),
    }
    log = (case.folder / "emulator.log").open("w")
    case.addClassCleanup(log.close)
    program = [sys.executable, ROOT / "tests/lab/emulator.py"]
    running = subprocess.Popen(program, env=variables, stdout=log, stderr=subprocess.STDOUT)
    case.addClassCleanup(running.wait)
    case.addClassCleanup(running.terminate)
    limit = time.monotonic() + PATIENCE
    while running.poll() is None and time.monotonic() < limit:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return url
        except OSError:
            time.sleep(0.1)
    raise AssertionError((case.folder / "emulator.log").read_text())


if __name__ == "__main__":
    unittest.main()
