"""Bring a dataset here: the first source that answers, joined, normalised, in one fixed order."""

from __future__ import annotations

import hashlib
import sys
import traceback
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from snakeval import pictures, tasks
from snakeval.errors import SnakevalError, SourceError, StorageError
from snakeval.records import canonical_json, write_json, write_text
from snakeval.sources import images, rows, shots, tables
from snakeval.sources.unavailable import short


def fetch(
    slug: str, entry: dict[str, Any], data_dir: str | None, samples_path: Path, status_path: Path
) -> bool:
    """Write a dataset's samples and their status.

    Sources are tried in order: `<data_dir>/<slug>.jsonl` where it exists, then `entry["sources"]`.
    A source that cannot be had sends on to the next; one that holds wrong rows does not, because
    another one's rows would hide the mistake.

    Args:
        slug: name of the dataset in the registry.
        entry: its registry entry.
        data_dir: folder of `<slug>.jsonl` files in the hub's own columns, or None.
        samples_path: where the samples go, one canonical JSON object a line; empty on failure. Images
            go into the folder `images` beside it.
        status_path: where the status goes.

    Returns:
        Whether it worked. If not, the status file and stderr hold the reason.

    Raises:
        StorageError: the samples or the status cannot be written.
    """
    try:
        status = _fetch(slug, entry, data_dir, samples_path)
    except StorageError as error:
        if error.where == str(samples_path):
            raise
        status = _failed(str(error))
    except SnakevalError as error:
        status = _failed(str(error))
    if status["reason"] is not None:
        write_text(samples_path, "")
        print(f"error: {status['reason']}", file=sys.stderr)
    write_json(status_path, status)
    return status["reason"] is None


def _failed(reason: str) -> dict[str, Any]:
    return {
        "status": "failed",
        "reason": reason,
        "source": None,
        "revision": None,
        "rows": None,
        "sha256": None,
        "shots": None,
    }


def _fetch(
    slug: str, entry: dict[str, Any], data_dir: str | None, samples_path: Path
) -> dict[str, Any]:
    task = tasks.get(entry["task"])
    where = f"dataset {slug}"
    image = entry["fields"].get(tasks.IMAGE)
    found = tables.first(_sources(slug, entry["sources"], data_dir), where, image)
    raw = found.rows
    if image is not None:
        raw = images.kept(raw, image, where, pictures.folder_kept(samples_path), found.file)
    numbered = list(_joined(slug, entry, data_dir, _complete(where, entry, raw)))
    samples = _normalised(where, task, entry, numbered)
    if entry.get("shots"):
        samples = shots.added(where, task, entry, samples, _pool(slug, entry, data_dir, task))
    made = [sample for _, _, sample in samples]
    text = "".join(canonical_json(sample) + "\n" for sample in made)
    sha256 = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
    _check(slug, entry, found.source, len(numbered), sha256)
    write_text(samples_path, text)
    print(f"{where}: {len(numbered)} samples from {found.source}", file=sys.stderr)
    return {
        "status": "ok",
        "reason": None,
        "source": found.source,
        "revision": found.revision,
        "rows": len(numbered),
        "sha256": sha256,
        "shots": shots.shown(made) if entry.get("shots") else None,
    }


def _check(slug: str, entry: dict[str, Any], source: str, count: int, sha256: str) -> None:
    if not count:
        raise SourceError(
            f"dataset {slug}", f"no rows in {source}", "at least one", "Mend the source."
        )
    pinned = entry.get("samples_sha256")
    if pinned and pinned != sha256:
        raise SourceError(
            f"dataset {slug}",
            f"samples with sha256 {sha256} ({count} from {source})",
            f"{pinned}, the samples_sha256 of the registry",
            "If these are the rows you want, put the new value (or null) into the registry; "
            "results of the old rows are kept apart.",
        )


