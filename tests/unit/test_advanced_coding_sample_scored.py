"""advanced_coding_sample through the workflow's own extraction, sandbox and scoring."""

from __future__ import annotations

from pathlib import Path

import pytest
from coding_problems import Problems
from snakeval import registry, tasks
from snakeval.records import Prediction, Sample
from snakeval.sandbox import Check, Program, Sandbox
from snakeval.scoring import score_pair

ROOT = Path(__file__).parents[2]
NAME = "advanced_coding_sample"
PROBLEMS = Problems(NAME)


@pytest.fixture(scope="module")
def run() -> registry.Run:
    return registry.load({"datasets": NAME}, ROOT)


@pytest.fixture(scope="module")
def samples(run: registry.Run) -> list[Sample]:
    task, fields = tasks.get("code_generation"), run.datasets[NAME]["fields"]
    return [task.normalise(row, fields, row["task_id"]) for row in PROBLEMS.all_rows()]


def states(run: registry.Run, samples: list[Sample], programs: dict[str, str]) -> dict[str, str]:
    """Return what becomes of an answer with these programs, by sample."""
    predictions = [
        Prediction(
            id=sample["id"],
            repeat=0,
            completion=f"Here it is:\n\n```python\n{programs[sample['id']]}```\n\nThat solves it.",
            finish_reason="stop",
            prompt_tokens=1,
            completion_tokens=1,
            cut_tokens=0,
        )
        for sample in samples
    ]
    model = run.models["smollm2_135m"]
    scored = score_pair(samples, predictions, run.datasets[NAME], model, run.settings, NAME)
    return {score["id"]: score["state"] for score in scored.scores}


def test_every_reference_is_correct(run: registry.Run, samples: list[Sample]) -> None:
    assert len(samples) == 50
    found = states(run, samples, {s["id"]: s["target"]["solution"] for s in samples})
    assert set(found.values()) == {"correct"}, found


@pytest.mark.parametrize("number", [0, 1, 2])
def test_no_wrong_program_is_correct(run: registry.Run, samples: list[Sample], number: int) -> None:
    wrong = {
        name: programs[number]["program"]
        for topic in PROBLEMS.topics
        for name, programs in PROBLEMS.wrong_programs(topic).items()
    }
    found = states(run, samples, wrong)
    assert set(found.values()) == {"wrong"}, found


def test_only_tests_that_cannot_be_apart_are_judged_together(samples: list[Sample]) -> None:
    together = [s for s in samples if s["metadata"].get("judging") == "together"]
    assert 0 < len(together) < 15
    programs = [
        Program(
            s["target"]["solution"],
            Check(s["metadata"]["tests"], s["metadata"]["entry_point"], s["metadata"]["prompt"]),
        )
        for s in together
    ]
    with Sandbox() as sandbox:
        outcomes = sandbox.run(programs)
    assert "passed" not in {outcome.verdict for outcome in outcomes}
