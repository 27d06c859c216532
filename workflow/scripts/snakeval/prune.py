"""Predictions that no configuration yields any more: which they are, why, and how they are removed.

What config/config.yaml, a ready-made run in config/ or the given configuration yields is kept, of every model and
dataset that the registry knows, selected or not. Nothing but whole folders of predictions is removed; their answers
stay in the journal.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from snakeval import leash
from snakeval.at_work import hold_alone
from snakeval.errors import SnakevalError, StorageError
from snakeval.preflight.reasons import changes
from snakeval.preflight.text import table
from snakeval.records import canonical_json, read_json
from snakeval.registry import Run, load
from snakeval.registry.files import read_yaml
from snakeval.registry.loading import SLUG
from snakeval.registry.selection import CONFIRM, NAMES, SHIPPED
from snakeval.reporting.formats import several
from snakeval.sources.unavailable import short

PAIRS = Path("results/pairs")
ASIDE = PAIRS / ".pruned"  # what is being removed; no model is named so
KEY = re.compile(r"[0-9a-f]{12}")
REGISTRY = ("models", "datasets", "categories", "lock")  # files of config/ that say no run
LONGEST = 120  # characters of what has changed
# They change no key, and a run of other pairs than the selected ones may not have them.
NOT_ASKED = {"judge": None, "judge_baseline": None, "baseline_model": None}


@dataclass(frozen=True)
class Old:
    """Predictions whose key no configuration yields.

    Attributes:
        path: their folder, below the working directory.
        size: bytes of all files in it.
        made: when, in seconds since the epoch.
        why: what they differ in from what the given configuration yields.
    """

    path: Path
    size: int
    made: float
    why: str


def prune(config: Mapping[str, Any], root: Path) -> Iterator[str]:
    """Yield lines that tell what no configuration yields; remove it where the configuration confirms that.

    Args:
        config: what was given by --configfile and --config.
        root: the repository's folder.

    Raises:
        SnakevalError: a configuration is wrong, or something cannot be removed.
    """
    confirmed = load(config, root).settings[CONFIRM]
    if confirmed and leash.VARIABLE not in os.environ:
        hold_alone(root)  # else the Snakemake that started this does
    found = list(find(config, root))
    if confirmed:
        shutil.rmtree(root / ASIDE, ignore_errors=True)  # what a killed one left
    if not found:
        yield "Nothing to prune: some configuration yields every key under results/pairs."
        return
    size = _megabytes(sum(old.size for old in found))
    yield from table("Predictions that no configuration yields", _rows(found))
    yield ""
    if confirmed:
        for old in found:
            remove(old.path, root)
        yield f"Removed: {several(len(found), 'folder')}, {size} MB. Their answers stay in results/journal."
        return
    yield f"{several(len(found), 'folder')}, {size} MB. Nothing was removed."
    yield (
        "Kept is what config/config.yaml, each ready-made run in config/ and this command's --configfile and --config "
        "yield, of every model and dataset. To keep what other settings made, such as limit=20 or data_dir=rows, give "
        "them here too."
    )
    yield (
        "To remove these, add confirm=true to --config. Their answers stay in results/journal: should a key come back, "
        "nothing is asked again."
    )


def find(config: Mapping[str, Any], root: Path) -> Iterator[Old]:
    """Yield the predictions whose key no configuration yields, by model and dataset, oldest first.

    Raises:
        SnakevalError: a configuration is wrong, so that it is not known what it yields.
    """
    folders = dict(_folders(root))
    pairs = list(dict.fromkeys(folders.values()))
    if not pairs:
        return
    given, *others = _runs(config, root, pairs)
    kept = {pair.key for run in (given, *others) for pair in run.pairs}
    found = [
        Old(path, _size(root / path), _made(root / path), _why(given, model, dataset, root / path))
        for path, (model, dataset) in folders.items()
        if path.name not in kept
    ]
    yield from sorted(found, key=lambda old: (old.path.parent, old.made))


def remove(path: Path, root: Path) -> None:
    """Remove a folder of predictions: at once for all who look, and without following a link.

    Args:
        path: the folder, below `root`.
        root: the working directory.

    Raises:
        StorageError: it cannot be removed.
    """
    aside = root / ASIDE / ".".join(path.parts[-3:])
    try:
        if aside.parent.is_symlink():
            aside.parent.unlink()
        aside.parent.mkdir(exist_ok=True)
        (root / path).rename(aside)
        shutil.rmtree(aside)
    except OSError as error:
        raise StorageError.from_os_error(error, path) from error
    for empty in (aside.parent, root / path.parent, root / path.parent.parent):
        with suppress(OSError):  # another key or dataset lies there
            empty.rmdir()


def _folders(root: Path) -> Iterator[tuple[Path, tuple[str, str]]]:
    """Yield each folder of predictions with its model and dataset; links are left alone."""
    for model in _inside(root / PAIRS, SLUG):
        for dataset in _inside(root / PAIRS / model, SLUG):
            for key in _inside(root / PAIRS / model / dataset, KEY):
                yield PAIRS / model / dataset / key, (model, dataset)


def _inside(folder: Path, name: re.Pattern[str]) -> list[str]:
    """Return the names of the folders in a folder that are named so."""
    try:
        with os.scandir(folder) as entries:
            found = [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise StorageError.from_os_error(error, folder) from error
    return sorted(one for one in found if name.fullmatch(one))


def _runs(config: Mapping[str, Any], root: Path, pairs: list[tuple[str, str]]) -> Iterator[Run]:
    """Yield what each configuration makes of some pairs, the given one first, and the given one's own pairs."""
    yield load({**config, **NOT_ASKED}, root, pairs)
    yield load(config, root)
    seen = []
    for path in sorted((root / "config").glob("*.yaml")):
        if path.stem in REGISTRY:
            continue
        name = f"config/{path.name}"
        ready = {} if name == SHIPPED else read_yaml(path, name)  # each run has that one below it
        if (settings := canonical_json(_settings(ready))) in seen:
            continue  # it differs in what it selects alone
        seen.append(settings)
        try:
            yield load({**ready, **NOT_ASKED}, root, pairs)
        except SnakevalError as error:
            wrong = f"what is no run ({str(error).splitlines()[0]})"
            fix = "Mend it, or move it out of config/: what it yields is not known, so nothing is pruned."
            raise SnakevalError(name, wrong, "a run", fix) from error


