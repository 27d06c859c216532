"""The tables of a run: what `results/summary/` holds."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from snakeval.errors import StorageError
from snakeval.records import read_json, write_json, write_text
from snakeval.registry.protocol import protocol
from snakeval.reporting import Failure
from snakeval.reporting.pairs import STATES, PairFiles, failure_class
from snakeval.reporting.text import csv_text

if TYPE_CHECKING:
    from snakeval.registry import Pair, Run

LEADERBOARD = (
    *("model", "dataset", "metric", "value", "ci_low", "ci_high", "n"),
    *(*STATES, "cut_prompts", "limit_hits"),
    *("sandbox", "judged_together", "key", "protocol", "open_thoughts"),
)
PERFORMANCE = (
    *("model", "dataset", "key", "requests", "prompt_tokens", "completion_tokens"),
    *("output_tokens_per_s", "latency_p50_s", "latency_p95_s", "ttft_p50_s"),
    *("start_s", "compile_s", "load_s", "generate_s"),
    *("peak_memory_bytes", "weights_memory_bytes", "joules", "gpu"),
)
SAMPLES = {
    **dict.fromkeys(("model", "dataset", "key", "id"), "string"),
    "repeat": "int32",
    **dict.fromkeys(("state", "class"), "string"),
    "value": "float64",
    "finish_reason": "string",
    **dict.fromkeys(("prompt_tokens", "completion_tokens", "cut_tokens"), "int32"),
    **dict.fromkeys(("latency_s", "ttft_s"), "float64"),
    "error": "string",
}


def write_summary(run: Run, folder: Path, output: Path, failures: Sequence[Failure]) -> None:
    """See `reporting.summarize`."""
    failures = [*failures, *_unnamed_failures(run, folder, failures)]
    leaderboard: list[dict[str, Any]] = []
    metas: dict[Pair, dict[str, Any]] = {}
    samples: dict[Pair, list[dict[str, Any]]] = {}
    for pair in run.pairs:
        files = PairFiles(folder, pair)
        if files.complete():
            metas[pair] = files.meta()
            samples[pair] = list(_sample_rows(files))
            leaderboard.append(_leaderboard_row(run, pair, files.metrics()))
    rates = output_rates(metas)
    performance = [
        _performance_row(pair, meta, samples[pair], rates[pair]) for pair, meta in metas.items()
    ]
    _write_csv(output / "leaderboard.csv", LEADERBOARD, leaderboard)
    _write_csv(output / "performance.csv", PERFORMANCE, performance)
    _write_parquet(output / "samples.parquet", [row for rows in samples.values() for row in rows])
    write_json(output / "provenance.json", _provenance(run, folder, metas))
    write_json(output / "failures.json", failures)


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


def _performance_row(
    pair: Pair, meta: Mapping[str, Any], rows: Sequence[Mapping[str, Any]], rate: float | None
) -> dict[str, Any]:
    seconds, tokens, memory = (meta.get(name) or {} for name in ("seconds", "tokens", "memory"))
    gpu = meta.get("gpu") or {}
    return {
        "model": pair.model,
        "dataset": pair.dataset,
        "key": pair.key,
        "requests": len(rows),
        "prompt_tokens": tokens.get("prompt"),
        "completion_tokens": tokens.get("completion"),
        "output_tokens_per_s": rate,
        "latency_p50_s": percentile([row["latency_s"] for row in rows], 50),
        "latency_p95_s": percentile([row["latency_s"] for row in rows], 95),
        "ttft_p50_s": percentile([row["ttft_s"] for row in rows], 50),
        **{f"{name}_s": seconds.get(name) for name in ("start", "compile", "load", "generate")},
        "peak_memory_bytes": memory.get("peak_bytes"),
        "weights_memory_bytes": memory.get("weights_bytes"),
        "joules": meta.get("joules"),
        "gpu": gpu.get("name"),
    }


def output_rates(metas: Mapping[Pair, Mapping[str, Any]]) -> dict[Pair, float | None]:
    """Return the output tokens per second of the engines that answered each pair.

    An engine answers all pairs of its model in one batch, so its seconds belong to them together:
    pairs that share an engine share one number. None where an engine's seconds are not known,
    and for a pair without an output token, as where likelihoods were asked.
    """
    rates: dict[Pair, float | None] = {}
    for pair, meta in metas.items():
        together, sessions = [pair], _sessions(meta)
        while joined := [
            other
            for other, its in metas.items()
            if other.model == pair.model and other not in together and sessions & _sessions(its)
        ]:
            together += joined
            sessions = sessions.union(*(_sessions(metas[other]) for other in joined))
        seconds = {
            start["session"]: start.get("generate_s")
            for other in together
            for start in metas[other]["engine_starts"]
        }
        tokens = sum(metas[other]["tokens"]["completion"] for other in together)
        known = [value for value in seconds.values() if value]
        measured = known and len(known) == len(seconds) and meta["tokens"]["completion"]
        rates[pair] = tokens / sum(known) if measured else None
    return rates


def _sessions(meta: Mapping[str, Any]) -> set[str]:
    return {start["session"] for start in meta["engine_starts"]}


def percentile(values: Iterable[float | None], percent: float) -> float | None:
    """Return a percentile of the measured values (linear between ranks), None if there are none."""
    measured = sorted(value for value in values if value is not None)
    if not measured:
        return None
    rank = (len(measured) - 1) * percent / 100
    low = measured[int(rank)]
    high = measured[min(int(rank) + 1, len(measured) - 1)]
    return low + (high - low) * (rank - int(rank))


def _sample_rows(files: PairFiles) -> Iterable[dict[str, Any]]:
    timings = files.timings()
    pair = files.pair
    for prediction, score in files.answers():
        timing = timings.get((prediction["id"], prediction["repeat"]))
        yield {
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
        }


def _provenance(run: Run, folder: Path, metas: Mapping[Pair, Mapping[str, Any]]) -> dict[str, Any]:
    """Collect what the answers came from; a list where the pairs differ."""
    gpus = {str((meta.get("gpu") or {}).get("name") or "none") for meta in metas.values()}
    began = sorted(session for meta in metas.values() for session in _sessions(meta))
    versions: dict[str, set[str]] = {}
    for meta in metas.values():
        for name, version in (meta.get("versions") or {}).items():
            versions.setdefault(name, set()).add(str(version))
    return {
        "command": command(run),
        "settings": run.settings,
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


def _pair_provenance(run: Run, pair: Pair) -> dict[str, Any]:
    way = protocol(run, pair)
    return {
        **{name: getattr(pair, name) for name in ("model", "dataset", "key", "scorer")},
        "protocol": {"id": way.id, "text": way.text, "own": way.own},
    }


def _began(session: str) -> str:
    """Return when an engine was started: its session's name begins with the time, in UTC."""
    return f"{datetime.strptime(session.split('-')[0], '%Y%m%dT%H%M%S'):%Y-%m-%d %H:%M:%S} UTC"


def command(run: Run) -> str:
    """Return the command line that makes the same run."""
    chosen = {
        "models": ",".join(run.models),
        "datasets": ",".join(run.datasets),
        **{name: run.settings.get(name) for name in ("limit", "repeats", "seed", "data_dir")},
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


def _write_parquet(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write the samples. pyarrow alone: pandas would turn counts that have gaps into floats."""
    import pyarrow
    import pyarrow.parquet

    fields = [(name, pyarrow.type_for_alias(kind)) for name, kind in SAMPLES.items()]
    columns = {
        name: [_encodable(row[name]) if kind == "string" else row[name] for row in rows]
        for name, kind in SAMPLES.items()
    }
    table = pyarrow.table(columns, schema=pyarrow.schema(fields))
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        pyarrow.parquet.write_table(table, temporary, compression="zstd")
        temporary.replace(path)
    except OSError as error:
        raise StorageError.from_os_error(error, path) from error
    finally:
        temporary.unlink(missing_ok=True)


def _encodable(text: str | None) -> str | None:
    """Replace halves of surrogate pairs, which no UTF-8 column can hold."""
    return None if text is None else text.encode("utf-8", "replace").decode("utf-8")
