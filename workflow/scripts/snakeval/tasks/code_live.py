"""Write a Python program for a contest's problem: whole, or a method of `class Solution`; tests outside decide.

That is LiveCodeBench's format. A problem either reads standard input (AtCoder, Codeforces), or its `details`
name a function (LeetCode). The tests stay packed as they come until they are needed: unpacked, those of a
single problem may take hundreds of megabytes. As with the authors, programs find common modules imported.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from snakeval.errors import SourceError
from snakeval.extraction import Found, Missing, extract, extract_script
from snakeval.records import Sample
from snakeval.sandbox import Check, Program
from snakeval.tasks import Attempt, code_stdin, id_field, text_field, wrong_field
from snakeval.tasks._packed import NotPacked, unpack
from snakeval.tasks._programs import ProgramTask, Unjudged, limits

ROLES = ("public_tests", "private_tests")
KINDS = {True: "functional", False: "stdin"}  # by whether a function is asked for
# What LiveCodeBench's own evaluator puts before a program, in its order: later names win.
MODULES = (
    "string re datetime collections heapq bisect copy math random statistics itertools functools operator io "
    "sys json"
)
IMPORTS = "".join(
    [
        *(f"from {module} import *\n" for module in [*MODULES.split(), "builtins", "typing"]),
        f"import {', '.join(MODULES.split())}\n",
        "sys.setrecursionlimit(50000)\n",
    ]
)
CHECK = """

def check(candidate):
    tests = _load(TESTS)
    for number, (lines, wanted) in enumerate(tests, 1):
        got, right = candidate(*map(_load, lines.split("\\n"))), _load(wanted)
        assert same(got, right), f"test {number} of {len(tests)}: {_short(got)}, expected {_short(right)}"
"""

Case = tuple[str, str]  # input and output


class CodeLive(ProgramTask):
    """Programs for standard input and methods, by the problem: LiveCodeBench."""

    name = "code_live"
    version = 1
    roles = ("id", "prompt", "starter_code", *ROLES, "details")
    inputs = ("prompt", "starter_code", "entry_point")
    messages = code_stdin.CodeStdin.messages

    def normalise(self, row: Mapping[str, Any], fields: Mapping[str, str], where: str) -> Sample:
        """Return the sample of one row.

        The tests are the text of a JSON list of objects with `input`, `output` and `testtype`, or that text
        packed (see `_packed`). `details` is the text of a JSON object, with `func_name` where a method is
        asked for; then each line of an input is an argument in JSON, and an output is JSON. A row without
        tests, or with such that do not fit together, is kept, and its answers are unscored.
        """
        details = _json(text_field(row, fields, "details", where), dict, "details", where)
        metadata: dict[str, Any] = {role: text_field(row, fields, role, where) for role in ROLES}
        name = details.get("func_name")
        if name is not None and not (isinstance(name, str) and name.isidentifier()):
            raise wrong_field(name, "the name of a function", "details", where)
        reason = _unjudged(_cases(metadata, name is not None, where), name)
        if name is not None:
            metadata["entry_point"] = name
        if reason:
            metadata["unjudged"] = reason
        return {
            "id": id_field(row, fields, where),
            "inputs": {
                "prompt": text_field(row, fields, "prompt", where),
                "starter_code": text_field(row, fields, "starter_code", where),
                "entry_point": name or "",
            },
            "target": None,
            "metadata": metadata,
        }

    def find(self, attempt: Attempt) -> Found | Missing | Unjudged:
        """Return the program in an answer, or the function where one is asked for, behind the imports."""
        metadata = attempt.sample["metadata"]
        if "unjudged" in metadata:
            return Unjudged(metadata["unjudged"])
        if "entry_point" in metadata:
            return extract(attempt.text, IMPORTS, metadata["entry_point"], False)
        found = extract_script(attempt.text)
        if isinstance(found, Missing) or "__future__" in found.program:  # that must come first
            return found
        return replace(found, program=f"{IMPORTS}\n\n{found.program}")

    def program(self, sample: Sample, code: str, scoring: Mapping[str, Any]) -> Program:
        """Return the program with its inputs and outputs, or the function with its calls.

        The time limit is one test's; all calls of a function together get as much for each of them, up to
        its ceiling.
        """
        metadata = sample["metadata"]
        name = metadata.get("entry_point")
        cases = _cases(metadata, name is not None, f"sample {sample['id']}")
        if name is None:
            unpacked = {"cases": [[stdin, [output]] for stdin, output in cases]}
            return code_stdin.TASK.program({**sample, "metadata": unpacked}, code, scoring)
        tests = f"{code_stdin.CALLS.read_text('utf-8')}\nTESTS = {json.dumps(cases)!r}\n{CHECK}"
        chosen = limits(scoring)
        floor = min(chosen.time.ceiling_s, chosen.time.floor_s * len(cases))
        longer = replace(chosen, time=replace(chosen.time, floor_s=floor))
        return Program(code, Check(tests, name), longer)


def _json(text: str, kind: type, role: str, where: str) -> Any:
    """Return a JSON value of one kind."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        shown = f"{text[:60]} ({error})"
        raise wrong_field(shown, f"a JSON {kind.__name__}", role, where) from error
    if not isinstance(value, kind):
        raise wrong_field(value, f"a JSON {kind.__name__}", role, where)
    return value


def _cases(metadata: Mapping[str, Any], functional: bool, where: str) -> list[Case]:
    """Return the tests of a problem, the public ones first.

    Raises:
        SourceError: they are not what a row holds.
    """
    cases: list[Case] = []
    for role in ROLES:
        text = metadata[role]
        if not text.lstrip().startswith("["):
            try:
                text = unpack(text)
            except NotPacked as error:
                raise SourceError(
                    f"{where}, field {role}",
                    str(error),
                    "a JSON list of tests, or that as a text in a pickle, in zlib, in base64",
                    "Use the rows of a revision that is known; nothing else is unpacked.",
                ) from error
        for test in _json(text, list, role, where):
            given = test if isinstance(test, dict) else {}
            stdin, output = given.get("input"), given.get("output")
            if not isinstance(stdin, str) or not isinstance(output, str):
                raise wrong_field(test, "a test with the texts input and output", role, where)
            if given.get("testtype") != KINDS[functional]:
                got = f"a test of type {str(given.get('testtype'))[:40]!r}"
                raise wrong_field(got, f"one of type {KINDS[functional]!r}", role, where)
            cases.append((stdin, output))
    return cases


def _unjudged(cases: list[Case], name: str | None) -> str:
    """Return why a problem cannot be judged, or ""."""
    if not cases:
        return "the problem comes without tests"
    if name is None:
        return ""
    try:
        for lines, wanted in cases:
            for text in (*lines.split("\n"), wanted):
                json.loads(text, parse_int=len)  # whole numbers of any length
    except (ValueError, RecursionError):
        return "the problem's arguments or results are no JSON"
    return ""


TASK = CodeLive()
