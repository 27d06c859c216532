"""The resolved run: what the Snakefile decides and every job reads."""

from __future__ import annotations

import os
from collections import ChainMap
from dataclasses import astuple, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from snakeval import tasks
from snakeval.errors import StorageError
from snakeval.records import fingerprint, read_json, write_json
from snakeval.registry import spec

PREDICTION_FILES = ("predictions.jsonl", "prompts.jsonl", "timings.jsonl", "meta.json")
VERDICT_FILES = ("verdicts.jsonl", "prompts.jsonl", "meta.json")
SCORE_FILES = ("scores.jsonl", "metrics.json", "timings.jsonl")


@dataclass(frozen=True)
class Pair:
    """One model × one dataset.

    `key` names its predictions, `scorer` its scores, `part` its engine start, and `judging` the verdicts
    of the run's judge; None where no model judges.
    """

    model: str
    dataset: str
    key: str
    scorer: str
    part: int
    judging: str | None = None

    def folder(self) -> Path:
        """Return the folder of the pair's predictions, below the working directory."""
        return Path("results", "pairs", self.model, self.dataset, self.key)

    def score_folder(self) -> Path:
        """Return the folder of the pair's scores, below the working directory."""
        return self.folder() / f"score-{self.scorer}"

    def verdict_folder(self) -> Path:
        """Return the folder of the judge's verdicts on the pair, below the working directory."""
        return self.folder() / f"judge-{self.judging}"

    def engine_status(self) -> Path:
        """Return the status file of the pair's engine start, below the working directory."""
        return Path("results", "engines", self.model, f"{self.part}.json")

    def engine_requests(self) -> Path:
        """Return the folder of that engine start's requests, below the working directory."""
        return self.engine_status().with_suffix(".requests")

    def has_predictions(self, root: Path = Path()) -> bool:
        """Whether all files of the predictions are there."""
        return not missing(self, root).predictions

    def has_verdicts(self, root: Path = Path()) -> bool:
        """Whether all files of the verdicts are there, or none are asked for."""
        return not missing(self, root).verdicts

    def has_scores(self, root: Path = Path()) -> bool:
        """Whether all files of the scores are there."""
        return not missing(self, root).scores


class Missing(NamedTuple):
    """The files of a pair that are not there."""

    predictions: list[str]
    verdicts: list[str]
    scores: list[str]


def missing(pair: Pair, root: Path = Path()) -> Missing:
    """Return the files of a pair that are not there."""
    # Asked for thousands of files each time the Snakefile is read: a Path for each takes longer than looking.
    folder = f"results/pairs/{pair.model}/{pair.dataset}/{pair.key}"
    files = (
        [f"{folder}/{name}" for name in PREDICTION_FILES],
        [f"{folder}/judge-{pair.judging}/{name}" for name in VERDICT_FILES if pair.judging],
        [f"{folder}/score-{pair.scorer}/{name}" for name in SCORE_FILES],
    )
    return Missing(
        *(
            [path for path in paths if not os.path.exists(f"{root}/{path}")]  # noqa: PTH110
            for paths in files
        )
    )


