"""Conversations that a model judges: FastChat's questions, verdicts as it reads them, what they add up to."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from snakeval import tasks
from snakeval.errors import SourceError
from snakeval.records import Sample
from snakeval.tasks import Attempt, Question, Verdict

TASK = tasks.get("judged_conversation")
FIELDS = {"id": "prompt_id", "turns": "prompt", "category": "category", "references": "reference"}
DATA = Path(__file__).parents[3] / "shared" / "data"
ANSWERS, BASELINE = ("my first", "my second"), ("your first", "your second")


def row(category: str = "math", **changes: Any) -> dict[str, Any]:
    made = {
        "prompt_id": 7,
        "category": category,
        "prompt": ["What is 2 + 2?", "And {answer}?"],
        "reference": ["4", "nothing"],
    }
    return made | changes


def sample(category: str = "math", **changes: Any) -> Sample:
    return TASK.normalise(row(category, **changes), FIELDS, "rows.jsonl, row 1")


def grade(turn: int, text: str, again: int = 0) -> Verdict:
    return Verdict(turn, "grade", 0, again, text)


def compared(turn: int, order: int, text: str, again: int = 0) -> Verdict:
    return Verdict(turn, "comparison", order, again, text)


def judged(*verdicts: Verdict, category: str = "math") -> tasks.Judgement:
    attempt = Attempt(sample(category), ANSWERS[1], turns=ANSWERS, verdicts=verdicts)
    return TASK.judge([attempt], {}, {}).judgements[0]


def scores(*attempts: tuple[str, tuple[Verdict, ...]]) -> list[Any]:
    """Score attempts given as category and verdicts, each of a sample of its own."""
    found = []
    for number, (category, verdicts) in enumerate(attempts):
        judgement = judged(*verdicts, category=category)
        state = "unscored" if judgement.value is None else "wrong"
        found.append(
            {"id": str(number), "repeat": 0, "state": state, "value": judgement.value}
            | {"answer": judgement.answer, "target": None, "detail": judgement.detail}
        )
    return found


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"prompt": ["one"]}, "field turns"),
        ({"prompt": ["one", "  "]}, "field turns"),
        ({"prompt": ["one", 2]}, "field turns"),
        ({"prompt": "two words"}, "field turns"),
        ({"reference": ["one"]}, "field references"),
        ({"reference": "four"}, "field references"),
        ({"category": None}, "field category"),
    ],
)
def test_a_wrong_row_is_named(changes: dict[str, Any], found: str) -> None:
    with pytest.raises(SourceError, match=f"rows.jsonl, row 1, {found}"):
        sample(**changes)


def test_a_sample_holds_no_reference_where_the_row_has_none() -> None:
    for nothing in ([], None):
        made = sample("writing", reference=nothing)
        assert made["target"] is None
        assert made["metadata"]["references"] == []


def asked(category: str, against: tuple[str, ...] = ()) -> list[Question]:
    return TASK.questions(sample(category), ANSWERS, against)


@pytest.mark.parametrize("category", ["math", "reasoning", "coding", "writing", "stem"])
def test_the_questions_are_those_of_fastchat(category: str) -> None:
    path = DATA / "mt_bench.judge_prompts.jsonl"
    if not path.exists():
        pytest.skip(f"{path} is missing")
    prompts = {line["name"]: line for line in map(json.loads, path.read_text().splitlines())}
    reference = category in ("math", "reasoning", "coding")
    single, pair = ("single-math-v1", "pair-math-v1") if reference else ("single-v1", "pair-v2")
    turns, answers = row()["prompt"], row()["reference"]
    texts = {"question_1": turns[0], "question_2": turns[1]}
    references = {"ref_answer_1": answers[0], "ref_answer_2": answers[1]} if reference else {}
    mine = {"answer_1": ANSWERS[0], "answer_2": ANSWERS[1]}

    def both(first: tuple[str, str], second: tuple[str, str]) -> dict[str, str]:
        return {
            f"answer_{side}_{n}": said[n - 1]
            for side, said in (("a", first), ("b", second))
            for n in (1, 2)
        }

    expected = [
        (single, {"question": turns[0], "answer": ANSWERS[0], **references}),
        (f"{single}-multi-turn", {**texts, **mine, **references}),
        (
            pair,
            {"question": turns[0], "answer_a": ANSWERS[0], "answer_b": BASELINE[0], **references},
        ),
        (
            pair,
            {"question": turns[0], "answer_a": BASELINE[0], "answer_b": ANSWERS[0], **references},
        ),
        (f"{pair}-multi-turn", {**texts, **both(ANSWERS, BASELINE), **references}),
        (f"{pair}-multi-turn", {**texts, **both(BASELINE, ANSWERS), **references}),
    ]
    questions = asked(category, BASELINE)
    assert len(questions) == len(expected)
    for question, (name, values) in zip(questions, expected, strict=True):
        assert question.text == prompts[name]["prompt_template"].format(**values)
        assert question.system == prompts[name]["system_prompt"]
    assert [(q.turn, q.kind, q.order) for q in questions] == [
        (0, "grade", 0),
        (1, "grade", 0),
        (0, "comparison", 0),
        (0, "comparison", 1),
        (1, "comparison", 0),
        (1, "comparison", 1),
    ]


def test_without_a_baseline_answers_are_only_graded() -> None:
    assert [question.kind for question in asked("math")] == ["grade", "grade"]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("Rating: [[7]]", 7),
        ("Rating: [[7.5]] or so", 7.5),
        ("Rating: [9]", 9),
        ("[[3]] and later [[8]]", 3),  # FastChat takes the first
        ("[4] but [[6]]", 6),
        ("[[10]]", 10),
    ],
)
def test_a_grade_is_read_as_fastchat_does(text: str, value: float) -> None:
    found = judged(grade(0, text), grade(1, "[[1]]"))
    assert found.detail["grades"] == [value, 1]
    assert found.value == pytest.approx((value + 1) / 20)


@pytest.mark.parametrize(
    "text", ["", "Rating: 7", "[[seven]]", "[[0]]", "[[11]]", "[[1e3]]", "[[-1]]"]
)
def test_what_is_no_grade_is_missing_and_not_a_zero(text: str) -> None:
    found = judged(grade(0, text), grade(1, "[[9]]"))
    assert found.value is None
    assert found.answer is None
    assert found.detail["class"] == "no_grade"
    assert found.detail["grades"] == [None, 9]
    assert found.detail["missing_verdicts"] == 1


def test_equal_questions_are_averaged_and_their_spread_is_told() -> None:
    found = judged(grade(0, "[[6]]"), grade(0, "[[8]]", 1), grade(1, "[[5]]"), grade(1, "??", 1))
    assert found.detail["grades"] == [7, 5]
    assert found.detail["spreads"] == [pytest.approx(2**0.5), None]
    assert found.value == pytest.approx(0.6)


def test_what_the_judge_wrote_stands_beside_the_score() -> None:
    long = "x" * 10_000 + " [[2]]"
    detail = judged(grade(0, "Fine. [[8]]"), grade(0, "again [[8]]", 1), grade(1, long)).detail
    assert detail["turn 1, grade"] == "Fine. [[8]]"
    assert detail["turn 2, grade"].endswith("xx [[2]]")
    assert len(detail["turn 2, grade"]) < 5_000


def test_without_a_judge_nothing_is_scored() -> None:
    found = TASK.judge([Attempt(sample(), "x", turns=ANSWERS)], {}, {}).judgements[0]
    assert found.value is None
    assert found.detail["class"] == "no_judge"


def test_metrics_by_turn_and_category() -> None:
    made = scores(
        ("math", (grade(0, "[[4]]"), grade(1, "[[2]]"))),
        ("math", (grade(0, "[[10]]"), grade(1, "[[8]]"))),
        ("writing", (grade(0, "[[9]]"), grade(1, "[[9]]"))),
        ("writing", (grade(0, "no"), grade(1, "[[9]]"))),
    )
    found = TASK.metrics(made, 1)
    assert found["judge_score"]["value"] == pytest.approx((3 + 9 + 9) / 3 / 10)
    assert found["judge_score"]["n"] == 3
    assert found["judge_score_turn_1"]["value"] == pytest.approx((4 + 10 + 9) / 3 / 10)
    assert found["judge_score_turn_2"]["value"] == pytest.approx((2 + 8 + 9) / 3 / 10)
    assert found["judge_score_math"]["value"] == pytest.approx(0.6)
    assert found["judge_score_writing"]["value"] == pytest.approx(0.9)
    assert found["missing_verdicts"]["value"] == pytest.approx(1 / 8)
    assert "win_rate" not in found
    assert "judge_spread" not in found


def test_metrics_of_comparisons() -> None:
    graded = (grade(0, "[[5]]"), grade(1, "[[5]]"))

    def both(turn: int, first: str, second: str) -> tuple[Verdict, Verdict]:
        return compared(turn, 0, first), compared(turn, 1, second)

    made = scores(
        # The model wins in both orders; a tie in both.
        ("math", (*graded, *both(0, "[[A]]", "[[B]]"), *both(1, "[[C]]", "[[C]]"))),
        # The first place wins twice: nobody does; the baseline wins in both orders.
        ("math", (*graded, *both(0, "[[A]]", "[[A]]"), *both(1, "[[B]]", "[[A]]"))),
        # One order cannot be read: the pair is left out.
        ("math", (*graded, *both(0, "[[A]]", "neither"))),
    )
    found = TASK.metrics(made, 1)
    assert found["win_rate"]["value"] == pytest.approx(((1 + 0.5) / 2 + (0.5 + 0) / 2) / 2)
    assert found["position_consistency"]["value"] == pytest.approx((1 + 1 / 2) / 2)
    # Decided verdicts for the first place: of A, B in the one sample 1 of 2; of A, A, B, A in the other 3 of 4.
    assert found["first_place"]["value"] == pytest.approx((1 / 2 + 3 / 4) / 2)
    assert found["missing_verdicts"]["value"] == pytest.approx((0 + 0 + 1 / 4) / 3)


def test_a_later_choice_counts() -> None:
    found = judged(
        grade(0, "[[5]]"),
        grade(1, "[[5]]"),
        compared(0, 0, "Not [[A]] but [[B]]"),
        compared(0, 1, "[[A]]"),
    )
    assert found.detail["comparisons"] == [[0, 0]]


def test_metrics_of_nothing_judged() -> None:
    found = TASK.metrics(scores(("math", ())), 1)
    assert found["judge_score"] == {"value": None, "ci_low": None, "ci_high": None, "n": 0}


@pytest.mark.parametrize(
    "text",
    [
        "[" * 500_000,
        "[[" + "9" * 500_000 + "]]",
        "[[1" * 200_000,
        "\0\u202e\ud800" * 100_000,
        "{question}",
    ],
)
def test_hostile_verdicts_and_answers(text: str) -> None:
    found = judged(grade(0, text), grade(1, text), compared(0, 0, text), compared(0, 1, text))
    assert found.value is None
    questions = TASK.questions(sample(), (text, "{answer_b_1}"), (text, text))
    assert all(text in question.text for question in questions)
    assert "{answer_b_1}" in questions[1].text
