"""Other names of models: what a model is called elsewhere, and names whose model another one has replaced."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from snakeval.errors import SnakevalError, near
from snakeval.registry.selection import BASELINE_MODEL, Layer

Entry = Mapping[str, Any]


class OtherNames:
    """The names under `aliases` and `replaces` of all models.

    An entry of that name goes first, so that users may call a model of their own so.

    Args:
        models: the entries that are right themselves, by name.
        places: name of any entry → file and key of it.

    Attributes:
        errors: names that several models claim.
        notes: for people, one for each alias that was used.
        replaced: name → what stands in its place, as a sentence.
    """

    def __init__(self, models: Mapping[str, Entry], places: Mapping[str, str]) -> None:
        self.errors: list[SnakevalError] = []
        self.notes: list[str] = []
        self.replaced: dict[str, str] = {}
        self._models = models
        self._aliases: dict[str, str] = {}
        claimed: dict[str, str] = {}
        for model, entry in models.items():
            for key in ("aliases", "replaces"):
                for name, text in entry[key].items():
                    if name in claimed:
                        self.errors.append(
                            SnakevalError(
                                f"{places[model]}.{key}",
                                repr(name),
                                f"a name that {claimed[name]} does not have too",
                                "Remove it from one of the two.",
                            )
                        )
                    claimed.setdefault(name, model)
                    if name in places:
                        continue
                    if key == "aliases":
                        self._aliases[name] = model
                    else:
                        self.replaced[name] = f"{model} stands in its place: {text}"

    def model(self, name: Any) -> Any:
        """Return the model that `name` stands for, or `name` itself."""
        if not isinstance(name, str) or name not in self._aliases:
            return name
        model = self._aliases[name]
        entry = self._models[model]
        note = f"{name} stands for {model}, {entry['title'] or model}: {entry['aliases'][name]}"
        if note not in self.notes:
            self.notes.append(note)
        return model

    def resolved(self, layers: list[Layer]) -> list[Layer]:
        """Return the layers with the models' own names."""
        return [replace(layer, run=self._resolved(layer.run)) for layer in layers]

    def _resolved(self, run: Mapping[str, Any]) -> dict[str, Any]:
        found = dict(run)
        for key in ("models", "exclude_models"):
            if isinstance(names := found.get(key), list):
                found[key] = [self.model(name) for name in names]
        for key in ("judge", "judge_baseline", BASELINE_MODEL):
            if key in found:
                found[key] = self.model(found[key])
        return found

    def advice(self, name: str, known: list[str]) -> str:
        """Say as a sentence what to write in place of a name that no model has."""
        return self.replaced.get(name) or near(name, known)
