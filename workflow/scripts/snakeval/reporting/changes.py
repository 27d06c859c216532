"""What changed since the last report: scores, answers that flipped, and what else differs.

Snakemake removes a summary before it makes the next, so `report` keeps the one that it shows:

results/summary  ──keep──▶  results/history/shown, and the one before in results/history/before
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from snakeval.errors import SnakevalError, StorageError
from snakeval.reporting import baselines, comparing
from snakeval.reporting.baselines import LEADERBOARD, PROVENANCE, SAMPLES, PairName
from snakeval.reporting.comparing import FLIPS_SHOWN
from snakeval.reporting.formats import several
from snakeval.reporting.samples import ID_CHARACTERS
from snakeval.reporting.text import clip, line

HISTORY = Path("results", "history")
KEPT = (LEADERBOARD, PROVENANCE, SAMPLES)
FEW = 30  # changed pairs; the page folds more


@dataclass(frozen=True)
class Flip:
    """An answer whose state is another now, and where the report shows it."""

    name: str
    before: str
    after: str
    link: str


@dataclass(frozen=True)
class PairChange:
    """A pair that both reports show; `row` is that of `comparing.compare`."""

    title: str
    anchor: str
    row: Mapping[str, Any]
    won: list[Flip]
    lost: list[Flip]
    other: list[Flip]  # neither was right before, nor is it now

    @property
    def flips(self) -> list[tuple[str, list[Flip]]]:
        """The flipped answers by what became of them."""
        kinds = (("won", self.won), ("lost", self.lost), ("wrong in another way", self.other))
        return [(kind, flips) for kind, flips in kinds if flips]


@dataclass(frozen=True)
class ChangesView:
    """What changed since the last report.

    Args:
        pairs: those of which a score or an answer changed, or that do not compare any more.
        same: how many have the same answers and scores.
        new: how many the last report did not show.
        facts: what else differs, as what, before and after.
        unread: why there is nothing to say; None where there is.
    """

    pairs: list[PairChange]
    same: int
    new: int
    facts: list[Mapping[str, str]]
    unread: str | None = None

    @property
    def limit(self) -> int:
        """How many flips of a pair and kind are named."""
        return FLIPS_SHOWN

    @property
    def many(self) -> bool:
        """Whether more pairs changed than somebody reads at once."""
        return len(self.pairs) > FEW

    @property
    def decided(self) -> str:
        """How many changed pairs are shown to be better or worse."""
        found = Counter(pair.row["verdict"] for pair in self.pairs)
        return f"shown to be better: {found['better']:,}, worse: {found['worse']:,}"

    @property
    def counts(self) -> str:
        """How many pairs are the same, changed and new."""
        told = (
            (len(self.pairs), "changed"),
            (self.same, "unchanged"),
            (self.new, "not in the last report"),
        )
        return ", ".join(f"{several(number, 'pair')} {what}" for number, what in told if number)


def keep(summary: Path, root: Path) -> Path | None:
    """Keep a summary for the next report, and return that of the report before; None where there is none.

    A report that is rendered again from the same results is not a new one.

    Raises:
        StorageError: a file of the summary is missing, or the disk is full.
    """
    shown, before, new = (root / HISTORY / name for name in ("shown", "before", "new"))
    try:
        if not _same(summary, shown):
            shutil.rmtree(new, ignore_errors=True)
            new.mkdir(parents=True)
            for name in KEPT:
                shutil.copyfile(summary / name, new / name)
            if shown.exists():
                shutil.rmtree(before, ignore_errors=True)
                shown.replace(before)
            new.replace(shown)
    except OSError as error:
        raise StorageError.from_os_error(error, root / HISTORY) from error
    return before if before.exists() else None


def _same(summary: Path, kept: Path) -> bool:
    return kept.exists() and all(
        (kept / name).exists() and (summary / name).read_bytes() == (kept / name).read_bytes()
        for name in KEPT
    )


def changes(
    summary: Path, before: Path | None, pairs: Collection[tuple[PairName, str, str]]
) -> ChangesView | None:
    """Return what changed; None for a first report.

    Args:
        summary: of this report.
        before: of the last one, as `keep` returns it.
        pairs: name, title and anchor of each pair with a result.
    """
    if before is None:
        return None
    try:
        last = baselines.read(before)
        record = comparing.compare(baselines.read(summary), last, [name for name, *_ in pairs])
    except SnakevalError as error:
        return ChangesView([], 0, 0, [], unread=line(str(error)))
    rows = {(row["model"], row["dataset"]): row for row in record["pairs"]}
    shared = [(*shown, rows[shown[0]]) for shown in pairs if shown[0] in last.results]
    changed = [
        _pair(title, anchor, row)
        for _, title, anchor, row in shared
        if row["reason"] is not None or row["changed"] or row["flipped"]
    ]
    return ChangesView(
        pairs=changed,
        same=len(shared) - len(changed),
        new=len(pairs) - len(shared),
        facts=record["changes"],
    )


def _pair(title: str, anchor: str, row: Mapping[str, Any]) -> PairChange:
    won: list[Flip] = []
    lost: list[Flip] = []
    other: list[Flip] = []
    for flip in row["flipped"] or ():
        kind = won if flip["after"] == "correct" else lost if flip["before"] == "correct" else other
        kind.append(_flip(row, flip))
    return PairChange(title, anchor, row, won, lost, other)


def _flip(row: Mapping[str, Any], flip: Mapping[str, Any]) -> Flip:
    place = {"pair": f"{row['model']}/{row['dataset']}", "sample": flip["id"]}
    if flip["repeat"]:
        place["repeat"] = flip["repeat"] + 1
    name = line(clip(flip["id"], ID_CHARACTERS)) + (
        f" #{flip['repeat'] + 1}" if flip["repeat"] else ""
    )
    link = f"samples/index.html#{urlencode(place, errors='replace')}"
    return Flip(name, flip["before"], flip["after"], link)
