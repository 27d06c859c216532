"""What all tasks share whose answers are texts: each is judged by itself, and the values are averaged."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean
from typing import Any

from snakeval.records import Metric, Score
from snakeval.statistics import mean_metric
from snakeval.tasks import Attempt, Judged, Judgement, Task


class AnswerTask(Task):
    """A task whose answers are texts."""

    @abstractmethod
    def judgement(self, attempt: Attempt) -> Judgement:
        """Judge one answer."""

    def judge(
        self, attempts: Sequence[Attempt], scoring: Mapping[str, Any], sandbox: Mapping[str, Any]
    ) -> Judged:
        """Judge each answer by itself; nothing is run."""
        return Judged([self.judgement(attempt) for attempt in attempts])

    def metrics(self, scores: Sequence[Score], repeats: int) -> dict[str, Metric]:
        """Return the mean value as accuracy."""
        return {"accuracy": mean_over_samples(scores)}


def mean_over_samples(scores: Sequence[Score], detail: str | None = None) -> Metric:
    """Return the mean over samples of the mean over a sample's repeats; unscored ones stay outside.

    Args:
        scores: of a pair.
        detail: the name of a number in the scores' `detail`; None takes `value`.
    """
    values: dict[str, list[float]] = {}
    for score in scores:
        if score["value"] is not None:
            value = score["value"] if detail is None else score["detail"][detail]
            values.setdefault(score["id"], []).append(float(value))
    trials = sum(map(len, values.values()))
    return mean_metric(list(map(fmean, values.values())), trials, clusters_of(scores, values))


def clusters_of(scores: Iterable[Score], samples: Iterable[str]) -> list[str] | None:
    """Return what each of some samples shares with others; None where the dataset names nothing."""
    clusters = {score["id"]: score["cluster"] for score in scores if "cluster" in score}
    return [clusters[sample] for sample in samples] if clusters else None
