"""Calibration of time limits: how near right programs come, and whether time-outs may be the limit's fault."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from snakeval.reporting.formats import count, percent, seconds, several
from snakeval.reporting.pairs import PairFiles
from snakeval.speed import percentile

if TYPE_CHECKING:
    from snakeval.registry import Pair, Run

CLOSE = 0.5  # of its limit: a machine half as fast, or busy, stops a right program that needs more


@dataclass(frozen=True)
class Times:
    """What running the programs of one pair, or of all pairs of a dataset, took of their time limits.

    Args:
        title: model or dataset.
        anchor: its place in the page.
        answers: all answers.
        references: answers to problems that have a reference solution.
        programs: how many answers were run and judged; None where that was not kept.
        late: how many ran into the limit.
        limits: the lowest and the highest limit that counted, in seconds; None where nothing was run.
        right: how many programs are right.
        shares: of each right program the seconds by its limit, in 0..1; None where they were not measured.
    """

    title: str
    anchor: str
    answers: int
    references: int
    programs: int | None
    late: int
    limits: tuple[float, float] | None
    right: int
    shares: Sequence[float] | None

    @property
    def close(self) -> int | None:
        """How many right programs used more than `CLOSE` of their limit."""
        return None if self.shares is None else sum(share > CLOSE for share in self.shares)

    @property
    def highest(self) -> float | None:
        """The largest share of its limit that a right program used."""
        return max(self.shares or (), default=None)

    @property
    def cells(self) -> dict[str, str]:
        """Return its row, by column."""
        low, high = self.limits or (None, None)
        shares = self.shares or ()
        return {
            "programs run": count(self.programs),
            "ran into the limit": count(self.late),
            "limit": seconds(low) if low == high else f"{seconds(low)} to {seconds(high)}",
            "right": count(self.right),
            "share of it, p50": percent(percentile(shares, 50)),
            "p95": percent(percentile(shares, 95)),
            "p99": percent(percentile(shares, 99)),
            "highest": percent(self.highest),
            "above half": count(self.close),
        }


@dataclass(frozen=True)
class DatasetTimes:
    """The time limits of one dataset.

    Args:
        all: of all its pairs together.
        pairs: of each pair.
        derived: how a program's limit comes about, in a sentence.
    """

    all: Times
    pairs: list[Times]
    derived: str

    @property
    def verdict(self) -> str:
        """Whether time-outs may be the limit's fault, in words."""
        late, shares, highest = self.all.late, self.all.shares, percent(self.all.highest)
        stopped = f"{several(late, 'program')} ran into the limit" if late else ""
        if shares is None:
            ending = f", and nothing tells whether {stopped} by the limit's fault" if late else ""
            return f"How long right programs ran was not measured{ending}."
        if not shares:
            told = f"{stopped}, and no right one tells how long right ones take"
            return f"{told}." if late else "No program ran into the limit."
        right = several(len(shares), "right program")
        if not self.all.close:
            slowest = f"the slowest of {right} used {highest} of its own"
            if not late:
                return f"No program ran into the limit, and {slowest}: it decided nothing."
            return f"{stopped}, but {slowest}: right ones end long before, so the limit is hardly at fault."
        close = f"{self.all.close:,} of {right} used more than half of it, the slowest {highest}"
        if not late:
            return f"No program ran into the limit, but {close}: a slower or busier machine may stop right ones."
        return (
            f"{stopped}, and {close}. The limit is close: time-outs may be right programs that it stopped, the "
            "more so on a busy machine. A larger scoring.time_limit of the dataset has them scored again and tells."
        )


def time_limits(
    run: Run, folder: Path, pairs: Iterable[tuple[Pair, str, str]]
) -> list[DatasetTimes]:
    """Return what the report says about time limits, by dataset; nothing where no program ran.

    Args:
        run: the run.
        folder: the working directory.
        pairs: those with results whose answers are programs, with the model's title and the place in the page.

    Raises:
        StorageError: a file of a pair is broken.
    """
    by_dataset: dict[str, list[Times]] = {}
    for pair, title, anchor in pairs:
        its = by_dataset.setdefault(pair.dataset, [])
        its.append(_measured(PairFiles(folder, pair), title, anchor))
    found = []
    for slug, its in by_dataset.items():
        entry = run.datasets[slug]
        together = _together(its, str(entry["title"]), f"dataset-{slug}")
        if together.programs != 0:
            found.append(DatasetTimes(together, its, _derived(entry, together)))
    return found


def _measured(files: PairFiles, title: str, anchor: str) -> Times:
    answers = references = late = programs = 0
    kept = True
    low, high = math.inf, 0.0
    shares: list[float | None] = []
    for score, timing in files.runs():
        target, limit = score["target"], timing.get("limit_s")
        answers += 1
        references += isinstance(target, dict) and target.get("solution") is not None
        late += score["detail"].get("class") == "timeout"
        kept &= "limit_s" in timing
        if limit is not None and score["state"] != "unscored":
            programs += 1
            low, high = min(low, limit), max(high, limit)
        if score["state"] == "correct":
            shares.append(_share(timing))
    known = [share for share in shares if share is not None]
    return Times(
        title=title,
        anchor=anchor,
        answers=answers,
        references=references,
        programs=programs if kept else None,
        late=late,
        limits=(low, high) if programs else None,
        right=len(shares),
        shares=known if kept and len(known) == len(shares) else None,
    )


def _share(timing: Mapping[str, Any]) -> float | None:
    """Return what a right program took of its limit; None where that is not known."""
    limit, taken = timing.get("limit_s"), timing.get("slowest_s")
    if taken is None:  # kept before the slowest test's time was: seconds are those of all tests
        taken = timing.get("seconds")
        if taken is not None and limit is not None and taken > limit:
            return None
    return None if taken is None or limit is None else min(1.0, taken / limit)


def _together(its: Sequence[Times], title: str, anchor: str) -> Times:
    """Return several pairs as one; shares are those of the pairs that have them."""
    programs = [one.programs for one in its if one.programs is not None]
    limits = [limit for one in its for limit in one.limits or ()]
    measured = [one.shares for one in its if one.shares is not None]
    return Times(
        title=title,
        anchor=anchor,
        answers=sum(one.answers for one in its),
        references=sum(one.references for one in its),
        programs=sum(programs) if len(programs) == len(its) else None,
        late=sum(one.late for one in its),
        limits=(min(limits), max(limits)) if limits else None,
        right=sum(one.right for one in its),
        shares=list(chain(*measured)) if measured else None,
    )


def _derived(entry: Mapping[str, Any], times: Times) -> str:
    """Say how a program's limit comes about: see `sandbox.TimeLimit`."""
    scoring = entry["scoring"]
    limit = scoring["time_limit"]
    text = f"At least {limit['floor_s']:g} s"
    if "time_limit" in entry["fields"]:
        text += f", and {scoring['problem_time_factor']:g} times what the problem states for compiled programs"
    if not times.references:
        return (
            f"{text}; no reference solution calibrates it, so a late program gets the same again."
        )
    text += f"; a late program gets {limit['factor']:g} times what its reference solution takes on this machine"
    if times.references < times.answers:
        text += f", where there is one ({times.references:,} of {times.answers:,} answers)"
    return f"{text}, up to {limit['ceiling_s']:g} s."
