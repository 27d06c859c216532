"""What an engine start will take, before it does: memory, seconds, joules.

    config.json, registry ──shape.py──▶ Shape ──memory.py──▶ does it fit?
    earlier starts and answers ──history.py──▶ ──cost.py──▶ seconds and joules ──starts.py──▶ the engine's journal

`preflight` prints it for all selected pairs before anything is fetched; each engine start writes its own
forecast down, and the report holds it against what was measured.
"""

from __future__ import annotations

from typing import Any, NamedTuple


class Estimate(NamedTuple):
    """A number that is not known yet: the likely value, what it may lie between, and where that comes from."""

    value: float
    low: float
    high: float
    source: str

    def times(self, factor: float) -> Estimate:
        """Return the estimate of so many times the number."""
        return Estimate(self.value * factor, self.low * factor, self.high * factor, self.source)

    def to_json(self) -> dict[str, Any]:
        """Return it as a record."""
        return self._asdict()


def total(estimates: list[Estimate]) -> Estimate:
    """Return the sum of estimates, each of which may be wrong in the same way."""
    sources = "; ".join(dict.fromkeys(one.source for one in estimates))
    return Estimate(
        sum(one.value for one in estimates),
        sum(one.low for one in estimates),
        sum(one.high for one in estimates),
        sources,
    )
