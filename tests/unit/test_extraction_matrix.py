"""Right answers pass however they are written, and wrong ones never do."""

from __future__ import annotations

import answer_styles
import pytest
from answer_styles import STYLES

PARTS = [list(STYLES)[start::8] for start in range(8)]
LEAST = 0.99


def test_there_are_enough_ways_and_all_problems() -> None:
    assert len(STYLES) >= 24
    problems = answer_styles.problems()
    assert len(problems) == 164
    assert [p.name for p in problems if p.draft == p.body] == []
    for style, write in STYLES.items():
        texts = {write(problem) for problem in problems}
        assert len(texts) == 164, style


@pytest.mark.parametrize("styles", PARTS, ids=range(8))
def test_right_answers_pass_however_they_are_written(styles: list[str]) -> None:
    rows = answer_styles.matrix(wrong=False, styles=styles)
    assert [(row.style, row.problems) for row in rows] == [(style, 164) for style in styles]
    low = [row for row in rows if len(row.accepted) < LEAST * row.problems]
    assert low == []


@pytest.mark.parametrize("styles", PARTS, ids=range(8))
def test_wrong_answers_fail_however_they_are_written(styles: list[str]) -> None:
    rows = answer_styles.matrix(wrong=True, styles=styles)
    assert {row.style: row.accepted for row in rows} == dict.fromkeys(styles, ())
    assert [row.problems for row in rows] == [164] * len(styles)
    # They fail by their tests, not because nothing was found.
    classes = {detail["class"] for row in rows for _, detail in row.refused}
    assert classes & {"syntax", "entry_point_missing", "judge_failed"} == set()