def _sources(
    name: str, sources: list[dict[str, Any]], data_dir: str | None
) -> list[dict[str, Any]]:
    """Return where a table comes from: one's own file `<data_dir>/<name>.jsonl` where it exists."""
    own = Path(data_dir).expanduser() / f"{name}.jsonl" if data_dir else None
    return [{"path": str(own)}] if own is not None and own.exists() else list(sources)


def _complete(where: str, entry: dict[str, Any], found: Iterable[rows.Row]) -> Iterator[rows.Row]:
    """Yield each row as plain JSON with the columns that every row has.

    Raises:
        SourceError: a row is no object.
    """
    constants = entry.get("constants") or {}
    for number, (place, raw) in enumerate(found):
        row = rows.plain(raw, place)
        if not isinstance(row, dict):
            raise SourceError(
                f"{where}: {place}",
                short(row),
                f"an object with the columns {_columns(entry)}",
                "Mend that row.",
            )
        yield f"{where}: {place}", {tasks.ROW_NUMBER: number, **constants, **row}


def _joined(
    slug: str, entry: dict[str, Any], data_dir: str | None, found: Iterable[rows.Row]
) -> Iterator[rows.Row]:
    """Yield each row with the columns of its partners in other tables; its own columns win.

    Raises:
        SourceError: another table cannot be had, or holds two partners of one row.
    """
    partners: list[tuple[str, dict[str, dict[str, Any]]]] = []
    for name, join in (entry.get("join") or {}).items():
        where = f"dataset {slug}.{name}"
        table = tables.first(_sources(f"{slug}.{name}", join["sources"], data_dir), where)
        by_key: dict[str, dict[str, Any]] = {}
        for place, raw in table.rows:
            row = rows.plain(raw, place)
            key = canonical_json(row.get(join["on"])) if isinstance(row, dict) else None
            if key is None or key in by_key:
                got = "a row without columns" if key is None else f"a second row for {short(key)}"
                raise SourceError(
                    f"{where}: {place}", got, f"one row for each {join['on']}", "Mend that row."
                )
            by_key[key] = row
        partners.append((join["on"], by_key))
    for place, row in found:
        whole = row
        for on, by_key in partners:
            whole = {**by_key.get(canonical_json(row.get(on)), {}), **whole}
        yield place, whole


def _pool(
    slug: str, entry: dict[str, Any], data_dir: str | None, task: tasks.Task
) -> Iterator[shots.Placed]:
    """Yield the samples from which a dataset's examples are taken."""
    block = entry["shots"]
    where = f"dataset {slug}.{block['name']}"
    table = tables.first(_sources(f"{slug}.{block['name']}", block["sources"], data_dir), where)
    return _normalised(where, task, entry, _complete(where, entry, table.rows))


def _normalised(
    where: str, task: tasks.Task, entry: dict[str, Any], found: Iterable[rows.Row]
) -> Iterator[shots.Placed]:
    """Turn rows into samples: (place, row, sample).

    Raises:
        SourceError: a row that does not fit, or an id that came before; names place and field.
    """
    places: dict[str, str] = {}
    for place, row in found:
        try:
            sample = task.normalise(row, entry["fields"], place)
        except SnakevalError:
            raise
        except Exception as error:  # a shape that the task did not think of: name the row
            traceback.print_exception(error)
            raise SourceError(
                place,
                f"a row that its task cannot read ({type(error).__name__}: {short(str(error))})",
                f"the columns {_columns(entry)}",
                "Mend that row, or the fields of the registry entry.",
            ) from error
        if sample["id"] in places:
            raise SourceError(
                place,
                f"the id {short(sample['id'])} of {places[sample['id']]} again",
                "ids that occur once",
                "Mend the row, or choose another column for the id.",
            )
        places[sample["id"]] = place.removeprefix(f"{where}: ")
        yield place, row, sample


def _columns(entry: dict[str, Any]) -> str:
    return ", ".join(dict.fromkeys(short(column) for column in entry["fields"].values()))
