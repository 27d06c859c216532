"""LiveCodeBench: tests of two kinds, packed as the authors pack them; made-up rows in their schema."""

from __future__ import annotations

import base64
import contextlib
import json
import pickle
import random
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from snakeval import tasks
from snakeval.errors import SourceError
from snakeval.prompts import templates
from snakeval.records import Sample, canonical_json
from snakeval.sandbox import Check, InputOutput
from snakeval.tasks import Attempt, Judgement, _packed

TASK: Any = tasks.get("code_live")
ENTRY = yaml.safe_load((Path(__file__).parents[2] / "config" / "datasets.yaml").read_text("utf-8"))[
    "livecodebench"
]
FIELDS = ENTRY["fields"]
SCORING = {
    "time_limit": {"floor_s": 1.5, "factor": 10.0, "ceiling_s": 6.0},
    "problem_time_factor": 5.0,
    "memory_mb": 512,
}
STARTER = (
    "class Solution:\n    def addAll(self, values: List[int], more: str) -> List[int]:\n        "
)


def packed(value: object, protocol: int = 4) -> str:
    return base64.b64encode(zlib.compress(pickle.dumps(value, protocol))).decode("ascii")


def cases(kind: str, *pairs: tuple[str, str]) -> str:
    return json.dumps([{"input": i, "output": o, "testtype": kind} for i, o in pairs])


def stdin_row(**changes: Any) -> dict[str, Any]:
    base = {
        "question_title": "Halve",
        "question_content": "Print half of n.",
        "platform": "atcoder",
        "question_id": "abc999_a",
        "contest_id": "abc999",
        "contest_date": "2025-03-01T00:00:00",
        "starter_code": "",
        "difficulty": "easy",
        "public_test_cases": cases("stdin", ("3\n", "1.5\n")),
        "private_test_cases": packed(cases("stdin", ("4\n", "2\n"), ("0\n", "0"))),
        "metadata": "{}",
    }
    return base | changes


def method_row(**changes: Any) -> dict[str, Any]:
    base = stdin_row(
        question_content="Return values and the number in more.",
        platform="leetcode",
        question_id="9999",
        starter_code=STARTER,
        public_test_cases=cases("functional", ('[1, 2]\n"3"', "[1, 2, 3]")),
        private_test_cases=packed(cases("functional", ('[]\n"7"', "[7]"), ('[0]\n"1"', "[0, 1]"))),
        metadata='{"func_name": "addAll"}',
    )
    return base | changes


def sample(row: dict[str, Any]) -> Sample:
    made: Sample = TASK.normalise(row, FIELDS, "x.jsonl, line 1")
    return made


def judge(problem: Sample, texts: Sequence[str], continuation: bool = False) -> list[Judgement]:
    attempts = [Attempt(problem, text, continuation) for text in texts]
    judgements: list[Judgement] = TASK.judge(attempts, SCORING, {}).judgements
    return judgements


def fenced(code: str) -> str:
    return f"Here it is:\n```python\n{code}\n```"


def test_samples_keep_the_tests_packed() -> None:
    row = method_row()
    assert canonical_json(sample(row)) == canonical_json(
        {
            "id": "9999",
            "inputs": {
                "prompt": "Return values and the number in more.",
                "starter_code": STARTER,
                "entry_point": "addAll",
            },
            "target": None,
            "metadata": {
                "public_tests": row["public_test_cases"],
                "private_tests": row["private_test_cases"],
                "entry_point": "addAll",
            },
        }
    )
    assert "entry_point" not in sample(stdin_row())["metadata"]
    assert TASK.gold(sample(row)) is None


def test_all_tests_are_there_when_they_are_needed() -> None:
    program = TASK.program(sample(stdin_row()), "pass", SCORING)
    assert isinstance(program.test, InputOutput)
    assert [(case.stdin, case.accepted) for case in program.test.cases] == [
        ("3\n", ("1.5\n",)),
        ("4\n", ("2\n",)),
        ("0\n", ("0",)),
    ]
    assert program.limits.time.floor_s == 1.5
    called = TASK.program(sample(method_row()), "pass", SCORING)
    assert isinstance(called.test, Check)
    assert called.limits.time.floor_s == 4.5  # three calls
    unpacked = stdin_row(private_test_cases=cases("stdin", ("4\n", "2\n"), ("0\n", "0")))
    assert TASK.program(sample(unpacked), "pass", SCORING) == program


