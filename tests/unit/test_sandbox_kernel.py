"""The filter of system calls and Landlock's rules: decided on paper for both machines, and tried here.

Whatever is tried runs in a process of its own, which confines itself and prints what it saw.
"""

from __future__ import annotations

import errno
import json
import os
import re
import signal
import socket
import statistics
import struct
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import pytest
from snakeval.sandbox.inside import landlock, seccomp, syscalls

SANDBOX = Path(seccomp.__file__).parents[1]
HERE = os.uname().machine
MACHINES = ("x86_64", "aarch64")
PROFILES = ("program", "tests", "processes", "commands")
HEADERS = {
    "x86_64": Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h"),
    "aarch64": Path("/usr/include/asm-generic/unistd.h"),
}
PID = 4711
MINUS_ONE = 2**64 - 1
REFUSED = seccomp.ERROR | errno.EPERM
MISSING = seccomp.ERROR | errno.ENOSYS

# No profile may name these.
NEVER = """
ptrace process_vm_readv process_vm_writev process_madvise process_mrelease pidfd_open pidfd_getfd
pidfd_send_signal kcmp bpf perf_event_open io_uring_setup io_uring_enter io_uring_register userfaultfd
keyctl add_key request_key mount umount2 pivot_root unshare setns chroot move_mount open_tree fsopen
fsconfig fsmount fspick mount_setattr memfd_create memfd_secret shmget shmat shmctl msgget msgsnd msgrcv
msgctl semget semop semtimedop semctl mq_open mq_unlink mq_timedsend mq_timedreceive mq_notify
mq_getsetattr kexec_load kexec_file_load init_module finit_module delete_module setuid setgid setreuid
setregid setresuid setresgid setfsuid setfsgid setgroups capset personality quotactl quotactl_fd swapon
swapoff reboot syslog name_to_handle_at open_by_handle_at fanotify_init fanotify_mark inotify_init
inotify_init1 inotify_add_watch inotify_rm_watch mknod mknodat execveat rt_sigqueueinfo
rt_tgsigqueueinfo ioperm iopl modify_ldt acct settimeofday clock_settime clock_adjtime adjtimex
sethostname setdomainname vhangup splice tee vmsplice seccomp landlock_create_ruleset
landlock_add_rule landlock_restrict_self
""".split()  # noqa: SIM905


class Instruction(NamedTuple):
    code: int
    if_true: int
    if_false: int
    k: int


def decode(program: bytes) -> list[Instruction]:
    return [Instruction(*fields) for fields in struct.iter_unpack("=HBBI", program)]


def walk(program: bytes, number: int, architecture: int, *arguments: int) -> list[Instruction]:
    """Return the instructions that the kernel would come by; written from the manual, not the code."""
    padded = (*arguments, 0, 0, 0, 0, 0, 0)[:6]
    data = struct.pack("=IIQ6Q", number, architecture, 0, *padded)
    instructions = decode(program)
    accumulator, position = 0, 0
    walked = []
    while True:
        code, if_true, if_false, k = instructions[position]
        walked.append(instructions[position])
        position += 1
        match code:
            case 0x20:  # BPF_LD | BPF_W | BPF_ABS
                (accumulator,) = struct.unpack_from("=I", data, k)
            case 0x54:  # BPF_ALU | BPF_AND | BPF_K
                accumulator &= k
            case 0x05:  # BPF_JMP | BPF_JA
                position += k
            case 0x15:  # BPF_JMP | BPF_JEQ | BPF_K
                position += if_true if accumulator == k else if_false
            case 0x35:  # BPF_JMP | BPF_JGE | BPF_K
                position += if_true if accumulator >= k else if_false
            case 0x06:  # BPF_RET | BPF_K
                return walked
            case _:
                raise AssertionError(f"instruction {code:#x}")


def interpret(program: bytes, number: int, architecture: int, *arguments: int) -> int:
    return walk(program, number, architecture, *arguments)[-1].k


def decide(profile: str, machine: str, name: str, *arguments: int, pid: int | None = PID) -> int:
    program = seccomp.build(profile, machine, pid)
    number = syscalls.NUMBERS[machine][name]
    return interpret(program, number, syscalls.AUDIT_ARCH[machine], *arguments)


# Tables


@pytest.mark.parametrize("machine", MACHINES)
def test_the_numbers_are_those_of_the_kernels_headers(machine: str) -> None:
    if not HEADERS[machine].exists():
        pytest.skip(f"{HEADERS[machine]} is not installed")
    found = re.findall(r"^#define __NR(?:3264)?_(\w+)\s+(\d+)$", HEADERS[machine].read_text(), re.M)
    header = {name: int(number) for name, number in found}
    if machine == "aarch64":
        header["newfstatat"] = header["fstatat"]  # the header chooses the name by the word's size
    table = syscalls.NUMBERS[machine]
    known = {name: number for name, number in table.items() if name in header}
    assert known == {name: header[name] for name in known}
    newest = max(header.values())
    assert {name for name, number in table.items() if number <= newest} == set(known)
    missing = {name for other in syscalls.NUMBERS.values() for name in other} - set(table)
    assert not missing & set(header)


@pytest.mark.parametrize("machine", MACHINES)
def test_no_number_is_given_twice(machine: str) -> None:
    numbers = list(syscalls.NUMBERS[machine].values())
    assert len(set(numbers)) == len(numbers) > 250


