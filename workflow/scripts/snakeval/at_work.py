"""Who is at work in this folder: what keeps runs apart, and what a killed one left behind."""

from __future__ import annotations

import fcntl
import os
import platform
import re
import shutil
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from snakeval.errors import StorageError
from snakeval.records import delete, read_json

RUNNING = Path("results/.running")  # every Snakemake that runs here holds it, shared
MAKING = Path("results/.making")  # the one run that makes results holds it
SNAKEMAKE_LOCKS = Path(".snakemake/locks")


def locked(descriptor: int) -> bool:
    """Take the lock of an open file for this process alone; False where another one holds it."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def has_snakemake_lock(root: Path) -> bool:
    """Whether Snakemake's own lock lies in a folder."""
    left = root / SNAKEMAKE_LOCKS
    return left.is_dir() and any(left.iterdir())


_held: list[int] = []  # open for the life of the process: closing would let go of the lock


def hold(root: Path) -> float:
    """Mark that a Snakemake runs here, until this process ends; clean up if it is the only one.

    Returns:
        What time it is by the clock that dates the files here; a file server has its own.

    Raises:
        StorageError: `results/` cannot be written.
    """
    path = root / RUNNING
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        _held.append(descriptor)
        if locked(descriptor):
            clear_left_overs(root)
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        os.utime(descriptor)
        return os.fstat(descriptor).st_mtime
    except OSError as error:
        raise StorageError.from_os_error(error, path) from error


_making: list[int] = []  # as _held


def hold_results(root: Path) -> None:
    """Keep other runs from making results here until this process ends.

    Snakemake's own locks do not: each run that ends takes away those of all others. They are looked at once, before
    this run has any.

    Raises:
        StorageError: another run is at work, or a killed one left Snakemake's lock.
    """
    if _making:
        return
    path = root / MAKING
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        _making.append(descriptor)
        if not locked(descriptor):
            raise StorageError(
                str(MAKING.parent),
                f"another run at work in this folder ({path.read_text()})",
                "one at a time",
                "Wait for it (snakemake status --cores 1 tells how far it is), or end it with Ctrl-C: no answer is "
                "lost.",
            )
        os.ftruncate(descriptor, 0)
        me = f"process {os.getpid()} on {platform.node()}, since {datetime.now():%Y-%m-%d %H:%M}"
        os.write(descriptor, me.encode())
    except OSError as error:
        raise StorageError.from_os_error(error, path) from error
    if has_snakemake_lock(root) and _is_alone():
        raise StorageError(
            str(SNAKEMAKE_LOCKS),
            "a lock that a killed run left",
            "none",
            "snakemake --unlock, then the same command; make run does both.",
        )


def _is_alone() -> bool:
    """Whether no other Snakemake is at work here."""
    alone = locked(_held[-1])
    fcntl.flock(_held[-1], fcntl.LOCK_SH)
    return alone


def hold_alone(root: Path) -> None:
    """Keep every Snakemake from beginning here until this process ends.

    Raises:
        StorageError: one is at work, or `results/` cannot be written.
    """
    path = root / RUNNING
    try:
        if not _held:
            path.parent.mkdir(parents=True, exist_ok=True)
            _held.append(os.open(path, os.O_RDWR | os.O_CREAT, 0o666))
        if not locked(_held[-1]):
            raise StorageError(
                str(RUNNING.parent),
                "another Snakemake at work in this folder",
                "none while something is removed",
                "Wait for it; snakemake status --cores 1 tells how far it is.",
            )
    except OSError as error:
        raise StorageError.from_os_error(error, path) from error


def clear_left_overs(root: Path) -> None:
    """Remove what a killed run left and the next must not build on.

    That is: the status files of engine starts, and those of fetches that failed or whose model is gone.
    """
    shutil.rmtree(root / "results" / "engines", ignore_errors=True)
    clear_failed_fetches(root)


def clear_failed_fetches(root: Path) -> None:
    """Have the next run fetch again what could not be had, or is not there any more.

    Raises:
        StorageError: a file cannot be removed.
    """
    for path in failed_fetches(root):
        delete(path)
        delete(path.with_suffix(".jsonl"))


def failed_fetches(root: Path) -> Iterator[Path]:
    """Yield the status files of datasets and models that could not be had, or are not there any more."""
    for path in root.glob("results/[dm]*s/*/*.json"):
        if path.parts[-3] in ("datasets", "models") and re.fullmatch(r"[0-9a-f]{12}", path.stem):
            try:
                status = read_json(path)
                places = filter(None, map(status.get, ("path", "tokenizer_path")))
                gone = any(not (root / str(place)).exists() for place in places)
                failed = status["status"] != "ok" or gone
            except (StorageError, KeyError, TypeError):
                failed = True
            if failed:
                yield path
