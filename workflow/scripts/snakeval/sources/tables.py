"""Rows of one source: a repository on the hub, a file of a package, or local files."""

from __future__ import annotations

import os
import re
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from snakeval.errors import SnakevalError
from snakeval.records import read_json
from snakeval.sources import hub, packages, rows
from snakeval.sources.unavailable import Unavailable, combined, label, portable

CONFIG, FILE = "_config", "_file"  # columns that tell where a row of several is from
KEPT = "dataset_info.json"  # what the datasets library writes beside a table that it keeps


class Found(NamedTuple):
    """Rows of one source. `revision` is a commit or a package version, None for a local `file`."""

    rows: Iterator[rows.Row]
    source: str
    revision: str | None
    file: Path | None = None


def first(sources: list[dict[str, Any]], where: str, image: str | None = None) -> Found:
    """Make the rows of the first source readable that can be had.

    Args:
        sources: as in the registry.
        where: names what is sought in the error.
        image: a column of images to be read; others of the hub's are left out.

    Raises:
        SourceError: none can be had; each is named.
    """
    errors: list[SnakevalError] = []
    for source in sources:
        try:
            return open_source(source, image)
        except Unavailable as error:
            print(f"{where}: no rows from {error.where}: {error.got}", file=sys.stderr)
            errors.append(error)
    raise combined(where, errors)


def open_source(source: dict[str, Any], image: str | None = None) -> Found:
    """Make a source's rows readable.

    Raises:
        Unavailable: it cannot be had.
    """
    if "package" in source:
        path = packages.locate(source)
        return Found(rows.read(path), label(source), str(source["package"]))
    if "path" in source:
        path = Path(source["path"]).expanduser()
        if not path.exists():
            raise Unavailable(
                label(source), "no such file or folder", "one that exists", "Mend the path."
            )
        return Found(rows.read(path), f"path {portable(path)}", None, path)
    return _hub(source, image)


def _hub(source: dict[str, Any], image: str | None) -> Found:
    if "files" in source:
        return _hub_files(source)
    repo, revision = str(source["hub"]), source.get("revision")
    try:
        commit = _accessible(repo, revision)
        tables = hub.patiently(lambda: _load(source, commit, image), repo)
    except Unavailable as reason:
        tables, commit = _cached(source, reason, image)
    except Exception as error:
        failure = hub.explain(error, repo, "dataset", revision)
        if hub.is_unknown(failure):
            traceback.print_exception(error)
        raise failure from error
    return Found(_rows(tables, f"{repo} at {commit}, {source['split']}"), label(source), commit)


def _accessible(repo: str, revision: str | None) -> str:
    """Return the commit that a revision stands for, once its files may be read.

    Raises:
        Unavailable: not reachable, not found, not allowed.
    """
    info = hub.info(repo, "dataset", revision)
    if info.gated and info.siblings:
        largest = max(info.siblings, key=lambda sibling: sibling.size or 0)
        hub.check_access(repo, "dataset", info.sha, largest.rfilename)
    return str(info.sha)


def _rows(tables: dict[str | None, Any], name: str) -> Iterator[rows.Row]:
    """Yield the rows of each configuration, in its own words where there are several."""
    several = len(tables) > 1
    for config, table in tables.items():
        place = f"{name}, {config}" if several else name
        for number, row in enumerate(table, start=1):
            yield f"{place}, row {number}", {CONFIG: config, **row} if several else row


def _load(source: dict[str, Any], revision: str | None, image: str | None) -> dict[str | None, Any]:
    """Return configuration → table."""
    return {name: _readable(_download(source, name, revision), image) for name in _configs(source)}


def _configs(source: dict[str, Any]) -> list[str | None]:
    config = source.get("config")
    return config if isinstance(config, list) else [config]


def _download(source: dict[str, Any], config: str | None, revision: str | None) -> Any:
    """Bring one split here; the files of the others, often gigabytes, stay where they are."""
    import datasets

    repo, split = source["hub"], source["split"]
    builder = datasets.load_dataset_builder(repo, config, revision=revision)
    files = builder.config.data_files or {}
    only = {"data_files": {split: list(files[split])}} if split in files else {}
    return datasets.load_dataset(
        *(repo, config),
        split=split,
        revision=revision,
        features=builder.info.features,
        verification_mode="no_checks",  # the card counts the rows of all splits
        **only,
    )


