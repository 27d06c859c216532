"""Failure stays where it happens, is told in one line, and is tried again by the next run."""

from __future__ import annotations

import json
import os
import signal
from typing import Any

import pytest
from killing import at_work, journals, started
from process_table import seconds_until, working_in
from workflow_copy import Outcome, Workflow, model, row

pytestmark = pytest.mark.workflow


def leaderboard(workflow: Workflow) -> set[tuple[str, str]]:
    lines = (workflow.folder / "results/summary/leaderboard.csv").read_text().splitlines()[1:]
    return {(line.split(",")[0], line.split(",")[1]) for line in lines}


def failures(workflow: Workflow) -> dict[tuple[str, str], dict[str, Any]]:
    records = json.loads((workflow.folder / "results/summary/failures.json").read_text())
    return {(record["model"], record["dataset"]): record for record in records}


def one_line(outcome: Outcome, *words: str) -> None:
    """Assert that some line of the output says all these words."""
    assert any(all(word in line for word in words) for line in outcome.output.splitlines()), (
        outcome.output
    )


def pairs(*models: str) -> set[tuple[str, str]]:
    return {(name, dataset) for name in models for dataset in ("first", "second")}


def test_a_dataset_that_cannot_be_had(workflow: Workflow) -> None:
    workflow.datasets["second"]["sources"] = [
        {"package": "no-such-thing==1.0", "file": "rows.jsonl"}
    ]
    outcome = workflow.run(expect=1)
    one_line(outcome, "second", "no-such-thing", "pip install")
    assert leaderboard(workflow) == {(name, "first") for name in ("alpha", "beta", "gamma")}
    assert set(failures(workflow)) == {(name, "second") for name in ("alpha", "beta", "gamma")}
    report = (workflow.folder / "reports/report.md").read_text()
    assert "no-such-thing" in report
    assert (workflow.folder / "reports/index.html").exists()
    workflow.datasets["second"]["sources"] = [{"path": "config/second.jsonl"}]
    again = workflow.run()
    again.only(fetch_dataset=1, generate=3, predictions=3, score=3)
    assert failures(workflow) == {}


def test_a_model_that_cannot_be_had(workflow: Workflow) -> None:
    workflow.models["beta"]["source"] = {"package": "no-such-thing==1.0", "file": "model.gguf"}
    outcome = workflow.run(expect=1)
    one_line(outcome, "beta", "no-such-thing", "pip install")
    assert sorted(outcome.engines) == ["alpha", "gamma"]
    assert leaderboard(workflow) == pairs("alpha", "gamma")


def test_a_model_without_a_tokenizer(workflow: Workflow) -> None:
    folder = workflow.folder / "models" / "beta"
    (folder / "tokenizer.json").unlink()
    (folder / "tokenizer_config.json").unlink()
    outcome = workflow.run(expect=1)
    one_line(outcome, "beta", "tokenizer")
    assert leaderboard(workflow) == pairs("alpha", "gamma")


def test_a_context_longer_than_the_model(workflow: Workflow) -> None:
    workflow.models["beta"]["max_model_len"] = 1_000_000
    outcome = workflow.run(expect=1)
    one_line(outcome, "model beta: max_model_len: got 1000000; expected at most")
    assert sorted(outcome.engines) == ["alpha", "gamma"]
    assert leaderboard(workflow) == pairs("alpha", "gamma")


def test_a_model_that_needs_a_gpu_where_there_is_none(workflow: Workflow) -> None:
    workflow.models["beta"]["runs_on_cpu"] = False
    workflow.environment["CUDA_VISIBLE_DEVICES"] = ""
    outcome = workflow.run(expect=1)
    one_line(outcome, "model beta: got a machine without a GPU", "expected 1 GPU(s)")
    assert leaderboard(workflow) == pairs("alpha", "gamma")


def test_a_prompt_that_does_not_fit_is_a_record_and_the_others_go_on(workflow: Workflow) -> None:
    workflow.datasets["first"]["truncate"] = None
    workflow.rows("first", [row(1), row(2, "word " * 3000), row(3)])
    workflow.run()
    for path in workflow.folder.glob("results/pairs/*/first/*/predictions.jsonl"):
        records = [json.loads(line) for line in path.read_text().splitlines()]
        assert [record["finish_reason"] for record in records] == ["stop", "error", "stop"]
        assert "tokens" in records[1]["error"]


def test_a_request_that_the_engine_refuses_is_a_record(workflow: Workflow) -> None:
    workflow.rows("first", [row(1), row(2, "REFUSE"), row(3)])
    workflow.run()
    path = next(workflow.folder.glob("results/pairs/alpha/first/*/predictions.jsonl"))
    records = [json.loads(line) for line in path.read_text().splitlines()]
    assert records[1]["error"] == "this prompt cannot be answered"
    scores = [
        json.loads(line)
        for line in next(path.parent.glob("score-*/scores.jsonl")).read_text().splitlines()
    ]
    assert [score["state"] for score in scores] == ["wrong", "unscored", "wrong"]
    assert scores[1]["value"] is None


