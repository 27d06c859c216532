"""Leave the machine: namespaces of the worker's own, and a file system with little more than Python in it."""

# Paths here are the kernel's: plain text.
# ruff: noqa: PTH103, PTH112, PTH114, PTH115, PTH118, PTH120, PTH211
from __future__ import annotations

import os
import sys
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


def visible_folders() -> list[str]:
    """Return the folders that programs may read: standard library, shared libraries, time zones."""
    shared = ["/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib"]
    standard = [os.path.dirname(os.__file__), os.path.join(sys.base_prefix, "lib")]
    found = dict.fromkeys(map(os.path.realpath, [*shared, *standard, "/usr/share/zoneinfo"]))
    folders = [path for path in found if os.path.isdir(path) and path != "/"]
    return [path for path in folders if not any(path.startswith(f"{other}/") for other in folders)]


def enter(libraries: str | None) -> int:
    """Leave the machine: no network, no file of it but those of `visible_folders`, no privilege.

    Returns in a new process, the first of a PID namespace; the calling one waits for it and ends with
    it, so that the death of either takes everything with it.

    Returns:
        a descriptor of that PID namespace, for `fork_apart`.

    Raises:
        OSError: the machine does not allow it; the text names the call.
    """
    root = "/tmp"
    uid, gid = os.getuid(), os.getgid()
    populated = uid == 0
    if populated:
        # Bind mounts come before giving root up: Python may lie where only root can look.
        kernel.call("unshare", kernel.CLONE_NEWNS)
        _populate(root, libraries)
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
        _populate(root, libraries)
    os.chdir(root)
    kernel.call("pivot_root", b".", b".old")
    os.chdir("/")
    kernel.call("umount2", b"/.old", kernel.MNT_DETACH)
    kernel.mount(None, "/", None, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV)
    return own_pids


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


def without_folder() -> list[Step]:
    """Return the calls after which a process has no /tmp but an empty one that it cannot change."""
    return [
        kernel.step("unshare", kernel.CLONE_NEWNS),
        kernel.step("umount2", b"/tmp", kernel.MNT_DETACH),
    ]


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


def _populate(root: str, libraries: str | None) -> None:
    """Build at `root`, in this mount namespace only, the file system that programs see."""
    kernel.mount(None, "/", None, MS_REC | MS_PRIVATE)
    # Opened first: `root` may cover one of them.
    sources = {path: path for path in (*visible_folders(), *DEVICES)}
    if libraries:
        sources[LIBRARIES] = libraries
    opened = {path: os.open(source, os.O_PATH | os.O_CLOEXEC) for path, source in sources.items()}
    links = {path: os.readlink(path) for path in ("/lib", "/lib64") if os.path.islink(path)}
    kernel.mount("tmpfs", root, "tmpfs", MS_NOSUID | MS_NODEV, "size=1m,mode=755")
    for path, descriptor in opened.items():
        target = root + path
        os.makedirs(os.path.dirname(target), exist_ok=True)
        if path in DEVICES:
            os.close(os.open(target, os.O_CREAT | os.O_WRONLY))
            kernel.mount(f"/proc/self/fd/{descriptor}", target, None, MS_BIND)
        else:
            os.makedirs(target, exist_ok=True)
            kernel.mount(f"/proc/self/fd/{descriptor}", target, None, MS_BIND | MS_REC)
            kept = MS_NOEXEC if os.fstatvfs(descriptor).f_flag & os.ST_NOEXEC else 0
            flags = MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV | kept
            kernel.mount(None, target, None, flags)
        os.close(descriptor)
    for path, link in links.items():
        os.symlink(link, root + path)
    os.makedirs(root + "/tmp", exist_ok=True)
    os.makedirs(root + "/.old")
