"""Quantized models beside the models whose copies they are, on the same samples.

results/pairs/…  ──comparisons──▶  comparisons.csv  ──views──▶  the report
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, NamedTuple

from snakeval.registry.protocol import differences, protocol
from snakeval.reporting.formats import (
    MISSING,
    amount,
    count,
    gibibytes,
    joules,
    p_value,
    points_interval,
    seconds,
    times,
    width,
)
from snakeval.reporting.paired import (
    NO_MEAN,
    SCORE,
    Name,
    by_sample,
    clusters_of,
    decide,
    is_mean,
    paired,
)
from snakeval.reporting.pairs import PairFiles, said
from snakeval.statistics import bootstrapped_ratio

if TYPE_CHECKING:
    from snakeval.registry import Pair, Run

COMPARISONS = (
    *("dataset", "model_a", "model_b", "difference", "ci_low", "ci_high"),
    *("p", "p_adjusted", "verdict", "smallest_detectable"),
    *("reason", "metric", "test", "n", "answers", "left_out"),
    *(f"{name}_{side}" for side in "ab" for name in SCORE),
    *("both_right", "only_a_right", "only_b_right", "neither_right", "same_text"),
)
TEXTS = {"dataset", "model_a", "model_b", "verdict", "reason", "metric", "test"}


ONCE = "one measurement"
# Of performance.csv: what it is called, its column, how it is written.
MEASURED: tuple[tuple[str, str, Callable[[Any], str]], ...] = (
    ("output tokens/s", "output_tokens_per_s", amount),
    ("weights in memory", "weights_memory_bytes", gibibytes),
    ("peak memory", "peak_memory_bytes", gibibytes),
    ("tokens in the KV cache", "kv_cache_tokens", count),
    ("energy per 1,000 output tokens", "joules_per_1000_tokens", joules),
)
SHOWN = {
    "better": "it is better",
    "worse": "it is worse",
    "no difference shown": "no difference is shown",
}


class Answer(NamedTuple):
    """What is compared of an answer. `text` is None where none was written, as for likelihoods.

    `cluster` is what its sample shares with others; None where each stands alone.
    """

    value: float
    text: tuple[str, ...] | None
    cluster: str | None


def couples(run: Run) -> Iterator[tuple[Pair, Pair]]:
    """Yield the pair of each quantized model and that of its base model, where the run holds both."""
    pairs = {(pair.model, pair.dataset): pair for pair in run.pairs}
    for pair in run.pairs:
        base = run.base_model(pair.model)
        if base is not None and (base, pair.dataset) in pairs:
            yield pair, pairs[base, pair.dataset]


def comparisons(run: Run, folder: Path) -> list[dict[str, Any]]:
    """Return the rows of comparisons.csv: a quantized model, `model_a`, against its base, `model_b`.

    Shares and differences lie in -1..1. `difference` is a - b over the samples that both have answered
    and had judged, with its 95 % interval; `p_adjusted` is Holm's over all rows. Right and wrong are
    counted in answers, of which there are several for each of the `n` samples where there are repeats.

    Raises:
        StorageError: a file of a pair is broken.
    """
    rows = [_comparison(run, folder, first, second) for first, second in couples(run)]
    decide(rows)
    return rows


def _comparison(run: Run, folder: Path, first: Pair, second: Pair) -> dict[str, Any]:
    row: dict[str, Any] = dict.fromkeys(COMPARISONS)
    row |= {"dataset": first.dataset, "model_a": first.model, "model_b": second.model}
    row["verdict"] = "not compared"
    files = [PairFiles(folder, first), PairFiles(folder, second)]
    for one in files:
        if not one.complete():
            return row | {"reason": f"there is no result of {one.pair.model}"}
    if parted := differences(protocol(run, first), protocol(run, second)):
        return row | {"reason": f"the protocols differ in {', '.join(parted)}"}
    (a, asked), (b, asked_too) = (_judged(one) for one in files)
    both = [name for name in a if name in b]
    row |= {"answers": len(both), "left_out": len(asked | asked_too) - len(both)}
    if not both:
        return row | {"reason": "no answer of both was judged"}
    values = [{name: answer.value for name, answer in its.items()} for its in (a, b)]
    texts = [(a[name].text, b[name].text) for name in both]
    written = not any(None in couple for couple in texts)
    return row | {
        **paired(values[0], values[1], both, clusters=clusters_of(a, both)),
        "metric": _metric(files, values),
        "same_text": sum(text == other for text, other in texts) if written else None,
    }


def _judged(files: PairFiles) -> tuple[dict[Name, Answer], set[Name]]:
    """Return the answers that were judged, and the names of all."""
    judged, asked = {}, set()
    for prediction, score in files.answers():
        name = score["id"], score["repeat"]
        asked.add(name)
        if score["value"] is not None:
            judged[name] = Answer(score["value"], said(prediction), score.get("cluster"))
    return judged, asked


def _metric(files: Iterable[PairFiles], values: Iterable[Mapping[Name, float]]) -> str:
    """Name what is compared: the primary metric where it is the mean over samples, else that mean."""
    for one, its in zip(files, values, strict=True):
        metrics = one.metrics()
        if not is_mean(metrics["metrics"][metrics["primary"]]["value"], its):
            return NO_MEAN
    return str(metrics["primary"])


@dataclass(frozen=True)
class Quantity:
    """Something measured of both, for people."""

    name: str
    first: str
    second: str
    ratio: str
    interval: str  # of the ratio


@dataclass(frozen=True)
class Beside:
    """Both models on one dataset.

    Args:
        title: the dataset's.
        row: of comparisons.csv.
        quantities: speed, memory and energy; nothing where they do not compare.
        apart: why those do not compare; None where they do.
    """

    title: str
    row: Mapping[str, Any]
    quantities: list[Quantity]
    apart: str | None


@dataclass(frozen=True)
class CoupleView:
    """A quantized model beside its base.

    Args:
        first: the quantized model's title.
        second: the base model's title.
        own: in what the two were asked differently that is a model's own; None where in nothing.
        datasets: the results.
    """

    first: str
    second: str
    own: str | None
    datasets: list[Beside]

    @property
    def compared(self) -> list[Beside]:
        """The datasets on which scores are compared."""
        return [one for one in self.datasets if one.row["reason"] is None]

    @property
    def refused(self) -> list[Beside]:
        """The datasets on which they are not."""
        return [one for one in self.datasets if one.row["reason"] is not None]

    def sentence(self, beside: Beside) -> str:
        """Say what the scores on a dataset show."""
        row, difference = beside.row, beside.row["difference"]
        p = f"p = {p_value(row['p'])}" if row["p"] >= 0.001 else f"p {p_value(row['p'])}"
        if row["p_adjusted"] != row["p"]:
            p += f", corrected {p_value(row['p_adjusted'])}"
        scores = f"scores {width(abs(difference))} points {'lower' if difference < 0 else 'higher'}"
        text = (
            f"On {beside.title} the quantized model {scores if difference else 'scores the same'} "
            f"(95 % interval {points_interval(row)}; {row['test']} test, {p}): {SHOWN[row['verdict']]}."
        )
        samples = f"{row['n']:,} sample{'' if row['n'] == 1 else 's'}"
        if row["smallest_detectable"] is None:
            return f"{text} {samples} could show no difference, however large."
        smallest = width(row["smallest_detectable"])
        return f"{text} {samples} would show a true difference of {smallest} points four times in five."


def views(
    run: Run,
    folder: Path,
    rows: Iterable[Mapping[str, Any]],
    speeds: Mapping[tuple[str, str], Mapping[str, Any]],
    metas: Mapping[tuple[str, str], Mapping[str, Any]],
) -> list[CoupleView]:
    """Return what the report says about each couple.

    Args:
        run: the run.
        folder: the working directory.
        rows: of comparisons.csv.
        speeds: rows of performance.csv, by model and dataset.
        metas: meta.json of the pairs, by model and dataset.
    """
    together: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for row in rows:
        together.setdefault((row["model_a"], row["model_b"]), []).append(row)
    found = []
    for models, its in together.items():
        first, second = (str(run.models[model]["title"]) for model in models)
        asked, as_well = (protocol(run, run.pair(model, its[0]["dataset"])).own for model in models)
        own = f"{first}: {asked}; {second}: {as_well}" if asked != as_well else None
        datasets = [_beside(run, folder, row, speeds, metas) for row in its]
        found.append(CoupleView(first, second, own, datasets))
    return found


def _beside(
    run: Run,
    folder: Path,
    row: Mapping[str, Any],
    speeds: Mapping[tuple[str, str], Mapping[str, Any]],
    metas: Mapping[tuple[str, str], Mapping[str, Any]],
) -> Beside:
    title = str(run.datasets[row["dataset"]]["title"])
    names = [(row[model], row["dataset"]) for model in ("model_a", "model_b")]
    if row["reason"] is not None:
        return Beside(title, row, [], None)
    if apart := _apart([metas[name] for name in names]):
        return Beside(title, row, [], apart)
    latency = _latency([PairFiles(folder, run.pair(*name)) for name in names])
    measured = [
        _quantity(name, [speeds[pair].get(column) for pair in names], write)
        for name, column, write in MEASURED
    ]
    return Beside(title, row, [measured[0], latency, *measured[1:]], None)


def _apart(metas: list[Mapping[str, Any]]) -> str | None:
    """Return why speeds do not compare; None where they do."""
    if any(meta.get("device") == "endpoint" for meta in metas):
        return "an endpoint does not tell what it runs on"
    gpus = [meta.get("gpu") for meta in metas]
    first, second = (f"{gpu['count']} × {gpu['name']}" if gpu else "a CPU" for gpu in gpus)
    return None if first == second else f"they ran on different hardware, {first} and {second}"


def _latency(files: list[PairFiles]) -> Quantity:
    """Return the median latency over the samples that it was measured of in both."""
    a, b = (
        {name: value for name, timing in one.timings().items() if (value := timing["latency_s"])}
        for one in files
    )
    both = [name for name in a if name in b]
    values = [by_sample(its, both) for its in (a, b)]
    interval = ONCE
    if len(values[0]) > 1:
        low, high = bootstrapped_ratio(*values)
        interval = f"{low:.2f} to {high:.2f}"
    medians = [median(its) if its else None for its in values]
    return _quantity("latency, median", medians, seconds, interval)


def _quantity(
    name: str,
    values: list[float | None],
    write: Callable[[Any], str],
    interval: str = ONCE,
) -> Quantity:
    first, second = values
    ratio = first / second if first is not None and second else None
    return Quantity(name, write(first), write(second), times(ratio), interval if ratio else MISSING)
