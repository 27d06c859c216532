"""The oracle: reference answers through the whole extraction and scoring must be right, wrong ones must not.

A dataset that fails it would give wrong numbers for every model.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from snakeval import scoring, tasks
from snakeval.errors import ScoringError, SnakevalError
from snakeval.records import Prediction, Sample, read_json, write_json
from snakeval.registry import Run
from snakeval.samples import read_samples

FOLDER = Path("results", "oracle")
MODEL = {
    "thinking": None,
    "prompt_style": "chat",
}  # who "answers": nothing to strip, nothing to continue
NAMED = 20  # samples that a record lists by id


def check(run: Run, dataset: str) -> dict[str, Any]:
    """Judge the reference answers of a dataset, and wrong ones.

    Returns:
        `gold` and `perturbed`: the primary metric over the reference answers, and over the wrong ones;
        None with a `reason` where the rows hold none. `n`: number of samples with a reference answer.
        `exceptions`: id → reason, of those the registry lists. `failed`: ids whose reference answer is
        not right and that it does not list; `idle`: ids that it lists and that are right. `unscored`:
        number that could not be judged here. `passed`.

    Raises:
        SnakevalError: the dataset could not be fetched, or cannot be judged here.
    """
    entry = run.datasets[dataset]
    status = read_json(run.dataset_status(dataset))
    if status["status"] != "ok":
        raise ScoringError(
            f"dataset {dataset}", str(status["reason"]), "its rows", "Run the same command again."
        )
    task = tasks.get(entry["task"])
    samples = list(read_samples(run, dataset))[: run.settings["limit"]]
    gold = _judged(task.gold, samples, entry, run.settings)
    wrong = _judged(task.wrong, samples, entry, run.settings)
    exceptions: Mapping[str, str] = entry["exceptions"]
    record: dict[str, Any] = {
        "dataset": dataset,
        "metric": entry["metric"],
        "source": status["source"],
        "n": len(gold.scores) if gold else 0,
        "gold": _primary(gold),
        "perturbed": _primary(wrong),
        "chance": task.chance,
        "exceptions": dict(exceptions),
        "failed": [],
        "idle": [],
        "unscored": 0,
    }
    if gold is None:
        record["reason"] = task.no_gold
    else:
        missed = {
            score["id"] for score in gold.scores if score["state"] not in ("correct", "unscored")
        }
        right = {score["id"] for score in gold.scores if score["state"] == "correct"}
        record["failed"] = sorted(missed - set(exceptions))[:NAMED]
        record["idle"] = sorted(right & set(exceptions))[:NAMED]
        record["unscored"] = len(gold.scores) - len(missed) - len(right)
    perturbed = record["perturbed"]
    judged = gold is None or record["unscored"] < record["n"]
    low = perturbed is None or perturbed <= task.chance
    record["passed"] = bool(judged and low and not record["failed"])
    return record


def _judged(
    answer: Callable[[Sample], tasks.Attempt | None],
    samples: Sequence[Sample],
    entry: Mapping[str, Any],
    settings: Mapping[str, Any],
) -> scoring.Scored | None:
    """Score what `answer` says to each sample as if a model had; None where it says nothing at all."""
    attempts = [attempt for attempt in map(answer, samples) if attempt is not None]
    if not attempts:
        return None
    return scoring.score_pair(
        [attempt.sample for attempt in attempts],
        [_prediction(attempt) for attempt in attempts],
        entry,
        MODEL,
        {**settings, "repeats": 1, "limit": None},
        "oracle",
    )


def _prediction(attempt: tasks.Attempt) -> Prediction:
    prediction: Prediction = {
        "id": attempt.sample["id"],
        "repeat": 0,
        "completion": attempt.text,
        "finish_reason": "stop",
        "prompt_tokens": 0,
        "completion_tokens": 0,
        "cut_tokens": 0,
    }
    if attempt.logprobs is not None:
        prediction["logprobs"] = attempt.logprobs
    if attempt.turns:
        prediction["turns"] = [
            {
                "completion": text,
                "finish_reason": "stop",
                "prompt_tokens": 0,
                "completion_tokens": 0,
            }
            for text in attempt.turns
        ]
    return prediction


def _primary(scored: scoring.Scored | None) -> float | None:
    if scored is None:
        return None
    value: float | None = scored.metrics["metrics"][scored.metrics["primary"]]["value"]
    return value


def write(run: Run, dataset: str) -> None:
    """Check a dataset; write the record to its file and to `results/oracle/{dataset}.json`, the newest.

    Raises:
        SnakevalError: see `check`; a file cannot be written.
    """
    record = check(run, dataset)
    write_json(FOLDER / f"{dataset}.json", record)
    write_json(run.oracle(dataset), record)


def table(records: Sequence[Mapping[str, Any]]) -> str:
    """Return the records as text, a line each."""
    lines = [f"{'dataset':28} {'gold':>7} {'wrong':>7} {'n':>6} {'excepted':>8}  "]
    for record in records:
        gold, wrong = (
            "–" if record[name] is None else f"{record[name]:.4f}" for name in ("gold", "perturbed")
        )
        lines.append(
            f"{record['dataset']:28} {gold:>7} {wrong:>7} {record['n']:>6} "
            f"{len(record['exceptions']):>8}  {_verdict(record)}"
        )
    return "\n".join(line.rstrip() for line in lines)


def _verdict(record: Mapping[str, Any]) -> str:
    parts = []
    if record["failed"]:
        shown = ", ".join(record["failed"][:5])
        parts.append(f"reference answers not scored as right: {shown}")
    if record["perturbed"] is not None and record["perturbed"] > record["chance"]:
        parts.append(f"wrong answers score more than {record['chance']}")
    if record["unscored"]:
        parts.append(f"{record['unscored']} could not be judged here")
    if record["idle"]:
        parts.append(f"exceptions that are right: {', '.join(record['idle'][:5])}")
    if record.get("reason"):
        parts.append(record["reason"])
    return ("passed" if record["passed"] else "FAILED") + "".join(f"; {part}" for part in parts)


def report(run: Run) -> None:
    """Print the run's records as a table.

    Raises:
        ScoringError: a dataset did not pass.
    """
    records = [read_json(path) for path in map(run.oracle, run.datasets)]
    for record in records:
        write_json(FOLDER / f"{record['dataset']}.json", record)
    print(table(records))
    failed = [record["dataset"] for record in records if not record["passed"]]
    if failed:
        raise ScoringError(
            "oracle",
            f"{', '.join(failed)} failed",
            "right answers that score 1 and wrong ones that do not",
            f"See {FOLDER}/<dataset>.json; mend the dataset's entry or its task, or list the "
            "samples with their reason under exceptions.",
        )


def never_passed(datasets: Sequence[str], root: Path = Path()) -> list[str]:
    """Return which datasets have no passed record."""
    never = []
    for dataset in datasets:
        try:
            passed = read_json(root / FOLDER / f"{dataset}.json")["passed"]
        except (SnakevalError, KeyError, TypeError):
            passed = False
        if not passed:
            never.append(dataset)
    return never
