"""Results and samples as `lm_eval --output_path … --log_samples` writes them.

Source: lm-evaluation-harness 0.4.13, `lm_eval/result_schema.py` and `loggers/evaluation_tracker.py`. What it has no
place for stands under `configs.<task>.metadata`, and of a sample under `snakeval`.
"""

from __future__ import annotations

import hashlib
import json
import statistics
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from snakeval.records import replacing, write_json
from snakeval.reporting.paired import by_sample, is_mean
from snakeval.reporting.pairs import failure_class
from snakeval.reporting.twins.finished import Answered, Finished, as_text

FILTER = "none"
UNKNOWN = "N/A"  # what lm-evaluation-harness writes for a standard error that it does not have


def write(pairs: Sequence[Finished], output: Path) -> None:
    """Write results_<date>.json of a model's finished pairs, and samples_<dataset>_<date>.jsonl of each.

    Raises:
        StorageError: a file of a pair is broken, or `output` cannot be written.
    """
    date = max(pair.began for pair in pairs).strftime("%Y-%m-%dT%H-%M-%S")
    hashes = {}
    for pair in pairs:
        samples = hashlib.sha256()
        with replacing(output / f"samples_{pair.pair.dataset}_{date}.jsonl") as file:
            for record in sample_records(pair):
                file.write(json.dumps(record, ensure_ascii=False).encode() + b"\n")
                names = ("doc_hash", "prompt_hash", "target_hash")
                samples.update("".join(record[name] for name in names).encode())
        hashes[pair.pair.dataset] = samples.hexdigest()
    write_json(output / f"results_{date}.json", results(pairs) | {"task_hashes": hashes})


def results(pairs: Sequence[Finished]) -> dict[str, Any]:
    """Return the results of a model's finished pairs; all but `task_hashes`."""
    first, tasks = pairs[0], {pair.pair.dataset: pair for pair in pairs}
    name, system = first.model_name, first.model["system_prompt"]
    return {
        "results": {task: _metrics(task, pair) for task, pair in tasks.items()},
        "group_subtasks": {task: [] for task in tasks},
        "configs": {task: _config(task, pair) for task, pair in tasks.items()},
        "versions": {task: pair.metrics["scorer"]["version"] for task, pair in tasks.items()},
        "n-shot": {task: pair.shots for task, pair in tasks.items()},
        "higher_is_better": {task: {pair.metrics["primary"]: True} for task, pair in tasks.items()},
        "n-samples": {
            task: {"original": pair.dataset_status.get("rows"), "effective": _count(pair)}
            for task, pair in tasks.items()
        },
        "config": {
            "model": first.provider,
            "model_args": _model_args(first),
            "model_dtype": first.model["dtype"],
            "model_revision": (first.run.source(first.pair.model) or {}).get("revision"),
            "model_sha": first.meta["model_commit"],
            "device": first.meta["device"],
            "limit": first.run.settings["limit"],
            "gen_kwargs": None,  # they differ by task: see `configs`
            "random_seed": first.run.settings["seed"],
        },
        "date": first.began.timestamp(),
        "pretty_env_info": "\n".join(f"{key}: {its}" for key, its in _environment(first)),
        "transformers_version": first.meta["versions"].get("transformers"),
        "max_length": first.model["max_model_len"],
        "model_source": first.provider,
        "model_name": name,
        "model_name_sanitized": name.replace("/", "__"),
        "system_instruction": system,
        "system_instruction_sha": _hash(system) if system else None,
        "chat_template": None,
        "chat_template_sha": None,
    }


def sample_records(pair: Finished) -> Iterator[dict[str, Any]]:
    """Yield a line of the samples file for each sample, its repeats together.

    The value of a sample, 0..1, has the name of the primary metric where that is the mean of these values,
    else `value`; a sample that nobody could judge has none.
    """
    values = pair.values()
    name = pair.metrics["primary"] if _averages(pair, values) else "value"
    by_id = groupby(pair.answers(), lambda answer: answer.prediction["id"])
    for number, (sample, repeats) in enumerate(by_id):
        answers = list(repeats)
        first = answers[0]
        doc = {"id": sample, "target": first.score["target"]}
        judged = [each.score["value"] for each in answers if each.score["value"] is not None]
        yield {
            "doc_id": number,
            "doc": doc,
            "target": first.target,
            "arguments": {
                f"gen_args_{n}": {"arg_0": text, "arg_1": _generation(pair)}
                for n, text in enumerate(first.prompts)
            },
            "resps": [list(its) for its in zip(*map(_responses, answers), strict=True)],
            "filtered_resps": _responses(first),
            "filter": FILTER,
            "metrics": [name] if judged else [],
            "doc_hash": _hash(json.dumps(doc, indent=2, ensure_ascii=False)),
            "prompt_hash": _hash(first.prompts[0]),
            "target_hash": _hash(first.target),
            **({name: statistics.fmean(judged)} if judged else {}),
            "snakeval": [_verdict(answer) for answer in answers],
        }