@pytest.mark.parametrize(
    ("changes", "field", "got", "expected"),
    [
        ({"question_id": ""}, "id", "an empty text", "an id"),
        ({"question_content": None}, "prompt", "NoneType None", "text"),
        ({"starter_code": 1}, "starter_code", "int 1", "text"),
        ({"metadata": "{"}, "details", "str '{", "a JSON dict"),
        ({"metadata": "[]"}, "details", "list []", "a JSON dict"),
        ({"metadata": '{"func_name": "a b"}'}, "details", "str 'a b'", "the name of a function"),
        ({"public_test_cases": []}, "public_tests", "list []", "text"),
        ({"public_test_cases": "[1"}, "public_tests", 'str "[1 (Exp', "a JSON list"),
        (
            {"public_test_cases": "[1]"},
            "public_tests",
            "int 1",
            "a test with the texts input and output",
        ),
        (
            {"public_test_cases": '[{"input": "1", "output": 1}]'},
            "public_tests",
            "dict {'input': '1', 'output': 1}",
            "a test with the texts input and output",
        ),
        (
            {"public_test_cases": cases("functional", ("1", "1"))},
            "public_tests",
            "a test of type 'functional'",
            "one of type 'stdin'",
        ),
        ({"private_test_cases": "{}"}, "private_tests", "no base64", "a JSON list of tests"),
        ({"private_test_cases": "QUJD"}, "private_tests", "no zlib data", "a JSON list of tests"),
        ({"private_test_cases": packed("{}")}, "private_tests", "dict {}", "a JSON list"),
        (
            {"private_test_cases": packed([{"input": "1"}])},
            "private_tests",
            "a pickle with the instruction EMPTY_LIST",
            "a JSON list of tests",
        ),
    ],
)
def test_a_wrong_column_is_named(
    changes: dict[str, Any], field: str, got: str, expected: str
) -> None:
    with pytest.raises(SourceError) as raised:
        sample(stdin_row(**changes))
    assert raised.value.where == f"x.jsonl, line 1, field {field}"
    assert got in raised.value.got
    assert raised.value.expected.startswith(expected)


