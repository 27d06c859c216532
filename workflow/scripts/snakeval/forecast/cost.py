"""Seconds and joules of an engine start: from earlier starts, else from a benchmark, else from a roofline.

The roofline adds up, for each step of a batch: bytes read (weights, KV cache) at the memory's speed, arithmetic
at the processor's, and the time to launch each layer. Speeds are those of the makers' data sheets; EFFICIENCY,
LAUNCH_S, HOST_S and EXPERT_FLOPS were fitted to docs/h100.md, whose 20 measurements at fixed lengths on an H200 it
gives within 15 %.
What was measured earlier corrects it: the same sum is done for what was asked then, and the quotient of
measured and computed carries over to other lengths, batches and GPUs.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from snakeval import parallel
from snakeval.forecast import Estimate, history
from snakeval.forecast.shape import Shape

EFFICIENCY = 0.9
EXPERT_FLOPS = 0.3  # share of the arithmetic speed that mixtures of experts reach
LAUNCH_S = {
    False: 0.05e-3,
    True: 0.088e-3,
}  # a layer and step: plain 16-bit weights; quantised or with experts
PREFILL = 16384  # tokens of prompts in one step, the engine's default
HOST_S = 0.03e-3  # what Python takes in a step for each stream; only very small models wait for it
TAIL = 3  # the longest answer is about so many times the mean
# Without a measurement of the model: how far the roofline may be off.
ROOFLINE_SPREAD, BENCHMARK_SPREAD, FEW_SPREAD = 1.6, 1.25, 1.25
CPU_SPREAD = 3.0


class Hardware(NamedTuple):
    """A kind of device; the numbers of GPUs are those of the makers' data sheets.

    Attributes:
        name: a part of the name that NVML gives.
        bandwidth: of its memory, bytes/s.
        flops: 16-bit matrix operations/s, without sparsity.
        watts: at most; None where energy is not measured.
        memory_gb: in the makers' units.
    """

    name: str
    bandwidth: float
    flops: float
    watts: float | None
    memory_gb: float


GPUS = (
    Hardware("GH200", 4.0e12, 989e12, 900, 96),
    Hardware("H200", 4.8e12, 989e12, 700, 141),
    Hardware("H100 NVL", 3.9e12, 835e12, 400, 94),
    Hardware("H100 PCIe", 2.0e12, 756e12, 350, 80),
    Hardware("H100", 3.35e12, 989e12, 700, 80),
    Hardware("A100", 2.0e12, 312e12, 400, 80),
    Hardware("L40S", 0.864e12, 362e12, 350, 48),
    Hardware("RTX 4090", 1.01e12, 165e12, 450, 24),
    Hardware("RTX 5090", 1.79e12, 210e12, 575, 32),
)
ASSUMED = next(gpu for gpu in GPUS if gpu.name == "H100")
# Two cores: SmolLM2-135M answered HumanEval on them at 190 tokens/s (README.md).
CPU = Hardware("CPU", 20e9, 0.1e12, None, 0)

# Of docs/h100.md: import and start together, cold and with a compile cache, of an AWQ model of 8 to 30 billion.
START_S = {"cuda": (110.0, 60.0, 220.0), "cpu": (40.0, 10.0, 120.0)}
START_WATTS = (115.0, 105.0, 125.0)
# Shares of the GPU's watts while it answers with 8 to 256 streams.
ANSWER_WATTS = (0.7, 0.43, 0.98)


class Load(NamedTuple):
    """What an engine is asked.

    Attributes:
        requests: how many.
        prompt_tokens: of all of them.
        completion_tokens: of all of them.
        longest: tokens of the longest answer.
        streams: how many are worked on at once, at most.
    """

    requests: float
    prompt_tokens: float
    completion_tokens: float
    longest: float
    streams: float


@dataclass(frozen=True)
class Cost:
    """What an engine start takes; None is not known."""

    start_s: Estimate
    answer_s: Estimate | None
    start_joules: Estimate | None
    joules: Estimate | None


def hardware(name: str | None) -> Hardware:
    """Return what is known of a GPU; of one that is not known, what an H100 does."""
    return next((gpu for gpu in GPUS if gpu.name in (name or "")), ASSUMED)


def roofline(shape: Shape, device: Hardware, load: Load, gpus: int = 1) -> float:
    """Return the seconds in which a model answers; see the module."""
    if not load.requests:
        return 0.0
    streams = max(1.0, min(load.streams, load.requests))
    mean = load.completion_tokens / load.requests
    length = load.prompt_tokens / load.requests + mean / 2
    launch = shape.layers * LAUNCH_S[shape.slow]
    flops = device.flops * (EXPERT_FLOPS if shape.experts else 1.0) * gpus
    bandwidth = device.bandwidth * gpus

    def step(tokens: float) -> float:
        read = shape.read(tokens) + tokens * shape.kv_bytes(int(length))
        whole = read / bandwidth + 2 * shape.active * tokens / flops + launch
        return max(whole, HOST_S * tokens)

    steps = load.completion_tokens / streams
    tail = max(0.0, min(load.longest, TAIL * mean) - mean)  # the longest answers end alone
    prefill = 2 * shape.active * load.prompt_tokens / flops
    chunks = math.ceil(load.prompt_tokens / PREFILL)
    first = chunks * (shape.read(PREFILL) / bandwidth + launch)
    return (steps * step(streams) + tail * step(1) + prefill + first) / EFFICIENCY


def forecast(
    model: str,
    entry: Mapping[str, Any],
    shape: Shape | None,
    load: Load,
    device: str,
    gpu: str | None,
    root: Path = Path(),
) -> Cost:
    """Return what an engine start will take.

    Args:
        model: the model.
        entry: its registry entry.
        shape: its shape; None where nothing is known, and only earlier starts count.
        load: what it will be asked.
        device: "cuda" or "cpu".
        gpu: the name of the GPU; None stands for an H100.
        root: the working directory.
    """
    kind = hardware(gpu) if device == "cuda" else CPU
    earlier = history.starts(model, device, gpu, root)
    gpus = parallel.gpus(entry) if device == "cuda" else 1
    seconds = _answering(model, shape, load, kind, gpus, earlier, root)
    start = _spread(
        [found for one in earlier[-3:] if (found := one.start_s) is not None], _where(earlier)
    ) or Estimate(*START_S[device], "docs/h100.md" if device == "cuda" else "README.md")
    if kind.watts is None:
        return Cost(start, seconds, None, None)
    started = _spread(_numbers(earlier[-3:], "start_joules"), _where(earlier))
    watts = _spread(
        [joules / used for one in earlier if (joules := one.number("joules"))
         and (used := one.number("generate_s"))],
        _where(earlier),
    )  # fmt: skip
    share = Estimate(*ANSWER_WATTS, "docs/h100.md").times(kind.watts * gpus)
    return Cost(
        start,
        seconds,
        started or _times(start, Estimate(*START_WATTS, "docs/h100.md").times(gpus)),
        _times(seconds, watts or share) if seconds else None,
    )


def _answering(
    model: str,
    shape: Shape | None,
    load: Load,
    kind: Hardware,
    gpus: int,
    earlier: Sequence[history.Start],
    root: Path,
) -> Estimate | None:
    if shape is None:
        rates = [
            seconds / tokens
            for one in earlier
            if (tokens := one.number("completion_tokens")) and (seconds := one.number("generate_s"))
        ]
        rate = _spread(rates, _where(earlier))
        return rate.times(load.completion_tokens) if rate and load.completion_tokens else None
    computed = roofline(shape, kind, load, gpus)
    quotients = list(_quotients(shape, kind, gpus, load, earlier))
    if found := _spread(quotients, _where(earlier)):
        return found.times(computed)
    if kind is not CPU and (record := history.benchmarks(model, root)) is not None:
        quotient = _benchmarked(shape, gpus, load, record)
        low, high = quotient / BENCHMARK_SPREAD, quotient * BENCHMARK_SPREAD
        return Estimate(quotient, low, high, "benchmark of this model").times(computed)
    spread = CPU_SPREAD if kind is CPU else ROOFLINE_SPREAD
    source = f"roofline of {'an ' if kind is ASSUMED else ''}{kind.name}"
    return Estimate(1.0, 1 / spread, spread, source).times(computed)


def _quotients(
    shape: Shape, kind: Hardware, gpus: int, load: Load, earlier: Sequence[history.Start]
) -> Iterator[float]:
    """Yield measured by computed seconds of earlier starts."""
    for one in earlier:
        seconds, requests = one.number("generate_s"), one.number("requests")
        if seconds is None or requests is None:
            continue
        tokens = one.number("completion_tokens") or 0.0
        planned = one.record.get("forecast") or {}
        prompts = one.number("prompt_tokens")
        if prompts is None and planned.get("requests"):
            # Of what was planned a start that was stopped has answered a part.
            prompts = planned["prompt_tokens"] * requests / planned["requests"]
        if prompts is None:  # not written down by earlier versions
            prompts = requests * load.prompt_tokens / max(load.requests, 1)
        asked = Load(requests, prompts, tokens, load.longest, load.streams)
        device = kind if kind is CPU else hardware(one.gpu)
        if computed := roofline(shape, device, asked, gpus):
            yield seconds / computed


def _benchmarked(shape: Shape, gpus: int, load: Load, record: Mapping[str, Any]) -> float:
    """Return measured by computed seconds of a benchmark, at the number of streams that is nearest."""
    streams = min(load.streams, max(load.requests, 1))
    point = min(
        record["points"], key=lambda point: abs(math.log(point["streams"]) - math.log(streams))
    )
    device = hardware((record.get("gpu") or {}).get("name"))
    return float(point["seconds"]) / roofline(shape, device, point_load(point), gpus)


def point_load(point: Mapping[str, Any]) -> Load:
    """Return what was asked at one point of a benchmark; all its answers are of one length."""
    tokens = point["output_tokens"]
    answers = point["answers"]
    return Load(answers, point["prompt_tokens"], tokens, tokens / answers, point["streams"])


def _numbers(earlier: Sequence[history.Start], name: str) -> list[float]:
    return [value for one in earlier if (value := one.number(name)) is not None]


def _where(earlier: Sequence[history.Start]) -> str:
    places = dict.fromkeys(one.gpu or "the CPU" for one in earlier)
    return f"{len(earlier)} earlier start{'' if len(earlier) == 1 else 's'} on {', '.join(places)}"


def _spread(values: Sequence[float], source: str) -> Estimate | None:
    """Return the median of measured values and their range, which is wider where they are few."""
    if not values:
        return None
    middle = statistics.median(values)
    low, high = min(*values, middle / FEW_SPREAD), max(*values, middle * FEW_SPREAD)
    return Estimate(middle, low, high, source)


def _times(one: Estimate, other: Estimate) -> Estimate:
    sources = "; ".join(dict.fromkeys((one.source, other.source)))
    return Estimate(one.value * other.value, one.low * other.low, one.high * other.high, sources)
