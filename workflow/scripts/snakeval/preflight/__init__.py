"""What a run will meet and take, before anything is fetched and before a GPU is asked for.

registry, results/ ──reasons.py──▶ why each pair will run
hub, config.json   ──models.py──▶ access, disk, memory
samples, tokenizer ──tokens.py──▶ requests and tokens  ──forecast──▶ seconds, joules  ──text.py──▶ tables
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from snakeval import parallel
from snakeval.errors import SnakevalError, SourceError
from snakeval.forecast import Estimate, cost, history, starts, total
from snakeval.forecast.starts import Asked
from snakeval.preflight import models as models_
from snakeval.preflight.models import Model, Target
from snakeval.preflight.reasons import Reason, Step, why
from snakeval.preflight.tokens import Planned, Planner
from snakeval.records import read_json
from snakeval.registry import Pair, Run, quantized, spec
from snakeval.sources import models as sources
from snakeval.sources import packages
from snakeval.sources.probe import Hub
from snakeval.sources.unavailable import Unavailable, combined, label

TURNS = 2  # of the conversations that are judged
QUESTION = 300  # tokens of the question around them


@dataclass(frozen=True)
class Dataset:
    """What is known of a dataset; None is not known."""

    source: str
    rows: int | None
    access: str
    problem: SnakevalError | None = None


@dataclass(frozen=True)
class Start:
    """An engine start: which model, on how many GPUs, asked what, and what that takes; no cost where it has no engine.

    `complete` tells whether `asked` is all of it: of a dataset that is not here the size may not be known.
    """

    model: str
    gpus: int
    asked: list[Asked]
    cost: cost.Cost | None
    judging: bool = False
    complete: bool = True


@dataclass
class Preflight:
    """All of it. `needed` and `free` are bytes of the disk that holds the hub's cache."""

    run: Run
    target: Target
    models: dict[str, Model]
    endpoints: dict[str, Mapping[str, Any]]
    datasets: dict[str, Dataset]
    reasons: dict[Pair, Reason]
    planned: dict[Pair, Planned]
    starts: list[Start] = field(default_factory=list)
    needed: int = 0
    free: int = 0
    cache: Path = Path()
    unreachable: str | None = None  # why the hub could not be asked
    problems: list[SnakevalError] = field(default_factory=list)


def look(run: Run, closely: bool = True) -> Preflight:
    """Return what a run will meet; nothing is fetched, written or started.

    Args:
        run: the resolved run.
        closely: whether the hub is asked and prompts are rendered. Else all that takes time is left out: of what is
            not here only the registry's facts are known, and no problem is found.
    """
    hub, on = Hub(), models_.target(run)
    reasons = {pair: why(run, pair) for pair in run.pairs}
    answering = [pair for pair, reason in reasons.items() if reason.step is Step.ANSWER]
    judging = [
        pair
        for pair, reason in reasons.items()
        if pair.judging and reason.step in (Step.ANSWER, Step.JUDGE)
    ]
    busy = {pair.dataset for pair, reason in reasons.items() if reason.step is not Step.NOTHING}
    started = {pair.model for pair in answering} | (set(run.judges) if judging else set())
    names = list(run.entries())
    bases = {run.entry(name)["base_model"] for name in started if not _made(run, name)}
    remote = {
        name: run.entry(name)["endpoint"] for name in names if run.entry(name).get("endpoint")
    }
    found = Preflight(
        run=run,
        target=on,
        models={
            name: models_.look(
                *(run, name, on, hub),
                fetched=closely and name in started | bases,
                started=closely and name in started,
            )
            for name in names
            if name not in remote
        },
        endpoints=remote,
        datasets={
            name: _dataset(run, name, hub, closely and name in busy) for name in run.datasets
        },
        reasons=reasons,
        planned=_planned(run, answering, reasons, closely),
    )
    found.starts = list(_starts(found, answering, judging))
    found.cache, found.free = sources.free_space()
    found.needed = sum(model.missing or 0 for model in found.models.values())
    found.problems = list(_problems(found, started, hub)) if closely else []
    found.unreachable = hub.gone.got if hub.gone else None
    return found


def _planned(
    run: Run, answering: Iterable[Pair], reasons: Mapping[Pair, Reason], rendering: bool
) -> dict[Pair, Planned]:
    planner = Planner(run, rendering)
    return {pair: planner.plan(pair, reasons[pair]) for pair in answering}


def _made(run: Run, name: str) -> bool:
    """Whether a model's files need no other model: it is here, or not quantized from one."""
    return not quantized.made_here(run.entry(name)) or run.model_status(name).exists()


