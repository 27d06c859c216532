"""The score job: predictions of a pair → scores, metrics, and what judging cost.

The raw answer stays in `predictions.jsonl`; a score holds the answer as extracted and, where it
differs, the program as it was run.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from snakeval import judging, tasks
from snakeval.errors import ConfigError, SnakevalError, StorageError, near, one_line
from snakeval.records import (
    Metric,
    Prediction,
    Sample,
    Score,
    State,
    fingerprint,
    read_json,
    read_jsonl,
    write_json,
    write_jsonl,
)
from snakeval.registry import Pair, Run
from snakeval.registry.protocol import protocol
from snakeval.samples import read_samples
from snakeval.thoughts import final_text

SHORT = 60  # characters of a cluster's name; a longer one is a passage, known by its fingerprint
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
    verdicts: Mapping[tuple[str, int], tuple[tasks.Verdict, ...]] | None = None,
) -> Scored:
    """Judge all predictions of a pair.

    Args:
        samples: the dataset's samples in their order; the first `settings["limit"]` count.
        predictions: one for each sample and repeat, in any order.
        dataset: the dataset's entry: `task`, `scoring`, `metric`, `cluster`.
        model: the model's entry: `thinking`, `prompt_style`.
        settings: the run's settings: `limit`, `repeats`, `sandbox`.
        where: names the pair in errors.
        verdicts: what a judge said, by sample and repeat; None where no model judged.

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
                "" if left_open[-1] and not said else texts[-1][0],  # a thought is no answer
                model["prompt_style"] == "completion",
                prediction.get("logprobs"),
                tuple(text for text, _ in texts) if said else (),
                None if verdicts is None else verdicts.get((sample["id"], prediction["repeat"])),
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
        cut_off = prediction["finish_reason"] == "length"
        value = judgement.value
        if left_open[number] and value is not None and "turns" not in prediction:
            value = 0.0  # where saying nothing is right, nothing was said yet
        name: dict[str, Any] = {"id": sample["id"], "repeat": prediction["repeat"]}
        score = name | {
            "state": _state(value, cut_off, left_open[number]),
            "value": value,
            "answer": judgement.answer,
            "target": sample["target"],
            "detail": judgement.detail,
        }
        if dataset["cluster"]:
            score["cluster"] = _cluster(sample, dataset["cluster"])
        scores.append(score)  # type: ignore[arg-type]
        times = ("seconds", "limit_s", "slowest_s")
        timings.append(name | {time: getattr(judgement, time) for time in times})
    metrics = _metrics(task, dataset["metric"], scores, repeats)
    metrics |= _open_ended(task, dataset, attempts, scores, metrics, settings, judged.sandbox)
    answered = [prediction for _, prediction in matched]
    metrics["cut_prompts"] = sum(answer["cut_tokens"] > 0 for answer in answered)
    metrics["limit_hits"] = sum(answer["finish_reason"] == "length" for answer in answered)
    metrics["open_thoughts"] = sum(left_open) if model["thinking"] else None
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


def _cluster(sample: Sample, name: str) -> str:
    """Name what a sample shares with others: the value that a dataset's `cluster` speaks of, or its print."""
    if name == "id":
        return sample["id"].rpartition("/")[0] or sample["id"]
    value = sample["image"] if name == tasks.IMAGE else sample["inputs"][name]
    return value if isinstance(value, str) and len(value) <= SHORT else fingerprint(value)


def _state(value: float | None, cut_off: bool, left_open: bool) -> State:
    if value is None:
        return "unscored"
    if left_open:
        return "incomplete"
    if value == 1:
        return "correct"
    return "incomplete" if cut_off else "wrong"


def _metrics(
    task: tasks.Task, primary: str, scores: Sequence[Score], repeats: int
) -> dict[str, Any]:
    """Return `metrics.json` but for what only predictions and judgements know."""
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
    return {
        "primary": primary,
        "metrics": metrics,
        "states": {state: states[state] for state in STATES},
        "failed_extractions": sum(
            score["answer"] is None and score["state"] != "unscored" for score in scores
        ),
        "scorer": {"task": task.name, "version": task.version},
    }


