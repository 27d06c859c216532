"""Answers that do not depend on what else is asked: what is refused, what the engine gets, what a key holds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from reported_run import DATASETS, MODELS, make_run
from snakeval import determinism, gpu
from snakeval.checkpoint import check
from snakeval.engine import EngineSettings
from snakeval.engine.vllm_engine import engine_arguments
from snakeval.errors import EngineError
from snakeval.records import write_json
from snakeval.registry import schema
from unit.test_registry import Project, names
from unit.test_reporting_page import pages

WHERE = "config/models.yaml: models.small"
END = (
    "expected what vLLM's batch-invariant mode covers, as run.deterministic is true. "
    "Leave deterministic out, or exclude_models={}."
)
BY_BATCH = "on a GPU, whose kernels sum in an order that depends on the batch"
FACTS = {"parameters": 8, "weights_gb": 6, "kv_bytes_per_token": 9, "context": 4096}
ENTRY: dict[str, Any] = {
    "max_model_len": 512,
    "gpus": 1,
    "engine_arguments": {"enable_prefix_caching": True, "max_num_seqs": 9},
    "deterministic": True,
}


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


@pytest.mark.parametrize(
    ("changes", "got"),
    [
        ({"quantization": "gptq_marlin"}, "quantization: got gptq_marlin"),
        ({"quantization": "bitsandbytes"}, "quantization: got bitsandbytes"),
        ({"engine_arguments": {"quantization": "gguf"}}, "quantization: got gguf"),
        (
            {"facts": FACTS | {"format": "compressed-tensors"}, "runs_on_cpu": False},
            "facts.format: got compressed-tensors",
        ),
        (
            {"facts": FACTS | {"format": "AWQ", "active": 3}},
            "facts.active: got AWQ weights of a mixture of experts",
        ),
        ({"engine": "standin:StandIn"}, "engine: got standin:StandIn, another engine"),
    ],
)
def test_what_the_registry_knows_is_refused_before_anything_is_fetched(
    project: Project, changes: dict[str, Any], got: str
) -> None:
    project.files["models"]["small"] |= changes
    project.load()
    assert project.errors(deterministic="true") == [f"{WHERE}.{got}; {END.format('small')}"]


@pytest.mark.parametrize(
    "changes",
    [
        {"facts": FACTS | {"format": "compressed-tensors"}},
        {"quantization": "compressed-tensors"},
    ],
)
def test_compressed_tensors_is_not_refused_before_the_machine_is_known(
    project: Project, changes: dict[str, Any]
) -> None:
    """On a CPU one request at a time is enough; on a GPU the checkpoint's config.json is refused."""
    project.files["models"]["small"] |= changes | {"runs_on_cpu": True}
    run = project.load(models="small", datasets="problems", deterministic="true")
    assert names(run) == [("small", "problems")]


def test_an_endpoint_cannot_promise() -> None:
    entry = schema.filled({"source": {"hub": "a/b"}, "max_model_len": 512}, "model")
    assert not list(determinism.unfit("m", entry, "here"))
    served = {"endpoint": {"url": "https://example.org"}, "engine": "endpoint"}
    [error] = determinism.unfit("m", entry | served, "here")
    assert (
        str(error) == f"here.endpoint: got a server, which may batch as it likes; {END.format('m')}"
    )


def test_the_other_models_run_and_a_judge_must_be_able_to(project: Project) -> None:
    project.files["models"]["small"] |= {"quantization": "gptq", "max_model_len": 4096}
    run = project.load(models="small,large", datasets="problems", deterministic=True)
    assert names(run) == [("large", "problems")]
    [left] = run.left_out
    assert (left["model"], left["dataset"]) == ("small", "problems")
    assert left["reason"].startswith(f"{WHERE}.quantization: got gptq; ")
    [error] = project.errors(models="large", datasets="problems", deterministic=True, judge="small")
    assert error == left["reason"]


