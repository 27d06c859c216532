"""The heat map of models by datasets."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from snakeval.reporting import formats
from snakeval.reporting.figures.figure import (
    GRID,
    INK,
    PAPER,
    QUIET,
    Figure,
    figure,
    shown,
    table,
)

ROW, COLUMN = 24, 46  # pixels
MANY, NARROW = 15, 33  # columns, from which on they are narrower
WIDE_FROM = 4  # columns, beside which there is no room for another figure
# Viridis at tenths: even steps in lightness, told apart by all kinds of colour vision.
COLOURS = (
    *("#440154", "#482576", "#414487", "#35608d", "#2a788e", "#21908d"),
    *("#22a884", "#43bf71", "#7ad151", "#bddf26", "#fde725"),
)
LIGHT_FROM = 0.44  # where on the scale black is easier to read than white


@dataclass(frozen=True)
class Cell:
    """A model on a dataset by one protocol; without a value where `missing` says why."""

    model: str
    column: str
    metric: str
    value: float | None
    ci_low: float | None
    ci_high: float | None
    n: int | None
    missing: str | None = None


def heat_map(cells: Sequence[Cell], models: Sequence[str], columns: Mapping[str, str]) -> Figure:
    """Draw cells: models from top to bottom, columns from left to right, by name with their titles."""
    import altair as alt

    counts = sorted({cell.n for cell in cells if cell.n})
    n = (
        ""
        if not counts
        else f", n = {counts[0]:,}" + (f" to {counts[-1]:,}" if len(counts) > 1 else "")
    )
    wide = COLUMN if len(columns) < MANY else NARROW
    down, across = ({name: n for n, name in enumerate(names)} for names in (models, columns))
    rows = [
        {
            "model": down[cell.model],
            "column": across[cell.column],
            "name": f"{shown(cell.model)} on {shown(columns[cell.column])}",
            "value": cell.value,
            "cell": formats.MISSING if cell.value is None else f"{100 * cell.value:.0f}",
            "text": cell.missing or formats.percent(cell.value),
            "interval": formats.interval(vars(cell)),
            "n": formats.count(cell.n),
            "metric": cell.metric,
            "ink": _ink(cell.value),
        }
        for cell in cells
    ]
    x = alt.X(
        "column:O",
        axis=alt.Axis(
            orient="top",
            title=None,
            labelAngle=-40 if len(columns) > 1 else 0,
            labelAlign="left",
            labelExpr=_names([shown(name, 28) for name in columns.values()]),
            labelLimit=220,
            labelColor=INK,
        ),
        scale=alt.Scale(padding=0, domain=list(range(len(columns)))),
    )
    y = alt.Y(
        "model:O",
        axis=alt.Axis(
            title=None,
            labelExpr=_names([shown(name, 34) for name in models]),
            labelLimit=260,
            labelColor=INK,
        ),
        scale=alt.Scale(padding=0, domain=list(range(len(models)))),
    )
    picked = alt.selection_point(
        name="picked", fields=["model", "column"], on="pointerover", clear="pointerout"
    )
    tooltip = [
        alt.Tooltip("name:N", title="title"),
        alt.Tooltip("metric:N", title="metric"),
        alt.Tooltip("text:N", title="value"),
        alt.Tooltip("interval:N", title="95 % interval"),
        alt.Tooltip("n:N", title="n"),
    ]
    base = table("cells").encode(x=x, y=y)
    there, gone = (
        base.transform_filter(f"isValid(datum.value) == {there}") for there in ("true", "false")
    )
    layers = [
        there.mark_rect(stroke=PAPER, strokeWidth=1.5)
        .encode(
            color=alt.Color(
                "value:Q",
                scale=alt.Scale(domain=[0, 1], range=list(COLOURS)),
                legend=alt.Legend(
                    orient="bottom",
                    title=f"value{n}",
                    format=".0%",
                    gradientLength=180,
                    gradientThickness=10,
                    values=[0, 0.5, 1],
                ),
            ),
            tooltip=tooltip,
            opacity=alt.when(picked).then(alt.value(1)).otherwise(alt.value(0.6)),
        )
        .add_params(picked),
        gone.mark_rect(
            fill=PAPER,
            stroke=GRID,
            strokeDash=[3, 3],
            strokeWidth=1,
            width=wide - 5,
            height=ROW - 5,
        ).encode(tooltip=tooltip),
        base.mark_text(fontSize=12, tooltip=None).encode(
            text="cell:N", color=alt.Color("ink:N", scale=None)
        ),
    ]
    chart = (
        alt.layer(*layers)
        .resolve_scale(color="independent")
        .properties(width=alt.Step(wide), height=alt.Step(ROW))
    )
    title = "Each model on each dataset"
    held = sum(cell.value is not None for cell in cells)
    return figure(
        title,
        f"{title}: {held:,} of {len(cells):,} results{n}; the numbers are in the tables of the datasets.",
        chart,
        {"cells": rows},
        note=(
            f"Values in percent{n}. Compare down a column, not along a row: each dataset has its own metric "
            f"and difficulty. {formats.MISSING} has no result."
        ),
        wide=len(columns) > WIDE_FROM,
    )


def _ink(value: float | None) -> str:
    if value is None:
        return QUIET
    return "black" if value >= LIGHT_FROM else "white"


def _names(names: Sequence[str]) -> str:
    """Return a Vega expression that gives the name of a place on the axis."""
    return f"{json.dumps(names)}[datum.value]"
