"""Why a pair will run, from what lies in `results/`: nothing is asked and nothing is rendered."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from enum import Enum
from pathlib import Path
from typing import Any, NamedTuple

from snakeval import journal
from snakeval.errors import StorageError, one_line
from snakeval.records import canonical_json, read_json
from snakeval.registry import Pair, Run
from snakeval.registry.run import PREDICTION_FILES, missing
from snakeval.sources.unavailable import short

PARTS = {
    "generator": "snakeval reads or asks in another way",
    "model": "model changed",
    "dataset": "dataset changed",
    "prompt": "prompt changed",
    "sampling": "sampling changed",
}
SHOWN = 3  # of the values that changed


class Step(Enum):
    """Where a pair begins again."""

    ANSWER = "answer"
    JUDGE = "judge"
    SCORE = "score"
    NOTHING = "nothing"


class Reason(NamedTuple):
    """Why a pair will run.

    Attributes:
        step: where it begins.
        text: for people.
        held: samples × repeats whose answers the journal surely holds.
        journalled: requests whose answers it holds where nothing tells that they are others'.
    """

    step: Step
    text: str
    held: float = 0.0
    journalled: int = 0


def why(run: Run, pair: Pair, root: Path = Path()) -> Reason:
    """Return why a pair will run, or that it will not."""
    predictions, verdicts, scores = missing(pair, root)
    if predictions:
        return _unanswered(run, pair, predictions, root)
    if verdicts:
        others = any((root / pair.folder()).glob("judge-*"))
        return Reason(
            Step.JUDGE,
            "the judge or what it is asked changed" if others else "not judged yet",
            math.inf,
        )
    if scores:
        if (root / pair.score_folder()).exists():
            text = f"scores deleted ({_names(scores)})"
        elif any((root / pair.folder()).glob("score-*")):
            text = "scoring changed"
        else:
            text = "not scored yet"
        return Reason(Step.SCORE, f"{text}: only scored, no engine", math.inf)
    return Reason(Step.NOTHING, "nothing to do", math.inf)


def _unanswered(run: Run, pair: Pair, lacking: list[str], root: Path) -> Reason:
    if (root / pair.folder()).exists():
        gone = "all files" if len(lacking) == len(PREDICTION_FILES) else _names(lacking)
        return Reason(Step.ANSWER, f"deleted ({gone}): comes from the journal", math.inf)
    earlier = _newest_spec(root / pair.folder().parent)
    if earlier is None:
        if (path := root / journal.journal_path(pair.model, pair.dataset)).exists():
            text = "stopped or deleted: goes on with what the journal holds"
            return Reason(Step.ANSWER, text, journalled=_lines(path))
        return Reason(Step.ANSWER, "new")
    new = run.spec(pair.model, pair.dataset)
    held = 0.0 if any(earlier.get(part) != new[part] for part in PARTS) else _held(earlier, new)
    return Reason(Step.ANSWER, changes(earlier, new), held)


def changes(earlier: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    """Say in what a spec differs from an earlier one."""
    texts = [
        f"{label}{_difference(earlier.get(part), new[part])}"
        for part, label in PARTS.items()
        if earlier.get(part) != new[part]
    ]
    for name in ("limit", "repeats"):
        if earlier.get(name) != new[name]:
            texts.append(_amount(name, earlier.get(name), new[name]))
    return "; ".join(texts) or "made by another version"


def _lines(path: Path) -> int:
    """Return how many lines a journal has."""
    try:
        with path.open("rb") as file:
            return sum(1 for _ in file)
    except OSError as error:
        raise StorageError.from_os_error(error, path) from error


def _newest_spec(folder: Path) -> Mapping[str, Any] | None:
    """Return the spec of the pair's newest predictions under another key."""
    paths = sorted(folder.glob("*/meta.json"), key=lambda path: path.stat().st_mtime)
    for path in reversed(paths):
        try:
            found = read_json(path)["spec"]
        except (StorageError, KeyError, TypeError):
            continue
        if isinstance(found, dict):
            return found
    return None


def _held(earlier: Mapping[str, Any], new: Mapping[str, Any]) -> float:
    """Return how many answers two specs share that differ in limit and repeats only."""
    limits = [math.inf if spec.get("limit") is None else spec["limit"] for spec in (earlier, new)]
    return float(min(limits) * min(earlier.get("repeats") or 1, new["repeats"]))


def _amount(name: str, old: int | None, new: int | None) -> str:
    before, after = (math.inf if value is None else value for value in (old, new))
    shown = ["all" if value is None else f"{value:,}" for value in (old, new)]
    return f"{name} {'raised' if after > before else 'lowered'} from {shown[0]} to {shown[1]}"


def _difference(old: Any, new: Any) -> str:
    """Say which values differ, the first few of them with what they were and are."""
    found = list(_leaves(old, new, ""))
    texts = [
        f"{where}: {_shown(before)} → {_shown(after)}" for where, before, after in found[:SHOWN]
    ]
    if len(found) > SHOWN:
        texts.append("…")
    return f" ({', '.join(text.removeprefix(': ') for text in texts)})" if texts else ""


def _leaves(old: Any, new: Any, where: str) -> Iterator[tuple[str, Any, Any]]:
    if isinstance(old, dict) and isinstance(new, dict):
        for name in sorted({*old, *new}):
            place = f"{where}.{name}" if where else str(name)
            yield from _leaves(old.get(name), new.get(name), place)
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for number, (before, after) in enumerate(zip(old, new, strict=True)):
            yield from _leaves(before, after, f"{where}[{number}]")
    elif canonical_json(old) != canonical_json(new):
        yield where, old, new


def _shown(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return short(one_line(text), 24)


def _names(paths: list[str]) -> str:
    return ", ".join(Path(path).name for path in paths)
