"""The predictions job: a pair's files from the journal, without anything heavy."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from snakeval import __version__, journal
from snakeval.engine import vllm_log
from snakeval.errors import EngineError, StorageError
from snakeval.records import (
    Prediction,
    Prompt,
    Timing,
    Turn,
    TurnTiming,
    read_json,
    read_jsonl,
    write_json,
    write_jsonl,
)
from snakeval.registry import Pair, Run


def write_predictions(run: Run, pair: Pair) -> None:
    """Write `predictions.jsonl`, `prompts.jsonl`, `timings.jsonl` and `meta.json` to a pair's folder.

    What the pair's engine start left is read: its status, `{pairs: {dataset: {key, status, reason}}, log}`,
    and the pair's requests in order.

    Raises:
        EngineError: the pair was not generated; the reason is the engine's.
        StorageError: an answer is missing from the journal, or a file cannot be written.
    """
    output = pair.folder()
    predictions, prompts, timings, used = collect(pair)
    write_json(output / "meta.json", meta(run, pair, predictions, used))
    write_jsonl(output / "prompts.jsonl", prompts)
    write_jsonl(output / "timings.jsonl", timings)
    write_jsonl(output / "predictions.jsonl", predictions)


def collect(pair: Pair) -> tuple[list[Prediction], list[Prompt], list[Timing], dict[str, float]]:
    """Return a pair's records from the journal, and the engine starts that made them.

    The starts are in order, each with its stream-seconds: the latencies of its answers together.

    Raises:
        EngineError, StorageError: as `answered`.
    """
    predictions: list[Prediction] = []
    prompts: list[Prompt] = []
    timings: list[Timing] = []
    used: dict[str, float] = {}
    path = journal.journal_path(pair.model, pair.dataset)
    for line, answer in answered(pair, pair.engine_status(), pair.dataset, path):
        name: dict[str, Any] = {"id": line["id"], "repeat": line["repeat"]}
        prediction: dict[str, Any] = name | {
            "completion": answer["completion"],
            "finish_reason": answer["finish_reason"],
            "prompt_tokens": asked_tokens(line, answer),
            "completion_tokens": answer["completion_tokens"],
            "cut_tokens": line["cut_tokens"],
        }
        told = ("hidden_tokens", "stopped_here", "error")
        prediction |= {key: answer[key] for key in told if key in answer}
        part = {key: line[key] for key in ("choice", "turn") if key in line}
        shown = {key: line[key] for key in ("text", "token_ids", "image") if key in line}
        prompts.append(name | part | shown)  # type: ignore[arg-type]
        timing: dict[str, Any] = name | {key: answer[key] for key in ("latency_s", "ttft_s")}
        if "choice" in part:
            prediction["logprobs"] = [answer["likelihood"]] if "likelihood" in answer else []
        if "turn" in part:
            prediction["turns"] = [_only(Turn, prediction)]
            timing["turns"] = [_only(TurnTiming, timing)]
        if part.get("choice"):
            _add_choice(predictions[-1], prediction, timings[-1], timing)
        elif part.get("turn"):
            _add_turn(predictions[-1], prediction, timings[-1], timing)
        else:
            predictions.append(prediction)  # type: ignore[arg-type]
            timings.append(timing)  # type: ignore[arg-type]
        if answer["session"]:
            used.setdefault(answer["session"], 0.0)
            used[answer["session"]] += answer["latency_s"] or 0.0
    return predictions, prompts, timings, used


def answered(
    pair: Pair, status_path: Path, name: str, path: Path
) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Yield each request that an engine start had for a pair, with its record in the journal.

    Args:
        pair: the pair.
        status_path: of the engine start; its requests lie beside it.
        name: names the pair there.
        path: the journal.

    Raises:
        EngineError: the pair was not answered; the reason is the engine's.
        StorageError: a record is missing.
    """
    status = read_json(status_path)
    mine = status["pairs"].get(
        name, {"key": None, "status": "failed", "reason": "it was not tried"}
    )
    if mine["status"] != "ok" or mine["key"] != pair.key:
        raise EngineError(
            f"pair {pair.model}/{pair.dataset}",
            "no answers",
            "one to each request",
            f"{mine['reason']} Log: {status['log']}",
        )
    lines = list(read_jsonl(status_path.with_suffix(".requests") / f"{name}.jsonl"))
    records = journal.read_answers(path, {line["request"] for line in lines})
    for line in lines:
        record = records.get(line["request"])
        if record is None:
            raise StorageError(
                str(path),
                f"no answer to request {line['request']} (sample {line['id']})",
                "an answer to each request",
                "Run the same command again; only what is missing is asked.",
            )
        yield line, record


def asked_tokens(line: Mapping[str, Any], answer: Mapping[str, Any]) -> int | None:
    """Return how long a prompt was; None where a server did not count and nobody here could.

    Args:
        line: the request; it has a text unless it was never sent.
        answer: its record in the journal.
    """
    counted: int = answer.get("prompt_tokens") or len(line["token_ids"])
    return None if not counted and line["text"] else counted


