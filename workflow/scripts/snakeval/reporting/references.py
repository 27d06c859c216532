"""A result beside published scores: inside their band or outside of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from snakeval.registry.bands import Reference, references
from snakeval.reporting.formats import interval, percent

if TYPE_CHECKING:
    from snakeval.registry import Pair, Run


@dataclass(frozen=True)
class Compared:
    """A pair's result beside a published score.

    Args:
        reference: the published score.
        metric: the pair's record of the same metric; None where it has none.
        reason: why the two are not held against each other; None where they are.
    """

    reference: Reference
    metric: Mapping[str, Any] | None
    reason: str | None

    @property
    def outside(self) -> bool:
        """Whether the result lies outside the band."""
        if self.reason or self.metric is None or self.reference.band is None:
            return False
        low, high = self.reference.band
        return not low <= self.metric["value"] <= high

    @property
    def published(self) -> str:
        """The published score with protocol, source and band, and in what the protocols differ."""
        reference = self.reference
        text = f"published {percent(reference.score)} ({reference.model}; {reference.protocol}; {reference.source})"
        if reference.band is not None:
            low, high = reference.band
            text += f", band {interval({'ci_low': low, 'ci_high': high})}"
        if reference.differs:
            text += f"; the protocols differ: {reference.differs}"
        return text

    @property
    def ours(self) -> str:
        """The result with its interval."""
        if self.metric is None:
            return f"no {self.reference.metric}"
        return f"{percent(self.metric['value'])} {self.reference.metric} ({interval(self.metric)})"


def compared(run: Run, pair: Pair, metrics: Mapping[str, Any], samples: int) -> list[Compared]:
    """Return a pair's result beside each published score that speaks about its model.

    Args:
        run: the run.
        pair: the pair.
        metrics: its metrics.json.
        samples: how many samples were asked.
    """
    dataset = run.datasets[pair.dataset]
    rows = (dataset["about"] or {"rows": None})["rows"]
    found = []
    for reference in references(dataset, pair.model, run.models[pair.model]):
        metric = metrics["metrics"].get(reference.metric)
        reason = None
        if run.settings["limit"] is not None if rows is None else samples != rows:
            of = "not all rows" if rows is None else f"{samples:,} of {rows:,} rows"
            reason = f"{of} were asked"
        elif metric is None or metric["value"] is None:
            reason = f"there is no {reference.metric}"
        elif reference.band is None:
            reason = "the number of rows is not known"
        found.append(Compared(reference, metric, reason))
    return found