def _open_ended(
    task: tasks.Task,
    dataset: Mapping[str, Any],
    attempts: Sequence[tasks.Attempt],
    scores: Sequence[Score],
    metrics: Mapping[str, Any],
    settings: Mapping[str, Any],
    sandbox: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """Return what the answers that are incomplete or unscored leave open of the primary metric.

    `completed_only` is the metric over the others, and their number. `bounds` is the metric over all
    answers if those had all been wrong, and if they had all been right; None where that cannot be said.
    """
    primary, repeats = dataset["metric"], settings["repeats"]
    completed = [score for score in scores if score["state"] in STATES[:2]]
    unsure = [number for number, score in enumerate(scores) if score["state"] not in STATES[:2]]
    value = metrics["metrics"][primary]["value"]
    if not unsure:
        return {
            "completed_only": {"value": value, "n": len(completed)},
            "bounds": {"low": value, "high": value},
        }

    if all(score["state"] == "unscored" for score in scores):
        nothing = {"value": None, "n": 0}
        return {"completed_only": nothing, "bounds": {"low": 0.0, "high": 1.0}}

    def measured(chosen: Sequence[Score]) -> float | None:
        found = task.metrics(chosen, repeats).get(primary) if chosen else None
        return found["value"] if found else None

    def supposed(right: bool) -> float | None:
        """Measure with the open answers taken for right ones, or for wrong ones."""
        changed = list(scores)
        if sandbox is not None:  # programs are right or wrong, and need not be run to suppose it
            state: State = "correct" if right else "wrong"
            for number in unsure:
                changed[number] = {**scores[number], "state": state, "value": float(right)}
            return measured(changed)
        make = task.gold if right else task.wrong
        made = [make(attempts[number].sample) for number in unsure]
        stand_ins = [attempt for attempt in made if attempt is not None]
        if len(stand_ins) < len(made):
            return None
        judged = task.judge(stand_ins, dataset["scoring"], settings["sandbox"]).judgements
        for number, found in zip(unsure, judged, strict=True):
            state = _state(found.value, cut_off=False, left_open=False)
            changed[number] = {
                **scores[number],
                "state": state,
                "value": found.value,
                "answer": found.answer,
                "detail": found.detail,
            }
        return measured(changed)

    return {
        "completed_only": {"value": measured(completed), "n": len(completed)},
        "bounds": {"low": supposed(False), "high": supposed(True)},
    }


def write_scores(run: Run, pair: Pair) -> None:
    """Score a pair and write `scores.jsonl`, `metrics.json` and `timings.jsonl` to its score folder.

    Raises:
        SnakevalError: see `score_pair`; a file cannot be read or written.
    """
    path = pair.folder() / "predictions.jsonl"
    predictions: list[Prediction] = list(read_jsonl(path))
    scored = score_pair(
        list(read_samples(run, pair.dataset)),
        predictions,
        run.datasets[pair.dataset],
        run.models[pair.model],
        run.settings,
        f"pair {pair.model}/{pair.dataset}: {path}",
        judging.read_verdicts(run, pair, predictions) if pair.judging else None,
    )
    if pair.judging:
        meta = read_json(pair.verdict_folder() / "meta.json")
        names = ("judge", "judge_commit", "baseline", "key")
        scored.metrics["judging"] = {name: meta[name] for name in names}
    way = protocol(run, pair)
    scored.metrics["protocol"] = {"id": way.id, "text": way.text, "own": way.own}
    output = pair.score_folder()
    write_jsonl(output / "scores.jsonl", scored.scores)
    write_jsonl(output / "timings.jsonl", scored.timings)
    write_json(output / "metrics.json", scored.metrics)
