"""Run model-written programs where they can do no harm, and say what came of them.

    with Sandbox() as sandbox:
        outcomes = sandbox.run([Program(code, tests, "add", timeout_s=10, memory_mb=1024)])

Each program runs in a process of its own, forked from a warm interpreter that holds nothing of the
workflow (`worker.py`).

Covered: network, files of the machine, other processes, environment, privileges, memory and processor
time of each process, size and number of files, number of processes, endless output, processes left
behind, and the tricks that end a program early (`sys.exit`, `os._exit`, printing a verdict).

Not covered: tests run in the program's own interpreter, so a program that searches its frames could
forge a verdict or read the tests; no filter of system calls; up to 64 processes may each take the
memory of one.
"""

from __future__ import annotations

import json
import os
import queue
import re
import secrets
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from snakeval.errors import SandboxError, one_line

UNSAFE = "unsafe_no_isolation"  # the setting that allows level "none"
START_S = 60.0  # seconds in which a worker must have come up
REPLY_S = 60.0  # seconds beyond a program's own limit in which its outcome must be there
MAX_TEXT = 2_000  # characters
VERDICTS = (
    "passed",
    "wrong_answer",
    "exception",
    "timeout",
    "memory",
    "syntax",
    "entry_point_missing",
    "judge_failed",
)
# What a program may say of itself; the other verdicts are ours to give.
_SAID = frozenset(VERDICTS) - {"timeout"}
_ADDRESS = re.compile(r"\b0x[0-9a-fA-F]{6,16}\b")


@dataclass(frozen=True)
class Program:
    """A program and the tests that judge it.

    Args:
        code: Python source that defines `entry_point`.
        tests: Python source that defines `check(candidate)`, which raises where it is not content.
        entry_point: name of the function to be tested.
        timeout_s: wall-clock seconds for program and tests together.
        memory_mb: MiB of address space for each process.
    """

    code: str
    tests: str
    entry_point: str
    timeout_s: float
    memory_mb: int


@dataclass(frozen=True)
class Outcome:
    """What came of a program.

    Args:
        verdict: one of `VERDICTS`.
        message: one sentence or the exception's text, at most 2,000 characters, the program's own.
        traceback: the last lines of it, at most 2,000 characters; "" where there is none.
        output: what it printed, at most 64 KiB.
        seconds: wall-clock seconds.
        max_rss_bytes: most memory that its first process held; None where nothing was run.
    """

    verdict: str
    message: str = ""
    traceback: str = ""
    output: str = ""
    seconds: float = 0.0
    max_rss_bytes: int | None = None


