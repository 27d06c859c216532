"""Draw the passages by whose activations AWQ scales channels."""

from __future__ import annotations

import hashlib
import random
from pathlib import Path
from typing import Any

from snakeval.errors import SourceError, StorageError
from snakeval.records import canonical_json
from snakeval.sources import packages
from snakeval.sources.unavailable import label


def passages(recipe: dict[str, Any], tokenizer: Any) -> list[list[int]]:
    """Return token ids, `samples` × `sample_tokens`, drawn without replacement.

    Args:
        recipe: as in the registry.
        tokenizer: of the model.

    Raises:
        SourceError: the texts cannot be had, or are too short.
        StorageError: they cannot be read.
    """
    source, length, wanted = recipe["calibration"], recipe["sample_tokens"], recipe["samples"]
    ids = tokenizer(_text(source), add_special_tokens=False)["input_ids"]
    pieces = [ids[at : at + length] for at in range(0, len(ids) - length + 1, length)]
    if len(pieces) < wanted:
        raise SourceError(
            label(source),
            f"{len(ids):,} tokens",
            f"at least {wanted * length:,}, samples × sample_tokens",
            "Give more text, or fewer samples.",
        )
    return random.Random(recipe["seed"]).sample(pieces, wanted)


def fingerprint(found: list[list[int]]) -> str:
    """Return the SHA-256 of passages."""
    return hashlib.sha256(canonical_json(found).encode()).hexdigest()


def _text(source: dict[str, Any]) -> str:
    path = packages.locate(source) if "package" in source else Path(source["path"]).expanduser()
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise StorageError.from_os_error(error, path) from error
    except UnicodeDecodeError as error:
        raise SourceError(
            label(source), "bytes that are not UTF-8", "a text file", "Save it as UTF-8."
        ) from error
