"""CRUXEval: an output or an input of a given function, found in an answer and judged by running it."""

from __future__ import annotations

import json
import random
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from snakeval import tasks
from snakeval.errors import SourceError
from snakeval.prompts import templates
from snakeval.records import Sample, Score, canonical_json
from snakeval.registry import schema
from snakeval.tasks import Attempt, Judgement

TASK: Any = tasks.get("code_reasoning")
ROOT = Path(__file__).parents[2]
DATA = ROOT.parent / "shared" / "data"
ENTRIES = yaml.safe_load((ROOT / "config" / "datasets.yaml").read_text("utf-8"))
FIELDS = {name: name for name in ("id", "code", "input", "output", "predict")}
SCORING = {"time_limit": {"floor_s": 3.0, "factor": 10.0, "ceiling_s": 10.0}, "memory_mb": 512}
DOUBLE = "def f(text, times):\n    return text.upper() * times"


def row(**changes: Any) -> dict[str, Any]:
    base = {
        "id": "sample_1",
        "code": DOUBLE,
        "input": "'ab', 2",
        "output": "'ABAB'",
        "predict": "output",
    }
    return base | changes


def sample(**changes: Any) -> Sample:
    made: Sample = TASK.normalise(row(**changes), FIELDS, "x.jsonl, line 1")
    return made


def judge(attempts: list[Attempt]) -> list[Judgement]:
    judgements: list[Judgement] = TASK.judge(attempts, SCORING, {}).judgements
    return judgements


def rows(slug: str) -> list[dict[str, Any]]:
    path = DATA / "cruxeval.jsonl"
    if not path.exists():
        pytest.skip("shared/data is not there")
    constants = ENTRIES[slug]["constants"]
    return [{**constants, **json.loads(line)} for line in path.read_text("utf-8").splitlines()]


def test_a_row() -> None:
    assert canonical_json(sample()) == canonical_json(
        {
            "id": "sample_1",
            "inputs": {"code": DOUBLE, "input": "'ab', 2", "output": "??"},
            "target": "assert f('ab', 2) == 'ABAB'",
            "metadata": {
                "code": DOUBLE,
                "input": "'ab', 2",
                "output": "'ABAB'",
                "predict": "output",
            },
        }
    )
    assert sample(predict="input")["inputs"] == {
        "code": DOUBLE,
        "input": "??",
        "output": "'ABAB'",
    }


@pytest.mark.parametrize(
    ("changes", "field", "found", "expected"),
    [
        ({"id": " "}, "id", "an empty text", "an id"),
        ({"code": None}, "code", "NoneType None", "text"),
        ({"code": "def g(): pass"}, "code", "'def g(): pass'", "Python source that defines f"),
        ({"code": "def f(:"}, "code", "'def f(:'", "Python source that defines f"),
        ({"input": 3}, "input", "int 3", "text"),
        ({"input": "1); g("}, "input", "'1); g('", "the arguments of a call"),
        ({"output": ["a"]}, "output", "list ['a']", "text"),
        ({"output": "x = 1"}, "output", "'x = 1'", "a Python expression"),
        ({"output": "[" * 500}, "output", "'[[[", "a Python expression"),
        ({"predict": "both"}, "predict", "'both'", "output or input"),
    ],
)
def test_a_wrong_column_is_named(
    changes: dict[str, Any], field: str, found: str, expected: str
) -> None:
    with pytest.raises(SourceError) as raised:
        sample(**changes)
    assert raised.value.where == f"x.jsonl, line 1, field {field}"
    assert found in raised.value.got
    assert raised.value.expected == expected


def test_a_missing_column_is_named() -> None:
    incomplete = row()
    del incomplete["output"]
    with pytest.raises(SourceError, match="no column 'output'"):
        TASK.normalise(incomplete, FIELDS, "x.jsonl, line 1")


@pytest.mark.parametrize(
    ("slug", "shown"),
    [
        ("cruxeval", "assert f('ab', 2) == ??"),
        ("cruxeval_input", "assert f(??) == 'ABAB'"),
    ],
)
def test_prompts_show_the_problem_and_not_its_answer(slug: str, shown: str) -> None:
    entry = ENTRIES[slug]
    problem = TASK.normalise({**row(), **entry["constants"]}, entry["fields"], slug)
    for style in ("chat", "completion"):
        prompt = templates.fill(entry["prompt"][style], problem["inputs"], slug)
        assert prompt.endswith(f"[PYTHON]\n{DOUBLE}\n{shown}\n[/PYTHON]\n[ANSWER]\n")
        assert prompt.count("[ANSWER]\nassert f(") == 2  # the authors' examples


