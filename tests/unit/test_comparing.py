"""This run beside an earlier one: hand-made flips, what is refused, and what a pipeline is told."""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import compare
import pytest
from reported_run import make_run
from snakeval.errors import SnakevalError, StorageError
from snakeval.records import read_json, write_json
from snakeval.registry import Run
from snakeval.reporting import baselines, comparing, summarize
from snakeval.statistics import detectable, holm, mcnemar, permuted, tango

STATES = {None: "unscored", 1: "correct"}


def made(
    root: Path,
    values: Sequence[float | None],
    models: Sequence[str] = ("tiny",),
    datasets: Sequence[str] = ("humaneval",),
    repeats: int = 1,
    further: Sequence[float | None] | None = None,
) -> Run:
    """Make a run whose pairs' answers all are worth what is given, those of further models `further`."""
    others = values if further is None else further
    worth = iter([*[*values] * len(datasets), *[*others] * len(datasets) * len(models[1:])])

    def judged(answer: dict[str, Any]) -> None:
        value = next(worth)
        answer |= {"value": value, "state": STATES.get(value, "wrong")}

    return make_run(root, models, datasets, len(values) // repeats, judged, repeats=repeats)


def summary(root: Path, values: Sequence[float | None], *others: Any, **named: Any) -> Path:
    """Make a run and its summary; return the summary's folder."""
    run, folder = made(root, values, *others, **named), root / "results" / "summary"
    summarize(run, root, folder)
    return folder


def record(now: Path, before: Path) -> dict[str, Any]:
    """Compare two summaries; return compare.json."""
    comparing.write(str(before), now, now.parents[1] / "reports")
    found: dict[str, Any] = read_json(now.parents[1] / "reports" / "compare.json")
    return found


def pages(now: Path) -> str:
    return (now.parents[1] / "reports" / "compare.md").read_text("utf-8")


def test_a_difference_is_counted_by_sample(tmp_path: Path) -> None:
    """By hand: 12 answers, 10 of both judged; now 2 lost and 1 won."""
    before = summary(tmp_path / "a", [1, 1, 1, 1, 1, 1, 0, 0, 0, 0, None, 1])
    now = summary(tmp_path / "b", [0, 0, 1, 1, 1, 1, 1, 0, 0, 0, 1, None])
    (row,) = record(now, before)["pairs"]
    assert (row["model"], row["dataset"], row["metric"]) == ("tiny", "humaneval", "pass@1")
    assert (row["n"], row["answers"], row["unjudged"]) == (10, 10, 2)
    assert (row["only_in_after"], row["only_in_before"]) == (0, 0)
    assert (row["value_before"], row["value_after"]) == (6 / 10, 5 / 10)
    assert row["difference"] == pytest.approx(-1 / 10)
    assert (row["ci_low"], row["ci_high"]) == pytest.approx(tango(1, 2, 10))
    assert row["p"] == row["p_adjusted"] == pytest.approx(mcnemar(1, 2))
    assert row["smallest_detectable"] == pytest.approx(detectable(10, 3 / 10))
    assert (row["both_right"], row["neither_right"]) == (4, 3)
    assert (row["only_before_right"], row["only_after_right"]) == (2, 1)
    assert row["verdict"] == "no difference shown"
    flips = [(flip["id"], flip["before"], flip["after"]) for flip in row["flipped"]]
    assert flips == [
        ("HumanEval/0", "correct", "wrong"),
        ("HumanEval/1", "correct", "wrong"),
        ("HumanEval/6", "wrong", "correct"),
        ("HumanEval/10", "unscored", "correct"),
        ("HumanEval/11", "correct", "unscored"),
    ]
    assert r"| HumanEval/11 | 0 | correct | unscored |" in pages(now)


@pytest.mark.parametrize(("lost", "verdict"), [(8, "worse"), (-8, "better"), (3, "no difference")])
def test_what_is_shown(tmp_path: Path, lost: int, verdict: str) -> None:
    right = [1.0] * 20
    fewer = [0.0] * abs(lost) + [1.0] * (20 - abs(lost))
    before, now = (right, fewer) if lost > 0 else (fewer, right)
    folders = summary(tmp_path / "a", before), summary(tmp_path / "b", now)
    (row,) = record(folders[1], folders[0])["pairs"]
    assert row["verdict"].startswith(verdict)
    assert len(row["flipped"]) == abs(lost)
    assert row["p"] == pytest.approx(2 / 2 ** abs(lost))


def test_p_values_are_corrected_over_all_pairs(tmp_path: Path) -> None:
    """One loss that is shown alone, p = 2/2⁶, is not among four."""
    right, fewer = [1.0] * 12, [0.0] * 6 + [1.0] * 6
    (alone,) = record(summary(tmp_path / "b", fewer), summary(tmp_path / "a", right))["pairs"]
    assert (alone["p"], alone["verdict"]) == (pytest.approx(2 / 2**6), "worse")
    every = {"models": ("tiny", "medium"), "datasets": ("humaneval", "coding_sample")}
    folders = [summary(tmp_path / name, its, **every) for name, its in (("d", fewer), ("c", right))]
    found = record(*folders)
    assert comparing.regression(found) is None
    rows = found["pairs"]
    assert [row["p_adjusted"] for row in rows] == pytest.approx(holm([2 / 2**6] * 4))
    assert {row["verdict"] for row in rows} == {"no difference shown"}


def test_pairs_without_a_change_do_not_count_in_the_correction(tmp_path: Path) -> None:
    right, fewer = [1.0] * 12, [0.0] * 6 + [1.0] * 6
    models = ("tiny", "medium", "large")
    before = summary(tmp_path / "a", right, models)
    now = summary(tmp_path / "b", fewer, models, further=right)  # tiny alone is edited
    rows = record(now, before)["pairs"]
    assert [row["changed"] for row in rows] == [6, 0, 0]
    assert [row["p_adjusted"] for row in rows] == [pytest.approx(2 / 2**6), 1, 1]
    assert [row["verdict"] for row in rows] == ["worse", *["no difference shown"] * 2]
    (row,) = comparing.write(str(before), now, tmp_path, {("large", "humaneval")})["pairs"]
    assert row == rows[2]


def test_graded_answers_and_repeats_are_permuted_by_sample(tmp_path: Path) -> None:
    before = summary(tmp_path / "a", [1, 1, 1, 0, 0.5, 0.5], repeats=2)
    now = summary(tmp_path / "b", [0, 0, 1, 0, 0, 0], repeats=2)
    (row,) = record(now, before)["pairs"]
    assert (row["n"], row["answers"], row["test"]) == (3, 6, "paired permutation")
    assert row["difference"] == pytest.approx((-1 + 0 - 0.5) / 3)
    assert row["p"] == pytest.approx(permuted([-1, 0, -0.5]))
    assert [(flip["id"], flip["repeat"]) for flip in row["flipped"]] == [
        ("HumanEval/0", 0),
        ("HumanEval/0", 1),
    ]


def test_a_missing_pair_is_named(tmp_path: Path) -> None:
    before = summary(tmp_path / "a", [1, 0, 1], models=("tiny", "medium"))
    now = summary(tmp_path / "b", [1, 0, 1], models=("tiny", "large"))
    rows = {row["model"]: row for row in record(now, before)["pairs"]}
    assert rows["tiny"]["reason"] is None
    assert rows["large"]["reason"] == "the baseline has no result"
    assert rows["medium"]["reason"] == "there is no result now"
    assert rows["large"]["verdict"] == rows["medium"]["verdict"] == "not compared"
    assert rows["medium"]["p"] is rows["medium"]["value_after"] is rows["medium"]["n"] is None
    assert "- medium on humaneval: not compared, as there is no result now." in pages(now)


def test_nothing_is_compared_across_protocols(tmp_path: Path) -> None:
    before = summary(tmp_path / "a", [1, 0, 1])
    run = made(tmp_path / "b", [0, 0, 1])
    run.datasets["humaneval"]["max_tokens"] = 64
    now = tmp_path / "b" / "results" / "summary"
    summarize(run, tmp_path / "b", now)
    (row,) = record(now, before)["pairs"]
    assert row["reason"] == "the protocols differ in token limit"
    assert row["flipped"] is row["difference"] is None
    # A summary of before does not tell the parts.
    kept = read_json(before / "provenance.json")
    for pair in kept["pairs"]:
        del pair["protocol"]["parts"]
    write_json(before / "provenance.json", kept)
    assert record(now, before)["pairs"][0]["reason"] == "the protocols differ"


def test_of_other_rows_the_shared_ones_are_compared(tmp_path: Path) -> None:
    before = summary(tmp_path / "a", [1, 1, 1, 1, 1, 0])
    run = made(tmp_path / "b", [1, 0, 1, 1])
    now = tmp_path / "b" / "results" / "summary"
    summarize(run, tmp_path / "b", now)
    (row,) = record(now, before)["pairs"]  # another limit
    assert (row["n"], row["only_in_before"], row["only_in_after"]) == (4, 2, 0)
    assert (row["value_before"], row["value_after"]) == (1, 0.75)
    assert row["reason"] is row["note"] is None
    run.datasets["humaneval"]["identity"] = {"samples": "others"}
    summarize(run, tmp_path / "b", now)
    (row,) = record(now, before)["pairs"]
    assert (row["n"], row["reason"]) == (4, None)
    assert "rows differ" in row["note"]
    assert row["note"] in pages(now)


def test_unjudged_answers_are_not_compared(tmp_path: Path) -> None:
    (row,) = record(summary(tmp_path / "b", [None] * 3), summary(tmp_path / "a", [1] * 3))["pairs"]
    assert row["reason"] == "no answer of both was judged"
    assert (row["unjudged"], len(row["flipped"]), row["p"]) == (3, 3, None)


def test_a_metric_that_is_no_mean_is_named(tmp_path: Path) -> None:
    before, now = summary(tmp_path / "a", [1, 0]), summary(tmp_path / "b", [1, 0])
    path = before / "leaderboard.csv"
    path.write_text(path.read_text().replace("pass@1,0.5,", "pass@1,0.6,"))
    assert record(now, before)["pairs"][0]["metric"] == "mean value of an answer"


def test_what_else_changed(tmp_path: Path) -> None:
    before = tmp_path / "a" / "results" / "summary"
    earlier, run = (made(tmp_path / name, [1, 0]) for name in "ab")
    earlier.settings.update({"baseline": None, "fail_on_regression": False})
    summarize(earlier, tmp_path / "a", before)
    pair = run.pairs[0]
    meta = tmp_path / "b" / pair.folder() / "meta.json"
    content = read_json(meta)
    content["versions"]["vllm"], content["gpu"] = "0.33.0", {"name": "H200", "count": 1}
    write_json(meta, content)
    status = tmp_path / "b" / run.model_status("tiny")
    write_json(status, read_json(status) | {"commit": "f" * 40})
    run.models["tiny"]["sampling"]["temperature"] = 0.7
    run.settings.update({"seed": 3, "baseline": "x", "fail_on_regression": True})
    now = tmp_path / "b" / "results" / "summary"
    summarize(run, tmp_path / "b", now)
    changes = {
        change["what"]: (change["before"], change["after"])
        for change in record(now, before)["changes"]
    }
    assert changes == {
        "version of vllm": ("0.32.0", "0.33.0"),
        "GPU": ("NVIDIA H100 80GB HBM3", "H200"),
        "setting seed": ("0", "3"),
        "commit of tiny": ("c" * 40, "f" * 40),
        "how tiny is asked": ("greedy", "temperature 0.7"),
    }
    assert "| version of vllm | 0.32.0 | 0.33.0 |" in pages(now)


def test_nothing_else_changed(tmp_path: Path) -> None:
    before = summary(tmp_path / "a", [1, 0])
    shutil.copytree(before, tmp_path / "copy")
    found = record(before, tmp_path / "copy")
    assert found["changes"] == []
    assert found["pairs"][0]["flipped"] == []
    assert "Nothing that is written down" in pages(before)
    assert pages(before).endswith("## Flipped answers\n\nNone.\n")


def test_long_lists_are_cut_in_markdown_only(tmp_path: Path) -> None:
    now, before = summary(tmp_path / "b", [0.0] * 60), summary(tmp_path / "a", [1.0] * 60)
    (row,) = record(now, before)["pairs"]
    assert len(row["flipped"]) == 60
    assert pages(now).count("| correct | wrong |") == comparing.FLIPS_SHOWN
    assert "The first 50 of 60; all of them are in compare.json." in pages(now)


def test_names_of_a_baseline_cannot_break_the_page(tmp_path: Path) -> None:
    now = summary(tmp_path / "b", [1, 0])
    before = summary(tmp_path / "a|<b>", [1, 0])
    path = before / "leaderboard.csv"
    path.write_text(path.read_text().replace("tiny,", "<img src=x>|\x1b[31m,"))
    found = record(now, before)
    markdown = pages(now)
    assert r"\<img src=x\>\|␛\[31m on humaneval: not compared" in markdown
    assert not re.search(r"(?<!\\)<", markdown)
    assert "\x1b" not in comparing.table(found)


@pytest.mark.parametrize(
    "given",
    [
        *("results/summary", "results/summary/samples.parquet", ".", "reports"),
        *("reports/index.html", "kept", "shelf", "shelf/reports/report.md"),
    ],
)
def test_where_a_baseline_lies(tmp_path: Path, given: str) -> None:
    folder = summary(tmp_path, [1, 0])
    for place in ("kept", "shelf/summary"):
        shutil.copytree(folder, tmp_path / place)
    for place in ("reports", "shelf/reports"):
        (tmp_path / place).mkdir()
        for name in ("index.html", "report.md"):
            (tmp_path / place / name).touch()
    found = baselines.find(str(tmp_path / given))
    wanted = {"k": "kept", "s": "shelf/summary"}.get(given[0], "results/summary")
    assert found == tmp_path / wanted


def test_a_report_alone_is_refused(tmp_path: Path) -> None:
    (tmp_path / "reports").mkdir()
    report = tmp_path / "reports" / "index.html"
    report.touch()
    with pytest.raises(SnakevalError, match=r"holds no summary.*a report alone holds too little"):
        baselines.find(str(report))
    with pytest.raises(SnakevalError, match="which is not there; expected a folder with samples"):
        baselines.find(str(tmp_path / "nowhere"))


def test_a_run_is_not_its_own_baseline(tmp_path: Path) -> None:
    now = summary(tmp_path, [1, 0])
    with pytest.raises(SnakevalError, match=r"own summary.*cp -r results/summary baselines/NAME"):
        comparing.write(str(tmp_path), now, tmp_path / "reports")
    with pytest.raises(SnakevalError, match=r"no summary.*Run snakemake"):
        comparing.write(str(now), tmp_path / "elsewhere", tmp_path / "reports")


def without_values(folder: Path) -> None:
    import pyarrow.parquet

    table = pyarrow.parquet.read_table(folder / "samples.parquet")
    pyarrow.parquet.write_table(table.drop_columns(["value"]), folder / "samples.parquet")


@pytest.mark.parametrize(
    ("spoil", "file"),
    [
        (lambda folder: (folder / "samples.parquet").write_bytes(b"PAR1 no"), "samples.parquet"),
        (lambda folder: (folder / "samples.parquet").write_bytes(b""), "samples.parquet"),
        (without_values, "samples.parquet"),
        (lambda folder: (folder / "leaderboard.csv").unlink(), "leaderboard.csv"),
        (lambda folder: (folder / "leaderboard.csv").write_text("a,b\n1,2\n"), "leaderboard.csv"),
        (lambda folder: (folder / "leaderboard.csv").write_bytes(b"\xff\n\0"), "leaderboard.csv"),
        (lambda folder: (folder / "provenance.json").unlink(), "provenance.json"),
        (lambda folder: (folder / "provenance.json").write_text("{"), "provenance.json"),
        (lambda folder: write_json(folder / "provenance.json", {"pairs": [1]}), "provenance.json"),
        (lambda folder: write_json(folder / "provenance.json", []), "provenance.json"),
    ],
)
def test_a_broken_baseline_is_one_line(tmp_path: Path, spoil: Any, file: str) -> None:
    now, before = summary(tmp_path / "b", [1, 0]), summary(tmp_path / "a", [1, 0])
    spoil(before)
    with pytest.raises(StorageError, match=re.escape(f"{before / file}: got ")) as caught:
        comparing.write(str(before), now, tmp_path / "reports")
    assert "\n" not in str(caught.value)
    assert "Give another copy" in str(caught.value)
    assert not (tmp_path / "reports").exists()


@pytest.mark.parametrize(
    ("now", "guarded", "code"),
    [
        ([0.0] * 8, True, 1),
        ([0.0] * 8, False, 0),
        ([0.0] * 3 + [1.0] * 5, True, 0),
        ([None] * 8, True, 1),
        ([None] * 8, False, 0),
    ],
)
def test_a_pipeline_is_told(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    now: list[float | None],
    guarded: bool,
    code: int,
) -> None:
    before = summary(tmp_path / "a", [1.0] * 8, ("tiny", "medium"))
    folder = summary(tmp_path / "b", now)
    run = made(tmp_path / "b", now)
    run.settings.update({"baseline": str(before), "fail_on_regression": guarded})
    path = tmp_path / "b" / run.save(tmp_path / "b")
    output = tmp_path / "b" / "reports"
    given = ["--run", path, "--summary", folder, "--output-folder", output, "--chosen"]
    monkeypatch.setattr(sys, "argv", ["compare.py", *map(str, given)])
    assert compare.main() == code
    printed = capsys.readouterr()
    assert "tiny on humaneval" in printed.out
    assert "medium" not in printed.out
    assert len(printed.err.splitlines()) == code
    assert (output / "compare.json").exists()
    if code:
        why = "no pair could be compared" if now[0] is None else "tiny on humaneval (−100.0 points)"
        assert why in printed.err


def test_the_printed_table(tmp_path: Path) -> None:
    now, before = summary(tmp_path / "b", [0.0] * 8), summary(tmp_path / "a", [1.0] * 8)
    text = comparing.table(record(now, before))
    assert text.splitlines()[0].endswith("1 worse, 0 better, 0 no difference shown, 0 not compared")
    assert re.search(
        r"tiny on humaneval  100\.0 % → 0\.0 % +−100\.0 points \(−100\.0 to −\d+\.\d\), "
        r"corrected p 0\.0078: worse; n 8, would show \d+\.\d points; 8 flipped$",
        text,
        re.MULTILINE,
    )
