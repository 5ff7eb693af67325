"""The whole dialogue, as a new user has it in a terminal: golden/dialogue.txt.

UPDATE_GOLDEN=1 writes it anew: read the difference.
"""

import os
import pty
import re
import select
import signal
import sys
import threading
import time
import unittest
from pathlib import Path

from account import ROOT, Case, environment, world

GOLDEN = Path(__file__).parent / "golden/dialogue.txt"
PROMPT = re.compile(r"(: |\] )\Z")
# Seconds, for a busy machine.
PATIENCE = 120


class Terminal:
    """The program in a pseudo terminal, and all that a person sees there."""

    def __init__(self, folder, *arguments):
        self.seen, self.answered = "", 0
        self.pid, self.file = pty.fork()
        if self.pid == 0:
            os.chdir(folder)
            program = [sys.executable, str(ROOT / "infra/configure.py"), *arguments]
            os.execve(sys.executable, program, environment(TERM="dumb"))

    def until(self, done):
        limit = time.monotonic() + PATIENCE
        while not done(self.seen):
            ready, _, _ = select.select([self.file], [], [], max(limit - time.monotonic(), 0))
            if not ready:
                raise AssertionError(f"nothing for {PATIENCE} s after: {self.seen}")
            try:
                self.seen += os.read(self.file, 4096).decode().replace("\r\n", "\n")
            except OSError:
                # The program has left its terminal.
                break

    def answer(self, line):
        self.until(lambda seen: PROMPT.search(seen[self.answered :]))
        self.answered = len(self.seen)
        # Between prompt and reading Python takes note of Ctrl-C, and reads all the same.
        while (
            line == "\x03"
            and Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0] != "S"
        ):
            time.sleep(0.01)
        os.write(self.file, line.encode())

    def code(self):
        self.until(lambda _: False)
        os.close(self.file)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


class Dialogue(Case):
    maxDiff = None

    def start(self, name, *arguments):
        return Terminal(
            self.folder,
            world().names.get(name, name),
            "--config-file",
            str(self.config),
            *arguments,
        )

    def test_three_answers_and_a_yes(self):
        terminal = self.start("orders")
        for line in ("vendor\n", "444455556666\n", "maybe\n", "\n", "ops@example.com\n", "y\n"):
            terminal.answer(line)
        self.assertEqual(terminal.code(), 0)
        text = world().plain(terminal.seen).replace(str(self.folder.resolve()), "/work")
        if "UPDATE_GOLDEN" in os.environ:
            GOLDEN.write_text(text, encoding="utf-8")
        self.assertEqual(text, GOLDEN.read_text(encoding="utf-8"))
        self.assertEqual(self.answers()["AllowedPrincipals"], "arn:aws:iam::444455556666:root")
        self.assertEqual(self.answers()["OperationsEmail"], "ops@example.com")

    def test_the_readme_shows_this_dialogue(self):
        text = (ROOT / "README.md").read_text(encoding="utf-8")
        [shown] = re.findall(r"```text\n\$ python infra/configure.py (.*?)```", text, re.DOTALL)
        name, *lines = shown.splitlines()
        dialogue = iter([line.rstrip() for line in GOLDEN.read_text(encoding="utf-8").splitlines()])
        self.assertEqual(next(dialogue), f"{name}: the cluster orders in eu-west-1")
        self.assertEqual([line for line in lines if line not in dialogue], [])
        self.assertLessEqual(len(lines), 30)

    def test_a_name_that_rds_has_not_is_asked_for_all_that_it_needs(self):
        terminal = self.start("db.internal.example")
        for line in (
            "mysql\n",
            "\n",
            world().names["main"] + "\n",
            "\n",
            "10.0.20.0/24,10.0.21.0/24\n",
            "arn:aws:iam::444455556666:role/reader\n",
            "no\n",
            "\n",
            "y\n",
        ):
            terminal.answer(line)
        self.assertEqual(terminal.code(), 0, terminal.seen)
        expected = {
            "DatabaseKind": "hostname",
            "DatabaseEngine": "mysql",
            "DatabasePort": "3306",
            "DatabaseCidrs": "10.0.20.0/24,10.0.21.0/24",
            "AcceptanceRequired": "false",
        }
        self.assertEqual(self.answers(), self.answers() | expected)

    def test_control_c_at_any_question_writes_nothing(self):
        answers = ("444455556666\n", "\n", "\n")
        # The first and the last.
        for count in (0, len(answers)):
            with self.subTest(count):
                terminal = self.start("orders")
                for line in (*answers[:count], "\x03"):
                    terminal.answer(line)
                self.assertEqual(terminal.code(), 1, terminal.seen)
                self.assertIn("Nothing was written.", terminal.seen)
                self.assert_untouched()

    def test_control_c_before_the_first_question_writes_nothing(self):
        asked, done = threading.Event(), threading.Event()
        self.addCleanup(done.set)
        self.aws.answers["rds:DescribeDBClusters"] = lambda _: asked.set() or done.wait(PATIENCE)
        terminal = self.start("orders")
        self.assertTrue(asked.wait(PATIENCE))
        os.kill(terminal.pid, signal.SIGINT)
        self.assertEqual(terminal.code(), 1, terminal.seen)
        self.assertNotIn("Traceback", terminal.seen)
        self.assert_untouched()

    def test_no_writes_nothing(self):
        terminal = self.start(
            "orders", "--principals", "444455556666", "--acceptance", "yes", "--email", ""
        )
        terminal.answer("n\n")
        self.assertEqual(terminal.code(), 1)
        self.assert_untouched()


if __name__ == "__main__":
    unittest.main()
