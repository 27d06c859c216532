"""What the report says about who is better than whom, from standings.csv and differences.csv."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from statistics import median
from types import MappingProxyType
from typing import Any

from snakeval.reporting.formats import listed, several, width
from snakeval.reporting.paired import NO_MEAN
from snakeval.reporting.standings import DATASET
from snakeval.statistics import ALPHA

PAIRS_SHOWN = 45  # of one table: all of ten models; differences.csv holds the others
NAMES_SHOWN = 3  # of models that may be first
AVERAGES_SHOWN = 4  # besides those of categories
ROWS_SHOWN = 30  # of averages that all stand open
UNSAFE = "no isolation"


@dataclass(frozen=True)
class Ranked:
    """A model's row: `row` is that of standings.csv."""

    title: str
    row: Mapping[str, Any]


@dataclass(frozen=True)
class Difference:
    """Two models and their difference: `row` is that of differences.csv."""

    first: str
    second: str
    row: Mapping[str, Any]

    def towards(self, baseline: str) -> Difference:
        """Return the same as a difference from a baseline."""
        if self.second == baseline:
            return self
        row = self.row
        turned = {
            "model_a": row["model_b"],
            "model_b": row["model_a"],
            "difference": -row["difference"],
            "ci_low": -row["ci_high"],
            "ci_high": -row["ci_low"],
        }
        return Difference(self.second, self.first, {**row, **turned})

    @property
    def against(self) -> str:
        """What is shown where only the comparisons with the baseline are counted."""
        if self.row["p_baseline"] >= ALPHA:
            return "tied"
        return "better" if self.row["difference"] > 0 else "worse"


@dataclass(frozen=True)
class Table:
    """Models on one dataset by one protocol, or on average over several.

    Args:
        title: for people.
        href: the place of the dataset in the page; None of an average.
        datasets: the titles of what is averaged over.
        ranked: the models from best to worst.
        differences: of all pairs of them that have samples in common.
        categories: the titles of those whose datasets these are.
        unsafe: models of which some result was made without isolation.
    """

    title: str
    href: str | None
    datasets: list[str]
    ranked: list[Ranked]
    differences: list[Difference]
    categories: list[str]
    unsafe: frozenset[str]

    def marked(self, one: Ranked) -> str:
        """Return a model's title, and whether its results were made without isolation."""
        return f"{one.title} ({UNSAFE})" if one.row["model"] in self.unsafe else one.title

    @property
    def leading(self) -> list[str]:
        """Which models may be the best."""
        return [self.marked(one) for one in self.ranked if one.row["rank_low"] == 1]

    @property
    def first(self) -> str:
        """The same as one text."""
        names = self.leading
        more = len(names) - NAMES_SHOWN
        return ", ".join(names[:NAMES_SHOWN]) + (f" and {more} more" if more > 0 else "")

    @property
    def shown(self) -> int:
        """How many pairs are parted."""
        return sum(one.row["verdict"] != "tied" for one in self.differences)

    @property
    def tied(self) -> int:
        """How many pairs are not."""
        return len(self.differences) - self.shown

    @property
    def smallest(self) -> float | None:
        """The difference that could mostly be shown: the median of the tied pairs, of all if there are none."""
        rows = [one.row for one in self.differences]
        rows = [row for row in rows if row["verdict"] == "tied"] or rows
        known = [row["smallest_detectable"] for row in rows]
        known = [value for value in known if value is not None]
        return median(known) if known else None

    @property
    def power(self) -> str:
        """What the samples can show, and by how much the tied pairs differ."""
        if self.smallest is None:
            return "no difference: they are too few"
        text = f"differences of about {width(self.smallest)} points or more"
        tied = [one.row["difference"] for one in self.differences if one.row["verdict"] == "tied"]
        if tied:
            gaps = sorted(map(abs, tied))
            ends = dict.fromkeys((width(gaps[0]), width(gaps[-1])))
            pairs = "pair differs" if len(gaps) == 1 else "pairs differ"
            text += f"; the tied {pairs} by {' to '.join(ends)}"
        return text

    @property
    def samples(self) -> int | None:
        """On how many samples the comparisons stand, at least."""
        return min((one.row["n"] for one in self.differences), default=None)

    @property
    def other_measure(self) -> bool:
        """Whether answers are compared by their mean value, as the metric is no such mean."""
        return any(one.row["metric"] == NO_MEAN for one in self.differences)

    @property
    def clustered(self) -> bool:
        """Whether samples share something."""
        return any(one.row["test"] == "cluster permutation" for one in self.differences)

    @property
    def listed(self) -> list[Difference]:
        """The differences that are listed: all of few models, else none."""
        return self.differences if len(self.differences) <= PAIRS_SHOWN else []