class Runs:
    """Unpickling it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.path,))


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_nothing_in_a_pickle_is_run(protocol: int, tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    text = packed(Runs(marker), protocol)
    pickle.loads(zlib.decompress(base64.b64decode(text)))
    assert marker.exists()
    marker.unlink()
    with pytest.raises(SourceError, match="a pickle with the instruction"):
        sample(stdin_row(private_test_cases=text))
    assert not marker.exists()


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("text", ["", "[]", "é\n\u2028\U0001f600", "x" * 70_000])
def test_a_text_comes_out_as_it_went_in(text: str, protocol: int) -> None:
    assert _packed.unpack(packed(text, protocol)) == text


@pytest.mark.parametrize(
    "value", [None, 1, 1.5, b"[]", ["[]"], ("[]", "[]"), {"a": "[]"}, {"a"}, [], "a".__add__]
)
def test_anything_but_a_text_is_refused(value: object) -> None:
    with pytest.raises(_packed.NotPacked):
        _packed.unpack(packed(value))


def test_damaged_and_giant_data_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    data = zlib.compress(pickle.dumps("[" + "0," * 50_000 + "0]"))
    whole = base64.b64encode(data).decode("ascii")
    assert len(_packed.unpack(whole)) == 100_003
    with pytest.raises(_packed.NotPacked, match="ends early"):
        _packed.unpack(base64.b64encode(data[:-9]).decode("ascii"))
    monkeypatch.setattr(_packed, "MOST_BYTES", 50_000)
    with pytest.raises(_packed.NotPacked, match="more than 50,000 bytes"):
        _packed.unpack(whole)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_text_or_refused(data: bytes) -> None:
    text = None
    with contextlib.suppress(_packed.NotPacked):
        text = _packed.unpack(base64.b64encode(zlib.compress(data)).decode("ascii"))
    assert text is None or text == pickle.loads(data)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (
            stdin_row(public_test_cases="[]", private_test_cases=packed("[]")),
            "the problem comes without tests",
        ),
        (
            method_row(private_test_cases=packed(cases("functional", ("[1", "[1]")))),
            "the problem's arguments or results are no JSON",
        ),
        (
            method_row(public_test_cases=cases("functional", ("[1]\n", "[1]"))),
            "the problem's arguments or results are no JSON",
        ),
    ],
)
def test_what_cannot_be_judged_is_unscored(row: dict[str, Any], reason: str) -> None:
    (judgement,) = judge(sample(row), [fenced("print(1)")])
    assert (judgement.value, judgement.detail["message"]) == (None, reason)


def test_programs_for_standard_input() -> None:
    programs = {
        "print(int(input()) / 2)": ("passed", 1),
        "import sys\nfor line in sys.stdin:\n    print(float(line) * 0.5)": ("passed", 1),
        "if __name__ == '__main__':\n    print(int(input()) / 2)": ("passed", 1),
        # the authors' imports
        "print(Fraction(1) / 2)": ("exception", 0),
        "n = int(stdin.readline())\nprint(math.fsum([n / 4, n / 4]) if deque([n]) else bisect_left)": (
            "passed",
            1,
        ),
        "from __future__ import annotations\nprint(int(input()) / 2)": ("passed", 1),
        "print(int(input()))": ("wrong_answer", 0),
        "print('1.5')": ("wrong_answer", 0),
        "while True:\n    print(end='')": ("timeout", 0),
        "def halve(n):\n    return n / 2": ("entry_point_missing", 0),
    }
    judgements = judge(sample(stdin_row()), [fenced(code) for code in programs])
    told = [(judgement.detail["class"], judgement.value) for judgement in judgements]
    assert told == list(programs.values())


SIGNATURE = "    def addAll(self, values, more):\n"
METHODS = {
    STARTER + "return values + [int(more)]": ("passed", 1),
    f"class Solution:\n{SIGNATURE}        return (*values, int(more))": ("passed", 1),
    f"class Solution:\n{SIGNATURE}        values.append(int(more)); return values": ("passed", 1),
    "def addAll(values: List[int], more: str):\n    return values + [int(more)]": ("passed", 1),
    f"class Solution:\n{SIGNATURE}        insort(values, int(more)); return values": ("passed", 1),
    # one value is no list of one
    f"class Solution:\n{SIGNATURE}        return values + [int(more)] if values else int(more)": (
        "wrong_answer",
        0,
    ),
    f"class Solution:\n{SIGNATURE}        return values + [more]": ("wrong_answer", 0),
    f"class Solution:\n{SIGNATURE}        return print(values)": ("wrong_answer", 0),
    f"class Solution:\n{SIGNATURE}        return values[9]": ("exception", 0),
    f"class Solution:\n{SIGNATURE}        exit()": ("exception", 0),
    f"class Solution:\n{SIGNATURE}        while True: pass": ("timeout", 0),
    "class Solution:\n    def other(self): pass": ("entry_point_missing", 0),
    "print(input())": ("syntax", 0),
}


def test_methods_of_a_solution() -> None:
    judgements = judge(sample(method_row()), [fenced(code) for code in METHODS])
    told = [(judgement.detail["class"], judgement.value) for judgement in judgements]
    assert told == list(METHODS.values())
    assert "test 2 of 3: 7, expected [7]" in judgements[5].detail["message"]


def test_results_of_many_kinds() -> None:
    pairs = {
        "0": "null",
        "1": "true",
        "2": '"a\\nb"',
        "3": "[[1], []]",
        "4": "0.1",
        "5": "9" * 5000,
    }
    row = method_row(
        public_test_cases=cases("functional", *pairs.items()), private_test_cases=packed("[]")
    )
    right = "[None, True, 'a\\nb', ([1], []), 0.1 + 1e-9, 10 ** 5000 - 1]"
    body = "class Solution:\n    def addAll(self, n):\n        return {}[n]"
    wrong = ["[0, 0, 0, 0, 0, 0]", right.replace("1e-9", "1e-3"), right.replace("- 1]", "- 2]")]
    judgements = judge(sample(row), [fenced(body.format(values)) for values in (right, *wrong)])
    assert [judgement.value for judgement in judgements] == [1.0, 0.0, 0.0, 0.0]


def test_wrong_answers_score_nothing() -> None:
    for row in (stdin_row(), method_row()):
        problem = sample(row)
        (judgement,) = TASK.judge([TASK.wrong(problem)], SCORING, {}).judgements
        assert judgement.value == 0


def test_the_same_answers_get_the_same_judgements_in_any_order() -> None:
    problem = sample(method_row())
    texts = [fenced(code) for code, (verdict, _) in METHODS.items() if verdict != "timeout"]
    first = judge(problem, texts)
    order = list(range(len(texts)))
    random.Random(4).shuffle(order)
    second = judge(problem, [texts[n] for n in order])
    told = [(first[n].value, first[n].answer, first[n].detail) for n in order]
    assert told == [(again.value, again.answer, again.detail) for again in second]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "```python\n" * 50_000,
        "[" * 500_000,
        "\x00\ud800" * 100_000,
        "class Solution:\n" * 50_000,
    ],
    ids=["nothing", "fences", "brackets", "controls", "classes"],
)
def test_hostile_answers_are_wrong(text: str) -> None:
    for row in (stdin_row(), method_row()):
        assert judge(sample(row), [text])[0].value == 0


def test_prompts_ask_for_what_is_judged() -> None:
    for style in ("chat", "completion"):
        prompt = ENTRY["prompt"][style]
        whole = templates.fill(prompt, sample(stdin_row())["inputs"], "livecodebench")
        method = templates.fill(prompt, sample(method_row())["inputs"], "livecodebench")
        assert "Print half of n." in whole
        assert "Return values and the number in more." in method
        assert STARTER.rstrip() in method
        assert "stdin" in whole
        assert "stdin" not in method
