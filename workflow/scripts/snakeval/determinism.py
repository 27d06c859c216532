"""Answers that do not depend on what else is asked (`run.deterministic`): where they can be had, and how.

On a GPU vLLM's batch-invariant mode gives them, VLLM_BATCH_INVARIANT=1. What it covers was read in the source of
0.26 and 0.32: unquantized weights, FP8, and AWQ without experts, which is then dequantized for each product. It
refuses AWQ with experts and state-space layers itself. Of every other quantization it says nothing and goes on with
kernels that sum in an order that depends on the batch, so what is not known to be covered is refused here.

On a CPU there is no such mode: the variable would put Triton kernels, made for GPUs, in the place of PyTorch's own.
There one request at a time, unbroken and with nothing kept of the last one, has the same effect, whatever the weights:
AWQ and compressed-tensors of four bits go through the same kernel there (CPUWNA16LinearKernel). So of an entry that may
run on a CPU compressed-tensors is not refused before the machine is known; on a GPU the checkpoint tells it.

On a GPU vLLM 0.26 takes another kernel for top_p and top_k when eight or more tokens are sampled in one step, and where
logits tie, as bf16's do, the two keep different tokens. So where answers are sampled that way at most seven are asked
at a time; greedy answers and likelihoods need no such bound.

Both hold on the same hardware with the same versions.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from snakeval.errors import EngineError, SnakevalError
from snakeval.forecast.shape import text_config
from snakeval.parallel import experts

Entry = Mapping[str, Any]

MODES = {"cuda": "batch-invariant mode", "cpu": "one request at a time"}
COVERED = "what vLLM's batch-invariant mode covers, as run.deterministic is true"
FIX = "Leave deterministic out, or exclude_models={model}."

AWQ = ("awq", "awq_marlin")
QUANTIZATIONS = (None, "fp8", *AWQ)
LEAST_CAPABILITY = (8, 0)  # vLLM's documentation; older GPUs are not told by its source
COMPRESSED = "compressed-tensors"
SAMPLED_TOGETHER = 7  # the most of which vLLM sorts the logits: topk_topp_sampler.apply_top_k_top_p
NO_TIMING = {"combo_kernels": False, "benchmark_combo_kernel": False}
STATE_SPACE = ("mamba", "ssm", "linear_attention")


def unfit(name: str, entry: Entry, where: str) -> Iterator[SnakevalError]:
    """Yield why a model's answers cannot be made deterministic, as far as the registry knows.

    Args:
        name: the model.
        entry: its entry.
        where: file and key of the entry.
    """
    for key, got in _told(entry):
        yield SnakevalError(f"{where}.{key}", got, COVERED, FIX.format(model=name))


def _told(entry: Entry) -> Iterator[tuple[str, str]]:
    """Yield which keys of an entry tell that the mode does not cover it, and what they say."""
    if entry.get("endpoint"):
        yield "endpoint", "a server, which may batch as it likes"
    elif entry["engine"] != "vllm":
        yield "engine", f"{entry['engine']}, another engine"
    quantization = entry["engine_arguments"].get("quantization", entry["quantization"])
    covered = (*QUANTIZATIONS, COMPRESSED) if entry["runs_on_cpu"] else QUANTIZATIONS
    if quantization not in covered:
        yield "quantization", quantization
    facts = entry["facts"] or {"format": None, "active": None}
    if COMPRESSED not in covered:
        if "quantize" in (entry["source"] or {}):
            yield "source.quantize", f"weights of llm-compressor, which are {COMPRESSED}"
        if facts["format"] == COMPRESSED:
            yield "facts.format", COMPRESSED
    if facts["active"] and (facts["format"] == "AWQ" or quantization in AWQ):
        yield "facts.active", "AWQ weights of a mixture of experts"


def notes(models: Mapping[str, Entry]) -> Iterator[str]:
    """Yield what determinism costs that nobody expects."""
    awq = [name for name, entry in models.items() if (entry["facts"] or {}).get("format") == "AWQ"]
    if awq:
        yield (
            f"deterministic: AWQ weights are dequantized for each product, slower than bf16 would be: {', '.join(awq)}"
        )


def check(
    model: str, config: Mapping[str, Any], images: bool, capability: tuple[int, int] | None
) -> None:
    """Refuse on a GPU what only the checkpoint and the machine tell.

    Args:
        model: its name.
        config: its config.json.
        images: whether any request shows an image.
        capability: the lowest compute capability of the GPUs; None where it is not known.

    Raises:
        EngineError: the batch-invariant mode does not cover it.
    """
    for got in _uncovered(config, images, capability):
        raise EngineError(f"model {model}", got, COVERED, FIX.format(model=model))


def _uncovered(
    config: Mapping[str, Any], images: bool, capability: tuple[int, int] | None
) -> Iterator[str]:
    language = text_config(config)
    stored = config.get("quantization_config") or language.get("quantization_config") or {}
    method = stored.get("quant_method", "no quant_method") if stored else None
    if method not in QUANTIZATIONS:
        yield f"weights quantized by {method} on a GPU, whose kernels sum in an order that depends on the batch"
    if method in AWQ and experts(language):
        yield "AWQ weights of a mixture of experts"
    if language.get("kv_lora_rank"):
        # Its pieces of a long prompt are put together in an order that depends on the room in the batch.
        yield "latent attention (MLA)"
    layers = [*(language.get("layer_types") or ()), *(language.get("layers_block_type") or ())]
    if any(str(name).startswith(STATE_SPACE) for name in (*language, *layers)):
        yield "state-space or linear-attention layers"
    if images:
        yield "images, whose encoder the mode leaves as it is"
    if capability is not None and capability < LEAST_CAPABILITY:
        yield f"a GPU of compute capability {capability[0]}.{capability[1]}, below 8.0"


def environment(entry: Entry, device: str) -> dict[str, str]:
    """Return the environment variables that the engine's process needs before vLLM is imported.

    PyTorch's compiler otherwise times its kernels and takes the fastest: two starts could sum in two orders.
    """
    if not entry.get("deterministic") or device != "cuda":
        return {}
    return {"VLLM_BATCH_INVARIANT": "1", "TORCHINDUCTOR_DETERMINISTIC": "1"}


def arguments(entry: Entry, device: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the engine arguments that replace those which the engine would be given.

    A prefix from the cache was computed beside other requests, or in other pieces. vLLM lets PyTorch's compiler time
    whether kernels are faster when they run side by side, which its deterministic mode forbids: they stay apart.
    """
    if not entry.get("deterministic"):
        return {}
    if device == "cuda":
        compilation = given.get("compilation_config") or {}
        inductor = compilation.get("inductor_compile_config") or {}
        compiler = {"inductor_compile_config": inductor | NO_TIMING}
        fixed = {"enable_prefix_caching": False, "compilation_config": compilation | compiler}
        few = {"max_num_seqs": min(given["max_num_seqs"], SAMPLED_TOGETHER)}
        return fixed | (few if _cuts(entry["sampling"]) else {})
    return {
        "enable_prefix_caching": False,
        "enable_chunked_prefill": False,
        "max_num_seqs": 1,
        "max_num_batched_tokens": entry["max_model_len"],
    }


def _cuts(sampling: Mapping[str, Any]) -> bool:
    """Whether tokens would be sampled from the likeliest ones alone; a dataset may set the temperature."""
    return bool(sampling.get("top_p", 1) < 1 or sampling.get("top_k", 0) > 0)


def mode(entry: Entry, device: str | None) -> str | None:
    """Name for the report how a model's answers were made deterministic; None where they were not.

    Args:
        entry: the model's entry.
        device: where it answered, "cuda" or "cpu"; None where that is not known.
    """
    return MODES.get(str(device), "by means not recorded") if entry.get("deterministic") else None
