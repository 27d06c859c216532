"""What every coding problem written for this repository must show; shared by the tests of our own datasets.

A dataset is a folder of `<topic>.yaml` in config/data, and one of wrong programs in tests/data: each says
`why` it is wrong and is a whole `program`, or the reference with `edits`, texts that stand in it once.
"""

from __future__ import annotations

import ast
import difflib
import functools
import itertools
import json
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[1]
KEYS = ["task_id", "topic", "entry_point", "prompt", "solution", "test"]
LIMIT_S = 10  # a reference takes well under one second
SIMILAR = 0.5  # share of equal lines once names and constants are blanked
REPEATED = 0.1  # share of equal runs of SHINGLE words in two statements
SHINGLE = 5

# Runs programs one after the other, each in a fork of its own with limits; JSON in, JSON out.
BATCH = """
import json, os, resource, select, signal, sys, traceback

def run(program, limit_s):
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        null = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(null, stream)
        resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
        try:
            space = {"__name__": "program"}
            exec(compile(program["code"], "program", "exec"), space)
            exec(compile(program["test"], "test", "exec"), space)
            space["check"](space[program["entry_point"]])
            verdict = "passed"
        except BaseException as error:
            verdict = "".join(traceback.format_exception_only(error)).strip()[-500:] or "failed"
        os.write(writer, verdict.encode())
        os._exit(0)
    os.close(writer)
    ready, _, _ = select.select([reader], [], [], limit_s)
    verdict = os.read(reader, 4096).decode() if ready else "ran past the time limit"
    os.close(reader)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return verdict or "died without a verdict"

task = json.load(sys.stdin)
json.dump([run(program, task["limit_s"]) for program in task["programs"]], sys.stdout)
"""

EXAMPLES = """
def check(_):
    import doctest
    shown = doctest.DocTestFinder(recurse=False).find(prompted, globs=globals(), name="prompt")
    report = []
    runner = doctest.DocTestRunner(verbose=False)
    for example in shown:
        runner.run(example, out=report.append)
    assert runner.tries > 0, "no example"
    assert runner.failures == 0, "".join(report)
"""


@dataclass(frozen=True)
class Problems:
    """One dataset of our own."""

    name: str

    @property
    def topics(self) -> list[str]:
        return sorted(path.stem for path in (ROOT / "config/data" / self.name).glob("*.yaml"))

    def rows(self, topic: str) -> list[dict[str, str]]:
        found: list[dict[str, str]] = _load(ROOT / "config/data" / self.name / f"{topic}.yaml")
        return found

    def all_rows(self) -> list[dict[str, str]]:
        return [row for topic in self.topics for row in self.rows(topic)]

    def wrong_programs(self, topic: str) -> dict[str, list[dict[str, str]]]:
        solutions = {row["task_id"]: row["solution"] for row in self.rows(topic)}
        return {
            name: [
                {"why": entry["why"], "program": _program(entry, solutions[name])}
                for entry in entries
            ]
            for name, entries in _load(ROOT / "tests/data" / self.name / f"{topic}.yaml").items()
        }

    def check_files(self, topics: Iterable[str], count: int) -> None:
        """Each topic has both files, and all problems are there under names of their own."""
        assert self.topics == sorted(topics)
        wrong = sorted(path.stem for path in (ROOT / "tests/data" / self.name).glob("*.yaml"))
        assert wrong == self.topics
        rows = self.all_rows()
        assert len(rows) == count
        for key in ("task_id", "entry_point"):
            assert [name for name, n in Counter(row[key] for row in rows).items() if n > 1] == []

    def check_form(self, topic: str, judgings: tuple[str, ...], keys: Sequence[str] = KEYS) -> None:
        """`judgings`: what a row may ask for under "judging"; `keys`: those of a row besides it."""
        for row in self.rows(topic):
            name = row["task_id"]
            assert row.get("judging") in (None, *judgings), name
            assert [key for key in row if key != "judging"] == list(keys), name
            assert all(isinstance(value, str) and value.strip() for value in row.values()), name
            prefix, _, slug = name.partition("/")
            assert prefix == self.name, name
            assert slug.isidentifier(), name
            assert slug == slug.lower(), name
            assert row["topic"] == topic, name
            assert len(statement(row)) > 200, f"{name}: the prompt has no docstring of that length"
            assert definition(row["solution"], row["entry_point"]) is not None, name
            assert definition(row["test"], "check") is not None, name
            assert row["solution"] not in row["prompt"], name

    def check_imports(self, topic: str) -> None:
        """No program reaches for the outside world."""
        outside = {"os", "pathlib", "socket", "subprocess", "time"}
        allowed = set(sys.stdlib_module_names) - outside
        for row in self.rows(topic):
            for part in ("prompt", "solution", "test"):
                for node in ast.walk(ast.parse(row[part])):
                    if isinstance(node, ast.Import):
                        imported = {alias.name.partition(".")[0] for alias in node.names}
                    elif isinstance(node, ast.ImportFrom):
                        imported = {(node.module or "").partition(".")[0]}
                    else:
                        continue
                    assert imported <= allowed, f"{row['task_id']} {part}: {imported - allowed}"

    def check_references(self, topic: str) -> None:
        """References pass their tests, and the prompt's examples show what references return."""
        rows, programs = self.rows(topic), []
        for row in rows:
            entry = {"code": row["solution"], "entry_point": row["entry_point"]}
            programs.append({**entry, "test": row["test"]})
            prompted = f"\ndef prompted(): {statement(row)!r}\n"
            programs.append({**entry, "code": row["solution"] + prompted, "test": EXAMPLES})
        failed = {
            f"{row['task_id']} {what}": verdict
            for (row, what), verdict in zip(
                itertools.product(rows, ("tests", "examples")), judge(programs), strict=True
            )
            if verdict != "passed"
        }
        assert failed == {}

    def check_wrong_programs(self, topic: str) -> None:
        """At least three for each problem; each fails, and by the mistake that is named."""
        rows = {row["task_id"]: row for row in self.rows(topic)}
        wrong = self.wrong_programs(topic)
        assert list(wrong) == list(rows)
        programs, labels = [], []
        for name, entries in wrong.items():
            assert len(entries) >= 3, f"{name}: fewer than three wrong programs"
            assert len({entry["program"] for entry in entries}) == len(entries), name
            for entry in entries:
                assert "\n" not in entry["why"], name
                entry_point, test = rows[name]["entry_point"], rows[name]["test"]
                label = f"{name}: {entry['why']}"
                assert definition(entry["program"], entry_point) is not None, label
                labels.append(label)
                programs.append(
                    {"code": entry["program"], "entry_point": entry_point, "test": test}
                )
        # A NameError is a slip of the pen, not the mistake that is named.
        slips = ("passed", "NameError", "SyntaxError", "ImportError", "ModuleNotFoundError")
        verdicts = dict(zip(labels, judge(programs), strict=True))
        assert {label: v for label, v in verdicts.items() if v.startswith(slips)} == {}


