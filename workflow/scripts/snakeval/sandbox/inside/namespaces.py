"""Leave the machine: namespaces of the worker's own, and a file system with little more than Python in it."""

# Paths here are the kernel's: plain text.
# ruff: noqa: PTH103, PTH112, PTH114, PTH115, PTH118, PTH120, PTH211
from __future__ import annotations

import os
import stat
import sys
from collections.abc import Sequence
from typing import Any

from . import kernel
from .kernel import (
    MS_BIND,
    MS_NOATIME,
    MS_NODEV,
    MS_NOEXEC,
    MS_NOSUID,
    MS_PRIVATE,
    MS_RDONLY,
    MS_REC,
    MS_REMOUNT,
    Step,
)

NOBODY = 65534
HOST = b"sandbox"
LAYERS = ("user", "mount", "pid", "net", "ipc", "uts")
LIBRARIES = "/libraries"  # where third-party packages lie inside, wherever they lie outside
DEVICES = ("/dev/null", "/dev/zero", "/dev/urandom", "/dev/random")
_PROC, _KEPT_PROC = "/proc", "/.proc"
# Links that shells and their programs expect beside tools.
_STREAMS = {
    "/dev/fd": "/proc/self/fd",
    "/dev/stdin": "/proc/self/fd/0",
    "/dev/stdout": "/proc/self/fd/1",
    "/dev/stderr": "/proc/self/fd/2",
}


def visible_folders() -> list[str]:
    """Return the folders that programs may read: standard library, shared libraries, time zones."""
    shared = ["/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib"]
    standard = [os.path.dirname(os.__file__), os.path.join(sys.base_prefix, "lib")]
    found = map(os.path.realpath, [*shared, *standard, "/usr/share/zoneinfo"])
    return _outermost([path for path in found if os.path.isdir(path)])


def _outermost(paths: list[str]) -> list[str]:
    """Return the paths that are not within another one, each once."""
    found = [path for path in dict.fromkeys(paths) if path != "/"]
    return [path for path in found if not any(path.startswith(f"{other}/") for other in found)]


