from __future__ import annotations

import hashlib
import re
import shutil
from base64 import b64decode
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hostile_samples import HOSTILE, everywhere
from reported_run import make_run, pages, set_sandbox
from snakeval.errors import StorageError
from snakeval.records import read_json, read_jsonl, write_json, write_jsonl
from snakeval.reporting import Failure, report

VOID = {"meta", "img", "input", "br", "link", "hr"}


class Outline(HTMLParser):
    """Checks that tags nest, and collects them with their texts."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[str, str]] = []
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open:
            self.texts.append((self.open[-1], data))

    def count(self, name: str) -> int:
        return sum(tag == name for tag, _ in self.tags)


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_samples_stay_text(tmp_path: Path, name: str) -> None:
    plain = make_run(tmp_path / "plain", samples=3)
    expected = Outline(pages(tmp_path / "plain", plain)[0])
    run = make_run(tmp_path / "odd", samples=3, change=everywhere(HOSTILE[name]))
    failures: list[Failure] = [
        {"model": "tiny", "dataset": "humaneval", "stage": "score", "reason": HOSTILE[name]}
    ]
    html, markdown = pages(tmp_path / "odd", run, failures)
    outline = Outline(html)
    for tag in ("script", "style", "main", "article", "svg", "meta"):
        assert outline.count(tag) == expected.count(tag), tag
    assert outline.count("img") == 0
    assert not [
        tag for tag, attributes in outline.tags if any(n.startswith("on") for n in attributes)
    ]
    hidden = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
    assert not hidden.search(html)
    assert not hidden.search(markdown)
    if name == "template":
        assert "49" not in "".join(text for tag, text in outline.texts if tag == "pre")
        assert "{{ 7 * 7 }}" in html
    if name == "markdown":
        assert "\n```````text\n``````\n# not a title" in markdown


def test_texts_arrive_whole(tmp_path: Path) -> None:
    odd = "\n  <b>&amp; \"quotes\" 'x'</b>\n\ttab\n"
    run = make_run(
        tmp_path,
        models=["tiny"],
        datasets=["humaneval"],
        samples=1,
        change=lambda answer: answer.update(completion=odd),
    )
    texts = Outline(pages(tmp_path, run)[0]).texts
    assert ("pre", f"\n{odd}") in texts  # the first line feed in a <pre> is not shown


def test_the_page_needs_nothing_else(tmp_path: Path) -> None:
    html, _ = pages(tmp_path, make_run(tmp_path, samples=3))
    outline = Outline(html)
    for _, attributes in outline.tags:
        assert "style" not in attributes  # the policy would block it
        for name in ("src", "srcset", "data", "action", "xlink:href"):
            assert name not in attributes
        assert (attributes.get("href") or "#").startswith(("#", "samples/index.html"))
    assert "@import" not in html
    assert not re.search(r"url\((?!#of-)", html)  # but a figure's own gradient
    policy = next(
        attributes["content"]
        for tag, attributes in outline.tags
        if attributes.get("http-equiv") == "Content-Security-Policy"
    )
    assert policy is not None
    assert policy.startswith("default-src 'none'")
    hashes = [b64decode(found) for found in re.findall(r"sha256-([\w+/=]+)", policy)]
    whole = (tmp_path / "reports" / "index.html").read_text("utf-8")
    for tag, count in (("style", 1), ("script", 5)):
        contents = re.findall(f"<{tag}>(.*?)</{tag}>", whole, re.DOTALL)
        assert len(contents) == count
        assert all(hashlib.sha256(content.encode()).digest() in hashes for content in contents)


def test_links_lead_somewhere_and_ids_are_unique(tmp_path: Path) -> None:
    html, _ = pages(tmp_path, make_run(tmp_path, samples=3, repeats=2))
    ids = re.findall(r'\bid="([^"]+)"', html)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'href="#([^"]+)"', html)) <= set(ids)


def test_numbers_are_those_of_the_leaderboard(tmp_path: Path) -> None:
    run = make_run(tmp_path, models=["medium"], datasets=["humaneval"])
    html, markdown = pages(tmp_path, run)
    line = (tmp_path / "summary" / "leaderboard.csv").read_text().splitlines()[1].split(",")
    value, low, high = (f"{float(cell) * 100:.1f}" for cell in line[3:6])
    assert f'<td class="value">{value} %</td><td>{low} to {high} %</td><td>164</td>' in html
    assert f"| {value} % | {low} to {high} % | 164 |" in markdown


def test_the_rows_of_a_markdown_table_follow_its_head(tmp_path: Path) -> None:
    _, markdown = pages(tmp_path, make_run(tmp_path, samples=3, repeats=2))
    lines = markdown.splitlines()
    heads = [number for number, text in enumerate(lines) if re.fullmatch(r"\|[-:|]+\|", text)]
    assert len(heads) > 5
    columns = [(lines[n - 1].count("|"), lines[n + 1].count("|")) for n in heads]
    assert columns == [(lines[n].count("|"),) * 2 for n in heads]


def test_what_was_not_measured_is_a_dash(tmp_path: Path) -> None:
    run = make_run(tmp_path, models=["tiny"], datasets=["humaneval"], samples=3, on_gpu=False)
    html, _ = pages(tmp_path, run)
    facts = dict(re.findall(r"<dt>([^<]+)</dt><dd>([^<]*)</dd>", html))
    assert facts["energy"] == "not measured (no GPU)"
    assert facts["peak memory"] == "–"
    assert facts["of it compiling"] == "–"
    assert facts["GPU"] == "none"
    assert "None" not in html
    assert "nan" not in re.findall(r"<td>([^<]*)</td>", html)


def test_an_endpoint_is_no_cpu(tmp_path: Path) -> None:
    run = make_run(tmp_path, models=["tiny"], datasets=["humaneval"], samples=2, on_gpu=False)
    path = tmp_path / run.pairs[0].folder() / "meta.json"
    write_json(path, read_json(path) | {"device": "endpoint"})
    html, markdown = pages(tmp_path, run)
    assert ">CPU<" not in html
    assert "| CPU |" not in markdown
    assert "| endpoint |" in markdown


def test_what_a_server_does_not_tell_is_a_dash(tmp_path: Path) -> None:
    run = make_run(tmp_path, models=["tiny"], datasets=["humaneval"], samples=2, on_gpu=False)
    run.models["tiny"] |= {"endpoint": {"url": "http://localhost:8000/v1", "model": "served"}}
    folder = tmp_path / run.pairs[0].folder()
    tokens = {"prompt": None, "completion": 24, "hidden": 16}
    meta = read_json(folder / "meta.json")
    write_json(folder / "meta.json", meta | {"device": "endpoint", "tokens": tokens})
    rows = [row | {"prompt_tokens": None} for row in read_jsonl(folder / "predictions.jsonl")]
    write_jsonl(folder / "predictions.jsonl", rows)
    html, _ = pages(tmp_path, run)
    facts = dict(re.findall(r"<dt>([^<]+)</dt><dd>([^<]*)</dd>", html))
    assert facts["quantization"] == "unknown: the server does not tell"
    assert facts["prompt tokens"] == "–"
    assert facts["output tokens"] == "24"
    assert facts["of them thoughts that the server did not show"] == "16"
    assert "– prompt tokens" in html


def test_a_result_without_a_value_is_shown(tmp_path: Path) -> None:
    def fail(answer: dict[str, Any]) -> None:
        answer.update(state="unscored", value=None, answer=None, detail={}, error="it broke")

    run = make_run(
        tmp_path, models=["tiny", "medium"], datasets=["humaneval"], samples=2, change=fail
    )
    html, markdown = pages(tmp_path, run)
    assert '<td class="value">–</td><td>–</td><td>0</td>' in html
    assert "| – | – | 0 | – | 0.0 to 100.0 % | 0 | 0 | 0 | 2 |" in markdown
    assert "humaneval_states.svg" in markdown
    assert "humaneval_intervals.svg" not in markdown


def test_failed_pairs_come_first(tmp_path: Path) -> None:
    run = make_run(tmp_path, samples=2)
    for pair in run.pairs[1:]:
        shutil.rmtree(tmp_path / pair.folder())
    failure: Failure = {
        "model": "large",
        "dataset": "humaneval",
        "stage": "generate",
        "reason": "CUDA out of memory",
        "log": "results/logs/generate/large.0.log",
    }
    html, markdown = pages(tmp_path, run, [failure])
    assert "5 of 6 pairs without a result" in html
    assert html.index("CUDA out of memory") < html.index("best first")
    assert "results/logs/generate/large.0.log" in html
    assert "| large | humaneval | generate | CUDA out of memory |" in markdown


def test_a_run_without_any_result_has_a_page(tmp_path: Path) -> None:
    run = make_run(tmp_path, samples=1)
    for kind in ("pairs", "models", "datasets"):
        shutil.rmtree(tmp_path / "results" / kind)
    html, _ = pages(tmp_path, run)
    assert "There is no result yet." in html
    assert (tmp_path / "reports" / "figures").is_dir()


def test_notices_say_what_limits_the_numbers(tmp_path: Path) -> None:
    def cut(answer: dict[str, Any]) -> None:
        answer.update(finish_reason="length", cut_tokens=10)

    run = make_run(tmp_path, models=["large"], datasets=["humaneval"], samples=20, change=cut)
    html, _ = pages(tmp_path, run)
    for said in (
        "Only the first 20 samples",
        "Few samples",
        "(20 of 20)",
        "Prompts were cut",
        "(unpinned)",
        "The revision is not a commit",
    ):
        assert said in html
    assert "Run without a GPU" not in html
    pinned = make_run(tmp_path / "pinned", models=["medium"], datasets=["humaneval"])
    assert "unpinned" not in pages(tmp_path / "pinned", pinned)[0]


UNSAFE = {"level": "none", "layers": ["rlimits"], "judged_together": 0}


def rows_of(markdown: str, *titles: str) -> list[str]:
    """Return the lines of the leaderboard for these models."""
    own = markdown[markdown.index("## HumanEval") :]
    lines = [line for line in own.splitlines() if line.startswith("| ")]
    return [next(line for line in lines if title in line) for title in titles]


def test_each_result_shows_how_its_programs_were_shut_in(tmp_path: Path) -> None:
    def together(answer: dict[str, Any]) -> None:
        if answer["id"].endswith(("/1", "/2")):
            answer["detail"]["judged"] = "together"

    run = make_run(tmp_path, ["tiny", "medium"], ["humaneval"], samples=30, change=together)
    html, markdown = pages(tmp_path, run)
    assert html.count('<th scope="col" class="text">isolation</th>') == 1
    assert html.count('<td class="text">namespaces, 2 together</td></tr>') == 2
    for row in rows_of(markdown, "Tiny", "Medium"):
        assert row.endswith("| namespaces, 2 together |")
    facts = dict(re.findall(r"<dt>([^<]+)</dt><dd>([^<]*)</dd>", html))
    layers = "namespaces (user, net, landlock 7, seccomp, rlimits)"
    assert facts["isolation of programs"] == layers
    assert f"| isolation of programs | {layers} |" in markdown
    assert "in its process, for 2 of 30 answers" in facts["tests ran"]
    assert "in its process, for 2 of 30 answers" in markdown
    for text in (html, markdown):
        assert "could have forged these verdicts" in text
        assert "(2 of 30)" in text
        assert "without isolation" not in text.lower()
    assert html.count(" · tests ran in the program's process") == 4
    assert "judged: together" not in html


def test_tests_that_ran_outside_are_nothing_to_warn_of(tmp_path: Path) -> None:
    html, markdown = pages(tmp_path, make_run(tmp_path, samples=3))
    assert html.count('<td class="text">namespaces</td></tr>') == 6
    assert rows_of(markdown, "Tiny")[0].endswith("| namespaces |")
    assert "<dd>outside of the program&#39;s process, for all answers</dd>" in html
    for text in (html, markdown):
        assert "could have forged" not in text
        assert "⚠" not in text


def test_a_result_without_isolation_cannot_be_overlooked(tmp_path: Path) -> None:
    run = make_run(tmp_path, ["tiny", "medium"], ["humaneval"], samples=30)
    set_sandbox(tmp_path, run.pairs[0], UNSAFE)
    html, markdown = pages(tmp_path, run)
    # At the top,
    assert html.index("1 of 2 results without isolation") < html.index("best first")
    assert markdown.index("## ⚠ Results without isolation") < markdown.index("## HumanEval")
    assert "\n- Tiny 135M Instruct on HumanEval\n" in markdown
    # in the leaderboard,
    mark = '<span class="pill unsafe"><span aria-hidden="true">⚠</span> no isolation</span>'
    assert html.count(f"Tiny 135M Instruct</a> {mark}</th>") == 1
    assert html.count('<td class="text">none</td></tr>') == 1
    assert html.count('<td class="text">namespaces</td></tr>') == 1
    tiny, medium = rows_of(markdown, "Tiny", "Medium")
    assert tiny.startswith("| Tiny 135M Instruct ⚠ no isolation |")
    assert tiny.endswith("| none |")
    assert medium.startswith("| Medium Coder 7B Instruct (AWQ) |")
    assert medium.endswith("| namespaces |")
    # in the figures,
    for name in ("intervals", "states", "speed"):
        svg = (tmp_path / "reports" / "figures" / f"humaneval_{name}.svg").read_text("utf-8")
        assert len(re.findall(r">Tiny [^<]*no isolation\)<", svg)) == 1
        assert not re.findall(r">Medium [^<]*no isolation", svg)
    # and in the pair's own part.
    at, other = html.index('<article id="pair-tiny'), html.index('<article id="pair-medium')
    article = html[at : html.index("</article>", at)]
    assert f"<p>{mark}" in article
    assert "<dd>NONE (rlimits)</dd>" in article
    assert mark not in html[other : html.index("</article>", other)]
    assert markdown.count("⚠ **No isolation**") == 1
    assert "| isolation of programs | NONE (rlimits) |" in markdown


def test_where_no_program_was_run_isolation_is_no_matter(tmp_path: Path) -> None:
    run = make_run(tmp_path, ["tiny", "medium"], samples=3)
    for pair in run.pairs:
        if pair.dataset == "humaneval":
            set_sandbox(tmp_path, pair, None)
    html, markdown = pages(tmp_path, run)
    assert html.count('<th scope="col" class="text">isolation</th>') == 1  # of the other dataset
    assert html.count('<td class="text">namespaces</td></tr>') == 2
    assert "| no answer found |\n|---|" in markdown
    assert "| no answer found | isolation |\n|---|" in markdown
    assert markdown.count("| isolation of programs |") == 2
    run = make_run(tmp_path, ["tiny", "medium"], ["humaneval"], samples=3)
    set_sandbox(tmp_path, run.pairs[0], None)
    html, markdown = pages(tmp_path, run)
    assert '<td class="text">–</td></tr>' in html
    assert rows_of(markdown, "Tiny")[0].endswith("| – |")


def test_huge_completions_are_clipped(tmp_path: Path) -> None:
    def huge(answer: dict[str, Any]) -> None:
        answer["completion"] = "<b>\x00" * 1_250_000

    run = make_run(tmp_path, models=["tiny"], datasets=["humaneval"], samples=3, change=huge)
    html, _ = pages(tmp_path, run)
    assert "[… 4,988,000 characters left out …]" in html
    assert len(html.encode()) < 1_000_000


def test_the_page_says_how_many_samples_it_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("snakeval.reporting.view.PAGE_CHARACTERS", 60_000)
    run = make_run(tmp_path, models=["tiny", "medium"])
    html, _ = pages(tmp_path, run)
    shown = [int(found) for found in re.findall(r"(\d+) of \d+ answers, the first of each", html)]
    assert len(shown) == 4
    assert sum(shown) == html.count("<li data-state=")
    assert min(shown) > 3
    assert (
        html.count('href="samples/index.html#model=tiny&amp;dataset=humaneval">Browse all 164') == 1
    )


def test_sensitive_samples_are_folded_and_not_quoted(tmp_path: Path) -> None:
    run = make_run(tmp_path, models=["tiny"], datasets=["humaneval"], samples=3)
    html, markdown = pages(tmp_path, run)
    assert '<details class="fold samples" open>' in html
    assert "Raw completion" in markdown
    run.datasets["humaneval"]["sensitive"] = True
    html, markdown = pages(tmp_path, run)
    assert '<details class="fold samples">' in html
    assert "Raw completion" not in markdown


def test_the_same_run_gives_the_same_bytes(tmp_path: Path) -> None:
    run = make_run(tmp_path, samples=3)
    first = pages(tmp_path, run)
    stale = tmp_path / "reports" / "figures" / "gone_states.svg"
    stale.write_text("<svg/>")
    assert pages(tmp_path, run) == first
    assert not stale.exists()


def test_a_summary_of_another_run_is_refused(tmp_path: Path) -> None:
    run = make_run(tmp_path, models=["tiny"], datasets=["humaneval"], samples=2)
    pages(tmp_path, run)
    path = tmp_path / "summary" / "leaderboard.csv"
    path.write_text(path.read_text().replace(run.pairs[0].key, "f" * 12))
    with pytest.raises(StorageError, match="Make the summary of this run first"):
        report(run, tmp_path, tmp_path / "summary", tmp_path / "reports")


def test_figures_name_their_n_and_follow_the_page(tmp_path: Path) -> None:
    html, markdown = pages(tmp_path, make_run(tmp_path))
    for name in re.findall(r"\]\((figures/[^)]+)\)", markdown):
        svg = (tmp_path / "reports" / name).read_text("utf-8")
        assert re.search(r"n = \d+|\d+ answers", svg), name
        assert "http" not in re.sub(r'xmlns(:\w+)?="[^"]*"', "", svg)
    figures = re.findall(r"<svg.*?</svg>", html, re.DOTALL)
    assert len(figures) == 9  # three of the overview, three of each dataset
    inks = set(re.findall(r'\[fill="(#\w+)"\]', html))
    for figure in figures:
        assert 'role="graphics' not in figure
        assert set(re.findall(r'<text[^>]* fill="(#\w+)"', figure)) <= inks


def test_models_of_the_same_title_keep_their_rows(tmp_path: Path) -> None:
    run = make_run(tmp_path, datasets=["humaneval"])
    for entry in run.models.values():
        entry["title"] = "Twin"
    pages(tmp_path, run)
    for name in ("intervals", "states"):
        svg = (tmp_path / "reports" / "figures" / f"humaneval_{name}.svg").read_text("utf-8")
        assert svg.count(">Twin (") == 3


def test_the_page_opens_with_its_answer(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    html, markdown = pages(tmp_path, run)
    for text in (html, markdown):
        said = text[: text.index("What was run" if text is markdown else "<dl")]
        assert "On average over 2 datasets, Medium Coder 7B Instruct" in said
        assert "Not among them" not in said
    assert html.index('id="overview"') < html.index('id="standings"') < html.index('id="datasets"')
    run.models["large"]["prompt_style"] = "completion"  # another protocol than the others'
    html, _ = pages(tmp_path, run)
    said = html[: html.index("<dl")]
    assert "by the same protocol: Large Coder 30B-A3B Instruct (AWQ)." in said
    assert "asked by another protocol" in html
