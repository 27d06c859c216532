"""What addresses a request, how it is sampled, and which models are refused before an engine starts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from snakeval.answering import request_hash
from snakeval.checkpoint import check
from snakeval.engine import vllm_log
from snakeval.errors import EngineError
from snakeval.generation import Generation, generate, sampling_parameters
from snakeval.prompts import Rendered
from snakeval.records import Sample, read_json, write_json
from snakeval.registry import Pair, Run
from snakeval.registry.spec import prompt_tokens
from unit.test_plan import make_run

WEIGHTS = [{"source": "a", "dtype": "bfloat16", "quantization": None}, 1, "commit1"]
GREEDY: dict[str, Any] = {"temperature": 0.0, "top_p": 1.0}


def test_an_equal_request_has_an_equal_hash() -> None:
    first = request_hash(WEIGHTS, [1, 2], {"temperature": 0.0, "top_p": 1.0}, ["d", "s", 0])
    second = request_hash(WEIGHTS, [1, 2], {"top_p": 1.0, "temperature": 0.0}, ["d", "s", 0])
    assert first == second
    assert len(first) == 24


@pytest.mark.parametrize(
    ("weights", "token_ids", "sampling", "sample"),
    [
        ([{**WEIGHTS[0], "quantization": "awq"}, 1, "commit1"], [1, 2], GREEDY, ["d", "s", 0]),
        ([{**WEIGHTS[0], "dtype": "float16"}, 1, "commit1"], [1, 2], GREEDY, ["d", "s", 0]),
        ([{**WEIGHTS[0], "source": "b"}, 1, "commit1"], [1, 2], GREEDY, ["d", "s", 0]),
        ([WEIGHTS[0], 2, "commit1"], [1, 2], GREEDY, ["d", "s", 0]),
        ([WEIGHTS[0], 1, "commit2"], [1, 2], GREEDY, ["d", "s", 0]),
        (WEIGHTS, [1, 3], GREEDY, ["d", "s", 0]),
        (WEIGHTS, [1, 2], {**GREEDY, "temperature": 0.1}, ["d", "s", 0]),
        (WEIGHTS, [1, 2], GREEDY, ["other", "s", 0]),
        (WEIGHTS, [1, 2], GREEDY, ["d", "t", 0]),
        (WEIGHTS, [1, 2], GREEDY, ["d", "s", 1]),
    ],
)
def test_everything_an_answer_depends_on_is_in_the_hash(
    weights: Any, token_ids: list[int], sampling: dict[str, Any], sample: list[Any]
) -> None:
    base = request_hash(WEIGHTS, [1, 2], GREEDY, ["d", "s", 0])
    assert request_hash(weights, token_ids, sampling, sample) != base


def model(**sampling: float) -> dict[str, Any]:
    return {
        "endpoint": None,
        "prompt_style": "chat",
        "sampling": {"temperature": 0.0, "top_p": 1.0} | sampling,
        "thinking_tokens": None,
        "stop": [],
    }


DATASET: dict[str, Any] = {
    "max_tokens": 64,
    "stop": {"chat": ["END"], "completion": ["\ndef"]},
    "continuation": None,
    "temperature": None,
    "turns": None,
}


def sample(name: str, **inputs: Any) -> Sample:
    return {"id": name, "inputs": inputs, "target": None, "metadata": {}}


def test_a_dataset_may_set_the_temperature_by_an_input() -> None:
    dataset = {**DATASET, "temperature": {"by": "category", "values": {"writing": 0.7}}}
    writing = sampling_parameters(model(), dataset, 0, sample("s", category="writing"), 0)
    other = sampling_parameters(model(), dataset, 0, sample("s", category="math"), 0)
    assert (writing["temperature"], other["temperature"]) == (0.7, 0.0)
    assert "seed" in writing
    assert "seed" not in other


def test_thoughts_get_tokens_of_their_own_and_leave_room_for_the_prompt() -> None:
    thinking = model() | {"thinking_tokens": 1000, "max_model_len": 2064}
    assert sampling_parameters(thinking, DATASET, 0, sample("s"), 0)["max_tokens"] == 1064
    assert prompt_tokens(thinking, DATASET) == 1000
    short = thinking | {"max_model_len": 564}  # half of what the answer leaves stays for the prompt
    assert prompt_tokens(short, DATASET) == 250
    assert prompt_tokens(model() | {"max_model_len": 564}, DATASET) == 500


def test_a_thought_ends_where_the_context_does() -> None:
    thinking = model() | {"thinking_tokens": 1000, "max_model_len": 200}
    pair = Pair("m", "d", "0" * 12, "1" * 12, 0)
    work = Generation(Run({"m": thinking}, {"d": DATASET}, (pair,), {"seed": 0}), pair)
    work._weights = WEIGHTS
    for prompt, room in ((50, 150), (150, 50)):
        rendered = Rendered("", [1] * prompt, 0)
        assert work._request(sample("s"), 0, rendered, []).sampling["max_tokens"] == room


def test_greedy_requests_carry_no_seed() -> None:
    sampling = sampling_parameters(model(), DATASET, 0, sample("s"), 0)
    assert sampling == {"temperature": 0.0, "top_p": 1.0, "max_tokens": 64, "stop": ["END"]}


def test_sampled_requests_have_seeds_of_their_own() -> None:
    def seed(number: int, name: str, *rest: int) -> int:
        sampling = sampling_parameters(model(temperature=0.7), DATASET, number, sample(name), *rest)
        return int(sampling["seed"])

    seeds = {seed(0, "s", 0), seed(0, "s", 1), seed(0, "t", 0), seed(1, "s", 0), seed(0, "s", 0, 1)}
    assert len(seeds) == 5
    assert seed(0, "s", 0) == seed(0, "s", 0)


@pytest.mark.parametrize(
    "config", [{"max_position_embeddings": 512}, {"text_config": {"max_position_embeddings": 512}}]
)
def test_a_context_longer_than_the_model_is_refused(tmp_path: Path, config: dict[str, Any]) -> None:
    (tmp_path / "config.json").write_text(json.dumps(config))
    check("m", {"max_model_len": 512, "engine_arguments": {}}, tmp_path)
    check("m", {"max_model_len": 999, "engine_arguments": {"hf_overrides": {"x": 1}}}, tmp_path)
    with pytest.raises(
        EngineError, match=r"model m: max_model_len: got 513; expected at most 512 tokens"
    ):
        check("m", {"max_model_len": 513, "engine_arguments": {}}, tmp_path)


FIRST_START = """\
(EngineCore pid=1) INFO core.py:116 Initializing a V1 LLM engine (v0.26.0) with config: …
(EngineCore pid=1) INFO auto_awq.py:473 Using MacheteLinearKernel for AutoAWQMarlinLinearMethod
(EngineCore pid=1) INFO model_runner.py:305 Model loading took 5.82 GiB and 2.684339 seconds
(EngineCore pid=1) INFO backends.py:1155 Dynamo bytecode transform time: 12.63 s
(EngineCore pid=1) INFO decorators.py:708 saved AOT compiled function to /cache/model
(EngineCore pid=1) INFO monitor.py:53 torch.compile took 42.66 s in total
(EngineCore pid=1) INFO monitor.py:81 Initial profiling/warmup run took 0.82 s
(EngineCore pid=1) INFO model_runner.py:747 Graph capturing finished in 6 secs, took 0.63 GiB
(EngineCore pid=1) INFO core.py:340 init engine (profile, create kv cache, warmup model) took 69.80 s (compilation: …)
"""
SECOND_START = (
    FIRST_START.replace("saved AOT compiled function to", "Directly load AOT compilation from path")
    .replace("42.66", "10.06")
    .replace("69.80", "19.28")
)


def test_what_vllm_says_in_its_log(tmp_path: Path) -> None:
    """Lines as vLLM 0.26 printed them on a GPU."""
    log = tmp_path / "log"
    log.write_text(FIRST_START)
    facts = vllm_log.read(log)
    assert facts["weights_bytes"] == int(5.82 * 2**30)
    assert facts["kernels"] == ["MacheteLinearKernel for AutoAWQMarlinLinearMethod"]
    assert [facts[name] for name in vllm_log.SECONDS] == [2.684339, 42.66, None, 0.82, 6.0, 69.8]


def test_the_weights_of_all_gpus_count(tmp_path: Path) -> None:
    """Of two GPUs vLLM lets one say what it holds."""
    log = tmp_path / "log"
    log.write_text(FIRST_START)
    assert vllm_log.read(log, gpus=2)["weights_bytes"] == 2 * int(5.82 * 2**30)


def test_graphs_that_were_compiled_before_are_not_compiled(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text(FIRST_START + SECOND_START)
    facts = vllm_log.read(log)
    assert [facts[name] for name in vllm_log.SECONDS] == [2.684339, 0.0, 10.06, 0.82, 6.0, 19.28]


def test_the_kernel_of_packed_weights_is_told(tmp_path: Path) -> None:
    log = tmp_path / "log"
    line = "CPUWNA16LinearKernel for CompressedTensorsWNA16"
    log.write_text(FIRST_START.replace("MacheteLinearKernel for AutoAWQMarlinLinearMethod", line))
    assert vllm_log.read(log)["kernels"] == [line]


def test_a_log_that_says_nothing_gives_nulls(tmp_path: Path) -> None:
    facts = vllm_log.read(tmp_path / "none")
    nothing = dict.fromkeys(("weights_bytes", *vllm_log.SECONDS))
    assert facts == nothing | {"kernels": []}


def test_why_a_model_could_not_be_fetched_is_said_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run = make_run(models=1)
    reason = "model m0: got no network; expected one. Plug it in."
    write_json(run.model_status("m0"), {"status": "failed", "reason": reason})
    generate(run, "m0", 0, Path("status.json"), Path("requests"), Path("log"))
    pairs = read_json(Path("status.json"))["pairs"]
    assert {name: entry["reason"] for name, entry in pairs.items()} == {"d0": reason, "d1": reason}
