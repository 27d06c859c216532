"""The tables of a run: what `results/summary/` holds."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from snakeval.records import (
    Prediction,
    Score,
    delete,
    fingerprint,
    read_json,
    replacing,
    write_json,
    write_text,
)
from snakeval.registry.protocol import protocol
from snakeval.registry.selection import BASELINE_MODEL, CONFIRM, PRICE
from snakeval.reporting import Failure, checkout
from snakeval.reporting.couples import COMPARISONS, comparisons
from snakeval.reporting.pairs import STATES, PairFiles, failure_class
from snakeval.reporting.performance import (
    MODEL_COLUMNS,
    PAIR_COLUMNS,
    Answered,
    model_rows,
    pair_rows,
    streams,
)
from snakeval.reporting.standings import DIFFERENCES, STANDINGS, Result, result, standings
from snakeval.reporting.text import csv_text
from snakeval.speed import Stream

if TYPE_CHECKING:
    from snakeval.registry import Pair, Run

LEADERBOARD = (
    *("model", "dataset", "metric", "value", "ci_low", "ci_high", "n"),
    *(*STATES, "cut_prompts", "limit_hits"),
    *("sandbox", "judged_together", "key", "protocol", "open_thoughts"),
    *("rank_low", "rank_high"),
)
GROUP_ROWS = 50_000  # of samples.parquet that are held in memory
SAMPLES = {
    **dict.fromkeys(("model", "dataset", "key", "id"), "string"),
    "repeat": "int32",
    **dict.fromkeys(("state", "class"), "string"),
    "value": "float64",
    "finish_reason": "string",
    **dict.fromkeys(("prompt_tokens", "completion_tokens", "cut_tokens"), "int32"),
    **dict.fromkeys(("latency_s", "ttft_s"), "float64"),
    **dict.fromkeys(("error", "cluster"), "string"),
}


def write_summary(run: Run, folder: Path, output: Path, failures: Sequence[Failure]) -> None:
    """See `reporting.summarize`."""
    whole = output / "provenance.json"  # there when all the other files are: it ends a summary
    delete(whole)
    failures = [*failures, *_unnamed_failures(run, folder, failures)]
    leaderboard: list[dict[str, Any]] = []
    answered: list[Answered] = []
    results: list[Result] = []
    with _parquet(output / "samples.parquet") as keep:
        for pair in run.pairs:
            files = PairFiles(folder, pair)
            if files.complete():
                answers = list(files.answers())
                rows, requests = _samples(files, answers)
                keep(rows)
                leaderboard.append(_leaderboard_row(run, pair, files.metrics()))
                results.append(result(leaderboard[-1], [score for _, score in answers]))
                latencies = [row["latency_s"] for row in rows]
                correct = leaderboard[-1]["correct"]
                answered.append(Answered(pair, files.meta(), latencies, requests, correct))
    price = run.settings.get(PRICE)
    found = standings(results, run.settings.get(BASELINE_MODEL), run.categories)
    ranks = found.ranks()
    for row in leaderboard:
        name = row["model"], row["dataset"]
        row["rank_low"], row["rank_high"] = ranks.get(name, (None, None))
    _write_csv(output / "leaderboard.csv", LEADERBOARD, leaderboard)
    _write_csv(output / "performance.csv", PAIR_COLUMNS, pair_rows(answered, price))
    _write_csv(output / "models.csv", MODEL_COLUMNS, model_rows(answered, price))
    _write_csv(output / "comparisons.csv", COMPARISONS, comparisons(run, folder))
    _write_csv(output / "standings.csv", STANDINGS, found.standings)
    _write_csv(output / "differences.csv", DIFFERENCES, found.differences)
    metas = {each.pair: each.meta for each in answered}
    write_json(output / "failures.json", failures)
    write_json(whole, _provenance(run, folder, metas))


def _unnamed_failures(run: Run, folder: Path, named: Sequence[Failure]) -> Iterable[Failure]:
    """Yield the pairs that have no result and are not in `named`."""
    known = {(failure["model"], failure["dataset"]) for failure in named}
    for pair in run.pairs:
        if (pair.model, pair.dataset) in known or PairFiles(folder, pair).complete():
            continue
        answered = pair.has_predictions(folder)
        yield Failure(
            model=pair.model,
            dataset=pair.dataset,
            stage="score" if answered else "generate",
            reason="not scored" if answered else "not run",
            log=None,
        )


def _read_if_there(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = read_json(path) if path.exists() else {}
    return found


def _leaderboard_row(run: Run, pair: Pair, metrics: Mapping[str, Any]) -> dict[str, Any]:
    primary, sandbox = metrics["primary"], metrics["sandbox"] or {}
    return {
        "model": pair.model,
        "dataset": pair.dataset,
        "metric": primary,
        **{name: metrics["metrics"][primary][name] for name in ("value", "ci_low", "ci_high", "n")},
        **{state: metrics["states"][state] for state in STATES},
        "cut_prompts": metrics["cut_prompts"],
        "limit_hits": metrics["limit_hits"],
        "sandbox": sandbox.get("level"),
        "judged_together": sandbox.get("judged_together"),
        "key": pair.key,
        "protocol": protocol(run, pair).id,
        "open_thoughts": metrics.get("open_thoughts"),
    }


def _samples(
    files: PairFiles, answers: Iterable[tuple[Prediction, Score]]
) -> tuple[list[dict[str, Any]], list[Stream]]:
    """Return a pair's rows of samples.parquet, and its requests."""
    timings = files.timings()
    pair = files.pair
    rows: list[dict[str, Any]] = []
    requests: list[Stream] = []
    for prediction, score in answers:
        timing = timings.get((prediction["id"], prediction["repeat"]))
        requests += streams(prediction, timing)
        row: dict[str, Any] = {
            "model": pair.model,
            "dataset": pair.dataset,
            "key": pair.key,
            "id": prediction["id"],
            "repeat": prediction["repeat"],
            "state": score["state"],
            "class": failure_class(score),
            "value": score["value"],
            "finish_reason": prediction["finish_reason"],
            "prompt_tokens": prediction["prompt_tokens"],
            "completion_tokens": prediction["completion_tokens"],
            "cut_tokens": prediction["cut_tokens"],
            "latency_s": timing["latency_s"] if timing else None,
            "ttft_s": timing["ttft_s"] if timing else None,
            "error": prediction.get("error"),
            "cluster": score.get("cluster"),
        }
        rows.append(row)
    return rows, requests


