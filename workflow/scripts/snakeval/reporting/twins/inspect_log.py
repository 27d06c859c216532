"""A pair as a log of inspect_ai, for `inspect view`: a zip archive with a header, samples and their summaries.

Source: inspect_ai 0.3.285, `log/_log.py` (version 2 of the log's schema) and `log/_recorders/eval.py` (the archive).
"""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

from snakeval.records import replacing
from snakeval.reporting.pairs import failure_class
from snakeval.reporting.text import clip, visible
from snakeval.reporting.twins.finished import Answered, Finished, as_text

SCHEMA_VERSION = 2
SUMMARY_CHARACTERS = 1_000
STOP_REASONS = {"stop": "stop", "length": "max_tokens", "error": "unknown"}


def write(pair: Finished, output: Path) -> None:
    """Write <date>_<dataset>_<model>_<key>.eval.

    Raises:
        StorageError: a file of the pair is broken, or `output` cannot be written.
    """
    # Its file names are parted by "_".
    parts = (pair.pair.dataset.replace("_", "-"), pair.pair.model.replace("_", "-"), pair.pair.key)
    began = pair.began
    name = "_".join((began.strftime("%Y-%m-%dT%H-%M-%S+00-00"), *parts))
    summaries = []
    with replacing(output / f"{name}.eval") as file, ZipFile(file, "w") as archive:
        for answer in pair.answers():
            record = sample(pair, answer)
            place = f"samples/{record['id']}_epoch_{record['epoch']}.json"
            _add(archive, began, place, record)
            summaries.append(_summary(record))
        _add(archive, began, "summaries.json", summaries)
        _add(archive, began, "header.json", header(pair))


def header(pair: Finished) -> dict[str, Any]:
    """Return the log without its samples."""
    began = pair.began.isoformat()
    tokens = pair.meta["tokens"]
    usage = _usage(tokens["prompt"], tokens["completion"])
    return {
        "version": SCHEMA_VERSION,
        "status": "success",
        "eval": {
            "eval_id": pair.pair.key,
            "run_id": pair.pair.key,
            "task_id": pair.pair.key,
            "created": began,
            "task": pair.pair.dataset,
            "task_version": pair.metrics["scorer"]["version"],
            "task_display_name": pair.dataset_title,
            "task_description": pair.protocol.text,
            "task_args": {"protocol": pair.protocol.id, "shots": pair.shots},
            "dataset": {
                "name": pair.dataset_title,
                "location": pair.hub_source.get("hub"),
                "samples": pair.dataset_status.get("rows"),
                "shuffled": False,
            },
            "model": _model(pair),
            "model_generate_config": _generation(pair),
            "model_base_url": (pair.model["endpoint"] or {}).get("url"),
            "model_args": {
                "commit": pair.meta["model_commit"],
                "dtype": pair.model["dtype"],
                "quantization": pair.model["quantization"],
                "max_model_len": pair.model["max_model_len"],
            },
            "config": {
                "limit": pair.run.settings["limit"],
                "epochs": pair.run.settings["repeats"],
                "epochs_reducer": ["mean"],
            },
            "packages": pair.meta["versions"],
            "metadata": pair.provenance,
        },
        "plan": {
            "name": "plan",
            "steps": [{"solver": "generate", "params": {}}],
            "config": _generation(pair),
        },
        "results": _results(pair),
        "stats": {
            "started_at": began,
            "completed_at": "",
            "model_usage": {_model(pair): usage} if usage else {},
        },
    }