@pytest.mark.parametrize("profile", PROFILES)
def test_every_call_of_a_profile_has_a_number(profile: str) -> None:
    known = {name for table in syscalls.NUMBERS.values() for name in table}
    assert set(seccomp.PROFILES[profile]) <= known


# The filter on paper


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("profile", PROFILES)
def test_every_number_is_decided_as_the_profile_says(profile: str, machine: str) -> None:
    names = {number: name for name, number in syscalls.NUMBERS[machine].items()}
    program = seccomp.build(profile, machine, PID)
    rules = seccomp.PROFILES[profile]
    for number in range(1000):
        name = names.get(number, "")
        action = interpret(program, number, syscalls.AUDIT_ARCH[machine], *[MINUS_ONE] * 6)
        if name == "clone3":
            assert action == MISSING
        elif rules.get(name) == ((),):
            assert action == seccomp.ALLOW, name
        else:
            assert action == REFUSED, name


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("profile", PROFILES)
def test_what_never_is_allowed_is_refused_whatever_the_arguments(
    profile: str, machine: str
) -> None:
    assert not set(NEVER) & set(seccomp.PROFILES[profile])
    for name in set(NEVER) & set(syscalls.NUMBERS[machine]):
        for arguments in ((), (1,) * 6, (PID,) * 6, (MINUS_ONE,) * 6):
            assert decide(profile, machine, name, *arguments) == REFUSED, name


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("profile", PROFILES)
def test_another_architecture_ends_the_process(profile: str, machine: str) -> None:
    program = seccomp.build(profile, machine, PID)
    i386, arm, x86_64, aarch64 = 0x40000003, 0x40000028, 0xC000003E, 0xC00000B7
    for architecture in {i386, arm, x86_64, aarch64} - {syscalls.AUDIT_ARCH[machine]}:
        for number in (0, 1, 39, 60, 0x40000001, 0xFFFFFFFF):
            assert interpret(program, number, architecture) == seccomp.KILL
    assert {"x86_64": x86_64, "aarch64": aarch64} == syscalls.AUDIT_ARCH


@pytest.mark.parametrize("profile", PROFILES)
def test_x32_ends_the_process(profile: str) -> None:
    program = seccomp.build(profile, "x86_64", PID)
    for number in (0x40000000, 0x40000001, 0x40000200, 0x7FFFFFFF, 0xFFFFFFFF):
        assert interpret(program, number, syscalls.AUDIT_ARCH["x86_64"]) == seccomp.KILL


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("profile", PROFILES)
def test_a_call_is_found_in_few_steps(profile: str, machine: str) -> None:
    program = seccomp.build(profile, machine, PID)
    architecture = syscalls.AUDIT_ARCH[machine]
    assert (
        len(decode(program)) < 400
    )  # the kernel takes 4,096, and translates each for each process
    longest = max(len(walk(program, number, architecture)) for number in range(600))
    assert longest <= 24
    assert len(walk(program, syscalls.NUMBERS[machine]["read"], architecture)) <= 14


