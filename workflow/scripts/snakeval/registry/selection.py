"""Which pairs a run holds: what is given on the command line, in a run's file, and in config.yaml."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from snakeval.errors import SnakevalError, near

GIVEN = "--config/--configfile"
SHIPPED = "config/config.yaml"
SETTINGS = ("limit", "repeats", "seed", "pairs_per_engine")
NAMES = ("categories", "models", "datasets", "exclude_models", "exclude_datasets")
KINDS = ("models", "datasets", "categories")
REST = ("data_dir", "sandbox", "report")


@dataclass(frozen=True)
class Layer:
    """What one place says: `run` (lists and settings) and the rest. Later layers replace earlier ones."""

    where: str
    run: dict[str, Any]
    rest: dict[str, Any]

    def place(self, key: str) -> str:
        """Name the place of a key for a message."""
        return f"{self.where}: {key}"


def layers(shipped: Mapping[str, Any], given: Mapping[str, Any]) -> list[Layer]:
    """Split the configuration into layers: config.yaml, a given `run:`, given flat keys.

    Top-level mappings under models, datasets and categories are registry entries, not part of a layer.
    """
    result = []
    for where, config in ((SHIPPED, shipped), (GIVEN, given)):
        run = config.get("run")
        flat = {
            key: value
            for key, value in config.items()
            if key in (*NAMES, *SETTINGS) and not (key in KINDS and isinstance(value, Mapping))
        }
        rest = {key: config[key] for key in REST if key in config}
        if isinstance(run, Mapping):
            result.append(Layer(where, {str(k): _plain(k, v) for k, v in run.items()}, {}))
        elif run is not None:
            result.append(Layer(where, {"run": run}, {}))
        result.append(Layer(where, {key: _plain(key, value) for key, value in flat.items()}, rest))
    return result


def _plain(key: Any, value: Any) -> Any:
    """Turn text from the command line into what it means: 'a,b' into a list, '20' into a number."""
    if key in NAMES:
        if value is None:
            return []
        if isinstance(value, str | int) and not isinstance(value, bool):
            return [name for name in (part.strip() for part in str(value).split(",")) if name]
        if isinstance(value, list | tuple):
            return [str(name) if isinstance(name, int) else name for name in value]
    if key in SETTINGS and isinstance(value, str):
        if re.fullmatch(r"[+-]?[0-9]{1,18}", value.strip()):
            return int(value)
        if value.strip().lower() in ("", "null", "none"):
            return None
    return value


@dataclass
class Selection:
    """Selected pairs of names in registry order, and the settings that the layers agree on."""

    pairs: list[tuple[str, str]]
    settings: dict[str, Any]


class Selector:
    """Applies the layers to the registry; `errors` gathers what is wrong.

    Args:
        layers: as `layers` gives them, checked against the schema.
        models, datasets, categories: the registry; only the names matter, and what a category lists.
    """

    def __init__(
        self,
        layers: list[Layer],
        models: Iterable[str],
        datasets: Iterable[str],
        categories: Mapping[str, Mapping[str, Any]],
    ) -> None:
        self._layers = layers
        self._known: dict[str, list[str]] = {
            "models": list(models),
            "datasets": list(datasets),
            "categories": list(categories),
        }
        self._categories = categories
        self.errors: list[SnakevalError] = []

    def pairs(self) -> list[tuple[str, str]]:
        """Return the selected pairs in registry order; `errors` says why there are none."""
        chosen = {
            name: self._names(name, name.removeprefix("exclude_"), self._layers) for name in NAMES
        }
        # The highest layer that names categories or models replaces both of the lower ones, and
        # the lower layers' datasets no longer hold for categories, which bring their own.
        top = max(
            (i for i, layer in enumerate(self._layers) if _selects(layer)),
            default=len(self._layers),
        )
        selecting = self._layers[top : top + 1]
        chosen["categories"] = self._names("categories", "categories", selecting, check=False)
        chosen["models"] = self._names("models", "models", selecting, check=False)
        given = self._names("datasets", "datasets", self._layers[top:], check=False)
        found: set[tuple[str, str]] = set()
        for name in chosen["categories"]:
            category = self._categories[name]
            found |= {
                (model, dataset)
                for model in category["models"]
                for dataset in given or category["datasets"]
            }
        for model in chosen["models"]:
            found |= {(model, dataset) for dataset in self._datasets_of(model, chosen["datasets"])}
        if self.errors:
            return []
        left = {
            (model, dataset)
            for model, dataset in found
            if model not in chosen["exclude_models"] and dataset not in chosen["exclude_datasets"]
        }
        if not left:
            got = "nothing selected" if not found else f"all {len(found)} pairs excluded"
            self._error(
                "selection",
                got,
                "at least one model and one dataset",
                "Give categories= or models= and datasets=, for example models=smollm2_135m datasets=humaneval.",
            )
        order = {
            name: i for kind in ("models", "datasets") for i, name in enumerate(self._known[kind])
        }
        return sorted(left, key=lambda pair: (order[pair[0]], order[pair[1]]))

    def _datasets_of(self, model: str, datasets: list[str]) -> list[str]:
        """Return the datasets of a model that is named itself: as given, else its categories'."""
        if datasets:
            return datasets
        own = [
            dataset
            for category in self._categories.values()
            if model in category["models"]
            for dataset in category["datasets"]
        ]
        if not own:
            self._error(
                f"model {model}",
                "no dataset to run it on",
                "datasets",
                "Give datasets=…, or list the model in config/categories.yaml.",
            )
        return own

    def _names(self, key: str, kind: str, layers: list[Layer], check: bool = True) -> list[str]:
        """Return what the topmost layer that has `key` says, unknown names left out (and noted)."""
        known = self._known[kind]
        for layer in reversed(layers):
            if names := layer.run.get(key):
                for name in names if check else ():
                    if name not in known:
                        self._error(
                            layer.place(key),
                            repr(name),
                            f"a name in config/{kind}.yaml",
                            near(str(name), known),
                        )
                return [name for name in names if name in known]
        return []

    def _error(self, where: str, got: str, expected: str, fix: str) -> None:
        self.errors.append(SnakevalError(where, got, expected, fix))


def _selects(layer: Layer) -> bool:
    return bool(layer.run.get("categories") or layer.run.get("models"))


def settings(layers: list[Layer]) -> dict[str, Any]:
    """Return each setting as the topmost layer that has it says; those that none has are left out."""
    result: dict[str, Any] = {}
    for layer in layers:
        result |= {key: value for key, value in layer.run.items() if key in SETTINGS}
        result |= layer.rest
    return result
