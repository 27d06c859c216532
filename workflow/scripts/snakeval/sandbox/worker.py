"""The far side of the sandbox: a warm interpreter that forks once per program.

    python -s -S -P -B worker.py namespaces      (started by `snakeval.sandbox`, never by hand)

Standard input is a socket. A message is four bytes of length and JSON; requests are answered one by
one. Nothing of snakeval and no third-party package is imported here, so that none is within a
program's reach.

Level "namespaces": the worker enters user, mount, network, IPC and UTS namespaces of its own and
leaves the machine's file system for one that holds the standard library, shared libraries, time
zones and four devices, all read-only. Each program then gets its own PID and mount namespace, an empty
writable /tmp of limited size, resource limits, no capabilities and no way to gain privileges. When
its first process ends or is killed, the kernel kills everything it has started.

Level "none" has the limits and an own process group, but neither namespaces nor a file system.
"""

# Paths here are the kernel's: plain text.
# ruff: noqa: PTH103, PTH112, PTH114, PTH115, PTH116, PTH118, PTH120, PTH123, PTH208, PTH211
from __future__ import annotations

import ctypes
import gc
import json
import linecache
import os
import random
import resource
import select
import shutil
import signal
import socket
import struct
import sys
import tempfile
import time
import traceback
import types
from collections.abc import Callable
from typing import Any, NoReturn

MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC = 1, 2, 4, 8
MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE = 32, 4096, 16384, 1 << 18
MNT_DETACH = 2
CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWIPC = 0x20000, 0x4000000, 0x8000000
CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET = 0x10000000, 0x20000000, 0x40000000
PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_CHILD_SUBREAPER, PR_SET_NO_NEW_PRIVS = 1, 4, 36, 38
CAPABILITY_VERSION_3 = 0x20080522
NOBODY = 65534

MAX_OUTPUT = 64 * 1024  # bytes of standard output and error that are kept
MAX_VERDICT = 256 * 1024  # bytes
MAX_TEXT = 2_000  # characters of a message or a traceback that are kept
MAX_FILE = 64 << 20  # bytes of one file, and of all files together
MAX_FILES = 4_096
MAX_PROCESSES = 64
MAX_OPEN_FILES = 256
POLL_S = 0.02  # between looks whether the program has ended while a descendant holds its pipes
GRACE_S = 1.0

# Imported once here and not once per program: what model-written code and tests usually import.
WARM = (
    "abc",
    "array",
    "base64",
    "bisect",
    "calendar",
    "cmath",
    "collections",
    "collections.abc",
    "contextlib",
    "copy",
    "csv",
    "dataclasses",
    "datetime",
    "decimal",
    "enum",
    "fractions",
    "functools",
    "hashlib",
    "heapq",
    "inspect",
    "io",
    "itertools",
    "json",
    "linecache",
    "math",
    "operator",
    "queue",
    "random",
    "re",
    "statistics",
    "string",
    "struct",
    "textwrap",
    "threading",
    "time",
    "typing",
    "unicodedata",
    "unittest",
    "uuid",
    "zlib",
)

libc = ctypes.CDLL(None, use_errno=True)


def call(name: str, *arguments: Any) -> None:
    """Call the C library's function `name`.

    Raises:
        OSError: it says no; the text names the call.
    """
    if getattr(libc, name)(*arguments) < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")


def mount(source: str | None, target: str, kind: str | None, flags: int, data: str = "") -> None:
    """Mount; see mount(2).

    Raises:
        OSError: the kernel says no.
    """
    call(
        "mount",
        source.encode() if source else None,
        target.encode(),
        kind.encode() if kind else None,
        ctypes.c_ulong(flags),
        data.encode() if data else None,
    )


def write_file(path: str, text: str) -> None:
    """Write `text` to an existing file of the kernel's in one go."""
    descriptor = os.open(path, os.O_WRONLY)
    try:
        os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)


def visible_folders() -> list[str]:
    """Return the folders that programs may read: standard library, shared libraries, time zones."""
    libraries = ["/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib"]
    standard = [os.path.dirname(os.__file__), os.path.join(sys.base_prefix, "lib")]
    found = dict.fromkeys(map(os.path.realpath, [*libraries, *standard, "/usr/share/zoneinfo"]))
    folders = [path for path in found if os.path.isdir(path) and path != "/"]
    return [path for path in folders if not any(path.startswith(f"{other}/") for other in folders)]


