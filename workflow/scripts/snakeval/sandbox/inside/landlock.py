"""Landlock: which paths this process may still use, whoever it is, and nothing beyond its own domain.

    plan = landlock.steps(["/usr/lib"], ["/tmp/mine"], free=3)  # in the worker
    kernel.take(plan)                                           # in each process to be confined

All that the kernel's version of Landlock can hold back is held back: files and folders (version 1),
moving between folders (2), truncating (3), TCP (4), requests to devices (5), abstract unix sockets
and signals to processes outside (6).
"""

from __future__ import annotations

import functools
import os
import struct
from collections.abc import Sequence

from . import kernel, syscalls
from .kernel import Step

# linux/landlock.h
_ASK_VERSION = 1
_RULE_PATH_BENEATH = 1
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_MAKE_CHAR, _MAKE_BLOCK = 1 << 6, 1 << 11
_REFER, _TRUNCATE, _IOCTL_DEV = 1 << 13, 1 << 14, 1 << 15
_FILES_V1 = (1 << 13) - 1
_BIND_TCP, _CONNECT_TCP = 1 << 0, 1 << 1
_ABSTRACT_UNIX_SOCKET, _SIGNAL = 1 << 0, 1 << 1
# From version 7 on each refusal is logged: strangers' programs would fill the machine's log.
_LOG_NOTHING = 1 << 0  # LANDLOCK_RESTRICT_SELF_LOG_SAME_EXEC_OFF

_READ = _EXECUTE | _READ_FILE | _READ_DIR
# Nobody may make device nodes, nor ask devices for anything.
_NEVER = _MAKE_CHAR | _MAKE_BLOCK | _IOCTL_DEV
_FOR_FILES = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE  # the others are about folders


@functools.cache
def abi() -> int:
    """Return the kernel's version of Landlock; 0 where there is none or it is switched off."""
    try:
        return syscalls.call("landlock_create_ruleset", 0, 0, _ASK_VERSION)
    except (OSError, KeyError):
        return 0


def steps(read: Sequence[str], write: Sequence[str], free: int) -> list[Step]:
    """Return the calls that leave a process, and all that it will start, nothing but these paths, for good.

    A path means what it means when the calls are made: a folder, with all below it, or a file. What is
    mounted over the path itself later is not included; what is mounted below it is. The process must
    have lost the ways to new privileges.

    Args:
        read: may be read, and executed.
        write: may be read, executed, changed, filled and emptied.
        free: the process's lowest descriptor that is free.
    """
    version = abi()
    files = _FILES_V1
    files |= _REFER if version >= 2 else 0
    files |= _TRUNCATE if version >= 3 else 0
    files |= _IOCTL_DEV if version >= 5 else 0
    handled = [files]
    if version >= 4:
        handled.append(_BIND_TCP | _CONNECT_TCP)
    if version >= 6:
        handled.append(_ABSTRACT_UNIX_SOCKET | _SIGNAL)
    attribute = struct.pack(f"={len(handled)}Q", *handled)
    flags = _LOG_NOTHING if version >= 7 else 0
    return [
        syscalls.step("landlock_create_ruleset", attribute, len(attribute), result=free),
        *(step for path in read for step in _allow(free, path, files & _READ)),
        *(step for path in write for step in _allow(free, path, files & ~_NEVER)),
        syscalls.step("landlock_restrict_self", free, flags),
        kernel.step("close", free),
    ]


def _allow(rules: int, path: str, rights: int) -> list[Step]:
    beneath = rules + 1
    if not os.path.isdir(path):  # noqa: PTH112
        rights &= _FOR_FILES
    attribute = struct.pack("=Qi", rights, beneath)  # the kernel's structure is packed, too
    opened = kernel.step("open", os.fsencode(path), os.O_PATH | os.O_CLOEXEC, result=beneath)
    return [
        opened._replace(name=f"open {path}"),
        syscalls.step("landlock_add_rule", rules, _RULE_PATH_BENEATH, attribute, 0),
        kernel.step("close", beneath),
    ]
