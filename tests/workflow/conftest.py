"""The workflow in a folder of its own, with a small registry."""

from __future__ import annotations

import copy
import shutil
from pathlib import Path

import pytest
from workflow_copy import ROOT, Outcome, Workflow, dataset, model, row


def made(base: Path) -> Workflow:
    """Return three models × two datasets of three problems each, not yet run."""
    folder = base / "copy"
    folder.mkdir()
    for name in ("workflow", "profiles", "envs"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "Snakefile", folder)
    (folder / "config").mkdir()
    workflow = Workflow(
        folder,
        models={name: model(folder, name) for name in ("alpha", "beta", "gamma")},
        datasets={name: dataset(name) for name in ("first", "second")},
    )
    workflow.rows("first", [row(1, "SOLVE:def f(x):;return x"), row(2), row(3)])
    workflow.rows("second", [row(number, column="g") for number in (1, 2, 3)])
    return workflow


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