def populate(root: str) -> None:
    """Build at `root`, in this mount namespace only, the file system that programs see."""
    mount(None, "/", None, MS_REC | MS_PRIVATE)
    devices = ["/dev/null", "/dev/zero", "/dev/urandom", "/dev/random"]
    sources = [*visible_folders(), *devices]
    # Opened first: `root` may cover one of them.
    opened = {path: os.open(path, os.O_PATH) for path in sources}
    links = {path: os.readlink(path) for path in ("/lib", "/lib64") if os.path.islink(path)}
    mount("tmpfs", root, "tmpfs", MS_NOSUID | MS_NODEV, "size=1m,mode=755")
    for path, descriptor in opened.items():
        target = root + path
        os.makedirs(os.path.dirname(target), exist_ok=True)
        if path in devices:
            os.close(os.open(target, os.O_CREAT | os.O_WRONLY))
            mount(f"/proc/self/fd/{descriptor}", target, None, MS_BIND)
        else:
            os.makedirs(target, exist_ok=True)
            mount(f"/proc/self/fd/{descriptor}", target, None, MS_BIND | MS_REC)
            kept = MS_NOEXEC if os.fstatvfs(descriptor).f_flag & os.ST_NOEXEC else 0
            flags = MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV | kept
            mount(None, target, None, flags)
        os.close(descriptor)
    for path, link in links.items():
        os.symlink(link, root + path)
    os.makedirs(root + "/tmp", exist_ok=True)
    os.makedirs(root + "/.old")


def enter_namespaces() -> None:
    """Leave the machine: no network, no file of it but those of `visible_folders`, no privilege.

    Raises:
        OSError: the machine does not allow it; the text names the call.
    """
    root = "/tmp"
    uid, gid = os.getuid(), os.getgid()
    populated = uid == 0
    if populated:
        # Bind mounts come before giving root up: Python may lie where only root can look.
        call("unshare", CLONE_NEWNS)
        populate(root)
        try:
            os.setgroups([])
            os.setresgid(NOBODY, NOBODY, NOBODY)
            os.setresuid(NOBODY, NOBODY, NOBODY)
        except OSError:
            pass  # root of a user namespace that holds nobody else: an ordinary user outside
        uid, gid = os.getuid(), os.getgid()
        # Changing the user made /proc/self root's own, and the maps below are written there.
        call("prctl", PR_SET_DUMPABLE, 1, 0, 0, 0)
    call("unshare", CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS)
    write_file("/proc/self/setgroups", "deny")
    write_file("/proc/self/uid_map", f"1000 {uid} 1")
    write_file("/proc/self/gid_map", f"1000 {gid} 1")
    if populated:
        mount(None, "/", None, MS_REC | MS_PRIVATE)
        mount(root, root, None, MS_BIND | MS_REC)
    else:
        populate(root)
    os.chdir(root)
    call("pivot_root", b".", b".old")
    os.chdir("/")
    call("umount2", b"/.old", MNT_DETACH)
    mount(None, "/", None, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV)


