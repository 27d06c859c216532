"""What answers took: speed, memory, energy and cost of each pair and each model, and what the report says of it.

An engine answers all pairs of its model in one batch, so what it took has to be divided. A pair's share of an
engine's work is its share of the stream-seconds: the latencies of its answers by those of all answers of that
engine. So a pair with long answers bears more than one with short ones, and what idle streams cost is borne
by all. It is an estimate: reading a prompt keeps the GPU busier than writing for as long does.

The start of an engine is paid once, however much is answered; it is told apart, and is in no cost per token or answer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from snakeval.records import Prediction, Timing
from snakeval.speed import PERCENTILES, Stream, cost, percentile

if TYPE_CHECKING:
    from snakeval.registry import Pair

Meta = Mapping[str, Any]

TIMES = (
    *(f"{time}_p{percent}_s" for time in ("ttft", "inter_token") for percent in PERCENTILES),
    *("prefill_tokens_per_s", "decode_tokens_per_s"),  # of one stream, the median
)
MEMORY = ("weights_memory_bytes", "peak_memory_bytes", "kv_cache_tokens")
POWER = ("utilization_percent", "power_w", "peak_power_w")
SHARE = (
    *("answering_s", "start_joules", "joules", "joules_per_1000_tokens", "joules_per_correct"),
    *("start_cost", "answering_cost", "cost_per_1000_tokens", "cost_per_correct"),
)
PAIR_COLUMNS = (
    *("model", "dataset", "key", "requests", "prompt_tokens", "completion_tokens", "hidden_tokens"),
    *(
        "correct",
        "output_tokens_per_s",
        *(f"latency_p{percent}_s" for percent in PERCENTILES),
        *TIMES,
    ),
    *("start_s", "compile_s", "load_s", "generate_s", *MEMORY, *POWER, *SHARE, "gpu"),
)
MODEL_COLUMNS = (
    *("model", "pairs", "engine_starts", "requests"),
    *("prompt_tokens", "completion_tokens", "hidden_tokens", "correct"),
    *("output_tokens_per_s", *TIMES),
    *("import_s", "start_s", "compile_s", "load_s", "generate_s"),
    *(*MEMORY, *POWER, *SHARE, "device", "gpus", "gpu"),
)


@dataclass(frozen=True)
class Answered:
    """A pair's answers, as far as what they took goes.

    Args:
        pair: the pair.
        meta: its meta.json.
        latencies: of each sample and repeat, in seconds; None where it was not measured.
        streams: its requests.
        correct: how many answers are correct.
    """

    pair: Pair
    meta: Meta
    latencies: Sequence[float | None]
    streams: Sequence[Stream]
    correct: int


def streams(prediction: Prediction, timing: Timing | None) -> Iterator[Stream]:
    """Yield the requests of one sample whose times are known by themselves.

    A conversation has one for each turn; records that hold no times of turns give none of several.
    """
    turns = prediction.get("turns") or [prediction]
    times = [] if timing is None else timing.get("turns") or [timing]
    if len(turns) == len(times):
        for turn, time in zip(turns, times, strict=True):
            tokens = turn["prompt_tokens"], turn["completion_tokens"]
            hidden = turn.get("hidden_tokens", 0)
            yield Stream(*tokens, time["latency_s"], time["ttft_s"], hidden)


def pair_rows(answered: Sequence[Answered], price: float | None) -> Iterator[dict[str, Any]]:
    """Yield the rows of performance.csv; columns are `PAIR_COLUMNS`, what is not known is None.

    - `hidden_tokens`: of the `completion_tokens`, those of thoughts that a server did not show. They are output, in
      `output_tokens_per_s` and in costs too; what one stream shows (`inter_token_*`, `decode_tokens_per_s`) is without.
    - `output_tokens_per_s`: see `output_rates`.
    - `latency_*`: of a sample, all its turns together; `ttft_*`, `inter_token_*`, `prefill_tokens_per_s`,
      `decode_tokens_per_s`: of its requests, as `speed.Stream` defines them. Percentiles are over answers,
      rates are medians over answers.
    - `start_s`, `compile_s`, `load_s`, `generate_s`, memory, utilisation and power: of the last engine that
      answered for the pair, all its pairs together.
    - `answering_s`, joules and costs: the pair's share of all engines that answered for it. `joules_per_…` and
      `cost_per_…` are of answering only, by 1,000 output tokens and by correct answer.

    Args:
        answered: the pairs of a run that have results.
        price: of one GPU for an hour.
    """
    rates = output_rates({each.pair: each.meta for each in answered})
    for each in answered:
        pair, meta = each.pair, each.meta
        yield {
            "model": pair.model,
            "dataset": pair.dataset,
            "key": pair.key,
            "output_tokens_per_s": rates[pair],
            **{
                f"latency_p{percent}_s": percentile(each.latencies, percent)
                for percent in PERCENTILES
            },
            **_counted([each]),
            **_engine(meta),
            **{name: meta.get(name) for name in POWER},
            **_taken([each], price),
        }


def model_rows(answered: Sequence[Answered], price: float | None) -> Iterator[dict[str, Any]]:
    """Yield the rows of models.csv, one for each model with results; columns are `MODEL_COLUMNS`.

    Counts, percentiles, joules and costs are over all its pairs, and None where one of them is not known.
    `generate_s` is that of all its engine starts together, utilisation and mean power are means over it, peaks
    the highest; import, start, compile and load seconds are those of the last start.

    Args:
        answered: the pairs of a run that have results.
        price: of one GPU for an hour.
    """
    models: dict[str, list[Answered]] = {}
    for each in answered:
        models.setdefault(each.pair.model, []).append(each)
    for model, its in models.items():
        metas = [each.meta for each in its]
        last = max(metas, key=lambda meta: max(_starts([meta]), default=""))
        starts = _starts(metas)
        gpu = last.get("gpu") or {}
        yield {
            "model": model,
            "pairs": len(its),
            "engine_starts": len(starts),
            "output_tokens_per_s": _rate(metas),
            **_counted(its),
            **_engine(last),
            "import_s": (last.get("seconds") or {}).get("import"),
            "generate_s": _sum(start.get("generate_s") for start in starts.values()),
            "peak_memory_bytes": _peak(start.get("peak_bytes") for start in starts.values()),
            **_power(list(starts.values())),
            **_taken(its, price),
            "device": last.get("device"),
            "gpus": gpu.get("count"),
        }


def _counted(its: Sequence[Answered]) -> dict[str, Any]:
    """Return what is counted and measured on the answers themselves."""
    requests = [stream for each in its for stream in each.streams]
    found: dict[str, Any] = {
        "requests": sum(len(each.latencies) for each in its),
        "prompt_tokens": _sum(_tokens(each.meta, "prompt") for each in its),
        "completion_tokens": _sum(_tokens(each.meta, "completion") for each in its),
        "hidden_tokens": sum(_tokens(each.meta, "hidden") or 0 for each in its) or None,
        "correct": sum(each.correct for each in its),
    }
    for percent in PERCENTILES:
        found[f"ttft_p{percent}_s"] = percentile((one.ttft_s for one in requests), percent)
        between = percentile((one.inter_token_s for one in requests), percent)
        found[f"inter_token_p{percent}_s"] = between
    for rate in ("prefill_tokens_per_s", "decode_tokens_per_s"):
        found[rate] = percentile((getattr(one, rate) for one in requests), 50)
    return found


def _engine(meta: Meta) -> dict[str, Any]:
    """Return what the engine that answered last needed."""
    seconds, memory = meta.get("seconds") or {}, meta.get("memory") or {}
    return {
        **{f"{name}_s": seconds.get(name) for name in ("start", "compile", "load", "generate")},
        "weights_memory_bytes": memory.get("weights_bytes"),
        "peak_memory_bytes": memory.get("peak_bytes"),
        "kv_cache_tokens": memory.get("kv_cache_tokens"),
        "gpu": (meta.get("gpu") or {}).get("name"),
    }


def _power(starts: Sequence[Meta]) -> dict[str, float | None]:
    """Return utilisation and power while engines answered: means over their seconds, and the peak."""
    seconds = _sum(start.get("generate_s") for start in starts)

    def mean(name: str) -> float | None:
        whole = _sum(_product(start.get(name), start.get("generate_s")) for start in starts)
        return _by(whole, seconds)

    return {
        "utilization_percent": mean("utilization_percent"),
        "power_w": mean("power_w"),
        "peak_power_w": _peak(start.get("peak_power_w") for start in starts),
    }


def _taken(its: Sequence[Answered], price: float | None) -> dict[str, float | None]:
    """Return the pairs' share of what their engines took, and that by tokens and correct answers."""

    def share(say: Callable[[Meta], float | None]) -> float | None:
        parts = [part for each in its for part in _parts(each.meta)]
        found: float | None = _sum(_product(say(start), share) for start, share in parts)
        return found

    def gpus(start: Meta) -> int | None:
        count: int | None = (start.get("gpu") or {}).get("count")
        return count

    tokens = _sum(_tokens(each.meta, "completion") for each in its)
    correct = sum(each.correct for each in its)
    joules = share(lambda start: start.get("joules"))
    paid = cost(share(lambda start: _product(start.get("generate_s"), gpus(start))), price)
    return {
        "answering_s": share(lambda start: start.get("generate_s")),
        "start_joules": share(lambda start: start.get("start_joules")),
        "joules": joules,
        "joules_per_1000_tokens": _by(joules, tokens, 1000),
        "joules_per_correct": _by(joules, correct),
        "start_cost": cost(share(lambda start: _product(start_seconds(start), gpus(start))), price),
        "answering_cost": paid,
        "cost_per_1000_tokens": _by(paid, tokens, 1000),
        "cost_per_correct": _by(paid, correct),
    }


