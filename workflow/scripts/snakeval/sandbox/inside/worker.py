"""The far side of the sandbox: a warm interpreter that forks for every program.

Started by `snakeval.sandbox`, never by hand. Standard input is a socket. A request is one JSON message
with three files: the program, its tests, its standard input. The worker never reads these files, so
that no process forked from it holds tests, or another's program, in its memory. Of snakeval nothing
but this folder is imported, and else only the standard library.
"""

# Paths here are the kernel's: plain text.
# ruff: noqa: PTH123
from __future__ import annotations

import builtins
import contextlib
import gc
import importlib
import json
import mmap
import os
import random
import select
import signal
import site
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import Any, NoReturn

from . import (
    candidate,
    channel,
    commands,
    confinement,
    folders,
    judge,
    kernel,
    namespaces,
    script,
    together,
    wire,
)
from .kernel import Step

MAX_VERDICT = 256 * 1024  # bytes
READ = 64 * 1024  # bytes at a time
JUDGE_SERVES = 256  # programs by one tests' process: a fork for each would take a third of the time
DISK_POLL_S = 0.1  # between looks at a program's folder, where the kernel does not limit its size
GRACE_S = 1.0
PLANS = 64  # that are kept
SETUP = 3  # descriptor by which a new process says that it cannot be confined

# Imported once here and not once per program: what model-written code usually imports. Not more: what
# lies in memory makes each fork slower.
WARM = (
    "abc bisect collections.abc contextlib copy dataclasses datetime decimal enum fractions functools"
    " heapq inspect io itertools json math operator random re string textwrap threading time typing"
)


class Ended(Exception):
    """The scorer has gone away."""


@dataclass
class Request:
    """What is to be run: limits, and the files that only the new processes read."""

    kind: str  # "check", "together", "unit_tests", "commands" or "script"
    timeout_s: float
    memory_mb: int
    output_bytes: int
    stop_at_output: bool
    token: str
    files: tuple[int, int, int]  # program, tests, standard input


class Heard:
    """What the worker hears of a program: bytes by descriptor, the first so many of each.

    They lie in memory that no forked process has, and are never copied within this one: it is forked
    for the next program, which could find there what tests have said of the last one.
    """

    _memory = mmap.mmap(-1, 1)  # grows with the first program

    def __init__(self, most: dict[int, int]) -> None:
        self.most = most
        self.open = set(most)
        self.over: set[int] = set()  # descriptors on which more came than is kept
        self._filled = dict.fromkeys(most, 0)
        size = sum(most.values()) + READ
        if size > len(self._memory):
            Heard._memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE)
            Heard._memory.madvise(mmap.MADV_DONTFORK)
        self._views = {}
        start = 0
        for descriptor, size in most.items():
            self._views[descriptor] = memoryview(self._memory)[start : start + size]
            start += size
        self._dropped = memoryview(self._memory)[start : start + READ]

    def read(self, descriptor: int) -> None:
        """Read what is there; keep what there is room for."""
        filled = self._filled[descriptor]
        with self._views[descriptor][filled : filled + READ] as room:
            count = os.readv(descriptor, [room or self._dropped])
            if count == 0:
                self.open.discard(descriptor)
            elif room:
                self._filled[descriptor] += count
            else:
                self.over.add(descriptor)

    def read_rest(self, descriptors: tuple[int, ...]) -> None:
        """Read what was written last; a descendant that holds a pipe must not keep us waiting."""
        for descriptor in descriptors:
            for _ in range(MAX_VERDICT >> 12):
                if descriptor in self.open and select.select([descriptor], [], [], 0)[0]:
                    self.read(descriptor)

    def part(self, descriptor: int) -> memoryview:
        """Return what was read."""
        return self._views[descriptor][: self._filled[descriptor]]

    def has_line(self, descriptor: int) -> bool:
        """Whether what was read ends with a line's end."""
        filled = self._filled[descriptor]
        return filled > 0 and self._views[descriptor][filled - 1] == ord("\n")

    def close(self) -> None:
        """Let the next program have the memory; no part may be in use any more."""
        for view in (*self._views.values(), self._dropped):
            view.release()


