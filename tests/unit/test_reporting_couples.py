"""A quantized model beside its base: hand-counted cells, and what is refused."""

from __future__ import annotations

import csv
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

import pytest
from reported_run import make_run, pages
from snakeval.records import read_json, read_jsonl, write_json, write_jsonl
from snakeval.registry import Run
from snakeval.reporting import summarize
from snakeval.reporting.formats import p_value, points, width
from snakeval.statistics import detectable, mcnemar, tango

# Of base and quantized model on ten samples: what each answer is worth; None: it could not be judged.
BASE = [1, 1, 1, 1, 1, 1, 0, 0, 0, None]
QUANTIZED = [1, 1, 0, 0, 0, 1, 1, 0, None, 1]


def couple(
    root: Path,
    base: Sequence[float | None] = BASE,
    quantized: Sequence[float | None] = QUANTIZED,
    repeats: int = 1,
    datasets: Sequence[str] = ("humaneval",),
    on_gpu: bool = True,
) -> Run:
    """Make a run of two models whose answers are worth what is given, equal ones with equal texts."""
    worth = iter([*base] * len(datasets) + [*quantized] * len(datasets))

    def judged(answer: dict[str, Any]) -> None:
        value = next(worth)
        states = {None: "unscored", 1: "correct"}
        text = "right" if value == 1 else f"wrong {value}"
        answer |= {"value": value, "state": states.get(value, "wrong"), "completion": text}

    run = make_run(
        root, ["tiny", "medium"], datasets, len(base) // repeats, judged, on_gpu, repeats
    )
    run.models["medium"]["base_model"] = "tiny"
    return run


