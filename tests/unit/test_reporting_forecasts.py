"""Forecasts of engine starts beside what they took, in the report."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from reported_run import make_run
from snakeval.forecast import Estimate
from snakeval.records import read_json, write_json
from snakeval.registry import Pair, Run
from snakeval.reporting import forecasts, report, summarize

FORECAST: dict[str, Any] = {
    "requests": 328.0,
    "prompt_tokens": 4000,
    "completion_tokens": Estimate(1000.0, 500.0, 2000.0, "earlier <b>answers</b>").to_json(),
    "start_s": Estimate(60.0, 50.0, 70.0, "docs/h100.md").to_json(),
    "answer_s": Estimate(10.0, 5.0, 20.0, "roofline of an H100").to_json(),
    "start_joules": None,
    "joules": Estimate(2000.0, 1000.0, 4000.0, "roofline of an H100").to_json(),
    "weights_bytes": 5 * 2**30,
    "kv_cache_tokens": 400_000,
}
ACTUAL: dict[str, Any] = {
    **{"requests": 328, "completion_tokens": 1500, "generate_s": 30.0, "joules": 3000.0},
    **{"start_s": 66.0, "start_joules": 7000.0, "weights_bytes": 5 * 2**30},
    **{"kv_cache_tokens": 500_000, "device": "cuda"},
}


def make(root: Path, forecast: Any, **actual: Any) -> Run:
    """Write a run of one model, both of whose pairs one engine answered."""
    run = make_run(root, models=["tiny"])
    for pair in run.pairs:
        path = root / pair.folder() / "meta.json"
        meta = read_json(path)
        meta["engine_starts"][0] |= ACTUAL | {"forecast": forecast} | actual
        write_json(path, meta)
    return run


def metas(root: Path, run: Run) -> list[tuple[Pair, Any]]:
    return [(pair, read_json(root / pair.folder() / "meta.json")) for pair in run.pairs]


def rows(root: Path, forecast: Any, **actual: Any) -> dict[str, forecasts.Beside]:
    run = make(root, forecast, **actual)
    (start,) = forecasts.starts(run, root, metas(root, run))
    assert start.model == "Tiny 135M Instruct"
    return {row.name: row for row in start.rows}


def test_each_start_stands_once_with_its_ratios(tmp_path: Path) -> None:
    found = rows(tmp_path, FORECAST)
    assert found["engine start"] == forecasts.Beside(
        *("engine start", "60.0 s", "50.0 s to 70.0 s", "66.0 s", "1.10 ×", False),
        "docs/h100.md",
    )
    answering = found["answering"]
    assert (answering.actual, answering.ratio, answering.outside) == ("30.0 s", "3.00 ×", True)
    assert found["requests"].ratio == "1.00 ×"
    assert found["requests"].outside is None
    assert found["tokens in the KV cache"].ratio == "1.25 ×"


def test_what_was_not_forecast_or_not_measured_is_a_dash(tmp_path: Path) -> None:
    found = rows(tmp_path, FORECAST, joules=None, generate_s=None)
    start, answers = found["energy of the start"], found["energy of the answers"]
    assert (start.expected, start.actual, start.ratio) == ("–", "7,000 J", "–")
    assert (answers.expected, answers.actual, answers.ratio) == ("2,000 J", "–", "–")
    assert answers.outside is None


def test_what_is_neither_is_left_out(tmp_path: Path) -> None:
    found = rows(tmp_path, FORECAST | {"joules": None}, joules=None)
    assert "energy of the answers" not in found


def test_starts_without_a_forecast_are_left_out(tmp_path: Path) -> None:
    run = make(tmp_path, None)
    assert forecasts.starts(run, tmp_path, metas(tmp_path, run)) == []


@pytest.mark.parametrize("forecast", [FORECAST, None])
def test_the_report_has_the_section_where_there_is_a_forecast(
    tmp_path: Path, forecast: Any
) -> None:
    run = make(tmp_path, forecast)
    summarize(run, tmp_path, tmp_path / "summary")
    report(run, tmp_path, tmp_path / "summary", tmp_path / "reports")
    page = (tmp_path / "reports/index.html").read_text()
    text = (tmp_path / "reports/report.md").read_text()
    assert ('id="forecasts"' in page) == (forecast is not None)
    assert ("## Forecast against actual" in text) == (forecast is not None)
    if forecast:
        assert "<b>answers</b>" not in page
        assert "earlier &lt;b&gt;answers&lt;/b&gt;" in page
        assert "| answering | 10.0 s | 5.0 s to 20.0 s | 30.0 s | 3.00 ×, outside |" in text
