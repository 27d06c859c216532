"""Functions whose tests are a list of asserts, as MBPP's: which function, which judging, which verdict."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from snakeval import tasks
from snakeval.errors import SourceError
from snakeval.records import Sample
from snakeval.tasks import Attempt, Judgement

TASK = tasks.get("code_generation")
ROOT = Path(__file__).parents[2]
DATA = ROOT.parent / "shared" / "data"
FIELDS = {
    "id": "task_id",
    "prompt": "text",
    "asserts": "test_list",
    "setup": "test_setup_code",
    "reference": "code",
}
SCORING = {"time_limit": {"floor_s": 1.0, "factor": 10.0, "ceiling_s": 20.0}, "memory_mb": 1024}


def row(**changes: Any) -> dict[str, Any]:
    base = {
        "task_id": 11,
        "text": "Write a function to double a number.",
        "code": "def twice(n):\r\n    return 2 * n\r\n",
        "test_list": ["assert twice(1) == 2", "assert twice(-3) == -6"],
        "test_setup_code": "",
    }
    return base | changes


def sample(**changes: Any) -> Sample:
    return TASK.normalise(row(**changes), FIELDS, "toy.jsonl, line 4")


def judged(problem: Sample, text: str, continuation: bool = False) -> Judgement:
    [judgement] = TASK.judge([Attempt(problem, text, continuation)], SCORING, {}).judgements
    return judgement


def test_a_row_becomes_a_sample() -> None:
    found = sample()
    assert found["id"] == "11"
    assert found["inputs"] == {
        "prompt": "Write a function to double a number.",
        "entry_point": "twice",
        "asserts": "assert twice(1) == 2\nassert twice(-3) == -6",
    }
    assert found["target"] == {"solution": row()["code"]}
    assert found["metadata"] == {
        "tests": "def check(candidate):\n    twice = candidate\n"
        "    assert twice(1) == 2\n    assert twice(-3) == -6\n",
        "entry_point": "twice",
        "prompt": "",
    }


@pytest.mark.parametrize(
    ("asserts", "setup", "code", "name"),
    [
        (["assert f(1)", "assert set(f(2)) == set([2])"], "", "", "f"),
        (["assert set(f(2)) == set([2])"], "", "", "f"),
        (["assert math.isclose(f(1), 2)"], "import math", "", "f"),
        (["assert sum(1, 2) == 3"], "", "def sum(a, b): return a + b", "sum"),
        (["assert f(g(1)) == 2"], "", "def g(x): return x\ndef f(x): return 2", "f"),
        (["assert f(helper(1)) == 2"], "def helper(x): return x", "", "f"),
        (["assert f(1) == g(1)", "assert f(2) == 2"], "", "", "f"),
        (["assert f(1) == g(1)"], "from tools import g", "", "f"),
    ],
)
def test_the_asserts_tell_the_function(
    asserts: list[str], setup: str, code: str, name: str
) -> None:
    found = sample(test_list=asserts, test_setup_code=setup, code=code)
    assert found["metadata"]["entry_point"] == name


@pytest.mark.parametrize(
    ("asserts", "setup", "together"),
    [
        (["assert twice(Node(1)) == 2"], "", True),
        (["assert twice(root) == 2"], "root = Node(1)\r\nroot.left = Node(2)", True),
        (["assert twice(TABLE) == 2"], "", True),
        (["assert twice(root) == 2"], "class Node: pass\nroot = Node()", False),
        (["assert all(twice(x) == 2 * x for x in range(3))"], "", False),
        (["assert twice(1) == math.floor(2.5)"], "import math", False),
        (["assert sorted([1], key=lambda v: -v) == [1] or twice(1)"], "", False),
    ],
)
def test_tests_that_need_the_programs_own_names_are_judged_together(
    asserts: list[str], setup: str, together: bool
) -> None:
    found = sample(test_list=asserts, test_setup_code=setup)
    assert found["metadata"].get("judging") == ("together" if together else None)


def test_setup_may_be_a_list_and_an_entry_point_a_column() -> None:
    fields = FIELDS | {"setup": "test_imports", "entry_point": "name"}
    changed = row(test_imports=["import math", "import re"], name="twice")
    found = TASK.normalise(changed, fields, "toy")
    assert found["metadata"]["tests"].startswith(
        "import math\nimport re\n\n\ndef check(candidate):\n"
    )
    assert TASK.missing_roles({"id": "a", "prompt": "b", "asserts": "c"}) == []
    assert TASK.missing_roles({"id": "a", "prompt": "b"}) == ["entry_point", "tests"]


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({"test_list": "assert twice(1)"}, ["field asserts", "str", "a list of texts"]),
        ({"test_list": []}, ["field asserts", "at least one"]),
        ({"test_list": ["assert twice(1)", 3]}, ["field asserts", "int 3", "text in the list"]),
        ({"test_list": ["assert twice(1"]}, ["field asserts", "Python source"]),
        ({"test_list": ["print(twice(1))"]}, ["field asserts", "one assert statement"]),
        ({"test_list": ["assert twice(1)\nimport os"]}, ["field asserts", "one assert"]),
        ({"test_list": ["assert 1 == 1"]}, ["field asserts", "asserts that call one function"]),
        ({"test_list": ["assert " + "(" * 5000]}, ["field asserts", "Python source"]),
        ({"test_setup_code": 7}, ["field setup", "int 7", "a list of texts"]),
        ({"test_setup_code": "import"}, ["field setup", "Python source"]),
        ({"code": None}, ["field reference", "NoneType"]),
        ({"text": ["a"]}, ["field prompt", "list"]),
    ],
)
def test_a_bad_row_is_named(changes: dict[str, Any], parts: list[str]) -> None:
    with pytest.raises(SourceError) as caught:
        sample(**changes)
    message = str(caught.value)
    assert message.startswith("toy.jsonl, line 4, field ")
    assert "\n" not in message
    assert len(message) < 600
    assert [part for part in parts if part not in message] == []


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        ("```python\ndef twice(n):\n    return n + n\n```", "passed"),
        ("def twice(n):\r\n    return n + n\r\n[DONE]\r\n", "passed"),
        ("```python\ndef twice(n):\n    return 2\n```", "wrong_answer"),
        ("```python\ndef twice(n):\n    return 1 / 0\n```", "exception"),
        ("```python\ndef twice(n):\n    while True: pass\n```", "timeout"),
        ("```python\ndef double(n):\n    return n + n\n```", "entry_point_missing"),
        ("def twice(n) return", "syntax"),
        (
            "```python\nclass E(int):\n    def __eq__(self, other): return True\n"
            "def twice(n):\n    return E(0)\n```",
            "wrong_answer",
        ),
    ],
)
def test_verdicts(answer: str, kind: str) -> None:
    for continuation in (False, True):  # the prompt is prose: nothing is continued
        assert judged(sample(), answer, continuation).detail["class"] == kind


def test_a_function_called_check_is_not_taken_for_the_tests() -> None:
    problem = sample(
        code="def check(n):\n    return n % 2 == 0\n",
        test_list=["assert check(2) == True", "assert check(3) == False"],
    )
    assert judged(problem, problem["target"]["solution"]).value == 1
    assert judged(problem, "def check(n):\n    return True\n").value == 0


def test_an_assert_of_several_lines_keeps_its_text() -> None:
    problem = sample(test_list=['assert twice("""a\nb""") == "a\\nba\\nb"'])
    assert judged(problem, "def twice(n):\n    return n + n\n").value == 1


NODES: dict[str, Any] = {
    "code": "class Node:\n    def __init__(self, value): self.value = value\n"
    "def total(root):\n    return root.value\n",
    "test_list": ["assert total(root) == 3"],
    "test_setup_code": "root = Node(3)",
}


def test_tests_with_the_programs_class_run_with_it_and_say_so() -> None:
    problem = sample(**NODES)
    right = judged(problem, problem["target"]["solution"])
    assert (right.value, right.detail["judged"]) == (1, "together")
    assert judged(problem, NODES["code"].replace("root.value", "0")).value == 0


def test_a_program_that_keeps_tests_from_loading_is_wrong_and_not_unscored() -> None:
    without_class = judged(sample(**NODES), "def total(root):\n    return 3\n")
    assert (without_class.value, without_class.detail["class"]) == (0, "exception")
    assert "Node" in without_class.detail["message"]
    broken = sample(**(NODES | {"test_setup_code": "root = Tree(3)"}))
    assert judged(broken, NODES["code"]).value is None


@pytest.mark.parametrize(("name", "together"), [("mbpp", ["367"]), ("mbpp_sanitized", [])], ids=str)
def test_real_rows_are_read_and_their_references_pass(name: str, together: list[str]) -> None:
    path = DATA / f"{name}.jsonl"
    if not path.exists():
        pytest.skip(f"needs ../shared/data/{path.name}")
    entry = yaml.safe_load((ROOT / "config" / "datasets.yaml").read_text(encoding="utf-8"))[name]
    with path.open(encoding="utf-8") as file:
        samples = [TASK.normalise(json.loads(line), entry["fields"], name) for line in file]
    assert [s["id"] for s in samples if s["metadata"].get("judging")] == together
    right = [Attempt(s, s["target"]["solution"], False) for s in samples]
    found = TASK.judge(right, entry["scoring"], {})
    assert [
        (s["id"], j.detail) for s, j in zip(samples, found.judgements, strict=True) if j.value != 1
    ] == []
    assert found.sandbox is not None
    assert found.sandbox["judged_together"] == len(together)
