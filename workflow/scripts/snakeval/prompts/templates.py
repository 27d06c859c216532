"""A dataset's prompt template, filled with the inputs of one sample.

Templates are Jinja with the white-space settings of chat templates (`trim_blocks`, `lstrip_blocks`).
They run in a sandbox; the inputs are data and are never evaluated as a template.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from jinja2 import StrictUndefined, Template, TemplateSyntaxError, UndefinedError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from snakeval.errors import PromptError

# Unicode noncharacters: legal in a string, and in no text that is meant for people.
_OPEN, _CLOSE = "\ufdd0", "\ufdd1"

Span = tuple[int, int]


def _mark(value: Any) -> str:
    return f"{_OPEN}{value}{_CLOSE}"


@lru_cache(maxsize=2)
def _environment(marking: bool) -> ImmutableSandboxedEnvironment:
    return ImmutableSandboxedEnvironment(
        undefined=StrictUndefined,
        autoescape=False,
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_mark if marking else None,
    )


@lru_cache(maxsize=1024)
def _compile(source: str, marking: bool) -> Template:
    return _environment(marking).from_string(source)


def fill(source: str, inputs: Mapping[str, Any], where: str, *, marking: bool = False) -> str:
    """Return the template `source` filled with `inputs`.

    Args:
        source: Jinja source, as written in the registry.
        inputs: the sample's inputs by name.
        where: what an error message names.
        marking: enclose whatever comes from an expression in marks; see `spans_of_data`.

    Raises:
        PromptError: the template is malformed, names an input that the sample lacks, or fails.
    """
    try:
        return _compile(source, marking).render(inputs)
    except UndefinedError as error:
        raise PromptError(
            where,
            str(error),
            f"only the sample's inputs ({', '.join(sorted(inputs)) or 'none'})",
            "Mend the template under prompt: in config/datasets.yaml, or map the column under fields:.",
        ) from error
    except TemplateSyntaxError as error:
        raise PromptError(
            where,
            f"{error.message} (line {error.lineno})",
            "a Jinja template",
            "Mend the template under prompt: in config/datasets.yaml.",
        ) from error
    except Exception as error:  # a template is a program: it can raise anything
        raise PromptError(
            where,
            f"{type(error).__name__}: {error}",
            "a template that these inputs can fill",
            "Mend the template under prompt: in config/datasets.yaml.",
        ) from error


def spans_of_data(source: str, inputs: Mapping[str, Any], text: str, where: str) -> list[Span]:
    """Say which parts of `text`, the filled template, come from expressions and not from the template.

    Returns:
        Spans [start, end) in characters, ascending and apart. Where it cannot be told for certain (the
        template measures its own output, the text holds the marks itself) the span is the whole text.
    """
    everything = [(0, len(text))]
    marked = fill(source, inputs, where, marking=True)
    spans: list[Span] = []
    depth = position = start = 0
    plain: list[str] = []
    for piece in _pieces(marked):
        if piece == _OPEN:
            if depth == 0:
                start = position
            depth += 1
        elif piece == _CLOSE:
            depth -= 1
            if depth < 0:
                return everything
            if depth == 0:
                spans.append((start, position))
        else:
            plain.append(piece)
            position += len(piece)
    return spans if depth == 0 and "".join(plain) == text else everything


def _pieces(marked: str) -> list[str]:
    pieces: list[str] = []
    for part in marked.split(_OPEN):
        head, *rest = part.split(_CLOSE)
        pieces += [_OPEN, head]
        for piece in rest:
            pieces += [_CLOSE, piece]
    return pieces[1:]
