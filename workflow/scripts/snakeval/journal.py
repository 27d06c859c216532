"""The journal: an append-only record of finished requests per model and dataset, addressed by request hash.

It survives crashes and changes of `limit`. A line is written with one system call when its request is
finished; a torn last line (the machine went down in the middle of it) is ignored on reading and cut off
before the next line is added.
"""

from __future__ import annotations

import fcntl
import json
import os
import sys
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from snakeval.errors import StorageError
from snakeval.records import canonical_json

ROOT = Path("results/journal")


def journal_path(model: str, dataset: str) -> Path:
    """Return where the answers of a model to a dataset are journalled."""
    return ROOT / model / f"{dataset}.jsonl"


def verdicts_path(judge: str, model: str, dataset: str) -> Path:
    """Return where a judge's verdicts on the answers of a model to a dataset are journalled."""
    return ROOT / judge / f"{dataset}.{model}.jsonl"


def sessions_path(model: str) -> Path:
    """Return where a model's engine starts are recorded."""
    return ROOT / f"{model}.engines.jsonl"


def read_journal(path: Path) -> list[dict[str, Any]]:
    """Return the whole lines of a journal; what is no JSON object is left out, and so asked again.

    Raises:
        StorageError: the file is there but cannot be read.
    """
    records: list[dict[str, Any]] = []
    try:
        with path.open("rb") as file:
            for line in file:
                if not line.endswith(b"\n"):
                    break
                try:
                    record = json.loads(line)
                except ValueError:
                    continue
                if isinstance(record, dict):
                    records.append(record)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise StorageError.from_os_error(error, path) from error
    return records


def read_sessions(model: str, root: Path = Path()) -> dict[str, dict[str, Any]]:
    """Return a model's engine starts by name, oldest first, all events of each in one record.

    Raises:
        StorageError: the file is there but cannot be read.
    """
    found: dict[str, dict[str, Any]] = {}
    for record in read_journal(root / sessions_path(model)):
        merged = found.setdefault(record["session"], {})
        merged.update({name: value for name, value in record.items() if name != "event"})
    return found


class Appender:
    """Appends records to a journal; use as a context manager, under the model's lock."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
            self._cut_torn_line()
        except OSError as error:
            raise StorageError.from_os_error(error, path) from error

    def append(self, records: Iterable[Mapping[str, Any]]) -> None:
        """Add records, whole or not at all.

        Raises:
            StorageError: the disk is full, …; the journal is as it was before.
        """
        data = "".join(canonical_json(record) + "\n" for record in records).encode(
            "utf-8", "surrogatepass"
        )
        size = os.fstat(self._descriptor).st_size
        try:
            while data:
                data = data[os.write(self._descriptor, data) :]
        except OSError as error:
            with suppress(OSError):  # a torn line is ignored anyway
                os.ftruncate(self._descriptor, size)
            raise StorageError.from_os_error(error, self._path) from error

    def _cut_torn_line(self) -> None:
        size = os.fstat(self._descriptor).st_size
        end = size
        while end:
            start = max(0, end - 65536)
            newline = os.pread(self._descriptor, end - start, start).rfind(b"\n")
            if newline >= 0:
                end = start + newline + 1
                break
            end = start
        if end < size:
            os.ftruncate(self._descriptor, end)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        os.fsync(self._descriptor)
        os.close(self._descriptor)


class ModelLock:
    """Keeps two runs from generating with one model at once; freed when its holder dies."""

    def __init__(self, model: str) -> None:
        self._path = ROOT / f"{model}.lock"
        self._model = model

    def __enter__(self) -> Self:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self._path.open("w")
        except OSError as error:
            raise StorageError.from_os_error(error, self._path) from error
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(
                f"{self._model}: another run generates with this model; waiting for it",
                file=sys.stderr,
            )
            fcntl.flock(self._file, fcntl.LOCK_EX)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()