class Sandbox:
    """A pool of workers; a context manager. `level` is "namespaces", or "none" where that was allowed.

    Args:
        allow_unsafe: run programs without isolation where the machine allows no safe level.
        workers: programs at a time; None takes one per core that this process may use.

    Raises:
        SandboxError: no safe level here.
    """

    def __init__(self, allow_unsafe: bool = False, workers: int | None = None) -> None:
        self._count = workers or len(os.sched_getaffinity(0))
        self._workers: list[_Worker] = []
        self.level = "namespaces"
        try:
            first = _Worker(self.level)
        except _Refused as error:
            if not allow_unsafe:
                raise _no_safe_level(error) from error
            self.level = "none"
            try:
                first = _Worker(self.level)
            except _Refused as worse:
                raise _no_safe_level(worse) from worse
        self._workers.append(first)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End all workers, and with them whatever still runs."""
        for worker in self._workers:
            worker.close()

    def run(self, programs: Sequence[Program]) -> list[Outcome]:
        """Run all programs, several at a time, and return their outcomes in the same order.

        A program that timed out is run once more when nothing else runs, and that counts.
        """
        while len(self._workers) < min(self._count, len(programs)):
            self._workers.append(_Worker(self.level))
        outcomes: list[Outcome | None] = [None] * len(programs)
        waiting: queue.SimpleQueue[int] = queue.SimpleQueue()
        for number in range(len(programs)):
            waiting.put(number)

        def serve(worker: _Worker) -> None:
            while True:
                try:
                    number = waiting.get_nowait()
                except queue.Empty:
                    return
                outcomes[number] = worker.run(programs[number])

        try:
            with ThreadPoolExecutor(len(self._workers)) as threads:
                for finished in [threads.submit(serve, worker) for worker in self._workers]:
                    finished.result()
        except BaseException:
            self.close()  # else the other threads would wait for their programs
            raise
        results: list[Outcome] = []
        for program, outcome in zip(programs, outcomes, strict=True):
            assert outcome is not None
            again = outcome.verdict == "timeout"
            results.append(self._workers[0].run(program) if again else outcome)
        return results


class _Refused(Exception):
    """A worker does not come up at this level."""


class _Worker:
    """One worker process and the socket to it."""

    def __init__(self, level: str) -> None:
        self._level = level
        self._process: subprocess.Popen[bytes] | None = None
        self._start()

    def _start(self) -> None:
        """Start the process and wait until it is ready.

        Raises:
            _Refused: it cannot have this level.
        """
        self._socket, far_end = socket.socketpair()
        environment = {
            "PYTHONHASHSEED": "0",  # sets of text in the same order in every run
            "LANG": "C.UTF-8",
            "TZ": "UTC",
            "HOME": "/tmp",
            "PATH": "/usr/bin:/bin",
        }
        if "LD_LIBRARY_PATH" in os.environ:  # an interpreter from a cluster's module may need it
            environment["LD_LIBRARY_PATH"] = os.environ["LD_LIBRARY_PATH"]
        script = Path(__file__).with_name("worker.py")
        with far_end:
            self._process = subprocess.Popen(
                [sys.executable, "-s", "-S", "-P", "-B", "-X", "utf8", str(script), self._level],
                stdin=far_end.fileno(),
                stdout=subprocess.DEVNULL,
                env=environment,
                cwd="/",
            )
        self._socket.settimeout(START_S)
        try:
            reply = self._receive()
        except OSError as error:
            self.close()
            raise _Refused(f"its process does not start ({error})") from error
        if not reply.get("ready"):
            self.close()
            raise _Refused(str(reply.get("error")))

    def close(self) -> None:
        """End the process; it ends what it supervises."""
        self._socket.close()
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def run(self, program: Program) -> Outcome:
        """Run one program. A worker that ends under it is started anew, once."""
        token = secrets.token_hex(16)
        request = {
            "program": program.code,
            "tests": program.tests,
            "entry_point": program.entry_point,
            "timeout_s": program.timeout_s,
            "memory_mb": program.memory_mb,
            "token": token,
        }
        reason = ""
        for _ in range(2):
            try:
                if self._process is None:
                    self._start()
                body = json.dumps(request).encode()
                self._socket.settimeout(program.timeout_s + REPLY_S)
                self._socket.sendall(struct.pack("=I", len(body)) + body)
                reply = self._receive()
            except (OSError, _Refused) as error:
                reason = f"the sandbox ended under the program ({error})"
                self.close()
                continue
            if "error" not in reply:
                return _outcome(reply, token, program)
            reason = reply["error"]
        return Outcome("judge_failed", one_line(reason)[:MAX_TEXT])

    def _receive(self) -> Any:
        size = struct.unpack("=I", self._read(4))[0]
        return json.loads(self._read(size))

    def _read(self, size: int) -> bytes:
        data = bytearray()
        while len(data) < size:
            part = self._socket.recv(size - len(data))
            if not part:
                raise ConnectionError("no answer")
            data += part
        return bytes(data)


def _outcome(reply: dict[str, Any], token: str, program: Program) -> Outcome:
    """Judge what a worker saw. What the program says counts only with the token."""
    verdict, message, trace = "", "", ""
    try:
        said = json.loads(reply["said"])
        if secrets.compare_digest(str(said["token"]).encode(), token.encode()):
            verdict, message = str(said["verdict"]), str(said["message"])
            trace = str(said.get("traceback", ""))
    except (ValueError, KeyError, TypeError, RecursionError):
        verdict = ""
    if verdict not in _SAID:
        verdict, message, trace = *_unsaid(reply, program), ""
    return Outcome(
        verdict,
        _stable(message, reply["folder"]),
        _stable(trace, reply["folder"]),
        reply["output"],
        reply["seconds"],
        reply["max_rss_bytes"],
    )


def _unsaid(reply: dict[str, Any], program: Program) -> tuple[str, str]:
    """Return verdict and message for a program that ended without its tests being through."""
    late = f"not done after {program.timeout_s:g} s"
    status = reply["status"]
    if reply["timed_out"]:
        return "timeout", late
    if status is None:
        return "exception", "the program closed the pipe of its verdict"
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        if number == signal.SIGXCPU or reply["cpu_s"] > program.timeout_s:
            return "timeout", late
        if number == signal.SIGKILL:
            return "memory", "the machine's memory ran out"
        return "exception", f"the program was ended by {signal.Signals(number).name}"
    code = os.WEXITSTATUS(status)
    return "exception", f"the program ended itself (exit code {code}) before its tests were through"


def _stable(text: str, folder: str) -> str:
    """Take out what differs between equal runs: addresses, and the temporary folder's name."""
    if folder != "/tmp":
        text = text.replace(folder, "/tmp")
    return _ADDRESS.sub("0x…", text)[:MAX_TEXT]


def _no_safe_level(error: _Refused) -> SandboxError:
    return SandboxError(
        "sandbox",
        f"no isolation ({error})",
        "Linux with user namespaces",
        "Switch them on (sysctl user.max_user_namespaces=15000; where they exist also "
        "kernel.unprivileged_userns_clone=1 and kernel.apparmor_restrict_unprivileged_userns=0; in a "
        "container allow unshare and mount), or, where the models' programs may do anything that "
        f"you may, set sandbox: {{{UNSAFE}: true}}.",
    )
