"""What llm-compressor does to a model. It must come first on the module path: see `environment`."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

from snakeval.errors import SourceError
from snakeval.quantization import calibration
from snakeval.sources.unavailable import portable, short

BITS = 4
# The head decides on every token and is often the embedding's own table; routers choose experts.
KEPT = ("lm_head", r"re:.*\.gate$", r"re:.*router$", r"re:.*shared_expert_gate$")
BATCH = 16
TOOLS = ("llmcompressor", "compressed-tensors", "transformers", "torch")


def compress(base: Path, tokenizer: Path, recipe: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Write a model's quantized weights and config.json, in compressed-tensors' packed format.

    On a CPU one thread works: more of them would wait for each other at each of the many small steps,
    and what comes out does not depend on the number of cores.

    Args:
        base: the folder of the model.
        tokenizer: the folder of its tokenizer.
        recipe: `source.quantize` of the entry.
        folder: where they go.

    Returns:
        Facts for the model's status: the passages' hash, versions, device.

    Raises:
        SourceError: llm-compressor cannot take the model, or the texts cannot be had.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    on_cpu = not torch.accelerator.is_available()
    if on_cpu:
        torch.set_num_threads(1)
    torch.manual_seed(recipe["seed"])
    passages = None
    if recipe["calibration"] is not None:
        passages = calibration.passages(recipe, AutoTokenizer.from_pretrained(tokenizer))
    model = _tried(lambda: AutoModelForCausalLM.from_pretrained(base, dtype="auto"), base)
    _check_groups(model, recipe["group_size"], base)
    _tried(lambda: _one_shot(model, recipe, passages, on_cpu), base)
    model.save_pretrained(folder, save_compressed=True)
    return {
        "bits": BITS,
        "kept": list(KEPT),
        "passages_sha256": calibration.fingerprint(passages) if passages else None,
        "device": "cpu" if on_cpu else torch.cuda.get_device_name(),
        "versions": {name: version(name) for name in TOOLS},
    }


def _one_shot(
    model: Any, recipe: dict[str, Any], passages: list[list[int]] | None, on_cpu: bool
) -> None:
    from datasets import Dataset
    from llmcompressor import oneshot
    from llmcompressor.modifiers.quantization import QuantizationModifier
    from llmcompressor.modifiers.transform.awq import AWQModifier
    from llmcompressor.pipelines.cache import IntermediatesCache
    from loguru import logger

    if (
        on_cpu
    ):  # 0.14 pins memory for a GPU, fails where there is none, and says so a thousand times
        IntermediatesCache.pin_memory = lambda *_: None
        logger.disable("llmcompressor.utils.dev")
    weights = {
        "num_bits": BITS,
        "type": "int",
        "symmetric": False,  # with zero points, as AWQ's authors
        "strategy": "group",
        "group_size": recipe["group_size"],
    }
    group = {"targets": ["Linear"], "weights": weights}
    rounding = QuantizationModifier(config_groups={"group_0": group}, ignore=list(KEPT))
    if passages is None:
        oneshot(model=model, recipe=[rounding], log_dir=None)
        return
    rows = {"input_ids": passages, "attention_mask": [[1] * len(ids) for ids in passages]}
    oneshot(
        model=model,
        recipe=[AWQModifier(), rounding],
        dataset=Dataset.from_dict(rows),
        num_calibration_samples=len(passages),
        max_seq_length=recipe["sample_tokens"],
        shuffle_calibration_samples=False,
        batch_size=min(BATCH, len(passages)),
        log_dir=None,
    )


def _check_groups(model: Any, group_size: int, base: Path) -> None:
    """Refuse groups that a layer's inputs cannot be cut into."""
    from torch.nn import Linear

    layers = [m for name, m in model.named_modules() if isinstance(m, Linear) and name != "lm_head"]
    wrong = sorted({layer.in_features for layer in layers if layer.in_features % group_size})
    if wrong:
        fits = [str(size) for size in (64, 32) if not any(width % size for width in wrong)]
        raise SourceError(
            portable(base),
            f"layers with {' and '.join(map(str, wrong))} inputs",
            f"multiples of {group_size}, the group_size",
            f"Set source.quantize.group_size to {fits[0]}." if fits else "It cannot be quantized.",
        )


def _tried(call: Callable[[], Any], base: Path) -> Any:
    try:
        return call()
    except Exception as error:  # it fails in many ways on what it does not know
        traceback.print_exception(error, file=sys.stderr)
        raise SourceError(
            portable(base),
            f"a model that llm-compressor cannot quantize ({short(str(error), 200)})",
            "an architecture that it knows",
            "Look at the log, or take a copy that somebody else has quantized.",
        ) from error
