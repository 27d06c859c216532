"""Read what the workflow left in a pair's folder."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby, zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

from snakeval.errors import StorageError
from snakeval.records import Prediction, Prompt, Score, Timing, read_json, read_jsonl

if TYPE_CHECKING:
    from snakeval.registry import Pair

STATES = ("correct", "wrong", "incomplete", "unscored")


@dataclass(frozen=True)
class PairFiles:
    """One pair's folder below `results/pairs/`; `root` is the working directory."""

    root: Path
    pair: Pair

    @property
    def folder(self) -> Path:
        """The pair's folder."""
        return self.root / self.pair.folder()

    @property
    def scores(self) -> Path:
        """The folder of the pair's scores."""
        return self.root / self.pair.score_folder()

    def complete(self) -> bool:
        """Whether the pair has a result."""
        return self.pair.has_predictions(self.root) and self.pair.has_scores(self.root)

    def meta(self) -> dict[str, Any]:
        """Read meta.json.

        Raises:
            StorageError: broken, or made for another key (a folder was copied or renamed).
        """
        meta: dict[str, Any] = read_json(self.folder / "meta.json")
        if meta.get("key") != self.pair.key:
            raise StorageError(
                str(self.folder / "meta.json"),
                f"key {meta.get('key')}",
                f"{self.pair.key}, the key in its path",
                f"Run: {self.redo_command()}",
            )
        return meta

    def metrics(self) -> dict[str, Any]:
        """Read metrics.json."""
        metrics: dict[str, Any] = read_json(self.scores / "metrics.json")
        return metrics

    def answers(self) -> Iterator[tuple[Prediction, Score]]:
        """Yield each prediction with its score.

        Raises:
            StorageError: a file is broken, or the two do not hold the same samples.
        """
        scores: dict[tuple[str, int], Score] = {
            _identity(row): row for row in read_jsonl(self.scores / "scores.jsonl")
        }
        for prediction in read_jsonl(self.folder / "predictions.jsonl"):
            score = scores.pop(_identity(prediction), None)
            if score is None:
                raise self._unequal(_identity(prediction), "a prediction without a score")
            yield prediction, score
        if scores:
            raise self._unequal(next(iter(scores)), "a score without a prediction")

    def asked(self) -> Iterator[tuple[list[Prompt], Prediction, Score]]:
        """Yield each prediction with its score and all its prompts as sent, choice by choice or turn by turn.

        Prompts come without their `token_ids`.

        Raises:
            StorageError: as `answers`, or the prompts are not those of the predictions in their order.
        """
        prompts = groupby(read_jsonl(self.folder / "prompts.jsonl", without="token_ids"), _identity)
        for prediction, score in self.answers():
            name, rows = next(prompts, (None, iter(())))
            if name != _identity(prediction):
                raise self._unequal(_identity(prediction), "a prediction without its prompt")
            yield list(rows), prediction, score

    def timings(self) -> dict[tuple[str, int], Timing]:
        """Read the measured times, by sample and repeat."""
        return {_identity(row): row for row in read_jsonl(self.folder / "timings.jsonl")}

    def runs(self) -> Iterator[tuple[Score, dict[str, Any]]]:
        """Yield each score with what running its program took: `seconds`, `limit_s`, `slowest_s`.

        Raises:
            StorageError: a file is broken, or the two do not hold the same answers in the same order.
        """
        timings = read_jsonl(self.scores / "timings.jsonl")
        for score, timing in zip_longest(read_jsonl(self.scores / "scores.jsonl"), timings):
            names = {_identity(row) for row in (score, timing) if row is not None}
            if len(names) > 1 or None in (score, timing):
                raise self._unequal(min(names), "one of them without the other", "timings.jsonl")
            yield score, timing

    def redo_command(self) -> str:
        """Return the command that makes the pair anew."""
        return f"snakemake redo --config models={self.pair.model} datasets={self.pair.dataset}"

    def _unequal(
        self, identity: tuple[str, int], got: str, beside: str = "predictions.jsonl"
    ) -> StorageError:
        return StorageError(
            f"{self.folder}, sample {identity[0]}, repeat {identity[1]}",
            got,
            f"the same samples in {beside} and scores.jsonl",
            f"Delete {self.folder} and run the same command again: it is made anew, no model is asked.",
        )


def _identity(row: Mapping[str, Any]) -> tuple[str, int]:
    return row["id"], row["repeat"]


def said(prediction: Prediction) -> tuple[str, ...] | None:
    """Return the text of an answer, of a conversation all its turns; None where likelihoods were asked."""
    if "logprobs" in prediction:
        return None
    turns = prediction.get("turns")
    return tuple(turn["completion"] for turn in turns or [prediction])


def failure_class(score: Score) -> str | None:
    """Return the judge's word for what went wrong with an answer, None for a correct one."""
    if score["state"] == "correct":
        return None
    return str(score["detail"].get("class") or score["state"])