def _program(entry: Mapping[str, Any], solution: str) -> str:
    """Return a wrong program."""
    if "program" in entry:
        assert set(entry) == {"why", "program"}
        return str(entry["program"])
    assert set(entry) == {"why", "edits"}
    for edit in entry["edits"]:
        assert set(edit) == {"old", "new"}
        assert solution.count(edit["old"]) == 1, f"not once in the reference: {edit['old']}"
        solution = solution.replace(edit["old"], edit["new"])
    return solution


@functools.cache
def _load(path: Path) -> Any:
    return yaml.load(path.read_text("utf-8"), yaml.CSafeLoader)


def judge(programs: list[dict[str, str]]) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-I", "-c", BATCH],
        input=json.dumps({"limit_s": LIMIT_S, "programs": programs}),
        capture_output=True,
        text=True,
        check=True,
        timeout=240,
    )
    verdicts: list[str] = json.loads(done.stdout)
    return verdicts


def definition(program: str, name: str) -> ast.FunctionDef | ast.ClassDef | None:
    """The top-level function or class of that name."""
    kinds = (ast.FunctionDef, ast.ClassDef)
    found = [n for n in ast.parse(program).body if isinstance(n, kinds) and n.name == name]
    return found[0] if found else None


def statement(row: Mapping[str, str]) -> str:
    """The docstring that states the task."""
    prompted = definition(row["prompt"], row["entry_point"])
    return (ast.get_docstring(prompted) if prompted else None) or ""


class Blank(ast.NodeTransformer):
    """Blanks names and constants, drops docstrings and annotations."""

    def generic_visit(self, node: ast.AST) -> ast.AST:
        super().generic_visit(node)
        for field in ("id", "arg", "name", "attr"):
            if isinstance(getattr(node, field, None), str):
                setattr(node, field, "_")
        for field in ("annotation", "returns"):
            if getattr(node, field, None) is not None and not isinstance(node, ast.AnnAssign):
                setattr(node, field, None)
        if isinstance(node, ast.Constant):
            node.value = 0
        if isinstance(node, ast.JoinedStr):
            return ast.Constant(0)
        return node


def shape(program: str) -> list[str]:
    return ast.unparse(Blank().visit(ast.parse(program))).splitlines()


def shingles(text: str) -> set[tuple[str, ...]]:
    """All runs of words of a text."""
    words = re.findall(r"[a-z0-9]+", text.lower())
    return {tuple(words[at : at + SHINGLE]) for at in range(len(words) - SHINGLE + 1)}


Compared = Iterable[tuple[Mapping[str, str], Mapping[str, str]]]


def alike_programs(pairs: Compared) -> list[tuple[str, str, float]]:
    """The pairs of rows whose references have at least SIMILAR of their lines in common."""
    shapes: dict[str, list[str]] = {}
    found = []
    for rows in pairs:
        for row in rows:
            if row["task_id"] not in shapes:
                shapes[row["task_id"]] = shape(row["solution"])
        left, right = (shapes[row["task_id"]] for row in rows)
        matcher = difflib.SequenceMatcher(None, left, right, autojunk=False)
        if matcher.real_quick_ratio() >= SIMILAR and matcher.quick_ratio() >= SIMILAR:
            ratio = matcher.ratio()
            if ratio >= SIMILAR:
                found.append((rows[0]["task_id"], rows[1]["task_id"], round(ratio, 2)))
    return found


def alike_statements(pairs: Compared) -> list[tuple[str, str, float]]:
    """The pairs of rows whose statements share at least REPEATED of the shorter one's runs of words."""
    runs: dict[str, set[tuple[str, ...]]] = {}
    found = []
    for rows in pairs:
        for row in rows:
            if row["task_id"] not in runs:
                runs[row["task_id"]] = shingles(statement(row))
        left, right = (runs[row["task_id"]] for row in rows)
        share = len(left & right) / max(1, min(len(left), len(right)))
        if share >= REPEATED:
            found.append((rows[0]["task_id"], rows[1]["task_id"], round(share, 2)))
    return found
