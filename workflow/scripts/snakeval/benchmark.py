"""How fast a model answers at fixed lengths, by how many streams at once; no dataset plays a part.

A stream asks its next question when it has the answer to the last. Prompts are random tokens from a seed and
answers have exactly the length asked for, so the numbers say what model, engine and machine do, and nothing of
the model's words.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from snakeval import gpu, parallel
from snakeval.answering import engine_settings
from snakeval.engine import Answer, EngineSettings, Request
from snakeval.engine.supervisor import EngineDied, Supervisor
from snakeval.errors import EngineError
from snakeval.records import read_json, write_json
from snakeval.registry import Run
from snakeval.registry.selection import PRICE, SPEED
from snakeval.speed import Stream, cost, percentile

ROUNDS = 2  # answers that each stream gets, at least
FEWEST = 4  # answers at one number of streams
WARM_UP = 8  # answers that are not measured
SPREAD = {"median": 50, "p95": 95, "p99": 99}
COLUMNS = (
    *("streams", "answers", "output tokens/s", "a stream", "prefill tokens/s"),
    *("first token ms", "p95", "p99", "next token ms", "p95", "p99"),
    *("GPU %", "W", "J/1,000 tokens", "cost/1,000 tokens"),
)


def measure(run: Run, model: str, log_path: Path) -> None:
    """Measure a model and write the record to `run.benchmark(model)`.

    Raises:
        EngineError: the model is not there, or the engine does not come up, dies or refuses a request.
        StorageError: the record cannot be written.
    """
    fetched = read_json(run.model_status(model))
    if fetched["status"] != "ok":
        raise EngineError(
            f"model {model}", str(fetched["reason"]), "its files", "Run the same command again."
        )
    settings = engine_settings(run, model, fetched)
    asked = {name.removeprefix("benchmark_"): run.settings[name] for name in SPEED}
    _check_lengths(settings, asked)
    with gpu.reserved(parallel.gpus(run.entry(model)), model, settings.device) as names:
        try:
            record = _measured(settings, asked, names, log_path, model)
        except EngineDied as death:
            raise EngineError(
                f"model {model}",
                str(death),
                "an engine that answers",
                f"See {log_path}; lower max_num_seqs or gpu_memory_utilization in the model's engine_limits.",
            ) from death
    write_json(run.benchmark(model), {"model": model, "asked": asked, **record})


def _measured(
    settings: EngineSettings,
    asked: Mapping[str, Any],
    names: list[str],
    log_path: Path,
    model: str,
) -> dict[str, Any]:
    from snakeval.engine import vllm_log

    start = gpu.Meter(names)
    engine = Supervisor(settings, log_path, model)
    try:
        while not engine.poll_start():
            start.sample()  # every half second
        started = start.read()
        questions = _questions(settings, asked)
        list(_answers(engine, [next(questions) for _ in range(WARM_UP)], WARM_UP, gpu.Meter(names)))
        points = [
            _point(engine, questions, streams, asked["answer_tokens"], gpu.Meter(names))
            for streams in asked["streams"]
        ]
    finally:
        engine.stop()
    return {
        "device": settings.device,
        "gpu": start.describe(),
        **(engine.facts or {}),
        **vllm_log.read(log_path, gpus=max(1, len(names))),
        **{f"start_{name}": value for name, value in started.items()},
        "points": points,
    }


def _check_lengths(settings: EngineSettings, asked: Mapping[str, Any]) -> None:
    """Raise an EngineError where prompt and answer do not fit."""
    length, context = (
        asked["prompt_tokens"] + asked["answer_tokens"],
        settings.model["max_model_len"],
    )
    if length > context:
        raise EngineError(
            "benchmark",
            f"{asked['prompt_tokens']} tokens of prompt and {asked['answer_tokens']} of answer",
            f"at most {context} together, the model's max_model_len",
            "Give less: --config benchmark_prompt_tokens=256 benchmark_answer_tokens=256.",
        )


def _questions(settings: EngineSettings, asked: Mapping[str, Any]) -> Iterator[Request]:
    """Yield requests without end, no two of them alike."""
    config = read_json(Path(settings.model_path) / "config.json")
    known = config.get("text_config", config)["vocab_size"]
    length, answer = asked["prompt_tokens"], asked["answer_tokens"]
    sampling = {"temperature": 0.0, "max_tokens": answer, "ignore_eos": True}
    generator = random.Random(settings.seed)
    number = 0
    while True:
        tokens = [generator.randrange(known) for _ in range(length)]
        yield Request(f"benchmark-{number}", tokens, sampling)
        number += 1


def _point(
    engine: Supervisor, questions: Iterator[Request], streams: int, tokens: int, meter: gpu.Meter
) -> dict[str, Any]:
    """Return what a number of streams gets.

    Seconds are wall time. Of each answer, as `speed.Stream` defines them: `first_token_s` from being taken up,
    `next_token_s` the mean time between its tokens, both as median, 95th and 99th percentile over answers;
    `prefill_tokens_per_s`, the median. At one stream that is the engine's own rate of reading; at more, a prompt
    shares the engine's steps with what the others write.
    """
    count = max(FEWEST, ROUNDS * streams)
    requests = [next(questions) for _ in range(count)]
    began = time.monotonic()
    answers = list(_answers(engine, requests, streams, meter))
    seconds = time.monotonic() - began
    meter.sample()
    used = meter.read()
    for answer in answers:
        if answer.error or answer.completion_tokens != tokens:
            raise EngineDied(answer.error or f"an answer of {answer.completion_tokens} tokens")
    made = sum(answer.completion_tokens for answer in answers)
    length = len(requests[0].token_ids)
    each = [Stream(length, tokens, answer.latency_s, answer.ttft_s) for answer in answers]
    return {
        "streams": streams,
        "answers": count,
        "seconds": seconds,
        "prompt_tokens": count * length,
        "output_tokens": made,
        "output_tokens_per_s": made / seconds,
        "prefill_tokens_per_s": percentile((one.prefill_tokens_per_s for one in each), 50),
        "first_token_s": _spread([one.ttft_s for one in each]),
        "next_token_s": _spread([one.inter_token_s for one in each]),
        **used,
    }


def _answers(
    engine: Supervisor, requests: Sequence[Request], streams: int, meter: gpu.Meter
) -> Iterator[Answer]:
    """Yield the answers to all requests, so many of which are worked on at once."""
    engine.submit(list(requests[:streams]))
    following = iter(requests[streams:])
    left, sampled = len(requests), time.monotonic()
    for answers in engine.answers():
        yield from answers
        left -= len(answers)
        if not left:
            return
        further = [request for _, request in zip(answers, following, strict=False)]
        if further:
            engine.submit(further)
        if time.monotonic() - sampled > 1:
            meter.sample()
            sampled = time.monotonic()


def _spread(values: Sequence[float | None]) -> dict[str, float | None] | None:
    if all(value is None for value in values):
        return None
    return {name: percentile(values, percent) for name, percent in SPREAD.items()}


def table(run: Run) -> str:
    """Return the records of a run's models as text, a line for each number of streams."""
    lines: list[list[str]] = [["model", *COLUMNS]]
    for model in run.models:
        record = read_json(run.benchmark(model))
        for point in record["points"]:
            paid = point_cost(record, point, run.settings.get(PRICE))
            lines.append([model, *_cells(point, paid)])
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True))
        for line in lines
    )


