"""What all figures share: how they look, and how they become SVG or a picture that answers to the pointer.

No colour carries a meaning alone: marks have their labels beside them. The colours are Okabe and
Ito's, which people who see red and green alike can tell apart. `style.css` turns the inks into the
page's own, so that figures follow it into the dark.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markupsafe import escape

from snakeval.records import fingerprint
from snakeval.reporting.text import visible

if TYPE_CHECKING:
    from altair import Chart, TopLevelMixin

SCRIPT = Path(__file__).parents[4] / "report" / "charts.js"
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
FAINT = 0.25  # the opacity of what was not picked
CONFIG: Mapping[str, Any] = {
    "aria": False,  # the figure is one thing, with its description; the numbers are in tables
    "background": None,
    "font": "sans-serif",
    "padding": {"left": 6, "right": 16, "top": 6, "bottom": 6},
    "axis": {
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
    },
    "view": {"stroke": None},
    "legend": {
        "labelColor": INK,
        "labelFontSize": 12,
        "symbolSize": 120,
        "columnPadding": 14,
        "titleColor": QUIET,
        "titleFontSize": 12,
        "titleFontWeight": "normal",
    },
}


@dataclass(frozen=True)
class Figure:
    """A picture.

    Args:
        title: stands above it.
        description: what it shows, and of how many samples, for those who do not see it.
        spec: in Vega-Lite, without `CONFIG`.
        note: how to read it, where that needs saying.
        wide: whether it needs the page's whole width.
    """

    title: str
    description: str
    spec: Mapping[str, Any]
    note: str | None = None
    wide: bool = False

    @cached_property
    def _picture(self) -> str:
        import vl_convert

        spec = json.dumps(self.spec)
        drawn = str(vl_convert.vegalite_to_svg(spec, config=dict(CONFIG)))
        # Vega numbers these through a process; here they are the same each time, and unique in a page.
        names = dict.fromkeys(re.findall(r"\b(?:gradient_|clip)\d+", drawn))
        for number, name in enumerate(names):
            drawn = re.sub(rf"\b{name}\b", f"of-{fingerprint(spec)}-{number}", drawn)
        return drawn

    @property
    def svg(self) -> str:
        """The picture as a file of its own, on paper."""
        paper = f'<rect width="100%" height="100%" fill="{PAPER}"/>'
        return re.sub("^<svg[^>]*>", lambda opening: opening[0] + paper, self._picture, count=1)

    @property
    def inline(self) -> str:
        """The picture as part of a page: one image to screen readers."""
        size = re.search(r'width="(\d+)" height="(\d+)"', self._picture)
        assert size is not None
        opening = (
            f'<svg xmlns="http://www.w3.org/2000/svg" role="img" '
            f'viewBox="0 0 {size[1]} {size[2]}" width="{size[1]}" height="{size[2]}" '
            f'aria-label="{escape(self.description)}">'
        )
        plain = re.sub(r' (role|class|aria-[a-z]+|font-family)="[^"]*"', "", self._picture)
        return re.sub("^<svg[^>]*>", lambda _: opening, plain, count=1)

    @property
    def json(self) -> str:
        """The specification for a script element: nothing in it can end that."""
        text = json.dumps(self.spec, separators=(",", ":"))
        return re.sub("[<>&]", lambda found: f"\\u{ord(found[0]):04x}", text)


def figure(
    title: str,
    description: str,
    chart: TopLevelMixin,
    tables: Mapping[str, Sequence[Mapping[str, Any]]],
    note: str | None = None,
    wide: bool = False,
) -> Figure:
    """Make a figure of an Altair chart; `tables` are the rows that its layers name (`table`)."""
    spec = chart.to_dict(validate=False)
    for name in ("config", "$schema"):
        spec.pop(name, None)
    return Figure(title, description, {**spec, "datasets": tables}, note, wide)


def table(name: str) -> Chart:
    """Return an empty chart of a table: Altair copies a chart at each step, and rows with it if it holds them."""
    import altair as alt

    return alt.Chart(alt.NamedData(name))


def shown(name: str, room: int = 48) -> str:
    """Return a name of at most `room` characters, with nothing hidden in it."""
    name = visible(name)
    return name if len(name) <= room else name[: room - 1] + "…"


@cache
def library() -> str:
    """Return Vega, Vega-Lite, Vega-Embed and `charts.js` as one script, which needs no network."""
    import vl_convert

    script = SCRIPT.read_text(encoding="utf-8").replace("CONFIG", json.dumps(CONFIG), 1)
    return str(vl_convert.javascript_bundle(script))
