"""BigCodeBench's real rows: references pass and wrong programs made from them fail.

Needs the libraries of its problems, in .libraries (`make libraries`).
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator

import pytest
from behaviour import Changed, Suite
from judged_rows import LIBRARIES, Dataset, Row, fenced
from mutations import mutants
from snakeval.sandbox import Alone, Limits, Outcome, Program, Sandbox, TimeLimit

SEED = 3
PARTS = 4
ROUNDS = 8  # mutants that are tried of each problem
LEAST = 0.8  # of all rows can be judged: their libraries are there, and their reference passes
WARM = ("numpy", "pandas", "matplotlib.pyplot", "sklearn", "scipy.stats", "seaborn")
LIMITS = Limits(memory_mb=8192, time=TimeLimit(floor_s=20.0))
# (id, program) → our verdict and who is right.
DISAGREE: dict[tuple[str, str], str] = {}


def _rows() -> list[Row]:
    rows = {row.id: row for row in Dataset("bigcodebench_hard").rows()}
    rows |= {row.id: row for row in Dataset("bigcodebench").rows()}
    return [rows[name] for name in sorted(rows)]


def _failures(sandbox: Sandbox, programs: list[tuple[Row, str]]) -> Iterator[str | None]:
    """Run tests with unittest alone, without our judge, but where they can do no harm.

    Yields "" for a program that passes, the first failure of another, None where no test ran.
    """
    reports = []
    for row, code in programs:
        assert isinstance(row.subject.probe, Suite)
        reports.append(Program(row.subject.probe.report(code), Alone(), LIMITS))
    yield from map(_failure, sandbox.run(reports))


def _failure(outcome: Outcome) -> str | None:
    try:
        ran, failed = json.loads(outcome.stdout.strip().rpartition("\n")[2])
    except ValueError:
        return None
    if failed:
        return f"{failed[0]}: {failed[1]}"[:300]
    return "" if ran else None


def _wrong(rows: list[Row]) -> dict[str, Changed]:
    """Return for each problem the first mutant that fails its tests, where the reference does not."""
    wrong: dict[str, Changed] = {}
    with Sandbox(libraries=LIBRARIES, warm=WARM) as sandbox:
        right = _failures(sandbox, [(row, row.subject.reference) for row in rows])
        waiting = {
            row.id: (
                row,
                mutants(row.subject.reference, row.sample["inputs"]["entry_point"], SEED, ROUNDS),
            )
            for row, failure in zip(rows, right, strict=True)
            if failure == ""
        }
        for _ in range(ROUNDS):
            tried = [
                (row, code)
                for row, programs in waiting.values()
                if (code := next(programs, None)) is not None
            ]
            for (row, code), failure in zip(tried, _failures(sandbox, tried), strict=True):
                if failure:
                    wrong[row.id] = Changed(code, failure)
                    del waiting[row.id]
    return wrong


@pytest.mark.skipif(not LIBRARIES.exists(), reason="needs .libraries, made by `make libraries`")
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("part", range(0, PARTS, 2))  # each takes minutes
def test_references_pass_and_wrong_mutants_fail(
    part: int, record_property: Callable[[str, object], None]
) -> None:
    rows = _rows()[part::PARTS]
    dataset = Dataset("bigcodebench")
    right = dataset.judge([(row, fenced(row.subject.reference)) for row in rows])
    sound = [row for row, judgement in zip(rows, right, strict=True) if judgement.value is not None]
    wrong = _wrong(sound)
    programs = [row for row in sound if row.id in wrong]
    bad = dataset.judge([(row, fenced(wrong[row.id].source)) for row in programs])
    refused = {
        (row.id, "reference"): judgement.detail
        for row, judgement in zip(rows, right, strict=True)
        if judgement.value == 0
    }
    accepted = {
        (row.id, "mutant"): (judgement.detail, wrong[row.id].evidence)
        for row, judgement in zip(programs, bad, strict=True)
        if judgement.value != 0
    }
    unscored = Counter(
        str(judgement.detail["message"])[:60] for judgement in right if judgement.value is None
    )
    classes = Counter(judgement.detail["class"] for judgement in bad)
    record_property(
        "counts",
        f"bigcodebench, part {part}: {len(sound)} of {len(rows)} rows can be judged, "
        f"{len(sound) - len(refused)} of their references pass, "
        f"{len(programs) - len(accepted)} of {len(programs)} wrong mutants fail {dict(classes)}, "
        f"{len(sound) - len(programs)} without one; not judged: {dict(unscored)}",
    )
    surprises = refused | accepted
    assert {key: why for key, why in surprises.items() if key not in DISAGREE} == {}
    assert len(surprises) <= 0.01 * len(rows)
    assert len(sound) >= LEAST * len(rows)
    assert len(programs) >= LEAST * len(sound)