def test_awq_is_taken_with_a_note(project: Project) -> None:
    project.files["models"]["small"] |= {"facts": FACTS | {"format": "AWQ"}}
    assert project.load(deterministic=True).notes == (
        "deterministic: AWQ weights are dequantized for each product, slower than bf16 would be: small",
    )
    assert project.load().notes == ()


def test_only_a_deterministic_run_has_another_key(project: Project) -> None:
    before, after = project.load(), project.load(deterministic="true")
    explicit = project.load(deterministic=False)
    assert before.pairs == explicit.pairs
    assert "deterministic" not in before.spec("small", "problems")["model"]
    assert after.spec("small", "problems")["model"]["deterministic"] is True
    assert after.key("small", "problems") != before.key("small", "problems")
    assert after.benchmark("small") != before.benchmark("small")
    assert after.model_status("small") == before.model_status("small")  # nothing is fetched again


def settings(device: str, **entry: Any) -> EngineSettings:
    filled = schema.filled({"source": {"hub": "a/b"}, "max_model_len": 512}, "model")
    return EngineSettings("m", "m", filled | ENTRY | entry, seed=0, device=device)


def test_a_gpus_engine_is_batch_invariant() -> None:
    made = settings("cuda")
    assert determinism.environment(made.model, "cuda") == {
        "VLLM_BATCH_INVARIANT": "1",
        "TORCHINDUCTOR_DETERMINISTIC": "1",
    }
    arguments = engine_arguments(made)
    assert (arguments["enable_prefix_caching"], arguments["max_num_seqs"]) == (False, 9)


def test_the_compiler_times_nothing_and_keeps_its_other_settings() -> None:
    """PyTorch's deterministic mode ends a start that would time kernels: seen with vLLM 0.26 on an H200."""
    asked = {"mode": 3, "inductor_compile_config": {"max_autotune": False, "combo_kernels": True}}
    found = engine_arguments(settings("cuda", engine_arguments={"compilation_config": asked}))
    assert found["compilation_config"] == {
        "mode": 3,
        "inductor_compile_config": {
            **{"max_autotune": False, "combo_kernels": False},
            "benchmark_combo_kernel": False,
        },
    }
    assert "compilation_config" not in engine_arguments(settings("cpu"))
    assert "compilation_config" not in engine_arguments(settings("cuda", deterministic=False))


@pytest.mark.parametrize(
    ("sampling", "given", "together"),
    [
        ({"temperature": 0.0}, 9, 9),
        ({"temperature": 0.0, "top_p": 0.9}, 9, 7),  # a dataset may ask for another temperature
        ({"temperature": 0.7}, 9, 9),
        ({"temperature": 0.7, "top_p": 1.0, "top_k": -1}, 9, 9),
        ({"temperature": 0.7, "top_p": 0.9}, 9, 7),
        ({"temperature": 0.7, "top_k": 20}, 9, 7),
        ({"temperature": 0.7, "top_k": 20}, 3, 3),
    ],
)
def test_few_are_sampled_together_where_only_the_likeliest_tokens_count(
    sampling: dict[str, Any], given: int, together: int
) -> None:
    """With eight or more vLLM takes another kernel for top_p and top_k, which breaks ties in another way."""
    made = settings("cuda", sampling=sampling, engine_arguments={"max_num_seqs": given})
    assert engine_arguments(made)["max_num_seqs"] == together


def test_a_cpus_engine_answers_one_request_at_a_time() -> None:
    """vLLM's variable would put kernels for GPUs in the place of PyTorch's."""
    made = settings("cpu")
    assert determinism.environment(made.model, "cpu") == {}
    assert (
        engine_arguments(made).items()
        >= {
            "max_num_seqs": 1,
            "max_num_batched_tokens": 512,
            "enable_prefix_caching": False,
            "enable_chunked_prefill": False,
        }.items()
    )


