"""The end of a run in which something failed: say what and why, report on the rest, clear the way.

Fetches that failed and engine starts with failed pairs lose their status files, and the summary is
marked as unfinished: the next run tries exactly the failed pairs again.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from snakeval import reporting
from snakeval.at_work import clear_failed_fetches
from snakeval.errors import StorageError
from snakeval.judging import work_name
from snakeval.records import delete, read_json
from snakeval.registry import Pair, Run, quantized
from snakeval.reporting import Failure

LOGS = Path("results/logs")
SUMMARY = Path("results/summary")
REPORTS = Path("reports")


def close(run: Run, root: Path, since: float) -> Iterator[str]:
    """Write the summary and the report over what is there; yield lines for the terminal.

    Args:
        run: the resolved run.
        root: the working directory.
        since: when the run started, in seconds since the epoch.

    Raises:
        StorageError: a result is broken, or the report cannot be written.
    """
    failures = list(find_failures(run, root, since))
    for failure in failures:
        log = f" Log: {failure['log']}" if failure.get("log") else ""
        yield f"failed: {failure['model']} on {failure['dataset']} ({failure['stage']}): {failure['reason']}{log}"
    try:
        reporting.summarize(run, root, root / SUMMARY, failures)
        reporting.report(run, root, root / SUMMARY, root / REPORTS)
        done = len(run.pairs) - len(failures)
        yield f"Report on {done} of {len(run.pairs)} pairs: {REPORTS / 'index.html'}"
    finally:
        clear(run, root)
    yield "The same command tries again what is missing."


def find_failures(run: Run, root: Path, since: float) -> Iterator[Failure]:
    """Yield each pair without scores, with the stage that it did not pass and the reason."""
    models = {**run.models, **run.judges}
    fetched = {
        "fetch_model": {model: read_status(root / run.model_status(model)) for model in models},
        "fetch_dataset": {
            dataset: read_status(root / run.dataset_status(dataset)) for dataset in run.datasets
        },
    }
    engines = {
        (pair.model, pair.part): read_status(root / pair.engine_status()) for pair in run.pairs
    }
    judged = read_status(root / run.judge_engine()) if run.judges else {}
    for pair in run.pairs:
        if pair.has_predictions(root) and pair.has_verdicts(root) and pair.has_scores(root):
            continue
        if pair.has_predictions(root) and not pair.has_verdicts(root):
            stage, reason, log = _no_verdicts(
                run, pair, fetched["fetch_model"], judged, root, since
            )
        else:
            engine = engines[pair.model, pair.part]
            stage, reason, log = _failure(run, pair, fetched, engine, root, since)
        yield Failure(
            model=pair.model,
            dataset=pair.dataset,
            stage=stage,
            reason=reason,
            log=str(log) if (root / log).exists() else None,
        )


def _failure(
    run: Run,
    pair: Pair,
    fetched: dict[str, dict[str, dict[str, Any]]],
    engine: dict[str, Any],
    root: Path,
    since: float,
) -> tuple[str, str, Path]:
    """Return stage, reason and log of a pair without scores."""
    if pair.has_predictions(root):
        log = LOGS / "score" / f"{pair.model}.{pair.dataset}.{pair.key}.{pair.scorer}.log"
        return "score", _last_error(root / log, since) or "not run", log
    sources = {"fetch_model": pair.model, "fetch_dataset": pair.dataset}
    for stage, name in sources.items():
        if found := _not_fetched(run, stage, name, fetched[stage][name], root, since):
            return found
    mine = engine.get("pairs", {}).get(pair.dataset, {})
    if mine.get("status") == "failed":
        return "generate", str(mine["reason"]), Path(engine["log"])
    if mine:
        log = LOGS / "predictions" / f"{pair.model}.{pair.dataset}.{pair.key}.log"
        return "predictions", _last_error(root / log, since) or "not run", log
    log = LOGS / "generate" / f"{pair.model}.{pair.part}.log"
    return "generate", _last_error(root / log, since) or "not run", log


def _not_fetched(
    run: Run, stage: str, name: str, status: dict[str, Any], root: Path, since: float
) -> tuple[str, str, Path] | None:
    """Return stage, reason and log of a model or dataset that could not be had; None where it could."""
    path = run.model_status(name) if stage == "fetch_model" else run.dataset_status(name)
    logs, base = [], None
    if stage == "fetch_model" and quantized.made_here(run.entry(name)):
        stage, logs, base = "quantize_model", [LOGS / "quantizer.log"], run.base_model(name)
    log = LOGS / stage / f"{name}.{path.stem}.log"
    if status.get("status") == "failed":
        return stage, str(status["reason"]), log
    for tried in () if status else (log, *logs):
        if reason := _last_error(root / tried, since):
            return stage, reason, tried
    if base is not None and not status:  # a fetch of the base that broke off left the copy unmade
        of_base = read_status(root / run.model_status(base))
        return _not_fetched(run, "fetch_model", base, of_base, root, since)
    return None


def _no_verdicts(
    run: Run,
    pair: Pair,
    fetched: dict[str, dict[str, Any]],
    engine: dict[str, Any],
    root: Path,
    since: float,
) -> tuple[str, str, Path]:
    """Return stage, reason and log of a pair with answers that the judge gave no verdicts on."""
    (judge,) = run.judges
    if found := _not_fetched(run, "fetch_model", judge, fetched[judge], root, since):
        return found
    mine = engine.get("pairs", {}).get(work_name(pair), {})
    if mine.get("status") == "failed":
        return "judge", str(mine["reason"]), Path(engine["log"])
    log = LOGS / "judge" / f"{judge}.log"
    if mine:
        log = LOGS / "verdicts" / f"{pair.model}.{pair.dataset}.{pair.key}.{pair.judging}.log"
    return "judge", _last_error(root / log, since) or "not run", log


def read_status(path: Path) -> dict[str, Any]:
    """Read a status file; empty where there is none that can be read."""
    try:
        status = read_json(path)
    except StorageError:
        return {}
    return status if isinstance(status, dict) else {}


def _last_error(path: Path, since: float) -> str | None:
    """Return the last error line of a log, or what it ends with; None if this run did not write it."""
    if not path.exists() or path.stat().st_mtime < since:
        return None
    lines = [line for line in path.read_text("utf-8", "replace").splitlines() if line.strip()]
    errors = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
    if errors:
        return errors[-1]
    return f"ended early; its log ends with: {lines[-1]}" if lines else "ended early without a word"


def clear(run: Run, root: Path) -> None:
    """Remove what would keep the next run from trying again."""
    engines = {pair.engine_status() for pair in run.pairs}
    for path in engines | ({run.judge_engine()} if run.judges else set()):
        status = root / path
        pairs = read_status(status).get("pairs", {})
        if any(entry.get("status") != "ok" for entry in pairs.values()):
            delete(status)
            shutil.rmtree(status.with_suffix(".requests"), ignore_errors=True)
    clear_failed_fetches(root)
    delete(root / SUMMARY / "provenance.json")
