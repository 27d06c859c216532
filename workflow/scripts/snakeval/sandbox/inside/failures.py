"""Exceptions as data: what a person reads, and what the other side raises again."""

from __future__ import annotations

import builtins
import linecache
import os
import sys
import traceback
from typing import Any

from . import wire

MAX_TEXT = 2_000  # characters of a message or a traceback that are kept
MAX_BASES = 20
_HERE = os.path.dirname(__file__) + os.sep  # noqa: PTH120


def show_lines(name: str, source: str) -> None:
    """Make tracebacks show the lines of a source that is in no file."""
    lines = source.splitlines(keepends=True)
    linecache.cache[name] = (1, None, lines, name)


def describe(verdict: str, error: BaseException) -> dict[str, Any]:
    """Return verdict, message and traceback of an exception; the texts are bounded in length."""
    return told(verdict, _message(error), trace(error))


def told(verdict: str, message: str, trace: str = "") -> dict[str, Any]:
    """Return a verdict as processes tell it."""
    return {"verdict": verdict, "message": message, "traceback": trace}


def missing(entry_point: str) -> dict[str, Any]:
    """Return the verdict on a program without the function."""
    return told("entry_point_missing", f"the program defines no function {entry_point}")


def _message(error: BaseException) -> str:
    try:
        text = str(error)[:MAX_TEXT]
    except BaseException as worse:
        text = f"(its text cannot be had: {type(worse).__name__})"
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def trace(error: BaseException) -> str:
    """Return the end of an exception's traceback, without the frames of this package above it."""
    try:
        frames = error.__traceback__
        while frames and frames.tb_frame.f_code.co_filename.startswith(_HERE):
            frames = frames.tb_next
        lines = traceback.format_exception(type(error), error, frames, limit=-20)
        return "".join(lines)[-MAX_TEXT:]
    except BaseException:
        return ""


def exception(error: BaseException) -> dict[str, Any]:
    """Return what `rebuild` needs; only names and plain values."""
    kinds = type(error).__mro__[:MAX_BASES]
    try:
        arguments = wire.Sender().encode(error.args)
    except BaseException:
        arguments = {"t": []}
    return {
        "kinds": [[str(kind.__module__), str(kind.__qualname__)] for kind in kinds],
        "arguments": arguments,
        "message": _message(error),
        "traceback": trace(error),
    }


def rebuild(form: Any) -> BaseException:
    """Return an exception like the one that `exception` saw.

    It is of the nearest class that the standard library has; where that is not the first one, a class
    of the same name is made below it. An exit or an interrupt comes back as `Exited`.

    Raises:
        ValueError, TypeError, KeyError: the form is none.
    """
    kinds = [(str(module), str(name)) for module, name in form["kinds"]]
    base: type[BaseException] = Exception
    for module, name in kinds:
        found = _known_class(module, name)
        if found is not None:
            base = found
            break
    if not issubclass(base, Exception):
        return Exited(str(form["message"])[:MAX_TEXT])
    name = kinds[0][1].rpartition(".")[2]
    arguments = wire.Receiver().decode(form["arguments"])
    chosen: type[BaseException] = base if base.__name__ == name else type(name, (base,), {})
    try:
        made: BaseException = chosen.__new__(chosen, *arguments)
    except Exception:
        made = chosen.__new__(chosen)
    made.args = tuple(arguments)
    return made


class Exited(BaseException):
    """The program asked to end, by `sys.exit` or an interrupt: nothing that tests may catch."""


def _known_class(module: str, name: str) -> type[BaseException] | None:
    """Return an exception class of a module that is loaded already."""
    where = builtins if module == "builtins" else sys.modules.get(module)
    if module.partition(".")[0] not in sys.stdlib_module_names or where is None:
        return None
    found = getattr(where, name, None)
    if isinstance(found, type) and issubclass(found, BaseException):
        return found if found.__module__ == module else None
    return None
