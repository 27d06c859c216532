"""The report names the commit of the workflow that made it."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from reported_run import make_run
from snakeval.reporting import checkout, report, summarize


def git(folder: Path, *arguments: str) -> str:
    who = ["-c", "user.name=a", "-c", "user.email=a@b"]
    done = subprocess.run(
        ["git", "-C", str(folder), *who, *arguments], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    tree = tmp_path / "tree"
    tree.mkdir()
    git(tree, "init", "--quiet")
    (tree / "file").write_text("one")
    git(tree, "add", "file")
    git(tree, "commit", "--quiet", "-m", "one")
    git(tree, "tag", "v1")
    return tree


def test_a_commit_and_whether_files_differ_from_it(tree: Path) -> None:
    head = git(tree, "rev-parse", "HEAD")
    assert checkout.commit(tree) == head
    (tree / "untracked").write_text("results are no change")
    assert checkout.commit(tree) == head
    (tree / "file").write_text("two")
    assert checkout.commit(tree) == f"{head}-dirty"


def test_a_copy_without_git_has_none(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tree / "copy").mkdir()  # whose parent is a checkout of something else
    assert checkout.commit(tree / "copy") is None
    monkeypatch.setenv("PATH", str(tree))
    assert checkout.commit(tree) is None


def test_both_pages_show_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkout, "commit", lambda: f"{'a' * 40}-dirty")
    run = make_run(tmp_path)
    summarize(run, tmp_path, tmp_path / "summary")
    kept = json.loads((tmp_path / "summary" / "provenance.json").read_text())
    assert kept["workflow_commit"] == f"{'a' * 40}-dirty"
    report(run, tmp_path, tmp_path / "summary", tmp_path / "reports")
    for page in ("index.html", "report.md"):
        assert f"{'a' * 40}-dirty" in (tmp_path / "reports" / page).read_text()
