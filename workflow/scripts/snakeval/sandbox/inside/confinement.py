"""What is taken from a freshly forked process before a stranger's code runs in it."""

from __future__ import annotations

import math
import os
import platform
import resource
import sys
import time

from . import kernel, landlock, seccomp

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
            self._filter(profile)  # cached from now on
        if abi := landlock.abi():
            self.layers.insert(0, f"landlock {abi}")
        if level == "landlock" and abi < LANDLOCK:
            got = (
                f"version {abi}, under which files can be emptied" if abi else "not on this kernel"
            )
            raise OSError(f"landlock: {got}")

    def apply(self, profile: str, timeout_s: float, memory_mb: int, folder: str | None) -> None:
        """Confine this process for good; see `seccomp` for the profiles.

        Args:
            folder: the only one that it may write to.

        Raises:
            OSError: the kernel says no; no stranger's code may run then.
        """
        limit_resources(timeout_s, memory_mb, self._tasks + MAX_PROCESSES)
        if self.level == "none":
            return
        kernel.drop_capabilities()
        if landlock.abi():
            # Made only now: what was mounted over the folder since would not be included.
            landlock.restrict(self._read, [folder] if folder else [])
        # Without a PID namespace new processes could not be found again.
        known = profile if self.level == "namespaces" or profile != "processes" else "program"
        seccomp.load(self._filter(known))

    def count_tasks(self) -> None:
        """Count the user's processes anew, about once a second, where the limit means all of them."""
        if self.level != "namespaces" and time.monotonic() - self._counted > 1:
            self._tasks, self._counted = own_tasks(), time.monotonic()

    def _filter(self, profile: str) -> bytes:
        mounts = self.level == "namespaces"
        return seccomp.build(profile, self._machine, os.getpid(), mounts)


def make_streams() -> None:
    """Make Python's text streams for descriptors 0, 1 and 2 anew, with nothing in their buffers.

    Done once per worker: what is forked from it finds them ready, whatever lies behind them then.
    """
    sys.stdin = open(0, encoding="utf-8", errors="surrogateescape", closefd=False)  # noqa: SIM115
    sys.stdout = open(1, "w", encoding="utf-8", errors="replace", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", 1, encoding="utf-8", errors="replace", closefd=False)  # noqa: SIM115
    sys.__stdin__, sys.__stdout__, sys.__stderr__ = sys.stdin, sys.stdout, sys.stderr  # type: ignore[misc]


def take_streams(descriptors: list[int]) -> None:
    """Make these descriptors 0, 1, 2, … and close all others."""
    # Out of the way first: one of them may have a number that another one is to get.
    top = max(*descriptors, len(descriptors)) + 1
    for number, descriptor in enumerate(descriptors):
        os.dup2(descriptor, top + number)
    for number in range(len(descriptors)):
        os.dup2(top + number, number, inheritable=number < STANDARD_IO)
    os.closerange(len(descriptors), MOST_DESCRIPTORS)


def limit_resources(timeout_s: float, memory_mb: int, processes: int) -> None:
    """Set the limits of a process and of what it starts; they hold for each process by itself.

    Args:
        timeout_s: processor time; a backstop behind the wall clock.
        processes: how many processes and threads the user may have, in this user namespace.
    """
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
        resource.setrlimit(name, (value, value))


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