def rows(root: Path, run: Run) -> list[dict[str, str]]:
    summarize(run, root, root / "summary")
    with (root / "summary" / "comparisons.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def numbers(row: dict[str, str], *names: str) -> list[float]:
    return [float(row[name]) for name in names]


def test_only_what_both_had_judged_counts(tmp_path: Path) -> None:
    """By hand: 8 samples are left; 3 both right, 1 only quantized, 3 only base, 1 neither."""
    (row,) = rows(tmp_path, couple(tmp_path))
    assert (row["dataset"], row["model_a"], row["model_b"]) == ("humaneval", "medium", "tiny")
    assert numbers(row, "n", "answers", "left_out") == [8, 8, 2]
    cells = ("both_right", "only_a_right", "only_b_right", "neither_right")
    assert numbers(row, *cells) == [3, 1, 3, 1]
    assert numbers(row, "value_a", "value_b", "difference") == [4 / 8, 6 / 8, -2 / 8]
    assert numbers(row, "ci_low", "ci_high") == pytest.approx(tango(1, 3, 8))
    assert numbers(row, "p", "p_adjusted") == pytest.approx([mcnemar(1, 3)] * 2)
    assert row["verdict"] == "no difference shown"
    assert (row["metric"], row["test"], row["reason"]) == ("pass@1", "exact McNemar", "")
    assert float(row["same_text"]) == 4  # three right, one equally wrong
    assert float(row["smallest_detectable"]) == pytest.approx(detectable(8, 4 / 8) or 0)


def test_repeats_are_averaged_within_a_sample(tmp_path: Path) -> None:
    run = couple(tmp_path, [1, 0, 1, 1, 0, 0], [1, 1, 1, 0, 0, None], repeats=2)
    (row,) = rows(tmp_path, run)
    assert numbers(row, "n", "answers", "left_out") == [3, 5, 1]
    assert numbers(row, "value_b", "value_a") == [(0.5 + 1 + 0) / 3, (1 + 0.5 + 0) / 3]
    assert row["test"] == "paired permutation"
    assert float(row["p"]) == 1  # + 1/2 and - 1/2
    cells = ("both_right", "only_a_right", "only_b_right", "neither_right")
    assert numbers(row, *cells) == [2, 1, 1, 1]


def test_p_values_are_corrected_together_and_decide(tmp_path: Path) -> None:
    base, quantized = [1.0] * 8 + [0.0] * 4, [0.0] * 8 + [0.0] * 4
    found = rows(tmp_path, couple(tmp_path, base, quantized, datasets=["humaneval"]))
    (one,) = found
    assert float(one["p_adjusted"]) == float(one["p"]) == pytest.approx(2 / 2**8)
    assert one["verdict"] == "worse"
    two = rows(
        tmp_path / "two",
        couple(tmp_path / "two", base, quantized, datasets=["humaneval", "coding_sample"]),
    )
    assert [float(row["p_adjusted"]) for row in two] == pytest.approx([4 / 2**8] * 2)
    better = rows(tmp_path / "turned", couple(tmp_path / "turned", quantized, base))
    assert [row["verdict"] for row in better] == ["better"]


def test_a_metric_that_is_no_mean_is_named(tmp_path: Path) -> None:
    run = couple(tmp_path)
    path = tmp_path / run.pairs[0].score_folder() / "metrics.json"
    metrics = read_json(path)
    metrics["metrics"]["pass@1"]["value"] += 0.01
    write_json(path, metrics)
    (row,) = rows(tmp_path, run)
    assert row["metric"] == "mean value of an answer"


def test_likelihoods_have_no_text_to_compare(tmp_path: Path) -> None:
    run = couple(tmp_path)
    path = tmp_path / run.pairs[1].folder() / "predictions.jsonl"
    write_jsonl(path, [row | {"logprobs": []} for row in read_jsonl(path)])
    (row,) = rows(tmp_path, run)
    assert row["same_text"] == ""


def test_few_samples_could_show_nothing(tmp_path: Path) -> None:
    markdown = pages(tmp_path, couple(tmp_path, [1, 0], [0, 1]))[1]
    assert "2 samples could show no difference, however large." in markdown
    alone = pages(tmp_path / "one", couple(tmp_path / "one", [1], [0]))[1]
    assert "1 sample could show no difference, however large." in alone
    assert re.search(r"latency, median \| .* × \| one measurement \|", alone)


def test_the_report_says_what_is_shown(tmp_path: Path) -> None:
    html, markdown = pages(tmp_path, couple(tmp_path))
    low, high = (points(end) for end in tango(1, 3, 8))
    said = (
        f"On HumanEval the quantized model scores 25.0 points lower (95 % interval {low} to {high}; "
        f"exact McNemar test, p = 0.62): no difference is shown. 8 samples would show a true difference "
        "of 80.1 points four times in five."
    )
    assert said in html
    assert said in markdown
    assert '<li><a href="#couples">' in html
    assert "| HumanEval | 8 | 3 | 1 | 3 | 1 | 4 | 2 |" in markdown


def test_speeds_stand_side_by_side(tmp_path: Path) -> None:
    run = couple(tmp_path, [1.0] * 40, [1.0] * 40)
    html, markdown = pages(tmp_path, run)
    latencies = [
        [row["latency_s"] for row in read_jsonl(tmp_path / pair.folder() / "timings.jsonl")]
        for pair in run.pairs
    ]
    ratio = median(latencies[1]) / median(latencies[0])
    (line,) = [
        line for line in markdown.splitlines() if "latency, median |" in line and "×" in line
    ]
    cells = [cell.strip() for cell in line.split("|")[1:-1]]
    assert cells[4] == f"{ratio:.2f} ×"
    low, high = map(float, cells[5].split(" to "))
    assert low <= ratio <= high
    assert low < high
    assert "| HumanEval | weights in memory | 5.00 GiB | 5.00 GiB | 1.00 × | one measurement |" in (
        markdown
    )
    assert "is one measurement" in html


def test_nothing_is_compared_across_protocols(tmp_path: Path) -> None:
    run = couple(tmp_path)
    run.models["medium"]["prompt_style"] = "completion"
    (row,) = rows(tmp_path, run)
    assert row["verdict"] == "not compared"
    assert row["reason"] == "the protocols differ in prompt style, prompt, stops"
    assert row["p"] == row["difference"] == row["n"] == ""
    html, markdown = pages(tmp_path, run)
    for page in (html, markdown):
        assert (
            "HumanEval: not compared, as the protocols differ in prompt style, prompt, st" in page
        )
        assert "one measurement" not in page
    assert "Scores on the same samples" not in html


def test_speeds_are_not_compared_across_hardware(tmp_path: Path) -> None:
    run = couple(tmp_path)
    path = tmp_path / run.pairs[0].folder() / "meta.json"
    write_json(path, read_json(path) | {"gpu": None})
    html, markdown = pages(tmp_path, run)
    why = "as they ran on different hardware, 1 × NVIDIA H100 80GB HBM3 and a CPU"
    for page in (html, markdown):
        assert f"ot compared, {why}" in page
    assert "weights in memory |" not in markdown.split("## Before")[0]


def test_speeds_of_an_endpoint_are_not_compared(tmp_path: Path) -> None:
    run = couple(tmp_path, on_gpu=False)
    path = tmp_path / run.pairs[0].folder() / "meta.json"
    write_json(path, read_json(path) | {"device": "endpoint"})
    html = pages(tmp_path, run)[0]
    assert "Not compared, as an endpoint does not tell what it runs on." in html


def test_without_a_gpu_what_was_not_measured_is_a_dash(tmp_path: Path) -> None:
    markdown = pages(tmp_path, couple(tmp_path, on_gpu=False))[1]
    assert "| HumanEval | peak memory | – | – | – | – |" in markdown


def test_a_missing_result_is_named(tmp_path: Path) -> None:
    run = couple(tmp_path)
    shutil.rmtree(tmp_path / run.pairs[0].folder())
    (row,) = rows(tmp_path, run)
    assert row["reason"] == "there is no result of tiny"
    assert "HumanEval: not compared, as there is no result of tiny" in pages(tmp_path, run)[0]


def test_models_that_are_no_couple_are_not_compared(tmp_path: Path) -> None:
    run = couple(tmp_path)
    run.models["medium"]["base_model"] = None
    assert rows(tmp_path, run) == []
    run.models["medium"]["base_model"] = "elsewhere"  # not in the run
    assert rows(tmp_path, run) == []
    assert "Quantized beside" not in pages(tmp_path, run)[0]


def test_other_differences_than_the_weights_are_told(tmp_path: Path) -> None:
    run = couple(tmp_path)
    assert "Not the weights alone" not in pages(tmp_path, run)[1]
    run.models["medium"]["sampling"]["temperature"] = 0.7
    assert "Medium Coder 7B Instruct (AWQ): temperature 0.7; Tiny 135M" in pages(tmp_path, run)[1]


def test_titles_cannot_break_the_page(tmp_path: Path) -> None:
    run = couple(tmp_path)
    run.models["medium"]["title"] = "<img src=x>|`evil"
    run.datasets["humaneval"]["title"] = "</section>*set*"
    html, markdown = pages(tmp_path, run)
    part = html[html.index('<section id="couples"') :].split("</section>")[0]
    assert "What an engine run took" in part  # it goes on to its own end
    assert "<img" not in html
    assert "&lt;img src=x&gt;|`evil" in part
    couples = markdown[markdown.index("## Quantized") :].partition("\n## ")[0]
    assert r"\<img src=x\>\|\`evil" in couples
    assert "| evil" not in couples
    assert r"\</section\>\*set\*" in couples


@pytest.mark.parametrize(
    ("value", "text"), [(0.0124, "+1.2"), (-0.0124, "−1.2"), (-0.0001, "0.0"), (None, "–")]
)
def test_points(value: float | None, text: str) -> None:
    assert points(value) == text
    assert width(None if value is None else abs(value)) == text.lstrip("+−")


def test_p_values() -> None:
    assert [p_value(p) for p in (0.0004, 0.0123, 0.5, 1.0, None)] == [
        "< 0.001",
        "0.012",
        "0.50",
        "1.00",
        "–",
    ]
