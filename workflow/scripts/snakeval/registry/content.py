"""What a source is: its name and version, or the hash of the local files, never their path."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path
from typing import Any

from snakeval.errors import SnakevalError, StorageError
from snakeval.pictures import folder_beside
from snakeval.records import file_sha256, read_json, write_json

REMEMBERED_BYTES = 16 * 2**20  # larger files are hashed once and known again by size and time
SLOW_BYTES = 2**30


class Contents:
    """Hashes local files; large ones are remembered in a file.

    Args:
        root: what relative paths stand for.
        memory: the file of remembered hashes; it is written by `save`.
    """

    def __init__(self, root: Path, memory: Path) -> None:
        self.root, self._memory = root, memory
        self._known: dict[str, list[Any]] | None = None
        self._changed = False

    def identity(self, source: dict[str, Any], where: str, images: bool = False) -> dict[str, Any]:
        """Return what the content of a source depends on.

        Args:
            source: as in the registry.
            where: names it in errors.
            images: whether it is a file of rows that may name images in the folder beside it.

        Raises:
            SnakevalError: a path that does not exist or cannot be read.
        """
        if "hub" in source:
            return {"revision": "main"} | source
        if "package" in source:
            return dict(source)
        found = {"content": self.content(source["path"], where)}
        folder = folder_beside(self.root / Path(source["path"]).expanduser())
        if images and folder.is_dir():
            # Thousands of small files: to read them all each time the Snakefile is read takes too long.
            found["images"] = self.content(str(folder), where, remember_all=True)
        return found

    def content(self, path: str, where: str, remember_all: bool = False) -> str:
        """Return the SHA-256 of a file, or of a folder's files with their names.

        Args:
            path: the file or folder.
            where: names it in errors.
            remember_all: small files, too, are read once and then known by size and time.

        Raises:
            SnakevalError: missing, empty, or not readable.
        """
        place = self.root / Path(path).expanduser()
        try:
            if place.is_file():
                return self._file(place, remember_all)
            if place.is_dir():
                return self._folder(place, where, remember_all)
        except OSError as error:
            raise SnakevalError(
                where, error.strerror or str(error), "files that can be read", f"Look at {place}."
            ) from error
        except StorageError as error:
            raise SnakevalError(where, error.got, error.expected, f"Look at {place}.") from error
        raise SnakevalError(
            where,
            f"{path!r}, which does not exist",
            "an existing file or folder",
            "A relative path starts at the repository's folder.",
        )

    def save(self) -> None:
        """Write down the hashes of large files.

        Raises:
            StorageError: the file cannot be written.
        """
        if self._changed:
            write_json(self._memory, self._known)

    def _folder(self, folder: Path, where: str, remember_all: bool) -> str:
        digest = hashlib.sha256()
        names = sorted(
            name
            for name in (file.relative_to(folder) for file in folder.rglob("*") if file.is_file())
            if not any(part.startswith((".", "__pycache__")) for part in name.parts)
        )
        if not names:
            raise SnakevalError(where, f"an empty folder {folder}", "files", "Put them there.")
        for name in names:
            digest.update(
                f"{name.as_posix()}\0{self._file(folder / name, remember_all)}\n".encode()
            )
        return digest.hexdigest()

    def _file(self, path: Path, remember_all: bool) -> str:
        facts = path.stat()
        if facts.st_size <= REMEMBERED_BYTES and not remember_all:
            return file_sha256(path)
        if self._known is None:
            self._known = read_json(self._memory) if self._memory.exists() else {}
        name, seal = str(path.resolve()), [facts.st_size, facts.st_mtime_ns]
        known = self._known.get(name)
        if known is None or known[:2] != seal:
            if facts.st_size > SLOW_BYTES:
                print(f"hashing {path} ({facts.st_size / 2**30:.0f} GiB), once", file=sys.stderr)
            known = self._known[name] = [*seal, file_sha256(path)]
            self._changed = True
        return str(known[2])
