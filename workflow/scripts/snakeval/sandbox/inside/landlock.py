"""Landlock: which paths this process may still use, whoever it is, and nothing beyond its own domain.

    from inside import landlock
    rules = landlock.ruleset(["/usr/lib"], ["/tmp/mine"])  # once, in the worker
    landlock.enforce(rules)                                 # in each process to be confined

All that the kernel's version of Landlock can hold back is held back: files and folders (version 1),
moving between folders (2), truncating (3), TCP (4), requests to devices (5), abstract unix sockets
and signals to processes outside (6).
"""

from __future__ import annotations

import ctypes
import functools
import os
import stat
import struct
from collections.abc import Sequence

from . import syscalls

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
_PR_SET_NO_NEW_PRIVS = 38


@functools.cache
def abi() -> int:
    """Return the kernel's version of Landlock; 0 where there is none or it is switched off."""
    try:
        return syscalls.call("landlock_create_ruleset", 0, 0, _ASK_VERSION)
    except (OSError, KeyError):
        return 0


def ruleset(read: Sequence[str], write: Sequence[str]) -> int:
    """Return a descriptor, closed on exec, of rules that allow nothing but these paths.

    Rules hold for what a path means now: a folder, with all below it, or a file. What is mounted over
    the path itself later is not included; what is mounted below it is.

    Args:
        read: may be read, and executed.
        write: may be read, executed, changed, filled and emptied.

    Raises:
        OSError: no such path, or the kernel refuses; names the path or the call.
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
    descriptor = syscalls.call("landlock_create_ruleset", _address(attribute), len(attribute))
    try:
        for path in read:
            _allow(descriptor, path, files & _READ)
        for path in write:
            _allow(descriptor, path, files & ~_NEVER)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def enforce(descriptor: int) -> None:
    """Confine this thread, and all that it will start, by the rules from `ruleset`, for good.

    Raises:
        OSError: the kernel refuses; names the call.
    """
    syscalls.call("prctl", _PR_SET_NO_NEW_PRIVS, 1)
    flags = _LOG_NOTHING if abi() >= 7 else 0
    syscalls.call("landlock_restrict_self", descriptor, flags)


def restrict(read: Sequence[str], write: Sequence[str]) -> None:
    """Do both, `ruleset` and `enforce`.

    Raises:
        OSError: no such path, or the kernel refuses; names the path or the call.
    """
    descriptor = ruleset(read, write)
    try:
        enforce(descriptor)
    finally:
        os.close(descriptor)


def _allow(descriptor: int, path: str, rights: int) -> None:
    beneath = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        if not stat.S_ISDIR(os.fstat(beneath).st_mode):
            rights &= _FOR_FILES
        attribute = struct.pack("=Qi", rights, beneath)  # the kernel's structure is packed, too
        syscalls.call("landlock_add_rule", descriptor, _RULE_PATH_BENEATH, _address(attribute))
    finally:
        os.close(beneath)


def _address(data: bytes) -> int:
    """Return where the bytes lie; they must outlive its use."""
    address = ctypes.cast(ctypes.c_char_p(data), ctypes.c_void_p).value
    assert address is not None
    return address