THREAD = 0x003D0F00  # the flags of glibc's pthread_create
FORK = 0x01200011  # and of its fork
DECISIONS = [
    # profiles, call, arguments, allowed
    ("program tests processes commands", "clone", (THREAD,), True),
    ("processes commands", "clone", (FORK,), True),
    ("processes commands", "clone", (0x4111,), True),  # CLONE_VM | CLONE_VFORK, of posix_spawn
    ("program tests", "clone", (FORK,), False),
    ("program tests", "clone", (17,), False),
    ("program tests", "clone", (0x4111,), False),
    *[
        ("program tests processes commands", "clone", (flags | new,), False)
        for new in (
            0x1000,  # CLONE_PIDFD
            0x2000,  # CLONE_PTRACE
            0x8000,  # CLONE_PARENT
            0x20000,  # CLONE_NEWNS
            0x2000000,  # CLONE_NEWCGROUP
            0x4000000,  # CLONE_NEWUTS
            0x8000000,  # CLONE_NEWIPC
            0x10000000,  # CLONE_NEWUSER
            0x20000000,  # CLONE_NEWPID
            0x40000000,  # CLONE_NEWNET
        )
        for flags in (THREAD, FORK)
    ],
    ("program tests", "kill", (PID, 9), True),
    ("program tests", "kill", (1 << 32 | PID, 9), True),  # the kernel takes an int
    ("program tests", "kill", (1, 9), False),
    ("program tests", "kill", (0, 9), False),  # its process group
    ("program tests", "kill", (MINUS_ONE, 9), False),  # everybody
    ("program tests", "kill", (2**64 - PID, 9), False),
    ("program tests", "tkill", (PID, 9), True),
    ("program tests", "tkill", (PID + 1, 9), False),
    ("program tests", "tgkill", (PID, PID + 1, 9), True),
    ("program tests", "tgkill", (PID + 1, PID, 9), False),
    ("processes commands", "kill", (1, 9), True),
    ("processes", "tgkill", (PID + 1, PID, 9), True),
    ("program tests", "execve", (0, 0, 0), False),
    ("processes commands", "execve", (0, 0, 0), True),
    ("program tests", "setsid", (), False),
    ("program tests processes commands", "prlimit64", (0, 7), True),
    ("program tests processes commands", "prlimit64", (PID, 7), True),
    ("program tests processes commands", "prlimit64", (PID + 1, 7), False),
    ("program tests processes commands", "sched_setaffinity", (0, 8), True),
    ("program tests processes commands", "sched_setaffinity", (1, 8), False),
    *[
        ("program tests processes commands", "ioctl", (1, request), True)
        for request in (0x5450, 0x5451, 0x541B, 0x5421, 0x5401, 0x5413)
    ],
    ("program tests processes commands", "ioctl", (1, 0x5412), False),  # TIOCSTI: type for the user
    ("program tests processes commands", "ioctl", (1, 1 << 32 | 0x5412), False),
    ("program tests processes commands", "ioctl", (1, 0x541C), False),  # TIOCLINUX
    ("program tests processes commands", "ioctl", (1, 0x5452), False),  # FIOASYNC
    ("program tests processes commands", "ioctl", (1, 0x8901), False),  # FIOSETOWN
    ("program tests processes commands", "ioctl", (1, 0x40049409), False),  # FICLONE
    ("program tests processes commands", "fcntl", (1, 1030), True),  # F_DUPFD_CLOEXEC
    ("program tests processes commands", "fcntl", (1, 6), True),  # F_SETLK
    (
        "program tests processes commands",
        "fcntl",
        (1, 8),
        False,
    ),  # F_SETOWN: signals by the kernel's hand
    ("program tests processes commands", "fcntl", (1, 15), False),  # F_SETOWN_EX
    ("program tests processes commands", "fcntl", (1, 10), False),  # F_SETSIG
    ("program tests processes commands", "fcntl", (1, 1024), False),  # F_SETLEASE
    ("program tests processes commands", "prctl", (15,), True),  # PR_SET_NAME
    ("program tests processes commands", "prctl", (1, 0), False),  # PR_SET_PDEATHSIG
    ("program tests processes commands", "prctl", (4, 1), False),  # PR_SET_DUMPABLE
    ("program tests processes commands", "prctl", (22, 2), False),  # PR_SET_SECCOMP
    ("program tests processes commands", "prctl", (24,), False),  # PR_CAPBSET_DROP
    ("program tests processes commands", "prctl", (28,), False),  # PR_SET_SECUREBITS
    ("program tests processes commands", "prctl", (36, 1), False),  # PR_SET_CHILD_SUBREAPER
    ("program tests processes commands", "prctl", (0x59616D61, MINUS_ONE), False),  # PR_SET_PTRACER
    ("program tests processes commands", "socketpair", (1, 1), True),
    ("program tests processes commands", "socketpair", (1, 1 | 0x80000 | 0x800), True),
    ("program tests commands", "socketpair", (1, 2), False),  # may send to any unix socket
    ("program tests", "socketpair", (1, 5), False),
    ("commands", "socketpair", (1, 5 | 0x80000), True),  # connected: goes nowhere else
    ("processes", "socketpair", (1, 2), True),
    ("program tests processes commands", "socketpair", (2, 1), False),
    ("program tests commands", "sendto", (1, 0, 0, 0x4000, 0, 0), True),
    ("program tests commands", "sendto", (1, 0, 0, 0, 4096, 16), False),
    ("program tests", "sendto", (1, 0, 0, 0, 1 << 32, 16), False),  # the high half counts, too
    ("processes", "sendto", (1, 0, 0, 0, 4096, 16), True),
    ("program tests processes commands", "sendto", (1, 0, 0, 1, 0, 0), False),  # MSG_OOB
    ("program tests processes commands", "recvfrom", (1, 0, 0, 0x42), True),
    ("program tests processes commands", "recvfrom", (1, 0, 0, 1), False),
    ("processes", "sendmsg", (1, 0, 0), True),
    ("processes", "sendmsg", (1, 0, 1), False),
    ("tests processes", "recvmsg", (1, 0, 0x40000000), True),  # it is sent descriptors
    ("tests processes", "recvmsg", (1, 0, 1), False),
    ("program commands", "recvmsg", (1, 0, 0), False),
    *[
        ("commands", name, (1, 0, 0), False)
        for name in """socket bind listen accept accept4 connect shutdown getsockname getpeername
        sendmsg setsockopt getsockopt""".split()  # noqa: SIM905
    ],
    *[
        ("program tests", name, (1, 0, 0), False)
        for name in """socket bind listen accept accept4 connect shutdown getsockname getpeername
        sendmsg setsockopt getsockopt link linkat setpgid wait4 waitid""".split()  # noqa: SIM905
        if name in syscalls.NUMBERS["aarch64"]
    ],
    *[
        ("processes", "socket", (family, kind | 0x80000, 0), True)
        for family in (1, 2, 10)
        for kind in (1, 2)
    ],
    *[
        ("processes", "socket", (family, kind, protocol), False)
        for family, kind, protocol in (
            (16, 3, 0),  # AF_NETLINK
            (17, 3, 0),  # AF_PACKET
            (40, 1, 0),  # AF_VSOCK
            (38, 5, 0),  # AF_ALG
            (2, 3, 1),  # SOCK_RAW
            (2, 2, 1),  # ping
            (2, 1, 262),  # MPTCP
            (2, 1, 132),  # SCTP
        )
    ],
    ("processes", "setsockopt", (3, 1, 2), True),  # SO_REUSEADDR
    ("processes", "setsockopt", (3, 6, 1), True),  # TCP_NODELAY
    ("processes", "setsockopt", (3, 41, 26), True),  # IPV6_V6ONLY
    ("processes", "setsockopt", (3, 1, 26), False),  # SO_ATTACH_FILTER
    ("processes", "setsockopt", (3, 1, 50), False),  # SO_ATTACH_BPF
    ("processes", "setsockopt", (3, 6, 31), False),  # TCP_ULP
    ("processes", "setsockopt", (3, 0, 64), False),  # IPT_SO_SET_REPLACE
    ("processes", "getsockopt", (3, 1, 4), True),
    ("processes", "getsockopt", (3, 0, 64), False),
    ("processes", "setpriority", (0, 0, 5), True),
    ("processes", "setpriority", (0, 1, 5), False),
    ("program tests", "setpriority", (0, 0, 5), False),
]


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize(
    ("profiles", "name", "arguments", "allowed"),
    DECISIONS,
    ids=[f"{each[0].split()[0]}-{each[1]}-{i}" for i, each in enumerate(DECISIONS)],
)
def test_arguments_decide(
    machine: str, profiles: str, name: str, arguments: tuple[int, ...], allowed: bool
) -> None:
    for profile in profiles.split():
        expected = seccomp.ALLOW if allowed else REFUSED
        assert decide(profile, machine, name, *arguments) == expected, profile


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("profile", ["program", "tests"])
def test_without_a_process_id_no_signal_can_be_sent(profile: str, machine: str) -> None:
    for name in ("kill", "tkill", "tgkill"):
        for target in (0, 1, PID, 0xFFFFFFFF, MINUS_ONE):
            assert decide(profile, machine, name, target, target, 9, pid=None) == REFUSED
    assert decide(profile, machine, "prlimit64", 0, 7, pid=None) == seccomp.ALLOW
    assert decide(profile, machine, "prlimit64", MINUS_ONE, 7, pid=None) == REFUSED


