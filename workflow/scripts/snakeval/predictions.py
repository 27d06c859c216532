"""The predictions job: a pair's files from the journal, without anything heavy."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from typing import Any

from snakeval import __version__, journal
from snakeval.errors import EngineError, StorageError
from snakeval.records import (
    Prediction,
    Prompt,
    Timing,
    Turn,
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
    status = read_json(pair.engine_status())
    mine = status["pairs"].get(
        pair.dataset, {"key": None, "status": "failed", "reason": "it was not tried"}
    )
    if mine["status"] != "ok" or mine["key"] != pair.key:
        raise EngineError(
            f"pair {pair.model}/{pair.dataset}",
            "no answers",
            "one to each request",
            f"{mine['reason']} Log: {status['log']}",
        )
    answers = {
        record["request"]: record
        for record in journal.read_journal(journal.journal_path(pair.model, pair.dataset))
    }
    predictions: list[Prediction] = []
    prompts: list[Prompt] = []
    timings: list[Timing] = []
    used: dict[str, None] = {}  # a set in order
    for line in read_jsonl(pair.engine_requests() / f"{pair.dataset}.jsonl"):
        answer = answers.get(line["request"])
        if answer is None:
            raise StorageError(
                str(journal.journal_path(pair.model, pair.dataset)),
                f"no answer to request {line['request']} (sample {line['id']})",
                "an answer to each request",
                "Run the same command again; only what is missing is asked.",
            )
        name: dict[str, Any] = {"id": line["id"], "repeat": line["repeat"]}
        prediction: dict[str, Any] = name | {
            "completion": answer["completion"],
            "finish_reason": answer["finish_reason"],
            "prompt_tokens": len(line["token_ids"]),
            "completion_tokens": answer["completion_tokens"],
            "cut_tokens": line["cut_tokens"],
        }
        if "error" in answer:
            prediction["error"] = answer["error"]
        part = {key: line[key] for key in ("choice", "turn") if key in line}
        prompts.append(name | part | {"text": line["text"], "token_ids": line["token_ids"]})  # type: ignore[arg-type]
        timing: dict[str, Any] = name | {key: answer[key] for key in ("latency_s", "ttft_s")}
        if "choice" in part:
            prediction["logprobs"] = [answer["likelihood"]] if "likelihood" in answer else []
        if "turn" in part:
            prediction["turns"] = [{key: prediction[key] for key in Turn.__annotations__}]
        if part.get("choice"):
            _add_choice(predictions[-1], prediction, timings[-1], timing)
        elif part.get("turn"):
            _add_turn(predictions[-1], prediction, timings[-1], timing)
        else:
            predictions.append(prediction)  # type: ignore[arg-type]
            timings.append(timing)  # type: ignore[arg-type]
        if answer["session"]:
            used[answer["session"]] = None
    write_json(output / "meta.json", meta(run, pair, predictions, list(used)))
    write_jsonl(output / "prompts.jsonl", prompts)
    write_jsonl(output / "timings.jsonl", timings)
    write_jsonl(output / "predictions.jsonl", predictions)


def _add_choice(
    whole: Prediction, choice: Mapping[str, Any], times: Timing, time: Mapping[str, Any]
) -> None:
    """Add a further choice to a sample's prediction; a choice that failed fails the sample."""
    whole["prompt_tokens"] += choice["prompt_tokens"]
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
    for count in ("prompt_tokens", "completion_tokens"):
        whole[count] += turn[count]
    whole["completion"] = turn["completion"]
    if whole["finish_reason"] != "error" and turn["finish_reason"] != "stop":
        whole["finish_reason"] = turn["finish_reason"]
    if "error" in turn:
        whole["error"] = turn["error"]
    if times["latency_s"] is not None and time["latency_s"] is not None:
        times["latency_s"] += time["latency_s"]


def meta(run: Run, pair: Pair, predictions: list[Prediction], used: list[str]) -> dict[str, Any]:
    """Return how a pair's predictions came about: spec, versions, engine, seconds, tokens, memory, energy.

    Seconds and memory are those of the last engine that answered for this pair; `engine_starts` lists all
    of them. An engine answers all pairs of its model in one batch, so its seconds are theirs together.
    """
    sessions: dict[str, dict[str, Any]] = {}
    for record in journal.read_journal(journal.sessions_path(pair.model)):
        merged = sessions.setdefault(record["session"], {})
        merged.update({name: value for name, value in record.items() if name != "event"})
    starts = [sessions[name] for name in used if name in sessions]
    last: dict[str, Any] = starts[-1] if starts else {}
    seconds = last.get("seconds", {})
    joules = [start.get("joules") for start in starts]
    return {
        "spec": run.spec(pair.model, pair.dataset),
        "key": pair.key,
        "model_commit": read_json(run.model_status(pair.model))["commit"],
        "dataset_revision": read_json(run.dataset_status(pair.dataset))["revision"],
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
            "compile": last.get("compile_s"),
            "load": last.get("load_s"),
            "generate": last.get("generate_s"),
        },
        "tokens": {
            "prompt": sum(prediction["prompt_tokens"] for prediction in predictions),
            "completion": sum(prediction["completion_tokens"] for prediction in predictions),
        },
        "memory": {
            "peak_bytes": last.get("peak_bytes"),
            "weights_bytes": last.get("weights_bytes"),
            "kv_cache_tokens": last.get("kv_cache_tokens"),
        },
        "joules": sum(joules) if joules and None not in joules else None,
        "engine_starts": starts,
    }