def start_seconds(start: Meta) -> float | None:
    """Return how long an engine start held its GPUs before it answered, import included."""
    seconds = start.get("seconds") or {}
    inside: float | None = _sum([seconds.get("import"), seconds.get("start")])
    whole: float | None = start.get("start_s")
    return inside if whole is None else whole


def _parts(meta: Meta) -> Iterator[tuple[Meta, float | None]]:
    """Yield the engine starts that answered a pair, each with the pair's share; {} for one whose record is gone."""
    starts = _starts([meta])
    for session in dict.fromkeys([*starts, *(meta.get("stream_s") or {})]):
        start = starts.get(session, {})
        yield start, shared(meta, start) if start else None


def shared(meta: Meta, start: Meta) -> float | None:
    """Return a pair's share of an engine's work, 0..1: its part of the stream-seconds.

    None where either is not known, as in records from before they were counted.
    """
    own = (meta.get("stream_s") or {}).get(start["session"])
    whole = start.get("stream_s")
    return min(own / whole, 1.0) if own is not None and whole else None


def output_rates(metas: Mapping[Pair, Meta]) -> dict[Pair, float | None]:
    """Return the output tokens per second of the engines that answered each pair.

    An engine answers all pairs of its model in one batch, so its seconds belong to them together:
    pairs that share an engine share one number. None where an engine's seconds are not known,
    and for a pair without an output token, as where likelihoods were asked.
    """
    rates: dict[Pair, float | None] = {}
    for pair, meta in metas.items():
        together, sessions = [pair], set(_starts([meta]))
        while joined := [
            other
            for other, its in metas.items()
            if other.model == pair.model
            and other not in together
            and not sessions.isdisjoint(_starts([its]))
        ]:
            together += joined
            sessions |= set(_starts(metas[other] for other in joined))
        rates[pair] = _rate([metas[other] for other in together]) if _tokens(meta) else None
    return rates


