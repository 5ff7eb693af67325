"""Runs the AWS CLI and sam in forks of processes that have imported them.

usage: preloaded.py DIRECTORY

Imports take most of what one of their commands takes, and the tests give hundreds. DIRECTORY gets
the programs of the virtual environment, with small clients in place of `aws` and `sam`, which hand
their words, variables, folder and files over. A command whose client is gone is killed. Prints a
line once commands can be given, and ends when its standard input does.
"""

import importlib
import io
import os
import select
import signal
import socket
import sys
import threading
from pathlib import Path

# What each of them needs, the module with its function first.
MODULES = {
    "aws": ["awscli.clidriver", "awscli.handlers"],
    "sam": [
        "samcli.cli.main",
        "samcli.commands.delete.command",
        "samcli.commands.deploy.command",
        "samcli.commands.logs.command",
        "samcli.commands.remote.invoke.cli",
    ],
}
CLIENT = """\
#!{python} -SE
import os, socket, sys
server = socket.socket(socket.AF_UNIX)
server.connect({address!r})
variables = [b"%s=%s" % pair for pair in os.environb.items()]
words = [os.fsencode(word) for word in [{name!r}, *sys.argv[1:]]]
lists = [b"\\0".join(part) for part in ([os.fsencode(os.getcwd())], words, variables)]
request = b"\\1".join(lists)
server.sendall(b"%10d" % len(request) + request)
socket.send_fds(server, [b"."], [0, 1, 2])
code = server.recv(1)
sys.exit(code[0] if code else 1)
"""


def main():
    [_, directory] = sys.argv
    directory, programs = Path(directory).resolve(), Path(sys.executable).parent
    for program in programs.iterdir():
        link = directory / program.name
        if program.name in MODULES:
            listen(link, program.name)
        elif program.name.startswith("python"):
            # Through a link Python would not find its environment.
            write_script(link, f'#!/bin/sh\nexec {program} "$@"\n')
        else:
            link.symlink_to(program)
    print("ready", flush=True)
    for _ in MODULES:
        os.wait()


def listen(client, name):
    """Makes the client of a program, and a process that serves it."""
    address = f"{client}.socket"
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(address)
    listener.listen(64)
    write_script(client, CLIENT.format(python=sys.executable, address=address, name=name))
    if os.fork():
        listener.close()
        return
    main, *_ = map(importlib.import_module, MODULES[name])
    run = main.main if name == "aws" else main.cli
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while listener in select.select([listener, 0], [], [])[0]:
        client, _ = listener.accept()
        if not os.fork():
            listener.close()
            os._exit(serve(client, run))
        client.close()
    os._exit(0)


def write_script(path, text):
    path.write_text(text, encoding="utf-8")
    path.chmod(0o755)


def serve(client, run):
    """Runs one command, and tells its exit code to the client too."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    stream = client.makefile("rb", buffering=0)
    request = read(stream, int(read(stream, 10)))
    _, files, _, _ = socket.recv_fds(client, 1, 3)
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    sys.stdin = open(0, encoding="utf-8", closefd=False)
    sys.stdout, sys.stderr = (
        io.TextIOWrapper(open(file, "wb", 0, closefd=False), "utf-8", write_through=True)
        for file in (1, 2)
    )
    folder, words, variables = (part.split(b"\0") for part in request.split(b"\1", 2))
    os.chdir(folder[0])
    # The AWS CLI tells itself where its data is when it is imported.
    own = {name: value for name, value in os.environ.items() if name == "AWS_DATA_PATH"}
    os.environb.clear()
    os.environb.update(pair.split(b"=", 1) for pair in variables)
    os.environ.update(own)
    sys.argv = [os.fsdecode(word) for word in words]
    threading.Thread(target=die_with, args=[client], daemon=True).start()
    try:
        code = run()
    except SystemExit as end:
        code = end.code
    if isinstance(code, str):
        print(code, file=sys.stderr)
        code = 1
    client.send(bytes([code or 0]))
    return code or 0


def read(stream, length):
    parts = b""
    while len(parts) < length:
        part = stream.read(length - len(parts))
        if not part:
            sys.exit("a client is gone before it has said what it wants")
        parts += part
    return parts


def die_with(client):
    client.recv(1)
    os._exit(1)


main()
