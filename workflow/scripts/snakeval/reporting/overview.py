"""The report's first screen: the answer in words, what was run, and the pictures that decide."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from snakeval.reporting import figures
from snakeval.reporting.formats import (
    MISSING,
    amount,
    count,
    gibibytes,
    interval,
    listed,
    percent,
    several,
)
from snakeval.reporting.standings_view import UNSAFE

if TYPE_CHECKING:
    from snakeval.reporting.standings_view import StandingsView, Table
    from snakeval.reporting.view import GroupView, PairView

NAMED = 4  # models or datasets in one sentence
GIB = 2**30


@dataclass(frozen=True)
class OverviewView:
    """The first screen.

    Args:
        answer: in sentences.
        facts: what was run, name and value.
        figures: by name.
    """

    answer: list[str]
    facts: list[tuple[str, str]]
    figures: dict[str, figures.Figure]


def overview(
    groups: Sequence[GroupView],
    titles: Mapping[str, str],
    models: Mapping[str, Mapping[str, Any]],
    standings: StandingsView | None,
    failures: Sequence[Mapping[str, Any]],
    provenance: Mapping[str, Any],
) -> OverviewView:
    """Return the first screen.

    Args:
        groups: the results on each dataset by each protocol, from best to worst.
        titles: of the run's models.
        models: the rows of models.csv.
        standings: who is better than whom; None where no two models compare.
        failures: the pairs without a result.
        provenance: of the summary.
    """
    overall = _overall(groups, standings)
    return OverviewView(
        answer=list(_answer(groups, standings)),
        facts=list(_facts(groups, provenance)),
        figures=dict(_figures(groups, overall, titles, models, failures)),
    )


def _pairs(groups: Sequence[GroupView]) -> list[PairView]:
    return [pair for group in groups for pair in group.pairs]


def _overall(groups: Sequence[GroupView], standings: StandingsView | None) -> Table | None:
    """Return the table that speaks for the whole run, if one does."""
    if standings is None:
        return None
    tables = standings.averages or (standings.datasets if len(groups) == 1 else [])
    return tables[0] if tables else None


def _answer(groups: Sequence[GroupView], standings: StandingsView | None) -> Iterator[str]:
    """Yield the answer in sentences."""
    table = _overall(groups, standings)
    if table is not None:
        yield _best(table, groups[0].metric)
        inside = {one.title for one in table.ranked}
        titles = dict.fromkeys(pair.model_title for pair in _pairs(groups))
        if outside := [title for title in titles if title not in inside]:
            yield (
                f"Not among them, as not all of these results exist by the same protocol: "
                f"{_listed(outside, 'model')}."
            )
    elif len(groups) == 1:
        yield _reached(groups[0])
    else:
        yield from _each(groups)
    if standings is not None:
        yield from _by_category([one for one in standings.averages if one is not table])
    if standings is not None and len(standings.datasets) > 1:
        yield _ahead(standings.datasets)


def _best(table: Table, metric: str) -> str:
    """Say who is first, and who may be as good."""
    best, *others = table.ranked
    tied = [table.marked(one) for one in others if one.row["rank_low"] == 1]
    over = "On average over" if table.datasets[1:] else "On"
    said = (
        f"{over} {table.title}, {table.marked(best)} has the highest "
        f"{'mean' if table.datasets[1:] else metric}: {percent(best.row['value'])} "
        f"(95 % interval {interval(best.row)}, n = {count(best.row['n'])})."
    )
    if not tied:
        few = len(others) == 1
        return f"{said} It is ahead of {table.marked(others[0]) if few else f'all {len(others)} others'}."
    return f"{said} It may be tied with {_listed(tied, 'other model')}."


def _by_category(averages: Sequence[Table]) -> Iterator[str]:
    """Say who may be first in each category."""
    told = [
        f"{' and '.join(one.categories)}: {_listed(one.leading, 'model')}"
        for one in averages
        if one.categories
    ]
    if told:
        yield f"First, or tied for it, by category: {'; '.join(told)}."


def _reached(group: GroupView) -> str:
    best = group.pairs[0]
    row = best.row
    if row["value"] is None:
        return f"No answer on {group.title} could be judged."
    return (
        f"{best.model_title} reaches {percent(row['value'])} {row['metric']} on {group.title} "
        f"(95 % interval {interval(row)}, n = {count(row['n'])})."
    )


def _each(groups: Sequence[GroupView]) -> Iterator[str]:
    """Say what can be said where nothing speaks for the whole run."""
    if len({pair.pair.model for pair in _pairs(groups)}) > 1:
        yield "There is no average: no two models share two datasets by the same protocol."
    for group in groups[:NAMED]:
        yield _reached(group)
    if (more := len(groups) - NAMED) > 0:
        yield f"{several(more, 'other result')} below."


def _ahead(tables: Sequence[Table]) -> str:
    """Say on which datasets a model is ahead of all others."""
    alone: dict[str, list[str]] = {}
    for table in tables:
        if len(table.leading) == 1:
            alone.setdefault(table.leading[0], []).append(table.title)
    open_ = len(tables) - sum(map(len, alone.values()))
    won = sorted(alone.items(), key=lambda item: -len(item[1]))[:NAMED]
    told = [f"{title} on {_listed(its, 'dataset')}" for title, its in won]
    if more := len(alone) - len(won):
        told.append(several(more, "other model"))
    parts = [f"Ahead of all others: {'; '.join(told)}."] if told else []
    if open_:
        some = f"{open_} of {len(tables)} of the datasets"
        where = "each dataset" if open_ == len(tables) else some
        parts.append(f"On {where}, the best are tied.")
    return " ".join(parts)


def _listed(names: Sequence[str], noun: str) -> str:
    return several(len(names), noun) if len(names) > NAMED else listed(names)


def _facts(
    groups: Sequence[GroupView],
    provenance: Mapping[str, Any],
) -> Iterator[tuple[str, str]]:
    """Yield what was run, in numbers and names."""
    pairs = _pairs(groups)
    yield "models", count(len({pair.pair.model for pair in pairs}))
    yield "datasets", count(len({pair.pair.dataset for pair in pairs}))
    yield "answers judged", count(sum(pair.total for pair in pairs))
    if (limit := provenance["settings"].get("limit")) is not None:
        yield "limit", f"the first {limit:,} samples"
    if provenance["settings"].get("repeats", 1) > 1:
        yield "repeats", count(provenance["settings"]["repeats"])
    engines = (
        f"{name} {', '.join(provenance['versions'][name])}"
        for name in ("vllm", "transformers")
        if name in provenance["versions"]
    )
    yield "engine", next(engines, MISSING)
    yield "answered by", ", ".join(sorted({pair.hardware for pair in pairs})) or MISSING
    yield "engine starts", _when(provenance)


def _when(provenance: Mapping[str, Any]) -> str:
    first, last = provenance["first_engine_start"], provenance["last_engine_start"]
    if first is None:
        return MISSING
    days = list(dict.fromkeys(str(time)[:10] for time in (first, last)))
    return " to ".join(days)


def _figures(
    groups: Sequence[GroupView],
    overall: Table | None,
    titles: Mapping[str, str],
    models: Mapping[str, Mapping[str, Any]],
    failures: Sequence[Mapping[str, Any]],
) -> Iterator[tuple[str, figures.Figure]]:
    if len({pair.pair.model for pair in _pairs(groups)}) > 1 and len(groups) > 1:
        yield "results", _heat_map(groups, overall, titles, failures)
    if overall is None:
        return
    metric = "mean" if overall.datasets[1:] else groups[0].metric
    on = "over" if overall.datasets[1:] else "on"
    counts = sorted({one.row["n"] for one in overall.ranked})
    n = " to ".join(count(number) for number in dict.fromkeys((counts[0], counts[-1])))
    costs = (
        ("speed", figures.SPEED, "output_tokens_per_s", 1, amount),
        ("memory", figures.MEMORY, "weights_memory_bytes", GIB, gibibytes),
    )
    for name, cost, column, unit, write in costs:
        points = [
            figures.Point.of(
                one.title,
                one.row,
                taken / unit,
                write(taken),
                UNSAFE if one.row["model"] in overall.unsafe else None,
            )
            for one in overall.ranked
            if (taken := models[one.row["model"]][column])
        ]
        if len(points) > 1:
            where = f"{on} {overall.title}"
            yield name, figures.against(points, cost, metric, where, f"n = {n}")


def _heat_map(
    groups: Sequence[GroupView],
    overall: Table | None,
    titles: Mapping[str, str],
    failures: Sequence[Mapping[str, Any]],
) -> figures.Figure:
    """Draw all results; models stand in the order of their overall result, the others after them."""
    order = [str(one.row["model"]) for one in overall.ranked] if overall else []
    known = {pair.pair.model for pair in _pairs(groups)}
    order += [model for model in titles if model in known and model not in order]
    failed = {(one["model"], one["dataset"]): str(one["reason"]) for one in failures}
    names = {model: titles[model] for model in order}
    if len(set(names.values())) < len(names):  # two models of one title
        names = {model: f"{title} ({model})" for model, title in names.items()}
    cells = []
    for group in groups:
        results = {pair.pair.model: pair for pair in group.pairs}
        dataset = group.pairs[0].pair.dataset
        for model in order:
            pair = results.get(model)
            row = pair.row if pair else dict.fromkeys(("value", "ci_low", "ci_high", "n"))
            missing = None
            if pair is None:
                missing = failed.get((model, dataset), "asked by another protocol")
            elif row["value"] is None:
                missing = "no answer could be judged"
            cells.append(
                figures.Cell(
                    model=names[model],
                    column=group.slug,
                    metric=group.metric,
                    **{name: row[name] for name in ("value", "ci_low", "ci_high", "n")},
                    missing=missing,
                )
            )
    columns = {group.slug: group.title for group in groups}
    return figures.heat_map(cells, list(names.values()), columns)
