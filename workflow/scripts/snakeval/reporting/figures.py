"""The report's pictures, drawn by Altair as SVG without a browser or a network.

No colour carries a meaning alone: marks have their labels beside them. The colours are Okabe and
Ito's, which people who see red and green alike can tell apart.
"""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from snakeval.reporting import formats

INK, QUIET, GRID, PAPER = "#1b1f24", "#59636e", "#dfe3e8", "#ffffff"
MARK = "#0072b1"  # one off the colour of "correct": the page lightens it on dark ground
STATE_COLOURS = {
    "correct": "#0072b2",
    "wrong": "#d55e00",
    "incomplete": "#e69f00",
    "unscored": "#8b949e",
}
WIDTH = 440  # pixels; narrow enough that the text stays legible when a phone shrinks it
PERCENT = "format(100 * datum.value, '.0f') + ' %'"  # of Vega's expressions
ROW = 48  # pixels


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


def intervals(results: Sequence[Result], metric: str) -> str:
    """Draw each result as a dot with its 95 % interval on a scale from 0 to 100 %."""
    import altair as alt

    rows = [
        {
            "row": row,
            "label": _name(result.label, f"n = {result.n:,}", *result.warnings),
            "value": result.value,
            "low": result.ci_low,
            "high": result.ci_high,
            "text": formats.percent(result.value),
            # Beside the longer free side, so that no label leaves the figure.
            "at": result.ci_high if result.value < 0.8 else result.ci_low,
            "right": result.value < 0.8,
        }
        for row, result in enumerate(results)
        if result.value is not None
    ]
    base = alt.Chart(alt.Data(values=rows)).encode(y=_rows(alt))
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
        base.mark_point(filled=True, size=95, opacity=1, color=MARK).encode(x=scale),
        *(
            base.transform_filter(alt.datum.right == right)
            .mark_text(align=align, dx=dx, fontSize=13, fontWeight=600, color=INK)
            .encode(x="at:Q", text="text:N")
            for right, align, dx in ((True, "left", 8), (False, "right", -8))
        ),
        _titles(alt, rows),
    ]
    return _svg(alt.layer(*layers).properties(width=WIDTH, height=alt.Step(ROW)))


def states(results: Sequence[Result]) -> str:
    """Draw how each pair's answers divide into the four states."""
    import altair as alt

    rows: list[dict[str, Any]] = []
    for row, result in enumerate(results):
        total = sum(result.states.values())
        start = 0.0
        for state, count in result.states.items():
            share = count / total if total else 0.0
            rows.append(
                {
                    "row": row,
                    "label": _name(result.label, f"{total:,} answers", *result.warnings),
                    "state": state,
                    "start": start,
                    "end": start + share,
                    "middle": start + share / 2,
                    "text": f"{count:,}" if share * WIDTH > 9 * len(f"{count:,}") else "",
                    "ink": "white" if state in ("correct", "wrong") else "black",
                }
            )
            start += share
    base = alt.Chart(alt.Data(values=rows)).encode(y=_rows(alt))
    names = list(STATE_COLOURS)
    bars = base.mark_bar(height=18, stroke=PAPER, strokeWidth=1).encode(
        x=alt.X(
            "start:Q",
            title="share of answers",
            scale=alt.Scale(domain=[0, 1]),
            axis=alt.Axis(values=[0, 0.2, 0.4, 0.6, 0.8, 1], labelExpr=PERCENT),
        ),
        x2="end:Q",
        color=alt.Color(
            "state:N",
            scale=alt.Scale(domain=names, range=list(STATE_COLOURS.values())),
            legend=alt.Legend(orient="top", title=None, symbolType="square", symbolOpacity=1),
        ),
    )
    counts = base.mark_text(fontSize=12, fontWeight=600).encode(
        x="middle:Q", text="text:N", color=alt.Color("ink:N", scale=None)
    )
    return _svg(
        alt.layer(bars, counts, _titles(alt, rows))
        .resolve_scale(color="independent")
        .properties(width=WIDTH, height=alt.Step(ROW))
    )


