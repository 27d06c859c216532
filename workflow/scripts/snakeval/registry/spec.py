"""What predictions and scores depend on: canonical values, whose fingerprints are part of the paths.

Not in a spec: memory, batch and time limits, paths, titles, licences. They change no answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from snakeval.records import fingerprint
from snakeval.registry.selection import SPEED

# Raised whenever rows are normalised, prompts rendered, requests made or answers read in another way.
GENERATOR_VERSION = 1
# Raised whenever thoughts are taken off, states are told or numbers are put together in another way.
SCORING_VERSION = 2

# Raised whenever speed is measured in another way.
BENCHMARK_VERSION = 2

Entry = Mapping[str, Any]


def predictions(
    model_name: str, model: Entry, dataset_name: str, dataset: Entry, settings: Entry
) -> dict[str, Any]:
    """Return the spec of a pair's predictions.

    `spec["model"]` holds what makes the model answer as it does, prompt and sampling apart. The names
    are in it so that no two pairs ever share a key.
    """
    style = prompt_style(model, dataset)
    spec: dict[str, Any] = {
        "generator": GENERATOR_VERSION,
        "pair": [model_name, dataset_name],
        "model": model_part(model),
        "dataset": {"content": dataset["identity"], "task": dataset["task"]},
        "prompt": {
            "style": style,
            "text": dataset["prompt"][style],
            "truncate": dataset["truncate"],
            "chat_template": model["identity"]["chat_template"],
            "template_arguments": model["template_arguments"],
            "system_prompt": model["system_prompt"],
        },
        "sampling": {
            **model["sampling"],
            "max_tokens": dataset["max_tokens"],
            "stop": dataset["stop"][style],
            "seed": settings["seed"],
        },
        "limit": settings["limit"],
        "repeats": settings["repeats"],
    }
    if dataset["turns"]:
        spec["prompt"]["turns"] = dataset["turns"]
    if dataset["temperature"]:
        spec["sampling"]["temperature_by"] = dataset["temperature"]
    if model["thinking_tokens"]:
        spec["sampling"]["thinking_tokens"] = model["thinking_tokens"]
    if model["stop"]:
        spec["sampling"]["model_stop"] = model["stop"]
    if dataset["continuation"]:  # neither markup nor sampling plays a part
        text = dataset["prompt"][style]
        spec["prompt"] = {"style": style, "text": text, "continuation": dataset["continuation"]}
        spec["sampling"] = {}
    return spec


def prompt_style(model: Entry, dataset: Entry) -> str:
    """Return which of a dataset's templates a model gets.

    Likelihoods are those of plain texts; a model that only moderates has none that mean anything.
    """
    if dataset["continuation"] and model["prompt_style"] != "moderation":
        return "completion"
    return str(model["prompt_style"])


def answer_tokens(model: Entry, dataset: Entry) -> int:
    """Return how many tokens an answer may have, thoughts included, where the context has room for them."""
    return int(dataset["max_tokens"]) + int(model["thinking_tokens"] or 0)


def prompt_tokens(model: Entry, dataset: Entry) -> int:
    """Return how many tokens a prompt may have: what the answer leaves, at least half of it before thoughts."""
    left = int(model["max_model_len"]) - int(dataset["max_tokens"])
    return left - min(model["thinking_tokens"] or 0, left // 2)


def model_part(model: Entry) -> dict[str, Any]:
    """Return what of a model changes its answer to the same token ids."""
    names = ("quantization", "dtype", "max_model_len", "gpus", "engine", "engine_arguments")
    return {
        "source": model["identity"]["source"],
        "tokenizer": model["identity"]["tokenizer"],
        **_tokenizer_class(model),
        **{name: model[name] for name in names},
        **({"deterministic": True} if model.get("deterministic") else {}),
    }


def scorer(model: Entry, dataset: Entry, task_version: int, judging: str | None) -> str:
    """Return the fingerprint of what a pair's scores depend on besides its predictions.

    Args:
        model: the model's entry.
        dataset: the dataset's entry.
        task_version: of the dataset's task.
        judging: names the verdicts of a judge; None where no model judges.
    """
    names = ("task", "fields", "scoring", "metric")
    return fingerprint(
        {
            "version": [SCORING_VERSION, task_version],
            "thinking": model["thinking"],
            **{name: dataset[name] for name in names},
            **({"judging": judging} if judging else {}),
            **({"cluster": dataset["cluster"]} if dataset["cluster"] else {}),
        }
    )


def judging(
    judge_name: str,
    judge: Entry,
    questions: list[Any],
    settings: Entry,
    answers: tuple[str, Entry],
    baseline: tuple[str, Entry] | None,
) -> dict[str, Any]:
    """Return the spec of a judge's verdicts on a pair.

    Args:
        judge_name: the judging model.
        judge: its entry.
        questions: the task that words the questions, and its version.
        settings: the run's settings.
        answers: the pair's key and the entry of its model, whose thoughts the judge is not shown.
        baseline: the same of the answers to compare with; None where there are none.
    """
    return {
        "generator": GENERATOR_VERSION,
        "judge": judge_name,
        "model": model_part(judge),
        "questions": questions,
        "prompt": {
            "chat_template": judge["identity"]["chat_template"],
            "template_arguments": judge["template_arguments"],
            "thinking": judge["thinking"],
        },
        "sampling": {
            **judge["sampling"],
            "max_tokens": settings["judge_max_tokens"],
            "thinking_tokens": judge["thinking_tokens"],
            "stop": judge["stop"],
            "seed": settings["seed"],
        },
        "repeats": settings["judge_repeats"],
        "shown": [
            None if shown is None else [shown[0], shown[1]["thinking"]]
            for shown in (answers, baseline)
        ],
    }


def oracle(dataset: Entry, task_version: int, limit: int | None) -> str:
    """Return the fingerprint of what the oracle's verdict on a dataset depends on."""
    names = ("source_id", "task", "fields", "scoring", "metric", "exceptions")
    return fingerprint(
        {
            "version": [SCORING_VERSION, task_version],
            "limit": limit,
            **{name: dataset[name] for name in names},
        }
    )


