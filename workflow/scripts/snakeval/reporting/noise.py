"""The noise floor: what asking the same again changes, from the repeats of a run."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import NormalDist, fmean, stdev
from typing import TYPE_CHECKING

from snakeval.records import Prediction, Score
from snakeval.reporting.formats import width
from snakeval.reporting.pairs import PairFiles, said
from snakeval.statistics import ALPHA

if TYPE_CHECKING:
    from snakeval.registry import Pair, Run


@dataclass(frozen=True)
class Noise:
    """How much a pair's answers vary between repeats. Shares lie in 0..1.

    Args:
        title: model and dataset.
        drawn: whether tokens were drawn; else they are the likeliest, and what varies is the engine.
        samples: how many have all their answers judged; only these count.
        left_out: how many have not.
        same_text: the share whose answers are the same text in all repeats; None where none was written.
        same_state: the share whose answers have the same state in all repeats.
        spread: the standard deviation of the score over the repeats.
        lowest: the lowest score of a repeat.
        highest: the highest score of a repeat.
        floor: the noise floor of one answer to each sample; see `noise_floor`.
        floor_of_all: that of the mean over all repeats, which is what the tables show.
    """

    title: str
    drawn: bool
    samples: int
    left_out: int
    same_text: float | None
    same_state: float
    spread: float
    lowest: float
    highest: float
    floor: float
    floor_of_all: float


@dataclass(frozen=True)
class NoiseView:
    """What the report says about noise.

    Args:
        repeats: answers to each sample.
        deterministic: whether the engine gives the same answer to the same question by itself.
        pairs: how much each pair's answers vary.
    """

    repeats: int
    deterministic: bool
    pairs: list[Noise]

    @property
    def sentence(self) -> str:
        """Which differences between models are noise."""
        largest = max(pair.floor_of_all for pair in self.pairs)
        if largest == 0:
            return "No repeat changed a score here, so no difference between models is noise of this kind."
        single = max(pair.floor for pair in self.pairs)
        return (
            f"A difference between two models below {width(largest)} points, the largest noise floor here, is "
            f"within what asking both again changes by itself in 19 of 20 cases; scores are means over "
            f"{self.repeats:,} answers to each sample, and with one answer it would be {width(single)} points."
        )


def noise(run: Run, folder: Path, pairs: Sequence[tuple[Pair, str]]) -> NoiseView | None:
    """Return what the report says about noise; None where nothing was asked twice.

    Args:
        run: the run.
        folder: the working directory.
        pairs: the pairs that have results, with their titles.

    Raises:
        StorageError: a file of a pair is broken.
    """
    repeats, deterministic = run.settings["repeats"], bool(run.settings.get("deterministic"))
    found = []
    for pair, title in pairs:
        drawn = _is_drawn(run, pair)
        if repeats > 1 and (drawn or not deterministic):
            measured = _measured(PairFiles(folder, pair), title, drawn, repeats)
            found += [measured] if measured else []
    return NoiseView(repeats, deterministic, found) if found or deterministic else None


def noise_floor(values: Sequence[Sequence[float]], answers: int = 1) -> float:
    """Return the difference of two models' scores that noise of this size exceeds one time in twenty.

    Args:
        values: of each sample, one for each repeat, at least two.
        answers: to each sample, over which the scores are means.

    The score of a repeat is a mean over n samples, each asked anew, so its variance is Σ sᵢ² / n², where
    sᵢ² is the variance between a sample's repeats. All samples tell about it, where the scores of a few
    repeats would be too few numbers. The difference of two such scores has twice that variance.
    """
    import numpy as np

    score = float(np.var(values, axis=1, ddof=1).sum()) / len(values) ** 2 / answers
    return NormalDist().inv_cdf(1 - ALPHA / 2) * math.sqrt(2 * score)


def _is_drawn(run: Run, pair: Pair) -> bool:
    model, dataset = run.models[pair.model], run.datasets[pair.dataset]
    if dataset["continuation"]:
        return False
    return bool(model["sampling"]["temperature"] > 0 or dataset["temperature"])


def _measured(files: PairFiles, title: str, drawn: bool, repeats: int) -> Noise | None:
    by_sample: dict[str, list[tuple[Prediction, Score]]] = {}
    for prediction, score in files.answers():
        by_sample.setdefault(score["id"], []).append((prediction, score))
    values, states, texts = [], [], []
    for answers in by_sample.values():
        answers.sort(key=lambda answer: answer[1]["repeat"])
        its = [score["value"] for _, score in answers if score["value"] is not None]
        if len(its) == repeats:
            values.append(its)
            states.append({score["state"] for _, score in answers})
            texts.append({said(prediction) for prediction, _ in answers})
    if not values:
        return None
    scores = [fmean(column) for column in zip(*values, strict=True)]
    written = all(None not in its for its in texts)
    return Noise(
        title=title,
        drawn=drawn,
        samples=len(values),
        left_out=len(by_sample) - len(values),
        same_text=fmean(len(its) == 1 for its in texts) if written else None,
        same_state=fmean(len(its) == 1 for its in states),
        spread=stdev(scores),
        lowest=min(scores),
        highest=max(scores),
        floor=noise_floor(values),
        floor_of_all=noise_floor(values, repeats),
    )
