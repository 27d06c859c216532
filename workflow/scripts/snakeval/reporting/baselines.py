"""Read what an earlier run left in its summary: all that later results are compared with.

results/summary, or a copy  ──read──▶  Summary  ──comparing.py──▶  reports/compare.*
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from snakeval.errors import SnakevalError, StorageError
from snakeval.records import read_json
from snakeval.registry.selection import COMPARING
from snakeval.reporting.paired import Name

SAMPLES, LEADERBOARD, PROVENANCE = "samples.parquet", "leaderboard.csv", "provenance.json"
SUMMARY = Path("results", "summary")
KEEP = "cp -r results/summary baselines/NAME"
# Of a fetched model or dataset: what it is called, its key.
MARKS = (("commit", "commit"), ("revision", "revision"), ("rows", "sha256"))

PairName = tuple[str, str]  # model and dataset


class Judged(NamedTuple):
    """What a summary says about an answer.

    `value` is None where it could not be judged, `cluster` where its sample stands alone.
    """

    state: str
    value: float | None
    cluster: str | None = None


@dataclass(frozen=True)
class Result:
    """What a summary says about a pair.

    Args:
        metric: the primary one's name.
        value: its value; None where nothing was judged.
        key: of the pair.
        protocol: how it was asked and judged, as one fingerprint.
        parts: the fingerprint of each part of that; empty in summaries that do not tell.
        answers: all of them.
    """

    metric: str
    value: float | None
    key: str
    protocol: str
    parts: Mapping[str, str]
    answers: Mapping[Name, Judged]


@dataclass(frozen=True)
class Summary:
    """A run's results, and `facts` about what they came from: what it is → its value as text."""

    results: Mapping[PairName, Result]
    facts: Mapping[str, str]


def find(given: str) -> Path:
    """Return the folder of a summary.

    Args:
        given: that folder, or one that holds it as `results/summary` or `summary`, or a report (its file
            or folder) beside such a one.

    Raises:
        SnakevalError: there is none.
    """
    place = Path(given).expanduser()
    folder = place if place.is_dir() else place.parent
    near = [folder]
    if any((folder / name).exists() for name in ("index.html", "report.md")):
        near.append(folder.parent)
    for above in near if place.exists() else ():
        for summary in (above, above / SUMMARY, above / "summary"):
            if (summary / SAMPLES).exists():
                return summary
    raise SnakevalError(
        "baseline",
        f"{given!r}, {'which holds no summary' if place.exists() else 'which is not there'}",
        f"a folder with {SAMPLES}, {LEADERBOARD} and {PROVENANCE}",
        f"Give a copy of results/summary; a report alone holds too little. To keep one: {KEEP}",
    )


def read(folder: Path) -> Summary:
    """Read a summary.

    Raises:
        StorageError: a file is missing, broken or of another format.
    """
    answers: dict[PairName, dict[Name, Judged]] = {}
    for pair, name, judged in _answers(folder / SAMPLES):
        answers.setdefault(pair, {})[name] = judged
    path = folder / PROVENANCE
    try:
        provenance = read_json(path)
        parts = {
            (pair["model"], pair["dataset"]): dict(pair["protocol"].get("parts", {}))
            for pair in provenance["pairs"]
        }
        facts = dict(_facts(provenance))
    except StorageError as error:
        raise _unfit(path, error.got) from error
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise _unfit(path, f"another format ({error!r})") from error
    results = {
        pair: Result(metric, value, key, protocol, parts.get(pair, {}), answers.get(pair, {}))
        for pair, metric, value, key, protocol in _leaderboard(folder / LEADERBOARD)
    }
    return Summary(results, facts)


def _answers(path: Path) -> Iterator[tuple[PairName, Name, Judged]]:
    """Yield the rows of samples.parquet."""
    import pyarrow
    import pyarrow.parquet

    columns = ["model", "dataset", "id", "repeat", "state", "value"]
    try:
        table = pyarrow.parquet.ParquetFile(path).read([*columns, "cluster"]).to_pydict()
        rows = list(zip(*(table[name] for name in columns), strict=True))
        clusters = table.get("cluster") or [None] * len(rows)  # older summaries have none
    except (pyarrow.ArrowException, OSError) as error:
        raise _unfit(path, str(error)) from error
    except KeyError as error:
        raise _unfit(path, f"no column {error}") from error
    for row, cluster in zip(rows, clusters, strict=True):
        model, dataset, sample, repeat, state, value = row
        yield (model, dataset), (sample, repeat), Judged(state, value, cluster)


def _leaderboard(path: Path) -> Iterator[tuple[PairName, str, float | None, str, str]]:
    """Yield pair, metric, value, key and protocol of each row of leaderboard.csv."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                value = float(row["value"]) if row["value"] else None
                yield (
                    *((row["model"], row["dataset"]), row["metric"], value),
                    *(row["key"], row["protocol"]),
                )
    except OSError as error:
        raise _unfit(path, error.strerror or str(error)) from error
    except (KeyError, TypeError, ValueError, csv.Error) as error:
        raise _unfit(path, f"another format ({error!r})") from error


def _facts(provenance: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield what a run's results came from."""
    if provenance.get("workflow_commit"):
        yield "commit of the workflow", provenance["workflow_commit"]
    for name, found in provenance["versions"].items():
        yield f"version of {name}", ", ".join(found)
    yield "GPU", ", ".join(provenance["gpus"])
    for name, value in provenance["settings"].items():
        if name not in COMPARING:
            yield f"setting {name}", str(value)
    for kind in ("models", "datasets"):
        for name, status in provenance[kind].items():
            for mark, key in MARKS:
                if status.get(key) is not None:
                    yield f"{mark} of {name}", str(status[key])
    own: dict[str, dict[str, None]] = {}
    for pair in provenance["pairs"]:
        own.setdefault(pair["model"], {})[str(pair["protocol"]["own"])] = None
    for model, texts in own.items():
        yield f"how {model} is asked", "; ".join(sorted(texts))


def _unfit(path: Path, got: str) -> StorageError:
    return StorageError(
        str(path),
        got,
        "a summary that this version of snakeval wrote",
        "Give another copy, or make that run's summary anew: snakemake -R summarize",
    )
