"""A program in any language: tools of the machine build it and run it, each command a process of its own.

What reports here is not the program: its memory cannot be looked into, and its channel is closed for what it
starts. Only the file that tests leave at their end could be forged.
"""

# Paths here are the program's folder and what it finds there.
# ruff: noqa: PTH108, PTH109, PTH110, PTH118, PTH123
from __future__ import annotations

import contextlib
import os
import resource
import shutil
import signal
import time
from collections.abc import Sequence
from typing import Any

from . import failures

_CANNOT_START = 126  # exit code, as shells have it


def run(source: str, order: dict[str, Any]) -> dict[str, Any]:
    """Write program and tests into the folder that this process is in, and take one command after the other.

    Args:
        source: the program.
        order: `source` (a file's name), `tests`, `files`, `commands` (words, seconds, MiB), `environment`,
            `mark` (the name of the file that the tests make at last) and `stands_for` (what stands for its
            path in tests and files).
    """
    here = os.getcwd()
    passed = os.path.join(here, order["mark"])
    ours = {order["source"]: order["tests"], **dict(order["files"])}
    for name, text in ours.items():
        text = text.replace(order["stands_for"], passed)
        before = f"{source}\n" if name == order["source"] else ""
        with open(name, "w", encoding="utf-8", errors="replace", newline="") as file:
            file.write(before + text)
    given = {**os.environ, "HOME": here, "TMPDIR": here, **order["environment"]}
    *build, last = order["commands"]
    for words, seconds, memory_mb in build:
        ended = _run(words, seconds, memory_mb, given)
        if ended is None:
            return failures.told("timeout", f"{words[0]} is not done after {seconds:g} s")
        if isinstance(ended, str):
            return failures.told("judge_failed", ended)
        if ended:
            return failures.told("syntax", f"{words[0]} ended with {_named(ended)}")
    if build:  # what was compiled needs its tests' source no more
        for name in ours:
            with contextlib.suppress(OSError):
                os.unlink(name)
    words, seconds, memory_mb = last
    ended = _run(words, seconds, memory_mb, given)
    if ended is None:
        return failures.told("timeout", f"not done after {seconds:g} s")
    if isinstance(ended, str):
        return failures.told("judge_failed", ended)
    if ended:
        return failures.told("exception", f"the program ended with {_named(ended)}")
    if not os.path.exists(passed):
        return failures.told(
            "wrong_answer", "the program ended itself before its tests were through"
        )
    return failures.told("passed", "")


def _run(
    words: Sequence[str], seconds: float, memory_mb: int, environment: dict[str, str]
) -> int | str | None:
    """Run a command to its end.

    Returns:
        its exit code, or minus the number of the signal that has ended it; None where its time was over; or
        why it could not be started.
    """
    program = shutil.which(words[0], path=environment["PATH"])
    if program is None:
        return f"no program {words[0]} can be seen in the sandbox"
    deadline = time.monotonic() + seconds
    usual = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCHLD])
    try:
        pid = os.fork()
    except PermissionError:
        return "no process can be started at this level of the sandbox"
    if pid == 0:
        try:
            resource.setrlimit(resource.RLIMIT_AS, (memory_mb << 20, memory_mb << 20))
            os.setsid()
            for number in (signal.SIGPIPE, signal.SIGXFSZ):  # which Python ignores
                signal.signal(number, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_SETMASK, usual)
            os.execve(program, list(words), environment)
        finally:
            os._exit(_CANNOT_START)
    ended = None
    while ended is None and (left := deadline - time.monotonic()) > 0:
        signal.sigtimedwait([signal.SIGCHLD], left)
        ended = _reaped(pid)
    if ended is None:
        os.killpg(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    return ended


def _reaped(pid: int) -> int | None:
    """Return how a process has ended, if it has; those that it has left to us are let go, too."""
    ended = None
    while True:
        try:
            found, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return ended
        if found == 0:
            return ended
        if found == pid:
            ended = os.waitstatus_to_exitcode(status)


def _named(ended: int) -> str:
    return signal.Signals(-ended).name if ended < 0 else f"exit code {ended}"
