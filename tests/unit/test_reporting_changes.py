"""What changed since the last report: kept, found, shown, and absent where there is nothing to hold against."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from reported_run import make_run, pages
from snakeval.registry import Run
from snakeval.reporting import changes, summarize
from snakeval.reporting.changes import ChangesView

ID = "HumanEval/4 <b>&|x</b>"


def made(root: Path, change: Any = lambda row: None, **options: Any) -> Run:
    """Make a run of one model on one dataset anew, and its summary."""
    shutil.rmtree(root / "results/pairs", ignore_errors=True)

    def settled(row: dict[str, Any]) -> None:
        number = int(row["id"].split("/")[1])
        row["state"], row["value"] = ("correct", 1.0) if number < 5 else ("wrong", 0.0)
        row["detail"] = {"class": "passed" if number < 5 else "wrong_answer"}
        if number == 4:
            row["id"] = ID
        change(row)

    run = make_run(
        root,
        **{"models": ["tiny"], "datasets": ["humaneval"], "samples": 12} | options,
        change=settled,
    )
    summarize(run, root, root / "summary")
    return run


def changed(root: Path, run: Run) -> ChangesView | None:
    """Return what a report says that shows the run's summary."""
    pairs = [((pair.model, pair.dataset), pair.model, "anchor") for pair in run.pairs]
    return changes.changes(root / "summary", changes.keep(root / "summary", root), pairs)


def worse(row: dict[str, Any]) -> None:
    """Lose the right answers and win one other."""
    if row["state"] == "correct":
        row |= {"state": "wrong", "value": 0.0, "detail": {"class": "exception"}}
    elif row["id"] == "HumanEval/9":
        row |= {"state": "correct", "value": 1.0, "detail": {"class": "passed"}}
    elif row["id"] == "HumanEval/10":
        row |= {"state": "incomplete", "value": 0.0, "finish_reason": "length"}


def test_a_first_report_has_nothing_to_hold_against(tmp_path: Path) -> None:
    assert changed(tmp_path, made(tmp_path)) is None


def test_flipped_answers_are_named_and_linked(tmp_path: Path) -> None:
    html, markdown = pages(tmp_path, made(tmp_path))
    assert "Since the last report" not in html + markdown
    html, markdown = pages(tmp_path, made(tmp_path, worse))
    section = html.partition('<section id="changes"')[2].partition("</section>")[0]
    assert "1 pair changed." in section
    assert "<td>41.7 %</td><td>8.3 %</td>" in section
    assert "no difference shown" in section  # 1 won and 5 lost of 12: p = 0.22
    assert "<td>1</td><td>5</td><td>12</td>" in section
    assert "5 lost:" in section
    assert "1 wrong in another way:" in section
    link = "samples/index.html#pair=tiny%2Fhumaneval&amp;sample=HumanEval%2F9"
    assert f'<a href="{link}">HumanEval/9</a> <span class="quiet">wrong → correct</span>' in section
    assert "HumanEval/4 &lt;b&gt;&amp;|x&lt;/b&gt;" in section
    assert "sample=HumanEval%2F4+%3Cb%3E%26%7Cx%3C%2Fb%3E" in section
    assert "| 41.7 % | 8.3 % | −33.3 |" in markdown
    assert "1 won: HumanEval/9" in markdown
    assert pages(tmp_path, made(tmp_path, worse)) == (html, markdown)  # rendered again


def test_many_changed_pairs_are_folded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changes, "FEW", 1)
    datasets = {"datasets": ["humaneval", "coding_sample"], "samples": 12}
    pages(tmp_path, made(tmp_path, **datasets))
    html, _ = pages(tmp_path, made(tmp_path, worse, **datasets))
    section = html.partition('<section id="changes"')[2].partition("</section>")[0]
    before, _, folded = section.partition("<details")
    assert "2 pairs changed" in before
    assert "All 2 changed pairs" in folded
    assert "better: 0, worse: 0" in folded
    assert "<td>41.7 %</td><td>8.3 %</td>" in folded


def test_a_difference_that_holds_is_called_one(tmp_path: Path) -> None:
    changed(tmp_path, made(tmp_path, samples=40))

    def all_right(row: dict[str, Any]) -> None:
        row |= {"state": "correct", "value": 1.0, "detail": {"class": "passed"}}

    found = changed(tmp_path, made(tmp_path, all_right, samples=40))
    assert found
    [pair] = found.pairs
    assert (pair.row["verdict"], len(pair.won), len(pair.lost)) == ("better", 35, 0)


def test_what_else_changed_is_told(tmp_path: Path) -> None:
    run = made(tmp_path)
    changed(tmp_path, run)
    status = tmp_path / run.model_status("tiny")
    meta = tmp_path / run.pairs[0].folder() / "meta.json"
    told = json.loads(meta.read_text())
    meta.write_text(json.dumps(told | {"versions": told["versions"] | {"vllm": "0.33.0"}}))
    status.write_text(json.dumps(json.loads(status.read_text()) | {"commit": "f" * 40}))
    summarize(run, tmp_path, tmp_path / "summary")
    found = changed(tmp_path, run)
    assert found
    assert (found.pairs, found.same, found.new) == ([], 1, 0)
    assert {fact["what"]: (fact["before"], fact["after"]) for fact in found.facts} == {
        "version of vllm": ("0.32.0", "0.33.0"),
        "commit of tiny": ("c" * 40, "f" * 40),
    }


def test_another_scorer_is_not_compared(tmp_path: Path) -> None:
    changed(tmp_path, made(tmp_path))
    leaderboard = tmp_path / changes.HISTORY / "shown/leaderboard.csv"
    provenance = tmp_path / changes.HISTORY / "shown/provenance.json"
    told = json.loads(provenance.read_text())
    protocol = told["pairs"][0]["protocol"]
    leaderboard.write_text(leaderboard.read_text().replace(protocol["id"], "0" * 12))
    protocol["parts"]["task"] = "an earlier version"
    provenance.write_text(json.dumps(told))
    html, markdown = pages(tmp_path, made(tmp_path, worse))
    assert "Not compared, as the protocols differ in task." in html
    assert "not compared, as the protocols differ in task." in markdown


def test_each_report_is_held_against_the_one_before(tmp_path: Path) -> None:
    for change, before, after in ((worse, 5, 1), (lambda row: None, 1, 5), (worse, 5, 1)):
        if not (tmp_path / changes.HISTORY).exists():
            changed(tmp_path, made(tmp_path))
        found = changed(tmp_path, made(tmp_path, change))
        assert found
        row = found.pairs[0].row
        assert [round(12 * row[f"value_{side}"]) for side in ("before", "after")] == [before, after]


def test_pairs_of_one_report_alone_are_counted(tmp_path: Path) -> None:
    changed(tmp_path, made(tmp_path))
    found = changed(tmp_path, made(tmp_path, models=["tiny", "medium"]))
    assert found
    assert found.counts == "1 pair unchanged, 1 pair not in the last report"
    found = changed(tmp_path, made(tmp_path, models=["large"]))
    assert found
    assert found.counts == "1 pair not in the last report"


def test_what_cannot_be_read_stops_no_report(tmp_path: Path) -> None:
    changed(tmp_path, made(tmp_path))
    (tmp_path / changes.HISTORY / "shown/samples.parquet").write_bytes(b"PAR1")
    for text in pages(tmp_path, made(tmp_path, worse)):
        assert "What the last report showed cannot be read any more" in text
