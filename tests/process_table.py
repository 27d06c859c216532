"""Which processes live, which belong together, and which work in a folder."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path


def processes() -> dict[int, int]:
    """Return the parent of each live process."""
    parents = {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            state, parent = process.joinpath("stat").read_text().rpartition(")")[2].split()[:2]
        except (FileNotFoundError, ProcessLookupError):
            continue
        if state != "Z":
            parents[int(process.name)] = int(parent)
    return parents


def family(head: int) -> set[int]:
    """Return a process and all that descend from it."""
    parents = processes()
    found, size = {head}, 0
    while len(found) > size:
        size = len(found)
        found |= {process for process, parent in parents.items() if parent in found}
    return found


def working_in(folder: Path) -> dict[int, list[str]]:
    """Return the command lines of live processes that work in a folder."""
    found = {}
    for number in processes():
        process = Path("/proc", str(number))
        try:
            if process.joinpath("cwd").readlink().is_relative_to(folder):
                found[number] = process.joinpath("cmdline").read_text().split("\0")
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
    return found


def seconds_until(condition: Callable[[], object], limit: float) -> float:
    """Wait for a condition; return how long it took, infinity if it did not come within the limit."""
    began = time.monotonic()
    while not condition():
        if time.monotonic() - began > limit:
            return float("inf")
        time.sleep(0.05)
    return time.monotonic() - began
