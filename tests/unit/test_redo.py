"""What a failed run leaves (closing) and what redo drops."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from snakeval import closing, records, redo
from snakeval.errors import StorageError
from snakeval.journal import journal_path
from snakeval.records import read_json, write_json, write_text
from snakeval.registry import Pair, Run
from unit.test_plan import answer, make_run, score


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def engine(pair: Pair, root: Path, **pairs: Any) -> Path:
    """Write an engine's status, as generate does."""
    path = root / pair.engine_status()
    log = f"results/logs/generate/{pair.model}.{pair.part}.log"
    write_text(root / log, "")
    write_json(path, {"log": log, "pairs": pairs})
    write_text(path.with_suffix(".requests") / "d0.jsonl", "")
    return path


FAILED = {"status": "failed", "reason": "pair failed: no luck"}


def reasons(run: Run, root: Path, since: float = 0.0) -> list[tuple[str, ...]]:
    return [
        (failure["model"], failure["dataset"], failure["stage"], failure["reason"])
        for failure in closing.find_failures(run, root, since)
    ]


class TestFailures:
    def test_finished_pairs_are_not_named(self, root: Path) -> None:
        run = make_run(1, 2)
        for pair in run.pairs:
            answer(pair, root)
        score(run.pairs[0], root)
        assert reasons(run, root) == [("m0", "d1", "score", "not run")]

    def test_of_an_engine(self, root: Path) -> None:
        run = make_run(1, 2)
        engine(run.pairs[0], root, d0={"status": "ok"}, d1=FAILED)
        assert reasons(run, root) == [
            ("m0", "d0", "predictions", "not run"),
            ("m0", "d1", "generate", "pair failed: no luck"),
        ]
        failures = list(closing.find_failures(run, root, 0.0))
        assert [failure["log"] for failure in failures] == [None, "results/logs/generate/m0.0.log"]

    def test_an_engine_that_was_killed_says_its_last_words(self, root: Path) -> None:
        run = make_run(1, 1)
        write_text(root / "results/logs/generate/m0.0.log", "loading\nCUDA out of memory\n\n")
        assert reasons(run, root) == [
            ("m0", "d0", "generate", "ended early; its log ends with: CUDA out of memory")
        ]

    def test_error_lines_come_before_last_words(self, root: Path) -> None:
        run = make_run(1, 1)
        (pair,) = run.pairs
        answer(pair, root)
        log = root / f"results/logs/score/m0.d0.{pair.key}.{pair.scorer}.log"
        write_text(log, "error: no sandbox here\nfalling over\n")
        assert reasons(run, root) == [("m0", "d0", "score", "no sandbox here")]

    def test_a_log_of_an_earlier_run_says_nothing(self, root: Path) -> None:
        run = make_run(1, 1)
        log = root / "results/logs/generate/m0.0.log"
        write_text(log, "error: long ago\n")
        os.utime(log, (100, 100))
        assert reasons(run, root, since=200.0) == [("m0", "d0", "generate", "not run")]

    def test_of_a_fetch_comes_before_what_followed_from_it(self, root: Path) -> None:
        run = make_run(1, 2)
        write_json(root / run.dataset_status("d1"), {"status": "failed", "reason": "gone"})
        engine(run.pairs[0], root, d0={"status": "ok"}, d1=FAILED)
        assert reasons(run, root)[1] == ("m0", "d1", "fetch_dataset", "gone")
        write_json(root / run.model_status("m0"), {"status": "failed", "reason": "gated"})
        assert {reason[2:] for reason in reasons(run, root)} == {("fetch_model", "gated")}

    def test_of_a_fetch_that_crashed(self, root: Path) -> None:
        run = make_run(1, 1)
        log = root / "results/logs/fetch_model" / f"m0.{run.models['m0']['source_id']}.log"
        write_text(log, "Traceback …\nValueError: x\n")
        assert reasons(run, root) == [
            ("m0", "d0", "fetch_model", "ended early; its log ends with: ValueError: x")
        ]

    def test_of_a_base_model_whose_fetch_crashed(self, root: Path) -> None:
        run = make_run(1, 1)
        run.models["m0"] |= {"source": {"quantize": {"model": "base"}}, "base_model": "base"}
        run.bases["base"] = {"source": {"hub": "a/b"}, "source_id": "5" * 12}
        write_text(root / "results/logs/fetch_model" / f"base.{'5' * 12}.log", "ValueError: x\n")
        assert reasons(run, root) == [
            ("m0", "d0", "fetch_model", "ended early; its log ends with: ValueError: x")
        ]
        status = {"status": "failed", "reason": "no room"}
        write_json(root / run.model_status("m0"), status)
        assert reasons(run, root) == [("m0", "d0", "quantize_model", "no room")]


