"""Preflight's findings as plain text: aligned tables, then what will surely fail."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from snakeval.errors import one_line
from snakeval.forecast import Estimate, total
from snakeval.forecast.memory import GIB
from snakeval.preflight import Preflight, Start, total_gpu_seconds
from snakeval.preflight.reasons import Step
from snakeval.reporting.formats import MISSING, amount, count, seconds, several
from snakeval.sources import hub
from snakeval.sources.probe import has_token


def text(found: Preflight) -> str:
    """Return all that was found, for a terminal."""
    return "\n".join(_lines(found))


def _lines(found: Preflight) -> Iterator[str]:
    run, steps = found.run, [reason.step for reason in found.reasons.values()]
    begin = {
        Step.ANSWER: "to be answered",
        Step.JUDGE: "to be judged",
        Step.SCORE: "only to be scored",
        Step.NOTHING: "with nothing to do",
    }
    counts = ", ".join(f"{steps.count(step)} {how}" for step, how in begin.items() if step in steps)
    models, datasets = several(len(run.models), "model"), several(len(run.datasets), "dataset")
    yield f"{several(len(run.pairs), 'pair')} of {models} and {datasets}: {counts}."
    yield f"GPU: {found.target.text}."
    token = "an access token is set" if has_token() else "no access token"
    gone = f"; access could not be checked: {found.unreachable}" if found.unreachable else ""
    yield f"Hub: {hub.endpoint()}, {token}{gone}."
    yield f"Disk: {found.needed / 1e9:.1f} GB to come, {found.free / 1e9:.1f} GB free for {found.cache}."
    yield from table("Models", _models(found))
    yield from table("Endpoints", _endpoints(found))
    yield from table("Memory", _memory(found))
    yield from table("Datasets", _datasets(found))
    yield from table("Pairs", _pairs(found))
    yield from table("Engine starts", _starts(found))
    if found.starts:
        yield ""
        yield from totals(found)
    if found.problems:
        yield ""
        yield f"{len(found.problems)} will surely fail:"
        yield from dict.fromkeys(f"error: {problem}" for problem in found.problems)


def _models(found: Preflight) -> Iterator[Sequence[str]]:
    yield "model", "source", "revision", "access", "licence", "to fetch, GB"
    for name, model in found.models.items():
        about = "" if model.exact else "≈"
        size = MISSING if model.missing is None else f"{about}{model.missing / 1e9:.1f}"
        licence = model.licence or "not stated"
        yield name, model.source, model.revision, model.access, licence, size


def _endpoints(found: Preflight) -> Iterator[Sequence[str]]:
    yield "model", "address", "key"
    for name, endpoint in found.endpoints.items():
        variable = endpoint["key_variable"]
        state = "set" if os.environ.get(variable or "") else "not set"
        yield name, str(endpoint["url"]), f"{variable}: {state}" if variable else "none asked for"


def _memory(found: Preflight) -> Iterator[Sequence[str]]:
    yield (
        *("model", "weights, GiB", "vLLM said", "KV cache, tokens", "vLLM said"),
        *("bytes a token", "context", "requests at once", "fits", "from"),
    )
    for name, model in found.models.items():
        context = count(found.run.entry(name)["max_model_len"])
        if model.device == "cpu":
            yield name, *[MISSING] * 5, context, MISSING, "runs on the CPU", MISSING
            continue
        if model.fit is None or model.shape is None:
            yield name, *[MISSING] * 5, context, MISSING, "not known", MISSING
            continue
        said, fit = model.reported, model.fit
        weights = said.get("weights_bytes")
        yield (
            name,
            f"{fit.weights / GIB:.2f}",
            f"{weights / GIB:.2f}" if weights else MISSING,
            count(fit.kv_tokens),
            count(said.get("kv_cache_tokens")),
            count(fit.kv_per_token),
            context,
            f"{fit.streams:.1f}",
            "yes" if fit.fits else "no",
            model.shape.source,
        )


def _datasets(found: Preflight) -> Iterator[Sequence[str]]:
    yield "dataset", "source", "rows", "access"
    for name, dataset in found.datasets.items():
        yield name, dataset.source, count(dataset.rows), dataset.access


def _pairs(found: Preflight) -> Iterator[Sequence[str]]:
    yield (
        *("model", "dataset", "requests", "to ask", "prompt tokens", "answer tokens"),
        *("from", "why"),
    )
    for pair, reason in found.reasons.items():
        planned = found.planned.get(pair)
        if planned is None:
            yield pair.model, pair.dataset, *[MISSING] * 5, reason.text
            continue
        asked = planned.asked
        about = "" if planned.exact else "≈"
        if asked is None:
            total = MISSING if planned.requests is None else f"{about}{planned.requests:,.0f}"
            cells = [total, *[MISSING] * 3, planned.source or MISSING]
        else:
            tokens = asked.completion_tokens
            source = f"{planned.source}, {tokens.source}" if tokens.value else planned.source
            cells = [
                f"{about}{planned.requests:,.0f}",
                f"{about}{asked.requests:,.0f}",
                f"{about}{asked.prompt_tokens:,.0f}",
                between(tokens, _number) if tokens.value else "0",
                source,
            ]
        yield pair.model, pair.dataset, *cells, reason.text


def _starts(found: Preflight) -> Iterator[Sequence[str]]:
    yield "model", "GPUs", "requests", "start", "answering", "energy, kJ", "from"
    for start in found.starts:
        asked = f"{sum(one.requests for one in start.asked):,.0f}"
        name = f"{start.model} (judge)" if start.judging else start.model
        if start.cost is None:
            yield name, "0", asked, MISSING, MISSING, MISSING, "its server's time is not known"
            continue
        cost = start.cost
        energy, least = _energy(start), "" if start.complete else "≥ "
        estimates = (cost.start_s, cost.answer_s, cost.joules)
        sources = dict.fromkeys(part for one in estimates if one for part in one.source.split("; "))
        yield (
            *(name, str(start.gpus), f"{least}{asked}", between(cost.start_s, seconds)),
            *(least + between(cost.answer_s, seconds), least + energy, "; ".join(sources)),
        )


def _energy(start: Start) -> str:
    cost = start.cost
    if cost is None or cost.start_joules is None or cost.joules is None:
        return MISSING
    parts = (cost.start_joules, cost.joules)
    value, low, high = (sum(one[place] for one in parts) / 1000 for place in range(3))  # type: ignore[misc]
    return f"{value:,.0f} ({low:,.0f} to {high:,.0f})"


def totals(found: Preflight) -> Iterator[str]:
    """Yield the sums over all engine starts."""
    used = total_gpu_seconds(found.starts).times(1 / 3600)
    if not used.value:
        yield "GPU time: none."
        return
    known = all(
        start.complete and start.cost is not None and start.cost.answer_s is not None
        for start in found.starts
        if start.gpus
    )
    least = "" if known else "at least "
    yield f"GPU time: {least}{between(used, _hundredths)} hours, starts included."
    if joules := _joules(found):
        yield f"Energy: {least}{between(joules.times(1 / 3.6e6), amount)} kWh."
    if (price := found.run.settings.get("price_per_gpu_hour")) is not None:
        yield f"Price: {least}{between(used.times(price), _hundredths)} at {price:g} a GPU-hour."


def _joules(found: Preflight) -> Estimate | None:
    """Return the energy of all engine starts, as far as it is known."""
    costs = [start.cost for start in found.starts if start.cost is not None]
    parts = [one for cost in costs for one in (cost.start_joules, cost.joules) if one is not None]
    return total(parts) if parts else None


def _hundredths(value: float) -> str:
    return f"{value:,.2f}"


def _number(value: float) -> str:
    return f"{value:,.0f}"


def between(estimate: Estimate | None, written: Callable[[Any], str]) -> str:
    """Write an estimate with what it may lie between."""
    if estimate is None:
        return MISSING
    value, low, high = (written(estimate[place]) for place in range(3))
    return f"{value} ({low} to {high})"


def table(title: str, rows: Iterator[Sequence[str]]) -> Iterator[str]:
    """Yield the lines of a table: its title, the header, the rows; nothing where there is no row."""
    header, *lines = ([one_line(cell) for cell in row] for row in rows)
    if not lines:
        return
    columns = list(zip(header, *lines, strict=True))
    widths = [max(map(len, column)) for column in columns]
    right = [all(cell[:1] in "0123456789≈≥–" for cell in column[1:]) for column in columns]
    yield ""
    yield title
    for line in (header, *lines):
        cells = (
            cell.rjust(width) if number else cell.ljust(width)
            for cell, width, number in zip(line, widths, right, strict=True)
        )
        yield f"  {'  '.join(cells)}".rstrip()
