"""`snakemake benchmark` measures each model once, and again where what its speed depends on has changed."""

from __future__ import annotations

import json
from typing import Any

import pytest
from workflow_copy import Workflow

pytestmark = pytest.mark.workflow

# The stand-in's answers have 12 tokens.
SHORT = ("benchmark_prompt_tokens=16", "benchmark_answer_tokens=12")
ASKED = ("--config", "benchmark_streams=1,3", *SHORT)


@pytest.fixture
def two(workflow: Workflow) -> Workflow:
    workflow.selection = {"models": ["alpha", "beta"]}
    return workflow


def records(workflow: Workflow) -> dict[str, dict[str, Any]]:
    paths = workflow.folder.glob("results/benchmarks/*/*.json")
    return {path.parent.name: json.loads(path.read_text()) for path in paths}


def test_each_model_is_measured_once(two: Workflow) -> None:
    outcome = two.run("benchmark", *ASKED)
    outcome.only(fetch_model=2, measure_model=2, benchmark=1)
    assert sorted(outcome.engines) == ["alpha", "beta"]
    found = records(two)
    assert sorted(found) == ["alpha", "beta"]
    points = found["alpha"]["points"]
    assert [(point["streams"], point["answers"]) for point in points] == [(1, 4), (3, 6)]
    for point in points:
        assert point["output_tokens"] == 12 * point["answers"]
        assert point["prompt_tokens"] == 16 * point["answers"]
        assert point["output_tokens_per_s"] == point["output_tokens"] / point["seconds"]
        assert point["first_token_s"] == {"median": 0.001, "p95": 0.001, "p99": 0.001}
        assert point["prefill_tokens_per_s"] == pytest.approx(16 / 0.001)
        assert point["next_token_s"]["median"] == pytest.approx((0.01 - 0.001) / 11)
        for name in ("joules", "power_w", "peak_power_w", "utilization_percent", "peak_bytes"):
            assert point[name] is None
    rows = [line.split() for line in outcome.output.splitlines() if line.split()[:1] == ["beta"]]
    assert [row[1:3] for row in rows] == [["1", "4"], ["3", "6"]]
    # Warm-up, and the answers.
    assert len(outcome.answered) == 2 * (8 + 4 + 6)
    again = two.run("benchmark", *ASKED)
    again.only(benchmark=1)
    assert again.engines == []


def test_what_speed_depends_on_is_measured_again(two: Workflow) -> None:
    two.run("benchmark", *ASKED)
    two.models["beta"]["engine_limits"] |= {"max_num_seqs": 8}
    two.datasets["first"]["max_tokens"] = 32
    outcome = two.run("benchmark", *ASKED)
    outcome.only(measure_model=1, benchmark=1)
    assert outcome.engines == ["beta"]


def test_a_model_that_cannot_be_measured_says_why(two: Workflow) -> None:
    two.models["beta"]["engine"] = "standin:NoSuchClass"
    outcome = two.run("benchmark", *ASKED, expect=1)
    assert "NoSuchClass" in outcome.output
    assert list(records(two)) == ["alpha"]


def test_answers_of_another_length_are_refused(two: Workflow) -> None:
    given = ("benchmark_streams=1", "benchmark_prompt_tokens=16", "benchmark_answer_tokens=13")
    outcome = two.run("benchmark", "--config", *given, expect=1)
    assert "an answer of 12 tokens" in outcome.output
    assert records(two) == {}


@pytest.mark.parametrize(
    ("given", "code", "says"),
    [
        ("benchmark_prompt_tokens=1000", 1, "at most 1024 together"),
        ("benchmark_streams=[]", 2, "benchmark_streams"),
        ("benchmark_streams=1,0", 2, "benchmark_streams[1]"),
        ("benchmark_streams=many", 2, "benchmark_streams[0]"),
        ("benchmark_stream=1", 2, "Did you mean benchmark_streams"),
    ],
)
def test_what_makes_no_sense_is_told(two: Workflow, given: str, code: int, says: str) -> None:
    outcome = two.run("benchmark", "--config", given, expect=code)
    assert says in outcome.output
