"""A finished pair as other tools want to know it: names, dates, answers that any JSON reader takes."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from snakeval.records import Prediction, Score, Timing, canonical_json, read_json, read_jsonl
from snakeval.registry.protocol import Protocol, protocol, shots
from snakeval.registry.spec import prompt_style
from snakeval.reporting.pairs import PairFiles
from snakeval.sources.unavailable import label

if TYPE_CHECKING:
    from snakeval.registry import Pair, Run

WITHHELD = "[withheld: the dataset is marked sensitive]"


@dataclass(frozen=True)
class Answered:
    """One answer. `prompts` are the texts as sent, one for each choice or turn."""

    prompts: list[str]
    prediction: Prediction
    score: Score
    timing: Timing | None

    @property
    def completions(self) -> list[str]:
        """The texts of the answer, one for each turn; one empty text where likelihoods were asked."""
        turns = self.prediction.get("turns")
        return [turn["completion"] for turn in turns or [self.prediction]]

    @property
    def target(self) -> str:
        """The reference answer as text; "" where there is none."""
        return as_text(self.score["target"])


@dataclass(frozen=True)
class Finished:
    """A pair that has a result, and what is known about it."""

    run: Run
    files: PairFiles
    meta: Mapping[str, Any]
    metrics: Mapping[str, Any]
    protocol: Protocol
    dataset_status: Mapping[str, Any]

    @property
    def pair(self) -> Pair:
        """Model and dataset."""
        return self.files.pair

    @property
    def model(self) -> Mapping[str, Any]:
        """The model's entry."""
        return self.run.models[self.pair.model]

    @property
    def dataset(self) -> Mapping[str, Any]:
        """The dataset's entry."""
        return self.run.datasets[self.pair.dataset]

    @property
    def provider(self) -> str:
        """What the model was answered by: vllm, openai for an endpoint, or another engine's name."""
        return "openai" if self.model["endpoint"] else str(self.model["engine"])

    @property
    def model_name(self) -> str:
        """The model's name outside of this workflow: on the hub, at its endpoint, or where it lies."""
        if endpoint := self.model["endpoint"]:
            return str(endpoint["model"])
        source = self.run.source(self.pair.model) or {}
        return str(source.get("hub") or source.get("package") or source.get("path"))

    @property
    def model_title(self) -> str:
        """The model's name for people."""
        return str(self.model["title"] or self.pair.model)

    @property
    def hub_source(self) -> Mapping[str, Any]:
        """Where the dataset lies on the hub; empty where its rows came from elsewhere."""
        came_from = self.dataset_status.get("source")
        found = (its for its in self.dataset["sources"] if "hub" in its and label(its) == came_from)
        return next(found, {})

    @property
    def dataset_title(self) -> str:
        """The dataset's name for people."""
        return str(self.dataset["title"] or self.pair.dataset)

    @property
    def style(self) -> str:
        """Which of the dataset's prompts the model got."""
        return prompt_style(self.model, self.dataset)

    @property
    def shots(self) -> int:
        """How many examples a prompt shows."""
        return int(shots(self.dataset, self.style).partition("-")[0])

    @property
    def sampling(self) -> Mapping[str, Any]:
        """The sampling as it is in the pair's spec; empty where likelihoods were asked."""
        found: Mapping[str, Any] = self.run.spec(self.pair.model, self.pair.dataset)["sampling"]
        return found

    @property
    def measured(self) -> dict[str, Mapping[str, Any]]:
        """The metrics that have a value, the primary one first."""
        primary = self.metrics["primary"]
        names = [primary, *(name for name in self.metrics["metrics"] if name != primary)]
        found = {name: self.metrics["metrics"][name] for name in names}
        return {name: metric for name, metric in found.items() if metric["value"] is not None}

    @property
    def began(self) -> datetime:
        """When the first engine that answered was started; where none is known, when it was scored."""
        sessions = sorted(start["session"] for start in self.meta["engine_starts"])
        if sessions:
            stamp = datetime.strptime(sessions[0].partition("-")[0], "%Y%m%dT%H%M%S")
            return stamp.replace(tzinfo=UTC)
        seconds = int((self.files.scores / "metrics.json").stat().st_mtime)
        return datetime.fromtimestamp(seconds, UTC)

    @property
    def provenance(self) -> dict[str, Any]:
        """What the result came from; None where it is not known, as the commit behind an endpoint."""
        return {
            "key": self.pair.key,
            "protocol": self.protocol.id,
            "protocol_text": self.protocol.text,
            "own": self.protocol.own,
            "scorer": self.metrics["scorer"],
            "sandbox": (self.metrics["sandbox"] or {}).get("level"),
            "model_commit": self.meta["model_commit"],
            "dataset_revision": self.meta["dataset_revision"],
            "dataset_sha256": self.dataset_status.get("sha256"),
            "versions": self.meta["versions"],
            "gpu": self.meta["gpu"],
            "engine_arguments": self.meta["engine_arguments"],
            "states": self.metrics["states"],
            "metrics": self.metrics["metrics"],
        }

    def values(self) -> dict[tuple[str, int], float]:
        """Read the value of each judged answer."""
        rows = read_jsonl(self.files.scores / "scores.jsonl")
        judged = (row for row in rows if row["value"] is not None)
        return {(row["id"], row["repeat"]): row["value"] for row in judged}

    def answers(self) -> Iterator[Answered]:
        """Read the answers one by one, `plain`, without texts where the dataset is marked sensitive.

        Raises:
            StorageError: as `PairFiles.asked`.
        """
        timings = self.files.timings()
        for prompts, prediction, score in self.files.asked():
            timing = timings.get((prediction["id"], prediction["repeat"]))
            texts = [prompt["text"] for prompt in prompts]
            answer = Answered(plain(texts), plain(prediction), plain(score), timing)
            yield _withheld(answer) if self.dataset["sensitive"] else answer


def finished(run: Run, folder: Path, pair: Pair) -> Finished | None:
    """Return a pair that has a result; None where it has none."""
    files = PairFiles(folder, pair)
    if not files.complete():
        return None
    status = folder / run.dataset_status(pair.dataset)
    return Finished(
        run,
        files,
        plain(files.meta()),
        plain(files.metrics()),
        protocol(run, pair),
        plain(read_json(status)) if status.exists() else {},
    )


def plain(value: Any) -> Any:
    """Return `value` with nothing in it that strict readers of JSON refuse.

    A half of a surrogate pair, which UTF-8 cannot hold, becomes U+FFFD, and a number that is not finite its name.
    Control characters stay: JSON has an escape for each.
    """
    match value:
        case str():
            return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        case float() if not math.isfinite(value):
            return str(value)
        case dict():
            return {plain(name): plain(its) for name, its in value.items()}
        case list():
            return [plain(its) for its in value]
    return value


def as_text(value: Any) -> str:
    """Return a value as text: "" for None, anything but text as JSON."""
    if value is None:
        return ""
    return value if isinstance(value, str) else canonical_json(value)


def _withheld(answer: Answered) -> Answered:
    """Take out everything that the dataset or the model wrote."""
    prediction, score = answer.prediction.copy(), answer.score.copy()
    prediction["completion"] = WITHHELD
    if "turns" in prediction:
        prediction["turns"] = [{**turn, "completion": WITHHELD} for turn in prediction["turns"]]
    score["detail"] = {
        name: score["detail"][name] for name in ("class",) if name in score["detail"]
    }
    score["target"] = WITHHELD
    score["answer"] = None if score["answer"] is None else WITHHELD
    return Answered([WITHHELD] * len(answer.prompts), prediction, score, answer.timing)
