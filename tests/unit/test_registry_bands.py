"""Published scores: their bands, the models that they speak about, and what the registry says of them."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from snakeval.registry import checks, schema
from snakeval.registry.bands import band, quantized, references
from snakeval.registry.files import read_yaml

ROOT = Path(__file__).parents[2]
DATASETS, MODELS = (
    {
        name: schema.filled(entry, kind)
        for name, entry in read_yaml(ROOT / "config" / f"{kind}s.yaml", kind).items()
    }
    for kind in ("dataset", "model")
)
SCORE: dict[str, Any] = {
    **{"model": "M", "score": 80.0, "protocol": "P", "source": "S", "models": ["m"]},
    **{"thinking": None, "metric": None, "differs": None, "band": None},
}
MODEL: dict[str, Any] = {
    **{"source": {"hub": "org/m"}, "quantization": None, "facts": None},
    **{"thinking": None, "template_arguments": {}},
}
MARKS = {"open": "<t>", "close": "</t>"}


def test_a_band_is_the_interval_of_the_difference_of_two_numbers() -> None:
    found = band(SCORE, 10_000)
    assert found is not None
    half = 1.959964 * math.sqrt(2 * 0.8 * 0.2 / 10_000)
    assert found == (pytest.approx(0.8 - half, abs=3e-4), pytest.approx(0.8 + half, abs=3e-4))
    few = band(SCORE, 100)
    assert few is not None
    assert few[0] < found[0] < 0.8 < found[1] < few[1]


def test_quantized_weights_get_four_points_and_a_stated_band_holds() -> None:
    plain, wider = band(SCORE, 500), band(SCORE, 500, is_quantized=True)
    assert plain is not None
    assert wider == (pytest.approx(plain[0] - 0.04), pytest.approx(plain[1] + 0.04))
    assert band({**SCORE, "score": 0.5}, 100, is_quantized=True)[0] == 0.0  # type: ignore[index]
    assert band({**SCORE, "score": 99.5}, 100, is_quantized=True)[1] == 1.0  # type: ignore[index]
    assert band({**SCORE, "band": [70, 85]}, None, is_quantized=True) == (0.7, 0.85)
    assert band(SCORE, None) is None


@pytest.mark.parametrize(
    ("keys", "is_quantized"),
    [
        ({}, False),
        ({"source": {"hub": "Qwen/Qwen3-8B-AWQ"}}, True),
        ({"source": {"hub": "org/m-AWQ-4bit"}}, True),
        ({"source": {"hub": "org/m-INT4"}}, True),
        ({"source": {"hub": "org/m.w4a16"}}, True),
        ({"source": {"package": "p==1", "file": "p/m.Q4_1.gguf"}}, True),
        ({"source": {"hub": "org/model-4b-instruct"}}, False),
        ({"source": {"hub": "org/m-8B"}}, False),
        ({"quantization": "bitsandbytes"}, True),
        ({"source": {"quantize": {"model": "m"}}}, True),
        ({"source": None, "endpoint": {"model": "m"}}, False),
        ({"facts": {"format": "bf16"}, "source": {"hub": "org/awq-trained-elsewhere"}}, False),
        ({"facts": {"format": "compressed-tensors"}}, True),
    ],
)
def test_quantized_weights_are_known(keys: dict[str, Any], is_quantized: bool) -> None:
    assert quantized(MODEL | keys) == is_quantized


def test_a_score_speaks_about_models_by_name_and_by_whether_they_think() -> None:
    published = [
        SCORE,
        {**SCORE, "models": ["other"], "score": 1.0},
        {**SCORE, "thinking": True, "score": 90.0, "metric": "loose"},
        {**SCORE, "thinking": False, "score": 70.0},
    ]
    dataset = {"metric": "strict", "about": {"rows": 100, "published": published}}
    plain = list(references(dataset, "m", MODEL))
    assert [(one.score, one.metric) for one in plain] == [(0.8, "strict"), (0.7, "strict")]
    thinking = list(references(dataset, "m", MODEL | {"thinking": MARKS}))
    assert [(one.score, one.metric) for one in thinking] == [(0.8, "strict"), (0.9, "loose")]
    assert list(references({"metric": "strict", "about": None}, "m", MODEL)) == []


@pytest.mark.parametrize("stated", [[70.0], [85.0, 90.0], [90.0, 70.0], [1.0, 2.0, 3.0]])
def test_a_band_that_does_not_hold_its_score_is_named(stated: list[float]) -> None:
    entry = schema.filled(DATASETS["gsm8k"], "dataset")
    entry["about"] = {**entry["about"], "published": [{**SCORE, "band": stated}]}
    (error,) = checks.dataset(entry, "datasets.gsm8k")
    assert str(error) == (
        f"datasets.gsm8k.about.published[0].band: got {stated}; expected two numbers around the score 80, "
        "the lower one first. Correct it, or leave it out."
    )


@pytest.mark.parametrize("name", DATASETS)
def test_published_scores_speak_about_models_of_the_registry(name: str) -> None:
    entry = DATASETS[name]
    for score in entry["about"]["published"]:
        assert set(score["models"]) <= set(MODELS)
        assert not (set(score) - set(SCORE))
        for model in score["models"]:
            # A reference must be able to flag something.
            found = band(score, entry["about"]["rows"], quantized(MODELS[model]))
            assert found is not None
            assert found[0] <= score["score"] / 100 <= found[1]
            assert found[1] - found[0] < 0.4
