"""Functions with unittest classes and libraries, as BigCodeBench's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from snakeval import tasks
from snakeval.errors import SandboxError, SourceError
from snakeval.records import Sample
from snakeval.tasks import Attempt, Judgement

TASK = tasks.get("code_unittest")
ROOT = Path(__file__).parents[2]
DATA = ROOT.parent / "shared" / "data"
FIELDS = {
    "id": "task_id",
    "prompt": "complete_prompt",
    "instruction": "instruct_prompt",
    "entry_point": "entry_point",
    "tests": "test",
    "reference_body": "canonical_solution",
    "libraries": "libs",
}
SCORING = {"time_limit": {"floor_s": 1.5, "factor": 10.0, "ceiling_s": 20.0}, "memory_mb": 1024}
PROMPT = 'import toylib\nimport os\n\n\ndef task_func(n):\n    """Add what the library says."""\n'
TESTS = """\
import unittest
from unittest.mock import patch


class TestCases(unittest.TestCase):
    def test_adds(self):
        self.assertEqual(task_func(1), 6)

    @patch("toylib.amount", return_value=1)
    def test_with_a_mock(self, amount):
        self.assertEqual(task_func(1), 2)
        amount.assert_called_once()
"""
RIGHT = "    return n + toylib.amount()\n"


def row(**changes: Any) -> dict[str, Any]:
    base = {
        "task_id": "BigCodeBench/0",
        "complete_prompt": PROMPT,
        "instruct_prompt": "Add what the library says.",
        "entry_point": "task_func",
        "test": TESTS,
        "canonical_solution": RIGHT,
        "libs": "['os', 'toylib.parts']",
    }
    return base | changes


def sample(**changes: Any) -> Sample:
    return TASK.normalise(row(**changes), FIELDS, "toy.jsonl, line 4")


@pytest.fixture
def libraries(tmp_path: Path) -> str:
    (tmp_path / "packages").mkdir()
    (tmp_path / "packages" / "toylib.py").write_text("def amount():\n    return 5\n")
    return str(tmp_path / "packages")


def judged(
    problem: Sample, text: str, libraries: str | None, continuation: bool = False
) -> Judgement:
    settings = {"libraries": libraries}
    [judgement] = TASK.judge([Attempt(problem, text, continuation)], SCORING, settings).judgements
    return judgement


def fenced(body: str) -> str:
    return f"```python\n{PROMPT}{body}```\n"


def test_a_row_becomes_a_sample() -> None:
    found = sample()
    assert found["id"] == "BigCodeBench/0"
    assert found["inputs"] == {
        "prompt": PROMPT,
        "instruction": "Add what the library says.",
        "entry_point": "task_func",
    }
    assert found["target"] == {"solution": PROMPT + RIGHT}
    assert found["metadata"] == {
        "tests": TESTS,
        "entry_point": "task_func",
        "prompt": PROMPT,
        "libraries": ["os", "toylib", "unittest"],
    }


@pytest.mark.parametrize(
    ("libs", "tests", "names"),
    [
        ("['numpy', 'sklearn.svm']", "", ["numpy", "os", "sklearn", "toylib"]),
        (["numpy"], "", ["numpy", "os", "toylib"]),
        ("[]", "def f():\n    import pandas.io\n", ["os", "pandas", "toylib"]),
        ("[]", "from PIL import Image\nfrom . import a\n", ["PIL", "os", "toylib"]),
        (None, "not python", ["os", "toylib"]),
    ],
)
def test_what_a_problem_needs_comes_from_its_row(libs: Any, tests: str, names: list[str]) -> None:
    assert sample(libs=libs, test=tests)["metadata"]["libraries"] == names


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({"libs": "numpy"}, ["field libraries", "a list of modules"]),
        ({"libs": "[f()]"}, ["field libraries", "a list of modules"]),
        ({"libs": "[" * 5000}, ["field libraries", "a list of modules"]),
        ({"libs": "['a b']"}, ["field libraries", "names of modules"]),
        ({"libs": 3}, ["field libraries", "a list of texts"]),
        ({"libs": [3]}, ["field libraries", "int 3"]),
        ({"test": None}, ["field tests", "NoneType"]),
        ({"entry_point": "a b"}, ["field entry_point", "name of a Python function"]),
        ({"instruct_prompt": 1}, ["field instruction", "int 1"]),
    ],
)
def test_a_bad_row_is_named(changes: dict[str, Any], parts: list[str]) -> None:
    with pytest.raises(SourceError) as caught:
        sample(**changes)
    message = str(caught.value)
    assert message.startswith("toy.jsonl, line 4, field ")
    assert "\n" not in message
    assert [part for part in parts if part not in message] == []


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (RIGHT, "passed"),
        ("    return n + 5\n", "wrong_answer"),
        ("    return n + toylib.nothing()\n", "exception"),
        ("    while True: pass\n", "timeout"),
        ("    os._exit(0)\n", "exception"),
        ("    import absent_library\n    return n + toylib.amount()\n", "exception"),
    ],
)
def test_verdicts(body: str, kind: str, libraries: str) -> None:
    for text, continuation in ((fenced(body), False), (body, True)):
        found = judged(sample(), text, libraries, continuation)
        assert found.detail["class"] == kind
        assert found.detail["judged"] == "together"
        assert found.value == (kind == "passed")


def test_the_prompts_imports_are_given(libraries: str) -> None:
    text = "```python\ndef task_func(n):\n    return n + toylib.amount()\n```"
    assert judged(sample(), text, libraries).value == 1


@pytest.mark.parametrize("text", [fenced(RIGHT), fenced("    return 0\n")], ids=["right", "wrong"])
def test_a_missing_library_is_unscored_and_says_what_to_do(text: str, libraries: str) -> None:
    for problem, folder in ((sample(), None), (sample(libs="['absent_library']"), libraries)):
        found = judged(problem, text, folder)
        assert (found.value, found.detail["class"]) == (None, "judge_failed")
        assert ("toylib" if folder is None else "absent_library") in found.detail["message"]
        assert "make libraries" in found.detail["message"]
        assert "set sandbox: {libraries: .libraries}" in found.detail["message"]


@pytest.mark.parametrize(
    "start", ["import absent_library\n", "raise ImportError('no toylib')\n", "unittest = None\n"]
)
def test_what_an_answer_imports_by_itself_never_leaves_it_unscored(
    start: str, libraries: str
) -> None:
    text = f"```python\n{start}{PROMPT}    return 0\n```"
    assert judged(sample(), text, libraries).value == 0


def test_a_program_that_keeps_tests_from_loading_is_wrong_and_not_unscored(libraries: str) -> None:
    tests = f"EXPECTED = toylib.amount()\n{TESTS}"
    problem = sample(test=tests)
    assert judged(problem, fenced(RIGHT), libraries).value == 1
    found = judged(problem, fenced(f"{RIGHT}\n\ndel toylib\n"), libraries)
    assert (found.value, found.detail["class"]) == (0, "exception")


def test_where_the_own_solution_fails_here_nothing_is_judged(libraries: str) -> None:
    problem = sample(canonical_solution="    open('/no/corpus')\n")
    found = judged(problem, fenced("    return 0\n"), libraries)
    assert (found.value, found.detail["class"]) == (None, "judge_failed")
    assert "corpus" in found.detail["message"]


def test_a_folder_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(
        SandboxError, match=r"sandbox.libraries: got .*nowhere.*Run: make libraries"
    ):
        judged(sample(), fenced(RIGHT), str(tmp_path / "nowhere"))


@pytest.mark.parametrize("name", ["bigcodebench", "bigcodebench_hard"])
def test_real_rows_are_read(name: str) -> None:
    path = DATA / f"{name}.jsonl"
    if not path.exists():
        pytest.skip(f"needs ../shared/data/{path.name}")
    entry = yaml.safe_load((ROOT / "config" / "datasets.yaml").read_text(encoding="utf-8"))[name]
    with path.open(encoding="utf-8") as file:
        samples = [TASK.normalise(json.loads(line), entry["fields"], name) for line in file]
    needed = {library for s in samples for library in s["metadata"]["libraries"]}
    assert {"numpy", "pandas", "matplotlib", "sklearn", "unittest"} <= needed
    assert {s["metadata"]["entry_point"] for s in samples} == {"task_func"}
