"""The workflow in a folder of its own, with a small registry."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from workflow_copy import ROOT, Workflow, dataset, model, row


@pytest.fixture
def workflow(tmp_path: Path) -> Workflow:
    """Three models × two datasets of three problems each."""
    folder = tmp_path / "copy"
    folder.mkdir()
    for name in ("workflow", "profiles", "envs"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "Snakefile", folder)
    (folder / "config").mkdir()
    made = Workflow(
        folder,
        models={name: model(tmp_path, name) for name in ("alpha", "beta", "gamma")},
        datasets={name: dataset(name) for name in ("first", "second")},
    )
    made.rows("first", [row(1, "SOLVE:def f(x):;return x"), row(2), row(3)])
    made.rows("second", [row(number, column="g") for number in (1, 2, 3)])
    return made
