"""What of a model's architecture its memory and its speed depend on, from its config.json or the registry's facts.

Parameters are counted by the formulas of the common decoders; other architectures have no count here, and
their size is taken from their files or the registry.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Config = Mapping[str, Any]

# Decoders with a gated MLP (three matrices) and one weight matrix a projection.
COUNTED = frozenset(
    (
        *("llama", "mistral", "mixtral", "qwen2", "qwen3", "qwen3_moe", "deepseek_v2"),
        *("gemma2", "granite", "olmo2", "phi3"),
    )
)
# Vision towers with a gated MLP.
GATED_VISION = ("qwen2_5_vl", "pixtral")
# Quantised while loading, of 16-bit weights: bits a parameter, scales included.
ON_THE_FLY = {"fp8": 8.0, "bitsandbytes": 4.5}
# Where only the registry's facts are known: those of models of 8 to 30 billion parameters.
TYPICAL_LAYERS, TYPICAL_WIDTH = 40, 60_000


@dataclass(frozen=True)
class Shape:
    """Sizes are in bytes, of the whole model.

    Attributes:
        weights: all weights, as they lie on the GPU.
        dense: what every step reads of them: no embeddings, no experts.
        experts: all experts; 0 where there are none.
        share: of the experts, the part that works on one token.
        active: parameters that work on one token.
        layers: number of layers.
        slow: whether a layer takes longer to launch than one of plain 16-bit weights.
        width: numbers that a step holds at once for each of its tokens, beside what it keeps.
        caches: for each layer that has a KV cache, bytes a token, and the window beyond which it forgets
            (None: never).
        heads: KV heads, over which a cache can be spread; 1 where each GPU needs all of it.
        context: the longest context, None where it is not known.
        source: what it was made from.
    """

    weights: int
    dense: int
    experts: int
    share: float
    active: float
    layers: int
    slow: bool
    width: int
    caches: tuple[tuple[int, int | None], ...]
    heads: int
    context: int | None
    source: str

    @property
    def kv_per_token(self) -> int:
        """Bytes that one token takes in the KV caches of all layers."""
        return sum(size for size, _ in self.caches)

    def kv_bytes(self, tokens: int) -> int:
        """Return the bytes of a request's KV cache, where windows forget what lies behind them."""
        return sum(size * min(tokens, window or tokens) for size, window in self.caches)

    def read(self, streams: float) -> float:
        """Return the bytes of weights that a step reads for so many tokens, each with experts of its own."""
        return self.dense + self.experts * (1 - math.pow(1 - self.share, streams))


def text_config(config: Config) -> Config:
    """Return the part of a config.json that is about the language model."""
    part = config.get("text_config", config)
    return part if isinstance(part, Mapping) else config


def longest_context(config: Config) -> int | None:
    """Return the longest context that a config.json allows; None where it names none."""
    longest = text_config(config).get("max_position_embeddings")
    return longest if isinstance(longest, int) else None


