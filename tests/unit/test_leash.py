"""A job ends when the Snakemake that started it does."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from snakeval import leash

SCRIPTS = Path(leash.__file__).parents[1]
JOB = """
import sys, time
from snakeval.errors import run_cli

def main():
    print("at work", flush=True)
    sys.stdin.readline()
    print("done")

run_cli(main, stops_itself="itself" in sys.argv)
"""


@pytest.fixture
def workflow() -> Iterator[subprocess.Popen[bytes]]:
    """A process that stands for Snakemake."""
    with subprocess.Popen(["sleep", "60"]) as process:
        yield process
        process.kill()


def started(workflow: int | None, *arguments: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(SCRIPTS)}
    if workflow is not None:
        environment[leash.VARIABLE] = str(workflow)
    return subprocess.Popen(
        [sys.executable, "-c", JOB, *arguments],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def test_a_job_ends_with_its_workflow(workflow: subprocess.Popen[bytes]) -> None:
    with started(workflow.pid) as job:
        assert job.stdout
        assert job.stdout.readline() == "at work\n"
        workflow.kill()
        assert job.wait(10) == 143
        assert job.stdout.read() == ""


def test_a_job_whose_workflow_is_gone_does_not_begin(workflow: subprocess.Popen[bytes]) -> None:
    workflow.kill()
    workflow.wait()
    with started(workflow.pid) as job:
        assert job.wait(10) == 143
        assert job.stdout
        assert job.stdout.read() == ""


@pytest.mark.parametrize("arguments", [(), ("itself",)])
def test_a_job_without_a_workflow_or_that_stops_itself_goes_on(
    workflow: subprocess.Popen[bytes], arguments: tuple[str, ...]
) -> None:
    with started(workflow.pid if arguments else None, *arguments) as job:
        assert job.stdout
        assert job.stdout.readline() == "at work\n"
        workflow.kill()
        workflow.wait()
        assert job.communicate("\n", timeout=10) == ("done\n", None)
        assert job.returncode == 0
