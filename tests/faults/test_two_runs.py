"""Two runs on one folder: the second is told in one line, and so is what a killed one left."""

from __future__ import annotations

import fcntl

import pytest
from workflow_copy import Workflow

pytestmark = pytest.mark.faults


def errors(output: str) -> list[str]:
    return [line for line in output.splitlines() if line.startswith("error: ")]


def test_a_second_run_is_refused_in_one_line_and_a_dry_one_is_not(workflow: Workflow) -> None:
    workflow.models = {"alpha": workflow.models["alpha"]}
    path = workflow.folder / "results" / ".making"
    path.parent.mkdir()
    with path.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        held.write("process 7 on node1, since 2026-11-29 12:00")
        held.flush()
        second = workflow.run(expect=2)
        assert errors(second.output) == [
            "error: results: got another run at work in this folder (process 7 on node1, since 2026-11-29 12:00); "
            "expected one at a time. Wait for it (snakemake status --cores 1 tells how far it is), or end it with "
            "Ctrl-C: no answer is lost."
        ]
        assert not second.engines
        assert "Traceback" not in second.output
        workflow.run("-n")


def test_the_lock_of_a_killed_run_is_named_with_its_remedy(workflow: Workflow) -> None:
    workflow.models = {"alpha": workflow.models["alpha"]}
    lock = workflow.folder / ".snakemake" / "locks" / "0.output.lock"
    lock.parent.mkdir(parents=True)
    lock.write_text("reports/index.html\n")
    refused = workflow.run(expect=2)
    assert errors(refused.output) == [
        "error: .snakemake/locks: got a lock that a killed run left; expected none. snakemake --unlock, then the same "
        "command; make run does both."
    ]
    workflow.run("--unlock")
    assert not lock.exists()
