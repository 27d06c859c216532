"""Standings: ranks, all pairs and averages, in the tables and in the report."""

from __future__ import annotations

import csv
import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from reported_run import DATASETS, make_run, pages, set_sandbox
from snakeval.records import read_json, read_jsonl, write_json, write_jsonl
from snakeval.registry import Run
from snakeval.reporting import standings_view, summarize
from snakeval.reporting.paired import NO_MEAN
from snakeval.reporting.standings import PROPAGATED, Result, Standings, result, standings
from snakeval.reporting.standings_view import Difference, Table
from snakeval.reporting.view import build
from snakeval.statistics import holm, mcnemar, wilson


def table(root: Path, name: str) -> list[dict[str, str]]:
    with (root / "summary" / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def verdicts(root: Path, run: Run, model: str, dataset: str) -> dict[str, float]:
    rows = read_jsonl(root / run.pair(model, dataset).score_folder() / "scores.jsonl")
    return {row["id"]: row["value"] for row in rows if row["value"] is not None}


def test_all_pairs_are_compared_on_the_samples_that_both_hold(tmp_path: Path) -> None:
    run = make_run(tmp_path, datasets=["humaneval"])
    pages(tmp_path, run)
    rows = table(tmp_path, "differences")
    couples = [(row["model_a"], row["model_b"]) for row in rows]
    assert couples == [("medium", "large"), ("medium", "tiny"), ("large", "tiny")]
    expected = []
    for row in rows:
        first, second = (
            verdicts(tmp_path, run, row[name], "humaneval") for name in ("model_a", "model_b")
        )
        both = first.keys() & second.keys()
        gained = sum(first[name] > second[name] for name in both)
        lost = sum(first[name] < second[name] for name in both)
        expected.append(float(mcnemar(gained, lost)))
        assert int(row["n"]) == len(both)
        assert float(row["difference"]) == pytest.approx((gained - lost) / len(both))
        assert float(row["p"]) == pytest.approx(expected[-1])
        assert row["test"] == "exact McNemar"
    assert [int(row["left_out"]) for row in rows] == [1, 0, 1]  # one sample of large is unscored
    assert [float(row["p_ranks"]) for row in rows] == pytest.approx(holm(expected))
    ordered = sorted(expected)
    by_hand = [min(ordered[k] * 3 / (k + 1) for k in range(ordered.index(p), 3)) for p in expected]
    assert [float(row["p_adjusted"]) for row in rows] == pytest.approx(by_hand)
    assert [row["verdict"] for row in rows] == ["tied", "better", "better"]
    assert [row["under_powered"] for row in rows] == ["1", "0", "0"]


def test_tied_ranks_are_shown_as_tied(tmp_path: Path) -> None:
    run = make_run(tmp_path, datasets=["humaneval"])
    html, markdown = pages(tmp_path, run)
    found = {
        row["model"]: (row["rank_low"], row["rank_high"]) for row in table(tmp_path, "leaderboard")
    }
    assert found == {"medium": ("1", "2"), "large": ("1", "2"), "tiny": ("3", "3")}
    own = markdown[markdown.index("## HumanEval") :]
    assert "| Medium Coder 7B Instruct (AWQ) | 1–2 | 80.5 % |" in own
    assert "| Tiny 135M Instruct | 3 | 26.2 % |" in own
    board = html[html.index('id="dataset-humaneval"') :]
    assert '<th scope="col">rank</th>' in board
    assert '<td data-sort="1">1–2</td><td class="value">80.5 %</td>' in board


def test_averages_propagate_the_intervals_of_the_datasets(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    html, markdown = pages(tmp_path, run)
    parts = {
        (row["model"], row["dataset"]): [
            float(row[name]) for name in ("value", "ci_low", "ci_high")
        ]
        for row in table(tmp_path, "leaderboard")
    }
    averages = [row for row in table(tmp_path, "standings") if row["scope"] == "average"]
    assert [row["model"] for row in averages] == ["medium", "large", "tiny"]
    for row in averages:
        own = [parts[row["model"], dataset] for dataset in run.datasets]
        mean = sum(value for value, _, _ in own) / 2
        below = math.sqrt(sum((value - low) ** 2 for value, low, _ in own)) / 2
        above = math.sqrt(sum((high - value) ** 2 for value, _, high in own)) / 2
        got = [float(row[name]) for name in ("value", "ci_low", "ci_high")]
        assert got == pytest.approx([mean, mean - below, mean + above])
    tests = {row["test"] for row in table(tmp_path, "differences") if row["scope"] == "average"}
    assert tests == {PROPAGATED}
    for text in (html, markdown):
        assert "Average over 2 datasets" in text
        assert "HumanEval, Advanced coding sample. Each dataset counts the same" in text
    assert "| Medium Coder 7B Instruct (AWQ) | 1–2 | 75.2 % |" in markdown


def row(model: str, dataset: str, protocol: str, values: list[float | None]) -> Result:
    judged = [value for value in values if value is not None]
    low, high = wilson(sum(judged), len(judged))
    made = {"model": model, "dataset": dataset, "protocol": protocol, "metric": "accuracy"}
    made |= {"value": sum(judged) / len(judged), "ci_low": low, "ci_high": high, "n": len(judged)}
    return result(made, scores(values))


def scores(values: list[float | None], **more: Any) -> list[Any]:
    return [
        {"id": f"s{n}", "repeat": 0, "value": value, "detail": {}, **more}
        for n, value in enumerate(values)
    ]


RIGHT, HALF = [1.0] * 40, [1.0, 0.0] * 20


def test_nothing_is_compared_across_protocols() -> None:
    found = standings(
        [
            *(row(model, "one", "p", values) for model, values in (("a", RIGHT), ("b", HALF))),
            *(row(model, "two", "p", values) for model, values in (("a", RIGHT), ("b", HALF))),
            row("c", "one", "q", RIGHT),  # asked in another way
            row("c", "two", "p", RIGHT),
        ]
    )
    together = {(line["datasets"], line["protocols"]): {line["model"]} for line in found.standings}
    for line in found.standings:
        together[line["datasets"], line["protocols"]].add(line["model"])
    assert together == {
        ("one", "p"): {"a", "b"},
        ("two", "p"): {"a", "b", "c"},
        ("one", "q"): {"c"},
        ("one two", "p p"): {"a", "b"},  # c has no result on one by this protocol
    }
    pairs = {
        (line["datasets"], line["protocols"], frozenset((line["model_a"], line["model_b"])))
        for line in found.differences
    }
    assert ("one", "p", frozenset("ac")) not in pairs
    assert ("two", "p", frozenset("ac")) in pairs


def test_an_average_stands_on_common_datasets_only() -> None:
    found = standings(
        [
            *(row("a", name, "p", RIGHT) for name in ("one", "two", "three")),
            *(row("b", name, "p", HALF) for name in ("one", "two", "three")),
            *(row("c", name, "p", HALF) for name in ("one", "two")),
        ]
    )
    averages = {line["datasets"]: [] for line in found.standings if line["scope"] == "average"}
    for line in found.standings:
        if line["scope"] == "average":
            averages[line["datasets"]].append(line["model"])
    assert averages == {"one two three": ["a", "b"], "one two": ["a", "b", "c"]}


def test_against_a_baseline_only_its_comparisons_count(tmp_path: Path) -> None:
    run = make_run(tmp_path, datasets=["humaneval"])
    run.settings["baseline_model"] = "medium"
    html, markdown = pages(tmp_path, run)
    rows = table(tmp_path, "differences")
    against = [line for line in rows if "medium" in (line["model_a"], line["model_b"])]
    p_values = holm([float(line["p"]) for line in against])
    assert [float(line["p_baseline"]) for line in against] == pytest.approx(p_values)
    assert [line["p_baseline"] for line in rows if line not in against] == [""]
    part = markdown[markdown.index("### Against Medium Coder") :].split("## HumanEval")[0]
    assert "| HumanEval | Tiny 135M Instruct | −54.3 | −62.7 to −44.6 | < 0.001 | worse |" in part
    assert "Against Medium Coder 7B Instruct (AWQ)" in html


def test_one_model_has_no_standings(tmp_path: Path) -> None:
    html, markdown = pages(tmp_path, make_run(tmp_path, models=["tiny"]))
    assert table(tmp_path, "differences") == []
    for text in (html, markdown):
        assert "Standings" not in text
    assert "| Model | rank |" not in markdown
    assert '<th scope="col">Model</th><th scope="col">rank</th>' not in html


def test_samples_in_clusters_are_compared_by_clusters(tmp_path: Path) -> None:
    run = make_run(tmp_path, ["medium", "large"], ["humaneval"])
    for pair in run.pairs:
        path = tmp_path / pair.score_folder() / "scores.jsonl"
        rows = list(read_jsonl(path))
        write_jsonl(path, [line | {"cluster": f"c{n // 8}"} for n, line in enumerate(rows)])
    html, markdown = pages(tmp_path, run)
    (found,) = table(tmp_path, "differences")
    assert found["test"] == "cluster permutation"
    assert "163 in clusters" in markdown
    assert '163<span class="under quiet">in clusters</span>' in html


def test_repeats_are_averaged_and_the_primary_metric_is_compared() -> None:
    line = {"metric": "f1", "value": 0.6}
    given = [
        {"id": "a", "repeat": 0, "value": 0.0, "detail": {"f1": 0.2}},
        {"id": "a", "repeat": 1, "value": 0.0, "detail": {"f1": 0.4}},
        {"id": "b", "repeat": 0, "value": 1.0, "detail": {"f1": 0.9}},
        {"id": "b", "repeat": 1, "value": None, "detail": {}},
    ]
    found = result(line, given)  # type: ignore[arg-type]
    assert found.measured == pytest.approx({"a": 0.3, "b": 0.9})
    assert found.values == {"a": 0.0, "b": 1.0}
    other = result({"metric": "macro_f1", "value": 0.4}, given)  # type: ignore[arg-type]
    assert other.measured is None


def test_what_is_no_mean_over_samples_is_said_to_be_compared_otherwise(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    assert not any("no mean over samples" in text for text in pages(tmp_path, run))
    for pair in run.pairs:
        if pair.dataset == "humaneval":
            path = tmp_path / pair.score_folder() / "metrics.json"
            metrics = read_json(path)
            metrics["metrics"]["pass@1"]["value"] -= 0.05
            write_json(path, metrics)
    html, markdown = pages(tmp_path, run)
    compared = {row["datasets"]: row["metric"] for row in table(tmp_path, "differences")}
    assert compared["humaneval"] == NO_MEAN != compared["coding_sample"]
    for text in (html, markdown):
        assert (
            "On HumanEval the metric is no mean over samples: there, models are compared, and ranked, by the "
            "mean value of an answer; in averages, the metric counts, and two models as independent there"
        ) in text.split("What each dataset can tell")[0]


def test_without_an_average_nothing_is_said_of_one(tmp_path: Path) -> None:
    run = make_run(tmp_path, ["medium", "large"], ["humaneval"])
    for pair in run.pairs:
        path = tmp_path / pair.score_folder() / "metrics.json"
        metrics = read_json(path)
        metrics["metrics"]["pass@1"]["value"] -= 0.05
        write_json(path, metrics)
    for text in pages(tmp_path, run):
        assert "ranked, by the mean value of an answer." in text


def test_what_the_samples_can_show_stands_beside_the_gaps(tmp_path: Path) -> None:
    run = make_run(tmp_path, datasets=["humaneval"])
    html, markdown = pages(tmp_path, run)
    (tied,) = [row for row in table(tmp_path, "differences") if row["verdict"] == "tied"]
    smallest, gap = (100 * abs(float(tied[name])) for name in ("smallest_detectable", "difference"))
    said = f"differences of about {smallest:.1f} points or more; the tied pair differs by {gap:.1f}"
    assert f">{said}</td>" in html
    assert f"| {said} |" in markdown
    assert "under-powered" not in html + markdown


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([], "no difference: they are too few"),
        ([("tied", 0.02, None)], "no difference: they are too few"),
        ([("better", 0.5, 0.2)], "differences of about 20.0 points or more"),
        (
            [("tied", -0.031, 0.05), ("tied", 0.006, 0.046), ("worse", -0.4, 0.3)],
            "differences of about 4.8 points or more; the tied pairs differ by 0.6 to 3.1",
        ),
    ],
)
def test_power_is_that_of_the_tied_pairs(
    rows: list[tuple[str, float, float | None]], said: str
) -> None:
    pairs = [
        Difference("a", "b", {"verdict": v, "difference": d, "smallest_detectable": s})
        for v, d, s in rows
    ]
    assert Table("one", None, ["one"], [], pairs, [], frozenset()).power == said


def categories(*its: tuple[str, list[str]]) -> tuple[dict[str, Any], ...]:
    return tuple({"name": name, "title": name.title(), "datasets": own} for name, own in its)


def averages(found: Standings) -> dict[tuple[str, str | None], list[str]]:
    result: dict[tuple[str, str | None], list[str]] = {}
    for line in found.standings:
        if line["scope"] == "average":
            place = line["datasets"], line["categories"]
            result.setdefault(place, []).append(line["model"])
    return result


def test_each_of_several_categories_has_an_average_over_the_models_that_answered_it() -> None:
    results = [
        *(row("a", name, "p", RIGHT) for name in ("one", "two", "three", "four")),
        *(row("b", name, "p", HALF) for name in ("one", "two", "three", "four")),
        *(row("c", name, "p", HALF) for name in ("three", "four")),
        *(row("d", name, "p", HALF) for name in ("two", "three")),
        *(row("e", name, "q", HALF) for name in ("three", "four")),  # asked in another way
    ]
    code, words = ("code", ["one", "two"]), ("words", ["three", "four"])
    overall = ("one two three four", None)
    plain = {overall: ["a", "b"], ("two three", None): ["a", "b", "d"]}
    assert averages(standings(results)) == plain | {("three four", None): ["a", "b", "c"]}
    assert averages(standings(results, categories=categories(code))) == averages(standings(results))
    found = averages(standings(results, categories=categories(code, words)))
    assert found == {
        **{overall: ["a", "b"], ("one two", "code"): ["a", "b"]},
        **{("three four", "words"): ["a", "b", "c"], ("two three", None): ["a", "b", "d"]},
    }
    assert list(found)[:3] == [overall, ("one two", "code"), ("three four", "words")]
    same = averages(standings(results, categories=categories(code, ("more", code[1]))))
    assert same["one two", "code more"] == ["a", "b"]
    lacking = ("lacking", ["one", "two", "five"])  # of which no model answered all
    assert averages(standings(results, categories=categories(lacking, words))).keys() == {
        *plain,
        ("three four", "words"),
    }


def test_averages_of_categories_carry_their_titles(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    own = categories(("<code>", ["humaneval", "coding_sample"]), ("rest", ["humaneval"]))
    html, markdown = pages(tmp_path, replace(run, categories=own))
    assert "Average over 2 datasets of &lt;Code&gt;" in html
    assert r"### Average over 2 datasets of \<Code\>" in markdown
    assert "On average over 2 datasets of &lt;Code&gt;, Medium Coder 7B" in html


def test_the_answer_names_the_first_of_each_further_category(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(DATASETS, "third", ("Third", 50))
    run = make_run(tmp_path, datasets=["humaneval", "coding_sample", "third"])
    own = categories(
        ("code", ["humaneval", "coding_sample"]), ("words", ["coding_sample", "third"])
    )
    _, markdown = pages(tmp_path, replace(run, categories=own))
    answer = markdown.split("## Standings")[0]
    assert "On average over 3 datasets, Medium Coder" in answer
    assert "First, or tied for it, by category: Code: " in answer
    assert "; Words: " in answer


def test_what_was_made_without_isolation_is_marked_in_each_table(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    run.settings["baseline_model"] = "medium"
    mark = '<span class="pill unsafe"><span aria-hidden="true">⚠</span> no isolation</span>'

    def part(text: str, start: str, end: str) -> str:
        return text[text.index(start) :].split(end)[0]

    html, markdown = pages(tmp_path, run)
    assert mark not in part(html, '<section id="standings"', "</section>")
    open_ = {"level": "none", "layers": [], "judged_together": 0}
    set_sandbox(tmp_path, run.pair("large", "humaneval"), open_)
    html, markdown = pages(tmp_path, run)
    section = part(html, '<section id="standings"', "</section>")
    title = "Large Coder 30B-A3B Instruct (AWQ)"
    # The average, its two pairs, the two pairs of HumanEval, and both results against the baseline.
    assert section.count(f"{title} {mark}") == section.count(mark) == 7
    section = part(markdown, "## Standings", "## HumanEval")
    first = "Medium Coder 7B Instruct (AWQ)"
    assert f"| {title} ⚠ no isolation | 1–2 | 66.7 % |" in section
    assert f"| HumanEval | {first}, {title} (no isolation) |" in section
    assert f"| Advanced coding sample | {first}, {title} |" in section
    assert f"| HumanEval | {title} ⚠ no isolation | −6.1 |" in section
    assert f"| Advanced coding sample | {title} | −10.2 |" in section
    assert f"It may be tied with {title} (no isolation)." in markdown


def test_the_overview_says_the_numbers_of_the_standings(tmp_path: Path) -> None:
    """It has no arithmetic of its own: were standings.csv another, so were the answer and its pictures."""
    run = make_run(tmp_path)
    summarize(run, tmp_path, tmp_path / "summary", [])
    path = tmp_path / "summary/standings.csv"
    rows = table(tmp_path, "standings")
    for line in rows:
        if line["scope"] == "average":
            line |= {"value": "0.6125", "ci_low": "0.3375", "ci_high": "0.9125", "n": "4321"}
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    overview = build(run, tmp_path, tmp_path / "summary").overview
    assert overview is not None
    assert "61.3 % (95 % interval 33.8 to 91.2 %, n = 4,321)" in overview.answer[0]
    figures = overview.figures
    for name in ("speed", "memory"):
        drawn = re.findall(r'"value":([.\d]+),"low":([.\d]+),"high":([.\d]+)', figures[name].json)
        assert set(drawn) == {("0.6125", "0.3375", "0.9125")}


def test_many_comparisons_with_a_baseline_are_counted_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run(tmp_path)
    run.settings["baseline_model"] = "medium"
    monkeypatch.setattr(standings_view, "PAIRS_SHOWN", 3)
    html, markdown = pages(tmp_path, run)
    assert "| HumanEval | 0 | 1 | 1 |" in markdown
    assert "All 6 comparisons with Medium Coder" in html


def test_titles_are_escaped(tmp_path: Path) -> None:
    run = make_run(tmp_path, ["medium", "large"], ["humaneval"])
    run.models["medium"]["title"] = "<script>x</script>|b"
    html, markdown = pages(tmp_path, run)
    part = html[html.index('<section id="standings"') :].split("</section>")[0]
    assert "&lt;script&gt;x&lt;/script&gt;|b" in part
    assert "<script>" not in part
    assert r"\<script\>x\</script\>\|b" in markdown[markdown.index("## Standings") :]
