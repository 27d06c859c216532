"""What a fetched model's config.json says against its entry, told before an engine is started."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from snakeval import determinism, gpu, parallel
from snakeval.errors import EngineError
from snakeval.forecast.shape import text_config
from snakeval.records import read_json

Entry = Mapping[str, Any]


def check(
    model: str, entry: Entry, folder: Path, device: str = "cpu", images: bool = False
) -> None:
    """Refuse what cannot be started as the entry says.

    Args:
        model: its name.
        entry: its entry.
        folder: of the fetched model.
        device: "cuda" or "cpu".
        images: whether any request will show an image.

    Raises:
        EngineError: the context, the parallelism or the determinism that is wanted cannot be had.
    """
    check_config(model, entry, read_json(folder / "config.json"), device, images)


def check_files(model: str, entry: Entry, fetched: Mapping[str, Any]) -> None:
    """Refuse a model whose files are not as large as they were when they were fetched.

    Args:
        model: its name.
        entry: its entry.
        fetched: its status: `path`, `files` and, of these together, `bytes`.

    Raises:
        EngineError: a file is gone, cut off or another one.
    """
    folder = Path(fetched["path"])
    places = [folder / name for name in fetched["files"]]
    gone = [str(place) for place in places if not place.is_file()]
    size = sum(place.stat().st_size for place in places) if not gone else None
    if size == fetched["bytes"]:
        return
    # A snapshot of a hub holds links: the files themselves lie beside it.
    whole = folder.parents[1] if folder.parent.name == "snapshots" else folder
    own = "path" in (entry["source"] or {})
    raise EngineError(
        f"model {model}: {folder}",
        f"no {gone[0]}" if gone else f"files of {size} bytes",
        f"the {len(places)} files of {fetched['bytes']} bytes that were fetched",
        "Restore the file, then run the same command again."
        if own
        else f"Delete {whole} and run the same command again: it is fetched anew.",
    )


def check_config(
    model: str, entry: Entry, config: Mapping[str, Any], device: str, images: bool = False
) -> None:
    """Do as `check` with the config.json itself, of a model that need not be here."""
    language = text_config(config)
    check_context(model, entry, language)
    if device == "cuda":
        parallel.check(model, entry, language)
        if entry.get("deterministic"):
            determinism.check(model, config, images, gpu.capability())


def check_context(model: str, entry: Entry, config: Mapping[str, Any]) -> None:
    """Refuse a context that is longer than the model's own.

    Args:
        model: its name.
        entry: its entry.
        config: of its language model, from config.json.

    Raises:
        EngineError: `max_model_len` exceeds `max_position_embeddings`.
    """
    longest = config.get("max_position_embeddings")
    if (
        isinstance(longest, int)
        and entry["max_model_len"] > longest
        and not entry["engine_arguments"].get("hf_overrides")
    ):
        raise EngineError(
            f"model {model}: max_model_len",
            str(entry["max_model_len"]),
            f"at most {longest} tokens, the context in the model's config.json",
            "Lower max_model_len in config/models.yaml, or extend the context by hf_overrides in engine_arguments.",
        )