def _provenance(run: Run, folder: Path, metas: Mapping[Pair, Mapping[str, Any]]) -> dict[str, Any]:
    """Collect what the answers came from; a list where the pairs differ."""
    gpus = {str((meta.get("gpu") or {}).get("name") or _instead(meta)) for meta in metas.values()}
    began = sorted(start["session"] for meta in metas.values() for start in meta["engine_starts"])
    versions: dict[str, set[str]] = {}
    for meta in metas.values():
        for name, version in (meta.get("versions") or {}).items():
            versions.setdefault(name, set()).add(str(version))
    return {
        "command": command(run),
        "workflow_commit": checkout.commit(),
        "settings": {name: value for name, value in run.settings.items() if name != CONFIRM},
        "pairs": [_pair_provenance(run, pair) for pair in run.pairs],
        "models": {slug: _read_if_there(folder / run.model_status(slug)) for slug in run.models},
        "datasets": {
            slug: _read_if_there(folder / run.dataset_status(slug)) for slug in run.datasets
        },
        "versions": {name: sorted(found) for name, found in sorted(versions.items())},
        "gpus": sorted(gpus),
        "first_engine_start": _began(began[0]) if began else None,
        "last_engine_start": _began(began[-1]) if began else None,
    }


def _instead(meta: Mapping[str, Any]) -> str:
    """Return what answered in place of a GPU of this machine."""
    return "endpoint" if meta.get("device") == "endpoint" else "none"


def _pair_provenance(run: Run, pair: Pair) -> dict[str, Any]:
    way = protocol(run, pair)
    return {
        **{name: getattr(pair, name) for name in ("model", "dataset", "key", "scorer")},
        "protocol": {
            **{"id": way.id, "text": way.text, "own": way.own},
            "parts": {name: fingerprint(value) for name, value in way.parts.items()},
        },
    }


def _began(session: str) -> str:
    """Return when an engine was started: its session's name begins with the time, in UTC."""
    return f"{datetime.strptime(session.split('-')[0], '%Y%m%dT%H%M%S'):%Y-%m-%d %H:%M:%S} UTC"


def command(run: Run) -> str:
    """Return the command line that makes the same run.

    It names models and datasets where all of them are paired, else it says what was said, such as two categories.
    """
    names = (
        "limit",
        "repeats",
        "seed",
        "judge",
        "judge_baseline",
        "data_dir",
        PRICE,
        BASELINE_MODEL,
    )
    named = {"models": list(run.models), "datasets": list(run.datasets)}
    whole = len(run.pairs) == len(run.models) * len(run.datasets)
    chosen = {
        **{
            name: ",".join(its)
            for name, its in (named if whole else run.selection or named).items()
        },
        **{name: run.settings.get(name) for name in names},
        "deterministic": "true" if run.settings.get("deterministic") else None,
        "optional_datasets": "true"
        if not whole and run.settings.get("optional_datasets")
        else None,
    }
    given = " ".join(f"{name}={value}" for name, value in chosen.items() if value is not None)
    return f"snakemake --cores 1 --resources gpu=1 --config {given}"


def _write_csv(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """Write a table; a number that was not measured is an empty cell."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    for row in rows:
        cells = (row[name] for name in columns)
        writer.writerow(csv_text(cell) if isinstance(cell, str) else cell for cell in cells)
    write_text(path, text.getvalue())


@contextmanager
def _parquet(path: Path) -> Iterator[Callable[[Sequence[Mapping[str, Any]]], None]]:
    """Write the samples as they are given. pyarrow alone: pandas would turn counts that have gaps into floats."""
    import pyarrow
    import pyarrow.parquet

    schema = pyarrow.schema(
        [(name, pyarrow.type_for_alias(kind)) for name, kind in SAMPLES.items()]
    )
    waiting: list[Mapping[str, Any]] = []
    with (
        replacing(path) as file,
        pyarrow.parquet.ParquetWriter(file, schema, compression="zstd") as writer,
    ):

        def write() -> None:
            columns = {
                name: [_encodable(row[name]) if kind == "string" else row[name] for row in waiting]
                for name, kind in SAMPLES.items()
            }
            writer.write_table(pyarrow.table(columns, schema=schema))
            waiting.clear()

        def keep(rows: Sequence[Mapping[str, Any]]) -> None:
            waiting.extend(rows)
            if len(waiting) >= GROUP_ROWS:
                write()

        yield keep
        write()


def _encodable(text: str | None) -> str | None:
    """Replace halves of surrogate pairs, which no UTF-8 column can hold."""
    return None if text is None else text.encode("utf-8", "replace").decode("utf-8")
