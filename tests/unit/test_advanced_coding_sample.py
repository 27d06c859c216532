"""The problems of advanced_coding_sample: well-formed, solvable, and not fooled by wrong programs."""

from __future__ import annotations

import ast
import difflib
import functools
import itertools
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
PROBLEMS = ROOT / "config/data/advanced_coding_sample"
WRONG = ROOT / "tests/data/advanced_coding_sample"
TOPICS = (
    "classes",
    "data_structures",
    "dates",
    "generators",
    "graphs",
    "numerics",
    "parsing",
    "text",
)
KEYS = ["task_id", "topic", "entry_point", "prompt", "solution", "test"]
LIMIT_S = 10  # a reference takes well under one second
SIMILAR = 0.5  # share of equal lines once names and constants are blanked
PRESENT = [topic for topic in TOPICS if (PROBLEMS / f"{topic}.yaml").exists()]

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


@functools.cache
def problems(topic: str) -> list[dict[str, str]]:
    rows: list[dict[str, str]] = yaml.safe_load((PROBLEMS / f"{topic}.yaml").read_text("utf-8"))
    return rows


@functools.cache
def wrong_programs(topic: str) -> dict[str, list[dict[str, str]]]:
    wrong: dict[str, list[dict[str, str]]] = yaml.safe_load(
        (WRONG / f"{topic}.yaml").read_text("utf-8")
    )
    return wrong


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


def statement(row: dict[str, str]) -> str:
    """The docstring that states the task."""
    prompted = definition(row["prompt"], row["entry_point"])
    return (ast.get_docstring(prompted) if prompted else None) or ""


def shape(program: str) -> list[str]:
    return ast.unparse(Blank().visit(ast.parse(program))).splitlines()


def test_all_topics_are_there() -> None:
    assert [path.stem for path in sorted(PROBLEMS.glob("*.yaml"))] == list(TOPICS)
    assert [path.stem for path in sorted(WRONG.glob("*.yaml"))] == list(TOPICS)
    assert sum(len(problems(topic)) for topic in TOPICS) == 50


def test_identifiers_and_entry_points_are_unique() -> None:
    rows = [row for topic in PRESENT for row in problems(topic)]
    for key in ("task_id", "entry_point"):
        assert [name for name, n in Counter(row[key] for row in rows).items() if n > 1] == []


@pytest.mark.parametrize("topic", PRESENT)
def test_rows_are_well_formed(topic: str) -> None:
    for row in problems(topic):
        name = row["task_id"]
        # The weaker judging is asked for by name, and only by it.
        assert row.get("judging", "together") == "together", name
        assert [key for key in row if key != "judging"] == KEYS, name
        assert all(isinstance(value, str) and value.strip() for value in row.values()), name
        prefix, _, slug = name.partition("/")
        assert prefix == "advanced_coding_sample", name
        assert slug.isidentifier(), name
        assert slug == slug.lower(), name
        assert row["topic"] == topic, name
        assert len(statement(row)) > 200, f"{name}: the prompt has no entry point with docstring"
        assert definition(row["solution"], row["entry_point"]) is not None, name
        assert definition(row["test"], "check") is not None, name
        assert row["solution"] not in row["prompt"], name


@pytest.mark.parametrize("topic", PRESENT)
def test_programs_use_no_outside_world(topic: str) -> None:
    allowed = set(sys.stdlib_module_names) - {"os", "pathlib", "socket", "subprocess", "time"}
    for row in problems(topic):
        for part in ("prompt", "solution", "test"):
            for node in ast.walk(ast.parse(row[part])):
                if isinstance(node, ast.Import):
                    imported = {alias.name.partition(".")[0] for alias in node.names}
                elif isinstance(node, ast.ImportFrom):
                    imported = {(node.module or "").partition(".")[0]}
                else:
                    continue
                assert imported <= allowed, f"{row['task_id']} {part}: {imported - allowed}"


@pytest.mark.parametrize("topic", PRESENT)
def test_references_pass_and_agree_with_the_examples(topic: str) -> None:
    examples = """
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
    rows, programs = problems(topic), []
    for row in rows:
        entry = {"code": row["solution"], "entry_point": row["entry_point"]}
        programs.append({**entry, "test": row["test"]})
        prompted = f"\ndef prompted(): {statement(row)!r}\n"
        programs.append({**entry, "code": row["solution"] + prompted, "test": examples})
    verdicts = judge(programs)
    failed = {
        f"{row['task_id']} {what}": verdict
        for (row, what), verdict in zip(
            itertools.product(rows, ("tests", "examples")), verdicts, strict=True
        )
        if verdict != "passed"
    }
    assert failed == {}


@pytest.mark.parametrize("topic", PRESENT)
def test_wrong_programs_fail(topic: str) -> None:
    rows = {row["task_id"]: row for row in problems(topic)}
    wrong = wrong_programs(topic)
    assert list(wrong) == list(rows)
    programs, labels = [], []
    for name, entries in wrong.items():
        assert len(entries) >= 3, f"{name}: fewer than three wrong programs"
        assert len({entry["program"] for entry in entries}) == len(entries), name
        for entry in entries:
            assert set(entry) == {"why", "program"}, name
            assert "\n" not in entry["why"], name
            entry_point = rows[name]["entry_point"]
            label = f"{name}: {entry['why']}"
            assert definition(entry["program"], entry_point) is not None, label
            labels.append(label)
            programs.append(
                {"code": entry["program"], "entry_point": entry_point, "test": rows[name]["test"]}
            )
    # A NameError is a slip of the pen, not the mistake that is named.
    slips = ("passed", "NameError", "SyntaxError", "ImportError", "ModuleNotFoundError")
    verdicts = dict(zip(labels, judge(programs), strict=True))
    assert {label: v for label, v in verdicts.items() if v.startswith(slips)} == {}


def test_no_two_references_are_alike() -> None:
    rows = [row for topic in PRESENT for row in problems(topic)]
    shapes = {row["task_id"]: shape(row["solution"]) for row in rows}
    alike = []
    for (a, left), (b, right) in itertools.combinations(shapes.items(), 2):
        matcher = difflib.SequenceMatcher(None, left, right, autojunk=False)
        if matcher.real_quick_ratio() >= SIMILAR and matcher.quick_ratio() >= SIMILAR:
            ratio = matcher.ratio()
            if ratio >= SIMILAR:
                alike.append((a, b, round(ratio, 2)))
    assert alike == []


def test_a_renamed_copy_counts_as_alike() -> None:
    row = problems(PRESENT[0])[0]
    renamed = row["solution"].replace(row["entry_point"], "other").replace("1", "2")
    assert difflib.SequenceMatcher(None, shape(row["solution"]), shape(renamed)).ratio() >= SIMILAR


def test_the_judge_sees_failures() -> None:
    test = "def check(candidate):\n    assert candidate(1) == 2\n"
    codes = {
        "def f(x): return x + 1": "passed",
        "def f(x): return x": "AssertionError",
        "def f(x): raise SystemExit(0)": "SystemExit: 0",
        "import os\ndef f(x): os._exit(0)": "died without a verdict",
        "def f(x): return bytearray(1 << 33)": "MemoryError",
    }
    programs = [{"code": code, "entry_point": "f", "test": test} for code in codes]
    assert judge(programs) == list(codes.values())
