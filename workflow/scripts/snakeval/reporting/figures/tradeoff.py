"""Quality against what it takes: one point a model, and the front of those that nothing beats in both."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import ceil, floor, log10
from typing import Any, NamedTuple

from snakeval.reporting import formats
from snakeval.reporting.figures.figure import (
    FAINT,
    INK,
    MARK,
    PAPER,
    PERCENT,
    QUIET,
    WIDTH,
    Figure,
    figure,
    shown,
    table,
)

HEIGHT = 300  # pixels of the plot
FONT = 12  # pixels; a character is about half as wide
LOG_FROM = 8  # the largest by the smallest cost, from which on the scale is logarithmic
NAMED = 14  # models; of more, only those on the front are named


@dataclass(frozen=True)
class Point:
    """A model's quality in 0..1 with its interval, and what it takes."""

    label: str
    value: float
    ci_low: float | None
    ci_high: float | None
    n: str  # over what
    cost: float
    cost_text: str
    warning: str | None = None  # beside the name, never cut

    @classmethod
    def of(
        cls, label: str, row: Mapping[str, Any], cost: float, cost_text: str, warning: str | None
    ) -> Point:
        """Return the point of a result, which holds value, interval and n."""
        quality = {name: row[name] for name in ("value", "ci_low", "ci_high")}
        n = formats.count(row["n"])
        return cls(label, **quality, n=n, cost=cost, cost_text=cost_text, warning=warning)


class Cost(NamedTuple):
    """What quality is held against."""

    name: str  # in the tooltip
    axis: str
    more_is_better: bool


SPEED = Cost("output tokens/s", "output tokens per second", True)
MEMORY = Cost("weights in memory", "weights in memory, GiB", False)


def front(points: Sequence[Point], more_is_better: bool) -> list[Point]:
    """Return the points that no other is at least equal to in both, and better in one; by cost."""

    def beats(one: Point, other: Point) -> bool:
        cheaper = one.cost - other.cost if more_is_better else other.cost - one.cost
        better = one.value - other.value
        return cheaper >= 0 and better >= 0 and (cheaper > 0 or better > 0)

    best = [point for point in points if not any(beats(other, point) for other in points)]
    return sorted(best, key=lambda point: (point.cost, point.value))


def against(points: Sequence[Point], cost: Cost, metric: str, where: str, n: str) -> Figure:
    """Draw quality against a cost.

    Args:
        points: at least two.
        cost: what is drawn from left to right.
        metric: what `value` is.
        where: on what.
        n: of how many samples.
    """
    import altair as alt

    best = front(points, cost.more_is_better)
    spread = max(point.cost for point in points) / min(point.cost for point in points)
    logarithmic = spread > LOG_FROM
    plane = _plane(points, logarithmic)
    placed = _placed(points, best, plane, cost.more_is_better)
    rows = [
        {
            "name": shown(point.label) + (f" ({point.warning})" if point.warning else ""),
            "value": point.value,
            "low": point.ci_low,
            "high": point.ci_high,
            "text": formats.percent(point.value),
            "interval": formats.interval(vars(point)),
            "n": point.n,
            "cost": point.cost,
            "cost_text": point.cost_text,
            "front": point in best,
            "place": place,
            "label": _short(point),
        }
        for point, place in zip(points, placed, strict=True)
    ]
    x = alt.X(
        "cost:Q",
        title=cost.axis + (" (logarithmic)" if logarithmic else ""),
        scale=alt.Scale(
            type="log" if logarithmic else "linear",
            domain=list(plane.x),
            nice=False,
            **({} if logarithmic else {"zero": False}),
        ),
        axis=alt.Axis(
            tickCount=5, format=",.3~r", **({"values": _ticks(*plane.x)} if logarithmic else {})
        ),
    )
    y = alt.Y(
        "value:Q",
        title=f"{metric}, 95 % interval, {n}",
        scale=alt.Scale(domain=list(plane.y), nice=False, zero=False),
        axis=alt.Axis(tickCount=5, labelExpr=PERCENT),
    )
    picked = alt.selection_point(
        name="picked", fields=["name"], on="pointerover", clear="pointerout"
    )
    strong = alt.when(picked).then(alt.value(1)).otherwise(alt.value(FAINT))
    base = table("models").encode(x=x, y=y, opacity=strong)
    steps = [{"cost": point.cost, "value": point.value} for point in best]
    tooltip = [
        alt.Tooltip("name:N", title="title"),
        alt.Tooltip("text:N", title=metric),
        alt.Tooltip("interval:N", title="95 % interval"),
        alt.Tooltip("n:N", title="n"),
        alt.Tooltip("cost_text:N", title=cost.name),
    ]
    layers = [
        table("front")
        .mark_line(
            interpolate="step-before" if cost.more_is_better else "step-after",
            strokeDash=[4, 4],
            strokeWidth=1.5,
            color=QUIET,
        )
        .encode(x=x, y=y),
        base.mark_rule(strokeWidth=1.5, color=MARK).encode(y=alt.Y("low:Q"), y2="high:Q"),
        *(
            base.transform_filter(alt.datum.front == on_it)
            .mark_point(filled=True, size=size, fill=fill, stroke=MARK, strokeWidth=2)
            .encode(tooltip=tooltip)
            for on_it, size, fill in ((False, 70, PAPER), (True, 110, MARK))
        ),
        *(
            base.transform_filter(alt.datum.place == name)
            .mark_text(align=align, dx=dx, dy=dy, fontSize=FONT, color=INK)
            .encode(text="label:N")
            for name, (align, dx, dy) in PLACES.items()
        ),
    ]
    layers[2] = layers[2].add_params(picked)
    chart = alt.layer(*layers).properties(width=WIDTH - 50, height=HEIGHT)
    title = f"Quality against {'speed' if cost.more_is_better else 'memory'}"
    names = ", ".join(shown(point.label) for point in best)
    return figure(
        title,
        f"{title}, {metric} {where}, {n}. On the front: {names}. The numbers are in the tables.",
        chart,
        {"models": rows, "front": steps},
        note=(
            f"Filled, on the dashed line: no other model is both better and "
            f"{'faster' if cost.more_is_better else 'smaller'}. {where[:1].upper()}{where[1:]}, {n}."
        ),
    )


