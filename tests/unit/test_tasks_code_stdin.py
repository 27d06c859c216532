"""Programs with inputs and outputs, as CodeContests's and APPS's, and APPS's calls."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from snakeval import tasks
from snakeval.errors import SourceError
from snakeval.records import Sample, canonical_json
from snakeval.sandbox import Check, InputOutput
from snakeval.tasks import Attempt, Judgement
from snakeval.tasks._calls import accepted, check_calls, same

TASK: Any = tasks.get("code_stdin")
ROOT = Path(__file__).parents[2]
DATA = ROOT.parent / "shared" / "data"
CONTEST = {
    "id": "name",
    "prompt": "description",
    "public_tests": "public_tests",
    "private_tests": "private_tests",
    "generated_tests": "generated_tests",
    "references": "solutions",
    "time_limit": "time_limit",
    "memory_limit": "memory_limit_bytes",
}
APPS = {
    "id": "problem_id",
    "prompt": "question",
    "input_output": "input_output",
    "starter_code": "starter_code",
    "references": "solutions",
}
SCORING = {
    "time_limit": {"floor_s": 1.0, "factor": 10.0, "ceiling_s": 20.0},
    "problem_time_factor": 5.0,
    "memory_mb": 512,
}
NOTHING: dict[str, list[str]] = {"input": [], "output": []}
HALVE = "n = int(input())\nprint(n / 2)\n"


def contest(**changes: Any) -> dict[str, Any]:
    base = {
        "name": "1_A. Halve",
        "description": "Print half of n.",
        "public_tests": {"input": ["3\n"], "output": ["1.5\n"]},
        "private_tests": {"input": ["4\n"], "output": ["2 \r\n"]},
        "generated_tests": NOTHING,
        "solutions": {
            "language": [2, 1, 3, 3],
            "solution": ["int main(){}", "print(raw_input())", "print 1", HALVE],
        },
        "time_limit": None,
        "memory_limit_bytes": 0,
    }
    return base | changes


def apps(tests: Any = None, **changes: Any) -> dict[str, Any]:
    base = {
        "problem_id": 4184,
        "question": "Print half of n.",
        "input_output": tests if isinstance(tests, str) else json.dumps(tests),
        "starter_code": "",
        "solutions": "",
    }
    return base | changes


def read(row: dict[str, Any], fields: dict[str, str] = CONTEST) -> Sample:
    found: Sample = TASK.normalise(row, fields, "toy.jsonl, line 4")
    return found


def judged(problem: Sample, text: str) -> Judgement:
    found: Judgement = TASK.judge([Attempt(problem, text, False)], SCORING, {}).judgements[0]
    return found


def fenced(code: str) -> str:
    return f"Here it is:\n```python\n{code}```\n"


# --- rows -------------------------------------------------------------------------------------------


def test_a_contests_row_becomes_a_sample() -> None:
    found = read(contest(time_limit={"seconds": 2, "nanos": 500_000_000}, memory_limit_bytes=10**9))
    assert found["id"] == "1_A. Halve"
    assert found["inputs"] == {"prompt": "Print half of n.", "starter_code": "", "entry_point": ""}
    assert found["target"] == {"solution": HALVE}
    assert found["metadata"] == {
        "cases": [["3\n", ["1.5\n"]], ["4\n", ["2 \r\n"]]],
        "time_limit_s": 2.5,
        "memory_limit_mb": 954,
    }


def test_several_outputs_of_one_input_are_each_right() -> None:
    tests = {"input": ["3\n", "3\n", "3\n"], "output": ["1\n", "2\n", "1\n"]}
    problem = read(contest(public_tests=tests, private_tests=NOTHING))
    assert problem["metadata"]["cases"] == [["3\n", ["1\n", "2\n"]]]
    assert [judged(problem, fenced(f"print({n})\n")).value for n in (1, 2, 3)] == [1, 1, 0]


def test_limits_are_the_problems_own_where_it_has_some() -> None:
    plain = TASK.program(read(contest()), HALVE, SCORING)
    assert (plain.limits.memory_mb, plain.limits.time.floor_s) == (512, 1)
    own = contest(time_limit={"seconds": 8, "nanos": 0}, memory_limit_bytes=2**31)
    limits = TASK.program(read(own), HALVE, SCORING).limits
    assert (limits.memory_mb, limits.time.floor_s, limits.time.ceiling_s) == (2048, 40, 40)
    small = contest(time_limit={"seconds": 0, "nanos": 1}, memory_limit_bytes=2**20)
    limits = TASK.program(read(small), HALVE, SCORING).limits
    assert (limits.memory_mb, limits.time.floor_s) == (1024, 1)  # room for the interpreter


def test_a_row_of_apps_becomes_a_sample() -> None:
    tests = {"inputs": ["3\n", ["4", "5"]], "outputs": ["1.5\n", ["2", "2.5"]]}
    found = read(apps(tests, solutions=json.dumps(["print 1", HALVE])), APPS)
    assert found["id"] == "4184"
    assert found["metadata"] == {"cases": [["3\n", ["1.5\n"]], ["4\n5", ["2\n2.5"]]]}
    assert found["target"] == {"solution": HALVE}
    assert isinstance(TASK.program(found, HALVE, SCORING).test, InputOutput)


def test_a_call_based_row_of_apps_becomes_a_sample() -> None:
    text = '{"fn_name": "half", "inputs": [[3]], "outputs": [[1.5]]}'
    found = read(apps(text, starter_code="def half(n):\n\t"), APPS)
    assert found["inputs"] == {
        "prompt": "Print half of n.",
        "starter_code": "def half(n):\n\t",
        "entry_point": "half",
    }
    assert found["metadata"] == {"entry_point": "half", "calls": text}
    assert isinstance(TASK.program(found, HALVE, SCORING).test, Check)


@pytest.mark.parametrize(
    ("tests", "reason"),
    [
        ("", "without tests"),
        ("{}", "no lists"),
        ({"inputs": [], "outputs": []}, "without tests"),
        ({"inputs": [], "outputs": [], "fn_name": "f"}, "without tests"),
        ({"inputs": ["1"], "outputs": []}, "1 inputs and 0 outputs"),
        ({"inputs": [1], "outputs": ["1"]}, "no texts"),
        ({"inputs": ["1"], "outputs": [None]}, "no texts"),
        ({"inputs": ["1"], "outputs": [[1]], "fn_name": "f"}, "no lists of arguments"),
        ({"inputs": [[1]], "outputs": [[1]], "fn_name": "f.g"}, "no name"),
        ({"inputs": [[1]], "outputs": [[1]], "fn_name": 3}, "no name"),
    ],
)
def test_a_row_that_cannot_be_judged_is_unscored_with_its_reason(tests: Any, reason: str) -> None:
    problem = read(apps(tests), APPS)
    found = judged(problem, fenced(HALVE))
    assert (found.value, found.answer, found.detail["class"]) == (None, None, "judge_failed")
    assert reason in found.detail["message"]


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({"public_tests": None, "private_tests": "x"}, ["field private_tests", "str 'x'"]),
        ({"public_tests": {"input": ["1"]}}, ["field public_tests", "input and output"]),
        ({"public_tests": {"input": ["1"], "output": []}}, ["1 inputs and 0 outputs"]),
        ({"public_tests": {"input": "1", "output": "1"}}, ["field public_tests", "list"]),
        ({"public_tests": {"input": [1], "output": ["1"]}}, ["field public_tests", "int 1"]),
        ({"time_limit": "2 s"}, ["field time_limit", "seconds and nanos"]),
        ({"time_limit": {"seconds": "2"}}, ["field time_limit"]),
        ({"time_limit": True}, ["field time_limit", "bool"]),
        ({"memory_limit_bytes": "256 MB"}, ["field memory_limit", "a number of bytes"]),
        ({"solutions": 3}, ["field references", "int 3"]),
        ({"solutions": {"language": 3}}, ["field references", "language and solution"]),
        ({"solutions": {"language": [3], "solution": [3]}}, ["field references", "int 3"]),
        ({"description": None}, ["field prompt", "NoneType"]),
        ({"name": ""}, ["field id", "an empty text"]),
    ],
)
def test_a_bad_contests_row_is_named(changes: dict[str, Any], parts: list[str]) -> None:
    with pytest.raises(SourceError) as caught:
        read(contest(**changes))
    message = str(caught.value)
    assert message.startswith("toy.jsonl, line 4, field ")
    assert "\n" not in message
    assert [part for part in parts if part not in message] == []


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"input_output": "{"}, "field input_output"),
        ({"input_output": "[1]"}, "field input_output"),
        ({"input_output": "[" * 100_000}, "field input_output"),
        ({"input_output": None}, "field input_output"),
        ({"solutions": "{"}, "field references"),
        ({"solutions": "[3]"}, "field references"),
        ({"starter_code": None}, "field starter_code"),
    ],
)
def test_a_bad_row_of_apps_is_named(changes: dict[str, Any], part: str) -> None:
    with pytest.raises(SourceError) as caught:
        read(apps({"inputs": [], "outputs": []}) | changes, APPS)
    message = str(caught.value)
    assert message.startswith(f"toy.jsonl, line 4, {part}")
    assert "\n" not in message
    assert len(message) < 600


def test_some_tests_must_be_mapped() -> None:
    assert TASK.missing_roles({"id": "a", "prompt": "b"}) == ["input_output"]
    assert TASK.missing_roles({"id": "a", "prompt": "b", "private_tests": "c"}) == []


# --- programs ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (HALVE, "passed"),
        ("import sys\nfor line in sys.stdin:\n    print(int(line) / 2)\n", "passed"),
        (
            "def main():\n    print(int(input()) / 2)\n\nif __name__ == '__main__':\n    main()\n",
            "passed",
        ),
        ("print('%.9f' % (int(input()) / 2), end='')\n", "passed"),
        ("print(int(input()) / 2, end=' \\r\\n\\n')\n", "passed"),
        ("print(int(input()) // 2)\n", "wrong_answer"),
        ("print(int(input()) / 2, 'half')\n", "wrong_answer"),
        ("print(int(input()) / 2)\nprint(1)\n", "wrong_answer"),
        ("print(1 // (int(input()) - 4), 1.5)\n", "wrong_answer"),
        ("n = int(input())\nprint(1 / (n - 4) and n / 2)\n", "exception"),
        ("print(int(input()) / 2)\nraise SystemExit(3)\n", "exception"),
        ("input()\nwhile True: pass\n", "timeout"),
        ("input()\nx = [0] * 10**9\nprint(1)\n", "memory"),
        ("input()\nimport numpy\n", "exception"),
        ("def solve(n):\n    return n / 2\n", "entry_point_missing"),
        ("print(int(input()) / 2\n", "syntax"),
    ],
)
def test_verdicts(code: str, kind: str) -> None:
    found = judged(read(contest()), fenced(code))
    assert found.detail["class"] == kind
    assert found.value == (kind == "passed")
    assert "judged" not in found.detail


def test_the_slowest_case_is_timed_beside_all_together() -> None:
    found = judged(read(contest()), fenced(HALVE))
    assert found.seconds is not None
    assert found.slowest_s is not None
    assert 0 < found.slowest_s < found.seconds


def test_the_first_wrong_case_is_told() -> None:
    found = judged(read(contest()), fenced("print(1.5 + 0 * int(input()))\n"))
    assert found.detail["message"] == "test 2 of 2: line 1 is '1.5', expected '2'"


# --- calls ------------------------------------------------------------------------------------------

HALF = {"fn_name": "half", "inputs": [[3], [-4]], "outputs": [[1.5], -2]}


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("def half(n):\n    return n / 2\n", "passed"),
        (
            "class Solution:\n    def half(self, n: int) -> Optional[float]:\n        return n / 2\n",
            "passed",
        ),
        ("def half(n):\n    return ceil(n) / 2 + 1e-9\n", "passed"),
        (
            "from __future__ import annotations\ndef half(n: List[int]):\n    return n / 2\n",
            "passed",
        ),
        ("def half(n):\n    return n // 2\n", "wrong_answer"),
        ("class Solution:\n    def half(self, n):\n        return str(n / 2)\n", "wrong_answer"),
        ("def half(n):\n    return n / 0\n", "exception"),
        ("def half(n):\n    while n: pass\n", "timeout"),
        ("def halve(n):\n    return n / 2\n", "entry_point_missing"),
        ("class Solution:\n    def halve(self, n):\n        return n / 2\n", "entry_point_missing"),
        (
            "class Eq(float):\n    def __eq__(self, o): return True\ndef half(n):\n    return Eq(7)\n",
            "wrong_answer",
        ),
    ],
)
def test_calls(code: str, kind: str) -> None:
    found = judged(read(apps(HALF), APPS), fenced(code))
    assert found.detail["class"] == kind
    assert "judged" not in found.detail


def test_a_reference_with_a_method_sets_the_time_limit() -> None:
    code = "class Solution:\n    def half(self, n):\n        return Optional and n / 2\n"
    program = TASK.program(read(apps(HALF, solutions=json.dumps([code])), APPS), code, SCORING)
    names: dict[str, Any] = {}
    exec(program.reference, names)
    assert names["half"](3) == 1.5


def test_whole_numbers_of_any_length_are_compared() -> None:
    many = "1" + "0" * 6000
    text = f'{{"fn_name": "f", "inputs": [[{many}]], "outputs": [{many}1]}}'
    problem = read(apps(text), APPS)
    assert canonical_json(problem)  # can be written to a file
    assert judged(problem, fenced("def f(n):\n    return n * 10 + 1\n")).value == 1
    assert (
        judged(problem, fenced("def f(n):\n    return n * 10\n")).detail["class"] == "wrong_answer"
    )


@pytest.mark.parametrize(
    ("got", "right", "equal"),
    [
        ((1, [2, (3,)]), [1, [2, [3]]], True),
        ([1, 2], [2, 1], False),
        ([1], [1, 1], False),
        ({"a": (1,)}, {"a": [1]}, True),
        ({"a": 1}, {"b": 1}, False),
        (0.1 + 0.2, 0.3, True),
        (1.0, 1, True),
        (1_000_000, 1_000_001, False),
        (1_000_000.0, 1_000_000.5, True),
        (0.6, 0.61, False),
        (10**400, 1.0, False),
        (float("nan"), 1.0, False),
        (True, 1, True),
        ("1", 1, False),
        (None, [], False),
        ({1}, [1], False),
    ],
)
def test_plain_values_are_compared(got: Any, right: Any, equal: bool) -> None:
    assert same(got, right) is equal


def test_a_result_may_stand_in_a_list_and_have_numbers_as_keys() -> None:
    assert list(accepted(5)) == [5]
    assert list(accepted([5])) == [[5], 5]
    assert list(accepted([5, 6])) == [[5, 6]]
    assert list(accepted([{"1": 2}])) == [[{"1": 2}], {"1": 2}, {1: 2}]
    assert list(accepted({"a": 2})) == [{"a": 2}, {"a": 2}]


def test_a_wrong_result_is_shown_in_short() -> None:
    with pytest.raises(AssertionError, match=r"^test 1 of 1: \[0, 0.*…, expected 7$"):
        check_calls(lambda: [0] * 10_000, '{"inputs": [[]], "outputs": [7]}')
    seen: list[Any] = []
    check_calls(seen.append, '{"inputs": [[{"1": 2}]], "outputs": [null]}')
    assert seen == [{1: 2}]


# --- real rows --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "entry", "rows", "calls"),
    [
        ("codecontests", "codecontests", 122, 0),
        ("codecontests.test", "codecontests", 5, 0),
        ("apps", "apps", 43, 19),
        ("apps.train", "apps", 5, 2),
    ],
)
def test_real_rows_are_read(name: str, entry: str, rows: int, calls: int) -> None:
    path = DATA / f"{name}.jsonl"
    if not path.exists():
        pytest.skip(f"needs ../shared/data/{path.name}")
    registry = yaml.safe_load((ROOT / "config" / "datasets.yaml").read_text(encoding="utf-8"))
    with path.open(encoding="utf-8") as file:
        samples = [read(json.loads(line), registry[entry]["fields"]) for line in file]
    assert len(samples) == rows
    assert [s["id"] for s in samples if "unjudged" in s["metadata"]] == []
    assert sum("entry_point" in s["metadata"] for s in samples) == calls
    if name == "apps.train":
        right = [Attempt(s, s["target"]["solution"], False) for s in samples]
        found = TASK.judge(right, registry[entry]["scoring"], {}).judgements
        assert [judgement.value for judgement in found] == [1] * rows
