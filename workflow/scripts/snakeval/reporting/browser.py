"""Write the browser of all samples: a page, an index that it filters, and the texts, loaded when they are asked for.

    samples/index.html                    the page
    samples/data/index.js                 what stands in lists: name, state, class and value of every answer
    samples/data/<model>-<dataset>-<n>.js  the n-th part of a pair's answers

A page opened from disk may not read files, but may load scripts. So each file under `data` is a script of one
call with a name and Base64 of deflated JSON: nothing in it can end a string or a tag. The page's policy allows
its own script by hash, and what that one loads.
"""

from __future__ import annotations

import base64
import json
import shutil
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from snakeval.errors import StorageError
from snakeval.reporting.pairs import STATES
from snakeval.reporting.samples import TEXTS, SampleView
from snakeval.reporting.text import HIDDEN

if TYPE_CHECKING:
    from snakeval.registry import Pair
    from snakeval.reporting.view import PairView

TEXT_CHARACTERS = 100_000  # of one text; the page says where the whole is
CHUNK_CHARACTERS = 2_000_000  # of the texts in one file, before they are packed
ANSWERS_A_CHUNK = 2_000
IN_INDEX = ("anchor", "id", "repeat", "state", "failure", "value")  # and so in no chunk
PACKING = 1  # of zlib: a report is written more often than it is sent


@dataclass
class _Chunk:
    """Answers of a pair that are not written yet, as JSON."""

    rows: list[str] = field(default_factory=list)
    characters: int = 0


@dataclass
class _Listed:
    """The answers of one pair as they stand in the index, and at which of them each file begins."""

    ids: list[str] = field(default_factory=list)
    repeats: list[int] = field(default_factory=list)
    states: list[int] = field(default_factory=list)  # positions in STATES
    classes: list[str | None] = field(default_factory=list)
    values: list[float | int | None] = field(default_factory=list)
    chunks: list[int] = field(default_factory=list)


class _Shared:
    """Things that several pairs refer to, by their position."""

    def __init__(self) -> None:
        self.values: list[Any] = []
        self._positions: dict[Any, int] = {}

    def position(self, key: Any, value: Any) -> int:
        """Return which of the things `key` names; a new one is `value`."""
        position = self._positions.setdefault(key, len(self.values))
        if position == len(self.values):
            self.values.append(value)
        return position


class Browser:
    """Collects answers pair by pair, and holds no more than one file of texts."""

    def __init__(self, folder: Path) -> None:
        """Write to `folder`, which is empty."""
        self._data = folder / "data"
        self._data.mkdir(parents=True)
        self._page = folder / "index.html"
        self._pairs: dict[Pair, _Listed] = {}
        self._pair: Pair | None = None
        self._chunk = _Chunk()

    def add(self, pair: Pair, sample: SampleView) -> None:
        """Take the next answer; those of a pair come one after the other."""
        if pair != self._pair:
            self._flush()
            self._pair = pair
            self._pairs[pair] = _Listed()
        listed = self._pairs[pair]
        if not self._chunk.rows:
            listed.chunks.append(len(listed.ids))
        listed.ids.append(sample.id)
        listed.repeats.append(sample.repeat)
        listed.states.append(STATES.index(sample.state))
        listed.classes.append(sample.failure)
        listed.values.append(_short(sample.value))
        row = json.dumps(_told(sample), separators=(",", ":"))
        self._chunk.rows.append(row)
        self._chunk.characters += len(row)
        if self._chunk.characters >= CHUNK_CHARACTERS or len(self._chunk.rows) >= ANSWERS_A_CHUNK:
            self._flush()

    def close(self, page: str, pairs: Sequence[PairView]) -> None:
        """Write the page and the index of these pairs."""
        self._flush()
        self._write("index", json.dumps(self._index(pairs), separators=(",", ":")))
        self._page.write_text(page, encoding="utf-8")

    def _flush(self) -> None:
        if self._pair and self._chunk.rows:
            number = len(self._pairs[self._pair].chunks) - 1
            name = f"{self._pair.model}-{self._pair.dataset}-{number}"
            self._write(name, f"[{','.join(self._chunk.rows)}]")
        self._chunk = _Chunk()

    def _write(self, name: str, text: str) -> None:
        # ASCII: json.dumps escapes everything else, halves of surrogate pairs too.
        packed = base64.b64encode(zlib.compress(text.encode("ascii"), PACKING)).decode("ascii")
        (self._data / f"{name}.js").write_text(f'received("{name}","{packed}")\n', "ascii")

    def _index(self, pairs: Sequence[PairView]) -> dict[str, Any]:
        """Return what the page filters; what several pairs share stands there once."""
        models, datasets, protocols, classes, lists = (_Shared() for _ in range(5))
        rows = []
        for view in pairs:
            pair, way, listed = view.pair, view.protocol, self._pairs.get(view.pair, _Listed())
            dataset = {
                **{"slug": pair.dataset, "title": view.dataset_title},
                "sensitive": view.sensitive,
            }
            ids, repeats = tuple(listed.ids), tuple(listed.repeats)
            model = {"slug": pair.model, "title": view.model_title}
            row = {
                "model": models.position(pair.model, model),
                "dataset": datasets.position(pair.dataset, dataset),
                "protocol": protocols.position(way.id, {"id": way.id, "title": way.title}),
                "list": lists.position((ids, repeats), {"ids": ids, "repeats": repeats}),
                "states": listed.states,
                "classes": [name and classes.position(name, name) for name in listed.classes],
                "values": listed.values,
                "chunks": listed.chunks,
                "folder": pair.folder().as_posix(),
                "scores": pair.score_folder().as_posix(),
            }
            rows.append(row)
        return {
            **{"models": models.values, "datasets": datasets.values},
            **{"protocols": protocols.values, "classes": classes.values},
            **{"lists": lists.values, "pairs": rows, "states": STATES},
            **{"files": TEXTS, "clipped_at": TEXT_CHARACTERS, "hidden": HIDDEN.pattern},
        }


@contextmanager
def browser(folder: Path) -> Iterator[Browser]:
    """Collect for a folder that takes the place of `folder` when the block ends well.

    Raises:
        StorageError: the disk is full, the folder is read-only, …; `folder` is as it was before.
    """
    new = folder.with_name(f".{folder.name}.tmp")
    try:
        shutil.rmtree(new, ignore_errors=True)
        try:
            yield Browser(new)
            shutil.rmtree(folder, ignore_errors=True)
            new.replace(folder)
        finally:
            shutil.rmtree(new, ignore_errors=True)
    except OSError as error:
        raise StorageError.from_os_error(error, folder) from error


def _told(sample: SampleView) -> dict[str, Any]:
    """Return what a chunk holds of an answer; what is missing is left out."""
    shown = vars(sample.clipped(TEXT_CHARACTERS))
    told = {
        name: value for name, value in shown.items() if name not in IN_INDEX and value is not None
    }
    if clipped := [name for name, text in sample.texts.items() if len(text) > TEXT_CHARACTERS]:
        told["clipped"] = clipped
    return told


def _short(value: float | None) -> float | int | None:
    """Return a number of few digits: 1 for 1.0."""
    if value is None:
        return None
    return int(value) if value == int(value) else round(value, 4)
