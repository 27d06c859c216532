"""Filters of system calls: what a judged process may ask of the kernel, as classic BPF.

    from inside import seccomp
    seccomp.load(seccomp.build("program", os.uname().machine, os.getpid()))

Whatever a profile does not name is refused with EPERM. A call through another architecture's entry
(32 bit, x32) ends the process: its numbers mean other calls. clone3 seems not to exist (ENOSYS): its
flags lie in memory, where a filter cannot look, and every C library falls back to clone.

Four profiles:

- "program": files, memory, time, threads; signals to itself; a connected pair of unix sockets, which
  asyncio needs. No new process, no other program, no socket.
- "tests": the same, for the process in which tests run; it may be sent open files.
- "processes": new processes and programs, signals to any process, stream and datagram sockets. Only
  where PID and network namespaces hold all that.
- "commands": the same without sockets but for connected pairs, for compilers and what they make.

A filter sees the numbers and addresses that a call is given, never what lies in memory: which files
may be opened is for the mounts and Landlock to say. Landlock does not watch over modes and times of
files. Where no mounts stand before the machine's files, calls that would change these seem to succeed
and do nothing.
"""

from __future__ import annotations

import ctypes
import errno
import functools
import os
import struct
from collections.abc import Sequence
from typing import NamedTuple

from . import syscalls
from .kernel import Step

# linux/bpf_common.h and linux/filter.h: an instruction is (code, jump if true, jump if false, k).
_LOAD = 0x20  # A = 32 bits at offset k of struct seccomp_data
_AND = 0x54  # A &= k
_JUMP = 0x05  # by k, which knows no limit; the other jumps reach 255 instructions
_IF_EQUAL = 0x15
_IF_AT_LEAST = 0x35
_RETURN = 0x06
_INSTRUCTION = struct.Struct("=HBBI")
_K = 4  # offset of k in an instruction
_put_id = struct.Struct("=I").pack_into
_MACHINE_AT, _NUMBER_AT, _ARGUMENTS_AT = 4, 0, 16  # offsets in struct seccomp_data

# linux/seccomp.h
_SET_MODE_FILTER, _GET_ACTION_AVAIL = 1, 2
_ALL_THREADS = 1  # SECCOMP_FILTER_FLAG_TSYNC
ALLOW, KILL, ERROR = 0x7FFF0000, 0x80000000, 0x00050000
_REFUSE = ERROR | errno.EPERM
_NO_SUCH_CALL = ERROR | errno.ENOSYS
_DO_NOTHING = ERROR | 0  # the caller sees success

_X32 = 0x40000000  # numbers from here on are calls of the x32 ABI
_WORD = 0xFFFFFFFF
_SELF = -1  # stands for the confined process's own id, unknown until it exists


class _Is(NamedTuple):
    """A condition: the 32-bit half `half` of the arguments, & `mask`, is one of `values`.

    Arguments 0…5 have the low halves 0, 2, 4 … and the high ones 1, 3, 5 … . The kernel takes most of
    them as int and drops the high half, so that only pointers are compared as a whole.
    """

    half: int
    values: tuple[int, ...]
    mask: int = _WORD


# A rule lists alternatives, each of which lists conditions that must all hold.
_Rule = tuple[tuple[_Is, ...], ...]
_ALWAYS: _Rule = ((),)


def _argument(number: int, *values: int, mask: int = _WORD) -> _Is:
    return _Is(2 * number, values, mask)


def _only_bits(number: int, bits: int) -> _Is:
    return _Is(2 * number, (0,), _WORD & ~bits)


def _without_bits(number: int, bits: int) -> _Is:
    return _Is(2 * number, (0,), bits)


def _null(number: int) -> tuple[_Is, _Is]:
    return _Is(2 * number, (0,)), _Is(2 * number + 1, (0,))


