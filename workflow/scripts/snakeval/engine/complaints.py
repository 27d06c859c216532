"""What an engine's own words say about why it ended: whether a smaller batch may mend that, and what else does.

The words are those of vLLM 0.26 and 0.32, of PyTorch, CUDA, NVML and safetensors.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from snakeval.engine import EngineSettings
from snakeval.engine.vllm_engine import engine_arguments

BATCH = ("max_num_seqs", "max_num_batched_tokens")
FEWEST_TOKENS = 2048  # a step of fewer frees next to nothing and makes prompts slow

# vLLM's front process knows no more than that its core has ended.
POINTERS = ("See root cause above", "See stack trace (above)")

WEIGHTS_TOO_LARGE = "Failed to load model - not enough GPU memory"
# What a step and the captured graphs take grows with the batch, and what they leave is the cache's.
CROWDED = re.compile(
    r"out of memory|OutOfMemoryError|CUBLAS_STATUS_ALLOC_FAILED|exceeds available Mamba cache blocks"
    r"|No available memory for the cache blocks|larger than the available KV cache memory"
)
REMEDIES = (
    (
        WEIGHTS_TOO_LARGE,
        "Its weights do not fit: take an AWQ copy of the model, or more or larger GPUs (gpus: in config/models.yaml).",
    ),
    (
        r"less than desired \w+ memory utilization",
        "Other processes hold that memory, nvidia-smi names them: end them, or lower gpu_memory_utilization in the "
        "model's engine_limits.",
    ),
    (
        r"memory for the cache blocks|KV cache memory",
        "Lower max_model_len, raise gpu_memory_utilization in the model's engine_limits, or give it more GPUs.",
    ),
    (
        CROWDED.pattern,
        "Lower max_num_seqs, max_num_batched_tokens or gpu_memory_utilization in the model's engine_limits.",
    ),
    (
        r"No space left on device|Disk quota exceeded",
        "Free space, then run the same command again.",
    ),
    (
        r"SafetensorError|MetadataIncompleteBuffer|HeaderTooLarge|header too large",
        "A file of weights is damaged: delete it, where it is a copy from a hub, and the model's folder in "
        "results/models, then run the same command again.",
    ),
    (
        r"torch_compile_cache|torchinductor|triton/cache|UnpicklingError|pickle data was truncated",
        "What was compiled earlier is damaged: delete ~/.cache/vllm/torch_compile_cache and ~/.triton/cache, or where "
        "VLLM_CACHE_ROOT and TRITON_CACHE_DIR put them, then run the same command again.",
    ),
    (
        r"CUDA error|CUDA driver|CUDA-capable device|NVML|cudaError",
        "The GPU or its driver fails: look at nvidia-smi and dmesg, then run the same command again, elsewhere if it "
        "stays so.",
    ),
)


def points_elsewhere(said: str) -> bool:
    """Whether an error only says that another one came before."""
    return any(pointer in said for pointer in POINTERS)


def telling(lines: Sequence[str]) -> str:
    """Return the line of an engine's output that says why it ended: a known cause, else the last error, else the last.

    Args:
        lines: in order, none of them empty.
    """
    errors = [line for line in lines if "Error" in line or "error:" in line]
    causes = [line for line in errors if not points_elsewhere(line)]
    weights = [line for line in causes if WEIGHTS_TOO_LARGE in line]
    return (weights or causes or errors or list(lines) or ["none"])[-1]


def crowded(said: str) -> bool:
    """Whether an engine lacked memory that a smaller batch may free."""
    return WEIGHTS_TOO_LARGE not in said and CROWDED.search(said) is not None


def remedy(said: str) -> str | None:
    """Return what the user does about an engine's words; None where they are not known."""
    return next((fix for pattern, fix in REMEDIES if re.search(pattern, said)), None)


def smaller(settings: EngineSettings) -> tuple[EngineSettings, dict[str, int]] | None:
    """Return settings with half the batch and their limits by name; None where the batch cannot be smaller.

    Images keep their tokens: one of them must fit into a step.
    """
    now = engine_arguments(settings)
    limits = {
        "max_num_seqs": max(1, now["max_num_seqs"] // 2),
        "max_num_batched_tokens": now["max_num_batched_tokens"]
        if settings.images
        else max(
            now["max_num_batched_tokens"] // 2, min(FEWEST_TOKENS, now["max_num_batched_tokens"])
        ),
    }
    entry = settings.model | {"engine_limits": settings.model["engine_limits"] | limits}
    made = replace(settings, model=entry)
    then = {name: engine_arguments(made)[name] for name in BATCH}
    return (made, then) if then != {name: now[name] for name in BATCH} else None