def test_filters_of_two_processes_differ_in_nothing_but_the_id() -> None:
    one, two = decode(seccomp.build("program", HERE, 7)), decode(seccomp.build("program", HERE, 8))
    differing = [(a, b) for a, b in zip(one, two, strict=True) if a != b]
    assert len(differing) == 5
    assert all(a == b._replace(k=7) and b.k == 8 for a, b in differing)


def test_building_is_cheap_from_the_second_time_on() -> None:
    seccomp.build("program", HERE, 1)
    seconds = []
    for pid in range(200):
        begin = time.perf_counter()
        seccomp.build("program", HERE, pid)
        seconds.append(time.perf_counter() - begin)
    assert statistics.median(seconds) < 50e-6


def test_an_unknown_profile_or_machine_is_an_error() -> None:
    with pytest.raises(KeyError, match="everything"):
        seccomp.build("everything", "x86_64")
    with pytest.raises(KeyError, match="riscv64"):
        seccomp.build("program", "riscv64")


# The filter at work

needs_seccomp = pytest.mark.skipif(not seccomp.available(), reason="seccomp: not on this machine")
BEGIN = f"""
import sys
sys.path.insert(0, {str(SANDBOX)!r})
import asyncio, concurrent.futures, ctypes, errno, json, mmap, multiprocessing, os, random, select, shutil
import signal, socket, sqlite3, subprocess, tempfile, threading, time
from multiprocessing import shared_memory
from inside import kernel, landlock, seccomp, syscalls

def confine(steps):
    kernel.take([*kernel.losing_privileges(), *steps])

def restrict(read, write):
    free = os.dup(0)
    os.close(free)
    confine(landlock.steps(read, write, free))

def refused(function, *arguments, number=errno.EPERM):
    try:
        result = function(*arguments)
    except OSError as error:
        assert error.errno == number, error
    else:
        raise AssertionError(f"allowed: {{result}}")
"""
CONFINE = """
confine(seccomp.steps(seccomp.build(sys.argv[1], os.uname().machine, os.getpid())))
"""


