"""How far a run is, as plain text: counts by model, engines, what failed, what the rest takes, how to go on."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime

from snakeval.errors import one_line
from snakeval.forecast import Estimate, total
from snakeval.preflight import Preflight
from snakeval.preflight.text import between, table, totals
from snakeval.registry import Pair
from snakeval.reporting import Failure
from snakeval.reporting.formats import MISSING, listed, several
from snakeval.status import REPORT, SUMMARY, State, Status
from snakeval.status.engines import Engine
from snakeval.status.processes import Process

NAMED = 3  # datasets that a model lacks
REASONS = 10  # of failures
ROWS = 40  # of models; where there are more, those that are done are only counted
LONGEST = 300  # characters of a reason


def text(found: Status, asker: Process | None) -> str:
    """Return all that was found, for a terminal.

    Args:
        found: how far the run is.
        asker: the Snakemake that was asked, whose command line tells how to go on; None without one.
    """
    return "\n".join(_lines(found, asker))


def _lines(found: Status, asker: Process | None) -> Iterator[str]:
    run, states = found.run, Counter(found.states.values())
    counts = ", ".join(f"{states[state]:,} {state.value}" for state in State if states[state])
    models, datasets = several(len(run.models), "model"), several(len(run.datasets), "dataset")
    yield f"{several(len(run.pairs), 'pair')} of {models} and {datasets}: {counts}."
    for process in found.processes:
        command = one_line(shlex.join(_arguments(process.command)))
        since = _since(process.began, found.now)
        yield f"A run is at work: process {process.number} since {since}: snakemake {command}"
    if not found.processes:
        yield f"No run is at work in this folder{' that this machine sees' if found.engines else ''}."
    yield from table("Models", _models(found))
    yield from table("Engines that answer now", _engines(found))
    yield from _failures(found)
    yield from _rest(found)
    yield from _next(found, asker)


def _models(found: Status) -> Iterator[Sequence[str]]:
    by_model: dict[str, list[Pair]] = {}
    for pair in found.run.pairs:
        by_model.setdefault(pair.model, []).append(pair)
    shown = [state for state in State if state in found.states.values()]
    yield "model", "pairs", *(state.value for state in shown), "not done"
    finished = 0
    for model, pairs in by_model.items():
        counts = Counter(found.states[pair] for pair in pairs)
        lacking = [pair.dataset for pair in pairs if found.states[pair] is not State.DONE]
        if len(by_model) > ROWS and not lacking:
            finished += 1
            continue
        numbers = (f"{counts[state]:,}" for state in shown)
        none = len(lacking) == len(pairs) > NAMED + 1
        yield model, f"{len(pairs):,}", *numbers, "all" if none else _few(lacking)
    if finished:
        yield f"{several(finished, 'more model')} with all pairs done", *[""] * (len(shown) + 2)


def _few(names: Sequence[str]) -> str:
    """Write the first few names, and how many more there are."""
    if not names:
        return MISSING
    if len(names) <= NAMED + 1:
        return listed(names)
    return f"{', '.join(names[:NAMED])} and {len(names) - NAMED} more"


def _engines(found: Status) -> Iterator[Sequence[str]]:
    yield "model", "pairs", "machine", "process", "since", "answered", "tokens/s", "time left"
    for engine in found.engines:
        name = f"{engine.model} (judge)" if engine.judging else engine.model
        began = MISSING if engine.began is None else _since(engine.began, found.now)
        machine = engine.machine or MISSING
        yield (
            *(name, f"{len(engine.pairs):,}"),
            machine if engine.seen else f"{machine}, as its log tells",
            *(MISSING if engine.process is None else str(engine.process), began),
            *_progress(engine, found.now),
        )


def _progress(engine: Engine, now: float) -> tuple[str, str, str]:
    """Return how many requests are answered, how fast, and how long the others take at that speed."""
    if engine.requests is None or engine.waiting is None:
        return "no request yet", MISSING, MISSING
    # What follows from answers, such as second turns, is not known at the start.
    waiting = max(engine.waiting, engine.answered)
    whole = engine.requests - engine.waiting + waiting
    done = whole - waiting + engine.answered
    share = f" ({done / whole:.0%})" if whole else ""
    answered = f"{done:,} of {whole:,}{share}"
    if engine.up is None:
        return f"{answered}, engine starts", MISSING, MISSING
    spent = now - engine.up
    if not engine.answered or spent <= 0:
        return answered, MISSING, MISSING
    left = (waiting - engine.answered) * spent / engine.answered
    return answered, f"{engine.tokens / spent:,.0f}", _long(left)


def _failures(found: Status) -> Iterator[str]:
    """Yield what failed and why, those together that failed for one reason."""
    if not found.failures:
        return
    yield ""
    ended = (
        ""
        if found.told is None
        else f" when the last run ended, at {_since(found.told, found.now)}"
    )
    yield f"Failed{ended}"
    causes: dict[tuple[str, str, str | None], list[Failure]] = {}
    for one in found.failures:
        causes.setdefault((one["stage"], one["reason"], one.get("log")), []).append(one)
    for (stage, reason, log), those in list(causes.items())[:REASONS]:
        yield f"  {_named(those)} ({stage}): {one_line(reason)[:LONGEST]}"
        if log:
            yield f"    log: {log}"
    if len(causes) > REASONS:
        left = several(len(causes) - REASONS, "more reason")
        yield f"  and {left}: {SUMMARY / 'failures.json'} has all"


def _named(failures: Sequence[Failure]) -> str:
    """Name pairs: one by its names, several by what they share."""
    models, datasets = (
        list(dict.fromkeys(one[kind] for one in failures)) for kind in ("model", "dataset")
    )
    model = models[0] if len(models) == 1 else several(len(models), "model")
    dataset = datasets[0] if len(datasets) == 1 else several(len(datasets), "dataset")
    return f"{model} on {dataset}"


def _rest(found: Status) -> Iterator[str]:
    """Yield what the pairs that are not done take."""
    if all(state is State.DONE for state in found.states.values()):
        return
    yield ""
    if found.rest is None:
        yield f"What the rest takes is not known: {found.unknown}"
        return
    if not found.rest.starts:
        yield "The rest takes no engine: answers are there."
        return
    asked = [one for start in found.rest.starts for one in start.asked]
    least = "" if all(start.complete for start in found.rest.starts) else "at least "
    tokens = total([one.completion_tokens for one in asked])
    yield (
        f"The rest takes {least}≈ {sum(one.requests for one in asked):,.0f} requests, "
        f"{sum(one.prompt_tokens for one in asked):,.0f} tokens of prompts and "
        f"{between(tokens, lambda value: f'{value:,.0f}')} of answers."
    )
    yield from totals(found.rest)
    if spent := _on_cpu(found.rest):
        yield f"Time without a GPU: {between(spent, _long)}, one model after the other."


def _on_cpu(rest: Preflight) -> Estimate | None:
    """Return the seconds that engines without a GPU take; None without one."""
    costs = [start.cost for start in rest.starts if start.cost is not None and not start.gpus]
    parts = [part for cost in costs for part in (cost.start_s, cost.answer_s) if part is not None]
    return total(parts) if parts else None


def _next(found: Status, asker: Process | None) -> Iterator[str]:
    """Yield how to go on."""
    yield ""
    if all(state is State.DONE for state in found.states.values()):
        yield f"Everything is done. Report: {REPORT}"
        return
    at_work = found.processes or found.engines
    begin = "When that run has ended, go on with" if at_work else "To go on"
    yield f"{begin}: snakemake {_command(asker)}"


def _command(asker: Process | None) -> str:
    """Return the arguments that make what was asked about."""
    asked = _arguments(asker.command) if asker else ["--cores", "1"]
    given = [one for one in asked if one != "status"]
    elsewhere = ("--resources", "--profile", "--workflow-profile", "--executor", "-e")
    if not any(one.split("=")[0] in elsewhere for one in given):
        behind = given.index("--cores") + 2 if "--cores" in given else 0
        given[behind:behind] = ["--resources", "gpu=1"]
    return one_line(shlex.join(given))


def _arguments(command: Sequence[str]) -> list[str]:
    """Return what stands behind the program in a command line."""
    for place, word in enumerate(command):
        if word.rsplit("/", 1)[-1] in ("snakemake", "__main__.py"):
            return list(command[place + 1 :])
    return list(command)


def _since(when: float, now: float) -> str:
    """Write a time, and how long ago that is."""
    day = "%H:%M" if now - when < 12 * 3600 else "%Y-%m-%d %H:%M"
    return f"{datetime.fromtimestamp(when):{day}} ({_long(now - when)} ago)"


def _long(spent: float) -> str:
    """Write a duration roughly."""
    for size, unit in ((86400.0, "days"), (3600.0, "h"), (60.0, "min")):
        if spent >= 2 * size:
            return f"{spent / size:.0f} {unit}"
    return f"{max(spent, 0):.0f} s"
