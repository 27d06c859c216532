"""How numbers are written in the report. What was not measured is a dash, never 0."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

MISSING = "–"


def percent(value: float | None) -> str:
    """Write a share of 0..1."""
    return MISSING if value is None else f"{value * 100:.1f} %"


def interval(metric: Mapping[str, Any]) -> str:
    """Write the interval of a record with `ci_low` and `ci_high`."""
    low, high = metric["ci_low"], metric["ci_high"]
    return MISSING if low is None or high is None else f"{low * 100:.1f} to {high * 100:.1f} %"


def rank(record: Mapping[str, Any]) -> str:
    """Write the ranks between which a record with `rank_low` and `rank_high` lies."""
    low, high = record["rank_low"], record["rank_high"]
    if low is None:
        return MISSING
    return f"{low}" if low == high else f"{low}–{high}"


def points(value: float | None) -> str:
    """Write a difference of two shares in percentage points, with its sign."""
    if value is None:
        return MISSING
    text = f"{value * 100:+.1f}"
    return "0.0" if float(text) == 0 else text.replace("-", "−")


def width(value: float | None) -> str:
    """Write how large a difference of two shares is, in percentage points."""
    return MISSING if value is None else f"{value * 100:.1f}"


def points_interval(record: Mapping[str, Any]) -> str:
    """Write the interval of a difference with `ci_low` and `ci_high` in percentage points."""
    return f"{points(record['ci_low'])} to {points(record['ci_high'])}"


def p_value(value: float | None) -> str:
    """Write a p-value with as many digits as mean something."""
    if value is None:
        return MISSING
    return "< 0.001" if value < 0.001 else f"{value:.2g}" if value < 0.1 else f"{value:.2f}"


def times(value: float | None) -> str:
    """Write a ratio."""
    return MISSING if value is None else f"{value:.2f} ×"


def bounds(record: Mapping[str, Any]) -> str:
    """Write the bounds of a record with `low` and `high`."""
    return interval({"ci_low": record["low"], "ci_high": record["high"]})


def count(value: int | None) -> str:
    """Write a whole number."""
    return MISSING if value is None else f"{value:,}"


def several(number: int, noun: str) -> str:
    """Write a number of things."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def listed(names: Sequence[str]) -> str:
    """Write names in a row: a, b and c."""
    *most, last = names
    return f"{', '.join(most)} and {last}" if most else last


def amount(value: float | None) -> str:
    """Write a number with about three digits."""
    if value is None:
        return MISSING
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def seconds(value: float | None) -> str:
    """Write a duration given in seconds."""
    if value is None:
        return MISSING
    if value >= 120:
        return f"{int(value) // 60} min {int(value) % 60} s"
    if value >= 1:
        return f"{value:.1f} s"
    return f"{value * 1000:.3g} ms"


def several_seconds(values: Iterable[float | None]) -> str:
    """Write durations given in seconds beside each other, in one unit; one dash stands for none."""
    found = list(values)
    known = [value for value in found if value is not None]
    if not known:
        return MISSING
    unit, scale = ("s", 1) if max(known) >= 1 else ("ms", 1000)
    texts = (MISSING if value is None else f"{scale * value:.3g}" for value in found)
    return f"{' / '.join(texts)} {unit}"


def gibibytes(value: float | None) -> str:
    """Write a size given in bytes."""
    return MISSING if value is None else f"{value / 2**30:,.2f} GiB"


def joules(value: float | None) -> str:
    """Write an energy given in joules."""
    return MISSING if value is None else f"{value:,.0f} J"


def watts(value: float | None) -> str:
    """Write a power given in watts."""
    return MISSING if value is None else f"{value:,.0f} W"


def hundredths(value: float | None) -> str:
    """Write a share of 0..100."""
    return MISSING if value is None else f"{value:.0f} %"


def money(value: float | None) -> str:
    """Write an amount of money in a currency that the reader knows, with three digits or more."""
    if value is None:
        return MISSING
    digits = 2 if value == 0 else max(2, 2 - math.floor(math.log10(value)))
    return f"{value:,.{digits}f}"


def words(name: str) -> str:
    """Write an identifier as words."""
    return name.replace("_", " ")
