"""Render the report: one self-contained HTML page, and a Markdown twin with its figures beside it."""

from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markupsafe import Markup, escape

from snakeval.records import write_text
from snakeval.reporting import figures, formats, text
from snakeval.reporting.view import GroupView, View, build

if TYPE_CHECKING:
    from jinja2 import Environment

    from snakeval.registry import Run

TEMPLATES = Path(__file__).parents[3] / "report"
STATE_MARKS = {"correct": "✓", "wrong": "✗", "incomplete": "…", "unscored": "?"}
FILTERS = (
    *(formats.percent, formats.interval, formats.bounds, formats.count, formats.amount),
    *(formats.seconds, formats.gibibytes, formats.joules, formats.words),
    *(formats.points, formats.points_interval, formats.width, formats.p_value),
)


def write_report(run: Run, folder: Path, summary: Path, output: Path) -> None:
    """See `reporting.report`."""
    view = build(run, folder, summary)
    pictures = output / "figures"
    pictures.mkdir(parents=True, exist_ok=True)
    drawn = set()
    for group in (group for dataset in view.datasets for group in dataset.groups):
        _draw(group)
        for name, svg in group.figures.items():
            path = pictures / f"{group.slug}_{name}.svg"
            write_text(path, svg)
            drawn.add(path)
    for path in pictures.glob("*.svg"):
        if path not in drawn:  # of a dataset that an earlier report showed
            path.unlink()
    write_text(output / "report.md", markdown("report.md.j2", view))
    write_text(output / "index.html", _html(view))


def _draw(group: GroupView) -> None:
    results = [pair.result() for pair in group.pairs]
    if any(result.value is not None for result in results):
        group.figures["intervals"] = figures.intervals(results, group.metric)
        group.captions["intervals"] = f"{group.metric} with its 95 % interval"
    group.figures["states"] = figures.states(results)
    group.captions["states"] = "How the answers divide"
    if sum(r.value is not None and bool(r.output_tokens_per_s) for r in results) > 1:
        group.figures["speed"] = figures.quality_and_speed(results, group.metric)
        group.captions["speed"] = "Quality against speed"


def _html(view: View) -> str:
    style, script = (
        (TEMPLATES / name).read_text(encoding="utf-8") for name in ("style.css", "filter.js")
    )
    environment = _environment(autoescape=True)
    environment.filters["shown"] = _shown
    return environment.get_template("index.html.j2").render(
        view=view,
        style=Markup(style),
        script=Markup(script),
        policy=_policy(style, script),
        inline=lambda svg, description: Markup(figures.inline(svg, description)),
    )


def markdown(template: str, view: Any) -> str:
    """Render a Markdown template with what it shows."""
    environment = _environment(autoescape=False)
    environment.filters["cell"] = lambda value: text.markdown_line(str(value))
    environment.filters["block"] = lambda value, room: text.markdown_block(text.clip(value, room))
    return environment.get_template(template).render(view=view)


def _environment(autoescape: bool) -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=autoescape,
        undefined=StrictUndefined,
        finalize=_visible if autoescape else None,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    for number in FILTERS:
        environment.filters[number.__name__] = number
    environment.globals["state_marks"] = STATE_MARKS
    environment.globals["missing"] = formats.MISSING
    return environment


def _shown(value: str) -> Markup:
    """Escape a text and mark up what `text.visible` had to name."""
    escaped = str(escape(text.visible(value)))
    return Markup(re.sub(r"⟨U\+[0-9A-F]{4,6}⟩|[␀-␟␡]", r"<i>\g<0></i>", escaped))


def _visible(value: Any) -> Any:
    """Make hidden characters visible wherever a plain text is put into the page."""
    return (
        text.visible(value) if isinstance(value, str) and not hasattr(value, "__html__") else value
    )


def _policy(style: str, script: str) -> str:
    """Allow the page its own style and script by their hashes, and nothing else."""

    def source(content: str) -> str:
        digest = hashlib.sha256(content.encode("utf-8")).digest()
        return f"'sha256-{base64.b64encode(digest).decode()}'"

    return (
        f"default-src 'none'; style-src {source(style)}; script-src {source(script)}; "
        "base-uri 'none'; form-action 'none'"
    )
