"""Which run is at work in a folder: it holds `results/.making`.

The kernel's list of locks tells that. To try the lock, even for a moment, would keep a run from starting.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from snakeval.at_work import MAKING


@dataclass(frozen=True)
class Process:
    """A process: its number, when it began in seconds since the epoch, and its command line."""

    number: int
    began: float
    command: list[str]


def at_work(root: Path) -> Iterator[Process]:
    """Yield the Snakemakes that make results in a folder, as far as they are on this machine."""
    try:
        inode = (root / MAKING).stat().st_ino
        lines = Path("/proc/locks").read_text().splitlines()
    except OSError:
        return
    numbers = {
        int(fields[4])
        for fields in map(str.split, lines)
        if fields[1] == "FLOCK" and fields[5].rsplit(":", 1)[-1] == str(inode)
    }
    for number in sorted(numbers):
        found = named(number)
        # On another disk the inode's number is another file's.
        if found is not None and _folder(number) == root.resolve():
            yield found


def named(number: int) -> Process | None:
    """Return a process; None where there is none, or it is not to be seen."""
    import psutil

    try:
        process = psutil.Process(number)
        return Process(number, process.create_time(), process.cmdline())
    except (psutil.Error, ValueError):
        return None


def _folder(number: int) -> Path | None:
    """Return the working directory of a process."""
    try:
        return Path(f"/proc/{number}/cwd").resolve(strict=True)
    except OSError:
        return None
