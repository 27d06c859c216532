"""Real rows: every reference passes, and a wrong program made from it fails.

What is known of a row is written down here with its reason; anything else fails the test. The counts
are shown at the end of the test run.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest
from behaviour import misses
from judged_rows import Row, apps, codecontests, humaneval, mbpp
from mutations import wrong_mutants
from snakeval.sandbox import InputOutput, Sandbox

SEED = 3
DATASETS: dict[str, Callable[[], list[Row]]] = {
    "humaneval": humaneval,
    "mbpp": lambda: mbpp("mbpp"),
    "mbpp_sanitized": lambda: mbpp("mbpp_sanitized"),
    "codecontests": codecontests,
    "apps": apps,
}
# References that do not pass their own tests, neither here nor in a plain interpreter.
_ANY = "the problem has several right answers, the row has one"
BROKEN = {
    "716_D. Complete The Graph": _ANY,
    "715_B. Complete The Graph": _ANY,
    "27_B. Tournament": _ANY,
    "1427_E. Xum": _ANY,
    "925_C. Big Secret": _ANY,
    "1217_D. Coloring Edges": _ANY,
    "136_D. Rectangle and Square": _ANY,
    "1521_D. Nastia Plays with a Tree": _ANY,
    "1516_B. AGAGA XOOORRR": "the problem takes Yes for YES, the row does not say so",
    "1324_F. Maximum White Subtree": "the solution and the hidden tests are another problem's",
    "1118_F1. Tree Cutting (Easy Version)": "a hidden test is no valid input",
    "1540_B. Tree Array": "the solution prints a number that it has not reduced",
    "2287/2": "not Python: a return outside of a function (the origin makes a function of it)",
    "2287/4": "not Python: a return outside of a function (the origin makes a function of it)",
    "2287/9": "not Python: a return outside of a function (the origin makes a function of it)",
}
# References that take too long for a test.
SLOW = {"1503_E. 2-Coloring": "written for a compiling interpreter: about 15 s a case"}
# (id, program) → our verdict and who is right. At most 1 % of a dataset's rows.
DISAGREE: dict[tuple[str, str], str] = {}


@pytest.mark.parametrize("dataset", DATASETS)
def test_references_pass_and_wrong_mutants_fail(
    dataset: str, record_property: Callable[[str, object], None]
) -> None:
    rows = [row for row in DATASETS[dataset]() if row.subject.id not in SLOW]
    sound = [row for row in rows if row.subject.id not in BROKEN]
    wrong = wrong_mutants([row.subject for row in sound], SEED)
    assert [name for name, mutant in wrong.items() if mutant is None] == []
    with Sandbox() as sandbox:
        right = sandbox.run(row.program(row.subject.reference) for row in rows)
        bad = sandbox.run(
            row.program(mutant.source)
            for row in sound
            if (mutant := wrong[row.subject.id]) is not None
        )
    refused = {
        row.subject.id: f"{outcome.verdict}: {outcome.message}"
        for row, outcome in zip(rows, right, strict=True)
        if outcome.verdict != "passed"
    }
    accepted = {
        row.subject.id: f"{outcome.verdict}, but {wrong[row.subject.id]}"
        for row, outcome in zip(sound, bad, strict=True)
        if outcome.verdict in ("passed", "judge_failed")
    }
    verdicts = Counter(outcome.verdict for outcome in bad)
    record_property(
        "counts",
        f"{dataset}: {len(rows) - len(refused)} of {len(rows)} references pass "
        f"({len(rows) - len(sound)} known to be broken), "
        f"{len(sound) - len(accepted)} of {len(sound)} wrong mutants fail {dict(verdicts)}",
    )
    known = [row.subject.id for row in rows if row.subject.id in BROKEN]
    surprises = {name: why for name, why in refused.items() if name not in known}
    surprises |= {name: "passes now" for name in known if name not in refused}
    for kind, found in (("reference", surprises), ("mutant", accepted)):
        unknown = {name: why for name, why in found.items() if (name, kind) not in DISAGREE}
        assert unknown == {}
    assert len(surprises) + len(accepted) <= 0.01 * len(rows)


def test_broken_references_fail_in_a_plain_interpreter_too() -> None:
    rows = [row for row in [*codecontests(), *apps()] if row.subject.id in BROKEN]
    assert {row.subject.id for row in rows} == set(BROKEN)
    for row in rows:
        test = row.program("").test
        assert isinstance(test, InputOutput)
        reason = misses(row.subject.reference, [(c.stdin, c.accepted[0]) for c in test.cases])
        assert reason is not None, row.subject.id
