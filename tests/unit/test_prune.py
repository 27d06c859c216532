"""Which predictions no configuration yields, what is said of them, and that nothing else is removed."""

from __future__ import annotations

import fcntl
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from snakeval import at_work, leash, prune
from snakeval.errors import SnakevalError, StorageError
from snakeval.records import write_json, write_text
from snakeval.registry import Run
from unit.test_registry import Project

OLD = "0" * 12


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(leash.VARIABLE, str(os.getpid()))
    made = Project(tmp_path)
    made.load()
    return made


def predictions(run: Run, model: str, dataset: str, key: str | None = None, **changes: Any) -> Path:
    """Write predictions as the run makes them, with another key or spec where that is given."""
    spec = run.spec(model, dataset) | changes
    path = Path("results/pairs", model, dataset, key or run.key(model, dataset))
    write_json(path / "meta.json", {"spec": spec})
    write_text(path / f"score-{OLD}" / "scores.jsonl", "x" * 2_000_000)
    return path


def everything(project: Project, **given: Any) -> Run:
    """Return the run of every model on every dataset."""
    return project.load(
        models=["small", "large", "base"], datasets=["problems", "puzzles"], **given
    )


def found(**given: Any) -> dict[Path, str]:
    return {old.path: old.why for old in prune.find(given, Path())}


def lines(**given: Any) -> str:
    return "\n".join(prune.prune(given, Path()))


class TestFind:
    def test_what_is_not_selected_today_is_kept(self, project: Project) -> None:
        run = everything(project)
        for pair in run.pairs:
            predictions(run, pair.model, pair.dataset)
        assert len(run.pairs) == 6
        assert not found()
        assert lines().startswith("Nothing to prune")

    def test_excluded_ones_are_kept(self, project: Project) -> None:
        predictions(everything(project), "large", "problems")
        project.files["config"] = {"run": {"models": ["small"], "datasets": ["problems"]}}
        project.files["config"]["run"]["exclude_models"] = ["large"]
        project.load()
        assert not found()
        assert not found(exclude_models="large", exclude_datasets="puzzles")

    def test_what_another_limit_made_goes_unless_it_is_given(self, project: Project) -> None:
        run = everything(project, limit=5)
        path = predictions(run, "large", "puzzles")  # which are not selected
        project.load()
        assert found() == {path: "limit raised from 5 to all"}
        assert not found(limit=5)
        assert not found(run={"limit": 5})

    def test_what_a_ready_made_run_yields_is_kept(self, project: Project, tmp_path: Path) -> None:
        path = predictions(everything(project, limit=5), "large", "puzzles")
        project.files["models"]["large"]["dtype"] = "float32"
        mine = everything(project)
        other = predictions(mine, "large", "puzzles")
        del project.files["models"]["large"]["dtype"]
        project.load()
        assert set(found()) == {path, other}
        ready = {"run": {"limit": 5, "models": ["small"], "datasets": ["problems"]}}
        write_text(tmp_path / "config" / "quick.yaml", yaml.safe_dump(ready))
        assert set(found()) == {other}
        ready = {"models": {"large": {"dtype": "float32"}}}
        write_text(tmp_path / "config" / "mine.yaml", yaml.safe_dump(ready))
        assert not found()

    def test_a_ready_made_run_that_is_wrong_keeps_everything(
        self, project: Project, tmp_path: Path
    ) -> None:
        predictions(everything(project), "large", "puzzles", OLD)
        project.load()
        write_text(tmp_path / "config" / "quick.yaml", "run: {limit: many}")
        with pytest.raises(SnakevalError, match=r"config/quick.yaml: got what is no run .*'many'"):
            found()

    def test_what_is_in_no_registry_goes(self, project: Project) -> None:
        run = everything(project)
        paths = [predictions(run, model, "problems") for model in ("large", "base")]
        gone = [predictions(run, "small", "puzzles"), *paths[:1]]
        del project.files["models"]["large"], project.files["datasets"]["puzzles"]
        project.files["categories"] = {}
        project.load()
        assert found() == dict.fromkeys(gone, "model or dataset is not in the registry any more")

    def test_it_is_told_what_changed(self, project: Project) -> None:
        run = everything(project)
        sampling = run.spec("small", "problems")["sampling"] | {"seed": 3}
        path = predictions(run, "small", "problems", OLD, sampling=sampling)
        project.load()
        assert found() == {path: "sampling changed (seed: 3 → 0)"}
        (path / "meta.json").unlink()
        assert found() == {path: "without a meta.json that can be read"}

    def test_a_judges_settings_do_not_matter(self, project: Project) -> None:
        predictions(everything(project), "small", "problems")
        project.files["config"]["run"]["baseline_model"] = "small"
        project.load()
        assert not found()

    def test_other_names_and_links_are_left_alone(self, project: Project, tmp_path: Path) -> None:
        run = everything(project)
        path = predictions(run, "small", "problems", OLD)
        away = tmp_path / "away"
        shutil.move(path, away)
        path.symlink_to(away)
        for name in ("notes", "0123456789AB", ".hidden/a/0123456789ab"):
            write_text(path.parent / name / "x", "")
        Path("results/pairs/linked").symlink_to(path.parent.parent.resolve())
        project.load()
        assert not found()


