"""A program that is run as `__main__`; what it prints and how it ends tell the rest."""

from __future__ import annotations

import atexit
import contextlib
import os
import sys
import threading
import types
from typing import Any

from . import failures

FAILED = 1  # exit code


def compiled(source: str) -> Any:
    """Return the program's code, or what is wrong with its syntax as a dict."""
    failures.show_lines("solution.py", source)
    try:
        return compile(source, "solution.py", "exec", dont_inherit=True)
    except Exception as error:
        return failures.describe("syntax", error)


def run(code: types.CodeType) -> int:
    """Run a program to its end, threads and exit handlers included; return its exit code.

    An exception is printed to standard error, as Python does.
    """
    made = types.ModuleType("__main__")
    made.__dict__["__file__"] = "solution.py"
    sys.modules["__main__"] = made
    sys.argv = ["solution.py"]
    exit_code = _guarded(lambda: exec(code, made.__dict__))
    # Fast input and output in contests is often printed at exit, and deep recursion runs in a thread.
    for step in (threading._shutdown, atexit._run_exitfuncs, _flush):  # type: ignore[attr-defined]
        exit_code = _guarded(step) or exit_code
    return exit_code


def _flush() -> None:
    """Write what is left in Python's streams; a program may have closed or replaced them."""
    for stream in (sys.stdout, sys.__stdout__, sys.stderr, sys.__stderr__):
        if stream is not None and not getattr(stream, "closed", True):
            stream.flush()


def _guarded(step: Any) -> int:
    """Do a step; return the exit code that it asks for."""
    try:
        step()
    except SystemExit as error:
        if error.code is None or isinstance(error.code, int):
            return (error.code or 0) & 0xFF
        _tell(str(error.code))
    except BaseException as error:
        _tell(failures.trace(error))
    else:
        return 0
    return FAILED


def _tell(text: str) -> None:
    """Write to standard error, behind what the program itself has written there."""
    with contextlib.suppress(Exception):
        sys.stderr.flush()
    os.write(2, text.encode("utf-8", "replace"))
