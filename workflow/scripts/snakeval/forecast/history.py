"""What earlier engine starts and answers tell about those to come."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from snakeval import journal
from snakeval.errors import StorageError
from snakeval.records import read_json

NEWEST = 5  # engine starts, or pairs, of which more would only be older


@dataclass(frozen=True)
class Start:
    """An engine start that is over.

    Attributes:
        device: "cuda" or "cpu".
        gpu: the GPU's name, None without one.
        record: all that was written down about it, events merged.
    """

    device: str
    gpu: str | None
    record: Mapping[str, Any]

    @property
    def start_s(self) -> float | None:
        """Seconds from the engine's process to an engine that is up."""
        if (whole := self.number("start_s")) is not None:
            return whole
        # Earlier versions wrote down its parts only.
        seconds = self.record.get("seconds") or {}
        parts = [seconds.get(name) for name in ("import", "start")]
        return None if None in parts else sum(parts)  # type: ignore[arg-type]

    def number(self, name: str) -> float | None:
        """Return a number of the record that is above 0; None where it was not measured."""
        value = self.record.get(name)
        return float(value) if value else None


def starts(model: str, device: str, gpu: str | None, root: Path = Path()) -> list[Start]:
    """Return the newest starts of a model on a kind of device; on the GPU's own kind where there are any."""
    found = [
        Start(str(record["device"]), (record.get("gpu") or {}).get("name"), record)
        for record in journal.read_sessions(model, root).values()
        if record.get("device") == device and record.get("seconds")
    ]
    same = [start for start in found if start.gpu == gpu]
    return (same or found)[-NEWEST:]


def benchmarks(model: str, root: Path = Path()) -> dict[str, Any] | None:
    """Return the newest record of `snakemake benchmark` on a GPU; None where there is none."""
    paths = sorted(
        (root / "results" / "benchmarks" / model).glob("*.json"),
        key=lambda path: path.stat().st_mtime,
    )
    for path in reversed(paths):
        try:
            record: dict[str, Any] = read_json(path)
        except StorageError:
            continue
        if record.get("points") and record.get("gpu"):
            return record
    return None


@dataclass(frozen=True)
class Answered:
    """Mean tokens of a pair's answers, a sample and repeat each; turns and choices of one are taken together."""

    model: str
    prompt_tokens: float
    completion_tokens: float


def answered(model: str, dataset: str, root: Path = Path()) -> list[Answered]:
    """Return what earlier answers to a dataset took, newest last; the model's own where there are any."""
    paths = _newest(root, f"*/{dataset}/*/meta.json")
    mine = [path for path in paths if path.parts[-4] == model]
    return list(_read((mine or paths)[-NEWEST:], "predictions.jsonl", -4))


def judged(dataset: str, root: Path = Path()) -> list[Answered]:
    """Return what earlier verdicts on answers to a dataset took, newest last, by whose answers they are about."""
    paths = _newest(root, f"*/{dataset}/*/judge-*/meta.json")
    return list(_read(paths[-NEWEST:], "verdicts.jsonl", -5))


def _newest(root: Path, pattern: str) -> list[Path]:
    folder = root / "results" / "pairs"
    return sorted(folder.glob(pattern), key=lambda path: path.stat().st_mtime)


def _read(paths: list[Path], lines: str, place: int) -> Iterator[Answered]:
    for path in paths:
        try:
            tokens = read_json(path)["tokens"]
            with (path.parent / lines).open("rb") as file:
                count = sum(1 for _ in file)
            if count and tokens["prompt"] is not None:  # a server may not tell
                prompt, completion = tokens["prompt"] / count, tokens["completion"] / count
                yield Answered(path.parts[place], prompt, completion)
        except (StorageError, OSError, KeyError, TypeError):  # half a pair tells nothing
            continue