def prompt_sum(records: Iterable[Mapping[str, Any]]) -> int | None:
    """Return the prompt tokens of some records; None where one is not known, unless its request was refused."""
    counts = [
        0 if "error" in record and record["prompt_tokens"] is None else record["prompt_tokens"]
        for record in records
    ]
    return None if None in counts else sum(counts)


def _plus(first: int | None, second: int | None) -> int | None:
    return None if first is None or second is None else first + second


def _only(kind: type, record: Mapping[str, Any]) -> Any:
    """Return what of a record belongs to a part of it."""
    return {key: record[key] for key in kind.__annotations__ if key in record}


def _add_choice(
    whole: Prediction, choice: Mapping[str, Any], times: Timing, time: Mapping[str, Any]
) -> None:
    """Add a further choice to a sample's prediction; a choice that failed fails the sample."""
    whole["prompt_tokens"] = _plus(whole["prompt_tokens"], choice["prompt_tokens"])
    whole["logprobs"] += choice["logprobs"]
    if "error" in choice and "error" not in whole:
        whole |= {"error": choice["error"], "finish_reason": "error"}
    if times["latency_s"] is not None and time["latency_s"] is not None:
        times["latency_s"] = max(times["latency_s"], time["latency_s"])


def _add_turn(
    whole: Prediction, turn: Mapping[str, Any], times: Timing, time: Mapping[str, Any]
) -> None:
    """Add a further turn to a conversation; one that was cut off or failed marks the whole."""
    whole["turns"] += turn["turns"]
    whole["prompt_tokens"] = _plus(whole["prompt_tokens"], turn["prompt_tokens"])
    whole["completion_tokens"] += turn["completion_tokens"]
    if hidden := whole.get("hidden_tokens", 0) + turn.get("hidden_tokens", 0):
        whole["hidden_tokens"] = hidden
    if "stopped_here" in turn:
        whole["stopped_here"] = turn["stopped_here"]
    whole["completion"] = turn["completion"]
    if whole["finish_reason"] != "error" and turn["finish_reason"] != "stop":
        whole["finish_reason"] = turn["finish_reason"]
    if "error" in turn:
        whole["error"] = turn["error"]
    times["turns"] += time["turns"]
    if times["latency_s"] is not None and time["latency_s"] is not None:
        times["latency_s"] += time["latency_s"]


def meta(
    run: Run, pair: Pair, predictions: list[Prediction], used: Mapping[str, float]
) -> dict[str, Any]:
    """Return how a pair's predictions came about: spec, versions, engine, seconds, tokens, memory, energy.

    Seconds, memory, power and utilisation are those of the last engine that answered for this pair;
    `engine_starts` lists all of them. An engine answers all pairs of its model in one batch, so what it took is
    theirs together. `stream_s` gives by engine start the latencies of this pair's answers together; the
    `stream_s` of the start itself are those of all its answers.
    """
    model = read_json(run.model_status(pair.model))
    made = model.get("quantization") or {}
    hidden = sum(prediction.get("hidden_tokens", 0) for prediction in predictions)
    return {
        "spec": run.spec(pair.model, pair.dataset),
        "key": pair.key,
        "model_commit": model["commit"],
        **({"weights_id": made["weights_id"]} if "weights_id" in made else {}),
        "dataset_revision": read_json(run.dataset_status(pair.dataset))["revision"],
        "tokens": {
            "prompt": prompt_sum(predictions),
            "completion": sum(prediction["completion_tokens"] for prediction in predictions),
            **({"hidden": hidden} if hidden else {}),
        },
        "stream_s": dict(used),
        **engine_facts(pair.model, used),
    }


def engine_facts(model: str, used: Iterable[str]) -> dict[str, Any]:
    """Return versions, engine, seconds, memory, power and energy of the engine starts that answered.

    Args:
        model: whose starts they were.
        used: their names.
    """
    sessions = journal.read_sessions(model)
    starts = [sessions[name] for name in used if name in sessions]
    last: dict[str, Any] = starts[-1] if starts else {}
    seconds = last.get("seconds", {})
    joules = [start.get("joules") for start in starts]
    return {
        "versions": {
            "snakeval": __version__,
            "python": platform.python_version(),
            **last.get("versions", {}),
        },
        "engine_arguments": last.get("arguments"),
        "device": last.get("device"),
        "gpu": last.get("gpu"),
        "kernels": last.get("kernels"),
        "seconds": {
            "import": seconds.get("import"),
            "start": seconds.get("start"),
            **{name.removesuffix("_s"): last.get(name) for name in vllm_log.SECONDS},
            "generate": last.get("generate_s"),
        },
        "memory": {
            "peak_bytes": last.get("peak_bytes"),
            "weights_bytes": last.get("weights_bytes"),
            "kv_cache_tokens": last.get("kv_cache_tokens"),
        },
        **{name: last.get(name) for name in ("utilization_percent", "power_w", "peak_power_w")},
        "joules": sum(joules) if joules and None not in joules else None,
        "engine_starts": starts,
    }