_COMMON = """
read write readv writev pread64 pwrite64 preadv pwritev preadv2 pwritev2 lseek sendfile
copy_file_range close close_range dup dup2 dup3 pipe pipe2
open openat stat lstat fstat newfstatat statx statfs fstatfs access faccessat faccessat2
readlink readlinkat getdents64 getcwd chdir fchdir umask
rename renameat renameat2 mkdir mkdirat rmdir unlink unlinkat symlink symlinkat
chmod fchmod fchmodat fchmodat2 utimensat truncate ftruncate fallocate fsync fdatasync flock fadvise64
getxattr lgetxattr fgetxattr listxattr llistxattr flistxattr
mmap munmap mprotect mremap madvise msync brk
select pselect6 poll ppoll epoll_create1 epoll_ctl epoll_wait epoll_pwait eventfd2
timerfd_create timerfd_settime timerfd_gettime
time gettimeofday clock_gettime clock_getres nanosleep clock_nanosleep times
getitimer setitimer alarm pause
rt_sigaction rt_sigprocmask rt_sigreturn rt_sigpending rt_sigtimedwait rt_sigsuspend sigaltstack
restart_syscall exit exit_group futex set_robust_list set_tid_address rseq
sched_yield sched_getaffinity sched_getparam sched_getscheduler sched_get_priority_max
sched_get_priority_min getcpu getpriority
getpid gettid getppid getpgid getpgrp getsid getuid geteuid getgid getegid getgroups getresuid
getresgid getrusage getrlimit uname sysinfo getrandom
"""

_MODES_AND_TIMES = frozenset(["chmod", "fchmod", "fchmodat", "fchmodat2", "utimensat"])

# link: sem_open() names its file by it, and multiprocessing's locks are made so.
_COMMANDS = """
fork vfork execve wait4 waitid setsid setpgid kill tkill tgkill arch_prctl link linkat
"""
_SOCKETS = "bind listen accept accept4 connect shutdown getsockname getpeername"

# FIONCLEX, FIOCLEX, FIONREAD, FIONBIO; TCGETS, TCGETS2 and TIOCGWINSZ only ask about a terminal.
_IOCTLS = (0x5450, 0x5451, 0x541B, 0x5421, 0x5401, 0x802C542A, 0x5413)
# F_DUPFD, F_GETFD, F_SETFD, F_GETFL, F_SETFL, F_GETLK, F_SETLK, F_SETLKW, the three F_OFD_…LK and
# F_DUPFD_CLOEXEC. F_SETOWN and F_SETSIG would let the kernel send any signal to any process.
_FCNTLS = (0, 1, 2, 3, 4, 5, 6, 7, 36, 37, 38, 1030)
# PR_GET_DUMPABLE, PR_SET_NAME, PR_GET_NAME, PR_GET_SECCOMP, PR_CAPBSET_READ, PR_SET_TIMERSLACK,
# PR_GET_TIMERSLACK, PR_SET_NO_NEW_PRIVS, PR_GET_NO_NEW_PRIVS, PR_GET_THP_DISABLE
_PRCTLS = (3, 15, 16, 21, 23, 29, 30, 38, 39, 42)

_CLONE_THREAD = 0x00010000
# CLONE_PIDFD, CLONE_PTRACE, CLONE_PARENT and every CLONE_NEW… that clone knows
_CLONE_NEVER = 0x00001000 | 0x00002000 | 0x00008000 | 0x7E020000

_AF_UNIX, _AF_INET, _AF_INET6 = 1, 2, 10
_STREAM, _DATAGRAM, _PACKETS = 1, 2, 5
_KIND = _WORD & ~(0x80000 | 0x800)  # the type of a socket without SOCK_CLOEXEC, SOCK_NONBLOCK
_IP, _TCP, _UDP = 0, 6, 17
# Out-of-band data (MSG_OOB) of unix sockets has cost the kernel more than one hole: nobody needs it.
_SEND_FLAGS = 0x40 | 0x4000  # MSG_DONTWAIT, MSG_NOSIGNAL
_RECEIVE_FLAGS = 0x02 | 0x20 | 0x40 | 0x100 | 0x40000000  # PEEK TRUNC DONTWAIT WAITALL CMSG_CLOEXEC
_SOL_SOCKET, _SOL_IPV6 = 1, 41
# SO_REUSEADDR, _BROADCAST, _SNDBUF, _RCVBUF, _KEEPALIVE, _LINGER, _REUSEPORT, _RCVTIMEO, _SNDTIMEO
_SOCKET_OPTIONS = (2, 6, 7, 8, 9, 13, 15, 20, 21)
_TCP_OPTIONS = (1, 4, 5, 6)  # TCP_NODELAY, _KEEPIDLE, _KEEPINTVL, _KEEPCNT
_IPV6_V6ONLY = 26

_COMMON_RULES: dict[str, _Rule] = {
    "ioctl": ((_argument(1, *_IOCTLS),),),
    "fcntl": ((_argument(1, *_FCNTLS),),),
    "prctl": ((_argument(0, *_PRCTLS),),),
    "prlimit64": ((_argument(0, 0, _SELF),),),
    "sched_setaffinity": ((_argument(0, 0, _SELF),),),
}

