"""The report's section on performance: tables of models, pairs and benchmarks, as texts ready to be shown."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from snakeval.benchmark import SPREAD, point_cost, point_joules
from snakeval.records import read_json
from snakeval.registry.selection import PRICE
from snakeval.reporting.formats import (
    MISSING,
    amount,
    count,
    gibibytes,
    hundredths,
    joules,
    money,
    seconds,
    several_seconds,
    watts,
)
from snakeval.speed import PERCENTILES

if TYPE_CHECKING:
    from snakeval.registry import Pair, Run

Row = Mapping[str, Any]
DEFINITIONS = (
    "Times are the engine's own and begin when it takes a request up: waiting for a place in the batch is in none of "
    "them. Of an endpoint they begin when the request is sent. p50, p95 and p99 are over answers; the time between "
    "tokens is an answer's mean. Thoughts that a server makes and does not show count as output tokens; its first "
    "token is the first that it shows, and the rates of one stream are without them.",
    "Rates of one stream are medians over answers: prefill is prompt tokens by the time to the first token, decode the "
    "tokens after it by the time after it. In a batch all streams share the engine's steps, so they say what a user "
    "would see there and not what the engine can do; snakemake benchmark, at one stream, measures that.",
    "An engine answers all pairs of its model in one batch. A pair's share of its seconds, energy and cost is that "
    "of its answers' latencies in the latencies of all answers of that engine.",
    "The start of an engine is paid once, however much is answered: it stands apart, and is in no number per token or "
    "per correct answer.",
    "GPU utilisation is the share of time in which a kernel was running, the mean over GPUs. Power, energy and memory "
    "are those of all GPUs of the engine together, sampled about once a second or counted by the GPUs.",
)
COUNTERS = "GPU utilisation, power, energy, peak memory and cost"
FIRST, BETWEEN = "first token, p50 / p95 / p99", "between tokens, p50 / p95 / p99"
RATES = ("prefill tokens/s, one stream", "decode tokens/s, one stream")


@dataclass(frozen=True)
class Line:
    """One row: what it is about, with its place in the page, and its cells."""

    name: str
    anchor: str | None
    cells: list[str]


@dataclass(frozen=True)
class Table:
    """A table of texts, whose first column is named by `of`."""

    caption: str
    of: str
    columns: list[str]
    lines: list[Line]


@dataclass(frozen=True)
class PerformanceView:
    """What models and pairs took.

    Args:
        notes: what holds for all tables, in sentences.
        definitions: how the numbers are counted, in sentences.
        models: tables with a line for each model.
        pairs: tables with a line for each pair.
        benchmarks: of each model that `snakemake benchmark` has measured, a table with a line for each number
            of streams.
        asked: what it asked, in a sentence; None where it has measured none.
    """

    notes: list[str]
    definitions: Sequence[str]
    models: list[Table]
    pairs: list[Table]
    benchmarks: list[Table]
    asked: str | None


def performance(
    run: Run,
    folder: Path,
    models: Sequence[Row],
    pairs: Sequence[tuple[Pair, str, str]],
    speeds: Mapping[tuple[str, str], Row],
) -> PerformanceView | None:
    """Return the section; None without results.

    Args:
        run: the resolved run.
        folder: the working directory; benchmarks are read from it where they are there.
        models: the rows of models.csv.
        pairs: the pairs with results, each with its title and its place in the page.
        speeds: the rows of performance.csv by model and dataset.
    """
    if not models:
        return None
    titles = {slug: str(entry["title"]) for slug, entry in run.models.items()}
    price = run.settings.get(PRICE)
    named = [(titles[row["model"]], row) for row in models if row["model"] in titles]
    on_gpu, priced = any(row["gpu"] for row in models), price is not None
    tables = [_starts(named), _answering(named)]
    if on_gpu:
        tables.append(_gpu(named, priced))
    taken = [(title, anchor, speeds[pair.model, pair.dataset]) for pair, title, anchor in pairs]
    paths = {model: folder / run.benchmark(model) for model in run.models}
    measured = {model: read_json(path) for model, path in paths.items() if path.exists()}
    return PerformanceView(
        notes=list(_notes(named, price)),
        definitions=DEFINITIONS,
        models=tables,
        pairs=list(_pairs(taken, on_gpu, priced)),
        benchmarks=[_benchmark(titles[model], record, price) for model, record in measured.items()],
        asked=_asked(next(iter(measured.values()))) if measured else None,
    )


def _notes(models: Sequence[tuple[str, Row]], price: float | None) -> Iterator[str]:
    if without := [title for title, row in models if not row["gpu"]]:
        where = "The run" if len(without) == len(models) else ", ".join(without)
        yield (
            f"{where} used no GPU of this machine: {COUNTERS} are null, as they come from a GPU's own counters "
            f"(NVML). Null is a dash ({MISSING}) here and an empty cell in results/summary."
        )
    if price is None:
        yield (
            "No price is given, so no cost is shown. To see costs: --config price_per_gpu_hour=2.5, what one GPU "
            "costs an hour in any currency. Only the tables and the report are made anew."
        )
    else:
        yield f"Costs are at {money(price)} for a GPU and hour, in the currency of that price."


def _starts(models: Sequence[tuple[str, Row]]) -> Table:
    columns = ["starts", "import", "engine start", "of it compiling", "of it loading weights"]
    columns += ["weights", "peak memory", "KV cache, tokens", "hardware"]

    def cells(row: Row) -> list[str]:
        took = [seconds(row[f"{name}_s"]) for name in ("import", "start", "compile", "load")]
        memory = [gibibytes(row[f"{name}_memory_bytes"]) for name in ("weights", "peak")]
        gpu = {"count": row["gpus"], "name": row["gpu"]} if row["gpu"] else None
        return [
            count(row["engine_starts"]),
            *took,
            *memory,
            count(row["kv_cache_tokens"]),
            _hardware(gpu, row["device"]),
        ]

    return _of_models("The engine, at its last start", columns, models, cells)


def _answering(models: Sequence[tuple[str, Row]]) -> Table:
    columns = ["answers", "prompt tokens", "output tokens", "generation", "output tokens/s"]

    def cells(row: Row) -> list[str]:
        counted = [count(row[name]) for name in ("requests", "prompt_tokens", "completion_tokens")]
        rate = amount(row["output_tokens_per_s"])
        return [*counted, seconds(row["generate_s"]), rate, *_stream(row)]

    return _of_models("Answering", [*columns, *RATES, FIRST, BETWEEN], models, cells)


def _gpu(models: Sequence[tuple[str, Row]], priced: bool) -> Table:
    columns = ["utilisation", "mean power", "peak power", "energy of starts"]

    def cells(row: Row) -> list[str]:
        power = [hundredths(row["utilization_percent"]), watts(row["power_w"])]
        power += [watts(row["peak_power_w"]), joules(row["start_joules"])]
        starts = [money(row["start_cost"])] if priced else []
        return [*power, *_energy(row), *starts, *(_cost(row) if priced else ())]

    columns += [*_energy_columns(), *(["cost of starts", *_cost_columns()] if priced else ())]
    return _of_models(
        "GPU, energy and cost" if priced else "GPU and energy", columns, models, cells
    )


def _pairs(pairs: Sequence[tuple[str, str, Row]], on_gpu: bool, priced: bool) -> Iterator[Table]:
    def table(caption: str, columns: list[str], cells: Callable[[Row], list[str]]) -> Table:
        lines = [Line(title, anchor, cells(row)) for title, anchor, row in pairs]
        return Table(caption, "Pair", columns, lines)

    def speed(row: Row) -> list[str]:
        counted = [count(row[name]) for name in ("requests", "completion_tokens")]
        return [*counted, seconds(row["answering_s"]), *_stream(row)]

    def spent(row: Row) -> list[str]:
        return [count(row["correct"]), *_energy(row), *(_cost(row) if priced else ())]

    columns = ["answers", "output tokens", "share of generation", *RATES, FIRST, BETWEEN]
    yield table("Speed", columns, speed)
    if on_gpu:
        columns = ["correct", *_energy_columns(), *(_cost_columns() if priced else ())]
        yield table("Energy and cost" if priced else "Energy", columns, spent)


def _asked(record: Row) -> str:
    asked = record["asked"]
    return (
        f"snakemake benchmark: prompts of {asked['prompt_tokens']:,} random tokens, answers of exactly "
        f"{asked['answer_tokens']:,}; each stream asks its next question when it has its answer."
    )


def _benchmark(title: str, record: Row, price: float | None) -> Table:
    gpu = record["gpu"]
    columns = ["output tokens/s", "a stream", RATES[0], FIRST, BETWEEN]
    if gpu:
        columns += ["utilisation", "mean power", "energy per 1,000 tokens"]
        columns += ["cost per 1,000 tokens"] if price is not None else []

    def cells(point: Row) -> list[str]:
        rate = point["output_tokens_per_s"]
        spreads = [point[name] or {} for name in ("first_token_s", "next_token_s")]
        shown = [amount(rate), amount(rate / point["streams"])]
        shown += [amount(point["prefill_tokens_per_s"])]
        shown += [several_seconds(spread.get(name) for name in SPREAD) for spread in spreads]
        if gpu:
            shown += [hundredths(point["utilization_percent"]), watts(point["power_w"])]
            shown += [joules(point_joules(point))]
            shown += [money(point_cost(record, point, price))] if price is not None else []
        return shown

    lines = [Line(count(point["streams"]), None, cells(point)) for point in record["points"]]
    return Table(f"{title}, {_hardware(gpu, record['device'])}", "Streams", columns, lines)


def _hardware(gpu: Mapping[str, Any] | None, device: str | None) -> str:
    if gpu:
        return f"{gpu['count']} × {gpu['name']}"
    return "endpoint" if device == "endpoint" else "CPU"


def _of_models(
    caption: str,
    columns: list[str],
    models: Sequence[tuple[str, Row]],
    cells: Callable[[Row], list[str]],
) -> Table:
    lines = [Line(title, None, cells(row)) for title, row in models]
    return Table(caption, "Model", columns, lines)


def _stream(row: Row) -> list[str]:
    """Return the rates and times of one stream."""
    rates = [amount(row[f"{name}_tokens_per_s"]) for name in ("prefill", "decode")]
    spreads = [
        several_seconds(row[f"{name}_p{percent}_s"] for percent in PERCENTILES)
        for name in ("ttft", "inter_token")
    ]
    return rates + spreads


def _energy_columns() -> list[str]:
    return ["energy of answers", "energy per 1,000 tokens", "energy per correct answer"]


def _energy(row: Row) -> list[str]:
    return [
        joules(row[name]) for name in ("joules", "joules_per_1000_tokens", "joules_per_correct")
    ]


def _cost_columns() -> list[str]:
    return ["cost of answers", "cost per 1,000 tokens", "cost per correct answer"]


def _cost(row: Row) -> list[str]:
    names = ("answering_cost", "cost_per_1000_tokens", "cost_per_correct")
    return [money(row[name]) for name in names]