@dataclass(frozen=True)
class StandingsView:
    """What the report says.

    Args:
        averages: over several datasets, those with most results first.
        datasets: each by each protocol, where there are several models.
        apart: models that stand in none of the averages.
        otherwise: where models are compared by another number than the metric; None: nowhere.
        baseline: the title of the model that the others are held against; None: there is none.
        against: the differences from it, with their table.
    """

    averages: list[Table]
    datasets: list[Table]
    apart: list[str]
    otherwise: str | None
    baseline: str | None
    against: list[tuple[Table, Difference]]

    @property
    def many_averages(self) -> bool:
        """Whether the averages but the first are folded."""
        return sum(len(table.ranked) for table in self.averages) > ROWS_SHOWN

    @property
    def many_against(self) -> bool:
        """Whether the differences from the baseline are too many to be shown first."""
        return len(self.against) > PAIRS_SHOWN

    @property
    def counted(self) -> list[tuple[Table, Counter[str]]]:
        """How many models are better or worse than the baseline, or tied, in each table."""
        return [
            (table, Counter(one.against for _, one in its))
            for table, its in groupby(self.against, key=itemgetter(0))
        ]


def view(
    standings: Sequence[Mapping[str, Any]],
    differences: Iterable[Mapping[str, Any]],
    models: Mapping[str, str],
    places: Mapping[tuple[str, str], tuple[str, str]],
    baseline: str | None = None,
    categories: Mapping[str, str] = MappingProxyType({}),
    unsafe: Collection[tuple[str, str]] = (),
) -> StandingsView | None:
    """Return what the report says; None where no two models compare.

    Args:
        standings: the rows of standings.csv.
        differences: the rows of differences.csv.
        models: the titles.
        places: dataset and protocol → title of the results, and their place in the page.
        baseline: the model that the others are held against.
        categories: the titles.
        unsafe: model and dataset of the results that were made without isolation.
    """
    by_table: dict[tuple[str, ...], list[Difference]] = {}
    for row in differences:
        one = Difference(models[row["model_a"]], models[row["model_b"]], row)
        by_table.setdefault(_table(row), []).append(one)
    tables: dict[bool, list[Table]] = {True: [], False: []}
    for name, rows in groupby(standings, key=_table):
        ranked = [Ranked(models[row["model"]], row) for row in rows]
        if len(ranked) > 1:
            scope, datasets, protocols = name
            titles = [
                places[where] for where in zip(datasets.split(), protocols.split(), strict=True)
            ]
            alone = scope == DATASET
            own = [categories[slug] for slug in (ranked[0].row["categories"] or "").split()]
            title = titles[0][0] if alone else several(len(titles), "dataset")
            table = Table(
                title=f"{title} of {' and of '.join(own)}" if own else title,
                href=titles[0][1] if alone else None,
                datasets=[text for text, _ in titles],
                ranked=ranked,
                differences=by_table.get(name, []),
                categories=own,
                unsafe=frozenset(model for model, dataset in unsafe if dataset in datasets.split()),
            )
            tables[alone].append(table)
    if not tables[True]:
        return None
    others = [table for table in tables[False] if not table.categories][AVERAGES_SHOWN:]
    shown = [table for table in tables[False] if table not in others]
    averaged = {one.title for table in tables[False] for one in table.ranked}
    present = dict.fromkeys(models[row["model"]] for row in standings)
    return StandingsView(
        averages=shown,
        datasets=tables[True],
        apart=[title for title in present if title not in averaged] if averaged else [],
        otherwise=_otherwise(shown, tables[True]),
        baseline=models.get(baseline) if baseline else None,
        against=[
            (table, one.towards(models[str(baseline)]))
            for table in (*shown, *tables[True])
            for one in table.differences
            if one.row["p_baseline"] is not None
        ],
    )


def _otherwise(averages: Sequence[Table], datasets: Sequence[Table]) -> str | None:
    """Say where models are compared by another number than the metric."""
    titles = [table.title for table in datasets if table.other_measure]
    if not titles:
        return None
    text = (
        f"On {listed(titles)} the metric is no mean over samples: there, models are compared, and "
        "ranked, by the mean value of an answer"
    )
    if any(title in titles for table in averages for title in table.datasets):
        text += (
            "; in averages, the metric counts, and two models as independent there, so that intervals of "
            "their differences are too wide"
        )
    return f"{text}."


def _table(row: Mapping[str, Any]) -> tuple[str, str, str]:
    return row["scope"], row["datasets"], row["protocols"]
