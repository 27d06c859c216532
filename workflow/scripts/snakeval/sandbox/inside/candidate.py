"""The program's side of a function problem: load the program, then answer calls. It knows no tests."""

from __future__ import annotations

import sys
import types
from typing import Any

from . import channel, failures, wire


def serve(source: str, entry_point: str, link: int) -> None:
    """Load the program and call its function for as long as the other side asks.

    Says first `{"ready": True}`, or `{"failed": {verdict, message, traceback}}`. Answers each call
    with `{"r": result, "c": [[number, content], …]}` – the arguments that have changed – or with
    `{"e": exception}`, or with `{"u": text}` where the result is nothing plain.
    """
    function = load(source, entry_point)
    if isinstance(function, dict):
        _send(link, {"failed": function})
        return
    _send(link, {"ready": True})
    while True:
        try:
            question = channel.receive(link)
        except channel.Closed:
            return
        _send(link, answer(function, question))


def _send(link: int, form: dict[str, Any]) -> None:
    # After the last answer this process may be ended at once: what it has printed must be out.
    for stream in (sys.stdout, sys.stderr):
        try:  # noqa: SIM105 - a context manager takes time, and a call comes by here
            stream.flush()
        except Exception:  # the program may have closed or replaced its output
            pass
    channel.send(link, form)


def load(source: str, entry_point: str) -> Any:
    """Run the program's module; return its function, or what went wrong as a dict."""
    names = module("solution", source)
    try:
        code = compile(source, "program.py", "exec", dont_inherit=True)
    except Exception as error:  # MemoryError too: the parser's own stack is full
        return failures.describe("syntax", error)
    try:
        exec(code, names)
    except MemoryError as error:
        return failures.describe("memory", error)
    except BaseException as error:  # SystemExit and KeyboardInterrupt too
        return failures.describe("exception", error)
    function = names.get(entry_point)
    if not callable(function):
        return failures.missing(entry_point)
    return function


def module(name: str, source: str) -> dict[str, Any]:
    """Register a new module and its source's lines; return its names."""
    made = types.ModuleType(name)
    sys.modules[name] = made
    failures.show_lines("program.py", source)
    return made.__dict__


def answer(function: Any, question: Any) -> dict[str, Any]:
    """Call the function as asked, and say what came of it."""
    receiver = wire.Receiver()
    arguments, keywords = receiver.decode(question)
    given = list(receiver.kept)
    before = [wire.snapshot(container) for container in given]
    try:
        result = function(*arguments, **keywords)
    except BaseException as error:
        return {"e": failures.exception(error)}
    sender = wire.Sender()
    sender.know(given)
    try:
        form = sender.encode(result)
        changes = [
            [number, sender.content(container)]
            for number, (container, old) in enumerate(zip(given, before, strict=True))
            if wire.changed(container, old)
        ]
    except wire.Unsendable as error:
        return {"u": str(error)}
    except BaseException as error:
        return {"e": failures.exception(error)}
    return {"r": form, "c": changes}