def run(body: str, *arguments: str, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-I", "-S", "-B", "-c", BEGIN + body + "\nprint('through')\n"]
    return subprocess.run(
        [*command, *arguments], capture_output=True, text=True, cwd=folder, timeout=60, check=False
    )


def through(body: str, *arguments: str, folder: Path | None = None) -> None:
    """Run the body in a process of its own and expect it to come to its end."""
    done = run(body, *arguments, folder=folder)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith("through\n")


ALLOWED = {
    "files": """
open("a", "w").write("text"); assert open("a").read() == "text"
os.rename("a", "b"); os.symlink("b", "c"); assert os.readlink("c") == "b"
shutil.copy2("b", "d"); os.chmod("d", 0o600); os.utime("d", (1, 1)); os.truncate("d", 1)
os.makedirs("e/f"); assert sorted(os.listdir(".")) == ["b", "c", "d", "e"]; shutil.rmtree("e")
assert os.stat("d").st_size == 1 and shutil.disk_usage(".").total > 0
os.mkdir("g"); shutil.move("d", "g"); shutil.make_archive("h", "gztar", "g")
""",
    "temporary files": """
with tempfile.TemporaryDirectory(dir=".") as folder, tempfile.TemporaryFile(dir=folder) as file:
    file.write(b"x"); file.flush(); os.fsync(file.fileno())
""",
    "mapped memory": """
with open("m", "wb+") as file:
    file.truncate(4096)
    with mmap.mmap(file.fileno(), 4096) as mapped:
        mapped[:4] = b"text"; mapped.flush()
assert len(bytearray(100 << 20)) == 100 << 20
""",
    "a database": """
with sqlite3.connect("db") as db:
    db.execute("create table t (x)"); db.execute("insert into t values (1)"); db.commit()
    assert db.execute("select * from t").fetchall() == [(1,)]
""",
    "random numbers": "assert len(os.urandom(16)) == 16; random.seed(); random.SystemRandom().random()",
    "time": """
time.sleep(0.01); time.time(); time.monotonic(); time.process_time(); time.localtime(); os.times()
""",
    "threads": """
with concurrent.futures.ThreadPoolExecutor(4) as pool:
    assert list(pool.map(abs, range(-50, 0))) == list(range(50, 0, -1))
""",
    "asyncio": """
asyncio.run(asyncio.sleep(0))
async def work():
    return await asyncio.gather(*[asyncio.to_thread(abs, -1) for _ in range(5)])
assert asyncio.run(work()) == [1] * 5
""",
    "socketpair": """
a, b = socket.socketpair(); a.send(b"x"); assert b.recv(1) == b"x"
a.setblocking(False); a.close(); b.close()
""",
    "pipes and polling": """
a, b = os.pipe(); os.write(b, b"x"); assert select.select([a], [], [], 1)[0] == [a]
poll = select.epoll(); poll.register(a); assert poll.poll(1); assert os.get_blocking(a)
""",
    "questions": """
os.getpid(); os.getppid(); os.getuid(); os.getgroups(); os.getresuid(); os.uname(); os.cpu_count()
os.sched_getaffinity(0); os.sysconf("SC_PHYS_PAGES"); os.getcwd(); os.isatty(0); os.getloadavg
import resource; resource.getrusage(resource.RUSAGE_SELF); resource.getrlimit(resource.RLIMIT_AS)
""",
    "limits and processors of itself": """
import resource
resource.setrlimit(resource.RLIMIT_CORE, (0, 0)); resource.prlimit(os.getpid(), resource.RLIMIT_CORE)
os.sched_setaffinity(0, os.sched_getaffinity(0))
""",
    "a signal to itself": """
seen = []
for number in (signal.SIGUSR1, signal.SIGALRM):
    signal.signal(number, lambda *arguments: seen.append(arguments[0]))
os.kill(os.getpid(), signal.SIGUSR1); signal.raise_signal(signal.SIGUSR1)
signal.pthread_kill(threading.get_ident(), signal.SIGUSR1)
signal.setitimer(signal.ITIMER_REAL, 0.01); time.sleep(0.1)
assert seen == [signal.SIGUSR1] * 3 + [signal.SIGALRM]
""",
    "its name": 'ctypes.CDLL(None).prctl(15, b"named"); assert open("/proc/self/comm").read() == "named\\n"',
}
ALLOWED_PROCESSES = {
    "subprocess": """
assert subprocess.run(["/bin/cat"], input=b"x", capture_output=True).stdout == b"x"
assert subprocess.run("exit 3", shell=True, start_new_session=True).returncode == 3
assert subprocess.run([sys.executable, "-I", "-S", "-c", "print(1)"], capture_output=True).stdout == b"1\\n"
""",
    "asyncio's processes": """
async def work():
    child = await asyncio.create_subprocess_exec("/bin/cat", stdin=-1, stdout=-1)
    return (await child.communicate(b"x"))[0]
assert asyncio.run(work()) == b"x"
""",
    "multiprocessing": """
import math
for how in ("fork", "spawn"):
    context = multiprocessing.get_context(how)
    with context.Pool(2) as pool:
        assert pool.map(math.sqrt, [4, 9]) == [2, 3]
    with concurrent.futures.ProcessPoolExecutor(1, context) as pool:
        assert pool.submit(math.sqrt, 4).result() == 2
with multiprocessing.Manager() as manager:
    assert manager.list([1])[0] == 1
memory = shared_memory.SharedMemory(create=True, size=10); memory.close(); memory.unlink()
""",
    "a server": """
for family, address in ((socket.AF_INET, ("127.0.0.1", 0)), (socket.AF_UNIX, "s")):
    with socket.socket(family) as server, socket.socket(family) as client:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind(address); server.listen(); client.connect(server.getsockname())
        other, _ = server.accept(); client.sendall(b"x"); assert other.recv(1) == b"x"
        client.shutdown(socket.SHUT_WR); other.close()
with socket.socket(type=socket.SOCK_DGRAM) as a:
    a.bind(("127.0.0.1", 0)); a.sendto(b"x", a.getsockname()); assert a.recvfrom(1)[0] == b"x"
""",
    "signals to a child": """
child = subprocess.Popen(["/bin/sleep", "60"]); child.terminate(); assert child.wait() == -15
""",
    "links and niceness": 'open("a", "w").close(); os.link("a", "b"); os.nice(1)',
}


@needs_seccomp
@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("body", ALLOWED.values(), ids=ALLOWED)
def test_allowed(body: str, profile: str, tmp_path: Path) -> None:
    through(CONFINE + body, profile, folder=tmp_path)


@needs_seccomp
@pytest.mark.parametrize("body", ALLOWED_PROCESSES.values(), ids=ALLOWED_PROCESSES)
def test_allowed_with_processes(body: str, tmp_path: Path) -> None:
    through(CONFINE + body, "processes", folder=tmp_path)


@needs_seccomp
@pytest.mark.parametrize("name", ["subprocess", "signals to a child", "links and niceness"])
def test_allowed_with_commands(name: str, tmp_path: Path) -> None:
    pair = "a, b = socket.socketpair(type=socket.SOCK_SEQPACKET); a.send(b'x'); b.recv(1)\n"
    through(CONFINE + pair + ALLOWED_PROCESSES[name], "commands", folder=tmp_path)


@needs_seccomp
@pytest.mark.parametrize("library", ["numpy", "pandas", "scipy.stats", "matplotlib.pyplot"])
def test_libraries_come_up_with_processes(library: str, tmp_path: Path) -> None:
    package = library.partition(".")[0]
    found = pytest.importorskip(package)
    folder = str(Path(found.__file__).parents[1])
    body = f"""
sys.path.append({folder!r})
os.environ["MPLCONFIGDIR"] = "."
import {library}
"""
    more = {
        "numpy": "assert float((numpy.ones((300, 300)) @ numpy.ones((300, 300))).sum()) == 300**3",
        "pandas": """
pandas.DataFrame({"a": [1, 2], "b": "xy"}).to_csv("t.csv")
assert pandas.read_csv("t.csv").groupby("b").a.sum().sum() == 3
""",
        "scipy.stats": "assert abs(scipy.stats.norm.cdf(0) - 0.5) < 1e-9",
        "matplotlib.pyplot": "matplotlib.pyplot.plot([1, 2]); matplotlib.pyplot.savefig('p.png')",
    }
    # Libraries may warn on stderr of what is no business of the filter.
    done = run(CONFINE + body + more[library], "processes", folder=tmp_path)
    assert done.stdout.endswith("through\n"), done.stderr


# A raw call with these arguments; without a filter none of them gives EPERM to root.
TRIED: dict[str, tuple[int, ...]] = {
    **dict.fromkeys(set(NEVER) - {"vhangup", "sethostname", "setdomainname", "reboot"}, ()),
    "mount": (),
    "ioctl": (0, 0x5412),
    "fcntl": (0, 8, 1),
    "prctl": (4, 1),
}
TRIED_PROGRAM: dict[str, tuple[int, ...]] = {
    **TRIED,
    "fork": (),
    "vfork": (),
    "clone": (17,),
    "execve": (),
    "socket": (1, 1, 0),
    "connect": (MINUS_ONE,),
    "bind": (MINUS_ONE,),
    "sendmsg": (MINUS_ONE,),
    "socketpair": (1, 2, 0),
    "wait4": (),
    "setsid": (),
    "setpgid": (),
    "linkat": (),
    "kill": (1, 0),
    "tkill": (1, 0),
    "tgkill": (1, 1, 0),
    "prlimit64": (1, 7),
    "sched_setaffinity": (1, 0),
}
TRIED_COMMANDS: dict[str, tuple[int, ...]] = {
    **TRIED,
    "clone": (0x10000011,),
    "socketpair": (1, 2, 0),
    **{name: TRIED_PROGRAM[name] for name in ("socket", "connect", "bind", "sendmsg", "prlimit64")},
    "sched_setaffinity": (1, 0),
}
TRIED_PROCESSES: dict[str, tuple[int, ...]] = {
    **TRIED,
    "clone": (0x10000011,),
    "socket": (16, 3, 0),
    "setsockopt": (0, 1, 26),
    "prlimit64": (1, 7),
    "sched_setaffinity": (1, 0),
}
ATTEMPT = """
seen, me = {}, os.getpid()
for name, arguments in json.loads(sys.argv[2]).items():
    try:
        syscalls.call(name, *[value - (value >> 63 << 64) for value in arguments])
        seen[name] = "allowed"
    except OSError as error:
        seen[name] = error.errno
    if os.getpid() != me:
        os._exit(0)
print(json.dumps(seen))
"""


@needs_seccomp
@pytest.mark.parametrize(
    ("profile", "tried"),
    [
        ("program", {**TRIED_PROGRAM, "recvmsg": (MINUS_ONE,)}),
        ("tests", TRIED_PROGRAM),
        ("processes", TRIED_PROCESSES),
        ("commands", {**TRIED_COMMANDS, "recvmsg": (MINUS_ONE,)}),
    ],
    ids=PROFILES,
)
def test_refused(profile: str, tried: dict[str, tuple[int, ...]]) -> None:
    here = {name: each for name, each in tried.items() if name in syscalls.NUMBERS[HERE]}
    assert len(here) > 80
    done = run(CONFINE + ATTEMPT, profile, json.dumps(here))
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout.splitlines()[0]) == dict.fromkeys(here, errno.EPERM)


