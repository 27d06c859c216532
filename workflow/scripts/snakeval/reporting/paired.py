"""Two results on the same samples: how they differ, and whether a difference is shown."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from statistics import fmean
from typing import Any, Protocol

from snakeval.statistics import ALPHA, compared, holm, mean_metric

Name = tuple[str, int]  # of an answer: sample and repeat

SCORE = ("value", "ci_low", "ci_high")
NO_MEAN = "mean value of an answer"  # what is compared where the primary metric is no such mean


def by_sample(values: Mapping[Name, float], names: Iterable[Name]) -> list[float]:
    """Return the mean of each sample over its repeats."""
    found: dict[str, list[float]] = {}
    for name in names:
        found.setdefault(name[0], []).append(values[name])
    return [fmean(its) for its in found.values()]


def is_mean(value: float | None, values: Mapping[Name, float]) -> bool:
    """Whether a result is the mean over samples of its answers' values, as what is compared."""
    return value is not None and math.isclose(fmean(by_sample(values, values)), value, abs_tol=1e-9)


class Clustered(Protocol):
    """An answer that knows what its sample shares with others; None where it stands alone."""

    @property
    def cluster(self) -> str | None:
        """The name of what is shared."""


def clusters_of(answers: Mapping[Name, Clustered], names: Iterable[Name]) -> dict[str, str]:
    """Return what each sample shares with others; nothing of one that stands alone."""
    found = {name[0]: answers[name].cluster for name in names}
    return {sample: cluster for sample, cluster in found.items() if cluster is not None}


def paired(
    first: Mapping[Name, float],
    second: Mapping[Name, float],
    both: Sequence[Name],
    sides: tuple[str, str] = ("a", "b"),
    clusters: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Return the scores of both, the `statistics.Comparison` of them, and how right and wrong divide.

    Args:
        first: the value of each judged answer, 0..1.
        second: the same of the other.
        both: the answers that both hold, at least one.
        sides: what the two are called in the names of the record.
        clusters: what each sample shares with others; None where each stands alone.

    Samples are compared, by the mean over their repeats; right and wrong are counted in answers.
    """
    means = [by_sample(its, both) for its in (first, second)]
    samples = dict.fromkeys(name[0] for name in both)
    shared = [clusters[sample] for sample in samples] if clusters else None
    row: dict[str, Any] = asdict(compared(means[0], means[1], shared)) | {"n": len(samples)}
    for side, its in zip(sides, means, strict=True):
        metric: Mapping[str, Any] = mean_metric(its, len(both), shared)
        row |= {f"{name}_{side}": metric[name] for name in SCORE}
    right = Counter((first[name] == 1, second[name] == 1) for name in both)
    return row | {
        "both_right": right[True, True],
        f"only_{sides[0]}_right": right[True, False],
        f"only_{sides[1]}_right": right[False, True],
        "neither_right": right[False, False],
    }


def decide(rows: Iterable[dict[str, Any]]) -> None:
    """Correct the p-values of the rows that have one together, by Holm's method, and say what is shown."""
    tested = [row for row in rows if row["p"] is not None]
    for row, p in zip(tested, holm([row["p"] for row in tested]), strict=True):
        row["p_adjusted"] = p
        row["verdict"] = "no difference shown"
        if p < ALPHA:
            row["verdict"] = "better" if row["difference"] > 0 else "worse"
