"""How many GPUs an engine takes, and whether a model can be spread over them.

`gpus` of an entry is the tensor parallel size; stages of a pipeline and parts of a long prompt come in
`engine_arguments` and multiply it, as in vLLM's `ParallelConfig.world_size`. Experts that are spread
(`enable_expert_parallel`) take no GPUs of their own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import prod
from typing import Any

from snakeval.errors import EngineError, SnakevalError

Entry = Mapping[str, Any]

TENSOR, DATA = "tensor_parallel_size", "data_parallel_size"
FACTORS = ("pipeline_parallel_size", "prefill_context_parallel_size")
VOCABULARY_PADDING = 64  # vLLM pads the vocabulary to a multiple of it before it is divided


def gpus(entry: Entry) -> int:
    """Return the number of GPUs that one engine of a model takes; a server needs none here."""
    if entry.get("endpoint"):
        return 0
    return prod([entry["gpus"], *(entry["engine_arguments"].get(name, 1) for name in FACTORS)])


def unfit(entry: Entry, where: str) -> Iterator[SnakevalError]:
    """Yield what of an entry's parallelism contradicts itself or cannot be had.

    Args:
        entry: the model's entry.
        where: file and key of the entry.
    """
    arguments = entry["engine_arguments"]
    for name in (TENSOR, DATA, *FACTORS):
        size = arguments.get(name, 1)
        if isinstance(size, bool) or not isinstance(size, int) or size < 1:
            yield SnakevalError(
                f"{where}.engine_arguments.{name}",
                repr(size),
                "a whole number of at least 1",
                "Correct it, or leave it out.",
            )
            return
    if arguments.get(TENSOR, entry["gpus"]) != entry["gpus"]:
        yield SnakevalError(
            f"{where}.engine_arguments.{TENSOR}",
            str(arguments[TENSOR]),
            f"{entry['gpus']}, as the entry has gpus: {entry['gpus']}",
            "Remove it: gpus says over how many GPUs each layer is spread.",
        )
    if arguments.get(DATA, 1) > 1:  # vLLM's offline engine would wait for its other copies for ever
        yield SnakevalError(
            f"{where}.engine_arguments.{DATA}",
            str(arguments[DATA]),
            "1, as vLLM has no copies of an engine in one process",
            "Remove it; run.pairs_per_engine starts several engines, each on GPUs of its own.",
        )


def over_limit(models: Mapping[str, Entry], limit: int | None) -> Iterator[SnakevalError]:
    """Yield which models ask for more GPUs than Snakemake may give out at a time.

    Snakemake would count such a job as one that takes the limit, and say nothing.

    Args:
        models: the entries of the models to start, by name.
        limit: what `--resources gpu=` says, on the command line or in a profile; None without it.
    """
    for name, entry in models.items():
        if limit is not None and gpus(entry) > limit:
            yield SnakevalError(
                f"model {name}: GPUs",
                f"--resources gpu={limit}",
                f"at least gpu={gpus(entry)}, what one engine of it takes",
                f"Give --resources gpu={gpus(entry)} if the machine has them, or exclude_models={name}.",
            )


def check(model: str, entry: Entry, config: Mapping[str, Any]) -> None:
    """Refuse a model that cannot be divided by the tensor parallel size of its entry.

    The rules are those of vLLM's `ModelConfig.verify_with_parallel_config`, `QKVParallelLinear`,
    `VocabParallelEmbedding` and, for the layers between, `ColumnParallelLinear`.

    Args:
        model: its name.
        entry: its entry.
        config: of its language model, from config.json.

    Raises:
        EngineError: names what does not divide.
    """
    size = int(entry["gpus"])
    names = ("num_attention_heads", "num_key_value_heads", "vocab_size")
    heads, kv_heads, vocabulary = (_count(config.get(name)) for name in names)
    kv_heads = kv_heads or heads
    parts = {"attention heads": heads}
    if kv_heads and not config.get("kv_lora_rank"):  # latent attention has one, on each GPU
        # With fewer than GPUs each is kept several times.
        parts["key-value heads"] = max(kv_heads, size) if size % kv_heads == 0 else kv_heads
    if vocabulary:
        parts["padded tokens of the vocabulary"] = (
            -(-vocabulary // VOCABULARY_PADDING) * VOCABULARY_PADDING
        )
    if not experts(config):
        width = _count(config.get("intermediate_size"))
        parts["channels between a layer's halves (intermediate_size)"] = width
    for name, count in parts.items():
        if count and count % size:
            raise EngineError(
                f"model {model}: gpus",
                f"{size}, which does not divide its {count} {name}",
                "a tensor parallel size that does",
                "Change gpus in config/models.yaml; pipeline_parallel_size in engine_arguments spreads whole layers.",
            )


def _count(value: Any) -> int | None:
    """Return a number of a config.json that is one of the whole model; None where layers have their own, or none."""
    return value if isinstance(value, int) and value > 0 else None


def experts(config: Mapping[str, Any]) -> bool:
    """Whether a model is a mixture of experts, from its config.json."""
    names = ("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts")
    return any(config.get(name) for name in names)
