"""Which engines answer, and how far they are, as their locks, logs and journals tell.

A job's log begins with its process and machine; its answers stand in the journal under sessions whose names tell when
they began. Where another machine's locks are not to be seen, a log that still grows tells that a job is at work there.
"""

from __future__ import annotations

import fcntl
import platform
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from snakeval import journal
from snakeval.closing import LOGS
from snakeval.registry import Pair, Run

QUIET_S = 300.0  # a job on another machine that has written nothing for so long is over
LINE = re.compile(r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d),\d+ (.+)")


@dataclass
class Engine:
    """An engine start that is not over; None is not known. Times are in seconds since the epoch.

    Attributes:
        model: who answers.
        pairs: what is asked.
        judging: whether it judges their answers.
        seen: whether its lock is; else its log tells of it.
        process: the job's number.
        machine: where it is.
        began: when the job did.
        up: when the engine was.
        requests: of all pairs.
        waiting: of these, to be answered when it began.
        answered: of the waiting ones.
        tokens: of these answers.
        over: whether the job has said that it is.
    """

    model: str
    pairs: tuple[Pair, ...]
    judging: bool
    seen: bool
    process: int | None = None
    machine: str | None = None
    began: float | None = None
    up: float | None = None
    requests: int | None = None
    waiting: int | None = None
    answered: int = 0
    tokens: int = 0
    over: bool = field(default=False, repr=False)


def at_work(run: Run, root: Path, now: float) -> Iterator[Engine]:
    """Yield the engines that answer or judge a run's pairs."""
    starts: dict[tuple[str, Path, bool], list[Pair]] = {}
    for pair in run.pairs:
        if not pair.has_predictions(root):
            log = LOGS / "generate" / f"{pair.model}.{pair.part}.log"
            starts.setdefault((pair.model, log, False), []).append(pair)
        if pair.judging and not pair.has_verdicts(root):
            for judge in run.judges:
                log = LOGS / "judge" / f"{judge}.log"
                starts.setdefault((judge, log, True), []).append(pair)
    for (model, log, judging), pairs in starts.items():
        paths = {pair: root / _journal(model, pair, judging) for pair in pairs}
        locked = tuple(pair for pair, path in paths.items() if _held(path.with_suffix(".lock")))
        engine = Engine(model, locked or tuple(pairs), judging, seen=bool(locked))
        _read_log(engine, root / log)
        _count(engine, [paths[pair] for pair in engine.pairs])
        if locked or _grows(engine, [root / log, *paths.values()], now):
            yield engine


def _journal(model: str, pair: Pair, judging: bool) -> Path:
    if judging:
        return journal.verdicts_path(model, pair.model, pair.dataset)
    return journal.journal_path(model, pair.dataset)


def _held(lock: Path) -> bool:
    """Whether a job holds a lock; it is tried for a moment, as others can see it no other way across machines."""
    try:
        with lock.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def _grows(engine: Engine, paths: Sequence[Path], now: float) -> bool:
    """Whether a job whose lock is not seen is at work on another machine."""
    if engine.machine in (None, platform.node()) or engine.over:
        return False
    return any(path.exists() and now - path.stat().st_mtime < QUIET_S for path in paths)


def _read_log(engine: Engine, path: Path) -> None:
    """Take from a job's log what it tells: it begins anew with each job."""
    try:
        text = path.read_text("utf-8", "replace")
    except OSError:
        return
    for line in LINE.finditer(text):
        when = datetime.strptime(line[1], "%Y-%m-%d %H:%M:%S").timestamp()
        said = line[2].removeprefix(f"{engine.model}: ")
        if found := re.fullmatch(r"process (\d+) on (.+)", said):
            engine.process, engine.machine, engine.began = int(found[1]), found[2], when
        elif found := re.fullmatch(r"(\d+) requests, (\d+) of them to be answered", said):
            engine.requests, engine.waiting = int(found[1]), int(found[2])
        elif said == "engine is up":
            engine.up = when
        elif re.match(r"\d+ requests, \d+ tokens in ", said):
            engine.over = True


def _count(engine: Engine, journals: Sequence[Path]) -> None:
    """Count the answers that the job has journalled so far: nobody else answers its pairs since it began."""
    if engine.began is None:
        return
    # A session's name begins with when it began, in UTC and to the second.
    first = f"{datetime.fromtimestamp(engine.began, UTC):%Y%m%dT%H%M%S}"
    for path in journals:
        for record in journal.read_journal(path):
            if record.get("session") and str(record["session"]) >= first:
                engine.answered += 1
                engine.tokens += int(record.get("completion_tokens") or 0)
