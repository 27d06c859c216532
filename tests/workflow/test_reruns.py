"""Exactly what depends on a change runs again, with one engine start per model concerned."""

from __future__ import annotations

import json
import shutil
from typing import Any

import pytest
from workflow_copy import Outcome, Workflow, dataset, model, row

pytestmark = pytest.mark.workflow

PREDICTIONS = "results/pairs/*/*/*/predictions.jsonl"


def test_the_first_run(first_run: tuple[Workflow, Outcome]) -> None:
    _, outcome = first_run
    outcome.only(fetch_model=3, fetch_dataset=2, generate=3, predictions=6, score=6)
    assert sorted(outcome.engines) == ["alpha", "beta", "gamma"]
    assert len(outcome.answered) == 18


def test_nothing_to_do(finished: Workflow) -> None:
    outcome = finished.run()
    assert not outcome.jobs
    assert not outcome.engines
    assert "Nothing to be done" in outcome.output


def test_the_scores_are_right(finished: Workflow) -> None:
    for path in finished.folder.glob("results/pairs/*/first/*/score-*/metrics.json"):
        metrics = json.loads(path.read_text())
        assert metrics["states"] == {"correct": 1, "wrong": 2, "incomplete": 0, "unscored": 0}
        assert metrics["metrics"]["pass@1"]["value"] == pytest.approx(1 / 3)
    rows = (finished.folder / "results/summary/leaderboard.csv").read_text().splitlines()
    assert len(rows) == 1 + 6


def test_one_model_edited(finished: Workflow) -> None:
    finished.models["beta"]["dtype"] = "float32"
    outcome = finished.run()
    outcome.only(generate=1, predictions=2, score=2)
    assert outcome.engines == ["beta"]
    assert len(outcome.answered) == 6


def test_an_edit_taken_back(finished: Workflow) -> None:
    finished.models["beta"]["dtype"] = "float32"
    finished.run()
    finished.models["beta"]["dtype"] = "auto"
    outcome = finished.run()
    outcome.only()
    assert not outcome.engines


def test_dataset_added(finished: Workflow) -> None:
    finished.datasets["third"] = dataset("third")
    finished.rows("third", [row(1), row(2)])
    outcome = finished.run()
    outcome.only(fetch_dataset=1, generate=3, predictions=3, score=3)
    assert sorted(outcome.engines) == ["alpha", "beta", "gamma"]
    assert len(outcome.answered) == 6


def test_model_added(finished: Workflow) -> None:
    finished.models["delta"] = model(finished.folder, "delta")
    outcome = finished.run()
    outcome.only(fetch_model=1, generate=1, predictions=2, score=2)
    assert outcome.engines == ["delta"]


def test_a_row_of_a_dataset_edited_asks_only_that_row_again(finished: Workflow) -> None:
    finished.rows("second", [row(1, column="g"), row(2, "A new text.", "g"), row(3, column="g")])
    outcome = finished.run()
    outcome.only(fetch_dataset=1, generate=3, predictions=3, score=3)
    assert len(outcome.answered) == 3


def test_a_prompt_edited(finished: Workflow) -> None:
    finished.datasets["second"]["prompt"]["chat"] = "Please solve this:\n{{ prompt }}"
    outcome = finished.run()
    outcome.only(generate=3, predictions=3, score=3)
    assert len(outcome.answered) == 9


def test_scoring_edited_needs_no_engine(finished: Workflow) -> None:
    finished.datasets["second"]["scoring"] = {"memory_mb": 512}
    outcome = finished.run()
    outcome.only(score=3)
    assert not outcome.engines


def test_dataset_removed(finished: Workflow) -> None:
    del finished.datasets["second"]
    outcome = finished.run()
    outcome.only()
    assert set(outcome.jobs) <= {"all", "summarize", "report"}
    rows = (finished.folder / "results/summary/leaderboard.csv").read_text().splitlines()[1:]
    assert {row.split(",")[1] for row in rows} == {"first"}


def test_limit_raised_asks_only_the_new_samples(workflow: Workflow) -> None:
    workflow.run("--config", "limit=2")
    outcome = workflow.run("--config", "limit=3")
    outcome.only(generate=3, predictions=6, score=6)
    assert len(outcome.answered) == 6


def test_machine_settings_change_nothing(finished: Workflow) -> None:
    limits = {"gpu_memory_utilization": 0.5, "max_num_seqs": 8, "max_num_batched_tokens": 512}
    finished.models["beta"]["engine_limits"] |= limits
    finished.models["beta"]["title"] = "A nicer name"
    outcome = finished.run()
    outcome.only()
    assert not outcome.engines