class Server:
    """One worker at one level.

    Args:
        level: "namespaces", "landlock" or "none".
        libraries: a folder of third-party packages that programs may import, or None.
        tools: files and folders that programs may see besides, for "commands".
        control: descriptor of the socket, on which nothing comes while a program runs.

    Raises:
        OSError: the machine does not allow this level; the text names the call.
    """

    def __init__(self, level: str, libraries: str | None, tools: list[str], control: int) -> None:
        self._control = control
        self._heard: Heard | None = None
        self._judge: tuple[int, int] | None = None  # process and socket
        self._judged = 0
        self._limits = (0.0, 0)  # the seconds and MiB that the tests' process was started for
        self._isolated = level == "namespaces"
        read = [*namespaces.visible_folders(), *namespaces.DEVICES]
        if libraries:
            read.append(libraries)
        if self._isolated:
            self._own_pids, self._has_proc = namespaces.enter(libraries, tools)
            self._folder = namespaces.Folder(confinement.MAX_FILE, confinement.MAX_FILES)
            read, libraries = ["/"], libraries and namespaces.LIBRARIES
        else:
            kernel.take([kernel.dying_with_parent()])
            kernel.call("prctl", kernel.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        self._confinement = confinement.Confinement(level, read)
        self.layers = [*(namespaces.LAYERS if self._isolated else ()), *self._confinement.layers]
        # Programs with the same limits have the same plan, where each is number 1 of its own processes.
        self._confining = lru_cache(PLANS)(self._steps_apart)
        if libraries:
            sys.path.append(libraries)

    def import_all(self, names: list[str]) -> None:
        """Import third-party modules once for all programs; those that are not there are left out."""
        if not self._isolated:
            return  # they write caches, which must not reach the machine
        for name in names:
            with contextlib.suppress(ImportError):
                importlib.import_module(name)
        self._folder.clear()

    def handle(self, request: Request) -> dict[str, Any]:
        """Run one program to its end and return what was seen of it, until `forget`.

        Raises:
            Ended: the scorer has gone away.
            OSError: a process could not be set up.
        """
        folder = "/tmp"
        if not self._isolated:
            folder = folders.make()
        self._confinement.count_tasks()
        children: list[int] = []
        pipes: list[int] = []
        try:
            return self._run(request, folder, children, pipes)
        finally:
            self._kill(children)
            for descriptor in pipes:
                os.close(descriptor)
            if self._isolated:
                self._folder.clear()
            else:
                folders.remove(folder)

    def forget(self) -> None:
        """Give back the memory with what was seen last."""
        if self._heard is not None:
            self._heard.close()
            self._heard = None

    def _run(
        self, request: Request, folder: str, children: list[int], pipes: list[int]
    ) -> dict[str, Any]:
        def pipe() -> tuple[int, int]:
            ends = os.pipe()
            pipes.extend(ends)
            return ends

        nothing = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
        pipes.append(nothing)
        setup, setup_end = pipe()
        verdict, verdict_end = pipe()
        stdout, stdout_end = pipe()
        stderr, stderr_end = pipe()
        program, tests, stdin = request.files
        ours = [setup_end, verdict_end, stdout_end, stderr_end]
        started = time.monotonic()
        main = answers = 0
        if request.kind == "check":
            main, answers = self._judge_process(request)
            ends = [end.detach() for end in socket.socketpair()]
            pipes.extend(ends)
            ours += ends
            streams = [nothing, stdout_end, stderr_end, setup_end, ends[1], program]
            work: Callable[[Request], int] = _serve
        else:
            if request.kind == "unit_tests":
                importlib.import_module("unittest")  # once for all that follow
            streams = [stdin, stdout_end, stderr_end, setup_end, verdict_end, program, tests]
            work = _WORK[request.kind]
        profile = _PROFILES.get(request.kind, "program")
        plan = partial(self._plan, request, profile, streams, folder)
        if self._isolated:
            plan = partial(list, plan(1))
            pid = namespaces.fork_apart(self._own_pids)
        else:
            pid = kernel.fork()
        if pid == 0:
            self._become(plan, work, request)
        children.append(pid)
        if answers:
            verdict = answers
            with socket.socket(fileno=os.dup(answers)) as judge_end:
                socket.send_fds(judge_end, [b"J"], [ends[0], tests])
        for descriptor in ours:
            os.close(descriptor)
            pipes.remove(descriptor)
        kept = request.output_bytes
        heard = self._heard = Heard(
            {verdict: MAX_VERDICT, setup: 4_096, stdout: kept, stderr: kept}
        )
        deadline = started + request.timeout_s
        told = verdict, stdout, stderr
        why = self._watch(request, folder, pid, main or pid, deadline, told, heard)
        if answers and not heard.has_line(verdict):
            self._end_judge()  # it still waits for the program, or is gone
        ended = why == "ended" and _ends(pid, min(deadline, time.monotonic() + GRACE_S))
        if not ended and why == "ended" and time.monotonic() >= deadline:
            why = "timeout"
        os.kill(pid, signal.SIGKILL)
        _, status, usage = os.wait4(pid, 0)
        children.remove(pid)
        heard.read_rest((setup, stdout, stderr) if answers else (verdict, setup, stdout, stderr))
        with heard.part(setup) as wrong:
            if wrong:
                raise OSError(f"no program can be confined: {str(wrong, 'utf-8', 'replace')}")
        return {
            "said": heard.part(verdict),
            "stdout": heard.part(stdout),
            "stderr": heard.part(stderr),
            "stopped": why if why not in ("ended", "said") else None,
            "status": status if ended else None,
            "cpu_s": usage.ru_utime + usage.ru_stime,
            "max_rss_bytes": usage.ru_maxrss * 1024,
            "seconds": time.monotonic() - started,
            "folder": folder,
        }

    def _judge_process(self, request: Request) -> tuple[int, int]:
        """Return the tests' process and the socket to it; it serves several programs, one by one."""
        limits = request.timeout_s, request.memory_mb
        if self._judge is not None and self._judged < JUDGE_SERVES and self._limits == limits:
            self._judged += 1
            return self._judge
        self._end_judge()
        ours, theirs = (end.detach() for end in socket.socketpair())
        nothing = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
        # Descriptor 3 is for failures of the set-up: the socket ends then, which is one.
        streams = [nothing, nothing, nothing, nothing, theirs]
        limited = replace(request, timeout_s=request.timeout_s * JUDGE_SERVES)
        pid = kernel.fork()
        if pid == 0:
            self._become(partial(self._plan, limited, "tests", streams, None), _judge, limited)
        os.close(theirs)
        os.close(nothing)
        self._judge, self._judged, self._limits = (pid, ours), 1, limits
        return self._judge

    def _end_judge(self) -> None:
        if self._judge is not None:
            pid, answers = self._judge
            self._judge = None
            os.close(answers)
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)

    def _watch(
        self,
        request: Request,
        folder: str,
        pid: int,
        main: int,
        deadline: float,
        told: tuple[int, int, int],
        heard: Heard,
    ) -> str:
        """Wait for the end; return "said", "ended", "timeout", "output" or "files".

        Args:
            pid: the program's process.
            main: the process that says the verdict.
            told: the descriptors of verdict, standard output and standard error.
        """
        verdict, *output = told
        look_at = time.monotonic() + DISK_POLL_S
        over = os.pidfd_open(main)
        try:
            while True:
                left = deadline - time.monotonic()
                if left <= 0:
                    return "timeout"
                if not self._isolated:
                    left = min(left, DISK_POLL_S)
                waiting = [*heard.open, self._control, over]
                ready = select.select(waiting, [], [], left)[0]
                for descriptor in ready:
                    if descriptor == self._control:
                        raise Ended
                    if descriptor in heard.most:
                        heard.read(descriptor)
                if heard.has_line(verdict):
                    with heard.part(verdict) as said:
                        return "ended" if b'"ended"' in bytes(said[:10]) else "said"
                if over in ready:
                    return "ended"
                if request.stop_at_output and heard.over.intersection(output):
                    return "output"
                if not self._isolated and time.monotonic() >= look_at:
                    if folders.too_much(folder, pid, confinement.MAX_FILE, confinement.MAX_FILES):
                        return "files"
                    look_at = time.monotonic() + DISK_POLL_S
        finally:
            os.close(over)

    def _plan(
        self,
        request: Request,
        profile: str,
        streams: list[int],
        folder: str | None,
        pid: int | None = None,
    ) -> list[Step]:
        """Return the calls by which a process becomes one for a stranger's code.

        Args:
            profile: see `seccomp`.
            streams: its descriptors, from 0 on.
            folder: the only one that it may write to.
            pid: what it sees as its own number; None asks.
        """
        return [
            kernel.dying_with_parent(),
            kernel.unblocking_signals(),
            *confinement.taking_streams(streams),
            *self._confining(
                profile,
                os.getpid() if pid is None else pid,
                request.timeout_s,
                request.memory_mb,
                folder,
                len(streams),
            ),
        ]

    def _steps_apart(
        self,
        profile: str,
        pid: int,
        timeout_s: float,
        memory_mb: int,
        folder: str | None,
        free: int,
    ) -> list[Step]:
        steps = []
        if self._isolated and (folder is None or self._has_proc):
            shown = self._has_proc and profile == "commands"
            steps = namespaces.changing_mounts(folder is not None, self._has_proc, shown)
        steps.append(kernel.step("chdir", os.fsencode(folder or "/")))
        if profile == "commands":  # its memory is not for the processes that it starts
            steps.append(kernel.step("prctl", kernel.PR_SET_DUMPABLE, 0, 0, 0, 0))
        return steps + self._confinement.steps(profile, pid, timeout_s, memory_mb, folder, free)

    def _become(
        self, plan: Callable[[], list[Step]], work: Callable[[Request], int], request: Request
    ) -> NoReturn:
        """Be a process for a stranger's code, to its end."""
        first = os.getpid()
        try:
            kernel.take(plan())
        except BaseException as error:
            os.write(SETUP, f"{type(error).__name__}: {error}".encode())
            os._exit(1)
        code = 1
        try:
            os.close(SETUP)
            code = work(request)
        finally:
            # A process that the program has forked may come by here too.
            os._exit(code if os.getpid() == first else 0)

    def _kill(self, children: list[int]) -> None:
        """End what is left of a program, whoever its parent is by now."""
        for pid in children:
            os.kill(pid, signal.SIGKILL)
        for pid in children:
            os.waitpid(pid, 0)
        if not self._isolated:  # else they were in a PID namespace that is gone now
            _kill_adopted(self._judge[0] if self._judge else 0)