def point_joules(point: Mapping[str, Any]) -> float | None:
    """Return the energy of 1,000 output tokens, in joules; None where it was not measured."""
    joules = point["joules"]
    return None if joules is None else 1000 * joules / point["output_tokens"]


def point_cost(
    record: Mapping[str, Any], point: Mapping[str, Any], price: float | None
) -> float | None:
    """Return what 1,000 output tokens cost; None without a GPU or a price.

    Args:
        record: what `measure` wrote.
        point: one of its numbers of streams.
        price: of one GPU for an hour.
    """
    if record["gpu"] is None:
        return None
    seconds = 1000 * point["seconds"] / point["output_tokens"]
    return cost(seconds * record["gpu"]["count"], price)


def _cells(point: Mapping[str, Any], paid: float | None) -> Iterator[str]:
    rate = point["output_tokens_per_s"]
    yield from (str(point["streams"]), str(point["answers"]))
    yield from (f"{rate:,.0f}", f"{rate / point['streams']:,.1f}")
    yield _cell(point["prefill_tokens_per_s"], "{:,.0f}")
    for name in ("first_token_s", "next_token_s"):
        spread = point[name] or dict.fromkeys(SPREAD)
        yield from (_cell(spread[key], "{:,.1f}", 1000) for key in SPREAD)
    yield from (_cell(point[name], "{:,.0f}") for name in ("utilization_percent", "power_w"))
    yield from (_cell(point_joules(point), "{:,.1f}"), _cell(paid, "{:.3g}"))


def _cell(value: float | None, form: str, scale: int = 1) -> str:
    return "–" if value is None else form.format(scale * value)
