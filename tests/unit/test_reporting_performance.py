"""What pairs and models took, on numbers that can be worked out by hand."""

from __future__ import annotations

import csv
import re
from pathlib import Path
from typing import Any

import pytest
from reported_run import GPU, make_run, pages
from snakeval.records import write_json
from snakeval.registry import Pair, Run
from snakeval.reporting.performance import (
    MODEL_COLUMNS,
    PAIR_COLUMNS,
    Answered,
    model_rows,
    output_rates,
    pair_rows,
    streams,
)
from snakeval.speed import Stream, cost

SHORT, LONG = (Pair("m", dataset, "0" * 12, "1" * 12, 0) for dataset in ("short", "long"))


def start(session: str = "a", **changed: Any) -> dict[str, Any]:
    """An engine on two GPUs: 36 s to start, 72 s to answer 400 s of streams, 7,200 J."""
    return {
        "session": session,
        "start_s": 36.0,
        "generate_s": 72.0,
        "stream_s": 400.0,
        "gpu": {"name": "H100", "driver": "1", "count": 2},
        "start_joules": 1_800.0,
        "joules": 7_200.0,
        "utilization_percent": 90.0,
        "power_w": 100.0,
        "peak_power_w": 700.0,
        "peak_bytes": 10,
        **changed,
    }


def answered(
    pair: Pair,
    stream_s: dict[str, float],
    starts: list[dict[str, Any]],
    tokens: int | dict[str, Any] = 1000,
    correct: int = 3,
    **meta: Any,
) -> Answered:
    meta = {
        "tokens": tokens if isinstance(tokens, dict) else {"prompt": 500, "completion": tokens},
        "seconds": {"import": 6.0, "start": 30.0, "compile": None, "load": 2.0, "generate": 72.0},
        "memory": {"peak_bytes": 10, "weights_bytes": 4, "kv_cache_tokens": 64},
        "gpu": starts[-1]["gpu"] if starts else None,
        "stream_s": stream_s,
        "engine_starts": starts,
        **meta,
    }
    return Answered(
        pair, meta, [1.5, 2.0], [Stream(100, 11, 1.5, 0.5), Stream(50, 1, 2.0, 2.0)], correct
    )


def test_rates_of_one_stream() -> None:
    stream = Stream(prompt_tokens=100, completion_tokens=11, latency_s=2.5, ttft_s=0.5)
    assert stream.inter_token_s == 0.2
    assert stream.decode_tokens_per_s == 5.0
    assert stream.prefill_tokens_per_s == 200.0
    for silent in (Stream(100, 1, 2.5, 2.5), Stream(100, 11, None, None), Stream(9, 0, 1.0, None)):
        assert silent.inter_token_s is None
        assert silent.decode_tokens_per_s is None
    assert Stream(100, 3, 0.5, 0.5).decode_tokens_per_s is None  # all tokens at once
    for prompt in (0, None):  # a server that did not count
        assert Stream(prompt, 3, 1.0, 0.5).prefill_tokens_per_s is None


def test_a_thought_that_was_not_shown_is_no_part_of_the_rates_of_a_stream() -> None:
    stream = Stream(100, 111, latency_s=4.5, ttft_s=2.5, hidden_tokens=100)
    assert stream.inter_token_s == 0.2
    assert stream.decode_tokens_per_s == 5.0
    assert stream.prefill_tokens_per_s is None  # the time to the first token is that of the thought
    prediction: Any = {"prompt_tokens": 9, "completion_tokens": 12, "hidden_tokens": 8}
    timing: Any = {"latency_s": 4.0, "ttft_s": 0.2}
    assert list(streams(prediction, timing)) == [Stream(9, 12, 4.0, 0.2, 8)]


def test_hidden_thoughts_are_output_and_unknown_prompts_no_number() -> None:
    pairs = [Pair("m", name, name * 12, "1" * 12, 0) for name in "ab"]
    told = answered(pairs[0], {}, [], tokens={"prompt": None, "completion": 1000, "hidden": 600})
    other = answered(pairs[1], {}, [])
    [row, plain] = pair_rows([told, other], None)
    names = ("prompt_tokens", "completion_tokens", "hidden_tokens")
    assert [row[name] for name in names] == [None, 1000, 600]
    assert [plain[name] for name in names] == [500, 1000, None]
    [both] = model_rows([told, other], None)
    assert [both[name] for name in names] == [None, 2000, 600]


