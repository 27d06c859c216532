"""Questions about a page's image: what a row becomes, and that answers are judged as those from its text."""

from __future__ import annotations

from typing import Any

import pytest
from snakeval.errors import SourceError
from snakeval.tasks import Attempt, document_questions
from snakeval.tasks.document_images import TASK

FIELDS = {"id": "questionId", "question": "question", "image": "page", "answers": "answers"}
ROW = {"questionId": 7, "question": " When? ", "page": "ab.png", "answers": ["1/8/93", "1993"]}


def test_a_row_becomes_a_sample_that_names_its_image() -> None:
    assert TASK.normalise(ROW, FIELDS, "row") == {
        "id": "7",
        "inputs": {"question": "When?"},
        "image": "ab.png",
        "target": ["1/8/93", "1993"],
        "metadata": {},
    }


def test_a_row_without_an_image_is_named() -> None:
    row = {name: value for name, value in ROW.items() if name != "page"}
    with pytest.raises(SourceError, match="row 1, field image: got no column 'page'"):
        TASK.normalise(row, FIELDS, "row 1")


def test_answers_are_judged_as_those_from_the_pages_text() -> None:
    sample = TASK.normalise(ROW, FIELDS, "row")
    for text in ("1/8/93", "Answer: 1/8/92", "1993.", "no idea", ""):
        attempt = Attempt(sample, text)
        assert TASK.judgement(attempt) == document_questions.TASK.judgement(attempt)
    right, wrong = (TASK.judgement(made(sample)) for made in (TASK.gold, TASK.wrong))
    assert (right.value, wrong.value) == (1, 0)
    scores: Any = [
        {"id": "7", "repeat": 0, "value": one.value, "answer": one.answer, "detail": one.detail}
        for one in (right,)
    ]
    assert TASK.metrics(scores, 1)["anls"]["value"] == 1
