"""Each number of the leaderboard, in the table and in the report, against independent arithmetic over scores.jsonl."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
from recomputed import STATES, leaderboard_row, ranks, table
from reported_run import make_run, pages
from snakeval import scoring, tasks
from snakeval.records import read_jsonl, write_json, write_jsonl
from snakeval.registry import Run
from snakeval.reporting import summarize
from snakeval.tasks.code_generation import CodeGeneration
from snakeval.tasks.document_questions import DocumentQuestions

SAMPLES = 60


def judging(task: type[tasks.Task]) -> tasks.Task:
    """Return a task whose answers are the values that they get; "?" is one that cannot be judged."""

    class Told(task):  # type: ignore[misc, valid-type]
        def judge(self, attempts: Any, scoring: Any, sandbox: Any) -> tasks.Judged:
            def judgement(text: str) -> tasks.Judgement:
                value = None if text == "?" else float(text)
                detail = {"class": "told", "exact_match": float(value == 1)}
                return tasks.Judgement(value, text, detail)

            return tasks.Judged([judgement(attempt.text) for attempt in attempts])

        def gold(self, sample: Any) -> tasks.Attempt:
            return tasks.Attempt(sample, "1")

        def wrong(self, sample: Any) -> tasks.Attempt:
            return tasks.Attempt(sample, "0")

    return Told()


def scored(root: Path, task: tasks.Task, graded: bool, repeats: int, clustered: bool) -> Run:
    """Make a run, have its answers scored by the workflow's own code, and return it."""
    chance = random.Random(7)

    def told(row: dict[str, Any]) -> None:
        number = int(row["id"].split("/")[1])
        hard = random.Random(number // 6 if clustered else number).uniform(-0.4, 0.4)
        likely = 0.8 if row["state"] == "correct" else 0.2
        value = min(1.0, max(0.0, chance.gauss(likely + hard, 0.1)))
        row["completion"] = f"{value:.3f}" if graded else f"{round(value)}"
        if chance.random() < 0.04:
            row["completion"] = "?"
        row["id"] = f"passage {number // 6}/{number}"
        row["finish_reason"] = "length" if chance.random() < 0.1 else "stop"
        row["cut_tokens"] = int(chance.random() < 0.05)

    run = make_run(root, datasets=["humaneval"], samples=SAMPLES, repeats=repeats, change=told)
    dataset = run.datasets["humaneval"]
    dataset |= {
        "metric": "anls" if graded else f"pass@{repeats // 2 or 1}",
        "task": task.name,
        "cluster": "id" if clustered else None,
    }
    for pair in run.pairs:
        predictions = list(read_jsonl(root / pair.folder() / "predictions.jsonl"))
        names = dict.fromkeys(answer["id"] for answer in predictions)
        samples: list[Any] = [
            {"id": name, "inputs": {}, "target": None, "metadata": {}} for name in names
        ]
        found = scoring.score_pair(
            samples, predictions, dataset, run.models[pair.model], run.settings
        )
        write_jsonl(root / pair.score_folder() / "scores.jsonl", found.scores)
        write_json(root / pair.score_folder() / "metrics.json", found.metrics)
    return run


@pytest.mark.parametrize("clustered", [False, True], ids=["alone", "clustered"])
@pytest.mark.parametrize("repeats", [1, 4])
@pytest.mark.parametrize("graded", [False, True], ids=["verdicts", "graded"])
def test_the_leaderboard(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, graded: bool, repeats: int, clustered: bool
) -> None:
    task = judging(DocumentQuestions if graded else CodeGeneration)
    monkeypatch.setattr(tasks, "get", lambda name: task)
    run = scored(tmp_path, task, graded, repeats, clustered)
    summarize(run, tmp_path, tmp_path / "summary")
    for pair, row in zip(run.pairs, table(tmp_path / "summary/leaderboard.csv"), strict=True):
        expected = leaderboard_row(
            tmp_path / pair.folder(), pair.score_folder().name, row["metric"]
        )
        assert expected["unscored"]
        assert expected["incomplete"]
        assert expected["cut_prompts"]
        for name, value in expected.items():
            assert float(row[name]) == pytest.approx(value, abs=1e-9), (pair.model, name)


@pytest.fixture
def verdicts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    task = judging(CodeGeneration)
    monkeypatch.setattr(tasks, "get", lambda name: task)
    return scored(tmp_path, task, graded=False, repeats=1, clustered=False)


def test_ranks(tmp_path: Path, verdicts: Run) -> None:
    summarize(verdicts, tmp_path, tmp_path / "summary")
    rows = table(tmp_path / "summary/leaderboard.csv")
    right = {
        pair.model: {
            score["id"]: score["state"] == "correct"
            for score in read_jsonl(tmp_path / pair.score_folder() / "scores.jsonl")
            if score["state"] != "unscored"
        }
        for pair in verdicts.pairs
    }
    expected = ranks(right)
    assert len(set(expected.values())) > 1
    assert {row["model"]: (int(row["rank_low"]), int(row["rank_high"])) for row in rows} == expected


def test_the_table_of_the_report(tmp_path: Path, verdicts: Run) -> None:
    _, markdown = pages(tmp_path, verdicts)
    lines = [line.strip("| ").split(" | ") for line in markdown.splitlines() if line[:1] == "|"]
    head = next(cells for cells in lines if "95 % interval" in cells and "limit hits" in cells)
    for pair in verdicts.pairs:
        expected = leaderboard_row(tmp_path / pair.folder(), pair.score_folder().name, "pass@1")
        title = verdicts.models[pair.model]["title"]
        cells = next(
            dict(zip(head, cells, strict=True))
            for cells in lines
            if len(cells) == len(head) and title in cells
        )
        low, high = (100 * (expected[end] or 0) for end in ("ci_low", "ci_high"))
        assert cells["pass\\@1"] == f"{100 * (expected['value'] or 0):.1f} %"
        assert cells["95 % interval"] == f"{low:.1f} to {high:.1f} %"
        for name in ("n", *STATES, "limit_hits", "cut_prompts"):
            assert cells[name.replace("_", " ")] == str(expected[name]), (title, name)
