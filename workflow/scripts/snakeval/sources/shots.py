"""Fixed examples in prompts: which rows of a pool a sample is shown, never itself."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from typing import Any

from snakeval.errors import SourceError
from snakeval.records import Sample, canonical_json
from snakeval.sources.unavailable import short
from snakeval.tasks import Task

Placed = tuple[str, dict[str, Any], Sample]  # where the row stands, the row, its sample


def added(
    where: str, task: Task, entry: dict[str, Any], samples: Iterable[Placed], pool: Iterable[Placed]
) -> Iterator[Placed]:
    """Yield the samples with their examples.

    `inputs["shots"]` lists what a template shows of each example: its inputs, and `answer`, the
    reference answer. `metadata["shots"]` lists their ids. As part of the samples they are part of
    the samples' hash.

    Args:
        where: names the dataset in errors.
        task: the dataset's task type.
        entry: its registry entry, with `shots`: `{name, count, ids, group}`.
        samples: of the dataset.
        pool: what the examples are taken from, in order.

    Raises:
        SourceError: the pool holds too few examples for a row, not the ids that are asked for, or an
            example without a reference answer.
    """
    block = entry["shots"]
    groups = _groups(f"{where}.{block['name']}", task, block, pool)
    for place, row, sample in samples:
        group = _group(block, row)
        own = canonical_json(sample["inputs"])
        chosen = [
            (name, shown) for name, content, shown in groups.get(group, ()) if content != own
        ][: block["count"]]
        if len(chosen) < block["count"]:
            of = f" with {block['group']} {short(row.get(block['group']))}" if group else ""
            raise SourceError(
                place,
                f"{len(chosen)} examples{of} in {block['name']}",
                f"{block['count']}, as shots.count says",
                "Lower shots.count, or give a larger pool.",
            )
        inputs = sample["inputs"] | {"shots": [shown for _, shown in chosen]}
        metadata = sample["metadata"] | {"shots": [name for name, _ in chosen]}
        yield place, row, {**sample, "inputs": inputs, "metadata": metadata}


def shown(samples: Iterable[Sample]) -> dict[str, Any]:
    """Return how many examples the samples are shown in all, and the SHA-256 of their ids and contents.

    Args:
        samples: with their examples; those of different samples may differ.
    """
    found = {
        name: example
        for sample in samples
        for name, example in zip(
            sample["metadata"]["shots"], sample["inputs"]["shots"], strict=True
        )
    }
    text = canonical_json(sorted(found.items()))
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass"))
    return {"examples": len(found), "sha256": digest.hexdigest()}


Example = tuple[str, str, dict[str, Any]]  # id, the inputs as text, what a template shows


def _groups(
    where: str, task: Task, block: dict[str, Any], pool: Iterable[Placed]
) -> dict[str, list[Example]]:
    """Return the examples of each value of the grouping column, in the order of the pool or of `ids`."""
    wanted: list[str] | None = block.get("ids")
    groups: dict[str, list[Example]] = {}
    found: set[str] = set()
    for place, row, sample in pool:
        if wanted is not None and sample["id"] not in wanted:
            continue
        answer = task.gold(sample)
        if answer is None:
            raise SourceError(
                place, "no reference answer", "an example with one", "Leave that row out."
            )
        found.add(sample["id"])
        group = _group(block, row)
        shown = sample["inputs"] | {"answer": answer.text}
        groups.setdefault(group, []).append((sample["id"], canonical_json(sample["inputs"]), shown))
    if wanted is not None:
        absent = [name for name in wanted if name not in found]
        if absent:
            raise SourceError(
                where,
                f"no row with the id {short(absent[0])}",
                "all of shots.ids",
                "Correct the ids.",
            )
        for examples in groups.values():
            examples.sort(key=lambda example: wanted.index(example[0]))
    return groups


def _group(block: dict[str, Any], row: dict[str, Any]) -> str:
    """Return what tells a row's group from the others; the same for all without a grouping column."""
    return canonical_json(row.get(block["group"])) if block.get("group") else ""