def _readable(table: Any, image: str | None) -> Any:
    """Leave out images and the like, whose decoding needs further libraries; of `image` keep the bytes."""
    import datasets

    media = [
        name
        for name, feature in table.features.items()
        if type(feature).__name__ in ("Image", "Audio", "Video", "Pdf")
    ]
    if image in media:
        media.remove(image)
        table = table.cast_column(image, datasets.Image(decode=False))  # its bytes, unseen
    return table.remove_columns(media)


def _hub_files(source: dict[str, Any]) -> Found:
    """Read files of a repository as they are, line by line."""
    from huggingface_hub import hf_hub_download, try_to_load_from_cache

    repo, revision = str(source["hub"]), source.get("revision")

    def download() -> list[Path]:
        # By the name asked for, which the cache then knows as well.
        return [
            Path(hf_hub_download(repo, file, repo_type="dataset", revision=revision))
            for file in source["files"]
        ]

    try:
        commit = _accessible(repo, revision)
        paths = hub.patiently(download, repo)
    except Unavailable as reason:
        kept = [
            try_to_load_from_cache(repo, file, repo_type="dataset", revision=revision)
            for file in source["files"]
        ]
        paths = [Path(path) for path in kept if isinstance(path, str)]
        if len(paths) < len(kept):
            raise
        commit = _commit(paths[0])
        print(f"{repo}: {commit} taken from the cache ({reason.got})", file=sys.stderr)
    except Exception as error:
        failure = hub.explain(error, repo, "dataset", revision)
        if hub.is_unknown(failure):
            traceback.print_exception(error)
        raise failure from error
    return Found(_file_rows(source["files"], paths), label(source), commit)


def _commit(path: Path) -> str:
    """Return the commit in the path of a cached file, …/snapshots/{commit}/…"""
    parts = path.parts
    return parts[parts.index("snapshots") + 1]


def _file_rows(files: list[str], paths: list[Path]) -> Iterator[rows.Row]:
    for file, path in zip(files, paths, strict=True):
        for number, (_, row) in enumerate(rows.read(path), start=1):
            named = (
                {FILE: Path(file).name.partition(".")[0], **row} if isinstance(row, dict) else row
            )
            yield f"{file}, row {number}", named


def _cached(
    source: dict[str, Any], reason: Unavailable, image: str | None
) -> tuple[dict[str | None, Any], str]:
    """Take what an earlier run brought here, if it is the revision that is asked for.

    Raises:
        Unavailable: it is not here; `reason` says why it cannot be fetched.
    """
    from huggingface_hub import constants

    repo, revision = str(source["hub"]), str(source.get("revision"))
    place = os.environ.get("HF_DATASETS_CACHE") or Path(constants.HF_HOME) / "datasets"
    kept = Path(place) / repo.replace("/", "___").lower()
    known = {path.parent.name: path.stat().st_mtime for path in kept.glob(f"*/*/*/{KEPT}")}
    if re.fullmatch("[0-9a-f]{40}", revision):
        known = {commit: time for commit, time in known.items() if commit == revision}
    for commit in sorted(known, key=known.__getitem__, reverse=True):
        files = {name: _kept(kept, commit, name, source["split"]) for name in _configs(source)}
        if all(files.values()):
            print(f"{repo}: {commit} taken from the cache ({reason.got})", file=sys.stderr)
            return {name: _readable(_opened(paths), image) for name, paths in files.items()}, commit
    raise reason


def _kept(folder: Path, commit: str, config: str | None, split: str) -> list[Path]:
    """Return the files in which the datasets library keeps a split; nothing where it does not."""
    for path in sorted(folder.glob(f"*/*/{commit}/{KEPT}")):
        name = str(read_json(path).get("config_name"))
        if re.fullmatch(rf"{re.escape(config or 'default')}(-[0-9a-f]+)?", name):
            whole = sorted(path.parent.glob(f"*-{split}.arrow"))
            if files := whole or sorted(path.parent.glob(f"*-{split}-*-of-*.arrow")):
                return files
    return []


def _opened(files: list[Path]) -> Any:
    import datasets

    return datasets.concatenate_datasets([datasets.Dataset.from_file(str(path)) for path in files])
