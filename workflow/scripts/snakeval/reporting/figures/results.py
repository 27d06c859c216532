"""Figures of the results on one dataset by one protocol."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from snakeval.reporting import formats
from snakeval.reporting.figures.figure import (
    FAINT,
    INK,
    MARK,
    PAPER,
    PERCENT,
    STATE_COLOURS,
    WIDTH,
    Figure,
    figure,
    shown,
    table,
)

if TYPE_CHECKING:
    from altair import Chart, Y

ROW = 48  # pixels
MANY = 12  # results, from which on rows are
DENSE = 36  # pixels high


@dataclass(frozen=True)
class Result:
    """What a figure shows of one pair; `value` and its interval lie in 0..1.

    `warnings` are written beside the name and never cut.
    """

    label: str
    value: float | None
    ci_low: float | None
    ci_high: float | None
    n: int
    states: dict[str, int]
    output_tokens_per_s: float | None = None
    warnings: tuple[str, ...] = ()


def samples(results: Sequence[Result]) -> str:
    """Return over how many samples results are."""
    counts = sorted({result.n for result in results})
    if len(counts) < 2:
        return f"n = {counts[0]:,}" if counts else "n = 0"
    return f"n = {counts[0]:,} to {counts[-1]:,}"


def intervals(results: Sequence[Result], metric: str, where: str) -> Figure:
    """Draw each result as a dot with its 95 % interval on a scale from 0 to 100 %."""
    import altair as alt

    rows = [
        {
            "row": row,
            "name": shown(result.label),
            "value": result.value,
            "low": result.ci_low,
            "high": result.ci_high,
            "n": f"{result.n:,}",
            "text": formats.percent(result.value),
            "interval": formats.interval(vars(result)),
            # Beside the longer free side, so that no label leaves the figure.
            "at": result.ci_high if result.value < 0.8 else result.ci_low,
            "right": result.value < 0.8,
        }
        for row, result in enumerate(results)
        if result.value is not None
    ]
    names = [
        _name(row, result, f"n = {result.n:,}")
        for row, result in enumerate(results)
        if result.value is not None
    ]
    picked = alt.selection_point(
        name="picked", fields=["row"], on="pointerover", clear="pointerout"
    )
    tooltip = [
        alt.Tooltip("name:N", title="title"),
        alt.Tooltip("text:N", title=metric),
        alt.Tooltip("interval:N", title="95 % interval"),
        alt.Tooltip("n:N", title="n"),
    ]
    base = table("results").encode(
        y=_rows(), opacity=alt.when(picked).then(alt.value(1)).otherwise(alt.value(FAINT))
    )
    scale = alt.X(
        "value:Q",
        title=f"{metric}, 95 % interval",
        scale=alt.Scale(domain=[0, 1]),
        axis=alt.Axis(values=[0, 0.2, 0.4, 0.6, 0.8, 1], labelExpr=PERCENT),
    )
    layers = [
        base.mark_rule(strokeWidth=2.5, color=MARK).encode(x=alt.X("low:Q"), x2="high:Q"),
        *(
            base.mark_tick(thickness=2.5, size=11, color=MARK).encode(x=f"{end}:Q")
            for end in ("low", "high")
        ),
        base.mark_point(filled=True, size=95, color=MARK)
        .encode(x=scale, tooltip=tooltip)
        .add_params(picked),
        *(
            base.transform_filter(alt.datum.right == right)
            .mark_text(align=align, dx=dx, fontSize=13, fontWeight=600, color=INK)
            .encode(x="at:Q", text="text:N")
            for right, align, dx in ((True, "left", 8), (False, "right", -8))
        ),
        _titles(),
    ]
    chart = alt.layer(*layers).properties(width=WIDTH, height=_height(results))
    title = f"{metric} with its 95 % interval"
    told = [result for result in results if result.value is not None]
    tables = {"results": rows, "names": names}
    return figure(title, _described(title, where, samples(told)), chart, tables)


def states(results: Sequence[Result], where: str) -> Figure:
    """Draw how each pair's answers divide into the four states."""
    import altair as alt

    rows: list[dict[str, Any]] = []
    names = []
    for row, result in enumerate(results):
        total = sum(result.states.values())
        names.append(_name(row, result, f"{total:,} answers"))
        start = 0.0
        for state, count in result.states.items():
            share = count / total if total else 0.0
            rows.append(
                {
                    "row": row,
                    "name": shown(result.label),
                    "state": state,
                    "start": start,
                    "end": start + share,
                    "middle": start + share / 2,
                    "text": f"{count:,}" if share * WIDTH > 9 * len(f"{count:,}") else "",
                    "told": f"{count:,} of {total:,} ({formats.percent(share)})",
                    "ink": "white" if state in ("correct", "wrong") else "black",
                }
            )
            start += share
    picked = alt.selection_point(name="picked", fields=["state"], bind="legend")
    base = table("shares").encode(y=_rows())
    bars = (
        base.mark_bar(height=18, stroke=PAPER, strokeWidth=1)
        .encode(
            x=alt.X(
                "start:Q",
                title="share of answers",
                scale=alt.Scale(domain=[0, 1]),
                axis=alt.Axis(values=[0, 0.2, 0.4, 0.6, 0.8, 1], labelExpr=PERCENT),
            ),
            x2="end:Q",
            color=alt.Color(
                "state:N",
                scale=alt.Scale(domain=list(STATE_COLOURS), range=list(STATE_COLOURS.values())),
                legend=alt.Legend(orient="top", title=None, symbolType="square", symbolOpacity=1),
            ),
            opacity=alt.when(picked).then(alt.value(1)).otherwise(alt.value(FAINT)),
            tooltip=[
                alt.Tooltip("name:N", title="title"),
                alt.Tooltip("state:N", title="state"),
                alt.Tooltip("told:N", title="answers"),
            ],
        )
        .add_params(picked)
    )
    counts = base.mark_text(fontSize=12, fontWeight=600, tooltip=None).encode(
        x="middle:Q", text="text:N", color=alt.Color("ink:N", scale=None)
    )
    chart = (
        alt.layer(bars, counts, _titles())
        .resolve_scale(color="independent")
        .properties(width=WIDTH, height=_height(results))
    )
    title, total = "How the answers divide", sum(sum(one.states.values()) for one in results)
    tables = {"shares": rows, "names": names}
    return figure(title, _described(title, where, f"{total:,} answers"), chart, tables)


def _described(title: str, where: str, n: str) -> str:
    return f"{title} on {where}, {n}; the numbers are in the table"


def _name(row: int, result: Result, fact: str) -> dict[str, Any]:
    """Return a result's name in its row; what stands in brackets is never cut."""
    facts = ", ".join((fact, *result.warnings))
    return {"row": row, "label": f"{shown(result.label)} ({facts})"}


def _height(results: Sequence[Result]) -> Any:
    import altair as alt

    return alt.Step(ROW if len(results) < MANY else DENSE)


def _rows() -> Y:
    import altair as alt

    return alt.Y("row:O", axis=None, scale=alt.Scale(padding=0))


def _titles() -> Chart:
    """Write each row's name above its marks, so that a narrow figure need not cut it."""
    import altair as alt

    return (
        table("names")
        .mark_text(align="left", dy=-18, fontSize=13, color=INK)
        .encode(x=alt.value(0), y=_rows(), text="label:N")
    )
