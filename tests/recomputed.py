"""The numbers of a leaderboard, computed once more from a pair's files by code that shares nothing with snakeval."""

from __future__ import annotations

import csv
import itertools
import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from scipy.stats import t

Z = 1.959963984540054  # of 95 %
STATES = ("correct", "wrong", "incomplete", "unscored")


def table(path: Path) -> list[dict[str, str]]:
    """Return the rows of a CSV file."""
    return list(csv.DictReader(path.read_text().splitlines()))


def leaderboard_row(folder: Path, scorer: str, metric: str) -> dict[str, float | None]:
    """Return what a leaderboard must say of a pair.

    Args:
        folder: of the pair.
        scorer: the name of the folder of its scores.
        metric: the primary one: pass@k, or the mean of the answers' values.
    """
    scores = _records(folder / scorer / "scores.jsonl")
    predictions = _records(folder / "predictions.jsonl")
    answers: dict[str, list[dict[str, Any]]] = {}
    for score in scores:
        if score["state"] != "unscored":
            answers.setdefault(score["id"], []).append(score)
    if metric.startswith("pass@"):
        k = int(metric.removeprefix("pass@"))
        answers = {name: its for name, its in answers.items() if len(its) >= k}
        values = {name: _pass_at(k, its) for name, its in answers.items()}
    else:
        values = {
            name: sum(score["value"] for score in its) / len(its) for name, its in answers.items()
        }
    clusters = {name: its[0]["cluster"] for name, its in answers.items() if "cluster" in its[0]}
    trials = sum(map(len, answers.values()))
    states = Counter(score["state"] for score in scores)
    return {
        **_interval(values, trials, clusters),
        "n": len(values),
        **{state: states[state] for state in STATES},
        "limit_hits": sum(answer["finish_reason"] == "length" for answer in predictions),
        "cut_prompts": sum(answer["cut_tokens"] > 0 for answer in predictions),
    }


def _records(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def _pass_at(k: int, answers: Sequence[Mapping[str, Any]]) -> float:
    """Return in which share of all choices of k answers one is right."""
    right = [answer["state"] == "correct" for answer in answers]
    choices = list(itertools.combinations(right, k))
    return sum(map(any, choices)) / len(choices)


def _interval(
    values: Mapping[str, float], trials: int, clusters: Mapping[str, str]
) -> dict[str, float | None]:
    """Return the mean and its interval: Wilson's, for as many trials as the variance is worth."""
    if not values:
        return dict.fromkeys(("value", "ci_low", "ci_high"))
    n = len(values)
    mean = sum(values.values()) / n
    variance = sum((value - mean) ** 2 for value in values.values()) / n
    worth: float = n if mean in (0, 1) else trials
    if variance > 0:
        worth = max(n, min(trials, n * mean * (1 - mean) / variance))
    sizes = Counter(clusters.values())
    if len(sizes) > 1:
        sums: dict[str, float] = dict.fromkeys(sizes, 0.0)
        for name, value in values.items():
            sums[clusters[name]] += value - mean
        groups = len(sizes)
        between = groups / (groups - 1) * sum(its**2 for its in sums.values()) / n**2
        between *= (t.ppf(0.975, groups - 1) / Z) ** 2
        fewest = n**2 / sum(size**2 for size in sizes.values())
        worth = min(worth, max(mean * (1 - mean) / between if between else 0, fewest))
    low, high = wilson(mean, worth)
    return {"value": mean, "ci_low": low, "ci_high": high}


def wilson(share: float, n: float) -> tuple[float, float]:
    """Return the two p with (share - p)² = z² p (1 - p) / n."""
    a, b, c = 1 + Z**2 / n, -(2 * share + Z**2 / n), share**2
    root = math.sqrt(b**2 - 4 * a * c)
    return (-b - root) / (2 * a), (-b + root) / (2 * a)


def ranks(verdicts: Mapping[str, Mapping[str, bool]]) -> dict[str, tuple[int, int]]:
    """Return between which ranks each model lies.

    Args:
        verdicts: of each model, whether each sample that was judged is right.

    A model lies before another where McNemar's exact test says so, corrected for all pairs by Holm's method.
    """
    models = list(verdicts)
    tests = []
    for a, b in itertools.combinations(models, 2):
        both = verdicts[a].keys() & verdicts[b].keys()
        gains = sum(verdicts[a][name] > verdicts[b][name] for name in both)
        losses = sum(verdicts[a][name] < verdicts[b][name] for name in both)
        n = gains + losses
        tail = sum(math.comb(n, few) for few in range(min(gains, losses) + 1)) / 2**n
        tests.append((min(1.0, 2 * tail), (a, b) if gains > losses else (b, a)))
    tests.sort(key=lambda test: test[0])
    better = set()
    for place, (p, couple) in enumerate(tests):
        if p * (len(tests) - place) >= 0.05:
            break
        better.add(couple)
    return {
        model: (
            1 + sum((other, model) in better for other in models),
            len(models) - sum((model, other) in better for other in models),
        )
        for model in models
    }