def quality_and_speed(results: Sequence[Result], metric: str) -> str:
    """Draw each model's result against its output tokens per second; the best lie top right."""
    import altair as alt

    shown = [
        result for result in results if result.value is not None and result.output_tokens_per_s
    ]
    middle = max(result.output_tokens_per_s or 0 for result in shown) / 2
    rows = [
        {
            "label": _name(result.label, *(result.warnings or [f"n = {result.n:,}"]), room=18),
            "value": result.value,
            "low": result.ci_low,
            "high": result.ci_high,
            "rate": result.output_tokens_per_s,
            "right": (result.output_tokens_per_s or 0) <= middle,
        }
        for result in shown
    ]
    base = alt.Chart(alt.Data(values=rows)).encode(
        x=alt.X(
            "rate:Q",
            title="output tokens per second",
            scale=alt.Scale(zero=True, nice=True),
            axis=alt.Axis(tickCount=5, format=",.3~r"),
        )
    )
    scale = alt.Y(
        "value:Q",
        title=f"{metric}, 95 % interval",
        scale=alt.Scale(domain=[0, 1]),
        axis=alt.Axis(tickCount=5, labelExpr=PERCENT),
    )
    layers = [
        base.mark_rule(strokeWidth=1.5, color=MARK, opacity=0.6).encode(y="low:Q", y2="high:Q"),
        base.mark_point(filled=True, size=95, opacity=1, color=MARK).encode(y=scale),
        *(
            base.transform_filter(alt.datum.right == right)
            .mark_text(align=align, dx=dx, fontSize=12, color=INK)
            .encode(y="value:Q", text="label:N")
            for right, align, dx in ((True, "left", 9), (False, "right", -9))
        ),
    ]
    return _svg(alt.layer(*layers).properties(width=WIDTH - 50, height=260))


def inline(svg: str, description: str) -> str:
    """Fit a figure into the page: one image to screen readers, its colours following the page's."""
    colours = {INK: "ink", QUIET: "quiet", GRID: "grid", PAPER: "card", MARK: "mark"}

    def adapt(tag: re.Match[str]) -> str:
        text = re.sub(r' (role|aria-[a-z]+)="[^"]*"', "", tag[0])
        for colour, name in colours.items():
            text = text.replace(f'="{colour}"', f'="var(--figure-{name})"')
        return text

    size = re.search(r'width="(\d+)" height="(\d+)"', svg)
    assert size is not None
    opening = (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="figure" role="img" '
        f'viewBox="0 0 {size[1]} {size[2]}" width="{size[1]}" height="{size[2]}" '
        f'aria-label="{_attribute(description)}">'
    )
    return re.sub(r"^<svg[^>]*>", lambda _: opening, re.sub("<[^>]*>", adapt, svg), count=1)


def _attribute(text: str) -> str:
    from markupsafe import escape

    return str(escape(text))


def _name(label: str, *facts: str, room: int = 48) -> str:
    """Return a result's name of at most `room` characters, and facts, which are never cut."""
    return f"{label if len(label) <= room else label[: room - 1] + '…'} ({', '.join(facts)})"


def _rows(alt: Any) -> Any:
    return alt.Y("row:O", axis=None, scale=alt.Scale(padding=0))


def _titles(alt: Any, rows: Sequence[dict[str, Any]]) -> Any:
    """Write each row's name above its marks, so that a narrow figure need not cut it."""
    names = [
        {"row": row, "label": label}
        for row, label in {row["row"]: row["label"] for row in rows}.items()
    ]
    return (
        alt.Chart(alt.Data(values=names))
        .mark_text(align="left", dy=-18, fontSize=13, color=INK)
        .encode(x=alt.value(0), y=_rows(alt), text="label:N")
    )


def _svg(chart: Any) -> str:
    axis = {
        "labelColor": QUIET,
        "titleColor": QUIET,
        "labelFontSize": 12,
        "titleFontSize": 12,
        "titleFontWeight": "normal",
        "titlePadding": 8,
        "gridColor": GRID,
        "domain": False,
        "ticks": False,
        "labelPadding": 6,
    }
    chart = chart.configure(
        aria=False,
        background=PAPER,
        font="sans-serif",
        padding={"left": 6, "right": 16, "top": 6, "bottom": 6},
        axis=axis,
        view={"stroke": None},
        legend={"labelColor": INK, "labelFontSize": 12, "symbolSize": 120, "columnPadding": 14},
    )
    text = io.StringIO()
    chart.save(text, format="svg")
    return text.getvalue()
