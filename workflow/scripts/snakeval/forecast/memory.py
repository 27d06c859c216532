"""Whether a model's weights and the KV cache of one request at full context fit the GPUs.

Checked against what vLLM reported on an H100 and an H200 (docs/h100.md): weights within 3 %, KV tokens within 2 %.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from snakeval import parallel
from snakeval.forecast.shape import Shape

GIB = 2**30
# What CUDA can give of a GPU's memory (an H100's 79.1 GiB, an H200's 139.8), as a share of what NVML counts
# (79.6 and 140.4) and of the makers' number (80 and 141).
NVML_SHARE, MAKERS_SHARE = 0.994, 0.99
# Beside weights, activations and cache: CUDA graphs and work space, what six models left on H100 and H200.
FIXED = 0.3 * GIB
NUMBER = 2  # bytes of a number in the activations
STEP = 256  # a context is lowered to a multiple of it


@dataclass(frozen=True)
class Fit:
    """How a model fits; bytes and tokens of all its GPUs together.

    Attributes:
        budget: what the engine may take.
        weights: of the model.
        reserve: activations of the largest step, CUDA graphs, work space.
        kv_per_token: bytes.
        kv_tokens: tokens for which the KV cache has room; 0 where the weights leave none.
        streams: requests at full context that fit at once.
        fix: what to do where not even one does; None where one does.
    """

    budget: int
    weights: int
    reserve: int
    kv_per_token: int
    kv_tokens: int
    streams: float
    fix: str | None

    @property
    def fits(self) -> bool:
        """Whether the engine will start."""
        return self.fix is None


def fit(entry: Mapping[str, Any], shape: Shape, memory: float) -> Fit:
    """Return how a model fits GPUs that can give so many bytes each."""
    found = _fit(entry, shape, memory, parallel.gpus(entry))
    if found.streams >= 1:
        return found
    return Fit(**{**vars(found), "fix": _fix(entry, shape, memory, found)})


def _fit(entry: Mapping[str, Any], shape: Shape, memory: float, gpus: int) -> Fit:
    limits, context = entry["engine_limits"], entry["max_model_len"]
    budget = limits["gpu_memory_utilization"] * memory * gpus
    # Each GPU holds all of the hidden state; the layers' inner numbers are spread.
    activations = limits["max_num_batched_tokens"] * shape.width * NUMBER
    reserve = activations + FIXED * gpus
    copies = max(1.0, gpus / shape.heads)  # a KV head that cannot be split lies on several GPUs
    left = max(0.0, budget - shape.weights - reserve)
    per_token = shape.kv_per_token * copies
    kv_tokens = int(left / per_token) if per_token else 0
    one = shape.kv_bytes(context) * copies
    return Fit(
        budget=int(budget),
        weights=shape.weights,
        reserve=int(reserve),
        kv_per_token=int(per_token),
        kv_tokens=kv_tokens,
        streams=left / one if one else float(left > 0),
        fix=None,
    )


def _fix(entry: Mapping[str, Any], shape: Shape, memory: float, found: Fit) -> str:
    """Say what would make it fit."""
    context = int(found.streams * entry["max_model_len"]) // STEP * STEP
    ways = [f"lower max_model_len to {context}"] if context >= STEP else []
    for gpus in (2, 4, 8):
        if gpus > parallel.gpus(entry) and _fit(entry, shape, memory, gpus).streams >= 1:
            ways.append(f"set gpus: {gpus}")
            break
    if not shape.slow and shape.weights / 3.5 + found.reserve < found.budget:
        ways.append("take an AWQ copy of the model")
    if not ways:
        ways = ["take a larger GPU or a smaller model"]
    return f"{', or '.join(ways)} (config/models.yaml)."