REFUSED_IN_PYTHON = {
    "fork": "refused(os.fork)",
    "a program": "refused(subprocess.run, ['/bin/true'])",
    "spawn": "refused(os.posix_spawn, '/bin/true', ['true'], {})",
    "TCP": "refused(socket.socket)",
    "a unix socket": "refused(socket.socket, socket.AF_UNIX)",
    "netlink": "refused(socket.socket, 16, 3)",
    "a signal to the parent": "refused(os.kill, os.getppid(), 0)",
    "a signal to its group": "refused(os.kill, 0, 0)",
    "a signal to everybody": "refused(os.kill, -1, 0)",
    "a signal by a file's owner": "import fcntl\nrefused(fcntl.fcntl, 0, fcntl.F_SETOWN, os.getppid())",
    "the parent's limits": "import resource\nrefused(resource.prlimit, os.getppid(), 7, (9, 9))",
    "the parent's processors": "refused(os.sched_setaffinity, os.getppid(), [0])",
    "the parent's niceness": "refused(os.setpriority, os.PRIO_PROCESS, os.getppid(), 19)",
    "a process by its descriptor": "refused(os.pidfd_open, os.getppid())",
    "memory behind a descriptor": "refused(os.memfd_create, 'x')",
    "a device or pipe": "refused(os.mkfifo, 'p')",
    "a session": "refused(os.setsid)",
    "another user": "refused(os.setuid, 65534)",
    "another root": "refused(os.chroot, '.')",
    "a filter of its own": "refused(kernel.take, seccomp.steps(seccomp.build('processes', os.uname().machine)))",
}


