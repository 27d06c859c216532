"""The records that flow between rules, and how they are read and written.

Every file is written under a temporary name and renamed, so a reader sees the old file or the new one
and never a part. Numbers that were not measured are None, never 0.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, Literal, NotRequired, TypedDict

from snakeval.errors import StorageError

FinishReason = Literal["stop", "length", "error"]
State = Literal["correct", "wrong", "incomplete", "unscored"]


class Sample(TypedDict):
    """One normalised dataset row, the same for every model."""

    id: str
    inputs: dict[str, Any]  # what a prompt template may use
    image: NotRequired[str]  # the name of the file that a prompt shows; see `pictures`
    target: Any  # the reference answer, None where the dataset has none
    metadata: dict[str, Any]  # what the scorer needs and the model must not see


class Prompt(TypedDict):
    """One line of `prompts.jsonl`: what was sent. Where choices are scored or turns taken, a line for each."""

    id: str
    repeat: int
    text: str
    token_ids: list[int]
    choice: NotRequired[int]  # from 0
    turn: NotRequired[int]  # from 0
    image: NotRequired[str]  # the path of the file that it shows


class Likelihood(TypedDict):
    """How likely a model finds a text after another."""

    sum: float  # of the log-probabilities of its tokens, natural logarithm
    tokens: int
    greedy: bool  # each token was the likeliest


class Turn(TypedDict):
    """A model's answer to one turn of a conversation."""

    completion: str
    finish_reason: FinishReason
    prompt_tokens: int | None
    completion_tokens: int
    hidden_tokens: NotRequired[int]


class Prediction(TypedDict):
    """One line of `predictions.jsonl`. Token counts are numbers of tokens.

    `prompt_tokens` is None where a server did not count and nobody here could. `completion_tokens` are all that were
    made; `hidden_tokens` of them were a thought that a server did not show. `stopped_here` is there where the answer
    was cut at a stop text here, which the server did not take: its tokens are those of all that came.

    `logprobs` is there where choices are scored, one for each choice; `completion` is empty then.
    `turns` is there where a sample is a conversation; `completion` is the last of them then, and token
    counts are those of all.
    """

    id: str
    repeat: int
    completion: str
    finish_reason: FinishReason
    prompt_tokens: int | None
    completion_tokens: int
    cut_tokens: int
    hidden_tokens: NotRequired[int]
    stopped_here: NotRequired[bool]
    error: NotRequired[str]
    logprobs: NotRequired[list[Likelihood]]
    turns: NotRequired[list[Turn]]


class VerdictRecord(TypedDict):
    """One line of `verdicts.jsonl`: what a judge said to one question about a conversation.

    `again` numbers equal questions from 0; `answers` is the fingerprint of the answers that it was shown.
    """

    id: str
    repeat: int
    turn: int  # from 0
    kind: Literal["grade", "comparison"]
    order: (
        int  # of a comparison: 0 where the model's answer comes first, 1 where the baseline's does
    )
    again: int
    answers: str
    completion: str
    finish_reason: FinishReason
    completion_tokens: int
    error: NotRequired[str]


class TurnTiming(TypedDict):
    """How long one turn of a conversation took, in seconds."""

    latency_s: float | None
    ttft_s: float | None


class Timing(TypedDict):
    """One line of a pair's `timings.jsonl`, in seconds.

    `turns` is there where a sample is a conversation; `latency_s` is that of all turns together then, and
    `ttft_s` the first one's.
    """

    id: str
    repeat: int
    latency_s: float | None
    ttft_s: float | None
    turns: NotRequired[list[TurnTiming]]


class Score(TypedDict):
    """One line of `scores.jsonl`; `value` lies in 0..1 and is None for an unscored sample."""

    id: str
    repeat: int
    state: State
    value: float | None
    answer: str | None
    target: Any
    detail: dict[str, Any]
    cluster: NotRequired[str]  # the same for samples that share what the dataset's `cluster` names


