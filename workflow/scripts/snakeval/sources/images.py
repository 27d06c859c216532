"""Images in rows: kept as files named by their content, and replaced by that name."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from snakeval import pictures
from snakeval.errors import SourceError
from snakeval.records import write_bytes
from snakeval.sources.rows import Row
from snakeval.sources.unavailable import portable, short

# How base64 of a PNG, JPEG, WebP, TIFF (in both byte orders) and GIF begins.
_BASE64 = ("iVBORw0KGgo", "/9j/", "UklGR", "SUkq", "TU0A", "R0lGOD")


def kept(
    rows: Iterator[Row], column: str, where: str, folder: Path, file: Path | None
) -> Iterator[Row]:
    """Yield rows with the name of the kept image in place of the image.

    An image is bytes, base64 text, `{bytes, path}` as the hub's tables have it, or the path of a file
    relative to the folder of the rows. Files lie in the folder that is called as the file of rows is.

    Args:
        rows: rows as read.
        column: where their images are.
        where: names the dataset in errors.
        folder: where images are kept.
        file: the local file of the rows; None where they are from elsewhere and name no files.

    Raises:
        SourceError: not an image, too large, broken, or a path to elsewhere; names row and field.
        StorageError: it cannot be kept.
    """
    known: dict[bytes, str] = {}  # by hash: several questions are asked about one page
    for place, row in rows:
        if not isinstance(row, dict) or column not in row:
            yield place, row  # what is missing is named further on
            continue
        field = f"{where}: {place}, field image"
        try:
            data = _data(row[column], file)
            digest = hashlib.sha256(data).digest()
            name = known.get(digest) or pictures.file_name(data)
        except (ValueError, OSError) as error:
            found = getattr(error, "strerror", None) or str(error)
            raise SourceError(
                field,
                f"{short(found, 300)} in column {column!r}",
                pictures.EXPECTED,
                "Mend or leave out that row.",
            ) from error
        if digest not in known:
            known[digest] = name
            if not (folder / name).exists():
                write_bytes(folder / name, data)
        yield place, {**row, column: name}


def _data(value: Any, file: Path | None) -> bytes:
    """Return an image's bytes.

    Raises:
        ValueError: there are none.
        OSError: its file cannot be read.
    """
    if isinstance(value, dict):
        data = value.get("bytes")
        if isinstance(data, str) and data:
            return _decoded(data)
        value = data or value.get("path")
    if isinstance(value, bytes):
        return value
    if not isinstance(value, str) or not value:
        raise ValueError(f"{type(value).__name__} {short(value)}")
    if value.startswith("data:"):
        return _decoded(value.partition(",")[2])
    if value.startswith(_BASE64):
        return _decoded(value)
    return _read(value, file)


def _decoded(text: str) -> bytes:
    if len(text) > pictures.MAX_BYTES * 3 // 2:  # before it is taken apart
        raise ValueError(f"{len(text):,} characters of base64")
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError(f"broken base64 ({error})") from error


def _read(name: str, file: Path | None) -> bytes:
    if file is None:
        raise ValueError(f"the path {short(name)!r} and no bytes")
    folder = pictures.folder_beside(file)
    parts = PurePosixPath(name).parts
    if parts[0] != folder.name or ".." in parts:
        raise ValueError(f"the path {short(name)!r}, which does not begin with {folder.name}/")
    path = file.parent / name
    if not path.is_file():
        raise ValueError(f"the path {short(name)!r}, and no file {portable(path)}")
    if (size := path.stat().st_size) > pictures.MAX_BYTES:
        raise ValueError(f"{size / 2**20:.0f} MiB in {portable(path)}")
    return path.read_bytes()