@needs_seccomp
@pytest.mark.parametrize("body", REFUSED_IN_PYTHON.values(), ids=REFUSED_IN_PYTHON)
def test_refused_in_python(body: str, tmp_path: Path) -> None:
    through(CONFINE + body, "program", folder=tmp_path)


@needs_seccomp
def test_a_thread_that_ran_before_is_confined_too() -> None:
    through(
        """
ready, seen = threading.Event(), []
def wait():
    ready.wait()
    try:
        syscalls.call("setsid")
    except OSError as error:
        seen.append(error.errno)
thread = threading.Thread(target=wait)
thread.start()
confine(seccomp.steps(seccomp.build("program", os.uname().machine, os.getpid())))
ready.set(); thread.join()
assert seen == [errno.EPERM]
"""
    )


@needs_seccomp
@pytest.mark.parametrize(
    ("code", "name"),
    [(b"\xb8\x14\0\0\0\xcd\x80\xc3", "32 bit"), (b"\xb8\x27\0\0\x40\x0f\x05\xc3", "x32")],
    ids=["32 bit", "x32"],
)
def test_calls_by_another_architecture_end_the_process(code: bytes, name: str) -> None:
    if HERE != "x86_64":
        pytest.skip("machine code of x86-64")
    body = f"""
page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
page.write({code!r})
ctypes.CFUNCTYPE(ctypes.c_long)(ctypes.addressof(ctypes.c_char.from_buffer(page)))()
"""
    assert run(CONFINE + body, "program").returncode == -signal.SIGSYS
    assert run(CONFINE + body, "processes").returncode == -signal.SIGSYS


@needs_seccomp
def test_a_filter_that_the_kernel_refuses_names_the_call() -> None:
    through(
        """
try:
    confine(seccomp.steps(b""))
except OSError as error:
    assert error.errno == errno.EINVAL and "seccomp" in str(error)
else:
    raise AssertionError
"""
    )


# Landlock


def needs_landlock(version: int) -> pytest.MarkDecorator:
    found = landlock.abi()
    return pytest.mark.skipif(found < version, reason=f"Landlock {found} here, {version} needed")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Folders `read`, `write` and `outside`, each with a file."""
    for name in ("read", "write", "outside"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text("text")
    return tmp_path


RESTRICT = 'restrict(["read"], ["write"])\nDENIED = errno.EACCES\n'
LANDLOCKED = {
    "reads and writes where it may": """
assert open("read/file").read() == open("write/file").read() == "text"
assert os.listdir("read") == ["file"]
open("write/new", "w").write("x"); os.truncate("write/new", 0); os.mkdir("write/a")
os.rename("write/new", "write/a/moved"); os.symlink("a", "write/link"); os.link("write/file", "write/hard")
os.mkfifo("write/pipe"); shutil.rmtree("write/a")
socket.socket(socket.AF_UNIX).bind("write/socket")
""",
    "no executing outside": """
refused(os.execv, "outside/file", ["x"], number=DENIED)
""",
    "no reading outside": """
refused(open, "outside/file", number=DENIED); refused(os.listdir, "outside", number=DENIED)
refused(os.listdir, ".", number=DENIED); refused(open, "/etc/passwd", number=DENIED)
refused(open, "/proc/self/environ", number=DENIED)
refused(open, f"/proc/{os.getppid()}/environ", number=DENIED)
refused(open, "/dev/null", number=DENIED)
""",
    "no writing outside": """
refused(open, "outside/file", "a", number=DENIED); refused(open, "outside/new", "w", number=DENIED)
refused(os.mkdir, "outside/new", number=DENIED); refused(os.unlink, "outside/file", number=DENIED)
refused(os.symlink, "x", "outside/new", number=DENIED); refused(os.mkfifo, "outside/p", number=DENIED)
refused(os.rmdir, "outside", number=DENIED)
""",
    "no writing where it may only read": """
refused(open, "read/file", "a", number=DENIED); refused(open, "read/new", "w", number=DENIED)
refused(os.unlink, "read/file", number=DENIED); refused(os.mkdir, "read/new", number=DENIED)
""",
    "no way round by symbolic links": """
os.symlink("../outside/file", "write/link"); refused(open, "write/link", number=DENIED)
refused(open, "write/link", "a", number=DENIED)
os.symlink("../outside", "write/folder"); refused(os.listdir, "write/folder", number=DENIED)
refused(open, "write/folder/new", "w", number=DENIED)
os.symlink("/proc/self/root", "write/root"); refused(open, "write/root/etc/passwd", number=DENIED)
refused(open, "write/../outside/file", number=DENIED)
""",
    "no way round by hard links and renaming": """
