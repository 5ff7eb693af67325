"""The whole dialogue, as a new user has it in a terminal: golden/dialogue.txt.

UPDATE_GOLDEN=1 writes it anew: read the difference.
"""

import os
import re
import signal
import threading
import unittest
from pathlib import Path

from terminal import PATIENCE, Terminal

from account import ROOT, WHO, Case, world
from aws_on_loopback import DENIED

GOLDEN = Path(__file__).parent / "golden/dialogue.txt"


class Dialogue(Case):
    maxDiff = None

    def start(self, name, *arguments):
        return Terminal(
            self.folder,
            ROOT / "infra/configure.py",
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

    def test_what_does_not_fit_what_is_known_is_asked_again(self):
        self.aws.answers["rds:DescribeDBClusters"] = DENIED
        terminal = self.start("orders", *WHO)
        lines = ["instance\n", "\n", "oracle\n", "postgres\n", "\n"]
        lines += [f"{world().names['main']}\n", "\n", "\n", "10.0.20.0/24\n", "\n", "\n", "y\n"]
        for line in lines:
            terminal.answer(line)
        self.assertEqual(terminal.code(), 0, terminal.seen)
        self.assertIn("DatabaseKind [cluster]: instance\n  ! DatabaseKind and", terminal.seen)
        self.assertIn("DatabaseEngine: oracle\n  ! This DatabaseEngine has no", terminal.seen)
        # Neither a group nor ranges: the load balancer would reach nothing.
        self.assertIn("DatabaseCidrs: \n  ! must be given.", terminal.seen)
        self.assertEqual(self.answers()["DatabaseKind"], "cluster")

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