def _kill_adopted(but: int) -> None:
    """Kill what a program has left behind, and not `but`; this process adopts it, being a subreaper."""
    while True:
        with open("/proc/thread-self/children", encoding="ascii") as file:
            children = [int(child) for child in file.read().split() if int(child) != but]
        if not children:
            return
        for child in children:
            os.kill(child, signal.SIGKILL)
        for child in children:
            os.waitpid(child, 0)


def _ends(pid: int, deadline: float) -> bool:
    """Whether the process ends by itself until the deadline; it stays a zombie."""
    while os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.0005)
    return True


# -- what a confined process does; its descriptors are those that `Server._run` lines up -------------

LINK, PROGRAM, TESTS = 4, 5, 6
VERDICT = ANSWERS = 4


def _serve(request: Request) -> int:
    program = _read(PROGRAM)
    candidate.serve(program["source"], program["entry_point"], LINK)
    return 0


def _judge(request: Request) -> int:
    kind = socket.AF_UNIX, socket.SOCK_STREAM, 0  # given, so that the kernel need not be asked
    with socket.socket(*kind, fileno=ANSWERS) as answers:
        names = vars(builtins)  # the function itself may be gone when they are put back
        before = dict(names), dict(os.environ), sys.getrecursionlimit()
        while True:
            head, files, _, _ = socket.recv_fds(answers, 1, 2)
            if not head:
                return 0
            link, tests = files
            result = judge.run(_read(tests), link)
            os.close(link)
            # What tests do to their interpreter is not for the next program's tests.
            if names != before[0]:
                names.clear()
                names.update(before[0])
            os.environ.clear()
            os.environ.update(before[1])
            sys.setrecursionlimit(before[2])
            random.seed(0)
            _say(result, ANSWERS)