OUTPUTS = {
    # as the prompt shows it, with and without the opening tag that ends it
    "[ANSWER]\nassert f('ab', 2) == 'ABAB'\n[/ANSWER]": 1,
    "assert f('ab', 2) == 'ABAB'\n[/ANSWER]": 1,
    "assert f('ab', 2) == 'ABAB'": 1,
    "assert f('ab', 2) == \"ABAB\" # done": 1,
    "assert f('ab',2)=='ABAB', 'as it says'": 1,
    "[ANSWER]\r\nassert f('ab', 2) == 'ABAB'\r\n[/ANSWER]\r\n": 1,
    "[ANSWER]assert f('ab', 2) == 'ABAB'[/ANSWER]": 1,
    "[ANSWER]\n'ABAB'\n[/ANSWER]": 1,
    "[ANSWER]\nf('ab', 2) == 'ABAB'\n[/ANSWER]": 1,
    "[ANSWER]\n== 'ABAB'\n[/ANSWER]": 1,
    "**[ANSWER]**\n```python\nassert f('ab', 2) == 'ABAB'\n```\n**[/ANSWER]**": 1,
    "<answer>assert f('ab', 2) == 'ABAB'</answer>": 1,
    "[answer]\nassert f(\n    'ab',\n    2,\n) == (\n    'AB'\n    'AB'\n)\n[/answer]": 1,
    "It doubles 'AB'.\n\n```python\nassert f('ab', 2) == 'ABAB'\n```\nThat is all.": 1,
    "So `assert f('ab', 2) == 'ABAB'`.": 1,
    "assert f('ab', 2) == 'ABAB'.": 1,
    "assert f(‘ab’, 2) == ‘ABAB’": 1,
    "The output is `'ABAB'`.": 1,
    "**Output:** 'ABAB'": 1,
    "First 'AB', then again.\n'ABAB'": 1,
    "'ABAB'": 1,
    # values that are not written out: the authors take them too
    "assert f('ab', 2) == 'AB' * 2": 1,
    "assert f('ab', 2) == ''.join(c for c in 'ABAB')": 1,
    # the last answer counts
    "assert f('ab', 2) == 'ab'\nNo:\nassert f('ab', 2) == 'ABAB'": 1,
    "[ANSWER]\nassert f('ab', 2) == 'ABAB'\n[/ANSWER]\nNo!\n[ANSWER]\nassert f('ab', 2) == 'x'\n[/ANSWER]": 0,
    "[ANSWER]\nassert f('ab', 2) == 'ABAB'\n[/ANSWER]\nIt stands in [ANSWER] and [/ANSWER] tags.": 1,
    "I say [ANSWER] and [/ANSWER]:\n[ANSWER]\nassert f('ab', 2) == 'ABAB'\n[/ANSWER]": 1,
    # nothing behind a problem of the model's own
    "assert f('ab', 2) == 'ABAB'\n[/ANSWER]\n\n[PYTHON]\ndef f(n):\n    return n\nassert f(1) == ??\n[/PYTHON]\n"
    "[ANSWER]\nassert f(1) == 1\n[/ANSWER]": 1,
    "[PYTHON]\nassert f('ab', 2) == ??\n[/PYTHON]\n[ANSWER]\nassert f('ab', 2) == 'ABAB'\n[/ANSWER]": 1,
    # wrong
    "[ANSWER]\nassert f('ab', 2) == 'abab'\n[/ANSWER]": 0,
    "[ANSWER]\nassert f('ab', 2) == ABAB\n[/ANSWER]": 0,
    "[ANSWER]\nassert f('ab', 2) == ['ABAB']\n[/ANSWER]": 0,
    "[ANSWER]\nassert f('ab', 2) == f('ab', 2)\n[/ANSWER]": 0,
    "[ANSWER]\nassert f('ab', 2) == f('ab', 1 + 1)\n[/ANSWER]": 0,
    "[ANSWER]\nassert f('ab', 2) != 'x'\n[/ANSWER]": 0,
    "[ANSWER]\nassert True\n[/ANSWER]": 0,
    "[ANSWER]\nassert f('ab', 2) == ??\n[/ANSWER]": 0,
    "[ANSWER]\nassert f('ab', 2) == 1 / 0\n[/ANSWER]": 0,
    "[ANSWER]\nassert f('ab', 2) == open('/etc/passwd').read()\n[/ANSWER]": 0,
    "[ANSWER]\nassert f('ab', 2) == 'ABAB' or f('ab', 2) == 'x'\n[/ANSWER]": 0,
    "I cannot tell.": 0,
    "": 0,
}
INPUTS = {
    "[ANSWER]\nassert f('ab', 2) == 'ABAB'\n[/ANSWER]": 1,
    "assert f('ab', 2) == 'ABAB'\n[/ANSWER]": 1,
    "assert f(\"aB\", times=2) == 'ABAB'": 1,
    "assert f('ABAB', 1) == 'ABAB'": 1,
    "assert 'ABAB' == f('ab', 2)": 1,
    "[ANSWER]\nf('ab', 2)\n[/ANSWER]": 1,
    "[ANSWER]\nf('ab', 2) == 'ABAB'\n[/ANSWER]": 1,
    "```python\nassert f('ab', 2) == 'ABAB'\n```": 1,
    "assert f(*['ab', 2]) == 'ABAB'": 1,
    "assert f(''.join(['a', 'b']), len('xy')) == 'ABAB'": 1,
    "assert f(f('ab', 1), 2) == 'ABAB'": 1,
    "assert f('ab', (lambda x: x + 1)(1)) == 'ABAB'": 1,
    # what the model says that comes out is not asked for
    "assert f('ab', 2) == 'wrong'": 1,
    "assert f('ab', 3) == 'ABAB'": 0,
    "assert f('ab') == 'ABAB'": 0,
    "[ANSWER]\n'ab', 2\n[/ANSWER]": 0,
    "assert 'ABAB' == 'ABAB'": 0,
    "assert f.__call__('ab', 2) == 'ABAB'": 0,
    "assert f('ab', 2) + '' == 'ABAB'": 0,
    "assert f(??) == 'ABAB'": 0,
    "": 0,
}


