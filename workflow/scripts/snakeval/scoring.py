"""The score job: predictions of a pair → scores, metrics, and what judging cost.

The raw answer stays in `predictions.jsonl`; a score holds the answer as extracted and, where it
differs, the program as it was run.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from snakeval import tasks
from snakeval.errors import ConfigError, SnakevalError, StorageError, near, one_line
from snakeval.records import (
    Metric,
    Prediction,
    Sample,
    Score,
    State,
    read_jsonl,
    write_json,
    write_jsonl,
)
from snakeval.registry import Pair, Run
from snakeval.thoughts import final_text

STATES: tuple[State, ...] = ("correct", "wrong", "incomplete", "unscored")


@dataclass(frozen=True)
class Scored:
    """Everything that scoring a pair gives: the contents of its three files."""

    scores: list[Score]
    metrics: dict[str, Any]
    timings: list[dict[str, Any]]


def score_pair(
    samples: Sequence[Sample],
    predictions: Sequence[Prediction],
    dataset: Mapping[str, Any],
    model: Mapping[str, Any],
    settings: Mapping[str, Any],
    where: str = "pair",
) -> Scored:
    """Judge all predictions of a pair.

    Args:
        samples: the dataset's samples in their order; the first `settings["limit"]` count.
        predictions: one for each sample and repeat, in any order.
        dataset: the dataset's entry: `task`, `scoring`, `metric`.
        model: the model's entry: `thinking`, `prompt_style`.
        settings: the run's settings: `limit`, `repeats`, `sandbox`.
        where: names the pair in errors.

    Raises:
        StorageError: samples and predictions do not match.
        ConfigError: the task does not compute the dataset's `metric`.
        SandboxError: programs cannot be run safely here.
    """
    task = tasks.get(dataset["task"])
    repeats: int = settings["repeats"]
    matched = _match(samples[: settings["limit"]], predictions, repeats, where)
    attempts, left_open = [], []
    for sample, prediction in matched:
        said = [turn["completion"] for turn in prediction.get("turns", ())]
        texts = [final_text(text, model["thinking"]) for text in said or [prediction["completion"]]]
        left_open.append(any(is_open for _, is_open in texts))
        attempts.append(
            tasks.Attempt(
                sample,
                texts[-1][0],
                model["prompt_style"] == "completion",
                prediction.get("logprobs"),
                tuple(text for text, _ in texts) if said else (),
            )
        )
    asked = [n for n, (_, answer) in enumerate(matched) if answer["finish_reason"] != "error"]
    judged = task.judge([attempts[n] for n in asked], dataset["scoring"], settings["sandbox"])
    judgements = dict(zip(asked, judged.judgements, strict=True))
    scores: list[Score] = []
    timings: list[dict[str, Any]] = []
    for number, (sample, prediction) in enumerate(matched):
        judgement = judgements.get(number) or tasks.Judgement(
            None,
            None,
            {"class": "request_failed", "message": prediction.get("error", "the request failed")},
        )
        cut_off = prediction["finish_reason"] == "length" or left_open[number]
        name: dict[str, Any] = {"id": sample["id"], "repeat": prediction["repeat"]}
        score = name | {
            "state": _state(judgement.value, cut_off),
            "value": judgement.value,
            "answer": judgement.answer,
            "target": sample["target"],
            "detail": judgement.detail,
        }
        scores.append(score)  # type: ignore[arg-type]
        timings.append(name | {"seconds": judgement.seconds, "limit_s": judgement.limit_s})
    metrics = _metrics(task, dataset["metric"], scores, repeats)
    answered = [prediction for _, prediction in matched]
    metrics["cut_prompts"] = sum(answer["cut_tokens"] > 0 for answer in answered)
    metrics["limit_hits"] = sum(answer["finish_reason"] == "length" for answer in answered)
    metrics["sandbox"] = judged.sandbox
    return Scored(scores, metrics, timings)


def _match(
    samples: Sequence[Sample], predictions: Sequence[Prediction], repeats: int, where: str
) -> list[tuple[Sample, Prediction]]:
    """Pair each sample and repeat with its prediction, in the samples' order.

    Raises:
        StorageError: one is missing, twice there, or of no sample.
    """
    counts = Counter((answer["id"], answer["repeat"]) for answer in predictions)
    wanted = Counter((sample["id"], repeat) for sample in samples for repeat in range(repeats))
    problems = [
        *(f"no prediction of sample {name}, repeat {n}" for name, n in wanted - counts),
        *(f"a prediction without a sample: {name}, repeat {n}" for name, n in counts - wanted),
    ]
    # Equal counts above 1 would be an id that two samples have.
    problems += [f"two samples called {name}" for (name, _), count in wanted.items() if count > 1]
    if problems:
        more = f" and {len(problems) - 1} more" if len(problems) > 1 else ""
        raise StorageError(
            where,
            one_line(problems[0])[:300] + more,
            f"one prediction for each of {len(samples)} samples × {repeats} repeats",
            "Delete the pair's predictions.jsonl, then run the same command again.",
        )
    found = {(answer["id"], answer["repeat"]): answer for answer in predictions}
    return [(sample, found[sample["id"], n]) for sample in samples for n in range(repeats)]


def _state(value: float | None, cut_off: bool) -> State:
    if value is None:
        return "unscored"
    if value == 1:
        return "correct"
    return "incomplete" if cut_off else "wrong"


def _metrics(
    task: tasks.Task, primary: str, scores: Sequence[Score], repeats: int
) -> dict[str, Any]:
    """Return `metrics.json` but for what only predictions and sandbox know.

    `completed_only` is the mean over the answers that were neither cut off nor unscored. `bounds` is
    the mean over all answers if those had all been wrong, and if they had all been right.
    """
    metrics: dict[str, Metric] = task.metrics(scores, repeats)
    if primary not in metrics:
        error = SnakevalError(
            f"config/datasets.yaml, metric of a {task.name} dataset",
            repr(primary),
            f"a metric of {task.name} at repeats={repeats}",
            near(primary, metrics),
        )
        raise ConfigError([error])
    states = Counter(score["state"] for score in scores)
    completed = [score["value"] or 0.0 for score in scores if score["state"] in STATES[:2]]
    open_ended = states["incomplete"] + states["unscored"]
    return {
        "primary": primary,
        "metrics": metrics,
        "states": {state: states[state] for state in STATES},
        "failed_extractions": sum(
            score["answer"] is None and score["state"] != "unscored" for score in scores
        ),
        "completed_only": {
            "value": sum(completed) / len(completed) if completed else None,
            "n": len(completed),
        },
        "bounds": {
            "low": sum(completed) / len(scores) if scores else None,
            "high": (sum(completed) + open_ended) / len(scores) if scores else None,
        },
        "scorer": {"task": task.name, "version": task.version},
    }


def write_scores(run: Run, pair: Pair) -> None:
    """Score a pair and write `scores.jsonl`, `metrics.json` and `timings.jsonl` to its score folder.

    Raises:
        SnakevalError: see `score_pair`; a file cannot be read or written.
    """
    predictions = pair.folder() / "predictions.jsonl"
    scored = score_pair(
        list(read_jsonl(run.samples(pair.dataset))),
        list(read_jsonl(predictions)),
        run.datasets[pair.dataset],
        run.models[pair.model],
        run.settings,
        f"pair {pair.model}/{pair.dataset}: {predictions}",
    )
    output = pair.score_folder()
    write_jsonl(output / "scores.jsonl", scored.scores)
    write_jsonl(output / "timings.jsonl", scored.timings)
    write_json(output / "metrics.json", scored.metrics)
