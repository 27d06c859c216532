"""From configuration files to a resolved run."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from snakeval import tasks
from snakeval.errors import ConfigError, SnakevalError, near
from snakeval.registry import checks, schema, selection, spec
from snakeval.registry.content import Contents
from snakeval.registry.files import read_yaml
from snakeval.registry.run import Pair, Run
from snakeval.registry.selection import GIVEN, SHIPPED

SLUG = re.compile(r"[a-z0-9_]+")
SINGULAR = {"models": "model", "datasets": "dataset", "categories": "category"}


def load(config: Mapping[str, Any], root: Path) -> Run:
    """Resolve a run.

    Args:
        config: what the user gave by --configfile and --config, and nothing else.
        root: the repository's folder.

    Raises:
        ConfigError: everything that is wrong, one line each.
        StorageError: the hashes of large local files cannot be written down.
    """
    return _Loader(config, root).run()


class _Loader:
    def __init__(self, config: Mapping[str, Any], root: Path) -> None:
        self._root, self._given = root, config
        self._errors: list[SnakevalError] = []
        self._lines: list[str] = []
        self._contents = Contents(root, root / "results" / ".hashes.json")

    def run(self) -> Run:
        """Return the run, or raise all errors at once."""
        shipped = self._file("config")
        registry = {kind: self._entries(kind, shipped) for kind in SINGULAR}
        settings, layers = self._settings(shipped)
        self._check_categories(registry)
        self._stop_on_errors()
        selector = selection.Selector(
            layers, registry["models"], registry["datasets"], registry["categories"]
        )
        pairs = selector.pairs()
        self._errors += selector.errors
        self._stop_on_errors()
        chosen = {
            kind: {
                name: {**entry, "title": entry["title"] or name}
                for name, entry in registry[kind].items()
                if any(name == pair[place] for pair in pairs)
            }
            for place, kind in enumerate(("models", "datasets"))
        }
        self._resolve_models(chosen["models"], settings)
        self._resolve_datasets(chosen["datasets"], settings)
        for model, dataset in pairs:
            self._errors += checks.pair(
                model, chosen["models"][model], dataset, chosen["datasets"][dataset]
            )
        self._stop_on_errors()
        self._contents.save()
        return _assembled(chosen["models"], chosen["datasets"], pairs, settings)

    def _stop_on_errors(self) -> None:
        if self._errors or self._lines:
            error = ConfigError(self._errors)
            error.lines = list(dict.fromkeys(self._lines + error.lines))
            error.args = ("\n".join(error.lines),)
            raise error

    def _file(self, name: str) -> dict[str, Any]:
        """Read one file of config/; what is wrong with it is noted and the file taken as empty."""
        try:
            return read_yaml(self._root / "config" / f"{name}.yaml", f"config/{name}.yaml")
        except ConfigError as error:
            self._lines += error.lines
            return {}

    def _entries(self, kind: str, shipped: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
        """Return the checked entries of one kind, defaults filled, given ones laid over the files'."""
        entries: dict[str, Any] = dict(self._file(kind))
        where = dict.fromkeys(entries, f"config/{kind}.yaml")
        for place, layer in ((SHIPPED, shipped), (GIVEN, self._given)):
            added = layer.get(kind)
            for name, entry in (added if isinstance(added, Mapping) else {}).items():
                both = isinstance(entry, Mapping) and isinstance(entries.get(name), Mapping)
                entries[name] = {**entries[name], **entry} if both else entry
                where[name] = place
        good: dict[str, dict[str, Any]] = {}
        for name, entry in entries.items():
            path = f"{kind}.{name}"
            errors = schema.check(entry, SINGULAR[kind], where[name], path)
            if not SLUG.fullmatch(str(name)):
                errors.append(
                    SnakevalError(
                        f"{where[name]}: {kind}",
                        repr(name),
                        "small letters, digits and underscores",
                        "Rename the entry: the name becomes part of paths.",
                    )
                )
            self._errors += errors
            if not errors:
                good[name] = schema.filled(entry, SINGULAR[kind])
        return good

    def _settings(self, shipped: Mapping[str, Any]) -> tuple[dict[str, Any], list[selection.Layer]]:
        """Return all settings with their defaults, and the layers for the selection."""
        known = [*schema.load("config")["properties"], *selection.NAMES, *selection.SETTINGS]
        for where, config in ((SHIPPED, shipped), (GIVEN, self._given)):
            for key in config:
                if key not in known:
                    self._errors.append(
                        SnakevalError(
                            f"{where}: {key}",
                            "an unknown key",
                            "a known one",
                            near(str(key), known),
                        )
                    )
        layers = selection.layers(shipped, self._given)
        for layer in layers:
            record = {**({"run": layer.run} if layer.run else {}), **layer.rest}
            if set(layer.run) == {"run"}:
                record["run"] = layer.run["run"]
            self._errors += schema.check(record, "config", layer.where)
        merged = selection.settings(layers)
        if any("run" in layer.run for layer in layers) or self._errors:
            return {}, layers
        run = {key: merged.pop(key) for key in selection.SETTINGS if key in merged}
        full = schema.filled({"run": run, **merged}, "config")
        settings = {key: full["run"][key] for key in selection.SETTINGS}
        return settings | {key: full[key] for key in selection.REST}, layers

    def _check_categories(self, registry: Mapping[str, Mapping[str, Any]]) -> None:
        """Note the names in categories that no file knows."""
        for name, category in registry["categories"].items():
            for kind in ("models", "datasets"):
                # An entry that is wrong is reported itself: here it counts as known.
                known = {*registry[kind], *self._file_names(kind)}
                for member in category[kind]:
                    if member not in known:
                        self._errors.append(
                            SnakevalError(
                                f"config/categories.yaml: categories.{name}.{kind}",
                                repr(member),
                                f"a name in config/{kind}.yaml",
                                near(member, known),
                            )
                        )

    def _file_names(self, kind: str) -> set[str]:
        return {
            error.where.split(": ")[1].split(".")[1]
            for error in self._errors
            if f": {kind}." in error.where
        }

    def _resolve_models(
        self, models: dict[str, dict[str, Any]], settings: Mapping[str, Any]
    ) -> None:
        for name, entry in models.items():
            where = f"config/models.yaml: models.{name}"
            self._errors += checks.model(entry, where, self._root)
            self._errors += checks.sampling(name, entry, settings["repeats"])
            try:
                identity: dict[str, Any] = {"tokenizer": None, "chat_template": None}
                identity["source"] = self._contents.identity(
                    entry["source"], f"{where}.source.path"
                )
                if entry["tokenizer"] is not None:
                    identity["tokenizer"] = self._contents.identity(
                        entry["tokenizer"], f"{where}.tokenizer.path"
                    )
                if entry["chat_template"] is not None:
                    identity["chat_template"] = self._contents.content(
                        entry["chat_template"], f"{where}.chat_template"
                    )
            except SnakevalError as error:
                self._errors.append(error)
                continue
            entry["identity"] = identity
            entry["source_id"] = spec.model_source(identity)

    def _resolve_datasets(
        self, datasets: dict[str, dict[str, Any]], settings: Mapping[str, Any]
    ) -> None:
        folder = self._data_dir(settings["data_dir"])
        for name, entry in datasets.items():
            where = f"config/datasets.yaml: datasets.{name}"
            self._errors += checks.dataset(entry, where)
            try:
                own = folder / f"{name}.jsonl" if folder else None
                sources = [
                    self._contents.identity(source, f"{where}.sources[{number}].path")
                    for number, source in enumerate(entry["sources"])
                ]
                if own and own.is_file():
                    sources = [{"content": self._contents.content(str(own), f"data_dir: {own}")}]
                    entry["samples_sha256"] = (
                        None  # it pins the shipped sources' rows, not one's own
                    )
                pinned = entry["samples_sha256"]
            except SnakevalError as error:
                self._errors.append(error)
                continue
            entry["source_id"] = spec.dataset_source(entry, sources, pinned)
            entry["identity"] = (
                {"samples": pinned} if pinned else {"sources": sources, "fields": entry["fields"]}
            )

    def _data_dir(self, path: str | None) -> Path | None:
        """Return the folder of local rows; one that is given and not there is an error."""
        if path is None:
            return None
        folder = self._root / Path(path).expanduser()
        if not folder.is_dir():
            self._errors.append(
                SnakevalError(
                    "data_dir",
                    repr(path),
                    "an existing folder",
                    "Give the folder that holds <dataset>.jsonl files, or leave data_dir out.",
                )
            )
            return None
        return folder


def _assembled(
    models: dict[str, dict[str, Any]],
    datasets: dict[str, dict[str, Any]],
    pairs: list[tuple[str, str]],
    settings: dict[str, Any],
) -> Run:
    """Give every pair its key, its scorer and its engine start."""
    run = Run(models, datasets, (), settings)
    per_engine = settings["pairs_per_engine"] or len(pairs)
    counts: Counter[str] = Counter()
    versions = {name: tasks.get(entry["task"]).version for name, entry in datasets.items()}
    resolved = []
    for model, dataset in pairs:
        resolved.append(
            Pair(
                model=model,
                dataset=dataset,
                key=run.key(model, dataset),
                scorer=spec.scorer(models[model], datasets[dataset], versions[dataset]),
                part=counts[model] // per_engine,
            )
        )
        counts[model] += 1
    return Run(models, datasets, tuple(resolved), settings)
