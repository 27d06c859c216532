"""Rows become samples, answers are judged with what was found in them kept, and scores make pass@k."""

from __future__ import annotations

from typing import Any

import pytest
from answer_styles import FIELDS, SCORING
from snakeval import tasks
from snakeval.errors import ConfigError, SourceError
from snakeval.records import Score
from snakeval.tasks import Attempt

TASK = tasks.get("code_generation")
PROMPT = 'import math\n\n\ndef area(r):\n    """Area of a circle."""\n'


def row(**changes: Any) -> dict[str, Any]:
    base = {
        "task_id": "a/1",
        "prompt": PROMPT,
        "entry_point": "area",
        "test": "def check(candidate):\n    assert candidate(0) == 0\n",
        "canonical_solution": "    return math.pi * r * r\n",
    }
    return base | changes


def test_a_row_becomes_a_sample() -> None:
    sample = TASK.normalise(row(), FIELDS, "toy, row 1")
    assert sample["id"] == "a/1"
    assert sample["inputs"] == {"prompt": PROMPT, "entry_point": "area"}
    assert sample["target"] == {"solution": PROMPT + "    return math.pi * r * r\n"}
    assert sample["metadata"] == {
        "tests": row()["test"],
        "entry_point": "area",
        "prompt": PROMPT,
    }


def test_a_reference_is_a_whole_program_and_may_be_missing() -> None:
    fields = {role: column for role, column in FIELDS.items() if role != "reference_body"}
    assert TASK.normalise(row(), fields, "toy")["target"] is None
    whole = TASK.normalise(row(code="x = 1\n"), fields | {"reference": "code"}, "toy")
    assert whole["target"] == {"solution": "x = 1\n"}
    assert TASK.normalise(row(task_id=7), FIELDS, "toy")["id"] == "7"


@pytest.mark.parametrize(
    ("changes", "removed", "parts"),
    [
        ({}, "test", ["field tests", "no column 'test'", "task_id, prompt"]),
        ({}, "task_id", ["field id", "no column 'task_id'"]),
        ({"prompt": 3}, None, ["field prompt", "int 3", "expected text"]),
        ({"test": ["assert"]}, None, ["field tests", "list"]),
        ({"canonical_solution": None}, None, ["field reference_body", "NoneType"]),
        ({"task_id": True}, None, ["field id", "bool"]),
        ({"task_id": " "}, None, ["field id", "an empty text"]),
        (
            {"entry_point": "f(x)"},
            None,
            ["field entry_point", "'f(x)'", "name of a Python function"],
        ),
        ({"entry_point": "class"}, None, ["field entry_point", "'class'"]),
        ({"entry_point": "a\nb"}, None, ["field entry_point"]),
    ],
)
def test_a_bad_row_is_named(changes: dict[str, Any], removed: str | None, parts: list[str]) -> None:
    bad = row(**changes)
    if removed:
        del bad[removed]
    with pytest.raises(SourceError) as caught:
        TASK.normalise(bad, FIELDS, "toy.jsonl, line 4")
    message = str(caught.value)
    assert message.startswith("toy.jsonl, line 4, field ")
    assert "\n" not in message
    assert [part for part in parts if part not in message] == []


def test_an_unknown_task_names_near_ones() -> None:
    assert "code_generation" in tasks.names()
    with pytest.raises(ConfigError, match="Did you mean code_generation"):
        tasks.get("code_generator")


# --- judging ----------------------------------------------------------------------------------------


def test_a_missing_program_runs_nothing_and_is_told() -> None:
    [judgement] = TASK.judge(
        [Attempt(TASK.normalise(row(), FIELDS, "toy"), "I would rather not.", False)],
        SCORING,
        {},
    ).judgements
    assert judgement.value == 0.0
    assert judgement.answer is None
    assert judgement.seconds is None
    assert judgement.detail["class"] == "syntax"


def test_answer_and_program_are_kept() -> None:
    [judgement] = TASK.judge(
        [Attempt(TASK.normalise(row(), FIELDS, "toy"), "    return r + 1\n", True)], SCORING, {}
    ).judgements
    assert judgement.answer == "    return r + 1\n"
    assert judgement.detail["program"] == PROMPT + "    return r + 1\n"
    assert judgement.detail["class"] == "wrong_answer"
    assert "assert candidate(0) == 0" in judgement.detail["traceback"]


# --- metrics -----------------------------------------------------------------------------------------


def score(name: str, repeat: int, state: Any) -> Score:
    value = None if state == "unscored" else float(state == "correct")
    return {
        "id": name,
        "repeat": repeat,
        "state": state,
        "value": value,
        "answer": "",
        "target": None,
        "detail": {},
    }


def test_pass_at_k_over_problems() -> None:
    states = {"a": ["correct", "wrong"], "b": ["incomplete", "wrong"], "c": ["correct", "unscored"]}
    scores = [score(name, n, state) for name, row in states.items() for n, state in enumerate(row)]
    metrics = TASK.metrics(scores, 2)
    assert list(metrics) == ["pass@1", "pass@2"]
    assert metrics["pass@1"]["n"] == 3
    assert metrics["pass@1"]["value"] == pytest.approx((0.5 + 0 + 1) / 3)
    assert metrics["pass@2"]["n"] == 2  # c has one judged answer only
    assert metrics["pass@2"]["value"] == pytest.approx(0.5)


def test_no_scores_give_no_numbers() -> None:
    nothing = {"value": None, "ci_low": None, "ci_high": None, "n": 0}
    assert TASK.metrics([], 1) == {"pass@1": nothing}
    assert TASK.metrics([score("a", 0, "unscored")], 1) == {"pass@1": nothing}