def test_each_turn_of_a_conversation_is_a_request() -> None:
    turns = [
        {"completion": "", "finish_reason": "stop", "prompt_tokens": 10, "completion_tokens": 5},
        {"completion": "", "finish_reason": "stop", "prompt_tokens": 30, "completion_tokens": 9},
    ]
    prediction: Any = {"prompt_tokens": 40, "completion_tokens": 14, "turns": turns}
    times = [{"latency_s": 1.0, "ttft_s": 0.2}, {"latency_s": 3.0, "ttft_s": 1.0}]
    timing: Any = {"latency_s": 4.0, "ttft_s": 0.2, "turns": times}
    found = list(streams(prediction, timing))
    assert found == [Stream(10, 5, 1.0, 0.2), Stream(30, 9, 3.0, 1.0)]
    # Earlier records hold the times of all turns together: they say nothing of one.
    del timing["turns"]
    assert list(streams(prediction, timing)) == []
    assert list(streams(prediction, None)) == []


def test_pairs_share_an_engine_by_their_stream_seconds() -> None:
    pairs = [
        answered(SHORT, {"a": 100.0}, [start()], tokens=1000, correct=3),
        answered(LONG, {"a": 300.0}, [start()], tokens=9000, correct=0),
    ]
    short, long = pair_rows(pairs, price=10.0)
    assert tuple(sorted(short)) == tuple(sorted(PAIR_COLUMNS))
    assert (short["answering_s"], long["answering_s"]) == (18.0, 54.0)
    assert (short["joules"], long["joules"]) == (1800.0, 5400.0)
    assert (short["start_joules"], long["start_joules"]) == (450.0, 1350.0)
    # 18 s and 9 s of two GPUs at 10 an hour.
    assert short["answering_cost"] == pytest.approx(0.1)
    assert short["start_cost"] == pytest.approx(0.05)
    assert short["cost_per_1000_tokens"] == pytest.approx(0.1)
    assert short["cost_per_correct"] == pytest.approx(0.1 / 3)
    assert short["joules_per_1000_tokens"] == 1800.0
    assert short["joules_per_correct"] == 600.0
    assert long["joules_per_1000_tokens"] == 600.0
    assert long["cost_per_correct"] is None  # nothing was correct
    assert short["output_tokens_per_s"] == pytest.approx(10_000 / 72)
    assert (short["latency_p50_s"], short["ttft_p50_s"]) == (1.75, 1.25)
    assert (short["inter_token_p50_s"], short["decode_tokens_per_s"]) == (0.1, 10.0)
    assert short["prefill_tokens_per_s"] == (200.0 + 25.0) / 2


def test_a_model_is_all_its_pairs() -> None:
    later = start(
        "b", generate_s=8.0, stream_s=50.0, joules=800.0, power_w=200.0, peak_power_w=650.0
    )
    pairs = [
        answered(SHORT, {"a": 100.0, "b": 50.0}, [start(), later], tokens=1000, correct=3),
        answered(LONG, {"a": 300.0}, [start()], tokens=9000, correct=1),
    ]
    (row,) = model_rows(pairs, price=10.0)
    assert tuple(sorted(row)) == tuple(sorted(MODEL_COLUMNS))
    assert (row["pairs"], row["engine_starts"], row["gpus"]) == (2, 2, 2)
    assert (row["import_s"], row["start_s"], row["compile_s"]) == (6.0, 30.0, None)
    assert (row["generate_s"], row["answering_s"]) == (80.0, 80.0)
    assert row["output_tokens_per_s"] == 10_000 / 80
    assert row["joules"] == 8000.0
    assert row["joules_per_correct"] == 2000.0
    assert row["power_w"] == (100.0 * 72 + 200.0 * 8) / 80
    assert row["peak_power_w"] == 700.0
    assert row["answering_cost"] == pytest.approx(80 * 2 * 10 / 3600)
    assert row["start_cost"] == pytest.approx(72 * 2 * 10 / 3600)
    assert row["correct"] == 4


def test_other_pairs_of_an_engine_are_not_counted() -> None:
    """The engine answered 400 s of streams, of which this run's pair has 100."""
    (row,) = model_rows([answered(SHORT, {"a": 100.0}, [start()])], price=None)
    assert row["answering_s"] == 18.0
    assert row["output_tokens_per_s"] == pytest.approx(1000 / 18)
    assert row["answering_cost"] is None
    assert row["joules"] == 1800.0


OLD = {"session": "a", "generate_s": 72.0, "joules": 7200.0, "start_joules": 100.0}