class Metric(TypedDict):
    """A number with its 95 % interval and the count of samples it stands on."""

    value: float | None
    ci_low: float | None
    ci_high: float | None
    n: int


def canonical_json(value: Any) -> str:
    """Serialise with sorted keys and no spaces: equal values give equal text."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def fingerprint(value: Any) -> str:
    """Return the first 12 hex digits of the SHA-256 of `value`'s canonical JSON."""
    return hashlib.sha256(canonical_json(value).encode("utf-8", "surrogatepass")).hexdigest()[:12]


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file's bytes."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise StorageError.from_os_error(error, path) from error


def write_text(path: Path, text: str) -> None:
    """Write `text` to `path` as `write_bytes` does."""
    write_bytes(path, text.encode("utf-8", "surrogatepass"))


def write_bytes(path: Path, data: bytes) -> None:
    """Write `data` to `path` atomically; folders are made.

    Raises:
        StorageError: the disk is full, the folder is read-only, …; `path` is as it was before.
    """
    with replacing(path) as file:
        file.write(data)


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Open a file that takes the place of `path` when the block ends well; folders are made.

    Raises:
        StorageError: as `write_bytes`.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _own(temporary) as file:
            try:
                yield file
                file.flush()
                os.fsync(file.fileno())
                temporary.replace(path)
            except BaseException:
                temporary.unlink(missing_ok=True)
                raise
    except OSError as error:
        raise StorageError.from_os_error(error, path) from error


def delete(path: Path) -> None:
    """Remove a file or a folder; there may be none.

    Raises:
        StorageError: it cannot be removed.
    """
    try:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    except OSError as error:
        raise StorageError.from_os_error(error, path) from error


def _own(path: Path) -> BinaryIO:
    """Open an empty file that no other process writes to; what a killed one left is taken over."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        file = os.fdopen(descriptor, "wb")
        fcntl.flock(file, fcntl.LOCK_EX)
        with suppress(FileNotFoundError):  # whoever had it before has renamed or removed it
            if os.path.samestat(path.stat(), os.fstat(descriptor)):
                file.truncate(0)
                return file
        file.close()


def write_json(path: Path, value: Any) -> None:
    """Write one record, readable by people: sorted keys, indented."""
    write_text(path, json.dumps(value, sort_keys=True, indent=1, ensure_ascii=False) + "\n")


def write_jsonl(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write one record a line."""
    write_text(path, "".join(canonical_json(row) + "\n" for row in rows))


def read_json(path: Path) -> Any:
    """Read one record.

    Raises:
        StorageError: missing, unreadable, or not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8", errors="surrogatepass"))
    except OSError as error:
        raise StorageError.from_os_error(error, path) from error
    except ValueError as error:
        raise StorageError(
            str(path), str(error), "a JSON file", "Delete it and run the same command again."
        ) from error


def read_jsonl(path: Path, without: str | None = None) -> Iterator[Any]:
    """Read one record a line.

    Args:
        path: the file.
        without: a list of numbers that is left out: to read long ones takes most of the time.

    Raises:
        StorageError: missing, unreadable, or a line that is no JSON object (its number is named).
    """
    try:
        with path.open("rb") as file:
            for number, data in enumerate(file, start=1):
                try:
                    line = data.decode("utf-8", "surrogatepass")
                    row = json.loads(_cut(line, without) if without else line)
                    if not isinstance(row, dict):
                        raise ValueError(f"a {type(row).__name__}")
                except ValueError as error:
                    raise StorageError(
                        f"{path}, line {number}",
                        str(error),
                        "one JSON object",
                        "Delete the file and run the same command again.",
                    ) from error
                yield row
    except OSError as error:
        raise StorageError.from_os_error(error, path) from error


def _cut(line: str, name: str) -> str:
    """Cut a list of numbers out of a record; no text can look like one, as quotes in texts are escaped."""
    before, found, rest = line.partition(f',"{name}":[')
    return before + rest[rest.index("]") + 1 :] if found else line
