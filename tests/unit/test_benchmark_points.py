"""What a benchmark makes of its answers, on numbers that can be worked out by hand."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from reported_run import GPU, make_run
from snakeval import benchmark
from snakeval.engine import Answer, Request
from snakeval.records import write_json

USED = {
    **{"joules": 40.0, "power_w": 200.0, "peak_power_w": 300.0},
    **{"utilization_percent": 87.4, "peak_bytes": 5},
}


class Meter:
    samples = 0

    def sample(self) -> None:
        self.samples += 1

    def read(self) -> dict[str, Any]:
        return USED


class Engine:
    """Answers in turn with 11 tokens, the first of each after 10, 20, 30, 40 ms and the others 100 ms apart."""

    def __init__(self) -> None:
        self.waiting: list[Request] = []
        self.answered = 0

    def submit(self, requests: list[Request]) -> None:
        self.waiting += requests

    def answers(self) -> Iterator[list[Answer]]:
        while self.waiting:
            name = self.waiting.pop(0).hash
            self.answered += 1
            first = self.answered / 100
            yield [Answer(name, "", "length", 11, first + 1.0, first)]


def test_a_point_says_what_one_stream_sees() -> None:
    questions = (Request(str(number), [1] * 60, {}) for number in range(99))
    engine: Any = Engine()
    meter: Any = Meter()
    point = benchmark._point(engine, questions, 1, 11, meter)
    assert (point["answers"], point["prompt_tokens"], point["output_tokens"]) == (4, 240, 44)
    assert point["first_token_s"] == pytest.approx({"median": 0.025, "p95": 0.0385, "p99": 0.0397})
    assert point["next_token_s"] == pytest.approx({"median": 0.1, "p95": 0.1, "p99": 0.1})
    assert point["prefill_tokens_per_s"] == pytest.approx((60 / 0.02 + 60 / 0.03) / 2)
    assert {name: point[name] for name in USED} == USED
    assert meter.samples == 1  # short as it is


def test_a_cost_is_of_all_gpus_for_the_time_that_it_took(tmp_path: Path) -> None:
    point: dict[str, Any] = {
        **{"streams": 8, "answers": 16, "seconds": 4.0, "output_tokens": 2000},
        **{"output_tokens_per_s": 500.0, "prefill_tokens_per_s": None, "next_token_s": None},
        "first_token_s": {"median": 0.016, "p95": 0.02, "p99": 0.03},
        **USED,
    }
    record: dict[str, Any] = {"points": [point], "gpu": GPU | {"count": 2}}
    assert benchmark.point_cost(record, point, 9.0) == pytest.approx(0.01)
    assert benchmark.point_cost(record, point, None) is None
    assert benchmark.point_cost(record | {"gpu": None}, point, 9.0) is None
    assert benchmark.point_joules(point) == 20.0
    run = make_run(tmp_path, models=["tiny"], datasets=["humaneval"], samples=1)
    run.settings["price_per_gpu_hour"] = 9.0
    write_json(tmp_path / run.benchmark("tiny"), record)
    with pytest.MonkeyPatch.context() as place:
        place.chdir(tmp_path)
        _, row = benchmark.table(run).splitlines()
    first, following = ["16.0", "20.0", "30.0"], ["–", "–", "–"]
    shown = [*first, *following, "87", "200", "20.0", "0.01"]
    assert row.split() == ["tiny", "8", "16", "500", "62.5", "–", *shown]
