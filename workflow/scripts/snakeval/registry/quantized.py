"""Entries whose weights are a quantized copy of another entry's: made here, or made by somebody else."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from snakeval.errors import SnakevalError, near
from snakeval.registry import spec
from snakeval.registry.content import Contents
from snakeval.registry.schema import show

Entry = Mapping[str, Any]

# Raised whenever weights are quantized in another way.
QUANTIZE_VERSION = 1
PINS = Path(__file__).parents[4] / "envs" / "quantize.txt"
DECISIVE = ("llmcompressor", "compressed-tensors")  # of the pinned packages


def recipe(entry: Entry) -> Entry | None:
    """Return how an entry's weights are quantized here; None where they are taken as they are."""
    found: Entry | None = (entry.get("source") or {}).get("quantize")
    return found


def made_here(entry: Entry) -> bool:
    """Whether an entry's weights are quantized here."""
    return recipe(entry) is not None


def weights(status: Mapping[str, Any]) -> str | None:
    """Return what names the weights of a fetched model: its commit, of one that was quantized here their fingerprint.

    Two machines may make other weights from one recipe, and an answer of other weights must never be served.

    Args:
        status: of the model.
    """
    made: Mapping[str, Any] = status.get("quantization") or {}
    found: str | None = made.get("weights_id", status["commit"])
    return found


def completed(entry: dict[str, Any]) -> dict[str, Any]:
    """Return a checked entry with the base model that its source implies."""
    made = recipe(entry)
    return entry | {"base_model": entry["base_model"] or made["model"]} if made else entry


def check(models: Mapping[str, Entry], places: Mapping[str, str]) -> Iterator[SnakevalError]:
    """Yield what is wrong with entries of quantized copies: their base, and how they are made.

    Args:
        models: the entries that are right themselves, by name.
        places: name of any entry → file and key of it.
    """
    for name, entry in models.items():
        if "quantize" in (entry["tokenizer"] or {}):
            yield SnakevalError(
                f"{places[name]}.tokenizer", "quantize", "hub, package or path", "Name its files."
            )
        made, base = recipe(entry), entry["base_model"]
        where = f"{places[name]}.{'source.quantize.model' if made else 'base_model'}"
        if made:
            yield from _recipe(entry, made, places[name])
            base = made["model"]
        if base is None:
            continue
        if base not in places:
            others = [other for other in places if other != name]
            yield SnakevalError(where, show(base), "the name of a model", near(base, others))
        elif base == name:
            yield SnakevalError(where, "its own name", "another model", "Name the base model.")
        elif base in models and (reason := _no_base(models[base], bool(made))):
            yield SnakevalError(
                where,
                f"{base}, {reason}",
                "a model with the weights that were trained",
                "Name the model that the copy is made from.",
            )


def _recipe(entry: Entry, made: Entry, place: str) -> Iterator[SnakevalError]:
    """Yield which keys do not fit weights that are quantized here."""
    where = f"{place}.source.quantize.calibration"
    if made["method"] == "awq" and made["calibration"] is None:
        fix = (
            "Name texts like those that the model is for: a file of your own, or one of a package."
        )
        yield SnakevalError(where, "nothing", "texts, as the method is awq", fix)
    if made["method"] != "awq" and made["calibration"] is not None:
        got = "texts, as the method is " + made["method"]
        yield SnakevalError(where, got, "null", "Remove them: only awq looks at texts.")
    if entry["base_model"] != made["model"]:
        yield SnakevalError(
            f"{place}.base_model",
            show(entry["base_model"]),
            f"{made['model']}, which source names, or nothing",
            "Remove it.",
        )
    if entry["tokenizer"] is not None:
        yield SnakevalError(
            f"{place}.tokenizer",
            "a source",
            "null beside source.quantize",
            f"Give it to {made['model']}: the copy takes over its tokenizer.",
        )


def _no_base(base: Entry, made_here: bool) -> str:
    """Say why an entry cannot be the base of a quantized copy; nothing where it can."""
    if base["base_model"] is not None:
        return "which is a quantized copy itself"
    if not made_here:
        return ""
    if base["source"] is None:
        return "which a server holds"
    formats = ("AWQ", "compressed-tensors")
    packed = base["quantization"] or (base["facts"] and base["facts"]["format"] in formats)
    return "which is quantized already" if packed else ""


def calibrated_on(
    entry: Entry, where: str, name: str, dataset: Entry, data_dir: Path | None
) -> Iterator[SnakevalError]:
    """Yield why a model must not be evaluated on a dataset: its weights were made for these very rows.

    Args:
        entry: the model's entry.
        where: its place.
        name: the dataset.
        dataset: its entry.
        data_dir: the folder of the user's own rows, if there is one.
    """
    made = recipe(entry)
    if not made or not made["calibration"]:
        return
    tables = (dataset, *spec.further_tables(dataset).values())
    sources = [source for table in tables for source in table["sources"]]
    sources += [{"path": str(data_dir / f"{name}.jsonl")}] if data_dir else []
    if any(_place(source) == _place(made["calibration"]) for source in sources):
        yield SnakevalError(
            f"{where}.source.quantize.calibration",
            f"the rows of {name}, which the model is to be evaluated on",
            "other texts",
            "Choose other texts, or exclude the dataset.",
        )


def _place(source: Entry) -> tuple[str, ...]:
    """Return where a source's bytes lie, its pins apart."""
    if "path" in source:
        return (str(Path(source["path"]).expanduser().absolute()),)
    return tuple(str(source.get(name)) for name in ("hub", "package", "file"))


def identity(entry: Entry, base: Entry, contents: Contents, where: str) -> dict[str, Any]:
    """Return what the weights of an entry depend on that are quantized here.

    Args:
        entry: the entry.
        base: the resolved entry of its base model.
        contents: reads the texts that it is calibrated on.
        where: the entry's place.

    Raises:
        SnakevalError: the texts do not exist or cannot be read.
    """
    made = entry["source"]["quantize"]
    texts = made["calibration"]
    if texts is not None:
        texts = contents.identity(texts, f"{where}.source.quantize.calibration.path")
    steps = {name: value for name, value in made.items() if name != "model"}
    parts = {"version": QUANTIZE_VERSION, "tools": _tools(), "base": spec.model_parts(base)}
    return {"quantize": parts | steps | {"calibration": texts}}


@cache
def _tools() -> dict[str, str]:
    """Return the pinned versions of the packages that decide what comes out."""
    lines = PINS.read_text(encoding="utf-8").splitlines()
    pins = dict(line.split()[0].split("==") for line in lines if "==" in line.partition("#")[0])
    return {name: pins[name] for name in DECISIVE}
