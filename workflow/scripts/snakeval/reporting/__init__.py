"""From pair files to tables (`summarize`) and from tables to the report (`report`).

    results/pairs/…  ──summary.py──▶  results/summary/  ──page.py, figures/──▶  reports/

`text.py` makes model-written text safe to show, `pairs.py` reads one pair's files.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NotRequired, TypedDict

if TYPE_CHECKING:
    from snakeval.registry import Run

__all__ = ["Failure", "report", "summarize"]


class Failure(TypedDict):
    """A selected pair without a result. `log` is a path below the working directory."""

    model: str
    dataset: str
    stage: str  # fetch_model, quantize_model, fetch_dataset, generate, predictions, score
    reason: str  # one line
    log: NotRequired[str | None]


def summarize(run: Run, folder: Path, output: Path, failures: Sequence[Failure] = ()) -> None:
    """Write leaderboard, performance, models and comparisons .csv, samples.parquet, provenance and failures .json.

    Args:
        run: the resolved run; only its pairs are read, whatever else lies in `folder`.
        folder: the working directory, which holds `results/`.
        output: the folder to write to.
        failures: what is known to have failed; other pairs without files are listed as not run.

    Raises:
        StorageError: a file is broken, or a pair's meta.json belongs to another key.
    """
    from snakeval.reporting.summary import write_summary

    write_summary(run, folder, output, failures)


def report(run: Run, folder: Path, summary: Path, output: Path) -> None:
    """Write index.html (one self-contained file), report.md and figures/*.svg.

    Args:
        run: the resolved run.
        folder: the working directory, which holds `results/` (samples are read from the pairs).
        summary: the folder that `summarize` wrote.
        output: the folder to write to.

    Raises:
        StorageError: the summary is missing or broken, or `output` cannot be written.
    """
    from snakeval.reporting.page import write_report

    write_report(run, folder, summary, output)
