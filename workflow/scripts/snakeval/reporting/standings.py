"""Which models are better than which: all pairs on the same samples, ranks, and averages over datasets.

values of the pairs  ──standings──▶  standings.csv, differences.csv, the ranks in leaderboard.csv

Results compare where dataset and protocol are the same; nothing else is ever put side by side.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from snakeval.records import Score
from snakeval.reporting.paired import NO_MEAN, by_sample, is_mean
from snakeval.statistics import (
    ALPHA,
    Estimate,
    all_pairs,
    averaged,
    benjamini_hochberg,
    detectable_share,
    holm,
    p_value,
    rank_intervals,
    unpaired,
)

STANDINGS = (
    *("scope", "datasets", "protocols", "metric", "model"),
    *("value", "ci_low", "ci_high", "n", "rank_low", "rank_high", "of", "categories"),
)
DIFFERENCES = (
    *("scope", "datasets", "protocols", "metric", "model_a", "model_b"),
    *("difference", "ci_low", "ci_high", "p", "p_adjusted", "p_ranks", "p_baseline"),
    *("verdict", "under_powered", "smallest_detectable", "test", "n", "left_out"),
)
TEXTS = {"scope", "datasets", "protocols", "categories"}
DATASET, AVERAGE = "dataset", "average"
MEAN = "mean of datasets"
PROPAGATED = "propagated intervals"
AVERAGES = 12  # sets of datasets that are averaged over, those with most results

Where = tuple[str, str]  # dataset and protocol
Couple = tuple[str, str]  # two models
Shared = tuple[
    tuple[Where, ...], list[str]
]  # what is averaged over, and the models that answered it


@dataclass(frozen=True)
class Result:
    """What a pair brings to a comparison.

    Args:
        row: its row of leaderboard.csv.
        values: sample → mean value of its judged answers.
        measured: sample → the same of the number whose mean over samples is the primary metric; None
            where that is no such mean, as F1 over all mentions is none.
        clusters: sample → what it shares with others; empty where each stands alone.
    """

    row: Mapping[str, Any]
    values: Mapping[str, float]
    measured: Mapping[str, float] | None
    clusters: Mapping[str, str]

    @property
    def where(self) -> Where:
        """On what it may be compared."""
        return self.row["dataset"], self.row["protocol"]

    @property
    def model(self) -> str:
        """The model that answered."""
        return str(self.row["model"])

    @property
    def estimate(self) -> Estimate:
        """The primary metric and its interval."""
        return self.row["value"], self.row["ci_low"], self.row["ci_high"]


@dataclass(frozen=True)
class Standings:
    """The rows of standings.csv and of differences.csv."""

    standings: list[dict[str, Any]]
    differences: list[dict[str, Any]]

    def ranks(self) -> dict[tuple[str, str], tuple[int, int]]:
        """Return between which ranks each model lies on each dataset."""
        return {
            (row["model"], row["datasets"]): (row["rank_low"], row["rank_high"])
            for row in self.standings
            if row["scope"] == DATASET
        }


def result(row: Mapping[str, Any], scores: Sequence[Score]) -> Result:
    """Return what a pair brings to a comparison.

    Args:
        row: its row of leaderboard.csv.
        scores: all of them.
    """
    judged = [score for score in scores if score["value"] is not None]
    samples = list(dict.fromkeys(score["id"] for score in judged))
    clusters = {score["id"]: score["cluster"] for score in judged if "cluster" in score}
    names = [(score["id"], score["repeat"]) for score in judged]

    def means(numbers: Sequence[Any]) -> dict[str, float]:
        found = by_sample(dict(zip(names, numbers, strict=True)), names)
        return dict(zip(samples, found, strict=True))

    plain: list[Any] = [score["value"] for score in judged]
    detail: list[Any] = [score["detail"].get(row["metric"]) for score in judged]
    for numbers in (plain, detail) if judged else ():
        known = all(isinstance(number, int | float) for number in numbers)
        if known and is_mean(row["value"], dict(zip(names, numbers, strict=True))):
            return Result(row, means(plain), means(numbers), clusters)
    return Result(row, means(plain), None, clusters)


def standings(
    results: Sequence[Result],
    baseline: str | None = None,
    categories: Sequence[Mapping[str, Any]] = (),
) -> Standings:
    """Return who is better than whom on each dataset, by each protocol, and on average.

    Args:
        results: of the run's pairs, in their order.
        baseline: a model that the others are held against; None: there is none.
        categories: the run's, of which several have an average each.

    `p_adjusted` is Benjamini and Hochberg's over all pairs of models on one dataset by one protocol, or in
    one average, and decides on the verdict; `p_ranks` is Holm's over the same pairs, and decides on ranks,
    so that all rank intervals of a table hold together; `p_baseline` is Holm's over the pairs with the
    baseline. Differences are model_a - model_b, over the samples that both have answered and had judged.
    """
    groups: dict[Where, list[Result]] = {}
    for one in results:
        if one.row["value"] is not None:
            groups.setdefault(one.where, []).append(one)
    found = Standings([], [])
    pairs: dict[Where, dict[Couple, dict[str, Any]]] = {}
    for where, members in groups.items():
        members.sort(key=lambda one: -one.row["value"])
        rows = list(_differences(members))
        pairs[where] = {(row["model_a"], row["model_b"]): row for row in rows}
        ranked = [dict(one.row) for one in members]
        head = {"scope": DATASET, "metric": members[0].row["metric"], "categories": None}
        _add(found, head, [where], ranked, rows, baseline)
    for (places, models), names in _averages(groups, categories):
        ranked, rows = _average({where: groups[where] for where in places}, models, pairs)
        head = {"scope": AVERAGE, "metric": MEAN, "categories": " ".join(names) or None}
        _add(found, head, places, ranked, rows, baseline)
    return found


def _add(
    found: Standings,
    head: Mapping[str, Any],
    places: Sequence[Where],
    ranked: Sequence[dict[str, Any]],
    rows: list[dict[str, Any]],
    baseline: str | None,
) -> None:
    """Correct the p-values of one table together, say what is shown, and add the table."""
    place = {
        "datasets": " ".join(dataset for dataset, _ in places),
        "protocols": " ".join(protocol for _, protocol in places),
    }
    _decide(rows, baseline)
    numbers = {row["model"]: number for number, row in enumerate(ranked)}
    better = []
    for row in rows:
        if row["p_ranks"] < ALPHA:
            couple = numbers[row["model_a"]], numbers[row["model_b"]]
            better.append(couple if row["difference"] > 0 else couple[::-1])
    ranks = rank_intervals(len(ranked), better)
    for row, (low, high) in zip(ranked, ranks, strict=True):
        record = {**row, **head, **place, "rank_low": low, "rank_high": high, "of": len(ranked)}
        found.standings.append({name: record[name] for name in STANDINGS})
    for row in rows:
        record = {**row, **place, "scope": head["scope"]}
        found.differences.append({name: record[name] for name in DIFFERENCES})


def _decide(rows: Sequence[dict[str, Any]], baseline: str | None) -> None:
    p_values = [row["p"] for row in rows]
    corrected = zip(rows, benjamini_hochberg(p_values), holm(p_values), strict=True)
    for row, adjusted, strict in corrected:
        smallest = row["smallest_detectable"]
        row |= {"p_adjusted": adjusted, "p_ranks": strict, "p_baseline": None, "verdict": "tied"}
        row["under_powered"] = int(smallest is None or smallest > abs(row["difference"]))
        if adjusted < ALPHA:
            row["verdict"] = "better" if row["difference"] > 0 else "worse"
    against = [row for row in rows if baseline in (row["model_a"], row["model_b"])]
    for row, p in zip(against, holm([row["p"] for row in against]), strict=True):
        row["p_baseline"] = p


def _differences(members: Sequence[Result]) -> Iterator[dict[str, Any]]:
    """Yield the comparison of each model with each behind it."""
    measured = [one.measured for one in members]
    whole = all(its is not None for its in measured)
    tables = [its for its in measured if its is not None] if whole else [m.values for m in members]
    samples = list(dict.fromkeys(sample for its in tables for sample in its))
    clusters = {sample: name for one in members for sample, name in one.clusters.items()}
    missing = float("nan")
    found = all_pairs(
        [[its.get(sample, missing) for sample in samples] for its in tables],
        [clusters[sample] for sample in samples] if clusters else None,
    )
    for pair in found:
        yield {
            "model_a": members[pair.first].model,
            "model_b": members[pair.second].model,
            "metric": members[0].row["metric"] if whole else NO_MEAN,
            "n": pair.n,
            "left_out": len(samples) - pair.n,
            **asdict(pair.comparison),
        }


def _averages(
    groups: Mapping[Where, Sequence[Result]], categories: Sequence[Mapping[str, Any]]
) -> list[tuple[Shared, list[str]]]:
    """Return what is averaged over, and the names of the categories whose datasets these are.

    What most results share comes first, then come the categories, where there are several.
    """
    answered: dict[str, list[Where]] = {}
    for where, members in groups.items():
        for one in members:
            answered.setdefault(one.model, []).append(where)
    shared = _shared(answered)[:AVERAGES]
    own = [
        (category["name"], its)
        for category in (categories if len(categories) > 1 else ())
        for its in _shared(answered, set(category["datasets"]))
    ]
    ordered = dict([*shared[:1], *(its for _, its in own), *shared[1:]])
    return [
        ((places, models), [name for name, its in own if its[0] == places])
        for places, models in ordered.items()
    ]


def _shared(answered: Mapping[str, Sequence[Where]], only: set[str] | None = None) -> list[Shared]:
    """Return sets of several datasets by one protocol each, and the models that answered all of a set.

    Args:
        answered: what each model answered.
        only: the datasets of a set; None: there is a set for all that some model answered.

    Those with most results come first.
    """
    found = []
    sets = dict.fromkeys(
        tuple(where for where in its if only is None or where[0] in only)
        for its in answered.values()
    )
    for places in sets:
        models = [model for model, its in answered.items() if set(places) <= set(its)]
        whole = only is None or only == {dataset for dataset, _ in places}
        if whole and len(places) > 1 and len(models) > 1:
            found.append((places, models))
    found.sort(key=lambda one: -len(one[0]) * len(one[1]))
    return found


def _average(
    groups: Mapping[Where, Sequence[Result]],
    models: Sequence[str],
    pairs: Mapping[Where, Mapping[Couple, Mapping[str, Any]]],
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return models by their mean over datasets, from best to worst, and the differences of all pairs."""
    results = {where: {one.model: one for one in members} for where, members in groups.items()}
    ranked = []
    for model in models:
        its = [by_model[model] for by_model in results.values()]
        value, low, high = averaged([one.estimate for one in its])
        count = sum(one.row["n"] for one in its)
        interval = {"value": value, "ci_low": max(low, 0.0), "ci_high": min(high, 1.0)}
        ranked.append({"model": model, "n": count, **interval})
    ranked.sort(key=lambda row: -row["value"])
    order = [str(row["model"]) for row in ranked]
    rows = []
    for number, first in enumerate(order):
        for second in order[number + 1 :]:
            parts = [
                _part(by_model[first], by_model[second], pairs[where])
                for where, by_model in results.items()
            ]
            difference, low, high = averaged([estimate for estimate, _ in parts])
            rows.append(
                {
                    **{"model_a": first, "model_b": second, "metric": MEAN},
                    **{
                        "difference": difference,
                        "ci_low": max(low, -1.0),
                        "ci_high": min(high, 1.0),
                    },
                    "p": p_value((difference, low, high)),
                    "smallest_detectable": detectable_share((high - low) / 2),
                    **{"test": PROPAGATED, "n": sum(n for _, n in parts), "left_out": None},
                }
            )
    return ranked, rows


def _part(
    first: Result, second: Result, pairs: Mapping[Couple, Mapping[str, Any]]
) -> tuple[Estimate, int]:
    """Return the difference of two results on a dataset, paired where the metric is a mean over samples."""
    for sign, couple in ((1, (first.model, second.model)), (-1, (second.model, first.model))):
        row = pairs.get(couple)
        if row is not None and row["metric"] != NO_MEAN:
            ends = sorted((sign * row["ci_low"], sign * row["ci_high"]))
            return (sign * row["difference"], ends[0], ends[1]), row["n"]
    return unpaired(first.estimate, second.estimate), min(first.row["n"], second.row["n"])