@pytest.mark.parametrize("device", ["cuda", "cpu"])
def test_without_it_the_engine_is_as_it_was(device: str) -> None:
    made = settings(device, deterministic=False)
    assert determinism.environment(made.model, device) == {}
    arguments = engine_arguments(made)
    assert arguments["enable_prefix_caching"] is True
    assert arguments["max_num_batched_tokens"] == 16384


@pytest.mark.parametrize(
    ("config", "got"),
    [
        (
            {"quantization_config": {"quant_method": "compressed-tensors"}},
            f"weights quantized by compressed-tensors {BY_BATCH}",
        ),
        (
            {"quantization_config": {"quant_method": "gptq"}},
            f"weights quantized by gptq {BY_BATCH}",
        ),
        ({"quantization_config": {"bits": 4}}, f"weights quantized by no quant_method {BY_BATCH}"),
        (
            {"quantization_config": {"quant_method": "awq"}, "num_experts": 128},
            "AWQ weights of a mixture of experts",
        ),
        ({"text_config": {"kv_lora_rank": 512}}, "latent attention (MLA)"),
        ({"mamba_d_state": 128}, "state-space or linear-attention layers"),
        ({"layer_types": ["linear_attention"]}, "state-space or linear-attention layers"),
    ],
)
def test_what_only_the_checkpoint_tells_is_refused_before_the_engine_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, config: dict[str, Any], got: str
) -> None:
    monkeypatch.setattr(gpu, "capability", lambda: (9, 0))
    write_json(tmp_path / "config.json", config)
    check("m", ENTRY | {"deterministic": False}, tmp_path, "cuda")
    check("m", ENTRY, tmp_path, "cpu")  # one request at a time is enough for any model
    with pytest.raises(EngineError) as caught:
        check("m", ENTRY, tmp_path, "cuda")
    assert str(caught.value) == f"model m: got {got}; {END.format('m')}"


@pytest.mark.parametrize(
    ("capability", "images", "got"),
    [
        ((7, 5), False, "a GPU of compute capability 7.5, below 8.0"),
        ((9, 0), True, "images, whose encoder the mode leaves as it is"),
    ],
)
def test_what_only_the_machine_and_the_run_tell_is_refused(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capability: tuple[int, int],
    images: bool,
    got: str,
) -> None:
    monkeypatch.setattr(gpu, "capability", lambda: capability)
    write_json(tmp_path / "config.json", {"quantization_config": {"quant_method": "awq"}})
    with pytest.raises(EngineError) as caught:
        check("m", ENTRY, tmp_path, "cuda", images)
    assert str(caught.value) == f"model m: got {got}; {END.format('m')}"


@pytest.mark.parametrize("capability", [(8, 0), (8, 6), (9, 0), (10, 0), None])
def test_covered_checkpoints_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int] | None
) -> None:
    monkeypatch.setattr(gpu, "capability", lambda: capability)
    for config in (
        {},
        {"quantization_config": {"quant_method": "awq"}},
        {"quantization_config": {"quant_method": "fp8"}, "num_experts": 128},
        {"layer_types": ["full_attention", "sliding_attention"], "num_experts": 8},
    ):
        write_json(tmp_path / "config.json", config)
        check("m", ENTRY, tmp_path, "cuda")


@pytest.mark.parametrize(
    ("entry", "device", "said"),
    [
        ({"deterministic": True}, "cuda", "batch-invariant mode"),
        ({"deterministic": True}, "cpu", "one request at a time"),
        ({"deterministic": True}, None, "by means not recorded"),
        ({}, "cuda", None),
    ],
)
def test_the_report_says_how(entry: dict[str, Any], device: str | None, said: str | None) -> None:
    assert determinism.mode(entry, device) == said


def test_each_result_in_the_report_says_so(tmp_path: Path) -> None:
    run = make_run(tmp_path, samples=2, on_gpu=False)
    run.models[next(iter(MODELS))]["deterministic"] = True
    page, _ = pages(tmp_path, run)
    assert page.count("one request at a time") == len(DATASETS)