def of_config(entry: Config, config: Config, source: str, stored: int | None = None) -> Shape:
    """Return the shape of a model.

    Args:
        entry: the registry's.
        config: its config.json.
        source: names where that came from.
        stored: bytes of its weight files, where they are known; they count for an architecture that has no
            count here.

    Raises:
        KeyError, TypeError, ValueError: the config.json is not that of a decoder.
    """
    text = text_config(config)
    size = 4 if entry["dtype"] == "float32" else 2  # vLLM runs 32-bit checkpoints in 16 bits
    quantised, expert_bytes = _bytes_a_parameter(entry, config, size)
    hidden, layers = int(text["hidden_size"]), int(text["num_hidden_layers"])
    table = hidden * int(text["vocab_size"])
    tied = text.get("tie_word_embeddings", text.get("model_type") == "gemma2")
    attention = layers * _attention(text, hidden)
    moe = _moe_layers(text, layers)
    inner, chosen = int(text.get("intermediate_size") or 4 * hidden), 0
    mlp = 3 * hidden * inner * (layers - moe)
    experts, router, share = 0, 0, 0.0
    if moe:
        number, chosen, theirs = _experts(text, inner)
        experts = moe * number * 3 * hidden * theirs
        router = moe * number * hidden
        shared = int(text.get("n_shared_experts") or 0) * theirs
        mlp += moe * 3 * hidden * (shared or int(text.get("shared_expert_intermediate_size") or 0))
        share = chosen / number
        width = 3 * hidden + 3 * chosen * (theirs + hidden)
    else:
        width = 3 * hidden + 3 * inner
    norms = 2 * hidden * layers + hidden
    dense = round((attention + mlp) * quantised) + (router + norms + table) * size
    expert_size = round(experts * expert_bytes)
    vision = vision_parameters(config) * size  # copies of four bits leave it as it was
    weights = dense + expert_size + (0 if tied else table * size) + vision
    if rank := text.get(
        "kv_lora_rank"
    ):  # vLLM keeps what latents are unpacked with a second time, in 16 bits
        pair = int(text["qk_nope_head_dim"]) + int(text["v_head_dim"])
        weights += layers * int(rank) * int(text["num_attention_heads"]) * pair * size
    counted = text.get("model_type") in COUNTED
    if not counted and stored is not None:
        weights = stored
        source = f"{source} and the size of the weight files"
    elif not counted:
        facts = entry["facts"]
        if facts is None:
            raise ValueError(f"model_type {text.get('model_type')!r} is not counted")
        weights = round(facts["weights_gb"] * 1e9)
        source = f"{source}, weights from the registry's facts"
    if not counted:
        dense, expert_size = (
            max(weights - expert_size - (0 if tied else table * size) - vision, 0),
            min(expert_size, weights),
        )
    return Shape(
        weights=weights,
        dense=dense,
        experts=expert_size,
        share=share,
        active=attention + mlp + table + router + experts * share,
        layers=layers,
        slow=bool(moe) or quantised < size,
        width=width,
        caches=_caches(entry, text, hidden, layers),
        heads=1 if text.get("kv_lora_rank") else _kv_heads(text),
        context=longest_context(config),
        source=source,
    )


def vision_parameters(config: Config) -> int:
    """Return the parameters of a model's vision tower and of what joins it to the language model.

    Counted by the fields of Qwen's towers, of CLIP, SigLIP and Pixtral; 0 where there is none, or one of other fields.
    """
    vision = config.get("vision_config")
    if not isinstance(vision, Mapping):
        return 0
    layers = vision.get("depth") or vision.get("num_hidden_layers")
    own = vision.get("embed_dim")  # of Qwen2-VL, whose hidden_size is the language model's
    width = int(own or vision.get("hidden_size") or 0)
    if not layers or not width:
        return 0
    out = int((own and vision.get("hidden_size")) or vision.get("out_hidden_size") or 0)
    out = out or int(text_config(config)["hidden_size"])
    inner = int(vision.get("intermediate_size") or width * float(vision.get("mlp_ratio") or 4))
    matrices = 3 if vision.get("model_type") in GATED_VISION else 2
    block = 4 * width * width + matrices * width * inner
    patch = (
        3 * int(vision.get("patch_size") or 14) ** 2 * int(vision.get("temporal_patch_size") or 1)
    )
    positions = int(vision.get("num_position_embeddings") or 0)
    if merged := int(vision.get("spatial_merge_size") or 0) ** 2 * width:
        mergers = 1 + len(vision.get("deepstack_visual_indexes") or ())
        joint = mergers * merged * (merged + out)
    else:
        joint = width * out + out * out
    return int(layers) * block + (patch + positions) * width + joint


def of_facts(entry: Config) -> Shape | None:
    """Return what the registry's facts say; None where it has none."""
    facts = entry["facts"]
    if facts is None:
        return None
    weights, layers = round(facts["weights_gb"] * 1e9), TYPICAL_LAYERS
    if facts["format"] == "GGUF":  # it is unpacked to 16 bits
        weights = round(facts["parameters"] * 2e9)
    share = (facts["active"] or facts["parameters"]) / facts["parameters"]
    per_layer = facts["kv_bytes_per_token"] // layers
    rest = facts["kv_bytes_per_token"] - per_layer * (layers - 1)
    return Shape(
        weights=weights,
        dense=round(weights * share) if share == 1 else 0,
        experts=0 if share == 1 else weights,
        share=share,
        active=share * facts["parameters"] * 1e9,
        layers=layers,
        slow=share < 1 or facts["format"] in ("AWQ", "compressed-tensors"),
        width=TYPICAL_WIDTH,
        caches=((per_layer, None),) * (layers - 1) + ((rest, None),),
        heads=1,
        context=facts["context"],
        source="the registry's facts",
    )