class TestRemove:
    @pytest.fixture
    def old(self, project: Project) -> Path:
        run = everything(project, limit=5)
        path = predictions(run, "small", "problems")
        project.load()
        return path

    def test_nothing_goes_unless_it_is_confirmed(self, old: Path) -> None:
        shown = lines()
        assert "  small  problems  " in shown
        assert "2.0  limit raised from 5 to all" in shown
        assert "1 folder, 2.0 MB. Nothing was removed." in shown
        assert (old / "meta.json").exists()
        with pytest.raises(SnakevalError, match=r"confirm: got 'maybe'; expected"):
            lines(confirm="maybe")
        assert (old / "meta.json").exists()

    def test_only_whole_folders_go_and_no_answer(self, old: Path, project: Project) -> None:
        kept = predictions(everything(project), "small", "problems")
        project.load()
        journal = Path("results/journal/small/problems.jsonl")
        write_text(journal, "{}\n")
        others = {path for path in Path("results").rglob("*") if old not in (path, *path.parents)}
        assert "Removed: 1 folder, 2.0 MB." in lines(confirm="true")
        assert set(Path("results").rglob("*")) == others
        assert (kept / "meta.json") in others
        assert lines(confirm="true").startswith("Nothing to prune")

    def test_folders_that_are_empty_then_go_too(self, old: Path) -> None:
        lines(confirm=True)
        assert not list(Path("results/pairs").iterdir())

    def test_links_are_not_followed(self, old: Path, tmp_path: Path) -> None:
        away = tmp_path / "away"
        write_text(away / "precious", "")
        (old / "linked").symlink_to(away)
        Path("results/pairs/.pruned").symlink_to(away)
        lines(confirm=True)
        assert not old.exists()
        assert [path.name for path in away.iterdir()] == ["precious"]
        assert not Path("results/pairs").exists() or not list(Path("results/pairs").iterdir())

    def test_what_a_killed_one_left_goes_with_the_next(self, old: Path) -> None:
        shutil.rmtree(old)
        left = Path("results/pairs/.pruned/small.problems.0123456789ab")
        write_text(left / "meta.json", "{}")
        assert lines().startswith("Nothing to prune")
        assert left.exists()
        lines(confirm=True)
        assert not left.exists()

    def test_what_cannot_be_removed_is_an_error(
        self, old: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(self: Path, target: Path) -> None:
            raise PermissionError(13, "Permission denied", str(self))

        monkeypatch.setattr(Path, "rename", refuse)
        with pytest.raises(StorageError, match=f"{old}: got Permission denied"):
            lines(confirm=True)

    def test_not_while_a_snakemake_is_at_work(
        self, old: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv(leash.VARIABLE)  # called by hand, it holds the folder itself
        monkeypatch.setattr(at_work, "_held", [])
        with at_work.RUNNING.open("w") as file:
            fcntl.flock(file, fcntl.LOCK_SH)
            assert "Nothing was removed" in lines()
            with pytest.raises(StorageError, match="another Snakemake at work in this folder"):
                lines(confirm=True)
            assert (old / "meta.json").exists()
        lines(confirm=True)
        assert not old.exists()
        with at_work.RUNNING.open("w") as file, pytest.raises(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