def enter(libraries: str | None, tools: Sequence[str] = ()) -> tuple[int, bool]:
    """Leave the machine: no network, no file of it but those of `visible_folders` and `tools`, no privilege.

    Returns in a new process, the first of a PID namespace; the calling one waits for it and ends with
    it, so that the death of either takes everything with it.

    Args:
        libraries: a folder that is to be found at `LIBRARIES`.
        tools: files and folders that are to be found where they are, links as links.

    Returns:
        a descriptor of that PID namespace, for `fork_apart`; and whether a process may have a /proc, for
        `changing_mounts`: only with tools, and not where parts of the machine's /proc are covered.

    Raises:
        OSError: the machine does not allow it; the text names the call.
    """
    root = "/tmp"
    uid, gid = os.getuid(), os.getgid()
    populated = uid == 0
    if populated:
        # Bind mounts come before giving root up: Python may lie where only root can look.
        kernel.call("unshare", kernel.CLONE_NEWNS)
        _populate(root, libraries, tools)
        try:
            os.setgroups([])
            os.setresgid(NOBODY, NOBODY, NOBODY)
            os.setresuid(NOBODY, NOBODY, NOBODY)
        except OSError:
            pass  # root of a user namespace that holds nobody else: an ordinary user outside
        uid, gid = os.getuid(), os.getgid()
        # Changing the user made /proc/self root's own, and the maps below are written there.
        kernel.call("prctl", kernel.PR_SET_DUMPABLE, 1, 0, 0, 0)
    kernel.call(
        "unshare",
        kernel.CLONE_NEWUSER
        | kernel.CLONE_NEWNS
        | kernel.CLONE_NEWNET
        | kernel.CLONE_NEWIPC
        | kernel.CLONE_NEWUTS
        | kernel.CLONE_NEWPID,
    )
    kernel.call("sethostname", HOST, len(HOST))
    kernel.write_file("/proc/self/setgroups", "deny")
    kernel.write_file("/proc/self/uid_map", f"1000 {uid} 1")
    kernel.write_file("/proc/self/gid_map", f"1000 {gid} 1")
    _become_first_process()
    own_pids = os.open("/proc/self/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
    if populated:
        kernel.mount(None, "/", None, MS_REC | MS_PRIVATE)
        kernel.mount(root, root, None, MS_BIND | MS_REC)
    else:
        _populate(root, libraries, tools)
    has_proc = bool(tools) and _keep_proc(root)
    os.chdir(root)
    kernel.call("pivot_root", b".", b".old")
    os.chdir("/")
    kernel.call("umount2", b"/.old", kernel.MNT_DETACH)
    kernel.mount(None, "/", None, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV)
    return own_pids, has_proc


def fork_apart(own_pids: int) -> int:
    """Fork into a PID namespace of the child's own; return as `os.fork` does.

    Raises:
        OSError: the kernel says no.
    """
    kernel.call("unshare", kernel.CLONE_NEWPID)
    try:
        pid = kernel.fork()
    except OSError:
        kernel.call("setns", own_pids, kernel.CLONE_NEWPID)
        raise
    if pid:
        kernel.call("setns", own_pids, kernel.CLONE_NEWPID)
    return pid


class Folder:
    """The /tmp of one program after the other: empty, of limited size, new where one has left a trace.

    Args:
        size: bytes that it holds at most.
        files: how many files.

    Raises:
        OSError: the kernel says no.
    """

    def __init__(self, size: int, files: int) -> None:
        self._options = f"size={size},nr_inodes={files},mode=700"
        self._mount()

    def clear(self) -> None:
        """Make it what it was at first, when nobody uses it.

        Raises:
            OSError: the kernel says no.
        """
        if self._seen() != self._new:
            kernel.call("umount2", b"/tmp", kernel.MNT_DETACH)
            self._mount()

    def _mount(self) -> None:
        flags = MS_NOSUID | MS_NODEV | MS_NOATIME
        kernel.mount("tmpfs", "/tmp", "tmpfs", flags, self._options)
        self._new = self._seen()

    def _seen(self) -> tuple[Any, ...]:
        # Whatever is done to a folder changes one of its times.
        state = os.stat("/tmp")  # noqa: PTH116
        times = state.st_atime_ns, state.st_mtime_ns, state.st_ctime_ns
        return state.st_mode, state.st_nlink, times, os.listdir("/tmp"), os.listxattr("/tmp")  # noqa: PTH208


def changing_mounts(folder: bool, has_proc: bool, proc: bool) -> list[Step]:
    """Return the calls after which a process has mounts of its own.

    Args:
        folder: whether it keeps its /tmp, or has but an empty one that it cannot change.
        has_proc: what `enter` has returned.
        proc: whether it gets a /proc: of its own PID namespace, with nothing but the processes there that
            it may look into. The process must be in that namespace already.
    """
    steps = [kernel.step("unshare", kernel.CLONE_NEWNS)]
    if not folder:
        steps.append(kernel.step("umount2", b"/tmp", kernel.MNT_DETACH))
    if proc:
        steps.append(_mounting_proc(_PROC))
    if has_proc:
        steps.append(kernel.step("umount2", _KEPT_PROC.encode(), kernel.MNT_DETACH))
    return steps


def _keep_proc(root: str) -> bool:
    """Mount the /proc of this PID namespace where no program comes; return whether programs may have one.

    The kernel allows a /proc only where another one can be seen as a whole: now the machine's, later this one.
    Before 5.8 it knows none with processes only.
    """
    try:
        kernel.take([_mounting_proc(root + _PROC)])
        kernel.call("umount2", (root + _PROC).encode(), kernel.MNT_DETACH)
        kernel.mount("proc", root + _KEPT_PROC, "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC)
    except OSError:
        return False
    return True


def _mounting_proc(target: str) -> Step:
    flags = MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC
    return kernel.mounting("proc", target, "proc", flags, "subset=pid,hidepid=ptraceable")


def _become_first_process() -> None:
    """Fork; go on in the child, the first process of the new PID namespace."""
    kernel.take([kernel.dying_with_parent()])
    pid = os.fork()
    if pid == 0:
        kernel.take([kernel.dying_with_parent()])
        return
    # The scorer must see the end of the socket when the child is gone.
    os.closerange(0, os.sysconf("SC_OPEN_MAX"))
    status = os.waitpid(pid, 0)[1]
    os._exit(0 if status == 0 else 1)


def _populate(root: str, libraries: str | None, tools: Sequence[str]) -> None:
    """Build at `root`, in this mount namespace only, the file system that programs see."""
    kernel.mount(None, "/", None, MS_REC | MS_PRIVATE)
    # Opened first: `root` may cover one of them.
    shown = _outermost([*visible_folders(), *map(os.path.realpath, tools)])
    sources = {path: path for path in (*shown, *DEVICES)}
    if libraries:
        sources[LIBRARIES] = libraries
    opened = {path: os.open(source, os.O_PATH | os.O_CLOEXEC) for path, source in sources.items()}
    linked = ("/lib", "/lib64", *tools)
    links = {path: os.readlink(path) for path in linked if os.path.islink(path)}
    if tools:
        links |= _STREAMS
    kernel.mount("tmpfs", root, "tmpfs", MS_NOSUID | MS_NODEV, "size=1m,mode=755")
    for path, descriptor in opened.items():
        target = root + path
        os.makedirs(os.path.dirname(target), exist_ok=True)
        if path in DEVICES:
            os.close(os.open(target, os.O_CREAT | os.O_WRONLY))
            kernel.mount(f"/proc/self/fd/{descriptor}", target, None, MS_BIND)
        else:
            if stat.S_ISDIR(os.fstat(descriptor).st_mode):
                os.makedirs(target, exist_ok=True)
            else:
                os.close(os.open(target, os.O_CREAT | os.O_WRONLY))
            kernel.mount(f"/proc/self/fd/{descriptor}", target, None, MS_BIND | MS_REC)
            kept = MS_NOEXEC if os.fstatvfs(descriptor).f_flag & os.ST_NOEXEC else 0
            flags = MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV | kept
            kernel.mount(None, target, None, flags)
        os.close(descriptor)
    for path, link in links.items():
        if not os.path.lexists(root + path):
            os.makedirs(os.path.dirname(root + path), exist_ok=True)
            os.symlink(link, root + path)
    if tools:
        os.makedirs(root + _PROC)
        os.makedirs(root + _KEPT_PROC)
    os.makedirs(root + "/tmp", exist_ok=True)
    os.makedirs(root + "/.old")
