"""Published scores, and between which values a result is normal beside them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from snakeval.registry.protocol import thinks
from snakeval.statistics import wilson

Entry = Mapping[str, Any]

# What four bits cost in their makers' own tables (Qwen's: up to 4 points).
QUANTIZED_POINTS = 0.04
_QUANTIZED = re.compile(
    r"awq|gptq|gguf|fp8|bnb|nf4|int[48]|w[48]a(?:8|16)|(?<![a-z0-9])(?:[48]-?bit|q[2-8]_)",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Reference:
    """A published score that speaks about a model of the registry; numbers lie in 0..1.

    Args:
        model: as its makers call it.
        score: the published number.
        metric: the metric that it is of.
        protocol: how it was measured.
        differs: in what that differs from the entry's protocol; None where nothing is known to.
        source: where it was published.
        band: between which values a result is normal; None where the number of rows is not known.
    """

    model: str
    score: float
    metric: str
    protocol: str
    differs: str | None
    source: str
    band: tuple[float, float] | None


def references(dataset: Entry, name: str, model: Entry) -> Iterator[Reference]:
    """Yield the published scores on a dataset that speak about a model.

    Args:
        dataset: the dataset's entry.
        name: of the model.
        model: its entry.
    """
    about = dataset["about"] or {"rows": None, "published": []}
    for score in about["published"]:
        if name in score["models"] and score["thinking"] in (None, thinks(model)):
            yield Reference(
                model=score["model"],
                score=score["score"] / 100,
                metric=score["metric"] or dataset["metric"],
                protocol=score["protocol"],
                differs=score["differs"],
                source=score["source"],
                band=band(score, about["rows"], quantized(model)),
            )


def band(score: Entry, rows: int | None, is_quantized: bool = False) -> tuple[float, float] | None:
    """Return between which values a result is normal beside a published score, in 0..1.

    Unless the entry states it, that is the 95 % interval of the difference of two such numbers, each over
    all rows: Wilson's for half of them. Weights of fewer bits get 4 points more on either side.

    Args:
        score: the published score: `score` in per cent, `band` in per cent or None.
        rows: of the dataset; None where that is not known.
        is_quantized: whether the model's weights are quantized, where the published ones were not.
    """
    if score["band"] is not None:
        return score["band"][0] / 100, score["band"][1] / 100
    if rows is None:
        return None
    low, high = wilson(score["score"] / 100 * rows / 2, rows / 2)
    more = QUANTIZED_POINTS if is_quantized else 0.0
    return max(0.0, low - more), min(1.0, high + more)


def quantized(model: Entry) -> bool:
    """Whether a model's weights are quantized: by its facts, or by its entry and the names in its source."""
    if model["facts"]:
        return model["facts"]["format"] not in ("bf16", "fp16")
    source = model["source"] or {}
    if "quantize" in source:
        return True
    names = (str(source.get(name, "")) for name in ("hub", "file", "path"))
    return model["quantization"] is not None or any(map(_QUANTIZED.search, names))