def _ticks(low: float, high: float) -> list[float]:
    """Return 1, 2 and 5 times powers of ten between two numbers; the powers alone where these are many."""
    powers = [10.0**n for n in range(floor(log10(low)), ceil(log10(high)) + 1)]
    steps = (1, 2, 5) if high / low < 300 else (1,)
    return [tick for power in powers for step in steps if low <= (tick := step * power) <= high]


class _Plane(NamedTuple):
    """The plot: domains of both scales."""

    x: tuple[float, float]
    y: tuple[float, float]
    logarithmic: bool

    def at(self, cost: float, value: float) -> tuple[float, float]:
        """Return where something lies, in pixels from the top left."""
        scaled = log10 if self.logarithmic else float
        low, high = map(scaled, self.x)
        across = (scaled(cost) - low) / (high - low)
        down = (self.y[1] - value) / (self.y[1] - self.y[0])
        return across * (WIDTH - 50), down * HEIGHT


def _plane(points: Sequence[Point], logarithmic: bool) -> _Plane:
    costs = [point.cost for point in points]
    if logarithmic:
        x = (min(costs) / 1.4, max(costs) * 1.4)
    else:
        room = 0.08 * max(costs)
        x = (max(0.0, min(costs) - 2 * room), max(costs) + room)
    ends = [end for p in points for end in (p.ci_low, p.ci_high, p.value) if end is not None]
    low, high = floor(min(ends) * 10) / 10, ceil(max(ends) * 10) / 10
    if high - low < 0.1:
        high = low + 0.1
    return _Plane(x, (low, high), logarithmic)


PLACES = {  # alignment, and how far from the point
    "right": ("left", 9, 0),
    "left": ("right", -9, 0),
    "above": ("left", 6, -11),
    "below": ("left", 6, 12),
    "above left": ("right", -6, -11),
    "below left": ("right", -6, 12),
}
Box = tuple[float, float, float, float]  # left, top, right, bottom


def _placed(
    points: Sequence[Point], best: Sequence[Point], plane: _Plane, more_is_better: bool
) -> list[str | None]:
    """Return where each point's name stands: beside it where nothing else does, or nowhere."""
    spots = [plane.at(point.cost, point.value) for point in points]
    marks: list[Box] = [(x - 6, y - 6, x + 6, y + 6) for x, y in spots]
    lines = [_line(point, plane) for point in points]
    steps = list(_steps(best, plane, more_is_better))
    names: list[Box] = []
    order = sorted(range(len(points)), key=lambda n: (points[n] not in best, -points[n].value))
    placed: list[str | None] = [None] * len(points)
    for number in order:
        warned = points[number].warning is not None
        if len(points) > NAMED and points[number] not in best and not warned:
            continue
        others = [*names, *(mark for n, mark in enumerate(marks) if n != number)]
        # On an interval's line a name can still be read; on another name or mark it cannot.
        lines_of_others = [line for n, line in enumerate(lines) if n != number]
        tries: list[list[Box]] = [[*others, *steps, *lines_of_others], others]
        if warned:
            tries.append([])
        for avoided in tries:
            name = _free(_short(points[number]), spots[number], avoided)
            if name is not None:
                placed[number] = name
                names.append(_box(_short(points[number]), name, spots[number]))
                break
    return placed


def _free(label: str, spot: tuple[float, float], avoided: Sequence[Box]) -> str | None:
    for name in PLACES:
        box = _box(label, name, spot)
        inside = box[0] >= -6 and box[2] <= WIDTH - 40 and box[1] >= -6 and box[3] <= HEIGHT + 6
        if inside and not any(_overlap(box, other) for other in avoided):
            return name
    return None


def _line(point: Point, plane: _Plane) -> Box:
    """Return the room of a point's interval."""
    ends = [point.value if end is None else end for end in (point.ci_high, point.ci_low)]
    (x, top), (_, bottom) = (plane.at(point.cost, end) for end in ends)
    return x - 2, top, x + 2, bottom


def _steps(best: Sequence[Point], plane: _Plane, more_is_better: bool) -> Iterator[Box]:
    """Yield the room of the front's line."""
    for one, other in pairwise(best):
        corner = (one.cost, other.value) if more_is_better else (other.cost, one.value)
        for end in (one, other):
            (x, y), (u, v) = plane.at(end.cost, end.value), plane.at(*corner)
            yield min(x, u) - 1, min(y, v) - 1, max(x, u) + 1, max(y, v) + 1


def _box(label: str, place: str, spot: tuple[float, float]) -> Box:
    align, dx, dy = PLACES[place]
    x, y = spot[0] + dx, spot[1] + dy
    wide = 0.56 * FONT * len(label)
    left = x if align == "left" else x - wide
    return left, y - FONT / 2, left + wide, y + FONT / 2


def _overlap(one: Box, other: Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def _short(point: Point) -> str:
    warning = f" ({point.warning})" if point.warning else ""
    return shown(point.label, max(8, 30 - len(warning))) + warning
