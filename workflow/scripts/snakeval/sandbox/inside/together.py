"""Program and tests in one process: for tests that need the program's own objects, mocks and all.

A program that hunts through its interpreter could find the tests here, or forge their verdict.
"""

from __future__ import annotations

import io
import os
import sys
from typing import Any

from . import candidate, failures


def check(source: str, order: dict[str, Any]) -> dict[str, Any]:
    """Run the program and behind it, in its module, tests that define `check(candidate)`."""
    function = candidate.load(source, order["entry_point"])
    if isinstance(function, dict):
        return function
    names = sys.modules["solution"].__dict__
    failures.show_lines("tests.py", order["tests"])
    names.pop("check", None)
    try:
        exec(compile(order["tests"], "tests.py", "exec", dont_inherit=True), names)
        run = names["check"]
    except BaseException as error:
        return failures.describe("judge_failed", error)
    try:
        run(function)
    except MemoryError as error:
        return failures.describe("memory", error)
    except BaseException as error:  # SystemExit and KeyboardInterrupt too: none of them is a pass
        wrong = isinstance(error, AssertionError)
        return failures.describe("wrong_answer" if wrong else "exception", error)
    return failures.told("passed", "")


def unit_tests(source: str, order: dict[str, Any]) -> dict[str, Any]:
    """Run the program and behind it, in its module, `unittest` classes, as BigCodeBench does."""
    import unittest  # large, and only needed here

    absent = [name for name in order["libraries"] if not _importable(name)]
    if absent:
        return failures.told("judge_failed", f"library missing here: {', '.join(absent)}")
    names = candidate.module("__test__", source)
    # BigCodeBench gives these to every program.
    names |= {"__file__": "__test__.py", "__package__": None, "sys": sys, "os": os}
    names["environ"] = os.environ
    _restore_old_assertions()
    for step, (name, text) in enumerate((("program.py", source), ("tests.py", order["tests"]))):
        failures.show_lines(name, text)
        try:
            code = compile(text, name, "exec", dont_inherit=True)
        except Exception as error:
            return failures.describe("judge_failed" if step else "syntax", error)
        try:
            exec(code, names)
        except MemoryError as error:
            return failures.describe("memory", error)
        except BaseException as error:
            return failures.describe("judge_failed" if step else "exception", error)
        if not step and not callable(names.get(order["entry_point"])):
            return failures.missing(order["entry_point"])
    cases = [
        found
        for found in names.values()
        if isinstance(found, type) and issubclass(found, unittest.TestCase)
    ]
    loader = unittest.TestLoader()
    suite = unittest.TestSuite(map(loader.loadTestsFromTestCase, dict.fromkeys(cases)))
    if not suite.countTestCases():
        return failures.told("judge_failed", "the tests define no unittest case")
    result = unittest.TextTestRunner(stream=io.StringIO(), buffer=False).run(suite)
    for verdict, found in (("exception", result.errors), ("wrong_answer", result.failures)):
        if found:
            test, trace = found[0]
            last = trace.strip().rpartition("\n")[2]
            if last.startswith("MemoryError"):
                verdict = "memory"
            said = f"{test.id()}: {last}"[: failures.MAX_TEXT]
            return failures.told(verdict, said, trace[-failures.MAX_TEXT :])
    if not result.wasSuccessful() or result.testsRun == len(result.skipped):
        return failures.told("wrong_answer", "no test passed, or one that should fail did not")
    return failures.told("passed", "")


def _restore_old_assertions() -> None:
    """Give `unittest` back what Python 3.12 has taken away and tests of today still call."""
    import unittest

    def contains(self: unittest.TestCase, subset: Any, whole: Any, msg: Any = None) -> None:
        self.assertEqual(whole, {**whole, **subset}, msg)  # noqa: PT009

    case = unittest.TestCase
    for name, method in (
        ("assertEquals", case.assertEqual),
        ("assertRegexpMatches", case.assertRegex),
        ("assertDictContainsSubset", contains),
    ):
        if not hasattr(case, name):
            setattr(case, name, method)


def _importable(name: str) -> bool:
    import importlib.util

    try:
        return importlib.util.find_spec(name) is not None
    except (ImportError, ValueError):
        return False
