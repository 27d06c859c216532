"""How many GPUs an engine takes, and what does not divide among them."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from snakeval import checkpoint, parallel
from snakeval.errors import EngineError
from snakeval.plan import Plan, _gpu_limit
from unit.test_plan import make_run
from unit.test_registry import Project

WHERE = "config/models.yaml: models.small"
# As in the config.json of Qwen3-8B.
DENSE = {
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "vocab_size": 151936,
    "intermediate_size": 12288,
}


def entry(gpus: int, **arguments: Any) -> dict[str, Any]:
    return {"gpus": gpus, "engine_arguments": arguments}


@pytest.mark.parametrize(
    ("model", "count"),
    [
        (entry(1), 1),
        (entry(4), 4),
        (entry(2, pipeline_parallel_size=3), 6),
        (entry(2, pipeline_parallel_size=2, prefill_context_parallel_size=2), 8),
        (entry(2, enable_expert_parallel=True, tensor_parallel_size=2), 2),
        (entry(1) | {"endpoint": {"url": "https://example.org"}}, 0),
    ],
)
def test_the_sizes_multiply(model: dict[str, Any], count: int) -> None:
    assert parallel.gpus(model) == count


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (
            {"tensor_parallel_size": 4},
            "tensor_parallel_size: got 4; expected 2, as the entry has gpus: 2. "
            "Remove it: gpus says over how many GPUs each layer is spread.",
        ),
        (
            {"data_parallel_size": 2},
            "data_parallel_size: got 2; expected 1, as vLLM has no copies of an engine in one process. "
            "Remove it; run.pairs_per_engine starts several engines, each on GPUs of its own.",
        ),
        (
            {"pipeline_parallel_size": "2"},
            "pipeline_parallel_size: got '2'; expected a whole number of at least 1. "
            "Correct it, or leave it out.",
        ),
    ],
)
def test_contradictions_are_refused_before_anything_starts(
    tmp_path: Path, arguments: dict[str, Any], error: str
) -> None:
    project = Project(tmp_path)
    project.files["models"]["small"] |= {"gpus": 2, "engine_arguments": arguments}
    assert project.errors() == [f"{WHERE}.engine_arguments.{error}"]


def test_what_fits_is_not_refused(tmp_path: Path) -> None:
    project = Project(tmp_path)
    arguments = {"pipeline_parallel_size": 2, "tensor_parallel_size": 2, "data_parallel_size": 1}
    project.files["models"]["small"] |= {"gpus": 2, "engine_arguments": arguments}
    assert parallel.gpus(project.load().models["small"]) == 4


@pytest.mark.parametrize("gpus", [1, 2, 4, 8, 16, 32])
def test_a_model_is_divided_by_what_its_heads_allow(gpus: int) -> None:
    parallel.check("m", entry(gpus), DENSE)


@pytest.mark.parametrize(
    ("gpus", "config", "what"),
    [
        (3, DENSE, "32 attention heads"),
        (64, DENSE, "32 attention heads"),
        (4, DENSE | {"num_key_value_heads": 6}, "6 key-value heads"),
        (16, DENSE | {"num_key_value_heads": 12}, "12 key-value heads"),
        (
            3,
            {"num_attention_heads": 9, "num_key_value_heads": 3, "vocab_size": 49152 + 1},
            "49216 padded tokens of the vocabulary",
        ),
        (
            8,
            DENSE | {"intermediate_size": 12284},
            "12284 channels between a layer's halves (intermediate_size)",
        ),
    ],
)
def test_what_does_not_divide_is_named(gpus: int, config: dict[str, Any], what: str) -> None:
    with pytest.raises(EngineError) as caught:
        parallel.check("m", entry(gpus), config)
    assert str(caught.value).startswith(
        f"model m: gpus: got {gpus}, which does not divide its {what}; "
        "expected a tensor parallel size that does."
    )


@pytest.mark.parametrize(
    "odd",
    [
        {"text_config": None},
        {"num_key_value_heads": [8, 4]},
        {"num_attention_heads": "x"},
        {"vocab_size": {}},
        {"max_position_embeddings": "4096"},
    ],
)
def test_what_is_no_number_of_the_whole_model_is_left_to_vllm(odd: dict[str, Any]) -> None:
    checkpoint.check_config("m", entry(2) | {"max_model_len": 512}, DENSE | odd, "cuda")


def test_the_unused_size_of_a_mixture_of_experts_may_be_anything() -> None:
    parallel.check("m", entry(8), DENSE | {"intermediate_size": 12284, "num_experts": 128})


def engine(model: str) -> SimpleNamespace:
    return SimpleNamespace(model=model, part="0")


def limited(root: Path, limit: int | None) -> Plan:
    """Return a plan of m0 on one GPU and m1 on two."""
    return Plan(make_run(), Path("run.json"), False, root, gpu_limit=limit)


@pytest.mark.parametrize("asked", ["engine_inputs", "judge_inputs", "model"])
def test_more_gpus_than_snakemake_may_give_out_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], asked: str
) -> None:
    with pytest.raises(SystemExit) as stopped:
        getattr(limited(tmp_path, 1), asked)(engine("m1"))
    assert stopped.value.code == 2
    assert capsys.readouterr().err.splitlines() == [
        "error: model m1: GPUs: got --resources gpu=1; expected at least gpu=2, what one engine of it takes. "
        "Give --resources gpu=2 if the machine has them, or exclude_models=m1."
    ]


@pytest.mark.parametrize("limit", [None, 2, 3])
def test_enough_gpus_and_no_limit_are_taken(tmp_path: Path, limit: int | None) -> None:
    assert limited(tmp_path, limit).engine_inputs(engine("m1"))["samples"]
    assert limited(tmp_path, limit).gpus(engine("m1")) == 2


def test_the_jobs_that_snakemake_starts_do_not_check_again() -> None:
    """They see the number that they were given, not the user's limit."""
    for main, limit in ((True, 1), (False, None)):
        workflow = SimpleNamespace(global_resources={"gpu": 1}, is_main_process=main)
        assert _gpu_limit(workflow) == limit
    assert _gpu_limit(SimpleNamespace(global_resources={}, is_main_process=True)) is None
