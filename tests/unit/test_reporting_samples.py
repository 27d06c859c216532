from __future__ import annotations

import base64
import json
import re
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hostile_samples import HOSTILE, everywhere
from reported_run import make_run, pages
from snakeval.errors import StorageError
from snakeval.records import read_jsonl
from snakeval.reporting import browser
from snakeval.reporting.pairs import STATES, PairFiles
from snakeval.reporting.samples import PageSamples, SampleView, samples


def unpacked(folder: Path, name: str) -> Any:
    """Read a file as the page does; it must be one call with two plain texts."""
    script = (folder / "data" / f"{name}.js").read_text("ascii")
    found = re.fullmatch(r'received\("([\w-]+)","([A-Za-z0-9+/=]+)"\)\n', script)
    assert found is not None
    assert found[1] == name
    return json.loads(zlib.decompress(base64.b64decode(found[2])))


@pytest.mark.parametrize("name", ["end of the script", "controls", "separators", "halves"])
def test_every_answer_is_in_the_browser(tmp_path: Path, name: str) -> None:
    text = HOSTILE[name]
    run = make_run(tmp_path, samples=5, repeats=2, change=everywhere(text))
    pages(tmp_path, run)
    folder = tmp_path / "reports" / "samples"
    index = unpacked(folder, "index")
    assert len(index["lists"]) == len(run.datasets)
    assert len(index["pairs"]) == len(run.pairs)
    for row in index["pairs"]:
        pair = run.pair(
            index["models"][row["model"]]["slug"], index["datasets"][row["dataset"]]["slug"]
        )
        names = index["lists"][row["list"]]
        answers = list(PairFiles(tmp_path, pair).answers())
        assert names["ids"] == [prediction["id"] for prediction, _ in answers]
        assert names["repeats"] == [prediction["repeat"] for prediction, _ in answers]
        assert [STATES[state] for state in row["states"]] == [
            score["state"] for _, score in answers
        ]
        assert row["values"] == [score["value"] for _, score in answers]
        assert row["chunks"] == [0]
        told = unpacked(folder, f"{pair.model}-{pair.dataset}-0")
        assert len(told) == len(answers)
        for sample, (prediction, _) in zip(told, answers, strict=True):
            for field in ("prompt", "completion", "answer", "program", "error"):
                assert sample[field] == text
            assert sample["completion_tokens"] == prediction["completion_tokens"]
            assert sample["latency_s"] == pytest.approx(prediction["completion_tokens"] / 90)
            assert "clipped" not in sample


def test_texts_are_parted_into_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(browser, "CHUNK_CHARACTERS", 30_000)
    run = make_run(tmp_path, models=["tiny"], datasets=["humaneval"])
    pages(tmp_path, run)
    folder = tmp_path / "reports" / "samples"
    (row,) = unpacked(folder, "index")["pairs"]
    assert len(row["chunks"]) > 3
    prompts = list(read_jsonl(tmp_path / run.pairs[0].folder() / "prompts.jsonl"))
    ends = [*row["chunks"][1:], 164]
    for number, (first, end) in enumerate(zip(row["chunks"], ends, strict=True)):
        told = unpacked(folder, f"tiny-humaneval-{number}")
        assert [sample["prompt"] for sample in told] == [row["text"] for row in prompts[first:end]]
    assert len(list((folder / "data").iterdir())) == len(row["chunks"]) + 1


def test_token_ids_are_left_out_and_no_text_is_taken_for_them(tmp_path: Path) -> None:
    text = 'a ","token_ids":[1,2],"b'
    run = make_run(
        tmp_path,
        models=["tiny"],
        datasets=["humaneval"],
        samples=2,
        change=lambda answer: answer.update(id=answer["id"] + text, text=text, token_ids=[7, 8]),
    )
    files = PairFiles(tmp_path, run.pairs[0])
    for (prompt,), prediction, _ in files.asked():
        assert prompt == {"id": prediction["id"], "repeat": 0, "text": text}
    path = files.folder / "prompts.jsonl"
    path.write_text(path.read_text("utf-8").replace("[7,8]", "[7,8"), "utf-8")
    with pytest.raises(StorageError, match=r"prompts\.jsonl, line 1"):
        next(files.asked())


def test_long_texts_are_clipped_and_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(browser, "TEXT_CHARACTERS", 1_000)
    run = make_run(
        tmp_path,
        models=["tiny"],
        datasets=["humaneval"],
        samples=1,
        change=lambda answer: answer.update(completion="x" * 1_001, text="y" * 1_000),
    )
    pages(tmp_path, run)
    (sample,) = unpacked(tmp_path / "reports" / "samples", "tiny-humaneval-0")
    assert sample["clipped"] == ["completion"]
    assert "[… 1 characters left out …]" in sample["completion"]
    assert sample["prompt"] == "y" * 1_000


def test_a_report_that_fails_leaves_the_earlier_one(tmp_path: Path) -> None:
    run = make_run(tmp_path, models=["tiny"], samples=3)
    pages(tmp_path, run)
    folder = tmp_path / "reports" / "samples"
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    scores = tmp_path / run.pairs[1].score_folder() / "scores.jsonl"
    scores.write_text("no JSON\n")
    with pytest.raises(StorageError, match=r"scores\.jsonl, line 1"):
        browse(tmp_path, run)
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    assert not list(folder.parent.glob(".*"))


def browse(root: Path, run: Any) -> None:
    with browser.browser(root / "reports" / "samples") as written:
        for pair in run.pairs:
            for sample in samples(PairFiles(root, pair), "pair"):
                written.add(pair, sample)


def views(root: Path, count: int = 100) -> list[SampleView]:
    run = make_run(root, models=["large"], datasets=["humaneval"], samples=count)
    return list(samples(PairFiles(root, run.pairs[0]), "pair"))


def chosen(answers: list[SampleView], room: int) -> list[SampleView]:
    page = PageSamples(room)
    for answer in answers:
        page.offer(answer)
    return page.chosen()


def test_the_page_holds_all_that_fit(tmp_path: Path) -> None:
    answers = views(tmp_path)
    assert chosen(answers, 1_000_000) == answers


def test_the_page_holds_the_first_of_each_state(tmp_path: Path) -> None:
    answers = views(tmp_path)
    held = chosen(answers, 30_000)
    assert sum(sample.characters for sample in held) <= 30_000
    assert held == [sample for sample in answers if sample in held]
    counts = {state: sum(sample.state == state for sample in held) for state in STATES}
    assert counts["unscored"] == 1
    assert abs(counts["correct"] - counts["wrong"]) <= 1
    for state, number in counts.items():
        first = [sample for sample in answers if sample.state == state][:number]
        assert [sample for sample in held if sample.state == state] == first


def test_the_page_holds_a_short_view_of_one_answer_where_there_is_no_room(tmp_path: Path) -> None:
    answers = [replace(answer, completion="x" * 5_000) for answer in views(tmp_path)]
    (held,) = chosen(answers, 0)
    assert held.state == "wrong"
    assert held.characters < 7 * 450 + 500
    assert "[… 4,600 characters left out …]" in held.completion