@pytest.mark.parametrize(
    ("stream_s", "starts"),
    [
        ({}, [OLD | {"gpu": {"count": 1}}]),  # before shares were counted
        ({"a": 100.0}, [OLD | {"gpu": {"count": 1}}]),
        ({"a": 100.0, "gone": 5.0}, [start()]),  # the record of a start is lost
        ({"a": 100.0, "died": 5.0}, [start(), {"session": "died", "gpu": None}]),
        ({"a": 0.0}, [start(stream_s=0.0)]),  # an engine that does not tell latencies
    ],
)
def test_what_is_not_known_is_none(
    stream_s: dict[str, float], starts: list[dict[str, Any]]
) -> None:
    pairs = [answered(SHORT, stream_s, starts)]
    (pair,), (model,) = pair_rows(pairs, price=10.0), model_rows(pairs, price=10.0)
    for row in (pair, model):
        for name in ("answering_s", "joules", "start_joules", "answering_cost", "cost_per_correct"):
            assert row[name] is None


def test_a_model_with_one_unknown_pair_has_no_cost() -> None:
    pairs = [answered(SHORT, {"a": 100.0}, [start()]), answered(LONG, {}, [start()])]
    (row,) = model_rows(pairs, price=10.0)
    assert row["answering_cost"] is None
    assert row["joules"] is None
    assert row["output_tokens_per_s"] == pytest.approx(2000 / 72)  # all of the engine's seconds


def test_without_a_gpu_nothing_costs() -> None:
    cpu = start(gpu=None, joules=None, start_joules=None, peak_power_w=None, power_w=None)
    (row,) = model_rows([answered(SHORT, {"a": 400.0}, [cpu])], price=10.0)
    for name in (
        "joules",
        "power_w",
        "peak_power_w",
        "answering_cost",
        "start_cost",
        "gpus",
        "gpu",
    ):
        assert row[name] is None
    assert row["answering_s"] == 72.0


def test_a_pair_that_no_engine_answered_takes_nothing_from_the_others() -> None:
    refused = answered(LONG, {}, [], tokens=0, correct=0)
    (row,) = model_rows([answered(SHORT, {"a": 400.0}, [start()]), refused], price=10.0)
    assert row["joules"] == 7200.0
    assert row["peak_memory_bytes"] == 10


def test_pairs_of_one_engine_share_their_speed() -> None:
    def meta(tokens: int, **sessions: float | None) -> dict[str, Any]:
        starts = [{"session": name, "generate_s": value} for name, value in sessions.items()]
        return {"tokens": {"completion": tokens}, "engine_starts": starts}

    pairs = [Pair("m", dataset, "0" * 12, "1" * 12, 0) for dataset in "abcd"]
    other = Pair("other", "a", "0" * 12, "1" * 12, 0)
    metas = {
        pairs[0]: meta(100, s1=2.0),
        pairs[1]: meta(300, s1=2.0, s2=2.0),  # went on after an interruption
        pairs[2]: meta(50, s3=1.0),
        pairs[3]: meta(70, s4=None),
        other: meta(900, s1=9.0),
    }
    assert list(output_rates(metas).values()) == [100.0, 100.0, 50.0, None, 100.0]
    first = next(iter(metas))
    silent = {**metas, first: {**metas[first], "tokens": {"completion": 0}}}
    assert output_rates(silent)[first] is None


def test_a_price_makes_costs_of_seconds() -> None:
    assert cost(7200.0, 2.5) == 5.0
    assert cost(7200.0, 0.0) == 0.0
    assert cost(None, 2.5) is None
    assert cost(7200.0, None) is None


# -- in the report ---------------------------------------------------------------------------------


def sections(root: Path, run: Run, price: float | None = None) -> tuple[str, str]:
    """Return the report's section on performance, in HTML and in Markdown."""
    run.settings["price_per_gpu_hour"] = price
    html, markdown = pages(root, run)
    section = re.search('<section id="performance".*?</section>', html, re.DOTALL)
    twin = re.search("## Performance\n.*?\n## ", markdown, re.DOTALL)
    assert section
    assert twin
    return section[0], twin[0]


def cells(html: str, caption: str) -> list[dict[str, str]]:
    """Return the rows of a table, by the names of its columns."""
    (table,) = re.findall(rf"<caption>{re.escape(caption)}</caption>(.*?)</table>", html, re.DOTALL)
    head, *rows = (
        [re.sub("<[^>]+>", "", cell) for cell in re.findall("<t[hd][^>]*>(.*?)</t[hd]>", row)]
        for row in re.findall("<tr>(.*?)</tr>", table, re.DOTALL)
    )
    return [dict(zip(head, row, strict=True)) for row in rows]


