"""The folder of a program where nothing but the worker limits it: how much is in it, and its end.

A program may make folders deeper than any path is long, or such as it cannot list itself. So nothing
here goes by paths, and nothing calls itself.
"""

# Paths here are the kernel's: plain text.
# ruff: noqa: PTH101, PTH102, PTH106, PTH116, PTH118, PTH208
from __future__ import annotations

import os
import stat

MAX_DEPTH = 64  # folders within folders that are followed
_OPEN = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def make() -> str:
    """Make a folder for a program; return its path."""
    path = f"/tmp/snakeval-program-{os.urandom(8).hex()}"
    os.mkdir(path, stat.S_IRWXU)
    return path


def too_much(folder: str, pid: int, max_bytes: int, max_files: int) -> bool:
    """Whether a process has more in its folder than it may, with files that it has removed but still holds.

    Folders that cannot be listed, or lie too deep, are too much.
    """
    files = 0
    device = os.stat(folder).st_dev
    size = _held_bytes(pid, device)
    opened: list[int] = []
    try:
        opened.append(os.open(folder, _OPEN))
        places = [os.scandir(opened[0])]
        while places:
            entry = next(places[-1], None)
            if entry is None:
                places.pop().close()
                os.close(opened.pop())
                continue
            files += 1
            try:
                if entry.is_dir(follow_symlinks=False):
                    opened.append(os.open(entry.name, _OPEN, dir_fd=opened[-1]))
                    places.append(os.scandir(opened[-1]))
                else:
                    size += entry.stat(follow_symlinks=False).st_blocks * 512
            except PermissionError:
                return True
            except OSError:  # it is gone again
                continue
            if files > max_files or size > max_bytes or len(places) > MAX_DEPTH:
                return True
        return size > max_bytes
    finally:
        for descriptor in opened:
            os.close(descriptor)


def _held_bytes(pid: int, device: int) -> int:
    """Return the size of the files of a disk that a process holds open and that are in no folder."""
    size = 0
    place = f"/proc/{pid}/fd"
    try:
        names = os.listdir(place)
    except OSError:  # the process has ended
        return 0
    for name in names:
        try:
            found = os.stat(os.path.join(place, name))
        except OSError:  # closed meanwhile
            continue
        if found.st_dev == device and found.st_nlink == 0 and stat.S_ISREG(found.st_mode):
            size += found.st_blocks * 512
    return size


def remove(folder: str) -> None:
    """Remove a folder and all in it; the program must have ended.

    Folders within folders are moved up first, so that any depth is taken down step by step.

    Raises:
        OSError: something cannot be removed.
    """
    moved = 0
    mark = os.urandom(8).hex()  # a name that the program cannot have used
    os.chmod(folder, stat.S_IRWXU)
    top = os.open(folder, _OPEN)
    try:
        while names := os.listdir(top):
            for name in names:
                if not _is_folder(name, top):
                    os.unlink(name, dir_fd=top)
                    continue
                os.chmod(name, stat.S_IRWXU, dir_fd=top)
                place = os.open(name, _OPEN, dir_fd=top)
                try:
                    for inner in os.listdir(place):
                        if _is_folder(inner, place):
                            os.chmod(inner, stat.S_IRWXU, dir_fd=place)
                            moved += 1
                            os.rename(inner, f"{mark}{moved}", src_dir_fd=place, dst_dir_fd=top)
                        else:
                            os.unlink(inner, dir_fd=place)
                finally:
                    os.close(place)
                os.rmdir(name, dir_fd=top)
    finally:
        os.close(top)
    os.rmdir(folder)


def _is_folder(name: str, place: int) -> bool:
    return stat.S_ISDIR(os.stat(name, dir_fd=place, follow_symlinks=False).st_mode)
