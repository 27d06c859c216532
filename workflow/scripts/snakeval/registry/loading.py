"""From configuration files to a resolved run."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from snakeval import determinism, tasks
from snakeval.errors import ConfigError, SnakevalError, near
from snakeval.registry import checks, endpoints, lock, quantized, schema, selection, spec
from snakeval.registry.content import Contents
from snakeval.registry.files import read_yaml
from snakeval.registry.names import OtherNames
from snakeval.registry.run import Pair, Run
from snakeval.registry.selection import GIVEN, SHIPPED

SLUG = re.compile(r"[a-z0-9_]+")
OPTIONAL = ("datasets", "optional_datasets")
SINGULAR = {"models": "model", "datasets": "dataset", "categories": "category"}


def load(
    config: Mapping[str, Any], root: Path, pairs: Sequence[tuple[str, str]] | None = None
) -> Run:
    """Resolve a run.

    Args:
        config: what the user gave by --configfile and --config, and nothing else.
        root: the repository's folder.
        pairs: models and datasets that are taken in place of the selected ones; None takes these.

    Raises:
        ConfigError: everything that is wrong, one line each.
        StorageError: the hashes of large local files cannot be written down.
    """
    return _Loader(config, root, pairs).run()


class _Loader:
    """Gathers what is wrong, and goes on as far as that makes sense."""

    def __init__(
        self,
        config: Mapping[str, Any],
        root: Path,
        pairs: Sequence[tuple[str, str]] | None,
    ) -> None:
        self._root, self._given, self._pairs = root, config, pairs
        self._errors: list[SnakevalError] = []
        self._places: dict[tuple[str, str], str] = {}  # (kind, name) → file and key of the entry
        self._contents = Contents(root, root / "results" / ".hashes.json")
        self._lock = self._read_lock()

    def run(self) -> Run:
        """Return the run, or raise all errors at once."""
        shipped = self._file("config")
        registry = {kind: self._entries(kind, shipped) for kind in SINGULAR}
        places = {name: place for (kind, name), place in self._places.items() if kind == "models"}
        self._names = OtherNames(registry["models"], places)
        self._errors += self._names.errors
        self._errors += quantized.check(registry["models"], places)
        layers = self._names.resolved(selection.layers(shipped, self._given))
        settings = self._settings(shipped, layers)
        if not settings:
            self._stop_on_errors()
        self._check_categories(registry["categories"])
        names = {kind: [name for place, name in self._places if place == kind] for kind in SINGULAR}
        selector = selection.Selector(
            *(layers, names["models"], names["datasets"], names["categories"]),
            *(registry["categories"], self._names.replaced),
        )
        selected = self._select(selector, registry)
        pairs, left_out = self._fitting(selected, registry, settings["deterministic"])
        judged = [pair for pair in pairs if _conversation(registry["datasets"][pair[1]])]
        judges = self._judges(settings, layers, registry["models"], judged)
        self._check_baseline(settings, layers, [model for model, _ in pairs])
        models, datasets = (
            {
                name: {**entry, "title": entry["title"] or name}
                for name, entry in registry[kind].items()
                if name in named
            }
            for kind, named in (
                ("models", {model for model, _ in pairs}),
                ("datasets", {dataset for _, dataset in pairs}),
            )
        )
        judges = {
            name: models.get(name) or {**entry, "title": entry["title"] or name}
            for name, entry in judges.items()
        }
        bases = self._bases(judges | models, registry["models"])
        needed = bases | judges | models
        for name, entry in sorted(needed.items(), key=lambda item: quantized.made_here(item[1])):
            if settings["deterministic"]:
                entry["deterministic"] = True
            self._resolve_model(
                entry, self._places["models", name], needed.get(entry["base_model"])
            )
        data_dir = self._data_dir(settings["data_dir"], layers)
        for name, entry in datasets.items():
            self._resolve_dataset(name, entry, self._places["datasets", name], data_dir)
            for model, place in ((models[name], self._places["models", name]) for name in models):
                self._errors += quantized.calibrated_on(model, place, name, entry, data_dir)
        self._stop_on_errors()
        self._contents.save()
        run = _assembled(models, datasets, pairs, settings, left_out, judges)
        notes = determinism.notes(models) if settings["deterministic"] else ()
        categories = tuple(
            {
                "name": name,
                "title": registry["categories"][name]["title"] or name,
                "datasets": [dataset for dataset in own if dataset in datasets],
            }
            for name, own in selector.categories().items()
        )
        notes = (*self._names.notes, *notes)
        said = selector.selection()
        return replace(run, bases=bases, categories=categories, selection=said, notes=notes)

    def _bases(
        self, needed: Mapping[str, dict[str, Any]], models: Mapping[str, dict[str, Any]]
    ) -> dict[str, dict[str, Any]]:
        """Return the entries that are quantized here for the run's models and are not among these."""
        recipes = filter(None, map(quantized.recipe, needed.values()))
        names = dict.fromkeys(recipe["model"] for recipe in recipes)
        return {
            name: {**models[name], "title": models[name]["title"] or name}
            for name in names
            if name not in needed and name in models
        }

    def _judges(
        self,
        settings: Mapping[str, Any],
        layers: list[selection.Layer],
        models: Mapping[str, dict[str, Any]],
        pairs: list[tuple[str, str]],
    ) -> dict[str, dict[str, Any]]:
        """Return the entry of the judge by its name; nothing where none is chosen.

        Args:
            settings: the run's settings.
            layers: where they stand.
            models: the entries that are right themselves.
            pairs: those that a model judges.
        """
        name, baseline = settings["judge"], settings["judge_baseline"]
        places = {key: layer.place(key) for layer in layers for key in layer.run}
        for dataset in dict.fromkeys(dataset for _, dataset in pairs):
            answering = [model for model, other in pairs if other == dataset]
            if baseline is not None and baseline not in answering:
                self._errors.append(
                    SnakevalError(
                        places["judge_baseline"],
                        repr(baseline),
                        f"one of the run's models on {dataset}",
                        near(str(baseline), answering),
                    )
                )
        if baseline is not None and name is None:
            self._errors.append(
                SnakevalError(
                    places["judge_baseline"],
                    "no judge beside it",
                    "one that compares",
                    "Give judge= too, or leave judge_baseline out.",
                )
            )
        if name is None:
            return {}
        known = [entry for kind, entry in self._places if kind == "models"]
        if name not in known:
            fix = self._names.advice(str(name), known)
            self._errors.append(
                SnakevalError(places["judge"], repr(name), "a name in config/models.yaml", fix)
            )
        elif name in models:
            self._errors += checks.judge(name, models[name], settings, places["judge"])
            if settings["deterministic"]:
                where = self._places["models", name]
                self._errors += determinism.unfit(name, models[name], where)
        return {name: models[name]} if name in models else {}

    def _check_baseline(
        self, settings: Mapping[str, Any], layers: list[selection.Layer], models: list[str]
    ) -> None:
        """Note a `baseline_model` that the run does not hold."""
        key = selection.BASELINE_MODEL
        if settings[key] is not None and settings[key] not in models:
            place = [layer.place(key) for layer in layers if key in layer.run][-1]
            fix = near(str(settings[key]), list(dict.fromkeys(models)))
            got = repr(settings[key])
            self._errors.append(SnakevalError(place, got, "one of the run's models", fix))

    def _select(
        self, selector: selection.Selector, registry: Mapping[str, Mapping[str, Any]]
    ) -> list[tuple[str, str]]:
        """Return the selected pairs of entries that are right themselves."""
        pairs = selector.pairs()
        self._errors += selector.errors
        if self._pairs is not None:
            pairs = list(self._pairs)
        if not pairs and not self._errors:
            self._errors.append(
                SnakevalError(
                    "selection",
                    "no pair",
                    "at least one model on one dataset",
                    "Give categories=, or models= and datasets=, and exclude less.",
                )
            )
        return [
            (model, dataset)
            for model, dataset in pairs
            if model in registry["models"] and dataset in registry["datasets"]
        ]

    def _fitting(
        self,
        pairs: list[tuple[str, str]],
        registry: Mapping[str, Mapping[str, Any]],
        deterministic: bool,
    ) -> tuple[list[tuple[str, str]], list[dict[str, Any]]]:
        """Return the pairs that make sense, and the others with the reason; none that does is an error."""
        fitting, left_out = [], []
        found: list[SnakevalError] = []
        for model, dataset in pairs:
            errors = list(
                checks.pair(
                    model,
                    registry["models"][model],
                    self._places["models", model],
                    dataset,
                    registry["datasets"][dataset],
                    self._places["datasets", dataset],
                )
            )
            if deterministic:
                entry, where = registry["models"][model], self._places["models", model]
                errors += determinism.unfit(model, entry, where)
            found += errors
            if errors:
                reason = " ".join(str(error) for error in errors)
                left_out.append({"model": model, "dataset": dataset, "reason": reason})
            else:
                fitting.append((model, dataset))
        if not fitting and self._pairs is None:
            self._errors += found
            return pairs, []
        return fitting, left_out

    def _read_lock(self) -> lock.Lock:
        try:
            return lock.read(self._root)
        except SnakevalError as error:
            self._errors.append(error)
            return lock.Lock({})

    def _stop_on_errors(self) -> None:
        if self._errors:
            raise ConfigError({str(error): error for error in self._errors}.values())

    def _file(self, name: str) -> dict[str, Any]:
        """Read one file of config/; without it, what the others say would seem wrong too."""
        try:
            return read_yaml(self._root / "config" / f"{name}.yaml", f"config/{name}.yaml")
        except SnakevalError as error:
            raise ConfigError([*self._errors, error]) from error

    def _entries(self, kind: str, shipped: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
        """Return the checked entries of one kind, defaults filled, given keys laid over the files'."""
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
            self._places[kind, name] = f"{where[name]}: {path}"
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
            if kind == "models" and not errors:
                errors = list(endpoints.check(entry, self._places[kind, name]))
            self._errors += errors
            if not errors:
                good[name] = schema.filled(entry, SINGULAR[kind])
                if kind == "models":
                    good[name] = quantized.completed(endpoints.completed(good[name]))
        return good

    def _settings(
        self, shipped: Mapping[str, Any], layers: list[selection.Layer]
    ) -> dict[str, Any]:
        """Return all settings with their defaults; empty where something is wrong."""
        known = {*schema.load("config")["properties"], *selection.NAMES, *selection.SETTINGS}
        wrong: list[SnakevalError] = []
        for where, config in ((SHIPPED, shipped), (GIVEN, self._given)):
            for key in config:
                if key not in known:
                    place = f"{where}: {key}"
                    wrong.append(
                        SnakevalError(place, "an unknown key", "a known one", near(str(key), known))
                    )
            if not isinstance(config.get("run", {}), Mapping):
                wrong += schema.check({"run": config["run"]}, "config", where)
        for layer in layers:
            wrong += schema.check(layer.run, "run", layer.where, layer.prefix)
            wrong += schema.check(layer.rest, "config", layer.where)
            # An empty shell variable must not stand for the shipped selection.
            wrong += [
                SnakevalError(
                    layer.place(key),
                    "nothing",
                    "names",
                    "Leave it out to take what config/config.yaml selects.",
                )
                for key in selection.KINDS
                if layer.where == GIVEN and layer.run.get(key) == []
            ]
        self._errors += wrong
        if wrong:
            return {}
        merged = selection.settings(layers)
        run = {key: merged.pop(key) for key in selection.SETTINGS if key in merged}
        run, rest = schema.filled(run, "run"), schema.filled(merged, "config")
        return {key: run[key] for key in selection.SETTINGS} | {
            key: rest[key] for key in selection.REST
        }

    def _check_categories(self, categories: Mapping[str, dict[str, Any]]) -> None:
        """Put models' own names into categories, and note the names that no file knows."""
        for name, category in categories.items():
            category["models"] = [self._names.model(model) for model in category["models"]]
            for kind, key in (*((k, k) for k in ("models", "datasets")), OPTIONAL):
                known = [entry for place, entry in self._places if place == kind]
                for member in category[key]:
                    if member not in known:
                        self._errors.append(
                            SnakevalError(
                                f"{self._places['categories', name]}.{key}",
                                repr(member),
                                f"a name in config/{kind}.yaml",
                                self._names.advice(member, known)
                                if kind == "models"
                                else near(member, known),
                            )
                        )

    def _resolve_model(
        self, entry: dict[str, Any], where: str, base: dict[str, Any] | None
    ) -> None:
        """Check a model and add what it is made from; `base` is the entry that it is a copy of, if needed."""
        self._errors += checks.model(entry, where, self._root)
        identity: dict[str, Any] = {"tokenizer": None, "chat_template": None}
        try:
            for part in ("source", "tokenizer"):
                if entry[part] is not None and "quantize" in entry[part]:
                    if base is None or "identity" not in base:
                        return  # what is wrong with it has been said
                    identity[part] = quantized.identity(entry, base, self._contents, where)
                elif entry[part] is not None:
                    entry[part] = self._lock.pinned(entry[part], "models")
                    identity[part] = self._contents.identity(entry[part], f"{where}.{part}.path")
            if entry["endpoint"] is not None:
                identity["source"] = endpoints.identity(entry)
            if entry["chat_template"] is not None:
                identity["chat_template"] = self._contents.content(
                    entry["chat_template"], f"{where}.chat_template"
                )
        except SnakevalError as error:
            self._errors.append(error)
            return
        entry["identity"] = identity
        entry["source_id"] = spec.model_source(entry)

    def _resolve_dataset(
        self, name: str, entry: dict[str, Any], where: str, data_dir: Path | None
    ) -> None:
        """Check a dataset and add what it is made from."""
        self._errors += checks.dataset(entry, where)
        for block in (entry, *spec.further_tables(entry).values()):
            block["sources"] = [
                self._lock.pinned(source, "datasets") for source in block["sources"]
            ]
        try:
            images = tasks.IMAGE in entry["fields"]
            sources, own = self._sources(
                name, entry["sources"], f"{where}.sources", data_dir, images
            )
            further = {}
            for other, block in spec.further_tables(entry).items():
                place = f"{where}.{other}.sources"
                further[other], theirs = self._sources(
                    f"{name}.{other}", block["sources"], place, data_dir
                )
                own = own or theirs
        except SnakevalError as error:
            self._errors.append(error)
            return
        if own:
            entry["samples_sha256"] = None  # it pins the registry's sources, not one's own rows
        entry["source_id"] = spec.dataset_source(entry, sources, further)
        entry["identity"] = spec.dataset_identity(entry, sources, further)

    def _sources(
        self,
        name: str,
        sources: list[dict[str, Any]],
        where: str,
        data_dir: Path | None,
        images: bool = False,
    ) -> tuple[list[dict[str, Any]], bool]:
        """Return what a table is made from, and whether that is one's own file in data_dir.

        Args:
            name: the table's.
            sources: as in the registry.
            where: where they stand.
            data_dir: the folder of one's own files.
            images: whether its rows may name images in a folder beside them.

        Raises:
            SnakevalError: a path that does not exist or cannot be read.
        """
        own = data_dir / f"{name}.jsonl" if data_dir else None
        if own and own.exists():
            mine = {"path": str(own)}
            return [self._contents.identity(mine, f"data_dir: {own}", images)], True
        return [
            self._contents.identity(source, f"{where}[{number}].path", images)
            for number, source in enumerate(sources)
        ], False

    def _data_dir(self, path: str | None, layers: list[selection.Layer]) -> Path | None:
        """Return the folder of one's own rows; one that is given and not there is an error."""
        if path is None:
            return None
        folder = self._root / Path(path).expanduser()
        if not folder.is_dir():
            where = next(layer for layer in reversed(layers) if "data_dir" in layer.rest)
            self._errors.append(
                SnakevalError(
                    f"{where.where}: data_dir",
                    repr(path),
                    "an existing folder",
                    "Give the folder that holds <dataset>.jsonl files, or leave data_dir out.",
                )
            )
            return None
        return folder


def _conversation(dataset: Mapping[str, Any]) -> bool:
    return dataset["task"] in tasks.names() and tasks.get(dataset["task"]).conversation


def _assembled(
    models: dict[str, dict[str, Any]],
    datasets: dict[str, dict[str, Any]],
    pairs: list[tuple[str, str]],
    settings: dict[str, Any],
    left_out: list[dict[str, Any]],
    judges: dict[str, dict[str, Any]],
) -> Run:
    """Give every pair its key, its judging, its scorer and its engine start."""
    versions = {name: tasks.get(entry["task"]).version for name, entry in datasets.items()}
    for name, entry in datasets.items():
        entry["oracle_id"] = spec.oracle(entry, versions[name], settings["limit"])
    for entry in models.values():
        entry["benchmark_id"] = spec.benchmark(entry, settings)
    run = Run(models, datasets, (), settings, judges=judges)
    per_engine = settings["pairs_per_engine"] or len(pairs)
    counts: Counter[str] = Counter()
    resolved = []
    for model, dataset in pairs:
        judging = run.judging(model, dataset)
        resolved.append(
            Pair(
                model=model,
                dataset=dataset,
                key=run.key(model, dataset),
                scorer=spec.scorer(models[model], datasets[dataset], versions[dataset], judging),
                part=counts[model] // per_engine,
                judging=judging,
            )
        )
        counts[model] += 1
    return Run(models, datasets, tuple(resolved), settings, tuple(left_out), judges)
