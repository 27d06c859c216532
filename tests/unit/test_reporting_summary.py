from __future__ import annotations

import csv
import json
import shutil
from fractions import Fraction
from pathlib import Path
from typing import Any

import pandas
import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st
from reported_run import make_run, set_sandbox
from scipy.stats import binomtest
from snakeval.errors import StorageError
from snakeval.registry import Run
from snakeval.reporting import Failure, summarize
from snakeval.reporting.summary import command
from snakeval.speed import percentile


def table(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def summary(root: Path, run: Run, failures: list[Failure] | None = None) -> Path:
    output = root / "results" / "summary"
    summarize(run, root, output, failures or [])
    return output


def test_leaderboard_equals_the_scores(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    rows = table(summary(tmp_path, run) / "leaderboard.csv")
    header = (tmp_path / "results" / "summary" / "leaderboard.csv").read_text().splitlines()[0]
    assert header == (
        "model,dataset,metric,value,ci_low,ci_high,n,"
        "correct,wrong,incomplete,unscored,cut_prompts,limit_hits,sandbox,judged_together,key,"
        "protocol,open_thoughts,rank_low,rank_high"
    )
    assert [(row["model"], row["dataset"]) for row in rows] == [
        (pair.model, pair.dataset) for pair in run.pairs
    ]
    for row, pair in zip(rows, run.pairs, strict=True):
        scores = [
            json.loads(line)
            for line in (tmp_path / pair.score_folder() / "scores.jsonl").read_text().splitlines()
        ]
        predictions = [
            json.loads(line)
            for line in (tmp_path / pair.folder() / "predictions.jsonl").read_text().splitlines()
        ]
        right = sum(score["value"] == 1 for score in scores)
        judged = [score for score in scores if score["value"] is not None]
        interval = binomtest(right, len(judged)).proportion_ci(method="wilson")
        assert float(row["value"]) == pytest.approx(float(Fraction(right, len(judged))))
        assert float(row["ci_low"]) == pytest.approx(interval.low)
        assert float(row["ci_high"]) == pytest.approx(interval.high)
        assert int(row["n"]) == len(judged)
        for state in ("correct", "wrong", "incomplete", "unscored"):
            assert int(row[state]) == sum(score["state"] == state for score in scores)
        assert int(row["limit_hits"]) == sum(p["finish_reason"] == "length" for p in predictions)
        assert (row["sandbox"], row["judged_together"]) == ("namespaces", "0")
        assert row["key"] == pair.key


def test_what_was_not_measured_is_empty(tmp_path: Path) -> None:
    run = make_run(tmp_path, models=["tiny"], datasets=["humaneval"], samples=3, on_gpu=False)
    (row,) = table(summary(tmp_path, run) / "performance.csv")
    for name in ("compile_s", "peak_memory_bytes", "joules", "gpu"):
        assert row[name] == ""
    assert row["requests"] == "3"
    assert float(row["output_tokens_per_s"]) > 0


def test_isolation_stands_beside_each_number(tmp_path: Path) -> None:
    def together(answer: dict[str, Any]) -> None:
        if answer["id"].endswith(("/1", "/2")):
            answer["detail"]["judged"] = "together"

    run = make_run(tmp_path, ["tiny", "medium"], ["humaneval"], samples=4, change=together)
    set_sandbox(tmp_path, run.pairs[1], None)
    first, second = table(summary(tmp_path, run) / "leaderboard.csv")
    assert (first["sandbox"], first["judged_together"]) == ("namespaces", "2")
    assert (second["sandbox"], second["judged_together"]) == ("", "")  # nothing was run
    set_sandbox(tmp_path, run.pairs[1], {"level": "none", "layers": [], "judged_together": 0})
    first, second = table(summary(tmp_path, run) / "leaderboard.csv")
    assert (second["sandbox"], second["judged_together"]) == ("none", "0")


def test_samples_hold_every_answer(tmp_path: Path) -> None:
    def hostile(answer: dict[str, Any]) -> None:
        if answer["id"].endswith("/1"):
            answer["id"] = "=1+1\ud800"
            answer["error"] = "\udfff"

    run = make_run(tmp_path, datasets=["humaneval"], samples=5, repeats=2, change=hostile)
    samples = pyarrow.parquet.read_table(summary(tmp_path, run) / "samples.parquet").to_pylist()
    assert len(samples) == 3 * 5 * 2
    assert samples[2]["id"] == "=1+1?"
    assert samples[2]["error"] == "?"
    assert {sample["repeat"] for sample in samples} == {0, 1}
    assert all((sample["class"] is None) == (sample["state"] == "correct") for sample in samples)
    assert samples[0]["latency_s"] > 0


def test_samples_are_written_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = make_run(tmp_path, samples=5)
    whole = pyarrow.parquet.read_table(summary(tmp_path, run) / "samples.parquet")
    monkeypatch.setattr("snakeval.reporting.summary.GROUP_ROWS", 8)
    file = pyarrow.parquet.ParquetFile(summary(tmp_path, run) / "samples.parquet")
    assert file.num_row_groups == 4  # two pairs a group, and the end
    assert file.read() == whole


def test_pandas_reads_every_table_back(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    output = summary(tmp_path, run)
    for path in sorted(output.glob("*.csv")):
        read = pandas.read_csv(path, keep_default_na=False, dtype=str)
        assert read.to_dict("records") == table(path), path.name
    board = pandas.read_csv(output / "leaderboard.csv").set_index(["model", "dataset"])
    samples = pandas.read_parquet(output / "samples.parquet")
    judged = samples[samples.value.notna()].groupby(["model", "dataset"]).value
    assert judged.count().to_dict() == board.n.to_dict()
    assert judged.mean().to_dict() == pytest.approx(board.value.to_dict())


def test_missing_pairs_are_listed_once(tmp_path: Path) -> None:
    run = make_run(tmp_path, samples=3)
    for gone in (run.pairs[0], run.pairs[1]):
        shutil.rmtree(tmp_path / gone.folder())
    shutil.rmtree(tmp_path / run.pairs[2].score_folder())
    named: Failure = {
        "model": run.pairs[0].model,
        "dataset": run.pairs[0].dataset,
        "stage": "fetch_model",
        "reason": "no access",
        "log": "results/logs/fetch_model/tiny.log",
    }
    output = summary(tmp_path, run, [named])
    failures = json.loads((output / "failures.json").read_text())
    assert failures[0] == named
    assert [(failure["stage"], failure["reason"]) for failure in failures[1:]] == [
        ("generate", "not run"),
        ("score", "not scored"),
    ]
    assert len(table(output / "leaderboard.csv")) == 3


def test_no_result_at_all_gives_empty_tables(tmp_path: Path) -> None:
    run = make_run(tmp_path, samples=1)
    shutil.rmtree(tmp_path / "results")
    output = summary(tmp_path, run)
    assert table(output / "leaderboard.csv") == []
    assert len(json.loads((output / "failures.json").read_text())) == 6
    assert pyarrow.parquet.read_table(output / "samples.parquet").num_rows == 0


def test_a_copied_folder_is_refused(tmp_path: Path) -> None:
    run = make_run(tmp_path, models=["tiny"], datasets=["humaneval"], samples=2)
    path = tmp_path / run.pairs[0].folder() / "meta.json"
    path.write_text(path.read_text().replace(run.pairs[0].key, "f" * 12))
    with pytest.raises(
        StorageError, match="snakemake redo --config models=tiny datasets=humaneval"
    ):
        summary(tmp_path, run)


@pytest.mark.parametrize("name", ["predictions.jsonl", "score-5c05c05c05c0/scores.jsonl"])
def test_lost_lines_are_refused(tmp_path: Path, name: str) -> None:
    run = make_run(tmp_path, models=["tiny"], datasets=["humaneval"], samples=3)
    path = tmp_path / run.pairs[0].folder() / name
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))
    with pytest.raises(StorageError, match="HumanEval/2, repeat 0"):
        summary(tmp_path, run)


def test_the_same_results_give_the_same_bytes(tmp_path: Path) -> None:
    run = make_run(tmp_path, samples=4)
    first = {path.name: path.read_bytes() for path in summary(tmp_path, run).iterdir()}
    second = {path.name: path.read_bytes() for path in summary(tmp_path, run).iterdir()}
    assert first == second
    assert len(first) == 9


def test_provenance_says_how_to_do_it_again(tmp_path: Path) -> None:
    run = make_run(tmp_path, models=["tiny", "large"], samples=4)
    provenance = json.loads((summary(tmp_path, run) / "provenance.json").read_text())
    assert provenance["command"].endswith(
        "--config models=tiny,large datasets=humaneval,coding_sample limit=4 repeats=1 seed=0"
    )
    assert provenance["models"]["large"]["commit"] == "c" * 40
    assert provenance["versions"]["vllm"] == ["0.32.0"]
    assert provenance["first_engine_start"] == "2026-08-07 10:10:12 UTC"
    assert provenance["last_engine_start"] == "2026-08-07 10:11:12 UTC"


def test_what_changes_answers_or_verdicts_is_said_too(tmp_path: Path) -> None:
    run = make_run(tmp_path, models=["tiny"], samples=4)
    run.settings.update({"deterministic": True, "judge": "large", "judge_baseline": None})
    said = command(run).split()
    assert {"deterministic=true", "judge=large"} < set(said)
    run.settings.update({"deterministic": False, "judge": None})
    assert "deterministic" not in command(run)
    assert "judge" not in command(run)


@given(st.lists(st.floats(0, 1e6), min_size=1), st.floats(0, 100))
def test_percentiles_are_numpys(values: list[float], percent: float) -> None:
    import numpy

    assert percentile([None, *values], percent) == pytest.approx(numpy.percentile(values, percent))
    assert percentile([None], percent) is None
