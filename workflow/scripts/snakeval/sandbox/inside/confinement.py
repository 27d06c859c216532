"""What is taken from a freshly forked process before a stranger's code runs in it."""

from __future__ import annotations

import math
import os
import platform
import resource
import struct
import sys
import time
from collections.abc import Sequence

from . import kernel, landlock, seccomp
from .kernel import Step

MAX_FILE = 64 << 20  # bytes of one file, and of all files together
MAX_FILES = 4_096
MAX_PROCESSES = 64  # and threads
MAX_OPEN_FILES = 256
STANDARD_IO = 3  # descriptors
LANDLOCK = 3  # the first version that is enough by itself: it guards against truncating
MOST_DESCRIPTORS = os.sysconf("SC_OPEN_MAX")


class Confinement:
    """One worker's means; `apply` uses them on a process.

    Args:
        level: "namespaces", "landlock" or "none".
        read: folders that programs may read.

    Raises:
        OSError: the machine has not what the level needs.
    """

    def __init__(self, level: str, read: list[str]) -> None:
        self.level = level
        self._read = read
        self._machine = platform.machine()
        self._tasks, self._counted = 0, -math.inf
        self.layers: list[str] = ["rlimits"]
        if level == "none":
            return
        if not seccomp.available():
            raise OSError(f"seccomp: not on this kernel, or not known for {self._machine}")
        self.layers.insert(0, "seccomp")
        for profile in seccomp.PROFILES:
            self._filter(profile, 1)  # cached from now on
        if abi := landlock.abi():
            self.layers.insert(0, f"landlock {abi}")
        if level == "landlock" and abi < LANDLOCK:
            got = (
                f"version {abi}, under which files can be emptied" if abi else "not on this kernel"
            )
            raise OSError(f"landlock: {got}")

    def steps(
        self,
        profile: str,
        pid: int,
        timeout_s: float,
        memory_mb: int,
        folder: str | None,
        free: int,
    ) -> list[Step]:
        """Return the calls by which a process confines itself for good; see `seccomp` for the profiles.

        Where one fails, no stranger's code may run.

        Args:
            pid: the process, by the id that it has in its own PID namespace.
            folder: the only one that it may write to.
            free: its lowest descriptor that is free.
        """
        steps = limiting_resources(timeout_s, memory_mb, self._tasks + MAX_PROCESSES)
        if self.level == "none":
            return steps
        steps += kernel.losing_privileges()
        if landlock.abi():
            write = [folder] if folder else []
            if profile == "commands":
                write.append("/dev/null")  # where shells and compilers send what nobody reads
            steps += landlock.steps(self._read, write, free)
        # Without a PID namespace new processes could not be found again.
        starts = profile in ("processes", "commands")
        known = "program" if starts and self.level != "namespaces" else profile
        return steps + seccomp.steps(self._filter(known, pid))

    def count_tasks(self) -> None:
        """Count the user's processes anew, about once a second, where the limit means all of them."""
        if self.level != "namespaces" and time.monotonic() - self._counted > 1:
            self._tasks, self._counted = own_tasks(), time.monotonic()

    def _filter(self, profile: str, pid: int) -> bytes:
        mounts = self.level == "namespaces"
        return seccomp.build(profile, self._machine, pid, mounts)


def make_streams() -> None:
    """Make Python's text streams for descriptors 0, 1 and 2 anew, with nothing in their buffers.

    Done once per worker: what is forked from it finds them ready, whatever lies behind them then.
    """
    sys.stdin = open(0, encoding="utf-8", errors="surrogateescape", closefd=False)  # noqa: SIM115
    sys.stdout = open(1, "w", encoding="utf-8", errors="replace", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", 1, encoding="utf-8", errors="replace", closefd=False)  # noqa: SIM115
    sys.__stdin__, sys.__stdout__, sys.__stderr__ = sys.stdin, sys.stdout, sys.stderr  # type: ignore[misc]


def taking_streams(descriptors: Sequence[int]) -> list[Step]:
    """Return the calls that make these descriptors 0, 1, 2, … and close all others."""
    steps = []
    count = len(descriptors)
    if min(descriptors) < count:
        # Out of the way first: one of them has a number that another one is to get.
        top = max(*descriptors, count) + 1
        moved = range(top, top + count)
        steps = [
            kernel.step("dup2", old, new, result=new)
            for old, new in zip(descriptors, moved, strict=True)
        ]
        descriptors = moved
    for number, descriptor in enumerate(descriptors):
        kept = 0 if number < STANDARD_IO else os.O_CLOEXEC
        steps.append(kernel.step("dup3", descriptor, number, kept, result=number))
    return [*steps, Step("close", os.closerange, (count, MOST_DESCRIPTORS), None)]


def limiting_resources(timeout_s: float, memory_mb: int, processes: int) -> list[Step]:
    """Return the calls that limit a process and what it starts; they hold for each process by itself.

    Args:
        timeout_s: processor time; a backstop behind the wall clock.
        processes: how many processes and threads the user may have, in this user namespace.
    """
    steps = []
    for name, value in (
        (resource.RLIMIT_AS, memory_mb << 20),
        (resource.RLIMIT_CPU, int(timeout_s) + 2),
        (resource.RLIMIT_FSIZE, MAX_FILE),
        (resource.RLIMIT_NOFILE, MAX_OPEN_FILES),
        (resource.RLIMIT_NPROC, processes),
        (resource.RLIMIT_CORE, 0),
    ):
        hard = resource.getrlimit(name)[1]
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        steps.append(kernel.step("setrlimit", name, struct.pack("=2Q", value, value)))
    return steps


def own_tasks() -> int:
    """Count the processes and threads of this user: without a user namespace the limit means all."""
    count = 0
    for entry in os.listdir("/proc"):  # noqa: PTH208
        try:
            if entry.isdigit() and os.stat(f"/proc/{entry}").st_uid == os.getuid():  # noqa: PTH116
                count += len(os.listdir(f"/proc/{entry}/task"))  # noqa: PTH208
        except OSError:  # it has ended meanwhile
            continue
    return count
