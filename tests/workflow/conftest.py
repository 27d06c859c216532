"""The workflow in a folder of its own, with a small registry."""

from __future__ import annotations

import copy
import shutil
from pathlib import Path

import pytest
from workflow_copy import Outcome, Workflow, made


@pytest.fixture
def workflow(tmp_path: Path) -> Workflow:
    """Three models × two datasets, not yet run."""
    return made(tmp_path)


@pytest.fixture(scope="session")
def first_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Workflow, Outcome]:
    """The first run, made once; tests work on copies of it."""
    workflow = made(tmp_path_factory.mktemp("first"))
    return workflow, workflow.run()


@pytest.fixture
def finished(first_run: tuple[Workflow, Outcome], tmp_path: Path) -> Workflow:
    """A copy of the workflow as it is after its first run."""
    workflow, _ = first_run
    shutil.copytree(workflow.folder.parent, tmp_path / "base", symlinks=True)
    models, datasets = copy.deepcopy((workflow.models, workflow.datasets))
    return Workflow(tmp_path / "base" / "copy", models, datasets)