def _settings(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a configuration without what only selects pairs."""
    run = config.get("run")
    nested = {"run": _settings(run)} if isinstance(run, Mapping) else {}
    return {
        name: value
        for name, value in {**config, **nested}.items()
        if not (name in NAMES and not isinstance(value, Mapping))
    }


def _why(run: Run, model: str, dataset: str, folder: Path) -> str:
    """Say what predictions differ in from what a configuration yields."""
    for left in run.left_out:
        if (left["model"], left["dataset"]) == (model, dataset):
            return f"left out today: {left['reason']}"
    if model not in run.models or dataset not in run.datasets:
        return "model or dataset is not in the registry any more"
    try:
        return changes(read_json(folder / "meta.json")["spec"], run.spec(model, dataset))
    except (StorageError, LookupError, TypeError, AttributeError):
        return "without a meta.json that can be read"


def _size(folder: Path) -> int:
    """Return the bytes of all files below a folder."""
    return sum(
        (Path(place) / name).lstat().st_size
        for place, _, names in os.walk(folder)
        for name in names
    )


def _made(folder: Path) -> float:
    meta = folder / "meta.json"
    return (meta if meta.exists() else folder).lstat().st_mtime


def _rows(found: list[Old]) -> Iterator[tuple[str, ...]]:
    yield "model", "dataset", "key", "made", "MB", "what has changed since"
    for old in found:
        made = f"{datetime.fromtimestamp(old.made):%Y-%m-%d %H:%M}"
        model, dataset, key = old.path.parts[-3:]
        yield model, dataset, key, made, _megabytes(old.size), short(old.why, LONGEST)


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.1f}"