def test_snakemakes_memory_deleted(finished: Workflow) -> None:
    shutil.rmtree(finished.folder / ".snakemake")
    outcome = finished.run()
    outcome.only()
    assert not outcome.engines


@pytest.mark.parametrize(
    "name", ["predictions.jsonl", "prompts.jsonl", "timings.jsonl", "meta.json"]
)
def test_a_file_deleted_comes_back_without_an_engine(finished: Workflow, name: str) -> None:
    before = finished.files(PREDICTIONS)
    next(finished.folder.glob(f"results/pairs/beta/first/*/{name}")).unlink()
    outcome = finished.run()
    outcome.only(generate=1, predictions=1, score=1)
    assert not outcome.engines, "the journal holds every answer"
    assert finished.files(PREDICTIONS) == before


@pytest.mark.parametrize("folders", [["results/pairs"], ["results/pairs", "results/journal"]])
def test_every_pair_deleted(finished: Workflow, folders: list[str]) -> None:
    before = finished.files(PREDICTIONS)
    for folder in folders:
        shutil.rmtree(finished.folder / folder)
    outcome = finished.run()
    outcome.only(generate=3, predictions=6, score=6)
    assert len(outcome.answered) == (18 if "results/journal" in folders else 0)
    assert finished.files(PREDICTIONS) == before


@pytest.mark.parametrize("name", ["results/summary", "reports/report.md", "reports/index.html"])
def test_the_summary_or_the_report_deleted(finished: Workflow, name: str) -> None:
    path = finished.folder / name
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    outcome = finished.run()
    outcome.only()
    assert outcome.jobs["report"] == 1
    assert path.exists()


def test_scores_deleted(finished: Workflow) -> None:
    next(finished.folder.glob("results/pairs/beta/first/*/score-*/scores.jsonl")).unlink()
    outcome = finished.run()
    outcome.only(score=1)


def test_files_touched(finished: Workflow) -> None:
    for path in finished.folder.rglob("*"):
        if path.is_file() and ".snakemake" not in path.parts:
            path.touch()
    outcome = finished.run()
    outcome.only()
    assert not outcome.engines


def test_other_weights_are_never_served_from_the_journal(finished: Workflow) -> None:
    """A model's files change under the same path, prompts and sampling being equal."""
    (finished.folder / "models" / "alpha" / "weights.json").write_text('"other"')
    outcome = finished.run()
    outcome.only(fetch_model=1, generate=1, predictions=2, score=2)
    assert outcome.engines == ["alpha"]
    assert len(outcome.answered) == 6


@pytest.mark.parametrize(
    "change",
    [
        {"quantization": "awq"},
        {"dtype": "float16"},
        {"engine_arguments": {"load_format": "dummy", "x": 1}},
    ],
)
def test_another_number_format_is_never_served_from_the_journal(
    finished: Workflow, change: dict[str, Any]
) -> None:
    finished.models["alpha"] |= change
    outcome = finished.run()
    outcome.only(generate=1, predictions=2, score=2)
    assert len(outcome.answered) == 6


def test_redo(finished: Workflow) -> None:
    finished.run("redo", "--config", "models=alpha", "datasets=first")
    outcome = finished.run()
    outcome.only(generate=1, predictions=1, score=1)
    assert outcome.engines == ["alpha"]
    assert len(outcome.answered) == 3


def test_two_undisturbed_runs_give_the_same_bytes(finished: Workflow) -> None:
    patterns = (
        PREDICTIONS,
        "results/pairs/*/*/*/score-*/scores.jsonl",
        "results/summary/leaderboard.csv",
    )
    before = [finished.files(pattern) for pattern in patterns]
    shutil.rmtree(finished.folder / "results")
    finished.run()
    assert [finished.files(pattern) for pattern in patterns] == before


def test_one_engine_per_pair_where_asked_for(workflow: Workflow) -> None:
    workflow.selection["pairs_per_engine"] = 1
    outcome = workflow.run()
    outcome.only(fetch_model=3, fetch_dataset=2, generate=6, predictions=6, score=6)
    assert len(outcome.engines) == 6


def test_a_dry_run_starts_nothing_and_tells_what_would_run(finished: Workflow) -> None:
    finished.models["beta"]["dtype"] = "float32"
    outcome = finished.run("-n")
    assert not outcome.engines
    outcome.only(generate=1, predictions=2, score=2)