def sample(pair: Finished, answer: Answered) -> dict[str, Any]:
    """Return one answer as a sample; an answer that nobody could judge has no score."""
    prediction, score = answer.prediction, answer.score
    messages: list[dict[str, Any]] = []
    spoken = zip(answer.prompts, answer.completions, strict=False)  # of choices the first is shown
    for prompt, completion in spoken:
        messages.append({"role": "user", "source": "input", "content": prompt})
        messages.append({"role": "assistant", "source": "generate", "content": completion})
    usage = _usage(prediction["prompt_tokens"], prediction["completion_tokens"])
    error = prediction.get("error")
    return {
        "id": visible(prediction["id"]),  # part of a file's name, which takes no control characters
        "epoch": prediction["repeat"] + 1,
        "input": answer.prompts[0],
        "target": answer.target,
        "messages": messages,
        "output": {
            "model": _model(pair),
            "choices": [
                {"message": messages[-1], "stop_reason": STOP_REASONS[prediction["finish_reason"]]}
            ],
            "completion": prediction["completion"],
            "usage": usage,
            "time": answer.timing["latency_s"] if answer.timing else None,
            "error": error,
        },
        "scores": {} if score["value"] is None else {_scorer(pair): _score(answer)},
        "metadata": {
            "state": score["state"],
            "class": failure_class(score),
            "cut_tokens": prediction["cut_tokens"],
            "logprobs": prediction.get("logprobs"),
        },
        "model_usage": {_model(pair): usage} if usage else {},
        "total_time": answer.timing["latency_s"] if answer.timing else None,
        "error": error and {"message": error, "traceback": "", "traceback_ansi": ""},
    }


def _score(answer: Answered) -> dict[str, Any]:
    detail = answer.score["detail"]
    return {
        "value": answer.score["value"],
        "answer": answer.score["answer"],
        "explanation": as_text(detail.get("message")) or None,
        "metadata": {"state": answer.score["state"], **detail},
    }


def _summary(record: dict[str, Any]) -> dict[str, Any]:
    """Return a sample without what is long."""
    kept = ("id", "epoch", "model_usage", "total_time")
    short = {name: clip(record[name], SUMMARY_CHARACTERS) for name in ("input", "target")}
    scores = {
        scorer: {"value": score["value"], "answer": clip(score["answer"] or "", SUMMARY_CHARACTERS)}
        for scorer, score in record["scores"].items()
    }
    return {
        **{name: record[name] for name in kept},
        **short,
        "metadata": {name: record["metadata"][name] for name in ("state", "class")},
        "scores": scores,
        "error": record["error"] and record["error"]["message"],
        "completed": True,
        "message_count": len(record["messages"]),
    }


def _results(pair: Finished) -> dict[str, Any]:
    states = pair.metrics["states"]
    total = sum(states.values())
    known = pair.metrics["primary"] in pair.measured  # the first metric is shown as the score
    metrics = {
        name: {
            "name": name,
            "value": metric["value"],
            "metadata": {key: metric[key] for key in ("ci_low", "ci_high", "n")},
        }
        for name, metric in pair.measured.items()
        if known
    }
    return {
        "total_samples": total,
        "completed_samples": total,
        "scores": [
            {
                "name": _scorer(pair),
                "scorer": _scorer(pair),
                "scored_samples": total - states["unscored"],
                "unscored_samples": states["unscored"],
                "metrics": metrics,
            }
        ],
        "metadata": {name: pair.metrics[name] for name in ("states", "completed_only", "bounds")},
    }


def _generation(pair: Finished) -> dict[str, Any]:
    """Return the sampling in its words, as far as it has words for it."""
    names = {
        **{name: name for name in ("max_tokens", "temperature", "top_p", "top_k", "seed")},
        "presence_penalty": "presence_penalty",
        "stop": "stop_seqs",
    }
    return {names[name]: value for name, value in pair.sampling.items() if name in names}


def _model(pair: Finished) -> str:
    return f"{pair.provider}/{pair.model_name}"


def _scorer(pair: Finished) -> str:
    return str(pair.metrics["scorer"]["task"])


def _usage(prompt: int | None, completion: int) -> dict[str, int] | None:
    if prompt is None:  # the format knows no number that is not known
        return None
    return {
        "input_tokens": prompt,
        "output_tokens": completion,
        "total_tokens": prompt + completion,
    }


def _add(archive: ZipFile, began: datetime, name: str, record: Any) -> None:
    """Add a file. Its date is the pair's, so that equal pairs make equal archives."""
    info = ZipInfo(name, began.timetuple()[:6])
    archive.writestr(info, json.dumps(record, ensure_ascii=False).encode(), ZIP_DEFLATED)