def _metrics(task: str, pair: Finished) -> dict[str, Any]:
    found: dict[str, Any] = {
        "name": task,
        "alias": pair.dataset_title,
        "sample_len": _count(pair),
    }
    for name, metric in pair.measured.items():
        found[f"{name},{FILTER}"] = metric["value"]
        found[f"{name}_stderr,{FILTER}"] = UNKNOWN
    if error := _standard_error(pair):
        found[f"{pair.metrics['primary']}_stderr,{FILTER}"] = error
    return found


def _standard_error(pair: Finished) -> float | None:
    """Return that of the primary metric as lm-evaluation-harness's `mean_stderr`; None where it says nothing.

    That is where the metric is no mean over samples, and where all samples are worth the same.
    """
    values = pair.values()
    if not _averages(pair, values):
        return None
    means = by_sample(values, values)
    return statistics.stdev(means) / len(means) ** 0.5 if len(set(means)) > 1 else None


def _averages(pair: Finished, values: dict[tuple[str, int], float]) -> bool:
    """Whether the primary metric is the mean over samples."""
    value = pair.metrics["metrics"][pair.metrics["primary"]]["value"]
    return bool(values) and is_mean(value, values)


def _count(pair: Finished) -> int:
    """Return how many samples were asked: `states` counts each once a repeat."""
    return int(sum(pair.metrics["states"].values()) // pair.run.settings["repeats"])


def _config(task: str, pair: Finished) -> dict[str, Any]:
    prompt, hub = pair.dataset["prompt"], pair.hub_source
    return {
        "task": task,
        "task_alias": pair.dataset_title,
        "dataset_path": hub.get("hub"),
        "dataset_name": hub.get("config"),
        "test_split": hub.get("split"),
        "doc_to_text": prompt[pair.style],
        "output_type": "multiple_choice" if pair.dataset["continuation"] else "generate_until",
        "num_fewshot": pair.shots,
        "repeats": pair.run.settings["repeats"],
        "metric_list": [{"metric": name} for name in pair.measured],
        "generation_kwargs": _generation(pair),
        "metadata": {"version": pair.metrics["scorer"]["version"], **pair.provenance},
    }


def _generation(pair: Finished) -> dict[str, Any]:
    """Return the sampling in its words; none where likelihoods were asked."""
    names = {"stop": "until", "max_tokens": "max_gen_toks"}
    return {names.get(name, name): value for name, value in pair.sampling.items()}


def _model_args(pair: Finished) -> dict[str, Any]:
    if endpoint := pair.model["endpoint"]:
        return {"model": pair.model_name, "base_url": endpoint["url"]}
    names = ("dtype", "quantization", "max_model_len")
    return {"pretrained": pair.model_name, **{name: pair.model[name] for name in names}}


def _environment(pair: Finished) -> Iterator[tuple[str, Any]]:
    yield from pair.meta["versions"].items()
    if gpu := pair.meta["gpu"]:
        yield "gpu", gpu.get("name")
        yield "driver", gpu.get("driver")


def _responses(answer: Answered) -> list[Any]:
    """Return what was answered to each prompt: a text, or [log-probability, greedy] of a choice."""
    if "logprobs" in answer.prediction:
        return [[str(its["sum"]), str(its["greedy"])] for its in answer.prediction["logprobs"]]
    return answer.completions


def _verdict(answer: Answered) -> dict[str, Any]:
    return {
        "repeat": answer.prediction["repeat"],
        "state": answer.score["state"],
        "class": failure_class(answer.score),
        "value": answer.score["value"],
        "answer": answer.score["answer"],
        "detail": as_text(answer.score["detail"]),
        "finish_reason": answer.prediction["finish_reason"],
        "error": answer.prediction.get("error"),
    }


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
