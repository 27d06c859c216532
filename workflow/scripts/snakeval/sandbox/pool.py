"""The workflow's side of the sandbox: workers, programs in order, and the verdict on what was seen."""

from __future__ import annotations

import json
import logging
import os
import re
import secrets
import signal
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from snakeval.errors import SandboxError, one_line
from snakeval.sandbox.comparison import same_output
from snakeval.sandbox.programs import (
    MARK,
    VERDICTS,
    Alone,
    Check,
    Commands,
    InputOutput,
    Limits,
    Outcome,
    Program,
    UnitTests,
)

log = logging.getLogger(__name__)

LEVELS = ("namespaces", "landlock", "none")  # strongest first
UNSAFE = "unsafe_no_isolation"  # the setting that allows level "none"
START_S = 60.0  # seconds in which a worker must have come up
SLACK_S = 5.0  # seconds that commands get beside their own limits, for starting and ending
REPLY_S = 60.0  # seconds beyond a program's own limit in which its outcome must be there
MAX_TEXT = 2_000  # characters
# What a process inside may say; the other verdicts are ours to give.
_SAID = frozenset(VERDICTS) - {"timeout"}
# The package of the far side is found by its folder's name: with snakeval's it would bring all of that.
_MAIN = """
import json, sys
sys.path.insert(0, sys.argv[1])
from inside import worker
sys.path.pop(0)
try:
    sys.exit(worker.main(json.loads(sys.argv[2])))
except ConnectionError:  # the scorer was killed; its log must not end with what this is taken for
    sys.exit(1)
"""
_ADDRESS = re.compile(r"\b0x[0-9a-fA-F]{6,16}\b")


class Sandbox:
    """A pool of workers; a context manager.

    Args:
        allow_unsafe: run programs without isolation where the machine allows no safe level.
        workers: programs at a time; None takes one per core that this process may use.
        level: one of `LEVELS`; None takes the strongest that the machine allows.
        libraries: a folder of third-party packages that programs may import.
        warm: modules of it that are imported once per worker and not once per program.
        tools: files and folders of this machine that programs see too, at the same paths, read-only and
            executable: compilers and what they need, for `Commands`; nothing below /tmp, where programs
            have a folder of their own. At level "none" they see all anyway.

    Attributes:
        level: the level in use.
        layers: what it is made of here, such as "pid" or "landlock 7".

    Raises:
        SandboxError: no safe level here, or not the one asked for.
    """

    def __init__(
        self,
        allow_unsafe: bool = False,
        workers: int | None = None,
        level: str | None = None,
        libraries: Path | None = None,
        warm: tuple[str, ...] = (),
        tools: Sequence[Path] = (),
    ) -> None:
        self._count = workers or len(os.sched_getaffinity(0))
        self._workers: list[_Worker] = []
        self._references: dict[tuple[object, ...], Outcome] = {}
        self._order = {
            "libraries": str(libraries) if libraries else None,
            "warm": list(warm),
            "tools": [str(path) for path in tools],
        }
        refused: list[str] = []
        for candidate in (level,) if level else LEVELS:
            if candidate == "none" and not allow_unsafe:
                refused += ["none: not allowed"] if level else []
                continue
            worker = _Worker(self._order | {"level": candidate})
            try:
                try:
                    worker.start()
                except _Ended:  # whoever killed it must not make the isolation weaker
                    worker.start()
            except _Refused as error:
                refused.append(f"{candidate}: {error}")
            else:
                self._workers.append(worker)
                self.level, self.layers = candidate, worker.layers
                log.info("sandbox: level %s (%s)", self.level, ", ".join(self.layers))
                return
        raise _no_safe_level("; ".join(refused))

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

    def run(self, programs: Iterable[Program]) -> list[Outcome]:
        """Run all programs, several at a time, and return their outcomes in the same order.

        One that timed out is run once more when nothing else runs, and that counts; its time limit is
        then set by its reference (see `TimeLimit`). Where unit tests fail for the reference itself, as
        without a network, nothing is judged.
        """
        outcomes: dict[int, Outcome] = {}
        late: dict[int, Program] = {}  # no other program is kept
        waiting = enumerate(programs)
        turn = threading.Lock()
        self._workers += [
            _Worker(self._order | {"level": self.level})
            for _ in range(self._count - len(self._workers))
        ]

        def serve(worker: _Worker) -> None:
            while True:
                with turn:
                    number, program = next(waiting, (-1, None))
                if program is None:
                    return
                outcomes[number] = outcome = self._run_one(worker, program)
                if outcome.verdict == "timeout" and not isinstance(program.test, Alone):
                    late[number] = program

        try:
            with ThreadPoolExecutor(len(self._workers)) as threads:
                for finished in [threads.submit(serve, worker) for worker in self._workers]:
                    finished.result()
        except BaseException:
            self.close()  # else the other threads would wait for their programs
            raise
        alone = self._workers[0]
        for number in sorted(late):
            limit = self._time_limit(alone, late[number])
            outcomes[number] = _judged(alone, late[number], limit)
        return [outcomes[number] for number in range(len(outcomes))]

    def _run_one(self, worker: _Worker, program: Program) -> Outcome:
        """Run a program for the first time; unit tests only where the reference passes them here."""
        limit = program.limits.time.floor_s
        if isinstance(program.test, UnitTests) and program.reference is not None:
            known = self._reference(worker, program)
            if known.verdict == "judge_failed" or program.code == program.reference:
                return known
            if known.verdict != "passed":
                message = f"the reference itself fails here: {known.message}"
                return replace(known, verdict="judge_failed", message=message[:MAX_TEXT])
            limit = self._time_limit(worker, program)
        return _judged(worker, program, limit)

    def _time_limit(self, worker: _Worker, program: Program) -> float:
        """Return the seconds that a late program gets, by its reference on this machine."""
        time = program.limits.time
        if program.reference is None:
            return time.floor_s
        known = self._reference(worker, program)
        slowest = known.slowest_s if known.verdict == "passed" else 0.0
        return min(time.ceiling_s, max(time.floor_s, time.factor * slowest))

    def _reference(self, worker: _Worker, program: Program) -> Outcome:
        """Return what came of a program's reference on this machine."""
        key = (program.reference, program.test)
        if key not in self._references:
            right = replace(program, code=str(program.reference))
            self._references[key] = _judged(worker, right, program.limits.time.ceiling_s)
        return self._references[key]


