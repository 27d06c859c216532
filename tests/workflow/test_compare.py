"""`snakemake compare` holds what the last run left against a kept summary, and guards a pipeline."""

from __future__ import annotations

import json
import shutil

import pytest
from workflow_copy import Workflow, row

pytestmark = pytest.mark.workflow


def test_a_regression_stops_a_pipeline_that_asks_for_it(workflow: Workflow) -> None:
    workflow.selection = {"models": ["alpha"], "datasets": ["first"]}
    workflow.rows("first", [row(number, "SOLVE:def f(x):;return x") for number in range(8)])
    workflow.run()
    shutil.copytree(workflow.folder / "results/summary", workflow.folder / "kept/2026-11-29")
    workflow.models["alpha"]["system_prompt"] = "SOLVE:def f(x):;return None\n"
    report = workflow.folder / "reports/report.md"
    assert "Since the last report" not in report.read_text()
    workflow.run()
    assert "alpha on first, 8 lost: t/0, t/1" in report.read_text()
    assert "| how alpha is asked | greedy | greedy, with a system prompt" in report.read_text()
    asked = ("compare", "--config", "baseline=kept/2026-11-29")
    outcome = workflow.run(*asked)
    outcome.only(compare=1)
    assert "alpha on first  100.0 % → 0.0 %" in outcome.output
    assert "how alpha is asked: greedy → greedy, with a system prompt of its own" in outcome.output
    outcome = workflow.run(*asked, "fail_on_regression=true", expect=1)
    outcome.only(compare=1)
    assert (
        "error: fail_on_regression: worse than the baseline: alpha on first (−100.0 points)."
        in outcome.output.splitlines()
    )
    kept = json.loads((workflow.folder / "reports/compare.json").read_text())
    (pair,) = kept["pairs"]
    assert pair["verdict"] == "worse"
    assert [flip["id"] for flip in pair["flipped"]] == [f"t/{number}" for number in range(8)]
    assert "alpha | first" in (workflow.folder / "reports/compare.md").read_text()