@pytest.mark.parametrize(("predict", "answers"), [("output", OUTPUTS), ("input", INPUTS)])
def test_ways_of_writing_an_answer(predict: str, answers: dict[str, int]) -> None:
    problem = sample(predict=predict)
    judgements = judge([Attempt(problem, text) for text in answers])
    values = {text: j.value for text, j in zip(answers, judgements, strict=True)}
    assert values == {text: float(value) for text, value in answers.items()}


def test_what_a_verdict_says() -> None:
    answers = [
        "assert f('ab', 2) == 'ABA' + 'B'",
        "assert f('ab', 2) == 7",
        "assert f('ab', 2) == f('ab', 2)",
        "no idea",
    ]
    right, wrong, call, nothing = judge([Attempt(sample(), text) for text in answers])
    assert (right.answer, right.detail["class"]) == ("'ABA' + 'B'", "passed")
    assert (wrong.answer, wrong.detail["class"]) == ("7", "wrong_answer")
    assert "returned 7" in wrong.detail["message"]
    assert (call.answer, call.detail["class"]) == (None, "entry_point_missing")
    assert (nothing.answer, nothing.detail["class"]) == (None, "syntax")


def test_a_completion_ends_where_its_first_answer_does() -> None:
    further = "[PYTHON]\ndef f(n):\n    return n\nassert f(1) == ??\n[/PYTHON]\n[ANSWER]\nassert f(1) == 1\n"
    texts = [
        "assert f('ab', 2) == 'ABAB'\n[/ANSWER]\n\n" + further,
        "assert f('ab', 2) == 'x'\n[/ANSWER]\nor\n[ANSWER]\nassert f('ab', 2) == 'ABAB'\n[/ANSWER]",
    ]
    judgements = judge([Attempt(sample(), text, continuation=True) for text in texts])
    assert [judgement.value for judgement in judgements] == [1.0, 0.0]


# Each would meet the output by changing the function, the interpreter or the comparison.
TRICKS = [
    "f(setattr(f, '__code__', (lambda *a: 'ABAB').__code__))",
    "f(globals().update(f=1), 2)",
    "f(__import__('builtins').__dict__.update(len=1), 1)",
    "f(type('S', (str,), {'upper': lambda self: 'ABAB'})('x'), 1)",
    "f((x for x in [1]).gi_frame.f_globals.update(f=lambda *a: 'ABAB'), 1)",
    "f(exec('raise SystemExit(0)'), 1)",
    "f((lambda: 0).__globals__.clear(), 1)",
    "f('x', eval('f').__init__('ABAB'))",
]


@pytest.mark.parametrize("call", TRICKS)
def test_an_input_cannot_change_the_function(call: str) -> None:
    (judgement,) = judge([Attempt(sample(predict="input"), f"assert {call} == 'ABAB'")])
    assert judgement.value == 0
    assert judgement.detail["class"] == "entry_point_missing"