class _Refused(Exception):
    """A worker does not come up at this level."""


class _Ended(_Refused):
    """A worker ended before it could say whether it can have its level."""


class _Worker:
    """One worker process and the socket to it; started by its first program, if not before."""

    def __init__(self, order: dict[str, Any]) -> None:
        self._order = order
        self._process: subprocess.Popen[bytes] | None = None
        self.layers: list[str] = []

    def start(self) -> None:
        """Start the process and wait until it is ready.

        Raises:
            _Ended: it has ended, or says nothing.
            _Refused: it cannot have this level.
        """
        self._socket, far_end = socket.socketpair()
        environment = {
            "PYTHONHASHSEED": "0",  # sets of text in the same order in every run
            "LANG": "C.UTF-8",
            "TZ": "UTC",
            "HOME": "/tmp",
            "PATH": "/usr/bin:/bin",
            "MPLBACKEND": "Agg",
            "OMP_NUM_THREADS": "1",  # each thread of these libraries takes address space
            "OPENBLAS_NUM_THREADS": "1",
        }
        if "LD_LIBRARY_PATH" in os.environ:  # an interpreter from a cluster's module may need it
            environment["LD_LIBRARY_PATH"] = os.environ["LD_LIBRARY_PATH"]
        flags = ["-s", "-S", "-P", "-B", "-X", "utf8"]
        here = str(Path(__file__).parent)
        with far_end:
            self._process = subprocess.Popen(
                [sys.executable, *flags, "-c", _MAIN, here, json.dumps(self._order)],
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
            raise _Ended(f"its process does not start ({error})") from error
        if not reply.get("ready"):
            self.close()
            raise _Refused(str(reply.get("error")))
        self.layers = list(reply["layers"])

    def close(self) -> None:
        """End the process; it takes all that it has started with it."""
        if self._process is not None:
            self._socket.close()
            self._process.kill()
            self._process.wait()
            self._process = None

    def run(self, request: dict[str, Any], files: list[str]) -> dict[str, Any]:
        """Have one program run: what was seen, or `{"error": reason}`.

        A worker that ends under it is started anew, once.

        Args:
            files: the contents of its program, its tests and its standard input.
        """
        reason = ""
        for _ in range(2):
            try:
                if self._process is None:
                    self.start()
                self._socket.settimeout(request["timeout_s"] + REPLY_S)
                self._send(request, files)
                reply: dict[str, Any] = self._receive()
            except (OSError, _Refused) as error:
                reason = f"the sandbox ended under the program ({error})"
                self.close()
                continue
            if "error" not in reply:
                return reply
            reason = reply["error"]
        return {"error": reason}

    def _send(self, request: dict[str, Any], files: list[str]) -> None:
        descriptors: list[int] = []
        try:
            for content in files:
                descriptors.append(os.memfd_create("snakeval"))
                with os.fdopen(os.dup(descriptors[-1]), "wb") as file:
                    file.write(content.encode("utf-8", "surrogatepass"))
                os.lseek(descriptors[-1], 0, os.SEEK_SET)
            body = json.dumps(request).encode()
            socket.send_fds(self._socket, [struct.pack("=I", len(body)) + body], descriptors)
        finally:
            for descriptor in descriptors:
                os.close(descriptor)

    def _receive(self) -> Any:
        size = struct.unpack("=I", self._read(4))[0]
        message = json.loads(self._read(size))
        for name in message.pop("parts"):
            message[name] = self._read(message[name]).decode("utf-8", "replace")
        return message

    def _read(self, size: int) -> bytes:
        data = bytearray()
        while len(data) < size:
            part = self._socket.recv(size - len(data))
            if not part:
                raise ConnectionError("no answer")
            data += part
        return bytes(data)


def _judged(worker: _Worker, program: Program, limit_s: float) -> Outcome:
    """Run a program on a worker and judge what was seen of it."""
    test, limits = program.test, program.limits
    if isinstance(test, InputOutput):
        return _compare_cases(worker, program, test, limit_s)
    if isinstance(test, Commands):
        return _run_commands(worker, program, test, limit_s)
    order: dict[str, Any] = {}
    stdin, kind = "", "script"
    if isinstance(test, Alone):
        stdin = test.stdin
    elif isinstance(test, Check):
        kind = "check"
        order = {"prelude": test.prelude}
    elif isinstance(test, UnitTests):
        kind = "unit_tests"
        order = {"libraries": list(test.libraries)}
    else:
        kind = "together"
    entry_point = "" if isinstance(test, Alone) else test.entry_point
    if not isinstance(test, Alone):
        order |= {"tests": test.tests, "entry_point": entry_point}
    token = secrets.token_hex(16)
    request = _request(kind, limits, limit_s, limits.output_bytes, token)
    files = [
        json.dumps({"source": program.code, "entry_point": entry_point}),
        json.dumps(order),
        stdin,
    ]
    reply = worker.run(request, files)
    outcome = _outcome(reply, kind, token, limit_s)
    return replace(outcome, guarantee=test.guarantee, limit_s=limit_s)


def _run_commands(worker: _Worker, program: Program, test: Commands, limit_s: float) -> Outcome:
    """Have a program built and run by commands."""
    token, mark = secrets.token_hex(16), secrets.token_hex(16)
    commands = [(step.words, step.timeout_s, step.memory_mb) for step in test.build]
    commands.append((test.run, limit_s, program.limits.memory_mb))
    order = {
        "source": test.source,
        "tests": test.tests,
        "files": test.files,
        "commands": commands,
        "environment": dict(test.environment),
        "mark": mark,
        "stands_for": MARK,
    }
    limits = replace(program.limits, memory_mb=max(memory for _, _, memory in commands))
    longest = sum(seconds for _, seconds, _ in commands) + SLACK_S
    request = _request("commands", limits, longest, limits.output_bytes, token)
    reply = worker.run(request, [json.dumps({"source": program.code}), json.dumps(order), ""])
    outcome = _outcome(reply, "commands", token, longest)
    if "folder" in reply:  # names that differ from run to run are nobody's business
        stdout, stderr = (
            text.replace(mark, "passed").replace(reply["folder"], "/tmp")
            for text in (outcome.stdout, outcome.stderr)
        )
        outcome = replace(outcome, stdout=stdout, stderr=stderr)
    return replace(outcome, guarantee=test.guarantee, limit_s=limit_s)


def _compare_cases(worker: _Worker, program: Program, test: InputOutput, limit_s: float) -> Outcome:
    """Run a program once per case, up to the first one that it fails."""
    seconds = slowest = 0.0
    memory = 0
    outcome = Outcome("judge_failed", "no cases")
    source = json.dumps({"source": program.code, "entry_point": ""})
    for number, case in enumerate(test.cases, 1):
        longest = max(map(len, case.accepted), default=0)
        most = max(program.limits.output_bytes, 2 * longest + 4_096)
        request = _request("script", program.limits, limit_s, most, "")
        request["stop_at_output"] = True
        outcome = _outcome(worker.run(request, [source, "", case.stdin]), "script", "", limit_s)
        seconds += outcome.seconds
        slowest = max(slowest, outcome.seconds)
        memory = max(memory, outcome.max_rss_bytes or 0)
        where = f"test {number} of {len(test.cases)}"
        if outcome.verdict == "passed":
            reasons = [same_output(outcome.stdout, accepted) for accepted in case.accepted]
            if all(reasons):
                outcome = replace(outcome, verdict="wrong_answer", message=str(reasons[0]))
        if outcome.verdict != "passed":
            outcome = replace(outcome, message=f"{where}: {outcome.message}"[:MAX_TEXT])
            break
    kept = program.limits.output_bytes
    return replace(
        outcome,
        stdout=outcome.stdout[:kept],
        seconds=seconds,
        slowest_s=slowest,
        max_rss_bytes=memory or None,
        limit_s=limit_s,
        guarantee=test.guarantee,
    )


def _request(
    kind: str, limits: Limits, limit_s: float, output_bytes: int, token: str
) -> dict[str, Any]:
    return {
        "kind": kind,
        "timeout_s": limit_s,
        "memory_mb": limits.memory_mb,
        "output_bytes": output_bytes,
        "stop_at_output": False,
        "token": token,
    }


def _outcome(reply: dict[str, Any], kind: str, token: str, limit_s: float) -> Outcome:
    """Judge what a worker saw."""
    if "error" in reply:
        return Outcome("judge_failed", one_line(reply["error"])[:MAX_TEXT])
    verdict, message, trace = _said(reply["said"], kind, token)
    if reply["stopped"] in ("timeout", "output", "files"):
        verdict = ""  # it may have said something and gone on
    if not verdict:
        verdict, message = _unsaid(reply, kind, limit_s)
        trace = reply["stderr"][-MAX_TEXT:] if kind == "script" else ""
    return Outcome(
        verdict,
        _stable(message, reply["folder"]),
        _stable(trace, reply["folder"]),
        reply["stdout"],
        reply["stderr"],
        reply["seconds"],
        reply["max_rss_bytes"],
        slowest_s=reply["seconds"],
    )


def _said(text: str, kind: str, token: str) -> tuple[str, str, str]:
    """Return verdict, message and traceback as a process inside has said them; "" where it has not.

    Of "check" it is the tests' process that speaks, of "commands" the one that has started them. Where the
    program's own process speaks, a pass counts only with the token, and a script can say nothing but that it
    never ran.
    """
    try:
        said = json.loads(text)
        verdict, message, trace = (str(said[name]) for name in ("verdict", "message", "traceback"))
    except (ValueError, KeyError, TypeError, RecursionError):
        return "", "", ""
    late = kind == "commands" and verdict == "timeout"
    if not (verdict in _SAID or late) or (kind == "script" and verdict != "syntax"):
        return "", "", ""
    if kind in ("together", "unit_tests", "commands") and not secrets.compare_digest(
        str(said.get("token")).encode(), token.encode()
    ):
        return "", "", ""
    return verdict, message, trace


def _unsaid(reply: dict[str, Any], kind: str, limit_s: float) -> tuple[str, str]:
    """Return verdict and message for a program whose judge has not come to a verdict."""
    late = f"not done after {limit_s:g} s"
    status = reply["status"]
    match reply["stopped"]:
        case "timeout":
            return "timeout", late
        case "output":
            return "wrong_answer", "far more output than any right answer has"
        case "files":
            return "exception", "more or larger files than a program may write"
    if status is None:
        return "exception", "the program closed the channel of its verdict"
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        if number == signal.SIGXCPU or reply["cpu_s"] > limit_s:
            return "timeout", late
        if number == signal.SIGKILL:
            return "memory", "the machine's memory ran out"
        return "exception", f"the program was ended by {signal.Signals(number).name}"
    code = os.WEXITSTATUS(status)
    if kind != "script":
        ended = f"the program ended itself (exit code {code}) before its tests were through"
        return "exception", ended
    last = reply["stderr"].strip().rpartition("\n")[2]
    if code == 0:
        return "passed", ""
    if last.startswith("MemoryError"):
        return "memory", last
    return "exception", last or f"exit code {code}"


def _stable(text: str, folder: str) -> str:
    """Take out what differs between equal runs: addresses, and the temporary folder's name."""
    if folder != "/tmp":
        text = text.replace(folder, "/tmp")
    return _ADDRESS.sub("0x…", text)[:MAX_TEXT]


def _no_safe_level(reason: str) -> SandboxError:
    return SandboxError(
        "sandbox",
        f"no isolation ({one_line(reason)})",
        "Linux with user namespaces, or with Landlock (6.2 or later)",
        "Switch user namespaces on (sysctl user.max_user_namespaces=15000; where they exist also "
        "kernel.unprivileged_userns_clone=1 and kernel.apparmor_restrict_unprivileged_userns=0; in a "
        "container allow unshare and mount), or, where the models' programs may do anything that "
        f"you may, set sandbox: {{{UNSAFE}: true}} (sandbox.py: --unsafe-no-isolation).",
    )
