"""How far a run is: what is done, missing, failed and running, and what the rest takes.

    results/.making ──processes.py──▶ which run is at work
    locks, logs, journals ──engines.py──▶ which engines answer, and how far they are
    results/summary, results/engines ──▶ what failed  ──text.py──▶ tables

Nothing is fetched, rendered, started or written: it may be asked at any time, also beside a run.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from snakeval import closing, preflight
from snakeval.closing import SUMMARY
from snakeval.errors import SnakevalError, StorageError
from snakeval.plan import REPORT
from snakeval.preflight import Preflight
from snakeval.records import read_json
from snakeval.registry import Pair, Run
from snakeval.registry.run import missing
from snakeval.reporting import Failure
from snakeval.status import engines, processes
from snakeval.status.engines import Engine
from snakeval.status.processes import Process

__all__ = ["REPORT", "SUMMARY", "State", "Status", "look"]

UNTRIED = ("not run", "not scored")  # reasons of pairs of which no file tells more


class State(Enum):
    """How far a pair is."""

    DONE = "done"
    RUNNING = "running"
    ANSWERED = "answered"  # and neither judged nor scored yet
    FAILED = "failed"
    MISSING = "missing"


@dataclass(frozen=True)
class Status:
    """All of it.

    Attributes:
        run: the selected pairs.
        states: how far each is.
        failures: of those that are not there and not running, why they failed when they were last tried.
        told: when the end of a run has told the last of them, in seconds since the epoch.
        engines: those that answer now.
        processes: the run at work in this folder, if there is one on this machine.
        rest: what the pairs that are not done take; None where that is not known, with `unknown` as the reason.
        now: when it was looked.
    """

    run: Run
    states: dict[Pair, State]
    failures: list[Failure]
    told: float | None
    engines: list[Engine]
    processes: list[Process]
    rest: Preflight | None
    unknown: str | None
    now: float


def look(run: Run, root: Path) -> Status:
    """Return how far a run is."""
    now = time.time()
    answering = list(engines.at_work(run, root, now))
    asked = {pair: engine for engine in answering for pair in engine.pairs}
    told, failures = _failures(run, root)
    states = {
        pair: _state(pair, pair in asked, (pair.model, pair.dataset) in failures, root)
        for pair in run.pairs
    }
    failed = [(pair.model, pair.dataset) for pair, state in states.items() if state is State.FAILED]
    rest, unknown = None, None
    try:
        rest = preflight.look(run, closely=False)
    except SnakevalError as error:
        unknown = str(error)
    return Status(
        run=run,
        states=states,
        failures=[failures[name] for name in failed],
        told=told if failed else None,
        engines=answering,
        processes=list(processes.at_work(root)),
        rest=rest,
        unknown=unknown,
        now=now,
    )


def _state(pair: Pair, running: bool, failed: bool, root: Path) -> State:
    predictions, verdicts, scores = missing(pair, root)
    if not (predictions or verdicts or scores):
        return State.DONE
    if running:
        return State.RUNNING
    if failed:
        return State.FAILED
    if not predictions or _journalled(pair, root):
        return State.ANSWERED
    return State.MISSING


def _journalled(pair: Pair, root: Path) -> bool:
    """Whether an engine has answered a pair in a run that is not over, so that it is only to be collected."""
    status = closing.read_status(root / pair.engine_status())
    return bool(status.get("pairs", {}).get(pair.dataset, {}).get("status") == "ok")


def _failures(run: Run, root: Path) -> tuple[float | None, dict[tuple[str, str], Failure]]:
    """Return what failed by model and dataset: as the end of the last run told, and since then."""
    path, found, told = root / SUMMARY / "failures.json", [], None
    with suppress(StorageError, OSError):  # no run has ended here
        found, told = list(read_json(path)), path.stat().st_mtime
    since = closing.find_failures(run, root, math.inf)
    return told, {
        (failure["model"], failure["dataset"]): failure for failure in _tried([*found, *since])
    }


def _tried(failures: list[Failure]) -> Iterator[Failure]:
    """Yield those of pairs that were tried."""
    return (one for one in failures if one["reason"] not in UNTRIED)