def _together(request: Request) -> int:
    run = together.unit_tests if request.kind == "unit_tests" else together.check
    result = run(_read(PROGRAM)["source"], _read(TESTS))
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):  # the program may have closed or replaced its output
            stream.flush()
    _say(result | {"token": request.token}, VERDICT)
    return 0


def _commands(request: Request) -> int:
    result = commands.run(_read(PROGRAM)["source"], _read(TESTS))
    _say(result | {"token": request.token}, VERDICT)
    return 0


def _script(request: Request) -> int:
    code = script.compiled(_read(PROGRAM)["source"])
    if isinstance(code, dict):
        _say(code, VERDICT)
        return 0
    os.closerange(3, TESTS + 1)
    return script.run(code)


_WORK: dict[str, Callable[[Request], int]] = {
    "together": _together,
    "unit_tests": _together,
    "commands": _commands,
    "script": _script,
}
_PROFILES = {"unit_tests": "processes", "commands": "commands"}


def _read(descriptor: int) -> Any:
    content = wire.load(channel.read_all(descriptor))
    os.close(descriptor)
    return content


def _say(result: dict[str, Any], descriptor: int) -> None:
    text = json.dumps(result).encode() + b"\n"
    while text:
        text = text[os.write(descriptor, text) :]


# -- the worker --------------------------------------------------------------------------------------