@dataclass(frozen=True)
class Run:
    """The selected entries with all defaults filled in, their pairs in registry order, and the settings.

    `judges` holds the entry of the model that judges conversations, if one does, `bases` those of further
    models that quantized ones are made from here, `categories` name, title and datasets of those that
    were selected, `selection` what was said to select the pairs. Besides the registry's
    own keys an entry holds `source_id` (names the fetched files), `identity`
    (content and revisions of what it is made from) and, of a dataset, `oracle_id` (names its check), of a
    model `deterministic`, true where the run is.
    `notes` tells what was understood in another way than it was written; it is not saved.
    """

    models: dict[str, dict[str, Any]]
    datasets: dict[str, dict[str, Any]]
    pairs: tuple[Pair, ...]
    settings: dict[str, Any]
    left_out: tuple[dict[str, Any], ...] = field(default=())
    judges: dict[str, dict[str, Any]] = field(default_factory=dict)
    bases: dict[str, dict[str, Any]] = field(default_factory=dict)
    categories: tuple[dict[str, Any], ...] = field(default=())
    selection: dict[str, list[str]] = field(default_factory=dict)
    notes: tuple[str, ...] = field(default=(), compare=False)

    def entry(self, model: str) -> dict[str, Any]:
        """Return the entry of a model that answers, judges or is quantized."""
        # Asked for each job: entries() would make planning grow with the square of the models.
        return ChainMap(self.bases, self.judges, self.models)[model]

    def entries(self) -> dict[str, dict[str, Any]]:
        """Return the entries of all models that the run needs, by name."""
        return self.models | self.judges | self.bases

    def base_model(self, model: str) -> str | None:
        """Return the model of whose weights a model's are a quantized copy; None where they are none."""
        base: str | None = self.entry(model)["base_model"]
        return base

    def source(self, model: str) -> dict[str, Any] | None:
        """Return where a model's weights come from, of one that is quantized here its base model's source."""
        found: dict[str, Any] | None = self.entry(model)["source"]
        return self.source(found["quantize"]["model"]) if found and "quantize" in found else found

    def baseline(self, pair: Pair) -> Pair | None:
        """Return the pair whose answers a judge compares a pair's with; None where it only grades."""
        name = self.settings["judge_baseline"]
        if pair.judging is None or name in (None, pair.model):
            return None
        return self.pair(name, pair.dataset)

    def judge_engine(self) -> Path:
        """Return the status file of the judge's engine start, below the working directory."""
        return Path("results", "engines", self.settings["judge"], "judge.json")

    def spec(self, model: str, dataset: str) -> dict[str, Any]:
        """Return everything that the pair's predictions depend on; its fingerprint is the key."""
        return spec.predictions(
            model, self.models[model], dataset, self.datasets[dataset], self.settings
        )

    def key(self, model: str, dataset: str) -> str:
        """Return the fingerprint of the pair's spec."""
        return fingerprint(self.spec(model, dataset))

    def judging_spec(self, model: str, dataset: str) -> dict[str, Any] | None:
        """Return everything that a judge's verdicts on the pair depend on; None where no model judges."""
        task = tasks.get(self.datasets[dataset]["task"])
        judge, baseline = self.settings["judge"], self.settings["judge_baseline"]
        if judge is None or not task.conversation:
            return None
        answers, compared = (
            (self.key(name, dataset), self.models[name]) if name else None
            for name in (model, baseline if baseline != model else None)
        )
        assert answers is not None
        questions = [task.name, task.version]
        return spec.judging(judge, self.judges[judge], questions, self.settings, answers, compared)

    def judging(self, model: str, dataset: str) -> str | None:
        """Return the fingerprint of the judging's spec."""
        found = self.judging_spec(model, dataset)
        return None if found is None else fingerprint(found)

    def pair(self, model: str, dataset: str) -> Pair:
        """Return one of the run's pairs.

        Raises:
            StorageError: the run does not hold it.
        """
        if found := self._pairs_by_name.get((model, dataset)):
            return found
        raise StorageError(
            f"pair {model} on {dataset}",
            "a run that does not hold it",
            "one of the run's pairs",
            "Give the run that was made for it.",
        )

    @cached_property
    def _pairs_by_name(self) -> dict[tuple[str, str], Pair]:
        return {(pair.model, pair.dataset): pair for pair in self.pairs}

    def model_status(self, model: str) -> Path:
        """Return the status file of a fetched model, below the working directory."""
        return Path("results", "models", model, f"{self.entry(model)['source_id']}.json")

    def dataset_status(self, dataset: str) -> Path:
        """Return the status file of a fetched dataset, below the working directory."""
        return self.samples(dataset).with_suffix(".json")

    def samples(self, dataset: str) -> Path:
        """Return the normalised samples of a fetched dataset, below the working directory."""
        return Path("results", "datasets", dataset, f"{self.datasets[dataset]['source_id']}.jsonl")

    def oracle(self, dataset: str) -> Path:
        """Return the oracle's record of a dataset, below the working directory."""
        return Path("results", "oracle", dataset, f"{self.datasets[dataset]['oracle_id']}.json")

    def benchmark(self, model: str) -> Path:
        """Return the record of a model's speed, below the working directory."""
        return Path("results", "benchmarks", model, f"{self.models[model]['benchmark_id']}.json")

    def to_json(self) -> dict[str, Any]:
        """Return the run as one JSON record."""
        return {
            "models": self.models,
            "datasets": self.datasets,
            "judges": self.judges,
            "bases": self.bases,
            "categories": list(self.categories),
            "selection": self.selection,
            "pairs": [list(astuple(pair)) for pair in self.pairs],
            "settings": self.settings,
            "left_out": list(self.left_out),
        }

    def save(self, root: Path) -> Path:
        """Write the run below `root`, unless it is there; return its path below `root`.

        Raises:
            StorageError: it cannot be written.
        """
        record = {"order": [list(self.models), list(self.datasets)], **self.to_json()}
        path = Path("results", "runs", f"{fingerprint(record)}.json")
        if not (root / path).exists():
            write_json(root / path, record)
        return path


def read_run(path: Path) -> Run:
    """Read a run that `Run.save` wrote.

    Raises:
        StorageError: missing, broken, or not a run.
    """
    record = read_json(path)
    try:
        models, datasets = record["order"]
        return Run(
            models={name: record["models"][name] for name in models},
            datasets={name: record["datasets"][name] for name in datasets},
            pairs=tuple(Pair(*pair) for pair in record["pairs"]),
            settings=record["settings"],
            left_out=tuple(record["left_out"]),
            judges=record["judges"],
            bases=record["bases"],
            categories=tuple(record["categories"]),
            selection=record["selection"],
        )
    except (KeyError, TypeError, ValueError) as error:
        raise StorageError(
            str(path),
            f"no run ({error!r})",
            "a file that snakemake wrote",
            "Delete it and run the same command again.",
        ) from error
