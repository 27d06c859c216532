"""System calls that Python has no name for, and the numbers that go with them."""

from __future__ import annotations

import ctypes
import errno
import os
import signal
import struct
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC = 1, 2, 4, 8
MS_REMOUNT, MS_NOATIME, MS_BIND, MS_REC, MS_PRIVATE = 32, 1024, 4096, 16384, 1 << 18
MNT_DETACH = 2
CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWIPC = 0x20000, 0x4000000, 0x8000000
CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET = 0x10000000, 0x20000000, 0x40000000
PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_CHILD_SUBREAPER, PR_SET_NO_NEW_PRIVS = 1, 4, 36, 38
CAPABILITY_VERSION_3 = 0x20080522

_libc = ctypes.CDLL(None, use_errno=True)
_fork = ctypes.PyDLL(None, use_errno=True).fork


class Step(NamedTuple):
    """A call to be made later: what a fresh process does to itself is planned before the fork.

    A process that only makes planned calls touches, and so copies, a quarter of the pages that it would
    while it works them out itself.
    """

    name: str
    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    result: int | None = 0


def step(name: str, *arguments: Any, result: int = 0) -> Step:
    """Return a call of the C library's function `name`, which is expected to return `result`."""
    return Step(name, getattr(_libc, name), arguments, result)


def take(steps: Iterable[Step]) -> None:
    """Make planned calls in their order.

    Raises:
        OSError: one has another result than expected; the text names the call.
    """
    for name, function, arguments, expected in steps:
        result = function(*arguments)
        if result != expected:
            raise refused(name) if result < 0 else OSError(errno.EBUSY, f"{name}: result {result}")


def refused(name: str) -> OSError:
    """Return the error that the last call has left."""
    number = ctypes.get_errno()
    return OSError(number, f"{name}: {os.strerror(number)}")


def call(name: str, *arguments: Any) -> None:
    """Call the C library's function `name`.

    Raises:
        OSError: it says no; the text names the call.
    """
    if getattr(_libc, name)(*arguments) < 0:
        raise refused(name)


def fork() -> int:
    """Fork this process, which has one thread, and return as `os.fork` does.

    What Python does in the child after `os.fork` is for locks and threads; here it would only cost time,
    a third of a millisecond. Random numbers go on where they were.

    Raises:
        OSError: the kernel says no.
    """
    pid: int = _fork()
    if pid < 0:
        raise refused("fork")
    return pid


def mount(source: str | None, target: str, kind: str | None, flags: int, data: str = "") -> None:
    """Mount; see mount(2).

    Raises:
        OSError: the kernel says no.
    """
    take([mounting(source, target, kind, flags, data)])


def mounting(source: str | None, target: str, kind: str | None, flags: int, data: str = "") -> Step:
    """Return a call of mount(2)."""
    return step(
        "mount",
        source.encode() if source else None,
        target.encode(),
        kind.encode() if kind else None,
        ctypes.c_ulong(flags),
        data.encode() if data else None,
    )


def dying_with_parent() -> Step:
    """Return the call that has a process killed when the one that has started it ends."""
    return step("prctl", PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def unblocking_signals() -> Step:
    """Return the call that lets all signals through."""
    return step("sigprocmask", int(signal.SIG_SETMASK), bytes(128), None)


def losing_privileges() -> list[Step]:
    """Return the calls that give up all capabilities, and the ways to new ones."""
    header = struct.pack("=II", CAPABILITY_VERSION_3, 0)
    return [
        step("prctl", PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0),
        step("capset", header, struct.pack("=6I", 0, 0, 0, 0, 0, 0)),
    ]


def write_file(path: str, text: str) -> None:
    """Write `text` to an existing file of the kernel's in one go."""
    descriptor = os.open(path, os.O_WRONLY)
    try:
        os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)