def _rate(metas: Sequence[Meta]) -> float | None:
    """Return the output tokens of some pairs by the seconds of the engines that answered them.

    Of an engine that answered other pairs too, the share of these pairs counts, where it is known.
    """
    seconds = []
    for session, start in _starts(metas).items():
        its = [shared(meta, start) for meta in metas if session in _starts([meta])]
        share = _sum(its)
        seconds.append(_product(start.get("generate_s") or None, 1.0 if share is None else share))
    tokens, worked = _sum(_tokens(meta) for meta in metas), _sum(seconds)
    return tokens / worked if tokens and worked else None


def _starts(metas: Iterable[Meta]) -> dict[str, Meta]:
    """Return the engine starts that answered some pairs, by their names."""
    return {start["session"]: start for meta in metas for start in meta["engine_starts"]}


def _tokens(meta: Meta, kind: str = "completion") -> int | None:
    return (meta.get("tokens") or {}).get(kind)


def _sum(values: Iterable[Any]) -> Any:
    """Return the sum; None where there is nothing to add or a value is not known."""
    found = list(values)
    return sum(found) if found and None not in found else None


def _peak(values: Iterable[float | None]) -> float | None:
    """Return the highest value; None where there is none or one is not known."""
    found = list(values)
    known = [value for value in found if value is not None]
    return max(known, default=None) if len(known) == len(found) else None


def _product(first: float | None, second: float | None) -> float | None:
    return None if first is None or second is None else first * second


def _by(amount: float | None, count: float | None, unit: int = 1) -> float | None:
    return unit * amount / count if amount is not None and count else None
