"""Runs programs in sandboxes, and attacks outside of any, as the user that this process has.

    python -B as_user.py FOLDER_OF_SNAKEVAL

Reads pickled requests from standard input and answers on standard output; started by `place.py`.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, BinaryIO


def serve(requests: BinaryIO, answers: BinaryIO) -> None:
    """Answer requests until there are no more."""
    from snakeval.errors import SandboxError
    from snakeval.sandbox import Sandbox

    sandboxes: dict[str, Sandbox] = {}
    while True:
        try:
            name, *arguments = pickle.load(requests)
        except EOFError:
            break
        answer: Any
        if name == "run":
            level, programs = arguments
            answer = sandboxes[level].run(programs)
        elif name == "open":
            level, *tools = arguments
            try:
                sandbox = Sandbox(workers=1, level=level, tools=[Path(tool) for tool in tools])
            except SandboxError as error:
                answer = str(error)
            else:
                sandboxes[" ".join(arguments)] = sandbox
                answer = sandbox.level, sandbox.layers
        else:
            answer = outside(arguments[0])
        pickle.dump(answer, answers)
        answers.flush()
    for sandbox in sandboxes.values():
        sandbox.close()


def outside(code: str) -> tuple[int, str, str]:
    """Run a program with no sandbox around; return exit code and outputs."""
    # A slip in an attack must not change the mounts of the machine.
    apart = ["unshare", "--mount", "--ipc"] if os.getuid() == 0 else []
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [*apart, sys.executable, "-B", "-S", "-P", "-c", code],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            cwd=folder,
            timeout=60,
            check=False,
        )
    return done.returncode, done.stdout, done.stderr


if __name__ == "__main__":
    sys.path.insert(0, sys.argv[1])
    channel = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what is printed by mistake must not come between the answers
    serve(sys.stdin.buffer, channel)