class TestClose:
    @pytest.fixture
    def called(self, monkeypatch: pytest.MonkeyPatch) -> list[str]:
        called: list[str] = []

        def summarize(run: Run, folder: Path, output: Path, failures: Sequence[Any]) -> None:
            called.append("summarize")
            write_json(output / "failures.json", list(failures))
            write_json(output / "provenance.json", {})

        def report(run: Run, folder: Path, summary: Path, output: Path) -> None:
            called.append("report")
            write_text(output / "index.html", "")

        monkeypatch.setattr(closing.reporting, "summarize", summarize)
        monkeypatch.setattr(closing.reporting, "report", report)
        return called

    def test_reports_on_the_rest_and_clears_the_way(self, root: Path, called: list[str]) -> None:
        run = make_run(2, 1)
        answer(run.pairs[0], root)
        score(run.pairs[0], root)
        failed = engine(run.pairs[1], root, d0=FAILED)
        good = engine(run.pairs[0], root, d0={"status": "ok"})
        write_json(root / run.model_status("m1"), {"status": "failed", "reason": "gated"})
        lines = list(closing.close(run, root, 0.0))
        assert lines == [
            "failed: m1 on d0 (fetch_model): gated",
            "Report on 1 of 2 pairs: reports/index.html",
            "The same command tries again what is missing.",
        ]
        assert called == ["summarize", "report"]
        summary = root / "results/summary"
        assert [row["model"] for row in read_json(summary / "failures.json")] == ["m1"]
        assert not (summary / "provenance.json").exists()
        assert (root / "reports/index.html").exists()
        assert (failed.exists(), failed.with_suffix(".requests").exists()) == (False, False)
        assert good.exists()
        assert not (root / run.model_status("m1")).exists()

    def test_the_way_is_cleared_even_if_the_report_fails(
        self, root: Path, called: list[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def broken(*_: Any) -> None:
            raise StorageError("reports", "no space", "some", "Free some.")

        monkeypatch.setattr(closing.reporting, "report", broken)
        run = make_run(1, 1)
        stamp = engine(run.pairs[0], root, d0=FAILED)
        with pytest.raises(StorageError, match="no space"):
            list(closing.close(run, root, 0.0))
        assert not stamp.exists()
        assert not (root / "results/summary/provenance.json").exists()


class TestDrop:
    def test_drops_the_pairs_of_the_run_and_no_other(self, root: Path) -> None:
        everything, chosen = make_run(2, 2), make_run(1, 1)
        for pair in everything.pairs:
            answer(pair, root)
            score(pair, root)
            write_text(root / journal_path(pair.model, pair.dataset), "{}\n")
        older = root / "results/pairs/m0/d0/0123456789ab/predictions.jsonl"
        write_text(older, "")
        lines = list(redo.drop(chosen, Path()))
        assert lines == ["dropped results/pairs/m0/d0", "dropped results/journal/m0/d0.jsonl"]
        assert not older.exists()
        left = [p for p in everything.pairs if p.has_predictions(root) and p.has_scores(root)]
        assert [(p.model, p.dataset) for p in left] == [("m0", "d1"), ("m1", "d0"), ("m1", "d1")]
        assert not (root / journal_path("m0", "d0")).exists()
        assert (root / journal_path("m0", "d1")).exists()

    def test_says_when_there_is_nothing(self, root: Path) -> None:
        assert list(redo.drop(make_run(1, 1), Path())) == ["nothing to drop of m0 on d0"]

    def test_what_cannot_be_deleted_is_an_error(
        self, root: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        run = make_run(1, 1)
        answer(run.pairs[0], root)

        def refuse(path: Path) -> None:
            raise PermissionError(13, "Permission denied", str(path))

        monkeypatch.setattr(records.shutil, "rmtree", refuse)
        with pytest.raises(StorageError, match="Permission denied"):
            list(redo.drop(run, Path()))