def _bytes_a_parameter(entry: Config, config: Config, size: int) -> tuple[float, float]:
    """Return the bytes of a parameter of a linear layer, and of an expert."""
    found = config.get("quantization_config") or text_config(config).get("quantization_config")
    if not found:
        bits = ON_THE_FLY.get(str(entry["quantization"]), 8.0 * size)
        return bits / 8, bits / 8
    bits, group, zeros = _quantised(found)
    scales = 16 / group if group else 0.0
    # Machete, the kernel of dense layers on an H100, holds zero points in 16 bits, Marlin's experts packed.
    return tuple((bits + scales + zero) / 8 for zero in zeros)  # type: ignore[return-value]


def _quantised(found: Config) -> tuple[float, int | None, tuple[float, float]]:
    """Return bits, group size and bits of zero points a parameter (linear layer, expert)."""
    method = found.get("quant_method")
    if method == "compressed-tensors":
        group = next(iter(found["config_groups"].values()))["weights"]
        bits, size, symmetric = group["num_bits"], group.get("group_size"), group.get("symmetric")
    elif method == "fp8":
        bits, size, symmetric = 8, None, True
    elif method == "bitsandbytes":
        bits, size, symmetric = 4, 32, True
    else:
        bits, size = found["bits"], found.get("group_size")
        symmetric = not found.get("zero_point", not found.get("sym", True))
    size = size if size and size > 0 else None
    if symmetric or not size:
        return bits, size, (0.0, 0.0)
    return bits, size, (16 / size, bits / size)


def _attention(text: Config, hidden: int) -> int:
    """Return the parameters of one layer's attention."""
    heads = int(text["num_attention_heads"])
    if rank := text.get("kv_lora_rank"):
        own, rope, value = (
            int(text[name]) for name in ("qk_nope_head_dim", "qk_rope_head_dim", "v_head_dim")
        )
        first = int(text.get("q_lora_rank") or 0)
        query = first * hidden + (first or hidden) * heads * (own + rope)
        pair = hidden * (int(rank) + rope) + int(rank) * heads * (own + value)
        return query + pair + heads * value * hidden
    head = _head_size(text, hidden)
    return 2 * hidden * head * (heads + _kv_heads(text))


def _head_size(text: Config, hidden: int) -> int:
    return int(text.get("head_dim") or hidden // int(text["num_attention_heads"]))


def _kv_heads(text: Config) -> int:
    return int(text.get("num_key_value_heads") or text["num_attention_heads"])


def _moe_layers(text: Config, layers: int) -> int:
    """Return how many layers have experts."""
    if not any(text.get(name) for name in ("num_experts", "n_routed_experts", "num_local_experts")):
        return 0
    first, step = text.get("first_k_dense_replace") or 0, text.get("decoder_sparse_step") or 1
    plain = text.get("mlp_only_layers") or ()
    counted: int = sum(
        number >= first and number not in plain and (number + 1) % step == 0
        for number in range(layers)
    )
    return counted


def _experts(text: Config, inner: int) -> tuple[int, int, int]:
    """Return the number of experts, how many work on a token, and their inner size."""
    names = ("num_experts", "n_routed_experts", "num_local_experts")
    number = next(int(text[name]) for name in names if text.get(name))
    return number, int(text["num_experts_per_tok"]), int(text.get("moe_intermediate_size") or inner)


def _caches(
    entry: Config, text: Config, hidden: int, layers: int
) -> tuple[tuple[int, int | None], ...]:
    """Return each layer's KV cache: bytes a token and window."""
    size = 1 if "fp8" in str(entry["engine_arguments"].get("kv_cache_dtype")) else 2
    if rank := text.get("kv_lora_rank"):
        one = (int(rank) + int(text["qk_rope_head_dim"])) * size
    else:
        one = 2 * _kv_heads(text) * _head_size(text, hidden) * size
    window = text.get("sliding_window") if text.get("use_sliding_window", True) else None
    kinds = text.get("layer_types") or ["full_attention"] * layers
    if window and not text.get("layer_types"):
        # Gemma 2 forgets in every second layer; the others that name a window do in all.
        skipped = 2 if text.get("model_type") == "gemma2" else 1
        kinds = [
            "sliding_attention" if number % skipped == 0 else "full_attention"
            for number in range(layers)
        ]
    return tuple(
        (one, int(window) if window and kind == "sliding_attention" else None)
        for kind in kinds
        if kind in ("full_attention", "sliding_attention")  # others keep a state of fixed size
    )