_PROGRAM: dict[str, _Rule] = {
    **dict.fromkeys(_COMMON.split(), _ALWAYS),
    **_COMMON_RULES,
    "clone": ((_argument(0, _CLONE_THREAD, mask=_CLONE_THREAD), _without_bits(0, _CLONE_NEVER)),),
    "kill": ((_argument(0, _SELF),),),
    "tkill": ((_argument(0, _SELF),),),
    "tgkill": ((_argument(0, _SELF),),),
    # Stream only, and no address: a datagram could be sent to any unix socket of the machine.
    "socketpair": ((_argument(0, _AF_UNIX), _argument(1, _STREAM, mask=_KIND)),),
    "sendto": ((*_null(4), _only_bits(3, _SEND_FLAGS)),),
    "recvfrom": ((_only_bits(3, _RECEIVE_FLAGS),),),
}

_STARTING: dict[str, _Rule] = {
    **dict.fromkeys((_COMMON + _COMMANDS).split(), _ALWAYS),
    **_COMMON_RULES,
    "clone": ((_without_bits(0, _CLONE_NEVER),),),
    "setpriority": ((_argument(0, 0), _argument(1, 0)),),  # PRIO_PROCESS, itself
}

PROFILES: dict[str, dict[str, _Rule]] = {
    "program": _PROGRAM,
    # It is sent the socket to each program.
    "tests": {**_PROGRAM, "recvmsg": ((_only_bits(2, _RECEIVE_FLAGS),),)},
    "processes": {
        **_STARTING,
        **dict.fromkeys(_SOCKETS.split(), _ALWAYS),
        "socket": (
            (
                _argument(0, _AF_UNIX, _AF_INET, _AF_INET6),
                _argument(1, _STREAM, _DATAGRAM, mask=_KIND),
                _argument(2, _IP, _TCP, _UDP),
            ),
        ),
        "socketpair": ((_argument(0, _AF_UNIX), _argument(1, _STREAM, _DATAGRAM, mask=_KIND)),),
        "sendto": ((_only_bits(3, _SEND_FLAGS),),),
        "sendmsg": ((_only_bits(2, _SEND_FLAGS),),),
        "recvfrom": ((_only_bits(3, _RECEIVE_FLAGS),),),
        "recvmsg": ((_only_bits(2, _RECEIVE_FLAGS),),),
        "getsockopt": ((_argument(1, _SOL_SOCKET, _TCP, _SOL_IPV6),),),
        "setsockopt": (
            (_argument(1, _SOL_SOCKET), _argument(2, *_SOCKET_OPTIONS)),
            (_argument(1, _TCP), _argument(2, *_TCP_OPTIONS)),
            (_argument(1, _SOL_IPV6), _argument(2, _IPV6_V6ONLY)),
        ),
    },
    "commands": {
        **_STARTING,
        # Pairs without addresses: Java opens one at its start, Rust for each process that it starts.
        "socketpair": ((_argument(0, _AF_UNIX), _argument(1, _STREAM, _PACKETS, mask=_KIND)),),
        "sendto": _PROGRAM["sendto"],
        "recvfrom": _PROGRAM["recvfrom"],
    },
}


class _Instruction(NamedTuple):
    code: int
    if_true: int
    if_false: int
    k: int


def build(profile: str, machine: str, pid: int | None = None, mounts: bool = True) -> bytes:
    """Return the filter of a profile, an array of struct sock_filter. Cheap from the second call on.

    Args:
        profile: one of `PROFILES`.
        machine: "x86_64" or "aarch64", as `os.uname().machine` says.
        pid: the process to be confined, by the id that it has in its own PID namespace: it may signal
            itself. None: in "program" and "tests" no signal can be sent at all.
        mounts: whether mounts of its own keep it from the machine's files.

    Raises:
        KeyError: no such profile or machine.
    """
    code, places = _compiled(profile, machine, pid is not None, mounts)
    if pid is None:
        return code
    filled = bytearray(code)
    for place in places:
        _put_id(filled, place, pid)
    return bytes(filled)


def available() -> bool:
    """Whether this machine has a table of calls and its kernel filters by them."""
    if os.uname().machine not in syscalls.NUMBERS or struct.calcsize("P") != 8:
        return False
    action = ctypes.c_uint32(KILL)
    try:
        syscalls.call("seccomp", _GET_ACTION_AVAIL, 0, ctypes.addressof(action))
    except OSError:
        return False
    return True