def benchmark(model: Entry, settings: Entry) -> str:
    """Return the fingerprint of what a model's speed depends on, the machine apart."""
    return fingerprint(
        {
            "version": BENCHMARK_VERSION,
            "model": model_part(model),
            "engine_limits": model["engine_limits"],
            "asked": [settings[name] for name in SPEED],
        }
    )


def model_source(model: Entry) -> str:
    """Return the fingerprint of what a fetched model depends on."""
    return fingerprint(model_parts(model))


def model_parts(model: Entry) -> dict[str, Any]:
    """Return what a fetched model depends on."""
    parts = {name: model["identity"][name] for name in ("source", "tokenizer")}
    return parts | _tokenizer_class(model)


def _tokenizer_class(model: Entry) -> dict[str, str]:
    """Return the tokenizer class of an entry, as far as it names one."""
    name = model["tokenizer_class"]
    return {} if name is None else {"tokenizer_class": name}


def further_tables(dataset: Entry) -> dict[str, Any]:
    """Return the blocks of a dataset that bring rows besides its own: name → `{sources, …}`."""
    shots = dataset["shots"]
    return {**dataset["join"], **({shots["name"]: shots} if shots else {})}


def dataset_source(dataset: Entry, sources: list[Any], further: Mapping[str, list[Any]]) -> str:
    """Return the fingerprint of what the fetched samples depend on: where from, and how read.

    Args:
        dataset: the entry; its `samples_sha256` pins the samples.
        sources: the identities of its sources, or of the file in data_dir that comes first.
        further: the same for each of its further tables.
    """
    return fingerprint(
        {
            "generator": GENERATOR_VERSION,
            "sources": sources,
            "pinned": dataset["samples_sha256"],
            "task": dataset["task"],
            "fields": dataset["fields"],
            **_additions(dataset, further),
        }
    )


def dataset_identity(
    dataset: Entry, sources: list[Any], further: Mapping[str, list[Any]]
) -> dict[str, Any]:
    """Return what the samples are: their hash where it is pinned, else what they are made from."""
    if dataset["samples_sha256"]:
        return {"samples": dataset["samples_sha256"]}
    return {"sources": sources, "fields": dataset["fields"], **_additions(dataset, further)}


def _additions(dataset: Entry, further: Mapping[str, list[Any]]) -> dict[str, Any]:
    """Return what the rows get from elsewhere, as far as they get anything."""
    blocks = {
        name: {key: value for key, value in block.items() if key != "sources"}
        for name, block in further_tables(dataset).items()
    }
    added = {"constants": dataset["constants"], "tables": blocks, "further": dict(further)}
    return {name: value for name, value in added.items() if value}