def test_the_report_shows_what_models_and_pairs_took(tmp_path: Path) -> None:
    run = make_run(tmp_path, models=["tiny", "medium"], samples=4)
    html, markdown = sections(tmp_path, run, price=3.6)  # 0.001 a second
    tiny, _ = cells(html, "GPU, energy and cost")
    assert (tiny["utilisation"], tiny["mean power"], tiny["peak power"]) == (
        "94 %",
        "612 W",
        "688 W",
    )
    assert (tiny["energy of starts"], tiny["energy of answers"]) == ("8,400 J", "15,300 J")
    assert (tiny["cost of starts"], tiny["cost of answers"]) == ("0.0710", "0.183")
    start, _ = cells(html, "The engine, at its last start")
    assert (start["of it compiling"], start["KV cache, tokens"]) == ("22.1 s", "412,000")
    assert start["hardware"] == "1 × NVIDIA H100 80GB HBM3"
    pairs = cells(html, "Energy and cost")
    assert [pair["Pair"] for pair in pairs] == [
        f"{model} on {dataset}"
        for model in ("Tiny 135M Instruct", "Medium Coder 7B Instruct (AWQ)")
        for dataset in ("HumanEval", "Advanced coding sample")
    ]
    tinys = [float(pair["cost of answers"]) for pair in pairs if pair["Pair"].startswith("Tiny")]
    assert sum(tinys) == pytest.approx(0.183, abs=0.001)
    assert "Costs are at 3.60 for a GPU and hour" in html
    for text in (tiny["energy per correct answer"], "0.0710", "What each pair took"):
        assert text in markdown


def test_without_a_price_the_report_says_how_to_give_one(tmp_path: Path) -> None:
    run = make_run(tmp_path, models=["tiny"], datasets=["humaneval"], samples=2)
    html, markdown = sections(tmp_path, run)
    assert "--config price_per_gpu_hour=" in html
    assert "price\\_per\\_gpu\\_hour=" in markdown
    (row,) = cells(html, "GPU and energy")
    assert not [name for name in row if "cost" in name]


def test_without_a_gpu_the_report_says_what_is_null(tmp_path: Path) -> None:
    run = make_run(tmp_path, models=["tiny"], datasets=["humaneval"], samples=2, on_gpu=False)
    html, markdown = sections(tmp_path, run, price=2.0)
    for page in (html, markdown):
        assert "The run used no GPU of this machine" in page
        assert "energy of answers" not in page
    (row,) = cells(html, "The engine, at its last start")
    assert (row["peak memory"], row["hardware"]) == ("–", "CPU")
    (row,) = csv.DictReader((tmp_path / "summary" / "models.csv").read_text().splitlines())
    for name in (
        "peak_memory_bytes",
        "joules",
        "power_w",
        "utilization_percent",
        "cost_per_correct",
    ):
        assert row[name] == ""
    assert float(row["inter_token_p99_s"]) > 0


def test_benchmarks_that_are_there_are_shown(tmp_path: Path) -> None:
    run = make_run(tmp_path, models=["tiny", "medium"], datasets=["humaneval"], samples=2)
    assert "fixed lengths" not in sections(tmp_path, run)[0]
    point = {
        **{"streams": 8, "answers": 16, "seconds": 2.0, "prompt_tokens": 64, "output_tokens": 1000},
        **{"output_tokens_per_s": 500.0, "prefill_tokens_per_s": 4000.0, "next_token_s": None},
        "first_token_s": {"median": 0.016, "p95": 0.0171, "p99": 1.5},
        **{"joules": 700.0, "power_w": 350.0, "peak_power_w": 351.0, "utilization_percent": 88.0},
    }
    asked = {"streams": [8], "prompt_tokens": 4, "answer_tokens": 62}
    record = {"asked": asked, "points": [point], "device": "cuda", "gpu": GPU | {"count": 2}}
    write_json(tmp_path / run.benchmark("medium"), record)
    html, markdown = sections(tmp_path, run, price=9.0)
    (row,) = cells(html, "Medium Coder 7B Instruct (AWQ), 2 × NVIDIA H100 80GB HBM3")
    assert row == {
        **{"Streams": "8", "output tokens/s": "500", "a stream": "62.5"},
        "prefill tokens/s, one stream": "4,000",
        "first token, p50 / p95 / p99": "0.016 / 0.0171 / 1.5 s",
        "between tokens, p50 / p95 / p99": "–",
        **{"utilisation": "88 %", "mean power": "350 W", "energy per 1,000 tokens": "700 J"},
        "cost per 1,000 tokens": "0.0100",  # 2 s of two GPUs at 9 an hour
    }
    assert "prompts of 4 random tokens, answers of exactly 62" in markdown


def test_hostile_titles_stay_text(tmp_path: Path) -> None:
    run = make_run(tmp_path, models=["tiny"], datasets=["humaneval"], samples=2)
    run.models["tiny"]["title"] = "<script>x</script> | **b**"
    html, markdown = sections(tmp_path, run)
    assert "<script>" not in html
    assert "| \\*\\*b" not in markdown.replace("\\|", "")