def steps(filter: bytes) -> list[Step]:
    """Return the call that confines a process by a filter from `build`, for good, and what it will start.

    All its threads too; where one has a filter of its own, the call has another result. The process must
    have lost the ways to new privileges.
    """
    program = _Program(len(filter) // _INSTRUCTION.size, filter)
    return [syscalls.step("seccomp", _SET_MODE_FILTER, _ALL_THREADS, ctypes.byref(program))]


class _Program(ctypes.Structure):
    """struct sock_fprog."""

    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


@functools.cache
def _compiled(
    profile: str, machine: str, knows_pid: bool, mounts: bool
) -> tuple[bytes, tuple[int, ...]]:
    """Return a filter and the offsets in it at which the process's id must be put."""
    instructions = [
        _Instruction(_LOAD, 0, 0, _MACHINE_AT),
        _Instruction(_IF_EQUAL, 1, 0, syscalls.AUDIT_ARCH[machine]),
        _Instruction(_RETURN, 0, 0, KILL),
        _Instruction(_LOAD, 0, 0, _NUMBER_AT),
        *_tree(_ranges(profile, machine, knows_pid, mounts)),
    ]
    places = tuple(
        index * _INSTRUCTION.size + _K
        for index, instruction in enumerate(instructions)
        if instruction.k == _SELF
    )
    code = b"".join(
        _INSTRUCTION.pack(code, if_true, if_false, 0 if k == _SELF else k)
        for code, if_true, if_false, k in instructions
    )
    return code, places


_Ranges = list[tuple[int, list[_Instruction]]]


def _ranges(profile: str, machine: str, knows_pid: bool, mounts: bool) -> _Ranges:
    """Return what to do with each call: (first number, instructions), up to the next one's first."""
    rules = PROFILES[profile]
    names = {number: name for name, number in syscalls.NUMBERS[machine].items()}
    actions: dict[int, list[_Instruction]] = {}
    for number in range(max(names) + 2):
        name = names.get(number)
        if name == "clone3":
            actions[number] = [_Instruction(_RETURN, 0, 0, _NO_SUCH_CALL)]
        elif name in _MODES_AND_TIMES and not mounts:
            actions[number] = [_Instruction(_RETURN, 0, 0, _DO_NOTHING)]
        elif name in rules:
            actions[number] = _check(rules[name], knows_pid)
        else:
            actions[number] = [_Instruction(_RETURN, 0, 0, _REFUSE)]
    if machine == "x86_64":
        actions[_X32] = [_Instruction(_RETURN, 0, 0, KILL)]
    ranges: _Ranges = []
    for number, action in actions.items():
        if not ranges or ranges[-1][1] != action:
            ranges.append((number, action))
    return ranges


def _check(rule: _Rule, knows_pid: bool) -> list[_Instruction]:
    """Return instructions that allow a call where one of the rule's alternatives holds."""
    code: list[_Instruction] = []
    for conditions in rule:
        alternative: list[_Instruction] = []
        misses: list[int] = []  # the instructions that must go on behind this alternative
        for half, values, mask in conditions:
            wanted = [value for value in values if knows_pid or value != _SELF]
            if not wanted:
                break
            alternative.append(_Instruction(_LOAD, 0, 0, _ARGUMENTS_AT + 4 * half))
            if mask != _WORD:
                alternative.append(_Instruction(_AND, 0, 0, mask))
            for left, value in zip(range(len(wanted) - 1, -1, -1), wanted, strict=True):
                if left == 0:
                    misses.append(len(alternative))
                alternative.append(_Instruction(_IF_EQUAL, left, 0, value))
        else:
            alternative.append(_Instruction(_RETURN, 0, 0, ALLOW))
            for index in misses:
                behind = len(alternative) - index - 1
                alternative[index] = alternative[index]._replace(if_false=behind)
            code += alternative
    if rule != _ALWAYS:
        code.append(_Instruction(_RETURN, 0, 0, _REFUSE))
    return code


def _tree(ranges: Sequence[tuple[int, list[_Instruction]]]) -> list[_Instruction]:
    """Return instructions that find the range of the call's number by halving."""
    if len(ranges) == 1:
        return ranges[0][1]
    middle = len(ranges) // 2
    lower, upper = _tree(ranges[:middle]), _tree(ranges[middle:])
    border = ranges[middle][0]
    if len(lower) <= 0xFF:
        return [_Instruction(_IF_AT_LEAST, len(lower), 0, border), *lower, *upper]
    far = _Instruction(_JUMP, 0, 0, len(lower))
    return [_Instruction(_IF_AT_LEAST, 0, 1, border), far, *lower, *upper]
