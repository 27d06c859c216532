"""The report's part on each model: its results on all datasets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from snakeval.reporting.formats import MISSING, amount, gibibytes, rank, several

if TYPE_CHECKING:
    from snakeval.reporting.view import GroupView, PairView


@dataclass(frozen=True)
class Line:
    """A model's result on a dataset, and its rank among the others by the same protocol."""

    title: str
    rank: str
    pair: PairView


@dataclass(frozen=True)
class ModelView:
    """A model with its results."""

    anchor: str
    title: str
    about: str
    lines: list[Line]


def by_model(
    groups: Sequence[GroupView],
    titles: Mapping[str, str],
    models: Mapping[str, Mapping[str, Any]],
) -> list[ModelView]:
    """Return the models that have results, in the run's order.

    Args:
        groups: the results on each dataset by each protocol, from best to worst.
        titles: of the run's models.
        models: the rows of models.csv.
    """
    lines: dict[str, list[Line]] = {}
    for group in groups:
        for pair in group.pairs:
            line = Line(group.title, _place(pair, group), pair)
            lines.setdefault(pair.pair.model, []).append(line)
    return [
        ModelView(f"model-{model}", title, _about(models[model], lines[model]), lines[model])
        for model, title in titles.items()
        if model in lines
    ]


def _place(pair: PairView, group: GroupView) -> str:
    """Return between which ranks a result lies; nothing where it is alone."""
    known = len(group.pairs) > 1 and pair.row["rank_low"] is not None
    return f"{rank(pair.row)} of {len(group.pairs)}" if known else MISSING


def _about(row: Mapping[str, Any], lines: Sequence[Line]) -> str:
    return ". ".join(_facts(row, lines)) + "."


def _facts(row: Mapping[str, Any], lines: Sequence[Line]) -> Iterator[str]:
    answers = sum(line.pair.total for line in lines)
    yield f"{several(answers, 'answer')} on {several(len(lines), 'dataset')}"
    if row["output_tokens_per_s"] is not None:
        yield f"{amount(row['output_tokens_per_s'])} output tokens per second"
    if row["weights_memory_bytes"] is not None:
        yield f"Weights take {gibibytes(row['weights_memory_bytes'])}"
