"""Render the report: one self-contained HTML page, and a Markdown twin with its figures beside it."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from markupsafe import Markup

from snakeval.records import write_text
from snakeval.reporting import changes, figures, formats
from snakeval.reporting.browser import browser
from snakeval.reporting.rendering import TEMPLATES, markdown, page_environment
from snakeval.reporting.view import GroupView, View, build

if TYPE_CHECKING:
    from snakeval.registry import Run


def write_report(run: Run, folder: Path, summary: Path, output: Path) -> None:
    """See `reporting.report`."""
    before = changes.keep(summary, folder)
    with browser(output / "samples") as samples:
        view = build(run, folder, summary, samples.add, before)
        samples.close(_samples_html(view), view.pairs)
    for group in view.groups:
        group.figures.update(_drawn(group))
    pictures = output / "figures"
    pictures.mkdir(parents=True, exist_ok=True)
    files = {f"{name}.svg": figure.svg for name, figure in _figures(view)}
    for name, svg in files.items():
        write_text(pictures / name, svg)
    for path in pictures.glob("*.svg"):
        if path.name not in files:  # of a dataset that an earlier report showed
            path.unlink()
    write_text(output / "report.md", markdown("report.md.j2", view))
    write_text(output / "index.html", _html(view))


def _figures(view: View) -> Iterator[tuple[str, figures.Figure]]:
    """Yield all figures with the names of their files."""
    for name, figure in view.overview.figures.items() if view.overview else ():
        yield f"overview_{name}", figure
    for group in view.groups:
        for name, figure in group.figures.items():
            yield f"{group.slug}_{name}", figure


def _drawn(group: GroupView) -> Iterator[tuple[str, figures.Figure]]:
    """Yield the figures of the results on a dataset."""
    results = [pair.result() for pair in group.pairs]
    if any(result.value is not None for result in results):
        yield "intervals", figures.intervals(results, group.metric, group.title)
    yield "states", figures.states(results, group.title)
    points = [
        figures.Point.of(
            result.label,
            vars(result),
            speed,
            formats.amount(speed),
            ", ".join(result.warnings) or None,
        )
        for result in results
        if result.value is not None and (speed := result.output_tokens_per_s)
    ]
    if len(points) > 1:
        n = figures.samples(results)
        yield "speed", figures.against(points, figures.SPEED, group.metric, f"on {group.title}", n)


def _html(view: View) -> str:
    style, *scripts = (
        (TEMPLATES / name).read_text(encoding="utf-8")
        for name in ("style.css", "later.js", "filter.js", "sort.js", "contents.js")
    )
    scripts.append(figures.library())
    return (
        page_environment()
        .get_template("index.html.j2")
        .render(
            view=view,
            style=Markup(style),
            scripts=[Markup(script) for script in scripts],
            inline=lambda figure: Markup(figure.inline),
            specification=lambda figure: Markup(figure.json),
            policy=_policy(style, *scripts),
        )
    )


def _samples_html(view: View) -> str:
    """Render the page that shows what lies beside it under `data`."""
    style, script = (
        "".join((TEMPLATES / name).read_text(encoding="utf-8") for name in names)
        for names in (("style.css", "samples.css"), ("difference.js", "samples.js"))
    )
    # What the script loads may run as well ('strict-dynamic'); no text can become markup (trusted types).
    loading = "'strict-dynamic'; require-trusted-types-for 'script'; trusted-types samples"
    return (
        page_environment()
        .get_template("samples.html.j2")
        .render(
            view=view,
            style=Markup(style),
            script=Markup(script),
            policy=_policy(style, script, loading=loading),
        )
    )


def _policy(style: str, *scripts: str, loading: str = "") -> str:
    """Allow the page its own style and scripts by their hashes, and nothing but what `loading` adds."""

    def source(content: str) -> str:
        digest = hashlib.sha256(content.encode("utf-8")).digest()
        return f"'sha256-{base64.b64encode(digest).decode()}'"

    allowed = " ".join(map(source, scripts))
    return (
        f"default-src 'none'; style-src {source(style)}; script-src {allowed} {loading}; "
        "base-uri 'none'; form-action 'none'"
    )
