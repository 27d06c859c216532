"""The report where results do not compare, lie outside of published bands, or were cut off."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path
from typing import Any

import pytest
from reported_run import make_run, pages
from snakeval.records import read_json, write_json
from snakeval.registry import Pair, Run
from snakeval.registry.bands import band
from snakeval.registry.protocol import protocol

SCORE = {
    **{"model": "Tiny", "score": 80.0, "protocol": "EvalPlus | chat", "source": "a *paper*"},
    **{"models": ["tiny"], "thinking": None, "metric": None, "differs": None, "band": None},
}


def published(run: Run, *scores: dict[str, Any]) -> None:
    run.datasets["humaneval"]["about"]["published"] = [SCORE | score for score in scores]


def value(root: Path, pair: Pair) -> float:
    metrics = read_json(root / pair.score_folder() / "metrics.json")
    return float(metrics["metrics"]["pass@1"]["value"])


def section(page: str, start: str, end: str) -> str:
    at = page.index(start)
    return page[at : page.index(end, at)]


def test_results_of_two_protocols_stand_apart(tmp_path: Path) -> None:
    run = make_run(tmp_path, datasets=["humaneval"])
    run.models["medium"]["prompt_style"] = "completion"
    html, markdown = pages(tmp_path, run)
    why = "The models were asked in 2 ways, which differ in prompt style, prompt, stops."
    for page in (html, markdown):
        assert page.count(why) == 1
    assert html.count("best first</caption>") == 2
    assert html.count('<h4 class="way">') == 2
    chat = section(html, '<h4 class="way">Chat prompt, 0-shot</h4>', ">Text to continue")
    for there, title in ((True, "Tiny"), (True, "Large"), (False, "Medium")):
        assert (f">{title} " in chat) == there
    parts = section(markdown, "## HumanEval", "\n## ").split("### ")[1:]
    assert [part.splitlines()[0] for part in parts] == [
        "Chat prompt, 0-shot",
        "Text to continue, 0-shot",
    ]
    for part, titles in zip(parts, (("Large", "Tiny"), ("Medium",)), strict=True):
        found = re.findall(r"^\| (Tiny|Medium|Large) ", part, re.MULTILINE)
        assert found == [*titles, *titles]  # results and speeds, each from best to worst
        drawn = re.findall(r"\]\((figures/[^)]+_intervals\.svg)\)", part)
        (svg,) = [(tmp_path / "reports" / name).read_text("utf-8") for name in drawn]
        assert set(re.findall(r">(Tiny|Medium|Large) ", svg)) == set(titles)
    ids = {pair.model: protocol(run, pair).id for pair in run.pairs}
    assert ids["tiny"] == ids["large"] != ids["medium"]
    for name in ids.values():
        assert f"<code>{name}</code>" in html
        assert f"Protocol `{name}`" in markdown
    with (tmp_path / "summary" / "leaderboard.csv").open(encoding="utf-8", newline="") as file:
        assert {row["model"]: row["protocol"] for row in csv.DictReader(file)} == ids
    kept = json.loads((tmp_path / "summary" / "provenance.json").read_text())["pairs"]
    assert {pair["model"]: pair["protocol"]["id"] for pair in kept} == ids


def test_results_of_one_protocol_stand_together(tmp_path: Path) -> None:
    run = make_run(tmp_path, datasets=["humaneval"])
    run.models["medium"]["sampling"]["temperature"] = 0.7
    html, markdown = pages(tmp_path, run)
    assert html.count("best first</caption>") == 1
    for page in (html, markdown):
        assert "asked in" not in page
        assert "Chat prompt, 0-shot; answers of up to 512 tokens" in page
    assert "<dd>temperature 0.7</dd>" in html
    assert html.count("<dd>greedy</dd>") == 2


def test_a_result_outside_its_band_is_flagged(tmp_path: Path) -> None:
    run = make_run(tmp_path, ["tiny", "medium"], ["humaneval"])
    ours = value(tmp_path, run.pairs[1])
    published(
        run,
        {"differs": "the <b>beginning</b> is given"},
        {"models": ["medium"], "score": 100 * ours},
    )
    html, markdown = pages(tmp_path, run)
    assert ours > 0.6
    low, high = (100 * end for end in band(SCORE, 164, is_quantized=True) or ())
    assert value(tmp_path, run.pairs[0]) < 0.5
    # In the leaderboard, with a link to the pair's own part,
    flag = '<a class="pill outside" href="#pair-tiny-humaneval-published">'
    assert html.count(flag) == 1
    assert html.count("✓</span> in band</span></td>") == 1
    assert re.search(r"^\| Tiny .*\| ⚠ outside 1 of 1 \|", markdown, re.MULTILINE)
    assert re.search(r"^\| Medium .*\| ✓ in the band \|", markdown, re.MULTILINE)
    # among the notices, unfolded, with everything that it takes to look for the reason,
    notice = section(html, "Outside the band around a published score", "</details>")
    assert "<details open>" in notice
    for page, told in (
        (
            html,
            f"published 80.0 % (Tiny; EvalPlus | chat; a *paper*), band {low:.1f} to {high:.1f} %",
        ),
        (html, "the protocols differ: the &lt;b&gt;beginning&lt;/b&gt; is given"),
        (
            markdown,
            rf"published 80.0 % (Tiny; EvalPlus \| chat; a \*paper\*), band {low:.1f} to {high:.1f} %",
        ),
        (markdown, r"the protocols differ: the \<b\>beginning\</b\> is given"),
    ):
        assert page.count(told) == 2  # and in the pair's own part
    assert "Tiny 135M Instruct on HumanEval: " in notice
    assert "Medium" not in notice
    article = section(html, '<article id="pair-tiny', "</article>")
    assert '<ul class="published" id="pair-tiny-humaneval-published">' in article
    assert "outside the band</span>" in article
    assert "outside the band" not in section(html, '<article id="pair-medium', "</article>")
    assert markdown.count("- ⚠ **Outside the band**: ") == 1
    assert markdown.count("- ✓ In the band: ") == 1


def test_quantized_weights_have_a_wider_band(tmp_path: Path) -> None:
    run = make_run(tmp_path, ["medium"], ["humaneval"])
    ours = 100 * value(tmp_path, run.pairs[0])
    published(run, {"models": ["medium"], "score": ours - 11})
    assert "⚠" not in pages(tmp_path, run)[1]
    run.models["medium"] |= {"quantization": None, "source": {"hub": "org/m", "revision": "a" * 40}}
    assert "⚠ outside 1 of 1" in pages(tmp_path, run)[1]


def test_only_all_rows_are_held_against_a_published_score(tmp_path: Path) -> None:
    run = make_run(tmp_path, ["tiny"], ["humaneval"], samples=20)
    published(run, {})
    html, markdown = pages(tmp_path, run)
    assert "⚠" not in markdown
    assert "not compared, as 20 of 164 rows were asked" in html
    assert "- Not compared, as 20 of 164 rows were asked: " in markdown
    assert '<th scope="col" class="text">published scores</th>' not in html


@pytest.mark.parametrize(
    ("score", "rows", "says"),
    [
        ({"metric": "pass@10"}, 164, "there is no pass@10"),
        ({}, None, "the number of rows is not known"),
    ],
)
def test_what_cannot_be_compared_says_why(
    tmp_path: Path, score: dict[str, Any], rows: int | None, says: str
) -> None:
    run = make_run(tmp_path, ["tiny"], ["humaneval"])
    published(run, score)
    run.datasets["humaneval"]["about"]["rows"] = rows
    html, markdown = pages(tmp_path, run)
    assert f"not compared, as {says}" in html
    assert f"- Not compared, as {says}: " in markdown


def test_scores_of_other_models_are_not_shown(tmp_path: Path) -> None:
    run = make_run(tmp_path, ["tiny"], ["humaneval"])
    published(run, {"models": []}, {"models": ["medium"]}, {"thinking": True})
    for page in pages(tmp_path, run):
        assert "EvalPlus" not in page


def test_what_is_left_open_stands_beside_the_score(tmp_path: Path) -> None:
    def close(answer: dict[str, Any]) -> None:
        if answer["state"] == "incomplete":
            answer.update(state="wrong", finish_reason="stop")

    run = make_run(tmp_path, ["medium"], ["humaneval"])
    path = tmp_path / run.pairs[0].score_folder() / "metrics.json"
    metrics = read_json(path) | {"open_thoughts": 3}
    write_json(path, metrics)
    html, markdown = pages(tmp_path, run)
    done, bounds = metrics["completed_only"], metrics["bounds"]
    low, high = (f"{100 * bounds[end]:.1f}" for end in ("low", "high"))
    assert metrics["limit_hits"] > 0
    shown = f"{100 * done['value']:.1f} %"
    hits = f"<td>{metrics['limit_hits']}</td><td>3</td>"
    for part in (
        f'<td>{shown}<span class="under quiet">{low} to {high} %</span></td>',
        hits,
        ">open thoughts</th>",
    ):
        assert part in html
    assert f"| {shown} | {low} to {high} % |" in markdown
    assert f"| {metrics['limit_hits']} | 3 |" in markdown
    for page in (html, markdown):
        text = page.replace("\\@", "@")
        assert f"over them, pass@1 is {shown}" in text
        assert f"it would be {low} % over all; had they all been right, {high} %" in text
        assert "3 answers ended inside a thought" in text
        assert "Thoughts were left open" in text
        assert "(3 of 164)" in text
    done_run = make_run(tmp_path / "done", ["medium"], ["humaneval"], change=close)
    for page in pages(tmp_path / "done", done_run):
        assert "completed only |" not in page
        assert ">completed only" not in page
        assert "open thoughts |" not in page


def test_examples_in_prompts_have_their_hash_in_the_report(tmp_path: Path) -> None:
    run = make_run(tmp_path, ["tiny"], ["humaneval"], samples=2)
    path = tmp_path / run.dataset_status("humaneval")
    write_json(path, read_json(path) | {"shots": {"examples": 5, "sha256": "ab" * 32}})
    html, markdown = pages(tmp_path, run)
    assert f'<code>{"ab" * 32}</code> <span class="quiet">5 examples</span>' in html
    assert f"5 examples in prompts {'ab' * 32}" in markdown
    kept = json.loads((tmp_path / "summary" / "provenance.json").read_text())["datasets"]
    assert kept["humaneval"]["shots"]["sha256"] == "ab" * 32
