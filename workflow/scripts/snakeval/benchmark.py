"""How fast a model answers at fixed lengths, by how many streams at once; no dataset plays a part.

A stream asks its next question when it has the answer to the last. Prompts are random tokens from a seed and
answers have exactly the length asked for, so the numbers say what model, engine and machine do, and nothing of
the model's words.
"""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from snakeval import gpu
from snakeval.answering import engine_settings
from snakeval.engine import Answer, EngineSettings, Request
from snakeval.engine.supervisor import EngineDied, Supervisor
from snakeval.errors import EngineError
from snakeval.records import read_json, write_json
from snakeval.registry import Run
from snakeval.registry.selection import SPEED

ROUNDS = 2  # answers that each stream gets, at least
FEWEST = 4  # answers at one number of streams
WARM_UP = 8  # answers that are not measured
COLUMNS = (
    *("streams", "answers", "output tokens/s", "a stream", "first token ms", "p95"),
    *("next token ms", "p95", "joules/1,000 tokens"),
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
    with gpu.reserved(run.entry(model)["gpus"], model, settings.device) as names:
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
            pass
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
        **vllm_log.read(log_path),
        "start_joules": started["joules"],
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

    Seconds are wall time; `first_token_s` and `next_token_s` are the median and the 95th percentile over answers,
    of the mean time between tokens in the second case.
    """
    count = max(FEWEST, ROUNDS * streams)
    requests = [next(questions) for _ in range(count)]
    began = time.monotonic()
    answers = list(_answers(engine, requests, streams, meter))
    seconds = time.monotonic() - began
    used = meter.read()
    for answer in answers:
        if answer.error or answer.completion_tokens != tokens:
            raise EngineDied(answer.error or f"an answer of {answer.completion_tokens} tokens")
    made = sum(answer.completion_tokens for answer in answers)
    first = [answer.ttft_s for answer in answers if answer.ttft_s is not None]
    following = [
        (answer.latency_s - answer.ttft_s) / (answer.completion_tokens - 1)
        for answer in answers
        if answer.latency_s is not None and answer.ttft_s is not None
    ]
    return {
        "streams": streams,
        "answers": count,
        "seconds": seconds,
        "prompt_tokens": sum(len(request.token_ids) for request in requests),
        "output_tokens": made,
        "output_tokens_per_s": made / seconds,
        "first_token_s": _spread(first),
        "next_token_s": _spread(following),
        "joules": used["joules"],
        "peak_bytes": used["peak_bytes"],
    }


def _answers(
    engine: Supervisor, requests: Sequence[Request], streams: int, meter: gpu.Meter
) -> Iterator[Answer]:
    """Yield the answers to all requests, so many of which are worked on at once."""
    engine.submit(list(requests[:streams]))
    following = iter(requests[streams:])
    left, sampled = len(requests), 0.0
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


def _spread(values: Sequence[float]) -> dict[str, float] | None:
    if not values:
        return None
    p95 = (
        statistics.quantiles(values, n=20, method="inclusive")[-1] if len(values) > 1 else values[0]
    )
    return {"median": statistics.median(values), "p95": p95}


def table(run: Run) -> str:
    """Return the records of a run's models as text, a line for each number of streams."""
    lines: list[list[str]] = [["model", *COLUMNS]]
    for model in run.models:
        for point in read_json(run.benchmark(model))["points"]:
            lines.append([model, *_cells(point)])
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True))
        for line in lines
    )


def _cells(point: Mapping[str, Any]) -> Iterator[str]:
    rate, tokens, joules = (
        point["output_tokens_per_s"],
        point["output_tokens"],
        point["joules"],
    )
    yield from (str(point["streams"]), str(point["answers"]))
    yield from (f"{rate:,.0f}", f"{rate / point['streams']:,.1f}")
    for name in ("first_token_s", "next_token_s"):
        spread = point[name]
        yield from (f"{1000 * spread[key]:,.1f}" if spread else "–" for key in ("median", "p95"))
    yield "–" if joules is None else f"{1000 * joules / tokens:,.1f}"
