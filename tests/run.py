"""Builds the test programs with cargo, and runs them and those in Python beside each other.

Most of them wait most of the time: for a deployment, a schedule, a watch, a database that starts.
Those run WAITING at a time. The others compute: simulations and properties. Those run two
at a time with a lower priority, so that what waits keeps its deadlines on two cores. A program
that fails is shown whole, and nothing is run twice.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path

import tomlkit

ROOT = Path(__file__).resolve().parent.parent

# A deployment is some ten seconds of Python on one core: of more at a time the first would wait for
# the last. What computes takes what they leave.
WAITING = 6

# Tests of one program at a time. They wait as well.
WAITING_THREADS = "8"

# A simulation uses all cores, a test in Python one: beside each other they leave none idle.
COMPUTING_AT_A_TIME = 2

# What computes, by target; the libraries' own tests too, but for the lab's.
COMPUTING = {"broken", "doc", "hostile", "kinds", "lib", "worlds"}

# Those in Python compute, but for folders of what deploys.
DEPLOYING = {"configured"}

# What waits longest begins first; of what computes, what uses one core and not all.
FIRST = (
    "e2e adopt least_privilege interruptions release database presets configured consumer peering "
    "path_probe runtime configure preflight"
).split()

# What `--quick` runs beside the libraries: scripted worlds, answers at the wire, the documents.
QUICK = ["sync", "hostile", "elbv2", "rds", "flush", "version", "documents"]

# The tests of a binary run twice: with the one that cargo builds and with the one that is deployed.
DEPLOYED = {
    "runtime": ".aws-sam/build/Database/FailoverSync/Function/bootstrap",
    "servers": ".aws-sam/flush-hosts/FlushHosts/bootstrap",
}

CARGO_TEST = ["cargo", "test", "--workspace", "--locked"]

# Seconds. No program takes half of that.
LIMIT = 900
PROGRESS = 15


@dataclass
class Program:
    """A test program, and what came of it."""

    package: str
    target: str
    command: list
    directory: Path
    environment: dict = field(default_factory=dict)
    deployed: bool = False
    output: str = ""
    code: int = 0
    began: float = 0.0
    took: float = 0.0
    processor: float = 0.0

    def __str__(self):
        return f"{self.package} {self.target}" + (" deployed" if self.deployed else "")

    @property
    def computes(self):
        is_python = self.package == "python" and self.target not in DEPLOYING
        is_lab = self.package == "tests"
        return (self.target in COMPUTING and not is_lab) or is_python

    @property
    def niceness(self):
        """Whoever computes in Python asks servers, which must answer in time."""
        return 0 if not self.computes else 5 if self.package == "python" else 15

    def count(self, what):
        cargo = re.findall(rf"^test result: .* (\d+) {what};", self.output, re.MULTILINE)
        return sum(map(int, cargo)) + self.count_in_python(what)

    def count_in_python(self, what):
        ran = sum(map(int, re.findall(r"^Ran (\d+) tests? in ", self.output, re.MULTILINE)))
        verdict = re.search(r"^(OK|FAILED) \((.*)\)$", self.output, re.MULTILINE)
        counts = dict(re.findall(r"(\w+)=(\d+)", verdict[2] if verdict else ""))
        failed = int(counts.get("failures", 0)) + int(counts.get("errors", 0))
        if what == "failed":
            return failed
        # The parts of a test fail one by one.
        return max(ran - failed - int(counts.get("skipped", 0)), 0)

    def run(self, environment):
        self.began = time.monotonic()
        # All in our session: between sessions Linux shares the processor evenly, whatever their
        # priorities are. `timeout` makes a process group, and kills all of it.
        command = ["timeout", "--signal=KILL", str(LIMIT), *self.command]
        process = subprocess.Popen(
            ["nice", "-n", str(self.niceness), *command],
            cwd=self.directory,
            env=environment | self.environment,
            text=True,
            errors="replace",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        with process.stdout as output:
            self.output = output.read()
        _, status, usage = os.wait4(process.pid, 0)
        self.code = process.returncode = os.waitstatus_to_exitcode(status)
        self.processor = usage.ru_utime + usage.ru_stime
        self.took = time.monotonic() - self.began
        if self.took >= LIMIT:
            self.output += f"\nkilled: it did not end within {LIMIT} s\n"
        return self


def build(selected):
    """The test programs of the workspace, compiled."""
    command = [*CARGO_TEST, "--no-run", "--message-format=json-render-diagnostics", *selected]
    built = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    if built.returncode:
        sys.exit(built.returncode)
    for message in map(json.loads, built.stdout.splitlines()):
        if message["reason"] == "compiler-artifact" and message["profile"]["test"]:
            [kind, *_], directory = message["target"]["kind"], Path(message["manifest_path"]).parent
            target = message["target"]["name"] if kind == "test" else kind
            yield Program(directory.name, target, [message["executable"]], directory)


def in_python(is_quick):
    """A program for each folder with test_*.py in it."""
    path = {"PYTHONPATH": f"{ROOT / 'infra'}:{ROOT / 'tests'}", "PYTHONDONTWRITEBYTECODE": "1"}
    for folder in sorted({file.parent for file in ROOT.glob("tests/*/test_*.py")}):
        command = [sys.executable, "-m", "unittest", "discover", "-s", folder]
        if not (is_quick and folder.name in DEPLOYING):
            yield Program("python", folder.name, command, ROOT, path)


def prepared(programs, deployed):
    """The same in the order of their start, and once more those of binaries that are deployed."""
    if deployed:
        of_waiting = {"RUST_TEST_THREADS": WAITING_THREADS, "BUILT_TEMPLATES": ".aws-sam"}
        for program in programs:
            if not program.computes:
                program.environment = program.environment | of_waiting
        for one in [one for one in programs if one.target in DEPLOYED]:
            binary = {"BOOTSTRAP": str(ROOT / DEPLOYED[one.target])}
            again = replace(one, environment=one.environment | binary, deployed=True)
            programs.append(again)
        programs.append(Program("documentation", "doc", [*CARGO_TEST, "--doc"], ROOT))
    order = {target: place for place, target in enumerate(FIRST)}
    return sorted(programs, key=lambda program: order.get(program.target, len(order)))


@contextmanager
def preloaded_tools():
    """A variable that names the directory of tools that start fast."""
    command = ["nice", "-n", "5", sys.executable, ROOT / "tests/preloaded.py"]
    with tempfile.TemporaryDirectory(prefix="tools-") as directory:
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        with subprocess.Popen([*command, directory], **pipes) as process:
            process.stdout.readline()
            yield {"VENV_BIN": directory}
            process.stdin.close()


def run(programs, variables):
    """Runs them, tells how it goes, and returns whether all of them passed."""
    config = tomlkit.parse((ROOT / ".cargo/config.toml").read_text())
    environment = dict(os.environ) | {name: str(value) for name, value in config["env"].items()}
    environment |= variables
    start, ended = time.monotonic(), threading.Event()
    done = []

    def progress():
        while not ended.wait(PROGRESS):
            unfinished = [program for program in programs if program.began and not program.took]
            print(
                f"... {time.monotonic() - start:.0f} s, {len(done)} of {len(programs)} done; "
                f"running: {', '.join(map(str, unfinished))}",
                flush=True,
            )

    threading.Thread(target=progress, daemon=True).start()
    executor = ThreadPoolExecutor
    with executor(WAITING) as waiting, executor(COMPUTING_AT_A_TIME) as computing:
        pools = [computing if one.computes else waiting for one in programs]
        futures = [pool.submit(one.run, environment) for pool, one in zip(pools, programs)]
        for program in map(lambda future: future.result(), as_completed(futures)):
            done.append(program)
            if program.code:
                print(program.output, flush=True)
            verdict = "FAILED" if program.code else "ok"
            passed = program.count("passed")
            times = f"{program.took:>6.1f} s, {program.processor:>5.1f} s of processor"
            print(f"{verdict:<6} {str(program):<34} {passed:>4} passed {times}", flush=True)
    ended.set()
    failed = [program for program in done if program.code]
    for program in failed:
        print(f"FAILED {program}, exit code {program.code}")
    print(f"{len(programs)} test programs in {time.monotonic() - start:.0f} s")
    # A program that was killed counts its tests nowhere.
    count = sum(program.count("failed") or 1 for program in failed)
    print(f"{sum(program.count('passed') for program in programs)} passed, {count} failed")
    return not failed


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--quick", action="store_true", help="only the libraries and what needs no deployment"
    )
    is_quick = parser.parse_args().quick
    quick = ["--lib", *(f"--test={name}" for name in QUICK)]
    programs = [*build(quick if is_quick else []), *in_python(is_quick)]
    programs = prepared(programs, deployed=not is_quick)
    with nullcontext({}) if is_quick else preloaded_tools() as variables:
        passed = run(programs, variables)
    sys.exit(not passed)


main()
