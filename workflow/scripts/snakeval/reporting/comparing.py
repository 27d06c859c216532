"""This run beside an earlier one, its baseline: what changed, what is shown, and which answers flipped.

two summaries  ──compare──▶  record  ──table, compare.md.j2──▶  the terminal, reports/compare.md and .json
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from snakeval.errors import SnakevalError
from snakeval.records import write_json, write_text
from snakeval.reporting import baselines
from snakeval.reporting.baselines import PairName, Result, Summary
from snakeval.reporting.formats import MISSING, p_value, percent, points, points_interval, width
from snakeval.reporting.paired import NO_MEAN, SCORE, Name, clusters_of, decide, is_mean, paired
from snakeval.reporting.rendering import markdown
from snakeval.reporting.text import line

SIDES = ("after", "before")
WHICH_ROWS = {"rows", "limit"}  # what of a protocol may differ: only shared samples are compared
NOT_COMPARED = "not compared"
VERDICTS = ("worse", "better", "no difference shown", NOT_COMPARED)
COMPARED = (
    *("difference", "ci_low", "ci_high", "p", "p_adjusted", "verdict", "smallest_detectable"),
    *("reason", "note", "metric", "test", "n", "answers", "changed"),
    *("unjudged", "only_in_after", "only_in_before", "flipped"),
    *(f"{name}_{side}" for side in SIDES for name in ("key", *SCORE)),
    *("both_right", "only_after_right", "only_before_right", "neither_right"),
)
FLIPS_SHOWN = 50  # of a pair, in Markdown


def write(
    given: str, current: Path, output: Path, chosen: Collection[PairName] | None = None
) -> dict[str, Any]:
    """Compare with a baseline; write compare.json and compare.md, and return the record.

    Args:
        given: the baseline, as `baselines.find` takes it.
        current: the folder of this run's summary.
        output: the folder to write to.
        chosen: the pairs to look at; None looks at all.

    Raises:
        SnakevalError: there is no summary or no baseline, or it is this run's own summary.
        StorageError: a file is missing, broken or of another format, or `output` cannot be written.
    """
    if not (current / baselines.SAMPLES).exists():
        raise SnakevalError(
            str(current),
            "no summary",
            "the one that a run leaves",
            "Run snakemake with the models and datasets first.",
        )
    baseline = baselines.find(given)
    if baseline.samefile(current):
        raise SnakevalError(
            "baseline",
            f"{given!r}, this run's own summary",
            "an earlier one",
            f"Each run writes results/summary anew. To keep one: {baselines.KEEP}",
        )
    record = {"baseline": str(baseline)}
    record |= compare(baselines.read(current), baselines.read(baseline), chosen)
    write_json(output / "compare.json", record)
    view = record | {"counts": _counts(record), "limit": FLIPS_SHOWN}
    write_text(output / "compare.md", markdown("compare.md.j2", view))
    return record


def compare(
    after: Summary, before: Summary, chosen: Collection[PairName] | None = None
) -> dict[str, Any]:
    """Return what changed: a row for each pair of either summary, and what else differs.

    Shares and differences lie in -1..1; `difference` is after - before over the answers that both hold
    and had judged, of which `changed` have another value now. `flipped` holds the answers of both whose
    state is another now. `p_adjusted` is Holm's over all pairs of which an answer changed: the others
    can show nothing, and mostly are the very results of the baseline, as only what was edited runs again.

    Source: for leaving those out, R. E. Tarone, Biometrics 46 (1990) 515-522.
    """
    names = dict.fromkeys([*after.results, *before.results])
    rows = [
        _row(name, after.results.get(name), before.results.get(name))
        for name in names
        if chosen is None or name in chosen
    ]
    decide(row for row in rows if row["changed"])
    for row in rows:
        if row["changed"] == 0:
            row |= {"p_adjusted": row["p"], "verdict": "no difference shown"}
    changes = [
        {"what": what, "before": before.facts[what], "after": value}
        for what, value in after.facts.items()
        if before.facts.get(what, value) != value
    ]
    return {"pairs": rows, "changes": changes}


def _row(name: PairName, after: Result | None, before: Result | None) -> dict[str, Any]:
    row: dict[str, Any] = dict(zip(("model", "dataset"), name, strict=True))
    row |= dict.fromkeys(COMPARED) | {"verdict": NOT_COMPARED}
    if before is None:
        return row | {"reason": "the baseline has no result"}
    if after is None:
        return row | {"reason": "there is no result now"}
    row |= {"key_after": after.key, "key_before": before.key}
    parted = _parted(after, before)
    if not parted <= WHICH_ROWS:
        which = f" in {', '.join(sorted(parted))}" if parted != {""} else ""
        return row | {"reason": f"the protocols differ{which}"}
    shared = [its for its in after.answers if its in before.answers]
    values = [_values(one) for one in (after, before)]
    both = [its for its in shared if all(its in one for one in values)]
    row |= {
        "answers": len(both),
        "unjudged": len(shared) - len(both),
        "only_in_after": len(after.answers) - len(shared),
        "only_in_before": len(before.answers) - len(shared),
        "flipped": list(_flipped(after, before, shared)),
    }
    if "rows" in parted:
        row["note"] = (
            "the dataset's rows differ, so a sample may be another one under the same name"
        )
    if not both:
        return row | {"reason": "no answer of both was judged"}
    means = is_mean(after.value, values[0]) and is_mean(before.value, values[1])
    metric = after.metric if means else NO_MEAN
    row |= {"metric": metric, "changed": sum(values[0][its] != values[1][its] for its in both)}
    return row | paired(values[0], values[1], both, SIDES, clusters_of(after.answers, both))


def _parted(after: Result, before: Result) -> set[str]:
    """Return in which parts the protocols differ; an empty name where a summary does not tell."""
    if after.protocol == before.protocol:
        return set()
    if not (after.parts and before.parts):
        return {""}
    names = {*after.parts, *before.parts}
    return {name for name in names if after.parts.get(name) != before.parts.get(name)}


def _values(result: Result) -> dict[Name, float]:
    return {
        name: answer.value for name, answer in result.answers.items() if answer.value is not None
    }


def _flipped(after: Result, before: Result, shared: Sequence[Name]) -> Iterator[dict[str, Any]]:
    for name in shared:
        now, then = after.answers[name], before.answers[name]
        if now.state != then.state:
            yield {"id": name[0], "repeat": name[1], "before": then.state, "after": now.state}


def _counts(record: Mapping[str, Any]) -> str:
    """Say how many pairs came out how."""
    found = Counter(row["verdict"] for row in record["pairs"])
    return ", ".join(f"{found[verdict]} {verdict}" for verdict in VERDICTS)


def table(record: Mapping[str, Any]) -> str:
    """Return the record as text, a line for each pair."""
    lines = [f"Compared with {line(record['baseline'])}: {_counts(record)}"]
    names = [line(f"{row['model']} on {row['dataset']}") for row in record["pairs"]]
    room = max(map(len, names), default=0)
    for name, row in zip(names, record["pairs"], strict=True):
        if row["reason"] is not None:
            lines.append(f"{name:{room}}  {NOT_COMPARED}: {line(row['reason'])}")
            continue
        scores = f"{percent(row['value_before'])} → {percent(row['value_after'])}"
        smallest = row["smallest_detectable"]
        lines.append(
            f"{name:{room}}  {scores:17}  {points(row['difference']):>6} points "
            f"({points_interval(row)}), corrected p {p_value(row['p_adjusted'])}: {row['verdict']}; "
            f"n {row['n']:,}, would show {MISSING if smallest is None else width(smallest)} points; "
            f"{len(row['flipped']):,} flipped" + (f"; {row['note']}" if row["note"] else "")
        )
    for change in record["changes"]:
        lines.append(line("{what}: {before} → {after}".format(**change)))
    return "\n".join(lines)


def regression(record: Mapping[str, Any]) -> str | None:
    """Return in one line why a pipeline is not to go on; None where it may.

    It may not either where nothing was compared: such a guard would watch nothing.
    """
    rows = record["pairs"]
    if all(row["verdict"] == NOT_COMPARED for row in rows):
        return "fail_on_regression: no pair could be compared with the baseline. See reports/compare.md."
    worse = [
        f"{row['model']} on {row['dataset']} ({points(row['difference'])} points)"
        for row in rows
        if row["verdict"] == "worse"
    ]
    return (
        f"fail_on_regression: worse than the baseline: {line(', '.join(worse))}." if worse else None
    )
