"""Which pairs a run holds: what is given on the command line, in a run's file, and in config.yaml."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from snakeval.errors import SnakevalError, near

GIVEN = "--config/--configfile"
SHIPPED = "config/config.yaml"
JUDGING = ("judge", "judge_baseline", "judge_repeats", "judge_max_tokens")
SPEED = ("benchmark_streams", "benchmark_prompt_tokens", "benchmark_answer_tokens")
PRICE, MEMORY = "price_per_gpu_hour", "gpu_memory_gb"
BASELINE, BASELINE_MODEL = "baseline", "baseline_model"
COMPARING = (BASELINE, "fail_on_regression", BASELINE_MODEL)
CONFIRM = "confirm"
SETTINGS = (
    *("optional_datasets", "limit", "repeats", "seed", "deterministic", "pairs_per_engine"),
    *(*JUDGING, *SPEED, PRICE, MEMORY, *COMPARING, CONFIRM),
)
NAMES = ("categories", "models", "datasets", "exclude_models", "exclude_datasets")
KINDS = ("models", "datasets", "categories")
REST = ("data_dir", "sandbox", "report")


@dataclass(frozen=True)
class Layer:
    """What one place says: `run` (lists and settings) and the rest. Later layers replace earlier ones."""

    where: str
    prefix: str  # the key that holds `run`, empty where its keys are flat
    run: dict[str, Any]
    rest: dict[str, Any]

    def place(self, key: str) -> str:
        """Name the place of a key for a message."""
        return f"{self.where}: {self.prefix}.{key}" if self.prefix else f"{self.where}: {key}"


def layers(shipped: Mapping[str, Any], given: Mapping[str, Any]) -> list[Layer]:
    """Split the configuration into layers: config.yaml, a given `run:`, given flat keys.

    Top-level mappings under models, datasets and categories are registry entries, not part of a layer.
    """
    result = []
    for where, config in ((SHIPPED, shipped), (GIVEN, given)):
        nested = config.get("run")
        if isinstance(nested, Mapping):
            run = {str(key): _plain(key, value) for key, value in nested.items()}
            result.append(Layer(where, "run", run, {}))
        run = {
            key: _plain(key, value)
            for key, value in config.items()
            if key in (*NAMES, *SETTINGS) and not (key in KINDS and isinstance(value, Mapping))
        }
        rest = {key: config[key] for key in REST if key in config}
        result.append(Layer(where, "", run, rest))
    return result


def _plain(key: Any, value: Any) -> Any:
    """Turn text from the command line into what it means: 'a,b' into a list, '20' into a number."""
    if key in NAMES:
        if value is None:
            return []
        if isinstance(value, str | int) and not isinstance(value, bool):
            names = [name for name in (part.strip() for part in str(value).split(",")) if name]
            return names or value
        if isinstance(value, list | tuple):
            return [str(name) if isinstance(name, int) else name for name in value]
    if key == BASELINE and isinstance(value, int | float | date) and not isinstance(value, bool):
        return str(value)  # a folder named by a day, which Snakemake took for a number or a date
    if key == "benchmark_streams":
        parts = value.split(",") if isinstance(value, str) else value
        parts = parts if isinstance(parts, list | tuple) else [parts]
        return [_plain("limit", part) for part in parts]
    if key in SETTINGS and isinstance(value, str):
        if key != BASELINE and re.fullmatch(r"[+-]?[0-9]{1,18}", value.strip()):
            return int(value)
        if key in (PRICE, MEMORY) and re.fullmatch(r"[+-]?[0-9]{0,18}\.[0-9]+", value.strip()):
            return float(value)
        if value.strip().lower() in ("", "null", "none"):
            return None
        if value.strip().lower() in ("true", "false"):
            return value.strip().lower() == "true"
    return value


class Selector:
    """Applies the layers to the registry; `errors` gathers what is wrong.

    Args:
        layers: as `layers` gives them, checked against the schema.
        models: all names in registry order.
        datasets: the same.
        categories: the same.
        members: category → its `models`, `datasets` and `optional_datasets`, of those that are right
            themselves.
        replaced: names of models that are no more → what to write in their place, a sentence.
    """

    def __init__(
        self,
        layers: list[Layer],
        models: list[str],
        datasets: list[str],
        categories: list[str],
        members: Mapping[str, Mapping[str, Any]],
        replaced: Mapping[str, str],
    ) -> None:
        self._layers = layers
        self._known = {"models": models, "datasets": datasets, "categories": categories}
        self._members = members
        self._advice = {"models": replaced}
        self.errors: list[SnakevalError] = []

    def pairs(self) -> list[tuple[str, str]]:
        """Return the selected pairs in registry order.

        The highest layer that names categories or models replaces both of the lower ones. Its
        categories bring their own datasets unless datasets are given there or higher; a model that is
        named itself runs on the datasets of any layer.
        """
        for name in NAMES:
            self._check(name)
        given = self._top("datasets", self._layers[self._deciding :])
        found: set[tuple[str, str]] = set()
        for category in self._chosen().values():
            wanted = given or self._datasets_of(category)
            found |= {(model, dataset) for model in category["models"] for dataset in wanted}
        anywhere = self._top("datasets", self._layers)
        for model in self._top("models", self._layers[self._deciding : self._deciding + 1]):
            found |= {(model, dataset) for dataset in anywhere or self._own_datasets(model)}
        without = {
            kind: self._top(f"exclude_{kind}", self._layers) for kind in ("models", "datasets")
        }
        models, datasets = (
            {name: place for place, name in enumerate(names) if name not in without[kind]}
            for kind, names in self._known.items()
            if kind != "categories"
        )
        left = [pair for pair in found if pair[0] in models and pair[1] in datasets]
        return sorted(left, key=lambda pair: (models[pair[0]], datasets[pair[1]]))

    def categories(self) -> dict[str, list[str]]:
        """Return the selected categories, each with those of its own datasets that it may run."""
        given = self._top("datasets", self._layers[self._deciding :])
        return {
            name: [
                dataset
                for dataset in (*category["datasets"], *category["optional_datasets"])
                if dataset in (given or self._datasets_of(category))
            ]
            for name, category in self._chosen().items()
        }

    def selection(self) -> dict[str, list[str]]:
        """Return what one layer alone would have to say to select the same; what it need not say is left out."""
        categories = list(self._chosen())
        given = self._top("datasets", self._layers[self._deciding :])
        said = {
            "categories": categories,
            "models": self._top("models", self._layers[self._deciding : self._deciding + 1]),
            "datasets": given if categories else self._top("datasets", self._layers),
            **{
                name: self._top(name, self._layers) for name in NAMES if name.startswith("exclude_")
            },
        }
        return {name: names for name, names in said.items() if names}

    @property
    def _deciding(self) -> int:
        """The number of the highest layer that names categories or models; one too many without one."""
        numbers = (number for number, layer in enumerate(self._layers) if _selects(layer))
        return max(numbers, default=len(self._layers))

    def _chosen(self) -> dict[str, Mapping[str, Any]]:
        """Return the selected categories that are right themselves."""
        layers = self._layers[self._deciding : self._deciding + 1]
        names = self._top("categories", layers)
        return {name: self._members[name] for name in names if name in self._members}

    def _own_datasets(self, model: str) -> list[str]:
        """Return the datasets of the categories that list a model."""
        own = [
            dataset
            for category in self._members.values()
            if model in category["models"]
            for dataset in self._datasets_of(category)
        ]
        if not own and model in self._known["models"]:
            self.errors.append(
                SnakevalError(
                    f"model {model}",
                    "no dataset to run it on",
                    "datasets",
                    "Give datasets=…, or list the model in config/categories.yaml.",
                )
            )
        return own

    def _datasets_of(self, category: Mapping[str, Any]) -> list[str]:
        """Return a category's datasets, the optional ones where they are asked for."""
        optional = settings(self._layers).get("optional_datasets") is True
        return [*category.get("datasets", ()), *(category["optional_datasets"] if optional else ())]

    def _top(self, key: str, layers: list[Layer]) -> list[str]:
        """Return what the topmost layer that has `key` says."""
        return next((layer.run[key] for layer in reversed(layers) if layer.run.get(key)), [])

    def _check(self, key: str) -> None:
        """Note the unknown names of the layer that counts."""
        kind = key.removeprefix("exclude_")
        layer = next((layer for layer in reversed(self._layers) if layer.run.get(key)), None)
        for name in layer.run[key] if layer else ():
            if name not in self._known[kind]:
                self.errors.append(
                    SnakevalError(
                        layer.place(key) if layer else key,
                        repr(name),
                        f"a name in config/{kind}.yaml",
                        self._advice.get(kind, {}).get(name) or near(name, self._known[kind]),
                    )
                )


def _selects(layer: Layer) -> bool:
    return bool(layer.run.get("categories") or layer.run.get("models"))


def settings(layers: list[Layer]) -> dict[str, Any]:
    """Return each setting as the topmost layer that has it says; those that none has are left out."""
    result: dict[str, Any] = {}
    for layer in layers:
        result |= {key: value for key, value in layer.run.items() if key in SETTINGS}
        result |= layer.rest
    return result
