"""Memory, time and energy before an engine is started: hand-made cases, and what was measured on H100 and H200."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from snakeval import answering
from snakeval.engine import EngineSettings
from snakeval.forecast import Estimate, cost, history, memory, shape, starts
from snakeval.records import canonical_json, write_json, write_jsonl, write_text
from snakeval.registry import Run

ROOT = Path(__file__).parents[2]
CONFIGS = ROOT.parent / "shared" / "bench" / "configs"
H200 = 139.81 * memory.GIB  # what CUDA says of it
# docs/h100.md, of an H200: GiB of weights, and tokens in the KV cache.
REPORTED = {
    ("qwen3_8b", "config-awq.json"): (5.82, 860_800),
    ("qwen3_8b", "config.json"): (15.27, 791_792),
    ("qwen3_14b", "config-awq.json"): (9.62, 746_176),
    ("qwen3_coder_30b", "config-awq.json"): (15.76, 1_174_720),
    ("deepseek_coder_16b", "config-awq.json"): (8.69, None),
    ("deepseek_coder_16b", "config.json"): (29.34, None),
    ("codestral_22b", "config-awq.json"): (11.58, 523_808),
    ("codestral_22b", "config.json"): (41.45, None),
}
# The same: output tokens/s with 1, 8, 64 and 256 streams of 256 tokens of prompt and 256 of answer.
BENCHMARKED = {
    ("qwen3_8b", "config-awq.json"): (222, 1657, 7710, 14105),
    ("qwen3_8b", "config.json"): (190, 1391, 7955, 13782),
    ("qwen3_14b", "config-awq.json"): (165, 1226, 5499, 9567),
    ("qwen3_coder_30b", "config-awq.json"): (212, 1131, 5048, 11182),
    ("codestral_22b", "config-awq.json"): (120, 884, 3748, 6398),
}
# The same, measured after the roofline was fitted: 1,000 prompts at once.
AT_ONCE = {
    ("qwen3_8b", "config-awq.json"): 14023,
    ("qwen3_14b", "config-awq.json"): 9444,
    ("qwen3_coder_30b", "config-awq.json"): 11169,
    ("deepseek_coder_16b", "config-awq.json"): 17321,
    ("deepseek_coder_16b", "config.json"): 17012,
    ("codestral_22b", "config-awq.json"): 6322,
    ("codestral_22b", "config.json"): 5653,
}
PUBLISHED = {  # parameters, as the configurations' README counts them, norms of heads apart
    "qwen3_8b": 8_190_735_360,
    "qwen3_14b": 14_768_307_200,
    "qwen3_coder_30b": 30_532_122_624,
    "deepseek_coder_16b": 15_706_484_224,
    "codestral_22b": 22_247_282_688,
}
LLAMA: dict[str, Any] = {
    "model_type": "llama",
    "hidden_size": 8,
    "intermediate_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 10,
    "max_position_embeddings": 64,
}


def entry(**changes: Any) -> dict[str, Any]:
    limits = {"gpu_memory_utilization": 0.9, "max_num_seqs": 256, "max_num_batched_tokens": 16384}
    return {
        "dtype": "auto",
        "quantization": None,
        "max_model_len": 8192,
        "gpus": 1,
        "engine_arguments": {},
        "engine_limits": limits,
        "facts": None,
    } | changes


def made(config: dict[str, Any], **changes: Any) -> shape.Shape:
    return shape.of_config(entry(**changes), config, "config.json")


def true_shape(folder: str, file: str = "config.json") -> shape.Shape:
    path = CONFIGS / folder / file
    if not path.exists():
        pytest.skip(f"needs ../shared/bench/configs/{folder}/{file}")
    return made(json.loads(path.read_text()))


def rate(its_shape: shape.Shape, streams: int, answers: int) -> float:
    """Return the computed tokens/s of an H200 on prompts and answers of 256 tokens."""
    load = cost.Load(answers, 256 * answers, 256 * answers, 256, streams)
    return 256 * answers / cost.roofline(its_shape, cost.hardware("NVIDIA H200"), load)


# Towers as in the makers' config.json, and the parameters of the same language model without one, in billions.
VISION = [
    (
        "qwen2_vl_7b",
        7.62,
        {
            **{
                "depth": 32,
                "embed_dim": 1280,
                "hidden_size": 3584,
                "mlp_ratio": 4,
                "num_heads": 16,
            },
            **{"patch_size": 14, "spatial_merge_size": 2, "temporal_patch_size": 2},
        },
    ),
    (
        "qwen25_vl_7b",
        7.62,
        {
            **{
                "model_type": "qwen2_5_vl",
                "depth": 32,
                "hidden_size": 1280,
                "out_hidden_size": 3584,
            },
            **{"intermediate_size": 3420, "patch_size": 14, "spatial_merge_size": 2},
            "temporal_patch_size": 2,
        },
    ),
    (
        "qwen3_vl_8b",
        8.19,
        {
            **{
                "depth": 27,
                "hidden_size": 1152,
                "intermediate_size": 4304,
                "out_hidden_size": 4096,
            },
            **{"patch_size": 16, "spatial_merge_size": 2, "temporal_patch_size": 2},
            **{"num_position_embeddings": 2304, "deepstack_visual_indexes": [8, 16, 24]},
        },
    ),
]


class TestShape:
    def test_a_small_decoder_by_hand(self) -> None:
        found = made(LLAMA)
        attention = 2 * 8 * 2 * (4 + 2)  # q and o of 4 heads, k and v of 2, of size 2
        dense = 2 * (attention + 3 * 8 * 16) + 10 * 8 + 2 * 2 * 8 + 8  # lm_head and norms
        assert found.dense == 2 * dense
        assert found.weights == 2 * (dense + 10 * 8)  # embeddings too
        assert found.caches == ((2 * 2 * 2 * 2, None),) * 2
        assert found.kv_per_token == 32
        assert found.context == 64
        assert not found.slow

    def test_tied_embeddings_lie_there_once(self) -> None:
        tied = made(LLAMA | {"tie_word_embeddings": True})
        assert tied.weights == made(LLAMA).weights - 2 * 10 * 8

    def test_awq_by_hand(self) -> None:
        quantised = {"quant_method": "awq", "bits": 4, "group_size": 8, "zero_point": True}
        plain, found = made(LLAMA), made(LLAMA | {"quantization_config": quantised})
        linear = 2 * (192 + 384)
        # 4 bits, a scale and a zero point of 16 bits for each 8
        assert plain.weights - found.weights == linear * 2 - linear * (4 + 2 + 2) / 8
        assert found.slow

    def test_a_cache_of_8_bits_takes_half(self) -> None:
        assert made(LLAMA, engine_arguments={"kv_cache_dtype": "fp8"}).kv_per_token == 16

    @pytest.mark.parametrize(
        ("changes", "windows"),
        [
            ({"sliding_window": 16}, [16, 16]),
            ({"sliding_window": 16, "use_sliding_window": False}, [None, None]),
            ({"sliding_window": None}, [None, None]),
            ({"sliding_window": 16, "model_type": "gemma2"}, [16, None]),
            (
                {"sliding_window": 16, "layer_types": ["full_attention", "sliding_attention"]},
                [None, 16],
            ),
            ({"layer_types": ["linear_attention", "full_attention"]}, [None]),
        ],
    )
    def test_windows(self, changes: dict[str, Any], windows: list[int | None]) -> None:
        found = made(LLAMA | changes)
        assert [window for _, window in found.caches] == windows
        kept = sum(min(40, window or 40) for window in windows)
        assert found.kv_bytes(40) == 16 * kept

    def test_experts_that_a_step_reads(self) -> None:
        config = LLAMA | {
            **{"model_type": "qwen3_moe", "num_experts": 8, "num_experts_per_tok": 2},
            **{"moe_intermediate_size": 4, "mlp_only_layers": [0]},
        }
        found = made(config)
        assert found.experts == 2 * 8 * 3 * 8 * 4  # in one of the two layers
        assert found.read(1) == found.dense + found.experts / 4
        assert found.read(2) == found.dense + found.experts * (1 - 0.75**2)
        assert found.active < made(LLAMA).active

    def test_an_uncounted_architecture_has_the_size_of_its_files(self) -> None:
        config = LLAMA | {"model_type": "gpt_new"}
        found = shape.of_config(entry(), config, "config.json", stored=4096)
        assert found.weights == 4096
        assert found.source == "config.json and the size of the weight files"
        with pytest.raises(ValueError, match="gpt_new"):
            shape.of_config(entry(), config, "config.json")

    @pytest.mark.parametrize(("name", "plain", "vision"), VISION)
    def test_a_vision_tower_has_the_size_that_the_makers_state(
        self, name: str, plain: float, vision: dict[str, Any]
    ) -> None:
        models = yaml.safe_load((ROOT / "config/models.yaml").read_text())
        stated = models[name]["facts"]["parameters"] - plain
        config = {"hidden_size": 3584, "vision_config": vision}
        assert shape.vision_parameters(config) / 1e9 == pytest.approx(stated, abs=0.01)

    def test_clip_and_a_projector(self) -> None:
        """The tower of LLaVA 1.5 7B: 0.3 billion parameters, and two layers that join it."""
        vision = {"hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24}
        found = shape.vision_parameters({"hidden_size": 4096, "vision_config": vision})
        assert found / 1e6 == pytest.approx(303 + 21, rel=0.01)

    def test_a_vision_tower_is_weight_that_a_step_does_not_read(self) -> None:
        vision = {"hidden_size": 8, "num_hidden_layers": 1}
        whole = {"text_config": LLAMA, "vision_config": vision}
        tower = 2 * shape.vision_parameters(whole)
        plain, found = made(LLAMA), made(whole)
        assert tower > 0
        assert (found.weights, found.dense) == (plain.weights + tower, plain.dense)
        new = LLAMA | {"model_type": "gpt_new"}
        plain = shape.of_config(entry(), new, "", stored=10**6)
        found = shape.of_config(entry(), whole | {"text_config": new}, "", stored=10**6)
        assert (found.weights, found.dense) == (plain.weights, plain.dense - tower)

    @pytest.mark.parametrize("vision", [None, 3, {}, {"depth": 2}, {"hidden_size": 9}])
    def test_a_tower_of_other_fields_counts_nothing(self, vision: Any) -> None:
        assert shape.vision_parameters(LLAMA | {"vision_config": vision}) == 0

    @pytest.mark.parametrize(
        "config",
        [None, {}, [], {"hidden_size": "x"}, {"text_config": 3}, LLAMA | {"hidden_size": math.inf}],
    )
    def test_what_is_no_configuration_leaves_the_facts(self, config: Any) -> None:
        assert starts.shape_of(entry(), config, "config.json", None) is None
        facts = {
            **{"format": "AWQ", "parameters": 8.0, "active": None, "weights_gb": 6.0},
            **{"kv_bytes_per_token": 1001, "context": 4096},
        }
        found = starts.shape_of(entry(facts=facts), config, "config.json", None)
        assert found is not None
        assert (found.weights, found.kv_per_token, found.active) == (6_000_000_000, 1001, 8e9)
        assert found.source == "the registry's facts"

    @pytest.mark.parametrize("folder", PUBLISHED)
    def test_true_configurations_have_the_published_parameters(self, folder: str) -> None:
        assert true_shape(folder).weights / 2 == pytest.approx(PUBLISHED[folder], rel=5e-3)

    @pytest.mark.parametrize(
        ("folder", "bytes_a_token"),
        [("qwen3_8b", 147456), ("codestral_22b", 229376), ("deepseek_coder_16b", 31104)],
    )
    def test_true_configurations_have_the_known_caches(
        self, folder: str, bytes_a_token: int
    ) -> None:
        assert true_shape(folder).kv_per_token == bytes_a_token


class TestMemory:
    @pytest.mark.parametrize("name", REPORTED, ids=" ".join)
    def test_weights_and_cache_are_what_vllm_reported(self, name: tuple[str, str]) -> None:
        weights, tokens = REPORTED[name]
        found = memory.fit(entry(), true_shape(*name), H200)
        assert found.weights / memory.GIB == pytest.approx(weights, rel=0.03)
        assert tokens is None or found.kv_tokens == pytest.approx(tokens, rel=0.02)
        assert found.fits

    def test_by_hand(self) -> None:
        small = made(LLAMA)
        limits = entry()["engine_limits"] | {"gpu_memory_utilization": 0.5}
        one = entry(max_model_len=64, engine_limits=limits)
        activations = 16384 * (3 * 8 + 3 * 16) * 2
        left = 1000 * 32 * 64
        size = 2 * (small.weights + activations + memory.FIXED + left)
        found = memory.fit(one, small, size)
        assert found.kv_tokens == pytest.approx(64_000, abs=1)
        assert found.streams == pytest.approx(1000, rel=1e-3)
        assert found.fix is None

    def test_a_context_that_is_too_long_says_how_long_it_may_be(self) -> None:
        nemo = made(LLAMA | {"max_position_embeddings": 10**9})
        one = entry(max_model_len=10**8)
        found = memory.fit(one, nemo, 2 * memory.GIB)
        assert not found.fits
        assert found.fix is not None
        longest = int(re.search(r"lower max_model_len to (\d+)", found.fix)[1])  # type: ignore[index]
        assert memory.fit(one | {"max_model_len": longest}, nemo, 2 * memory.GIB).fits
        assert not memory.fit(one | {"max_model_len": longest + 256}, nemo, 2 * memory.GIB).fits
        assert "gpus: 2" not in found.fix.split(" or ")[0]

    def test_weights_that_are_too_large_want_more_gpus_or_an_awq_copy(self) -> None:
        large = made(LLAMA | {"hidden_size": 8192, "intermediate_size": 28672, "vocab_size": 128256,
                              "num_hidden_layers": 80, "num_attention_heads": 64,
                              "num_key_value_heads": 8})  # fmt: skip
        found = memory.fit(entry(), large, 79 * memory.GIB)
        assert found.kv_tokens == 0
        assert found.fix == "set gpus: 2, or take an AWQ copy of the model (config/models.yaml)."
        assert large.weights == pytest.approx(141e9, rel=0.01)
        assert memory.fit(entry(gpus=2), large, 79 * memory.GIB).fits

    def test_latent_attention_lies_on_each_gpu(self) -> None:
        deepseek = true_shape("deepseek_coder_16b")
        one, two = (memory.fit(entry(gpus=n), deepseek, 79 * memory.GIB) for n in (1, 2))
        assert two.kv_per_token == 2 * one.kv_per_token

    def test_heads_are_spread_over_the_gpus(self) -> None:
        qwen = true_shape("qwen3_8b")
        one, two = (memory.fit(entry(gpus=n), qwen, 79 * memory.GIB) for n in (1, 2))
        assert two.kv_per_token == one.kv_per_token
        assert two.kv_tokens > 2 * one.kv_tokens


class TestRoofline:
    @pytest.mark.parametrize("name", BENCHMARKED, ids=" ".join)
    def test_it_gives_what_was_measured(self, name: tuple[str, str]) -> None:
        its_shape = true_shape(*name)
        for streams, measured in zip((1, 8, 64, 256), BENCHMARKED[name], strict=True):
            answers = max(4, 2 * streams)
            assert rate(its_shape, streams, answers) == pytest.approx(measured, rel=0.15)

    @pytest.mark.parametrize("name", AT_ONCE, ids=" ".join)
    def test_it_gives_what_was_measured_later(self, name: tuple[str, str]) -> None:
        assert rate(true_shape(*name), 256, 1000) == pytest.approx(AT_ONCE[name], rel=0.3)

    def test_by_hand(self) -> None:
        device = cost.Hardware("test", bandwidth=1000.0, flops=1e6, watts=None, memory_gb=1)
        small = made(LLAMA)
        one = cost.roofline(small, device, cost.Load(2, 0, 20, 10, 2))
        # Ten steps of two tokens; each request's cache holds 5 tokens on average.
        step = (small.dense + 2 * small.kv_bytes(5)) / 1000 + 4 * small.active / 1e6
        assert one == pytest.approx(10 * (step + 2 * cost.LAUNCH_S[False]) / cost.EFFICIENCY)
        two = cost.roofline(small, device, cost.Load(2, 0, 20, 10, 2), gpus=2)
        assert two == pytest.approx(one / 2, rel=1e-3)
        assert cost.roofline(small, device, cost.Load(0, 0, 0, 0, 2)) == 0

    def test_the_longest_answers_end_alone(self) -> None:
        device, small = cost.hardware("H100"), made(LLAMA)
        short = cost.roofline(small, device, cost.Load(100, 0, 1000, 10, 100))
        long = cost.roofline(small, device, cost.Load(100, 0, 1000, 1000, 100))
        alone = cost.roofline(small, device, cost.Load(1, 0, 20, 20, 1))
        assert long - short == pytest.approx(
            alone, rel=0.01
        )  # three times the mean, 20 tokens more

    def test_a_very_small_model_waits_for_python(self) -> None:
        device, small = cost.hardware("H100"), made(LLAMA)
        many = cost.roofline(small, device, cost.Load(256, 0, 2560, 10, 256))
        assert many == pytest.approx(10 * 256 * cost.HOST_S / cost.EFFICIENCY)

    @pytest.mark.parametrize(
        ("name", "known"),
        [
            ("NVIDIA H100 80GB HBM3", "H100"),
            ("NVIDIA H100 PCIe", "H100 PCIe"),
            ("NVIDIA H200", "H200"),
            ("NVIDIA GH200 480GB", "GH200"),
            ("Something new", "H100"),
            (None, "H100"),
        ],
    )
    def test_gpus_are_known_by_their_names(self, name: str | None, known: str) -> None:
        assert cost.hardware(name).name == known


LOAD = cost.Load(requests=10, prompt_tokens=1000, completion_tokens=5000, longest=500, streams=256)


def session(number: int, **changes: Any) -> list[dict[str, Any]]:
    name = f"2026010{number}T000000-1-1"
    start = {"event": "start", "session": name, "device": "cuda", "gpu": {"name": "NVIDIA H100"}}
    seconds = {"import": 20.0, "start": 40.0 + number, "further": 5.0}
    end = {"event": "end", "session": name, "requests": 10, "completion_tokens": 5000}
    used = {"generate_s": 4.0, "joules": 2000.0, "prompt_tokens": 1000}
    return [
        start | {"seconds": seconds, "start_joules": 9000.0},
        end | used | changes,
    ]


class TestCost:
    def forecast(self, root: Path, device: str = "cuda", **changes: Any) -> cost.Cost:
        given = {"shape": made(LLAMA), "load": LOAD, "gpu": "NVIDIA H100"} | changes
        return cost.forecast("m", entry(), device=device, root=root, **given)

    def write(self, root: Path, *sessions: list[dict[str, Any]]) -> None:
        lines = [record for one in sessions for record in one]
        write_jsonl(root / "results/journal/m.engines.jsonl", lines)

    def test_without_any_measurement_it_is_the_roofline(self, tmp_path: Path) -> None:
        found = self.forecast(tmp_path)
        assert found.answer_s is not None
        assert found.answer_s.value == cost.roofline(made(LLAMA), cost.hardware("H100"), LOAD)
        assert found.answer_s.source == "roofline of an H100"
        assert found.answer_s.low < found.answer_s.value < found.answer_s.high
        assert found.start_s == Estimate(*cost.START_S["cuda"], "docs/h100.md")
        assert found.joules is not None
        assert found.joules.value == found.answer_s.value * 700 * cost.ANSWER_WATTS[0]

    def test_earlier_starts_are_better(self, tmp_path: Path) -> None:
        self.write(tmp_path, session(1), session(2))
        found = self.forecast(tmp_path)
        assert found.answer_s is not None
        assert found.answer_s.value == pytest.approx(4.0)
        assert found.answer_s.source == "2 earlier starts on NVIDIA H100"
        assert found.start_s.value == 61.5
        assert found.start_joules is not None
        assert found.start_joules.value == 9000
        assert found.joules is not None
        assert found.joules.value == pytest.approx(2000)

    def test_an_earlier_start_stands_for_other_lengths(self, tmp_path: Path) -> None:
        self.write(tmp_path, session(1))
        twice = LOAD._replace(requests=20, prompt_tokens=2000, completion_tokens=10_000, streams=10)
        found = self.forecast(tmp_path, load=twice)
        assert found.answer_s is not None
        kind = cost.hardware("H100")
        computed = [cost.roofline(made(LLAMA), kind, one) for one in (twice, LOAD)]
        earlier = cost.roofline(made(LLAMA), kind, LOAD._replace(streams=10))
        assert found.answer_s.value == pytest.approx(4.0 * computed[0] / earlier)

    def test_starts_on_its_own_kind_of_gpu_come_before_others(self, tmp_path: Path) -> None:
        other, own = session(1), session(2)
        other[0]["gpu"] = {"name": "NVIDIA H200"}
        self.write(tmp_path, other)
        found = self.forecast(tmp_path).answer_s
        assert found is not None
        assert found.source == "1 earlier start on NVIDIA H200"
        self.write(tmp_path, other, own)
        found = self.forecast(tmp_path).answer_s
        assert found is not None
        assert found.source == "1 earlier start on NVIDIA H100"

    def test_a_start_on_another_device_says_nothing(self, tmp_path: Path) -> None:
        self.write(tmp_path, session(1))
        found = self.forecast(tmp_path, device="cpu", gpu=None)
        assert found.answer_s is not None
        assert found.answer_s.source == "roofline of CPU"
        assert found.joules is found.start_joules is None

    def test_a_start_that_measured_nothing_says_nothing(self, tmp_path: Path) -> None:
        empty = dict.fromkeys(("generate_s", "joules", "completion_tokens", "requests"))
        self.write(tmp_path, session(1, **empty))
        found = self.forecast(tmp_path)
        assert found.answer_s is not None
        assert found.answer_s.source == "roofline of an H100"
        assert found.start_s.value == 61.0

    def test_a_benchmark_is_better_than_a_roofline(self, tmp_path: Path) -> None:
        kind = cost.hardware("NVIDIA H200")
        point = {"streams": 8, "answers": 16, "prompt_tokens": 4096, "output_tokens": 4096}
        whole = cost.roofline(made(LLAMA), kind, cost.point_load(point))
        record = {
            "gpu": {"name": "NVIDIA H200"},
            "points": [point | {"seconds": 3 * whole}, point | {"streams": 512, "seconds": 1e9}],
        }
        write_json(tmp_path / "results/benchmarks/m/0.json", record)
        found = self.forecast(tmp_path)
        assert found.answer_s is not None
        assert found.answer_s.source == "benchmark of this model"
        computed = cost.roofline(made(LLAMA), cost.hardware("H100"), LOAD)
        assert found.answer_s.value == pytest.approx(3 * computed)

    def test_a_benchmark_on_a_cpu_says_nothing_of_a_gpu(self, tmp_path: Path) -> None:
        point = {"streams": 8, "answers": 16, "prompt_tokens": 4096, "output_tokens": 4096}
        record = {"gpu": None, "device": "cpu", "points": [point | {"seconds": 1e6}]}
        write_json(tmp_path / "results/benchmarks/m/0.json", record)
        found = self.forecast(tmp_path).answer_s
        assert found is not None
        assert found.source == "roofline of an H100"

    def test_of_a_start_that_was_stopped_only_what_it_was_asked_counts(
        self, tmp_path: Path
    ) -> None:
        """Its forecast was for 100,000 times as many requests."""
        stopped = session(1, prompt_tokens=None)
        planned = {"requests": 10**6, "prompt_tokens": 10**8}
        stopped.insert(
            0, {"event": "forecast", "session": stopped[0]["session"], "forecast": planned}
        )
        self.write(tmp_path, stopped)
        found = self.forecast(tmp_path).answer_s
        assert found is not None
        assert found.value == pytest.approx(4.0)

    def test_without_a_shape_only_earlier_starts_count(self, tmp_path: Path) -> None:
        assert self.forecast(tmp_path, shape=None).answer_s is None
        self.write(tmp_path, session(1))
        found = self.forecast(tmp_path, shape=None)
        assert found.answer_s is not None
        assert found.answer_s.value == pytest.approx(4.0)


class TestTokens:
    def write(self, root: Path, model: str, completions: int, answers: int = 2) -> None:
        folder = root / "results/pairs" / model / "d" / ("0" * 12)
        tokens = {"prompt": 100 * answers, "completion": completions}
        write_json(folder / "meta.json", {"tokens": tokens})
        write_text(folder / "predictions.jsonl", "{}\n" * answers)

    def test_a_dataset_that_was_never_answered(self, tmp_path: Path) -> None:
        found = starts.completion_tokens("m", "d", 1000, root=tmp_path)
        assert found[:3] == (330.0, 50.0, 1000.0)
        assert found.source == "33% of the token limit"

    def test_others_answers_and_better_its_own(self, tmp_path: Path) -> None:
        self.write(tmp_path, "other", 400)
        found = starts.completion_tokens("m", "d", 1000, root=tmp_path)
        assert found == Estimate(200.0, 100.0, 400.0, "earlier answers of other models")
        self.write(tmp_path, "m", 1200)
        found = starts.completion_tokens("m", "d", 1000, root=tmp_path)
        assert found == Estimate(600.0, 500.0, 720.0, "earlier answers of this model")

    def test_no_answer_is_longer_than_the_limit(self, tmp_path: Path) -> None:
        self.write(tmp_path, "m", 1200)
        assert starts.completion_tokens("m", "d", 500, root=tmp_path)[:3] == (500, 500 / 1.2, 500)

    def test_likelihoods_have_no_answer(self, tmp_path: Path) -> None:
        assert starts.completion_tokens("m", "d", 0, root=tmp_path).value == 0

    def test_a_broken_record_is_passed_over(self, tmp_path: Path) -> None:
        self.write(tmp_path, "m", 1200)
        write_text(tmp_path / "results/pairs/m/d/broken/meta.json", "{")
        assert len(history.answered("m", "d", tmp_path)) == 1

    def test_prompts_of_a_conversation_hold_what_was_said(self) -> None:
        assert starts.said(10, 100, 1) == 10
        assert starts.said(10, 100, 2) == 10 + (20 + 100)
        assert starts.said(10, 100, 3) == 10 + (20 + 100) + (30 + 200)


def test_a_forecast_that_cannot_be_made_fails_no_run(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: Any) -> dict[str, Any]:
        raise ZeroDivisionError("of an old record")

    monkeypatch.setattr(starts, "record", broken)
    settings = EngineSettings("", "", {}, 0, "cpu")
    made_of = answering._forecast(Run({}, {}, (), {}), "m", tmp_path, [], settings, [])
    assert made_of is None
    assert "m: no forecast" in caplog.text
    assert "of an old record" in caplog.text


def test_an_estimate_is_a_record() -> None:
    made_of = Estimate(1.0, 0.5, 2.0, "somewhere").to_json()
    assert json.loads(canonical_json(made_of)) == {
        **{"value": 1.0, "low": 0.5, "high": 2.0},
        "source": "somewhere",
    }
