"""A pseudo terminal with the program in it."""

import os
import pty
import re
import select
import signal
import sys
import time
from pathlib import Path

from account import environment

PROMPT = re.compile(r"(: |\] )\Z")
# Seconds, for a busy machine.
PATIENCE = 120


class Terminal:
    """The program in a pseudo terminal, and all that a person sees there."""

    def __init__(self, folder, program, *arguments):
        self.seen, self.answered = "", 0
        self.pid, self.file = pty.fork()
        if self.pid == 0:
            # Whoever starts these tests in the background has Ctrl-C ignored.
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            os.chdir(folder)
            words = [sys.executable, str(program), *map(str, arguments)]
            os.execve(sys.executable, words, environment(TERM="dumb"))

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
