"""How numbers are written in the report. What was not measured is a dash, never 0."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

MISSING = "–"


def percent(value: float | None) -> str:
    """Write a share of 0..1."""
    return MISSING if value is None else f"{value * 100:.1f} %"


def interval(metric: Mapping[str, Any]) -> str:
    """Write the interval of a record with `ci_low` and `ci_high`."""
    low, high = metric["ci_low"], metric["ci_high"]
    return MISSING if low is None or high is None else f"{low * 100:.1f} to {high * 100:.1f} %"


def bounds(record: Mapping[str, Any]) -> str:
    """Write the bounds of a record with `low` and `high`."""
    return interval({"ci_low": record["low"], "ci_high": record["high"]})


def count(value: int | None) -> str:
    """Write a whole number."""
    return MISSING if value is None else f"{value:,}"


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


def gibibytes(value: float | None) -> str:
    """Write a size given in bytes."""
    return MISSING if value is None else f"{value / 2**30:,.2f} GiB"


def joules(value: float | None) -> str:
    """Write an energy given in joules."""
    return MISSING if value is None else f"{value:,.0f} J"


def words(name: str) -> str:
    """Write an identifier as words."""
    return name.replace("_", " ")
