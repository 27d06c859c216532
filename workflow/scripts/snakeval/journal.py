"""The journal: an append-only record of finished requests per model and dataset, addressed by request hash.

It survives crashes and changes of `limit`. A line is written with one system call when its request is
finished; a torn last line (the machine went down in the middle of it) is ignored on reading and cut off
before the next line is added.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import sys
import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from snakeval.errors import StorageError
from snakeval.records import canonical_json

ROOT = Path("results/journal")
LATE_S = 10  # until a network disk shows what another machine has written
ANSWER = (
    *("request", "completion", "finish_reason", "completion_tokens"),
    *("latency_s", "ttft_s", "session"),
)

log = logging.getLogger(__name__)


def journal_path(model: str, dataset: str) -> Path:
    """Return where the answers of a model to a dataset are journalled."""
    return ROOT / model / f"{dataset}.jsonl"


def verdicts_path(judge: str, model: str, dataset: str) -> Path:
    """Return where a judge's verdicts on the answers of a model to a dataset are journalled."""
    return ROOT / judge / f"{dataset}.{model}.jsonl"


def sessions_path(model: str) -> Path:
    """Return where a model's engine starts are recorded."""
    return ROOT / f"{model}.engines.jsonl"


def read_journal(path: Path, names: Collection[str] = ()) -> list[dict[str, Any]]:
    """Return the records of a journal; a line that is none is told, left out, and so asked again.

    Args:
        path: the journal.
        names: what each record holds.

    Raises:
        StorageError: the file is there but cannot be read.
    """
    records: list[dict[str, Any]] = []
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                if not line.endswith(b"\n"):
                    break
                try:
                    record = json.loads(line)
                except ValueError:
                    record = None
                if isinstance(record, dict) and record.keys() >= set(names):
                    records.append(record)
                else:
                    log.warning(
                        "%s, line %d: damaged; what stood there is made again", path, number
                    )
    except FileNotFoundError:
        return []
    except OSError as error:
        raise StorageError.from_os_error(error, path) from error
    return records


def read_answers(path: Path, wanted: Collection[str] = ()) -> dict[str, dict[str, Any]]:
    """Return the answers of a journal by their request.

    Args:
        path: the journal.
        wanted: requests that have an answer there; a disk that another machine wrote to may show it late.

    Raises:
        StorageError: the file is there but cannot be read.
    """
    for left in reversed(range(LATE_S + 1)):
        records = {record["request"]: record for record in read_journal(path, ANSWER)}
        if not left or records.keys() >= set(wanted):
            break
        time.sleep(1)
    return records


def read_sessions(model: str, root: Path = Path()) -> dict[str, dict[str, Any]]:
    """Return a model's engine starts by name, oldest first, all events of each in one record.

    Raises:
        StorageError: the file is there but cannot be read.
    """
    found: dict[str, dict[str, Any]] = {}
    for record in read_journal(root / sessions_path(model), ("session",)):
        merged = found.setdefault(record["session"], {})
        merged.update({name: value for name, value in record.items() if name != "event"})
    return found


class Appender:
    """Appends records to a journal, which other processes may do too; use as a context manager."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
            with self._alone():
                pass
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
        try:
            with self._alone() as size:
                try:
                    while data:
                        data = data[os.write(self._descriptor, data) :]
                except OSError:
                    with suppress(OSError):  # a torn line is ignored anyway
                        os.ftruncate(self._descriptor, size)
                    raise
        except OSError as error:
            raise StorageError.from_os_error(error, self._path) from error

    @contextmanager
    def _alone(self) -> Iterator[int]:
        """Keep other writers away, those of other machines too; yield the size without a torn line."""
        fcntl.flock(self._descriptor, fcntl.LOCK_EX)
        try:
            yield self._cut_torn_line()
        finally:
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)

    def _cut_torn_line(self) -> int:
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
        return end

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


class PairLocks:
    """Keeps two runs from answering the same pairs at once; freed when their holder dies.

    Other pairs of the same model are free, so that several engines may answer them on several GPUs.

    Args:
        model: whose engine answers, for messages.
        journals: of the pairs.
    """

    def __init__(self, model: str, journals: Iterable[Path]) -> None:
        self._model = model
        # All take them in one order: so none waits for one that waits for it.
        self._paths = sorted(path.with_suffix(".lock") for path in journals)

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            for path in self._paths:
                try:
                    path.parent.mkdir(parents=True, exist_ok=True)
                    self._lock(stack.enter_context(path.open("w")), path.stem)
                except OSError as error:
                    raise StorageError.from_os_error(error, path) from error
            self._held = stack.pop_all()
        return self

    def _lock(self, file: IO[str], pair: str) -> None:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(
                f"{self._model}: another run generates for {pair} with this model; waiting for it",
                file=sys.stderr,
            )
            fcntl.flock(file, fcntl.LOCK_EX)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._held.close()
