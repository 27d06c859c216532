"""Models that take several GPUs, under Snakemake's own limit, which it would apply without a word."""

from __future__ import annotations

import subprocess

import pytest
from workflow_copy import Workflow

pytestmark = pytest.mark.workflow

ERROR = (
    "error: model beta: GPUs: got --resources gpu=1; expected at least gpu=2, what one engine of it takes. "
    "Give --resources gpu=2 if the machine has them, or exclude_models=beta."
)


def test_a_model_beyond_the_limit_is_refused_before_anything_runs(workflow: Workflow) -> None:
    workflow.models["beta"]["engine_arguments"]["pipeline_parallel_size"] = 2
    refused = workflow.run(expect=None)
    assert refused.code != 0
    assert [line for line in refused.output.splitlines() if "error" in line.lower()] == [ERROR]
    assert "Traceback" not in refused.output
    assert refused.jobs == {}

    outcome = workflow.run("-n", "--config", "exclude_models=beta")
    outcome.only(fetch_model=2, fetch_dataset=2, generate=2, predictions=4, score=4)

    command, environment = workflow.command("-n", "--config", "models=beta")
    assert command.pop() == "gpu=1"
    for limit in (["gpu=2"], []):  # the second: without `--resources` nothing is limited
        given = command + limit if limit else command[:-1]
        done = subprocess.run(
            given,
            cwd=workflow.folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert "gpu=2" in done.stdout
