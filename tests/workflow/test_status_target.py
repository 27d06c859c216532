"""`snakemake status` beside a run and after it, and `snakemake prune`."""

from __future__ import annotations

import json

import pytest
from killing import started
from process_table import seconds_until, working_in
from workflow_copy import Workflow, row

pytestmark = pytest.mark.workflow


def cells(output: str, table: str, first: str) -> list[str]:
    """Return the cells of the row of a table that begins so."""
    rows = iter(output.splitlines())
    assert any(line == table for line in rows), output
    return next(found for line in rows if (found := line.split())[:1] == [first])


def test_beside_a_run_it_tells_how_far_it_is_and_leaves_it_alone(workflow: Workflow) -> None:
    workflow.models = {"alpha": workflow.models["alpha"]}
    workflow.models["alpha"]["engine_limits"]["stall_timeout_s"] = 300
    workflow.rows("first", [row(1), row(2), row(3, "HANG"), row(4)])
    workflow.write()
    journal = workflow.folder / "results/journal/alpha/first.jsonl"
    locks = workflow.folder / ".snakemake/locks"
    with started(workflow) as process:
        two = lambda: journal.exists() and journal.read_text().count("\n") == 2  # noqa: E731
        assert seconds_until(two, 120) < 120
        held = sorted(path.name for path in locks.iterdir())
        assert held
        before = workflow.files("results/[jdmpe]*/**/*")
        output = workflow.run("status").output
        assert workflow.files("results/[jdmpe]*/**/*") == before
        assert sorted(path.name for path in locks.iterdir()) == held
        assert process.poll() is None
    assert seconds_until(lambda: not working_in(workflow.folder), 60) < 60
    assert "2 pairs of 1 model and 2 datasets: 2 running." in output
    assert f"A run is at work: process {process.pid} since " in output
    assert cells(output, "Models", "alpha")[:3] == ["alpha", "2", "2"]
    engine = cells(output, "Engines that answer now", "alpha")
    assert engine[1] == "2"
    assert "2 of 7 (29%)" in " ".join(engine)
    after = workflow.run("status").output
    assert "2 pairs of 1 model and 2 datasets: 2 missing." in after
    assert "No run is at work in this folder." in after
    assert "The rest takes ≈ 5 requests" in after
    assert sorted(path.name for path in locks.iterdir()) == held  # they are for unlock to take away


def test_after_a_failed_run_it_tells_why_and_how_to_go_on(finished: Workflow) -> None:
    finished.models["beta"]["source"] = {"package": "no-such-thing==1.0", "file": "m.gguf"}
    finished.run(expect=1)
    before = finished.files("results/[!lr]*/**/*")
    outcome = finished.run("status")
    outcome.only(status=1)
    assert finished.files("results/[!lr]*/**/*") == before
    assert "6 pairs of 3 models and 2 datasets: 4 done, 2 failed." in outcome.output
    assert cells(outcome.output, "Models", "beta")[:4] == ["beta", "2", "0", "2"]
    assert "beta on 2 datasets (fetch_model): model beta: got no installed" in outcome.output
    assert "    log: results/logs/fetch_model/beta." in outcome.output
    assert "To go on: snakemake --cores 1 --resources gpu=1" in outcome.output


def test_prune_removes_what_no_configuration_yields_and_no_answer(finished: Workflow) -> None:
    finished.models["alpha"]["dtype"] = "float32"
    listed = finished.run("prune")
    listed.only(prune=1)
    assert "model changed (dtype: auto → float32)" in listed.output
    assert "2 folders, " in listed.output
    before = finished.files("results/pairs/**/*")
    journals = finished.files("results/journal/**/*")
    removed = finished.run("prune", "--config", "confirm=true")
    assert "Removed: 2 folders, " in removed.output
    assert finished.files("results/journal/**/*") == journals
    left = {path: data for path, data in before.items() if "/alpha/" not in path}
    assert finished.files("results/pairs/**/*") == left
    del finished.models["alpha"]["dtype"]
    again = finished.run()
    again.only(generate=1, predictions=2, score=2)
    assert not again.engines
    for path, data in before.items():
        if path.endswith("predictions.jsonl"):
            assert (finished.folder / path).read_bytes() == data
    assert json.loads((finished.folder / "results/summary/failures.json").read_text()) == []
