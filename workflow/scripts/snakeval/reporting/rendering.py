"""How templates become pages and Markdown: what they may call, and what is done to the texts of models."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markupsafe import Markup, escape

from snakeval.reporting import formats, text

if TYPE_CHECKING:
    from jinja2 import Environment

TEMPLATES = Path(__file__).parents[3] / "report"
STATE_MARKS = {"correct": "✓", "wrong": "✗", "incomplete": "…", "unscored": "?"}
FILTERS = (
    *(formats.percent, formats.interval, formats.bounds, formats.count, formats.amount),
    *(formats.seconds, formats.gibibytes, formats.joules, formats.words),
    *(formats.points, formats.points_interval, formats.width, formats.p_value, formats.rank),
)


def markdown(template: str, view: Any) -> str:
    """Render a Markdown template with what it shows."""
    environment = _environment(autoescape=False)
    environment.filters["cell"] = lambda value: text.markdown_line(str(value))
    environment.filters["block"] = lambda value, room: text.markdown_block(text.clip(value, room))
    return environment.get_template(template).render(view=view)


def page_environment() -> Environment:
    """Return what renders pages: all texts are escaped, and what hides in them is made visible."""
    environment = _environment(autoescape=True)
    environment.filters["shown"] = _shown
    return environment


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