def _problems(found: Preflight, started: Iterable[str], hub: Hub) -> Iterable[SnakevalError]:
    """Yield what will surely fail, each once."""
    for model in found.models.values():
        yield from model.problems
    for name in started:
        if name in found.endpoints:
            yield from models_.closed(found.run, name, hub)
    yield from (one.problem for one in found.datasets.values() if one.problem is not None)
    yield from (one.error for one in found.planned.values() if one.error is not None)
    if found.needed > found.free:
        yield SourceError(
            "disk",
            f"{found.free / 1e9:.1f} GB free for {found.cache}",
            f"{found.needed / 1e9:.1f} GB for the models that are not here",
            "Free space there, set HF_HOME to a folder on a larger disk, or choose fewer models.",
        )


def _dataset(run: Run, name: str, hub: Hub, needed: bool) -> Dataset:
    """Return what is known of a dataset; the hub is asked only where it must be fetched."""
    entry, path = run.datasets[name], run.dataset_status(name)
    status = read_json(path) if path.exists() else {"status": None}
    if status["status"] == "ok":
        return Dataset(str(status["source"]), status["rows"], "it is here")
    rows = (entry["about"] or {}).get("rows")
    data_dir = run.settings["data_dir"]
    if data_dir and (own := Path(data_dir).expanduser() / f"{name}.jsonl").exists():
        return Dataset(f"path {own}", None, "it is here")
    refused: list[SnakevalError] = []
    for source in entry["sources"] if needed else ():
        try:
            if "hub" not in source:
                if "package" in source:
                    packages.locate(source)
                return Dataset(label(source), rows, "it is here")
            probe = hub.dataset(source["hub"], source.get("revision"))
        except Unavailable as error:
            refused.append(error)
            continue
        except SourceError as error:
            return Dataset(label(source), rows, "refused", error)
        gated = "gated" if probe.gated else "open"
        if probe.unchecked is None:
            return Dataset(label(source), rows, f"{gated}, granted")
        if source is entry["sources"][-1]:
            return Dataset(label(source), rows, probe.unchecked)
    if refused:
        return Dataset("none", rows, "refused", combined(f"dataset {name}", refused))
    return Dataset(label(entry["sources"][0]), rows, "not needed")


def _starts(found: Preflight, answering: list[Pair], judging: list[Pair]) -> Iterable[Start]:
    """Yield the engine starts of a run, in the order in which Snakemake may do them."""
    parts = dict.fromkeys((pair.model, pair.part) for pair in answering)
    for model, part in parts:
        pairs = [pair for pair in answering if (pair.model, pair.part) == (model, part)]
        known = [one for pair in pairs if (one := found.planned[pair].asked) is not None]
        if any(one.requests for one in known) or len(known) < len(pairs):
            yield _start(found, model, known, complete=len(known) == len(pairs))
    if judging:
        judge = found.run.settings["judge"]
        asked = [_verdicts(found, pair) for pair in judging]
        known = [one for one in asked if one is not None]
        yield _start(found, judge, known, len(known) == len(asked), judging=True)


def _start(
    found: Preflight,
    name: str,
    asked: list[Asked],
    complete: bool = True,
    judging: bool = False,
) -> Start:
    """Return an engine start and what it is expected to take."""
    if name in found.endpoints:
        return Start(name, 0, asked, None, judging, complete)
    entry, model, on = found.run.entry(name), found.models[name], found.target
    count = parallel.gpus(entry) if model.device == "cuda" else 0
    expected = starts.forecast(name, entry, model.shape, asked, model.device, on.gpu, on.memory)
    return Start(name, count, asked, expected, judging, complete)


def _verdicts(found: Preflight, pair: Pair) -> Asked | None:
    """Return what a judge will be asked about a pair: each turn, and twice more where answers are compared."""
    run = found.run
    settings, dataset = run.settings, run.datasets[pair.dataset]
    judge = run.entry(settings["judge"])
    earlier = history.judged(pair.dataset)
    rows = found.datasets[pair.dataset].rows
    if rows is None and settings["limit"] is None:
        return None
    samples = min(rows or math.inf, settings["limit"] or math.inf) * settings["repeats"]
    kinds = 3 if run.baseline(pair) else 1
    requests = samples * settings["judge_repeats"] * TURNS * kinds
    longest = spec.answer_tokens(judge, {"max_tokens": settings["judge_max_tokens"]})
    if earlier:
        prompt = statistics.fmean(one.prompt_tokens for one in earlier)
    else:
        about = dataset["about"] or {}
        prompt = QUESTION + TURNS * ((about.get("prompt_tokens") or 0) + dataset["max_tokens"] / 3)
    answer = starts.completion_tokens(settings["judge"], pair.dataset, longest, judging=True)
    return Asked(requests, requests * prompt, answer.times(requests), longest)


def total_gpu_seconds(starts: Iterable[Start]) -> Estimate:
    """Return the GPU-seconds of engine starts, as far as they are known."""
    parts = [
        part.times(start.gpus)
        for start in starts
        if start.cost is not None
        for part in (start.cost.start_s, start.cost.answer_s)
        if part is not None
    ]
    return total(parts)
