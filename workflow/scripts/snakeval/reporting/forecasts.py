"""What engine starts were expected to take, beside what they took."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from snakeval.forecast.history import Start
from snakeval.records import read_json
from snakeval.reporting.formats import MISSING, count, gibibytes, joules, seconds, times
from snakeval.reporting.text import clip, line

if TYPE_CHECKING:
    from snakeval.registry import Pair, Run


@dataclass(frozen=True)
class Beside:
    """One quantity of an engine start, as text.

    Attributes:
        name: of the quantity.
        expected: the forecast.
        between: what it was expected to lie between; a dash where no range was given.
        actual: what was measured.
        ratio: measured by expected.
        outside: whether the measured value lies outside of the range; None where there is none, or no value.
        source: where the forecast came from.
    """

    name: str
    expected: str
    between: str
    actual: str
    ratio: str
    outside: bool | None
    source: str


@dataclass(frozen=True)
class StartView:
    """One engine start: of which model, when, and its quantities."""

    model: str
    session: str
    rows: list[Beside]


def starts(
    run: Run, folder: Path, metas: Sequence[tuple[Pair, Mapping[str, Any]]]
) -> list[StartView]:
    """Return the engine starts that answered, and those of the judge, each once, in order of time.

    Starts from before forecasts were written down are left out.

    Args:
        run: the resolved run.
        folder: the working directory.
        metas: pairs with results, and their meta.json.
    """
    found: dict[str, StartView] = {}
    for pair, meta in metas:
        verdicts = folder / pair.verdict_folder() / "meta.json"
        both = [(pair.model, meta)]
        if pair.judging and verdicts.exists():
            both.append((run.settings["judge"], read_json(verdicts)))
        for model, its in both:
            for record in its["engine_starts"]:
                if record.get("forecast"):
                    session = str(record["session"])
                    title = str(run.entry(model)["title"])
                    found[session] = StartView(title, session, list(_rows(record)))
    return [found[session] for session in sorted(found)]


def _rows(record: Mapping[str, Any]) -> Iterator[Beside]:
    forecast = record["forecast"]
    start = Start(str(record.get("device")), None, record)
    quantities: tuple[tuple[str, str, float | None, Callable[[Any], str]], ...] = (
        ("engine start", "start_s", start.start_s, seconds),
        ("answering", "answer_s", record.get("generate_s"), seconds),
        ("requests", "requests", record.get("requests"), _whole),
        ("output tokens", "completion_tokens", record.get("completion_tokens"), _whole),
        ("energy of the start", "start_joules", record.get("start_joules"), joules),
        ("energy of the answers", "joules", record.get("joules"), joules),
        ("weights in memory", "weights_bytes", record.get("weights_bytes"), gibibytes),
        ("tokens in the KV cache", "kv_cache_tokens", record.get("kv_cache_tokens"), _whole),
    )
    for name, key, actual, written in quantities:
        expected = forecast.get(key)
        if expected is not None or actual is not None:
            yield _beside(name, expected, actual, written)


def _beside(
    name: str,
    expected: Mapping[str, Any] | float | None,
    actual: float | None,
    written: Callable[[Any], str],
) -> Beside:
    between, outside, source = MISSING, None, MISSING
    value = expected
    if isinstance(expected, Mapping):
        value, low, high = (expected[key] for key in ("value", "low", "high"))
        between = f"{written(low)} to {written(high)}"
        source = clip(line(str(expected["source"])), 200)
        outside = None if actual is None else not low <= actual <= high
    ratio = actual / value if actual is not None and value else None  # type: ignore[operator]
    return Beside(name, written(value), between, written(actual), times(ratio), outside, source)


def _whole(value: float | None) -> str:
    return count(None if value is None else round(value))