def receive(control: socket.socket) -> Request | None:
    """Read one request; None at the end."""
    head, files, _, _ = socket.recv_fds(control, 4, 3)
    if not head:
        return None
    body = bytearray()
    size = struct.unpack("=I", head)[0]
    while len(body) < size:
        part = control.recv(size - len(body))
        if not part:
            return None
        body += part
    return Request(**json.loads(body), files=(files[0], files[1], files[2]))


def send(control: socket.socket, message: dict[str, Any]) -> None:
    """Write one message, and behind it what it holds as memory."""
    parts = {name: part for name, part in message.items() if isinstance(part, memoryview)}
    sizes = {name: len(part) for name, part in parts.items()}
    body = json.dumps(message | sizes | {"parts": list(parts)}).encode()
    control.sendall(struct.pack("=I", len(body)) + body)
    for part in parts.values():
        with part:
            if part:  # the scorer may be gone already when nothing is left to be read
                control.sendall(part)


def rehearse() -> None:
    """Do once here what each program needs, so that its process inherits warm caches and compiled code."""
    ours, theirs = socket.socketpair()
    source = "def f(values, **named):\n    values.append(1.5)\n    return {(1, 'a'): values}\n"
    program = threading.Thread(target=candidate.serve, args=(source, "f", theirs.fileno()))
    program.start()
    tests = "def check(candidate):\n    for n in range(20):\n        candidate([n, None], k={n})\n    assert 0\n"
    judge.run({"prelude": "import math\n", "tests": tests, "entry_point": "f"}, ours.fileno())
    ours.close()
    program.join()
    theirs.close()


def main(order: dict[str, Any]) -> int:
    """Serve until the scorer closes the socket.

    Args:
        order: `level`, `libraries` (a folder or None), `warm` (modules to import at once) and `tools`
            (files and folders).
    """
    control = socket.socket(fileno=os.dup(0))
    nothing = os.open("/dev/null", os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    confinement.make_streams()
    for name in WARM.split():
        __import__(name)
    # Python was started without `site`, and programs call exit().
    site.setquit()
    site.sethelper()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the scorer; it closes the socket
    os.environ.pop("LD_LIBRARY_PATH", None)  # the interpreter may have needed it, programs do not
    try:
        # Where memory runs out, a program goes first.
        kernel.write_file("/proc/self/oom_score_adj", "1000")
        server = Server(order["level"], order["libraries"], order["tools"], control.fileno())
    except OSError as error:
        send(control, {"ready": False, "error": str(error)})
        return 1
    rehearse()
    if order["warm"]:
        server.import_all(order["warm"])
    # Every program starts with the same random numbers, those of a warm numpy too.
    random.seed(0)
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed(0)
    # Blocked here, and for programs what it usually is.
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    signal.signal(signal.SIGINT, signal.default_int_handler)
    send(control, {"ready": True, "layers": server.layers})
    gc.collect()
    gc.freeze()  # forked children do not copy these pages at their first collection
    while (request := receive(control)) is not None:
        try:
            reply = server.handle(request)
        except Ended:
            return 0
        except OSError as error:
            reply = {"error": str(error)}
        finally:
            for descriptor in request.files:
                os.close(descriptor)
        send(control, reply)
        server.forget()
    return 0