def limit_resources(timeout_s: float, memory_mb: int, isolated: bool) -> None:
    """Set the limits of one program; they hold for all its processes, each by itself."""
    processes = MAX_PROCESSES if isolated else own_tasks() + MAX_PROCESSES
    cpu = int(timeout_s) + 2  # seconds: a backstop behind the wall clock
    for name, value in (
        (resource.RLIMIT_AS, memory_mb << 20),
        (resource.RLIMIT_CPU, cpu),
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
    for entry in os.listdir("/proc"):
        try:
            if entry.isdigit() and os.stat(f"/proc/{entry}").st_uid == os.getuid():
                count += len(os.listdir(f"/proc/{entry}/task"))
        except OSError:  # it has ended meanwhile
            continue
    return count


def drop_privileges() -> None:
    """Give up all capabilities, and the ways to new ones."""
    call("prctl", PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    header = struct.pack("=II", CAPABILITY_VERSION_3, 0)
    call("capset", header, struct.pack("=6I", 0, 0, 0, 0, 0, 0))


def become_program(
    request: dict[str, Any], folder: str, isolated: bool, output: int, verdict: int
) -> None:
    """Turn this freshly forked process into one in which a stranger's program may run."""
    os.setsid()  # else a signal to "my process group" would reach the worker
    call("prctl", PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    nothing = os.open("/dev/null", os.O_RDONLY)
    # In this order: `nothing` or `output` may be number 3 itself.
    for descriptor, number in ((nothing, 0), (output, 1), (output, 2), (verdict, 3)):
        os.dup2(descriptor, number, inheritable=number < 3)
    os.closerange(4, os.sysconf("SC_OPEN_MAX"))
    if isolated:
        options = f"size={MAX_FILE},nr_inodes={MAX_FILES},mode=700"
        mount("tmpfs", "/tmp", "tmpfs", MS_NOSUID | MS_NODEV, options)
    os.chdir(folder)
    limit_resources(request["timeout_s"], request["memory_mb"], isolated)
    if isolated:
        drop_privileges()
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stdout = open(1, "w", encoding="utf-8", errors="replace", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", encoding="utf-8", errors="replace", closefd=False)  # noqa: SIM115
    signal.signal(signal.SIGINT, signal.default_int_handler)


def judge_function(request: dict[str, Any]) -> dict[str, Any]:
    """Run the program, then its tests behind it, in one module; return what came of it."""
    module = types.ModuleType("solution")
    sys.modules["solution"] = module
    names = module.__dict__
    for name in ("program", "tests"):
        # So that a traceback shows the lines.
        lines = request[name].splitlines(keepends=True)
        linecache.cache[f"{name}.py"] = (1, None, lines, f"{name}.py")
    random.seed(0)
    try:
        code = compile(request["program"], "program.py", "exec", dont_inherit=True)
    except Exception as error:  # MemoryError too: the parser's own stack is full
        return failure("syntax", error)
    try:
        tests = compile(request["tests"], "tests.py", "exec", dont_inherit=True)
    except Exception as error:
        return failure("judge_failed", error)
    entry_point = request["entry_point"]
    loaded = False
    try:
        exec(code, names)
        loaded = True
        candidate = names.get(entry_point)
        if not callable(candidate):
            message = f"the program defines no function {entry_point}"
            return {"verdict": "entry_point_missing", "message": message}
        names.pop("check", None)
        exec(tests, names)
        if not callable(names.get("check")):
            return {"verdict": "judge_failed", "message": "the tests define no function check"}
        names["check"](candidate)
    except MemoryError:
        return {"verdict": "memory", "message": f"more than {request['memory_mb']} MiB needed"}
    except BaseException as error:  # SystemExit and KeyboardInterrupt too: none of them is a pass
        wrong = loaded and isinstance(error, AssertionError)
        return failure("wrong_answer" if wrong else "exception", error)
    return {"verdict": "passed", "message": ""}


def failure(verdict: str, error: BaseException) -> dict[str, Any]:
    """Describe an exception; the texts are the program's own, bounded in length."""
    try:
        text = str(error)[:MAX_TEXT]
    except BaseException as worse:
        text = f"(its text cannot be had: {type(worse).__name__})"
    try:
        # The first frame is this file's.
        frames = error.__traceback__.tb_next if error.__traceback__ else None
        lines = traceback.format_exception(type(error), error, frames, limit=-20)
        trace = "".join(lines)[-MAX_TEXT:]
    except BaseException:
        trace = ""
    message = f"{type(error).__name__}: {text}" if text else type(error).__name__
    return {"verdict": verdict, "message": message, "traceback": trace}


def run_program(
    request: dict[str, Any], folder: str, isolated: bool, output: int, verdict: int
) -> NoReturn:
    """Be the program's first process, to its end."""
    result: dict[str, Any]
    first = os.getpid()
    try:
        try:
            become_program(request, folder, isolated, output, verdict)
        except OSError as error:
            result = {"verdict": "judge_failed", "message": str(error)}
        else:
            result = judge_function(request)
            sys.stdout.flush()
    except BaseException as error:
        result = failure("exception", error)
    finally:
        if os.getpid() != first:  # forked by the program
            os._exit(0)
        try:
            text = json.dumps({**result, "token": request["token"]}).encode() + b"\n"
            while text:
                text = text[os.write(3, text) :]
        finally:
            os._exit(0)


class Ended(Exception):
    """The scorer has gone away."""


def supervise(
    pid: int, request: dict[str, Any], control: int, output: int, verdict: int
) -> dict[str, Any]:
    """Wait for the program's first process; kill it and what belongs to it when its time is over.

    Returns:
        the reply: the program's own words under `said`, and what this process saw; `status` is its
        wait status, None where it had to be killed.
    """
    started = time.monotonic()
    deadline = started + request["timeout_s"]
    kept = {output: bytearray(), verdict: bytearray()}
    most = {output: MAX_OUTPUT, verdict: MAX_VERDICT}
    waiting = {output, verdict, control}
    ended = timed_out = False
    # It is over when the verdict is there, or nobody is left who could say one.
    while verdict in waiting and not kept[verdict].endswith(b"\n") and not ended:
        left = deadline - time.monotonic()
        if left <= 0:
            timed_out = True
            break
        for descriptor in select.select(list(waiting), [], [], min(left, POLL_S))[0]:
            if descriptor == control:
                raise Ended
            drain(descriptor, kept, most, waiting)
        ended = has_ended(pid)
    if verdict not in waiting:
        # It is ending, and how tells why; one that has only closed the pipe has no reason to wait.
        grace = min(deadline, time.monotonic() + GRACE_S)
        while not (ended := has_ended(pid)) and time.monotonic() < grace:
            time.sleep(0.001)
    os.kill(pid, signal.SIGKILL)
    _, status, usage = os.wait4(pid, 0)
    for descriptor in (verdict, output):
        # What was written last; a descendant that still holds the pipe must not keep us waiting.
        for _ in range(MAX_VERDICT >> 12):
            if descriptor not in waiting or not select.select([descriptor], [], [], 0)[0]:
                break
            drain(descriptor, kept, most, waiting)
    return {
        "said": kept[verdict].decode("utf-8", "replace"),
        "output": kept[output].decode("utf-8", "replace"),
        "timed_out": timed_out,
        "status": status if ended else None,
        "cpu_s": usage.ru_utime + usage.ru_stime,
        "max_rss_bytes": usage.ru_maxrss * 1024,
        "seconds": time.monotonic() - started,
    }


def has_ended(pid: int) -> bool:
    """Whether the process has ended by itself; it stays a zombie."""
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def drain(
    descriptor: int, kept: dict[int, bytearray], most: dict[int, int], waiting: set[int]
) -> None:
    """Read what is there; keep at most `most` bytes in all, let the rest go."""
    data = os.read(descriptor, 1 << 16)
    if not data:
        waiting.discard(descriptor)
    kept[descriptor] += data[: max(0, most[descriptor] - len(kept[descriptor]))]


def kill_descendants() -> None:
    """Kill what the program has left behind; this process adopts it, being a subreaper."""
    while True:
        children: list[int] = []
        with open("/proc/thread-self/children", encoding="ascii") as file:
            children = [int(child) for child in file.read().split()]
        if not children:
            return
        for child in children:
            os.kill(child, signal.SIGKILL)
        for child in children:
            os.waitpid(child, 0)


def handle(request: dict[str, Any], control: int, isolated: bool) -> dict[str, Any]:
    """Run one program to its verdict. This is the program's supervisor, a process of its own."""
    call("prctl", PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    output, output_end = os.pipe()
    verdict, verdict_end = os.pipe()
    folder = "/tmp"
    if isolated:
        call("unshare", CLONE_NEWPID | CLONE_NEWNS)
    else:
        call("prctl", PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        folder = tempfile.mkdtemp(prefix="snakeval-program-")
    pid = 0
    try:
        pid = os.fork()
        if pid == 0:
            run_program(request, folder, isolated, output_end, verdict_end)
        os.close(output_end)
        os.close(verdict_end)
        return {**supervise(pid, request, control, output, verdict), "folder": folder}
    finally:
        if pid != 0 and not isolated:
            kill_descendants()
            shutil.rmtree(folder, ignore_errors=True)


def receive(control: socket.socket) -> dict[str, Any] | None:
    """Read one request; None at the end."""
    head = read_exactly(control, 4)
    if head is None:
        return None
    body = read_exactly(control, struct.unpack("=I", head)[0])
    return None if body is None else json.loads(body)


def read_exactly(control: socket.socket, size: int) -> bytes | None:
    """Read `size` bytes; None where the other side has gone away."""
    data = bytearray()
    while len(data) < size:
        part = control.recv(size - len(data))
        if not part:
            return None
        data += part
    return bytes(data)


def send(control: socket.socket, message: dict[str, Any]) -> None:
    """Write one message."""
    body = json.dumps(message).encode()
    control.sendall(struct.pack("=I", len(body)) + body)


def in_child(work: Callable[[], None]) -> int:
    """Do `work` in a forked process; return its wait status."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            work()
            code = 0
        except Exception:
            traceback.print_exc()
        finally:
            os._exit(code)
    return os.waitpid(pid, 0)[1]


def main() -> int:
    """Serve until the scorer closes the socket."""
    isolated = sys.argv[1] == "namespaces"
    control = socket.socket(fileno=0)
    for name in WARM:
        __import__(name)
    # Ctrl-C is for the scorer; it closes the socket.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.environ.pop("LD_LIBRARY_PATH", None)  # the interpreter may have needed it, programs do not
    try:
        # Where memory runs out, a program goes first.
        write_file("/proc/self/oom_score_adj", "1000")
        if isolated:
            enter_namespaces()
        send(control, {"ready": True})
    except OSError as error:
        send(control, {"ready": False, "error": str(error)})
        return 1
    gc.freeze()  # forked children do not copy these pages at their first collection
    while (request := receive(control)) is not None:

        def work(request: dict[str, Any] = request) -> None:
            try:
                reply = handle(request, control.fileno(), isolated)
            except Ended:
                return
            except OSError as error:
                reply = {"error": str(error)}
            send(control, reply)

        if in_child(work) != 0:
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