def test_a_request_that_kills_the_engine_twice_is_a_record(workflow: Workflow) -> None:
    workflow.models = {"alpha": workflow.models["alpha"]}
    workflow.rows("first", [row(1), row(2), row(3, "DIE"), row(4), row(5)])
    outcome = workflow.run()
    path = next(workflow.folder.glob("results/pairs/alpha/first/*/predictions.jsonl"))
    records = [json.loads(line) for line in path.read_text().splitlines()]
    assert ["error" in record for record in records] == [False, False, True, False, False]
    assert "killed the engine twice" in records[2]["error"]
    assert len(outcome.engines) > 2
    assert len(outcome.answered) == len(set(outcome.answered)) == 4 + 3
    workflow.run().only()


def test_an_engine_that_hangs_is_killed_and_its_request_a_record(workflow: Workflow) -> None:
    workflow.models = {"alpha": workflow.models["alpha"]}
    workflow.models["alpha"]["engine_limits"]["stall_timeout_s"] = 2
    workflow.datasets = {"first": workflow.datasets["first"]}
    workflow.rows("first", [row(1), row(2, "HANG")])
    workflow.run()
    path = next(workflow.folder.glob("results/pairs/alpha/first/*/predictions.jsonl"))
    records = [json.loads(line) for line in path.read_text().splitlines()]
    assert "error" not in records[0]
    assert "silent for 2 s" in records[1]["error"]


def test_an_engine_that_does_not_start_fails_its_model_only(workflow: Workflow) -> None:
    workflow.models["beta"]["engine"] = "standin:NoSuchEngine"
    outcome = workflow.run(expect=1)
    one_line(outcome, "beta", "NoSuchEngine")
    assert leaderboard(workflow) == pairs("alpha", "gamma")
    again = workflow.run(expect=1)
    again.only(generate=1, predictions=2)
    workflow.models["beta"]["engine"] = "standin:StandIn"
    workflow.run().only(generate=1, predictions=2, score=2)
    assert leaderboard(workflow) == pairs("alpha", "beta", "gamma")


def test_the_reason_for_a_broken_start_is_the_engines_own(workflow: Workflow) -> None:
    workflow.environment["STANDIN_BROKEN"] = "1"
    outcome = workflow.run(expect=1)
    one_line(outcome, "alpha", "CUDA out of memory")
    assert failures(workflow)[("alpha", "first")]["log"]
    del workflow.environment["STANDIN_BROKEN"]
    workflow.run().only(generate=3, predictions=6, score=6)


def test_earlier_results_are_untouched_by_a_failed_run(workflow: Workflow) -> None:
    workflow.run()
    before = workflow.files("results/pairs/**/*")
    workflow.models["delta"] = model(workflow.folder, "delta")
    workflow.models["delta"]["engine"] = "standin:NoSuchEngine"
    workflow.run(expect=1)
    assert workflow.files("results/pairs/**/*") == before


def test_a_wrong_configuration_starts_nothing(workflow: Workflow) -> None:
    workflow.models["beta"]["dtyp"] = "float16"
    outcome = workflow.run(expect=None)
    assert outcome.code != 0
    one_line(outcome, "config/models.yaml: models.beta", "dtyp", "dtype")
    assert "Traceback" not in outcome.output
    assert not outcome.jobs


# -- told to stop; for kills see tests/faults/test_kills.py ------------------------------------------


@pytest.mark.parametrize("told", ["job", "snakemake"])
@pytest.mark.parametrize("answers", [0, 3, 8])
def test_told_to_stop_while_generating(workflow: Workflow, told: str, answers: int) -> None:
    """Nothing finished is asked again, nothing journalled changes, nothing keeps running."""
    workflow.models = {"alpha": workflow.models["alpha"]}
    workflow.rows("first", [row(number) for number in range(8)])
    workflow.environment["STANDIN_STEP_S"] = "0.1"
    workflow.write()

    def journal() -> list[bytes]:
        return [line for text in journals(workflow.folder).values() for line in text.splitlines()]

    with started(workflow) as process:
        seconds_until(
            lambda: len(journal()) >= answers and "generate" in at_work(workflow.folder), 60
        )
        job = at_work(workflow.folder)["generate"]
        if told == "job":
            os.kill(job, signal.SIGTERM)
        else:
            os.killpg(process.pid, signal.SIGINT)  # Ctrl-C
        process.wait(60)
    seconds_until(lambda: not working_in(workflow.folder), 15)
    assert working_in(workflow.folder) == {}
    kept = journal()
    assert len(kept) >= answers

    outcome = workflow.run()
    asked_before = {json.loads(line)["request"] for line in kept}
    assert not asked_before & set(outcome.answered)
    assert len(asked_before) + len(outcome.answered) == 8 + 3
    assert [line for line in journal() if line in set(kept)] == kept
