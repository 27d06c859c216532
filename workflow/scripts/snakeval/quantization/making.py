"""Make a quantized model from a fetched one, and show what was made."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

from snakeval import gpu
from snakeval.errors import SourceError, StorageError
from snakeval.quantization import compressor
from snakeval.records import file_sha256, fingerprint, read_json
from snakeval.registry import Run
from snakeval.registry.quantized import recipe
from snakeval.sources import gguf, models
from snakeval.sources.unavailable import label, portable


def make(run: Run, slug: str, status_path: Path) -> bool:
    """Quantize a model and write its status, as `models.fetch` does; its folder lies beside it.

    Args:
        run: the resolved run.
        slug: name of the model in the registry.
        status_path: where the status goes.

    Returns:
        Whether it worked. If not, the status file and stderr hold the reason.

    Raises:
        StorageError: the status cannot be written.
    """
    entry = run.entry(slug)
    base = entry["source"]["quantize"]["model"]
    fetched = read_json(run.model_status(base))
    place = status_path.with_suffix("")
    return models.recorded(
        slug, entry, status_path, lambda: _make(slug, entry, base, fetched, place)
    )


def _make(
    slug: str, entry: dict[str, Any], base: str, fetched: dict[str, Any], place: Path
) -> dict[str, Any]:
    if fetched["status"] != "ok":
        raise SourceError(
            f"base model {base}", str(fetched["reason"]), "its weights", "The fix stands there."
        )
    steps = entry["source"]["quantize"]
    weights, tokenizer = Path(fetched["path"]), Path(fetched["tokenizer_path"])
    started = time.monotonic()
    with _device(entry, slug), _whole(place) as folder:
        models.copy_small_files(tokenizer, folder)
        facts = compressor.compress(weights, tokenizer, steps, folder)
        generation = weights / "generation_config.json"
        if generation.exists():  # as the base model's, so that both stop at the same tokens
            shutil.copyfile(generation, folder / generation.name)
        models.check_folder(folder)
        gguf.let_others_read(folder)
        facts["weights_id"] = _weights_id(folder)
    model = models.Fetched(place, fetched["commit"], fetched["licence"])
    facts["calibration"] = label(steps["calibration"]) if steps["calibration"] else None
    facts |= {
        "recipe": steps,
        "base_bytes": fetched["bytes"],
        "seconds": round(time.monotonic() - started, 1),
    }
    return models.had(slug, entry, model, model) | {"quantization": facts}


def _weights_id(folder: Path) -> str:
    """Return a fingerprint of the weights: on another GPU other scales may come out as the best."""
    return fingerprint([file_sha256(path) for path in sorted(folder.glob("*.safetensors"))])


def _device(entry: dict[str, Any], slug: str) -> AbstractContextManager[Any]:
    """Show llm-compressor one GPU, or none where the model is small."""
    if not entry["runs_on_cpu"]:
        return gpu.reserve(1, slug)
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
    return nullcontext()


@contextmanager
def _whole(place: Path) -> Iterator[Path]:
    """Give a folder to write to, which takes its place when it is whole, or vanishes."""
    temporary = place.with_name(f".{place.name}.tmp")
    try:
        for folder in (place, temporary):
            shutil.rmtree(folder, ignore_errors=True)
        temporary.mkdir(parents=True)
        try:
            yield temporary
            temporary.rename(place)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    except OSError as error:
        raise StorageError.from_os_error(error, portable(place)) from error


def summary(run: Run) -> Iterator[str]:
    """Yield a line about each of a run's models that is quantized here.

    Raises:
        SourceError: one could not be made.
    """
    for slug in filter(lambda name: recipe(run.models[name]), run.models):
        status = read_json(run.model_status(slug))
        if status["status"] != "ok":
            raise SourceError(f"model {slug}", status["reason"], "a quantized model", "Try again.")
        facts = status["quantization"]
        steps, before, after = facts["recipe"], facts["base_bytes"], status["bytes"]
        versions = ", ".join(f"{name} {number}" for name, number in facts["versions"].items())
        yield (
            f"{slug}: {steps['model']} by {steps['method']}, groups of {steps['group_size']}: "
            f"{before / 1e6:.1f} MB before, {after / 1e6:.1f} MB after, {facts['seconds']:.0f} s on "
            f"{facts['device']} ({versions})"
        )