def test_functions_as_arguments_and_changed_arguments() -> None:
    code = "def f(values, key):\n    values.sort(key=key)\n    return values"
    problem = sample(code=code, input="[2, 1], None", output="[3, 2, 1]", predict="input")
    calls = {
        "f([1, 2, 3], lambda v: -v)": 1.0,
        "f([1, 2, 3], lambda v: v)": 0.0,
        "f(list(range(1, 4)), (-1).__mul__)": 0.0,
        "f([*range(3, 0, -1)], len)": 0.0,
        "f({'a': [1, 2, 3]}['a'], lambda v, sign=-1: sign * v)": 1.0,
    }
    judgements = judge([Attempt(problem, f"assert {call} == [3, 2, 1]") for call in calls])
    assert [judgement.value for judgement in judgements] == list(calls.values())


def test_an_input_may_use_values_that_the_function_does_not() -> None:
    code = "small = [1]\nlarge = [2]\ndef f(v):\n    return v + large"
    problem = sample(code=code, input="small[:]", output="[1, 2]", predict="input")
    calls = ["f(small[:])", "f([large.insert(0, 1)][1:])", "f(other)"]
    judgements = judge([Attempt(problem, f"assert {call} == [1, 2]") for call in calls])
    assert [judgement.value for judgement in judgements] == [1.0, 0.0, 0.0]


HOSTILE = {
    "a power": "assert f('ab', 2) == 9**9**9**9",
    "a long text": "assert f('ab', 2) == 'ABAB' * 10**12",
    "a long loop": "assert f('ab', 2) == sum(x for x in range(10**12))",
    "brackets": "assert f('ab', 2) == " + "[" * 500_000,
    "asserts": "assert " * 300_000,
    "tags": "[ANSWER]" * 200_000,
    "closing tags": "[/ANSWER]\n[PYTHON]" * 100_000,
    "lines": "assert f(\n" * 100_000,
    "backticks": "`" * 1_000_000,
    "fences": "```\n" * 300_000,
    "cues": "The answer is " * 100_000,
    "controls": "\x00\ud800\u202e\x1b" * 50_000,
    "a null": "assert f('ab', 2) == '\x00'",
    "signs": "assert f('ab', 2) == " + "-" * 10_000 + "1",
}


@pytest.mark.parametrize("predict", ["output", "input"])
def test_hostile_answers_are_wrong_and_take_bounded_time(predict: str) -> None:
    started = time.monotonic()
    hostile = {
        name: text if predict == "output" else text.replace("'ab', 2) == ", "")
        for name, text in HOSTILE.items()
    }
    judgements = judge([Attempt(sample(predict=predict), text) for text in hostile.values()])
    values = dict(zip(hostile, (judgement.value for judgement in judgements), strict=True))
    assert values == dict.fromkeys(hostile, 0.0)
    assert time.monotonic() - started < 90


def test_the_same_answers_get_the_same_judgements_in_any_order() -> None:
    attempts = [Attempt(sample(), text) for text in OUTPUTS]
    first = judge(attempts)
    order = list(range(len(attempts)))
    random.Random(5).shuffle(order)
    second = judge([attempts[n] for n in order])
    told = [(first[n].value, first[n].answer, first[n].detail) for n in order]
    assert told == [(again.value, again.answer, again.detail) for again in second]


def test_pass_at_k_is_over_problems() -> None:
    def score(name: str, repeat: int, right: bool) -> Score:
        return {
            "id": name,
            "repeat": repeat,
            "state": "correct" if right else "wrong",
            "value": float(right),
            "answer": None,
            "detail": {},
        }  # type: ignore[typeddict-item]

    scores = [score("a", 0, True), score("a", 1, False), score("b", 0, False), score("b", 1, False)]
    metrics = TASK.metrics(scores, 2)
    assert {name: metric["value"] for name, metric in metrics.items()} == {
        "pass@1": 0.25,
        "pass@2": 0.5,
    }


@pytest.mark.parametrize("slug", ["cruxeval", "cruxeval_input"])
def test_real_rows(slug: str) -> None:
    entry = schema.filled(ENTRIES[slug], "dataset")
    samples = [TASK.normalise(row, entry["fields"], slug) for row in rows(slug)]
    gold = TASK.judge([TASK.gold(s) for s in samples], entry["scoring"], {}).judgements
    wrong = TASK.judge([TASK.wrong(s) for s in samples], entry["scoring"], {}).judgements
    assert len(samples) == 300
    assert [s["id"] for s, j in zip(samples, gold, strict=True) if j.value != 1] == []
    assert [s["id"] for s, j in zip(samples, wrong, strict=True) if j.value != 0] == []
    hidden = {s["inputs"][s["metadata"]["predict"]] for s in samples}
    assert hidden == {"??"}