refused(os.link, "outside/file", "write/hard", number=errno.EXDEV)
refused(os.rename, "outside/file", "write/moved", number=DENIED)
refused(os.rename, "write/file", "outside/moved", number=DENIED)
refused(os.rename, "read/file", "write/moved", number=DENIED)
""",
    "no device nodes": """
refused(os.mknod, "write/null", 0o20600, os.makedev(1, 3), number=DENIED)
refused(os.mknod, "write/disk", 0o60600, os.makedev(8, 0), number=DENIED)
""",
}


@needs_landlock(1)
@pytest.mark.parametrize("body", LANDLOCKED.values(), ids=LANDLOCKED)
def test_landlock(body: str, tree: Path) -> None:
    through(RESTRICT + body, folder=tree)
    assert (tree / "outside" / "file").read_text() == "text"
    assert [path.name for path in (tree / "outside").iterdir()] == ["file"]


@needs_landlock(1)
def test_a_descriptor_of_a_folder_outside_opens_nothing(tree: Path) -> None:
    body = 'outside = os.open("outside", os.O_PATH)\n' + RESTRICT
    body += 'refused(lambda: os.open("file", os.O_RDONLY, dir_fd=outside), number=DENIED)\n'
    body += 'refused(open, f"/proc/self/fd/{outside}/file", number=DENIED)\n'
    body += 'os.fchdir(outside); refused(open, "file", number=DENIED)'
    through(body, folder=tree)


@needs_landlock(3)
def test_truncating_outside_is_refused(tree: Path) -> None:
    through(RESTRICT + 'refused(os.truncate, "outside/file", 0, number=DENIED)', folder=tree)
    assert (tree / "outside" / "file").read_text() == "text"


@needs_landlock(4)
def test_no_tcp(tree: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        body = f"""
refused(socket.socket().connect, ("127.0.0.1", {port}), number=DENIED)
refused(socket.socket().bind, ("127.0.0.1", 0), number=DENIED)
"""
        through(RESTRICT + body, folder=tree)


@needs_landlock(6)
def test_no_abstract_socket_of_others(tree: Path) -> None:
    name = f"\0snakeval-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(name)
        server.listen()
        connect = f"socket.socket(socket.AF_UNIX).connect, {name!r}"
        through(f"({connect.split(', ')[0]})({name!r})", folder=tree)
        through(RESTRICT + f"refused({connect})", folder=tree)


@needs_landlock(6)
def test_no_signal_to_others(tree: Path) -> None:
    through("os.kill(os.getppid(), 0)", folder=tree)
    through(RESTRICT + "refused(os.kill, os.getppid(), 0)\nos.kill(os.getpid(), 0)", folder=tree)


@needs_landlock(1)
def test_a_mount_below_a_path_is_included_and_one_over_it_is_not(tree: Path) -> None:
    (tree / "write" / "below").mkdir()
    body = """
uid, gid = os.getuid(), os.getgid()
try:
    syscalls.call("unshare", 0x10020000)  # CLONE_NEWUSER | CLONE_NEWNS
except OSError as error:
    print("no user namespace:", error)
    sys.exit()
open("/proc/self/setgroups", "w").write("deny")
open("/proc/self/uid_map", "w").write(f"0 {uid} 1"); open("/proc/self/gid_map", "w").write(f"0 {gid} 1")
libc = ctypes.CDLL(None, use_errno=True)
free = os.dup(0); os.close(free)
*rules, enforcing, closing = landlock.steps(["read"], ["write"], free)
kernel.take(rules)
assert libc.mount(b"x", b"write/below", b"tmpfs", 0, None) == 0
assert libc.mount(b"x", b"read", b"tmpfs", 0, None) == 0
confine([enforcing, closing])
open("write/below/new", "w").write("x")
refused(os.listdir, "read", number=errno.EACCES)
"""
    done = run(body, folder=tree)
    if done.stdout.startswith("no user namespace"):
        pytest.skip(done.stdout)
    assert (done.returncode, done.stderr, done.stdout) == (0, "", "through\n")


@needs_landlock(1)
def test_both_together_as_a_program_has_them(tree: Path) -> None:
    body = (
        RESTRICT
        + CONFINE
        + """
open("write/new", "w").write("x"); refused(open, "outside/file", number=DENIED); refused(os.fork)
asyncio.run(asyncio.sleep(0))
"""
    )
    through(body, "program", folder=tree)


@needs_landlock(1)
def test_landlock_errors_name_what_was_wrong(tree: Path) -> None:
    through(
        """
free = os.dup(0); os.close(free)
for read, descriptor, name in ((["absent"], free, "open absent"), ([], 99, "landlock_create_ruleset")):
    try:
        kernel.take(landlock.steps(read, [], descriptor))
    except OSError as error:
        assert name in str(error)
    else:
        raise AssertionError
try:
    kernel.take([landlock.steps([], [], 99)[-2]])
except OSError as error:
    assert "landlock_restrict_self" in str(error)
else:
    raise AssertionError
""",
        folder=tree,
    )


def test_landlock_that_is_missing_has_version_0(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str, *arguments: int) -> int:
        raise OSError(errno.ENOSYS, name)

    monkeypatch.setattr(syscalls, "call", absent)
    assert landlock.abi.__wrapped__() == 0
    assert not seccomp.available()
